"""What the flat panel is made of: absorption, gain, noise, blur, saturation."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fluoroscope.beam.materials import MATERIALS
from fluoroscope.beam.technique import RadiationMode
from fluoroscope.detector.exponential_integral import exponential_integral_2

__all__ = ["DetectorModel", "DetectorResponse", "detected_energy"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DetectorModel:
    """An indirect flat panel: columnar CsI:Tl on amorphous silicon. The defaults are a typical C-arm panel.

    Attributes
    ----------
    name
        For records.
    pitch_mm
        Native pixel pitch; binned modes give a coarser `DetectorGrid`.
    csi_mg_cm2
        CsI per area: 200 is about 0.6 mm of columns at three quarters of the crystal's density, the thickest
        in use on panels (Zhao, Ristic and Rowlands 2004, Med. Phys. 31:2594).
    optical_swank
        Swank factor of the light of equal deposits (depth and optical spread), 0 to 1; K escape is computed
        apart. Below the K edges Zhao et al. (2004) measured 0.91 and 0.93 on two kinds of columns.
    mtf_half_per_mm
        Frequency f₀ where the scintillator's MTF, 1/(1 + (f/f₀)²), is a half; 1/mm. The default
        stands for columns of 0.6 mm in general, not for one product.
    electrons_per_kev
        Collected per absorbed keV: 54 light quanta per keV of CsI:Tl, about a third collected and converted
        (Siewerdsen et al. 1997, doi:10.1118/1.597919).
    electronic_noise_electrons
        Standard deviation of one read-out of one (binned) pixel.
    full_well_electrons
        Charge at which a pixel saturates.
    fluoroscopy_gain, acquisition_gain
        Digital gain of the two read-out modes: pixel value per absorbed keV/mm². Per area, so that a pixel
        value means the same dose whatever the pixel size: full scale is about 0.6 µGy a pulse in fluoroscopy,
        4.7 in acquisition.
    bits
        Of the pixel value.
    """

    name: str = "CsI flat panel"
    pitch_mm: float = 0.15
    csi_mg_cm2: float = 200.0
    optical_swank: float = 0.92
    mtf_half_per_mm: float = 2.0
    electrons_per_kev: float = 20.0
    electronic_noise_electrons: float = 1200.0
    full_well_electrons: float = 30e6
    fluoroscopy_gain: float = 0.09
    acquisition_gain: float = 0.01125
    bits: int = 16

    def __post_init__(self) -> None:
        for name in (
            "pitch_mm",
            "csi_mg_cm2",
            "mtf_half_per_mm",
            "electrons_per_kev",
            "full_well_electrons",
            "fluoroscopy_gain",
            "acquisition_gain",
        ):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0.0):
                raise ValueError(f"detector {self.name}: {name} must be above 0, got {value}")
        if not 0.0 < self.optical_swank <= 1.0:
            raise ValueError(f"detector {self.name}: optical_swank must be above 0 and at most 1")
        if not (np.isfinite(self.electronic_noise_electrons) and self.electronic_noise_electrons >= 0.0):
            raise ValueError(f"detector {self.name}: electronic_noise_electrons must be 0 or more")
        if not 8 <= self.bits <= 16:
            raise ValueError(f"detector {self.name}: bits must be 8 to 16, got {self.bits}")

    def lin_per_kev(self, mode: RadiationMode, pitch_mm: float) -> float:
        """Return the pixel value per keV absorbed in a pixel of ``pitch_mm``."""
        gain = self.fluoroscopy_gain if mode is RadiationMode.FLUOROSCOPY else self.acquisition_gain
        return gain / pitch_mm**2

    @property
    def electronic_noise_kev(self) -> float:
        """Standard deviation of the electronic noise as absorbed energy, keV."""
        return self.electronic_noise_electrons / self.electrons_per_kev

    @property
    def full_scale(self) -> int:
        """Largest pixel value."""
        return (1 << self.bits) - 1

    def scintillator_mtf(self, frequency_per_mm: Array) -> Array:
        """Return the modulation transfer of the scintillator's light spread at ``frequency_per_mm``."""
        return 1.0 / (1.0 + np.square(np.asarray(frequency_per_mm) / self.mtf_half_per_mm))


@dataclass(frozen=True, slots=True, eq=False)
class DetectorResponse:
    """What one photon of each energy leaves in the scintillator, arrays (n,).

    Attributes
    ----------
    absorbed
        Probability of being absorbed.
    mean_kev, square_kev2
        Mean and mean square of the energy an absorbed photon leaves, optical Swank noise in the square.
    """

    absorbed: Array
    mean_kev: Array
    square_kev2: Array


@lru_cache(maxsize=32)
def detected_energy(model: DetectorModel, energies: bytes) -> DetectorResponse:
    """Return the response of ``model`` at photon energies given as the bytes of a float64 array, keV.

    Photoelectric absorption in CsI (what scatter in the scintillator leaves is below 1 % of the energy and
    left out), less the K fluorescence that escapes: made with the depth profile of absorption,
    isotropic, absorbed again with μ at the line (Swank 1973, J. Appl. Phys. 44:4199; Chan and Doi 1983,
    doi:10.1088/0031-9155/28/5/010).
    """
    import xraylib

    kev = np.frombuffer(energies, dtype=np.float64)
    fractions = MATERIALS["csi"].mass_fractions
    thickness = model.csi_mg_cm2 / 1000.0
    elements = {int(xraylib.SymbolToAtomicNumber(str(e))): w for e, w in fractions.items()}
    photo = {z: w * np.array([xraylib.CS_Photo(z, float(e)) for e in kev]) for z, w in elements.items()}
    mu: Array = np.sum(list(photo.values()), axis=0)
    absorbed = -np.expm1(-mu * thickness)
    mean, square = kev.copy(), kev**2
    depth = (np.arange(64) + 0.5) / 64.0 * thickness
    profile = np.exp(-np.outer(mu, depth))
    profile /= profile.sum(axis=1, keepdims=True)
    for z, share in photo.items():
        k_shell = 1.0 - 1.0 / xraylib.JumpFactor(z, xraylib.K_SHELL)
        k_photons = np.where(
            kev > xraylib.EdgeEnergy(z, xraylib.K_SHELL),
            share / mu * k_shell * xraylib.FluorYield(z, xraylib.K_SHELL),
            0.0,
        )
        for line in (xraylib.KA_LINE, xraylib.KB_LINE):
            line_kev = xraylib.LineEnergy(z, line)
            mu_line = sum(w * xraylib.CS_Photo(other, line_kev) for other, w in elements.items())
            out = 0.5 * (
                exponential_integral_2(mu_line * depth) + exponential_integral_2(mu_line * (thickness - depth))
            )
            escapes = k_photons * xraylib.RadRate(z, line) * (profile @ out)
            mean -= escapes * line_kev
            square += escapes * ((kev - line_kev) ** 2 - kev**2)
    for array in (absorbed, mean, square):
        array.setflags(write=False)
    return DetectorResponse(absorbed, mean, square / model.optical_swank)
