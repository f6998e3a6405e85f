"""Ribs 9 to 12: flattened bars swept from their vertebra round the trunk and down.

Rib 11 is about 190 mm long, rib 12 120 mm (20 to 200 mm in the population), both fall by 45 to 50° (guidance 6.3,
unverified). Ribs 9 and 10 are drawn as far as the side of the trunk.
"""

import itertools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.anatomy.bone import Bone
from fluoroscope.patient.anatomy.solids import Solid, bar
from fluoroscope.patient.anatomy.structures import structure

__all__ = ["RIB_LENGTH_MM", "rib_bones", "rib_path"]

RIB_LENGTH_MM: Mapping[int, float] = {9: 270.0, 10: 250.0, 11: 190.0, 12: 120.0}
_FALL_DEG: Mapping[int, float] = {9: 36.0, 10: 40.0, 11: 45.0, 12: 48.0}
CORTEX_HU, CORTEX_MM, INSIDE_HU = 900.0, 0.9, 160.0
_STEP_MM, _CLEARANCE_MM = 9.0, 1.2
_TRUNK_MM = (128.0, 92.0)
"""Half width and half depth of the cage at the lower ribs, for a body of average height."""


def rib_path(
    number: int, side: float, world_from_vertebra: NDArray[np.float64], body_mm: tuple[float, float], scale: float
) -> NDArray[np.float64]:
    """Return places (n, 3) along a rib in the patient, from its head to its tip.

    Parameters
    ----------
    number
        9 to 12.
    side
        +1 left, −1 right.
    world_from_vertebra
        (4, 4) of its vertebra.
    body_mm
        Half width and half depth of that vertebra's body.
    scale
        Of the trunk against an average adult's.
    """
    wide, deep = body_mm
    head = np.array([side * (wide + 5.5 * scale), 0.55 * deep, 4.0 * scale, 1.0])
    origin = world_from_vertebra[:3, 3]
    a, b = _TRUNK_MM[0] * scale, _TRUNK_MM[1] * scale
    center = origin + np.array([0.0, 32.0 * scale - b, 0.0])
    points = [(world_from_vertebra @ head)[:3]]
    # The neck runs out to where the cage is reached, 36 mm beside the midline.
    turn = float(np.arcsin(38.0 * scale / a))
    angle_of = center + np.array([side * a * np.sin(turn), b * np.cos(turn), 0.0])
    points.append(np.array([angle_of[0], angle_of[1], points[0][2] - 7.0 * scale]))
    fall = np.radians(_FALL_DEG[number])
    left = RIB_LENGTH_MM[number] * scale - float(np.linalg.norm(points[1] - points[0]))
    z = points[1][2]
    while left > 0.0:
        step = min(_STEP_MM, left)
        flat = step * np.cos(fall)
        turn += flat / float(np.hypot(a * np.cos(turn), b * np.sin(turn)))
        z -= step * np.sin(fall)
        points.append(np.array([center[0] + side * a * np.sin(turn), center[1] + b * np.cos(turn), z]))
        left -= step
    return np.array(points)


def _cleared(points: NDArray[np.float64], radius_mm: float, solids: tuple[Solid, ...]) -> NDArray[np.float64]:
    """Move places away from bones until a rib of this radius does not touch them."""
    moved = points.copy()
    small = 0.2 * np.eye(3)
    for _ in range(12):
        distance = np.min([one.distance(moved) for one in solids], axis=0)
        lack = radius_mm + _CLEARANCE_MM - distance
        if (lack <= 0.0).all():
            break
        slopes = [np.min([one.distance(moved + d) for one in solids], axis=0) - distance for d in small]
        slope = np.stack(slopes, axis=1)
        slope = slope / (np.linalg.norm(slope, axis=1, keepdims=True) + 1e-9)
        moved = moved + np.maximum(lack, 0.0)[:, np.newaxis] * slope
    return moved


def rib_bones(
    number: int,
    world_from_vertebra: NDArray[np.float64],
    body_mm: tuple[float, float],
    scale: float,
    *,
    frame: str,
    clear_of: tuple[Solid, ...],
) -> list[Bone]:
    """Return the pair of ribs of one number; arguments as in `rib_path`.

    Parameters
    ----------
    number, world_from_vertebra, body_mm, scale
        As in `rib_path`.
    frame
        What carries them.
    clear_of
        Bones they must not touch.
    """
    bones = []
    for side, word in ((1.0, "left"), (-1.0, "right")):
        name = f"rib_{word}_{number}"
        high, thick = (5.4 if number == 12 else 6.4) * scale, 3.3 * scale
        coarse = _cleared(rib_path(number, side, world_from_vertebra, body_mm, scale), high, clear_of)
        middles = _cleared(0.5 * (coarse[:3] + coarse[1:4]), high, clear_of)
        path = np.vstack([coarse[0], middles[0], coarse[1], middles[1], coarse[2], middles[2], coarse[3:]])
        taper = np.interp(np.arange(len(path)), [0, 2, len(path) - 1], [0.85, 1.0, 0.55])
        rows = [
            bar(p, q, (0.0, 0.15 * side, 1.0), (f * high, f * thick), (g * high, g * thick), roundness=0.9)
            for (p, f), (q, g) in itertools.pairwise(zip(path, taper, strict=True))
        ]
        label = structure(name).label
        solid = Solid(np.array(rows), INSIDE_HU, CORTEX_HU, CORTEX_MM, 1.5 * scale, label, cut_mm=1.0)
        bones.append(Bone(name, (solid,), frame))
    return bones
