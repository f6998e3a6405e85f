"""Trainees and their attempts: kept, listed over time, written out, made anonymous, erased."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from fluoroscope.registry.corrections import check_signed, note_change
from fluoroscope.registry.opening import Registry, RegistryError, utc_now
from fluoroscope.registry.reports import UNKEPT
from fluoroscope.registry.tables import Correction, Erasure, Trainee, TrainingAttempt

__all__ = [
    "ATTEMPT_COLUMNS",
    "KeptAttempt",
    "ScoredAttempt",
    "TraineeFacts",
    "anonymise_trainee",
    "attempts_of",
    "erase_trainee",
    "export_attempts",
    "keep_attempt",
    "trainees",
]

_LONGEST = 64
ATTEMPT_COLUMNS = (
    "trainee", "number", "attempted_utc", "scenario", "procedure", "level", "side", "patient", "guidance", "complete",
    "total", "success", "passed", "exam", "version",
)  # fmt: skip
"""Of an export, before one column of value and one of mark for every criterion."""


@dataclass(frozen=True, slots=True)
class ScoredAttempt:
    """An attempt with its score, as it is kept.

    Attributes
    ----------
    exam
        Id of the exam it was recorded in.
    scenario, procedure_key, level, side, patient
        What was tried, on whom; the procedure by its name in the catalogue.
    guidance
        Whether guidance was allowed.
    attempted_utc
        When, UTC without a zone.
    complete
        Whether the exam was closed.
    total, success, passed
        Of the score.
    score
        All of it, JSON-ready; ``criteria`` is a list with ``name``, ``value``, ``unit`` and ``mark``.
    version
        Of the program that scored it.
    """

    exam: str
    scenario: str
    procedure_key: str
    level: str
    side: str
    patient: str
    guidance: bool
    attempted_utc: datetime
    complete: bool
    total: float
    success: bool
    passed: bool
    score: Mapping[str, Any]
    version: str


@dataclass(frozen=True, slots=True)
class KeptAttempt:
    """An attempt in the registry; ``number`` counts the trainee's attempts from 1, ``exam`` is None when anonymous."""

    trainee: str
    number: int
    exam: str | None
    scenario: str
    procedure_key: str
    level: str
    side: str
    patient: str
    guidance: bool
    attempted_utc: datetime
    complete: bool
    total: float
    success: bool
    passed: bool
    score: Mapping[str, Any]
    version: str


@dataclass(frozen=True, slots=True)
class TraineeFacts:
    """A trainee and how many attempts are kept; ``anonymous`` when the code says nothing any more."""

    code: str
    name: str
    anonymous: bool
    attempts: int


def keep_attempt(registry: Registry, trainee: str, attempt: ScoredAttempt, *, name: str = "", who: str = "") -> str:
    """Keep an attempt under a trainee's code; return "new", "known", or "scored again".

    Scored again, with other rules or another version, the new score stands and the old one stays as a correction.

    Raises
    ------
    RegistryError
        The code is none, or the exam is kept for somebody else.
    """
    code = _checked_code(trainee)
    if len(name) > 200 or UNKEPT.search(name):
        raise RegistryError("trainee: the name is longer than 200 or holds control characters")
    with registry.writing() as session:
        row = session.scalars(select(Trainee).where(Trainee.code == code)).first()
        if row is not None and row.anonymous:
            raise RegistryError(f"trainee {code}: was made anonymous and takes no more attempts; choose another code")
        if row is None:
            row = Trainee(code=code, name=name.strip(), anonymous=False, added_utc=utc_now())
            session.add(row)
            session.flush()
        elif name.strip() and not row.name:
            note_change(session, row, "name", name.strip(), who=who or "score", why="the name was not known before")
        return _kept(session, row, attempt, who or "score")


def _kept(session: Session, trainee: Trainee, attempt: ScoredAttempt, who: str) -> str:
    known = session.scalars(
        select(TrainingAttempt).where(
            TrainingAttempt.exam == attempt.exam, TrainingAttempt.scenario == attempt.scenario
        )
    ).first()
    if known is None:
        values = {field: getattr(attempt, field) for field in attempt.__dataclass_fields__}
        values["score"] = dict(attempt.score)
        session.add(TrainingAttempt(trainee_row=trainee.id, added_utc=utc_now(), **values))
        return "new"
    if known.trainee_row != trainee.id:
        other = session.get_one(Trainee, known.trainee_row).code
        raise RegistryError(f"exam {attempt.exam}: is kept for trainee {other} already; check the code of the trainee")
    changed = False
    for field in ("total", "success", "passed", "complete", "score", "version"):
        new = getattr(attempt, field)
        new = dict(new) if field == "score" else new
        changed |= note_change(session, known, field, new, who=who, why="scored again")
    return "scored again" if changed else "known"


def trainees(registry: Registry) -> list[TraineeFacts]:
    """Return everybody who trains, by code."""
    with registry.reading() as session:
        rows = session.scalars(select(Trainee).order_by(Trainee.code)).all()
        owners = list(session.scalars(select(TrainingAttempt.trainee_row)))
        return [TraineeFacts(one.code, one.name, one.anonymous, owners.count(one.id)) for one in rows]


def attempts_of(registry: Registry, trainee: str | None = None, scenario: str | None = None) -> list[KeptAttempt]:
    """Return attempts in order of time, of one trainee or of all; ``number`` counts within what was asked for.

    Raises
    ------
    RegistryError
        Nobody has the code.
    """
    with registry.reading() as session:
        query = select(TrainingAttempt, Trainee.code).join(Trainee)
        if trainee is not None:
            query = query.where(TrainingAttempt.trainee_row == _one(session, trainee).id)
        if scenario is not None:
            query = query.where(TrainingAttempt.scenario == scenario)
        order = (Trainee.code, TrainingAttempt.attempted_utc, TrainingAttempt.id)
        counts: dict[str, int] = {}
        found = []
        for one, code in session.execute(query.order_by(*order)):
            counts[code] = counts.get(code, 0) + 1
            found.append(KeptAttempt(code, counts[code], **{name: getattr(one, name) for name in _KEPT}))
        return found


def export_attempts(attempts: Sequence[KeptAttempt]) -> list[dict[str, Any]]:
    """Return a row for each attempt: `ATTEMPT_COLUMNS`, then value and mark of each criterion."""
    names = list(dict.fromkeys(one["name"] for kept in attempts for one in kept.score.get("criteria", ())))
    rows = []
    for kept in attempts:
        criteria = {one["name"]: one for one in kept.score.get("criteria", ())}
        row: dict[str, Any] = {
            "trainee": kept.trainee,
            "number": kept.number,
            "attempted_utc": kept.attempted_utc.isoformat(timespec="seconds"),
            "procedure": kept.procedure_key,
            **{name: getattr(kept, name) for name in ATTEMPT_COLUMNS if name not in _OTHER},
        }
        rows.append({name: row[name] for name in ATTEMPT_COLUMNS})
        for name in names:
            rows[-1][name] = criteria.get(name, {}).get("value")
            rows[-1][f"{name}_mark"] = criteria.get(name, {}).get("mark")
    return rows


_KEPT = tuple(ScoredAttempt.__dataclass_fields__)
_OTHER = ("trainee", "number", "attempted_utc", "procedure")


def anonymise_trainee(registry: Registry, trainee: str, *, who: str, why: str) -> str:
    """Make a trainee anonymous; return the new code. Scores stay; code, name, exam and day do not.

    ``who`` and ``why`` stay: do not write the trainee's name there.
    """
    check_signed(who, why)
    with registry.writing() as session:
        row = _one(session, trainee)
        _refuse_names(row, who + " " + why)
        row.code, row.name, row.anonymous = f"anonymous-{row.id}", "", True
        own = select(TrainingAttempt).where(TrainingAttempt.trainee_row == row.id)
        numbers: list[int] = []
        for one in session.scalars(own.order_by(TrainingAttempt.attempted_utc, TrainingAttempt.id)):
            one.exam = None
            one.attempted_utc = datetime(one.attempted_utc.year, 1, 1) + timedelta(seconds=len(numbers))
            numbers.append(one.id)
        _forget_changes(session, row.id, numbers)
        code = row.code
    registry.forget_pages()
    return code


def erase_trainee(registry: Registry, trainee: str, *, who: str, why: str) -> int:
    """Erase a trainee with all attempts; return how many. What stays says that somebody was erased, not whom."""
    check_signed(who, why)
    with registry.writing() as session:
        row = _one(session, trainee)
        _refuse_names(row, who + " " + why)
        numbers = list(session.scalars(select(TrainingAttempt.id).where(TrainingAttempt.trainee_row == row.id)))
        _forget_changes(session, row.id, numbers)
        session.execute(delete(TrainingAttempt).where(TrainingAttempt.trainee_row == row.id))
        session.execute(delete(Trainee).where(Trainee.id == row.id))
        session.add(
            Erasure(exams=0, objects=0, events=0, outside=0, attempts=len(numbers), who=who, why=why,
                    erased_utc=utc_now())
        )  # fmt: skip
    registry.forget_pages()
    return len(numbers)


def _forget_changes(session: Session, trainee: int, attempts: list[int]) -> None:
    for name, rows in ((Trainee.__tablename__, [trainee]), (TrainingAttempt.__tablename__, attempts)):
        session.execute(delete(Correction).where(Correction.table == name, Correction.row.in_(rows)))


def _refuse_names(row: Trainee, words: str) -> None:
    low = words.lower()
    if row.code.lower() in low.split() or (row.name and row.name.lower() in low):
        raise RegistryError("who and why stay in the registry: do not write the trainee's code or name there")


def _one(session: Session, trainee: str) -> Trainee:
    row = session.scalars(select(Trainee).where(Trainee.code == trainee.strip())).first()
    if row is None:
        raise RegistryError(f"trainee {trainee}: not in the registry; see  fluoroscope training results")
    return row


def _checked_code(trainee: str) -> str:
    code = trainee.strip()
    if not code:
        raise RegistryError("trainee: the code is empty; give one, such as initials or a number")
    # A spreadsheet takes what begins so for a formula.
    odd = UNKEPT.search(code) or code.startswith(("anonymous-", "=", "+", "-", "@"))
    if len(code) > _LONGEST or odd:
        raise RegistryError(
            f"trainee: a code has at most {_LONGEST} plain characters, none of = + - @ first, and is not anonymous-…"
        )
    return code
