"""The path of a press in words: what is written is read again, what is not whole is no path."""

import pytest

from fluoroscope.dicom.beam_path import PlaceRecord, path_of_words, path_words

pytestmark = pytest.mark.req("REQ-REC-006")

PLACES = (
    PlaceRecord(0.25, -160.0, 5.0, (10.0, -20.0, -30.0, 0.0, 0.0, 0.0)),
    PlaceRecord(0.75, 170.5, -3.0, (10.0, 60.0, -30.0, 1.5, -2.0, 0.0)),
)


@pytest.mark.parametrize(
    "places", [PLACES, tuple(PlaceRecord(p.share, p.primary_deg, p.secondary_deg) for p in PLACES)]
)
def test_a_path_is_read_as_it_was_written(places):
    assert path_of_words(f"C-arm moved during the press, first to last pulse: x. {path_words(places)}") == places


def test_a_comment_without_a_path_has_none():
    assert path_of_words("") == path_of_words("C-arm moved a little") == ()
    assert path_words([]) == ""


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("0.250000", "0.150000"),
        ("0.250000", "2.500000"),
        ("0.250000", "nan"),
        ("-160.0", "-960.0"),
        ("/-3.0", "/-93.0"),
        ("; 0.75", " 0.75"),
        ("1.5/-2.0/0.0", "1.5/-2.0"),
    ],
)
def test_a_path_that_is_not_whole_is_refused(was, now):
    words = path_words(PLACES)
    assert was in words
    assert path_of_words(words.replace(was, now)) is None
