"""Patients: found by id, told apart by date of birth, merged when they are one person."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from fluoroscope.registry.corrections import note_change
from fluoroscope.registry.opening import Registry, RegistryError, utc_now
from fluoroscope.registry.reports import Person
from fluoroscope.registry.tables import Exam, Patient

__all__ = [
    "PatientFacts",
    "find_patients",
    "is_person",
    "number_of",
    "one_patient",
    "own_row",
    "patient_facts",
    "patient_row",
    "same_person",
]


@dataclass(frozen=True, slots=True)
class PatientFacts:
    """A patient as the registry knows them; ``number`` is the registry's own, ``merged`` are more ids of theirs."""

    number: int
    patient_id: str
    issuer: str
    name: str
    birth_date: date | None
    sex: str
    twin: int
    merged: tuple[str, ...]
    exams: int


def patient_row(session: Session, person: Person, study_uid: str = "") -> int:
    """Return the row of a person, made when they are new.

    One id with two dates of birth is two persons. A person without id is known by the study only.
    """
    if not person.patient_id:
        found = session.scalars(
            select(Patient).join(Exam).where(Exam.study_uid == study_uid, Patient.patient_id.is_(None))
        ).first()
        return found.id if found is not None else _new(session, person, 0)
    rows = session.scalars(_of_id(person)).all()
    for row in rows:
        if _may_be(row, person):
            _fill(session, row, person)
            return row.id
    return _new(session, person, len(rows))


def is_person(session: Session, row: int, person: Person) -> bool:
    """Whether a row is a person, or is merged with one who is."""
    if not person.patient_id:
        return True
    return any(
        one.patient_id == person.patient_id and one.issuer == person.issuer and _may_be(one, person)
        for one in same_person(session, row)
    )


def same_person(session: Session, row: int) -> Sequence[Patient]:
    """Return every row of the person of a row, the one that is shown first."""
    head = session.get_one(Patient, row)
    head = head if head.merged_into is None else session.get_one(Patient, head.merged_into)
    others = session.scalars(select(Patient).where(Patient.merged_into == head.id).order_by(Patient.id)).all()
    return [head, *others]


def find_patients(registry: Registry, words: str = "", limit: int = 1000) -> list[PatientFacts]:
    """Return the patients whose id or name holds ``words``, by name; all of them for "" up to ``limit``."""
    with registry.reading() as session:
        query = select(Patient).order_by(Patient.name, Patient.patient_id, Patient.id).limit(limit)
        if words:
            like = "%" + words.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
            names = (func.lower(column).like(like, escape="\\") for column in (Patient.name, Patient.patient_id))
            query = query.where(or_(*names))
        heads = dict.fromkeys(one.merged_into or one.id for one in session.scalars(query))
        return [patient_facts(session, head) for head in heads]


def number_of(registry: Registry, person: Person) -> int | None:
    """Return the number of a person in the registry; None when they are not in it."""
    with registry.reading() as session:
        rows = session.scalars(_of_id(person)).all()
        return next((one.merged_into or one.id for one in rows if _may_be(one, person)), None)


def one_patient(session: Session, patient: str, issuer: str | None = None) -> int:
    """Return the row of the patient of an id, or of ``#number``.

    Raises
    ------
    RegistryError
        Nobody has the id, or several do.
    """
    query = select(Patient).where(Patient.patient_id == patient)
    if issuer is not None:
        query = query.where(Patient.issuer == issuer)
    heads = sorted({one.merged_into or one.id for one in session.scalars(query)})
    if not heads and patient.startswith("#") and patient[1:].isdecimal() and len(patient) < 12:
        found = session.get(Patient, int(patient[1:]))
        if found is not None:
            return found.merged_into or found.id
    if not heads:
        raise RegistryError(f"patient {patient}: not in the registry; see  fluoroscope dose history  for those who are")
    if len(heads) > 1:
        numbers = ", ".join(f"#{head}" for head in heads)
        raise RegistryError(f"patient {patient}: {len(heads)} persons have this id; name one by its number: {numbers}")
    return heads[0]


def own_row(session: Session, patient: str) -> int:
    """Return the row that an id or ``#number`` itself names, merged or not; see `one_patient`."""
    head = one_patient(session, patient)
    own = session.scalars(select(Patient).where(Patient.patient_id == patient).order_by(Patient.id)).first()
    if own is not None:
        return own.id
    return int(patient[1:]) if patient.startswith("#") else head


def patient_facts(session: Session, head: int) -> PatientFacts:
    """Return what is known of the person of a row that was not merged into another."""
    first, *others = same_person(session, head)
    exams = session.scalar(
        select(func.count(func.distinct(Exam.study_uid))).where(
            Exam.patient_row.in_([one.id for one in (first, *others)])
        )
    )
    merged = tuple(one.patient_id or f"#{one.id}" for one in others)
    return PatientFacts(
        first.id, first.patient_id or "", first.issuer, first.name, first.birth_date, first.sex, first.twin, merged,
        exams or 0,
    )  # fmt: skip


def _of_id(person: Person) -> Select[Patient]:
    known = (Patient.patient_id == person.patient_id, Patient.issuer == person.issuer)
    return select(Patient).where(*known).order_by(Patient.twin)


def _may_be(row: Patient, person: Person) -> bool:
    return row.birth_date is None or person.birth_date is None or row.birth_date == person.birth_date


def _fill(session: Session, row: Patient, person: Person) -> None:
    """Take what was not known before; what was known stays."""
    for name in ("name", "birth_date", "sex"):
        old, new = getattr(row, name), getattr(person, name)
        if not old and new:
            note_change(session, row, name, new, who="import", why="an object says what was not known")


def _new(session: Session, person: Person, twin: int) -> int:
    row = Patient(
        patient_id=person.patient_id or None, issuer=person.issuer, twin=twin, name=person.name,
        birth_date=person.birth_date, sex=person.sex, merged_into=None, added_utc=utc_now(),
    )  # fmt: skip
    session.add(row)
    session.flush()
    return row.id
