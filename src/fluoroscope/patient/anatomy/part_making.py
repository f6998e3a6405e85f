"""From a canvas painted step by step to parts that add up to it: each part is what one step changed."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.anatomy.bone import Bone
from fluoroscope.patient.anatomy.soft import DOOR, WITHIN, box_origin
from fluoroscope.patient.anatomy.solids import Canvas
from fluoroscope.patient.motion.spine import SOFT_SLABS, soft_hats, soft_heights, soft_name
from fluoroscope.patient.parts import REST, Part
from fluoroscope.patient.threads import each
from fluoroscope.patient.tissues import packaged_tissues
from fluoroscope.patient.volume import SCALE, BasisVolume

__all__ = ["Recorder", "Slab", "relabel", "rounded", "slab_part", "soft_slabs"]

Box = Any
ORGAN_PITCH_MM = 1.5
FINE_PITCH_MM = 0.65
_RISE = -1100
_NUMBERS = np.arange(_RISE, 4000)


@lru_cache(maxsize=1)
def _shares() -> NDArray[np.int16]:
    """Return (n, 2): water and bone in units of `SCALE` of every CT number from −1100."""
    return np.rint(packaged_tissues().curves[0].basis(_NUMBERS) / SCALE).astype(np.int16)


def grid_matrix(origin_mm: NDArray[np.float64], pitch_mm: float) -> NDArray[np.float64]:
    """Return world_from_index of a canvas's voxels: axes S, P, L, origin given as L, P, S."""
    matrix = np.eye(4)
    matrix[:3, :3] = pitch_mm * np.fliplr(np.eye(3))
    matrix[:3, 3] = origin_mm
    return matrix


@dataclass
class Recorder:
    """Watches a canvas being painted and turns every step into a part.

    Attributes
    ----------
    canvas
        What is painted.
    before
        Its CT numbers after the last step, int16.
    parts
        Parts so far.
    """

    canvas: Canvas
    before: NDArray[np.int16] = field(init=False)
    parts: list[Part] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.before = rounded(self.canvas.hu)

    def step(self, name: str, frame: str, box: Box, *, pitch_mm: float) -> None:
        """Record what was painted in a box since the last step as a part at a pitch."""
        change = self.change(box)
        tight = _tight(change)
        if tight is None:
            return
        at = tuple(slice(b.start + t.start, b.start + t.stop) for b, t in zip(box, tight, strict=True))
        self.parts.append(Part(name, _resampled(change[(slice(None), *tight)], self.canvas, at, pitch_mm), frame))

    def change(self, box: Box) -> NDArray[np.int16]:
        """Return (2, …) change of water and bone in a box since the last step, and end the step."""
        change = np.empty((2, *self.before[box].shape), np.int16)
        hu, before, shares = self.canvas.hu[box], self.before[box], _shares()
        planes = [slice(start, start + 24) for start in range(0, len(before), 24)]
        each(lambda some: _change(hu[some], before[some], shares, change[:, some]), planes)
        return change

    def vertebra(self, bone: Bone, label: int, frame: NDArray[np.float64], box: Box) -> None:
        """Paint a vertebra into the canvas, and finer, on a grid of its own, as the part that moves."""
        canvas = self.canvas
        for solid in bone.solids:
            canvas.paint(solid)
        local_from_world: NDArray[np.float64] = np.linalg.inv(frame).astype(np.float64)
        corner = _extent(canvas, label, local_from_world, box)
        if corner is None:
            return
        low, high = corner[0] - 2.5, corner[1] + 2.5
        sizes = np.ceil((high - low) / FINE_PITCH_MM).astype(int) + 1
        shape = (int(sizes[2]), int(sizes[1]), int(sizes[0]))
        fine = Canvas(
            np.empty(shape, np.float32),
            np.zeros(shape, np.uint8),
            (float(low[0]), float(low[1]), float(low[2])),
            FINE_PITCH_MM,
            frame,
        )
        world_from_fine = frame @ grid_matrix(low, FINE_PITCH_MM)
        canvas_from_fine = np.linalg.inv(grid_matrix(np.array(canvas.origin_mm), canvas.pitch_mm)) @ world_from_fine
        _sample(self.before, np.round(canvas_from_fine, 9), fine.hu)
        under = rounded(fine.hu)
        for solid in bone.solids:
            fine.paint(solid)
        change = np.empty((2, *shape), np.int16)
        _change(fine.hu, under, _shares(), change)
        tight = _tight(change)
        if tight is not None:
            shift = np.array([part.start for part in tight], dtype=np.float64)
            world_from_fine = world_from_fine.copy()
            world_from_fine[:3, 3] += world_from_fine[:3, :3] @ shift
            water, bone_share = (np.ascontiguousarray(one[tight]) for one in change)
            self.parts.append(Part(bone.name, BasisVolume(water, bone_share, world_from_fine), bone.frame))
        self.change(box)


def _extent(
    canvas: Canvas, label: int, local_from_world: NDArray[np.float64], box: Box
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return lowest and highest corner, in a frame of its own, of the voxels of a label."""
    found = np.argwhere(canvas.labels[box] == label)
    if len(found) == 0:
        return None
    places = found[:, ::-1] * canvas.pitch_mm + box_origin(canvas, box)
    local = places @ local_from_world[:3, :3].T + local_from_world[:3, 3]
    return np.round(local.min(axis=0), 2), np.round(local.max(axis=0), 2)


def _tight(change: NDArray[np.int16]) -> tuple[slice, slice, slice] | None:
    """Return the slices outside which nothing changed, None when nothing did."""
    any_change = (change[0] != 0) | (change[1] != 0)
    spans = []
    for axis in range(3):
        used = np.flatnonzero(any_change.any(axis=tuple(n for n in range(3) if n != axis)))
        if len(used) == 0:
            return None
        spans.append(slice(int(used[0]), int(used[-1]) + 1))
    return spans[0], spans[1], spans[2]


def _overlap(start: int, count: int, pitch_mm: float, wanted_mm: float) -> tuple[int, NDArray[np.float32]]:
    """Return the first wider voxel and (m, count) shares of it and the next: what of each length falls into each.

    Wider voxels lie on one lattice for the whole canvas: parts that overlap are blurred alike, so their sum is too.
    """
    lowest = int(np.floor(start * pitch_mm / wanted_mm + 1e-9))
    highest = int(np.ceil((start + count) * pitch_mm / wanted_mm - 1e-9))
    low = np.arange(lowest, highest)[:, np.newaxis] * wanted_mm
    begin = (start + np.arange(count))[np.newaxis] * pitch_mm
    shared = np.minimum(low + wanted_mm, begin + pitch_mm) - np.maximum(low, begin)
    weights: NDArray[np.float32] = (np.clip(shared, 0.0, None) / wanted_mm).astype(np.float32)
    return lowest, weights


def _resampled(change: NDArray[np.int16], canvas: Canvas, at: Box, pitch_mm: float) -> BasisVolume:
    """Return a change on wider voxels that hold the same amounts."""
    origin = box_origin(canvas, at)
    if pitch_mm <= canvas.pitch_mm:
        return BasisVolume(change[0].copy(), change[1].copy(), grid_matrix(origin, canvas.pitch_mm))
    wider = [_overlap(s.start, s.stop - s.start, canvas.pitch_mm, pitch_mm) for s in at]
    first, weights = np.array([one[0] for one in wider]), [one[1] for one in wider]
    shape = tuple(len(one) for one in weights)
    bases = np.empty((2, *shape), np.int16)
    runs = [_runs(one) for one in weights]
    _widen(change, *runs[0], *runs[1], *runs[2], bases)
    corner = np.array(canvas.origin_mm) + pitch_mm * first[::-1] + 0.5 * (pitch_mm - canvas.pitch_mm)
    return BasisVolume(bases[0].copy(), bases[1].copy(), grid_matrix(corner, pitch_mm))


def _runs(weights: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return where each row's weights begin and the weights themselves, padded with zeros."""
    first = np.argmax(weights > 0.0, axis=1)
    longest = int((weights > 0.0).sum(axis=1).max())
    rows = np.zeros((len(weights), longest), np.float32)
    for n, start in enumerate(first):
        piece = weights[n, start : start + longest]
        rows[n, : len(piece)] = piece
    return first.astype(np.int64), rows


@dataclass(frozen=True, slots=True)
class Slab:
    """A slice of the soft tissue: its part's name and frame, and its weight on every plane of the canvas (n,)."""

    name: str
    frame: str
    weight: NDArray[np.float64]


def soft_slabs(heights_mm: dict[str, float], sacrum_mm: float, planes_mm: NDArray[np.float64]) -> list[Slab]:
    """Share the planes among slabs: hats that add up to one, everything above to the topmost, below to "base".

    Parameters
    ----------
    heights_mm
        Height of every vertebral body's middle, from the head down.
    sacrum_mm
        Height from where on all belongs to the base.
    planes_mm
        (n,) heights of the canvas' planes.
    """
    names = [soft_name(name, number) for name in heights_mm for number in range(SOFT_SLABS)]
    hats = soft_hats(soft_heights([*heights_mm.values(), sacrum_mm]), planes_mm)
    slabs = [Slab(name, name, hat) for name, hat in zip(names, hats[:-1], strict=True)]
    return [*slabs, Slab("base", REST, hats[-1])]


def slab_part(slab: Slab, canvas: Canvas, before: NDArray[np.int16], added: Any, pitch_mm: float) -> Part:
    """Return a slab of the recorded canvas as a part, with what was added (box, change) to the base."""
    used = np.flatnonzero(slab.weight)
    first, last = int(used[0]), int(used[-1]) + 1
    for box, _ in added:
        first, last = min(first, box[0].start), max(last, box[0].stop)
    planes = slice(first, last)
    change = np.empty((2, *before[planes].shape), np.int16)
    _weigh(before[planes], slab.weight[planes], _shares(), change)
    for box, extra in added:
        change[:, box[0].start - first : box[0].stop - first, box[1], box[2]] += extra
    tight = _tight(change)
    if tight is None:
        raise ValueError(f"{slab.name} holds nothing")
    at = (slice(first + tight[0].start, first + tight[0].stop), tight[1], tight[2])
    return Part(slab.name, _resampled(change[(slice(None), *tight)], canvas, at, pitch_mm), slab.frame)


def relabel(labels: NDArray[np.uint8], old: int, new: int) -> NDArray[np.bool_]:
    """Put one label in another's place and return (256,) which are in use."""
    used = np.zeros(256, np.bool_)
    _relabel(labels, old, new, used)
    return used


@numba.njit(**DOOR)
def _relabel(labels, old, new, used):  # type: ignore[no-untyped-def]
    for i in range(labels.shape[0]):
        for j in range(labels.shape[1]):
            for k in range(labels.shape[2]):
                if labels[i, j, k] == old:
                    labels[i, j, k] = new
                used[labels[i, j, k]] = True


@numba.njit(**WITHIN)
def _number(value):  # type: ignore[no-untyped-def]
    return int(np.floor(min(3000.0, max(-1000.0, value)) + 0.5))


def rounded(hu: NDArray[np.float32]) -> NDArray[np.int16]:
    """Return CT numbers as a volume has them: whole, −1000 to 3000 HU."""
    out = np.empty(hu.shape, np.int16)
    _round(hu, out)
    return out


@numba.njit(**DOOR)
def _round(hu, out):  # type: ignore[no-untyped-def]
    for i in range(hu.shape[0]):
        for j in range(hu.shape[1]):
            for k in range(hu.shape[2]):
                out[i, j, k] = _number(hu[i, j, k])


@numba.njit(**DOOR)
def _change(hu, before, shares, change):  # type: ignore[no-untyped-def]
    for i in range(hu.shape[0]):
        for j in range(hu.shape[1]):
            for k in range(hu.shape[2]):
                now, then = _number(hu[i, j, k]), before[i, j, k]
                change[0, i, j, k] = shares[now + 1100, 0] - shares[then + 1100, 0]
                change[1, i, j, k] = shares[now + 1100, 1] - shares[then + 1100, 1]
                before[i, j, k] = now


@numba.njit(**DOOR)
def _weigh(hu, weight, shares, out):  # type: ignore[no-untyped-def]
    for i in range(hu.shape[0]):
        for j in range(hu.shape[1]):
            for k in range(hu.shape[2]):
                for m in range(2):
                    out[m, i, j, k] = int(np.floor(weight[i] * shares[hu[i, j, k] + 1100, m] + 0.5))


@numba.njit(**DOOR)
def _sample(hu, m, out):  # type: ignore[no-untyped-def]
    """Read a volume at another grid's voxels, linear between its own."""
    n0, n1, n2 = hu.shape
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                a = m[0, 0] * i + m[0, 1] * j + m[0, 2] * k + m[0, 3]
                b = m[1, 0] * i + m[1, 1] * j + m[1, 2] * k + m[1, 3]
                c = m[2, 0] * i + m[2, 1] * j + m[2, 2] * k + m[2, 3]
                a, b, c = min(max(a, 0.0), n0 - 1.001), min(max(b, 0.0), n1 - 1.001), min(max(c, 0.0), n2 - 1.001)
                p, q, r = int(a), int(b), int(c)
                fa, fb, fc = a - p, b - q, c - r
                value = 0.0
                for u in range(2):
                    for v in range(2):
                        for w in range(2):
                            share = (fa if u else 1 - fa) * (fb if v else 1 - fb) * (fc if w else 1 - fc)
                            value += share * hu[p + u, q + v, r + w]
                out[i, j, k] = value


@numba.njit(**DOOR)
def _widen(change, first0, rows0, first1, rows1, first2, rows2, out):  # type: ignore[no-untyped-def]
    n0, n1, n2 = change.shape[1:]
    for m in range(2):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                for k in range(out.shape[3]):
                    total = 0.0
                    for a in range(rows0.shape[1]):
                        p = first0[i] + a
                        if p >= n0 or rows0[i, a] == 0.0:
                            continue
                        for b in range(rows1.shape[1]):
                            q = first1[j] + b
                            if q >= n1 or rows1[j, b] == 0.0:
                                continue
                            share = rows0[i, a] * rows1[j, b]
                            for c in range(rows2.shape[1]):
                                r = first2[k] + c
                                if r < n2:
                                    total += share * rows2[k, c] * change[m, p, q, r]
                    out[m, i, j, k] = int(np.floor(total + 0.5))
