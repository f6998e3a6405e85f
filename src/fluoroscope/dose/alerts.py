"""Alerts of a procedure: each level of peak skin dose, air kerma, KAP and fluoroscopy time once, in order.

The levels are data, each with its source. Which alerts there are follows from the largest value of every
quantity at every event and from nothing else, so the same cumulative values, read again after a crash or from
a file, give the same alerts. What nobody knows raises none.
"""

import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from json import loads
from pathlib import Path
from typing import Any

from fluoroscope.dose.budget import DoseQuantity

__all__ = [
    "PUBLISHED_LEVELS",
    "Alert",
    "AlertKind",
    "AlertWatch",
    "CumulativeDose",
    "FollowingLevel",
    "LevelRule",
    "LevelsFileError",
    "Quantity",
    "alerts_of",
    "local_levels",
    "read_levels",
]


class Quantity(StrEnum):
    """What is watched."""

    PEAK_SKIN_DOSE = "peak_skin_dose"
    AIR_KERMA = "air_kerma"
    KAP = "kap"
    FLUOROSCOPY_TIME = "fluoroscopy_time"

    @property
    def unit(self) -> str:
        """Unit of its levels."""
        return _UNITS[self]

    @property
    def words(self) -> str:
        """For people."""
        return DoseQuantity(self.value).words


_UNITS = {
    Quantity.PEAK_SKIN_DOSE: "Gy",
    Quantity.AIR_KERMA: "Gy",
    Quantity.KAP: "Gy·cm²",
    Quantity.FLUOROSCOPY_TIME: "min",
}
_ORDER = {quantity: place for place, quantity in enumerate(Quantity)}


class AlertKind(StrEnum):
    """Which level was reached; a level that is several of these is the last of them."""

    NEXT = "next"
    FIRST = "first"
    SUBSTANTIAL = "substantial"


@dataclass(frozen=True, slots=True)
class LevelRule:
    """Levels of one quantity, in its unit.

    Attributes
    ----------
    first
        The first level.
    every
        From one level to the next; None for the first one only.
    substantial
        Substantial radiation dose level (SRDL); None without one.
    source
        Who says so.
    below
        Levels of this rule end below this value; None for no end.
    """

    quantity: Quantity
    first: float
    every: float | None
    substantial: float | None
    source: str
    below: float | None = None

    def reached(self, above: float, value: float) -> Iterator[tuple[float, AlertKind]]:
        """Yield every level above one value up to another, in no order; a number may come twice, of two kinds."""
        if self.substantial is not None and above < self.substantial <= value:
            yield self.substantial, AlertKind.SUBSTANTIAL
        # One step early: a sum of steps is rounded.
        count = 0 if self.every is None else max(0, int((above - self.first) / self.every) - 1)
        while (level := _tidy(self.first + count * (self.every or 0.0))) <= value:
            if self.below is not None and level >= self.below:
                return
            if level > above:
                yield level, AlertKind.NEXT if count else AlertKind.FIRST
            if self.every is None:
                return
            count += 1

    def following(self, value: float) -> tuple[float, AlertKind, "LevelRule"] | None:
        """Return the lowest level above ``value``, of its graver kind, and this rule; None when there is none."""
        found = [] if self.substantial is None else [(self.substantial, AlertKind.SUBSTANTIAL)]
        if value < self.first:
            found.append((self.first, AlertKind.FIRST))
        elif self.every is not None:
            steps = int((value - self.first) / self.every)
            found += [(_tidy(self.first + (steps + more) * self.every), AlertKind.NEXT) for more in (0, 1, 2)]
        ahead = [
            (level, kind)
            for level, kind in found
            if level > value and (kind is AlertKind.SUBSTANTIAL or self.below is None or level < self.below)
        ]
        if not ahead:
            return None
        level = min(level for level, _ in ahead)
        return level, max((kind for one, kind in ahead if one == level), key=list(AlertKind).index), self


_NCRP = "NCRP 168; SIR 2009"

PUBLISHED_LEVELS = (
    LevelRule(Quantity.PEAK_SKIN_DOSE, 2.0, 0.5, 3.0, _NCRP),
    LevelRule(Quantity.AIR_KERMA, 3.0, 1.0, 5.0, _NCRP),
    LevelRule(Quantity.KAP, 300.0, 100.0, 500.0, _NCRP),
    LevelRule(Quantity.FLUOROSCOPY_TIME, 30.0, 15.0, 60.0, "SIR 2009"),
)
"""Notification and substantial levels: NCRP Report 168 (2010); Stecker et al., JVIR 20:S263 (2009)."""

MOST = {
    Quantity.PEAK_SKIN_DOSE: 100.0,
    Quantity.AIR_KERMA: 100.0,
    Quantity.KAP: 100_000.0,
    Quantity.FLUOROSCOPY_TIME: 1440.0,
}
"""What no procedure gives, in the quantity's unit: a value above it is a fault of the reading, not a dose."""

LEAST_LOCAL_PART, LEAST_STEP_PART = 1e-6, 1e-3
"""A local level, and its steps, are at least these parts of the published ones: a spine clinic's case gives 1 mGy."""


@dataclass(frozen=True, slots=True)
class CumulativeDose:
    """Totals of a procedure at one moment; None where not known: mGy, mGy, Gy·cm², s."""

    peak_skin_dose_mgy: float | None = None
    air_kerma_mgy: float | None = None
    kap_gy_cm2: float | None = None
    fluoroscopy_time_s: float | None = None

    def values(self) -> dict[Quantity, float | None]:
        """Return them in the units of the levels.

        Raises
        ------
        ValueError
            One is negative, not finite, or more than any procedure gives (`MOST`).
        """
        found: dict[Quantity, float | None] = {}
        for quantity, value, part in (
            (Quantity.PEAK_SKIN_DOSE, self.peak_skin_dose_mgy, 1000.0),
            (Quantity.AIR_KERMA, self.air_kerma_mgy, 1000.0),
            (Quantity.KAP, self.kap_gy_cm2, 1.0),
            (Quantity.FLUOROSCOPY_TIME, self.fluoroscopy_time_s, 60.0),
        ):
            scaled = None if value is None else value / part
            if scaled is not None and not 0.0 <= scaled <= MOST[quantity]:
                most = MOST[quantity]
                raise ValueError(
                    f"{quantity.words} of {scaled:g} {quantity.unit}: no procedure gives that (0 to {most:g})"
                )
            found[quantity] = scaled
        return found


@dataclass(frozen=True, slots=True)
class Alert:
    """A level that was reached.

    Attributes
    ----------
    level
        In the quantity's unit.
    at_event
        Number of the event, from 1, in which it was reached; None when only the total says so.
    source
        Who set the level.
    acknowledged_by, acknowledged_at
        By name and when; "" and None until then.
    """

    quantity: Quantity
    level: float
    kind: AlertKind
    at_event: int | None
    source: str
    acknowledged_by: str = ""
    acknowledged_at: datetime | None = None

    @property
    def name(self) -> str:
        """The same for the same level of a procedure, such as "air_kerma 3 Gy"."""
        return f"{self.quantity} {self.level:.9g} {self.quantity.unit}"

    @property
    def text(self) -> str:
        """For people, with unit and source."""
        of = {AlertKind.SUBSTANTIAL: "substantial level", AlertKind.FIRST: "first level", AlertKind.NEXT: "level"}
        words = self.quantity.words
        return f"{words[0].upper()}{words[1:]}: {_figure(self.quantity, self.level)}, {of[self.kind]} ({self.source})"

    @property
    def facts(self) -> dict[str, Any]:
        """What was reached, JSON-ready; who saw it is not in it."""
        return {
            "quantity": self.quantity.value,
            "level": self.level,
            "unit": self.quantity.unit,
            "at_event": self.at_event,
            "kind": self.kind.value,
            "source": self.source,
        }


@dataclass(frozen=True, slots=True)
class FollowingLevel:
    """The level that comes next, not reached yet.

    Attributes
    ----------
    alert
        As it will be raised; its event is not known.
    value
        What was reached so far, in the level's unit.
    """

    alert: Alert
    value: float

    @property
    def fraction(self) -> float:
        """Value per level, below 1."""
        return self.value / self.alert.level


class AlertWatch:
    """The alerts of one procedure so far.

    Parameters
    ----------
    rules
        `PUBLISHED_LEVELS`, and local ones before or after them. A level named by two rules is one alert, of the
        graver kind and the source of that kind; of the same kind, of the first rule's source.
    """

    def __init__(self, rules: Sequence[LevelRule] = PUBLISHED_LEVELS) -> None:
        self._rules = tuple(rules)
        self._highest: dict[Quantity, float] = {}
        self._raised: dict[str, Alert] = {}

    def update(self, dose: CumulativeDose, at_event: int | None) -> tuple[Alert, ...]:
        """Take in the totals at ``at_event`` and return what they newly raise, by quantity, then by level.

        Totals that fall raise nothing and take nothing back.

        Raises
        ------
        ValueError
            As `CumulativeDose.values`; nothing is changed then.
        """
        new = []
        for quantity, value in dose.values().items():
            before = self._highest.get(quantity, 0.0)
            if value is not None:
                self._highest.setdefault(quantity, before)
            if value is None or value <= before:
                continue
            self._highest[quantity] = value
            for level, (kind, source) in sorted(self._levels(quantity, before, value).items()):
                new.append(Alert(quantity, level, kind, at_event, source))
        self._raised |= {alert.name: alert for alert in new}
        return tuple(new)

    def acknowledge(self, name: str, by: str, at: datetime) -> Alert:
        """Note who saw an alert, and when.

        Raises
        ------
        ValueError
            Nobody is named, the time has no zone, no such alert was raised, or it is acknowledged already.
        """
        person = " ".join(by.split())
        if not person:
            raise ValueError("an alert is acknowledged by name: say who")
        if at.tzinfo is None:
            raise ValueError("the time of an acknowledgement needs its zone")
        alert = self._raised.get(name)
        if alert is None:
            raise ValueError(f"no alert {name!r} was raised")
        if alert.acknowledged_at is not None:
            raise ValueError(f"{name} was acknowledged by {alert.acknowledged_by} already")
        self._raised[name] = replace(alert, acknowledged_by=person, acknowledged_at=at)
        return self._raised[name]

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """All, by event, then by quantity and level; those only a total shows come last."""
        return tuple(sorted(self._raised.values(), key=_place))

    @property
    def open(self) -> tuple[Alert, ...]:
        """Those nobody acknowledged, in the same order."""
        return tuple(alert for alert in self.alerts if alert.acknowledged_at is None)

    @property
    def highest(self) -> dict[Quantity, Alert]:
        """The highest alert of every quantity that has one."""
        found: dict[Quantity, Alert] = {}
        for alert in sorted(self._raised.values(), key=lambda one: (_ORDER[one.quantity], one.level)):
            found[alert.quantity] = alert
        return found

    @property
    def substantial(self) -> tuple[Quantity, ...]:
        """The quantities that reached a substantial level."""
        found = {alert.quantity for alert in self._raised.values() if alert.kind is AlertKind.SUBSTANTIAL}
        return tuple(sorted(found, key=_ORDER.__getitem__))

    @property
    def following(self) -> FollowingLevel | None:
        """The level nearest in parts of itself among those not reached, of quantities that are known; else None."""
        nearest: list[FollowingLevel] = []
        for quantity, value in self._highest.items():
            levels = [rule.following(value) for rule in self._rules if rule.quantity is quantity]
            known = [(level, -_GRAVITY[kind], kind, rule) for one in levels if one for level, kind, rule in [one]]
            if known:
                level, _, kind, rule = min(known, key=lambda one: one[:2])
                nearest.append(FollowingLevel(Alert(quantity, level, kind, None, rule.source), value))
        return max(nearest, key=lambda one: one.fraction, default=None)

    def _levels(self, quantity: Quantity, above: float, value: float) -> dict[float, tuple[AlertKind, str]]:
        found: dict[float, tuple[AlertKind, str]] = {}
        for rule in self._rules:
            if rule.quantity is not quantity:
                continue
            for level, kind in rule.reached(above, value):
                if level not in found or _GRAVITY[kind] > _GRAVITY[found[level][0]]:
                    found[level] = kind, rule.source
        return found


_GRAVITY = {kind: place for place, kind in enumerate(AlertKind)}


def alerts_of(
    sequence: Iterable[tuple[CumulativeDose, int | None]], rules: Sequence[LevelRule] = PUBLISHED_LEVELS
) -> AlertWatch:
    """Return the watch after a whole sequence of totals, each with its event number; errors as `AlertWatch.update`."""
    watch = AlertWatch(rules)
    for dose, at_event in sequence:
        watch.update(dose, at_event)
    return watch


def _place(alert: Alert) -> tuple[float, int, float]:
    return math.inf if alert.at_event is None else alert.at_event, _ORDER[alert.quantity], alert.level


def _tidy(level: float) -> float:
    """Return a sum of steps as the number one would write: 0.3, not 0.30000000000000004."""
    return float(f"{level:.9g}")


def _figure(quantity: Quantity, level: float) -> str:
    if quantity.unit == "Gy" and level < 1.0:
        return f"{1000.0 * level:.6g} mGy"
    return f"{level:.6g} {quantity.unit}"


# Local levels


class LevelsFileError(ValueError):
    """A file of local levels cannot be used, and why."""


_PARTS = {
    "Gy": {"Gy": 1.0, "mGy": 1000.0},
    "Gy·cm²": {"Gy·cm²": 1.0, "Gy.cm2": 1.0, "dGy.cm2": 10.0, "cGy.cm2": 100.0, "mGy.cm2": 1000.0, "uGy.m2": 100.0},
    "min": {"min": 1.0, "s": 60.0},
}
"""How many of a unit make one of the quantity's."""


def read_levels(path: Path) -> tuple[LevelRule, ...]:
    """Return `PUBLISHED_LEVELS` and below them the local ones of a TOML or JSON file (by its name's end).

    Raises
    ------
    LevelsFileError
        The file cannot be read or is no TOML or JSON, or as `local_levels`.
    """
    try:
        text = path.read_text(encoding="utf-8")
        tables = loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as fault:
        raise LevelsFileError(f"{path}: cannot be read as levels: {fault}") from fault
    try:
        return (*PUBLISHED_LEVELS, *local_levels(tables))
    except LevelsFileError as fault:
        raise LevelsFileError(f"{path}: {fault}") from fault


def local_levels(tables: Any) -> tuple[LevelRule, ...]:
    """Return the local rules of a table ``{"source": …, QUANTITY: {"unit", "first", "every", "substantial"}}``.

    ``first`` is needed, ``every`` and ``substantial`` are not. Local levels lie below the published ones and end
    where those begin: they may warn earlier, never later.

    Raises
    ------
    LevelsFileError
        A name, unit or type is unknown, or a number is outside its range, which is said.
    """
    if not isinstance(tables, Mapping) or not all(isinstance(name, str) for name in tables):
        raise LevelsFileError("needs a table for each quantity")
    source = tables.get("source")
    if not isinstance(source, str) or not source.strip():
        raise LevelsFileError('needs source = "who set these levels and why"')
    names = [name for name in tables if name != "source"]
    for name in names:
        if name not in set(Quantity):
            raise LevelsFileError(f"{name} is not watched; there are {', '.join(Quantity)}")
    if not names:
        raise LevelsFileError(f"has no level; give one of {', '.join(Quantity)}")
    return tuple(
        _local_rule(rule, tables[rule.quantity], source) for rule in PUBLISHED_LEVELS if rule.quantity in names
    )


def _local_rule(published: LevelRule, table: Any, source: str) -> LevelRule:
    quantity = published.quantity
    parts = _PARTS[quantity.unit]
    if not isinstance(table, Mapping):
        raise LevelsFileError(f"{quantity} needs unit and first")
    for name in table:
        if name not in ("unit", "first", "every", "substantial"):
            raise LevelsFileError(f"{quantity}: {name} is unknown; there are unit, first, every, substantial")
    unit = table.get("unit")
    if not isinstance(unit, str) or unit not in parts:
        raise LevelsFileError(f"{quantity}: unit must be one of {', '.join(parts)}, not {unit!r}")

    def number(name: str, least: float, most: float) -> float:
        value, part = table[name], parts[unit]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise LevelsFileError(f"{quantity}: {name} must be a number in {unit}, not {value!r}")
        if not least * part <= value <= most * part:
            raise LevelsFileError(
                f"{quantity}: {name} must lie from {least * part:.6g} to {most * part:.6g} {unit}, not {value} {unit}"
            )
        return _tidy(value / part)

    if "first" not in table:
        raise LevelsFileError(f"{quantity} needs first, in {unit}")
    first = number("first", LEAST_LOCAL_PART * published.first, published.first)
    every, substantial = None, None
    if "every" in table and published.every is not None:
        every = number("every", LEAST_STEP_PART * published.every, published.first)
    if "substantial" in table and published.substantial is not None:
        substantial = number("substantial", first, published.substantial)
    return LevelRule(quantity, first, every, substantial, source.strip(), published.first)
