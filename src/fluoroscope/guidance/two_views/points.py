"""A point seen in two or more views: where it is, and how well that is known."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fluoroscope.geometry.projection import ProjectionGeometry, project_points

__all__ = ["GAP_MM", "TriangulatedPoint", "ellipsoid", "pixel_jacobian", "rays", "triangulate"]

Float = NDArray[np.float64]
GAP_MM = 2.0
"""Rays that pass each other farther than this belong to different points (`reference/guidance.md` §4.3)."""
MIN_SEPARATION_DEG = 5.0
"""Closer views give no depth: at 5° the error along the bisector is 16 times that in the picture."""


@dataclass(frozen=True, slots=True)
class TriangulatedPoint:
    """A point out of several views.

    Attributes
    ----------
    position_mm
        (3,) in the world of the geometries (the equipment frame).
    covariance_mm2
        (3, 3), of the errors told in the call.
    ray_gap_mm
        Largest distance between two of the rays, mm.
    residual_px
        RMS distance of the point's pixels from those given.
    separation_deg
        Largest angle between two rays, 0 to 90.
    accepted
        Whether it may be shown.
    reason
        Why not; "" when accepted.
    """

    position_mm: Float
    covariance_mm2: Float
    ray_gap_mm: float
    residual_px: float
    separation_deg: float
    accepted: bool
    reason: str = ""

    def __post_init__(self) -> None:
        self.position_mm.setflags(write=False)
        self.covariance_mm2.setflags(write=False)

    @property
    def axes_mm(self) -> tuple[Float, Float]:
        """Half axes of the 1 σ ellipsoid, falling, (3,), and their directions, the rows of (3, 3)."""
        return ellipsoid(self.covariance_mm2)


def triangulate(
    pixels: Sequence[ArrayLike],
    geometries: Sequence[ProjectionGeometry],
    sigma_px: ArrayLike = 1.0,
    *,
    geometry_sigma_mm: float = 0.0,
) -> TriangulatedPoint:
    """Return the point whose pixels lie nearest to those seen (least squares, Gauss-Newton from the rays' middle).

    Parameters
    ----------
    pixels
        (row, column) of the point in each view, two or more.
    geometries
        The beam of each view, of one world.
    sigma_px
        Error of a pixel: one number, one per view, or a covariance (2, 2) of (row, column) per view.
    geometry_sigma_mm
        Error of each view's pose at the point, across its ray, mm: counted as further pixel error.

    Returns
    -------
    TriangulatedPoint
        The covariance is exact to first order: ``(Σ Jᵀ S⁻¹ J)⁻¹``.

    Raises
    ------
    ValueError
        With fewer than two views, numbers that do not match, or errors that are not above 0.
    """
    seen = np.array([np.asarray(one, dtype=np.float64) for one in pixels])
    if len(seen) < 2 or len(seen) != len(geometries) or seen.shape[1:] != (2,) or not np.isfinite(seen).all():
        raise ValueError(f"a point needs a finite (row, column) in two or more views, got {len(seen)} of "
                         f"{len(geometries)} views")  # fmt: skip
    sources, directions = rays(seen, geometries)
    separation = _separation_deg(directions)
    start = _middle(sources, directions)
    if start is None:
        return _nowhere(separation, "the views have the same direction: turn the C-arm")
    spread = _pixel_covariances(sigma_px, geometries, start, geometry_sigma_mm)
    nearest = _nearest(seen, geometries, np.asarray(np.linalg.inv(spread), dtype=np.float64), start)
    if nearest is None:
        return _nowhere(separation, "the rays meet outside the beam: the marks are not of one point")
    point, covariance = nearest
    away = seen - np.array([project_points(one, point) for one in geometries])
    gap = _gap_mm(sources, directions)
    reason = _doubt(gap, separation, point, geometries)
    residual = float(np.sqrt((away**2).sum(axis=1).mean()))
    return TriangulatedPoint(point, covariance, gap, residual, separation, not reason, reason)


def _nearest(
    seen: Float, geometries: Sequence[ProjectionGeometry], weights: Float, start: Float
) -> tuple[Float, Float] | None:
    """Return the point nearest in the pictures and its covariance; None where it runs away or is not held."""
    point = start
    try:
        for _ in range(8):
            slopes = np.array([pixel_jacobian(one, point) for one in geometries])
            away = seen - np.array([project_points(one, point) for one in geometries])
            if not np.isfinite(slopes).all() or not np.isfinite(away).all():
                return None
            normal = np.einsum("vij,vik,vkl->jl", slopes, weights, slopes)
            step = np.linalg.solve(normal, np.einsum("vij,vik,vk->j", slopes, weights, away))
            point = point + step
            if float(np.abs(step).max()) < 1e-9:
                break
        slopes = np.array([pixel_jacobian(one, point) for one in geometries])
        if not np.isfinite(slopes).all():
            return None
        covariance = np.linalg.inv(np.einsum("vij,vik,vkl->jl", slopes, weights, slopes))
    except np.linalg.LinAlgError:
        return None
    return point, np.asarray(covariance, dtype=np.float64)


def _nowhere(separation_deg: float, reason: str) -> TriangulatedPoint:
    unknown = np.full((3, 3), np.nan)
    return TriangulatedPoint(np.full(3, np.nan), unknown, np.nan, np.nan, separation_deg, False, reason)


def rays(pixels: Float, geometries: Sequence[ProjectionGeometry]) -> tuple[Float, Float]:
    """Return sources (n, 3) and unit directions (n, 3) of pixels (n, 2), one per view."""
    ways = np.array([one.direction_from_pixel @ (*at, 1.0) for at, one in zip(pixels, geometries, strict=True)])
    return np.array([one.source_mm for one in geometries]), ways / np.linalg.norm(ways, axis=1)[:, None]


def pixel_jacobian(geometry: ProjectionGeometry, point_mm: Float) -> Float:
    """Return (2, 3): how (row, column) changes per mm of the point."""
    matrix = geometry.pixel_from_world
    row, column, depth = matrix[:, :3] @ point_mm + matrix[:, 3]
    if not abs(depth) > 1e-9:
        return np.full((2, 3), np.nan)
    slope: Float = (matrix[:2, :3] - np.outer((row / depth, column / depth), matrix[2, :3])) / depth
    return slope


def ellipsoid(covariance_mm2: Float) -> tuple[Float, Float]:
    """Return the half axes of the 1 σ ellipsoid, falling, (3,), and their unit directions as rows (3, 3)."""
    values, vectors = np.linalg.eigh(covariance_mm2)
    return np.sqrt(np.maximum(values[::-1], 0.0)), vectors.T[::-1]


def _pixel_covariances(
    sigma_px: ArrayLike, geometries: Sequence[ProjectionGeometry], point_mm: Float, geometry_sigma_mm: float
) -> Float:
    """Return (n, 2, 2) covariances of (row, column)."""
    given = np.asarray(sigma_px, dtype=np.float64)
    count = len(geometries)
    if given.ndim <= 1:
        spread = np.broadcast_to(given, (count,))[:, None, None] ** 2 * np.eye(2)
        valid = bool((given > 0.0).all())
    else:
        spread = np.broadcast_to(given, (count, 2, 2)).copy()
        valid = bool((np.linalg.eigvalsh(spread) > 0.0).all())
    if not valid or not np.isfinite(spread).all() or not geometry_sigma_mm >= 0.0:
        raise ValueError("pixel errors must be finite and above 0, and the error of a view's pose 0 or more")
    for number, one in enumerate(geometries):
        depth = float(one.pixel_from_world[2, :3] @ point_mm + one.pixel_from_world[2, 3])
        per_mm = one.source_to_detector_mm / (one.grid.pitch_mm * max(abs(depth), 1.0))
        spread[number] = spread[number] + (geometry_sigma_mm * per_mm) ** 2 * np.eye(2)
    return spread


def _middle(sources: Float, directions: Float) -> Float | None:
    """Return the point nearest to all rays in least squares; None when they are parallel."""
    across = np.eye(3) - directions[:, :, None] * directions[:, None, :]
    normal = across.sum(axis=0)
    if np.linalg.cond(normal) > 1e10:
        return None
    point: Float = np.linalg.solve(normal, np.einsum("vij,vj->i", across, sources))
    return point


def _gap_mm(sources: Float, directions: Float) -> float:
    gaps = [0.0]
    for i in range(len(sources)):
        for j in range(i):
            normal = np.cross(directions[i], directions[j])
            size = float(np.linalg.norm(normal))
            between = sources[i] - sources[j]
            # Nearly parallel rays: the distance of one source from the other's ray.
            off = abs(between @ normal) / size if size > 1e-9 else np.linalg.norm(np.cross(between, directions[i]))
            gaps.append(float(off))
    return max(gaps)


def _separation_deg(directions: Float) -> float:
    sines = [float(np.linalg.norm(np.cross(a, b))) for n, a in enumerate(directions) for b in directions[:n]]
    return float(np.rad2deg(np.arcsin(min(max(sines), 1.0))))


def _doubt(gap_mm: float, separation_deg: float, point: Float, geometries: Sequence[ProjectionGeometry]) -> str:
    if separation_deg < MIN_SEPARATION_DEG:
        return f"the views are {separation_deg:.1f} deg apart: turn the C-arm by at least {MIN_SEPARATION_DEG:g} deg"
    for one in geometries:
        depth = float(one.pixel_from_world[2, :3] @ point + one.pixel_from_world[2, 3])
        if not 0.0 < depth <= one.source_to_detector_mm:
            return "the rays meet outside the beam: the marks are not of one point"
    if gap_mm > GAP_MM:
        return (f"the rays pass each other at {gap_mm:.1f} mm (at most {GAP_MM:g}): not the same point, or the patient"
                " or C-arm moved between the views")  # fmt: skip
    return ""
