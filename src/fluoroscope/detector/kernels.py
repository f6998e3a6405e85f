"""Compiled loops of the detector.

Random numbers are a function of (seed, frame, pixel) only, so a frame does not depend on how the work is shared out.
"""

import numba as nb
import numpy as np
from numpy.typing import NDArray

__all__ = ["HALF_TAPS", "expect", "expose", "poisson_tables"]

HALF_TAPS = 3
"""The blur reaches this many pixels to each side."""
TILE_ROWS = 64
GRID_PER_QUANTUM = 8
EXACT_BELOW = 12
"""Below this mean number of quanta the Poisson distribution is sampled exactly."""
SUPPORT = 64

_u32 = np.uint32
_f32 = np.float32


def poisson_tables() -> tuple[NDArray[np.uint32], NDArray[np.uint8], NDArray[np.float32]]:
    """Return the random tables of the kernels.

    Returns
    -------
    threshold, alias
        (means, 64): Walker's alias method (doi:10.1145/355744.355749) for Poisson means 0, 1/8, 2/8 … `EXACT_BELOW`,
        threshold of 26 bits.
    normal
        (4097,) float32: quantiles of the normal distribution for linear interpolation, scaled to unit variance.
    """
    from scipy.special import ndtri
    from scipy.stats import poisson

    means = np.arange(EXACT_BELOW * GRID_PER_QUANTUM + 1) / GRID_PER_QUANTUM
    threshold = np.zeros((means.size, SUPPORT), dtype=np.uint32)
    alias = np.zeros((means.size, SUPPORT), dtype=np.uint8)
    for row, mean in enumerate(means):
        share = poisson.pmf(np.arange(SUPPORT), mean) * SUPPORT
        small, large = [i for i in range(SUPPORT) if share[i] < 1.0], [i for i in range(SUPPORT) if share[i] >= 1.0]
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
    probability = np.arange(4097) / 4096.0
    probability[0], probability[-1] = 0.25 / 4096.0, 1.0 - 0.25 / 4096.0
    normal = ndtri(probability)
    # Variance of the interpolated quantile function, to scale it to one exactly.
    low, high = normal[:-1], normal[1:]
    normal /= np.sqrt(np.mean((low * low + low * high + high * high) / 3.0))
    return threshold, alias, normal.astype(np.float32)


_FAST = {"reassoc", "contract", "arcp", "nsz"}


@nb.njit(inline="always")
def _mix(x: np.uint32) -> np.uint32:
    """Mix 32 bits (constants of Wellons' lowbias32 search, public domain)."""
    x ^= x >> _u32(16)
    x = _u32(x * _u32(0x7FEB352D))
    x ^= x >> _u32(15)
    x = _u32(x * _u32(0x846CA68B))
    x ^= x >> _u32(16)
    return x


@nb.njit(fastmath=_FAST, cache=True)
def _cells_row(water, bone, scales, index, along, across):  # type: ignore[no-untyped-def]
    """Find the cell of each ray and the place in it."""
    water_per_mm, bone_per_mm, water_cells, bone_cells = scales
    top_water, top_bone = _f32(water_cells), _f32(bone_cells * bone_cells)
    last_water, last_bone = np.int32(water_cells - 1), np.int32(bone_cells - 1)
    row_length = np.int32(bone_cells)
    for c in range(water.size):
        w = min(max(water[c] * water_per_mm, _f32(0.0)), top_water)
        b = min(max(bone[c] * bone_per_mm, _f32(0.0)), top_bone)
        i = min(np.int32(w), last_water)
        j = min(np.int32(np.sqrt(b)), last_bone)
        j32 = _f32(j)
        index[c] = i * row_length + j
        along[c] = w - _f32(i)
        across[c] = (b - j32 * j32) / (_f32(2.0) * j32 + _f32(1.0))


@nb.njit(fastmath=_FAST, cache=True)
def _energy_row(cells, index, along, across, geometry, y2, x2, mean):  # type: ignore[no-untyped-def]
    """Give the mean absorbed energy of each pixel, keV, with the fall-off of an oblique ray."""
    gain, depth2, obliquity = geometry
    for c in range(mean.size):
        k = np.uint32(index[c])
        f, g = along[c], across[c]
        x = f * (cells[k, 1] + g * cells[k, 3]) + g * cells[k, 2]
        # exp of a small number: within a cell |x| stays below 0.7, the series is good to 2e-5 there.
        e = _f32(1.0) + x * (
            _f32(1.0)
            + x
            * (_f32(0.5) + x * (_f32(1 / 6) + x * (_f32(1 / 24) + x * (_f32(1 / 120) + x * _f32(1 / 720)))))
        )
        cosine2 = depth2 / (depth2 + y2 + x2[c])
        cosine = np.sqrt(cosine2)
        fall = cosine2 * (cosine + obliquity * (_f32(1.0) - cosine))
        mean[c] = cells[k, 0] * e * gain * fall


@nb.njit(fastmath=_FAST, cache=True)
def _noise_row(cells, index, mean, first_pixel, keys, normal):  # type: ignore[no-untyped-def]
    """Replace each mean energy by a sample of its distribution, in place; few-quanta pixels come out negative, −λ.

    The compound Poisson distribution by its first three cumulants (Cornish and Fisher 1938, to the order of 1/λ).
    """
    key0, key1 = keys
    few = 0
    for c in range(mean.size):
        k = np.uint32(index[c])
        per_quantum, spread = cells[k, 4], cells[k, 5]
        h = _mix(_mix(_u32(first_pixel + _u32(c)) + key0) ^ key1)
        place = h >> _u32(20)
        part = _f32(h & _u32(0xFFFFF)) * _f32(2.0**-20)
        low = normal[place]
        z = low + part * (normal[place + _u32(1)] - low)
        quanta = mean[c] / per_quantum
        one = _f32(1.0) + spread
        inverse = _f32(1.0) / max(quanta, _f32(1.0))
        sd = np.sqrt(one * inverse)
        # A gamma-distributed deposit: skewness of the sum is (1 + 2·spread)/√(λ(1 + spread)).
        third = (one + spread) / one
        fourth = third * (one + _f32(2.0) * spread) / one
        skew = third * sd
        excess = fourth * sd * sd
        z2 = z * z
        x = z + skew * _f32(1 / 6) * (z2 - _f32(1.0))
        x += excess * _f32(1 / 24) * z * (z2 - _f32(3.0)) - skew * skew * _f32(1 / 36) * z * (
            _f32(2.0) * z2 - _f32(5.0)
        )
        value = max(mean[c] * (_f32(1.0) + sd * x), _f32(0.0))
        is_few = quanta < _f32(EXACT_BELOW)
        few += is_few
        mean[c] = -quanta if is_few else value
    return few


@nb.njit(cache=True)
def _few_quanta_row(cells, index, mean, first_pixel, keys, normal, threshold, alias):  # type: ignore[no-untyped-def]
    """Sample the pixels left as −λ: exact Poisson count, then the gamma-distributed sum of that many deposits."""
    key0, key1 = keys
    for c in range(mean.size):
        if mean[c] >= _f32(0.0):
            if mean[c] == _f32(0.0):
                mean[c] = _f32(0.0)
            continue
        quanta = -mean[c]
        h = _mix(_mix(_u32(first_pixel + _u32(c)) + key0) ^ key1)
        node = np.uint32(quanta * _f32(GRID_PER_QUANTUM))
        slot = h >> _u32(26)
        count = np.int32(slot)
        if (h & _u32(0x3FFFFFF)) >= threshold[node, slot]:
            count = np.int32(alias[node, slot])
        # The rest of the mean, below 1/8, by inversion: Poisson counts add.
        rest = quanta - _f32(node) * _f32(1.0 / GRID_PER_QUANTUM)
        h = _mix(h + _u32(0x9E3779B9))
        u = _f32(h >> _u32(8)) * _f32(2.0**-24)
        none = _f32(1.0) - rest * (
            _f32(1.0) - rest * (_f32(0.5) - rest * (_f32(1 / 6) - rest * _f32(1 / 24)))
        )
        if u >= none:
            term, below = none, none
            more = 0
            while u >= below and more < 8:
                more += 1
                term *= rest / _f32(more)
                below += term
            count += more
        if count == 0:
            mean[c] = _f32(0.0)
            continue
        k = np.uint32(index[c])
        h = _mix(h ^ _u32(0x85EBCA6B))
        place = h >> _u32(20)
        low = normal[place]
        z = low + _f32(h & _u32(0xFFFFF)) * _f32(2.0**-20) * (normal[place + _u32(1)] - low)
        # Gamma of shape a by Wilson and Hilferty (1931, doi:10.1073/pnas.17.12.684); a is 5 or more here.
        ninth = cells[k, 5] / (_f32(9.0) * _f32(count))
        root = _f32(1.0) - ninth + z * np.sqrt(ninth)
        mean[c] = cells[k, 4] * _f32(count) * max(root * root * root, _f32(0.0))


@nb.njit(fastmath=_FAST, cache=True)
def _blur_across(row, taps, out):  # type: ignore[no-untyped-def]
    """Blur along the row into ``out``; ``row`` has `HALF_TAPS` pixels more at each end."""
    t0, t1, t2, t3 = taps
    for c in range(out.size):
        out[c] = (
            t0 * row[c + 3] + t1 * (row[c + 2] + row[c + 4]) + t2 * (row[c + 1] + row[c + 5]) + t3 * (row[c] + row[c + 6])
        )


@nb.njit(fastmath=_FAST, cache=True)
def _blur_down(ring, slots, taps, out):  # type: ignore[no-untyped-def]
    """Blur along the columns: ``slots`` name the seven rows of the ring, in order."""
    t0, t1, t2, t3 = taps
    a, b, c, d, e, f, g = (ring[slots[0]], ring[slots[1]], ring[slots[2]], ring[slots[3]], ring[slots[4]], ring[slots[5]], ring[slots[6]])
    for x in range(out.size):
        out[x] = t0 * d[x] + t1 * (c[x] + e[x]) + t2 * (b[x] + f[x]) + t3 * (a[x] + g[x])


@nb.njit(fastmath=_FAST, cache=True)
def _read_out_row(row, first_pixel, keys, normal, readout, out):  # type: ignore[no-untyped-def]
    """Full well, electronic noise, digital gain, full scale."""
    key0, key1 = keys
    well, noise, gain, full_scale = readout
    for c in range(out.size):
        h = _mix(_mix(_u32(first_pixel + _u32(c)) + key1) ^ _u32(key0 + _u32(0x68E31DA4)))
        z = normal[h >> _u32(20)]
        value = (min(row[c], well) + noise * z) * gain + _f32(0.5)
        out[c] = np.uint16(np.int32(min(max(value, _f32(0.0)), full_scale)))


@nb.njit(cache=True)
def _mean_row(thickness, r, field, table, optics, places, index, along, across, row):  # type: ignore[no-untyped-def]
    """Fill ``row`` (padded) with the mean energy of detector row ``r``; dark outside the field."""
    cells, scales = table
    y2, x2 = places
    r0, r1, c0, c1 = field
    columns = thickness.shape[2]
    row[:] = _f32(0.0)
    if r < r0 or r >= r1 or c1 <= c0:
        return False
    inner = row[HALF_TAPS : HALF_TAPS + columns][c0:c1]
    _cells_row(thickness[0, r, c0:c1], thickness[1, r, c0:c1], scales, index[c0:c1], along[c0:c1], across[c0:c1])
    _energy_row(cells, index[c0:c1], along[c0:c1], across[c0:c1], optics, y2[r], x2[c0:c1], inner)
    return True


@nb.njit(inline="always")
def _pad(row, columns):  # type: ignore[no-untyped-def]
    """Repeat the pixels at the ends, as if light came back from beyond the panel as it leaves."""
    for t in range(HALF_TAPS):
        row[t] = row[HALF_TAPS]
        row[HALF_TAPS + columns + t] = row[HALF_TAPS + columns - 1]


@nb.njit(cache=True)
def _unpack(whole, real):  # type: ignore[no-untyped-def]
    """Name the packed parameters again."""
    field = (whole[0], whole[1], whole[2], whole[3])
    scales = (real[0], real[1], whole[4], whole[5])
    optics = (real[2], real[3], real[4])
    taps = (real[5], real[6], real[7], real[8])
    return field, scales, optics, taps


@nb.njit(cache=True)
def _expose_tile(start, stop, thickness, cells, y2, x2, normal, threshold, alias, whole, real, packed_keys, out):  # type: ignore[no-untyped-def]
    """Expose rows ``start`` to ``stop``; rows the blur needs beyond them are computed again, with the same noise."""
    field, scales, optics, taps = _unpack(whole, real)
    readout = (real[9], real[10], real[11], real[12])
    keys = (packed_keys[0], packed_keys[1])
    c0, c1 = field[2], field[3]
    rows, columns = out.shape
    index = np.empty(columns, np.int32)
    along = np.empty(columns, np.float32)
    across = np.empty(columns, np.float32)
    row = np.empty(columns + 2 * HALF_TAPS, np.float32)
    blurred = np.empty(columns, np.float32)
    ring = np.empty((2 * HALF_TAPS + 1, columns), np.float32)
    slots = np.empty(2 * HALF_TAPS + 1, np.int64)
    for step in range(start - HALF_TAPS, stop + HALF_TAPS):
        r = min(max(step, 0), rows - 1)
        first_open = _u32(r * columns + c0)
        slot = (step + HALF_TAPS) % (2 * HALF_TAPS + 1)
        if _mean_row(thickness, r, field, (cells, scales), optics, (y2, x2), index, along, across, row):
            inner = row[HALF_TAPS : HALF_TAPS + columns][c0:c1]
            few = _noise_row(cells, index[c0:c1], inner, first_open, keys, normal)
            if few > 0:
                _few_quanta_row(cells, index[c0:c1], inner, first_open, keys, normal, threshold, alias)
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
        _read_out_row(blurred, _u32(done * columns), keys, normal, readout, out[done])


@nb.njit(parallel=True, nogil=True, cache=True)
def expose(thickness, cells, y2, x2, normal, threshold, alias, whole, real, keys, out):  # type: ignore[no-untyped-def]
    """Turn thickness maps into pixels; see ``expose.Detector`` for the meaning of the stages.

    ``whole`` int64: field (first row, end row, first column, end column), water cells, bone cells. ``real`` float32: water
    and bone cells per mm, gain, squared depth, obliquity, four taps, full well keV, electronic noise keV, LIN per keV,
    full scale. ``keys`` uint32: of the frame.
    """
    rows = out.shape[0]
    for tile in nb.prange((rows + TILE_ROWS - 1) // TILE_ROWS):
        start = tile * TILE_ROWS
        stop = min(start + TILE_ROWS, rows)
        _expose_tile(start, stop, thickness, cells, y2, x2, normal, threshold, alias, whole, real, keys, out)


@nb.njit(nogil=True, cache=True)
def expect(thickness, cells, y2, x2, whole, real, out):  # type: ignore[no-untyped-def]
    """Give the mean of `expose` without saturation, float32, in the units of the pixels."""
    field, scales, optics, taps = _unpack(whole, real)
    rows, columns = out.shape
    index = np.empty(columns, np.int32)
    along = np.empty(columns, np.float32)
    across = np.empty(columns, np.float32)
    row = np.empty(columns + 2 * HALF_TAPS, np.float32)
    ring = np.empty((2 * HALF_TAPS + 1, columns), np.float32)
    slots = np.empty(2 * HALF_TAPS + 1, np.int64)
    for step in range(-HALF_TAPS, rows + HALF_TAPS):
        r = min(max(step, 0), rows - 1)
        slot = (step + HALF_TAPS) % (2 * HALF_TAPS + 1)
        _mean_row(thickness, r, field, (cells, scales), optics, (y2, x2), index, along, across, row)
        _pad(row, columns)
        _blur_across(row, taps, ring[slot])
        done = step - HALF_TAPS
        if done < 0:
            continue
        for t in range(2 * HALF_TAPS + 1):
            slots[t] = (done + t) % (2 * HALF_TAPS + 1)
        _blur_down(ring, slots, taps, out[done])
        out[done] *= real[11]
