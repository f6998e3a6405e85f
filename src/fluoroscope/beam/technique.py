"""What is set at the generator: tube voltage, current, pulse and filtration."""

from dataclasses import dataclass, field
from enum import Enum

import numpy as np

__all__ = ["PULSE_RATES_HZ", "Filtration", "RadiationMode", "Technique"]

PULSE_RATES_HZ = (1.0, 2.0, 3.75, 7.5, 15.0, 30.0)
"""Pulse rates a console offers, pulses per second."""


class RadiationMode(Enum):
    """Fluoroscopy (low dose, DICOM RadiationSetting SC) or acquisition (GR)."""

    FLUOROSCOPY = "fluoroscopy"
    ACQUISITION = "acquisition"


@dataclass(frozen=True, slots=True)
class Filtration:
    """Filters in the beam: inherent and added aluminium together, and added copper, mm."""

    aluminium_mm: float = 3.1
    copper_mm: float = 0.1

    def __post_init__(self) -> None:
        if not (0.0 <= self.aluminium_mm <= 50.0 and 0.0 <= self.copper_mm <= 3.0):
            raise ValueError(f"filtration out of range: {self.aluminium_mm} mm Al, {self.copper_mm} mm Cu")


@dataclass(frozen=True, slots=True)
class Technique:
    """One X-ray pulse and how often it is repeated.

    Attributes
    ----------
    tube_voltage_kv
        40 to 125 kV.
    tube_current_ma
        Current during the pulse, mA, above 0.
    pulse_width_ms
        Length of the pulse, ms, above 0.
    pulse_rate_hz
        Pulses per second.
    filtration
        What stands in the beam before the patient.
    mode
        Fluoroscopy or acquisition.
    """

    tube_voltage_kv: float
    tube_current_ma: float
    pulse_width_ms: float
    pulse_rate_hz: float
    filtration: Filtration = field(default_factory=Filtration)
    mode: RadiationMode = RadiationMode.FLUOROSCOPY

    def __post_init__(self) -> None:
        if not 40.0 <= self.tube_voltage_kv <= 125.0:
            raise ValueError(f"tube voltage must be 40 to 125 kV, got {self.tube_voltage_kv}")
        for name in ("tube_current_ma", "pulse_width_ms", "pulse_rate_hz"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0.0):
                raise ValueError(f"{name} must be above 0, got {value}")

    @property
    def mas_per_pulse(self) -> float:
        """Tube current-time product of one pulse, mAs."""
        return self.tube_current_ma * self.pulse_width_ms / 1000.0
