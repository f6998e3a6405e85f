"""From a model and a pose to a small DRR: the voxels at two sizes, the beam at a coarser pixel, the box of pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.projection import ProjectionGeometry, project_points
from fluoroscope.geometry.rigid import Matrix, apply, inverse
from fluoroscope.guidance.registration.kernels import march, march_with_slopes
from fluoroscope.guidance.registration.model import VertebraModel

__all__ = ["Body", "Box", "add_drr", "box_of", "coarser", "drr_with_slopes", "render"]


@dataclass(frozen=True, slots=True)
class Body:
    """A model's voxels ready to be marched.

    Attributes
    ----------
    values
        float32, 0 at the faces.
    filled
        bool: blocks of 4³ voxels in which a sample may meet bone.
    index_from_ct
        (4, 4).
    pitch_mm
        Of the voxels.
    center_mm
        (3,) CT mm about which it turns.
    corners_mm
        (8, 3) CT mm of the box of voxels.
    """

    values: NDArray[np.float32]
    filled: NDArray[np.bool_]
    index_from_ct: Matrix
    pitch_mm: float
    center_mm: NDArray[np.float64]
    corners_mm: NDArray[np.float64]

    @classmethod
    def of(cls, model: VertebraModel, halvings: int = 0) -> "Body":
        """Return the body of a model; each halving doubles the voxel."""
        values, world = model.values, model.world_from_index.copy()
        for _ in range(halvings):
            values, world = _halved(values, world)
        pitch = float(np.linalg.norm(world[:3, 0]))
        ends = np.array([[0, n - 1] for n in values.shape])
        corners = np.array([[ends[0, a], ends[1, b], ends[2, c]] for a in (0, 1) for b in (0, 1) for c in (0, 1)])
        return cls(
            np.ascontiguousarray(values),
            _filled(values),
            np.asarray(np.linalg.inv(world), dtype=np.float64),
            pitch,
            model.center_mm.copy(),
            apply(world, corners),
        )


def _halved(values: NDArray[np.float32], world: Matrix) -> tuple[NDArray[np.float32], Matrix]:
    """Return means of 2³ voxels within a rim of zeros."""
    even = [(1 + n) // 2 * 2 for n in values.shape]
    padded = np.zeros([n + 4 for n in even], dtype=np.float32)
    padded[2 : 2 + values.shape[0], 2 : 2 + values.shape[1], 2 : 2 + values.shape[2]] = values
    n0, n1, n2 = (n // 2 for n in padded.shape)
    means: NDArray[np.float32] = padded.reshape(n0, 2, n1, 2, n2, 2).mean(axis=(1, 3, 5), dtype=np.float32)
    coarse = world.copy()
    coarse[:3, :3] *= 2.0
    coarse[:3, 3] = apply(world, np.full(3, -1.5))
    return means, coarse


def _filled(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which 4³ blocks of cells (a cell is a voxel and the next on every axis) hold anything above zero."""
    some = np.zeros(values.shape, dtype=np.bool_)
    np.greater(values, 0.0, out=some)
    for axis in range(3):
        shifted = np.zeros_like(some)
        ahead: list[slice] = [slice(None)] * 3
        behind: list[slice] = [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        shifted[tuple(behind)] = some[tuple(ahead)]
        np.logical_or(some, shifted, out=some)
    blocks = [-(-n // 4) for n in values.shape]
    padded = np.zeros([4 * n for n in blocks], dtype=np.bool_)
    padded[: values.shape[0], : values.shape[1], : values.shape[2]] = some
    return np.asarray(padded.reshape(blocks[0], 4, blocks[1], 4, blocks[2], 4).any(axis=(1, 3, 5)))


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of pixels: first row and column, number of rows and columns."""

    row: int
    column: int
    rows: int
    columns: int

    def __bool__(self) -> bool:
        return self.rows > 0 and self.columns > 0


def coarser(geometry: ProjectionGeometry, factor: int) -> ProjectionGeometry:
    """Return the beam onto pixels ``factor`` times as large; rows and columns left over at the end fall away."""
    if factor == 1:
        return geometry
    matrix = geometry.pixel_from_world.copy()
    matrix[:2] = (matrix[:2] - 0.5 * (factor - 1) * matrix[2]) / factor
    grid = geometry.grid
    coarse = DetectorGrid(grid.rows // factor, grid.columns // factor, grid.pitch_mm * factor)
    return ProjectionGeometry(matrix, geometry.source_mm.copy(), geometry.source_to_detector_mm, coarse)


def box_of(body: Body, geometry: ProjectionGeometry, equipment_from_ct: Matrix, margin_px: int = 0) -> Box:
    """Return the pixels of the picture a body can fall on."""
    pixels = project_points(geometry, apply(equipment_from_ct, body.corners_mm))
    if not np.isfinite(pixels).all():
        return Box(0, 0, 0, 0)
    low = np.maximum(np.floor(pixels.min(axis=0)).astype(int) - margin_px, 0)
    high = np.minimum(
        np.ceil(pixels.max(axis=0)).astype(int) + margin_px + 1, (geometry.grid.rows, geometry.grid.columns)
    )
    size = np.maximum(high - low, 0)
    return Box(int(low[0]), int(low[1]), int(size[0]), int(size[1]))


def add_drr(
    body: Body, geometry: ProjectionGeometry, equipment_from_ct: Matrix, box: Box, out: NDArray[np.float32]
) -> None:
    """Add the DRR of a body within ``box`` to ``out`` (box.rows, box.columns), nepers."""
    index_from_equipment = body.index_from_ct @ inverse(equipment_from_ct)
    rays = index_from_equipment[:3, :3] @ geometry.direction_from_pixel
    origin = apply(index_from_equipment, geometry.source_mm)
    march(body.values, body.filled, origin, rays, box.row, box.column, body.pitch_mm, out)


def drr_with_slopes(
    body: Body,
    geometry: ProjectionGeometry,
    equipment_from_ct: Matrix,
    axes: NDArray[np.float64],
    box: Box,
    out: NDArray[np.float32],
) -> None:
    """Fill ``out`` (7, box.rows, box.columns): the DRR, and its slopes to turns (rad) and shifts (mm).

    ``axes`` (3, 3): rows are the unit vectors, in the equipment frame, about which the body turns at its centre and
    along which it shifts.
    """
    index_from_equipment = body.index_from_ct @ inverse(equipment_from_ct)
    turned = index_from_equipment[:3, :3]
    directions = geometry.direction_from_pixel
    origin = apply(index_from_equipment, geometry.source_mm)
    center = apply(equipment_from_ct, body.center_mm)
    arm = axes @ (geometry.source_mm - center)
    march_with_slopes(
        body.values,
        body.filled,
        origin,
        turned @ directions,
        box.row,
        box.column,
        body.pitch_mm,
        axes @ turned.T,
        arm,
        axes @ directions,
        out,
    )


def render(
    model: VertebraModel,
    geometry: ProjectionGeometry,
    equipment_from_ct: Matrix,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Return the DRR of one bone, nepers above soft tissue; only pixels of its bounding box are worked on.

    Parameters
    ----------
    model
        The bone.
    geometry
        The beam; its world is the equipment frame.
    equipment_from_ct
        Rigid (4, 4).
    out
        float32 (rows, columns), C-contiguous, that the DRR is added to; a new picture of zeros when absent.

    Raises
    ------
    ValueError
        ``out`` has another shape or type.
    """
    shape = (geometry.grid.rows, geometry.grid.columns)
    if out is None:
        out = np.zeros(shape, dtype=np.float32)
    if out.shape != shape or out.dtype != np.float32:
        raise ValueError(f"out must be float32 {shape}, got {out.dtype} {out.shape}")
    body = Body.of(model)
    box = box_of(body, geometry, equipment_from_ct)
    if box:
        part = np.zeros((box.rows, box.columns), dtype=np.float32)
        add_drr(body, geometry, equipment_from_ct, box, part)
        out[box.row : box.row + box.rows, box.column : box.column + box.columns] += part
    return out
