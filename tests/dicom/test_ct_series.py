"""CT folders: sorted by geometry, and every fault named with its file."""

import contextlib
import warnings

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, generate_uid

from fluoroscope.dicom.ct_series import read_ct_series, read_patient_folder
from fluoroscope.geometry.table import PatientPosition
from fluoroscope.patient.stored import PatientFileError

ROWS, COLUMNS, SLICES = 12, 14, 16
BRIGHT = (5, 3, 9)  # slice, row, column
SERIES = "1.2.3.4"


def ct_slice(number, *, orientation=(1, 0, 0, 0, 1, 0), step_mm=(0, 0, 2.5), origin=(-50.0, 30.0, 700.0)):
    """One synthetic slice with its number in every pixel."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid(entropy_srcs=[str(number)])
    ds.SeriesInstanceUID, ds.Modality, ds.ImageType = SERIES, "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.PatientName, ds.PatientID, ds.PatientPosition = "Doe^Jane", "77", "FFS"
    ds.SeriesDescription = "spine"
    ds.ImageOrientationPatient = [float(v) for v in orientation]
    ds.ImagePositionPatient = [o + number * s for o, s in zip(origin, step_mm, strict=True)]
    ds.PixelSpacing = [1.5, 0.5]
    ds.Rows, ds.Columns = ROWS, COLUMNS
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.RescaleSlope, ds.RescaleIntercept = 2, -1024 - number
    hu = np.full((ROWS, COLUMNS), 10 * number, np.int32)
    if number == BRIGHT[0]:
        hu[BRIGHT[1:]] = 1500
    stored = (hu - ds.RescaleIntercept) / ds.RescaleSlope
    ds.PixelData = np.rint(stored).astype("<u2").tobytes()
    return ds


def save(ds, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds.save_as(path, enforce_file_format=True)


def write(folder, skip=(), change=None, **geometry):
    """Write a series under names and instance numbers that say nothing about the order."""
    random = np.random.default_rng(3)
    names = random.permutation(SLICES)
    for number in range(SLICES):
        if number in skip:
            continue
        ds = ct_slice(number, **geometry)
        ds.InstanceNumber = int(names[-number])
        if change is not None:
            change(number, ds)
        save(ds, folder / f"{names[number]:03d}.dcm")
    return names


ORIENTATIONS = {
    "head first, rising": ((1, 0, 0, 0, 1, 0), (0, 0, 2.5)),
    "head first, falling": ((1, 0, 0, 0, 1, 0), (0, 0, -2.5)),
    "feet first": ((-1, 0, 0, 0, 1, 0), (0, 0, 2.5)),
    "prone": ((-1, 0, 0, 0, -1, 0), (0, 0, -2.5)),
    "sagittal": ((0, 1, 0, 0, 0, -1), (2.5, 0, 0)),
    "oblique": ((0.8, 0.6, 0, -0.6, 0.8, 0), (0, 0, 2.5)),
}


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_a_bright_voxel_lies_where_its_slice_says(tmp_path, name):
    orientation, step = ORIENTATIONS[name]
    write(tmp_path, orientation=orientation, step_mm=step)
    series = read_ct_series(tmp_path)
    (index,) = np.argwhere(series.volume.values >= 1499)
    number, row, column = BRIGHT
    place = np.array([-50.0, 30.0, 700.0]) + number * np.array(step)
    place = place + np.array(orientation[:3]) * 0.5 * column + np.array(orientation[3:]) * 1.5 * row
    np.testing.assert_allclose((series.volume.world_from_index @ [*index, 1])[:3], place, atol=1e-6)
    assert series.volume.world_from_index[2, 0] > 0
    assert len(series.files) == SLICES


def test_rescale_is_taken_per_slice_and_names_do_not_matter(tmp_path):
    write(tmp_path)
    series = read_ct_series(tmp_path)
    assert np.abs(series.volume.values[:, 0, 0] - 10 * np.arange(SLICES)).max() <= 1
    assert (series.patient_name, series.patient_id, series.description) == ("Doe^Jane", "77", "spine")
    assert series.position is PatientPosition.FFS
    imported = read_patient_folder(tmp_path)
    assert imported.patient_id == "77"


def refuse(folder, pattern, **options):
    with pytest.raises(PatientFileError, match=pattern) as caught:
        read_ct_series(folder, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.req("REQ-PAT-001")
def test_missing_slice_is_named_between_its_neighbours(tmp_path):
    names = write(tmp_path, skip=(7,))
    refuse(tmp_path, rf"{names[6]:03d}\.dcm: 1 slice is missing between it and {names[8]:03d}\.dcm")


def test_doubled_slice_names_both(tmp_path):
    names = write(tmp_path)
    save(ct_slice(4), tmp_path / "copy.dcm")
    refuse(tmp_path, rf"({names[4]:03d}|copy)\.dcm: at the same place as ({names[4]:03d}|copy)\.dcm")


@pytest.mark.req("REQ-PAT-001")
def test_gantry_tilt_names_the_angle(tmp_path):
    write(tmp_path, step_mm=(0.0, 2.5 * np.tan(np.deg2rad(15.0)), 2.5))
    refuse(tmp_path, r"\.dcm: gantry tilt of 15\.0°")


def test_slices_of_another_size_or_direction(tmp_path):
    def wider(number, ds):
        if number == 3:
            ds.Columns = COLUMNS - 2

    names = write(tmp_path, change=wider)
    refuse(tmp_path, "12×1[24] pixels")

    def turned(number, ds):
        if number == 3:
            ds.ImageOrientationPatient = [0.0, 1, 0, 0, 0, -1]

    write(tmp_path, change=turned)
    refuse(tmp_path, rf"({names[0]:03d}|{names[3]:03d}|\d+)\.dcm: turned against")


def test_two_series_are_listed_and_one_can_be_chosen(tmp_path):
    write(tmp_path)
    (tmp_path / "b").mkdir()

    def other(number, ds):
        ds.SeriesInstanceUID = "1.2.9"

    write(tmp_path / "b", change=other)
    refuse(
        tmp_path,
        r"2 CT series: 1\.2\.3\.4 \(16 slices, spine\), 1\.2\.9 \(16 slices, spine\); choose one with"
        r" --series",
    )
    series = read_ct_series(tmp_path, series="1.2.9")
    assert series.series_uid == "1.2.9"
    assert len(series.ignored) == SLICES
    refuse(tmp_path, "has no CT series 9", series="9")


def test_other_objects_beside_the_slices_are_left_out_and_listed(tmp_path):
    write(tmp_path)
    scout = ct_slice(0)
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    scout.SeriesInstanceUID = "1.2.8"
    save(scout, tmp_path / "scout.dcm")
    plan = ct_slice(0)
    plan.file_meta.MediaStorageSOPClassUID = plan.SOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    plan.Modality = "RTSTRUCT"
    save(plan, tmp_path / "rt.dcm")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "DICOMDIR").write_bytes(b"anything")
    series = read_ct_series(tmp_path)
    why = {path.name: reason for path, reason in series.ignored}
    assert why == {
        "scout.dcm": "localizer",
        "rt.dcm": "not a CT image (RTSTRUCT)",
        "notes.txt": "not a DICOM file",
    }
    for path in tmp_path.glob("0*.dcm"):
        path.unlink()
    refuse(tmp_path, r"holds no CT slices \(3 other files; notes\.txt is not a DICOM file\)")


def test_too_few_slices(tmp_path):
    write(tmp_path, skip=range(3, SLICES))
    refuse(tmp_path, "at least 10 slices")


def test_empty_and_missing_folders(tmp_path):
    refuse(tmp_path, "empty")
    refuse(tmp_path / "gone", "no such folder")


def test_enhanced_ct_says_what_to_do(tmp_path):
    ds = ct_slice(0)
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    save(ds, tmp_path / "e.dcm")
    refuse(tmp_path, r"e\.dcm: Enhanced CT is not read; export it as")


@pytest.mark.parametrize("keep", [0, 100, 200, 500, -40])
def test_truncated_slice_is_named(tmp_path, keep):
    names = write(tmp_path)
    path = tmp_path / f"{names[4]:03d}.dcm"
    path.write_bytes(path.read_bytes()[:keep])
    # Cut before the DICM mark it is no DICOM file any more: then the slice is missing.
    refuse(tmp_path, rf"{names[4]:03d}\.dcm|1 slice is missing")


def test_deflate_bomb_is_refused_unopened(tmp_path):
    ds = ct_slice(0)
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    save(ds, tmp_path / "bomb.dcm")
    refuse(tmp_path, r"bomb\.dcm: deflated DICOM is not read")


def test_declared_size_is_checked_against_the_bytes(tmp_path):
    def huge(number, ds):
        ds.Rows = ds.Columns = 60000

    write(tmp_path, change=huge)
    refuse(tmp_path, "above the limit")

    def large(number, ds):
        ds.Rows = ds.Columns = 4000

    write(tmp_path, change=large)
    refuse(tmp_path, "truncated")


def test_deep_nesting_is_refused_or_skipped(tmp_path):
    names = write(tmp_path)
    path = tmp_path / f"{names[4]:03d}.dcm"
    raw = path.read_bytes()
    deep = b"\xfe\xff\x00\xe0\xff\xff\xff\xff\x08\x00\x40\x11SQ\x00\x00\xff\xff\xff\xff" * 3000
    where = raw.index(b"\x08\x00\x60\x00CS")
    path.write_bytes(raw[:where] + b"\x08\x00\x40\x11SQ\x00\x00\xff\xff\xff\xff" + deep)
    refuse(tmp_path, rf"{names[4]:03d}\.dcm")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_slices_raise_nothing_else(tmp_path, data):
    for old in tmp_path.iterdir():
        old.unlink()
    names = write(tmp_path)
    path = tmp_path / f"{names[2]:03d}.dcm"
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        raw[data.draw(st.integers(132, len(raw) - 340))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    with contextlib.suppress(PatientFileError):
        read_ct_series(tmp_path)


@pytest.mark.data
def test_a_real_series_agrees_with_labels_made_from_its_nifti(data_folder):
    from fluoroscope.patient.labels import read_labels

    series = read_ct_series(data_folder / "ct/lumbar/example_ct_dicom")
    assert series.volume.values.shape == (20, 512, 512)
    assert series.position is PatientPosition.HFS
    labels = read_labels(data_folder / "ct/lumbar/example_seg_dicom.nii.gz", series.volume)
    middle = {
        name: float(np.median(series.volume.values[labels.values == labels.number(name)]))
        for name in ("liver", "vertebrae_T12", "aorta")
    }
    assert 70 < middle["liver"] < 130
    assert middle["vertebrae_T12"] > 150
    assert middle["aorta"] > 120


def test_jpeg_ls_slices_are_decoded(tmp_path):
    def packed(number, ds):
        ds.compress("1.2.840.10008.1.2.4.80")

    write(tmp_path, change=packed)
    plain = tmp_path / "plain"
    plain.mkdir()
    write(plain)
    assert pydicom.dcmread(next(tmp_path.glob("*.dcm"))).file_meta.TransferSyntaxUID.is_compressed
    for path in plain.iterdir():
        path.rename(tmp_path.parent / path.name)
    plain.rmdir()
    series = read_ct_series(tmp_path)
    assert np.abs(series.volume.values[:, 0, 0] - 10 * np.arange(SLICES)).max() <= 1
