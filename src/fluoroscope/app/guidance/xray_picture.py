"""What pictures drawn on X-rays share: the X-ray in greys, pictures side by side in one file, words in lines."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fluoroscope.guidance.view import XRayView
from fluoroscope.records.whole_file import whole_file

__all__ = ["bone_dark", "wrapped", "write_side_by_side"]


def bone_dark(view: XRayView) -> NDArray[np.uint8]:
    """Return the picture with bone dark, as on the monitor: uint8 (rows, columns)."""
    inside = view.attenuation[view.valid] if view.valid.any() else view.attenuation
    low, high = np.percentile(inside, (0.5, 99.5))
    share = np.clip((high - view.attenuation) / max(float(high - low), 1e-6), 0.0, 1.0)
    grey: NDArray[np.uint8] = np.asarray(255.0 * share, dtype=np.uint8)
    return grey


def wrapped(text: str, width: int) -> list[str]:
    """Return a text in lines of at most ``width`` characters; a longer word has a line of its own."""
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def write_side_by_side(path: Path, panels: Sequence[Image.Image], gap_px: int = 0) -> None:
    """Write pictures beside each other as one PNG, whole or not at all."""
    width = sum(panel.width for panel in panels) + gap_px * (len(panels) - 1)
    sheet = Image.new("RGB", (width, max(panel.height for panel in panels)))
    left = 0
    for panel in panels:
        sheet.paste(panel, (left, 0))
        left += panel.width + gap_px
    with whole_file(path) as file:
        sheet.save(file, format="PNG")
