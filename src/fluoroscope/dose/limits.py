"""Limits of the air kerma rate in fluoroscopy, and the point at which the rule measures it.

The rule's point is not the reference point at which cumulative air kerma is stated: on a C-arm of 1020 mm it lies
at 720 mm from the source, the reference point at 360 mm, where the same beam reads four times as much.
"""

from dataclasses import dataclass
from enum import StrEnum

from fluoroscope.beam.spectrum import tube_spectrum
from fluoroscope.beam.technique import RadiationMode, Technique

__all__ = [
    "C_ARM_POINT_FROM_DETECTOR_MM",
    "PUBLISHED_LIMITS",
    "EntrancePoint",
    "Equipment",
    "RateLimits",
    "air_kerma_rate_mgy_min",
    "entrance_point",
    "refused_rate",
]

C_ARM_POINT_FROM_DETECTOR_MM = 300.0
"""On a C-arm the rate is measured this far in front of the image receptor, 21 CFR 1020.32(d)(3)(iii)."""
SHORT_SOURCE_TO_DETECTOR_MM = 450.0
"""Below this the rate is measured at the smallest source-skin distance, 21 CFR 1020.32(d)(3)."""
SLACK = 1e-9
"""Exactly the limit is allowed; the last bit of a product is nobody's fault."""


class Equipment(StrEnum):
    """How a fluoroscope is built, which says where its rate is measured."""

    C_ARM = "c_arm"
    UNDER_TABLE = "under_table"
    OVER_TABLE = "over_table"
    LATERAL = "lateral"


@dataclass(frozen=True, slots=True)
class EntrancePoint:
    """Where the rule measures: distance from the source, mm, and in words."""

    source_distance_mm: float
    words: str


def entrance_point(
    source_to_detector_mm: float,
    equipment: Equipment = Equipment.C_ARM,
    *,
    source_to_tabletop_mm: float | None = None,
    source_to_centreline_mm: float | None = None,
    smallest_source_to_skin_mm: float = 190.0,
) -> EntrancePoint:
    """Return where 21 CFR 1020.32(d)(3) measures the air kerma rate.

    C-arm: 300 mm in front of the image receptor. Tube under the table: 10 mm above the tabletop; over it: 300 mm
    above. Lateral: 150 mm from the table's centreline toward the source. Source to detector under 450 mm: at the
    smallest source-skin distance.

    Parameters
    ----------
    source_to_detector_mm
        At present.
    equipment
        How it is built.
    source_to_tabletop_mm
        Along the beam; needed with a tube under or over the table.
    source_to_centreline_mm
        Along the beam; needed for a lateral fluoroscope.
    smallest_source_to_skin_mm
        Of a small C-arm, set by its spacer.

    Raises
    ------
    ValueError
        A distance is missing, or the point would lie behind the source.
    """
    if source_to_detector_mm < SHORT_SOURCE_TO_DETECTOR_MM and equipment is Equipment.C_ARM:
        return _point(smallest_source_to_skin_mm, "at the smallest source-skin distance")
    if equipment is Equipment.C_ARM:
        return _point(source_to_detector_mm - C_ARM_POINT_FROM_DETECTOR_MM, "30 cm in front of the image receptor")
    if equipment is Equipment.LATERAL:
        along = _needed(source_to_centreline_mm, "source_to_centreline_mm")
        return _point(along - 150.0, "15 cm from the table's centreline toward the source")
    along = _needed(source_to_tabletop_mm, "source_to_tabletop_mm")
    if equipment is Equipment.UNDER_TABLE:
        return _point(along + 10.0, "1 cm above the tabletop")
    return _point(along - 300.0, "30 cm above the tabletop")


def _needed(value: float | None, name: str) -> float:
    if value is None:
        raise ValueError(f"the rule's measuring point needs {name}")
    return value


def _point(distance_mm: float, words: str) -> EntrancePoint:
    if not distance_mm > 0.0:
        raise ValueError(f"the rule's measuring point, {words}, lies behind the source: {distance_mm:g} mm")
    return EntrancePoint(distance_mm, words)


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Most air kerma rate of fluoroscopy at the rule's point, mGy/min.

    Attributes
    ----------
    normal_mgy_min
        Without the high-level control.
    high_level_mgy_min
        With it: it has a special means to be activated and a continuous signal.
    source
        Who says so.
    """

    normal_mgy_min: float = 88.0
    high_level_mgy_min: float = 176.0
    source: str = "21 CFR 1020.32(d)"

    def __post_init__(self) -> None:
        if not 1.0 <= self.normal_mgy_min <= 88.0:
            raise ValueError(f"the rate limit must lie from 1 to 88 mGy/min, got {self.normal_mgy_min:g}")
        if not self.normal_mgy_min <= self.high_level_mgy_min <= 176.0:
            raise ValueError(
                f"the high-level limit must lie from {self.normal_mgy_min:g} (the ordinary one) to 176 mGy/min, "
                f"got {self.high_level_mgy_min:g}"
            )

    def at(self, high_level: bool) -> float:
        """Return the limit that holds, mGy/min."""
        return self.high_level_mgy_min if high_level else self.normal_mgy_min


PUBLISHED_LIMITS = RateLimits()
"""88 mGy/min and 176 with the high-level control, 21 CFR 1020.32(d)(2)."""


def air_kerma_rate_mgy_min(technique: Technique, source_distance_mm: float) -> float:
    """Return the air kerma rate free in air at a distance from the source, mGy/min: spectrum and inverse square."""
    spectrum = tube_spectrum(technique.tube_voltage_kv, technique.filtration)
    per_pulse_ugy = spectrum.air_kerma_ugy_per_mas(source_distance_mm) * technique.mas_per_pulse
    return per_pulse_ugy * technique.pulse_rate_hz * 60.0 / 1000.0


def refused_rate(technique: Technique, point: EntrancePoint, limit_mgy_min: float) -> str | None:
    """Return why a technique may not be given, in a sentence; None when it may. Recording is exempt (d)(2)."""
    if technique.mode is not RadiationMode.FLUOROSCOPY:
        return None
    rate = air_kerma_rate_mgy_min(technique, point.source_distance_mm)
    if rate <= limit_mgy_min * (1.0 + SLACK):
        return None
    return (
        f"the technique gives {rate:.0f} mGy/min {point.words}, above the {limit_mgy_min:.0f} of fluoroscopy: "
        "lower current, pulse width or pulse rate"
    )
