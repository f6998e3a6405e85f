"""What belongs to the patient and what to the scanner: the table and the air around the body."""

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.stored import Progress, silent
from fluoroscope.patient.volume import Volume

__all__ = ["AIR_HU", "body_mask", "remove_table"]

AIR_HU = -1000
_BODY_HU = -350
_COARSE_MM = 3.5
_OPENING_MM = 4.5
# Arms, legs apart from each other, or a hand count as body from this share of the largest part on.
_PART_SHARE = 0.02


def remove_table(volume: Volume, *, progress: Progress | None = None) -> Volume:
    """Return the CT with everything outside the body set to air; voxels inside keep their values.

    Parameters
    ----------
    volume
        int16 HU with axes S, P, L.
    progress
        Told the fraction done.

    Returns
    -------
    Volume
        On the same grid; the same object when no body is found.
    """
    report = progress or silent
    report(0.0, "finding the body")
    mask, steps = _coarse_mask(volume)
    if not mask.any():
        return volume
    nearest = [
        np.minimum((np.arange(n) + s // 2) // s, m - 1)
        for n, s, m in zip(volume.values.shape, steps, mask.shape, strict=True)
    ]
    values = np.full(volume.values.shape, AIR_HU, dtype=np.int16)
    for plane, coarse in enumerate(nearest[0]):
        inside = mask[coarse][nearest[1]][:, nearest[2]]
        np.copyto(values[plane], volume.values[plane], where=inside, casting="same_kind")
    report(1.0, "finding the body")
    return Volume(values, volume.world_from_index)


def body_mask(volume: Volume) -> NDArray[np.bool_]:
    """Return the body with lungs and gas on the grid of the CT, grown by one coarse voxel of 3.5 mm."""
    mask, steps = _coarse_mask(volume)
    nearest = [
        np.minimum((np.arange(n) + s // 2) // s, m - 1)
        for n, s, m in zip(volume.values.shape, steps, mask.shape, strict=True)
    ]
    whole: NDArray[np.bool_] = mask[np.ix_(*nearest)]
    return whole


def _coarse_mask(volume: Volume) -> tuple[NDArray[np.bool_], tuple[int, int, int]]:
    """Return the body on every n-th voxel, and n per axis."""
    from scipy import ndimage

    spacing = volume.spacing_mm
    s0, s1, s2 = (max(1, round(_COARSE_MM / float(pitch))) for pitch in spacing)
    coarse = np.asarray(volume.values[::s0, ::s1, ::s2], dtype=np.int16)
    pitch = spacing * (s0, s1, s2)
    dense = coarse > _BODY_HU
    # A table top is a thin shell: it vanishes when everything thinner than the ball is taken away.
    # Mirrored margins keep the first and last slice from being eaten.
    reach = np.ceil(_OPENING_MM / pitch).astype(int)
    padded = np.pad(dense, [(int(n), int(n)) for n in reach], mode="edge")
    opened = _opened(padded, pitch)
    inner = tuple(slice(int(n), int(n) + size) for n, size in zip(reach, dense.shape, strict=True))
    opened = opened[inner]
    parts, count = ndimage.label(opened)
    if count == 0:
        return np.zeros(dense.shape, dtype=bool), (s0, s1, s2)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    kept = sizes >= _PART_SHARE * sizes.max()
    body = kept[parts] & ~_is_flat(parts, sizes, pitch)[parts]
    cross = ndimage.generate_binary_structure(3, 1)
    body = ndimage.binary_dilation(body, cross) & dense
    for plane in range(body.shape[0]):
        body[plane] = ndimage.binary_fill_holes(body[plane])
    return ndimage.binary_dilation(body, cross), (s0, s1, s2)


def _opened(mask: NDArray[np.bool_], pitch: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Open by a ball through two distance transforms, whose cost does not grow with the ball."""
    from scipy import ndimage

    core = ndimage.distance_transform_edt(mask, sampling=pitch) > _OPENING_MM
    if not core.any():
        return core
    opened: NDArray[np.bool_] = ndimage.distance_transform_edt(~core, sampling=pitch) <= _OPENING_MM
    return opened & mask


def _is_flat(
    parts: NDArray[np.signedinteger], sizes: NDArray[np.int64], pitch: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Mark small parts that lie below the body and are much wider than thick: mattresses and boards."""
    from scipy import ndimage

    largest = int(sizes.argmax())
    flat = np.zeros(len(sizes), dtype=bool)
    boxes = ndimage.find_objects(parts)
    back = boxes[largest - 1][1].stop
    for number, box in enumerate(boxes, start=1):
        if number == largest or box is None:
            continue
        thick = (box[1].stop - box[1].start) * pitch[1]
        wide = (box[2].stop - box[2].start) * pitch[2]
        below = (box[1].start + box[1].stop) / 2 > back - 1
        flat[number] = below and wide > 3.0 * thick
    return flat
