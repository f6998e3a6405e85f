"""What a patient has had: exams counted once, exposures they told of, and what of it is not known."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from fluoroscope.registry.counting import CountedObject, ExamDose, Note, count_exam, event_keys
from fluoroscope.registry.opening import Registry
from fluoroscope.registry.people import PatientFacts, one_patient, patient_facts, same_person
from fluoroscope.registry.reports import ReportEvent, Totals
from fluoroscope.registry.tables import DoseObjectRow, Event, Exam, Outside, Replacement

__all__ = ["Cumulative", "ExamHistory", "OutsideFacts", "PatientHistory", "counted_objects", "patient_history"]

_EVENT_FIELDS = tuple(ReportEvent.__dataclass_fields__)
_TOTALS = tuple(Totals.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class ExamHistory:
    """One exam; ``machine`` in words, ``objects`` how many came of it."""

    study_uid: str
    started: datetime | None
    procedure: str
    machine: str
    source: str
    simulated: bool
    dose: ExamDose
    effective_msv: float | None
    effective_source: str
    peak_skin_mgy: float | None
    peak_skin_source: str
    objects: int


@dataclass(frozen=True, slots=True)
class OutsideFacts:
    """An exposure elsewhere that the patient told of."""

    id: int
    kind: str
    body_part: str
    place: str
    when: str
    confirmed: bool
    effective_msv: float | None
    effective_source: str
    told_to: str
    told_uid: str = ""


@dataclass(frozen=True, slots=True)
class Cumulative:
    """Sums over the exams; None where no exam states it. Peak skin doses do not add up: the largest of one exam.

    ``kerma_by_point`` holds the air kerma of each reference point, "" for unknown ones; `air_kerma_mgy` is None when
    there is more than one.
    """

    kap_gy_cm2: float | None = None
    fluoroscopy_time_s: float | None = None
    kerma_by_point: dict[str, float] = field(default_factory=dict)
    effective_msv: float | None = None
    peak_skin_mgy: float | None = None

    @property
    def air_kerma_mgy(self) -> float | None:
        """At the one reference point of all exams, mGy."""
        return next(iter(self.kerma_by_point.values())) if len(self.kerma_by_point) == 1 else None


@dataclass(frozen=True, slots=True)
class PatientHistory:
    """What a patient has had.

    Attributes
    ----------
    exams
        Those that count, oldest first.
    left_out
        Simulated exams of a patient who has real ones: they do not count.
    unknown
        What is missing in the sums.
    """

    patient: PatientFacts
    exams: tuple[ExamHistory, ...]
    left_out: tuple[ExamHistory, ...]
    outside: tuple[OutsideFacts, ...]
    cumulative: Cumulative
    unknown: tuple[Note, ...]


def patient_history(registry: Registry, patient: str, issuer: str | None = None) -> PatientHistory:
    """Return what a patient has had; ``patient`` is an id, or ``#number``.

    Raises
    ------
    RegistryError
        Nobody has the id, or several persons do.
    """
    with registry.reading() as session:
        head = one_patient(session, patient, issuer)
        rows = [one.id for one in same_person(session, head)]
        every = _exams(session, rows)
        real = [one for one in every if not one.simulated]
        exams = tuple(real or every)
        outside = tuple(
            OutsideFacts(
                one.id,
                one.kind,
                one.body_part,
                one.place,
                one.when,
                one.confirmed,
                one.effective_msv,
                one.effective_source,
                one.told_to,
                one.told_uid or "",
            )
            for one in session.scalars(
                select(Outside).where(Outside.patient_row.in_(rows), Outside.removed.is_(False)).order_by(Outside.id)
            )
        )
        left_out = tuple(one for one in every if one.simulated) if real else ()
        return PatientHistory(
            patient_facts(session, head),
            exams,
            left_out,
            outside,
            _cumulative(exams),
            _unknown(exams, left_out, outside),
        )


def _exams(session: Session, patients: list[int]) -> list[ExamHistory]:
    rows = session.scalars(select(Exam).where(Exam.patient_row.in_(patients)).order_by(Exam.id)).all()
    by_study: dict[str, list[Exam]] = {}
    for row in rows:
        by_study.setdefault(row.study_uid, []).append(row)
    objects = counted_objects(session, [row.id for row in rows])
    ordered = sorted(by_study.items(), key=lambda item: (item[1][0].started or datetime.max, item[1][0].id))
    seen: set[Hashable] = set()
    found = []
    for study_uid, parts in ordered:
        held = [one for part in parts for one in objects.get(part.id, ())]
        dose = count_exam(held, seen)
        # Only a UID tells an event apart across studies.
        seen |= {
            key for one in held for key, event in zip(event_keys(one.events), one.events, strict=True) if event.uid
        }
        found.append(_exam(study_uid, parts, held, dose))
    return found


def _exam(study_uid: str, parts: Sequence[Exam], held: Sequence[CountedObject], dose: ExamDose) -> ExamHistory:
    machines = dict.fromkeys(" ".join(word for word in one.machine[:2] if word) for one in held)
    first = parts[0]
    for part in parts[1:]:
        for name in ("started", "procedure", "effective_msv", "peak_skin_mgy"):
            if getattr(first, name) in (None, ""):
                first = part if getattr(part, name) else first
    return ExamHistory(
        study_uid, first.started, first.procedure, ", ".join(word for word in machines if word), first.source,
        any(part.simulated for part in parts), dose, first.effective_msv, first.effective_source,
        first.peak_skin_mgy, first.peak_skin_source, len(held),
    )  # fmt: skip


def counted_objects(session: Session, exams: list[int]) -> dict[int, list[CountedObject]]:
    """Return the objects of some exams, with their events and what they replace, in three queries."""
    chosen = select(DoseObjectRow.id).where(DoseObjectRow.exam_row.in_(exams))
    events: dict[int, list[ReportEvent]] = {}
    columns = (Event.object_row, *(getattr(Event, name) for name in _EVENT_FIELDS))
    for row, *values in session.execute(
        select(*columns).where(Event.object_row.in_(chosen)).order_by(Event.object_row, Event.number, Event.id)
    ):
        events.setdefault(row, []).append(ReportEvent(*values))
    replaced: dict[int, list[str]] = {}
    for row, uid in session.execute(
        select(Replacement.object_row, Replacement.replaced_uid).where(Replacement.object_row.in_(chosen))
    ):
        replaced.setdefault(row, []).append(uid)
    found: dict[int, list[CountedObject]] = {}
    query = select(DoseObjectRow).where(DoseObjectRow.exam_row.in_(exams)).order_by(DoseObjectRow.id)
    for one in session.scalars(query):
        found.setdefault(one.exam_row, []).append(
            CountedObject(
                one.sop_uid,
                one.kind,
                (one.manufacturer, one.model, one.serial_number),
                ("" if one.written is None else one.written.isoformat(), one.id),
                one.complete,
                one.scope,
                one.scope_uid,
                one.reference_point,
                Totals(*(getattr(one, f"header_{name}") for name in _TOTALS)),
                Totals(*(getattr(one, f"events_{name}") for name in _TOTALS)),
                tuple(events.get(one.id, ())),
                tuple(replaced.get(one.id, ())),
            )
        )
    return found


def _cumulative(exams: Sequence[ExamHistory]) -> Cumulative:
    def over(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) if known else None

    kerma: dict[str, float] = {}
    for one in exams:
        for point, value in one.dose.kerma_by_point.items():
            kerma[point] = kerma.get(point, 0.0) + value
    return Cumulative(
        over([one.dose.kap_gy_cm2 for one in exams]),
        over([one.dose.fluoroscopy_time_s for one in exams]),
        kerma,
        over([one.effective_msv for one in exams]),
        max((one.peak_skin_mgy for one in exams if one.peak_skin_mgy is not None), default=None),
    )


def _unknown(
    exams: Sequence[ExamHistory], left_out: Sequence[ExamHistory], outside: Sequence[OutsideFacts]
) -> tuple[Note, ...]:
    """Say what the sums leave out."""
    notes: list[Note] = []
    count = len(exams)
    for name, words, values in (
        ("air_kerma", "air kerma", [bool(one.dose.kerma_by_point) for one in exams]),
        ("kap", "KAP", [one.dose.kap_gy_cm2 is not None for one in exams]),
        ("fluoroscopy_time", "fluoroscopy time", [one.dose.fluoroscopy_time_s is not None for one in exams]),
        ("effective_dose", "estimate of the effective dose", [one.effective_msv is not None for one in exams]),
        ("peak_skin_dose", "peak skin dose", [one.peak_skin_mgy is not None for one in exams]),
    ):
        if missing := values.count(False):
            some = f"{missing} of {count} exams: the sum is of the others" if missing < count else "any exam"
            notes.append(Note(f"no_{name}", f"{words} not known of {some}"))
    notes += _points(exams)
    told = [note for one in exams for note in one.dose.notes]
    for code, text in {note.code: note.text for note in told}.items():
        notes.append(Note(code, f"{text} ({sum(note.code == code for note in told)} of {count} exams)"))
    if exams and all(one.simulated for one in exams):
        notes.append(Note("simulated", "every exam is simulated: no real X-ray was made"))
    if left_out:
        notes.append(Note("simulated_left_out", f"{len(left_out)} simulated exams are not counted"))
    return tuple(notes + _elsewhere(outside))


def _points(exams: Sequence[ExamHistory]) -> list[Note]:
    notes = []
    points = {point for one in exams for point in one.dose.kerma_by_point}
    silent = dict.fromkeys(one.machine or "a machine without a name" for one in exams if "" in one.dose.kerma_by_point)
    if silent:
        words = "where air kerma is stated is not known, so it cannot be compared"
        notes.append(Note("no_reference_point", f"{', '.join(silent)}: {words}"))
    if len(points) > 1:
        words = f"air kerma is stated at {len(points)} different points and is not added up; KAP is"
        notes.append(Note("reference_points", words))
    return notes


def _elsewhere(outside: Sequence[OutsideFacts]) -> list[Note]:
    notes = []
    silent = Counter(one.kind for one in outside if one.effective_msv is None)
    if silent:
        listed = ", ".join(f"{count} × {kind}" for kind, count in silent.items())
        notes.append(Note("outside_without_figures", f"told by the patient, dose not known: {listed}"))
    if unconfirmed := sum(not one.confirmed for one in outside):
        words = f"{unconfirmed} of {len(outside)} exposures elsewhere are not confirmed"
        notes.append(Note("outside_unconfirmed", words))
    return notes
