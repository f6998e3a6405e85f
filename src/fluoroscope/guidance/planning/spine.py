"""The bones a plan is made by: every vertebra's axes and points, every disc, from the patient's landmarks."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.guidance.planning.levels import SpineLevel
from fluoroscope.patient.level_names import LEVELS
from fluoroscope.patient.opened import Patient
from fluoroscope.patient.parts import DiscJoint, Landmark

__all__ = ["Axes", "Spine", "VertebraPlace", "side_sign", "spine_of"]

Float = NDArray[np.float64]


def side_sign(side: str) -> float:
    """Return +1 for the patient's left (LPS x grows to the left), −1 for the right."""
    return 1.0 if side == "left" else -1.0


@dataclass(frozen=True, slots=True)
class Axes:
    """Directions of a bone or a space, unit vectors (3,) in patient LPS: to its left, its back, its head end."""

    left: Float
    back: Float
    head: Float

    def out(self, lateral_deg: float, cranial_deg: float, sign: float) -> Float:
        """Return the way from a target out to the skin: straight back, then turned to one side and to the head."""
        a, b = np.deg2rad([lateral_deg, cranial_deg])
        way: Float = np.cos(b) * (np.cos(a) * self.back + sign * np.sin(a) * self.left) + np.sin(b) * self.head
        return way

    def angles_deg(self, out: Float, sign: float) -> tuple[Float, Float]:
        """Return lateral and cranial angles of ways out (n, 3): the inverse of `out`."""
        lateral = np.degrees(np.arctan2(sign * (out @ self.left), out @ self.back))
        cranial = np.degrees(np.arcsin(np.clip(out @ self.head, -1.0, 1.0)))
        return lateral, cranial


@dataclass(frozen=True, slots=True)
class VertebraPlace:
    """One vertebra's axes and the points a plan hangs on, LPS mm.

    Attributes
    ----------
    level, number
        "L3", and its number in the label map.
    axes
        Of its body.
    center_mm
        (3,) middle of the body.
    upper, lower
        Endplates' rims by "anterior", "posterior", "left", "right".
    pedicle_mm
        Middle of each pedicle by side.
    spinous_tip_mm
        (3,), None where the label shows none.
    width_mm, depth_mm, height_mm
        Of the body.
    """

    level: str
    number: int
    axes: Axes
    center_mm: Float
    upper: Mapping[str, Float]
    lower: Mapping[str, Float]
    pedicle_mm: Mapping[str, Float]
    spinous_tip_mm: Float | None
    width_mm: float
    depth_mm: float
    height_mm: float

    @property
    def scale(self) -> float:
        """Size against a vertebra with a body 45 mm wide."""
        return self.width_mm / 45.0


@dataclass(frozen=True, slots=True)
class Spine:
    """A patient's vertebrae and discs.

    Attributes
    ----------
    vertebrae
        By level, from the head down.
    discs
        By name, "L3-L4".
    sigma_mm
        Largest uncertainty (one standard deviation) of the landmarks used.
    """

    vertebrae: Mapping[str, VertebraPlace]
    discs: Mapping[str, DiscJoint]
    sigma_mm: float

    def vertebra(self, level: str) -> VertebraPlace:
        """Return a vertebra; ValueError when the patient has none or it is cut off."""
        found = self.vertebrae.get(level)
        if found is None:
            raise ValueError(
                f"level {level}: not found whole in this patient; there are {', '.join(self.vertebrae) or 'none'}"
            )
        return found

    def below(self, level: str) -> str:
        """Return the name of what lies under a vertebra: the next vertebra, or S1."""
        joint = next((name for name in self.discs if name.startswith(f"{level}-")), None)
        if joint is None:
            raise ValueError(f"level {level}: what lies below it is not seen in this patient")
        return joint.partition("-")[2]

    def disc(self, level: SpineLevel) -> DiscJoint:
        """Return the disc of a space; ValueError when the patient has no such space."""
        found = self.discs.get(level.name)
        if found is None:
            raise ValueError(
                f"level {level.name}: this patient has no such space, or it is cut off; there are "
                f"{', '.join(self.discs) or 'none'}"
            )
        return found

    def space_axes(self, level: SpineLevel) -> Axes:
        """Return the directions of a space: those of its disc."""
        turn = self.disc(level).world_from_disc[:3, :3]
        return Axes(turn[:, 0].copy(), turn[:, 1].copy(), turn[:, 2].copy())


def spine_of(patient: Patient, numbers: Mapping[str, int]) -> Spine:
    """Return the spine of a patient.

    Parameters
    ----------
    patient
        With labels and landmarks.
    numbers
        Label number of every vertebra by level.

    Raises
    ------
    ValueError
        When nothing of a spine was found: a CT without labels.
    """
    if patient.labels is None or patient.articulation is None or not patient.articulation.landmarks:
        raise ValueError(
            f"{patient.record.name}: has no labelled vertebrae to plan by; give the labels of this CT (--labels)"
        )
    marks = patient.articulation.landmarks
    found = {}
    for level in LEVELS:
        if level in numbers and (place := _vertebra(level, numbers[level], marks)) is not None:
            found[level] = place
    discs = {joint.name.replace("_", "-"): joint for joint in patient.articulation.joints}
    sigma = max((mark.uncertainty_mm for mark in marks.values()), default=0.0)
    return Spine(found, discs, sigma)


_RIM = ("anterior", "posterior", "left", "right")


def _vertebra(level: str, number: int, marks: Mapping[str, Landmark]) -> VertebraPlace | None:
    """Return a vertebra's place; None when landmarks are missing."""

    def at(name: str) -> Float | None:
        mark = marks.get(f"{level}/{name}")
        return None if mark is None else np.array(mark.position_mm, dtype=np.float64)

    upper = {rim: place for rim in _RIM if (place := at(f"superior_endplate_{rim}")) is not None}
    lower = {rim: place for rim in _RIM if (place := at(f"inferior_endplate_{rim}")) is not None}
    pedicles = {side: place for side in ("left", "right") if (place := at(f"pedicle_{side}")) is not None}
    if len(upper) < 4 or len(lower) < 4 or len(pedicles) < 2:
        return None
    left = _unit(upper["left"] - upper["right"] + lower["left"] - lower["right"])
    back = upper["posterior"] - upper["anterior"] + lower["posterior"] - lower["anterior"]
    back = _unit(back - (back @ left) * left)
    head = np.cross(left, back)
    top, bottom = (sum(rims.values(), np.zeros(3)) / 4.0 for rims in (upper, lower))
    return VertebraPlace(
        level, number, Axes(left, back, head), (top + bottom) / 2.0, upper, lower, pedicles, at("spinous_tip"),
        0.5 * float(np.linalg.norm(upper["left"] - upper["right"]) + np.linalg.norm(lower["left"] - lower["right"])),
        0.5 * float(np.linalg.norm(upper["posterior"] - upper["anterior"])
                    + np.linalg.norm(lower["posterior"] - lower["anterior"])),
        float(np.linalg.norm(top - bottom)),
    )  # fmt: skip


def _unit(vector: Float) -> Float:
    unit: Float = vector / np.linalg.norm(vector)
    return unit
