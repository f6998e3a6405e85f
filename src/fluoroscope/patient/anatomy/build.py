"""Build a modelled patient: skeleton, trunk, soft parts, bones, in one order, and the parts they move as."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.anatomy.body import CAVITY, Build, Trunk, empty_canvas, paint_trunk, skin_to_canal_mm, trunk
from fluoroscope.patient.anatomy.bone import Bone, Skeleton
from fluoroscope.patient.anatomy.built import BuiltPatient
from fluoroscope.patient.anatomy.cavity import cavity
from fluoroscope.patient.anatomy.discs import disc_box, paint_disc
from fluoroscope.patient.anatomy.lying import laid_down
from fluoroscope.patient.anatomy.muscles import paint_muscles, posts
from fluoroscope.patient.anatomy.neural import Sac, dural_sac, paint_canal
from fluoroscope.patient.anatomy.organs import Organ, organs, paint_cava
from fluoroscope.patient.anatomy.parameters import PatientParameters
from fluoroscope.patient.anatomy.part_making import (
    ORGAN_PITCH_MM,
    Recorder,
    Slab,
    grid_matrix,
    relabel,
    slab_part,
    soft_slabs,
)
from fluoroscope.patient.anatomy.settling import settled, settled_facts
from fluoroscope.patient.anatomy.skeleton import make_skeleton
from fluoroscope.patient.anatomy.soft import Grain, grain
from fluoroscope.patient.anatomy.solids import Canvas
from fluoroscope.patient.anatomy.structures import structure, structures
from fluoroscope.patient.labels import LabelMap
from fluoroscope.patient.motion.organs import ORGANS
from fluoroscope.patient.parts import REST, Articulation, DiscJoint, Landmark, Part
from fluoroscope.patient.stored import Progress, silent
from fluoroscope.patient.threads import each
from fluoroscope.patient.volume import Volume

__all__ = [
    "build_patient", "build_reached", "finished_labels", "lying_skeleton", "paint_disc_at", "paint_soft_parts",
    "trunk_around",
]  # fmt: skip

PRESSED = {"cerebrospinal_fluid": False, "spinal_cord": False, "cauda_equina": False, "epidural_space": False,
            "ligamentum_flavum": False, "epidural_veins": False}  # fmt: skip


def build_patient(
    parameters: PatientParameters, *, pitch_mm: float = 1.0, progress: Progress | None = None
) -> BuiltPatient:
    """Build a patient.

    Parameters
    ----------
    parameters
        Who; what is not given is drawn from the seed.
    pitch_mm
        Voxel pitch of the volume, 0.8 to 3 mm. Vertebrae as moving parts are finer, soft parts 1.5 mm.
    progress
        Told the fraction done and what is being done.

    Raises
    ------
    ValueError
        For a pitch out of range.
    """
    if not 0.8 <= pitch_mm <= 3.0:
        raise ValueError(f"a patient is built at 0.8 to 3 mm, not {pitch_mm} mm")
    report = progress or silent
    report(0.0, "growing the skeleton")
    skeleton, facts = lying_skeleton(parameters)
    build = build_reached(parameters, facts)
    noise = grain(parameters.seed)
    report(0.06, "laying soft tissue around it")
    body = trunk_around(skeleton, build)
    canvas = empty_canvas(body, pitch_mm)
    sac, waiting = paint_soft_parts(canvas, noise, skeleton, build, parameters, body)
    report(0.25, "placing organs")
    recorder = Recorder(canvas)
    slabs = _slabs(skeleton, build, canvas)
    resting = recorder.before.copy()
    for organ in waiting:
        organ.paint()
        recorder.step(organ.name, _carrier(organ, canvas, slabs), organ.box, pitch_mm=max(ORGAN_PITCH_MM, pitch_mm))
    report(0.45, "placing discs and bones")
    _paint_discs(recorder, noise, skeleton, parameters)
    pelvis = _paint_bones(recorder, skeleton, lambda share: report(0.5 + 0.3 * share, "placing discs and bones"))
    report(0.8, "cutting into moving parts")

    def cut(one: Slab) -> Part:
        base = one.name == "base"
        return slab_part(one, canvas, resting, pelvis if base else (), pitch_mm if base else ORGAN_PITCH_MM)

    soft = each(cut, slabs)
    parts = [soft[-1], *soft[:-1], *recorder.parts]
    report(0.97, "finishing")
    landmarks = dict(skeleton.landmarks) | _landmarks(skeleton, body, sac)
    facts = dict(facts) | {
        "skin_to_canal_mm": _depths(skeleton, body),
        "skin_to_canal_formula_mm": skin_to_canal_mm(build),
    }
    return _finish(
        parameters, facts, canvas, recorder, Articulation(tuple(parts), skeleton.joints, landmarks), skeleton
    )


def lying_skeleton(parameters: PatientParameters) -> tuple[Skeleton, dict[str, Any]]:
    """Return the skeleton as it lies on the table, and what the seed drew."""
    standing, drawn = make_skeleton(parameters)
    skeleton, lean_deg = laid_down(standing)
    facts: dict[str, Any] = dict(drawn) | {"laid_down_by_deg": lean_deg}
    facts["sacral_slope_deg"] -= lean_deg
    facts["pelvic_tilt_deg"] += lean_deg
    return skeleton, facts


def paint_soft_parts(
    canvas: Canvas, noise: Grain, skeleton: Skeleton, build: Build, parameters: PatientParameters, body: Trunk
) -> tuple[Sac, list[Organ]]:
    """Paint trunk, muscles, vena cava and canal; return the dural sac, and the organs yet to be painted, in order."""
    random = np.random.Generator(np.random.PCG64([parameters.seed, 31]))
    here = posts(skeleton, build)
    paint_trunk(canvas, noise, body, build)
    paint_muscles(canvas, noise, skeleton, build)
    paint_cava(canvas, noise, here)
    sac = dural_sac(skeleton, build, parameters, random)
    paint_canal(canvas, noise, skeleton, build, sac, random)
    return sac, organs(canvas, noise, here, cavity(body, here), build, parameters.pregnancy_weeks, random)


def paint_disc_at(canvas: Canvas, noise: Grain, joint: DiscJoint, parameters: PatientParameters) -> None:
    """Paint the disc of a joint, with its vacuum where the patient has one there."""
    vacuum = {one.level: one.amount for one in parameters.pathologies if one.kind == "vacuum"}
    paint_disc(canvas, noise, joint, vacuum.get(joint.name.split("_")[0], 0.0), PRESSED)


def finished_labels(canvas: Canvas) -> LabelMap:
    """Return the labels of a painted canvas; what nothing filled in the cavity is fat."""
    used = relabel(canvas.labels, CAVITY, structure("abdominal_fat").label)
    return LabelMap(canvas.labels, {one.label: one.name for one in structures().values() if used[one.label]})


def _finish(
    parameters: PatientParameters,
    facts: dict[str, object],
    canvas: Canvas,
    recorder: Recorder,
    articulation: Articulation,
    skeleton: Skeleton,
) -> BuiltPatient:
    volume = Volume(recorder.before, grid_matrix(np.array(canvas.origin_mm), canvas.pitch_mm))
    labels = finished_labels(canvas)
    return BuiltPatient(parameters, settled_facts(facts), volume, labels, settled(articulation), skeleton)


def build_reached(parameters: PatientParameters, facts: dict[str, Any]) -> Build:
    """Return the patient's build with what the seed drew."""
    height_cm, weight_kg, bmi = (float(facts[name]) for name in ("height_cm", "weight_kg", "bmi"))
    return Build(parameters.sex, parameters.age_years, height_cm, weight_kg, bmi)


def trunk_around(skeleton: Skeleton, build: Build) -> Trunk:
    """Return the trunk from below the sacrum to above the topmost vertebra."""
    s = build.scale
    top = max(float(frame[2, 3]) for frame in skeleton.frames.values())
    return trunk(skeleton, build, float(skeleton.frames["sacrum"][2, 3]) - 165.0 * s, top + 62.0 * s)


def _slabs(skeleton: Skeleton, build: Build, canvas: Canvas) -> list[Slab]:
    here = posts(skeleton, build)
    heights = {name: float(skeleton.frames[name][2, 3]) for name in here.names}
    planes = canvas.origin_mm[2] + canvas.pitch_mm * np.arange(canvas.hu.shape[0], dtype=np.float64)
    return soft_slabs(heights, float(skeleton.frames["sacrum"][2, 3]) - 8.0 * build.scale, planes)


def _carrier(organ: Organ, canvas: Canvas, slabs: list[Slab]) -> str:
    """Return the frame an organ rides on: its own, or that of the slab it mostly lies in."""
    if organ.name in ORGANS:
        return organ.name
    middle = (organ.box[0].start + min(organ.box[0].stop, len(canvas.hu))) // 2
    return max(slabs, key=lambda slab: float(slab.weight[middle])).frame


def _paint_discs(recorder: Recorder, noise: Grain, skeleton: Skeleton, parameters: PatientParameters) -> None:
    for joint in skeleton.joints:
        paint_disc_at(recorder.canvas, noise, joint, parameters)
        box = disc_box(recorder.canvas, joint)
        recorder.step(f"disc_{joint.name}", f"disc_{joint.name}", box, pitch_mm=recorder.canvas.pitch_mm)


def _paint_bones(recorder: Recorder, skeleton: Skeleton, report: Callable[[float], None]) -> list[Any]:
    """Paint every bone, vertebrae last; return the pelvis' change as (box, change) for the base."""
    canvas, resting = recorder.canvas, []
    moving = [bone for bone in skeleton.bones if bone.frame == bone.name]
    for bone in skeleton.bones:
        if bone.frame == bone.name and bone.name in skeleton.frames and bone.name != "sacrum":
            continue
        for solid in bone.solids:
            canvas.paint(solid)
        box = _bone_box(canvas, bone)
        if bone.frame in ("sacrum", REST):
            resting.append((box, recorder.change(box)))
        else:
            recorder.step(bone.name, bone.frame, box, pitch_mm=canvas.pitch_mm)
    for done, bone in enumerate(moving):
        if bone.name == "sacrum":
            continue
        box = _bone_box(canvas, bone)
        recorder.vertebra(bone, structure(bone.name).label, skeleton.frames[bone.frame], box)
        report((done + 1) / len(moving))
    return resting


def _bone_box(canvas: Canvas, bone: Bone) -> Any:
    """Return slices around a bone."""
    corners = np.array([solid.box() for solid in bone.solids])
    low, high = corners[:, 0].min(axis=0), corners[:, 1].max(axis=0)
    origin, sizes = np.array(canvas.origin_mm), np.array(canvas.hu.shape[::-1])
    first = np.clip(np.floor((low - origin) / canvas.pitch_mm).astype(int) - 1, 0, sizes)
    last = np.clip(np.ceil((high - origin) / canvas.pitch_mm).astype(int) + 2, first, sizes)
    return tuple(slice(int(a), int(b)) for a, b in zip(first[::-1], last[::-1], strict=True))


def _canal_at(skeleton: Skeleton, z_mm: float) -> NDArray[np.float64]:
    canal = skeleton.canal.centers_mm
    order = np.argsort(canal[:, 2])
    return np.array([*(float(np.interp(z_mm, canal[order, 2], canal[order, i])) for i in (0, 1)), z_mm])


def _depths(skeleton: Skeleton, body: Trunk) -> dict[str, float]:
    """Return skin to mid-canal, straight back, by level."""
    depths = {}
    for name, frame in skeleton.frames.items():
        if name != "sacrum":
            z = float(frame[2, 3])
            depths[name.removeprefix("vertebrae_")] = round(body.back_y_mm(z) - float(_canal_at(skeleton, z)[1]), 2)
    return depths


def _landmarks(skeleton: Skeleton, body: Trunk, sac: Sac) -> dict[str, Landmark]:
    """Return the soft parts' landmarks."""
    found: dict[str, Landmark] = {}

    def add(name: str, place: NDArray[np.float64], frame: str) -> None:
        found[name] = Landmark(name, (float(place[0]), float(place[1]), float(place[2])), frame)

    for name, frame in skeleton.frames.items():
        if name == "sacrum":
            continue
        level, z = name.removeprefix("vertebrae_"), float(frame[2, 3])
        add(f"skin/{level}", np.array([body.middle_x_mm(z), body.back_y_mm(z), z]), name)
        add(f"{level}/canal_center", _canal_at(skeleton, z), name)
        dura = [float(np.interp(-z, -sac.centers_mm[:, 2], sac.centers_mm[:, i])) for i in (0, 1)]
        dura[1] += float(np.interp(-z, -sac.centers_mm[:, 2], sac.half_depth_mm))
        add(f"{level}/dura_posterior", np.array([*dura, z]), name)
    top = [name for name in skeleton.frames if name != "sacrum"]
    nearest = min(top, key=lambda name: abs(float(skeleton.frames[name][2, 3]) - float(sac.conus_mm[2])))
    add("conus", sac.conus_mm, nearest)
    add("dural_sac_end", sac.end_mm, REST)
    return found
