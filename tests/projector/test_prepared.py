"""Making a volume ready: exact where it can be, bounded where it cannot, memory kept to what is used."""

import numpy as np
import pytest

from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import projection_geometry
from fluoroscope.patient.volume import Volume
from fluoroscope.projector import prepare, project


def view(primary_deg=20.0, secondary_deg=10.0):
    return projection_geometry(CArmPose(primary_deg, secondary_deg, 600.0, 1020.0), DetectorGrid(40, 50, 2.0))


def block(dtype=np.int16, low=0, high=2000, shape=(30, 34, 28), margin=5):
    rng = np.random.default_rng(0)
    values = np.zeros(shape, dtype)
    inside = tuple(slice(margin, n - margin) for n in shape)
    values[inside] = rng.integers(low, high, values[inside].shape).astype(dtype)
    affine = np.diag([0.0, 0.0, 0.0, 1.0])
    affine[2, 0] = affine[1, 1] = affine[0, 2] = 2.0
    affine[:3, 3] = -affine[:3, :3] @ ((np.asarray(shape) - 1.0) / 2.0)
    return Volume(values, affine)


def test_copies_are_made_when_first_needed_and_hold_only_what_is_filled():
    volume = block()
    ready = prepare(volume)
    assert ready.memory_bytes == 0
    assert (ready.first, ready.shape) == ((5, 5, 5), (20, 24, 18))
    project(ready, view(0.0, 0.0))
    one = ready.memory_bytes
    assert one > 0
    project(ready, view(0.0, 10.0))
    assert ready.memory_bytes == one
    ready.ready()
    assert one < ready.memory_bytes < 20 * volume.values.nbytes


def test_skipping_air_changes_nothing():
    rough = block()
    ramp = sum(a * a for a in np.meshgrid(*(np.linspace(-1, 1, n) for n in rough.values.shape), indexing="ij"))
    volume = Volume((5000 * np.clip(0.6 - ramp, 0, None) ** 2).astype(np.int16), rough.world_from_index)
    for primary in (0.0, 50.0, 90.0):
        skipped = project(prepare(volume), view(primary), pitch=0.1)
        kept = project(prepare(volume, air_skip=False), view(primary), pitch=0.1)
        assert np.allclose(skipped, kept, rtol=0, atol=3e-3 * skipped.max())


def test_whole_numbers_are_kept_exactly():
    assert prepare(block()).quantisation == (0.0,)
    assert prepare(block(low=-1024, high=3000)).quantisation == (0.0,)
    assert prepare(block(np.uint8, high=255)).quantisation == (0.0,)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint16, np.int32])
def test_other_types_are_rounded_by_no_more_than_is_said(dtype):
    volume = block(dtype, high=60000)
    ready = prepare(volume)
    (step,) = ready.quantisation
    assert step == pytest.approx(0.5 * volume.values.max() / 32767, rel=1e-3)
    fast, exact = project(ready, view()), project(volume, view(), backend="reference")
    assert np.sqrt(np.mean((fast - exact) ** 2) / np.mean(exact**2)) < 0.02


def test_negative_values_keep_their_sign():
    volume = block(low=-1000, high=-900)
    picture = project(volume, view(0.0, 0.0))[0]
    assert picture[20, 25] == pytest.approx(-950.0 * 24 * 2.0, rel=0.02)


def test_values_that_are_not_finite_are_refused():
    values = np.zeros((5, 6, 7), np.float32)
    values[3, 2, 1] = np.nan
    with pytest.raises(ValueError, match="not a finite number in slice 3"):
        prepare(Volume(values, np.eye(4)))
    with pytest.raises(ValueError, match="real numbers"):
        prepare(Volume(np.zeros((2, 2, 2), complex), np.eye(4)))


def test_wide_volumes_use_coarser_chunks():
    """More columns than 61 chunks of 32: the marks still cover them all."""
    values = np.zeros((3, 4, 2100), np.int16)
    values[1:, 1:3, 1000:2090] = 700
    affine = np.diag([0.0, 0.0, 0.0, 1.0])
    affine[2, 0], affine[1, 1], affine[0, 2] = 2.0, 2.0, 0.1
    affine[:3, 3] = -affine[:3, :3] @ ((np.asarray(values.shape) - 1.0) / 2.0)
    volume = Volume(values, affine)
    grid = DetectorGrid(5, 400, 0.8)
    geometry = projection_geometry(CArmPose(0.0, 0.0, 600.0, 1020.0), grid)
    fast, exact = project(volume, geometry), project(volume, geometry, backend="reference")
    assert np.abs(fast - exact).max() < 0.05 * exact.max()
    assert fast.sum() == pytest.approx(exact.sum(), rel=5e-3)
