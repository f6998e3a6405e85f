"""Shadows of needles, wires and markers: exact chords through cut cones and balls, averaged over the pixel.

A thin wire is narrower than a few pixels, so the chord at a pixel's centre is not the pixel's mean. Sub-rays on a
Fibonacci lattice, the more the thinner the shadow, give the mean: their projections on any direction are nearly
evenly spaced (Niederreiter 1992, doi:10.1137/1.9781611970081, chapter 5).
"""

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fluoroscope.geometry.projection import ProjectionGeometry
from fluoroscope.patient.scene import Cylinder, Rod, Shape, Sphere
from fluoroscope.projector.sharing import WITHIN, argument, carray, pointer_to, shared

__all__ = ["add_shapes"]

SHAPE_FIELDS = 25
"""start (3), axis (3), length, start radius, slope, start normal (3), end normal (3), water, bone, shadow ends (6),
largest radius, ball."""
BALL = 24
COMB = 4


@njit(**WITHIN)
def chord(shape, source, ray, far_mm):  # type: ignore[no-untyped-def]
    """Chord of one ray in units of the ray's length, between the source and the detector.

    Inside a cone |across|² ≤ (radius + slope·along)² along the ray: a quadratic, cut by the two end planes and by
    the plane through the apex.
    """
    p0, p1, p2 = source[0] - shape[0], source[1] - shape[1], source[2] - shape[2]
    d0, d1, d2 = ray[0], ray[1], ray[2]
    near, far = 0.0, far_mm
    radius, slope = shape[7], 0.0
    if shape[24] == 0.0:
        slope = shape[8]
        along_p = p0 * shape[3] + p1 * shape[4] + p2 * shape[5]
        along_d = d0 * shape[3] + d1 * shape[4] + d2 * shape[5]
        # Three half spaces: behind the first end, before the last, on this side of the apex.
        for side in range(3):
            if side == 0:
                level = p0 * shape[9] + p1 * shape[10] + p2 * shape[11]
                rise = d0 * shape[9] + d1 * shape[10] + d2 * shape[11]
            elif side == 1:
                e = shape[6]
                level = -(
                    (p0 - e * shape[3]) * shape[12] + (p1 - e * shape[4]) * shape[13] + (p2 - e * shape[5]) * shape[14]
                )
                rise = -(d0 * shape[12] + d1 * shape[13] + d2 * shape[14])
            else:
                if slope == 0.0:
                    break
                level, rise = radius + slope * along_p, slope * along_d
            if rise == 0.0:
                if level < 0.0:
                    return 0.0
            elif rise > 0.0:
                near = max(near, -level / rise)
            else:
                far = min(far, -level / rise)
        if far <= near:
            return 0.0
        p0, p1, p2 = p0 - along_p * shape[3], p1 - along_p * shape[4], p2 - along_p * shape[5]
        d0, d1, d2 = d0 - along_d * shape[3], d1 - along_d * shape[4], d2 - along_d * shape[5]
        radius += slope * along_p
        slope *= along_d
    a = d0 * d0 + d1 * d1 + d2 * d2 - slope * slope
    b = p0 * d0 + p1 * d1 + p2 * d2 - radius * slope
    c = p0 * p0 + p1 * p1 + p2 * p2 - radius * radius
    if abs(a) < 1e-18:
        if abs(b) < 1e-18:
            return far - near if c < 0.0 else 0.0
        if b > 0.0:
            return max(min(far, -0.5 * c / b) - near, 0.0)
        return max(far - max(near, -0.5 * c / b), 0.0)
    discriminant = b * b - a * c
    if a > 0.0:
        if discriminant <= 0.0:
            return 0.0
        root = np.sqrt(discriminant)
        return max(min(far, (root - b) / a) - max(near, (-root - b) / a), 0.0)
    if discriminant <= 0.0:
        return far - near
    # Steeper than the cone's side: inside before the first root and behind the second.
    root = np.sqrt(discriminant)
    first, last = (root - b) / a, (-root - b) / a
    return max(min(far, first) - near, 0.0) + max(far - max(near, last), 0.0)


@njit(**WITHIN)
def lattice(radius_px):  # type: ignore[no-untyped-def]
    """Return count and stride of the sub-rays of a pixel for a shadow of this half width."""
    if radius_px >= 6.0:
        return 1, 0
    if radius_px >= 3.0:
        return 5, 3
    if radius_px >= 1.0:
        return 8, 5
    if radius_px >= 0.7:
        return 13, 8
    if radius_px >= 0.25:
        return 34, 21
    return 89, 55


@njit(**WITHIN)
def off_segment2(r, c, r1, c1, r2, c2):  # type: ignore[no-untyped-def]
    """Square of the distance of a pixel from a segment."""
    along_r, along_c = r2 - r1, c2 - c1
    length2 = along_r * along_r + along_c * along_c
    share = 0.0
    if length2 > 0.0:
        share = min(1.0, max(0.0, ((r - r1) * along_r + (c - c1) * along_c) / length2))
    away_r, away_c = r - r1 - share * along_r, c - c1 - share * along_c
    return away_r * away_r + away_c * away_c


@njit(**WITHIN)
def pixel_mean(shape, source, world_from_pixel, row, column, count, stride, far_mm, ray):  # type: ignore[no-untyped-def]
    """Mean path through a shape over the pixel, mm."""
    total = 0.0
    for n in range(count):
        r = row + ((n + 0.5) / count - 0.5)
        c = column + (((n * stride) % count + 0.5) / count - 0.5)
        for i in range(3):
            ray[i] = world_from_pixel[i, 0] * r + world_from_pixel[i, 1] * c + world_from_pixel[i, 2]
        path = chord(shape, source, ray, far_mm)
        if path > 0.0:
            total += path * np.sqrt(ray[0] * ray[0] + ray[1] * ray[1] + ray[2] * ray[2])
    return total / count


@shared()
def add_chords(part, arguments):  # type: ignore[no-untyped-def]
    """Add every shape's mean path times its basis to ``out`` (2, rows, columns), near its shadow only.

    Rows of remainder ``part`` by `COMB`: each part of the work has its share of every shadow.
    """
    count_of_shapes, rows, columns = argument(arguments, 0), argument(arguments, 1), argument(arguments, 2)
    shapes = carray(pointer_to(argument(arguments, 3), np.float64), (count_of_shapes, SHAPE_FIELDS))
    pixel_from_world = carray(pointer_to(argument(arguments, 4), np.float64), (3, 4))
    world_from_pixel = carray(pointer_to(argument(arguments, 5), np.float64), (3, 3))
    source = carray(pointer_to(argument(arguments, 6), np.float64), (3,))
    lengths = carray(pointer_to(argument(arguments, 7), np.float64), (2,))
    out = carray(pointer_to(argument(arguments, 8), np.float32), (2, rows, columns))
    far_mm, pitch_mm = lengths[0], lengths[1]
    ends, ray = np.empty((2, 3)), np.empty(3)
    for n in range(shapes.shape[0]):
        shape = shapes[n]
        radius = shape[23]
        for j in range(2):
            ends[j] = pixel_from_world[:, 3]
            for i in range(3):
                ends[j] += pixel_from_world[:, i] * shape[17 + 3 * j + i]
        nearest = min(ends[0, 2], ends[1, 2]) - radius
        whole_field = nearest <= 0.0
        r1, r2, c1, c2, reach = 0.0, rows - 1.0, 0.0, columns - 1.0, 0.0
        count, stride = 1, 0
        if not whole_field:
            r1, r2, c1, c2 = (
                ends[0, 0] / ends[0, 2],
                ends[1, 0] / ends[1, 2],
                ends[0, 1] / ends[0, 2],
                ends[1, 1] / ends[1, 2],
            )
            steepest = 1.0
            for r in (r1, r2):
                for c in (c1, c2):
                    ray[:] = world_from_pixel[:, 0] * r + world_from_pixel[:, 1] * c + world_from_pixel[:, 2]
                    steepest = max(steepest, (ray * ray).sum())
            half_px = radius / nearest * far_mm / pitch_mm
            reach = 1.1 * half_px * steepest + 0.75
            count, stride = lattice(half_px)
        first = int(max(0.0, min(r1, r2) - reach))
        last = int(min(rows - 1.0, max(r1, r2) + reach))
        for row in range(first + (part - first) % COMB, last + 1, COMB):
            low_c, high_c = min(c1, c2) - reach, max(c1, c2) + reach
            if not whole_field and abs(r2 - r1) > 1e-9:
                t1, t2 = (row - reach - r1) / (r2 - r1), (row + reach - r1) / (r2 - r1)
                t1, t2 = max(0.0, min(t1, t2)), min(1.0, max(t1, t2))
                e1, e2 = c1 + t1 * (c2 - c1), c1 + t2 * (c2 - c1)
                low_c, high_c = min(e1, e2) - reach, max(e1, e2) + reach
            for column in range(int(max(0.0, low_c)), int(min(columns - 1.0, high_c)) + 1):
                if not whole_field and off_segment2(row, column, r1, c1, r2, c2) > reach * reach:
                    continue
                path = pixel_mean(shape, source, world_from_pixel, row, column, count, stride, far_mm, ray)
                if path > 0.0:
                    out[0, row, column] += path * shape[15]
                    out[1, row, column] += path * shape[16]


def add_shapes(shapes: Sequence[Shape], geometry: ProjectionGeometry, out: NDArray[np.float32]) -> None:
    """Add the line integrals of ``shapes`` to ``out``: exact chords, mm, times each shape's (water, bone).

    A shape whose shadow is thinner than twelve pixels is averaged over each pixel; a wider one is taken at the
    pixels' centres.

    Parameters
    ----------
    shapes
        In the same coordinates as ``geometry``. One of no length or radius adds nothing.
    out
        float32 (2, rows, columns), C-contiguous.

    Raises
    ------
    ValueError
        When a shape holds a number that is not finite, or an end plane along its axis.
    """
    rows = [row for row in map(_row, shapes) if row is not None]
    if not rows:
        return
    add_chords.run(
        COMB,
        len(rows),
        *out.shape[1:],
        np.ascontiguousarray(rows),
        np.ascontiguousarray(geometry.pixel_from_world),
        np.ascontiguousarray(geometry.direction_from_pixel),
        np.asarray(geometry.source_mm, dtype=np.float64),
        np.array([geometry.source_to_detector_mm, geometry.grid.pitch_mm], dtype=np.float64),
        out,
    )


def _row(shape: Shape) -> NDArray[np.float64] | None:
    """Return a shape as the kernel reads it, None for one that adds nothing."""
    row = np.zeros(SHAPE_FIELDS)
    if isinstance(shape, Sphere):
        row[0:3] = row[17:20] = row[20:23] = shape.center_mm
        row[7] = row[23] = shape.radius_mm
        row[BALL] = 1.0
    else:
        _rod(row, shape.as_rod() if isinstance(shape, Cylinder) else shape)
    row[15:17] = shape.basis
    if not np.isfinite(row).all():
        raise ValueError("a needle or marker has a position, radius or basis that is not a finite number")
    return row if row[23] > 0.0 and (row[BALL] or row[6] > 0.0) else None


def _rod(row: NDArray[np.float64], rod: Rod) -> None:
    start, end = np.asarray(rod.start_mm, dtype=np.float64), np.asarray(rod.end_mm, dtype=np.float64)
    length = float(np.linalg.norm(end - start))
    if length == 0.0:
        return
    axis = (end - start) / length
    slope = (rod.end_radius_mm - rod.start_radius_mm) / length
    low, high = 0.0, length
    row[0:3], row[3:6], row[6], row[7], row[8] = start, axis, length, rod.start_radius_mm, slope
    for at, normal, radius in (
        (9, rod.start_normal, rod.start_radius_mm),
        (12, rod.end_normal, rod.end_radius_mm),
    ):
        plane = axis if normal is None else np.asarray(normal, dtype=np.float64) / np.linalg.norm(normal)
        cosine = float(plane @ axis)
        if abs(cosine) < 1e-3:
            raise ValueError("a needle's end plane lies along its axis: give a normal with a part along it")
        row[at : at + 3] = plane * np.sign(cosine)
        # How far a tilted end reaches past the axis' end, on a cone that goes on widening.
        tilt = np.sqrt(max(1.0 - cosine * cosine, 0.0)) / abs(cosine)
        over = radius * tilt / max(1.0 - abs(slope) * tilt, 0.1)
        low, high = (min(low, -over), high) if at == 9 else (low, max(high, length + over))
    row[17:20], row[20:23] = start + low * axis, start + high * axis
    row[23] = max(rod.start_radius_mm + slope * low, rod.start_radius_mm + slope * high)
