"""A frame with the needles drawn on it, as PNG."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.guidance.needle import DetectedNeedle
from fluoroscope.records.whole_file import whole_file

__all__ = ["needle_picture", "write_needle_picture"]

LINE, TIP, FAINT = (80, 200, 255), (255, 210, 60), (150, 150, 150)
STATEMENT = "not a medical device; not for clinical use"
SMALLEST_SIDE = 480


def needle_picture(pixels: NDArray[np.uint16], needles: tuple[DetectedNeedle, ...], sure_from: float) -> Any:
    """Return an RGB picture (Pillow): centreline, tip as a circle, number and confidence; unsure ones gray.

    Parameters
    ----------
    pixels
        uint16 (rows, columns), larger brighter.
    needles
        What to draw.
    sure_from
        Confidence from which a needle is drawn in colour.
    """
    from PIL import Image, ImageDraw, ImageFont

    low, high = np.percentile(pixels, [0.5, 99.5])
    gray = np.clip((pixels.astype(np.float32) - low) / max(float(high - low), 1.0), 0.0, 1.0) * 255.0
    # Small pictures are enlarged, so that the drawing does not cover what it marks.
    scale = max(1, -(-SMALLEST_SIDE // max(1, min(pixels.shape))))
    picture = Image.fromarray(gray.astype(np.uint8)).convert("RGB")
    picture = picture.resize((pixels.shape[1] * scale, pixels.shape[0] * scale))
    draw = ImageDraw.Draw(picture)
    size = max(11, min(picture.size) // 45)
    font = ImageFont.load_default(size)

    def spot(point: Any) -> tuple[float, float]:
        return ((float(point[1]) + 0.5) * scale - 0.5, (float(point[0]) + 0.5) * scale - 0.5)

    for needle in reversed(needles):
        sure = needle.confidence >= sure_from and needle.seen
        if len(needle.centreline_px) > 1:
            path = [spot(point) for point in needle.centreline_px]
            draw.line(path, fill=LINE if sure else FAINT, width=max(1, size // 9))
        x, y = spot(needle.tip_px)
        reach = 0.7 * size
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), outline=TIP if sure else FAINT, width=2)
        words = f"{needle.track or ''} {100.0 * needle.confidence:.0f} %".strip()
        words += "" if needle.seen else " not seen"
        left = x + 1.2 * reach + draw.textlength(words, font=font) < picture.size[0]
        place = (x + 1.2 * reach, y) if left else (x - 1.2 * reach, y)
        anchor, colour = "lm" if left else "rm", TIP if sure else FAINT
        draw.text(place, words, fill=colour, font=font, stroke_fill=0, stroke_width=2, anchor=anchor)
    place = (picture.size[0] / 2, picture.size[1] - 0.5 * size)
    draw.text(place, STATEMENT, fill=(255, 255, 255), font=font, stroke_fill=0, stroke_width=2, anchor="ms")
    return picture


def write_needle_picture(
    path: Path, pixels: NDArray[np.uint16], needles: tuple[DetectedNeedle, ...], sure_from: float
) -> None:
    """Write a frame with its needles; the file appears only when it is whole.

    Raises
    ------
    OSError
        When it cannot be written.
    """
    from PIL import PngImagePlugin

    note = PngImagePlugin.PngInfo()
    note.add_text("Description", STATEMENT)
    with whole_file(path) as file:
        needle_picture(pixels, needles, sure_from).save(file, format="PNG", pnginfo=note)
