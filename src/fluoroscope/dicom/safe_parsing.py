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

__all__ = ["PARSE_ERRORS", "dicom_size", "read_header"]

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


def dicom_size(path: Path) -> int | None:
    """Return the size of a DICOM file, bytes; None when the file is not DICOM.

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
    if head[128:132] != b"DICM":
        if size == 0:
            raise PatientFileError(f"{path}: the file is empty; copy it again")
        return None
    if _DEFLATED in head:
        raise PatientFileError(f"{path}: deflated DICOM is not read; export it uncompressed")
    return size


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
            header = dcmread(path, stop_before_pixels=True, specific_tags=list(tags))
            for keyword in tags:
                header.get(keyword)  # values are parsed when first looked at
            for element in header.file_meta:
                str(element.value)
    except PARSE_ERRORS as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise PatientFileError(f"{path}: damaged DICOM header ({reason}); copy the file again") from error
    return header
