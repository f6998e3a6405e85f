"""From the frames of an X-ray file with standard geometry tags to what guidance takes."""

import math

from fluoroscope.dicom.xa import Clip
from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.positioner import pose_for_patient_view
from fluoroscope.geometry.projection import projection_geometry
from fluoroscope.geometry.table import PatientPosition, TablePose
from fluoroscope.guidance.view import XRayView, view_of

__all__ = ["MissingGeometryError", "clip_pose", "clip_position", "clip_view"]


class MissingGeometryError(ValueError):
    """A picture does not say how it was taken: one line, with the attributes that are missing."""


def clip_position(clip: Clip) -> PatientPosition:
    """Return how the patient lay; raises `MissingGeometryError` when the file does not say."""
    try:
        return PatientPosition(clip.patient_position)
    except ValueError:
        raise MissingGeometryError(
            f"{clip.name}: Patient Position (0018,5100) is {clip.patient_position or 'missing'};"
            " it must be HFS, HFP or another of the eight to place the beam"
        ) from None


def clip_pose(clip: Clip, frame: int = 0) -> CArmPose:
    """Return the C-arm of a frame in the equipment frame, the table taken as flat and the isocentre as its origin.

    Distance Source to Patient (0018,1111) is taken as that to the isocentre (PS3.3 C.8.7.5.1.2).

    Raises
    ------
    MissingGeometryError
        When the file lacks positioner angles, a distance, or the patient's position.
    """
    missing = [
        name
        for name, known in (
            ("Positioner Primary and Secondary Angle (0018,1510; 0018,1511)", bool(clip.angles)),
            ("Distance Source to Detector (0018,1110)", clip.source_to_detector_mm is not None),
            ("Distance Source to Patient (0018,1111)", clip.source_to_patient_mm is not None),
            ("Imager Pixel Spacing (0018,1164)", clip.pitch_mm is not None),
        )
        if not known
    ]
    if missing:
        raise MissingGeometryError(
            f"{clip.name}: the file lacks {', '.join(missing)}; without them no place in mm can be given"
        )
    to_isocenter, to_detector = clip.source_to_patient_mm or math.nan, clip.source_to_detector_mm or math.nan
    if not 0.0 < to_isocenter < to_detector:
        raise MissingGeometryError(
            f"{clip.name}: source to patient {to_isocenter:g} mm is not before the detector at {to_detector:g} mm;"
            " the distances of the file are wrong"
        )
    angles = clip.angles[frame]
    like = CArmPose(0.0, 0.0, to_isocenter, to_detector)
    return pose_for_patient_view(angles.primary_deg, angles.secondary_deg, TablePose(), clip_position(clip), like)


def clip_view(clip: Clip, frame: int = 0) -> XRayView:
    """Return frame ``frame`` of a clip as an `XRayView` in the equipment frame; raises as `clip_pose`."""
    pose = clip_pose(clip, frame)
    grid = DetectorGrid(clip.rows, clip.columns, clip.pitch_mm or math.nan)
    return view_of(clip.frame(frame), clip.intensity, projection_geometry(pose, grid), bits=clip.bits_stored)
