"""Where source and detector really are, and how an image intensifier bends the picture: from beads in the beam."""

from fluoroscope.guidance.calibration.beads import Bead, find_beads
from fluoroscope.guidance.calibration.beam import CalibratedBeam, CalibrationError, calibrate_beam, pose_from_fiducial
from fluoroscope.guidance.calibration.distortion import Distortion, fit_distortion, index_grid
from fluoroscope.guidance.calibration.phantom import BeadPhantom, phantom_from, small_fiducial, spiral_phantom

__all__ = [
    "Bead",
    "BeadPhantom",
    "CalibratedBeam",
    "CalibrationError",
    "Distortion",
    "calibrate_beam",
    "find_beads",
    "fit_distortion",
    "index_grid",
    "phantom_from",
    "pose_from_fiducial",
    "small_fiducial",
    "spiral_phantom",
]
