"""The shear-warp Joseph kernel for AVX-512: 32 slope columns at a time, all in registers.

Neighbouring slope columns lie less than a voxel apart, so 32 of them fall within one register of 32 voxels: one load
for each of two voxel rows, their mix by a rounding 16-bit multiply, one permute that brings every column its two
voxels, one multiply-add of pairs. No gathers, no conversion to real numbers before the sum. The numbers equal those of
``kernels_plain`` bit for bit.
"""

import numpy as np
from numba import njit

from fluoroscope.projector import simd
from fluoroscope.projector.kernels_plain import (
    KEYS,
    RUN,
    WARP_ROWS,
    add_line,
    find_job,
    occupied,
    rows_of_slice,
    warp_pixels,
)
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
    F_WORLD,
    J_CHUNK,
    J_COLUMN0,
    J_COLUMN1,
    J_CORNERS,
    J_DATA0,
    J_I,
    J_K,
    J_OFFSET,
    J_ROW0,
    J_ROW1,
    J_ROW_STRIDE,
    J_SHARED,
    J_SLICE_STRIDE,
    J_STRIDE,
    J_TILE,
    J_U,
    J_V,
    JOB_REAL,
    JOB_WHOLE,
    TILE_ROWS,
    span_in_band,
)
from fluoroscope.projector.sharing import WITHIN, argument, carray, pointer_to, shared
from fluoroscope.projector.simd import fetch_add, get_i16, get_i64

__all__: list[str] = []

i16, i32, f32 = np.int16, np.int32, np.float32


@njit(inline="always", **WITHIN)
def block_of_slice(here, stride, x, dx, first, last, offsets, weights, acc, acc_stride, ahead):  # type: ignore[no-untyped-def]
    """Add one slice to 32 slope columns of a tile; every argument that names memory is an address."""
    base = np.int64(np.floor(x))
    fraction = i32((x - base) * 1048576.0) + i32(512)
    pace = i32(dx * 1048576.0)
    lanes = simd.mul(simd.lanes_w16(), simd.splat_w16(pace))
    low = simd.add(lanes, simd.splat_w16(fraction))
    high = simd.add(low, simd.splat_w16(i32(16 * pace)))
    twenty, ten, sixteen = simd.splat_w16(i32(20)), simd.splat_w16(i32(10)), simd.splat_w16(i32(16))
    fine, neighbour, whole = simd.splat_w16(i32(1023)), simd.splat_w16(i32(65536)), simd.splat_w16(i32(1024))
    at = simd.shift_right(low, twenty)
    pick_low = simd.halves_from_words(simd.add(simd.either(at, simd.shift_left(at, sixteen)), neighbour))
    at = simd.shift_right(high, twenty)
    pick_high = simd.halves_from_words(simd.add(simd.either(at, simd.shift_left(at, sixteen)), neighbour))
    part = simd.both(simd.shift_right(low, ten), fine)
    mix_low = simd.halves_from_words(simd.either(simd.shift_left(part, sixteen), simd.sub(whole, part)))
    part = simd.both(simd.shift_right(high, ten), fine)
    mix_high = simd.halves_from_words(simd.either(simd.shift_left(part, sixteen), simd.sub(whole, part)))
    start = here + 2 * base
    for v in range(first, last):
        row = start + get_i64(offsets + 8 * v)
        upper, lower = simd.load_h32(row), simd.load_h32(row + stride)
        simd.prefetch(row + ahead)
        weight = simd.splat_h32(get_i16(weights + 2 * v))
        mixed = simd.add(upper, simd.round_multiply_h32(simd.sub(lower, upper), weight))
        to = acc + v * acc_stride
        left = simd.pair_products_h32(simd.permute_h32(mixed, pick_low), mix_low)
        right = simd.pair_products_h32(simd.permute_h32(mixed, pick_high), mix_high)
        simd.store_w16(to, simd.add(simd.load_w16(to), left))
        simd.store_w16(to + 64, simd.add(simd.load_w16(to + 64), right))


@njit(**WITHIN)
def flush_avx512(acc, target, stride, first_block, last_block):  # type: ignore[no-untyped-def]
    """Add a run's whole-number sums to the slope image and clear them; addresses, strides in bytes."""
    zero = simd.splat_w16(i32(0))
    for v in range(TILE_ROWS):
        for at in range(v * stride + first_block * 128, v * stride + last_block * 128, 64):
            summed = simd.add(simd.load_f16(target + at), simd.real_from_whole(simd.load_w16(acc + at)))
            simd.store_f16(target + at, summed)
            simd.store_w16(acc + at, zero)


@njit(**WITHIN)
def tile_avx512(whole, real, tile, channels, floats, acc, offsets, weights, image):  # type: ignore[no-untyped-def]
    """Sum all slices into one tile of slope rows, for every channel."""
    stride = whole[J_STRIDE]
    start = whole[J_OFFSET] + tile * TILE_ROWS * stride
    for channel in range(channels):
        if real[F_SCALE0 + channel] != 0.0:
            image[channel * floats + start : channel * floats + start + TILE_ROWS * stride] = f32(0.0)
    low_v, high_v = tile * TILE_ROWS - 3.0, tile * TILE_ROWS + TILE_ROWS + 3.0
    low, high = span_in_band(real, whole[J_CORNERS], low_v, high_v, whole[J_U])
    first_block, last_block = low // BLOCK, (high + BLOCK - 1) // BLOCK
    shift = whole[J_CHUNK]
    chunk = np.int64(1) << shift
    stride_bytes, slice_bytes = 2 * whole[J_ROW_STRIDE], 2 * whole[J_SLICE_STRIDE]
    acc_at, image_at = np.int64(acc.ctypes.data), np.int64(image.ctypes.data)
    offsets_at, weights_at = np.int64(offsets.ctypes.data), np.int64(weights.ctypes.data)
    for run in range(0, whole[J_K], RUN):
        for k in range(run, min(run + RUN, whole[J_K])):
            first, last = rows_of_slice(whole, real, tile, k, offsets, weights)
            if first >= last:
                continue
            step = k - real[F_SK]
            dx = step * real[F_DA]
            x0 = real[F_SI] + step * real[F_A0]
            top, bottom = offsets[first] // stride_bytes, offsets[last - 1] // stride_bytes + 1
            for channel in range(channels):
                if real[F_SCALE0 + channel] == 0.0:
                    continue
                mask = occupied(whole, channel, k, top, bottom)
                if mask == 0:
                    continue
                data = whole[J_DATA0 + channel] + k * slice_bytes
                sums = acc_at + channel * TILE_ROWS * stride * 4
                for block in range(first_block, last_block):
                    x = x0 + (block * BLOCK) * dx
                    if x <= -32.0 or x >= whole[J_I]:
                        continue
                    if (mask >> ((np.int64(np.floor(x)) + chunk) >> shift)) & 3 == 0:
                        continue
                    block_of_slice(
                        data, stride_bytes, x, dx, first, last, offsets_at, weights_at,
                        sums + block * 128, stride * 4, slice_bytes,
                    )  # fmt: skip
        for channel in range(channels):
            if real[F_SCALE0 + channel] == 0.0:
                continue
            flush_avx512(
                acc_at + channel * TILE_ROWS * stride * 4,
                image_at + (channel * floats + start) * 4,
                stride * 4,
                first_block,
                last_block,
            )


@shared()
def slopes_avx512(_worker, arguments):  # type: ignore[no-untyped-def]
    """Fill the slope images of all jobs; tiles go to whichever worker is free."""
    jobs, tiles, channels = argument(arguments, 2), argument(arguments, 3), argument(arguments, 4)
    floats, width, counter = argument(arguments, 5), argument(arguments, 8), argument(arguments, 9)
    whole = carray(pointer_to(argument(arguments, 0), np.int64), (jobs, JOB_WHOLE))
    real = carray(pointer_to(argument(arguments, 1), np.float64), (jobs, JOB_REAL))
    image = carray(pointer_to(argument(arguments, 6), np.float32), (argument(arguments, 7),))
    acc = np.zeros(channels * TILE_ROWS * width, np.int32)
    offsets, weights = np.empty(TILE_ROWS, np.int64), np.empty(TILE_ROWS, np.int16)
    tile = fetch_add(counter)
    while tile < tiles:
        job = find_job(whole, jobs, tile)
        tile_avx512(whole[job], real[job], tile - whole[job, J_TILE], channels, floats, acc, offsets, weights, image)
        tile = fetch_add(counter)


@njit(inline="always", **WITHIN)
def keys_between(x):  # type: ignore[no-untyped-def]
    """Keys' weight at distances ``x`` in 0..1, sixteen at a time."""
    a = f32(KEYS)
    inner = simd.fma_f16(simd.splat_f16(a + f32(2.0)), x, simd.splat_f16(-(a + f32(3.0))))
    return simd.fma_f16(simd.mul(inner, x), x, simd.splat_f16(f32(1.0)))


@njit(inline="always", **WITHIN)
def keys_beyond(x):  # type: ignore[no-untyped-def]
    """Keys' weight at distances ``x`` in 1..2, sixteen at a time."""
    a = f32(KEYS)
    inner = simd.fma_f16(simd.splat_f16(a), x, simd.splat_f16(f32(-5.0) * a))
    inner = simd.fma_f16(inner, x, simd.splat_f16(f32(8.0) * a))
    return simd.fma_f16(inner, x, simd.splat_f16(f32(-4.0) * a))


@njit(inline="always", **WITHIN)
def across(at, stride, low, pick, w0, w1, w2, w3):  # type: ignore[no-untyped-def]
    """Four-tap mix along a slope row of 32 values at the address ``at``."""
    one = simd.splat_w16(i32(1))
    first, second = simd.load_f16(at), simd.load_f16(at + 64)
    total = simd.mul(w0, simd.permute_two_f16(first, pick, second))
    pick = simd.add(pick, one)
    total = simd.fma_f16(w1, simd.permute_two_f16(first, pick, second), total)
    pick = simd.add(pick, one)
    total = simd.fma_f16(w2, simd.permute_two_f16(first, pick, second), total)
    pick = simd.add(pick, one)
    return simd.fma_f16(w3, simd.permute_two_f16(first, pick, second), total)


@njit(**WITHIN)
def warp_row_avx512(whole, real, row, channels, floats, image_at, line_at, width, line, image):  # type: ignore[no-untyped-def]
    """Add one job's line integrals to a row of pixels, sixteen at a time; the job sees every pixel by one face."""
    d, m = real[F_INDEX : F_INDEX + 9], real[F_WORLD : F_WORLD + 9]
    one, lanes = simd.splat_f16(f32(1.0)), simd.real_from_whole(simd.lanes_w16())
    inverse_a, inverse_b = 1.0 / real[F_DA], 1.0 / real[F_DB]
    u_row = (d[0] * row + d[2] - real[F_A0] * (d[6] * row + d[8])) * inverse_a
    u_step = (d[1] - real[F_A0] * d[7]) * inverse_a
    v_row = (d[3] * row + d[5] - real[F_B0] * (d[6] * row + d[8])) * inverse_b
    v_step = (d[4] - real[F_B0] * d[7]) * inverse_b
    k_row = d[6] * row + d[8]
    stride, offset = whole[J_STRIDE] * 4, whole[J_OFFSET] * 4
    limit_u, limit_v = simd.splat_f16(f32(whole[J_U] - 3)), simd.splat_f16(f32(whole[J_V] - 3))
    first = whole[J_COLUMN0] // 16 * 16
    nothing = simd.splat_f16(f32(0.0))
    for c in range(first, whole[J_COLUMN1], 16):
        # Lanes past the last pixel repeat it: beyond the detector a ray may run backwards.
        ramp = simd.min_f16(lanes, simd.splat_f16(f32(whole[J_COLUMN1] - 1 - c)))
        depth = simd.fma_f16(ramp, simd.splat_f16(f32(d[7])), simd.splat_f16(f32(k_row + d[7] * c)))
        scale = simd.div(one, depth)
        u = simd.fma_f16(ramp, simd.splat_f16(f32(u_step)), simd.splat_f16(f32(u_row + u_step * c)))
        v = simd.fma_f16(ramp, simd.splat_f16(f32(v_step)), simd.splat_f16(f32(v_row + v_step * c)))
        u, v = simd.mul(u, scale), simd.mul(v, scale)
        path = nothing
        for j in range(0, 9, 3):
            part = simd.fma_f16(
                ramp, simd.splat_f16(f32(m[j + 1])), simd.splat_f16(f32(m[j] * row + m[j + 1] * c + m[j + 2]))
            )
            path = simd.fma_f16(part, part, path)
        path = simd.mul(simd.sqrt_f16(path), simd.max_f16(scale, simd.sub(nothing, scale)))
        path = simd.select_between(u, one, limit_u, path, nothing)
        path = simd.select_between(v, one, limit_v, path, nothing)
        u = simd.max_f16(one, simd.min_f16(u, limit_u))
        v = simd.max_f16(one, simd.min_f16(v, limit_v))
        u_floor, v_floor = simd.floor_f16(u), simd.floor_f16(v)
        u_low = np.int64(min(simd.lane(u_floor, 0), simd.lane(u_floor, 15))) - 1
        u_high = np.int64(max(simd.lane(u_floor, 0), simd.lane(u_floor, 15))) + 2
        v_low = np.int64(min(simd.lane(v_floor, 0), simd.lane(v_floor, 15))) - 1
        v_high = np.int64(max(simd.lane(v_floor, 0), simd.lane(v_floor, 15))) + 2
        if u_high - u_low > 31:
            stop = min(c + 16, whole[J_COLUMN1])
            warp_pixels(whole, real, row, c, stop, channels, floats, image, line, width)
            continue
        x = simd.sub(u, u_floor)
        rest = simd.sub(one, x)
        w0, w1 = keys_beyond(simd.add(x, one)), keys_between(x)
        w2, w3 = keys_between(rest), keys_beyond(simd.add(rest, one))
        pick = simd.whole_from_real(simd.sub(u_floor, simd.splat_f16(f32(u_low + 1))))
        for channel in range(channels):
            if real[F_SCALE0 + channel] == 0.0:
                continue
            at = image_at + channel * floats * 4 + offset + v_low * stride + u_low * 4
            total = nothing
            for t in range(v_low, v_high + 1):
                y = simd.sub(v, simd.splat_f16(f32(t)))
                y = simd.max_f16(y, simd.sub(nothing, y))
                weight = simd.select_between(y, one, simd.splat_f16(f32(2.0)), keys_beyond(y), nothing)
                weight = simd.select_between(y, nothing, one, keys_between(y), weight)
                total = simd.fma_f16(weight, across(at, stride, u_low, pick, w0, w1, w2, w3), total)
                at += stride
            gain = simd.mul(path, simd.splat_f16(f32(real[F_SCALE0 + channel])))
            to = line_at + (channel * width + c) * 4
            simd.store_f16(to, simd.fma_f16(total, gain, simd.load_f16(to)))


@shared()
def warp_avx512(_worker, arguments):  # type: ignore[no-untyped-def]
    """Warp every slope image onto the detector: the picture (channels, rows, columns) is written, or added to."""
    jobs, channels, floats = argument(arguments, 2), argument(arguments, 3), argument(arguments, 4)
    rows, columns = argument(arguments, 8), argument(arguments, 9)
    fresh, counter = argument(arguments, 10) != 0, argument(arguments, 11)
    whole = carray(pointer_to(argument(arguments, 0), np.int64), (jobs, JOB_WHOLE))
    real = carray(pointer_to(argument(arguments, 1), np.float64), (jobs, JOB_REAL))
    image = carray(pointer_to(argument(arguments, 5), np.float32), (argument(arguments, 6),))
    out = carray(pointer_to(argument(arguments, 7), np.float32), (channels, rows, columns))
    width = (columns + 15) // 16 * 16
    bands = (rows + WARP_ROWS - 1) // WARP_ROWS
    line = np.zeros(channels * width, np.float32)
    line_at, image_at = np.int64(line.ctypes.data), np.int64(image.ctypes.data)
    band = fetch_add(counter)
    while band < bands:
        for row in range(band * WARP_ROWS, min(band * WARP_ROWS + WARP_ROWS, rows)):
            for job in range(jobs):
                if whole[job, J_ROW0] <= row < whole[job, J_ROW1]:
                    if whole[job, J_SHARED] != 0:
                        warp_pixels(
                            whole[job], real[job], row, whole[job, J_COLUMN0], whole[job, J_COLUMN1],
                            channels, floats, image, line, width,
                        )  # fmt: skip
                    else:
                        warp_row_avx512(
                            whole[job], real[job], row, channels, floats, image_at, line_at, width, line, image
                        )
            for channel in range(channels):
                add_line(line, width, channel, row, out, columns, fresh)
        band = fetch_add(counter)
