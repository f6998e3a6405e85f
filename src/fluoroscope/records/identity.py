"""Whose exam it is, on which machine, and what is said of it: the same in every record of the exam."""

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum

from fluoroscope.acquisition.frame import Provenance
from fluoroscope.geometry.table import PatientPosition

__all__ = ["SIMULATED_TEXT", "Anatomy", "Equipment", "ExamIdentity", "PatientAngles", "PatientIdentity"]

SIMULATED_TEXT = "SIMULATED - not for clinical use; not a medical device"
_NOT_CLINICAL_TEXT = "not for clinical use; not a medical device"


class Anatomy(Enum):
    """Region of the spine; the value is DICOM's Body Part Examined."""

    LUMBAR_SPINE = "LSPINE"
    THORACIC_SPINE = "TSPINE"
    CERVICAL_SPINE = "CSPINE"
    SPINE = "SPINE"

    @property
    def snomed(self) -> tuple[str, str]:
        """SNOMED CT code and meaning (CID 4031)."""
        return _SNOMED[self]


_SNOMED = {
    Anatomy.LUMBAR_SPINE: ("122496007", "Lumbar spine"),
    Anatomy.THORACIC_SPINE: ("122495006", "Thoracic spine"),
    Anatomy.CERVICAL_SPINE: ("122494005", "Cervical spine"),
    Anatomy.SPINE: ("421060004", "Spine"),
}


def _check_text(what: str, text: str, longest: int) -> None:
    """Refuse text a DICOM string cannot hold: a backslash parts values, control characters end lines."""
    if "\\" in text or any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError(f"{what} {text!r} holds a backslash or a control character; write it without")
    if len(text) > longest:
        raise ValueError(f"{what} is {len(text)} characters long; DICOM takes at most {longest}")


@dataclass(frozen=True, slots=True)
class PatientIdentity:
    """The patient.

    Attributes
    ----------
    name
        DICOM person name, ``Family^Given``; groups for other scripts parted by ``=``; any script.
    patient_id
        As the hospital's.
    birth_date
        None when not known.
    sex
        "M", "F", "O", or "" when not known.
    """

    name: str
    patient_id: str
    birth_date: date | None = None
    sex: str = ""

    def __post_init__(self) -> None:
        groups = self.name.split("=")
        if len(groups) > 3:
            raise ValueError(f"patient name {self.name!r} has more than three groups (=); leave some out")
        for group in groups:
            _check_text("patient name", group, 64)
        _check_text("patient id", self.patient_id, 64)
        if self.sex not in ("", "M", "F", "O"):
            raise ValueError(f"patient sex must be M, F, O or empty, got {self.sex!r}")


@dataclass(frozen=True, slots=True)
class Equipment:
    """The machine that made the exam. All four are Type 1 in a dose report, so none may be empty."""

    model: str
    software_version: str
    manufacturer: str = "Fluoroscope"
    serial_number: str = "0"

    def __post_init__(self) -> None:
        for name in ("model", "software_version", "manufacturer", "serial_number"):
            text = getattr(self, name)
            _check_text(f"equipment {name}", text, 64)
            if not text.strip():
                raise ValueError(f"equipment {name} must not be empty: dose reports require it")

    @property
    def device_uid(self) -> str:
        """Device Observer UID: the same for the same machine."""
        from fluoroscope.records.uids import derived_uid

        return derived_uid("device", self.manufacturer, self.model, self.serial_number)


@dataclass(frozen=True, slots=True)
class ExamIdentity:
    """One exam: one study, one dose report.

    Attributes
    ----------
    study_uid
        Study Instance UID; every other UID of the exam's records derives from it and from the event UIDs.
    started
        UTC, aware.
    patient, equipment
        Who and on what.
    position
        How the patient lies.
    description
        Study Description, at most 64 characters.
    accession_number
        From the worklist, at most 16 characters, or "".
    anatomy
        Region of the spine.
    provenance
        Simulated, recorded or live: said in every record.
    therapeutic
        The exam's intent: a treatment guided by X-ray, else a diagnosis.
    operator
        Who authorizes the irradiation, a DICOM person name; "" when not known.
    """

    study_uid: str
    started: datetime
    patient: PatientIdentity
    equipment: Equipment
    position: PatientPosition = PatientPosition.HFP
    description: str = "Fluoroscopy of the spine"
    accession_number: str = ""
    anatomy: Anatomy = Anatomy.LUMBAR_SPINE
    provenance: Provenance = field(default=Provenance.SIMULATED)
    therapeutic: bool = True
    operator: str = ""

    def __post_init__(self) -> None:
        parts = self.study_uid.split(".")
        if len(self.study_uid) > 64 or not all(p.isdigit() and (p == "0" or p[0] != "0") for p in parts):
            raise ValueError(f"study UID {self.study_uid!r} is not a DICOM UID; make one with new_uid")
        if self.started.tzinfo is None:
            raise ValueError("the exam's start must be an aware datetime; give it a time zone")
        _check_text("study description", self.description, 64)
        _check_text("accession number", self.accession_number, 16)
        for group in self.operator.split("="):
            _check_text("operator's name", group, 64)

    @property
    def statement(self) -> str:
        """What every record says of itself: simulated or not, and never for clinical use."""
        if self.provenance is Provenance.SIMULATED:
            return SIMULATED_TEXT
        word = "RECORDED" if self.provenance is Provenance.RECORDED else "CAPTURED"
        return f"{word} - {_NOT_CLINICAL_TEXT}"


@dataclass(frozen=True, slots=True)
class PatientAngles:
    """Positioner angles, patient-based (PS3.3 C.8.7.5.1.2), degrees: primary + LAO, secondary + cranial."""

    primary_deg: float
    secondary_deg: float

    def __post_init__(self) -> None:
        # Written so that NaN fails too.
        if not (-180.0 <= self.primary_deg <= 180.0 and -90.0 <= self.secondary_deg <= 90.0):
            raise ValueError(
                "patient angles must lie within ±180 (primary) and ±90 (secondary) degrees, got "
                f"{self.primary_deg} and {self.secondary_deg}"
            )
