"""``fluoroscope dose map``: real reports, and what this program writes itself."""

import csv
import json

import pydicom
import pytest
from PIL import Image

from fluoroscope.app.dose.map import peak_of, running_peaks
from fluoroscope.app.setup import RoomSetup
from fluoroscope.app.simulation import Run, simulate_run
from fluoroscope.dicom.dose_objects import read_dose_object

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


@pytest.mark.parametrize(
    ("name", "kind"),
    [("openrem__DX-RDSR-Canon_CXDI.dcm", "radiography"), ("openrem__RF-ESR-Siemens-Varic.dcm", "legacy report")],
)
def test_other_objects_are_refused_by_name(data_folder, command, name, kind):
    code, _, said = command("dose", "map", data_folder / "rdsr" / name)
    assert code == 2
    assert f"{name}: {kind}, not fluoroscopy; a skin map needs the events of fluoroscopy" in said


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


@pytest.mark.parametrize(
    "words",
    [
        ["--phantom", "ghost"],
        ["--phantom", ""],
        ["--position", "up"],
        ["--weight-kg", "nan"],
        ["--phantom", "plane", "--height-cm", "170"],
        ["--phantom", "cylinder", "--weight-kg", "nan"],
    ],
)
def test_bad_words_end_in_a_line(small_ct, tmp_path, command, words):
    simulate_run(RoomSetup(str(small_ct), matrix=512), Run(0.0, seconds=0.3, seed=3), tmp_path / "run")
    code, _, said = command("dose", "map", tmp_path / "run" / "dose.dcm", *words)
    assert code == 2
    assert said.startswith("error: ")


@pytest.fixture(scope="module")
def prone_run(small_ct, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    simulate_run(RoomSetup(str(small_ct), position="HFP", matrix=512), Run(0.0, seconds=1.0, seed=3), folder)
    return folder / "dose.dcm"


def test_a_report_is_never_written_over_and_of_several_files_all_or_none(prone_run, tmp_path, command):
    report, csv_file = tmp_path / "dose.dcm", tmp_path / "map.csv"
    report.write_bytes(prone_run.read_bytes())
    for words in (
        ["--dicom", report],
        ["--csv", csv_file, "--png", csv_file],
        ["--csv", csv_file, "--png", tmp_path / "nowhere" / "map.png"],
        ["--csv", csv_file, "--dicom", tmp_path],
        ["--dicom", tmp_path / "skin.dcm", "--png", tmp_path / "skin_map.dcm"],
    ):
        code, out, said = command("dose", "map", report, *words)
        assert (code, out, said.count("\n")) == (2, "", 1)
        assert sorted(tmp_path.iterdir()) == [report]
        assert report.read_bytes() == prone_run.read_bytes()


def as_made_by(path, maker, model, target):
    report = pydicom.dcmread(path)
    report.Manufacturer, report.ManufacturerModelName = maker, model
    report.save_as(target)
    return target


@pytest.mark.req("REQ-SKIN-002")
@pytest.mark.parametrize(
    ("position", "axis", "sign", "side"),
    [("HFS", 1, 1, "back"), ("HFP", 1, -1, "front"), ("HFDL", 0, 1, "left side"), ("FFDR", 0, -1, "right side")],
)
def test_the_patients_own_skin_is_hit_where_it_lies_on_the_table(
    small_ct, prone_run, command, position, axis, sign, side
):
    found = facts(command, prone_run, "--phantom", small_ct, "--position", position)
    assert found["estimate"] is False
    assert found["where"].startswith(side)
    # The CT's cylinder: 96 mm radius about its own middle, where it is at the isocentre.
    assert sign * found["peak_position"][axis] == pytest.approx(96.0, abs=6.0)
    assert found["peak_position"][1 - axis] == pytest.approx(0.0, abs=30.0)
    assert found["peak_position"][2] == pytest.approx(0.0, abs=60.0)
    assert found["phantom"] == "small.nii.gz"


@pytest.mark.req("REQ-SKIN-002")
def test_a_child_and_an_adult_of_one_run_differ_by_where_their_skin_is(prone_run, command):
    adult, child = (facts(command, prone_run, "--phantom", name) for name in ("adult", "child"))
    # Both are prone on the table with the lumbar spine at the isocentre: the child's skin is nearer to it.
    assert 0.5 < child["peak_skin_dose_mgy"] / adult["peak_skin_dose_mgy"] < 1.0
    assert abs(child["peak_position"][1]) < abs(adult["peak_position"][1])


@pytest.mark.req("REQ-SKIN-003")
@pytest.mark.parametrize(
    ("maker", "model"), [("Philips Medical Systems", "Azurion"), ("GE Healthcare", "Innova"), ("Canon", "Alphenix")]
)
def test_a_table_whose_zero_is_not_known_gives_bounds_and_says_so(prone_run, tmp_path, command, maker, model):
    found = facts(command, as_made_by(prone_run, maker, model, tmp_path / "other.dcm"))
    assert found["estimate"] is True
    assert found["peak_position"] is None
    assert found["table"]["evidence"] == "unknown"
    texts = {warning["code"]: warning["text"] for warning in found["warnings"]}
    assert maker.split()[0] in texts["table_frame"]


@pytest.mark.req("REQ-SKIN-003")
def test_a_site_can_say_where_its_table_is(prone_run, tmp_path, command):
    azurion = as_made_by(prone_run, "Philips Medical Systems", "Azurion", tmp_path / "azurion.dcm")
    table = tmp_path / "table.toml"
    table.write_text('source = "room 4"\nhead_end_mm = 700\nmiddle_mm = 0\ntabletop_mm = -160\n')
    found = facts(command, azurion, "--table", table)
    assert found["estimate"] is False
    assert found["table"] == {"evidence": "site", "source": "room 4"}
    assert "table_site" in {warning["code"] for warning in found["warnings"]}
    # Head first and prone: 700 mm of the body lie toward the head from the isocentre, the tube is under the table.
    assert found["peak_position"][2] == pytest.approx(-700.0, abs=70.0)
    assert found["where"].startswith("front")
    table.write_text(table.read_text().replace("head_end_mm = 700", "head_end_mm = 400"))
    moved = facts(command, azurion, "--table", table)
    assert moved["peak_position"][2] == pytest.approx(-400.0, abs=70.0)


@pytest.mark.req("REQ-SKIN-003")
def test_a_table_file_that_cannot_be_used_ends_in_a_line(prone_run, tmp_path, command):
    code, _, said = command("dose", "map", prone_run, "--table", tmp_path / "none.toml")
    assert code == 2
    assert said.startswith("error: ")
    assert "none.toml: no such file" in said
    assert "Errno" not in said


def test_peaks_of_a_report_for_the_alerts(data_folder, prone_run, command):
    zee = data_folder / "rdsr" / "openrem__RF-RDSR-Siemens-Zee.dcm"
    one = read_dose_object(zee)
    peaks = running_peaks(one)
    assert len(peaks) == len(one.events)
    assert list(peaks) == sorted(peaks)
    assert peak_of(one) == peaks[-1] == pytest.approx(facts(command, zee)["peak_skin_dose_mgy"])
    assert peak_of(read_dose_object(data_folder / "rdsr" / "openrem__RF-RDSR-GE.dcm")) is None
    assert peak_of(read_dose_object(data_folder / "rdsr" / "openrem__DX-RDSR-Canon_CXDI.dcm")) is None
