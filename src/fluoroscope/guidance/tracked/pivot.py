"""Where the tip lies in a tool: the tool is swung about its tip, which stands in a dimple."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.rigid import Matrix

__all__ = ["PivotCalibration", "calibrate_pivot"]

Vector = NDArray[np.float64]

FEWEST_POSES = 20
LEAST_SWING_DEG = 30.0
_LARGEST_RMS_MM = 1.0
_OUTLIER = 3.0


@dataclass(frozen=True, slots=True)
class PivotCalibration:
    """What swinging about the tip gave.

    Attributes
    ----------
    tip_mm
        (3,) the tip in the tool's frame.
    pivot_mm
        (3,) the dimple in the tracker's frame.
    sigma_mm
        (3,) standard errors of ``tip_mm``.
    rms_mm
        Of the distances of the tip from the dimple, over the poses used.
    swing_deg
        Largest angle between two poses.
    used
        Poses, outliers left out.
    """

    tip_mm: Vector
    pivot_mm: Vector
    sigma_mm: Vector
    rms_mm: float
    swing_deg: float
    used: int


def calibrate_pivot(poses: NDArray[np.float64]) -> PivotCalibration:
    """Return tip and dimple by algebraic least squares: ``R_i · tip + t_i = pivot`` for every pose.

    Yaniv, Proc. SPIE 9415 (2015), 941527, doi:10.1117/12.2081348, recommends this one step method. Poses off by more
    than 3 times the scatter are left out once.

    Parameters
    ----------
    poses
        (n, 4, 4) rigid, tracker from tool, at least 20, swung by at least 30°.

    Raises
    ------
    ValueError
        When there are too few, they swing too little, or the tip did not stand still.
    """
    if len(poses) < FEWEST_POSES:
        raise ValueError(f"pivot: {len(poses)} poses; swing the tool longer, {FEWEST_POSES} are needed")
    swing_deg = _swing_deg(poses)
    if swing_deg < LEAST_SWING_DEG:
        raise ValueError(
            f"pivot: swung by {swing_deg:.0f}° only; swing by {LEAST_SWING_DEG:.0f}° or more in all directions"
        )
    tip, pivot, _ = _solved(poses)
    misses = np.linalg.norm(_misses(poses, tip, pivot), axis=1)
    # The distance of three equal scatters has its median at 1.54 of them; half the poses may be wrong.
    kept = misses <= _OUTLIER / 1.54 * np.sqrt(3.0) * max(float(np.median(misses)), 1e-6)
    if np.count_nonzero(kept) >= FEWEST_POSES:
        poses = poses[kept]
    tip, pivot, normal = _solved(poses)
    left = _misses(poses, tip, pivot)
    rms_mm = float(np.sqrt((left**2).sum(axis=1).mean()))
    if rms_mm > _LARGEST_RMS_MM:
        raise ValueError(f"pivot: the tip wandered by {rms_mm:.1f} mm (RMS); keep it in its dimple and swing again")
    variance = float((left**2).sum()) / max(left.size - 6, 1)
    if np.linalg.cond(normal) > 1e8:
        raise ValueError("pivot: the tool was turned about one axis only; swing it in all directions")
    sigma = np.sqrt(variance * np.diag(np.linalg.inv(normal))[:3])
    return PivotCalibration(tip, pivot, sigma, rms_mm, swing_deg, len(poses))


def _solved(poses: NDArray[np.float64]) -> tuple[Vector, Vector, Matrix]:
    system = np.concatenate([poses[:, :3, :3], np.broadcast_to(-np.eye(3), (len(poses), 3, 3))], axis=2).reshape(-1, 6)
    normal = system.T @ system
    solved = np.linalg.lstsq(system, -poses[:, :3, 3].ravel(), rcond=None)[0]
    return solved[:3], solved[3:], normal


def _misses(poses: NDArray[np.float64], tip: Vector, pivot: Vector) -> NDArray[np.float64]:
    return np.asarray(poses[:, :3, :3] @ tip + poses[:, :3, 3] - pivot)


def _swing_deg(poses: NDArray[np.float64]) -> float:
    turns = poses[:: max(1, len(poses) // 64), :3, :3].reshape(-1, 9)
    cosines = np.clip((turns @ turns.T - 1.0) / 2.0, -1.0, 1.0)
    return float(np.rad2deg(np.arccos(cosines.min())))
