"""Guidance on the real page in front of the drawn room: what its keys ask for, what it shows, what is withheld."""

import copy
import re

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.peer("chromium")]

SPOT = {"row": 0.5, "col": 0.5}
PLAN = {
    "index": 0, "name": "midline", "needle": "whitacre-22G-89", "needle_label": "Whitacre 22G",
    "depth_mm": 74.6, "score": 1.2,
    "clearances": [{"structure": "bone", "mm": 4.1}], "coaxial_text": "antero-posterior", "notes": [],
}  # fmt: skip
CHOSEN = {
    "index": 0, "entry_mm": [0, -110, 0], "target_mm": [0, -35, 0], "dura_mm": [0, -40, 0], "depth_mm": 74.6,
    "dura_depth_mm": 69.8, "coaxial_text": "antero-posterior", "confirm_text": "left lateral",
    "depth_check": "", "slices": [],
}  # fmt: skip
OVERLAY = {
    "locked": True, "lock_text": "locked to the bone", "opacity": 1, "view": "coaxial", "entry": SPOT, "target": SPOT,
    "dura": None, "corridor": None, "rings": [{"radius": 0.02, "mm": 2}], "levels": [{"name": "L3",
    "row": 0.4, "col": 0.5}],
    "outlines": [], "needle": {"tip": SPOT, "path": [SPOT, {"row": 0.45, "col": 0.5}], "along": 0.01, "across": 0.005,
                               "angle_deg": 90, "confidence": 0.9},
}  # fmt: skip
NOTHING = {
    "allowed": True, "on": False, "planning": None, "trouble": "", "request": None, "plans": [], "chosen": None,
    "overlay": {"live": None, "reference": None}, "tracking": None, "tracking_text": "", "error": None, "light": None,
    "hint": None, "warnings": [], "age_ms": None, "reached": None,
}  # fmt: skip
GUIDED = NOTHING | {
    "on": True, "plans": [PLAN], "chosen": CHOSEN, "overlay": {"live": OVERLAY, "reference": None}, "tracking": "good",
    "request": {"procedure": "lumbar-puncture", "label": "lumbar puncture", "level": "L3-L4", "side": None},
    "error": {"lateral_mm": {"value": -2.4, "sigma": 0.3}, "vertical_mm": {"value": 0.2, "sigma": 0.3},
              "depth_mm": {"value": 9.6, "sigma": 0.4}, "angle_deg": {"value": 2.6, "sigma": 0.4},
              "depth_from": "this view", "depth_to": "dura"},
    "light": "fair", "hint": {"text": "Turn to lateral now (C)", "act": "confirm"}, "age_ms": 140,
}  # fmt: skip


@pytest.fixture
def guided(served, monkeypatch):
    """Give the drawn room a part `guidance`, and keep the commands that are asked of it."""
    room, told, asked = served.room, {"guidance": copy.deepcopy(NOTHING)}, []
    status, command = room.status, room.command

    def carry_out(name, args):
        if name.startswith("plan_") or name == "guidance" or args.get("toward") == "plan":
            asked.append((name, dict(args)))
            return {}
        return command(name, args)

    monkeypatch.setattr(room, "status", lambda: {**status(), **told})
    monkeypatch.setattr(room, "command", carry_out)
    return served, told, asked


def wait_asked(window, asked, wanted):
    for _ in range(100):
        if wanted in asked:
            return
        window.page.wait_for_timeout(50)
    raise AssertionError(f"{wanted} not among {asked}")


@pytest.mark.req("REQ-GUI-060", "REQ-GUI-063")
def test_keys_alone_turn_to_the_plans_views_place_the_needle_and_take_the_next_step(guided):
    served, told, asked = guided
    told["guidance"] = copy.deepcopy(GUIDED)
    window = served.open()
    window.page.locator(".guide").wait_for()
    for key, wanted in (
        ("b", ("plan_view", {"view": "coaxial"})),
        ("c", ("plan_view", {"view": "confirm"})),
        ("g", ("guidance", {"on": False})),
    ):
        window.page.keyboard.press(key)
        wait_asked(window, asked, wanted)
    window.page.keyboard.down("n")
    window.page.keyboard.press("Enter")
    window.page.keyboard.up("n")
    wait_asked(window, asked, ("needle_place", {"type": "plan", "toward": "plan"}))
    asked.clear()
    window.page.locator(".next", has_text="Turn to lateral now").wait_for()
    window.page.keyboard.press("Enter")
    wait_asked(window, asked, ("plan_view", {"view": "confirm"}))


@pytest.mark.req("REQ-GUI-061", "REQ-GUI-062", "HAZ-SIDE-001")
def test_numbers_have_a_side_and_an_error_the_light_a_word_and_a_shape(guided):
    served, told, _ = guided
    told["guidance"] = copy.deepcopy(GUIDED)
    window = served.open()
    bar = window.page.locator(".guide")
    bar.wait_for()
    text = re.sub(r"\s+", " ", bar.inner_text())
    for words in (
        "▲",
        "CORRECT",
        "to dura",
        "9.6",
        "± 0.8",
        "2.4",
        "too far RIGHT",
        "Turn to lateral now (C)",
        "needle good",
    ):
        assert words in text, text
    assert window.page.locator(".guide-value").first.evaluate("e => getComputedStyle(e).fontSize") == "28px"
    window.expose()
    window.page.wait_for_function("() => !document.querySelector('.monitor-live .overlay').hidden")
    told["guidance"]["overlay"]["live"] = None
    window.page.wait_for_function("() => document.querySelector('.monitor-live .overlay').hidden")


def test_without_a_plan_g_opens_the_form_with_the_keys_in_it(guided):
    served, _, asked = guided
    window = served.open()
    window.page.route(
        "**/room/guidance.json",
        lambda route: route.fulfill(
            json={
                "procedures": [
                    {"name": "lumbar-puncture", "label": "lumbar puncture", "sided": True, "levels": ["L2-L3", "L3-L4"]}
                ]
            }
        ),
    )
    window.page.keyboard.press("g")
    wait_asked(window, asked, ("guidance", {"on": True}))
    procedure = window.page.get_by_label("Procedure", exact=True)
    procedure.wait_for()
    window.page.wait_for_function("() => document.activeElement?.getAttribute('aria-label') === 'Procedure'")
    assert window.page.get_by_label("Level", exact=True).input_value() == "L3-L4"
    window.page.get_by_role("button", name="Plan the path").press("Enter")
    wait_asked(window, asked, ("plan_make", {"procedure": "lumbar-puncture", "level": "L3-L4"}))


@pytest.mark.req("REQ-GUI-064")
def test_an_exercise_without_guidance_says_so(guided):
    served, told, asked = guided
    told["guidance"] = NOTHING | {"allowed": False}
    window = served.open()
    window.page.keyboard.press("g")
    window.page.get_by_text("this exercise is without guidance").wait_for()
    window.page.get_by_role("tab", name="Guidance", exact=True).click()
    window.page.get_by_text("no plan and no overlay are given").wait_for()
    assert asked == []
    assert window.page.locator(".guide").count() == 0
