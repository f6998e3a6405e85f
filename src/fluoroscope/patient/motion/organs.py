"""How organs follow the breath, the heart beat and the bowel."""

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["BREATHING", "ORGANS", "BowelWaves"]

BREATHING: dict[str, tuple[float, float, float]] = {
    "diaphragm_left": (0.0, 0.0, -1.0),
    "diaphragm_right": (0.0, 0.0, -1.0),
    "liver": (0.0, -0.15, -0.83),
    "spleen": (0.0, -0.10, -0.85),
    "stomach": (0.0, -0.15, -0.70),
    "kidney_left": (-0.05, -0.10, -0.70),
    "kidney_right": (0.05, -0.10, -0.75),
    "colon": (0.0, -0.10, -0.30),
    "small_bowel": (0.0, -0.10, -0.20),
    "abdominal_wall": (0.0, -0.35, 0.0),
}
"""Way in a breath over the diaphragm's, LPS, on breathing in (+x left, −y front, −z feet).

On 4D CT of 13 patients liver 13, spleen 13, left kidney 11, right 13 mm (Brandner et al., Int J Radiat Oncol Biol Phys
2006;65:554-560); of 13 others diaphragm 10.3 ± 4.0, liver 10.1, kidneys 9.3 and 9.6, spleen 10.6 mm (Xi et al. 2009,
doi:10.5732/cjc.009.10193); kidneys 0.6 to 0.7 of the diaphragm on MRI of 10 (Song et al. 2011, doi:10.1002/jmri.22418).
Liver 10 of 12 mm: Davies et al. 1994, doi:10.1259/0007-1285-67-803-1096 (by way of AAPM TG-76; unverified). Prone, the
liver moves a quarter less than supine, kidneys and spleen as much (Kim et al. 2007, doi:10.1016/j.radonc.2007.10.031);
not modelled. Front-to-back and sideways parts, stomach, bowel and the wall of someone lying on it: assumed.
"""

ORGANS = (*BREATHING, "aorta")
"""Frames that move inside the trunk."""

_WAVES = {"colon": ((31.0, 0.6), (53.0, 0.4)), "small_bowel": ((5.5, 0.4), (13.0, 0.6)), "stomach": ((20.0, 0.5),)}
"""Period in s and share of each peristaltic wave: small bowel 11 and stomach 1 to 3 contractions a minute, colon 1.4 ±
0.6 pressure waves (as tabled in doi:10.1002/adfm.202009289)."""


class BowelWaves:
    """Slow shifts of stomach and bowel, within ± ``largest_mm`` along each axis."""

    def __init__(self, largest_mm: float, seed: int) -> None:
        self._largest_mm = largest_mm
        self._phases = {
            name: np.random.Generator(np.random.PCG64([seed, 40 + n])).uniform(0.0, 2.0 * math.pi, (len(waves), 3))
            for n, (name, waves) in enumerate(_WAVES.items())
        }

    def shift_mm(self, name: str, time_s: float) -> NDArray[np.float64]:
        """Return the shift (3,) of a part at a time; zero for other organs."""
        shift = np.zeros(3)
        for (period_s, share), phase in zip(_WAVES.get(name, ()), self._phases.get(name, ()), strict=True):
            shift += share * self._largest_mm * np.sin(2.0 * math.pi * time_s / period_s + phase)
        return shift
