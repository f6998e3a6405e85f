"""Rows of the scorecard: needles found in two pictures and put together in space, against truth.

The pictures are those needle detection is measured on (`detection_cases`: modelled patients, exact shapes, dose,
scatter and noise by seed); each needle is seen from four directions 30° apart, and every pair 30, 60 or 90° apart that
begins with the first is triangulated. Nothing but the pictures and their geometry is used: no plan, no run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.acquisition.frame import PixelIntensity
from fluoroscope.evaluation.detection_cases import CaseRoom, draw_needles, expose
from fluoroscope.geometry.projection import ProjectionGeometry
from fluoroscope.guidance.needle import detect_needles
from fluoroscope.guidance.two_views import SeenNeedle, triangulate_needle
from fluoroscope.guidance.view import attenuation_of
from fluoroscope.patient.anatomy.build import build_patient
from fluoroscope.patient.anatomy.parameters import PatientParameters
from fluoroscope.patient.instruments.shaft import InPlace, shapes_of
from fluoroscope.patient.tissues import to_basis

__all__ = ["NeedlePair", "needle_pairs", "two_view_room", "two_view_rows"]

APART_DEG = (30.0, 60.0, 90.0)
SURE = 0.5
"""Confidence from which a detection is used, as on the page."""


@dataclass(frozen=True, slots=True)
class NeedlePair:
    """One needle in two pictures.

    Attributes
    ----------
    apart_deg
        Between the views.
    found
        In both pictures.
    accepted
        By triangulation.
    tip_error_mm, angle_error_deg
        Of tip and direction; NaN where not accepted, the direction also where it is flagged.
    distance
        Of the tip's error in standard deviations of the covariance told (Mahalanobis).
    """

    apart_deg: float
    found: bool
    accepted: bool
    tip_error_mm: float = float("nan")
    angle_error_deg: float = float("nan")
    distance: float = float("nan")


def two_view_room(seed: int, pixels: int = 1024, pitch_mm: float = 2.0) -> CaseRoom:
    """Return the room of a modelled patient of a seed, whole, for pictures."""
    built = build_patient(PatientParameters(seed=seed, sex="male" if seed % 2 else "female"), pitch_mm=pitch_mm)
    return CaseRoom(to_basis(built.volume, labels=built.labels), np.zeros(3), pixels)


def needle_pairs(room: CaseRoom, seed: int) -> list[NeedlePair]:
    """Return the pairs of one needle drawn by a seed, seen from four directions at half to full dose."""
    rng = np.random.default_rng([seed, 77])
    shift = rng.uniform(-1.0, 1.0, 3) * (10.0, 10.0, 30.0)
    (placed,) = draw_needles(rng, room.middle + shift, 1)
    shapes = shapes_of(InPlace(placed.kind, placed.path_mm, placed.bevel, placed.stylet))
    first, tilt = float(rng.uniform(-20.0, 20.0)), float(rng.uniform(-8.0, 8.0))
    dose, scatter = float(rng.uniform(0.5, 1.0)), float(rng.uniform(0.2, 0.9))
    views = []
    for number, turn in enumerate((0.0, *APART_DEG)):
        geometry = room.geometry(first + turn, tilt, shift)
        pixels = expose(room.thickness(shapes, geometry), geometry, seed=4 * seed + number, dose=dose, scatter=scatter)
        attenuation = attenuation_of(pixels, PixelIntensity.LIN)
        views.append((geometry, _seen(attenuation, geometry)))
    return [_pair(views[0], other, apart, placed.path_mm) for other, apart in zip(views[1:], APART_DEG, strict=True)]


def _seen(attenuation: NDArray[np.float32], geometry: ProjectionGeometry) -> SeenNeedle | None:
    found = detect_needles(attenuation, np.ones(attenuation.shape, dtype=np.bool_), pitch_mm=geometry.grid.pitch_mm)
    sure = [one for one in found if one.confidence >= SURE]
    return SeenNeedle.of(sure[0]) if sure else None


def _pair(
    one: tuple[ProjectionGeometry, SeenNeedle | None],
    other: tuple[ProjectionGeometry, SeenNeedle | None],
    apart_deg: float,
    path_mm: NDArray[np.float64],
) -> NeedlePair:
    if one[1] is None or other[1] is None:
        return NeedlePair(apart_deg, False, False)
    found = triangulate_needle(one[1], other[1], (one[0], other[0]))
    if not found.tip.accepted:
        return NeedlePair(apart_deg, True, False)
    off = found.tip.position_mm - path_mm[-1]
    distance = float(np.sqrt(off @ np.linalg.solve(found.tip.covariance_mm2, off)))
    angle = float("nan")
    if found.direction_accepted:
        way = path_mm[-1] - path_mm[-2]
        way = way / np.linalg.norm(way)
        angle = float(np.degrees(np.arccos(np.clip(found.direction @ way, -1.0, 1.0))))
    return NeedlePair(apart_deg, True, True, float(np.linalg.norm(off)), angle, distance)


def two_view_rows(
    score: Callable[..., dict[str, Any]],
    *,
    patients: int = 3,
    needles: int = 8,
    progress: Callable[[float], None] | None = None,
) -> list[dict[str, Any]]:
    """Return the rows: median error of the tip at 30° and at 60 to 90°.

    Parameters
    ----------
    score
        Makes a row of identity, what, reference, tolerance, value and unit.
    patients, needles
        Modelled patients of seeds from 500 up, and needles in each.
    progress
        Told the fraction done.
    """
    pairs: list[NeedlePair] = []
    for patient in range(patients):
        room = two_view_room(500 + patient)
        for needle in range(needles):
            pairs += needle_pairs(room, 500 + needles * patient + needle)
            if progress is not None:
                progress((needles * patient + needle + 1) / (needles * patients))
    return rows_of(pairs, score)


def rows_of(pairs: list[NeedlePair], score: Callable[..., dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of pairs of pictures."""
    rows = []
    for key, lowest, tolerance, words in (("30", 0.0, 1.5, "30°"), ("60_90", 45.0, 0.7, "60 and 90°")):
        chosen = [one for one in pairs if (one.apart_deg >= 45.0) == (lowest > 0.0)]
        accepted = [one for one in chosen if one.accepted]
        tips = np.array([one.tip_error_mm for one in accepted] or [np.nan])
        angles = np.array([one.angle_error_deg for one in accepted] or [np.nan])
        inside = np.mean([float(one.distance**2 <= 7.815) for one in accepted] or [np.nan])
        direction = float(np.nanmedian(angles)) if np.isfinite(angles).any() else float("nan")
        what = (
            f"median 3-D error of a needle's tip, two detections {words} apart ({len(chosen)} pairs, in both pictures"
            f" found {sum(one.found for one in chosen)}, accepted {len(accepted)}); 95 % within"
            f" {np.percentile(tips, 95.0):.1f} mm, direction {direction:.1f}°, in the 95 % ellipsoid"
            f" {100.0 * float(inside):.0f} %"
        )
        rows.append(score(f"needle.tip_3d_{key}", what, "the needle's place", tolerance, float(np.median(tips)), "mm"))
    return rows
