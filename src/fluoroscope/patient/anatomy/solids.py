"""Solid shapes: smoothly joined, with holes taken away; their distance, and painting them into voxels.

Distances are signed, below zero inside, and exact only for spheres and round capsules; for the others they
are first order, which is enough for edges one voxel wide.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fluoroscope.patient.anatomy.distances import (
    BAR,
    BODY,
    CAPSULE,
    COLUMN,
    CUT,
    ELLIPSOID,
    PLATE,
    WIDTH,
    solid_crossing,
    solid_distance,
)
from fluoroscope.patient.anatomy.painting import paint_solid
from fluoroscope.patient.threads import spread

__all__ = ["Canvas", "Solid", "bar", "capsule", "column", "cut", "ellipsoid", "offset", "plate", "shape_row"]


def shape_row(kind: float, values: ArrayLike, *, melt_mm: float = 0.0, shell_mm: float = 0.0) -> NDArray[np.float64]:
    """Return a shape (24,): its kind, its numbers, how far it melts into others, the shell (0: as its solid says)."""
    row = np.zeros(WIDTH)
    numbers = np.asarray(values, dtype=np.float64).ravel()
    row[0] = kind
    row[1 : 1 + len(numbers)] = numbers
    row[WIDTH - 2], row[WIDTH - 1] = melt_mm, shell_mm
    return row


def capsule(
    start_mm: ArrayLike,
    end_mm: ArrayLike,
    start_radius_mm: float,
    end_radius_mm: float | None = None,
    stretch: ArrayLike = (1.0, 1.0, 1.0),
) -> NDArray[np.float64]:
    """Return a rod with round ends; ``stretch`` widens its cross-section along x, y, z."""
    end_radius = start_radius_mm if end_radius_mm is None else end_radius_mm
    radii = [start_radius_mm, end_radius]
    return shape_row(CAPSULE, np.concatenate([_three(start_mm), _three(end_mm), radii, _three(stretch)]))


def column(
    center_mm: ArrayLike, half_mm: ArrayLike, *, waist: float = 0.0, exponent: float = 2.5, taper: float = 0.0
) -> NDArray[np.float64]:
    """Return an upright superelliptic block of half sizes x, y, z.

    ``waist`` is the share its middle is narrower by, ``taper`` the share its lower end is narrower and its
    upper wider.
    """
    return shape_row(COLUMN, np.concatenate([_three(center_mm), _three(half_mm), [waist, exponent, taper]]))


def ellipsoid(center_mm: ArrayLike, half_mm: ArrayLike) -> NDArray[np.float64]:
    """Return an ellipsoid of half axes x, y, z."""
    return shape_row(ELLIPSOID, np.concatenate([_three(center_mm), _three(half_mm)]))


def plate(a_mm: ArrayLike, b_mm: ArrayLike, c_mm: ArrayLike, half_thickness_mm: float) -> NDArray[np.float64]:
    """Return a triangle with round edges."""
    return shape_row(PLATE, np.concatenate([_three(a_mm), _three(b_mm), _three(c_mm), [half_thickness_mm]]))


def bar(
    start_mm: ArrayLike,
    end_mm: ArrayLike,
    across: ArrayLike,
    start_half_mm: tuple[float, float],
    end_half_mm: tuple[float, float] | None = None,
    *,
    roundness: float = 1.0,
    melt_mm: float = 0.0,
    shell_mm: float = 0.0,
) -> NDArray[np.float64]:
    """Return a tapered bar of flat or round section.

    Parameters
    ----------
    start_mm, end_mm
        (3,) its ends; it reaches beyond them by its smaller half size, rounded.
    across
        (3,) direction of its first half size; the second is square to it and to the bar.
    start_half_mm, end_half_mm
        Half sizes of the section at both ends.
    roundness
        0 for sharp edges to 1 for a section whose narrow sides are half circles; 2 for an oval.
    melt_mm, shell_mm
        As in `shape_row`.

    Raises
    ------
    ValueError
        When the bar has no length.
    """
    start = _three(start_mm)
    along = _three(end_mm) - start
    length = float(np.linalg.norm(along))
    if length <= 0.0:
        raise ValueError("a bar needs two ends")
    along = along / length
    side = _three(across) - (_three(across) @ along) * along
    side = side / np.linalg.norm(side)
    halves = [*start_half_mm, *(start_half_mm if end_half_mm is None else end_half_mm)]
    numbers = np.concatenate([start, along, side, [length], halves, [roundness]])
    return shape_row(BAR, numbers, melt_mm=melt_mm, shell_mm=shell_mm)


def cut(point_mm: ArrayLike, normal: ArrayLike) -> NDArray[np.float64]:
    """Return the half space behind a plane, for a hole: what lies against the normal is taken away."""
    direction = _three(normal)
    return shape_row(CUT, np.concatenate([_three(point_mm), direction / np.linalg.norm(direction)]))


def offset(x_mm: float, y_mm: float, z_mm: float) -> NDArray[np.float64]:
    """Return a displacement (3,)."""
    return np.array([x_mm, y_mm, z_mm], dtype=np.float64)


def _three(values: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64).reshape(3)


@dataclass(frozen=True, slots=True)
class Solid:
    """A body of joined shapes.

    Attributes
    ----------
    shapes
        (n, 24), from `capsule`, `column`, `ellipsoid`, `plate`, `bar`.
    holes
        (m, 24), taken away.
    hu
        CT number inside.
    shell_hu, shell_mm
        CT number and thickness of the rind; no rind when 0 mm (a shape may have its own thickness).
    joint_mm
        Width over which shapes melt into each other, 0 for a plain union.
    cut_mm
        Width over which the edges of holes are rounded.
    label
        Number painted into the label map, 0 for none.
    texture_hu, texture_mm
        Amplitude and grain of the noise inside (trabeculae).
    lesions
        (k, 6): centre, radius, HU, width of the edge in mm: what replaces bone there.
    rough
        Most the surface is bumpy by in mm, and which bumps these are.
    world_from_solid
        (4, 4) rigid.
    """

    shapes: NDArray[np.float64]
    hu: float
    shell_hu: float = 0.0
    shell_mm: float = 0.0
    joint_mm: float = 0.0
    label: int = 0
    holes: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, WIDTH)))
    world_from_solid: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))
    cut_mm: float = 0.0
    texture_hu: float = 0.0
    texture_mm: float = 1.5
    lesions: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 6)))
    rough: tuple[float, float] = (0.0, 0.0)

    def distance(self, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (n,) signed distances in mm, below zero inside, of (n, 3) points of the patient."""
        points = np.ascontiguousarray(points_mm, dtype=np.float64).reshape(-1, 3)
        result = np.empty(len(points))
        spread(solid_distance, len(points), points, *self._form(), result, least=1000)
        return result

    def crossing(self, starts_mm: NDArray[np.float64], along: ArrayLike, reach_mm: float) -> NDArray[np.float64]:
        """Return (n,) lengths in mm from (n, 3) starts along unit vectors (3,) or (n, 3) to the surface, or nan."""
        starts = np.ascontiguousarray(starts_mm, dtype=np.float64).reshape(-1, 3)
        ways = np.ascontiguousarray(np.broadcast_to(np.asarray(along, dtype=np.float64), starts.shape))
        result = np.full(len(starts), np.nan)
        spread(solid_crossing, len(starts), starts, ways, float(reach_mm), *self._form(), result, least=100)
        return result

    def _form(self) -> tuple[NDArray[np.float64], ...]:
        how = np.array([self.joint_mm, self.cut_mm, *self.rough], dtype=np.float64)
        solid_from_world: NDArray[np.float64] = np.linalg.inv(self.world_from_solid).astype(np.float64)
        return solid_from_world, self.shapes, self.holes, how

    def box(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the lowest and highest corner (3,) in the patient of a box that holds the solid."""
        boxes = _boxes(self, self.world_from_solid)
        return boxes[:, :3].min(axis=0), boxes[:, 3:].max(axis=0)


@dataclass(frozen=True, slots=True)
class Canvas:
    """CT numbers and labels under construction, axes S, P, L.

    Attributes
    ----------
    hu
        float32 (n0, n1, n2).
    labels
        uint8, same shape.
    origin_mm
        L, P, S of voxel (0, 0, 0) in the canvas's own frame.
    pitch_mm
        Voxel pitch, the same along all axes.
    world_from_canvas
        (4, 4) rigid; identity for a canvas along the patient's axes, a vertebra's frame for a fine one.
    """

    hu: NDArray[np.float32]
    labels: NDArray[np.uint8]
    origin_mm: tuple[float, float, float]
    pitch_mm: float
    world_from_canvas: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))

    def paint(self, solid: Solid) -> None:
        """Lay a solid over what is there."""
        canvas_from_solid = np.linalg.inv(self.world_from_canvas) @ solid.world_from_solid
        boxes = _boxes(solid, canvas_from_solid)
        low, high = boxes[:, :3].min(axis=0), boxes[:, 3:].max(axis=0)
        origin = np.array(self.origin_mm)
        sizes = np.array(self.hu.shape[::-1])
        first = np.clip(np.floor((low - origin) / self.pitch_mm).astype(int), 0, sizes)
        last = np.clip(np.ceil((high - origin) / self.pitch_mm).astype(int) + 1, 0, sizes)
        if (last <= first).any():
            return
        box = tuple(slice(int(a), int(b)) for a, b in zip(first[::-1], last[::-1], strict=True))
        how = [solid.hu, solid.shell_hu, solid.shell_mm, solid.joint_mm, solid.cut_mm, float(solid.label)]
        spread(
            paint_solid,
            box[0].stop - box[0].start,
            self.hu[box],
            self.labels[box],
            origin + first * self.pitch_mm,
            self.pitch_mm,
            np.linalg.inv(canvas_from_solid),
            solid.shapes,
            solid.holes,
            boxes,
            solid.lesions,
            np.array([*how, solid.texture_hu, solid.texture_mm, *solid.rough]),
        )


def _reach(shape: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lowest and highest corner of a shape in its solid's frame."""
    kind = shape[0]
    grown: float | NDArray[np.float64]
    if kind == CAPSULE:
        grown = max(shape[7], shape[8]) * shape[9:12]
        points = np.stack([shape[1:4], shape[4:7]])
    elif kind == PLATE:
        grown = float(shape[10])
        points = shape[1:10].reshape(3, 3)
    elif kind == BAR:
        points = np.stack([shape[1:4], shape[1:4] + shape[10] * shape[4:7]])
        across, along = shape[7:10], shape[4:7]
        a, b = max(shape[11], shape[13]), max(shape[12], shape[14])
        grown = a * abs(across) + b * abs(np.cross(along, across)) + min(a, b) * abs(along)
    elif kind == BODY:
        half = np.array([max(shape[1:3]), max(shape[3:5]), 0.5 * max(shape[5:7])])
        points, grown = np.zeros((1, 3)), half
    else:
        grown = shape[4:7] * (1.0 + (abs(shape[9]) if kind == COLUMN else 0.0))
        points = shape[1:4][np.newaxis]
    return points.min(axis=0) - grown, points.max(axis=0) + grown


def _boxes(solid: Solid, canvas_from_solid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n, 6): lowest and highest corner in the canvas each shape can touch or melt into."""
    choose = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    turn, shift = canvas_from_solid[:3, :3], canvas_from_solid[:3, 3]
    boxes = []
    for shape in solid.shapes:
        margin = 3.0 + max(solid.joint_mm, shape[WIDTH - 2])
        low, high = _reach(shape)
        corners = np.where(choose == 0, low, high) @ turn.T + shift
        boxes.append(np.concatenate([corners.min(axis=0) - margin, corners.max(axis=0) + margin]))
    return np.array(boxes)
