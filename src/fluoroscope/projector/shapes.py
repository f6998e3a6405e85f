"""Exact chords through needles, wires and markers."""

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fluoroscope.geometry.projection import ProjectionGeometry
from fluoroscope.patient.scene import Cylinder, Sphere
from fluoroscope.projector.sharing import WITHIN

__all__ = ["add_shapes"]

SHAPE_FIELDS = 9
"""start (3), end (3; the start again for a ball), radius, water, bone."""


@njit(**WITHIN)
def chord(shape, source, ray, far_mm):  # type: ignore[no-untyped-def]
    """Chord of one ray in units of the ray's length, between the source and the detector."""
    axis, offset = shape[3:6] - shape[0:3], source - shape[0:3]
    length = np.sqrt((axis * axis).sum())
    near, far = 0.0, far_mm
    p0, p1, p2 = offset
    d0, d1, d2 = ray
    if length > 0.0:
        axis /= length
        along_p, along_d = (offset * axis).sum(), (ray * axis).sum()
        p0, p1, p2 = offset - along_p * axis
        d0, d1, d2 = ray - along_d * axis
        if along_d == 0.0:
            if along_p < 0.0 or along_p > length:
                return 0.0
        else:
            one, two = -along_p / along_d, (length - along_p) / along_d
            near, far = max(near, min(one, two)), min(far, max(one, two))
    a = d0 * d0 + d1 * d1 + d2 * d2
    b = p0 * d0 + p1 * d1 + p2 * d2
    c = p0 * p0 + p1 * p1 + p2 * p2 - shape[6] * shape[6]
    if a < 1e-18:
        return max(far - near, 0.0) if c < 0.0 else 0.0
    discriminant = b * b - a * c
    if discriminant <= 0.0:
        return 0.0
    root = np.sqrt(discriminant)
    return max(min(far, (root - b) / a) - max(near, (-root - b) / a), 0.0)


@njit(nogil=True, cache=True)
def add_chords(shapes, pixel_from_world, world_from_pixel, source, far_mm, pitch_mm, out):  # type: ignore[no-untyped-def]
    """Add every shape's chord times its basis to ``out`` (2, rows, columns), near its shadow only."""
    rows, columns = out.shape[1], out.shape[2]
    ends = np.empty((2, 3))
    for n in range(shapes.shape[0]):
        shape = shapes[n]
        radius = shape[6]
        for j in range(2):
            ends[j] = pixel_from_world[:, 3]
            for i in range(3):
                ends[j] += pixel_from_world[:, i] * shape[3 * j + i]
        nearest = min(ends[0, 2], ends[1, 2]) - radius
        whole_field = nearest <= 0.0
        r1, r2, c1, c2, reach = 0.0, rows - 1.0, 0.0, columns - 1.0, 0.0
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
                    ray = world_from_pixel[:, 0] * r + world_from_pixel[:, 1] * c + world_from_pixel[:, 2]
                    steepest = max(steepest, (ray * ray).sum())
            reach = 1.1 * radius / nearest * far_mm / pitch_mm * steepest + 2.0
        first = int(max(0.0, min(r1, r2) - reach))
        last = int(min(rows - 1.0, max(r1, r2) + reach))
        for row in range(first, last + 1):
            low_c, high_c = min(c1, c2) - reach, max(c1, c2) + reach
            if not whole_field and abs(r2 - r1) > 1e-9:
                t1, t2 = (row - reach - r1) / (r2 - r1), (row + reach - r1) / (r2 - r1)
                t1, t2 = max(0.0, min(t1, t2)), min(1.0, max(t1, t2))
                e1, e2 = c1 + t1 * (c2 - c1), c1 + t2 * (c2 - c1)
                low_c, high_c = min(e1, e2) - reach, max(e1, e2) + reach
            for column in range(int(max(0.0, low_c)), int(min(columns - 1.0, high_c)) + 1):
                ray = world_from_pixel[:, 0] * row + world_from_pixel[:, 1] * column + world_from_pixel[:, 2]
                path = chord(shape, source, ray, far_mm)
                if path > 0.0:
                    path *= np.sqrt((ray * ray).sum())
                    out[0, row, column] += path * shape[7]
                    out[1, row, column] += path * shape[8]


def add_shapes(shapes: Sequence[Cylinder | Sphere], geometry: ProjectionGeometry, out: NDArray[np.float32]) -> None:
    """Add the line integrals of ``shapes`` to ``out``: exact chords, mm, times each shape's (water, bone).

    Parameters
    ----------
    shapes
        In the same coordinates as ``geometry``. One of no length or radius adds nothing.
    out
        float32 (2, rows, columns), C-contiguous.

    Raises
    ------
    ValueError
        When a shape holds a number that is not finite.
    """
    if not shapes:
        return
    table = np.empty((len(shapes), SHAPE_FIELDS))
    for row, shape in zip(table, shapes, strict=True):
        if isinstance(shape, Sphere):
            row[:] = (*shape.center_mm, *shape.center_mm, shape.radius_mm, *shape.basis)
        else:
            row[:] = (*shape.start_mm, *shape.end_mm, shape.radius_mm, *shape.basis)
    if not np.isfinite(table).all():
        raise ValueError("a needle or marker has a position, radius or basis that is not a finite number")
    rods = np.array([isinstance(shape, Cylinder) for shape in shapes])
    empty = (table[:, 6] <= 0.0) | (rods & (table[:, 0:3] == table[:, 3:6]).all(axis=1))
    add_chords(
        np.ascontiguousarray(table[~empty]),
        geometry.pixel_from_world,
        geometry.direction_from_pixel,
        geometry.source_mm,
        float(geometry.source_to_detector_mm),
        float(geometry.grid.pitch_mm),
        out,
    )
