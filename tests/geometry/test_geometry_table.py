"""How the patient lies, how the table moves, and what the picture shows of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from fluoroscope.geometry import (
    CArmPose,
    DetectorGrid,
    PatientPosition,
    TablePose,
    apply,
    equipment_from_table,
    inverse,
    patient_from_equipment,
    project_points,
    projection_geometry,
)

GRID = DetectorGrid(1025, 1025, 0.3)
FRONTAL = CArmPose(0.0, 0.0, 510.0, 1020.0)
LATERAL = CArmPose(90.0, 0.0, 510.0, 1020.0)
HFS, HFP, FFS, FFP = (PatientPosition[name] for name in ("HFS", "HFP", "FFS", "FFP"))
LEFT, BACK, HEAD = np.eye(3)

tables = st.builds(
    TablePose, *[st.floats(-200.0, 200.0)] * 3, *[st.floats(-40.0, 40.0)] * 3
)  # fmt: skip
points = st.tuples(*[st.floats(-300.0, 300.0)] * 3)


def pixel(point, pose=FRONTAL, table=None, position=HFS):
    matrix = patient_from_equipment(table or TablePose(), position)
    return project_points(projection_geometry(pose, GRID, matrix), point) - 512.0


def test_head_first_supine_at_zero_is_a_pure_translation():
    matrix = patient_from_equipment(TablePose(), HFS, (10.0, -20.0, 300.0))
    expected = np.eye(4)
    expected[:3, 3] = (10.0, -20.0, 300.0)
    np.testing.assert_array_equal(matrix, expected)


@given(st.sampled_from(PatientPosition), points)
def test_the_reference_point_lies_at_the_equipment_origin_at_zero(position, reference):
    matrix = patient_from_equipment(TablePose(), position, reference)
    np.testing.assert_allclose(apply(inverse(matrix), reference), 0.0, atol=1e-9)


@pytest.mark.parametrize(
    ("position", "left", "back", "head"),
    [
        # Where the patient's left, back and head point in the room: x, y (down), z (head end).
        ("HFS", (1, 0, 0), (0, 1, 0), (0, 0, 1)),
        ("HFP", (-1, 0, 0), (0, -1, 0), (0, 0, 1)),
        ("HFDL", (0, 1, 0), (-1, 0, 0), (0, 0, 1)),
        ("HFDR", (0, -1, 0), (1, 0, 0), (0, 0, 1)),
        ("FFS", (-1, 0, 0), (0, 1, 0), (0, 0, -1)),
        ("FFP", (1, 0, 0), (0, -1, 0), (0, 0, -1)),
        ("FFDL", (0, 1, 0), (1, 0, 0), (0, 0, -1)),
        ("FFDR", (0, -1, 0), (-1, 0, 0), (0, 0, -1)),
    ],
)
def test_patient_positions(position, left, back, head):
    equipment_from_patient = inverse(patient_from_equipment(TablePose(), PatientPosition[position]))
    np.testing.assert_array_equal(equipment_from_patient[:3, :3] @ np.eye(3), np.stack([left, back, head]).T)


@given(tables, st.sampled_from(PatientPosition), points)
def test_the_transform_is_rigid(table, position, reference):
    matrix = patient_from_equipment(table, position, reference)
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix[:3, :3]) == pytest.approx(1.0)
    np.testing.assert_allclose(matrix @ inverse(matrix), np.eye(4), atol=1e-9)


@given(tables)
def test_table_turns_nest_as_yaw_tilt_cradle(table):
    # Independent: scipy's intrinsic Euler angles; cradle counts the other way about z.
    turned = Rotation.from_euler("YXZ", [table.yaw_deg, table.tilt_deg, -table.cradle_deg], degrees=True)
    moved = equipment_from_table(table)
    np.testing.assert_allclose(moved[:3, :3], turned.as_matrix(), atol=1e-12)
    np.testing.assert_allclose(moved[:3, 3], (table.lateral_mm, -table.height_mm, table.longitudinal_mm))


def test_signs_of_the_table_turns():
    def up(table, point):
        return -apply(equipment_from_table(table), point)[1]

    assert up(TablePose(tilt_deg=10), HEAD * 100) == pytest.approx(100 * np.sin(np.deg2rad(10)))
    assert up(TablePose(cradle_deg=10), LEFT * 100) == pytest.approx(100 * np.sin(np.deg2rad(10)))
    swung = apply(equipment_from_table(TablePose(yaw_deg=10)), HEAD * 100)
    np.testing.assert_allclose(swung, (100 * np.sin(np.deg2rad(10)), 0, 100 * np.cos(np.deg2rad(10))))


def test_the_frontal_supine_picture_faces_the_viewer_head_up():
    row, column = pixel(LEFT * 15)
    assert (row, column) == (pytest.approx(0.0), pytest.approx(100.0))
    assert pixel(HEAD * 15) == pytest.approx((-100.0, 0.0))


def test_feet_first_is_upside_down():
    assert pixel(HEAD * 15, position=FFS) == pytest.approx((100.0, 0.0))
    assert pixel(LEFT * 15, position=FFS) == pytest.approx((0.0, -100.0))
    assert pixel(HEAD * 15, position=FFP) == pytest.approx((100.0, 0.0))
    assert pixel(LEFT * 15, position=FFP) == pytest.approx((0.0, 100.0))


@given(points, st.floats(-180.0, 180.0), st.floats(-60.0, 60.0))
def test_prone_is_supine_with_the_c_arm_half_a_turn_further(point, p, s):
    prone = pixel(point, CArmPose(p, s, 700.0, 1100.0), position=HFP)
    supine = pixel(point, CArmPose(p + 180.0, s, 700.0, 1100.0), position=HFS)
    np.testing.assert_allclose(prone, supine, atol=1e-6)


@given(points)
def test_decubitus_left_under_a_vertical_beam_is_the_supine_right_lateral(point):
    lying = pixel(point, CArmPose(0.0, 0.0, 700.0, 1100.0), position=PatientPosition.HFDL)
    supine = pixel(point, CArmPose(-90.0, 0.0, 700.0, 1100.0), position=HFS)
    np.testing.assert_allclose(lying, supine, atol=1e-6)


def test_table_shifts_move_the_picture_the_right_way():
    assert pixel((0, 0, 0), table=TablePose(lateral_mm=15)) == pytest.approx((0.0, 100.0))
    assert pixel((0, 0, 0), table=TablePose(longitudinal_mm=15)) == pytest.approx((-100.0, 0.0))
    # Raised by 170 mm toward the detector: depth 680 instead of 510, magnification 1.5 instead of 2.
    assert pixel((15, 0, 0), table=TablePose(height_mm=170)) == pytest.approx((0.0, 75.0))
    # Seen from the side (detector at +x), up is toward smaller columns.
    assert pixel((0, 0, 0), LATERAL, TablePose(height_mm=15)) == pytest.approx((0.0, -100.0))


def test_table_turns_move_the_picture_the_right_way():
    head_up = pixel(HEAD * 50, LATERAL, TablePose(tilt_deg=20))
    assert head_up[1] == pytest.approx(-50 * np.sin(np.deg2rad(20)) * 2 / 0.3)
    left_up = pixel(LEFT * 50, FRONTAL, TablePose(cradle_deg=20))
    lifted = 50 * np.sin(np.deg2rad(20))
    assert left_up[1] == pytest.approx(50 * np.cos(np.deg2rad(20)) * 1020 / (510 + lifted) / 0.3)
    swung = pixel(HEAD * 50, FRONTAL, TablePose(yaw_deg=20))
    assert swung[1] == pytest.approx(50 * np.sin(np.deg2rad(20)) * 2 / 0.3)


@given(tables, st.sampled_from(PatientPosition), points, st.floats(-180, 180), st.floats(-60, 60))
def test_moving_the_patient_with_the_table_is_moving_each_point(table, position, point, p, s):
    pose = CArmPose(p, s, 1000.0, 1500.0)
    at_zero = apply(inverse(patient_from_equipment(TablePose(), position)), point)
    in_room = apply(equipment_from_table(table), at_zero)
    by_hand = project_points(projection_geometry(pose, GRID), in_room) - 512.0
    np.testing.assert_allclose(pixel(point, pose, table, position), by_hand, atol=1e-6)


@pytest.mark.parametrize("reference", [(0.0, 0.0), (0.0, np.nan, 0.0), 3.0])
def test_a_bad_reference_point_is_refused(reference):
    with pytest.raises(ValueError, match="reference_mm"):
        patient_from_equipment(TablePose(), HFS, reference)


def test_a_table_pose_that_is_not_a_number_is_refused():
    with pytest.raises(ValueError, match="table pose"):
        TablePose(tilt_deg=float("nan"))
