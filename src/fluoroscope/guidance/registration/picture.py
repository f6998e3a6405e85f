"""The fixed side of registration: one X-ray picture at coarser pixels, its gradients, and what must not count."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fluoroscope.geometry.projection import ProjectionGeometry
from fluoroscope.guidance.registration.kernels import gradients
from fluoroscope.guidance.registration.metal import metal_in
from fluoroscope.guidance.registration.rendering import coarser
from fluoroscope.guidance.view import XRayView

__all__ = ["EDGE_PX", "Layer", "Picture", "apart"]

EDGE_PX = 3
"""Pixels beside an edge whose gradient the filter cannot know."""
_ANGLES_APART_DEG = 15.0


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
        float32 (rows, columns): 1 where the gradient counts, 0 under and beside blades and metal.
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
        self._bare: NDArray[np.float32] | None = None

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
        """Pixels of metal, bool (rows, columns) of the view."""
        if self._metal is None:
            self._metal = metal_in(self.view.attenuation, self.view.valid, self.pixel_mm)
        return self._metal

    @property
    def bare(self) -> NDArray[np.float32]:
        """Attenuation with metal filled by what is beside it, float32 (rows, columns) of the view."""
        if self._bare is None:
            self._bare = _without(self.view.attenuation, self.metal) if self.metal.any() else self.view.attenuation
        return self._bare

    def _made(self, factor: int) -> Layer:
        image, valid = _averaged(self.bare, self.view.valid, factor)
        slopes = np.empty((1, 2, *image.shape), dtype=np.float32)
        gradients(image[None], slopes)
        counts = ndimage.minimum_filter(valid, size=2 * EDGE_PX + 1) if not valid.all() else valid
        if self.metal.any():
            counts = counts & ~ndimage.maximum_filter(_any(self.metal, factor), size=3)
        weight = counts.astype(np.float32)
        weight[:EDGE_PX] = weight[-EDGE_PX:] = 0.0
        weight[:, :EDGE_PX] = weight[:, -EDGE_PX:] = 0.0
        weight.setflags(write=False)
        return Layer(coarser(self.view.geometry, factor), slopes[0], weight, self.pixel_mm * factor)


def _any(mask: NDArray[np.bool_], factor: int) -> NDArray[np.bool_]:
    """Return where any of ``factor``² pixels is set."""
    rows, columns = mask.shape[0] // factor, mask.shape[1] // factor
    blocks = mask[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor)
    return np.asarray(blocks.any(axis=(1, 3)))


def _averaged(
    attenuation: NDArray[np.float32], exposed: NDArray[np.bool_], factor: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return means of ``factor``² pixels and where all of them are valid; invalid pixels hold the median."""
    rows, columns = attenuation.shape[0] // factor, attenuation.shape[1] // factor
    cut = (slice(0, rows * factor), slice(0, columns * factor))
    blocks = (rows, factor, columns, factor)
    valid: NDArray[np.bool_] = np.asarray(exposed[cut].reshape(blocks).all(axis=(1, 3)))
    image: NDArray[np.float32] = attenuation[cut].reshape(blocks).mean(axis=(1, 3), dtype=np.float32)
    if not valid.all():
        image[~valid] = np.median(image[valid]) if valid.any() else 0.0
    return np.ascontiguousarray(image), valid


def _without(image: NDArray[np.float32], metal: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return a picture whose metal is filled with what is nearest, so that its edges reach no farther than itself."""
    rows, columns = ndimage.distance_transform_edt(metal, return_distances=False, return_indices=True)
    filled: NDArray[np.float32] = image[rows, columns]
    return filled


def apart(pictures: Sequence[Picture]) -> bool:
    """Return whether two views are far enough apart to place a point in depth."""
    rays = [picture.view.geometry.pixel_from_world[2, :3] for picture in pictures]
    cosine = min((abs(float(a @ b)) for a in rays for b in rays), default=1.0)
    return cosine < float(np.cos(np.deg2rad(_ANGLES_APART_DEG)))
