"""The projection matrix: from a point in the world to a pixel."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose, beam_axes
from fluoroscope.geometry.rigid import Matrix, apply

__all__ = ["ProjectionGeometry", "project_points", "projection_geometry"]


@dataclass(frozen=True, slots=True)
class ProjectionGeometry:
    """A cone beam onto a pixel grid, in world (patient LPS) coordinates.

    Attributes
    ----------
    pixel_from_world
        (3, 4) matrix: ``(row·w, column·w, w) = P · (x, y, z, 1)`` with ``w`` the depth of the point along the
        central ray from the source, mm.
    source_mm
        The focal spot, (3,), mm.
    source_to_detector_mm
        Depth of the detector plane, mm: ``w`` of a point on the detector.
    grid
        The pixels.
    """

    pixel_from_world: NDArray[np.float64]
    source_mm: NDArray[np.float64]
    source_to_detector_mm: float
    grid: DetectorGrid

    def __post_init__(self) -> None:
        if self.pixel_from_world.shape != (3, 4) or self.source_mm.shape != (3,):
            raise ValueError("pixel_from_world must be (3, 4) and source_mm (3,)")
        self.pixel_from_world.setflags(write=False)
        self.source_mm.setflags(write=False)

    @property
    def direction_from_pixel(self) -> NDArray[np.float64]:
        """(3, 3) from (row, column, 1) to the ray per mm of depth: ``X = source + w · M · (r, c, 1)``."""
        return np.asarray(np.linalg.inv(self.pixel_from_world[:, :3]), dtype=np.float64)


def projection_geometry(
    pose: CArmPose, grid: DetectorGrid, patient_from_equipment: Matrix | None = None
) -> ProjectionGeometry:
    """Return the projection of ``pose`` onto ``grid``, in patient coordinates.

    Parameters
    ----------
    pose
        The C-arm in the equipment frame.
    grid
        Pixels, centred on the central ray.
    patient_from_equipment
        Rigid (4, 4); the identity when absent (patient head-first supine, isocentre given in patient
        coordinates).
    """
    axes = beam_axes(pose)
    isocenter = np.asarray(pose.isocenter_mm, dtype=np.float64)
    d, u, v = axes.d, axes.u, axes.v
    source = isocenter - pose.source_to_isocenter_mm * d
    if patient_from_equipment is not None:
        turned = patient_from_equipment[:3, :3]
        d, u, v = turned @ d, turned @ u, turned @ v
        source = apply(patient_from_equipment, source)
    focal_px = pose.source_to_detector_mm / grid.pitch_mm
    center_row, center_column = (grid.rows - 1) / 2.0, (grid.columns - 1) / 2.0
    matrix = np.empty((3, 4))
    matrix[0, :3] = focal_px * v + center_row * d
    matrix[1, :3] = focal_px * u + center_column * d
    matrix[2, :3] = d
    matrix[:, 3] = -matrix[:, :3] @ source
    return ProjectionGeometry(matrix, source, pose.source_to_detector_mm, grid)


def project_points(geometry: ProjectionGeometry, points_mm: ArrayLike) -> NDArray[np.float64]:
    """Return (row, column) of world points (..., 3); NaN for points at or behind the source."""
    points = np.asarray(points_mm, dtype=np.float64)
    homogeneous = points @ geometry.pixel_from_world[:, :3].T + geometry.pixel_from_world[:, 3]
    depth = np.where(homogeneous[..., 2] > 0.0, homogeneous[..., 2], np.nan)
    pixels: NDArray[np.float64] = homogeneous[..., :2] / depth[..., None]
    return pixels
