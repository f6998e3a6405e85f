"""What is in the beam of a virtual C-arm: a living patient, and what is done to him with instruments."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.instruments.shaft import skin_marker
from fluoroscope.patient.library import Patient
from fluoroscope.patient.motion import LivingPatient, MotionSettings
from fluoroscope.patient.motion.organs import ORGANS
from fluoroscope.patient.parts import Articulation
from fluoroscope.patient.scene import Body, Scene, Shape

__all__ = ["RoomScene"]


class RoomScene:
    """A patient on the table as a function of time: `MovingScene` with ground truth.

    A patient whose parts are not known rests.

    Parameters
    ----------
    patient
        Who lies there.
    settings
        How he moves by himself; of an adult who breathes quietly when absent.
    seed
        Of his single breaths.
    """

    def __init__(self, patient: Patient, settings: MotionSettings | None = None, seed: int = 0) -> None:
        self.patient = patient
        articulation = getattr(patient, "articulation", None)
        self.living = None if articulation is None else LivingPatient(articulation, settings, seed)
        self.bends = articulation is not None and len(articulation.joints) > 0
        self.breathes = articulation is not None and any(part.frame in ORGANS for part in articulation.parts)
        self._resting = Scene((Body("patient", patient.basis),))
        self._marker: tuple[Shape, ...] = ()

    def at(self, time_s: float) -> Scene:
        """Return the scene; a part that has not moved since the last call is the same object."""
        scene = self._resting if self.living is None else self.living.at(time_s)
        return replace(scene, shapes=(*scene.shapes, *self._marker)) if self._marker else scene

    def lay_marker(self, at_mm: NDArray[np.float64], outward: NDArray[np.float64]) -> None:
        """Lay a metal ball on the skin, whose unit normal is ``outward``."""
        self._marker = skin_marker(at_mm, outward)

    def take_marker(self) -> None:
        """Take the ball away."""
        self._marker = ()

    def vertebrae(self) -> dict[str, tuple[float, float, float]]:
        """Return the middles of the vertebral bodies as the patient rests, from the head down; empty when not known."""
        articulation = None if self.living is None else self.living.articulation
        return {} if articulation is None else _middles(articulation)


def _middles(articulation: Articulation) -> dict[str, tuple[float, float, float]]:
    """Return the middle of each vertebra's endplate landmarks."""
    corners: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for name, mark in articulation.landmarks.items():
        level, _, what = name.partition("/")
        if "endplate" in what and level[0] in "TL":
            corners[level].append(mark.position_mm)
    middles = {level: np.mean(points, axis=0) for level, points in corners.items()}
    ordered = sorted(middles, key=lambda level: -middles[level][2])
    return {level: (float(middles[level][0]), float(middles[level][1]), float(middles[level][2])) for level in ordered}
