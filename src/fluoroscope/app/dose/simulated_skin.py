"""The skin map of a headless run: every pulse on the skin of the patient who was simulated."""

from collections.abc import Iterable

import numpy as np

from fluoroscope.acquisition.frame import Frame
from fluoroscope.beam.kerma import reference_distance_mm
from fluoroscope.dose.patient_skin import patient_skin
from fluoroscope.dose.skin_dose import SkinDose, SkinMap, beam_of_pose
from fluoroscope.dose.skin_factors import beam_quality
from fluoroscope.dose.skin_map import INHERENT_ALUMINIUM_MM, lay_at
from fluoroscope.geometry.table import PatientPosition, TablePose, patient_from_equipment
from fluoroscope.patient.library import Patient

__all__ = ["simulated_skin"]

_VOLTAGE_STEP_KV = 0.1
"""Pulses whose voltages round to the same step have one quality: their dose differs by less than a thousandth."""


def simulated_skin(
    patient: Patient, position: PatientPosition, reference_mm: tuple[float, float, float], frames: Iterable[Frame]
) -> SkinMap | None:
    """Add the pulses of a run on the patient's own skin.

    Parameters
    ----------
    patient
        Who was simulated.
    position
        How he lies.
    reference_mm
        His point, LPS mm, that is at the equipment's origin when the table stands at zero.
    frames
        Of all presses; their pixels are not looked at. Those without pose, blades, technique or kerma are left out.

    Returns
    -------
    SkinMap or None
        None when there is no body in the CT, or no pulse to add.
    """
    pulses: dict[tuple[object, ...], list[Frame]] = {}
    for frame in frames:
        if frame.pose is not None and frame.collimation is not None and frame.technique and frame.kerma is not None:
            steps = round(frame.technique.tube_voltage_kv / _VOLTAGE_STEP_KV)
            alike = (frame.pose, frame.table, frame.collimation, steps, frame.technique.filtration)
            pulses.setdefault(alike, []).append(frame)
    try:
        skin = patient_skin(patient.volume, patient.record.name)
    except ValueError:
        return None
    if not pulses:
        return None
    dose = SkinDose(skin.phantom)
    tabletop = lay_at(skin.phantom, position, np.asarray(reference_mm)).tabletop
    for together in pulses.values():
        first = together[0]
        pose, blades, technique = first.pose, first.collimation, first.technique
        if pose is None or blades is None or technique is None:
            continue
        volts = round(technique.tube_voltage_kv / _VOLTAGE_STEP_KV) * _VOLTAGE_STEP_KV
        filtration = technique.filtration
        dose.add(
            beam_of_pose(
                pose,
                blades,
                sum(frame.kerma.air_kerma_mgy for frame in together if frame.kerma is not None),
                reference_distance_mm(pose.source_to_isocenter_mm),
                beam_quality(volts, filtration.aluminium_mm, filtration.copper_mm, INHERENT_ALUMINIUM_MM),
                patient_from_equipment(first.table or TablePose(), position, reference_mm),
                tabletop,
            )
        )
    return dose.map()
