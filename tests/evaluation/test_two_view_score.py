"""Needles detected in two pictures and put together in space: how rows count."""

from fluoroscope.evaluation.scorecard import score
from fluoroscope.evaluation.two_view_score import NeedlePair, rows_of


def test_rows_take_the_accepted_and_tell_how_many_there_were():
    pairs = [NeedlePair(30.0, True, True, 0.4, 1.0, 1.0), NeedlePair(30.0, False, False),
             NeedlePair(60.0, True, True, 0.9, 2.0, 4.0), NeedlePair(90.0, True, False)]  # fmt: skip
    narrow, wide = rows_of(pairs, score)
    assert narrow["pass"]
    assert not wide["pass"]
    assert "(2 pairs, in both pictures found 1, accepted 1)" in narrow["what"]
    assert "in the 95 % ellipsoid 0 %" in wide["what"]


def test_no_accepted_pair_is_no_pass():
    rows = rows_of([NeedlePair(30.0, False, False), NeedlePair(60.0, False, False)], score)
    assert not any(row["pass"] for row in rows)
