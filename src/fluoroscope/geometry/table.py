"""The table and how the patient lies on it: from the equipment frame to patient coordinates."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fluoroscope.geometry.rigid import Matrix, inverse, rotation, translation

__all__ = ["PatientPosition", "TablePose", "equipment_from_table", "patient_from_equipment"]


class PatientPosition(Enum):
    """DICOM Patient Position (0018,5100): which end enters first, and the side the patient lies on.

    Head first (HF): the head is at the equipment's +z end; feet first (FF): the feet are. S supine, P prone,
    DL lying on the left side (left side down), DR on the right side.
    """

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

    The nesting and signs are those of the table of DICOM PS3.3 C.8.19.6.13.1.3 (height alone is reversed:
    DICOM counts down as positive): the shifts move the table's reference point, which is the equipment origin
    when they are 0, along the equipment's axes; the table turns about that point, cradle innermost, then
    tilt, then yaw outermost.

    Attributes
    ----------
    lateral_mm
        Toward +x (the left of a head-first supine patient).
    longitudinal_mm
        Toward +z (the head end).
    height_mm
        Up (toward −y).
    tilt_deg, cradle_deg, yaw_deg
        Turns about x (head end up positive), z (the +x side up positive) and y (vertical; positive swings the
        head end toward +x, clockwise seen from the ceiling), about the table's reference point.
    """

    lateral_mm: float = 0.0
    longitudinal_mm: float = 0.0
    height_mm: float = 0.0
    tilt_deg: float = 0.0
    cradle_deg: float = 0.0
    yaw_deg: float = 0.0

    def __post_init__(self) -> None:
        numbers = (
            self.lateral_mm,
            self.longitudinal_mm,
            self.height_mm,
            self.tilt_deg,
            self.cradle_deg,
            self.yaw_deg,
        )
        if not all(np.isfinite(numbers)):
            raise ValueError("table pose has a value that is not a finite number")


_ROWS: dict[PatientPosition, tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]]] = {
    # Rows: the patient's left, posterior and head directions in the equipment frame.
    PatientPosition.HFS: ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    PatientPosition.HFP: ((-1, 0, 0), (0, -1, 0), (0, 0, 1)),
    PatientPosition.HFDL: ((0, 1, 0), (-1, 0, 0), (0, 0, 1)),
    PatientPosition.HFDR: ((0, -1, 0), (1, 0, 0), (0, 0, 1)),
    PatientPosition.FFS: ((-1, 0, 0), (0, 1, 0), (0, 0, -1)),
    PatientPosition.FFP: ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
    PatientPosition.FFDL: ((0, 1, 0), (1, 0, 0), (0, 0, -1)),
    PatientPosition.FFDR: ((0, -1, 0), (-1, 0, 0), (0, 0, -1)),
}


def _turn(position: PatientPosition) -> NDArray[np.float64]:
    return np.array(_ROWS[position], dtype=np.float64)


def equipment_from_table(table: TablePose) -> Matrix:
    """Return how the table moved: rigid (4, 4), the identity at zero.

    ``T(lateral, −height, longitudinal) · Ry(yaw) · Rx(tilt) · Rz(−cradle)``, right-handed turns about the
    equipment's axes, so that a turned table is shifted along the room's axes and not its own (DICOM PS3.17
    FFF.1.2.4).
    """
    shift = translation((table.lateral_mm, -table.height_mm, table.longitudinal_mm))
    yaw = rotation((0.0, 1.0, 0.0), table.yaw_deg)
    tilt = rotation((1.0, 0.0, 0.0), table.tilt_deg)
    cradle = rotation((0.0, 0.0, 1.0), -table.cradle_deg)
    return shift @ yaw @ tilt @ cradle


def patient_from_equipment(
    table: TablePose, position: PatientPosition, reference_mm: ArrayLike = (0.0, 0.0, 0.0)
) -> Matrix:
    """Return the rigid (4, 4) from the equipment frame to patient coordinates (LPS).

    ``T(reference) · R(position) · inverse(equipment_from_table)``: the patient lies on the table and moves
    with it.

    Parameters
    ----------
    table
        Where the table stands.
    position
        How the patient lies; the turn of each position is exact (entries 0 and ±1).
    reference_mm
        (3,) the patient's point, LPS mm, that lies at the equipment origin when the table stands at zero.

    Raises
    ------
    ValueError
        When ``reference_mm`` is not three finite numbers.
    """
    reference = np.asarray(reference_mm, dtype=np.float64)
    if reference.shape != (3,) or not np.all(np.isfinite(reference)):
        raise ValueError(f"reference_mm must be three finite numbers (LPS, mm), got {reference_mm!r}")
    lying = np.eye(4)
    lying[:3, :3] = _turn(position)
    return translation(reference) @ lying @ inverse(equipment_from_table(table))
