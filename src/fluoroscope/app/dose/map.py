"""From a dose report to the dose of the skin: ``fluoroscope dose map``."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fluoroscope.app.dose.picture import draw_map
from fluoroscope.app.dose.skin_events import minimum_skin_mm, recorded_position, skin_events
from fluoroscope.app.dose.skin_words import where_on_body
from fluoroscope.app.setup import RoomSetup, load_patient
from fluoroscope.dicom.dose_objects import read_dose_object
from fluoroscope.dicom.dose_records import DoseObject, DoseWarning, Notes
from fluoroscope.dose.patient_skin import patient_skin
from fluoroscope.dose.skin_dose import SkinDose
from fluoroscope.dose.skin_machines import Evidence, TableFrame, table_frame
from fluoroscope.dose.skin_map import (
    LUMBAR_SHARE,
    Lying,
    Placed,
    SkinBounds,
    SkinEvent,
    SkinMap,
    event_beams,
    lay,
    lay_at,
    lay_with,
    map_uncertainty_percent,
    skin_bounds,
    skin_map,
)
from fluoroscope.dose.skin_phantoms import PHANTOMS, SkinPhantom, skin_phantom
from fluoroscope.geometry.table import PatientPosition, TablePose, patient_from_equipment
from fluoroscope.patient.stored import PatientFileError
from fluoroscope.records.whole_file import whole_file

__all__ = [
    "Body",
    "SkinReport",
    "map_dose",
    "map_facts",
    "map_rows",
    "peak_of",
    "running_peaks",
    "write_map_csv",
    "write_map_png",
]

_NOTICE = "Peak skin dose from a dose report. Not a medical device."


@dataclass(frozen=True, slots=True)
class Body:
    """What stands for the patient: phantom, height cm, weight kg, and the position where the report is wrong.

    ``phantom`` is one of `PHANTOMS`, or a patient: a name, a CT file or a folder.
    """

    phantom: str = "adult"
    height_cm: float = 176.0
    weight_kg: float = 73.0
    position: PatientPosition | None = None


@dataclass(frozen=True, slots=True)
class SkinReport:
    """A map, or bounds where no map is possible, and what a reader must know.

    ``place`` says where the peak is, in the patient's terms; "" where there is none.
    """

    path: Path
    position: PatientPosition
    phantom: SkinPhantom
    found: SkinMap | SkinBounds
    warnings: tuple[DoseWarning, ...]
    table: TableFrame
    place: str = ""


@dataclass(frozen=True, slots=True)
class _Skin:
    """Whose skin it is, the point of it that lies at the isocentre in our own reports, and his vertebrae."""

    phantom: SkinPhantom
    reference_mm: tuple[float, float, float] | None = None
    vertebrae: dict[str, tuple[float, float, float]] | None = None
    cut: bool = False


def map_dose(path: Path, body: Body, table: TableFrame | None = None) -> SkinReport:
    """Read a dose report and work out the dose of the skin.

    Parameters
    ----------
    path
        The report.
    body
        What stands for the patient.
    table
        What the site knows of its table, in place of what is known of the machine.

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
        why = f"{one.kind}, not fluoroscopy" if one.kind != "fluoroscopy" else "no irradiation event in it"
        raise PatientFileError(f"{path}: {why}; a skin map needs the events of fluoroscopy")
    notes = Notes()
    for warning in one.warnings:
        notes.add(warning.code, warning.text)
    recorded = recorded_position(one.events[0])
    position = body.position or recorded or PatientPosition.HFS
    if body.position is None and recorded is None:
        notes.add("position_assumed", "how the patient lay is not said: head first, supine is assumed")
    frame = table or table_frame(one.manufacturer, one.model)
    events, _ = skin_events(one.events, position, frame, notes)
    if not events:
        raise PatientFileError(f"{path}: no event says its air kerma and field; no skin dose can be worked out")
    skin = _skin_of(body)
    found: SkinMap | SkinBounds
    if _mappable(events, frame, notes):
        _say_placing(frame, skin, notes)
        found = skin_map(skin.phantom, _placed(skin, body, position, frame), events, minimum_skin_mm(events))
        _say_missed(found, notes)
    else:
        notes.add("estimate", "geometry is not known: an estimate between bounds, not a map")
        found = skin_bounds(events, minimum_skin_mm(events))
    cell = found.peak_index if isinstance(found, SkinMap) else None
    place = "" if cell is None else where_on_body(skin.phantom, cell, skin.vertebrae)
    return SkinReport(path, position, skin.phantom, found, tuple(notes.found.values()), frame, place)


def peak_of(one: DoseObject, body: Body | None = None) -> float | None:
    """Return the peak skin dose of a report, mGy; None where no map is possible or it has no plausible one."""
    peaks = running_peaks(one, body)
    return peaks[-1] if peaks else None


def running_peaks(one: DoseObject, body: Body | None = None) -> tuple[float, ...]:
    """Return the peak skin dose after each irradiation event, mGy; empty where no map is possible."""
    if one.kind != "fluoroscopy" or not one.events:
        return ()
    chosen, notes = body or Body(), Notes()
    position = chosen.position or recorded_position(one.events[0]) or PatientPosition.HFS
    frame = table_frame(one.manufacturer, one.model)
    events, numbers = skin_events(one.events, position, frame, notes)
    if not events or not _mappable(events, frame, notes):
        return ()
    skin = _skin_of(chosen)
    placed, dose = _placed(skin, chosen, position, frame), SkinDose(skin.phantom)
    peaks, waiting = [], dict(zip(numbers, events, strict=True))
    for number in range(len(one.events)):
        for beam in event_beams(waiting[number], placed) if number in waiting else ():
            dose.add(beam)
        peaks.append(dose.peak_mgy)
    plausible = dose.peak_mgy <= dose.plausible_limit_mgy(minimum_skin_mm(events)) * (1.0 + 1e-9)
    return tuple(peaks) if plausible else ()


def _mappable(events: Sequence[SkinEvent], frame: TableFrame, notes: Notes) -> bool:
    """Whether a map can be made; says why not where only the table's zero is missing."""
    if not frame.known and any(event.table is not None for event in events):
        notes.add("table_frame", f"where zero of this table is, is not known: {frame.source}")
    return frame.known and all(event.mappable for event in events) and "reference_assumed" not in notes.found


def _skin_of(body: Body) -> _Skin:
    if body.phantom in PHANTOMS:
        return _Skin(skin_phantom(body.phantom, body.height_cm, body.weight_kg))
    from fluoroscope.app.room_scene import RoomScene

    try:
        patient = load_patient(RoomSetup(body.phantom))
    except PatientFileError as fault:
        if "no such file" not in str(fault):
            raise
        raise PatientFileError(f"{fault}; phantoms are {', '.join(PHANTOMS)}") from fault
    found = patient_skin(patient.volume, patient.record.name)
    x, y, z = (float(value) for value in patient.reference_mm)
    return _Skin(found.phantom, (x, y, z), RoomScene(patient).vertebrae(), found.cut)


def _placed(skin: _Skin, body: Body, position: PatientPosition, frame: TableFrame) -> Placed:
    """Lay the body where our own table has it, or with its first end at the head end of another's."""
    phantom, reference = skin.phantom, skin.reference_mm
    below = 1.0 - LUMBAR_SHARE if position.value.startswith("FF") else LUMBAR_SHARE
    if frame.evidence is Evidence.OWN:
        if reference is not None:
            return lay_at(phantom, position, np.array(reference))
        turned = patient_from_equipment(TablePose(), position)[:3, :3]
        depth = float((phantom.corners.reshape(-1, 3) @ turned)[:, 1].max())
        return lay(phantom, Lying(position, tabletop_mm=depth + 40.0, head_end_mm=below * phantom.height_mm))
    if reference is None:
        return lay(phantom, Lying(position))
    return lay_with(phantom, Lying(position), np.array(reference), -below * body.height_cm * 10.0)


def _say_placing(frame: TableFrame, skin: _Skin, notes: Notes) -> None:
    if frame.evidence is Evidence.SITE:
        notes.add("table_site", f"where zero of this table is comes from the site: {frame.source}")
    if frame.evidence is not Evidence.OWN or skin.reference_mm is None:
        notes.add("table_zero", "where the patient lies on the table is assumed: the first end at the table's head end")
    if skin.cut:
        notes.add("body_cut", "part of the body is outside the CT's field of view: skin there is where the CT ends")


def _say_missed(found: SkinMap, notes: Notes) -> None:
    if found.peak_mgy == 0.0:
        notes.add("beam_missed", "no beam meets the phantom: 0 mGy is where the table was said to be, not a dose")
    elif found.missed:
        numbers = ", ".join(str(number + 1) for number in found.missed)
        notes.add("event_missed", f"the beams of events {numbers} miss the phantom")


def map_facts(report: SkinReport) -> dict[str, Any]:
    """Return a report JSON-ready; of an estimate, uncertainty is the wider half of the bounds."""
    found = report.found
    warnings = [asdict(warning) for warning in report.warnings]
    table = {"evidence": report.table.evidence.value, "source": report.table.source}
    where = {
        "path": str(report.path),
        "phantom": report.phantom.name,
        "patient_position": report.position.value,
        "where": report.place or None,
        "table": table,
    }
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
    part = map_uncertainty_percent(found.phantom) / 100.0
    return {
        "peak_skin_dose_mgy": found.peak_mgy,
        "uncertainty_percent": map_uncertainty_percent(found.phantom),
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
        rows.append(
            ("peak skin dose", f"{found.peak_mgy:.3g} mGy ± {map_uncertainty_percent(found.phantom):.0f} % (k = 2)")
        )
        rows.append(("KAP on the patient", f"{100.0 * found.share_of_kap_on_patient:.0f} %"))
        if found.peak_position_mm is not None:
            x, y, z = found.peak_position_mm
            origin = "of the CT" if found.phantom.own else "from the top of the head"
            rows.append(("where", report.place))
            rows.append(("position", f"{x:.0f}, {y:.0f}, {z:.0f} mm LPS {origin}, {report.phantom.name}"))
    rows.append(("table's zero", f"{report.table.evidence.value}: {report.table.source}"))
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
    """Write the skin unrolled, head up: grey where nothing hit, dark red the peak."""
    found = _only_map(report)
    title = (
        f"Peak skin dose {found.peak_mgy:.3g} mGy ± {map_uncertainty_percent(found.phantom):.0f} %, "
        f"{found.share_of_kap_on_patient:.0%} of the KAP on the patient; "
        f"{report.phantom.name} {report.position.value}, head up"
    )
    draw_map(found, title, _NOTICE, path)
