"""Where on the skin the dose of an exam lies, its peak, and bounds where nobody knows the geometry.

Every event is a rectangular field from a point source, projected on the cells of a phantom; doses of events add up.
Lengths mm, air kerma and dose mGy.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fluoroscope.acquisition.frame import Collimation
from fluoroscope.dose.skin_dose import Penumbra, SkinBeam, SkinDose, SkinMap, TableTop, beam_of_pose
from fluoroscope.dose.skin_factors import BeamQuality, backscatter, beam_quality, inverse_square
from fluoroscope.dose.skin_phantoms import SkinPhantom
from fluoroscope.geometry.pose import CArmPose, angles_of_direction, beam_direction
from fluoroscope.geometry.rigid import Matrix, inverse
from fluoroscope.geometry.table import PatientPosition, TablePose, equipment_from_table, patient_from_equipment

__all__ = [
    "INHERENT_ALUMINIUM_MM",
    "LUMBAR_SHARE",
    "MAP_UNCERTAINTY_PERCENT",
    "ImplausibleSkinDoseError",
    "Lying",
    "Placed",
    "SkinBounds",
    "SkinEvent",
    "SkinMap",
    "event_beams",
    "lay",
    "lay_at",
    "lay_with",
    "map_uncertainty_percent",
    "plausible_limit_mgy",
    "skin_bounds",
    "skin_map",
]

Array = NDArray[np.float64]

INHERENT_ALUMINIUM_MM = 3.1
"""Of the tube, where a report names added filters only."""

LUMBAR_SHARE = 0.40
"""Of the height below the top of the head: where the lumbar spine is."""
_ADULT_MM = 1760.0

# Standard uncertainties, percent: air kerma ±35 % of 21 CFR 1020.32(k)(6) as a rectangle, skin within 20 mm of where
# the phantom has it, table and pad of another room, backscatter, shape of the field.
_PARTS_PERCENT = (35.0 / np.sqrt(3.0), 6.0, 6.0, 3.0, 3.0)
MAP_UNCERTAINTY_PERCENT = float(2.0 * np.sqrt(np.square(_PARTS_PERCENT).sum()))
"""Expanded (k = 2) uncertainty of a peak on a map: the dosemeter's tolerance is nearly all of it."""

_OWN_SKIN_PERCENT = 2.0  # the patient's own skin is known to a voxel, where he lies to some millimetres
_ROTATION_STEP_DEG = 3.0
_LONGEST_ROTATION_DEG = 270.0
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
    inherent_aluminium_mm
        Of the tube: comes on top of the added filters.
    turns_with_table
        Whether the angles are the patient's on a table that is turned too, as DICOM has them; else those of one on a
        table that is not.
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
    inherent_aluminium_mm: float = INHERENT_ALUMINIUM_MM
    turns_with_table: bool = False

    def __post_init__(self) -> None:
        numbers = (self.air_kerma_mgy, self.reference_mm, *self.field_mm, self.tube_voltage_kv)
        if not (np.isfinite(numbers).all() and min(numbers) >= 0.0 and self.reference_mm > 0.0):
            raise ValueError(f"an event needs kerma, distance, field and voltage that are not negative, got {numbers}")

    @property
    def quality(self) -> BeamQuality:
        """What does not hang on where the beam goes."""
        inherent = self.inherent_aluminium_mm
        return beam_quality(self.tube_voltage_kv, inherent + self.added_aluminium_mm, self.copper_mm, inherent)

    @property
    def hvl_mm_al(self) -> float:
        """First half-value layer, mm Al."""
        return self.quality.hvl_mm_al

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
class Placed:
    """A body on a table: rigid (4, 4) from the table's frame to the patient's, and the table in the patient's frame."""

    patient_from_table: Matrix
    tabletop: TableTop

    def patient_from_equipment(self, table: TablePose) -> Matrix:
        """Return the rigid (4, 4) with the table where it stands."""
        return self.patient_from_table @ inverse(equipment_from_table(table))


@dataclass(frozen=True, slots=True)
class SkinBounds:
    """An estimate of the peak without geometry, between its bounds, mGy."""

    lower_mgy: float
    estimate_mgy: float
    upper_mgy: float


def skin_map(
    phantom: SkinPhantom,
    lying: Lying | Placed,
    events: Sequence[SkinEvent],
    minimum_skin_mm: float = 380.0,
    penumbra: Penumbra | None = None,
) -> SkinMap:
    """Sum the events on the phantom.

    Parameters
    ----------
    phantom
        Whose skin it is.
    lying
        How the body lies on the table, or where exactly.
    events
        Of the exam.
    minimum_skin_mm
        The smallest distance from source to skin the machine allows; sets the plausible limit.
    penumbra
        Of the field's edges; sharp without.

    Raises
    ------
    ValueError
        When an event lacks table, angles or isocentre.
    ImplausibleSkinDoseError
        When the peak lies above `plausible_limit_mgy`.
    """
    placed = lay(phantom, lying) if isinstance(lying, Lying) else lying
    skin, missed = SkinDose(phantom), []
    for number, event in enumerate(events):
        shares = [skin.add(beam) for beam in event_beams(event, placed, penumbra)]
        if event.air_kerma_mgy * event.field_mm[0] * event.field_mm[1] > 0.0 and max(shares) == 0.0:
            missed.append(number)
    limit = plausible_limit_mgy(events, minimum_skin_mm)
    if skin.peak_mgy > limit * (1.0 + 1e-9):
        raise ImplausibleSkinDoseError(
            f"skin dose of {skin.peak_mgy:.4g} mGy is more than the {limit:.4g} mGy this air kerma can give at "
            f"{minimum_skin_mm:g} mm from the source: the geometry of the report does not fit its machine"
        )
    return skin.map(tuple(missed))


def event_beams(event: SkinEvent, placed: Placed, penumbra: Penumbra | None = None) -> list[SkinBeam]:
    """Return the beams of an event in the patient's coordinates: one, or a step every 3° of a rotation.

    Raises
    ------
    ValueError
        When the event lacks table, angles or isocentre.
    """
    if event.table is None or event.angles_deg is None or event.source_to_isocenter_mm is None:
        raise ValueError("a skin map needs the table's position, the angles and the isocentre of every event")
    first = np.array(event.angles_deg)
    last = first if event.end_angles_deg is None else np.array(event.end_angles_deg)
    over = last - first
    if abs(over[0]) > _LONGEST_ROTATION_DEG:  # past 180°, where the count begins again
        over[0] -= np.copysign(360.0, over[0])
    steps = int(np.ceil(np.abs(over).max() / _ROTATION_STEP_DEG)) + 1
    from_equipment = placed.patient_from_equipment(event.table)
    # Back to the equipment's frame: with the table's turns, or as if it were not turned.
    turned = from_equipment if event.turns_with_table else placed.patient_from_table
    to_isocenter, width, height = event.source_to_isocenter_mm, *event.field_mm
    blades = Collimation(*(max(side / 2.0, 1e-9) for side in (width, width, height, height)))
    beams = []
    for part in np.linspace(0.0, 1.0, steps):
        toward = beam_direction(*(first + part * over)) @ turned[:3, :3]
        # The blades are given at the reference distance: the detector is put there.
        pose = CArmPose(*angles_of_direction(toward), to_isocenter, max(2.0 * to_isocenter, event.reference_mm))
        scaled = _at_detector(blades, pose.source_to_detector_mm / event.reference_mm)
        beam = beam_of_pose(
            pose,
            scaled,
            event.air_kerma_mgy / steps,
            event.reference_mm,
            event.quality,
            from_equipment,
            placed.tabletop,
        )
        beams.append(beam if penumbra is None else replace(beam, penumbra=penumbra))
    return beams


def _at_detector(blades: Collimation, scale: float) -> Collimation:
    return Collimation(
        blades.left_mm * scale, blades.right_mm * scale, blades.upper_mm * scale, blades.lower_mm * scale
    )


def map_uncertainty_percent(phantom: SkinPhantom) -> float:
    """Return the expanded (k = 2) uncertainty of a peak on a map: less where the skin is the patient's own."""
    own = _OWN_SKIN_PERCENT if phantom.own else _PARTS_PERCENT[1]
    parts = (_PARTS_PERCENT[0], own, *_PARTS_PERCENT[2:])
    return float(2.0 * np.sqrt(np.square(parts).sum()))


def plausible_limit_mgy(events: Sequence[SkinEvent], minimum_skin_mm: float) -> float:
    """Return Σ Ka,r · (d_ref / d_min)² · the largest k_bs · k_med: no peak can be above it."""
    return sum(
        event.air_kerma_mgy
        * (event.reference_mm / minimum_skin_mm) ** 2
        * event.quality.largest_backscatter
        * event.quality.medium
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
        quality = event.quality
        kv, hvl = quality.tube_voltage_kv, quality.hvl_mm_al
        side = float(np.sqrt(event.field_mm[0] * event.field_mm[1])) / 10.0 * distance_mm / event.reference_mm
        behind = quality.table if table else 1.0
        factors = float(inverse_square(event.reference_mm, distance_mm) * backscatter(kv, hvl, side)) * quality.medium
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


def lay(phantom: SkinPhantom, lying: Lying) -> Placed:
    """Lay a phantom on the pad, its first end at the head end of the table."""
    turned = patient_from_equipment(TablePose(), lying.position)[:3, :3]
    low = phantom.corners.reshape(-1, 3) @ turned
    shift = np.array([0.0, lying.tabletop_mm - lying.pad_mm - low[:, 1].max(), lying.head_end_mm - low[:, 2].max()])
    return _placed(turned, -turned @ shift, lying)


def lay_with(phantom: SkinPhantom, lying: Lying, point_mm: Array, along_mm: float) -> Placed:
    """Lay a body on the pad so that its point ``point_mm`` (LPS) lies over the middle of the table at z ``along_mm``.

    Of a body whose ends nobody knows: a CT shows part of it.
    """
    turned = patient_from_equipment(TablePose(), lying.position)[:3, :3]
    lowest = (phantom.corners.reshape(-1, 3) @ turned)[:, 1].max()
    at = np.asarray(point_mm) @ turned
    shift = np.array([-at[0], lying.tabletop_mm - lying.pad_mm - lowest, along_mm - at[2]])
    return _placed(turned, -turned @ shift, lying)


def lay_at(phantom: SkinPhantom, position: PatientPosition, reference_mm: Array, pad_mm: float = 40.0) -> Placed:
    """Lay a body so that ``reference_mm`` (LPS) is at the equipment's origin when the table stands at zero.

    The tabletop is as far below the body as the pad is thick; its head end where the top of an adult's head would be
    were ``reference_mm`` his lumbar spine.
    """
    turned = patient_from_equipment(TablePose(), position)[:3, :3]
    lowest = ((phantom.corners.reshape(-1, 3) - np.asarray(reference_mm)) @ turned)[:, 1].max()
    beyond = LUMBAR_SHARE if position.value.startswith("HF") else 1.0 - LUMBAR_SHARE
    lying = Lying(position, lowest + pad_mm, beyond * _ADULT_MM, pad_mm)
    return _placed(turned, np.asarray(reference_mm, dtype=np.float64), lying)


def _placed(turned: Array, origin_mm: Array, lying: Lying) -> Placed:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turned, origin_mm
    corner = np.array([0.0, lying.tabletop_mm, lying.head_end_mm])
    up, across, along = (turned @ axis for axis in ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, -1.0)))
    top = TableTop(turned @ corner + origin_mm, up, across, along, lying.table_width_mm, lying.table_length_mm)
    return Placed(matrix, top)
