"""`fluoroscope dose map --dicom`: what it prints is what the record says."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pydicom
import pytest
from typer.testing import CliRunner

from fluoroscope.app.dose.commands import dose_app
from fluoroscope.app.dose.map_record import BeamFacts, beam_facts, with_beams
from fluoroscope.dose.skin_factors import half_value_layer_mm_al
from fluoroscope.geometry.table import TablePose
from fluoroscope.records.contents import DoseEvent
from fluoroscope.records.identity import PatientAngles
from fluoroscope.records.patient_dose import BodyModel, PatientDose
from fluoroscope.records.rdsr import write_rdsr


def named(item, code):
    found = []
    for child in item.get("ContentSequence", []):
        if child.ConceptNameCodeSequence[0].CodeValue == code:
            found.append(child)
        found += named(child, code)
    return found


def number(item):
    return float(item.MeasuredValueSequence[0].NumericValue)


def run(*arguments):
    done = CliRunner().invoke(dose_app, [str(one) for one in arguments])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture
def report(tmp_path, make_event, make_exam):
    path = tmp_path / "dose.dcm"
    event = make_event(table=TablePose(), kap_gy_cm2=2.0, air_kerma_mgy=20.0)
    write_rdsr(path, make_exam(), [DoseEvent(event, PatientAngles(0.0, 0.0))], ended=datetime(2026, 1, 1, tzinfo=UTC))
    return path


@pytest.mark.req("REQ-REC-002")
def test_the_record_says_what_is_printed(report, tmp_path):
    out = tmp_path / "patient.dcm"
    facts = run("map", report, "--dicom", out, "--json", "--weight-kg", 90)
    dataset, original = pydicom.dcmread(out), pydicom.dcmread(report)
    (peak,) = named(dataset, "128531")
    assert number(peak) == pytest.approx(facts["peak_skin_dose_mgy"], abs=5e-5)
    spread = number(named(peak, "371884006")[0])
    assert spread == pytest.approx(facts["bounds_mgy"][1] - facts["peak_skin_dose_mgy"], abs=1e-4)
    assert number(named(dataset, "FLUO-001")[0]) == pytest.approx(facts["share_of_kap_on_patient"], abs=5e-5)
    assert number(named(dataset, "128438")[0]) == 90.0
    used = named(dataset, "128416")[0].ReferencedSOPSequence[0]
    assert used.ReferencedSOPInstanceUID == original.SOPInstanceUID
    picture = pydicom.dcmread(tmp_path / "patient_map.dcm")
    highest = float(picture.pixel_array.max()) * float(picture.RescaleSlope)
    assert highest == pytest.approx(facts["peak_skin_dose_mgy"], rel=1e-6)


@pytest.mark.req("REQ-REC-002")
def test_a_child_is_said_to_be_one_and_drawn(report, tmp_path):
    facts = run(
        "map", report, "--dicom", tmp_path / "c.dcm", "--json", "--phantom", "child", "--height-cm", 110,
        "--weight-kg", 19,
    )  # fmt: skip
    written = pydicom.dcmread(tmp_path / "c.dcm")
    words = [str(element.value) for element in written.iterall() if element.keyword == "TextValue"]
    assert any("child of 110 cm and 19 kg" in said for said in words)
    assert any(facts["where"] in said for said in words)


@pytest.mark.data
@pytest.mark.req("REQ-REC-002")
def test_reports_of_any_maker_give_a_record(data_folder, tmp_path):
    written = 0
    for path in sorted((data_folder / "rdsr").glob("*RF-RDSR*.dcm")):
        out = tmp_path / path.name
        facts = run("map", path, "--dicom", out, "--json")
        (peak,) = named(pydicom.dcmread(out), "128531")
        assert number(peak) == pytest.approx(facts["peak_skin_dose_mgy"], abs=5e-5)
        assert bool(named(peak, "371884006")) is not facts["estimate"]
        written += 1
    assert written >= 4


def test_beam_quality_is_the_mean_by_air_kerma(make_event):
    soft, hard = BeamFacts(1.0, 70.0, 3.1, 0.0, 10.0), BeamFacts(3.0, 90.0, 3.1, 0.3, 10.0)
    bare = PatientDose(1.0, 0.5, 2.0, True, BodyModel("adult", "an adult"))
    dose = with_beams(bare, [soft, hard])
    wanted = (half_value_layer_mm_al(70.0, 3.1, 0.0) + 3.0 * half_value_layer_mm_al(90.0, 3.1, 0.3)) / 4.0
    assert dose.half_value_layer_mm == pytest.approx(wanted)
    assert 1.0 < dose.backscatter < 1.8
    assert dose.filters_mm == (("aluminium", 3.1, 3.1), ("copper", 0.0, 0.3))
    assert with_beams(bare, []) == bare
    event = make_event(air_kerma_mgy=10.0, kap_gy_cm2=1.0)
    assert beam_facts(event).side_cm == pytest.approx(10.0)
    assert beam_facts(replace(event, mean_tube_voltage_kv=None)) is None
