"""An event as the estimates of patient dose need it: dose, direction in the patient's terms, beam, region."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from fluoroscope.geometry.pose import beam_direction

__all__ = ["DOSEMETER_PERCENT", "REGIONS", "PatientExposure", "entrance_shares", "region_of"]

DOSEMETER_PERCENT = 35.0
"""Tolerance of the displayed kerma and KAP (21 CFR 1020.32(k)(6); IEC 60601-2-43)."""

_REGION_WORDS = (
    ("cervical", ("cervical", "cspine", "c-spine", "neck", "hals")),
    ("thoracic", ("thoracic", "tspine", "t-spine", "chest", "thorax")),
    ("pelvis", ("pelvis", "sacr", "hip", "coccyx", "iliac")),
    ("lumbar", ("lumbar", "lspine", "l-spine", "lumbosacral")),
    ("abdomen", ("abdomen", "abdominal")),
)
REGIONS = tuple(name for name, _ in _REGION_WORDS)


@dataclass(frozen=True, slots=True)
class PatientExposure:
    """One event or pulse train as the estimates need it; None is unknown.

    Attributes
    ----------
    kap_gy_cm2, air_kerma_mgy
        As displayed; kerma at the reference point.
    angles_deg
        Patient-based primary and secondary (detector side, DICOM PS3.3 C.8.7.5.1.2).
    tube_voltage_kv, copper_mm
        Mean of the event; added copper.
    region
        "cervical", "thoracic", "lumbar", "abdomen", "pelvis" or None.
    acquisition
        Whether it is a recording and not fluoroscopy.
    above_uterus_mm, half_field_mm
        How far toward the head the middle of the beam passes the uterus, and half the field along the body there.
    """

    kap_gy_cm2: float | None
    air_kerma_mgy: float | None
    angles_deg: tuple[float, float] | None = None
    tube_voltage_kv: float | None = None
    region: str | None = None
    acquisition: bool = False
    copper_mm: float | None = None
    above_uterus_mm: float | None = None
    half_field_mm: float | None = None

    def __post_init__(self) -> None:
        for name in ("kap_gy_cm2", "air_kerma_mgy"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0.0):
                raise ValueError(f"{name} must be 0 or more, got {value}")
        if self.region is not None and self.region not in REGIONS:
            raise ValueError(f"region must be {', '.join(REGIONS)}, got {self.region}")


@lru_cache(maxsize=4096)
def entrance_shares(primary_deg: float, secondary_deg: float) -> Mapping[str, float]:
    """Return the parts of ap, pa and lateral in a direction, which add up to 1.

    The square of the direction's components: cos² of the angle to front or back and sin² of it to the side, cranial
    and caudal tilt counted with front and back. Against the uterus doses of PCXMC between 0 and 180° this misses by
    no more than 10 % (docs/explanations/patient-and-staff-dose.md).
    """
    x, y, z = (float(part) for part in beam_direction(primary_deg, secondary_deg))
    # The detector in front (y < 0) means that the beam entered the back.
    return MappingProxyType({"ap" if y > 0.0 else "pa": y * y + z * z, "lateral": x * x})


def region_of(words: str) -> str | None:
    """Return the region a report's words (target region, protocol) mean; None where they mean none."""
    text = words.casefold()
    return next((name for name, keys in _REGION_WORDS if any(key in text for key in keys)), None)
