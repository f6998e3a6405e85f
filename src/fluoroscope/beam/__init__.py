"""The X-ray beam: materials and attenuation, tube spectra and filters, technique, kerma.

Energies are photon energies in keV, thicknesses mm, spectra photons per mm² and mAs at 1000 mm from the focal
spot. The two basis materials of the patient are `MATERIALS` ``water`` (1.0 g/cm³) and ``cortical_bone`` (1.92
g/cm³).
"""

from fluoroscope.beam.basis import basis_of
from fluoroscope.beam.kerma import PulseKerma, pulse_kerma, reference_distance_mm
from fluoroscope.beam.materials import (
    MATERIALS,
    Material,
    MaterialsFileError,
    linear_attenuation_per_mm,
    load_materials,
)
from fluoroscope.beam.spectrum import Spectrum, spectra_provenance, tube_spectrum
from fluoroscope.beam.technique import Filtration, RadiationMode, Technique

__all__ = [
    "MATERIALS",
    "Filtration",
    "Material",
    "MaterialsFileError",
    "PulseKerma",
    "RadiationMode",
    "Spectrum",
    "Technique",
    "basis_of",
    "linear_attenuation_per_mm",
    "load_materials",
    "pulse_kerma",
    "reference_distance_mm",
    "spectra_provenance",
    "tube_spectrum",
]
