"""The dose report read back item by item: totals, units, angles, table, and what happens on an abort."""

import errno
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fluoroscope.acquisition.event import BeamPlace
from fluoroscope.acquisition.frame import Collimation, Provenance
from fluoroscope.beam.technique import Filtration, RadiationMode, Technique
from fluoroscope.dicom.dose_objects import read_dose_object
from fluoroscope.dose.skin_factors import half_value_layer_mm_al
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.table import PatientPosition, TablePose
from fluoroscope.records import rdsr
from fluoroscope.records.contents import DoseCalibration, DoseImage
from fluoroscope.records.identity import PatientAngles
from fluoroscope.records.rdsr import DoseEvent, DoseReport, ReportState, dose_report_uid, write_rdsr

ACQUISITION = Technique(75.0, 30.0, 10.0, 15.0, mode=RadiationMode.ACQUISITION)
STANDING = PatientAngles(-160.0, 5.0)


def items(container, code):
    """Content items below a container with a concept code, whatever their text."""
    found = []
    for item in container.ContentSequence:
        if item.ConceptNameCodeSequence[0].CodeValue == code:
            found.append(item)
    return found


def number(container, code):
    (item,) = items(container, code)
    measured = item.MeasuredValueSequence[0]
    return Decimal(str(measured.NumericValue)), measured.MeasurementUnitsCodeSequence[0].CodeValue


def coded(container, code):
    (item,) = items(container, code)
    return item.ConceptCodeSequence[0].CodeValue


@pytest.fixture
def report(tmp_path, make_exam):
    def write(events, exam=None, **options):
        exam = exam or make_exam()
        path = tmp_path / "dose.dcm"
        write_rdsr(path, exam, events, ended=exam.started, **options)
        return pydicom.dcmread(path)

    return write


@pytest.mark.req("HAZ-UNIT-001")
def test_values_are_in_dicoms_units(report, make_event):
    dataset = report([DoseEvent(make_event(kap_gy_cm2=2.5, air_kerma_mgy=11.732), STANDING)])
    (event,) = items(dataset, "113706")
    # 1 Gy·m² is 10⁴ Gy·cm².
    assert number(event, "122130") == (Decimal("0.00025"), "Gy.m2")
    assert number(event, "113738") == (Decimal("0.011732"), "Gy")
    assert number(event, "113733") == (Decimal("70.1235"), "kV")
    assert number(event, "113734") == (Decimal("3.21"), "mA")
    assert number(event, "113793") == (Decimal(8), "ms")
    assert number(event, "113824") == (Decimal(80), "ms")
    assert number(event, "113736") == (Decimal("256.8"), "uA.s")
    assert number(event, "113791") == (Decimal("7.5"), "{pulse}/s")
    assert number(event, "113768") == (Decimal(10), "1")
    assert number(event, "113790") == (Decimal("0.000216"), "m2")
    assert number(event, "113750") == (Decimal(1200), "mm")
    assert number(event, "113748") == (Decimal(750), "mm")


@pytest.mark.req("REQ-DOSE-001")
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    doses=st.lists(
        st.tuples(st.floats(0.0, 5000.0), st.floats(0.0, 500.0), st.floats(0.0, 3600.0), st.booleans()),
        max_size=6,
    )
)
def test_totals_are_the_sums_of_the_events_to_the_last_digit(report, make_event, doses):
    events = [
        DoseEvent(
            make_event(
                n,
                air_kerma_mgy=kerma,
                kap_gy_cm2=kap,
                pedal_time_s=time,
                technique=ACQUISITION if run else None,
            ),
            STANDING,
        )
        for n, (kerma, kap, time, run) in enumerate(doses, start=1)
    ]
    dataset = report(events)
    (totals,) = items(dataset, "113702")
    written = items(dataset, "113706")
    fluoro = [e for e in written if coded(e, "113721") == "44491008"]
    runs = [e for e in written if coded(e, "113721") != "44491008"]

    def total(part, code):
        return sum((number(e, code)[0] for e in part), Decimal(0))

    assert number(totals, "113722")[0] == total(written, "122130")
    assert number(totals, "113725")[0] == total(written, "113738")
    assert number(totals, "113727")[0] == total(runs, "122130")
    assert number(totals, "113729")[0] == total(runs, "113738")
    assert number(totals, "113855")[0] == total(runs, "113742")
    assert number(totals, "113731")[0] == total(runs, "113768")
    if fluoro:
        assert number(totals, "113726")[0] == total(fluoro, "122130")
        assert number(totals, "113728")[0] == total(fluoro, "113738")
        assert number(totals, "113730")[0] == total(fluoro, "113742")
    for event, (kerma, kap, _, _) in zip(written, doses, strict=True):
        assert float(number(event, "113738")[0]) == pytest.approx(kerma / 1000.0, abs=6e-11)
        assert float(number(event, "122130")[0]) == pytest.approx(kap / 1e4, abs=6e-13)


def test_every_number_fits_a_decimal_string(report, make_event):
    huge = make_event(air_kerma_mgy=98765.4321012345, kap_gy_cm2=1e5 / 3.0, pedal_time_s=7200.0 / 7.0)
    dataset = report([DoseEvent(huge, STANDING)])
    numbers = [e for e in dataset.iterall() if e.keyword == "NumericValue"]
    assert len(numbers) > 20
    assert all(len(str(e.value)) <= 16 for e in numbers)


def test_the_reference_point_is_a_code(report, make_event):
    dataset = report([DoseEvent(make_event(), STANDING)])
    assert coded(items(dataset, "113702")[0], "113780") == "113860"
    assert coded(items(dataset, "113706")[0], "113780") == "113860"


def test_the_event_is_that_of_the_images(report, make_event):
    dataset = report([DoseEvent(make_event(uid="2.25.4711"), STANDING)])
    assert items(items(dataset, "113706")[0], "113769")[0].UID == "2.25.4711"
    scope = items(dataset, "113705")[0]
    assert items(scope, "110180")[0].UID == dataset.StudyInstanceUID == "2.25.77"


def test_event_types(report, make_event):
    turned = PatientAngles(170.0, 5.0)
    events = [
        DoseEvent(make_event(1), STANDING, turned),
        DoseEvent(make_event(2, technique=ACQUISITION), STANDING, STANDING),
        DoseEvent(make_event(3, technique=ACQUISITION), STANDING, turned),
        # 178 to -178 is 4 degrees, not 356.
        DoseEvent(make_event(4, technique=ACQUISITION), PatientAngles(178.0, 0.0), PatientAngles(-178.0, 0.0)),
    ]
    written = items(report(events), "113706")
    assert [coded(e, "113721") for e in written] == ["44491008", "113611", "113613", "113611"]
    assert [len(items(e, "113739")) for e in written] == [0, 0, 1, 0]
    assert [len(items(e, "113732")) for e in written] == [1, 0, 0, 0]


def test_two_filters_stand_in_two_containers(report, make_event):
    both = Technique(70.0, 3.0, 8.0, 7.5, Filtration(3.1, 0.2))
    aluminium = Technique(70.0, 3.0, 8.0, 7.5, Filtration(3.1, 0.0))
    first, second = items(
        report([DoseEvent(make_event(1, technique=both)), DoseEvent(make_event(2, technique=aluminium))]),
        "113706",
    )
    thicknesses = [number(f, "113758")[0] for f in items(first, "113771")]
    assert thicknesses == [Decimal("3.1"), Decimal("0.2")]
    assert len(items(second, "113771")) == 1


def test_the_table_in_dicoms_words(report, make_event):
    (event,) = items(report([DoseEvent(make_event(table=TablePose(10.0, -20.0, 30.0, 4.0, 5.0, 6.0)))]), "113706")
    assert number(event, "113751")[0] == 10  # "longitudinal": across, toward LAO
    assert number(event, "113752")[0] == -20  # "lateral": toward cranial
    assert number(event, "113753")[0] == -30  # downward
    assert [number(event, code)[0] for code in ("113754", "113755", "113756")] == [4, 6, 5]


@pytest.mark.parametrize(
    ("position", "end", "side"),
    [
        ("HFS", "102540008", "40199007"),
        ("HFP", "102540008", "1240000"),
        ("FFP", "102541007", "1240000"),
        ("HFDL", "102540008", "102536004"),
        ("FFDR", "102541007", "102535000"),
    ],
)
def test_how_the_patient_lies(report, make_event, make_exam, position, end, side):
    exam = make_exam(position=PatientPosition(position))
    (event,) = items(report([DoseEvent(make_event())], exam), "113706")
    assert coded(event, "113745") == end
    assert coded(items(event, "113743")[0], "113744") == side


def test_what_is_available_is_what_any_event_says(report, make_event):
    unknown = {"mean_tube_voltage_kv": None, "mean_tube_current_ma": None, "mean_pulse_width_ms": None}
    bare = {"first_pose": None, "last_pose": None, "table": None}
    yes, no = "373066001", "373067005"
    images = {"2.25.1001": [DoseImage("2.25.5", "2.25.6")]}
    dataset = report([DoseEvent(make_event(1), STANDING), DoseEvent(make_event(2, **unknown))], images=images)
    assert [coded(dataset, code) for code in ("113943", "113944", "113945")] == [yes, yes, yes]
    assert items(items(dataset, "113706")[1], "113733") == []
    dataset = report([DoseEvent(make_event(1, **bare))])
    assert [coded(dataset, code) for code in ("113943", "113944", "113945")] == [yes, no, no]
    assert [coded(report([]), code) for code in ("113943", "113944", "113945")] == [no, no, no]


def test_an_exam_without_x_ray_has_a_report_of_nothing(report):
    dataset = report([])
    assert items(dataset, "113706") == []
    assert number(items(dataset, "113702")[0], "113725") == (Decimal(0), "Gy")


def test_an_exam_cut_short_is_partial(report, make_event):
    assert report([DoseEvent(make_event())]).CompletionFlag == "COMPLETE"
    dataset = report([DoseEvent(make_event())], complete=False)
    assert dataset.CompletionFlag == "PARTIAL"
    assert dataset.CompletionFlagDescription


def test_writing_again_gives_the_same_report(tmp_path, make_event, make_exam):
    events = [DoseEvent(make_event(), STANDING)]
    for name in ("a.dcm", "b.dcm"):
        write_rdsr(tmp_path / name, make_exam(), events, ended=make_exam().started)
    assert (tmp_path / "a.dcm").read_bytes() == (tmp_path / "b.dcm").read_bytes()


def test_another_content_is_another_report(make_event, make_exam):
    one, two = DoseEvent(make_event(1)), DoseEvent(make_event(2))
    uids = {dose_report_uid(make_exam(), e, c) for e in ([], [one], [one, two]) for c in (True, False)}
    assert len(uids) == 6


def test_an_event_given_twice_is_refused(tmp_path, make_event, make_exam):
    with pytest.raises(ValueError, match="would count double"):
        write_rdsr(tmp_path / "a.dcm", make_exam(), [DoseEvent(make_event())] * 2, ended=make_exam().started)


@pytest.mark.req("HAZ-CLINIC-001")
def test_it_says_it_is_simulated(report, make_event):
    dataset = report([DoseEvent(make_event())])
    assert "SIMULATED - not for clinical use" in dataset.SeriesDescription
    assert "SIMULATED - not for clinical use" in items(dataset, "121106")[0].TextValue


def test_a_full_disk_leaves_nothing(tmp_path, make_event, make_exam, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(rdsr, "dcmwrite", full)
    with pytest.raises(OSError, match="No space left on device; free disk space"):
        write_rdsr(tmp_path / "a.dcm", make_exam(), [DoseEvent(make_event())], ended=make_exam().started)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.req("REQ-REC-001")
def test_the_field_and_the_reference_point_are_said(report, make_event):
    field = Collimation(40.0, 60.0, 30.0, 20.0)
    dataset = report([DoseEvent(make_event(1, collimation=field)), DoseEvent(make_event(2))])
    first = items(dataset, "113706")[0]
    assert number(first, "113788") == (Decimal(50), "mm")  # blades apart along the columns
    assert number(first, "113789") == (Decimal(100), "mm")
    assert number(first, "113790") == (Decimal("0.005"), "m2")
    assert number(first, "113737") == (Decimal(600), "mm")  # 750 to the isocentre less 150
    assert number(items(dataset, "113702")[0], "113737") == (Decimal(600), "mm")


@pytest.mark.req("REQ-REC-001")
def test_one_distance_of_the_whole_exam_is_said_only_where_it_is_one(report, make_event):
    other = make_event(2, first_pose=CArmPose(0.0, 0.0, 650.0, 1100.0))
    dataset = report([DoseEvent(make_event(1)), DoseEvent(other)])
    assert items(items(dataset, "113702")[0], "113737") == []
    assert [number(e, "113737")[0] for e in items(dataset, "113706")] == [600, 500]
    assert items(items(report([DoseEvent(make_event(first_pose=None))]), "113702")[0], "113737") == []


@pytest.mark.req("REQ-REC-001")
def test_the_modelled_beam_says_its_quality_and_a_real_one_does_not(report, make_event, make_exam):
    event = make_event(technique=Technique(70.0, 3.0, 8.0, 7.5, Filtration(3.1, 0.1)))
    (ours,) = items(report([DoseEvent(event)]), "113706")
    layer = half_value_layer_mm_al(event.mean_tube_voltage_kv, 3.1, 0.1)
    assert float(number(ours, "111634")[0]) == pytest.approx(layer, abs=5e-5)
    assert coded(ours, "111632") == "105874009"
    (real,) = items(report([DoseEvent(event)], make_exam(provenance=Provenance.RECORDED)), "113706")
    assert items(real, "111634") == items(real, "111632") == []


@pytest.mark.req("REQ-REC-001")
def test_the_images_of_an_event_are_referred_to_and_listed(report, make_event):
    images = {"2.25.1001": [DoseImage("2.25.5", "2.25.6"), DoseImage("2.25.5", "2.25.7")]}
    dataset = report([DoseEvent(make_event(1)), DoseEvent(make_event(2))], images=images)
    first, second = items(dataset, "113706")
    shown = [i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for i in items(first, "113795")]
    assert shown == ["2.25.6", "2.25.7"]
    assert items(second, "113795") == []
    (study,) = dataset.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    assert (study.StudyInstanceUID, series.SeriesInstanceUID) == ("2.25.77", "2.25.5")
    assert [one.ReferencedSOPInstanceUID for one in series.ReferencedSOPSequence] == ["2.25.6", "2.25.7"]
    assert "CurrentRequestedProcedureEvidenceSequence" not in report([DoseEvent(make_event(1))])


@pytest.mark.req("REQ-REC-001")
def test_a_calibration_stands_beside_the_readings(report, make_event):
    whole = DoseCalibration(0.93, "J. Doe", datetime(2026, 5, 1, tzinfo=UTC), 5.0, "Medical physics", "AAPM TG-190")
    bare = DoseCalibration(0.93, "J. Doe, May 2026")
    plain = number(items(report([DoseEvent(make_event())]), "113706")[0], "113738")
    dataset = report([DoseEvent(make_event())], calibration=whole)
    (box,) = items(items(dataset, "113702")[0], "122505")
    assert number(box, "122322") == (Decimal("0.93"), "1")
    assert number(box, "113763") == (Decimal(5), "%")
    assert items(box, "113724")[0].TextValue == "Medical physics"
    assert number(items(dataset, "113706")[0], "113738") == plain
    # The template's container wants a date and an uncertainty: without them it is said in words, not made up.
    dataset = report([DoseEvent(make_event())], calibration=bare)
    assert items(items(dataset, "113702")[0], "122505") == []
    assert "factor 0.93 (J. Doe, May 2026)" in items(dataset, "121106")[0].TextValue
    assert number(items(dataset, "113706")[0], "113738") == plain


@pytest.mark.req("REQ-REC-001")
def test_who_let_the_beam_go_is_said_where_it_is_known(report, make_exam):
    assert items(report([]), "113870") == []
    (person,) = items(report([], make_exam(operator="Doe^Jane")), "113870")
    assert person.PersonName == "Doe^Jane"
    assert coded(person, "113875") == "113850"


@pytest.mark.req("REQ-REC-006")
def test_a_c_arm_that_moved_during_fluoroscopy_is_said(report, make_event):
    turned = PatientAngles(170.0, -3.0)
    (event,) = items(report([DoseEvent(make_event(), STANDING, turned)]), "113706")
    assert number(event, "112011")[0] == -160  # of the first pulse
    (words,) = [one.TextValue for one in items(event, "121106")]
    assert "primary angle -160.0 to 170.0 deg" in words
    assert "secondary angle 5.0 to -3.0 deg" in words
    # A rotational acquisition has items for it, a C-arm that stood nothing to say.
    run = make_event(technique=ACQUISITION)
    for still in (DoseEvent(run, STANDING, PatientAngles(-100.0, 5.0)), DoseEvent(make_event(), STANDING, STANDING)):
        assert items(items(report([still]), "113706")[0], "121106") == []


@pytest.mark.req("REQ-REC-006")
def test_a_c_arm_that_was_pushed_is_said(report, make_event):
    event = make_event()
    pushed = replace(event.first_pose, isocenter_mm=(0.0, 0.0, 80.0), source_to_detector_mm=1100.0)
    (item,) = items(report([DoseEvent(replace(event, last_pose=pushed))]), "113706")
    (words,) = [one.TextValue for one in items(item, "121106")]
    assert "source to detector 1200.0 to 1100.0 mm" in words
    assert "isocenter by 0.0, 0.0, 80.0 mm" in words


@pytest.mark.req("REQ-REC-006")
def test_where_a_press_stopped_is_said_and_read_again(tmp_path, make_event, make_exam):
    low, high = TablePose(10.0, -20.0, 30.0), TablePose(10.0, 60.0, 30.0)
    begun = make_event().first_pose
    ended = replace(begun, primary_deg=50.0)
    path = (BeamPlace(0.25, begun, low), BeamPlace(0.75, ended, high))
    event = make_event(last_pose=ended, table=high, path=path)
    angles = PatientAngles(20.0, 5.0), PatientAngles(50.0, 5.0)
    DoseReport(make_exam()).write(tmp_path / "dose.dcm", [DoseEvent(event, *angles, angles)], ended=event.ended)
    (item,) = items(pydicom.dcmread(tmp_path / "dose.dcm"), "113706")
    assert [number(item, code)[0] for code in ("113751", "113752", "113753")] == [10, -20, -30]
    assert [number(item, code)[0] for code in ("113759", "113760", "113761")] == [10, 60, -30]
    # End angles are for rotational acquisitions only.
    assert items(item, "113739") == items(item, "113740") == []
    (read,) = read_dose_object(tmp_path / "dose.dcm").events
    assert [place.share for place in read.places] == [0.25, 0.75]
    assert [place.primary_deg for place in read.places] == [20.0, 50.0]
    assert [place.table[1] for place in read.places] == [-20.0, 60.0]
    assert (read.table_lateral_mm, read.table_lateral_end_mm) == (-20.0, 60.0)
    with pytest.raises(ValueError, match="one each"):
        DoseEvent(event, *angles, angles[:1])


@pytest.mark.req("REQ-REC-001")
def test_the_table_is_said_from_the_isocentre_of_a_mobile_c_arm(report, make_event):
    table = TablePose(10.0, -20.0, 30.0)
    pose = CArmPose(0.0, 0.0, 750.0, 1200.0, isocenter_mm=(1.0, 2.0, 3.0))
    (event,) = items(report([DoseEvent(make_event(table=table, first_pose=pose))]), "113706")
    assert [number(event, code)[0] for code in ("113751", "113752", "113753")] == [9, -23, -32]


@pytest.mark.req("REQ-REC-004")
def test_a_report_so_far_is_another_object_of_the_same_study_and_events(tmp_path, make_event, make_exam):
    exam, events = make_exam(), [DoseEvent(make_event(1)), DoseEvent(make_event(2))]
    growing, read = DoseReport(exam), {}
    for state in ReportState:
        growing.write(tmp_path / "dose.dcm", events, ended=exam.started, state=state)
        read[state] = pydicom.dcmread(tmp_path / "dose.dcm")
    assert len({one.SOPInstanceUID for one in read.values()}) == 3
    assert len({(one.StudyInstanceUID, one.SeriesInstanceUID) for one in read.values()}) == 1
    uids = [[items(event, "113769")[0].UID for event in items(one, "113706")] for one in read.values()]
    assert uids == [["2.25.1001", "2.25.1002"]] * 3
    flags = [read[state].CompletionFlag for state in ReportState]
    assert flags == ["COMPLETE", "PARTIAL", "PARTIAL"]
    assert "goes on" in read[ReportState.SO_FAR].CompletionFlagDescription


@pytest.mark.req("REQ-REC-003")
def test_a_report_that_grew_is_the_same_as_one_written_at_once(tmp_path, make_event, make_exam):
    exam = make_exam()
    events = [DoseEvent(make_event(n), STANDING) for n in range(1, 6)]
    growing = DoseReport(exam)
    for count in range(1, 6):
        growing.write(tmp_path / "grown.dcm", events[:count], ended=exam.started, state=ReportState.SO_FAR)
    images = {"2.25.1003": [DoseImage("2.25.5", "2.25.6")]}  # came late, for an event encoded long ago
    growing.write(tmp_path / "grown.dcm", events, ended=exam.started, images=images)
    write_rdsr(tmp_path / "whole.dcm", exam, events, ended=exam.started, images=images)
    assert (tmp_path / "grown.dcm").read_bytes() == (tmp_path / "whole.dcm").read_bytes()
    changed = [replace(events[0], angles=PatientAngles(0.0, 0.0)), *events[1:]]
    growing.write(tmp_path / "grown.dcm", changed, ended=exam.started)
    (first, *_) = items(pydicom.dcmread(tmp_path / "grown.dcm"), "113706")
    assert number(first, "112011")[0] == 0


@pytest.mark.req("REQ-REC-005")
def test_what_a_measured_run_does_not_say_is_not_in_its_report(report, make_event, make_exam):
    unknown = dict.fromkeys(
        (
            "mean_tube_voltage_kv", "mean_tube_current_ma", "mean_pulse_width_ms", "first_pose", "last_pose", "table",
            "technique", "collimation",
        )
    )  # fmt: skip
    exam = make_exam(provenance=Provenance.LIVE)
    dataset = report([DoseEvent(make_event(**unknown))], exam)
    (event,) = items(dataset, "113706")
    numbers = {one.ConceptNameCodeSequence[0].CodeValue for one in event.ContentSequence if one.ValueType == "NUM"}
    assert numbers == {"122130", "113738", "113791", "113768", "113742", "113824"}
    assert "CAPTURED" in items(dataset, "121106")[0].TextValue
    available = [coded(dataset, code) for code in ("113943", "113944", "113945")]
    assert available == ["373066001", "373067005", "373067005"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"factor": 0.0},
        {"factor": float("nan")},
        {"uncertainty_percent": 101.0},
        {"measured": datetime(2026, 5, 1)},
    ],
)
def test_impossible_calibrations_are_refused(wrong):
    with pytest.raises(ValueError, match="calibration"):
        DoseCalibration(**{"factor": 1.0, "source": "me", **wrong})


@pytest.mark.req("REQ-REC-005")
def test_a_measured_press_without_a_dose_has_none_and_an_exam_of_such_no_report(
    report, make_event, make_exam, tmp_path
):
    exam = make_exam(provenance=Provenance.RECORDED)
    said, silent = make_event(1), make_event(2, air_kerma_mgy=0.0, kap_gy_cm2=0.0)
    dataset = report([DoseEvent(said), DoseEvent(silent)], exam)
    first, second = items(dataset, "113706")
    assert len(items(first, "113738")) == 1
    assert items(second, "113738") == items(second, "122130") == []
    assert number(items(dataset, "113702")[0], "113725") == number(first, "113738")
    assert "1 of 2 events do not say their dose" in items(dataset, "121106")[0].TextValue
    with pytest.raises(ValueError, match="no press says its dose"):
        write_rdsr(tmp_path / "none.dcm", exam, [DoseEvent(silent)], ended=exam.started)
    assert not (tmp_path / "none.dcm").exists()
    # A modelled beam that met nothing has a dose, and it is 0.
    (ours,) = items(report([DoseEvent(silent)]), "113706")
    assert number(ours, "113738")[0] == 0
