"""Backscatter and water to air as published in a table: what the polynomial and the fit are checked against.

Benmakhlouf, Bouchard, Fransson, Andreo 2011, Phys Med Biol 56:7179: square fields of 5 to 35 cm, 50 to 150 kV, 1.78 to
12.48 mm Al. The values were typed in by the authors of PySkinDose (MIT licence).
"""

from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from fluoroscope.beam.spline import CubicSpline
from fluoroscope.dose.skin_factors import BACKSCATTER_SIDES_CM, BeamQuality

__all__ = ["published_factors", "published_quality", "published_rows"]

Array = NDArray[np.float64]


@lru_cache(maxsize=1)
def published_rows() -> Array:
    """Return (143, 12): kV, HVL mm Al, k_bs at `BACKSCATTER_SIDES_CM`, water to air there; by kV, then HVL."""
    text = resources.files("fluoroscope.dose").joinpath("data/backscatter_2011.csv").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and line[0].isdigit()]
    rows = np.array([[float(part) for part in line.split(",")] for line in lines])
    rows.setflags(write=False)
    return rows


def published_factors(tube_voltage_kv: float, hvl_mm_al: float) -> tuple[Array, Array]:
    """Return k_bs and water to air at the five sides, (5,) each: linear in HVL and kV, the nearer end outside."""
    rows = published_rows()
    voltages = np.unique(rows[:, 0])
    at_voltages = np.empty((len(voltages), 10))
    for number, voltage in enumerate(voltages):
        chosen = rows[rows[:, 0] == voltage]
        for column in range(10):
            at_voltages[number, column] = np.interp(hvl_mm_al, chosen[:, 1], chosen[:, 2 + column])
    found = np.array([np.interp(tube_voltage_kv, voltages, at_voltages[:, column]) for column in range(10)])
    return found[:5], found[5:]


def published_quality(tube_voltage_kv: float, hvl_mm_al: float, table: float) -> BeamQuality:
    """Return a beam whose backscatter and water to air are the table's, in place of the polynomial's and the fit's."""
    scatter, medium = published_factors(tube_voltage_kv, hvl_mm_al)
    spline = np.ascontiguousarray(CubicSpline.through(BACKSCATTER_SIDES_CM, scatter).coefficients, dtype=np.float64)
    spline.setflags(write=False)
    return BeamQuality(tube_voltage_kv, hvl_mm_al, float(medium.mean()), table, spline, float(scatter.max()))
