"""Bodies of coarse voxels on fewer pixels: exact interpolation, the same picture, nothing projected twice."""

import numpy as np
import pytest

from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import project_points, projection_geometry
from fluoroscope.geometry.rigid import rotation, translation
from fluoroscope.patient.ct_parts import articulate_ct
from fluoroscope.patient.formats import read_volume
from fluoroscope.patient.labels import read_labels
from fluoroscope.patient.scene import Body, Scene
from fluoroscope.patient.tissues import to_basis
from fluoroscope.patient.volume import BasisVolume
from fluoroscope.projector import SceneProjector, prepare, project
from fluoroscope.projector.coarse import MARGIN, coarse_geometry, enlarge_into, halvings


def view(rows, columns, pitch_mm=0.3, primary_deg=12.0):
    return projection_geometry(CArmPose(primary_deg, 5.0, 600.0, 1000.0), DetectorGrid(rows, columns, pitch_mm))


def soft(seed, spacing_mm, shape=(40, 44, 48)):
    """Grainy tissue that thins out over five voxels."""
    values = np.random.default_rng(seed).uniform(300.0, 1000.0, shape)
    for axis, n in enumerate(shape):
        values = (np.roll(values, 1, axis) + 2.0 * values + np.roll(values, -1, axis)) / 4.0
        profile = np.clip(0.2 * np.minimum(np.arange(n), np.arange(n)[::-1]), 0.0, 1.0)
        values = values * (profile**2 * (3.0 - 2.0 * profile)).reshape([-1 if a == axis else 1 for a in range(3)])
    affine = np.zeros((4, 4))
    affine[2, 0] = affine[1, 1] = affine[0, 2] = spacing_mm
    affine[3, 3] = 1.0
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1.0) / 2.0)
    return BasisVolume(values.astype(np.int16), (0.1 * values).astype(np.int16), affine)


@pytest.mark.parametrize("size", [(64, 90), (63, 91)])
def test_a_polynomial_survives_to_the_very_edge(size):
    rows, columns = size

    def field(r, c):
        r, c = r / 50.0 - 0.6, c / 50.0 - 0.8
        return 1.0 + 2.0 * r - c + r * c**2 - 0.3 * r**4 * c + 0.1 * c**5

    coarse_rows, coarse_columns = ((n + 1) // 2 + 2 * MARGIN for n in size)
    r = 2.0 * (np.arange(coarse_rows) - MARGIN) + 0.5
    c = 2.0 * (np.arange(coarse_columns) - MARGIN) + 0.5
    coarse = np.stack([field(r[:, None], c), -field(r[:, None], c)]).astype(np.float32)
    fine = np.ones((2, rows, columns), np.float32)
    enlarge_into(coarse, fine, fine)
    wanted = field(np.arange(rows)[:, None], np.arange(columns))
    assert np.allclose(fine, [1.0 + wanted, 1.0 - wanted], atol=3e-6)
    enlarge_into(coarse, fine, None)
    assert np.allclose(fine, [wanted, -wanted], atol=3e-6)


def test_coarse_pixels_lie_between_the_fine():
    geometry = view(63, 90)
    point = np.array([10.0, -4.0, 22.0])
    fine, coarse = project_points(geometry, point), project_points(coarse_geometry(geometry), point)
    assert np.allclose(fine, 2.0 * (coarse - MARGIN) + 0.5)


@pytest.mark.parametrize(("spacing_mm", "wanted"), [(0.3, 0), (0.6, 1), (1.6, 2), (3.0, 2)])
def test_the_shadow_of_a_voxel_decides(spacing_mm, wanted):
    assert halvings(prepare(soft(1, spacing_mm)), np.eye(4), view(400, 400)) == wanted


def test_the_picture_is_that_of_all_pixels_whatever_moves_or_pauses():
    volumes = [soft(n, spacing_mm) for n, spacing_mm in enumerate((0.4, 0.8, 1.5, 1.6))]
    keeper = SceneProjector()
    for pulse in range(34):
        geometry = view(301, 320, primary_deg=12.0 if pulse < 30 else 14.0)
        way_mm = (0.0, min(pulse, 4), min(pulse, 12), 0.1 * max(0, pulse - 20))
        moved = [translation((float(mm), 1.0, 0.0)) @ rotation((0.0, 1.0, 1.0), 4.0) for mm in way_mm]
        scene = Scene(tuple(Body(str(n), v, m) for n, (v, m) in enumerate(zip(volumes, moved, strict=True))))
        assert {halvings(keeper.prepared(b.volume), b.world_from_body, geometry) for b in scene.bodies} == {0, 1, 2}
        kept = keeper.project(scene, geometry)
        if pulse % 3 == 0 or pulse > 28:
            plain, true = (
                sum(project(v, geometry, world_from_body=m, pitch=pitch) for v, m in zip(volumes, moved, strict=True))
                for pitch in (0.75, 0.3)
            )
            assert rms(kept - plain) < 1.5e-3 * rms(plain), pulse
            # No farther from the truth than all pixels: both see the same grid of slopes.
            assert rms(kept - true) < 1.05 * rms(plain - true), pulse


def rms(picture):
    return float(np.sqrt((picture.astype(float) ** 2).mean()))


def test_what_rests_is_neither_projected_nor_enlarged_again(monkeypatch):
    called = []
    from fluoroscope.projector import scene as module

    for name in ("project_bodies", "enlarge_into"):
        plain = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, _n=name, _p=plain, **k: (called.append(_n), _p(*a, **k)))
    scene = Scene((Body("fine", soft(1, 0.4)), Body("coarse", soft(2, 0.8)), Body("coarser", soft(3, 1.6))))
    keeper, geometry = SceneProjector(), view(200, 200)
    first = keeper.project(scene, geometry)
    assert called.count("project_bodies") == 3
    keeper.project(scene, geometry)
    called.clear()
    assert np.allclose(keeper.project(scene, geometry), first, atol=1e-3)
    assert called == []


@pytest.mark.data
@pytest.mark.parametrize("primary_deg", [0.0, 90.0])
@pytest.mark.parametrize(("pixels", "pitch_mm", "most"), [(1024, 0.3, 5e-4), (420, 0.75, 7e-4), (220, 1.45, 7e-4)])
def test_parts_of_a_real_patient(data_folder, primary_deg, pixels, pitch_mm, most):
    """Voxels of 3 mm, so that they cover 17, 7 and 3.5 pixels: the last two hardly more than they must."""
    folder = data_folder / "ct" / "lumbar"
    volume = read_volume(folder / "example_ct.nii.gz")
    labels = read_labels(folder / "example_seg_fast_force_split.nii.gz", volume, names="totalsegmentator")
    basis = to_basis(volume)
    middle = basis.world_from_index @ np.append((np.array(basis.water.shape) - 1.0) / 2.0, 1.0)
    scene = Scene(tuple(Body(p.name, p.volume) for p in articulate_ct(volume, basis, labels).parts))
    pose = CArmPose(primary_deg, 0.0, 600.0, 1000.0, tuple(middle[:3]))
    geometry = projection_geometry(pose, DetectorGrid(pixels, pixels, pitch_mm))
    assert any(halvings(prepare(body.volume), body.world_from_body, geometry) for body in scene.bodies)
    plain = sum(project(body.volume, geometry) for body in scene.bodies)
    off = SceneProjector().project(scene, geometry) - plain
    assert rms(off) < most * rms(plain)
