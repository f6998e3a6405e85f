"""A needle in the patient of the real room: seen at once, moved as told, felt; contrast medium through it."""

import json
import time

import numpy as np
import pytest

from fluoroscope.monitor.control import RefusedError
from fluoroscope.patient.instruments import contrast


def frame_after(room, at_ns):
    """Return the first live pulse that was due after ``at_ns``."""
    frame = room.latest("live", at_ns, 10.0)
    assert frame is not None
    assert frame.kind == "live"
    return frame


def place(room, **args):
    room.command("needle_place", {"type": "spinal-22G-89", "position_mm": [0.0, 96.0, 0.0], "toward": "skin"} | args)


def test_a_needle_is_seen_in_the_first_pulse_after_the_command(room, wait_for):
    room.command("set_technique", {"pulse_rate_hz": 15.0})
    room.command("pedal", {"down": True})
    assert wait_for(lambda: room.status()["pulses"]["delivered"] >= 8)
    before = frame_after(room, time.monotonic_ns())
    place(room, type="trocar-11G-125", toward=[0.6, -0.8, 0.0])
    room.command("needle_move", {"advance_mm": 20.0})
    told_ns = time.monotonic_ns()
    after = frame_after(room, told_ns)
    assert after.acquired_ns - told_ns < 1.5e9 / 15.0
    room.command("pedal", {"down": False})
    new = before.pixels.astype(float) - after.pixels.astype(float)
    # Over the picture's noise and along the needle: from the hub, outside to the patient's right, to its tip.
    shadow = new > 6.0 * np.median(np.abs(new))
    _, columns = np.nonzero(shadow & (np.abs(np.arange(512) - 256) < 12)[:, None])
    assert len(columns) > 150
    assert columns.max() - columns.min() > 60


def test_the_hand_feels_where_it_is_and_what_the_tip_is_in_is_told_only_while_teaching(room):
    place(room)
    needle = room.status()["needle"]
    assert needle["depth_mm"] == 0.0
    assert needle["length_mm"] == 89.0
    room.command("needle_move", {"advance_mm": 30.0})
    needle = room.status()["needle"]
    assert needle["depth_mm"] == pytest.approx(30.0, abs=0.01)
    assert 0.0 < needle["resistance"] <= 1.0
    assert needle["truth"] is None
    room.command("show_truth", {"on": True})
    assert room.status()["needle"]["truth"]["tissue"] == "muscle"
    entry, tip, hub = (np.array(room.status()["needle"][key]) for key in ("entry_mm", "tip_mm", "hub_mm"))
    assert np.linalg.norm(tip - entry) == pytest.approx(30.0, abs=1.0)
    assert np.linalg.norm(tip - hub) == pytest.approx(89.0, abs=1.0)
    # Prone: the hub is above the back, the tip below it on the way down.
    assert hub[1] < entry[1] < tip[1]
    room.command("needle_move", {"advance_mm": -50.0})
    assert room.status()["needle"]["depth_mm"] == 0.0
    json.dumps(room.status(), allow_nan=False)
    room.command("needle_remove", {})
    assert room.status()["needle"] is None


@pytest.mark.req("HAZ-SIDE-001")
@pytest.mark.parametrize("position", ["HFP", "HFS"])
def test_the_hub_swings_the_way_that_live_shows(room, position, wait_for):
    if position != "HFP":
        room.command("set_position", {"position": position})
        assert wait_for(lambda: not room.status()["state_reason"])
    # Along the beam: the hub stands toward the detector.
    room.command("needle_place", {"type": "spinal-22G-89"})
    start = np.array(room.status()["needle"]["hub_mm"])
    u, v = (np.array(room.status()["room"][key]) for key in ("u", "v"))
    room.command("needle_move", {"steer_x_deg": 10.0})
    right = np.array(room.status()["needle"]["hub_mm"]) - start
    assert right @ u == pytest.approx(89.0 * np.sin(np.deg2rad(10.0)), rel=0.05)
    assert abs(right @ v) < 1.0
    room.command("needle_move", {"steer_x_deg": -10.0, "steer_y_deg": 8.0})
    up = np.array(room.status()["needle"]["hub_mm"]) - start
    assert up @ -v > 8.0


def test_bone_stops_it_and_says_so(room):
    # The rod of the small CT stands in the head half, to the left and back.
    place(room, position_mm=[54.0, 80.0, 40.0], toward=[0.0, -1.0, 0.0])
    result = room.command("needle_move", {"advance_mm": 80.0})
    assert result["stopped_by"] == "bone"
    assert room.status()["needle"]["blocked"] == "bone stops it"
    room.command("needle_move", {"advance_mm": -5.0})
    assert room.status()["needle"]["blocked"] is None


def test_what_cannot_be_is_refused_in_words(room):
    for name, args, said in (
        ("needle_move", {"advance_mm": 1.0}, "no needle"),
        ("needle_stylet", {"inside": False}, "no needle"),
        ("inject", {"volume_ml": 1.0, "concentration_mgi_ml": 240.0, "rate_ml_s": 0.2}, "no needle"),
        ("needle_place", {"type": "spoon"}, "spoon"),
        ("needle_place", {"type": "spinal-22G-89", "at_marker": True}, "no marker"),
        ("needle_place", {"type": "catheter-20G-450"}, "catheter"),
    ):
        with pytest.raises(RefusedError, match=said):
            room.command(name, args)
    place(room)
    with pytest.raises(RefusedError, match="stylet"):
        room.command("inject", {"volume_ml": 1.0, "concentration_mgi_ml": 240.0, "rate_ml_s": 0.2})
    with pytest.raises(RefusedError, match="needle out"):
        room.command("set_position", {"position": "HFS"})


def test_a_needle_at_the_marker_and_medium_through_it(room, wait_for):
    room.command("marker_place", {"picture": {"row": 0.5, "col": 0.55}})
    room.command("needle_place", {"type": "spinal-22G-89", "at_marker": True})
    marker, needle = room.status()["marker"], room.status()["needle"]
    assert needle["entry_mm"] == pytest.approx(marker["position_mm"], abs=1.5)
    room.command("needle_move", {"advance_mm": 40.0})
    room.command("needle_stylet", {"inside": False})
    with pytest.raises(RefusedError, match="volume"):
        room.command("inject", {"volume_ml": 900.0, "concentration_mgi_ml": 240.0, "rate_ml_s": 0.5})
    began = time.monotonic()
    room.command("inject", {"volume_ml": 0.5, "concentration_mgi_ml": 300.0, "rate_ml_s": 0.5})
    assert wait_for(lambda: not room.status()["contrast"]["injecting"])
    assert time.monotonic() - began > 0.9
    contrast = room.status()["contrast"]
    assert contrast["given_ml"] == contrast["asked_ml"] == 0.5
    assert contrast["truth"] is None
    room.command("show_truth", {"on": True})
    assert sum(room.status()["contrast"]["truth"].values()) == pytest.approx(0.5, abs=0.01)
    room.command("inject", {"volume_ml": 5.0, "concentration_mgi_ml": 300.0, "rate_ml_s": 0.1})
    room.command("inject_stop", {})
    assert room.status()["contrast"]["injecting"] is False


def test_pulses_go_on_while_an_injection_looks_for_its_way(room, wait_for, monkeypatch):
    real = contrast.terrain
    monkeypatch.setattr(contrast, "terrain", lambda *args: (time.sleep(1.0), real(*args))[1])
    room.command("set_technique", {"pulse_rate_hz": 15.0})
    place(room)
    room.command("needle_move", {"advance_mm": 40.0})
    room.command("needle_stylet", {"inside": False})
    room.command("pedal", {"down": True})
    assert wait_for(lambda: room.status()["pulses"]["delivered"] >= 15)
    before = room.status()["pulses"]["delivered"]
    room.command("inject", {"volume_ml": 0.5, "concentration_mgi_ml": 300.0, "rate_ml_s": 0.5})
    # A second of looking is fifteen pulses; held up, there would be hardly one.
    assert room.status()["pulses"]["delivered"] - before >= 8
    room.command("pedal", {"down": False})


@pytest.mark.req("HAZ-PATIENT-001")
def test_another_patient_has_no_needle_of_the_one_before(room, wait_for):
    place(room)
    room.command("marker_place", {})
    room.command("set_patient", {"name": "small"})
    assert wait_for(lambda: room.status()["patient"]["name"] == "small" and not room.status()["state_reason"])
    status = room.status()
    assert (status["needle"], status["marker"], status["contrast"]) == (None, None, None)
