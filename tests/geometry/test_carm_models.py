"""C-arm models: the nesting against scipy's Euler angles, round trips over all joints, limits."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from fluoroscope.geometry import (
    C_ARMS,
    CArmPose,
    Joint,
    OutOfReachError,
    PatientPosition,
    TablePose,
    beam_axes,
    pose_for_patient_view,
    positioner_angles,
)

MOBILE = C_ARMS["mobile-flat-panel"]
LARGE = C_ARMS["mobile-large"]
ROOM = C_ARMS["angiography-room"]
MOBILES = [MOBILE, LARGE]


@st.composite
def standing(draw, models=tuple(C_ARMS.values())):
    model = draw(st.sampled_from(models))
    joints = {joint.name: draw(st.floats(joint.minimum, joint.maximum)) for joint in model.joints}
    return model, joints


def frame(pose):
    axes = beam_axes(pose)
    return np.column_stack([axes.u, -axes.d, -axes.v])


def same_pose(a, b, roll=True):
    np.testing.assert_allclose(a.isocenter_mm, b.isocenter_mm, atol=1e-6)
    assert a.source_to_detector_mm == pytest.approx(b.source_to_detector_mm)
    if roll:
        np.testing.assert_allclose(frame(a), frame(b), atol=1e-7)
    else:
        np.testing.assert_allclose(beam_axes(a).d, beam_axes(b).d, atol=1e-7)


def test_the_distances_of_the_three_machines():
    distances = {name: (m.source_to_detector_mm, m.source_to_isocenter_mm) for name, m in C_ARMS.items()}
    assert distances == {
        "mobile-flat-panel": (1020.0, 510.0),
        "mobile-large": (1100.0, 550.0),
        "angiography-room": (1200.0, 750.0),
    }
    assert ROOM.source_to_detector_range_mm == (900.0, 1200.0)
    assert MOBILE.source_to_detector_range_mm == (1020.0, 1020.0)
    assert all("simulated" in model.manufacturer for model in C_ARMS.values())


def test_at_rest_the_detector_is_above_and_the_picture_has_no_roll():
    for model in C_ARMS.values():
        pose = model.pose({})
        assert (pose.primary_deg, pose.secondary_deg, pose.detector_rotation_deg) == (0.0, 0.0, 0.0)
        assert pose.isocenter_mm == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("model", MOBILES)
def test_side_standing_orbital_60_tilt_20(model):
    # By hand: d = (sin 60, −cos 60 cos 20, cos 60 sin 20) = (0.8660, −0.4698, 0.1710).
    pose = model.pose({"orbital": 60.0, "tilt": 20.0})
    assert pose.primary_deg == pytest.approx(np.rad2deg(np.arctan2(0.8660254, 0.4698463)), abs=1e-4)
    assert pose.primary_deg == pytest.approx(61.5, abs=0.05)
    assert pose.secondary_deg == pytest.approx(9.8, abs=0.05)
    assert pose.detector_rotation_deg == pytest.approx(17.5, abs=0.05)


def test_a_ceiling_gantry_has_equipment_angles_for_joints_and_no_roll():
    pose = ROOM.pose({"rotation": 60.0, "angulation": 20.0})
    assert pose.primary_deg == pytest.approx(60.0)
    assert pose.secondary_deg == pytest.approx(20.0)
    assert pose.detector_rotation_deg == pytest.approx(0.0, abs=1e-9)


@given(standing(MOBILES))
def test_side_standing_nesting_against_euler_angles(case):
    model, j = case
    turned = Rotation.from_euler("YXZ", [j["wig_wag"], -j["tilt"], j["orbital"]], degrees=True).as_matrix()
    np.testing.assert_allclose(frame(model.pose(j)), turned, atol=1e-7)


@given(standing([ROOM]))
def test_ceiling_nesting_against_euler_angles(case):
    model, j = case
    angles = [j["swivel"], j["rotation"], -j["angulation"]]
    turned = Rotation.from_euler("YZX", angles, degrees=True).as_matrix()
    np.testing.assert_allclose(frame(model.pose(j)), turned, atol=1e-7)


def test_shifts_move_the_isocentre():
    moved = MOBILE.pose({"height": 100.0, "lateral": 50.0, "longitudinal": -30.0})
    assert moved.isocenter_mm == pytest.approx((50.0, -100.0, -30.0))
    assert ROOM.pose({"lateral": 50.0, "longitudinal": -30.0}).isocenter_mm == (50.0, 0.0, -30.0)


def test_wig_wag_swings_the_c_about_its_column():
    # The column stands 1000 mm away at −x; clockwise from the ceiling takes the isocentre to the feet.
    angle = np.deg2rad(10.0)
    pose = MOBILE.pose({"wig_wag": 10.0})
    expected = (1000 * (np.cos(angle) - 1), 0.0, -1000 * np.sin(angle))
    np.testing.assert_allclose(pose.isocenter_mm, expected, atol=1e-9)
    assert pose.primary_deg == pytest.approx(0.0, abs=1e-9)
    # u = (cos 10, 0, −sin 10): columns point a little to the feet, that is toward the rows: roll +10.
    assert pose.detector_rotation_deg == pytest.approx(10.0)


@given(standing())
def test_poses_come_back_with_roll_unasked(case):
    model, joints = case
    pose = model.pose(joints)
    # Told where the outermost turn stands, the rest is found and with it the roll.
    near = {name: joints[name] for name in ("wig_wag", "swivel") if name in joints}
    found = model.joints_for(pose, near=near)
    same_pose(model.pose(found), pose, roll=False)
    for name, value in near.items():
        assert found[name] == pytest.approx(value)


@given(standing())
def test_poses_come_back_with_roll_asked(case):
    model, joints = case
    pose = model.pose(joints)
    found = model.joints_for(pose, near=joints, match_roll=True)
    same_pose(model.pose(found), pose)


@given(standing())
def test_joints_come_back_from_the_pose_when_one_is_near_them(case):
    model, joints = case
    found = model.joints_for(model.pose(joints), near=joints)
    first, second = model.joints[0].name, model.joints[1].name
    # Along the axis of the other joint the beam does not show that joint; the pose still comes back (above).
    free = abs(joints["orbital"]) if model is not ROOM else abs(joints["angulation"])
    assume(abs(free - 90.0) > 0.01)
    for name, value in joints.items():
        tolerance = 1e-3 if name in (first, second) else 1e-5
        assert found[name] == pytest.approx(value, abs=tolerance), name


@pytest.mark.parametrize("model", list(C_ARMS.values()))
@pytest.mark.parametrize("direction", [-90.0, 90.0])
def test_poles_and_laterals_come_back(model, direction):
    first, second = model.joints[0], model.joints[1]
    for joints in (
        {first.name: direction},
        {second.name: direction},
        {first.name: 35.0, second.name: direction},
    ):
        pose = model.pose(joints)
        found = model.joints_for(pose, near=joints)
        same_pose(model.pose(found), pose)


@pytest.mark.parametrize("model", list(C_ARMS.values()))
@pytest.mark.parametrize("position", [PatientPosition.HFS, PatientPosition.HFP, PatientPosition.FFP])
@pytest.mark.parametrize("primary", [0.0, 180.0, 90.0, -90.0])
def test_every_machine_shows_ap_pa_and_both_laterals_supine_and_prone(model, position, primary):
    wanted = pose_for_patient_view(primary, 0.0, TablePose(), position, model.pose({}))
    reached = model.pose(model.joints_for(wanted))
    assert positioner_angles(reached, TablePose(), position) == pytest.approx((primary, 0.0), abs=1e-6)


@pytest.mark.parametrize("model", list(C_ARMS.values()))
@pytest.mark.parametrize("primary", [-140.0, -160.0, 160.0, 140.0])
@pytest.mark.parametrize("secondary", [-25.0, 0.0, 25.0])
def test_every_machine_shows_prone_obliques_with_the_detector_above(model, primary, secondary):
    prone = PatientPosition.HFP
    wanted = pose_for_patient_view(primary, secondary, TablePose(), prone, model.pose({}))
    reached = model.pose(model.joints_for(wanted))
    assert reached.primary_deg == pytest.approx(wanted.primary_deg, abs=1e-6)
    assert positioner_angles(reached, TablePose(), prone) == pytest.approx((primary, secondary), abs=1e-6)


def test_of_two_ways_the_nearer_is_taken():
    # Orbital 92 over the top, or orbital 88 with the C tilted by half a turn: the same beam.
    pose = MOBILE.pose({"orbital": 92.0})
    assert MOBILE.joints_for(pose)["orbital"] == pytest.approx(92.0)
    other = MOBILE.joints_for(pose, near={"orbital": 88.0, "tilt": 180.0})
    assert (other["orbital"], abs(other["tilt"])) == pytest.approx((88.0, 180.0))


def test_the_room_rotates_past_half_a_turn():
    pose = ROOM.pose({"rotation": -185.0})
    assert pose.primary_deg == pytest.approx(175.0)
    assert ROOM.joints_for(pose)["rotation"] == pytest.approx(-185.0)


def test_a_gantry_that_angulates_past_the_pole_reaches_behind_it():
    joints = tuple(
        replace(joint, minimum=-120.0, maximum=120.0) if joint.name == "angulation" else joint for joint in ROOM.joints
    )
    wide = replace(ROOM, joints=joints)
    found = wide.joints_for(CArmPose(150.0, 70.0, 750.0, 1200.0))
    assert (found["rotation"], found["angulation"]) == pytest.approx((-30.0, 110.0))
    with pytest.raises(OutOfReachError, match=r"angulation 110\.0°"):
        ROOM.joints_for(CArmPose(150.0, 70.0, 750.0, 1200.0))


@pytest.mark.parametrize(
    ("model", "joints", "joint", "said"),
    [
        (MOBILE, {"orbital": 120.0}, "orbital", "orbital 120.0° is out of reach .* from -95 to 95°"),
        (MOBILE, {"height": -200.0}, "height", "height -200.0 mm .* from -150 to 270 mm"),
        (ROOM, {"source_to_detector": 1300.0}, "source_to_detector", "from 900 to 1200 mm"),
    ],
)
def test_joints_out_of_reach_are_named(model, joints, joint, said):
    with pytest.raises(OutOfReachError, match=said) as caught:
        model.pose(joints)
    assert caught.value.joint.name == joint
    assert caught.value.value == joints[joint]


@pytest.mark.parametrize(
    ("model", "change", "joint"),
    [
        (MOBILE, {"isocenter_mm": (0.0, 0.0, 900.0)}, "longitudinal"),
        (MOBILE, {"isocenter_mm": (500.0, 0.0, 0.0)}, "lateral"),
        (MOBILE, {"isocenter_mm": (0.0, -400.0, 0.0)}, "height"),
        (MOBILE, {"source_to_detector_mm": 1100.0}, "source_to_detector"),
        (MOBILE, {"source_to_isocenter_mm": 500.0}, "source_to_isocenter"),
        (ROOM, {"isocenter_mm": (0.0, 40.0, 0.0)}, "height"),
        (ROOM, {"primary_deg": 150.0}, "rotation"),
        (ROOM, {"source_to_detector_mm": 850.0}, "source_to_detector"),
    ],
)
def test_poses_out_of_reach_are_named(model, change, joint):
    with pytest.raises(OutOfReachError) as caught:
        model.joints_for(replace(model.pose({}), **change))
    assert caught.value.joint.name == joint
    assert str(caught.value).count("\n") == 0


def test_the_roll_follows_the_nesting_unless_asked_for():
    oblique = CArmPose(61.5, 9.8, 510.0, 1020.0)
    found = MOBILE.joints_for(oblique)
    assert found["wig_wag"] == 0.0
    assert MOBILE.pose(found).detector_rotation_deg == pytest.approx(17.5, abs=0.1)
    # Roll 0 wants the C's axis level with the patient's: wig-wag −atan(sin p tan s) = −8.6°.
    level = MOBILE.joints_for(oblique, match_roll=True)
    assert -level["wig_wag"] == pytest.approx(np.rad2deg(np.arctan(np.sin(np.deg2rad(61.5)) * np.tan(np.deg2rad(9.8)))))
    assert MOBILE.pose(level).detector_rotation_deg == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(OutOfReachError, match=r"wig_wag -26\.9°"):
        MOBILE.joints_for(replace(oblique, secondary_deg=30.0), match_roll=True)


def test_clamp_brings_values_to_their_limits():
    assert MOBILE.clamp({"orbital": 200.0, "height": -1e9, "tilt": 12.5}) == {
        "orbital": 95.0, "height": -150.0, "tilt": 12.5,
    }  # fmt: skip


@pytest.mark.parametrize("call", [MOBILE.pose, MOBILE.clamp, MOBILE.joint])
def test_unknown_joints_are_refused_with_the_names_there_are(call):
    with pytest.raises(ValueError, match="no joint 'rotation'; it has orbital, tilt"):
        call("rotation" if call == MOBILE.joint else {"rotation": 1.0})


@pytest.mark.parametrize("call", [MOBILE.pose, MOBILE.clamp])
def test_values_that_are_not_numbers_are_refused(call):
    with pytest.raises(ValueError, match="orbital must be a finite number"):
        call({"orbital": float("nan")})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"unit": "cm"}, "unit"),
        ({"minimum": 5.0}, "rest"),
        ({"step": 0.0}, "step"),
    ],
)
def test_impossible_joints_are_refused(values, said):
    good = {"name": "a", "label": "A", "unit": "mm", "minimum": -1.0, "maximum": 1.0, "step": 1.0}
    with pytest.raises(ValueError, match=said):
        Joint(**{**good, **values})


def test_impossible_models_are_refused():
    with pytest.raises(ValueError, match="names must differ"):
        replace(MOBILE, joints=(*MOBILE.joints, MOBILE.joints[0]))
    with pytest.raises(ValueError, match="between source and detector"):
        replace(MOBILE, source_to_isocenter_mm=1020.0)
