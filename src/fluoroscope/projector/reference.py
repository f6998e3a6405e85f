"""The reference: march along every ray in small steps through the trilinear field, in double precision.

Slow and plain on purpose. It holds for every geometry, also for a source or a detector inside the volume.
"""

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from fluoroscope.geometry.projection import ProjectionGeometry
from fluoroscope.geometry.rigid import Matrix
from fluoroscope.projector.sharing import WITHIN, turn

__all__ = ["march_volume"]

STEP_VOXEL = 0.25


@njit(**WITHIN)
def trilinear(values, x, y, z):  # type: ignore[no-untyped-def]
    """Value between voxel centres; every neighbour outside the grid counts as zero."""
    i, j, k = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
    fx, fy, fz = x - i, y - j, z - k
    total = 0.0
    for corner in range(8):
        a, b, c = corner & 1, (corner >> 1) & 1, (corner >> 2) & 1
        p, q, r = i + a, j + b, k + c
        if 0 <= p < values.shape[0] and 0 <= q < values.shape[1] and 0 <= r < values.shape[2]:
            weight = (fx if a else 1.0 - fx) * (fy if b else 1.0 - fy) * (fz if c else 1.0 - fz)
            total += weight * values[p, q, r]
    return total


@njit(nogil=True, cache=True, parallel=True)
def march(values, source, index_from_pixel, world_from_pixel, far_mm, step_voxel, out):  # type: ignore[no-untyped-def]
    """Add nothing, write ``out`` (rows, columns): midpoint sums from the source to the detector plane."""
    for row in prange(out.shape[0]):
        for column in range(out.shape[1]):
            ray = index_from_pixel[:, 0] * row + index_from_pixel[:, 1] * column + index_from_pixel[:, 2]
            span = world_from_pixel[:, 0] * row + world_from_pixel[:, 1] * column + world_from_pixel[:, 2]
            near, far = 0.0, far_mm
            for axis in range(3):
                low, high = -1.0 - source[axis], values.shape[axis] - source[axis]
                if ray[axis] == 0.0:
                    if low > 0.0 or high < 0.0:
                        far = -1.0
                else:
                    one, two = low / ray[axis], high / ray[axis]
                    near, far = max(near, min(one, two)), min(far, max(one, two))
            if far <= near:
                out[row, column] = 0.0
                continue
            voxels = (far - near) * np.sqrt((ray * ray).sum())
            steps = int(np.ceil(voxels / step_voxel))
            pace = (far - near) / steps
            total = 0.0
            for n in range(steps):
                depth = near + (n + 0.5) * pace
                total += trilinear(
                    values, source[0] + depth * ray[0], source[1] + depth * ray[1], source[2] + depth * ray[2]
                )
            out[row, column] = total * pace * np.sqrt((span * span).sum())


def march_volume(
    values: NDArray[np.generic],
    world_from_index: Matrix,
    geometry: ProjectionGeometry,
    step_voxel: float = STEP_VOXEL,
) -> NDArray[np.float64]:
    """Return the line integrals of ``values``, value·mm, float64 (rows, columns).

    Parameters
    ----------
    values
        (n0, n1, n2) of any real dtype.
    world_from_index
        (4, 4).
    geometry
        Rays run from the source to the detector plane.
    step_voxel
        Step, in voxels; the sum is a midpoint rule.
    """
    index_from_world = np.linalg.inv(world_from_index)
    world_from_pixel = geometry.direction_from_pixel
    source = index_from_world[:3, :3] @ geometry.source_mm + index_from_world[:3, 3]
    out = np.empty((geometry.grid.rows, geometry.grid.columns))
    far_mm = float(geometry.source_to_detector_mm)
    index_from_pixel = index_from_world[:3, :3] @ world_from_pixel
    with turn():
        march(values, source, index_from_pixel, world_from_pixel, far_mm, float(step_voxel), out)
    return out
