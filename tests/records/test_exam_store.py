"""Exams on disk: what is logged survives, what is damaged is said, and nothing half-written is left."""

import errno
import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pydicom
import pytest

from fluoroscope.beam.technique import Filtration, RadiationMode, Technique
from fluoroscope.records import exam_store
from fluoroscope.records.exam_store import (
    DiskRoom,
    ExamFileError,
    ExamFolder,
    disk_room,
    exams_folder,
    list_exams,
    load_exam,
)
from fluoroscope.records.identity import Anatomy, PatientAngles
from fluoroscope.records.rdsr import DoseEvent
from fluoroscope.records.xa import XARun

FRAMES = np.random.default_rng(0).integers(0, 4000, (3, 64, 64), dtype=np.uint16)


def run_of(event, count=3):
    return XARun(event, tuple(range(0, count * 133_333_333, 133_333_333)), 2000.0, 4000.0, 0.3)


@pytest.fixture
def folder(tmp_path, make_exam):
    return ExamFolder.create(tmp_path / "exams", make_exam(), {"carm": "mobile", "versions": {"fluoroscope": "0.1.0"}})


def test_the_folder_is_named_by_time_and_study(folder):
    assert folder.folder.name.startswith("20261122-100000-")
    assert len(folder.folder.name.split("-")[2]) == 8


def test_the_data_folder_can_be_moved(monkeypatch, tmp_path):
    monkeypatch.setenv("FLUOROSCOPE_HOME", str(tmp_path))
    assert exams_folder() == tmp_path / "exams"
    monkeypatch.delenv("FLUOROSCOPE_HOME")
    assert exams_folder().name == "exams"
    assert exams_folder().is_absolute()


def test_a_whole_exam_is_read_back_as_it_was(folder, make_event):
    technique = Technique(75.0, 30.0, 10.0, 15.0, Filtration(3.1, 0.2), RadiationMode.ACQUISITION)
    for number in (1, 2):
        event = make_event(number, technique=technique if number == 2 else None, collimation=None)
        folder.add_event(DoseEvent(event, PatientAngles(-160.0, 5.0), PatientAngles(-150.0, 5.0)))
        folder.save_run(FRAMES, run_of(event))
    folder.save_image(FRAMES[0], run_of(make_event(2), 1), markers=("R", "L"))
    folder.save_image(FRAMES[1], run_of(make_event(2), 1))
    ended = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
    folder.close(ended)
    assert load_exam(folder.folder) == folder.record
    assert folder.record.ended == ended
    assert folder.record.identity.anatomy is Anatomy.LUMBAR_SPINE
    names = {p.name for p in folder.folder.iterdir()}
    assert names == {
        "exam.json", "run-001.dcm", "run-002.dcm", "image-001.dcm", "image-001.png", "image-002.dcm",
        "image-002.png", "dose.dcm",
    }  # fmt: skip
    for file in folder.record.files:
        if file.sop_instance_uid:
            assert pydicom.dcmread(folder.folder / file.name).SOPInstanceUID == file.sop_instance_uid


@pytest.mark.req("HAZ-PATIENT-001")
def test_all_records_of_an_exam_are_one_study_with_its_events(folder, make_event):
    event = make_event(1)
    folder.add_event(DoseEvent(event))
    folder.save_run(FRAMES, run_of(event))
    folder.save_image(FRAMES[0], run_of(event, 1))
    folder.close(folder.record.identity.started + timedelta(minutes=5))
    datasets = [pydicom.dcmread(path) for path in sorted(folder.folder.glob("*.dcm"))]
    assert {d.StudyInstanceUID for d in datasets} == {"2.25.77"}
    assert len({d.SeriesInstanceUID for d in datasets}) == 3
    assert len({d.SOPInstanceUID for d in datasets}) == 3
    assert {d.IrradiationEventUID for d in datasets if d.Modality == "XA"} == {event.uid}


def test_the_log_says_what_it_is_of(folder):
    log = json.loads((folder.folder / "exam.json").read_text(encoding="utf-8"))
    assert log["statement"].startswith("SIMULATED - not for clinical use")
    assert log["identity"]["patient"]["name"].startswith("Yamada^Tarou=山田")
    assert log["details"]["versions"] == {"fluoroscope": "0.1.0"}


@pytest.mark.req("HAZ-RECORD-001")
def test_after_a_crash_the_exam_is_recovered_with_a_partial_report(folder, make_event):
    for number in (1, 2):
        folder.add_event(DoseEvent(make_event(number), PatientAngles(-160.0, 5.0)))
    ended = folder.record.identity.started + timedelta(minutes=1)
    again = ExamFolder.open(folder.folder)
    assert again.record.ended is None
    report = pydicom.dcmread(again.close(ended, complete=False))
    assert report.CompletionFlag == "PARTIAL"
    assert str(report).count("Irradiation Event X-Ray Data") == 2
    # A second recovery writes the same report, so that sending it again counts once.
    before = again.dose_path.read_bytes()
    ExamFolder.open(folder.folder).close(ended + timedelta(days=1))
    assert again.dose_path.read_bytes() == before


def test_an_event_counts_once_and_not_after_the_end(folder, make_event):
    folder.add_event(DoseEvent(make_event(1)))
    with pytest.raises(ValueError, match="would count double"):
        folder.add_event(DoseEvent(make_event(1)))
    folder.close(folder.record.identity.started)
    with pytest.raises(ValueError, match="exam is closed"):
        folder.add_event(DoseEvent(make_event(2)))


def test_a_full_disk_keeps_what_was_recorded(folder, make_event, monkeypatch):
    folder.add_event(DoseEvent(make_event(1)))
    folder.save_run(FRAMES, run_of(make_event(1)))
    log = (folder.folder / "exam.json").read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    for work in (
        lambda: folder.save_run(FRAMES, run_of(make_event(2))),
        lambda: folder.save_image(FRAMES[0], run_of(make_event(1), 1)),
        lambda: folder.add_event(DoseEvent(make_event(2))),
        lambda: folder.close(folder.record.identity.started),
    ):
        with pytest.raises(OSError, match="No space left on device; free disk space"):
            work()
    assert sorted(p.name for p in folder.folder.iterdir()) == ["exam.json", "run-001.dcm"]
    assert (folder.folder / "exam.json").read_bytes() == log
    assert load_exam(folder.folder) == folder.record
    monkeypatch.undo()
    folder.add_event(DoseEvent(make_event(2)))
    assert len(load_exam(folder.folder).events) == 2


def test_a_data_folder_that_cannot_be_made(tmp_path, make_exam):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot make .*: Not a directory; choose a data folder"):
        ExamFolder.create(tmp_path / "file", make_exam(), {})


def test_exams_are_listed_newest_first_and_damaged_ones_with_their_problem(tmp_path, make_exam, make_event):
    for minute in (0, 5):
        exam = make_exam(study_uid=f"2.25.1{minute}", started=datetime(2026, 11, 22, 10, minute, tzinfo=UTC))
        made = ExamFolder.create(tmp_path, exam, {})
        made.add_event(DoseEvent(make_event(1)))
        made.save_run(FRAMES, run_of(make_event(1)))
    (tmp_path / "20200101-000000-broken").mkdir()
    (tmp_path / "20200101-000000-broken" / "exam.json").write_text('{"format": 1, "ident')
    (tmp_path / "something else").mkdir()
    newest, older, broken = list_exams(tmp_path)
    assert newest.started > older.started
    assert (newest.events, newest.runs, newest.images, newest.problem) == (1, 1, 0, "")
    assert "damaged" in broken.problem
    assert list_exams(tmp_path / "none") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "damaged"),
        ("[]", "format None"),
        ('{"format": 99}', "format 99, 1 is read"),
        ('{"format": 1}', "identity: Field required"),
    ],
)
def test_a_damaged_log_is_one_line(folder, text, message):
    (folder.folder / "exam.json").write_text(text)
    with pytest.raises(ExamFileError, match=message) as caught:
        load_exam(folder.folder)
    assert "\n" not in str(caught.value)


def test_a_folder_without_an_exam(tmp_path):
    with pytest.raises(ExamFileError, match="no exam in it"):
        load_exam(tmp_path)


def test_room_on_the_disk(tmp_path, folder, monkeypatch):
    room = disk_room(tmp_path, budget_bytes=10**12)
    assert room.used_bytes == sum(f.stat().st_size for f in tmp_path.rglob("*") if f.is_file()) > 0
    assert disk_room(tmp_path / "not" / "yet").used_bytes == 0
    assert DiskRoom(10**12, 10**9, None).warning is None
    assert DiskRoom(10**12, 10**9, 10**10).warning is None
    assert "only 1.0 GB free" in DiskRoom(10**9, 0, None).warning
    assert "9.5 of 10.0 GB" in DiskRoom(10**12, 95 * 10**8, 10**10).warning


def test_the_log_is_small_work(folder):
    assert exam_store._adapter() is exam_store._adapter()
