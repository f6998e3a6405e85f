"""What an object says of dose, whoever made it: totals, events, and what a reader must know about them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fluoroscope.dicom.beam_path import PlaceRecord

__all__ = [
    "ROUNDED_MGY",
    "DoseEventRecord",
    "DoseObject",
    "DoseTotals",
    "DoseWarning",
    "Filter",
    "Notes",
    "once",
    "sum_of",
]

ROUNDED_MGY = 0.01
"""Below this kerma, vendors' rounding spoils its ratio to KAP."""


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
        "patient dose", "enhanced dose report" or "not a dose object".
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


def once(events: Sequence[DoseEventRecord]) -> list[DoseEventRecord]:
    """Leave out what is the same event again: the same UID, and nothing else that differs."""
    kept: list[DoseEventRecord] = []
    seen: dict[str, list[DoseEventRecord]] = {}
    for one in events:
        if one.uid and one in seen.get(one.uid, ()):
            continue
        if one.uid:
            seen.setdefault(one.uid, []).append(one)
        kept.append(one)
    return kept


def sum_of(events: Sequence[DoseEventRecord]) -> DoseTotals:
    """Add up what the events say; None when none of them does. An event that stands there twice counts once.

    What is neither fluoroscopy nor of another stated kind is in the sums of all, and in neither of the two parts.
    """
    events = once(events)

    def over(name: str, chosen: Sequence[DoseEventRecord]) -> float | None:
        values = [value for one in chosen if (value := getattr(one, name)) is not None]
        return math.fsum(values) if values else None

    live = [one for one in events if one.is_fluoroscopy]
    taken = [one for one in events if not one.is_fluoroscopy and one.kind != "unknown"]
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
