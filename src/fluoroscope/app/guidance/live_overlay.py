"""What guidance draws over a picture, in fractions of it: corridor, target, dura, names of levels, needle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.app.guidance.live_path import LivePath, fraction, ring_fraction, spot, view_kind
from fluoroscope.geometry.projection import ProjectionGeometry, project_points
from fluoroscope.geometry.rigid import Matrix, apply
from fluoroscope.guidance.two_views import SeenNeedle

__all__ = ["RINGS_MM", "Laid", "needle_status", "overlay_status"]

Float = NDArray[np.float64]

RINGS_MM = (2.0, 4.0)
"""The rings of the bull's-eye: within the first is good, within the second fair (`guidance.live_error`)."""
CORRIDOR_MM = 4.0
_TWO_SIGMA_95 = 2.448
"""Half axes of the ellipse that holds 95 % of a normal error in the plane, over one sigma."""
_STEPS = 12


@dataclass(frozen=True, slots=True)
class Laid:
    """Where the CT lies in the equipment frame, and how that is known.

    Attributes
    ----------
    equipment_from_ct
        (4, 4).
    locked
        Whether the bone was found in the picture; else it is where planning and the table say.
    text
        For the picture.
    sigma_mm
        Error across the beam, 1 σ.
    opacity
        1 fresh, 0 too old to be drawn.
    """

    equipment_from_ct: Matrix
    locked: bool
    text: str
    sigma_mm: float
    opacity: float = 1.0


def overlay_status(
    path: LivePath,
    geometry: ProjectionGeometry,
    laid: Laid,
    middles_mm: Mapping[str, Sequence[float]],
    outlines_px: Sequence[Float],
    needle: Mapping[str, Any] | None,
) -> dict[str, Any] | None:
    """Return the overlay of one picture; None when it is too old or the path is not before the beam.

    Parameters
    ----------
    path
        In the CT.
    geometry
        Of the picture, equipment frame.
    laid
        Where the CT lies.
    middles_mm
        (3,) of each vertebra by name, CT.
    outlines_px
        (n, 2) rows and columns of what is outlined.
    needle
        As `needle_status` tells it.
    """
    if laid.opacity <= 0.0:
        return None
    placed = laid.equipment_from_ct

    def seen(point_mm: Any) -> dict[str, float] | None:
        return spot(geometry, apply(placed, point_mm))

    entry, target = seen(path.entry_mm), seen(path.target_mm)
    if entry is None or target is None:
        return None
    at = apply(placed, path.target_mm)
    return {
        "locked": laid.locked,
        "lock_text": laid.text,
        "opacity": round(laid.opacity, 2),
        "view": view_kind(path, geometry, placed),
        "entry": entry,
        "target": target,
        "dura": None if path.dura_mm is None else seen(path.at(path.dura_mm)),
        "corridor": _corridor(path, geometry, placed),
        "rings": [{"radius": ring_fraction(geometry, at, mm), "mm": mm} for mm in RINGS_MM],
        "levels": _levels(geometry, placed, middles_mm),
        "outlines": [[fraction(geometry, *pixel) for pixel in outline] for outline in outlines_px],
        "needle": needle,
    }


def needle_status(needle: SeenNeedle, geometry: ProjectionGeometry, confidence: float) -> dict[str, Any]:
    """Return a needle as a picture shows it, with the ellipse of its tip's error."""
    (row, column), _ = needle.tangent()
    width = geometry.grid.columns
    path = needle.path_px[:: max(1, len(needle.path_px) // 24)]
    return {
        "tip": fraction(geometry, *needle.tip_px),
        "path": [fraction(geometry, *pixel) for pixel in path] + [fraction(geometry, *needle.tip_px)],
        "along": round(_TWO_SIGMA_95 * needle.tip_sigma_px / width, 5),
        "across": round(_TWO_SIGMA_95 * needle.line_sigma_px / width, 5),
        "angle_deg": round(float(np.rad2deg(np.arctan2(row, column))), 2),
        "confidence": round(confidence, 2),
    }


def _corridor(path: LivePath, geometry: ProjectionGeometry, placed: Matrix) -> list[list[dict[str, float]]] | None:
    """Return both edges of the corridor as the picture shows it: so many mm beside the path, at its depth."""
    points = apply(placed, np.linspace(path.entry_mm, path.target_mm, _STEPS))
    pixels = project_points(geometry, points)
    way = pixels[-1] - pixels[0]
    length = float(np.linalg.norm(way))
    if not np.isfinite(length) or length < 1.0:
        return None
    beside = np.array([-way[1], way[0]]) / length
    widths = [ring_fraction(geometry, point, CORRIDOR_MM) * geometry.grid.columns for point in points]
    return [
        [fraction(geometry, *(pixel + side * width * beside)) for pixel, width in zip(pixels, widths, strict=True)]
        for side in (-1.0, 1.0)
    ]


def _levels(
    geometry: ProjectionGeometry, placed: Matrix, middles_mm: Mapping[str, Sequence[float]]
) -> list[dict[str, Any]]:
    told = []
    for name, middle in middles_mm.items():
        seen = spot(geometry, apply(placed, middle))
        if seen is not None and all(0.02 < value < 0.98 for value in seen.values()):
            told.append({"name": name, **seen})
    return told
