"""How alike a DRR and a picture are, patch by patch, and which way the pose makes them more alike.

One family of measures (gradient NCC, its patches, gradient orientation) in one form. Over a patch k with weights w,
``NCC_k = Σ w ∇f·∇m / √((Σ w|∇f|² + ε_f)(Σ w|∇m|² + ε_m))``. One patch over everything is gradient NCC
(Penney 1998, doi:10.1109/42.730403); many are patch gradient NCC (Grupp 2020, doi:10.1007/s11548-020-02162-7); a
patch of one pixel is the cosine between gradients, which no strong edge of metal or contrast outweighs: gradient
orientation. The measure is their weighted mean.

As ``1 − NCC_k = ½|f̂ − m̂|²`` for unit vectors, ``Jᵀ(I − m̂m̂ᵀ)J / |m|²`` is its Gauss-Newton Hessian. Sums over cells
give every patch of 3×3 cells without another pass.
"""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fluoroscope.geometry.rigid import Matrix
from fluoroscope.guidance.registration.kernels import gradients, patch_sums, value_sums
from fluoroscope.guidance.registration.picture import EDGE_PX, Layer
from fluoroscope.guidance.registration.rendering import Body, Box, add_drr, box_of, drr_with_slopes

__all__ = ["Comparison", "Likeness", "Measure"]

_PATCH_MM = 18.0
_RIM_MM = 4.0
_UPPER = np.triu_indices(6)


class Measure(Enum):
    """What a patch is."""

    GRADIENT_NCC = "gradient_ncc"
    PATCH_GRADIENT_NCC = "patch_gradient_ncc"
    GRADIENT_ORIENTATION = "gradient_orientation"


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike, and how that changes with the pose.

    Attributes
    ----------
    value
        Weighted mean of the patches' NCC, −1 to 1.
    slope
        (6,) of the value to turns (rad) and shifts (mm).
    curvature
        (6, 6) Gauss-Newton Hessian of ``1 − value``.
    """

    value: float
    slope: NDArray[np.float64]
    curvature: NDArray[np.float64]


class Comparison:
    """One layer of one picture against one body near one pose; the box, the weights and the buffers are kept.

    Parameters
    ----------
    layer
        The picture.
    body
        What moves.
    equipment_from_ct
        Where it is about; it may move ``reach_mm`` in the picture from there.
    measure, whole_share
        The patches, and the share of one patch over everything (0 to 1).
    reach_mm
        See above.
    context
        Bodies that stay where they are, with their poses: what else is seen in the box.
    """

    def __init__(
        self,
        layer: Layer,
        body: Body,
        equipment_from_ct: Matrix,
        *,
        measure: Measure = Measure.PATCH_GRADIENT_NCC,
        whole_share: float = 0.3,
        reach_mm: float = 6.0,
        context: tuple[tuple[Body, Matrix], ...] = (),
    ) -> None:
        margin = EDGE_PX + round(reach_mm / layer.pixel_mm)
        self.layer, self.body = layer, body
        self.box = box_of(body, layer.geometry, equipment_from_ct, margin)
        self.measure, self._whole_share = measure, whole_share
        self.seen = 0.0
        if not self.box or min(self.box.rows, self.box.columns) < 2 * EDGE_PX + 3:
            self.box = Box(0, 0, 0, 0)
            return
        box = self.box
        part = (slice(box.row, box.row + box.rows), slice(box.column, box.column + box.columns))
        self._fixed = np.ascontiguousarray(layer.slopes[:, part[0], part[1]])
        self._drr = np.zeros((7, box.rows, box.columns), dtype=np.float32)
        self._moving = np.zeros((7, 2, box.rows, box.columns), dtype=np.float32)
        self._context = self._gradients_of(context)
        silhouette = np.zeros((box.rows, box.columns), dtype=np.float32)
        add_drr(body, layer.geometry, equipment_from_ct, box, silhouette)
        near = ndimage.maximum_filter(
            silhouette > 0.05 * silhouette.max(), size=2 * round(_RIM_MM / layer.pixel_mm) + 1
        )
        self._weight = np.ascontiguousarray(layer.weight[part] * near)
        self.seen = float(self._weight.sum() / max(self._whole_rim(equipment_from_ct), 1.0))
        pixelwise = measure is Measure.GRADIENT_ORIENTATION
        self._cell = 1 if pixelwise else max(2, round(_PATCH_MM / 3.0 / layer.pixel_mm))
        cells = (-(-box.rows // self._cell), -(-box.columns // self._cell))
        self._sums = np.zeros((*cells, 36), dtype=np.float64)
        self._short = np.zeros((*cells, 3), dtype=np.float64)
        self._prepare(equipment_from_ct)

    def _whole_rim(self, pose: Matrix) -> float:
        """Return how many pixels the weights would cover on an endless detector without blades or metal."""
        layer, body = self.layer, self.body
        grid = layer.geometry.grid
        corners = body.corners_mm @ pose[:3, :3].T + pose[:3, 3]
        homogeneous = corners @ layer.geometry.pixel_from_world[:, :3].T + layer.geometry.pixel_from_world[:, 3]
        pixels = homogeneous[:, :2] / homogeneous[:, 2:]
        low, high = np.floor(pixels.min(axis=0)).astype(int), np.ceil(pixels.max(axis=0)).astype(int) + 1
        inside = (low >= 0).all() and high[0] <= grid.rows and high[1] <= grid.columns
        size = np.minimum(high - low, 4096)
        if inside and layer.weight[low[0] : high[0], low[1] : high[1]].all():
            return float(self._weight.sum())
        rim = round(_RIM_MM / layer.pixel_mm)
        box = Box(int(low[0]) - rim, int(low[1]) - rim, int(size[0]) + 2 * rim, int(size[1]) + 2 * rim)
        whole = np.zeros((box.rows, box.columns), dtype=np.float32)
        add_drr(body, layer.geometry, pose, box, whole)
        return float(ndimage.maximum_filter(whole > 0.05 * whole.max(), size=2 * rim + 1).sum())

    def _gradients_of(self, context: tuple[tuple[Body, Matrix], ...]) -> NDArray[np.float32] | None:
        if not context:
            return None
        image = np.zeros((1, self.box.rows, self.box.columns), dtype=np.float32)
        for body, pose in context:
            add_drr(body, self.layer.geometry, pose, self.box, image[0])
        slopes = np.zeros((1, 2, self.box.rows, self.box.columns), dtype=np.float32)
        gradients(image, slopes)
        context_slopes: NDArray[np.float32] = slopes[0]
        return context_slopes

    def _pooled(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return sums over the patches, (patches + 1, n): 3×3 cells each, then everything."""
        whole: NDArray[np.float64] = sums.sum(axis=(0, 1))[None]
        if self.measure is Measure.GRADIENT_NCC:
            return whole
        if self.measure is Measure.GRADIENT_ORIENTATION:
            return np.concatenate([sums.reshape(-1, sums.shape[2]), whole])
        padded = np.pad(sums, ((1, 1), (1, 1), (0, 0)))
        rows = padded[:-2] + padded[1:-1] + padded[2:]
        patches = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
        return np.concatenate([patches.reshape(-1, sums.shape[2]), whole])

    def _prepare(self, pose: Matrix) -> None:
        """Fix the patches' weights and the ε of their norms from the DRR where it starts."""
        pooled = self._pooled(self._value_sums(pose))
        ff, mm = pooled[:, 0], pooled[:, 2]
        if len(pooled) == 1:
            self._share, self._floor = np.ones(1), np.full((2, 1), 1e-12)
            return
        energy = mm[:-1]
        some = energy > 0.0
        mean_m = float(energy[some].mean()) if some.any() else 1.0
        mean_f = float(ff[:-1][some].mean()) if some.any() else 1.0
        part = 1.0 if self.measure is Measure.GRADIENT_ORIENTATION else 0.15
        self._floor = np.empty((2, len(pooled)))
        self._floor[0, :-1], self._floor[1, :-1] = 0.25 * part * mean_f, part * mean_m
        self._floor[:, -1] = 0.0
        self._floor += 1e-12
        share = energy / (energy + 0.5 * mean_m)
        total = float(share.sum())
        self._share = np.append((1.0 - self._whole_share) * share / max(total, 1e-12), self._whole_share)

    def _value_sums(self, pose: Matrix) -> NDArray[np.float64]:
        self._drr[0] = 0.0
        add_drr(self.body, self.layer.geometry, pose, self.box, self._drr[0])
        gradients(self._drr[:1], self._moving[:1])
        if self._context is not None:
            self._moving[0] += self._context
        value_sums(self._fixed, self._moving[0], self._weight, self._cell, self._short)
        return self._short

    @property
    def area_mm2(self) -> float:
        """How much of the picture is compared, at the isocentre."""
        return float(self._weight.sum()) * self.layer.pixel_mm**2 if self.box else 0.0

    def value(self, pose: Matrix) -> float:
        """Return how alike the picture is to the DRR at a pose, −1 to 1."""
        if not self.box:
            return 0.0
        pooled = self._pooled(self._value_sums(pose))
        norm = np.sqrt((pooled[:, 0] + self._floor[0]) * (pooled[:, 2] + self._floor[1]))
        return float(self._share @ (pooled[:, 1] / norm))

    def likeness(self, pose: Matrix, axes: NDArray[np.float64]) -> Likeness:
        """Return the value, its slope and curvature at a pose, for turns and shifts along ``axes``."""
        if not self.box:
            return Likeness(0.0, np.zeros(6), np.zeros((6, 6)))
        drr_with_slopes(self.body, self.layer.geometry, pose, axes, self.box, self._drr)
        gradients(self._drr, self._moving)
        if self._context is not None:
            self._moving[0] += self._context
        patch_sums(self._fixed, self._moving, self._weight, self._cell, self._sums)
        pooled = self._pooled(self._sums)
        ff, fm, mm = pooled[:, 0] + self._floor[0], pooled[:, 1], pooled[:, 2] + self._floor[1]
        fd, md = pooled[:, 3:9], pooled[:, 9:15]
        ncc = fm / np.sqrt(ff * mm)
        slope = (self._share / np.sqrt(ff * mm)) @ (fd - (fm / mm)[:, None] * md)
        weight = self._share / mm
        curvature = np.zeros((6, 6))
        curvature[_UPPER] = weight @ pooled[:, 15:]
        curvature += np.triu(curvature, 1).T
        curvature -= (md * (weight / mm)[:, None]).T @ md
        return Likeness(float(self._share @ ncc), slope, curvature)
