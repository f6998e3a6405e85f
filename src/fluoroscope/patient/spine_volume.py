"""The spine of a modelled patient in finer voxels than the rest: painted directly, not resampled."""

from dataclasses import dataclass

import numpy as np

from fluoroscope.patient.anatomy.bone import Skeleton
from fluoroscope.patient.anatomy.build import (
    build_reached,
    finished_labels,
    lying_skeleton,
    paint_disc_at,
    paint_soft_parts,
    trunk_around,
)
from fluoroscope.patient.anatomy.parameters import PatientParameters
from fluoroscope.patient.anatomy.part_making import grid_matrix, rounded
from fluoroscope.patient.anatomy.soft import Grain, grain
from fluoroscope.patient.anatomy.solids import Canvas
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
    build, noise = build_reached(parameters, facts), grain(parameters.seed)
    canvas = _canvas(skeleton, pitch_mm)
    report(0.05, "laying soft tissue around the spine")
    _, organs = paint_soft_parts(canvas, noise, skeleton, build, parameters, trunk_around(skeleton, build))
    for organ in organs:
        organ.paint()
    report(0.6, "placing discs and bones")
    _paint_spine(canvas, noise, skeleton, parameters)
    volume = Volume(rounded(canvas.hu), grid_matrix(np.array(canvas.origin_mm), pitch_mm))
    return FineSpine(volume, finished_labels(canvas))


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


def _paint_spine(canvas: Canvas, noise: Grain, skeleton: Skeleton, parameters: PatientParameters) -> None:
    """Paint discs, then every bone, vertebrae last."""
    for joint in skeleton.joints:
        paint_disc_at(canvas, noise, joint, parameters)
    moving = [bone for bone in skeleton.bones if bone.name in skeleton.frames and bone.name != "sacrum"]
    resting = [bone for bone in skeleton.bones if bone not in moving]
    for bone in (*resting, *moving):
        for solid in bone.solids:
            canvas.paint(solid)
