"""The loop over the cells of skin: one beam's dose added to every cell it enters by.

Lengths mm, everything in the phantom's coordinates. A cell is a parallelogram; what of it the field covers is the area
of its shadow at the reference distance, clipped by the four edges of the field.
"""

from collections.abc import Callable
from math import atan2, floor, hypot, pi, sqrt
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fluoroscope.projector.sharing import DOOR, WITHIN

__all__ = ["BLOCK_CELLS", "RELIEF_BINS", "add_beam", "compile_kernels"]

Array = NDArray[np.float64]
Kernel = TypeVar("Kernel", bound=Callable[..., Any])

RELIEF_BINS = 360
"""Directions of a relief, one degree each, from the back over the patient's left."""
BLOCK_CELLS = 32
"""Cells that are passed over at once where the beam does not come near them."""
_SIDES_CM = np.array([5.0, 10.0, 20.0, 25.0, 35.0])
_CLEAR_MM, _STEP_MM, _DEEP_MM = 12.0, 6.0, 4.0
"""Skin that hides other skin stands farther off than the first and is deeper in the body than the last."""
_SPOTS = 4
"""Points a side at which a focal spot that is no point is taken."""
_FLATTEST_COS = 0.1  # a path flatter than 84° through the table runs out of its edge
_NO_AREA_MM2 = 1e-9


def _compiled(function: Kernel) -> Kernel:
    return cast("Kernel", njit(**WITHIN)(function))


@_compiled
def _area(corners: Array, which: int, n: int) -> float:
    twice = 0.0
    for i in range(n):
        j = (i + 1) % n
        twice += corners[which, 0, i] * corners[which, 1, j] - corners[which, 1, i] * corners[which, 0, j]
    return abs(twice) / 2.0


@_compiled
def _met(shadow: Array, limits: Array, work: Array) -> float:
    """Area of a convex shadow (2, 4) within the limits (low u, high u, low v, high v).

    Cut by one edge after the other (Sutherland and Hodgman 1974), to and fro between the two halves of ``work``.
    """
    n = 4
    out = 0
    for k in range(4):
        u, v = shadow[0, k], shadow[1, k]
        out += u < limits[0] or u > limits[1] or v < limits[2] or v > limits[3]
        work[0, 0, k], work[0, 1, k] = u, v
    if out == 0:
        return _area(work, 0, 4)
    for edge in range(4):
        axis, sign, limit = edge // 2, 2.0 * (edge % 2) - 1.0, limits[edge]
        old, new = edge % 2, 1 - edge % 2
        kept = 0
        for i in range(n):
            j = (i + 1) % n
            here = sign * (work[old, axis, i] - limit)
            there = sign * (work[old, axis, j] - limit)
            if here <= 0.0:
                work[new, 0, kept], work[new, 1, kept] = work[old, 0, i], work[old, 1, i]
                kept += 1
            if (here < 0.0 and there > 0.0) or (here > 0.0 and there < 0.0):
                part = here / (here - there)
                for k in range(2):
                    work[new, k, kept] = work[old, k, i] + part * (work[old, k, j] - work[old, k, i])
                kept += 1
        n = kept
    return _area(work, 0, n)


@_compiled
def _hidden(place: Array, way: Array, relief: Array, axis: Array, top: float, pitch: float, widest: float) -> bool:
    """Whether other skin stands between ``place`` and the source along the unit vector ``way``."""
    rows = relief.shape[0]
    along = _CLEAR_MM
    while along < 2.0 * widest + _CLEAR_MM:
        row = int((top - place[2] - along * way[2]) / pitch)
        if row < 0 or row >= rows:
            return False
        x = place[0] + along * way[0] - axis[row, 0]
        y = place[1] + along * way[1] - axis[row, 1]
        out = hypot(x, y)
        if out > widest:
            return False
        turn = atan2(x, y) / (2.0 * pi)
        direction = int((turn - floor(turn)) * relief.shape[1]) % relief.shape[1]
        if out < relief[row, direction] - _DEEP_MM:
            return True
        along += _STEP_MM
    return False


@_compiled
def _through_table(source: Array, ray: Array, distance: float, table: Array) -> float:
    """Transmission of table and pad for the ray from ``source``; 1 where it passes beside them."""
    if table[0] == 0.0:
        return 1.0
    below = 0.0
    up = 0.0
    for k in range(3):
        below += (table[1 + k] - source[k]) * table[4 + k]
        up += ray[k] * table[4 + k]
    if below <= 0.0 or up <= below:
        return 1.0
    across = 0.0
    along = 0.0
    for k in range(3):
        at = source[k] + ray[k] * below / up - table[1 + k]
        across += at * table[7 + k]
        along += at * table[10 + k]
    if abs(across) > table[13] or along < 0.0 or along > table[14]:
        return 1.0
    cosine = min(max(up / distance, _FLATTEST_COS), 1.0)
    through: float = table[15] ** (1.0 / cosine) if table[16] > 0.0 else table[15]
    return through


@_compiled
def _backscatter(side_cm: float, spline: Array) -> float:
    side = min(max(side_cm, _SIDES_CM[0]), _SIDES_CM[-1])
    part = 0
    while part < 3 and side > _SIDES_CM[part + 1]:
        part += 1
    t = side - _SIDES_CM[part]
    factor: float = ((spline[0, part] * t + spline[1, part]) * t + spline[2, part]) * t + spline[3, part]
    return factor


@_compiled
def _covered(shadow: Array, edges: Array, spread: float, work: Array) -> float:
    """Area of the shadow within the field; behind a focal spot that is no point the mean over its points."""
    spots = 1 if spread == 0.0 else _SPOTS
    limits, total = work[2, 0], 0.0
    for i in range(spots):
        shift_u = spread * ((i + 0.5) / spots - 0.5)
        for j in range(spots):
            shift_v = spread * ((j + 0.5) / spots - 0.5)
            limits[0], limits[1] = shift_u - edges[0], shift_u + edges[1]
            limits[2], limits[3] = shift_v - edges[2], shift_v + edges[3]
            total += _met(shadow, limits, work)
    return total / (spots * spots)


@_compiled
def _may_meet(
    ball: Array, source: Array, d: Array, u: Array, v: Array, edges: Array, reference: float, blur: float
) -> bool:
    """Whether a ball (middle, radius) may reach into the beam."""
    depth, ru, rv = 0.0, 0.0, 0.0
    for k in range(3):
        off = ball[k] - source[k]
        depth, ru, rv = depth + off * d[k], ru + off * u[k], rv + off * v[k]
    radius = ball[3]
    if depth + radius <= 0.0:
        return False
    if depth - radius <= 1.0:
        return True
    # At the farther of its ends the beam is widest; the penumbra grows with the way beyond the blades.
    widest = (depth + radius) / reference
    soft = radius + blur * (depth + radius)
    near = (depth - radius) / reference
    low_u = -edges[0] * (widest if edges[0] > 0.0 else near) - soft
    high_u = edges[1] * (widest if edges[1] > 0.0 else near) + soft
    low_v = -edges[2] * (widest if edges[2] > 0.0 else near) - soft
    high_v = edges[3] * (widest if edges[3] > 0.0 else near) + soft
    meets: bool = low_u <= ru <= high_u and low_v <= rv <= high_v
    return meets


@njit(**DOOR)
def _cells(  # type: ignore[no-untyped-def]
    centers, normals, half_edges, reach, blocks, two_sided, beam, spline, table, relief, axis, grid, horizon, dose
):
    """See `add_beam`."""
    source, d, u, v, edges = beam[0:3], beam[3:6], beam[6:9], beam[9:12], beam[12:16]
    dose_at_reference, reference, spot, jaws = beam[16], beam[17], beam[18], beam[19]
    side_cm = sqrt((edges[0] + edges[1]) * (edges[2] + edges[3])) / 10.0
    shadow, work, ray, way = np.zeros((2, 4)), np.zeros((3, 2, 12)), np.zeros(3), np.zeros(3)
    met, largest, place, touched = 0.0, 0.0, -1, 0
    for block in range(blocks.shape[0]):
        if not _may_meet(blocks[block], source, d, u, v, edges, reference, spot / jaws):
            continue
        for i in range(BLOCK_CELLS * block, min(BLOCK_CELLS * (block + 1), centers.shape[0])):
            for k in range(3):
                ray[k] = centers[i, k] - source[k]
            depth = ray[0] * d[0] + ray[1] * d[1] + ray[2] * d[2]
            if depth <= reach[i]:
                continue
            near, far = reference / (depth - reach[i]), reference / (depth + reach[i])
            ru = ray[0] * u[0] + ray[1] * u[1] + ray[2] * u[2]
            rv = ray[0] * v[0] + ray[1] * v[1] + ray[2] * v[2]
            spread = spot * abs(depth - jaws) / jaws * reference / depth
            low, high = ru - reach[i], ru + reach[i]
            if min(low * near, low * far) > edges[1] + spread or max(high * near, high * far) < -edges[0] - spread:
                continue
            low, high = rv - reach[i], rv + reach[i]
            if min(low * near, low * far) > edges[3] + spread or max(high * near, high * far) < -edges[2] - spread:
                continue
            facing = -(ray[0] * normals[i, 0] + ray[1] * normals[i, 1] + ray[2] * normals[i, 2])
            if facing <= 0.0 and not (two_sided and facing < 0.0):
                continue
            for corner in range(4):
                first = 1.0 if corner == 1 or corner == 2 else -1.0
                second = 1.0 if corner >= 2 else -1.0
                cu, cv, cd = 0.0, 0.0, 0.0
                for k in range(3):
                    at = ray[k] + first * half_edges[i, 0, k] + second * half_edges[i, 1, k]
                    cu, cv, cd = cu + at * u[k], cv + at * v[k], cd + at * d[k]
                shadow[0, corner], shadow[1, corner] = cu * reference / cd, cv * reference / cd
                work[0, 0, corner], work[0, 1, corner] = shadow[0, corner], shadow[1, corner]
            whole = _area(work, 0, 4)
            if whole > _NO_AREA_MM2:
                inside = _covered(shadow, edges, spread, work)
                covered = min(inside / whole, 1.0)
            else:  # a point of skin without extent is in the field or is not
                inside = 0.0
                within = -edges[0] <= shadow[0, 0] <= edges[1] and -edges[2] <= shadow[1, 0] <= edges[3]
                covered = 1.0 if within else 0.0
            if covered <= 0.0:
                continue
            distance = sqrt(ray[0] ** 2 + ray[1] ** 2 + ray[2] ** 2)
            if relief.shape[0] > 0 and facing < horizon[i] * distance:
                for k in range(3):
                    way[k] = -ray[k] / distance
                if _hidden(centers[i], way, relief, axis, grid[0], grid[1], grid[2]):
                    continue
            met += inside
            added = dose_at_reference * covered * (reference / distance) ** 2
            added *= _backscatter(side_cm * depth / reference, spline) * _through_table(source, ray, distance, table)
            dose[i] += added
            touched += 1
            if dose[i] > largest:
                largest, place = dose[i], i
    return met, largest, place, touched


def add_beam(
    cells: tuple[Array, Array, Array, Array, Array, bool],
    beam: Array,
    spline: Array,
    table: Array,
    relief: tuple[Array, Array, Array, Array],
    dose: Array,
) -> tuple[float, float, int, int]:
    """Add one beam to ``dose``.

    Parameters
    ----------
    cells
        Centres (n, 3), normals (n, 3), half edges (n, 2, 3), reach (n,) from the centre to the farthest corner, balls
        (blocks, 4) around every `BLOCK_CELLS` of them (middle, radius), and whether both faces of a cell are skin.
    beam
        (20,): source, unit vectors d, u, v, edges of the field (−u, +u, −v, +v) at the reference distance, kerma there
        times k_med in mGy, reference distance, side of the focal spot, source to collimator.
    spline
        (4, 4): backscatter over the side of a square field, cm, in the pieces of `skin_factors.BACKSCATTER_SIDES_CM`.
    table
        (17,): whether there is one, middle of its head end, unit vectors up, across, toward its other end, half width,
        length, transmission, whether oblique rays go the longer way.
    relief
        For skin that can hide skin: distance of the outermost skin from the body's axis (rows, `RELIEF_BINS`), the
        axis (rows, 2), (3,) z of the first row, pitch of the rows and the largest distance, and (n,) the sine above
        the cell over which nothing stands. Empty for a convex body.
    dose
        (n,), mGy; added to.

    Returns
    -------
    The area of the field at the reference distance that fell on skin, mm²; the largest dose among the cells that were
    hit and its cell (0 and −1 when none was); how many were hit.
    """
    found: tuple[float, float, int, int] = _cells(*cells, beam, spline, table, *relief, dose)
    return found


def compile_kernels() -> None:
    """Compile the loop, or read it from the cache."""
    cells = (np.ones((1, 3)), np.ones((1, 3)), np.ones((1, 2, 3)), np.ones(1), np.ones((1, 4)), False)
    for array in cells[:5]:
        array.setflags(write=False)
    spline, relief = np.zeros((4, 4)), (np.zeros((0, RELIEF_BINS)), np.zeros((0, 2)), np.zeros(3), np.zeros(0))
    spline.setflags(write=False)
    for array in relief:
        array.setflags(write=False)
    table = np.zeros(17)
    table.setflags(write=False)
    add_beam(cells, np.ones(20), spline, table, relief, np.zeros(1))
