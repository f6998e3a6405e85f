"""A foreign structured report as a tree of items, read within bounds of size, number and depth."""

import io
import warnings
from pathlib import Path
from typing import Any

from fluoroscope.dicom.safe_parsing import PARSE_ERRORS, read_header
from fluoroscope.dicom.sr_bytes import MAX_DEPTH, MAX_ITEMS, OverBoundsError, UnusualError, walk_report
from fluoroscope.dicom.sr_file import TooLargeError, report_bytes
from fluoroscope.dicom.sr_items import CodedConcept, Measurement, SRDocument, SRItem, finite_numbers
from fluoroscope.patient.stored import PatientFileError

__all__ = ["CodedConcept", "Measurement", "SRDocument", "SRItem", "read_sr"]

_ITEM_TAGS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
_MOST_BY_LIBRARY, _LONGEST_BY_LIBRARY = 100_000, 12_000_000
"""Items of sequences, little or big endian, and bytes: more would take the parser minutes."""
_PART_BYTES = 1 << 20
_REPORTS = "1.2.840.10008.5.1.4.1.1.88."
_DOSE_CLASSES = ("1.2.840.10008.5.1.4.1.1.88.67", "1.2.840.10008.5.1.4.1.1.88.73", "1.2.840.10008.5.1.4.1.1.88.76")
_HEADER = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "Manufacturer",
    "ManufacturerModelName", "DeviceSerialNumber", "PatientID", "PatientName", "PatientSex", "PatientBirthDate",
    "StudyDate", "StudyTime", "ContentDate", "ContentTime", "StudyDescription", "CompletionFlag", "SeriesDescription",
    "IssuerOfPatientID",
)  # fmt: skip


def read_sr(path: Path) -> SRDocument | None:
    """Read a structured report; None when the file is DICOM but holds no content tree, or is not DICOM.

    An image may be of any size: it holds none.

    Raises
    ------
    PatientFileError
        The file cannot be read, is empty, truncated or damaged, larger than 32 MB (24 MB unpacked), nested deeper
        than 32 items or holds more than 200 000; or it is of a rare form and holds more than 100 000.
    """
    try:
        data = report_bytes(path)
        return None if data is None else _read(path, data)
    except TooLargeError:
        if _is_image(path):
            return None
        raise


def _is_image(path: Path) -> bool:
    """Whether a large file says that it is no report, and has no more items than a parser gets through in seconds."""
    count, last = 0, b""
    with path.open("rb") as file:
        while part := file.read(_PART_BYTES):
            count += max((last + part).count(tag) for tag in _ITEM_TAGS)
            last = part[-3:]
            if count > _MOST_BY_LIBRARY:
                return False
    said = read_header(path, ("SOPClassUID",))
    sop_class = "" if said is None else str(said.get("SOPClassUID", "") or "")
    return bool(sop_class) and not sop_class.startswith(_REPORTS)


def _read(path: Path, data: bytes) -> SRDocument | None:
    try:
        header, root = walk_report(data)
    except OverBoundsError as error:
        raise PatientFileError(f"{path}: damaged or hostile DICOM ({error}); it is not read") from error
    except UnusualError:
        return _by_library(path, data)
    if root is not None and root.children:
        return SRDocument(path, header, root)
    _refuse_empty(path, header["SOPClassUID"])
    return None


def _refuse_empty(path: Path, sop_class: str) -> None:
    if sop_class in _DOSE_CLASSES:
        raise PatientFileError(f"{path}: a dose report without content; copy the file again")


def _by_library(path: Path, data: bytes) -> SRDocument | None:
    """Read by pydicom what the lean walk does not know; ten to thirty times slower."""
    from pydicom import dcmread

    if max(data.count(tag) for tag in _ITEM_TAGS) > _MOST_BY_LIBRARY or len(data) > _LONGEST_BY_LIBRARY:
        raise TooLargeError(f"{path}: of a rare form and larger than a dose report can be; it is not read")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # From memory a length that is a lie costs nothing: a file would be asked for all of it.
            dataset = dcmread(io.BytesIO(data), stop_before_pixels=True)
            if not dataset.get("ContentSequence", None):
                _refuse_empty(path, str(dataset.get("SOPClassUID", "")))
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
        text = _text(dataset, kind) if code is None else code.meaning
        measured: tuple[Measurement, ...] = ()
        if kind == "NUM":
            measured, odd = _measurements(dataset)
            text = text or odd
        return SRItem(
            _code(dataset, "ConceptNameCodeSequence"),
            kind,
            text,
            code,
            measured,
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


def _measurements(dataset: Any) -> tuple[tuple[Measurement, ...], str]:
    found, odd = [], []
    for one in dataset.get("MeasuredValueSequence", None) or ():
        unit = _code(one, "MeasurementUnitsCodeSequence")
        numbers, rest = finite_numbers(_written(one))
        found += [Measurement(number, unit.value or unit.meaning if unit is not None else "") for number in numbers]
        odd.append(rest)
    return tuple(found), "; ".join(filter(None, odd))


def _written(one: Any) -> list[str]:
    """Return numbers as they are written: the parser refuses a whole report for one that is none."""
    values = one.get("FloatingPointValue", None)
    if values is None:
        raw = one.get_item("NumericValue")
        if raw is not None and isinstance(raw.value, bytes) and raw.VR in (None, "DS", "UN"):
            return raw.value.decode("latin-1").split("\\")
        values = one.get("NumericValue", None)
    many = isinstance(values, (list, tuple)) or type(values).__name__ == "MultiValue"
    return [repr(float(value)) for value in (values if many else [values]) if value is not None and str(value) != ""]
