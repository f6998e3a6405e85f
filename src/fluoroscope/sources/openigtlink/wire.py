"""The outer frame of an OpenIGTLink message: header, CRC-64, extended header with metadata (version 3), time.

Layout and meaning: the protocol's specification, version 3 (openigtlink.org, "Message Structure"). All numbers are big
endian. Header version 1 is that of the protocol's versions 1 and 2; header version 2 that of version 3.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fastcrc.crc64 import ecma_182

__all__ = ["HEADER_BYTES", "Header", "Parts", "WireError", "encode", "open_body", "pack_time", "unpack_time"]

HEADER_BYTES = 58
_HEADER = struct.Struct(">H12s20sQQQ")
_EXTENDED = struct.Struct(">HHII")
_NEWEST_HEADER = 3
"""Versions above 1 have the extended header; one that is not known yet is refused."""
_ENCODINGS = {3: "ascii", 106: "utf-8"}
_UTF8 = 106
_MOST_METADATA = 64 * 1024

Buffer = bytes | bytearray | memoryview


class WireError(ValueError):
    """Bytes that are no message of OpenIGTLink, or one beyond a limit; the message says what."""


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before every body.

    Attributes
    ----------
    version
        Of the header: 1, or 2 and above with an extended header.
    kind
        Such as TRANSFORM; up to 12 characters.
    device
        Who or what it is about; up to 20 characters.
    sent_ns
        UTC, ns since 1970; 0 when the sender did not say.
    body_bytes
        Length of the body.
    crc
        CRC-64 of the body (ECMA-182, not reflected).
    """

    version: int
    kind: str
    device: str
    sent_ns: int
    body_bytes: int
    crc: int

    @classmethod
    def unpack(cls, data: Buffer) -> "Header":
        """Return the header of ``data`` (58 bytes); raise `WireError` when it cannot be one."""
        version, kind, device, sent, body_bytes, crc = _HEADER.unpack(data)
        if not 1 <= version <= _NEWEST_HEADER:
            raise WireError(f"not OpenIGTLink: a header of version {version}")
        return cls(version, _name(kind, "type"), _name(device, "device"), unpack_time(sent), body_bytes, crc)


@dataclass(frozen=True, slots=True)
class Parts:
    """A body taken apart: content, metadata and, from version 3, the message's number."""

    content: memoryview
    metadata: Mapping[str, str] = field(default_factory=dict)
    message_id: int = 0


def pack_time(utc_ns: int) -> int:
    """Return the 64-bit time of the protocol: seconds and 2⁻³² s of ``utc_ns`` (ns since 1970)."""
    seconds, within_ns = divmod(utc_ns, 10**9)
    return (seconds & 0xFFFFFFFF) << 32 | (within_ns << 32) // 10**9


def unpack_time(packed: int) -> int:
    """Return ns since 1970; the inverse of `pack_time`."""
    return (packed >> 32) * 10**9 + ((packed & 0xFFFFFFFF) * 10**9 + (1 << 31) >> 32)


def encode(
    kind: str,
    device: str,
    content: Sequence[Buffer],
    *,
    utc_ns: int,
    metadata: Mapping[str, str] | None = None,
    message_id: int = 0,
) -> bytes:
    """Return a whole message.

    Parameters
    ----------
    kind, device
        Type and device name, ASCII, at most 12 and 20 characters.
    content
        The pieces of the content, in order.
    utc_ns
        When what it tells was so, ns since 1970.
    metadata, message_id
        Only version 3 has them: given, the header has version 2; without, version 1, which every peer reads.
    """
    pieces = list(content)
    version = 1
    if metadata:
        version = 2
        entries, texts = _pack_metadata(metadata)
        pieces = [_EXTENDED.pack(_EXTENDED.size, len(entries), len(texts), message_id), *pieces, entries, texts]
    crc = 0
    for piece in pieces:
        crc = ecma_182(piece, crc)
    names = _padded(kind, 12, "type"), _padded(device, 20, "device")
    header = _HEADER.pack(
        version, *names, pack_time(utc_ns), sum(len(memoryview(one).cast("B")) for one in pieces), crc
    )
    return b"".join([header, *pieces])


def open_body(header: Header, body: Buffer) -> Parts:
    """Return the parts of a whole body.

    Raises
    ------
    WireError
        When the CRC does not agree, or the lengths of the extended header do not.
    """
    if ecma_182(body) != header.crc:
        raise WireError(f"{header.kind} {header.device}: the checksum does not agree")
    view = memoryview(body)
    if header.version == 1:
        return Parts(view)
    if len(view) < _EXTENDED.size:
        raise WireError(f"{header.kind} {header.device}: the extended header is cut off")
    extended_bytes, entries_bytes, texts_bytes, message_id = _EXTENDED.unpack(view[: _EXTENDED.size])
    end = len(view) - entries_bytes - texts_bytes
    if not _EXTENDED.size <= extended_bytes <= end or entries_bytes + texts_bytes > _MOST_METADATA:
        raise WireError(f"{header.kind} {header.device}: the lengths of the extended header do not agree")
    told = _unpack_metadata(bytes(view[end : end + entries_bytes]), bytes(view[end + entries_bytes :]))
    return Parts(view[extended_bytes:end], told, message_id)


def _name(packed: bytes, what: str) -> str:
    text = packed.split(b"\0", 1)[0].rstrip(b" ")
    if not all(32 <= letter < 127 for letter in text):
        raise WireError(f"not OpenIGTLink: the {what} name is {text!r}")
    return text.decode("ascii")


def _padded(name: str, length: int, what: str) -> bytes:
    if len(name) > length or not name.isascii() or not name.isprintable():
        raise WireError(f"{what} name {name!r}: OpenIGTLink takes at most {length} ASCII characters")
    return name.encode("ascii")


def _pack_metadata(metadata: Mapping[str, str]) -> tuple[bytes, bytes]:
    entries: list[bytes] = [struct.pack(">H", len(metadata))]
    texts: list[bytes] = []
    for key, value in metadata.items():
        coded = key.encode(), value.encode()
        entries.append(struct.pack(">HHI", len(coded[0]), _UTF8, len(coded[1])))
        texts += coded
    packed = b"".join(entries), b"".join(texts)
    if len(packed[0]) + len(packed[1]) > _MOST_METADATA:
        raise WireError(f"metadata of {len(packed[1])} bytes: at most {_MOST_METADATA} are sent")
    return packed


def _unpack_metadata(entries: bytes, texts: bytes) -> dict[str, str]:
    if not entries:
        return {}
    told: dict[str, str] = {}
    count, at = int.from_bytes(entries[:2], "big"), 0
    if len(entries) != 2 + 8 * count:
        raise WireError("metadata: the number of entries does not agree with their length")
    for key_bytes, encoding, value_bytes in struct.iter_unpack(">HHI", entries[2:]):
        end = at + key_bytes + value_bytes
        if end > len(texts):
            raise WireError("metadata: an entry ends beyond the message")
        key = texts[at : at + key_bytes].decode("utf-8", "replace")
        told[key] = texts[at + key_bytes : end].decode(_ENCODINGS.get(encoding, "latin-1"), "replace")
        at = end
    return told
