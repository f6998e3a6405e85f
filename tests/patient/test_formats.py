"""Every orientation of every format puts a voxel at the same place in the world."""

import contextlib
import gzip
import itertools
import json
import subprocess
import sys
import zlib

import nibabel
import nrrd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluoroscope.patient.formats import read_label_values, read_values, read_volume
from fluoroscope.patient.stored import PatientFileError, order_axes

SHAPE = (11, 12, 13)
ORIENTATIONS = [
    (permutation, signs)
    for permutation in itertools.permutations(range(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
]


def lps_affine(permutation, signs, spacing=(0.7, 1.1, 2.5), origin=(-31.0, 17.0, 211.5)):
    """Index axis n runs along world axis permutation[n], with a sign."""
    affine = np.eye(4)
    affine[:3, :3] = 0.0
    for axis, (world, sign, pitch) in enumerate(zip(permutation, signs, spacing, strict=True)):
        affine[world, axis] = sign * pitch
    affine[:3, 3] = origin
    return affine


def values():
    hu = np.full(SHAPE, -1000, np.int16)
    hu[3, 8, 2] = 1500
    return hu


def write_nifti(path, hu, lps):
    nibabel.Nifti1Image(hu, np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps).to_filename(path)


def write_nrrd(path, hu, lps, space="left-posterior-superior", detached=False, encoding="gzip"):
    flip = {
        "left-posterior-superior": (1, 1, 1),
        "right-anterior-superior": (-1, -1, 1),
        "left-anterior-superior": (1, -1, 1),
    }[space]
    world = np.diag(flip) @ lps[:3]
    header = {
        "space": space,
        "space directions": world[:, :3].T,
        "space origin": world[:, 3],
        "encoding": encoding,
    }
    nrrd.write(str(path), hu, header, detached_header=detached)


def write_mha(path, hu, lps, *, compressed=False, data_file="LOCAL", big=False):
    axes = lps[:3, :3]
    spacing = np.linalg.norm(axes, axis=0)
    order = {"i2": "MET_SHORT", "f4": "MET_FLOAT", "u1": "MET_UCHAR"}[hu.dtype.str[1:]]
    raw = hu.astype(hu.dtype.newbyteorder(">") if big else hu.dtype).tobytes(order="F")
    body = zlib.compress(raw) if compressed else raw
    numbers = lambda seq: " ".join(repr(float(v)) for v in seq)  # noqa: E731
    lines = [
        "ObjectType = Image",
        "NDims = 3",
        "BinaryData = True",
        f"BinaryDataByteOrderMSB = {big}",
        f"CompressedData = {compressed}",
        f"TransformMatrix = {numbers((axes / spacing).T.ravel())}",
        f"Offset = {numbers(lps[:3, 3])}",
        f"ElementSpacing = {numbers(spacing)}",
        "DimSize = " + " ".join(str(n) for n in hu.shape),
        f"ElementType = {order}",
        f"ElementDataFile = {data_file}",
    ]
    head = ("\n".join(lines) + "\n").encode()
    if data_file == "LOCAL":
        path.write_bytes(head + body)
    else:
        path.write_bytes(head)
        (path.parent / data_file).write_bytes(body)


WRITERS = {
    ".nii": write_nifti,
    ".nii.gz": write_nifti,
    ".nrrd": write_nrrd,
    ".mha": write_mha,
}


@pytest.mark.req("REQ-PAT-001")
@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize(("permutation", "signs"), ORIENTATIONS)
def test_a_bright_voxel_keeps_its_place_in_all_48_orientations(tmp_path, suffix, permutation, signs):
    lps = lps_affine(permutation, signs)
    path = tmp_path / f"ct{suffix}"
    WRITERS[suffix](path, values(), lps)
    volume = read_volume(path)
    (index,) = np.argwhere(volume.values == 1500)
    expected = lps @ [3, 8, 2, 1]
    np.testing.assert_allclose(volume.world_from_index @ [*index, 1], expected, atol=1e-4)
    axes = volume.world_from_index[:3, :3]
    assert axes[2, 0] > 0
    assert axes[1, 1] > 0
    assert axes[0, 2] > 0
    assert volume.values.flags.c_contiguous
    assert volume.values.dtype == np.int16
    assert not volume.values.flags.writeable


@given(
    angles=st.tuples(*[st.floats(-180.0, 180.0)] * 3),
    origin=st.tuples(*[st.floats(-900.0, 900.0)] * 3),
)
def test_oblique_grids_keep_every_corner(angles, origin):
    from fluoroscope.geometry.rigid import rotation

    turn = rotation((1, 0, 0), angles[0]) @ rotation((0, 1, 0), angles[1]) @ rotation((0, 0, 1), angles[2])
    affine = turn @ lps_affine((0, 1, 2), (1, 1, 1), origin=origin)
    order = order_axes(affine, SHAPE)
    stored = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    turned = np.empty(order.shape(SHAPE), stored.dtype)
    order.as_stored(turned)[...] = stored
    for corner in itertools.product(*[(0, n - 1) for n in SHAPE]):
        (index,) = np.argwhere(turned == stored[corner])
        np.testing.assert_allclose(order.world_from_index @ [*index, 1], affine @ [*corner, 1], atol=1e-8)


@pytest.mark.parametrize("space", ["right-anterior-superior", "left-anterior-superior"])
@pytest.mark.parametrize(("detached", "encoding"), [(False, "raw"), (True, "raw"), (True, "gzip"), (False, "bzip2")])
def test_nrrd_spaces_and_encodings(tmp_path, space, detached, encoding):
    lps = lps_affine((0, 1, 2), (1, 1, 1))
    path = tmp_path / ("ct.nhdr" if detached else "ct.nrrd")
    write_nrrd(path, values(), lps, space, detached, encoding)
    volume = read_volume(path)
    (index,) = np.argwhere(volume.values == 1500)
    np.testing.assert_allclose(volume.world_from_index @ [*index, 1], lps @ [3, 8, 2, 1], atol=1e-6)


@pytest.mark.parametrize(
    ("compressed", "data_file", "big"), list(itertools.product((0, 1), ("LOCAL", "ct.raw"), (0, 1)))
)
def test_metaimage_inside_and_beside(tmp_path, compressed, data_file, big):
    lps = lps_affine((1, 0, 2), (1, -1, 1))
    path = tmp_path / ("ct.mha" if data_file == "LOCAL" else "ct.mhd")
    write_mha(path, values(), lps, compressed=bool(compressed), data_file=data_file, big=bool(big))
    volume = read_volume(path)
    (index,) = np.argwhere(volume.values == 1500)
    np.testing.assert_allclose(volume.world_from_index @ [*index, 1], lps @ [3, 8, 2, 1], atol=1e-6)


ITK_ORIENTATIONS = ORIENTATIONS[5:48:14]
ITK_SUFFIXES = [".mha", ".nrrd", ".nii.gz"]
ITK_WRITER = """
import json, sys
import itk
import numpy as np
folder, affines = sys.argv[1], json.loads(sys.argv[2])
hu = np.full((11, 12, 13), -1000, np.int16)
hu[3, 8, 2] = 1500
places = []
for number, affine in enumerate(np.array(affines)):
    image = itk.image_from_array(np.ascontiguousarray(hu.T))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing([float(v) for v in spacing])
    image.SetOrigin([float(v) for v in affine[:3, 3]])
    image.SetDirection(itk.matrix_from_array(affine[:3, :3] / spacing))
    for suffix in (".mha", ".nrrd", ".nii.gz"):
        itk.imwrite(image, f"{folder}/{number}{suffix}", compression=True)
    places.append(list(image.TransformIndexToPhysicalPoint([3, 8, 2])))
print(json.dumps(places), flush=True)
"""


@pytest.fixture(scope="module")
def written_by_itk(tmp_path_factory):
    """Folder of files ITK wrote in a process of its own, and where it says voxel (3, 8, 2) lies in each."""
    folder = tmp_path_factory.mktemp("itk")
    affines = [lps_affine(*orientation).tolist() for orientation in ITK_ORIENTATIONS]
    command = [sys.executable, "-c", ITK_WRITER, str(folder), json.dumps(affines)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return folder, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.peer("itk-rtk")
@pytest.mark.parametrize("suffix", ITK_SUFFIXES)
@pytest.mark.parametrize("number", range(len(ITK_ORIENTATIONS)))
def test_files_that_itk_wrote_lie_where_itk_says(written_by_itk, suffix, number):
    folder, places = written_by_itk
    volume = read_volume(folder / f"{number}{suffix}")
    (index,) = np.argwhere(volume.values == 1500)
    np.testing.assert_allclose((volume.world_from_index @ [*index, 1])[:3], places[number], atol=1e-3)


def test_floating_point_is_rounded_and_clipped(tmp_path):
    hu = np.zeros(SHAPE, np.float32)
    hu[0, 0, 0], hu[1, 0, 0], hu[2, 0, 0], hu[3, 0, 0] = 0.6, -0.6, 1e6, -1e6
    write_mha(tmp_path / "f.mha", hu, lps_affine((2, 1, 0), (1, 1, 1)))
    volume = read_volume(tmp_path / "f.mha")
    assert volume.values[:4, 0, 0].tolist() == [1, -1, 32767, -32768]


def test_raw_values_are_not_rounded(tmp_path):
    hu = np.full(SHAPE, 0.0206, np.float32)
    write_mha(tmp_path / "mu.mha", hu, lps_affine((2, 1, 0), (1, 1, 1)))
    volume = read_values(tmp_path / "mu.mha")
    assert volume.values.dtype == np.float32
    assert float(volume.values[0, 0, 0]) == pytest.approx(0.0206)


def test_nifti_scale_factors_are_applied(tmp_path):
    image = nibabel.Nifti1Image(np.full(SHAPE, 1024, np.int16), np.eye(4))
    image.header.set_slope_inter(2.0, -1000.0)
    image.to_filename(tmp_path / "s.nii.gz")
    stored = nibabel.load(tmp_path / "s.nii.gz")
    expected = np.rint(stored.get_fdata()).astype(np.int16)
    assert (read_volume(tmp_path / "s.nii.gz").values == expected.flat[0]).all()


def test_labels_must_be_whole_numbers(tmp_path):
    write_mha(tmp_path / "l.mha", np.full(SHAPE, 0.5, np.float32), lps_affine((2, 1, 0), (1, 1, 1)))
    with pytest.raises(PatientFileError, match="whole numbers"):
        read_label_values(tmp_path / "l.mha")


def test_progress_only_rises_and_ends_at_one(tmp_path):
    seen = []
    write_nifti(tmp_path / "ct.nii.gz", values(), lps_affine((0, 1, 2), (1, 1, 1)))
    read_volume(tmp_path / "ct.nii.gz", progress=lambda fraction, text: seen.append(fraction))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


# ---- what cannot be read -------------------------------------------------------------------------


def refuse(path, pattern):
    with pytest.raises(PatientFileError, match=pattern) as caught:
        read_volume(path)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message


PLAIN = lps_affine((0, 1, 2), (1, 1, 1))


@pytest.mark.req("REQ-PAT-001")
def test_missing_empty_unknown(tmp_path):
    refuse(tmp_path / "no.nii", "no such file")
    refuse(tmp_path / "no.stl", "no such file")
    (tmp_path / "e.nii.gz").write_bytes(b"")
    refuse(tmp_path / "e.nii.gz", "empty")
    (tmp_path / "x.stl").write_bytes(b"solid")
    refuse(tmp_path / "x.stl", "unknown kind")
    (tmp_path / "d.nii").mkdir()
    refuse(tmp_path / "d.nii", "folder")


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha", ".mhd", ".nhdr"])
def test_text_under_the_name_of_a_volume(tmp_path, suffix):
    path = tmp_path / f"text{suffix}"
    path.write_text("this is a letter, not a volume\n" * 40, encoding="utf-8")
    refuse(path, "not ")


def test_text_packed_as_gzip(tmp_path):
    path = tmp_path / "t.nii.gz"
    path.write_bytes(gzip.compress(b"a letter " * 200))
    refuse(path, "not ")


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.97])
def test_truncated(tmp_path, suffix, share):
    random = np.random.default_rng(1)
    hu = random.integers(-1000, 1000, (20, 21, 22), dtype=np.int16)
    path = tmp_path / f"cut{suffix}"
    WRITERS[suffix](path, hu, PLAIN)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    refuse(path, "truncated|not a readable|damaged")


def test_nan_says_how_many_and_where(tmp_path):
    hu = np.zeros(SHAPE, np.float32)
    hu[3, 8, 2] = np.nan
    hu[4, 8, 2] = np.inf
    write_nifti(tmp_path / "nan.nii.gz", hu, PLAIN)
    refuse(tmp_path / "nan.nii.gz", r"2 voxels are NaN or infinite, the first at index \(3, 8, 2\)")


def test_pictures_and_series_of_volumes(tmp_path):
    write_nifti(tmp_path / "2d.nii", np.zeros((30, 30), np.int16), np.eye(4))
    refuse(tmp_path / "2d.nii", "2-D")
    write_nifti(tmp_path / "flat.nii", np.zeros((30, 30, 1), np.int16), np.eye(4))
    refuse(tmp_path / "flat.nii", "2-D")
    write_nifti(tmp_path / "4d.nii", np.zeros((12, 12, 12, 3), np.int16), np.eye(4))
    refuse(tmp_path / "4d.nii", "4 axes")
    write_nifti(tmp_path / "thin.nii", np.zeros((30, 30, 3), np.int16), np.eye(4))
    refuse(tmp_path / "thin.nii", "at least 10 slices")
    colour = np.zeros((12, 12, 12), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.Nifti1Image(colour, np.eye(4)).to_filename(tmp_path / "rgb.nii")
    refuse(tmp_path / "rgb.nii", "not real numbers")


@pytest.mark.parametrize("pitch", [0.0, -1.0, float("nan"), 1e-4, 500.0])
def test_impossible_spacing(tmp_path, pitch):
    write_nifti(tmp_path / "s.nii", values(), PLAIN)
    raw = bytearray((tmp_path / "s.nii").read_bytes())
    raw[76 + 8 : 76 + 12] = np.float32(pitch).tobytes()  # pixdim[2]
    srow = np.frombuffer(raw[280:328], np.float32).reshape(3, 4).copy()
    srow[:, 1] *= abs(pitch) / 1.1
    raw[280:328] = srow.tobytes()
    (tmp_path / "s.nii").write_bytes(raw)
    refuse(tmp_path / "s.nii", "spacing|finite")
    path = tmp_path / "s.mha"
    write_mha(path, values(), PLAIN)
    written = path.read_bytes()
    changed = written.replace(b"ElementSpacing = 0.7", b"ElementSpacing = " + str(pitch).encode())
    assert changed != written
    path.write_bytes(changed)
    refuse(path, "spacing|finite")


def test_sheared_axes_name_the_angle(tmp_path):
    sheared = PLAIN.copy()
    sheared[1, 2] = 2.5 * np.tan(np.deg2rad(12.0))
    write_nifti(tmp_path / "tilt.nii.gz", values(), sheared)
    refuse(tmp_path / "tilt.nii.gz", r"12\.0° off a right angle \(gantry tilt")


def test_absurd_sizes_are_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "huge.mha"
    write_mha(path, values(), PLAIN)
    small = path.read_bytes()
    path.write_bytes(small.replace(b"DimSize = 11 12 13", b"DimSize = 99999 99999 99999"))
    refuse(path, "above the limit")
    path.write_bytes(small.replace(b"DimSize = 11 12 13", b"DimSize = 800 800 800"))
    refuse(path, "truncated")
    bomb = tmp_path / "bomb.mha"
    write_mha(bomb, values(), PLAIN, compressed=True)
    bomb.write_bytes(bomb.read_bytes().replace(b"DimSize = 11 12 13", b"DimSize = 800 800 800"))
    refuse(bomb, "truncated")


def test_no_orientation_is_refused(tmp_path):
    image = nibabel.Nifti1Image(values(), None)
    image.header["sform_code"] = image.header["qform_code"] = 0
    image.to_filename(tmp_path / "n.nii")
    refuse(tmp_path / "n.nii", "left and right are unknown")
    nrrd.write(str(tmp_path / "n.nrrd"), values())
    refuse(tmp_path / "n.nrrd", "left and right are unknown")


def test_data_files_elsewhere_are_not_followed(tmp_path):
    write_mha(tmp_path / "a.mhd", values(), PLAIN, data_file="a.raw")
    text = (tmp_path / "a.mhd").read_text()
    (tmp_path / "a.mhd").write_text(text.replace("= a.raw", "= ../secret.raw"))
    refuse(tmp_path / "a.mhd", "beside the header")
    (tmp_path / "a.mhd").write_text(text.replace("= a.raw", "= gone.raw"))
    with pytest.raises(PatientFileError, match="missing"):
        read_volume(tmp_path / "a.mhd")


@pytest.mark.parametrize("suffix", [*WRITERS, ".nhdr"])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_damaged_files_raise_nothing_else(tmp_path_factory, suffix, data):
    folder = tmp_path_factory.mktemp("fuzz")
    path = folder / f"f{suffix}"
    if suffix == ".nhdr":
        write_nrrd(path, values(), PLAIN, detached=True)
    else:
        WRITERS[suffix](path, values(), PLAIN)
    raw = bytearray(path.read_bytes())
    header = min(len(raw), 400)
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, header - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    path.write_bytes(raw[:cut] if data.draw(st.booleans()) else raw)
    with contextlib.suppress(PatientFileError):
        assert read_volume(path).values.dtype == np.int16


def test_a_slope_that_overflows_is_refused_by_its_voxels(tmp_path):
    # Found by the fuzzing above.
    write_nifti(tmp_path / "steep.nii", values(), PLAIN)
    raw = bytearray((tmp_path / "steep.nii").read_bytes())
    raw[112:116] = np.float32(3.3e38).tobytes()  # scl_slope
    (tmp_path / "steep.nii").write_bytes(bytes(raw))
    refuse(tmp_path / "steep.nii", "NaN or infinite")


def test_a_far_offset_in_a_packed_nifti_is_not_unpacked(tmp_path):
    write_nifti(tmp_path / "far.nii", values(), PLAIN)
    raw = bytearray((tmp_path / "far.nii").read_bytes())
    raw[108:112] = np.float32(2e9).tobytes()  # vox_offset
    (tmp_path / "far.nii.gz").write_bytes(gzip.compress(bytes(raw)))
    refuse(tmp_path / "far.nii.gz", "begin at byte")
