"""The warp of slope images onto the detector for vector processors: as many pixels at a time as a register holds.

The type of the vector handed in, eight or sixteen real numbers, decides what is compiled; the numbers equal those of
``kernels_plain`` to rounding.
"""

import numpy as np
from numba import njit

from fluoroscope.projector import simd
from fluoroscope.projector.kernels_plain import KEYS, WARP_ROWS, add_line, warp_pixels
from fluoroscope.projector.kernels_plan import (
    BLOCK,
    F_A0,
    F_B0,
    F_DA,
    F_DB,
    F_INDEX,
    F_SCALE0,
    F_SCALE1,
    F_WORLD,
    J_OFFSET,
    J_ROW0,
    J_ROW1,
    J_STRIDE,
    J_TILE,
    J_TILES,
    J_U,
    J_V,
    JOB_REAL,
    JOB_WHOLE,
    TILE_ROWS,
    span_in_row,
)
from fluoroscope.projector.sharing import WITHIN, argument, carray, pointer_to
from fluoroscope.projector.simd import fetch_add

__all__: list[str] = []

i32, f32 = np.int32, np.float32
LINE_END = 16
"""Room behind the last pixel of a line: the last store may reach beyond it."""


@njit(inline="always", **WITHIN)
def keys_between(x):  # type: ignore[no-untyped-def]
    """Keys' weight at distances ``x`` in 0..1, as many as ``x`` has lanes."""
    a = f32(KEYS)
    inner = simd.multiply_add(simd.splat_like(x, a + f32(2.0)), x, simd.splat_like(x, -(a + f32(3.0))))
    return simd.multiply_add(simd.mul(inner, x), x, simd.splat_like(x, f32(1.0)))


@njit(inline="always", **WITHIN)
def keys_beyond(x):  # type: ignore[no-untyped-def]
    """Keys' weight at distances ``x`` in 1..2, as many as ``x`` has lanes."""
    a = f32(KEYS)
    inner = simd.multiply_add(simd.splat_like(x, a), x, simd.splat_like(x, f32(-5.0) * a))
    inner = simd.multiply_add(inner, x, simd.splat_like(x, f32(8.0) * a))
    return simd.multiply_add(inner, x, simd.splat_like(x, f32(-4.0) * a))


@njit(inline="always", **WITHIN)
def across(at, pick, w0, w1, w2, w3):  # type: ignore[no-untyped-def]
    """Four-tap mix along a slope row of two registers at the address ``at``."""
    one = simd.splat_like(pick, i32(1))
    first, second = simd.load_like(w0, at), simd.load_like(w0, at + 4 * simd.count_lanes(w0))
    total = simd.mul(w0, simd.permute_two(first, pick, second))
    pick = simd.add(pick, one)
    total = simd.multiply_add(w1, simd.permute_two(first, pick, second), total)
    pick = simd.add(pick, one)
    total = simd.multiply_add(w2, simd.permute_two(first, pick, second), total)
    pick = simd.add(pick, one)
    return simd.multiply_add(w3, simd.permute_two(first, pick, second), total)


@njit(inline="always", **WITHIN)
def nothing_there(touched, u_low, u_high, v_low, v_high):  # type: ignore[no-untyped-def]
    """Whether no slice has anything in these slopes."""
    for tile in range(v_low // TILE_ROWS, v_high // TILE_ROWS + 1):
        for block in range(u_low // BLOCK, u_high // BLOCK + 1):
            if touched[tile, block] != 0:
                return False
    return True


@njit(**WITHIN)
def warp_row(whole, real, row, channels, floats, image_at, line_at, width, line, image, touched, lanes):  # type: ignore[no-untyped-def]
    """Add one job's line integrals to a row of pixels."""
    first, last = span_in_row(whole, real, row)
    if first >= last:
        return
    d, m = real[F_INDEX : F_INDEX + 9], real[F_WORLD : F_WORLD + 9]
    count = simd.count_lanes(lanes)
    one, nothing = simd.splat_like(lanes, f32(1.0)), simd.splat_like(lanes, f32(0.0))
    two = simd.splat_like(lanes, f32(2.0))
    inverse_a, inverse_b = 1.0 / real[F_DA], 1.0 / real[F_DB]
    u_row = (d[0] * row + d[2] - real[F_A0] * (d[6] * row + d[8])) * inverse_a
    u_step = (d[1] - real[F_A0] * d[7]) * inverse_a
    v_row = (d[3] * row + d[5] - real[F_B0] * (d[6] * row + d[8])) * inverse_b
    v_step = (d[4] - real[F_B0] * d[7]) * inverse_b
    k_row = d[6] * row + d[8]
    stride, offset = whole[J_STRIDE] * 4, whole[J_OFFSET] * 4
    has_first, has_second = real[F_SCALE0] != 0.0, channels == 2 and real[F_SCALE1] != 0.0
    limit_u, limit_v = simd.splat_like(lanes, f32(whole[J_U] - 3)), simd.splat_like(lanes, f32(whole[J_V] - 3))
    for c in range(first, last, count):
        # Lanes past the last pixel repeat it: beyond the detector a ray may run backwards.
        ramp = simd.least_of(lanes, simd.splat_like(lanes, f32(last - 1 - c)))
        depth = simd.multiply_add(
            ramp, simd.splat_like(lanes, f32(d[7])), simd.splat_like(lanes, f32(k_row + d[7] * c))
        )
        scale = simd.div(one, depth)
        u = simd.multiply_add(
            ramp, simd.splat_like(lanes, f32(u_step)), simd.splat_like(lanes, f32(u_row + u_step * c))
        )
        v = simd.multiply_add(
            ramp, simd.splat_like(lanes, f32(v_step)), simd.splat_like(lanes, f32(v_row + v_step * c))
        )
        u, v = simd.mul(u, scale), simd.mul(v, scale)
        path = nothing
        for j in range(0, 9, 3):
            part = simd.multiply_add(
                ramp,
                simd.splat_like(lanes, f32(m[j + 1])),
                simd.splat_like(lanes, f32(m[j] * row + m[j + 1] * c + m[j + 2])),
            )
            path = simd.multiply_add(part, part, path)
        path = simd.mul(simd.square_root(path), simd.greatest_of(scale, simd.sub(nothing, scale)))
        path = simd.select_between(u, one, limit_u, path, nothing)
        path = simd.select_between(v, one, limit_v, path, nothing)
        path = simd.select_between(lanes, nothing, simd.splat_like(lanes, f32(last - c)), path, nothing)
        u = simd.greatest_of(one, simd.least_of(u, limit_u))
        v = simd.greatest_of(one, simd.least_of(v, limit_v))
        u_floor, v_floor = simd.floor(u), simd.floor(v)
        u_low = np.int64(min(simd.lane(u_floor, 0), simd.lane(u_floor, count - 1))) - 1
        u_high = np.int64(max(simd.lane(u_floor, 0), simd.lane(u_floor, count - 1))) + 2
        v_low = np.int64(min(simd.lane(v_floor, 0), simd.lane(v_floor, count - 1))) - 1
        v_high = np.int64(max(simd.lane(v_floor, 0), simd.lane(v_floor, count - 1))) + 2
        if u_high - u_low > 2 * count - 1:
            warp_pixels(whole, real, row, c, min(c + count, last), channels, floats, image, line, width)
            continue
        if nothing_there(touched, u_low, u_high, v_low, v_high):
            continue
        x = simd.sub(u, u_floor)
        rest = simd.sub(one, x)
        w0, w1 = keys_beyond(simd.add(x, one)), keys_between(x)
        w2, w3 = keys_between(rest), keys_beyond(simd.add(rest, one))
        pick = simd.whole_from_real(simd.sub(u_floor, simd.splat_like(lanes, f32(u_low + 1))))
        at = image_at + offset + v_low * stride + u_low * 4
        water, bone = nothing, nothing
        for t in range(v_low, v_high + 1):
            y = simd.sub(v, simd.splat_like(lanes, f32(t)))
            y = simd.greatest_of(y, simd.sub(nothing, y))
            weight = simd.select_between(y, one, two, keys_beyond(y), nothing)
            weight = simd.select_between(y, nothing, one, keys_between(y), weight)
            if has_first:
                water = simd.multiply_add(weight, across(at, pick, w0, w1, w2, w3), water)
            if has_second:
                bone = simd.multiply_add(weight, across(at + floats * 4, pick, w0, w1, w2, w3), bone)
            at += stride
        to = line_at + c * 4
        if has_first:
            gain = simd.mul(path, simd.splat_like(lanes, f32(real[F_SCALE0])))
            simd.store(to, simd.multiply_add(water, gain, simd.load_like(lanes, to)))
        if has_second:
            to += width * 4
            gain = simd.mul(path, simd.splat_like(lanes, f32(real[F_SCALE1])))
            simd.store(to, simd.multiply_add(bone, gain, simd.load_like(lanes, to)))


@njit(**WITHIN)
def warp_rows(arguments, lanes):  # type: ignore[no-untyped-def]
    """Warp every slope image onto the detector: the picture (channels, rows, columns) is written, or added to."""
    jobs, channels, floats = argument(arguments, 2), argument(arguments, 3), argument(arguments, 4)
    rows, columns = argument(arguments, 8), argument(arguments, 9)
    fresh, counter = argument(arguments, 10) != 0, argument(arguments, 11)
    whole = carray(pointer_to(argument(arguments, 0), np.int64), (jobs, JOB_WHOLE))
    real = carray(pointer_to(argument(arguments, 1), np.float64), (jobs, JOB_REAL))
    image = carray(pointer_to(argument(arguments, 5), np.float32), (argument(arguments, 6),))
    out = carray(pointer_to(argument(arguments, 7), np.float32), (channels, rows, columns))
    touched = carray(pointer_to(argument(arguments, 12), np.uint8), (argument(arguments, 13), argument(arguments, 14)))
    width = columns + LINE_END
    bands = (rows + WARP_ROWS - 1) // WARP_ROWS
    line = np.zeros(channels * width, np.float32)
    line_at, image_at = np.int64(line.ctypes.data), np.int64(image.ctypes.data)
    band = fetch_add(counter)
    while band < bands:
        for row in range(band * WARP_ROWS, min(band * WARP_ROWS + WARP_ROWS, rows)):
            for job in range(jobs):
                if whole[job, J_ROW0] <= row < whole[job, J_ROW1]:
                    tile = whole[job, J_TILE]
                    warp_row(
                        whole[job], real[job], row, channels, floats, image_at, line_at, width, line, image,
                        touched[tile : tile + whole[job, J_TILES]], lanes,
                    )  # fmt: skip
            for channel in range(channels):
                add_line(line, width, channel, row, out, columns, fresh)
        band = fetch_add(counter)
