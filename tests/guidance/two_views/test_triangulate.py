"""Points out of two views: exact recovery, closed forms of their errors, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import ProjectionGeometry, project_points, projection_geometry
from fluoroscope.geometry.rigid import rotation, translation
from fluoroscope.guidance.two_views import (
    landmark_shift,
    pose_shift,
    single_view_tip,
    triangulate,
)

PITCH, TO_ISO, TO_DETECTOR = 0.3, 600.0, 1000.0
PX_PER_MM = TO_DETECTOR / TO_ISO / PITCH
"""Pixels per mm at the isocentre."""


def beam(primary_deg: float, secondary_deg: float = 0.0) -> ProjectionGeometry:
    return projection_geometry(
        CArmPose(primary_deg, secondary_deg, TO_ISO, TO_DETECTOR), DetectorGrid(1024, 1024, PITCH)
    )


@pytest.mark.req("REQ-GUI-040")
@given(
    point=st.tuples(*[st.floats(-60.0, 60.0)] * 3),
    first=st.floats(-180.0, 180.0),
    apart=st.floats(10.0, 90.0),
    tilt=st.floats(-30.0, 30.0),
)
def test_a_point_is_found_where_it_is(point, first, apart, tilt):
    geometries = [beam(first, tilt), beam(first + apart)]
    found = triangulate([project_points(one, point) for one in geometries], geometries, 1.0)
    assert found.accepted, found.reason
    assert np.abs(found.position_mm - point).max() < 1e-6
    assert found.ray_gap_mm < 1e-6


@pytest.mark.req("REQ-GUI-040")
@pytest.mark.parametrize("apart_deg", [20.0, 30.0, 60.0, 90.0])
def test_errors_are_those_of_the_closed_form(apart_deg):
    sigma_mm = 0.4
    geometries = [beam(-apart_deg / 2.0), beam(apart_deg / 2.0)]
    found = triangulate([project_points(one, (0, 0, 0)) for one in geometries], geometries, sigma_mm * PX_PER_MM)
    half = np.deg2rad(apart_deg / 2.0)
    # The bisector is the equipment's y, across it x, the axis of turning z.
    wanted = sigma_mm / np.sqrt(2.0) * np.array([1.0 / np.cos(half), 1.0 / np.sin(half), 1.0])
    assert np.sqrt(np.diag(found.covariance_mm2)) == pytest.approx(wanted, rel=1e-9)
    axes, directions = found.axes_mm
    assert axes == pytest.approx(np.sort(wanted)[::-1])
    assert abs(directions[0][1]) == pytest.approx(1.0) or apart_deg == 90.0


@pytest.mark.req("REQ-GUI-040")
def test_the_covariance_is_the_spread_of_repeated_measurements():
    rng = np.random.default_rng(4)
    geometries = [beam(0.0), beam(35.0, 10.0), beam(80.0, -15.0)]
    point, sigmas = np.array([30.0, -40.0, 25.0]), np.array([0.8, 1.5, 0.5])
    exact = [project_points(one, point) for one in geometries]
    found = [
        triangulate(
            [pixel + s * rng.normal(size=2) for pixel, s in zip(exact, sigmas, strict=True)], geometries, sigmas
        )
        for _ in range(1500)
    ]
    off = np.array([one.position_mm for one in found]) - point
    distance = np.einsum("ni,ij,nj->n", off, np.linalg.inv(found[0].covariance_mm2), off)
    # χ² with three degrees of freedom.
    assert distance.mean() == pytest.approx(3.0, abs=0.25)
    assert np.mean(distance < 7.815) == pytest.approx(0.95, abs=0.02)


@pytest.mark.req("REQ-GUI-040")
def test_more_of_a_pixel_error_along_the_needle_is_more_error_along_it():
    geometries = [beam(0.0), beam(90.0)]
    pixels = [project_points(one, (0, 0, 0)) for one in geometries]
    long_rows = np.array([[9.0, 0.0], [0.0, 0.25]])
    found = triangulate(pixels, geometries, np.array([long_rows, long_rows]))
    sigmas = np.sqrt(np.diag(found.covariance_mm2))
    assert sigmas[2] == pytest.approx(3.0 / np.sqrt(2.0) / PX_PER_MM)
    assert sigmas[0] == pytest.approx(0.5 / PX_PER_MM)


@pytest.mark.req("REQ-GUI-040")
def test_the_error_of_the_poses_counts():
    geometries = [beam(-45.0), beam(45.0)]
    pixels = [project_points(one, (0, 0, 0)) for one in geometries]
    found = triangulate(pixels, geometries, 1e-6, geometry_sigma_mm=0.5)
    assert np.sqrt(found.covariance_mm2[2, 2]) == pytest.approx(0.5 / np.sqrt(2.0), rel=1e-6)


@pytest.mark.req("REQ-GUI-041")
def test_rays_that_pass_each_other_are_refused():
    geometries = [beam(0.0), beam(60.0)]
    pixels = [project_points(geometries[0], (0, 0, 0)), project_points(geometries[1], (0, 0, 2.5))]
    found = triangulate(pixels, geometries, 1.0)
    assert not found.accepted
    assert "not the same point" in found.reason
    assert found.ray_gap_mm == pytest.approx(2.5, rel=0.01)


@pytest.mark.req("REQ-GUI-041")
@pytest.mark.parametrize("apart_deg", [0.0, 3.0])
def test_views_of_one_direction_are_refused(apart_deg):
    geometries = [beam(10.0), beam(10.0 + apart_deg)]
    found = triangulate([project_points(one, (5, 5, 5)) for one in geometries], geometries)
    assert not found.accepted
    assert "turn the C-arm" in found.reason


@pytest.mark.req("REQ-GUI-041")
def test_marks_whose_rays_meet_behind_the_source_are_refused():
    geometries = [beam(0.0), beam(10.0)]
    middles = [project_points(one, (0, 0, 0)) for one in geometries]
    far = [middles[0], middles[1] - np.array([0.0, 700.0])]
    found = triangulate(far, geometries)
    assert not found.accepted


@pytest.mark.parametrize(
    ("pixels", "sigma", "views"),
    [([(1, 1)], 1.0, 1), ([(1, 1), (2, np.nan)], 1.0, 2), ([(1, 1), (2, 2)], 0.0, 2), ([(1, 1), (2, 2)], 1.0, 3)],
)
def test_nonsense_is_refused(pixels, sigma, views):
    with pytest.raises(ValueError, match=r"point needs|above 0"):
        triangulate(pixels, [beam(40.0 * n) for n in range(views)], sigma)


@pytest.mark.req("REQ-GUI-042")
def test_the_tip_on_the_planned_line_from_the_side_and_down_the_needle():
    entry, target = np.array([0.0, 60.0, 10.0]), np.array([0.0, -20.0, 5.0])
    line = (target - entry) / np.linalg.norm(target - entry)
    tip = entry + 50.0 * line
    side = beam(90.0)
    found = single_view_tip(project_points(side, tip), side, entry, target, sigma_px=1.0)
    assert found.accepted
    assert found.along_mm == pytest.approx(50.0, abs=1e-6)
    assert found.sigma_along_mm < 0.3
    down = beam(0.0)
    blind = single_view_tip(project_points(down, tip), down, entry, target, sigma_px=1.0)
    assert not blind.accepted
    assert "turn to the confirming view" in blind.reason
    assert blind.sigma_along_mm > 10.0


@pytest.mark.req("REQ-GUI-042")
@pytest.mark.parametrize("primary_deg", [25.0, 50.0, 90.0])
def test_the_single_view_depth_lies_in_its_interval_as_often_as_it_says(primary_deg):
    rng = np.random.default_rng(8)
    entry, target, side = np.array([5.0, 60.0, 10.0]), np.array([0.0, -20.0, 5.0]), beam(primary_deg)
    line = (target - entry) / np.linalg.norm(target - entry)
    inside, count = 0, 600
    for _ in range(count):
        off = rng.normal(size=3) * 2.0
        tip = entry + rng.uniform(20.0, 75.0) * line + off - (off @ line) * line
        found = single_view_tip(project_points(side, tip) + rng.normal(size=2), side, entry, target, sigma_px=1.0)
        inside += abs(found.along_mm - (tip - entry) @ line) <= 1.96 * found.sigma_along_mm
    assert 0.92 <= inside / count <= 0.975


@pytest.mark.req("REQ-GUI-041")
def test_a_patient_who_moved_is_told_by_a_landmark():
    view, landmark = beam(80.0), np.array([10.0, 20.0, -15.0])
    known = 0.04 * np.eye(3)
    still = landmark_shift(landmark, known, project_points(view, landmark + np.array([0.0, 0.0, 0.4])), view)
    moved = landmark_shift(landmark, known, project_points(view, landmark + np.array([0.0, 0.0, 3.0])), view)
    assert still.accepted
    assert not moved.accepted
    assert moved.shift_mm == pytest.approx(3.0, abs=0.1)
    assert "the patient moved by 3.0" in moved.reason


@pytest.mark.req("REQ-GUI-041")
def test_registered_poses_are_compared_where_both_are_known():
    at = np.array([0.0, 10.0, 100.0])
    before = rotation((0, 0, 1), 20.0)
    # Known across the beam to 0.2 mm, along it to 4 mm: AP first, lateral second.
    ap, lateral = np.diag([0.04, 16.0, 0.04]), np.diag([16.0, 0.04, 0.04])
    still = pose_shift(before, translation((3.0, 3.0, 0.3)) @ before, at, ap, lateral)
    assert still.accepted
    assert still.shift_mm == pytest.approx(0.3)
    moved = pose_shift(before, translation((0.0, 0.0, 2.0)) @ before, at, ap, lateral)
    assert not moved.accepted
    assert moved.sigma_mm == pytest.approx(np.sqrt(0.08))
    unknown = pose_shift(before, before, at, 16.0 * np.eye(3), lateral)
    assert not unknown.accepted
    assert "cannot be told" in unknown.reason
