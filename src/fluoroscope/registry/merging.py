"""Two ids made one person, and taken apart again: exams and what was told stay where they came."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from fluoroscope.registry.corrections import check_signed, note_change
from fluoroscope.registry.opening import Registry, RegistryError, utc_now
from fluoroscope.registry.people import one_patient, same_person
from fluoroscope.registry.tables import Correction, Merge, Patient

__all__ = ["MergeFacts", "Undone", "forget_merges", "merge_patients", "merges", "undo_merge"]


@dataclass(frozen=True, slots=True)
class MergeFacts:
    """A merge: who is shown, the ids that joined them, by whom, why and when; ``undone_utc`` None while it holds."""

    id: int
    kept: str
    joined: tuple[str, ...]
    who: str
    why: str
    merged_utc: datetime
    undone_who: str
    undone_why: str
    undone_utc: datetime | None


@dataclass(frozen=True, slots=True)
class Undone:
    """Who is apart again; ``corrected`` are the values of ``kept`` that were changed since the merge and stay there."""

    kept: str
    joined: tuple[str, ...]
    corrected: tuple[str, ...]


def merge_patients(registry: Registry, kept: str, other: str, *, who: str, why: str) -> int:
    """Make two patients one person, shown as ``kept``; return the number of the merge, by which it can be undone.

    Exams stay where they came; nothing counts twice.

    Raises
    ------
    RegistryError
        They are one person already, nobody or several have an id, or who and why are not said.
    """
    check_signed(who, why)
    with registry.writing() as session:
        head, joined = one_patient(session, kept), one_patient(session, other)
        if head == joined:
            raise RegistryError(f"patients {kept} and {other} are one person already")
        moved = []
        for row in same_person(session, joined):
            moved.append([row.id, row.merged_into])
            note_change(session, row, "merged_into", head, who=who, why=why)
        merge = Merge(
            head=head, moved=moved, who=who, why=why, merged_utc=utc_now(), undone_who="", undone_why="",
            undone_utc=None,
        )  # fmt: skip
        session.add(merge)
        session.flush()
        return merge.id


def undo_merge(registry: Registry, number: int, *, who: str, why: str) -> Undone:
    """Take two persons apart again, each with the exams that came under their own ids.

    Raises
    ------
    RegistryError
        There is no such merge, it is undone already, a later merge moved the same persons, or who and why are not
        said.
    """
    check_signed(who, why)
    with registry.writing() as session:
        merge = session.get(Merge, number)
        if merge is None:
            raise RegistryError(f"merge {number}: not in the registry; see  fluoroscope dose merge --list")
        if merge.undone_utc is not None:
            raise RegistryError(f"merge {number}: undone already, on {merge.undone_utc:%Y-%m-%d} by {merge.undone_who}")
        _refuse_later(session, merge)
        corrected = _corrected_since(session, merge)
        for row_id, before in merge.moved:
            note_change(session, session.get_one(Patient, row_id), "merged_into", before, who=who, why=why)
        merge.undone_who, merge.undone_why, merge.undone_utc = who, why, utc_now()
        return Undone(_name(session, merge.head), _joined(session, merge), corrected)


def merges(registry: Registry) -> list[MergeFacts]:
    """Return every merge, oldest first; those of erased persons are gone with them."""
    with registry.reading() as session:
        return [
            MergeFacts(
                one.id, _name(session, one.head), _joined(session, one), one.who, one.why, one.merged_utc,
                one.undone_who, one.undone_why, one.undone_utc,
            )
            for one in session.scalars(select(Merge).order_by(Merge.id))
        ]  # fmt: skip


def forget_merges(session: Session, people: Collection[int]) -> None:
    """Delete every merge that some rows of patients had a part in."""
    gone = set(people)
    touched = [
        one.id for one in session.scalars(select(Merge)) if one.head in gone or gone & {row for row, _ in one.moved}
    ]
    session.execute(delete(Merge).where(Merge.id.in_(touched)))


def _refuse_later(session: Session, merge: Merge) -> None:
    moved = {row for row, _ in merge.moved}
    if all(session.get_one(Patient, row).merged_into == merge.head for row in moved):
        return
    query = select(Merge).where(Merge.id > merge.id, Merge.undone_utc.is_(None)).order_by(Merge.id.desc())
    later = next((one.id for one in session.scalars(query) if moved & {row for row, _ in one.moved}), None)
    if later is None:
        raise RegistryError(f"merge {merge.id}: its patients stand otherwise now; it cannot be undone")
    raise RegistryError(f"merge {merge.id}: merge {later} moved the same patients later; undo that one first")


def _corrected_since(session: Session, merge: Merge) -> tuple[str, ...]:
    query = select(Correction.field).where(
        Correction.table == Patient.__tablename__,
        Correction.row == merge.head,
        Correction.field != "merged_into",
        Correction.changed_utc >= merge.merged_utc,
    )
    return tuple(dict.fromkeys(session.scalars(query.order_by(Correction.id))))


def _joined(session: Session, merge: Merge) -> tuple[str, ...]:
    return tuple(_name(session, row) for row, _ in merge.moved)


def _name(session: Session, row: int) -> str:
    return session.get_one(Patient, row).patient_id or f"#{row}"
