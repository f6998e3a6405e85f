"""A bone of the modelled patient: a surface in its own frame, placed in the patient, and what it is made of."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.anatomy.solids import Solid
from fluoroscope.patient.parts import DiscJoint, Landmark

__all__ = ["Bone", "Canal", "Skeleton"]


@dataclass(frozen=True, slots=True)
class Bone:
    """One bone.

    Attributes
    ----------
    name
        A structure of ``data/structures.csv``: "vertebrae_L3", "sacrum", "hip_left", "rib_left_12" …
    solids
        Painted one after the other; together they are the bone. ``Solid.world_from_solid`` places each in the
        patient, and all of one bone move as one.
    frame
        What carries it: its own name for a vertebra, "sacrum" (never moves: the pelvis lies on the table) for
        sacrum, coccyx, hips and femora, "vertebrae_T11" or "vertebrae_T12" for ribs 11 and 12.
    """

    name: str
    solids: tuple[Solid, ...]
    frame: str


@dataclass(frozen=True, slots=True)
class Canal:
    """The spinal canal, from the head down to S3.

    Attributes
    ----------
    centers_mm
        (n, 3) along its middle, patient coordinates, at most 6 mm apart.
    half_width_mm, half_depth_mm
        (n,) of the bony canal.
    """

    centers_mm: NDArray[np.float64]
    half_width_mm: NDArray[np.float64]
    half_depth_mm: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Skeleton:
    """All bones at rest, and where the soft parts hang.

    Attributes
    ----------
    bones
        Every bone.
    frames
        ``world_from_vertebra`` (4, 4) by "vertebrae_L3" …, and of "sacrum" (origin in the middle of the S1
        endplate, z along its normal).
    joints
        Discs from the head down, the last "L5_S1" (or the lowest lumbar one).
    canal
        The spinal canal.
    landmarks
        Of the bones.
    """

    bones: tuple[Bone, ...]
    frames: dict[str, NDArray[np.float64]]
    joints: tuple[DiscJoint, ...]
    canal: Canal
    landmarks: dict[str, Landmark]
