"""Make the pictures of dose in the room, all again, by the real page in Chromium (needs playwright).

python docs/pictures/make_dose_room.py
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from make_room import ACCENTS, CHROMIUM_FLAGS, HERE, ROOM_BYTES, save_small
from PIL import Image
from playwright.sync_api import sync_playwright

from fluoroscope.app.serving import open_room
from fluoroscope.app.setup import RoomSetup
from fluoroscope.monitor.server import MonitorServer

RULES = """
source = "room 3, 2025"
[air_kerma]
unit = "mGy"
first = 3
[budget]
quantity = "kap"
unit = "Gy.cm2"
limit = 2
"""
MAP_COLORS = " ".join((ACCENTS, "ffb020 33250a 58646f 5c3a8c 8c4a7d b8566f d97b5c f2a65a f7d774 464e57"))


def main() -> None:
    """Ask, expose in two directions, come to an alert, look."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        (scratch / "rules.toml").write_text(RULES)
        setup = RoomSetup(
            "lena", matrix=512, dose_rules=scratch / "rules.toml", registry=str(scratch / "doses.sqlite"),
            procedure="lumbar_epidural",
        )  # fmt: skip
        room = open_room(setup, scratch / "exams", seed=1)
        server = MonitorServer(room, port=0)
        server.start()
        try:
            with sync_playwright() as play:
                browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS)
                page = browser.new_page(viewport={"width": 1280, "height": 800})
                page.goto(server.new_token())
                _sit(page, scratch)
                browser.close()
        finally:
            server.stop()
            room.close()
        for name in ("dose-before", "dose-room", "dose-next"):
            picture = Image.open(scratch / f"{name}.png").convert("RGB")
            save_small(picture, HERE / f"{name}.png", ROOM_BYTES, MAP_COLORS)


def _sit(page: Any, scratch: Path) -> None:
    page.locator(".state", has_text="NO PERMISSION").wait_for()
    page.get_by_role("tab", name="Dose").click()
    page.get_by_role("button", name="Add an exposure elsewhere…").click()
    asked = page.get_by_role("dialog")
    for label, text in (("Body part", "abdomen"), ("Where", "another hospital"), ("When", "2023")):
        asked.get_by_label(label).fill(text)
    asked.get_by_role("button", name="Add", exact=True).click()
    page.locator(".before .outside").wait_for()
    page.locator(".before .outside", has_text="not yet").wait_for(state="detached")
    page.screenshot(path=str(scratch / "dose-before.png"))
    page.get_by_role("button", name="Ask about pregnancy").click()
    page.keyboard.type("Ann Lee")
    page.locator(".before").get_by_role("button", name="No", exact=True).click()
    page.locator(".state", has_text="READY").wait_for()
    _hold(page, 8.0)
    page.keyboard.press("l")
    page.wait_for_timeout(500.0)
    _hold(page, 8.0)
    page.get_by_role("button", name="This case").click()
    page.locator(".skinmap canvas").wait_for()
    page.wait_for_timeout(1500.0)
    page.screenshot(path=str(scratch / "dose-room.png"))
    page.get_by_role("button", name="Close exam").click()
    page.get_by_role("button", name="Write report, close").click()
    page.locator(".before .history", has_text="1 exam").wait_for(timeout=60_000)
    page.screenshot(path=str(scratch / "dose-next.png"))


def _hold(page: Any, seconds: float) -> None:
    page.keyboard.down("Space")
    page.locator(".monitor-live .monitor-word", has_text="X-RAY ON").wait_for()
    page.wait_for_timeout(seconds * 1000.0)
    page.keyboard.up("Space")
    page.locator(".monitor-live .monitor-word", has_text="HOLD").wait_for()


if __name__ == "__main__":
    main()
