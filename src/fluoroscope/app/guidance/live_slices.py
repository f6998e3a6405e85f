"""The CT cut along the chosen path: two planes that hold the whole of it, as pictures for the page."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.app.guidance.live_path import LivePath
from fluoroscope.geometry.rigid import apply, inverse
from fluoroscope.patient.volume import Volume

__all__ = ["PathSlice", "path_slices"]

Vector = NDArray[np.float64]

WIDTH_MM, PITCH_MM = 150.0, 0.5
WINDOW_HU = (-160.0, 540.0)
"""Soft tissue and bone at once."""
_OVER_MM, _BEYOND_MM = 20.0, 45.0


@dataclass(frozen=True, slots=True)
class PathSlice:
    """One cut.

    Attributes
    ----------
    name, label
        "axial" or "sagittal"; in words.
    png
        The picture, 8 bit.
    corner_mm, across, down
        Its top left corner and unit ways along columns and rows, LPS.
    size_mm
        (across, down).
    """

    name: str
    label: str
    png: bytes
    corner_mm: Vector
    across: Vector
    down: Vector
    size_mm: tuple[float, float]

    def spot(self, point_mm: Vector) -> dict[str, float]:
        """Return where a point of the CT lies, fractions of the picture, along the cut's normal."""
        off = point_mm - self.corner_mm
        return {
            "row": round(float(off @ self.down) / self.size_mm[1], 5),
            "col": round(float(off @ self.across) / self.size_mm[0], 5),
        }

    def status(self, path: LivePath, url: str, tip_mm: Vector | None) -> dict[str, Any]:
        """Return what the page draws over it."""
        return {
            "name": self.name,
            "label": self.label,
            "url": url,
            "width_mm": self.size_mm[0],
            "height_mm": self.size_mm[1],
            "markers": _markers(self.across, self.down),
            "entry": self.spot(path.entry_mm),
            "target": self.spot(path.target_mm),
            "dura": None if path.dura_mm is None else self.spot(path.at(path.dura_mm)),
            "tip": None if tip_mm is None else self.spot(tip_mm),
        }


def path_slices(volume: Volume, path: LivePath) -> tuple[PathSlice, ...]:
    """Return the cut across the patient and the cut along his spine, both holding the path, his back up."""
    way = path.direction
    left, head = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0])
    from_side = abs(way @ left) > 0.8
    cuts = (
        ("axial", "across the patient, along the path", np.array([0.0, 1.0, 0.0]) if from_side else left),
        ("sagittal", "along the spine, along the path", head),
    )
    return tuple(_cut(volume, path, name, label, beside) for name, label, beside in cuts)


def _cut(volume: Volume, path: LivePath, name: str, label: str, beside: Vector) -> PathSlice:
    down = path.direction
    across = beside - (beside @ down) * down
    across /= np.linalg.norm(across)
    height = path.depth_mm + _OVER_MM + _BEYOND_MM
    corner = path.entry_mm - _OVER_MM * down - 0.5 * WIDTH_MM * across
    shape = (round(height / PITCH_MM), round(WIDTH_MM / PITCH_MM))
    rows, columns = np.meshgrid(*((np.arange(n) + 0.5) * PITCH_MM for n in shape), indexing="ij")
    points = corner + rows[..., None] * down + columns[..., None] * across
    hu = _sampled(volume, points)
    low, high = WINDOW_HU
    grey = np.clip((hu - low) / (high - low) * 255.0, 0.0, 255.0).astype(np.uint8)
    return PathSlice(name, label, _png(grey), corner, across, down, (WIDTH_MM, shape[0] * PITCH_MM))


def _sampled(volume: Volume, points_mm: Vector) -> NDArray[np.float32]:
    from scipy.ndimage import map_coordinates

    index = apply(inverse(volume.world_from_index), points_mm)
    values = np.asarray(volume.values, dtype=volume.values.dtype)
    at = np.moveaxis(index, -1, 0)
    sampled: NDArray[np.float32] = np.empty(at.shape[1:], dtype=np.float32)
    map_coordinates(values, at, output=sampled, order=1, mode="constant", cval=-1000.0)
    return sampled


def _png(grey: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(grey).save(file, format="PNG")
    return file.getvalue()


def _markers(across: Vector, down: Vector) -> dict[str, str]:
    """Return the letters at the edges: the direction of the patient each mostly shows."""

    def letter(way: Vector) -> str:
        axis = int(np.argmax(np.abs(way)))
        return ("LR", "PA", "HF")[axis][0 if way[axis] > 0.0 else 1]

    return {"left": letter(-across), "right": letter(across), "top": letter(-down), "bottom": letter(down)}
