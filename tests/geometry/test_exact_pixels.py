"""From a patient's point to a pixel, against a ray meeting the detector plane; and each joint's sign."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from fluoroscope.geometry import (
    C_ARMS,
    PatientPosition,
    TablePose,
    patient_from_equipment,
    project_points,
    projection_geometry,
)

# Turns from supine head first, as a person would be turned: about the long axis, then end for end.
ROLLED = {"S": 0.0, "DL": 90.0, "P": 180.0, "DR": -90.0}
tables = st.builds(TablePose, *[st.floats(-100.0, 100.0)] * 3, *[st.floats(-20.0, 20.0)] * 3)
points = st.tuples(*[st.floats(-100.0, 100.0)] * 3)


@st.composite
def machines(draw):
    model = draw(st.sampled_from(list(C_ARMS.values())))
    return model, {joint.name: draw(st.floats(joint.minimum, joint.maximum)) for joint in model.joints}


def room_from_patient(position, point, reference):
    """Where a patient's point lies in the room at table zero: roll the patient, then turn end for end."""
    turned = Rotation.from_euler("z", ROLLED[position.value[2:]], degrees=True).apply(np.subtract(point, reference))
    if position.value.startswith("HF"):
        return turned
    # End for end about the vertical; a patient on a side still lies on it.
    return Rotation.from_euler("y", 180.0, degrees=True).apply(turned)


def c_in_room(model, j):
    """Source, detector centre and the picture's directions, by scipy's Euler angles and the C at rest."""
    distance = j.get("source_to_detector", model.source_to_detector_mm)
    source = np.array([0.0, model.source_to_isocenter_mm, 0.0])
    middle = np.subtract(source, (0.0, distance, 0.0))
    if model.name == "angiography-room":
        turned = Rotation.from_euler("YZX", [j["swivel"], j["rotation"], -j["angulation"]], degrees=True)
        center = np.array([j["lateral"], 0.0, j["longitudinal"]])
    else:
        turned = Rotation.from_euler("YXZ", [j["wig_wag"], -j["tilt"], j["orbital"]], degrees=True)
        arm = model.mounting.column_to_isocenter_mm
        swing = Rotation.from_euler("y", j["wig_wag"], degrees=True)
        reach = swing.apply([arm + j["lateral"], 0.0, 0.0])
        center = np.add(reach, (-arm, -j["height"], j["longitudinal"]))
    columns, rows = turned.apply([1.0, 0.0, 0.0]), turned.apply([0.0, 0.0, -1.0])
    return turned.apply(source) + center, turned.apply(middle) + center, columns, rows


@pytest.mark.req("REQ-GEO-001")
@given(machines(), tables, st.sampled_from(PatientPosition), points, points, st.integers(0, 2))
def test_points_fall_on_exact_pixels(machine, table, position, point, reference, field):
    model, joints = machine
    grid = model.detector.grid(field, binning=2)
    in_room = room_from_patient(position, point, reference)
    turns = Rotation.from_euler("YXZ", [table.yaw_deg, table.tilt_deg, -table.cradle_deg], degrees=True)
    shift = (table.lateral_mm, -table.height_mm, table.longitudinal_mm)
    in_room = np.add(turns.apply(in_room), shift)
    source, middle, columns, rows = c_in_room(model, joints)
    normal = (middle - source) / np.linalg.norm(middle - source)
    depth = normal @ (in_room - source)
    assume(depth > 50.0)
    hit = source + (in_room - source) * np.linalg.norm(middle - source) / depth
    row = (grid.rows - 1) / 2 + rows @ (hit - middle) / grid.pitch_mm
    column = (grid.columns - 1) / 2 + columns @ (hit - middle) / grid.pitch_mm

    bridge = patient_from_equipment(table, position, reference)
    geometry = projection_geometry(model.pose(joints), grid, bridge)
    np.testing.assert_allclose(project_points(geometry, point), (row, column), atol=1e-4)


@pytest.mark.req("REQ-GEO-001")
@pytest.mark.parametrize(
    ("model", "joint", "value", "point", "row_goes", "column_goes"),
    [
        # A point of a supine patient behind or above the isocentre, and where the picture takes it.
        ("mobile-flat-panel", "orbital", 10.0, (0, 50, 0), 0, 1),
        ("mobile-flat-panel", "tilt", 10.0, (0, 50, 0), -1, 0),
        ("mobile-flat-panel", "lateral", 10.0, (0, 0, 0), 0, -1),
        ("mobile-flat-panel", "longitudinal", 10.0, (0, 0, 0), 1, 0),
        ("mobile-flat-panel", "wig_wag", 5.0, (0, 0, 0), -1, -1),
        ("angiography-room", "rotation", 10.0, (0, 50, 0), 0, 1),
        ("angiography-room", "angulation", 10.0, (0, 50, 0), -1, 0),
        ("angiography-room", "lateral", 10.0, (0, 0, 0), 0, -1),
        ("angiography-room", "longitudinal", 10.0, (0, 0, 0), 1, 0),
        ("angiography-room", "swivel", 10.0, (0, 0, 50), 0, -1),
    ],
)
def test_each_joint_moves_the_picture_the_right_way(model, joint, value, point, row_goes, column_goes):
    carm = C_ARMS[model]
    at = [project_points(projection_geometry(carm.pose({joint: v}), carm.detector.grid()), point) for v in (0.0, value)]
    moved = at[1] - at[0]
    for went, goes in zip(moved, (row_goes, column_goes), strict=True):
        assert went * goes > 1.0 if goes else abs(went) < 40.0
    if joint != "wig_wag":
        main, other = (abs(moved[0]), abs(moved[1])) if row_goes else (abs(moved[1]), abs(moved[0]))
        assert main > 3.0 * other


def test_raising_the_c_arm_or_bringing_the_detector_in_changes_magnification():
    def width(model, joints):
        ends = project_points(projection_geometry(model.pose(joints), model.detector.grid()), [(-20, 0, 0), (20, 0, 0)])
        return (ends[1, 1] - ends[0, 1]) * model.detector.pitch_mm

    mobile, room = C_ARMS["mobile-flat-panel"], C_ARMS["angiography-room"]
    assert width(mobile, {}) == pytest.approx(40 * 1020 / 510)
    assert width(mobile, {"height": 100.0}) == pytest.approx(40 * 1020 / 410)
    assert width(room, {}) == pytest.approx(40 * 1200 / 750)
    assert width(room, {"source_to_detector": 900.0}) == pytest.approx(40 * 900 / 750)
