"""From air kerma at the reference point to dose in skin: the factors, each with its source.

Dose to a cell of skin = Ka,r · k_isq · k_bs · k_med · k_tab (IAEA TRS 457). Lengths mm, sides of fields cm,
half-value layers mm Al, tube voltages kV.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fluoroscope.beam import MATERIALS, Filtration, linear_attenuation_per_mm, tube_spectrum
from fluoroscope.beam.spline import CubicSpline

__all__ = [
    "BACKSCATTER_SIDES_CM",
    "BeamQuality",
    "backscatter",
    "backscatter_at_sides",
    "beam_quality",
    "half_value_layer_mm_al",
    "inverse_square",
    "medium",
    "oblique_transmission",
    "table_transmission",
]

Array = NDArray[np.float64]

BACKSCATTER_SIDES_CM = np.array([5.0, 10.0, 20.0, 25.0, 35.0])
"""Sides of the square fields the backscatter polynomial is given for; smaller and larger fields take the end's."""

_BACKSCATTER = np.array(
    [
        # c0 … c8 at each side: H⁰·(1, U, U²), H¹·(1, U, U²), H²·(1, U, U²). Benmakhlouf 2013, PMB 58:247, eq. 8.
        [1.00870e0, 9.29969e-1, 8.65442e-1, 8.58665e-1, 8.57065e-1],
        [2.35816e-3, 4.08549e-3, 5.36739e-3, 5.51579e-3, 5.55933e-3],
        [-9.48937e-6, -1.66271e-5, -2.21494e-5, -2.27532e-5, -2.28004e-5],
        [1.03143e-1, 1.53605e-1, 1.72418e-1, 1.70826e-1, 1.66418e-1],
        [-1.04881e-3, -1.45187e-3, -1.46088e-3, -1.38540e-3, -1.28180e-3],
        [3.59731e-6, 5.05312e-6, 5.17430e-6, 4.91192e-6, 4.53036e-6],
        [-7.31303e-3, -9.32427e-3, -8.30138e-3, -7.64330e-3, -6.81574e-3],
        [7.93272e-5, 9.40568e-5, 7.13576e-5, 6.13126e-5, 4.94197e-5],
        [-2.74296e-7, -3.28449e-7, -2.54885e-7, -2.21399e-7, -1.79074e-7],
    ]
)

# Quadratic in U/100 and H/10 through the 715 values of Benmakhlouf 2011, PMB 56:7179: largest miss 0.005, rms 0.0015.
_MEDIUM = (0.9956, 0.0352, 0.0048, -0.0071, -0.0061, 0.0283)

_TABLE_KV = np.array([60.0, 80.0, 100.0, 120.0])
_TABLE_CU_MM = np.array([0.0, 0.1, 0.2, 0.3, 0.6, 0.9])
# Table and pad of one Artis room measured in Umeå 2018, published with PySkinDose: rows of _TABLE_KV.
_TABLE = np.array(
    [
        [0.6192, 0.6702, 0.6904, 0.7040, 0.7191, 0.7204],
        [0.6547, 0.7004, 0.7200, 0.7319, 0.7477, 0.7540],
        [0.6796, 0.7207, 0.7388, 0.7493, 0.7640, 0.7721],
        [0.6937, 0.7311, 0.7467, 0.7562, 0.7681, 0.7745],
    ]
)
_MEAN_KEV = 45.0  # of an 80 kV beam
_FLATTEST_COS = 0.1  # a path flatter than 84° through the table runs out of its edge


def inverse_square(reference_mm: float, source_to_cell_mm: ArrayLike) -> Array:
    """Return (reference / distance)² of each cell, the shape of ``source_to_cell_mm`` (above 0)."""
    distance = np.asarray(source_to_cell_mm, dtype=np.float64)
    if not (reference_mm > 0.0 and (distance > 0.0).all()):
        raise ValueError("distances from the source must be above 0 mm")
    result: Array = np.square(reference_mm / distance)
    return result


def backscatter_at_sides(tube_voltage_kv: float, hvl_mm_al: float) -> Array:
    """Return k_bs at `BACKSCATTER_SIDES_CM`, (5,): Benmakhlouf 2013, eq. 8, as it stands."""
    powers = np.array([1.0, tube_voltage_kv, tube_voltage_kv**2])
    terms = np.concatenate([powers, powers * hvl_mm_al, powers * hvl_mm_al**2])
    result: Array = terms @ _BACKSCATTER
    return result


def backscatter(tube_voltage_kv: float, hvl_mm_al: float, side_cm: ArrayLike) -> Array:
    """Return k_bs of square fields of ``side_cm`` (√area at the cell): cubic spline through the five sides.

    Fields outside 5 to 35 cm take the value of the nearer end: the polynomial says nothing there.
    """
    spline = _spline(tube_voltage_kv, hvl_mm_al)
    inside = np.clip(np.asarray(side_cm, dtype=np.float64), BACKSCATTER_SIDES_CM[0], BACKSCATTER_SIDES_CM[-1])
    return np.asarray(spline(inside), dtype=np.float64)


def _spline(tube_voltage_kv: float, hvl_mm_al: float) -> CubicSpline:
    return CubicSpline.through(BACKSCATTER_SIDES_CM, backscatter_at_sides(tube_voltage_kv, hvl_mm_al))


def medium(tube_voltage_kv: float, hvl_mm_al: float) -> float:
    """Return k_med, μen/ρ of water to air at the skin: a fit to Benmakhlouf 2011, 50 to 150 kV, 1.78 to 12.48 mm Al.

    Values outside are taken at the nearer end.
    """
    u, h = np.clip(tube_voltage_kv, 50.0, 150.0) / 100.0, np.clip(hvl_mm_al, 1.78, 12.48) / 10.0
    return float(np.dot(_MEDIUM, (1.0, u, h, u * u, u * h, h * h)))


def table_transmission(tube_voltage_kv: float, added_aluminium_mm: float, copper_mm: float) -> float:
    """Return the air kerma left behind table and pad, the beam square to them: measured on one table.

    Bilinear in voltage and copper, the nearer end outside 60 to 120 kV and 0 to 0.9 mm; added aluminium counts as
    the copper that attenuates as much at 45 keV.
    """
    energy = np.array([_MEAN_KEV])
    ratio = linear_attenuation_per_mm(MATERIALS["aluminium"], energy) / linear_attenuation_per_mm(
        MATERIALS["copper"], energy
    )
    copper = copper_mm + added_aluminium_mm * float(ratio[0])
    at_voltages = [float(np.interp(copper, _TABLE_CU_MM, row)) for row in _TABLE]
    return float(np.interp(tube_voltage_kv, _TABLE_KV, at_voltages))


def oblique_transmission(transmission: float, cosine: ArrayLike) -> Array:
    """Return T^(1/cos θ): the longer way through a plate, θ from its normal."""
    result: Array = transmission ** (1.0 / np.clip(np.asarray(cosine, dtype=np.float64), _FLATTEST_COS, 1.0))
    return result


@lru_cache(maxsize=512)
def half_value_layer_mm_al(tube_voltage_kv: float, aluminium_mm: float, copper_mm: float) -> float:
    """Return the first HVL of a tungsten beam behind ``aluminium_mm`` (inherent and added) and copper.

    Voltages outside 40 to 150 kV are taken at the nearer end.
    """
    voltage = float(np.clip(tube_voltage_kv, 40.0, 150.0))
    return tube_spectrum(voltage, Filtration(aluminium_mm, copper_mm)).hvl_mm_al()


@dataclass(frozen=True, slots=True, eq=False)
class BeamQuality:
    """What of a beam does not hang on where it goes: worked out once for all pulses of the quality.

    Attributes
    ----------
    tube_voltage_kv, hvl_mm_al
        The beam.
    medium
        k_med.
    table
        Part that a table and pad let through, the beam square to them.
    backscatter_spline
        (4, 4) coefficients, the highest power first, of k_bs in the four intervals of `BACKSCATTER_SIDES_CM`.
    largest_backscatter
        Of any field.
    """

    tube_voltage_kv: float
    hvl_mm_al: float
    medium: float
    table: float
    backscatter_spline: Array
    largest_backscatter: float

    @classmethod
    def given(cls, tube_voltage_kv: float, hvl_mm_al: float, medium_factor: float, table: float) -> "BeamQuality":
        """Return a quality whose factors somebody else names."""
        spline = np.ascontiguousarray(_spline(tube_voltage_kv, hvl_mm_al).coefficients, dtype=np.float64)
        spline.setflags(write=False)
        largest = float(backscatter_at_sides(tube_voltage_kv, hvl_mm_al).max())
        return cls(tube_voltage_kv, hvl_mm_al, medium_factor, table, spline, largest)


@lru_cache(maxsize=512)
def beam_quality(tube_voltage_kv: float, aluminium_mm: float, copper_mm: float, inherent_mm: float) -> BeamQuality:
    """Return the quality of a tungsten beam behind ``aluminium_mm`` in all, of which ``inherent_mm`` is the tube's own.

    The table was measured over the filters added to the tube's own.
    """
    hvl = half_value_layer_mm_al(tube_voltage_kv, min(aluminium_mm, 50.0), min(copper_mm, 3.0))
    table = table_transmission(tube_voltage_kv, max(0.0, aluminium_mm - inherent_mm), copper_mm)
    return BeamQuality.given(tube_voltage_kv, hvl, medium(tube_voltage_kv, hvl), table)
