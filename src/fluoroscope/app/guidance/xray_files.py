"""From the frames of an X-ray file with standard geometry tags to what guidance takes."""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from fluoroscope.dicom.xa import Clip, read_clip
from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.positioner import pose_for_patient_view, view_text
from fluoroscope.geometry.projection import projection_geometry
from fluoroscope.geometry.table import PatientPosition, TablePose
from fluoroscope.guidance.view import XRayView, view_of

__all__ = ["MissingGeometryError", "clip_pose", "clip_position", "clip_view", "open_views"]


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


def open_views(
    paths: Sequence[Path], frames: Sequence[int]
) -> tuple[tuple[XRayView, ...], PatientPosition, tuple[str, ...]]:
    """Return views, how the patient lay, and each view in words, of files between which the patient did not move.

    Parameters
    ----------
    paths
        X-ray files, one or more.
    frames
        Frame of each, or one for all; from 0.

    Raises
    ------
    ValueError
        A file that cannot be read or lacks geometry, a frame that is not there, a patient who lay otherwise.
    """
    with ExitStack() as stack:
        clips = [stack.enter_context(read_clip(path)) for path in paths]
        taken = list(zip(clips, frames if len(frames) == len(clips) else [*frames] * len(clips), strict=True))
        for clip, frame in taken:
            if not 0 <= frame < clip.frame_count:
                raise ValueError(f"{clip.name}: no frame {frame}; it has {clip.frame_count}, counted from 0")
        views = tuple(clip_view(clip, frame) for clip, frame in taken)
        position = _one_position(clips)
        angles = [clip.angles[frame] for clip, frame in taken]
    return views, position, tuple(view_text(one.primary_deg, one.secondary_deg) for one in angles)


def _one_position(clips: Sequence[Clip]) -> PatientPosition:
    positions = [clip_position(clip) for clip in clips]
    for clip, position in zip(clips, positions, strict=True):
        if position is not positions[0]:
            raise ValueError(
                f"{clip.name}: the patient lies {position.value}, in {clips[0].name} {positions[0].value};"
                " give images between which the patient did not move"
            )
    return positions[0]
