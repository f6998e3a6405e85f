"""From a pose to the best one near it: Levenberg-Marquardt on the measure, in an image's own axes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.projection import ProjectionGeometry
from fluoroscope.geometry.rigid import Matrix, apply
from fluoroscope.guidance.registration.comparison import Comparison, Likeness

__all__ = [
    "ARM_MM",
    "Prior",
    "Refined",
    "image_axes",
    "information",
    "moved",
    "refine",
    "step_between",
    "total_likeness",
]

ARM_MM = 40.0
"""A turn is weighed as the shift of a point this far from the centre: about the half width of a vertebra."""
_SCALE = np.array([1.0 / ARM_MM] * 3 + [1.0] * 3)


@dataclass(frozen=True, slots=True)
class Prior:
    """A pose a bone is expected near, and how much leaving it costs.

    Attributes
    ----------
    pose
        equipment_from_ct.
    weight
        (6, 6) in the measure's units per rad and mm: half of stepᵀ·weight·step is taken from the value.
    """

    pose: Matrix
    weight: NDArray[np.float64]


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


def step_between(
    start: Matrix, end: Matrix, center_ct: NDArray[np.float64], axes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the (6,) step that `moved` takes from one pose to another (rotation vector by its first order)."""
    turn = end[:3, :3] @ start[:3, :3].T
    vector = 0.5 * np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    return np.concatenate([axes @ vector, axes @ (apply(end, center_ct) - apply(start, center_ct))])


def total_likeness(
    comparisons: Sequence[Comparison],
    pose: Matrix,
    axes: NDArray[np.float64],
    prior: Prior | None = None,
) -> Likeness:
    """Return the mean of the views' likeness, less what leaving a prior costs."""
    parts = [one.likeness(pose, axes) for one in comparisons]
    share = 1.0 / len(parts)
    value = share * sum(part.value for part in parts)
    slope: NDArray[np.float64] = share * np.sum([part.slope for part in parts], axis=0)
    curvature: NDArray[np.float64] = share * np.sum([part.curvature for part in parts], axis=0)
    if prior is not None:
        step = step_between(prior.pose, pose, comparisons[0].body.center_mm, axes)
        value -= 0.5 * float(step @ prior.weight @ step)
        slope = slope - prior.weight @ step
        curvature = curvature + prior.weight
    return Likeness(value, slope, curvature)


def refine(
    comparisons: Sequence[Comparison],
    pose: Matrix,
    center_ct: NDArray[np.float64],
    axes: NDArray[np.float64],
    *,
    iterations: int = 15,
    tolerance_mm: float = 0.02,
    longest_mm: float = 6.0,
    prior: Prior | None = None,
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
    prior
        Where the bone is expected; None for anywhere.
    """
    now = total_likeness(comparisons, pose, axes, prior)
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
        there = total_likeness(comparisons, tried, axes, prior)
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


_GRAIN_MM2 = 20.0
"""Of what a picture shows beside the bone (soft tissue, gas, other bones): an area over which it is one and the same.
Calibrated on modelled patients of seeds below 100 and on the two real CTs (docs/explanations/registration.md)."""


def information(comparisons: Sequence[Comparison], pose: Matrix, axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Fisher information (6, 6) per rad and mm of a pose, the views added up.

    With f = a·m + e, NCC² is the part of the picture's gradient the DRR explains, the variance of e per independent
    grain is (1 − NCC²)/NCC² of what m has, and n grains are compared: ``n · NCC²/(1 − NCC²) · H`` with H the
    Gauss-Newton Hessian of the measure.
    """
    total = np.zeros((6, 6))
    for one in comparisons:
        likeness = one.likeness(pose, axes)
        squared = float(np.clip(likeness.value, 0.02, 0.99)) ** 2
        total += one.area_mm2 / _GRAIN_MM2 * squared / (1.0 - squared) * likeness.curvature
    return total
