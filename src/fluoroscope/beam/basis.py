"""Any material as so much water and so much cortical bone."""

import numpy as np

from fluoroscope.beam.materials import MATERIALS, Material, linear_attenuation_per_mm
from fluoroscope.beam.spectrum import Spectrum, tube_spectrum
from fluoroscope.beam.technique import Filtration

__all__ = ["basis_of"]


def basis_of(material: Material, spectrum: Spectrum | None = None) -> tuple[float, float]:
    """Return (water, cortical bone) per mm of ``material``, neither negative.

    Least squares of μ_material(E) − water·μ_water(E) − bone·μ_bone(E) over the photons of ``spectrum``
    (Alvarez and Macovski 1976, doi:10.1088/0031-9155/21/5/002). Tissues fit within a few per mille; materials
    with a K-edge in the beam (iodine) and metals are matched in the mean only.

    Parameters
    ----------
    material
        What to express.
    spectrum
        Weights; by default 80 kV with 3.1 mm Al and 0.1 mm Cu behind 200 mm of water, a beam as the detector
        sees it.
    """
    if spectrum is None:
        spectrum = tube_spectrum(80.0, Filtration()).filtered(MATERIALS["water"], 200.0)
    weights = np.sqrt(spectrum.photons_per_mm2_mas)
    target, water, bone = (
        weights * linear_attenuation_per_mm(m, spectrum.energies_kev)
        for m in (material, MATERIALS["water"], MATERIALS["cortical_bone"])
    )
    ww, bb, wb, tw, tb = water @ water, bone @ bone, water @ bone, target @ water, target @ bone
    determinant = ww * bb - wb * wb
    in_water, in_bone = (tw * bb - tb * wb) / determinant, (tb * ww - tw * wb) / determinant
    # With two unknowns the non-negative solution is on an edge when the free one is not inside.
    if in_bone < 0.0:
        return float(tw / ww), 0.0
    if in_water < 0.0:
        return 0.0, float(tb / bb)
    return float(in_water), float(in_bone)
