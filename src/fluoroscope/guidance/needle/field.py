"""Which pixels of a recorded picture show anything: not those under round or straight blades and shutters."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["open_field"]

BLACK_SHARE = 0.008
"""Pixels up to this share of the full range may lie under a blade."""
LEAST_SHARE = 0.0005
"""Dark patches at the border smaller than this share of the picture are picture."""
RIM_PX = 3
"""The edge of a blade is blurred over so many pixels."""


def open_field(pixels: NDArray[np.uint16], bits: int = 16) -> NDArray[np.bool_]:
    """Return True where a picture is not covered: what is black from the border on, and its blurred rim, is not.

    Parameters
    ----------
    pixels
        uint16 (rows, columns), larger brighter.
    bits
        Of the values.

    Returns
    -------
    bool (rows, columns); all True where nothing would be left: a picture that is black is dark, not covered.
    """
    dark = pixels <= BLACK_SHARE * 2**bits
    parts, count = ndimage.label(dark)
    if not count:
        return np.ones(pixels.shape, dtype=np.bool_)
    border = np.zeros(pixels.shape, dtype=np.bool_)
    border[[0, -1]] = border[:, [0, -1]] = True
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    touching = np.unique(parts[border & dark])
    covered = np.isin(parts, [one for one in touching if one and sizes[one] >= LEAST_SHARE * pixels.size])
    if not covered.any() or covered.mean() > 0.97:
        return np.ones(pixels.shape, dtype=np.bool_)
    # Noise leaves bright specks under a blade, and text may stand there.
    shown = ndimage.binary_opening(~covered, iterations=RIM_PX)
    pieces, count = ndimage.label(shown)
    if count > 1:
        largest = np.bincount(pieces.ravel())[1:]
        shown = pieces == 1 + int(largest.argmax())
    whole: NDArray[np.bool_] = ndimage.binary_erosion(shown, iterations=RIM_PX, border_value=1)
    return whole if whole.any() else np.ones(pixels.shape, dtype=np.bool_)
