"""Whether a pose can be trusted: what speaks against it, in one line, and how large its error may be."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.projection import project_points
from fluoroscope.geometry.rigid import Matrix, apply
from fluoroscope.guidance.registration.picture import Picture, apart
from fluoroscope.guidance.registration.refine import ARM_MM, Refined, image_axes, information
from fluoroscope.guidance.registration.result import Registration
from fluoroscope.guidance.registration.spine import Spine

if TYPE_CHECKING:
    from fluoroscope.guidance.registration.registering import Final

__all__ = ["Evidence", "judge"]

_EDGE_MM, _EDGE_OF_VOXEL = 0.06, 0.11
"""How far all edges may lie outward together: of a 1 mm CT, and for each mm its voxel is larger. Calibrated as
`information` is."""
_LEAST_LIKENESS, _LEAST_OF_BEST = 0.22, 0.45
"""Of every view, and of the one that is most alike. Right poses of tuning seeds reached 0.59 in their best view."""
_LEAST_SEEN = 0.55
_COVERED = 0.2
"""Share of the target's landmarks behind metal that explains why too little is seen."""
_LEAD = 0.03
"""Of the best place over the next best, by the whole spine."""
_MOST_MISFIT, _MISFIT_POWER = 0.30, 5
"""Of neighbours, mm, at full likeness, and how it falls with likeness: a pose that is less alike must be borne out by
its neighbours the more. Of tuning seeds (two patients, 108 cases) it parts wrong patients from right poses best."""


_MOST_TURNED_DEG = 25.0
"""From how the patient is said to lie: starts are good to 10 degrees, a spine bends and turns by less than as much."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a registration is judged by.

    Attributes
    ----------
    spine, pictures
        What was compared.
    final
        The last stage.
    ranked
        Other optima, best first, as the group saw them.
    misfit
        Of the neighbours (`neighbours_misfit`); 0 where it was not asked.
    turned_deg
        How far the pose is turned from where the search began.
    """

    spine: Spine
    pictures: Sequence[Picture]
    final: "Final"
    ranked: Sequence[Refined]
    misfit: float = 0.0
    turned_deg: float = 0.0


def judge(evidence: Evidence, evaluations: int, began: float) -> Registration:
    """Return the registration with its uncertainty, or the reason why it cannot be trusted."""
    final = evidence.final
    pose = final.refined.pose
    covariance = _covariance(evidence)
    sigmas = np.sqrt(np.diag(covariance)[3:])
    per_view = tuple(float(one.value(pose)) for one in final.comparisons)
    reason = _reason(evidence, per_view)
    return Registration(
        evidence.spine.level,
        pose,
        final.refined.value,
        covariance,
        float(max(sigmas[0], sigmas[1])),
        float(sigmas[2]),
        not reason,
        reason,
        evaluations,
        time.perf_counter() - began,
        per_view,
    )


def _covariance(evidence: Evidence) -> NDArray[np.float64]:
    """Return (6, 6) in deg and mm along the first view's axes."""
    final = evidence.final
    center = apply(final.refined.pose, evidence.spine.target.center_mm)
    axes = image_axes(evidence.pictures[0].view.geometry, center)
    scale = np.array([np.rad2deg(1.0)] * 3 + [1.0] * 3)
    held = information(final.comparisons, final.refined.pose, axes) + final.expected
    covariance: NDArray[np.float64] = np.asarray(np.linalg.inv(held), dtype=np.float64) * np.outer(scale, scale)
    if not apart(evidence.pictures):
        covariance[5, 5] += _depth_by_size(evidence, center) ** 2
    return covariance


def _depth_by_size(evidence: Evidence, center: NDArray[np.float64]) -> float:
    """Return the spread of a single view's depth by bones that look larger or smaller than they are, mm.

    Depth is read from size: edges that all lie outward by e at a half width of 40 mm bring the bone nearer by e/40 of
    its distance. Edges in a CT are known to a part of its voxel, the less alike the pictures are the less.
    """
    distance = float(np.linalg.norm(center - evidence.pictures[0].view.geometry.source_mm))
    edge_mm = _EDGE_MM + _EDGE_OF_VOXEL * max(evidence.spine.target.voxel_mm - 1.0, 0.0)
    return edge_mm / ARM_MM * distance / max(evidence.final.refined.value, 0.1)


def _reason(evidence: Evidence, per_view: tuple[float, ...]) -> str:
    """Return what speaks against the pose, the worst first; "" when nothing does."""
    final, spine = evidence.final, evidence.spine
    pose = final.refined.pose
    for at, (picture, one) in enumerate(zip(evidence.pictures, final.comparisons, strict=True)):
        name = f"image {'ABCDEFGH'[at % 8]}"
        grid = picture.view.geometry.grid
        pixel = project_points(picture.view.geometry, apply(pose, spine.target.center_mm))
        inside = np.isfinite(pixel).all() and (pixel >= 0).all() and pixel[0] < grid.rows and pixel[1] < grid.columns
        if not inside or one.seen < _LEAST_SEEN:
            return _hidden(spine, picture, pose, name)
    low = min(range(len(per_view)), key=lambda n: per_view[n])
    if per_view[low] < _LEAST_LIKENESS:
        return (
            f"image {'ABCDEFGH'[low % 8]} does not look like {spine.level} of this CT anywhere near"
            f" (similarity {per_view[low]:.2f}, at least {_LEAST_LIKENESS:.2f}); check patient, angles and picture"
        )
    if max(per_view) < _LEAST_OF_BEST:
        return (
            f"no image looks enough like {spine.level} of this CT (similarity {max(per_view):.2f}, at least"
            f" {_LEAST_OF_BEST:.2f}); check patient, angles and picture"
        )
    if evidence.turned_deg > _MOST_TURNED_DEG:
        return (
            f"{spine.level} would lie turned by {evidence.turned_deg:.0f} degrees from how the patient is said to lie;"
            " check patient, Patient Position and angles"
        )
    if evidence.misfit > _MOST_MISFIT * max(final.refined.value, 0.0) ** _MISFIT_POWER:
        return (
            f"the bones beside {spine.level} do not lie as in this CT (misfit {evidence.misfit:.2f}); check that CT and"
            " picture are of one patient"
        )
    if len(evidence.ranked) > 1 and evidence.ranked[0].value - evidence.ranked[1].value < _LEAD:
        return (
            f"another place fits nearly as well, perhaps the level above or below {spine.level};"
            " give a click or a second view"
        )
    return ""


def _hidden(spine: Spine, picture: Picture, pose: Matrix, name: str) -> str:
    """Return why too little of the target is seen: metal over it, or the edge of the field."""
    marks = project_points(picture.view.geometry, apply(pose, spine.target.landmarks_mm))
    shape = picture.view.attenuation.shape
    at = np.rint(marks[np.isfinite(marks).all(axis=1)]).astype(np.int64)
    inside = at[np.all((at >= 0) & (at < shape), axis=1)]
    if len(inside) > 0.5 * len(marks) and picture.metal[inside[:, 0], inside[:, 1]].mean() > _COVERED:
        return f"metal covers {spine.level} in {name}; turn the C-arm until the bone is seen beside it"
    return f"{spine.level} lies outside the field of {name} or is cut by it; move the C-arm or open the collimator"
