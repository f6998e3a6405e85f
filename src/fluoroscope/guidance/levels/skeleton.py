"""Every bone of a CT as one coarse body: what tells a level from the next is all around it, ribs and pelvis too."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fluoroscope.geometry.rigid import apply
from fluoroscope.guidance.registration.model import VertebraModel
from fluoroscope.patient.labels import LabelMap
from fluoroscope.patient.level_names import LEVELS, sacral_numbers, vertebra_numbers
from fluoroscope.patient.volume import Volume

__all__ = ["SKELETON", "Skeleton", "skeleton_of", "spine_line"]

SKELETON = "skeleton"
_PITCH_MM = 2.5
_BONES = ("rib", "hip", "femur", "sternum", "clavicula", "scapula", "humerus", "costal")
_SOFT_HU, _BONE_HU, _BRIGHTEST_HU = 60.0, 250.0, 1500.0
"""Above soft tissue; where no label says bone, as dense as only bone is; what is denser may be metal."""
_HIGHEST = "T10"
_WATER_PER_MM = 0.0206
"""Attenuation of water at 60 keV; the measures do not see the scale."""


@dataclass(frozen=True, slots=True)
class Skeleton:
    """All bones of a CT as rigid bodies on voxels of 2.5 mm.

    Attributes
    ----------
    whole
        Every bone.
    rest
        What is left without the vertebrae that move on their own (T10 down): pelvis, ribs, what lies above. None when
        nothing is.
    """

    whole: VertebraModel
    rest: VertebraModel | None


def skeleton_of(volume: Volume, labels: LabelMap) -> Skeleton:
    """Return all bones of a labelled CT.

    Bones are the labelled ones, and what is dense and has no label: many label maps hold only the spine. Organs,
    which may hold contrast medium, are left out.

    Parameters
    ----------
    volume
        HU.
    labels
        On the same grid.

    Raises
    ------
    ValueError
        The CT shows no bone.
    """
    vertebrae = vertebra_numbers(labels)
    numbers = [*vertebrae.values(), *sacral_numbers(labels)]
    numbers += [number for number, name in labels.names.items() if name.lower().startswith(_BONES)]
    bone = _named(labels, numbers)
    hu = volume.values.astype(np.float32)
    excess = np.clip(hu - _SOFT_HU, 0.0, _BRIGHTEST_HU)
    excess[~bone & ~((labels.values == 0) & (hu > _BONE_HU))] = 0.0
    if not excess.any():
        raise ValueError("the CT shows no bone; give the CT of this patient, in HU")
    whole = _body(excess, volume)
    moving = [number for level, number in vertebrae.items() if level in LEVELS[LEVELS.index(_HIGHEST) :]]
    excess[_named(labels, moving)] = 0.0
    return Skeleton(whole, _body(excess, volume) if excess.any() else None)


def _named(labels: LabelMap, numbers: list[int]) -> NDArray[np.bool_]:
    table = np.zeros(int(labels.values.max()) + 1, dtype=np.bool_)
    table[[number for number in numbers if number < len(table)]] = True
    found: NDArray[np.bool_] = table[labels.values]
    return found


def _body(excess: NDArray[np.float32], volume: Volume) -> VertebraModel:
    values, world_from_index = _coarse(excess, volume)
    filled = np.argwhere(values > 0.25 * values.max())
    center = apply(world_from_index, filled.mean(axis=0))
    corners = apply(world_from_index, filled[:: max(1, len(filled) // 14)][:14])
    return VertebraModel(SKELETON, values * np.float32(_WATER_PER_MM / 1000.0), world_from_index, center, corners)


def _coarse(excess: NDArray[np.float32], volume: Volume) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return smoothed values on voxels of 2.5 mm within a rim of zeros."""
    steps = _PITCH_MM / volume.spacing_mm
    smooth = ndimage.gaussian_filter(excess, np.maximum(0.4 * steps - 0.2, 0.0))
    shape = tuple(int(np.ceil(n / step)) + 2 for n, step in zip(excess.shape, steps, strict=True))
    values = ndimage.affine_transform(smooth, steps, -steps, output_shape=shape, order=1, output=np.float32)
    values[[0, -1]] = 0.0
    values[:, [0, -1]] = 0.0
    values[:, :, [0, -1]] = 0.0
    world_from_index = volume.world_from_index @ np.diag([*steps, 1.0])
    world_from_index[:3, 3] = apply(volume.world_from_index, -steps)
    return np.ascontiguousarray(values), world_from_index


def spine_line(centers_mm: NDArray[np.float64], step_mm: float = 18.0) -> NDArray[np.float64]:
    """Return points (n, 3) every ``step_mm`` along a line through bones' middles (m, 3), from the head down."""
    if len(centers_mm) == 1:
        return centers_mm.copy()
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(centers_mm, axis=0), axis=1))])
    at = np.linspace(0.0, lengths[-1], max(2, round(lengths[-1] / step_mm) + 1))
    return np.stack([np.interp(at, lengths, centers_mm[:, axis]) for axis in range(3)], axis=1)
