"""Rigid transforms as 4×4 float64 matrices on column vectors, named ``target_from_source``."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["apply", "inverse", "rotation", "translation", "turn_deg"]

Matrix = NDArray[np.float64]


def translation(offset_mm: ArrayLike) -> Matrix:
    """Return the translation by ``offset_mm`` (3,)."""
    matrix = np.eye(4)
    matrix[:3, 3] = np.asarray(offset_mm, dtype=np.float64)
    return matrix


def rotation(axis: ArrayLike, angle_deg: float, center_mm: ArrayLike = (0.0, 0.0, 0.0)) -> Matrix:
    """Return the right-handed rotation by ``angle_deg`` about ``axis`` through ``center_mm`` (Rodrigues).

    Raises
    ------
    ValueError
        When ``axis`` has no length.
    """
    direction = np.asarray(axis, dtype=np.float64)
    length = float(np.linalg.norm(direction))
    if length == 0.0:
        raise ValueError("rotation axis must not be the zero vector")
    x, y, z = direction / length
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    angle = np.deg2rad(angle_deg)
    turned = np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * (cross @ cross)
    center = np.asarray(center_mm, dtype=np.float64)
    matrix = np.eye(4)
    matrix[:3, :3] = turned
    matrix[:3, 3] = center - turned @ center
    return matrix


def inverse(target_from_source: Matrix) -> Matrix:
    """Return ``source_from_target`` of a rigid transform."""
    turned = target_from_source[:3, :3].T
    matrix = np.eye(4)
    matrix[:3, :3] = turned
    matrix[:3, 3] = -turned @ target_from_source[:3, 3]
    return matrix


def apply(target_from_source: Matrix, points_mm: ArrayLike) -> NDArray[np.float64]:
    """Move points of shape (..., 3)."""
    points = np.asarray(points_mm, dtype=np.float64)
    moved: NDArray[np.float64] = points @ target_from_source[:3, :3].T + target_from_source[:3, 3]
    return moved


def turn_deg(matrix: Matrix) -> float:
    """Return the angle of a rigid transform's rotation, 0 to 180 degrees."""
    cosine = 0.5 * (float(np.trace(matrix[:3, :3])) - 1.0)
    return float(np.rad2deg(np.arccos(np.clip(cosine, -1.0, 1.0))))
