"""From a geometry and some voxel bodies to a list of jobs: which slices, which slopes, which tiles, which pixels.

One job is one body seen through one face of its dominant-axis cube. A ray belongs to the face its direction, in voxel
indices, points through (Joseph 1982, doi:10.1109/TMI.1982.4307572, chooses the same way), so in every job the slopes
(a, b) = d(column, row)/d(slice) stay within ±1 and no ray is sampled with steps that skip voxels.
"""

import numpy as np
from numba import njit

from fluoroscope.projector.sharing import DOOR, WITHIN
from fluoroscope.projector.simd import get_i32

__all__: list[str] = []

TILE_ROWS = 16
BLOCK = 32
MARGIN = 4

(
    B_DATA0, B_DATA1, B_OCC0, B_OCC1, B_BOXES, B_ROW_STRIDE, B_SLICE_STRIDE, B_K, B_R, B_I, B_CHUNK, B_GROUPS,
    B_CROP_K, B_CROP_R, B_CROP_I,
) = range(15)  # fmt: skip
BODY_FIELDS = 15
"""Per body and dominant axis: where the copy lies (0: not made yet) and its shape, in int64."""

(
    J_BODY, J_AXIS, J_DATA0, J_DATA1, J_OCC0, J_OCC1, J_ROW_STRIDE, J_SLICE_STRIDE, J_K, J_R, J_BOXES, J_CHUNK,
    J_GROUPS, J_U, J_V, J_STRIDE, J_OFFSET, J_TILE, J_TILES, J_ROW0, J_ROW1, J_COLUMN0, J_COLUMN1, J_SHARED, J_CORNERS,
) = range(25)  # fmt: skip
JOB_WHOLE = 25
(F_SI, F_SR, F_SK, F_A0, F_DA, F_B0, F_DB) = range(7)
F_INDEX, F_WORLD, F_SCALE0, F_SCALE1, F_CORNERS = 7, 16, 25, 26, 27
MAX_CORNERS = 12
JOB_REAL = F_CORNERS + 2 * MAX_CORNERS

FITS, NEEDS_COPY, NEEDS_MARCH = 0, 1, 8
"""Status of a body: 0, bits 1, 2, 4 for a missing copy along axis 0, 1, 2, or 8: only the general march is right."""


@njit(**WITHIN)
def invert3(m, out):  # type: ignore[no-untyped-def]
    """Write the inverse of a 3 × 3 matrix to ``out`` and return the determinant."""
    for i in range(3):
        for j in range(3):
            i1, i2, j1, j2 = (i + 1) % 3, (i + 2) % 3, (j + 1) % 3, (j + 2) % 3
            out[j, i] = m[i1, j1] * m[i2, j2] - m[i1, j2] * m[i2, j1]
    determinant = m[0, 0] * out[0, 0] + m[0, 1] * out[1, 0] + m[0, 2] * out[2, 0]
    for i in range(3):
        for j in range(3):
            out[i, j] /= determinant
    return determinant


@njit(**WITHIN)
def clip_plane(points, count, other, sign, out):  # type: ignore[no-untyped-def]
    """Keep the part of a cone of directions (i, r, k) where ``k + sign · other ≥ 0``; return its corner count."""
    kept = 0
    for n in range(count):
        m = (n + 1) % count
        here = points[n, 2] + sign * points[n, other]
        there = points[m, 2] + sign * points[m, other]
        if here >= 0.0 and kept < MAX_CORNERS:
            for j in range(3):
                out[kept, j] = points[n, j]
            kept += 1
        if (here >= 0.0) != (there >= 0.0) and kept < MAX_CORNERS:
            t = here / (here - there)
            for j in range(3):
                out[kept, j] = points[n, j] + t * (points[m, j] - points[n, j])
            kept += 1
    return kept


@njit(**WITHIN)
def face_polygon(index_from_pixel, axes, sign, rows, columns, work):  # type: ignore[no-untyped-def]
    """Clip the detector's corner rays to one face; corners as directions (i, r, |k|) in ``work[0]``.

    Returns the corner count (0: the face sees no pixel) and whether anything was cut off.
    """
    last_row, last_column = rows - 1.0, columns - 1.0
    shared = False
    for n in range(4):
        r = last_row if n >= 2 else 0.0
        c = last_column if n in (1, 2) else 0.0
        for j in range(3):
            m = axes[j]
            work[0, n, j] = index_from_pixel[m, 0] * r + index_from_pixel[m, 1] * c + index_from_pixel[m, 2]
        work[0, n, 2] *= sign
        shared = shared or work[0, n, 2] < max(abs(work[0, n, 0]), abs(work[0, n, 1])) * (1.0 + 1e-6)
    if not shared:
        return 4, False
    count = 4
    for plane in range(4):
        here, there = plane % 2, 1 - plane % 2
        count = clip_plane(work[here], count, plane // 2, 1.0 if plane % 2 else -1.0, work[there])
        if count == 0:
            return 0, True
    return count, True


@njit(**WITHIN)
def within_beam(real, axes_depth, boxes, slices, sign, low, high, far_mm):  # type: ignore[no-untyped-def]
    """Whether every filled voxel inside the slope window lies between source and detector, slice by slice."""
    for k in range(slices):
        at = boxes + 16 * k
        first_i, last_i = get_i32(at), get_i32(at + 4)
        first_r, last_r = get_i32(at + 8), get_i32(at + 12)
        if last_i < first_i:
            continue
        step = k - real[F_SK]
        a1, a2 = (first_i - 1 - real[F_SI]) / step, (last_i + 1 - real[F_SI]) / step
        b1, b2 = (first_r - 1 - real[F_SR]) / step, (last_r + 1 - real[F_SR]) / step
        a_low, a_high = max(low[0], min(a1, a2)), min(high[0], max(a1, a2))
        b_low, b_high = max(low[1], min(b1, b2)), min(high[1], max(b1, b2))
        if a_low > a_high or b_low > b_high:
            continue
        for n in range(4):
            a = a_high if n % 2 else a_low
            b = b_high if n // 2 else b_low
            slope = axes_depth[0] * a + axes_depth[1] * b + axes_depth[2]
            if (step + sign) * slope >= far_mm or (step - sign) * slope <= 0.0:
                return False
    return True


@njit(**WITHIN)
def pixel_rectangle(pixel_from_index, shape, rows, columns, out):  # type: ignore[no-untyped-def]
    """Write the first and one-past-last row and column a box of voxels can touch."""
    low_r, high_r, low_c, high_c = 1e30, -1e30, 1e30, -1e30
    for n in range(8):
        x = shape[0] if n & 1 else -1.0
        y = shape[1] if n & 2 else -1.0
        z = shape[2] if n & 4 else -1.0
        m = pixel_from_index
        row = m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3]
        column = m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3]
        depth = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3]
        if depth <= 1e-6:
            out[0], out[1], out[2], out[3] = 0, rows, 0, columns
            return
        low_r, high_r = min(low_r, row / depth), max(high_r, row / depth)
        low_c, high_c = min(low_c, column / depth), max(high_c, column / depth)
    out[0] = int(min(max(np.floor(low_r), 0.0), rows))
    out[1] = int(min(max(np.ceil(high_r) + 1.0, 0.0), rows))
    out[2] = int(min(max(np.floor(low_c), 0.0), columns))
    out[3] = int(min(max(np.ceil(high_c) + 1.0, 0.0), columns))


@njit(**WITHIN)
def place_grid(real, count, sign, corners, slices, shape_ir, pitch, low, high):  # type: ignore[no-untyped-def]
    """Lay the grid of slopes over what both the detector and the body cover; return (U, V) samples, 0 if nothing."""
    near, far = -1.0 - real[F_SK], slices - real[F_SK]
    farthest = slices - 1.0 - real[F_SK] if sign > 0 else real[F_SK]
    sizes = np.empty(2, np.int64)
    for j in range(2):
        start = real[F_SI + j]
        e1, e2 = (-1.0 - start) / near, (-1.0 - start) / far
        e3, e4 = (shape_ir[j] - start) / near, (shape_ir[j] - start) / far
        least, most = corners[0, j], corners[0, j]
        for n in range(1, count):
            least, most = min(least, corners[n, j]), max(most, corners[n, j])
        low[j] = max(least, min(min(e1, e2), min(e3, e4)))
        high[j] = min(most, max(max(e1, e2), max(e3, e4)))
        if low[j] > high[j]:
            return 0, 0
        step = pitch / farthest
        # On multiples of the step: the same samples whatever pixels look at them.
        first, last = np.floor(low[j] / step), np.ceil(high[j] / step)
        sizes[j] = int(last - first) + 2 * MARGIN + 1
        real[F_A0 + 2 * j] = ((first - MARGIN) if sign > 0 else (last + MARGIN)) * step
        real[F_DA + 2 * j] = step * sign
    return sizes[0], sizes[1]


@njit(**DOOR)
def make_jobs(geometry, far_mm, size, pitch, affines, scales, bodies, whole, real, status):  # type: ignore[no-untyped-def]
    """Fill the job tables; return (jobs, tiles, floats of workspace per channel).

    Parameters
    ----------
    geometry
        (3, 4) pixel_from_world.
    far_mm
        Depth of the detector plane, mm.
    size
        (rows, columns).
    pitch
        Grid of slopes at the farthest slice, voxels.
    affines
        (n, 4, 4) world_from_index of the bodies.
    scales
        (n, 2) value per unit of each channel.
    bodies
        (n, 3, BODY_FIELDS) int64.
    whole, real
        Job tables to fill, with room for 6 jobs a body.
    status
        (n,) int64 to fill: FITS, bits of missing copies, or NEEDS_MARCH.
    """
    work = np.empty((2, MAX_CORNERS, 3))
    direction, index_axes = np.empty((3, 3)), np.empty((3, 3))
    invert3(geometry, direction)
    source, origin = np.empty(3), np.empty(3)
    index_from_pixel, pixel_from_index = np.empty((3, 3)), np.empty((3, 4))
    shape_ir, slope_depth = np.empty(2), np.empty(3)
    for i in range(3):
        source[i] = 0.0
        for j in range(3):
            source[i] -= direction[i, j] * geometry[j, 3]
    low, high, shape = np.empty(2), np.empty(2), np.empty(3)
    rectangle = np.empty(4, np.int64)
    axes = np.empty(3, np.int64)
    jobs, tiles, floats = 0, 0, 0
    for body in range(affines.shape[0]):
        status[body] = 0
        first_job, first_tiles, first_floats = jobs, tiles, floats
        affine = affines[body]
        invert3(affine, index_axes)
        for i in range(3):
            shape[i] = bodies[body, i, B_K]
            origin[i] = -float(bodies[body, i, B_CROP_K])
            for j in range(3):
                index_from_pixel[i, j], pixel_from_index[i, j] = 0.0, 0.0
                for n in range(3):
                    index_from_pixel[i, j] += index_axes[i, n] * direction[n, j]
                    pixel_from_index[i, j] += geometry[i, n] * affine[n, j]
                origin[i] += index_axes[i, j] * (source[j] - affine[j, 3])
        if min(shape[0], min(shape[1], shape[2])) <= 0.0:
            continue
        for i in range(3):
            pixel_from_index[i, 3] = 0.0
            for j in range(3):
                pixel_from_index[i, 3] -= pixel_from_index[i, j] * origin[j]
        pixel_rectangle(pixel_from_index, shape, size[0], size[1], rectangle)
        for face in range(6):
            k, sign = face // 2, 1.0 if face % 2 else -1.0
            axes[2] = k
            axes[1] = 0 if k else 1
            axes[0] = 1 if k == 2 else 2
            count, shared = face_polygon(index_from_pixel, axes, sign, size[0], size[1], work)
            if count == 0:
                continue
            for n in range(count):
                if work[0, n, 2] <= 0.0:
                    status[body] = NEEDS_MARCH
                work[0, n, 0] *= sign / work[0, n, 2]
                work[0, n, 1] *= sign / work[0, n, 2]
            about, row = bodies[body, k], real[jobs]
            row[F_SI], row[F_SR], row[F_SK] = origin[axes[0]], origin[axes[1]], origin[k]
            slices = about[B_K]
            beyond = row[F_SK] >= slices if sign > 0 else row[F_SK] <= -1.0
            if beyond:
                continue
            ahead = row[F_SK] <= -1.0 if sign > 0 else row[F_SK] >= slices
            if not ahead:
                status[body] = NEEDS_MARCH
                break
            shape_ir[0], shape_ir[1] = shape[axes[0]], shape[axes[1]]
            if -1.0 - row[F_SK] == 0.0 or slices - row[F_SK] == 0.0:
                status[body] = NEEDS_MARCH
                break
            u, v = place_grid(row, count, sign, work[0], slices, shape_ir, pitch, low, high)
            if u == 0:
                continue
            if about[B_DATA0] == 0:
                status[body] |= 1 << k
                continue
            for j in range(3):
                slope_depth[j] = pixel_from_index[2, axes[j]]
            if not within_beam(row, slope_depth, about[B_BOXES], slices, sign, low, high, far_mm):
                status[body] = NEEDS_MARCH
                break
            for n in range(count):
                row[F_CORNERS + 2 * n] = (work[0, n, 0] - row[F_A0]) / row[F_DA]
                row[F_CORNERS + 2 * n + 1] = (work[0, n, 1] - row[F_B0]) / row[F_DB]
            for j in range(9):
                row[F_INDEX + j] = index_from_pixel[axes[j // 3], j % 3]
                row[F_WORLD + j] = direction[j // 3, j % 3]
            row[F_SCALE0], row[F_SCALE1] = scales[body, 0], scales[body, 1]
            job = whole[jobs]
            job[J_BODY], job[J_AXIS] = body, k
            job[J_DATA0], job[J_DATA1] = about[B_DATA0], about[B_DATA1]
            job[J_OCC0], job[J_OCC1] = about[B_OCC0], about[B_OCC1]
            job[J_ROW_STRIDE], job[J_SLICE_STRIDE] = about[B_ROW_STRIDE], about[B_SLICE_STRIDE]
            job[J_K], job[J_R] = slices, about[B_R]
            job[J_CHUNK], job[J_GROUPS], job[J_BOXES] = about[B_CHUNK], about[B_GROUPS], about[B_BOXES]
            job[J_U], job[J_V] = u, v
            job[J_STRIDE] = (u + BLOCK - 1) // BLOCK * BLOCK
            job[J_TILES] = (v + TILE_ROWS - 1) // TILE_ROWS
            job[J_OFFSET], job[J_TILE] = floats, tiles
            job[J_ROW0], job[J_ROW1] = rectangle[0], rectangle[1]
            job[J_COLUMN0], job[J_COLUMN1] = rectangle[2], rectangle[3]
            job[J_SHARED], job[J_CORNERS] = shared, count
            floats += job[J_TILES] * TILE_ROWS * job[J_STRIDE] + 64
            tiles += job[J_TILES]
            jobs += 1
        if status[body] != 0:
            jobs, tiles, floats = first_job, first_tiles, first_floats
    return jobs, tiles, floats


@njit(**WITHIN)
def span_in_band(real, count, low_v, high_v, limit):  # type: ignore[no-untyped-def]
    """Return the first and one-past-last slope column the detector needs in a band of slope rows."""
    low, high = 1e30, -1e30
    for n in range(count):
        m = (n + 1) % count
        u1, v1 = real[F_CORNERS + 2 * n], real[F_CORNERS + 2 * n + 1]
        u2, v2 = real[F_CORNERS + 2 * m], real[F_CORNERS + 2 * m + 1]
        if max(v1, v2) < low_v or min(v1, v2) > high_v:
            continue
        t1, t2 = 0.0, 1.0
        if v1 != v2:
            ta, tb = (low_v - v1) / (v2 - v1), (high_v - v1) / (v2 - v1)
            t1, t2 = max(0.0, min(ta, tb)), min(1.0, max(ta, tb))
        e1, e2 = u1 + t1 * (u2 - u1), u1 + t2 * (u2 - u1)
        low, high = min(low, min(e1, e2)), max(high, max(e1, e2))
    if low > high:
        return 0, 0
    first = int(min(max(np.floor(low) - 3.0, 0.0), limit))
    last = int(min(max(np.ceil(high) + 4.0, 0.0), limit))
    return first, last


@njit(**WITHIN)
def ahead_of(level, rise, low, high):  # type: ignore[no-untyped-def]
    """Return the part of ``low`` to ``high`` where ``level + rise · column ≥ 0``."""
    if rise > 0.0:
        return max(low, -level / rise), high
    if rise < 0.0:
        return low, min(high, -level / rise)
    return low, (high if level >= 0.0 else low - 2.0)


@njit(**WITHIN)
def face_owns(along_i, along_r, size, row_before, column_before):  # type: ignore[no-untyped-def]
    """Whether a face owns a ray; of two that are equal the one of the earlier axis does."""
    return not (
        size < abs(along_i)
        or size < abs(along_r)
        or (column_before and size == abs(along_i))
        or (row_before and size == abs(along_r))
    )


@njit(**WITHIN)
def span_in_row(whole, real, row):  # type: ignore[no-untyped-def]
    """Return the first and one-past-last pixel of a row that a job adds to; the pixels of a face side by side."""
    d = real[F_INDEX : F_INDEX + 9]
    i0, r0, k0 = d[0] * row + d[2], d[3] * row + d[5], d[6] * row + d[8]
    first, last = whole[J_COLUMN0], whole[J_COLUMN1]
    if first >= last:
        return 0, 0
    low, high = first - 0.0, last - 1.0
    sign = 1.0 if real[F_DA] > 0.0 else -1.0
    if whole[J_SHARED] != 0:
        for other in range(2):
            level, rise = (i0, d[1]) if other == 0 else (r0, d[4])
            low, high = ahead_of(k0 * sign - level, d[7] * sign - rise, low, high)
            low, high = ahead_of(k0 * sign + level, d[7] * sign + rise, low, high)
        if low > high + 1.0:
            return 0, 0
        first = max(first, int(np.ceil(low)) - 1)
        last = min(last, int(np.floor(high)) + 2)
        k = whole[J_AXIS]
        row_before, column_before = (0 if k else 1) < k, (1 if k == 2 else 2) < k
        while first < last and not face_owns(
            i0 + d[1] * first, r0 + d[4] * first, (k0 + d[7] * first) * sign, row_before, column_before
        ):
            first += 1
        while first < last and not face_owns(
            i0 + d[1] * (last - 1), r0 + d[4] * (last - 1), (k0 + d[7] * (last - 1)) * sign, row_before, column_before
        ):
            last -= 1
    # Depth has the sign of the step, so a slope times depth times step is a slope.
    for other in range(2):
        level, rise = (i0, d[1]) if other == 0 else (r0, d[4])
        start, step = real[F_A0 + 2 * other], real[F_DA + 2 * other]
        limit = whole[J_U + other] - 3.0
        level, rise = level - start * k0, rise - start * d[7]
        low, high = ahead_of(level - step * k0, rise - step * d[7], low, high)
        low, high = ahead_of(limit * step * k0 - level, limit * step * d[7] - rise, low, high)
    if low > high + 1.0:
        return 0, 0
    return max(first, int(np.floor(low))), min(last, int(np.ceil(high)) + 1)
