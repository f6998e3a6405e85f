"""The built-in torso is a lumbar spine in the right place."""

import numpy as np
import pytest

from fluoroscope.patient.torso import TORSO_REFERENCE_MM, make_torso


@pytest.fixture(scope="module")
def torso():
    return make_torso(2.0)


def test_l3_lies_at_the_reference_and_the_spine_stacks_up(torso):
    volume, labels = torso
    levels = [
        "sacrum",
        "vertebrae_L5",
        "vertebrae_L4",
        "vertebrae_L3",
        "vertebrae_L2",
        "vertebrae_L1",
        "vertebrae_T12",
    ]
    centers = [labels.center_mm(name, volume.world_from_index) for name in levels]
    heights = [float(center[2]) for center in centers]
    assert heights == sorted(heights)
    l3 = centers[3]
    assert abs(float(l3[0]) - TORSO_REFERENCE_MM[0]) < 1.0
    assert abs(float(l3[2]) - TORSO_REFERENCE_MM[2]) < 6.0
    gaps = np.diff(heights)[1:]
    assert 30.0 < gaps.min() < gaps.max() < 42.0


def test_it_is_lordotic_and_lies_back_of_the_middle(torso):
    volume, labels = torso
    depth = {
        level: float(labels.center_mm(f"vertebrae_{level}", volume.world_from_index)[1])
        for level in ("T12", "L1", "L3", "L4", "L5")
    }
    assert depth["L3"] < depth["L1"] < depth["T12"]
    body = volume.values[volume.values.shape[0] // 2] > -500
    rows = np.flatnonzero(body.any(axis=1))
    middle = volume.world_from_index[1, 3] + rows.mean() * volume.spacing_mm[1]
    assert depth["L3"] > middle


def test_left_is_left(torso):
    volume, labels = torso
    assert labels.center_mm("hip_left", volume.world_from_index)[0] > 60.0
    assert labels.center_mm("hip_right", volume.world_from_index)[0] < -60.0


def test_bone_fat_muscle_gas_and_outside_air_are_there(torso):
    values = torso[0].values
    assert values.dtype == np.int16
    for low, high, least in (
        (-1000, -900, 0.05),
        (-130, -70, 0.1),
        (20, 80, 0.2),
        (150, 400, 0.003),
        (700, 1300, 0.001),
    ):
        assert ((values >= low) & (values <= high)).mean() > least
    assert (values[:, 0, :] == -1000).all()
    assert (values[:, -1, :] == -1000).all()
    assert (values[:, :, 0] == -1000).all()


def test_bones_lie_inside_the_skin(torso):
    from scipy import ndimage

    volume, labels = torso
    skin = ndimage.binary_erosion(volume.values > -900, iterations=2, border_value=1)
    lungs_and_gas = ndimage.binary_fill_holes(skin)
    assert lungs_and_gas[labels.values > 0].mean() > 0.999


def test_the_same_torso_every_time(torso):
    again, labels = make_torso(2.0)
    np.testing.assert_array_equal(again.values, torso[0].values)
    np.testing.assert_array_equal(labels.values, torso[1].values)


def test_pitch_is_checked():
    with pytest.raises(ValueError, match="built at"):
        make_torso(0.1)
