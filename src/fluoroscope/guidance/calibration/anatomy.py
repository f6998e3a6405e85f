"""The beam by the patient's own spine: registered vertebrae serve as the beads of a phantom that is always there."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.projection import ProjectionGeometry, project_points
from fluoroscope.geometry.rigid import Matrix, apply, inverse
from fluoroscope.guidance.calibration.beam import CalibrationError
from fluoroscope.guidance.calibration.solving import Beam, fit_beam, pixels_of

__all__ = ["AnatomyBeam", "beam_from_vertebrae", "pose_difference"]

Float = NDArray[np.float64]
FEWEST = 2
"""One vertebra is 4 cm wide: its depth and tilt are those of its own registration and nothing is gained."""
POOR_MM = 1.5
"""At the vertebrae: beyond, they do not lie to each other as in the CT, or one is registered wrongly."""


@dataclass(frozen=True, slots=True)
class AnatomyBeam:
    """A view's beam in the coordinates of the CT.

    Attributes
    ----------
    geometry
        World is the CT.
    rms_mm
        How far the registered vertebrae lie from it, in the picture, at their depth.
    sigma_source_mm
        (3,) 1 σ of the source.
    levels
        Used.
    """

    geometry: ProjectionGeometry
    rms_mm: float
    sigma_source_mm: Float
    levels: tuple[str, ...]


def beam_from_vertebrae(
    geometry: ProjectionGeometry,
    equipment_from_ct: Mapping[str, Matrix],
    landmarks_mm: Mapping[str, Float],
    *,
    sigma_px: float = 1.0,
) -> AnatomyBeam:
    """Return one view's beam by vertebrae that were each registered in it.

    A single view's registration is sharp across the beam and soft along it. So only where its landmarks fall in the
    picture is taken of each, and one beam is fitted that sees all of them there, as they lie to each other in the CT.

    Parameters
    ----------
    geometry
        The view as the C-arm tells it; source to detector and principal point are kept.
    equipment_from_ct
        By level, as registered in this view alone, (4, 4).
    landmarks_mm
        By level, points (n, 3) of each in the CT.
    sigma_px
        Error of a landmark's place in the picture.

    Raises
    ------
    CalibrationError
        Fewer than two vertebrae, or vertebrae that do not lie to each other as in the CT.
    """
    levels = tuple(level for level in equipment_from_ct if level in landmarks_mm)
    if len(levels) < FEWEST:
        raise CalibrationError(
            f"{len(levels)} vertebrae are registered, {FEWEST} are needed to place the C-arm by them"
        )
    points = np.concatenate([landmarks_mm[level] for level in levels])
    pixels = np.concatenate(
        [project_points(geometry, apply(equipment_from_ct[level], landmarks_mm[level])) for level in levels]
    )
    first = equipment_from_ct[levels[len(levels) // 2]]
    start = Beam.of(geometry)
    start = Beam(apply(inverse(first), start.source_mm), start.axes @ first[:3, :3], start.focal_px, start.principal_px)
    fit = fit_beam(points, pixels, start, intrinsics=False)
    away = pixels_of(fit.beam, points) - pixels
    depth = float(((points - fit.beam.source_mm) @ fit.beam.axes[2]).mean())
    rms = float(np.sqrt((away**2).sum(axis=1).mean())) * depth / fit.beam.focal_px
    if rms > POOR_MM:
        raise CalibrationError(f"the vertebrae {', '.join(levels)} lie {rms:.1f} mm (RMS) from where the CT has them to"
                               " each other: the patient is bent otherwise, or one is registered wrongly")  # fmt: skip
    # Landmarks of one vertebra err together: as many free pixels as vertebrae, not as landmarks.
    per_level = len(points) / len(levels)
    sigma = sigma_px * np.sqrt(per_level * np.maximum(np.diag(fit.covariance)[3:6], 0.0))
    return AnatomyBeam(fit.beam.geometry(geometry.grid), rms, np.asarray(sigma, dtype=np.float64), levels)


def pose_difference(
    nominal: tuple[ProjectionGeometry, ProjectionGeometry], found: tuple[ProjectionGeometry, ProjectionGeometry]
) -> Matrix:
    """Return by how much the second of two views stands otherwise to the first than the C-arm told: rigid (4, 4).

    It takes a point of the equipment frame, as the second view's tags place it, to where that view really has it; the
    first is taken as right.

    Parameters
    ----------
    nominal
        Both views as told, world the equipment frame.
    found
        Both as found, of one other world (the CT, or a phantom).
    """
    placed = [_camera_from_world(one) for one in nominal]
    seen = [_camera_from_world(one) for one in found]
    world_from_equipment = inverse(seen[0]) @ placed[0]
    moved: Matrix = inverse(world_from_equipment) @ inverse(seen[1]) @ placed[1]
    return moved


def _camera_from_world(geometry: ProjectionGeometry) -> Matrix:
    beam = Beam.of(geometry)
    matrix = np.eye(4)
    matrix[:3, :3] = beam.axes
    matrix[:3, 3] = -beam.axes @ beam.source_mm
    return matrix
