"""A stored image as an 8-bit PNG for slides and reports: windowed, and marked for what it is."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.records.identity import SIMULATED_TEXT
from fluoroscope.records.whole_file import whole_file

__all__ = ["write_png"]

_SMALLEST_FONT_PX = 11


def write_png(
    path: Path,
    pixels: NDArray[np.uint16],
    window_center: float,
    window_width: float,
    *,
    text: str = SIMULATED_TEXT,
    markers: tuple[str, str] = ("", ""),
    invert: bool = False,
) -> None:
    """Write a picture as PNG, with its statement burned in along the bottom and in the file's metadata.

    Parameters
    ----------
    path
        Where to; the file appears there only when it is whole.
    pixels
        uint16 (rows, columns), DISP.
    window_center, window_width
        Display window, pixel values.
    text
        What is burned in; never empty.
    markers
        Letters at the left and right edge, such as ("R", "L"); "" for none.
    invert
        Small values bright.

    Raises
    ------
    ValueError
        When the text is empty or the window has no width.
    OSError
        When the file cannot be written; nothing half-written is left.
    """
    from PIL import Image, ImageDraw, PngImagePlugin

    from fluoroscope.imagechain.window import apply_window

    if not text.strip():
        raise ValueError("a picture must say what it is; give the exam's statement as text")
    picture = Image.fromarray(apply_window(pixels, window_center, window_width, invert=invert))
    draw = ImageDraw.Draw(picture)
    rows, columns = pixels.shape
    size = max(_SMALLEST_FONT_PX, columns // 28)
    # Small pictures take the first words: "SIMULATED - not for clinical use", or "SIMULATED" alone.
    shorter = (text, text.partition(";")[0], text.partition(" - ")[0])
    fitting = (t for t in shorter if draw.textlength(t, font=_font(_SMALLEST_FONT_PX)) <= 0.94 * columns)
    burned = next(fitting, shorter[-1])
    while size > _SMALLEST_FONT_PX and draw.textlength(burned, font=_font(size)) > 0.94 * columns:
        size -= 1
    outline = {"fill": 255, "stroke_fill": 0, "stroke_width": max(1, size // 10)}
    draw.text((columns / 2, rows - 0.6 * size), burned, font=_font(size), anchor="ms", **outline)
    large = max(_SMALLEST_FONT_PX, columns // 16)
    outline["stroke_width"] = max(1, large // 10)
    for letter, x, anchor in ((markers[0], 0.03 * columns, "lm"), (markers[1], 0.97 * columns, "rm")):
        if letter:
            draw.text((x, 0.12 * rows), letter, font=_font(large), anchor=anchor, **outline)
    note = PngImagePlugin.PngInfo()
    note.add_text("Description", text)
    with whole_file(path) as file:
        picture.save(file, format="PNG", pnginfo=note)


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)
