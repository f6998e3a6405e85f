"""Whether the patient lies as he lay: bone seen again, or a vertebra registered again, between two views."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fluoroscope.geometry.projection import ProjectionGeometry, project_points
from fluoroscope.geometry.rigid import Matrix, apply
from fluoroscope.guidance.two_views.points import pixel_jacobian

__all__ = ["ACCEPTED_MM", "PatientShift", "landmark_shift", "pose_shift"]

Float = NDArray[np.float64]
ACCEPTED_MM = 1.0
"""Two views belong together when bone moved by no more (`reference/guidance.md` §4.3)."""
UNTOLD = "whether the patient moved cannot be told: mark or register bone in both views"


@dataclass(frozen=True, slots=True)
class PatientShift:
    """How far bone moved between two views.

    Attributes
    ----------
    shift_mm
        Of what can be told; NaN when nothing can.
    sigma_mm
        Its standard deviation, mm.
    accepted
        Whether the views may be used together.
    reason
        Why not, for the screen; "" when accepted.
    """

    shift_mm: float
    sigma_mm: float
    accepted: bool
    reason: str = ""


def landmark_shift(
    landmark_mm: ArrayLike,
    covariance_mm2: ArrayLike,
    pixel: ArrayLike,
    geometry: ProjectionGeometry,
    sigma_px: float = 1.0,
) -> PatientShift:
    """Compare a bone landmark known from earlier views with the pixel it is seen at now.

    Parameters
    ----------
    landmark_mm, covariance_mm2
        (3,) and (3, 3): where it was, in the equipment frame.
    pixel, geometry, sigma_px
        (row, column) where it is seen now, the beam, and the pixel's error.
    """
    before = np.asarray(landmark_mm, dtype=np.float64)
    slope = pixel_jacobian(geometry, before)
    away = np.asarray(pixel, dtype=np.float64) - project_points(geometry, before)
    # The smallest movement that explains the picture: what goes along the ray is not seen.
    back = np.linalg.pinv(slope)
    spread = back @ (slope @ np.asarray(covariance_mm2) @ slope.T + sigma_px**2 * np.eye(2)) @ back.T
    return _judged(back @ away, spread)


def pose_shift(
    before: Matrix, after: Matrix, at_ct_mm: ArrayLike, before_covariance: ArrayLike, after_covariance: ArrayLike
) -> PatientShift:
    """Compare where one vertebra was registered in two views.

    Only directions known to 1 mm (1 σ) in both are compared: a single view tells nothing along its beam.

    Parameters
    ----------
    before, after
        ``equipment_from_ct`` (4, 4) of the same vertebra.
    at_ct_mm
        (3,) the point of the CT to compare at, the target.
    before_covariance, after_covariance
        (3, 3) of the position, equipment frame, mm².
    """
    moved = apply(after, at_ct_mm) - apply(before, at_ct_mm)
    return _judged(moved, np.asarray(before_covariance, dtype=np.float64) + np.asarray(after_covariance))


def _judged(moved_mm: Float, covariance_mm2: Float) -> PatientShift:
    values, vectors = np.linalg.eigh(covariance_mm2)
    known = values <= ACCEPTED_MM**2
    if not known.any() or not np.isfinite(moved_mm).all():
        return PatientShift(float("nan"), float("inf"), False, UNTOLD)
    parts = vectors.T[known] @ moved_mm
    shift = float(np.linalg.norm(parts))
    # σ along the movement itself; of the worst known direction while there is none.
    share = parts**2 / shift**2 if shift > 1e-9 else np.eye(int(known.sum()))[-1]
    sigma = float(np.sqrt(share @ np.maximum(values[known], 0.0)))
    if shift <= ACCEPTED_MM:
        return PatientShift(shift, sigma, True)
    return PatientShift(shift, sigma, False, f"the patient moved by {shift:.1f} ± {sigma:.1f} mm between the views"
                        f" (at most {ACCEPTED_MM:g}): take both views anew, breath held")  # fmt: skip
