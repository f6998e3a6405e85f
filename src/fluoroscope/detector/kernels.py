"""Compiled loops of the detector.

Random numbers are a function of (seed, frame, pixel) only, so a frame does not depend on how the work is
shared out.
"""

import numba as nb
import numpy as np
from numpy.typing import NDArray

from fluoroscope.projector.sharing import DOOR, WITHIN, argument, carray, pointer_to, shared

__all__ = ["HALF_TAPS", "compile_kernels", "expect", "expose", "poisson_tables"]

HALF_TAPS = 3
"""The blur reaches this many pixels to each side."""
TILE_ROWS = 128
GRID_PER_QUANTUM = 8
EXACT_BELOW = 12
"""Below this mean number of quanta the Poisson distribution is sampled exactly."""
SUPPORT = 64

_u32 = np.uint32
_f32 = np.float32


def poisson_tables() -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """Return threshold and alias, (means, 64), for Poisson means 0, 1/8, 2/8 … `EXACT_BELOW`.

    Walker's alias method with thresholds of 26 bits (1977, doi:10.1145/355744.355749).
    """
    means = np.arange(EXACT_BELOW * GRID_PER_QUANTUM + 1) / GRID_PER_QUANTUM
    threshold = np.zeros((means.size, SUPPORT), dtype=np.uint32)
    alias = np.zeros((means.size, SUPPORT), dtype=np.uint8)
    for row, mean in enumerate(means):
        ratios = mean / np.arange(1, SUPPORT)
        share = SUPPORT * np.exp(-mean) * np.concatenate([[1.0], np.cumprod(ratios)])
        small, large = (
            [i for i in range(SUPPORT) if share[i] < 1.0],
            [i for i in range(SUPPORT) if share[i] >= 1.0],
        )
        target = np.arange(SUPPORT)
        while small and large:
            poor, rich = small.pop(), large.pop()
            target[poor] = rich
            share[rich] -= 1.0 - share[poor]
            (small if share[rich] < 1.0 else large).append(rich)
        for full in small + large:
            share[full] = 1.0
        threshold[row] = np.minimum(np.round(share * 2.0**26), 2**26).astype(np.uint32)
        alias[row] = target
    return threshold, alias


_FAST = {"reassoc", "contract", "arcp", "nsz"}


@nb.njit(inline="always")
def _mix(x: np.uint32) -> np.uint32:
    """Mix 32 bits (constants of Wellons' lowbias32 search, public domain)."""
    # Every step is cast back: numba widens sums and products of 32 bits to 64, which halves the vector.
    a = _u32(x ^ _u32(x >> _u32(16)))
    b = _u32(a * _u32(0x7FEB352D))
    c = _u32(b ^ _u32(b >> _u32(15)))
    d = _u32(c * _u32(0x846CA68B))
    return _u32(d ^ _u32(d >> _u32(16)))


@nb.njit(inline="always")
def _random(pixel: np.uint32, key0: np.uint32, key1: np.uint32) -> np.uint32:
    """Return 32 random bits of a pixel under two keys."""
    return _mix(_u32(_mix(_u32(pixel + key0)) ^ key1))


@nb.njit(inline="always")
def _normal(h: np.uint32) -> np.float32:
    """Return a normal variate made of 32 random bits, by arithmetic only so that it runs in vectors.

    Four 16-bit uniforms are added; an odd polynomial, fitted to the quantiles, turns the sum's distribution
    into the normal one: cumulative probability within 1.6e-4, variance 1 and kurtosis 3 within 3e-4, |z| up
    to 5.2.
    """
    k = _mix(_u32(h ^ _u32(0xC2B2AE35)))
    low = np.int32(_u32(h & _u32(0xFFFF))) + np.int32(_u32(k & _u32(0xFFFF)))
    high = np.int32(_u32(h >> _u32(16))) + np.int32(_u32(k >> _u32(16)))
    y = (_f32(np.int32(low + high)) - _f32(131070.0)) * _f32(2.6428998e-05)  # √3 / 65536
    y2 = y * y
    p = _f32(-3.69069453e-04) + y2 * _f32(3.86984709e-05)
    p = _f32(9.26522707e-03) + y2 * (_f32(1.81143891e-03) + y2 * p)
    return _f32(y * (_f32(9.62338151e-01) + y2 * p))


@nb.njit(fastmath=_FAST, **WITHIN)
def _cells_row(water, bone, scales, index, along, across):  # type: ignore[no-untyped-def]
    """Find the cell of each ray and the place in it."""
    water_per_mm, bone_per_mm, water_cells, bone_cells = scales
    row_length = _f32(bone_cells)
    top_water, top_bone = _f32(water_cells), _f32(bone_cells * bone_cells)
    last_water, last_bone = _f32(water_cells - 1), _f32(bone_cells - 1)
    for c in range(water.size):
        w = min(max(water[c] * water_per_mm, _f32(0.0)), top_water)
        b = min(max(bone[c] * bone_per_mm, _f32(0.0)), top_bone)
        i = min(np.floor(w), last_water)
        j = min(np.floor(np.sqrt(b)), last_bone)
        index[c] = np.int32(i * row_length + j)  # below 2²⁴: exact
        along[c] = w - i
        across[c] = (b - j * j) / (_f32(2.0) * j + _f32(1.0))


@nb.njit(**WITHIN)
def _gather_row(cells, index, columns, gathered):  # type: ignore[no-untyped-def]
    """Copy six numbers of each pixel's cell beside each other, so that the arithmetic runs in vectors."""
    for c in range(columns):
        k = np.uint32(index[c])
        for t in range(6):
            gathered[t, c] = cells[k, t]


@nb.njit(fastmath=_FAST, **WITHIN)
def _energy_row(first, by_water, by_bone, crossed, along, across, optics, y2, x2, mean):  # type: ignore[no-untyped-def]
    """Give the mean absorbed energy of each pixel, keV, with the fall-off of an oblique ray."""
    gain, depth2, obliquity = optics
    for c in range(mean.size):
        f, g = along[c], across[c]
        x = f * (by_water[c] + g * crossed[c]) + g * by_bone[c]
        # exp of a small number: within a cell |x| stays below 0.7, the series is good to 2e-5 there.
        e = _f32(1.0) + x * (
            _f32(1.0)
            + x * (_f32(0.5) + x * (_f32(1 / 6) + x * (_f32(1 / 24) + x * (_f32(1 / 120) + x * _f32(1 / 720)))))
        )
        cosine2 = depth2 / (depth2 + y2 + x2[c])
        cosine = np.sqrt(cosine2)
        fall = cosine2 * (cosine + obliquity * (_f32(1.0) - cosine))
        mean[c] = first[c] * e * gain * fall


@nb.njit(fastmath=_FAST, **WITHIN)
def _noise_row(quanta_per_kev, spread, mean, first_pixel, counter, keys):  # type: ignore[no-untyped-def]
    """Replace each mean energy by a sample, in place; few-quanta pixels come out negative, −λ.

    The compound Poisson distribution by its first four cumulants (Cornish and Fisher 1938,
    doi:10.2307/1400905); the deposits of single photons are taken as gamma distributed.
    """
    key0, key1 = keys
    for c in range(mean.size):
        z = _normal(_random(_u32(first_pixel + counter[c]), key0, key1))
        quanta = mean[c] * quanta_per_kev[c]
        s = spread[c]
        sd = np.sqrt((_f32(1.0) + s) / max(quanta, _f32(1.0)))
        # (1 + 2s)/(1 + s) and, with it, (1 + 2s)(1 + 3s)/(1 + s)² by series: s is below a quarter.
        low = s * (_f32(1.0) - s * (_f32(1.0) - s))
        third = _f32(1.0) + low
        fourth = third * (third + low)
        skew = third * sd
        excess = fourth * sd * sd
        z2 = z * z
        x = z + skew * _f32(1 / 6) * (z2 - _f32(1.0)) + excess * _f32(1 / 24) * z * (z2 - _f32(3.0))
        x -= skew * skew * _f32(1 / 36) * z * (_f32(2.0) * z2 - _f32(5.0))
        value = max(mean[c] * (_f32(1.0) + sd * x), _f32(0.0))
        mean[c] = -quanta if quanta < _f32(EXACT_BELOW) else value


@nb.njit(**WITHIN)
def _pick_few(quanta_per_kev, spread, mean, where, picked):  # type: ignore[no-untyped-def]
    """Collect the pixels left as −λ: place, λ, energy per photon, its relative variance; return how many."""
    n = 0
    for c in range(mean.size):
        # λ changes smoothly along a row, so this branch is well predicted.
        if mean[c] < _f32(0.0):
            where[n] = c
            picked[0, n] = -mean[c]
            picked[1, n] = _f32(1.0) / quanta_per_kev[c]
            picked[2, n] = spread[c]
            n += 1
    return n


@nb.njit(fastmath=_FAST, **WITHIN)
def _draw_few(where, first_pixel, keys, bits, uniform, normal):  # type: ignore[no-untyped-def]
    """Draw what one few-quanta pixel needs: 32 bits, a uniform and a normal number."""
    key0, key1 = keys
    for i in range(where.size):
        h = _random(_u32(first_pixel + _u32(where[i])), key0, key1)
        k = _mix(_u32(h + _u32(0x9E3779B9)))
        bits[i] = h
        uniform[i] = _f32(np.int32(_u32(k >> _u32(8)))) * _f32(2.0**-24)
        normal[i] = _normal(_mix(_u32(k ^ _u32(0x85EBCA6B))))


@nb.njit(**WITHIN)
def _count_few(quanta, bits, uniform, threshold, alias):  # type: ignore[no-untyped-def]
    """Replace λ by an exact Poisson count: a table for the eighths of λ, inversion for the rest."""
    for i in range(bits.size):
        node = np.uint32(np.int32(quanta[i] * _f32(GRID_PER_QUANTUM)))
        slot = _u32(bits[i] >> _u32(26))
        count = np.int32(slot)
        if _u32(bits[i] & _u32(0x3FFFFFF)) >= threshold[node, slot]:
            count = np.int32(alias[node, slot])
        rest = quanta[i] - _f32(node) * _f32(1.0 / GRID_PER_QUANTUM)
        u = uniform[i]
        # exp(−rest) for a rest below 1/8.
        none = _f32(1.0) - rest * (_f32(1.0) - rest * (_f32(0.5) - rest * (_f32(1 / 6) - rest * _f32(1 / 24))))
        if u >= none:
            term, below = none, none
            more = 0
            while u >= below and more < 8:
                more += 1
                term *= rest / _f32(more)
                below += term
            count += more
        quanta[i] = _f32(count)


@nb.njit(fastmath=_FAST, **WITHIN)
def _sum_deposits(count, per_quantum, spread, normal):  # type: ignore[no-untyped-def]
    """Replace each count by the sum of that many gamma-distributed deposits, in place.

    Gamma of shape a = count/spread, 4 or more here, by Wilson and Hilferty (1931,
    doi:10.1073/pnas.17.12.684).
    """
    for i in range(count.size):
        ninth = spread[i] / (_f32(9.0) * max(count[i], _f32(1.0)))
        root = max(_f32(1.0) - ninth + normal[i] * np.sqrt(ninth), _f32(0.0))
        count[i] = per_quantum[i] * count[i] * root * root * root


@nb.njit(**WITHIN)
def _few_quanta_row(quanta_per_kev, spread, mean, first_pixel, keys, tables, drawn):  # type: ignore[no-untyped-def]
    """Sample the pixels left as −λ exactly: Poisson count, then the sum of that many deposits."""
    threshold, alias = tables
    where, bits, numbers = drawn
    n = _pick_few(quanta_per_kev, spread, mean, where, numbers)
    _draw_few(where[:n], first_pixel, keys, bits[:n], numbers[3, :n], numbers[4, :n])
    _count_few(numbers[0, :n], bits[:n], numbers[3, :n], threshold, alias)
    _sum_deposits(numbers[0, :n], numbers[1, :n], numbers[2, :n], numbers[4, :n])
    for i in range(n):
        mean[np.uint32(where[i])] = numbers[0, i]


@nb.njit(fastmath=_FAST, **WITHIN)
def _blur_across(row, taps, out):  # type: ignore[no-untyped-def]
    """Blur along the row into ``out``; ``row`` has `HALF_TAPS` pixels more at each end."""
    t0, t1, t2, t3 = taps
    for c in range(out.size):
        out[c] = (
            t0 * row[c + 3]
            + t1 * (row[c + 2] + row[c + 4])
            + t2 * (row[c + 1] + row[c + 5])
            + t3 * (row[c] + row[c + 6])
        )


@nb.njit(fastmath=_FAST, **WITHIN)
def _blur_down(ring, slots, taps, out):  # type: ignore[no-untyped-def]
    """Blur along the columns: ``slots`` name the seven rows of the ring, in order."""
    t0, t1, t2, t3 = taps
    a, b, c, d, e, f, g = (
        ring[slots[0]],
        ring[slots[1]],
        ring[slots[2]],
        ring[slots[3]],
        ring[slots[4]],
        ring[slots[5]],
        ring[slots[6]],
    )
    for x in range(out.size):
        out[x] = t0 * d[x] + t1 * (c[x] + e[x]) + t2 * (b[x] + f[x]) + t3 * (a[x] + g[x])


@nb.njit(fastmath=_FAST, **WITHIN)
def _read_out_row(row, first_pixel, counter, keys, readout, out):  # type: ignore[no-untyped-def]
    """Full well, electronic noise, digital gain, full scale."""
    key0, key1 = keys
    well, noise, gain, full_scale = readout
    other = _u32(key0 + _u32(0x68E31DA4))
    for c in range(out.size):
        z = _normal(_random(_u32(first_pixel + counter[c]), key1, other))
        value = (min(row[c], well) + noise * z) * gain + _f32(0.5)
        out[c] = np.uint16(np.int32(min(max(value, _f32(0.0)), full_scale)))


@nb.njit(**WITHIN)
def _mean_row(thickness, r, field, table, optics, places, work, row):  # type: ignore[no-untyped-def]
    """Fill ``row`` (padded) with the mean energy of detector row ``r``; dark outside the field."""
    cells, scales = table
    y2, x2 = places
    r0, r1, c0, c1 = field
    row[:] = _f32(0.0)
    if r < r0 or r >= r1 or c1 <= c0:
        return False
    inner = row[HALF_TAPS + c0 : HALF_TAPS + c1]
    n = c1 - c0
    index, along, across, gathered = work
    _cells_row(thickness[0, r, c0:c1], thickness[1, r, c0:c1], scales, index, along, across)
    _gather_row(cells, index, n, gathered)
    _energy_row(gathered[0], gathered[1], gathered[2], gathered[3], along, across, optics, y2[r], x2[c0:c1], inner)
    return True


@nb.njit(inline="always")
def _pad(row, columns):  # type: ignore[no-untyped-def]
    """Repeat the pixels at the ends, as if light came back from beyond the panel as it leaves."""
    for t in range(HALF_TAPS):
        row[t] = row[HALF_TAPS]
        row[HALF_TAPS + columns + t] = row[HALF_TAPS + columns - 1]


@nb.njit(**WITHIN)
def _unpack(whole, real):  # type: ignore[no-untyped-def]
    """Name the packed parameters again."""
    field = (whole[0], whole[1], whole[2], whole[3])
    scales = (real[0], real[1], whole[4], whole[5])
    optics = (real[2], real[3], real[4])
    taps = (real[5], real[6], real[7], real[8])
    return field, scales, optics, taps


@shared()
def _expose_tile(part, arguments):  # type: ignore[no-untyped-def]
    """Expose one tile of rows; rows the blur needs beyond it are computed again, the same."""
    rows, columns = argument(arguments, 0), argument(arguments, 1)
    thickness = carray(pointer_to(argument(arguments, 2), np.float32), (2, rows, columns))
    cells = carray(pointer_to(argument(arguments, 3), np.float32), (argument(arguments, 4), argument(arguments, 5)))
    y2 = carray(pointer_to(argument(arguments, 6), np.float32), (rows,))
    x2 = carray(pointer_to(argument(arguments, 7), np.float32), (columns,))
    means = EXACT_BELOW * GRID_PER_QUANTUM + 1
    threshold = carray(pointer_to(argument(arguments, 8), np.uint32), (means, SUPPORT))
    alias = carray(pointer_to(argument(arguments, 9), np.uint8), (means, SUPPORT))
    whole = carray(pointer_to(argument(arguments, 10), np.int64), (6,))
    real = carray(pointer_to(argument(arguments, 11), np.float32), (13,))
    packed_keys = carray(pointer_to(argument(arguments, 12), np.uint32), (2,))
    out = carray(pointer_to(argument(arguments, 13), np.uint16), (rows, columns))
    start = part * TILE_ROWS
    stop = min(start + TILE_ROWS, rows)
    field, scales, optics, taps = _unpack(whole, real)
    readout = (real[9], real[10], real[11], real[12])
    keys = (packed_keys[0], packed_keys[1])
    c0, c1 = field[2], field[3]
    index = np.empty(columns, np.int32)
    along = np.empty(columns, np.float32)
    across = np.empty(columns, np.float32)
    gathered = np.empty((6, columns), np.float32)
    work = (index, along, across, gathered)
    row = np.empty(columns + 2 * HALF_TAPS, np.float32)
    # Counting in an array of 32 bits keeps the vectors wide: a loop variable has 64.
    counter = np.arange(columns).astype(np.uint32)
    drawn = (
        np.empty(columns + 1, np.int32),
        np.empty(columns, np.uint32),
        np.empty((5, columns + 1), np.float32),
    )
    blurred = np.empty(columns, np.float32)
    ring = np.empty((2 * HALF_TAPS + 1, columns), np.float32)
    slots = np.empty(2 * HALF_TAPS + 1, np.int64)
    for step in range(start - HALF_TAPS, stop + HALF_TAPS):
        r = min(max(step, 0), rows - 1)
        first_open = _u32(r * columns + c0)
        slot = (step + HALF_TAPS) % (2 * HALF_TAPS + 1)
        if _mean_row(thickness, r, field, (cells, scales), optics, (y2, x2), work, row):
            inner = row[HALF_TAPS + c0 : HALF_TAPS + c1]
            _noise_row(gathered[4], gathered[5], inner, first_open, counter, keys)
            _few_quanta_row(gathered[4], gathered[5], inner, first_open, keys, (threshold, alias), drawn)
            _pad(row, columns)
            _blur_across(row, taps, ring[slot])
        else:
            ring[slot, :] = _f32(0.0)
        done = step - HALF_TAPS
        if done < start:
            continue
        for t in range(2 * HALF_TAPS + 1):
            slots[t] = (done + t) % (2 * HALF_TAPS + 1)
        _blur_down(ring, slots, taps, blurred)
        _read_out_row(blurred, _u32(done * columns), counter, keys, readout, out[done])


def compile_kernels() -> None:
    """Compile what `expose` runs, or read it from the cache."""
    _expose_tile.compile()


def expose(
    thickness: NDArray[np.float32],
    cells: NDArray[np.float32],
    places: tuple[NDArray[np.float32], NDArray[np.float32]],
    tables: tuple[NDArray[np.uint32], NDArray[np.uint8]],
    whole: NDArray[np.int64],
    real: NDArray[np.float32],
    keys: NDArray[np.uint32],
    out: NDArray[np.uint16],
) -> None:
    """Turn thickness maps into pixels; see ``expose.Detector`` for the meaning of the stages.

    All arrays C-contiguous. ``places``: squared distances of rows and of columns from the central ray, mm².
    ``tables``: of `poisson_tables`. ``whole`` int64: field (first row, end row, first column, end column), water
    cells, bone cells. ``real`` float32: water and bone cells per mm, gain, squared depth, obliquity, four taps, full
    well keV, electronic noise keV, LIN per keV, full scale. ``keys`` uint32: of the frame.
    """
    rows, columns = out.shape
    tiles = (rows + TILE_ROWS - 1) // TILE_ROWS
    _expose_tile.run(tiles, rows, columns, thickness, cells, *cells.shape, *places, *tables, whole, real, keys, out)


@nb.njit(**DOOR)
def expect(thickness, cells, y2, x2, whole, real, out):  # type: ignore[no-untyped-def]
    """Give the mean of `expose` without saturation, float32, in the units of the pixels."""
    field, scales, optics, taps = _unpack(whole, real)
    rows, columns = out.shape
    index = np.empty(columns, np.int32)
    along = np.empty(columns, np.float32)
    across = np.empty(columns, np.float32)
    gathered = np.empty((6, columns), np.float32)
    work = (index, along, across, gathered)
    row = np.empty(columns + 2 * HALF_TAPS, np.float32)
    ring = np.empty((2 * HALF_TAPS + 1, columns), np.float32)
    slots = np.empty(2 * HALF_TAPS + 1, np.int64)
    for step in range(-HALF_TAPS, rows + HALF_TAPS):
        r = min(max(step, 0), rows - 1)
        slot = (step + HALF_TAPS) % (2 * HALF_TAPS + 1)
        _mean_row(thickness, r, field, (cells, scales), optics, (y2, x2), work, row)
        _pad(row, columns)
        _blur_across(row, taps, ring[slot])
        done = step - HALF_TAPS
        if done < 0:
            continue
        for t in range(2 * HALF_TAPS + 1):
            slots[t] = (done + t) % (2 * HALF_TAPS + 1)
        _blur_down(ring, slots, taps, out[done])
        out[done] *= real[11]
