"""The patient's skin: where a straight line meets it, which way is out, and its outlines for the room view."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.volume import Volume

__all__ = ["Skin"]

Vector = NDArray[np.float64]

_BODY_HU = -350
"""Between air (−1000) and fat (−100): above it is body."""
_STEP_MM = 0.4
_THICK_MM = 4.0
"""What is thinner than this is no body: noise, a sheet."""
_FEELER_MM = 12.0


class Skin:
    """The surface of the body in a CT.

    Parameters
    ----------
    volume
        HU; what lies outside it is air.
    """

    def __init__(self, volume: Volume) -> None:
        self._values = volume.values
        self._index_from_world = np.linalg.inv(volume.world_from_index)
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in volume.values.shape])).reshape(3, -1).T
        placed = corners @ volume.world_from_index[:3, :3].T + volume.world_from_index[:3, 3]
        self._low, self._high = placed.min(axis=0), placed.max(axis=0)

    def inside(self, points_mm: Vector) -> NDArray[np.bool_]:
        """Return which points (..., 3), LPS mm, lie in the body."""
        placed = points_mm @ self._index_from_world[:3, :3].T + self._index_from_world[:3, 3]
        index = np.rint(placed).astype(np.int64)
        shape = np.array(self._values.shape)
        known = np.all((index >= 0) & (index < shape), axis=-1)
        index = np.clip(index, 0, shape - 1)
        found: NDArray[np.bool_] = known & (self._values[index[..., 0], index[..., 1], index[..., 2]] > _BODY_HU)
        return found

    def met(self, start_mm: Vector, direction: Vector) -> Vector | None:
        """Return where a line from ``start_mm`` on along ``direction`` enters the body first; None when it misses."""
        way = direction / np.linalg.norm(direction)
        reach = float(np.linalg.norm(self._high - self._low))
        middle = float((0.5 * (self._low + self._high) - start_mm) @ way)
        along = np.arange(max(0.0, middle - reach), middle + reach, _STEP_MM)
        if along.size == 0:
            return None
        body = self.inside(start_mm + along[:, None] * way)
        length = round(_THICK_MM / _STEP_MM)
        # Body from here on for its whole thickness.
        thick = np.convolve(body, np.ones(length), "valid") >= length
        if not thick.any():
            return None
        met: Vector = start_mm + along[int(np.argmax(thick))] * way
        return met

    def outward(self, at_mm: Vector) -> Vector:
        """Return the unit normal out of the body near ``at_mm``: from where the body is to where it is not."""
        turns = np.arange(400) * math.pi * (3.0 - math.sqrt(5.0))
        height = 1.0 - 2.0 * (np.arange(400) + 0.5) / 400
        ring = np.sqrt(1.0 - height**2)
        feelers = np.stack([ring * np.cos(turns), ring * np.sin(turns), height], axis=1)
        free = ~self.inside(at_mm + _FEELER_MM * feelers)
        out = feelers[free].sum(axis=0) if free.any() else np.zeros(3)
        length = float(np.linalg.norm(out))
        return out / length if length > 1e-9 else np.array([0.0, 1.0, 0.0])

    def outlines(self, about_mm: Vector, slices: int = 20, points: int = 36) -> list[dict[str, Any]]:
        """Return outlines of the skin from the feet up, JSON-ready, relative to ``about_mm``.

        Each is ``{"z_mm": height, "points_mm": [[x, y], …]}``: where lines to the middle of the slice enter the body.
        """
        angles = np.linspace(0.0, 2.0 * np.pi, points, endpoint=False)
        found = []
        for z_mm in np.linspace(self._low[2] + 2.0, self._high[2] - 2.0, slices):
            middle = self._middle(z_mm)
            if middle is None:
                continue
            ring = []
            for angle in angles:
                out = np.array([np.cos(angle), np.sin(angle), 0.0])
                met = self.met(middle + 400.0 * out, -out)
                ring.append(((met if met is not None else middle) - about_mm)[:2].round(1).tolist())
            found.append({"z_mm": round(float(z_mm - about_mm[2]), 1), "points_mm": ring})
        return found

    def _middle(self, z_mm: float) -> Vector | None:
        x, y = (np.arange(self._low[axis], self._high[axis], 6.0) for axis in (0, 1))
        grid = np.stack(np.meshgrid(x, y, [z_mm], indexing="ij"), axis=-1).reshape(-1, 3)
        body = grid[self.inside(grid)]
        middle: Vector | None = body.mean(axis=0) if len(body) >= 20 else None
        return middle
