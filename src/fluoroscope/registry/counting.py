"""The dose of one exam from all objects that speak of it, each exposure counted once.

Machines send a report when a step ends, another of everything up to now, the whole again when the study closes; the
same report comes from two archives; images carry dose of their own. Rules, in this order:

1. An object that another one replaces does not count; images count only where there is no report.
2. Objects of one machine, or that share an irradiation event, belong together. Of those that share events the one with
   the most events speaks for all, by its header, which is what the machine states; where none holds all events, every
   event counts once.
3. Objects of one machine that share no event: reports of different procedure steps add up. Otherwise a header may hold
   what an earlier one held, so the sum of all events counts, or the largest header if that is more.
4. Reports without events and without a step of their own may be cumulative: the largest counts, and that is said.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, fields

from fluoroscope.registry.reports import ReportEvent, Totals

__all__ = ["CountedObject", "ExamDose", "Note", "count_exam", "event_keys", "reference_key"]

WITHOUT_KERMA = {
    "ct": "CT: its dose (CTDI, DLP) is not in these figures",
    "nuclear medicine": "nuclear medicine: its activity is not in these figures",
    "mammography": "mammography: its glandular dose is not in these figures",
}
"""Kinds whose dose is stated in quantities that do not add to kerma, and what is said of them."""

_ISOCENTRE = "15 cm from the isocentre toward the source"
_INPUT_SURFACE = "30 cm in front of the image input surface"
_QUANTITIES = tuple(one.name for one in fields(Totals))


@dataclass(frozen=True, slots=True)
class Note:
    """What must be known beside a figure: ``code`` for programs, ``text`` for people."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class CountedObject:
    """What counting needs of an object; see `Report`."""

    sop_uid: str
    kind: str
    machine: tuple[str, str, str]
    order: tuple[str, int]
    complete: bool
    scope: str
    scope_uid: str
    reference_point: str
    header: Totals
    summed: Totals
    events: tuple[ReportEvent, ...] = ()
    replaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExamDose:
    """Dose of an exam; None where nothing says so. ``kerma_by_point`` is keyed by the reference point, "" unknown."""

    kap_gy_cm2: float | None = None
    fluoroscopy_time_s: float | None = None
    acquisition_time_s: float | None = None
    kerma_by_point: dict[str, float] = field(default_factory=dict)
    events: int = 0
    notes: tuple[Note, ...] = ()

    @property
    def air_kerma_mgy(self) -> float | None:
        """At its one reference point, mGy; None when not stated, or at several points."""
        return next(iter(self.kerma_by_point.values())) if len(self.kerma_by_point) == 1 else None


def reference_key(text: str) -> str:
    """Return a reference point in one spelling; "" for one that is not known."""
    letters = "".join(text.lower().split())
    if "isocent" in letters and letters.startswith("15cm"):
        return _ISOCENTRE
    if "imageinputsurface" in letters and letters.startswith("30cm"):
        return _INPUT_SURFACE
    return "" if letters in ("", "unknown") else " ".join(text.split())


def event_keys(events: Iterable[ReportEvent]) -> list[Hashable]:
    """Return what tells events apart: UID and plane, or else all that is known of them.

    The same again in one object (two planes under one UID, two equal shots) is another event.
    """
    met: Counter[Hashable] = Counter()
    keys: list[Hashable] = []
    for one in events:
        known: Hashable = (one.uid, one.plane)
        if not one.uid:
            known = (one.started, one.plane, one.kind, one.kap_gy_cm2, one.air_kerma_mgy, one.duration_s, one.pulses)
        keys.append((known, met[known]))
        met[known] += 1
    return keys


def count_exam(objects: Sequence[CountedObject], seen: Collection[Hashable] = ()) -> ExamDose:
    """Return the dose of an exam.

    Parameters
    ----------
    objects
        All that came of it.
    seen
        Keys of events that count in another exam: the same procedure under two study UIDs.
    """
    replaced = {uid for one in objects for uid in one.replaces if uid != one.sop_uid}
    standing = [one for one in objects if one.sop_uid not in replaced]
    notes = [Note("other_dose", WITHOUT_KERMA[kind]) for kind in {one.kind for one in standing} & WITHOUT_KERMA.keys()]
    reports = [
        one for one in standing if one.kind not in WITHOUT_KERMA and one.kind not in ("xa header", "patient dose")
    ]
    images = [one for one in standing if one.kind == "xa header"]
    if not reports:
        return _of_images(images, notes)
    sums = {name: _Sum() for name in _QUANTITIES}
    kerma: dict[str, _Sum] = {}
    every: set[Hashable] = set()
    for group in _joined(reports, _machine_links):
        every |= {key for one in group for key in event_keys(one.events)}
        for name in _QUANTITIES:
            value = _group_value(group, name, seen, notes)
            sums[name].add(value)
            if name == "air_kerma_mgy":
                kerma.setdefault(_point(group), _Sum()).add(value)
    if every & set(seen):
        notes.append(Note("counted_elsewhere", "events that another study holds too are counted there"))
    return ExamDose(
        sums["kap_gy_cm2"].value,
        sums["fluoroscopy_time_s"].value,
        sums["acquisition_time_s"].value,
        {point: one.value for point, one in kerma.items() if one.value is not None},
        len(every - set(seen)),
        tuple({note.code: note for note in notes}.values()),
    )


class _Sum:
    """A sum that is None until something was added."""

    def __init__(self) -> None:
        self.value: float | None = None

    def add(self, value: float | None) -> None:
        if value is not None:
            self.value = value + (self.value or 0.0)


def _of_images(images: Sequence[CountedObject], notes: list[Note]) -> ExamDose:
    """Of an exam without a report: one KAP for every event that has an image, so at least so much."""
    kap: dict[str, float] = {}
    for one in images:
        if one.header.kap_gy_cm2 is not None:
            key = next((event.uid for event in one.events if event.uid), one.sop_uid)
            kap[key] = max(kap.get(key, 0.0), one.header.kap_gy_cm2)
    if images:
        notes.append(Note("images_only", "no dose report: KAP of the stored images only, so at least this much"))
    return ExamDose(math.fsum(kap.values()) if kap else None, events=len(kap), notes=tuple(notes))


def _machine_links(one: CountedObject) -> list[Hashable]:
    maker, model, serial = (word.strip().lower() for word in one.machine)
    # Objects that name no machine stand together: twice too little is known to add them.
    return [("machine", serial, maker if not serial else "", model if not serial else ""), *_event_links(one)]


def _event_links(one: CountedObject) -> list[Hashable]:
    links: list[Hashable] = [("event", key) for key in event_keys(one.events)]
    if one.scope_uid and _is_step(one):
        links.append(("step", one.scope_uid))
    return links


def _is_step(one: CountedObject) -> bool:
    return "step" in one.scope.lower()


def _joined(
    objects: Sequence[CountedObject], links: Callable[[CountedObject], list[Hashable]]
) -> list[list[CountedObject]]:
    """Return the objects in groups: those that share a link stand together, by way of others too."""
    groups: list[tuple[set[Hashable], list[CountedObject]]] = []
    for one in objects:
        own = set(links(one))
        met = [group for group in groups if group[0] & own]
        groups = [group for group in groups if not group[0] & own]
        groups.append((own.union(*(group[0] for group in met)), [*(o for group in met for o in group[1]), one]))
    return [members for _, members in groups]


def _point(group: Sequence[CountedObject]) -> str:
    return next((key for one in _by_weight(group) if (key := reference_key(one.reference_point))), "")


def _by_weight(objects: Sequence[CountedObject]) -> list[CountedObject]:
    """Return the objects, the one that speaks for the others first."""
    return sorted(objects, key=lambda one: (len(one.events), one.complete, one.order), reverse=True)


def _group_value(
    group: Sequence[CountedObject], name: str, seen: Collection[Hashable], notes: list[Note]
) -> float | None:
    """Return one quantity of the objects of one machine."""
    keys = {key for one in group for key in event_keys(one.events)}
    if keys & set(seen):
        return _union(group, name, seen)
    chains = _joined(group, _event_links)
    if len(chains) == 1:
        return _chain_value(chains[0], name)
    steps = [{one.scope_uid for one in chain if _is_step(one)} for chain in chains]
    if all(len(step) == 1 and "" not in step for step in steps) and len(set().union(*steps)) == len(chains):
        values = [value for chain in chains if (value := _chain_value(chain, name)) is not None]
        return math.fsum(values) if values else None
    if any(not one.events for one in group):
        notes.append(
            Note("perhaps_cumulative", "reports without events that may hold each other's dose: the largest counts")
        )
    return _largest(_union(group, name, ()), *(_stated(one, name) for one in group))


def _chain_value(chain: Sequence[CountedObject], name: str) -> float | None:
    keys = {key for one in chain for key in event_keys(one.events)}
    first = _by_weight(chain)[0]
    if set(event_keys(first.events)) == keys:
        stated = _stated(first, name)
        # A header without events may be later than the last report with events.
        without = [_stated(one, name) for one in chain if not one.events]
        return _largest(stated, *without)
    return _largest(_union(chain, name, ()), *(_stated(one, name) for one in chain))


def _stated(one: CountedObject, name: str) -> float | None:
    """Return what an object states: its header, or the sum of its events where that is silent."""
    stated: float | None = getattr(one.header, name)
    if stated is None:
        stated = getattr(one.summed, name)
    return stated


_OF_EVENT: dict[str, Callable[[ReportEvent], float | None]] = {
    "air_kerma_mgy": lambda one: one.air_kerma_mgy,
    "kap_gy_cm2": lambda one: one.kap_gy_cm2,
    "fluoroscopy_time_s": lambda one: one.duration_s if one.kind == "fluoroscopy" else None,
    "acquisition_time_s": lambda one: one.duration_s if one.kind != "fluoroscopy" else None,
}


def _union(group: Sequence[CountedObject], name: str, seen: Collection[Hashable]) -> float | None:
    """Add up every event once, as the weightiest object that holds it states it."""
    values: dict[Hashable, float] = {}
    for one in _by_weight(group):
        for key, event in zip(event_keys(one.events), one.events, strict=True):
            value = _OF_EVENT[name](event)
            if value is not None and key not in seen:
                values.setdefault(key, value)
    return math.fsum(values.values()) if values else None


def _largest(*values: float | None) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) if known else None
