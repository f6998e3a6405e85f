"""What lies in and behind the spinal canal: ligaments, fat, veins, the dural sac with cord and roots."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.anatomy.body import Build, tip_line
from fluoroscope.patient.anatomy.bone import Skeleton
from fluoroscope.patient.anatomy.muscles import SIDES, Posts, posts
from fluoroscope.patient.anatomy.parameters import PatientParameters
from fluoroscope.patient.anatomy.soft import ANYWHERE, Grain, SoftShape, chain, paint_soft, texture
from fluoroscope.patient.anatomy.solids import Canvas
from fluoroscope.patient.anatomy.structures import structure, structures

__all__ = ["Sac", "dural_sac", "paint_canal"]


@dataclass(frozen=True, slots=True)
class Sac:
    """The dural sac.

    Attributes
    ----------
    centers_mm
        (n, 3) from the head down.
    half_width_mm, half_depth_mm
        (n,).
    canal_mm, canal_half_width_mm, canal_half_depth_mm
        The canal it lies in, at the same places.
    conus_mm, end_mm
        (3,) tips of the cord and of the sac.
    """

    centers_mm: NDArray[np.float64]
    half_width_mm: NDArray[np.float64]
    half_depth_mm: NDArray[np.float64]
    canal_mm: NDArray[np.float64]
    canal_half_width_mm: NDArray[np.float64]
    canal_half_depth_mm: NDArray[np.float64]
    conus_mm: NDArray[np.float64]
    end_mm: NDArray[np.float64]


def dural_sac(skeleton: Skeleton, build: Build, parameters: PatientParameters, random: np.random.Generator) -> Sac:
    """Lay the sac into the canal.

    The conus is drawn around the lower third of L1 (SD two thirds of a level: mid T12 to upper L3 in 504 people,
    Saifuddin 1998), the sac ends around upper S2 (Soleiman 2005). A stenosis narrows it at its level's disc.
    """
    canal = skeleton.canal
    order = np.argsort(-canal.centers_mm[:, 2])
    centers, half_w, half_d = (array[order] for array in (canal.centers_mm, canal.half_width_mm, canal.half_depth_mm))
    # On upward, as it goes at its top, to beyond the volume.
    rise = (centers[0] - centers[5]) / np.linalg.norm(centers[0] - centers[5])
    more = centers[0] + np.arange(90.0, 0.0, -5.0)[:, np.newaxis] * rise
    centers = np.vstack([more, centers])
    half_w, half_d = (np.concatenate([np.full(len(more), one[0]), one]) for one in (half_w, half_d))
    z = centers[:, 2]
    here = posts(skeleton, build)
    pitch = float(np.mean(-np.diff([here.at(one, 0, 0, 0)[2] for one in here.names])))
    first = here.lumbar[0]
    conus_z = float(here.at(first, 0, 0, -8.0)[2] + np.clip(random.normal(0.0, 0.55), -1.4, 1.4) * pitch)
    end_z = float(here.at("sacrum", 0, 0, 0)[2] - build.scale * (34.0 + np.clip(random.normal(0.0, 7.0), -16.0, 16.0)))
    block = np.ones(len(z))
    for one in parameters.pathologies:
        if one.kind == "stenosis" and f"vertebrae_{one.level}" in skeleton.frames:
            at = float(here.at(f"vertebrae_{one.level}", 0, 0, 0)[2] - 0.5 * pitch)
            block *= 1.0 - (1.0 - np.sqrt(max(0.02, 1.0 - one.amount))) * np.exp(
                -(((z - at) / (9.0 * build.scale)) ** 2)
            )
    taper = np.clip((z - end_z) / (42.0 * build.scale), 0.0, 1.0) ** 0.6
    sac_w, sac_d = 0.68 * half_w * block * taper, 0.80 * half_d * block * taper
    # The fat lies behind it: a triangle between the laminae.
    sac = centers - np.stack([np.zeros_like(z), 0.6 * (half_d - sac_d), np.zeros_like(z)], axis=1)
    keep = z >= end_z
    place = np.stack([np.interp(-np.array([conus_z, end_z]), -z, sac[:, i]) for i in range(3)], axis=1)
    return Sac(sac[keep], sac_w[keep], sac_d[keep], centers, half_w, half_d, place[0], place[1])


def paint_canal(
    canvas: Canvas, noise: Grain, skeleton: Skeleton, build: Build, sac: Sac, random: np.random.Generator
) -> None:
    """Paint ligaments, then the canal from outside in."""
    here = posts(skeleton, build)
    s = build.scale
    _paint_ligaments(canvas, noise, skeleton, sac, s)
    _paint_capsules(canvas, noise, skeleton, s)
    canal, half_w, half_d = sac.canal_mm, sac.canal_half_width_mm, sac.canal_half_depth_mm
    wide = float(np.median(half_w / half_d))
    yellow = canal + np.array([0.0, 3.6 * s, 0.0])
    paint_soft(
        canvas,
        noise,
        SoftShape(chain(yellow, half_d + 0.6), texture("ligament"), structure("ligamentum_flavum").label, (wide, 1, 1)),
    )
    fat = texture("epidural_fat", streak_hu=20.0, streak_above=1.5, streak_mm=1.5, streak_length=3.0)
    epidural = structure("epidural_space").label
    paint_soft(canvas, noise, SoftShape(chain(canal, half_d), fat, epidural, (wide, 1, 1)))
    for _, side in SIDES:
        veins = canal + np.stack([side * 0.62 * half_w, -0.66 * half_d, np.zeros(len(canal))], axis=1)
        wavy = veins + np.round(random.normal(0.0, 0.5, veins.shape), 3)
        paint_soft(canvas, noise, SoftShape(chain(wavy, 1.3 * s), texture("blood"), structure("epidural_veins").label))
        for name in here.names:
            _paint_root(canvas, noise, here, name, side, sac)
    ratio = float(np.median(sac.half_width_mm / np.maximum(sac.half_depth_mm, 1e-3)))
    fluid = structure("cerebrospinal_fluid").label
    paint_soft(canvas, noise, SoftShape(chain(sac.centers_mm, sac.half_depth_mm), texture("csf"), fluid, (ratio, 1, 1)))
    _paint_nerves(canvas, noise, build, sac, random)


def _paint_ligaments(canvas: Canvas, noise: Grain, skeleton: Skeleton, sac: Sac, s: float) -> None:
    """Interspinous sheet from the canal's back to the tips, and the cord strung over these from T11 to L5.

    Below L5 the supraspinous ligament is missing in most people; the fascia lies on the sheet there.
    """
    tips = tip_line(skeleton)
    z = np.arange(tips[0, 2], tips[-1, 2], -6.0 * s)
    canal = np.stack([np.interp(-z, -sac.canal_mm[:, 2], sac.canal_mm[:, i]) for i in (0, 1)], axis=1)
    canal[:, 1] += np.interp(-z, -sac.canal_mm[:, 2], sac.canal_half_depth_mm)
    over = np.stack([np.interp(-z, -tips[:, 2], tips[:, i]) for i in (0, 1)], axis=1)
    sheet = texture("ligament", streak_hu=0.0, streak_above=1.4)
    free = ANYWHERE.copy()
    free[[0, *(structure(name).label for name in ("skin", "subcutaneous_fat", "thoracolumbar_fascia"))]] = False
    label = structure("interspinous_ligament").label
    for share in (0.2, 0.4, 0.6, 0.8):
        way = np.column_stack([canal + share * (over - canal), z])
        paint_soft(canvas, noise, SoftShape(chain(way, 5.2 * s), sheet, label, (0.55, 1.0, 1.0), over=free))
    cord = tips[:-1] + np.array([0.0, 0.4 * s, 0.0])
    label = structure("supraspinous_ligament").label
    paint_soft(canvas, noise, SoftShape(chain(cord, 2.7 * s), texture("ligament"), label, (1.5, 1.0, 1.0), over=free))


def _paint_capsules(canvas: Canvas, noise: Grain, skeleton: Skeleton, s: float) -> None:
    """Facet joints: capsule and cartilage about each joint's middle; the bones painted later leave the cleft."""
    for name, landmark in skeleton.landmarks.items():
        word = name.rpartition("facet_")[2]
        if name.endswith(("/facet_left", "/facet_right")):
            place = np.array(landmark.position_mm)
            ends = np.stack([place + np.array([0.0, 0.0, 3.5 * s]), place - np.array([0.0, 0.0, 3.5 * s])])
            capsule = chain(ends, 8.5 * s)
            paint_soft(canvas, noise, SoftShape(capsule, texture("ligament"), structure(f"facet_joint_{word}").label))


def _paint_root(canvas: Canvas, noise: Grain, here: Posts, name: str, side: float, sac: Sac) -> None:
    """Paint the root that leaves below this vertebra's pedicle, in the fat of its foramen, with its ganglion."""
    word = "left" if side > 0 else "right"
    known = structures().get(f"nerve_root_{word}_{name.removeprefix('vertebrae_')}")
    if known is None:
        return
    s = here.scale
    out = 16.0 if name.startswith("vertebrae_T") else 19.0
    ganglion = here.at(name, side * out, 19.0, -11.0)
    inside = here.at(name, side * 9.0, 25.0, 0.0)
    start = np.array(
        [float(np.interp(-inside[2] - 6.0 * s, -sac.canal_mm[:, 2], sac.canal_mm[:, i])) for i in range(3)]
    )
    start[0] += side * 6.0 * s
    away = here.at(name, side * (out + 16.0), 10.0, -27.0)
    window = chain([inside, ganglion, here.at(name, side * (out + 5.0), 17.0, -14.0)], s * np.array([4.0, 6.0, 5.0]))
    fat = texture("epidural_fat")
    paint_soft(canvas, noise, SoftShape(window, fat, structure("epidural_space").label, (1.0, 0.75, 1.25)))
    path = [
        start,
        inside,
        here.at(name, side * (out - 4.0), 21.0, -7.0),
        ganglion,
        here.at(name, side * (out + 4), 17, -15),
        away,
    ]
    nerve = SoftShape(chain(path, s * np.array([1.1, 1.3, 1.9, 3.0, 2.0, 1.6])), texture("nerve"), known.label)
    paint_soft(canvas, noise, nerve)


def _paint_nerves(canvas: Canvas, noise: Grain, build: Build, sac: Sac, random: np.random.Generator) -> None:
    """Paint the cord, swollen before its tip, and the strands of the cauda equina, which sink to the front."""
    s = build.scale
    z = sac.centers_mm[:, 2]
    above = z > sac.conus_mm[2] + 0.5
    cord = np.vstack([sac.centers_mm[above], sac.conus_mm[np.newaxis]])
    toward = np.clip((cord[:, 2] - sac.conus_mm[2]) / (22.0 * s), 0.0, 1.0) ** 0.7
    strand = structure("cauda_equina").label
    for index in range(18):
        row, column = divmod(index, 6)
        across, deep = (column - 2.5) / 3.2, -0.55 + 0.36 * row
        top = sac.conus_mm[2] + 8.0 * s
        leave = sac.end_mm[2] + (top - sac.end_mm[2]) * (0.05 + 0.12 * abs(column - 2.5))
        at = (z <= top) & (z >= leave)
        if at.sum() < 3:
            continue
        wave = 0.25 * np.round(np.cumsum(random.normal(0.0, 0.25, (int(at.sum()), 2)), axis=0), 3)
        shift = np.stack(
            [
                np.clip(across + wave[:, 0], -0.85, 0.85) * sac.half_width_mm[at] * 0.9,
                np.clip(deep + wave[:, 1], -0.85, 0.6) * sac.half_depth_mm[at],
                np.zeros(int(at.sum())),
            ],
            axis=1,
        )
        paint_soft(canvas, noise, SoftShape(chain(sac.centers_mm[at] + shift, 0.75 * s), texture("nerve"), strand))
    if above.sum() > 1:
        shape = SoftShape(
            chain(cord, s * (0.8 + 3.3 * toward)), texture("cord"), structure("spinal_cord").label, (1.2, 1, 1)
        )
        paint_soft(canvas, noise, shape)
