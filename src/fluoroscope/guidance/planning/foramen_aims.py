"""Targets beside the canal: the foramen, Kambin's triangle, the disc, the sympathetic chain."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fluoroscope.guidance.planning.aims import Aim, Case
from fluoroscope.guidance.planning.procedures import Approach
from fluoroscope.guidance.planning.spine import Axes, VertebraPlace, side_sign
from fluoroscope.guidance.planning.surroundings import Surroundings

__all__ = ["disc_aims", "kambin_aims", "subpedicular_aims", "sympathetic_aims"]

Float = NDArray[np.float64]
Range = tuple[float, float, float]

NEEDLE_GAP_MM = 1.0
"""Targets beside bone keep this from it: the needle's radius and the refused gap, for 22G."""


def lattice(center: Float, axes: Axes, sign: float, out: Range, back: Range, head: Range) -> Float:
    """Return places (n, 3) about a point: first, last and step along the side, the back and the head."""
    steps = [np.arange(low, high + 1e-6, step) for low, high, step in (out, back, head)]
    u, v, w = (part.ravel() for part in np.meshgrid(*steps, indexing="ij"))
    places: Float = center + sign * u[:, None] * axes.left + v[:, None] * axes.back + w[:, None] * axes.head
    return places


def paint_zone(around: Surroundings, name: str, points: Float) -> None:
    """Add the grid points about places (n, 3) to a mask: the tip may stand there."""
    mask = around.masks.setdefault(name, np.zeros(around.shape, dtype=np.bool_))
    index = np.rint(around.index_of(points)).astype(int)
    within = np.all((index >= 0) & (index < np.array(mask.shape)[:, None]), axis=0)
    i, j, k = index[:, within]
    mask[i, j, k] = True


def free_of(around: Surroundings, points: Float, gaps: dict[str, float]) -> Float:
    """Return the places that keep a distance from each structure."""
    for what, gap in gaps.items():
        if len(points):
            points = points[around.distance_mm(what, points) >= gap]
    return points


def pedicle_bottom_mm(around: Surroundings, vertebra: VertebraPlace, side: str) -> float:
    """Return how far below the middle of a pedicle its bone ends; half its usual height where that is not seen."""
    ways = np.arange(0.0, 14.0, 0.5)
    points = vertebra.pedicle_mm[side] - ways[:, None] * vertebra.axes.head
    bone = around.inside("bone", points)
    ends = np.flatnonzero(~bone)
    usual = 7.4 * vertebra.scale
    found = float(ways[ends[0]]) if len(ends) else usual
    return found if 0.5 * usual <= found <= 1.6 * usual else usual


def subpedicular_aims(case: Case) -> list[Aim]:
    """Return aims at the safe triangle: below the pedicle's middle, above the root, not medial to the pedicle's middle.

    The root that leaves there bears the name of the vertebra above.
    """
    vertebra = case.spine.vertebra(case.level.upper)

    def points(side: str) -> Float:
        below = pedicle_bottom_mm(case.around, vertebra, side)
        return lattice(
            vertebra.pedicle_mm[side], vertebra.axes, side_sign(side),
            (0.0, 4.0, 1.0), (-2.0, 4.0, 1.0), (-below - 5.0, -below - 1.0, 1.0),
        )  # fmt: skip

    gaps = {"bone": NEEDLE_GAP_MM, "nerve_root": 1.0, "dura": 2.0, "vessel": 1.0}
    return _side_aims(case, case.plan.approaches, points, gaps, "foramen")


def kambin_aims(case: Case) -> list[Aim]:
    """Return aims at Kambin's triangle: behind and beside the disc, above the lower vertebra, below the root."""
    disc = case.spine.disc(case.level)
    axes, center = case.spine.space_axes(case.level), disc.world_from_disc[:3, 3]
    half = 0.25 * (disc.anterior_mm + disc.posterior_mm)

    def points(side: str) -> Float:
        return lattice(
            center, axes, side_sign(side), (0.30 * disc.width_mm, 0.44 * disc.width_mm, 1.5),
            (0.26 * disc.depth_mm, 0.26 * disc.depth_mm + 12.0, 1.0), (-half - 1.0, half, 1.0),
        )  # fmt: skip

    gaps = {"bone": NEEDLE_GAP_MM, "disc": 0.6, "nerve_root": 1.0, "dura": 2.0, "vessel": 1.0}
    return _side_aims(case, case.plan.approaches, points, gaps, "kambin", near=("disc", 4.0))


def disc_aims(case: Case) -> list[Aim]:
    """Return aims at the middle third of a disc, from the front and from the side."""
    disc = case.spine.disc(case.level)
    axes, center = case.spine.space_axes(case.level), disc.world_from_disc[:3, 3]
    if not case.around.inside("disc", center[None]).any() and case.around.distance_mm("bone", center[None])[0] < 0.5:
        raise ValueError(f"{case.level.name}: the disc's middle is bone: fused, or too flat for a needle")

    def points(side: str) -> Float:
        w, d = disc.width_mm / 6.0 - 1.0, disc.depth_mm / 6.0 - 1.0
        return lattice(center, axes, side_sign(side), (-w, w, w / 2.0), (-d, d, d / 2.0), (-1.0, 1.0, 1.0))

    return _side_aims(case, case.plan.approaches, points, {"bone": NEEDLE_GAP_MM}, "disc_core", ignore=("disc",))


def sympathetic_aims(case: Case) -> list[Aim]:
    """Return aims just outside the front side of a body, where the sympathetic chain runs before the psoas."""
    vertebra = case.spine.vertebra(case.level.upper)

    def points(side: str) -> Float:
        w, d, h = vertebra.width_mm, vertebra.depth_mm, vertebra.height_mm
        return lattice(
            vertebra.center_mm, vertebra.axes, side_sign(side), (0.25 * w, 0.6 * w, 1.5), (-0.55 * d, -0.25 * d, 1.5),
            (-0.35 * h, 0.25 * h, 3.0),
        )  # fmt: skip

    gaps = {"bone": NEEDLE_GAP_MM, "vessel": 1.5, "bowel": 2.0, "kidney": 3.0, "organ": 2.0, "lung": 3.0}
    return _side_aims(case, case.plan.approaches, points, gaps, "sympathetic", near=("bone", 4.0))


def _side_aims(
    case: Case,
    approaches: tuple[Approach, ...],
    points: Callable[[str], Float],
    gaps: dict[str, float],
    zone: str,
    *,
    near: tuple[str, float] | None = None,
    ignore: tuple[str, ...] = (),
) -> list[Aim]:
    """Return one aim for each side and approach whose places are free; ValueError when none is."""
    aims, around = [], case.around
    for approach in approaches:
        for side in case.sides(approach):
            places = free_of(around, points(side), gaps)
            if near is not None and len(places):
                places = places[around.distance_mm(near[0], places) <= near[1]]
            if not len(places):
                continue
            name = f"{zone}_{side}"
            paint_zone(around, name, places)
            cone = approach.cone_for(case.level.name)
            aims.append(Aim(approach.name, side, places, case.axes(cone), cone, side_sign(side), name, ignore=ignore))
    if not aims:
        told = ", ".join(what.replace("_", " ") for what in gaps)
        raise ValueError(f"{case.plan.title} at {case.level.name}: no free place for the tip beside {told}")
    return aims
