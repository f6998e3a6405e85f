"""Where the parts of a DICOM file lie, found without trusting its lengths.

A foreign file may be cut short, nested without end, or claim more than it holds. This walk over the element
headers reads no value, keeps no recursion, and stops at limits; only then does a full parser see the file,
and only its head.
"""

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

from fluoroscope.dicom.errors import DicomFileError

__all__ = ["Layout", "PixelDataPart", "find_layout"]

_DEEPEST_NESTING = 16
_MOST_ELEMENTS = 500_000
_LARGEST_HEAD_BYTES = 64 * 2**20
_UNDEFINED = 0xFFFFFFFF
_LONG_VRS = frozenset([b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"])
_IMPLICIT_LITTLE = "1.2.840.10008.1.2"
_EXPLICIT_BIG = "1.2.840.10008.1.2.2"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_PIXEL_DATA = (0x7FE0, 0x0010)
_FLOAT_PIXEL_DATA = ((0x7FE0, 0x0008), (0x7FE0, 0x0009))
_ITEM, _ITEM_END, _SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)


@dataclass(frozen=True, slots=True)
class PixelDataPart:
    """Where the pixels lie: value offset in the file, and length (None: encapsulated, items follow)."""

    offset: int
    length: int | None


@dataclass(frozen=True, slots=True)
class Layout:
    """Transfer syntax, file size, and where the pixel data lie (None: there are none)."""

    transfer_syntax_uid: str
    file_bytes: int
    pixel_data: PixelDataPart | None


@dataclass(frozen=True, slots=True)
class _Open:
    """A sequence or item being walked: where it ends (None: delimited), and how the data outside are coded.

    ``fragments`` marks an encapsulated icon, whose items hold coded pixels, not elements.
    """

    end: int | None
    implicit_outside: bool
    fragments: bool


class _Walker:
    """Reads element headers one after the other, within the file's bounds."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.file = file
        self.name = name
        self.size = os.fstat(file.fileno()).st_size
        self.implicit = False
        self.elements = 0

    def refuse(self, what: str) -> DicomFileError:
        return DicomFileError(f"{self.name}: {what} at byte {self.file.tell()}; get the file again from its source")

    def take(self, count: int) -> bytes:
        data = self.file.read(count)
        if len(data) < count:
            raise self.refuse("the file ends in the middle of an element (truncated)")
        return data

    def skip(self, count: int) -> None:
        if self.file.tell() + count > self.size:
            raise self.refuse(f"an element claims {count} bytes, more than the file holds")
        self.file.seek(count, 1)

    def header(self) -> tuple[tuple[int, int], bytes, int]:
        """Return tag, VR (empty when implicit) and length of the element here."""
        self.elements += 1
        if self.elements > _MOST_ELEMENTS:
            raise self.refuse(f"more than {_MOST_ELEMENTS} elements")
        group, element = struct.unpack("<HH", self.take(4))
        tag = (group, element)
        if self.implicit or group == 0xFFFE:
            return tag, b"", struct.unpack("<I", self.take(4))[0]
        vr = self.take(2)
        if vr in _LONG_VRS:
            self.take(2)
            return tag, vr, struct.unpack("<I", self.take(4))[0]
        if not vr.isalpha() or not vr.isupper():
            raise self.refuse(f"element ({group:04X},{element:04X}) has no valid type")
        return tag, vr, struct.unpack("<H", self.take(2))[0]


def find_layout(file: BinaryIO, name: str) -> Layout:
    """Walk over a DICOM file's elements up to the pixel data.

    Parameters
    ----------
    file
        Open for reading in binary, seekable.
    name
        The file's name, for messages.

    Raises
    ------
    DicomFileError
        When it is no DICOM file, is cut short, nests or claims too much, or is in a syntax not read here.
    """
    walker = _Walker(file, name)
    if walker.size == 0:
        raise DicomFileError(f"{name}: the file is empty; get it again from its source")
    if walker.size < 140:
        raise DicomFileError(f"{name}: too short for a DICOM file ({walker.size} bytes); choose another file")
    file.seek(128)
    if file.read(4) != b"DICM":
        raise DicomFileError(f"{name}: not a DICOM file (no DICM mark); choose a .dcm file written by a modality")
    syntax = _read_meta(walker)
    if syntax in (_EXPLICIT_BIG, _DEFLATED):
        kind = "big-endian" if syntax == _EXPLICIT_BIG else "deflated"
        raise DicomFileError(f"{name}: {kind} DICOM is not read; convert it first with dcmconv +te")
    walker.implicit = syntax == _IMPLICIT_LITTLE
    return Layout(syntax, walker.size, _walk_data_set(walker))


def _read_meta(walker: _Walker) -> str:
    """Walk over group 2 and return the transfer syntax UID."""
    syntax = ""
    while walker.file.tell() + 2 <= walker.size:
        group = walker.take(2)
        walker.file.seek(-2, 1)
        if group != b"\x02\x00":  # the data set begins, perhaps in another coding
            break
        tag, _, length = walker.header()
        if tag == (0x0002, 0x0010):
            if length > 64:
                raise walker.refuse("the transfer syntax UID is too long")
            syntax = walker.take(length).rstrip(b"\0 ").decode("ascii", "replace")
        else:
            walker.skip(length)
    if not syntax:
        raise walker.refuse("the file names no transfer syntax")
    return syntax


def _walk_data_set(walker: _Walker) -> PixelDataPart | None:
    """Walk to the pixel data; ends of sequences and items are kept on a list, not on the call stack."""
    stack: list[_Open] = []
    while True:
        position = walker.file.tell()
        while stack and stack[-1].end is not None and position >= stack[-1].end:
            walker.implicit = stack.pop().implicit_outside
        if position >= walker.size:
            if stack:
                raise walker.refuse("the file ends inside a sequence (truncated)")
            return None
        if position > _LARGEST_HEAD_BYTES:
            raise walker.refuse(f"no pixel data within the first {_LARGEST_HEAD_BYTES // 2**20} MiB")
        tag, vr, length = walker.header()
        if tag == _PIXEL_DATA and not stack:
            return _pixel_part(walker, length)
        if tag in _FLOAT_PIXEL_DATA and not stack:
            raise DicomFileError(f"{walker.name}: holds floating-point pixels; X-ray clips have integer pixels")
        if tag in (_ITEM_END, _SEQUENCE_END):
            if not stack:
                raise walker.refuse("a sequence ends that never began")
            walker.implicit = stack.pop().implicit_outside
        elif (tag == _ITEM and not (stack and stack[-1].fragments)) or vr == b"SQ" or length == _UNDEFINED:
            stack.append(_opened(walker, tag, vr, length))
            if len(stack) > 2 * _DEEPEST_NESTING:
                raise walker.refuse(f"sequences nest more than {_DEEPEST_NESTING} deep")
        else:
            walker.skip(length)


def _opened(walker: _Walker, tag: tuple[int, int], vr: bytes, length: int) -> _Open:
    """Return the open sequence or item that begins here."""
    end = None if length == _UNDEFINED else walker.file.tell() + length
    if end is not None and end > walker.size:
        raise walker.refuse(f"a sequence claims {length} bytes, more than the file holds")
    opened = _Open(end, walker.implicit, fragments=tag == _PIXEL_DATA)
    if vr == b"UN":  # a sequence of unknown type is coded implicitly inside (PS3.5 6.2.2)
        walker.implicit = True
    return opened


def _pixel_part(walker: _Walker, length: int) -> PixelDataPart:
    offset = walker.file.tell()
    if length == _UNDEFINED:
        return PixelDataPart(offset, None)
    if offset + length > walker.size:
        held = walker.size - offset
        raise DicomFileError(
            f"{walker.name}: truncated: pixel data of {length} bytes, but the file holds {held} of them; "
            "get the file again from its source"
        )
    return PixelDataPart(offset, length)
