"""Metal in an X-ray picture: needles and wires, screws and plates, and what is opaque; bone is none of them.

By brightness alone metal and bone overlap: a needle of 22 G adds 0.2 to 0.9 neper, an end plate along the ray 0.5. So
what is thin must also be long and slender, and what is wide must rise as no bone does.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["metal_in"]

_Mask = NDArray[np.bool_]
_Image = NDArray[np.float32]

_FINE_MM, _BLUR_MM = 0.4, 0.4
_THIN_MM, _THIN_NEPER = 2.0, 0.12
_THIN_KINDS = ((25.0, 0.2), (12.0, 0.5))
"""Longer than (mm) and somewhere brighter than (neper). Bone ridges so thin stay below one or the other."""
_SLENDER_MM = 2.5
"""Of area over length; ridges of bone branch, and so are wider by this."""
_THICK_MM, _THICK_NEPER = 16.0, 1.2
"""A screw, plate or marker: nothing of the body rises so far within 16 mm."""
_STEEP_NEPER, _OPAQUE_NEPER = 0.7, 0.5
"""The rim of what is opaque rises so within three pixels of 0.8 mm all the way round, and its inside stays above."""
_OPAQUE_SHARE = 0.35
"""Of the picture at most."""


def metal_in(image: _Image, valid: _Mask, pixel_mm: float) -> _Mask:
    """Return where metal is.

    Parameters
    ----------
    image
        Attenuation, float32 (rows, columns), neper.
    valid
        Pixels that were exposed.
    pixel_mm
        Of a pixel at the isocentre.

    Returns
    -------
    bool (rows, columns)
        Metal and its penumbra.
    """
    fine = max(1, round(_FINE_MM / pixel_mm))
    coarse = 2 * fine
    if min(image.shape) < 16 * coarse:
        return np.zeros(image.shape, dtype=np.bool_)
    metal = _spread(_thin(_means(image, fine), pixel_mm * fine), fine, image.shape)
    wide = _means(image, coarse)
    metal |= _spread(_thick(wide, pixel_mm * coarse) | _opaque(wide), coarse, image.shape)
    metal &= valid
    return metal


def _means(image: _Image, factor: int) -> _Image:
    rows, columns = image.shape[0] // factor, image.shape[1] // factor
    blocks = image[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor)
    means: _Image = blocks.mean(axis=(1, 3), dtype=np.float32)
    return means


def _spread(mask: _Mask, factor: int, shape: tuple[int, ...]) -> _Mask:
    """Return a mask of coarser pixels, grown by one of them for the penumbra, on the picture's own."""
    if not mask.any():
        return np.zeros(shape, dtype=np.bool_)
    grown = ndimage.maximum_filter(mask, size=3)
    rows, columns = (np.minimum(np.arange(n) // factor, m - 1) for n, m in zip(shape, mask.shape, strict=True))
    return np.asarray(grown[np.ix_(rows, columns)])


def _rise(image: _Image, width_mm: float, pixel_mm: float) -> _Image:
    """Return how far a picture rises above what is ``width_mm`` wide."""
    size = max(3, 2 * round(0.5 * width_mm / pixel_mm) + 1)
    rise: _Image = image - ndimage.grey_opening(image, size=(size, size))
    return rise


def _thin(image: _Image, pixel_mm: float) -> _Mask:
    """Return needles and wires: thin, long and slender."""
    rise = _rise(ndimage.gaussian_filter(image, _BLUR_MM / pixel_mm), _THIN_MM, pixel_mm)
    pieces, count = ndimage.label(rise > _THIN_NEPER, np.ones((3, 3)))
    keep = np.zeros(count + 1, dtype=np.bool_)
    if count:
        peaks = np.append(0.0, ndimage.maximum(rise, pieces, np.arange(1, count + 1)))
        areas = np.bincount(pieces.ravel(), minlength=count + 1) * pixel_mm**2
        for number, box in enumerate(ndimage.find_objects(pieces), start=1):
            length = float(np.hypot(*(one.stop - one.start for one in box))) * pixel_mm
            long = any(length > least and peaks[number] > neper for least, neper in _THIN_KINDS)
            keep[number] = long and areas[number] < _SLENDER_MM * length
    return np.asarray(keep[pieces])


def _thick(image: _Image, pixel_mm: float) -> _Mask:
    """Return screws, plates and markers."""
    return np.asarray(_rise(image, _THICK_MM, pixel_mm) > _THICK_NEPER)


def _opaque(image: _Image) -> _Mask:
    """Return what a steep rim surrounds on all sides."""
    rim = ndimage.grey_dilation(image, size=(3, 3)) - ndimage.grey_erosion(image, size=(3, 3)) > _STEEP_NEPER
    metal = np.zeros(image.shape, dtype=np.bool_)
    if not rim.any():
        return metal
    pieces, count = ndimage.label(~rim)
    areas = np.bincount(pieces.ravel(), minlength=count + 1)
    level = np.append(0.0, ndimage.median(image, pieces, np.arange(1, count + 1))) if count else np.zeros(1)
    for number, box in enumerate(ndimage.find_objects(pieces), start=1):
        if not 9 < areas[number] < _OPAQUE_SHARE * image.size:
            continue
        around = tuple(slice(max(0, one.start - 5), one.stop + 5) for one in box)
        inside = pieces[around] == number
        ring = ndimage.binary_dilation(inside, iterations=5) & ~ndimage.binary_dilation(inside, iterations=3)
        outside = ring & (pieces[around] != 0)
        if outside.any() and level[number] - float(np.median(image[around][outside])) > _OPAQUE_NEPER:
            metal[around] |= ndimage.binary_dilation(inside, iterations=2)
    return metal
