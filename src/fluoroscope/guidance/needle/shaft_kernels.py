"""Loops along shafts: their centres, their contrast, the bend and the edge of their tips. All release the GIL."""

from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = [
    "block_centres", "comb_score", "contrast_across", "fit_parabola", "foot_chances", "normals", "resampled",
    "terminal_bend",
]  # fmt: skip

Kernel = TypeVar("Kernel", bound=Callable[..., object])
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


def _compile(function: Kernel) -> Kernel:
    return cast("Kernel", njit(cache=True, nogil=True, fastmath={"contract", "nsz", "reassoc"})(function))


@_compile
def block_centres(across: F32, inside: F32, wave: F64, block: int, near: int, out: F64) -> int:
    """Write place along, shift aside and height of the line's centre for each block of a laid-out picture.

    Parameters
    ----------
    across, inside
        (n, 2·reach + 1) picture across a path, and 1 where valid.
    wave
        Filter across, odd length.
    block
        Points along that are averaged.
    near
        How far aside the centre may lie, pixels.
    out
        float64 (n // block + 1, 3), written.

    Returns
    -------
    How many blocks are valid.
    """
    count, width = across.shape
    reach, half = width // 2, len(wave) // 2
    mean = np.empty(width)
    answer = np.empty(2 * near + 1)
    found = 0
    low = 0
    while low < count:
        high = min(low + block, count)
        if count - high < block // 2:
            high = count
        share = 0.0
        for y in range(width):
            total = 0.0
            for n in range(low, high):
                total += across[n, y]
                share += inside[n, y]
            mean[y] = total / (high - low)
        if share >= 0.8 * width * (high - low):
            best = 0
            for k in range(2 * near + 1):
                value = 0.0
                for j in range(-half, half + 1):
                    y = min(max(reach - near + k + j, 0), width - 1)
                    value += wave[j + half] * mean[y]
                answer[k] = value
                if value > answer[best]:
                    best = k
            shift = float(best - near)
            if 0 < best < 2 * near:
                bow = answer[best - 1] - 2.0 * answer[best] + answer[best + 1]
                if bow < 0.0:
                    shift += 0.5 * (answer[best - 1] - answer[best + 1]) / bow
            out[found, 0] = 0.5 * (low + high - 1)
            out[found, 1] = shift
            out[found, 2] = max(answer[best], 1e-9)
            found += 1
        low = high
    return found


@_compile
def fit_parabola(at: F64, value: F64, weight: F64, order: int) -> F64:
    """Return (3,) coefficients of a polynomial of order 0 to 2 by weighted least squares, outliers let go of twice."""
    n = len(at)
    used = np.ones(n, np.bool_)
    solution = np.zeros(3)
    for _ in range(3):
        matrix = np.zeros((order + 1, order + 1))
        right = np.zeros(order + 1)
        for k in range(n):
            if not used[k]:
                continue
            power = np.ones(order + 1)
            for a in range(1, order + 1):
                power[a] = power[a - 1] * at[k]
            for a in range(order + 1):
                right[a] += weight[k] * power[a] * value[k]
                for b in range(order + 1):
                    matrix[a, b] += weight[k] * power[a] * power[b]
        for a in range(order + 1):
            matrix[a, a] += 1e-9 * (matrix[a, a] + 1e-12)
        found = np.linalg.solve(matrix, right)
        for a in range(order + 1):
            solution[a] = found[a]
        off = np.empty(n)
        for k in range(n):
            off[k] = abs(value[k] - solution[0] - solution[1] * at[k] - solution[2] * at[k] ** 2)
        limit = max(0.75, 3.0 * np.median(off))
        kept = 0
        for k in range(n):
            used[k] = off[k] <= limit
            kept += used[k]
        if kept <= order + 1:
            break
    return solution


@_compile
def contrast_across(across: F32, inside: F32, taps: F64, out: F64, good: NDArray[np.bool_]) -> None:
    """Write the answer of a filter across a path, (n, lanes), and whether all of it is valid.

    Lane k is centred on column k + len(taps) // 2 of ``across``.
    """
    count, lanes = out.shape
    width = len(taps)
    for n in range(count):
        for k in range(lanes):
            value, least = 0.0, 1.0
            for j in range(width):
                value += taps[j] * across[n, k + j]
                least = min(least, inside[n, k + j])
            out[n, k] = value
            good[n, k] = least > 0.5


@_compile
def terminal_bend(
    contrast: F64, good: NDArray[np.bool_], before: float, last: int, onsets: NDArray[np.int64], bends: F64, cost: float
) -> tuple[int, float, int]:
    """Find how the end of a shaft bends: return onset, bend (1/px; 0 for straight on), and where the contrast ends.

    The contrast is counted along each arc, every point for or against the shaft, at most as one of full contrast; an
    arc must gain ``cost`` over going straight.

    Parameters
    ----------
    contrast, good
        (n, lanes) of `contrast_across`; the path runs along the middle lane.
    before
        Contrast of the shaft.
    last
        Where the shaft was last seen.
    onsets, bends
        Where a bend may begin, and how strong it may be.
    cost
        In points of full contrast.
    """
    count, lanes = contrast.shape
    middle = lanes // 2
    best, best_onset, best_bend, best_stop = -1e9, last, 0.0, last
    start = max(0, onsets[0])
    for o in range(len(onsets)):
        for b in range(len(bends)):
            if bends[b] == 0.0 and o > 0:
                continue
            total, top, stop = 0.0, 0.0, start
            for n in range(start, count):
                u = n - onsets[o]
                aside = 0.5 * bends[b] * u * u if u > 0 else 0.0
                place = middle + aside
                k = int(np.floor(place))
                if k < 0 or k + 1 >= lanes or not good[n, k] or not good[n, k + 1]:
                    break
                value = contrast[n, k] * (1.0 - (place - k)) + contrast[n, k + 1] * (place - k)
                total += min(max(value / before - 0.5, -1.0), 0.75)
                if total > top:
                    top, stop = total, n + 1
            if bends[b] != 0.0:
                top -= cost
            if top > best:
                best, best_onset, best_bend, best_stop = top, onsets[o], bends[b], stop
    return best_onset, best_bend, best_stop


@_compile
def foot_chances(
    values: F64, first: float, feet: F64, tables: F64, per_px: int, before: float, sigma2: float, prior: F64
) -> tuple[float, float]:
    """Return mean and standard deviation of where a ramp has its foot, over all lengths of ramps.

    Parameters
    ----------
    values
        Contrast at places ``first``, ``first`` + 1 and so on; of variance ``sigma2``.
    feet
        Places to try.
    tables
        (lengths, m) ramps from 0 to 1 at distances before their feet from −m/2, ``per_px`` values a pixel.
    before
        Contrast of the shaft.
    prior
        (lengths,) cost of each.
    """
    half = tables.shape[1] // 2
    cost = np.empty((len(tables), len(feet)))
    least = 1e18
    for t in range(len(tables)):
        for f in range(len(feet)):
            total = 0.0
            shift = int(np.floor((feet[f] - first) * per_px + 0.5)) + half
            for n in range(len(values)):
                k = min(max(shift - n * per_px, 0), tables.shape[1] - 1)
                off = values[n] - before * tables[t, k]
                total += off * off
            cost[t, f] = 0.5 * total / sigma2 + prior[t]
            least = min(least, cost[t, f])
    weight, one, two = 0.0, 0.0, 0.0
    for f in range(len(feet)):
        chance = 0.0
        for t in range(len(tables)):
            chance += np.exp(least - cost[t, f])
        weight += chance
        one += chance * feet[f]
        two += chance * feet[f] * feet[f]
    mean = one / weight
    return mean, np.sqrt(max(two / weight - mean * mean, 0.0))


@_compile
def normals(path: F64, reach: int) -> F64:
    """Return unit vectors across a path, from its way over ``reach`` points to either side."""
    count = len(path)
    out = np.empty((count, 2))
    for n in range(count):
        low, high = max(0, n - reach), min(count - 1, n + reach)
        r, c = path[high, 0] - path[low, 0], path[high, 1] - path[low, 1]
        size = np.sqrt(r * r + c * c) + 1e-12
        out[n, 0], out[n, 1] = -c / size, r / size
    return out


@_compile
def resampled(points: F64) -> F64:
    """Return points a pixel apart along a polyline."""
    count = len(points)
    along = np.zeros(count)
    for n in range(1, count):
        along[n] = along[n - 1] + np.hypot(points[n, 0] - points[n - 1, 0], points[n, 1] - points[n - 1, 1])
    out = np.empty((int(np.ceil(along[-1])), 2))
    n = 0
    for k in range(len(out)):
        while n < count - 2 and along[n + 1] < k:
            n += 1
        step = along[n + 1] - along[n]
        share = (k - along[n]) / step if step > 0.0 else 0.0
        for axis in range(2):
            out[k, axis] = points[n, axis] + share * (points[n + 1, axis] - points[n, axis])
    return out


@_compile
def comb_score(signal: F64, shortest: float, longest: float, step: float) -> float:
    """Return how far the best comb of five teeth or more stands out of unit scatter: its sum over the root of teeth.

    The teeth are ``shortest`` to ``longest`` apart, by ``step``; of a tooth's three points the largest counts.
    """
    count = len(signal)
    widened = signal.copy()
    for n in range(1, count - 1):
        widened[n] = max(signal[n - 1], max(signal[n], signal[n + 1]))
    middle = 0.0
    for n in range(count):
        middle += widened[n]
    middle /= max(count, 1)
    best = 0.0
    gap = shortest
    while gap <= longest and 5.0 * gap <= count + gap:
        phases = int(gap)
        for phase in range(phases):
            total, teeth = 0.0, 0
            place = float(phase)
            while place < count - 0.5:
                total += widened[int(place + 0.5)] - middle
                teeth += 1
                place += gap
            if teeth >= 5:
                best = max(best, total / np.sqrt(teeth))
        gap += step
    return best
