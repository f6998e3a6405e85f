"""DICOM Segmentation objects laid onto the grid of a CT."""

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.dicom.safe_parsing import PARSE_ERRORS, read_header
from fluoroscope.patient.labels import LabelMap
from fluoroscope.patient.stored import MAX_VOXELS, PatientFileError
from fluoroscope.patient.volume import Volume

__all__ = ["read_segmentation"]

_SEGMENTATION = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
_TAGS = [
    "SOPClassUID",
    "SegmentationType",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "BitsAllocated",
    "FrameOfReferenceUID",
]


def read_segmentation(path: str | Path, ct: Volume) -> LabelMap:
    """Read a binary or label-map DICOM SEG onto a CT's grid.

    Every frame is placed by its own position; the CT's voxels take the nearest frame's nearest pixel. Where
    segments overlap, the later one wins.

    Parameters
    ----------
    path
        Segmentation Storage or Label Map Segmentation Storage object.
    ct
        The CT it belongs to.

    Raises
    ------
    PatientFileError
        Not a segmentation, fractional, damaged, too large, or outside the CT.
    """
    file = Path(path)
    if not file.is_file():
        raise PatientFileError(f"{file}: no such file; check the path")
    header = read_header(file, _TAGS)
    if header is None or str(header.get("SOPClassUID", None) or "") not in _SEGMENTATION:
        raise PatientFileError(f"{file}: is no DICOM segmentation; give a SEG object or a label volume")
    kind = str(header.get("SegmentationType", "")).upper()
    if kind not in ("BINARY", "LABELMAP"):
        raise PatientFileError(f"{file}: segmentation of type {kind or 'unknown'} is not read; export it as BINARY")
    try:
        sizes = [int(header.get(key, None) or 0) for key in ("NumberOfFrames", "Rows", "Columns")]
    except (TypeError, ValueError) as error:
        raise PatientFileError(f"{file}: number of frames, rows or columns is wrong; export it again") from error
    if min(sizes) < 1 or math.prod(sizes) > MAX_VOXELS:
        raise PatientFileError(
            f"{file}: {sizes[0]} frames of {sizes[1]}×{sizes[2]} pixels; at most {MAX_VOXELS / 1e6:.0f}"
            " million are read"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _read(file, ct, kind)
    except PARSE_ERRORS as error:
        if isinstance(error, PatientFileError):
            raise
        reason = " ".join(str(error).split())[:140] or type(error).__name__
        raise PatientFileError(f"{file}: damaged segmentation ({reason}); export it again") from error


def _read(file: Path, ct: Volume, kind: str) -> LabelMap:
    from pydicom import dcmread

    dataset = dcmread(file)
    names = {
        int(item.SegmentNumber): _name(str(item.SegmentLabel))
        for item in dataset.SegmentSequence
        if int(item.SegmentNumber) > 0
    }
    if not names or max(names) > 65535:
        raise PatientFileError(f"{file}: names no segments; export it again")
    frames = dataset.pixel_array
    if frames.ndim == 2:
        frames = frames[np.newaxis]
    target: type[np.uint8] | type[np.uint16] = np.uint8 if max(names) < 256 else np.uint16
    values: NDArray[Any] = np.zeros(ct.values.shape, dtype=target)
    places = [_place(dataset, number) for number in range(len(frames))]
    spacing = _slice_spacing(dataset, places)
    by_segment: dict[int, list[int]] = {}
    for number in range(len(frames)):
        by_segment.setdefault(0 if kind == "LABELMAP" else _segment(dataset, number), []).append(number)
    drawn = 0
    for segment, numbers in sorted(by_segment.items()):
        for number in numbers:
            drawn += _lay(values, ct, frames[number], places[number], spacing, segment)
    if drawn == 0 and frames.any():
        raise PatientFileError(f"{file}: the segments lie outside the CT; give the segmentation of this CT")
    return LabelMap(values, names)


def _name(label: str) -> str:
    return label.strip().replace(" ", "_") or "unnamed"


def _group(dataset: Any, number: int, sequence: str) -> Any:
    """Return a functional group of a frame, or the shared one."""
    frame = dataset.PerFrameFunctionalGroupsSequence[number]
    if sequence in frame:
        return frame[sequence].value[0]
    return dataset.SharedFunctionalGroupsSequence[0][sequence].value[0]


def _segment(dataset: Any, number: int) -> int:
    return int(_group(dataset, number, "SegmentIdentificationSequence").ReferencedSegmentNumber)


def _place(dataset: Any, number: int) -> NDArray[np.float64]:
    """Return world_from_frame: LPS mm of (row, column, along the normal in mm)."""
    orientation = np.array(
        [float(v) for v in _group(dataset, number, "PlaneOrientationSequence").ImageOrientationPatient]
    ).reshape(2, 3)
    position = [float(v) for v in _group(dataset, number, "PlanePositionSequence").ImagePositionPatient]
    pitch = [float(v) for v in _group(dataset, number, "PixelMeasuresSequence").PixelSpacing]
    matrix = np.eye(4)
    matrix[:3, 0] = orientation[1] * pitch[0]
    matrix[:3, 1] = orientation[0] * pitch[1]
    matrix[:3, 2] = np.cross(orientation[0], orientation[1])
    matrix[:3, 3] = position
    if not np.isfinite(matrix).all() or abs(float(np.linalg.det(matrix))) < 1e-9:
        raise ValueError("a frame has no usable position")
    return matrix


def _slice_spacing(dataset: Any, places: list[NDArray[np.float64]]) -> float:
    """Distance between neighbouring frames, mm."""
    heights = np.unique(np.round([float(place[:3, 3] @ places[0][:3, 2]) for place in places], 3))
    if len(heights) > 1:
        return float(np.diff(heights).min())
    measures = _group(dataset, 0, "PixelMeasuresSequence")
    return float(measures.get("SpacingBetweenSlices", None) or measures.SliceThickness)


def _lay(
    values: NDArray[Any],
    ct: Volume,
    frame: NDArray[Any],
    world_from_frame: NDArray[np.float64],
    thickness_mm: float,
    segment: int,
) -> int:
    """Draw one frame into the CT voxels it covers; return how many voxels."""
    rows, columns = np.nonzero(frame)
    if len(rows) == 0:
        return 0
    frame_from_ct = np.linalg.inv(world_from_frame) @ ct.world_from_index
    corners = np.array(
        [
            [r, c, h, 1.0]
            for r in (rows.min() - 0.5, rows.max() + 0.5)
            for c in (columns.min() - 0.5, columns.max() + 0.5)
            for h in (-thickness_mm / 2, thickness_mm / 2)
        ]
    )
    box = (np.linalg.inv(frame_from_ct) @ corners.T)[:3]
    first = np.clip(np.floor(box.min(axis=1)).astype(int), 0, ct.values.shape)
    last = np.clip(np.ceil(box.max(axis=1)).astype(int) + 1, 0, ct.values.shape)
    if (last <= first).any():
        return 0
    grid = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(first, last, strict=True)), indexing="ij"))
    at = np.tensordot(frame_from_ct[:3, :3], grid, axes=1) + frame_from_ct[:3, 3, np.newaxis, np.newaxis, np.newaxis]
    row, column = np.rint(at[0]).astype(int), np.rint(at[1]).astype(int)
    # Half open, so that a voxel midway between two frames belongs to one of them only.
    half = thickness_mm / 2
    near = (at[2] >= -half - 1e-6) & (at[2] < half - 1e-6)
    near &= (row >= 0) & (row < frame.shape[0]) & (column >= 0) & (column < frame.shape[1])
    pixel = frame[np.where(near, row, 0), np.where(near, column, 0)]
    marked = near & (pixel != 0)
    part = values[first[0] : last[0], first[1] : last[1], first[2] : last[2]]
    part[marked] = segment if segment else pixel[marked]
    return int(marked.sum())
