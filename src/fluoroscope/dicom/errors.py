"""What every reader of foreign DICOM files raises."""

__all__ = ["DicomFileError"]


class DicomFileError(ValueError):
    """A DICOM file that cannot be used; the message is one line: what, where, what to do."""
