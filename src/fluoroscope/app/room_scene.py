"""What is in the beam of a virtual C-arm: a living patient, and what is done to him with instruments."""

from collections import defaultdict

import numpy as np

from fluoroscope.patient.instruments.field import OperatingField
from fluoroscope.patient.instruments.tissue_probe import TissueProbe
from fluoroscope.patient.library import Patient
from fluoroscope.patient.motion import LivingPatient, MotionSettings
from fluoroscope.patient.motion.organs import ORGANS
from fluoroscope.patient.parts import Articulation
from fluoroscope.patient.scene import Body, Point, Scene, SceneTruth

__all__ = ["RoomScene"]


class RoomScene:
    """A patient on the table, with what is put into him, as a function of time: `MovingScene` with ground truth.

    A patient whose parts are not known rests. Commands go to ``living`` and ``field``, with the scene's time.

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
        articulation = patient.articulation
        self.living = None if articulation is None else LivingPatient(articulation, settings, seed)
        self.field = OperatingField(
            TissueProbe(patient.volume, patient.labels, articulation),
            None if self.living is None else self.living.frames_at,
        )
        self._resting = Scene((Body("patient", patient.basis),))

    @property
    def bends(self) -> bool:
        """Whether the discs of the spine are known."""
        return self.living is not None and len(self.living.articulation.joints) > 0

    @property
    def breathes(self) -> bool:
        """Whether there is an organ that moves with the breath."""
        return self.living is not None and any(part.frame in ORGANS for part in self.living.articulation.parts)

    def at(self, time_s: float) -> Scene:
        """Return the scene; a part that has not moved since the last call is the same object."""
        scene = self._resting if self.living is None else self.living.at(time_s)
        known = SceneTruth() if scene.truth is None else scene.truth
        shapes = self.field.shapes(time_s, known.frames)
        medium = self.field.bodies(time_s, known.frames)
        if not shapes and not medium:
            return scene
        needles, contrast = self.field.truth(time_s, known.frames)
        truth = SceneTruth(known.frames, known.landmarks_mm, needles, contrast, known.motion)
        return Scene((*scene.bodies, *medium), (*scene.shapes, *shapes), truth)

    def vertebrae(self) -> dict[str, Point]:
        """Return the middles of the vertebral bodies as the patient rests, from the head down; empty when not known."""
        return {} if self.living is None else _middles(self.living.articulation)


def _middles(articulation: Articulation) -> dict[str, Point]:
    """Return the middle of each vertebra: that of its endplates' landmarks."""
    corners: dict[str, list[Point]] = defaultdict(list)
    for name, mark in articulation.landmarks.items():
        level, _, what = name.partition("/")
        if "endplate" in what and level[0] in "TL":
            corners[level].append(mark.position_mm)
    middles = {level: np.mean(points, axis=0) for level, points in corners.items()}
    ordered = sorted(middles, key=lambda level: -middles[level][2])
    return {level: (float(middles[level][0]), float(middles[level][1]), float(middles[level][2])) for level in ordered}
