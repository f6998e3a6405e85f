"""Advice: the cheapest saving of dose now, with the effect that is to be expected of it.

What could be changed follows from how the beam stands; what a change gives is asked of whoever knows the machine
(its exposure control, its spectra, the inverse square), never of a rule of thumb. Cheapest is what costs the picture
least; among changes of like cost the one that saves most. A change that would leave no usable picture is not named.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any

from fluoroscope.acquisition.frame import Collimation

__all__ = ["Advice", "BeamNow", "Change", "Cost", "Outlook", "Saved", "changes", "cheapest"]

LEAST_SAVING = 0.1
"""Less is not worth a word."""
LEAST_RATE_HZ = 3.75
"""Fewer pulses a second do not show a needle moving; low-dose protocols of spine procedures use about 3 to 4."""
SMOOTH_RATE_HZ = 7.5
"""Down to this rate, fewer pulses cost little."""
STILL_S = 5.0
"""A pedal that is down so long while nothing moves shows what the held picture shows."""
LONG_S = 20.0
"""A pedal that is down so long in one view is worth a look at the held picture, whatever moves."""
LEAST_SIDE_MM = 30.0
"""Narrower than this at the detector no advice collimates."""


class Cost(IntEnum):
    """What a change costs the picture."""

    NONE = 0
    LITTLE = 1
    SOME = 2


class Saved(StrEnum):
    """What a change saves: of the air kerma rate (the skin), or of the KAP rate (the whole patient and the staff)."""

    AIR_KERMA = "air kerma"
    KAP = "kerma-area product"


@dataclass(frozen=True, slots=True)
class BeamNow:
    """How the beam stands.

    Attributes
    ----------
    pulse_rate_hz, pulse_rates_hz
        Set, and offered.
    copper_mm, coppers_mm
        In the beam, and offered.
    dose_level, lower_level
        Of the automatic control, and the next below; None where there is none.
    automatic
        Whether the exposure control chooses voltage, current and width.
    x_ray_on, still_s, stands_s
        Whether the pedal is down; since when in this press nothing moved in the picture, and since when C-arm, table
        and collimator stand, s.
    source_to_isocenter_mm, source_to_detector_mm
        At present.
    nearest_detector_mm
        Source to detector with the detector as near to the patient as it may stand; None where it does not travel.
    collimation
        The field as it is, mm at the detector.
    needed_field_mm
        Width and height that the procedure needs, mm at the isocentre.
    """

    pulse_rate_hz: float
    pulse_rates_hz: tuple[float, ...]
    copper_mm: float
    coppers_mm: tuple[float, ...]
    dose_level: str
    lower_level: str | None
    automatic: bool
    x_ray_on: bool
    still_s: float
    stands_s: float
    source_to_isocenter_mm: float
    source_to_detector_mm: float
    nearest_detector_mm: float | None
    collimation: Collimation
    needed_field_mm: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the beam; what is None stays.

    Attributes
    ----------
    name
        Such as "pulse_rate".
    do, price
        For people: what to do, and what it costs the picture.
    cost, saved
        How much it costs, and what it saves.
    command
        Name and arguments with which the page can do it; None where a hand must.
    """

    name: str
    do: str
    price: str
    cost: Cost
    saved: Saved
    command: tuple[str, Mapping[str, Any]] | None
    pulse_rate_hz: float | None = None
    copper_mm: float | None = None
    dose_level: str | None = None
    source_to_detector_mm: float | None = None
    collimation: Collimation | None = None
    ends_x_ray: bool = False


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a beam gives: air kerma rate at the reference point, mGy/min, and KAP rate, Gy·cm²/min."""

    air_kerma_mgy_min: float
    kap_gy_cm2_min: float


@dataclass(frozen=True, slots=True)
class Advice:
    """A change and the part of the dose it saves, 0 to 1."""

    change: Change
    saving: float

    @property
    def text(self) -> str:
        """For people."""
        change = self.change
        if change.ends_x_ray:
            return f"{change.do}; {change.price}"
        return f"{change.do}: {100.0 * self.saving:.0f} % less {change.saved.value}; {change.price}"


def changes(now: BeamNow) -> tuple[Change, ...]:
    """Return the changes that are possible and leave a usable picture, in no order of worth."""
    candidates = (_hold(now), _collimate(now), _approach(now), _copper(now), _rate(now), _level(now))
    return tuple(change for change in candidates if change is not None)


def cheapest(now: BeamNow, outlook: Callable[[Change | None], Outlook | None]) -> Advice | None:
    """Return the cheapest saving.

    Parameters
    ----------
    now
        How the beam stands.
    outlook
        What the beam would give with a change, and with none (None) now; None where nobody can say, or where the
        picture would not be usable.
    """
    present = outlook(None)
    if present is None:
        return None
    found = []
    for change in changes(now):
        then = Outlook(0.0, 0.0) if change.ends_x_ray else outlook(change)
        saving = None if then is None else _saving(present, then, change.saved)
        if saving is not None and saving >= LEAST_SAVING:
            found.append(Advice(change, saving))
    return min(found, key=lambda one: (one.change.cost, -one.saving), default=None)


def _saving(now: Outlook, then: Outlook, saved: Saved) -> float | None:
    before, after = (
        (now.air_kerma_mgy_min, then.air_kerma_mgy_min)
        if saved is Saved.AIR_KERMA
        else (now.kap_gy_cm2_min, then.kap_gy_cm2_min)
    )
    return 1.0 - after / before if before > 0.0 else None


def _hold(now: BeamNow) -> Change | None:
    if not now.x_ray_on or (now.still_s < STILL_S and now.stands_s < LONG_S):
        return None
    still = now.still_s >= STILL_S
    return Change(
        "hold",
        f"nothing has moved for {now.still_s:.0f} s: let the pedal go"
        if still
        else f"the pedal is down for {now.stands_s:.0f} s in this view: let it go and look at the held picture",
        "it shows the same without X-ray" if still else "motion is not seen meanwhile",
        Cost.NONE if still else Cost.LITTLE,
        Saved.AIR_KERMA,
        None,
        ends_x_ray=True,
    )


def _collimate(now: BeamNow) -> Change | None:
    larger = now.source_to_detector_mm / now.source_to_isocenter_mm
    width, height = (max(LEAST_SIDE_MM, larger * side) / 2.0 for side in now.needed_field_mm)
    open_now = now.collimation
    narrow = Collimation(
        min(open_now.left_mm, width),
        min(open_now.right_mm, width),
        min(open_now.upper_mm, height),
        min(open_now.lower_mm, height),
    )
    if narrow == open_now:
        return None
    edges = {
        "left_mm": round(narrow.left_mm, 1),
        "right_mm": round(narrow.right_mm, 1),
        "upper_mm": round(narrow.upper_mm, 1),
        "lower_mm": round(narrow.lower_mm, 1),
    }
    across, along = now.needed_field_mm
    return Change(
        "collimation",
        f"collimate to {across:.0f} × {along:.0f} mm at the isocentre",
        "what lies outside is not seen",
        Cost.NONE,
        Saved.KAP,
        ("set_collimation", MappingProxyType(edges)),
        collimation=Collimation(**edges),
    )


def _approach(now: BeamNow) -> Change | None:
    nearest = now.nearest_detector_mm
    if nearest is None or nearest >= now.source_to_detector_mm - 5.0:
        return None
    return Change(
        "detector",
        f"bring the detector {now.source_to_detector_mm - nearest:.0f} mm nearer to the patient",
        "less magnified; look that it clears the patient",
        Cost.NONE,
        Saved.AIR_KERMA,
        ("move_joints", MappingProxyType({"source_to_detector": nearest})),
        source_to_detector_mm=nearest,
    )


def _copper(now: BeamNow) -> Change | None:
    # By hand the mAs do not follow: the picture would only get darker.
    more = [copper for copper in now.coppers_mm if copper > now.copper_mm + 1e-9]
    if not more or not now.automatic:
        return None
    return Change(
        "copper",
        f"filter with {more[0]:g} mm copper",
        "a little less contrast",
        Cost.LITTLE,
        Saved.AIR_KERMA,
        ("set_technique", MappingProxyType({"copper_mm": more[0]})),
        copper_mm=more[0],
    )


def _rate(now: BeamNow) -> Change | None:
    lower = [rate for rate in now.pulse_rates_hz if LEAST_RATE_HZ <= rate < now.pulse_rate_hz]
    if not lower:
        return None
    rate = max(lower)
    return Change(
        "pulse_rate",
        f"take {rate:g} pulses a second",
        "motion is shown less smoothly",
        Cost.LITTLE if rate >= SMOOTH_RATE_HZ else Cost.SOME,
        Saved.AIR_KERMA,
        ("set_technique", MappingProxyType({"pulse_rate_hz": rate})),
        pulse_rate_hz=rate,
    )


def _level(now: BeamNow) -> Change | None:
    if now.lower_level is None or not now.automatic:
        return None
    return Change(
        "dose_level",
        f"take the dose level {now.lower_level}",
        "noise grows 1.4 times",
        Cost.LITTLE if now.dose_level == "high" else Cost.SOME,
        Saved.AIR_KERMA,
        ("set_technique", MappingProxyType({"dose_level": now.lower_level})),
        dose_level=now.lower_level,
    )
