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


@pytest.mark.req("REQ-GUI-022")
def test_a_needle_pushed_on_between_two_pulses_stays_one_needle():
    tracker, valid, hub = NeedleTracker(), np.ones((SIDE, SIDE), bool), np.array([-20.0, 240.0])
    tip = np.array([200.0, 220.0])
    way = (tip - hub) / np.hypot(*(tip - hub))
    for n, pushed in enumerate((0.0, 18.0, 40.0, 62.0)):
        now = tip + pushed * way
        (seen,) = tracker.update(drawn(hub, now, seed=n), valid, n / 15.0)
        assert seen.track == 1
        assert np.hypot(*(np.array(seen.tip_px) - now)) < 2.5


def test_wrong_arrays_are_refused():
    with pytest.raises(ValueError, match="float32"):
        detect_needles(np.zeros((200, 200)), np.ones((200, 200), bool))
    with pytest.raises(ValueError, match="valid"):
        detect_needles(np.zeros((200, 200), np.float32), np.ones((100, 200), bool))


@pytest.mark.req("REQ-GUI-023")
def test_a_shaft_that_leaves_the_field_at_both_ends_has_no_sure_tip():
    valid = np.ones((SIDE, SIDE), bool)
    found = detect_needles(drawn((-30.0, 200.0), (560.0, 300.0)), valid)
    assert found
    assert all(one.confidence <= 0.3 for one in found)
    assert "both ends" in found[0].note


@pytest.mark.req("REQ-GUI-023")
def test_a_tip_behind_a_blade_is_not_told_as_sure():
    valid = np.zeros((SIDE, SIDE), bool)
    valid[40:300, 40:470] = True
    picture = drawn((-30.0, 240.0), (420.0, 260.0))
    picture[~valid] = 9.0
    assert all(one.confidence <= 0.3 for one in detect_needles(picture, valid))


@pytest.mark.req("REQ-GUI-024")
def test_the_edges_of_blades_and_of_dense_bone_are_no_needles():
    rng = np.random.default_rng(3)
    picture = 2.0 + rng.normal(0.0, 0.05, (SIDE, SIDE))
    picture[100:400, 150:330] += 0.8
    valid = np.zeros((SIDE, SIDE), bool)
    valid[30:480, 60:500] = True
    picture[~valid] = 8.0
    assert not [one for one in detect_needles(picture.astype(np.float32), valid) if one.confidence >= 0.5]


@pytest.mark.req("REQ-GUI-024")
def test_a_ruler_is_told_by_its_ticks():
    valid = np.ones((SIDE, SIDE), bool)
    picture = drawn((60.0, 200.0), (480.0, 210.0), noise=0.03)
    for tick in range(16):
        row = 70 + 25 * tick
        picture[row : row + 2, 203 + tick // 3 : 224 + tick // 3] += 0.35
    assert not [one for one in detect_needles(picture, valid) if one.confidence >= 0.5]


@pytest.mark.req("REQ-GUI-023")
def test_a_dense_dot_is_told_without_a_direction_and_not_as_sure():
    rng = np.random.default_rng(4)
    r, c = np.mgrid[0:SIDE, 0:SIDE]
    picture = 2.0 + rng.normal(0.0, 0.05, (SIDE, SIDE)) + 1.5 * (np.hypot(r - 250.4, c - 301.3) < 2.6)
    found = detect_needles(picture.astype(np.float32), np.ones((SIDE, SIDE), bool))
    assert len(found) == 1
    assert found[0].angle_deg is None
    assert 0.0 < found[0].confidence < 0.5
    assert np.hypot(found[0].tip_px[0] - 250.4, found[0].tip_px[1] - 301.3) < 0.7
    assert "end-on" in found[0].note


@pytest.mark.req("REQ-GUI-021")
def test_a_bent_wire_is_followed_along_its_arc():
    rng = np.random.default_rng(5)
    r, c = np.mgrid[0:SIDE, 0:SIDE].astype(float)
    away = np.hypot(r - 260.0, c - 512.0) - 330.0
    inside = (r > 120.0) & (c < 420.0)
    picture = 2.0 + rng.normal(0.0, 0.05, (SIDE, SIDE)) + 0.5 * np.exp(-0.5 * (away / 1.3) ** 2) * inside
    best = detect_needles(picture.astype(np.float32), np.ones((SIDE, SIDE), bool))[0]
    line = best.centreline_px
    assert len(line) > 300
    assert np.median(np.abs(np.hypot(line[:, 0] - 260.0, line[:, 1] - 512.0) - 330.0)) < 1.0


def test_values_that_are_not_finite_are_refused():
    picture = np.full((200, 200), np.nan, np.float32)
    with pytest.raises(ValueError, match="finite"):
        detect_needles(picture, np.ones((200, 200), bool))
