"""The point of the spine that is put at the isocentre when nobody said which."""

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.labels import LabelMap
from fluoroscope.patient.volume import Volume

__all__ = ["spine_reference_mm"]

# The middle of the lumbar spine first, then its neighbours.
_WANTED = ("L3", "L2", "L4", "L1", "T12", "L5", "T11", "T10")
_BONE_HU = (150, 1500)
_STEP_MM = 3.0
_AROUND_MM = 90.0


def spine_reference_mm(volume: Volume, labels: LabelMap | None) -> NDArray[np.float64]:
    """Return the point (3,) of the lumbar spine to look at, LPS mm.

    With labels: the centroid of the first of L3, L2, L4, L1, T12 … that lies whole in the volume, if one does
    with 90 mm of patient above and below. Without: at the middle height, across the middle of the densest
    vertical strip of bone, which in a trunk is the spine.
    """
    if labels is not None:
        whole = _whole_levels(volume, labels)
        height_mm = float(volume.spacing_mm[0])
        last = volume.values.shape[0] - 1
        inner = [i for i in whole if min(i[0], last - i[0]) * height_mm >= _AROUND_MM]
        if inner or whole:
            return _world(volume, (inner or whole)[0])
    return _from_bone(volume)


def _whole_levels(volume: Volume, labels: LabelMap) -> list[NDArray[np.float64]]:
    """Return the index centroids of the wanted levels that do not touch the volume's ends, best first."""
    from scipy import ndimage

    boxes = ndimage.find_objects(labels.values)
    centers = []
    for level in _WANTED:
        number = labels.number(f"vertebrae_{level}") or labels.number(level)
        box = boxes[number - 1] if number is not None and number <= len(boxes) else None
        if number is None or box is None or box[0].start == 0 or box[0].stop == volume.values.shape[0]:
            continue
        inside = np.argwhere(labels.values[box] == number).mean(axis=0)
        centers.append(inside + [part.start for part in box])
    return centers


def _from_bone(volume: Volume) -> NDArray[np.float64]:
    steps = [max(1, round(_STEP_MM / float(pitch))) for pitch in volume.spacing_mm]
    planes = volume.values.shape[0]
    values = np.asarray(volume.values, dtype=np.int16)
    middle = values[planes // 3 : max(planes // 3 + 1, 2 * planes // 3) : steps[0], :: steps[1], :: steps[2]]
    bone = (middle > _BONE_HU[0]) & (middle < _BONE_HU[1])
    across = bone.sum(axis=(0, 1)).astype(np.float64)
    if not across.any():
        return volume.center_mm
    width = max(1, round(40.0 / (float(volume.spacing_mm[2]) * steps[2])))
    column = int(np.convolve(across, np.ones(width), mode="same").argmax())
    strip = bone[:, :, max(0, column - width // 2) : column + width // 2 + 1]
    deep = strip.sum(axis=(0, 2)).astype(np.float64)
    row = float(np.average(np.arange(len(deep)), weights=deep))
    return _world(volume, np.array([(planes - 1) / 2, row * steps[1], column * steps[2]]))


def _world(volume: Volume, index: NDArray[np.float64]) -> NDArray[np.float64]:
    place: NDArray[np.float64] = volume.world_from_index[:3, :3] @ index + volume.world_from_index[:3, 3]
    return place
