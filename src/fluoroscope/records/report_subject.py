"""Whom a derived record is about and what it is made from: an exam of ours, or another machine's dose report."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import XRayRadiationDoseSRStorage

from fluoroscope import __version__
from fluoroscope.dicom.safe_parsing import read_header
from fluoroscope.patient.stored import PatientFileError
from fluoroscope.records.identity import Equipment, ExamIdentity
from fluoroscope.records.writing import exam_modules

__all__ = ["DERIVED_TEXT", "ReportSource", "ReportSubject", "evidence", "subject_of_exam", "subject_of_report"]

DERIVED_TEXT = "ESTIMATED from a dose report - not for clinical use; not a medical device"

# Of another machine's report, as they stand: who, and which study. Its equipment is not ours.
_KEPT = (
    "TimezoneOffsetFromUTC", "StudyDate", "StudyTime", "AccessionNumber",
    "ReferringPhysicianName", "StudyDescription", "PatientName", "PatientID", "IssuerOfPatientID",
    "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID",
)  # fmt: skip
# Type 2: must stand there, if empty.
_EMPTY_WHEN_UNKNOWN = (
    "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "PatientName", "PatientID",
    "PatientBirthDate", "PatientSex", "StudyID",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ReportSubject:
    """Patient, study and general equipment modules; the machine or program that says so; what it says of itself."""

    modules: Dataset
    equipment: Equipment
    statement: str

    @property
    def study_uid(self) -> str:
        """Study Instance UID."""
        return str(self.modules.StudyInstanceUID)

    def set_time(self, dataset: Dataset, name: str, when: datetime) -> None:
        """Set ``<name>Date`` and ``<name>Time`` by the clock of the study: in its offset from UTC, else local."""
        sign = re.fullmatch(r"([+-])(\d{2})(\d{2})", str(self.modules.get("TimezoneOffsetFromUTC", "")))
        clock = None
        if sign is not None:
            offset = timedelta(hours=int(sign[2]), minutes=int(sign[3]))
            clock = timezone(-offset if sign[1] == "-" else offset)
        shown = when.astimezone(clock)
        setattr(dataset, f"{name}Date", shown.strftime("%Y%m%d"))
        setattr(dataset, f"{name}Time", shown.strftime("%H%M%S.%f"))


@dataclass(frozen=True, slots=True)
class ReportSource:
    """The dose report an estimate is made from, and the irradiation events in it."""

    study_uid: str
    series_uid: str
    sop_instance_uid: str
    event_uids: tuple[str, ...] = ()
    sop_class_uid: str = XRayRadiationDoseSRStorage


def subject_of_exam(exam: ExamIdentity) -> ReportSubject:
    """Return the subject of a record of one of our exams."""
    return ReportSubject(exam_modules(exam), exam.equipment, exam.statement)


def subject_of_report(path: Path, event_uids: tuple[str, ...] = ()) -> tuple[ReportSubject, ReportSource]:
    """Return the subject of what is derived from a dose report of any machine, and the reference to it.

    Parameters
    ----------
    path
        A DICOM file.
    event_uids
        Of its irradiation events, as far as it names them.

    Raises
    ------
    PatientFileError
        When it is not DICOM, or names no study, series or instance to refer to.
    """
    header = read_header(path, [*_KEPT, "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "SeriesDescription"])
    if header is None:
        raise PatientFileError(f"{path}: not a DICOM file; give a dose report (RDSR)")
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"):
        if not header.get(keyword):
            raise PatientFileError(f"{path}: has no {keyword} to refer to; export the report again")
    modules = Dataset()
    modules.SpecificCharacterSet = "ISO_IR 192"
    for keyword in _KEPT:
        if keyword in header:  # as words, not as the bytes of another character set
            setattr(modules, keyword, str(header.get(keyword) or ""))
    for keyword in _EMPTY_WHEN_UNKNOWN:
        if keyword not in modules:
            setattr(modules, keyword, "")
    equipment = Equipment("dose map", __version__)
    modules.Manufacturer = equipment.manufacturer
    modules.ManufacturerModelName = equipment.model
    modules.DeviceSerialNumber = equipment.serial_number
    modules.SoftwareVersions = equipment.software_version
    simulated = "SIMULATED" in str(header.get("SeriesDescription", ""))
    statement = f"SIMULATED, {DERIVED_TEXT}" if simulated else DERIVED_TEXT
    source = ReportSource(
        str(header.StudyInstanceUID),
        str(header.SeriesInstanceUID),
        str(header.SOPInstanceUID),
        tuple(uid for uid in event_uids if uid),
        str(header.SOPClassUID),
    )
    return ReportSubject(modules, equipment, statement), source


def evidence(references: Sequence[tuple[str, str, str, str]]) -> list[Dataset]:
    """Return Current Requested Procedure Evidence Sequence of (study, series, class, instance UIDs), in order."""
    studies: dict[str, dict[str, list[Dataset]]] = {}
    for study_uid, series_uid, sop_class_uid, sop_instance_uid in references:
        instance = Dataset()
        instance.ReferencedSOPClassUID = sop_class_uid
        instance.ReferencedSOPInstanceUID = sop_instance_uid
        studies.setdefault(study_uid, {}).setdefault(series_uid, []).append(instance)
    listed = []
    for study_uid, every in studies.items():
        study = Dataset()
        study.StudyInstanceUID = study_uid
        study.ReferencedSeriesSequence = []
        for series_uid, instances in every.items():
            series = Dataset()
            series.SeriesInstanceUID = series_uid
            series.ReferencedSOPSequence = instances
            study.ReferencedSeriesSequence.append(series)
        listed.append(study)
    return listed
