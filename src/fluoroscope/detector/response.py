"""Detected energy behind water and bone, for one spectrum: a table quick enough to look up at every pixel.

Nodes lie evenly in water and in the square root of bone, so that cells are smallest where the beam hardens
fastest. Each cell holds all that a pixel needs in eight neighbouring floats: ln of the energy at its first
corner is kept as the energy itself with the three differences of ln, so that the pixel needs only exp of a
small number.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fluoroscope.beam.materials import MATERIALS, linear_attenuation_per_mm
from fluoroscope.beam.spectrum import DEFAULT_ANODE_DEG, Spectrum, tube_spectrum
from fluoroscope.beam.technique import Filtration
from fluoroscope.detector.model import DetectorModel, detected_energy

__all__ = [
    "BONE_LIMIT_MM",
    "WATER_LIMIT_MM",
    "DetectedBeam",
    "ResponseTable",
    "detected_beam",
    "response_table",
]

Array = NDArray[np.float64]

WATER_LIMIT_MM = 640.0
BONE_LIMIT_MM = 720.0
"""Rays longer than the limits are read at them: below 1e-4 of a photon per pixel is left there."""
WATER_CELLS = 160
BONE_CELLS = 128
CELL_FLOATS = 8


@dataclass(frozen=True, slots=True)
class DetectedBeam:
    """What a beam leaves in the detector per mm² and mAs at 1000 mm from the focal spot.

    Attributes
    ----------
    quanta
        Absorbed photons.
    energy_kev
        Absorbed energy.
    spread
        Relative variance of what one absorbed photon leaves, ⟨x²⟩/⟨x⟩² − 1: spectrum, K escape and Swank
        noise.
    """

    quanta: Array
    energy_kev: Array
    spread: Array


@dataclass(frozen=True, slots=True, eq=False)
class ResponseTable:
    """The response to one spectrum.

    Attributes
    ----------
    cells
        float32 (WATER_CELLS, BONE_CELLS, 8): energy at the first corner in keV per mm² and mAs at 1000 mm;
        the differences of its logarithm along water, along bone, and crossed; absorbed photons per keV, and
        the relative variance of what one leaves, both at the middle of the cell; two unused.
    obliquity
        Relative gain of absorbed energy per relative gain of path in the scintillator, behind 200 mm of
        water.
    """

    cells: NDArray[np.float32]
    obliquity: float

    def energy_kev(self, water_mm: Array, bone_mm: Array) -> Array:
        """Return the absorbed energy of any rays, keV per mm² and mAs at 1000 mm, as the kernel does."""
        water = np.clip(water_mm, 0.0, WATER_LIMIT_MM) * (WATER_CELLS / WATER_LIMIT_MM)
        bone = np.clip(bone_mm, 0.0, BONE_LIMIT_MM) * (BONE_CELLS**2 / BONE_LIMIT_MM)
        i = np.minimum(water.astype(np.int64), WATER_CELLS - 1)
        j = np.minimum(np.sqrt(bone).astype(np.int64), BONE_CELLS - 1)
        f, g = water - i, (bone - j * j) / (2 * j + 1)
        cell = self.cells[i, j].astype(np.float64)
        energy: Array = cell[..., 0] * np.exp(f * cell[..., 1] + g * cell[..., 2] + f * g * cell[..., 3])
        return energy


def detected_beam(model: DetectorModel, spectrum: Spectrum, water_mm: Array, bone_mm: Array) -> DetectedBeam:
    """Integrate ``spectrum`` behind every pair of water (m,) and bone (n,), giving arrays (m, n).

    Beer and Lambert's law per energy, then the moments of the detected energy as in compound Poisson
    statistics (Swank 1973, J. Appl. Phys. 44:4199).
    """
    kev = spectrum.energies_kev
    response = detected_energy(model, kev.tobytes())
    behind_water = np.exp(-np.outer(water_mm, linear_attenuation_per_mm(MATERIALS["water"], kev)))
    behind_bone = np.exp(-np.outer(bone_mm, linear_attenuation_per_mm(MATERIALS["cortical_bone"], kev))).T
    photons = spectrum.photons_per_mm2_mas * response.absorbed
    quanta = _product(behind_water * photons, behind_bone)
    energy = _product(behind_water * (photons * response.mean_kev), behind_bone)
    square = _product(behind_water * (photons * response.square_kev2), behind_bone)
    return DetectedBeam(quanta, energy, square * quanta / energy**2 - 1.0)


def _product(left: Array, right: Array) -> Array:
    """Multiply matrices a few rows at a time."""
    # Too little for BLAS to wake its threads: on a busy machine a live pulse would wait 40 ms instead of 2.
    return np.concatenate([left[row : row + 4] @ right for row in range(0, left.shape[0], 4)])


@lru_cache(maxsize=48)
def response_table(
    model: DetectorModel, tube_voltage_kv: float, filtration: Filtration, anode_deg: float = DEFAULT_ANODE_DEG
) -> ResponseTable:
    """Return the table of ``model`` for a tube voltage and filtration; the last 48 (0.5 MB each) are kept."""
    spectrum = tube_spectrum(tube_voltage_kv, filtration, anode_deg)
    used = spectrum.photons_per_mm2_mas > spectrum.photons_per_mm2_mas.max() * 1e-12
    spectrum = Spectrum(spectrum.energies_kev[used], spectrum.photons_per_mm2_mas[used])
    water: Array = np.arange(WATER_CELLS + 1, dtype=np.float64) * (WATER_LIMIT_MM / WATER_CELLS)
    bone: Array = np.arange(BONE_CELLS + 1, dtype=np.float64) ** 2 * (BONE_LIMIT_MM / BONE_CELLS**2)
    beam = detected_beam(model, spectrum, water, bone)
    ln = np.log(beam.energy_kev)
    mean = beam.energy_kev / beam.quanta
    cells = np.zeros((WATER_CELLS, BONE_CELLS, CELL_FLOATS), dtype=np.float32)
    cells[..., 0] = beam.energy_kev[:-1, :-1]
    cells[..., 1] = ln[1:, :-1] - ln[:-1, :-1]
    cells[..., 2] = ln[:-1, 1:] - ln[:-1, :-1]
    cells[..., 3] = ln[1:, 1:] - ln[1:, :-1] - ln[:-1, 1:] + ln[:-1, :-1]
    cells[..., 4] = 4.0 / (mean[1:, 1:] + mean[1:, :-1] + mean[:-1, 1:] + mean[:-1, :-1])
    spread = beam.spread
    cells[..., 5] = 0.25 * (spread[1:, 1:] + spread[1:, :-1] + spread[:-1, 1:] + spread[:-1, :-1])
    cells.setflags(write=False)
    return ResponseTable(cells, _obliquity(model, spectrum))


def _obliquity(model: DetectorModel, spectrum: Spectrum) -> float:
    """Return d ln(energy) / d ln(path) = μt·exp(−μt) / (1 − exp(−μt)), the mean behind 200 mm of water."""
    kev = spectrum.energies_kev
    response = detected_energy(model, kev.tobytes())
    path = -np.log1p(-np.minimum(response.absorbed, 1.0 - 1e-12))
    gain = path * (1.0 - response.absorbed) / response.absorbed
    weights = spectrum.filtered(MATERIALS["water"], 200.0).photons_per_mm2_mas * response.absorbed * response.mean_kev
    return float(gain @ weights / weights.sum())
