"""The door of the monitor as a real browser meets it: other pages, the policy, the cookie."""

import http.server
import threading
import time
from pathlib import Path

import pytest

from fluoroscope.monitor.control import MonitorFrame
from fluoroscope.monitor.server import MonitorServer

pytestmark = [pytest.mark.browser, pytest.mark.peer("chromium")]

ATTACK = """<!doctype html><title>another page</title><script>
async function attempt(port, token) {
  const base = `127.0.0.1:${port}`, told = {};
  told.socket = await new Promise((done) => {
    const socket = new WebSocket(`ws://${base}/ws`);
    socket.onopen = () => done("open");
    socket.onerror = () => done("refused");
  });
  told.read = await fetch(`http://${base}/`, {credentials: "include"}).then(() => "read", () => "refused");
  told.frame = await new Promise((done) => {
    const frame = document.createElement("iframe");
    frame.src = `http://${base}/`;
    frame.onload = () => done("ended");
    document.body.append(frame);
  });
  told.script = await new Promise((done) => {
    const script = document.createElement("script");
    script.src = `http://${base}/index.html`;
    script.onload = () => done("loaded");
    script.onerror = () => done("refused");
    document.body.append(script);
  });
  return told;
}
</script><body></body>"""


class StillRoom:
    """A room in which nothing happens but being asked."""

    def __init__(self) -> None:
        self.commands: list[str] = []

    def status(self):
        return {"state": "READY"}

    def command(self, name, args):
        self.commands.append(name)
        return {}

    def latest(self, channel: str, after_ns: int, timeout_s: float) -> MonitorFrame | None:
        threading.Event().wait(timeout_s)
        return None

    def operator_lost(self) -> None:
        pass


@pytest.fixture(scope="module")
def chromium(peer_program):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        started = play.chromium.launch(
            executable_path=peer_program("chromium"),
            args=["--no-sandbox", "--disable-quic", "--disable-background-networking"],
        )
        yield started
        started.close()


@pytest.fixture
def still_server():
    room = StillRoom()
    server = MonitorServer(room, port=0)
    server.start()
    yield server, room
    server.stop()


@pytest.fixture
def other_site(tmp_path):
    """Serve another page on this computer: the origin of an attacker who is as near as can be."""
    (tmp_path / "index.html").write_text(ATTACK)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args, **kwargs) -> None:
            super().__init__(*args, directory=str(tmp_path), **kwargs)

        def log_message(self, *args) -> None:
            pass

    site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    serving = threading.Thread(target=site.serve_forever)
    serving.start()
    yield site.server_address[1]
    site.shutdown()
    serving.join(10)
    site.server_close()


@pytest.mark.req("REQ-WEB-001")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_another_page_of_the_signed_in_browser_gets_nothing(chromium, still_server, other_site, host):
    server, room = still_server
    context = chromium.new_context()
    signed_in = context.new_page()
    signed_in.goto(server.url)
    other = context.new_page()
    other.goto(f"http://{host}:{other_site}/index.html")
    told = other.evaluate("port => attempt(port)", server.port)
    assert told == {"socket": "refused", "read": "refused", "frame": "ended", "script": "refused"}
    # The refused frame's own error page is committed a moment after its load has ended.
    refused, deadline = ["chrome-error://chromewebdata/"], time.monotonic() + 10.0
    while [frame.url for frame in other.frames[1:]] != refused and time.monotonic() < deadline:
        other.wait_for_timeout(50)
    assert [frame.url for frame in other.frames[1:]] == refused
    assert room.commands == []
    context.close()


@pytest.mark.req("REQ-WEB-001")
def test_the_token_leaves_the_address_and_scripts_cannot_see_the_session(chromium, still_server):
    server, _ = still_server
    context = chromium.new_context()
    page = context.new_page()
    page.goto(server.url)
    assert page.url == server.address
    assert page.evaluate("document.cookie") == ""
    kept = [c for c in context.cookies() if c["name"] == f"fluoroscope_{server.port}"]
    assert [(c["httpOnly"], c["sameSite"]) for c in kept] == [(True, "Strict")]
    page.reload()
    assert page.url == server.address
    context.close()


def test_inline_script_and_foreign_addresses_are_blocked_on_our_page(chromium, still_server, other_site):
    server, _ = still_server
    context = chromium.new_context()
    page = context.new_page()
    page.goto(server.url)
    ran = page.evaluate(
        """() => { const s = document.createElement("script"); s.textContent = "window.ran = true";
                   document.body.append(s); return window.ran === true; }"""
    )
    assert ran is False
    reached = page.evaluate(
        "port => fetch(`http://127.0.0.1:${port}/`, {mode: 'no-cors'}).then(() => true, () => false)",
        other_site,
    )
    assert reached is False
    assert page.evaluate("window.crossOriginIsolated") is True
    context.close()


def test_the_built_page_needs_nothing_that_the_policy_forbids(chromium, still_server):
    server, _ = still_server
    built = Path(__file__).parents[2] / "src/fluoroscope/monitor/static/index.html"
    if not built.is_file():
        pytest.skip("the page is not built: run make page")
    context = chromium.new_context()
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(server.url, wait_until="networkidle")
    assert not any("Content Security Policy" in text or "MIME" in text for text in said), said
    context.close()
