"""What the dose meter of the system says of one pulse."""

from dataclasses import dataclass

import numpy as np

from fluoroscope.beam.spectrum import DEFAULT_ANODE_DEG, tube_spectrum
from fluoroscope.beam.technique import Technique

__all__ = ["REFERENCE_POINT_FROM_ISOCENTER_MM", "PulseKerma", "pulse_kerma", "reference_distance_mm"]

REFERENCE_POINT_FROM_ISOCENTER_MM = 150.0
"""From the isocentre toward the source: the reference point of an isocentric C-arm (IEC 60601-2-43)."""


@dataclass(frozen=True, slots=True)
class PulseKerma:
    """What the dose meter says of one pulse: air kerma at the reference point (no backscatter) and KAP."""

    air_kerma_mgy: float
    kap_gy_cm2: float


def reference_distance_mm(source_to_isocenter_mm: float) -> float:
    """Return the distance from the source to the reference point, mm."""
    distance = source_to_isocenter_mm - REFERENCE_POINT_FROM_ISOCENTER_MM
    if not (np.isfinite(distance) and distance > 0.0):
        raise ValueError(f"the isocentre must be more than 150 mm from the source, got {source_to_isocenter_mm}")
    return distance


def pulse_kerma(
    technique: Technique,
    reference_distance_mm: float,
    field_area_mm2: float,
    field_distance_mm: float,
    anode_deg: float = DEFAULT_ANODE_DEG,
) -> PulseKerma:
    """Return the air kerma at the reference point (free in air, no backscatter) and the KAP of one pulse.

    The kerma falls with the square of the distance while the field grows with it, so their product is the
    same in every plane (IAEA TRS 457, 3.3.2). The field is taken as even: heel effect and penumbra are not in
    it.

    Parameters
    ----------
    technique
        The pulse.
    reference_distance_mm
        Source to reference point, mm.
    field_area_mm2
        Area of the open field, mm², in the plane at ``field_distance_mm`` from the source (the detector's,
        say); 0 when the shutters are closed.
    field_distance_mm
        Where the area was measured, mm from the source.
    anode_deg
        Anode angle of the tube.
    """
    if not (np.isfinite(field_area_mm2) and field_area_mm2 >= 0.0):
        raise ValueError(f"field area must be 0 mm² or more, got {field_area_mm2}")
    if not (np.isfinite(field_distance_mm) and field_distance_mm > 0.0):
        raise ValueError(f"field distance must be above 0 mm, got {field_distance_mm}")
    spectrum = tube_spectrum(technique.tube_voltage_kv, technique.filtration, anode_deg)
    kerma_ugy = spectrum.air_kerma_ugy_per_mas(reference_distance_mm) * technique.mas_per_pulse
    area_cm2 = field_area_mm2 / 100.0 * (reference_distance_mm / field_distance_mm) ** 2
    return PulseKerma(kerma_ugy / 1e3, kerma_ugy / 1e6 * area_cm2)
