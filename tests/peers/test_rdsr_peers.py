"""The dose report as programs others wrote see it: dciodvfy, PixelMed's template validator, dcmtk."""

from datetime import UTC, datetime

import pytest

from fluoroscope.beam.technique import Filtration, RadiationMode, Technique
from fluoroscope.geometry.table import PatientPosition
from fluoroscope.records.contents import DoseCalibration, DoseImage
from fluoroscope.records.identity import Anatomy, PatientAngles
from fluoroscope.records.rdsr import DoseEvent, write_rdsr

EXTENDED = {
    "images": {"2.25.1001": [DoseImage("2.25.5", "2.25.6")], "2.25.1003": [DoseImage("2.25.7", "2.25.8")]},
    "calibration": DoseCalibration(0.93, "J. Doe", datetime(2026, 5, 1, tzinfo=UTC), 5.0, "Physics", "TG-190"),
}


def three_events(make_event):
    acquisition = Technique(75.0, 30.0, 10.0, 3.75, Filtration(3.1, 0.0), RadiationMode.ACQUISITION)
    standing, turned = PatientAngles(-160.0, 5.0), PatientAngles(160.0, 5.0)
    return [
        DoseEvent(make_event(1), standing, turned),
        DoseEvent(make_event(2, pulse_rate_hz=3.75, technique=acquisition), standing, turned),
        DoseEvent(make_event(3, technique=acquisition), standing, standing),
    ]


@pytest.mark.req("REQ-DICOM-001", "REQ-REC-001", "REQ-REC-006")
@pytest.mark.peer("pixelmed")
def test_pixelmed_finds_no_error_and_nothing_outside_the_template(tmp_path, make_event, make_exam, pixelmed):
    path = tmp_path / "dose.dcm"
    exam = make_exam(operator="Doe^Jane")
    write_rdsr(path, exam, three_events(make_event), ended=exam.started, **EXTENDED)
    verdict = pixelmed(path)
    assert "TID_10001" in verdict.text
    assert verdict.errors == []
    assert verdict.warnings == []


@pytest.mark.req("REQ-DICOM-001")
@pytest.mark.peer("dciodvfy")
@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("count", [0, 1, 3, 60])
def test_dciodvfy_finds_no_error(tmp_path, make_event, make_exam, dciodvfy, count, complete):
    path = tmp_path / "dose.dcm"
    events = three_events(make_event)[:count]
    events += [DoseEvent(make_event(n), PatientAngles(0.0, 0.0)) for n in range(4, count + 1)]
    write_rdsr(path, make_exam(), events, ended=make_exam().started, complete=complete)
    verdict = dciodvfy(path)
    assert verdict.errors == []
    assert verdict.warnings == []


@pytest.mark.peer("dciodvfy")
@pytest.mark.parametrize("position", PatientPosition)
def test_dciodvfy_finds_no_error_in_any_position(tmp_path, make_event, make_exam, dciodvfy, position):
    path = tmp_path / "dose.dcm"
    exam = make_exam(position=position, anatomy=Anatomy.THORACIC_SPINE, therapeutic=False)
    write_rdsr(path, exam, three_events(make_event), ended=exam.started)
    assert dciodvfy(path).errors == []


@pytest.mark.req("REQ-REC-001")
@pytest.mark.peer("dciodvfy")
def test_dciodvfy_finds_no_error_in_an_extended_report(tmp_path, make_event, make_exam, dciodvfy):
    path = tmp_path / "dose.dcm"
    exam = make_exam(operator="Doe^Jane")
    write_rdsr(path, exam, three_events(make_event), ended=exam.started, **EXTENDED)
    verdict = dciodvfy(path)
    assert (verdict.errors, verdict.warnings) == ([], [])


@pytest.mark.peer("dcmtk")
def test_dsrdump_reads_it_as_a_valid_report(tmp_path, make_event, make_exam, run_peer):
    path = tmp_path / "dose.dcm"
    write_rdsr(path, make_exam(), three_events(make_event), ended=make_exam().started)
    done = run_peer("dsrdump", path)
    text = done.stdout.decode()
    assert done.returncode == 0, done.stderr
    assert "X-Ray Radiation Dose SR Document" in text
    assert text.count("Irradiation Event X-Ray Data") == 3
    assert "SIMULATED - not for clinical use" in text
