"""The page by the rules of WCAG 2.2 A and AA, as axe-core checks them: nothing serious or critical in any state."""

from pathlib import Path

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.peer("chromium")]

AXE = Path(__file__).resolve().parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


def violations(window) -> list[tuple[str, str, list[str]]]:
    """Return (rule, help, places) of what axe-core calls serious or critical.

    The page's policy forbids script that is not its own, so it is given through the debugger, as the rest of
    Playwright's questions are.
    """
    window.page.evaluate(AXE.read_text() + "; undefined")
    told = window.page.evaluate("rules => axe.run(document, rules)", RULES)
    assert told["passes"], "axe-core checked nothing"
    return [
        (one["id"], one["help"], [str(node["target"]) for node in one["nodes"]])
        for one in told["violations"]
        if one["impact"] in ("serious", "critical")
    ]


def dose_states(room, window, found) -> None:
    """Look at every part of the Dose tab, the budget's box, and the question before X-ray."""
    page = window.page
    page.get_by_role("tab", name="Dose").click()
    for part in ("Estimates", "Staff", "Limits", "Budget", "Before this exam", "How it is measured"):
        window.open_part(part)
    page.get_by_role("button", name="High-level control…").click()
    room.procedure, room._dose["kap_gy_cm2"] = "kyphoplasty", 130.0
    room.budget = {"quantity": "kap", "limit": 100.0, "overruled": None}
    page.locator(".pace-above-reference").first.wait_for()
    page.locator(".state", has_text="NO PERMISSION").wait_for()
    found["dose parts"] = violations(window)
    page.locator(".next").click()
    page.get_by_role("dialog").wait_for()
    found["budget spent"] = violations(window)
    page.keyboard.press("Escape")
    room.budget = None
    page.get_by_role("button", name="Add an exposure elsewhere…").first.click()
    page.get_by_role("dialog").wait_for()
    found["exposure elsewhere"] = violations(window)
    page.keyboard.press("Escape")
    room.trouble = "the registry does not answer."
    room.ask_screening()
    room.command("close_exam", {})
    page.locator(".before .screening").wait_for()
    found["asked"] = violations(window)
    page.get_by_label("Asked by").fill("")
    page.locator(".before").get_by_role("button", name="No", exact=True).click()
    page.locator(".fault", has_text="Say who.").wait_for()
    found["nobody named"] = violations(window)


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: run make page")
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1920, 1080)])
def test_no_serious_violation_in_any_state(served, width, height):
    window = served.open(width=width, height=height)
    window.page.emulate_media(reduced_motion="reduce")  # Contrast is that of a message when it has arrived.
    found = {"ready": violations(window)}
    one = {"quantity": "kap", "words": "kerma-area product", "level": 5.0, "unit": "Gy·cm²", "kind": "first"}
    served.room.alerts = {"count": 1, "up_to": "kap", "open": [one | {"at_event": 1, "source": "room 3"}]}
    window.page.locator(".dose-alert").wait_for()
    found["dose alert"] = violations(window)
    window.page.get_by_label("Your name").fill("Ann Lee")
    window.page.get_by_role("button", name="Acknowledge the dose alert").click()
    window.page.locator(".dose-alert").wait_for(state="detached")
    window.page.keyboard.down("Space")
    window.word("live", "X-RAY ON")
    found["exposing"] = violations(window)
    window.page.keyboard.up("Space")
    window.word("live", "LAST IMAGE HOLD")
    window.page.keyboard.press("k")
    window.page.wait_for_selector(".film .tile:has(canvas)")
    window.page.keyboard.press(",")
    window.word("reference", "STORED")
    for tab in ("Patient", "C-arm", "Needle", "Dose", "Technique", "Field", "Picture", "Measure"):
        window.page.get_by_role("tab", name=tab).click()
        found[tab] = violations(window)
    window.page.keyboard.press("?")
    window.page.get_by_role("dialog").wait_for()
    found["keys"] = violations(window)
    window.page.keyboard.press("Escape")
    window.page.locator(".patient").click()
    window.page.get_by_role("dialog").wait_for()
    found["patients"] = violations(window)
    window.page.get_by_role("button", name="Make a patient…", exact=True).click()
    window.page.get_by_role("button", name="Add an abnormality").click()
    found["make"] = violations(window)
    window.page.get_by_label("BMI, kg/m²").fill("99")
    window.page.get_by_role("button", name="Make this patient").click()
    window.page.locator(".fault").wait_for()
    found["refused"] = violations(window)
    window.page.get_by_label("BMI, kg/m²").fill("")
    window.page.get_by_label("Pregnant, weeks").fill("20")
    served.room.hold_making.clear()
    window.page.get_by_role("button", name="Make this patient").click()
    window.page.locator(".progress").wait_for()
    found["making"] = violations(window)
    served.room.hold_making.set()
    window.page.get_by_role("dialog").wait_for(state="detached")
    window.page.get_by_role("tab", name="Needle", exact=True).click()
    window.page.get_by_role("button", name="Mid-picture").click()
    window.page.get_by_role("button", name="At the marker").click()
    window.page.get_by_role("button", name="Show truth").click()
    window.page.get_by_role("button", name="Take stylet out").click()
    for _ in range(14):
        window.page.get_by_role("button", name="Advance 5 mm").click()
    window.page.get_by_role("button", name="Inject", exact=True).click()
    window.page.locator(".signs", has_text="fluid returns").wait_for()
    found["needle"] = violations(window)
    window.page.get_by_role("tab", name="Patient", exact=True).click()
    window.page.get_by_role("button", name="hold", exact=True).click()
    window.page.locator(".top .badge", has_text="breath held").wait_for()
    found["held"] = violations(window)
    dose_states(served.room, window, found)
    served.room.fault("the drawn source was lost: plug it in again")
    window.state("FAULT")
    found["fault"] = violations(window)
    assert [f"{state}: {told}" for state, every in found.items() for told in every] == []
