"""What a procedure usually gives in this room: the exams that the program itself kept."""

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from fluoroscope.registry.counting import count_exam, event_keys, reference_key
from fluoroscope.registry.history import counted_objects
from fluoroscope.registry.opening import Registry
from fluoroscope.registry.tables import Exam

__all__ = ["MOST_CASES", "OwnCases", "own_cases"]

MOST_CASES = 200
"""The newest exams of a procedure that are looked at: what a room gives changes over the years."""


@dataclass(frozen=True, slots=True)
class OwnCases:
    """The newest exams of one procedure, each quantity of those that state it.

    ``air_kerma_mgy`` is empty where the exams state it at more than one reference point: it cannot be compared.
    """

    exams: int = 0
    air_kerma_mgy: tuple[float, ...] = ()
    kap_gy_cm2: tuple[float, ...] = ()
    fluoroscopy_time_s: tuple[float, ...] = ()


def own_cases(registry: Registry, procedure_key: str, *, simulated: bool, most: int = MOST_CASES) -> OwnCases:
    """Return the dose of the room's own exams of a procedure, readings as they were kept.

    Parameters
    ----------
    procedure_key
        Name in the catalogue of procedures.
    simulated
        Whether the simulated exams are wanted, or those with real X-ray: they are never mixed.
    most
        The newest so many.
    """
    with registry.reading() as session:
        query = select(Exam).where(
            Exam.procedure_key == procedure_key, Exam.source == "own run", Exam.simulated.is_(simulated)
        )
        rows = sorted(session.scalars(query), key=lambda one: (one.started or datetime.min, one.id))
        by_study = {one.study_uid: one for one in rows}  # one study under two ids of a person counts once
        chosen = list(by_study.values())[-most:]
        objects = counted_objects(session, [one.id for one in chosen])
    seen: set[Hashable] = set()
    doses = []
    for exam in chosen:
        held = objects.get(exam.id, [])
        doses.append(count_exam(held, seen))
        for one in held:
            keys = zip(event_keys(one.events), one.events, strict=True)
            seen |= {key for key, event in keys if event.uid}
    points = {reference_key(point) for one in doses for point in one.kerma_by_point}
    kerma = [one.air_kerma_mgy for one in doses] if len(points) == 1 else []
    return OwnCases(
        len(doses),
        _known(kerma),
        _known([one.kap_gy_cm2 for one in doses]),
        _known([one.fluoroscopy_time_s for one in doses]),
    )


def _known(values: list[float | None]) -> tuple[float, ...]:
    return tuple(value for value in values if value is not None)
