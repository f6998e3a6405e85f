"""Solid organs, vessels, diaphragm with the lungs' edge, and a pregnant uterus."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.anatomy.body import CAVITY, Build
from fluoroscope.patient.anatomy.bowel import bowel_box, colon, paint_bowel, small_bowel
from fluoroscope.patient.anatomy.cavity import Cavity
from fluoroscope.patient.anatomy.muscles import SIDES, Posts, only
from fluoroscope.patient.anatomy.soft import (
    DOOR,
    Grain,
    SoftShape,
    Texture,
    by_slabs,
    chain,
    paint_soft,
    shape_box,
    texture,
    textured,
)
from fluoroscope.patient.anatomy.solids import Canvas
from fluoroscope.patient.anatomy.structures import structure

__all__ = ["Organ", "cut_box", "organs", "paint_cava"]

Box = Any


@dataclass(frozen=True, slots=True)
class Organ:
    """An organ that may move by itself.

    Attributes
    ----------
    name
        Of the part and of its frame.
    box
        Slices (S, P, L) of the voxels it can reach.
    paint
        Paints it.
    """

    name: str
    box: Box
    paint: Callable[[], None]


def _label(name: str) -> int:
    return structure(name).label


def cut_box(canvas: Canvas, shapes: list[SoftShape]) -> Box:
    """Return slices around several shapes."""
    boxes = [
        shape_box(canvas, one.segments, canvas.pitch_mm + one.joint_mm + 3.0 * one.wobble_mm, one.stretch)
        for one in shapes
    ]
    return tuple(slice(min(b[n].start for b in boxes), max(b[n].stop for b in boxes)) for n in range(3))


def _of_shapes(name: str, canvas: Canvas, noise: Grain, shapes: list[SoftShape]) -> Organ:
    def paint() -> None:
        for shape in shapes:
            paint_soft(canvas, noise, shape)

    return Organ(name, cut_box(canvas, shapes), paint)


def organs(
    canvas: Canvas, noise: Grain, here: Posts, room: Cavity, build: Build, weeks: float, random: np.random.Generator
) -> list[Organ]:
    """Return the organs in the order they are painted in; the seed decides shapes and content.

    Stomach and bowel come last and fill what is free: an organ painted over their gas would hold more than itself, and
    show it when the two move apart.
    """
    free = only(CAVITY)
    found = [_diaphragm(canvas, noise, here, room, name, side) for name, side in SIDES]
    small = _of_bowel("small_bowel", canvas, noise, small_bowel(room, random, free))
    large = _of_bowel("colon", canvas, noise, colon(room, random, free))
    stomach = _stomach(canvas, noise, room, random)
    found.append(_of_shapes("spleen", canvas, noise, _spleen(room)))
    found.append(_of_shapes("pancreas", canvas, noise, _pancreas(room, random)))
    found += [_of_shapes(f"kidney_{name}", canvas, noise, _kidney(here, side, random, name)) for name, side in SIDES]
    found.append(_of_shapes("liver", canvas, noise, _liver(room, random)))
    found.append(_of_shapes("bladder", canvas, noise, _bladder(here, random)))
    found.append(_of_shapes("aorta", canvas, noise, _arteries(here, build, random)))
    if weeks >= 8.0:
        found.append(_of_shapes("uterus", canvas, noise, _uterus(here, room, weeks, random)))
    return [*found, stomach, large, small] if weeks < 24.0 else [*found, stomach, large]


def _of_bowel(name: str, canvas: Canvas, noise: Grain, one: Any) -> Organ:
    return Organ(name, bowel_box(canvas, one), lambda: paint_bowel(canvas, noise, one))


def _soft_over() -> NDArray[np.bool_]:
    return only(CAVITY, _label("abdominal_fat"))


def _stomach(canvas: Canvas, noise: Grain, room: Cavity, random: np.random.Generator) -> Organ:
    """Fundus below the left dome, antrum across the midline, a bubble and a wall in folds."""
    s = room.scale
    points = [(0.50, 0.10, 128.0), (0.48, 0.40, 104.0), (0.40, 0.72, 78.0), (0.10, 0.80, 62.0), (-0.14, 0.55, 66.0)]
    path = [room.at(a, f, s * z) for a, f, z in points]
    radii = s * np.array([31.0, 30.0, 24.0, 18.0, 12.0]) * random.uniform(0.8, 1.1)
    over = only(CAVITY)
    wall = SoftShape(
        chain(path, radii), texture("bowel_wall"), _label("stomach"), joint_mm=6.0, wobble_mm=1.5, over=over
    )
    within = only(_label("stomach"))
    food = Texture(30.0, 14.0, 4.0, -120.0, random.uniform(0.9, 2.2), 4.0, 1.0)
    lumen = SoftShape(
        chain(path, radii - 5.0 * s), food, _label("stomach"), wobble_mm=2.0, wobble_grain_mm=6.0, over=within
    )
    # Lying prone the air collects behind, in the fundus.
    up = np.array([0.0, 12.0 * s, 4.0 * s])
    size = s * random.uniform(10.0, 19.0)
    bubble = SoftShape(
        chain([path[0] + up, path[1] + up], [size, 0.7 * size]),
        texture("gas"), _label("bowel_gas"), wobble_mm=2.0, wobble_grain_mm=8.0, over=within,
    )  # fmt: skip
    return _of_shapes("stomach", canvas, noise, [wall, lumen, bubble])


def _spleen(room: Cavity) -> list[SoftShape]:
    s = room.scale
    path = [room.at(0.80, -0.30, 128 * s), room.at(0.88, -0.05, 112 * s), room.at(0.88, 0.15, 92 * s)]
    spleen = chain(path, s * np.array([17.0, 24.0, 15.0]))
    return [SoftShape(spleen, texture("spleen"), _label("spleen"), (0.8, 1.2, 1.1), 8.0, 1.0, over=_soft_over())]


def _kidney(here: Posts, side: float, random: np.random.Generator, name: str) -> list[SoftShape]:
    """Kidney in its fat, upper pole nearer to the spine, with the sinus' fat; the right one is lower."""
    s = here.scale
    level = here.lumbar[0]
    drop = (-14.0 if side < 0 else -4.0) + random.normal(0.0, 6.0)
    upper = here.beside(level, side * 48.0, 18.0, 22.0 + drop)
    lower = here.beside(level, side * 68.0, 2.0, -38.0 + drop)
    size = s * random.uniform(22.0, 26.0)
    fat = texture("visceral_fat", streak_hu=0.0, streak_above=2.0)
    free = only(
        CAVITY, _label("abdominal_fat"), _label("small_bowel"), _label("colon"), _label("bowel_gas"), _label("spleen")
    )
    bed = SoftShape(chain([upper, lower], size + 9.0 * s), fat, _label("abdominal_fat"), wobble_mm=1.5, over=free)
    own = only(CAVITY, _label("abdominal_fat"), _label("small_bowel"), _label("colon"), _label("bowel_gas"))
    body = SoftShape(chain([upper, lower], size), texture("kidney"), _label(f"kidney_{name}"), wobble_mm=0.8, over=own)
    hilum = 0.5 * (upper + lower) + np.array([-side * 12.0 * s, -7.0 * s, 0.0])
    sinus = chain([hilum + (upper - lower) * 0.22, hilum - (upper - lower) * 0.22], 7.5 * s)
    within = only(_label(f"kidney_{name}"))
    gap = SoftShape(
        sinus, fat, _label("abdominal_fat"), (1.3, 1.0, 1.0), wobble_mm=1.5, wobble_grain_mm=5.0, over=within
    )
    return [bed, body, gap]


def _liver(room: Cavity, random: np.random.Generator) -> list[SoftShape]:
    s = room.scale
    edge = random.uniform(35.0, 62.0)
    right = [room.at(-0.58, 0.05, 122 * s), room.at(-0.60, 0.35, 98 * s), room.at(-0.72, 0.2, (edge + 22.0) * s)]
    left = [room.at(-0.45, 0.45, 118 * s), room.at(0.05, 0.60, 116 * s), room.at(0.30, 0.66, 118 * s)]
    vessels = texture("liver", streak_hu=40.0, streak_above=1.8, streak_mm=4.0, streak_length=1.0)
    shapes = np.vstack([chain(right, s * np.array([58.0, 60.0, 32.0])), chain(left, s * np.array([44.0, 30.0, 12.0]))])
    below = room.at(-0.47, 0.52, (edge + 34.0) * s)
    bag = chain([below, below + np.array([-6.0 * s, -9.0 * s, -30.0 * s])], s * np.array([7.0, 14.0]))
    bile = SoftShape(bag, texture("bile"), _label("gallbladder"), over=only(*np.flatnonzero(_soft_over())))
    return [bile, SoftShape(shapes, vessels, _label("liver"), (1.0, 1.0, 0.95), 14.0, 1.2, 18.0, _soft_over())]


def _pancreas(room: Cavity, random: np.random.Generator) -> list[SoftShape]:
    """Head in the duodenum's loop, body across the spine, tail toward the spleen; lobulated, in its fat."""
    s = room.scale
    path = [room.at(-0.30, 0.24, 38 * s), room.at(-0.16, 0.30, 58 * s), room.at(0.12, 0.30, 72 * s),
            room.at(0.44, 0.10, 88 * s)]  # fmt: skip
    radii = s * np.array([15.0, 12.0, 10.0, 8.0]) * random.uniform(0.85, 1.1)
    over = only(CAVITY, _label("small_bowel"), _label("abdominal_fat"), _label("bowel_gas"))
    return [SoftShape(chain(path, radii), texture("pancreas"), _label("pancreas"), (1, 0.9, 1), 5.0, 1.6, 5.0, over)]


def _bladder(here: Posts, random: np.random.Generator) -> list[SoftShape]:
    s = here.scale
    place = [here.beside("sacrum", -8.0, -72.0, -112.0), here.beside("sacrum", 8.0, -72.0, -112.0)]
    radius = s * random.uniform(18.0, 34.0)
    over = only(CAVITY)
    wall = SoftShape(
        chain(place, radius + 2.0), texture("soft_organ"), _label("urinary_bladder"), (1.15, 1, 0.85), over=over
    )
    within = only(_label("urinary_bladder"))
    return [
        wall,
        SoftShape(chain(place, radius), texture("urine"), _label("urinary_bladder"), (1.15, 1, 0.85), over=within),
    ]


def _arteries(here: Posts, build: Build, random: np.random.Generator) -> list[SoftShape]:
    """Aorta to its fork before L4, iliac arteries; calcified in patches with age."""
    s = here.scale
    old = max(0.0, build.age_years - 45.0)
    names = here.names[: here.names.index(here.lumbar[-2]) + 1]
    path = [here.beside(names[0], 10.0, -26.0, 60.0)]
    wave = random.normal(0.0, 0.05 * old + 0.5, len(names))
    path += [here.at(one, 9.0 + w, -28.0, 0.0) for one, w in zip(names, wave, strict=True)]
    radius = np.linspace(10.5, 8.5, len(path)) * s * (1.0 + 0.004 * old)
    blood = texture("blood")
    free = ("abdominal_fat", "small_bowel", "colon", "bowel_gas", "paravertebral_tissue", "iliopsoas_left")
    over = only(CAVITY, *(_label(n) for n in (*free, "iliopsoas_right", "stomach", "liver")))
    fork = path[-1]
    shapes = [(_label("aorta"), chain(path, radius))]
    for name, side in SIDES:
        down = [fork, here.beside("sacrum", side * 30.0, -36.0, 2.0), here.beside("sacrum", side * 62.0, -58.0, -60.0),
                here.beside("sacrum", side * 78.0, -84.0, -120.0)]  # fmt: skip
        shapes.append((_label(f"iliac_artery_{name}"), chain(down, s * np.array([6.0, 5.5, 5.0, 4.5]))))
    painted = []
    for label, segments in shapes:
        painted.append(SoftShape(segments, blood, label, over=over))
        painted += _plaques(segments, label, random.poisson(0.35 * old * len(segments) / 8.0), s, random)
    return painted


def _plaques(
    segments: NDArray[np.float64], label: int, count: int, s: float, random: np.random.Generator
) -> list[SoftShape]:
    """Streaks of calcium along an artery's wall."""
    lime, over = Texture(620.0, 150.0, 1.5), only(label)
    streaks = []
    for _ in range(count):
        segment = segments[random.integers(len(segments))]
        around = random.normal(size=3)
        start, length = random.uniform(0.0, 0.8), random.uniform(0.1, 0.35)
        along = segment[4:7] - segment[:3]
        across = np.cross(along, around)
        across /= np.linalg.norm(across)
        ends = [segment[:3] + t * along + (segment[3] - 0.7 * s) * across for t in (start, start + length)]
        streaks.append(SoftShape(chain(ends, random.uniform(0.9, 1.7) * s), lime, _label("aortic_calcification"),
                                 wobble_mm=0.5, wobble_grain_mm=3.0, over=over))  # fmt: skip
    return streaks


def paint_cava(canvas: Canvas, noise: Grain, here: Posts) -> None:
    """Paint the inferior vena cava and the iliac veins."""
    s = here.scale
    names = here.names[: here.names.index(here.lumbar[-2]) + 2]
    path = [here.beside(names[0], -22.0, -38.0, 50.0)] + [here.at(one, -15.0, -29.0, 0.0) for one in names]
    over = only(CAVITY, _label("abdominal_fat"), _label("paravertebral_tissue"))
    cava = SoftShape(
        chain(path, 10.5 * s), texture("blood"), _label("inferior_vena_cava"), (1.15, 0.85, 1.0), over=over
    )
    paint_soft(canvas, noise, cava)
    for name, side in SIDES:
        way = ((34.0, -28.0, -6.0), (66.0, -50.0, -62.0), (76.0, -78.0, -124.0))
        down = [path[-1], *(here.beside("sacrum", side * x, y, z) for x, y, z in way)]
        paint_soft(
            canvas, noise, SoftShape(chain(down, 7.0 * s), texture("blood"), _label(f"iliac_vena_{name}"), over=over)
        )


def _uterus(here: Posts, room: Cavity, weeks: float, random: np.random.Generator) -> list[SoftShape]:
    """Wall, amniotic fluid and a fetus head down: skull, spine, trunk and limbs; size by fundal height in weeks."""
    s = here.scale
    height = max(70.0, 10.0 * weeks) * s
    floor = float(here.beside("sacrum", 0, 0, -95.0)[2])
    low, high = room.at(0.0, 0.55, floor + 0.20 * height), room.at(0.0, 0.55, floor + 0.72 * height)
    radius = 0.29 * height
    over = np.ones(256, dtype=np.bool_)
    for name in ("skin", "subcutaneous_fat", "abdominal_wall", "paravertebral_tissue", "aorta", "inferior_vena_cava"):
        over[_label(name)] = False
    over[0] = False
    wall = SoftShape(
        chain([low, high], [0.85 * radius, radius]), texture("soft_organ"), _label("uterus"), joint_mm=4.0, over=over
    )
    inner = chain([low, high], [0.85 * radius - 7.0, radius - 7.0])
    within = only(_label("uterus"))
    shapes = [wall, SoftShape(inner, texture("amniotic_fluid"), _label("amniotic_fluid"), over=within)]
    inside = only(_label("amniotic_fluid"), _label("fetus"))
    head = 0.5 * (1.0 + 2.4 * weeks) * (0.9 if weeks < 12 else 1.0)
    skull = low + np.array([random.normal(0, 6.0), 0.0, 0.25 * radius])
    bone = Texture(250.0 + 26.0 * max(0.0, weeks - 12.0), 60.0, 2.5)
    back = [
        skull + np.array([8.0, 14.0, head]),
        0.5 * (low + high) + np.array([44.0 * s, 6.0, 10.0]),
        high + np.array([26.0 * s, 2.0, 0.0]),
    ]
    soft = texture("soft_organ")
    fetus, bones = _label("fetus"), _label("fetal_bone")
    shapes.append(SoftShape(chain(back, [0.5 * head, 0.85 * head, 0.7 * head]), soft, fetus, joint_mm=4.0, over=inside))
    shapes.append(SoftShape(chain(skull, head), bone, bones, (0.9, 1.15, 1.0), over=inside))
    shapes.append(SoftShape(chain(skull, head - 0.3 - 0.05 * weeks), soft, fetus, (0.9, 1.15, 1.0), over=only(bones)))
    for n in range(18):
        t = n / 17.0
        place = np.array([np.interp(t, [0, 0.5, 1], [p[i] for p in back]) for i in range(3)])
        place[1] += 0.45 * head
        shapes.append(SoftShape(chain(place, 0.07 * weeks + 0.8), bone, bones, over=inside))
        if 2 <= n < 10:
            shapes += [
                SoftShape(chain(rib, 0.03 * weeks + 0.4), bone, bones, over=inside) for rib in _ribs(place, head)
            ]
    for side in (-1.0, 1.0):
        hip = high + np.array([side * 0.4 * head, -0.2 * head, -0.1 * head])
        knee = hip + np.array([side * 4.0, -1.0 * head, -0.9 * head])
        shapes.append(SoftShape(chain([hip, knee], 0.04 * weeks + 0.7), bone, bones, over=inside))
    return shapes


def _ribs(spine: NDArray[np.float64], head: float) -> list[NDArray[np.float64]]:
    """Return a pair of a fetus' ribs, from beside its spine around its chest."""
    turns = np.linspace(0.3, 2.4, 6)
    bow = np.stack([0.72 * head * np.sin(turns), -0.62 * head * (1.0 - np.cos(turns)), -0.1 * head * turns], axis=1)
    return [spine + bow * np.array([side, 1.0, 1.0]) for side in (-1.0, 1.0)]


def _diaphragm(canvas: Canvas, noise: Grain, here: Posts, room: Cavity, name: str, side: float) -> Organ:
    """Dome of one side with the lung above it."""
    s = room.scale
    top = float(here.beside(here.names[0], 0, 0, 0)[2]) + (10.0 if side < 0 else -2.0) * s
    lowest = top - 135.0 * s
    planes = canvas.hu.shape[0]
    first = int(np.clip((lowest - canvas.origin_mm[2]) / canvas.pitch_mm, 0, planes - 1))
    middle = int((float(np.interp(top, room.z_mm, room.middle_mm)) - canvas.origin_mm[0]) / canvas.pitch_mm)
    columns = slice(middle, canvas.hu.shape[2]) if side > 0 else slice(0, middle)
    box = (slice(first, planes), slice(0, canvas.hu.shape[1]), columns)
    half = float(np.interp(top, room.z_mm, room.half_width_mm))
    front, spine = (float(np.interp(top, room.z_mm, table)) for table in (room.front_mm, room.spine_mm))
    center_x = float(np.interp(top, room.z_mm, room.middle_mm))
    deep = 0.5 * (spine + 45.0 * s - front)
    how = np.round([center_x, side, half, front + deep, deep, top, spine, s, _label(f"lung_lower_lobe_{name}"),
                    _label("diaphragm")], 4)  # fmt: skip
    lung = texture("lung", streak_hu=-500.0, streak_above=1.6, streak_mm=2.5, streak_length=1.5)
    rows = np.stack([one.row() for one in (lung, texture("muscle"), texture("soft_organ"))])

    def paint() -> None:
        by_slabs(
            canvas,
            box,
            lambda hu, labels, first: _paint_dome(hu, labels, first, canvas.pitch_mm, how, rows, noise, CAVITY),
        )

    return Organ(f"diaphragm_{name}", box, paint)


@numba.njit(**DOOR)
def _paint_dome(hu, labels, first, pitch, how, rows, noise, free):  # type: ignore[no-untyped-def]
    s = how[7]
    for i in range(hu.shape[0]):
        z = first[2] + i * pitch
        for j in range(hu.shape[1]):
            y = first[1] + j * pitch
            for k in range(hu.shape[2]):
                if labels[i, j, k] != free:
                    continue
                x = first[0] + k * pitch
                out = (x - how[0]) * how[1]
                u = (out - 0.50 * how[2]) / (0.55 * how[2])
                v = min(1.7, (y - how[3]) / how[4])
                dome = how[5] - s * (26.0 * u * u + 14.0 * v * v + (27.0 * v * v * v if v > 0.0 else 0.0))
                height = z - dome
                # The heart and the great vessels stand between the lungs.
                between = (
                    30.0 + max(0.0, 1.1 * (y - how[6] - 30.0 * s) / s)
                    if y > how[6]
                    else 30.0 + min(30.0, 0.8 * (how[6] - y))
                ) * s
                height = min(height, out - between)
                if height < -0.5 * pitch:
                    continue
                muscle = min(1.0, max(0.0, 0.5 + height / pitch))
                lung = min(1.0, max(0.0, 0.5 + (height - 3.0) / pitch))
                value = hu[i, j, k]
                value += muscle * (textured(rows[1], noise, x, y, z) - value)
                value += lung * (textured(rows[0], noise, x, y, z) - value)
                hu[i, j, k] = value
                if lung > 0.5:
                    labels[i, j, k] = int(how[8])
                elif muscle > 0.5:
                    labels[i, j, k] = int(how[9])
