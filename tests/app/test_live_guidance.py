"""Live guidance in the real room: what it may know, what it refuses, and a lumbar puncture by its hints alone."""

import json
import re

import numpy as np
import pytest

from fluoroscope.app.serving import open_room
from fluoroscope.app.setup import RoomSetup
from fluoroscope.geometry.rigid import apply
from fluoroscope.monitor.control import RefusedError


@pytest.fixture(scope="module")
def small_room(tmp_path_factory):
    """The real room with a coarse modelled adult, in the home that all tests of this folder share; planned once."""
    home = tmp_path_factory.getbasetemp() / "fluoroscope-home"
    (home / "made").mkdir(parents=True, exist_ok=True)
    (home / "made" / "small.json").write_text(json.dumps({"description": "coarse adult", "seed": 1, "pitch_mm": 3.0}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLUOROSCOPE_HOME", str(home))
        patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        yield from _opened(tmp_path_factory.mktemp("exams"))


def _opened(exams):
    opened = open_room(RoomSetup("small", matrix=512), exams, seed=3)
    control = opened.status()["dose"]["control"]
    if control is not None and control["screening"]["blocks"]:
        opened.command("screening_answer", {"answer": "no", "by": "Test"})
    opened.command("set_technique", {"pulse_rate_hz": 2.0})
    yield opened
    opened.close()


def guidance(room):
    told = room.status()["guidance"]
    json.dumps(told, allow_nan=False)
    return told


@pytest.fixture(scope="module")
def planned(small_room, wait_for):
    small_room.command("plan_make", {"procedure": "lumbar-puncture", "level": "L3-L4"})
    assert guidance(small_room)["planning"] is not None
    assert wait_for(lambda: guidance(small_room)["planning"] is None, 240.0)
    assert guidance(small_room)["trouble"] == ""
    assert small_room._guidance.live._warming.wait(240.0)
    return small_room


def shoot(room, wait_for, pulses=3):
    """Hold the pedal for some pulses; wait until the last was looked at for the needle, and the run for the bone."""
    before = room.status()["pulses"]["delivered"]
    room.command("pedal", {"down": True})
    assert wait_for(lambda: room.status()["pulses"]["delivered"] >= before + pulses)
    room.command("pedal", {"down": False})
    assert wait_for(lambda: room.status()["state"] == "HOLD")
    last = next(one.raw for one in reversed(room._parts.loop.pictures()) if one.raw is not None)
    scene = room._guidance.live._scene
    assert wait_for(lambda: scene._found is not None and scene._found.frame.uid == last.uid)
    assert wait_for(lambda: not scene.awaits_bone(last))


@pytest.mark.req("REQ-GUI-060")
def test_what_can_be_planned_is_told_for_the_patient_on_the_table(small_room):
    choices = json.loads(small_room.asset("guidance.json").content)["procedures"]
    puncture = next(one for one in choices if one["name"] == "lumbar-puncture")
    assert "L3-L4" in puncture["levels"]
    assert "T12-L1" not in puncture["levels"], "the cord is there"


@pytest.mark.req("REQ-GUI-060")
def test_what_cannot_be_is_refused_in_words(small_room):
    for name, args, said in (
        ("plan_make", {"procedure": "haircut", "level": "L3-L4"}, "haircut"),
        ("plan_choose", {"index": 40}, "40|41"),
    ):
        with pytest.raises(RefusedError, match=said):
            small_room.command(name, args)


@pytest.mark.req("REQ-GUI-062", "REQ-GUI-063")
def test_a_lumbar_puncture_by_the_hints_alone(planned, wait_for):
    room = planned
    told = guidance(room)
    assert told["chosen"]["index"] == 0
    assert len(told["plans"]) >= 2
    for cut in told["chosen"]["slices"]:
        assert room.asset(cut["url"].removeprefix("/room/")).content[:4] == b"\x89PNG"
    said, apart = [], []
    for _ in range(40):
        told = guidance(room)
        if told["reached"]:
            break
        said.append(told["hint"]["text"])
        if told["light"] and told["error"]["depth_from"] == "this view":
            apart.append(_apart_mm(room))
        _obey(room, told["hint"], wait_for)
    assert "Clear fluid returns" in (guidance(room)["reached"] or ""), said
    assert room.status()["needle"]["returns"] == "csf"
    assert guidance(room)["hint"] is None
    # In order: down the barrel, placed, pushed, looked at from the side before the dura, the stylet out.
    steps = ["bull's-eye", "Needle at the entry", "then lateral", "Turn to lateral now", "to the dura", "stylet"]
    places = [next(i for i, text in enumerate(said) if step in text) for step in steps]
    assert places == sorted(places), said
    assert np.median(apart) < 1.5, "what guidance believes of the tip against where it was"
    room.command("needle_remove", {})


def _apart_mm(room) -> float:
    """Return how far the tip that guidance believes in is from the truth; the test may know, guidance may not."""
    scene = room._guidance.live._scene
    believed = apply(scene.shifted, scene.tip_mm)
    return float(np.linalg.norm(believed - np.asarray(room._hand._state().tip_mm)))


def _obey(room, hint, wait_for) -> None:
    text, act = hint["text"], hint["act"]
    if act == "xray":
        shoot(room, wait_for)
    elif act in ("coaxial", "confirm"):
        room.command("plan_view", {"view": act})
    elif act == "place":
        room.command("needle_place", {"type": "plan", "toward": "plan"})
    elif act == "stylet":
        room.command("needle_stylet", {"inside": False})
    elif text.startswith("Swing"):
        turn = float(found[1]) if (found := re.search(r"(\d+)°", text)) else 0.5
        right, up = ("→" in text) - ("←" in text), ("↑" in text) - ("↓" in text)
        room.command("needle_move", {"steer_x_deg": turn * right, "steer_y_deg": turn * up})
    else:
        room.command("needle_move", {"advance_mm": float(found[1]) if (found := re.search(r"(\d+) mm", text)) else 1.0})


@pytest.mark.req("REQ-GUI-061")
def test_the_overlay_is_locked_to_bone_that_was_found_and_fades_after_a_movement(planned, wait_for):
    room = planned
    room.command("plan_view", {"view": "coaxial"})
    shoot(room, wait_for)
    assert wait_for(
        lambda: guidance(room)["overlay"]["live"] is not None and guidance(room)["overlay"]["live"]["locked"]
    )
    overlay = guidance(room)["overlay"]["live"]
    assert overlay["view"] == "coaxial"
    # Down the barrel entry and target are seen as one.
    entry, target = overlay["entry"], overlay["target"]
    assert np.hypot(entry["row"] - target["row"], entry["col"] - target["col"]) * 512 < 6.0
    assert {"L3", "L4"} <= {level["name"] for level in overlay["levels"]}
    assert overlay["outlines"]
    room.command("nudge_table", {"longitudinal_mm": 20.0})
    assert guidance(room)["hint"]["act"] in ("coaxial", "xray")
    assert wait_for(lambda: guidance(room)["overlay"]["live"] is None, 10.0)


@pytest.mark.req("REQ-GUI-064")
def test_a_mode_without_guidance_tells_and_does_nothing(planned):
    room = planned
    room._guidance.allow(False)
    told = guidance(room)
    assert told["allowed"] is False
    assert told["plans"] == []
    assert told["chosen"] is None
    assert told["overlay"] == {"live": None, "reference": None}
    assert told["hint"] is None
    for name, args in (
        ("plan_make", {"procedure": "lumbar-puncture", "level": "L3-L4"}),
        ("plan_view", {"view": "coaxial"}),
        ("guidance", {"on": True}),
        ("needle_place", {"type": "plan", "toward": "plan"}),
    ):
        with pytest.raises(RefusedError, match="without guidance"):
            room.command(name, args)
    assert room.asset("guidance/path-1-axial.png") is None
    room._guidance.allow(True)
