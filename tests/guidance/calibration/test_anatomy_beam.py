"""The C-arm placed by vertebrae that were each registered in one view."""

import numpy as np
import pytest

from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import project_points, projection_geometry
from fluoroscope.geometry.rigid import inverse, rotation, translation
from fluoroscope.guidance.calibration import CalibrationError
from fluoroscope.guidance.calibration.anatomy import beam_from_vertebrae, pose_difference
from fluoroscope.guidance.two_views.pair import geometry_in

GRID = DetectorGrid(1024, 1024, 0.3)
CORNERS = np.array([[x, y, z] for x in (-22.0, 22.0) for y in (-18.0, 18.0) for z in (-13.0, 13.0)]
                   + [[0.0, 60.0, -8.0], [35.0, 30.0, 0.0], [-35.0, 30.0, 0.0], [0.0, 30.0, 10.0]])  # fmt: skip
HEIGHTS = {"L2": 35.0, "L3": 0.0, "L4": -36.0}


def registered(geometry, pose, rng, depth_mm=3.0):
    """Return each vertebra as a single view registers it: 0.2 mm and 0.3° in the plane, 3 mm along the beam."""
    beam = geometry.pixel_from_world[2, :3]
    found = {}
    for level, height in HEIGHTS.items():
        middle = pose[:3, :3] @ [0.0, 0.0, height] + pose[:3, 3]
        off = translation(0.2 * rng.normal(size=3) + depth_mm * rng.normal() * beam)
        found[level] = off @ rotation(rng.normal(size=3), 0.3, middle) @ pose
    return found


@pytest.mark.req("REQ-GUI-047")
def test_three_vertebrae_place_the_c_arm_better_than_one():
    rng = np.random.default_rng(2)
    geometry = projection_geometry(CArmPose(10.0, 5.0, 600.0, 1000.0), GRID)
    pose = translation((4.0, -6.0, 3.0)) @ rotation((0.2, 1.0, 0.3), 5.0)
    landmarks = {level: CORNERS + np.array([0.0, 0.0, height]) for level, height in HEIGHTS.items()}
    wanted = geometry_in(geometry, pose)
    ours, alone = [], []
    for _ in range(20):
        found = registered(geometry, pose, rng)
        beam = beam_from_vertebrae(geometry, found, landmarks)
        assert beam.rms_mm < 1.0
        points = np.concatenate(list(landmarks.values()))
        depth = points @ wanted.pixel_from_world[2, :3] + wanted.pixel_from_world[2, 3]
        for geometry_found, errors in ((beam.geometry, ours), (geometry_in(geometry, found["L3"]), alone)):
            along = points @ geometry_found.pixel_from_world[2, :3] + geometry_found.pixel_from_world[2, 3]
            errors.append(float(np.abs(along - depth).mean()))
        away = project_points(beam.geometry, points) - project_points(wanted, points)
        assert np.linalg.norm(away, axis=1).max() * 0.3 * 0.6 < 1.0
    assert np.median(ours) < 0.7 * np.median(alone)


@pytest.mark.req("REQ-GUI-047")
def test_the_second_view_is_put_right_against_the_first():
    nominal = [projection_geometry(CArmPose(p, 0.0, 600.0, 1000.0), GRID) for p in (0.0, 90.0)]
    error = translation((1.5, -2.0, 0.7)) @ rotation((0.3, 0.2, 1.0), 1.5)
    world = rotation((1, 2, 3), 30.0)
    found = (geometry_in(nominal[0], world), geometry_in(nominal[1], inverse(error) @ world))
    moved = pose_difference((nominal[0], nominal[1]), found)
    assert np.abs(moved - error).max() < 1e-9


@pytest.mark.req("REQ-GUI-047")
def test_vertebrae_that_do_not_fit_the_ct_are_refused():
    rng = np.random.default_rng(3)
    geometry = projection_geometry(CArmPose(10.0, 5.0, 600.0, 1000.0), GRID)
    landmarks = {level: CORNERS + np.array([0.0, 0.0, height]) for level, height in HEIGHTS.items()}
    found = registered(geometry, np.eye(4), rng)
    found["L4"] = translation((9.0, 0.0, -6.0)) @ found["L4"]
    with pytest.raises(CalibrationError, match="bent otherwise, or one is registered wrongly"):
        beam_from_vertebrae(geometry, found, landmarks)
    with pytest.raises(CalibrationError, match="2 are needed"):
        beam_from_vertebrae(geometry, {"L3": np.eye(4)}, landmarks)
