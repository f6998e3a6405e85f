"""The bytes of a structured report as one plain DICOM file: with preamble, and unpacked within bounds."""

import struct
import zlib
from pathlib import Path
from typing import Final

from fluoroscope.dicom.safe_parsing import dicom_size, is_bare
from fluoroscope.patient.stored import PatientFileError

__all__ = ["MAX_BYTES", "MAX_UNPACKED", "TooLargeError", "report_bytes"]

MAX_BYTES: Final = 32_000_000
MAX_UNPACKED: Final = 24_000_000
"""Most that a deflated report may unpack to, bytes: two thousand events of the wordiest maker."""

_DEFLATED, _EXPLICIT, _IMPLICIT, _BIG = (
    b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.2",
)  # fmt: skip
_PREAMBLE: Final = bytes(128) + b"DICM"


class TooLargeError(PatientFileError):
    """A file larger than a report can be; an image may be."""


def report_bytes(path: Path) -> bytes | None:
    """Return a file as a reader of Part 10 files expects it; None when it is not DICOM.

    Raises
    ------
    TooLargeError
        It is larger than 32 MB.
    PatientFileError
        The file cannot be read, is empty, or unpacks to nothing whole or to more than 24 MB.
    """
    size = dicom_size(path, deflated=True)
    if size is None:
        return None
    if size > MAX_BYTES:
        raise TooLargeError(f"{path}: {size / 1e6:.0f} MB is more than a dose report can be; it is not read")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PatientFileError(f"{path}: cannot be read ({error.strerror}); check the file") from error
    if data[128:132] != b"DICM" and is_bare(data[:4096]):
        data = _PREAMBLE + _meta_of(data) + data
    return _unpacked(path, data)


def _meta_of(data: bytes) -> bytes:
    """Return the file meta information that a bare object lacks: its transfer syntax, told from its first element."""
    if data[:2] == b"\x02\x00":
        return b""
    syntax = _BIG if data[1] else _EXPLICIT if data[4:6].isalpha() and data[4:6].isupper() else _IMPLICIT
    syntax += b"\0" * (len(syntax) % 2)
    return struct.pack("<HH2sH", 0x0002, 0x0010, b"UI", len(syntax)) + syntax


def _unpacked(path: Path, data: bytes) -> bytes:
    """Inflate the data set of a deflated object, never further than the bound."""
    element = struct.pack("<HH2sH", 0x0002, 0x0010, b"UI", len(_DEFLATED)) + _DEFLATED
    at = data.find(element, 128, 4096)
    if at < 0:
        return data
    body = at + len(element)
    while data[body : body + 2] == b"\x02\x00" and body + 8 <= len(data):
        _, _, vr, length = struct.unpack_from("<HH2sH", data, body)
        body += 12 + struct.unpack_from("<I", data, body + 8)[0] if vr in (b"OB", b"UN", b"UT") else 8 + length
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        plain = unpacker.decompress(memoryview(data)[body:], MAX_UNPACKED)
    except zlib.error as error:
        raise PatientFileError(f"{path}: damaged DICOM ({error}); copy the file again") from error
    if unpacker.unconsumed_tail:
        raise PatientFileError(
            f"{path}: deflated DICOM that unpacks to more than {MAX_UNPACKED // 1_000_000} MB; it is not read"
        )
    if not unpacker.eof:
        raise PatientFileError(f"{path}: the file is cut short; copy it again")
    return data[:at] + element.replace(_DEFLATED, _EXPLICIT + b"\0\0\0") + data[at + len(element) : body] + plain
