"""Soft shapes painted with mottle: chains of rods, wobbly, melting into each other, kept to where they may grow.

Only plain arithmetic and square roots, no fast-math: the same seed gives the same voxels on every machine.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fluoroscope.patient.anatomy.hounsfield import tissue_numbers
from fluoroscope.patient.anatomy.solids import Canvas
from fluoroscope.patient.threads import each

__all__ = ["Grain", "SoftShape", "Texture", "by_slabs", "chain", "grain", "paint_soft", "shape_box", "texture"]

Grain = NDArray[np.float32]
"""Periodic noise (64, 64, 64) of zero mean and unit variance, correlated over about two cells."""

_SIDE = 64
_SLAB = 24
ANYWHERE = np.ones(256, dtype=np.bool_)


def grain(seed: int) -> Grain:
    """Return periodic noise; the same for the same seed everywhere."""
    noise = np.random.Generator(np.random.PCG64([seed, 7])).standard_normal((_SIDE, _SIDE, _SIDE))
    for _ in range(2):
        for axis in range(3):
            noise = 0.25 * np.roll(noise, 1, axis) + 0.5 * noise + 0.25 * np.roll(noise, -1, axis)
    noise -= noise.mean()
    unit: Grain = (noise / noise.std()).astype(np.float32)
    return unit


@dataclass(frozen=True, slots=True)
class Texture:
    """How a tissue looks inside.

    Attributes
    ----------
    mean_hu, sd_hu, grain_mm
        Mean and mottle.
    streak_hu, streak_above
        CT number of streaks of something else, found where the noise exceeds ``streak_above`` (in SD; 9 for none).
    streak_mm
        Their width.
    streak_length
        How many times longer than wide they run along the body.
    """

    mean_hu: float
    sd_hu: float
    grain_mm: float
    streak_hu: float = 0.0
    streak_above: float = 9.0
    streak_mm: float = 3.0
    streak_length: float = 4.0

    def row(self) -> NDArray[np.float64]:
        """Return the numbers for the kernels, (7,)."""
        return np.array(
            [
                self.mean_hu,
                self.sd_hu,
                1.0 / self.grain_mm,
                self.streak_hu,
                self.streak_above,
                1.0 / self.streak_mm,
                1.0 / (self.streak_mm * self.streak_length),
            ]
        )


def texture(tissue: str, **streaks: float) -> Texture:
    """Return the texture of a tissue of ``data/hounsfield.csv``, with streaks when given."""
    known = tissue_numbers()[tissue]
    return Texture(known.mean_hu, known.sd_hu, known.grain_mm, **streaks)


@dataclass(frozen=True, slots=True)
class SoftShape:
    """A soft structure.

    Attributes
    ----------
    segments
        (n, 8): start x, y, z, radius, end x, y, z, radius; patient coordinates, mm.
    texture
        What it is made of.
    label
        Number painted into the label map; 0 leaves what is there.
    stretch
        Widening of cross-sections along x, y, z.
    joint_mm
        Width over which segments melt into each other.
    wobble_mm, wobble_grain_mm
        How far (1 SD) and how coarsely the surface wanders.
    over
        (256,) labels it may be painted over.
    """

    segments: NDArray[np.float64]
    texture: Texture
    label: int
    stretch: tuple[float, float, float] = (1.0, 1.0, 1.0)
    joint_mm: float = 0.0
    wobble_mm: float = 0.0
    wobble_grain_mm: float = 9.0
    over: NDArray[np.bool_] = field(default_factory=lambda: ANYWHERE)


def chain(points: ArrayLike, radii: ArrayLike) -> NDArray[np.float64]:
    """Return the segments (n - 1, 8) of a line through points (n, 3) with radii (n,) or one for all.

    Rounded to a micrometre, so that the last bits of a machine's sine do not reach the voxels.
    """
    at = np.asarray(points, dtype=np.float64).reshape(-1, 3)
    rows = np.column_stack([at, np.broadcast_to(np.asarray(radii, dtype=np.float64), (len(at),))])
    if len(rows) == 1:
        rows = np.vstack([rows, rows])
    return np.round(np.hstack([rows[:-1], rows[1:]]), 3)


def shape_box(canvas: Canvas, segments: NDArray[np.float64], margin_mm: float, stretch: ArrayLike = 1.0) -> Any:
    """Return slices (S, P, L) of the voxels that segments grown by a margin can reach, clipped to the canvas."""
    low, high = _bounds(segments, margin_mm, np.broadcast_to(np.asarray(stretch, dtype=np.float64), (3,)))
    origin, sizes = np.array(canvas.origin_mm), np.array(canvas.hu.shape[::-1])
    first = np.clip(np.floor((low.min(axis=0) - origin) / canvas.pitch_mm).astype(int), 0, sizes)
    last = np.clip(np.ceil((high.max(axis=0) - origin) / canvas.pitch_mm).astype(int) + 1, first, sizes)
    return tuple(slice(int(a), int(b)) for a, b in zip(first[::-1], last[::-1], strict=True))


def _bounds(
    segments: NDArray[np.float64], margin_mm: float, stretch: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    grown_a = segments[:, 3:4] * stretch + margin_mm
    grown_b = segments[:, 7:8] * stretch + margin_mm
    low = np.minimum(segments[:, :3] - grown_a, segments[:, 4:7] - grown_b)
    high = np.maximum(segments[:, :3] + grown_a, segments[:, 4:7] + grown_b)
    return low, high


def box_origin(canvas: Canvas, box: Any) -> NDArray[np.float64]:
    """Return world x, y, z of the first voxel of a box of slices."""
    first = np.array([part.start for part in box[::-1]], dtype=np.float64)
    return np.asarray(canvas.origin_mm) + canvas.pitch_mm * first


def by_slabs(
    canvas: Canvas, box: Any, paint: Callable[[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float64]], None]
) -> None:
    """Have a box painted by threads, 24 planes at a time: where slabs begin, and so the bytes, is always the same.

    Parameters
    ----------
    canvas, box
        What is painted, and slices (S, P, L) of it.
    paint
        Takes CT numbers and labels of a slab and the place of its first voxel; releases the GIL.
    """
    starts = range(box[0].start, box[0].stop, _SLAB)
    slabs = [(slice(start, min(start + _SLAB, box[0].stop)), box[1], box[2]) for start in starts]

    def one(slab: Any) -> None:
        paint(canvas.hu[slab], canvas.labels[slab], box_origin(canvas, slab))

    each(one, slabs)


def paint_soft(canvas: Canvas, noise: Grain, shape: SoftShape) -> None:
    """Lay a soft shape over what is there."""
    margin = canvas.pitch_mm + shape.joint_mm + 3.0 * shape.wobble_mm
    box = shape_box(canvas, shape.segments, margin, shape.stretch)
    if any(part.stop <= part.start for part in box):
        return
    low, high = _bounds(shape.segments, margin, np.array(shape.stretch))
    how = np.array([*shape.stretch, shape.joint_mm, shape.wobble_mm, 1.0 / shape.wobble_grain_mm, shape.label])
    boxes, row = np.hstack([low, high]), shape.texture.row()

    def paint(hu: NDArray[np.float32], labels: NDArray[np.uint8], first: NDArray[np.float64]) -> None:
        _paint_shape(hu, labels, first, canvas.pitch_mm, shape.segments, boxes, how, row, noise, shape.over)

    by_slabs(canvas, box, paint)


WITHIN: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}
DOOR: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy", "no_cfunc_wrapper": True}


@numba.njit(**WITHIN)
def noise_at(noise, x, y, z):  # type: ignore[no-untyped-def]
    """Periodic noise at a point given in cells, linear between them."""
    i, j, k = int(np.floor(z)), int(np.floor(y)), int(np.floor(x))
    fz, fy, fx = z - i, y - j, x - k
    i0, j0, k0 = i & 63, j & 63, k & 63
    i1, j1, k1 = (i + 1) & 63, (j + 1) & 63, (k + 1) & 63
    low = (noise[i0, j0, k0] * (1 - fx) + noise[i0, j0, k1] * fx) * (1 - fy) + (
        noise[i0, j1, k0] * (1 - fx) + noise[i0, j1, k1] * fx
    ) * fy
    high = (noise[i1, j0, k0] * (1 - fx) + noise[i1, j0, k1] * fx) * (1 - fy) + (
        noise[i1, j1, k0] * (1 - fx) + noise[i1, j1, k1] * fx
    ) * fy
    return low * (1 - fz) + high * fz


@numba.njit(**WITHIN)
def textured(row, noise, x, y, z):  # type: ignore[no-untyped-def]
    """CT number of a tissue at a place."""
    value = row[0] + row[1] * noise_at(noise, x * row[2], y * row[2], z * row[2])
    if row[4] < 8.0:
        n = noise_at(noise, x * row[5] + 17.3, y * row[5] + 5.1, z * row[6] + 41.7)
        share = min(1.0, max(0.0, (n - row[4]) * 2.5))
        value += share * (row[3] - value)
    return value


@numba.njit(**WITHIN)
def to_segment(segment, sx, sy, sz, x, y, z):  # type: ignore[no-untyped-def]
    """Signed distance to a rod of stretched cross-section, and the place along it (0 to 1)."""
    ax, ay, az = segment[0] / sx, segment[1] / sy, segment[2] / sz
    bx, by, bz = segment[4] / sx - ax, segment[5] / sy - ay, segment[6] / sz - az
    px, py, pz = x / sx - ax, y / sy - ay, z / sz - az
    length2 = bx * bx + by * by + bz * bz
    t = 0.0
    if length2 > 0.0:
        t = min(1.0, max(0.0, (px * bx + py * by + pz * bz) / length2))
    dx, dy, dz = px - t * bx, py - t * by, pz - t * bz
    distance = np.sqrt(dx * dx + dy * dy + dz * dz)
    scale = min(sx, sy, sz)
    if distance > 1e-9:
        wx, wy, wz = dx * sx, dy * sy, dz * sz
        scale = np.sqrt(wx * wx + wy * wy + wz * wz) / distance
    return (distance - segment[3] - t * (segment[7] - segment[3])) * scale, t


@numba.njit(**WITHIN)
def _joined(segments, boxes, near, count, how, x, y, z):  # type: ignore[no-untyped-def]
    d = 1e9
    for c in range(count):
        n = near[c]
        if x < boxes[n, 0] or x > boxes[n, 3]:
            continue
        e = to_segment(segments[n], how[0], how[1], how[2], x, y, z)[0]
        if how[3] > 0.0:
            blend = max(0.0, how[3] - abs(d - e)) / how[3]
            d = min(d, e) - blend * blend * how[3] * 0.25
        else:
            d = min(d, e)
    return d


@numba.njit(**DOOR)
def _paint_shape(hu, labels, first, pitch, segments, boxes, how, row, noise, over):  # type: ignore[no-untyped-def]
    near = np.empty(segments.shape[0], np.int64)
    for i in range(hu.shape[0]):
        z = first[2] + i * pitch
        for j in range(hu.shape[1]):
            y = first[1] + j * pitch
            count = 0
            left, right = 1e9, -1e9
            for n in range(segments.shape[0]):
                if boxes[n, 1] <= y <= boxes[n, 4] and boxes[n, 2] <= z <= boxes[n, 5]:
                    near[count] = n
                    count += 1
                    left, right = min(left, boxes[n, 0]), max(right, boxes[n, 3])
            if count == 0:
                continue
            begin = max(0, int(np.floor((left - first[0]) / pitch)))
            for k in range(begin, min(hu.shape[2], int(np.ceil((right - first[0]) / pitch)) + 1)):
                if not over[labels[i, j, k]]:
                    continue
                x = first[0] + k * pitch
                d = _joined(segments, boxes, near, count, how, x, y, z)
                if how[4] > 0.0 and d < pitch + 3.0 * how[4]:
                    d += how[4] * noise_at(noise, x * how[5] + 3.7, y * how[5] + 11.3, z * how[5] + 29.1)
                cover = min(1.0, max(0.0, 0.5 - d / pitch))
                if cover > 0.0:
                    hu[i, j, k] += cover * (textured(row, noise, x, y, z) - hu[i, j, k])
                    if how[6] > 0.0 and cover > 0.5:
                        labels[i, j, k] = int(how[6])
