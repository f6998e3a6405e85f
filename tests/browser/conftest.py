"""What the tests of the page share: the built page, Chromium, the drawn room behind the real server."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
PHANTOM = ROOT / "tests" / "monitor" / "phantom_room.py"
CHROMIUM_FLAGS = [
    "--no-sandbox", "--disable-quic", "--disable-background-networking",
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
]  # fmt: skip


def _load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(name, module)
    spec.loader.exec_module(module)
    return module


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let a test of this folder fail once and pass at its second try, told as RERUN at the end of the run.

    Chromium, a live room and the test share what cores there are with other programs. What fails twice is broken.
    """
    for item in items:
        if item.path.is_relative_to(ROOT / "tests" / "browser"):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session")
def built_page() -> None:
    """Build the page when its sources are newer."""
    _load("build_page", ROOT / "scripts" / "build_page.py").build(ROOT)


@pytest.fixture(scope="module")
def browser(built_page: None) -> Iterator[Any]:
    """Give Chromium, headless, with software WebGL.

    Not for the session: while Playwright runs, no later test could run an event loop of its own.
    """
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium", path=os.pathsep.join(["/usr/bin", os.environ.get("PATH", "")]))
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()


@dataclass
class Window:
    """One browser window on the room, and what its console said."""

    page: Any
    said: list[str] = field(default_factory=list)

    def word(self, channel: str, text: str) -> None:
        """Wait until the head of a monitor says ``text``."""
        from playwright.sync_api import expect

        expect(self.page.locator(f".monitor-{channel} .monitor-word")).to_contain_text(text)

    def state(self, text: str) -> None:
        from playwright.sync_api import expect

        expect(self.page.locator(".state")).to_have_text(text)

    def letters(self, channel: str) -> dict[str, str]:
        edges = ("left", "right", "top", "bottom")
        return {edge: self.page.locator(f".monitor-{channel} .letter-{edge}").inner_text() for edge in edges}

    def open_part(self, title: str) -> None:
        """Open a part of the Dose tab, again when what was still loading above it took the click away."""
        button = self.page.get_by_role("button", name=title).first
        for _ in range(5):
            if button.get_attribute("aria-expanded") == "true":
                return
            button.click()
            self.page.wait_for_timeout(100)
        raise AssertionError(f"{title} does not open")

    def probe(self, call: str) -> Any:
        return self.page.evaluate(f"window.fluoroscopeProbe.{call}")

    def wait_probe(self, condition: str, timeout_ms: float = 30_000) -> None:
        self.page.wait_for_function(
            f"() => {{ const probe = window.fluoroscopeProbe; return {condition}; }}", timeout=timeout_ms
        )

    def greys(self, channel: str) -> np.ndarray[Any, Any]:
        return np.array(self.probe(f"readBack('{channel}')"), dtype=np.uint8)

    def pixels(self, channel: str) -> np.ndarray[Any, Any]:
        return np.array(self.probe(f"pixels('{channel}')"), dtype=np.uint16)

    def glass(self, channel: str) -> dict[str, float]:
        box = self.page.locator(f".monitor-{channel} .glass").bounding_box()
        assert box is not None
        return dict(box)

    def expose(self, frames: int = 3) -> None:
        """Hold the pedal by key until some frames of this run were painted, then let go.

        A computer busy with other work may miss the heartbeat for 700 ms, which ends X-ray: then press again.
        """
        from playwright.sync_api import TimeoutError as TooLong

        painted = f"probe.kind('live') === 'live' && probe.index('live') >= {frames}"
        for attempt in range(4):
            self.page.keyboard.down("Space")
            try:
                self.wait_probe(painted, timeout_ms=30_000 if attempt == 3 else 10_000)
                break
            except TooLong:
                if attempt == 3:
                    raise
                self.page.keyboard.up("Space")
        self.page.keyboard.up("Space")
        self.word("live", "LAST IMAGE HOLD")
        self.wait_probe("probe.kind('live') === 'hold'")


@dataclass
class Served:
    """The drawn room and its server."""

    room: Any
    server: Any
    open: Callable[..., Window]


@pytest.fixture
def served(browser: Any) -> Iterator[Served]:
    """Serve a drawn room; windows opened on it must leave the console empty."""
    from fluoroscope.monitor.server import MonitorServer

    phantom = sys.modules.get("phantom_room") or _load("phantom_room", PHANTOM)
    room = phantom.PhantomRoom(256, 256)
    server = MonitorServer(room, port=0)
    server.start()
    contexts: list[Any] = []
    windows: list[Window] = []

    def open_window(query: str = "probe", width: int = 1280, height: int = 800) -> Window:
        context = browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        window = Window(context.new_page())
        windows.append(window)
        window.page.on("console", lambda message: window.said.append(f"{message.type}: {message.text}"))
        window.page.on("pageerror", lambda error: window.said.append(f"error: {error}"))
        window.page.goto(server.new_token())
        window.page.goto(f"{server.address}?{query}")
        known = ("READY", "HOLD", "X-RAY", "NO PERMISSION")
        window.page.wait_for_selector(", ".join(f".state:has-text('{word}')" for word in known))
        return window

    yield Served(room, server, open_window)
    for context in contexts:
        context.close()
    server.stop()
    room.close()
    assert [window.said for window in windows] == [[] for _ in windows]


@pytest.fixture
def frozen_room(browser: Any) -> Iterator[tuple[Window, Callable[[], None]]]:
    """Give a window on a room in a process of its own, and a way to freeze that process."""
    process = subprocess.Popen(
        [sys.executable, str(PHANTOM), "--port", "0", "--size", "128"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    window = Window(context.new_page())
    window.page.goto(url)
    window.page.goto(f"{url.split('?', 1)[0]}?probe")
    window.state("READY")
    yield window, lambda: process.send_signal(signal.SIGSTOP)
    context.close()
    process.kill()
    process.wait()
    process.stdout.close()
