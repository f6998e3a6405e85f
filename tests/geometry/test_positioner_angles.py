"""DICOM positioner angles, the view in words, and L/R markers: a wrong side is a hazard."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fluoroscope.geometry import (
    CArmPose,
    DetectorGrid,
    DisplayOrientation,
    EdgeMarkers,
    PatientPosition,
    TablePose,
    beam_axes,
    edge_markers,
    patient_axes,
    patient_from_equipment,
    pose_for_patient_view,
    positioner_angles,
    project_points,
    projection_geometry,
    view_text,
    wrap_deg,
)

P = PatientPosition
FLAT = TablePose()
angles = st.floats(-180.0, 180.0)
latitudes = st.floats(-89.0, 89.0)
tables = st.builds(TablePose, *[st.floats(-100.0, 100.0)] * 3, *[st.floats(-40.0, 40.0)] * 3)  # fmt: skip


def pose(p, s, roll=0.0):
    return CArmPose(p, s, 510.0, 1020.0, detector_rotation_deg=roll)


def same_angle(a, b, tolerance=1e-6):
    return abs(wrap_deg(a - b)) <= tolerance


@pytest.mark.req("HAZ-SIGN-001")
@pytest.mark.parametrize(
    ("position", "expected"),
    [
        (P.HFS, lambda p, s: (p, s)),
        (P.HFP, lambda p, s: (p + 180, s)),
        (P.HFDL, lambda p, s: (p - 90, s)),
        (P.HFDR, lambda p, s: (p + 90, s)),
        (P.FFS, lambda p, s: (-p, -s)),
        (P.FFP, lambda p, s: (180 - p, -s)),
        # Not in the design's table; from the vectors, worked out by hand.
        (P.FFDL, lambda p, s: (-90 - p, -s)),
        (P.FFDR, lambda p, s: (90 - p, -s)),
    ],
)
@given(p=angles, s=st.one_of(latitudes, st.sampled_from([90.0, -90.0])), roll=angles)
def test_flat_table(position, expected, p, s, roll):
    primary, secondary = positioner_angles(pose(p, s, roll), FLAT, position)
    wanted_primary, wanted_secondary = expected(p, s)
    assert same_angle(primary, wanted_primary)
    assert secondary == pytest.approx(wanted_secondary, abs=1e-6)
    assert -180.0 < primary <= 180.0


@pytest.mark.req("HAZ-SIGN-001")
@given(tables, st.sampled_from(P), angles, latitudes)
def test_angles_point_from_the_patient_to_the_detector(table, position, p, s):
    # DICOM PS3.3 C.8.7.5.1.2: longitude from the chest toward the left hand, latitude toward the head.
    primary, secondary = np.deg2rad(positioner_angles(pose(p, s), table, position))
    in_patient = patient_from_equipment(table, position)[:3, :3] @ beam_axes(pose(p, s)).d
    chest, left, head = np.array([0, -1, 0]), np.array([1, 0, 0]), np.array([0, 0, 1])
    equator = np.cos(primary) * chest + np.sin(primary) * left
    np.testing.assert_allclose(np.cos(secondary) * equator + np.sin(secondary) * head, in_patient, atol=1e-9)


@given(st.floats(-60.0, 60.0), st.floats(-30.0, 30.0))
def test_tilting_the_table_head_up_tilts_the_view(s, tilt):
    # Head end up by t turns the chest toward the feet: a vertical beam then leaves t more cranially.
    _, secondary = positioner_angles(pose(0, s), TablePose(tilt_deg=tilt), P.HFS)
    assert secondary == pytest.approx(s + tilt, abs=1e-9)
    _, prone = positioner_angles(pose(0, s), TablePose(tilt_deg=tilt), P.HFP)
    assert prone == pytest.approx(s + tilt, abs=1e-9)


@given(st.floats(-80.0, 80.0), st.floats(-30.0, 30.0))
def test_cradling_the_table_turns_the_primary_angle(p, cradle):
    # The +x side up brings the supine patient's left toward a detector above: more LAO.
    assert same_angle(positioner_angles(pose(p, 0), TablePose(cradle_deg=cradle), P.HFS)[0], p + cradle)


@given(tables, st.sampled_from(P), angles, st.one_of(latitudes, st.sampled_from([90.0, -90.0])))
def test_the_wanted_view_is_found_again(table, position, primary, secondary):
    found = pose_for_patient_view(primary, secondary, table, position, pose(1, 2, 3))
    primary2, secondary2 = positioner_angles(found, table, position)
    if abs(secondary) < 90.0:
        assert same_angle(primary2, primary)
    assert secondary2 == pytest.approx(secondary, abs=1e-6)
    assert found.detector_rotation_deg == 0.0
    assert (found.source_to_isocenter_mm, found.isocenter_mm) == (510.0, (0.0, 0.0, 0.0))


@given(st.sampled_from(P), angles, st.sampled_from([90.0, -90.0]))
def test_the_wanted_view_at_a_pole_keeps_its_primary_angle_on_a_flat_table(position, primary, secondary):
    found = pose_for_patient_view(primary, secondary, FLAT, position, pose(0, 0))
    assert same_angle(positioner_angles(found, FLAT, position)[0], primary)


def test_a_prone_patient_under_a_detector_above_reads_180():
    assert positioner_angles(pose(0, 0), FLAT, P.HFP) == (180.0, 0.0)
    assert positioner_angles(pose(-0.0, 0), FLAT, P.HFP) == (180.0, 0.0)


@pytest.mark.parametrize(("p", "s"), [(np.nan, 0.0), (0.0, 91.0), (0.0, np.nan)])
def test_an_impossible_view_is_refused(p, s):
    with pytest.raises(ValueError, match="patient view"):
        pose_for_patient_view(p, s, FLAT, P.HFS, pose(0, 0))


@pytest.mark.parametrize(
    ("primary", "secondary", "text"),
    [
        (0, 0, "postero-anterior"),
        (0.4, -0.4, "postero-anterior"),
        (180, 0, "antero-posterior"),
        (-180, 0, "antero-posterior"),
        (-179.7, 0, "antero-posterior"),
        (180, 12, "antero-posterior, cranial 12°"),
        (90, 0, "left lateral"),
        (-90, -4.6, "right lateral, caudal 5°"),
        (30, 0, "patient LEFT anterior oblique 30°"),
        (-30, 0, "patient RIGHT anterior oblique 30°"),
        (160, 0, "patient LEFT posterior oblique 20°"),
        (-160, 5, "patient RIGHT posterior oblique 20°, cranial 5°"),
        (200, 0, "patient RIGHT posterior oblique 20°"),
        (1, 0, "patient LEFT anterior oblique 1°"),
        (89.4, 0, "patient LEFT anterior oblique 89°"),
        (17, 90, "axial, detector at the head"),
        (17, -89.8, "axial, detector at the feet"),
    ],
)
def test_view_in_words(primary, secondary, text):
    assert view_text(primary, secondary) == text


@pytest.mark.req("HAZ-SIDE-001")
@given(angles, latitudes, st.sampled_from(P))
def test_the_words_name_the_side_the_detector_is_on(p, s, position):
    primary, secondary = positioner_angles(pose(p, s), FLAT, position)
    d = patient_axes(pose(p, s), FLAT, position).d
    text = view_text(primary, secondary).lower()
    assume(min(abs(d[0]), abs(d[1])) > 0.03)
    assert ("left" if d[0] > 0 else "right") in text
    assert ("posterior" if d[1] > 0 else "anterior") in text
    assert "lao" not in text
    assert "rao" not in text


@pytest.mark.req("HAZ-SIDE-001")
@pytest.mark.parametrize(
    ("position", "p", "left", "right", "top", "bottom"),
    [
        (P.HFS, 0, "R", "L", "H", "F"),
        (P.HFP, 0, "L", "R", "H", "F"),
        (P.HFP, 180, "R", "L", "H", "F"),
        (P.FFS, 0, "L", "R", "F", "H"),
        (P.FFP, 0, "R", "L", "F", "H"),
        (P.HFS, 90, "A", "P", "H", "F"),
        (P.HFS, -90, "P", "A", "H", "F"),
        (P.HFP, 90, "P", "A", "H", "F"),
        (P.HFDL, 0, "P", "A", "H", "F"),
        (P.HFDR, 0, "A", "P", "H", "F"),
        (P.HFS, 30, "RA", "LP", "H", "F"),
        (P.HFS, 20, "R", "L", "H", "F"),
        (P.HFS, 60, "AR", "PL", "H", "F"),
    ],
)
def test_edge_markers(position, p, left, right, top, bottom):
    found = edge_markers(patient_axes(pose(p, 0), FLAT, position))
    assert found == EdgeMarkers(left=left, right=right, top=top, bottom=bottom)
    assert found.patient_orientation == (right, bottom)


@pytest.mark.req("HAZ-SIDE-001")
@given(tables, st.sampled_from(P), angles, st.floats(-60, 60), angles)
def test_markers_agree_with_where_points_fall(table, position, p, s, roll):
    the_pose = pose(p, s, roll)
    markers = edge_markers(patient_axes(the_pose, table, position))
    matrix = patient_from_equipment(table, position)
    geometry = projection_geometry(the_pose, DetectorGrid(1025, 1025, 0.3), matrix)
    middle = matrix[:3, 3]
    step = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "H": (0, 0, 1), "F": (0, 0, -1)}
    for edge, axis, sign in (("right", 1, 1), ("left", 1, -1), ("bottom", 0, 1), ("top", 0, -1)):
        letter = getattr(markers, edge)[0]
        moved = project_points(geometry, middle + np.array(step[letter])) - 512.0
        assert sign * moved[axis] > 0.0


@pytest.mark.req("HAZ-SIDE-001")
@given(st.integers(0, 3), st.booleans(), st.integers(0, 3), st.integers(0, 5))
def test_markers_turn_and_flip_with_the_picture(turns, mirrored, row, column):
    display = DisplayOrientation(turns, mirrored)
    picture = np.arange(24).reshape(4, 6)
    shown = display.shown(picture)
    assert shown[tuple(int(i) for i in display.shown_pixel(row, column, 4, 6))] == picture[row, column]
    # A picture whose edges carry numbers, against the markers of the same edges.
    edges = np.zeros((3, 3), dtype=int)
    edges[1, 0], edges[0, 1], edges[1, 2], edges[2, 1] = 1, 2, 3, 4
    names = {1: "R", 2: "H", 3: "L", 4: "F"}
    markers = display.markers(EdgeMarkers(left="R", top="H", right="L", bottom="F"))
    seen = display.shown(edges)
    assert markers.left == names[int(seen[1, 0])]
    assert markers.top == names[int(seen[0, 1])]
    assert markers.right == names[int(seen[1, 2])]
    assert markers.bottom == names[int(seen[2, 1])]


def test_a_clockwise_quarter_turn_brings_the_top_to_the_right():
    markers = EdgeMarkers(left="R", right="L", top="H", bottom="F")
    assert DisplayOrientation(1).markers(markers) == EdgeMarkers(left="F", right="H", top="R", bottom="L")
    assert DisplayOrientation(0, mirrored=True).markers(markers) == replace(markers, left="L", right="R")


def test_turns_other_than_quarters_are_refused():
    with pytest.raises(ValueError, match="quarter_turns"):
        DisplayOrientation(4)
