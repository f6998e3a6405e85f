"""Targets inside a vertebral body, reached through its pedicle."""

import numpy as np
from numpy.typing import NDArray

from fluoroscope.guidance.planning.aims import Aim, Case
from fluoroscope.guidance.planning.foramen_aims import Range, lattice, paint_zone
from fluoroscope.guidance.planning.spine import side_sign

__all__ = ["transpedicular_aims"]

Float = NDArray[np.float64]

_WALL_MM = 3.0
"""A tip in the body keeps this from its wall."""


def transpedicular_aims(case: Case) -> list[Aim]:
    """Return aims in a body by way of its pedicles: the front third near the midline, or its middle for a biopsy."""
    vertebra = case.spine.vertebra(case.level.upper)
    around = case.around
    own = around.numbers == vertebra.number
    around.masks["own_bone"] = own
    around.masks["other_bone"] = around.masks["bone"] & ~own
    w, d, h = vertebra.width_mm, vertebra.depth_mm, vertebra.height_mm
    deep: Range = (-0.36 * d, -0.20 * d, 0.08 * d)
    if case.plan.name == "vertebral-biopsy":
        deep = (-0.15 * d, 0.10 * d, 0.12 * d)
    aims = []
    for approach in case.plan.approaches:
        cone = approach.cone_for(case.level.name)
        for side in case.sides(approach):
            sign = side_sign(side)
            places = lattice(
                vertebra.center_mm, vertebra.axes, sign, (-0.02 * w, 0.24 * w, 0.06 * w), deep,
                (-0.2 * h, 0.2 * h, 0.2 * h),
            )  # fmt: skip
            places = places[around.depth_in_mm("own_bone", places) >= _WALL_MM]
            if len(places) == 0:
                continue
            name = f"body_{side}"
            paint_zone(around, name, places)
            aims.append(
                Aim(approach.name, side, places, case.axes(cone), cone, sign, name, bone="other_bone",
                    through="own_bone", ignore=("disc",))
            )  # fmt: skip
    if not aims:
        raise ValueError(f"{case.level.name}: no room in the body that keeps {_WALL_MM:.0f} mm from its walls")
    return aims
