"""What goes into the registry: one object of dose, and whose it is."""

import math
import re
from dataclasses import dataclass, field
from datetime import date, datetime

__all__ = ["DOSE_KINDS", "UNKEPT", "Person", "Report", "ReportEvent", "Totals"]

DOSE_KINDS = frozenset(
    {
        "fluoroscopy",
        "radiography",
        "mammography",
        "ct",
        "nuclear medicine",
        "legacy report",
        "xa header",
        "patient dose",
    }
)
"""Kinds of objects that are kept (see `DoseObject.kind`)."""

UNKEPT = re.compile("[\x00-\x1f\ud800-\udfff]")
"""What a database cannot hold or a table cannot show: control characters and lone surrogates."""

_LONGEST_UID, _LONGEST_TEXT = 128, 1024


@dataclass(frozen=True, slots=True)
class Person:
    """Whose exam it is; ``patient_id`` "" where the object names nobody."""

    patient_id: str
    issuer: str = ""
    name: str = ""
    birth_date: date | None = None
    sex: str = ""

    def __post_init__(self) -> None:
        _check_texts(self, ("patient_id", "issuer", "name", "sex"), _LONGEST_TEXT)


@dataclass(frozen=True, slots=True)
class Totals:
    """Air kerma at the reference point mGy, KAP Gy·cm², times s; None where nothing says so."""

    air_kerma_mgy: float | None = None
    kap_gy_cm2: float | None = None
    fluoroscopy_time_s: float | None = None
    acquisition_time_s: float | None = None

    def __post_init__(self) -> None:
        _check_numbers(self, ("air_kerma_mgy", "kap_gy_cm2", "fluoroscopy_time_s", "acquisition_time_s"))


@dataclass(frozen=True, slots=True)
class ReportEvent:
    """One irradiation event; None and "" where the object is silent."""

    number: int
    uid: str = ""
    plane: str = ""
    kind: str = "unknown"
    started: str = ""
    air_kerma_mgy: float | None = None
    kap_gy_cm2: float | None = None
    duration_s: float | None = None
    pulses: float | None = None
    rate_per_s: float | None = None
    tube_voltage_kv: float | None = None
    tube_current_ma: float | None = None
    copper_mm: float | None = None
    primary_deg: float | None = None
    secondary_deg: float | None = None
    source_to_detector_mm: float | None = None
    field_area_cm2: float | None = None
    region: str = ""

    def __post_init__(self) -> None:
        _check_texts(self, ("uid",), _LONGEST_UID)
        _check_texts(self, ("plane", "kind", "started", "region"), _LONGEST_TEXT)
        _check_numbers(self, _EVENT_NUMBERS)


_EVENT_NUMBERS = tuple(name for name, kind in ReportEvent.__annotations__.items() if kind == (float | None))


@dataclass(frozen=True, slots=True)
class Report:
    """One object of dose.

    Attributes
    ----------
    sop_uid
        SOP Instance UID; an object without one is known by its content, ``"sha256:…"``.
    kind
        One of `DOSE_KINDS`.
    started
        Of the study, as the machine wrote it.
    complete
        False for a report that says it is partial.
    scope, scope_uid
        What its totals are over, in words ("Study", "Procedure Step To This Point"), and the UID of that.
    header, summed
        Totals as it states them, and as its events add up.
    replaces
        SOP UIDs of the objects whose place it takes.
    simulated
        Whether no real X-ray was made.
    """

    sop_uid: str
    kind: str
    person: Person
    study_uid: str
    started: datetime | None = None
    procedure: str = ""
    manufacturer: str = ""
    model: str = ""
    serial_number: str = ""
    written: datetime | None = None
    complete: bool = True
    scope: str = ""
    scope_uid: str = ""
    reference_point: str = ""
    header: Totals = field(default_factory=Totals)
    summed: Totals = field(default_factory=Totals)
    events: tuple[ReportEvent, ...] = field(default=(), repr=False)
    replaces: tuple[str, ...] = ()
    warnings: tuple[tuple[str, str], ...] = ()
    source: str = "imported object"
    simulated: bool = False
    path: str = ""

    def __post_init__(self) -> None:
        if self.kind not in DOSE_KINDS:
            raise ValueError(f"{self.path}: {self.kind} is not kept in the registry; import dose objects")
        if not self.sop_uid or not self.study_uid:
            raise ValueError(f"{self.path}: an object needs a SOP Instance UID and a study UID to be kept")
        for moment in (self.started, self.written):
            if moment is not None and moment.tzinfo is not None:
                raise ValueError("times of an exam are kept as its machine wrote them: give them without a zone")
        _check_texts(self, ("sop_uid", "study_uid", "scope_uid"), _LONGEST_UID)
        _check_texts(self, ("procedure", "manufacturer", "model", "serial_number", "scope", "reference_point"))


def _check_texts(one: object, names: tuple[str, ...], longest: int = _LONGEST_TEXT) -> None:
    """Refuse `UNKEPT` and more than ``longest``."""
    for name in names:
        text = getattr(one, name)
        if len(text) > longest or UNKEPT.search(text):
            raise ValueError(f"{name} {text[:40]!r} is longer than {longest} or holds control characters")


def _check_numbers(one: object, names: tuple[str, ...]) -> None:
    for name in names:
        value = getattr(one, name)
        if value is not None and not math.isfinite(value):
            raise ValueError(f"{name} is {value}: not a number that can be kept")
