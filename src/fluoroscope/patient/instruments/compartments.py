"""Where contrast medium goes from where it is let out: room, ease of way, mixing, washout of each kind of place.

The tables are a model of what radiographs show (Omnipaque's myelogram volumes: ``reference/guidance.md`` §5.7);
shares and times are unverified.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.rigid import apply
from fluoroscope.patient.instruments.tissue_probe import AIR_HU, BONE_HU, Tissue, TissueProbe

__all__ = ["COMPARTMENTS", "Compartment", "Terrain", "pattern_of", "terrain"]

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Compartment:
    """How contrast medium spreads in one kind of place.

    Attributes
    ----------
    pattern
        As told: "intrathecal", "epidural", "nerve root" …
    rooms
        Tissue to (share of a voxel it fills, how hard the way is; 1 is easiest).
    reach_mm
        Half the size of the region looked at, to head and foot, and across.
    mixing, mixed, mixing_s
        Volume it takes up at once and in the end, in volumes injected, and the time between.
    washout_s
        In which a share 1/e is left.
    gravity
        0 to below 1: how much the heavy medium seeks the lowest place.
    flow
        Carried one way by the blood.
    narrows
        Whether a narrow lumen holds it up.
    sheath_mm
        Width of easy way around the structure itself.
    """

    pattern: str
    rooms: Mapping[str, tuple[float, float]]
    reach_mm: tuple[float, float]
    mixing: float = 1.0
    mixed: float = 1.0
    mixing_s: float = 60.0
    washout_s: float = 3600.0
    gravity: float = 0.0
    flow: bool = False
    narrows: bool = False
    sheath_mm: float = 0.0


_SOFT = {"skin": (0.05, 3.0), "fat": (0.15, 1.2), "muscle": (0.15, 1.0), "ligament": (0.04, 4.0)}


def _leak(share: float, hardness: float) -> dict[str, tuple[float, float]]:
    return {name: (share * room, hardness * way) for name, (room, way) in _SOFT.items()}


COMPARTMENTS: Mapping[str, Compartment] = MappingProxyType(
    {
        one.pattern: one
        for one in (
            Compartment(
                "intrathecal", {"CSF": (1.0, 1.0), "cauda": (0.35, 1.0), "cord": (0.0, 1.0), "nerve root": (0.15, 6.0)},
                (260.0, 45.0), 1.5, 4.0, 600.0, 7200.0, gravity=0.85, narrows=True,
            ),
            Compartment(
                "epidural",
                {"epidural space": (0.5, 1.0), "vessel": (0.3, 1.5), "nerve root": (0.4, 2.0), **_leak(0.4, 15.0)},
                (160.0, 60.0), washout_s=2400.0, gravity=0.1, narrows=True,
            ),
            Compartment(
                "nerve root", {"nerve root": (0.35, 1.0), "epidural space": (0.5, 2.5), **_leak(0.5, 8.0)},
                (60.0, 60.0), washout_s=1800.0, sheath_mm=1.6,
            ),
            Compartment(
                "facet joint", {"facet joint": (0.9, 1.0), **_leak(0.5, 15.0), "epidural space": (0.4, 15.0)},
                (30.0, 30.0), washout_s=3600.0, sheath_mm=1.1,
            ),
            Compartment("disc", {"disc": (0.3, 1.0), "epidural space": (0.4, 30.0)}, (25.0, 45.0), washout_s=7200.0),
            Compartment("intravascular", {"vessel": (1.0, 1.0)}, (150.0, 60.0), 3.0, 30.0, 2.0, 1.5, flow=True),
            Compartment("intraosseous", {"bone": (0.25, 1.0)}, (30.0, 45.0), 1.0, 2.0, 10.0, 20.0),
            Compartment("soft tissue", {**_SOFT, "organ": (0.1, 2.0)}, (40.0, 40.0), washout_s=1800.0),
        )
    }
)  # fmt: skip
"""By pattern."""

_PATTERNS = {
    "CSF": "intrathecal", "cord": "intrathecal", "epidural space": "epidural", "nerve root": "nerve root",
    "facet joint": "facet joint", "disc": "disc", "vessel": "intravascular", "bone": "intraosseous",
}  # fmt: skip


def pattern_of(tissue: Tissue) -> str:
    """Return the pattern contrast medium makes from an opening in this tissue."""
    return "intrathecal" if tissue.structure == "cauda_equina" else _PATTERNS.get(tissue.tissue, "soft tissue")


@dataclass(frozen=True, slots=True)
class Terrain:
    """A piece of the patient's grid: what can be filled, and how hard the way is.

    Attributes
    ----------
    room, cost
        float32 (n0, n1, n2); 0 room is a wall.
    world_from_index
        (4, 4).
    """

    room: NDArray[np.float32]
    cost: NDArray[np.float32]
    world_from_index: Float


def terrain(probe: TissueProbe, kind: Compartment, at_mm: Float) -> Terrain:
    """Return the surroundings of a point (3,) of the resting patient as contrast medium finds them."""
    affine = probe.world_from_index
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    middle = apply(np.linalg.inv(affine).astype(np.float64), at_mm)
    half = np.array([kind.reach_mm[0], kind.reach_mm[1], kind.reach_mm[1]]) / spacing
    shape = np.array(probe.hu.shape)
    low = np.clip(np.floor(middle - half).astype(int), 0, shape - 1)
    high = np.clip(np.ceil(middle + half).astype(int) + 1, 1, shape)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    placed = affine.copy()
    placed[:3, 3] = apply(affine, low)
    room, cost = _rooms(probe, kind, box, placed)
    if kind.sheath_mm:
        _sheathe(probe, kind, box, at_mm, spacing, room, cost)
    if kind.pattern == "disc":
        _soften_nucleus(probe, box, spacing, room, cost)
    if kind.narrows:
        _narrow(room, cost)
    return Terrain(room, cost, placed)


def _rooms(
    probe: TissueProbe, kind: Compartment, box: tuple[slice, ...], placed: Float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    hu = np.asarray(probe.hu[box])
    soft = kind.rooms.get("muscle", (0.0, 1.0))
    open_soft = (hu > AIR_HU) & (hu < BONE_HU)
    room = np.where(open_soft, soft[0], 0.0).astype(np.float32)
    cost = np.full(room.shape, soft[1], np.float32)
    if probe.labels is None:
        return room, cost
    labels = np.asarray(probe.labels[box])
    rooms = np.full(int(max([*probe.names, labels.max()])) + 1, np.nan, np.float32)
    costs = np.ones(len(rooms), np.float32)
    for number, name in probe.names.items():
        tissue = probe.tissue_of(number)
        key = "cauda" if name == "cauda_equina" and "cauda" in kind.rooms else tissue
        rooms[number], costs[number] = kind.rooms.get(key or "muscle", (0.0, 1.0))
    known = np.isfinite(rooms[labels])
    room = np.where(known, rooms[labels], room).astype(np.float32)
    cost = np.where(known, costs[labels], cost).astype(np.float32)
    if kind.pattern == "intrathecal" and np.isfinite(probe.cord_ends_mm):
        # A real CT's canal below the cord's end counts as CSF; above it there is a rim of it around the cord.
        height = placed[2, 3] + placed[2, 0] * np.arange(room.shape[0])
        canal = np.isin(labels, probe.numbers("cord"))
        room[canal] = np.broadcast_to(np.where(height < probe.cord_ends_mm, 1.0, 0.4)[:, None, None], room.shape)[canal]
    return room, cost


def _sheathe(
    probe: TissueProbe, kind: Compartment, box: tuple[slice, ...], at_mm: Float, spacing: Float,
    room: NDArray[np.float32], cost: NDArray[np.float32],
) -> None:  # fmt: skip
    """Open an easy way along the structure the opening is in, as the sleeve of a root or the capsule of a joint."""
    from scipy import ndimage

    number = probe.at_rest(at_mm).label
    if probe.labels is None or not number:
        return
    own = np.asarray(probe.labels[box]) == number
    hu = np.asarray(probe.hu[box])
    away = ndimage.distance_transform_edt(~own, sampling=spacing)
    sleeve = (away > 0.0) & (away <= kind.sheath_mm) & (hu > AIR_HU) & (hu < BONE_HU)
    room[sleeve], cost[sleeve] = 0.6, 1.0


def _soften_nucleus(
    probe: TissueProbe, box: tuple[slice, ...], spacing: Float, room: NDArray[np.float32], cost: NDArray[np.float32]
) -> None:
    """Let the middle of a disc take the medium, and the annulus hold it back."""
    from scipy import ndimage

    if probe.labels is None:
        return
    disc = np.isin(np.asarray(probe.labels[box]), probe.numbers("disc"))
    # Across the disc only: near its endplates the nucleus is still nucleus.
    deep = np.stack([ndimage.distance_transform_edt(plane, sampling=spacing[1:]) for plane in disc])
    nucleus = disc & (deep > 7.0)
    room[disc], cost[disc] = 0.06, 6.0
    room[nucleus], cost[nucleus] = 0.35, 1.0


def _narrow(room: NDArray[np.float32], cost: NDArray[np.float32]) -> None:
    """Make the way through a narrow lumen hard: with the square of how much of its width is missing."""
    main = np.where(cost <= 2.0, room, 0.0)
    area = main.sum(axis=(1, 2))
    filled = area[area > 0.0]
    if len(filled) < 10:
        return
    usual = float(np.median(filled))
    hard = np.clip((0.6 * usual / np.maximum(area, 1e-3 * usual)) ** 2, 1.0, 40.0)
    cost *= hard[:, None, None].astype(np.float32)
