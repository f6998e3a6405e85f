"""Errors of 2D/3D registration against the truth: how far, in which direction, how often, and how honestly said."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.rigid import apply, inverse
from fluoroscope.guidance.registration import Registration
from fluoroscope.guidance.view import XRayView

__all__ = ["FOUND_MM", "Outcome", "Summary", "outcome_of", "summary_of"]

Matrix = NDArray[np.float64]
FOUND_MM = 2.0
"""Success: mean target registration error of two views, or mean projection distance of one, below this."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One registration held against the truth.

    Attributes
    ----------
    level
        Which vertebra.
    views
        How many.
    mtre_mm
        Mean 3-D distance over the landmarks.
    mpd_mm
        Mean distance after dropping the part along the ray, at the landmark, mean over the views.
    in_plane_mm
        (2,) signed error of the centre along growing columns and rows of the first view.
    depth_mm
        Signed error of the centre along the first view's ray, positive away from the source.
    rotation_deg
        Angle of the estimated against the true turn.
    found
        Whether the error is below `FOUND_MM`.
    said
        Whether the algorithm called it a success.
    cause
        "" when found; else "level slip", "depth", "turn" or "place".
    sigma_in_plane_mm, sigma_depth_mm, evaluations, time_s, reason
        As the algorithm says.
    """

    level: str
    views: int
    mtre_mm: float
    mpd_mm: float
    in_plane_mm: tuple[float, float]
    depth_mm: float
    rotation_deg: float
    found: bool
    said: bool
    cause: str
    sigma_in_plane_mm: float
    sigma_depth_mm: float
    evaluations: int
    time_s: float
    reason: str


def outcome_of(
    found: Registration, truth: Matrix, landmarks_mm: NDArray[np.float64], center_mm: NDArray[np.float64],
    views: Sequence[XRayView],
) -> Outcome:  # fmt: skip
    """Hold a registration against the truth.

    Parameters
    ----------
    found
        What the algorithm says.
    truth
        equipment_from_ct of this vertebra.
    landmarks_mm, center_mm
        (n, 3) and (3,) of the vertebra, CT mm.
    views
        What was registered to.
    """
    wanted, got = apply(truth, landmarks_mm), apply(found.equipment_from_ct, landmarks_mm)
    away = got - wanted
    mtre = float(np.linalg.norm(away, axis=1).mean())
    across = []
    for view in views:
        rays = wanted - view.geometry.source_mm
        rays = rays / np.linalg.norm(rays, axis=1, keepdims=True)
        flat = away - (away * rays).sum(axis=1, keepdims=True) * rays
        across.append(float(np.linalg.norm(flat, axis=1).mean()))
    mpd = float(np.mean(across))
    center = apply(truth, center_mm)
    off = apply(found.equipment_from_ct, center_mm) - center
    axes = _axes(views[0], center)
    column, row, depth = (float(off @ axis) for axis in axes)
    turn = found.equipment_from_ct[:3, :3] @ inverse(truth)[:3, :3]
    # Of the chord: the arc cosine of a trace is blind to small turns.
    chord = float(np.linalg.norm(turn - np.eye(3))) / np.sqrt(8.0)
    rotation = float(np.rad2deg(2.0 * np.arcsin(min(chord, 1.0))))
    good = (mtre if len(views) > 1 else mpd) < FOUND_MM
    cause = "" if good else _cause(off, axes, rotation)
    return Outcome(
        found.level, len(views), mtre, mpd, (column, row), depth, rotation, good, found.success, cause,
        found.sigma_in_plane_mm, found.sigma_depth_mm, found.evaluations, found.time_s, found.reason,
    )  # fmt: skip


def _axes(view: XRayView, center: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Return unit vectors at right angles: along growing columns, along growing rows, and along the ray."""
    ray = center - view.geometry.source_mm
    ray = ray / np.linalg.norm(ray)
    columns = view.geometry.pixel_from_world[1, :3]
    u = columns - (columns @ ray) * ray
    u = u / np.linalg.norm(u)
    return u, np.cross(u, ray), ray


def _cause(off: NDArray[np.float64], axes: Sequence[NDArray[np.float64]], rotation_deg: float) -> str:
    """Name a failure: a neighbour taken for the vertebra lies some 25 to 45 mm off along the patient (z)."""
    if abs(float(off[2])) > 18.0:
        return "level slip"
    flat = float(np.hypot(off @ axes[0], off @ axes[1]))
    if abs(float(off @ axes[2])) > 2.0 * max(flat, 1.0):
        return "depth"
    return "turn" if rotation_deg > 4.0 else "place"


@dataclass(frozen=True, slots=True)
class Summary:
    """Many outcomes.

    Attributes
    ----------
    count
        How many.
    mtre_mm, mpd_mm, in_plane_mm, depth_mm, rotation_deg
        Median and 95th percentile; in-plane is the length of both parts, depth its size.
    found
        Share below `FOUND_MM`.
    shown
        Of those the algorithm calls a success: share not below `FOUND_MM` (wrong overlays shown as right).
    kept_back
        Of those that are found: share not called a success.
    coverage_in_plane, coverage_depth
        Share of the called successes whose error lies within 1.96 σ, each axis of the plane counted.
    time_s
        Median and 95th percentile.
    evaluations
        Median of DRRs rendered.
    causes
        Failures by cause.
    """

    count: int
    mtre_mm: tuple[float, float]
    mpd_mm: tuple[float, float]
    in_plane_mm: tuple[float, float]
    depth_mm: tuple[float, float]
    rotation_deg: tuple[float, float]
    found: float
    shown: float
    kept_back: float
    coverage_in_plane: float
    coverage_depth: float
    time_s: tuple[float, float]
    evaluations: float
    causes: dict[str, int]


def summary_of(outcomes: Iterable[Outcome]) -> Summary:
    """Return medians, shares and coverage of outcomes (at least one)."""
    every = list(outcomes)
    if not every:
        raise ValueError("no outcome to sum up")
    said = [one for one in every if one.said]
    good = [one for one in every if one.found]
    inside = [abs(part) <= 1.96 * one.sigma_in_plane_mm for one in said for part in one.in_plane_mm]
    deep = [abs(one.depth_mm) <= 1.96 * one.sigma_depth_mm for one in said]
    causes: dict[str, int] = {}
    for one in every:
        if one.cause:
            causes[one.cause] = causes.get(one.cause, 0) + 1
    return Summary(
        len(every),
        _spread(one.mtre_mm for one in every),
        _spread(one.mpd_mm for one in every),
        _spread(float(np.hypot(*one.in_plane_mm)) for one in every),
        _spread(abs(one.depth_mm) for one in every),
        _spread(one.rotation_deg for one in every),
        len(good) / len(every),
        _share([not one.found for one in said]),
        _share([not one.said for one in good]),
        _share(inside),
        _share(deep),
        _spread(one.time_s for one in every),
        float(np.median([one.evaluations for one in every])),
        causes,
    )


def _spread(values: Iterable[float]) -> tuple[float, float]:
    low, high = np.percentile(list(values), (50.0, 95.0))
    return float(low), float(high)


def _share(true: Sequence[bool]) -> float:
    return float(np.mean(true)) if true else float("nan")
