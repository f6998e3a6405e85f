"""The moving side of 2D/3D registration: one small crop of bone per vertebra, cut from a labelled CT."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fluoroscope.geometry.rigid import apply
from fluoroscope.patient.ct_landmarks import find_vertebra, landmarks_of
from fluoroscope.patient.labels import LabelMap
from fluoroscope.patient.level_names import LEVELS, sacral_numbers, vertebra_numbers
from fluoroscope.patient.volume import Volume

__all__ = ["SACRUM", "VertebraModel", "merged", "ordered", "vertebra_models"]

SACRUM = "sacrum"
_PITCH_MM = 1.0
_WATER_PER_MM = 0.0206
"""Attenuation of water at 60 keV (docs/explanations/image-physics.md); the measures do not see the scale."""
_SOFT_HU = 90.0
_BRIGHTEST_HU = 2000.0
"""Brighter is metal: it may have come after the CT, or streak."""
_RINGING_HU = 12.0
_MARGIN_MM = 5.0
_RIM_MM = 2.5
_LEAST_MM3 = 5000.0
"""Of a label that counts: a lumbar vertebra has 40 to 90 cm³, what is below is a piece at the CT's border."""
_HIGHEST = "T10"
"""Where a CT shows the chest, vertebrae above this are not wanted unless asked for."""


@dataclass(frozen=True, slots=True)
class VertebraModel:
    """One bone as registration moves it.

    Attributes
    ----------
    level
        "L3", or "sacrum".
    values
        float32 (n0, n1, n2): attenuation above that of soft tissue, 1/mm, on a grid of 1 mm along the CT's axes; 0 at
        the faces. Read-only.
    world_from_index
        (4, 4): CT LPS mm of the voxel centre at ``(i0, i1, i2, 1)``.
    center_mm
        (3,) about which it turns, CT LPS mm: the middle of its voxels weighted by attenuation.
    landmarks_mm
        (n, 3) CT LPS mm, at least 12: corners of the body, pedicles, tips of the processes where the label shows them.
    whole
        False where the label runs into the border of the CT: part of the bone is missing.
    voxel_mm
        The CT's largest pitch: what its bones' edges are known to.
    """

    level: str
    values: NDArray[np.float32]
    world_from_index: NDArray[np.float64]
    center_mm: NDArray[np.float64]
    landmarks_mm: NDArray[np.float64]
    whole: bool = True
    voxel_mm: float = 1.0

    def __post_init__(self) -> None:
        if self.values.ndim != 3 or self.values.dtype != np.float32:
            raise ValueError(f"a model is float32 with three axes, got {self.values.dtype} {self.values.shape}")
        for array in (self.values, self.world_from_index, self.center_mm, self.landmarks_mm):
            array.setflags(write=False)


def ordered(levels: Sequence[str]) -> list[str]:
    """Return level names from the head down, the sacrum last."""
    return sorted(levels, key=lambda level: LEVELS.index(level) if level in LEVELS else len(LEVELS))


def vertebra_models(volume: Volume, labels: LabelMap, levels: Sequence[str] | None = None) -> dict[str, VertebraModel]:
    """Return the bones of a labelled CT by level, from the head down.

    Parameters
    ----------
    volume
        HU.
    labels
        On the same grid; vertebrae and sacrum by the names `patient.level_names` knows.
    levels
        Which; every labelled one from T10 down when not given.

    Raises
    ------
    ValueError
        A wanted level is not labelled, or nothing is.
    """
    numbers = {level: [number] for level, number in vertebra_numbers(labels).items()}
    sacral = sacral_numbers(labels)
    if sacral:
        numbers[SACRUM] = sacral
    counts = np.bincount(labels.values.ravel())
    voxel_mm3 = float(np.prod(volume.spacing_mm))
    present = {
        level: found
        for level, found in numbers.items()
        if counts[[number for number in found if number < len(counts)]].sum() * voxel_mm3 > _LEAST_MM3
    }
    wanted = [level for level in ordered(list(present)) if level not in LEVELS[: LEVELS.index(_HIGHEST)]]
    if levels is not None:
        missing = [level for level in levels if level not in present]
        if missing:
            raise ValueError(f"{', '.join(missing)}: not labelled in this CT; it has {', '.join(present) or 'none'}")
        wanted = ordered(list(levels))
    if not wanted:
        raise ValueError("the CT has no labelled vertebra from T10 to the sacrum; give labels with names")
    bones = np.zeros(int(labels.values.max()) + 1, dtype=np.bool_)
    bones[[number for found in numbers.values() for number in found if number < len(bones)]] = True
    return {level: _model(volume, labels, level, present[level], bones) for level in wanted}


def _model(
    volume: Volume, labels: LabelMap, level: str, numbers: Sequence[int], bones: NDArray[np.bool_]
) -> VertebraModel:
    shape = np.array(volume.values.shape)
    spacing = volume.spacing_mm
    mine = np.isin(labels.values, numbers)
    where = ndimage.find_objects(mine.view(np.uint8))[0]
    first = np.array([axis.start for axis in where])
    last = np.array([axis.stop for axis in where])
    whole = bool(first[0] > 0 and last[0] < shape[0])
    margin = np.ceil((_MARGIN_MM + 1.0) / spacing).astype(int)
    low, high = np.maximum(first - margin, 0), np.minimum(last + margin, shape)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    inside = mine[box]
    weight = _weight(inside, bones[labels.values[box]] & ~inside, spacing)
    hu = np.clip(volume.values[box].astype(np.float32), -200.0, _BRIGHTEST_HU)
    values, start = _resampled(np.maximum(hu - _SOFT_HU, 0.0) * weight, low, spacing)
    # The spline rings a little around bone; what is left of it would be marched for nothing.
    values = np.maximum(values - np.float32(_RINGING_HU), 0.0) * np.float32(_WATER_PER_MM / 1000.0)
    axes: NDArray[np.float64] = volume.world_from_index[:3, :3] / spacing
    world_from_index = np.eye(4)
    world_from_index[:3, :3] = axes * _PITCH_MM
    world_from_index[:3, 3] = volume.world_from_index[:3, 3] + axes @ (start * _PITCH_MM)
    index = np.argwhere(values > 0.25 * values.max())
    center = apply(world_from_index, index.mean(axis=0))
    points = apply(volume.world_from_index, np.argwhere(inside) + low)
    return VertebraModel(
        level, values, world_from_index, center, _landmarks(level, points, volume), whole, float(spacing.max())
    )


def _weight(inside: NDArray[np.bool_], others: NDArray[np.bool_], spacing: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return 1 within the label and a rim (labels are drawn tight), fading to 0; never another bone's voxels."""
    away = ndimage.distance_transform_edt(~inside, sampling=spacing)
    rim = max(_RIM_MM, 0.5 * float(spacing.max()))
    weight = np.clip(1.0 - (away - rim) / 2.0, 0.0, 1.0).astype(np.float32)
    weight[others] = 0.0
    return weight


def _resampled(
    values: NDArray[np.float32], low: NDArray[np.int_], spacing: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return values on the lattice of whole mm along the CT's axes from its first voxel, and where they start."""
    start = np.floor(low * spacing / _PITCH_MM) - 1.0
    stop = np.ceil((low + np.array(values.shape) - 1) * spacing / _PITCH_MM) + 2.0
    order: Literal[1, 3] = 3 if spacing.max() > 1.3 * _PITCH_MM else 1
    n0, n1, n2 = (int(n) for n in stop - start)
    fine = np.empty((n0, n1, n2), dtype=np.float32)
    ratio: NDArray[np.float64] = _PITCH_MM / spacing
    offset: NDArray[np.float64] = start * ratio - low
    ndimage.affine_transform(values, ratio, offset, output=fine, order=order, mode="constant")
    np.maximum(fine, 0.0, out=fine)
    for axis in range(3):
        ends: list[slice | int] = [slice(None)] * 3
        for end in (0, -1):
            ends[axis] = end
            fine[tuple(ends)] = 0.0
    return fine, start


def _landmarks(level: str, points: NDArray[np.float64], volume: Volume) -> NDArray[np.float64]:
    """Return named landmarks of a vertebra; points spread over the bone's surface where it has fewer than 12."""
    spacing = float(np.sqrt(np.mean(volume.spacing_mm**2)))
    marks: list[tuple[float, float, float]] = []
    if level != SACRUM:
        try:
            found = find_vertebra(level, points, np.array([0.0, 0.0, 1.0]), spacing)
            marks = [mark.position_mm for mark in landmarks_of(found).values()]
        except (ValueError, IndexError):  # a piece of a vertebra at the CT's border has no body to find
            marks = []
    spread = [] if len(marks) >= 12 else _spread(points, 14)
    return np.array([*marks, *spread], dtype=np.float64)


def _spread(points: NDArray[np.float64], count: int) -> list[tuple[float, float, float]]:
    """Return points far from each other, the first farthest from the middle."""
    away = np.linalg.norm(points - points.mean(axis=0), axis=1)
    chosen: list[tuple[float, float, float]] = []
    for _ in range(count):
        one = points[int(np.argmax(away))]
        chosen.append((float(one[0]), float(one[1]), float(one[2])))
        away = np.minimum(away, np.linalg.norm(points - one, axis=1))
    return chosen


def merged(models: Mapping[str, VertebraModel], levels: Sequence[str], center_level: str) -> VertebraModel:
    """Return several bones of one CT as one rigid body, about the middle of one of them."""
    chosen = [models[level] for level in levels]
    base: NDArray[np.float64] = chosen[0].world_from_index
    index_from_world: NDArray[np.float64] = np.asarray(np.linalg.inv(base), dtype=np.float64)
    starts = [np.rint(apply(index_from_world, one.world_from_index[:3, 3])).astype(int) for one in chosen]
    low = np.min(starts, axis=0)
    high = np.max([start + one.values.shape for start, one in zip(starts, chosen, strict=True)], axis=0)
    values = np.zeros(tuple(high - low), dtype=np.float32)
    for start, one in zip(starts, chosen, strict=True):
        a = start - low
        b = a + one.values.shape
        values[a[0] : b[0], a[1] : b[1], a[2] : b[2]] += one.values
    world_from_index = base.copy()
    world_from_index[:3, 3] = apply(base, low.astype(np.float64))
    center = models[center_level]
    return VertebraModel(
        center_level,
        values,
        world_from_index,
        center.center_mm.copy(),
        center.landmarks_mm.copy(),
        center.whole,
        center.voxel_mm,
    )
