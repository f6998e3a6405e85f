"""Round beads in a picture: found at their sizes, placed to a part of a pixel, those that overlap left out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.guidance.view import XRayView

__all__ = ["Bead", "find_beads"]

Float = NDArray[np.float64]
NOISE_TIMES = 6.0
"""A spot must stand out of the picture's noise by this."""
LEAST_NEPER = 0.005
"""Noise is taken as no less: burnt-out parts have none."""
MOST = 400
"""Places looked at, the strongest first: more are no beads."""
ROUND = 1.25
"""Longest over shortest axis of a spot that is one bead."""
SIZE = (0.75, 1.3)
"""Its size over that expected."""


@dataclass(frozen=True, slots=True)
class Bead:
    """A round spot of metal.

    Attributes
    ----------
    pixel
        (row, column) of its middle.
    radius_px
        By its second moments.
    contrast
        Nepers at its middle over the surroundings.
    """

    pixel: tuple[float, float]
    radius_px: float
    contrast: float


def find_beads(view: XRayView, radii_px: Sequence[float]) -> tuple[Bead, ...]:
    """Return the beads in a picture, strongest first.

    Parameters
    ----------
    view
        The picture.
    radii_px
        Radii to look for, px; sizes between 0.75 and 1.3 of one of them count.
    """
    from scipy import ndimage

    picture = view.attenuation.astype(np.float64)
    found: list[Bead] = []
    strongest = np.full(picture.shape, -np.inf)
    which = np.zeros(picture.shape, dtype=np.int64)
    sizes = sorted({round(float(radius), 2) for radius in radii_px})
    for number, radius in enumerate(sizes):
        # The Laplacian of a Gaussian answers most to a disc of √2 its width.
        sigma = radius / np.sqrt(2.0)
        answer = -(sigma**2) * ndimage.gaussian_laplace(picture, sigma, mode="nearest")
        noise = 1.4826 * float(np.median(np.abs(answer[view.valid] - np.median(answer[view.valid]))))
        scaled = answer / max(noise, LEAST_NEPER)
        better = scaled > strongest
        strongest[better], which[better] = scaled[better], number
    reach = max(3, int(1.5 * min(sizes)))
    peaks = (strongest == ndimage.maximum_filter(strongest, size=reach)) & (strongest > NOISE_TIMES) & view.valid
    places = np.argwhere(peaks)
    order = np.argsort(-strongest[peaks])[:MOST]
    for row, column in places[order]:
        bead = _measured(picture, view.valid, (float(row), float(column)), sizes[which[row, column]])
        if bead is None:
            continue
        if all(np.hypot(bead.pixel[0] - one.pixel[0], bead.pixel[1] - one.pixel[1])
               > 0.8 * max(bead.radius_px, one.radius_px) for one in found):  # fmt: skip
            found.append(bead)
    return tuple(found)


def _measured(picture: Float, valid: NDArray[np.bool_], start: tuple[float, float], radius: float) -> Bead | None:
    """Return the bead near a place by the moments of what stands above its surroundings; None when it is not one."""
    row, column = start
    half = int(np.ceil(1.9 * radius)) + 1
    size, sides, contrast = radius, (radius, radius), 0.0
    for _ in range(8):
        top, left = round(row) - half, round(column) - half
        window = np.s_[top : top + 2 * half + 1, left : left + 2 * half + 1]
        if top < 0 or left < 0 or top + 2 * half >= picture.shape[0] or left + 2 * half >= picture.shape[1]:
            return None
        if not valid[window].all():
            return None
        dr: Float = np.arange(top, top + 2.0 * half + 1.0)[:, None] - row
        dc: Float = np.arange(left, left + 2.0 * half + 1.0)[None, :] - column
        distance: Float = np.hypot(dr, dc)
        above = picture[window] - _around(picture[window], dr, dc, distance, 1.4 * size, 1.9 * radius + 0.5)
        # A soft edge: a pixel that comes in or goes out must not move the middle by a jump.
        weight = np.clip(1.4 * size - distance + 0.5, 0.0, 1.0) * above
        total = float(weight.sum())
        if total <= 0.0:
            return None
        shift = float((weight * dr).sum()) / total, float((weight * dc).sum()) / total
        if max(abs(shift[0]), abs(shift[1])) > radius:
            return None
        row, column = row + shift[0], column + shift[1]
        moments = np.array([[(weight * dr * dr).sum(), (weight * dr * dc).sum()], [0.0, (weight * dc * dc).sum()]])
        moments[1, 0] = moments[0, 1]
        spread = np.linalg.eigvalsh(moments / total - np.outer(shift, shift))
        if spread[0] <= 0.0:
            return None
        # Chords of a ball: a fifth of the squared radius along either axis.
        sides = float(np.sqrt(5.0 * spread[0])), float(np.sqrt(5.0 * spread[1]))
        contrast = float(above[half - 1 : half + 2, half - 1 : half + 2].mean())
        if max(abs(shift[0]), abs(shift[1])) < 1e-3:
            break
    size = float(np.sqrt(sides[0] * sides[1]))
    whole = sides[1] <= ROUND * sides[0] and SIZE[0] * radius <= size <= SIZE[1] * radius
    return Bead((row, column), size, contrast) if whole and contrast > 0.0 else None


def _around(window: Float, dr: Float, dc: Float, distance: Float, inner: float, outer: float) -> Float:
    """Return the plane through the ring around a spot, without what lies in the ring by chance."""
    ring = (distance >= inner) & (distance <= outer)
    rows, columns = np.broadcast_to(dr, window.shape)[ring], np.broadcast_to(dc, window.shape)[ring]
    values = window[ring]
    table = np.stack([np.ones_like(values), rows, columns], axis=1)
    keep = np.ones(len(values), dtype=bool)
    fit: Float = np.zeros(3)
    for _ in range(3):
        fit = np.asarray(np.linalg.lstsq(table[keep], values[keep], rcond=None)[0], dtype=np.float64)
        off = values - table @ fit
        limit = 2.5 * 1.4826 * float(np.median(np.abs(off[keep]))) + 1e-6
        keep = off < limit
        if int(keep.sum()) < 6:
            break
    plane: Float = fit[0] + fit[1] * dr + fit[2] * dc
    return plane
