"""The patient's dose as a record: figures, bounds, method, what it refers to, the map that can be read back."""

from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pydicom
import pytest

from fluoroscope.dicom.safe_parsing import read_header
from fluoroscope.patient.stored import PatientFileError
from fluoroscope.records.patient_dose import BodyModel, OrganEstimate, PatientDose, map_path, write_patient_dose
from fluoroscope.records.rdsr import write_rdsr
from fluoroscope.records.report_subject import ReportSource, subject_of_exam, subject_of_report

WHEN = datetime(2026, 11, 22, 11, 30, tzinfo=UTC)
EVENTS = ("2.25.1", "2.25.2")
SOURCE = ReportSource("2.25.77", "2.25.8", "2.25.9", EVENTS)
ADULT = BodyModel("adult", "adult of 176 cm and 73 kg", 176.0, 73.0)


def named(item, code):
    """Every content item below ``item`` with a concept code."""
    found = []
    for child in item.get("ContentSequence", []):
        if child.ConceptNameCodeSequence[0].CodeValue == code:
            found.append(child)
        found += named(child, code)
    return found


def value(item):
    measured = item.MeasuredValueSequence[0]
    return float(measured.NumericValue), measured.MeasurementUnitsCodeSequence[0].CodeValue


def a_map():
    dose = np.zeros((20, 30))
    dose[5:8, 10:14] = np.linspace(1.0, 9.5, 12).reshape(3, 4)
    return dose


def mapped(**changes):
    values = {
        "peak_mgy": 9.5,
        "lower_mgy": 5.0,
        "upper_mgy": 14.0,
        "mapped": True,
        "body": ADULT,
        "position_mm": (-12.0, 90.0, -700.0),
        "place": "front, right side",
        "share_on_patient": 0.875,
        "map_mgy": a_map(),
        "half_value_layer_mm": 4.25,
        "backscatter": 1.375,
        "filters_mm": (("aluminium", 3.1, 3.1), ("copper", 0.1, 0.3)),
    }
    return PatientDose(**{**values, **changes})


@pytest.fixture
def record(tmp_path, make_exam):
    def write(dose, source=SOURCE, exam=None):
        path = tmp_path / "patient_dose.dcm"
        write_patient_dose(path, subject_of_exam(exam or make_exam()), source, dose, WHEN)
        return pydicom.dcmread(path)

    return write


@pytest.mark.req("REQ-REC-002")
def test_the_peak_stands_with_its_uncertainty_and_method(record):
    dataset = record(mapped())
    assert dataset.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.73"
    assert dataset.ContentTemplateSequence[0].TemplateIdentifier == "10030"
    (peak,) = named(dataset, "128531")
    assert value(peak) == (9.5, "mGy")
    assert value(named(peak, "371884006")[0]) == (4.5, "mGy")
    assert "k = 2" in named(peak, "128511")[0].TextValue
    assert named(dataset, "128477")[0].ConceptCodeSequence[0].CodeValue == "128480"
    assert "Benmakhlouf" in named(dataset, "128482")[0].TextValue
    assert value(named(dataset, "128411")[0]) == (1.375, "{ratio}")
    assert value(named(dataset, "111634")[0]) == (4.25, "mm")
    assert value(named(dataset, "FLUO-001")[0]) == (0.875, "{ratio}")
    assert named(dataset, "128417")[0].ConceptCodeSequence[0].CodeValue == "128404"
    assert value(named(dataset, "128438")[0]) == value(named(dataset, "128441")[0]) == (73.0, "kg")


@pytest.mark.req("REQ-REC-002")
def test_bounds_without_geometry_are_an_estimate_and_have_no_map(record, tmp_path):
    dataset = record(PatientDose(5.0, 2.0, 20.0, False, BodyModel("plane", "no body"), through_table=False))
    (peak,) = named(dataset, "128531")
    assert value(named(peak, "371885007")[0])[0] == 3.0
    assert value(named(peak, "371886008")[0])[0] == 15.0
    assert named(peak, "371884006") == []
    assert "estimate" in named(dataset, "128403")[0].TextValue
    assert "not a confidence interval" in named(peak, "128511")[0].TextValue
    assert named(dataset, "128412") == []
    assert named(dataset, "128446") == []
    assert not map_path(tmp_path / "patient_dose.dcm").exists()


@pytest.mark.req("REQ-REC-002")
def test_the_map_is_an_image_whose_doses_can_be_read_back(record, tmp_path):
    dataset = record(mapped())
    (data,) = named(dataset, "128414")
    picture = pydicom.dcmread(map_path(tmp_path / "patient_dose.dcm"))
    assert data.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == picture.SOPInstanceUID
    assert named(dataset, "128413")[0].ConceptCodeSequence[0].CodeValue == "128485"
    read = picture.pixel_array * float(picture.RescaleSlope) + float(picture.RescaleIntercept)
    np.testing.assert_allclose(read, a_map(), atol=9.5 / 65535)
    assert read.max() == pytest.approx(9.5, rel=1e-6)
    assert "SIMULATED - not for clinical use" in picture.ImageComments


def test_it_refers_to_the_report_and_to_the_map(record, tmp_path):
    dataset = record(mapped())
    used = named(dataset, "128416")[0]
    assert used.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "2.25.9"
    (study,) = dataset.CurrentRequestedProcedureEvidenceSequence
    seen = {one.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for one in study.ReferencedSeriesSequence}
    picture = pydicom.dcmread(map_path(tmp_path / "patient_dose.dcm"), stop_before_pixels=True)
    assert seen == {"2.25.9", picture.SOPInstanceUID}
    assert {one.SeriesInstanceUID for one in study.ReferencedSeriesSequence} == {"2.25.8", picture.SeriesInstanceUID}


def test_events_are_named_only_where_some_were_left_out(record):
    assert named(record(mapped(used_event_uids=EVENTS)), "128429") == []
    assert [one.UID for one in named(record(mapped(used_event_uids=EVENTS[:1])), "128429")] == ["2.25.1"]


def test_organ_and_effective_doses_stand_where_they_are_known(record):
    dose = mapped(
        effective_msv=0.75,
        effective_source="Kim 2009, 0.33 mSv/(Gy·cm²)",
        organs=(OrganEstimate("Liver", 1.5), OrganEstimate("an organ nobody knows", 1.0)),
    )
    dataset = record(dose)
    assert value(named(dataset, "113839")[0]) == (0.75, "mSv")
    assert [value(one)[0] for one in named(dataset, "128533")] == [1.5]
    sites = [one.ConceptCodeSequence[0].CodeValue for one in named(dataset, "363698007")]
    assert sites == ["39937001", "38266002", "10200004"]
    silent = record(mapped())
    assert named(silent, "113839") == named(silent, "128533") == []


def test_the_same_estimate_is_the_same_object_and_another_is_another(record):
    uids = [record(dose).SOPInstanceUID for dose in (mapped(), mapped(), mapped(peak_mgy=9.4))]
    assert uids[0] == uids[1] != uids[2]


@pytest.mark.parametrize(
    "wrong",
    [
        {"peak_mgy": float("nan")},
        {"lower_mgy": -1.0},
        {"upper_mgy": 9.0},
        {"upper_mgy": float("inf")},
        {"share_on_patient": 1.5},
    ],
)
def test_impossible_figures_are_refused(wrong):
    with pytest.raises(ValueError, match="must"):
        mapped(**wrong)


def test_of_another_machines_report_who_and_which_study_are_kept(tmp_path, make_event, make_exam):
    from fluoroscope.records.contents import DoseEvent

    exam = make_exam()
    report = tmp_path / "dose.dcm"
    write_rdsr(report, exam, [DoseEvent(make_event())], ended=exam.started)
    subject, source = subject_of_report(report, ("2.25.1001",))
    path = tmp_path / "out.dcm"
    write_patient_dose(path, subject, source, mapped(), WHEN)
    dataset, original = pydicom.dcmread(path), pydicom.dcmread(report)
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate", "StudyTime"):
        assert getattr(dataset, keyword) == getattr(original, keyword)
    assert dataset.ContentTime.startswith("113000")
    assert dataset.ManufacturerModelName == "dose map"
    assert source.sop_instance_uid == original.SOPInstanceUID
    assert "SIMULATED" in dataset.SeriesDescription


def test_a_clock_of_another_zone_is_kept(tmp_path, make_event, make_exam):
    exam = make_exam()
    report = tmp_path / "dose.dcm"
    write_rdsr(report, exam, [], ended=exam.started)
    header = pydicom.dcmread(report)
    header.TimezoneOffsetFromUTC = "-0330"
    header.save_as(report)
    subject, source = subject_of_report(report)
    write_patient_dose(tmp_path / "out.dcm", subject, source, mapped(), WHEN)
    assert pydicom.dcmread(tmp_path / "out.dcm").ContentTime.startswith("080000")


def test_what_cannot_be_referred_to_is_refused(tmp_path, make_exam):
    text = tmp_path / "a.txt"
    text.write_text("no DICOM")
    with pytest.raises(PatientFileError, match="not a DICOM file"):
        subject_of_report(text)
    report = tmp_path / "dose.dcm"
    write_rdsr(report, make_exam(), [], ended=make_exam().started)
    dataset = pydicom.dcmread(report)
    dataset.StudyInstanceUID = ""
    dataset.save_as(report)
    with pytest.raises(PatientFileError, match="no StudyInstanceUID"):
        subject_of_report(report)


def test_levels_of_the_map_keep_their_order(record, tmp_path):
    record(mapped())
    path = map_path(tmp_path / "patient_dose.dcm")
    assert read_header(path, ["Rows"]).Rows == 20
    row = pydicom.dcmread(path).pixel_array[5, 10:14]
    assert all(a < b for a, b in pairwise(row.tolist()))
