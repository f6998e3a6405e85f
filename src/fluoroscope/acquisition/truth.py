"""Ground truth of a simulated frame, a side channel keyed by frame uid. Guarded by an import contract."""

from dataclasses import dataclass

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
    """

    frame_uid: str
    time_s: float
    geometry: ProjectionGeometry
    pose: CArmPose
    technique: Technique
    body_poses: dict[str, tuple[tuple[float, ...], ...]]
