"""Two pictures of one needle, of a biplane C-arm at one moment or of one C-arm one after the other."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fluoroscope.geometry.projection import ProjectionGeometry
from fluoroscope.geometry.rigid import Matrix, apply, inverse
from fluoroscope.guidance.two_views.needles import SeenNeedle, TriangulatedNeedle, triangulate_needle
from fluoroscope.guidance.two_views.points import triangulate
from fluoroscope.guidance.two_views.shift import ACCEPTED_MM, UNTOLD, PatientShift, pose_shift

__all__ = ["FusedNeedle", "SeenView", "fuse_views", "geometry_in"]

Float = NDArray[np.float64]
SAME_MOMENT_S = 0.15
"""Pictures closer in time are of one moment: breathing moves bone by well under 1 mm meanwhile."""
MAX_AGE_S = 300.0


@dataclass(frozen=True, slots=True)
class SeenView:
    """A needle in one picture, when that was taken, and what is known of the bone in it.

    Attributes
    ----------
    acquired_ns
        Time of the picture on the run's clock.
    geometry
        The beam; world is the equipment frame.
    needle
        As seen.
    equipment_from_ct, position_covariance_mm2
        Of the vertebra aimed at, as registered in this picture, (4, 4), with (3, 3) of its position; None without.
    landmarks_px
        (row, column) of bone landmarks by name.
    """

    acquired_ns: int
    geometry: ProjectionGeometry
    needle: SeenNeedle
    equipment_from_ct: Matrix | None = None
    position_covariance_mm2: Float | None = None
    landmarks_px: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FusedNeedle:
    """A needle out of two pictures.

    Attributes
    ----------
    needle
        In the equipment frame.
    needle_in_ct
        In the CT, each picture placed by its own registration: bone that moved between the pictures does no harm as
        far as the needle moved with it. None without both registrations.
    live
        Whether both pictures are of one moment.
    age_s, apart_s
        Of the older picture, and between the two.
    shift
        Of the bone between the pictures; None when they are of one moment.
    accepted, reason
        Whether it may be shown as the needle's place now, and why not.
    """

    needle: TriangulatedNeedle
    needle_in_ct: TriangulatedNeedle | None
    live: bool
    age_s: float
    apart_s: float
    shift: PatientShift | None
    accepted: bool
    reason: str = ""


def fuse_views(
    first: SeenView,
    second: SeenView,
    *,
    now_ns: int,
    at_ct_mm: ArrayLike | None = None,
    geometry_sigma_mm: float = 0.0,
    max_age_s: float = MAX_AGE_S,
) -> FusedNeedle:
    """Return the needle of two pictures, with its age and whether the patient lay still between them.

    The needle itself must not have been moved between them: that is the caller's to know.

    Parameters
    ----------
    first, second
        The two pictures, in any order.
    now_ns
        Time on the same clock.
    at_ct_mm
        (3,) the point of the CT at which registered poses are compared: the target.
    geometry_sigma_mm
        Error of each view's pose, mm.
    max_age_s
        Older pictures are refused.
    """
    geometries = (first.geometry, second.geometry)
    needle = triangulate_needle(first.needle, second.needle, geometries, geometry_sigma_mm=geometry_sigma_mm)
    in_ct = None
    poses = (first.equipment_from_ct, second.equipment_from_ct)
    if poses[0] is not None and poses[1] is not None:
        placed = (geometry_in(first.geometry, poses[0]), geometry_in(second.geometry, poses[1]))
        in_ct = triangulate_needle(first.needle, second.needle, placed)
    apart = abs(first.acquired_ns - second.acquired_ns) * 1e-9
    age = (now_ns - min(first.acquired_ns, second.acquired_ns)) * 1e-9
    live = apart <= SAME_MOMENT_S
    shift = None if live else _shift(first, second, at_ct_mm)
    if age > max_age_s:
        reason = f"the older view is {age:.0f} s old: take it anew"
    elif shift is not None and not shift.accepted:
        reason = shift.reason
    else:
        reason = needle.tip.reason
    return FusedNeedle(needle, in_ct, live, age, apart, shift, not reason, reason)


def geometry_in(geometry: ProjectionGeometry, equipment_from_ct: Matrix) -> ProjectionGeometry:
    """Return the same beam in the coordinates of a registered CT."""
    source = apply(inverse(equipment_from_ct), geometry.source_mm)
    matrix = geometry.pixel_from_world @ equipment_from_ct
    return ProjectionGeometry(matrix, source, geometry.source_to_detector_mm, geometry.grid)


def _shift(first: SeenView, second: SeenView, at_ct_mm: ArrayLike | None) -> PatientShift:
    poses = (first.equipment_from_ct, second.equipment_from_ct)
    spreads = (first.position_covariance_mm2, second.position_covariance_mm2)
    if poses[0] is not None and poses[1] is not None and spreads[0] is not None and spreads[1] is not None:
        if at_ct_mm is None:
            raise ValueError("at_ct_mm is needed to compare registered poses: give the target in the CT")
        return pose_shift(poses[0], poses[1], at_ct_mm, spreads[0], spreads[1])
    common = [name for name in first.landmarks_px if name in second.landmarks_px]
    if not common:
        return PatientShift(float("nan"), float("inf"), False, UNTOLD)
    geometries = (first.geometry, second.geometry)
    marks = [triangulate([first.landmarks_px[name], second.landmarks_px[name]], geometries) for name in common]
    gap = max(one.ray_gap_mm for one in marks)
    # The gap of rays with 1 px of error each, at the landmark.
    sigma = float(np.sqrt(2.0) * np.mean([one.axes_mm[0][1] for one in marks]))
    if gap <= ACCEPTED_MM:
        return PatientShift(gap, sigma, True)
    return PatientShift(gap, sigma, False, f"the patient moved by {gap:.1f} ± {sigma:.1f} mm between the views (at most"
                        f" {ACCEPTED_MM:g}): take both views anew, breath held")  # fmt: skip
