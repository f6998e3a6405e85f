"""Where on the skin the dose of an exam lies, its peak, and bounds where nobody knows the geometry.

Every event is a rectangular field from a point source, projected on the cells of a phantom; doses of events add up.
Lengths mm, air kerma and dose mGy.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.dose.skin_factors import (
    backscatter,
    backscatter_at_sides,
    half_value_layer_mm_al,
    inverse_square,
    medium,
    oblique_transmission,
    table_transmission,
)
from fluoroscope.dose.skin_phantoms import SkinPhantom
from fluoroscope.geometry.pose import CArmPose, angles_of_direction, beam_axes, beam_direction
from fluoroscope.geometry.rigid import inverse
from fluoroscope.geometry.table import PatientPosition, TablePose, equipment_from_table, patient_from_equipment

__all__ = [
    "INHERENT_ALUMINIUM_MM",
    "MAP_UNCERTAINTY_PERCENT",
    "ImplausibleSkinDoseError",
    "Lying",
    "SkinBounds",
    "SkinEvent",
    "SkinMap",
    "plausible_limit_mgy",
    "skin_bounds",
    "skin_map",
]

Array = NDArray[np.float64]

INHERENT_ALUMINIUM_MM = 3.1
"""Of the tube, where a report names added filters only."""

# Standard uncertainties, percent: air kerma ±35 % of 21 CFR 1020.32(k)(6) as a rectangle, skin within 20 mm of where
# the phantom has it, table and pad of another room, backscatter, shape of the field.
_PARTS_PERCENT = (35.0 / np.sqrt(3.0), 6.0, 6.0, 3.0, 3.0)
MAP_UNCERTAINTY_PERCENT = float(2.0 * np.sqrt(np.square(_PARTS_PERCENT).sum()))
"""Expanded (k = 2) uncertainty of a peak on a map: the dosemeter's tolerance is nearly all of it."""

_ROTATION_STEP_DEG = 3.0
_SAME_PLACE_DEG = 15.0
_THIN_BODY_MM = 200.0


class ImplausibleSkinDoseError(ValueError):
    """A skin dose above what the air kerma can give at the smallest distance a machine allows."""


@dataclass(frozen=True, slots=True)
class SkinEvent:
    """One irradiation event as the map needs it.

    Attributes
    ----------
    air_kerma_mgy
        At ``reference_mm`` from the source, free in air.
    field_mm
        Sides of the field there: across (u) and along (v) the patient.
    tube_voltage_kv, added_aluminium_mm, copper_mm
        Beam quality.
    source_to_isocenter_mm, source_to_detector_mm
        None when nobody says.
    angles_deg, end_angles_deg
        Primary (LAO positive) and secondary (cranial positive) in the patient's terms, detector side.
    table
        Where the table stands, or None.
    """

    air_kerma_mgy: float
    reference_mm: float
    field_mm: tuple[float, float]
    tube_voltage_kv: float
    added_aluminium_mm: float = 0.0
    copper_mm: float = 0.0
    source_to_isocenter_mm: float | None = None
    source_to_detector_mm: float | None = None
    angles_deg: tuple[float, float] | None = None
    end_angles_deg: tuple[float, float] | None = None
    table: TablePose | None = None

    def __post_init__(self) -> None:
        numbers = (self.air_kerma_mgy, self.reference_mm, *self.field_mm, self.tube_voltage_kv)
        if not (np.isfinite(numbers).all() and min(numbers) >= 0.0 and self.reference_mm > 0.0):
            raise ValueError(f"an event needs kerma, distance, field and voltage that are not negative, got {numbers}")

    @property
    def hvl_mm_al(self) -> float:
        """First half-value layer, mm Al."""
        aluminium = min(INHERENT_ALUMINIUM_MM + self.added_aluminium_mm, 50.0)
        return half_value_layer_mm_al(self.tube_voltage_kv, aluminium, min(self.copper_mm, 3.0))

    @property
    def mappable(self) -> bool:
        """Whether enough is known for a place on the skin."""
        return self.table is not None and self.angles_deg is not None and self.source_to_isocenter_mm is not None


@dataclass(frozen=True, slots=True)
class Lying:
    """How the patient lies on the table, in the table's frame (the equipment's when the table stands at zero).

    Attributes
    ----------
    position
        Which end first, and the side down.
    tabletop_mm
        Height of the tabletop, y (down positive).
    head_end_mm
        z of the end of the table at which the body begins.
    pad_mm, table_width_mm, table_length_mm
        What lies under the patient.
    """

    position: PatientPosition = PatientPosition.HFS
    tabletop_mm: float = 0.0
    head_end_mm: float = 0.0
    pad_mm: float = 40.0
    table_width_mm: float = 450.0
    table_length_mm: float = 2815.0


@dataclass(frozen=True, slots=True, eq=False)
class SkinMap:
    """Dose of every cell (n,), mGy; its peak, where (patient LPS mm; None when nothing was hit), and what was hit.

    ``share_of_kap_on_patient`` is the part of the KAP whose rays meet the body, 0 to 1, the table left out;
    ``missed`` the numbers of the events (from 0) that hit nothing.
    """

    phantom: SkinPhantom
    dose_mgy: Array
    peak_mgy: float
    peak_position_mm: tuple[float, float, float] | None
    share_of_kap_on_patient: float
    missed: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SkinBounds:
    """An estimate of the peak without geometry, between its bounds, mGy."""

    lower_mgy: float
    estimate_mgy: float
    upper_mgy: float


def skin_map(
    phantom: SkinPhantom, lying: Lying, events: Sequence[SkinEvent], minimum_skin_mm: float = 380.0
) -> SkinMap:
    """Sum the events on the phantom.

    Parameters
    ----------
    minimum_skin_mm
        The smallest distance from source to skin the machine allows; sets the plausible limit.

    Raises
    ------
    ValueError
        When an event lacks table, angles or isocentre.
    ImplausibleSkinDoseError
        When the peak lies above `plausible_limit_mgy`.
    """
    turned = patient_from_equipment(TablePose(), lying.position)[:3, :3]
    body = _on_table(phantom, lying, turned)
    dose = np.zeros(phantom.areas_mm2.size)
    hit, sent, missed = 0.0, 0.0, []
    for number, event in enumerate(events):
        added, met = _one_event(body, lying, turned, event)
        dose += added
        kap = event.air_kerma_mgy * event.field_mm[0] * event.field_mm[1]
        sent += kap
        hit += met
        if kap > 0.0 and met == 0.0:
            missed.append(number)
    peak = int(dose.argmax())
    limit = plausible_limit_mgy(events, minimum_skin_mm)
    if dose[peak] > limit * (1.0 + 1e-9):
        raise ImplausibleSkinDoseError(
            f"skin dose of {dose[peak]:.4g} mGy is more than the {limit:.4g} mGy this air kerma can give at "
            f"{minimum_skin_mm:g} mm from the source: the geometry of the report does not fit its machine"
        )
    where = tuple(float(value) for value in phantom.centers[peak])
    position = (where[0], where[1], where[2]) if dose[peak] > 0.0 else None
    share = min(hit / sent, 1.0) if sent > 0.0 else 0.0
    return SkinMap(phantom, dose, float(dose[peak]), position, share, tuple(missed))


def plausible_limit_mgy(events: Sequence[SkinEvent], minimum_skin_mm: float) -> float:
    """Return Σ Ka,r · (d_ref / d_min)² · the largest k_bs · k_med: no peak can be above it."""
    return sum(
        event.air_kerma_mgy
        * (event.reference_mm / minimum_skin_mm) ** 2
        * float(backscatter_at_sides(event.tube_voltage_kv, event.hvl_mm_al).max())
        * medium(event.tube_voltage_kv, event.hvl_mm_al)
        for event in events
    )


def skin_bounds(events: Sequence[SkinEvent], minimum_skin_mm: float = 300.0) -> SkinBounds:
    """Return bounds of the peak from kerma alone.

    Lower: the largest group of like angles (without angles, the largest event), skin as far as a body of 200 mm
    against the detector, behind the table. Estimate: the largest group (without angles, all events) with skin at the
    reference point and no table. Upper: all events on one spot at the smallest distance.
    """
    if not events:
        return SkinBounds(0.0, 0.0, 0.0)

    def dose(event: SkinEvent, distance_mm: float, table: bool) -> float:
        kv, hvl = event.tube_voltage_kv, event.hvl_mm_al
        side = float(np.sqrt(event.field_mm[0] * event.field_mm[1])) / 10.0 * distance_mm / event.reference_mm
        behind = table_transmission(kv, event.added_aluminium_mm, event.copper_mm) if table else 1.0
        factors = float(inverse_square(event.reference_mm, distance_mm) * backscatter(kv, hvl, side)) * medium(kv, hvl)
        return event.air_kerma_mgy * factors * behind

    def far(event: SkinEvent) -> float:
        if event.source_to_detector_mm is None:
            return event.reference_mm + 150.0
        return max(event.source_to_detector_mm - _THIN_BODY_MM, event.reference_mm)

    groups = [
        [other for other in events if _same_place(event, other)] if event.angles_deg is not None else [event]
        for event in events
    ]
    lower = max(sum(dose(one, far(one), True) for one in group) for group in groups)
    known = all(event.angles_deg is not None for event in events)
    together = groups if known else [list(events)]
    estimate = max(sum(dose(one, one.reference_mm, False) for one in group) for group in together)
    upper = max(plausible_limit_mgy(events, minimum_skin_mm), estimate)
    return SkinBounds(lower, estimate, upper)


def _same_place(one: SkinEvent, other: SkinEvent) -> bool:
    if one.angles_deg is None or other.angles_deg is None:
        return False
    return bool(
        beam_direction(*one.angles_deg) @ beam_direction(*other.angles_deg) >= np.cos(np.deg2rad(_SAME_PLACE_DEG))
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Body:
    """A phantom in the table's frame."""

    centers: Array
    normals: Array
    half_edges: Array
    areas_mm2: Array
    two_sided: bool


def _on_table(phantom: SkinPhantom, lying: Lying, turned: Array) -> _Body:
    """Lay the phantom on the pad, its first end at the head end of the table."""
    centers, edges = phantom.centers @ turned, phantom.half_edges @ turned
    reach = centers + np.abs(edges).sum(axis=1)
    shift = np.array(
        [
            0.0,
            lying.tabletop_mm - lying.pad_mm - reach[:, 1].max(),
            lying.head_end_mm - reach[:, 2].max(),
        ]
    )
    return _Body(centers + shift, phantom.normals @ turned, edges, phantom.areas_mm2, phantom.two_sided)


def _one_event(body: _Body, lying: Lying, turned: Array, event: SkinEvent) -> tuple[Array, float]:
    """Return the dose of each cell, mGy, and what of the KAP met the body, mGy·mm²."""
    if event.table is None or event.angles_deg is None or event.source_to_isocenter_mm is None:
        raise ValueError("a skin map needs the table's position, the angles and the isocentre of every event")
    first = np.array(event.angles_deg)
    last = first if event.end_angles_deg is None else np.array(event.end_angles_deg)
    steps = int(np.ceil(np.abs(last - first).max() / _ROTATION_STEP_DEG)) + 1
    dose, met = np.zeros(body.areas_mm2.size), 0.0
    for angles in np.linspace(first, last, steps):
        added, part = _one_pose(body, lying, beam_direction(angles[0], angles[1]) @ turned, event)
        dose += added / steps
        met += part / steps
    return dose, met


def _one_pose(body: _Body, lying: Lying, toward: Array, event: SkinEvent) -> tuple[Array, float]:
    """Return dose and met KAP of a beam along ``toward`` in the equipment frame."""
    table_pose, to_isocenter = event.table or TablePose(), event.source_to_isocenter_mm or 0.0
    axes = beam_axes(CArmPose(*angles_of_direction(toward), to_isocenter, 2.0 * to_isocenter))
    table = inverse(equipment_from_table(table_pose))
    source = table[:3, :3] @ (-to_isocenter * axes.d) + table[:3, 3]
    d, u, v = (table[:3, :3] @ axis for axis in (axes.d, axes.u, axes.v))
    rays = body.centers - source
    distance = np.linalg.norm(rays, axis=1)
    facing = -np.einsum("ij,ij->i", body.normals, rays) / distance
    if body.two_sided:
        facing = np.abs(facing)
    depth = rays @ d
    chosen = np.flatnonzero((facing > 0.0) & (depth > 0.0))
    scale = event.reference_mm / depth[chosen]
    covered = np.ones(chosen.size)
    for axis, side in ((u, event.field_mm[0]), (v, event.field_mm[1])):
        covered *= _overlap(
            rays[chosen] @ axis * scale, np.abs(body.half_edges[chosen] @ axis).sum(axis=1) * scale, side
        )
    chosen, covered = chosen[covered > 0.0], covered[covered > 0.0]
    dose = np.zeros(body.areas_mm2.size)
    kerma = event.air_kerma_mgy * inverse_square(event.reference_mm, distance[chosen]) * covered
    met = float((kerma * facing[chosen] * body.areas_mm2[chosen]).sum())
    kv, hvl = event.tube_voltage_kv, event.hvl_mm_al
    side_cm = float(np.sqrt(event.field_mm[0] * event.field_mm[1])) / 10.0 * depth[chosen] / event.reference_mm
    behind = _through_table(lying, source, rays[chosen], event)
    dose[chosen] = kerma * backscatter(kv, hvl, side_cm) * medium(kv, hvl) * behind
    return dose, met


def _overlap(center: Array, half: Array, side: float) -> Array:
    """Part of the intervals ``center`` ± ``half`` that lies within ± ``side`` / 2."""
    width = np.minimum(center + half, side / 2.0) - np.maximum(center - half, -side / 2.0)
    result: Array = np.clip(width, 0.0, None) / (2.0 * np.maximum(half, 1e-9))
    return result


def _through_table(lying: Lying, source: Array, rays: Array, event: SkinEvent) -> Array:
    """Transmission of table and pad for rays (n, 3) from ``source``: 1 where they pass beside it."""
    down = source[1] - lying.tabletop_mm
    up = -rays[:, 1]
    crosses = (down > 0.0) & (up > down)
    along = np.where(crosses, down / np.where(crosses, up, 1.0), 0.0)
    x, z = source[0] + along * rays[:, 0], source[2] + along * rays[:, 2] - lying.head_end_mm
    crosses &= (np.abs(x) <= lying.table_width_mm / 2.0) & (z <= 0.0) & (z >= -lying.table_length_mm)
    straight = table_transmission(event.tube_voltage_kv, event.added_aluminium_mm, event.copper_mm)
    cosine = np.where(crosses, up, 1.0) / np.where(crosses, np.linalg.norm(rays, axis=1), 1.0)
    result: Array = np.where(crosses, oblique_transmission(straight, cosine), 1.0)
    return result
