"""Ground truth of a simulated frame, a side channel keyed by frame uid. Guarded by an import contract."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fluoroscope.beam.technique import Technique
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import ProjectionGeometry

__all__ = ["GroundTruth"]


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """What the simulator knows of one frame and no algorithm may see.

    Attributes
    ----------
    frame_uid
        The frame.
    time_s
        Scene time, s since the exam began.
    geometry
        The exact projection in patient coordinates.
    pose, technique
        As exposed.
    body_poses
        ``world_from_body`` (4×4 nested tuples) of every body of the scene by name.
    frames
        ``world_from_rest`` (4, 4) of every moving frame of the patient ("vertebrae_L3", "liver" …); empty for a
        scene that does not know its frames.
    landmarks_mm
        (x, y, z) LPS of every landmark at that moment.
    landmarks_px
        (row, column) of the same, by the frame's exact geometry; NaN at or behind the source.
    needles
        What each instrument knows of itself: entry, tip, direction, tissue at the tip.
    contrast
        Contrast medium by place, JSON-ready.
    motion
        State of the patient's movement, JSON-ready.
    """

    frame_uid: str
    time_s: float
    geometry: ProjectionGeometry
    pose: CArmPose
    technique: Technique
    body_poses: dict[str, tuple[tuple[float, ...], ...]]
    frames: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    landmarks_mm: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    landmarks_px: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    needles: tuple[object, ...] = ()
    contrast: Mapping[str, object] = field(default_factory=dict)
    motion: Mapping[str, object] = field(default_factory=dict)
