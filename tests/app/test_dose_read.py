"""``fluoroscope dose read``: JSON, CSV, folders, and what is refused; on what this program writes itself."""

import csv
import io
import json
import shutil

import pytest
from typer.testing import CliRunner

from fluoroscope.app.setup import RoomSetup
from fluoroscope.app.simulation import Run, simulate_run
from fluoroscope.cli import app, main


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, small_ct):
    out = tmp_path_factory.mktemp("dose") / "run"
    simulate_run(RoomSetup(str(small_ct), matrix=512), Run(0.0, seconds=1.0, seed=3), out)
    return out


def test_our_own_report_adds_up_and_says_what_a_run_gave(run_folder):
    done = CliRunner().invoke(app, ["dose", "read", str(run_folder / "dose.dcm"), "--json"])
    assert done.exit_code == 0
    (one,) = json.loads(done.stdout)["objects"]
    summary = json.loads((run_folder / "summary.json").read_text())
    assert one["kind"] == "fluoroscopy"
    assert one["total"]["air_kerma_mgy"] == pytest.approx(summary["air_kerma_mgy"], rel=1e-6)
    assert one["total"] == pytest.approx(one["sum"], rel=1e-6)
    assert one["events"] == len(one["irradiation_events"]) == 1
    assert one["reference_point"] == "15 cm from the isocentre toward the source"
    assert not {"no_table", "no_angles", "no_kvp"} & {warning["code"] for warning in one["warnings"]}


def test_a_folder_gives_all_it_holds_and_names_what_is_damaged(run_folder, tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    shutil.copy(run_folder / "dose.dcm", folder / "a.dcm")
    shutil.copy(run_folder / "cine.dcm", folder / "b.dcm")
    (folder / "c.dcm").write_bytes((run_folder / "dose.dcm").read_bytes()[:3000])
    (folder / "notes.txt").write_text("nothing to read")
    done = CliRunner().invoke(app, ["dose", "read", str(folder), "--json"])
    found = json.loads(done.stdout)
    assert [one["kind"] for one in found["objects"]] == ["fluoroscopy", "xa header"]
    (line,) = found["left_out"]
    assert "c.dcm" in line


def test_csv_has_a_row_an_event(run_folder):
    done = CliRunner().invoke(app, ["dose", "read", str(run_folder / "dose.dcm"), "--csv"])
    (row,) = csv.DictReader(io.StringIO(done.stdout))
    assert float(row["air_kerma_mgy"]) > 0.0
    assert "mm" in row["filters"]


def test_one_form_is_printed(run_folder):
    done = CliRunner().invoke(app, ["dose", "read", str(run_folder / "dose.dcm"), "--csv", "--json"])
    assert done.exit_code != 0
    assert done.stdout == ""
    assert "choose one" in str(done.exception)


@pytest.mark.parametrize("name", ["nobody.dcm", "notes.txt", "empty"])
def test_what_cannot_be_read_is_refused_in_a_line(tmp_path, monkeypatch, capsys, name):
    (tmp_path / "notes.txt").write_text("not DICOM")
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr("sys.argv", ["fluoroscope", "dose", "read", str(tmp_path / name)])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.out == ""
    assert name in said.err
    assert said.err.count("\n") == 1
