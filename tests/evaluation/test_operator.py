"""The virtual operator: a lumbar puncture by guidance's figures on one modelled patient, and what its errors do."""

from dataclasses import replace

import numpy as np
import pytest

from fluoroscope.evaluation.operator_hand import Hand, Sight, tilted
from fluoroscope.evaluation.operator_patients import operated_patient
from fluoroscope.evaluation.operator_run import Outcome, freehand_puncture, guided_puncture
from fluoroscope.evaluation.operator_score import Puncture, rows_of, summary
from fluoroscope.evaluation.scorecard import score
from fluoroscope.guidance.planning import plan

STEADY = Hand(*(0.0,) * 11)
CLEAR = Sight(tip_px=0.01, line_px=0.01, point_px=0.01, missed=0.0, wild=0.0, in_plane_mm=0.0, along_beam_mm=0.0,
              turn_deg=0.0, plan_mm=0.0)  # fmt: skip


@pytest.fixture(scope="module")
def operated():
    patient = operated_patient(3)
    return patient.probe, plan(patient.patient, "lumbar-puncture", "L3-L4", limit=2)


def rng(seed=1):
    return np.random.default_rng(seed)


@pytest.mark.req("REQ-GUI-048")
def test_a_steady_hand_with_clear_sight_arrives_at_the_target(operated):
    probe, plans = operated
    found = guided_puncture(probe, plans, rng(), hand=STEADY, sight=CLEAR)
    assert found.reached
    assert found.passes == 1
    assert found.bone_contacts == 0
    assert found.target_error_mm < 1.0
    assert found.angle_error_deg < 0.7


@pytest.mark.req("REQ-GUI-048")
def test_a_real_hand_with_real_sight_arrives_within_3_mm_and_freehand_is_worse(operated):
    probe, plans = operated
    guided = [guided_puncture(probe, plans, rng(n)) for n in range(8)]
    free = [freehand_puncture(probe, plans, rng(n)) for n in range(8)]
    assert all(one.reached for one in guided)
    assert np.mean([one.target_error_mm for one in guided]) < 3.0
    assert np.mean([one.angle_error_deg for one in guided]) < 3.0
    assert np.mean([one.angle_error_deg for one in free]) > 2.0 * np.mean([one.angle_error_deg for one in guided])


@pytest.mark.req("REQ-GUI-048")
def test_what_guidance_sees_wrong_the_needle_does_wrong(operated):
    """The operator has nothing but the figures: a CT that is off by 8 mm is not corrected for."""
    probe, plans = operated
    off = np.mean([guided_puncture(probe, plans, rng(n), sight=replace(Sight(), plan_mm=8.0)).target_error_mm
                   for n in range(4)])  # fmt: skip
    assert off > 4.0


def test_a_blind_guidance_ends_the_attempt_without_csf(operated):
    probe, plans = operated
    found = guided_puncture(probe, plans, rng(), sight=replace(Sight(), missed=1.0))
    assert not found.reached


def test_a_tilt_has_the_spread_that_was_asked_for():
    way = np.array([0.0, -1.0, 0.0])
    turned = np.array([tilted(way, 3.0, rng(n)) for n in range(2000)])
    angles = np.degrees(np.arccos(turned @ way))
    assert angles.mean() == pytest.approx(3.0 * 1.253, rel=0.05)


def test_rows_count_patients_without_a_plan_as_failed():
    good = Outcome(True, 1.0, 1.5, 1, 0, 0, 20)
    free = Outcome(True, 6.0, 9.0, 2, 0, 1, 5)
    done = [Puncture(500, "L3-L4", good, free), Puncture(501, "", None, None)]
    assert summary(done)["guided"]["failed_percent"] == pytest.approx(50.0)
    rows = {row["id"]: row for row in rows_of(done, score)}
    assert not rows["operator.canal"]["pass"]
    assert rows["operator.target"]["pass"]
    assert "by freehand 6.0 mm" in rows["operator.target"]["what"]
