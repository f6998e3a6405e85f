"""Fifty procedures nobody thought of: their dose reports and patient dose records under every validator."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pydicom
import pytest

from fluoroscope.acquisition.frame import Collimation
from fluoroscope.beam.technique import PULSE_RATES_HZ, Filtration, RadiationMode, Technique
from fluoroscope.dicom.dose_objects import read_dose_object
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.table import PatientPosition, TablePose
from fluoroscope.records.contents import DoseCalibration, DoseEvent, DoseImage
from fluoroscope.records.identity import Anatomy, PatientAngles
from fluoroscope.records.patient_dose import BodyModel, OrganEstimate, PatientDose, map_path, write_patient_dose
from fluoroscope.records.rdsr import DoseReport, ReportState, dose_report_series
from fluoroscope.records.report_subject import ReportSource, subject_of_exam

COUNT = 50
X_RAY_DOSE = "1.2.840.10008.5.1.4.1.1.88.67"
# There was only fluoroscopy, or nothing at all: 0 is what was acquired.
ONLY_FLUOROSCOPY = "unlikely to be correct"
NO_X_RAY = "Missing required"
# The template asks for a tube current; where the source does not say it, none is made up.
NO_CURRENT = "Missing conditional content item"


def angles(rng):
    return PatientAngles(float(rng.uniform(-180, 180)), float(rng.uniform(-90, 90)))


def a_pose(rng):
    isocenter = tuple(float(v) for v in rng.uniform(-200, 200, 3))
    return CArmPose(float(rng.uniform(-180, 180)), float(rng.uniform(-60, 60)), 750.0, float(rng.uniform(950, 1250)),
                    isocenter_mm=isocenter)  # fmt: skip


def an_event(rng, make_event, number):
    mode = RadiationMode.ACQUISITION if rng.random() < 0.3 else RadiationMode.FLUOROSCOPY
    filtration = Filtration(float(rng.uniform(0, 8)), float(rng.choice([0.0, 0.1, 0.3, 0.9])))
    rate = float(rng.choice(PULSE_RATES_HZ))
    technique = Technique(float(rng.uniform(40, 125)), float(rng.uniform(0.5, 400)), 8.0, rate, filtration, mode)
    known = rng.random() < 0.8
    first = a_pose(rng) if rng.random() < 0.9 else None
    return make_event(
        number,
        pulses=int(rng.integers(1, 5000)),
        pulse_rate_hz=rate,
        air_kerma_mgy=float(10 ** rng.uniform(-6, 4)),
        kap_gy_cm2=float(10 ** rng.uniform(-6, 3)),
        mean_tube_voltage_kv=technique.tube_voltage_kv if known else None,
        mean_tube_current_ma=technique.tube_current_ma if known else None,
        mean_pulse_width_ms=8.0 if known else None,
        technique=technique,
        table=TablePose(*(float(v) for v in rng.uniform(-15, 15, 6))) if rng.random() < 0.7 else None,
        collimation=Collimation(*(float(v) for v in rng.uniform(1, 150, 4))) if rng.random() < 0.8 else None,
        first_pose=first,
        last_pose=a_pose(rng) if first and rng.random() < 0.5 else first,
    )


def a_calibration(rng):
    if rng.random() < 0.4:
        return None
    if rng.random() < 0.5:
        return DoseCalibration(float(rng.uniform(0.5, 2.0)), "a physicist, May 2026")
    when = datetime(2026, 5, 1, tzinfo=UTC)
    return DoseCalibration(float(rng.uniform(0.5, 2.0)), "a physicist", when, float(rng.uniform(0, 100)), "Physics")


def a_dose(rng, events):
    peak, share = float(10 ** rng.uniform(-4, 4)), float(rng.random())
    if rng.random() < 0.3:
        return PatientDose(peak, 0.3 * peak, 4.0 * peak, False, BodyModel("plane", "no body"), through_table=False)
    cells = rng.random((int(rng.integers(2, 40)), int(rng.integers(2, 40))))
    body = BodyModel(*((("patient", "own skin"), ("adult", "an adult", 170.0, 80.0))[int(rng.integers(2))]))
    known = rng.random() < 0.5
    return PatientDose(
        peak, 0.55 * peak, 1.45 * peak, True, body, (1.0, -2.0, 3.0), "front", share, cells / cells.max() * peak,
        4.2 if known else None, 1.3 if known else None, known, (("copper", 0.0, 0.3),) if known else (),
        tuple(one.event.uid for one in events[:1]), 0.5 if known else None, "a paper" if known else "",
        (OrganEstimate("Liver", 0.2), OrganEstimate("Uterus", 0.1)) if known else (), ("a remark",),
    )  # fmt: skip


@pytest.fixture(scope="module")
def procedures(tmp_path_factory):
    """Paths of (dose report, patient dose) of every procedure, with the sums that went in."""
    folder = tmp_path_factory.mktemp("procedures")
    return folder, []


@pytest.fixture
def written(procedures, make_event, make_exam):
    folder, made = procedures
    for seed in range(COUNT if not made else 0):
        rng = np.random.default_rng(seed)
        exam = make_exam(
            study_uid=f"2.25.{7000 + seed}",
            position=list(PatientPosition)[int(rng.integers(len(PatientPosition)))],
            anatomy=list(Anatomy)[int(rng.integers(len(Anatomy)))],
            therapeutic=bool(rng.random() < 0.5),
            operator="Doe^Jane" if rng.random() < 0.5 else "",
        )
        events = [
            DoseEvent(
                an_event(rng, make_event, number),
                *((angles(rng), angles(rng)) if rng.random() < 0.8 else (None, None)),
            )
            for number in range(1, int(rng.integers(1, 9)))
        ]
        images = {e.event.uid: [DoseImage("2.25.5", f"2.25.{10 * n}")] for n, e in enumerate(events) if n % 2}
        state = list(ReportState)[int(rng.integers(3))]
        report = folder / f"dose-{seed}.dcm"
        ended = exam.started + timedelta(minutes=5)
        uid = DoseReport(exam, a_calibration(rng)).write(report, events, ended=ended, state=state, images=images)
        uids = tuple(one.event.uid for one in events)
        source = ReportSource(exam.study_uid, dose_report_series(exam), uid, uids)
        record = folder / f"patient-{seed}.dcm"
        write_patient_dose(record, subject_of_exam(exam), source, a_dose(rng, events), ended)
        made.append((report, record, events))
    return made


@pytest.mark.req("REQ-REC-001", "REQ-REC-002", "REQ-REC-004")
@pytest.mark.peer("dciodvfy")
def test_dciodvfy_finds_no_error_in_fifty_procedures(written, dciodvfy, tmp_path):
    assert len(written) == COUNT
    for report, record, _ in written:
        renamed = tmp_path / "renamed.dcm"
        dataset = pydicom.dcmread(record)
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = X_RAY_DOSE
        dataset.save_as(renamed)
        picture = map_path(record)
        for path in (report, renamed, *([picture] if picture.exists() else [])):
            assert dciodvfy(path).errors == [], path


def _lacks_current(line, events):
    asked = any(words in line for words in ('"X-Ray Tube Current"', '"Exposure"'))
    return asked and any(one.event.mean_tube_current_ma is None for one in events)


@pytest.mark.req("REQ-REC-001")
@pytest.mark.timeout(3600)
@pytest.mark.peer("pixelmed")
def test_pixelmed_finds_nothing_unexplained(written, run_peer):
    jar, driver = "/usr/share/java/pixelmed.jar", Path(__file__).with_name("ValidateMany.java")
    limits = [f"-Djdk.xml.xpath{name}=0" for name in ("TotalOpLimit", "ExprGrpLimit", "ExprOpLimit")]
    # Every fifth unless all are asked for: each takes ten seconds and more.
    chosen = written if os.environ.get("FLUOROSCOPE_ALL_PROCEDURES") else written[::5]
    paths = [report for report, _, _ in chosen]
    done = run_peer("java", *limits, "-cp", jar, driver, *paths, seconds=3600)
    text = done.stdout.decode("utf-8", "replace")
    parts = text.split("FILE ")[1:]
    assert len(parts) == len(chosen), done.stderr.decode()[-2000:]
    for part, (_, _, events) in zip(parts, chosen, strict=True):
        assert "IOD validation complete" in part, part
        lines = [line for line in part.splitlines() if line.startswith(("Error", "Warning"))]
        explained = [ONLY_FLUOROSCOPY]
        explained += [] if events else [NO_X_RAY]
        lines = [line for line in lines if not (NO_CURRENT in line and _lacks_current(line, events))]
        assert [line for line in lines if not any(words in line for words in explained)] == [], part


@pytest.mark.req("REQ-REC-002")
@pytest.mark.peer("dcmtk")
def test_dsrdump_reads_every_patient_dose_record(written, run_peer):
    for _, record, _ in written:
        done = run_peer("dsrdump", record)
        assert done.returncode == 0, done.stderr
        assert b"error" not in done.stderr.lower(), done.stderr


@pytest.mark.req("REQ-REC-001")
def test_our_own_reader_finds_the_same_sums(written):
    for report, _, events in written:
        read = read_dose_object(report)
        assert len(read.events) == len(events)
        kerma = sum(one.event.air_kerma_mgy for one in events)
        assert read.total.air_kerma_mgy == pytest.approx(kerma, abs=1e-6)
        assert (read.summed.air_kerma_mgy or 0.0) == pytest.approx(kerma, abs=1e-6)
        assert read.total.kap_gy_cm2 == pytest.approx(sum(one.event.kap_gy_cm2 for one in events), abs=1e-6)
