"""The dose on the page: asked before X-ray, watched while it is on, remembered after. Chromium on the drawn room."""

import json
import threading

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.peer("chromium")]

KAP = {"quantity": "kap", "words": "kerma-area product", "level": 5.0, "unit": "Gy·cm²", "kind": "first"}


def expect(locator):
    from playwright.sync_api import expect as expect_

    return expect_(locator)


def sent(room, name):
    return [args for told, args in list(room.commands) if told == name]


@pytest.mark.req("REQ-PAGE-001")
def test_a_patient_is_screened_before_the_first_exposure(served):
    served.room.ask_screening()
    window = served.open()
    page = window.page
    window.state("NO PERMISSION")
    # X-ray is refused by the room, and the page says why.
    page.keyboard.down("Space")
    expect(page.locator(".message-warning")).to_contain_text("ask before X-ray")
    page.keyboard.up("Space")
    assert not served.room.exposing
    # The one next step leads to the question; typing a name with blanks presses no pedal.
    presses = len(sent(served.room, "pedal"))
    page.get_by_role("button", name="Ask about pregnancy").click()
    page.keyboard.type("Ann Lee")
    assert len(sent(served.room, "pedal")) == presses
    page.get_by_role("button", name="Possible").click()
    expect(page.get_by_role("button", name="X-ray needs a reason")).to_be_visible()
    page.get_by_role("button", name="Allow X-ray").click()
    expect(page.locator(".before .fault")).to_have_text("Give a reason.")
    # Answered wrongly: corrected, not begun anew.
    page.get_by_role("button", name="Correct the answer").click()
    page.locator(".before").get_by_role("button", name="No", exact=True).click()
    window.state("READY")
    expect(page.locator(".before .screening-answer")).to_contain_text("No, asked by Ann Lee")
    assert [args["answer"] for args in sent(served.room, "screening_answer")] == ["possible", "no"]
    window.expose()
    # With a picture on LIVE the answer stands in the Dose tab.
    page.get_by_role("tab", name="Dose").click()
    expect(page.locator(".dose-panel .screening-answer")).to_contain_text("asked by Ann Lee")


@pytest.mark.req("REQ-PAGE-002")
def test_an_emergency_override_asks_for_name_and_reason(served):
    served.room.ask_screening()
    window = served.open()
    page = window.page
    page.get_by_role("button", name="Emergency: X-ray without the answer…").click()
    page.get_by_role("button", name="Allow X-ray").click()
    expect(page.locator(".before .fault").last).to_have_text("Say who.")
    page.get_by_label("Your name").fill("Ann Lee")
    page.get_by_label("Reason of the emergency").fill("cauda equina")
    page.get_by_role("button", name="Allow X-ray").click()
    window.state("READY")
    assert sent(served.room, "screening_override") == [{"by": "Ann Lee", "reason": "cauda equina"}]
    window.expose()


@pytest.mark.req("REQ-PAGE-003")
def test_who_needs_no_answer_gets_x_ray_at_once(served):
    window = served.open()
    assert window.page.locator(".screening").count() == 0
    window.expose()


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1920, 1080)])
@pytest.mark.req("REQ-PAGE-004")
def test_the_bar_shows_rate_sums_next_alert_pace_and_advice_and_stays_where_it_is(served, width, height):
    window = served.open(width=width, height=height)
    page, bar = window.page, window.page.locator(".dose")
    places = "['.figure', '.outlook', '.next'].flatMap(one => [...document.querySelectorAll('.dose ' + one)])"
    lefts = f"() => {places}.map(one => Math.round(one.getBoundingClientRect().left))"
    before = page.evaluate(lefts)
    page.keyboard.down("Space")
    window.word("live", "X-RAY ON")
    window.wait_probe("probe.index('live') >= 12")
    text = bar.inner_text()
    for word in ("Dose rate", "simulated", "15 cm from isocentre toward the source", "mGy/min", "Gy·cm²", "min:s"):
        assert word in text
    assert "Next alert: air kerma 3.00 Gy" in text
    assert "of typical" in text
    assert "saves 50 %" in text
    # While the sums grow nothing moves, and nothing is cut at the edge of the bar.
    assert page.evaluate(lefts) == before
    inside = f"() => {places}.every(one => one.getBoundingClientRect().bottom <= innerHeight)"
    assert page.evaluate(inside)
    page.get_by_role("button", name="Do it: 3.75 pulses/s instead of 7.5").click()
    page.keyboard.up("Space")
    window.word("live", "LAST IMAGE HOLD")
    assert sent(served.room, "set_technique") == [{"pulse_rate_hz": 3.75}]
    # The keys are the pedal's again.
    window.expose()
    assert bar.bounding_box()["height"] == 72


CUT = """() => [...document.querySelectorAll('.dose *, .side *')].filter(one => {
  if (one.offsetParent === null) return false;
  const box = one.getBoundingClientRect(), around = one.closest('.panel, .side, .dose').getBoundingClientRect();
  const hides = one.children.length === 0 && getComputedStyle(one).overflowX !== 'visible' && one.tagName !== 'INPUT';
  return box.right > around.right + 1 || (hides && one.scrollWidth > one.clientWidth + 1);
}).map(one => one.className + ': ' + one.textContent)"""


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1920, 1080)])
@pytest.mark.req("REQ-PAGE-004")
def test_no_word_of_the_dose_is_cut_and_long_advice_is_read_whole(served, width, height):
    window = served.open(width=width, height=height)
    page = window.page
    page.get_by_role("tab", name="Dose").click()
    window.expose()
    for part in ("Estimates", "Staff", "Limits", "Budget", "Before this exam", "How it is measured"):
        window.open_part(part)
    page.locator(".staff-table").first.wait_for()
    page.locator(".dosemap-keys").wait_for(state="attached")
    assert page.evaluate(CUT) == []
    # The longest sentence that is advised.
    what = "The pedal is down for 120 s in this view: let it go and look at the held picture"
    page.evaluate("text => { document.querySelector('.advice-text').textContent = text; }", what)
    inside = page.evaluate(
        "() => { const [words, bar] = ['.advice-text', '.dose'].map(one => document.querySelector(one)"
        ".getBoundingClientRect()); return words.bottom <= bar.bottom && words.top > bar.top + 34; }"
    )
    assert inside
    assert page.evaluate(CUT) == []


@pytest.mark.req("REQ-PAGE-011")
def test_the_map_keeps_its_place_while_it_is_fetched(served):
    window = served.open()
    page = window.page
    page.get_by_role("tab", name="Dose").click()
    below = page.get_by_role("button", name="Estimates")
    window.expose()
    page.locator(".dosemap-keys").wait_for(state="attached")
    served.room.command("close_exam", {})
    page.locator(".skinmap", has_text="No X-ray yet").wait_for()
    held, free = [], threading.Event()
    page.route("**/room/skin-dose.json", lambda route: route.continue_() if free.is_set() else held.append(route))
    window.expose()
    page.locator(".skinmap", has_text="The map is being fetched.").wait_for()
    first = below.bounding_box()["y"]
    free.set()
    for route in held:
        route.continue_()
    page.locator(".dosemap-keys").wait_for(state="attached")
    assert abs(below.bounding_box()["y"] - first) <= 1


@pytest.mark.req("REQ-PAGE-012")
def test_where_space_types_the_page_says_so_and_escape_gives_the_pedal_back(served):
    window = served.open()
    page = window.page
    served.room.alerts = {"count": 1, "up_to": "kap 5", "open": [KAP | {"at_event": 1, "source": "room 3"}]}
    name = page.get_by_label("Your name")
    name.fill("Ann")
    expect(page.locator(".dose-alert .types-hint")).to_be_visible()
    expect(page.locator(".pedal kbd.is-off")).to_be_visible()
    expect(page.locator(".next")).to_contain_text("SPACE types now")
    # Held as a pedal, it types one blank and is explained.
    for _ in range(4):
        page.keyboard.down("Space")
    page.keyboard.up("Space")
    assert name.input_value() == "Ann "
    expect(page.locator(".message-warning")).to_contain_text("SPACE types in this field")
    assert sent(served.room, "pedal") == []
    page.keyboard.press("Escape")
    expect(page.locator(".pedal kbd.is-off")).to_have_count(0)
    expect(page.locator(".dose-alert .types-hint")).to_be_hidden()
    window.expose()


@pytest.mark.req("REQ-PAGE-012")
def test_the_focus_goes_on_where_a_question_comes_and_nothing_moves_behind_a_box(served):
    served.room.ask_screening()
    window = served.open()
    page = window.page
    page.get_by_role("button", name="Emergency: X-ray without the answer…").press("Enter")
    page.wait_for_function("() => document.activeElement.matches('.screening-override input')")
    page.get_by_role("button", name="Back").press("Enter")
    page.wait_for_function("() => document.activeElement.matches('.screening-emergency')")
    page.get_by_role("button", name="Add an exposure elsewhere…").press("Enter")
    page.get_by_role("dialog").wait_for()
    page.wait_for_function("() => document.activeElement.matches('.outside-form select')")
    page.get_by_role("button", name="Close").focus()
    page.keyboard.press("l")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    page.wait_for_function("() => document.activeElement.matches('.history .link')")
    assert sent(served.room, "view") == []
    assert sent(served.room, "nudge_joints") == []


@pytest.mark.req("REQ-PAGE-005")
def test_an_alert_stands_in_the_bar_until_it_is_seen_by_name(served):
    window = served.open()
    page = window.page
    served.room.alerts = {"count": 1, "up_to": "kap 5", "open": [KAP | {"at_event": 1, "source": "room 3"}]}
    expect(page.locator(".dose-alert")).to_contain_text("KAP 5.00 Gy·cm²")
    expect(page.locator(".outlook-pace")).to_contain_text("of typical")
    window.expose()
    page.get_by_label("Your name").fill("Ann Lee")
    page.get_by_role("button", name="Acknowledge the dose alert").click()
    expect(page.locator(".outlook-next")).to_contain_text("Next alert")
    assert served.room.alerts_seen_by == "Ann Lee"


@pytest.mark.req("REQ-PAGE-006")
def test_a_spent_budget_is_said_and_overruled_by_name(served):
    window = served.open()
    page = window.page
    page.get_by_role("tab", name="Dose").click()
    window.open_part("Budget none")
    page.get_by_label("Budget, Gy·cm²").fill("nonsense")
    page.get_by_role("button", name="Set", exact=True).click()
    expect(page.locator(".budget-form .fault")).to_have_text("Give a number above 0, in Gy·cm².")
    page.get_by_label("Budget, Gy·cm²").fill("0,0001")
    page.get_by_role("button", name="Set", exact=True).click()
    page.locator(".budget progress").wait_for()
    assert sent(served.room, "set_budget") == [{"quantity": "kap", "limit": 0.0001}]
    window.expose(frames=2)
    window.state("NO PERMISSION")
    page.keyboard.down("Space")
    expect(page.locator(".message-warning")).to_contain_text("budget")
    page.keyboard.up("Space")
    page.locator(".next").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("X-ray is stopped")
    dialog.get_by_label("Your name").fill("Ann Lee")
    dialog.get_by_label("Reason").fill("the needle is in")
    dialog.get_by_role("button", name="Overrule").click()
    dialog.wait_for(state="detached")
    window.state("HOLD")
    window.expose()
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.locator(".budget")).to_contain_text("No budget is set")


@pytest.mark.req("REQ-PAGE-007")
def test_high_level_control_is_deliberate_seen_and_heard(served):
    window = served.open()
    page = window.page
    page.evaluate(
        "() => { window.tones = 0; const real = AudioContext.prototype.createOscillator;"
        " AudioContext.prototype.createOscillator = function () { window.tones += 1; return real.call(this); }; }"
    )
    page.get_by_role("tab", name="Dose").click()
    window.open_part("Limits")
    page.get_by_role("button", name="High-level control…").click()
    assert sent(served.room, "high_level") == []
    page.get_by_role("button", name="Turn high level on").click()
    expect(page.locator(".top .badge")).to_have_text("high level on")
    assert page.evaluate("window.tones") == 0
    window.expose()
    assert page.evaluate("window.tones") == 1
    expect(page.locator(".figure-rate")).to_contain_text("HIGH LEVEL")
    page.get_by_role("button", name="End high-level control").click()
    page.locator(".top .badge").wait_for(state="detached")


@pytest.mark.req("REQ-PAGE-008")
def test_the_skin_map_grows_on_the_belly_of_the_prone_patient(served):
    window = served.open()
    page = window.page
    page.get_by_role("tab", name="Dose").click()
    window.expose()
    skin = page.locator(".skinmap")
    expect(skin).to_contain_text("front")
    expect(skin).to_contain_text("± 45 %")
    page.locator(".skinmap canvas").wait_for()
    peak = served.room.status()["dose"]["skin"]["peak_mgy"]
    revision = json.loads(served.room.asset("skin-dose.json").content)["revision"]
    window.expose()
    assert json.loads(served.room.asset("skin-dose.json").content)["revision"] > revision
    page.wait_for_function(
        "peak => parseFloat(document.querySelector('.dosemap-peak').textContent) > 1.3 * peak", arg=peak
    )


@pytest.mark.req("REQ-PAGE-009")
def test_what_the_patient_tells_is_kept_removed_and_put_back(served):
    window = served.open()
    page = window.page
    page.get_by_role("button", name="Add an exposure elsewhere…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Body part").fill("abdomen")
    dialog.get_by_label("Where").fill("Hospital A")
    dialog.get_by_label("When").fill("2023")
    dialog.get_by_role("button", name="confirmed by a report").click()
    dialog.get_by_role("button", name="Add", exact=True).click()
    dialog.wait_for(state="detached")
    expect(page.locator(".before .outside")).to_contain_text("CT abdomen, Hospital A, 2023 confirmed")
    told = {"kind": "CT", "body_part": "abdomen", "place": "Hospital A", "when": "2023", "confirmed": True}
    assert sent(served.room, "outside_add") == [told]
    page.get_by_role("tab", name="Dose").click()
    window.open_part("Before this exam")
    page.locator(".dose-panel").get_by_role("button", name="Remove CT abdomen, Hospital A, 2023").click()
    page.locator(".dose-panel .outside").wait_for(state="detached")
    page.locator(".dose-panel").get_by_role("button", name="Undo").click()
    expect(page.locator(".dose-panel .outside")).to_contain_text("CT abdomen")
    assert sent(served.room, "outside_add") == [told, told]


@pytest.mark.req("REQ-PAGE-010")
def test_a_registry_that_does_not_answer_is_said_and_x_ray_goes_on(served):
    served.room.trouble = "the registry does not answer: connection refused."
    told = {"kind": "CT", "body_part": "abdomen", "place": "", "when": "2023", "confirmed": False}
    served.room.outside = [told | {"id": 1, "waiting": False}, told | {"id": 2, "waiting": True}]
    window = served.open()
    expect(window.page.locator(".before .history")).to_contain_text("X-ray goes on")
    expect(window.page.locator(".before .outside li")).to_have_text(
        ["CT abdomen, 2023 told, not confirmed", "CT abdomen, 2023 told, not confirmed; not yet in the registry"]
    )
    window.expose()


def test_escape_closes_a_box_and_stops_x_ray_while_something_is_typed(served):
    window = served.open()
    page = window.page
    page.get_by_role("button", name="Add an exposure elsewhere…").click()
    page.get_by_label("Body part").click()
    page.keyboard.type("chest and belly")
    assert sent(served.room, "pedal") == []
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    assert served.room.wait_for(lambda: sent(served.room, "stop"))


def test_a_letter_in_the_list_of_procedures_chooses_there_and_turns_no_c_arm(served):
    window = served.open()
    page = window.page
    page.get_by_role("tab", name="Dose").click()
    chooser = page.get_by_label("Procedure")
    chooser.focus()
    page.keyboard.press("f")
    assert served.room.wait_for(lambda: sent(served.room, "set_procedure") == [{"name": "facet"}])
    assert sent(served.room, "view") == []
