"""How long a pulse takes when the patient lives: the default patient, breathing, with a moving needle.

Two states: breathing only, so that what rests is not projected again; and under growing traction too, when every part
but the base moves before every pulse. The needle is two analytic rods. Calls are those of the live loop, as in
`pulse_bench`. "C-arm still" stands a third of the pulses each in AP, lateral and left oblique.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from fluoroscope.acquisition.clock import SteppedClock
from fluoroscope.detector.expose import Detector
from fluoroscope.evaluation.projector_bench import Row, bench_poses, row
from fluoroscope.evaluation.pulse_bench import STAGES, timed_pulses
from fluoroscope.geometry.carm import C_ARMS
from fluoroscope.geometry.table import PatientPosition
from fluoroscope.patient.library import DEFAULT_PATIENT, Patient, open_patient
from fluoroscope.patient.motion import LivingPatient
from fluoroscope.patient.scene import Cylinder, Scene
from fluoroscope.projector import vector_level
from fluoroscope.sources.virtual import CArmSetup, VirtualCArm

__all__ = ["living_pulse_times", "motion_rows"]

STILL_VIEWS_DEG = (0.0, 90.0, 30.0)
"""Orbital angles of AP, lateral and left oblique."""


class NeedledPatient:
    """A living patient and a needle on its way in."""

    def __init__(self, patient: LivingPatient) -> None:
        self._patient = patient

    def at(self, time_s: float) -> Scene:
        """Return the scene."""
        scene = self._patient.at(time_s)
        tip = (5.0 + time_s, 40.0 - 2.0 * time_s, 10.0)
        hub = (tip[0] + 20.0, tip[1] + 85.0, tip[2] + 10.0)
        steel = (0.0, 5.0)
        return replace(scene, shapes=(Cylinder(hub, tip, 0.36, steel), Cylinder(hub, tip, 0.2, (0.0, -5.0))))


def motion_rows(pixels: Sequence[int] = (1024,), pulses: int = 60) -> list[Row]:
    """Return median and spread of the whole pulse of the default patient, C-arm moving and still, ms."""
    patient = open_patient(DEFAULT_PATIENT)
    parts = patient.articulation.parts if patient.articulation is not None else ()
    voxels = sum(part.volume.water.size for part in parts)
    rows = []
    for n in pixels:
        size = f"{DEFAULT_PATIENT}, {len(parts)} parts, {voxels / 1e6:.0f} M voxels, {n}², {pulses} pulses"
        for traction in (True, False):
            doing = "breathing, under growing traction" if traction else "breathing"
            for moving in (True, False):
                times = living_pulse_times(patient, n, pulses, moving=moving, traction=traction)
                state = "moving" if moving else "still"
                identity = f"motion.{'traction' if traction else 'breathing'}.{state}.{n}"
                what = f"whole pulse of a patient {doing}, needle moving; C-arm {state}"
                rows.append(row(identity, what, f"{size}, {vector_level()}", STAGES, times, "ms"))
    return rows


def living_pulse_times(opened: Patient, pixels: int, pulses: int, *, moving: bool, traction: bool) -> list[float]:
    """Return the wall time of each pulse at 15 a second, ms; the first five of every run are not counted.

    Raises
    ------
    ValueError
        When the patient has no moving parts.
    """
    if opened.articulation is None:
        raise ValueError(f"patient {opened.record.name} has no moving parts")
    if moving:
        poses = bench_poses(pulses + 5)
        runs = [[{"orbital": pose.primary_deg, "tilt": pose.secondary_deg} for pose in poses]]
    else:
        runs = [[{"orbital": angle, "tilt": 0.0}] * (pulses // 3 + 5) for angle in STILL_VIEWS_DEG]
    times = []
    for joints in runs:
        patient = LivingPatient(opened.articulation, seed=1)
        if traction:
            patient.pull(0.0, 600.0, 60.0)
        clock = SteppedClock(datetime(2026, 1, 1, tzinfo=UTC))
        x_mm, y_mm, z_mm = opened.reference_mm.tolist()
        setup = CArmSetup(position=PatientPosition.HFP, reference_mm=(x_mm, y_mm, z_mm))
        scene = NeedledPatient(patient)
        carm = VirtualCArm(scene, C_ARMS["mobile-flat-panel"], setup, Detector(seed=1), clock, matrix_limit=pixels)
        times += timed_pulses(carm, joints)
    return times
