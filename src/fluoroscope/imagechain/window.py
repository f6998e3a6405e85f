"""Window and level: from pixel values to 8-bit gray, on the page (pixel for pixel), in its stream and in PNGs."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["apply_window", "window_table"]


def window_table(center: float, width: float, *, invert: bool = False) -> NDArray[np.uint8]:
    """Return the gray of every 16-bit pixel value.

    The LINEAR function of DICOM PS3.3 C.11.2.1.2.1 with y from 0 to 255, rounded half up::

        x ≤ c − 0.5 − (w − 1)/2      → 0
        x > c − 0.5 + (w − 1)/2      → 255
        else ((x − (c − 0.5)) / (w − 1) + 0.5) · 255

    in double precision; ``invert`` then gives 255 − y. A page that draws with less than double precision must
    use this table (made in double precision) rather than the formula, to be equal at the rounding edges.

    Parameters
    ----------
    center, width
        Window centre and width, pixel values; width at least 1.
    invert
        Black and white changed over.

    Returns
    -------
    NDArray[np.uint8]
        Shape (65536,).

    Raises
    ------
    ValueError
        If a number is not finite, or the width is below 1.
    """
    if not (np.isfinite(center) and np.isfinite(width) and width >= 1.0):
        raise ValueError(f"window {center} / {width}: the centre must be a number and the width at least 1")
    x = np.arange(65536, dtype=np.float64)
    middle, half = center - 0.5, (width - 1.0) / 2.0
    # A width of 1 is a step: the ramp between the two limits is empty, any divisor will do.
    ramp = ((x - middle) / max(width - 1.0, 1.0) + 0.5) * 255.0
    gray = np.where(x <= middle - half, 0.0, np.where(x > middle + half, 255.0, ramp))
    table = np.floor(gray + 0.5).astype(np.uint8)
    return (255 - table).astype(np.uint8) if invert else table


def apply_window(pixels: NDArray[np.uint16], center: float, width: float, *, invert: bool = False) -> NDArray[np.uint8]:
    """Return ``pixels`` (rows, columns) as 8-bit gray of the same shape; see `window_table`."""
    return window_table(center, width, invert=invert)[pixels]
