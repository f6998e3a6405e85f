"""A needle seen in two views: tip, direction and the whole bent shaft in space."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fluoroscope.geometry.projection import ProjectionGeometry
from fluoroscope.guidance.needle.detection import DetectedNeedle
from fluoroscope.guidance.two_views.centreline import centreline
from fluoroscope.guidance.two_views.points import MIN_SEPARATION_DEG, TriangulatedPoint, triangulate

__all__ = ["EPIPOLAR_DEG", "SeenNeedle", "TriangulatedNeedle", "triangulate_needle"]

Float = NDArray[np.float64]
EPIPOLAR_DEG = 10.0
"""Nearer to the plane of the two beams the needle's two planes nearly coincide (`reference/guidance.md` §4.3)."""


@dataclass(frozen=True, slots=True)
class SeenNeedle:
    """A needle in one picture.

    Attributes
    ----------
    tip_px
        (row, column).
    path_px
        (n, 2) centreline from the hub's side to the tip, two points or more.
    tip_sigma_px, line_sigma_px
        Errors of the tip along the needle and of the centreline across it, 1 σ.
    hub_px
        (row, column) of the hub's end, where that is in the picture.
    """

    tip_px: tuple[float, float]
    path_px: Float
    tip_sigma_px: float = 1.0
    line_sigma_px: float = 0.5
    hub_px: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        path = np.asarray(self.path_px)
        if path.ndim != 2 or path.shape[1:] != (2,) or len(path) < 2 or not np.isfinite(path).all():
            raise ValueError(f"a needle's path needs two or more finite (row, column), got shape {path.shape}")
        if not np.linalg.norm(path[-1] - path[0]) > 0.0:
            raise ValueError("a needle's path has no length")
        if not (self.tip_sigma_px > 0.0 and self.line_sigma_px > 0.0):
            raise ValueError("a needle's errors must be above 0 px")
        self.path_px.setflags(write=False)

    @classmethod
    def of(cls, found: DetectedNeedle, *, line_sigma_px: float = 0.5) -> "SeenNeedle | None":
        """Return a detected needle as seen here; None for one without a length, seen end-on."""
        path = np.asarray(found.centreline_px, dtype=np.float64)
        if len(path) < 2 or not float(np.linalg.norm(path[-1] - path[0])) > 0.0:
            return None
        return cls(found.tip_px, path.copy(), max(found.tip_sigma_px, 0.1), line_sigma_px, found.hub_px)

    def tangent(self) -> tuple[Float, float]:
        """Return the unit way (row, column) at the tip, and its error in radians."""
        path = np.asarray(self.path_px, dtype=np.float64)
        way, sigma, left = _end_of(path, self.line_sigma_px)
        # A shaft too bent for a parabola is looked at nearer to its tip.
        for _ in range(3):
            if left <= self.line_sigma_px or len(path) < 12:
                break
            path = path[len(path) // 2 :]
            way, sigma, left = _end_of(path, self.line_sigma_px)
        return way, sigma

    def tip_covariance(self) -> Float:
        """Return (2, 2) of (row, column) of the tip, px²."""
        way, _ = self.tangent()
        across = np.array([-way[1], way[0]])
        spread: Float = self.tip_sigma_px**2 * np.outer(way, way) + self.line_sigma_px**2 * np.outer(across, across)
        return spread


@dataclass(frozen=True, slots=True)
class TriangulatedNeedle:
    """A needle in space.

    Attributes
    ----------
    tip
        With covariance, gap and whether it is accepted.
    direction
        (3,) unit, hub to tip, at the tip; NaN when it cannot be told.
    direction_covariance
        (3, 3) of the unit vector, nothing along itself.
    angle_sigma_deg
        Largest 1 σ of the direction.
    epipolar_deg
        Angle between needle and the plane of the two beams; below 10 the direction is ill-posed.
    direction_accepted, reason
        Whether the direction may be shown, and why not.
    path_mm
        (n, 3) the shaft seen in both views, hub's side to tip; (0, 3) when it cannot be told.
    length_mm
        Of ``path_mm``.
    """

    tip: TriangulatedPoint
    direction: Float
    direction_covariance: Float
    angle_sigma_deg: float
    epipolar_deg: float
    direction_accepted: bool
    reason: str
    path_mm: Float
    length_mm: float


def triangulate_needle(
    needle_a: SeenNeedle,
    needle_b: SeenNeedle,
    geometries: Sequence[ProjectionGeometry],
    *,
    geometry_sigma_mm: float = 0.0,
) -> TriangulatedNeedle:
    """Return a needle from how it is seen in two views.

    The tip is triangulated with errors along and across the shaft; the direction is where the two planes through
    source and shaft meet; the shaft comes from matching both centrelines along epipolar lines.

    Parameters
    ----------
    needle_a, needle_b
        As seen in the first and second view.
    geometries
        The two beams, of one world.
    geometry_sigma_mm
        Error of each view's pose at the needle, across its ray, mm.
    """
    seen = (needle_a, needle_b)
    spreads = np.array([one.tip_covariance() for one in seen])
    tip = triangulate(
        [one.tip_px for one in seen], geometries, spreads, geometry_sigma_mm=geometry_sigma_mm
    )  # fmt: skip
    # Views of one direction hold neither direction nor shaft.
    if not np.isfinite(tip.position_mm).all() or tip.separation_deg < MIN_SEPARATION_DEG:
        nowhere = np.full(3, np.nan)
        return TriangulatedNeedle(tip, nowhere, np.full((3, 3), np.nan), np.nan, np.nan, False, tip.reason,
                                  np.zeros((0, 3)), 0.0)  # fmt: skip
    direction, spread, epipolar = _direction(seen, geometries, tip.position_mm)
    hubs = [one.hub_px for one in seen]
    if epipolar < EPIPOLAR_DEG and hubs[0] is not None and hubs[1] is not None:
        direction, spread = _between_ends(tip, triangulate([hubs[0], hubs[1]], geometries, spreads))
        reason = ""
    elif epipolar < EPIPOLAR_DEG:
        reason = (f"the needle lies {epipolar:.0f} deg from the plane of the two beams: its direction cannot be told;"
                  " turn the C-arm out of that plane")  # fmt: skip
    else:
        reason = ""
    sigma = float(np.rad2deg(np.sqrt(max(np.linalg.eigvalsh(spread)[-1], 0.0))))
    path = centreline(seen[0].path_px, seen[1].path_px, geometries)
    length = float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum()) if len(path) else 0.0
    return TriangulatedNeedle(tip, direction, spread, sigma, epipolar, not (reason or tip.reason), reason or tip.reason,
                              path, length)  # fmt: skip


def _end_of(path: Float, line_sigma_px: float) -> tuple[Float, float, float]:
    """Return the unit way at a path's end, its error in radians, and how far the path leaves the fit, px RMS."""
    chord = path[-1] - path[0]
    length = float(np.linalg.norm(chord))
    along = chord / length
    across = np.array([-along[1], along[0]])
    s, off = (path - path[0]) @ along / length, (path - path[0]) @ across
    bent = len(path) >= 5 and float(np.ptp(off)) > 3.0 * line_sigma_px
    slope, left = 0.0, 0.0
    if len(path) >= 3:
        powers = np.vander(s, 3 if bent else 2, increasing=True)
        fit, *_ = np.linalg.lstsq(powers, off, rcond=None)
        slope = float(fit[1] + (2.0 * fit[2] * s[-1] if bent else 0.0)) / length
        left = float(np.sqrt(np.mean((off - powers @ fit) ** 2)))
    # A line of two ends; the slope at a parabola's end is four times as uncertain (its design matrix).
    sigma = np.sqrt(2.0) * line_sigma_px / length * (4.0 if bent else 1.0)
    way = along + slope * across
    return way / np.linalg.norm(way), float(sigma), left


def _direction(
    seen: Sequence[SeenNeedle], geometries: Sequence[ProjectionGeometry], tip_mm: Float
) -> tuple[Float, Float, float]:
    """Return direction, its covariance (3, 3) and the needle's angle to the epipolar plane, deg."""
    ways = [one.tangent() for one in seen]
    normals = np.array([_plane(g, s.tip_px, way) for s, g, (way, _) in zip(seen, geometries, ways, strict=True)])
    crossed = np.cross(normals[0], normals[1])
    sources = np.array([one.source_mm for one in geometries])
    epipolar_normal = np.cross(tip_mm - sources[0], tip_mm - sources[1])
    epipolar_normal = epipolar_normal / max(float(np.linalg.norm(epipolar_normal)), 1e-12)
    size = float(np.linalg.norm(crossed))
    if size < 1e-9:
        return np.full(3, np.nan), np.zeros((3, 3)), 0.0
    direction = crossed / size
    if _against(seen[0], geometries[0], tip_mm, direction):
        direction = -direction
    information = np.zeros((3, 3))
    for normal, one, geometry, (way, sigma) in zip(normals, seen, geometries, ways, strict=True):
        across = np.array([-way[1], way[0]])
        turned = _plane(geometry, one.tip_px, way + sigma * across)
        moved = _plane(geometry, np.asarray(one.tip_px) + one.line_sigma_px * across, way)
        variance = float((turned @ direction) ** 2 + (moved @ direction) ** 2)
        information += np.outer(normal, normal) / max(variance, 1e-18)
    basis = np.linalg.svd(direction[None])[2][1:]
    inner = np.linalg.inv(basis @ information @ basis.T)
    epipolar = float(np.rad2deg(np.arcsin(min(1.0, abs(float(direction @ epipolar_normal))))))
    # Planes that nearly coincide carry the needle themselves near the epipolar plane, wherever they happen to meet.
    planes = float(np.rad2deg(np.arcsin(min(1.0, size))))
    return direction, basis.T @ inner @ basis, min(epipolar, max(planes, 0.0))


def _plane(geometry: ProjectionGeometry, pixel: ArrayLike, way: Float) -> Float:
    """Return the unit normal of the plane through the source, a pixel and a way in the picture."""
    at = np.asarray(pixel, dtype=np.float64)
    turn = geometry.direction_from_pixel
    normal = np.cross(turn @ (*at, 1.0), turn @ (*way, 0.0))
    return np.asarray(normal / np.linalg.norm(normal), dtype=np.float64)


def _against(seen: SeenNeedle, geometry: ProjectionGeometry, tip_mm: Float, direction: Float) -> bool:
    """Whether a direction goes from tip to hub in the picture."""
    matrix = geometry.pixel_from_world
    ends = np.array([tip_mm, tip_mm + direction]) @ matrix[:, :3].T + matrix[:, 3]
    pixels = ends[:, :2] / ends[:, 2:]
    return bool((pixels[1] - pixels[0]) @ seen.tangent()[0] < 0.0)


def _between_ends(tip: TriangulatedPoint, hub: TriangulatedPoint) -> tuple[Float, Float]:
    way = tip.position_mm - hub.position_mm
    length = float(np.linalg.norm(way))
    direction = way / length
    across = np.eye(3) - np.outer(direction, direction)
    return direction, across @ (tip.covariance_mm2 + hub.covariance_mm2) @ across / length**2
