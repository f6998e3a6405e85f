"""Dimensions measured on built bones, by rays met with the zero set of the signed distance.

Nothing is read back from what the bones were made from: a ray starts where the anatomy is (the middle of the body,
of the canal, outside a process) and the first change of sign is the surface.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.anatomy.solids import Solid
from fluoroscope.patient.anatomy.spine import Spine, vertebra_bone

__all__ = ["measure_spine", "measure_vertebra"]


def _rays(
    solid: Solid, xs: object, ys: object, zs: object, direction: Sequence[float], reach_mm: float = 60.0
) -> NDArray[np.float64]:
    x, y, z = np.broadcast_arrays(*(np.asarray(one, dtype=np.float64) for one in (xs, ys, zs)))
    return solid.crossing(np.stack([x.ravel(), y.ravel(), z.ravel()], axis=1), direction, reach_mm)


def measure_vertebra(solid: Solid) -> dict[str, float]:
    """Return the dimensions of a vertebra in its own frame (``world_from_solid`` the identity), mm and degrees.

    Keys are the fields of `VertebraMorphometry`.
    """
    found: dict[str, float] = {}
    front = -float(_rays(solid, 0.0, 0.0, 0.0, (0.0, -1.0, 0.0))[0])
    wall = float(_rays(solid, 0.0, 0.0, 0.0, (0.0, 1.0, 0.0))[0])
    _measure_body(solid, front, wall, found)
    _measure_canal_and_pedicle(solid, wall, found)
    back = wall + found["canal_depth_mm"]
    ys, zs = np.meshgrid(np.arange(wall - 4.0, wall + 36.0, 2.0), np.arange(-15.0, 18.0, 1.5))
    reach = [80.0 - np.nanmin(_rays(solid, s * 80.0, ys, zs, (-s, 0.0, 0.0), 75.0)) for s in (1.0, -1.0)]
    found["transverse_span_mm"] = float(sum(reach))
    tip = 130.0 - np.nanmin(_rays(solid, 0.0, 130.0, np.arange(-50.0, 10.0, 1.0), (0.0, -1.0, 0.0), 110.0))
    found["spinous_length_mm"] = float(tip - back)
    for side, s in (("left", 1.0), ("right", -1.0)):
        found[f"facet_{side}_deg"] = _facet_deg(solid, s, back, found["height_posterior_mm"])
    return found


def _measure_body(solid: Solid, front: float, wall: float, found: dict[str, float]) -> None:
    """Endplates' widths and depths at the rims; heights at the edges, from the slopes of the endplates."""
    deep = wall - front
    ys = np.array([front + 0.07 * deep, wall - 0.07 * deep])
    tops = _rays(solid, 0.0, ys, 0.0, (0.0, 0.0, 1.0))
    lows = _rays(solid, 0.0, ys, 0.0, (0.0, 0.0, -1.0))
    for name, ends, sign in (("upper", tops, 1.0), ("lower", lows, -1.0)):
        under = np.arange(1.5, 5.1, 0.5)
        z = sign * (ends.mean() - under)
        y, level = np.meshgrid(front + deep * np.linspace(0.25, 0.72, 12), z)
        wide = _rays(solid, 0.0, y, level, (1.0, 0.0, 0.0)) + _rays(solid, 0.0, y, level, (-1.0, 0.0, 0.0))
        # Where a pedicle springs off, the ray runs on into it: it is no endplate.
        across = wide.reshape(y.shape).max(axis=0)
        found[f"{name}_width_mm"] = float(across.max())
        ahead = _rays(solid, 0.0, 0.0, sign * (ends[0] - under), (0.0, -1.0, 0.0))
        behind = _rays(solid, 0.0, 0.0, sign * (ends[1] - under), (0.0, 1.0, 0.0))
        found[f"{name}_depth_mm"] = float(np.nanmax(ahead) + np.nanmax(behind))
    heights = tops + lows
    half = 0.25 * (found["upper_depth_mm"] + found["lower_depth_mm"])
    slope = (heights[1] - heights[0]) / (ys[1] - ys[0])
    found["height_anterior_mm"] = float(heights[0] + slope * (-half - ys[0]))
    found["height_posterior_mm"] = float(heights[1] + slope * (half - ys[1]))


def _measure_canal_and_pedicle(solid: Solid, wall: float, found: dict[str, float]) -> None:
    into = _rays(solid, 0.0, wall + 3.0, np.arange(-22.0, 1.0, 1.0), (0.0, 1.0, 0.0), 40.0)
    found["canal_depth_mm"] = float(np.nanpercentile(into, 10.0) + 3.0)
    # Between the pedicles at their narrowest, which is before the middle of the canal.
    ys, zs = np.meshgrid(wall + np.arange(2.0, 0.5 * found["canal_depth_mm"], 1.0), np.arange(-4.0, 9.0, 1.0))
    sides = _rays(solid, 0.0, ys, zs, (1.0, 0.0, 0.0), 40.0) + _rays(solid, 0.0, ys, zs, (-1.0, 0.0, 0.0), 40.0)
    found["canal_width_mm"] = float(np.nanmin(sides))
    ys = wall + np.arange(1.5, 0.45 * found["canal_depth_mm"], 0.5)
    x, z = np.full(len(ys), 0.5 * found["canal_width_mm"] + 4.0), np.full(len(ys), 2.0)
    for _ in range(3):
        inner, outer = (_rays(solid, x, ys, z, (s, 0.0, 0.0), 30.0) for s in (-1.0, 1.0))
        x = x + 0.5 * (outer - inner)
        up, down = (_rays(solid, x, ys, z, (0.0, 0.0, s), 30.0) for s in (1.0, -1.0))
        z = z + 0.5 * (up - down)
        x = np.where(np.isnan(x), np.nanmedian(x), x)
        z = np.where(np.isnan(z), np.nanmedian(z), z)
    narrow = np.argsort(inner + outer)[:6]
    narrow = narrow[~np.isnan((inner + outer + up + down)[narrow])]
    lean = float(np.polyfit(ys[narrow], x[narrow], 1)[0]) if len(narrow) > 2 else float("nan")
    found["pedicle_medial_deg"] = float(np.degrees(np.arctan(lean)))
    found["pedicle_width_mm"] = float(np.nanmean((inner + outer)[narrow]) * np.cos(np.arctan(lean)))
    found["pedicle_height_mm"] = float(np.nanmean((up + down)[narrow]))


def _facet_deg(solid: Solid, side: float, back: float, height_mm: float) -> float:
    """Return the angle of the lower process's face, from the normals where rays from the side meet it."""
    y, z = np.meshgrid(np.arange(back - 2.0, back + 6.0, 1.0), -0.5 * height_mm - np.arange(3.0, 8.0, 1.0))
    y, z = y.ravel(), z.ravel()
    along = _rays(solid, side * 45.0, y, z, (-side, 0.0, 0.0), 45.0)
    hit = ~np.isnan(along) & (45.0 - along > 6.0)
    if not hit.any():
        return float("nan")
    points = np.stack([side * (45.0 - along[hit]), y[hit], z[hit]], axis=1)
    step = 0.2
    nx, ny = (solid.distance(points + step * axis) - solid.distance(points - step * axis) for axis in np.eye(3)[:2])
    return float(np.median(np.degrees(np.arctan2(-ny, side * nx))))


def measure_spine(spine: Spine) -> dict[str, dict[str, float]]:
    """Return the dimensions of every level, and "spine": lordosis and disc heights, all measured on the surfaces."""
    found: dict[str, dict[str, float]] = {}
    planes: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
    for level in spine.levels:
        bone = vertebra_bone(level, spine)
        own = np.linalg.inv(spine.frames[bone.frame])
        solid = bone.solids[0]
        found[level] = measure_vertebra(replace(solid, world_from_solid=own @ solid.world_from_solid))
        planes[level] = _corners(found[level], spine.frames[bone.frame])
    whole: dict[str, float] = {}
    ends = spine.frames["sacrum"]
    for n, level in enumerate(spine.levels[:-1]):
        upper, lower = planes[level][1], planes[spine.levels[n + 1]][0]
        name = f"{level}_{spine.levels[n + 1]}"
        axis = _normal(upper) + _normal(lower)
        axis /= np.linalg.norm(axis)
        whole[f"{name}/anterior_mm"] = float((upper[0] - lower[0]) @ axis)
        whole[f"{name}/posterior_mm"] = float((upper[1] - lower[1]) @ axis)
    first = _normal(planes["L1"][0])
    sine = float(np.cross(ends[:3, 2], first) @ np.array([-1.0, 0.0, 0.0]))
    whole["lordosis_deg"] = float(np.degrees(np.arctan2(sine, float(first @ ends[:3, 2]))))
    found["spine"] = whole
    return found


def _corners(m: dict[str, float], frame: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return front and back edge (2, 3) of the upper and of the lower endplate in the patient."""
    half = 0.25 * (m["upper_depth_mm"] + m["lower_depth_mm"])
    edges = []
    for sign in (1.0, -1.0):
        local = [
            [0.0, -half, sign * 0.5 * m["height_anterior_mm"]],
            [0.0, half, sign * 0.5 * m["height_posterior_mm"]],
        ]
        edges.append(np.array(local) @ frame[:3, :3].T + frame[:3, 3])
    return edges[0], edges[1]


def _normal(edge: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the upward normal (3,) of an endplate in the sagittal plane."""
    along = edge[1] - edge[0]
    up = np.array([0.0, -along[2], along[1]])
    unit: NDArray[np.float64] = up / np.linalg.norm(up)
    return unit
