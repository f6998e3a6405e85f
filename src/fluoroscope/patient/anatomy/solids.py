"""Solid shapes painted into a voxel grid: smoothly joined, with a shell, soft-edged by one voxel.

Distances are signed, below zero inside, and exact only for spheres and round capsules; for the others they
are first order, which is enough for edges one voxel wide.
"""

from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Canvas", "Solid", "capsule", "column", "ellipsoid", "offset", "plate"]

_CAPSULE, _COLUMN, _ELLIPSOID, _PLATE = 0.0, 1.0, 2.0, 3.0
_WIDTH = 12


def capsule(
    start_mm: ArrayLike,
    end_mm: ArrayLike,
    start_radius_mm: float,
    end_radius_mm: float | None = None,
    stretch: ArrayLike = (1.0, 1.0, 1.0),
) -> NDArray[np.float64]:
    """Return a rod with round ends; ``stretch`` widens its cross-section along x, y, z."""
    end_radius = start_radius_mm if end_radius_mm is None else end_radius_mm
    return np.concatenate(
        [[_CAPSULE], _three(start_mm), _three(end_mm), [start_radius_mm, end_radius], _three(stretch)]
    )


def column(
    center_mm: ArrayLike, half_mm: ArrayLike, *, waist: float = 0.0, exponent: float = 2.5, taper: float = 0.0
) -> NDArray[np.float64]:
    """Return an upright superelliptic block of half sizes x, y, z.

    ``waist`` is the share its middle is narrower by, ``taper`` the share its lower end is narrower and its
    upper wider.
    """
    return np.concatenate([[_COLUMN], _three(center_mm), _three(half_mm), [waist, exponent, taper, 0.0, 0.0]])


def ellipsoid(center_mm: ArrayLike, half_mm: ArrayLike) -> NDArray[np.float64]:
    """Return an ellipsoid of half axes x, y, z."""
    return np.concatenate([[_ELLIPSOID], _three(center_mm), _three(half_mm), np.zeros(5)])


def plate(a_mm: ArrayLike, b_mm: ArrayLike, c_mm: ArrayLike, half_thickness_mm: float) -> NDArray[np.float64]:
    """Return a triangle with round edges."""
    return np.concatenate([[_PLATE], _three(a_mm), _three(b_mm), _three(c_mm), [half_thickness_mm, 0.0]])


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
        (n, 12), from `capsule`, `column`, `ellipsoid`; in the solid's own frame.
    holes
        (m, 12), taken away.
    hu
        CT number inside.
    shell_hu, shell_mm
        CT number and thickness of the rind; no rind when 0 mm.
    joint_mm
        Width over which shapes melt into each other, 0 for a plain union.
    label
        Number painted into the label map, 0 for none.
    world_from_solid
        (4, 4) rigid.
    """

    shapes: NDArray[np.float64]
    hu: float
    shell_hu: float = 0.0
    shell_mm: float = 0.0
    joint_mm: float = 0.0
    label: int = 0
    holes: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, _WIDTH)))
    world_from_solid: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))


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
        World L, P, S of voxel (0, 0, 0).
    pitch_mm
        Voxel pitch, the same along all axes.
    """

    hu: NDArray[np.float32]
    labels: NDArray[np.uint8]
    origin_mm: tuple[float, float, float]
    pitch_mm: float

    def paint(self, solid: Solid) -> None:
        """Lay a solid over what is there."""
        solid_from_world = np.linalg.inv(solid.world_from_solid)
        boxes = _boxes(solid)
        low, high = boxes[:, :3].min(axis=0), boxes[:, 3:].max(axis=0)
        origin = np.array(self.origin_mm)
        sizes = np.array(self.hu.shape[::-1])
        first = np.clip(np.floor((low - origin) / self.pitch_mm).astype(int), 0, sizes)
        last = np.clip(np.ceil((high - origin) / self.pitch_mm).astype(int) + 1, 0, sizes)
        if (last <= first).any():
            return
        box = tuple(slice(int(a), int(b)) for a, b in zip(first[::-1], last[::-1], strict=True))
        _paint(
            self.hu[box],
            self.labels[box],
            origin + first * self.pitch_mm,
            self.pitch_mm,
            solid_from_world,
            solid.shapes,
            solid.holes,
            boxes,
            np.array([solid.hu, solid.shell_hu, solid.shell_mm, solid.joint_mm, float(solid.label)]),
        )


def _boxes(solid: Solid) -> NDArray[np.float64]:
    """Return (n, 6): lowest and highest world corner each shape can touch or melt into."""
    choose = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    turn, shift = solid.world_from_solid[:3, :3], solid.world_from_solid[:3, 3]
    margin = 3.0 + solid.joint_mm
    boxes = []
    for shape in solid.shapes:
        if shape[0] == _CAPSULE:
            grown: float | NDArray[np.float64] = max(shape[7], shape[8]) * shape[9:12]
            points = np.stack([shape[1:4], shape[4:7]])
        elif shape[0] == _PLATE:
            grown = float(shape[10])
            points = shape[1:10].reshape(3, 3)
        else:
            grown = shape[4:7] * (1.0 + (abs(shape[9]) if shape[0] == _COLUMN else 0.0))
            points = shape[1:4][np.newaxis]
        low, high = points.min(axis=0) - grown, points.max(axis=0) + grown
        corners = np.where(choose == 0, low, high) @ turn.T + shift
        boxes.append(np.concatenate([corners.min(axis=0) - margin, corners.max(axis=0) + margin]))
    return np.array(boxes)


# Called by kernels only: the doors for Python and C would cost a third of the compile time.
_WITHIN: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}
_DOOR: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy", "no_cfunc_wrapper": True}


@numba.njit(fastmath=True, **_WITHIN)
def _triangle(shape, x, y, z):  # type: ignore[no-untyped-def]
    """Distance to a triangle: to its plane when the foot lies inside, else to the nearest edge."""
    p = (x, y, z)
    nearest = 1e18
    inside = True
    nx = (shape[5] - shape[2]) * (shape[9] - shape[3]) - (shape[6] - shape[3]) * (shape[8] - shape[2])
    ny = (shape[6] - shape[3]) * (shape[7] - shape[1]) - (shape[4] - shape[1]) * (shape[9] - shape[3])
    nz = (shape[4] - shape[1]) * (shape[8] - shape[2]) - (shape[5] - shape[2]) * (shape[7] - shape[1])
    for corner in range(3):
        a = 1 + 3 * corner
        b = 1 + 3 * ((corner + 1) % 3)
        ex, ey, ez = shape[b] - shape[a], shape[b + 1] - shape[a + 1], shape[b + 2] - shape[a + 2]
        qx, qy, qz = p[0] - shape[a], p[1] - shape[a + 1], p[2] - shape[a + 2]
        t = min(1.0, max(0.0, (qx * ex + qy * ey + qz * ez) / (ex * ex + ey * ey + ez * ez)))
        dx, dy, dz = qx - t * ex, qy - t * ey, qz - t * ez
        nearest = min(nearest, dx * dx + dy * dy + dz * dz)
        turn = (ny * ez - nz * ey) * qx + (nz * ex - nx * ez) * qy + (nx * ey - ny * ex) * qz
        inside = inside and turn >= 0.0
    if inside:
        height = (x - shape[1]) * nx + (y - shape[2]) * ny + (z - shape[3]) * nz
        return abs(height) / np.sqrt(nx * nx + ny * ny + nz * nz)
    return np.sqrt(nearest)


@numba.njit(fastmath=True, **_WITHIN)
def _distance(shape, x, y, z):  # type: ignore[no-untyped-def]
    if shape[0] == 0.0:
        ax, ay, az = shape[1] / shape[9], shape[2] / shape[10], shape[3] / shape[11]
        bx, by, bz = shape[4] / shape[9] - ax, shape[5] / shape[10] - ay, shape[6] / shape[11] - az
        px, py, pz = x / shape[9] - ax, y / shape[10] - ay, z / shape[11] - az
        length2 = bx * bx + by * by + bz * bz
        t = (px * bx + py * by + pz * bz) / length2 if length2 > 0.0 else 0.0
        t = min(1.0, max(0.0, t))
        dx, dy, dz = px - t * bx, py - t * by, pz - t * bz
        distance = np.sqrt(dx * dx + dy * dy + dz * dz)
        # Back to millimetres by the stretch along the direction of the nearest point.
        if distance > 1e-9:
            wx, wy, wz = dx * shape[9], dy * shape[10], dz * shape[11]
            scale = np.sqrt(wx * wx + wy * wy + wz * wz) / distance
        else:
            scale = min(shape[9], shape[10], shape[11])
        return (distance - shape[7] - t * (shape[8] - shape[7])) * scale
    if shape[0] == 3.0:
        return _triangle(shape, x, y, z) - shape[10]
    px, py, pz = x - shape[1], y - shape[2], z - shape[3]
    if shape[0] == 1.0:
        h = min(1.0, max(-1.0, pz / shape[6]))
        narrow = (1.0 - shape[7] * (1.0 - h * h)) * (1.0 + shape[9] * h)
        a, b = shape[4] * narrow, shape[5] * narrow
        u = (abs(px / a) ** shape[8] + abs(py / b) ** shape[8]) ** (1.0 / shape[8])
        radius = np.sqrt(px * px + py * py)
        side = radius * (1.0 - 1.0 / u) if u > 1e-3 else -min(a, b)
        flat = abs(pz) - shape[6]
        edge = 2.5
        blend = max(0.0, edge - abs(side - flat)) / edge
        return max(side, flat) + blend * blend * edge * 0.25
    u = np.sqrt((px / shape[4]) ** 2 + (py / shape[5]) ** 2 + (pz / shape[6]) ** 2)
    radius = np.sqrt(px * px + py * py + pz * pz)
    return radius * (1.0 - 1.0 / u) if u > 1e-3 else -min(shape[4], shape[5], shape[6])


@numba.njit(fastmath=True, **_DOOR)
def _paint(  # type: ignore[no-untyped-def]
    hu, labels, first, pitch, solid_from_world, shapes, holes, boxes, how
):
    m = solid_from_world
    inside_hu, shell_hu, shell, joint = how[0], how[1], how[2], how[3]
    near = np.empty(shapes.shape[0], np.int64)
    for i in range(hu.shape[0]):
        wz = first[2] + i * pitch
        for j in range(hu.shape[1]):
            wy = first[1] + j * pitch
            count = 0
            left, right = 1e9, -1e9
            for n in range(shapes.shape[0]):
                if boxes[n, 1] <= wy <= boxes[n, 4] and boxes[n, 2] <= wz <= boxes[n, 5]:
                    near[count] = n
                    count += 1
                    left, right = min(left, boxes[n, 0]), max(right, boxes[n, 3])
            if count == 0:
                continue
            begin = max(0, int(np.floor((left - first[0]) / pitch)))
            for k in range(begin, min(hu.shape[2], int(np.ceil((right - first[0]) / pitch)) + 1)):
                wx = first[0] + k * pitch
                x = m[0, 0] * wx + m[0, 1] * wy + m[0, 2] * wz + m[0, 3]
                y = m[1, 0] * wx + m[1, 1] * wy + m[1, 2] * wz + m[1, 3]
                z = m[2, 0] * wx + m[2, 1] * wy + m[2, 2] * wz + m[2, 3]
                d = 1e9
                for c in range(count):
                    n = near[c]
                    if wx < boxes[n, 0] or wx > boxes[n, 3]:
                        continue
                    e = _distance(shapes[n], x, y, z)
                    if joint > 0.0:
                        blend = max(0.0, joint - abs(d - e)) / joint
                        d = min(d, e) - blend * blend * joint * 0.25
                    else:
                        d = min(d, e)
                if d > pitch:
                    continue
                for n in range(holes.shape[0]):
                    d = max(d, -_distance(holes[n], x, y, z))
                cover = min(1.0, max(0.0, 0.5 - d / pitch))
                if cover <= 0.0:
                    continue
                value = inside_hu
                if shell > 0.0:
                    core = min(1.0, max(0.0, 0.5 - (d + shell) / pitch))
                    value = shell_hu + core * (inside_hu - shell_hu)
                hu[i, j, k] += cover * (value - hu[i, j, k])
                if how[4] > 0.0 and cover > 0.5:
                    labels[i, j, k] = int(how[4])
