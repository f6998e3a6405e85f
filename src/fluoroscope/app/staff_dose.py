"""Scatter to the people around the table for the present pose: ``fluoroscope dose staff`` and the room's staff map."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fluoroscope.acquisition.event import IrradiationEvent
from fluoroscope.dose.scatter_map import (
    SCATTER_PERCENT,
    SCATTER_SOURCE,
    Shield,
    scatter_field,
    scatter_usv_per_gy_cm2,
)
from fluoroscope.geometry.pose import CArmPose, beam_axes
from fluoroscope.geometry.table import TablePose

__all__ = ["APRONS", "HEIGHTS_CM", "PLACES", "Protection", "StaffPlace", "staff_dose"]

ISOCENTER_HEIGHT_MM = 1050.0
"""Of the isocentre above the floor; a setting."""
HEIGHTS_CM = {"eye": 160.0, "trunk": 120.0, "hand": 105.0, "gonads": 90.0, "legs": 50.0}
"""Above the floor, of a standing person."""
APRONS = {"none": 1.0, "0.25": 0.05, "0.35": 0.03, "0.5": 0.02}
"""Transmission by lead equivalent, mm: 0.25 mm stops 95 % (Stanford EHS manual [V]), the others by IPEM 78 [K]."""
GLASSES_TRANSMISSION = 0.3
"""Lead glasses let a third of the dose to the lens: most comes from below and aside (ICRP 139) [K]."""
CEILING_TRANSMISSION = 0.1
CURTAIN_TRANSMISSION = 0.1
"""Ceiling shield and table curtain, 0.5 mm lead, with what goes around them (ICRP 117, 139) [K]."""
DETECTOR_TRANSMISSION = 0.05
"""Panel, grid and case of the detector; assumed."""
HALF_TABLE_MM = 250.0
TABLE_TOP_BELOW_MM = 130.0
DETECTOR_SIDE_MM = 400.0

ACROSS_MM = np.arange(-2000.0, 2001.0, 100.0)
ALONG_MM = np.arange(-3000.0, 3001.0, 100.0)
"""Grid of the map, 4 m × 6 m."""


@dataclass(frozen=True, slots=True)
class StaffPlace:
    """Where somebody stands: across (x) and along (z) the table, mm, equipment frame."""

    name: str
    x_mm: float
    z_mm: float


PLACES = (
    StaffPlace("operator at the table, left", 500.0, -200.0),
    StaffPlace("operator at the table, right", -500.0, -200.0),
    StaffPlace("assistant, left", 600.0, -800.0),
    StaffPlace("anaesthesia at the head", 300.0, 1000.0),
    StaffPlace("1 m, left", 1000.0, 0.0),
    StaffPlace("1 m, right", -1000.0, 0.0),
    StaffPlace("2 m, left", 2000.0, 0.0),
    StaffPlace("2 m, right", -2000.0, 0.0),
    StaffPlace("doorway", 1900.0, -2900.0),
)
"""Left and right are those of a head-first supine patient."""


@dataclass(frozen=True, slots=True)
class Protection:
    """What is worn and what stands: apron by its lead equivalent, glasses, curtain at the table, ceiling shield."""

    apron: str = "0.35"
    glasses: bool = False
    curtain: bool = False
    ceiling: bool = False

    def __post_init__(self) -> None:
        if self.apron not in APRONS:
            raise ValueError(f"apron must be {', '.join(APRONS)} mm lead, got {self.apron}")


def staff_dose(
    pose: CArmPose,
    table: TablePose,
    rate_gy_cm2_min: float,
    tube_voltage_kv: float = 80.0,
    events: Sequence[IrradiationEvent] = (),
    height: str = "trunk",
    worn: Protection | None = None,
) -> dict[str, Any]:
    """Return the scatter at the usual places and on a map, JSON-ready, equipment frame.

    Parameters
    ----------
    pose, table
        Where C-arm and table stand.
    rate_gy_cm2_min
        KAP rate now, or that of the technique that is set.
    tube_voltage_kv
        Of the beam.
    events
        Presses of the exam so far, for ``usv_so_far``; those without a pose count in this one.
    height
        "eye", "trunk", "hand", "gonads" or "legs": at which the map lies.
    worn
        What protects; the apron counts only in ``with_apron_usv_per_h``.
    """
    if height not in HEIGHTS_CM:
        raise ValueError(f"height must be {', '.join(HEIGHTS_CM)}, got {height}")
    protection = worn or Protection()
    y_mm = ISOCENTER_HEIGHT_MM - 10.0 * HEIGHTS_CM[height]
    field, shields = scatter_field(pose, tube_voltage_kv), _shields(pose, table, protection)
    points = np.array([(place.x_mm, y_mm, place.z_mm) for place in PLACES])
    per_hour = scatter_usv_per_gy_cm2(field, points, shields) * rate_gy_cm2_min * 60.0
    so_far = _so_far(events, pose, table, points, protection)
    grid_x, grid_z = np.meshgrid(ACROSS_MM, ALONG_MM)
    every = np.column_stack([grid_x.ravel(), np.full(grid_x.size, y_mm), grid_z.ravel()])
    filled = (scatter_usv_per_gy_cm2(field, every, shields) * rate_gy_cm2_min * 60.0).reshape(grid_x.shape)
    return {
        "positions": [
            {
                "name": place.name,
                "x_mm": place.x_mm,
                "z_mm": place.z_mm,
                "usv_per_h": _short(now),
                "usv_so_far": _short(sofar),
                "with_apron_usv_per_h": _short(now * APRONS[protection.apron]),
                "uncertainty_percent": SCATTER_PERCENT,
            }
            for place, now, sofar in zip(PLACES, per_hour, so_far, strict=True)
        ],
        "map": {
            "x_mm": ACROSS_MM.tolist(),
            "z_mm": ALONG_MM.tolist(),
            "usv_per_h": [[_short(value) for value in row] for row in filled],
            "height_cm": HEIGHTS_CM[height],
            "height": height,
        },
        "advice": _advice(pose, per_hour),
        "tube_side": _tube_side(pose),
        "source": SCATTER_SOURCE,
    }


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def _so_far(
    events: Sequence[IrradiationEvent], pose: CArmPose, table: TablePose, points: Any, protection: Protection
) -> Any:
    total = np.zeros(len(points))
    for event in events:
        at, stood = event.first_pose or pose, event.table or table
        field = scatter_field(at, event.mean_tube_voltage_kv or 80.0)
        total += scatter_usv_per_gy_cm2(field, points, _shields(at, stood, protection)) * event.kap_gy_cm2
    return total


def _shields(pose: CArmPose, table: TablePose, protection: Protection) -> list[Shield]:
    """Return the detector, and what hangs at the table on both sides when it is used."""
    axes = beam_axes(pose)
    centre = np.array(pose.isocenter_mm) + (pose.source_to_detector_mm - pose.source_to_isocenter_mm) * axes.d
    u, v = axes.u * DETECTOR_SIDE_MM, axes.v * DETECTOR_SIDE_MM
    found = [_rectangle("detector", centre - u / 2.0 - v / 2.0, u, v, DETECTOR_TRANSMISSION, "assumed")]
    top = TABLE_TOP_BELOW_MM - table.height_mm
    for side in (-1.0, 1.0):
        x = table.lateral_mm + side * HALF_TABLE_MM
        if protection.curtain:
            found.append(
                _rectangle("curtain", (x, top, -700.0), (0, 800.0, 0), (0, 0, 900.0), CURTAIN_TRANSMISSION, "ICRP 139")
            )
        if protection.ceiling:
            corner = (x + side * 80.0, top - 900.0, -600.0)
            found.append(_rectangle("ceiling", corner, (0, 800.0, 0), (0, 0, 800.0), CEILING_TRANSMISSION, "ICRP 139"))
    return found


def _rectangle(name: str, corner: Any, u: Any, v: Any, transmission: float, source: str) -> Shield:
    return Shield(name, _triple(corner), _triple(u), _triple(v), transmission, source)


def _triple(vector: Any) -> tuple[float, float, float]:
    x, y, z = (float(part) for part in vector)
    return x, y, z


def _tube_side(pose: CArmPose) -> str:
    """Where the tube is, in words: under or over the table, at its left or right."""
    x, y, _ = (-float(part) for part in beam_axes(pose).d)
    if abs(x) > abs(y):
        return "left" if x > 0.0 else "right"
    return "under the table" if y > 0.0 else "over the table"


def _advice(pose: CArmPose, per_hour: Any) -> str:
    left, right = float(per_hour[0]), float(per_hour[1])
    side, more, less = ("right", left, right) if right < left else ("left", right, left)
    away = "stand at the table's " + side
    if less <= 0.0 or more / less < 1.2:
        return "both sides get the same: one step back from 0.5 to 1 m takes away three quarters"
    return f"{away}: {less:.3g} µSv/h instead of {more:.3g}, the tube is {_tube_side(pose)}"
