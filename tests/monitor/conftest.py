"""What the tests of the monitor share: the drawn room, the real server, and a page over real sockets."""

import importlib.util
import json
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.sync.client import connect

from fluoroscope.monitor.server import MonitorServer

HEADER = struct.Struct("<4sHHIBBBBHHIQQfffI24s")


def _load_phantom() -> ModuleType:
    spec = importlib.util.spec_from_file_location("phantom_room", Path(__file__).with_name("phantom_room.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["phantom_room"] = module
    spec.loader.exec_module(module)
    return module


_PHANTOM = _load_phantom()


@dataclass
class Shown:
    """A picture as a page gets it."""

    seq: int
    channel: int
    kind: int
    bytes_per_pixel: int
    binning: int
    pixels: np.ndarray[Any, Any]
    index: int
    acquired_ns: int
    sent_ns: int
    window: tuple[float, float]
    pitch_mm: float
    event_number: int
    label: str
    received_ns: int


def unpack(message: bytes) -> Shown:
    magic, version, start, seq, channel, kind, size, binning, rows, columns, index, acquired, sent, *rest = (
        HEADER.unpack_from(message)
    )
    assert (magic, version, start) == (b"FLUO", 1, 80)
    pixels = np.frombuffer(message, f"<u{size}", offset=start)
    assert pixels.size == rows * columns
    center, width, pitch, event, label = rest
    return Shown(
        seq,
        channel,
        kind,
        size,
        binning,
        pixels.reshape(rows, columns),
        index,
        acquired,
        sent,
        (center, width),
        pitch,
        event,
        label.rstrip(b"\0").decode(),
        time.monotonic_ns(),
    )


class PageClient:
    """A page without a browser: sends what a page sends, keeps what it is told."""

    def __init__(self, server: MonitorServer, cookie: str, **how: Any) -> None:
        self.server, self.cookie = server, cookie
        asked = {"origin": server.address[:-1], "additional_headers": {"Cookie": cookie}} | how
        self._connection = connect(
            server.address.replace("http", "ws", 1) + "ws",
            compression=None,
            max_size=None,
            close_timeout=0.5,
            **asked,
        )
        self.socket = self._connection.__enter__()
        self.hello: dict[str, Any] = {}
        self.status: dict[str, Any] = {}
        self.pictures: list[Shown] = []
        self.replies: dict[int, dict[str, Any]] = {}
        self.errors: list[str] = []
        self.acking = True
        self._id = 0
        self.until(lambda: self.hello and self.status)

    def send(self, message: Any) -> None:
        self.socket.send(message if isinstance(message, (str, bytes)) else json.dumps(message))

    def take(self, timeout_s: float = 5.0) -> None:
        message = self.socket.recv(timeout_s)
        if isinstance(message, bytes):
            self.pictures.append(unpack(message))
            if self.acking:
                self.send({"type": "ack", "seq": self.pictures[-1].seq})
            return
        told = json.loads(message)
        match told["type"]:
            case "hello":
                self.hello = told
            case "status":
                self.status = told
            case "reply":
                self.replies[told["id"]] = told
            case "error":
                self.errors.append(told["error"])

    def until(self, condition: Any, timeout_s: float = 20.0) -> None:
        end_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end_s, f"not told in time; last status {self.status}"
            self.take()

    def command(self, name: str, /, **args: Any) -> dict[str, Any]:
        self._id += 1
        number = self._id
        self.send({"type": "command", "id": number, "name": name, "args": args})
        self.until(lambda: number in self.replies)
        return self.replies[number]

    def close(self) -> None:
        self._connection.__exit__(None, None, None)


def sign_in(server: MonitorServer, url: str | None = None) -> str:
    """Swap a token for the session cookie, given as a Cookie header."""
    answer = httpx.get(url or server.new_token())
    assert answer.status_code == 303
    return answer.headers["set-cookie"].split(";")[0]


@pytest.fixture
def phantom() -> ModuleType:
    """Give the module of the drawn room."""
    return _PHANTOM


@pytest.fixture
def room():
    """Give a drawn room of 256² pixels."""
    made = _PHANTOM.PhantomRoom(256, 256)
    yield made
    made.close()


@pytest.fixture
def server(room):
    """Give the real server, started on a free port."""
    made = MonitorServer(room, port=0)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def enter(server):
    """Give a function that opens a page with a session of its own (or a given cookie)."""
    pages: list[PageClient] = []

    def open_page(cookie: str | None = None, **how: Any) -> PageClient:
        pages.append(PageClient(server, cookie or sign_in(server), **how))
        return pages[-1]

    yield open_page
    for page in pages:
        page.close()
