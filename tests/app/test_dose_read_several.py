"""``fluoroscope dose read`` on several files of the same events, and on words made to do harm."""

import csv
import io
import json
import shutil
import warnings

import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid
from typer.testing import CliRunner

from fluoroscope.app.setup import RoomSetup
from fluoroscope.app.simulation import Run, simulate_run
from fluoroscope.cli import app


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, small_ct):
    out = tmp_path_factory.mktemp("dose") / "run"
    simulate_run(RoomSetup(str(small_ct), matrix=512), Run(0.0, seconds=1.0, seed=3), out)
    return out


def test_what_stands_in_two_files_is_said_in_the_second(run_folder, tmp_path):
    for name in ("a.dcm", "b.dcm"):
        shutil.copy(run_folder / "dose.dcm", tmp_path / name)
    first, second = json.loads(CliRunner().invoke(app, ["dose", "read", str(tmp_path), "--json"]).stdout)["objects"]
    assert "same_object" not in {warning["code"] for warning in first["warnings"]}
    (said,) = [warning["text"] for warning in second["warnings"] if warning["code"] == "same_object"]
    assert "a.dcm" in said
    again = dcmread(tmp_path / "b.dcm")
    again.SOPInstanceUID = again.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    again.save_as(tmp_path / "b.dcm")
    _, second = json.loads(CliRunner().invoke(app, ["dose", "read", str(tmp_path), "--json"]).stdout)["objects"]
    assert "shared_events" in {warning["code"] for warning in second["warnings"]}


def test_words_of_a_file_do_nothing_to_the_terminal_or_the_table(run_folder, tmp_path):
    hostile = dcmread(run_folder / "dose.dcm")
    hostile.Manufacturer, hostile.ManufacturerModelName = "[/red]\x1b[2J", "[bold]x"
    for one in hostile.ContentSequence:
        if one.ConceptNameCodeSequence[0].CodeValue == "113706":
            for child in one.ContentSequence:
                if child.ConceptNameCodeSequence[0].CodeValue == "125203":
                    child.TextValue = "=1+1"
    path = tmp_path / "[oops].dcm"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hostile.save_as(path)
    done = CliRunner().invoke(app, ["dose", "read", str(path)])
    assert done.exit_code == 0
    assert "\x1b" not in done.stdout
    assert "[/red]" in done.stdout
    cells = list(csv.reader(io.StringIO(CliRunner().invoke(app, ["dose", "read", str(path), "--csv"]).stdout)))
    assert not [cell for row in cells for cell in row if cell.startswith("=")]
