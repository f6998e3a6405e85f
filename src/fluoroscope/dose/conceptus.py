"""Dose of a conceptus, taken as the dose of the uterus, and the band it lies in.

Σ air kerma at the reference point × factor(direction, tube voltage). Directions between front, side and back are mixed
by `entrance_shares`, voltages in between by straight lines; outside 70 to 125 kV the nearest stands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from fluoroscope.dose.coefficient_tables import CONCEPTUS_KV, CONCEPTUS_LIVER, CONCEPTUS_SOURCE, CONCEPTUS_UTERUS
from fluoroscope.dose.effective_dose import DOSEMETER_PERCENT, PatientExposure, entrance_shares

__all__ = [
    "BANDS_MGY",
    "BeamPlace",
    "ConceptusDose",
    "band_of",
    "conceptus_dose",
    "conceptus_factor",
    "place_of",
    "uterus_near",
]

BANDS_MGY = (50.0, 100.0)
"""Below, between and above: ACR-SPR practice parameter, ICRP Publication 84 [K]."""
BAND_SOURCE = "ACR-SPR practice parameter; ICRP Publication 84 [K]"
FACTOR_PERCENT = 50.0
"""Expanded (k = 2) uncertainty of a factor: size of the patient, place and filling of the bladder, field; a setting."""
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


def conceptus_factor(
    angles_deg: tuple[float, float], tube_voltage_kv: float, in_beam: bool = True, acquisition: bool = False
) -> float:
    """Return the dose of the uterus per air kerma at the reference point."""
    rows = (CONCEPTUS_UTERUS if in_beam else CONCEPTUS_LIVER)["acquisition" if acquisition else "fluoroscopy"]
    shares = entrance_shares(*angles_deg)
    return sum(share * float(np.interp(tube_voltage_kv, CONCEPTUS_KV, rows[name])) for name, share in shares.items())


def conceptus_dose(
    exposures: Sequence[PatientExposure], places: Sequence[BeamPlace] | None = None
) -> ConceptusDose | None:
    """Return the estimate; None when no exposure says its air kerma.

    Parameters
    ----------
    exposures
        Of one exam. An unknown direction counts as AP, the range from the smallest to the largest direction; an
        unknown voltage goes from 70 to 125 kV, counted as 80.
    places
        For each exposure; by `place_of` where not given.
    """
    if places is None:
        places = [place_of(one) for one in exposures]
    value = low = high = 0.0
    counted = left_out = 0
    for one, place in zip(exposures, places, strict=True):
        if one.air_kerma_mgy is None:
            left_out += int(one.kap_gy_cm2 != 0.0)
            continue
        nominal, least, most = _factors(one, place)
        counted += 1
        value, low, high = (
            total + one.air_kerma_mgy * factor for total, factor in ((value, nominal), (low, least), (high, most))
        )
    if not counted:
        return None
    part = np.hypot(FACTOR_PERCENT, 2.0 * DOSEMETER_PERCENT / np.sqrt(3.0)) / 100.0
    low, high = low * max(0.0, 1.0 - float(part)), high * (1.0 + float(part))
    band, words = band_of(high)
    places_said = ", ".join(sorted({place.value for place in places}))
    text = f"estimate {value:.3g} mGy, {low:.2g} to {high:.3g}; upper end {words}; {places_said}; {CONCEPTUS_SOURCE}"
    return ConceptusDose(value, low, high, band, text, left_out)


def band_of(mgy: float) -> tuple[str, str]:
    """Return the band of a dose and what it means; no diagnosis."""
    return _BANDS[sum(mgy > edge for edge in BANDS_MGY)] if mgy != BANDS_MGY[0] else _BANDS[1]


def _factors(one: PatientExposure, place: BeamPlace) -> tuple[float, float, float]:
    """Nominal, least and largest factor of one exposure."""
    angles = [one.angles_deg] if one.angles_deg is not None else [(180.0, 0.0), (0.0, 0.0), (90.0, 0.0)]
    volts = [one.tube_voltage_kv] if one.tube_voltage_kv else [80.0, CONCEPTUS_KV[0], CONCEPTUS_KV[-1]]
    inside = {BeamPlace.IN_BEAM: [True], BeamPlace.ABOVE: [False], BeamPlace.UNKNOWN: [True, False]}[place]
    every = [
        conceptus_factor(angle, volt, beam, one.acquisition) for beam in inside for angle in angles for volt in volts
    ]
    # Above the liver there is less than at the liver, how much less is not published: from 0.
    return every[0], 0.0 if place is BeamPlace.ABOVE else min(every), max(every)
