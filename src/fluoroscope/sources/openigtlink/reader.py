"""A stream of bytes taken apart into messages, within limits: whatever comes, memory and time stay bounded."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from fluoroscope.sources.openigtlink.messages import Content, decode_content, is_known
from fluoroscope.sources.openigtlink.wire import HEADER_BYTES, Buffer, Header, WireError, open_body

__all__ = ["POSE_KINDS", "Arrived", "Limits", "MessageReader", "ReaderStatus"]

POSE_KINDS = frozenset({"TRANSFORM", "POSITION", "QTRANS", "TDATA", "QTDATA", "STATUS", "STRING"})
"""All that is read but pictures."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is taken of a peer.

    Attributes
    ----------
    image_bytes
        Largest body of an IMAGE; the header says it before memory is spent.
    other_bytes
        Largest body of any other type that is read.
    skipped_bytes
        Largest body of a type that is not read: it passes without being kept.
    message_s
        A message is whole so long after its first byte, or the peer is let go.
    faults
        Messages in a row with a wrong checksum or content before the peer is let go.
    kinds
        Types that are read, questions apart; None reads all that are known. Others pass without being kept.
    """

    image_bytes: int = 64 * 1024 * 1024
    other_bytes: int = 256 * 1024
    skipped_bytes: int = 256 * 1024 * 1024
    message_s: float = 10.0
    faults: int = 10
    kinds: frozenset[str] | None = None

    def reads(self, kind: str) -> bool:
        """Whether content of this type is read."""
        return is_known(kind) and (self.kinds is None or kind in self.kinds or "_" in kind)


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message that came whole.

    Attributes
    ----------
    device, kind
        As its header says.
    sent_ns
        The sender's time, UTC ns; 0 when he did not say.
    received_ns
        Monotonic time here at which it was whole, ns.
    content, metadata
        What it holds; metadata from version 3 on.
    """

    device: str
    kind: str
    sent_ns: int
    received_ns: int
    content: Content
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReaderStatus:
    """How many messages were taken, skipped (a type that is not read), and refused (checksum or content)."""

    taken: int
    skipped: int
    refused: int
    last_fault: str


class MessageReader:
    """Takes bytes as they come and gives whole messages.

    A wrong checksum or content costs the message; what cannot be OpenIGTLink, or is beyond the limits, costs the
    connection, as where the next message begins is not known any more.

    Parameters
    ----------
    limits
        What is taken.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits if limits is not None else Limits()
        self._buffer = bytearray()
        self._header: Header | None = None
        self._to_skip = 0
        self._began_ns: int | None = None
        self._taken = self._skipped = self._refused = self._in_a_row = 0
        self._last_fault = ""

    @property
    def status(self) -> ReaderStatus:
        """How many messages came."""
        return ReaderStatus(self._taken, self._skipped, self._refused, self._last_fault)

    @property
    def held_bytes(self) -> int:
        """Bytes kept of a message that is not whole yet."""
        return len(self._buffer)

    def overdue(self, now_ns: int) -> bool:
        """Whether a message began too long ago and is not whole yet."""
        return self._began_ns is not None and now_ns - self._began_ns > self._limits.message_s * 1e9

    def feed(self, data: Buffer, now_ns: int) -> Iterator[Arrived]:
        """Take bytes that came at ``now_ns`` (monotonic) and yield the messages they complete.

        Raises
        ------
        WireError
            When the connection has to end.
        """
        view = memoryview(data)
        while len(view):
            if self._began_ns is None:
                self._began_ns = now_ns
            if self._to_skip:
                gone = min(self._to_skip, len(view))
                self._to_skip, view = self._to_skip - gone, view[gone:]
                if not self._to_skip:
                    self._end()
                continue
            header = self._header
            wanted = HEADER_BYTES if header is None else header.body_bytes
            part = view[: wanted - len(self._buffer)]
            self._buffer += part
            view = view[len(part) :]
            if len(self._buffer) < wanted:
                return
            if header is None:
                header = self._begin_body()
                if header is None or header.body_bytes:
                    continue
            arrived = self._whole(header, now_ns)
            if arrived is not None:
                yield arrived

    def _begin_body(self) -> Header | None:
        """Return the header that is now whole; None when its body is skipped."""
        header = Header.unpack(self._buffer)
        self._buffer = bytearray()
        limits = self._limits
        known = limits.reads(header.kind)
        most = (
            limits.skipped_bytes if not known else limits.image_bytes if header.kind == "IMAGE" else limits.other_bytes
        )
        if header.body_bytes > most:
            raise WireError(
                f"{header.kind} {header.device}: a body of {header.body_bytes} bytes, at most {most} are taken"
            )
        if known:
            self._header = header
            return header
        self._skipped += 1
        self._to_skip = header.body_bytes
        if not self._to_skip:
            self._end()
        return None

    def _whole(self, header: Header, now_ns: int) -> Arrived | None:
        body, self._header = self._buffer, None
        self._end()
        try:
            parts = open_body(header, body)
            content = decode_content(header.kind, parts.content)
        except WireError as error:
            self._refused += 1
            self._in_a_row += 1
            self._last_fault = str(error)
            if self._in_a_row >= self._limits.faults:
                raise WireError(f"{self._in_a_row} messages in a row cannot be read; the last: {error}") from None
            return None
        self._taken += 1
        self._in_a_row = 0
        return Arrived(header.device, header.kind, header.sent_ns, now_ns, content, parts.metadata)

    def _end(self) -> None:
        self._buffer = bytearray()
        self._began_ns = None
