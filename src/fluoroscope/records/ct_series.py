"""A volume as a DICOM CT series: one CT Image Storage object a slice (PS3.3 A.3), the same bytes every time."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from fluoroscope.patient.stored import Progress, silent
from fluoroscope.patient.volume import Volume
from fluoroscope.records.identity import SIMULATED_TEXT, ExamIdentity
from fluoroscope.records.uids import derived_uid
from fluoroscope.records.whole_file import whole_file
from fluoroscope.records.writing import decimal, exam_modules, file_meta, set_time

__all__ = ["CTDescription", "ct_slices", "write_ct_series"]


@dataclass(frozen=True, slots=True)
class CTDescription:
    """What a series says of itself.

    Attributes
    ----------
    exam
        Whose it is; the series' UIDs derive from its study UID.
    simulated
        False for the copy of a real CT.
    comments
        Image Comments, at most 10 240 characters.
    """

    exam: ExamIdentity
    simulated: bool = True
    comments: str = SIMULATED_TEXT

    @property
    def series_description(self) -> str:
        """Series Description, at most 64 characters."""
        return "SIMULATED CT, synthetic, not for clinical use" if self.simulated else "CT, exported copy"

    @property
    def frame_of_reference_uid(self) -> str:
        """Frame of Reference UID, of everything in the volume's coordinates."""
        return derived_uid(self.exam.study_uid, "frame of reference")


def ct_slices(volume: Volume, about: CTDescription) -> list[Dataset]:
    """Return the slices' data sets from the first along the volume's axis 0 on, without pixels.

    Raises
    ------
    ValueError
        When the volume is not int16.
    """
    if volume.values.dtype != np.int16:
        raise ValueError(f"a CT holds HU as int16, got {volume.values.dtype}")
    return [_slice(volume, about, number) for number in range(volume.values.shape[0])]


def write_ct_series(
    folder: Path, volume: Volume, about: CTDescription, progress: Progress | None = None
) -> list[Dataset]:
    """Write a volume as ``0001.dcm`` … into a folder.

    Parameters
    ----------
    folder
        Made when it is not there.
    volume
        int16 HU; its axis 0 becomes the stack, axis 1 the rows, axis 2 the columns.
    about
        Identity and words.
    progress
        Told the fraction written.

    Returns
    -------
    list of Dataset
        What was written, without pixels; a segmentation refers to it.

    Raises
    ------
    ValueError
        When the volume is not int16.
    OSError
        When the folder cannot be written.
    """
    report = progress or silent
    slices = ct_slices(volume, about)
    folder.mkdir(parents=True, exist_ok=True)
    for number, header in enumerate(slices):
        written = Dataset(header)
        pixels = np.ascontiguousarray(volume.values[number]).astype("<i2", copy=False)
        written.add_new(0x7FE00010, "OW", pixels.tobytes())
        path = folder / f"{number + 1:04d}.dcm"
        meta = file_meta(CTImageStorage, header.SOPInstanceUID, ExplicitVRLittleEndian)
        with whole_file(path) as file:
            FileDataset(str(path), written, file_meta=meta, preamble=b"\0" * 128).save_as(
                file, enforce_file_format=True
            )
        report((number + 1) / len(slices), "writing DICOM slices")
    return slices


def _slice(volume: Volume, about: CTDescription, number: int) -> Dataset:
    exam = about.exam
    dataset = exam_modules(exam)
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = derived_uid(exam.study_uid, "ct", str(number))
    dataset.InstanceNumber = number + 1
    _set_age(dataset, exam)
    _set_series(dataset, about)
    _set_image(dataset, about, exam.started)
    _set_plane(dataset, volume, number)
    return dataset


def _set_age(dataset: Dataset, exam: ExamIdentity) -> None:
    born = exam.patient.birth_date
    if born is not None:
        dataset.PatientAge = f"{max(0, (exam.started.date() - born).days) // 365:03d}Y"


def _set_series(dataset: Dataset, about: CTDescription) -> None:
    exam = about.exam
    dataset.Modality = "CT"
    dataset.SeriesInstanceUID = derived_uid(exam.study_uid, "ct series")
    dataset.SeriesNumber = 1
    dataset.SeriesDescription = about.series_description
    dataset.BodyPartExamined = exam.anatomy.value
    dataset.PatientPosition = exam.position.value
    dataset.FrameOfReferenceUID = about.frame_of_reference_uid
    dataset.PositionReferenceIndicator = ""
    set_time(dataset, "Series", exam.started)


def _set_image(dataset: Dataset, about: CTDescription, moment: datetime) -> None:
    dataset.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
    dataset.ImageComments = about.comments
    set_time(dataset, "Content", moment)
    dataset.AcquisitionNumber = 1
    dataset.KVP = None
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = 16
    dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 1
    dataset.RescaleIntercept = decimal(0.0)
    dataset.RescaleSlope = decimal(1.0)
    dataset.RescaleType = "HU"
    # A window for bone, as viewers of the spine use.
    dataset.WindowCenter = decimal(400.0)
    dataset.WindowWidth = decimal(1800.0)


def _set_plane(dataset: Dataset, volume: Volume, number: int) -> None:
    spacing = volume.spacing_mm
    unit = volume.world_from_index[:3, :3] / spacing
    corner = volume.world_from_index[:3, 3] + volume.world_from_index[:3, 0] * number
    dataset.Rows, dataset.Columns = volume.values.shape[1:]
    dataset.PixelSpacing = [decimal(spacing[1]), decimal(spacing[2])]
    dataset.SliceThickness = decimal(spacing[0])
    dataset.SpacingBetweenSlices = decimal(spacing[0])
    dataset.ImageOrientationPatient = [decimal(value) for value in (*unit[:, 2], *unit[:, 1])]
    dataset.ImagePositionPatient = [decimal(round(float(value), 9)) for value in corner]
    along = np.cross(unit[:, 2], unit[:, 1])
    dataset.SliceLocation = decimal(round(float(corner @ along), 6))
