"""The assembled skeleton of a modelled patient: spine, sacrum, coccyx, hips, femora, lower ribs, and landmarks."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.anatomy.bone import Bone, Canal, Skeleton
from fluoroscope.patient.anatomy.distances import BAR, JOINT
from fluoroscope.patient.anatomy.parameters import PatientParameters
from fluoroscope.patient.anatomy.pathology import apply_pathologies
from fluoroscope.patient.anatomy.pelvis import HipShape, femur_solids, hip_solids
from fluoroscope.patient.anatomy.ribs import rib_bones
from fluoroscope.patient.anatomy.sacrum import PelvicSize, canal_line, coccyx_solids, sacrum_solids
from fluoroscope.patient.anatomy.solids import Solid
from fluoroscope.patient.anatomy.spine import Spine, make_spine, sacral_joint, vertebra_bone
from fluoroscope.patient.anatomy.structures import structure
from fluoroscope.patient.parts import REST, DiscJoint, Landmark

__all__ = ["FIXED", "make_skeleton"]

FIXED = "sacrum"
"""The frame of all bones that lie still on the table."""
_BONE_HU = 190.0
_SIDES = ((1.0, "left"), (-1.0, "right"))


def make_skeleton(parameters: PatientParameters) -> tuple[Skeleton, dict[str, object]]:
    """Build all bones of a patient.

    Parameters
    ----------
    parameters
        Who it is.

    Returns
    -------
    tuple of Skeleton and dict
        The bones at rest, and facts: those of the spine, with what was measured on the pelvis (``sacral_slope_deg``,
        ``pelvic_tilt_deg``, ``pelvic_incidence_deg``, ``pelvis_scale``, ``intercrestal_mm``).
    """
    spine = make_spine(parameters)
    vertebrae = [vertebra_bone(level, spine) for level in spine.levels]
    size = pelvic_size(spine, parameters)
    world_from_sacrum = spine.frames[FIXED]
    incidence = _incidence(spine)
    hip = HipShape(size, incidence)
    pelvis = _pelvis(hip, spine)
    upper = _upper(vertebrae[0], spine)
    ribs = _ribs([*upper, *vertebrae[:2]], trunk_scale(spine))
    bones = apply_pathologies([*upper, *vertebrae, *pelvis, *ribs], spine, parameters)
    facts = {**spine.facts, **_build(spine, parameters), **_facts(hip, world_from_sacrum)}
    landmarks = {**spine.landmarks, **_landmarks(hip, world_from_sacrum)}
    return Skeleton(bones, dict(spine.frames), _joints(spine, parameters), _canal(spine, size), landmarks), facts


def _joints(spine: Spine, parameters: PatientParameters) -> tuple[DiscJoint, ...]:
    """Return the discs, those bridged by rods fused."""
    held: set[int] = set()
    for one in parameters.pathologies:
        if one.kind == "fusion":
            first = spine.levels.index(one.level)
            held |= set(range(first, first + int(one.amount)))
    return tuple(replace(joint, fused=n in held) for n, joint in enumerate(spine.joints))


def pelvic_size(spine: Spine, parameters: PatientParameters) -> PelvicSize:
    """Return the size of the pelvis.

    Its S1 endplate follows the lower endplate of the last vertebra, 49.4 mm wide in the mean (Panjabi 1992,
    unverified); a woman's pelvis is wider for its height (5 %, unverified).
    """
    scale = spine.vertebrae[spine.levels[-1]].lower_width_mm / 49.4
    wide = 1.05 if parameters.sex == "female" and parameters.age_years >= 13.0 else 1.0
    return PelvicSize(float(np.clip(scale, 0.4, 1.4)), wide, parameters.age_years)


def _incidence(spine: Spine) -> float:
    return float(np.clip(_number(spine, "pelvic_incidence_deg"), 20.0, 95.0))


def _number(spine: Spine, name: str) -> float:
    value = spine.facts[name]
    if not isinstance(value, float | int):
        raise TypeError(f"the spine's {name} is no number: {value!r}")
    return float(value)


def _build(spine: Spine, parameters: PatientParameters) -> dict[str, object]:
    """Return weight and BMI: as given, else drawn, median 25.5 kg/m² with a spread of 16 % (unverified).

    A child's BMI grows from 15.5 at 5 years to that of adults (unverified).
    """
    height_m = 0.01 * _number(spine, "height_cm")
    drawn = float(np.random.Generator(np.random.PCG64([parameters.seed, 7200])).standard_normal())
    median = float(np.interp(parameters.age_years, [5.0, 20.0, 45.0], [15.5, 22.0, 25.5]))
    bmi = parameters.bmi
    if parameters.weight_kg is not None:
        bmi = parameters.weight_kg / height_m**2
    elif bmi is None:
        bmi = median * float(np.exp(0.16 * np.clip(drawn, -2.0, 2.5)))
    return {"bmi": float(bmi), "weight_kg": float(bmi * height_m**2)}


def trunk_scale(spine: Spine) -> float:
    """Return the size of the cage, by the width of T12's lower endplate (42 mm in the mean, unverified)."""
    return float(np.clip(spine.vertebrae["T12"].lower_width_mm / 42.0, 0.4, 1.3))


def _label(name: str) -> int:
    return structure(name).label


def _pelvis(hip: HipShape, spine: Spine) -> list[Bone]:
    size, world_from_sacrum = hip.size, spine.frames[FIXED]
    joint = sacral_joint(spine, world_from_sacrum)
    bones = [
        Bone(
            "sacrum",
            sacrum_solids(size, world_from_sacrum, hu=0.75 * _BONE_HU, label=_label("sacrum"), joint=joint),
            FIXED,
        ),
        Bone("coccyx", coccyx_solids(size, world_from_sacrum, hu=0.7 * _BONE_HU, label=_label("coccyx")), FIXED),
    ]
    for side, word in _SIDES:
        name = f"hip_{word}"
        bones.append(Bone(name, hip_solids(hip, side, world_from_sacrum, hu=0.7 * _BONE_HU, label=_label(name)), FIXED))
        name = f"femur_{word}"
        head = _world(world_from_sacrum, hip.head(side))
        bones.append(Bone(name, femur_solids(head, side, size.scale, hu=0.75 * _BONE_HU, label=_label(name)), FIXED))
    return bones


def _canal(spine: Spine, size: PelvicSize) -> Canal:
    """Return the spine's canal, led on through the sacrum's own."""
    world, canal = spine.frames[FIXED], spine.canal
    above = (canal.centers_mm - world[:3, 3]) @ world[:3, 2] > 2.0
    places, halves = canal_line(size)
    # From the last point of the spine's part the line runs straight to the sacrum's first.
    corners = np.vstack([canal.centers_mm[above][-1], places @ world[:3, :3].T + world[:3, 3]])
    sizes = np.vstack([[canal.half_width_mm[above][-1], canal.half_depth_mm[above][-1]], halves])
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
    steps = np.linspace(0.0, along[-1], int(np.ceil(along[-1] / 5.0)) + 1)[1:]
    line = np.stack([np.interp(steps, along, corners[:, axis]) for axis in range(3)], axis=1)
    return Canal(
        np.vstack([canal.centers_mm[above], line]),
        np.concatenate([canal.half_width_mm[above], np.interp(steps, along, sizes[:, 0])]),
        np.concatenate([canal.half_depth_mm[above], np.interp(steps, along, sizes[:, 1])]),
    )


def _upper(t11: Bone, spine: Spine) -> list[Bone]:
    """T9 and T10 as smaller copies of T11, each on the one below, carried by it: they fill the top of the picture."""
    morphometry = spine.vertebrae["T11"]
    rise = morphometry.height_mm + 5.0 * morphometry.upper_width_mm / 38.0
    lean = np.radians(-3.5)
    step = np.eye(4)
    step[1:3, 1:3] = [[np.cos(lean), -np.sin(lean)], [np.sin(lean), np.cos(lean)]]
    step[:3, 3] = (0.0, 0.03 * rise, rise)
    solid = replace(t11.solids[0], holes=t11.solids[0].holes[t11.solids[0].holes[:, 0] != JOINT])
    back: NDArray[np.float64] = np.linalg.inv(step).astype(np.float64)
    kept_off = np.array([_moved(row, back, 1.0) for row in solid.shapes if row[0] == BAR])
    bones: list[Bone] = []
    for number, name in ((1, "vertebrae_T10"), (2, "vertebrae_T9")):
        copy = replace(
            solid,
            holes=np.vstack([solid.holes, kept_off]),
            label=_label(name),
            world_from_solid=solid.world_from_solid @ np.linalg.matrix_power(step, number),
        )
        bones.insert(0, Bone(name, (copy,), "vertebrae_T11"))
    return bones


def _moved(row: NDArray[np.float64], to_from: NDArray[np.float64], grown_mm: float) -> NDArray[np.float64]:
    """Return a bar (24,) moved rigidly and grown on all sides."""
    moved: NDArray[np.float64] = row.copy()
    moved[1:4] = to_from[:3, :3] @ row[1:4] + to_from[:3, 3]
    moved[4:7], moved[7:10] = to_from[:3, :3] @ row[4:7], to_from[:3, :3] @ row[7:10]
    moved[11:15] += grown_mm
    return moved


def _ribs(vertebrae: list[Bone], scale: float) -> list[Bone]:
    """Ribs 9 to 12 on T9 to T12, clear of all of these."""
    solids: tuple[Solid, ...] = tuple(bone.solids[0] for bone in vertebrae)
    bones = []
    for bone in vertebrae:
        solid = bone.solids[0]
        body = solid.shapes[0]
        half = float(0.5 * (body[1] + body[2])), float(0.5 * (body[3] + body[4]))
        number = int(bone.name.removeprefix("vertebrae_T"))
        bones += rib_bones(number, solid.world_from_solid, half, scale, frame=bone.frame, clear_of=solids)
    return bones


def _world(world_from_sacrum: NDArray[np.float64], point: NDArray[np.float64]) -> NDArray[np.float64]:
    moved: NDArray[np.float64] = world_from_sacrum[:3, :3] @ point + world_from_sacrum[:3, 3]
    return moved


def _facts(hip: HipShape, world_from_sacrum: NDArray[np.float64]) -> dict[str, object]:
    """Measure slope, tilt and incidence in the sagittal plane of the patient lying down."""
    normal = world_from_sacrum[:3, 2]
    middle = 0.5 * (hip.head(1.0) + hip.head(-1.0))
    down = world_from_sacrum[:3, :3] @ -middle
    slope = np.degrees(np.arctan2(-normal[1], normal[2]))
    tilt = np.degrees(np.arctan2(down[1], down[2]))
    crest = [_world(world_from_sacrum, hip.named("c2", side)) for side, _ in _SIDES]
    return {
        "sacral_slope_deg": float(slope),
        "pelvic_tilt_deg": float(tilt),
        "pelvic_incidence_deg": float(slope + tilt),
        "pelvis_scale": hip.size.scale,
        "intercrestal_mm": float(np.linalg.norm(crest[0] - crest[1]) + 12.0 * hip.size.scale),
    }


def _landmarks(hip: HipShape, world_from_sacrum: NDArray[np.float64]) -> dict[str, Landmark]:
    size = hip.size
    places = {
        "sacrum/promontory": size.point(0.0, -16.5, -1.0),
        "S1/endplate_anterior": size.point(0.0, -16.5, 0.0),
        "S1/endplate_posterior": size.point(0.0, 16.5, 0.0),
        "S1/endplate_center": size.point(0.0, 0.0, 0.0),
        "S1/spinous_tip": size.point(0.0, 49.0, -29.0),
        "coccyx/tip": size.point(0.0, -18.0, -150.0),
    }
    for side, word in _SIDES:
        places |= {f"hip_{word}/{name}": hip.named(name, side) for name in ("crest", "asis", "psis", "piis")}
        places[f"femur_{word}/head_center"] = hip.head(side)
        places[f"sacrum/foramen_S1_{word}"] = size.point(side * 23.5, 27.0, -33.0)
        places[f"hip_{word}/symphysis"] = hip.place((2.0, -48.0, -122.0), side)
    return {
        name: Landmark(name, tuple(float(v) for v in _world(world_from_sacrum, point)), REST)  # type: ignore[arg-type]
        for name, point in places.items()
    }
