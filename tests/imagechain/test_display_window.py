"""The reference gray against the formula of DICOM PS3.3 C.11.2.1.2.1, worked out in exact fractions."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluoroscope.imagechain.window import apply_window, window_table


def exact_gray(x: int, c: Fraction, w: Fraction) -> int:
    """Return the standard's pseudo-code, y from 0 to 255, rounded half up."""
    half = Fraction(1, 2)
    if x <= c - half - (w - 1) / 2:
        return 0
    if x > c - half + (w - 1) / 2:
        return 255
    return floor(((x - (c - half)) / (w - 1) + half) * 255 + half)


@given(
    st.integers(-2000, 67000),
    st.integers(1, 131072),
    st.lists(st.integers(0, 65535), min_size=1, max_size=40),
)
def test_the_table_is_the_standards_formula(center, width, values):
    table = window_table(center, width)
    expected = [exact_gray(x, Fraction(center), Fraction(width)) for x in values]
    got = table[values].astype(int)
    # Where the exact value lies on a rounding edge double precision may fall on either side of it.
    for x, wanted, gray in zip(values, expected, got, strict=True):
        exact = (Fraction(x) - Fraction(center) + Fraction(1, 2)) / max(width - 1, 1) * 255 + Fraction(255, 2)
        on_edge = abs((exact + Fraction(1, 2)) - round(exact + Fraction(1, 2))) < Fraction(1, 10**9)
        assert gray == wanted or (on_edge and abs(gray - wanted) <= 1)


@pytest.mark.parametrize(
    ("center", "width", "black", "white"),
    [(2048, 4096, 0, 4095), (2048, 1, 2047, 2048), (0, 100, -50, 49), (0, 1, -1, 0)],
)
def test_the_standards_own_examples(center, width, black, white):
    """C.11.2.1.2.1 lists these: the last value that is black and the first that is white."""
    table = window_table(center, width)
    if black >= 0:
        assert table[black] == 0
    assert table[white] == 255
    if white > 0 and width == 4096:
        assert 0 < table[white // 2] < 255


@given(st.floats(0, 65535), st.floats(1, 70000))
def test_brighter_is_never_darker_and_inversion_mirrors(center, width):
    table = window_table(center, width).astype(int)
    assert (np.diff(table) >= 0).all()
    assert (window_table(center, width, invert=True) == 255 - table).all()


@pytest.mark.parametrize(("center", "width"), [(0.0, 0.5), (0.0, float("nan")), (float("inf"), 10.0)])
def test_impossible_windows_are_refused(center, width):
    with pytest.raises(ValueError, match="width at least 1"):
        window_table(center, width)


def test_apply_keeps_the_shape():
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    gray = apply_window(pixels, 30000, 50000)
    assert gray.shape == (3, 4)
    assert gray.dtype == np.uint8
    assert gray[0, 0] == 0
    assert gray[2, 3] == 255
