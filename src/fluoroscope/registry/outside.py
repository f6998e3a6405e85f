"""Exposures elsewhere, told by the patient: added, confirmed, taken back; none is deleted."""

import math
import re
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import select

from fluoroscope.registry.corrections import note_change
from fluoroscope.registry.opening import Registry, RegistryError, utc_now
from fluoroscope.registry.people import own_row, patient_row
from fluoroscope.registry.reports import UNKEPT, Person
from fluoroscope.registry.tables import Outside

__all__ = ["ToldExposure", "add_outside", "confirm_outside", "remove_outside", "take_back_outside"]

_WHEN = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class ToldExposure:
    """What a patient tells of an exposure elsewhere.

    Attributes
    ----------
    kind
        What it was, such as "CT" or "angiography".
    body_part, place
        Where on the body, and where in the world; "" when not known.
    when
        A year, a month or a day (``2019``, ``2019-05``, ``2019-05-03``); "" when not known.
    confirmed
        Whether a report or another hospital confirms it.
    effective_msv, effective_source
        An estimate of our own, and where it comes from: one is not kept without the other.
    """

    kind: str
    body_part: str = ""
    place: str = ""
    when: str = ""
    confirmed: bool = False
    effective_msv: float | None = None
    effective_source: str = ""

    def __post_init__(self) -> None:
        if not self.kind.strip():
            raise RegistryError("exposure elsewhere: say what it was, such as CT or angiography")
        for name in ("kind", "body_part", "place", "effective_source"):
            text = getattr(self, name)
            if len(text) > _LONGEST or UNKEPT.search(text):
                raise RegistryError(f"exposure elsewhere: {name} is longer than {_LONGEST} or holds control characters")
        if self.when:
            _check_when(self.when)
        if self.effective_msv is not None and not (math.isfinite(self.effective_msv) and 0 <= self.effective_msv < 1e4):
            raise RegistryError(f"exposure elsewhere: {self.effective_msv} mSv cannot be; give 0 to 10000")
        if (self.effective_msv is None) != (not self.effective_source.strip()):
            raise RegistryError("exposure elsewhere: an estimate in mSv needs its source, and a source an estimate")


def _check_when(when: str) -> None:
    found = _WHEN.fullmatch(when)
    try:
        if found is None:
            raise ValueError
        year, month, day = (int(part) if part else 1 for part in found.groups())
        moment = date(year, month, day)
    except ValueError:
        raise RegistryError(f"exposure elsewhere: when is {when!r}; write 2019, 2019-05 or 2019-05-03") from None
    if not date(1896, 1, 1) <= moment <= utc_now().date():
        raise RegistryError(f"exposure elsewhere: {when} is in the future or before X-rays; write when it was")


def add_outside(
    registry: Registry,
    patient: str | Person,
    told: ToldExposure,
    *,
    told_to: str = "",
    told_uid: str | None = None,
    told_utc: datetime | None = None,
) -> int:
    """Keep an exposure elsewhere of a patient; return its id. One whose ``told_uid`` is here already is kept once.

    Parameters
    ----------
    patient
        An id or ``#number`` of somebody in the registry, or a person, who is added when new.
    told_to
        Who wrote it down.
    told_uid, told_utc
        What it is known by where it was written down before the registry answered, and when that was.
    """
    with registry.writing() as session:
        if told_uid is not None:
            here = session.scalars(select(Outside.id).where(Outside.told_uid == told_uid)).first()
            if here is not None:
                return here
        row = patient_row(session, patient) if isinstance(patient, Person) else own_row(session, patient)
        one = Outside(
            patient_row=row, kind=told.kind.strip(), body_part=told.body_part.strip(), place=told.place.strip(),
            when=told.when, confirmed=told.confirmed, effective_msv=told.effective_msv,
            effective_source=told.effective_source.strip(), removed=False, told_to=told_to, told_uid=told_uid,
            added_utc=told_utc or utc_now(),
        )  # fmt: skip
        session.add(one)
        session.flush()
        return one.id


def confirm_outside(registry: Registry, number: int, *, who: str, why: str) -> None:
    """Note that an exposure elsewhere is confirmed; ``why`` says by what."""
    _change(registry, number, "confirmed", who, why)


def remove_outside(registry: Registry, number: int, *, who: str, why: str) -> None:
    """Take an exposure elsewhere back: it stays in the registry, marked."""
    _change(registry, number, "removed", who, why)


def take_back_outside(registry: Registry, told: int | str, *, who: str, why: str) -> None:
    """Take an exposure back by its id or ``told_uid``; one that is gone or taken back already needs nothing."""
    with registry.writing() as session:
        column = Outside.told_uid if isinstance(told, str) else Outside.id
        one = session.scalars(select(Outside).where(column == told)).first()
        if one is not None:
            note_change(session, one, "removed", True, who=who, why=why)


def _change(registry: Registry, number: int, name: str, who: str, why: str) -> None:
    if not who.strip() or not why.strip():
        raise RegistryError(f"exposure {number}: a change needs who makes it and why")
    with registry.writing() as session:
        one = session.get(Outside, number)
        if one is None or one.removed:
            raise RegistryError(f"exposure {number}: not in the registry; see  fluoroscope dose outside list")
        note_change(session, one, name, True, who=who, why=why)
