"""What a plan aims at: the places a tip may end, the ways in, and which bone is in the way."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fluoroscope.guidance.planning.levels import SpineLevel
from fluoroscope.guidance.planning.procedures import Approach, Cone, ProcedurePlan
from fluoroscope.guidance.planning.spine import Axes, Spine
from fluoroscope.guidance.planning.surroundings import Surroundings

__all__ = ["Aim", "Case"]

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Case:
    """What is to be planned on one patient.

    Attributes
    ----------
    plan
        The procedure.
    level, side
        Where; "" when both sides, or the midline, are open.
    spine
        The patient's bones.
    around
        What lies around the level.
    names
        Structures by label number.
    """

    plan: ProcedurePlan
    level: SpineLevel
    side: str
    spine: Spine
    around: Surroundings
    names: Mapping[int, str]

    def axes(self, cone: Cone) -> Axes:
        """Return the axes a cone's angles are in."""
        if cone.frame == "patient":
            return Axes(*np.eye(3))
        if cone.frame == "disc" and self.level.kind == "space":
            return self.spine.space_axes(self.level)
        return self.spine.vertebra(self.level.upper).axes

    @property
    def sacrum_numbers(self) -> list[int]:
        """Label numbers of the sacrum and S1."""
        return [number for number, name in self.names.items() if name in ("sacrum", "vertebrae_S1")]

    def mask_named(self, name: str) -> NDArray[np.bool_]:
        """Return where a structure of this name lies."""
        wanted = [number for number, known in self.names.items() if known == name]
        return np.isin(self.around.numbers, wanted)

    def space_below(self, level: str) -> SpineLevel:
        """Return the space under a vertebra."""
        return SpineLevel("space", level, self.spine.below(level))

    def at_space(self, space: SpineLevel) -> "Case":
        """Return the same case at a space."""
        return replace(self, level=space)

    def sides(self, approach: Approach) -> tuple[str, ...]:
        """Return the sides to try: "" for the midline."""
        if not approach.sided:
            return ("",)
        return (self.side,) if self.side else ("left", "right")


@dataclass(frozen=True, slots=True)
class Aim:
    """Where tips may end, by one way in.

    Attributes
    ----------
    approach, side
        Names; side "" in the midline.
    points_mm
        (n, 3) places for the tip, LPS.
    axes, cone, sign
        The ways in allowed, the axes their angles are in, and +1 where they lean to the patient's left.
    zone
        Mask of the surroundings in which the tip may stand.
    bone
        Mask of the bone that must not be touched.
    through
        Mask the path has to run in from its first bone on; "" for none.
    ignore
        Structures of the procedure's and of the general ban that this target is part of.
    bone_name
        The vertebra aimed at where the level's word does not say it.
    warnings
        What to heed.
    """

    approach: str
    side: str
    points_mm: Float
    axes: Axes
    cone: Cone
    sign: float
    zone: str
    bone: str = "bone"
    through: str = ""
    ignore: tuple[str, ...] = ()
    bone_name: str = ""
    warnings: tuple[str, ...] = ()
