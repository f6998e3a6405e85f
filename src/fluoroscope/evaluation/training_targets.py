"""Where a needle should go in a patient: target zone, expected contrast pattern, what must not be touched.

From what is known of the patient as he was made or labelled: this is truth, which guidance does not see.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fluoroscope.evaluation.training_attempt import Place, Point, Target, Zone
from fluoroscope.geometry.rigid import apply
from fluoroscope.patient.instruments.catalogue import instrument
from fluoroscope.patient.instruments.tissue_probe import BONE_HU, TissueProbe
from fluoroscope.patient.library import Patient
from fluoroscope.patient.parts import DiscJoint

__all__ = ["PROCEDURES", "TargetError", "expert_line", "target_of"]

Vector = NDArray[np.float64]
HARM = ("vessel entered", "paraesthesia", "cord touched", "bowel entered", "organ entered", "lung entered",
        "uterus entered")  # fmt: skip
_JOINT_MM = 15.0
"""A facet joint's voxels lie so near to its middle."""


_GOAL_MM = 5.0
"""So near to the zone bone may be met where it is felt for."""


class TargetError(ValueError):
    """There is no such target in this patient: one line, with what there is."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """One procedure: what must be reached and spared, and how the expert's needle comes (degrees, see `_line`)."""

    zone: Callable[["_Spine", DiscJoint, str], Zone]
    sided: bool
    needle: str = "spinal-22G-89"
    patterns: tuple[str, ...] = ()
    unwanted_patterns: tuple[str, ...] = ("intravascular", "intrathecal")
    returns: str = ""
    harm: tuple[str, ...] = (*HARM, "dural puncture", "disc entered")
    spared: tuple[str, ...] = ()
    bone_is_goal: bool = False
    on_bone: bool = False
    oblique_deg: float = 0.0
    caudal_deg: float = 0.0


class _Spine:
    """A patient's discs and vertebrae as far as he is known."""

    def __init__(self, patient: Patient) -> None:
        articulation = patient.articulation
        if articulation is None or not articulation.joints:
            raise TargetError(
                f"patient {patient.record.name}: his vertebrae are not known, no target can be placed; name labels"
            )
        self.patient, self.articulation = patient, articulation
        self.joints = {joint.name.replace("_", "-"): joint for joint in articulation.joints}

    def joint(self, level: str) -> DiscJoint:
        """Return the disc of "L3-L4", or that below "L3"."""
        wanted = level.upper()
        found = self.joints.get(wanted) or next(
            (joint for name, joint in self.joints.items() if name.split("-")[0] == wanted), None
        )
        if found is None:
            raise TargetError(f"level {level}: not in this patient; choose one of {', '.join(self.joints)}")
        return found

    def mark(self, name: str) -> Vector | None:
        """Return a landmark (3,) at rest; None when it is not known."""
        found = self.articulation.landmarks.get(name)
        return None if found is None else np.asarray(found.position_mm)

    def needed(self, name: str) -> Vector:
        """Return a landmark; raises `TargetError` when it is not known."""
        found = self.mark(name)
        if found is None:
            raise TargetError(f"patient {self.patient.record.name}: {name} is not known; choose a modelled patient")
        return found

    def voxels_near(self, structure: str, at: Vector, within_mm: float) -> Vector:
        """Return the middles (n, 3) of a structure's voxels near a point; none without labels."""
        labels = self.patient.labels
        number = None if labels is None else next((n for n, name in labels.names.items() if name == structure), None)
        if labels is None or number is None:
            return np.zeros((0, 3))
        volume = self.patient.volume
        middle = apply(np.linalg.inv(volume.world_from_index).astype(np.float64), at)
        reach = np.ceil(within_mm / np.asarray(volume.spacing_mm)).astype(int)
        low = np.maximum(np.rint(middle).astype(int) - reach, 0)
        high = np.minimum(np.rint(middle).astype(int) + reach + 1, labels.values.shape)
        part = labels.values[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
        found = apply(volume.world_from_index, np.argwhere(part == number) + low)
        return found[np.linalg.norm(found - at, axis=1) <= within_mm] if len(found) else np.zeros((0, 3))


def _box(center: Vector, half: tuple[float, float, float], turn: Vector, tissues: tuple[str, ...] = ()) -> Zone:
    axes = tuple(_point(axis) for axis in turn.T)
    return Zone(_point(center), half, (axes[0], axes[1], axes[2]), tissues=tissues)


def _upper(joint: DiscJoint) -> str:
    return joint.name.split("_")[0]


def _canal(spine: _Spine, joint: DiscJoint) -> tuple[Vector, Vector]:
    """Return the middle of the canal behind a disc, (3,), and the disc's axes as columns (3, 3)."""
    turn = joint.world_from_disc[:3, :3]
    # Half a canal of 18 mm behind the disc (reference/guidance.md §6.1).
    return joint.world_from_disc[:3, 3] + (0.5 * joint.depth_mm + 9.0) * turn[:, 1], turn


def _puncture_zone(spine: _Spine, joint: DiscJoint, side: str) -> Zone:
    center, turn = _canal(spine, joint)
    return _box(center - 3.0 * turn[:, 2], (10.0, 11.0, 13.0), turn, ("CSF", "nerve root"))


def _epidural_zone(spine: _Spine, joint: DiscJoint, side: str) -> Zone:
    center, turn = _canal(spine, joint)
    return _box(center + 7.0 * turn[:, 1] - 6.0 * turn[:, 2], (9.0, 8.0, 12.0), turn, ("epidural space",))


def _foramen_zone(spine: _Spine, joint: DiscJoint, side: str) -> Zone:
    level, turn = _upper(joint), joint.world_from_disc[:3, :3]
    pedicle = spine.needed(f"{level}/pedicle_{side}")
    foramen = spine.mark(f"{level}/foramen_{side}")
    # The safe triangle: under the pedicle, above and beside the root (§5.3); the root's own middle is the landmark.
    center = pedicle - 11.0 * turn[:, 2] if foramen is None else foramen + 2.0 * turn[:, 2]
    return _box(center + 2.0 * turn[:, 1], (6.0, 6.0, 5.0), turn)


def _facet_zone(spine: _Spine, joint: DiscJoint, side: str) -> Zone:
    center = spine.needed(f"{_upper(joint)}/facet_{side}")
    voxels = spine.voxels_near(f"facet_joint_{side}", center, _JOINT_MM)
    points = tuple(_point(point) for point in np.round(voxels, 1))
    return Zone(_point(center), points_mm=points, tolerance_mm=1.0)


def _branch_zone(spine: _Spine, joint: DiscJoint, side: str) -> Zone:
    # The branch of L3 lies on L4, where its superior articular process meets its transverse process (§5.3).
    level = joint.name.split("_")[1]
    if level == "S1":
        raise TargetError("level L5: its dorsal ramus lies on the sacrum, which is not scored; choose L1 to L4")
    pedicle, wing = spine.needed(f"{level}/pedicle_{side}"), spine.mark(f"{level}/transverse_{side}")
    wing = spine.needed(f"{level}/transverse_tip_{side}") if wing is None else wing
    turn = joint.world_from_disc[:3, :3]
    out = float(np.sign((wing - pedicle) @ turn[:, 0]))
    return Zone(_point(pedicle + 7.0 * out * turn[:, 0] + 9.0 * turn[:, 1] + 4.0 * turn[:, 2]), tolerance_mm=2.0)


def _body_zone(spine: _Spine, joint: DiscJoint, side: str) -> Zone:
    level, turn = _upper(joint), joint.world_from_disc[:3, :3]
    top, bottom = (spine.needed(f"{level}/{end}_endplate_anterior") for end in ("superior", "inferior"))
    third = joint.depth_mm / 3.0
    half = (0.25 * joint.width_mm, 0.5 * third, 0.35 * float(np.linalg.norm(top - bottom)))
    box = _box(0.5 * (top + bottom) + 0.5 * third * turn[:, 1], half, turn, ("bone",))
    # The body is wider and deeper than the disc its size is taken from.
    return replace(box, tolerance_mm=1.5)


def _disc_zone(spine: _Spine, joint: DiscJoint, side: str) -> Zone:
    half = (joint.width_mm / 6.0, joint.depth_mm / 6.0, 0.25 * (joint.anterior_mm + joint.posterior_mm))
    return _box(joint.world_from_disc[:3, 3], half, joint.world_from_disc[:3, :3], ("disc",))


PROCEDURES = {
    "lumbar_puncture": _Kind(
        _puncture_zone, sided=False, returns="CSF", unwanted_patterns=("epidural", "intravascular"),
        harm=(*HARM, "disc entered"), spared=("cauda_equina", "epidural_veins"), caudal_deg=10.0,
    ),
    "interlaminar_epidural": _Kind(
        _epidural_zone, sided=False, needle="tuohy-18G-89", patterns=("epidural",), spared=("epidural_veins",),
        caudal_deg=10.0,
    ),
    "transforaminal_epidural": _Kind(
        _foramen_zone, sided=True, needle="spinal-22G-127", patterns=("nerve root", "epidural"), oblique_deg=30.0,
        spared=("epidural_veins",),
    ),
    "facet_injection": _Kind(
        _facet_zone, sided=True, patterns=("facet joint",), bone_is_goal=True, oblique_deg=35.0,
    ),
    "medial_branch_block": _Kind(
        _branch_zone, sided=True, patterns=("soft tissue",), bone_is_goal=True, on_bone=True, oblique_deg=20.0,
    ),
    "vertebroplasty": _Kind(
        _body_zone, sided=True, needle="trocar-11G-125", patterns=("intraosseous",), bone_is_goal=True,
        oblique_deg=25.0,
    ),
    "discography": _Kind(
        _disc_zone, sided=True, needle="spinal-22G-178", patterns=("disc",), oblique_deg=45.0,
        harm=(*HARM, "dural puncture"),
    ),
}  # fmt: skip
"""By the name in the catalogue of procedures. Angles are defaults of textbooks (reference/guidance.md §5.3)."""


def target_of(patient: Patient, procedure: str, level: str, side: str = "") -> Target:
    """Return what an attempt is to reach, with the expert's line by the textbook's angle.

    Parameters
    ----------
    patient
        Whose vertebrae are known.
    procedure
        One of `PROCEDURES`.
    level
        "L3-L4", or the upper vertebra "L3"; of a medial branch the nerve, which lies on the vertebra below.
    side
        "left" or "right"; "" where the procedure has none.

    Raises
    ------
    TargetError
        When there is no such target.
    """
    kind = PROCEDURES.get(procedure)
    if kind is None:
        raise TargetError(f"procedure {procedure}: it is not scored; choose one of {', '.join(PROCEDURES)}")
    if kind.sided and side not in ("left", "right"):
        raise TargetError(f"side {side or 'none'}: {procedure} needs left or right")
    if not kind.sided and side not in ("", "left", "right"):
        raise TargetError(f"side {side}: choose left, right or none")
    spine = _Spine(patient)
    joint = spine.joint(level)
    zone = kind.zone(spine, joint, side)
    if kind.on_bone:
        zone = _on_surface(spine, zone, joint, side, kind)
    entry, end = _line(spine, zone, joint, side, kind)
    places = _places(spine, kind, joint, level.upper(), side if kind.sided else "")
    return Target(
        procedure, level.upper(), side if kind.sided else "", zone, _point(entry), _point(end),
        "the patient's landmarks and the textbook's angle", kind.needle, kind.patterns, kind.unwanted_patterns,
        kind.returns, kind.harm, kind.spared, kind.bone_is_goal, places,
    )  # fmt: skip


def expert_line(target: Target, entry_mm: Point, aim_mm: Point, source: str, needle: str = "") -> Target:
    """Return a target whose expert's line is another: that of a plan."""
    return replace(target, entry_mm=entry_mm, aim_mm=aim_mm, source=source, needle=needle or target.needle)


def _places(spine: _Spine, kind: _Kind, right: DiscJoint, level: str, side: str) -> tuple[Place, ...]:
    """Return where the needle could be, the right place first: every level, and both sides of a sided procedure."""
    found: list[Place] = []
    sides = [side, *(one for one in ("left", "right") if kind.sided and one != side)]
    for joint in (right, *(one for one in spine.joints.values() if one is not right)):
        for other in sides:
            try:
                center = kind.zone(spine, joint, other).center_mm
            except TargetError:
                continue
            name = joint.name.replace("_", "-")
            called = level if joint is right else (name if "-" in level else _upper(joint))
            # A body is one place, whichever pedicle leads to it.
            if all(math.dist(center, one.center_mm) > 1.0 for one in found):
                found.append(Place(f"{called} {other}".strip(), center))
    return tuple(found)


def _on_surface(spine: _Spine, zone: Zone, joint: DiscJoint, side: str, kind: _Kind) -> Zone:
    """Return the zone where the textbook's needle first meets the bone."""
    turn, patient = joint.world_from_disc[:3, :3], spine.patient
    probe = TissueProbe(patient.volume, patient.labels, patient.articulation)
    out = {"left": 1.0, "right": -1.0}.get(side, 0.0) * math.tan(math.radians(kind.oblique_deg))
    way = turn[:, 1] + out * turn[:, 0]
    way = way / np.linalg.norm(way)
    steps = np.arange(25.0, -10.0, -0.25)
    points = np.asarray(zone.center_mm) + steps[:, None] * way
    bone = [probe.at_rest(point).tissue == "bone" for point in points]
    first = next((n for n, met in enumerate(bone) if met), 0)
    return replace(zone, center_mm=_point(points[max(first - 1, 0)]))


def _line(spine: _Spine, zone: Zone, joint: DiscJoint, side: str, kind: _Kind) -> tuple[Vector, Vector]:
    """Return entry and end of the straight way nearest to the textbook's that meets nothing it must not.

    The textbook's own when there is none. `guidance.planning` weighs distances too; this only stands in for it.
    """
    turn, patient = joint.world_from_disc[:3, :3], spine.patient
    probe = TissueProbe(patient.volume, patient.labels, patient.articulation)
    out = {"left": 1.0, "right": -1.0}.get(side, 0.0)
    ends = [np.asarray(zone.center_mm)]
    ends += [ends[0] + step * np.asarray(zone.half_mm[2]) * np.asarray(zone.axes[2]) for step in (-0.4, 0.4, -0.8)]
    tried = sorted(itertools.product(range(-24, 25, 4), range(-28, 29, 4)), key=lambda turns: math.hypot(*turns))
    first: tuple[Vector, Vector] | None = None
    for more_oblique, more_caudal in tried:
        for end in ends if max(zone.half_mm) else ends[:1]:
            oblique = math.tan(math.radians(kind.oblique_deg + more_oblique * (1.0 if out else 0.0)))
            caudal = math.tan(math.radians(kind.caudal_deg + more_caudal))
            way = turn[:, 1] + out * oblique * turn[:, 0] - caudal * turn[:, 2]
            entry = probe.skin_on(end, -way / np.linalg.norm(way))
            if entry is None:
                continue
            first = first or (entry, end)
            if _is_free(probe, entry, end, zone, kind):
                return entry, end
    if first is None:
        raise TargetError(f"patient {patient.record.name}: no skin is found behind {joint.name.replace('_', '-')}")
    return first


def _is_free(probe: TissueProbe, entry: Vector, end: Vector, zone: Zone, kind: _Kind) -> bool:
    length = float(np.linalg.norm(end - entry))
    points = entry + np.arange(2.0, length, 1.0)[:, None] * (end - entry) / length
    hu, numbers = probe.hu_and_labels(points)
    barred = {"metal", "vessel", "cord", "bowel", "organ", "lung", "fetus"}
    barred |= set() if instrument(kind.needle).enters_bone else {"bone"}
    barred |= {"disc"} if "disc entered" in kind.harm else set()
    barred |= {"CSF"} if "dural puncture" in kind.harm else {"cord"}
    for point, value, number in zip(points, hu, numbers, strict=True):
        tissue = probe.tissue_of(int(number)) or ("bone" if value >= BONE_HU else "muscle")
        if tissue == "nerve root" and probe.names.get(int(number)) not in kind.spared:
            return False
        spared = probe.names.get(int(number)) in kind.spared or (
            tissue == "bone" and kind.bone_is_goal and zone.distance_mm(point) <= _GOAL_MM
        )
        if tissue in barred and not spared:
            return False
    return True


def _point(values: Vector) -> Point:
    return (float(values[0]), float(values[1]), float(values[2]))
