"""Where along the spine a picture lies, with nothing known but the C-arm's angles and how the patient lies.

The skeleton is projected as seen from points along the spine, on a detector wider than the picture; the picture is laid
over each at every shift at once by Fourier transform. Compared are directions of edges, not their height: a lung's
border or a metal plate then weighs no more than an endplate.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.projection import ProjectionGeometry, project_points
from fluoroscope.geometry.rigid import Matrix, apply, rotation, translation
from fluoroscope.geometry.table import PatientPosition, TablePose, patient_from_equipment
from fluoroscope.guidance.registration.picture import Layer
from fluoroscope.guidance.registration.rendering import Body, Box, add_drr

__all__ = ["Guess", "apart", "search_along"]

_ASIDE_MM = 48.0
"""Farthest a spine lies from the middle of a picture, at the isocentre."""
_TURN_DEG, _DEEPER_MM = 7.0, 45.0
_EDGE_NEPER = 0.02
"""Edges of a DRR below this, in nepers a pixel, count less."""


@dataclass(frozen=True, slots=True)
class Guess:
    """A place of the skeleton and how alike picture and DRR are there, 0 to 1."""

    equipment_from_ct: Matrix
    value: float


def search_along(
    body: Body,
    layer: Layer,
    line_mm: NDArray[np.float64],
    position: PatientPosition,
    *,
    thorough: bool = True,
) -> list[Guess]:
    """Return guesses, the best first: one for every point of the line, turn and depth.

    Parameters
    ----------
    body
        The skeleton.
    layer
        The picture at pixels of some 2.4 mm.
    line_mm
        (n, 3) points along the spine, CT mm, one of which is near the picture's middle.
    position
        How the patient lies.
    thorough
        Also the patient turned 7° about each of the picture's axes, and 45 mm nearer and farther.
    """
    picture = _Prepared(layer, round(_ASIDE_MM / layer.pixel_mm))
    lain = np.eye(4)
    lain[:3, :3] = patient_from_equipment(TablePose(), position)[:3, :3].T
    rows = layer.geometry.pixel_from_world
    axes = [rows[2, :3], rows[1, :3] - (rows[1, :3] @ rows[2, :3]) * rows[2, :3]]
    axes.append(np.cross(axes[0], axes[1]))
    ways = [lain]
    if thorough:
        ways += [rotation(axis, sign * _TURN_DEG) @ lain for axis in axes for sign in (1.0, -1.0)]
        ways += [translation(sign * _DEEPER_MM * axes[0]) @ lain for sign in (1.0, -1.0)]
    found = []
    for way in ways:
        for point in line_mm:
            pose = way @ translation(-point)
            found.append(picture.best(body, pose))
    return sorted(found, key=lambda one: -one.value)


def apart(
    guesses: Sequence[Guess], geometry: ProjectionGeometry, line_mm: NDArray[np.float64], least_px: float, count: int
) -> list[Guess]:
    """Return the best guesses that show the spine in places at least ``least_px`` apart, ``count`` at most.

    Guesses are in order; two are one when what the first shows in the picture's middle lies near there in the second.
    """
    kept: list[tuple[Guess, NDArray[np.float64]]] = []
    middle = np.array([geometry.grid.rows - 1.0, geometry.grid.columns - 1.0]) / 2.0
    for guess in guesses:
        shown = project_points(geometry, apply(guess.equipment_from_ct, line_mm))
        for _, other in kept:
            nearest = int(np.argmin(np.linalg.norm(other - middle, axis=1)))
            if np.linalg.norm(shown[nearest] - other[nearest]) < least_px:
                break
        else:
            kept.append((guess, shown))
            if len(kept) == count:
                break
    return [guess for guess, _ in kept]


class _Prepared:
    """A picture's edges, transformed once, to be laid over many DRRs."""

    def __init__(self, layer: Layer, margin: int) -> None:
        weight = layer.weight
        self._margin, self._geometry = margin, layer.geometry
        self._wide = _wider(layer.geometry, margin)
        self._shape = (self._wide.grid.rows, self._wide.grid.columns)
        self._size = [fft.next_fast_len(n, real=True) for n in self._shape]
        slopes = layer.slopes.astype(np.float32)
        size = np.sqrt((slopes**2).sum(axis=0))
        counted = size[weight > 0.0]
        edges = slopes / (size + (float(np.median(counted)) if len(counted) else 1.0) + 1e-12) * weight
        self._edges = [np.conj(fft.rfft2(one, self._size)) for one in edges]
        self._weight = np.conj(fft.rfft2(weight, self._size))
        self._floor = 0.02 * float(weight.sum()) + 1e-6
        self._norm = float(np.sqrt((edges**2).sum())) + 1e-12

    def best(self, body: Body, pose: Matrix) -> Guess:
        """Return the pose shifted in the picture to where picture and DRR are most alike."""
        drr = np.zeros(self._shape, dtype=np.float32)
        add_drr(body, self._wide, pose, Box(0, 0, *self._shape), drr)
        slopes = np.stack([ndimage.gaussian_filter(drr, 1.0, order=order) for order in ((1, 0), (0, 1))])
        slopes /= np.sqrt((slopes**2).sum(axis=0)) + _EDGE_NEPER
        shared = sum(
            fft.irfft2(fft.rfft2(one, self._size) * edge, self._size)
            for one, edge in zip(slopes, self._edges, strict=True)
        )
        energy = fft.irfft2(fft.rfft2((slopes**2).sum(axis=0), self._size) * self._weight, self._size)
        value = shared / np.sqrt(np.maximum(energy, 0.0) + self._floor) / self._norm
        value = value[: 2 * self._margin + 1, : 2 * self._margin + 1]
        row, column = np.unravel_index(int(np.argmax(value)), value.shape)
        matrix = self._geometry.direction_from_pixel
        way = matrix[:, 0] * (row - self._margin) + matrix[:, 1] * (column - self._margin)
        depth = float(self._geometry.pixel_from_world[2, 3])
        return Guess(translation(-depth * way) @ pose, float(value[row, column]))


def _wider(geometry: ProjectionGeometry, margin: int) -> ProjectionGeometry:
    """Return the beam onto a detector with ``margin`` more pixels on every side."""
    matrix = geometry.pixel_from_world.copy()
    matrix[:2] += margin * matrix[2]
    grid = geometry.grid
    wide = DetectorGrid(grid.rows + 2 * margin, grid.columns + 2 * margin, grid.pitch_mm)
    return ProjectionGeometry(matrix, geometry.source_mm.copy(), geometry.source_to_detector_mm, wide)
