"""Taking reports in: each object once, whole or not at all."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from sqlalchemy import insert, select
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from fluoroscope.registry.opening import Registry, utc_now
from fluoroscope.registry.people import patient_row
from fluoroscope.registry.reports import Report, Totals
from fluoroscope.registry.tables import DoseObjectRow, Event, Exam, Replacement

__all__ = ["Estimates", "Kept", "keep_in", "keep_reports", "known_objects", "refuse_to_keep", "set_estimates"]

refuse_to_keep = (IntegrityError, DataError)
"""What a database raises of one row that it will not hold."""
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
            return [keep_in(session, one) for one in reports]
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


def keep_in(session: Session, report: Report) -> Kept:
    """Keep a report in a transaction that is open."""
    known = session.execute(
        select(DoseObjectRow, Exam).join(Exam).where(DoseObjectRow.sop_uid == report.sop_uid)
    ).one_or_none()
    if known is not None:
        return _compared(session, report, *known)
    patient = patient_row(session, report.person, report.study_uid)
    exam = _exam(session, report, patient)
    one = DoseObjectRow(
        exam_row=exam.id, sop_uid=report.sop_uid, kind=report.kind, manufacturer=report.manufacturer,
        model=report.model, serial_number=report.serial_number, written=report.written, complete=report.complete,
        scope=report.scope, scope_uid=report.scope_uid, reference_point=report.reference_point,
        warnings=[list(warning) for warning in report.warnings], path=report.path, added_utc=utc_now(),
        **{f"header_{name}": getattr(report.header, name) for name in _TOTALS},
        **{f"events_{name}": getattr(report.summed, name) for name in _TOTALS},
    )  # fmt: skip
    session.add(one)
    session.flush()
    if report.events:
        session.execute(insert(Event), [{"object_row": one.id, **asdict(event)} for event in report.events])
    if report.replaces:
        rows = [{"object_row": one.id, "replaced_uid": uid} for uid in dict.fromkeys(report.replaces)]
        session.execute(insert(Replacement), rows)
    return Kept("new", object_row=one.id)


def _exam(session: Session, report: Report, patient: int) -> Exam:
    exam = session.scalars(select(Exam).where(Exam.study_uid == report.study_uid, Exam.patient_row == patient)).first()
    if exam is None:
        exam = Exam(
            patient_row=patient, study_uid=report.study_uid, started=report.started, procedure=report.procedure,
            source=report.source, simulated=report.simulated, effective_msv=None, effective_source="",
            peak_skin_mgy=None, peak_skin_source="", added_utc=utc_now(),
        )  # fmt: skip
        session.add(exam)
        session.flush()
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
