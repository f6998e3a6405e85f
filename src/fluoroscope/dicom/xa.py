"""Reading X-ray runs of any maker: XA, XRF, their enhanced kin, and secondary capture, into a `Clip`.

Pixel values are the stored ones: no modality lookup table, rescale or window is applied. MONOCHROME1 is
turned so that larger is brighter, as everywhere in this program.
"""

import math
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from fluoroscope.acquisition.frame import PixelIntensity
from fluoroscope.dicom.errors import DicomFileError
from fluoroscope.dicom.frames import FrameStore, PixelFormat, check_sizes
from fluoroscope.dicom.layout import find_layout

__all__ = ["Clip", "ClipAngles", "read_clip"]

_XRAY_CLASSES = frozenset(
    [
        "1.2.840.10008.5.1.4.1.1.12.1",  # X-Ray Angiographic
        "1.2.840.10008.5.1.4.1.1.12.1.1",  # Enhanced XA
        "1.2.840.10008.5.1.4.1.1.12.2",  # X-Ray Radiofluoroscopic
        "1.2.840.10008.5.1.4.1.1.12.2.1",  # Enhanced XRF
        "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture
        "1.2.840.10008.5.1.4.1.1.7.2",  # Multi-frame Grayscale Byte Secondary Capture
        "1.2.840.10008.5.1.4.1.1.7.3",  # Multi-frame Grayscale Word Secondary Capture
    ]
)
_READ_TAGS = """
    SpecificCharacterSet SOPClassUID SOPInstanceUID StudyInstanceUID IrradiationEventUID Modality
    Manufacturer ManufacturerModelName PatientName PatientID PatientPosition PatientOrientation SeriesDescription
    SamplesPerPixel PhotometricInterpretation Rows Columns NumberOfFrames BitsAllocated BitsStored
    HighBit PixelRepresentation PixelIntensityRelationship WindowCenter WindowWidth
    FrameIncrementPointer FrameTime FrameTimeVector CineRate RecommendedDisplayFrameRate
    ImagerPixelSpacing PositionerPrimaryAngle PositionerSecondaryAngle PositionerPrimaryAngleIncrement
    PositionerSecondaryAngleIncrement DistanceSourceToDetector DistanceSourceToPatient KVP
    SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence
""".split()
_Result = TypeVar("_Result")
_UNKNOWN_RATE_HZ = 15.0
_SLOWEST_FRAME_MS = 60_000.0
_PARSER_ERRORS = (
    ValueError, KeyError, AttributeError, TypeError, IndexError, EOFError, OSError, NotImplementedError,
    RecursionError, OverflowError, struct.error,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ClipAngles:
    """Patient-based positioner angles (PS3.3 C.8.7.5.1.2), degrees: primary + LAO, secondary + cranial."""

    primary_deg: float
    secondary_deg: float


@dataclass(frozen=True, slots=True)
class Clip:
    """An X-ray run read from a file; frames are decoded when asked for. Close it, or use it in a ``with``.

    Attributes
    ----------
    path
        The file.
    rows, columns, frame_count
        Sizes.
    bits_stored
        8 to 16: values lie from 0 to 2^bits − 1.
    frame_times_ms
        When each frame was taken, ms from the first, as many as frames.
    rate_known
        False when the file says no frame times: they are then spaced as at 15 per second.
    intensity
        What a pixel means, as the file says; DISP when it does not say.
    window_center, window_width
        The file's display window, in pixel values as given by `frame`; else the whole range of `bits_stored`.
    pitch_mm
        Imager pixel spacing, at the detector, mm; None when not given or not square.
    angles
        Of each frame; empty when not given.
    source_to_detector_mm, source_to_patient_mm, tube_voltage_kv
        None when not given.
    patient_orientation
        Patient Orientation (0020,0020): letters of the way of growing columns and of growing rows, as in the file;
        None when not given. Of the first frame, where the angles change.
    patient_name, patient_id, patient_position, manufacturer, model, description, sop_class_uid, event_uid
        As in the file; "" when not given.
    """

    path: Path
    rows: int
    columns: int
    frame_count: int
    bits_stored: int
    frame_times_ms: tuple[float, ...]
    rate_known: bool
    intensity: PixelIntensity
    window_center: float
    window_width: float
    pitch_mm: float | None
    angles: tuple[ClipAngles, ...]
    source_to_detector_mm: float | None
    source_to_patient_mm: float | None
    tube_voltage_kv: float | None
    patient_orientation: tuple[str, str] | None
    patient_name: str
    patient_id: str
    patient_position: str
    manufacturer: str
    model: str
    description: str
    sop_class_uid: str
    event_uid: str
    store: FrameStore

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def rate_hz(self) -> float:
        """Mean frame rate."""
        if self.frame_count < 2:
            return _UNKNOWN_RATE_HZ
        return 1000.0 * (self.frame_count - 1) / self.frame_times_ms[-1]

    def frame(self, index: int) -> NDArray[np.uint16]:
        """Return frame ``index`` (from 0), uint16 (rows, columns), larger brighter."""
        return self.store.frame(index)

    def close(self) -> None:
        """Close the file. May be called twice."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_clip(path: Path) -> Clip:
    """Open an X-ray run.

    Parameters
    ----------
    path
        A DICOM file: XA, XRF, Enhanced XA or XRF, or secondary capture, monochrome, unsigned, 8 to 16 bits;
        uncompressed, JPEG baseline, JPEG-LS or RLE (JPEG 2000 and lossless JPEG with their packages).

    Raises
    ------
    DicomFileError
        One line: what is wrong, in which file, and what to do.
    OSError
        When the file cannot be opened.
    """
    path = Path(path)
    if not path.is_file():
        raise DicomFileError(f"{path}: no such file; give the path of a DICOM run")
    with path.open("rb") as file:
        layout = find_layout(file, path.name)
        head = _read_head(file, path.name)
    return _guard(path.name, lambda: _clip(path, head, layout))


def _guard(name: str, work: Callable[[], _Result]) -> _Result:
    """Do ``work`` on a parsed header; what it trips over becomes one line."""
    from pydicom.config import disable_value_validation

    try:
        with disable_value_validation():
            return work()
    except DicomFileError:
        raise
    except _PARSER_ERRORS as error:
        message = " ".join(str(error).split())[:160] or type(error).__name__
        raise DicomFileError(f"{name}: damaged header ({message}); get the file again from its source") from error


def _read_head(file: Any, name: str) -> Any:
    from pydicom import dcmread

    file.seek(0)
    return _guard(
        name,
        lambda: dcmread(file, stop_before_pixels=True, specific_tags=list(_READ_TAGS), defer_size="128 KB"),
    )


def _clip(path: Path, head: Any, layout: Any) -> Clip:
    sop_class = head.get("SOPClassUID")
    if sop_class is None or str(sop_class) not in _XRAY_CLASSES:
        kind = sop_class.name if sop_class is not None else "an object without a class"
        raise DicomFileError(f"{path.name}: {kind}, not an X-ray run; choose an XA, XRF or secondary capture file")
    form = _pixel_format(path.name, head)
    check_sizes(form, path.name)
    center, width = _window(head, form)
    times, rate_known = _frame_times(head, form.frames)
    intensity = str(head.get("PixelIntensityRelationship", "") or "")
    return Clip(
        path=path,
        rows=form.rows,
        columns=form.columns,
        frame_count=form.frames,
        bits_stored=form.bits_stored,
        frame_times_ms=times,
        rate_known=rate_known,
        intensity=PixelIntensity(intensity) if intensity in ("LIN", "LOG") else PixelIntensity.DISP,
        window_center=center,
        window_width=width,
        pitch_mm=_pitch(head),
        angles=_angles(head, form.frames),
        source_to_detector_mm=_positive(head.get("DistanceSourceToDetector")),
        source_to_patient_mm=_positive(head.get("DistanceSourceToPatient")),
        tube_voltage_kv=_positive(head.get("KVP")),
        patient_orientation=_orientation(head.get("PatientOrientation")),
        patient_name=_text(head.get("PatientName")),
        patient_id=_text(head.get("PatientID")),
        patient_position=_text(head.get("PatientPosition")),
        manufacturer=_text(head.get("Manufacturer")),
        model=_text(head.get("ManufacturerModelName")),
        description=_text(head.get("SeriesDescription")),
        sop_class_uid=str(sop_class),
        event_uid=_text(head.get("IrradiationEventUID")),
        store=FrameStore(path, layout, form),
    )


def _pixel_format(name: str, head: Any) -> PixelFormat:
    photometric = str(head.get("PhotometricInterpretation", ""))
    if int(head.get("SamplesPerPixel", 1)) != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise DicomFileError(f"{name}: {photometric or 'colour'} pixels; X-ray clips are monochrome, choose another")
    if int(head.get("PixelRepresentation", 0)) != 0:
        raise DicomFileError(f"{name}: signed pixels; X-ray clips are unsigned, choose another file")
    missing = [tag for tag in ("Rows", "Columns", "BitsAllocated", "BitsStored") if head.get(tag) is None]
    if missing:
        raise DicomFileError(f"{name}: header lacks {', '.join(missing)}; get the file again from its source")
    stored = int(head.BitsStored)
    frames = head.get("NumberOfFrames")
    return PixelFormat(
        rows=int(head.Rows),
        columns=int(head.Columns),
        frames=1 if frames is None or str(frames) == "" else int(frames),
        bits_allocated=int(head.BitsAllocated),
        bits_stored=stored,
        high_bit=int(head.get("HighBit", stored - 1)),
        small_is_bright=photometric == "MONOCHROME1",
    )


def _numbers(value: Any) -> list[float]:
    """Return the finite numbers of a decimal or integer string of any multiplicity; empty when one is not."""
    if value is None or value == "":
        return []
    values = value if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    numbers = [float(v) for v in values]
    return numbers if all(math.isfinite(v) for v in numbers) else []


def _positive(value: Any) -> float | None:
    numbers = _numbers(value)
    return numbers[0] if numbers and numbers[0] > 0.0 else None


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _orientation(value: Any) -> tuple[str, str] | None:
    """Return both directions, None unless each is one to three of the letters A P L R H F."""
    if value is None or isinstance(value, str) or len(value) != 2:
        return None
    right, bottom = (str(part).strip() for part in value)
    good = all(0 < len(part) <= 3 and set(part) <= set("APLRHF") for part in (right, bottom))
    return (right, bottom) if good else None


def _window(head: Any, form: PixelFormat) -> tuple[float, float]:
    center, width = _numbers(head.get("WindowCenter")), _numbers(head.get("WindowWidth"))
    if not center or not width or width[0] < 1.0:
        return (form.largest + 1) / 2.0, float(form.largest + 1)
    # The window is in stored values; turned pictures turn it too.
    return (form.largest - center[0] if form.small_is_bright else center[0]), width[0]


def _pitch(head: Any) -> float | None:
    spacing = _numbers(head.get("ImagerPixelSpacing"))
    if len(spacing) != 2 or spacing[0] <= 0.0 or not math.isclose(spacing[0], spacing[1], rel_tol=1e-3):
        return None
    return spacing[0]


def _frame_times(head: Any, frames: int) -> tuple[tuple[float, ...], bool]:
    """Return ms from the first frame, and whether the file said so (vector, time, rate, time of day)."""
    if frames == 1:
        return (0.0,), True
    vector = _numbers(head.get("FrameTimeVector"))
    if len(vector) == frames and all(0.0 < step <= _SLOWEST_FRAME_MS for step in vector[1:]):
        return tuple(accumulate(vector[1:], initial=0.0)), True
    step = _positive(head.get("FrameTime"))
    for rate_name in ("CineRate", "RecommendedDisplayFrameRate"):
        rate = _positive(head.get(rate_name))
        if step is None and rate is not None:
            step = 1000.0 / rate
    if step is not None and step <= _SLOWEST_FRAME_MS:
        return tuple(i * step for i in range(frames)), True
    times = _times_of_day(head, frames)
    if times:
        return times, True
    return tuple(i * 1000.0 / _UNKNOWN_RATE_HZ for i in range(frames)), False


def _times_of_day(head: Any, frames: int) -> tuple[float, ...]:
    """Return ms from the first frame by the acquisition times of an enhanced object, else nothing."""
    from pydicom.valuerep import DT

    groups = head.get("PerFrameFunctionalGroupsSequence") or []
    moments = []
    for group in groups:
        content = (group.get("FrameContentSequence") or [None])[0]
        text = content.get("FrameAcquisitionDateTime") if content is not None else None
        if not text:
            return ()
        moments.append(DT(str(text)))
    if len(moments) != frames:
        return ()
    steps = [(b - a).total_seconds() * 1000.0 for a, b in pairwise(moments)]
    if not all(0.0 < step <= _SLOWEST_FRAME_MS for step in steps):
        return ()
    return tuple(accumulate(steps, initial=0.0))


def _angles(head: Any, frames: int) -> tuple[ClipAngles, ...]:
    """Return the angles of every frame: start and increments (PS3.3 C.8.7.5.1.3), or functional groups."""
    primary, secondary = (
        _numbers(head.get("PositionerPrimaryAngle")),
        _numbers(head.get("PositionerSecondaryAngle")),
    )
    if not primary or not secondary:
        return _enhanced_angles(head, frames)
    first = _offsets(_numbers(head.get("PositionerPrimaryAngleIncrement")), frames)
    second = _offsets(_numbers(head.get("PositionerSecondaryAngleIncrement")), frames)
    return tuple(ClipAngles(primary[0] + a, secondary[0] + b) for a, b in zip(first, second, strict=True))


def _offsets(increments: list[float], frames: int) -> list[float]:
    if len(increments) == 1:
        return [i * increments[0] for i in range(frames)]
    return increments if len(increments) == frames else [0.0] * frames


def _enhanced_angles(head: Any, frames: int) -> tuple[ClipAngles, ...]:
    shared = list(head.get("SharedFunctionalGroupsSequence") or [])
    groups = list(head.get("PerFrameFunctionalGroupsSequence") or [])
    found = []
    for index in range(min(frames, len(groups)) if groups else 0):
        places = [groups[index], *shared]
        position = next((p["PositionerPositionSequence"][0] for p in places if "PositionerPositionSequence" in p), None)
        if position is None:
            return ()
        primary = _numbers(position.get("PositionerPrimaryAngle"))
        secondary = _numbers(position.get("PositionerSecondaryAngle"))
        if not primary or not secondary:
            return ()
        found.append(ClipAngles(primary[0], secondary[0]))
    return tuple(found) if len(found) == frames else ()
