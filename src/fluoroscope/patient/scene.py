"""What stands in the beam at one moment: the patient's parts and the instruments."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.volume import BasisVolume

__all__ = ["Body", "Cylinder", "MovingScene", "Rod", "Scene", "SceneTruth", "Shape", "Sphere"]

Point = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Body:
    """A rigid voxel part: the resting patient, or one vertebra moved by ``world_from_body`` (4, 4)."""

    name: str
    volume: BasisVolume
    world_from_body: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))


@dataclass(frozen=True, slots=True)
class Cylinder:
    """A straight solid rod with flat ends (needle, wire, marker); ``basis`` is its (water, bone) per mm of path."""

    start_mm: Point
    end_mm: Point
    radius_mm: float
    basis: tuple[float, float]

    def as_rod(self) -> "Rod":
        """Return the same as a `Rod`."""
        return Rod(self.start_mm, self.end_mm, self.radius_mm, self.radius_mm, self.basis)


@dataclass(frozen=True, slots=True)
class Rod:
    """A round rod that may taper and whose ends may be cut at any tilt: bevelled tips, mitred joints of a bent wire.

    Hollow by a second rod of the opposite basis inside it.

    Attributes
    ----------
    start_mm, end_mm
        Ends of the axis; each lies in its end plane.
    start_radius_mm, end_radius_mm
        At the ends of the axis, linear between them and beyond, as far as the end planes.
    basis
        (water, bone) per mm of path; negative takes away.
    start_normal, end_normal
        Normals of the end planes, any length and sign; None for a square end.
    """

    start_mm: Point
    end_mm: Point
    start_radius_mm: float
    end_radius_mm: float
    basis: tuple[float, float]
    start_normal: Point | None = None
    end_normal: Point | None = None


@dataclass(frozen=True, slots=True)
class Sphere:
    """A solid ball (marker); ``basis`` is its (water, bone) per mm of path."""

    center_mm: Point
    radius_mm: float
    basis: tuple[float, float]


Shape = Cylinder | Rod | Sphere
"""Anything whose shadow is known exactly."""


@dataclass(frozen=True, slots=True)
class SceneTruth:
    """What a scene knows of itself and no algorithm may see; only the virtual C-arm passes it on.

    Attributes
    ----------
    frames
        ``world_from_rest`` (4, 4) by frame name; the identity as the patient rests.
    landmarks_mm
        (x, y, z) LPS at this moment, by landmark name.
    needles
        What each instrument knows of itself, JSON-ready or a dataclass of such.
    contrast
        Contrast medium, JSON-ready: volumes by place.
    motion
        State of the movement, JSON-ready: breathing, bending, traction.
    """

    frames: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    landmarks_mm: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    needles: tuple[object, ...] = ()
    contrast: Mapping[str, object] = field(default_factory=dict)
    motion: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything in the beam at one moment, in patient coordinates. Line integrals of its parts add.

    ``truth`` is None for a scene that knows nothing but its bodies.
    """

    bodies: tuple[Body, ...]
    shapes: tuple[Shape, ...] = ()
    truth: SceneTruth | None = None


class MovingScene(Protocol):
    """A scene as a function of time."""

    def at(self, time_s: float) -> Scene:
        """Return the scene ``time_s`` seconds after the exam began; unchanged parts are the same objects."""
        ...
