"""How a C-arm's joints nest: from joint values to where the C stands, and back.

The C itself has a frame (x, y, z) = (u, −d, −v): columns of the picture, toward the source, up the picture. A
mounting turns and shifts that frame out of the equipment frame. All turns are right-handed about the
equipment's axes (y down).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.pose import BeamAxes
from fluoroscope.geometry.rigid import rotation

__all__ = ["CeilingMounted", "Mounting", "SideStanding", "Stance"]

_X, _Y, _Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
_SINGULAR = 1e-9


def _turn(axis: tuple[float, float, float], angle_deg: float) -> NDArray[np.float64]:
    return rotation(axis, angle_deg)[:3, :3]


def _deg(sine: float, cosine: float) -> float:
    return float(np.rad2deg(np.arctan2(sine, cosine)))


@dataclass(frozen=True, slots=True)
class Stance:
    """Where the C stands: ``turned`` (3, 3), equipment from C (columns u, −d, −v); isocentre (3,), mm."""

    turned: NDArray[np.float64]
    isocenter_mm: NDArray[np.float64]

    @property
    def axes(self) -> BeamAxes:
        """The beam's axes in the equipment frame."""
        u, minus_d, minus_v = self.turned.T
        return BeamAxes(d=-minus_d, u=u, v=-minus_v)


class Mounting(Protocol):
    """The nesting of one kind of C-arm."""

    def stance(self, joints: Mapping[str, float]) -> Stance:
        """Return where the C stands; degrees and mm by joint name."""
        ...

    def solutions(self, stance: Stance, near: Mapping[str, float], match_roll: bool) -> list[dict[str, float]]:
        """Return every set of joint values that gives ``stance``, angles up to whole turns.

        Without ``match_roll`` the outermost turning joint stays as in ``near`` and the roll is left to the
        nesting. Where two joints turn about the same line, the free one stays as in ``near``. ``height`` is
        given even when the mounting has no such joint.
        """
        ...


@dataclass(frozen=True, slots=True)
class SideStanding:
    """A mobile C-arm on a column at the patient's side.

    From the floor to the C: cart (longitudinal) → column (height) → wig-wag about the column → cross-arm
    (lateral) → tilt about the cross-arm → orbital, the C sliding in its holder. ``turned = Ry(wig_wag) ·
    Rx(−tilt) · Rz(orbital)``.

    Attributes
    ----------
    column_to_isocenter_mm
        From the column's axis, which stands on the −x side, to the isocentre at lateral 0.
    """

    column_to_isocenter_mm: float

    def stance(self, joints: Mapping[str, float]) -> Stance:
        """Return where the C stands."""
        swing = _turn(_Y, joints["wig_wag"])
        turned = swing @ _turn(_X, -joints["tilt"]) @ _turn(_Z, joints["orbital"])
        column = np.array([-self.column_to_isocenter_mm, -joints["height"], joints["longitudinal"]])
        reach = np.array([self.column_to_isocenter_mm + joints["lateral"], 0.0, 0.0])
        return Stance(turned, column + swing @ reach)

    def solutions(self, stance: Stance, near: Mapping[str, float], match_roll: bool) -> list[dict[str, float]]:
        """Return the two sets of joint values that give ``stance``."""
        if match_roll:
            turns = self._turns_with_roll(stance, near)
        else:
            turns = self._turns_of_direction(stance, near)
        return [{**turn, **self._shifts(stance.isocenter_mm, turn["wig_wag"])} for turn in turns]

    def _turns_of_direction(self, stance: Stance, near: Mapping[str, float]) -> list[dict[str, float]]:
        d = _turn(_Y, -near["wig_wag"]) @ stance.axes.d
        across = float(np.hypot(d[1], d[2]))
        tilt = _deg(d[2], -d[1]) if across > _SINGULAR else near["tilt"]
        orbital = _deg(d[0], across)
        return [
            {"orbital": orbital, "tilt": tilt, "wig_wag": near["wig_wag"]},
            {"orbital": 180.0 - orbital, "tilt": tilt + 180.0, "wig_wag": near["wig_wag"]},
        ]

    def _turns_with_roll(self, stance: Stance, near: Mapping[str, float]) -> list[dict[str, float]]:
        up = stance.turned[:, 2]
        across = float(np.hypot(up[0], up[2]))
        tilt = _deg(up[1], across)
        wig_wag = _deg(up[0], up[2]) if across > _SINGULAR else near["wig_wag"]
        slid = _turn(_X, tilt) @ _turn(_Y, -wig_wag) @ stance.turned
        orbital = _deg(slid[1, 0], slid[0, 0])
        return [
            {"orbital": orbital, "tilt": tilt, "wig_wag": wig_wag},
            {"orbital": orbital + 180.0, "tilt": 180.0 - tilt, "wig_wag": wig_wag + 180.0},
        ]

    def _shifts(self, isocenter_mm: NDArray[np.float64], wig_wag_deg: float) -> dict[str, float]:
        angle = np.deg2rad(wig_wag_deg)
        reach = (isocenter_mm[0] + self.column_to_isocenter_mm) / np.cos(angle)
        return {
            "height": float(-isocenter_mm[1]),
            "lateral": float(reach - self.column_to_isocenter_mm),
            "longitudinal": float(isocenter_mm[2] + reach * np.sin(angle)),
        }


@dataclass(frozen=True, slots=True)
class CeilingMounted:
    """A ceiling gantry of an angiography room.

    From the ceiling to the C: carriage (longitudinal, lateral) → L-arm (swivel about the vertical through the
    isocentre; 0 at the head end) → rotation of the holder → angulation, the C sliding in its holder. ``turned
    = Ry(swivel) · Rz(rotation) · Rx(−angulation)``: with swivel 0 the joints are the equipment angles and the
    picture has no roll.
    """

    def stance(self, joints: Mapping[str, float]) -> Stance:
        """Return where the C stands."""
        turned = _turn(_Y, joints["swivel"]) @ _turn(_Z, joints["rotation"]) @ _turn(_X, -joints["angulation"])
        return Stance(turned, np.array([joints["lateral"], 0.0, joints["longitudinal"]]))

    def solutions(self, stance: Stance, near: Mapping[str, float], match_roll: bool) -> list[dict[str, float]]:
        """Return the two sets of joint values that give ``stance``."""
        turns = self._turns_with_roll(stance, near) if match_roll else self._turns_of_direction(stance, near)
        lateral, down, longitudinal = (float(part) for part in stance.isocenter_mm)
        return [{**turn, "lateral": lateral, "longitudinal": longitudinal, "height": -down} for turn in turns]

    @staticmethod
    def _turns_of_direction(stance: Stance, near: Mapping[str, float]) -> list[dict[str, float]]:
        d = _turn(_Y, -near["swivel"]) @ stance.axes.d
        across = float(np.hypot(d[0], d[1]))
        rotate = _deg(d[0], -d[1]) if across > _SINGULAR else near["rotation"]
        angulate = _deg(d[2], across)
        return [
            {"rotation": rotate, "angulation": angulate, "swivel": near["swivel"]},
            {"rotation": rotate + 180.0, "angulation": 180.0 - angulate, "swivel": near["swivel"]},
        ]

    @staticmethod
    def _turns_with_roll(stance: Stance, near: Mapping[str, float]) -> list[dict[str, float]]:
        u = stance.axes.u
        across = float(np.hypot(u[0], u[2]))
        rotate = _deg(u[1], across)
        swivel = _deg(-u[2], u[0]) if across > _SINGULAR else near["swivel"]
        slid = _turn(_Z, -rotate) @ _turn(_Y, -swivel) @ stance.turned
        angulate = _deg(slid[1, 2], slid[1, 1])
        return [
            {"rotation": rotate, "angulation": angulate, "swivel": swivel},
            {"rotation": 180.0 - rotate, "angulation": angulate + 180.0, "swivel": swivel + 180.0},
        ]
