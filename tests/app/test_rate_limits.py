"""The rate limit where the rule measures it, by the pulses each virtual C-arm gives, not the technique asked for."""

from datetime import UTC, datetime

import pytest

from fluoroscope.acquisition.clock import SteppedClock
from fluoroscope.app.console import Console
from fluoroscope.app.setup import RoomSetup, load_patient
from fluoroscope.app.virtual import virtual_carm
from fluoroscope.beam.technique import RadiationMode

LIMIT_MGY_MIN = 10.0
"""A site's, low enough that the thin test patient meets it from the side."""


@pytest.fixture
def adult():
    return load_patient(RoomSetup("small", matrix=512))


@pytest.mark.req("REQ-CTRL-004")
@pytest.mark.parametrize(
    ("name", "source_to_detector_mm"),
    [
        ("mobile-flat-panel", 1020.0),
        ("mobile-large", 1100.0),
        ("angiography-room", 900.0),
        ("angiography-room", 1200.0),
    ],
)
def test_the_pulses_keep_the_limit_30_cm_in_front_of_the_detector(adult, name, source_to_detector_mm):
    clock = SteppedClock(datetime(2026, 1, 2, tzinfo=UTC))
    console = Console(virtual_carm(RoomSetup("small", carm=name, matrix=512), adult, clock, seed=5))
    console.view("lateral")
    if name == "angiography-room":
        console.move_joints(source_to_detector=source_to_detector_mm)
    console.set_technique(pulse_rate_hz=30.0, copper_mm=0.0, dose_level="high")
    carm, given = console.carm, []
    assert carm.pose.source_to_detector_mm == source_to_detector_mm
    carm.control.set_entrance_limit(LIMIT_MGY_MIN)
    carm.press(console.technique(RadiationMode.FLUOROSCOPY), "1.2.3")
    for frame in carm.frames():
        given.append(frame)
        if len(given) == 12:
            carm.release()
    # Air kerma is told 15 cm from the isocentre toward the tube; the rule measures 30 cm in front of the detector.
    nearer = (source_to_detector_mm - 300.0) / (carm.pose.source_to_isocenter_mm - 150.0)
    rates = [frame.kerma.air_kerma_mgy * frame.technique.pulse_rate_hz * 60.0 / nearer**2 for frame in given]
    assert max(rates) <= LIMIT_MGY_MIN * (1.0 + 1e-6)
    assert rates[-1] == pytest.approx(LIMIT_MGY_MIN, rel=0.02)
