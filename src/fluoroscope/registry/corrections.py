"""Corrections: the one way a value that stands in the registry is changed."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fluoroscope.registry.opening import RegistryError, utc_now
from fluoroscope.registry.tables import Correction

__all__ = ["Change", "changes_of", "check_signed", "note_change"]


@dataclass(frozen=True, slots=True)
class Change:
    """A value that was changed, JSON-ready."""

    table: str
    row: int
    field: str
    old: Any
    new: Any
    who: str
    why: str
    changed_utc: datetime


def check_signed(who: str, why: str) -> None:
    """Raise `RegistryError` when it is not said who makes a change, or why."""
    if not who.strip() or not why.strip():
        raise RegistryError("a change needs who makes it and why: give --by and --why")


def note_change(session: Session, row: Any, name: str, new: Any, *, who: str, why: str) -> bool:
    """Change a value of a row and note it; return False, and do nothing, when it stands so already."""
    old = getattr(row, name)
    if old == new:
        return False
    session.add(
        Correction(
            table=row.__tablename__,
            row=row.id,
            field=name,
            old=_plain(old),
            new=_plain(new),
            who=who,
            why=why,
            changed_utc=utc_now(),
        )
    )
    setattr(row, name, new)
    return True


def changes_of(session: Session, table: str, rows: list[int]) -> list[Change]:
    """Return the changes of some rows of a table, oldest first."""
    query = select(Correction).where(Correction.table == table, Correction.row.in_(rows)).order_by(Correction.id)
    return [
        Change(one.table, one.row, one.field, one.old, one.new, one.who, one.why, one.changed_utc)
        for one in session.scalars(query)
    ]


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value
