"""Effective dose from kerma-area product by conversion coefficients per region and projection.

A coefficient holds for a reference person and a usual beam; it is for comparing procedures, not for one person.
Directions are the patient's: "ap" enters the front, "pa" the back, "lateral" a side.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np

from fluoroscope.dose.coefficient_tables import (
    CHILD_AGES_YEARS,
    CHILD_MASSES_KG,
    CHILD_TIMES,
    EFFECTIVE,
    ORGAN_FACTOR,
    SPREAD_PERCENT,
    SPREAD_SOURCE,
)
from fluoroscope.dose.conceptus import ConceptusFactors, ConceptusFactorsError
from fluoroscope.dose.organ_dose import (
    MONTE_CARLO_SOURCE,
    REFERENCE_COPPER_MM,
    REFERENCE_KV,
    monte_carlo,
    oblique_ratio,
    per_kap,
    quality_ratio,
)
from fluoroscope.dose.patient_exposure import DOSEMETER_PERCENT, REGIONS, PatientExposure, entrance_shares, region_of
from fluoroscope.dose.risk import RiskCoefficients, RiskCoefficientsError
from fluoroscope.dose.staff_settings import StaffSettings, StaffSettingsError

__all__ = [
    "REGIONS",
    "Coefficients",
    "CoefficientsError",
    "EffectiveDose",
    "PatientExposure",
    "ProjectionCoefficients",
    "child_factor",
    "effective_dose",
    "entrance_shares",
    "region_of",
]

PROJECTIONS = ("ap", "pa", "lateral")
LARGEST_COEFFICIENT = 10.0
"""No published coefficient, mSv or mGy per Gy·cm², is above it for an adult's trunk; a larger one is a wrong unit."""

SMALLEST_COEFFICIENT = 0.003
"""mGy per Gy·cm²; what is below is far from the beam, where the Monte Carlo has too few photons: unknown."""


class CoefficientsError(ValueError):
    """A table of coefficients cannot be used; the message says which entry and why."""


@dataclass(frozen=True, slots=True)
class ProjectionCoefficients:
    """Dose per KAP of one quantity in one region, mSv (effective) or mGy (organ) per Gy·cm².

    ``mixed`` is for beams whose direction is not known; None where nothing is published. ``mark`` is "V" (read in
    the source), "K" (known, the source not yet checked), "M" (our own calculation) or "site".
    """

    quantity: str
    region: str
    ap: float | None
    pa: float | None
    lateral: float | None
    mixed: float | None
    source: str
    mark: str

    def at(
        self,
        angles_deg: tuple[float, float] | None,
        tube_voltage_kv: float | None = None,
        copper_mm: float | None = None,
    ) -> float | None:
        """Return the coefficient of a direction and beam; None where a part is missing.

        Directions are mixed by `entrance_shares`. Voltage, copper, obliques and the side change it as our own Monte
        Carlo says; a site's coefficients are for the site's beams and stay as they are.
        """
        if angles_deg is None:
            if self.mixed is None:
                return None
            return self.mixed * sum(0.5 * self._ratio(name, tube_voltage_kv, copper_mm) for name in ("ap", "lateral"))
        total, shares = 0.0, entrance_shares(*angles_deg)
        for name, share in shares.items():
            value = getattr(self, name)
            if share > 1e-6 and value is None:
                return None
            total += share * (value or 0.0) * self._ratio(name, tube_voltage_kv, copper_mm)
        if self.mark == "site":
            return total
        return total * oblique_ratio(self.quantity, self.region, angles_deg[0], shares)

    def _ratio(self, projection: str, tube_voltage_kv: float | None, copper_mm: float | None) -> float:
        if self.mark == "site":
            return 1.0
        return quality_ratio(self.quantity, self.region, projection, tube_voltage_kv, copper_mm)


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Every coefficient with its source, and how far a figure made of them may be off.

    Attributes
    ----------
    effective
        Of effective dose, one for each region.
    organs
        Of organ doses.
    spread_percent, spread_source
        Expanded (k = 2) uncertainty of a coefficient for a reference person.
    organ_factor
        How many times more or less an organ dose may be (k = 2).
    conceptus, risk, staff
        What their figures rest on.
    """

    effective: tuple[ProjectionCoefficients, ...]
    organs: tuple[ProjectionCoefficients, ...]
    spread_percent: float = SPREAD_PERCENT
    spread_source: str = SPREAD_SOURCE
    organ_factor: float = ORGAN_FACTOR
    conceptus: ConceptusFactors = field(default_factory=ConceptusFactors)
    risk: RiskCoefficients = field(default_factory=RiskCoefficients)
    staff: StaffSettings = field(default_factory=StaffSettings)

    @classmethod
    def published(cls) -> "Coefficients":
        """Return the published ones."""
        return _published()

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> "Coefficients":
        """Return the published coefficients with those of a site in their place.

        ``{"source": …, "spread_percent": 40, "effective": {"lumbar": {"ap": 0.2, …, "source": …}}, "organs":
        {"uterus": {"lumbar": {…}}}}``. An entry replaces the whole entry of its region; ``source`` may stand in the
        entry or once above.

        Raises
        ------
        CoefficientsError
            For an unknown key, a number out of range or an entry without source.
        """
        table = dict(mapping)
        source, spread = table.pop("source", ""), table.pop("spread_percent", None)
        own = cls.published()
        organ_factor = table.pop("organ_factor", own.organ_factor)
        if (
            not isinstance(organ_factor, int | float)
            or isinstance(organ_factor, bool)
            or not 1.0 <= organ_factor <= 100.0
        ):
            raise CoefficientsError(f"coefficients.organ_factor must be 1 to 100, got {organ_factor!r}")
        own = replace(own, organ_factor=float(organ_factor))
        effective = _entries({"effective": table.pop("effective", {})}, source)
        organs = _entries(table.pop("organs", {}), source)
        for name, kind in (("conceptus", ConceptusFactors), ("risk", RiskCoefficients), ("staff", StaffSettings)):
            if name in table:
                own = replace(own, **{name: _part(name, kind, table.pop(name), str(source))})
        if table:
            known = "effective, organs, organ_factor, conceptus, risk, staff, source, spread_percent"
            raise CoefficientsError(f"coefficients: unknown {', '.join(sorted(table))}; {known} are known")
        if spread is not None:
            if not isinstance(spread, int | float) or isinstance(spread, bool) or not 1.0 <= spread <= 500.0:
                raise CoefficientsError(f"coefficients.spread_percent must be 1 to 500, got {spread!r}")
            own = replace(own, spread_percent=float(spread), spread_source=str(source) or "the site")
        return replace(own, effective=_over(own.effective, effective), organs=_over(own.organs, organs))

    def of(self, quantity: str, region: str | None) -> ProjectionCoefficients | None:
        """Return the entry of "effective" or an organ in a region; None where there is none."""
        rows = self.effective if quantity == "effective" else self.organs
        return next((row for row in rows if row.quantity == quantity and row.region == region), None)

    @property
    def organ_names(self) -> tuple[str, ...]:
        """Organs with a coefficient, each once, in order."""
        return tuple(dict.fromkeys(row.quantity for row in self.organs))

    def span(self, quantity: str) -> tuple[float, float]:
        """Return what the lower and the upper end of a quantity are multiplied by (k = 2).

        Coefficient and the dosemeter's tolerance as a rectangle, in quadrature; of an organ as factors.
        """
        meter_percent = 2.0 * DOSEMETER_PERCENT / math.sqrt(3.0)
        if quantity == "effective":
            part = math.hypot(self.spread_percent, meter_percent) / 100.0
            return max(0.0, 1.0 - part), 1.0 + part
        times = math.exp(math.hypot(math.log(self.organ_factor), math.log1p(meter_percent / 100.0)))
        return 1.0 / times, times


@dataclass(frozen=True, slots=True)
class EffectiveDose:
    """A dose and its range, with the coefficient that gave it.

    ``value``, ``low``, ``high`` in mSv or mGy; ``kap_gy_cm2`` it rests on; ``left_out`` exposures without KAP,
    region or coefficient; ``used`` the entries it rests on.
    """

    value: float
    low: float
    high: float
    kap_gy_cm2: float
    left_out: int
    used: tuple[ProjectionCoefficients, ...]

    @property
    def per_kap(self) -> float:
        """Mean coefficient, per Gy·cm²."""
        return self.value / self.kap_gy_cm2 if self.kap_gy_cm2 > 0.0 else 0.0


def child_factor(age_years: float | None) -> float:
    """Return how many times an adult's coefficient a child's is: the same energy per KAP in a smaller body.

    1 from 18 years on and where the age is not known.
    """
    if age_years is None:
        return 1.0
    return CHILD_MASSES_KG[-1] / float(np.interp(age_years, CHILD_AGES_YEARS, CHILD_MASSES_KG))


def effective_dose(
    exposures: Sequence[PatientExposure],
    coefficients: Coefficients,
    quantity: str = "effective",
    age_years: float | None = None,
) -> EffectiveDose | None:
    """Return Σ KAP · coefficient of "effective", mSv, or an organ, mGy; None where no exposure could be counted.

    Parameters
    ----------
    exposures
        Of one exam. Where a direction is not known, the coefficient for a mix stands, and the range goes from the
        smallest to the largest direction.
    age_years
        Of a child: coefficients that are not the site's are brought to it by `child_factor`.
    """
    value = low = high = kap = 0.0
    left_out, used, child = 0, [], child_factor(age_years)
    for one in exposures:
        if one.kap_gy_cm2 == 0.0:
            continue
        entry = coefficients.of(quantity, one.region)
        factor = None if entry is None else entry.at(one.angles_deg, one.tube_voltage_kv, one.copper_mm)
        if one.kap_gy_cm2 is None or entry is None or factor is None:
            left_out += 1
            continue
        ends = (factor, factor) if one.angles_deg is not None else _extent(entry, one)
        smaller = one.kap_gy_cm2 * (1.0 if entry.mark == "site" else child)
        times = CHILD_TIMES if smaller > one.kap_gy_cm2 else 1.0
        value, kap = value + smaller * factor, kap + one.kap_gy_cm2
        low, high = low + smaller * ends[0] / times, high + smaller * ends[1] * times
        used.append(entry)
    if not used:
        return None
    less, more = coefficients.span(quantity)
    return EffectiveDose(value, low * less, high * more, kap, left_out, tuple(dict.fromkeys(used)))


def _extent(entry: ProjectionCoefficients, one: PatientExposure) -> tuple[float, float]:
    """Smallest and largest coefficient of a beam whose direction is not known."""
    angles = (None, (180.0, 0.0), (0.0, 0.0), (90.0, 0.0))
    values = [entry.at(angle, one.tube_voltage_kv, one.copper_mm) for angle in angles]
    known = [value for value in values if value is not None]
    return min(known), max(known)


@cache
def _published() -> Coefficients:
    """Effective dose as published, our own Monte Carlo where nothing is, and for every organ."""
    published = {row[0]: row for row in EFFECTIVE}
    effective = []
    for region in REGIONS:
        own = _own("effective", region)
        if region in published:
            _, ap, pa, lateral, mixed, source, mark = published[region]
            if ap is None:
                ap, pa, lateral, mark = own.ap, own.pa, own.lateral, f"{mark}, M"
                source += f"; directions: {own.source}"
            own = ProjectionCoefficients("effective", region, ap, pa, lateral, mixed, source, mark)
        effective.append(own)
    organs = [
        _own(str(organ), region) for organ in monte_carlo()["organs"] if organ != "effective" for region in REGIONS
    ]
    return Coefficients(tuple(effective), tuple(row for row in organs if (row.ap or 0.0) >= SMALLEST_COEFFICIENT))


def _own(quantity: str, region: str) -> ProjectionCoefficients:
    values = [per_kap(quantity, region, name, REFERENCE_KV, REFERENCE_COPPER_MM) for name in PROJECTIONS]
    ap, pa, lateral = values
    mixed = None if ap is None or lateral is None else (ap + lateral) / 2.0
    return ProjectionCoefficients(quantity, region, ap, pa, lateral, mixed, MONTE_CARLO_SOURCE, "M")


def _part(name: str, kind: Any, table: Any, source: str) -> Any:
    if not isinstance(table, Mapping):
        raise CoefficientsError(f"coefficients.{name}: a table is needed")
    try:
        return kind.from_mapping(table, source)
    except (ConceptusFactorsError, RiskCoefficientsError, StaffSettingsError) as fault:
        raise CoefficientsError(str(fault)) from fault


def _entries(quantities: Any, source: Any) -> list[ProjectionCoefficients]:
    found = []
    if not isinstance(quantities, Mapping):
        raise CoefficientsError("coefficients: effective and organs are tables")
    for quantity, regions in quantities.items():
        if not isinstance(regions, Mapping):
            raise CoefficientsError(f"coefficients.{quantity}: a table of regions is needed")
        for region, values in regions.items():
            found.append(_entry(str(quantity), str(region), values, source))
    return found


def _entry(quantity: str, region: str, values: Any, source: Any) -> ProjectionCoefficients:
    where = f"coefficients.{quantity}.{region}"
    if region not in REGIONS:
        raise CoefficientsError(f"{where}: region must be {', '.join(REGIONS)}")
    if not isinstance(values, Mapping):
        raise CoefficientsError(f"{where}: a table with ap, pa, lateral, mixed, source is needed")
    rest = dict(values)
    said = str(rest.pop("source", source) or "")
    if not said:
        raise CoefficientsError(f"{where}: source is missing: say where the numbers come from")
    numbers: dict[str, float | None] = {}
    for name in (*PROJECTIONS, "mixed"):
        value = rest.pop(name, None)
        if value is not None and (
            not isinstance(value, int | float) or isinstance(value, bool) or not 0.0 <= value <= LARGEST_COEFFICIENT
        ):
            raise CoefficientsError(f"{where}.{name} must be 0 to {LARGEST_COEFFICIENT:g} per Gy·cm², got {value!r}")
        numbers[name] = None if value is None else float(value)
    if rest:
        raise CoefficientsError(f"{where}: unknown {', '.join(sorted(map(str, rest)))}")
    if all(value is None for value in numbers.values()):
        raise CoefficientsError(f"{where}: give at least one of ap, pa, lateral, mixed")
    return ProjectionCoefficients(quantity, region, **numbers, source=said, mark="site")


def _over(
    rows: Sequence[ProjectionCoefficients], own: Sequence[ProjectionCoefficients]
) -> tuple[ProjectionCoefficients, ...]:
    merged = {(row.quantity, row.region): row for row in rows}
    merged.update({(row.quantity, row.region): row for row in own})
    return tuple(merged.values())
