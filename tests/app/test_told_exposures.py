"""What a patient told outlives a registry that is away, a program that is killed, and comes to the registry once."""

import json
import os

import pytest
from sqlalchemy import text

from fluoroscope.app.dose.memory import DoseMemory, check_told
from fluoroscope.app.dose.room_history import RoomHistory
from fluoroscope.app.dose.told_exposures import TOLD_FOLDER, ToldExposures
from fluoroscope.monitor.control import RefusedError
from fluoroscope.records.identity import PatientIdentity
from fluoroscope.registry import Registry
from fluoroscope.registry.outside import ToldExposure, add_outside
from fluoroscope.registry.reports import Person

pytestmark = pytest.mark.req("REQ-ROOM-008")
JANE = PatientIdentity("Doe^Jane", "P-1")
CT = {"kind": "CT", "body_part": "abdomen", "place": "Köln", "when": "2019", "confirmed": False}


@pytest.fixture
def told(tmp_path):
    return ToldExposures(tmp_path / TOLD_FOLDER)


@pytest.fixture
def memory(tmp_path):
    opened = DoseMemory(tmp_path / "registry.sqlite")
    yield opened
    opened.close()


def outside(memory):
    return memory.history(JANE)["outside"]


def rows(tmp_path):
    with Registry(tmp_path / "registry.sqlite") as registry, registry.reading() as session:
        return session.execute(text("SELECT kind, removed FROM outside_exposures ORDER BY id")).all()


def test_what_was_told_is_on_disk_at_once_and_another_program_finds_it(told):
    uid = told.add(JANE, CT, "Ann")
    (found,) = ToldExposures(told.folder).waiting()
    assert (found.uid, found.patient, found.told, found.by) == (uid, JANE, CT, "Ann")
    told.take_back(JANE, uid, "Bo", "another's")
    (found,) = ToldExposures(told.folder).waiting()
    assert (found.told, found.removed_by, found.removed_why) == (CT, "Bo", "another's")


def test_a_program_killed_between_registry_and_file_hands_over_nothing_twice(told, memory, tmp_path):
    uid = told.add(JANE, CT, "Ann")
    lines, done = memory.hand_over(told)
    assert (lines, len(done)) == ([], 1)
    # Killed here: the file still stands, and the next program begins with it.
    again = ToldExposures(told.folder)
    lines, done = memory.hand_over(again)
    assert [one["uid"] for one in outside(memory)] == [str(uid)]
    for one in done:
        again.handed_over(one)
    assert list(told.folder.iterdir()) == []
    assert memory.hand_over(again) == ([], [])
    assert len(rows(tmp_path)) == 1


def test_what_is_taken_back_while_it_is_handed_over_is_taken_back(told, memory, tmp_path):
    uid = told.add(JANE, CT, "Ann")
    _, done = memory.hand_over(told)
    told.take_back(JANE, uid, "Bo", "another's")
    told.handed_over(done[0])
    _, done = memory.hand_over(told)
    told.handed_over(done[0])
    assert (outside(memory), told.waiting()) == ([], [])
    assert [tuple(one) for one in rows(tmp_path)] == [("CT", 1)]


def test_one_that_came_from_elsewhere_can_be_taken_back_too(told, memory, tmp_path):
    with Registry(tmp_path / "registry.sqlite") as registry:
        number = add_outside(registry, Person("P-1"), ToldExposure("CT"))
    told.take_back(JANE, number, "Bo", "another's")
    for _ in range(2):  # again changes nothing, and one that is gone needs nothing
        lines, done = memory.hand_over(told)
        assert (lines, len(done), outside(memory)) == ([], 1, [])


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 9}', b"\xff\xfe", b'{"format": 1, "uid": 5}'])
def test_a_damaged_file_is_named_kept_and_stops_nothing(told, memory, content):
    told.add(JANE, CT, "Ann")
    damaged = told.folder / "1.json"
    damaged.write_bytes(content)
    lines, done = memory.hand_over(told)
    assert len(lines) == len(done) == 1
    assert str(damaged) in lines[0]
    assert damaged.read_bytes() == content


def test_a_half_written_file_is_no_exposure(told):
    uid = told.add(JANE, CT, "Ann")
    whole = (told.folder / f"{uid}.json").read_bytes()
    half = told.folder / f".{uid + 1}.json.77.partial"
    half.write_bytes(whole[:40])
    assert [one.uid for one in ToldExposures(told.folder).waiting()] == [uid]
    assert half.exists()  # another room may be writing it
    os.utime(half, (1.0, 1.0))
    assert [one.uid for one in ToldExposures(told.folder).waiting()] == [uid]
    assert not half.exists()
    assert json.loads(whole)["patient"]["patient_id"] == "P-1"


def test_wrong_words_are_refused_before_anything_is_kept(tmp_path):
    with pytest.raises(ValueError, match="when is"):
        check_told(CT | {"when": "soon"})
    history = RoomHistory(lambda: DoseMemory(tmp_path / "registry.sqlite"), lambda *_: None)
    with pytest.raises(RefusedError, match="no patient"):
        history.outside_add(kind="CT")
    history.begin(JANE, tmp_path)
    with pytest.raises(RefusedError, match="when is"):
        history.outside_add(kind="CT", when="soon")
    with pytest.raises(RefusedError, match="not among those"):
        history.outside_remove(id=3)
    history.close()
    assert not (tmp_path / TOLD_FOLDER).exists()


def test_a_folder_that_cannot_be_written_says_so_and_shows_nothing(tmp_path):
    (tmp_path / TOLD_FOLDER).write_text("in the way")
    history = RoomHistory(lambda: DoseMemory(tmp_path / "registry.sqlite"), lambda *_: None)
    history.begin(JANE, tmp_path)
    with pytest.raises(RefusedError, match="on paper"):
        history.outside_add(kind="CT")
    history.close()
    assert history.status()["outside"] == []


def test_the_library_of_the_records_is_loaded_the_way_its_writer_loads_it(tmp_path, monkeypatch):
    """Two threads that load pydicom at once both fail, and the exam's writer with them."""
    loaded = []
    monkeypatch.setattr("fluoroscope.app.dose.room_history.load_records", lambda: loaded.append(True))
    history = RoomHistory(lambda: DoseMemory(tmp_path / "registry.sqlite"), lambda *_: None)
    history.begin(JANE, tmp_path)
    history.outside_add(kind="CT")
    history.close()
    assert loaded
