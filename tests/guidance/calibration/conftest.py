"""Pictures of beads as the virtual C-arm takes them: exact shadows, spectrum, noise and blur of the detector."""

from types import SimpleNamespace

import numpy as np
import pytest

from fluoroscope.acquisition.frame import PixelIntensity
from fluoroscope.beam.basis import basis_of
from fluoroscope.beam.materials import MATERIALS
from fluoroscope.beam.technique import Technique
from fluoroscope.detector.expose import Detector
from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import ProjectionGeometry, projection_geometry
from fluoroscope.geometry.rigid import apply
from fluoroscope.guidance.calibration import BeadPhantom
from fluoroscope.guidance.calibration.solving import Beam
from fluoroscope.guidance.view import XRayView, view_of
from fluoroscope.patient.scene import Scene, Sphere
from fluoroscope.projector import project_scene

GRID = DetectorGrid(1024, 1024, 0.3)


def true_geometry(pose: CArmPose, offset_px=(0.0, 0.0), grid: DetectorGrid = GRID) -> ProjectionGeometry:
    """Return the beam of a C-arm whose detector is shifted in its plane."""
    beam = Beam.of(projection_geometry(pose, grid))
    return Beam(beam.source_mm, beam.axes, beam.focal_px, beam.principal_px + offset_px).geometry(grid)


def picture_of(
    phantom: BeadPhantom,
    geometry: ProjectionGeometry,
    nominal: ProjectionGeometry,
    *,
    world_from_phantom=None,
    more: tuple[Sphere, ...] = (),
    mas: float = 0.15,
    seed: int = 0,
    plastic_mm: float = 60.0,
) -> XRayView:
    """Return the picture a C-arm takes of a phantom, and what it says of itself."""
    steel = basis_of(MATERIALS["steel_304"])
    places = phantom.beads_mm if world_from_phantom is None else apply(world_from_phantom, phantom.beads_mm)
    spheres = tuple(
        Sphere((float(x), float(y), float(z)), 0.5 * float(wide), steel)
        for (x, y, z), wide in zip(places, phantom.diameters_mm, strict=True)
    )
    integrals = project_scene(Scene((), spheres + more), geometry)
    integrals[0] += np.float32(plastic_mm)
    pixels = Detector(seed=seed).expose(integrals, Technique(70.0, mas / 8.0 * 1000.0, 8.0, 15.0), geometry, None, 0)
    return view_of(pixels, PixelIntensity.LIN, nominal)


@pytest.fixture(scope="session")
def xray() -> SimpleNamespace:
    """Return what takes pictures: ``grid``, ``true_geometry`` and ``picture_of``."""
    return SimpleNamespace(grid=GRID, true_geometry=true_geometry, picture_of=picture_of)
