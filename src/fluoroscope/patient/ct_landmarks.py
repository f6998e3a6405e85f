"""A vertebra found in its label: axes, endplates, canal, and the points a radiologist names."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.rigid import apply, inverse
from fluoroscope.patient.parts import DiscJoint, Landmark

__all__ = ["FoundVertebra", "disc_between", "find_vertebra", "landmarks_of"]

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FoundVertebra:
    """A vertebra as its label shows it.

    Attributes
    ----------
    level
        "L3".
    world_from_vertebra
        (4, 4): origin mid-body, x to the patient's left, y to the back, z to the head.
    points_mm
        (n, 3) of its voxels in those axes.
    front_mm, wall_mm, canal_mm
        Where on y the body begins, where it ends at the canal, and where the canal ends.
    half_width_mm
        Of the body.
    top, bottom
        (3,) endplates in those axes: z = t₀ + t₁·x + t₂·y.
    spacing_mm
        Root mean square voxel pitch.
    """

    level: str
    world_from_vertebra: Points
    points_mm: Points
    front_mm: float
    wall_mm: float
    canal_mm: float
    half_width_mm: float
    top: Points
    bottom: Points
    spacing_mm: float


def find_vertebra(level: str, points_mm: Points, up: Points, spacing_mm: float) -> FoundVertebra:
    """Return a vertebra found in its voxels.

    The body is what lies before the first gap on the mid line, the canal. Endplates are planes fitted to the body's
    top and bottom voxels column by column; their mean normal is the axis, found in three rounds.

    Parameters
    ----------
    level
        Its name.
    points_mm
        (n, 3) voxel centres, LPS mm.
    up
        (3,) first guess of the direction to the head.
    spacing_mm
        Root mean square voxel pitch.

    Raises
    ------
    ValueError
        When the label shows no body with two endplates.
    """
    center, back = points_mm.mean(axis=0), np.array([0.0, 1.0, 0.0])
    for _ in range(3):
        world_from = _axes(center, up, back)
        local = apply(inverse(world_from), points_mm)
        front, wall, canal = _along_midline(local, spacing_mm)
        body = local[local[:, 1] <= wall]
        half = _half_width(body)
        top, bottom = (_endplate(body, spacing_mm, sign, half) for sign in (1.0, -1.0))
        arch = local[local[:, 1] > canal]
        middle = np.array([float(np.median(body[:, 0])), 0.5 * (front + wall), 0.0])
        middle[2] = 0.5 * sum(float(plane @ (1.0, middle[0], middle[1])) for plane in (top, bottom))
        center = apply(world_from, middle)
        tilt = 0.5 * (top + bottom)
        up = world_from[:3, :3] @ np.array([-tilt[1], -tilt[2], 1.0])
        if len(arch) > 3:
            sideways = float(np.median(arch[:, 0])) - middle[0]
            back = world_from[:3, :3] @ np.array([sideways, float(arch[:, 1].mean()) - middle[1], 0.0])
    world_from = _axes(center, up, back)
    local = apply(inverse(world_from), points_mm)
    front, wall, canal = _along_midline(local, spacing_mm)
    body = local[local[:, 1] <= wall]
    half = _half_width(body)
    top, bottom = (_endplate(body, spacing_mm, sign, half) for sign in (1.0, -1.0))
    return FoundVertebra(level, world_from, local, front, wall, canal, half, top, bottom, spacing_mm)


def _axes(center: Points, up: Points, back: Points) -> Points:
    z = up / np.linalg.norm(up)
    y = back - (back @ z) * z
    y /= np.linalg.norm(y)
    world_from = np.eye(4)
    world_from[:3, 0], world_from[:3, 1], world_from[:3, 2], world_from[:3, 3] = np.cross(y, z), y, z, center
    return world_from


def _along_midline(local: Points, spacing_mm: float) -> tuple[float, float, float]:
    """Return where on y body, canal and arch begin: the first gap of the mid column behind its thickest part."""
    width = max(5.0, 1.5 * spacing_mm)
    column = local[np.abs(local[:, 0] - np.median(local[:, 0])) < width, 1]
    if len(column) < 10:
        raise ValueError("the label shows no vertebral body")
    step = max(1.0, 0.5 * spacing_mm)
    edges = np.arange(column.min() - step, column.max() + 2.0 * step, step)
    counts = np.convolve(np.histogram(column, edges)[0], np.ones(3) / 3.0, mode="same")
    thick = counts > 0.35 * np.percentile(counts[counts > 0.0], 90)
    first = int(np.argmax(thick))
    gaps = np.flatnonzero(~thick[first:])
    last = first + int(gaps[0]) if len(gaps) else len(counts) - 1
    bone = np.flatnonzero(counts[last:] > 0.2 * counts.max())
    behind = last + int(bone[bone > 8.0 / step][0]) if (bone > 8.0 / step).any() else last + round(15.0 / step)
    # The smoothing above carries either edge half a step outward.
    return (
        float(edges[first] + 0.5 * step),
        float(edges[last] - 0.5 * step),
        float(edges[last] + step * (behind - last)),
    )


def _half_width(body: Points) -> float:
    """Return half the width of a body's front part, where no pedicle or process widens it."""
    front = body[body[:, 1] < np.percentile(body[:, 1], 60.0), 0]
    return 0.5 * float(np.ptp(np.percentile(front, (1.0, 99.0))))


def _endplate(body: Points, spacing_mm: float, sign: float, half_mm: float) -> Points:
    """Return the plane (t₀, t₁, t₂) through the outermost voxels of each column of the body's inner part."""
    front, wall = body[:, 1].min(), body[:, 1].max()
    depth = wall - front
    inner = (np.abs(body[:, 0] - np.median(body[:, 0])) < 0.75 * half_mm) & (body[:, 1] > front + 0.12 * depth)
    inner &= body[:, 1] < wall - 0.12 * depth
    cells = np.floor(body[inner, :2] / spacing_mm).astype(np.int64)
    columns, which = np.unique(cells, axis=0, return_inverse=True)
    height = np.full(len(columns), -np.inf)
    np.maximum.at(height, which.ravel(), sign * body[inner, 2])
    # A voxel's face lies half a voxel beyond its centre.
    z = sign * (height + 0.5 * spacing_mm)
    x, y = ((columns + 0.5) * spacing_mm).T
    if len(z) < 6:
        raise ValueError("the label shows no endplate")
    rows = np.column_stack([np.ones(len(z)), x, y])
    keep = np.ones(len(z), dtype=np.bool_)
    for _ in range(3):
        plane: Points = np.linalg.lstsq(rows[keep], z[keep], rcond=None)[0]
        off = np.abs(rows @ plane - z)
        keep = off <= max(2.5 * float(np.median(off)), 0.5 * spacing_mm)
    return plane


def landmarks_of(found: FoundVertebra) -> dict[str, Landmark]:
    """Return the landmarks of a vertebra: body, endplates' corners, pedicles, spinous and transverse tips.

    Uncertainty (one standard deviation) from voxel pitch h: planes average many columns, h/2; edges of the body and
    tips are read off single voxels, h.
    """
    h, local, frame = found.spacing_mm, found.points_mm, f"vertebrae_{found.level}"
    marks: dict[str, tuple[Points, float]] = {"center": (np.zeros(3), 0.5 * h)}
    mid_y = 0.5 * (found.front_mm + found.wall_mm)
    places = {
        "anterior": (0.0, found.front_mm),
        "posterior": (0.0, found.wall_mm),
        "left": (found.half_width_mm, mid_y),
        "right": (-found.half_width_mm, mid_y),
    }
    for plate, plane in (("superior", found.top), ("inferior", found.bottom)):
        for side, (x, y) in places.items():
            marks[f"{plate}_endplate_{side}"] = (np.array([x, y, float(plane @ (1.0, x, y))]), 0.7 * h)
    behind = local[(local[:, 1] > found.wall_mm) & (local[:, 1] < 0.5 * (found.wall_mm + found.canal_mm) + h)]
    for side, sign in (("left", 1.0), ("right", -1.0)):
        pedicle = behind[(sign * behind[:, 0] > 4.0) & (np.abs(behind[:, 0]) < 28.0)]
        if len(pedicle) >= 3:
            marks[f"pedicle_{side}"] = (pedicle.mean(axis=0), 0.5 * h)
        wing = local[local[:, 1] > found.wall_mm - 5.0]
        out = wing[sign * wing[:, 0] >= np.percentile(sign * wing[:, 0], 99.0)] if len(wing) else wing
        if len(out):
            marks[f"transverse_tip_{side}"] = (out.mean(axis=0), h)
    spine = local[(local[:, 1] > found.canal_mm) & (np.abs(local[:, 0]) < 10.0)]
    if len(spine) >= 3:
        marks["spinous_tip"] = (spine[spine[:, 1] >= np.percentile(spine[:, 1], 95.0)].mean(axis=0), h)
    landmarks = {}
    for mark, (place, sigma) in marks.items():
        x_mm, y_mm, z_mm = (float(value) for value in apply(found.world_from_vertebra, place))
        name = f"{found.level}/{mark}"
        landmarks[name] = Landmark(name, (x_mm, y_mm, z_mm), frame, sigma)
    return landmarks


def disc_between(upper: FoundVertebra, below_mm: Points, lower_name: str, lower_frame: str) -> DiscJoint:
    """Return the disc under a vertebra.

    Parameters
    ----------
    upper
        The vertebra above.
    below_mm
        (n, 3) voxel centres of what lies below: the next vertebra's, or the sacrum's.
    lower_name, lower_frame
        "L4" or "S1"; "vertebrae_L4" or "sacrum".
    """
    under = apply(inverse(upper.world_from_vertebra), below_mm)
    depth = upper.wall_mm - upper.front_mm
    below = (under[:, 1] > upper.front_mm - 2.0) & (under[:, 1] < upper.wall_mm) & (under[:, 2] < upper.bottom[0] + 5.0)
    below &= (np.abs(under[:, 0]) < upper.half_width_mm) & (under[:, 2] > upper.bottom[0] - 30.0)
    if below.sum() < 20:
        raise ValueError(f"nothing of {lower_name} lies under {upper.level}")
    plate = _endplate(under[below], upper.spacing_mm, 1.0, upper.half_width_mm)
    middle_plane = 0.5 * (upper.bottom + plate)
    mid_y = 0.5 * (upper.front_mm + upper.wall_mm)
    gaps = [float((upper.bottom - plate) @ (1.0, 0.0, y)) for y in (upper.front_mm, upper.wall_mm)]
    turn = upper.world_from_vertebra[:3, :3]
    center = apply(upper.world_from_vertebra, (0.0, mid_y, float(middle_plane @ (1.0, 0.0, mid_y))))
    up = turn @ np.array([-middle_plane[1], -middle_plane[2], 1.0])
    anterior, posterior = (min(max(gap, 1.0), 25.0) for gap in gaps)
    return DiscJoint(
        f"{upper.level}_{lower_name}", f"vertebrae_{upper.level}", lower_frame, _axes(center, up, turn[:, 1]),
        2.0 * upper.half_width_mm, depth, anterior, posterior,
    )  # fmt: skip
