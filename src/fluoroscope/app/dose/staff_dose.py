"""Scatter to the people around the table for the present pose: ``fluoroscope dose staff`` and the room's staff map."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.acquisition.event import IrradiationEvent
from fluoroscope.dose.budget import three_digits
from fluoroscope.dose.scatter_map import (
    SCATTER_PERCENT,
    SCATTER_SOURCE,
    Shield,
    scatter_field,
    scatter_usv_per_gy_cm2,
)
from fluoroscope.dose.staff_settings import StaffSettings
from fluoroscope.geometry.pose import CArmPose, beam_axes
from fluoroscope.geometry.table import PatientPosition, TablePose, patient_from_equipment

__all__ = ["Beam", "Protection", "staff_dose", "staff_rows", "tube_side"]

Array = NDArray[np.float64]

DETECTOR_SIDE_MM = 400.0
HALF_TABLE_MM, HALF_TABLE_LENGTH_MM, TABLE_TOP_BELOW_MM = 250.0, 1000.0, 130.0
"""Half the table's width and length, and how far its top lies below the isocentre when it stands at zero."""
STEEPEST = 0.2
"""Cosine to the tabletop's normal below which the way through it grows no longer."""
HALF_MAP_MM = (2000.0, 3000.0)
STEP_MM = 100.0
"""The map goes so far across and along the table, in such steps."""
OPERATOR_MM = (500.0, -200.0)
"""Across and along the table: where the advice looks at an operator."""


@dataclass(frozen=True, slots=True)
class Protection:
    """What is worn and what stands: apron by its lead equivalent, glasses, curtain at the table, ceiling shield."""

    apron: str = "0.35"
    glasses: bool = False
    curtain: bool = False
    ceiling: bool = False


@dataclass(frozen=True, slots=True)
class Beam:
    """The quality of the beam: voltage, kV, and copper, mm."""

    tube_voltage_kv: float = 80.0
    copper_mm: float = 0.1


@dataclass(frozen=True, slots=True)
class _Stand:
    """How everything stands."""

    pose: CArmPose
    table: TablePose
    position: PatientPosition
    beam: Beam
    height: str
    height_cm: float
    settings: StaffSettings
    worn: Protection = field(default_factory=Protection)

    @property
    def worn_transmission(self) -> float:
        """Of what is worn at this height: glasses at the eyes, the apron at trunk and gonads."""
        if self.height == "eye":
            return self.settings.glasses if self.worn.glasses else 1.0
        return self.settings.apron[self.worn.apron] if self.height in ("trunk", "gonads") else 1.0

    def usv_per_gy_cm2(self, x_mm: Array, z_mm: Array) -> Array:
        """Scatter at places of the present height, per displayed Gy·cm², before what is worn."""
        y_mm = np.full(len(x_mm), 10.0 * (self.settings.isocenter_height_cm - self.height_cm))
        scatter = scatter_field(self.pose, self.table, self.position, self.beam.tube_voltage_kv, self.beam.copper_mm)
        bare = scatter_usv_per_gy_cm2(scatter, np.column_stack([x_mm, y_mm, z_mm]), [self._tabletop, *self._shields()])
        return bare * self._beam_through_table

    @property
    def _tabletop(self) -> Shield:
        x, z = self.table.lateral_mm, self.table.longitudinal_mm
        corner = (x - HALF_TABLE_MM, TABLE_TOP_BELOW_MM - self.table.height_mm, z - HALF_TABLE_LENGTH_MM)
        across, along = (2.0 * HALF_TABLE_MM, 0.0, 0.0), (0.0, 0.0, 2.0 * HALF_TABLE_LENGTH_MM)
        return _rectangle("table", corner, across, along, self.settings.table)

    @property
    def _beam_through_table(self) -> float:
        """What the tabletop leaves of a beam that comes through it: KAP is displayed before it."""
        middle, d = np.array(self.pose.isocenter_mm), beam_axes(self.pose).d
        source = middle - self.pose.source_to_isocenter_mm * d
        if not self._tabletop.between(source, middle[np.newaxis])[0]:
            return 1.0
        return float(self.settings.table ** (1.0 / max(abs(float(d[1])), STEEPEST)))

    def _shields(self) -> list[Shield]:
        """Return the detector, and what hangs at the table on both sides when it is used."""
        pose, axes = self.pose, beam_axes(self.pose)
        centre = np.array(pose.isocenter_mm) + (pose.source_to_detector_mm - pose.source_to_isocenter_mm) * axes.d
        u, v = axes.u * DETECTOR_SIDE_MM, axes.v * DETECTOR_SIDE_MM
        found = [_rectangle("detector", centre - u / 2.0 - v / 2.0, u, v, self.settings.detector)]
        top = TABLE_TOP_BELOW_MM - self.table.height_mm
        for side in (-1.0, 1.0):
            x = self.table.lateral_mm + side * HALF_TABLE_MM
            if self.worn.curtain:
                found.append(_rectangle("curtain", (x, top, -700.0), (0, 800, 0), (0, 0, 900), self.settings.curtain))
            if self.worn.ceiling:
                corner = (x + side * 80.0, top - 900.0, -600.0)
                found.append(_rectangle("ceiling shield", corner, (0, 800, 0), (0, 0, 800), self.settings.ceiling))
        return found


def staff_dose(
    pose: CArmPose,
    table: TablePose,
    position: PatientPosition,
    rate_gy_cm2_min: float,
    beam: Beam | None = None,
    events: Sequence[IrradiationEvent] = (),
    height: str = "trunk",
    worn: Protection | None = None,
    kap_gy_cm2: float = 0.0,
    height_cm: float | None = None,
    step_mm: float = STEP_MM,
    settings: StaffSettings | None = None,
) -> dict[str, Any]:
    """Return the scatter at the usual places and on a map, JSON-ready, equipment frame.

    Parameters
    ----------
    pose, table, position
        Where C-arm, table and patient are.
    rate_gy_cm2_min
        KAP rate now, or that of the technique that is set; 0 or more.
    beam
        Its quality; 80 kV and 0.1 mm Cu when None.
    events
        Presses of the exam so far, for ``usv_so_far``; those without a pose count in this one.
    height
        "eye", "trunk", "hand", "gonads" or "legs": at which places and map lie.
    worn
        What protects. Shields count everywhere; apron and glasses only in ``with_apron_usv_per_h``.
    kap_gy_cm2
        Of this pose and beside ``events``, counted in ``usv_so_far``.
    height_cm
        Above the floor, 0 to 200; that of the named height when None.
    step_mm
        Of the map's grid.
    settings
        Heights, places, transmissions, limits; those of `StaffSettings` when None.

    Raises
    ------
    ValueError
        For an unknown height or a number out of range.
    """
    known, protection = settings or StaffSettings(), worn or Protection()
    if height not in known.heights_cm:
        raise ValueError(f"height must be {', '.join(known.heights_cm)}, got {height}")
    if protection.apron not in known.apron:
        raise ValueError(f"apron must be {', '.join(known.apron)} mm lead, got {protection.apron}")
    for name, value in (("KAP rate", rate_gy_cm2_min), ("KAP", kap_gy_cm2)):
        if not (np.isfinite(value) and value >= 0.0):
            raise ValueError(f"{name} must be 0 or more, got {value}")
    above_cm = known.heights_cm[height] if height_cm is None else height_cm
    if not 0.0 <= above_cm <= 200.0:
        raise ValueError(f"height must be 0 to 200 cm above the floor, got {above_cm}")
    stand = _Stand(pose, table, position, beam or Beam(), height, above_cm, known, protection)
    x, z = (np.array([getattr(place, name) for place in known.places]) for name in ("x_mm", "z_mm"))
    per_hour = stand.usv_per_gy_cm2(x, z) * rate_gy_cm2_min * 60.0
    so_far = _so_far(events, stand, x, z) + stand.usv_per_gy_cm2(x, z) * kap_gy_cm2
    across_mm, along_mm = (np.arange(-half, half + step_mm / 2.0, step_mm) for half in HALF_MAP_MM)
    grid_x, grid_z = np.meshgrid(across_mm, along_mm)
    filled = stand.usv_per_gy_cm2(grid_x.ravel(), grid_z.ravel()).reshape(grid_x.shape) * rate_gy_cm2_min * 60.0
    return {
        "positions": [
            {
                "name": place.name,
                "x_mm": place.x_mm,
                "z_mm": place.z_mm,
                "usv_per_h": _short(now),
                "usv_so_far": _short(gone),
                "with_apron_usv_per_h": _short(now * stand.worn_transmission),
                "uncertainty_percent": SCATTER_PERCENT,
            }
            for place, now, gone in zip(known.places, per_hour, so_far, strict=True)
        ],
        "map": {
            "x_mm": across_mm.tolist(),
            "z_mm": along_mm.tolist(),
            "usv_per_h": [[_short(value) for value in row] for row in filled],
            "height_cm": above_cm,
            "height": height,
        },
        "effects": _effects(stand, rate_gy_cm2_min),
        "advice": _advice(stand, rate_gy_cm2_min),
        "tube_side": tube_side(pose),
        "limits": [asdict(limit) for limit in known.limits],
        "source": f"{SCATTER_SOURCE} ±{SCATTER_PERCENT:.0f} % (k = 2)",
        "settings_source": known.source,
    }


def _so_far(events: Sequence[IrradiationEvent], stand: _Stand, x: Array, z: Array) -> Array:
    total = np.zeros(len(x))
    for event in events:
        copper = stand.beam.copper_mm if event.technique is None else event.technique.filtration.copper_mm
        beam = Beam(event.mean_tube_voltage_kv or stand.beam.tube_voltage_kv, copper)
        stood = replace(stand, pose=event.first_pose or stand.pose, table=event.table or stand.table, beam=beam)
        total += stood.usv_per_gy_cm2(x, z) * event.kap_gy_cm2
    return total


def _operator(stand: _Stand, x_mm: float, rate_gy_cm2_min: float) -> float:
    """Return µSv/h of an operator at the table, ``x_mm`` across it."""
    return float(stand.usv_per_gy_cm2(np.array([x_mm]), np.array([OPERATOR_MM[1]]))[0]) * rate_gy_cm2_min * 60.0


def _effects(stand: _Stand, rate_gy_cm2_min: float) -> list[dict[str, Any]]:
    """Return what each step would change for the operator on the side that gets more: now, and with it."""

    def here(x_mm: float, one: _Stand) -> float:
        return _operator(one, x_mm, rate_gy_cm2_min)

    both = {side: here(side, stand) for side in (OPERATOR_MM[0], -OPERATOR_MM[0])}
    worse = max(both, key=lambda side: both[side])
    now, worn = both[worse], stand.worn
    changed = [
        ("stand on the other side", both[-worse]),
        ("step back from 0.5 m to 1 m", here(2.0 * worse, stand)),
        ("hang the table curtain", here(worse, replace(stand, worn=replace(worn, curtain=True)))),
        ("swing in the ceiling shield", here(worse, replace(stand, worn=replace(worn, ceiling=True)))),
    ]
    if stand.height in ("trunk", "gonads"):
        changed += [
            (f"apron of {lead} mm lead", now * part) for lead, part in stand.settings.apron.items() if part < 1.0
        ]
    if stand.height == "eye":
        changed.append(("lead glasses", now * stand.settings.glasses))
    words = "left" if worse > 0.0 else "right"
    return [
        {
            "where": f"operator at the table, {words}",
            "what": what,
            "now_usv_per_h": _short(now),
            "with_usv_per_h": _short(then),
        }
        for what, then in changed
    ]


def _advice(stand: _Stand, rate_gy_cm2_min: float) -> str:
    left, right = (_operator(stand, sign * OPERATOR_MM[0], rate_gy_cm2_min) for sign in (1.0, -1.0))
    side, more, less = ("right", left, right) if right < left else ("left", right, left)
    tube = tube_side(stand.pose)
    where = tube if "table" in tube else f"on the {tube}"
    if more <= 0.0 or less / more > 0.8:
        return f"both sides get the same, the tube is {where}: a step back from 0.5 m to 1 m takes away most"
    whose = "the detector's side" if side != tube and "table" not in tube else "that side"
    return (
        f"stand on the {side} of the table, {_patients_side(stand, side)} ({whose}), the tube is {where}: "
        f"{three_digits(less)} µSv/h instead of {three_digits(more)}"
    )


def _patients_side(stand: _Stand, side: str) -> str:
    """Which side of the patient lies at a side of the table: of one who lies prone, the other than of one supine."""
    toward = np.array([1.0 if side == "left" else -1.0, 0.0, 0.0])
    toward = patient_from_equipment(stand.table, stand.position)[:3, :3] @ toward
    axis = int(np.argmax(np.abs(toward)))
    words = (("left", "right"), ("back", "front"), ("head", "feet"))[axis]
    return f"the patient's {words[0] if toward[axis] > 0.0 else words[1]}"


def tube_side(pose: CArmPose) -> str:
    """Where the tube is: "left" or "right" of the table, "under the table" or "over the table"."""
    x, y, _ = (-float(part) for part in beam_axes(pose).d)
    if abs(x) > abs(y):
        return "left" if x > 0.0 else "right"
    return "under the table" if y > 0.0 else "over the table"


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def _rectangle(name: str, corner: Any, u: Any, v: Any, transmission: float) -> Shield:
    return Shield(name, _triple(corner), _triple(u), _triple(v), transmission)


def _triple(vector: Any) -> tuple[float, float, float]:
    x, y, z = (float(part) for part in vector)
    return x, y, z


def staff_rows(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return a staff dose for people."""
    rows = [
        (
            one["name"],
            f"{three_digits(one['usv_per_h'])} µSv/h, with what is worn {three_digits(one['with_apron_usv_per_h'])}"
            + (f"; of the case {three_digits(one['usv_so_far'])} µSv" if one["usv_so_far"] else ""),
        )
        for one in found["positions"]
    ]
    rows += [
        (
            one["what"],
            f"{one['where']}: now {three_digits(one['now_usv_per_h'])} µSv/h, "
            f"with it {three_digits(one['with_usv_per_h'])}",
        )
        for one in found["effects"]
    ]
    rows += [("limit", f"{one['what']} {one['msv_per_year']:g} mSv a year: {one['source']}") for one in found["limits"]]
    return [
        *rows,
        ("advice", found["advice"]),
        ("source", found["source"]),
        ("settings", found["settings_source"]),
    ]
