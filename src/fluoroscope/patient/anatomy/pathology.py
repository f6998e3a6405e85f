"""What is abnormal, put onto the bones: density by age, osteophytes, arthrosis, fracture, metastases, fusion.

Heights, slips and discs are the spine's own matter; vacuum and stenosis are painted with the soft parts.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.anatomy.bone import Bone
from fluoroscope.patient.anatomy.distances import JOINT
from fluoroscope.patient.anatomy.implants import PEDICLE_ROWS, Screw, fused
from fluoroscope.patient.anatomy.parameters import Pathology, PatientParameters
from fluoroscope.patient.anatomy.sacrum import PelvicSize
from fluoroscope.patient.anatomy.solids import Solid, bar, column
from fluoroscope.patient.anatomy.spine import Spine

__all__ = ["apply_pathologies", "trabecular_hu"]

LYTIC_HU, BLASTIC_HU, SCLEROSIS_HU = 35.0, 900.0, 750.0
"""Soft tissue in place of bone; osteoblastic deposits 885 ± 263 HU in untreated ones (unverified)."""
_SIDE_ROWS = {"superior": (2, 8), "inferior": (4, 10)}
"""Articular processes among a vertebra's shapes, left and right."""


def trabecular_hu(age_years: float, osteoporosis: float = 0.0) -> float:
    """Return the mean CT number of lumbar spongiosa at 120 kV.

    220 HU up to 30 years, then 2.2 HU less a year, not below 90: near the means of Jang et al. 2019
    (doi:10.1148/radiol.2018181648; figures from memory, unverified). Severe osteoporosis takes 70 % of the rest.
    """
    healthy = float(np.clip(220.0 - 2.2 * (age_years - 30.0), 90.0, 220.0))
    return healthy * (1.0 - 0.7 * osteoporosis)


def apply_pathologies(bones: Sequence[Bone], spine: Spine, parameters: PatientParameters) -> tuple[Bone, ...]:
    """Return the bones with density by age and everything the parameters name."""
    severe = max((one.amount for one in parameters.pathologies if one.kind == "osteoporosis"), default=0.0)
    hu = trabecular_hu(parameters.age_years, severe)
    changed = tuple(_with_density(bone, hu, severe) for bone in bones)
    for number, one in enumerate(parameters.pathologies):
        stream = np.random.Generator(np.random.PCG64([parameters.seed, 7300 + number]))
        changed = _apply(changed, spine, one, stream)
    return changed


def _apply(bones: tuple[Bone, ...], spine: Spine, one: Pathology, stream: np.random.Generator) -> tuple[Bone, ...]:
    upper = f"vertebrae_{one.level}"
    levels = list(spine.levels)
    below = levels[levels.index(one.level) + 1 :] if one.level in levels else []
    lower = f"vertebrae_{below[0]}" if below else "sacrum"
    if one.kind == "osteophytes":
        bones = _changed(bones, upper, lambda solid: _spurred(solid, one.amount, -1.0, stream))
        return _changed(bones, lower, lambda solid: _spurred(solid, one.amount, 1.0, stream)) if below else bones
    if one.kind == "facet_arthrosis":
        bones = _changed(bones, upper, lambda solid: _arthrotic(solid, one.amount, "inferior"))
        return _changed(bones, lower, lambda solid: _arthrotic(solid, one.amount, "superior"))
    if one.kind in ("lytic", "blastic"):
        return _changed(bones, upper, lambda solid: _metastatic(solid, one, stream))
    if one.kind == "fracture":
        return tuple(_banded(bone) if bone.name == upper else bone for bone in bones)
    if one.kind == "fusion":
        names = [upper, *(f"vertebrae_{level}" for level in below), "sacrum"]
        return fused(bones, names[: 1 + int(one.amount)], _sacral_screws(bones))
    return bones


def _changed(bones: tuple[Bone, ...], name: str, change: Callable[[Solid], Solid]) -> tuple[Bone, ...]:
    return tuple(
        replace(bone, solids=(change(bone.solids[0]), *bone.solids[1:])) if bone.name == name else bone
        for bone in bones
    )


def _with_density(bone: Bone, hu: float, severe: float) -> Bone:
    """Spongiosa by age; osteoporosis thins the shell, which then stands out as a picture frame."""
    solids = []
    for solid in bone.solids:
        if solid.shell_mm <= 0.0:
            solids.append(solid)
            continue
        thin = 1.0 - 0.35 * severe
        shapes = solid.shapes.copy()
        shapes[:, -1] *= thin
        solids.append(
            replace(
                solid,
                shapes=shapes,
                hu=hu * solid.hu / 190.0,
                shell_mm=thin * solid.shell_mm,
                texture_hu=solid.texture_hu * (0.6 + 0.4 * hu / 190.0),
            )
        )
    return replace(bone, solids=tuple(solids))


def _body(solid: Solid) -> tuple[float, float, float]:
    """Half width, half depth and half height of a vertebra's body."""
    row = solid.shapes[0]
    return float(0.5 * (row[1] + row[2])), float(0.5 * (row[3] + row[4])), float(0.25 * (row[5] + row[6]))


def _spurred(solid: Solid, length_mm: float, end: float, stream: np.random.Generator) -> Solid:
    """Beaks along the front and sides of one rim; ``end`` +1 the upper, −1 the lower."""
    wide, deep, half = _body(solid)
    rows = []
    for degrees in (-80.0, -52.0, -25.0, 0.0, 25.0, 52.0, 80.0):
        turn = np.radians(degrees + stream.uniform(-6.0, 6.0))
        out = np.array([np.sin(turn), -np.cos(turn), 0.0])
        rim = np.array([0.86 * wide * out[0], 0.86 * deep * out[1], end * (half - 2.6)])
        long = length_mm * stream.uniform(0.55, 1.0) + 0.14 * (wide * abs(out[0]) + deep * abs(out[1]))
        # They curl toward the neighbour, but never past the endplate's plane.
        tip = rim + long * out + np.array([0.0, 0.0, end * 1.2])
        rows.append(bar(rim, tip, (-out[1], out[0], 0.0), (4.5, 2.6), (2.4, 1.0), melt_mm=3.0))
    return replace(solid, shapes=np.vstack([solid.shapes, *rows]))


def _arthrotic(solid: Solid, amount: float, which: str) -> Solid:
    """Thick, dense articular processes and a narrow joint, whose surfaces still keep them apart."""
    shapes, holes = solid.shapes.copy(), solid.holes.copy()
    lesions = []
    rows = [row for row in _SIDE_ROWS[which] if row < len(shapes) - 1] if solid.shapes[0, 0] == 5.0 else []
    for row in rows:
        shapes[row, 11:15] *= 1.0 + 0.3 * amount
        tip = shapes[row, 1:4] + 0.8 * shapes[row, 10] * shapes[row, 4:7]
        lesions.append([*tip, 5.0 + 4.0 * amount, 250.0 + (SCLEROSIS_HU - 250.0) * amount, 5.0])
    below_is_joint = -1.0 if which == "inferior" else 1.0
    for hole in holes:
        if hole[0] == JOINT and np.sign(hole[21]) == below_is_joint:
            hole[21] *= 1.0 - 0.55 * amount
    return replace(solid, shapes=shapes, holes=holes, lesions=np.vstack([solid.lesions, np.reshape(lesions, (-1, 6))]))


def _metastatic(solid: Solid, one: Pathology, stream: np.random.Generator) -> Solid:
    """Put a focus in the body or over a pedicle: a lytic pedicle is the eye that winks in the frontal picture."""
    wide, deep, half = _body(solid)
    side = 1.0 if stream.random() < 0.5 else -1.0
    if stream.random() < 0.5:
        row = solid.shapes[PEDICLE_ROWS[side]]
        center = row[1:4] + 0.55 * row[10] * row[4:7]
    else:
        center = np.array([side * 0.4 * wide, stream.uniform(-0.4, 0.3) * deep, stream.uniform(-0.3, 0.3) * half])
    hu, edge = (LYTIC_HU, 2.5) if one.kind == "lytic" else (BLASTIC_HU, 4.0)
    return replace(solid, lesions=np.vstack([solid.lesions, [*center, one.amount, hu, edge]]))


def _banded(bone: Bone) -> Bone:
    """Pressed trabeculae under the upper endplate of a fractured body, a dense band."""
    solid = bone.solids[0]
    wide, deep, half = _body(solid)
    plate = column((0.0, -0.1 * deep, 0.35 * half), (0.78 * wide, 0.7 * deep, 1.8))
    band = Solid(plate[np.newaxis], 420.0, label=solid.label, world_from_solid=solid.world_from_solid, texture_hu=60.0)
    return replace(bone, solids=(solid, band, *bone.solids[1:]))


def _sacral_screws(bones: tuple[Bone, ...]) -> list[Screw]:
    """S1 screws: from beside the articular process into the body, toward the promontory."""
    solid = next(bone for bone in bones if bone.name == "sacrum").solids[0]
    size = PelvicSize(float(solid.shapes[0, 6]) / 13.5)
    screws: list[Screw] = []
    for side in (1.0, -1.0):
        ends: list[NDArray[np.float64]] = [size.point(side * 27.0, 33.0, -12.0), size.point(side * 15.0, -6.0, -13.0)]
        head, tip = (solid.world_from_solid[:3, :3] @ end + solid.world_from_solid[:3, 3] for end in ends)
        screws.append((head, tip, 3.25))
    return screws
