"""CT volumes from NIfTI, NRRD and MetaImage files."""

from collections.abc import Callable
from pathlib import Path

from fluoroscope.patient import mha, nifti, nrrd
from fluoroscope.patient.stored import Meaning, PatientFileError, Progress, StoredVoxels, load
from fluoroscope.patient.volume import Volume

__all__ = ["SUFFIXES", "is_volume_file", "read_values", "read_volume"]

_READERS: dict[str, Callable[[Path], StoredVoxels]] = {
    ".nii.gz": nifti.describe,
    ".nii": nifti.describe,
    ".nrrd": nrrd.describe,
    ".nhdr": nrrd.describe,
    ".mha": mha.describe,
    ".mhd": mha.describe,
}
SUFFIXES = tuple(_READERS)


def is_volume_file(path: str | Path) -> bool:
    """Return whether the file's name says NIfTI, NRRD or MetaImage."""
    return str(path).lower().endswith(SUFFIXES)


def read_volume(path: str | Path, *, progress: Progress | None = None) -> Volume:
    """Read a CT as int16 HU in LPS, axes running S, P, L.

    Floating-point HU are rounded, everything is clipped to int16. Beyond the file's own buffers the memory is
    the int16 volume plus one slab of 16 MB.

    Parameters
    ----------
    path
        A ``.nii .nii.gz .nrrd .nhdr .mha .mhd`` file.
    progress
        Told the fraction read.

    Raises
    ------
    PatientFileError
        The file is missing, of another kind, damaged, or cannot be a patient's CT.
    """
    return _read(path, "hu", progress)


def read_values(path: str | Path, *, progress: Progress | None = None) -> Volume:
    """Read any volume without rounding: int16 where the file stores small integers, else float32.

    Raises
    ------
    PatientFileError
        As `read_volume`, but two voxels along an axis are enough.
    """
    return _read(path, "values", progress)


def read_label_values(path: str | Path, *, progress: Progress | None = None) -> Volume:
    """Read a label map as uint8 or uint16.

    Raises
    ------
    PatientFileError
        As `read_values`, and for anything but whole numbers from 0 to 65535.
    """
    return _read(path, "labels", progress)


def _read(path: str | Path, meaning: Meaning, progress: Progress | None) -> Volume:
    file = Path(path)
    reader = next((make for suffix, make in _READERS.items() if file.name.lower().endswith(suffix)), None)
    if not file.exists():
        raise PatientFileError(f"{file}: no such file; check the path")
    if file.is_dir():
        raise PatientFileError(f"{file}: is a folder, not a volume file; give the file itself")
    if reader is None:
        raise PatientFileError(f"{file}: unknown kind of file; give one of {' '.join(SUFFIXES)} or a DICOM folder")
    try:
        if file.stat().st_size == 0:
            raise PatientFileError(f"{file}: the file is empty; copy it again")
        return load(reader(file), meaning=meaning, progress=progress)
    except OSError as error:
        raise PatientFileError(f"{file}: cannot be read ({error.strerror or error}); check the file") from error
