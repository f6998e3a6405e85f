"""What dciodvfy says of an exported patient."""

from datetime import UTC, date, datetime

import numpy as np
import pytest

from fluoroscope.patient.labels import LabelMap
from fluoroscope.patient.volume import Volume
from fluoroscope.records.ct_series import CTDescription, write_ct_series
from fluoroscope.records.identity import Equipment, ExamIdentity, PatientIdentity
from fluoroscope.records.segmentation import write_segmentation


@pytest.fixture(scope="module", params=[True, False], ids=["simulated", "copy"])
def written(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    values = np.random.default_rng(2).integers(-1000, 2000, (12, 30, 40)).astype(np.int16)
    matrix = np.zeros((4, 4))
    matrix[2, 0] = matrix[1, 1] = matrix[0, 2] = matrix[3, 3] = 1.0
    marks = np.zeros(values.shape, np.uint8)
    marks[2:5, 4:10, 4:10], marks[6:9, 4:10, 4:10] = 29, 137
    exam = ExamIdentity(
        "2.25.77",
        datetime(2026, 1, 3, tzinfo=UTC),
        PatientIdentity("Simulated^anna", "SIM-anna", date(1980, 1, 1), "F"),
        Equipment("modelled patient", "0.1.0"),
    )
    about = CTDescription(exam, simulated=request.param)
    slices = write_ct_series(folder / "ct", Volume(values, matrix), about)
    write_segmentation(folder / "seg.dcm", LabelMap(marks, {29: "vertebrae_L3", 137: "disc_L3_L4"}), slices, about)
    return folder


@pytest.mark.peer("dciodvfy")
@pytest.mark.req("REQ-PAT-044")
def test_dciodvfy_finds_no_error_in_series_and_segmentation(written, dciodvfy):
    for path in (*sorted((written / "ct").iterdir()), written / "seg.dcm"):
        assert dciodvfy(path).errors == []
