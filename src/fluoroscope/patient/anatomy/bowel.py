"""Colon and small bowel: folded tubes with stool, fluid and gas that has risen to the back of a prone patient."""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.anatomy.cavity import Cavity
from fluoroscope.patient.anatomy.soft import (
    DOOR,
    Grain,
    by_slabs,
    chain,
    noise_at,
    shape_box,
    texture,
    textured,
    to_segment,
)
from fluoroscope.patient.anatomy.solids import Canvas
from fluoroscope.patient.anatomy.structures import structure

__all__ = ["Bowel", "bowel_box", "colon", "paint_bowel", "small_bowel"]

_MARGIN_MM = 9.0


@dataclass(frozen=True, slots=True)
class Bowel:
    """A length of bowel.

    Attributes
    ----------
    segments
        (n, 8) as in `soft.chain`.
    content
        (n, 4): length along the bowel at the segment's start (mm); gas level (−1 full of gas, 1 none, share of the
        radius above the middle from where on there is gas); share of stool in what is not gas; folds' depth (mm).
    label
        Of wall and content; gas has its own.
    wall_mm, fold_mm
        Thickness of the wall, distance between folds.
    wobble_mm
        How far (1 SD) the wall wanders.
    fold_sharpness
        2 for folds as wide as what lies between them, 5 for narrow ones.
    over
        (256,) labels it may be painted over.
    """

    segments: NDArray[np.float64]
    content: NDArray[np.float64]
    label: int
    wall_mm: float
    fold_mm: float
    wobble_mm: float
    fold_sharpness: float
    over: NDArray[np.bool_]


def bowel_box(canvas: Canvas, bowel: Bowel) -> Any:
    """Return slices of the voxels it can reach."""
    return shape_box(canvas, bowel.segments, _MARGIN_MM)


def _smooth_path(points: NDArray[np.float64], per: int) -> NDArray[np.float64]:
    """Return a Catmull-Rom curve through points (n, 3), ``per`` pieces between two of them."""
    padded = np.vstack([2 * points[0] - points[1], points, 2 * points[-1] - points[-2]])
    t = np.linspace(0.0, 1.0, per, endpoint=False)[:, np.newaxis]
    pieces = []
    for n in range(1, len(padded) - 2):
        a, b, c, d = padded[n - 1 : n + 3]
        pieces.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.vstack([*pieces, points[-1:]])


def _lengths(segments: NDArray[np.float64]) -> NDArray[np.float64]:
    steps = np.linalg.norm(segments[:, 4:7] - segments[:, :3], axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)[:-1]])


def _wander(random: np.random.Generator, count: int, keep: float) -> NDArray[np.float64]:
    """Return a course (count,) of unit variance that forgets itself slowly."""
    course = np.empty(count)
    value = random.normal()
    for n in range(count):
        value = keep * value + np.sqrt(1.0 - keep * keep) * random.normal()
        course[n] = value
    return course


def _eased(level: NDArray[np.float64]) -> NDArray[np.float64]:
    """Let gas end in a slope instead of a step."""
    for _ in range(2):
        level = np.convolve(np.pad(level, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
    return level


def colon(room: Cavity, random: np.random.Generator, over: NDArray[np.bool_]) -> Bowel:
    """Lay the colon from caecum to rectum; course, width and content vary with the patient."""
    s = room.scale
    sag = random.uniform(-35.0, 25.0) * s
    right, left = random.uniform(0.66, 0.80), random.uniform(0.68, 0.82)
    course = [
        (-right, 0.25, -98.0), (-right - 0.04, 0.12, -45.0), (-right - 0.02, 0.05, 10.0), (-right + 0.04, 0.15, 52.0),
        (-0.45, 0.68, 34.0), (-0.15, 0.80, 8.0), (0.18, 0.80, 12.0), (0.48, 0.62, 58.0), (left - 0.06, 0.18, 84.0),
        (left + 0.04, 0.02, 35.0), (left + 0.05, 0.00, -25.0), (left - 0.02, 0.10, -80.0), (0.46, 0.30, -122.0),
        (0.10, 0.45, -128.0), (-0.12, 0.35, -150.0), (0.04, 0.05, -168.0), (0.0, -0.12, -215.0), (0.0, -0.1, -262.0),
    ]  # fmt: skip
    points = []
    for across, forward, z in course:
        drop = sag if 0.55 < forward and z > 0 else 0.0
        jitter = random.normal(0.0, (0.025, 0.03, 5.0))
        points.append(room.at(across + jitter[0], forward + jitter[1], s * z + drop + jitter[2]))
    path = _smooth_path(np.array(points), 6)
    share = np.linspace(0.0, 1.0, len(path))
    wide = np.interp(share, [0.0, 0.25, 0.55, 0.7, 0.85, 0.93, 1.0], [27.0, 24.0, 20.0, 16.0, 15.0, 20.0, 17.0])
    swell = _wander(random, len(path), 0.8)
    radius = s * np.clip(wide * (1.0 + 0.16 * swell), 8.0, 34.0)
    segments = chain(path, radius)
    count = len(segments)
    # Pockets of a few haustra; a colon blown up over its whole length is ileus.
    gassy = _wander(random, count, 0.68) + random.normal(0.0, 0.2)
    level = np.where(gassy > 0.3, np.clip(0.85 - 0.8 * gassy, -0.7, 0.9), 1.2)
    level = _eased(level)
    stool = np.clip(0.6 + 0.5 * _wander(random, count, 0.9), 0.0, 1.0)
    content = np.stack([_lengths(segments), level, stool, np.full(count, 7.0 * s)], axis=1)
    return Bowel(segments, np.round(content, 3), structure("colon").label, 2.0, 25.0 * s, 1.9 * s, 2.8, over)


def small_bowel(room: Cavity, random: np.random.Generator, over: NDArray[np.bool_]) -> Bowel:
    """Fill the middle of the cavity with loops, some of them with gas."""
    s = room.scale
    segments, contents = [], []
    for loop in range(72):
        place = np.array([random.uniform(-0.58, 0.58), random.uniform(0.2, 0.86), random.uniform(-135.0, 30.0)])
        turn = random.normal(0.0, 1.0, 3)
        points = []
        for _ in range(6):
            points.append(room.at(place[0], place[1], s * place[2]))
            turn = 0.55 * turn + random.normal(0.0, 0.8, 3)
            place = np.clip(place + turn * (0.10, 0.13, 13.0), (-0.62, 0.14, -142.0), (0.62, 0.9, 40.0))
        piece = chain(_smooth_path(np.array(points), 4), s * random.uniform(8.5, 13.0))
        gas = random.random() < 0.16
        level = np.clip(random.normal(-0.1, 0.4, len(piece)), -0.8, 0.9) if gas else np.full(len(piece), 1.2)
        level = np.where(_wander(random, len(piece), 0.8) > -0.2, level, 1.2)
        level = _eased(level)
        start = _lengths(piece) + 1000.0 * loop
        segments.append(piece)
        contents.append(np.stack([start, level, np.full(len(piece), 0.05), np.full(len(piece), 1.3 * s)], axis=1))
    content = np.round(np.vstack(contents), 3)
    return Bowel(np.vstack(segments), content, structure("small_bowel").label, 2.0, 7.0 * s, 1.2 * s, 5.0, over)


def paint_bowel(canvas: Canvas, noise: Grain, bowel: Bowel) -> None:
    """Lay the bowel over what is there."""
    box = bowel_box(canvas, bowel)
    how = np.array(
        [bowel.wall_mm, 1.0 / bowel.fold_mm, bowel.wobble_mm, bowel.label, structure("bowel_gas").label, _MARGIN_MM,
         bowel.fold_sharpness]
    )  # fmt: skip
    rows = np.stack([texture(name).row() for name in ("bowel_wall", "bowel_fluid", "stool", "gas")])

    def paint(hu: NDArray[np.float32], labels: NDArray[np.uint8], first: NDArray[np.float64]) -> None:
        _paint_tube(hu, labels, first, canvas.pitch_mm, bowel.segments, bowel.content, how, rows, noise, bowel.over)

    by_slabs(canvas, box, paint)


@numba.njit(**DOOR)
def _paint_tube(  # type: ignore[no-untyped-def]  # noqa: PLR0915
    hu, labels, first, pitch, segments, content, how, rows, noise, over
):
    near = np.empty(segments.shape[0], np.int64)
    for i in range(hu.shape[0]):
        z = first[2] + i * pitch
        for j in range(hu.shape[1]):
            y = first[1] + j * pitch
            count = 0
            left, right = 1e9, -1e9
            for n in range(segments.shape[0]):
                s = segments[n]
                reach = max(s[3], s[7]) + how[5]
                if min(s[1], s[5]) - reach < y < max(s[1], s[5]) + reach:
                    if min(s[2], s[6]) - reach < z < max(s[2], s[6]) + reach:
                        near[count] = n
                        count += 1
                        left, right = min(left, min(s[0], s[4]) - reach), max(right, max(s[0], s[4]) + reach)
            if count == 0:
                continue
            begin = max(0, int(np.floor((left - first[0]) / pitch)))
            for k in range(begin, min(hu.shape[2], int(np.ceil((right - first[0]) / pitch)) + 1)):
                if not over[labels[i, j, k]]:
                    continue
                x = first[0] + k * pitch
                d, along, best = 1e9, 0.0, 0
                for c in range(count):
                    s = segments[near[c]]
                    reach = max(s[3], s[7]) + how[5]
                    if x < min(s[0], s[4]) - reach or x > max(s[0], s[4]) + reach:
                        continue
                    e, t = to_segment(s, 1.0, 1.0, 1.0, x, y, z)
                    if e < d:
                        d, along, best = e, t, near[c]
                if d > how[5]:
                    continue
                s = segments[best]
                lx, ly, lz = s[4] - s[0], s[5] - s[1], s[6] - s[2]
                arc = content[best, 0] + along * np.sqrt(lx * lx + ly * ly + lz * lz)
                rough = noise_at(noise, x * 0.09, y * 0.09, z * 0.09)
                d += how[2] * rough
                # Folds: narrow rings, bent by the noise so that no two are alike.
                phase = arc * how[1] + 0.35 * rough
                phase -= np.floor(phase)
                fold = max(0.0, 1.0 - abs(phase - 0.5) * how[6])
                fold *= min(1.0, max(0.0, 0.7 + 0.8 * noise_at(noise, x * 0.05 + 9.0, y * 0.05, z * 0.05)))
                d += fold * content[best, 3]
                cover = min(1.0, max(0.0, 0.5 - d / pitch))
                if cover <= 0.0:
                    continue
                value = textured(rows[0], noise, x, y, z)
                label = how[3]
                inside = min(1.0, max(0.0, 0.5 - (d + how[0]) / pitch))
                if inside > 0.0:
                    radius = s[3] + along * (s[7] - s[3])
                    middle = s[1] + along * ly
                    share = min(1.0, max(0.0, content[best, 2] + 0.35 * rough))
                    soft = textured(rows[1], noise, x, y, z)
                    soft += share * (textured(rows[2], noise, x, y, z) - soft)
                    after = min(best + 1, segments.shape[0] - 1)
                    if content[after, 0] < content[best, 0] or content[after, 0] - content[best, 0] > 99.0:
                        after = best
                    level = content[best, 1] + along * (content[after, 1] - content[best, 1])
                    gas = 0.0
                    if level < 1.15:
                        height = y - middle - level * radius + 2.5 * noise_at(noise, x * 0.16 + 3.0, y * 0.16, z * 0.16)
                        gas = min(1.0, max(0.0, 0.5 + height / pitch))
                    lumen = soft + gas * (textured(rows[3], noise, x, y, z) - soft)
                    value += inside * (lumen - value)
                    if inside * gas > 0.5:
                        label = how[4]
                hu[i, j, k] += cover * (value - hu[i, j, k])
                if cover > 0.5:
                    labels[i, j, k] = int(label)
