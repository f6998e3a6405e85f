"""From a start to a registration: search where the start is rough, refine coarse to fine, judge, and say so."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.projection import project_points
from fluoroscope.geometry.rigid import Matrix, apply, inverse, turn_deg
from fluoroscope.guidance.registration.comparison import Comparison, Measure
from fluoroscope.guidance.registration.judging import Evidence, judge
from fluoroscope.guidance.registration.model import VertebraModel
from fluoroscope.guidance.registration.neighbours import neighbours_misfit
from fluoroscope.guidance.registration.picture import Picture, apart
from fluoroscope.guidance.registration.refine import (
    Prior,
    Refined,
    image_axes,
    information,
    refine,
    total_likeness,
)
from fluoroscope.guidance.registration.rendering import Body
from fluoroscope.guidance.registration.result import Click, Registration, Start
from fluoroscope.guidance.registration.search import Candidate, Region, find
from fluoroscope.guidance.registration.spine import Spine
from fluoroscope.guidance.view import XRayView

__all__ = ["final_stage", "register"]

COARSE_MM, MIDDLE_MM, FINE_MM = 3.2, 1.6, 0.8
"""Pixels at the isocentre: 64², 128² and 256² of a field of 205 mm."""
_SAID = -1.0
"""Score of the start as it was said: refined with its neighbours alone too, the whole spine may pull it away."""
_LEVEL_LEAD = 0.06
"""What a place beyond the reach of the start must be better by: else the start is believed."""
_Handicap = Callable[[Matrix], float]
_LEVEL_MM = 48.0
"""Along the spine the level above and below are always looked at, however good the start is said to be."""
_SEARCH_DEPTH_MM = {False: 20.0, True: 4.0}


def register(
    models: Mapping[str, VertebraModel],
    views: Sequence[XRayView],
    initial: Matrix,
    *,
    level: str,
    start: Start | Click = Start.NEAR,
) -> Registration:
    """Return where a vertebra of a CT is in one or more X-ray pictures.

    Parameters
    ----------
    models
        Bones of the CT (`vertebra_models`); more than the target widens the basin and tells levels apart.
    views
        Pictures taken while the patient did not move; their beams' world is one equipment frame.
    initial
        equipment_from_ct to begin with, rigid (4, 4).
    level
        The target.
    start
        How good ``initial`` is, or a pixel of the target.

    Raises
    ------
    ValueError
        No such level, no view, or a start that is no rigid transform or outside the pictures.
    """
    began = time.perf_counter()
    _check(views, initial, start)
    spine = Spine(models, level)
    pictures = [Picture(view) for view in views]
    tried, count = _starts(spine, pictures, initial, start)
    handicap = _prior_of_start(spine, pictures, initial, start)
    ranked, evaluations = _narrowed(spine, pictures, tried, handicap)
    best = ranked[0]
    final, used = final_stage(spine, pictures, best.pose)
    misfit, asked = neighbours_misfit(spine, pictures, final.refined.pose)
    evidence = Evidence(spine, pictures, final, ranked, misfit, turn_deg(inverse(initial) @ final.refined.pose))
    return judge(evidence, count + evaluations + used + asked, began)


def _check(views: Sequence[XRayView], initial: Matrix, start: Start | Click) -> None:
    if not views:
        raise ValueError("no X-ray picture to register to; give one or more views")
    turned = initial[:3, :3] if initial.shape == (4, 4) else np.zeros((3, 3))
    if not np.allclose(turned @ turned.T, np.eye(3), atol=1e-4) or not np.isfinite(initial).all():
        raise ValueError("initial must be a rigid (4, 4) transform from CT to the equipment frame")
    if isinstance(start, Click):
        if not 0 <= start.view < len(views):
            raise ValueError(f"the click names view {start.view} of {len(views)}; count from 0")
        grid = views[start.view].geometry.grid
        if not (0 <= start.row < grid.rows and 0 <= start.column < grid.columns):
            raise ValueError(
                f"the click ({start.row:g}, {start.column:g}) is outside the picture of {grid.rows} x {grid.columns}"
            )


def _turns(reach_deg: float, corners: bool) -> NDArray[np.float64]:
    """Return no turn, a turn about each axis either way, and about all three at once."""
    turns = [np.zeros(3)]
    if reach_deg > 0.0:
        turns += [sign * reach_deg * axis for axis in np.eye(3) for sign in (1.0, -1.0)]
    if corners:
        turns += [0.8 * reach_deg * np.array([a, b, c]) for a in (1, -1) for b in (1, -1) for c in (1, -1)]
    return np.array(turns)


def _starts(
    spine: Spine, pictures: Sequence[Picture], initial: Matrix, start: Start | Click
) -> tuple[list[Candidate], int]:
    """Return poses to refine, and how many DRRs it took to find them."""
    layers = [picture.layer(COARSE_MM) for picture in pictures]
    whole = spine.body(tuple(spine.levels), 1)
    region = _region(spine, pictures, initial, start)
    found, count = find(layers, whole, initial, region, count=4 if start is Start.NEAR else 10)
    if start in (Start.NEAR, Start.FAR):
        found.append(Candidate(initial, _SAID))
    return found or [Candidate(initial, 0.0)], count


def _region(spine: Spine, pictures: Sequence[Picture], initial: Matrix, start: Start | Click) -> Region:
    """Return where to look for a start."""
    several = apart(pictures)
    step = np.array([COARSE_MM, COARSE_MM, _SEARCH_DEPTH_MM[several]])
    middle = apply(initial, spine.target.center_mm)
    first = pictures[0]
    if start is Start.NEAR:
        return Region(middle, np.array([14.0, _LEVEL_MM, 14.0]), step, _turns(0.0, corners=False))
    if start is Start.FAR:
        return Region(middle, np.array([27.0, _LEVEL_MM, 27.0]), step, _turns(8.0, corners=True))
    if isinstance(start, Click):
        geometry = pictures[start.view].view.geometry
        ray = geometry.direction_from_pixel @ np.array([start.row, start.column, 1.0])
        depth = float(geometry.pixel_from_world[2, 3])
        middle = geometry.source_mm + ray * depth
        half = np.array([14.0, 14.0, 90.0]) if start.view == 0 else np.array([90.0, 14.0, 90.0])
        return Region(middle, half, step, _turns(7.0, corners=False))
    grid = first.view.geometry.grid
    half = np.array([0.5 * grid.columns * first.pixel_mm, 0.5 * grid.rows * first.pixel_mm, 100.0 if several else 80.0])
    return Region(np.zeros(3), half, step, _turns(7.0, corners=False))


def _narrowed(
    spine: Spine, pictures: Sequence[Picture], tried: Sequence[Candidate], handicap: _Handicap
) -> tuple[list[Refined], int]:
    """Return the refined poses, best first, each another optimum, and how many DRRs it took."""
    whole, near = spine.body(tuple(spine.levels), 1), spine.body(spine.around(1), 1)
    coarse = [_stage(whole, pictures, one.pose, COARSE_MM, reach_mm=12.0, iterations=12) for one in tried]
    if tried[-1].score == _SAID:
        coarse.append(_stage(near, pictures, tried[-1].pose, COARSE_MM, reach_mm=12.0, iterations=12))
    count = sum(one.evaluations for one in coarse)
    coarse.sort(key=lambda one: handicap(one.pose) - one.value)
    fine = []
    for one in _distinct(coarse, spine, pictures)[:5]:
        wide = _stage(whole, pictures, one.pose, MIDDLE_MM, reach_mm=6.0, iterations=6)
        tight = _stage(near, pictures, wide.pose, MIDDLE_MM, reach_mm=6.0, iterations=6)
        count += wide.evaluations + tight.evaluations
        fine.append(Refined(tight.pose, 0.5 * (wide.value + tight.value), 0))
    fine.sort(key=lambda one: handicap(one.pose) - one.value)
    return _distinct(fine, spine, pictures), count


def _distinct(
    ranked: Sequence[Refined], spine: Spine, pictures: Sequence[Picture], apart_mm: float = 6.0
) -> list[Refined]:
    """Return poses without those that look as a better one does in every picture (depth alone is no other place)."""
    kept: list[Refined] = []
    seen: list[list[NDArray[np.float64]]] = []
    for one in ranked:
        marks = apply(one.pose, spine.target.landmarks_mm)
        here = [project_points(picture.view.geometry, marks) * picture.pixel_mm for picture in pictures]
        if all(
            max(float(np.linalg.norm(a - b, axis=1).mean()) for a, b in zip(here, there, strict=True)) > apart_mm
            for there in seen
        ):
            kept.append(one)
            seen.append(here)
    return kept


def _prior_of_start(spine: Spine, pictures: Sequence[Picture], initial: Matrix, start: Start | Click) -> _Handicap:
    """Return what a place loses that lies farther from the start than the start is said to be off."""
    reach_mm = {Start.NEAR: 22.0, Start.FAR: 34.0}.get(start) if isinstance(start, Start) else None
    axes = image_axes(pictures[0].view.geometry, apply(initial, spine.target.center_mm))
    if not apart(pictures):
        axes = axes[:2]

    def handicap(pose: Matrix) -> float:
        center = spine.target.center_mm
        off = float(np.linalg.norm(axes @ (apply(pose, center) - apply(initial, center))))
        return _LEVEL_LEAD if reach_mm is not None and off > reach_mm else 0.0

    return handicap


def _stage(
    body: Body,
    pictures: Sequence[Picture],
    pose: Matrix,
    pixel_mm: float,
    *,
    reach_mm: float = 5.0,
    iterations: int = 15,
    context: tuple[tuple[Body, Matrix], ...] = (),
    measure: Measure = Measure.PATCH_GRADIENT_NCC,
) -> Refined:
    comparisons = compared(body, pictures, pose, pixel_mm, reach_mm=reach_mm, context=context, measure=measure)
    axes = image_axes(pictures[0].view.geometry, apply(pose, body.center_mm))
    return refine(comparisons, pose, body.center_mm, axes, iterations=iterations)


def compared(
    body: Body,
    pictures: Sequence[Picture],
    pose: Matrix,
    pixel_mm: float,
    *,
    reach_mm: float = 5.0,
    context: tuple[tuple[Body, Matrix], ...] = (),
    measure: Measure = Measure.PATCH_GRADIENT_NCC,
) -> list[Comparison]:
    """Return one comparison per view."""
    return [
        Comparison(picture.layer(pixel_mm), body, pose, reach_mm=reach_mm, context=context, measure=measure)
        for picture in pictures
    ]


_POSTURE_DEG, _POSTURE_MM = 2.5, 1.5
"""How far (one standard deviation) a vertebra lies from where its group was found: the spine bends between CT and
X-ray, but each vertebra less against the mean of its neighbours."""
POSTURE = np.array([np.deg2rad(_POSTURE_DEG)] * 3 + [_POSTURE_MM] * 3)


@dataclass(frozen=True, slots=True)
class Final:
    """The last stage: the pose, the comparisons it is judged by, and what was known before (information, rad, mm)."""

    refined: Refined
    comparisons: list[Comparison]
    expected: NDArray[np.float64]


def final_stage(spine: Spine, pictures: Sequence[Picture], pose: Matrix) -> tuple[Final, int]:
    """Return the target refined at the finest pixels: with its neighbours, then alone.

    Alone it may leave the pose of the group as far as the picture is surer of it than that: a clear picture decides,
    in a poor one the group holds it. The neighbours stand behind it meanwhile.
    """
    body = spine.body((spine.level,), 0)
    others = tuple(level for level in spine.around(2) if level != spine.level)
    group = spine.body(spine.around(1), 0)
    axes = image_axes(pictures[0].view.geometry, apply(pose, body.center_mm))
    together = compared(group, pictures, pose, FINE_MM)
    found = refine(together, pose, group.center_mm, axes, iterations=8)
    if not others:
        return Final(found, together, np.zeros((6, 6))), found.evaluations
    pose = found.pose
    context = ((spine.body(others, 0), pose),)
    alone = compared(body, pictures, pose, FINE_MM, context=context)
    known = np.linalg.inv(information(together, pose, axes) + 1e-9 * np.eye(6))
    expected = np.linalg.inv(known + np.diag(POSTURE**2))
    refined = refine(
        alone, pose, body.center_mm, axes, iterations=10, tolerance_mm=0.01, prior=_prior(alone, pose, axes, expected)
    )
    return Final(refined, alone, expected), found.evaluations + refined.evaluations + 2 * len(alone)


def _prior(
    comparisons: Sequence[Comparison], pose: Matrix, axes: NDArray[np.float64], expected: NDArray[np.float64]
) -> Prior:
    """Return the prior of the group's pose in units of the measure: what it says against what the pictures say."""
    known = np.diag(information(comparisons, pose, axes))
    curvature = np.diag(total_likeness(comparisons, pose, axes).curvature)
    per_unit = float(np.median(curvature / np.maximum(known, 1e-12)))
    return Prior(pose, per_unit * expected)
