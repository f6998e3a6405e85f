"""What a staff dose rests on besides the scatter itself: heights, places, what lead lets through, yearly limits."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

__all__ = ["StaffPlace", "StaffSettings", "StaffSettingsError", "YearlyLimit"]


class StaffSettingsError(ValueError):
    """A table of staff settings cannot be used; the message says which entry and why."""


@dataclass(frozen=True, slots=True)
class StaffPlace:
    """Where somebody stands: across (x) and along (z) the table, mm, equipment frame."""

    name: str
    x_mm: float
    z_mm: float


@dataclass(frozen=True, slots=True)
class YearlyLimit:
    """A limit of workers, mSv a year, and who says so."""

    what: str
    msv_per_year: float
    source: str


_PLACES = (
    StaffPlace("operator at the table, left", 500.0, -200.0),
    StaffPlace("operator at the table, right", -500.0, -200.0),
    StaffPlace("assistant, left", 600.0, -800.0),
    StaffPlace("assistant, right", -600.0, -800.0),
    StaffPlace("anaesthesia at the head", 300.0, 1000.0),
    StaffPlace("1 m, left", 1000.0, 0.0),
    StaffPlace("1 m, right", -1000.0, 0.0),
    StaffPlace("2 m, left", 2000.0, 0.0),
    StaffPlace("2 m, right", -2000.0, 0.0),
    StaffPlace("doorway", 1900.0, -2900.0),
)
_LIMITS = (
    YearlyLimit("effective dose", 20.0, "ICRP 103, mean of 5 years [V]"),
    YearlyLimit("lens of the eye", 20.0, "ICRP 118 [V]; 150 in the USA (10 CFR 20) [V]"),
    YearlyLimit("skin and hands", 500.0, "ICRP 103 [K]"),
)
_HEIGHTS_CM = {"eye": 160.0, "trunk": 120.0, "hand": 105.0, "gonads": 90.0, "legs": 50.0}
_APRONS = {"none": 1.0, "0.25": 0.05, "0.35": 0.03, "0.5": 0.02}
_PARTS = ("glasses", "ceiling", "curtain", "detector", "table")


@dataclass(frozen=True, slots=True)
class StaffSettings:
    """Every setting with its source.

    Attributes
    ----------
    apron
        Transmission by lead equivalent, mm.
    glasses, ceiling, curtain, detector, table
        Transmission of lead glasses, ceiling shield, table curtain (with what goes around them), of the panel, and of
        tabletop and pad, at a right angle.
    isocenter_height_cm, heights_cm
        Above the floor: the isocentre, and the parts of a standing person.
    places
        Where people stand; left and right are those of a head-first supine patient.
    limits
        Of a year, for the size of the figures.
    source
        Of the transmissions.
    """

    apron: Mapping[str, float] = field(default_factory=lambda: MappingProxyType(dict(_APRONS)))
    glasses: float = 0.3
    ceiling: float = 0.1
    curtain: float = 0.1
    detector: float = 0.05
    table: float = 0.7
    isocenter_height_cm: float = 105.0
    heights_cm: Mapping[str, float] = field(default_factory=lambda: MappingProxyType(dict(_HEIGHTS_CM)))
    places: tuple[StaffPlace, ...] = _PLACES
    limits: tuple[YearlyLimit, ...] = _LIMITS
    source: str = (
        "apron 0.25 mm: Stanford EHS manual [V], thicker [K]; glasses, shield, curtain: ICRP 117, 139 [K]; "
        "detector: assumed; table: 0.66 to 0.76, Mann 2019, Pain Med 20:971 [V]"
    )

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], source: str = "") -> "StaffSettings":
        """Return the settings with those of a site in their place.

        ``{"source": …, "apron": {"0.5": 0.02}, "glasses": 0.3, "ceiling": …, "curtain": …, "detector": …, "table": …,
        "isocenter_height_cm": 105, "heights_cm": {"eye": 165}, "places": {"scrub nurse": [700, -900]}, "limits":
        {"effective dose": 6}}``. Aprons, heights and limits are added or replaced one by one, places all together.

        Raises
        ------
        StaffSettingsError
            For an unknown key, a number out of range or a missing source.
        """
        table = dict(mapping)
        said = str(table.pop("source", source) or "")
        if not said:
            raise StaffSettingsError("coefficients.staff: source is missing: say where the numbers come from")
        given: dict[str, Any] = {name: _number(table.pop(name), name, 0.0, 1.0) for name in _PARTS if name in table}
        own = cls(source=said, **given)
        if "isocenter_height_cm" in table:
            height = _number(table.pop("isocenter_height_cm"), "isocenter_height_cm", 50.0, 200.0)
            own = replace(own, isocenter_height_cm=height)
        apron = dict(own.apron) | _numbers(table.pop("apron", {}), "apron", 0.0, 1.0)
        heights = dict(own.heights_cm) | _numbers(table.pop("heights_cm", {}), "heights_cm", 0.0, 200.0)
        limits = {limit.what: limit for limit in own.limits}
        for what, value in _numbers(table.pop("limits", {}), "limits", 0.01, 1000.0).items():
            limits[what] = YearlyLimit(what, value, said)
        places = _places(table.pop("places", None))
        if table:
            raise StaffSettingsError(f"coefficients.staff: unknown {', '.join(sorted(map(str, table)))}")
        return replace(
            own,
            apron=MappingProxyType(apron),
            heights_cm=MappingProxyType(heights),
            limits=tuple(limits.values()),
            places=places or own.places,
        )


def _number(value: Any, name: str, low: float, high: float) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise StaffSettingsError(f"coefficients.staff.{name} must be {low:g} to {high:g}, got {value!r}")
    return float(value)


def _numbers(table: Any, name: str, low: float, high: float) -> dict[str, float]:
    if not isinstance(table, Mapping):
        raise StaffSettingsError(f"coefficients.staff.{name} must be a table of numbers")
    return {str(key): _number(value, f"{name}.{key}", low, high) for key, value in table.items()}


def _places(table: Any) -> tuple[StaffPlace, ...]:
    if table is None:
        return ()
    if not isinstance(table, Mapping) or not table:
        raise StaffSettingsError("coefficients.staff.places must be a table of name = [across_mm, along_mm]")
    found = []
    for name, pair in table.items():
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise StaffSettingsError(f"coefficients.staff.places.{name} must be [across_mm, along_mm], got {pair!r}")
        x, z = (_number(value, f"places.{name}", -10000.0, 10000.0) for value in pair)
        found.append(StaffPlace(str(name), x, z))
    return tuple(found)
