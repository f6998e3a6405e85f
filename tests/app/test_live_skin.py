"""The skin map of the open exam: the sum over its pulses, on the side that faces the tube, anew with every exam."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from fluoroscope.app.dose.live_skin import LiveSkin
from fluoroscope.app.dose.map import Body, map_dose
from fluoroscope.app.serving import open_room
from fluoroscope.app.setup import RoomSetup
from fluoroscope.dose.skin_dose import SkinDose, beam_of_pose
from fluoroscope.dose.skin_factors import beam_quality
from fluoroscope.dose.skin_map import lay_at
from fluoroscope.geometry.table import patient_from_equipment
from fluoroscope.live.subscription import LivePicture, PictureKind, Policy

pytestmark = pytest.mark.req("REQ-SKIN-004")


@pytest.fixture
def skin(room, wait_for):
    parts = room._parts
    made = LiveSkin(parts.loop, parts.console, parts.bedside)
    made.begin("first")
    assert wait_for(lambda: made.shape() is not None)
    yield made
    made.close()


@pytest.fixture
def frames(room):
    """Every frame of the room, as another subscriber gets them."""
    subscription = room._parts.loop.subscribe("test", Policy.LOSSLESS, 4096)

    def taken():
        found = []
        while (item := subscription.get(0.2)) is not None:
            if isinstance(item, LivePicture) and item.kind is PictureKind.LIVE:
                found.append(item.raw)
        return found

    yield taken
    subscription.close()


def one_by_one(phantom, setup, taken):
    """The dose of every frame added alone, with its own voltage."""
    placed = lay_at(phantom, setup.position, np.asarray(setup.reference_mm))
    whole = np.zeros(len(phantom.areas_mm2))
    for frame in taken:
        alone, technique = SkinDose(phantom), frame.technique
        filters = technique.filtration
        alone.add(
            beam_of_pose(
                frame.pose,
                frame.collimation,
                frame.kerma.air_kerma_mgy,
                frame.pose.source_to_isocenter_mm - 150.0,
                beam_quality(technique.tube_voltage_kv, filters.aluminium_mm, filters.copper_mm, 3.1),
                patient_from_equipment(frame.table, setup.position, setup.reference_mm),
                placed.tabletop,
            )
        )
        whole += alone.dose_mgy
    return whole


def test_the_map_is_the_sum_over_the_pulses_while_the_c_arm_moves(room, expose, skin, frames, wait_for):
    expose(room, pulses=4)
    room.command("set_collimation", {"left_mm": 20.0, "upper_mm": 35.0})
    room.command("pedal", {"down": True})
    for _ in range(6):
        room.command("nudge_joints", {"orbital": 5.0})
        room.command("nudge_table", {"longitudinal_mm": 10.0})
        time.sleep(0.1)
    room.command("pedal", {"down": False})
    assert wait_for(lambda: room.status()["state"] == "HOLD")
    found, taken = skin.result(), frames()
    assert len({frame.pose for frame in taken}) > 2
    wanted = one_by_one(found.phantom, room._parts.console.carm.setup, taken)
    np.testing.assert_allclose(found.dose_mgy, wanted, rtol=2e-3, atol=1e-9)
    assert found.peak_mgy == pytest.approx(wanted.max(), rel=2e-3)
    assert found.dose_mgy.max() == found.peak_mgy == skin.peak_mgy() > 0.0


def test_status_shape_and_doses_tell_the_same(room, expose, skin):
    assert skin.status() is skin.result() is None
    expose(room, pulses=5)
    found = skin.result()
    status, shape, doses = skin.status(), json.loads(skin.shape().content), json.loads(skin.doses().content)
    assert status["peak_mgy"] == found.peak_mgy
    assert doses["uid"] == shape["uid"]
    assert doses["revision"] == status["revision"]
    assert len(doses["dose_mgy"]) == shape["rows"] * shape["columns"] == len(found.dose_mgy)
    assert doses["dose_mgy"][doses["peak_index"]] == pytest.approx(found.peak_mgy, rel=1e-3)
    corners = np.reshape(shape["points_mm"], (shape["rows"] + 1, shape["columns"] + 1, 3))
    np.testing.assert_allclose(corners[:, 0], corners[:, -1])
    row, column = divmod(doses["peak_index"], shape["columns"])
    middle = corners[row : row + 2, column : column + 2].mean(axis=(0, 1))
    np.testing.assert_allclose(status["position_mm"], middle, atol=0.2)
    assert 0.0 < status["share_on_patient"] <= 1.0
    assert status["uncertainty_percent"] > 0.0
    assert status["estimate"] is False


@pytest.mark.parametrize(("position", "side"), [("HFP", "front"), ("HFS", "back"), ("FFDL", "left"), ("HFDR", "right")])
def test_the_peak_is_on_the_side_that_lies_on_the_table(small_ct, exams, expose, wait_for, position, side):
    room = open_room(RoomSetup(str(small_ct), position=position, matrix=512), exams, seed=3)
    skin = LiveSkin(room._parts.loop, room._parts.console, room._parts.bedside)
    try:
        skin.begin("one")
        expose(room, pulses=2)  # the tube is under the table; the skin may not be found yet
        assert skin.result() is not None
        assert skin.status()["where"].split(",")[0] == (side if side in ("front", "back") else f"{side} side")
    finally:
        skin.close()
        room.close()


def test_another_exam_begins_with_clean_skin(room, expose, skin):
    expose(room, pulses=3)
    assert skin.result().peak_mgy > 0.0
    before = skin.status()["revision"]
    skin.begin("second")
    assert skin.status() is None
    assert skin.peak_mgy() == 0.0
    clean = json.loads(skin.doses().content)
    assert clean["revision"] > before
    assert not any(clean["dose_mgy"])
    assert clean["peak_index"] is None
    expose(room, pulses=2)
    assert skin.result().peak_mgy > 0.0


def test_a_pulse_that_cannot_be_mapped_ends_the_map_and_not_the_exposure(room, expose, skin, monkeypatch):
    expose(room, pulses=2)
    assert skin.result() is not None

    def refused(*_):
        raise ValueError("no such beam")

    monkeypatch.setattr("fluoroscope.app.dose.live_skin.beam_of_pose", refused)
    expose(room, pulses=3)
    assert skin.result() is skin.status() is skin.peak_mgy() is None
    monkeypatch.undo()
    skin.begin("another")
    expose(room, pulses=2)
    assert skin.result().peak_mgy > 0.0


def test_the_dosemeter_s_calibration_multiplies_the_map_once(room, expose, skin, wait_for):
    parts = room._parts
    calibrated = LiveSkin(parts.loop, parts.console, parts.bedside, 1.25)
    calibrated.begin("calibrated")
    assert wait_for(lambda: calibrated.shape() is not None)
    expose(room, pulses=5)
    plain, more = skin.result(), calibrated.result()
    calibrated.close()
    assert plain.peak_mgy > 0.0
    np.testing.assert_allclose(more.dose_mgy, 1.25 * plain.dose_mgy, rtol=1e-9)


def test_a_clip_has_no_map(room):
    skin = LiveSkin(room._parts.loop, None, None)
    skin.begin("clip")
    assert (skin.status(), skin.shape(), skin.doses(), skin.result(), skin.peak_mgy()) == (None,) * 5
    skin.close()


def test_the_report_of_a_press_gives_the_same_map(room, small_ct, expose, skin, wait_for):
    # A turned table, a C-arm moved away from its place and turned: all of it must be in the report.
    room.command("move_table", {"tilt_deg": 8.0, "cradle_deg": -6.0, "longitudinal_mm": 25.0, "height_mm": 15.0})
    room.command("nudge_joints", {"lateral": 20.0, "longitudinal": -15.0, "orbital": 20.0, "tilt": 10.0})
    edges = dict.fromkeys(("left_mm", "right_mm", "upper_mm", "lower_mm"), 40.0)
    room.command("set_collimation", edges)
    expose(room, pulses=4)
    live, status = skin.result(), skin.status()
    report = Path(room.status()["exam"]["folder"]) / "dose.dcm"
    assert wait_for(report.exists)
    mapped = map_dose(report, Body(str(small_ct)))
    assert mapped.found.peak_mgy == pytest.approx(live.peak_mgy, rel=0.01)
    assert mapped.found.share_of_kap_on_patient == pytest.approx(live.share_of_kap_on_patient, abs=0.02)
    np.testing.assert_allclose(mapped.found.peak_position_mm, live.peak_position_mm, atol=12.0)
    # The same cells get the dose, but for the roll of the picture, which no report says.
    both = (mapped.found.dose_mgy > 0.5 * live.peak_mgy) & (live.dose_mgy > 0.5 * live.peak_mgy)
    assert both.sum() > 0.85 * (live.dose_mgy > 0.5 * live.peak_mgy).sum()
    assert mapped.place.split(",")[0] == status["where"].split(",")[0]
