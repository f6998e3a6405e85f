"""Reading X-ray runs: real files, every coding, and files that lie about themselves."""

import struct
import tracemalloc

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG4HP41,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from fluoroscope.acquisition.frame import PixelIntensity
from fluoroscope.dicom.errors import DicomFileError
from fluoroscope.dicom.xa import read_clip

XA, CT = "1.2.840.10008.5.1.4.1.1.12.1", "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_XA = "1.2.840.10008.5.1.4.1.1.12.1.1"
PIXELS = np.random.default_rng(0).integers(0, 1024, (4, 16, 20), dtype=np.uint16)


def save(path, pixels=PIXELS, syntax=ExplicitVRLittleEndian, data=None, drop=(), **changes):
    """Write a foreign-looking clip by pydicom, with any attribute changed."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    bits = 8 * pixels.dtype.itemsize
    values = {
        "SOPClassUID": XA, "SOPInstanceUID": "2.25.5", "Modality": "XA", "PatientName": "A^B",
        "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "NumberOfFrames": pixels.shape[0],
        "Rows": pixels.shape[1], "Columns": pixels.shape[2], "BitsAllocated": bits, "BitsStored": bits,
        "HighBit": bits - 1, "PixelRepresentation": 0, "FrameTime": "40", "FrameIncrementPointer": 0x00181063,
    }  # fmt: skip
    values.update(changes)
    for name, value in values.items():
        if name not in drop:
            setattr(dataset, name, value)
    if data is None:
        data = pixels.tobytes()
    dataset.PixelData = data
    dataset["PixelData"].VR = "OW" if bits == 16 and not syntax.is_encapsulated else "OB"
    if syntax.is_encapsulated:
        dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.MediaStorageSOPClassUID = values["SOPClassUID"]
    dataset.file_meta.MediaStorageSOPInstanceUID = "2.25.5"
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "clip.dcm"


def all_frames(path):
    with read_clip(path) as clip:
        return np.stack([clip.frame(i) for i in range(clip.frame_count)])


@pytest.mark.data
def test_a_real_angiogram_plays(data_folder):
    with read_clip(data_folder / "xa" / "xa_96frames_512.dcm") as clip:
        assert (clip.frame_count, clip.rows, clip.columns, clip.bits_stored) == (96, 512, 512, 8)
        assert clip.intensity is PixelIntensity.LIN
        assert clip.frame_times_ms[-1] == pytest.approx(95 * 33.0)
        assert (clip.angles[95].primary_deg, clip.angles[95].secondary_deg) == (-32.0, 2.0)
        frames = np.stack([clip.frame(i) for i in range(96)])
    assert frames.max() <= 255
    # The heart moves and the dye comes: every frame differs from the one before.
    assert all((frames[i] != frames[i + 1]).mean() > 0.2 for i in range(95))


@pytest.mark.data
def test_real_jpeg_frames_are_what_pillow_alone_decodes(data_folder):
    import io

    from PIL import Image
    from pydicom.encaps import generate_frames

    file = data_folder / "xa" / "xa_96frames_512.dcm"
    parts = list(generate_frames(pydicom.dcmread(file).PixelData, number_of_frames=96))
    with read_clip(file) as clip:
        for index in (0, 50, 95):
            np.testing.assert_array_equal(clip.frame(index), np.asarray(Image.open(io.BytesIO(parts[index]))))


@pytest.mark.data
def test_a_real_single_fluoroscopy_frame(data_folder):
    file = data_folder / "xa" / "rf_kwire.dcm"
    with read_clip(file) as clip:
        assert (clip.frame_count, clip.rows, clip.columns) == (1, 464, 512)
        assert (clip.window_center, clip.window_width) == (128.0, 256.0)
        np.testing.assert_array_equal(clip.frame(0), pydicom.dcmread(file).pixel_array)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_uncompressed(path, syntax, dtype):
    pixels = (PIXELS % 200).astype(dtype)
    np.testing.assert_array_equal(all_frames(save(path, pixels, syntax)), pixels)


def test_jpeg_ls_with_several_fragments_per_frame(path):
    from jpeg_ls import CharLS

    coded = [bytes(CharLS.encode_buffer(frame.tobytes(), 16, 20, 1, 16)) for frame in PIXELS]
    data = encapsulate(coded, fragments_per_frame=3, has_bot=True)
    np.testing.assert_array_equal(all_frames(save(path, syntax=JPEGLSLossless, data=data)), PIXELS)


def test_rle(path):
    dataset = pydicom.dcmread(save(path))
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.save_as(path)
    np.testing.assert_array_equal(all_frames(path), PIXELS)


def test_monochrome1_is_turned_and_its_window_too(path):
    save(
        path,
        PhotometricInterpretation="MONOCHROME1",
        BitsStored=10,
        HighBit=9,
        WindowCenter=300,
        WindowWidth=100,
    )
    np.testing.assert_array_equal(all_frames(path), 1023 - PIXELS)
    with read_clip(path) as clip:
        assert (clip.window_center, clip.window_width) == (723.0, 100.0)


def test_bits_above_those_stored_do_not_count(path):
    overlay = PIXELS | np.uint16(0x8000)
    np.testing.assert_array_equal(all_frames(save(path, overlay, BitsStored=10, HighBit=9)), PIXELS)


def test_bits_stored_high(path):
    np.testing.assert_array_equal(all_frames(save(path, PIXELS << 6, BitsStored=10, HighBit=15)), PIXELS)


def test_without_a_window_the_whole_range_is_shown(path):
    with read_clip(save(path, BitsStored=12, HighBit=11)) as clip:
        assert (clip.window_center, clip.window_width) == (2048.0, 4096.0)


@pytest.mark.parametrize(
    ("changes", "expected", "known"),
    [
        ({"FrameTime": "133.333"}, [0, 133.333, 266.666, 399.999], True),
        ({"FrameTimeVector": ["0", "50", "100", "50"]}, [0, 50, 150, 200], True),
        ({"FrameTimeVector": ["0", "50"]}, [0, 40, 80, 120], True),
        ({"FrameTimeVector": ["0", "50", "-1", "5"]}, [0, 40, 80, 120], True),
        ({"FrameTime": None, "CineRate": "10"}, [0, 100, 200, 300], True),
        ({"FrameTime": "0", "RecommendedDisplayFrameRate": "5"}, [0, 200, 400, 600], True),
        ({"FrameTime": None}, [0, 66.667, 133.333, 200], False),
    ],
)
def test_frame_times(path, changes, expected, known):
    with read_clip(save(path, **changes)) as clip:
        assert clip.frame_times_ms == pytest.approx(expected, abs=1e-3)
        assert clip.rate_known is known


def test_angles_grow_by_one_increment_or_by_offsets(path):
    angles = {"PositionerPrimaryAngle": "-30", "PositionerSecondaryAngle": "5"}
    with read_clip(save(path, PositionerPrimaryAngleIncrement="2", **angles)) as clip:
        assert [a.primary_deg for a in clip.angles] == [-30, -28, -26, -24]
    with read_clip(save(path, PositionerSecondaryAngleIncrement=["0", "1", "4", "9"], **angles)) as clip:
        assert [a.secondary_deg for a in clip.angles] == [5, 6, 9, 14]
    with read_clip(save(path)) as clip:
        assert clip.angles == ()


def test_enhanced_xa_gives_times_and_angles_of_each_frame(path):
    groups = []
    for index in range(4):
        content, position, group = Dataset(), Dataset(), Dataset()
        content.FrameAcquisitionDateTime = f"20261122100000.{index * 250000:06d}"
        position.PositionerPrimaryAngle, position.PositionerSecondaryAngle = 10.0 + index, -5.0
        group.FrameContentSequence, group.PositionerPositionSequence = [content], [position]
        groups.append(group)
    save(path, SOPClassUID=ENHANCED_XA, PerFrameFunctionalGroupsSequence=groups, drop=("FrameTime",))
    with read_clip(path) as clip:
        assert clip.frame_times_ms == pytest.approx([0, 250, 500, 750])
        assert [a.primary_deg for a in clip.angles] == [10, 11, 12, 13]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"SOPClassUID": CT}, "CT Image Storage, not an X-ray run; choose"),
        ({"PixelRepresentation": 1}, "signed pixels"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "RGB pixels"),
        ({"drop": ("Rows",)}, "header lacks Rows"),
        ({"Rows": 0}, "an image without pixels"),
        ({"NumberOfFrames": 5}, "truncated: 5 frames need 3200 bytes, the file holds 2560"),
        ({"NumberOfFrames": 2_000_000_000}, "more than any X-ray run"),
        ({"Rows": 65535, "Columns": 65535}, "more than any X-ray run"),
        ({"BitsStored": 17}, "do not fit"),
        ({"BitsAllocated": 32}, "32 bits allocated"),
        ({"HighBit": 5}, "high bit"),
    ],
)
def test_a_header_that_cannot_be_right_is_one_line(path, changes, message):
    save(path, **changes)
    with pytest.raises(DicomFileError, match=message) as caught:
        read_clip(path)
    assert str(caught.value).startswith("clip.dcm: ")
    assert "\n" not in str(caught.value)


def test_lossless_jpeg_says_which_package_to_install(path, monkeypatch):
    from pydicom.pixels.decoders import base

    monkeypatch.setattr(base.Decoder, "is_available", False)
    save(path, syntax=JPEGLosslessSV1, data=encapsulate([b"\xff\xd8" + bytes(40)] * 4))
    with pytest.raises(DicomFileError, match="need a decoder; pip install pylibjpeg pylibjpeg-libjpeg"):
        read_clip(path)


@pytest.mark.parametrize("syntax", [b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.2\0"])
def test_deflated_and_big_endian_are_refused_before_parsing(path, syntax):
    path.write_bytes(bytes(128) + b"DICM" + element(2, 0x10, b"UI", syntax) + bytes(200))
    with pytest.raises(DicomFileError, match="is not read; convert it first"):
        read_clip(path)


def test_pixels_coded_as_video_are_refused_by_name(path):
    save(path, syntax=MPEG4HP41, data=encapsulate([bytes(100)]), NumberOfFrames=30)
    with pytest.raises(DicomFileError, match=r"pixels coded as MPEG-4 .* are not read; convert it first"):
        read_clip(path)


def test_a_jpeg_that_claims_another_size_is_never_decoded(path):
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.zeros((16, 20), np.uint8)).save(stream, "JPEG")
    coded = bytearray(stream.getvalue())
    at = coded.index(b"\xff\xc0") + 5
    coded[at : at + 4] = struct.pack(">HH", 65500, 65500)
    save(path, np.zeros((1, 16, 20), np.uint8), JPEGBaseline8Bit, encapsulate([bytes(coded)]))
    with (
        read_clip(path) as clip,
        pytest.raises(DicomFileError, match="65500 × 65500 pixels inside"),
    ):
        clip.frame(0)


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGLSLossless, RLELossless])
def test_a_damaged_picture_is_a_dicom_file_error(path, syntax):
    save(path, np.zeros((1, 16, 20), np.uint8), syntax, encapsulate([b"\xff\xd8" + bytes(range(100))]))
    with read_clip(path) as clip, pytest.raises(DicomFileError, match="frame 1 cannot be decoded"):
        clip.frame(0)


def element(group, number, vr, value=b"", length=None):
    long = vr in (b"OB", b"OW", b"SQ", b"UN", b"UT")
    size = len(value) if length is None else length
    head = struct.pack("<HH2s", group, number, vr)
    return head + (struct.pack("<HI", 0, size) if long else struct.pack("<H", size)) + value


META = element(2, 0x10, b"UI", b"1.2.840.10008.1.2.1\0")


def raw_file(path, *elements):
    path.write_bytes(bytes(128) + b"DICM" + META + b"".join(elements))
    return path


def test_three_thousand_nested_sequences_are_refused(path):
    nested = (element(8, 0x1140, b"SQ", length=0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)) * 3000
    with pytest.raises(DicomFileError, match="sequences nest more than 16 deep"):
        read_clip(raw_file(path, nested))


def test_an_element_that_claims_four_gigabytes_takes_no_memory(path):
    raw_file(path, element(8, 8, b"UT", b"x", length=0xFFFFFFF0), bytes(4096))
    tracemalloc.start()
    with pytest.raises(DicomFileError, match="claims 4294967280 bytes, more than the file holds"):
        read_clip(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_a_meta_header_with_an_odd_type_is_refused(path):
    path.write_bytes(bytes(128) + b"DICM" + struct.pack("<HH2sI", 2, 0x10, b"\x00\x01", 0x7FFFFFFF) + bytes(64))
    with pytest.raises(DicomFileError, match="no valid type"):
        read_clip(path)


@pytest.mark.parametrize("content", [b"", b"short", bytes(400), b"MZ" + bytes(126) + b"NOPE" + bytes(100)])
def test_what_is_no_dicom_file(path, content):
    path.write_bytes(content)
    with pytest.raises(DicomFileError, match=r"empty|too short|not a DICOM file"):
        read_clip(path)


def test_a_missing_file(path):
    with pytest.raises(DicomFileError, match="no such file; give the path"):
        read_clip(path)


def test_icon_images_and_private_sequences_are_walked_over(path):
    icon = Dataset()
    icon.Rows = icon.Columns = 2
    icon.PixelData = bytes(4)
    icon["PixelData"].VR = "OB"
    private = Dataset()
    private.PatientComments = "nested"
    dataset = pydicom.dcmread(save(path))
    dataset.IconImageSequence = [icon]
    block = dataset.private_block(0x0029, "MAKER", create=True)
    block.add_new(1, "SQ", [private])
    dataset.save_as(path)
    np.testing.assert_array_equal(all_frames(path), PIXELS)


def insert_before_pixels(path, content):
    """Put raw elements before the pixel data of a saved explicit-VR clip."""
    data = path.read_bytes()
    at = data.index(b"\x28\x00\x02\x00US")
    path.write_bytes(data[:at] + content + data[at:])


SEQUENCE_END = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
ITEM_END = struct.pack("<HHI", 0xFFFE, 0xE00D, 0)


def test_a_compressed_icon_is_walked_over(path):
    # Its fragments hold coded pixels that look like nothing, or like elements.
    fragments = struct.pack("<HHI", 0xFFFE, 0xE000, 0) + struct.pack("<HHI", 0xFFFE, 0xE000, 12) + b"\xff" * 12
    icon = struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF) + fragments + SEQUENCE_END
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + icon + ITEM_END
    insert_before_pixels(save(path), element(0x27, 0x0200, b"SQ", item + SEQUENCE_END, length=0xFFFFFFFF))
    np.testing.assert_array_equal(all_frames(path), PIXELS)


def test_a_sequence_of_unknown_type_is_implicit_inside(path):
    inside = struct.pack("<HHI", 0x0010, 0x4000, 6) + b"nested"
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + inside + ITEM_END
    insert_before_pixels(save(path), element(0x21, 0x1001, b"UN", item + SEQUENCE_END, length=0xFFFFFFFF))
    np.testing.assert_array_equal(all_frames(path), PIXELS)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_file_cut_or_changed_anywhere_reads_or_is_refused(path, data):
    syntax = data.draw(st.sampled_from([ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless]))
    pixels = None
    if syntax == JPEGLSLossless:
        from jpeg_ls import CharLS

        pixels = encapsulate([bytes(CharLS.encode_buffer(f.tobytes(), 16, 20, 1, 16)) for f in PIXELS])
    content = bytearray(save(path, syntax=syntax, data=pixels).read_bytes())
    for _ in range(data.draw(st.integers(0, 6))):
        content[data.draw(st.integers(128, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    path.write_bytes(content[:cut])
    try:
        with read_clip(path) as clip:
            for index in range(min(clip.frame_count, 4)):
                assert clip.frame(index).shape == (clip.rows, clip.columns)
    except DicomFileError as error:
        assert "\n" not in str(error)  # noqa: PT017
