"""Make the pictures of the room and of what it shows, all again.

    python docs/pictures/make_room.py            the X-ray pictures, by ``fluoroscope simulate``
    python docs/pictures/make_room.py --page     also room.png, by the real page in Chromium (needs playwright)

The two CTs must be there (``fluoroscope patients fetch lumbar``, ``… thoracolumbar``). Patients lie prone. Shown are
the last pictures of a run of a second, averaged as the hold does, with the run's own window unless it is named here.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fluoroscope.dicom.xa import read_clip
from fluoroscope.records.png import write_png

HERE = Path(__file__).parent
SIDE_PX, SQUARE_BYTES, ROOM_BYTES = 512, 120_000, 400_000
HELD_FRAMES = 5
ACCENTS = (
    "0b0d10 14181d 1d232a 2a323b 12394d 3c4650 8a97a3 9aa6b2 "
    "d7dde3 4cc2ff 2f86b3 ffd21f b99a1c 2a250d ff5d5d b58f7a 8b6d5d"
)
CHROMIUM_FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


@dataclass(frozen=True)
class Shot:
    """One picture: who, from where, and where the table stands; window as (centre, width), else the run's."""

    name: str
    patient: str
    primary_deg: float
    longitudinal_mm: float = 0.0
    height_mm: float = 0.0
    window: tuple[float, float] | None = None


SHOTS = (
    Shot("lumbar-ap", "lumbar", 0.0),
    Shot("lumbar-lateral", "lumbar", -90.0, window=(33800.0, 7500.0)),
    # The CT ends at L2 and holds contrast medium: the aorta lies over the left of the spine.
    Shot("thoracolumbar-ap", "thoracolumbar", 0.0, longitudinal_mm=30.0, window=(31750.0, 10000.0)),
    Shot("thoracolumbar-lateral", "thoracolumbar", -90.0, longitudinal_mm=-20.0, height_mm=-18.0),
    Shot("thoracolumbar-oblique", "thoracolumbar", 25.0, longitudinal_mm=10.0),
)


def save_small(picture: Image.Image, path: Path, most_bytes: int, accents: str = "") -> None:
    """Save as PNG with as many greys as fit in ``most_bytes``, beside the colours named."""
    named = [int(color[i : i + 2], 16) for color in accents.split() for i in (0, 2, 4)]
    for colors in (200, 128, 64, 48, 32, 24, 16):
        greys = [value for grey in np.linspace(0, 255, colors).astype(int).tolist() for value in (grey, grey, grey)]
        palette = Image.new("P", (1, 1))
        palette.putpalette(named + greys)
        picture.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size <= most_bytes:
            break
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB, {colors} colours")


def take(shot: Shot, scratch: Path) -> None:
    """Simulate a second and keep its last image."""
    out, scenario = scratch / shot.name, scratch / f"{shot.name}.yaml"
    step = {"at_s": 0, "longitudinal_mm": shot.longitudinal_mm, "height_mm": shot.height_mm}
    scenario.write_text(json.dumps({"seconds": 1, "steps": [step]}))
    command = [sys.executable, "-m", "fluoroscope", "simulate", shot.patient, "--out", str(out), "--seed", "1"]
    subprocess.run([*command, "--primary-deg", str(shot.primary_deg), "--scenario", str(scenario)], check=True)
    with read_clip(out / "cine.dcm") as clip:
        frames = [clip.frame(i) for i in range(clip.frame_count - HELD_FRAMES, clip.frame_count)]
        center, width = shot.window or (clip.window_center, clip.window_width)
        right = "" if clip.patient_orientation is None else clip.patient_orientation[0][0]
    left = right.translate(str.maketrans("LRAP", "RLPA"))
    held = np.rint(np.mean(frames, axis=0))
    small = held.reshape(SIDE_PX, held.shape[0] // SIDE_PX, SIDE_PX, held.shape[1] // SIDE_PX).mean(axis=(1, 3))
    write_png(scratch / "small.png", np.rint(small).astype(np.uint16), center, width, markers=(left, right))
    save_small(Image.open(scratch / "small.png").convert("L"), HERE / f"{shot.name}.png", SQUARE_BYTES)


def take_page(scratch: Path) -> None:
    """Sit at the page: AP on REFERENCE, a needle seen from the side on LIVE, at 1920×1080."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1920, "height": 1080})
        patients = scratch / "home" / "patients"
        if (known := Path(os.environ.get("FLUOROSCOPE_HOME", "")) / "patients").is_dir():
            shutil.copytree(known, patients)
        program = subprocess.Popen(
            [sys.executable, "-m", "fluoroscope", "run", "anna", "--no-open", "--port", "0"],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"FLUOROSCOPE_HOME": str(scratch / "home")},
        )
        try:
            page.goto(next(line for line in program.stderr or () if "is open:" in line).split("open: ")[1].strip())
            page.locator(".state", has_text="READY").wait_for()
            _play(page)
            page.screenshot(path=str(scratch / "room.png"))
        finally:
            program.terminate()
            program.communicate()
            browser.close()
    save_small(Image.open(scratch / "room.png").convert("RGB"), HERE / "room.png", ROOM_BYTES, ACCENTS)


def _play(page) -> None:  # type: ignore[no-untyped-def]
    def hold(seconds: float) -> None:
        page.keyboard.down("Space")
        page.locator(".monitor-live .picture:not(.is-empty)").wait_for()
        page.wait_for_timeout(seconds * 1000.0)

    hold(2.0)
    page.keyboard.up("Space")
    page.locator(".monitor-live .monitor-word", has_text="HOLD").wait_for()
    page.keyboard.press("k")
    page.locator(".film .tile canvas").wait_for()
    page.keyboard.press(",")
    page.get_by_role("tab", name="Needle", exact=True).click()
    page.get_by_role("button", name="Mid-picture").click()
    page.get_by_role("button", name="At the marker").click()
    for _ in range(9):
        page.get_by_role("button", name="Advance 5 mm").click()
    page.get_by_role("button", name="Look from near, at the needle").click()
    page.keyboard.press("l")
    page.wait_for_timeout(3000.0)
    hold(4.0)
    # Held: a slow computer's LIVE may be stale at any moment, and says so.
    page.keyboard.up("Space")
    page.locator(".monitor-live .monitor-word", has_text="HOLD").wait_for()


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", action="store_true", help="also room.png")
    parser.add_argument("--only", nargs="*", help="names of pictures")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for shot in SHOTS:
            if arguments.only is None or shot.name in arguments.only:
                take(shot, Path(scratch))
        if arguments.page:
            take_page(Path(scratch))


if __name__ == "__main__":
    main()
