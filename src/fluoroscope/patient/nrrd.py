"""NRRD headers (.nrrd, .nhdr): where the voxels lie, any anatomical space turned to LPS."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.stored import Encoding, PatientFileError, StoredVoxels

__all__ = ["describe"]

_ENCODINGS: Mapping[str, Encoding] = {
    "raw": "raw",
    "gzip": "gzip",
    "gz": "gzip",
    "bzip2": "bzip2",
    "bz2": "bzip2",
}
_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": (
        "longlong",
        "long long",
        "long long int",
        "signed long long",
        "signed long long int",
        "int64",
        "int64_t",
    ),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_CODE_OF = {name: code for code, names in _TYPES.items() for name in names}
# Sign of each world axis against L, P, S.
_SPACES = {
    "left-posterior-superior": (1.0, 1.0, 1.0),
    "lps": (1.0, 1.0, 1.0),
    "right-anterior-superior": (-1.0, -1.0, 1.0),
    "ras": (-1.0, -1.0, 1.0),
    "left-anterior-superior": (1.0, -1.0, 1.0),
    "las": (1.0, -1.0, 1.0),
    "right-posterior-superior": (-1.0, 1.0, 1.0),
    "rps": (-1.0, 1.0, 1.0),
}


def describe(path: Path) -> StoredVoxels:
    """Read the header of an attached or detached NRRD file.

    Raises
    ------
    PatientFileError
        Not an NRRD file, no anatomical space, an encoding or a data file layout that is not read.
    """
    import nrrd
    from nrrd.errors import NRRDError

    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header: dict[str, Any] = dict(nrrd.read_header(file))
            start = file.tell()
    except (
        NRRDError,
        OSError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        OverflowError,
        AttributeError,
    ) as error:
        reason = " ".join(str(error).split())[:120]
        raise PatientFileError(f"{path}: not a readable NRRD file ({reason}); export or copy it again") from error
    shape = tuple(int(n) for n in np.atleast_1d(header.get("sizes", ())))
    encoding = _ENCODINGS.get(str(header.get("encoding", "")).lower())
    if encoding is None:
        raise PatientFileError(f"{path}: encoding {header.get('encoding')!r} is not read; save as raw or gzip")
    code = _CODE_OF.get(str(header.get("type", "")).lower())
    if code is None:
        raise PatientFileError(f"{path}: voxel type {header.get('type')!r} is not a number; save as short or float")
    order = ">" if str(header.get("endian", "little")).lower() == "big" else "<"
    dtype = np.dtype(order + code)
    data_path, offset = _data(path, header, start, encoding, shape, dtype)
    return StoredVoxels(path, data_path, offset, encoding, shape, dtype, _affine(path, header))


def _data(
    path: Path,
    header: Mapping[str, Any],
    start: int,
    encoding: Encoding,
    shape: tuple[int, ...],
    dtype: np.dtype[np.generic],
) -> tuple[Path, int]:
    """Return the file of the voxels and where they begin in it."""
    name = header.get("data file", header.get("datafile"))
    try:
        line_skip = int(header.get("line skip", header.get("lineskip", 0)))
        byte_skip = int(header.get("byte skip", header.get("byteskip", 0)))
    except (TypeError, ValueError) as error:
        raise PatientFileError(f"{path}: 'line skip' or 'byte skip' is no number; export it again") from error
    if name is None:
        data_path, offset = path, start
    else:
        text = str(name)
        if text.upper().startswith("LIST") or "%" in text:
            raise PatientFileError(f"{path}: voxels spread over several files are not read; save them in one file")
        if Path(text).is_absolute() or ".." in Path(text).parts:
            raise PatientFileError(f"{path}: its data file {text!r} must lie beside the header; move it there")
        data_path, offset = path.parent / text, 0
    if line_skip:
        raise PatientFileError(f"{path}: 'line skip' is not read; save without it")
    if byte_skip == -1 and encoding == "raw":
        if not data_path.is_file():
            raise PatientFileError(f"{data_path}: voxel file of {path.name} is missing; keep both together")
        offset = data_path.stat().st_size - int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        byte_skip = 0
    if byte_skip < 0 or offset < 0 or (byte_skip and encoding != "raw"):
        raise PatientFileError(f"{path}: 'byte skip' of {byte_skip} cannot be used; save without it")
    return data_path, offset + byte_skip


def _affine(path: Path, header: Mapping[str, Any]) -> NDArray[np.float64]:
    signs = _SPACES.get(str(header.get("space", "")).strip().lower())
    if signs is None:
        raise PatientFileError(
            f"{path}: space is {header.get('space', 'not given')!r}, so left and right are unknown; save"
            " it with space"
            " left-posterior-superior"
        )
    try:
        directions = np.asarray(header["space directions"], dtype=np.float64)
        origin = np.asarray(header["space origin"], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise PatientFileError(f"{path}: needs 'space directions' and 'space origin'; export it again") from error
    if directions.ndim != 2 or directions.shape[1] != 3 or origin.shape != (3,):
        raise PatientFileError(f"{path}: 'space directions' must hold three vectors; export it again")
    if directions.shape[0] < 3:
        raise PatientFileError(f"{path}: a 2-D image; give a 3-D CT volume")
    affine = np.eye(4)
    affine[:3, :3] = directions[:3].T
    affine[:3, 3] = origin
    affine[:3] *= np.asarray(signs)[:, np.newaxis]
    return affine
