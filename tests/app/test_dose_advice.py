"""Advice: every effect that is foretold is what the virtual C-arm then gives; the cheapest saving comes first."""

from datetime import UTC, datetime

import numpy as np
import pytest

from fluoroscope.acquisition.clock import SteppedClock
from fluoroscope.acquisition.frame import Collimation, Frame, PixelIntensity, Provenance
from fluoroscope.app.console import Console
from fluoroscope.app.dose_advice import DoseAdviser, StillPicture, advice_status
from fluoroscope.app.setup import RoomSetup, load_patient
from fluoroscope.app.virtual import virtual_carm
from fluoroscope.beam.technique import RadiationMode
from fluoroscope.dose.advice import changes
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.procedure.catalogue import PROCEDURES

EPIDURAL = PROCEDURES["lumbar_epidural"]


@pytest.fixture
def adult():
    """A modelled adult of coarse voxels."""
    return load_patient(RoomSetup("small", matrix=512))


@pytest.fixture
def beam(adult):
    """Make a console on the adult, and an adviser that follows what its C-arm gives."""

    def made(carm: str = "mobile-flat-panel", view: str = "ap") -> tuple[Console, DoseAdviser, SteppedClock]:
        clock = SteppedClock(datetime(2026, 1, 2, tzinfo=UTC))
        console = Console(virtual_carm(RoomSetup("small", carm=carm, matrix=512), adult, clock, seed=5))
        console.view(view)
        return console, DoseAdviser(console), clock

    return made


def given(console: Console, adviser: DoseAdviser, pulses: int = 12) -> tuple[float, float]:
    """Expose and return the rates once the control has settled: mGy/min and Gy·cm²/min."""
    carm, frames = console.carm, []
    carm.press(console.technique(RadiationMode.FLUOROSCOPY), "1.2.3")
    for frame in carm.frames():
        adviser.pulse(frame)
        frames.append(frame)
        if len(frames) == pulses:
            carm.release()
    settled = frames[-5:]
    per_minute = 60.0 * settled[-1].technique.pulse_rate_hz
    kerma, kap = ([getattr(frame.kerma, name) for frame in settled] for name in ("air_kerma_mgy", "kap_gy_cm2"))
    return float(np.mean(kerma)) * per_minute, float(np.mean(kap)) * per_minute


def carry_out(console: Console, change) -> None:
    name, args = change.command
    getattr(console, name)(**args)


CASES = [
    ("pulse_rate", "mobile-flat-panel", {"pulse_rate_hz": 15.0}),
    ("pulse_rate", "mobile-flat-panel", {"pulse_rate_hz": 7.5}),
    ("copper", "mobile-flat-panel", {"copper_mm": 0.0}),
    ("copper", "mobile-flat-panel", {"copper_mm": 0.1}),
    ("copper", "mobile-flat-panel", {"copper_mm": 0.2}),
    ("dose_level", "mobile-flat-panel", {"dose_level": "normal"}),
    ("dose_level", "mobile-flat-panel", {"dose_level": "high"}),
    ("collimation", "mobile-flat-panel", {}),
    ("collimation", "angiography-room", {}),
    ("detector", "angiography-room", {}),
]


@pytest.mark.req("REQ-CTRL-007")
@pytest.mark.parametrize("view", ["ap", "lateral"])
@pytest.mark.parametrize(("name", "carm", "setting"), CASES)
def test_what_is_foretold_is_what_the_c_arm_then_gives(beam, name, carm, setting, view):
    console, adviser, _ = beam(carm, view)
    console.set_technique(**setting)
    before = given(console, adviser)
    change = next(one for one in changes(adviser.now(EPIDURAL)) if one.name == name)
    now, then = adviser.outlook(None), adviser.outlook(change)
    assert (now.air_kerma_mgy_min, now.kap_gy_cm2_min) == pytest.approx(before, rel=0.05)
    carry_out(console, change)
    after = given(console, adviser)
    print(name, view, setting, "foretold", then, "given", after)
    assert (then.air_kerma_mgy_min, then.kap_gy_cm2_min) == pytest.approx(after, rel=0.1)
