"""The scorer itself: known errors come back as they were put in, and failures that were made are seen."""

import numpy as np
import pytest

from fluoroscope.evaluation.registration_cases import NEAR_START, Exposure, pictured, start_from
from fluoroscope.evaluation.registration_runs import KINDS, provoked, quick_subject, registered, tracked
from fluoroscope.evaluation.registration_score import outcome_of, summary_of
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.rigid import apply, rotation, translation
from fluoroscope.guidance.registration import Registration, vertebra_models

POSES = (CArmPose(0.0, 0.0, 510.0, 1020.0), CArmPose(90.0, 0.0, 510.0, 1020.0))


@pytest.fixture(scope="module")
def subject():
    return quick_subject(7, pitch_mm=2.5, ct_pitch_mm=3.0)


@pytest.fixture(scope="module")
def models(subject):
    return vertebra_models(subject.ct, subject.labels)


@pytest.fixture(scope="module")
def seen(subject):
    how = Exposure(pixels=128, pitch_mm=2.4)
    return pictured(subject, "L3", POSES, np.random.default_rng(1), exposure=how, offset_mm=0.0)


def said(pose, *, success=True, in_plane=1.0, depth=1.0):
    return Registration("L3", pose, 0.8, np.eye(6), in_plane, depth, success, "", 10, 0.1)


def held(subject, seen, pose, views=2, **words):
    center = subject.center_mm("L3")
    return outcome_of(said(pose, **words), seen.truth["L3"], subject.landmarks_mm("L3"), center, seen.views[:views])


@pytest.mark.req("REQ-GUI-014")
def test_shifts_come_back_in_their_direction(subject, seen):
    # Seen from the front: columns grow toward +x, rows downward (-z), depth toward the detector (-y).
    for offset, column, row, depth in (((1.5, 0, 0), 1.5, 0, 0), ((0, 0, 1.5), 0, -1.5, 0), ((0, -1.5, 0), 0, 0, 1.5)):
        one = held(subject, seen, translation(offset) @ seen.truth["L3"])
        assert one.mtre_mm == pytest.approx(1.5, abs=1e-6)
        assert one.in_plane_mm == pytest.approx((column, row), abs=0.02)
        assert one.depth_mm == pytest.approx(depth, abs=0.02)
        assert one.rotation_deg == pytest.approx(0.0, abs=1e-4)
        assert one.found


@pytest.mark.req("REQ-GUI-014")
def test_one_view_is_judged_without_depth_and_two_with_it(subject, seen):
    pose = translation((0.0, -6.0, 0.0)) @ seen.truth["L3"]
    assert held(subject, seen, pose, views=1).found
    deep = held(subject, seen, pose, views=2)
    assert not deep.found
    assert deep.cause == "depth"


@pytest.mark.req("REQ-GUI-014")
def test_turns_and_slips_are_called_by_name(subject, seen):
    truth = seen.truth["L3"]
    middle = apply(truth, subject.center_mm("L3"))
    turned = held(subject, seen, rotation((0, 0, 1), 9.0, middle) @ truth)
    assert turned.rotation_deg == pytest.approx(9.0, abs=1e-6)
    assert turned.cause == "turn"
    assert held(subject, seen, translation((0, 0, 34.0)) @ truth).cause == "level slip"


@pytest.mark.req("REQ-GUI-014")
def test_coverage_counts_what_lies_within_the_said_interval(subject, seen):
    off = translation((1.0, 0.0, 0.0)) @ seen.truth["L3"]
    tight = summary_of([held(subject, seen, off, in_plane=0.3), held(subject, seen, seen.truth["L3"])])
    assert tight.coverage_in_plane == pytest.approx(0.75)
    assert tight.coverage_depth == pytest.approx(1.0)
    wrong = summary_of([held(subject, seen, translation((0, 0, 30)) @ off), held(subject, seen, off, success=False)])
    assert wrong.shown == pytest.approx(1.0)
    assert wrong.kept_back == pytest.approx(1.0)
    with pytest.raises(ValueError, match="no outcome"):
        summary_of([])


@pytest.mark.req("REQ-GUI-014")
def test_starts_fill_their_box(subject, seen):
    rng, truth = np.random.default_rng(2), seen.truth["L3"]
    center = subject.center_mm("L3")
    away = np.array(
        [apply(start_from(truth, center, NEAR_START, rng), center) - apply(truth, center) for _ in range(80)]
    )
    assert np.abs(away).max() <= 8.0 + 1e-9
    assert (np.abs(away).max(axis=0) > 7.0).all()


@pytest.mark.req("REQ-GUI-014")
def test_vertebrae_do_not_move_as_one(subject, seen):
    one, other = seen.truth["L2"], seen.truth["L5"]
    turn = one[:3, :3] @ other[:3, :3].T
    assert np.rad2deg(np.arccos(0.5 * (np.trace(turn) - 1.0))) > 1.0


@pytest.mark.req("REQ-GUI-015")
def test_registration_meets_pictures_of_another_making(subject, models):
    outcomes = list(registered(subject, models, np.random.default_rng(4), count=2, pixels=512))
    summary = summary_of(outcomes)
    assert summary.shown != 1.0
    # The CT has voxels of 3 mm, the picture was made of 2.5 mm.
    assert summary.mtre_mm[0] < 1.0


@pytest.mark.req("REQ-GUI-015")
def test_failures_made_on_purpose_are_not_called_right(subject, models):
    runs = list(provoked(subject, models, models, np.random.default_rng(6), count=len(KINDS), pixels=256))
    assert {one.kind for one in runs} == set(KINDS)
    hidden = [one for one in runs if one.kind in ("no bone", "collimated away")]
    assert hidden
    assert not any(one.found.success for one in hidden)
    assert all(one.found.reason for one in hidden)


@pytest.mark.req("REQ-GUI-016")
def test_a_bending_vertebra_is_followed(subject, models):
    outcomes = tracked(subject, models, "L3", np.random.default_rng(2), frames=8)
    assert len(outcomes) == 7
    assert np.median([np.hypot(*one.in_plane_mm) for one in outcomes]) < 0.6
