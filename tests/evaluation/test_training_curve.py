"""Learning curves: sums by hand, and how often they are wrong."""

import math

import numpy as np
import pytest

from fluoroscope.evaluation.training_curve import CurveSettings, learning_curve

UP, DOWN = math.log(0.9 / 0.7), math.log(0.1 / 0.3)


@pytest.mark.req("REQ-GUI-075")
def test_the_sums_by_hand():
    curve = learning_curve([True, True, False, True, True])
    sums = [UP, 2.0 * UP, 0.0, UP, 2.0 * UP]
    assert 2.0 * UP + DOWN < 0.0
    assert curve.learning == pytest.approx(sums)
    assert (curve.proficient_at, curve.lost_at, set(curve.keeping)) == (None, None, {0.0})


@pytest.mark.req("REQ-GUI-075")
def test_a_run_of_good_attempts_is_adequate_and_bad_ones_after_it_end_that():
    needed = math.ceil(3.0 / UP)
    curve = learning_curve([True] * needed + [False] * 4)
    assert curve.proficient_at == needed
    assert curve.lost_at == needed + math.ceil(3.0 / -DOWN)
    assert learning_curve([True] * needed).lost_at is None
    assert learning_curve([]).learning == ()


@pytest.mark.req("REQ-GUI-075")
@pytest.mark.parametrize(("failures", "low", "high"), [(0.3, 0.0, 0.13), (0.1, 0.80, 0.88)])
def test_how_often_a_trainee_is_called_adequate_within_thirty_attempts(failures, low, high):
    random = np.random.default_rng(500)
    signals = [learning_curve(random.random(30) >= failures).proficient_at is not None for _ in range(2000)]
    assert low <= np.mean(signals) <= high


def test_settings_that_cannot_be():
    for bad in ({"adequate": 0.3, "inadequate": 0.1}, {"adequate": 0.0}, {"limit": 0.0}):
        with pytest.raises(ValueError, match="adequate"):
            CurveSettings(**bad)
