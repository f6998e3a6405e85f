"""Where the pulses of a press were given: few places, none lost, stops exact."""

import pytest

from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.table import TablePose
from fluoroscope.live.beam_path import MOST_PLACES, BeamPath

pytestmark = pytest.mark.req("REQ-REC-006")


def at(primary_deg=0.0, secondary_deg=0.0):
    return CArmPose(primary_deg, secondary_deg, 750.0, 1200.0)


def test_a_press_that_stands_has_no_path():
    path = BeamPath()
    for number in range(50):
        path.add(at(0.01 * number), TablePose(), 1.0)
    assert path.places() == ()


def test_stops_are_exact_and_have_their_share_of_the_kerma():
    path = BeamPath()
    stops = ((0.0, 0.0, 1.0, 20), (29.6, 0.0, 2.0, 1), (30.0, 0.0, 1.0, 30), (30.0, 80.0, 0.5, 56))
    for primary, table, kerma, pulses in stops:
        for _ in range(pulses):
            path.add(at(primary), TablePose(longitudinal_mm=table), kerma)
    first, second, third = path.places()
    assert first.share == pytest.approx(20.0 / 80.0)
    assert second.share == pytest.approx(32.0 / 80.0)
    assert third.share == pytest.approx(28.0 / 80.0)
    assert second.pose == at(30.0)  # not the pulse on the way
    assert third.table == TablePose(longitudinal_mm=80.0)


def test_the_shares_are_of_pulses_where_no_kerma_is_known():
    path = BeamPath()
    for primary, pulses in ((0.0, 3), (20.0, 1)):
        for _ in range(pulses):
            path.add(at(primary), None, 0.0)
    assert [place.share for place in path.places()] == [0.75, 0.25]


def test_a_turn_past_180_degrees_is_a_small_one():
    path = BeamPath()
    for primary in (179.8, -179.9):
        path.add(at(primary), None, 1.0)
    assert path.places() == ()


def test_an_endless_press_keeps_few_places_and_all_its_dose():
    path = BeamPath()
    for number in range(20_000):
        path.add(at((number * 0.7) % 170.0, (number * 0.3) % 40.0), TablePose(), 1.0)
    places = path.places()
    assert 1 < len(places) <= MOST_PLACES
    assert sum(place.share for place in places) == pytest.approx(1.0)


def test_a_pulse_that_nobody_knows_the_pose_of_makes_the_path_unknown():
    path = BeamPath()
    for pose in (at(0.0), None, at(30.0), at(60.0)):
        path.add(pose, None, 1.0)
    assert path.places() == ()
