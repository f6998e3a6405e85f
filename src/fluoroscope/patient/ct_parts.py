"""A real CT made movable by its labels: vertebrae, discs and organs lifted out, the rest cut into slabs that follow.

Every part is rounded once and taken from the rest in whole numbers, so that at rest the parts add up to the CT
exactly.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.ct_landmarks import FoundVertebra, disc_between, find_vertebra, landmarks_of
from fluoroscope.patient.labels import LabelMap
from fluoroscope.patient.level_names import LEVELS, sacral_numbers, vertebra_numbers
from fluoroscope.patient.motion.organs import ORGANS
from fluoroscope.patient.motion.spine import SOFT_SLABS, soft_hats, soft_heights, soft_name
from fluoroscope.patient.parts import REST, Articulation, DiscJoint, Landmark, Part
from fluoroscope.patient.volume import BasisVolume, Volume

__all__ = ["articulate_ct"]

_HIGHEST = "T11"
_PELVIS = ("sacrum", "vertebrae_S1", "hip_left", "hip_right", "femur_left", "femur_right", "S1")
_UNDER_LUNG = ("liver", "spleen", "stomach")
_EDGE_MM = 1.5
_NEAR_MM, _FAR_MM = 5.0, 15.0
_SOFT = (800, 80)
"""Least water and most bone, in units of `SCALE`, of what may fill a hole: no gas, no bone."""

Box = tuple[slice, ...]
Rest = tuple[NDArray[np.int16], NDArray[np.int16]]


def articulate_ct(volume: Volume, basis: BasisVolume, labels: LabelMap) -> Articulation:
    """Return the parts, joints and landmarks of a labelled CT.

    Vertebrae from T11 down that lie whole in the volume, as far as they follow each other without a gap, become
    movable; others stay in what surrounds them. Without any, the CT is one part that rests.

    Parameters
    ----------
    volume
        The CT; its grid is that of ``basis`` and ``labels``.
    basis
        Its two materials.
    labels
        TotalSegmentator's or VerSe's, by name.

    Raises
    ------
    ValueError
        When the grids differ.
    """
    if not volume.values.shape == basis.water.shape == labels.values.shape:
        raise ValueError(f"CT {volume.values.shape}, basis {basis.water.shape}, labels {labels.values.shape} differ")
    numbers = vertebra_numbers(labels)
    found = _chain(labels, numbers, basis.world_from_index)
    rest = (basis.water.copy(), basis.bone.copy())
    parts = _lifted(rest, labels, [(f"vertebrae_{one.level}", numbers[one.level]) for one in found], basis)
    organs = [(name, number) for number, name in sorted(labels.names.items()) if name in ORGANS]
    parts += _lifted(rest, labels, organs, basis)
    joints = _joints(found, labels, numbers, basis.world_from_index)
    parts += _discs(rest, labels, [*numbers.values(), *sacral_numbers(labels)], joints, basis)
    parts = [*_slabs(rest, labels, found, joints, basis), *parts]
    landmarks: dict[str, Landmark] = {}
    for one in found:
        landmarks |= landmarks_of(one)
    return Articulation((Part("base", _volume(rest, basis, _whole(rest[0]))), *parts), joints, landmarks)


def _chain(labels: LabelMap, numbers: dict[str, int], world_from_index: NDArray[np.float64]) -> list[FoundVertebra]:
    """Return the longest run of whole neighbouring vertebrae, from the head down."""
    from scipy import ndimage

    boxes = ndimage.find_objects(labels.values)
    last = labels.values.shape[0]
    runs: list[list[str]] = [[]]
    for level in LEVELS[LEVELS.index(_HIGHEST) :]:
        box = boxes[numbers[level] - 1] if level in numbers and numbers[level] <= len(boxes) else None
        if box is not None and box[0].start > 0 and box[0].stop < last:
            runs[-1].append(level)
        elif level not in ("T13", "L6"):
            runs.append([])
    chain = max(runs, key=len)
    clouds = {level: _cloud(labels, [numbers[level]], boxes, world_from_index) for level in chain}
    spacing_mm = float(np.sqrt((np.linalg.norm(world_from_index[:3, :3], axis=0) ** 2).mean()))
    centers = [cloud.mean(axis=0) for cloud in clouds.values()]
    found = []
    for number, level in enumerate(chain):
        above, below = centers[max(0, number - 1)], centers[min(len(centers) - 1, number + 1)]
        up = above - below if len(chain) > 1 else np.array([0.0, 0.0, 1.0])
        found.append(find_vertebra(level, clouds[level], up, spacing_mm))
    return found


def _cloud(
    labels: LabelMap, wanted: list[int], boxes: Sequence[Box | None], world_from_index: NDArray[np.float64]
) -> NDArray[np.float64]:
    clouds = [np.zeros((0, 3))]
    for number in wanted:
        box = boxes[number - 1] if number <= len(boxes) else None
        if box is not None:
            clouds.append(np.argwhere(labels.values[box] == number) + np.array([part.start for part in box]))
    index = np.concatenate(clouds)
    points: NDArray[np.float64] = index @ world_from_index[:3, :3].T + world_from_index[:3, 3]
    return points


def _joints(
    found: list[FoundVertebra], labels: LabelMap, numbers: dict[str, int], world_from_index: NDArray[np.float64]
) -> tuple[DiscJoint, ...]:
    """Return the discs, the lowest one on the sacrum or on a vertebra that rests."""
    from scipy import ndimage

    boxes = ndimage.find_objects(labels.values)
    joints = []
    for upper, lower in pairwise(found):
        below = _cloud(labels, [numbers[lower.level]], boxes, world_from_index)
        joints.append(disc_between(upper, below, lower.level, f"vertebrae_{lower.level}"))
    if found:
        under = [level for level in numbers if LEVELS.index(level) > LEVELS.index(found[-1].level)]
        resting = [numbers[under[0]]] if under else sacral_numbers(labels)
        name = under[0] if under else "S1"
        below = _cloud(labels, resting, boxes, world_from_index)
        try:
            joints.append(disc_between(found[-1], below, name, f"vertebrae_{under[0]}" if under else "sacrum"))
        except ValueError:
            # Nothing of the next one is in the picture: the lowest vertebra itself rests.
            return tuple(joints)
    return tuple(joints)


def _lifted(rest: Rest, labels: LabelMap, wanted: list[tuple[str, int]], basis: BasisVolume) -> list[Part]:
    """Take labelled structures out of ``rest``, fill their holes, and return their excess as parts.

    What breathes below the lung leaves lung behind.
    """
    from scipy import ndimage

    boxes = ndimage.find_objects(labels.values)
    lungs = [number for number, name in labels.names.items() if name.startswith("lung")]
    bones = [number for _, number in wanted]
    parts = []
    for name, number in wanted:
        box = boxes[number - 1] if number <= len(boxes) else None
        if box is None:
            continue
        around = _grown(box, basis)
        inside = labels.values[around] == number
        kept = np.isin(labels.values[around], [other for other in bones if other != number])
        lung = np.isin(labels.values[around], lungs) if name in _UNDER_LUNG else None
        if lung is not None:
            inside |= _between(inside, lung, basis) & (labels.values[around] == 0)
        parts.append(_lift(rest, name, around, inside, kept, basis, lung))
    return parts


def _between(one: NDArray[np.bool_], other: NDArray[np.bool_], basis: BasisVolume) -> NDArray[np.bool_]:
    """Return the rim within some 4 mm of both: diaphragm and pleura, which no label has, go with the organ."""
    from scipy import ndimage

    spacing = np.linalg.norm(basis.world_from_index[:3, :3], axis=0)
    near = [ndimage.gaussian_filter(mask.astype(np.float32), 2.0 / spacing, truncate=2.5) for mask in (one, other)]
    rim: NDArray[np.bool_] = (near[0] > 0.03) & (near[1] > 0.03)
    return rim


def _discs(
    rest: Rest, labels: LabelMap, bones: list[int], joints: tuple[DiscJoint, ...], basis: BasisVolume
) -> list[Part]:
    """Take what lies between the endplates out of ``rest`` as discs, which go half-way; no label shows them.

    A disc is taken as an elliptic cylinder between its two endplates' planes, as wide and deep as the body above.
    """
    parts = []
    for joint in joints:
        reach = 0.5 * float(np.hypot(joint.width_mm, joint.depth_mm)) + max(joint.anterior_mm, joint.posterior_mm)
        spacing = np.linalg.norm(basis.world_from_index[:3, :3], axis=0)
        middle = np.linalg.solve(basis.world_from_index, np.append(joint.world_from_disc[:3, 3], 1.0))[:3]
        low, high = np.floor(middle - reach / spacing), np.ceil(middle + reach / spacing) + 1
        box = tuple(
            slice(int(np.clip(a, 0, n)), int(np.clip(b, 0, n)))
            for a, b, n in zip(low, high, labels.values.shape, strict=True)
        )
        around = _grown(box, basis)
        index = np.stack(np.meshgrid(*(np.arange(part.start, part.stop) for part in around), indexing="ij"), axis=-1)
        disc_from_index = np.linalg.inv(joint.world_from_disc) @ basis.world_from_index
        x, y, z = np.moveaxis(index @ disc_from_index[:3, :3].T + disc_from_index[:3, 3], -1, 0)
        u, v = x / (0.5 * joint.width_mm), y / (0.5 * joint.depth_mm)
        height = joint.anterior_mm + (joint.posterior_mm - joint.anterior_mm) * 0.5 * (1.0 + v)
        bone = np.isin(labels.values[around], bones)
        inside = (np.abs(z) < 0.5 * height + 1.0) & (u * u + v * v < 1.0) & ~bone
        if inside.any():
            name = f"disc_{joint.name}"
            parts.append(_lift(rest, name, around, inside, bone, basis))
    return parts


def _grown(box: Box, basis: BasisVolume) -> Box:
    """Return a box with room for what fills the hole."""
    spacing = np.linalg.norm(basis.world_from_index[:3, :3], axis=0)
    grow = np.ceil(2.5 * _FAR_MM / spacing).astype(int)
    return tuple(
        slice(max(0, part.start - int(more)), min(size, part.stop + int(more)))
        for part, more, size in zip(box, grow, basis.water.shape, strict=True)
    )


def _lift(
    rest: Rest,
    name: str,
    around: Box,
    inside: NDArray[np.bool_],
    kept: NDArray[np.bool_],
    basis: BasisVolume,
    lung: NDArray[np.bool_] | None = None,
) -> Part:
    """Take what is ``inside`` a box, but not ``kept``, out of ``rest``, fill the hole, and return the part.

    The hole is filled from soft tissue around it, and from ``lung`` where given.
    """
    from scipy import ndimage

    spacing = np.linalg.norm(basis.world_from_index[:3, :3], axis=0)
    # Solid over the structure, then falling to nothing within a voxel or two.
    weight = np.clip(2.0 * ndimage.gaussian_filter(inside.astype(np.float32), _EDGE_MM / 2.0 / spacing), 0.0, 1.0)
    weight[kept] = 0.0
    weight[weight < 0.02] = 0.0
    allowed = (basis.water[around] > _SOFT[0]) & (basis.bone[around] < _SOFT[1])
    allowed = (allowed if lung is None else allowed | lung) & (weight == 0.0)
    lifted = []
    for channel in rest:
        values = channel[around]
        excess = np.rint(weight * (values - _filled(values, allowed, spacing))).astype(np.int16)
        values -= excess
        lifted.append(excess)
    return _part(name, name, (lifted[0], lifted[1]), basis, around)


def _filled(values: NDArray[np.int16], allowed: NDArray[np.bool_], spacing: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return values averaged from the allowed voxels near by (normalised convolution), from further off in between.

    Knutsson and Westin 1993, doi:10.1109/CVPR.1993.341081.
    """
    from scipy import ndimage

    certain = allowed.astype(np.float32)
    known = values * certain
    mean = float(known.sum() / max(1.0, float(certain.sum())))
    filled = np.full(values.shape, mean, np.float32)
    for sigma_mm in (_FAR_MM, _NEAR_MM):
        seen = ndimage.gaussian_filter(certain, sigma_mm / spacing, truncate=2.5)
        summed = ndimage.gaussian_filter(known, sigma_mm / spacing, truncate=2.5)
        trust = np.clip(seen / 0.05, 0.0, 1.0)
        filled += trust * (summed / np.maximum(seen, 1e-4) - filled)
    return filled


def _slabs(
    rest: Rest, labels: LabelMap, found: list[FoundVertebra], joints: tuple[DiscJoint, ...], basis: BasisVolume
) -> list[Part]:
    """Cut ``rest`` above the lowest joint into slabs that ride on the vertebrae; hats along the head axis add to 1."""
    if not found or not joints:
        return []
    heights = [float(one.world_from_vertebra[2, 3]) for one in found]
    still = 2.0 * float(joints[-1].world_from_disc[2, 3]) - heights[-1] if len(joints) == len(found) else heights[-1]
    planes = np.arange(rest[0].shape[0]) * basis.world_from_index[2, 0] + basis.world_from_index[2, 3]
    riding = found if len(joints) == len(found) else found[:-1]
    names = [soft_name(f"vertebrae_{one.level}", number) for one in riding for number in range(SOFT_SLABS)]
    hats = soft_hats(soft_heights([*heights[: len(riding)], still]), planes)
    pelvis = [number for number, name in labels.names.items() if name in _PELVIS]
    free = ~np.isin(labels.values, pelvis)
    parts = []
    whole = (rest[0].copy(), rest[1].copy())
    for name, hat in zip(names, hats[:-1], strict=True):
        inside = np.flatnonzero(hat > 0.0)
        if len(inside) == 0:
            continue
        box = (slice(int(inside[0]), int(inside[-1]) + 1), slice(None), slice(None))
        share = hat[box[0], None, None].astype(np.float32) * free[box]
        slab = tuple(np.rint(share * channel[box]).astype(np.int16) for channel in whole)
        for channel, taken in zip(rest, slab, strict=True):
            channel[box] -= taken
        parts.append(_part(name, name, (slab[0], slab[1]), basis, box))
    return parts


def _whole(values: NDArray[np.int16]) -> Box:
    return (slice(0, values.shape[0]), slice(0, values.shape[1]), slice(0, values.shape[2]))


def _volume(channels: Rest, basis: BasisVolume, box: Box) -> BasisVolume:
    affine = basis.world_from_index.copy()
    affine[:3, 3] += affine[:3, :3] @ [float(part.start or 0) for part in box]
    return BasisVolume(np.ascontiguousarray(channels[0]), np.ascontiguousarray(channels[1]), affine)


def _part(name: str, frame: str, channels: Rest, basis: BasisVolume, box: Box) -> Part:
    """Return a part of the filled box of its channels."""
    filled = (channels[0] != 0) | (channels[1] != 0)
    ranges = []
    for axis in range(3):
        there = np.flatnonzero(filled.any(axis=tuple(other for other in range(3) if other != axis)))
        ranges.append(slice(int(there[0]), int(there[-1]) + 1) if len(there) else slice(0, 1))
    inner = (ranges[0], ranges[1], ranges[2])
    placed = tuple(
        slice((outer.start or 0) + part.start, (outer.start or 0) + part.stop)
        for outer, part in zip(box, inner, strict=True)
    )
    cut = (channels[0][inner], channels[1][inner])
    return Part(name, _volume(cut, basis, (placed[0], placed[1], placed[2])), frame if frame else REST)
