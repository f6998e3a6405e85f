"""The built-in patient: a lumbar torso made of analytic shapes, for when no CT is at hand.

An adult of average build, T9 to the femoral heads, lying straight. Widths and depths of the lumbar bodies lie
within 3 mm of the means of Panjabi et al. 1992 (doi:10.1097/00007632-199203000-00010); the spine has 50° of
lordosis from L1 to S1. Shapes are plain: it looks like a spine in X-ray, it is no atlas.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.rigid import rotation, translation
from fluoroscope.patient.anatomy.solids import Canvas, Solid, capsule, column, ellipsoid, offset, plate
from fluoroscope.patient.labels import LabelMap
from fluoroscope.patient.stored import Progress, silent
from fluoroscope.patient.torso_soft import BOWEL_SEED, paint_soft_tissue
from fluoroscope.patient.volume import Volume

__all__ = ["TORSO_REFERENCE_MM", "TORSO_VERSION", "make_torso"]

TORSO_REFERENCE_MM = (0.0, 0.0, 0.0)
"""Centre of the body of L3: the origin of the torso's coordinates."""

TORSO_VERSION = f"torso 1, seed {BOWEL_SEED}"

_LOW_MM = (-186.0, -150.0, -216.0)
_HIGH_MM = (186.0, 105.0, 176.0)


@dataclass(frozen=True, slots=True)
class _Level:
    """A vertebra: its body, the disc below it, and how far its axis leans to the back."""

    name: str
    label: int
    width_mm: float
    depth_mm: float
    height_mm: float
    disc_mm: float
    lean_deg: float


_LEVELS = (
    _Level("T9", 35, 33.0, 29.0, 22.0, 5.0, 3.0),
    _Level("T10", 34, 35.0, 30.0, 23.0, 5.5, 5.0),
    _Level("T11", 33, 38.0, 31.0, 24.0, 6.0, 9.0),
    _Level("T12", 32, 41.0, 31.5, 25.5, 7.0, 12.0),
    _Level("L1", 31, 43.0, 32.5, 27.0, 8.0, 12.0),
    _Level("L2", 30, 45.0, 33.5, 28.0, 9.5, 8.0),
    _Level("L3", 29, 47.0, 34.0, 28.0, 10.5, 1.0),
    _Level("L4", 28, 49.0, 34.5, 28.0, 11.5, -8.0),
    _Level("L5", 27, 51.0, 34.5, 27.5, 11.0, -21.0),
)
_SACRAL = (  # width, depth, height, lean of S1 to S5
    (52.0, 32.0, 29.0, -38.0),
    (44.0, 25.0, 25.0, -31.0),
    (37.0, 20.0, 21.0, -14.0),
    (31.0, 16.0, 18.0, 10.0),
    (24.0, 12.0, 15.0, 32.0),
)
_SACRUM_LABEL = 25
_HIP_LABELS = {1: 77, -1: 78}
_FEMUR_LABELS = {1: 75, -1: 76}
_CORTEX_HU, _SPONGIOSA_HU, _DISC_HU = 900.0, 190.0, 95.0


def make_torso(pitch_mm: float = 1.2, *, progress: Progress | None = None) -> tuple[Volume, LabelMap]:
    """Build the torso.

    Parameters
    ----------
    pitch_mm
        Voxel pitch, 0.5 to 5 mm.
    progress
        Told the fraction done.

    Returns
    -------
    tuple of Volume and LabelMap
        int16 HU in LPS with the centre of L3 at the origin, and the bones' numbers on its grid.

    Raises
    ------
    ValueError
        For a pitch out of range.
    """
    if not 0.5 <= pitch_mm <= 5.0:
        raise ValueError(f"the torso is built at 0.5 to 5 mm, not {pitch_mm} mm")
    report = progress or silent
    sizes = [int(np.ceil((high - low) / pitch_mm)) for low, high in zip(_LOW_MM, _HIGH_MM, strict=True)]
    shape = (sizes[2], sizes[1], sizes[0])
    canvas = Canvas(np.full(shape, -1000.0, np.float32), np.zeros(shape, np.uint8), _LOW_MM, pitch_mm)
    report(0.0, "building the torso")
    spine = _spine_frames()
    paint_soft_tissue(canvas, {name: frame[:3, 3] for name, frame in spine.items()})
    report(0.5, "building the torso")
    _paint_discs(canvas, spine)
    _paint_pelvis(canvas, spine["S1"])
    _paint_ribs(canvas, spine)
    for level in _LEVELS:
        _paint_vertebra(canvas, level, spine[level.name])
    report(1.0, "building the torso")
    world_from_index = np.array(
        [
            [0.0, 0.0, pitch_mm, _LOW_MM[0]],
            [0.0, pitch_mm, 0.0, _LOW_MM[1]],
            [pitch_mm, 0.0, 0.0, _LOW_MM[2]],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )
    names = {level.label: f"vertebrae_{level.name}" for level in _LEVELS}
    names |= {_SACRUM_LABEL: "sacrum", 75: "femur_left", 76: "femur_right", 77: "hip_left", 78: "hip_right"}
    hu = np.rint(np.clip(canvas.hu, -1000.0, 3000.0)).astype(np.int16)
    return Volume(hu, world_from_index), LabelMap(canvas.labels, names)


def _frame(place: NDArray[np.float64], lean_deg: float) -> NDArray[np.float64]:
    """Frame of a vertebra: x to the left, z along its axis, which leans to the back."""
    # A right-handed turn about +x takes +z to −y.
    return translation(place) @ rotation((1.0, 0.0, 0.0), -lean_deg)


def _spine_frames() -> dict[str, NDArray[np.float64]]:
    """Return world_from_vertebra of every level and of S1, L3 at the origin."""
    leans = [level.lean_deg for level in _LEVELS] + [_SACRAL[0][3]]
    heights = [level.height_mm for level in _LEVELS] + [_SACRAL[0][2]]
    discs = [level.disc_mm for level in _LEVELS]
    place = np.zeros(3)
    places = [place]
    for n in range(len(_LEVELS)):
        up = [_frame(np.zeros(3), lean)[:3, 2] for lean in (leans[n], leans[n + 1])]
        middle = (up[0] + up[1]) / np.linalg.norm(up[0] + up[1])
        place = place - up[0] * heights[n] / 2 - middle * discs[n] - up[1] * heights[n + 1] / 2
        places.append(place)
    names = [level.name for level in _LEVELS] + ["S1"]
    origin = places[names.index("L3")]
    return {name: _frame(p - origin, lean) for name, p, lean in zip(names, places, leans, strict=True)}


def _paint_discs(canvas: Canvas, spine: dict[str, NDArray[np.float64]]) -> None:
    names = [*(level.name for level in _LEVELS), "S1"]
    for n, level in enumerate(_LEVELS):
        upper, lower = spine[names[n]], spine[names[n + 1]]
        place = (upper[:3, 3] + lower[:3, 3]) / 2
        lower_lean = _LEVELS[n + 1].lean_deg if n + 1 < len(_LEVELS) else _SACRAL[0][3]
        half = (level.width_mm / 2, level.depth_mm / 2, level.disc_mm / 2 + 3.0)
        canvas.paint(
            Solid(
                np.array([column((0.0, 0.0, 0.0), half)]),
                _DISC_HU,
                world_from_solid=_frame(place, (level.lean_deg + lower_lean) / 2),
            )
        )


def _arch(level: _Level) -> list[NDArray[np.float64]]:
    """Pedicles, laminae and processes of a vertebra."""
    w, b, h = level.width_mm / 47.0, level.depth_mm / 2, level.height_mm / 2
    lumbar = level.name.startswith("L")
    parts = []
    for s in (-1.0, 1.0):
        pedicle_x = {"L4": 15.5, "L5": 18.0}.get(level.name, 14.0) * w
        pedicle_r = {"L4": 5.0, "L5": 6.5}.get(level.name, 4.3 if lumbar else 3.6)
        parts.append(
            capsule(
                (s * pedicle_x, b - 3.0, 0.35 * h),
                (s * (pedicle_x + 1.0), b + 12.0, 0.3 * h),
                pedicle_r,
                stretch=(1.0, 1.0, 1.6),
            )
        )
        # Lamina: two bars that melt into a plate.
        parts.append(capsule((s * pedicle_x, b + 14.0, 0.1 * h), (0.0, b + 26.0, -0.3 * h), 3.6, stretch=(1, 1, 1.5)))
        parts.append(capsule((s * 12.0 * w, b + 16.0, -0.6 * h), (0.0, b + 26.0, -0.8 * h), 3.4, stretch=(1, 1, 1.3)))
        reach = {"L1": 36.0, "L2": 40.0, "L3": 45.0, "L4": 41.0, "L5": 43.0, "T12": 24.0}.get(level.name, 30.0)
        tip_y, tip_z = (b + 15.0, 4.0) if lumbar else (b + 26.0, 6.0)
        parts.append(
            capsule((s * 16.0 * w, b + 12.0, 3.0), (s * reach, tip_y, tip_z), 5.0, 3.6, stretch=(1.0, 0.75, 1.25))
        )
        # Articular processes, upper outside and in front of the lower ones of the next vertebra.
        parts.append(
            capsule((s * 16.5 * w, b + 13.0, 0.4 * h), (s * 18.5 * w, b + 14.5, h + 4.5), 4.4, 3.6, (0.9, 0.9, 1))
        )
        parts.append(
            capsule(
                (s * 12.0 * w, b + 19.0, -0.5 * h),
                (s * 12.0 * w, b + 20.0, -h - 9.5),
                4.6,
                3.8,
                (0.9, 0.8, 1),
            )
        )
    drop = -0.9 * h if lumbar else -1.7 * h
    length = {"L5": 40.0}.get(level.name, 47.0 if lumbar else 45.0)
    parts.append(capsule((0.0, b + 24.0, -0.4 * h), (0.0, b + length, drop), 3.2, 3.8, stretch=(1.0, 1.0, 2.1)))
    return parts


def _paint_vertebra(canvas: Canvas, level: _Level, frame: NDArray[np.float64]) -> None:
    b, h = level.depth_mm / 2, level.height_mm / 2
    canal = capsule((0.0, b + 8.5, -40.0), (0.0, b + 8.5, 40.0), 8.0, stretch=(1.35, 1.0, 1.0))
    canvas.paint(
        Solid(
            np.array(_arch(level)),
            320.0,
            1050.0,
            1.7,
            joint_mm=4.0,
            label=level.label,
            holes=canal[np.newaxis],
            world_from_solid=frame,
        )
    )
    body = column((0.0, 0.0, 0.0), (level.width_mm / 2, b, h), waist=0.13, exponent=2.4)
    canvas.paint(
        Solid(
            body[np.newaxis],
            _SPONGIOSA_HU,
            _CORTEX_HU,
            1.1,
            label=level.label,
            holes=canal[np.newaxis],
            world_from_solid=frame,
        )
    )


def _paint_pelvis(canvas: Canvas, s1: NDArray[np.float64]) -> None:
    _paint_sacrum(canvas, s1)
    for side in (-1, 1):
        _paint_hip(canvas, s1[:3, 3], side)


def _ala(local: NDArray[np.float64], number: int, s: float, width: float) -> NDArray[np.float64]:
    """Side mass of a sacral segment."""
    wing = (58.0, 50.0, 36.0)[number]
    thick = (17.0, 14.0, 9.0)[number]
    return capsule(
        local + offset(s * width * 0.38, 5.0, 0.0),
        local + offset(s * (wing - thick * 0.6), 13.0, -2.0),
        thick * 0.85,
        thick,
        stretch=(0.8, 0.8, 0.95),
    )


def _paint_sacrum(canvas: Canvas, s1: NDArray[np.float64]) -> None:
    shapes, holes = [], []
    place = s1[:3, 3]
    solid_from_world = np.linalg.inv(s1)
    previous: tuple[NDArray[np.float64], float] | None = None
    for number, (width, depth, height, lean) in enumerate(_SACRAL):
        up = _frame(np.zeros(3), lean)[:3, 2]
        if previous is not None:
            place = place - previous[0] * previous[1] / 2 - up * height / 2
        previous = (up, height)
        # In the frame of S1 the lower segments are rods across, flattened along their own depth.
        local = (solid_from_world @ np.append(place, 1.0))[:3]
        if number == 0:
            shapes.append(column(local, (width / 2, depth / 2, height / 2), taper=0.06))
        else:
            half = width / 2 - depth / 2
            shapes.append(
                capsule(
                    local - offset(half, 0, 0),
                    local + offset(half, 0, 0),
                    depth / 2,
                    stretch=(1, 1, height / depth * 1.1),
                )
            )
        gap = local - solid_from_world[:3, :3] @ up * height / 2
        for s in (-1.0, 1.0):
            if number < 3:
                shapes.append(_ala(local, number, s, width))
            if number < 4:
                ends = gap + offset(s * width * 0.44, -40.0, 0.0), gap + offset(s * width * 0.47, 45.0, 0.0)
                holes.append(capsule(*ends, 4.6 - 0.4 * number))
        shapes.append(
            capsule(local + offset(0, depth / 2 + 2, 4), local + offset(0, depth / 2 + 12.0 - number, -6), 4.0)
        )
    canvas.paint(
        Solid(
            np.array(shapes),
            150.0,
            800.0,
            1.3,
            joint_mm=7.0,
            label=_SACRUM_LABEL,
            holes=np.array(holes),
            world_from_solid=s1,
        )
    )


def _paint_hip(canvas: Canvas, s1_mm: NDArray[np.float64], side: int) -> None:
    """Iliac wing as a fan of plates from the sacroiliac joint to the crest, acetabulum, femoral head."""
    s = float(side)
    z0, y0 = float(s1_mm[2]), float(s1_mm[1])
    head = np.array([s * 88.0, y0 - 42.0, z0 - 78.0])
    root = np.array([s * 78.0, y0 - 22.0, z0 - 42.0])
    # The crest from the posterior to the anterior superior spine: angle of the fan, x, y, z.
    crest = np.array(
        [
            [s * 42.0, y0 + 46.0, z0 - 8.0],
            [s * 55.0, y0 + 44.0, z0 + 22.0],
            [s * 80.0, y0 + 33.0, z0 + 46.0],
            [s * 108.0, y0 + 6.0, z0 + 56.0],
            [s * 127.0, y0 - 28.0, z0 + 48.0],
            [s * 132.0, y0 - 58.0, z0 + 24.0],
            [s * 125.0, y0 - 78.0, z0 - 6.0],
        ]
    )
    t = np.linspace(0.0, len(crest) - 1.0, 13)
    rim = np.stack([np.interp(t, np.arange(len(crest)), crest[:, i]) for i in range(3)], axis=1)
    wing = [plate(root, a, b, 3.6) for a, b in itertools.pairwise(rim)]
    edge = [capsule(a, b, 5.2) for a, b in itertools.pairwise(rim)]
    joint = [
        capsule((s * 58.0, y0 + 20.0, z0 - 6.0), (s * 62.0, y0 + 4.0, z0 - 34.0), 9.0, 11.0, (0.7, 1, 1)),
        capsule((s * 52.0, y0 + 36.0, z0 + 2.0), (s * 58.0, y0 + 20.0, z0 - 6.0), 9.0, 9.0, (0.7, 1, 1)),
    ]
    socket = [
        capsule(root, head + offset(s * -8.0, 2.0, 12.0), 13.0, 22.0),
        ellipsoid(head + offset(-s * 5.0, 0.0, 3.0), (33.0, 32.0, 33.0)),
        # Pubic ramus and ischium leave the volume below.
        capsule(head + offset(-s * 22.0, -14.0, -2.0), (s * 28.0, y0 - 72.0, z0 - 102.0), 9.0, 8.0),
        capsule(head + offset(-s * 10.0, 16.0, -14.0), head + offset(-s * 12.0, 30.0, -50.0), 15.0, 13.0),
    ]
    cup = ellipsoid(head + offset(s * 1.5, 0.0, -1.0), (26.5, 26.5, 26.5))
    opening = capsule(head + offset(s * 10.0, -6.0, -8.0), head + offset(s * 60.0, -10.0, -40.0), 27.0)
    canvas.paint(
        Solid(
            np.array(wing + edge + joint + socket),
            130.0,
            850.0,
            1.4,
            joint_mm=6.0,
            label=_HIP_LABELS[side],
            holes=np.stack([cup, opening]),
        )
    )
    neck = head + offset(s * 38.0, 8.0, -24.0)
    femur = [
        ellipsoid(head, (24.0, 24.0, 24.0)),
        capsule(head, neck, 15.0, 16.0),
        capsule(neck, neck + offset(s * 8.0, 8.0, 6.0), 17.0, 13.0),
        capsule(neck, neck + offset(s * -2.0, 2.0, -90.0), 17.0, 15.0),
    ]
    canvas.paint(Solid(np.array(femur), 190.0, 900.0, 1.6, joint_mm=6.0, label=_FEMUR_LABELS[side]))


def _paint_ribs(canvas: Canvas, spine: dict[str, NDArray[np.float64]]) -> None:
    """Ribs 9 to 12, each a curve from its vertebra around the trunk and down."""
    for name, turn_deg, fall_mm in (
        ("T12", 62.0, 42.0),
        ("T11", 100.0, 78.0),
        ("T10", 135.0, 100.0),
        ("T9", 150.0, 110.0),
    ):
        center = spine[name][:3, 3]
        half_width, half_depth = 134.0, 88.0
        for s in (-1.0, 1.0):
            start = center + offset(s * 22.0, 17.0, 7.0)
            neck = center + offset(s * 36.0, 34.0, 4.0)
            middle_y = -22.0
            turn = np.deg2rad(np.linspace(22.0, 22.0 + turn_deg, 16))
            share = np.linspace(0.0, 1.0, 16)
            points = np.stack(
                [
                    s * half_width * np.sin(turn),
                    middle_y + half_depth * np.cos(turn),
                    center[2] - fall_mm * share**1.15 - 4.0,
                ],
                axis=1,
            )
            path = np.vstack([start, neck, points])
            radius = np.linspace(4.2, 3.0 if name == "T12" else 4.0, len(path))
            rods = [
                capsule(path[n], path[n + 1], radius[n], radius[n + 1], (0.8, 0.8, 1.35)) for n in range(len(path) - 1)
            ]
            canvas.paint(Solid(np.array(rods), 250.0, 850.0, 1.2))
