"""Nominal cancer risk of an effective dose: for comparing procedures, not for one person."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["RISK_NOTE", "NominalRisk", "RiskCoefficients", "RiskCoefficientsError", "beir_risk", "icrp_risk"]

RISK_NOTE = "for comparing, not for one person"
ADULT_YEARS = 18.0

_BEIR_AGES = (0.0, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0)
_BEIR_PER_100_000 = {
    "M": (2563.0, 1816.0, 1445.0, 1182.0, 977.0, 686.0, 648.0, 591.0, 489.0, 343.0, 174.0),
    "F": (4777.0, 3377.0, 2611.0, 2064.0, 1646.0, 1065.0, 886.0, 740.0, 586.0, 409.0, 214.0),
}
"""Lifetime attributable incidence of all cancers after 0.1 Gy to the whole body, BEIR VII table 12D-1 [K]."""


@dataclass(frozen=True, slots=True)
class NominalRisk:
    """Cases per million people who all had this dose, and the model that says so."""

    per_million: float
    model: str

    @property
    def text(self) -> str:
        """In words, with the note that always goes with it."""
        if self.per_million <= 0.0:
            return f"no dose; {RISK_NOTE}"
        one_in = 1e6 / self.per_million
        digits = 10.0 ** (np.floor(np.log10(one_in)) - 1.0)
        return f"nominally 1 in {_spaced(round(one_in / digits) * digits)} ({self.model}); {RISK_NOTE}"


class RiskCoefficientsError(ValueError):
    """A table of risk coefficients cannot be used; the message says which entry and why."""


@dataclass(frozen=True, slots=True)
class RiskCoefficients:
    """Nominal risk per sievert, percent: of adults and of a whole population; ``model`` names where it comes from.

    The published ones are detriment-adjusted cancer of ICRP Publication 103 table 1 [V second-hand].
    """

    adult_percent_per_sv: float = 4.1
    all_percent_per_sv: float = 5.5
    model: str = "ICRP 103 detriment-adjusted cancer"

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], source: str = "") -> "RiskCoefficients":
        """Return a site's: ``adult_percent_per_sv``, ``all_percent_per_sv``, ``source`` (the model's name).

        Raises
        ------
        RiskCoefficientsError
            For an unknown key, a number out of range or a missing source.
        """
        table, own = dict(mapping), cls()
        model = str(table.pop("source", source) or "")
        if not model:
            raise RiskCoefficientsError("coefficients.risk: source is missing: name the model")
        values = []
        for name in ("adult_percent_per_sv", "all_percent_per_sv"):
            value = table.pop(name, getattr(own, name))
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0.1 <= value <= 50.0:
                raise RiskCoefficientsError(f"coefficients.risk.{name} must be 0.1 to 50, got {value!r}")
            values.append(float(value))
        if table:
            raise RiskCoefficientsError(f"coefficients.risk: unknown {', '.join(sorted(map(str, table)))}")
        return cls(values[0], values[1], model)


def icrp_risk(
    effective_msv: float, age_years: float | None = None, coefficients: RiskCoefficients | None = None
) -> NominalRisk:
    """Return the risk by ICRP 103 or a site's model: for adults from 18 years on, else for a whole population."""
    table = coefficients or RiskCoefficients()
    adult = age_years is not None and age_years >= ADULT_YEARS
    percent = table.adult_percent_per_sv if adult else table.all_percent_per_sv
    return NominalRisk(effective_msv * percent * 10.0, f"{table.model}, {'adults' if adult else 'all ages'}")


def beir_risk(effective_msv: float, age_years: float, sex: str) -> NominalRisk:
    """Return the risk by BEIR VII at an age, straight lines between its ages.

    The table is for an even dose of the whole body; effective dose stands for it.

    Raises
    ------
    ValueError
        For a sex other than "M" and "F" or an age outside 0 to 120 years.
    """
    if sex not in _BEIR_PER_100_000 or not 0.0 <= age_years <= 120.0:
        raise ValueError(f"BEIR VII needs sex M or F and an age of 0 to 120 years, got {sex!r} and {age_years}")
    per_100_000 = float(np.interp(age_years, _BEIR_AGES, _BEIR_PER_100_000[sex]))
    word = "women" if sex == "F" else "men"
    return NominalRisk(effective_msv / 100.0 * per_100_000 * 10.0, f"BEIR VII incidence, {word} of {age_years:g} years")


def _spaced(number: float) -> str:
    return f"{number:,.0f}".replace(",", "\u202f")
