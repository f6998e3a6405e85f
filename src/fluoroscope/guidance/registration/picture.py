"""The fixed side of registration: one X-ray picture at coarser pixels, its gradients, and what must not count."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fluoroscope.geometry.projection import ProjectionGeometry
from fluoroscope.guidance.registration.kernels import gradients
from fluoroscope.guidance.registration.rendering import coarser
from fluoroscope.guidance.view import XRayView

__all__ = ["EDGE_PX", "Layer", "Picture", "apart"]

EDGE_PX = 3
"""Pixels beside an edge whose gradient the filter cannot know."""
_METAL_PX_MM = 0.8
_ANGLES_APART_DEG = 15.0
_THIN_MM, _THIN_NEPER = 4.0, 0.3
"""A needle, wire or screw: brighter than everything 4 mm away on both sides (a 22 G needle has about 0.7 neper)."""
_THICK_MM, _THICK_NEPER = 16.0, 1.2
"""A plate, cage or marker: nothing of the body rises so far within 16 mm."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A picture at one size of pixels.

    Attributes
    ----------
    geometry
        The beam onto these pixels.
    slopes
        float32 (2, rows, columns): gradients of attenuation along rows and columns, smoothed.
    weight
        float32 (rows, columns): 1 where the gradient counts, 0 under blades and beside metal.
    pixel_mm
        Of a pixel at the isocentre.
    """

    geometry: ProjectionGeometry
    slopes: NDArray[np.float32]
    weight: NDArray[np.float32]
    pixel_mm: float


class Picture:
    """An X-ray picture prepared for registration: layers by pixel size, made when first asked for."""

    def __init__(self, view: XRayView) -> None:
        geometry = view.geometry
        depth = float(geometry.pixel_from_world[2, 3])
        self.view = view
        self.pixel_mm = geometry.grid.pitch_mm * max(depth, 1.0) / geometry.source_to_detector_mm
        self._layers: dict[int, Layer] = {}
        self._metal: NDArray[np.bool_] | None = None

    def factor(self, pixel_mm: float) -> int:
        """Return how many pixels make one of about ``pixel_mm`` at the isocentre."""
        least = min(self.view.geometry.grid.rows, self.view.geometry.grid.columns)
        return int(np.clip(round(pixel_mm / self.pixel_mm), 1, max(least // 16, 1)))

    def layer(self, pixel_mm: float) -> Layer:
        """Return the layer of about this pixel size."""
        factor = self.factor(pixel_mm)
        if factor not in self._layers:
            self._layers[factor] = self._made(factor)
        return self._layers[factor]

    @property
    def metal(self) -> NDArray[np.bool_]:
        """Pixels of metal, bool (rows, columns) of the layer of 0.8 mm."""
        if self._metal is None:
            factor = self.factor(_METAL_PX_MM)
            self._metal = _metal(*_averaged(self.view, factor), self.pixel_mm * factor)
        return self._metal

    def _made(self, factor: int) -> Layer:
        image, valid = _averaged(self.view, factor)
        slopes = np.empty((1, 2, *image.shape), dtype=np.float32)
        gradients(image[None], slopes)
        counts = valid & ~self._metal_at(factor, image.shape)
        counts = ndimage.minimum_filter(counts, size=2 * EDGE_PX + 1) if not counts.all() else counts
        weight = counts.astype(np.float32)
        weight[:EDGE_PX] = weight[-EDGE_PX:] = 0.0
        weight[:, :EDGE_PX] = weight[:, -EDGE_PX:] = 0.0
        weight.setflags(write=False)
        return Layer(coarser(self.view.geometry, factor), slopes[0], weight, self.pixel_mm * factor)

    def _metal_at(self, factor: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Return the mask of metal on pixels of another size."""
        metal = self.metal
        if not metal.any():
            return np.zeros(shape, dtype=np.bool_)
        fine = self.factor(_METAL_PX_MM)
        rows, columns = (
            np.minimum(((np.arange(n) + 0.5) * factor / fine).astype(int), m - 1)
            for n, m in zip(shape, metal.shape, strict=True)
        )
        if factor > fine:
            metal = ndimage.maximum_filter(metal, size=-(-factor // fine))
        return np.asarray(metal[np.ix_(rows, columns)])


def _averaged(view: XRayView, factor: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return means of ``factor``² pixels and where all of them are valid; invalid pixels hold the median."""
    rows, columns = view.attenuation.shape[0] // factor, view.attenuation.shape[1] // factor
    cut = (slice(0, rows * factor), slice(0, columns * factor))
    blocks = (rows, factor, columns, factor)
    valid: NDArray[np.bool_] = np.asarray(view.valid[cut].reshape(blocks).all(axis=(1, 3)))
    image: NDArray[np.float32] = view.attenuation[cut].reshape(blocks).mean(axis=(1, 3), dtype=np.float32)
    if not valid.all():
        image[~valid] = np.median(image[valid]) if valid.any() else 0.0
    return np.ascontiguousarray(image), valid


def _metal(image: NDArray[np.float32], valid: NDArray[np.bool_], pixel_mm: float) -> NDArray[np.bool_]:
    """Return where attenuation rises above its surroundings as only metal (or a full vessel of contrast) does."""
    metal = np.zeros(image.shape, dtype=np.bool_)
    for width_mm, neper in ((_THIN_MM, _THIN_NEPER), (_THICK_MM, _THICK_NEPER)):
        size = max(3, 2 * round(0.5 * width_mm / pixel_mm) + 1)
        if min(image.shape) > 2 * size:
            metal |= image - ndimage.grey_opening(image, size=(size, size)) > neper
    metal &= valid
    grown: NDArray[np.bool_] = ndimage.maximum_filter(metal, size=3) if metal.any() else metal
    return grown


def apart(pictures: Sequence[Picture]) -> bool:
    """Return whether two views are far enough apart to place a point in depth."""
    rays = [picture.view.geometry.pixel_from_world[2, :3] for picture in pictures]
    cosine = min((abs(float(a @ b)) for a in rays for b in rays), default=1.0)
    return cosine < float(np.cos(np.deg2rad(_ANGLES_APART_DEG)))
