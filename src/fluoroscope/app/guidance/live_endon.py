"""A needle seen end on, in the bull's-eye: a small, very dense spot, or a short streak, near where it is aimed.

The whole length of steel lies along the beam there, so that nothing in bone is as dense and as small. What is wider
than the needle is taken away by a morphological opening; what is left and stands out is measured by its own shape.
"""

import numpy as np
from numpy.typing import NDArray

from fluoroscope.guidance.two_views import SeenNeedle
from fluoroscope.guidance.view import XRayView

__all__ = ["find_end_on"]

Float = NDArray[np.float64]

_WIDTH_MM = 1.3
"""At the isocentre: of the widest needle that is looked for, with the picture's blur."""
_LEAST_NEPER, _SURE_NEPER = 0.3, 0.8
_LEAST_SIGMAS = 8.0
_LONGEST_WIDTHS = 14.0
_ROUND_PX = 1.5
_SIGMA_PX = 0.8


def find_end_on(view: XRayView, near_px: Float, radius_px: float, px_per_mm: float) -> list[tuple[SeenNeedle, float]]:
    """Return a needle that is nearly end on, both ways round where it has two ends, and how sure that is.

    Parameters
    ----------
    view
        The picture.
    near_px, radius_px
        (row, column) where it is looked for, and how far about that.
    px_per_mm
        Of the picture at the needle.
    """
    from scipy import ndimage

    rows, columns = view.attenuation.shape
    if not np.isfinite(near_px).all():
        return []
    low = np.clip(np.floor(near_px - radius_px), 0, None).astype(int)
    high = np.minimum(np.ceil(near_px + radius_px).astype(int) + 1, (rows, columns))
    if np.any(high - low < 8):
        return []
    window = (slice(low[0], high[0]), slice(low[1], high[1]))
    patch = ndimage.gaussian_filter(view.attenuation[window], 0.7)
    width_px = max(3.0, _WIDTH_MM * px_per_mm)
    # Wider than any needle in both ways is anatomy.
    size = 2 * round(width_px) + 1
    stands_out = np.where(view.valid[window], patch - ndimage.grey_opening(patch, size=(size, size)), 0.0)
    peak = float(stands_out.max())
    noise = 1.4826 * float(np.median(np.abs(stands_out - np.median(stands_out))))
    if peak < max(_LEAST_NEPER if view.exact else 0.0, _LEAST_SIGMAS * noise):
        return []
    spot, _ = ndimage.label(stands_out > 0.5 * peak)
    at = np.unravel_index(int(np.argmax(stands_out)), stands_out.shape)
    pixels = np.argwhere(spot == spot[at]).astype(np.float64)
    weight = stands_out[spot == spot[at]].astype(np.float64)
    ends = _ends(pixels, weight, width_px)
    if ends is None:
        return []
    sure = float(np.clip(0.5 + 0.45 * (peak - _LEAST_NEPER) / (_SURE_NEPER - _LEAST_NEPER), 0.5, 0.95))
    return [(needle, sure) for needle in _needles(ends + low)]


def _ends(pixels: Float, weight: Float, width_px: float) -> Float | None:
    """Return both ends (2, 2) of a spot; None for what is no needle: too wide or too long."""
    middle = weight @ pixels / weight.sum()
    off = pixels - middle
    values, ways = np.linalg.eigh((off * weight[:, None]).T @ off / weight.sum() + np.eye(2) / 12.0)
    along, across = off @ ways[:, 1], off @ ways[:, 0]
    length, width = float(np.ptp(along)) + 1.0, float(np.ptp(across)) + 1.0
    if width > 2.0 * width_px or length > _LONGEST_WIDTHS * width_px or values[1] <= 0.0:
        return None
    half = 0.5 * max(length - width, 0.0)
    centre = middle + 0.5 * (along.max() + along.min()) * ways[:, 1]
    ends: Float = np.stack([centre - half * ways[:, 1], centre + half * ways[:, 1]])
    return ends


def _needles(ends: Float) -> list[SeenNeedle]:
    first, last = ends
    if float(np.linalg.norm(last - first)) < _ROUND_PX:
        tip = 0.5 * (first + last)
        at = (float(tip[0]), float(tip[1]))
        return [SeenNeedle(at, np.stack([tip - (0.5, 0.0), tip]), _SIGMA_PX, _SIGMA_PX, at)]
    told = []
    for hub, tip in ((first, last), (last, first)):
        at = (float(tip[0]), float(tip[1]))
        told.append(SeenNeedle(at, np.stack([hub, tip]), _SIGMA_PX, _SIGMA_PX, (float(hub[0]), float(hub[1]))))
    return told
