"""The trunk: skin, subcutaneous fat, muscular wall and the cavity, plane by plane around the spine."""

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.anatomy.bone import Skeleton
from fluoroscope.patient.anatomy.soft import DOOR, WITHIN, Grain, Texture, texture, textured
from fluoroscope.patient.anatomy.solids import Canvas
from fluoroscope.patient.anatomy.structures import structure
from fluoroscope.patient.threads import spread

__all__ = ["CAVITY", "Build", "Trunk", "empty_canvas", "paint_trunk", "skin_to_canal_mm", "tip_line", "trunk"]

CAVITY = 254
"""Working label of the peritoneal cavity, where bowel and organs may lie; becomes abdominal fat at the end."""

_TURNS = 256
_SKIN_MM = 2.0
_INCH_MM = 25.4
_FASCIA_MM = 2.2
"""Thoracolumbar fascia behind the muscles of the back (assumed), and how far to either side it reaches, of an adult."""
_FASCIA_REACH_MM = 66.0
_LEAST_FAT_MM = 3.0
"""Skin and fat together behind the ligament, at the least (assumed)."""
_CORD_MM = 3.0
"""From the tip of a spinous process to the back of the supraspinous ligament (assumed)."""


@dataclass(frozen=True, slots=True)
class Build:
    """The patient's build, as the skeleton reached it.

    Attributes
    ----------
    sex
        "female" or "male".
    age_years, height_cm, weight_kg, bmi
        As drawn.
    prone
        The belly is pressed a little.
    """

    sex: str
    age_years: float
    height_cm: float
    weight_kg: float
    bmi: float
    prone: bool = True

    @property
    def scale(self) -> float:
        """Length of the trunk against that of an adult of 172 cm."""
        return self.height_cm / 172.0

    @property
    def adult_bmi(self) -> float:
        """The BMI of an adult who is as thin or heavy for his age: a child's median is lower (unverified)."""
        return self.bmi * 22.0 / float(np.interp(self.age_years, [5.0, 20.0], [15.5, 22.0]))


def skin_to_canal_mm(build: Build) -> float:
    """Return the depth from the skin of the back to the middle of the lumbar canal.

    Adults: 0.077 BMI + 0.88 inches (Nayate 2016, doi:10.3174/ajnr.A4589); below 18 years 0.4 weight + 20 mm
    (Bailie, PMID 23966025), not above the adult's.
    """
    adult = _INCH_MM * (0.077 * build.bmi + 0.88)
    return adult if build.age_years >= 18 else min(adult, 0.4 * build.weight_kg + 20.0)


@dataclass(frozen=True, slots=True)
class Trunk:
    """Contours by plane and direction.

    Attributes
    ----------
    z_mm
        (n,) rising heights of the planes.
    center_mm
        (n, 2) x and y the directions start from.
    radius_mm, fat_mm, wall_mm
        (n, 256) distance of the skin from there, thickness of the fat below the skin and of the muscle below
        that, in directions of the diamond angle: 0 left, 64 back, 128 right, 192 front.
    slope
        (n, 256) cosine between direction and the skin's normal.
    """

    z_mm: NDArray[np.float64]
    center_mm: NDArray[np.float64]
    radius_mm: NDArray[np.float64]
    fat_mm: NDArray[np.float64]
    wall_mm: NDArray[np.float64]
    slope: NDArray[np.float64]

    def back_y_mm(self, z_mm: float) -> float:
        """Return where the skin of the back is in the midline."""
        at = np.clip(z_mm, self.z_mm[0], self.z_mm[-1])
        return float(np.interp(at, self.z_mm, self.center_mm[:, 1] + self.radius_mm[:, _TURNS // 4]))

    def middle_x_mm(self, z_mm: float) -> float:
        """Return where the midline is."""
        return float(np.interp(z_mm, self.z_mm, self.center_mm[:, 0]))


def _directions() -> NDArray[np.float64]:
    """Return (256, 2): unit x, y of every diamond angle."""
    a = np.arange(_TURNS) * 4.0 / _TURNS
    x = np.where(a < 2.0, 1.0 - a, a - 3.0)
    y = np.where(a < 1.0, a, np.where(a < 3.0, 2.0 - a, a - 4.0))
    return np.stack([x, y], axis=1) / np.hypot(x, y)[:, np.newaxis]


def _smooth(values: NDArray[np.float64], times: int) -> NDArray[np.float64]:
    for _ in range(times):
        values = np.concatenate([values[:1], 0.25 * values[:-2] + 0.5 * values[1:-1] + 0.25 * values[2:], values[-1:]])
    return values


def trunk(skeleton: Skeleton, build: Build, low_mm: float, high_mm: float) -> Trunk:
    """Shape the trunk around a skeleton between two heights.

    Widths and depths are those of the guidance's body ellipse (lateral 320 to 380, anteroposterior 200 to 260 mm
    by BMI, unverified); the back follows the canal at the depth of `skin_to_canal_mm` from T12 to L5.
    """
    z = np.arange(low_mm, high_mm + 4.0, 4.0)
    canal = skeleton.canal.centers_mm[np.argsort(skeleton.canal.centers_mm[:, 2])]
    canal_x = np.interp(z, canal[:, 2], canal[:, 0])
    # Skin bridges a step of the canal, as in listhesis.
    canal_y = _smooth(np.interp(z, canal[:, 2], canal[:, 1]), 10)
    sacrum_z = float(skeleton.frames["sacrum"][2, 3])
    lowest = min(float(frame[2, 3]) for name, frame in skeleton.frames.items() if name != "sacrum")
    highest = max(float(frame[2, 3]) for frame in skeleton.frames.values())
    depth = skin_to_canal_mm(build)
    s = build.scale
    knots = [low_mm - 1.0, sacrum_z - 110 * s, sacrum_z - 45 * s, lowest - 8 * s, highest - 25 * s, high_mm + 1.0]
    # Over the sacrum skin is nearer to the canal; below, the cleft between the buttocks.
    back = canal_y + np.interp(z, knots, np.array([0.60, 0.62, 0.80, 1.0, 1.0, 0.92]) * depth)
    # Where the canal has left the volume's middle the back goes on straight.
    below = z < sacrum_z - 45.0 * s
    back[below] = np.interp(sacrum_z - 45.0 * s, z, back) - 4.0 * s * np.clip((sacrum_z - 45 * s - z[below]) / 60, 0, 1)
    keep = (z >= lowest - 8.0 * s) & (z <= highest - 25.0 * s)
    back = np.where(keep, back, _smooth(back, 12))
    # No bone through the skin: in a slight child the formula leaves the spinous processes too little.
    cover = _cover(skeleton, z, canal_y, s)
    back = np.maximum(back, cover + _LEAST_FAT_MM)
    half_width, front_depth = _sizes(build, z, sacrum_z, highest)
    center_y = back - 0.5 * front_depth
    center = np.stack([_smooth(canal_x, 20) * 0.85, center_y], axis=1)
    radius = np.empty((len(z), _TURNS))
    for n in range(len(z)):
        high = float(np.clip((z[n] - (sacrum_z - 20 * s)) / (50.0 * s), 0.0, 1.0))
        radius[n] = _contour(half_width[n], 0.5 * front_depth[n], high, build, s)
    fat, wall = _layers(build, z, sacrum_z, back - cover, s)
    turn = np.arctan2(_directions()[:, 1], _directions()[:, 0])
    step = np.mod(np.roll(turn, -1) - np.roll(turn, 1), 2 * np.pi)
    change = (np.roll(radius, -1, axis=1) - np.roll(radius, 1, axis=1)) / step
    slope = radius / np.hypot(radius, change)
    # Rounded, so that the last bits of a machine's powers do not reach the voxels.
    return Trunk(z, *(np.round(table, 4) for table in (center, radius, fat, wall, slope)))


def _sizes(
    build: Build, z: NDArray[np.float64], sacrum_z: float, top: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Half width and full depth of every plane."""
    # Tall adults are not as much wider as they are taller; a child's trunk is smaller in every direction.
    stature = np.sqrt(build.scale) if build.age_years >= 18 else build.scale
    lateral = (312.0 + 7.3 * (build.adult_bmi - 22.0)) * stature
    depth = (205.0 + 7.0 * (build.adult_bmi - 22.0)) * stature * (0.95 if build.prone else 1.0)
    waist, hips = (0.93, 1.12) if build.sex == "female" and build.age_years >= 13 else (1.0, 1.05)
    s = build.scale
    knots = [sacrum_z - 150 * s, sacrum_z - 90 * s, sacrum_z + 15 * s, sacrum_z + 85 * s, top - 20 * s, top + 60 * s]
    wide = np.array([hips, hips * 1.01, 1.02, waist, 0.95, 0.98])
    deep = np.array([0.97, 1.02, 1.0, 0.97, 1.0, 1.03])
    half = 0.5 * lateral * _smooth(np.interp(z, knots, wide), 40)
    return half, depth * _smooth(np.interp(z, knots, deep), 40)


def _contour(half_width: float, half_depth: float, high: float, build: Build, s: float) -> NDArray[np.float64]:
    """Skin radius in every direction: a flat back with a furrow between its muscles, a round front."""
    way = _directions()
    u, v = np.abs(way[:, 0]) / half_width, np.abs(way[:, 1]) / half_depth
    power = np.where(way[:, 1] > 0.0, 2.7, 2.25)
    radius = (u**power + v**power) ** (-1.0 / power)
    side = radius * way[:, 0]
    behind = np.clip(way[:, 1], 0.0, 1.0)
    lean = np.clip((34.0 - build.adult_bmi) / 12.0, 0.25, 1.0)
    # The paraspinal muscles stand out beside the furrow; lower down the buttocks do.
    bulge = 7.0 * s * lean * (1.0 - np.exp(-((side / (19.0 * s)) ** 2))) * np.exp(-((side / (75.0 * s)) ** 4))
    buttock = (
        24.0 * s * (1.0 - np.exp(-((side / (22.0 * s)) ** 2))) * np.exp(-(((np.abs(side) - 65 * s) / (55 * s)) ** 2))
    )
    outline: NDArray[np.float64] = radius + behind * (high * bulge + (1.0 - high) * buttock)
    return outline


def tip_line(skeleton: Skeleton) -> NDArray[np.float64]:
    """Return the tips of the spinous processes and of the sacral crest's first (n, 3), from the head down."""
    tips = [np.array(one.position_mm) for name, one in skeleton.landmarks.items() if name.endswith("/spinous_tip")]
    return np.array(sorted(tips, key=lambda tip: -float(tip[2])))


def _cover(skeleton: Skeleton, z: NDArray[np.float64], canal_y: NDArray[np.float64], s: float) -> NDArray[np.float64]:
    """Return y of what the fat of the back lies on in the midline: tips and the ligament strung over them."""
    tips = tip_line(skeleton)[::-1]
    over = tips[:, 1] - np.interp(tips[:, 2], z, canal_y)
    return _smooth(canal_y + np.interp(z, tips[:, 2], over), 3) + (_CORD_MM + _FASCIA_MM) * s


def _layers(
    build: Build, z: NDArray[np.float64], sacrum_z: float, over_spine_mm: NDArray[np.float64], s: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fat below the skin and muscular wall in every plane and direction; fat over the spine reaches its ligament."""
    way = _directions()
    x, y = way[:, 0], way[:, 1]
    fat_front = np.clip(8.0 + 1.45 * (build.adult_bmi - 20.0), 3.0, 75.0) * s**0.5
    fat_side = np.clip(7.0 + 1.0 * (build.adult_bmi - 20.0), 3.0, 60.0) * s**0.5
    fat_back = np.maximum(over_spine_mm, _LEAST_FAT_MM)[:, np.newaxis]
    if build.sex == "female":
        fat_front, fat_side = 1.1 * fat_front, 1.15 * fat_side
    front, back = np.clip(-y, 0, 1) ** 2, np.clip(y, 0, 1) ** 2
    fat = fat_front * front + fat_side * x**2 + fat_back * back
    hips = np.clip((sacrum_z + 10 * s - z) / (70 * s), 0.0, 1.0)[:, np.newaxis]
    fat_all = fat * (1.0 + hips * (0.35 * np.abs(x))[np.newaxis])
    rectus = 10.0 * (1.0 - np.exp(-((x / 0.07) ** 2)) * (y < 0))
    wall = s * (rectus * front + 19.0 * x**2 + _FASCIA_MM * back)
    wall_all = wall[np.newaxis] * (1.0 + 0.3 * hips)
    return np.asarray(fat_all), np.asarray(np.maximum(wall_all, 1.5))


def empty_canvas(shape: Trunk, pitch_mm: float) -> Canvas:
    """Return a canvas of air that holds the trunk with a margin of two voxels."""
    reach = shape.radius_mm[:, :, np.newaxis] * _directions() + shape.center_mm[:, np.newaxis, :]
    margin = 2.0 * pitch_mm
    low = np.array([*(reach.min(axis=(0, 1)) - margin), shape.z_mm[0]])
    high = np.array([*(reach.max(axis=(0, 1)) + margin), shape.z_mm[-1]])
    # Voxel centres lie on multiples of the pitch: the origin is one of them.
    first = np.floor(low / pitch_mm).astype(int)
    sizes = np.ceil(high / pitch_mm).astype(int) - first + 1
    grid = (int(sizes[2]), int(sizes[1]), int(sizes[0]))
    origin = (float(first[0] * pitch_mm), float(first[1] * pitch_mm), float(first[2] * pitch_mm))
    return Canvas(np.full(grid, -1000.0, np.float32), np.zeros(grid, np.uint8), origin, pitch_mm)


def paint_trunk(canvas: Canvas, noise: Grain, shape: Trunk, build: Build) -> None:
    """Paint skin, fat, wall and cavity."""
    z = canvas.origin_mm[2] + canvas.pitch_mm * np.arange(canvas.hu.shape[0])
    at = np.clip((z - shape.z_mm[0]) / (shape.z_mm[1] - shape.z_mm[0]), 0.0, len(shape.z_mm) - 1.001)
    rows = np.stack([one.row() for one in _textures(build)])
    names = ("skin", "subcutaneous_fat", "thoracolumbar_fascia", "abdominal_wall")
    labels = np.array([*(structure(name).label for name in names), CAVITY])
    tables = np.stack([shape.radius_mm, shape.fat_mm, shape.wall_mm, shape.slope])
    how = np.array([*canvas.origin_mm, canvas.pitch_mm, _FASCIA_REACH_MM * build.scale, _FASCIA_MM * build.scale])
    spread(
        _paint_layers, len(z), canvas.hu, canvas.labels, how, at, shape.center_mm, tables, rows, labels, noise, least=8
    )


def _textures(build: Build) -> tuple[Texture, ...]:
    """Skin, fat with septa, fascia, wall with fat planes, mesentery: fat with vessels and folds."""
    return (
        texture("skin"),
        texture("subcutaneous_fat", streak_hu=-35.0, streak_above=1.75, streak_mm=4.0, streak_length=1.6),
        texture("ligament"),
        texture(
            "lean_muscle",
            streak_hu=-80.0,
            streak_above=1.9 - 0.008 * build.age_years,
            streak_mm=3.0,
            streak_length=4.0,
        ),
        texture("visceral_fat", streak_hu=25.0, streak_above=1.1, streak_mm=4.5, streak_length=1.2),
    )


@numba.njit(**WITHIN)
def _table(tables, which, plane, share, turn):  # type: ignore[no-untyped-def]
    """Value between planes and directions."""
    k = int(turn)
    f = turn - k
    a, b = k & 255, (k + 1) & 255
    low = tables[which, plane, a] * (1 - f) + tables[which, plane, b] * f
    high = tables[which, plane + 1, a] * (1 - f) + tables[which, plane + 1, b] * f
    return low * (1 - share) + high * share


@numba.njit(**DOOR)
def _paint_layers(start, stop, hu, labels, how, at, centers, tables, rows, names, noise):  # type: ignore[no-untyped-def]
    first, pitch, reach = how[:3], how[3], how[4]
    for i in range(start, stop):
        plane = int(at[i])
        share = at[i] - plane
        z = first[2] + i * pitch
        cx = centers[plane, 0] * (1 - share) + centers[plane + 1, 0] * share
        cy = centers[plane, 1] * (1 - share) + centers[plane + 1, 1] * share
        for j in range(hu.shape[1]):
            y = first[1] + j * pitch
            dy = y - cy
            for k in range(hu.shape[2]):
                x = first[0] + k * pitch
                dx = x - cx
                total = abs(dx) + abs(dy) + 1e-9
                turn = 1.0 - dx / total if dy >= 0.0 else 3.0 + dx / total
                turn *= 64.0
                distance = np.sqrt(dx * dx + dy * dy)
                radius = _table(tables, 0, plane, share, turn)
                if distance > radius + 2.0 * pitch:
                    continue
                depth = (radius - distance) * _table(tables, 3, plane, share, turn)
                if depth < -0.5 * pitch:
                    continue
                fat = _table(tables, 1, plane, share, turn)
                wall = fat + _table(tables, 2, plane, share, turn)
                value = hu[i, j, k]
                label = 0
                fascia = fat + how[5] if dy > 0.0 and abs(dx) < reach else fat
                for layer in range(5):
                    begin, end = 0.0, 2.0
                    if layer == 1:
                        begin, end = 2.0, fat
                    elif layer == 2:
                        begin, end = fat, fascia
                    elif layer == 3:
                        begin, end = fascia, wall
                    elif layer == 4:
                        begin, end = wall, 1e9
                    if end <= begin:
                        continue
                    if depth < begin - 0.5 * pitch or depth > end + 0.5 * pitch:
                        continue
                    cover = min(1.0, max(0.0, (depth - begin) / pitch + 0.5))
                    value += cover * (textured(rows[layer], noise, x, y, z) - value)
                    if cover > 0.5:
                        label = names[layer]
                hu[i, j, k] = value
                if label > 0:
                    labels[i, j, k] = label
