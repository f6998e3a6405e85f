"""The picture of a registration: the X-ray with the outlines of the bones, or with the reason why there are none."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage import measure

from fluoroscope import NOT_A_MEDICAL_DEVICE
from fluoroscope.app.guidance.xray_picture import bone_dark, wrapped, write_side_by_side
from fluoroscope.geometry.projection import project_points
from fluoroscope.geometry.rigid import apply
from fluoroscope.guidance.registration import Registration, VertebraModel, render
from fluoroscope.guidance.view import XRayView

__all__ = ["write_overlay"]

_TARGET, _OTHER, _WARNING = (90, 230, 120), (120, 170, 220), (255, 120, 90)
_HEIGHT_PX = 768


def write_overlay(
    path: Path, views: Sequence[XRayView], models: Mapping[str, VertebraModel], found: Registration
) -> None:
    """Write a PNG: every view beside the next, the level's outline in green, its neighbours' in blue.

    A registration that failed has no outline: its reason stands in the picture instead. Neighbours are drawn where
    they would be if the spine were as in the CT.
    """
    write_side_by_side(path, [_panel(view, models, found) for view in views], gap_px=4)


def _panel(view: XRayView, models: Mapping[str, VertebraModel], found: Registration) -> Image.Image:
    scale = max(1, round(_HEIGHT_PX / view.attenuation.shape[0]))
    picture = Image.fromarray(bone_dark(view)).convert("RGB")
    picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(picture)
    size = max(12, picture.height // 40)
    font = ImageFont.load_default(size)
    if found.success:
        for level, model in models.items():
            if level != found.level:
                _outline(draw, view, model, found, scale, font)
        _outline(draw, view, models[found.level], found, scale, font)
    else:
        lines = wrapped(f"{found.level} not registered: {found.reason}", 2 * picture.width // size)
        draw.multiline_text((size, size), "\n".join(lines), fill=_WARNING, font=font)
    draw.text((size, picture.height - 2 * size), NOT_A_MEDICAL_DEVICE, fill=(230, 230, 230), font=font)
    return picture


def _outline(
    draw: ImageDraw.ImageDraw,
    view: XRayView,
    model: VertebraModel,
    found: Registration,
    scale: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    """Draw a bone's rim, of the level also what is dense inside (pedicles, endplates), and its name."""
    find: Any = measure.find_contours
    drr = render(model, view.geometry, found.equipment_from_ct)
    if drr.max() <= 0.0:
        return
    target = model.level == found.level
    colour = _TARGET if target else _OTHER
    for share, width in ((0.06, 2), (0.5, 1)) if target else ((0.06, 1),):
        for line in find(drr, share * float(drr.max())):
            if len(line) > 12:
                points = [((c + 0.5) * scale, (r + 0.5) * scale) for r, c in line]
                draw.line(points, fill=colour, width=width)
    row, column = project_points(view.geometry, apply(found.equipment_from_ct, model.center_mm))
    if 0 <= row < drr.shape[0] and 0 <= column < drr.shape[1]:
        edge = float(np.flatnonzero(drr[int(row)] > 0.0).max(initial=int(column)))
        draw.text(((edge + 4) * scale, row * scale), model.level, fill=colour, font=font)
