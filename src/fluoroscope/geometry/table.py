"""The table and how the patient lies on it: from the equipment frame to patient coordinates."""

from dataclasses import dataclass
from enum import Enum

import numpy as np

__all__ = ["PatientPosition", "TablePose"]


class PatientPosition(Enum):
    """DICOM Patient Position (0018,5100): which end enters first, and the side the patient lies on."""

    HFS = "HFS"
    HFP = "HFP"
    HFDL = "HFDL"
    HFDR = "HFDR"
    FFS = "FFS"
    FFP = "FFP"
    FFDL = "FFDL"
    FFDR = "FFDR"


@dataclass(frozen=True, slots=True)
class TablePose:
    """Table shifts and turns from its zero, in the equipment frame.

    Attributes
    ----------
    lateral_mm
        Toward +x (the left of a head-first supine patient).
    longitudinal_mm
        Toward +z (the head end).
    height_mm
        Up (toward −y).
    tilt_deg, cradle_deg, yaw_deg
        Turns about x (head end up positive), z (the +x side up positive) and y (vertical), about the equipment origin.
    """

    lateral_mm: float = 0.0
    longitudinal_mm: float = 0.0
    height_mm: float = 0.0
    tilt_deg: float = 0.0
    cradle_deg: float = 0.0
    yaw_deg: float = 0.0

    def __post_init__(self) -> None:
        numbers = (
            self.lateral_mm, self.longitudinal_mm, self.height_mm, self.tilt_deg, self.cradle_deg, self.yaw_deg,
        )  # fmt: skip
        if not all(np.isfinite(numbers)):
            raise ValueError("table pose has a value that is not a finite number")
