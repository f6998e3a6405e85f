"""The loop over the pixels: logarithm, recursive filter, grey value and shutter in one pass."""

from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["LOG_TABLE", "block_sums", "compile_kernels", "log_filter_display"]

# ln of every 16-bit value; a pixel that caught nothing counts as half a step, the middle of what rounds to 0.
LOG_TABLE: NDArray[np.float32] = np.log(np.maximum(np.arange(65536, dtype=np.float64), 0.5)).astype(np.float32)
LOG_TABLE.setflags(write=False)

Kernel = TypeVar("Kernel", bound=Callable[..., None])


def _compile(function: Kernel) -> Kernel:
    return cast("Kernel", njit(cache=True, nogil=True, fastmath={"contract", "nsz"})(function))


@_compile
def log_filter_display(
    lin: NDArray[np.uint16],
    log_table: NDArray[np.float32],
    log_exposure: np.float32,
    weight: np.float32,
    state_shift: np.float32,
    scale: NDArray[np.float32],
    field: NDArray[np.int64],
    state: NDArray[np.float32],
    display: NDArray[np.uint16],
) -> None:
    """Take one LIN picture to DISP through the recursive filter.

    ``state = weight · (ln lin − log_exposure) + (1 − weight) · (state + state_shift)``, then
    ``display = round(offset + gain · state)`` within 16 bit; 0 outside the field.
    One thread, releases the GIL.

    Parameters
    ----------
    lin
        uint16 (rows, columns).
    log_table
        `LOG_TABLE`.
    log_exposure
        ln of the exposure of this pulse.
    weight
        Weight k of the new picture, 0 < k ≤ 1; 1 takes the state as new, whatever was in it.
    state_shift
        Added to the old state: the step of the whole picture when the tube voltage changed.
    scale
        (offset, gain) of the grey value.
    field
        (first row, end row, first column, end column) that the collimator leaves open.
    state
        float32 (rows, columns), updated.
    display
        uint16 (rows, columns), written.
    """
    rows, columns = lin.shape
    offset = scale[0] + np.float32(0.5)
    gain = scale[1]
    old_weight = np.float32(1.0) - weight
    fresh = weight >= np.float32(1.0)
    top, bottom, left, right = field[0], field[1], field[2], field[3]
    for row in range(rows):
        if row < top or row >= bottom:
            for column in range(columns):
                display[row, column] = np.uint16(0)
            continue
        for column in range(left):
            display[row, column] = np.uint16(0)
        for column in range(right, columns):
            display[row, column] = np.uint16(0)
        if fresh:
            for column in range(left, right):
                value = log_table[lin[row, column]] - log_exposure
                state[row, column] = value
                grey = offset + gain * value
                grey = min(max(grey, np.float32(0.0)), np.float32(65535.0))
                display[row, column] = np.uint16(np.int32(grey))
        else:
            for column in range(left, right):
                value = weight * (log_table[lin[row, column]] - log_exposure)
                value += old_weight * (state[row, column] + state_shift)
                state[row, column] = value
                grey = offset + gain * value
                grey = min(max(grey, np.float32(0.0)), np.float32(65535.0))
                display[row, column] = np.uint16(np.int32(grey))


@_compile
def block_sums(lin: NDArray[np.uint16], top: int, left: int, sums: NDArray[np.float32]) -> None:
    """Write into ``sums`` the sums of blocks of 4 × 4 pixels, the first one at (top, left)."""
    rows, columns = sums.shape
    for i in range(rows):
        row = top + 4 * i
        for j in range(columns):
            column = left + 4 * j
            total = np.uint32(0)
            for di in range(4):
                for dj in range(4):
                    total += lin[row + di, column + dj]
            sums[i, j] = np.float32(total)


def compile_kernels() -> None:
    """Compile both kernels for the arrays of a live frame, or read them from the cache."""
    lin = np.zeros((4, 4), dtype=np.uint16)
    lin.setflags(write=False)
    zero = np.float32(0.0)
    scale, field = np.zeros(2, dtype=np.float32), np.array([0, 4, 0, 4], dtype=np.int64)
    state, display = np.zeros((4, 4), dtype=np.float32), np.zeros((4, 4), dtype=np.uint16)
    log_filter_display(lin, LOG_TABLE, zero, np.float32(1.0), zero, scale, field, state, display)
    block_sums(lin, 0, 0, np.zeros((1, 1), dtype=np.float32))
