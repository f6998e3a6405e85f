"""Compiled loops of registration: the small DRR with its derivatives, gradients, and sums over patches.

The DRR marches a voxel crop with trilinear samples one voxel apart. Its derivatives to the pose are exact for that
field: with the point X of a ray and the field's gradient g(X), a turn ω about c and a shift t change the integral by
``−∫ ω·((X − c) × g) + t·g ds`` (first order), so the march gathers ∫g ds and ∫s·g ds beside ∫V ds.
"""

from typing import Any

import numpy as np
from numba import njit

__all__ = ["gradients", "march", "march_with_slopes", "patch_sums", "value_sums"]

_FAST: Any = {"nogil": True, "cache": True, "fastmath": True, "error_model": "numpy"}


@njit(inline="always", **_FAST)
def _span(o0, o1, o2, d0, d1, d2, n0, n1, n2):  # type: ignore[no-untyped-def]
    """Return where a ray enters and leaves the box of voxel centres, as multiples of its direction."""
    near, far = 0.0, 1e9
    for o, d, n in ((o0, d0, n0), (o1, d1, n1), (o2, d2, n2)):
        top = n - 1.0001
        if abs(d) < 1e-12:
            if o < 0.0 or o > top:
                far = -1.0
        else:
            a, b = -o / d, (top - o) / d
            near = max(near, min(a, b))
            far = min(far, max(a, b))
    return near, far


@njit(**_FAST)
def march(values, filled, origin, rays, row0, column0, mm, out):  # type: ignore[no-untyped-def]
    """Add ∫V ds of every pixel to ``out`` (rows, columns).

    ``origin`` (3,) and ``rays`` (3, 3) give index coordinates ``origin + w·rays·(r, c, 1)``; ``mm`` is the pitch of
    the voxels; ``filled`` marks blocks of 4³ voxels that a sample may meet bone in.
    """
    n0, n1, n2 = values.shape
    o0, o1, o2 = origin[0], origin[1], origin[2]
    for r in range(out.shape[0]):
        for c in range(out.shape[1]):
            pr, pc = row0 + r, column0 + c
            d0 = rays[0, 0] * pr + rays[0, 1] * pc + rays[0, 2]
            d1 = rays[1, 0] * pr + rays[1, 1] * pc + rays[1, 2]
            d2 = rays[2, 0] * pr + rays[2, 1] * pc + rays[2, 2]
            near, far = _span(o0, o1, o2, d0, d1, d2, n0, n1, n2)
            if far <= near:
                continue
            length = np.sqrt(d0 * d0 + d1 * d1 + d2 * d2)
            steps = int((far - near) * length) + 1
            step = (far - near) / steps
            x = np.float32(o0 + (near + 0.5 * step) * d0)
            y = np.float32(o1 + (near + 0.5 * step) * d1)
            z = np.float32(o2 + (near + 0.5 * step) * d2)
            sx, sy, sz = np.float32(step * d0), np.float32(step * d1), np.float32(step * d2)
            total = np.float32(0.0)
            for _ in range(steps):
                i, j, k = int(x), int(y), int(z)
                if filled[i >> 2, j >> 2, k >> 2]:
                    a, b, e = x - np.float32(i), y - np.float32(j), z - np.float32(k)
                    v00 = values[i, j, k] + e * (values[i, j, k + 1] - values[i, j, k])
                    v01 = values[i, j + 1, k] + e * (values[i, j + 1, k + 1] - values[i, j + 1, k])
                    v10 = values[i + 1, j, k] + e * (values[i + 1, j, k + 1] - values[i + 1, j, k])
                    v11 = values[i + 1, j + 1, k] + e * (values[i + 1, j + 1, k + 1] - values[i + 1, j + 1, k])
                    w0 = v00 + b * (v01 - v00)
                    w1 = v10 + b * (v11 - v10)
                    total += w0 + a * (w1 - w0)
                x += sx
                y += sy
                z += sz
            out[r, c] += total * np.float32(step * length * mm)


@njit(**_FAST)
def march_with_slopes(  # type: ignore[no-untyped-def]  # noqa: PLR0915 - one march, unrolled
    values, filled, origin, rays, row0, column0, mm, turn, arm, way, out
):
    """Fill ``out`` (7, rows, columns): ∫V ds, then its slopes to three turns (per rad) and three shifts (per mm).

    ``turn`` (3, 3): rows are the axes of the parameters in index coordinates, per mm (so that ``turn·g`` is the
    gradient along them). ``arm`` (3,): source minus centre along those axes, mm. ``way`` (3, 3): the ray per mm of
    depth along those axes is ``way·(r, c, 1)``.
    """
    n0, n1, n2 = values.shape
    o0, o1, o2 = origin[0], origin[1], origin[2]
    for r in range(out.shape[1]):
        for c in range(out.shape[2]):
            for p in range(7):
                out[p, r, c] = 0.0
            pr, pc = row0 + r, column0 + c
            d0 = rays[0, 0] * pr + rays[0, 1] * pc + rays[0, 2]
            d1 = rays[1, 0] * pr + rays[1, 1] * pc + rays[1, 2]
            d2 = rays[2, 0] * pr + rays[2, 1] * pc + rays[2, 2]
            near, far = _span(o0, o1, o2, d0, d1, d2, n0, n1, n2)
            if far <= near:
                continue
            length = np.sqrt(d0 * d0 + d1 * d1 + d2 * d2)
            steps = int((far - near) * length) + 1
            step = (far - near) / steps
            x = np.float32(o0 + (near + 0.5 * step) * d0)
            y = np.float32(o1 + (near + 0.5 * step) * d1)
            z = np.float32(o2 + (near + 0.5 * step) * d2)
            sx, sy, sz = np.float32(step * d0), np.float32(step * d1), np.float32(step * d2)
            total = np.float32(0.0)
            g0, g1, g2 = np.float32(0.0), np.float32(0.0), np.float32(0.0)
            h0, h1, h2 = np.float32(0.0), np.float32(0.0), np.float32(0.0)
            for s in range(steps):
                i, j, k = int(x), int(y), int(z)
                if filled[i >> 2, j >> 2, k >> 2]:
                    a, b, e = x - np.float32(i), y - np.float32(j), z - np.float32(k)
                    p00, p01 = values[i, j, k], values[i, j, k + 1]
                    p10, p11 = values[i, j + 1, k], values[i, j + 1, k + 1]
                    q00, q01 = values[i + 1, j, k], values[i + 1, j, k + 1]
                    q10, q11 = values[i + 1, j + 1, k], values[i + 1, j + 1, k + 1]
                    e00, e01 = p01 - p00, p11 - p10
                    e10, e11 = q01 - q00, q11 - q10
                    v00, v01 = p00 + e * e00, p10 + e * e01
                    v10, v11 = q00 + e * e10, q10 + e * e11
                    w0, w1 = v00 + b * (v01 - v00), v10 + b * (v11 - v10)
                    total += w0 + a * (w1 - w0)
                    f0 = w1 - w0
                    f1 = (np.float32(1.0) - a) * (v01 - v00) + a * (v11 - v10)
                    m0, m1 = e00 + b * (e01 - e00), e10 + b * (e11 - e10)
                    f2 = m0 + a * (m1 - m0)
                    g0 += f0
                    g1 += f1
                    g2 += f2
                    t = np.float32(s)
                    h0 += t * f0
                    h1 += t * f1
                    h2 += t * f2
                x += sx
                y += sy
                z += sz
            ds = step * length * mm
            out[0, r, c] = total * ds
            first = near + 0.5 * step
            k0, k1, k2 = first * g0 + step * h0, first * g1 + step * h1, first * g2 + step * h2
            u0 = turn[0, 0] * g0 + turn[0, 1] * g1 + turn[0, 2] * g2
            u1 = turn[1, 0] * g0 + turn[1, 1] * g1 + turn[1, 2] * g2
            u2 = turn[2, 0] * g0 + turn[2, 1] * g1 + turn[2, 2] * g2
            v0 = turn[0, 0] * k0 + turn[0, 1] * k1 + turn[0, 2] * k2
            v1 = turn[1, 0] * k0 + turn[1, 1] * k1 + turn[1, 2] * k2
            v2 = turn[2, 0] * k0 + turn[2, 1] * k1 + turn[2, 2] * k2
            y0 = way[0, 0] * pr + way[0, 1] * pc + way[0, 2]
            y1 = way[1, 0] * pr + way[1, 1] * pc + way[1, 2]
            y2 = way[2, 0] * pr + way[2, 1] * pc + way[2, 2]
            out[1, r, c] = -ds * (arm[1] * u2 - arm[2] * u1 + y1 * v2 - y2 * v1)
            out[2, r, c] = -ds * (arm[2] * u0 - arm[0] * u2 + y2 * v0 - y0 * v2)
            out[3, r, c] = -ds * (arm[0] * u1 - arm[1] * u0 + y0 * v1 - y1 * v0)
            out[4, r, c] = -ds * u0
            out[5, r, c] = -ds * u1
            out[6, r, c] = -ds * u2


@njit(**_FAST)
def gradients(images, out):  # type: ignore[no-untyped-def]
    """Fill ``out`` (n, 2, rows, columns) with slopes along rows and columns of ``images`` (n, rows, columns), smoothed.

    Smoothed by (1, 4, 6, 4, 1)/16 both ways, then a central difference; 0 in the three outermost rows and columns.
    """
    count, rows, columns = images.shape
    smooth = np.empty((rows, columns), dtype=np.float32)
    soft = np.empty((rows, columns), dtype=np.float32)
    sixteenth = np.float32(1.0 / 16.0)
    four, six, half = np.float32(4.0), np.float32(6.0), np.float32(0.5)
    for n in range(count):
        image = images[n]
        for r in range(rows):
            for c in range(2, columns - 2):
                smooth[r, c] = sixteenth * (
                    image[r, c - 2] + image[r, c + 2] + four * (image[r, c - 1] + image[r, c + 1]) + six * image[r, c]
                )
        for r in range(2, rows - 2):
            for c in range(2, columns - 2):
                soft[r, c] = sixteenth * (
                    smooth[r - 2, c]
                    + smooth[r + 2, c]
                    + four * (smooth[r - 1, c] + smooth[r + 1, c])
                    + six * smooth[r, c]
                )
        out[n] = 0.0
        for r in range(3, rows - 3):
            for c in range(3, columns - 3):
                out[n, 0, r, c] = half * (soft[r + 1, c] - soft[r - 1, c])
                out[n, 1, r, c] = half * (soft[r, c + 1] - soft[r, c - 1])


@njit(**_FAST)
def patch_sums(fixed, moving, weight, cell, sums):  # type: ignore[no-untyped-def]
    """Fill ``sums`` (cell rows, cell columns, 36) with weighted products of gradients, summed over square cells.

    ``fixed`` (2, rows, columns); ``moving`` (7, 2, rows, columns), the DRR's gradients and those of its slopes. In
    order: ff, fm, mm, six fd, six md, 21 dd (upper triangle by rows).
    """
    rows, columns = weight.shape
    sums[:] = 0.0
    d = np.empty(7, dtype=np.float32)
    for r in range(rows):
        for c in range(columns):
            w = weight[r, c]
            if w <= 0.0:
                continue
            into = sums[r // cell, c // cell]
            for g in range(2):
                f = fixed[g, r, c]
                into[0] += w * f * f
                m = moving[0, g, r, c]
                into[1] += w * f * m
                into[2] += w * m * m
                for p in range(6):
                    d[p] = moving[p + 1, g, r, c]
                    into[3 + p] += w * f * d[p]
                    into[9 + p] += w * m * d[p]
                n = 15
                for p in range(6):
                    wp = w * d[p]
                    for q in range(p, 6):
                        into[n] += wp * d[q]
                        n += 1


@njit(**_FAST)
def value_sums(fixed, moving, weight, cell, sums):  # type: ignore[no-untyped-def]
    """Fill ``sums`` (cell rows, cell columns, 3) with the first three of `patch_sums`, from one image's gradients."""
    rows, columns = weight.shape
    sums[:] = 0.0
    for r in range(rows):
        for c in range(columns):
            w = weight[r, c]
            if w <= 0.0:
                continue
            into = sums[r // cell, c // cell]
            for g in range(2):
                f, m = fixed[g, r, c], moving[g, r, c]
                into[0] += w * f * f
                into[1] += w * f * m
                into[2] += w * m * m
