"""Organ doses per kerma-area product from our own Monte Carlo of a stylised adult.

Baked by scripts/patient_monte_carlo.py: the adult of ORNL/TM-8381 (Cristy and Eckerman 1987) without arms, a field of
12 × 12 cm at the isocentre 60 cm from the source, photoelectric effect, Compton and coherent scatter. Compared with
published figures in docs/explanations/patient-and-staff-dose.md.
"""

from bisect import bisect_right
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

__all__ = [
    "MONTE_CARLO_SOURCE",
    "REFERENCE_COPPER_MM",
    "REFERENCE_KV",
    "monte_carlo",
    "oblique_ratio",
    "per_kap",
    "quality_ratio",
]

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
    table = _tables().get((quantity, _LIKE.get(region, region), projection))
    return None if table is None else _at(table, tube_voltage_kv, copper_mm)


def quality_ratio(
    quantity: str, region: str, projection: str, tube_voltage_kv: float | None, copper_mm: float | None
) -> float:
    """Return how a coefficient changes from the reference beam to this one; 1 where the beam is not known."""
    if tube_voltage_kv is None:
        return 1.0
    copper = REFERENCE_COPPER_MM if copper_mm is None else copper_mm
    here = per_kap(quantity, region, projection, tube_voltage_kv, copper)
    there = _at_reference(quantity, region, projection)
    return here / there if here and there else 1.0


def oblique_ratio(quantity: str, region: str, primary_deg: float, shares: Mapping[str, float]) -> float:
    """Return what a direction gives over the mix of front, back and side by ``shares``: sides and obliques differ.

    Calculated each 45° for the lumbar spine, straight lines between; 1 elsewhere.
    """
    if _LIKE.get(region, region) != "lumbar" or quantity not in _around():
        return 1.0
    mixed = sum(share * (_at_reference(quantity, region, name) or 0.0) for name, share in shares.items())
    ring = _around()[quantity]
    place = primary_deg % 360.0 / 45.0
    low = int(place) % 8
    here = ring[low] + (place - int(place)) * (ring[(low + 1) % 8] - ring[low])
    return here / mixed if mixed > 0.0 else 1.0


@cache
def _at_reference(quantity: str, region: str, projection: str) -> float | None:
    return per_kap(quantity, region, projection, REFERENCE_KV, REFERENCE_COPPER_MM)


_Table = list[list[float]]


@cache
def _tables() -> dict[tuple[str, str, str], _Table]:
    """Return (voltages, coppers) of every quantity, region and projection, as lists: quicker one by one."""
    tables = monte_carlo()
    values = tables["mgy_per_gy_cm2"].astype(np.float64)
    return {
        (organ, region, projection): values[place][list(sides), number].mean(axis=0).tolist()
        for place, region in enumerate(tables["regions"].tolist())
        for number, organ in enumerate(tables["organs"].tolist())
        for projection, sides in _SIDES.items()
    }


@cache
def _around() -> dict[str, list[float]]:
    """Return each quantity at 0, 45 … 315° of the lumbar spine, of the reference beam."""
    tables = monte_carlo()
    order = np.argsort(tables["angles_deg"] % 360.0)
    values = tables["lumbar_mgy_per_gy_cm2"][order].astype(np.float64).tolist()
    return {
        organ: [_at(rows[number], REFERENCE_KV, REFERENCE_COPPER_MM) for rows in values]
        for number, organ in enumerate(tables["organs"].tolist())
    }


@cache
def _grids() -> tuple[list[float], list[float]]:
    return monte_carlo()["voltages_kv"].tolist(), monte_carlo()["coppers_mm"].tolist()


def _at(table: _Table, tube_voltage_kv: float, copper_mm: float) -> float:
    """Interpolate (voltages, coppers)."""
    voltages, coppers = _grids()
    row, down = _place(voltages, tube_voltage_kv)
    column, along = _place(coppers, copper_mm)
    first, second = (line[column] + along * (line[column + 1] - line[column]) for line in (table[row], table[row + 1]))
    return first + down * (second - first)


def _place(grid: list[float], at: float) -> tuple[int, float]:
    """Return the step below and the part of the way to the next, within the grid."""
    low = min(max(bisect_right(grid, at) - 1, 0), len(grid) - 2)
    return low, min(max((at - grid[low]) / (grid[low + 1] - grid[low]), 0.0), 1.0)
