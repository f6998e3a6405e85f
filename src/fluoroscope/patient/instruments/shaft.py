"""What an instrument in place looks like to X-rays: tubes along its path, tip, hub, electrodes."""

import itertools
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fluoroscope.beam.basis import basis_of
from fluoroscope.beam.materials import MATERIALS
from fluoroscope.patient.instruments.catalogue import Instrument
from fluoroscope.patient.scene import Point, Rod, Shape, Sphere

__all__ = ["InPlace", "ruler", "shapes_of", "skin_marker"]

Float = NDArray[np.float64]
Basis = tuple[float, float]
SAG_MM = 0.02
"""How far the polyline may leave the path: a tenth of a pixel."""


@dataclass(frozen=True, slots=True)
class InPlace:
    """An instrument as it lies.

    Attributes
    ----------
    instrument
        Which.
    path_mm
        (n, 3) axis from hub to tip, world mm.
    bevel
        (3,) unit, the way the bevel or side hole looks, across the axis at the tip.
    stylet
        Whether the bore is filled.
    """

    instrument: Instrument
    path_mm: Float
    bevel: Float
    stylet: bool


@lru_cache(maxsize=32)
def material_basis(name: str) -> Basis:
    """Return (water, bone) per mm of a material of the library."""
    return basis_of(MATERIALS[name])


def shapes_of(placed: InPlace) -> tuple[Shape, ...]:
    """Return the shapes of an instrument; line integrals add, so a bore is a rod that takes away."""
    kind = placed.instrument
    path = simplified(placed.path_mm)
    if kind.bend_deg:
        path = bent_tip(path, kind.bend_mm, kind.bend_deg, -placed.bevel)
    steel = material_basis(kind.material)
    if kind.flexible:
        return tuple(_flexible(kind, path, steel))
    outer, bore = kind.outer_mm / 2.0, kind.bore_mm / 2.0
    shapes: list[Shape] = []
    if kind.cone_mm and (kind.tip != "diamond" or placed.stylet or not bore):
        shapes += _pointed(kind, path, steel, placed.bevel)
        inner, end = cut_back(path, kind.cone_mm), None
    else:
        if kind.cone_mm:
            path = cut_back(path, kind.cone_mm)
        inner, end = _bevelled(path, kind, placed.bevel)
        shapes += tube(inner, outer, steel, end_normal=end)
    if bore:
        shapes += tube(inner, bore, _times(steel, -1.0), end_normal=end)
        if placed.stylet:
            shapes += tube(inner, bore - 0.02, material_basis("steel_304"), end_normal=end)
    if kind.has_hub:
        shapes += _hub(kind, path, placed.stylet)
    return tuple(shapes)


def tube(
    path: Float, radius: float, basis: Basis, *, start_normal: Point | None = None, end_normal: Point | None = None
) -> list[Rod]:
    """Return rods along a polyline, mitred: they meet without gap or overlap."""
    along = np.diff(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    joints: list[Point | None] = [start_normal]
    joints += [_point(one + two) for one, two in itertools.pairwise(along)]
    joints.append(end_normal)
    return [
        Rod(_point(path[n]), _point(path[n + 1]), radius, radius, basis, joints[n], joints[n + 1])
        for n in range(len(along))
    ]


def simplified(path: Float, sag_mm: float = SAG_MM) -> Float:
    """Return a path with fewer corners that leaves it by at most ``sag_mm`` (Douglas and Peucker 1973)."""
    if len(path) <= 2:
        return path
    chord = path[-1] - path[0]
    length2 = float(chord @ chord)
    share = np.clip((path - path[0]) @ chord / length2, 0.0, 1.0) if length2 else np.zeros(len(path))
    away = np.linalg.norm(path - path[0] - share[:, None] * chord, axis=1)
    far = int(away.argmax())
    if away[far] <= sag_mm:
        return path[[0, -1]]
    return np.concatenate([simplified(path[: far + 1], sag_mm)[:-1], simplified(path[far:], sag_mm)])


def cut_back(path: Float, by_mm: float) -> Float:
    """Return the path without its last ``by_mm``."""
    return piece(path, by_mm, np.inf)


def piece(path: Float, near_mm: float, far_mm: float) -> Float:
    """Return the part of a path between two distances from its end, in the path's direction."""
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    from_end = np.concatenate([np.cumsum(steps[::-1])[::-1], [0.0]])
    far_mm = min(far_mm, float(from_end[0]))
    inside = (from_end > near_mm + 1e-9) & (from_end < far_mm - 1e-9)
    at = np.concatenate([[far_mm], from_end[inside], [near_mm]])
    rising = from_end[::-1]
    return np.stack([np.interp(at, rising, path[::-1, axis]) for axis in range(3)], axis=1)


def bent_tip(path: Float, over_mm: float, by_deg: float, toward: Float) -> Float:
    """Return the path with its last part curved toward a direction across it."""
    straight = piece(path, over_mm, np.inf)
    along = path[-1] - path[-2]
    along /= np.linalg.norm(along)
    side = toward - (toward @ along) * along
    side /= np.linalg.norm(side)
    angles = np.deg2rad(by_deg) * np.arange(1, 5) / 4.0
    steps = over_mm / 4.0 * (np.cos(angles)[:, None] * along + np.sin(angles)[:, None] * side)
    return np.concatenate([straight, straight[-1] + np.cumsum(steps, axis=0)])


def skin_marker(at_mm: Float, along: Float, *, radius_mm: float = 1.0) -> tuple[Shape, ...]:
    """Return a lead ball taped to the skin; ``along`` points out of the skin."""
    return (Sphere(_point(at_mm + radius_mm * along), radius_mm, material_basis("lead")),)


def ruler(start_mm: Float, end_mm: Float) -> tuple[Shape, ...]:
    """Return a radiopaque ruler: a steel wire with a tick each 10 mm, a longer one each 50 mm, across to the right."""
    steel = material_basis("steel_304")
    along = end_mm - start_mm
    length = float(np.linalg.norm(along))
    along = along / length
    across = np.cross(along, (0.0, 1.0, 0.0))
    size = float(np.linalg.norm(across))
    across = across / size if size > 1e-6 else np.array([1.0, 0.0, 0.0])
    shapes: list[Shape] = [Rod(_point(start_mm), _point(end_mm), 0.25, 0.25, steel)]
    for tick in range(int(length // 10.0) + 1):
        foot = start_mm + 10.0 * tick * along
        reach = 8.0 if tick % 5 == 0 else 4.0
        shapes.append(Rod(_point(foot + 0.25 * across), _point(foot + reach * across), 0.25, 0.25, steel))
    return tuple(shapes)


def _bevelled(path: Float, kind: Instrument, bevel: Float) -> tuple[Float, Point | None]:
    """Return where the axis meets the bevel, and the bevel's normal; the sharp point is opposite to its face."""
    if kind.cut_deg >= 90.0:
        return path, None
    along = path[-1] - path[-2]
    along /= np.linalg.norm(along)
    face = bevel - (bevel @ along) * along
    face /= np.linalg.norm(face)
    angle = np.deg2rad(kind.cut_deg)
    cut = cut_back(path, kind.outer_mm / 2.0 / float(np.tan(angle)))
    return cut, _point(np.sin(angle) * along + np.cos(angle) * face)


def _pointed(kind: Instrument, path: Float, steel: Basis, bevel: Float) -> list[Shape]:
    """Return a shaft that ends in a cone, with the side hole of a pencil point."""
    radius = kind.outer_mm / 2.0
    body = cut_back(path, kind.cone_mm)
    shapes: list[Shape] = [*tube(body, radius, steel)]
    shapes.append(Rod(_point(body[-1]), _point(path[-1]), radius, 0.1 * radius, steel))
    if kind.tip in ("whitacre", "sprotte"):
        middle = piece(path, kind.opening_mm, kind.opening_mm + 1.0)[-1]
        bore = kind.bore_mm / 2.0
        hole = 0.6 * bore if kind.tip == "whitacre" else 0.9 * bore
        wall = (_point(middle + bore * bevel), _point(middle + radius * bevel))
        shapes.append(Rod(*wall, hole, hole, _times(steel, -1.0)))
    return shapes


def _flexible(kind: Instrument, path: Float, basis: Basis) -> list[Shape]:
    outer, bore = kind.outer_mm / 2.0, kind.bore_mm / 2.0
    shapes: list[Shape] = [*tube(path, outer, basis)]
    if bore:
        shapes += tube(path, bore, _times(basis, -1.0))
    wall = 0.1
    metal = material_basis("platinum_iridium")
    extra = (metal[0] - basis[0], metal[1] - basis[1])
    if kind.electrodes:
        # Wires to the electrodes, twisted into one strand of 0.3 mm (unverified).
        copper = material_basis("steel_304")
        shapes += tube(piece(path, 2.0, np.inf), 0.15, (copper[0] - basis[0], copper[1] - basis[1]))
    for number in range(kind.electrodes):
        near = 1.5 + number * kind.electrode_pitch_mm
        ring = piece(path, near, near + kind.electrode_mm)
        shapes += tube(ring, outer, extra)
        shapes += tube(ring, outer - wall, _times(extra, -1.0))
    return shapes


def _hub(kind: Instrument, path: Float, stylet: bool) -> list[Shape]:
    """Return a plastic hub behind the shaft, the shaft's end in it, and the stylet's cap."""
    back = path[0] - path[1]
    back /= np.linalg.norm(back)
    base = path[0]
    wide = 6.0 if kind.kind == "trocar" else 3.2
    plastic = material_basis("polypropylene")
    steel = material_basis(kind.material)
    hub_mm = 22.0
    shapes: list[Shape] = [
        Rod(_point(base), _point(base + hub_mm * back), 0.6 * wide, wide, plastic),
        Rod(_point(base), _point(base + hub_mm * back), 0.3 * wide, 0.65 * wide, _times(plastic, -1.0)),
        Rod(_point(base), _point(base + 8.0 * back), kind.outer_mm / 2.0, kind.outer_mm / 2.0, steel),
    ]
    if kind.bore_mm:
        bore = kind.bore_mm / 2.0
        shapes.append(Rod(_point(base), _point(base + 8.0 * back), bore, bore, _times(steel, -1.0)))
    if stylet:
        cap = base + hub_mm * back
        thick = max(kind.bore_mm / 2.0 - 0.02, 0.05)
        shapes.append(Rod(_point(base), _point(cap), thick, thick, material_basis("steel_304")))
        shapes.append(Rod(_point(cap), _point(cap + 7.0 * back), wide, 0.8 * wide, plastic))
    return shapes


def _times(basis: Basis, factor: float) -> Basis:
    return (factor * basis[0], factor * basis[1])


def _point(values: Float) -> Point:
    return (float(values[0]), float(values[1]), float(values[2]))
