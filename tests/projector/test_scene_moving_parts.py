"""Parts that hold an excess, and parts that pause: the picture is that of the plain march, whatever is kept."""

import numpy as np
import pytest

from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import projection_geometry
from fluoroscope.geometry.rigid import rotation, translation
from fluoroscope.patient.scene import Body, Scene
from fluoroscope.patient.volume import BasisVolume
from fluoroscope.projector import SceneProjector, project, project_scene


def view(primary_deg=20.0, pixels=120):
    return projection_geometry(CArmPose(primary_deg, 8.0, 600.0, 1020.0), DetectorGrid(pixels, pixels, 0.9))


def signed_ball(seed, center_mm=(0.0, 0.0, 0.0), size=48):
    """Excess that is positive inside and negative in its shell, as gas over bowel wall or bone over soft tissue."""
    draw = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.linspace(-1.0, 1.0, size)] * 3, indexing="ij")
    radius = np.sqrt(sum(axis * axis for axis in axes))
    profile = np.where(radius < 0.6, 1.0, -0.5) * np.clip(6.0 * (0.95 - radius), 0.0, 1.0)
    grain = draw.uniform(0.8, 1.2, profile.shape)
    affine = np.zeros((4, 4))
    affine[2, 0] = affine[1, 1] = affine[0, 2] = 0.8
    affine[3, 3] = 1.0
    affine[:3, 3] = np.asarray(center_mm) - affine[:3, :3] @ np.full(3, (size - 1.0) / 2.0)
    return BasisVolume((-800.0 * profile * grain).astype(np.int16), (400.0 * profile * grain).astype(np.int16), affine)


@pytest.mark.parametrize("primary_deg", [0.0, 37.0, 90.0])
@pytest.mark.parametrize("backend", ["fast", "reference"])
def test_an_excess_is_its_positive_less_its_negative_part(primary_deg, backend):
    """Either backend, to 0.05 % of the picture's rms: a sign costs nothing."""
    volume, geometry = signed_ball(1), view(primary_deg)
    moved = translation((3.0, -2.0, 4.0)) @ rotation((1.0, 0.5, 0.2), 7.0)
    assert volume.water.min() < -300
    assert volume.water.max() > 200
    whole, plus, minus = (
        project(part, geometry, world_from_body=moved, backend=backend, pitch=0.25).astype(float)
        for part in (volume, half(volume, 1), half(volume, -1))
    )
    assert np.abs(whole - (plus - minus)).max() < 5e-4 * np.sqrt((whole**2).mean())


@pytest.mark.parametrize("primary_deg", [0.0, 37.0, 90.0])
def test_backends_differ_on_an_excess_no_more_than_on_its_halves(primary_deg):
    """What is left between a slice sum and a march (sharp shells seen obliquely) is that of never negative volumes."""
    volume, geometry = signed_ball(1), view(primary_deg)
    off = []
    for part in (volume, half(volume, 1), half(volume, -1)):
        fast, slow = (project(part, geometry, backend=name, pitch=0.25).astype(float) for name in ("fast", "reference"))
        off.append(float(np.sqrt(((fast - slow) ** 2).mean())))
    assert off[0] <= 1.01 * (off[1] + off[2])


def half(volume, sign):
    """Return the positive part of a volume, or of its negative."""
    channels = (np.maximum(sign * channel, 0) for channel in (volume.water, volume.bone))
    return BasisVolume(*channels, volume.world_from_index.copy())


def test_an_excess_closes_the_hole_it_left():
    """Soft base and excess at rest are the whole; the excess elsewhere leaves the base behind."""
    base = signed_ball(2)
    excess = BasisVolume((base.water // -2).astype(np.int16), (base.bone // -2).astype(np.int16), base.world_from_index)
    whole = BasisVolume(base.water + excess.water, base.bone + excess.bone, base.world_from_index)
    geometry = view()
    together = project_scene(Scene((Body("base", base), Body("excess", excess))), geometry)
    assert np.allclose(together, project_scene(Scene((Body("whole", whole),)), geometry), atol=2e-3)


def test_bodies_that_pause_join_and_leave_without_changing_the_picture():
    volumes = [signed_ball(n, (8.0 * n - 8.0, 0.0, 5.0 * n)) for n in range(3)]
    keeper, geometry = SceneProjector(), view()
    for pulse in range(60):
        # The second moves, pauses, moves back and pauses; the third always moves.
        second_mm = min(pulse, 6) if pulse < 30 else max(0, 36 - pulse)
        bodies = (
            Body("base", volumes[0]),
            Body("second", volumes[1], translation((float(second_mm), 0.0, 0.0))),
            Body("third", volumes[2], translation((0.0, 0.0, 0.2 * pulse))),
        )
        kept = keeper.project(Scene(bodies), geometry)
        assert np.allclose(kept, project_scene(Scene(bodies), geometry), atol=1e-3), pulse
