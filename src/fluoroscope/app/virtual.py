"""Puts a patient into the beam of a virtual C-arm."""

import platform
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np

from fluoroscope import __version__
from fluoroscope.acquisition.clock import Clock
from fluoroscope.acquisition.truth import GroundTruth
from fluoroscope.app.setup import RoomSetup
from fluoroscope.detector.expose import Detector
from fluoroscope.patient.library import Patient
from fluoroscope.patient.scene import Body, MovingScene, Scene
from fluoroscope.records.identity import Equipment, ExamIdentity, PatientIdentity
from fluoroscope.sources.virtual import CArmSetup, VirtualCArm

__all__ = [
    "RestingScene",
    "carm_setup",
    "exam_details",
    "exam_identity",
    "patient_dicom_id",
    "versions",
    "virtual_carm",
]


class RestingScene:
    """A patient who lies still."""

    def __init__(self, patient: Patient) -> None:
        self._scene = Scene((Body("patient", patient.basis),))

    def at(self, time_s: float) -> Scene:
        """Return the scene, the same at every time."""
        return self._scene


def carm_setup(setup: RoomSetup, patient: Patient) -> CArmSetup:
    """Return the room with the patient's reference point at the isocentre and every joint at rest."""
    x, y, z = (float(part) for part in patient.reference_mm)
    return CArmSetup(position=setup.patient_position, reference_mm=(x, y, z))


def virtual_carm(
    setup: RoomSetup,
    patient: Patient,
    clock: Clock,
    seed: int | None = None,
    scene: MovingScene | None = None,
    on_truth: Callable[[GroundTruth], None] | None = None,
) -> VirtualCArm:
    """Return a C-arm on ``patient``.

    Parameters
    ----------
    setup
        C-arm, position, matrix.
    patient
        Who lies there.
    clock
        Times the pulses.
    seed
        Of the noise; a random one when absent.
    scene
        What moves; the resting patient when absent.
    on_truth
        Called with the ground truth of every frame.
    """
    detector = Detector(seed=secrets.randbits(32) if seed is None else seed)
    return VirtualCArm(
        scene or RestingScene(patient),
        setup.carm_model,
        carm_setup(setup, patient),
        detector,
        clock,
        matrix_limit=setup.matrix,
        on_truth=on_truth,
    )


def exam_identity(
    setup: RoomSetup,
    patient: Patient,
    study_uid: str,
    started: datetime,
    description: str = "Fluoroscopy of the spine",
) -> ExamIdentity:
    """Return whose exam it is and on which machine, for the records."""
    name = patient.record.name
    return ExamIdentity(
        study_uid,
        started,
        PatientIdentity(name[:64], patient_dicom_id(patient)),
        Equipment(f"virtual {setup.carm_model.label}"[:64], __version__),
        position=setup.patient_position,
        description=description[:64],
    )


def patient_dicom_id(patient: Patient) -> str:
    """Return the patient's id for records: its own, else one that says it is simulated."""
    return (patient.patient_id or f"SIM-{patient.record.name}")[:64]


def exam_details(setup: RoomSetup, patient: Patient) -> dict[str, Any]:
    """Return what else the log of an exam says."""
    return {
        "patient": {
            "name": patient.record.name,
            "source": patient.record.source,
            "licence": patient.record.licence,
            "reference_mm": [round(float(part), 3) for part in patient.reference_mm],
            "position": setup.patient_position.value,
        },
        "carm": setup.carm,
        "matrix": setup.matrix,
        "versions": versions(),
    }


def versions() -> dict[str, Any]:
    """Return the versions that a result depends on."""
    import numba

    return {
        "fluoroscope": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "machine": platform.machine(),
    }
