"""The chosen path as live guidance uses it, and the C-arm stands from which it is looked at."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.carm import CArmModel, OutOfReachError
from fluoroscope.geometry.pose import CArmPose, wrap_deg
from fluoroscope.geometry.projection import ProjectionGeometry
from fluoroscope.geometry.rigid import Matrix, apply
from fluoroscope.guidance.two_views.pair import geometry_in

__all__ = ["COAXIAL_DEG", "CONFIRM_DEG", "LivePath", "between_deg", "coaxial_joints", "confirm_joints", "view_kind"]

Vector = NDArray[np.float64]

COAXIAL_DEG = 8.0
"""A beam within this of the path shows it end on: the bull's-eye."""
CONFIRM_DEG = 65.0
"""A beam at least so far from the path shows its depth."""


@dataclass(frozen=True, slots=True)
class LivePath:
    """A planned path in the patient's coordinates (LPS mm of the CT).

    Attributes
    ----------
    entry_mm, target_mm
        (3,) on the skin and at the end.
    needle
        Of the catalogue.
    levels
        Names of the vertebrae on both sides, "L3", "L4".
    dura_mm, dura_sigma_mm
        From the entry along the path to where the dura is expected, and how well; None where none lies on the way.
    safe_beyond_mm
        How far beyond the target it is still safe.
    """

    entry_mm: Vector
    target_mm: Vector
    needle: str
    levels: tuple[str, ...]
    dura_mm: float | None = None
    dura_sigma_mm: float = 0.0
    safe_beyond_mm: float = 0.0

    @property
    def depth_mm(self) -> float:
        """From entry to target."""
        return float(np.linalg.norm(self.target_mm - self.entry_mm))

    @property
    def direction(self) -> Vector:
        """(3,) unit, into the patient."""
        way: Vector = (self.target_mm - self.entry_mm) / self.depth_mm
        return way

    def at(self, along_mm: float) -> Vector:
        """Return the point (3,) so far from the entry."""
        point: Vector = self.entry_mm + along_mm * self.direction
        return point


def view_kind(path: LivePath, geometry: ProjectionGeometry, equipment_from_ct: Matrix) -> str:
    """Return "coaxial", "confirm" or "other": how a beam in the equipment frame looks at the path."""
    between = between_deg(path, geometry_in(geometry, equipment_from_ct))
    return "coaxial" if between <= COAXIAL_DEG else "confirm" if between >= CONFIRM_DEG else "other"


def between_deg(path: LivePath, geometry: ProjectionGeometry) -> float:
    """Return the angle between the path and the ray through its target, 0 to 90, of a beam in the CT's coordinates."""
    ray = path.target_mm - geometry.source_mm
    cosine = abs(float(ray @ path.direction)) / float(np.linalg.norm(ray))
    return float(np.rad2deg(np.arccos(min(1.0, cosine))))


def coaxial_joints(
    path: LivePath, equipment_from_ct: Matrix, model: CArmModel, pose: CArmPose, near: Mapping[str, float]
) -> dict[str, float]:
    """Return joints that lay the ray through the target along the path, the isocentre staying where it is.

    The focal spot goes where the path's line meets the sphere it moves on: exact for a target off the isocentre too.

    Raises
    ------
    OutOfReachError
        When the C-arm cannot stand so.
    """
    target, entry = apply(equipment_from_ct, path.target_mm), apply(equipment_from_ct, path.entry_mm)
    out = (entry - target) / np.linalg.norm(entry - target)
    isocenter = np.asarray(pose.isocenter_mm)
    off = target - isocenter
    along = float(off @ out)
    under = along**2 - float(off @ off) + pose.source_to_isocenter_mm**2
    if under <= 0.0:
        raise ValueError("the target lies too far from the isocentre: move the table so that it is in the picture")
    # The detector on the side of the skin that is pierced, as a rule; else the tube there.
    sources = [target + (-along + sign * np.sqrt(under)) * out for sign in (-1.0, 1.0)]
    return _reachable([(isocenter - one) / pose.source_to_isocenter_mm for one in sources], model, pose, near)


def confirm_joints(
    path: LivePath, equipment_from_ct: Matrix, model: CArmModel, pose: CArmPose, near: Mapping[str, float]
) -> dict[str, float]:
    """Return joints that look across the path, as nearly from the side as that is; raises as `coaxial_joints`."""
    turned = equipment_from_ct[:3, :3]
    way, left, head = turned @ path.direction, turned @ np.array([1.0, 0.0, 0.0]), turned @ np.array([0.0, 0.0, 1.0])
    # A path that itself comes from the side is looked across from the front or the back.
    first = left if abs(left @ way) < 0.8 else np.cross(head, way)
    across = first - (first @ way) * way
    across /= np.linalg.norm(across)
    return _reachable([across, -across], model, pose, near)


def _reachable(
    directions: list[Vector], model: CArmModel, pose: CArmPose, near: Mapping[str, float]
) -> dict[str, float]:
    """Return the joints of the first direction to the detector that is in reach; of equal ones the nearest."""
    refused: OutOfReachError | None = None
    found: list[tuple[float, dict[str, float]]] = []
    for d in directions:
        primary, secondary = np.rad2deg([np.arctan2(d[0], -d[1]), np.arcsin(np.clip(d[2], -1.0, 1.0))])
        wanted = replace(
            pose, primary_deg=wrap_deg(float(primary)), secondary_deg=float(secondary), detector_rotation_deg=0.0
        )
        try:
            joints = model.joints_for(wanted, near=near)
        except OutOfReachError as fault:
            refused = fault
            continue
        found.append((sum(abs(joints[name] - near[name]) for name in joints), joints))
    if not found:
        raise refused if refused is not None else ValueError("no view was asked for")
    return min(found, key=lambda one: one[0])[1]


def spot(geometry: ProjectionGeometry, point_mm: Vector) -> dict[str, float] | None:
    """Return where a point of the geometry's world is seen, fractions of the picture; None at or behind the source."""
    row, column, weight = geometry.pixel_from_world @ np.append(point_mm, 1.0)
    if weight <= 0.0:
        return None
    return fraction(geometry, row / weight, column / weight)


def fraction(geometry: ProjectionGeometry, row: float, column: float) -> dict[str, float]:
    """Return a pixel's place in fractions of the picture."""
    grid = geometry.grid
    return {
        "row": round(float((row + 0.5) / grid.rows), 5),
        "col": round(float((column + 0.5) / grid.columns), 5),
    }


def ring_fraction(geometry: ProjectionGeometry, point_mm: Vector, radius_mm: float) -> float:
    """Return the size on the picture of a length at a point, in fractions of its width."""
    depth = float(geometry.pixel_from_world[2] @ np.append(point_mm, 1.0))
    grid = geometry.grid
    return round(radius_mm * geometry.source_to_detector_mm / depth / (grid.pitch_mm * grid.columns), 5)


def json_point(point_mm: Any) -> list[float]:
    """Return a point for the page."""
    told: list[float] = np.asarray(point_mm).round(2).tolist()
    return told
