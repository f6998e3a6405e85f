"""The dose rules written out as the file they can be read from: TOML to be edited by a site, or JSON."""

import json
from collections.abc import Mapping
from typing import Any

from fluoroscope.app.dose.rules import EVERY_PROCEDURE, DoseRules
from fluoroscope.dose.alerts import LevelRule
from fluoroscope.dose.budget import BudgetRule
from fluoroscope.dose.reference_levels import TypicalDose

__all__ = ["rules_tables", "rules_toml"]

_HEAD = """\
# Dose rules of a site. What stands here is what holds; change it and give the file with --dose-rules.
# Sources marked [K] are known at second hand: check them before use.
# Published alert levels always hold; local ones below them, such as the median and 75th percentile of a room:
#   source = "room 3, median and 75th percentile of 2025"   (above the first section)
#   [air_kerma]
#   unit = "mGy"
#   first = 12
#   every = 13
# A budget for every procedure, or under [budget.PROCEDURE] for one:
#   [budget]
#   quantity = "air_kerma"    # kap, peak_skin_dose, fluoroscopy_time
#   unit = "mGy"
#   limit = 50
#   warn_at = 0.8
# From own_cases exams of a procedure on, the medians of the room itself are its typical doses.
"""


def rules_tables(rules: DoseRules) -> dict[str, Any]:
    """Return the rules as nested tables, JSON-ready; `dose_rules` of them gives the same rules."""
    screening, limits = rules.screening, rules.limits
    tables: dict[str, Any] = {}
    local = [rule for rule in rules.levels if rule.below is not None]
    if local:
        tables["source"] = local[0].source
        tables |= {rule.quantity.value: _level(rule) for rule in local}
    tables["screening"] = {
        "ask": screening.ask,
        "from_years": screening.from_years,
        "to_years": screening.to_years,
        "unknown": screening.unknown.value,
        "source": screening.source,
    }
    tables["calibration"] = {"factor": rules.calibration.factor, "source": rules.calibration.source}
    tables["limits"] = {
        "rate_mgy_min": limits.normal_mgy_min,
        "high_level_mgy_min": limits.high_level_mgy_min,
        "source": limits.source,
    }
    budgets = {name: _budget(rule) for name, rule in rules.budgets.items()}
    if budgets:
        tables["budget"] = budgets.pop(EVERY_PROCEDURE, {}) | budgets
    tables["typical"] = {"own_cases": rules.own_cases} | {name: _typical(one) for name, one in rules.typical.items()}
    if rules.coefficients:
        tables["coefficients"] = _plain(rules.coefficients)
    return tables


def rules_toml(rules: DoseRules) -> str:
    """Return the rules as TOML, with a head that shows what may be added."""
    lines: list[str] = [_HEAD]
    tables = rules_tables(rules)
    for name in [name for name, value in tables.items() if not isinstance(value, Mapping)]:
        lines.append(f"{name} = {_value(tables.pop(name))}\n")
    for name, table in tables.items():
        _section(name, table, lines)
    return "".join(lines)


def _section(name: str, table: Mapping[str, Any], lines: list[str]) -> None:
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    if plain:
        lines.append(f"\n[{name}]\n")
        lines += [f"{_key(key)} = {_value(value)}\n" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, Mapping):
            _section(f"{name}.{_key(key)}", value, lines)


def _key(key: str) -> str:
    return (
        key if key.replace("_", "").replace("-", "").isascii() and key.replace("_", "").isalnum() else json.dumps(key)
    )


def _value(value: Any) -> str:
    # A JSON string, number or list of them is a TOML one.
    return json.dumps(value, ensure_ascii=False)


def _level(rule: LevelRule) -> dict[str, Any]:
    unit = {"Gy·cm²": "Gy.cm2"}.get(rule.quantity.unit, rule.quantity.unit)
    table: dict[str, Any] = {"unit": unit, "first": rule.first}
    return table | {
        key: value for key, value in (("every", rule.every), ("substantial", rule.substantial)) if value is not None
    }


def _budget(rule: BudgetRule) -> dict[str, Any]:
    unit = {"Gy·cm²": "Gy.cm2"}.get(rule.quantity.unit, rule.quantity.unit)
    return {
        "quantity": rule.quantity.value,
        "unit": unit,
        "limit": rule.limit,
        "warn_at": rule.warn_at,
        "source": rule.source,
    }


def _typical(one: TypicalDose) -> dict[str, Any]:
    table: dict[str, Any] = {"note": one.note} if one.note else {}
    for quantity, level in one.levels.items():
        row: dict[str, Any] = {"unit": {"Gy·cm²": "Gy.cm2"}.get(quantity.unit, quantity.unit)}
        row |= {} if level.typical is None else {"typical": level.typical}
        row |= {} if level.reference_level is None else {"reference_level": level.reference_level}
        table[quantity.value] = row | {"source": level.source}
    return table


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
