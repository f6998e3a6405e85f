"""A structured report walked as bytes: only what a content tree needs, bounded before anything is built (ADR 16).

Little endian, implicit and explicit, lengths defined and undefined (PS3.5 7). Whatever is lawful but rare, and whatever
a lenient parser would still make something of, is `UnusualError`: pydicom reads it then.
"""

import struct
import warnings
from collections.abc import Callable
from typing import Final

from pydicom.charset import convert_encodings
from pydicom.values import convert_PN, convert_single_string

from fluoroscope.dicom.sr_items import CodedConcept, Measurement, SRItem, finite_numbers

__all__ = ["MAX_DEPTH", "MAX_ITEMS", "MAX_NUMBERS", "OverBoundsError", "UnusualError", "walk_report"]

MAX_DEPTH: Final = 32
MAX_ITEMS: Final = 200_000
"""Content items of two thousand events of the wordiest maker; a second or two to walk."""

MAX_NUMBERS: Final = 400_000
"""Measured values of all items: some makers list every pulse."""

_EXPLICIT, _IMPLICIT = struct.Struct("<I2sH").unpack_from, struct.Struct("<II").unpack_from
_LONG = struct.Struct("<I").unpack_from
_UNDEFINED = 0xFFFFFFFF
_META_AT = 132
_ITEM_BYTES = b"\xfe\xff\x00\xe0"
_LONG_VRS = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_SHORT_VRS = frozenset(
    (b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
     b"ST", b"TM", b"UI", b"UL", b"US")
)  # fmt: skip
_TEXT_VRS = frozenset((b"LO", b"PN", b"SH", b"UC", b"UT"))


def _tag(group: int, element: int) -> int:
    """Return a tag as four bytes of a file read as one little-endian number."""
    return element << 16 | group


_ITEM, _ITEM_END, _SEQUENCE_END = _tag(0xFFFE, 0xE000), _tag(0xFFFE, 0xE00D), _tag(0xFFFE, 0xE0DD)
_CHARSET, _SYNTAX, _PIXELS = _tag(0x0008, 0x0005), _tag(0x0002, 0x0010), 0x7FE0
_CONTENT, _KIND, _NAME = _tag(0x0040, 0xA730), _tag(0x0040, 0xA040), _tag(0x0040, 0xA043)
_CODED, _MEASURED = _tag(0x0040, 0xA168), _tag(0x0040, 0xA300)
_UNITS, _NUMERIC, _FLOATING = _tag(0x0040, 0x08EA), _tag(0x0040, 0xA30A), _tag(0x0040, 0xA161)
_VALUE, _SCHEME, _MEANING = _tag(0x0008, 0x0100), _tag(0x0008, 0x0102), _tag(0x0008, 0x0104)
_LONG_VALUE, _URN_VALUE = _tag(0x0008, 0x0119), _tag(0x0008, 0x0120)
_TEXTS: Final = {
    "TEXT": (_tag(0x0040, 0xA160), b"UT"), "UIDREF": (_tag(0x0040, 0xA124), b"UI"),
    "DATETIME": (_tag(0x0040, 0xA120), b"DT"), "DATE": (_tag(0x0040, 0xA121), b"DA"),
    "TIME": (_tag(0x0040, 0xA122), b"TM"), "PNAME": (_tag(0x0040, 0xA123), b"PN"),
}  # fmt: skip
_HEADER: Final = {
    _tag(0x0008, 0x0016): ("SOPClassUID", b"UI"), _tag(0x0008, 0x0018): ("SOPInstanceUID", b"UI"),
    _tag(0x0020, 0x000D): ("StudyInstanceUID", b"UI"), _tag(0x0020, 0x000E): ("SeriesInstanceUID", b"UI"),
    _tag(0x0008, 0x0060): ("Modality", b"CS"), _tag(0x0008, 0x0070): ("Manufacturer", b"LO"),
    _tag(0x0008, 0x1090): ("ManufacturerModelName", b"LO"), _tag(0x0018, 0x1000): ("DeviceSerialNumber", b"LO"),
    _tag(0x0010, 0x0020): ("PatientID", b"LO"), _tag(0x0010, 0x0010): ("PatientName", b"PN"),
    _tag(0x0010, 0x0040): ("PatientSex", b"CS"), _tag(0x0010, 0x0030): ("PatientBirthDate", b"DA"),
    _tag(0x0008, 0x0020): ("StudyDate", b"DA"), _tag(0x0008, 0x0030): ("StudyTime", b"TM"),
    _tag(0x0008, 0x0023): ("ContentDate", b"DA"), _tag(0x0008, 0x0033): ("ContentTime", b"TM"),
    _tag(0x0008, 0x1030): ("StudyDescription", b"LO"), _tag(0x0040, 0xA491): ("CompletionFlag", b"CS"),
    _tag(0x0008, 0x103E): ("SeriesDescription", b"LO"), _tag(0x0010, 0x0021): ("IssuerOfPatientID", b"LO"),
}  # fmt: skip
_ITEM_VRS: Final = {
    _KIND: b"CS",
    _NAME: b"SQ",
    _CODED: b"SQ",
    _MEASURED: b"SQ",
    _CONTENT: b"SQ",
    **dict(_TEXTS.values()),
}
_CODE_VRS: Final = {_VALUE: b"SH", _SCHEME: b"SH", _MEANING: b"LO", _LONG_VALUE: b"UC", _URN_VALUE: b"UR"}
_CODE_VALUES: Final = (_VALUE, _LONG_VALUE, _URN_VALUE)
_MEASURE_VRS: Final = {_NUMERIC: b"DS", _FLOATING: b"FD", _UNITS: b"SQ"}
_ROOT_VRS: Final = {_CHARSET: b"CS", **_ITEM_VRS, **{tag: vr for tag, (_, vr) in _HEADER.items()}}


_MOST_CODES, _LONGEST_CODE = 20_000, 512
"""Codes kept from one file to the next, by the bytes they are written in: a bound of number and of length."""
_CODES: "dict[tuple[bool, tuple[str, ...]], dict[bytes, CodedConcept | None]]" = {}


class UnusualError(Exception):
    """Not walked here: another syntax, a structure or a value that is rare."""


class OverBoundsError(Exception):
    """Never to be parsed: deeper, more, or longer than stated bounds; says which."""


def walk_report(data: bytes) -> tuple[dict[str, str], SRItem | None]:
    """Walk a DICOM file in memory.

    Parameters
    ----------
    data
        The whole file, preamble and all.

    Returns
    -------
    dict, SRItem or None
        Header elements by keyword ("" when absent) and the content; None when there is no content sequence.

    Raises
    ------
    UnusualError
        Another parser may know what it is.
    OverBoundsError
        Content nested deeper than 32 items, more than 200 000 items, or lengths past the end of the file.
    """
    if data.count(_ITEM_BYTES) > 3 * MAX_ITEMS:
        raise OverBoundsError(f"more than {3 * MAX_ITEMS} items of sequences")
    syntax, at = _meta(data)
    if syntax not in ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1"):
        raise UnusualError("transfer syntax")
    explicit = syntax.endswith(".2.1")
    if not explicit and data[at + 4 : at + 6].isalpha() and data[at + 4 : at + 6].isupper():
        raise UnusualError("looks explicit")
    try:
        return _Walk(data, explicit).report(at)
    except (struct.error, ValueError, LookupError, OverflowError) as error:
        raise UnusualError(str(error)) from error


def _meta(data: bytes) -> tuple[str, int]:
    """Return the transfer syntax and where the data set begins."""
    at, syntax = _META_AT, ""
    while at + 8 <= len(data):
        tag, vr, length = _EXPLICIT(data, at)
        if tag & 0xFFFF != 0x0002:
            break
        start = at + 8
        if vr in _LONG_VRS and start + 4 <= len(data):
            length, start = _LONG(data, start)[0], start + 4
        elif vr not in _SHORT_VRS:
            raise UnusualError("file meta information")
        at = start + length
        if at > len(data):
            raise UnusualError("file meta information")
        if tag == _SYNTAX:
            syntax = data[start:at].rstrip(b"\0 ").decode("latin-1")
    return syntax, at


def _known_codes(explicit: bool, encodings: tuple[str, ...]) -> "dict[bytes, CodedConcept | None]":
    """Return the codes met so far in files written alike: the next report has nearly the same ones."""
    known = _CODES.setdefault((explicit, encodings), {})
    if len(known) >= _MOST_CODES:
        known = _CODES[explicit, encodings] = {}
    return known


Found = dict[int, tuple[int, int]]
Items = tuple[SRItem, ...]


class _Walk:
    """One file. Places are byte offsets; ``end`` is where an item ends, or -1 where a delimiter says so."""

    def __init__(self, data: bytes, explicit: bool) -> None:
        self._data, self._explicit, self._count, self._values = data, explicit, 0, 0
        self._encodings: list[str] = ["iso8859"]
        # The same bytes mean the same all through a file: many values come again and again.
        self._codes: dict[bytes, CodedConcept | None] = {}
        self._kinds: dict[bytes, str] = {}
        self._measured: dict[bytes, tuple[tuple[Measurement, ...], str]] = {}

    def report(self, at: int) -> tuple[dict[str, str], SRItem | None]:
        data, header = self._data, dict.fromkeys((name for name, _ in _HEADER.values()), "")
        found: Found = {}
        children: Items | None = None
        while at + 8 <= len(data):
            tag, start, length = self._head(at, _ROOT_VRS)
            if tag & 0xFFFF == _PIXELS:
                break
            if tag == _CONTENT:
                self._codes = _known_codes(self._explicit, tuple(self._encodings))
                children, at = self._items(start, length, len(data), 1)
                continue
            at = self._over(start, length)
            if at > len(data):
                raise UnusualError("a header element past the end")
            found[tag] = start, at
            if tag == _CHARSET:
                self._encodings = self._charset(data[start:at])
        if children is None:
            if _tag(0x0008, 0x0016) in found:
                header["SOPClassUID"] = self._text(found, _tag(0x0008, 0x0016), b"UI")
            return header, None
        for tag, (name, vr) in _HEADER.items():
            header[name] = self._text(found, tag, vr)
        return header, self._built(found, children)

    def _head(self, at: int, wanted: dict[int, bytes]) -> tuple[int, int, int]:
        """Return tag, start of the value and length of the element at ``at``."""
        if not self._explicit:
            tag, length = _IMPLICIT(self._data, at)
            return tag, at + 8, length
        tag, vr, length = _EXPLICIT(self._data, at)
        start = at + 8
        if vr in _LONG_VRS:
            length, start = _LONG(self._data, start)[0], start + 4
        elif vr not in _SHORT_VRS:
            raise UnusualError("an unknown value representation")
        if (vr != wanted.get(tag, vr)) or (length == _UNDEFINED and vr not in (b"SQ", b"UN")):
            raise UnusualError("an unexpected value representation")
        if vr == b"UN" and length == _UNDEFINED:
            raise UnusualError("an unknown sequence")
        return tag, start, length

    def _elements(self, at: int, end: int, wanted: dict[int, bytes], depth: int = 0) -> tuple[Found, int, Items]:
        """Return an item's wanted elements, where it ends, and its children, which stand ``depth`` deep."""
        data, limit, explicit = self._data, len(self._data) if end < 0 else end, self._explicit
        found: Found = {}
        children: Items = ()
        while at < limit:
            # As `_head`, in line: this loop is where the time goes.
            if explicit:
                tag, vr, length = _EXPLICIT(data, at)
                start = at + 8
                if vr in _LONG_VRS:
                    length, start = _LONG(data, start)[0], start + 4
                elif vr not in _SHORT_VRS:
                    if tag == _ITEM_END and end < 0:
                        return found, start, children
                    raise UnusualError("an unknown value representation")
                if wanted.get(tag, vr) != vr or (length == _UNDEFINED and vr != b"SQ"):
                    raise UnusualError("an unexpected value representation")
            else:
                tag, length = _IMPLICIT(data, at)
                start = at + 8
                if tag == _ITEM_END and end < 0:
                    return found, start, children
            if tag == _CONTENT and depth:
                children, at = self._items(start, length, limit, depth)
                continue
            if tag == _CHARSET or tag & 0xFFFF == 0xFFFE:
                raise UnusualError("an item with character sets of its own, or a delimiter astray")
            at = start + length if length != _UNDEFINED else self._over(start, length)
            if at > limit:
                raise OverBoundsError(f"an element of {length} bytes ends past what holds it")
            if tag in wanted:
                found[tag] = start, at
        if end < 0 or at != end:
            raise OverBoundsError("an item without its end")
        return found, at, children

    def _over(self, start: int, length: int) -> int:
        """Return where a value ends; of undefined length by its delimiters, without recursion."""
        if length != _UNDEFINED:
            return start + length
        data, at, depth, last = self._data, start, 1, len(self._data)
        in_item = [False]  # whether the innermost open thing is an item (of elements) or a sequence (of items)
        while at + 8 <= last:
            tag, length = _IMPLICIT(data, at)
            at += 8
            if not in_item[-1]:
                if tag == _SEQUENCE_END:
                    in_item.pop()
                    if not in_item:
                        return at
                elif tag != _ITEM:
                    raise UnusualError("no item in a sequence")
                elif length == _UNDEFINED:
                    in_item.append(True)
                else:
                    at += length
            elif tag == _ITEM_END:
                in_item.pop()
            else:
                _, at, length = self._head(at - 8, {})
                if length == _UNDEFINED:
                    in_item.append(False)
                else:
                    at += length
            depth = len(in_item)
            if depth > 2 * MAX_DEPTH:
                raise OverBoundsError(f"nested deeper than {MAX_DEPTH}")
        raise OverBoundsError("a sequence without its end")

    def _each(self, start: int, length: int, last: int, take: Callable[[int, int], int]) -> int:
        """Call ``take(start, end)`` for every item of a sequence; it returns where the item ended."""
        data, end = self._data, last if length == _UNDEFINED else start + length
        if end > last:
            raise OverBoundsError(f"a sequence of {length} bytes ends past what holds it")
        at = start
        while at < end:
            tag, item_length = _IMPLICIT(data, at)
            if tag == _SEQUENCE_END and length == _UNDEFINED:
                return at + 8
            if tag != _ITEM:
                raise UnusualError("no item in a sequence")
            item_end = -1 if item_length == _UNDEFINED else at + 8 + item_length
            if item_end > end:
                raise OverBoundsError(f"an item of {item_length} bytes ends past its sequence")
            at = take(at + 8, item_end)
        if length == _UNDEFINED or at != end:
            raise OverBoundsError("a sequence without its end")
        return at

    def _items(self, start: int, length: int, last: int, depth: int) -> tuple[Items, int]:
        """Return the items of a content sequence and where it ends."""
        if depth > MAX_DEPTH:
            raise OverBoundsError(f"items nested deeper than {MAX_DEPTH}")
        built: list[SRItem] = []

        def take(at: int, end: int) -> int:
            self._count += 1
            if self._count > MAX_ITEMS:
                raise OverBoundsError(f"more than {MAX_ITEMS} content items")
            found, at, children = self._elements(at, end, _ITEM_VRS, depth + 1)
            built.append(self._built(found, children))
            return at

        at = self._each(start, length, last, take)
        return tuple(built), at

    def _built(self, found: Found, children: Items) -> SRItem:
        start, stop = found.get(_KIND, (0, 0))
        raw = self._data[start:stop]
        kind = self._kinds.get(raw)
        if kind is None:
            kind = self._kinds[raw] = self._text(found, _KIND, b"CS")
        code = self._code(found, _CODED)
        text = ""
        if code is not None:
            text = code.meaning
        elif kind in _TEXTS:
            text = self._text(found, *_TEXTS[kind]).strip()
        measured: tuple[Measurement, ...] = ()
        if kind == "NUM":
            measured, odd = self._measurements(found)
            text = text or odd
        return SRItem(self._code(found, _NAME), kind, text, code, measured, children)

    def _code(self, found: Found, tag: int) -> CodedConcept | None:
        """Return the first code of a sequence."""
        place = found.get(tag)
        if place is None:
            return None
        raw = self._data[place[0] : place[1]]
        if raw in self._codes:
            return self._codes[raw]
        parts: list[Found] = []

        def take(at: int, end: int) -> int:
            one, at, _ = self._elements(at, end, _CODE_VRS)
            if not parts:
                parts.append(one)
            return at

        self._whole(place, take)
        code = None
        if parts:
            one = parts[0]
            value = next((text for wanted in _CODE_VALUES if (text := self._text(one, wanted, _CODE_VRS[wanted]))), "")
            scheme, meaning = self._text(one, _SCHEME, b"SH"), self._text(one, _MEANING, b"LO")
            code = CodedConcept(value.strip(), scheme.strip(), meaning.strip())
        if len(raw) <= _LONGEST_CODE and len(self._codes) < _MOST_CODES:
            self._codes[raw] = code
        return code

    def _whole(self, place: tuple[int, int], take: Callable[[int, int], int]) -> None:
        """Walk the items of a sequence whose place is known, its delimiter within."""
        start, stop = place
        undefined = self._length_before(start) == _UNDEFINED
        self._each(start, _UNDEFINED if undefined else stop - start, stop, take)

    def _length_before(self, start: int) -> int:
        return int(_LONG(self._data, start - 4)[0])

    def _measurements(self, found: Found) -> tuple[tuple[Measurement, ...], str]:
        place = found.get(_MEASURED)
        if place is None:
            return (), ""
        raw = self._data[place[0] : place[1]]
        if raw in self._measured:
            return self._measured[raw]
        made: list[Measurement] = []
        odd: list[str] = []

        def take(at: int, end: int) -> int:
            one, at, _ = self._elements(at, end, _MEASURE_VRS)
            unit = self._code(one, _UNITS)
            words = unit.value or unit.meaning if unit is not None else ""
            numbers, rest = finite_numbers(self._numbers(one))
            made.extend(Measurement(number, words) for number in numbers)
            odd.append(rest)
            return at

        self._whole(place, take)
        self._measured[raw] = tuple(made), "; ".join(filter(None, odd))
        return self._measured[raw]

    def _numbers(self, found: Found) -> list[str]:
        start, stop = found.get(_FLOATING, (0, 0))
        if stop > start:
            self._more((stop - start) // 8)
            return [repr(one) for (one,) in struct.iter_unpack("<d", self._data[start:stop])]
        start, stop = found.get(_NUMERIC, (0, 0))
        self._more(self._data.count(b"\\", start, stop) + 1)
        return self._data[start:stop].decode("latin-1").split("\\")

    def _more(self, count: int) -> None:
        self._values += count
        if self._values > MAX_NUMBERS:
            raise OverBoundsError(f"more than {MAX_NUMBERS} measured values")

    def _text(self, found: Found, tag: int, vr: bytes) -> str:
        start, stop = found.get(tag, (0, 0))
        raw = self._data[start:stop]
        if b"\\" in raw and vr not in (b"UT", b"UR"):
            raise UnusualError("several values")
        if raw.isascii() and b"\x1b" not in raw and (vr != b"PN" or b"=" not in raw):
            return raw.decode("ascii").rstrip("\0 ")
        if vr not in _TEXT_VRS:
            return raw.decode("latin-1").rstrip("\0 ")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if vr == b"PN":
                return str(convert_PN(raw, self._encodings))
            return convert_single_string(raw, self._encodings)

    @staticmethod
    def _charset(raw: bytes) -> list[str]:
        words = raw.decode("ascii").rstrip("\0 ").split("\\")
        if words == [""]:
            return ["iso8859"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return list(convert_encodings(words))
