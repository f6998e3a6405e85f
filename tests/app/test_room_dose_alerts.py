"""Dose alerts of the real room: raised by the running total, seen by name, in the journal, gone with the exam."""

from pathlib import Path

import pytest

from fluoroscope.app.dose.rules import DoseRulesError, read_rules
from fluoroscope.app.serving import open_room
from fluoroscope.app.setup import RoomSetup
from fluoroscope.dose.alerts import CumulativeDose, alerts_of
from fluoroscope.live.journal import read_journal, recover_exam
from fluoroscope.monitor.control import RefusedError

LEVELS = 'source = "room 3"\n[fluoroscopy_time]\nunit = "s"\nfirst = 2\nevery = 1\n'


@pytest.fixture
def levels(tmp_path):
    path = tmp_path / "levels.toml"
    path.write_text(LEVELS)
    return path


@pytest.fixture
def room(small_ct, exams, levels):
    opened = open_room(RoomSetup(str(small_ct), matrix=512, dose_rules=levels), exams, seed=3)
    yield opened
    opened.close()


def alerts(room):
    return room.status()["dose"]["alerts"]


def nothing_open(room):
    return {key: value for key, value in alerts(room).items() if key != "next"} == {
        "count": 0,
        "up_to": None,
        "open": [],
    }


def notes(journal, text):
    return [entry for entry in read_journal(journal).entries if entry["type"] == "note" and entry["text"] == text]


def test_an_alert_comes_once_is_seen_by_name_and_is_in_the_journal(room, wait_for, levels):
    assert nothing_open(room)
    room.command("set_technique", {"pulse_rate_hz": 7.5})
    room.command("pedal", {"down": True})
    assert wait_for(lambda: alerts(room)["count"] == 1)
    (first,) = alerts(room)["open"]
    assert (first["quantity"], first["unit"], first["kind"], first["at_event"], first["source"]) == (
        "fluoroscopy_time", "min", "first", 1, "room 3",
    )  # fmt: skip
    assert first["level"] == pytest.approx(2 / 60)
    shown = alerts(room)["up_to"]
    # While X-ray goes on: seeing an alert ends nothing, and what comes later is still open.
    assert wait_for(lambda: alerts(room)["count"] == 2)
    room.command("dose_alerts_seen", {"by": "Ann Lee", "up_to": shown})
    assert alerts(room)["count"] == 1
    assert room.status()["x_ray_on"]
    room.command("pedal", {"down": False})
    assert wait_for(lambda: room.status()["state"] == "HOLD")
    with pytest.raises(RefusedError, match="not open any more"):
        room.command("dose_alerts_seen", {"by": "Bo", "up_to": shown})
    with pytest.raises(RefusedError, match="say who"):
        room.command("dose_alerts_seen", {"by": " ", "up_to": alerts(room)["up_to"]})

    journal = Path(room.status()["exam"]["folder"]) / "journal.jsonl"
    raised, seen = notes(journal, "dose alert"), notes(journal, "dose alert seen")
    names = [note["name"] for note in raised]
    assert names == list(dict.fromkeys(names))
    assert [(note["name"], note["by"]) for note in seen] == [(names[0], "Ann Lee")]
    # A program that reads the journal after a crash comes to the same alerts.
    dose = recover_exam(journal).dose
    again = alerts_of([(CumulativeDose(None, None, None, dose.fluoroscopy_time_s), 1)], read_rules(levels).levels)
    assert [alert.name for alert in again.alerts] == names


def test_the_next_exam_begins_without_the_alerts_of_the_last(room, expose, wait_for):
    expose(room, pulses=20)
    assert alerts(room)["count"] >= 1
    before = room.status()["exam"]["uid"]
    room.command("close_exam", {})
    assert wait_for(lambda: room.status()["exam"]["uid"] != before and not room.status()["state_reason"])
    assert nothing_open(room)


def test_levels_out_of_range_are_refused_before_anything_is_loaded(levels, exams):
    levels.write_text(LEVELS.replace("first = 2", "first = 0"))
    setup = RoomSetup("no such patient", matrix=512, dose_rules=levels)
    with pytest.raises(DoseRulesError, match=r"from 0\.0018 to 1800 s"):
        open_room(setup, exams)
