"""A folder of DICOM CT slices as one volume.

Headers are read first and without pixels; what is wrong is found there, by geometry rather than by name,
number or declared position. Pixels are decoded slice by slice into the finished volume.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.dicom.safe_parsing import PARSE_ERRORS, read_header
from fluoroscope.geometry.table import PatientPosition
from fluoroscope.patient.library import ImportedCT
from fluoroscope.patient.stored import PatientFileError, Progress, check_grid, order_axes, silent
from fluoroscope.patient.volume import Volume

__all__ = ["CTSeries", "read_ct_series", "read_patient_folder"]

_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
_ENHANCED_CT = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
_MOST_FILES = 20_000
_MOST_TILT_DEG = 0.06
_TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "SeriesDescription",
    "StudyInstanceUID",
    "Modality",
    "ImageType",
    "PatientName",
    "PatientID",
    "PatientPosition",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "RescaleSlope",
    "RescaleIntercept",
]


@dataclass(frozen=True, slots=True)
class CTSeries:
    """One CT series read from a folder.

    Attributes
    ----------
    volume
        int16 HU, LPS, axes S, P, L.
    position
        How the patient lay: derived from Patient Position when it is one of the eight, else None.
    patient_name, patient_id, description, modality, series_uid
        As the objects say.
    files
        The slices used, in order along the stack.
    ignored
        Every other file and why it was left out.
    """

    volume: Volume
    position: PatientPosition | None
    patient_name: str
    patient_id: str
    description: str
    modality: str
    series_uid: str
    files: tuple[Path, ...]
    ignored: tuple[tuple[Path, str], ...]


@dataclass(frozen=True, slots=True)
class _Slice:
    path: Path
    header: Any
    orientation: NDArray[np.float64]
    position_mm: NDArray[np.float64]
    spacing_mm: tuple[float, float]
    rows: int
    columns: int
    slope: float
    intercept: float

    @property
    def normal(self) -> NDArray[np.float64]:
        normal: NDArray[np.float64] = np.cross(self.orientation[0], self.orientation[1])
        return normal


def read_patient_folder(folder: Path, *, series: str | None = None, progress: Progress | None = None) -> ImportedCT:
    """Return the CT of a folder as the patient library takes it (see `read_ct_series`)."""
    read = read_ct_series(folder, series=series, progress=progress)
    return ImportedCT(read.volume, read.patient_name, read.patient_id, read.description, read.position)


def read_ct_series(folder: str | Path, *, series: str | None = None, progress: Progress | None = None) -> CTSeries:
    """Read the CT series of a folder and its subfolders.

    Parameters
    ----------
    folder
        Searched for DICOM files of any name; DICOMDIR, localizers, derived images, dose reports and the like
        are left out and listed.
    series
        Series Instance UID, needed when there are several CT series.
    progress
        Told the fraction done.

    Raises
    ------
    PatientFileError
        No CT, several series, gantry tilt, missing or doubled slices, slices of different size, damaged
        files, compressed pixels without a decoder. The message names the file.
    """
    root = Path(folder)
    report = progress or silent
    paths = _paths(root)
    slices: list[_Slice] = []
    ignored: list[tuple[Path, str]] = []
    for number, path in enumerate(paths):
        found = _classify(path, ignored)
        if found is not None:
            slices.append(found)
        report(0.3 * (number + 1) / len(paths), "reading DICOM headers")
    chosen = _choose(root, slices, ignored, series)
    stack, axes = _sorted_stack(chosen)
    volume = _read_pixels(stack, axes, lambda f, text: report(0.3 + 0.7 * f, text))
    head = stack[0].header
    return CTSeries(
        volume,
        _declared_position(head),
        str(head.get("PatientName", "")),
        str(head.get("PatientID", "")),
        str(head.get("SeriesDescription", "")),
        str(head.get("Modality", "")),
        str(head.get("SeriesInstanceUID", "")),
        tuple(item.path for item in stack),
        tuple(ignored),
    )


def _paths(root: Path) -> list[Path]:
    if not root.is_dir():
        raise PatientFileError(f"{root}: no such folder; give the folder of a CT series")
    paths = []
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.name.startswith(".") and path.name.upper() != "DICOMDIR":
            paths.append(path)
        if len(paths) > _MOST_FILES:
            raise PatientFileError(f"{root}: more than {_MOST_FILES} files; give the folder of one CT series")
    if not paths:
        raise PatientFileError(f"{root}: the folder is empty; give the folder of a CT series")
    return paths


def _classify(path: Path, ignored: list[tuple[Path, str]]) -> _Slice | None:
    """Return the file as a slice, or note why it is none."""
    header = read_header(path, _TAGS)
    if header is None:
        ignored.append((path, "not a DICOM file"))
        return None
    # Anonymisers empty the dataset's own class; the file meta header then still has it.
    sop_class = str(header.get("SOPClassUID", None) or header.file_meta.get("MediaStorageSOPClassUID", ""))
    if sop_class in _ENHANCED_CT:
        raise PatientFileError(f"{path}: Enhanced CT is not read; export it as classic CT slices or as NIfTI")
    if sop_class != _CT_IMAGE:
        ignored.append((path, f"not a CT image ({header.get('Modality', 'unknown modality')})"))
        return None
    kinds = {str(kind).upper() for kind in _many(header.get("ImageType"))}
    if "LOCALIZER" in kinds or "SCOUT" in kinds:
        ignored.append((path, "localizer"))
        return None
    if "SECONDARY" in kinds and "AXIAL" not in kinds:
        ignored.append((path, "derived image"))
        return None
    return _slice(path, header)


def _many(value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str | bytes | int | float) else tuple(value)


def _numbers(path: Path, header: Any, keyword: str, count: int) -> NDArray[np.float64]:
    try:
        values = np.array([float(value) for value in _many(header.get(keyword))], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise PatientFileError(f"{path}: {keyword} is no number; export the series again") from error
    if values.shape != (count,) or not np.isfinite(values).all():
        raise PatientFileError(f"{path}: {keyword} is missing or wrong; export the series again")
    return values


def _slice(path: Path, header: Any) -> _Slice:
    orientation = _numbers(path, header, "ImageOrientationPatient", 6).reshape(2, 3)
    lengths = np.linalg.norm(orientation, axis=1)
    if np.abs(lengths - 1.0).max() > 1e-2 or abs(float(orientation[0] @ orientation[1])) > 1e-2:
        raise PatientFileError(
            f"{path}: ImageOrientationPatient is not two unit vectors at a right angle; export again"
        )
    spacing = _numbers(path, header, "PixelSpacing", 2)
    if spacing.min() <= 0.0:
        raise PatientFileError(f"{path}: PixelSpacing {spacing.tolist()} mm must be above 0; export again")
    rows, columns = (int(_numbers(path, header, key, 1)[0]) for key in ("Rows", "Columns"))
    slope = float(_numbers(path, header, "RescaleSlope", 1)[0])
    if slope == 0.0:
        raise PatientFileError(f"{path}: RescaleSlope is 0; export the series again")
    if _numbers(path, header, "SamplesPerPixel", 1)[0] != 1:
        raise PatientFileError(f"{path}: a colour image, not a CT slice; remove it from the folder")
    if header.get("NumberOfFrames", None) is not None and _numbers(path, header, "NumberOfFrames", 1)[0] != 1:
        raise PatientFileError(f"{path}: holds several frames; export classic CT slices")
    if _numbers(path, header, "BitsAllocated", 1)[0] not in (8, 16, 32):
        raise PatientFileError(f"{path}: BitsAllocated is {header.get('BitsAllocated')}; export the series again")
    return _Slice(
        path,
        header,
        orientation / lengths[:, np.newaxis],
        _numbers(path, header, "ImagePositionPatient", 3),
        (float(spacing[0]), float(spacing[1])),
        rows,
        columns,
        slope,
        float(_numbers(path, header, "RescaleIntercept", 1)[0]),
    )


def _choose(root: Path, slices: list[_Slice], ignored: list[tuple[Path, str]], series: str | None) -> list[_Slice]:
    """Return the slices of the one series to read."""
    by_series: dict[str, list[_Slice]] = {}
    for item in slices:
        by_series.setdefault(str(item.header.get("SeriesInstanceUID", "")), []).append(item)
    if not by_series:
        first = f"; {ignored[0][0].name} is {ignored[0][1]}" if ignored else ""
        raise PatientFileError(f"{root}: holds no CT slices ({len(ignored)} other files{first}); give a CT folder")
    listing = ", ".join(
        f"{uid} ({len(items)} slices, {items[0].header.get('SeriesDescription', '') or 'no description'})"
        for uid, items in by_series.items()
    )
    if series is not None:
        if series not in by_series:
            raise PatientFileError(f"{root}: has no CT series {series}; it has {listing}")
        for uid, items in by_series.items():
            if uid != series:
                ignored.extend((item.path, "another series") for item in items)
        return by_series[series]
    if len(by_series) > 1:
        raise PatientFileError(
            f"{root}: holds {len(by_series)} CT series: {listing}; choose one with --series UID or move"
            " it to its own"
            " folder"
        )
    return next(iter(by_series.values()))


def _sorted_stack(slices: list[_Slice]) -> tuple[list[_Slice], NDArray[np.float64]]:
    """Sort along the normal; return the stack and world_from_index of (slice, row, column)."""
    first = slices[0]
    for item in slices[1:]:
        if (item.rows, item.columns) != (first.rows, first.columns):
            raise PatientFileError(
                f"{item.path}: {item.rows}×{item.columns} pixels, {first.path.name} has"
                f" {first.rows}×{first.columns};"
                " remove the odd one"
            )
        if np.abs(item.orientation - first.orientation).max() > 1e-3:
            raise PatientFileError(
                f"{item.path}: turned against {first.path.name}; keep slices of one orientation only"
            )
        if not np.allclose(item.spacing_mm, first.spacing_mm, rtol=1e-3):
            raise PatientFileError(f"{item.path}: pixel spacing differs from {first.path.name}; keep one series only")
    normal = first.normal
    stack = sorted(slices, key=lambda item: float(item.position_mm @ normal))
    if len(stack) < 2:
        check_grid(first.path, (1, first.rows, first.columns), np.eye(4))
    heights = np.array([float(item.position_mm @ normal) for item in stack])
    _check_heights(stack, heights)
    step = (stack[-1].position_mm - stack[0].position_mm) / (len(stack) - 1)
    tilt = math.degrees(math.acos(min(1.0, abs(float(step @ normal)) / float(np.linalg.norm(step)))))
    if tilt > _MOST_TILT_DEG:
        raise PatientFileError(
            f"{stack[0].path}: gantry tilt of {tilt:.1f}°, the slices are stacked askew; resample the CT"
            " to a straight"
            " grid and give that"
        )
    middle = np.array([item.position_mm for item in stack])
    straight = stack[0].position_mm + np.arange(len(stack))[:, np.newaxis] * step
    away = np.abs(middle - straight).max(axis=1)
    if away.max() > 0.5:
        worst = int(away.argmax())
        raise PatientFileError(
            f"{stack[worst].path}: lies {away[worst]:.1f} mm off the stack; remove it or export the series again"
        )
    matrix = np.eye(4)
    matrix[:3, 0] = normal * float(step @ normal)
    matrix[:3, 1] = first.orientation[1] * first.spacing_mm[0]
    matrix[:3, 2] = first.orientation[0] * first.spacing_mm[1]
    matrix[:3, 3] = stack[0].position_mm
    return stack, matrix


def _check_heights(stack: list[_Slice], heights: NDArray[np.float64]) -> None:
    """Raise for doubled and missing slices."""
    gaps = np.diff(heights)
    usual = float(np.median(gaps))
    for n, gap in enumerate(gaps):
        if gap < 0.01 or gap < 0.1 * usual:
            raise PatientFileError(
                f"{stack[n + 1].path}: at the same place as {stack[n].path.name} ({gap:.2f} mm apart);"
                " remove one of them"
            )
    for n, gap in enumerate(gaps):
        if gap > 1.5 * usual:
            count = round(gap / usual) - 1
            raise PatientFileError(
                f"{stack[n].path}: {count} slice{'s are' if count != 1 else ' is'} missing between it and"
                f" {stack[n + 1].path.name} ({gap:.2f} mm, usual {usual:.2f} mm); export the whole series"
            )
        if abs(gap - usual) > max(0.05, 0.1 * usual):
            raise PatientFileError(
                f"{stack[n].path}: {gap:.2f} mm to {stack[n + 1].path.name}, the others are {usual:.2f}"
                " mm apart; resample"
                " the CT to even slices"
            )


def _read_pixels(stack: list[_Slice], world_from_stack: NDArray[np.float64], report: Progress) -> Volume:
    first = stack[0]
    shape = check_grid(first.path.parent, (len(stack), first.rows, first.columns), world_from_stack)
    order = order_axes(world_from_stack, shape)
    turned = np.empty(order.shape(shape), dtype=np.int16)
    view = order.as_stored(turned)
    for number, item in enumerate(stack):
        view[number] = _hu(item)
        report((number + 1) / len(stack), "reading DICOM slices")
    return Volume(turned, order.world_from_index)


def _hu(item: _Slice) -> NDArray[np.int16]:
    """Decode one slice to HU."""
    from pydicom import dcmread

    slope, intercept = item.slope, item.intercept
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = dcmread(item.path, specific_tags=[*_TAGS, "PixelData"])
            encoded = dataset.get("PixelData")
            if encoded is None:
                raise PatientFileError(f"{item.path}: has no pixels; copy the file again")
            _check_pixel_length(item, dataset)
            stored = dataset.pixel_array
    except PARSE_ERRORS as error:
        if isinstance(error, PatientFileError):
            raise
        raise PatientFileError(
            f"{item.path}: pixels cannot be decoded ({_short(error)}); export it uncompressed"
        ) from error
    if stored.shape != (item.rows, item.columns):
        raise PatientFileError(f"{item.path}: pixels are {stored.shape}, not {item.rows}×{item.columns}; export again")
    values = stored if slope == 1.0 and intercept == 0.0 else stored * np.float64(slope) + intercept
    clipped: NDArray[np.int16] = np.clip(np.rint(values), -32768, 32767).astype(np.int16)
    return clipped


def _check_pixel_length(item: _Slice, dataset: Any) -> None:
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        return
    need = item.rows * item.columns * int(dataset.BitsAllocated) // 8
    if len(dataset.PixelData) < need:
        raise PatientFileError(
            f"{item.path}: truncated, {len(dataset.PixelData)} of {need} bytes of pixels; copy the file again"
        )


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:140] or type(error).__name__


def _declared_position(header: Any) -> PatientPosition | None:
    text = str(header.get("PatientPosition", "")).strip()
    return PatientPosition(text) if text in PatientPosition.__members__ else None
