"""The picture of a skin map: the body's skin unrolled about back or front, with sides, scale and colours named."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fluoroscope.dose.skin_map import SkinMap
from fluoroscope.records.whole_file import whole_file

__all__ = ["draw_map"]

_STOPS = np.array([[70, 74, 82], [255, 214, 90], [226, 74, 51], [110, 0, 20]], dtype=np.float64)
_BACKGROUND, _INK, _FAINT = (16, 18, 22), (230, 233, 238), (120, 126, 136)
_LEFT, _TOP, _BAR, _BELOW = 20, 44, 130, 76
_AROUND_MM = 120.0
"""Skin shown above and below what was hit."""
_LARGEST_PX = 900
_FACES_BACK = 0.6
"""y of the peak's outward direction from which the back is put in the middle."""


def colours_of(level: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return RGB of dose over the peak, 0 (skin that was not hit) to 1."""
    rgb = [np.interp(level, np.linspace(0.0, 1.0, len(_STOPS)), _STOPS[:, channel]) for channel in range(3)]
    return np.stack(rgb, axis=-1).astype(np.uint8)


def draw_map(found: SkinMap, title: str, notice: str, path: Path) -> None:
    """Write the skin near what was hit, head up, to a PNG with its scale; in the middle what the peak is nearer to.

    Parameters
    ----------
    found
        The map.
    title, notice
        A line above and one below.
    path
        The file appears there only when it is whole.
    """
    from PIL import Image, ImageDraw, ImageFont

    rows, columns = found.phantom.shape
    dose = found.dose_mgy.reshape(rows, columns)
    peak = found.peak_index
    back = peak is None or found.phantom.normals[peak, 1] > _FACES_BACK
    if back and not found.phantom.two_sided:
        dose = np.roll(dose, columns // 2, axis=1)
    cell_mm = found.phantom.height_mm / rows
    hit = np.flatnonzero(dose.max(axis=1) > 0.0)
    around = int(np.ceil(_AROUND_MM / cell_mm))
    first, last = (max(0, hit[0] - around), min(rows, hit[-1] + 1 + around)) if len(hit) else (0, rows)
    shown = dose[first:last]
    wide_mm = float(found.phantom.areas_mm2.sum()) / found.phantom.height_mm
    scale = _LARGEST_PX / max(wide_mm, (last - first) * cell_mm)
    size = (max(1, round(wide_mm * scale)), max(1, round((last - first) * cell_mm * scale)))
    level = shown / found.peak_mgy if found.peak_mgy > 0.0 else shown
    skin = Image.fromarray(colours_of(level)).resize(size, Image.Resampling.NEAREST)

    image = Image.new("RGB", (max(size[0] + _LEFT + _BAR, 640), size[1] + _TOP + _BELOW), _BACKGROUND)
    image.paste(skin, (_LEFT, _TOP))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=15)
    draw.text((_LEFT, 12), title, fill=_INK, font=font)
    below = _TOP + size[1]
    around_middle = ("right", "back", "left") if back else ("left", "front", "right")
    sides = ("plane",) if found.phantom.two_sided else around_middle
    for number, side in enumerate(sides):
        share = 0.5 if len(sides) == 1 else 0.25 * (number + 1)
        draw.text((_LEFT + share * size[0], below + 6), side, fill=_INK, font=font, anchor="ma")
    if len(sides) > 1:
        end = "front" if back else "back"
        draw.text((_LEFT, below + 6), end, fill=_INK, font=font)
        draw.text((_LEFT + size[0], below + 6), end, fill=_INK, font=font, anchor="ra")
    bar_px = round(100.0 * scale)
    draw.line((_LEFT, below + 36, _LEFT + bar_px, below + 36), fill=_INK, width=2)
    draw.text((_LEFT + bar_px + 8, below + 28), "100 mm", fill=_INK, font=font)
    draw.text((_LEFT, below + 52), notice, fill=_FAINT, font=font)
    ramp = colours_of(np.linspace(1.0, 0.0, size[1])[:, np.newaxis].repeat(18, axis=1))
    at = _LEFT + size[0] + 16
    image.paste(Image.fromarray(ramp), (at, _TOP))
    for share in (1.0, 0.5, 0.0):
        y = _TOP + (1.0 - share) * (size[1] - 1)
        anchor = {1.0: "lt", 0.5: "lm", 0.0: "lb"}[share]
        draw.text((at + 24, y), f"{share * found.peak_mgy:.3g} mGy", fill=_INK, font=font, anchor=anchor)
    with whole_file(path) as file:
        image.save(file, "PNG")
