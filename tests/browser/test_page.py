"""The page in Chromium, driven as a user does, against the drawn room behind the real server."""

import numpy as np
import pytest

from fluoroscope.imagechain.window import apply_window

pytestmark = [pytest.mark.browser, pytest.mark.peer("chromium")]


def test_the_pedal_gives_moving_x_ray_while_held_and_then_the_last_image(served):
    window = served.open()
    window.page.keyboard.down("Space")
    window.state("X-RAY ON")
    window.word("live", "X-RAY ON")
    window.wait_probe("probe.kind('live') === 'live' && probe.index('live') >= 2")
    assert served.room.exposing
    window.page.keyboard.up("Space")
    window.state("HOLD")
    window.word("live", "LAST IMAGE HOLD")
    assert not served.room.exposing
    assert window.page.locator(".monitor-live.look-hold").count() == 1


@pytest.mark.req("HAZ-SIDE-001")
def test_turning_to_lateral_moves_the_c_arm_but_not_the_letters_of_the_held_image(served):
    window = served.open()
    window.expose()
    assert window.letters("live") == {"left": "L", "right": "R", "top": "H", "bottom": "F"}
    window.page.keyboard.press("l")
    window.page.wait_for_selector(".roomview-text :text('lateral')", state="attached")
    assert ("view", {"name": "lateral"}) in served.room.commands
    # The image on the glass is still the one made from behind.
    assert window.letters("live")["left"] == "L"
    window.page.wait_for_selector(".monitor-live :text('C-arm moved since')")
    window.expose()
    assert window.letters("live") == {"left": "P", "right": "A", "top": "H", "bottom": "F"}


@pytest.mark.req("HAZ-SIDE-001")
def test_letters_follow_turns_and_flips_without_radiation(served):
    window = served.open()
    window.expose()
    pulses = served.room.status()["pulses"]["delivered"]
    window.page.keyboard.press("r")
    window.page.wait_for_selector(".monitor-live :text('turned 90°')")
    assert window.letters("live") == {"left": "F", "right": "H", "top": "L", "bottom": "R"}
    window.page.keyboard.press("f")
    window.page.wait_for_selector(".monitor-live :text('flipped')")
    assert window.letters("live") == {"left": "H", "right": "F", "top": "L", "bottom": "R"}
    assert served.room.status()["pulses"]["delivered"] == pulses


@pytest.mark.req("REQ-WEB-002")
@pytest.mark.req("REQ-WEB-002")
@pytest.mark.parametrize(("query", "renderer"), [("probe", "webgl2"), ("probe&renderer=canvas", "canvas2d")])
def test_painted_greys_equal_the_python_table_value_for_value(served, query, renderer):
    window = served.open(query)
    window.expose()
    assert window.probe("renderer('live')") == renderer
    pixels = window.pixels("live")
    assert np.unique(pixels).size > 1000

    def expected(*, invert: bool = False):
        chosen = window.probe("window('live')")
        shape = tuple(window.probe("shape('live')"))
        return apply_window(pixels.reshape(shape), chosen["center"], chosen["width"], invert=invert).ravel()

    np.testing.assert_array_equal(window.greys("live"), expected())
    before = window.probe("window('live')")
    glass = window.glass("live")
    x, y = glass["x"] + glass["width"] / 2, glass["y"] + glass["height"] / 2
    window.page.mouse.move(x, y)
    window.page.mouse.down()
    window.page.mouse.move(x - 57, y + 31, steps=4)
    window.page.mouse.up()
    after = window.probe("window('live')")
    assert after["width"] < before["width"]
    assert after["center"] < before["center"]
    np.testing.assert_array_equal(window.greys("live"), expected())
    window.page.keyboard.press("i")
    window.page.wait_for_selector(".monitor-live :text('inverted')")
    np.testing.assert_array_equal(window.greys("live"), expected(invert=True))
    window.page.mouse.dblclick(x, y)
    assert window.probe("window('live')") == before


def test_store_show_and_replay(served):
    window = served.open()
    window.expose()
    window.page.keyboard.press("k")
    window.page.wait_for_selector(".film .tile:has(canvas)")
    assert len(served.room.status()["stored"]) == 1
    window.page.keyboard.press(",")
    window.word("reference", "STORED")
    np.testing.assert_array_equal(window.pixels("reference"), window.pixels("live"))
    window.page.keyboard.press("p")
    window.word("reference", "REPLAY")
    window.wait_probe("probe.index('reference') > 0")
    window.page.keyboard.press("p")
    window.word("reference", "STORED")


def test_another_patient_leaves_nothing_of_the_one_before(served):
    window = served.open()
    window.expose()
    window.page.keyboard.press("k")
    window.page.wait_for_selector(".film .tile:has(canvas)")
    window.page.keyboard.press(",")
    window.word("reference", "STORED")
    window.page.keyboard.press("r")
    window.page.locator(".patient").click()
    window.page.locator(".patients button").nth(2).click()
    window.page.wait_for_selector(".monitor-live .picture.is-empty", state="attached")
    window.page.wait_for_selector(".monitor-reference .picture.is-empty", state="attached")
    assert window.page.locator(".film .tile").count() == 0
    assert "عمود" in window.page.locator(".top .patient-name").inner_text()
    assert window.page.locator(".tool[aria-description='Turn by 90 degrees'][aria-pressed='false']").count() == 1


def test_an_unfetched_patient_cannot_be_chosen_and_says_how_to_fetch_it(served):
    window = served.open()
    window.page.locator(".patient").click()
    button = window.page.locator(".patients button", has_text="far-away")
    assert button.is_disabled()
    assert "fluoroscope patients fetch far-away" in button.inner_text()


@pytest.mark.req("HAZ-BEAM-001")
@pytest.mark.parametrize(
    "loss", ["window.dispatchEvent(new Event('blur'))", "window.dispatchEvent(new Event('pagehide'))"]
)
def test_losing_the_focus_releases_the_pedal_and_a_repeating_key_does_not_press_it_again(served, loss):
    window = served.open()
    window.page.keyboard.down("Space")
    window.word("live", "X-RAY ON")
    window.page.evaluate(loss)
    window.word("live", "LAST IMAGE HOLD")
    window.page.keyboard.down("Space")  # The key was never let go: this is its repetition.
    window.page.wait_for_timeout(100)
    assert not served.room.exposing
    assert sum(name == "pedal" and args["down"] for name, args in served.room.commands) == 1
    window.page.keyboard.up("Space")


def test_the_pedal_works_by_mouse_and_lets_go_with_it(served):
    window = served.open()
    box = window.page.locator(".pedal").bounding_box()
    window.page.mouse.move(box["x"] + 10, box["y"] + 10)
    window.page.mouse.down()
    window.word("live", "X-RAY ON")
    window.page.mouse.move(5, 5)
    window.page.mouse.up()
    window.word("live", "LAST IMAGE HOLD")


@pytest.mark.req("HAZ-BEAM-001")
def test_escape_stops_while_the_key_is_still_held(served):
    window = served.open()
    window.page.keyboard.down("Space")
    window.word("live", "X-RAY ON")
    window.page.keyboard.press("Escape")
    window.word("live", "LAST IMAGE HOLD")
    assert ("stop", {}) in served.room.commands
    window.page.keyboard.up("Space")


def test_space_is_the_pedal_even_when_a_button_has_the_focus(served):
    window = served.open()
    window.page.locator(".tool[aria-description='Invert']").focus()
    window.expose()
    assert window.page.locator(".tool[aria-description='Invert'][aria-pressed='false']").count() == 1


def test_arrow_keys_turn_the_c_arm_while_held(served):
    window = served.open()
    window.page.keyboard.down("ArrowRight")
    assert served.room.wait_for(lambda: served.room.status()["carm"]["primary_deg"] >= 5)
    window.page.keyboard.up("ArrowRight")
    window.page.keyboard.press("Shift+ArrowUp")
    assert served.room.wait_for(lambda: 0 < served.room.status()["carm"]["secondary_deg"] < 1)


def test_dragging_in_the_room_view_turns_the_c_arm(served):
    window = served.open(width=1920, height=1080)
    box = window.page.locator(".roomview-stage canvas").bounding_box()
    window.page.mouse.move(box["x"] + 100, box["y"] + 100)
    window.page.mouse.down()
    window.page.mouse.move(box["x"] + 150, box["y"] + 75, steps=3)
    window.page.mouse.up()
    assert served.room.wait_for(lambda: served.room.status()["carm"]["primary_deg"] == 20)
    assert served.room.wait_for(lambda: served.room.status()["carm"]["secondary_deg"] == 10)


def test_blades_are_drawn_on_the_held_image_before_any_x_ray(served):
    window = served.open()
    window.expose()
    overlay = window.page.locator(".monitor-live .overlay")
    assert overlay.is_hidden()
    window.page.keyboard.down("j")
    for _ in range(6):
        window.page.keyboard.press("ArrowLeft")
    window.page.keyboard.up("j")
    assert served.room.wait_for(lambda: served.room.status()["collimation"]["left_mm"] == 120)
    overlay.wait_for(state="visible")


@pytest.mark.req("HAZ-SCALE-001")
@pytest.mark.req("HAZ-SCALE-001")
def test_a_distance_is_measured_at_the_stated_plane_with_its_uncertainty(served):
    window = served.open()
    window.expose()
    window.page.keyboard.press("m")
    glass = window.glass("live")
    inside = glass["width"] - 8  # Without the border of 4 px on either side.
    for x in (0.25, 0.75):
        window.page.mouse.click(glass["x"] + 4 + x * inside, glass["y"] + 4 + 0.5 * inside)
    window.page.get_by_role("tab", name="Measure").click()
    # Half of a 300 mm field, magnified twice: 75 mm; the depth's ±50 of 510 mm makes 7.4.
    result = window.page.locator(".results")
    assert "75.0 mm ± 7.4 at isocentre plane" in result.inner_text()
    window.page.get_by_label("Depth, mm", exact=True).fill("102")
    window.page.get_by_label("Depth, mm", exact=True).press("Tab")
    result.get_by_text("90.0 mm ± 7.4 102 mm to detector").wait_for()


def test_a_second_window_watches_and_may_take_the_free_seat(served):
    first, second = served.open(), served.open()
    second.page.locator(".message", has_text="Someone else operates").wait_for()
    assert second.page.locator(".pedal").is_disabled()
    second.page.keyboard.down("Space")
    second.page.locator(".message", has_text="this page is watching").wait_for()
    second.page.keyboard.up("Space")
    first.expose()
    second.wait_probe("probe.kind('live') === 'hold'")
    # What it says of the sides is what the room said, or nothing.
    assert second.letters("live")["left"] in ("L", "")
    assert next(args for name, args in served.room.commands if name == "pedal")["down"]
    first.page.context.close()
    second.page.locator("button", has_text="Take the controls").first.click()
    second.page.wait_for_selector(".pedal:not(:disabled)")
    second.expose()


def test_a_fault_is_said_and_no_x_ray_is_given(served):
    window = served.open()
    served.room.fault("the drawn source was lost: plug it in again")
    window.state("FAULT")
    window.page.locator(".message", has_text="the drawn source was lost").wait_for()
    window.page.keyboard.down("Space")
    window.page.wait_for_timeout(100)
    window.page.keyboard.up("Space")
    assert not served.room.exposing
    assert not any(name == "pedal" for name, _ in served.room.commands)
    window.page.locator(".message", has_text="the drawn source was lost").get_by_role("button").click()
    assert served.room.wait_for(lambda: ("acknowledge", {"id": "fault"}) in served.room.commands)


@pytest.mark.req("HAZ-STALE-001", "HAZ-BEAM-001")
def test_a_frozen_server_makes_the_image_stale_and_lets_go_of_the_pedal(frozen_room):
    window, freeze = frozen_room
    window.page.keyboard.down("Space")
    window.word("live", "X-RAY ON")
    window.wait_probe("probe.kind('live') === 'live'")
    freeze()
    window.word("live", "STALE")
    window.page.locator(".stale-cover").wait_for()
    window.state("NO ANSWER")
    window.page.locator(".pedal:not(.is-down)").wait_for()
    window.page.keyboard.up("Space")


def test_every_control_is_reached_by_tab_and_has_a_name_and_a_visible_focus(served):
    window = served.open()
    window.expose()
    wanted = window.page.evaluate(
        "[...document.querySelectorAll('button:not(:disabled), input:not(:disabled)')]"
        ".filter(e => e.checkVisibility()).length"
    )
    window.page.evaluate("document.body.focus()")
    reached, unnamed, unseen = set(), [], []
    for _ in range(wanted + 5):
        window.page.keyboard.press("Tab")
        told = window.page.evaluate(
            """() => { const e = document.activeElement; if (e === document.body) return null;
            if (!e.dataset.seen) e.dataset.seen = String(Math.random());
            const name = e.getAttribute('aria-label') || e.textContent.trim();
            return [e.dataset.seen, name, getComputedStyle(e).outlineStyle]; }"""
        )
        if told is None:
            continue
        reached.add(told[0])
        unnamed += [told] if not told[1] else []
        unseen += [told] if told[2] == "none" else []
    assert len(reached) >= wanted
    assert unnamed == []
    assert unseen == []


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1920, 1080)])
def test_nothing_is_clipped_or_scrolls(served, width, height):
    window = served.open(width=width, height=height)
    window.expose()
    assert window.page.evaluate("document.documentElement.scrollHeight") <= height
    assert window.page.evaluate("document.documentElement.scrollWidth") <= width
    faults = window.page.evaluate(
        """() => { const out = [];
        for (const place of ['.toolbar', '.dose', '.top', '.tabs', '.monitor-live .monitor-head']) {
          const box = document.querySelector(place).getBoundingClientRect();
          let before = -1;
          for (const e of document.querySelector(place).children) {
            const b = e.getBoundingClientRect();
            if (b.width === 0) continue;
            if (b.right > box.right + 1 || b.bottom > box.bottom + 1) out.push([place, e.className, 'out']);
            if (place !== '.tabs' && b.left < before - 1) out.push([place, e.className, 'overlaps']);
            before = b.right;
          }
        }
        return out; }"""
    )
    assert faults == []
    live, reference = window.glass("live"), window.glass("reference")
    assert abs(live["width"] - live["height"]) < 1
    assert (live["width"], live["y"]) == (reference["width"], reference["y"])


def test_a_small_window_only_watches(served):
    window = served.open(width=900, height=900)
    window.page.locator(".message", has_text="Viewing only").wait_for()
    window.page.keyboard.down("Space")
    window.page.wait_for_timeout(100)
    window.page.keyboard.up("Space")
    assert not any(name == "pedal" for name, _ in served.room.commands)


@pytest.mark.req("HAZ-CLINIC-001")
def test_the_page_always_says_it_is_simulated(served):
    window = served.open()
    assert window.page.locator("text=SIMULATED – not for clinical use").is_visible()
    window.expose()
    window.page.keyboard.press("k")
    window.page.wait_for_selector(".film .tile:has(canvas)")
    window.page.keyboard.press(",")
    window.word("reference", "STORED")
    for channel in ("live", "reference"):
        assert window.page.locator(f".monitor-{channel} .burned").inner_text() == "SIMULATED"


def test_a_dose_alert_stands_beside_the_next_step_and_is_acknowledged_by_name(served):
    window = served.open()
    served.room.alerts = {
        "count": 3,
        "up_to": "air_kerma 0.025 Gy",
        "open": [
            {"quantity": "air_kerma", "words": "air kerma at the reference point", "level": 0.025, "unit": "Gy",
             "kind": "first", "at_event": 1, "source": "room 3"},
        ],
    }  # fmt: skip
    alert = window.page.locator(".dose-alert")
    alert.wait_for()
    assert alert.locator("strong").inner_text() == "Air kerma 25.0 mGy reached, 2 more"
    figures = [f".dose .figure:nth-child({number})" for number in (1, 2, 3, 4)]
    for width in (1280, 1920):
        window.page.set_viewport_size({"width": width, "height": 800})
        bar, end = window.page.locator(".dose").bounding_box(), 0.0
        for part in (*figures, ".dose-alert input", ".dose-alert button", ".dose .next"):
            box = window.page.locator(part).bounding_box()
            assert box["x"] >= end, part
            assert box["width"] >= 60, part
            assert bar["y"] <= box["y"], part
            assert box["y"] + box["height"] <= bar["y"] + bar["height"], part
            end = box["x"] + box["width"]
        assert end <= bar["x"] + bar["width"]
    # The pedal stays where it was, and X-ray goes on while the alert comes.
    window.expose()
    alert.locator("button").click()
    assert served.room.alerts_seen_by == ""
    alert.locator("input").fill("Ann Lee")
    alert.locator("button").click()
    alert.wait_for(state="detached")
    assert served.room.alerts_seen_by == "Ann Lee"
    # The keys are the pedal's again.
    window.expose()
