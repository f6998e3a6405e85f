"""Signed distances of the shapes a solid is made of: below zero inside, first order near the surface.

Every distance grows by at most about one per millimetre (``LIPSCHITZ`` bounds it, tests measure it), so that a
distance found at one point bounds those around it. Only square roots are used: they are rounded alike on every machine.
"""

from typing import Any

import numba
import numpy as np

__all__ = [
    "BAR",
    "BODY",
    "CAPSULE",
    "COLUMN",
    "CUT",
    "ELLIPSOID",
    "JOINT",
    "PLATE",
    "WIDTH",
    "solid_crossing",
    "solid_distance",
    "within",
]

CAPSULE, COLUMN, ELLIPSOID, PLATE, BAR, BODY, JOINT, CUT = 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0
WIDTH = 24
"""Numbers a shape has; the last is the thickness of its shell, the last but one how far it melts into the others."""

within: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""Of functions called by kernels only: the doors for Python and C would cost a third of the compile time."""


@numba.njit(**within)
def _hash(i, j, k):  # type: ignore[no-untyped-def]
    """Return −1 to 1, the same on every machine, for a lattice point."""
    h = (
        np.uint32(i) * np.uint32(0x8DA6B343)
        ^ np.uint32(j) * np.uint32(0xD8163841)
        ^ np.uint32(k) * np.uint32(0xCB1AB31F)
    )
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x2C1B3C6D)
    h ^= h >> np.uint32(12)
    h *= np.uint32(0x297A2D39)
    h ^= h >> np.uint32(15)
    return np.float64(h & np.uint32(0xFFFF)) / 32767.5 - 1.0


@numba.njit(**within)
def noise(x, y, z):  # type: ignore[no-untyped-def]
    """Return smooth noise of unit lattice, mean 0, within −1 to 1."""
    i, j, k = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
    u, v, w = x - i, y - j, z - k
    u, v, w = u * u * (3.0 - 2.0 * u), v * v * (3.0 - 2.0 * v), w * w * (3.0 - 2.0 * w)
    total = 0.0
    for a in range(2):
        wu = u if a else 1.0 - u
        for b in range(2):
            wv = wu * (v if b else 1.0 - v)
            total += wv * ((1.0 - w) * _hash(i + a, j + b, k) + w * _hash(i + a, j + b, k + 1))
    return total


@numba.njit(**within)
def roughness(x, y, z, size, phase):  # type: ignore[no-untyped-def]
    """Return what a surface is pushed in by: bumps 9 and 4 mm wide, at most ``size`` mm."""
    if size <= 0.0:
        return 0.0
    x, y, z = x + phase, y + 0.7 * phase, z - 0.4 * phase
    return size * (0.75 * noise(x / 9.0, y / 9.0, z / 9.0) + 0.25 * noise(x / 4.0, y / 4.0, z / 4.0))


@numba.njit(**within)
def _triangle(shape, x, y, z):  # type: ignore[no-untyped-def]
    """Distance to a triangle: to its plane when the foot lies inside, else to the nearest edge."""
    p = (x, y, z)
    nearest = 1e18
    inside = True
    nx = (shape[5] - shape[2]) * (shape[9] - shape[3]) - (shape[6] - shape[3]) * (shape[8] - shape[2])
    ny = (shape[6] - shape[3]) * (shape[7] - shape[1]) - (shape[4] - shape[1]) * (shape[9] - shape[3])
    nz = (shape[4] - shape[1]) * (shape[8] - shape[2]) - (shape[5] - shape[2]) * (shape[7] - shape[1])
    for corner in range(3):
        a = 1 + 3 * corner
        b = 1 + 3 * ((corner + 1) % 3)
        ex, ey, ez = shape[b] - shape[a], shape[b + 1] - shape[a + 1], shape[b + 2] - shape[a + 2]
        qx, qy, qz = p[0] - shape[a], p[1] - shape[a + 1], p[2] - shape[a + 2]
        t = min(1.0, max(0.0, (qx * ex + qy * ey + qz * ez) / (ex * ex + ey * ey + ez * ez)))
        dx, dy, dz = qx - t * ex, qy - t * ey, qz - t * ez
        nearest = min(nearest, dx * dx + dy * dy + dz * dz)
        turn = (ny * ez - nz * ey) * qx + (nz * ex - nx * ez) * qy + (nx * ey - ny * ex) * qz
        inside = inside and turn >= 0.0
    if inside:
        height = (x - shape[1]) * nx + (y - shape[2]) * ny + (z - shape[3]) * nz
        return abs(height) / np.sqrt(nx * nx + ny * ny + nz * nz)
    return np.sqrt(nearest)


@numba.njit(**within)
def _capsule(shape, x, y, z):  # type: ignore[no-untyped-def]
    ax, ay, az = shape[1] / shape[9], shape[2] / shape[10], shape[3] / shape[11]
    bx, by, bz = shape[4] / shape[9] - ax, shape[5] / shape[10] - ay, shape[6] / shape[11] - az
    px, py, pz = x / shape[9] - ax, y / shape[10] - ay, z / shape[11] - az
    length2 = bx * bx + by * by + bz * bz
    t = (px * bx + py * by + pz * bz) / length2 if length2 > 0.0 else 0.0
    t = min(1.0, max(0.0, t))
    dx, dy, dz = px - t * bx, py - t * by, pz - t * bz
    distance = np.sqrt(dx * dx + dy * dy + dz * dz)
    # Back to millimetres by the stretch along the direction of the nearest point.
    if distance > 1e-9:
        wx, wy, wz = dx * shape[9], dy * shape[10], dz * shape[11]
        scale = np.sqrt(wx * wx + wy * wy + wz * wz) / distance
    else:
        scale = min(shape[9], shape[10], shape[11])
    return (distance - shape[7] - t * (shape[8] - shape[7])) * scale


@numba.njit(**within)
def _column(shape, x, y, z):  # type: ignore[no-untyped-def]
    px, py, pz = x - shape[1], y - shape[2], z - shape[3]
    h = min(1.0, max(-1.0, pz / shape[6]))
    narrow = (1.0 - shape[7] * (1.0 - h * h)) * (1.0 + shape[9] * h)
    a, b = shape[4] * narrow, shape[5] * narrow
    u = (abs(px / a) ** shape[8] + abs(py / b) ** shape[8]) ** (1.0 / shape[8])
    radius = np.sqrt(px * px + py * py)
    side = radius * (1.0 - 1.0 / u) if u > 1e-3 else -min(a, b)
    flat = abs(pz) - shape[6]
    edge = 2.5
    blend = max(0.0, edge - abs(side - flat)) / edge
    return max(side, flat) + blend * blend * edge * 0.25


@numba.njit(**within)
def _oval(u, v, over, a, b):  # type: ignore[no-untyped-def]
    """Return the distance to a bar of oval section, half sizes ``a`` and ``b``, ``over`` mm beyond its end."""
    w = max(0.0, over) / min(a, b)
    # A slender section is an oval drawn apart: the distance to a slender oval would change too fast.
    pull = max(0.0, a - 1.6 * b)
    u, a = max(0.0, abs(u) - pull), a - pull
    pull = max(0.0, b - 1.6 * a)
    v, b = max(0.0, abs(v) - pull), b - pull
    pu, pv = u / a, v / b
    k = np.sqrt(pu * pu + pv * pv + w * w)
    g = np.sqrt((pu / a) ** 2 + (pv / b) ** 2 + (w / min(a, b)) ** 2)
    inside = (k - 1.0) * min(a, b)
    if k < 1e-3:
        return inside
    near = k * (k - 1.0) / g
    # The first-order distance jumps at the axis.
    return near if k > 1.0 else inside + k * (near - inside)


@numba.njit(**within)
def _bar(shape, x, y, z):  # type: ignore[no-untyped-def]
    """Tapered box: 1 start, 4 along, 7 across, 10 length, 11-14 half sizes, 15 roundness, above 1 an oval."""
    px, py, pz = x - shape[1], y - shape[2], z - shape[3]
    along = px * shape[4] + py * shape[5] + pz * shape[6]
    u = px * shape[7] + py * shape[8] + pz * shape[9]
    rest = px * px + py * py + pz * pz - along * along - u * u
    v = np.sqrt(max(0.0, rest))
    t = min(1.0, max(0.0, along / shape[10]))
    a = shape[11] + t * (shape[13] - shape[11])
    b = shape[12] + t * (shape[14] - shape[12])
    if shape[15] > 1.0:
        return _oval(u, v, max(-along, along - shape[10]), a, b)
    r = shape[15] * min(a, b)
    qu, qv = abs(u) - a + r, v - b + r
    # Round ends reach beyond the ends by the smaller half size.
    over = max(-along, along - shape[10]) - min(a, b) + r
    eu, ev, eo = max(0.0, qu), max(0.0, qv), max(0.0, over)
    d = np.sqrt(eu * eu + ev * ev + eo * eo) + min(0.0, max(qu, qv, over)) - r
    ka, kb = (shape[13] - shape[11]) / shape[10], (shape[14] - shape[12]) / shape[10]
    k = max(abs(ka), abs(kb))
    return d / np.sqrt(1.0 + k * k)


@numba.njit(**within)
def _body(shape, x, y, z):  # type: ignore[no-untyped-def]
    """Return the distance to a vertebral body.

    1-2 half width low, up; 3-4 half depth; 5-6 height front, back; 7 waist, 8 waist in front; 9 share of the
    depth before the widest place; 10 hollow of the back; 11-12 dish of the endplates low, up; 13 squareness of
    the back, 14 of the front; 15 roundness of the rim in mm.
    """
    mean = 0.25 * (shape[5] + shape[6])
    s = 0.5 * (shape[5] - shape[6]) / (shape[3] + shape[4])
    top = mean - s * y
    t = min(1.0, max(-1.0, z / top))
    rise = 0.5 * (1.0 + t)
    # Slender for long, then flaring to the rims.
    middle = 1.0 - t * t * (0.75 + 0.25 * t * t)
    a = (shape[1] + rise * (shape[2] - shape[1])) * (1.0 - shape[7] * middle)
    deep = shape[3] + rise * (shape[4] - shape[3])
    yc = deep * (2.0 * shape[9] - 1.0)
    q = y - yc
    ux = x / a
    if q < 0.0:
        b = deep * 2.0 * shape[9] - shape[8] * deep * middle
        square = shape[14]
    else:
        b = deep * 2.0 * (1.0 - shape[9]) - 0.5 * shape[8] * deep * middle
        hollow = max(0.0, 1.0 - ux * ux * 2.5)
        b -= shape[10] * hollow * hollow
        square = shape[13]
    uy = q / b
    x2, y2 = ux * ux, uy * uy
    u2 = np.sqrt(x2 + y2) + 1e-9
    u4 = np.sqrt(np.sqrt(x2 * x2 + y2 * y2)) + 1e-9
    u = (1.0 - square) * u2 + square * u4
    gx = ((1.0 - square) * ux / u2 + square * ux * x2 / (u4 * u4 * u4)) / a
    gy = ((1.0 - square) * uy / u2 + square * uy * y2 / (u4 * u4 * u4)) / b
    g = np.sqrt(gx * gx + gy * gy) + 1e-9
    slope = max(shape[7] * a, shape[8] * b) / mean * abs(t) * (1.5 + t * t)
    side = (u - 1.0) / (g * np.sqrt(1.0 + slope * slope))
    dish = max(0.0, 1.0 - u * u * 1.6)
    depth = (shape[11] if z < 0.0 else shape[12]) * dish
    flat = (abs(z) - top + depth) / np.sqrt(1.0 + s * s + 0.01 * depth * depth)
    k = shape[15]
    blend = max(0.0, k - abs(side - flat)) / k
    return max(side, flat) + blend * blend * k * 0.25


@numba.njit(**within)
def _joint(shape, x, y, z):  # type: ignore[no-untyped-def]
    """Return the distance to what lies on the other vertebra's side of a pair of facet joints.

    1-3 centre the joint turns about; 4-12 its axes; 13 half distance of the joints, 14 their radius; 15-18 cosine
    and sine of the angle to the sagittal plane, left, right; 19, 20 height of the tips, upper, lower; 21 half gap,
    below zero for the upper vertebra.
    """
    px, py, pz = x - shape[1], y - shape[2], z - shape[3]
    jx = shape[4] * px + shape[5] * py + shape[6] * pz
    jy = shape[7] * px + shape[8] * py + shape[9] * pz
    jz = shape[10] * px + shape[11] * py + shape[12] * pz
    c, s = (shape[15], shape[16]) if jx >= 0.0 else (shape[17], shape[18])
    r = np.sqrt(jy * jy + jz * jz)
    # The facets are part of a surface of revolution about the axis of bending: they slide on each other.
    h = s * (r - shape[14]) - c * (abs(jx) - shape[13])
    # Before them, toward the foramen, the lower vertebra has the room: its pedicle and pars. The edge leans over
    # the axis, for which 0.4 mm more on both sides keep it clear at full bending.
    h = min(h, np.sqrt(jy * jy + 0.25 * jz * jz) - 0.85 * shape[14] - np.copysign(0.4, -shape[21]))
    # Between the joints the gap rises to the interlaminar window; behind it dips along the spinous process.
    inward = max(0.0, shape[13] - max(abs(jx), 5.0))
    rise = 0.4 * max(0.0, inward - 5.0)
    bottom = shape[20] + rise - min(0.12 * inward + rise, 0.5 * max(0.0, jy - shape[14] - 2.0))
    # A lower vertebra's process rises to its tip from under the pedicle above.
    top = shape[19] - 0.5 * max(0.0, 0.85 * shape[14] - r)
    if shape[21] < 0.0:
        d = min(jz - bottom, max(h + shape[21], jz - top))
    else:
        far = 0.12 * max(0.0, jy - 0.8 * shape[14])
        d = min(top - jz, max(-h - shape[21], bottom - far - jz))
    # Bodies are kept apart by their disc, not by the joint.
    return max(d, 0.55 * shape[14] - jy)


@numba.njit(**within)
def shape_distance(shape, x, y, z):  # type: ignore[no-untyped-def]
    """Return the signed distance of one shape, in its solid's frame."""
    if shape[0] == 4.0:
        return _bar(shape, x, y, z)
    if shape[0] == 0.0:
        return _capsule(shape, x, y, z)
    if shape[0] == 3.0:
        return _triangle(shape, x, y, z) - shape[10]
    if shape[0] == 1.0:
        return _column(shape, x, y, z)
    if shape[0] == 5.0:
        return _body(shape, x, y, z)
    if shape[0] == 6.0:
        return _joint(shape, x, y, z)
    px, py, pz = x - shape[1], y - shape[2], z - shape[3]
    if shape[0] == 7.0:
        return px * shape[4] + py * shape[5] + pz * shape[6]
    u = np.sqrt((px / shape[4]) ** 2 + (py / shape[5]) ** 2 + (pz / shape[6]) ** 2)
    radius = np.sqrt(px * px + py * py + pz * pz)
    return radius * (1.0 - 1.0 / u) if u > 1e-3 else -min(shape[4], shape[5], shape[6])


@numba.njit(**within)
def join(d, e, k):  # type: ignore[no-untyped-def]
    """Return the distance of a union that melts over ``k`` mm."""
    if k <= 0.0:
        return min(d, e)
    blend = max(0.0, k - abs(d - e)) / k
    return min(d, e) - blend * blend * k * 0.25


@numba.njit(**within)
def take_away(d, holes, x, y, z, k, rough):  # type: ignore[no-untyped-def]
    """Return the distance of what is left without the holes, rough but for joints, the edge rounded over ``k`` mm."""
    for n in range(holes.shape[0]):
        e = shape_distance(holes[n], x, y, z)
        d = -join(-d, e if holes[n, 0] == 6.0 else e - rough, k)
    return d


@numba.njit(**within)
def _distance_at(px, py, pz, m, shapes, holes, how):  # type: ignore[no-untyped-def]
    x = m[0, 0] * px + m[0, 1] * py + m[0, 2] * pz + m[0, 3]
    y = m[1, 0] * px + m[1, 1] * py + m[1, 2] * pz + m[1, 3]
    z = m[2, 0] * px + m[2, 1] * py + m[2, 2] * pz + m[2, 3]
    d = 1e9
    for n in range(shapes.shape[0]):
        d = join(d, shape_distance(shapes[n], x, y, z), shapes[n, 22] if shapes[n, 22] > 0.0 else how[0])
    rough = roughness(x, y, z, how[2], how[3])
    return take_away(d + rough, holes, x, y, z, how[1], rough)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def solid_distance(start, stop, points, solid_from_world, shapes, holes, how, out):  # type: ignore[no-untyped-def]
    """Write (n,) signed distances of world points (n, 3); ``how``: joint, cut, roughness in mm and its phase."""
    for i in range(start, stop):
        out[i] = _distance_at(points[i, 0], points[i, 1], points[i, 2], solid_from_world, shapes, holes, how)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def solid_crossing(start, stop, starts, along, reach, solid_from_world, shapes, holes, how, out):  # type: ignore[no-untyped-def]
    """Write (n,) lengths in mm along unit vectors (n, 3) to the first change of sign; left alone beyond reach."""
    for i in range(start, stop):
        a = starts[i]
        t, d, last, before = 0.0, 0.0, 0.0, 0.0
        while t < reach:
            d = _distance_at(
                a[0] + t * along[i, 0],
                a[1] + t * along[i, 1],
                a[2] + t * along[i, 2],
                solid_from_world,
                shapes,
                holes,
                how,
            )
            if t > 0.0 and (d < 0.0) != (before < 0.0):
                out[i] = last + (t - last) * before / (before - d)
                break
            last, before = t, d
            t += max(0.1, 0.6 * abs(d))
