"""DICOM SEG frames land on the CT voxels they were drawn on."""

import warnings

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import pack_bits
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from fluoroscope.dicom.segmentation import read_segmentation
from fluoroscope.patient.stored import PatientFileError
from fluoroscope.patient.volume import Volume

BINARY, LABELMAP = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"
NAMES = {1: "vertebra L3", 2: "aorta"}


def ct(shape=(12, 20, 24)):
    affine = np.array([[0, 0, 0.8, -40.0], [0, 0.9, 0, 20.0], [2.5, 0, 0, 300.0], [0, 0, 0, 1.0]])
    return Volume(np.zeros(shape, np.int16), affine)


def group(**items):
    holder = Dataset()
    for name, value in items.items():
        setattr(holder, name, value)
    return holder


def seg(labels, volume, kind="BINARY"):
    """A segmentation with one frame per slice (and segment), slices listed from head to feet."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = BINARY if kind == "BINARY" else LABELMAP
    ds.SOPInstanceUID = generate_uid(entropy_srcs=["seg"])
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = (
        ds.SOPClassUID,
        ds.SOPInstanceUID,
    )
    ds.Modality, ds.SegmentationType = "SEG", kind
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = (
        *labels.shape[1:],
        1,
        "MONOCHROME2",
    )
    bits = 1 if kind == "BINARY" else 8
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = bits, bits, bits - 1, 0
    ds.SegmentSequence = [group(SegmentNumber=n, SegmentLabel=name) for n, name in NAMES.items()]
    shared = Dataset()
    shared.PlaneOrientationSequence = [group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]
    shared.PixelMeasuresSequence = [group(PixelSpacing=[0.9, 0.8], SliceThickness=2.5)]
    ds.SharedFunctionalGroupsSequence = [shared]
    frames, groups = [], []
    for segment in NAMES if kind == "BINARY" else (0,):
        for plane in reversed(range(labels.shape[0])):
            frame = labels[plane] if segment == 0 else (labels[plane] == segment).astype(np.uint8)
            if not frame.any():
                continue
            frames.append(frame)
            place = (volume.world_from_index @ [plane, 0, 0, 1])[:3]
            item = Dataset()
            item.PlanePositionSequence = [group(ImagePositionPatient=[float(v) for v in place])]
            if segment:
                item.SegmentIdentificationSequence = [group(ReferencedSegmentNumber=segment)]
            groups.append(item)
    ds.PerFrameFunctionalGroupsSequence = groups
    ds.NumberOfFrames = len(frames)
    stack = np.array(frames, np.uint8)
    ds.PixelData = pack_bits(stack.ravel()) if kind == "BINARY" else stack.tobytes()
    return ds


def save(ds, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds.save_as(path, enforce_file_format=True)
    return path


def drawn(shape=(12, 20, 24)):
    labels = np.zeros(shape, np.uint8)
    labels[3:7, 5:11, 8:15] = 1
    labels[4:9, 2:4, 1:5] = 2
    return labels


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_every_voxel_comes_back(tmp_path, kind):
    volume = ct()
    labels = read_segmentation(save(seg(drawn(), volume, kind), tmp_path / "s.dcm"), volume)
    np.testing.assert_array_equal(labels.values, drawn())
    assert dict(labels.names) == {1: "vertebra_L3", 2: "aorta"}


def test_a_finer_ct_gets_the_same_volume(tmp_path):
    volume = ct()
    path = save(seg(drawn(), volume), tmp_path / "s.dcm")
    fine = volume.world_from_index @ np.diag([0.5, 0.5, 0.5, 1.0])
    labels = read_segmentation(path, Volume(np.zeros((24, 40, 48), np.int16), fine))
    assert (labels.values == 1).sum() == pytest.approx(8 * (drawn() == 1).sum(), rel=0.2)


def refuse(path, volume, pattern):
    with pytest.raises(PatientFileError, match=pattern) as caught:
        read_segmentation(path, volume)
    assert "\n" not in str(caught.value)


def test_what_is_refused(tmp_path):
    volume = ct()
    ds = seg(drawn(), volume)
    away = Volume(volume.values, volume.world_from_index + np.array([[0, 0, 0, 900.0]] + [[0] * 4] * 3))
    refuse(save(ds, tmp_path / "s.dcm"), away, "outside the CT")
    ds.SegmentationType = "FRACTIONAL"
    refuse(save(ds, tmp_path / "f.dcm"), volume, "FRACTIONAL is not read")
    ds.SegmentationType, ds.Rows, ds.Columns = "BINARY", 60000, 60000
    refuse(save(ds, tmp_path / "h.dcm"), volume, "at most")
    ds = seg(drawn(), volume)
    del ds.PerFrameFunctionalGroupsSequence
    refuse(save(ds, tmp_path / "g.dcm"), volume, "damaged segmentation")
    (tmp_path / "t.dcm").write_text("text")
    refuse(tmp_path / "t.dcm", volume, "no DICOM segmentation")
    refuse(tmp_path / "no.dcm", volume, "no such file")
