"""Pregnancy screening: who must be asked before the first exposure, and what the answer allows.

The rule is the site's (age range usually 12 to 50, ACR-SPR practice parameter on imaging of pregnant or
potentially pregnant patients). An answer belongs to one exam. A rule that nobody can overrule would cost lives
in an emergency, so whoever takes the responsibility says name and reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

__all__ = [
    "Answer",
    "AskUnknown",
    "Override",
    "PatientFacts",
    "Screening",
    "ScreeningRule",
    "patient_facts",
    "reasonable",
]

QUESTION = "Could the patient be pregnant?"
SHORTEST_REASON = 3


class Answer(StrEnum):
    """To the question whether the patient could be pregnant."""

    NO = "no"
    POSSIBLE = "possible"
    YES = "yes"


class AskUnknown(StrEnum):
    """Whether to ask where sex or age is not known.

    ALWAYS; MEASURED: where X-ray is real, not of a simulated patient whose record is silent; NEVER.
    """

    ALWAYS = "always"
    MEASURED = "measured"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class ScreeningRule:
    """Whom the site asks.

    Attributes
    ----------
    ask
        False switches screening off.
    from_years, to_years
        Ages at which women are asked, both included: a woman is 50 until her 51st birthday.
    unknown
        What to do where sex or age is not known.
    source
        Who says so.
    """

    ask: bool = True
    from_years: float = 12.0
    to_years: float = 50.0
    unknown: AskUnknown = AskUnknown.MEASURED
    source: str = "usual age range 12 to 50; ACR-SPR practice parameter, to be checked by the site"

    def __post_init__(self) -> None:
        if not 0.0 <= self.from_years <= self.to_years <= 120.0:
            raise ValueError(f"ages must ascend within 0 to 120 years, got {self.from_years} to {self.to_years}")

    def covers(self, age_years: float) -> bool:
        """Whether a woman of this age is asked."""
        return self.from_years <= age_years < self.to_years + 1.0


@dataclass(frozen=True, slots=True)
class PatientFacts:
    """What the record says of the patient; None where it is silent.

    Attributes
    ----------
    sex
        "female", "male" or "other".
    age_years
        In years.
    pregnancy_weeks
        Of a pregnancy the record tells of.
    simulated
        True when no real person gets X-ray.
    pregnancy_excluded
        How, where the record says that pregnancy was excluded for this exam; "" where it does not.
    """

    sex: str | None = None
    age_years: float | None = None
    pregnancy_weeks: float | None = None
    simulated: bool = False
    pregnancy_excluded: str = ""


_SEXES = {"f": "female", "female": "female", "m": "male", "male": "male", "o": "other", "other": "other"}


def patient_facts(status: Mapping[str, Any], simulated: bool) -> PatientFacts:
    """Return the facts in the patient part of the room's status.

    ``sex`` and ``age_years`` where they stand alone, else the first of ``facts``, such as "female, 38 y".
    """
    sex, age = status.get("sex"), status.get("age_years")
    for fact in list(status.get("facts") or [])[:1]:
        words = [word.strip() for word in str(fact).split(",")]
        if sex is None and words[0].lower() in _SEXES:
            sex = words[0]
        if age is None and len(words) > 1 and words[1].removesuffix(" y").replace(".", "", 1).isdigit():
            age = float(words[1].removesuffix(" y"))
    known_age = float(age) if isinstance(age, int | float) and not isinstance(age, bool) and 0 <= age <= 130 else None
    weeks = status.get("pregnancy_weeks")
    return PatientFacts(
        _SEXES.get(str(sex).strip().lower()) if sex is not None else None,
        known_age,
        float(weeks) if isinstance(weeks, int | float) and weeks > 0 else None,
        simulated,
        str(status.get("pregnancy_excluded") or ""),
    )


def reasonable(by: str, reason: str) -> tuple[str, str]:
    """Return a name and a reason without stray blanks.

    Raises
    ------
    ValueError
        One of them says nothing.
    """
    person, why = " ".join(by.split()), " ".join(reason.split())
    if not person:
        raise ValueError("say who takes the responsibility: by")
    if len(why) < SHORTEST_REASON:
        raise ValueError("say why: reason")
    return person, why


@dataclass(frozen=True, slots=True)
class Override:
    """Who went on in spite of it, and why."""

    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Screening:
    """The screening of one exam; changed by making another.

    Attributes
    ----------
    rule, facts
        What was judged by.
    answer, by
        What was answered, and who asked; None and "" until then.
    override
        Who went on without an answer or in spite of it; None while nobody did.
    """

    rule: ScreeningRule
    facts: PatientFacts
    answer: Answer | None = None
    by: str = ""
    override: Override | None = None

    @property
    def needed(self) -> bool:
        """Whether the site's rule asks."""
        return self._judged()[0]

    @property
    def why(self) -> str:
        """Why it asks or does not, or what now forbids X-ray, in a sentence."""
        if self.needed and self.answer in (Answer.YES, Answer.POSSIBLE) and self.override is None:
            return f"answered {self.answer.value}: X-ray needs a documented reason"
        return self._judged()[1]

    @property
    def blocks(self) -> bool:
        """Whether X-ray is forbidden now."""
        if self.override is not None:
            return False
        if self.answer in (Answer.YES, Answer.POSSIBLE):
            return self.rule.ask
        return self.needed and self.answer is None

    def answered(self, answer: str, by: str) -> "Screening":
        """Return it with an answer; one that says more than the last takes a given override back.

        Raises
        ------
        ValueError
            No such answer, or nobody is named.
        """
        person = " ".join(by.split())
        if answer not in set(Answer):
            raise ValueError(f"the answer is one of {', '.join(Answer)}, not {answer!r}")
        if not person:
            raise ValueError("an answer is taken by name: say who asked")
        given = Answer(answer)
        # Whoever took responsibility for less knew less.
        worse = list(Answer).index(given) > (-1 if self.answer is None else list(Answer).index(self.answer))
        kept = None if worse and given is not Answer.NO else self.override
        return replace(self, answer=given, by=person, override=kept)

    def overridden(self, by: str, reason: str) -> "Screening":
        """Return it with somebody's responsibility for going on.

        Raises
        ------
        ValueError
            Nobody or no reason is named, or nothing forbids X-ray.
        """
        person, why = reasonable(by, reason)
        if not self.blocks:
            raise ValueError("the screening does not forbid X-ray: there is nothing to override")
        return replace(self, override=Override(person, why))

    def status(self) -> dict[str, Any]:
        """Return it for the page, JSON-ready."""
        override = self.override
        return {
            "needed": self.needed,
            "question": QUESTION,
            "answer": None if self.answer is None else self.answer.value,
            "by": self.by or None,
            "blocks": self.blocks,
            "override": None if override is None else {"by": override.by, "reason": override.reason},
            "why": self.why,
        }

    def _judged(self) -> tuple[bool, str]:
        rule, facts = self.rule, self.facts
        if not rule.ask:
            return False, "the site's rules do not ask"
        if facts.pregnancy_weeks is not None:
            return True, f"the record says pregnant, week {facts.pregnancy_weeks:g}"
        if facts.pregnancy_excluded:
            return False, f"the record says pregnancy excluded: {facts.pregnancy_excluded}"
        if facts.sex == "male":
            return False, "the record says male"
        ages = f"{rule.from_years:g} to {rule.to_years:g} years"
        if facts.age_years is not None and not rule.covers(facts.age_years):
            return False, f"{facts.age_years:.0f} years: asked from {ages}"
        missing = [word for word, known in (("sex", facts.sex), ("age", facts.age_years)) if known is None]
        if not missing:
            return True, f"{facts.sex}, {facts.age_years:.0f} years: asked from {ages}"
        silent = f"{' and '.join(missing)} not known"
        if rule.unknown is AskUnknown.ALWAYS or (rule.unknown is AskUnknown.MEASURED and not facts.simulated):
            return True, f"{silent}: the rule asks then"
        return False, f"{silent}{' of a simulated patient' if facts.simulated else ''}: not asked by the rule"
