"""Labels come onto the CT's grid with the right names."""

import json

import numpy as np
import pytest

from fluoroscope.patient.labels import LabelMap, onto_grid, read_labels, read_names, totalsegmentator_names
from fluoroscope.patient.stored import PatientFileError
from fluoroscope.patient.volume import Volume


def spl(pitch, origin):
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, pitch[2]], [0, pitch[1], 0], [pitch[0], 0, 0]])
    affine[:3, 3] = origin
    return affine


def test_another_grid_is_resampled_to_the_nearest_voxel():
    ct = Volume(np.zeros((20, 30, 40), np.int16), spl((2.0, 1.0, 1.0), (0.0, 0.0, 0.0)))
    coarse = np.zeros((20, 15, 20), np.uint8)
    coarse[10, 7, 12] = 5
    labels = Volume(coarse, spl((2.0, 2.0, 2.0), (0.5, 0.5, 0.0)))
    values = onto_grid(labels, ct, "labels")
    assert values.shape == ct.values.shape
    index = np.argwhere(values == 5)
    assert index.min(axis=0).tolist() == [10, 14, 24]
    assert index.max(axis=0).tolist() == [10, 15, 25]


def test_labels_of_another_place_are_refused():
    ct = Volume(np.zeros((20, 30, 40), np.int16), spl((1, 1, 1), (0.0, 0.0, 0.0)))
    labels = Volume(np.ones((10, 10, 10), np.uint8), spl((1, 1, 1), (500.0, 0.0, 0.0)))
    with pytest.raises(PatientFileError, match="outside the CT"):
        onto_grid(labels, ct, "labels.nii")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "1,spleen\n27,vertebrae_L5\n"),
        ("b.csv", "group,original_idx,structure,id\norgans,9,spleen,1\nvertebrae,3,vertebrae_L5,27\n"),
        ("c.csv", "label,name\n1,spleen\n27,vertebrae_L5\n"),
        ("d.json", json.dumps({"1": "spleen", "27": "vertebrae_L5"})),
        ("e.json", json.dumps({"spleen": 1, "vertebrae_L5": 27})),
    ],
)
def test_tables_of_names(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_names(tmp_path / name) == {1: "spleen", 27: "vertebrae_L5"}


@pytest.mark.parametrize(
    ("name", "text"), [("x.csv", "a,b\nc,d\n"), ("x.json", "[1, 2]"), ("x.csv", ""), ("y.json", "{")]
)
def test_other_text_is_no_table(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(PatientFileError, match="name"):
        read_names(tmp_path / name)


def test_label_maps_are_whole_numbers_and_frozen():
    labels = LabelMap(np.zeros((3, 3, 3), np.uint8), {1: "spleen"})
    assert labels.number("spleen") == 1
    assert labels.number("liver") is None
    assert labels.center_mm("spleen", np.eye(4)) is None
    with pytest.raises(ValueError, match="uint8"):
        LabelMap(np.zeros((3, 3, 3), np.float32), {})
    with pytest.raises(ValueError, match="read-only"):
        labels.values[0, 0, 0] = 1


@pytest.mark.data
def test_the_file_s_own_names_are_those_of_totalsegmentator(data_folder):
    from fluoroscope.patient.formats import read_volume

    ct = read_volume(data_folder / "ct/lumbar/example_ct.nii.gz")
    labels = read_labels(data_folder / "ct/lumbar/example_seg_fast_force_split.nii.gz", ct)
    known = totalsegmentator_names()
    assert len(labels.names) == 61
    assert all(known[number] == name for number, name in labels.names.items())
    order = ["L5", "L4", "L3", "L2", "L1", "T12"]
    heights = [labels.center_mm(f"vertebrae_{level}", ct.world_from_index)[2] for level in order]
    assert heights == sorted(heights)
    left = labels.center_mm("kidney_left", ct.world_from_index)
    right = labels.center_mm("kidney_right", ct.world_from_index)
    assert left[0] > right[0] + 50.0


@pytest.mark.data
def test_named_table_of_the_thoracolumbar_ct(data_folder):
    from fluoroscope.patient.formats import read_volume

    folder = data_folder / "ct/thoracolumbar"
    ct = read_volume(folder / "cxr.nii.gz")
    labels = read_labels(folder / "mask.nii.gz", ct, names=folder / "structures.csv")
    assert labels.names[29] == "vertebrae_L3"
    assert len(labels.names) == 89
    assert float(np.median(ct.values[labels.values == labels.number("aorta")])) > 200.0
    lung = ct.values[labels.values == labels.number("lung_upper_lobe_left")]
    assert -950 < float(np.median(lung)) < -700
