"""Fifty procedures nobody thought of: their dose reports and patient dose records under every validator."""

from pathlib import Path

import pydicom
import pytest

from fluoroscope.dicom.dose_objects import read_dose_object
from fluoroscope.records.patient_dose import map_path

COUNT = 50
X_RAY_DOSE = "1.2.840.10008.5.1.4.1.1.88.67"
# There was only fluoroscopy, or nothing at all: 0 is what was acquired.
ONLY_FLUOROSCOPY = "unlikely to be correct"
NO_X_RAY = "Missing required"
# The template asks for a tube current; where the source does not say it, none is made up.
NO_CURRENT = "Missing conditional content item"
# It spells CID 10008 out in the template and leaves the table's end out, which its own copy of that group has.
TABLE_END = 'End Position"): Content Item not in template'


@pytest.mark.req("REQ-REC-001", "REQ-REC-002", "REQ-REC-004")
@pytest.mark.peer("dciodvfy")
def test_dciodvfy_finds_no_error_in_fifty_procedures(procedures, dciodvfy, tmp_path):
    assert len(procedures) == COUNT
    for report, record, _, _ in procedures:
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
@pytest.mark.timeout(1800)
@pytest.mark.peer("pixelmed")
def test_pixelmed_finds_nothing_unexplained(procedures, run_peer):
    jar, driver = "/usr/share/java/pixelmed.jar", Path(__file__).with_name("ValidateMany.java")
    limits = [f"-Djdk.xml.xpath{name}=0" for name in ("TotalOpLimit", "ExprGrpLimit", "ExprOpLimit")]
    done = run_peer("java", *limits, "-cp", jar, driver, *(one.report for one in procedures), seconds=1700)
    text = done.stdout.decode("utf-8", "replace")
    parts = text.split("FILE ")[1:]
    assert len(parts) == COUNT, done.stderr.decode()[-2000:]
    for part, (_, _, events, _) in zip(parts, procedures, strict=True):
        assert "IOD validation complete" in part, part
        lines = [line for line in part.splitlines() if line.startswith(("Error", "Warning"))]
        explained = [ONLY_FLUOROSCOPY]
        explained += [TABLE_END] if any(one.event.last_pose != one.event.first_pose for one in events) else []
        explained += [] if events else [NO_X_RAY]
        lines = [line for line in lines if not (NO_CURRENT in line and _lacks_current(line, events))]
        assert [line for line in lines if not any(words in line for words in explained)] == [], part


@pytest.mark.req("REQ-REC-002")
@pytest.mark.peer("dcmtk")
def test_dsrdump_reads_every_patient_dose_record(procedures, run_peer):
    for _, record, _, _ in procedures:
        done = run_peer("dsrdump", record)
        assert done.returncode == 0, done.stderr
        assert b"error" not in done.stderr.lower(), done.stderr


@pytest.mark.req("REQ-REC-001")
def test_our_own_reader_finds_the_same_sums(procedures):
    for report, _, events, _ in procedures:
        read = read_dose_object(report)
        assert len(read.events) == len(events)
        assert [len(one.places) for one in read.events] == [len(one.path_angles) for one in events]
        kerma = sum(one.event.air_kerma_mgy for one in events)
        assert read.total.air_kerma_mgy == pytest.approx(kerma, abs=1e-6)
        assert (read.summed.air_kerma_mgy or 0.0) == pytest.approx(kerma, abs=1e-6)
        assert read.total.kap_gy_cm2 == pytest.approx(sum(one.event.kap_gy_cm2 for one in events), abs=1e-6)
