"""Typical doses and reference levels of spine procedures: what the pace of a case is shown against.

The typical value is the median where a source gives one, else its mean, which is said. The reference level is the
75th percentile or a national diagnostic reference level (ICRP 135). Air kerma of different machines cannot be
compared, since reference points differ; KAP can. A value nobody published is None, never a guess.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from fluoroscope.dose.budget import DoseQuantity, three_digits

__all__ = [
    "FEWEST_CASES",
    "OWN_CASES_RANGE",
    "PACE_QUANTITIES",
    "PUBLISHED_TYPICAL",
    "Level",
    "Pace",
    "PaceRow",
    "TypicalDose",
    "pace",
    "typical_of_cases",
]

PACE_QUANTITIES = (DoseQuantity.AIR_KERMA, DoseQuantity.KAP, DoseQuantity.FLUOROSCOPY_TIME)
FEWEST_CASES = 20
"""Fewest cases of a room whose median is used: ICRP 135 asks for 20 patients or more, 30 in fluoroscopy."""
OWN_CASES_RANGE = (5, 1000)
"""What a site may set instead: quartiles of fewer cases say nothing."""


@dataclass(frozen=True, slots=True)
class Level:
    """One quantity of a procedure, in its unit; None where not known.

    Attributes
    ----------
    typical
        Median or mean.
    reference_level
        75th percentile or DRL.
    source
        Who published it, of how many, mean or median; with [K] where only known at second hand.
    quartiles
        25th and 75th percentile of a room's own cases.
    """

    typical: float | None
    reference_level: float | None
    source: str
    quartiles: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for value in (self.typical, self.reference_level):
            if value is not None and not (math.isfinite(value) and value > 0.0):
                raise ValueError(f"a typical dose is above 0 or not known, not {value}")
        if self.typical is None and self.reference_level is None:
            raise ValueError("a level needs a typical value or a reference level")
        if not self.source.strip():
            raise ValueError("a level needs its source")

    def over(self, other: "Level | None") -> "Level":
        """Return it with the reference level of the ``other`` where it has none of its own."""
        if other is None or self.reference_level is not None or other.reference_level is None:
            return self
        source = f"{self.source}; reference level: {other.source}"
        return Level(self.typical, other.reference_level, source, self.quartiles)


@dataclass(frozen=True, slots=True)
class TypicalDose:
    """What a procedure typically gives.

    Attributes
    ----------
    procedure
        Name in the catalogue.
    levels
        By quantity; those not known are absent.
    note
        What else a reader should know, such as ranges; "" for nothing.
    """

    procedure: str
    levels: Mapping[DoseQuantity, Level]
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", MappingProxyType(dict(self.levels)))

    @property
    def source(self) -> str:
        """All sources and the note, in one line."""
        told = dict.fromkeys(level.source for level in self.levels.values())
        return "; ".join([*told, *([self.note] if self.note else [])])

    def over(self, published: "TypicalDose | None") -> "TypicalDose":
        """Return it, filled up where it is silent with what was ``published``."""
        if published is None:
            return self
        levels = {name: level.over(published.levels.get(name)) for name, level in self.levels.items()}
        return TypicalDose(self.procedure, {**published.levels, **levels}, self.note or published.note)


_KERMA, _KAP, _TIME = PACE_QUANTITIES
_KIM = "Kim 2009, AJR 192:1726, mean, mobile unit"
_DZABIJEVA = "Dzabijeva 2022, RAPM 47 S1:A303, mean of the second of three levels"
_MANCHIKANTI = "Manchikanti 2003, mean of skilled operators"
_KOPPARAPU = "Kopparapu, meta-analysis, mean"
_MILLER = "Miller 2009, Radiology 253:753 (RAD-IR) [K]"

_PUBLISHED = (
    TypicalDose("lumbar_epidural", {_KAP: Level(2.80, None, _KIM), _TIME: Level(40.7, None, _KIM)}),
    TypicalDose("interlaminar_epidural", {_KAP: Level(2.57, None, _DZABIJEVA), _TIME: Level(20.7, None, _DZABIJEVA)}),
    TypicalDose(
        "transforaminal_epidural",
        {},
        "published: 11 to 161 s at L5, 14 to 113 s at L2 to L4 (ASSR 2012), no median; effective dose, median "
        "0.55 mSv (PMC10110633)",
    ),
    TypicalDose("caudal_epidural", {_TIME: Level(3.7, None, _MANCHIKANTI)}),
    TypicalDose(
        "facet_injection",
        {_KAP: Level(None, 6.0, "UK survey 2010, HPA-CRCE-034 [K]")},
        "published: 7.5 to 12 s a procedure (Manchikanti 2003)",
    ),
    TypicalDose("discography", {_TIME: Level(61.0, None, _MANCHIKANTI)}),
    TypicalDose(
        "lumbar_puncture",
        {},
        "published: entrance dose 3.8 mGy at 3 pulses a second, 22.5 continuous (Sabat 2018), not at the reference "
        "point",
    ),
    TypicalDose(
        "vertebroplasty",
        {
            _KERMA: Level(None, 2000.0, _MILLER),
            _KAP: Level(None, 120.0, _MILLER),
            _TIME: Level(294.0, 1260.0, f"{_KOPPARAPU}; {_MILLER}"),
        },
    ),
    TypicalDose("kyphoplasty", {_TIME: Level(366.0, None, f"{_KOPPARAPU}, per level")}),
)

PUBLISHED_TYPICAL: Mapping[str, TypicalDose] = MappingProxyType({one.procedure: one for one in _PUBLISHED})
"""By procedure; one that is absent has nothing published that could be used."""


def typical_of_cases(
    procedure: str, cases: Mapping[DoseQuantity, Sequence[float]], place: str = "here", fewest: int = FEWEST_CASES
) -> TypicalDose:
    """Return the medians and quartiles of a room's own cases (ICRP 135, linear between ranks).

    They are no reference level: that is of many rooms. A quantity with fewer than ``fewest`` known values, or of which
    at least half are 0, is left out.

    Raises
    ------
    ValueError
        A value is negative or not finite.
    """
    levels, halves = {}, []
    for quantity, values in cases.items():
        if not all(math.isfinite(value) and value >= 0.0 for value in values):
            raise ValueError(f"{procedure}: {quantity.words} of a case must be 0 or more")
        if len(values) < fewest:
            continue
        low, middle, high = (_quantile(sorted(values), part) for part in (0.25, 0.5, 0.75))
        if middle > 0.0:
            levels[quantity] = Level(middle, None, f"median of {len(values)} exams {place}", (low, high))
            halves.append(f"{three_digits(low)} to {three_digits(high)} {quantity.unit}")
    return TypicalDose(procedure, levels, f"half of them: {', '.join(halves)}" if halves else "")


def _quantile(ordered: Sequence[float], part: float) -> float:
    place = part * (len(ordered) - 1)
    low = min(int(place), len(ordered) - 2) if len(ordered) > 1 else 0
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


@dataclass(frozen=True, slots=True)
class PaceRow:
    """One quantity of the case beside what is typical, in its unit; None where not known."""

    quantity: DoseQuantity
    value: float | None
    typical: float | None
    reference_level: float | None
    quartiles: tuple[float, float] | None = None

    @property
    def fraction_of_typical(self) -> float | None:
        """Value per typical value."""
        return None if self.value is None or self.typical is None else self.value / self.typical


@dataclass(frozen=True, slots=True)
class Pace:
    """A case against its like."""

    rows: tuple[PaceRow, ...]
    source: str


def pace(values: Mapping[DoseQuantity, float | None], typical: TypicalDose | None) -> Pace:
    """Return how the present values of a case stand against what is typical of its procedure."""
    rows = []
    for quantity in PACE_QUANTITIES:
        level = None if typical is None else typical.levels.get(quantity)
        rows.append(
            PaceRow(
                quantity,
                values.get(quantity),
                None if level is None else level.typical,
                None if level is None else level.reference_level,
                None if level is None else level.quartiles,
            )
        )
    return Pace(tuple(rows), "nothing is published" if typical is None else typical.source or "nothing is published")
