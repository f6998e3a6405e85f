"""The X-ray spectrum of a tungsten tube and what a dosemeter says of it.

Unfiltered spectra come from a table baked once from SpekPy (see ADR 0005); filters act by Beer and Lambert's
law.
"""

import json
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.beam.materials import MATERIALS, Material, linear_attenuation_per_mm
from fluoroscope.beam.spline import CubicSpline
from fluoroscope.beam.technique import Filtration

__all__ = ["DEFAULT_ANODE_DEG", "Spectrum", "spectra_provenance", "tube_spectrum"]

Array = NDArray[np.float64]

DEFAULT_ANODE_DEG = 11.0
"""Anode angle of the modelled tube, degrees."""

_GY_PER_KEV_CM2_PER_G = 1.602176634e-13
# 1 keV = 1.602e-16 J and 1/g = 1000/kg: keV·cm²/g per cm² → Gy.


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """Photons of a beam, on the central axis at 1000 mm from the focal spot, in vacuum.

    Attributes
    ----------
    energies_kev
        Middle of each bin, (n,), ascending, keV.
    photons_per_mm2_mas
        Photons in each bin per mm² and mAs at 1000 mm, (n,).
    """

    energies_kev: Array
    photons_per_mm2_mas: Array

    def __post_init__(self) -> None:
        if self.energies_kev.ndim != 1 or self.energies_kev.shape != self.photons_per_mm2_mas.shape:
            raise ValueError("a spectrum needs one number of photons for each energy")
        if self.energies_kev.size == 0 or not (np.diff(self.energies_kev) > 0.0).all():
            raise ValueError("the energies of a spectrum must ascend")
        if not (np.isfinite(self.photons_per_mm2_mas).all() and self.photons_per_mm2_mas.min() >= 0.0):
            raise ValueError("photons of a spectrum must be finite and not negative")
        self.energies_kev.setflags(write=False)
        self.photons_per_mm2_mas.setflags(write=False)

    def filtered(self, material: Material, thickness_mm: float) -> "Spectrum":
        """Return the beam behind ``thickness_mm`` (0 or more) of ``material``, without scatter."""
        if not (np.isfinite(thickness_mm) and thickness_mm >= 0.0):
            raise ValueError(f"filter thickness must be 0 mm or more, got {thickness_mm}")
        mu = linear_attenuation_per_mm(material, self.energies_kev)
        return Spectrum(self.energies_kev, self.photons_per_mm2_mas * np.exp(-mu * thickness_mm))

    def photons_per_mm2(self, mas: float, distance_mm: float = 1000.0) -> float:
        """Return all photons per mm² of an exposure of ``mas`` at ``distance_mm``."""
        return float(self.photons_per_mm2_mas.sum()) * mas * (1000.0 / _distance(distance_mm)) ** 2

    def air_kerma_ugy_per_mas(self, distance_mm: float = 1000.0) -> float:
        """Return the air kerma free in air (no backscatter) at ``distance_mm``, µGy per mAs.

        K = Σ φ(E)·E·(μen/ρ)_air(E): the radiative loss g is below 1e-3 here (ICRU Report 85, 4.3.4).
        """
        gray_per_mm2 = self.photons_per_mm2_mas @ _kerma_gy_mm2_per_photon(self.energies_kev.tobytes())
        return float(gray_per_mm2) * 1e6 * (1000.0 / _distance(distance_mm)) ** 2

    def hvl_mm_al(self, order: int = 1) -> float:
        """Return the first or second half-value layer of the air kerma, narrow beam, mm aluminium.

        The second is the further thickness from a half to a quarter (IEC 60601-1-3).

        Raises
        ------
        ValueError
            When ``order`` is neither 1 nor 2, or the beam is empty.
        """
        if order not in (1, 2):
            raise ValueError(f"half-value layer 1 or 2, got {order}")
        mu = linear_attenuation_per_mm(MATERIALS["aluminium"], self.energies_kev)
        kerma = self.photons_per_mm2_mas * _kerma_gy_mm2_per_photon(self.energies_kev.tobytes())
        if not kerma.sum() > 0.0:
            raise ValueError("an empty beam has no half-value layer")
        first = _thickness_to(0.5, mu, kerma)
        return first if order == 1 else _thickness_to(0.25, mu, kerma) - first

    def mean_energy_kev(self) -> float:
        """Return the mean photon energy, keV."""
        return float(self.energies_kev @ self.photons_per_mm2_mas / self.photons_per_mm2_mas.sum())


def _distance(distance_mm: float) -> float:
    if not (np.isfinite(distance_mm) and distance_mm > 0.0):
        raise ValueError(f"distance from the focal spot must be above 0 mm, got {distance_mm}")
    return distance_mm


def _thickness_to(fraction: float, mu: Array, kerma: Array) -> float:
    """Return the thickness that leaves ``fraction`` of the kerma (Newton on ln K, convex and falling)."""
    goal = np.log(fraction * kerma.sum())
    thickness = 0.0
    for _ in range(60):
        left = kerma * np.exp(-mu * thickness)
        step = (np.log(left.sum()) - goal) * left.sum() / (mu @ left)
        thickness += step
        if abs(step) < 1e-10 * thickness:
            break
    return float(thickness)


@lru_cache(maxsize=8)
def _kerma_gy_mm2_per_photon(energies: bytes) -> Array:
    """Return air kerma per photon/mm², Gy·mm²: cubic spline through ln μen/ρ of NIST over ln E."""
    path = resources.files("fluoroscope.beam").joinpath("data/muen_air.csv")
    with path.open(encoding="utf-8") as file:
        table = np.loadtxt((line for line in file if line[0].isdigit()), delimiter=",")
    kev = np.frombuffer(energies, dtype=np.float64)
    muen = np.exp(CubicSpline.through(np.log(table[:, 0]), np.log(table[:, 1]))(np.log(kev)))
    kerma: Array = kev * muen * _GY_PER_KEV_CM2_PER_G * 100.0
    kerma.setflags(write=False)
    return kerma


@cache
def _tables() -> dict[str, Any]:
    path = resources.files("fluoroscope.beam").joinpath("data/tungsten.npz")
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def spectra_provenance() -> dict[str, str]:
    """Return how the packaged spectra were made: program, version, physics model, unit."""
    return {str(k): str(v) for k, v in json.loads(str(_tables()["provenance"])).items()}


@lru_cache(maxsize=512)
def tube_spectrum(tube_voltage_kv: float, filtration: Filtration, anode_deg: float = DEFAULT_ANODE_DEG) -> Spectrum:
    """Return the spectrum of a tungsten tube.

    Parameters
    ----------
    tube_voltage_kv
        40 to 150 kV; between the table's 1 kV steps each bin is interpolated along lines of equal E/kV, so
        the end of the spectrum lies where it must; the K lines, which do not move with kV, are interpolated
        at their own energy.
    filtration
        Aluminium (inherent and added) and copper.
    anode_deg
        Anode angle, 8 to 14 degrees.

    Raises
    ------
    ValueError
        For a voltage or angle outside the table.
    """
    tables = _tables()
    voltages: Array = tables["tube_voltages_kv"]
    anodes: Array = tables["anodes_deg"]
    energies: Array = tables["energies_kev"]
    if not voltages[0] <= tube_voltage_kv <= voltages[-1]:
        raise ValueError(f"tube voltage must be {voltages[0]:g} to {voltages[-1]:g} kV, got {tube_voltage_kv}")
    if not anodes[0] <= anode_deg <= anodes[-1]:
        raise ValueError(f"anode angle must be {anodes[0]:g} to {anodes[-1]:g} degrees, got {anode_deg}")
    low = min(int(np.searchsorted(anodes, anode_deg, side="right")) - 1, anodes.size - 2)
    weight = (anode_deg - anodes[low]) / (anodes[low + 1] - anodes[low])
    photons = (1.0 - weight) * _at_voltage(tables["photons"][low], voltages, energies, tube_voltage_kv)
    if weight > 0.0:
        photons += weight * _at_voltage(tables["photons"][low + 1], voltages, energies, tube_voltage_kv)
    spectrum = Spectrum(energies, photons)
    for name, thickness_mm in (("aluminium", filtration.aluminium_mm), ("copper", filtration.copper_mm)):
        if thickness_mm > 0.0:
            spectrum = spectrum.filtered(MATERIALS[name], thickness_mm)
    return spectrum


def _at_voltage(photons: NDArray[np.float32], voltages: Array, energies: Array, kv: float) -> Array:
    """Interpolate (voltages, energies) photons between two steps of voltage."""
    low = min(int(kv - voltages[0]), voltages.size - 2)
    weight = kv - voltages[low]
    below: Array = photons[low].astype(np.float64)
    above: Array = photons[low + 1].astype(np.float64)
    if weight == 0.0:
        return below
    lines = (energies > 57.0) & (energies < 70.0)  # tungsten Kα 58–59.3, Kβ 67–69.1 keV
    mixed = (1.0 - weight) * below + weight * above
    along = (1.0 - weight) * np.interp(energies * voltages[low] / kv, energies, below, right=0.0)
    along += weight * np.interp(energies * voltages[low + 1] / kv, energies, above, right=0.0)
    width = energies[1] - energies[0]
    # Bins keep their width while the energy axis is stretched: photons per bin scale by kV_table / kV.
    scaled = along * ((1.0 - weight) * voltages[low] + weight * voltages[low + 1]) / kv
    result = np.where(lines, mixed, scaled)
    share = np.clip((kv - (energies - width / 2.0)) / width, 0.0, 1.0)
    kept: Array = result * share
    return kept
