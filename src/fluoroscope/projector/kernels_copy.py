"""Surveying a volume and laying out the copy one dominant axis reads."""

import numpy as np
from numba import njit

from fluoroscope.projector.sharing import DOOR, WITHIN

__all__: list[str] = []

BLOCK_SLICES = 32


@njit(**DOOR)
def survey(values, start, stop, ranges, boxes):  # type: ignore[no-untyped-def]
    """Per slab ``start`` to ``stop`` of axis 0: (least, greatest, NaN or infinite count) and box of what is not 0."""
    for i in range(start, stop):
        least, greatest = np.float64(values[i, 0, 0]), np.float64(values[i, 0, 0])
        bad = 0
        first_j, last_j, first_k, last_k = values.shape[1], -1, values.shape[2], -1
        for j in range(values.shape[1]):
            low, high = values[i, j, 0], values[i, j, 0]
            for k in range(values.shape[2]):
                value = values[i, j, k]
                low, high = min(low, value), max(high, value)
                bad += not np.isfinite(value)
            least, greatest = min(least, np.float64(low)), max(greatest, np.float64(high))
            if low != 0 or high != 0 or bad:
                first_j, last_j = min(first_j, j), j
                k = 0
                while k < first_k and values[i, j, k] == 0:
                    k += 1
                first_k = min(first_k, k)
                k = values.shape[2] - 1
                while k > last_k and values[i, j, k] == 0:
                    k -= 1
                last_k = max(last_k, k)
        ranges[i, 0], ranges[i, 1], ranges[i, 2] = least, greatest, bad
        boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3] = first_j, last_j, first_k, last_k


@njit(**WITHIN)
def mark_slice(plane, chunk_shift, everything, bits, box):  # type: ignore[no-untyped-def]
    """Note which chunks of eight rows hold anything, and the slice's box (first i, last i, first r, last r)."""
    rows, columns = plane.shape
    chunk = 1 << chunk_shift
    first_i, last_i, first_r, last_r = columns, -1, rows, -1
    for r in range(rows):
        mask = np.int64(0)
        for c in range((columns + chunk - 1) // chunk):
            start, stop = c * chunk, min(c * chunk + chunk, columns)
            found = np.int16(0)
            for i in range(start, stop):
                found |= plane[r, i]
            if found != 0 or everything:
                mask |= np.int64(1) << (c + 1)
            if found != 0:
                first, last = start, stop - 1
                while plane[r, first] == 0:
                    first += 1
                while plane[r, last] == 0:
                    last -= 1
                first_i, last_i = min(first_i, first), max(last_i, last)
                first_r, last_r = min(first_r, r), r
        bits[r >> 3] |= mask
    box[0], box[1] = min(box[0], first_i), max(box[1], last_i)
    box[2], box[3] = min(box[2], first_r), max(box[3], last_r)


@njit(**DOOR)
def lay_out(values, start, stop, gain, slices_inside, planes, chunk_shift, everything, bits, boxes):  # type: ignore[no-untyped-def]
    """Copy slices ``start`` to ``stop`` of ``values`` (k, r, i) times ``gain`` into ``planes``, and mark them.

    ``slices_inside``: neighbouring slices are neighbours in memory, so the slice index runs innermost.
    """
    rows, columns = values.shape[1], values.shape[2]
    for k0 in range(start, stop, BLOCK_SLICES):
        k1 = min(k0 + BLOCK_SLICES, stop)
        for r in range(rows):
            if slices_inside:
                for i in range(columns):
                    for k in range(k0, k1):
                        planes[k, r, i] = np.int16(np.rint(values[k, r, i] * gain))
            else:
                for k in range(k0, k1):
                    for i in range(columns):
                        planes[k, r, i] = np.int16(np.rint(values[k, r, i] * gain))
        for k in range(k0, k1):
            mark_slice(planes[k, :, :columns], chunk_shift, everything, bits[k], boxes[k])
