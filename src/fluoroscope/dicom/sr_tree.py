"""A foreign structured report as a tree of items, read within bounds of size, number and depth."""

import io
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fluoroscope.dicom.safe_parsing import PARSE_ERRORS, dicom_size
from fluoroscope.patient.stored import PatientFileError

__all__ = ["CodedConcept", "Measurement", "SRDocument", "SRItem", "read_sr"]

MAX_BYTES = 64_000_000
MAX_ITEMS = 2_000_000
MAX_DEPTH = 32
_SR_CLASSES = "1.2.840.10008.5.1.4.1.1.88."
_HEADER = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "Manufacturer",
    "ManufacturerModelName", "DeviceSerialNumber", "PatientID", "PatientName", "PatientSex", "PatientBirthDate",
    "StudyDate", "StudyTime", "ContentDate", "ContentTime", "StudyDescription", "ReferencedRequestSequence",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CodedConcept:
    """A code with its scheme and words; any may be empty in the field."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """A number as written, and the code of its unit ("" when absent)."""

    number: float
    unit: str


@dataclass(frozen=True, slots=True)
class SRItem:
    """A content item.

    Attributes
    ----------
    concept
        What it is about; None where nothing says so.
    kind
        Value type: "NUM", "CODE", "TEXT", "UIDREF", "DATETIME", "CONTAINER" …
    text
        The value of a text, date, time, name or UID; the meaning of a code; "".
    code
        The value of a code.
    measurements
        The finite values of a NUM: none where the item has no value, several where a vendor lists pulses.
    children
        In their order.
    """

    concept: CodedConcept | None
    kind: str
    text: str
    code: CodedConcept | None
    measurements: tuple[Measurement, ...]
    children: "tuple[SRItem, ...]"

    def named(self, *codes: str) -> "Iterator[SRItem]":
        """Yield the direct children whose concept has one of these code values."""
        for child in self.children:
            if child.concept is not None and child.concept.value in codes:
                yield child


@dataclass(frozen=True, slots=True)
class SRDocument:
    """A structured report: elements of its header by keyword ("" when absent), and its content."""

    path: Path
    header: dict[str, str]
    root: SRItem


def read_sr(path: Path) -> SRDocument | None:
    """Read a structured report; None when the file is DICOM but holds no content tree, or is not DICOM.

    Raises
    ------
    PatientFileError
        The file cannot be read, is empty, truncated or damaged, deflated, larger than 64 MB, nested deeper than 32
        items or holds more than two million.
    """
    size = dicom_size(path)
    if size is None:
        return None
    if size > MAX_BYTES:
        raise PatientFileError(f"{path}: {size / 1e6:.0f} MB is more than a dose report can be; it is not read")
    from pydicom import dcmread

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # From memory a length that is a lie costs nothing: a file would be asked for all of it.
            dataset = dcmread(io.BytesIO(path.read_bytes()), stop_before_pixels=True)
            if "ContentSequence" not in dataset:
                if str(dataset.get("SOPClassUID", "")).startswith(_SR_CLASSES):
                    raise PatientFileError(f"{path}: a structured report without content; copy the file again")
                return None
            _refuse_cut(path, dataset)
            header = {word: str(dataset.get(word, "") or "") for word in _HEADER}
            root = _Walk(path).item(dataset, 0)
    except PatientFileError:
        raise
    except PARSE_ERRORS as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise PatientFileError(f"{path}: damaged DICOM ({reason}); copy the file again") from error
    return SRDocument(path, header, root)


def _refuse_cut(path: Path, dataset: Any) -> None:
    """Refuse a file whose content ends before the length it states: the parser would take what there is."""
    raw = dataset.get_item("ContentSequence")
    value, length = getattr(raw, "value", None), getattr(raw, "length", None)
    if isinstance(value, bytes) and length is not None and len(value) < length:
        raise PatientFileError(f"{path}: the file is cut short ({len(value)} of {length} bytes); copy it again")


class _Walk:
    def __init__(self, path: Path) -> None:
        self._path, self._count = path, 0

    def item(self, dataset: Any, depth: int) -> SRItem:
        self._count += 1
        if depth > MAX_DEPTH:
            raise PatientFileError(f"{self._path}: items nested deeper than {MAX_DEPTH}; it is not read")
        if self._count > MAX_ITEMS:
            raise PatientFileError(f"{self._path}: more than {MAX_ITEMS} content items; it is not read")
        kind = str(dataset.get("ValueType", "") or "")
        code = _code(dataset, "ConceptCodeSequence")
        return SRItem(
            _code(dataset, "ConceptNameCodeSequence"),
            kind,
            _text(dataset, kind) if code is None else code.meaning,
            code,
            _measurements(dataset) if kind == "NUM" else (),
            tuple(self.item(one, depth + 1) for one in dataset.get("ContentSequence", None) or ()),
        )


_TEXTS = {"TEXT": "TextValue", "UIDREF": "UID", "DATETIME": "DateTime", "DATE": "Date", "TIME": "Time",
          "PNAME": "PersonName"}  # fmt: skip


def _text(dataset: Any, kind: str) -> str:
    return str(dataset.get(_TEXTS[kind], "") or "").strip() if kind in _TEXTS else ""


def _code(dataset: Any, keyword: str) -> CodedConcept | None:
    sequence = dataset.get(keyword, None)
    if not sequence:
        return None
    one = sequence[0]
    value = one.get("CodeValue", "") or one.get("LongCodeValue", "") or one.get("URNCodeValue", "") or ""
    words = (value, one.get("CodingSchemeDesignator", "") or "", one.get("CodeMeaning", "") or "")
    return CodedConcept(*(str(word).strip() for word in words))


def _measurements(dataset: Any) -> tuple[Measurement, ...]:
    found = []
    for one in dataset.get("MeasuredValueSequence", None) or ():
        unit = _code(one, "MeasurementUnitsCodeSequence")
        number = one.get("FloatingPointValue", None)
        if number is None:
            number = one.get("NumericValue", None)
        values = number if isinstance(number, (list, tuple)) or type(number).__name__ == "MultiValue" else [number]
        for value in values:
            if value is not None and str(value) != "" and math.isfinite(float(value)):
                found.append(Measurement(float(value), unit.value or unit.meaning if unit is not None else ""))
    return tuple(found)
