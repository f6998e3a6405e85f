"""The registry for the room: a patient's history before the first exposure, and every exam kept when it closes.

A registry that cannot be opened or written to stops no exam: what is to be kept stays in the exam's folder, it is said
in one line, and `DoseMemory.keep_waiting` takes it in at the next start.
"""

import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fluoroscope.app.dose_history import history_facts, nobody
from fluoroscope.monitor.control import RefusedError
from fluoroscope.patient.stored import PatientFileError
from fluoroscope.records.exam_store import ExamFileError, exams_folder, load_exam
from fluoroscope.records.identity import PatientIdentity
from fluoroscope.registry import Registry, RegistryError, check_where
from fluoroscope.registry.history import patient_history
from fluoroscope.registry.keeping import Estimates, keep_reports, known_objects, set_estimates
from fluoroscope.registry.outside import ToldExposure, add_outside, remove_outside
from fluoroscope.registry.people import number_of
from fluoroscope.registry.reading import read_report
from fluoroscope.registry.reports import Person

__all__ = ["DoseMemory"]

_ROOM_WAIT_S = 5.0


class DoseMemory:
    """What the registry knows, for one room. Methods may be called from any thread.

    Parameters
    ----------
    registry
        Open, or where it is (a file or a URL; None for the default): then it is opened when first needed, and again
        after a fault.

    Raises
    ------
    RegistryError
        ``registry`` names no place a registry can be.
    """

    def __init__(self, registry: Registry | str | Path | None = None) -> None:
        if not isinstance(registry, Registry):
            check_where(registry)
        self._open = registry if isinstance(registry, Registry) else None
        self._where = None if isinstance(registry, Registry) else registry
        self._lock = threading.RLock()
        self._person: Person | None = None
        self._told: dict[str, Any] | None = None

    def close(self) -> None:
        """Let go of the registry."""
        with self._lock:
            if self._open is not None:
                self._open.close()
                self._open = None

    # What the page shows

    def begin(self, patient: PatientIdentity) -> None:
        """Look up the history of a patient: from now on `status` is theirs."""
        with self._lock:
            self._person = _person(patient)
            self._refresh()

    def status(self) -> dict[str, Any] | None:
        """Return the history of the patient on the table, see `history`; None before one is."""
        with self._lock:
            return self._told

    def history(self, patient: str | PatientIdentity) -> dict[str, Any]:
        """Return what is known of a patient, JSON-ready (keys: see `history_facts`); ``error`` says why nothing is.

        An id alone may be that of two persons; with a date of birth it is one's.
        """
        person = Person(patient) if isinstance(patient, str) else _person(patient)
        return self._history(person)

    def _history(self, person: Person) -> dict[str, Any]:
        patient_id = person.patient_id
        try:
            registry = self._registry()
            number = number_of(registry, person)
            if number is None:
                return nobody(patient_id)
            return history_facts(patient_history(registry, patient_id if person.birth_date is None else f"#{number}"))
        except RegistryError as fault:
            return nobody(patient_id) | {"lines": [str(fault)], "error": str(fault)}

    # What is kept

    def keep_exam(self, folder: Path, estimates: Estimates | None = None) -> str:
        """Keep the dose report of a closed or recovered exam; return "" or a line that says why it is not kept.

        Parameters
        ----------
        folder
            Of the exam, with its ``dose.dcm``. Keeping it again changes nothing.
        estimates
            Effective dose and peak skin dose that were worked out, with their sources.
        """
        later = "it stays in the exam's folder and is taken in at the next start"
        try:
            report = read_report(folder / "dose.dcm")
            if report is None:
                return f"{folder / 'dose.dcm'}: no dose report; {later}"
            registry = self._registry()
            kept = keep_reports(registry, [replace(report, source="own run")])[0]
            if estimates is not None:
                set_estimates(registry, report.study_uid, estimates)
        except (PatientFileError, RegistryError, OSError) as fault:
            return f"the exam's dose is not in the registry yet ({fault}); {later}"
        with self._lock:
            self._refresh()
        return "" if kept.outcome in ("new", "known") else f"{folder.name}: {kept.text}"

    def keep_waiting(self, parent: Path | None = None) -> list[str]:
        """Keep every closed exam that is not in the registry yet; return a line for each that cannot be kept."""
        parent = exams_folder() if parent is None else parent
        waiting: dict[str, Path] = {}
        for log in sorted(parent.glob("*/exam.json")):
            try:
                exam = load_exam(log.parent)
            except (ExamFileError, OSError):
                continue  # `exams list` names it
            if exam.ended is not None:
                waiting |= {one.sop_instance_uid: log.parent for one in exam.files if one.kind == "dose"}
        try:
            known = known_objects(self._registry(), list(waiting))
        except RegistryError as fault:
            return [str(fault)] if waiting else []
        return [line for uid, folder in waiting.items() if uid not in known and (line := self.keep_exam(folder))]

    def add_outside(self, patient: PatientIdentity, told: ToldExposure, told_to: str = "") -> int:
        """Keep an exposure elsewhere of a patient; return its id."""
        number = add_outside(self._registry(), _person(patient), told, told_to=told_to)
        with self._lock:
            self._refresh()
        return number

    # Commands of the page

    def outside_add(
        self, *, kind: str, body_part: str = "", place: str = "", when: str = "", confirmed: bool = False, by: str = ""
    ) -> Mapping[str, Any]:
        """Keep an exposure elsewhere of the patient on the table."""
        with self._lock:
            if self._person is None:
                raise RefusedError("no patient is on the table")
            person = self._person
        try:
            told = ToldExposure(kind, body_part, place, when, bool(confirmed))
            number = add_outside(self._registry(), person, told, told_to=by)
        except RegistryError as fault:
            raise RefusedError(str(fault)) from fault
        with self._lock:
            self._refresh()
        return {"id": number}

    def outside_remove(self, *, id: int, by: str = "", why: str = "") -> Mapping[str, Any]:
        """Take back an exposure elsewhere of the patient on the table."""
        with self._lock:
            told = self._told
        if told is None or id not in {one["id"] for one in told["outside"]}:
            raise RefusedError(f"exposure {id} is not among those of the patient on the table")
        try:
            remove_outside(self._registry(), id, who=by or "the operator", why=why or "taken back in the room")
        except RegistryError as fault:
            raise RefusedError(str(fault)) from fault
        with self._lock:
            self._refresh()
        return {}

    # Inner works

    def _registry(self) -> Registry:
        with self._lock:
            if self._open is None:
                self._open = Registry(self._where, wait_s=_ROOM_WAIT_S)
            return self._open

    def _refresh(self) -> None:
        if self._person is not None:
            self._told = self._history(self._person)


def _person(patient: PatientIdentity) -> Person:
    return Person(patient.patient_id, "", patient.name, patient.birth_date, patient.sex)
