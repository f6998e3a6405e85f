"""The spine of a modelled patient in finer voxels than the rest: painted directly, not resampled."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fluoroscope.patient.anatomy.body import CAVITY, paint_trunk
from fluoroscope.patient.anatomy.bone import Skeleton
from fluoroscope.patient.anatomy.build import PRESSED, build_reached, lying_skeleton, trunk_around
from fluoroscope.patient.anatomy.cavity import cavity
from fluoroscope.patient.anatomy.discs import paint_disc
from fluoroscope.patient.anatomy.muscles import paint_muscles, posts
from fluoroscope.patient.anatomy.neural import dural_sac, paint_canal
from fluoroscope.patient.anatomy.organs import organs, paint_cava
from fluoroscope.patient.anatomy.parameters import PatientParameters
from fluoroscope.patient.anatomy.part_making import grid_matrix, relabel
from fluoroscope.patient.anatomy.soft import grain
from fluoroscope.patient.anatomy.solids import Canvas
from fluoroscope.patient.anatomy.structures import structure, structures
from fluoroscope.patient.labels import LabelMap
from fluoroscope.patient.stored import Progress, silent
from fluoroscope.patient.volume import Volume

__all__ = ["SPINE_PITCH_MM", "FineSpine", "agreement", "build_spine"]

SPINE_PITCH_MM = 0.6
_MARGIN_MM = 12.0
"""Beyond the bones: the canal, the discs and what a needle passes next to them."""


@dataclass(frozen=True, slots=True)
class FineSpine:
    """Volume and labels of T12 to the sacrum, as the patient rests; both on the same grid, along his axes."""

    volume: Volume
    labels: LabelMap


def build_spine(
    parameters: PatientParameters, *, pitch_mm: float = SPINE_PITCH_MM, progress: Progress | None = None
) -> FineSpine:
    """Build the spine of a patient on fine voxels: the same anatomy and textures as `build_patient` paints.

    Parameters
    ----------
    parameters
        Who; the same as for the whole patient.
    pitch_mm
        0.4 to 1 mm.
    progress
        Told the fraction done and what is being done.

    Raises
    ------
    ValueError
        For a pitch out of range.
    """
    if not 0.4 <= pitch_mm <= 1.0:
        raise ValueError(f"a fine spine is built at 0.4 to 1 mm, not {pitch_mm} mm")
    report = progress or silent
    report(0.0, "growing the skeleton")
    skeleton, facts = lying_skeleton(parameters)
    canvas = _canvas(skeleton, pitch_mm)
    report(0.05, "laying soft tissue around the spine")
    _paint_soft(canvas, skeleton, facts, parameters)
    report(0.6, "placing discs and bones")
    _paint_spine(canvas, skeleton, parameters)
    used = relabel(canvas.labels, CAVITY, structure("abdominal_fat").label)
    names = {one.label: one.name for one in structures().values() if used[one.label]}
    # As the whole patient's numbers are rounded.
    hu = np.empty(canvas.hu.shape, np.int16)
    for plane, values in enumerate(canvas.hu):
        hu[plane] = np.floor(np.clip(values, -1000.0, 3000.0) + 0.5)
    volume = Volume(hu, grid_matrix(np.array(canvas.origin_mm), pitch_mm))
    return FineSpine(volume, LabelMap(canvas.labels, names))


def agreement(fine: FineSpine, volume: Volume, labels: LabelMap) -> float:
    """Return the share of a whole patient's vertebral voxels that are the same vertebra in the fine spine."""
    numbers = [number for number, name in labels.names.items() if name.startswith("vertebrae_L")]
    index = np.argwhere(np.isin(labels.values, numbers))
    if len(index) == 0:
        return 0.0
    fine_from_index = np.linalg.inv(fine.volume.world_from_index) @ volume.world_from_index
    at = np.rint(index @ fine_from_index[:3, :3].T + fine_from_index[:3, 3]).astype(np.int64)
    inside = np.all((at >= 0) & (at < fine.labels.values.shape), axis=1)
    known = labels.values[tuple(index.T)]
    found = fine.labels.values[tuple(np.where(inside[:, None], at, 0).T)]
    return float((inside & (found == known)).mean())


def _canvas(skeleton: Skeleton, pitch_mm: float) -> Canvas:
    """Return a canvas of air around T12 to the sacrum, its voxel centres on multiples of the pitch."""
    named = ("sacrum", "vertebrae_T12")
    wanted = [bone for bone in skeleton.bones if bone.name in named or bone.name.startswith("vertebrae_L")]
    corners = np.array([solid.box() for bone in wanted for solid in bone.solids])
    low, high = corners[:, 0].min(axis=0) - _MARGIN_MM, corners[:, 1].max(axis=0) + _MARGIN_MM
    first = np.floor(low / pitch_mm).astype(int)
    sizes = np.ceil(high / pitch_mm).astype(int) - first + 1
    shape = (int(sizes[2]), int(sizes[1]), int(sizes[0]))
    origin = (float(first[0] * pitch_mm), float(first[1] * pitch_mm), float(first[2] * pitch_mm))
    return Canvas(np.full(shape, -1000.0, np.float32), np.zeros(shape, np.uint8), origin, pitch_mm)


def _paint_soft(canvas: Canvas, skeleton: Skeleton, facts: dict[str, Any], parameters: PatientParameters) -> None:
    """Paint what `build_patient` paints before discs and bones, with the same draws."""
    build, noise = build_reached(parameters, facts), grain(parameters.seed)
    random = np.random.Generator(np.random.PCG64([parameters.seed, 31]))
    body, here = trunk_around(skeleton, build), posts(skeleton, build)
    paint_trunk(canvas, noise, body, build)
    paint_muscles(canvas, noise, skeleton, build)
    paint_cava(canvas, noise, here)
    sac = dural_sac(skeleton, build, parameters, random)
    paint_canal(canvas, noise, skeleton, build, sac, random)
    for organ in organs(canvas, noise, here, cavity(body, here), build, parameters.pregnancy_weeks, random):
        organ.paint()


def _paint_spine(canvas: Canvas, skeleton: Skeleton, parameters: PatientParameters) -> None:
    """Paint discs, then every bone, vertebrae last."""
    vacuum = {one.level: one.amount for one in parameters.pathologies if one.kind == "vacuum"}
    for joint in skeleton.joints:
        paint_disc(canvas, grain(parameters.seed), joint, vacuum.get(joint.name.split("_")[0], 0.0), PRESSED)
    moving = [bone for bone in skeleton.bones if bone.name in skeleton.frames and bone.name != "sacrum"]
    resting = [bone for bone in skeleton.bones if bone not in moving]
    for bone in (*resting, *moving):
        for solid in bone.solids:
            canvas.paint(solid)
