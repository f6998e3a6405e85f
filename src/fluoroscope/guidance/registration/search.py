"""Where a bone may lie: every place in a region is scored at once, a few turns at a time.

At one turn and one depth, shifting the DRR over the picture stands for shifting the bone parallel to the detector. The
masked NCC of gradients for all shifts is three correlations, done by Fourier transform (Padfield 2012,
doi:10.1109/TIP.2011.2181402). The score of a place in space is the mean of what the views say of its picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from fluoroscope.geometry.projection import project_points
from fluoroscope.geometry.rigid import Matrix, apply
from fluoroscope.guidance.registration.kernels import gradients
from fluoroscope.guidance.registration.picture import EDGE_PX, Layer
from fluoroscope.guidance.registration.refine import image_axes, moved
from fluoroscope.guidance.registration.rendering import Body, Box, add_drr

__all__ = ["Candidate", "Region", "find"]

_DEPTH_STEP_MM = 20.0
_LEAST_SEEN = 0.25
"""Share of the DRR's energy that must fall into the picture for a place to count."""


@dataclass(frozen=True, slots=True)
class Region:
    """Where to look.

    Attributes
    ----------
    middle_mm
        (3,) equipment frame.
    half_mm
        (3,) half size along the first image's axes: columns, rows, depth.
    step_mm
        (3,) between places.
    turns_deg
        (n, 3) about the first image's axes, added to the pose given.
    """

    middle_mm: NDArray[np.float64]
    half_mm: NDArray[np.float64]
    step_mm: NDArray[np.float64]
    turns_deg: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pose that may be right, and its score, −1 to 1."""

    pose: Matrix
    score: float


class _Correlator:
    """A picture's transforms, and the score of every shift of a DRR."""

    def __init__(self, layer: Layer, template: tuple[int, int]) -> None:
        self.layer = layer
        self.shape = layer.weight.shape
        self._size = tuple(fft.next_fast_len(n + t, real=True) for n, t in zip(self.shape, template, strict=True))
        weighted = layer.slopes * layer.weight
        squares = (layer.slopes**2).sum(axis=0) * layer.weight
        self._fixed = self._forward(np.stack([weighted[0], weighted[1], squares, layer.weight]))

    def _forward(self, images: NDArray[np.float32]) -> NDArray[np.complex64]:
        transformed: NDArray[np.complex64] = fft.rfft2(images, self._size, axes=(-2, -1))
        return transformed

    def scores(self, drr: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return NCC by shift (wrapped), −1 where too little of the DRR is seen."""
        slopes = np.empty((1, 2, *drr.shape), dtype=np.float32)
        gradients(drr[None], slopes)
        energy = (slopes[0] ** 2).sum(axis=0)
        total = float(energy.sum())
        if total <= 0.0:
            return np.full(self._size, -1.0, dtype=np.float32)
        support = (energy > 0.01 * energy.max()).astype(np.float32)
        moving = self._forward(np.stack([slopes[0, 0], slopes[0, 1], support, energy])).conj()
        product = np.stack(
            [
                self._fixed[0] * moving[0] + self._fixed[1] * moving[1],
                self._fixed[2] * moving[2],
                self._fixed[3] * moving[3],
            ]
        )
        fm, ff, mm = fft.irfft2(product, self._size, axes=(-2, -1))
        seen = mm / total
        floor = 0.02 * float(ff.max()) + 1e-12
        ncc = fm / np.sqrt(np.maximum(ff, floor) * np.maximum(mm, 0.01 * total))
        result: NDArray[np.float32] = np.where(seen > _LEAST_SEEN, ncc * np.clip(seen, 0.0, 1.0) ** 0.25, -1.0)
        return result


def find(
    layers: Sequence[Layer], body: Body, pose: Matrix, region: Region, *, count: int = 12, apart_mm: float = 9.0
) -> tuple[list[Candidate], int]:
    """Return the best places of a body, best first, and how many DRRs were rendered.

    Parameters
    ----------
    layers
        One per view, at a coarse pixel.
    body
        What is looked for.
    pose
        equipment_from_ct whose turn is the one to begin with; its place is not used.
    region
        Where and how turned.
    count, apart_mm
        How many, and how far their centres lie apart at least where their turns are the same.
    """
    axes = image_axes(layers[0].geometry, region.middle_mm)
    ticks = [
        np.arange(-np.floor(half / step), np.floor(half / step) + 1) * step
        for half, step in zip(region.half_mm, region.step_mm, strict=True)
    ]
    offsets = np.stack(np.meshgrid(*ticks, indexing="ij"), axis=-1).reshape(-1, 3)
    places = region.middle_mm + offsets @ axes
    centered = pose.copy()
    centered[:3, 3] += region.middle_mm - apply(pose, body.center_mm)
    finders = [_ViewFinder(layer, body, region.middle_mm, places) for layer in layers]
    found: list[Candidate] = []
    for turn in region.turns_deg:
        turned = moved(centered, body.center_mm, axes, np.concatenate([np.deg2rad(turn), np.zeros(3)]))
        score = np.mean([finder.scores(turned) for finder in finders], axis=0)
        for at in _peaks(score, places, max(4, count // 2), apart_mm):
            shifted = turned.copy()
            shifted[:3, 3] += places[at] - region.middle_mm
            found.append(Candidate(shifted, float(score[at])))
    found.sort(key=lambda one: -one.score)
    return found[:count], len(region.turns_deg) * sum(len(finder.depths) for finder in finders)


def _peaks(score: NDArray[np.float64], places: NDArray[np.float64], count: int, apart_mm: float) -> list[int]:
    """Return the indices of the best places that are not close to a better one."""
    left = score.copy()
    peaks: list[int] = []
    for _ in range(count):
        at = int(np.argmax(left))
        if left[at] <= 0.0:
            break
        peaks.append(at)
        left[np.linalg.norm(places - places[at], axis=1) < apart_mm] = -1.0
    return peaks


class _ViewFinder:
    """One view's scores of all places: which depth and which shift each stands for is worked out once."""

    def __init__(self, layer: Layer, body: Body, middle_mm: NDArray[np.float64], places: NDArray[np.float64]) -> None:
        self._layer, self._body = layer, body
        geometry = layer.geometry
        self._axes = image_axes(geometry, middle_mm)
        depth = (places - middle_mm) @ self._axes[2]
        low, high = float(depth.min()), float(depth.max())
        steps = max(1, round((high - low) / _DEPTH_STEP_MM))
        self.depths = low + (np.arange(steps) + 0.5) * (high - low) / steps
        self._which = np.clip(((depth - low) / max(high - low, 1e-9) * steps).astype(int), 0, steps - 1)
        nominal = project_points(geometry, middle_mm + self.depths[:, None] * self._axes[2])
        pixels = project_points(geometry, places)
        inside = np.isfinite(pixels).all(axis=1)
        inside &= (pixels >= 0).all(axis=1) & (pixels <= np.array(layer.weight.shape) - 1).all(axis=1)
        self._inside = inside
        shift = np.where(np.isfinite(pixels), pixels, 0.0) - nominal[self._which]
        self._shift = np.rint(shift).astype(int)
        radius = float(np.linalg.norm(body.corners_mm - body.center_mm, axis=1).max())
        near = max(float(geometry.pixel_from_world[2] @ np.append(middle_mm, 1.0)) + low, 1.5 * radius)
        scale = geometry.source_to_detector_mm / geometry.grid.pitch_mm
        # The far ends of a long spine need not fall into a template: they are outside the picture too.
        widest = int(2 * max(layer.weight.shape))
        self._half = min(int(np.ceil(radius * scale / (near - 0.5 * radius))) + EDGE_PX + 1, widest // 2)
        self._nominal = np.rint(nominal).astype(int)
        self._correlator = _Correlator(layer, (2 * self._half + 1, 2 * self._half + 1))

    def scores(self, pose: Matrix) -> NDArray[np.float64]:
        """Return the score of each place for a body turned as in ``pose``, centred on the region's middle."""
        maps = []
        size = 2 * self._half + 1
        for depth, (row, column) in zip(self.depths, self._nominal, strict=True):
            at = pose.copy()
            at[:3, 3] += depth * self._axes[2]
            drr = np.zeros((size, size), dtype=np.float32)
            corner = Box(int(row) - self._half, int(column) - self._half, size, size)
            add_drr(self._body, self._layer.geometry, at, corner, drr)
            scores = self._correlator.scores(drr)
            # A template drawn with its corner at (row, column) is at shift 0 when moved by that corner.
            maps.append(np.roll(scores, (-corner.row, -corner.column), axis=(0, 1)))
        stacked = np.stack(maps)
        rows, columns = stacked.shape[1:]
        result: NDArray[np.float64] = stacked[
            self._which, self._shift[:, 0] % rows, self._shift[:, 1] % columns
        ].astype(np.float64)
        result[~self._inside] = -1.0
        return result
