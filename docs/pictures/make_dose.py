"""Make the pictures of the dose maps, by the real page in Chromium (needs playwright).

    python docs/pictures/make_dose.py

A modelled patient lies prone; an AP run from below, then a lateral one. ``skin-map-room.png`` is the page with the
skin dose on the body, turned to its peak, and laid flat; ``staff-map.png`` the scatter around the table as it stands.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from make_room import ACCENTS, CHROMIUM_FLAGS, HERE, ROOM_BYTES
from make_room import save_small as save_greys
from PIL import Image

LAST_SECONDS = 4.0
SCALE = "613b8f 824490 a24e8c be5b84 d76b78 ea806b f79860 feb35c fecf64 f7ec7c 464e57"
"""The colours of the skin dose and of skin that was not hit: those of web/src/room/skinmapscale.ts."""


def take(page) -> None:  # type: ignore[no-untyped-def]
    """Expose in two projections and picture what the page then shows."""

    def hold(seconds: float) -> None:
        page.keyboard.down("Space")
        page.wait_for_timeout(seconds * 1000.0)
        page.keyboard.up("Space")
        page.locator(".monitor-live .monitor-word", has_text="HOLD").wait_for()

    page.get_by_label("Asked by").first.fill("Dr. Example")
    page.get_by_role("button", name="No", exact=True).first.click()
    page.locator(".state", has_text="READY").wait_for()
    page.evaluate("document.activeElement.blur()")
    hold(LAST_SECONDS)
    page.keyboard.press("l")
    page.wait_for_timeout(2500.0)
    hold(LAST_SECONDS / 2.0)
    page.get_by_role("tab", name="Dose", exact=True).click()
    part = page.locator(".part-title button")
    part.filter(has_text="This case").click()
    page.get_by_role("button", name="Turn to the peak").click()
    page.locator(".skinmap canvas").scroll_into_view_if_needed()
    page.wait_for_timeout(1500.0)
    room = Image.open(BytesIO(page.screenshot())).convert("RGB")
    save_greys(room, HERE / "skin-map-room.png", ROOM_BYTES, f"{ACCENTS} ffb020 {SCALE}")
    page.get_by_role("button", name="Whole room").click()
    part.filter(has_text="Staff").click()
    page.set_viewport_size({"width": 1920, "height": 3200})
    page.locator(".staff-canvas").wait_for()
    page.wait_for_timeout(2500.0)
    staff = Image.open(BytesIO(page.locator(".staffmap").screenshot())).convert("RGB")
    staff.quantize(256, dither=Image.Dither.NONE).save(HERE / "staff-map.png", optimize=True)


def main() -> None:
    """Run as a script."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1920, "height": 1080})
        program = subprocess.Popen(
            [sys.executable, "-m", "fluoroscope", "run", "lena", "--no-open", "--port", "0", "--matrix", "512"],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"FLUOROSCOPE_HOME": str(Path(scratch) / "home")},
        )
        try:
            page.goto(next(line for line in program.stderr or () if "is open:" in line).split("open: ")[1].strip())
            page.locator(".state").wait_for()
            take(page)
        finally:
            program.terminate()
            program.communicate()
            browser.close()


if __name__ == "__main__":
    main()
