"""What a modelled patient is asked to be, checked by name and range before anything is built."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["PATHOLOGIES", "ParameterError", "Pathology", "PathologyRange", "PatientParameters", "parse_pathology"]

Sex = Literal["female", "male"]
LEVELS = ("T11", "T12", "L1", "L2", "L3", "L4", "L5", "L6")


class ParameterError(ValueError):
    """A parameter that cannot be; the message names it and its range."""


@dataclass(frozen=True, slots=True)
class PathologyRange:
    """What a pathology takes: whether a level is named, and the range of its amount (with its unit in words)."""

    needs_level: bool
    low: float
    high: float
    default: float
    amount: str


PATHOLOGIES: Mapping[str, PathologyRange] = {
    # A higher slip leaves its arch behind (isthmic); a whole vertebra moved so far would run into the one below.
    "listhesis": PathologyRange(True, 1, 2, 1, "Meyerding grade"),
    "disc_degeneration": PathologyRange(True, 0, 1, 0.7, "0 healthy to 1 collapsed; level is that above the disc"),
    "vacuum": PathologyRange(True, 0, 1, 0.6, "share of the disc filled with gas"),
    "osteophytes": PathologyRange(True, 0, 12, 6, "length in mm"),
    "facet_arthrosis": PathologyRange(True, 0, 1, 0.7, "0 none to 1 severe"),
    "stenosis": PathologyRange(True, 0, 1, 0.5, "share of the canal area that is blocked"),
    "fracture": PathologyRange(True, 0, 0.7, 0.35, "share of the anterior height that is lost"),
    "lytic": PathologyRange(True, 3, 20, 9, "radius in mm"),
    "blastic": PathologyRange(True, 3, 20, 9, "radius in mm"),
    "fusion": PathologyRange(True, 1, 4, 1, "number of segments below the level, with screws and rods"),
    "osteoporosis": PathologyRange(False, 0, 1, 0.6, "0 none to 1 severe"),
}


@dataclass(frozen=True, slots=True)
class Pathology:
    """One abnormality: what, where ("" for the whole spine), how much."""

    kind: str
    level: str
    amount: float

    def __post_init__(self) -> None:
        known = PATHOLOGIES.get(self.kind)
        if known is None:
            raise ParameterError(f"pathology {self.kind!r}: no such kind; choose one of {', '.join(PATHOLOGIES)}")
        if known.needs_level and self.level not in LEVELS:
            raise ParameterError(f"pathology {self.kind}: level {self.level!r}; choose one of {', '.join(LEVELS)}")
        if not known.needs_level and self.level:
            raise ParameterError(f"pathology {self.kind}: is of the whole spine and takes no level")
        if not known.low <= self.amount <= known.high:
            span = f"{known.low:g} to {known.high:g} ({known.amount})"
            raise ParameterError(f"pathology {self.kind}: amount {self.amount:g}; choose {span}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientParameters:
    """A modelled patient. None is drawn from the seed out of the population's distribution.

    Attributes
    ----------
    seed
        0 or more; decides everything that is not given.
    sex, age_years
        Age 4 to 95; below 18 a child, grown smaller by height.
    height_cm, weight_kg, bmi
        100 to 215 cm, 14 to 220 kg, 12 to 60 kg/m²; of weight and BMI at most one is given.
    lordosis_deg, pelvic_incidence_deg
        L1 to S1 lying down, 5 to 80; 25 to 90.
    scoliosis_cobb_deg, scoliosis_apex
        −60 to 60, convex to the patient's left when positive; a lumbar level.
    lumbar_vertebrae
        4, 5 or 6.
    pregnancy_weeks
        0 for none, 8 to 40.
    pathologies
        What is abnormal.
    """

    seed: int = 0
    sex: Sex = "female"
    age_years: float = 45.0
    height_cm: float | None = None
    weight_kg: float | None = None
    bmi: float | None = None
    lordosis_deg: float | None = None
    pelvic_incidence_deg: float | None = None
    scoliosis_cobb_deg: float = 0.0
    scoliosis_apex: str = "L2"
    lumbar_vertebrae: int = 5
    pregnancy_weeks: float = 0.0
    pathologies: tuple[Pathology, ...] = ()

    def __post_init__(self) -> None:
        _check("seed", self.seed, 0, 2**63 - 1)
        if self.sex not in ("female", "male"):
            raise ParameterError(f"sex {self.sex!r}: choose female or male")
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if value is not None:
                _check(name, value, low, high)
        if self.weight_kg is not None and self.bmi is not None:
            raise ParameterError("weight_kg and bmi: give one of the two")
        if self.pregnancy_weeks and (self.sex != "female" or not 12 <= self.age_years <= 55):
            raise ParameterError("pregnancy_weeks: needs sex female and age_years 12 to 55")
        if 0.0 < self.pregnancy_weeks < 8.0:
            raise ParameterError(f"pregnancy_weeks {self.pregnancy_weeks:g}: choose 0 or 8 to 40")
        levels = LEVELS[2 : 2 + self.lumbar_vertebrae]
        if self.scoliosis_apex not in levels:
            raise ParameterError(f"scoliosis_apex {self.scoliosis_apex!r}: choose one of {', '.join(levels)}")
        for one in self.pathologies:
            if one.level and one.level not in LEVELS[:2] + levels:
                raise ParameterError(f"pathology {one.kind}: this patient has no {one.level}")


_RANGES = (
    ("age_years", 4, 95),
    ("height_cm", 100, 215),
    ("weight_kg", 14, 220),
    ("bmi", 12, 60),
    ("lordosis_deg", 5, 80),
    ("pelvic_incidence_deg", 25, 90),
    ("scoliosis_cobb_deg", -60, 60),
    ("lumbar_vertebrae", 4, 6),
    ("pregnancy_weeks", 0, 40),
)


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ParameterError(f"{name} {value:g}: choose {low:g} to {high:g}")


def parse_pathology(text: str) -> Pathology:
    """Read "kind[:level][:amount]", such as "listhesis:L4:2", "stenosis:L3" or "osteoporosis:0.8".

    Raises
    ------
    ParameterError
        When a word is unknown or the amount is out of range.
    """
    kind, *rest = text.split(":")
    known = PATHOLOGIES.get(kind)
    if known is None:
        raise ParameterError(f"pathology {kind!r}: no such kind; choose one of {', '.join(PATHOLOGIES)}")
    level = rest.pop(0) if known.needs_level and rest else ""
    if len(rest) > 1:
        raise ParameterError(f"pathology {text!r}: write kind:level:amount")
    try:
        amount = float(rest[0]) if rest else known.default
    except ValueError as error:
        raise ParameterError(f"pathology {text!r}: {rest[0]!r} is no number ({known.amount})") from error
    return Pathology(kind, level, amount)
