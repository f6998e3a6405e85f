"""A DICOM file as a report for the registry: what `dicom` reads of dose, and whose it is."""

import hashlib
from datetime import date, datetime
from pathlib import Path
from typing import Any

from fluoroscope.dicom.dose_objects import dose_object, read_dose_object
from fluoroscope.dicom.dose_records import DoseEventRecord, DoseObject, DoseTotals
from fluoroscope.dicom.safe_parsing import read_header
from fluoroscope.dicom.sr_tree import SRDocument, read_sr
from fluoroscope.patient.stored import PatientFileError
from fluoroscope.registry.reports import DOSE_KINDS, UNKEPT, Person, Report, ReportEvent, Totals

__all__ = ["read_report"]

_WHOSE = (
    "PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
    "StudyDescription", "ContentDate", "ContentTime", "CompletionFlag", "DeviceSerialNumber", "SeriesDescription",
)  # fmt: skip
_PREDECESSORS = b"\x40\x00\x60\xa3"
_LONGEST = 1024


def read_report(path: Path) -> Report | None:
    """Read what the registry keeps of a file; None when it is not DICOM, or says nothing of dose.

    Raises
    ------
    PatientFileError
        The file is damaged, or as `read_dose_object`.
    """
    document = read_sr(path)
    found = read_dose_object(path) if document is None else dose_object(document)
    if found is None or found.kind not in DOSE_KINDS:
        return None
    header: Any = read_header(path, _WHOSE) if document is None else document.header
    try:
        return _report(path, found, header, document)
    except ValueError as fault:
        raise PatientFileError(f"{path}: {fault}") from fault


def _report(path: Path, found: DoseObject, header: Any, document: SRDocument | None) -> Report:
    def word(keyword: str) -> str:
        return _clean(str(header.get(keyword, "") or ""))

    content = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" if not found.sop_instance_uid else ""
    sop_uid = found.sop_instance_uid or content
    return Report(
        sop_uid=_clean(sop_uid),
        kind=found.kind,
        person=Person(
            _clean(found.patient_id), word("IssuerOfPatientID"), word("PatientName"), _date(word("PatientBirthDate")),
            word("PatientSex").upper(),
        ),
        study_uid=_clean(found.study_uid) or f"of:{_clean(sop_uid)}"[:128],
        started=_moment(word("StudyDate"), word("StudyTime")),
        procedure=word("StudyDescription"),
        manufacturer=_clean(found.manufacturer),
        model=_clean(found.model),
        serial_number=word("DeviceSerialNumber"),
        written=_moment(word("ContentDate"), word("ContentTime")),
        complete=word("CompletionFlag").upper() != "PARTIAL",
        scope=_clean(found.scope),
        scope_uid=_scope_uid(document),
        reference_point=_clean(found.reference_point),
        header=_totals(found.total),
        summed=_totals(found.summed),
        events=tuple(_event(number, one) for number, one in enumerate(found.events, start=1)),
        replaces=_replaced(path) if document is not None else (),
        warnings=tuple((_clean(one.code), _clean(one.text)) for one in found.warnings),
        simulated="SIMULATED" in word("SeriesDescription").upper(),
        path=str(path).encode(errors="replace").decode(),
    )  # fmt: skip


def _scope_uid(document: SRDocument | None) -> str:
    """Return the UID of what the totals are over."""
    scopes = document.root.named("113705") if document is not None else ()
    return next((_clean(child.text) for one in scopes for child in one.children if child.kind == "UIDREF"), "")


def _totals(one: DoseTotals) -> Totals:
    return Totals(one.air_kerma_mgy, one.kap_gy_cm2, one.fluoroscopy_time_s, one.acquisition_time_s)


def _event(number: int, one: DoseEventRecord) -> ReportEvent:
    copper = [added.maximum_mm for added in one.filters if added.material == "copper" and added.maximum_mm is not None]
    return ReportEvent(
        number, _clean(one.uid), _clean(one.plane), _clean(one.kind), _clean(one.started), one.air_kerma_mgy,
        one.kap_gy_cm2, one.duration_s, one.pulses, one.rate_per_s, _mean(one.kvp), _mean(one.tube_current_ma),
        sum(copper) if copper else None, one.primary_deg, one.secondary_deg, one.source_to_detector_mm,
        one.field_area_cm2, _clean(one.target_region),
    )  # fmt: skip


def _mean(values: tuple[float, ...]) -> float | None:
    """Return the mean of what is above 0: machines list pulses that were not made as zeros."""
    made = [value for value in values if value > 0.0]
    return sum(made) / len(made) if made else None


def _replaced(path: Path) -> tuple[str, ...]:
    """Return what a report takes the place of: rare, so the slow reader is only asked when the bytes hold it."""
    if _PREDECESSORS not in path.read_bytes():
        return ()
    header: Any = read_header(path, ("PredecessorDocumentsSequence",))
    found = []
    for study in header.get("PredecessorDocumentsSequence", None) or ():
        for series in study.get("ReferencedSeriesSequence", None) or ():
            for one in series.get("ReferencedSOPSequence", None) or ():
                found.append(_clean(str(one.get("ReferencedSOPInstanceUID", "") or "")))
    return tuple(uid for uid in found if uid)


def _clean(text: str) -> str:
    """Return text a database holds: no control characters, no lone surrogates, not endless."""
    return UNKEPT.sub(" ", text).strip()[:_LONGEST]


def _date(text: str) -> date | None:
    try:
        return datetime.strptime(text.replace(".", "").replace("-", ""), "%Y%m%d").date()
    except ValueError:
        return None


def _moment(day: str, time: str) -> datetime | None:
    first = _date(day)
    if first is None:
        return None
    digits = time.split(".")[0].replace(":", "")
    for form in ("%H%M%S", "%H%M", "%H"):
        try:
            return datetime.combine(first, datetime.strptime(digits, form).time())
        except ValueError:
            continue
    return datetime.combine(first, datetime.min.time())
