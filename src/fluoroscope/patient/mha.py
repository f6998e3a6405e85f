"""MetaImage headers (.mha, .mhd): where the voxels lie. ITK's convention: world axes are already LPS."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.stored import PatientFileError, StoredVoxels

__all__ = ["describe"]

_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_MOST_HEADER_BYTES = 64 << 10


def describe(path: Path) -> StoredVoxels:
    """Read the header of a MetaImage file, raw or zlib-compressed, voxels inside or beside it.

    Raises
    ------
    PatientFileError
        Not a MetaImage, missing or impossible header lines, voxels in several files or as text.
    """
    fields, start = _fields(path)
    dims = _integers(path, fields, "NDims", 1)[0]
    if dims != 3:
        raise PatientFileError(f"{path}: has {dims} axes; give a 3-D CT volume")
    if _integers(path, fields, "ElementNumberOfChannels", 1, "1")[0] != 1:
        raise PatientFileError(f"{path}: has several channels per voxel; give a CT volume")
    if not _true(fields, "BinaryData", default=True):
        raise PatientFileError(f"{path}: voxels written as text are not read; save as binary")
    code = _TYPES.get(fields.get("ElementType", ""))
    if code is None:
        raise PatientFileError(
            f"{path}: ElementType {fields.get('ElementType')!r} is not a number; save as MET_SHORT or MET_FLOAT"
        )
    big = _true(fields, "BinaryDataByteOrderMSB", default=_true(fields, "ElementByteOrderMSB", default=False))
    dtype = np.dtype((">" if big else "<") + code)
    shape = tuple(_integers(path, fields, "DimSize", 3))
    packed = _true(fields, "CompressedData", default=False)
    name = fields.get("ElementDataFile", "")
    if name == "LOCAL":
        data_path, offset = path, start
    elif name == "" or name.split()[0].upper() == "LIST" or "%" in name:
        raise PatientFileError(f"{path}: voxels spread over several files are not read; save as one .mha")
    elif Path(name).is_absolute() or ".." in Path(name).parts:
        raise PatientFileError(f"{path}: its data file {name!r} must lie beside the header; move it there")
    else:
        data_path = path.parent / name
        offset = _integers(path, fields, "HeaderSize", 1, "0")[0]
        if not data_path.is_file():
            raise PatientFileError(f"{data_path}: voxel file of {path.name} is missing; keep both together")
        if offset == -1:
            offset = data_path.stat().st_size - int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if offset < 0:
            raise PatientFileError(f"{data_path}: truncated, smaller than {path.name} says; copy the file again")
    return StoredVoxels(path, data_path, offset, "zlib" if packed else "raw", shape, dtype, _affine(path, fields))


def _fields(path: Path) -> tuple[dict[str, str], int]:
    """Return the header lines and the byte after them."""
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        while "ElementDataFile" not in fields:
            line = file.readline(4096)
            key, equals, value = line.decode("latin-1").partition("=")
            if not line or not equals or file.tell() > _MOST_HEADER_BYTES:
                raise PatientFileError(f"{path}: not a readable MetaImage header; export or copy it again")
            fields[key.strip()] = value.strip()
        return fields, file.tell()


def _true(fields: Mapping[str, str], key: str, *, default: bool) -> bool:
    return fields[key].lower() in {"true", "t", "1"} if key in fields else default


def _integers(path: Path, fields: Mapping[str, str], key: str, count: int, default: str = "") -> list[int]:
    try:
        numbers = [int(part) for part in fields.get(key, default).split()]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise PatientFileError(f"{path}: header line {key} needs {count} whole numbers; export it again")
    return numbers


def _floats(path: Path, fields: Mapping[str, str], keys: tuple[str, ...], count: int) -> list[float]:
    key = next((name for name in keys if name in fields), None)
    if key is None:
        raise PatientFileError(f"{path}: header line {keys[0]} is missing; export it again")
    try:
        numbers = [float(part) for part in fields[key].split()]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise PatientFileError(f"{path}: header line {key} needs {count} numbers; export it again")
    return numbers


def _affine(path: Path, fields: Mapping[str, str]) -> NDArray[np.float64]:
    spacing = np.array(_floats(path, fields, ("ElementSpacing", "ElementSize"), 3))
    if not (np.isfinite(spacing).all() and (spacing > 0.0).all()):
        raise PatientFileError(f"{path}: voxel spacing {spacing.tolist()} mm must be above 0; correct the header")
    origin = _floats(path, fields, ("Offset", "Position", "Origin"), 3)
    matrix = _floats(path, fields, ("TransformMatrix", "Rotation", "Orientation"), 9)
    affine = np.eye(4)
    # The file lists the direction of each voxel axis in turn.
    affine[:3, :3] = np.array(matrix).reshape(3, 3).T * spacing
    affine[:3, 3] = origin
    return affine
