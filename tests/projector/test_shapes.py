"""Needles and wires: cut cones, mitred joints, hollow shafts, the mean over a pixel; a needle against its mesh."""

from dataclasses import replace

import numpy as np
import pytest

from fluoroscope.evaluation import needle_score
from fluoroscope.evaluation.needle_score import VIEWS, needle_errors
from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import projection_geometry
from fluoroscope.patient.instruments.shaft import shapes_of, tube
from fluoroscope.patient.scene import Cylinder, Rod, Scene, Sphere
from fluoroscope.projector import project_scene

STEEL = (0.0, 1.0)


def view(primary_deg=20.0, secondary_deg=10.0, pixels=256, pitch_mm=0.5):
    return projection_geometry(
        CArmPose(primary_deg, secondary_deg, 600.0, 1020.0), DetectorGrid(pixels, pixels, pitch_mm)
    )


def volume_mm3(shapes, geometry):
    """The integral over solid angle of thickness·distance² is a volume; a small field needs no more than the mean."""
    picture = project_scene(Scene((), shapes), geometry)[1].astype(float)
    pixel = geometry.grid.pitch_mm * 600.0 / 1020.0
    return picture.sum() * pixel**2


@pytest.mark.parametrize("pixels", [512, 1024])
@pytest.mark.parametrize(("gauge", "which"), [(18, 0), (22, 1), (25, 2), (27, 0)])
def test_needle_shadow_against_a_mesh(gauge, pixels, which):
    integral_percent, shift_px = needle_errors(gauge, pixels, VIEWS[which])
    assert integral_percent <= 1.0
    assert shift_px <= 0.1


def test_the_mesh_would_notice_a_bore_that_is_missing(monkeypatch):
    monkeypatch.setattr(needle_score, "shapes_of", lambda placed: shapes_of(replace(placed, stylet=True)))
    integral_percent, _ = needle_score.needle_errors(22, 512, VIEWS[1])
    assert integral_percent > 10.0


@pytest.mark.parametrize(("start_radius", "end_radius"), [(3.0, 3.0), (3.0, 1.0), (4.0, 0.0), (0.5, 2.5)])
@pytest.mark.parametrize("way", [(1.0, 0.1, 0.3), (0.05, 1.0, 0.02), (0.2, -0.4, 1.0)])
def test_volume_of_a_cut_cone(start_radius, end_radius, way):
    along = np.array(way) / np.linalg.norm(way)
    rod = Rod(tuple(-8.0 * along), tuple(8.0 * along), start_radius, end_radius, STEEL)
    exact = np.pi * 16.0 / 3.0 * (start_radius**2 + start_radius * end_radius + end_radius**2)
    # The cone beam sees the half nearer to the source larger: the mean over both ways round takes that out.
    other = Rod(rod.end_mm, rod.start_mm, start_radius, end_radius, STEEL)
    found = 0.5 * (volume_mm3((rod,), view(0.0, 0.0)) + volume_mm3((other,), view(0.0, 0.0)))
    assert found == pytest.approx(exact, rel=5e-3)


def test_a_tilted_end_keeps_the_volume():
    square = Rod((0, 0, -10), (0, 0, 10), 2.0, 2.0, STEEL)
    cut = replace(square, end_normal=(1.0, 0.0, 1.0))
    assert volume_mm3((cut,), view()) == pytest.approx(volume_mm3((square,), view()), rel=2e-3)
    picture = project_scene(Scene((), (cut,)), view(0.0, 0.0, 512, 0.1))[1]
    plain = project_scene(Scene((), (square,)), view(0.0, 0.0, 512, 0.1))[1]
    assert np.abs(picture - plain).max() > 1.0


def test_mitred_joints_leave_no_gap_and_no_overlap():
    angle = np.linspace(0.0, np.pi / 2.0, 9)
    path = 20.0 * np.stack([np.cos(angle), np.zeros(9), np.sin(angle)], 1)
    length = np.linalg.norm(np.diff(path, axis=0), axis=1).sum()
    geometry = view(0.0, 0.0, 512, 0.25)
    bent = tuple(tube(path, 1.0, STEEL))
    assert volume_mm3(bent, geometry) == pytest.approx(np.pi * length, rel=2e-3)
    picture = project_scene(Scene((), bent), geometry)[1]
    assert picture.max() < 2.0 * 1.03


def test_hollow_is_the_difference():
    outer, inner = Cylinder((-9, 0, 3), (9, 2, -3), 1.5, STEEL), Cylinder((-9, 0, 3), (9, 2, -3), 1.1, (0.0, -1.0))
    picture = project_scene(Scene((), (outer, inner)), view())[1]
    assert picture.min() >= -1e-6
    assert volume_mm3((outer, inner), view()) == pytest.approx(np.pi * (1.5**2 - 1.1**2) * np.sqrt(364.0), rel=1e-2)


@pytest.mark.parametrize("radius", [0.05, 0.1, 0.2, 0.4, 0.9])
def test_a_thin_wire_keeps_its_mass_wherever_it_lies(radius):
    geometry = view(0.0, 0.0, 128, 0.6)
    for shift in (0.0, 0.11, 0.23):
        wire = Cylinder((-15, 0, shift), (15, 0, shift), radius, STEEL)
        assert volume_mm3((wire,), geometry) == pytest.approx(30.0 * np.pi * radius**2, rel=1e-2)


def test_a_ball_keeps_its_volume():
    assert volume_mm3((Sphere((1, 2, 3), 0.8, STEEL),), view()) == pytest.approx(4.0 / 3.0 * np.pi * 0.512, rel=1e-2)


def test_an_end_plane_along_the_axis_is_refused():
    rod = Rod((0, 0, 0), (0, 0, 5), 1.0, 1.0, STEEL, end_normal=(1.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="end plane"):
        project_scene(Scene((), (rod,)), view())
