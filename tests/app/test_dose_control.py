"""Control of the dose in a real room's loop: screening, budget, limits, all in the journal."""

import pytest

from fluoroscope.app.dose_control import DoseControl
from fluoroscope.app.dose_rules import DoseRules, dose_rules
from fluoroscope.beam.technique import RadiationMode
from fluoroscope.live.journal import read_journal
from fluoroscope.live.states import LiveState
from fluoroscope.monitor.control import RefusedError

FLUOROSCOPY, ACQUISITION = RadiationMode.FLUOROSCOPY, RadiationMode.ACQUISITION
ANNA = {"name": "anna", "facts": ["female, 38 y"], "synthetic": True}
BERND = {"name": "bernd", "facts": ["male, 42 y"], "synthetic": True}


@pytest.fixture
def make(room):
    """Make a control of the room's loop, with an exam of a patient open."""

    def made(rules: DoseRules | None = None, patient=BERND) -> DoseControl:
        loop, clock = room._parts.loop, room._parts.clock
        control = DoseControl(rules or DoseRules(), loop, clock, room._parts.console)
        control.begin("1.2.3", patient)
        return control

    return made


def notes(room) -> list[dict]:
    journal = room._parts.loop._journal.path
    return [entry for entry in read_journal(journal).entries if entry["type"] == "note"]


def press(control, room, mode=FLUOROSCOPY) -> None:
    console = room._parts.console
    control.before_press(console.technique(mode), mode, console.carm.pose)


def test_x_ray_waits_for_the_screening_and_the_answer_stands_in_the_journal(make, room):
    control = make(patient=ANNA)
    screening = control.status()["screening"]
    assert (screening["needed"], screening["blocks"], screening["answer"]) == (True, True, None)
    with pytest.raises(RefusedError, match="before the pregnancy screening"):
        press(control, room)
    with pytest.raises(RefusedError, match="say who"):
        control.screening_answer(answer="no", by=" ")
    control.screening_answer(answer="no", by=" Ann  Lee ")
    press(control, room)
    told = [note for note in notes(room) if note["text"] == "screening answer"]
    assert [(note["answer"], note["by"]) for note in told] == [("no", "Ann Lee")]
    control.begin("1.2.4", ANNA)
    with pytest.raises(RefusedError, match="screening"):
        press(control, room)


def test_men_are_not_asked(make, room):
    control = make(patient=BERND)
    assert control.status()["screening"]["needed"] is False
    press(control, room)


def test_a_spent_budget_refuses_until_it_is_overruled_by_name(make, room):
    rules = dose_rules({"budget": {"quantity": "fluoroscopy_time", "unit": "s", "limit": 1, "source": "test"}})
    control = make(rules)
    # Nobody asks for the status meanwhile, and nobody lets the pedal go.
    room.command("pedal", {"down": True})
    assert room._parts.loop.wait_for(LiveState.HOLD, timeout_s=60.0)
    (stop,) = [note for note in notes(room) if note["text"] == "stop"]
    assert "budget of 1 s" in stop["reason"]
    budget = control.status()["budget"]
    assert budget["stopped"]
    assert budget["fraction"] >= 1.0
    with pytest.raises(RefusedError, match="budget of 1 s"):
        press(control, room)
    with pytest.raises(RefusedError, match="reason"):
        control.budget_overrule(by="Ann Lee", reason=" ")
    control.budget_overrule(by="Ann Lee", reason="needle is in place")
    press(control, room)
    told = [note["text"] for note in notes(room)]
    assert told.count("dose budget spent") == 1
    assert told.count("dose budget overruled") == 1


def test_the_status_has_every_part_of_the_contract(make):
    status = make().status()
    assert set(status) == {"screening", "pace", "advice", "budget", "limits", "calibration"}
    assert set(status["pace"]) == {"procedure", "label", "choices", "rows", "source"}
    assert status["calibration"]["factor"] == 1.0
