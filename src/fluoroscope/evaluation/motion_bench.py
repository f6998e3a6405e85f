"""How long a pulse takes when the patient lives: breathing, under growing traction, with a moving needle.

The articulation is made of solid parts of the sizes a modelled patient has: a trunk base at 1 mm, seven vertebrae of
about 2 million voxels at 0.6 mm, eight soft slabs at 1.4 mm, six discs and eight organs. Every pulse moves every
vertebra, disc, slab and organ; only the base rests. The needle is two analytic rods. Calls are those of the live loop,
as in `pulse_bench`.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from fluoroscope.acquisition.clock import SteppedClock
from fluoroscope.detector.expose import Detector
from fluoroscope.evaluation.projector_bench import Row, row
from fluoroscope.evaluation.pulse_bench import STAGES, timed_pulses
from fluoroscope.geometry.carm import C_ARMS
from fluoroscope.geometry.table import PatientPosition
from fluoroscope.patient.motion import LivingPatient
from fluoroscope.patient.parts import Articulation, DiscJoint, Part
from fluoroscope.patient.scene import Cylinder, Scene
from fluoroscope.patient.volume import BasisVolume
from fluoroscope.projector import vector_level
from fluoroscope.sources.virtual import CArmSetup, VirtualCArm

__all__ = ["LivingBench", "motion_rows", "solid_articulation"]

_LEVELS = ("T11", "T12", "L1", "L2", "L3", "L4", "L5")
_PITCH_MM = 36.0
_ORGANS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "liver": ((-70.0, -30.0, 80.0), (75.0, 60.0, 70.0)),
    "spleen": ((90.0, 20.0, 90.0), (25.0, 35.0, 50.0)),
    "stomach": ((60.0, -50.0, 70.0), (45.0, 35.0, 50.0)),
    "kidney_left": ((65.0, 30.0, 30.0), (28.0, 25.0, 55.0)),
    "kidney_right": ((-65.0, 30.0, 20.0), (28.0, 25.0, 55.0)),
    "colon": ((0.0, -60.0, -10.0), (120.0, 25.0, 60.0)),
    "small_bowel": ((0.0, -55.0, -50.0), (80.0, 30.0, 50.0)),
    "aorta": ((8.0, -28.0, 30.0), (11.0, 11.0, 120.0)),
}
"""Centre and half axes, mm, of organs as ellipsoids."""


def ellipsoid(
    center_mm: Sequence[float], half_mm: Sequence[float], spacing_mm: float, water: int, bone: int = 0, rough: int = 0
) -> BasisVolume:
    """Return a solid ellipsoid in its own box; ``rough`` gives its voxels a texture, as real tissue has."""
    half = np.asarray(half_mm, dtype=np.float64)
    shape = tuple(int(np.ceil(2.0 * h / spacing_mm)) + 2 for h in half[::-1])
    affine = np.zeros((4, 4))
    affine[2, 0] = affine[1, 1] = affine[0, 2] = spacing_mm
    affine[3, 3] = 1.0
    affine[:3, 3] = np.asarray(center_mm) - affine[:3, :3] @ ((np.asarray(shape) - 1.0) / 2.0)
    s, p, e = (
        (np.arange(n, dtype=np.float32) - (n - 1) / 2.0) * spacing_mm / h
        for n, h in zip(shape, half[::-1], strict=True)
    )
    radius = s[:, None, None] ** 2 + p[:, None] ** 2 + e**2
    inside = np.clip((1.0 - radius) * 10.0, 0.0, 1.0)
    grain = np.random.Generator(np.random.PCG64(shape[0])).integers(-rough, rough + 1, shape, dtype=np.int16)

    def filled(value: int) -> NDArray[np.int16]:
        values: NDArray[np.int16] = ((value + (grain if value else 0)) * inside).astype(np.int16)
        return values

    return BasisVolume(filled(water), filled(bone), affine)


def solid_articulation() -> Articulation:
    """Return the parts, joints and all, about 60 million voxels."""
    parts = [Part("base", ellipsoid((0.0, 0.0, -20.0), (170.0, 110.0, 260.0), 1.0, 950, rough=20))]
    joints = []
    for number, level in enumerate(_LEVELS):
        z = _PITCH_MM * (_LEVELS.index("L3") - number)
        name = f"vertebrae_{level}"
        parts.append(Part(name, ellipsoid((0.0, 45.0, z), (45.0, 45.0, 27.0), 0.6, 80, 350, rough=60), name))
        parts.append(
            Part(f"soft_{level}", ellipsoid((0.0, 0.0, z), (170.0, 110.0, 36.0), 1.4, 30, rough=20), f"soft_{level}")
        )
        below = _LEVELS[number + 1] if number + 1 < len(_LEVELS) else "S1"
        disc = np.eye(4)
        disc[:3, 3] = (0.0, 30.0, z - _PITCH_MM / 2.0)
        lower = f"vertebrae_{below}" if below != "S1" else "sacrum"
        joints.append(DiscJoint(f"{level}_{below}", name, lower, disc, 48.0, 35.0, 10.0, 7.0))
    parts.append(Part("soft_S1", ellipsoid((0.0, 0.0, -2.6 * _PITCH_MM), (170.0, 110.0, 36.0), 1.4, 30, rough=20)))
    for joint in joints[1:]:
        frame = f"disc_{joint.name}"
        parts.append(Part(frame, ellipsoid(joint.world_from_disc[:3, 3].tolist(), (24.0, 18.0, 5.0), 0.6, 60), frame))
    parts += [Part(name, ellipsoid(*place, 1.2, 60, rough=20), name) for name, place in _ORGANS.items()]
    return Articulation(tuple(parts), tuple(joints))


class LivingBench:
    """A patient who breathes and is pulled ever harder, and a needle on its way in."""

    def __init__(self, patient: LivingPatient) -> None:
        self._patient = patient
        patient.pull(0.0, 600.0, 60.0)

    def at(self, time_s: float) -> Scene:
        """Return the scene."""
        scene = self._patient.at(time_s)
        tip = (5.0 + time_s, 40.0 - 2.0 * time_s, 10.0)
        hub = (tip[0] + 20.0, tip[1] + 85.0, tip[2] + 10.0)
        steel = (0.0, 5.0)
        return replace(scene, shapes=(Cylinder(hub, tip, 0.36, steel), Cylinder(hub, tip, 0.2, (0.0, -5.0))))


def motion_rows(
    pixels: Sequence[int] = (1024,), pulses: int = 60, articulation: Articulation | None = None
) -> list[Row]:
    """Return median and spread of the whole pulse of a living patient, C-arm moving and still, ms."""
    parts = articulation if articulation is not None else solid_articulation()
    voxels = sum(part.volume.water.size for part in parts.parts)
    rows = []
    for n in pixels:
        size = f"{len(parts.parts)} parts, {voxels / 1e6:.0f} M voxels, {n}², {pulses} pulses, {vector_level()}"
        for moving in (True, False):
            times = living_pulse_times(parts, n, pulses, moving=moving)
            state = "moving" if moving else "still"
            what = f"whole pulse of a patient breathing, under traction, needle moving; C-arm {state}"
            rows.append(row(f"motion.{state}.{n}", what, size, STAGES, times, "ms"))
    return rows


def living_pulse_times(parts: Articulation, pixels: int, pulses: int, *, moving: bool) -> list[float]:
    """Return the wall time of each pulse at 15 a second, ms; the first five are not counted."""
    clock = SteppedClock(datetime(2026, 1, 1, tzinfo=UTC))
    setup = CArmSetup(position=PatientPosition.HFS)
    scene = LivingBench(LivingPatient(parts, seed=1))
    carm = VirtualCArm(scene, C_ARMS["mobile-flat-panel"], setup, Detector(seed=1), clock, matrix_limit=pixels)
    return timed_pulses(carm, pulses, moving)
