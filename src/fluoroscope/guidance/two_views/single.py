"""The tip in one view, on the line it was planned along."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fluoroscope.geometry.projection import ProjectionGeometry, project_points
from fluoroscope.guidance.two_views.points import pixel_jacobian

__all__ = ["PlannedTip", "down_the_needle", "single_view_tip"]

Float = NDArray[np.float64]
MAX_DEPTH_SIGMA_MM = 5.0
"""A depth known worse than this is no depth to go on."""


@dataclass(frozen=True, slots=True)
class PlannedTip:
    """A tip from one view and the plan.

    Attributes
    ----------
    position_mm, covariance_mm2
        (3,) and (3, 3), world of the geometry.
    along_mm
        From the plan's entry toward its target.
    sigma_along_mm
        Of that, 1 σ.
    off_line_mm
        How far the pixel's ray passes the planned line.
    view_angle_deg
        Between the ray and the line: 0 looks down the needle, 90 sees all of its way.
    accepted, reason
        Whether the depth may be used, and why not.
    """

    position_mm: Float
    covariance_mm2: Float
    along_mm: float
    sigma_along_mm: float
    off_line_mm: float
    view_angle_deg: float
    accepted: bool
    reason: str = ""


def single_view_tip(
    pixel: ArrayLike,
    geometry: ProjectionGeometry,
    entry_mm: ArrayLike,
    target_mm: ArrayLike,
    *,
    sigma_px: float = 1.0,
    line_sigma_mm: float = 2.0,
) -> PlannedTip:
    """Return the tip by its pixel and the line it is thought to go along.

    The tip lies on the line but for a normal error of ``line_sigma_mm`` across it; the pixel corrects what it can see
    of that, and the depth carries the rest.

    Parameters
    ----------
    pixel, geometry, sigma_px
        (row, column) of the tip, the beam, the pixel's error.
    entry_mm, target_mm
        (3,) of the plan, world of the geometry.
    line_sigma_mm
        How far the needle may lie from the planned line, 1 σ in each direction across it.

    Raises
    ------
    ValueError
        When entry and target are one point or an error is not above 0.
    """
    entry, target = np.asarray(entry_mm, dtype=np.float64), np.asarray(target_mm, dtype=np.float64)
    length = float(np.linalg.norm(target - entry))
    if not length > 0.0 or not (sigma_px > 0.0 and line_sigma_mm > 0.0):
        raise ValueError("a planned line needs two points apart, and errors above 0")
    line = (target - entry) / length
    prior = (np.eye(3) - np.outer(line, line)) / line_sigma_mm**2
    # The prior says nothing along the line but keeps the normal equations regular when looked down upon.
    prior = prior + np.outer(line, line) / (10.0 * length) ** 2
    middle = 0.5 * (entry + target)
    at: Float = middle
    for _ in range(20):
        slope = pixel_jacobian(geometry, at)
        away = np.asarray(pixel, dtype=np.float64) - project_points(geometry, at)
        normal = slope.T @ slope / sigma_px**2 + prior
        step = np.linalg.solve(normal, slope.T @ away / sigma_px**2 - prior @ (at - middle))
        at = at + step
        if float(np.abs(step).max()) < 1e-9:
            break
    slope = pixel_jacobian(geometry, at)
    covariance = np.asarray(np.linalg.inv(slope.T @ slope / sigma_px**2 + prior), dtype=np.float64)
    ray: Float = at - geometry.source_mm
    ray = ray / np.linalg.norm(ray)
    angle = float(np.rad2deg(np.arcsin(min(1.0, float(np.linalg.norm(np.cross(ray, line)))))))
    seen = geometry.direction_from_pixel @ (*np.asarray(pixel, dtype=np.float64), 1.0)
    normal_way = np.cross(seen, line)
    size = float(np.linalg.norm(normal_way))
    off = abs(float((entry - geometry.source_mm) @ normal_way)) / size if size > 1e-9 else 0.0
    sigma = float(np.sqrt(line @ covariance @ line))
    reason = _doubt(sigma, off, angle, line_sigma_mm)
    return PlannedTip(at, covariance, float((at - entry) @ line), sigma, off, angle, not reason, reason)


def _doubt(sigma_mm: float, off_mm: float, angle_deg: float, line_sigma_mm: float) -> str:
    if sigma_mm > MAX_DEPTH_SIGMA_MM:
        return (f"the depth is known to ± {sigma_mm:.0f} mm only, the beam is {angle_deg:.0f} deg from the needle:"
                " turn to the confirming view")  # fmt: skip
    if off_mm > 4.0 * line_sigma_mm:
        return f"the tip is {off_mm:.1f} mm beside the planned line: two views are needed to place it"
    return ""


def down_the_needle(
    tip_mm: ArrayLike,
    hub_px: ArrayLike,
    geometry: ProjectionGeometry,
    length_mm: float,
    expected: ArrayLike,
    *,
    sigma_px: float = 1.0,
    tip_sigma_mm: float = 0.5,
) -> tuple[Float, float] | None:
    """Return the way a needle of known length points, of the view that looks down on it, and its 1 σ in deg.

    Hub and tip lie nearly on each other there; by how much they do not, over the length, is the angle.

    Parameters
    ----------
    tip_mm
        (3,) where the tip is.
    hub_px, geometry, sigma_px
        (row, column) of the needle's upper end, the beam, the pixel's error.
    length_mm
        From tip to that end.
    expected
        (3,) the planned way from hub to tip: tells on which side of the tip the hub is.
    tip_sigma_mm
        Error of the tip across the beam.

    Returns
    -------
    Unit direction (3,) and its error; None when no hub of this length can be seen at that pixel.
    """
    tip, wanted = np.asarray(tip_mm, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    ray = geometry.direction_from_pixel @ (*np.asarray(hub_px, dtype=np.float64), 1.0)
    ray = ray / np.linalg.norm(ray)
    from_source = tip - geometry.source_mm
    along = float(ray @ from_source)
    inside = length_mm**2 - (float(from_source @ from_source) - along**2)
    if not inside > 0.0:
        return None
    ends = [geometry.source_mm + (along + sign * inside**0.5) * ray for sign in (-1.0, 1.0)]
    ways = [(tip - end) / length_mm for end in ends]
    way = max(ways, key=lambda one: float(one @ wanted))
    depth = float(geometry.pixel_from_world[2] @ (*(tip - length_mm * way), 1.0))
    mm_per_px = depth * geometry.grid.pitch_mm / geometry.source_to_detector_mm
    return way, float(np.rad2deg(np.hypot(sigma_px * mm_per_px, tip_sigma_mm) / length_mm))
