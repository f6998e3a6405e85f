"""The dose rules of a site: one TOML or JSON file, read into a frozen object, and the packaged defaults printed.

Sections: the local alert levels (``source`` and a table for each quantity, as before there were other rules),
``screening``, ``calibration``, ``limits``, ``budget``, ``typical.<procedure>``, ``coefficients``. Every section and
key may be left out; an unknown one is an error, since a rule that is not heard is worse than none.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from json import loads
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from fluoroscope.dose.alerts import PUBLISHED_LEVELS, LevelRule, LevelsFileError, Quantity, local_levels
from fluoroscope.dose.budget import WARN_AT, BudgetRule, DoseQuantity
from fluoroscope.dose.effective_dose import Coefficients, CoefficientsError
from fluoroscope.dose.ledger import NOT_CALIBRATED, Calibration
from fluoroscope.dose.limits import PUBLISHED_LIMITS, RateLimits
from fluoroscope.dose.reference_levels import (
    FEWEST_CASES,
    OWN_CASES_RANGE,
    PACE_QUANTITIES,
    PUBLISHED_TYPICAL,
    Level,
    TypicalDose,
)
from fluoroscope.procedure.catalogue import PROCEDURES
from fluoroscope.procedure.screening import AskUnknown, ScreeningRule

__all__ = ["DoseRules", "DoseRulesError", "dose_rules", "read_rules"]

T = TypeVar("T")

MOST_BYTES = 1_000_000
THE_SITE = "the site"
"""Source of a number that is not the published one, where the file names none."""
EVERY_PROCEDURE = ""
"""Key of the budget that holds where a procedure has none of its own."""


class DoseRulesError(ValueError):
    """A rules file cannot be used: which section and key, and why."""


@dataclass(frozen=True, slots=True)
class DoseRules:
    """What a site has decided about dose.

    Attributes
    ----------
    levels
        Of alerts: the published ones and local ones below them.
    screening
        Whom to ask about a pregnancy.
    calibration
        Of the KAP meter.
    limits
        Of the air kerma rate.
    budgets
        By procedure; under `EVERY_PROCEDURE` for those without their own.
    typical
        Doses by procedure, local over published.
    own_cases
        How many exams of a procedure the room must have for its own medians to be the typical doses.
    coefficients
        Of effective and organ doses, as they stand in the file, checked; see ``Coefficients.from_mapping``.
    source
        The file; "" for the packaged rules.
    """

    levels: tuple[LevelRule, ...] = PUBLISHED_LEVELS
    screening: ScreeningRule = field(default_factory=ScreeningRule)
    calibration: Calibration = NOT_CALIBRATED
    limits: RateLimits = PUBLISHED_LIMITS
    budgets: Mapping[str, BudgetRule] = field(default_factory=dict)
    typical: Mapping[str, TypicalDose] = field(default_factory=lambda: PUBLISHED_TYPICAL)
    own_cases: int = FEWEST_CASES
    coefficients: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""

    def __post_init__(self) -> None:
        low, high = OWN_CASES_RANGE
        if not low <= self.own_cases <= high:
            raise DoseRulesError(f"[typical] own_cases must be {low} to {high}, not {self.own_cases}")
        for name in ("budgets", "typical", "coefficients"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def budget_of(self, procedure: str) -> BudgetRule | None:
        """Return the budget of a procedure; None without one."""
        return self.budgets.get(procedure, self.budgets.get(EVERY_PROCEDURE))


def read_rules(path: Path | None) -> DoseRules:
    """Return the rules of a TOML or JSON file (by its name's end); the packaged ones without a file.

    Raises
    ------
    DoseRulesError
        The file cannot be read or is no TOML or JSON, or as `dose_rules`; names the file.
    """
    if path is None:
        return DoseRules()
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DoseRulesError(f"{path}: over {MOST_BYTES} bytes are no rules")
        # Some editors put a byte order mark before everything.
        text = path.read_text(encoding="utf-8-sig")
        tables = loads(text, object_pairs_hook=_once) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except OSError as fault:
        why = fault.strerror or str(fault)
        raise DoseRulesError(f"{path}: {why}; give a file such as fluoroscope dose rules prints") from fault
    except (ValueError, RecursionError) as fault:
        if isinstance(fault, DoseRulesError):
            raise
        raise DoseRulesError(f"{path}: cannot be read as dose rules: {' '.join(str(fault).split())}") from fault
    try:
        return dose_rules(tables, str(path))
    except DoseRulesError as fault:
        raise DoseRulesError(f"{path}: {fault}") from fault


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, refused where a key stands twice: one of the two would not be heard."""
    found = dict(pairs)
    for name in found:
        if sum(name == one for one, _ in pairs) > 1:
            raise ValueError(f"{name} stands there twice")
    return found


def dose_rules(tables: Any, source: str = "") -> DoseRules:
    """Return the rules that nested tables say.

    Raises
    ------
    DoseRulesError
        A section, key, unit or type is unknown, or a number is outside its range; names section and key.
    """
    if not isinstance(tables, Mapping) or not all(isinstance(name, str) for name in tables):
        raise DoseRulesError("needs sections")
    sections = {
        "screening": _screening,
        "calibration": _calibration,
        "limits": _limits,
        "budget": _budgets,
        "typical": _typical,
        "coefficients": _coefficients,
    }
    level_names = ("source", *Quantity)
    for name in tables:
        if name not in sections and name not in level_names:
            raise DoseRulesError(f"[{name}] is unknown; there are {', '.join([*Quantity, *sections])}")
    read: dict[str, Any] = {
        {"budget": "budgets"}.get(name, name): reader(_Table(name, tables[name]))
        for name, reader in sections.items()
        if name in tables
    }
    if "typical" in read:
        read |= read["typical"]
    return DoseRules(
        levels=_levels({name: tables[name] for name in level_names if name in tables}), **read, source=source
    )


class _Table:
    """One section: hands out its keys, checked, and says which are left over."""

    def __init__(self, name: str, values: Any) -> None:
        if not isinstance(values, Mapping):
            raise DoseRulesError(f"[{name}] must be a table")
        self.name, self._left = name, dict(values)

    def text(self, key: str, default: str = "") -> str:
        value = self._left.pop(key, default)
        if not isinstance(value, str):
            raise DoseRulesError(f"[{self.name}] {key} must be a text, not {value!r}")
        return " ".join(value.split())

    def number(self, key: str, default: float) -> float:
        found = self.optional(key)
        return default if found is None else found

    def optional(self, key: str) -> float | None:
        value = self._left.pop(key, None)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise DoseRulesError(f"[{self.name}] {key} must be a number, not {value!r}")
        try:
            return float(value)
        except OverflowError as fault:
            raise DoseRulesError(f"[{self.name}] {key} is too large") from fault

    def flag(self, key: str, default: bool) -> bool:
        value = self._left.pop(key, default)
        if not isinstance(value, bool):
            raise DoseRulesError(f"[{self.name}] {key} must be true or false, not {value!r}")
        return value

    def choice(self, key: str, default: str, choices: tuple[str, ...]) -> str:
        value = self.text(key, default)
        if value not in choices:
            raise DoseRulesError(f"[{self.name}] {key} must be one of {', '.join(choices)}, not {value!r}")
        return value

    def table(self, key: str) -> "_Table | None":
        return _Table(f"{self.name}.{key}", self._left.pop(key)) if key in self._left else None

    def tables(self) -> dict[str, "_Table"]:
        """Take out every key that is a table."""
        names = [key for key, value in self._left.items() if isinstance(value, Mapping)]
        return {key: _Table(f"{self.name}.{key}", self._left.pop(key)) for key in names}

    def rest(self) -> dict[str, Any]:
        rest, self._left = self._left, {}
        return rest

    def make(self, build: Callable[[], T], *known: str) -> T:
        """Return what the keys make, when none is left over; a number out of range names the section."""
        if self._left:
            raise DoseRulesError(f"[{self.name}] {next(iter(self._left))} is unknown; there are {', '.join(known)}")
        try:
            return build()
        except ValueError as fault:
            raise DoseRulesError(f"[{self.name}] {fault}") from fault


def _levels(tables: Mapping[str, Any]) -> tuple[LevelRule, ...]:
    if not isinstance(tables.get("source", ""), str):
        raise DoseRulesError("source must be a text: who set the local levels and why")
    if not any(name in tables for name in Quantity):
        return PUBLISHED_LEVELS
    try:
        return (*PUBLISHED_LEVELS, *local_levels(tables))
    except LevelsFileError as fault:
        raise DoseRulesError(str(fault)) from fault


def _screening(table: _Table) -> ScreeningRule:
    usual = ScreeningRule()
    ask = table.flag("ask", usual.ask)
    low, high = table.number("from_years", usual.from_years), table.number("to_years", usual.to_years)
    unknown = AskUnknown(table.choice("unknown", usual.unknown, tuple(AskUnknown)))
    changed = (ask, low, high, unknown) != (usual.ask, usual.from_years, usual.to_years, usual.unknown)
    source = table.text("source", THE_SITE if changed else usual.source)
    return table.make(
        lambda: ScreeningRule(ask, low, high, unknown, source), "ask", "from_years", "to_years", "unknown", "source"
    )


def _calibration(table: _Table) -> Calibration:
    factor, source = table.number("factor", 1.0), table.text("source")
    return table.make(lambda: Calibration(factor, source), "factor", "source")


def _limits(table: _Table) -> RateLimits:
    normal = table.number("rate_mgy_min", PUBLISHED_LIMITS.normal_mgy_min)
    high = table.number("high_level_mgy_min", PUBLISHED_LIMITS.high_level_mgy_min)
    changed = (normal, high) != (PUBLISHED_LIMITS.normal_mgy_min, PUBLISHED_LIMITS.high_level_mgy_min)
    source = table.text("source", THE_SITE if changed else PUBLISHED_LIMITS.source)
    return table.make(lambda: RateLimits(normal, high, source), "rate_mgy_min", "high_level_mgy_min", "source")


def _budgets(table: _Table) -> dict[str, BudgetRule]:
    """Read ``[budget]`` for every procedure and ``[budget.<procedure>]`` for one."""
    budgets = {}
    for name, one in table.tables().items():
        _known_procedure(one.name, name)
        budgets[name] = _budget(one)
    rest = table.rest()
    if rest or not budgets:
        budgets[EVERY_PROCEDURE] = _budget(_Table(table.name, rest))
    return budgets


def _budget(table: _Table) -> BudgetRule:
    quantity = DoseQuantity(table.choice("quantity", "", tuple(DoseQuantity)))
    unit = table.text("unit", "")
    if unit not in _UNITS[quantity]:
        raise DoseRulesError(f"[{table.name}] unit must be one of {', '.join(_UNITS[quantity])}, not {unit!r}")
    limit = table.optional("limit")
    if limit is None:
        raise DoseRulesError(f"[{table.name}] needs limit, in {unit}")
    source, warn_at = table.text("source", THE_SITE), table.number("warn_at", WARN_AT)
    limit *= _UNITS[quantity][unit]
    return table.make(
        lambda: BudgetRule(quantity, limit, source, warn_at), "quantity", "unit", "limit", "warn_at", "source"
    )


_GRAY = {"mGy": 1.0, "Gy": 1000.0}
_UNITS: Mapping[DoseQuantity, Mapping[str, float]] = {
    DoseQuantity.AIR_KERMA: _GRAY,
    DoseQuantity.PEAK_SKIN_DOSE: _GRAY,
    DoseQuantity.KAP: {"Gy.cm2": 1.0, "Gy·cm²": 1.0, "dGy.cm2": 0.1, "cGy.cm2": 0.01, "mGy.cm2": 0.001, "uGy.m2": 0.01},
    DoseQuantity.FLUOROSCOPY_TIME: {"s": 1.0, "min": 60.0},
}
"""How many of the quantity's unit one of these is."""


def _typical(table: _Table) -> dict[str, Any]:
    """Read ``own_cases``, and ``[typical.<procedure>]``: source, each quantity's unit, typical and reference_level."""
    typical = dict(PUBLISHED_TYPICAL)
    own_cases = table.number("own_cases", FEWEST_CASES)
    if not float(own_cases).is_integer():
        raise DoseRulesError(f"[{table.name}] own_cases must be a whole number, not {own_cases}")
    for name, one in table.tables().items():
        _known_procedure(one.name, name)
        source, note = one.text("source"), one.text("note")
        levels = {}
        for quantity in PACE_QUANTITIES:
            row = one.table(quantity)
            if row is not None:
                levels[quantity] = _level(row, quantity, source)
        local = one.make(partial(TypicalDose, name, levels, note), "source", "note", *PACE_QUANTITIES)
        if not levels and not note:
            raise DoseRulesError(f"[{one.name}] says nothing; give {', '.join(PACE_QUANTITIES)} or a note")
        typical[name] = local.over(PUBLISHED_TYPICAL.get(name))
    return table.make(lambda: {"typical": typical, "own_cases": int(own_cases)}, "own_cases", *PROCEDURES)


def _level(table: _Table, quantity: DoseQuantity, source: str) -> Level:
    unit = table.text("unit")
    part = _UNITS[quantity].get(unit)
    if part is None:
        raise DoseRulesError(f"[{table.name}] unit must be one of {', '.join(_UNITS[quantity])}, not {unit!r}")
    usual, reference, source = (
        table.optional("typical"),
        table.optional("reference_level"),
        table.text("source", source),
    )
    if not source:
        raise DoseRulesError(f"[{table.name}] needs source: whose cases, how many, when")
    return table.make(
        lambda: Level(None if usual is None else usual * part, None if reference is None else reference * part, source),
        "unit",
        "typical",
        "reference_level",
        "source",
    )


def _coefficients(table: _Table) -> dict[str, Any]:
    rest = table.rest()
    try:
        Coefficients.from_mapping(rest)
    except CoefficientsError as fault:
        raise DoseRulesError(f"[coefficients] {fault}") from fault
    return rest


def _known_procedure(section: str, name: str) -> None:
    if name not in PROCEDURES:
        raise DoseRulesError(f"[{section}] is no procedure; there are {', '.join(PROCEDURES)}")
