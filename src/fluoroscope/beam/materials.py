"""What X-rays pass through: composition, density and linear attenuation.

Attenuation is the total mass attenuation coefficient with coherent scattering (xraylib ``CS_Total``;
Schoonjans et al. 2011, doi:10.1016/j.sab.2011.09.011), mixed by mass fraction. Densities and compositions lie
in ``data/materials.toml``, which a user may copy, edit and load.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "ENERGY_RANGE_KEV",
    "MATERIALS",
    "Material",
    "MaterialsFileError",
    "linear_attenuation_per_mm",
    "load_materials",
]

ENERGY_RANGE_KEV = (5.0, 150.0)
"""Photon energies for which attenuation is given, keV."""


class MaterialsFileError(ValueError):
    """A file of materials cannot be used; the message says which entry and why."""


@dataclass(frozen=True, slots=True)
class Material:
    """A homogeneous material.

    Attributes
    ----------
    name
        As in the library.
    density_g_cm3
        Above 0.
    mass_fractions
        Element symbol or atomic number to mass fraction; they add up to 1 within 1 %.
    source
        Where composition and density come from.
    """

    name: str
    density_g_cm3: float
    mass_fractions: Mapping[str | int, float]
    source: str

    def __post_init__(self) -> None:
        if not (np.isfinite(self.density_g_cm3) and self.density_g_cm3 > 0.0):
            raise ValueError(f"material {self.name}: density must be above 0 g/cm³, got {self.density_g_cm3}")
        if not self.mass_fractions or min(self.mass_fractions.values()) < 0.0:
            raise ValueError(f"material {self.name}: mass fractions must be given and not negative")
        total = sum(self.mass_fractions.values())
        if not abs(total - 1.0) <= 0.01:
            raise ValueError(f"material {self.name}: mass fractions add up to {total:.4f}, not 1")
        for element in self.mass_fractions:
            _atomic_number(element)
        object.__setattr__(self, "mass_fractions", MappingProxyType(dict(self.mass_fractions)))

    def __hash__(self) -> int:
        return hash((self.name, self.density_g_cm3, tuple(self.mass_fractions.items())))

    def at_density(self, density_g_cm3: float) -> "Material":
        """Return the same composition at another density."""
        return Material(self.name, density_g_cm3, self.mass_fractions, self.source)


def _atomic_number(element: str | int) -> int:
    import xraylib

    if isinstance(element, int):
        if 1 <= element <= 98:
            return element
        raise ValueError(f"no attenuation data for atomic number {element}; use 1 to 98")
    try:
        return int(xraylib.SymbolToAtomicNumber(element))
    except ValueError as error:
        raise ValueError(f"{element!r} is not a chemical element; use a symbol such as Ca") from error


def load_materials(path: Path) -> dict[str, Material]:
    """Read materials from a TOML file written like the packaged ``data/materials.toml``.

    Raises
    ------
    MaterialsFileError
        When the file is not TOML or an entry is wrong.
    OSError
        When it cannot be read.
    """
    return _parse(path.read_text(encoding="utf-8"), str(path))


def _parse(text: str, where: str) -> dict[str, Material]:
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MaterialsFileError(f"{where}: not a TOML file: {error}") from error
    materials = {}
    for name, entry in tables.items():
        try:
            fractions = {int(k) if k.isdigit() else k: float(v) for k, v in entry["mass_fractions"].items()}
            materials[name] = Material(name, float(entry["density_g_cm3"]), fractions, str(entry["source"]))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise MaterialsFileError(
                f"{where}: material {name!r}: {error}; needs density_g_cm3, source and mass_fractions"
            ) from error
    if not materials:
        raise MaterialsFileError(f"{where}: holds no materials")
    return materials


MATERIALS: Mapping[str, Material] = MappingProxyType(
    _parse(
        resources.files("fluoroscope.beam").joinpath("data/materials.toml").read_text(encoding="utf-8"),
        "beam/data/materials.toml",
    )
)
"""The packaged materials by name."""


def linear_attenuation_per_mm(material: Material, energies_kev: ArrayLike) -> NDArray[np.float64]:
    """Return the linear attenuation coefficient μ of ``material``, 1/mm.

    Parameters
    ----------
    material
        Composition and density.
    energies_kev
        Any shape, within `ENERGY_RANGE_KEV`.

    Returns
    -------
    ndarray
        Of the shape of ``energies_kev``, read-only.

    Raises
    ------
    ValueError
        For an energy out of range.
    """
    energies = np.asarray(energies_kev, dtype=np.float64)
    low, high = ENERGY_RANGE_KEV
    if energies.size and not (energies.min() >= low and energies.max() <= high):
        raise ValueError(f"photon energies must lie between {low:g} and {high:g} keV")
    return _attenuation(material, energies.tobytes()).reshape(energies.shape)


@lru_cache(maxsize=128)
def _attenuation(material: Material, energies: bytes) -> NDArray[np.float64]:
    import xraylib

    kev = np.frombuffer(energies, dtype=np.float64)
    total = sum(material.mass_fractions.values())
    mass_attenuation = np.zeros(kev.shape)
    for element, fraction in material.mass_fractions.items():
        z = _atomic_number(element)
        mass_attenuation += fraction / total * np.array([xraylib.CS_Total(z, float(e)) for e in kev])
    mu = mass_attenuation * (material.density_g_cm3 / 10.0)
    mu.setflags(write=False)
    return mu
