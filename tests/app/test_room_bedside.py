"""At the bedside of the real room: the marker on the skin, how the patient lies, what the page may fetch."""

import json

import numpy as np
import pytest

from fluoroscope.monitor.control import RefusedError


@pytest.fixture
def held_picture(expose):
    """Take some pulses; return the picture held on LIVE."""

    def take(room):
        expose(room)
        return room.latest("live", -1, 1.0).pixels.astype(float)

    return take


def darkest(before, after):
    """Return the place, in fractions of the picture, that grew darkest: the middle of what is new."""
    new = before - after
    new[new < 0.5 * new.max()] = 0.0
    rows, columns = np.indices(new.shape)
    return float((rows * new).sum() / new.sum() / new.shape[0]), float((columns * new).sum() / new.sum() / new.shape[1])


def test_the_marker_is_seen_where_it_was_clicked_and_moves_to_the_head_and_left(room, held_picture):
    before = held_picture(room)
    room.command("marker_place", {"picture": {"row": 0.4, "col": 0.6}})
    at = room.status()["marker"]["position_mm"]
    seen = held_picture(room)
    row, column = darkest(before, seen)
    assert (row, column) == pytest.approx((0.4, 0.6), abs=0.01)
    room.command("marker_move", {"head_mm": 10.0, "left_mm": 5.0})
    moved = room.status()["marker"]["position_mm"]
    # Prone on the table: the patient's left is −x, his back −y.
    assert moved[2] - at[2] == pytest.approx(10.0, abs=0.5)
    assert -5.2 < moved[0] - at[0] < -3.0
    assert np.hypot(moved[0] - at[0], moved[1] - at[1]) == pytest.approx(5.0, abs=0.8)
    row_moved, column_moved = darkest(before, held_picture(room))
    assert row_moved < row - 0.02
    assert column_moved < column
    room.command("marker_remove", {})
    assert room.status()["marker"] is None
    with pytest.raises(RefusedError, match="no marker"):
        room.command("marker_move", {"head_mm": 1.0})


def test_a_ray_of_the_room_view_meets_the_back_of_a_prone_patient(room):
    room.command("marker_place", {"ray": {"from_mm": [0.0, -900.0, 0.0], "toward_mm": [0.0, 0.0, 0.0]}})
    x, y, z = room.status()["marker"]["position_mm"]
    assert (x, z) == pytest.approx((0.0, 0.0), abs=0.5)
    assert y < -10.0
    with pytest.raises(RefusedError, match="no skin"):
        room.command("marker_place", {"ray": {"from_mm": [0.0, -900.0, 0.0], "toward_mm": [0.0, -901.0, 0.0]}})


@pytest.mark.req("HAZ-SIDE-001")
def test_turning_the_patient_is_another_exam_whose_letters_and_records_follow(room, held_picture, wait_for):
    held_picture(room)
    first, prone = room.status()["exam"]["uid"], room.status()["markers"]
    assert (prone["column_left"], prone["column_right"]) == ("L", "R")
    room.command("set_position", {"position": "HFS"})
    assert wait_for(lambda: not room.status()["state_reason"])
    status = room.status()
    assert status["exam"]["uid"] != first
    assert status["patient"]["position"] == status["room"]["patient_position"] == "HFS"
    assert (status["markers"]["column_left"], status["markers"]["column_right"]) == ("R", "L")
    held_picture(room)
    assert room.status()["shown"]["live"]["markers"]["column_left"] == "R"
    room.command("pedal", {"down": True})
    assert wait_for(lambda: room.status()["state"] == "EXPOSING")
    with pytest.raises(RefusedError, match="pedal"):
        room.command("set_position", {"position": "HFP"})
    room.command("pedal", {"down": False})


def test_a_patient_without_known_parts_lies_still_and_says_so(room):
    json.dumps(room.status(), allow_nan=False)
    assert room.status()["patient"]["movement"] is None
    for name, args in (("breathing", {"mode": "hold"}), ("bend", {"flexion_deg": 5.0})):
        with pytest.raises(RefusedError, match="lies still"):
            room.command(name, args)


def test_the_shape_of_the_patient_is_told_about_the_isocentre(room):
    shape = json.loads(room.asset("shape.json").content)
    assert len(shape["skin"]) > 5
    for ring in shape["skin"]:
        assert len(ring["points_mm"]) == len(shape["skin"][0]["points_mm"])
    heights = [ring["z_mm"] for ring in shape["skin"]]
    assert heights == sorted(heights)
    assert heights[0] < 0.0 < heights[-1]
    assert room.asset("patients/../../secret.png") is None
    assert room.asset("nothing") is None
