"""Whole scenes: bodies and instruments add, exact chords, and the cache changes nothing."""

import numpy as np
import pytest

from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import project_points, projection_geometry
from fluoroscope.geometry.rigid import rotation, translation
from fluoroscope.patient.scene import Body, Cylinder, Scene, Sphere
from fluoroscope.patient.volume import BasisVolume
from fluoroscope.projector import SceneProjector, project, project_scene


def view(primary_deg=20.0, secondary_deg=10.0, rows=120, columns=140, pitch_mm=1.0, **changes):
    values = {"source_to_isocenter_mm": 600.0, "source_to_detector_mm": 1020.0, **changes}
    return projection_geometry(CArmPose(primary_deg, secondary_deg, **values), DetectorGrid(rows, columns, pitch_mm))


def ball(center_mm, radius, seed, shape=(20, 22, 24), spacing=1.5):
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    water = (1000.0 * np.clip(1.5 * (radius - np.sqrt(sum(a * a for a in axes))), 0, 1)).astype(np.int16)
    bone = (water * rng.uniform(0.1, 0.9)).astype(np.int16)
    affine = np.diag([0.0, 0.0, 0.0, 1.0])
    affine[2, 0] = affine[1, 1] = affine[0, 2] = spacing
    affine[:3, 3] = np.asarray(center_mm) - affine[:3, :3] @ ((np.asarray(shape) - 1.0) / 2.0)
    return BasisVolume(water, bone, affine)


@pytest.fixture(scope="module")
def parts():
    return [ball((0, 0, 0), 1.0, 0, (50, 50, 50)), *(ball((5 * n, 3 * n, 12 * n - 20), 0.9, n) for n in range(1, 4))]


def scene_at(parts, time_s, shapes=()):
    still = (Body("rest", parts[0]), Body("first", parts[1], translation((1.0, 2.0, 3.0))))
    moving = tuple(
        Body(f"moving {n}", part, rotation((1.0, 0.0, 0.0), 10.0 * n * time_s)) for n, part in enumerate(parts[2:], 1)
    )
    return Scene(still + moving, shapes)


def test_bodies_and_shapes_add_up(parts):
    shapes = (Cylinder((-30, 0, 0), (30, 10, 5), 1.0, (0.0, 2.5)), Sphere((5, 5, 5), 3.0, (1.0, 0.5)))
    scene, geometry = scene_at(parts, 0.7, shapes), view()
    total = sum(project(b.volume, geometry, world_from_body=b.world_from_body).astype(float) for b in scene.bodies)
    for shape in shapes:
        total = total + project_scene(Scene((), (shape,)), geometry)
    assert np.allclose(project_scene(scene, geometry), total, atol=1e-3)


def test_the_cache_changes_nothing(parts):
    """C-arm and parts move or rest in every combination, a part leaves and comes back."""
    keeper, out = SceneProjector(), np.empty((2, 120, 140), np.float32)
    steps = [(0, 0.0), (0, 0.0), (0, 0.1), (0, 0.2), (1, 0.2), (1, 0.2), (1, 0.3), (0, 0.3), (0, 0.4), (0, 0.0)]
    geometries = (view(20.0), view(-65.0, -5.0))
    for number, (which, time_s) in enumerate(steps):
        scene = scene_at(parts, time_s)
        if number == 8:
            scene = Scene(scene.bodies[:1] + scene.bodies[2:], scene.shapes)
        kept = keeper.project(scene, geometries[which], out)
        assert kept is out
        assert np.allclose(kept, project_scene(scene, geometries[which]), atol=1e-4)
    assert keeper.memory_bytes > 0


def test_two_bodies_may_share_one_volume(parts):
    bodies = (Body("one", parts[1]), Body("two", parts[1], translation((20.0, 0.0, 0.0))))
    keeper = SceneProjector()
    first = keeper.project(Scene(bodies), view()).copy()
    alone = sum(project_scene(Scene((body,)), view()) for body in bodies)
    assert np.allclose(first, alone, atol=1e-4)
    assert np.allclose(keeper.project(Scene(bodies), view()), first, atol=1e-4)


def test_nothing_in_the_beam():
    assert not project_scene(Scene(()), view()).any()
    assert not project_scene(Scene((), (Sphere((0, 0, 5000), 1.0, (1, 1)),)), view()).any()


def test_chord_through_the_middle_of_a_sphere_and_its_volume():
    geometry = view(0.0, 0.0, 201, 201, 0.1)
    picture = project_scene(Scene((), (Sphere((0.0, 0.0, 0.0), 4.0, (1.0, 0.25)),)), geometry)
    assert picture[0, 100, 100] == pytest.approx(8.0, rel=1e-6)
    assert picture[1] == pytest.approx(0.25 * picture[0], rel=1e-6)
    area = (0.1 * 600.0 / 1020.0) ** 2
    assert picture[0].sum() * area == pytest.approx(4.0 / 3.0 * np.pi * 64.0, rel=2e-3)


def test_cylinder_across_and_along_the_beam():
    geometry = view(0.0, 0.0, 101, 101, 0.5)
    across = project_scene(Scene((), (Cylinder((-40, 0, 0), (40, 0, 0), 2.0, (1.0, 0.0)),)), geometry)[0]
    assert across[50, 50] == pytest.approx(4.0, rel=1e-6)
    along = project_scene(Scene((), (Cylinder((0, -15, 0), (0, 25, 0), 2.0, (1.0, 0.0)),)), geometry)[0]
    assert along[50, 50] == pytest.approx(40.0, rel=1e-6)
    assert along[0, 0] == 0.0


def test_needle_lies_on_the_line_between_its_projected_ends():
    geometry = view(33.0, -12.0, 300, 320, 0.5)
    ends = ((-30.0, 20.0, -25.0), (25.0, -10.0, 30.0))
    picture = project_scene(Scene((), (Cylinder(*ends, 0.4, (0.0, 1.0)),)), geometry)[1]
    (r1, c1), (r2, c2) = project_points(geometry, ends)
    rows, columns = np.nonzero(picture)
    off = np.abs((c2 - c1) * (rows - r1) - (r2 - r1) * (columns - c1)) / np.hypot(r2 - r1, c2 - c1)
    assert off.max() < 0.4 * 1020.0 / 560.0 / 0.5 + 1.0
    assert rows.min() == pytest.approx(min(r1, r2), abs=3)
    assert rows.max() == pytest.approx(max(r1, r2), abs=3)


def test_shapes_end_at_the_source_and_at_the_detector():
    """A rod through both counts only between them."""
    rod = Cylinder((0, -3000, 0), (0, 3000, 0), 50.0, (1.0, 0.0))
    picture = project_scene(Scene((), (rod,)), view(0.0, 0.0, 1, 1, 1.0))
    assert picture[0, 0, 0] == pytest.approx(1020.0, rel=1e-6)


def test_shapes_of_no_size_add_nothing_and_broken_ones_are_refused():
    empty = (Cylinder((1, 2, 3), (1, 2, 3), 1.0, (1, 1)), Sphere((0, 0, 0), 0.0, (1, 1)))
    assert not project_scene(Scene((), empty), view()).any()
    with pytest.raises(ValueError, match="not a finite number"):
        project_scene(Scene((), (Sphere((0, 0, np.nan), 1.0, (1, 1)),)), view())
