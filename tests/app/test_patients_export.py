"""``patients export``, folders that open as patients, and moving patients in ``simulate``, on a small labelled CT."""

import json
import os
import subprocess
import sys

import nibabel
import numpy as np
import pydicom
import pytest

from fluoroscope.dicom.ct_series import read_ct_series
from fluoroscope.dicom.segmentation import read_segmentation
from fluoroscope.patient.library import open_patient

LEVELS = {"vertebrae_L2": 30, "vertebrae_L3": 29, "vertebrae_L4": 28}


@pytest.fixture(scope="module")
def small_spine(tmp_path_factory):
    """A trunk of water with three vertebrae (body and arch) and a liver, 3 mm voxels; CT and labels."""
    folder = tmp_path_factory.mktemp("spine")
    z, y, x = np.meshgrid(np.arange(56), np.arange(60), np.arange(70), indexing="ij")
    hu = np.full(z.shape, -1000, np.int16)
    hu[((y - 29.5) / 26) ** 2 + ((x - 34.5) / 32) ** 2 < 1.0] = 40
    labels = np.zeros(z.shape, np.uint8)
    for number, middle in zip(LEVELS.values(), (41, 28, 15), strict=True):
        body = (abs(z - middle) <= 4) & ((y - 34) ** 2 + (x - 34.5) ** 2 < 7.5**2)
        arch = (abs(z - middle) <= 2) & (y > 34) & (y < 50) & (abs(x - 34.5) < 2)
        pedicles = (abs(z - middle) <= 2) & (y > 34) & (y < 48) & (abs(abs(x - 34.5) - 5) < 2)
        bone = body | arch | pedicles
        hu[bone] = 350
        labels[bone] = number
    labels[(z > 36) & (z < 50) & ((y - 20) ** 2 + (x - 18) ** 2 < 8**2)] = 5
    affine = np.diag([-3.0, -3.0, 3.0, 1.0])
    affine[:3, 3] = [103.5, 88.5, -84.0]
    nibabel.save(nibabel.Nifti1Image(hu.transpose(2, 1, 0), affine), folder / "ct.nii.gz")
    nibabel.save(nibabel.Nifti1Image(labels.transpose(2, 1, 0), affine), folder / "labels.nii.gz")
    names = {str(number): name for name, number in LEVELS.items()} | {"5": "liver"}
    (folder / "names.json").write_text(json.dumps(names))
    return folder


def words(folder):
    return [folder / "ct.nii.gz", "--labels", folder / "labels.nii.gz", "--names", folder / "names.json"]


@pytest.fixture
def exported(command, small_spine, tmp_path):
    kinds = "nifti,json,parts,dicom,seg,stl"
    code, out, err = command(
        "patients", "export", *words(small_spine), "--out", tmp_path / "out", "--what", kinds, "--json"
    )
    assert code == 0, err
    assert json.loads(out)["statement"] == "a real CT"
    return tmp_path / "out"


@pytest.mark.req("REQ-PAT-040")
def test_what_is_exported_reads_back_to_the_same_numbers(exported, small_spine):
    original = open_patient(
        small_spine / "ct.nii.gz", labels=small_spine / "labels.nii.gz", names=small_spine / "names.json"
    )
    again = open_patient(exported)
    np.testing.assert_array_equal(again.volume.values, original.volume.values)
    np.testing.assert_array_equal(again.labels.values, original.labels.values)
    assert dict(again.labels.names) == dict(original.labels.names)
    np.testing.assert_allclose(again.volume.world_from_index, original.volume.world_from_index)
    assert [part.name for part in again.articulation.parts] == [part.name for part in original.articulation.parts]
    for one, two in zip(again.articulation.parts, original.articulation.parts, strict=True):
        np.testing.assert_array_equal(one.volume.water, two.volume.water)
    assert again.articulation.landmarks == original.articulation.landmarks
    series = read_ct_series(exported / "dicom" / "ct")
    np.testing.assert_array_equal(series.volume.values, original.volume.values)
    np.testing.assert_allclose(series.volume.world_from_index, original.volume.world_from_index, atol=1e-6)
    marks = read_segmentation(exported / "dicom" / "seg.dcm", original.volume)
    for number, name in original.labels.names.items():
        np.testing.assert_array_equal(marks.values == marks.number(name), original.labels.values == number)
    assert "SIMULATED" not in pydicom.dcmread(exported / "dicom" / "ct" / "0001.dcm").SeriesDescription


def test_surfaces_are_closed_and_where_the_bones_are(exported, small_spine):
    for name, middle_z in zip(LEVELS, (41, 28, 15), strict=True):
        data = (exported / "surfaces" / f"{name}.stl").read_bytes()
        count = int(np.frombuffer(data[80:84], "<u4")[0])
        assert len(data) == 84 + 50 * count
        kind = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
        corners = np.frombuffer(data[84:], kind)["corners"].astype(float)
        a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
        volume = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6.0
        voxels = (open_label(small_spine) == LEVELS[name]).sum() * 27.0
        assert volume == pytest.approx(voxels, rel=0.12)
        # Every edge is walked once each way: closed, and facing outward since the volume is positive.
        assert np.cross(b - a, c - a).sum(axis=0) == pytest.approx([0.0, 0.0, 0.0], abs=1e-2)
        assert corners[..., 2].mean() == pytest.approx(-84.0 + 3.0 * middle_z, abs=3.0)


def open_label(folder):
    return np.asarray(nibabel.load(folder / "labels.nii.gz").dataobj)


@pytest.mark.req("REQ-PAT-042")
@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda out: (out / "labels.nii.gz").unlink(), "labels.nii.gz: missing"),
        (lambda out: (out / "volume.nii.gz").write_bytes(b"broken"), "volume.nii.gz: changed or damaged"),
        (lambda out: (out / "patient.json").write_text("{"), "patient.json: cannot be read"),
        (lambda out: (out / "patient.json").write_text("{}"), "patient.json: is no manifest"),
        (lambda out: next((out / "parts").iterdir()).write_bytes(b""), "changed or damaged"),
    ],
)
def test_a_damaged_folder_is_told_in_one_line(command, exported, harm, said):
    harm(exported)
    code, _, err = command("patients", "show", exported)
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert said in err


@pytest.mark.req("REQ-PAT-041")
@pytest.mark.parametrize(
    ("words_", "said"),
    [
        (["--bmi", "99"], "bmi 99: choose 12 to 60"),
        (["--age", "200"], "age_years 200: choose 4 to 95"),
        (["--sex", "x"], "sex 'x': choose female or male"),
        (["--pitch-mm", "9"], "pitch_mm 9: choose 0.8 to 3"),
        (["--pathology", "listhesis:L4:9"], "listhesis: amount 9; choose 1 to 2"),
        (["--pathology", "gout"], "pathology 'gout': no such kind"),
        (["--weight-kg", "70", "--bmi", "25"], "weight_kg and bmi"),
        (["--pregnancy-weeks", "20", "--sex", "male"], "pregnancy_weeks: needs sex female"),
    ],
)
def test_a_patient_nobody_can_be_is_refused_by_name_and_range(command, tmp_path, words_, said):
    code, out, err = command("patients", "make", "--out", tmp_path / "p", *words_)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1
    assert not out
    assert list(tmp_path.iterdir()) == []


def test_export_refuses_what_it_cannot_do_and_leaves_nothing(command, small_ct, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    for out, what, said in (
        ("new", "nifti,video", "--what video: choose of"),
        ("new", "stl", "has no labels"),
        ("new", "nifti,spine", "a CT has no finer voxels than its own; leave spine out"),
        ("full", "nifti", "not empty"),
        ("no/where", "nifti", "no such folder"),
    ):
        code, _, err = command("patients", "export", small_ct, "--out", tmp_path / out, "--what", what)
        assert code == 2
        assert said in err
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["full", "mine.txt"]


_MAKE = "import sys; from fluoroscope.cli import main; main()"


@pytest.mark.req("REQ-PAT-031")
def test_the_same_seed_gives_the_same_files_in_two_processes(tmp_path):
    for name in ("one", "two"):
        made = [sys.executable, "-c", _MAKE, "patients", "make", "--seed", "7", "--bmi", "34", "--pitch-mm", "3"]
        made += ["--pathology", "listhesis:L4:2", "--dicom", "--stl", "--spine", "--out", str(tmp_path / name)]
        # Each with a cache of its own: the second is built anew.
        home = {**os.environ, "FLUOROSCOPE_HOME": str(tmp_path / f"home-{name}")}
        done = subprocess.run(made, env=home, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    one, two = (sorted(p for p in (tmp_path / name).rglob("*") if p.is_file()) for name in ("one", "two"))
    assert [p.relative_to(tmp_path / "one") for p in one] == [p.relative_to(tmp_path / "two") for p in two]
    different = [p.name for p, q in zip(one, two, strict=True) if p.read_bytes() != q.read_bytes()]
    assert different == []
    manifest = json.loads((tmp_path / "one" / "patient.json").read_text())
    assert "synthetic: not compared with real paired X-ray" in manifest["statement"]
    spine = nibabel.load(tmp_path / "one" / manifest["spine"]["volume"])
    assert spine.header.get_zooms() == pytest.approx([manifest["spine"]["pitch_mm"]] * 3)
    assert list(spine.shape[::-1]) == manifest["spine"]["shape"]
    assert {"volume_spine.nii.gz", "labels_spine.nii.gz"} <= set(manifest["sha256"])
    patient = open_patient(tmp_path / "one")
    assert patient.modelled
    assert patient.parameters.pathologies[0].kind == "listhesis"
    assert len(patient.articulation.parts) > 20


# ---- movement ------------------------------------------------------------------------------------

SCRIPT = """
seconds: 1.6
steps:
  - { at_s: 0, pulse_rate_hz: 7.5, traction_n: 0, breathing: breathe }
  - { at_s: 0, needle: { type: spinal-22G-89, entry_mm: [20, 90, 0], tip_mm: [20, 20, 0] } }
  - { at_s: 0.2, needle: { advance_mm: 20 } }
  - { at_s: 0.4, needle: { stylet: out }, inject: { volume_ml: 1, concentration_mgi_ml: 300, rate_ml_s: 1 } }
  - { at_s: 0.8, flexion_deg: 0, shift: { x_mm: 4 } }
  - { at_s: 1.6, flexion_deg: 4 }
"""


def run(command, small_spine, out, script, *more):
    file = out.parent / f"{out.name}.yaml"
    file.write_text(script)
    code, _, err = command("simulate", *words(small_spine), "--out", out, "--scenario", file, "--matrix", "512", *more)
    return code, err


@pytest.mark.req("REQ-PAT-050")
def test_truth_follows_the_patient_and_the_needle(command, small_spine, tmp_path):
    code, err = run(command, small_spine, tmp_path / "one", SCRIPT)
    assert code == 0, err
    frames = json.loads((tmp_path / "one" / "truth.json").read_text())["frames"]
    first, last = frames[0], frames[-1]
    assert np.allclose(first["frames"]["vertebrae_L3"], np.eye(4), atol=1e-6)
    moved = np.array(last["frames"]["vertebrae_L2"])
    assert moved[0, 3] != pytest.approx(0.0, abs=0.5)
    assert last["motion"]["flexion_deg"] > 0.5
    for frame in frames:
        to_pixel = np.array(frame["pixel_from_world"])
        for name, point in frame["landmarks_mm"].items():
            row, column, depth = to_pixel @ [*point, 1.0]
            assert frame["landmarks_px"][name] == pytest.approx([row / depth, column / depth], abs=1e-2)
    depths = [frame["needles"][0]["depth_mm"] for frame in frames]
    assert depths[0] == pytest.approx(0.0, abs=0.5)
    assert 5.0 < depths[-1] <= 20.5
    needle = last["needles"][0]
    assert needle["type"] == "spinal-22G-89"
    assert needle["tissue"]
    assert np.linalg.norm(needle["direction"]) == pytest.approx(1.0, abs=1e-6)
    (medium,) = last["contrast"].values()
    assert medium["injected_ml"] == pytest.approx(1.0, abs=0.15)


CATHETER = """
seconds: 1
steps:
  - { at_s: 0, pulse_rate_hz: 7.5, needle: { type: tuohy-17G-89, entry_mm: [45, 90, 0], tip_mm: [45, 20, 0] } }
  - { at_s: 0, needle: { advance_mm: 20, stylet: out } }
  - { at_s: 0.25, catheter: { type: catheter-20G-450, advance_mm: 15 } }
  - { at_s: 0.5, needle: { remove: true }, inject: { volume_ml: 1, concentration_mgi_ml: 300, rate_ml_s: 5 } }
  - { at_s: 0.75, catheter: { remove: true } }
"""


def test_a_catheter_goes_through_the_needle_of_a_scenario(command, small_spine, tmp_path):
    code, err = run(command, small_spine, tmp_path / "out", CATHETER)
    assert code == 0, err
    frames = json.loads((tmp_path / "out" / "truth.json").read_text())["frames"]
    names = [[one["name"] for one in frame["needles"]] for frame in frames]
    # Pulses at 0, 0.13, 0.27 … s.
    assert names == [["needle"]] * 2 + [["needle", "catheter"]] * 2 + [["catheter"]] * 2 + [[]] * 2
    needle, catheter = frames[2]["needles"]
    assert catheter["beyond_mm"] == pytest.approx(15.0, abs=0.01)
    assert catheter["depth_mm"] > needle["depth_mm"] + 10.0
    (medium,) = frames[-1]["contrast"].values()
    assert medium["injected_ml"] == pytest.approx(1.0)
    assert medium["opening_rest_mm"] == pytest.approx(frames[4]["needles"][0]["tip_mm"], abs=3.0)


@pytest.mark.parametrize(
    ("laid", "moved", "away"),
    [
        ("marker: { at_mm: [0, 90, 0] }", "marker: { left_mm: 20, head_mm: 10 }", "marker: { remove: true }"),
        (
            "ruler: { start_mm: [50, 90, -60], end_mm: [50, 90, 60] }",
            "ruler: { start_mm: [-50, 90, -60], end_mm: [-50, 90, 60] }",
            "ruler: { remove: true }",
        ),
    ],
)
def test_what_lies_on_the_skin_of_a_scenario_is_seen_where_it_was_put(
    command, small_spine, tmp_path, laid, moved, away
):
    steps = [f"  - {{ at_s: {at_s}, {what} }}" for at_s, what in zip((1, 2, 3), (laid, moved, away), strict=True)]
    script = "seconds: 9\nsteps:\n  - { at_s: 0, pulse_rate_hz: 1 }\n" + "\n".join(steps) + "\n"
    code, err = run(command, small_spine, tmp_path / "out", script, "--no-breathing")
    assert code == 0, err
    shown = pydicom.dcmread(tmp_path / "out" / "cine.dcm").pixel_array.astype(float)
    # The chain's trail of what was taken away has faded by the last picture.
    none, there, elsewhere, gone = shown[[0, 1, 2, 8]]
    first, second = (dark(none, one) for one in (there, elsewhere))
    assert first.sum() > 3
    assert (second & ~first).sum() > 3
    assert dark(none, gone).sum() < 0.5 * (first | second).sum()


def dark(before, after):
    new = before - after
    return new > 8.0 * np.median(np.abs(new))


@pytest.mark.req("REQ-PAT-051")
def test_the_same_scenario_gives_the_same_truth_and_breathing_can_be_off(command, small_spine, tmp_path):
    for name in ("one", "two"):
        assert run(command, small_spine, tmp_path / name, SCRIPT, "--seed", "3")[0] == 0
    for file in ("truth.json", "cine.dcm"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    assert run(command, small_spine, tmp_path / "still", "seconds: 1\n", "--no-breathing")[0] == 0
    assert run(command, small_spine, tmp_path / "alive", "seconds: 1\n")[0] == 0
    ways = {}
    for name in ("still", "alive"):
        told = json.loads((tmp_path / name / "truth.json").read_text())["frames"]
        ways[name] = np.ptp([frame["frames"]["liver"][2][3] for frame in told])
    assert ways["still"] == 0.0
    assert ways["alive"] > 0.3  # the first second is the pause between breaths and a little


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("{ at_s: 0, needle: { advance_mm: 5 } }", "needs an instrument"),
        ("{ at_s: 0, needle: { type: knitting } }", "no such instrument"),
        ("{ at_s: 0, needle: { entry_mm: [0, 0, 0] } }", "give both or neither"),
        ("{ at_s: 0, inject: { volume_ml: 1 } }", "needs an instrument"),
        ("{ at_s: 0, flexion_deg: 80 }", "flexion_deg must be"),
        ("{ at_s: 0, traction_n: 5000 }", "traction_n"),
        ("{ at_s: 0, breathing: sing }", "breathing"),
        ("{ at_s: 0, catheter: { type: catheter-20G-450 } }", "needs an instrument"),
        ("{ at_s: 0, catheter: { advance_mm: 5 } }", "needs a catheter"),
        ("{ at_s: 0, catheter: { type: spinal-22G-89 } }", "does not go through a needle: choose one of catheter"),
        (
            "{ at_s: 0, needle: { type: spinal-22G-89, entry_mm: [20, 90, 0], tip_mm: [20, 20, 0], advance_mm: 20,"
            " stylet: out }, catheter: { type: catheter-20G-450 } }",
            "the step at 0 s: catheter-20G-450 is 0.85 mm wide",
        ),
        (
            "{ at_s: 0, needle: { type: tuohy-17G-89, entry_mm: [20, 90, 0], tip_mm: [20, 20, 0], advance_mm: 20 },"
            " catheter: { type: catheter-20G-450 } }",
            "the stylet of needle is in",
        ),
        ("{ at_s: 0, marker: { left_mm: 5 } }", "needs a marker"),
        ("{ at_s: 0, marker: { at_mm: [0, 0, 0] } }", "two points that differ"),
        ("{ at_s: 0, marker: { at_mm: [900, 90, 0], toward_mm: [900, 0, 0] } }", "misses the patient"),
        ("{ at_s: 0, ruler: { start_mm: [0, 90, 0] } }", "give both or neither"),
        ("{ at_s: 0, ruler: { start_mm: [0, 90, 0], end_mm: [0, 90, 5] } }", "choose 10 to 1000"),
        ("{ at_s: 0, ruler: {} }", "or remove: true"),
    ],
)
def test_a_scenario_that_cannot_be_is_refused(command, small_spine, tmp_path, step, said):
    (tmp_path / "in").mkdir()
    code, err = run(command, small_spine, tmp_path / "in" / "out", f"seconds: 1\nsteps:\n  - {step}\n")
    assert code == 2
    assert said in err
    assert not (tmp_path / "in" / "out").exists()


def test_a_patient_without_labels_cannot_be_told_to_move(command, small_ct, tmp_path):
    (tmp_path / "s.yaml").write_text("seconds: 1\nsteps:\n  - { at_s: 0, breathing: hold }\n")
    code, _, err = command("simulate", small_ct, "--out", tmp_path / "out", "--scenario", tmp_path / "s.yaml")
    assert code == 2
    assert "breathing: this patient cannot move" in err
