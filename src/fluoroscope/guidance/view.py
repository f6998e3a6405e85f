"""An X-ray picture as algorithms take it: attenuation in nepers, the cone beam, and which pixels count."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.acquisition.frame import PixelIntensity
from fluoroscope.geometry.projection import ProjectionGeometry

__all__ = ["XRayView", "attenuation_of", "view_of"]

_BLACK_SHARE = 0.004
"""Pixels darker than this share of the full range count as covered by a blade or shutter."""
_FULL_DISPLAY_NEPER = 4.0
"""What the full range of a DISP or LOG picture is taken to span; similarity measures do not see the scale."""


@dataclass(frozen=True, slots=True)
class XRayView:
    """One X-ray picture and the cone beam it was taken with.

    Attributes
    ----------
    attenuation
        float32 (rows, columns), nepers: −ln(I/I₀) up to an offset, and up to a scale where `exact` is False; larger is
        denser (bone and metal are bright here). Read-only, finite everywhere.
    geometry
        The beam onto these pixels; its world is the equipment frame.
    valid
        bool (rows, columns): False under blades, shutters and burnt-in text. Read-only.
    exact
        Whether a neper is a neper (LIN pixels); False for pictures made for display.
    """

    attenuation: NDArray[np.float32]
    geometry: ProjectionGeometry
    valid: NDArray[np.bool_]
    exact: bool = True

    def __post_init__(self) -> None:
        shape = (self.geometry.grid.rows, self.geometry.grid.columns)
        if self.attenuation.shape != shape or self.attenuation.dtype != np.float32:
            raise ValueError(
                f"attenuation must be float32 {shape}, got {self.attenuation.dtype} {self.attenuation.shape}"
            )
        if self.valid.shape != shape or self.valid.dtype != np.bool_:
            raise ValueError(f"valid must be bool {shape}, got {self.valid.dtype} {self.valid.shape}")
        self.attenuation.setflags(write=False)
        self.valid.setflags(write=False)


def attenuation_of(pixels: NDArray[np.uint16], intensity: PixelIntensity, bits: int = 16) -> NDArray[np.float32]:
    """Return nepers of attenuation, float32 (rows, columns), of stored pixels (larger = more X-ray).

    LIN pixels give −ln(pixel / 2^bits), zero counted as half a step. LOG and DISP pixels are already a compressed
    scale and are turned round linearly, the full range as 4 neper.

    Parameters
    ----------
    pixels
        uint16 (rows, columns).
    intensity
        What a pixel means.
    bits
        8 to 16: values lie from 0 to 2^bits − 1.
    """
    full = float(2**bits)
    share = np.maximum(pixels, 0.5).astype(np.float32) / np.float32(full)
    nepers: NDArray[np.float32] = (
        -np.log(share)
        if intensity is PixelIntensity.LIN
        else (np.float32(1.0) - share) * np.float32(_FULL_DISPLAY_NEPER)
    )
    return nepers


def view_of(
    pixels: NDArray[np.uint16],
    intensity: PixelIntensity,
    geometry: ProjectionGeometry,
    *,
    bits: int = 16,
    valid: NDArray[np.bool_] | None = None,
) -> XRayView:
    """Return the view of stored pixels.

    Parameters
    ----------
    pixels, intensity, bits
        As `attenuation_of` takes them.
    geometry
        The beam; its world is the equipment frame.
    valid
        Pixels the collimator leaves open, where that is known; else rows and columns at the edges that are black all
        along are taken to lie under a blade.
    """
    if valid is None:
        valid = _inside_black_edges(pixels, _BLACK_SHARE * 2**bits)
    return XRayView(attenuation_of(pixels, intensity, bits), geometry, valid, intensity is PixelIntensity.LIN)


def _inside_black_edges(pixels: NDArray[np.uint16], black: float) -> NDArray[np.bool_]:
    """Return True within the rectangle left when rows and columns that are black all along are cut from the edges."""
    rows, columns = (np.flatnonzero(np.percentile(pixels, 98, axis=axis) > black) for axis in (1, 0))
    valid = np.zeros(pixels.shape, dtype=np.bool_)
    if len(rows) and len(columns):
        valid[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return valid
