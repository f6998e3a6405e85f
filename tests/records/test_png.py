"""Pictures: the window's values, and that every picture says what it is."""

import numpy as np
import pytest
from PIL import Image

from fluoroscope.records.png import write_png


@pytest.mark.parametrize("invert", [False, True])
def test_the_picture_is_windowed_as_on_the_page(tmp_path, invert):
    path = tmp_path / "a.png"
    pixels = np.tile(np.arange(0, 65536, 512, dtype=np.uint16), (128, 1))
    write_png(path, pixels, 30000.0, 40001.0, invert=invert)
    with Image.open(path) as picture:
        grey = np.asarray(picture)[:64]
    # PS3.3 C.11.2.1.2.1, written as the standard has it, rounded half up as everywhere.
    exact = np.floor(np.clip(((pixels[:64] - 29999.5) / 40000.0 + 0.5) * 255.0, 0.0, 255.0) + 0.5)
    assert np.array_equal(grey, 255 - exact if invert else exact)


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
