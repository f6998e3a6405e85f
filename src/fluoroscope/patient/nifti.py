"""NIfTI headers (.nii, .nii.gz): where the voxels lie, RAS turned to LPS."""

import gzip
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.stored import PatientFileError, StoredVoxels

__all__ = ["describe"]

_LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_MOST_HEADER_BYTES = 64 << 20
_MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}


def describe(path: Path) -> StoredVoxels:
    """Read the header of a NIfTI-1 or NIfTI-2 file.

    The orientation is the sform's when it is set, else the qform's; with neither, left and right are unknown
    and the file is refused.

    Raises
    ------
    PatientFileError
        Not a NIfTI file, no orientation, spacing not above zero.
    """
    packed = path.name.lower().endswith(".gz")
    with path.open("rb") as file:
        magic = file.read(2)
    if packed and magic != b"\x1f\x8b":
        raise PatientFileError(f"{path}: named .gz but is not gzip-compressed; give a real .nii.gz or rename it")
    facts = _parse(path, packed)
    pitch, codes, affine, units = facts.pitch_mm, facts.codes, facts.affine, facts.mm_per_unit
    if not (np.isfinite(pitch).all() and (pitch > 0.0).all()):
        numbers = " × ".join(f"{value:g}" for value in pitch)
        raise PatientFileError(f"{path}: voxel spacing {numbers} mm must be above 0; correct the header")
    if codes[0] <= 0 and codes[1] <= 0:
        raise PatientFileError(
            f"{path}: has neither sform nor qform, so left and right are unknown; save it with an orientation"
        )
    affine[:3] *= units
    if not 0 <= facts.offset <= _MOST_HEADER_BYTES:
        raise PatientFileError(f"{path}: voxels begin at byte {facts.offset}; the header is damaged, export it again")
    return StoredVoxels(
        path,
        path,
        facts.offset,
        "gzip" if packed else "raw",
        facts.shape,
        facts.dtype,
        _LPS_FROM_RAS @ affine,
        facts.slope,
        facts.intercept,
    )


class _Header(NamedTuple):
    pitch_mm: NDArray[np.float64]
    codes: tuple[int, int]
    affine: NDArray[np.float64]
    mm_per_unit: float
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    offset: int
    slope: float
    intercept: float


def _parse(path: Path, packed: bool) -> _Header:
    """Let nibabel read the header."""
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError, HeaderTypeError
    from nibabel.wrapstruct import WrapStructError

    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            image: Any = nibabel.load(path)
            header: Any = image.header
            if not isinstance(image, nibabel.Nifti1Pair):
                raise PatientFileError(f"{path}: is {type(image).__name__}, not NIfTI; convert it to NIfTI")
            codes = int(header["sform_code"]), int(header["qform_code"])
            pitch = _stored_pitch(path, packed)
            proxy: Any = image.dataobj
            slope, intercept = float(proxy.slope), float(proxy.inter)
            if codes[0] > 0:
                affine = np.asarray(header.get_sform(), dtype=np.float64)
            else:
                affine = np.asarray(header.get_qform(), dtype=np.float64)
            units = _MM_PER_UNIT.get(int(header["xyzt_units"]) & 7, 1.0)
            return _Header(
                pitch,
                codes,
                affine,
                units,
                np.dtype(proxy.dtype),
                tuple(proxy.shape),
                int(proxy.offset),
                slope,
                intercept,
            )
    except (
        ImageFileError,
        HeaderDataError,
        HeaderTypeError,
        WrapStructError,
        EOFError,
        OSError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        OverflowError,
        ZeroDivisionError,
        struct.error,
        zlib.error,
    ) as error:
        if isinstance(error, PatientFileError):
            raise
        reason = " ".join(str(error).split())[:120].replace(str(path), path.name)
        raise PatientFileError(f"{path}: not a readable NIfTI file ({reason}); export or copy it again") from error


def _stored_pitch(path: Path, packed: bool) -> NDArray[np.float64]:
    """Return pixdim 1 to 3 as stored; nibabel makes negative ones positive before one sees them."""
    with path.open("rb") as file:
        head = gzip.GzipFile(fileobj=file).read(348) if packed else file.read(348)
    for order in "<>":
        if np.frombuffer(head[:4], order + "i4")[0] == 540:
            return np.frombuffer(head[112:136], order + "f8").astype(np.float64)
        if np.frombuffer(head[:4], order + "i4")[0] == 348:
            return np.frombuffer(head[80:92], order + "f4").astype(np.float64)
    raise ValueError("no NIfTI header length")
