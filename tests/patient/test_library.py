"""Opening patients by name and by file, from the cache and without it."""

import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace

import nibabel
import numpy as np
import pytest

from fluoroscope.geometry.table import PatientPosition
from fluoroscope.patient import fetch as fetching
from fluoroscope.patient.anatomy.parameters import PatientParameters
from fluoroscope.patient.fetch import FetchError, Member, Package
from fluoroscope.patient.library import ImportedCT, fetch, is_fetched, model_patient, open_patient, patients
from fluoroscope.patient.named import keep_made
from fluoroscope.patient.stored import PatientFileError
from fluoroscope.patient.tissues import packaged_tissues


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FLUOROSCOPE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def ct_file(path, shape=(40, 36, 30)):
    hu = np.full(shape, -1000, np.int16)
    hu[6:34, 6:30, :] = 40
    hu[18:22, 20:26, :] = 400
    nibabel.Nifti1Image(hu, np.diag([-4.0, -4.0, 4.0, 1.0])).to_filename(path)
    return path


def test_a_file_opens_and_then_comes_from_the_cache(tmp_path):
    path = ct_file(tmp_path / "ct.nii.gz")
    texts = []
    first = open_patient(path)
    again = open_patient(path, progress=lambda fraction, text: texts.append(text))
    assert texts == ["ct.nii.gz from the cache"]
    np.testing.assert_array_equal(first.basis.water, again.basis.water)
    np.testing.assert_array_equal(first.volume.values, again.volume.values)
    np.testing.assert_allclose(first.reference_mm, again.reference_mm)
    assert first.record.position is PatientPosition.HFP
    assert not again.basis.water.flags.writeable


def test_a_changed_file_table_or_option_is_not_taken_from_the_cache(tmp_path):
    path = ct_file(tmp_path / "ct.nii.gz")
    first = open_patient(path)
    table = packaged_tissues()
    doubled = replace(
        table,
        curves=(
            replace(
                table.curves[0],
                nodes=tuple(replace(n, basis=(n.basis[0] / 2, n.basis[1])) for n in table.curves[0].nodes),
            ),
        ),
    )
    assert open_patient(path, table=doubled).basis.water.sum() < first.basis.water.sum()
    ct_file(path, (44, 36, 30))
    assert open_patient(path).volume.values.shape == (30, 36, 44)


def test_a_damaged_cache_entry_is_made_again(tmp_path, home):
    path = ct_file(tmp_path / "ct.nii.gz")
    first = open_patient(path)
    for file in home.rglob("water.npy"):
        file.write_bytes(b"broken")
    np.testing.assert_array_equal(open_patient(path).basis.water, first.basis.water)


def test_labels_come_along_and_through_the_cache(tmp_path):
    path = ct_file(tmp_path / "ct.nii.gz")
    marks = np.zeros((40, 36, 30), np.uint8)
    marks[18:22, 20:26, 10:14] = 29
    nibabel.Nifti1Image(marks, np.diag([-4.0, -4.0, 4.0, 1.0])).to_filename(tmp_path / "l.nii.gz")
    for _ in range(2):
        patient = open_patient(path, labels=tmp_path / "l.nii.gz", names="totalsegmentator")
        assert dict(patient.labels.names) == {29: "vertebrae_L3"}
        np.testing.assert_allclose(patient.reference_mm, [19.5 * 4, 22.5 * 4, 11.5 * 4])


def test_without_labels_the_spine_is_found(tmp_path):
    patient = open_patient(ct_file(tmp_path / "ct.nii.gz"))
    np.testing.assert_allclose(patient.reference_mm, [19.5 * 4, 22.5 * 4, 14.5 * 4], atol=25.0)


def test_a_folder_goes_to_the_reader_that_was_given(tmp_path):
    folder = tmp_path / "series"
    folder.mkdir()
    (folder / "a").write_bytes(b"1")
    volume = open_patient(ct_file(tmp_path / "ct.nii.gz"), keep_table=True).volume

    asked = []

    def read(path, *, progress=None):
        assert path == folder
        asked.append(path)
        return ImportedCT(volume, "Doe", "77")

    assert open_patient(folder, read_folder=read).patient_id == "77"
    assert open_patient(folder, read_folder=read).patient_id == "77"
    open_patient(folder, read_folder=read, series="1.2.3")
    assert len(asked) == 2
    (folder / "b").write_bytes(b"1")
    with pytest.raises(PatientFileError, match="needs the DICOM reader"):
        open_patient(folder)


def test_what_is_not_there_is_said_in_one_line(tmp_path, monkeypatch):
    for name, pattern in (
        ("nobody", "choose one of anna, .*lumbar, thoracolumbar"),
        ("lumbar", "fluoroscope patients fetch lumbar"),
        (tmp_path / "x.nii", "no such file"),
    ):
        with pytest.raises(PatientFileError, match=pattern) as caught:
            open_patient(name)
        assert "\n" not in str(caught.value)
    with pytest.raises(PatientFileError, match="no such label file"):
        open_patient("anna", labels=tmp_path / "no.nii")
    with pytest.raises(PatientFileError, match="choose one of lumbar, thoracolumbar"):
        fetch("nobody")
    assert fetch("anna") is None


def test_the_teaching_patients_are_there_with_one_line_each():
    modelled = [record for record in patients() if record.parameters is not None]
    assert len(modelled) >= 10
    assert modelled[0].name == "anna"
    assert all(is_fetched(record) and "\n" not in record.description for record in modelled)
    kinds = {one.kind for record in modelled for one in record.parameters.pathologies}
    assert {"fracture", "listhesis", "stenosis", "vacuum", "lytic", "blastic", "fusion", "osteoporosis"} <= kinds
    assert {record.parameters.lumbar_vertebrae for record in modelled} == {4, 5, 6}
    assert any(record.parameters.pregnancy_weeks for record in modelled)
    assert min(record.parameters.age_years for record in modelled) < 12


@pytest.mark.req("REQ-PAT-030")
def test_a_modelled_patient_is_built_once_and_comes_back_the_same(home):
    parameters = PatientParameters(seed=5)
    texts = []
    first = model_patient(parameters, pitch_mm=3.0)
    again = model_patient(parameters, pitch_mm=3.0, progress=lambda fraction, text: texts.append(text))
    assert texts == [f"{first.record.name} from the cache"]
    np.testing.assert_array_equal(first.volume.values, again.volume.values)
    np.testing.assert_array_equal(first.labels.values, again.labels.values)
    assert dict(first.labels.names) == dict(again.labels.names)
    assert dict(first.articulation.landmarks) == dict(again.articulation.landmarks)
    assert dict(first.facts) == dict(again.facts)
    for one, two in zip(first.articulation.parts, again.articulation.parts, strict=True):
        assert (one.name, one.frame) == (two.name, two.frame)
        np.testing.assert_array_equal(one.volume.water, two.volume.water)
        np.testing.assert_array_equal(one.volume.bone, two.volume.bone)
        np.testing.assert_array_equal(one.volume.world_from_index, two.volume.world_from_index)
    for one, two in zip(first.articulation.joints, again.articulation.joints, strict=True):
        assert one.name == two.name
        np.testing.assert_array_equal(one.world_from_disc, two.world_from_disc)
    made = keep_made(parameters)
    assert made.name in [record.name for record in patients()]
    (home / "made" / "broken.json").write_text("{")
    assert "broken" not in [record.name for record in patients()]


def test_an_unwritable_cache_is_told_and_the_patient_still_opens(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FLUOROSCOPE_HOME", str(tmp_path / "file"))
    texts = []
    patient = open_patient(ct_file(tmp_path / "ct.nii.gz"), progress=lambda fraction, text: texts.append(text))
    assert patient.basis.water.any()
    assert "could not be kept in the cache" in texts[-1]


# ---- fetching ------------------------------------------------------------------------------------


def sdist(path, setup="raise SystemExit('the archive was run')"):
    files = {
        "setup.py": setup,
        "PKG-INFO": "Metadata-Version: 2.1\nName: ctpkg\nVersion: 1.0\n",
        "tests/ct.nii.gz": "CT",
    }
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            data = text.encode()
            info = tarfile.TarInfo(f"ctpkg-1.0/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def package(archive, sha256, member="ctpkg-1.0/tests/ct.nii.gz", content=b"CT"):
    return Package("ctpkg", "1.0", archive, sha256, (Member(member, hashlib.sha256(content).hexdigest(), "ct/none"),))


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder pip finds packages in, and no network."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.delenv("FLUOROSCOPE_TEST_DATA", raising=False)
    return folder


def test_a_source_archive_is_unpacked_without_running_it(shelf, home):
    sha256 = sdist(shelf / "ctpkg-1.0.tar.gz")
    folder = fetching.fetch("someone", package("ctpkg-1.0.tar.gz", sha256))
    assert [path.name for path in folder.iterdir()] == ["ct.nii.gz"]
    (shelf / "ctpkg-1.0.tar.gz").unlink()
    assert fetching.fetch("someone", package("ctpkg-1.0.tar.gz", sha256)) == folder
    assert [path.name for path in (home / "patients").iterdir()] == ["someone"]


def test_a_wheel_is_unpacked(shelf):
    path = shelf / "ctpkg-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("ctpkg/ct.nii.gz", "CT")
        wheel.writestr("../outside.txt", "no")
        wheel.writestr("ctpkg-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: ctpkg\nVersion: 1.0\n")
        wheel.writestr("ctpkg-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("ctpkg-1.0.dist-info/RECORD", "")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    folder = fetching.fetch("someone", package(path.name, sha256, "ctpkg/ct.nii.gz"))
    assert [file.name for file in folder.iterdir()] == ["ct.nii.gz"]


@pytest.mark.parametrize("fault", ["offline", "other archive", "other member", "no member"])
def test_faults_leave_nothing_behind(shelf, home, fault):
    wanted = package("ctpkg-1.0.tar.gz", "0" * 64)
    if fault != "offline":
        sha256 = sdist(shelf / "ctpkg-1.0.tar.gz")
        if fault == "other member":
            wanted = package("ctpkg-1.0.tar.gz", sha256, content=b"something else")
        elif fault == "no member":
            wanted = package("ctpkg-1.0.tar.gz", sha256, "ctpkg-1.0/none.nii.gz")
    with pytest.raises(FetchError) as caught:
        fetching.fetch("someone", wanted)
    assert "\n" not in str(caught.value)
    assert list((home / "patients").iterdir()) == []


def test_the_metadata_backend_answers_without_setuptools(tmp_path):
    (tmp_path / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: a\nVersion: 2\n")
    out = tmp_path / "out"
    out.mkdir()
    code = (
        "from fluoroscope.patient.data import metadata_only_backend as b;"
        f"print(b.prepare_metadata_for_build_wheel({str(out)!r}), b.get_requires_for_build_wheel())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "a-2.dist-info []"


@pytest.mark.data
@pytest.mark.parametrize("name", ["lumbar", "thoracolumbar"])
def test_the_real_patients_open(data_folder, name):
    record = next(r for r in patients() if r.name == name)
    assert not is_fetched(record)
    fetch(name)
    assert is_fetched(record)
    patient = open_patient(name)
    assert patient.labels.number("vertebrae_L1") == 31
    index = np.linalg.solve(patient.volume.world_from_index, [*patient.reference_mm, 1.0])[:3]
    level = patient.labels.values[tuple(np.rint(index).astype(int))]
    assert patient.labels.names.get(int(level), "").startswith("vertebrae") or level in (0, 79)
    assert patient.basis.water.max() <= 32767
    assert int(patient.basis.bone.min()) == 0
    aorta = patient.labels.values == patient.labels.number("aorta")
    assert float(np.median(patient.basis.bone[aorta])) < 400
