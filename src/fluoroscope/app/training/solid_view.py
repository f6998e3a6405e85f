"""Bones of a patient seen in three dimensions: surface points, lit and drawn far to near."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fluoroscope.geometry.rigid import apply
from fluoroscope.patient.library import Patient

__all__ = ["SolidView"]

Float = NDArray[np.float64]
_TOWARD_CAMERA = np.array([0.62, 0.70, 0.35]) / np.linalg.norm([0.62, 0.70, 0.35])
"""From behind and from the patient's left, a little from the head."""
_HEAD = np.array([0.0, 0.0, 1.0])
_BONE = np.array([206.0, 192.0, 168.0])
_DENSE_HU = 250
SEEN_FROM = "seen from behind and the patient's left"


@dataclass(frozen=True, slots=True)
class SolidView:
    """An orthographic picture of what lies about a point.

    Attributes
    ----------
    center_mm
        (3,) in the middle of the picture.
    reach_mm
        From the middle to the edges.
    size_px
        Side of the picture.
    """

    center_mm: Float
    reach_mm: float
    size_px: int

    def project(self, points_mm: ArrayLike) -> Float:
        """Return (x, y, depth) (n, 3) of points (n, 3): px from the left and the top, mm toward the camera."""
        points = np.atleast_2d(np.asarray(points_mm, dtype=np.float64)) - self.center_mm
        right = np.cross(_HEAD, _TOWARD_CAMERA)
        right /= np.linalg.norm(right)
        up = np.cross(_TOWARD_CAMERA, right)
        scale = 0.5 * self.size_px / self.reach_mm
        x, y = points @ right * scale + 0.5 * self.size_px, 0.5 * self.size_px - points @ up * scale
        return np.column_stack([x, y, points @ _TOWARD_CAMERA])

    def bones(self, patient: Patient, background: tuple[int, int, int]) -> NDArray[np.uint8]:
        """Return RGB (size, size, 3) of the patient's bones."""
        picture = np.empty((self.size_px, self.size_px, 3), dtype=np.float64)
        picture[:] = background
        points, normals = self._surface(patient)
        if len(points):
            seen = self.project(points)
            lit = np.clip(normals @ _TOWARD_CAMERA, 0.0, 1.0)
            haze = np.clip(0.7 + 0.5 * seen[:, 2] / self.reach_mm, 0.4, 1.0)
            colour = _BONE * ((0.3 + 0.7 * lit) * haze)[:, None]
            spread = int(np.ceil(0.8 * self.size_px / self.reach_mm * _spacing_mm(patient)))
            offsets = np.array(list(np.ndindex(spread, spread))) - spread // 2
            # Each point fills the pixels a voxel does; the nearest is written last.
            x, y = (np.rint(seen[:, axis]).astype(int)[:, None] + offsets[:, axis] for axis in (0, 1))
            order = np.argsort(np.repeat(seen[:, 2], len(offsets)), kind="stable")
            owner, x, y = np.repeat(np.arange(len(seen)), len(offsets))[order], x.ravel()[order], y.ravel()[order]
            inside = (x >= 0) & (x < self.size_px) & (y >= 0) & (y < self.size_px)
            picture[y[inside], x[inside]] = colour[owner[inside]]
        return picture.astype(np.uint8)

    def _surface(self, patient: Patient) -> tuple[Float, Float]:
        """Return surface points (n, 3) of the bones near the centre, and their outward normals (n, 3)."""
        from scipy import ndimage

        mask, origin = _bone_mask(patient, self.center_mm, 1.2 * self.reach_mm)
        if not mask.any():
            return np.zeros((0, 3)), np.zeros((0, 3))
        edge = mask & ~ndimage.binary_erosion(mask)
        soft = ndimage.gaussian_filter(mask.astype(np.float32), 1.5)
        index = np.argwhere(edge)
        slope = np.stack([ndimage.sobel(soft, axis=axis)[edge] for axis in range(3)], axis=1)
        turn = patient.volume.world_from_index[:3, :3]
        normals = -(slope @ np.linalg.inv(turn))
        lengths = np.linalg.norm(normals, axis=1, keepdims=True)
        points = apply(patient.volume.world_from_index, index + origin)
        return points, normals / np.maximum(lengths, 1e-9)


def _spacing_mm(patient: Patient) -> float:
    return float(max(patient.volume.spacing_mm))


def _bone_mask(patient: Patient, center_mm: Float, reach_mm: float) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return which voxels of a box about a point are vertebra, sacrum or, without labels, dense; and its corner."""
    volume, labels = patient.volume, patient.labels
    middle = apply(np.linalg.inv(volume.world_from_index).astype(np.float64), center_mm)
    reach = np.ceil(reach_mm / np.asarray(volume.spacing_mm)).astype(int)
    low = np.maximum(np.rint(middle).astype(int) - reach, 0)
    high = np.minimum(np.rint(middle).astype(int) + reach + 1, volume.values.shape)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, np.maximum(high, low), strict=True))
    if labels is None:
        return np.asarray(volume.values[box], dtype=np.int16) > _DENSE_HU, low
    bones = [n for n, name in labels.names.items() if name.startswith(("vertebra", "sacrum"))]
    return np.isin(labels.values[box], bones), low
