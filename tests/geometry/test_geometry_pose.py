"""The beam's axes, the poles, wrapping, and the pixels of hand-calculated points."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluoroscope.geometry import (
    BeamAxes,
    CArmPose,
    DetectorGrid,
    angles_from_axes,
    beam_axes,
    project_points,
    projection_geometry,
    rotation,
    translation,
    wrap_deg,
)

angles = st.floats(-180.0, 180.0)
shifts = st.floats(-200.0, 200.0)
ODD_GRID = DetectorGrid(1025, 1025, 0.3)  # the central ray meets pixel (512, 512) exactly


def pose(primary=0.0, secondary=0.0, roll=0.0, isocenter=(0.0, 0.0, 0.0), source=510.0, detector=1020.0):
    return CArmPose(primary, secondary, source, detector, isocenter, roll)


@given(angles, st.floats(-90.0, 90.0), angles)
def test_axes_are_orthonormal_and_v_is_u_cross_d(p, s, roll):
    axes = beam_axes(pose(p, s, roll))
    np.testing.assert_allclose(axes.v, np.cross(axes.u, axes.d), atol=1e-12)
    basis = np.stack([axes.u, axes.v, axes.d])
    np.testing.assert_allclose(basis @ basis.T, np.eye(3), atol=1e-12)
    # v = u × d makes (u, d, v) the right-handed order, so (u, v, d) is left-handed: d points toward the eye.
    assert np.linalg.det(np.stack([axes.u, axes.d, axes.v])) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("p", "s", "d", "u", "v"),
    [
        (0, 0, (0, -1, 0), (1, 0, 0), (0, 0, -1)),
        (90, 0, (1, 0, 0), (0, 1, 0), (0, 0, -1)),
        (-90, 0, (-1, 0, 0), (0, -1, 0), (0, 0, -1)),
        (180, 0, (0, 1, 0), (-1, 0, 0), (0, 0, -1)),
        (0, 90, (0, 0, 1), (1, 0, 0), (0, -1, 0)),
        (0, -90, (0, 0, -1), (1, 0, 0), (0, 1, 0)),
    ],
)
def test_cardinal_directions(p, s, d, u, v):
    axes = beam_axes(pose(p, s))
    np.testing.assert_allclose([axes.d, axes.u, axes.v], [d, u, v], atol=1e-12)


def test_roll_turns_columns_toward_rows():
    axes, rolled = beam_axes(pose(25, 15)), beam_axes(pose(25, 15, 90))
    np.testing.assert_allclose(rolled.u, axes.v, atol=1e-12)
    np.testing.assert_allclose(rolled.v, -axes.u, atol=1e-12)
    np.testing.assert_allclose(rolled.d, axes.d, atol=1e-12)


def test_a_positive_roll_turns_the_anatomy_counterclockwise():
    # The columns turn toward the rows, clockwise for the eye, so the head swings from 12 toward 9 o'clock.
    head = (0.0, 0.0, 50.0)
    plain = project_points(projection_geometry(pose(), ODD_GRID), head)
    rolled = project_points(projection_geometry(pose(roll=30), ODD_GRID), head)
    radius = 50.0 * 2.0 / 0.3
    np.testing.assert_allclose(plain - 512, [-radius, 0.0], atol=1e-9)
    expected = [-radius * np.cos(np.pi / 6), -radius * np.sin(np.pi / 6)]
    np.testing.assert_allclose(rolled - 512, expected, atol=1e-9)


@given(angles, st.floats(-89.9, 89.9), angles)
def test_angles_come_back_from_axes(p, s, roll):
    p2, s2, roll2 = angles_from_axes(beam_axes(pose(p, s, roll)))
    assert s2 == pytest.approx(s, abs=1e-6)
    assert wrap_deg(p2 - p) == pytest.approx(0.0, abs=1e-6)
    assert wrap_deg(roll2 - roll) == pytest.approx(0.0, abs=1e-6)


@given(angles, st.sampled_from([90.0, -90.0]), angles)
def test_at_the_poles_the_axes_come_back_with_roll_called_zero(p, s, roll):
    axes = beam_axes(pose(p, s, roll))
    p2, s2, roll2 = angles_from_axes(axes)
    again = beam_axes(pose(p2, s2, roll2))
    assert (s2, roll2) == (pytest.approx(s), 0.0)
    np.testing.assert_allclose([again.d, again.u, again.v], [axes.d, axes.u, axes.v], atol=1e-8)


@given(st.floats(-100000.0, 100000.0))
def test_wrapped_angles_lie_in_the_half_open_turn(angle):
    wrapped = wrap_deg(angle)
    assert -180.0 < wrapped <= 180.0
    assert np.cos(np.deg2rad(wrapped - angle)) == pytest.approx(1.0)


def test_minus_180_and_its_rounding_read_plus_180():
    assert [wrap_deg(a) for a in (-180.0, 180.0, 540.0, np.nextafter(-180.0, 0))] == [180.0] * 4
    assert str(wrap_deg(-0.0)) == "0.0"


@pytest.mark.parametrize(
    ("p", "s", "roll", "point", "pixel"),
    [
        # At the isocentre the magnification is 2: 15 mm are 30 mm at the detector, 100 pixels.
        (0, 0, 0, (0, 0, 0), (512, 512)),
        (0, 0, 0, (15, 0, 0), (512, 612)),
        (0, 0, 0, (15, 0, 30), (312, 612)),
        # 255 mm down, toward the source: depth 255, magnification 4.
        (0, 0, 0, (3, 255, -6), (592, 552)),
        # 170 mm up, toward the detector: depth 680, magnification 1.5.
        (0, 0, 0, (-20, -170, 10), (462, 412)),
        # Left lateral: columns grow toward the back.
        (90, 0, 0, (0, 15, 15), (412, 612)),
        (90, 0, 0, (-255, 3, 3), (472, 552)),
        # Detector under the table.
        (180, 0, 0, (15, 0, 15), (412, 412)),
        # 3-4-5 oblique, p = 36.87°: u = (0.8, 0.6, 0), d = (0.6, −0.8, 0).
        (np.rad2deg(np.arctan2(3, 4)), 0, 0, (40 * 0.8 * 0.75, 40 * 0.6 * 0.75, 0), (512, 712)),
        (np.rad2deg(np.arctan2(3, 4)), 0, 0, (-153 + 12, 204 + 9, 0), (512, 512 + 200)),
        # 3-4-5 cranial, s = 36.87°: d = (0, −0.8, 0.6), v = u × d = (0, −0.6, −0.8).
        (0, np.rad2deg(np.arctan2(3, 4)), 0, (0, -9, -12), (612, 512)),
        # Roll 90: columns along the feet, rows along −x.
        (0, 0, 90, (15, 0, 0), (412, 512)),
        (0, 0, 90, (0, 0, -15), (512, 612)),
    ],
)
def test_hand_calculated_pixels(p, s, roll, point, pixel):
    geometry = projection_geometry(pose(p, s, roll), ODD_GRID)
    np.testing.assert_allclose(project_points(geometry, point), pixel, atol=1e-9)


def test_even_grids_have_their_centre_between_pixels():
    geometry = projection_geometry(pose(), DetectorGrid(512, 1024, 0.3))
    np.testing.assert_allclose(project_points(geometry, (0.15, 0, 0)), (255.5, 512.5), atol=1e-9)


def test_moving_the_whole_c_arm_is_moving_the_patient_back():
    moved = projection_geometry(pose(30, 10, 5, isocenter=(7.0, -11.0, 13.0)), ODD_GRID)
    shifted = projection_geometry(pose(30, 10, 5), ODD_GRID, translation((7.0, -11.0, 13.0)))
    np.testing.assert_allclose(moved.pixel_from_world, shifted.pixel_from_world, atol=1e-9)
    np.testing.assert_allclose(moved.source_mm, shifted.source_mm, atol=1e-12)


@given(
    angles, st.floats(-90, 90), angles, st.tuples(shifts, shifts, shifts),
    st.floats(0.0, 1023.0), st.floats(0.0, 767.0), st.floats(100.0, 1000.0),
)  # fmt: skip
def test_world_and_pixel_round_trip(p, s, roll, isocenter, row, column, depth):
    patient = translation((3.0, 4.0, 5.0)) @ rotation((1.0, 2.0, -1.0), 33.0)
    geometry = projection_geometry(pose(p, s, roll, isocenter), DetectorGrid(1024, 768, 0.3), patient)
    point = geometry.source_mm + depth * geometry.direction_from_pixel @ np.array([row, column, 1.0])
    np.testing.assert_allclose(project_points(geometry, point), (row, column), atol=1e-6)
    homogeneous = geometry.pixel_from_world @ np.append(point, 1.0)
    assert homogeneous[2] == pytest.approx(depth, abs=1e-9)


@given(angles, st.floats(-90, 90), angles)
def test_source_detector_and_isocentre_stand_on_the_central_ray(p, s, roll):
    the_pose = pose(p, s, roll, isocenter=(10.0, 20.0, 30.0))
    geometry = projection_geometry(the_pose, ODD_GRID)
    axes = beam_axes(the_pose)
    center = np.array([10.0, 20.0, 30.0])
    np.testing.assert_allclose(geometry.source_mm, center - 510.0 * axes.d, atol=1e-9)
    for point in (center, center + 510.0 * axes.d):
        np.testing.assert_allclose(project_points(geometry, point), (512, 512), atol=1e-9)


def test_points_at_or_behind_the_source_have_no_pixel():
    geometry = projection_geometry(pose(), ODD_GRID)
    assert np.isnan(project_points(geometry, [(0, 510, 0), (5, 600, 0)])).all()


@pytest.mark.parametrize(
    "values", [{"source": 0.0}, {"source": 1020.0}, {"primary": np.nan}, {"isocenter": (0.0, np.inf, 0.0)}]
)
def test_impossible_poses_are_refused(values):
    with pytest.raises(ValueError, match=r"C-arm pose|source_to_isocenter"):
        pose(**values)


@pytest.mark.parametrize(("rows", "columns", "pitch"), [(0, 4, 0.1), (4, 0, 0.1), (4, 4, 0.0), (4, 4, np.nan)])
def test_impossible_grids_are_refused(rows, columns, pitch):
    with pytest.raises(ValueError, match=r"detector needs|pitch"):
        DetectorGrid(rows, columns, pitch)


def test_axes_are_plain_vectors():
    assert isinstance(beam_axes(pose()), BeamAxes)
    with pytest.raises(ValueError, match="zero vector"):
        rotation((0.0, 0.0, 0.0), 10.0)
