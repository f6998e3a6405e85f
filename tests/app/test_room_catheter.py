"""Ruler, catheter and lead in the real room: laid, threaded through a needle, moved, seen and refused."""

import json

import numpy as np
import pytest

from fluoroscope.monitor.control import RefusedError
from fluoroscope.patient.instruments.catalogue import CATALOGUE


@pytest.fixture
def tuohy(room):
    """The room with an 18G Tuohy 40 mm deep, its stylet out."""
    room.command("needle_place", {"type": "tuohy-18G-89", "position_mm": [0.0, 96.0, 0.0], "toward": "skin"})
    room.command("needle_move", {"advance_mm": 40.0})
    room.command("needle_stylet", {"inside": False})
    return room


def test_every_instrument_of_the_catalogue_is_offered_once(room):
    kinds = {
        name: [one["name"] for one in json.loads(room.asset(name).content)]
        for name in ("needles.json", "catheters.json")
    }
    assert sorted(kinds["needles.json"] + kinds["catheters.json"]) == sorted(CATALOGUE)
    for name in ("kwire-1.6-200", "introducer-20G-32", "tuohy-17G-89", "trocar-11G-125"):
        room.command("needle_place", {"type": name, "position_mm": [0.0, 96.0, 0.0], "toward": "skin"})
        assert room.status()["needle"]["type"] == name


def test_a_catheter_goes_through_the_needle_and_is_seen(tuohy, expose):
    expose(tuohy)
    before = tuohy.latest("live", -1, 1.0).pixels.astype(float)
    tuohy.command("catheter_thread", {"type": "catheter-20G-450"})
    told = tuohy.status()["catheter"]
    assert (told["beyond_mm"], told["hollow"]) == (0.0, True)
    assert told["tip_mm"] == pytest.approx(tuohy.status()["needle"]["tip_mm"], abs=3.0)
    assert tuohy.command("catheter_move", {"advance_mm": 25.0})["moved_mm"] == pytest.approx(25.0)
    told = tuohy.status()["catheter"]
    assert told["beyond_mm"] == pytest.approx(25.0)
    assert np.linalg.norm(np.subtract(told["tip_mm"], tuohy.status()["needle"]["tip_mm"])) > 20.0
    assert told["truth"] is None
    tuohy.command("show_truth", {"on": True})
    assert tuohy.status()["catheter"]["truth"]["tissue"] == "muscle"
    json.dumps(tuohy.status(), allow_nan=False)
    tuohy.command("view", {"name": "lateral"})
    tuohy.command("view", {"name": "ap"})
    expose(tuohy)
    new = before - tuohy.latest("live", -1, 1.0).pixels.astype(float)
    assert np.count_nonzero(new > 6.0 * np.median(np.abs(new))) > 20


def test_the_needle_comes_out_over_the_catheter_and_medium_goes_through_it(tuohy):
    tuohy.command("catheter_thread", {"type": "catheter-20G-450"})
    tuohy.command("catheter_move", {"advance_mm": 20.0})
    for name, args in (
        ("needle_move", {"advance_mm": 1.0}), ("needle_stylet", {"inside": True}),
        ("needle_place", {"type": "spinal-22G-89"}), ("catheter_thread", {"type": "lead-8-600"}),
        ("set_position", {"position": "HFS"}),
    ):  # fmt: skip
        with pytest.raises(RefusedError, match=r"catheter|needle"):
            tuohy.command(name, args)
    tuohy.command("inject", {"volume_ml": 0.5, "concentration_mgi_ml": 300.0, "rate_ml_s": 0.5})
    tip = tuohy.status()["catheter"]["tip_mm"]
    tuohy.command("needle_remove", {})
    status = tuohy.status()
    assert (status["needle"], status["catheter"]["beyond_mm"]) == (None, None)
    assert status["catheter"]["tip_mm"] == tip
    assert status["contrast"]["asked_ml"] == 0.5
    with pytest.raises(RefusedError, match="catheter out"):
        tuohy.command("set_position", {"position": "HFS"})
    tuohy.command("catheter_remove", {})
    assert tuohy.status()["catheter"] is None
    with pytest.raises(RefusedError, match="no needle"):
        tuohy.command("inject", {"volume_ml": 0.5, "concentration_mgi_ml": 300.0, "rate_ml_s": 0.5})


def test_what_does_not_fit_is_refused_in_words(tuohy):
    with pytest.raises(RefusedError, match=r"1\.3 mm wide"):
        tuohy.command("catheter_thread", {"type": "lead-8-600"})
    with pytest.raises(RefusedError, match="choose one of the list"):
        tuohy.command("catheter_thread", {"type": "spinal-22G-89"})
    with pytest.raises(RefusedError, match="no catheter"):
        tuohy.command("catheter_move", {"advance_mm": 1.0})
    tuohy.command("needle_stylet", {"inside": True})
    with pytest.raises(RefusedError, match="stylet"):
        tuohy.command("catheter_thread", {"type": "catheter-20G-450"})
    tuohy.command("needle_remove", {})
    with pytest.raises(RefusedError, match="no needle"):
        tuohy.command("catheter_thread", {"type": "catheter-20G-450"})
    tuohy.command("needle_place", {"type": "tuohy-14G-102", "position_mm": [0.0, 96.0, 0.0], "toward": "skin"})
    tuohy.command("needle_move", {"advance_mm": 40.0})
    tuohy.command("needle_stylet", {"inside": False})
    tuohy.command("catheter_thread", {"type": "lead-8-600"})
    tuohy.command("needle_remove", {})
    with pytest.raises(RefusedError, match="solid"):
        tuohy.command("inject", {"volume_ml": 0.5, "concentration_mgi_ml": 300.0, "rate_ml_s": 0.5})


def test_a_ruler_lies_on_the_skin_and_is_seen_with_its_ticks(room, expose):
    expose(room)
    before = room.latest("live", -1, 1.0).pixels.astype(float)
    room.command("ruler_lay", {"picture": {"row": 0.5, "col": 0.35}})
    ends = np.array(room.status()["ruler"]["ends_mm"])
    assert np.linalg.norm(ends[1] - ends[0]) == pytest.approx(300.0, abs=0.05)
    # Along the spine of a patient who lies flat, on the back of a prone one.
    assert ends[1, 2] - ends[0, 2] == pytest.approx(300.0, abs=1.0)
    room.command("marker_place", {"picture": {"row": 0.5, "col": 0.35}})
    assert ends.mean(axis=0) == pytest.approx(room.status()["marker"]["position_mm"], abs=3.0)
    assert ends[:, 1].max() <= room.status()["marker"]["position_mm"][1]
    room.command("marker_remove", {})
    expose(room)
    new = before - room.latest("live", -1, 1.0).pixels.astype(float)
    dark = new > 6.0 * np.median(np.abs(new))
    # Ticks of 10 mm, magnified twice on a detector of some 300 mm: 512 px. Their feet stand on the wire.
    column = int(np.argmax(dark.sum(axis=0)))
    assert abs(column / 512.0 - 0.35) < 0.02
    assert dark[:, column].mean() > 0.5
    room.command("ruler_lay", {"along": "across"})
    ends = np.array(room.status()["ruler"]["ends_mm"])
    assert np.linalg.norm(ends[1] - ends[0]) == pytest.approx(200.0, abs=0.05)
    assert abs(ends[1, 0] - ends[0, 0]) > 150.0
    room.command("ruler_take", {})
    assert room.status()["ruler"] is None


@pytest.mark.req("HAZ-PATIENT-001")
def test_another_patient_has_neither_ruler_nor_catheter(tuohy, wait_for):
    tuohy.command("catheter_thread", {"type": "catheter-20G-450"})
    tuohy.command("ruler_lay", {})
    tuohy.command("set_patient", {"name": "small"})
    assert wait_for(lambda: tuohy.status()["patient"]["name"] == "small" and not tuohy.status()["state_reason"])
    assert (tuohy.status()["catheter"], tuohy.status()["ruler"]) == (None, None)


def test_where_the_marker_would_be_seen_is_told(room, expose):
    room.command("marker_place", {})
    assert room.status()["marker"]["picture"] is None
    expose(room)
    room.command("marker_place", {"picture": {"row": 0.3, "col": 0.6}})
    seen = room.status()["marker"]["picture"]
    assert (seen["row"], seen["col"]) == pytest.approx((0.3, 0.6), abs=0.005)
