"""The registry written out, with names or under pseudonyms."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from fluoroscope.registry.history import ExamHistory, PatientHistory, patient_history
from fluoroscope.registry.opening import Registry, RegistryError
from fluoroscope.registry.people import find_patients

__all__ = ["COLUMNS", "DATES", "Pseudonyms", "export_exams"]

COLUMNS = (
    "patient", "issuer", "name", "birth_date", "sex", "study", "started", "procedure", "machine", "source", "simulated",
    "events", "objects", "kap_gy_cm2", "fluoroscopy_time_s", "acquisition_time_s", "air_kerma_mgy", "reference_point",
    "effective_msv", "effective_source", "peak_skin_mgy", "peak_skin_source", "notes",
)  # fmt: skip
"""One row an exam and reference point: air kerma of two points never stands in one number."""
DATES = ("shift", "year", "drop")
_LEAST_SECRET = 8
_MOST_SHIFT_DAYS = 183


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """How patients and studies are named when they must not be known.

    Attributes
    ----------
    secret
        The same secret gives the same pseudonyms, so that later exports join up; without it nobody can find out whose
        they are. Keep it apart from the export. At least 8 characters.
    dates
        "shift" moves every date of a patient by the same number of days, up to half a year either way, so that
        intervals stay; "year" keeps the year; "drop" keeps none.
    """

    secret: str
    dates: str = "shift"

    def __post_init__(self) -> None:
        if len(self.secret) < _LEAST_SECRET:
            raise RegistryError(f"pseudonyms: the secret needs at least {_LEAST_SECRET} characters")
        if self.dates not in DATES:
            raise RegistryError(f"pseudonyms: dates {self.dates!r}; choose one of {', '.join(DATES)}")

    def name(self, what: str, value: str) -> str:
        """Return the pseudonym of a value."""
        return hmac.new(self.secret.encode(), f"{what}\x1f{value}".encode(), hashlib.sha256).hexdigest()[:16]

    def shift(self, patient: str) -> timedelta:
        """Return by how much the dates of a patient are moved: never by nothing."""
        number = int(self.name("shift", patient), 16) % (2 * _MOST_SHIFT_DAYS)
        days = number - _MOST_SHIFT_DAYS
        return timedelta(days=days if days < 0 else days + 1)


def export_exams(
    registry: Registry, patient: str | None = None, pseudonyms: Pseudonyms | None = None
) -> list[dict[str, Any]]:
    """Return a row (see `COLUMNS`) for every exam that counts, of one patient or of all, JSON-ready."""
    if patient is not None:
        chosen = [patient]
    else:
        chosen = [f"#{one.number}" for one in find_patients(registry, limit=10**9)]
    rows = []
    for one in chosen:
        history = patient_history(registry, one)
        dress = _named if pseudonyms is None else _anonymous(pseudonyms)
        for exam in history.exams:
            rows += [dress(history, exam) | part for part in _doses(exam)]
    return rows


def _doses(exam: ExamHistory) -> list[dict[str, Any]]:
    """Return the dose of an exam: KAP and time with its first reference point only, so that columns add up."""
    points: list[tuple[str | None, float | None]] = [*sorted(exam.dose.kerma_by_point.items())] or [(None, None)]
    once = {
        "events": exam.dose.events,
        "objects": exam.objects,
        "kap_gy_cm2": exam.dose.kap_gy_cm2,
        "fluoroscopy_time_s": exam.dose.fluoroscopy_time_s,
        "acquisition_time_s": exam.dose.acquisition_time_s,
        "effective_msv": exam.effective_msv,
        "effective_source": exam.effective_source or None,
        "peak_skin_mgy": exam.peak_skin_mgy,
        "peak_skin_source": exam.peak_skin_source or None,
        "notes": "; ".join(note.text for note in exam.dose.notes) or None,
    }
    return [
        (once if number == 0 else dict.fromkeys(once)) | {"air_kerma_mgy": value, "reference_point": point or None}
        for number, (point, value) in enumerate(points)
    ]


def _named(history: PatientHistory, exam: ExamHistory) -> dict[str, Any]:
    patient = history.patient
    return {
        "patient": patient.patient_id or f"#{patient.number}",
        "issuer": patient.issuer or None,
        "name": patient.name or None,
        "birth_date": None if patient.birth_date is None else patient.birth_date.isoformat(),
        "sex": patient.sex or None,
        "study": exam.study_uid,
        "started": None if exam.started is None else exam.started.isoformat(timespec="seconds"),
        **_about(exam),
    }


def _anonymous(pseudonyms: Pseudonyms) -> Callable[[PatientHistory, ExamHistory], dict[str, Any]]:
    def dress(history: PatientHistory, exam: ExamHistory) -> dict[str, Any]:
        patient = history.patient
        born = "" if patient.birth_date is None else patient.birth_date.isoformat()
        whole = f"{patient.issuer}\x1f{patient.patient_id}\x1f{born}"
        if not patient.patient_id:
            whole = f"\x1f\x1f{exam.study_uid}"
        started = None
        if exam.started is not None and pseudonyms.dates != "drop":
            moved = exam.started + pseudonyms.shift(whole)
            started = f"{exam.started:%Y}" if pseudonyms.dates == "year" else moved.date().isoformat()
        return {
            "patient": pseudonyms.name("patient", whole),
            "issuer": None,
            "name": None,
            "birth_date": None
            if patient.birth_date is None or pseudonyms.dates == "drop"
            else f"{patient.birth_date:%Y}",
            "sex": patient.sex or None,
            "study": pseudonyms.name("study", exam.study_uid),
            "started": started,
            # A description is free text and may hold a name.
            **(_about(exam) | {"procedure": None}),
        }

    return dress


def _about(exam: ExamHistory) -> dict[str, Any]:
    return {
        "procedure": exam.procedure or None,
        "machine": exam.machine or None,
        "source": exam.source,
        "simulated": exam.simulated,
    }
