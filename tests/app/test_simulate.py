"""``fluoroscope simulate`` and ``project`` on a small CT, judged by what other programs' readers say of the files."""

import json

import numpy as np
import pydicom
import pytest

from fluoroscope.geometry import CArmPose, DetectorGrid, projection_geometry
from fluoroscope.geometry.projection import project_points

FILES = [
    "cine.dcm", "dose.dcm", "frame.png", "patient_dose.dcm", "patient_dose_map.dcm", "summary.json", "truth.json",
]  # fmt: skip


@pytest.fixture(scope="module")
def small_out(small_ct, tmp_path_factory):
    return tmp_path_factory.mktemp("simulated")


def simulate(command, small_ct, out, *words):
    code, _, err = command("simulate", small_ct, "--out", out, "--matrix", "512", "--seconds", "1", *words)
    assert code == 0, err
    return json.loads((out / "summary.json").read_text())


def test_all_files_and_what_they_say(command, small_ct, tmp_path):
    out = tmp_path / "out"
    summary = simulate(command, small_ct, out, "--pulse-rate-hz", "15", "--primary-deg", "30", "--secondary-deg", "10")
    assert sorted(path.name for path in out.iterdir()) == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    for key in (
        "frames",
        "pulse_rate_hz",
        "air_kerma_mgy",
        "kap_gy_cm2",
        "fluoroscopy_time_s",
        "pose",
        "patient",
        "versions",
    ):
        assert key in summary
    assert summary["frames"] == 15
    assert summary["pulse_rate_hz"] == 15.0
    assert summary["fluoroscopy_time_s"] == pytest.approx(1.0)
    assert summary["pose"]["equipment"]["primary_deg"] == pytest.approx(30.0)
    # Prone, head first: the patient's angle is the equipment's and half a turn.
    assert summary["pose"]["patient"]["primary_deg"] == pytest.approx(-150.0)
    assert summary["patient"]["position"] == "HFP"
    cine = pydicom.dcmread(out / "cine.dcm")
    assert cine.SOPClassUID.name == "X-Ray Angiographic Image Storage"
    assert cine.NumberOfFrames == 15
    assert cine.FrameTime == pytest.approx(1000 / 15, abs=1e-4)
    assert (cine.PositionerPrimaryAngle, cine.PositionerSecondaryAngle) == pytest.approx((-150.0, 10.0), abs=1e-3)
    assert "SIMULATED" in cine.SeriesDescription
    assert "SIMULATED" in cine.ImageComments
    dose = pydicom.dcmread(out / "dose.dcm")
    assert dose.SOPClassUID.name == "X-Ray Radiation Dose SR Storage"
    # The beam is attenuated along the cylinder: dark inside, bright outside, in every frame.
    pixels = cine.pixel_array
    assert pixels.shape == (15, 512, 512)
    assert pixels[:, 256, 256].mean() < pixels[:, 256, 4].mean()


@pytest.mark.parametrize(("name", "angle"), [("primary", "nan"), ("primary", "361"), ("secondary", "-91")])
def test_an_angle_no_arm_has_is_refused_in_a_line(small_ct, tmp_path, command, name, angle):
    code, out, said = command("simulate", small_ct, "--out", tmp_path / "run", f"--{name}-deg", angle)
    assert (code, out) == (2, "")
    assert said.startswith(f"error: --{name}-deg {angle}: choose ")
    assert not (tmp_path / "run").exists()


@pytest.mark.req("HAZ-UNIT-001")
def test_the_dose_report_says_the_same_in_its_units(command, small_ct, tmp_path):
    summary = simulate(command, small_ct, tmp_path / "out")
    dose = pydicom.dcmread(tmp_path / "out" / "dose.dcm")

    def values(items):
        for item in items:
            if "MeasuredValueSequence" in item:
                measured = item.MeasuredValueSequence[0]
                unit = measured.MeasurementUnitsCodeSequence[0].CodeValue
                yield item.ConceptNameCodeSequence[0].CodeValue, float(measured.NumericValue), unit
            yield from values(item.get("ContentSequence", []))

    found = list(values(dose.ContentSequence))
    totals = {code: (value, unit) for code, value, unit in reversed(found)}
    kap, kap_unit = totals["113722"]
    kerma, kerma_unit = totals["113725"]
    assert (kap_unit, kerma_unit) == ("Gy.m2", "Gy")
    assert kap * 1e4 == pytest.approx(summary["kap_gy_cm2"], rel=1e-6)
    assert kerma * 1e3 == pytest.approx(summary["air_kerma_mgy"], rel=1e-6)
    cine = pydicom.dcmread(tmp_path / "out" / "cine.dcm", stop_before_pixels=True)
    assert float(cine.ImageAndFluoroscopyAreaDoseProduct) == pytest.approx(summary["kap_gy_cm2"] * 10.0, rel=1e-6)


def test_the_same_seed_gives_the_same_files(command, small_ct, tmp_path):
    for name, seed in (("one", "4"), ("two", "4"), ("three", "5")):
        simulate(command, small_ct, tmp_path / name, "--seed", seed)
    for file in ("cine.dcm", "dose.dcm", "patient_dose.dcm", "patient_dose_map.dcm", "truth.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
        assert (tmp_path / "one" / file).read_bytes() != (tmp_path / "three" / file).read_bytes()


def test_truth_puts_the_bone_rod_where_the_picture_has_it(command, small_ct, tmp_path):
    simulate(command, small_ct, tmp_path / "out", "--position", "HFS")
    truth = json.loads((tmp_path / "out" / "truth.json").read_text())["frames"][0]
    pixels = pydicom.dcmread(tmp_path / "out" / "cine.dcm").pixel_array[-1].astype(float)
    # The rod's index (x 44, y 40) at 4 mm from −126 mm; z above the middle.
    point = np.array([44 * 4.0 - 126.0, 40 * 4.0 - 126.0, 40 * 4.0 - 94.0, 1.0])
    row, column, depth = np.array(truth["pixel_from_world"]) @ point
    row, column = row / depth, column / depth
    assert 0 <= row < 512
    assert 0 <= column < 512
    band = pixels[round(row) - 5 : round(row) + 6].mean(axis=0)
    # The rod's shadow is about 107 pixels wide on a sloping background: take the slope away, then match the width.
    near = np.arange(round(column) - 150, round(column) + 151)
    flat = band[near] - np.polyval(np.polyfit(near, band[near], 2), near)
    darkest = near[60:-60][np.convolve(flat, np.ones(95), mode="same")[60:-60].argmin()]
    assert abs(darkest - column) < 12


def test_a_scenario_moves_carm_needle_and_pedal(command, small_ct, tmp_path):
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(
        "seconds: 2\nsteps:\n"
        "  - {at_s: 0, primary_deg: 0, pulse_rate_hz: 7.5}\n"
        "  - {at_s: 0.5, needle: {tip_mm: [0, 60, 0], entry_mm: [0, 160, 0], diameter_mm: 3.0}}\n"
        "  - {at_s: 1, primary_deg: 0, pedal: false}\n"
        "  - {at_s: 1.5, primary_deg: 20, pedal: true, dose_level: low}\n"
    )
    out = tmp_path / "out"
    code, _, err = command(
        "simulate", small_ct, "--out", out, "--scenario", scenario, "--matrix", "512", "--position", "HFS"
    )
    assert code == 0, err
    summary = json.loads((out / "summary.json").read_text())
    assert summary["presses"] == 2
    assert (out / "cine-2.dcm").is_file()
    frames = json.loads((out / "truth.json").read_text())["frames"]
    assert len(frames) == summary["frames"] == 8 + 4
    assert frames[0]["primary_deg"] == 0.0
    assert frames[-1]["primary_deg"] == pytest.approx(20.0)
    first, last = pydicom.dcmread(out / "cine.dcm").pixel_array[[0, -1]].astype(float)
    # A shorter run is a cut scenario: what comes after its end is not exposed.
    code, _, err = command(
        "simulate", small_ct, "--out", tmp_path / "cut", "--scenario", scenario, "--matrix", "512", "--seconds", "0.9"
    )
    assert code == 0, err
    assert json.loads((tmp_path / "cut" / "summary.json").read_text())["fluoroscopy_time_s"] == pytest.approx(0.9)
    # Seen along its axis the needle is a dark spot at the centre, and only there.
    spot = (first - last)[251:261, 251:261].mean()
    around = (first - last)[300:340, 251:261].mean()
    assert spot > around + 500


def test_project_gives_exact_line_integrals_in_the_right_place(command, small_ct, tmp_path):
    words = ["--rows", "60", "--columns", "80", "--pitch-mm", "4", "--primary-deg", "90"]
    code, _, err = command("project", small_ct, "--out", tmp_path / "p.npy", *words)
    assert code == 0, err
    fast = np.load(tmp_path / "p.npy")
    assert fast.dtype == np.float32
    assert fast.shape == (60, 80)
    code, _, err = command("project", small_ct, "--out", tmp_path / "r.npy", "--reference", *words)
    assert code == 0, err
    slow = np.load(tmp_path / "r.npy")
    assert np.sqrt(np.mean((fast - slow) ** 2)) < 2e-3 * np.sqrt(np.mean(slow**2))


def test_a_bright_block_projects_onto_its_pixel(command, tmp_path):
    import nibabel

    values = np.zeros((30, 32, 34), dtype=np.float32)
    values[20:22, 9:11, 25:27] = 0.75
    affine = np.diag([-3.0, -2.0, 2.5, 1.0])
    affine[:3, 3] = [40.0, 30.0, -40.0]
    path = tmp_path / "block.nii"
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    # RAS to LPS: x and y change sign.
    block = np.array([-(40.0 - 3.0 * 20.5), -(30.0 - 2.0 * 9.5), -40.0 + 2.5 * 25.5])
    center = np.array([-(40.0 - 3.0 * 14.5), -(30.0 - 2.0 * 15.5), -40.0 + 2.5 * 16.5])
    words = ["--primary-deg", "35", "--secondary-deg", "-12", "--rows", "200", "--columns", "240", "--pitch-mm", "1"]
    code, _, err = command("project", path, "--out", tmp_path / "p.npy", *words)
    assert code == 0, err
    lines = np.load(tmp_path / "p.npy").astype(float)
    row, column = project_points(
        projection_geometry(CArmPose(35.0, -12.0, 510.0, 1020.0, tuple(center)), DetectorGrid(200, 240, 1.0)), block
    )
    rows, columns = np.indices(lines.shape)
    found = np.array([(rows * lines).sum(), (columns * lines).sum()]) / lines.sum()
    assert found == pytest.approx([row, column], abs=0.1)
    # The picture's integral is the block's mass, enlarged by the magnification squared and slanted rays.
    depth = 1020.0 / (510.0 + (block - center) @ geometry_direction(35.0, -12.0))
    mass = 0.75 * 8 * 3.0 * 2.0 * 2.5
    assert lines.sum() == pytest.approx(mass * depth**2, rel=0.02)


def geometry_direction(primary_deg, secondary_deg):
    p, s = np.deg2rad([primary_deg, secondary_deg])
    return np.array([np.sin(p) * np.cos(s), -np.cos(p) * np.cos(s), np.sin(s)])


@pytest.mark.req("REQ-REC-002")
def test_the_peak_skin_dose_of_a_run_is_in_its_summary_and_its_record(command, small_ct, tmp_path):
    summary = simulate(command, small_ct, tmp_path / "out")
    skin = summary["skin_dose"]
    low, high = skin["bounds_mgy"]
    # Skin between source and reference point or behind it, table and backscatter: of the order of the air kerma.
    assert 0.2 * summary["air_kerma_mgy"] < skin["peak_skin_dose_mgy"] < 5.0 * summary["air_kerma_mgy"]
    assert low < skin["peak_skin_dose_mgy"] < high
    assert "own skin" in skin["method"]
    record = pydicom.dcmread(tmp_path / "out" / "patient_dose.dcm")
    picture = pydicom.dcmread(tmp_path / "out" / "patient_dose_map.dcm")
    report = pydicom.dcmread(tmp_path / "out" / "dose.dcm")
    highest = float(picture.pixel_array.max()) * float(picture.RescaleSlope)
    assert highest == pytest.approx(skin["peak_skin_dose_mgy"], rel=1e-6)
    (study,) = record.CurrentRequestedProcedureEvidenceSequence
    referred = {
        one.ReferencedSOPInstanceUID
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }
    assert referred == {report.SOPInstanceUID, picture.SOPInstanceUID}
    cine = pydicom.dcmread(tmp_path / "out" / "cine.dcm", stop_before_pixels=True)
    (shown,) = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert shown.SeriesInstanceUID == cine.SeriesInstanceUID
    assert shown.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == cine.SOPInstanceUID
