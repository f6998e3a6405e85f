"""Needles drawn exactly on noise: where the tip is, which end it is, and what is no needle."""

import numpy as np
import pytest

from fluoroscope.guidance.needle import DetectedNeedle, NeedleTracker, detect_needles

SIDE = 512


def drawn(hub, tip, *, width=3.0, height=0.4, noise=0.05, seed=0, side=SIDE):
    """Return nepers: a bar of ``width`` from hub to tip with a square end, on noise and a slope."""
    rng = np.random.default_rng(seed)
    r, c = np.mgrid[0:side, 0:side].astype(np.float64)
    hub, tip = np.array(hub, float), np.array(tip, float)
    way = (tip - hub) / np.hypot(*(tip - hub))
    along = (r - hub[0]) * way[0] + (c - hub[1]) * way[1]
    across = (r - hub[0]) * -way[1] + (c - hub[1]) * way[0]
    length = np.hypot(*(tip - hub))
    bell = np.exp(-0.5 * (across / (width / 2.5)) ** 2)
    inside = np.clip(along + 0.5, 0, 1) * np.clip(length - along + 0.5, 0, 1)
    picture = height * bell * inside + 2.0 + 0.8 * r / side + rng.normal(0.0, noise, (side, side))
    return picture.astype(np.float32)


@pytest.mark.req("REQ-GUI-020")
@pytest.mark.parametrize("tip", [(250.3, 210.7), (310.0, 260.4), (255.5, 300.2)])
def test_a_needle_from_the_edge_is_found_with_its_tip_and_direction(tip):
    hub = (-20.0, 240.0)
    valid = np.ones((SIDE, SIDE), bool)
    found = detect_needles(drawn(hub, tip), valid)
    assert len(found) >= 1
    best = found[0]
    assert isinstance(best, DetectedNeedle)
    assert best.confidence > 0.8
    assert np.hypot(best.tip_px[0] - tip[0], best.tip_px[1] - tip[1]) < 2.5
    wanted = np.degrees(np.arctan2(tip[0] - hub[0], tip[1] - hub[1]))
    assert abs(best.angle_deg - wanted) < 1.0
    assert best.hub_px is None


@pytest.mark.req("REQ-GUI-020")
def test_noise_alone_holds_no_needle():
    valid = np.ones((SIDE, SIDE), bool)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        picture = (2.0 + rng.normal(0.0, 0.1, (SIDE, SIDE))).astype(np.float32)
        assert not [one for one in detect_needles(picture, valid) if one.confidence >= 0.5]


@pytest.mark.req("REQ-GUI-022")
def test_the_tracker_keeps_the_number_and_loses_after_five_misses():
    valid = np.ones((SIDE, SIDE), bool)
    tracker = NeedleTracker()
    numbers = []
    for n in range(4):
        told = tracker.update(drawn((-20.0, 240.0), (200.0 + 4 * n, 220.0), seed=n), valid, n / 15.0)
        numbers.append(told[0].track)
    assert set(numbers) == {1}
    rng = np.random.default_rng(9)
    empty = (2.0 + rng.normal(0.0, 0.05, (SIDE, SIDE))).astype(np.float32)
    told = [tracker.update(empty, valid, (4 + n) / 15.0) for n in range(7)]
    assert [len(one) for one in told] == [1, 1, 1, 1, 1, 0, 0]
    assert all(not one.seen for one in told[0])
    again = tracker.update(drawn((-20.0, 240.0), (216.0, 220.0)), valid, 11 / 15.0)
    assert again[0].track == 2


def test_wrong_arrays_are_refused():
    with pytest.raises(ValueError, match="float32"):
        detect_needles(np.zeros((200, 200)), np.ones((200, 200), bool))
    with pytest.raises(ValueError, match="valid"):
        detect_needles(np.zeros((200, 200), np.float32), np.ones((100, 200), bool))
