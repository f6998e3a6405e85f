"""Where the tracker stands: points touched with the tracked tip, paired with their places in the equipment frame."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fluoroscope.geometry.rigid import Matrix

__all__ = ["PairedRegistration", "register_points"]

Points = NDArray[np.float64]

_THINNEST = 0.05
"""Spread across the line of the points, of that along it: below, the turn about the line is not known."""


@dataclass(frozen=True, slots=True)
class PairedRegistration:
    """How one frame lies in another, from points known in both.

    Attributes
    ----------
    target_from_source
        Rigid (4, 4).
    rms_mm
        Of the points' residuals (fiducial registration error).
    residuals_mm
        (n,) distance that is left at each point.
    sigma_mm
        Standard deviation per axis of where one point was touched, as the residuals say it.
    points_mm
        (n, 3) the points in the target frame.
    """

    target_from_source: Matrix
    rms_mm: float
    residuals_mm: Points
    sigma_mm: float
    points_mm: Points

    def error_at_mm(self, place_mm: ArrayLike) -> float:
        """Return the expected (RMS) error at a place of the target frame, mm (target registration error).

        Fitzpatrick, West, Maurer, IEEE Trans Med Imaging 17 (1998) 694, doi:10.1109/42.736021:
        TRE² = FLE²/n · (1 + ⅓ Σ d_k²/f_k²) over the principal axes of the points, with FLE² = 3 σ².
        """
        count = len(self.points_mm)
        middle = self.points_mm.mean(axis=0)
        _, spread, axes = np.linalg.svd(self.points_mm - middle, full_matrices=False)
        along = axes @ (np.asarray(place_mm, dtype=np.float64) - middle)
        total = 1.0
        for axis in range(3):
            others = [other for other in range(3) if other != axis]
            from_axis = sum(along[other] ** 2 for other in others)
            points_from_axis = sum(spread[other] ** 2 for other in others) / count
            total += from_axis / max(points_from_axis, 1e-9) / 3.0
        return float(np.sqrt(3.0 * self.sigma_mm**2 / count * total))


def register_points(source_mm: ArrayLike, target_mm: ArrayLike) -> PairedRegistration:
    """Return the rigid transform that brings source points nearest to target points, in the least squares.

    Closed form by singular values without scale: Horn, J Opt Soc Am A 4 (1987) 629; Umeyama, IEEE Trans Pattern Anal
    13 (1991) 376, doi:10.1109/34.88573.

    Parameters
    ----------
    source_mm, target_mm
        (n, 3) the same points in both frames, 3 or more, not on a line.

    Raises
    ------
    ValueError
        When there are too few, they lie on a line, or a number is none.
    """
    source, target = np.asarray(source_mm, dtype=np.float64), np.asarray(target_mm, dtype=np.float64)
    if source.shape != target.shape or source.ndim != 2 or source.shape[1:] != (3,):
        raise ValueError(f"points: as many (x, y, z) in both frames are needed, got {source.shape} and {target.shape}")
    if len(source) < 3:
        raise ValueError(f"points: {len(source)} pairs; at least 3 are needed, 4 or more are better")
    if not (np.all(np.isfinite(source)) and np.all(np.isfinite(target))):
        raise ValueError("points: a coordinate is not a finite number")
    from_middle, to_middle = source - source.mean(axis=0), target - target.mean(axis=0)
    for points in (from_middle, to_middle):
        spread = np.linalg.svd(points, compute_uv=False)
        if spread[1] <= _THINNEST * spread[0]:
            raise ValueError("points: they lie on a line; choose points that span a plane or more")
    left, _, right = np.linalg.svd(to_middle.T @ from_middle)
    # A mirror image fits points of a plane as well; it is none of a body's.
    turn = left @ np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))]) @ right
    moved = np.eye(4)
    moved[:3, :3] = turn
    moved[:3, 3] = target.mean(axis=0) - turn @ source.mean(axis=0)
    residuals = np.linalg.norm(source @ turn.T + moved[:3, 3] - target, axis=1)
    squares, freedom = float((residuals**2).sum()), 3 * len(source) - 6
    return PairedRegistration(
        moved, float(np.sqrt(squares / len(source))), residuals, float(np.sqrt(squares / freedom)), target
    )
