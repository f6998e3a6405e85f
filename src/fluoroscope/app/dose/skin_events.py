"""From the irradiation events of a dose report to those of a skin map, with what had to be assumed."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fluoroscope.dicom.beam_path import PlaceRecord
from fluoroscope.dicom.dose_records import DoseEventRecord, Notes
from fluoroscope.dose.skin_machines import TableFrame
from fluoroscope.dose.skin_map import INHERENT_ALUMINIUM_MM, SkinEvent, SkinPlace
from fluoroscope.geometry.pose import angles_of_direction, beam_direction
from fluoroscope.geometry.table import PatientPosition, TablePose, patient_from_equipment

__all__ = ["NEAREST_SKIN_MM", "filter_mm", "minimum_skin_mm", "recorded_position", "skin_events"]

_NO_VOLTAGE_KV = 80.0
_NO_REFERENCE_MM = 600.0
_FIXED_ISOCENTER_MM = 650.0
NEAREST_SKIN_MM = 300.0
"""21 CFR 1020.32(g), mobile."""


def minimum_skin_mm(events: Sequence[SkinEvent]) -> float:
    """Return the smallest source-skin distance of 21 CFR 1020.32(g): fixed, its isocentre far, or mobile."""
    fixed = all(event.mappable and (event.source_to_isocenter_mm or 0.0) >= _FIXED_ISOCENTER_MM for event in events)
    return 380.0 if fixed else NEAREST_SKIN_MM


def recorded_position(event: DoseEventRecord) -> PatientPosition | None:
    """Return how the patient lies as the event says; None where it is silent."""
    end, side = event.table_relationship.casefold(), event.orientation_modifier.casefold()
    if not end or not side:
        return None
    sides = {"supine": "S", "prone": "P", "left": "DL", "right": "DR"}
    letter = next((letter for word, letter in sides.items() if word in side), None)
    return None if letter is None else PatientPosition(("FF" if "feet" in end or "foot" in end else "HF") + letter)


def skin_events(
    records: Sequence[DoseEventRecord], position: PatientPosition, frame: TableFrame, notes: Notes
) -> tuple[list[SkinEvent], list[int]]:
    """Return what can be computed with, and which record (from 0) each comes from.

    Parameters
    ----------
    records
        Of one report.
    position
        How the patient lies; the C-arm stays where the report has it.
    frame
        What the table's numbers mean.
    notes
        What was assumed is added. A field nobody says is the median of the others'.
    """
    recorded = recorded_position(records[0]) if records else None
    references = [_reference_mm(record) for record in records]
    if None in references:
        notes.add(
            "reference_assumed", f"how far the reference point is from the source is not said: {_NO_REFERENCE_MM:g} mm"
        )
    known = [reference or _NO_REFERENCE_MM for reference in references]
    areas = [_field_cm2(record, reference) for record, reference in zip(records, known, strict=True)]
    said = [area for area in areas if area]
    usual = float(np.median(said)) if said else None
    events, numbers, moved = [], [], []
    for number, (record, reference, area) in enumerate(zip(records, known, areas, strict=True)):
        if not area and record.kap_gy_cm2 and usual:
            notes.add("field_assumed", "a field that is not said is taken as the median of the other events'")
        event = _skin_event(record, reference, area or usual, notes)
        if event is not None:
            placed = _moving(event, record, frame, recorded, position)
            ends = (placed.end_table, placed.end_angles_deg)
            if record.kind != "rotational" and not placed.path and ends != (None, None):
                moved.append(number + 1)
            if frame.filters_include_tube:
                inherent = min(INHERENT_ALUMINIUM_MM, placed.added_aluminium_mm)
                rest = placed.added_aluminium_mm - inherent
                placed = replace(placed, inherent_aluminium_mm=inherent, added_aluminium_mm=rest)
            events.append(replace(placed, turns_with_table=frame.turns_with_table))
            numbers.append(number)
    if moved:
        listed = ", ".join(map(str, moved[:10])) + (" …" if len(moved) > 10 else "")
        notes.add(
            "moved_evenly",
            f"events {listed} moved: their dose is spread evenly from begin to end, where they stopped is not said",
        )
    return events, numbers


def _moving(
    event: SkinEvent,
    record: DoseEventRecord,
    frame: TableFrame,
    recorded: PatientPosition | None,
    position: PatientPosition,
) -> SkinEvent:
    """Give an event where it stood, or its way: the whole path where the report has it, else begin and end."""

    def angles(primary: float | None, secondary: float | None) -> tuple[float, float] | None:
        return _patient_angles(primary, secondary, recorded, position)

    begin, table = angles(record.primary_deg, record.secondary_deg), _table(record, frame)
    ends = [record.primary_end_deg, record.secondary_end_deg]
    end = None
    if any(value is not None for value in ends):  # one that is not said stays as it was
        begun = (record.primary_deg, record.secondary_deg)
        end = angles(*(was if now is None else now for was, now in zip(begun, ends, strict=True)))
    places = []
    for place in record.places:
        toward, stood = angles(place.primary_deg, place.secondary_deg), _table_of_place(place, frame)
        if toward is not None and stood is not None:
            places.append(SkinPlace(place.share, toward, stood))
    return replace(
        event,
        angles_deg=begin,
        end_angles_deg=None if end == begin else end,
        table=table,
        end_table=None if table is None else _end_table(record, frame, table),
        path=tuple(places) if len(places) == len(record.places) else (),
    )


def _skin_event(record: DoseEventRecord, reference: float, area_cm2: float | None, notes: Notes) -> SkinEvent | None:
    kerma = record.air_kerma_mgy
    if not kerma and record.kap_gy_cm2 and area_cm2:
        kerma = record.kap_gy_cm2 / area_cm2 * 1e3
        notes.add("kerma_rebuilt", "air kerma that was rounded away or not said comes from KAP over field area")
    if not kerma or not area_cm2:
        if record.air_kerma_mgy or record.kap_gy_cm2:
            notes.add("event_left_out", "events without air kerma or without a field are left out")
        return None
    volts = [value for value in record.kvp if value > 0.0]
    if not volts:
        notes.add("voltage_assumed", f"without tube voltage {_NO_VOLTAGE_KV:g} kV is assumed")
    aluminium, copper = (filter_mm(record, name) for name in ("aluminium", "copper"))
    return SkinEvent(
        air_kerma_mgy=kerma,
        reference_mm=reference,
        field_mm=_sides_mm(record, area_cm2),
        tube_voltage_kv=float(np.mean(volts)) if volts else _NO_VOLTAGE_KV,
        added_aluminium_mm=aluminium,
        copper_mm=copper,
        source_to_isocenter_mm=record.source_to_isocenter_mm,
        source_to_detector_mm=record.source_to_detector_mm,
    )


def _reference_mm(record: DoseEventRecord) -> float | None:
    """Source to reference point: as said, or 15 cm from the isocentre, or 30 cm before the detector."""
    words = record.reference_point.casefold().replace(" ", "")
    # One maker writes the way from chamber to patient here: nearer than skin may be, it is no way from the source.
    if record.source_to_reference_mm and record.source_to_reference_mm >= NEAREST_SKIN_MM:
        return record.source_to_reference_mm
    if words.startswith("15cm") and "isocent" in words and record.source_to_isocenter_mm:
        return record.source_to_isocenter_mm - 150.0
    if words.startswith("30cminfront") and record.source_to_detector_mm:
        return record.source_to_detector_mm - 300.0
    return None


def _field_cm2(record: DoseEventRecord, reference_mm: float) -> float | None:
    """Area of the field at the reference point: KAP over kerma, or the collimated area brought from the detector.

    Where kerma has two digits at most, the collimated area is the better one.
    """
    if record.field_area_cm2 and record.source_to_detector_mm:
        return record.field_area_cm2 * (reference_mm / record.source_to_detector_mm) ** 2
    if record.kap_gy_cm2 and record.air_kerma_mgy:
        return record.kap_gy_cm2 * 1e3 / record.air_kerma_mgy
    if record.field_width_mm and record.field_height_mm and record.source_to_detector_mm:
        at_detector = record.field_width_mm * record.field_height_mm / 100.0
        return at_detector * (reference_mm / record.source_to_detector_mm) ** 2
    return None


def _sides_mm(record: DoseEventRecord, area_cm2: float) -> tuple[float, float]:
    """Return the sides of the field at the reference point, across and along: of its shape where that is said."""
    side = 10.0 * float(np.sqrt(area_cm2))
    width, height = record.field_width_mm, record.field_height_mm
    if not width or not height or not 0.1 < width / height < 10.0:
        return side, side
    shape = float(np.sqrt(width / height))
    return side * shape, side / shape


def filter_mm(record: DoseEventRecord, material: str) -> float:
    """Return the thickness of a material in the beam, mm: the mean of each filter's ends, added up."""
    total = 0.0
    for one in record.filters:
        ends = [value for value in (one.minimum_mm, one.maximum_mm) if value is not None]
        if one.material == material and ends:
            total += sum(ends) / len(ends)
    return total


def _patient_angles(
    primary: float | None, secondary: float | None, recorded: PatientPosition | None, position: PatientPosition
) -> tuple[float, float] | None:
    """Turn angles in the terms of the recorded patient (head first, supine when not said) into this patient's."""
    if primary is None or secondary is None:
        return None
    before, now = (
        patient_from_equipment(TablePose(), one)[:3, :3] for one in (recorded or PatientPosition.HFS, position)
    )
    return angles_of_direction(now @ before.T @ beam_direction(primary, secondary))


def _table(record: DoseEventRecord, frame: TableFrame) -> TablePose | None:
    """Return the table in our terms; where its zero is not known, as DICOM counts from anywhere."""
    longitudinal, lateral = record.table_longitudinal_mm, record.table_lateral_mm
    if longitudinal is None or lateral is None or not record.table_height_mm:
        return None
    shifts = (longitudinal, lateral, float(np.mean(record.table_height_mm)))
    turns = (record.table_tilt_deg or 0.0, record.table_rotation_deg or 0.0, record.table_cradle_deg or 0.0)
    return _table_pose(shifts, turns, frame)


def _end_table(record: DoseEventRecord, frame: TableFrame, table: TablePose) -> TablePose | None:
    """Return where the table has come to at the end; None where it stayed or nobody says."""
    begun = (record.table_longitudinal_mm, record.table_lateral_mm, float(np.mean(record.table_height_mm)))
    ends = (record.table_longitudinal_end_mm, record.table_lateral_end_mm, record.table_height_end_mm)
    longitudinal, lateral, height = (was if now is None else now for was, now in zip(begun, ends, strict=True))
    if longitudinal is None or lateral is None or height is None:
        return None
    end = _table_pose((longitudinal, lateral, height), (table.tilt_deg, table.yaw_deg, table.cradle_deg), frame)
    return None if end == table else end


def _table_of_place(place: PlaceRecord, frame: TableFrame) -> TablePose | None:
    return None if place.table is None else _table_pose(place.table[:3], place.table[3:], frame)


def _table_pose(
    shifts_mm: tuple[float, float, float], turns_deg: tuple[float, float, float], frame: TableFrame
) -> TablePose:
    """Return longitudinal, lateral, height and tilt, rotation, cradle of a report in our terms."""
    across, along, height = shifts_mm
    if frame.along == "longitudinal":
        across, along = along, across
    tilt, rotation, cradle = turns_deg
    return TablePose(
        lateral_mm=frame.across_sign * across + frame.middle_mm,
        longitudinal_mm=frame.along_sign * along + frame.head_end_mm,
        height_mm=frame.tabletop_mm - frame.height_sign * height,
        tilt_deg=tilt,
        cradle_deg=cradle,
        yaw_deg=rotation,
    )
