"""From a pose to the best one near it: Levenberg-Marquardt on the measure, in an image's own axes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.projection import ProjectionGeometry
from fluoroscope.geometry.rigid import Matrix, apply
from fluoroscope.guidance.registration.comparison import Comparison, Likeness

__all__ = ["ARM_MM", "Refined", "image_axes", "moved", "refine", "total_likeness"]

ARM_MM = 40.0
"""A turn is weighed as the shift of a point this far from the centre: about the half width of a vertebra."""
_SCALE = np.array([1.0 / ARM_MM] * 3 + [1.0] * 3)


@dataclass(frozen=True, slots=True)
class Refined:
    """Where the search ended.

    Attributes
    ----------
    pose
        equipment_from_ct.
    value
        The measure there, mean of the views.
    evaluations
        DRRs rendered.
    """

    pose: Matrix
    value: float
    evaluations: int


def image_axes(geometry: ProjectionGeometry, center_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (3, 3): rows are unit vectors along growing columns, growing rows, and the ray through a point.

    The first two are turned to stand at right angles to the ray, so that a shift along the third moves the point's
    picture nowhere: depth apart from what the picture shows.
    """
    ray = center_mm - geometry.source_mm
    ray = ray / np.linalg.norm(ray)
    columns = geometry.pixel_from_world[1, :3]
    u = columns - (columns @ ray) * ray
    u /= np.linalg.norm(u)
    return np.array([u, np.cross(ray, u), ray])


def moved(pose: Matrix, center_ct: NDArray[np.float64], axes: NDArray[np.float64], step: NDArray[np.float64]) -> Matrix:
    """Return a pose turned by ``step[:3]`` (rad, rotation vector along ``axes``) about a centre, and shifted (mm)."""
    vector = step[:3] @ axes
    angle = float(np.linalg.norm(vector))
    center = apply(pose, center_ct)
    turn = np.eye(3)
    if angle > 0.0:
        x, y, z = vector / angle
        cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
        turn = turn + np.sin(angle) * cross + (1.0 - np.cos(angle)) * (cross @ cross)
    result = np.eye(4)
    result[:3, :3] = turn @ pose[:3, :3]
    result[:3, 3] = center + step[3:] @ axes - result[:3, :3] @ center_ct
    return result


def total_likeness(comparisons: Sequence[Comparison], pose: Matrix, axes: NDArray[np.float64]) -> Likeness:
    """Return the mean of the views' likeness."""
    parts = [one.likeness(pose, axes) for one in comparisons]
    share = 1.0 / len(parts)
    return Likeness(
        share * sum(part.value for part in parts),
        share * np.sum([part.slope for part in parts], axis=0),
        share * np.sum([part.curvature for part in parts], axis=0),
        np.concatenate([share * part.scores for part in parts]),
    )


def refine(
    comparisons: Sequence[Comparison],
    pose: Matrix,
    center_ct: NDArray[np.float64],
    axes: NDArray[np.float64],
    *,
    iterations: int = 15,
    tolerance_mm: float = 0.02,
    longest_mm: float = 6.0,
) -> Refined:
    """Return the best pose near ``pose``.

    Parameters
    ----------
    comparisons
        One per view.
    pose
        equipment_from_ct to begin with.
    center_ct, axes
        Centre of turns, CT mm, and axes of the parameters in the equipment frame.
    iterations
        At most.
    tolerance_mm
        Ends when a step moves the bone by less.
    longest_mm
        Of one step (a turn counted at `ARM_MM`).
    """
    now = total_likeness(comparisons, pose, axes)
    count, damping = len(comparisons), 1e-2
    for _ in range(iterations):
        hessian = now.curvature * np.outer(_SCALE, _SCALE)
        slope = now.slope * _SCALE
        diagonal = np.diag(hessian)
        floor = 1e-4 * float(diagonal.max()) + 1e-12
        step = np.linalg.solve(hessian + np.diag(damping * diagonal + damping * floor + 1e-3 * floor), slope)
        length = float(np.linalg.norm(step))
        if not np.isfinite(length):
            break
        if length > longest_mm:
            step *= longest_mm / length
        tried = moved(pose, center_ct, axes, step * _SCALE)
        there = total_likeness(comparisons, tried, axes)
        count += len(comparisons)
        if there.value > now.value:
            pose, now = tried, there
            damping = max(damping * 0.2, 1e-4)
            if length < tolerance_mm:
                break
        else:
            damping *= 6.0
            if length < tolerance_mm or damping > 1e4:
                break
    return Refined(pose, now.value, count)
