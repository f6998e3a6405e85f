"""The fine spine is the whole patient's spine: the same numbers when averaged alike, and finer than they are."""

import numpy as np
import pytest
from scipy import ndimage

from fluoroscope.patient.anatomy.build import build_patient
from fluoroscope.patient.anatomy.parameters import Pathology, PatientParameters
from fluoroscope.patient.spine_volume import SPINE_PITCH_MM, agreement, build_spine

CHILD = PatientParameters(seed=3, age_years=6.0, height_cm=112.0, pathologies=(Pathology("vacuum", "L4", 0.6),))


@pytest.fixture(scope="module")
def both():
    """The fine spine, and the whole patient on voxels twice as wide."""
    return build_spine(CHILD), build_patient(CHILD, pitch_mm=2.0 * SPINE_PITCH_MM)


@pytest.fixture(scope="module")
def compared(both):
    """Means of the fine volume over the wide voxels, the wide volume there, and both label maps at their centres."""
    fine, whole = both
    steps = np.array([0.25, 0.5, 0.25])
    mean = fine.volume.values.astype(np.float32)
    for axis in range(3):
        mean = ndimage.convolve1d(mean, steps, axis=axis)
    index_from_fine = np.linalg.inv(whole.volume.world_from_index) @ fine.volume.world_from_index
    # Voxel centres of both lie on multiples of their pitch: every second fine one is a wide one.
    start = np.round(index_from_fine[:3, 3], 6)
    first = np.where(start % 1.0 == 0.0, 0, 1) + 2
    at = tuple(slice(int(f), n - 2, 2) for f, n in zip(first, mean.shape, strict=True))
    low = np.rint(start + 0.5 * first).astype(int)
    here = tuple(slice(int(a), int(a) + n) for a, n in zip(low, mean[at].shape, strict=True))
    wide = whole.volume.values[here].astype(np.float32)
    assert wide.shape == mean[at].shape
    return mean[at], wide, fine.labels.values[at], whole.labels.values[here]


def labelled(fine, *wanted):
    """Return the voxels of structures, by name."""
    return np.isin(fine.labels.values, [number for number, name in fine.labels.names.items() if name in wanted])


def test_it_agrees_with_the_whole_patient(both, compared):
    fine, whole = both
    mean, wide, fine_labels, wide_labels = compared
    assert (fine_labels == wide_labels).mean() > 0.97
    assert agreement(fine, whole.volume, whole.labels) > 0.9
    names = {name: number for number, name in whole.labels.names.items()}
    for name, most in (
        ("vertebrae_L3", 15.0),
        ("vertebrae_L5", 15.0),
        ("cerebrospinal_fluid", 3.0),
        ("autochthon_left", 3.0),
    ):
        inside = wide_labels == names[name]
        assert inside.sum() > 200
        assert abs((mean - wide)[inside].mean()) < most, name
    bone = np.isin(wide_labels, [number for name, number in names.items() if name.startswith("vertebrae_L")])
    assert np.corrcoef(mean[bone], wide[bone])[0, 1] > 0.97


def test_it_is_finer_than_the_whole_patient_interpolated(both, compared):
    fine, whole = both
    bone = labelled(fine, "vertebrae_L2", "vertebrae_L3", "vertebrae_L4")
    places = np.argwhere(bone)[::7]
    wide_from_fine = np.linalg.inv(whole.volume.world_from_index) @ fine.volume.world_from_index
    at = places @ wide_from_fine[:3, :3].T + wide_from_fine[:3, 3]
    interpolated = ndimage.map_coordinates(whole.volume.values.astype(np.float32), at.T, order=1)
    seen = fine.volume.values[tuple(places.T)].astype(np.float32)
    # Shell and trabeculae the wide voxels blur.
    assert (seen - interpolated).std() > 40.0
    assert np.percentile(seen, 99) > np.percentile(interpolated, 99) + 30.0


def test_it_holds_t12_to_the_sacrum_and_its_gas(both):
    fine, _ = both
    names = set(fine.labels.names.values())
    assert {"vertebrae_T12", "vertebrae_L1", "vertebrae_L5", "sacrum", "disc_L4_L5", "cerebrospinal_fluid"} <= names
    assert fine.volume.spacing_mm == pytest.approx([SPINE_PITCH_MM] * 3)
    ends = labelled(fine, "sacrum", "vertebrae_T12")
    for axis in range(3):
        used = ends.any(axis=tuple(n for n in range(3) if n != axis))
        assert not used[[0, -1]].any()
    assert fine.volume.values[labelled(fine, "disc_L4_L5")].min() < -300


def test_a_pitch_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"0.4 to 1 mm"):
        build_spine(CHILD, pitch_mm=0.1)
