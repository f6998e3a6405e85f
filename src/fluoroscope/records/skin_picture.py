"""The unrolled skin as an image that keeps its doses: Secondary Capture, 16 bits, mGy by its rescale slope."""

import copy
import hashlib
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from fluoroscope.records.report_subject import ReportSubject
from fluoroscope.records.uids import derived_uid
from fluoroscope.records.whole_file import whole_file
from fluoroscope.records.writing import decimal, file_meta

__all__ = ["skin_picture_series", "write_skin_picture"]

_LARGEST = 65535


def skin_picture_series(study_uid: str) -> str:
    """Return the Series Instance UID of skin dose pictures of a study."""
    return derived_uid(study_uid, "series", "skin dose map")


def write_skin_picture(
    path: Path, subject: ReportSubject, dose_mgy: NDArray[np.float64], words: str, made: datetime
) -> str:
    """Write the dose of every cell.

    Parameters
    ----------
    path
        The file appears there only when it is whole.
    subject
        Whose skin.
    dose_mgy
        (rows, columns), head first, columns from the back over the patient's left: 0 and above, finite.
    words
        What the picture shows, for its Derivation Description.
    made
        When, aware.

    Returns
    -------
    str
        SOP Instance UID, the same for the same doses.

    Raises
    ------
    ValueError
        When a dose is negative or not finite.
    OSError
        When the file cannot be written; nothing half-written is left.
    """
    if dose_mgy.ndim != 2 or not (np.isfinite(dose_mgy).all() and dose_mgy.min(initial=0.0) >= 0.0):
        raise ValueError("a skin dose picture needs rows and columns of doses of 0 mGy and above")
    peak = float(dose_mgy.max(initial=0.0))
    slope = decimal(peak / _LARGEST if peak > 0.0 else 1.0)
    pixels = np.clip(np.rint(dose_mgy / float(slope)), 0, _LARGEST).astype("<u2")
    digest = hashlib.sha256(pixels.tobytes() + str(slope).encode()).hexdigest()
    uid = derived_uid(subject.study_uid, "skin dose map", digest)
    dataset = copy.deepcopy(subject.modules)
    dataset.file_meta = file_meta(SecondaryCaptureImageStorage, uid, ExplicitVRLittleEndian)
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = uid
    dataset.Modality = "OT"
    dataset.ConversionType = "WSD"
    dataset.SeriesInstanceUID = skin_picture_series(subject.study_uid)
    dataset.SeriesNumber = 9003
    dataset.SeriesDescription = f"Skin dose map: {subject.statement}"[:64]
    dataset.InstanceNumber = 1
    dataset.BodyPartExamined = "WHOLEBODY"  # without a part, Laterality would be asked for
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    subject.set_time(dataset, "Series", made)
    subject.set_time(dataset, "Content", made)
    dataset.PatientOrientation = ""
    dataset.DerivationDescription = words
    dataset.ImageComments = subject.statement
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = dose_mgy.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = 0
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = slope, decimal(0.0), "US"
    dataset.VOILUTFunction = "LINEAR_EXACT"  # LINEAR wants windows of 1 and more, and 1 mGy is much
    dataset.WindowCenter, dataset.WindowWidth = decimal(peak / 2.0), decimal(max(peak, 1e-6))
    dataset.PixelData = pixels.tobytes()
    with whole_file(path) as file:
        dcmwrite(file, dataset, enforce_file_format=True)
    return uid
