"""``fluoroscope dose map``: real reports, and what this program writes itself."""

import csv
import json

import pytest
from PIL import Image

from fluoroscope.app.setup import RoomSetup
from fluoroscope.app.simulation import Run, simulate_run

ZEE_MONTE_CARLO_MGY = 1.54


def facts(command, *words):
    code, said, complaint = command("dose", "map", *words, "--json")
    assert code == 0, complaint
    return json.loads(said)


@pytest.mark.parametrize("phantom", ["plane", "cylinder", "adult"])
def test_the_zee_report_is_within_five_percent_of_monte_carlo(data_folder, command, phantom):
    found = facts(command, data_folder / "rdsr" / "openrem__RF-RDSR-Siemens-Zee.dcm", "--phantom", phantom)
    assert found["peak_skin_dose_mgy"] == pytest.approx(ZEE_MONTE_CARLO_MGY, rel=0.05)
    assert found["estimate"] is False
    assert found["share_of_kap_on_patient"] > 0.98
    assert found["bounds_mgy"][0] < found["peak_skin_dose_mgy"] < found["bounds_mgy"][1]


def test_the_same_report_of_a_prone_patient_has_its_peak_in_front(data_folder, command):
    zee = data_folder / "rdsr" / "openrem__RF-RDSR-Siemens-Zee.dcm"
    assert facts(command, zee)["peak_position"][1] > 80.0
    assert facts(command, zee, "--position", "HFP")["peak_position"][1] < -80.0


def test_a_mobile_c_arm_gives_bounds_and_the_word_estimate(data_folder, command):
    oec = data_folder / "rdsr" / "openrem__RF-RDSR-GE.dcm"
    found = facts(command, oec)
    low, high = found["bounds_mgy"]
    assert found["estimate"] is True
    assert low < 11.73 < found["peak_skin_dose_mgy"] < high
    assert found["peak_position"] is None
    assert found["share_of_kap_on_patient"] is None
    assert {"no_table", "estimate"} <= {warning["code"] for warning in found["warnings"]}
    assert "estimate" in command("dose", "map", oec)[1]


def test_no_picture_of_an_estimate(data_folder, command, tmp_path):
    code, _, said = command(
        "dose", "map", data_folder / "rdsr" / "openrem__RF-RDSR-GE.dcm", "--png", tmp_path / "map.png"
    )
    assert code == 2
    assert "only bounds" in said
    assert not (tmp_path / "map.png").exists()


@pytest.mark.parametrize("name", ["openrem__DX-RDSR-Canon_CXDI.dcm", "openrem__RF-ESR-Siemens-Varic.dcm"])
def test_other_objects_are_refused_by_name(data_folder, command, name):
    code, _, said = command("dose", "map", data_folder / "rdsr" / name)
    assert code == 2
    assert "a skin map needs fluoroscopy events" in said


@pytest.mark.parametrize(("position", "front"), [("HFS", False), ("HFP", True)])
def test_our_own_run_hits_the_side_that_faces_the_tube(small_ct, tmp_path, command, position, front):
    simulate_run(
        RoomSetup(str(small_ct), position=position, matrix=512), Run(0.0, seconds=1.0, seed=3), tmp_path / "run"
    )
    found = facts(command, tmp_path / "run" / "dose.dcm", "--csv", tmp_path / "map.csv", "--png", tmp_path / "map.png")
    assert found["estimate"] is False
    assert found["patient_position"] == position
    assert (found["peak_position"][1] < 0.0) is front
    rows = list(csv.DictReader((tmp_path / "map.csv").read_text().splitlines()))
    assert max(float(row["dose_mgy"]) for row in rows) == pytest.approx(found["peak_skin_dose_mgy"], rel=1e-5)
    with Image.open(tmp_path / "map.png") as picture:
        assert len(picture.getcolors(1 << 20)) > 10


@pytest.mark.parametrize("words", [["--phantom", "ghost"], ["--position", "up"], ["--weight-kg", "nan"]])
def test_bad_words_end_in_a_line(small_ct, tmp_path, command, words):
    simulate_run(RoomSetup(str(small_ct), matrix=512), Run(0.0, seconds=0.3, seed=3), tmp_path / "run")
    code, _, said = command("dose", "map", tmp_path / "run" / "dose.dcm", *words)
    assert code == 2
    assert said.startswith("error: ")
