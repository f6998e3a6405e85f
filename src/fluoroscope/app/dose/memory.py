"""The registry for the room: a patient's history before the first exposure, and every exam kept when it closes.

A registry that cannot be opened or written to stops no exam: what is to be kept stays in the exam's folder, it is said
in one line, and `DoseMemory.keep_waiting` takes it in at the next start.
"""

import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fluoroscope.app.dose.history import history_facts, nobody
from fluoroscope.app.dose.told_exposures import ToldExposures, ToldWaiting
from fluoroscope.patient.stored import PatientFileError
from fluoroscope.procedure.catalogue import PROCEDURES
from fluoroscope.records.exam_store import ExamFileError, ExamRecord, exams_folder, load_exam
from fluoroscope.records.identity import PatientIdentity
from fluoroscope.registry import Registry, RegistryError, check_where
from fluoroscope.registry.history import patient_history
from fluoroscope.registry.keeping import (
    Estimates,
    keep_reports,
    known_objects,
    set_estimates,
    set_procedure,
    without_procedure,
)
from fluoroscope.registry.outside import ToldExposure, add_outside, take_back_outside
from fluoroscope.registry.own_cases import OwnCases, own_cases
from fluoroscope.registry.people import number_of
from fluoroscope.registry.reading import read_report
from fluoroscope.registry.reports import Person

__all__ = ["DoseMemory", "check_told"]

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
            procedure = _procedure(load_exam(folder))
            if procedure:
                set_procedure(registry, report.study_uid, procedure)
        except (PatientFileError, ExamFileError, RegistryError, OSError) as fault:
            return f"the exam's dose is not in the registry yet ({fault}); {later}"
        with self._lock:
            self._refresh()
        return "" if kept.outcome in ("new", "known") else f"{folder.name}: {kept.text}"

    def keep_waiting(self, parent: Path | None = None) -> list[str]:
        """Keep every closed exam that is not in the registry yet; return a line for each that cannot be kept."""
        parent = exams_folder() if parent is None else parent
        waiting: dict[str, Path] = {}
        performed: set[str] = set()
        for log in sorted(parent.glob("*/exam.json")):
            try:
                exam = load_exam(log.parent)
            except (ExamFileError, OSError):
                continue  # `exams list` names it
            if exam.ended is not None:
                reports = {one.sop_instance_uid: log.parent for one in exam.files if one.kind == "dose"}
                waiting |= reports
                performed |= set(reports) if _procedure(exam) else set()
        try:
            known = known_objects(self._registry(), list(waiting))
            # Exams that were kept before the registry knew procedures: their folders say it.
            known -= performed & without_procedure(self._registry()) if performed else set()
        except RegistryError as fault:
            return [str(fault)] if waiting else []
        return [line for uid, folder in waiting.items() if uid not in known and (line := self.keep_exam(folder))]

    def hand_over(self, told: ToldExposures) -> tuple[list[str], list[ToldWaiting]]:
        """Take in what patients told while the registry was away; what comes again changes nothing.

        Returns
        -------
        lines
            One for each reason for which something still waits.
        done
            What the registry holds now: to be forgotten by ``told``.
        """
        lines, done = told.read(), []
        for one in told.waiting():
            try:
                registry = self._registry()
                if one.told is not None:
                    at = datetime.fromisoformat(one.at).astimezone(UTC).replace(tzinfo=None)
                    exposure = ToldExposure(**one.told)
                    add_outside(
                        registry, _person(one.patient), exposure, told_to=one.by, told_uid=str(one.uid), told_utc=at
                    )
                if one.removed:
                    take_back_outside(registry, one.in_registry, who=one.removed_by, why=one.removed_why)
                done.append(one)
            except (RegistryError, TypeError) as fault:
                lines.append(
                    f"what the patient told is not in the registry yet ({fault}); it is kept and handed over later"
                )
        with self._lock:
            self._refresh()
        return list(dict.fromkeys(lines)), done

    def own_cases(self, procedure: str, *, simulated: bool) -> OwnCases:
        """Return the dose of this room's own exams of a procedure; nothing while the registry does not answer."""
        try:
            return own_cases(self._registry(), procedure, simulated=simulated)
        except RegistryError:
            return OwnCases()

    # Inner works

    def _registry(self) -> Registry:
        with self._lock:
            if self._open is None:
                self._open = Registry(self._where, wait_s=_ROOM_WAIT_S)
            return self._open

    def _refresh(self) -> None:
        if self._person is not None:
            self._told = self._history(self._person)


def check_told(told: Mapping[str, Any]) -> None:
    """Raise `RegistryError` when an exposure elsewhere (fields of `ToldExposure`) cannot be kept as it is told."""
    ToldExposure(**told)


def _procedure(exam: ExamRecord) -> str:
    """Return the procedure of the catalogue that was last set in an exam; "" when none was."""
    for subject in ("procedure", "pace"):
        facts = exam.notes.get(subject)
        name = (facts.get("name") or facts.get("procedure")) if isinstance(facts, dict) else None
        if isinstance(name, str) and name in PROCEDURES:
            return name
    return ""


def _person(patient: PatientIdentity) -> Person:
    return Person(patient.patient_id, "", patient.name, patient.birth_date, patient.sex)
