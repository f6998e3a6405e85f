"""Structures a real CT's labels do not show: nerve roots and discs, laid where the bones say they run."""

import numpy as np
from numpy.typing import NDArray

from fluoroscope.guidance.planning.spine import Spine, VertebraPlace, side_sign
from fluoroscope.guidance.planning.surroundings import PITCH_MM, Surroundings

__all__ = ["add_missing_parts"]

Float = NDArray[np.float64]

# From the middle of a pedicle, in the vertebra's axes (out to the side, to the back, to the head), for a body 45 mm
# wide, and the radius there: from the sac past the pedicle's inner edge to the ganglion below it, then out and down.
_ROOT = (
    ((-12.0, 6.0, 4.0), 1.2), ((-9.0, 5.0, -1.5), 1.4), ((-4.0, 1.5, -9.0), 2.2), ((0.0, -1.0, -12.5), 3.0),
    ((4.0, -3.0, -16.5), 2.2), ((16.0, -10.0, -28.0), 1.8),
)  # fmt: skip
"""The ganglion lies under the middle of the pedicle; courses of the model's own patients, unverified."""


def add_missing_parts(around: Surroundings, spine: Spine) -> None:
    """Lay roots and discs into the surroundings where no label shows them, and note that it was done."""
    if not around.has("nerve_root"):
        roots = np.zeros(around.shape, dtype=np.bool_)
        for vertebra in spine.vertebrae.values():
            if vertebra.level.startswith(("L", "T")):
                for side in ("left", "right"):
                    _paint_root(around, roots, vertebra, side)
        roots &= ~around.masks["bone"] & ~around.masks["dura"]
        if roots.any():
            around.masks["nerve_root"] = roots
            around.notes.append("nerve roots are not labelled: their course is modelled from the pedicles")
    if not around.has("disc"):
        discs = np.zeros(around.shape, dtype=np.bool_)
        for joint in spine.discs.values():
            turn = joint.world_from_disc
            half = 0.25 * (joint.anterior_mm + joint.posterior_mm)
            for height in np.arange(-half + 0.5, half, 1.0):
                _paint_ellipse(around, discs, turn, float(height), 0.5 * joint.width_mm, 0.5 * joint.depth_mm)
        discs &= ~around.masks["bone"] & ~around.masks["dura"]
        if discs.any():
            around.masks["disc"] = discs
            around.notes.append("discs are not labelled: taken as the room between the endplates")


def _paint_root(around: Surroundings, mask: NDArray[np.bool_], vertebra: VertebraPlace, side: str) -> None:
    axes, sign, s = vertebra.axes, side_sign(side), vertebra.scale
    places = [
        vertebra.pedicle_mm[side] + s * (sign * out * axes.left + back * axes.back + head * axes.head)
        for (out, back, head), _ in _ROOT
    ]
    for number in range(len(places) - 1):
        _paint_rod(around, mask, places[number], places[number + 1], s * max(_ROOT[number][1], 1.2))


def _paint_rod(around: Surroundings, mask: NDArray[np.bool_], first: Float, last: Float, radius: float) -> None:
    """Set what lies within a radius of a straight piece."""
    low = np.floor((np.minimum(first, last) - radius - around.first_mm) / PITCH_MM).astype(int)[::-1]
    high = np.ceil((np.maximum(first, last) + radius - around.first_mm) / PITCH_MM).astype(int)[::-1] + 1
    low, high = np.maximum(low, 0), np.minimum(high, mask.shape)
    if np.any(high <= low):
        return
    index = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij"), axis=-1)
    points = around.points_of(index.reshape(-1, 3))
    way = last - first
    share = np.clip((points - first) @ way / max(float(way @ way), 1e-9), 0.0, 1.0)
    near = np.linalg.norm(points - first - share[:, None] * way, axis=1) <= radius
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    mask[box] |= near.reshape(index.shape[:3])


def _paint_ellipse(
    around: Surroundings, mask: NDArray[np.bool_], turn: Float, height: float, half_x: float, half_y: float
) -> None:
    """Set a disc's outline at one height of its own axis."""
    x, y = np.meshgrid(np.arange(-half_x, half_x, 0.5), np.arange(-half_y, half_y, 0.5))
    within = (x / half_x) ** 2 + (y / half_y) ** 2 <= 1.0
    local = np.stack([x[within], y[within], np.full(int(within.sum()), height)], axis=1)
    points = local @ turn[:3, :3].T + turn[:3, 3]
    index = np.rint(around.index_of(points)).astype(int)
    good = np.all((index >= 0) & (index < np.array(mask.shape)[:, None]), axis=0)
    i, j, k = index[:, good]
    mask[i, j, k] = True
