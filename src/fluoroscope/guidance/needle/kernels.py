"""Loops over pixels for the detection of needles: flattening, sums along short lines, tracing, straightening.

All release the GIL, so that a live loop goes on beside them.
"""

from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = [
    "MARGIN", "best_lines", "block_mean", "extend", "flatten", "joined_lines", "lies_on", "line_sums", "straighten",
]  # fmt: skip

Kernel = TypeVar("Kernel", bound=Callable[..., object])
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

MARGIN = 64
"""Zeros beside a picture for lines that leave it, pixels; also the longest line that is summed."""


def _compile(function: Kernel) -> Kernel:
    return cast("Kernel", njit(cache=True, nogil=True, fastmath=True, error_model="numpy")(function))


@_compile
def block_mean(picture: F32, valid: NDArray[np.bool_], factor: int, out: F32, weight: F32) -> None:
    """Write the mean of the valid pixels of blocks of factor × factor, and the share that is valid."""
    rows, columns = out.shape
    for i in range(rows):
        for j in range(columns):
            total, count = np.float32(0.0), np.float32(0.0)
            for di in range(factor):
                for dj in range(factor):
                    if valid[i * factor + di, j * factor + dj]:
                        total += picture[i * factor + di, j * factor + dj]
                        count += np.float32(1.0)
            out[i, j] = total / count if count > 0.0 else np.float32(0.0)
            weight[i, j] = count / np.float32(factor * factor)


@_compile
def _box_rows(source: F32, reach: int, out: F32) -> None:
    """Write sums over 2·reach + 1 rows."""
    rows, columns = source.shape
    running = np.zeros(columns, np.float32)
    for i in range(min(reach, rows)):
        for j in range(columns):
            running[j] += source[i, j]
    for i in range(rows):
        if i + reach < rows:
            for j in range(columns):
                running[j] += source[i + reach, j]
        if i - reach - 1 >= 0:
            for j in range(columns):
                running[j] -= source[i - reach - 1, j]
        for j in range(columns):
            out[i, j] = running[j]


@_compile
def _box_columns(source: F32, reach: int, out: F32) -> None:
    """Write sums over 2·reach + 1 columns."""
    rows, columns = source.shape
    for i in range(rows):
        running = np.float32(0.0)
        for j in range(min(reach, columns)):
            running += source[i, j]
        for j in range(columns):
            if j + reach < columns:
                running += source[i, j + reach]
            if j - reach - 1 >= 0:
                running -= source[i, j - reach - 1]
            out[i, j] = running


@_compile
def flatten(picture: F32, weight: F32, reach: int, noise_reach: int, limit: float, out: F32) -> None:
    """Write the picture less its surroundings, in units of local scatter, clipped to ± ``limit``; 0 where not valid.

    Parameters
    ----------
    picture, weight
        float32 (rows, columns): values, and the share of each that is valid.
    reach, noise_reach
        Half sides of the boxes that the surroundings and the scatter are taken from, pixels.
    """
    rows, columns = picture.shape
    used, one, two = np.empty_like(picture), np.empty_like(picture), np.empty_like(picture)
    count, wide = np.empty_like(picture), np.empty_like(picture)
    for i in range(rows):
        for j in range(columns):
            used[i, j] = picture[i, j] * weight[i, j]
    _box_rows(used, reach, one)
    _box_columns(one, reach, two)
    _box_rows(weight, reach, one)
    _box_columns(one, reach, count)
    for i in range(rows):
        for j in range(columns):
            if weight[i, j] > 0.5 and count[i, j] > 1.0:
                out[i, j] = picture[i, j] - two[i, j] / count[i, j]
                used[i, j] = abs(out[i, j])
            else:
                out[i, j] = np.float32(0.0)
                used[i, j] = np.float32(0.0)
    _box_rows(used, noise_reach, one)
    _box_columns(one, noise_reach, two)
    _box_rows(weight, noise_reach, one)
    _box_columns(one, noise_reach, wide)
    for i in range(rows):
        for j in range(columns):
            scale = np.float32(1.2533) * two[i, j] / max(wide[i, j], np.float32(1.0)) + np.float32(1e-5)
            value = out[i, j] / scale
            out[i, j] = min(max(value, np.float32(-limit)), np.float32(limit))


@_compile
def line_sums(picture: F32, levels: int) -> F32:
    """Return sums along digital lines through strips of 2^levels rows, (strips, shift, first column), float32.

    The line of shift s runs from the first column in the strip's first row to s columns further right in its last (the
    approximate discrete Radon transform: Brady 1998, doi:10.1137/S0097539793256673, stopped early). The picture has
    ``MARGIN`` columns of zeros at its right, and rows in a multiple of 2^levels.
    """
    rows, columns = picture.shape
    now = picture.copy().reshape(rows, 1, columns)
    for _ in range(levels):
        now = joined_lines(now)
    return now


@_compile
def joined_lines(now: F32) -> F32:
    """Return the sums along lines twice as long as those of ``now``; see `line_sums`."""
    strips, shifts, columns = now.shape
    new = np.empty((strips // 2, 2 * shifts, columns), np.float32)
    for k in range(strips // 2):
        for s in range(2 * shifts):
            half, step = s // 2, (s + 1) // 2
            upper, lower, target = now[2 * k, half], now[2 * k + 1, half], new[k, s]
            for h in range(columns - step):
                target[h] = upper[h] + lower[h + step]
            for h in range(columns - step, columns):
                target[h] = upper[h]
    return new


@_compile
def best_lines(sums: F32, thick: bool, cell: int, found: F32) -> None:
    """Write into ``found`` (strips, cells, 3) the line that stands out most: score, shift, first column.

    The score of a thin line is its sum less the mean of the brighter of two flanks, three lines each from two lines
    beside it; a thick one is the mean of five lines, its flanks of four. A step, bright on one side, scores nothing.
    """
    strips, shifts, columns = sums.shape
    usable = columns - MARGIN
    middle, side = np.zeros(columns, np.float32), np.zeros(columns, np.float32)
    best, which = np.empty(columns, np.float32), np.empty(columns, np.float32)
    # From the middle to the first line of each flank.
    left, right = (7, 4) if thick else (4, 2)
    first, last = left, usable - right - 4
    fifth, fourth, third = np.float32(0.2), np.float32(0.25), np.float32(1.0 / 3.0)
    for k in range(strips):
        best[:] = np.float32(-1e9)
        which[:] = np.float32(0.0)
        for s in range(shifts):
            line = sums[k, s]
            if thick:
                for h in range(2, columns - 3):
                    middle[h] = fifth * (line[h - 2] + line[h - 1] + line[h] + line[h + 1] + line[h + 2])
                for h in range(columns - 3):
                    side[h] = fourth * (line[h] + line[h + 1] + line[h + 2] + line[h + 3])
            else:
                for h in range(columns - 3):
                    middle[h] = line[h]
                for h in range(columns - 3):
                    side[h] = third * (line[h] + line[h + 1] + line[h + 2])
            shift = np.float32(s)
            for h in range(first, last):
                score = middle[h] - max(side[h - left], side[h + right])
                better = score > best[h]
                best[h] = score if better else best[h]
                which[h] = shift if better else which[h]
        for n in range(found.shape[1]):
            found[k, n, 0] = np.float32(-1e9)
            for h in range(max(n * cell, first), min((n + 1) * cell, last)):
                if best[h] > found[k, n, 0]:
                    found[k, n, 0], found[k, n, 1], found[k, n, 2] = best[h], which[h], np.float32(h)


@_compile
def lies_on(start: F64, end: F64, line: F64, aside_px: float, ahead_px: float, cosine: float) -> bool:
    """Return whether the middle of a short line lies on a longer one and goes its way."""
    go_r, go_c = end[0] - start[0], end[1] - start[1]
    size = np.sqrt(go_r * go_r + go_c * go_c)
    row, column = 0.5 * (start[0] + end[0]), 0.5 * (start[1] + end[1])
    nearest, least = 0, 1e18
    for n in range(len(line)):
        far = (line[n, 0] - row) ** 2 + (line[n, 1] - column) ** 2
        if far < least:
            nearest, least = n, far
    low, high = max(nearest - 1, 0), min(nearest + 1, len(line) - 1)
    along_r, along_c = line[high, 0] - line[low, 0], line[high, 1] - line[low, 1]
    run = np.sqrt(along_r * along_r + along_c * along_c) + 1e-9
    along_r, along_c = along_r / run, along_c / run
    off_r, off_c = row - line[nearest, 0], column - line[nearest, 1]
    return bool(
        abs(off_r * along_c - off_c * along_r) < aside_px
        and abs(off_r * along_r + off_c * along_c) < ahead_px
        and abs(along_r * go_r + along_c * go_c) > cosine * size
    )


@_compile
def _sample(picture: F32, row: float, column: float) -> float:
    """Return the picture between its pixels; its edge pixels beyond."""
    rows, columns = picture.shape
    row = min(max(row, 0.0), rows - 1.001)
    column = min(max(column, 0.0), columns - 1.001)
    i, j = int(row), int(column)
    y, x = row - i, column - j
    upper = picture[i, j] * (1.0 - x) + picture[i, j + 1] * x
    lower = picture[i + 1, j] * (1.0 - x) + picture[i + 1, j + 1] * x
    return float(upper * (1.0 - y) + lower * y)


@_compile
def _contrast(
    picture: F32, row: float, column: float, way: F64, turn: float, bend: float, length: int, half: float
) -> float:
    """Return the mean contrast of an arc against its brighter side: middle less flank, both along its whole length."""
    normal_r, normal_c = -way[1], way[0]
    left, right = 0.0, 0.0
    for n in range(2, length + 1, 2):
        aside = turn * n + 0.5 * bend * n * n
        slope = turn + bend * n
        size = np.sqrt(1.0 + slope * slope)
        r = row + way[0] * n + normal_r * aside
        c = column + way[1] * n + normal_c * aside
        nr, nc = (normal_r - slope * way[0]) / size, (normal_c - slope * way[1]) / size
        middle = _sample(picture, r, c)
        if half > 1.0:
            middle = (middle + _sample(picture, r + nr, c + nc) + _sample(picture, r - nr, c - nc)) / 3.0
        near, far = half + 2.0, half + 3.5
        left += middle - 0.5 * (_sample(picture, r + near * nr, c + near * nc)
                                + _sample(picture, r + far * nr, c + far * nc))  # fmt: skip
        right += middle - 0.5 * (_sample(picture, r - near * nr, c - near * nc)
                                 + _sample(picture, r - far * nr, c - far * nc))  # fmt: skip
    return min(left, right) / (length // 2)


@_compile
def extend(
    picture: F32, weight: F32, start: F64, way: F64, half: float, reference: float, limits: F64, path: F64
) -> int:
    """Follow a line from ``start`` along ``way`` as far as it can be seen, and return how many points were written.

    Parameters
    ----------
    picture, weight
        The flattened picture, and the share of each pixel that is valid.
    start, way
        (row, column), and the unit direction to go.
    half
        Half the line's width, pixels.
    reference
        Contrast of the line so far.
    limits
        (look-ahead px, step px, largest turn of a step, largest bend 1/px, least contrast, least share of the
        reference, steps without sight allowed).
    path
        float64 (n, 3), written: row, column, contrast.
    """
    look, step = int(limits[0]), int(limits[1])
    rows, columns = picture.shape
    at_r, at_c = start[0], start[1]
    go = way.copy()
    count, blind, seen = 0, 0, 0
    while count < len(path):
        best, best_turn, best_bend = -1e9, 0.0, 0.0
        for t in range(-1, 2):
            for b in range(-3, 4):
                turn, bend = limits[2] * t, limits[3] * b / 3.0
                value = _contrast(picture, at_r, at_c, go, turn, bend, look, half)
                # Straight on unless the picture says otherwise, by more than chance.
                value -= 0.03 * (2.0 * abs(t) + abs(b))
                if value > best:
                    best, best_turn, best_bend = value, turn, bend
        wanted = max(limits[4], limits[5] * reference)
        if best < wanted:
            blind += 1
            if blind > limits[6]:
                break
            best_turn, best_bend = 0.0, 0.0
        else:
            blind = 0
            reference = 0.8 * reference + 0.2 * min(best, 1.5 * reference)
        aside = best_turn * step + 0.5 * best_bend * step * step
        slope = best_turn + best_bend * step
        at_r, at_c = at_r + go[0] * step - go[1] * aside, at_c + go[1] * step + go[0] * aside
        new_r, new_c = go[0] - go[1] * slope, go[1] + go[0] * slope
        size = np.sqrt(new_r * new_r + new_c * new_c)
        go[0], go[1] = new_r / size, new_c / size
        i, j = int(at_r + 0.5), int(at_c + 0.5)
        if i < 0 or j < 0 or i >= rows or j >= columns or weight[i, j] < 0.5:
            break
        path[count, 0], path[count, 1], path[count, 2] = at_r, at_c, best
        count += 1
        if blind == 0:
            seen = count
    return seen


@_compile
def straighten(
    picture: F32, valid: NDArray[np.bool_], path: F64, normal: F64, reach: int, out: F32, inside: F32
) -> None:
    """Write what lies across a path, (points, 2·reach + 1), and 1 where that is valid, else 0."""
    rows, columns = picture.shape
    for n in range(len(path)):
        for y in range(-reach, reach + 1):
            r, c = path[n, 0] + y * normal[n, 0], path[n, 1] + y * normal[n, 1]
            i, j = int(np.floor(r + 0.5)), int(np.floor(c + 0.5))
            good = 0 <= i < rows and 0 <= j < columns and valid[i, j]
            inside[n, y + reach] = np.float32(1.0 if good else 0.0)
            out[n, y + reach] = np.float32(_sample(picture, r, c)) if good else np.float32(0.0)
