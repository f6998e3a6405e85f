"""Dimensions measured on built bones, by rays met with the zero set of the signed distance.

Nothing is read back from what the bones were made from: a ray starts where the anatomy is (the middle of the body,
of the canal, of a pedicle, outside a process) and the first change of sign is the surface.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fluoroscope.patient.anatomy.solids import Solid
from fluoroscope.patient.anatomy.spine import Spine, vertebra_bone

__all__ = ["measure_spine", "measure_vertebra"]

Floats = NDArray[np.float64]
RIM_MM = 1.6
"""How far behind its edge the rim of an endplate is met."""


@dataclass(frozen=True, slots=True)
class _Body:
    """Where a body's walls and endplates were met, in the vertebra's frame.

    Attributes
    ----------
    front_mm, wall_mm
        y of the front and of the back wall in the midline at half height.
    upper_mm, lower_mm
        (2, 3) front and back edge of the endplates in the midline.
    """

    front_mm: float
    wall_mm: float
    upper_mm: Floats
    lower_mm: Floats


def _rays(
    solid: Solid, xs: ArrayLike, ys: ArrayLike, zs: ArrayLike, along: ArrayLike, reach_mm: float = 60.0
) -> Floats:
    """Return the lengths of rays from all (x, y, z) broadcast together, nan where nothing is met; of their shape."""
    x, y, z = np.broadcast_arrays(*(np.asarray(one, dtype=np.float64) for one in (xs, ys, zs)))
    starts = np.stack([x, y, z], axis=-1)
    return solid.crossing(starts.reshape(-1, 3), along, reach_mm).reshape(x.shape)


def measure_vertebra(solid: Solid) -> dict[str, float]:
    """Return the dimensions of a vertebra in its own frame (``world_from_solid`` the identity), mm and degrees.

    Keys are the fields of `VertebraMorphometry`.
    """
    return _measured(solid)[0]


def _measured(solid: Solid) -> tuple[dict[str, float], _Body]:
    found: dict[str, float] = {}
    body = _measure_body(solid, found)
    _measure_canal(solid, body.wall_mm, found)
    _measure_pedicles(solid, body.wall_mm, found)
    back = body.wall_mm + found["canal_depth_mm"]
    ys, zs = np.meshgrid(np.arange(body.wall_mm - 4.0, body.wall_mm + 36.0, 2.0), np.arange(-15.0, 18.0, 1.5))
    reach = [80.0 - np.nanmin(_rays(solid, s * 80.0, ys, zs, (-s, 0.0, 0.0), 75.0)) for s in (1.0, -1.0)]
    found["transverse_span_mm"] = float(sum(reach))
    tip = 130.0 - np.nanmin(_rays(solid, 0.0, 130.0, np.arange(-50.0, 10.0, 1.0), (0.0, -1.0, 0.0), 110.0))
    found["spinous_length_mm"] = float(tip - back)
    for side, s in (("left", 1.0), ("right", -1.0)):
        found[f"facet_{side}_deg"] = _facet_deg(solid, s, back, float(body.lower_mm[1, 2]))
    return found, body


def _measure_body(solid: Solid, found: dict[str, float]) -> _Body:
    """Endplates' widths and depths at the rims; heights at their edges, along lines through the endplates."""
    x, z = np.meshgrid((-2.0, 0.0, 2.0), (-3.0, 0.0, 3.0))
    front = -float(np.nanmedian(_rays(solid, x, 0.0, z, (0.0, -1.0, 0.0))))
    wall = float(np.nanmedian(_rays(solid, x, 0.0, z, (0.0, 1.0, 0.0))))
    edges = []
    for name, sign in (("upper", 1.0), ("lower", -1.0)):
        under = sign * np.arange(1.5, 5.1, 0.5)
        ys = np.array([front + 0.07 * (wall - front), wall - 0.07 * (wall - front)])
        plate = sign * _rays(solid, 0.0, ys, 0.0, (0.0, 0.0, sign))
        for _ in range(2):
            # From outside: the middle of an endplate may be hollow.
            ahead = float(np.nanmin(_rays(solid, 0.0, -60.0, plate[0] - under, (0.0, 1.0, 0.0)))) - 60.0
            behind = wall + 8.0 - float(np.nanmin(_rays(solid, 0.0, wall + 8.0, plate[1] - under, (0.0, -1.0, 0.0))))
            # On the flat of the rim, behind its rounding, before the dish; five rays, as one may hit a bump.
            ys = np.array([ahead + RIM_MM, behind - RIM_MM])
            above = plate + 5.0 * sign
            onto = _rays(solid, [[-4.0], [-2.0], [0.0], [2.0], [4.0]], ys, above, (0.0, 0.0, -sign))
            plate = above - sign * np.nanmean(onto, axis=0)
        found[f"{name}_depth_mm"] = behind - ahead
        slope = (plate[1] - plate[0]) / (ys[1] - ys[0])
        y, below = np.meshgrid(ahead + (behind - ahead) * np.linspace(0.25, 0.8, 12), under)
        level = plate[0] + slope * (y - ys[0]) - below
        sides = [np.nanmin(_rays(solid, s * 60.0, y, level, (-s, 0.0, 0.0))) for s in (1.0, -1.0)]
        found[f"{name}_width_mm"] = float(120.0 - sum(sides))
        edges.append(np.array([[0.0, y_edge, plate[0] + slope * (y_edge - ys[0])] for y_edge in (ahead, behind)]))
    upper, lower = edges
    for name, n in (("anterior", 0), ("posterior", 1)):
        found[f"height_{name}_mm"] = float(upper[n, 2] - lower[n, 2])
    return _Body(front, wall, upper, lower)


def _measure_canal(solid: Solid, wall: float, found: dict[str, float]) -> None:
    """Depth in the midline to where the laminae come nearest; width between the pedicles' isthmuses."""
    into = _rays(solid, 0.0, wall + 4.0, np.arange(-22.0, 1.0, 1.0), (0.0, 1.0, 0.0), 40.0)
    found["canal_depth_mm"] = float(np.nanpercentile(into, 10.0) + 4.0)
    ys, zs = np.meshgrid(wall + np.linspace(3.0, 5.0, 5), np.arange(-1.0, 6.1, 1.0))
    sides = _rays(solid, 0.0, ys, zs, (1.0, 0.0, 0.0), 40.0) + _rays(solid, 0.0, ys, zs, (-1.0, 0.0, 0.0), 40.0)
    found["canal_width_mm"] = float(np.nanmean(sides))


def _measure_pedicles(solid: Solid, wall: float, found: dict[str, float]) -> None:
    """Mean of both sides' isthmus."""
    sides = np.array([_pedicle(solid, wall, s, found) for s in (1.0, -1.0)])
    for name, value in zip(("width_mm", "height_mm", "medial_deg"), sides.mean(axis=0), strict=True):
        found[f"pedicle_{name}"] = float(value)


def _pedicle(solid: Solid, wall: float, s: float, found: dict[str, float]) -> tuple[float, float, float]:
    """Return width and height at the isthmus, square to the axis, and the axis' angle to the sagittal plane.

    The axis runs through the middles of frontal sections, from the body to where the transverse and the articular
    processes begin (median slope of all pairs of sections: a bump does not turn it).
    """
    ys = wall + np.linspace(1.5, min(5.5, 0.27 * found["canal_depth_mm"]), 9)
    x, z = np.full(len(ys), s * (0.5 * found["canal_width_mm"] + 4.0)), 2.0
    for _ in range(3):
        inner, outer = (_rays(solid, x, ys, z, (sign * s, 0.0, 0.0), 30.0) for sign in (-1.0, 1.0))
        wide = inner + outer
        if np.isnan(wide).all():
            return float("nan"), float("nan"), float("nan")
        near = wide < 1.05 * np.nanmin(wide)
        x = x + 0.5 * s * (outer - inner)
        x = np.where(near, x, np.median(x[near]))
        up, down = (_rays(solid, x[near], ys[near], z, (0.0, 0.0, sign), 30.0) for sign in (1.0, -1.0))
        z += 0.5 * float(np.nanmedian(up - down))
    n = np.flatnonzero(near)
    pairs = [(i, j) for i in n for j in n if j - i >= 2]
    lean = float(np.median([s * (x[j] - x[i]) / (ys[j] - ys[i]) for i, j in pairs])) if pairs else 0.0
    angle = np.arctan(lean)
    return float(np.nanmin(wide) * np.cos(angle)), float(np.nanmin(up + down)), float(np.degrees(angle))


def _facet_deg(solid: Solid, side: float, back: float, endplate_z: float) -> float:
    """Return the angle to the sagittal plane of the lower process's face, looked at from its side.

    As on axial CT: a line through the face in each of five sections, from its front edge to its outermost point,
    the rounded ends left out; their median.
    """
    ys, zs = np.meshgrid(np.arange(back - 12.0, back + 16.0, 0.5), endplate_z - np.arange(3.0, 8.0, 1.0))
    xs = 50.0 - _rays(solid, side * 50.0, ys, zs, (-side, 0.0, 0.0), 43.0)
    angles = []
    for x, y in zip(xs, ys, strict=True):
        if np.isnan(x).all():
            continue
        met = np.flatnonzero(~np.isnan(x[: np.nanargmax(x) + 1]))
        met = met[len(met) // 5 : len(met) - len(met) // 3]
        if len(met) > 3:
            angles.append(np.degrees(np.arctan(np.polyfit(y[met], x[met], 1)[0])))
    return float(np.median(angles)) if angles else float("nan")


def measure_spine(spine: Spine) -> dict[str, dict[str, float]]:
    """Return the dimensions of every level, and "spine": lordosis and disc heights, all measured on the surfaces."""
    found: dict[str, dict[str, float]] = {}
    plates: dict[str, tuple[Floats, Floats]] = {}
    for level in spine.levels:
        bone = vertebra_bone(level, spine)
        frame = spine.frames[bone.frame]
        solid = bone.solids[0]
        found[level], body = _measured(replace(solid, world_from_solid=np.linalg.inv(frame) @ solid.world_from_solid))
        upper, lower = (edge @ frame[:3, :3].T + frame[:3, 3] for edge in (body.upper_mm, body.lower_mm))
        plates[level] = upper, lower
    whole: dict[str, float] = {}
    for level, next_level in zip(spine.levels, spine.levels[1:], strict=False):
        above, below = plates[level][1], plates[next_level][0]
        axis = _normal(above) + _normal(below)
        axis /= np.linalg.norm(axis)
        whole[f"{level}_{next_level}/anterior_mm"] = float((above[0] - below[0]) @ axis)
        whole[f"{level}_{next_level}/posterior_mm"] = float((above[1] - below[1]) @ axis)
    first, sacrum = _normal(plates["L1"][0]), spine.frames["sacrum"][:3, 2]
    sine = float(np.cross(sacrum, first) @ np.array([-1.0, 0.0, 0.0]))
    whole["lordosis_deg"] = float(np.degrees(np.arctan2(sine, float(first @ sacrum))))
    found["spine"] = whole
    return found


def _normal(edge: Floats) -> Floats:
    """Return the upward normal (3,) of an endplate in the sagittal plane."""
    along = edge[1] - edge[0]
    up = np.array([0.0, -along[2], along[1]])
    unit: Floats = up / np.linalg.norm(up)
    return unit
