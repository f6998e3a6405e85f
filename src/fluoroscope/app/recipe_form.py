"""The form in which a patient is ordered: its fields and ranges for the page, and the recipe read back from it."""

import json
from collections.abc import Mapping
from typing import Any

from fluoroscope.monitor.control import Asset, RefusedError
from fluoroscope.patient.anatomy.parameters import PATHOLOGIES, ParameterError, Pathology, PatientParameters

__all__ = ["FIELDS", "form_asset", "read_recipe"]

FIELDS = (
    # name, label, unit, least, most, step, default (None: drawn from the seed)
    ("age_years", "Age", "years", 4.0, 95.0, 1.0, 45.0),
    ("height_cm", "Height", "cm", 100.0, 215.0, 1.0, None),
    ("bmi", "BMI", "kg/m²", 12.0, 60.0, 0.5, None),
    ("lordosis_deg", "Lordosis L1 to S1", "°", 5.0, 80.0, 1.0, None),
    ("pelvic_incidence_deg", "Pelvic incidence", "°", 25.0, 90.0, 1.0, None),
    ("scoliosis_cobb_deg", "Scoliosis, to the left +", "° Cobb", -60.0, 60.0, 1.0, 0.0),
    ("lumbar_vertebrae", "Lumbar vertebrae", "", 4.0, 6.0, 1.0, 5.0),
)
_LEVELS = ("T11", "T12", "L1", "L2", "L3", "L4", "L5", "L6")
_WORDS = {
    "listhesis": "spondylolisthesis",
    "disc_degeneration": "disc degeneration",
    "vacuum": "vacuum disc",
    "facet_arthrosis": "facet arthrosis",
    "fracture": "compression fracture",
    "lytic": "metastasis, lytic",
    "blastic": "metastasis, blastic",
    "fusion": "fusion, screws and rods",
}


def form_asset() -> Asset:
    """Return ``making.json``: fields, kinds of abnormality, levels."""
    names = ("name", "label", "unit", "min", "max", "step", "default")
    content = {
        "fields": [dict(zip(names, field, strict=True)) for field in FIELDS],
        "pathologies": [
            {
                "kind": kind,
                "label": _WORDS.get(kind, kind),
                "needs_level": known.needs_level,
                "min": known.low,
                "max": known.high,
                "default": known.default,
                "amount": known.amount,
            }
            for kind, known in PATHOLOGIES.items()
        ],
        "levels": list(_LEVELS),
    }
    return Asset(json.dumps(content).encode(), "application/json")


def read_recipe(recipe: Mapping[str, Any]) -> PatientParameters:
    """Return the parameters of a recipe as the page sends it.

    Raises
    ------
    RefusedError
        When a value is out of range; its ``field`` is the name of the one that is.
    """
    plain = {name: value for name, value in recipe.items() if name != "pathologies"}
    try:
        found = tuple(_pathology(one) for one in recipe.get("pathologies", ()))
        return PatientParameters(**plain, pathologies=found)
    except ParameterError as fault:
        first = str(fault).split()[0].rstrip(":")
        raise RefusedError(str(fault), first) from fault


def _pathology(one: Mapping[str, Any]) -> Pathology:
    kind, amount = str(one["kind"]), one.get("amount")
    known = PATHOLOGIES.get(kind)
    usual = 0.0 if known is None else known.default
    return Pathology(kind, str(one.get("level", "")), usual if amount is None else float(amount))
