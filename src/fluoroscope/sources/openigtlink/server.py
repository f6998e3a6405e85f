"""The serving end: every peer that connects gets the newest picture and poses; what it is too slow for is dropped.

One thread serves all peers. For each there is one message on its way and, per type and device, one that waits: a
newer takes its place and is counted as dropped. So memory is bounded whatever a peer does, and a slow one holds up
nobody.
"""

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fluoroscope.sources.openigtlink.messages import Content, Query, Status, encode_message
from fluoroscope.sources.openigtlink.reader import POSE_KINDS, Arrived, Limits, MessageReader
from fluoroscope.sources.openigtlink.wire import WireError, encode

__all__ = ["LinkServer", "LinkServerStatus", "PeerStatus", "ServerSettings", "keep_alive"]

_RECEIVE_BYTES = 256 * 1024
_SEND_BUFFER_BYTES = 1024 * 1024
"""What the system keeps for a peer: much more would be old pictures that can no longer be dropped."""
_TICK_S = 0.25
_DEVICE = "Fluoroscope"


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How a server treats its peers.

    Attributes
    ----------
    most_peers
        One more is turned away.
    stall_s
        A peer that takes no byte for so long while something waits for it is let go.
    heartbeat_s
        A STATUS goes out when nothing else did for so long.
    limits
        What is taken of a peer.
    """

    most_peers: int = 8
    stall_s: float = 10.0
    heartbeat_s: float = 2.0
    limits: Limits = field(default_factory=lambda: Limits(kinds=POSE_KINDS))


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """One connection: who, messages sent, dropped as it was too slow, taken from it, refused."""

    address: str
    sent: int
    dropped: int
    taken: int
    refused: int
    waiting_bytes: int


@dataclass(frozen=True, slots=True)
class LinkServerStatus:
    """The server at one moment.

    Attributes
    ----------
    host, port
        Where it listens.
    peers
        Who is connected.
    sent, dropped
        Messages, of all peers since the start.
    turned_away
        Connections beyond the most.
    last_loss
        Why the last peer was let go; "" before the first.
    """

    host: str
    port: int
    peers: tuple[PeerStatus, ...]
    sent: int
    dropped: int
    turned_away: int
    last_loss: str


class LinkServer:
    """Listens for OpenIGTLink peers and sends them what is published.

    Parameters
    ----------
    host, port
        Address to listen on; port 0 takes a free one.
    settings
        How peers are treated.
    on_message
        Called in the server's thread with what a peer sends; it must return at once.

    Raises
    ------
    OSError
        When the address cannot be listened on; one line that says so.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 18944,
        settings: ServerSettings | None = None,
        on_message: Callable[[Arrived], None] | None = None,
    ) -> None:
        self._settings = settings if settings is not None else ServerSettings()
        self._on_message = on_message
        self._listener = _listen(host, port)
        self._host, self._port = self._listener.getsockname()[:2]
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        for one in (self._wake_in, self._wake_out):
            one.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._selector.register(self._wake_in, selectors.EVENT_READ, None)
        self._lock = threading.Lock()
        self._peers: dict[socket.socket, _Peer] = {}
        self._sent = self._dropped = self._turned_away = 0
        self._last_loss = ""
        self._published_s = time.monotonic()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="OpenIGTLink server", daemon=True)
        self._thread.start()

    @property
    def host(self) -> str:
        """Where it listens."""
        return str(self._host)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._port)

    @property
    def has_peers(self) -> bool:
        """Whether anybody is connected."""
        with self._lock:
            return bool(self._peers)

    def publish(self, device: str, content: Content, utc_ns: int, metadata: Mapping[str, str] | None = None) -> int:
        """Offer a message to every peer; what one has not taken yet of the same type and device is dropped.

        Returns
        -------
        int
            How many peers there were; with none, nothing is encoded.
        """
        if not self.has_peers:
            return 0
        message = encode_message(content, device, utc_ns, metadata)
        with self._lock:
            for peer in self._peers.values():
                peer.offer((type(content).__name__, device), message)
            self._published_s = time.monotonic()
            count = len(self._peers)
        self._wake()
        return count

    def status(self) -> LinkServerStatus:
        """Return how peers keep up."""
        with self._lock:
            peers = tuple(peer.status() for peer in self._peers.values())
            sent = self._sent + sum(one.sent for one in peers)
            dropped = self._dropped + sum(one.dropped for one in peers)
            return LinkServerStatus(self.host, self.port, peers, sent, dropped, self._turned_away, self._last_loss)

    def close(self) -> None:
        """End all connections and stop listening. May be called twice."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._wake()
        self._thread.join()
        for one in (*self._peers, self._listener, self._wake_in, self._wake_out):
            one.close()
        self._peers.clear()
        self._selector.close()

    # The server's thread

    def _wake(self) -> None:
        # A full pipe wakes just as well.
        with contextlib.suppress(BlockingIOError, OSError):
            self._wake_out.send(b"\0")

    def _serve(self) -> None:
        while not self._closing.is_set():
            for key, events in self._selector.select(_TICK_S):
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is self._wake_in:
                    with contextlib.suppress(BlockingIOError):
                        self._wake_in.recv(4096)
                elif isinstance(key.data, _Peer):
                    self._attend(key.data, events)
            self._keep_up()

    def _accept(self) -> None:
        try:
            connection, address = self._listener.accept()
        except OSError:
            return
        if len(self._peers) >= self._settings.most_peers:
            connection.close()
            with self._lock:
                self._turned_away += 1
            return
        connection.setblocking(False)
        keep_alive(connection)
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        peer = _Peer(connection, f"{address[0]}:{address[1]}", MessageReader(self._settings.limits))
        with self._lock:
            self._peers[connection] = peer
        self._selector.register(connection, selectors.EVENT_READ, peer)

    def _attend(self, peer: "_Peer", events: int) -> None:
        try:
            if events & selectors.EVENT_READ:
                self._hear(peer)
            if events & selectors.EVENT_WRITE:
                self._send(peer)
        except (OSError, WireError) as error:
            self._let_go(peer, str(error))

    def _hear(self, peer: "_Peer") -> None:
        data = peer.connection.recv(_RECEIVE_BYTES)
        if not data:
            raise ConnectionResetError("it closed the connection")
        for arrived in peer.reader.feed(data, time.monotonic_ns()):
            if isinstance(arrived.content, Query):
                self._answer(peer, arrived.content.kind)
            elif self._on_message is not None:
                self._on_message(arrived)

    def _answer(self, peer: "_Peer", kind: str) -> None:
        """Answer what every device is asked; streams flow without being asked for."""
        now_ns = time.time_ns()
        if kind == "GET_STATUS":
            answer = encode_message(Status(), _DEVICE, now_ns)
        elif kind == "GET_CAPABIL":
            names = b"".join(name.ljust(12, b"\0") for name in (b"IMAGE", b"TRANSFORM", b"STATUS"))
            answer = encode("CAPABILITY", _DEVICE, [names], utc_ns=now_ns)
        else:
            return
        with self._lock:
            peer.offer((kind, _DEVICE), answer)

    def _send(self, peer: "_Peer") -> None:
        while True:
            with self._lock:
                rest = peer.next_bytes()
            if rest is None:
                return
            try:
                gone = peer.connection.send(rest)
            except BlockingIOError:
                return
            with self._lock:
                peer.went(gone)

    def _keep_up(self) -> None:
        """Send what waits, watch for room where it does not fit, let go who has stalled, give a sign of life."""
        now_s = time.monotonic()
        if now_s - self._published_s > self._settings.heartbeat_s and self._peers:
            self.publish(_DEVICE, Status(), time.time_ns())
        for peer in list(self._peers.values()):
            try:
                self._send(peer)
            except OSError as error:
                self._let_go(peer, str(error))
                continue
            with self._lock:
                waits, since_s = peer.waits, peer.moved_s
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if waits else 0)
            if self._selector.get_key(peer.connection).events != wanted:
                self._selector.modify(peer.connection, wanted, peer)
            if waits and now_s - since_s > self._settings.stall_s:
                self._let_go(peer, f"it took nothing for {self._settings.stall_s:g} s")
            elif peer.reader.overdue(time.monotonic_ns()):
                self._let_go(peer, f"a message was not whole after {self._settings.limits.message_s:g} s")

    def _let_go(self, peer: "_Peer", why: str) -> None:
        self._selector.unregister(peer.connection)
        peer.connection.close()
        with self._lock:
            del self._peers[peer.connection]
            self._sent += peer.sent
            self._dropped += peer.dropped
            self._last_loss = f"{peer.address}: {why}"


class _Peer:
    """One connection: what is on its way to it, and what waits."""

    def __init__(self, connection: socket.socket, address: str, reader: MessageReader) -> None:
        self.connection, self.address, self.reader = connection, address, reader
        self.sent = self.dropped = 0
        self.moved_s = time.monotonic()
        self._current: memoryview | None = None
        self._waiting: dict[tuple[str, str], bytes] = {}

    @property
    def waits(self) -> bool:
        """Whether anything is to be sent."""
        return self._current is not None or bool(self._waiting)

    def offer(self, key: tuple[str, str], message: bytes) -> None:
        """Let a message wait in place of an older one of the same type and device."""
        if not self.waits:
            self.moved_s = time.monotonic()
        if key in self._waiting:
            self.dropped += 1
        self._waiting[key] = message

    def next_bytes(self) -> memoryview | None:
        """Return what is to be sent now: the rest of what is on its way, else the shortest that waits."""
        if self._current is None and self._waiting:
            # Poses go before a picture: they are small, and late ones are wrong ones.
            key = min(self._waiting, key=lambda one: len(self._waiting[one]))
            self._current = memoryview(self._waiting.pop(key))
        return self._current

    def went(self, count: int) -> None:
        """Take note that so many bytes left."""
        if count and self._current is not None:
            self.moved_s = time.monotonic()
            self._current = self._current[count:]
            if not len(self._current):
                self._current = None
                self.sent += 1

    def status(self) -> PeerStatus:
        """Return how it keeps up."""
        waiting = sum(map(len, self._waiting.values())) + (0 if self._current is None else len(self._current))
        read = self.reader.status
        return PeerStatus(self.address, self.sent, self.dropped, read.taken, read.refused, waiting)


def keep_alive(connection: socket.socket) -> None:
    """Send small messages at once, and let the system notice a peer that is gone without a word."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        option = getattr(socket, name, None)
        if option is not None:
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family, backlog=8)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(f"OpenIGTLink: {host}:{port} cannot be listened on ({reason}); choose another port") from None
    listener.setblocking(False)
    return listener
