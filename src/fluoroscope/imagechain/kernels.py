"""The loop over the pixels: logarithm, recursive filter, grey value and shutter in one pass."""

from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fluoroscope.projector.sharing import argument, carray, pointer_to, shared

__all__ = ["LOG_TABLE", "block_sums", "compile_kernels", "log_filter_display"]

# ln of every 16-bit value; a pixel that caught nothing counts as half a step, the middle of what rounds to 0.
LOG_TABLE: NDArray[np.float32] = np.log(np.maximum(np.arange(65536, dtype=np.float64), 0.5)).astype(np.float32)
LOG_TABLE.setflags(write=False)
BAND_ROWS = 64

Kernel = TypeVar("Kernel", bound=Callable[..., None])


def _compile(function: Kernel) -> Kernel:
    return cast("Kernel", njit(cache=True, nogil=True, fastmath={"contract", "nsz"})(function))


@shared(fastmath={"contract", "nsz"})
def _filter_band(part, arguments):  # type: ignore[no-untyped-def]
    """Filter one band of rows; see `log_filter_display`."""
    rows, columns = argument(arguments, 0), argument(arguments, 1)
    lin = carray(pointer_to(argument(arguments, 2), np.uint16), (rows, columns))
    log_table = carray(pointer_to(argument(arguments, 3), np.float32), (65536,))
    real = carray(pointer_to(argument(arguments, 4), np.float32), (5,))
    field = carray(pointer_to(argument(arguments, 5), np.int64), (4,))
    state = carray(pointer_to(argument(arguments, 6), np.float32), (rows, columns))
    display = carray(pointer_to(argument(arguments, 7), np.uint16), (rows, columns))
    log_exposure, weight, state_shift = real[0], real[1], real[2]
    offset, gain = real[3] + np.float32(0.5), real[4]
    old_weight = np.float32(1.0) - weight
    fresh = weight >= np.float32(1.0)
    top, bottom, left, right = field[0], field[1], field[2], field[3]
    for row in range(part * BAND_ROWS, min(rows, (part + 1) * BAND_ROWS)):
        if row < top or row >= bottom:
            display[row, :] = np.uint16(0)
            continue
        display[row, :left] = np.uint16(0)
        display[row, right:] = np.uint16(0)
        for column in range(left, right):
            value = log_table[lin[row, column]] - log_exposure
            if not fresh:
                value = weight * value + old_weight * (state[row, column] + state_shift)
            state[row, column] = value
            grey = min(max(offset + gain * value, np.float32(0.0)), np.float32(65535.0))
            display[row, column] = np.uint16(np.int32(grey))


def log_filter_display(
    lin: NDArray[np.uint16],
    log_exposure: float,
    weight: float,
    state_shift: float,
    scale: NDArray[np.float32],
    field: tuple[int, int, int, int],
    state: NDArray[np.float32],
    display: NDArray[np.uint16],
) -> None:
    """Take one LIN picture to DISP through the recursive filter, on all cores.

    ``state = weight · (ln lin − log_exposure) + (1 − weight) · (state + state_shift)``, then
    ``display = round(offset + gain · state)`` within 16 bit; 0 outside the field.

    Parameters
    ----------
    lin
        uint16 (rows, columns).
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
        float32 (rows, columns), C-contiguous, updated.
    display
        uint16 (rows, columns), C-contiguous, written.
    """
    rows, columns = lin.shape
    real = np.array([log_exposure, weight, state_shift, *scale], dtype=np.float32)
    bands = (rows + BAND_ROWS - 1) // BAND_ROWS
    pixels = np.ascontiguousarray(lin, dtype=np.uint16)
    _filter_band.run(bands, rows, columns, pixels, LOG_TABLE, real, np.array(field, dtype=np.int64), state, display)


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
    _filter_band.compile()
    block_sums(lin, 0, 0, np.zeros((1, 1), dtype=np.float32))
