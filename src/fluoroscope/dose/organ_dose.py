"""Organ doses per kerma-area product from our own Monte Carlo of a stylised adult.

Baked by scripts/patient_monte_carlo.py: the adult of ORNL/TM-8381 (Cristy and Eckerman 1987) without arms, a field of
12 × 12 cm at the isocentre 60 cm from the source, photoelectric effect, Compton and coherent scatter. Compared with
published figures in docs/explanations/patient-and-staff-dose.md.
"""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MONTE_CARLO_SOURCE",
    "REFERENCE_COPPER_MM",
    "REFERENCE_KV",
    "monte_carlo",
    "oblique_ratio",
    "per_kap",
    "quality_ratio",
]

Array = NDArray[np.float64]

MONTE_CARLO_SOURCE = "own Monte Carlo of the stylised adult of ORNL/TM-8381, 80 kV, 3.1 mm Al, field 12 cm"
REFERENCE_KV = 80.0
REFERENCE_COPPER_MM = 0.0
"""The beam the coefficients are for; another beam is brought to it by `quality_ratio`."""
_SIDES = {"ap": (0,), "pa": (1,), "lateral": (2, 3)}
"""Lateral is the mean of both sides."""
_LIKE = {"abdomen": "lumbar"}


@cache
def monte_carlo() -> dict[str, Any]:
    """Return the baked tables by name, read-only."""
    path = resources.files("fluoroscope.dose").joinpath("data/patient_monte_carlo.npz")
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        tables = {name: archive[name] for name in archive.files}
    for table in tables.values():
        table.setflags(write=False)
    return tables


def per_kap(quantity: str, region: str, projection: str, tube_voltage_kv: float, copper_mm: float) -> float | None:
    """Return mGy (of "effective" mSv) per Gy·cm²; None for an organ or region that was not calculated.

    Straight lines between 60 and 120 kV and between 0 and 0.9 mm Cu, the ends outside.
    """
    tables = monte_carlo()
    organs, regions = tables["organs"].tolist(), tables["regions"].tolist()
    region = _LIKE.get(region, region)
    if quantity not in organs or region not in regions:
        return None
    rows = tables["mgy_per_gy_cm2"][regions.index(region)][list(_SIDES[projection]), organs.index(quantity)]
    return _at(rows.mean(axis=0), tube_voltage_kv, copper_mm)


def quality_ratio(
    quantity: str, region: str, projection: str, tube_voltage_kv: float | None, copper_mm: float | None
) -> float:
    """Return how a coefficient changes from the reference beam to this one; 1 where the beam is not known."""
    if tube_voltage_kv is None:
        return 1.0
    copper = REFERENCE_COPPER_MM if copper_mm is None else copper_mm
    here = per_kap(quantity, region, projection, tube_voltage_kv, copper)
    there = per_kap(quantity, region, projection, REFERENCE_KV, REFERENCE_COPPER_MM)
    return here / there if here and there else 1.0


def oblique_ratio(quantity: str, region: str, primary_deg: float, shares: Mapping[str, float]) -> float:
    """Return what a direction gives over the mix of front, back and side by ``shares``: sides and obliques differ.

    Calculated each 45° for the lumbar spine, straight lines between; 1 elsewhere.
    """
    tables = monte_carlo()
    organs = tables["organs"].tolist()
    if _LIKE.get(region, region) != "lumbar" or quantity not in organs:
        return 1.0
    beam = (REFERENCE_KV, REFERENCE_COPPER_MM)
    mixed = sum(share * (per_kap(quantity, region, name, *beam) or 0.0) for name, share in shares.items())
    rows = [_at(table[organs.index(quantity)], *beam) for table in tables["lumbar_mgy_per_gy_cm2"]]
    order = np.argsort(tables["angles_deg"])
    here = float(np.interp(primary_deg, tables["angles_deg"][order], np.array(rows)[order], period=360.0))
    return here / mixed if mixed > 0.0 else 1.0


def _at(table: Array, tube_voltage_kv: float, copper_mm: float) -> float:
    """Interpolate (voltages, coppers)."""
    tables = monte_carlo()
    along = [np.interp(copper_mm, tables["coppers_mm"], row) for row in table]
    return float(np.interp(tube_voltage_kv, tables["voltages_kv"], along))
