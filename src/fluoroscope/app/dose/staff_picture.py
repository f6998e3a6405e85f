"""The picture of scatter around the table: bands of dose rate, table, patient, C-arm and the places people stand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.dose.budget import three_digits
from fluoroscope.geometry.pose import CArmPose, beam_axes
from fluoroscope.geometry.table import TablePose
from fluoroscope.records.whole_file import whole_file

__all__ = ["draw_staff_map"]

LEVELS_USV_H = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
_BANDS = ((24, 28, 36), (30, 48, 70), (32, 78, 96), (44, 112, 100), (104, 140, 74), (176, 152, 62), (206, 116, 58),
          (206, 72, 58), (150, 24, 40))  # fmt: skip
_BACKGROUND, _INK, _FAINT = (16, 18, 22), (230, 233, 238), (150, 156, 166)
_TABLE, _BODY, _METAL = (92, 98, 108), (188, 170, 152), (226, 230, 236)
_MM_PER_PX = 6.0
_LEFT, _TOP, _BAR, _BELOW = 24, 44, 150, 72
_HALF_TABLE_MM = (250.0, 1000.0)


def draw_staff_map(found: Mapping[str, Any], pose: CArmPose, table: TablePose, title: str, path: Path) -> None:
    """Write the map of `staff_dose` seen from above, head end up, to a PNG that appears only when it is whole.

    Parameters
    ----------
    found
        What `staff_dose` said.
    pose, table
        Drawn on it.
    title
        A line above.
    """
    from PIL import Image, ImageDraw, ImageFont

    x_mm, z_mm = np.array(found["map"]["x_mm"]), np.array(found["map"]["z_mm"])
    size = (round((x_mm[-1] - x_mm[0]) / _MM_PER_PX), round((z_mm[-1] - z_mm[0]) / _MM_PER_PX))
    bands = _bands(np.array(found["map"]["usv_per_h"]), size)
    image = Image.new("RGB", (size[0] + _LEFT + _BAR, size[1] + _TOP + _BELOW), _BACKGROUND)
    image.paste(Image.fromarray(bands), (_LEFT, _TOP))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=15)

    def at(x: float, z: float) -> tuple[float, float]:
        # Head end up and the patient's left (of one who lies supine) at the right, as in the room seen from above.
        return _LEFT + (x - x_mm[0]) / _MM_PER_PX, _TOP + (z_mm[-1] - z) / _MM_PER_PX

    _draw_room(draw, at, pose, table)
    for one in found["positions"]:
        x, y = at(one["x_mm"], one["z_mm"])
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=_METAL, outline=_BACKGROUND)
        draw.text(
            (x, y + 5), three_digits(one["usv_per_h"]), fill=_INK, font=font, anchor="ma", stroke_width=2, stroke_fill=0
        )
    draw.text((_LEFT, 14), _plain(title), fill=_INK, font=font)
    for number, colour in enumerate(_BANDS):
        y = _TOP + 24 * (len(_BANDS) - number)
        draw.rectangle((_LEFT + size[0] + 14, y, _LEFT + size[0] + 34, y + 23), fill=colour)
        if number:
            words = f"{LEVELS_USV_H[number - 1]:g} uSv/h"
            draw.text((_LEFT + size[0] + 40, y + 24), words, fill=_INK, font=font, anchor="lm")
    below = _TOP + size[1]
    draw.line((_LEFT, below + 12, _LEFT + 1000 / _MM_PER_PX, below + 12), fill=_INK, width=2)
    draw.text((_LEFT + 1000 / _MM_PER_PX + 8, below + 4), "1 m; head end up", fill=_INK, font=font)
    draw.text((_LEFT, below + 26), _plain(found["advice"]), fill=_INK, font=font)
    draw.text((_LEFT, below + 48), _plain(f"{found['source']}. Not a medical device."), fill=_FAINT, font=font)
    with whole_file(path) as file:
        image.save(file, "PNG")


def _plain(text: str) -> str:
    """Return ``text`` in what the built-in font has."""
    return text.replace("µ", "u").replace("²", "2")


def _bands(usv_per_h: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return RGB (height, width) of bands between the levels, lines of equal dose rate at their edges."""
    from PIL import Image

    smooth = Image.fromarray(np.log(np.maximum(usv_per_h[::-1], 1e-3)).astype(np.float32))
    fine = np.exp(np.asarray(smooth.resize(size, Image.Resampling.BICUBIC)))
    number = np.searchsorted(LEVELS_USV_H, fine)
    colours: NDArray[np.uint8] = np.array(_BANDS, dtype=np.uint8)[number]
    edge = np.zeros(number.shape, dtype=bool)
    edge[1:] |= number[1:] != number[:-1]
    edge[:, 1:] |= number[:, 1:] != number[:, :-1]
    colours[edge] = _FAINT
    return colours


def _draw_room(draw: Any, at: Any, pose: CArmPose, table: TablePose) -> None:
    """Draw table, patient, the beam's axis, tube and detector as seen from above."""
    x, z = table.lateral_mm, table.longitudinal_mm

    def box(half_x: float, low_z: float, high_z: float, colour: tuple[int, int, int], **more: Any) -> None:
        draw.rectangle((*at(x - half_x, z + high_z), *at(x + half_x, z + low_z)), outline=colour, **more)

    box(_HALF_TABLE_MM[0], -_HALF_TABLE_MM[1], _HALF_TABLE_MM[1], _TABLE, width=2)
    draw.ellipse((*at(x - 190, z + 430), *at(x + 190, z - 480)), outline=_BODY, width=2)
    draw.ellipse((*at(x - 90, z + 690), *at(x + 90, z + 450)), outline=_BODY, width=2)
    axes, middle = beam_axes(pose), np.array(pose.isocenter_mm)
    source = middle - pose.source_to_isocenter_mm * axes.d
    detector = middle + (pose.source_to_detector_mm - pose.source_to_isocenter_mm) * axes.d
    draw.line((*at(source[0], source[2]), *at(detector[0], detector[2])), fill=_METAL, width=1)
    ends = [detector + sign * 200.0 * axes.u for sign in (-1.0, 1.0)]
    sides = [detector + sign * 200.0 * axes.v for sign in (-1.0, 1.0)]
    for one, other in (ends, sides):
        draw.line((*at(one[0], one[2]), *at(other[0], other[2])), fill=_METAL, width=4)
    x0, y0 = at(source[0], source[2])
    draw.rectangle((x0 - 12, y0 - 12, x0 + 12, y0 + 12), outline=_METAL, width=3)
    draw.text((x0, y0 - 14), "tube", fill=_METAL, anchor="mb")
