"""The shaft of a bent needle, wire or catheter in space, by matching its two pictures along epipolar lines."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.projection import ProjectionGeometry, project_points

__all__ = ["centreline"]

Float = NDArray[np.float64]
SAMPLES_A, SAMPLES_B = 100, 300
FAR_PX = 3.0
"""A match farther from its epipolar line is none: one picture sees more of the shaft."""
UNEVEN = 0.05
"""Price of matching at an uneven pace, in squared pixels of epipolar distance."""
GRAZING = np.sin(np.deg2rad(10.0))
"""Where a shaft runs along the epipolar line its match is not sharp and is bridged by the fit."""
POINTS = 33
KNOT_MM = 15.0


def centreline(path_a: Float, path_b: Float, geometries: Sequence[ProjectionGeometry]) -> Float:
    """Return (33, 3) the shaft seen in both views, from the hub's side to the tip; (0, 3) without enough matches.

    Parameters
    ----------
    path_a, path_b
        (n, 2) centrelines (row, column) of one shaft, hub's side to tip.
    geometries
        The two beams.
    """
    a, b = _resampled(path_a, SAMPLES_A)[::-1], _resampled(path_b, SAMPLES_B)[::-1]
    matched = _matches(a, b, geometries)
    if len(matched) < 3:
        return np.zeros((0, 3))
    points = _midpoints(a[matched[:, 0].astype(int)], matched[:, 1:], geometries)
    return _smooth(points, matched[:, 0])[::-1]


def _resampled(path: Float, count: int) -> Float:
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    at = np.concatenate([[0.0], np.cumsum(steps)])
    wanted = np.linspace(0.0, at[-1], count)
    return np.stack([np.interp(wanted, at, path[:, axis]) for axis in (0, 1)], axis=1)


def _matches(a: Float, b: Float, geometries: Sequence[ProjectionGeometry]) -> Float:
    """Return rows (index in a, row and column in b), in order from the tip; both paths begin there."""
    first, second = geometries
    ways = np.concatenate([a, np.ones((len(a), 1))], axis=1) @ first.direction_from_pixel.T
    # Two points of each ray, near and far, span its epipolar line in the other picture.
    near, far = (project_points(second, first.source_mm + share * first.source_to_detector_mm * ways)
                 for share in (0.4, 0.9))  # fmt: skip
    normals = np.stack([-(far - near)[:, 1], (far - near)[:, 0]], axis=1)
    normals /= np.maximum(np.linalg.norm(normals, axis=1), 1e-12)[:, None]
    off = np.einsum("jk,ik->ij", b, normals) - np.einsum("ik,ik->i", near, normals)[:, None]
    way = np.gradient(b, axis=0)
    slope = np.einsum("jk,ik->ij", way, normals)
    at = _in_order(off**2)
    rows = np.arange(len(a))
    away, rate = off[rows, at], slope[rows, at]
    sharp = np.abs(rate) > GRAZING * np.linalg.norm(way[at], axis=1)
    move = np.where(sharp, -away / np.where(sharp, rate, 1.0), 0.0)
    kept = sharp & (np.abs(away) < FAR_PX) & (np.abs(move) <= 3.0)
    # The first and last of a path may lie a little outside the other: a short way on along its end.
    pixels = b[at] + move[:, None] * way[at]
    return np.concatenate([rows[kept, None].astype(np.float64), pixels[kept]], axis=1)


def _in_order(costs: Float) -> NDArray[np.int64]:
    """Return for each row of costs (n, m) the column of the cheapest way that never goes back (dynamic programming)."""
    n, m = costs.shape
    pace = m / n
    hops = np.arange(int(4 * pace) + 2)
    price = UNEVEN * (hops / pace - 1.0) ** 2
    total = costs[0] + UNEVEN * (np.arange(m) / pace) ** 2
    came = np.zeros((n, m), dtype=np.int64)
    columns = np.arange(m)
    before = columns[None, :] - hops[:, None]
    for row in range(1, n):
        paid = np.where(before >= 0, total[np.maximum(before, 0)] + price[:, None], np.inf)
        best = paid.argmin(axis=0)
        came[row] = columns - best
        total = paid[best, columns] + costs[row]
    way = np.zeros(n, dtype=np.int64)
    way[-1] = int(total.argmin())
    for row in range(n - 1, 0, -1):
        way[row - 1] = came[row, way[row]]
    return way


def _midpoints(a: Float, b: Float, geometries: Sequence[ProjectionGeometry]) -> Float:
    """Return (n, 3) middles between the rays of matched pixels."""
    sources = [one.source_mm for one in geometries]
    ways = [
        np.concatenate([pixels, np.ones((len(pixels), 1))], axis=1) @ one.direction_from_pixel.T
        for pixels, one in zip((a, b), geometries, strict=True)
    ]
    units = [one / np.linalg.norm(one, axis=1)[:, None] for one in ways]
    across = [np.eye(3) - one[:, :, None] * one[:, None, :] for one in units]
    right = sum(m @ s for m, s in zip(across, sources, strict=True))
    return np.asarray(np.linalg.solve(across[0] + across[1], right[..., None])[..., 0], dtype=np.float64)


def _smooth(points: Float, at: Float) -> Float:
    """Return `POINTS` of a cubic through the points, of more pieces the longer it is, outliers left out."""
    from scipy.interpolate import make_lsq_spline

    keep = np.ones(len(points), dtype=bool)
    wanted = np.linspace(at[0], at[-1], POINTS)
    length = float(np.linalg.norm(np.diff(points[::4], axis=0), axis=1).sum())
    fitted = points
    for _ in range(3):
        t, values = at[keep], points[keep]
        pieces = max(1, min(int(length / KNOT_MM), len(t) // 8))
        degree = min(3, len(t) - 1)
        inner = np.quantile(t, np.linspace(0.0, 1.0, pieces + 1)[1:-1])
        knots = np.concatenate([np.full(degree + 1, t[0]), inner, np.full(degree + 1, t[-1])])
        spline = make_lsq_spline(t, values, knots, k=degree)
        fitted = np.asarray(spline(np.clip(wanted, t[0], t[-1])), dtype=np.float64)
        off = np.linalg.norm(points - spline(np.clip(at, t[0], t[-1])), axis=1)
        better = off <= max(4.0 * float(np.median(off[keep])), 0.05)
        if (better == keep).all() or int(better.sum()) < 4:
            break
        keep = better
    return fitted
