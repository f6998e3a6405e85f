"""What an object says of dose, whoever made it: totals, events, and what a reader must know about them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fluoroscope.dicom.beam_path import PlaceRecord

__all__ = ["DoseEventRecord", "DoseObject", "DoseTotals", "DoseWarning", "Filter", "Notes", "check_object", "sum_of"]

LARGEST_MGY = 1e5
FIELD_CM2 = (0.5, 5000.0)
"""Smallest and largest field at the reference point that a machine could have, cm²: KAP over air kerma."""
ROUNDED_MGY = 0.01
"""Below this kerma, vendors' rounding spoils the ratio."""
SUM_TOLERANCE = 0.005
"""Header totals that differ by more than this part from the sum of events are flagged."""


@dataclass(frozen=True, slots=True)
class DoseWarning:
    """Something a reader must know: ``code`` for programs, ``text`` for people."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class DoseTotals:
    """Totals; None where nothing says so: air kerma at the reference point mGy, KAP Gy·cm², s, frames."""

    air_kerma_mgy: float | None = None
    kap_gy_cm2: float | None = None
    fluoroscopy_time_s: float | None = None
    fluoroscopy_air_kerma_mgy: float | None = None
    fluoroscopy_kap_gy_cm2: float | None = None
    acquisition_air_kerma_mgy: float | None = None
    acquisition_kap_gy_cm2: float | None = None
    acquisition_time_s: float | None = None
    frames: float | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """One added filter: "copper", "aluminium" or the words of the object, and its thickness, mm."""

    material: str
    minimum_mm: float | None
    maximum_mm: float | None
    kind: str


@dataclass(frozen=True, slots=True)
class DoseEventRecord:
    """One irradiation event; None where the object is silent.

    Lengths mm, angles deg as the object gives them, ``kvp`` and ``tube_current_ma`` every value listed, durations s,
    ``rate_per_s`` pulses a second, ``reference_point`` in words. ``places`` are where the beam stood during the event,
    where the object says it: this program's own does.
    """

    uid: str
    plane: str
    kind: str
    started: str
    kap_gy_cm2: float | None
    air_kerma_mgy: float | None
    reference_point: str
    kvp: tuple[float, ...]
    tube_current_ma: tuple[float, ...]
    exposure_time_s: float | None
    duration_s: float | None
    pulses: float | None
    rate_per_s: float | None
    filters: tuple[Filter, ...]
    primary_deg: float | None
    secondary_deg: float | None
    primary_end_deg: float | None
    secondary_end_deg: float | None
    source_to_isocenter_mm: float | None
    source_to_detector_mm: float | None
    source_to_reference_mm: float | None
    table_longitudinal_mm: float | None
    table_lateral_mm: float | None
    table_height_mm: tuple[float, ...]
    table_tilt_deg: float | None
    table_rotation_deg: float | None
    table_cradle_deg: float | None
    field_area_cm2: float | None
    field_height_mm: float | None
    field_width_mm: float | None
    target_region: str
    orientation: str
    orientation_modifier: str
    table_relationship: str
    protocol: str
    table_longitudinal_end_mm: float | None = None
    table_lateral_end_mm: float | None = None
    table_height_end_mm: float | None = None
    places: tuple[PlaceRecord, ...] = ()

    @property
    def is_fluoroscopy(self) -> bool:
        """Whether it is fluoroscopy, not an acquisition."""
        return self.kind == "fluoroscopy"


@dataclass(frozen=True, slots=True)
class DoseObject:
    """What a file says of dose.

    Attributes
    ----------
    kind
        "fluoroscopy", "radiography", "mammography", "ct", "nuclear medicine", "legacy report", "xa header",
        "patient dose" or "not a dose object".
    total
        As its header says, both planes of a biplane machine together.
    summed
        Of its events.
    reference_point
        In words, where kerma is stated; "" when it is not said.
    """

    path: Path
    kind: str
    manufacturer: str
    model: str
    sop_instance_uid: str
    study_uid: str
    patient_id: str
    total: DoseTotals
    summed: DoseTotals
    reference_point: str
    scope: str
    events: tuple[DoseEventRecord, ...] = field(repr=False)
    warnings: tuple[DoseWarning, ...]


class Notes:
    """Warnings in the order they come up, each code once."""

    def __init__(self) -> None:
        self.found: dict[str, DoseWarning] = {}

    def add(self, code: str, text: str) -> None:
        """Keep a warning, unless one of this code was kept before."""
        self.found.setdefault(code, DoseWarning(code, text))


def sum_of(events: Sequence[DoseEventRecord]) -> DoseTotals:
    """Add up what the events say; None when none of them does."""

    def over(name: str, chosen: Sequence[DoseEventRecord]) -> float | None:
        values = [value for one in chosen if (value := getattr(one, name)) is not None]
        return math.fsum(values) if values else None

    live = [one for one in events if one.is_fluoroscopy]
    taken = [one for one in events if not one.is_fluoroscopy]
    return DoseTotals(
        over("air_kerma_mgy", events),
        over("kap_gy_cm2", events),
        over("duration_s", live),
        over("air_kerma_mgy", live),
        over("kap_gy_cm2", live),
        over("air_kerma_mgy", taken),
        over("kap_gy_cm2", taken),
        over("duration_s", taken),
        over("pulses", taken),
    )


def check_object(
    events: Sequence[DoseEventRecord],
    total: DoseTotals,
    summed: DoseTotals,
    point: str,
    notes: Notes,
) -> None:
    """Warn of what a reader would otherwise trip over."""
    for name, words, unit in (
        ("air_kerma_mgy", "air kerma", "mGy"),
        ("kap_gy_cm2", "KAP", "Gy·cm²"),
        ("fluoroscopy_time_s", "fluoroscopy time", "s"),
    ):
        said, added = getattr(total, name), getattr(summed, name)
        if said is not None and added is not None and abs(said - added) > SUM_TOLERANCE * max(said, added):
            notes.add(f"sum_{name}", f"header {words} {said:.6g} {unit}, events add up to {added:.6g}: both are shown")
    rounded = [one for one in events if one.air_kerma_mgy == 0.0 and one.kap_gy_cm2]
    if rounded:
        notes.add("kerma_rounded", f"{len(rounded)} of {len(events)} events have air kerma 0 but KAP: rounded away")
    if not events:
        notes.add("no_events", "no irradiation events: totals only")
    if total == DoseTotals():
        notes.add("no_totals", "no accumulated totals: sums of the events only")
    if not point or point.lower() == "unknown":
        notes.add("no_reference_point", "it is not said where the air kerma is stated")
    if events and not any(one.table_longitudinal_mm is not None and one.table_height_mm for one in events):
        notes.add("no_table", "no table position: no skin map, only bounds of the skin dose")
    if events and all(one.primary_deg is None for one in events):
        notes.add("no_angles", "no angles of the C-arm")
    if any(not one.kvp for one in events):
        notes.add("no_kvp", f"{sum(not one.kvp for one in events)} events without tube voltage")
    if any(len(one.kvp) > 1 for one in events):
        notes.add("kvp_list", "tube voltage listed for every pulse: zeros left out, the mean is used")
    absurd = [number for number, one in enumerate(events, start=1) if _implausible(one)]
    if absurd:
        listed = ", ".join(map(str, absurd[:5])) + (" …" if len(absurd) > 5 else "")
        notes.add("implausible", f"events {listed}: dose negative, over 100 Gy, or KAP and kerma that fit no field")
    uids = [one.uid for one in events if one.uid]
    if len(set(uids)) < len(uids):
        notes.add("repeated_event", f"{len(uids) - len(set(uids))} events have the UID of another")
    if len(uids) < len(events):
        notes.add("event_without_uid", f"{len(events) - len(uids)} events have no UID")


def _implausible(event: DoseEventRecord) -> bool:
    """Whether an event's dose cannot be: negative, over 100 Gy, or of a field that is none (KAP over kerma)."""
    kap, kerma = event.kap_gy_cm2, event.air_kerma_mgy
    if (kap is not None and kap < 0.0) or (kerma is not None and not 0.0 <= kerma <= LARGEST_MGY):
        return True
    if not kap or not kerma or kerma < ROUNDED_MGY:
        return False
    low, high = FIELD_CM2
    return not low <= 1e3 * kap / kerma <= high
