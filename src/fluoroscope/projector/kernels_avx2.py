"""The shear-warp Joseph kernel for AVX2: as ``kernels_avx512``, with eight slope columns in two halves of four.

AVX2 permutes 16-bit numbers only within halves of a register, so each half loads its own eight voxels. The numbers
equal those of ``kernels_plain`` bit for bit.
"""

import numpy as np
from numba import njit

from fluoroscope.projector import simd
from fluoroscope.projector.kernels_plain import RUN, columns_of_slice, find_job, flush, occupied, rows_of_slice
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

i32 = np.int32


@njit(inline="always", **WITHIN)
def eight_of_slice(here, stride, fraction, pace, first, last, offsets, weights, acc, acc_stride, ahead):  # type: ignore[no-untyped-def]
    """Add one slice to eight slope columns of a tile, starting ``fraction`` / 2²⁰ voxels right of ``here``."""
    position = simd.add(simd.mul(simd.lanes_w8(), simd.splat_w8(pace)), simd.splat_w8(fraction))
    left, right = fraction >> i32(20), (fraction + i32(4) * pace) >> i32(20)
    upper_half = simd.shift_right(simd.lanes_w8(), simd.splat_w8(i32(2)))
    starts = simd.add(simd.splat_w8(left), simd.mul(upper_half, simd.splat_w8(right - left)))
    pattern = simd.shuffle_pattern(simd.sub(simd.shift_right(position, simd.splat_w8(i32(20))), starts))
    part = simd.both(simd.shift_right(position, simd.splat_w8(i32(10))), simd.splat_w8(i32(1023)))
    rest = simd.sub(simd.splat_w8(i32(1024)), part)
    mix = simd.bitcast_h16(simd.either(simd.shift_left(part, simd.splat_w8(i32(16))), rest))
    low, high = here + 2 * np.int64(left), here + 2 * np.int64(right)
    for v in range(first, last):
        row = get_i64(offsets + 8 * v)
        upper = simd.join_halves(low + row, high + row)
        lower = simd.join_halves(low + row + stride, high + row + stride)
        simd.prefetch(low + row + ahead)
        weight = simd.splat_h16(get_i16(weights + 2 * v))
        mixed = simd.add(upper, simd.round_multiply_h16(simd.sub(lower, upper), weight))
        pairs = simd.halves_from_bytes(simd.shuffle_b32(simd.bytes_from_halves(mixed), pattern))
        to = acc + v * acc_stride
        simd.store_w8(to, simd.add(simd.load_w8(to), simd.pair_products_h16(pairs, mix)))


@njit(**WITHIN)
def tile_avx2(whole, real, tile, channels, floats, acc, offsets, weights, image, touched):  # type: ignore[no-untyped-def]
    """Sum all slices into one tile of slope rows, for every channel; ``touched`` blocks may be other than zero."""
    touched[:] = 0
    stride = whole[J_STRIDE]
    start = whole[J_OFFSET] + tile * TILE_ROWS * stride
    for channel in range(channels):
        if real[F_SCALE0 + channel] != 0.0:
            image[channel * floats + start : channel * floats + start + TILE_ROWS * stride] = np.float32(0.0)
    low_v, high_v = tile * TILE_ROWS - 3.0, tile * TILE_ROWS + TILE_ROWS + 3.0
    low, high = span_in_band(real, whole[J_CORNERS], low_v, high_v, whole[J_U])
    first_block, last_block = low // BLOCK, (high + BLOCK - 1) // BLOCK
    shift = whole[J_CHUNK]
    chunk = np.int64(1) << shift
    stride_bytes, slice_bytes = 2 * whole[J_ROW_STRIDE], 2 * whole[J_SLICE_STRIDE]
    acc_at = np.int64(acc.ctypes.data)
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
                    base = np.int64(np.floor(x))
                    if (mask >> ((base + chunk) >> shift)) & 3 == 0:
                        continue
                    touched[block] = 1
                    fraction, pace = i32((x - base) * 1048576.0) + i32(512), i32(dx * 1048576.0)
                    for eight in range(4):
                        eight_of_slice(
                            data + 2 * base, stride_bytes, i32(fraction + i32(8 * eight) * pace), pace, first, last,
                            offsets_at, weights_at, sums + block * 128 + eight * 32, stride * 4, slice_bytes,
                        )  # fmt: skip
        for channel in range(channels):
            if real[F_SCALE0 + channel] == 0.0:
                continue
            part = channel * TILE_ROWS * stride
            flush(
                acc[part : part + TILE_ROWS * stride],
                stride,
                image[channel * floats + start :],
                first_block,
                last_block,
                touched,
            )


@shared()
def slopes_avx2(_worker, arguments):  # type: ignore[no-untyped-def]
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
        tile_avx2(
            whole[job], real[job], tile - whole[job, J_TILE], channels, floats, acc, offsets, weights, image,
            touched[tile],
        )  # fmt: skip
        tile = fetch_add(counter)


@shared()
def warp_avx2(_worker, arguments):  # type: ignore[no-untyped-def]
    """Warp every slope image onto the detector, eight pixels at a time."""
    warp_rows(arguments, simd.eight_real_from_whole(simd.lanes_w8()))
