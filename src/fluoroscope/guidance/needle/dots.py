"""Needles seen end-on: small dense dots. Their place is known, their direction is not."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fluoroscope.guidance.needle.seeds import FlatPicture

__all__ = ["Dot", "find_dots"]

F32 = NDArray[np.float32]
STANDS_OUT = 2.5
"""In units of the local scatter; the flattened picture is clipped a little above."""
LEAST_AREA_PX, MOST_AREA_PX, MOST_SIDE_PX = 3, 120, 16
ROUNDNESS, FILL = 2.2, 0.5
LEAST_CONTRAST, LEAST_CNR = 0.3, 7.0
RING_PX = 6
MOST_DOTS = 6


@dataclass(frozen=True, slots=True)
class Dot:
    """A small dense spot: centre (row, column), diameter in the picture's pixels, contrast in nepers and over noise."""

    centre_px: tuple[float, float]
    diameter_px: float
    contrast: float
    cnr: float


def find_dots(attenuation: F32, valid: NDArray[np.bool_], flat: FlatPicture) -> list[Dot]:
    """Return the dots of a picture, the densest first."""
    parts, count = ndimage.label(flat.values >= STANDS_OUT, structure=np.ones((3, 3)))
    if not count:
        return []
    area = np.bincount(parts.ravel())
    found = []
    for number, box in enumerate(ndimage.find_objects(parts), start=1):
        rows, columns = (part.stop - part.start for part in box)
        if not LEAST_AREA_PX <= area[number] <= MOST_AREA_PX or max(rows, columns) > MOST_SIDE_PX:
            continue
        if max(rows, columns) > ROUNDNESS * min(rows, columns) or area[number] < FILL * rows * columns:
            continue
        dot = _measured(attenuation, valid, box, flat.factor)
        if dot is not None:
            found.append(dot)
    found.sort(key=lambda one: -one.contrast)
    return found[:MOST_DOTS]


def _measured(attenuation: F32, valid: NDArray[np.bool_], box: tuple[slice, ...], factor: int) -> Dot | None:
    """Return the dot in a box of working pixels, measured in the picture itself; None when it does not stand out."""
    (top, bottom), (left, right) = ((part.start * factor, part.stop * factor) for part in box)
    ring = RING_PX * factor
    low_r, low_c = max(top - ring, 0), max(left - ring, 0)
    around = (slice(low_r, bottom + ring), slice(low_c, right + ring))
    piece, good = attenuation[around].astype(np.float64), valid[around]
    if not good.all():
        return None
    inner = np.zeros(piece.shape, dtype=np.bool_)
    rows = slice(max(top - low_r - factor, 0), bottom - low_r + factor)
    inner[rows, max(left - low_c - factor, 0) : right - low_c + factor] = True
    if inner.all():
        return None
    rim = piece[~inner]
    ground = float(np.median(rim))
    scatter = 1.4826 * float(np.median(np.abs(rim - ground))) + 1e-6
    above = np.where(inner, np.maximum(piece - ground, 0.0), 0.0)
    peak = float(np.percentile(piece[inner], 95) - ground)
    core = above >= 0.5 * peak
    if not core.any():
        return None
    cnr = float(above[core].mean()) / scatter * float(np.sqrt(core.sum())) / factor
    # What is as dense around it is bone or its edge; a dot stands alone on all sides.
    alone = float(np.percentile(rim, 97) - ground) < 0.6 * peak
    if peak < LEAST_CONTRAST or cnr < LEAST_CNR or not alone:
        return None
    weight = np.where(core, above, 0.0)
    r, c = np.mgrid[0 : piece.shape[0], 0 : piece.shape[1]]
    total = weight.sum()
    centre = (float((weight * r).sum() / total) + low_r, float((weight * c).sum() / total) + low_c)
    return Dot(centre, 2.0 * float(np.sqrt(core.sum() / np.pi)), peak, cnr)
