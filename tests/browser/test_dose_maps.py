"""The maps of the dose in Chromium: the skin on the body and laid flat, the scatter around the table."""

import csv
import json

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.peer("chromium")]

COUNT_ROOM_DRAWS = """() => {
  window.roomDraws = 0;
  const prototype = WebGL2RenderingContext.prototype;
  const draw = prototype.drawElements;
  prototype.drawElements = function (...args) {
    if (this.canvas.closest(".roomview") !== null) window.roomDraws += 1;
    return draw.apply(this, args);
  };
}"""


def expect(locator):
    from playwright.sync_api import expect as expect_

    return expect_(locator)


@pytest.mark.req("REQ-PAGE-008")
def test_the_view_turns_to_the_peak_under_the_prone_patient_and_stands_still(served):
    page = (window := served.open()).page
    page.get_by_role("tab", name="Room").click()
    assert page.get_by_role("button", name="Turn to the peak").count() == 0
    window.expose()
    # From above, the abdomen of a prone patient is on the far side: the ring says so.
    expect(page.locator(".skin-peak.is-behind")).to_contain_text("far side")
    page.get_by_role("button", name="Turn to the peak").click()
    expect(page.locator(".skin-peak:not(.is-behind)")).to_contain_text("mGy")
    page.get_by_label("Look at the patient's side").get_by_role("button", name="Back").click()
    expect(page.locator(".skin-peak.is-behind")).to_be_visible()
    page.evaluate(COUNT_ROOM_DRAWS)
    page.wait_for_timeout(1500)
    assert page.evaluate("window.roomDraws") == 0
    page.get_by_role("button", name="Front", exact=True).click()
    page.wait_for_function("() => window.roomDraws > 0")
    page.get_by_role("button", name="Skin dose on").click()
    page.locator(".skin-peak").wait_for(state="detached")


@pytest.mark.req("REQ-PAGE-008")
def test_the_flat_skin_is_read_by_keys_and_leaves_the_carm_alone(served, tmp_path):
    page = (window := served.open()).page
    window.expose()
    page.get_by_role("tab", name="Dose").click()
    page.locator(".skinmap canvas[style*=height]").wait_for()
    page.get_by_role("slider", name="Place on the skin").focus()
    moves = len(served.room.commands)
    page.keyboard.press("Home")
    read = page.locator(".skinmap .dosemap-read")
    expect(read).to_contain_text("mGy · ")
    for _ in range(24):
        page.keyboard.press("ArrowRight")
    expect(read).to_contain_text("not in the beam · back")
    assert [name for name, _ in list(served.room.commands)[moves:] if name == "nudge_joints"] == []
    with page.expect_download() as kept:
        page.locator(".skinmap").get_by_role("button", name="CSV").click()
    kept.value.save_as(tmp_path / "skin.csv")
    lines = (tmp_path / "skin.csv").read_text().splitlines()
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    doses = json.loads(served.room.asset("skin-dose.json").content)["dose_mgy"]
    assert len(rows) == sum(dose > 0 for dose in doses)
    assert max(float(row["dose_mgy"]) for row in rows) == max(doses)
    # The beam of a prone patient comes from below: no dose on the back.
    assert all(float(row["y_mm"]) < 0 for row in rows)
    with page.expect_download() as kept:
        page.locator(".skinmap").get_by_role("button", name="PNG").click()
    kept.value.save_as(tmp_path / "skin.png")
    assert (tmp_path / "skin.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.req("REQ-PAGE-008")
def test_the_staff_map_is_fetched_while_it_is_seen_and_when_the_carm_moves(served):
    page = served.open().page
    asked = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("staff.json") else None)
    page.get_by_role("tab", name="Dose").click()
    page.wait_for_timeout(1200)
    assert asked == []
    page.locator(".part-title button", has_text="Staff").click()
    page.locator(".staffmap").scroll_into_view_if_needed()
    expect(page.locator(".staff-table").first).to_contain_text("operator")
    expect(page.locator(".staffmap .dosemap-note").first).to_contain_text("estimate")
    page.wait_for_timeout(1500)
    assert len(asked) == 1
    with page.expect_request("**/staff.json"):
        page.keyboard.press("l")
