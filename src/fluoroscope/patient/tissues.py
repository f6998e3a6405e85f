"""From CT numbers to materials: HU to the two basis materials the projector integrates.

One CT number cannot say what a voxel is made of, only how much it attenuates. The table ``data/tissues.toml``
states what is assumed; where labels know better (contrast medium in a vessel) another curve is used.
"""

import itertools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fluoroscope.beam.basis import basis_of
from fluoroscope.beam.materials import MATERIALS, Material, linear_attenuation_per_mm
from fluoroscope.patient.labels import LabelMap
from fluoroscope.patient.stored import PatientFileError, Progress, silent
from fluoroscope.patient.volume import SCALE, BasisVolume, Volume

__all__ = ["TissueCurve", "TissueNode", "TissueTable", "load_tissues", "packaged_tissues", "to_basis"]

_MOST = np.iinfo(np.int16).max * SCALE


@dataclass(frozen=True, slots=True)
class TissueNode:
    """One corner of a curve.

    Attributes
    ----------
    name, material
        The tissue and the library material that stands for it.
    density_g_cm3
        Above 0.
    hu
        CT number.
    basis
        (water, bone): mm of each basis material per mm of tissue, 0 to 32.767.
    """

    name: str
    material: str
    density_g_cm3: float
    hu: float
    basis: tuple[float, float]

    def __post_init__(self) -> None:
        if not np.isfinite(self.hu):
            raise ValueError(f"tissue {self.name!r}: CT number must be finite, got {self.hu}")
        if not all(0.0 <= share <= _MOST for share in self.basis):
            raise ValueError(f"tissue {self.name!r}: basis shares must lie in 0 to {_MOST:g}, got {self.basis}")


@dataclass(frozen=True, slots=True)
class TissueCurve:
    """Basis shares as a piecewise linear function of the CT number.

    Attributes
    ----------
    name
        As in the table.
    nodes
        At least two, in rising CT number.
    structures
        Label names it is used for; empty for the curve of everything else.
    """

    name: str
    nodes: tuple[TissueNode, ...]
    structures: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        hu = [node.hu for node in self.nodes]
        if len(hu) < 2 or any(b <= a for a, b in itertools.pairwise(hu)):
            raise ValueError(f"curve {self.name!r}: needs two or more tissues in rising CT number, got {hu}")

    def basis(self, hu: ArrayLike) -> NDArray[np.float64]:
        """Return (..., 2): water and bone shares at any CT numbers; constant beyond the end nodes."""
        at = np.asarray(hu, dtype=np.float64)
        corners = [node.hu for node in self.nodes]
        return np.stack([np.interp(at, corners, [node.basis[i] for node in self.nodes]) for i in (0, 1)], axis=-1)


@dataclass(frozen=True, slots=True)
class TissueTable:
    """All curves: the first for every voxel, the others where their structures are labelled.

    Attributes
    ----------
    ct_energy_kev
        Effective energy of the CT scanner, keV.
    curves
        At least one.
    """

    ct_energy_kev: float
    curves: tuple[TissueCurve, ...]

    def key(self) -> str:
        """Return a text that is the same for equal tables in every process."""
        return repr([(c.name, [(n.hu, n.basis) for n in c.nodes], sorted(c.structures)) for c in self.curves])


def load_tissues(path: str | Path) -> TissueTable:
    """Read a table written like the packaged ``tissues.toml``.

    Raises
    ------
    PatientFileError
        The file is missing, not TOML, or an entry is wrong.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PatientFileError(f"{path}: tissue table cannot be read ({error}); check the path") from error
    return _parse(text, str(path))


@lru_cache(maxsize=1)
def packaged_tissues() -> TissueTable:
    """Return the packaged table."""
    text = resources.files("fluoroscope.patient").joinpath("data/tissues.toml").read_text(encoding="utf-8")
    return _parse(text, "patient/data/tissues.toml")


def _parse(text: str, where: str) -> TissueTable:
    try:
        content = tomllib.loads(text)
        energy_kev = float(content["ct_energy_kev"])
        curves = tuple(
            TissueCurve(
                name,
                tuple(_node(entry, energy_kev) for entry in curve["nodes"]),
                frozenset(curve.get("structures", ())),
            )
            for name, curve in content["curves"].items()
        )
        if not curves or curves[0].structures:
            raise ValueError("the first curve must be the one of every voxel, without structures")
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise PatientFileError(
            f"{where}: not a tissue table ({type(error).__name__}: {error}); start from a copy of the packaged one"
        ) from error
    return TissueTable(energy_kev, curves)


def _node(entry: Mapping[str, Any], ct_energy_kev: float) -> TissueNode:
    material = MATERIALS[entry["material"]]
    if "density_g_cm3" in entry:
        material = material.at_density(float(entry["density_g_cm3"]))
    hu = float(entry["hu"]) if "hu" in entry else _ct_number(material, ct_energy_kev)
    water, bone = entry["basis"] if "basis" in entry else basis_of(material)
    return TissueNode(str(entry["name"]), material.name, material.density_g_cm3, hu, (float(water), float(bone)))


def _ct_number(material: Material, ct_energy_kev: float) -> float:
    """CT number of a material: 1000 (μ/μ_water − 1) at the scanner's effective energy."""
    mu = linear_attenuation_per_mm(material, [ct_energy_kev])[0]
    return float(1000.0 * (mu / linear_attenuation_per_mm(MATERIALS["water"], [ct_energy_kev])[0] - 1.0))


def to_basis(
    volume: Volume,
    *,
    table: TissueTable | None = None,
    labels: LabelMap | None = None,
    progress: Progress | None = None,
) -> BasisVolume:
    """Turn CT numbers into amounts of water and cortical bone.

    Parameters
    ----------
    volume
        int16 HU.
    table
        Tissue curves; the packaged ones when not given.
    labels
        Structures on the CT's grid; those a curve names are converted by that curve.
    progress
        Told the fraction done.

    Raises
    ------
    ValueError
        When the volume is not int16 or the labels lie on another grid.
    """
    if volume.values.dtype != np.int16:
        raise ValueError(f"a CT holds HU as int16, got {volume.values.dtype}")
    if labels is not None and labels.values.shape != volume.values.shape:
        raise ValueError(f"labels have shape {labels.values.shape}, the CT {volume.values.shape}")
    report = progress or silent
    curves = (table or packaged_tissues()).curves
    lookup = np.stack([_lookup(curve) for curve in curves])
    curve_of_label = _curve_of_label(curves, labels)
    water = np.empty(volume.values.shape, dtype=np.int16)
    bone = np.empty(volume.values.shape, dtype=np.int16)
    nothing = np.zeros((1, 1, 1), dtype=np.uint8)
    planes = volume.values.shape[0]
    step = max(1, planes // 16)
    for first in range(0, planes, step):
        part = slice(first, first + step)
        if labels is None or not curve_of_label.any():
            _convert(volume.values[part], nothing, curve_of_label, lookup, water[part], bone[part])
        else:
            _convert(volume.values[part], labels.values[part], curve_of_label, lookup, water[part], bone[part])
        report(min(1.0, (first + step) / planes), "converting to materials")
    return BasisVolume(water, bone, volume.world_from_index)


def _lookup(curve: TissueCurve) -> NDArray[np.int16]:
    """Return (65536, 2) basis amounts in units of `SCALE`, indexed by HU + 32768."""
    shares = curve.basis(np.arange(-32768, 32768)) / SCALE
    return np.rint(shares).astype(np.int16)


def _curve_of_label(curves: tuple[TissueCurve, ...], labels: LabelMap | None) -> NDArray[np.uint8]:
    top = 0 if labels is None else int(np.iinfo(labels.values.dtype).max)
    chosen = np.zeros(top + 1, dtype=np.uint8)
    if labels is not None:
        for value, name in labels.names.items():
            for number, curve in enumerate(curves):
                if name in curve.structures and 0 <= value <= top:
                    chosen[value] = number
    return chosen


@numba.njit(cache=True, nogil=True)
def _convert(hu, label, curve_of_label, lookup, water, bone):  # type: ignore[no-untyped-def]
    labelled = label.shape == hu.shape
    n0, n1, n2 = hu.shape
    for i in range(n0):
        for j in range(n1):
            for k in range(n2):
                curve = curve_of_label[label[i, j, k]] if labelled else 0
                at = int(hu[i, j, k]) + 32768
                water[i, j, k] = lookup[curve, at, 0]
                bone[i, j, k] = lookup[curve, at, 1]
