"""Headers of foreign DICOM files: only the wanted elements, bounded in size and depth."""

import os
import struct
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydicom.errors import BytesLengthException, InvalidDicomError

from fluoroscope.patient.stored import PatientFileError

__all__ = ["PARSE_ERRORS", "dicom_size", "is_bare", "read_header"]

PARSE_ERRORS = (
    InvalidDicomError,
    BytesLengthException,
    EOFError,
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    RuntimeError,
    AssertionError,
    MemoryError,
    struct.error,
    zlib.error,
)
"""What parsing a damaged object can raise."""

_DEFLATED = b"1.2.840.10008.1.2.1.99"
_META_BYTES = 4096
_STORAGE = b"1.2.840.10008.5.1.4.1.1."
_FIRST_ELEMENT, _FIRST_LENGTH = 0x0018, 256
"""Largest element number and length of what an object without preamble may begin with."""


def dicom_size(path: Path, deflated: bool = False) -> int | None:
    """Return the size of a DICOM file, bytes; None when the file is not DICOM.

    Parameters
    ----------
    path
        Any file. Without preamble it is DICOM when it begins with a group 0002 or 0008 and names a storage class.
    deflated
        Whether the caller unpacks deflated objects within bounds; otherwise they are refused.

    Raises
    ------
    PatientFileError
        The file cannot be read, is empty, or deflated (a deflated object unpacks whole into memory, up to a thousand
        times its size).
    """
    try:
        with path.open("rb") as file:
            head = file.read(_META_BYTES)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise PatientFileError(f"{path}: cannot be read ({error.strerror}); check the file") from error
    if head[128:132] != b"DICM" and not is_bare(head):
        if size == 0:
            raise PatientFileError(f"{path}: the file is empty; copy it again")
        return None
    if _DEFLATED in head and not deflated:
        raise PatientFileError(f"{path}: deflated DICOM is not read; export it uncompressed")
    return size


def is_bare(head: bytes) -> bool:
    """Tell whether bytes are the begin of a DICOM object without preamble, as some archives hand them out."""
    if head[:2] not in (b"\x02\x00", b"\x08\x00", b"\x00\x08") or _STORAGE not in head:
        return False
    little = head[1] == 0
    element = int.from_bytes(head[2:4], "little" if little else "big")
    if element > _FIRST_ELEMENT:
        return False
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    length = int.from_bytes(head[6:8] if explicit else head[4:8], "little" if little else "big")
    return length <= _FIRST_LENGTH


def read_header(path: Path, tags: Sequence[str]) -> Any | None:
    """Read the wanted elements of a DICOM file, stopping before the pixels.

    Parameters
    ----------
    path
        Any file.
    tags
        Keywords to read; all others, sequences among them, are skipped over unparsed.

    Returns
    -------
    pydicom.Dataset or None
        None when the file is not DICOM.

    Raises
    ------
    PatientFileError
        The file says it is DICOM but is truncated or damaged, or as `dicom_size`.
    """
    if dicom_size(path) is None:
        return None
    from pydicom import dcmread

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # `force` only matters without preamble: `dicom_size` has looked at what it is then.
            header = dcmread(path, stop_before_pixels=True, specific_tags=list(tags), force=True)
            for keyword in tags:
                header.get(keyword)  # values are parsed when first looked at
            for element in getattr(header, "file_meta", ()):
                str(element.value)
    except PARSE_ERRORS as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise PatientFileError(f"{path}: damaged DICOM header ({reason}); copy the file again") from error
    return header
