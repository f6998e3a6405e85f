"""Targets at joints and on the back of bones: facet joint, medial branch, sacroiliac joint, sacral canal."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fluoroscope.guidance.planning.aims import Aim, Case
from fluoroscope.guidance.planning.foramen_aims import NEEDLE_GAP_MM, paint_zone
from fluoroscope.guidance.planning.spine import Axes, side_sign
from fluoroscope.guidance.planning.surroundings import PITCH_MM, Surroundings

__all__ = ["caudal_aims", "facet_aims", "facet_place", "medial_branch_aims", "sacroiliac_aims"]

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]

_JOINT_GAP_MM = 4.5
"""Two bones whose distances at a point add up to less face each other across a joint."""
_BESIDE_JOINT_MM = 3.0
"""A needle's tip stands within this of a joint's cleft: in its mouth or recess."""


_JUNCTION, _JUNCTION_OFF_MM, _NO_GROOVE_MM = (4.0, 9.0, 3.0), 12.0, 4.0
"""Where the junction lies from the middle of the pedicle (side, back, head), how far off it may be found, and what a
place without a groove counts as further off."""


def bones_between(around: Surroundings, first: Mask, second: Mask, near: Mask) -> Float:
    """Return grid points (n, 3), LPS, of the cleft between two bones, within a region."""
    from scipy import ndimage

    box = ndimage.find_objects(near.astype(np.uint8))
    if not box or not (first & near).any() or not (second & near).any():
        return np.zeros((0, 3))
    cut = box[0]
    away = [ndimage.distance_transform_edt(~mask[cut]) * PITCH_MM for mask in (first, second)]
    facing = (away[0] > 0.0) & (away[1] > 0.0) & (away[0] + away[1] <= _JOINT_GAP_MM) & near[cut]
    facing &= np.abs(away[0] - away[1]) <= 1.5
    index = np.argwhere(facing) + np.array([part.start for part in cut])
    return around.points_of(index)


def region(around: Surroundings, center: Float, axes: Axes, sign: float, *spans: tuple[float, float]) -> Mask:
    """Return the grid points within spans along the side, the back and the head from a point."""
    z, y, x = around.shape
    index = np.stack(np.meshgrid(np.arange(z), np.arange(y), np.arange(x), indexing="ij"), axis=-1).reshape(-1, 3)
    off = around.points_of(index) - center
    inside = np.ones(len(off), dtype=np.bool_)
    for way, (low, high) in zip((sign * axes.left, axes.back, axes.head), spans, strict=True):
        along = off @ way
        inside &= (along >= low) & (along <= high)
    return inside.reshape(around.shape)


def _bone_mask(case: Case, level: str) -> Mask:
    """Return the mask of a vertebra, or of the sacrum for S1."""
    if level == "S1":
        return np.isin(case.around.numbers, case.sacrum_numbers)
    return np.asarray(case.around.numbers == case.spine.vertebra(level).number)


def facet_cleft(case: Case, side: str) -> Float:
    """Return the points (n, 3) of the cleft between the articular processes of a space's two bones on one side.

    Raises
    ------
    ValueError
        When the bones do not face each other there: fused, or not to be told apart in this CT.
    """
    upper = case.spine.vertebra(case.level.upper)
    s = upper.scale
    disc = case.spine.disc(case.level)
    axes = case.spine.space_axes(case.level)
    back_edge = disc.world_from_disc[:3, 3] + 0.5 * disc.depth_mm * axes.back
    near = region(
        case.around, back_edge, axes, side_sign(side), (7.0 * s, 36.0 * s), (4.0 * s, 36.0 * s), (-20.0, 18.0)
    )
    cleft = bones_between(case.around, _bone_mask(case, case.level.upper), _bone_mask(case, case.level.lower), near)
    if len(cleft) < 8:
        raise ValueError(
            f"{case.level.name}, {side}: no facet joint is seen between {case.level.upper} and {case.level.lower}"
            " (fused, or voxels too coarse)"
        )
    return cleft


def facet_place(case: Case, side: str) -> Float:
    """Return the middle (3,) of the facet joint of a space on one side."""
    return np.asarray(np.median(facet_cleft(case, side), axis=0), dtype=np.float64)


def facet_aims(case: Case) -> list[Aim]:
    """Return aims at the mouth of a facet joint: the places next to its cleft that a needle fits into."""
    aims, faults = [], []
    for approach in case.plan.approaches:
        for side in case.sides(approach):
            try:
                cleft = facet_cleft(case, side)
            except ValueError as fault:
                faults.append(str(fault))
                continue
            places = _beside(case.around, cleft, 14)
            if len(places) == 0:
                faults.append(f"{case.level.name}, {side}: the facet joint is too narrow for the needle everywhere")
                continue
            name = f"facet_{side}"
            paint_zone(case.around, name, places)
            cone = approach.cone_for(case.level.name)
            aims.append(Aim(approach.name, side, places, case.axes(cone), cone, side_sign(side), name))
    if not aims:
        raise ValueError("; ".join(faults))
    return aims


def _beside(around: Surroundings, cleft: Float, count: int) -> Float:
    """Return the free places (n, 3) nearest to the points of a cleft that lie behind its middle."""
    from scipy.spatial import cKDTree

    low, high = cleft.min(axis=0) - 5.0, cleft.max(axis=0) + 5.0
    spans = [np.arange(np.round(a), b, PITCH_MM) for a, b in zip(low, high, strict=True)]
    points = np.stack([part.ravel() for part in np.meshgrid(*spans, indexing="ij")], axis=1)
    tree = cKDTree(cleft)
    away = np.asarray(tree.query(points)[0])
    points, away = points[away <= _BESIDE_JOINT_MM], away[away <= _BESIDE_JOINT_MM]
    free = around.distance_mm("bone", points) >= NEEDLE_GAP_MM
    points, away = points[free], away[free]
    behind = points[:, 1] >= np.median(cleft[:, 1]) - 1.0
    points, away = points[behind], away[behind]
    return points[np.argsort(away)[:count]]


def medial_branch_aims(case: Case) -> list[Aim]:
    """Return aims at the junction of superior articular and transverse process one vertebra below the nerve's name.

    The medial branch of Ln crosses L(n+1) there; the dorsal ramus of the last lumbar vertebra crosses the sacral ala.
    """
    nerve = case.level.upper
    below = case.spine.below(nerve)
    kind = "dorsal ramus" if below == "S1" else "medial branch"
    where = (
        "sacral ala beside the superior articular process of S1" if below == "S1" else f"transverse process of {below}"
    )
    warning = f"the {nerve} {kind} is met at the {where}: the needle goes to {below}, not to {nerve}"
    aims = []
    for approach in case.plan.approaches:
        cone = approach.cone_for(below)
        for side in case.sides(approach):
            scale = case.spine.vertebra(nerve).scale
            axes, start = _ala_start(case, nerve, side) if below == "S1" else _pedicle_start(case, below, side)
            places = _groove(case.around, axes, start, side_sign(side), scale, cone.lateral_deg)
            if len(places):
                name = f"branch_{side}"
                paint_zone(case.around, name, places)
                aims.append(
                    Aim(approach.name, side, places, axes, cone, side_sign(side), name, bone_name=below,
                        warnings=(warning,))
                )  # fmt: skip
    if not aims:
        raise ValueError(f"{nerve}: the junction of articular and transverse process is not seen on {below}")
    return aims


def _pedicle_start(case: Case, level: str, side: str) -> tuple[Axes, Float]:
    vertebra = case.spine.vertebra(level)
    return vertebra.axes, vertebra.pedicle_mm[side]


def _ala_start(case: Case, nerve: str, side: str) -> tuple[Axes, Float]:
    """Return axes and a point before and beside the facet joint of the lumbosacral space, in the ala."""
    axes = case.spine.space_axes(case.space_below(nerve))
    joint = facet_place(case.at_space(case.space_below(nerve)), side)
    return Axes(*np.eye(3)), joint + side_sign(side) * 5.0 * axes.left - 17.0 * axes.back - 6.0 * axes.head


def _groove(
    around: Surroundings, axes: Axes, start: Float, sign: float, scale: float, lateral_deg: tuple[float, float]
) -> Float:
    """Return places (n, 3) in the groove beside an articular process, a needle's breadth off the bone.

    Lines are laid onto the bone along the middle of the allowed ways in; the groove is where the bone has just
    fallen away from the process (toward the midline it stands 2 mm higher) and goes on level to the side.
    """
    out = axes.out(float(np.mean(lateral_deg)), 0.0, sign)
    side = np.cross(out, axes.head) * -sign
    side = side / np.linalg.norm(side)
    side = side if side @ (sign * axes.left) > 0 else -side
    u, w = np.arange(-4.0, 17.0, 1.0), np.arange(-3.0, 8.0, 1.0)
    heights = np.arange(34.0, -8.0, -0.5)
    base = start + u[:, None, None] * side + w[None, :, None] * axes.head
    lines = base[:, :, None, :] + heights[None, None, :, None] * out
    near = around.distance_mm("bone", lines.reshape(-1, 3)).reshape(len(u), len(w), len(heights)) < NEEDLE_GAP_MM + 0.1
    hit = near.any(axis=2)
    top = np.where(hit, heights[near.argmax(axis=2)], np.nan)
    rise = np.full_like(top, np.nan)
    rise[3:] = top[:-3] - top[3:]
    beyond = np.full_like(top, np.nan)
    beyond[:-3] = top[3:] - top[:-3]
    fits = (rise >= 2.0) & (np.abs(beyond) <= 4.0) & (u[:, None] >= 1.0)
    places, fits = (base + (top + 0.5)[:, :, None] * out)[hit], fits[hit]
    if len(places):
        clear = around.distance_mm("bone", places) >= NEEDLE_GAP_MM - 0.05
        places, fits = places[clear], fits[clear]
    right, back, head = (scale * part for part in _JUNCTION)
    away = np.linalg.norm(places - (start + sign * right * axes.left + back * axes.back + head * axes.head), axis=1)
    # Where no groove is to be seen (a low process, coarse voxels), the bone nearest to where it should be.
    order = np.argsort(away + np.where(fits, 0.0, _NO_GROOVE_MM))
    found: Float = places[order][away[order] <= _JUNCTION_OFF_MM * scale][:5]
    return found


def sacroiliac_aims(case: Case) -> list[Aim]:
    """Return aims at the lowest 2 cm of the sacroiliac joint, from behind."""
    aims = []
    for approach in case.plan.approaches:
        cone = approach.cone_for(case.level.name)
        for side in case.sides(approach):
            hip, sacrum = case.mask_named(f"hip_{side}"), _bone_mask(case, "S1")
            if not hip.any():
                continue
            cleft = bones_between(case.around, hip, sacrum, _about(sacrum))
            if len(cleft) < 30:
                continue
            low = cleft[:, 2] <= np.percentile(cleft[:, 2], 1.0) + 20.0
            cleft = cleft[low]
            places = _beside(case.around, cleft[cleft[:, 1] >= np.percentile(cleft[:, 1], 40.0)], 30)
            if len(places):
                name = f"sacroiliac_{side}"
                paint_zone(case.around, name, places)
                aims.append(Aim(approach.name, side, places, case.axes(cone), cone, side_sign(side), name))
    if not aims:
        raise ValueError("sacrum: no sacroiliac joint is seen between hip and sacrum in the labels (fused, or cut off)")
    return aims


def _about(mask: Mask) -> Mask:
    """Return the box of a mask, and a little more."""
    found = np.zeros_like(mask)
    index = np.argwhere(mask)
    if len(index):
        low, high = np.maximum(index.min(axis=0) - 6, 0), index.max(axis=0) + 7
        found[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return found


def caudal_aims(case: Case) -> list[Aim]:
    """Return aims in the sacral canal above its hiatus and below the end of the dural sac."""
    canal = _sacral_canal(case)
    case.around.masks["sacral_canal"] = canal
    z, y, x = np.nonzero(canal)
    heights = case.around.first_mm[2] + np.arange(canal.shape[0]) * PITCH_MM
    filled = np.unique(z)
    low = heights[filled[0]]
    sac = np.flatnonzero(case.around.masks["dura"].any(axis=(1, 2)))
    end = heights[sac[0]] if len(sac) else np.inf
    points = []
    for i in filled:
        if low + 8.0 <= heights[i] <= min(low + 40.0, end - 8.0) and (i - filled[0]) % 2 == 0:
            points.append(case.around.points_of([[i, np.median(y[z == i]), np.median(x[z == i])]])[0])
    if not points:
        raise ValueError("sacrum: the dural sac reaches down to the sacral hiatus: no room for a needle below it")
    places = np.array(points)
    places = places[case.around.distance_mm("bone", places) >= NEEDLE_GAP_MM]
    if len(places) == 0:
        raise ValueError("sacrum: the sacral canal is too narrow for the needle")
    aims = []
    for approach in case.plan.approaches:
        cone = approach.cone_for("sacrum")
        aims.append(Aim(approach.name, "", places, case.axes(cone), cone, 1.0, "sacral_canal"))
    return aims


def _sacral_canal(case: Case) -> Mask:
    """Return the canal near the midline below S2: open room with sacrum before it, and behind it down to the hiatus."""
    sacrum = _bone_mask(case, "S1")
    bone = case.around.masks["bone"]
    canal = np.zeros_like(sacrum)
    there = np.argwhere(sacrum)
    if len(there) == 0:
        raise ValueError("sacrum: not in the labels")
    middle = round(float(np.median(there[:, 2])))
    rows = np.unique(there[:, 0])
    open_rows = 0
    for i in rows[::-1]:
        column = bone[i, :, middle - 1 : middle + 2].any(axis=1)
        filled = np.flatnonzero(column)
        gaps = [(a, b) for a, b in pairwise(filled) if 4 <= b - a <= 22]
        if gaps and _below_sac(rows, i):
            a, b = gaps[-1]
            canal[i, a + 1 : b, middle - 2 : middle + 3] = True
            open_rows += 1
    canal &= ~bone & ~case.around.masks["dura"]
    top = np.flatnonzero(canal.any(axis=(1, 2)))
    if len(top) < 12:
        raise ValueError(
            "sacrum: the labels show no sacral canal that opens at a hiatus (voxels too coarse, or closed)"
        )
    return canal


def _below_sac(rows: NDArray[np.int64], i: int) -> bool:
    """Whether a height lies in the lower two thirds of the sacrum, where the canal holds no sac."""
    return bool(i <= rows[0] + 0.72 * (rows[-1] - rows[0]))
