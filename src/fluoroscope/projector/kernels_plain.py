"""The shear-warp Joseph kernel as plain loops: the definition every vector level must equal bit for bit.

Slices are resampled in whole numbers (rows with 15-bit weights, columns with 10-bit weights, sums of 64 slices in 32
bits), so the levels agree exactly whatever order they work in; a weight of 10 bits moves a sample by at most 1/2048 of
a voxel.
"""

import numpy as np
from numba import njit

from fluoroscope.projector.kernels_plan import (
    BLOCK,
    F_A0,
    F_B0,
    F_DA,
    F_DB,
    F_INDEX,
    F_SCALE0,
    F_SI,
    F_SK,
    F_SR,
    F_WORLD,
    J_BOXES,
    J_CHUNK,
    J_CORNERS,
    J_DATA0,
    J_GROUPS,
    J_K,
    J_OCC0,
    J_OFFSET,
    J_R,
    J_ROW0,
    J_ROW1,
    J_ROW_STRIDE,
    J_SLICE_STRIDE,
    J_STRIDE,
    J_TILE,
    J_U,
    J_V,
    JOB_REAL,
    JOB_WHOLE,
    TILE_ROWS,
    span_in_band,
    span_in_row,
)
from fluoroscope.projector.sharing import WITHIN, argument, carray, pointer_to, shared
from fluoroscope.projector.simd import fetch_add, get_i16, get_i32, get_i64

__all__: list[str] = []

RUN = 64
"""Slices summed in 32-bit whole numbers: 32767 · 1024 · 64 < 2³¹."""
KEYS = -0.65
WARP_ROWS = 8


@njit(**WITHIN)
def rows_of_slice(whole, real, tile, k, offsets, weights):  # type: ignore[no-untyped-def]
    """Place a tile's rows in slice ``k``: byte offsets and 15-bit weights; return the first and last filled."""
    step = k - real[F_SK]
    dy = step * real[F_DB]
    y0 = real[F_SR] + step * (real[F_B0] + real[F_DB] * (tile * TILE_ROWS))
    count, box = whole[J_R], whole[J_BOXES] + 16 * k
    first = int(min(max(np.floor((get_i32(box + 8) - 1.0 - y0) / dy) + 1.0, 0.0), TILE_ROWS))
    last = int(min(max(np.ceil((get_i32(box + 12) + 1.0 - y0) / dy), 0.0), TILE_ROWS))
    for v in range(first, last):
        y = y0 + v * dy
        row = int(np.floor(y))
        row = min(max(row, -1), count - 1)
        offsets[v] = 2 * row * whole[J_ROW_STRIDE]
        weights[v] = min(max(int((y - row) * 32768.0 + 0.5), 0), 32767)
    return first, last


@njit(inline="always", **WITHIN)
def columns_of_slice(whole, k):  # type: ignore[no-untyped-def]
    """Return where a block of slope columns that meets anything in slice ``k`` begins: after, and before."""
    box = whole[J_BOXES] + 16 * k
    return get_i32(box) - 32.0, get_i32(box + 4) + 1.0


@njit(**WITHIN)
def occupied(whole, channel, k, top, bottom):  # type: ignore[no-untyped-def]
    """Return the column chunks with anything in them in rows ``top`` to ``bottom`` of slice ``k``, as bits."""
    group = max(top, 0) >> 3
    final = min(bottom, whole[J_R] - 1) >> 3
    at = whole[J_OCC0 + channel] + 8 * (k * whole[J_GROUPS])
    mask = np.int64(0)
    while group <= final:
        mask |= get_i64(at + 8 * group)
        group += 1
    return mask


@njit(**WITHIN)
def flush(acc, stride, target, first_block, last_block, touched):  # type: ignore[no-untyped-def]
    """Add a run's whole-number sums to the slope image and clear them."""
    for block in range(first_block, last_block):
        if touched[block] == 0:
            continue
        for v in range(TILE_ROWS):
            for at in range(v * stride + block * BLOCK, v * stride + block * BLOCK + BLOCK):
                target[at] += np.float32(acc[at])
                acc[at] = 0


@njit(**WITHIN)
def tile_plain(whole, real, tile, channels, floats, acc, window, offsets, weights, image, touched):  # type: ignore[no-untyped-def]
    """Sum all slices into one tile of slope rows, for every channel; ``touched`` blocks may be other than zero."""
    touched[:] = 0
    stride = whole[J_STRIDE]
    start = whole[J_OFFSET] + tile * TILE_ROWS * stride
    for channel in range(channels):
        image[channel * floats + start : channel * floats + start + TILE_ROWS * stride] = 0.0
    low, high = span_in_band(
        real, whole[J_CORNERS], tile * TILE_ROWS - 3.0, tile * TILE_ROWS + TILE_ROWS + 3.0, whole[J_U]
    )
    first_block, last_block = low // BLOCK, (high + BLOCK - 1) // BLOCK
    chunk = np.int64(1) << whole[J_CHUNK]
    for run in range(0, whole[J_K], RUN):
        for k in range(run, min(run + RUN, whole[J_K])):
            first, last = rows_of_slice(whole, real, tile, k, offsets, weights)
            if first >= last:
                continue
            step = k - real[F_SK]
            dx = step * real[F_DA]
            x0 = real[F_SI] + step * real[F_A0]
            after, before = columns_of_slice(whole, k)
            stride_bytes = 2 * whole[J_ROW_STRIDE]
            top, bottom = offsets[first] // stride_bytes, offsets[last - 1] // stride_bytes + 1
            for channel in range(channels):
                if real[F_SCALE0 + channel] == 0.0:
                    continue
                mask = occupied(whole, channel, k, top, bottom)
                if mask == 0:
                    continue
                data = whole[J_DATA0 + channel] + 2 * k * whole[J_SLICE_STRIDE]
                for block in range(first_block, last_block):
                    x = x0 + (block * BLOCK) * dx
                    if x <= after or x >= before:
                        continue
                    base = int(np.floor(x))
                    if (mask >> ((base + chunk) >> whole[J_CHUNK])) & 3 == 0:
                        continue
                    touched[block] = 1
                    fraction = int((x - base) * 1048576.0) + 512
                    pace = int(dx * 1048576.0)
                    for v in range(first, last):
                        here = data + offsets[v] + 2 * base
                        below = here + stride_bytes
                        w = np.int32(weights[v])
                        for i in range(32):
                            upper = np.int32(get_i16(here + 2 * i))
                            lower = np.int32(get_i16(below + 2 * i))
                            window[i] = upper + (((lower - upper) * w + 16384) >> 15)
                        at = (channel * TILE_ROWS + v) * stride + block * BLOCK
                        for lane in range(BLOCK):
                            position = fraction + lane * pace
                            i, part = position >> 20, (position >> 10) & 1023
                            acc[at + lane] += np.int32(window[i] * (1024 - part) + window[i + 1] * part)
        for channel in range(channels):
            if real[F_SCALE0 + channel] == 0.0:
                continue
            part_of = channel * TILE_ROWS * stride
            flush(
                acc[part_of : part_of + TILE_ROWS * stride],
                stride,
                image[channel * floats + start :],
                first_block,
                last_block,
                touched,
            )


@njit(**WITHIN)
def find_job(whole, jobs, tile):  # type: ignore[no-untyped-def]
    """Return the job a tile belongs to."""
    job = 0
    while job + 1 < jobs and tile >= whole[job + 1, J_TILE]:
        job += 1
    return job


@shared()
def slopes_plain(_worker, arguments):  # type: ignore[no-untyped-def]
    """Fill the slope images of all jobs; tiles go to whichever worker is free."""
    jobs, tiles, channels = argument(arguments, 2), argument(arguments, 3), argument(arguments, 4)
    floats, width, counter = argument(arguments, 5), argument(arguments, 8), argument(arguments, 9)
    whole = carray(pointer_to(argument(arguments, 0), np.int64), (jobs, JOB_WHOLE))
    real = carray(pointer_to(argument(arguments, 1), np.float64), (jobs, JOB_REAL))
    image = carray(pointer_to(argument(arguments, 6), np.float32), (argument(arguments, 7),))
    touched = carray(pointer_to(argument(arguments, 10), np.uint8), (tiles, width // BLOCK))
    acc = np.zeros(channels * TILE_ROWS * width, np.int32)
    window = np.empty(32, np.int32)
    offsets, weights = np.empty(TILE_ROWS, np.int64), np.empty(TILE_ROWS, np.int16)
    tile = fetch_add(counter)
    while tile < tiles:
        job = find_job(whole, jobs, tile)
        tile_plain(
            whole[job], real[job], tile - whole[job, J_TILE], channels, floats, acc, window, offsets, weights, image,
            touched[tile],
        )  # fmt: skip
        tile = fetch_add(counter)


@njit(**WITHIN)
def keys_between(x):  # type: ignore[no-untyped-def]
    """Weight of Keys' cubic convolution at distance ``x`` in 0..1 (doi:10.1109/TASSP.1981.1163711)."""
    a = np.float32(KEYS)
    return ((a + np.float32(2.0)) * x - (a + np.float32(3.0))) * x * x + np.float32(1.0)


@njit(**WITHIN)
def keys_beyond(x):  # type: ignore[no-untyped-def]
    """As `keys_between`, at distance ``x`` in 1..2."""
    return (((x - np.float32(5.0)) * x + np.float32(8.0)) * x - np.float32(4.0)) * np.float32(KEYS)


@njit(**WITHIN)
def warp_pixels(whole, real, row, first, last, channels, floats, image, line, width):  # type: ignore[no-untyped-def]
    """Add one job's line integrals to pixels ``first`` to ``last`` of a row (`span_in_row`) held in ``line``."""
    f = np.float32
    r = float(row)
    d = real[F_INDEX : F_INDEX + 9]
    m = real[F_WORLD : F_WORLD + 9]
    di0, dr0, dk0 = d[0] * r + d[2], d[3] * r + d[5], d[6] * r + d[8]
    mx0, my0, mz0 = m[0] * r + m[2], m[3] * r + m[5], m[6] * r + m[8]
    inverse_a, inverse_b = 1.0 / real[F_DA], 1.0 / real[F_DB]
    limit_u, limit_v = whole[J_U] - 3.0, whole[J_V] - 3.0
    stride = whole[J_STRIDE]
    for c in range(first, last):
        di, dr, dk = di0 + d[1] * c, dr0 + d[4] * c, dk0 + d[7] * c
        scale = 1.0 / dk
        u = (di * scale - real[F_A0]) * inverse_a
        v = (dr * scale - real[F_B0]) * inverse_b
        if not (u > 1.0 and v > 1.0 and u < limit_u and v < limit_v):
            continue
        iu, iv = int(u), int(v)
        fu, fv = f(u - iu), f(v - iv)
        mx, my, mz = mx0 + m[1] * c, my0 + m[4] * c, mz0 + m[7] * c
        path = np.sqrt(mx * mx + my * my + mz * mz) * abs(scale)
        u0, u1, u2, u3 = keys_beyond(fu + f(1.0)), keys_between(fu), keys_between(f(1.0) - fu), keys_beyond(f(2.0) - fu)
        v0, v1, v2, v3 = keys_beyond(fv + f(1.0)), keys_between(fv), keys_between(f(1.0) - fv), keys_beyond(f(2.0) - fv)
        for channel in range(channels):
            if real[F_SCALE0 + channel] == 0.0:
                continue
            # Down the four columns first: four sums side by side are one vector to the compiler.
            a = channel * floats + whole[J_OFFSET] + (iv - 1) * stride + iu - 1
            b, e, g = a + stride, a + 2 * stride, a + 3 * stride
            s0 = v0 * image[a] + v1 * image[b] + v2 * image[e] + v3 * image[g]
            s1 = v0 * image[a + 1] + v1 * image[b + 1] + v2 * image[e + 1] + v3 * image[g + 1]
            s2 = v0 * image[a + 2] + v1 * image[b + 2] + v2 * image[e + 2] + v3 * image[g + 2]
            s3 = v0 * image[a + 3] + v1 * image[b + 3] + v2 * image[e + 3] + v3 * image[g + 3]
            total = (u0 * s0 + u1 * s1) + (u2 * s2 + u3 * s3)
            line[channel * width + c] += total * f(path * real[F_SCALE0 + channel])


@njit(**WITHIN)
def add_line(line, width, channel, row, out, columns, fresh):  # type: ignore[no-untyped-def]
    """Write or add one finished row to the picture and clear it."""
    if fresh:
        for c in range(columns):
            out[channel, row, c] = line[channel * width + c]
    else:
        for c in range(columns):
            out[channel, row, c] += line[channel * width + c]
    line[channel * width : channel * width + columns] = 0.0


@shared()
def warp_plain(_worker, arguments):  # type: ignore[no-untyped-def]
    """Warp every slope image onto the detector: the picture (channels, rows, columns) is written, or added to."""
    jobs, channels, floats = argument(arguments, 2), argument(arguments, 3), argument(arguments, 4)
    rows, columns = argument(arguments, 8), argument(arguments, 9)
    fresh, counter = argument(arguments, 10) != 0, argument(arguments, 11)
    whole = carray(pointer_to(argument(arguments, 0), np.int64), (jobs, JOB_WHOLE))
    real = carray(pointer_to(argument(arguments, 1), np.float64), (jobs, JOB_REAL))
    image = carray(pointer_to(argument(arguments, 5), np.float32), (argument(arguments, 6),))
    out = carray(pointer_to(argument(arguments, 7), np.float32), (channels, rows, columns))
    width = columns
    bands = (rows + WARP_ROWS - 1) // WARP_ROWS
    line = np.zeros(channels * width, np.float32)
    band = fetch_add(counter)
    while band < bands:
        for row in range(band * WARP_ROWS, min(band * WARP_ROWS + WARP_ROWS, rows)):
            for job in range(jobs):
                if whole[job, J_ROW0] <= row < whole[job, J_ROW1]:
                    first, last = span_in_row(whole[job], real[job], row)
                    warp_pixels(whole[job], real[job], row, first, last, channels, floats, image, line, width)
            for channel in range(channels):
                add_line(line, width, channel, row, out, columns, fresh)
        band = fetch_add(counter)
