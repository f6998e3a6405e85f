"""What the registry takes from a file."""

import pydicom
import pytest
from pydicom.dataset import Dataset

from fluoroscope.records.contents import DoseEvent
from fluoroscope.records.rdsr import write_rdsr
from fluoroscope.registry import reading


@pytest.mark.req("REQ-REG-002")
def test_report_says_whose_it_is_what_it_covers_and_what_it_replaces(tmp_path, make_event, make_exam):
    path = tmp_path / "dose.dcm"
    event = make_event(1)
    uid = write_rdsr(path, make_exam(), [DoseEvent(event)], ended=event.ended, complete=False)
    first = reading.read_report(path)
    assert (first.sop_uid, first.person.patient_id, first.study_uid) == (uid, "P-1", "2.25.77")
    assert (first.complete, first.scope, first.scope_uid, first.replaces) == (False, "Study", "2.25.77", ())
    assert first.simulated
    assert [one.uid for one in first.events] == [event.uid]
    dataset = pydicom.dcmread(path)
    old, series, study = Dataset(), Dataset(), Dataset()
    old.ReferencedSOPClassUID, old.ReferencedSOPInstanceUID = dataset.SOPClassUID, "1.2.3.4"
    series.SeriesInstanceUID, series.ReferencedSOPSequence = "1.2.3", [old]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = "1.2", [series]
    dataset.PredecessorDocumentsSequence = [study]
    dataset.save_as(path)
    assert reading.read_report(path).replaces == ("1.2.3.4",)
