"""Pictures: the window's values, and that every picture says what it is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fluoroscope.records.png import windowed, write_png


def by_the_standard(x, center, width):
    """PS3.3 C.11.2.1.2.1, written as the standard has it."""
    if x <= center - 0.5 - (width - 1) / 2:
        return 0.0
    if x > center - 0.5 + (width - 1) / 2:
        return 255.0
    return ((x - (center - 0.5)) / (width - 1) + 0.5) * 255.0


@given(x=st.integers(0, 65535), center=st.floats(-100.0, 70000.0), width=st.floats(2.0, 70000.0))
def test_the_window_is_dicoms(x, center, width):
    grey = int(windowed(np.array([[x]], np.uint16), center, width)[0, 0])
    assert abs(grey - by_the_standard(x, center, width)) <= 0.5 + 1e-6


def test_a_window_of_one_is_a_threshold_and_inverting_turns_it():
    row = np.array([[99, 100, 101]], np.uint16)
    assert windowed(row, 100.5, 1.0).tolist()[0][0::2] == [0, 255]
    assert windowed(row, 100.5, 1.0, invert=True).tolist()[0][0::2] == [255, 0]


@pytest.mark.req("HAZ-CLINIC-001")
@pytest.mark.parametrize("size", [64, 128, 256, 512, 1024])
def test_the_statement_is_burned_in_and_in_the_metadata(tmp_path, size):
    path = tmp_path / "a.png"
    write_png(path, np.full((size, size), 2000, np.uint16), 2000.0, 4000.0, markers=("R", "L"))
    with Image.open(path) as picture:
        assert picture.mode == "L"
        assert "SIMULATED - not for clinical use" in picture.info["Description"]
        grey = np.asarray(picture)
    background = int(grey[size // 2, size // 2])
    changed = grey != background
    bottom = changed[-size // 8 :]
    columns = np.flatnonzero(bottom.any(axis=0))
    # The text runs along the bottom within the picture, in white on black.
    assert columns[-1] - columns[0] > 0.4 * size
    assert columns[0] > 0
    assert columns[-1] < size - 1
    words = grey[-size // 8 :]
    assert words.max() >= 220
    assert words.min() <= 20
    assert changed[: size // 4, : size // 5].any()
    assert changed[: size // 4, -size // 5 :].any()
    assert not changed[size // 3 : 2 * size // 3].any()


def test_a_picture_without_a_statement_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must say what it is"):
        write_png(tmp_path / "a.png", np.zeros((8, 8), np.uint16), 1.0, 2.0, text=" ")
    assert list(tmp_path.iterdir()) == []
