"""The table goes, the body stays as it was."""

import numpy as np
import pytest

from fluoroscope.patient.body_mask import AIR_HU, body_mask, remove_table
from fluoroscope.patient.volume import Volume

AFFINE = np.array([[0, 0, 2.0, -140.0], [0, 2.0, 0, -100.0], [3.0, 0, 0, 0.0], [0, 0, 0, 1.0]])


def phantom(*, touching):
    """An elliptic body with a lung and arms over a thin curved table."""
    _, y, x = np.mgrid[0:40, 0:100, 0:140]
    px, py = (x - 70) * 2.0, (y - 50) * 2.0
    hu = np.full(x.shape, AIR_HU, np.int16)
    body = (px / 100) ** 2 + (py / 65) ** 2 < 1
    hu[body] = 40
    lung = ((px - 45) / 35) ** 2 + (py / 40) ** 2 < 1
    hu[lung] = -850
    arm = ((px + 122) / 15) ** 2 + (py / 15) ** 2 < 1
    hu[arm] = 50
    top = 65.0 if touching else 75.0
    table = (py > top) & (py <= top + 4.0) & (np.abs(px) < 120)
    hu[table & ~body] = 100
    return Volume(hu, AFFINE), body, lung, arm, table & ~body


@pytest.mark.parametrize("touching", [False, True])
def test_table_is_air_and_the_body_is_untouched(touching):
    volume, body, lung, arm, table = phantom(touching=touching)
    cleaned = remove_table(volume)
    np.testing.assert_array_equal(cleaned.values[body], volume.values[body])
    np.testing.assert_array_equal(cleaned.values[arm], volume.values[arm])
    assert body_mask(volume)[lung].all()
    left = (cleaned.values[table] > -900).mean()
    assert left < (0.35 if touching else 0.02)
    assert (cleaned.values[:, 90:, :] == AIR_HU).all()


def test_nothing_but_air_is_left_as_it_is():
    empty = Volume(np.full((20, 20, 20), AIR_HU, np.int16), AFFINE)
    assert remove_table(empty) is empty


@pytest.mark.data
@pytest.mark.parametrize(
    ("ct", "labels"),
    [
        ("lumbar/example_ct.nii.gz", "lumbar/example_seg_fast_force_split.nii.gz"),
        ("thoracolumbar/cxr.nii.gz", "thoracolumbar/mask.nii.gz"),
    ],
)
def test_no_labelled_voxel_of_a_real_patient_is_lost(data_folder, ct, labels):
    from fluoroscope.patient.formats import read_label_values, read_volume

    volume = read_volume(data_folder / "ct" / ct)
    structures = read_label_values(data_folder / "ct" / labels)
    cleaned = remove_table(volume)
    inside = structures.values > 0
    assert (cleaned.values[inside] != volume.values[inside]).mean() < 1e-4
    spared = cleaned.values > -900
    before = volume.values > -500
    assert 0.01 < 1.0 - spared[before].mean() < 0.2
