"""The calling end: a connection to a tracker or another program, made again whenever it is lost."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from fluoroscope.sources.openigtlink.messages import Content, encode_message
from fluoroscope.sources.openigtlink.reader import Arrived, Limits, MessageReader, ReaderStatus
from fluoroscope.sources.openigtlink.server import keep_alive
from fluoroscope.sources.openigtlink.wire import WireError

__all__ = ["DEFAULT_PORT", "LinkAddress", "LinkClient", "LinkState", "parse_address"]

DEFAULT_PORT = 18944
_RECEIVE_BYTES = 256 * 1024
_WAIT_S = 0.25
_CONNECT_S = 3.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 2.0


@dataclass(frozen=True, slots=True)
class LinkAddress:
    """Where a peer listens."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return host:port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> LinkAddress:
    """Return the address of ``HOST``, ``HOST:PORT`` or ``igtl://HOST:PORT``; the port is 18944 when not said.

    Raises
    ------
    ValueError
        When it is none; one line.
    """
    rest = text.removeprefix("igtl://").rstrip("/")
    host, separator, port = rest.rpartition(":")
    if not separator or rest.endswith("]") or (rest.count(":") > 1 and not rest.startswith("[")):
        host, port = rest, str(DEFAULT_PORT)
    host = host.strip("[]")
    if not host or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise ValueError(f"{text!r} is no address of an OpenIGTLink peer: give HOST:PORT, such as 127.0.0.1:18944")
    return LinkAddress(host, int(port))


class LinkState(Enum):
    """Where a connection is."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    CLOSED = "closed"


class LinkClient:
    """Keeps a connection to a peer and hands on every message that comes; nothing is queued.

    A lost connection is made again, at once and then ever less often, down to every 2 s.

    Parameters
    ----------
    address
        The peer's.
    on_message
        Called in the client's thread with every message; it must return at once.
    greeting
        Sent with every new connection, such as a wish for a stream.
    limits
        What is taken of the peer.
    """

    def __init__(
        self,
        address: LinkAddress,
        on_message: Callable[[Arrived], None],
        greeting: Content | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.address = address
        self._on_message, self._greeting, self._limits = on_message, greeting, limits
        self._changed = threading.Condition()
        self._state = LinkState.CONNECTING
        self._reason = f"{address} has not answered yet"
        self._connections = 0
        self._reader = MessageReader(limits)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="OpenIGTLink client", daemon=True)
        self._thread.start()

    @property
    def state(self) -> LinkState:
        """Whether the peer is there."""
        with self._changed:
            return self._state

    @property
    def reason(self) -> str:
        """Why the peer is not there; "" when it is."""
        with self._changed:
            return self._reason

    @property
    def connections(self) -> int:
        """How often the peer was reached."""
        with self._changed:
            return self._connections

    @property
    def read(self) -> ReaderStatus:
        """How many messages of the present, or last, connection were taken, skipped and refused."""
        with self._changed:
            return self._reader.status

    def wait_for(self, state: LinkState, timeout_s: float) -> bool:
        """Wait until the connection is in ``state``; False after ``timeout_s``."""
        with self._changed:
            return self._changed.wait_for(lambda: self._state is state, timeout_s)

    def close(self) -> None:
        """End the connection. May be called twice, but not from `on_message`."""
        self._closing.set()
        self._thread.join()
        self._set(LinkState.CLOSED, "closed")

    def _set(self, state: LinkState, reason: str) -> None:
        with self._changed:
            self._state, self._reason = state, reason
            self._connections += state is LinkState.CONNECTED
            self._changed.notify_all()

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._closing.is_set():
            try:
                with socket.create_connection((self.address.host, self.address.port), _CONNECT_S) as connection:
                    self._talk(connection)
                    pause_s = _FIRST_PAUSE_S
            except (OSError, WireError) as error:
                reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
                if self._state is LinkState.CONNECTED:
                    pause_s = _FIRST_PAUSE_S
                self._set(LinkState.CONNECTING, f"{self.address}: {reason}")
            self._closing.wait(pause_s)
            pause_s = min(2.0 * pause_s, _LONGEST_PAUSE_S)

    def _talk(self, connection: socket.socket) -> None:
        keep_alive(connection)
        connection.settimeout(_WAIT_S)
        reader = MessageReader(self._limits)
        with self._changed:
            self._reader = reader
        if self._greeting is not None:
            connection.sendall(encode_message(self._greeting, "", time.time_ns()))
        self._set(LinkState.CONNECTED, "")
        while not self._closing.is_set():
            data = b""
            with contextlib.suppress(TimeoutError):
                data = connection.recv(_RECEIVE_BYTES)
                if not data:
                    raise ConnectionResetError("the peer closed the connection")
            for arrived in reader.feed(data, time.monotonic_ns()):
                self._on_message(arrived)
            if reader.overdue(time.monotonic_ns()):
                raise WireError("a message was not whole in time")
