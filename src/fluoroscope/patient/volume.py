"""Voxels on an affine grid."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["BasisVolume", "Volume"]


@dataclass(frozen=True, slots=True)
class Volume:
    """Voxel values and where they lie.

    Attributes
    ----------
    values
        (n0, n1, n2), any real dtype; C-contiguous, read-only. A CT holds HU as int16. Loaders order the axes so that
        axis 0 runs most nearly to the head (S), axis 1 to the back (P), axis 2 to the patient's left (L).
    world_from_index
        (4, 4): world LPS mm of the voxel centre at ``(i0, i1, i2, 1)``, in numpy index order.
    """

    values: NDArray[np.generic]
    world_from_index: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.values.ndim != 3 or min(self.values.shape) < 1:
            raise ValueError(f"a volume has three axes with at least one voxel each, got shape {self.values.shape}")
        check_affine(self.world_from_index)
        self.values.setflags(write=False)
        self.world_from_index.setflags(write=False)

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """Voxel pitch along each index axis, (3,), mm."""
        spacing: NDArray[np.float64] = np.linalg.norm(self.world_from_index[:3, :3], axis=0)
        return spacing

    @property
    def center_mm(self) -> NDArray[np.float64]:
        """World position of index (n − 1)/2, (3,), mm."""
        middle = (np.asarray(self.values.shape, dtype=np.float64) - 1.0) / 2.0
        center: NDArray[np.float64] = self.world_from_index[:3, :3] @ middle + self.world_from_index[:3, 3]
        return center


@dataclass(frozen=True, slots=True)
class BasisVolume:
    """A patient as the projector sees him: two basis materials per voxel, whose line integrals are thicknesses.

    Any tissue's attenuation is written as ``water·μ_water(E) + bone·μ_bone(E)`` (Alvarez and Macovski 1976,
    doi:10.1088/0031-9155/21/5/002), with the reference materials of ``beam.materials``: liquid water at 1.0 g/cm³ and
    cortical bone at 1.92 g/cm³.

    Attributes
    ----------
    water, bone
        int16 (n0, n1, n2), in units of ``SCALE``: 1000 is the reference material itself. Never negative for a
        whole patient; a part's excess over what lies below it (`patient.parts`) may be, within ±16383.
    world_from_index
        As in `Volume`.
    """

    water: NDArray[np.int16]
    bone: NDArray[np.int16]
    world_from_index: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.water.shape != self.bone.shape or self.water.ndim != 3:
            raise ValueError(f"basis volumes differ in shape: {self.water.shape} and {self.bone.shape}")
        if self.water.dtype != np.int16 or self.bone.dtype != np.int16:
            raise ValueError("basis volumes are int16")
        check_affine(self.world_from_index)
        for array in (self.water, self.bone, self.world_from_index):
            array.setflags(write=False)


SCALE = 0.001
"""Fraction of the reference material per unit of a `BasisVolume`."""


def check_affine(world_from_index: NDArray[np.float64]) -> None:
    """Raise ValueError unless the matrix is a finite (4, 4) with orthogonal axes of positive pitch."""
    if world_from_index.shape != (4, 4) or not np.isfinite(world_from_index).all():
        raise ValueError("world_from_index must be a finite (4, 4) matrix")
    axes = world_from_index[:3, :3]
    spacing = np.linalg.norm(axes, axis=0)
    if spacing.min() <= 0.0:
        raise ValueError(f"voxel spacing must be above 0 mm, got {spacing.tolist()}")
    cosines = (axes / spacing).T @ (axes / spacing) - np.eye(3)
    if np.abs(cosines).max() > 1e-3:
        raise ValueError("the voxel axes are not at right angles (gantry tilt or shear): resample the CT first")
