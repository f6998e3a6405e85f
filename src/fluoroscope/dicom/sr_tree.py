"""A foreign structured report as a tree of items, read within bounds of size, number and depth."""

import io
import math
import warnings
from pathlib import Path
from typing import Any

from fluoroscope.dicom.safe_parsing import PARSE_ERRORS, dicom_size
from fluoroscope.dicom.sr_bytes import MAX_DEPTH, MAX_ITEMS, OverBoundsError, UnusualError, walk_report
from fluoroscope.dicom.sr_items import CodedConcept, Measurement, SRDocument, SRItem
from fluoroscope.patient.stored import PatientFileError

__all__ = ["CodedConcept", "Measurement", "SRDocument", "SRItem", "read_sr"]

MAX_BYTES = 64_000_000
_SR_CLASSES = "1.2.840.10008.5.1.4.1.1.88."
_HEADER = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "Manufacturer",
    "ManufacturerModelName", "DeviceSerialNumber", "PatientID", "PatientName", "PatientSex", "PatientBirthDate",
    "StudyDate", "StudyTime", "ContentDate", "ContentTime", "StudyDescription", "CompletionFlag", "SeriesDescription",
    "IssuerOfPatientID",
)  # fmt: skip


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
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PatientFileError(f"{path}: cannot be read ({error.strerror}); check the file") from error
    try:
        header, root = walk_report(data)
    except OverBoundsError as error:
        raise PatientFileError(f"{path}: damaged or hostile DICOM ({error}); it is not read") from error
    except UnusualError:
        return _by_library(path, data)
    if root is not None:
        return SRDocument(path, header, root)
    _refuse_empty(path, header["SOPClassUID"])
    return None


def _refuse_empty(path: Path, sop_class: str) -> None:
    if sop_class.startswith(_SR_CLASSES):
        raise PatientFileError(f"{path}: a structured report without content; copy the file again")


def _by_library(path: Path, data: bytes) -> SRDocument | None:
    """Read by pydicom what the lean walk does not know; ten to thirty times slower."""
    from pydicom import dcmread

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # From memory a length that is a lie costs nothing: a file would be asked for all of it.
            dataset = dcmread(io.BytesIO(data), stop_before_pixels=True)
            if "ContentSequence" not in dataset:
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
