"""The shear-warp Joseph kernel for AVX-512: 32 slope columns at a time, all in registers.

Neighbouring slope columns lie less than a voxel apart, so 32 of them fall within one register of 32 voxels: one load
for each of two voxel rows, their mix by a rounding 16-bit multiply, one permute that brings every column its two
voxels, one multiply-add of pairs. No gathers, no conversion to real numbers before the sum. The numbers equal those of
``kernels_plain`` bit for bit.
"""

import numpy as np
from numba import njit

from fluoroscope.projector import simd
from fluoroscope.projector.kernels_plain import RUN, columns_of_slice, find_job, occupied, rows_of_slice
from fluoroscope.projector.kernels_plan import (
    BLOCK,
    F_A0,
    F_DA,
    F_SCALE0,
    F_SI,
    F_SK,
    J_CHUNK,
    J_CORNERS,
    J_DATA0,
    J_K,
    J_OFFSET,
    J_ROW_STRIDE,
    J_SLICE_STRIDE,
    J_STRIDE,
    J_TILE,
    J_U,
    JOB_REAL,
    JOB_WHOLE,
    TILE_ROWS,
    span_in_band,
)
from fluoroscope.projector.kernels_warp import warp_rows
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
def flush_avx512(acc, target, stride, first_block, last_block, touched):  # type: ignore[no-untyped-def]
    """Add a run's whole-number sums to the slope image and clear them; addresses, strides in bytes."""
    zero = simd.splat_w16(i32(0))
    for block in range(first_block, last_block):
        if touched[block] == 0:
            continue
        for v in range(TILE_ROWS):
            for at in range(v * stride + block * 128, v * stride + block * 128 + 128, 64):
                summed = simd.add(simd.load_f16(target + at), simd.real_from_whole(simd.load_w16(acc + at)))
                simd.store_f16(target + at, summed)
                simd.store_w16(acc + at, zero)


@njit(**WITHIN)
def tile_avx512(whole, real, tile, channels, floats, acc, offsets, weights, image, touched):  # type: ignore[no-untyped-def]
    """Sum all slices into one tile of slope rows, for every channel; ``touched`` blocks may be other than zero."""
    touched[:] = 0
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
            after, before = columns_of_slice(whole, k)
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
                    if x <= after or x >= before:
                        continue
                    if (mask >> ((np.int64(np.floor(x)) + chunk) >> shift)) & 3 == 0:
                        continue
                    touched[block] = 1
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
                touched,
            )


@shared()
def slopes_avx512(_worker, arguments):  # type: ignore[no-untyped-def]
    """Fill the slope images of all jobs; tiles go to whichever worker is free."""
    jobs, tiles, channels = argument(arguments, 2), argument(arguments, 3), argument(arguments, 4)
    floats, width, counter = argument(arguments, 5), argument(arguments, 8), argument(arguments, 9)
    whole = carray(pointer_to(argument(arguments, 0), np.int64), (jobs, JOB_WHOLE))
    real = carray(pointer_to(argument(arguments, 1), np.float64), (jobs, JOB_REAL))
    image = carray(pointer_to(argument(arguments, 6), np.float32), (argument(arguments, 7),))
    touched = carray(pointer_to(argument(arguments, 10), np.uint8), (tiles, width // BLOCK))
    acc = np.zeros(channels * TILE_ROWS * width, np.int32)
    offsets, weights = np.empty(TILE_ROWS, np.int64), np.empty(TILE_ROWS, np.int16)
    tile = fetch_add(counter)
    while tile < tiles:
        job = find_job(whole, jobs, tile)
        tile_avx512(
            whole[job], real[job], tile - whole[job, J_TILE], channels, floats, acc, offsets, weights, image,
            touched[tile],
        )  # fmt: skip
        tile = fetch_add(counter)


@shared()
def warp_avx512(_worker, arguments):  # type: ignore[no-untyped-def]
    """Warp every slope image onto the detector, sixteen pixels at a time."""
    warp_rows(arguments, simd.real_from_whole(simd.lanes_w16()))
