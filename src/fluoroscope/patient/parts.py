"""A patient of rigid parts: what the projector adds up, what carries each part, and the joints between vertebrae.

At rest the parts add up to the patient's own basis volume. A movable part holds the *excess* of its tissue over
what the part below it has in the same place (bone over soft tissue, gas over bowel wall), so it may be negative:
where it moves away, the tissue it stood in closes behind it, and line integrals stay sums of rigid volumes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.volume import BasisVolume

__all__ = ["REST", "Articulation", "DiscJoint", "Landmark", "Part"]

REST = "table"
"""The frame of everything that lies still on the table."""


@dataclass(frozen=True, slots=True)
class Part:
    """A rigid voxel part.

    Attributes
    ----------
    name
        Structure or region: "base", "vertebrae_L3", "disc_L3_L4", "liver", "slab_3" …; one of a kind.
    volume
        Signed excess, placed as the patient rests (LPS mm).
    frame
        Name of the frame that carries it; `REST` for what never moves.
    """

    name: str
    volume: BasisVolume
    frame: str = REST


@dataclass(frozen=True, slots=True)
class DiscJoint:
    """A disc between two vertebrae (or L5 and the sacrum): the joint of the spine's chain.

    Attributes
    ----------
    name
        "L3_L4", upper first; the lowest is "L5_S1".
    upper, lower
        Frames it joins: "vertebrae_L3", "vertebrae_L4" or "sacrum".
    world_from_disc
        (4, 4) as the patient rests: origin in the middle of the disc, x to the patient's left, y to the back,
        z toward the head along the disc's own axis.
    width_mm, depth_mm
        Across (x) and along (y).
    anterior_mm, posterior_mm
        Heights at rest.
    degeneration
        0 (healthy) to 1 (collapsed): less height, stiffer.
    fused
        Held by screws and rods: neither bends nor opens.
    """

    name: str
    upper: str
    lower: str
    world_from_disc: NDArray[np.float64]
    width_mm: float
    depth_mm: float
    anterior_mm: float
    posterior_mm: float
    degeneration: float = 0.0
    fused: bool = False


@dataclass(frozen=True, slots=True)
class Landmark:
    """A named point of the patient.

    Attributes
    ----------
    name
        "L3/pedicle_left", "L3/superior_endplate_anterior", "sacrum/promontory", "skin/L3" …
    position_mm
        (3,) LPS mm as the patient rests.
    frame
        What it moves with.
    uncertainty_mm
        0 where it is exact (a modelled patient), else one standard deviation.
    """

    name: str
    position_mm: tuple[float, float, float]
    frame: str = REST
    uncertainty_mm: float = 0.0


@dataclass(frozen=True, slots=True)
class Articulation:
    """How a patient can move.

    Attributes
    ----------
    parts
        Add up to the patient at rest; "base" first.
    joints
        From the head down. Empty for a patient who cannot bend.
    landmarks
        By name.
    """

    parts: tuple[Part, ...]
    joints: tuple[DiscJoint, ...] = ()
    landmarks: Mapping[str, Landmark] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [part.name for part in self.parts]
        if len(set(names)) < len(names):
            raise ValueError("two parts of a patient have one name")
        object.__setattr__(self, "landmarks", MappingProxyType(dict(self.landmarks)))
