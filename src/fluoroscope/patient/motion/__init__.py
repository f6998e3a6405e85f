"""The patient in motion: `LivingPatient` moves an `Articulation` as a function of time."""

from fluoroscope.patient.motion.living import LivingPatient
from fluoroscope.patient.motion.settings import MotionSettings

__all__ = ["LivingPatient", "MotionSettings"]
