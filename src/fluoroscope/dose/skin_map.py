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
    "SkinPlace",
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
_ROTATION_STEP_DEG, _SHIFT_STEP_MM = 3.0, 10.0
_LONGEST_ROTATION_DEG = 270.0
_MOST_STEPS = 400  # a table's end that is written wrong must not cost minutes
_SAME_PLACE_DEG = 15.0
_AT_ONCE = 1024
_THIN_BODY_MM = 200.0


class ImplausibleSkinDoseError(ValueError):
    """A skin dose above what the air kerma can give at the smallest distance a machine allows."""


@dataclass(frozen=True, slots=True)
class SkinPlace:
    """Where the beam stood for a share (0 to 1) of an event's air kerma: angles as in `SkinEvent`, and the table."""

    share: float
    angles_deg: tuple[float, float]
    table: TablePose


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
    table, end_table
        Where the table stands, and where it has come to at the end; None when nobody says.
    path
        Where the beam stood on its way, when that is known: angles and tables above are not looked at then. Without it
        the dose is spread evenly from begin to end.
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
    end_table: TablePose | None = None
    path: tuple[SkinPlace, ...] = ()

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
    """Return the beams of an event in the patient's coordinates: one where nothing moved.

    One for every place of its path; without a path a step every 3° or 10 mm from begin to end, of equal dose.

    Raises
    ------
    ValueError
        When the event lacks table, angles or isocentre.
    """
    if event.table is None or event.angles_deg is None or event.source_to_isocenter_mm is None:
        raise ValueError("a skin map needs the table's position, the angles and the isocentre of every event")
    to_isocenter = event.source_to_isocenter_mm
    # The blades are given at the reference distance: the detector is put there.
    to_detector = max(2.0 * to_isocenter, event.reference_mm)
    right, down = (max(side / 2.0, 1e-9) * to_detector / event.reference_mm for side in event.field_mm)
    blades, quality = Collimation(right, right, down, down), event.quality
    beams = []
    for place in event.path or _even_path(event, event.angles_deg, event.table):
        from_equipment = placed.patient_from_equipment(place.table)
        # Back to the equipment's frame: with the table's turns, or as if it were not turned.
        turned = from_equipment if event.turns_with_table else placed.patient_from_table
        toward = beam_direction(*place.angles_deg) @ turned[:3, :3]
        pose = CArmPose(*angles_of_direction(toward), to_isocenter, to_detector)
        kerma_mgy = event.air_kerma_mgy * place.share
        beam = beam_of_pose(pose, blades, kerma_mgy, event.reference_mm, quality, from_equipment, placed.tabletop)
        beams.append(beam if penumbra is None else replace(beam, penumbra=penumbra))
    return beams


def _even_path(event: SkinEvent, angles_deg: tuple[float, float], table: TablePose) -> list[SkinPlace]:
    """Return even steps from begin to end; one where nothing moved."""
    first = np.array(angles_deg)
    last = first if event.end_angles_deg is None else np.array(event.end_angles_deg)
    over = last - first
    if abs(over[0]) > _LONGEST_ROTATION_DEG:  # past 180°, where the count begins again
        over[0] -= np.copysign(360.0, over[0])
    end = event.end_table or table
    shift = np.array([
        end.lateral_mm - table.lateral_mm, end.longitudinal_mm - table.longitudinal_mm, end.height_mm - table.height_mm
    ])  # fmt: skip
    wanted = max(np.abs(over).max() / _ROTATION_STEP_DEG, np.linalg.norm(shift) / _SHIFT_STEP_MM)
    steps = min(int(np.ceil(wanted)), _MOST_STEPS) + 1
    places = []
    for part in np.linspace(0.0, 1.0, steps):
        primary, secondary = first + part * over
        across, along, up = part * shift
        moved = replace(
            table,
            lateral_mm=table.lateral_mm + across,
            longitudinal_mm=table.longitudinal_mm + along,
            height_mm=table.height_mm + up,
        )
        places.append(SkinPlace(1.0 / steps, (primary, secondary), moved))
    return places


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
    reference point and no table. Upper: all events on one spot at the smallest distance. Of an event that moved, every
    angle has its share.
    """
    if not events:
        return SkinBounds(0.0, 0.0, 0.0)
    low = [_free_dose_mgy(event, _far_mm(event)) * event.quality.table for event in events]
    usual = [_free_dose_mgy(event, event.reference_mm) for event in events]
    known = all(event.angles_deg is not None for event in events)
    # Of the events without angles each is a place of its own.
    alone = [dose for event, dose in zip(events, low, strict=True) if event.angles_deg is None]
    lower, estimate = _largest_group(events, np.column_stack([low, usual]))
    if not known:
        lower, estimate = max([lower, *alone]), sum(usual)
    upper = max(plausible_limit_mgy(events, minimum_skin_mm), estimate)
    return SkinBounds(lower, estimate, upper)


def _free_dose_mgy(event: SkinEvent, distance_mm: float) -> float:
    """Return skin dose at a distance from the source without a table."""
    quality = event.quality
    side_cm = float(np.sqrt(event.field_mm[0] * event.field_mm[1])) / 10.0 * distance_mm / event.reference_mm
    scattered = backscatter(quality.tube_voltage_kv, quality.hvl_mm_al, side_cm) * quality.medium
    return event.air_kerma_mgy * float(inverse_square(event.reference_mm, distance_mm) * scattered)


def _far_mm(event: SkinEvent) -> float:
    if event.source_to_detector_mm is None:
        return event.reference_mm + 150.0
    return max(event.source_to_detector_mm - _THIN_BODY_MM, event.reference_mm)


def _largest_group(events: Sequence[SkinEvent], doses_mgy: Array) -> tuple[float, float]:
    """Return the largest sum of each column of ``doses_mgy`` (events, 2) over directions like one of them.

    Equal directions are counted once: a press held still is one direction in ten thousand events.
    """
    sums: dict[tuple[float, float], Array] = {}
    for event, doses in zip(events, doses_mgy, strict=True):
        for angles, share in _directions(event):
            sums[angles] = sums.get(angles, np.zeros(2)) + share * doses
    if not sums:
        return 0.0, 0.0
    toward, of_each = np.array([beam_direction(*angles) for angles in sums]), np.array(list(sums.values()))
    largest, alike = np.zeros(2), np.cos(np.deg2rad(_SAME_PLACE_DEG))
    for first in range(0, len(toward), _AT_ONCE):
        near = toward[first : first + _AT_ONCE] @ toward.T >= alike
        largest = np.maximum(largest, (near @ of_each).max(axis=0))
    return float(largest[0]), float(largest[1])


def _directions(event: SkinEvent) -> list[tuple[tuple[float, float], float]]:
    """Return the angles of an event, each with its share of the dose; none where nobody says them."""
    if event.angles_deg is None:
        return []
    if event.path:
        return [(place.angles_deg, place.share) for place in event.path]
    if event.end_angles_deg is None:
        return [(event.angles_deg, 1.0)]
    still = replace(event, end_table=None)
    return [(place.angles_deg, place.share) for place in _even_path(still, event.angles_deg, TablePose())]


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
