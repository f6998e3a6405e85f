"""The patient's dose record as programs others wrote see it.

dciodvfy of 2022 does not know Patient Radiation Dose SR: its modules, which are those of the X-Ray Radiation Dose SR,
are checked under that name. dcmtk checks its relationships (PS3.3 A.35.18). PixelMed of 2022 does not know TID 10030.
"""

import numpy as np
import pydicom
import pytest

from fluoroscope.records.patient_dose import BodyModel, OrganEstimate, PatientDose, map_path, write_patient_dose
from fluoroscope.records.report_subject import ReportSource, subject_of_exam

SOURCE = ReportSource("2.25.77", "2.25.8", "2.25.9", ("2.25.1", "2.25.2"))
X_RAY_DOSE = "1.2.840.10008.5.1.4.1.1.88.67"
OUR_OWN_CODE = "Unrecognized defined term = <99FLUOROSCOPE>"


def full(highest_mgy=12.0):
    dose = np.random.default_rng(1).random((30, 40)) * highest_mgy
    peak = float(dose.max())
    adult = BodyModel("adult", "adult of 176 cm and 73 kg", 176.0, 73.0)
    return PatientDose(
        peak, 0.6 * peak, 1.4 * peak, True, adult, (1.0, 2.0, 3.0), "front", 0.9, dose, 4.5, 1.33, True,
        (("aluminium", 3.1, 3.1), ("copper", 0.1, 0.3)), ("2.25.1",), 1.2, "a source",
        (OrganEstimate("Liver", 2.2),), ("a remark",),
    )  # fmt: skip


def weak():
    return full(0.01)


def bounds():
    return PatientDose(5.0, 2.0, 9.0, False, BodyModel("plane", "no body"), through_table=False)


@pytest.fixture(params=[full, weak, bounds], ids=["map", "weak", "bounds"])
def path(request, tmp_path, make_exam):
    exam = make_exam()
    path = tmp_path / "patient_dose.dcm"
    write_patient_dose(path, subject_of_exam(exam), SOURCE, request.param(), exam.started)
    return path


@pytest.mark.req("REQ-REC-002")
@pytest.mark.peer("dciodvfy")
def test_dciodvfy_finds_no_error_in_its_modules_and_in_the_map(path, dciodvfy):
    dataset = pydicom.dcmread(path)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = X_RAY_DOSE
    other = path.with_name("renamed.dcm")
    dataset.save_as(other)
    verdict = dciodvfy(other)
    assert verdict.errors == []
    assert [line for line in verdict.warnings if OUR_OWN_CODE not in line] == []
    if map_path(path).exists():
        verdict = dciodvfy(map_path(path))
        assert (verdict.errors, verdict.warnings) == ([], [])


@pytest.mark.req("REQ-REC-002")
@pytest.mark.peer("dcmtk")
def test_dsrdump_finds_every_relationship_allowed(path, run_peer):
    done = run_peer("dsrdump", path)
    text = done.stdout.decode()
    assert done.returncode == 0, done.stderr
    assert "Patient Radiation Dose SR Document" in text
    assert "Maximum Absorbed Radiation Dose" in text
    complaints = [line for line in done.stderr.decode().splitlines() if "ISO_IR 192" not in line]
    assert all("not yet supported" in line for line in complaints), complaints


@pytest.mark.req("REQ-REC-002")
@pytest.mark.peer("pixelmed")
def test_pixelmed_finds_no_error(path, pixelmed):
    verdict = pixelmed(path)
    assert verdict.errors == []
    assert all("not in template" in line for line in verdict.warnings), verdict.warnings
