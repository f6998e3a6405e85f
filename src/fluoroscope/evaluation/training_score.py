"""The score of an attempt against the truth: what was measured, by which rule it is marked, and whether it succeeded.

Not a medical device: a measure for training in simulation.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from fluoroscope.evaluation.training_attempt import Attempt, Moment

__all__ = ["RULES", "Criterion", "Marking", "Rule", "Score", "needle_passes", "score_attempt"]

BONE_GOAL_MM = 5.0
"""A bone touched so near the target zone is felt for, where feeling for bone is the technique."""
ECONOMY = ("time", "shots", "fluoroscopy_time", "kap", "air_kerma", "collimation")
"""To be quick and sparing earns marks only where the target was reached."""
IN_TISSUE_MM = 2.0
"""A needle has been put in when it is deeper."""
BACK_MM = 5.0
"""A needle pulled back by so much and pushed on is a new pass."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How a measured value becomes a mark from 0 to 1: linear between two values.

    Attributes
    ----------
    what
        Is measured, in words.
    unit
        Of the value.
    full, none
        Value with mark 1, and from which on it is 0.
    weight
        Share in the total; 0 leaves it out.
    """

    what: str
    unit: str
    full: float
    none: float
    weight: float

    def __post_init__(self) -> None:
        numbers = (self.full, self.none, self.weight)
        if not all(np.isfinite(numbers)) or self.none <= self.full or self.weight < 0.0:
            raise ValueError(f"{self.what}: none must lie above full, and the weight must be 0 or more")

    def mark(self, value: float) -> float:
        """Return the mark of a value."""
        return float(np.clip((self.none - value) / (self.none - self.full), 0.0, 1.0))

    @property
    def text(self) -> str:
        """The rule in words."""
        unit = "" if self.unit == "1" else f" {self.unit}"
        return f"full up to {self.full:g}{unit}, none from {self.none:g}{unit}"


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        # Traffic light of live guidance: green to 2 mm, red from 4 (reference/guidance.md §5.4); red is no mark here at
        # twice that, for a hand without guidance.
        "target_error": Rule("distance of the tip from the target zone", "mm", 0.0, 8.0, 4.0),
        # Expert freehand: 9.9° (Gao 2022, PMC10544812).
        "angle": Rule("angle to the expert's needle", "deg", 5.0, 20.0, 1.5),
        "place": Rule("wrong level or side", "1", 0.0, 1.0, 3.0),
        # At most four attempts (Engelborghs 2017, from reference/guidance.md §5.1).
        "passes": Rule("needle passes", "1", 1.0, 5.0, 2.0),
        "redirections": Rule("redirections under the skin", "1", 1.0, 6.0, 1.0),
        "bone_contacts": Rule("contacts with bone that was not the goal", "1", 0.0, 5.0, 1.5),
        "wrong_structures": Rule("wrong structures touched", "1", 0.0, 2.0, 3.0),
        "contrast": Rule("contrast pattern or return that is not the expected one", "1", 0.0, 1.0, 2.0),
        "time": Rule("time", "s", 300.0, 900.0, 1.0),
        "shots": Rule("presses of the pedal", "1", 10.0, 40.0, 0.5),
        # Fluoroscopy-guided lumbar puncture takes about a minute (PMC8594753).
        "fluoroscopy_time": Rule("fluoroscopy time", "s", 30.0, 120.0, 1.0),
        "kap": Rule("kerma-area product", "Gy·cm²", 0.5, 3.0, 1.0),
        "air_kerma": Rule("air kerma at the reference point", "mGy", 4.0, 25.0, 0.5),
        "collimation": Rule("irradiated part of the largest field", "1", 0.3, 1.0, 1.0),
    }
)  # fmt: skip
"""By name. Where no source is named, the two values are ours: teaching values, to be set per scenario."""


@dataclass(frozen=True, slots=True)
class Marking:
    """How attempts are marked.

    Attributes
    ----------
    rules
        By criterion, as `RULES`.
    pass_mark
        Of the total, 0 to 100.
    max_passes
        An attempt with more does not succeed.
    max_seconds, max_kap_gy_cm2, max_air_kerma_mgy
        Limits of the scenario; None for none. An attempt over one does not pass.
    """

    rules: Mapping[str, Rule] = field(default_factory=lambda: RULES)
    pass_mark: float = 70.0
    max_passes: int = 4
    max_seconds: float | None = None
    max_kap_gy_cm2: float | None = None
    max_air_kerma_mgy: float | None = None

    def __post_init__(self) -> None:
        unknown = set(self.rules) - set(RULES)
        if unknown or set(self.rules) != set(RULES):
            raise ValueError(f"marking: the criteria are {', '.join(RULES)}")
        if not 0.0 <= self.pass_mark <= 100.0 or self.max_passes < 1:
            raise ValueError("marking: the pass mark is 0 to 100, and at least one pass is allowed")

    def changed(self, changes: Mapping[str, Mapping[str, float]]) -> "Marking":
        """Return it with full, none or weight of some criteria changed; raises ValueError for what is no criterion."""
        rules = dict(self.rules)
        for name, values in changes.items():
            if name not in rules:
                raise ValueError(f"marks: no criterion {name!r}; there are {', '.join(rules)}")
            old = rules[name]
            rules[name] = Rule(
                old.what, old.unit, values.get("full", old.full), values.get("none", old.none),
                values.get("weight", old.weight),
            )  # fmt: skip
        return replace(self, rules=MappingProxyType(rules))


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing that was measured: its value (None: it does not apply), the rule in words, mark and weight."""

    name: str
    what: str
    value: float | None
    unit: str
    rule: str
    mark: float | None
    weight: float


@dataclass(frozen=True, slots=True)
class Score:
    """What an attempt is worth.

    Attributes
    ----------
    criteria
        In a fixed order.
    total
        Weighted mean of the marks that apply, 0 to 100.
    success
        Tip in the target zone, the expected pattern or return, and no more passes than allowed.
    passed
        Success, no limit exceeded, and the total at least the pass mark.
    reasons
        Why it did not succeed or pass, one sentence each.
    facts
        JSON-ready: where the tip was, passes, what was touched.
    """

    criteria: tuple[Criterion, ...]
    total: float
    success: bool
    passed: bool
    reasons: tuple[str, ...]
    facts: Mapping[str, Any]

    def value(self, name: str) -> float | None:
        """Return the measured value of a criterion; raises KeyError for none of this name."""
        return {one.name: one.value for one in self.criteria}[name]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "total": self.total,
            "success": self.success,
            "passed": self.passed,
            "reasons": list(self.reasons),
            "criteria": [asdict(one) for one in self.criteria],
            "facts": dict(self.facts),
        }


def needle_passes(moments: tuple[Moment, ...]) -> tuple[int, int]:
    """Return (passes through the skin, redirections under it).

    A pass begins when a needle goes deeper than 2 mm from the skin. A redirection is a needle that was pulled back by
    5 mm or more, stayed in the skin, and was pushed on. Passes and redirections together are the forward advances that
    reports of punctures count.
    """
    punctures = redirections = 0
    insertion, in_skin, back_mm, deepest_mm = 0, False, 0.0, 0.0
    for one in moments:
        if one.insertion != insertion:
            insertion, in_skin, back_mm, deepest_mm = one.insertion, False, 0.0, 0.0
        if one.depth_mm <= IN_TISSUE_MM:
            in_skin, back_mm, deepest_mm = False, 0.0, 0.0
        elif not in_skin:
            in_skin, deepest_mm = True, one.depth_mm
            punctures += 1
        elif one.depth_mm > deepest_mm and back_mm < BACK_MM:
            deepest_mm, back_mm = one.depth_mm, 0.0
        elif one.act == "pulled":
            back_mm = max(back_mm, deepest_mm - one.depth_mm)
        elif one.act == "pushed" and back_mm >= BACK_MM:
            redirections += 1
            deepest_mm, back_mm = one.depth_mm, 0.0
    return punctures, redirections


def score_attempt(attempt: Attempt, marking: Marking | None = None) -> Score:
    """Return what an attempt is worth; the same attempt and marking give the same score."""
    known = Marking() if marking is None else marking
    values, facts = _measured(attempt)
    failures = _failures(attempt, facts, known)
    criteria = []
    for name, rule in known.rules.items():
        value = values[name]
        mark = None if value is None else rule.mark(value)
        if mark is not None and failures and name in ECONOMY:
            mark = 0.0
        criteria.append(Criterion(name, rule.what, value, rule.unit, rule.text, mark, rule.weight))
    applied = [(one.mark, one.weight) for one in criteria if one.mark is not None and one.weight > 0.0]
    whole = sum(weight for _, weight in applied)
    total = 100.0 * sum(mark * weight for mark, weight in applied) / whole if whole else 0.0
    exceeded = _exceeded(values, known)
    low = (
        [] if total >= known.pass_mark else [f"the total of {total:.0f} is below the pass mark of {known.pass_mark:g}"]
    )
    success = not failures
    return Score(
        tuple(criteria), total, success, success and not exceeded and not low, (*failures, *exceeded, *low), facts
    )


def _measured(attempt: Attempt) -> tuple[dict[str, float | None], dict[str, Any]]:
    target, end = attempt.target, attempt.judged
    punctures, redirections = needle_passes(attempt.moments)
    goal = [one for one in attempt.touches if one.what == "bone contact" and _of_goal(attempt, one.tip_mm)]
    bone = [one for one in attempt.touches if one.what == "bone contact" and one not in goal]
    wrong = [one for one in attempt.touches if one.what in target.unwanted and one.structure not in target.spared]
    kerma = sum(one.air_kerma_mgy for one in attempt.shots)
    distance = None if end is None else max(0.0, target.zone.distance_mm(end.tip_mm) - target.zone.tolerance_mm)
    place = "" if end is None else target.nearest_place(end.tip_mm)
    asked = bool(target.patterns or target.returns)
    right = _pattern_right(attempt)
    values: dict[str, float | None] = {
        "target_error": distance,
        "angle": None if end is None else _angle_deg(end.direction, target.direction),
        "place": None if end is None else float(place != target.place),
        "passes": float(punctures),
        "redirections": float(redirections),
        "bone_contacts": float(len(bone)),
        "wrong_structures": float(len(wrong)),
        "contrast": (0.0 if right else 1.0) if asked else None,
        "time": attempt.seconds,
        "shots": float(len(attempt.shots)),
        "fluoroscopy_time": sum(one.seconds for one in attempt.shots),
        "kap": sum(one.kap_gy_cm2 for one in attempt.shots),
        "air_kerma": kerma,
        "collimation": (
            sum(one.field_share * one.air_kerma_mgy for one in attempt.shots) / kerma if kerma > 0.0 else None
        ),
    }
    if end is None:
        # Nothing was done: what was not risked earns nothing.
        values |= {"target_error": np.inf, "angle": 180.0, "place": 1.0, "passes": np.inf, "contrast": 1.0}
        values |= dict.fromkeys(("redirections", "bone_contacts", "wrong_structures", "time"), None)
        values |= dict.fromkeys(("shots", "fluoroscopy_time", "kap", "air_kerma", "collimation"), None)
    facts = {
        "place": place,
        "wanted_place": target.place,
        "in_zone": end is not None and distance == 0.0 and _in_tissue(attempt, end),
        "tip_mm": None if end is None else list(end.tip_mm),
        "aim_error_mm": None if end is None else float(np.linalg.norm(np.subtract(end.tip_mm, target.aim_mm))),
        "tissue": "" if end is None else end.tissue,
        "returns": "" if end is None else end.returns,
        "passes": punctures,
        "redirections": redirections,
        "bone_contacts": [{"at_s": one.at_s, "structure": one.structure} for one in bone],
        "wrong_structures": [{"at_s": one.at_s, "what": one.what, "structure": one.structure} for one in wrong],
        "contrast": [asdict(one) for one in attempt.flows],
        "complete": attempt.complete,
    }
    return _finite(values), facts


def _finite(values: dict[str, float | None]) -> dict[str, float | None]:
    """Return values JSON can hold: what is without bound is far over every rule."""
    return {name: 1e6 if value is not None and not np.isfinite(value) else value for name, value in values.items()}


def _of_goal(attempt: Attempt, tip_mm: tuple[float, float, float]) -> bool:
    return attempt.target.bone_is_goal and attempt.target.zone.distance_mm(tip_mm) <= BONE_GOAL_MM


def _in_tissue(attempt: Attempt, end: Moment) -> bool:
    tissues = attempt.target.zone.tissues
    return not tissues or end.tissue in tissues or end.opening_tissue in tissues


def _angle_deg(one: tuple[float, float, float], other: Any) -> float:
    a, b = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b)))


def _pattern_right(attempt: Attempt) -> bool:
    target, seen = attempt.target, {one.pattern for one in attempt.flows if one.volume_ml > 0.0}
    if seen & set(target.unwanted_patterns):
        return False
    if target.patterns and not seen & set(target.patterns):
        return False
    # The drop at the hub is asked for at any time: the stylet goes back before the needle comes out.
    return not target.returns or any(target.returns in one.returns for one in attempt.moments)


def _failures(attempt: Attempt, facts: Mapping[str, Any], marking: Marking) -> list[str]:
    target, end = attempt.target, attempt.judged
    if end is None:
        return ["no needle was put in"]
    said = []
    if facts["place"] != target.place:
        said.append(f"wrong place: {facts['place']} in place of {target.place}")
    if not facts["in_zone"]:
        away = max(0.0, target.zone.distance_mm(end.tip_mm) - target.zone.tolerance_mm)
        where = f"{away:.1f} mm outside the target zone" if away > 0.0 else "within the target zone"
        said.append(f"the tip is {where}, in {end.structure.replace('_', ' ') or end.tissue or 'an unknown tissue'}")
    said += _wrong_patterns(attempt)
    if facts["passes"] > marking.max_passes:
        said.append(f"{facts['passes']} passes, more than the {marking.max_passes} allowed")
    return said


def _wrong_patterns(attempt: Attempt) -> list[str]:
    target, seen = attempt.target, {one.pattern for one in attempt.flows if one.volume_ml > 0.0}
    said = [f"contrast medium went {pattern}" for pattern in sorted(seen & set(target.unwanted_patterns))]
    if target.patterns and not seen & set(target.patterns):
        wanted = " or ".join(target.patterns)
        said.append(f"contrast medium does not show the expected pattern ({wanted})" if seen else
                    f"no contrast medium was injected: the expected pattern ({wanted}) was not shown")  # fmt: skip
    if target.returns and not any(target.returns in one.returns for one in attempt.moments):
        said.append(f"no {target.returns} dripped from the hub")
    return said


def _exceeded(values: Mapping[str, float | None], marking: Marking) -> list[str]:
    said = []
    for name, limit, what, unit in (
        ("time", marking.max_seconds, "time", "s"),
        ("kap", marking.max_kap_gy_cm2, "kerma-area product", "Gy·cm²"),
        ("air_kerma", marking.max_air_kerma_mgy, "air kerma", "mGy"),
    ):
        value = values[name]
        if limit is not None and value is not None and value > limit:
            said.append(f"{what} of {value:.3g} {unit} is over the limit of {limit:g} {unit}")
    return said
