"""Where the C-arm stands: source, detector and the directions of the picture, in the equipment frame."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BeamAxes",
    "CArmPose",
    "angles_from_axes",
    "angles_of_direction",
    "beam_axes",
    "beam_direction",
    "wrap_deg",
]

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CArmPose:
    """The pose of an isocentric C-arm in the equipment frame.

    Attributes
    ----------
    primary_deg, secondary_deg
        Equipment angles (p, s): ``d = (sin p cos s, −cos p cos s, sin s)`` points from the isocentre to the
        detector.
    source_to_isocenter_mm, source_to_detector_mm
        Distances along the central ray, mm; 0 < source_to_isocenter < source_to_detector.
    isocenter_mm
        The isocentre in the equipment frame, mm; other than 0 when the whole C-arm was moved.
    detector_rotation_deg
        Image roll: 0 for ``u = (cos p, sin p, 0)``, positive when u turns toward v.
    """

    primary_deg: float
    secondary_deg: float
    source_to_isocenter_mm: float
    source_to_detector_mm: float
    isocenter_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    detector_rotation_deg: float = 0.0

    def __post_init__(self) -> None:
        numbers = (
            self.primary_deg,
            self.secondary_deg,
            self.source_to_isocenter_mm,
            self.source_to_detector_mm,
            self.detector_rotation_deg,
            *self.isocenter_mm,
        )
        if not all(np.isfinite(numbers)):
            raise ValueError("C-arm pose has a value that is not a finite number")
        if not 0.0 < self.source_to_isocenter_mm < self.source_to_detector_mm:
            raise ValueError(
                "source_to_isocenter_mm must lie between 0 and source_to_detector_mm, got "
                f"{self.source_to_isocenter_mm} and {self.source_to_detector_mm}"
            )


@dataclass(frozen=True, slots=True)
class BeamAxes:
    """Unit vectors of a pose, each (3,): to the detector ``d``, along columns ``u``, along rows ``v``."""

    d: Vector
    u: Vector
    v: Vector


def beam_direction(primary_deg: float, secondary_deg: float) -> Vector:
    """Return the unit vector (3,) to the detector: DICOM PS3.3 C.8.7.5.1.2, patient head first and supine."""
    p, s = np.deg2rad([primary_deg, secondary_deg])
    return np.array([np.sin(p) * np.cos(s), -np.cos(p) * np.cos(s), np.sin(s)])


def angles_of_direction(direction: Vector) -> tuple[float, float]:
    """Return (primary_deg, secondary_deg) of a unit vector to the detector: the inverse of `beam_direction`."""
    primary = float(np.rad2deg(np.arctan2(direction[0], -direction[1])))
    return primary, float(np.rad2deg(np.arcsin(np.clip(direction[2], -1.0, 1.0))))


def beam_axes(pose: CArmPose) -> BeamAxes:
    """Return the unit vectors of ``pose`` in the equipment frame."""
    p, roll = np.deg2rad([pose.primary_deg, pose.detector_rotation_deg])
    d = beam_direction(pose.primary_deg, pose.secondary_deg)
    u0 = np.array([np.cos(p), np.sin(p), 0.0])
    v0 = np.cross(u0, d)
    u = np.cos(roll) * u0 + np.sin(roll) * v0
    return BeamAxes(d=d, u=u, v=np.cross(u, d))


def wrap_deg(angle_deg: float) -> float:
    """Return ``angle_deg`` brought into (−180, 180]; what lies within 1e-9° of −180 becomes +180."""
    wrapped = float(angle_deg) % 360.0
    if wrapped > 180.0 + 1e-9:
        wrapped -= 360.0
    return min(wrapped, 180.0) + 0.0


def angles_from_axes(axes: BeamAxes) -> tuple[float, float, float]:
    """Return (primary_deg, secondary_deg, roll_deg) of orthonormal axes: the inverse of `beam_axes`.

    Primary and roll lie in (−180, 180], secondary in [−90, 90]. At the poles (secondary ±90) primary and roll
    turn about the same line; there roll is called 0 and primary takes the whole turn.
    """
    d, u = axes.d, axes.u
    across = float(np.hypot(d[0], d[1]))
    secondary_deg = float(np.rad2deg(np.arctan2(d[2], across)))
    if across < 1e-9:
        return wrap_deg(np.rad2deg(np.arctan2(u[1], u[0]))), secondary_deg, 0.0
    primary = np.arctan2(d[0], -d[1])
    u0 = np.array([np.cos(primary), np.sin(primary), 0.0])
    roll = np.arctan2(u @ np.cross(u0, d), u @ u0)
    return wrap_deg(np.rad2deg(primary)), secondary_deg, wrap_deg(np.rad2deg(roll))
