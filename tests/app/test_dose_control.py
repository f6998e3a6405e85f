"""Control of the dose in a real room's loop: screening, budget, limits, all in the journal."""

import pytest

from fluoroscope.app.dose.control import DoseControl
from fluoroscope.app.dose.rules import DoseRules, dose_rules
from fluoroscope.app.serving import open_clip_room, open_room
from fluoroscope.app.setup import RoomSetup
from fluoroscope.beam.technique import RadiationMode
from fluoroscope.dose.budget import DoseQuantity
from fluoroscope.dose.ledger import Calibration
from fluoroscope.dose.reference_levels import typical_of_cases
from fluoroscope.live.journal import read_journal, recover_exam
from fluoroscope.live.states import LiveState
from fluoroscope.monitor.control import RefusedError
from fluoroscope.procedure.catalogue import PROCEDURES

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


@pytest.mark.req("REQ-CTRL-001")
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


@pytest.mark.req("HAZ-SCREEN-001")
@pytest.mark.parametrize("mode", [FLUOROSCOPY, ACQUISITION])
def test_a_possible_pregnancy_needs_a_reason_by_name_in_every_mode(make, room, mode):
    control = make(patient=ANNA)
    control.screening_answer(answer="possible", by="Ann Lee")
    with pytest.raises(RefusedError, match="documented reason"):
        press(control, room, mode)
    with pytest.raises(RefusedError, match="say why"):
        control.screening_override(by="Bo Ek", reason="")
    control.screening_override(by="Bo Ek", reason="cord compression")
    press(control, room, mode)
    assert control.status()["screening"]["override"] == {"by": "Bo Ek", "reason": "cord compression"}
    (told,) = [note for note in notes(room) if note["text"] == "screening override"]
    assert (told["by"], told["reason"]) == ("Bo Ek", "cord compression")
    assert "possible" in told["in_spite_of"]
    with pytest.raises(RefusedError, match="nothing to override"):
        control.screening_override(by="Bo Ek", reason="again")
    with pytest.raises(RefusedError, match="answer is one of"):
        control.screening_answer(answer="perhaps", by="Ann")


def test_men_are_not_asked(make, room):
    control = make(patient=BERND)
    assert control.status()["screening"]["needed"] is False
    press(control, room)


@pytest.mark.req("REQ-CTRL-002", "HAZ-BUDGET-001")
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


@pytest.mark.req("HAZ-BUDGET-001")
def test_the_exposure_ends_with_the_pulse_that_spends_the_budget(make, room):
    rules = dose_rules({"budget": {"quantity": "air_kerma", "unit": "mGy", "limit": 0.05, "source": "test"}})
    control = make(rules)
    loop = room._parts.loop
    room.command("pedal", {"down": True})
    assert loop.wait_for(LiveState.HOLD, timeout_s=60.0)
    entries = read_journal(loop._journal.path).entries
    frames = [entry for entry in entries if entry["type"] == "frame"]
    running, spent_at = 0.0, None
    for number, frame in enumerate(frames, start=1):
        running += frame["kerma"]["air_kerma_mgy"]
        if spent_at is None and running >= 0.05:
            spent_at = number
    assert spent_at == len(frames)
    texts = [entry["text"] for entry in entries if entry["type"] == "note"]
    assert texts.index("dose budget warning") < texts.index("dose budget spent") < texts.index("stop")
    assert control.status()["budget"]["overruled"] is None
    # The pedal that is still down, or comes down again, gives nothing.
    with pytest.raises(RefusedError, match="is spent"):
        press(control, room)
    # Another budget frees it, and is spent anew.
    control.set_budget(quantity="air_kerma", limit=1000.0)
    press(control, room)
    control.set_budget(quantity="air_kerma", limit=0.05)
    with pytest.raises(RefusedError, match="is spent"):
        press(control, room)
    control.set_budget(quantity="air_kerma", limit=None)
    assert control.status()["budget"] is None
    press(control, room)


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ({"quantity": "risk", "limit": 3.0}, "a budget is of air_kerma"),
        ({"quantity": "kap", "limit": -1.0}, "lies from"),
        ({"quantity": "kap", "limit": "much"}, "much"),
    ],
)
def test_a_budget_that_is_none_is_refused(make, args, why):
    with pytest.raises(RefusedError, match=why):
        make().set_budget(**args)


def test_a_peak_skin_dose_may_have_a_budget(room):
    peak = [None]
    control = DoseControl(DoseRules(), room._parts.loop, room._parts.clock, room._parts.console, lambda: peak[0])
    control.begin("1.2.3", BERND)
    control.set_budget(quantity="peak_skin_dose", limit=100.0)
    press(control, room)
    peak[0] = 100.0
    with pytest.raises(RefusedError, match="100 mGy peak skin dose"):
        press(control, room)


@pytest.mark.req("REQ-CTRL-004")
def test_the_exposure_control_is_held_below_the_limit_of_the_site_and_of_the_high_level_control(make, room):
    console = room._parts.console
    control = make(dose_rules({"limits": {"rate_mgy_min": 2.0, "high_level_mgy_min": 4.0, "source": "test"}}))
    console.set_technique(pulse_rate_hz=30.0, dose_level="high")
    limits = control.status()["limits"]
    assert limits["limit_mgy_min"] == 2.0
    assert limits["rate_mgy_min"] == pytest.approx(2.0, rel=1e-9)
    assert "image receptor" in limits["at"]
    press(control, room)
    control.high_level(on=True)
    limits = control.status()["limits"]
    assert (limits["limit_mgy_min"], limits["high_level"]) == (4.0, True)
    assert limits["rate_mgy_min"] == pytest.approx(4.0, rel=1e-9)
    assert [note["on"] for note in notes(room) if note["text"] == "high-level control"] == [True]
    # By hand above the ordinary limit it cannot be switched off, and ends with the exam.
    by_hand = console.shown_technique()
    console.carm.control.manual(by_hand)
    with pytest.raises(RefusedError, match="above the 2"):
        control.high_level(on=False)
    control.begin("1.2.4", BERND)
    assert control.status()["limits"]["high_level"] is False
    assert not console.carm.control.locked
    with pytest.raises(RefusedError, match="30 cm in front of the image receptor"):
        control.before_press(by_hand, FLUOROSCOPY, console.carm.pose)
    control.before_press(by_hand, ACQUISITION, console.carm.pose)


@pytest.mark.req("REQ-CTRL-006")
def test_the_procedure_brings_its_typical_doses_and_its_budget(make, room):
    budget = {"lumbar_epidural": {"quantity": "kap", "unit": "Gy.cm2", "limit": 5, "source": "room 3"}}
    control = make(dose_rules({"budget": budget}))
    assert control.status()["pace"]["procedure"] == ""
    assert control.status()["budget"] is None
    control.set_procedure(name="lumbar_epidural")
    status = control.status()
    assert status["pace"]["label"] == "lumbar epidural injection"
    rows = {row["quantity"]: row for row in status["pace"]["rows"]}
    assert (rows["kap"]["typical"], rows["kap"]["value"], rows["air_kerma"]["typical"]) == (2.8, 0.0, None)
    assert status["budget"]["limit"] == 5.0
    own = typical_of_cases("lumbar_epidural", {DoseQuantity.KAP: [1.0] * 30}, "this room")
    control.use_typical(own)
    rows = {row["quantity"]: row for row in control.status()["pace"]["rows"]}
    assert (rows["kap"]["typical"], rows["fluoroscopy_time"]["typical"]) == (1.0, 40.7)
    with pytest.raises(RefusedError, match="no procedure"):
        control.set_procedure(name="appendectomy")
    assert {choice["name"] for choice in status["pace"]["choices"]} == {"", *PROCEDURES}
    control.set_procedure(name="")
    assert control.status()["budget"] is None


def test_advice_names_a_command_of_the_page_that_saves_what_it_says(make, room):
    control = make()
    room._parts.console.set_technique(pulse_rate_hz=15.0)
    advice = control.status()["advice"]
    assert advice["saving_percent"] >= 10.0
    assert set(advice["command"]) == {"name", "args"}
    before = control.status()
    room.command(advice["command"]["name"], advice["command"]["args"])
    after = control.status()
    assert after["advice"] != before["advice"]


@pytest.mark.req("HAZ-CALIB-001")
def test_factor_and_source_are_shown_and_stand_in_the_journal(make, room):
    control = make(dose_rules({"calibration": {"factor": 1.08, "source": "chamber, 2026-03-01"}}))
    assert control.status()["calibration"] == {"factor": 1.08, "source": "chamber, 2026-03-01"}
    assert [note for note in notes(room) if note["text"] == "dose rules"][-1]["calibration"]["factor"] == 1.08


@pytest.mark.req("REQ-CTRL-005")
def test_a_journal_replays_the_calibrated_dose(small_ct, exams, expose):
    room = open_room(RoomSetup(str(small_ct), matrix=512), exams, seed=3)
    try:
        loop, clock = room._parts.loop, room._parts.clock
        rules = dose_rules({"calibration": {"factor": 1.5, "source": "chamber"}})
        loop._ledger.calibration = rules.calibration
        control = DoseControl(rules, loop, clock, room._parts.console)
        control.begin("1.2.3", BERND)
        expose(room, pulses=4)
        live, journal = loop.snapshot().dose, loop._journal.path
        again = recover_exam(journal)
        assert live.calibration == again.dose.calibration == Calibration(1.5, "chamber")
        assert again.dose.air_kerma_mgy == live.air_kerma_mgy
        assert live.air_kerma_mgy == 1.5 * live.measured_air_kerma_mgy
        # What becomes the record is as measured.
        assert sum(event.air_kerma_mgy for event in again.events) == pytest.approx(live.measured_air_kerma_mgy)
    finally:
        room.close()


def test_a_recorded_clip_has_no_control(tmp_path, room, exams, expose):
    expose(room, pulses=3)
    room.close()
    replayed = open_clip_room(next(exams.glob("*/run-001.dcm")), tmp_path / "others")
    try:
        control = DoseControl(DoseRules(), replayed._parts.loop, replayed._parts.clock)
        control.begin("1.2.3", ANNA)
        control.before_press()
        assert set(control.status().values()) == {None}
    finally:
        replayed.close()
