"""A patient in motion: a pure function of time, without jumps, with exact truth."""

import json

import numpy as np
import pytest

from fluoroscope.geometry.rigid import apply, inverse
from fluoroscope.patient.motion import LivingPatient, MotionSettings
from fluoroscope.patient.motion.spine import soft_hats, soft_heights
from fluoroscope.patient.parts import Articulation, Landmark, Part

TIMES_S = np.arange(0.0, 60.0, 0.05)


def busy(articulation, seed=3):
    patient = LivingPatient(articulation, seed=seed)
    patient.bend(5.0, 12.0, -6.0, 4.0)
    patient.bend(7.0, -5.0, 8.0, 3.0)
    patient.pull(10.0, 400.0, 8.0)
    patient.pull(14.0, 100.0, 5.0)
    patient.hold_breath(17.3)
    patient.breathe(25.0)
    patient.hold_breath(30.0, at_expiration=True)
    patient.breathe(45.0)
    patient.cough(50.0)
    patient.shift(20.0, 5.0, -3.0, 10.0, 4.0)
    patient.shift(20.8, -5.0, 0.0, 0.0, -4.0)
    return patient


def test_rest_is_the_patient_as_built(articulation):
    patient = LivingPatient(articulation, MotionSettings.still())
    for time_s in (0.0, 1.7, 400.0):
        scene = patient.at(time_s)
        assert [body.name for body in scene.bodies] == [part.name for part in articulation.parts]
        assert all(np.array_equal(body.world_from_body, np.eye(4)) for body in scene.bodies)
        assert scene.truth.landmarks_mm["L3/center"] == (0.0, 0.0, 0.0)


def test_everything_is_a_function_of_time(articulation):
    """Asked forward, backward or after later commands, the past is the same."""
    patient = busy(articulation)
    forward = [patient.frames_at(t) for t in TIMES_S]
    again = busy(articulation)
    for time_s, frames in reversed(list(zip(TIMES_S, forward, strict=True))):
        other = again.frames_at(time_s)
        assert all(np.array_equal(frames[name], other[name]) for name in frames)
    patient.bend(55.0, 3.0)
    patient.pull(55.0, 0.0, 2.0)
    patient.hold_breath(55.0)
    patient.shift(55.0, 0.0, 0.0, 0.0)
    for time_s, frames in zip(TIMES_S, forward, strict=True):
        if time_s < 54.99:
            later = patient.frames_at(time_s)
            assert all(np.array_equal(frames[name], later[name]) for name in frames)
    other_seed = busy(articulation, seed=4).frames_at(3.0)
    assert not np.array_equal(other_seed["liver"], busy(articulation).frames_at(3.0)["liver"])


@pytest.mark.parametrize("span_s", [(4.5, 12.0), (17.0, 22.0), (49.8, 52.0)])
def test_nothing_jumps(articulation, span_s):
    """No frame's corner goes faster than 250 mm/s, nor changes its speed by a step, seen every 10 ms."""
    patient = busy(articulation)
    corner = np.array([60.0, 60.0, 60.0])
    ways = {}
    for time_s in np.arange(*span_s, 0.01):
        for name, frame in patient.frames_at(time_s).items():
            ways.setdefault(name, []).append(apply(frame, corner))
    for name, way in ways.items():
        speed = np.diff(np.array(way), axis=0) / 0.01
        assert np.abs(speed).max() < 250.0, name
        assert np.abs(np.diff(speed, axis=0)).max() < 40.0, name


def test_breaths_differ_a_little_and_a_held_breath_stands(articulation):
    patient = LivingPatient(articulation)
    way = np.array([patient.frames_at(t)["liver"][2, 3] for t in np.arange(0.0, 120.0, 0.02)])
    tops = [-part.min() for part in np.split(way, np.flatnonzero((way[1:] > -0.02) & (way[:-1] <= -0.02)) + 1)]
    tops = [top for top in tops if top > 1.0]
    assert 25 <= len(tops) <= 35
    assert np.ptp(tops) > 0.5
    assert all(7.0 < top < 13.0 for top in tops)
    patient.hold_breath(200.0)
    patient.breathe(230.0)
    held = patient.frames_at(201.0)["liver"]
    assert np.array_equal(patient.frames_at(229.0)["liver"], held)
    assert patient.status(215.0)["breathing"] is False
    assert patient.status(235.0)["breathing"] is True
    patient.hold_breath(300.0, at_expiration=True)
    assert patient.status(320.0)["breath_mm"] == pytest.approx(0.0, abs=1e-9)


def test_a_bend_is_shared_by_all_levels_and_runs_down_the_spine(articulation):
    patient = LivingPatient(articulation, MotionSettings.still())
    patient.bend(0.0, 20.0, 10.0, 4.0)
    end = patient.frames_at(10.0)
    status = patient.status(10.0)
    assert status["flexion_deg"] == pytest.approx(20.0)
    assert status["side_bend_deg"] == pytest.approx(10.0)
    head = end["vertebrae_T12"][:3, :3] @ [0.0, 0.0, 1.0]
    assert -head[1] == pytest.approx(np.sin(np.deg2rad(20.0)), abs=0.03)
    assert head[0] == pytest.approx(np.sin(np.deg2rad(10.0)), abs=0.03)
    turns = {
        level: tilt(end[f"vertebrae_{level}"]) - tilt(end[f"vertebrae_{below}"])
        for level, below in (("L2", "L3"), ("L3", "L4"), ("L4", "L5"))
    }
    assert turns["L2"] > turns["L3"] > turns["L4"] > 1.0
    early = patient.frames_at(0.8)
    top = tilt(early["vertebrae_T12"]) - tilt(early["vertebrae_L1"])
    assert top > 10.0 * tilt(early["vertebrae_L5"])
    assert np.array_equal(end["table"], np.eye(4))


def tilt(frame):
    """Forward tilt, deg."""
    up = frame[:3, :3] @ [0.0, 0.0, 1.0]
    return np.rad2deg(np.arctan2(-up[1], up[2]))


def test_a_level_turns_about_the_back_of_its_lower_endplate(articulation):
    patient = LivingPatient(articulation, MotionSettings.still())
    patient.bend(0.0, 15.0, 0.0, 1.0)
    frames = patient.frames_at(5.0)
    joint = next(joint for joint in articulation.joints if joint.name == "L3_L4")
    center = apply(joint.world_from_disc, (0.0, 0.15 * 34.0, -0.5 * 8.5))
    assert np.allclose(apply(frames["vertebrae_L3"], center), apply(frames["vertebrae_L4"], center), atol=1e-9)


def test_a_disc_follows_half_way(articulation):
    patient = busy(articulation)
    frames = patient.frames_at(18.0)
    below, disc, above = frames["vertebrae_L4"], frames["disc_L3_L4"], frames["vertebrae_L3"]
    half = np.linalg.inv(below) @ disc
    assert np.allclose(half @ half, np.linalg.inv(below) @ above, atol=1e-9)


def test_scene_and_truth_agree(articulation):
    patient = busy(articulation)
    scene = patient.at(18.0)
    bodies = {body.name: body.world_from_body for body in scene.bodies}
    assert np.array_equal(bodies["soft_L3"], scene.truth.frames["soft_L3"])
    assert np.array_equal(scene.truth.frames["vertebrae_L3"], bodies["vertebrae_L3"])
    moved = apply(bodies["vertebrae_L3"], (0.0, 0.0, 0.0))
    assert scene.truth.landmarks_mm["L3/center"] == pytest.approx(tuple(moved))
    assert json.loads(json.dumps(scene.truth.motion))["traction_n"] > 0.0


def test_soft_slabs_go_sideways_with_the_spine_and_neither_turn_nor_close_in(articulation):
    """At the skin, 100 mm before the spine, neighbours part by a fifth less than turning ones would, or better."""
    patient = LivingPatient(articulation, MotionSettings.still())
    patient.bend(0.0, patient.bend_limits_deg[1], 0.0, 1.0)
    frames = patient.frames_at(5.0)
    joints = articulation.joints
    discs = {joint.name: joint.world_from_disc[:3, 3] for joint in joints}
    middle = 0.5 * (discs["L2_L3"] + discs["L3_L4"])
    slabs = [frames["soft_L3"], frames["soft_L3_1"], frames["soft_L3_2"], frames["soft_L4"]]
    assert all(np.array_equal(one[:3, :3], np.eye(3)) and one[2, 3] == 0.0 for one in slabs)
    assert np.allclose(apply(slabs[0], middle)[:2], apply(frames["vertebrae_L3"], middle)[:2], atol=1e-9)
    assert np.allclose(np.diff([one[:3, 3] for one in slabs], axis=0), (slabs[-1] - slabs[0])[:3, 3] / 3.0)
    skin = discs["L3_L4"] + np.array([0.0, -100.0, 0.0])

    def parted_mm(kind):
        return np.linalg.norm(apply(frames[f"{kind}_L3"], skin) - apply(frames[f"{kind}_L4"], skin))

    assert parted_mm("vertebrae") > 10.0
    assert parted_mm("soft") < 0.8 * parted_mm("vertebrae")


def test_a_part_that_rests_stays_the_same_object(articulation):
    patient = LivingPatient(articulation)
    one, two = patient.at(1.0), patient.at(1.5)
    pairs = {a.name: a is b for a, b in zip(one.bodies, two.bodies, strict=True)}
    rested = {name for name, same in pairs.items() if same}
    assert {"base", "vertebrae_L3", "soft_L1"} <= rested
    assert not {"liver", "colon"} & rested


def test_organs_bend_with_the_trunk_around_them(articulation):
    patient = LivingPatient(articulation, MotionSettings.still())
    patient.bend(0.0, 20.0)
    frames = patient.frames_at(10.0)
    slabs = [frame for name, frame in frames.items() if name.startswith("soft_")]
    assert frames["liver"][1, 3] < -3.0
    assert any(np.array_equal(frames["liver"], slab) for slab in slabs)


def test_slabs_of_soft_tissue_add_up_to_all_of_it():
    heights = soft_heights([120.0, 80.0, 40.0, 10.0])
    planes = np.linspace(-200.0, 300.0, 1001)
    hats = soft_hats(heights, planes)
    assert heights[[0, 3, 6, 9]] == pytest.approx([120.0, 80.0, 40.0, 10.0])
    assert np.allclose(hats.sum(axis=0), 1.0)
    assert np.array_equal(hats[0, planes > 120.0], np.ones((planes > 120.0).sum()))
    assert np.array_equal(hats[-1, planes < 10.0], np.ones((planes < 10.0).sum()))


def test_bad_commands_are_refused_and_change_nothing(articulation):
    patient = LivingPatient(articulation, MotionSettings.still())
    for command in (
        lambda: patient.bend(0.0, 80.0),
        lambda: patient.bend(0.0, 5.0, 60.0),
        lambda: patient.pull(0.0, 5000.0),
        lambda: patient.pull(0.0, float("nan")),
        lambda: patient.shift(0.0, 900.0, 0.0, 0.0),
    ):
        with pytest.raises(ValueError, match="must be"):
            command()
    assert np.array_equal(patient.frames_at(10.0)["vertebrae_T12"], np.eye(4))
    with pytest.raises(ValueError, match="breathing_mm"):
        MotionSettings(breathing_mm=200.0)


def test_a_part_on_an_unknown_frame_is_refused(articulation):
    volume = articulation.parts[0].volume
    with pytest.raises(ValueError, match="tail"):
        LivingPatient(Articulation((Part("base", volume), Part("tail", volume, "tail"))))
    with pytest.raises(ValueError, match="tail"):
        LivingPatient(Articulation((Part("base", volume),), (), {"a": Landmark("a", (0.0, 0.0, 0.0), "tail")}))


def test_flexion_begins_above_and_extension_below(articulation):
    patient = LivingPatient(articulation, MotionSettings.still())
    patient.bend(0.0, 20.0, 0.0, 4.0)
    patient.bend(10.0, 0.0, 0.0, 4.0)

    def bent_deg(time_s):
        frames = patient.frames_at(time_s)
        return [
            tilt(inverse(frames.get(joint.lower, np.eye(4))) @ frames[joint.upper])
            for joint in (articulation.joints[0], articulation.joints[-1])
        ]

    full, early, back = bent_deg(9.0), bent_deg(0.9), bent_deg(10.9)
    assert early[0] > 0.05 * full[0] > 0.0
    assert early[1] < 0.01 * full[1]
    assert full[1] - back[1] > 0.05 * full[1]
    assert full[0] - back[0] < 0.01 * full[0]
