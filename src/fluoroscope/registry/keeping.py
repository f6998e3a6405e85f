"""Taking reports in: each object once, whole or not at all."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime

from sqlalchemy import insert, select
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from fluoroscope.registry.opening import Registry, utc_now
from fluoroscope.registry.people import patient_row
from fluoroscope.registry.reports import Person, Report, ReportEvent, Totals
from fluoroscope.registry.tables import DoseObjectRow, Event, Exam, Replacement

__all__ = [
    "Estimates",
    "Kept",
    "keep_all",
    "keep_reports",
    "known_objects",
    "refuse_to_keep",
    "set_estimates",
    "set_procedure",
    "without_procedure",
]

refuse_to_keep = (IntegrityError, DataError)
"""What a database raises of one row that it will not hold."""
_LOOKED_UP = 500
_EVENT_FIELDS = tuple(one.name for one in fields(ReportEvent))
_TOTALS = tuple(one.name for one in fields(Totals))


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of a report: "new", "known" (nothing to do), or "differs" and "refused" with the reason."""

    outcome: str
    text: str = ""
    object_row: int | None = None


@dataclass(frozen=True, slots=True)
class Estimates:
    """What was worked out of an exam beside what the machine states, each with where it comes from."""

    effective_msv: float | None = None
    effective_source: str = ""
    peak_skin_mgy: float | None = None
    peak_skin_source: str = ""


def keep_reports(registry: Registry, reports: Sequence[Report]) -> list[Kept]:
    """Keep reports, all in one transaction; one the database refuses stays out, the others are kept.

    Raises
    ------
    RegistryError
        As `Registry.writing`; then none was kept.
    """
    try:
        with registry.writing() as session:
            return keep_all(session, reports)
    except refuse_to_keep as fault:
        if len(reports) == 1:
            return [Kept("refused", " ".join(str(fault.orig).split())[:200])]
    return [kept for one in reports for kept in keep_reports(registry, [one])]


def set_estimates(registry: Registry, study_uid: str, estimates: Estimates) -> None:
    """Put estimates beside the exams of a study; what is not known stays as it was."""
    changes = {name: value for name, value in asdict(estimates).items() if value not in (None, "")}
    with registry.writing() as session:
        for exam in session.scalars(select(Exam).where(Exam.study_uid == study_uid)):
            for name, value in changes.items():
                setattr(exam, name, value)


def set_procedure(registry: Registry, study_uid: str, procedure_key: str) -> None:
    """Say which procedure of the catalogue a study was, unless something says so already."""
    with registry.writing() as session:
        for exam in session.scalars(select(Exam).where(Exam.study_uid == study_uid, Exam.procedure_key == "")):
            exam.procedure_key = procedure_key


def without_procedure(registry: Registry) -> set[str]:
    """Return the SOP UIDs of the reports of own exams whose procedure nobody has said."""
    query = select(DoseObjectRow.sop_uid).join(Exam).where(Exam.source == "own run", Exam.procedure_key == "")
    with registry.reading() as session:
        return set(session.scalars(query))


def keep_all(session: Session, reports: Sequence[Report]) -> list[Kept]:
    """Keep reports in a transaction that is open: looked up and added together, which is many times faster."""
    known = _known(session, [one.sop_uid for one in reports])
    fresh: dict[str, Report] = {}
    for one in reports:
        if one.sop_uid not in known:
            fresh.setdefault(one.sop_uid, one)
    added = _add(session, list(fresh.values()))
    # What came twice at once is compared with its first, as what came before is.
    first = set(fresh)
    kept = []
    for one in reports:
        if one.sop_uid in first:
            first.discard(one.sop_uid)
            kept.append(Kept("new", object_row=added[one.sop_uid][0].id))
        else:
            kept.append(_compared(session, one, *(known.get(one.sop_uid) or added[one.sop_uid])))
    return kept


def _known(session: Session, sop_uids: Sequence[str]) -> dict[str, tuple[DoseObjectRow, Exam]]:
    found: dict[str, tuple[DoseObjectRow, Exam]] = {}
    for first in range(0, len(sop_uids), _LOOKED_UP):
        query = select(DoseObjectRow, Exam).join(Exam)
        part = list(sop_uids[first : first + _LOOKED_UP])
        for row, exam in session.execute(query.where(DoseObjectRow.sop_uid.in_(part))):
            found[row.sop_uid] = (row, exam)
    return found


def _add(session: Session, reports: Sequence[Report]) -> dict[str, tuple[DoseObjectRow, Exam]]:
    """Add objects that are not in the registry yet, with patients, exams and events."""
    patients: dict[tuple[Person, str], int] = {}
    by_study = _exams(session, [one.study_uid for one in reports])
    exams = []
    for one in reports:
        key = (one.person, "" if one.person.patient_id else one.study_uid)
        if key not in patients:
            patients[key] = patient_row(session, one.person, one.study_uid)
            if not one.person.patient_id:
                _exam(session, one, patients[key], by_study)  # only the study leads to them again
        exams.append(_exam(session, one, patients[key], by_study))
    session.flush()
    now = utc_now()
    rows = [_row(one, exam, now) for one, exam in zip(reports, exams, strict=True)]
    session.add_all(rows)
    session.flush()
    events = [
        {"object_row": row.id} | {name: getattr(event, name) for name in _EVENT_FIELDS}
        for one, row in zip(reports, rows, strict=True)
        for event in one.events
    ]
    replaced = [
        {"object_row": row.id, "replaced_uid": uid}
        for one, row in zip(reports, rows, strict=True)
        for uid in dict.fromkeys(one.replaces)
    ]
    if events:
        session.connection().execute(insert(Event), events)
    if replaced:
        session.connection().execute(insert(Replacement), replaced)
    return {one.sop_uid: (row, exam) for one, row, exam in zip(reports, rows, exams, strict=True)}


def _exams(session: Session, study_uids: Sequence[str]) -> dict[tuple[str, int], Exam]:
    found: dict[tuple[str, int], Exam] = {}
    for first in range(0, len(study_uids), _LOOKED_UP):
        part = list(study_uids[first : first + _LOOKED_UP])
        for exam in session.scalars(select(Exam).where(Exam.study_uid.in_(part))):
            found[exam.study_uid, exam.patient_row] = exam
    return found


def _row(report: Report, exam: Exam, now: datetime) -> DoseObjectRow:
    return DoseObjectRow(
        exam_row=exam.id, sop_uid=report.sop_uid, kind=report.kind, manufacturer=report.manufacturer,
        model=report.model, serial_number=report.serial_number, written=report.written, complete=report.complete,
        scope=report.scope, scope_uid=report.scope_uid, reference_point=report.reference_point,
        warnings=[list(warning) for warning in report.warnings], path=report.path, added_utc=now,
        **{f"header_{name}": getattr(report.header, name) for name in _TOTALS},
        **{f"events_{name}": getattr(report.summed, name) for name in _TOTALS},
    )  # fmt: skip


def _exam(session: Session, report: Report, patient: int, exams: dict[tuple[str, int], Exam]) -> Exam:
    exam = exams.get((report.study_uid, patient))
    if exam is None:
        exam = Exam(
            patient_row=patient, study_uid=report.study_uid, started=report.started, procedure=report.procedure,
            source=report.source, simulated=report.simulated, effective_msv=None, effective_source="",
            peak_skin_mgy=None, peak_skin_source="", added_utc=utc_now(),
        )  # fmt: skip
        session.add(exam)
        exams[report.study_uid, patient] = exam
    # Another object of the study may know what the first left out.
    exam.started = exam.started or report.started
    exam.procedure = exam.procedure or report.procedure
    exam.simulated = exam.simulated or report.simulated
    if report.source == "own run":
        exam.source = report.source
    return exam


def _compared(session: Session, report: Report, one: DoseObjectRow, exam: Exam) -> Kept:
    """Say whether an object that came again is the same."""
    same = all(getattr(one, f"header_{name}") == getattr(report.header, name) for name in _TOTALS)
    same = same and all(getattr(one, f"events_{name}") == getattr(report.summed, name) for name in _TOTALS)
    if not same:
        return Kept("differs", "an object of this UID is in the registry with other totals: that one stays", one.id)
    from fluoroscope.registry.people import is_person

    if not is_person(session, exam.patient_row, report.person):
        return Kept("differs", "the same object is in the registry under another patient: it stays there", one.id)
    if report.source == "own run":
        exam.source = report.source
    return Kept("known", object_row=one.id)


def known_objects(registry: Registry, sop_uids: Sequence[str]) -> set[str]:
    """Return those of some SOP UIDs that are in the registry."""
    found: set[str] = set()
    with registry.reading() as session:
        for first in range(0, len(sop_uids), 500):  # SQLite takes no endless list
            part = list(sop_uids[first : first + 500])
            found |= set(session.scalars(select(DoseObjectRow.sop_uid).where(DoseObjectRow.sop_uid.in_(part))))
    return found
