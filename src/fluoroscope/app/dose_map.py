"""From a dose report to the dose of the skin: ``fluoroscope dose map``."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fluoroscope.app.dose_picture import draw_map
from fluoroscope.dicom.dose_objects import read_dose_object
from fluoroscope.dicom.dose_records import DoseEventRecord, DoseObject, DoseWarning, Notes
from fluoroscope.dose.skin_map import (
    MAP_UNCERTAINTY_PERCENT,
    Lying,
    SkinBounds,
    SkinEvent,
    SkinMap,
    skin_bounds,
    skin_map,
)
from fluoroscope.dose.skin_phantoms import SkinPhantom, skin_phantom
from fluoroscope.geometry.pose import angles_of_direction, beam_direction
from fluoroscope.geometry.table import PatientPosition, TablePose, patient_from_equipment
from fluoroscope.patient.stored import PatientFileError
from fluoroscope.records.whole_file import whole_file

__all__ = ["Body", "SkinReport", "map_dose", "map_facts", "map_rows", "write_map_csv", "write_map_png"]

_NO_VOLTAGE_KV = 80.0
_NO_REFERENCE_MM = 600.0
_FIXED_ISOCENTER_MM = 650.0
_NEAREST_SKIN_MM = 300.0  # 21 CFR 1020.32(g), mobile
_LUMBAR = 0.40  # of the height below the top of the head: what our own table has at the isocentre when at zero
_NOTICE = "Peak skin dose from a dose report. Not a medical device."


@dataclass(frozen=True, slots=True)
class Body:
    """What stands for the patient: phantom, height cm, weight kg, and the position where the report is wrong."""

    phantom: str = "adult"
    height_cm: float = 176.0
    weight_kg: float = 73.0
    position: PatientPosition | None = None


@dataclass(frozen=True, slots=True)
class SkinReport:
    """A map, or bounds where no map is possible, and what a reader must know."""

    path: Path
    position: PatientPosition
    phantom: SkinPhantom
    found: SkinMap | SkinBounds
    warnings: tuple[DoseWarning, ...]


def map_dose(path: Path, body: Body) -> SkinReport:
    """Read a dose report and work out the dose of the skin.

    Raises
    ------
    PatientFileError
        When the file is no fluoroscopy report with events, or says no air kerma.
    ImplausibleSkinDoseError
        When geometry and air kerma of the report cannot both be true.
    """
    one = read_dose_object(path)
    if one is None:
        raise PatientFileError(f"{path}: not a DICOM file; give a dose report (RDSR)")
    if one.kind != "fluoroscopy" or not one.events:
        raise PatientFileError(f"{path}: {one.kind} with {len(one.events)} events; a skin map needs fluoroscopy events")
    notes = Notes()
    for warning in one.warnings:
        notes.add(warning.code, warning.text)
    recorded = _recorded_position(one.events[0])
    position = body.position or recorded or PatientPosition.HFS
    if body.position is None and recorded is None:
        notes.add("position_assumed", "how the patient lay is not said: head first, supine is assumed")
    events = _skin_events(one.events, recorded, position, notes)
    if not events:
        raise PatientFileError(f"{path}: no event says its air kerma and field; no skin dose can be worked out")
    phantom = skin_phantom(body.phantom, body.height_cm, body.weight_kg)
    lying = _lying(one, position, phantom)
    if lying is None and all(event.table is not None for event in events):
        notes.add("table_frame", f"where zero of this table is, is not known for {one.manufacturer} {one.model}")
    found: SkinMap | SkinBounds
    if lying is None or not all(event.mappable for event in events) or "reference_assumed" in notes.found:
        notes.add("estimate", "geometry is not known: an estimate between bounds, not a map")
        found = skin_bounds(events, _minimum_skin_mm(events))
    else:
        notes.add("table_zero", "where the patient lies on the table is assumed: the first end at the table's head end")
        found = skin_map(phantom, lying, events, _minimum_skin_mm(events))
        if found.peak_mgy == 0.0:
            notes.add("beam_missed", "no beam meets the phantom: 0 mGy is where the table was said to be, not a dose")
        elif found.missed:
            numbers = ", ".join(str(number + 1) for number in found.missed)
            notes.add("event_missed", f"the beams of events {numbers} miss the phantom")
    return SkinReport(path, position, phantom, found, tuple(notes.found.values()))


def _minimum_skin_mm(events: Sequence[SkinEvent]) -> float:
    """Return the smallest source-skin distance of 21 CFR 1020.32(g): fixed, its isocentre far, or mobile."""
    fixed = all(event.mappable and (event.source_to_isocenter_mm or 0.0) >= _FIXED_ISOCENTER_MM for event in events)
    return 380.0 if fixed else _NEAREST_SKIN_MM


def _recorded_position(event: DoseEventRecord) -> PatientPosition | None:
    end, side = event.table_relationship.casefold(), event.orientation_modifier.casefold()
    if not end or not side:
        return None
    sides = {"supine": "S", "prone": "P", "left": "DL", "right": "DR"}
    letter = next((letter for word, letter in sides.items() if word in side), None)
    return None if letter is None else PatientPosition(("FF" if "feet" in end or "foot" in end else "HF") + letter)


def _lying(one: DoseObject, position: PatientPosition, phantom: SkinPhantom) -> Lying | None:
    """How the body lies on a table whose zero is known; None for every other machine."""
    name = f"{one.manufacturer} {one.model}".casefold()
    if "siemens" in name and "artis" in name:
        # Head end and tabletop lie at the isocentre when all three numbers are 0, as PySkinDose found in one room.
        return Lying(position)
    if one.manufacturer.startswith("Fluoroscope"):
        # Our own table has the patient's lumbar spine at the isocentre when it stands at zero.
        feet_first = position.value.startswith("FF")
        below = 1.0 - _LUMBAR if feet_first else _LUMBAR
        turned = patient_from_equipment(TablePose(), position)[:3, :3]
        depth = float((phantom.centers @ turned)[:, 1].max())
        return Lying(position, tabletop_mm=depth + 40.0, head_end_mm=below * phantom.height_mm)
    return None


def _skin_events(
    records: Sequence[DoseEventRecord], recorded: PatientPosition | None, position: PatientPosition, notes: Notes
) -> list[SkinEvent]:
    """Return what can be computed with; a field nobody says is the median of the others'."""
    references = [_reference_mm(record) for record in records]
    if None in references:
        notes.add(
            "reference_assumed", f"how far the reference point is from the source is not said: {_NO_REFERENCE_MM:g} mm"
        )
    known = [reference or _NO_REFERENCE_MM for reference in references]
    areas = [_field_cm2(record, reference) for record, reference in zip(records, known, strict=True)]
    said = [area for area in areas if area]
    usual = float(np.median(said)) if said else None
    events = []
    for record, reference, area in zip(records, known, areas, strict=True):
        if not area and record.kap_gy_cm2 and usual:
            notes.add("field_assumed", "a field that is not said is taken as the median of the other events'")
        event = _skin_event(record, reference, area or usual, notes)
        if event is not None:
            angles, ends = (
                _patient_angles(primary, secondary, recorded, position)
                for primary, secondary in (
                    (record.primary_deg, record.secondary_deg),
                    (record.primary_end_deg, record.secondary_end_deg),
                )
            )
            events.append(replace(event, angles_deg=angles, end_angles_deg=ends))
    return events


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
    side = 10.0 * float(np.sqrt(area_cm2))
    aluminium, copper = (_filter_mm(record, name) for name in ("aluminium", "copper"))
    return SkinEvent(
        air_kerma_mgy=kerma,
        reference_mm=reference,
        field_mm=(side, side),
        tube_voltage_kv=float(np.mean(volts)) if volts else _NO_VOLTAGE_KV,
        added_aluminium_mm=aluminium,
        copper_mm=copper,
        source_to_isocenter_mm=record.source_to_isocenter_mm,
        source_to_detector_mm=record.source_to_detector_mm,
        table=_table(record),
    )


def _reference_mm(record: DoseEventRecord) -> float | None:
    """Source to reference point: as said, or 15 cm from the isocentre, or 30 cm before the detector."""
    words = record.reference_point.casefold().replace(" ", "")
    # One maker writes the way from chamber to patient here: nearer than skin may be, it is no way from the source.
    if record.source_to_reference_mm and record.source_to_reference_mm >= _NEAREST_SKIN_MM:
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
    return None


def _filter_mm(record: DoseEventRecord, material: str) -> float:
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


def _table(record: DoseEventRecord) -> TablePose | None:
    """Return the table in our terms: longitudinal in a report lies across, lateral along (PS3.16 D), height down."""
    if record.table_longitudinal_mm is None or record.table_lateral_mm is None or not record.table_height_mm:
        return None
    return TablePose(
        lateral_mm=record.table_longitudinal_mm,
        longitudinal_mm=record.table_lateral_mm,
        height_mm=-float(np.mean(record.table_height_mm)),
        tilt_deg=record.table_tilt_deg or 0.0,
        cradle_deg=record.table_cradle_deg or 0.0,
        yaw_deg=record.table_rotation_deg or 0.0,
    )


def map_facts(report: SkinReport) -> dict[str, Any]:
    """Return a report JSON-ready; of an estimate, uncertainty is the wider half of the bounds."""
    found = report.found
    warnings = [asdict(warning) for warning in report.warnings]
    where = {"path": str(report.path), "phantom": report.phantom.name, "patient_position": report.position.value}
    if isinstance(found, SkinBounds):
        wider = max(found.upper_mgy - found.estimate_mgy, found.estimate_mgy - found.lower_mgy)
        return (
            {
                "peak_skin_dose_mgy": found.estimate_mgy,
                "uncertainty_percent": 100.0 * wider / found.estimate_mgy if found.estimate_mgy else None,
                "bounds_mgy": [found.lower_mgy, found.upper_mgy],
                "estimate": True,
                "share_of_kap_on_patient": None,
                "peak_position": None,
                "warnings": warnings,
            }
            | where
            | {"phantom": None}
        )
    part = MAP_UNCERTAINTY_PERCENT / 100.0
    return {
        "peak_skin_dose_mgy": found.peak_mgy,
        "uncertainty_percent": MAP_UNCERTAINTY_PERCENT,
        "bounds_mgy": [found.peak_mgy * (1.0 - part), found.peak_mgy * (1.0 + part)],
        "estimate": False,
        "share_of_kap_on_patient": found.share_of_kap_on_patient,
        "peak_position": found.peak_position_mm,
        "warnings": warnings,
    } | where


def map_rows(report: SkinReport) -> list[tuple[str, str]]:
    """Return a report for people."""
    facts, found = map_facts(report), report.found
    low, high = facts["bounds_mgy"]
    rows = [("patient lies", report.position.value)]
    if isinstance(found, SkinBounds):
        rows.append(("peak skin dose", f"estimate {found.estimate_mgy:.3g} mGy, from {low:.3g} to {high:.3g} mGy"))
        rows.append(("KAP on the patient", "not known"))
    else:
        rows.append(("peak skin dose", f"{found.peak_mgy:.3g} mGy ± {MAP_UNCERTAINTY_PERCENT:.0f} % (k = 2)"))
        rows.append(("KAP on the patient", f"{100.0 * found.share_of_kap_on_patient:.0f} %"))
        if found.peak_position_mm is not None:
            x, y, z = found.peak_position_mm
            rows.append(("where", f"{x:.0f}, {y:.0f}, {z:.0f} mm LPS from the top of the head, {report.phantom.name}"))
    return rows + [("warning", warning.text) for warning in report.warnings]


def _only_map(report: SkinReport) -> SkinMap:
    if isinstance(report.found, SkinBounds):
        raise PatientFileError(f"{report.path}: no map can be written, only bounds: {_words(report.warnings)}")
    return report.found


def _words(warnings: Sequence[DoseWarning]) -> str:
    return "; ".join(warning.text for warning in warnings if warning.code in ("no_table", "table_frame", "estimate"))


def write_map_csv(report: SkinReport, path: Path) -> None:
    """Write every cell: patient LPS mm, area mm², dose mGy; refused when there is no map."""
    found, text = _only_map(report), io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["x_mm", "y_mm", "z_mm", "area_mm2", "dose_mgy"])
    for center, area, dose in zip(found.phantom.centers, found.phantom.areas_mm2, found.dose_mgy, strict=True):
        writer.writerow([*(f"{value:.2f}" for value in center), f"{area:.2f}", f"{dose:.6g}"])
    with whole_file(path) as file:
        file.write(text.getvalue().encode())


def write_map_png(report: SkinReport, path: Path) -> None:
    """Write the skin unrolled, head up, the back in the middle: grey where nothing hit, dark red the peak."""
    found = _only_map(report)
    title = (
        f"Peak skin dose {found.peak_mgy:.3g} mGy ± {MAP_UNCERTAINTY_PERCENT:.0f} %, "
        f"{found.share_of_kap_on_patient:.0%} of the KAP on the patient; head up"
    )
    draw_map(found, title, _NOTICE, path)
