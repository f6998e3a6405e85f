"""Records of an exam while it goes on: a whole dose report after every press, whatever becomes of the program."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace

import numpy as np
import pydicom
import pytest

from fluoroscope.app.exams import exam_facts
from fluoroscope.app.recording import ExamRecording, recover_exams
from fluoroscope.dose.skin_dose import SkinMap
from fluoroscope.dose.skin_phantoms import skin_phantom
from fluoroscope.records import rdsr
from fluoroscope.records.contents import DoseCalibration, DoseEvent
from fluoroscope.records.exam_store import ExamFolder, is_open, load_exam
from fluoroscope.records.identity import PatientAngles
from fluoroscope.records.rdsr import DoseReport, ReportState


def event_uids(path):
    """UIDs of the events of a dose report, in order."""
    content = pydicom.dcmread(path).ContentSequence
    events = [item for item in content if item.ConceptNameCodeSequence[0].CodeValue == "113706"]
    named = [{i.ConceptNameCodeSequence[0].CodeValue: i for i in event.ContentSequence} for event in events]
    return [items["113769"].UID for items in named]


def words(path):
    return " ".join(str(element.value) for element in pydicom.dcmread(path).iterall() if element.keyword == "TextValue")


@pytest.fixture
def recording(tmp_path, make_exam):
    exam = ExamRecording(make_exam(), {}, {"name": "small"}, tmp_path / "exams")
    yield exam
    exam.close()


@pytest.mark.req("REQ-REC-003", "REQ-REC-004")
def test_after_every_press_all_presses_so_far_are_reported(recording, make_event, wait_for):
    path = recording.folder / "dose.dcm"
    seen = set()
    for number in (1, 2, 3):
        recording.log_event(make_event(number))
        wanted = [f"2.25.{1000 + n}" for n in range(1, number + 1)]
        assert wait_for(lambda wanted=wanted: path.exists() and event_uids(path) == wanted)
        dataset = pydicom.dcmread(path)
        assert dataset.CompletionFlag == "PARTIAL"
        seen.add(dataset.SOPInstanceUID)
        assert is_open(recording.folder)
    recording.close()
    complete = pydicom.dcmread(path)
    assert complete.CompletionFlag == "COMPLETE"
    assert complete.SOPInstanceUID not in seen
    assert len(seen) == 3
    assert event_uids(path) == ["2.25.1001", "2.25.1002", "2.25.1003"]
    assert not is_open(recording.folder)
    assert [file.kind for file in load_exam(recording.folder).files] == ["dose"]


@pytest.mark.req("REQ-REC-003")
def test_presses_that_come_faster_than_the_disk_share_a_report(recording, make_event, monkeypatch):
    written, going, go_on = [], threading.Event(), threading.Event()
    real = ExamFolder.write_dose_so_far

    def slow(self, at):
        going.set()
        assert go_on.wait(60.0)
        written.append(len(self.record.events))
        return real(self, at)

    monkeypatch.setattr(ExamFolder, "write_dose_so_far", slow)
    recording.log_event(make_event(1))
    assert going.wait(60.0)
    for number in range(2, 42):
        recording.log_event(make_event(number))
    go_on.set()
    recording.close()
    assert len(written) <= 3
    assert written[-1] == 41
    assert len(event_uids(recording.folder / "dose.dcm")) == 41


@pytest.mark.req("REQ-REC-003")
@pytest.mark.peer("dciodvfy")
def test_a_report_so_far_is_valid_after_a_kill_and_recovered(small_ct, tmp_path):
    script = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from fluoroscope.app.serving import open_room
        from fluoroscope.app.setup import RoomSetup
        room = open_room(RoomSetup(sys.argv[1], matrix=512), Path(sys.argv[2]))
        control = room.status()["dose"]["control"]
        if control and control["screening"]["blocks"]:
            room.command("screening_answer", {"answer": "no", "by": "test"})
        room.command("set_technique", {"pulse_rate_hz": 15.0})
        for press in (1, 2, 3):
            before = room.status()["pulses"]["delivered"]
            room.command("pedal", {"down": True})
            while room.status()["pulses"]["delivered"] < before + 3:
                time.sleep(0.01)
            if press < 3:
                room.command("pedal", {"down": False})
                while room.status()["state"] == "EXPOSING":
                    time.sleep(0.01)
        report = next(Path(sys.argv[2]).glob("*")) / "dose.dcm"
        print("pressed", flush=True)
        while True:
            time.sleep(0.1)
        """
    )
    exams = tmp_path / "exams"
    victim = subprocess.Popen(
        [sys.executable, "-c", script, str(small_ct), str(exams)], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert victim.stdout.readline() == "pressed\n"
    (folder,) = exams.iterdir()
    # The writer may be at the run of the second press; its report comes before.
    for _ in range(600):
        if (folder / "dose.dcm").exists() and len(event_uids(folder / "dose.dcm")) == 2:
            break
        threading.Event().wait(0.1)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    victim.stdout.close()
    report = folder / "dose.dcm"
    before = event_uids(report)
    assert len(before) == 2
    assert pydicom.dcmread(report).CompletionFlag == "PARTIAL"
    done = subprocess.run(["dciodvfy", "-new", report], capture_output=True, check=False)
    assert b"Error" not in done.stderr, done.stderr
    (told,) = recover_exams(exams)
    assert "3 presses" in told
    after = event_uids(report)
    assert (len(after), after[:2]) == (3, before)
    assert recover_exams(exams) == []


@pytest.mark.req("REQ-REC-003")
def test_a_kill_at_any_moment_leaves_a_whole_report(tmp_path):
    script = textwrap.dedent(
        """
        import sys, time
        from datetime import UTC, datetime, timedelta
        from pathlib import Path
        from fluoroscope.acquisition.event import IrradiationEvent
        from fluoroscope.app.recording import ExamRecording
        from fluoroscope.records.identity import Equipment, ExamIdentity, PatientIdentity
        started = datetime(2026, 11, 22, 10, tzinfo=UTC)
        who = ExamIdentity("2.25.77", started, PatientIdentity("A^B", "P"), Equipment("virtual", "0"))
        exam = ExamRecording(who, {}, {}, Path(sys.argv[1]))
        for n in range(1, 100000):
            time.sleep(0.02)
            at = started + timedelta(seconds=n)
            measured = (5, 0, 15.0, 1.0, 0.04, 0.5, 0.1, 70.0, 3.0, 8.0)
            exam.log_event(IrradiationEvent(f"2.25.{n}", n, at, at, *measured, None, None, None, None, None))
            print(n, flush=True)
        """
    )
    victim = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    # Presses come all the time; some way behind the first report the program is killed, whatever it does then.
    more = 60
    for _ in victim.stdout:
        more -= any(tmp_path.glob("*/dose.dcm"))
        if more == 0:
            break
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    victim.stdout.close()
    (folder,) = tmp_path.iterdir()
    reported = event_uids(folder / "dose.dcm")
    assert reported == [f"2.25.{n}" for n in range(1, len(reported) + 1)]
    assert reported
    logged = load_exam(folder).events
    assert len(logged) >= len(reported)
    # The journal of this exam knows no press (nobody wrote it): what is logged is kept all the same.
    (told,) = recover_exams(tmp_path)
    assert f"{len(logged)} presses" in told
    assert len(event_uids(folder / "dose.dcm")) == len(logged)
    assert recover_exams(tmp_path) == []


@pytest.mark.req("REQ-REC-003")
def test_a_full_disk_is_said_once_and_the_report_comes_when_there_is_room(recording, make_event, monkeypatch, wait_for):
    recording.log_event(make_event(1))
    path = recording.folder / "dose.dcm"
    assert wait_for(path.exists)
    whole = path.read_bytes()
    full, tried, real = [True], [], rdsr.dcmwrite

    def writing(*args, **kwargs):
        tried.append(1)
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args, **kwargs)

    monkeypatch.setattr(rdsr, "dcmwrite", writing)
    for number in (2, 3, 4):
        recording.log_event(make_event(number))
        assert wait_for(lambda number=number: len(tried) >= number - 1)
    assert path.read_bytes() == whole
    assert not list(recording.folder.glob(".*.partial"))
    full[0] = False
    recording.log_event(make_event(5))
    assert wait_for(lambda: len(event_uids(path)) == 5)
    told = [text for level, text in recording.take_messages() if level == "stop"]
    assert len(told) == 1
    assert "No space left on device" in told[0]


@pytest.mark.req("REQ-REC-003")
def test_a_late_press_costs_no_more_than_its_own_encoding(tmp_path, make_exam, make_event, monkeypatch):
    encoded = []
    real = rdsr.event_item

    def counted(event, exam, images):
        encoded.append(event.event.uid)
        return real(event, exam, images)

    monkeypatch.setattr(rdsr, "event_item", counted)
    exam = make_exam()
    events = [DoseEvent(make_event(n), PatientAngles(0.0, 0.0)) for n in range(1, 501)]
    report = DoseReport(exam)
    report.write(tmp_path / "dose.dcm", events[:499], ended=exam.started, state=ReportState.SO_FAR)
    encoded.clear()
    report.write(tmp_path / "dose.dcm", events, ended=exam.started, state=ReportState.SO_FAR)
    assert encoded == [events[-1].event.uid]
    assert len(event_uids(tmp_path / "dose.dcm")) == 500


@pytest.mark.req("REQ-REC-002")
def test_the_skin_map_of_the_exam_is_written_when_it_closes(recording, make_event):
    phantom = skin_phantom("adult")
    dose = np.zeros(len(phantom.centers))
    dose[1234] = 7.5
    where = tuple(float(value) for value in phantom.centers[1234])
    recording.skin_result = lambda: SkinMap(phantom, dose, 7.5, where, 0.9)
    recording.estimates = lambda: {
        "effective_msv": 0.4,
        "coefficient": {"name": "lumbar", "msv_per_gy_cm2": 0.2, "source": "a paper"},
        "organs": [{"name": "Liver", "mgy": 0.3}],
        "note": "an estimate",
    }
    recording.log_event(make_event(1))
    recording.note("screening", {"answer": "no", "by": "Jo"})
    recording.close()
    record = load_exam(recording.folder)
    assert [file.kind for file in record.files] == ["dose", "patient dose", "skin map"]
    for file in record.files:
        assert pydicom.dcmread(recording.folder / file.name).SOPInstanceUID == file.sop_instance_uid
    assert record.notes["screening"] == {"answer": "no", "by": "Jo"}
    assert record.notes["skin dose"]["peak_skin_dose_mgy"] == 7.5
    facts = exam_facts(str(recording.folder))
    assert facts["notes"] == record.notes
    assert facts["files"] == ["dose.dcm", "patient_dose.dcm", "patient_dose_map.dcm"]
    text = words(recording.folder / "patient_dose.dcm")
    assert "a paper" in text
    assert "an estimate" in text


def test_an_exam_without_a_skin_map_has_no_patient_dose(recording, make_event):
    recording.skin_result = lambda: None
    recording.log_event(make_event(1))
    recording.close()
    assert not (recording.folder / "patient_dose.dcm").exists()
    assert "skin dose" not in load_exam(recording.folder).notes


def test_a_skin_map_that_cannot_be_written_spoils_no_dose_report(recording, make_event):
    def broken():
        raise ValueError("the skin is lost")

    recording.skin_result = broken
    recording.log_event(make_event(1))
    recording.close()
    assert pydicom.dcmread(recording.folder / "dose.dcm").CompletionFlag == "COMPLETE"
    assert any("the skin is lost" in text for _, text in recording.take_messages())


@pytest.mark.req("REQ-REC-001")
def test_the_calibration_survives_in_the_log_and_is_in_every_report(tmp_path, make_exam, make_event):
    calibration = DoseCalibration(0.93, "J. Doe, May 2026")
    exam = ExamRecording(make_exam(), {}, {}, tmp_path, calibration)
    exam.log_event(make_event(1))
    exam.close()
    assert load_exam(exam.folder).calibration == calibration
    assert "factor 0.93" in words(exam.folder / "dose.dcm")


def test_an_open_exam_is_told_by_its_log_alone(tmp_path, make_exam, make_event):
    store = ExamFolder.create(tmp_path, make_exam(), {"ended": None})
    assert is_open(store.folder)
    store.add_event(DoseEvent(make_event(1)))
    store.note("of the app", {"ended": None, "more": {"ended": None}})
    store.write_dose_so_far(store.record.identity.started)
    assert is_open(store.folder)
    store.close(store.record.identity.started)
    assert not is_open(store.folder)
    with pytest.raises(ValueError, match="exam is closed"):
        store.write_dose_so_far(store.record.identity.started)
    assert replace(load_exam(store.folder)) == store.record
