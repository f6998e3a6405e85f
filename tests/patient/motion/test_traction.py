"""Discs under a pull: immediate opening, creep, stop, recovery, friction; the closed form against plain integration."""

from dataclasses import replace

import numpy as np
import pytest

from fluoroscope.patient.motion import LivingPatient, MotionSettings
from fluoroscope.patient.motion.course import Step, piece_at, ramps, value_of
from fluoroscope.patient.motion.traction import Creep, spine_force


def discs(patient, time_s):
    return patient.status(time_s)["discs"]


def test_opening_at_once_creep_and_recovery(articulation):
    patient = LivingPatient(articulation, MotionSettings.still())
    patient.pull(0.0, 300.0, 20.0)
    patient.pull(3000.0, 0.0, 10.0)
    at_once, late = discs(patient, 20.0), discs(patient, 3000.0)
    for name, disc in at_once.items():
        assert 0.18 <= disc["middle_mm"] <= 0.5, name
        assert disc["middle_mm"] < late[name]["middle_mm"] < 2.0
        assert disc["posterior_mm"] > disc["middle_mm"] > disc["anterior_mm"] >= 0.0
    grown = [discs(patient, 20.0 + t)["L3_L4"]["middle_mm"] for t in (0.0, 420.0, 2900.0)]
    assert (grown[1] - grown[0]) / (grown[2] - grown[0]) == pytest.approx(1.0 - np.exp(-1.0), abs=0.05)
    just_after, hours_after = discs(patient, 3011.0), discs(patient, 12000.0)
    assert just_after["L3_L4"]["middle_mm"] > 0.1
    assert hours_after["L3_L4"]["middle_mm"] == pytest.approx(0.0, abs=1e-6)


def test_the_greatest_pull_stays_under_the_stop(articulation):
    patient = LivingPatient(articulation, MotionSettings(pull_angle_deg=25.0))
    patient.pull(0.0, 900.0, 10.0)
    for disc in discs(patient, 20000.0).values():
        assert 1.0 < disc["posterior_mm"] < 2.0
        assert disc["anterior_mm"] == pytest.approx(0.0, abs=1e-12)


def test_a_fused_segment_moves_as_one(articulation):
    joints = [replace(joint, fused=joint.name in ("L4_L5", "L5_S1")) for joint in articulation.joints]
    patient = LivingPatient(replace(articulation, joints=tuple(joints)), MotionSettings.still())
    patient.pull(0.0, 400.0, 10.0)
    patient.bend(0.0, flexion_deg=15.0, side_bend_deg=5.0, over_s=5.0)
    frames = patient.frames_at(500.0)
    np.testing.assert_array_equal(frames["vertebrae_L5"], np.eye(4))
    np.testing.assert_array_equal(frames["vertebrae_L4"], np.eye(4))
    assert np.abs(frames["vertebrae_L3"] - np.eye(4)).max() > 0.01
    assert discs(patient, 500.0)["L4_L5"]["middle_mm"] == 0.0


def test_degenerated_discs_open_less(make_articulation):
    opened = []
    for degeneration in (0.0, 0.9):
        patient = LivingPatient(make_articulation(degeneration=degeneration), MotionSettings.still())
        patient.pull(0.0, 300.0, 10.0)
        opened.append(discs(patient, 600.0)["L4_L5"]["middle_mm"])
    assert opened[1] < 0.8 * opened[0]


def test_the_frames_open_as_the_status_says(articulation):
    patient = LivingPatient(articulation, MotionSettings.still())
    patient.pull(0.0, 300.0, 10.0)
    frames, told = patient.frames_at(100.0), discs(patient, 100.0)["L3_L4"]
    joint = next(joint for joint in articulation.joints if joint.name == "L3_L4")
    between = np.linalg.inv(frames["vertebrae_L4"]) @ frames["vertebrae_L3"]
    for y_mm, name in ((-17.0, "anterior_mm"), (0.0, "middle_mm"), (17.0, "posterior_mm")):
        corner = joint.world_from_disc @ [0.0, y_mm, 0.0, 1.0]
        assert (between @ corner - corner)[2] == pytest.approx(told[name], abs=1e-3)


def test_closed_form_equals_integration():
    pull = ramps([Step(1.0, 300.0, 4.0), Step(3.0, 50.0, 6.0), Step(20.0, 200.0, 0.5)])
    creep, step_s, crept = Creep(pull, 7.0), 1e-3, 0.0
    for number in range(40000):
        middle = value_of(pull[piece_at(pull, (number + 0.5) * step_s)], (number + 0.5) * step_s)
        crept += step_s * (middle - crept) / (7.0 + 0.5 * step_s)
        if number % 4000 == 3999:
            assert creep.at((number + 1) * step_s)[1] == pytest.approx(crept, abs=0.02)


def test_friction_takes_its_part_both_ways():
    pull = ramps([Step(0.0, 300.0, 30.0), Step(60.0, 0.0, 30.0)])
    felt = spine_force(pull, 100.0)

    def at(pieces, time_s):
        return value_of(pieces[piece_at(pieces, time_s)], time_s)

    assert [at(felt, t) for t in (5.0, 10.0, 20.0, 30.0, 50.0)] == pytest.approx([0.0, 0.0, 100.0, 200.0, 200.0])
    # Letting go: nothing until the pull has fallen below what is felt by the friction, then at its rate.
    assert [at(felt, t) for t in (75.0, 80.0, 90.0, 100.0)] == pytest.approx([200.0, 200.0, 100.0, 100.0])


def test_a_loop_of_force_and_opening_is_open(articulation):
    patient = LivingPatient(articulation, MotionSettings.still())
    patient.pull(0.0, 300.0, 60.0)
    patient.pull(60.0, 0.0, 60.0)
    up, down = discs(patient, 30.0)["L4_L5"], discs(patient, 90.0)["L4_L5"]
    assert patient.status(30.0)["traction_n"] == patient.status(90.0)["traction_n"] == 150.0
    assert down["middle_mm"] > up["middle_mm"] + 0.02
