"""Bad input: one line on stderr that begins with "error:", exit code 2, nothing half-written."""

import gzip
import os
import socket

import nibabel
import numpy as np
import pytest


def assert_one_line(result, *words):
    code, out, err = result
    lines = [line for line in err.splitlines() if line.strip() and not line.startswith("no patient named")]
    assert code == 2, (code, out, err)
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    assert "Traceback" not in err
    for word in words:
        assert word in lines[0], (word, lines[0])


def nifti(path, array, spacing=4.0):
    affine = np.diag([spacing, spacing, spacing, 1.0])
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


def bad_files(folder):
    volume = np.zeros((20, 20, 20), dtype=np.int16)
    (folder / "empty.nii.gz").write_bytes(b"")
    (folder / "text.nii.gz").write_text("this is not a CT")
    whole = gzip.compress(nifti(folder / "whole.nii", np.zeros((40, 40, 40), np.int16)).read_bytes())
    (folder / "truncated.nii.gz").write_bytes(whole[: len(whole) // 2])
    holed = volume.astype(np.float32)
    holed[3, 4, 5] = np.nan
    nifti(folder / "nan.nii.gz", holed)
    nifti(folder / "flat.nii.gz", np.zeros((20, 20), np.int16))
    nifti(folder / "three.nii.gz", np.zeros((20, 20, 3), np.int16))
    image = nibabel.Nifti1Image(volume, np.diag([4.0, 4.0, 4.0, 1.0]))
    image.header["pixdim"][1] = 0.0
    raw = image.header.binaryblock + b"\0\0\0\0" + volume.tobytes()
    (folder / "zero.nii").write_bytes(raw)
    (folder / "noclue.xyz").write_text("?")
    (folder / "emptyfolder").mkdir()
    return folder


@pytest.mark.req("REQ-CLI-001")
@pytest.mark.parametrize(
    "name",
    [
        *("empty.nii.gz", "text.nii.gz", "truncated.nii.gz", "nan.nii.gz", "flat.nii.gz", "three.nii.gz", "zero.nii"),
        *("noclue.xyz", "emptyfolder", "missing.nii.gz"),
    ],
)
def test_a_patient_that_cannot_be_used(command, tmp_path, name):
    bad_files(tmp_path)
    before = sorted(os.listdir(tmp_path))
    assert_one_line(command("simulate", tmp_path / name, "--out", tmp_path / "out"), name)
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rows", "0"], "pixel"),
        (["--columns", "-3"], "pixel"),
        (["--pitch-mm", "0"], "pitch"),
        (["--source-to-isocenter-mm", "1200"], "source_to_isocenter_mm"),
    ],
)
def test_a_projection_that_cannot_be(command, small_ct, tmp_path, words, said):
    assert_one_line(command("project", small_ct, "--out", tmp_path / "p.npy", *words), said)
    assert not list(tmp_path.iterdir())


def test_a_scenario_that_is_not_there(command, small_ct, tmp_path):
    result = command("simulate", small_ct, "--out", tmp_path / "out", "--scenario", tmp_path / "none.yaml")
    assert_one_line(result, "none.yaml: no such file")
    assert "Errno" not in result[2]


def test_a_pose_out_of_reach(command, small_ct, tmp_path):
    result = command("simulate", small_ct, "--out", tmp_path / "out", "--primary-deg", "170", "--secondary-deg", "0",
                     "--carm", "angiography-room")  # fmt: skip
    assert_one_line(result, "rotation", "out of reach")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [["--position", "UPSIDE"], ["--carm", "toy"], ["--matrix", "777"], ["--seconds", "0"], ["--pulse-rate-hz", "7"],
     ["--seed", "-1"]],
)  # fmt: skip
def test_words_that_mean_nothing(command, small_ct, tmp_path, words):
    assert_one_line(command("simulate", small_ct, "--out", tmp_path / "out", *words), words[0])


def test_an_output_that_cannot_be_written(command, small_ct, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert_one_line(command("simulate", small_ct, "--out", tmp_path / "file"), "file")
    assert_one_line(command("simulate", small_ct, "--out", tmp_path / "no" / "such"), "no such folder")
    assert_one_line(command("project", small_ct, "--out", tmp_path / "no" / "p.npy"), "no such folder")
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_port_in_use(command, small_ct):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert_one_line(command("run", small_ct, "--no-open", "--port", str(port)), str(port))


def test_an_open_door_is_refused(command, small_ct):
    assert_one_line(command("run", small_ct, "--no-open", "--host", "0.0.0.0", "--port", "0"), "TLS")


def test_a_clip_that_is_none(command, tmp_path):
    (tmp_path / "clip.dcm").write_bytes(b"nothing of the kind")
    assert_one_line(command("replay", tmp_path / "clip.dcm", "--no-open"), "clip.dcm")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seconds: [", "YAML"),
        ("seconds: 2\nsteps:\n  - {at_s: 0, wobble: 3}", "wobble"),
        ("seconds: 2\nsteps:\n  - {at_s: 1}\n  - {at_s: 0}", "order"),
        ("seconds: 2\nsteps:\n  - {at_s: 0, pedal: false}", "pedal"),
        ("seconds: 2\nsteps:\n  - {at_s: 0, primary_deg: 0}\n  - {at_s: 1, primary_deg: 179}", "out of reach"),
    ],
)
def test_a_scenario_that_cannot_be(command, small_ct, tmp_path, text, said):
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(text)
    command_line = [
        "simulate",
        small_ct,
        "--out",
        tmp_path / "out",
        "--scenario",
        scenario,
        "--carm",
        "angiography-room",
    ]
    assert_one_line(command(*command_line), said)
    assert not (tmp_path / "out").exists()


def test_unknown_exam(command):
    assert_one_line(command("exams", "show", "nothing-like-it"), "nothing-like-it")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["project", "x.nii", "--out", "p.npy", "--rows", "abc"], "rows"),
        (["nonsense"], "nonsense"),
        (["simulate"], "out"),
        (["run", "--port", "99999"], "port"),
    ],
)
def test_a_line_that_cannot_be_understood(command, words, said):
    assert_one_line(command(*words), said)


def test_silly_sizes_are_refused(command, small_ct, tmp_path):
    result = command("project", small_ct, "--out", tmp_path / "p.npy", "--rows", "1000000", "--columns", "1000000")
    assert_one_line(result, "pixels")
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text("seconds: 2\nsteps:\n  - {at_s: 0, secondary_deg: 300}\n")
    assert_one_line(command("simulate", small_ct, "--out", tmp_path / "out", "--scenario", scenario), "secondary_deg")
