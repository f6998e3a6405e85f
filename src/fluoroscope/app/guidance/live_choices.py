"""What can be planned for a patient: procedures, and the levels his labels have."""

import itertools
from typing import Any

from fluoroscope.guidance.planning import PROCEDURES, ProcedurePlan
from fluoroscope.patient.labels import LabelMap
from fluoroscope.patient.level_names import LEVELS, sacral_numbers, vertebra_numbers
from fluoroscope.patient.library import Patient

__all__ = ["plan_choices"]

_ORDER = (*LEVELS, "S1")


def plan_choices(patient: Patient) -> dict[str, Any]:
    """Return ``{"procedures": [{"name", "label", "sided", "levels"}]}``; procedures without a level are left out."""
    if patient.labels is None:
        return {"procedures": []}
    bones = _bones(patient.labels)
    told = []
    for one in PROCEDURES.values():
        levels = _levels(one, bones)
        if levels:
            sided = any(approach.sided for approach in one.approaches)
            told.append({"name": one.name, "label": one.title, "sided": sided, "levels": levels})
    return {"procedures": told}


def _bones(labels: LabelMap) -> list[str]:
    known = set(vertebra_numbers(labels)) | ({"S1"} if sacral_numbers(labels) else set())
    return [level for level in _ORDER if level in known]


def _levels(one: ProcedurePlan, bones: list[str]) -> list[str]:
    found: list[str] = []
    if "space" in one.levels:
        spaces = [f"{upper}-{lower}" for upper, lower in itertools.pairwise(bones)]
        found += _between(spaces, one)
    if "bone" in one.levels:
        found += _between(bones, one)
    if "sacrum" in one.levels and "S1" in bones:
        found.append("sacrum")
    return found


def _between(levels: list[str], one: ProcedurePlan) -> list[str]:
    """Return the levels between a procedure's uppermost and lowest."""

    def place(level: str) -> int:
        return _ORDER.index(level.split("-")[0])

    first = place(one.first) if one.first else 0
    last = place(one.last) if one.last else len(_ORDER)
    return [level for level in levels if first <= place(level) <= last]
