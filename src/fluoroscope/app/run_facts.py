"""What the records of a run and of an event say, from what the frames and the event know."""

from collections.abc import Sequence
from typing import Any

from fluoroscope.acquisition.event import IrradiationEvent
from fluoroscope.acquisition.frame import Frame
from fluoroscope.geometry.positioner import edge_markers, patient_axes, positioner_angles
from fluoroscope.geometry.table import PatientPosition, TablePose
from fluoroscope.records.contents import DoseEvent, XARun
from fluoroscope.records.identity import PatientAngles

__all__ = ["described_run", "dose_event", "frame_angles", "frame_orientation", "frame_tables"]


def described_run(
    event: IrradiationEvent,
    frames: Sequence[Frame],
    window: tuple[float, float],
    position: PatientPosition,
) -> XARun:
    """Return what the XA object of ``frames`` says: times, angles, tables, window."""
    first = frames[0]
    return XARun(
        event,
        tuple(frame.acquired_ns for frame in frames),
        *window,
        pitch_mm=first.pitch_mm,
        angles=frame_angles(frames, position),
        tables=frame_tables(frames),
        orientation=frame_orientation(first, position),
    )


def dose_event(event: IrradiationEvent, position: PatientPosition) -> DoseEvent:
    """Return ``event`` with the patient angles of its first and last pulse, and of where it stopped on its way."""

    def angles(pose: Any, table: TablePose | None) -> PatientAngles | None:
        if pose is None or position is None:
            return None
        return PatientAngles(*positioner_angles(pose, table or TablePose(), position))

    along = [angles(place.pose, place.table) for place in event.path]
    begun = event.path[0].table if event.path else event.table
    return DoseEvent(
        event,
        angles(event.first_pose, begun),
        angles(event.last_pose, event.table),
        tuple(one for one in along if one is not None),
    )


def frame_angles(frames: Sequence[Frame], position: PatientPosition) -> tuple[PatientAngles, ...]:
    """Return patient angles: none where a frame does not say its pose, one for all frames, or one each."""
    if position is None or any(frame.pose is None for frame in frames):
        return ()
    every = tuple(
        PatientAngles(*positioner_angles(frame.pose, frame.table or TablePose(), position))
        for frame in frames
        if frame.pose is not None
    )
    return every[:1] if len(set(every)) == 1 else every


def frame_tables(frames: Sequence[Frame]) -> tuple[TablePose, ...]:
    """Return table poses: none where a frame does not say one, one for all frames, or one each."""
    every = tuple(frame.table for frame in frames if frame.table is not None)
    if len(every) != len(frames):
        return ()
    return every[:1] if len(set(every)) == 1 else every


def frame_orientation(frame: Frame, position: PatientPosition) -> tuple[str, str] | None:
    """Return the directions of growing column and row in the patient; None where the pose is not known."""
    if position is None or frame.pose is None:
        return None
    return edge_markers(patient_axes(frame.pose, frame.table or TablePose(), position)).patient_orientation
