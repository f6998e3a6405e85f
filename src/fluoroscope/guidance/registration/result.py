"""What registration is told to begin with, and what it answers."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.rigid import Matrix

__all__ = ["Click", "Registration", "Start"]


class Start(Enum):
    """How good the pose to begin with is.

    NEAR: within about 5° and 8 mm. FAR: within about 10° and 15 mm. NOTHING: the turn is known to about 10° (angles
    of the C-arm, how the patient lies), the place is not.
    """

    NEAR = "near"
    FAR = "far"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Click:
    """A start from a pixel of the vertebra in one view.

    Attributes
    ----------
    row, column
        Pixel of about the middle of the vertebra.
    view
        Which of the views, from 0.
    """

    row: float
    column: float
    view: int = 0


@dataclass(frozen=True, slots=True)
class Registration:
    """Where a vertebra is, how sure that is, or why it is not known.

    Attributes
    ----------
    level
        Which bone.
    equipment_from_ct
        Rigid (4, 4). Not to be shown as an overlay where `success` is False.
    similarity
        −1 to 1, of the last stage: mean over the views.
    covariance
        (6, 6), turns (deg) then shifts (mm), along the first view's axes at the vertebra's centre: growing columns,
        growing rows, away from the source along the ray.
    sigma_in_plane_mm
        One standard deviation of the centre's place in the first view's plane, the larger of its two axes.
    sigma_depth_mm
        One standard deviation of the centre's place along the first view's ray.
    success
        Whether the pose can be trusted.
    reason
        One line: why not; "" when it can.
    evaluations
        DRRs rendered.
    time_s
        Wall time.
    view_similarity
        Of each view.
    """

    level: str
    equipment_from_ct: Matrix
    similarity: float
    covariance: NDArray[np.float64]
    sigma_in_plane_mm: float
    sigma_depth_mm: float
    success: bool
    reason: str
    evaluations: int
    time_s: float
    view_similarity: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        self.equipment_from_ct.setflags(write=False)
        self.covariance.setflags(write=False)
