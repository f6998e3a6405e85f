"""`fluoroscope run` as a user starts it: the modelled patient, Chromium, the pedal, and what is then on disk."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.peer("chromium")]


@dataclass
class Program:
    """A running `fluoroscope` and the link it printed."""

    process: subprocess.Popen[str]
    url: str

    def end(self) -> str:
        """Press Ctrl-C; return what was said until the end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        _, said = self.process.communicate(timeout=60)
        return said


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Sequence[str]], Program]]:
    """Start the program with its own data folder; whatever was started is ended."""
    started: list[Program] = []

    def run(arguments: Sequence[str]) -> Program:
        environment = os.environ | {"FLUOROSCOPE_HOME": str(tmp_path / "home")}
        process = subprocess.Popen(
            [sys.executable, "-m", "fluoroscope", *arguments, "--no-open", "--port", "0"],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            found = re.search(r"the room is open: (\S+)", line)
            if found:
                started.append(Program(process, found[1]))
                return started[-1]
        raise AssertionError("".join(said))

    yield run
    for program in started:
        program.end()


@dataclass
class Seat:
    """The operator's page."""

    page: Any
    said: list[str]

    def word(self, channel: str, text: str) -> None:
        from playwright.sync_api import expect

        expect(self.page.locator(f".monitor-{channel} .monitor-word")).to_contain_text(text, timeout=30_000)

    def wait(self, condition: str) -> None:
        self.page.wait_for_function(f"() => {{ const probe = window.fluoroscopeProbe; return {condition}; }}")

    def pixels(self, channel: str) -> np.ndarray[Any, Any]:
        return np.array(self.page.evaluate(f"window.fluoroscopeProbe.pixels('{channel}')"), dtype=np.uint16)

    def expose(self, frames: int) -> None:
        self.page.keyboard.down("Space")
        self.wait(f"probe.kind('live') === 'live' && probe.index('live') >= {frames}")
        self.page.keyboard.up("Space")
        self.word("live", "LAST IMAGE HOLD")
        self.wait("probe.kind('live') === 'hold'")


@pytest.fixture
def sit(browser: Any) -> Iterator[Callable[[Program], Seat]]:
    """Open the page of a program."""
    contexts = []

    def open_page(program: Program) -> Seat:
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        contexts.append(context)
        seat = Seat(context.new_page(), [])
        seat.page.on("console", lambda message: seat.said.append(f"{message.type}: {message.text}"))
        seat.page.on("pageerror", lambda error: seat.said.append(f"error: {error}"))
        seat.page.goto(program.url)
        seat.page.goto(f"{program.url.split('?', 1)[0]}?probe")
        seat.page.locator(".state", has_text=re.compile("READY|NO PERMISSION")).wait_for()
        if seat.page.locator(".screening.is-blocking").count():
            seat.page.get_by_label("Asked by").fill("Test")
            seat.page.get_by_role("button", name="No", exact=True).click()
        seat.page.locator(".state", has_text="READY").wait_for()
        return seat

    yield open_page
    for context in contexts:
        context.close()


def visible(seat: Seat, text: str) -> bool:
    return bool(seat.page.locator(f".simulated:text-is('{text} – not for clinical use')").is_visible())


@pytest.mark.req("HAZ-CLINIC-001", "HAZ-SIDE-001", "HAZ-BEAM-001")
def test_from_pedal_to_the_records_and_back_as_a_clip(start, sit, tmp_path):
    program = start(["run", "anna", "--matrix", "512"])
    seat = sit(program)
    assert visible(seat, "SIMULATED")
    seat.expose(3)
    assert seat.page.locator(".monitor-live .letter-left").inner_text() == "L"
    above = seat.pixels("live")
    assert np.percentile(above, 95) - np.percentile(above, 5) > 2000
    seat.page.keyboard.press("l")
    seat.page.wait_for_selector(".roomview-text :text('lateral')", state="attached")
    seat.expose(3)
    assert {seat.page.locator(f".monitor-live .letter-{edge}").inner_text() for edge in ("left", "right")} == {"A", "P"}
    lateral = seat.pixels("live")
    assert np.corrcoef(above, lateral)[0, 1] < 0.9
    seat.page.keyboard.press("k")
    seat.page.wait_for_selector(".film .tile:has(canvas)")
    seat.page.keyboard.press(",")
    seat.word("reference", "STORED")
    seat.wait("probe.kind('reference') === 'stored'")
    np.testing.assert_array_equal(seat.pixels("reference"), lateral)
    seat.page.keyboard.press("p")
    seat.word("reference", "REPLAY")
    seat.wait("probe.index('reference') >= 2")
    assert seat.said == []
    seat.page.context.close()
    assert "Traceback" not in program.end()
    (exam,) = (tmp_path / "home" / "exams").iterdir()
    for name in ("run-001.dcm", "run-002.dcm", "image-001.dcm", "dose.dcm"):
        assert (exam / name).read_bytes()[128:132] == b"DICM", name
    assert program.process.returncode == 0
    replayed(start(["replay", str(exam / "run-002.dcm")]), sit)


def replayed(program: Program, sit: Callable[[Program], Seat]) -> None:
    """Play the lateral run: still simulated, still with its sides, and no dose made up."""
    seat = sit(program)
    assert visible(seat, "SIMULATED")
    seat.expose(2)
    assert {seat.page.locator(f".monitor-live .letter-{edge}").inner_text() for edge in ("left", "right")} == {"A", "P"}
    assert "lateral" in seat.page.locator(".monitor-live .corner-bl").inner_text()
    figures = seat.page.locator(".figure-value").all_inner_texts()
    assert [figure[0] for figure in figures] == ["–"] * 4
    seat.page.keyboard.press("l")
    seat.page.locator(".message", has_text="not possible with run-002.dcm").wait_for()
    assert seat.said == []
    seat.page.context.close()
    assert "Traceback" not in program.end()


@pytest.mark.data
@pytest.mark.req("HAZ-CLINIC-001", "HAZ-SIDE-001")
@pytest.mark.parametrize("name", ["xa_96frames_512.dcm", "rf_kwire.dcm"])
def test_a_clip_of_another_maker_is_shown_as_it_was_stored(start, sit, name):
    from pydicom import dcmread

    folder = os.environ.get("FLUOROSCOPE_TEST_DATA")
    if not folder:
        pytest.skip("FLUOROSCOPE_TEST_DATA is not set")
    path = Path(folder) / "xa" / name
    seat = sit(start(["replay", str(path)]))
    assert visible(seat, "RECORDED")
    seat.expose(2)
    assert [seat.page.locator(f".monitor-live .letter-{edge}").inner_text() for edge in ("left", "top")] == ["", ""]
    stored = dcmread(path)
    frames = stored.pixel_array.reshape(-1, stored.Rows * stored.Columns)
    shown = seat.pixels("live")
    assert any(np.array_equal(shown, frame) for frame in frames)
    box = seat.page.locator(".monitor-live .picture").bounding_box()
    assert box["width"] / box["height"] == pytest.approx(stored.Columns / stored.Rows, rel=0.01)
    grey = np.array(seat.page.evaluate("window.fluoroscopeProbe.readBack('live')"))
    assert np.percentile(grey, 98) - np.percentile(grey, 2) > 100
    assert seat.said == []
