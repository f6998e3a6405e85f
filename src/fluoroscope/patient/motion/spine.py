"""The spine as a chain on the sacrum: how each level shares a bend, about which point it turns, and how it opens."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.rigid import Matrix, inverse, rotation, translation
from fluoroscope.patient.motion.traction import Opening
from fluoroscope.patient.parts import REST, DiscJoint

__all__ = [
    "SOFT_SLABS",
    "JointAngles",
    "JointRange",
    "body_centers",
    "chain_frames",
    "half_way",
    "joint_ranges",
    "soft_frames",
    "soft_hats",
    "soft_heights",
    "soft_name",
    "turned",
]

SOFT_SLABS = 3
"""Slabs of soft tissue a level: neighbours differ by a third of what two vertebrae do, so no outline is doubled."""


@dataclass(frozen=True, slots=True)
class JointRange:
    """How far one joint goes, and its rhythm.

    Attributes
    ----------
    flexion_deg, extension_deg
        From rest, both positive.
    side_deg
        To either side.
    coupled_axial
        Axial rotation (right-handed about the axis to the head) per degree of side bending to the left.
    """

    flexion_deg: float
    extension_deg: float
    side_deg: float
    coupled_axial: float


_FLEXION_EXTENSION_DEG = {
    "L2_L3": 10.7,
    "L3_L4": 10.0,
    "L4_L5": 8.2,
    "L5_S1": 6.8,
}
"""Whole range by level, adults with back pain (BMC Musculoskelet Disord 7:45, table 5)."""
_HIGHER_DEG = 9.0
"""Levels the table does not have (L1-L2 and up, transitional ones), unverified."""
_SIDE_DEG = {"L1_L2": 5.0, "L2_L3": 5.0, "L3_L4": 5.0, "L4_L5": 3.0, "L5_S1": 1.5}
"""To one side: about 10, 6 and 3 degrees from side to side at L1 to L4, L4-L5 and L5-S1 (Pearcy and Tibrewal, Spine
1984;9:582-587, abstract); levels above as L1-L2."""
_COUPLED = {"L4_L5": -0.05, "L5_S1": 0.1}
"""Axial per side bending: bodies turn away from the side bent to, L4-L5 is transitional, L5-S1 goes the other way
(same; amounts from specimens, 1.5 per 3.0 degrees at T12-L1 down to 0.2 at L5-S1, PMID 19369752, and assumed)."""
_COUPLED_HIGHER = -0.2
_FLEXION_PART = 0.7
"""Part of the range that is flexion for a patient who lies extended (unverified)."""
_LEVEL_MM = 35.0
"""A lumbar body with its disc (unverified): only places the middle of the topmost."""
_CENTER_BACK, _CENTER_DOWN = 0.15, 0.5
"""Centre of rotation: behind the middle of the disc by 0.15 of its depth, at the endplate below (Pearcy and Bogduk,
Spine 1988;13:1033-1041, who plot it for every level; the place given here, in the posterior half at or just under the
lower vertebra's endplate, is unverified)."""


@dataclass(frozen=True, slots=True)
class JointAngles:
    """Where one joint stands, deg: flexion and bending to the left are positive; axial follows from bending."""

    flexion_deg: float
    side_deg: float
    axial_deg: float


def joint_ranges(joints: tuple[DiscJoint, ...]) -> tuple[JointRange, ...]:
    """Return how far each joint goes: degeneration takes up to 0.6 of it (unverified), fusion all."""
    ranges = []
    for joint in joints:
        loose = 0.0 if joint.fused else 1.0 - 0.6 * joint.degeneration
        whole = _FLEXION_EXTENSION_DEG.get(joint.name, _HIGHER_DEG) * loose
        side = _SIDE_DEG.get(joint.name, _SIDE_DEG["L1_L2"]) * loose
        coupled = _COUPLED.get(joint.name, _COUPLED_HIGHER)
        ranges.append(JointRange(_FLEXION_PART * whole, (1.0 - _FLEXION_PART) * whole, side, coupled))
    return tuple(ranges)


def turned(rotation_deg: NDArray[np.float64]) -> Matrix:
    """Return the rotation about the origin by a rotation vector (3,), deg."""
    angle_deg = float(np.linalg.norm(rotation_deg))
    return np.eye(4) if angle_deg == 0.0 else rotation(rotation_deg, angle_deg)


def half_way(moved: Matrix, rotation_deg: NDArray[np.float64]) -> Matrix:
    """Return the half screw of a motion with this rotation vector: done twice it is the motion."""
    half = turned(0.5 * rotation_deg)
    half[:3, 3] = np.linalg.solve(np.eye(3) + half[:3, :3], moved[:3, 3])
    return half


def joint_motion(joint: DiscJoint, angles: JointAngles, open_by: Opening) -> tuple[Matrix, Matrix]:
    """Return how the upper side of a disc moves against its lower side, and half of it, in the disc's own axes."""
    height_mm = 0.5 * (joint.anterior_mm + joint.posterior_mm)
    center_mm = np.array([0.0, _CENTER_BACK * joint.depth_mm, -_CENTER_DOWN * height_mm])
    # Opening more behind than in front tips the upper side forward, about the disc's middle.
    tip_deg = math.degrees((open_by.posterior_mm - open_by.anterior_mm) / joint.depth_mm)
    turn_deg = np.array([angles.flexion_deg + tip_deg, angles.side_deg, angles.axial_deg])
    moved = turned(turn_deg)
    bent_deg = np.array([angles.flexion_deg, angles.side_deg, angles.axial_deg])
    bent = turned(bent_deg)[:3, :3]
    moved[:3, 3] = center_mm - bent @ center_mm + np.array([0.0, 0.0, open_by.middle_mm])
    return moved, half_way(moved, turn_deg)


def chain_frames(
    joints: tuple[DiscJoint, ...], angles: Mapping[str, JointAngles], openings: Mapping[str, Opening]
) -> dict[str, Matrix]:
    """Return ``world_from_rest`` (4, 4) of every vertebra and disc; what the lowest joint stands on is at rest.

    Parameters
    ----------
    joints
        From the head down.
    angles, openings
        By joint name.
    """
    frames: dict[str, Matrix] = {}
    for joint in reversed(joints):
        below = frames.setdefault(joint.lower, np.eye(4))
        moved, half = joint_motion(joint, angles[joint.name], openings[joint.name])
        at, back = below @ joint.world_from_disc, inverse(joint.world_from_disc)
        if not np.array_equal(moved, np.eye(4)):
            frames[joint.upper] = at @ moved @ back
            frames[f"disc_{joint.name}"] = at @ half @ back
        else:
            # Exactly, so that what rests is known to rest.
            frames[joint.upper] = below
            frames[f"disc_{joint.name}"] = below
    frames[REST] = np.eye(4)
    return frames


def body_centers(joints: tuple[DiscJoint, ...]) -> dict[str, NDArray[np.float64]]:
    """Return the resting middle (3,) of every vertebra above a joint: half way between its discs, mm."""
    centers: dict[str, NDArray[np.float64]] = {}
    above_mm: NDArray[np.float64] | None = None
    for joint in joints:
        disc_mm = joint.world_from_disc[:3, 3]
        # The topmost has no disc above: half a body of the lumbar spine up its disc's axis.
        top_mm = disc_mm + _LEVEL_MM * joint.world_from_disc[:3, 2] if above_mm is None else above_mm
        centers[joint.upper] = 0.5 * (top_mm + disc_mm)
        above_mm = disc_mm
    return centers


def soft_name(vertebra: str, number: int) -> str:
    """Return the frame of a slab of soft tissue: 0 at a vertebra's middle, the others between it and the next below."""
    name = vertebra.replace("vertebrae_", "soft_", 1)
    return f"{name}_{number}" if number else name


def soft_heights(heights_mm: Sequence[float]) -> NDArray[np.float64]:
    """Return the heights of all slabs' middles and of what rests, given the vertebrae's and what rests' (n,)."""
    nodes = np.arange(SOFT_SLABS * (len(heights_mm) - 1) + 1) / SOFT_SLABS
    heights: NDArray[np.float64] = np.interp(nodes, np.arange(len(heights_mm)), heights_mm)
    return heights


def soft_hats(heights_mm: NDArray[np.float64], planes_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share (n, m) of every slab in every plane: smooth hats about falling heights (n,) that add up to one.

    A kink would not survive wider voxels, and show as a line across the picture.
    """
    rising = np.interp(-planes_mm, -heights_mm, np.arange(len(heights_mm), dtype=np.float64))
    away = np.abs(rising[np.newaxis] - np.arange(len(heights_mm))[:, np.newaxis])
    hats: NDArray[np.float64] = 0.5 + 0.5 * np.cos(np.pi * np.minimum(away, 1.0))
    return hats


def soft_frames(frames: Mapping[str, Matrix], centers_mm: Mapping[str, NDArray[np.float64]]) -> dict[str, Matrix]:
    """Return ``world_from_rest`` of the slabs of soft tissue: each goes sideways with the spine at its height.

    Slabs neither turn, which would part them at the skin, nor go along the body: where neighbours close in or part,
    their sum would be denser or thinner, a band across the picture, while real tissue gives way sideways.
    """
    shifts = [frames[name][:3, :3] @ center + frames[name][:3, 3] - center for name, center in centers_mm.items()]
    shifts.append(np.zeros(3))
    soft = {}
    for n, name in enumerate(centers_mm):
        for number in range(SOFT_SLABS):
            share = number / SOFT_SLABS
            shift = (1.0 - share) * shifts[n] + share * shifts[n + 1]
            moved = translation((shift[0], shift[1], 0.0))
            soft[soft_name(name, number)] = moved if shift[:2].any() else frames[REST]
    return soft
