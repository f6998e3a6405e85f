"""Muscles of the back and the loin, and the fat that borders them."""

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.anatomy.body import CAVITY, Build
from fluoroscope.patient.anatomy.bone import Skeleton
from fluoroscope.patient.anatomy.soft import ANYWHERE, Grain, SoftShape, Texture, chain, paint_soft, texture
from fluoroscope.patient.anatomy.solids import Canvas
from fluoroscope.patient.anatomy.structures import structure

__all__ = ["Posts", "only", "paint_muscles", "posts"]

SIDES = (("left", 1.0), ("right", -1.0))


class Posts:
    """Places given in the frames of the vertebrae, scaled with the patient."""

    def __init__(self, skeleton: Skeleton, scale: float) -> None:
        self._frames = skeleton.frames
        self.scale = scale
        vertebrae = [name for name in skeleton.frames if name != "sacrum"]
        self.names = sorted(vertebrae, key=lambda name: -float(skeleton.frames[name][2, 3]))
        self.lumbar = [name for name in self.names if name.startswith("vertebrae_L")]

    def at(self, name: str, x_mm: float, y_mm: float, z_mm: float) -> NDArray[np.float64]:
        """Return a place (3,) in the patient; the offset is that of an adult."""
        frame = self._frames[name]
        place: NDArray[np.float64] = frame[:3, :3] @ (self.scale * np.array([x_mm, y_mm, z_mm])) + frame[:3, 3]
        return place

    def beside(self, name: str, x_mm: float, y_mm: float, z_mm: float) -> NDArray[np.float64]:
        """Return a place (3,) offset along the patient's own axes."""
        place: NDArray[np.float64] = self._frames[name][:3, 3] + self.scale * np.array([x_mm, y_mm, z_mm])
        return place


def posts(skeleton: Skeleton, build: Build) -> Posts:
    """Return the places soft parts hang on."""
    return Posts(skeleton, build.scale)


def only(*labels: int) -> NDArray[np.bool_]:
    """Return which labels may be painted over."""
    chosen = np.zeros(256, dtype=np.bool_)
    chosen[list(labels)] = True
    return chosen


def _streaky(build: Build) -> Texture:
    """Muscle with streaks of fat, more of them in the old and the heavy."""
    above = 1.95 - 0.013 * max(0.0, build.age_years - 20.0) - 0.012 * max(0.0, build.bmi - 24.0)
    return texture("muscle", streak_hu=-90.0, streak_above=max(0.7, above), streak_mm=2.2, streak_length=7.0)


def paint_muscles(canvas: Canvas, noise: Grain, skeleton: Skeleton, build: Build) -> None:
    """Paint the tissue around the spine, then every muscle over it."""
    here = posts(skeleton, build)
    s = build.scale
    spine = (
        [here.at(here.names[0], 0.0, 2.0, 70.0)]
        + [here.at(name, 0.0, 2.0, 0.0) for name in here.names]
        + [here.at("sacrum", 0.0, 4.0, 0.0)]
    )
    column = chain(spine, 21.0 * s)
    around = structure("paravertebral_tissue").label
    fat = texture("visceral_fat", streak_hu=10.0, streak_above=1.7, streak_mm=2.5, streak_length=2.0)
    behind = structure("abdominal_fat").label
    back = only(CAVITY, structure("abdominal_wall").label, behind, around)
    for _, side in SIDES:
        # The fat the psoas is seen against; bowel keeps out of it.
        paint_soft(
            canvas,
            noise,
            SoftShape(_psoas(here, side, 13.0), fat, behind, (0.95, 1.2, 1.0), 4.0, over=only(CAVITY, behind)),
        )
        loin = chain(
            [here.beside(here.lumbar[0], side * 60, 24, 0), here.beside(here.lumbar[-1], side * 74, 16, 0)], 20 * s
        )
        paint_soft(canvas, noise, SoftShape(loin, fat, behind, over=only(CAVITY, behind)))
    paint_soft(canvas, noise, SoftShape(column, texture("soft_organ"), around, stretch=(1.12, 0.95, 1.0)))
    for name, side in SIDES:
        _back(canvas, noise, here, build, name, side, back)
        _loin(canvas, noise, here, build, name, side, back)
        _buttock(canvas, noise, here, build, name, side)


def _back(
    canvas: Canvas, noise: Grain, here: Posts, build: Build, name: str, side: float, over: NDArray[np.bool_]
) -> None:
    """Erector spinae beside, multifidus next to the spinous processes."""
    label = structure(f"autochthon_{name}").label
    top = here.beside(here.names[0], side * 24.0, 40.0, 60.0)
    outer = [top] + [here.at(one, side * 35.0, 43.0, 0.0) for one in here.names]
    outer += [here.at("sacrum", side * 30.0, 30.0, -18.0), here.at("sacrum", side * 14.0, 34.0, -55.0)]
    thick = [15.0, *np.linspace(16.0, 20.5, len(here.names)), 13.0, 4.0]
    inner = [here.beside(here.names[0], side * 9.0, 40.0, 60.0)]
    inner += [here.at(one, side * 13.0, 44.0, 0.0) for one in here.names] + [
        here.at("sacrum", side * 11.0, 31.0, -25.0)
    ]
    streaks, s = _streaky(build), here.scale
    # Up to the fascia, which holds them in.
    full = [point + np.array([0.0, 10.0 * s, 0.0]) for point in outer[:-2]]
    for points, radii, stretch in (
        (full, [*np.linspace(13.0, 17.0, len(full))], (1.6, 1.0, 1.0)),
        (outer, thick, (1.55, 1.0, 1.0)),
        (inner, [14.0] * len(inner), (0.9, 1.1, 1.0)),
    ):
        paint_soft(
            canvas,
            noise,
            SoftShape(chain(points, s * np.array(radii)), streaks, label, stretch, 2.0, 0.8, 12.0, over),
        )


def _psoas(here: Posts, side: float, grown_mm: float) -> NDArray[np.float64]:
    """From the side of T12 and L1, widening, over the pelvic brim to the front of the hip."""
    s = here.scale
    levels = here.lumbar
    first, last = levels[0], levels[-1]
    middle = levels[len(levels) // 2]
    points = [
        here.at(first, side * 25.0, 9.0, 0.0),
        here.at(levels[1], side * 33.0, 8.0, 0.0),
        here.at(middle, side * 41.0, 5.0, 0.0),
        here.at(levels[-2], side * 46.0, 0.0, 0.0),
        here.at(last, side * 53.0, -6.0, 0.0),
        here.beside("sacrum", side * 66.0, -40.0, -30.0),
        here.beside("sacrum", side * 84.0, -66.0, -85.0),
        here.beside("sacrum", side * 92.0, -50.0, -150.0),
    ]
    radii = np.array([7.0, 11.0, 16.0, 19.0, 20.0, 18.0, 17.0, 15.0])
    return chain(points, s * (radii + grown_mm))


def _loin(
    canvas: Canvas, noise: Grain, here: Posts, build: Build, name: str, side: float, over: NDArray[np.bool_]
) -> None:
    s = here.scale
    lean = texture("lean_muscle", streak_hu=-70.0, streak_above=2.2, streak_mm=2.0, streak_length=8.0)
    psoas = SoftShape(
        _psoas(here, side, 0.0), lean, structure(f"iliopsoas_{name}").label, (0.92, 1.28, 1.0), 4.0, over=over
    )
    paint_soft(canvas, noise, psoas)
    square = chain(
        [
            here.beside(here.lumbar[0], side * 50.0, 22.0, 18.0),
            here.at(here.lumbar[2], side * 62.0, 22.0, 0.0),
            here.at(here.lumbar[-2], side * 72.0, 18.0, -10.0),
            here.at(here.lumbar[-1], side * 80.0, 12.0, 8.0),
        ],
        s * np.array([7.0, 9.5, 10.0, 8.0]),
    )
    label = structure(f"quadratus_lumborum_{name}").label
    paint_soft(canvas, noise, SoftShape(square, _streaky(build), label, (1.5, 0.85, 1.0), 2.0, over=over))


def _buttock(canvas: Canvas, noise: Grain, here: Posts, build: Build, name: str, side: float) -> None:
    """Gluteal muscles behind and beside the iliac wing, iliacus inside it."""
    s = here.scale
    label = structure(f"gluteus_maximus_{name}").label
    over = ANYWHERE.copy()
    over[[0, structure("skin").label]] = False
    great = chain(
        [
            here.beside("sacrum", side * x, y, z)
            for x, y, z in ((44, 44, -8), (72, 52, -50), (96, 42, -100), (108, 26, -150))
        ],
        s * np.array([14.0, 24.0, 26.0, 22.0]),
    )
    middle = chain(
        [
            here.beside("sacrum", side * x, y, z)
            for x, y, z in ((96, 22, 22), (118, -6, 0), (128, -18, -50), (122, -10, -90))
        ],
        s * np.array([9.0, 17.0, 19.0, 14.0]),
    )
    inside = chain(
        [
            here.beside("sacrum", side * x, y, z)
            for x, y, z in ((84, 6, 20), (96, -22, 5), (94, -44, -35), (90, -52, -80))
        ],
        s * np.array([7.0, 12.0, 14.0, 12.0]),
    )
    streaks = _streaky(build)
    paint_soft(canvas, noise, SoftShape(great, streaks, label, joint_mm=6.0, wobble_mm=1.0, over=over))
    paint_soft(canvas, noise, SoftShape(middle, streaks, label, joint_mm=6.0, wobble_mm=1.0, over=over))
    psoas = structure(f"iliopsoas_{name}").label
    paint_soft(canvas, noise, SoftShape(inside, texture("lean_muscle"), psoas, joint_mm=6.0, over=over))
