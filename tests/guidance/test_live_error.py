"""A needle against its plan: sides, distances, lights and when to look from the side."""

import json

import numpy as np
import pytest

from fluoroscope.guidance.live_error import needle_error

ENTRY, TARGET = np.array([0.0, 80.0, 10.0]), np.array([0.0, 10.0, 10.0])
KNOWN = 0.01 * np.eye(3)
ON = (0.0, -1.0, 0.0)


def error(tip, direction=ON, **more):
    return needle_error(
        tip,
        direction,
        **{"entry_mm": ENTRY, "target_mm": TARGET, "covariance_mm2": KNOWN, "angle_sigma_deg": 0.3} | more,
    )


@pytest.mark.req("REQ-GUI-045")
def test_sides_are_the_patients():
    found = error((3.0, 50.0, 8.0))
    assert (found.lateral_mm, found.vertical_mm) == pytest.approx((3.0, -2.0))
    assert found.depth_remaining_mm == pytest.approx(40.0)
    assert found.light == "amber"
    assert found.advice == "bring the tip 3.0 mm toward the patient’s right and 2.0 mm toward the head"


@pytest.mark.req("REQ-GUI-045")
def test_a_plan_from_the_side_tells_front_and_back():
    found = error((60.0, 12.0, 0.0), (-1.0, 0.0, 0.0), entry_mm=(100.0, 10.0, 0.0), target_mm=(10.0, 10.0, 0.0))
    assert found.lateral_word == "front"
    assert found.lateral_mm == pytest.approx(-2.0)
    assert found.depth_remaining_mm == pytest.approx(50.0)


@pytest.mark.req("REQ-GUI-045")
@pytest.mark.parametrize(
    ("offset_mm", "turn_deg", "light"),
    [(1.9, 0.0, "green"), (2.1, 0.0, "amber"), (4.1, 0.0, "red"), (0.0, 1.9, "green"), (0.0, 2.1, "amber"),
     (0.0, 5.1, "red"), (2.1, 5.1, "red")],
)  # fmt: skip
def test_the_light_turns_at_2_and_4_mm_and_2_and_5_deg(offset_mm, turn_deg, light):
    way = (np.sin(np.deg2rad(turn_deg)), -np.cos(np.deg2rad(turn_deg)), 0.0)
    found = error((0.0, 50.0, 10.0 + offset_mm), way)
    assert found.light == light
    assert found.angle_deg == pytest.approx(turn_deg, abs=1e-9)
    assert found.turn_left_deg == pytest.approx(turn_deg, abs=1e-9)


@pytest.mark.req("REQ-GUI-045")
def test_no_green_light_for_a_needle_whose_place_is_not_known():
    found = error((0.5, 50.0, 10.0), covariance_mm2=np.diag([9.0, 0.1, 0.1]))
    assert found.light == "unknown"
    assert "second view" in found.advice


@pytest.mark.req("REQ-GUI-046")
@pytest.mark.parametrize(
    ("depth_sigma_mm", "to_dura_mm", "turn"),
    [(0.5, 10.1, False), (0.5, 9.9, True), (8.0, 15.9, True), (8.0, 16.1, False)],
)
def test_turn_to_lateral_10_mm_or_two_sigma_before_the_dura(depth_sigma_mm, to_dura_mm, turn):
    depth = 60.0 - to_dura_mm
    tip, known = ENTRY - np.array([0.0, depth, 0.0]), np.diag([0.01, depth_sigma_mm**2, 0.01])
    found = error(tip, covariance_mm2=known, dura_mm=60.0)
    assert found.turn_to_lateral == turn
    assert found.to_dura_mm == pytest.approx(to_dura_mm)
    again = error(ENTRY - np.array([0.0, depth, 0.0]), dura_mm=60.0, confirmed=True)
    assert not again.turn_to_lateral


@pytest.mark.req("REQ-GUI-046")
def test_what_is_near_is_told_nearest_first_and_what_is_beyond_the_target():
    distances = {("root_L4_left", "nerve root"): 2.0, ("aorta", "vessel"): 40.0, ("vertebrae_L3", "bone"): 0.2}
    found = error((0.0, 50.0, 10.0), distances_mm=distances)
    assert [one.structure for one in found.warnings] == ["vertebrae_L3", "root_L4_left"]
    past = error((0.0, 5.0, 10.0), safe_beyond_mm=2.0)
    assert past.warnings[0].structure == "safe zone"
    assert past.warnings[0].distance_mm == pytest.approx(-3.0)
    assert past.advice.startswith("stop")


def test_an_unknown_direction_leaves_the_angle_unknown_and_everything_is_json():
    found = error((1.0, 50.0, 10.0), None)
    assert found.angle_deg is None
    assert found.miss_mm is None
    assert json.loads(json.dumps(found.status()))["light"] == "green"


def test_the_miss_is_where_the_needle_goes_on_to():
    found = error((0.0, 50.0, 10.0), (0.1, -1.0, 0.0))
    assert found.miss_mm == pytest.approx(4.0)


def test_a_plan_of_one_point_is_refused():
    with pytest.raises(ValueError, match="apart"):
        error((0.0, 0.0, 0.0), target_mm=ENTRY)
