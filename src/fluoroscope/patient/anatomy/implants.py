"""Pedicle screws and rods of a previous fusion: titanium solids that belong to the vertebra they sit in."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.anatomy.bone import Bone
from fluoroscope.patient.anatomy.distances import BAR
from fluoroscope.patient.anatomy.solids import Solid, bar
from fluoroscope.patient.anatomy.structures import structure

__all__ = ["Screw", "fused", "pedicle_screw_axis", "screw_solid"]

METAL_HU = 3000.0
SCREW_RADIUS_MM, SCREW_LENGTH_MM, HEAD_RADIUS_MM, ROD_RADIUS_MM = 3.25, 45.0, 6.0, 2.75
"""Of common lumbar screws (6.5 x 45 mm) and rods (5.5 mm); unverified."""
_WALL_MM, _LEAST_RADIUS_MM = 0.5, 2.0
"""Bone left around a screw in its pedicle; the thinnest screw there is (4 mm)."""
_ISTHMUS_MM, _BODY_HALF_MM = 8.5, 24.0
"""From the front end of a modelled pedicle to its narrowest place; half the width of a body a full screw fits."""
PEDICLE_ROWS = {1.0: 1, -1.0: 7}
"""Which shape of a vertebra is its pedicle, by side."""

Screw = tuple[NDArray[np.float64], NDArray[np.float64], float]
"""Where its head is and where its tip (3,), in the patient, and the radius of its shaft in mm."""


def pedicle_screw_axis(bone: Bone, side: float) -> Screw:
    """Return the screw that fits a vertebra's pedicle: as deep in bone as it can be, as thick as that allows.

    Raises
    ------
    ValueError
        When the bone has no pedicle of the modelled kind.
    """
    solid = bone.solids[0]
    row = solid.shapes[PEDICLE_ROWS[side]]
    if row[0] != BAR:
        raise ValueError(f"{bone.name} has no pedicle to put a screw into")
    along, across = row[4:7], row[7:10]
    isthmus = row[1:4] + _ISTHMUS_MM * along
    # Nearly level, so that it ends in the middle of the body.
    outward = along * np.array([1.0, 1.0, 0.35])
    outward = outward / np.linalg.norm(outward)
    turn, shift = solid.world_from_solid[:3, :3], solid.world_from_solid[:3, 3]
    best, depth = isthmus, -np.inf
    for aside, down in itertools.product((0.0, 1.0, 2.0, 3.0), (0.0, 1.2, 2.4, 3.6, 4.8)):
        place = isthmus + aside * across - down * np.array([0.0, 0.0, 1.0])
        line = place + np.linspace(-6.0, 6.0, 13)[:, np.newaxis] * outward
        buried = -float(solid.distance(line @ turn.T + shift).max())
        if buried > depth + 1e-6:
            best, depth = place, buried
    line = best + np.arange(0.0, 24.0, 0.5)[:, np.newaxis] * outward
    outside = solid.distance(line @ turn.T + shift) > 0.0
    entry = line[int(np.argmax(outside))] if outside.any() else line[-1]
    tip = entry - SCREW_LENGTH_MM * solid.shapes[0, 1:3].mean() / _BODY_HALF_MM * outward
    radius = float(np.clip(depth - _WALL_MM, _LEAST_RADIUS_MM, SCREW_RADIUS_MM))
    return turn @ entry + shift, turn @ tip + shift, radius


def screw_solid(screw: Screw) -> Solid:
    """Return a polyaxial screw: a shaft that tapers to its tip and a head."""
    head, tip, radius = screw
    across = np.cross(tip - head, (0.0, 0.0, 1.0))
    back = head + 9.0 * (head - tip) / np.linalg.norm(head - tip)
    rows = [
        bar(head, tip, across, (radius, radius), (0.7 * radius, 0.7 * radius)),
        bar(head, back, across, (HEAD_RADIUS_MM, HEAD_RADIUS_MM), roundness=0.4),
    ]
    return Solid(np.array(rows), METAL_HU, label=structure("implant").label)


def fused(bones: Sequence[Bone], names: Sequence[str], sacral_screws: Sequence[Screw]) -> tuple[Bone, ...]:
    """Put screws into the bones named, from the head down, and rods between them.

    Parameters
    ----------
    bones
        All bones.
    names
        Those that are fused, at least two; the last may be "sacrum".
    sacral_screws
        Left and right screw of the sacrum, used when it is fused.
    """
    by_name = {bone.name: bone for bone in bones}
    added: dict[str, list[Solid]] = {name: [] for name in names}
    for number, side in enumerate((1.0, -1.0)):
        screws = [
            sacral_screws[number] if name == "sacrum" else pedicle_screw_axis(by_name[name], side) for name in names
        ]
        for name, screw in zip(names, screws, strict=True):
            added[name].append(screw_solid(screw))
        saddles = [head + 6.0 * (head - tip) / np.linalg.norm(head - tip) for head, tip, _ in screws]
        for name, upper, lower in zip(names, saddles, saddles[1:], strict=False):
            over = 6.0 * (upper - lower) / np.linalg.norm(upper - lower)
            rod = bar(upper + over, lower - over, (1.0, 0.0, 0.0), (ROD_RADIUS_MM, ROD_RADIUS_MM))
            added[name].append(Solid(rod[np.newaxis], METAL_HU, label=structure("implant").label))
    return tuple(
        replace(bone, solids=(*bone.solids, *added[bone.name])) if bone.name in added else bone for bone in bones
    )
