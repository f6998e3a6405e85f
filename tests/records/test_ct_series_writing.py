"""Volumes as DICOM CT series and segmentations: read back, reproducible, saying what they are."""

from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pydicom
import pytest

from fluoroscope.dicom.ct_series import read_ct_series
from fluoroscope.dicom.segmentation import read_segmentation
from fluoroscope.geometry.table import PatientPosition
from fluoroscope.patient.labels import LabelMap
from fluoroscope.patient.volume import Volume
from fluoroscope.records.ct_series import CTDescription, ct_slices, write_ct_series
from fluoroscope.records.identity import Equipment, ExamIdentity, PatientIdentity
from fluoroscope.records.segmentation import code_of, write_segmentation


def about(**changes):
    exam = ExamIdentity(
        "2.25.77",
        datetime(2026, 1, 3, tzinfo=UTC),
        PatientIdentity("Simulated^anna", "SIM-anna", date(1980, 1, 1), "F"),
        Equipment("modelled patient", "0.1.0"),
    )
    return CTDescription(replace(exam, **changes))


def volume(tilted=False):
    values = np.random.default_rng(1).integers(-1000, 3000, (14, 30, 40)).astype(np.int16)
    matrix = np.zeros((4, 4))
    matrix[2, 0], matrix[1, 1], matrix[0, 2], matrix[3, 3] = 1.1, 0.8, 0.9, 1.0
    if tilted:
        angle = np.deg2rad(10.0)
        turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
        matrix[:3, :3] = turn @ matrix[:3, :3]
    matrix[:3, 3] = (-17.25, -12.125, -7.7)
    return Volume(values, matrix)


def labels():
    values = np.zeros((14, 30, 40), np.uint8)
    values[2:6, 5:15, 5:15] = 29
    values[8:12, 5:15, 5:15] = 28
    values[:, 22:, :] = 145
    values[0:2, 0:4, 0:4] = 137
    return LabelMap(values, {29: "vertebrae_L3", 28: "vertebrae_L4", 145: "abdominal_fat", 137: "disc_L3_L4"})


@pytest.mark.parametrize("tilted", [False, True])
def test_a_series_reads_back_to_the_same_voxels(tmp_path, tilted):
    ct = volume(tilted)
    write_ct_series(tmp_path / "ct", ct, about())
    read = read_ct_series(tmp_path / "ct")
    np.testing.assert_array_equal(read.volume.values, ct.values)
    np.testing.assert_allclose(read.volume.world_from_index, ct.world_from_index, atol=1e-6)
    assert read.position is PatientPosition.HFP
    assert (read.patient_name, read.patient_id) == ("Simulated^anna", "SIM-anna")


@pytest.mark.req("REQ-PAT-043")
def test_a_simulated_series_says_so_in_every_slice(tmp_path):
    write_ct_series(tmp_path / "ct", volume(), about())
    for path in (tmp_path / "ct").iterdir():
        header = pydicom.dcmread(path, stop_before_pixels=True)
        assert "SIMULATED" in header.ImageComments
        assert "SIMULATED" in header.SeriesDescription
        assert header.ImageType[0] == "DERIVED"


def test_the_same_patient_gives_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        slices = write_ct_series(tmp_path / name, volume(), about())
        write_segmentation(tmp_path / name / "seg.dcm", labels(), slices, about())
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    other = ct_slices(volume(), about(study_uid="2.25.78"))
    assert other[0].SOPInstanceUID != ct_slices(volume(), about())[0].SOPInstanceUID


def test_segments_lie_where_the_labels_are_and_are_coded(tmp_path):
    ct = volume()
    slices = write_ct_series(tmp_path / "ct", ct, about())
    names = write_segmentation(tmp_path / "seg.dcm", labels(), slices, about())
    assert list(names.values()) == ["vertebrae_L4", "vertebrae_L3", "disc_L3_L4", "abdominal_fat"]
    read = read_segmentation(tmp_path / "seg.dcm", ct)
    for number, name in labels().names.items():
        np.testing.assert_array_equal(read.values == read.number(name), labels().values == number)
    segments = {item.SegmentLabel: item for item in pydicom.dcmread(tmp_path / "seg.dcm").SegmentSequence}
    code = segments["vertebrae_L3"].SegmentedPropertyTypeCodeSequence[0]
    assert (code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning) == ("36470004", "SCT", "L3 vertebra")
    assert segments["disc_L3_L4"].SegmentedPropertyTypeCodeSequence[0].CodingSchemeDesignator == "99FLUOROSCOPE"


def test_only_what_is_asked_for_is_segmented(tmp_path):
    slices = ct_slices(volume(), about())
    names = write_segmentation(tmp_path / "seg.dcm", labels(), slices, about(), ["vertebrae_L3"])
    assert dict(names) == {1: "vertebrae_L3"}
    with pytest.raises(ValueError, match="nothing to segment"):
        write_segmentation(tmp_path / "no.dcm", labels(), slices, about(), ["femur_left"])
    with pytest.raises(ValueError, match="do not fit"):
        write_segmentation(tmp_path / "no.dcm", labels(), slices[:-1], about())
    assert not (tmp_path / "no.dcm").exists()


def test_every_structure_has_a_code_of_legal_length():
    from fluoroscope.patient.anatomy.structures import structures

    codes = {name: code_of(name) for name in structures()}
    assert all(0 < len(value) <= 16 and 0 < len(meaning) <= 64 for value, _, meaning in codes.values())
    assert codes["liver"][:2] == ("10200004", "SCT")
    plain = {name.replace("_left", "").replace("_right", "") for name in structures() if codes[name][1] != "SCT"}
    own = {codes[name][0] for name in structures() if codes[name][1] != "SCT"}
    assert len(own) == len(plain)
