"""Runs and stored images as X-Ray Angiographic Images (1.2.840.10008.5.1.4.1.1.12.1), JPEG-LS lossless.

Frames are coded one at a time straight into the file: a run of any length needs the memory of one frame.
"""

import itertools
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import JPEGLSLossless, XRayAngiographicImageStorage

from fluoroscope.acquisition.frame import Collimation, open_pixels
from fluoroscope.beam.technique import RadiationMode
from fluoroscope.geometry.table import PatientPosition
from fluoroscope.records.coding import Coder, code_frame
from fluoroscope.records.contents import XARun
from fluoroscope.records.identity import ExamIdentity
from fluoroscope.records.uids import derived_uid
from fluoroscope.records.whole_file import whole_file
from fluoroscope.records.writing import code_item, decimal, exam_modules, file_meta, set_time

__all__ = ["XARun", "collimator_edges", "write_xa"]

# Frame times this near to the pulse grid are the grid: the clock's own jitter, not a change of rate.
_GRID_TOLERANCE_MS = 1.0
# Explicit VR writes the length of a decimal string in 16 bits.
_LONGEST_DS_BYTES = 0xFFFE
_LARGEST_BASIC_OFFSET = 0xFFFFFFFF
_STORED_IMAGES_SERIES = 9000
# The coder's buffer is twice the raw size, too small for the headers of a smaller picture.
_SMALLEST_FRAME_PIXELS = 64
_STILL_MOVE_DEG, _STILL_MOVE_MM = 0.05, 0.05
# +1 where the patient's left is toward +x of the equipment frame; decubitus: left is up or down, no sign.
_LEFT_SIGN = {
    PatientPosition.HFS: 1.0,
    PatientPosition.HFP: -1.0,
    PatientPosition.FFS: -1.0,
    PatientPosition.FFP: 1.0,
}


def write_xa(
    path: Path,
    frames: Iterable[NDArray[np.uint16]],
    run: XARun,
    exam: ExamIdentity,
    *,
    coder: Coder = code_frame,
) -> str:
    """Write a run, or a stored image, as one XA file.

    Parameters
    ----------
    path
        Where to; the file appears there only when it is whole.
    frames
        uint16 (rows, columns), all of one shape, as many as ``run.acquired_ns``; taken one at a time. Larger
        is brighter (more X-ray).
    run
        What is known of them.
    exam
        Patient, study and machine.
    coder
        Makes JPEG-LS of a frame; while X-ray may come, give a `CoderProcess`.

    Returns
    -------
    str
        SOP Instance UID.

    Raises
    ------
    ValueError
        When the frames are not as said.
    OSError
        When the file cannot be written; nothing half-written is left.
    """
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None:
        raise ValueError("a run needs at least one frame; the frames given hold none")
    shape = _checked(first, None, 0).shape
    dataset = _header(run, exam, shape)
    with whole_file(path) as file:
        dcmwrite(file, dataset, enforce_file_format=True)
        writer = _Encapsulated(file, len(run.acquired_ns), shape)
        checked = (_checked(f, shape, i) for i, f in enumerate(itertools.chain([first], iterator)))
        for frame in checked:
            writer.add(coder(frame))
        writer.finish()
    return run.sop_instance_uid


def collimator_edges(collimation: Collimation, shape: tuple[int, ...], pitch_mm: float) -> tuple[int, int, int, int]:
    """Return the 1-based left column, right column, upper row and lower row of the open field.

    The first and last open pixels (PS3.3 C.8.7.3). Ours count from 0, DICOM's from 1: the two meet here.
    """
    rows, columns = shape
    first_row, end_row, first_column, end_column = open_pixels(collimation, rows, columns, pitch_mm)
    # A field without an open pixel still has edges within the picture.
    return min(first_column + 1, columns), max(end_column, 1), min(first_row + 1, rows), max(end_row, 1)


def _checked(frame: NDArray[np.uint16], shape: tuple[int, ...] | None, index: int) -> NDArray[np.uint16]:
    if frame.dtype != np.uint16 or frame.ndim != 2:
        raise ValueError(f"frame {index} is {frame.dtype} {frame.shape}; frames are uint16 (rows, columns)")
    if shape is not None and frame.shape != shape:
        raise ValueError(f"frame {index} is {frame.shape}, the first was {shape}; a run has one size")
    if not all(1 <= n <= 65535 for n in frame.shape):
        raise ValueError(f"frame {index} is {frame.shape}; DICOM holds 1 to 65535 rows and columns")
    if frame.size < _SMALLEST_FRAME_PIXELS:
        raise ValueError(f"frame {index} is {frame.shape}; the coder needs {_SMALLEST_FRAME_PIXELS} pixels")
    return frame


class _Encapsulated:
    """Writes the pixel data: a reserved offset table, a fragment per frame, then the table filled in."""

    def __init__(self, file: BinaryIO, count: int, shape: tuple[int, ...]) -> None:
        self._file = file
        self._count = count
        self._offsets: list[int] = []
        self._lengths: list[int] = []
        # JPEG-LS never grows a frame by more than a few per cent.
        worst = count * (shape[0] * shape[1] * 2 * 5 // 4 + 1024)
        self._extended = worst > _LARGEST_BASIC_OFFSET
        self._table_at = file.tell()
        if self._extended:
            for element in (0x0001, 0x0002):
                file.write(struct.pack("<HH2sHI", 0x7FE0, element, b"OV", 0, 8 * count) + bytes(8 * count))
        file.write(struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF))
        basic_bytes = 0 if self._extended else 4 * count
        file.write(struct.pack("<HHI", 0xFFFE, 0xE000, basic_bytes))
        if not self._extended:
            self._table_at = file.tell()
        file.write(bytes(basic_bytes))
        self._first_item = file.tell()

    def add(self, coded: bytes) -> None:
        """Write one coded frame."""
        if len(self._offsets) == self._count:
            raise ValueError(f"more frames than the {self._count} times of acquisition given")
        self._offsets.append(self._file.tell() - self._first_item)
        self._lengths.append(len(coded))
        self._file.write(struct.pack("<HHI", 0xFFFE, 0xE000, len(coded) + len(coded) % 2))
        self._file.write(coded)
        self._file.write(b"\0" * (len(coded) % 2))

    def finish(self) -> None:
        """End the element and fill in the offset table."""
        if len(self._offsets) != self._count:
            raise ValueError(f"{len(self._offsets)} frames, but {self._count} times of acquisition were given")
        self._file.write(struct.pack("<HHI", 0xFFFE, 0xE0DD, 0))
        end = self._file.tell()
        if self._extended:
            self._file.seek(self._table_at + 12)
            self._file.write(np.array(self._offsets, dtype="<u8").tobytes())
            self._file.seek(12, 1)
            self._file.write(np.array(self._lengths, dtype="<u8").tobytes())
        else:
            self._file.seek(self._table_at)
            self._file.write(np.array(self._offsets, dtype="<u4").tobytes())
        self._file.seek(end)


def _header(run: XARun, exam: ExamIdentity, shape: tuple[int, ...]) -> Dataset:
    dataset = exam_modules(exam)
    dataset.file_meta = file_meta(XRayAngiographicImageStorage, run.sop_instance_uid, JPEGLSLossless)
    dataset.SOPClassUID = XRayAngiographicImageStorage
    dataset.SOPInstanceUID = run.sop_instance_uid
    _series_and_image(dataset, run, exam)
    _pixels(dataset, run, shape)
    _acquisition(dataset, run, shape)
    _cine(dataset, run, exam)
    _positioner(dataset, run)
    _table(dataset, run, exam.position)
    return dataset


def xa_series(study_uid: str, event_number: int, *, still: bool) -> str:
    """Return the Series Instance UID of a run, or of the stored images of an exam."""
    return derived_uid(study_uid, "series", "stored images" if still else f"run {event_number}")


def _series_and_image(dataset: Dataset, run: XARun, exam: ExamIdentity) -> None:
    event, still = run.event, run.image_number > 0
    dataset.Modality = "XA"
    title = "Stored" if still else f"Run {event.number}"
    dataset.SeriesInstanceUID = xa_series(exam.study_uid, event.number, still=still)
    dataset.SeriesNumber = _STORED_IMAGES_SERIES if still else event.number
    dataset.InstanceNumber = run.image_number or 1
    dataset.AcquisitionNumber = event.number
    dataset.SeriesDescription = f"{title}: {exam.statement}"[:64]
    set_time(dataset, "Series", exam.started if still else event.started)
    set_time(dataset, "Acquisition", event.started)
    set_time(dataset, "Content", event.started)
    dataset.PatientPosition = exam.position.value
    dataset.PatientOrientation = list(run.orientation) if run.orientation else ""
    dataset.ImageType = ["DERIVED" if run.derivation else "ORIGINAL", "PRIMARY", "SINGLE PLANE"]
    derivation = f"; {run.derivation}" if run.derivation else ""
    dataset.DerivationDescription = f"{exam.statement}{derivation}"
    dropped = f"; {event.dropped_pulses} late pulses dropped" if event.dropped_pulses else ""
    dataset.ImageComments = f"{exam.statement}{dropped}"
    code, meaning = exam.anatomy.snomed
    dataset.BodyPartExamined = exam.anatomy.value
    dataset.AnatomicRegionSequence = [code_item(code, "SCT", meaning)]
    dataset.IrradiationEventUID = event.uid


def _pixels(dataset: Dataset, run: XARun, shape: tuple[int, ...]) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = 0
    dataset.PixelIntensityRelationship = run.intensity.value
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
    dataset.WindowCenter = decimal(run.window_center)
    dataset.WindowWidth = decimal(run.window_width)


def _acquisition(dataset: Dataset, run: XARun, shape: tuple[int, ...]) -> None:
    event = run.event
    mode = event.technique.mode if event.technique else RadiationMode.FLUOROSCOPY
    dataset.RadiationSetting = "GR" if mode is RadiationMode.ACQUISITION else "SC"
    dataset.RadiationMode = "PULSED"
    kv, ma, width_ms = event.mean_tube_voltage_kv, event.mean_tube_current_ma, event.mean_pulse_width_ms
    dataset.KVP = decimal(round(kv, 3)) if kv is not None else None
    dataset.ImageAndFluoroscopyAreaDoseProduct = decimal(event.kap_gy_cm2 * 10.0)  # dGy·cm²
    time_ms = event.beam_on_time_s * 1000.0
    dataset.ExposureTime = round(time_ms)
    dataset.ExposureTimeInuS = decimal(time_ms * 1000.0)
    dataset.XRayTubeCurrent = None if ma is None else round(ma)
    if ma is not None:
        dataset.XRayTubeCurrentInuA = decimal(ma * 1000.0)
        # The integer of mAs rounds fluoroscopy to 0, the one of µAs does not.
        dataset.Exposure = round(ma * time_ms / 1000.0)
        dataset.ExposureInuAs = round(ma * time_ms)
    if width_ms is not None:
        dataset.AveragePulseWidth = decimal(width_ms)
    if run.pitch_mm is not None:
        dataset.ImagerPixelSpacing = [decimal(run.pitch_mm), decimal(run.pitch_mm)]
        if event.collimation is not None:
            left, right, upper, lower = collimator_edges(event.collimation, shape, run.pitch_mm)
            dataset.CollimatorShape = "RECTANGULAR"
            dataset.CollimatorLeftVerticalEdge, dataset.CollimatorRightVerticalEdge = left, right
            dataset.CollimatorUpperHorizontalEdge, dataset.CollimatorLowerHorizontalEdge = upper, lower


def _cine(dataset: Dataset, run: XARun, exam: ExamIdentity) -> None:
    count = len(run.acquired_ns)
    if count == 1:
        return  # NumberOfFrames 1 without a frame increment is an error in viewers' eyes
    dataset.NumberOfFrames = count
    elapsed_ms = (np.array(run.acquired_ns, dtype=np.int64) - run.acquired_ns[0]) / 1e6
    period_ms = 1000.0 / run.event.pulse_rate_hz
    if np.abs(elapsed_ms - period_ms * np.arange(count)).max() <= _GRID_TOLERANCE_MS:
        dataset.FrameIncrementPointer = 0x00181063
        dataset.FrameTime = decimal(round(period_ms, 6))
        if float(run.event.pulse_rate_hz).is_integer():  # both are integers: 7.5 per second does not fit
            dataset.RecommendedDisplayFrameRate = dataset.CineRate = int(run.event.pulse_rate_hz)
        return
    vector = _step_vector(elapsed_ms)
    if vector is not None:
        dataset.FrameIncrementPointer = 0x00181065
        dataset.FrameTimeVector = vector
        return
    dataset.FrameIncrementPointer = 0x00181063
    dataset.FrameTime = decimal(round(float(elapsed_ms[-1]) / (count - 1), 6))
    dataset.ImageComments += "; frame times vary, Frame Time is their mean: too many frames for a vector"


def _step_vector(elapsed: NDArray[np.float64]) -> list[str] | None:
    """Return 0 and the steps between rising times, with as many decimals (3 to 0) as a DS value holds."""
    for decimals in (3, 2, 1, 0):
        # Differences of rounded times, not rounded differences: rounding must not add up.
        scaled = np.rint(elapsed * 10.0**decimals)
        steps = np.diff(scaled, prepend=scaled[0]) / 10.0**decimals
        texts = [f"{step:.{decimals}f}" for step in steps]
        if sum(len(text) + 1 for text in texts) <= _LONGEST_DS_BYTES:
            return texts
    return None


def _decimal_vector(values: NDArray[np.float64]) -> list[str] | None:
    """Return ``values`` with as many decimals (3 to 0) as an explicit-VR decimal string holds, else None."""
    for decimals in (3, 2, 1, 0):
        texts = [f"{value + 0.0:.{decimals}f}" for value in values]
        if sum(len(text) + 1 for text in texts) <= _LONGEST_DS_BYTES and max(map(len, texts)) <= 16:
            return texts
    return None


def _positioner(dataset: Dataset, run: XARun) -> None:
    pose = run.event.first_pose
    if pose is not None:
        dataset.DistanceSourceToDetector = decimal(pose.source_to_detector_mm)
        dataset.DistanceSourceToPatient = decimal(pose.source_to_isocenter_mm)
        magnification = pose.source_to_detector_mm / pose.source_to_isocenter_mm
        dataset.EstimatedRadiographicMagnificationFactor = decimal(magnification)
    first = run.angles[0] if run.angles else None
    dataset.PositionerPrimaryAngle = decimal(round(first.primary_deg, 4)) if first else None
    dataset.PositionerSecondaryAngle = decimal(round(first.secondary_deg, 4)) if first else None
    if len(run.acquired_ns) == 1:
        return
    primary = np.unwrap([a.primary_deg for a in run.angles], period=360.0) if run.angles else np.zeros(1)
    secondary = np.array([a.secondary_deg for a in run.angles]) if run.angles else np.zeros(1)
    moved = np.ptp(primary) > _STILL_MOVE_DEG or np.ptp(secondary) > _STILL_MOVE_DEG
    dataset.PositionerMotion = "DYNAMIC" if moved else ("STATIC" if run.angles else "")
    if moved:  # increments of a standing C-arm are an error
        dataset.PositionerPrimaryAngleIncrement = _increments(primary)
        dataset.PositionerSecondaryAngleIncrement = _increments(secondary)


def _increments(values: NDArray[np.float64]) -> list[str] | str:
    """Return offsets from the first value, one per frame (PS3.3 C.8.7.5.1.3); the mean step when too many."""
    vector = _decimal_vector(values - values[0])
    return vector if vector is not None else str(decimal(round(float(values[-1] - values[0]) / (len(values) - 1), 9)))


def _table(dataset: Dataset, run: XARun, position: PatientPosition) -> None:
    """Table motion. DICOM's names are those of an operator at the table's side: longitudinal is across it.

    Longitudinal is positive toward the patient's left (primary +90), lateral toward the head (secondary +90)
    (PS3.3 C.8.7.4.1), vertical downward.
    """
    if not run.tables or len(run.acquired_ns) == 1:
        dataset.TableMotion = "STATIC" if run.tables else ""
        return
    shifts = np.array([(t.lateral_mm, t.longitudinal_mm, t.height_mm) for t in run.tables])
    moved = bool(np.ptp(shifts, axis=0).max() > _STILL_MOVE_MM)
    dataset.TableMotion = "DYNAMIC" if moved else "STATIC"
    dataset.TableAngle = decimal(round(run.tables[0].tilt_deg, 4))
    if not moved:
        return
    head_sign = 1.0 if position.value.startswith("HF") else -1.0
    left_sign = _LEFT_SIGN.get(position)
    dataset.TableVerticalIncrement = _increments(-shifts[:, 2])
    dataset.TableLongitudinalIncrement = _increments(left_sign * shifts[:, 0]) if left_sign is not None else None
    dataset.TableLateralIncrement = _increments(head_sign * shifts[:, 1])
