"""How far a place is from what a needle should not touch, on a small grid along the paths, looked up at once."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.guidance.planning.surroundings import Surroundings

__all__ = ["Nearby", "nearby"]

Float = NDArray[np.float64]

_PITCH_MM = 1.5
_TOLD = ("cord", "nerve_root", "vessel", "bowel", "kidney", "organ", "lung")
"""What nearness is told of; the dura, where a needle may be meant to go, and bone, which is felt, are not."""
_KINDS = {"nerve_root": "nerve root", "kidney": "organ"}
FAR_MM = 99.0


@dataclass(frozen=True, slots=True)
class Nearby:
    """Distances to structures about the paths.

    Attributes
    ----------
    first_mm
        (3,) place of index (0, 0, 0), LPS.
    grids_mm
        float16 (nx, ny, nz) by structure.
    """

    first_mm: Float
    grids_mm: Mapping[str, NDArray[np.float16]]

    def distances_mm(self, at_mm: Float) -> dict[tuple[str, str], float]:
        """Return distances by (structure, kind) as `guidance.live_error` takes them; nothing outside the grid."""
        index = np.rint((np.asarray(at_mm) - self.first_mm) / _PITCH_MM).astype(np.int64)
        told = {}
        for what, grid in self.grids_mm.items():
            if np.all(index >= 0) and np.all(index < np.array(grid.shape)):
                told[(what.replace("_", " "), _KINDS.get(what, what))] = float(grid[tuple(index)])
        return told


def nearby(around: Surroundings, low_mm: Float, high_mm: Float) -> Nearby:
    """Return the distances in a box of the world."""
    axes = [np.arange(low, high + _PITCH_MM, _PITCH_MM) for low, high in zip(low_mm, high_mm, strict=True)]
    shape = tuple(len(axis) for axis in axes)
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    grids = {
        what: around.distance_mm(what, points).reshape(shape).astype(np.float16) for what in _TOLD if around.has(what)
    }
    return Nearby(np.asarray(low_mm, dtype=np.float64), grids)
