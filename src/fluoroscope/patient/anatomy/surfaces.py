"""Triangle surfaces of solids, from their signed distance."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from skimage.measure import marching_cubes

from fluoroscope.patient.anatomy.built import Surface
from fluoroscope.patient.anatomy.solids import Solid

__all__ = ["clearance_mm", "distance_of", "surface_of"]

LIPSCHITZ = 1.6
"""Bound of how fast a distance changes outside a solid, within 8 mm; measured in tests/patient/anatomy (1.51)."""


BOX_MARGIN_MM = 3.0
"""A solid's box stands off by at least this: no closer to it are points outside."""


def distance_of(solids: Sequence[Solid], points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n,) signed distances of points (n, 3) to the union of solids, mm."""
    nearest = solids[0].distance(points_mm)
    for solid in solids[1:]:
        nearest = np.minimum(nearest, solid.distance(points_mm))
    return nearest


def surface_of(solids: Sequence[Solid], pitch_mm: float = 1.0) -> Surface:
    """Return the closed surface of solids that together are one bone.

    Parameters
    ----------
    solids
        At least one.
    pitch_mm
        Of the grid the distance is taken on, 0.2 to 5.

    Raises
    ------
    ValueError
        For a pitch out of range or no solids.
    """
    if not solids or not 0.2 <= pitch_mm <= 5.0:
        raise ValueError(f"a surface needs a solid and a pitch of 0.2 to 5 mm, not {pitch_mm} mm")
    boxes = [solid.box() for solid in solids]
    low = np.min([box[0] for box in boxes], axis=0) - 2.0 * pitch_mm
    high = np.max([box[1] for box in boxes], axis=0) + 2.0 * pitch_mm
    values = _values_near_surface(solids, low, high, pitch_mm)
    # Inside is below zero. "descent" is what gives triangles that turn counter-clockwise from outside here.
    vertices, faces, _, _ = marching_cubes(  # type: ignore[no-untyped-call]
        values, 0.0, spacing=(pitch_mm,) * 3, gradient_direction="descent"
    )
    placed = (vertices + low).astype(np.float32)
    return Surface(placed, np.ascontiguousarray(faces, dtype=np.int32))


BLOCK = 4
"""Nodes a block has along each axis where the distance is first asked at its middle."""


def _values_near_surface(
    solids: Sequence[Solid], low: NDArray[np.float64], high: NDArray[np.float64], pitch_mm: float
) -> NDArray[np.float64]:
    """Return distances on a grid from ``low`` to beyond ``high``: a block far from the surface has its middle's."""
    counts = np.ceil((high - low) / (BLOCK * pitch_mm)).astype(int) + 1
    nodes = np.stack(np.meshgrid(*(np.arange(BLOCK),) * 3, indexing="ij"), axis=-1).reshape(-1, 3) * pitch_mm
    corners = np.stack(np.meshgrid(*(np.arange(n) for n in counts), indexing="ij"), axis=-1).reshape(-1, 3)
    corners = low + corners * (BLOCK * pitch_mm)
    half = 0.5 * (BLOCK - 1) * pitch_mm
    values = np.repeat(distance_of(solids, corners + half)[:, np.newaxis], BLOCK**3, axis=1)
    # Twice as far as a middle is from its nodes: distances inside a bone are no bounds.
    near = abs(values[:, 0]) < 2.0 * np.sqrt(3.0) * half
    points = corners[near][:, np.newaxis] + nodes
    values[near] = distance_of(solids, points.reshape(-1, 3)).reshape(-1, BLOCK**3)
    blocks = values.reshape(*counts, BLOCK, BLOCK, BLOCK).transpose(0, 3, 1, 4, 2, 5)
    return np.ascontiguousarray(blocks).reshape(counts * BLOCK)


def clearance_mm(
    first: Sequence[Solid],
    second: Sequence[Solid],
    *,
    first_moved: NDArray[np.float64] | None = None,
    finest_mm: float = 0.15,
) -> float:
    """Return a proven lower bound of the room between two bones; 0 where none can be proven.

    A cube is clear of the intersection when at its centre one of the distances is more than what it can fall by
    toward the corners (`LIPSCHITZ`). Cubes that are not clear are cut in eight, down to ``finest_mm``.

    Parameters
    ----------
    first, second
        Solids of one bone each.
    first_moved
        (4, 4) ``world_after_from_world`` of the first bone; at rest when None.
    finest_mm
        Size of cube at which the search gives up and returns 0.

    Returns
    -------
    float
        The larger of the two distances is above this everywhere: the bones do not meet if it is positive.
    """
    back = np.eye(4) if first_moved is None else np.linalg.inv(first_moved)
    corner, top = _box(second, np.eye(4))
    low, high = _box(first, np.eye(4) if first_moved is None else first_moved)
    corner, top = np.maximum(corner, low), np.minimum(top, high)
    if (corner >= top).any():
        return BOX_MARGIN_MM
    size = 8.0
    axes = [np.arange(a + 0.5 * size, b + size, size) for a, b in zip(corner, top, strict=True)]
    centers = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    shift = np.array([[i, j, k] for i in (-0.25, 0.25) for j in (-0.25, 0.25) for k in (-0.25, 0.25)])
    bound = BOX_MARGIN_MM
    while len(centers):
        fall = LIPSCHITZ * size * np.sqrt(3.0) / 2.0
        apart = distance_of(second, centers)
        near = apart <= fall
        moved = centers[near] @ back[:3, :3].T + back[:3, 3]
        apart[near] = np.maximum(apart[near], distance_of(first, moved))
        clear = apart > fall
        if clear.any():
            bound = min(bound, float(apart[clear].min() - fall))
        centers = centers[~clear]
        if len(centers) and (size <= finest_mm or (apart[~clear] < 0.0).any()):
            return 0.0
        centers = (centers[:, np.newaxis] + size * shift).reshape(-1, 3)
        size *= 0.5
    return bound


def _box(solids: Sequence[Solid], moved: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lowest and highest corner (3,) of solids that were moved by a (4, 4)."""
    boxes = [replace(solid, world_from_solid=moved @ solid.world_from_solid).box() for solid in solids]
    return np.min([box[0] for box in boxes], axis=0), np.max([box[1] for box in boxes], axis=0)
