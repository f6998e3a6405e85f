"""Dose alerts of a long press with no page: each level once, in order, by kerma, skin dose and time."""

import pytest

from fluoroscope.app.dose.live_alerts import LiveAlerts, possible_peak
from fluoroscope.dose.alerts import LevelRule, Quantity
from fluoroscope.live.journal import read_journal
from fluoroscope.live.states import LiveState

RULES = (
    LevelRule(Quantity.PEAK_SKIN_DOSE, 0.5, 0.25, 1.0, "test"),
    LevelRule(Quantity.FLUOROSCOPY_TIME, 0.5 / 60.0, 0.5 / 60.0, None, "test"),
)


def raised(room) -> list[str]:
    entries = read_journal(room._parts.loop._journal.path).entries
    return [entry["name"] for entry in entries if entry["type"] == "note" and entry["text"] == "dose alert"]


@pytest.mark.req("REQ-CTRL-003")
def test_alerts_are_raised_during_a_press_that_nobody_watches(room, wait_for):
    loop, peak = room._parts.loop, [None]
    alerts = LiveAlerts(RULES, loop, room._parts.clock, lambda: peak[0])
    room.command("pedal", {"down": True})
    assert wait_for(lambda: "fluoroscopy_time 0.0166666667 min" in raised(room))
    # One pulse that gives much reaches three levels: they come in order, each once.
    peak[0] = 1000.0
    assert wait_for(lambda: "peak_skin_dose 1 Gy" in raised(room))
    peak[0] = 900.0
    assert loop.state is LiveState.EXPOSING
    room.command("pedal", {"down": False})
    assert loop.wait_for(LiveState.HOLD, timeout_s=60.0)
    names = raised(room)
    assert len(names) == len(set(names))
    skin = [name for name in names if name.startswith("peak_skin_dose")]
    assert skin == ["peak_skin_dose 0.5 Gy", "peak_skin_dose 0.75 Gy", "peak_skin_dose 1 Gy"]
    times = [float(name.split()[1]) for name in names if name.startswith("fluoroscopy_time")]
    assert times == sorted(times)
    told = alerts.follow("", loop.snapshot().dose)
    assert told["count"] == len(names)
    assert told["next"]["value"] < told["next"]["level"]


def test_another_exam_begins_without_them(room, expose, wait_for):
    loop = room._parts.loop
    alerts = LiveAlerts(RULES, loop, room._parts.clock, lambda: 600.0)
    expose(room, pulses=3)
    assert alerts.follow("", loop.snapshot().dose)["count"] >= 1
    before = room.status()["exam"]["uid"]
    room.command("close_exam", {})
    assert wait_for(lambda: room.status()["exam"]["uid"] != before and not room.status()["state_reason"])
    assert raised(room) == []


@pytest.mark.parametrize("peak", [None, float("nan"), float("inf"), -1.0, 1e9])
def test_a_peak_no_procedure_gives_raises_nothing_and_ends_nothing(peak):
    assert possible_peak(peak) is None
    assert possible_peak(0.0) == 0.0
    assert possible_peak(2500.0) == 2500.0
