"""Patients, position, breathing, needle and contrast medium on the real page, in front of the drawn room."""

import json

import numpy as np
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.peer("chromium")]


def told(served, name):
    """Return the arguments of every command of this name that the room was given."""
    return [args for called, args in served.room.commands if called == name]


def tab(window, name):
    window.page.get_by_role("tab", name=name, exact=True).click()


def open_chooser(window):
    window.page.locator(".patient").click()
    window.page.get_by_role("dialog").wait_for()


def open_form(window):
    open_chooser(window)
    window.page.get_by_role("button", name="Make a patient…", exact=True).click()
    window.page.locator(".make").wait_for()


@pytest.mark.req("HAZ-CLINIC-001")
def test_a_card_shows_who_it_is_and_opens_his_exam(served):
    window = served.open()
    open_chooser(window)
    cards = window.page.locator(".card")
    assert cards.count() == 4
    pregnant = cards.filter(has_text="drawn-pregnancy")
    for words in ("synthetic", "31 years", "pregnant: X-ray needs a documented reason"):
        assert words in pregnant.inner_text()
    picture = pregnant.locator("img").element_handle()
    window.page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=picture)
    away = cards.filter(has_text="far-away")
    assert away.is_disabled()
    assert "real CT" in away.inner_text()
    assert "fluoroscope patients fetch far-away" in away.inner_text()
    pregnant.press("Enter")
    window.page.get_by_role("dialog").wait_for(state="detached")
    window.page.locator(".top .badge-amber", has_text="pregnant, week 24").wait_for()
    assert told(served, "set_patient") == [{"name": "drawn-pregnancy"}]
    # It warns; X-ray is not withheld.
    window.expose()


def test_a_patient_is_made_from_the_form_with_the_keyboard(served):
    window = served.open()
    open_form(window)
    page = window.page
    page.get_by_label("Age, years", exact=True).fill("61")
    page.get_by_label("BMI, kg/m²").fill("34")
    page.get_by_label("Seed", exact=True).fill("7")
    page.get_by_role("button", name="Add an abnormality").press("Enter")
    page.get_by_label("Level", exact=True).select_option("L4")
    page.get_by_label("Amount, Meyerding grade").fill("2")
    served.room.hold_making.clear()
    page.get_by_label("Seed", exact=True).press("Enter")
    page.locator(".progress", has_text="shaping the bones").wait_for()
    page.locator(".next", has_text="Making the patient").wait_for()
    (recipe,) = told(served, "make_patient")
    assert recipe["pathologies"] == [{"kind": "listhesis", "level": "L4", "amount": 2}]
    assert (recipe["age_years"], recipe["bmi"], recipe["seed"], recipe["sex"]) == (61, 34, 7, "female")
    assert "height_cm" not in recipe
    served.room.hold_making.set()
    page.get_by_role("dialog").wait_for(state="detached")
    page.locator(".patient-name", has_text="made-1").first.wait_for()


def test_a_value_out_of_range_is_said_at_its_field(served):
    window = served.open()
    open_form(window)
    window.page.get_by_label("BMI, kg/m²").fill("99")
    window.page.get_by_role("button", name="Make this patient").click()
    fault = window.page.locator(".fault")
    fault.wait_for()
    assert fault.inner_text() == "99: choose 12 to 60"
    field = window.page.get_by_label("BMI, kg/m²")
    assert field.get_attribute("aria-invalid") == "true"
    assert field.evaluate("e => e === document.activeElement")
    assert field.get_attribute("aria-describedby") == fault.get_attribute("id")
    field.fill("30")
    window.page.get_by_role("button", name="Make this patient").click()
    window.page.locator(".patient-name", has_text="made-1").first.wait_for()


def test_the_dice_roll_another_seed(served):
    window = served.open()
    open_form(window)
    seed = window.page.get_by_label("Seed", exact=True)
    seen = {seed.input_value()}
    for _ in range(3):
        window.page.get_by_role("button", name="Roll another seed").click()
        seen.add(seed.input_value())
    assert len(seen) > 2
    assert all(0 <= int(value) <= 99_999 for value in seen)


def test_position_breathing_and_bending(served):
    window = served.open()
    tab(window, "Patient")
    window.page.get_by_role("button", name="left side down, head first").click()
    window.page.locator(".patient-position", has_text="left side down").wait_for()
    window.page.get_by_role("button", name="hold", exact=True).click()
    window.page.locator(".top .badge", has_text="breath held").wait_for()
    window.page.get_by_role("button", name="breathe", exact=True).click()
    window.page.locator(".top .badge", has_text="breath held").wait_for(state="detached")
    window.page.get_by_role("button", name="Bend forward plus 1 °").click()
    assert served.room.wait_for(lambda: told(served, "bend") == [{"flexion_deg": 1}])
    assert told(served, "breathing") == [{"mode": "hold"}, {"mode": "breathe"}]


def test_a_needle_from_the_marker_to_the_fluid_is_seen_and_felt(served):
    window = served.open()
    window.expose()
    page = window.page
    before = window.pixels("live").astype(int)
    tab(window, "Needle")
    section = page.locator("section[aria-label='Skin marker']")
    section.get_by_role("button", name="Click on LIVE").click()
    glass = window.glass("live")
    page.mouse.click(glass["x"] + 0.6 * glass["width"], glass["y"] + 0.4 * glass["height"])
    page.get_by_role("button", name="Marker to head 5 mm").click()
    (place,) = told(served, "marker_place")
    assert place["picture"]["row"] == pytest.approx(0.4, abs=0.01)
    assert place["picture"]["col"] == pytest.approx(0.6, abs=0.01)
    page.get_by_role("button", name="At the marker").click()
    page.locator(".needle-name").wait_for()
    for _ in range(2):
        page.get_by_role("button", name="Advance 5 mm").click()
    served.room.wait_for(lambda: served.room.status()["needle"]["depth_mm"] == 10.0)
    page.get_by_role("button", name="Hub 1° right").click()
    page.keyboard.down("n")
    page.keyboard.down("PageUp")
    page.locator(".gave-way").wait_for()
    page.keyboard.up("PageUp")
    page.keyboard.down("ArrowRight")
    page.wait_for_timeout(250)
    page.keyboard.up("ArrowRight")
    page.mouse.wheel(0, 100)
    page.keyboard.up("n")
    assert any(args.get("steer_x_deg", 0) > 0 for args in told(served, "needle_move"))
    assert served.room.wait_for(lambda: any(args.get("advance_mm") == -1 for args in told(served, "needle_move")))
    # The needle's keys moved no C-arm, and the C-arm's arrows work again.
    assert told(served, "nudge_joints") == []
    window.expose()
    new = before - window.pixels("live").astype(int)
    assert np.count_nonzero(new > 12000) > 10


def test_what_the_tip_is_in_is_shown_only_while_teaching(served):
    window = served.open()
    tab(window, "Needle")
    page = window.page
    page.get_by_role("button", name="Mid-picture").click()
    page.get_by_role("button", name="At the marker").click()
    page.get_by_role("button", name="Advance 5 mm").click()
    page.locator(".needle-figures .figure-value", has_text="5.0").wait_for()
    assert page.locator("text=tip in").count() == 0
    page.get_by_role("button", name="Show truth").click()
    page.locator(".signs", has_text="tip in fat").wait_for()


def test_medium_is_injected_once_the_stylet_is_out(served):
    window = served.open()
    tab(window, "Needle")
    page = window.page
    page.get_by_role("button", name="Mid-picture").click()
    page.get_by_role("button", name="At the marker").click()
    inject = page.get_by_role("button", name="Inject", exact=True)
    inject.wait_for()
    assert inject.is_disabled()
    page.get_by_role("button", name="Take stylet out").click()
    # Typed as slowly as people do: the status that comes meanwhile must not take it away.
    page.get_by_label("Volume, ml").fill("")
    page.get_by_label("Volume, ml").press_sequentially("2.5", delay=400)
    page.get_by_label("Volume, ml").press("Tab")
    inject.click()
    page.locator("text=Injecting 1.0 of 2.5 ml").wait_for()
    page.get_by_role("button", name="Stop injecting").click()
    page.locator("text=Injected 1.0 of 2.5 ml").wait_for()
    assert told(served, "inject") == [{"volume_ml": 2.5, "concentration_mgi_ml": 240, "rate_ml_s": 0.2}]


def test_the_needle_is_placed_and_dragged_in_the_room_view(served):
    window = served.open(width=1920, height=1080)
    tab(window, "Needle")
    page = window.page
    page.locator("section[aria-label='Needle']").get_by_role("button", name="In the room").click()
    view = page.locator(".roomview-stage canvas")
    window.wait_probe("probe.nearRoom()")
    box = view.bounding_box()
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    page.locator(".needle-name").wait_for()
    (place,) = told(served, "needle_place")
    assert set(place) == {"type", "toward", "ray"}
    window.wait_probe("probe.hub() !== null")
    hub = page.evaluate("window.fluoroscopeProbe.hub()")
    x, y = box["x"] + hub["x"], box["y"] + hub["y"]
    page.mouse.move(x, y)
    page.mouse.down()
    # Prone under a C-arm at rest the needle stands upright: down is in.
    page.mouse.move(x, y + 15, steps=5)
    page.mouse.up()
    assert served.room.wait_for(lambda: served.room.status()["needle"]["depth_mm"] > 3.0)
    assert told(served, "move_joints") == []


def drag(page, x, y, dx, dy):
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx, y + dy, steps=6)
    page.mouse.up()


def test_the_marker_is_dragged_on_live_by_its_ring(served):
    window = served.open()
    window.expose()
    tab(window, "Needle")
    window.page.get_by_role("button", name="Mid-picture").click()
    assert served.room.wait_for(lambda: served.room.status()["marker"] is not None)
    window.page.locator(".monitor-live .overlay:not([hidden])").wait_for()
    glass = window.glass("live")
    side = glass["width"]
    drag(window.page, glass["x"] + side / 2, glass["y"] + glass["height"] / 2, 0.1 * side, -0.2 * side)
    there = pytest.approx({"row": 0.3, "col": 0.6}, abs=0.02)
    assert served.room.wait_for(lambda: served.room.status()["marker"]["picture"] == there)
    # Beside the ring a drag is window and level, as ever.
    places = len(told(served, "marker_place"))
    drag(window.page, glass["x"] + 0.2 * side, glass["y"] + 0.8 * side, 30, 30)
    assert len(told(served, "marker_place")) == places


def test_the_marker_is_dragged_over_the_skin_in_the_room_view(served):
    window = served.open(width=1920, height=1080)
    tab(window, "Needle")
    page = window.page
    page.get_by_role("button", name="Mid-picture").click()
    page.get_by_role("button", name="Look from near, at the needle").click()
    window.wait_probe("probe.nearRoom() && probe.marker() !== null")
    box = page.locator(".roomview-stage canvas").bounding_box()
    before = served.room.status()["marker"]["position_mm"]
    at = page.evaluate("window.fluoroscopeProbe.marker()")
    drag(page, box["x"] + at["x"], box["y"] + at["y"], 40, 0)
    assert served.room.wait_for(lambda: served.room.status()["marker"]["position_mm"] != before)
    assert all("ray" in place for place in told(served, "marker_place")[1:])
    # It is under the pointer still: the view did not run away from it.
    page.wait_for_timeout(300)
    after = page.evaluate("window.fluoroscopeProbe.marker()")
    assert after["x"] - at["x"] == pytest.approx(40.0, abs=6.0)
    assert told(served, "move_joints") == []


def test_a_ruler_is_laid_where_live_is_clicked_and_taken_away(served):
    window = served.open()
    tab(window, "Needle")
    page = window.page
    ruler = page.locator("section[aria-label='Ruler']")
    assert ruler.get_by_role("button", name="Along spine").is_disabled()
    window.expose()
    glass = window.glass("live")
    for button, along, col in (("Along spine", "spine", 0.7), ("Across", "across", 0.5)):
        ruler.get_by_role("button", name=button).click()
        page.locator(".armed", has_text="where the ruler shall be").wait_for()
        page.mouse.click(glass["x"] + col * glass["width"], glass["y"] + 0.5 * glass["height"])
        assert served.room.wait_for(
            lambda along=along: [one["along"] for one in told(served, "ruler_lay")][-1:] == [along]
        )
        place = told(served, "ruler_lay")[-1]
        assert place["picture"]["col"] == pytest.approx(col, abs=0.01)
    ruler.get_by_role("button", name="Take the ruler away").click()
    assert served.room.wait_for(lambda: served.room.status()["ruler"] is None)


def test_a_catheter_is_threaded_pushed_on_and_left_when_the_needle_comes_out(served):
    window = served.open()
    tab(window, "Needle")
    page = window.page
    page.get_by_label("Needle type").select_option("quincke_22g_90")
    page.get_by_role("button", name="Mid-picture").click()
    page.get_by_role("button", name="At the marker").click()
    page.locator(".needle-name", has_text="Quincke").wait_for()
    # Nothing goes through so thin a bore: nothing is offered.
    assert page.locator("section[aria-label='Through the needle']").count() == 0
    page.get_by_role("button", name="Remove needle").click()
    page.get_by_label("Needle type").select_option("tuohy_18g_80")
    page.get_by_role("button", name="At the marker").click()
    page.locator(".hint", has_text="to inject or to thread a catheter").wait_for()
    page.get_by_role("button", name="Take stylet out").click()
    page.get_by_role("button", name="Thread it").click()
    page.locator(".figure-name", has_text="beyond the needle").wait_for()
    page.get_by_role("button", name="Push on 10 mm").click()
    page.locator(".needle-figures .figure-value", has_text="10.0").wait_for()
    # The needle's keys push the catheter now, and swing nothing.
    page.keyboard.down("n")
    page.keyboard.down("PageUp")
    page.wait_for_timeout(250)
    page.keyboard.up("PageUp")
    page.keyboard.down("ArrowRight")
    page.wait_for_timeout(200)
    page.keyboard.up("ArrowRight")
    page.keyboard.up("n")
    assert served.room.wait_for(lambda: served.room.status()["catheter"]["beyond_mm"] > 10.5)
    assert told(served, "needle_move") == []
    assert page.get_by_role("button", name="Inject", exact=True).is_enabled()
    page.get_by_role("button", name="Needle out over it").click()
    page.locator(".figure-name", has_text="depth from skin").wait_for()
    page.get_by_role("button", name="Take it out").click()
    page.get_by_role("button", name="At the marker").wait_for()
    assert (served.room.status()["needle"], served.room.status()["catheter"]) == (None, None)


def test_escape_disarms_a_click_and_space_is_the_pedal_in_the_form(served):
    window = served.open()
    window.expose()
    tab(window, "Needle")
    window.page.locator("section[aria-label='Skin marker']").get_by_role("button", name="Click on LIVE").click()
    window.page.locator(".armed").wait_for()
    window.page.keyboard.press("Escape")
    window.page.locator(".armed").wait_for(state="detached")
    glass = window.glass("live")
    window.page.mouse.click(glass["x"] + 50, glass["y"] + 50)
    assert told(served, "marker_place") == []
    open_form(window)
    window.page.get_by_label("Seed", exact=True).focus()
    window.page.keyboard.down("Space")
    window.word("live", "X-RAY ON")
    window.page.keyboard.up("Space")
    window.word("live", "LAST IMAGE HOLD")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1920, 1080)])
def test_no_control_of_the_new_panels_is_clipped(served, width, height):
    window = served.open(width=width, height=height)
    window.expose()
    page = window.page
    clipped = """() => { const box = document.querySelector('.panel').getBoundingClientRect();
      return [...document.querySelectorAll('.panel button, .panel input, .panel select, .panel meter')]
        .filter(e => { const b = e.getBoundingClientRect(); return b.right > box.right + 1 || b.left < box.left - 1; })
        .map(e => e.textContent); }"""
    found = {}
    for name in ("Patient", "Needle"):
        tab(window, name)
        found[name] = page.evaluate(clipped)
    page.get_by_role("button", name="Mid-picture").click()
    page.get_by_role("button", name="At the marker").click()
    page.locator(".needle-name").wait_for()
    found["needle in"] = page.evaluate(clipped)
    page.get_by_role("button", name="Remove needle").click()
    page.get_by_label("Needle type").select_option("tuohy_18g_80")
    page.get_by_role("button", name="At the marker").click()
    page.get_by_role("button", name="Take stylet out").click()
    page.get_by_role("button", name="Thread it").click()
    page.locator(".figure-name", has_text="beyond the needle").wait_for()
    found["catheter in"] = page.evaluate(clipped)
    assert found == {"Patient": [], "Needle": [], "needle in": [], "catheter in": []}, json.dumps(found)
