"""Which pixels the collimator leaves open, against a look at every pixel's centre."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluoroscope.acquisition import Collimation, open_pixels


@given(
    rows=st.integers(1, 300),
    columns=st.integers(1, 300),
    pitch_mm=st.floats(0.05, 2.0),
    edges=st.tuples(*[st.floats(0.1, 200.0)] * 4),
)
def test_open_pixels_are_those_whose_centre_is_in_the_field(
    rows: int, columns: int, pitch_mm: float, edges: tuple[float, float, float, float]
) -> None:
    left, right, upper, lower = edges
    field = open_pixels(Collimation(*edges), rows, columns, pitch_mm)
    for count, first, end, near, far in ((rows, *field[:2], upper, lower), (columns, *field[2:], left, right)):
        position_px = np.arange(count) - (count - 1) / 2.0
        inside = np.flatnonzero((position_px >= -near / pitch_mm - 1e-6) & (position_px <= far / pitch_mm + 1e-6))
        assert 0 <= first <= end <= count
        assert list(range(first, end)) == inside.tolist()


@pytest.mark.parametrize("pitch_mm", [0.1, 0.2, 0.3, 0.7])
def test_a_blade_on_a_pixel_centre_leaves_it_open(pitch_mm: float) -> None:
    for pixels in range(1, 60):
        # Twelve pixel distances, whose product is rarely a whole number of pitches in binary.
        edge_mm = 12 * pitch_mm
        rows = open_pixels(Collimation(edge_mm, edge_mm, edge_mm, edge_mm), 2 * pixels + 1, 5, pitch_mm)[:2]
        assert rows == (max(pixels - 12, 0), min(pixels + 13, 2 * pixels + 1))


def test_what_is_not_known_is_open_and_what_is_covered_is_empty() -> None:
    blades = Collimation(1.0, 1.0, 1.0, 1.0)
    assert open_pixels(None, 7, 9, 0.3) == (0, 7, 0, 9)
    assert open_pixels(blades, 7, 9, None) == (0, 7, 0, 9)
    assert open_pixels(Collimation(-50.0, 60.0, 1.0, 1.0), 3, 9, 1.0) == (0, 3, 9, 9)
