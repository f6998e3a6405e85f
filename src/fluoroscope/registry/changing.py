"""Changes by hand: a value corrected, a person erased."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from fluoroscope.registry.corrections import Change, changes_of, check_signed, note_change
from fluoroscope.registry.merging import forget_merges
from fluoroscope.registry.opening import Registry, RegistryError, utc_now
from fluoroscope.registry.people import one_patient, same_person
from fluoroscope.registry.reports import UNKEPT
from fluoroscope.registry.tables import (
    Correction,
    DoseObjectRow,
    Erasure,
    Event,
    Exam,
    ImportedFile,
    Outside,
    Patient,
    Replacement,
)

__all__ = [
    "CORRECTABLE",
    "Erased",
    "correct_exam",
    "correct_patient",
    "erase_patient",
    "history_of_changes",
]

CORRECTABLE = {
    "patient": ("name", "birth_date", "sex"),
    "exam": ("procedure", "procedure_key", "started", "simulated"),
}
"""What may be corrected by hand. What a machine stated stays: a wrong object is replaced by its maker's, not here."""


_FIRST_BIRTH = date(1900, 1, 1)
"""Nobody who is treated was born before."""


@dataclass(frozen=True, slots=True)
class Erased:
    """How much of a person was erased."""

    exams: int
    objects: int
    events: int
    outside: int


def correct_patient(registry: Registry, patient: str, name: str, value: str, *, who: str, why: str) -> bool:
    """Correct a value of a patient; return whether it was another one.

    Raises
    ------
    RegistryError
        The value cannot be, nobody or several have the id, or who and why are not said.
    """
    check_signed(who, why)
    with registry.writing() as session:
        row = session.get_one(Patient, one_patient(session, patient))
        return note_change(session, row, name, _value("patient", name, value), who=who, why=why)


def correct_exam(registry: Registry, study_uid: str, name: str, value: str, *, who: str, why: str) -> bool:
    """Correct a value of the exam of a study; see `correct_patient`."""
    check_signed(who, why)
    with registry.writing() as session:
        rows = session.scalars(select(Exam).where(Exam.study_uid == study_uid)).all()
        if not rows:
            raise RegistryError(f"exam {study_uid}: no exam of this study UID in the registry")
        new = _value("exam", name, value)
        changed = [note_change(session, row, name, new, who=who, why=why) for row in rows]
        return any(changed)


def history_of_changes(registry: Registry, patient: str) -> list[Change]:
    """Return every change of a patient, their exams and what they told of, oldest first."""
    with registry.reading() as session:
        people = [one.id for one in same_person(session, one_patient(session, patient))]
        exams = list(session.scalars(select(Exam.id).where(Exam.patient_row.in_(people))))
        told = list(session.scalars(select(Outside.id).where(Outside.patient_row.in_(people))))
        found = [
            *changes_of(session, Patient.__tablename__, people),
            *changes_of(session, Exam.__tablename__, exams),
            *changes_of(session, Outside.__tablename__, told),
        ]
    return sorted(found, key=lambda one: one.changed_utc)


def erase_patient(registry: Registry, patient: str, *, who: str, why: str) -> Erased:
    """Erase a person with all that is known of them; what stays says that somebody was erased, not whom.

    ``who`` and ``why`` stay: do not write the patient's name there.
    """
    check_signed(who, why)
    with registry.writing() as session:
        rows = list(same_person(session, one_patient(session, patient)))
        _refuse_names(rows, who + " " + why)
        people = [one.id for one in rows]
        exams = list(session.scalars(select(Exam.id).where(Exam.patient_row.in_(people))))
        told = list(session.scalars(select(Outside.id).where(Outside.patient_row.in_(people))))
        erased = _delete(session, people, exams, told)
        session.add(
            Erasure(
                exams=erased.exams,
                objects=erased.objects,
                events=erased.events,
                outside=erased.outside,
                who=who,
                why=why,
                erased_utc=utc_now(),
            )
        )
    registry.forget_pages()
    return erased


def _delete(session: Session, people: list[int], exams: list[int], told: list[int]) -> Erased:
    objects = select(DoseObjectRow.id).where(DoseObjectRow.exam_row.in_(exams))
    of_exam, of_object = DoseObjectRow.exam_row.in_(exams), Event.object_row.in_(objects)
    object_count = session.scalar(select(func.count()).select_from(DoseObjectRow).where(of_exam)) or 0
    event_count = session.scalar(select(func.count()).select_from(Event).where(of_object)) or 0
    # A path often holds a name.
    session.execute(delete(ImportedFile).where(ImportedFile.object_row.in_(objects)))
    for table in (Event, Replacement):
        session.execute(delete(table).where(table.object_row.in_(objects)))
    session.execute(delete(DoseObjectRow).where(DoseObjectRow.exam_row.in_(exams)))
    for name, rows in ((Patient.__tablename__, people), (Exam.__tablename__, exams), (Outside.__tablename__, told)):
        session.execute(delete(Correction).where(Correction.table == name, Correction.row.in_(rows)))
    forget_merges(session, people)
    session.execute(delete(Exam).where(Exam.id.in_(exams)))
    session.execute(delete(Outside).where(Outside.id.in_(told)))
    session.execute(update(Patient).where(Patient.id.in_(people)).values(merged_into=None))
    session.execute(delete(Patient).where(Patient.id.in_(people)))
    return Erased(len(exams), object_count, event_count, len(told))


def _refuse_names(rows: list[Patient], text: str) -> None:
    words = text.lower()
    for row in rows:
        parts = [row.patient_id or "", *row.name.replace("=", "^").split("^")]
        if any(len(part) > 2 and part.lower() in words for part in parts):
            raise RegistryError("who and why stay after the erasure: write them without the patient's name and id")


def _birth_date(value: str) -> date:
    born = date.fromisoformat(value)
    if not _FIRST_BIRTH <= born <= date.today():
        raise RegistryError(f"birth_date {value}: in the future or before {_FIRST_BIRTH.year}; write when they were "
                            "born")  # fmt: skip
    return born


def _value(what: str, name: str, value: str) -> Any:
    value = value.strip()
    if name not in CORRECTABLE[what]:
        raise RegistryError(f"{what} {name}: cannot be corrected; one of {', '.join(CORRECTABLE[what])} can")
    if len(value) > 200 or UNKEPT.search(value):
        raise RegistryError(f"{name}: longer than 200 or with control characters; write it shorter")
    try:
        if name == "birth_date":
            return _birth_date(value) if value else None
        if name == "started":
            moment = datetime.fromisoformat(value)
            return moment.replace(tzinfo=None)
    except RegistryError:
        raise
    except ValueError:
        raise RegistryError(f"{name} {value!r}: write it as 1970-05-01") from None
    if name == "sex" and value not in ("", "M", "F", "O"):
        raise RegistryError(f"sex {value!r}: write M, F, O or nothing")
    if name == "simulated":
        if value not in ("yes", "no"):
            raise RegistryError(f"simulated {value!r}: write yes or no")
        return value == "yes"
    return value
