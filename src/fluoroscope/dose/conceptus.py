"""Dose of a conceptus, taken as the dose of the uterus, and the band it lies in.

Σ air kerma at the reference point × factor(direction, tube voltage). Directions between front, side and back are mixed
by `entrance_shares`, voltages in between by straight lines; outside 70 to 125 kV the nearest stands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any

import numpy as np

from fluoroscope.dose.coefficient_tables import CONCEPTUS_KV, CONCEPTUS_LIVER, CONCEPTUS_SOURCE, CONCEPTUS_UTERUS
from fluoroscope.dose.patient_exposure import DOSEMETER_PERCENT, PatientExposure, entrance_shares

__all__ = [
    "BANDS_MGY",
    "BeamPlace",
    "ConceptusDose",
    "ConceptusFactors",
    "ConceptusFactorsError",
    "band_of",
    "conceptus_dose",
    "conceptus_factor",
    "place_of",
    "uterus_near",
]

BANDS_MGY = (50.0, 100.0)
"""Below, between and above: ACR-SPR practice parameter, ICRP Publication 84 [K]."""
_BANDS = (
    ("< 50 mGy", "below 50 mGy: no measurable effect is expected"),
    ("50-100 mGy", "50 to 100 mGy: to be discussed with a medical physicist"),
    ("> 100 mGy", "above 100 mGy: counselling by the site's rule"),
)


class BeamPlace(Enum):
    """Where the beam passes, seen from the uterus."""

    IN_BEAM = "uterus in the beam"
    ABOVE = "beam at the height of the liver or above"
    UNKNOWN = "uterus in the beam or not is not sure: counted as in it, the range begins at a beam at the liver"


PLACE_OF_REGION = {
    "pelvis": BeamPlace.IN_BEAM,
    "abdomen": BeamPlace.UNKNOWN,
    "lumbar": BeamPlace.UNKNOWN,
    "thoracic": BeamPlace.ABOVE,
    "cervical": BeamPlace.ABOVE,
}


HALF_UTERUS_MM = 20.0
AT_LIVER_MM = 200.0
"""Half the uterus along the body, and from it up to the middle of the liver: the adult of ORNL/TM-8381."""
_FROM_VERTEBRA_MM = {"S1": (0.0, -80.0, -65.0), "L5": (0.0, -75.0, -100.0), "L4": (0.0, -75.0, -130.0)}
"""Where the uterus lies from the middle of a vertebra, LPS, in the same adult; it moves by centimetres."""


def uterus_near(vertebrae: Mapping[str, Sequence[float]]) -> tuple[float, float, float] | None:
    """Return where the uterus is expected, LPS mm, from the lowest vertebra known; None without one."""
    for name, way in _FROM_VERTEBRA_MM.items():
        if name in vertebrae:
            x, y, z = (float(at) + step for at, step in zip(vertebrae[name], way, strict=True))
            return x, y, z
    return None


def place_of(exposure: PatientExposure) -> BeamPlace:
    """Return where a beam passes: by geometry where known, else by region; between uterus and liver, not sure."""
    above, half = exposure.above_uterus_mm, exposure.half_field_mm
    if above is None or half is None:
        return PLACE_OF_REGION.get(exposure.region or "", BeamPlace.UNKNOWN)
    if abs(above) <= half + HALF_UTERUS_MM:
        return BeamPlace.IN_BEAM
    return BeamPlace.ABOVE if above >= AT_LIVER_MM else BeamPlace.UNKNOWN


@dataclass(frozen=True, slots=True)
class ConceptusDose:
    """Dose of the uterus, mGy, its range, and its band by the upper end.

    ``value`` has the uterus in every beam of which nobody knows that it passes above.
    """

    mgy: float
    low_mgy: float
    high_mgy: float
    band: str
    text: str
    left_out: int


_Rows = Mapping[str, tuple[float, ...]]
_MODES, _DIRECTIONS = ("fluoroscopy", "acquisition"), ("ap", "pa", "lateral")


class ConceptusFactorsError(ValueError):
    """A table of factors cannot be used; the message says which entry and why."""


@dataclass(frozen=True, slots=True)
class ConceptusFactors:
    """Dose of the uterus per air kerma at the reference point.

    Attributes
    ----------
    tube_voltages_kv
        At which the factors are given, ascending.
    in_beam, at_liver
        "fluoroscopy" and "acquisition" → "ap", "pa", "lateral" → a factor for each voltage.
    spread_percent
        Expanded (k = 2) uncertainty of a factor: size of the patient, bladder, field.
    source
        Of the factors.
    """

    tube_voltages_kv: tuple[float, ...] = CONCEPTUS_KV
    in_beam: Mapping[str, _Rows] = field(default_factory=lambda: MappingProxyType(dict(CONCEPTUS_UTERUS)))
    at_liver: Mapping[str, _Rows] = field(default_factory=lambda: MappingProxyType(dict(CONCEPTUS_LIVER)))
    spread_percent: float = 50.0
    source: str = CONCEPTUS_SOURCE

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], source: str = "") -> "ConceptusFactors":
        """Return a site's factors: ``source``, ``spread_percent``, ``tube_voltages_kv``, ``in_beam``, ``at_liver``.

        New voltages need both tables; a table needs every mode and direction.

        Raises
        ------
        ConceptusFactorsError
            For an unknown key, a number out of range or a missing source.
        """
        table, own = dict(mapping), cls()
        said = str(table.pop("source", source) or "")
        if not said:
            raise ConceptusFactorsError("coefficients.conceptus: source is missing: say where the numbers come from")
        spread = _numbers([table.pop("spread_percent", own.spread_percent)], "spread_percent", 1.0, 500.0)[0]
        volts = _numbers(table.pop("tube_voltages_kv", own.tube_voltages_kv), "tube_voltages_kv", 40.0, 150.0)
        if list(volts) != sorted(set(volts)):
            raise ConceptusFactorsError("coefficients.conceptus.tube_voltages_kv must ascend")
        if volts != own.tube_voltages_kv and not {"in_beam", "at_liver"} <= table.keys():
            raise ConceptusFactorsError("coefficients.conceptus: new tube_voltages_kv need in_beam and at_liver")
        in_beam = _factor_table(table.pop("in_beam", own.in_beam), "in_beam", len(volts))
        at_liver = _factor_table(table.pop("at_liver", own.at_liver), "at_liver", len(volts))
        if table:
            raise ConceptusFactorsError(f"coefficients.conceptus: unknown {', '.join(sorted(map(str, table)))}")
        return cls(volts, in_beam, at_liver, spread, said)

    def at(
        self, angles_deg: tuple[float, float], tube_voltage_kv: float, in_beam: bool = True, acquisition: bool = False
    ) -> float:
        """Return the factor of a direction and voltage."""
        rows = (self.in_beam if in_beam else self.at_liver)[_MODES[int(acquisition)]]
        shares = entrance_shares(*angles_deg)
        return sum(
            share * float(np.interp(tube_voltage_kv, self.tube_voltages_kv, rows[name]))
            for name, share in shares.items()
        )


def _numbers(values: Any, name: str, low: float, high: float) -> tuple[float, ...]:
    if not isinstance(values, list | tuple) or not values:
        raise ConceptusFactorsError(f"coefficients.conceptus.{name} must be a list of numbers")
    for value in values:
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise ConceptusFactorsError(f"coefficients.conceptus.{name} must be {low:g} to {high:g}, got {value!r}")
    return tuple(float(value) for value in values)


def _factor_table(table: Any, name: str, count: int) -> Mapping[str, _Rows]:
    if not isinstance(table, Mapping) or set(table) != set(_MODES):
        raise ConceptusFactorsError(f"coefficients.conceptus.{name} needs {' and '.join(_MODES)}")
    found: dict[str, _Rows] = {}
    for mode, rows in table.items():
        if not isinstance(rows, Mapping) or set(rows) != set(_DIRECTIONS):
            raise ConceptusFactorsError(f"coefficients.conceptus.{name}.{mode} needs {', '.join(_DIRECTIONS)}")
        read = {key: _numbers(values, f"{name}.{mode}.{key}", 0.0, 2.0) for key, values in rows.items()}
        if any(len(values) != count for values in read.values()):
            raise ConceptusFactorsError(f"coefficients.conceptus.{name}.{mode} needs {count} factors a direction")
        found[mode] = MappingProxyType(read)
    return MappingProxyType(found)


def conceptus_factor(
    angles_deg: tuple[float, float], tube_voltage_kv: float, in_beam: bool = True, acquisition: bool = False
) -> float:
    """Return the published dose of the uterus per air kerma at the reference point."""
    return ConceptusFactors().at(angles_deg, tube_voltage_kv, in_beam, acquisition)


def conceptus_dose(
    exposures: Sequence[PatientExposure],
    places: Sequence[BeamPlace] | None = None,
    factors: ConceptusFactors | None = None,
) -> ConceptusDose | None:
    """Return the estimate; None when no exposure says its air kerma.

    Parameters
    ----------
    exposures
        Of one exam. An unknown direction counts as AP, the range from the smallest to the largest direction; an
        unknown voltage goes from 70 to 125 kV, counted as 80.
    places
        For each exposure; by `place_of` where not given.
    factors
        The published ones when None.
    """
    table = factors or ConceptusFactors()
    if places is None:
        places = [place_of(one) for one in exposures]
    value = low = high = 0.0
    counted = left_out = 0
    for one, place in zip(exposures, places, strict=True):
        if one.air_kerma_mgy is None:
            left_out += int(one.kap_gy_cm2 != 0.0)
            continue
        nominal, least, most = _factors(one, place, table)
        counted += 1
        value, low, high = (
            total + one.air_kerma_mgy * factor for total, factor in ((value, nominal), (low, least), (high, most))
        )
    if not counted:
        return None
    part = np.hypot(table.spread_percent, 2.0 * DOSEMETER_PERCENT / np.sqrt(3.0)) / 100.0
    low, high = low * max(0.0, 1.0 - float(part)), high * (1.0 + float(part))
    band, words = band_of(high)
    places_said = ", ".join(sorted({place.value for place in places}))
    text = f"estimate {value:.3g} mGy, {low:.2g} to {high:.3g}; upper end {words}; {places_said}; {table.source}"
    if left_out:
        text += f"; {left_out} events without air kerma are not in it"
    return ConceptusDose(value, low, high, band, text, left_out)


def band_of(mgy: float) -> tuple[str, str]:
    """Return the band of a dose and what it means; no diagnosis."""
    low, high = BANDS_MGY
    return _BANDS[0] if mgy < low else _BANDS[1] if mgy <= high else _BANDS[2]


def _factors(one: PatientExposure, place: BeamPlace, table: ConceptusFactors) -> tuple[float, float, float]:
    """Return the nominal, the least and the largest factor of one exposure."""
    angles = [one.angles_deg] if one.angles_deg is not None else [(180.0, 0.0), (0.0, 0.0), (90.0, 0.0)]
    volts = (
        [one.tube_voltage_kv] if one.tube_voltage_kv else [80.0, table.tube_voltages_kv[0], table.tube_voltages_kv[-1]]
    )
    inside = {BeamPlace.IN_BEAM: [True], BeamPlace.ABOVE: [False], BeamPlace.UNKNOWN: [True, False]}[place]
    every = [table.at(angle, volt, beam, one.acquisition) for beam in inside for angle in angles for volt in volts]
    # Above the liver there is less than at the liver, how much less is not published: from 0.
    return every[0], 0.0 if place is BeamPlace.ABOVE else min(every), max(every)
