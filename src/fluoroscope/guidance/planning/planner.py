"""Plan a needle on a patient: the one door of this package."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.carm import C_ARMS, CArmModel
from fluoroscope.geometry.table import PatientPosition
from fluoroscope.guidance.planning.aims import Aim, Case
from fluoroscope.guidance.planning.bone_aims import transpedicular_aims
from fluoroscope.guidance.planning.canal_aims import epidural_aims, intrathecal_aims
from fluoroscope.guidance.planning.depth import BodyBuild, canal_depths_mm, depth_warnings
from fluoroscope.guidance.planning.foramen_aims import disc_aims, kambin_aims, subpedicular_aims, sympathetic_aims
from fluoroscope.guidance.planning.joint_aims import caudal_aims, facet_aims, medial_branch_aims, sacroiliac_aims
from fluoroscope.guidance.planning.levels import SpineLevel, parse_level
from fluoroscope.guidance.planning.modelled_parts import add_missing_parts
from fluoroscope.guidance.planning.naming import named_labels
from fluoroscope.guidance.planning.needles import choose_needle, longest_reach_mm, widest_mm
from fluoroscope.guidance.planning.procedures import ProcedurePlan, procedure_plan
from fluoroscope.guidance.planning.search import BONE_GAP_MM, Candidate, Hindrances, find_ways
from fluoroscope.guidance.planning.spine import Spine, spine_of
from fluoroscope.guidance.planning.surroundings import Box, look_around
from fluoroscope.guidance.planning.trajectory import SafeZone, Score, Trajectory, Weights
from fluoroscope.guidance.planning.views import PlannedView, Reach, seen_share
from fluoroscope.patient.instruments.tissue_probe import TissueProbe
from fluoroscope.patient.level_names import LEVELS, vertebra_numbers
from fluoroscope.patient.opened import Patient

__all__ = ["plan"]

Float = NDArray[np.float64]

DEFAULT_CARM = C_ARMS["mobile-flat-panel"]
DEFAULT_WEIGHTS = Weights()
_SUPINE = (PatientPosition.HFS, PatientPosition.FFS)
_BEYOND_MM = 40.0
_STEP_MM = 0.25
AIMS: Mapping[str, Callable[[Case], list[Aim]]] = {
    "lumbar-puncture": intrathecal_aims, "myelography": intrathecal_aims, "interlaminar-epidural": epidural_aims,
    "epidural-catheter": epidural_aims, "stimulator-lead": epidural_aims, "caudal": caudal_aims,
    "transforaminal-subpedicular": subpedicular_aims, "transforaminal-kambin": kambin_aims,
    "discography": disc_aims, "sympathetic-block": sympathetic_aims, "facet-joint": facet_aims,
    "medial-branch": medial_branch_aims, "sacroiliac": sacroiliac_aims, "vertebral-biopsy": transpedicular_aims,
    "vertebroplasty": transpedicular_aims,
}  # fmt: skip
_TOLD = ("bone", "nerve_root", "dura", "vessel", "bowel", "kidney", "lung", "organ", "disc")
"""Structures whose clearance is told."""


def plan(
    patient: Patient,
    procedure: str,
    level: str,
    *,
    side: str | None = None,
    position: PatientPosition = PatientPosition.HFP,
    carm: CArmModel = DEFAULT_CARM,
    limit: int = 5,
    weights: Weights = DEFAULT_WEIGHTS,
    build: BodyBuild | None = None,
) -> tuple[Trajectory, ...]:
    """Return ways of doing a procedure on a patient, the best first.

    Parameters
    ----------
    patient
        With labels; places are in his LPS, at rest.
    procedure
        A name of `PROCEDURES`.
    level
        "L3-L4" for a space, "L3" for a bone, "sacrum".
    side
        "left" or "right" of the patient; None when either will do.
    position
        How he lies; his back must be free.
    carm
        The C-arm whose reach the views keep within.
    limit
        How many at most.
    weights
        Of the score.
    build
        For the depth formulas; a modelled patient brings his own.

    Raises
    ------
    ValueError
        With one line that says why there is no plan: unknown words, a level or structure the patient has not, or
        an anatomy that lets no needle through.
    """
    asked = procedure_plan(procedure)
    where = parse_level(level, asked.levels, asked.title)
    _check_asked(side, position, limit)
    _check_range(asked, where)
    if patient.labels is None:
        spine_of(patient, {})
        raise ValueError("no labels")
    labels = named_labels(patient.labels)
    spine = spine_of(patient, vertebra_numbers(labels))
    probe = TissueProbe(patient.volume, labels, patient.articulation)
    around = look_around(patient.volume, labels, probe, _box(spine, asked, where))
    add_missing_parts(around, spine)
    case = Case(asked, where, side or "", spine, around, labels.names)
    aims = AIMS[asked.name](case)
    reach = Reach(carm, position, patient.reference_mm)
    body = build or _build_of(patient)
    return _Planner(case, reach, weights, body).best(aims, limit)


def _check_asked(side: str | None, position: PatientPosition, limit: int) -> None:
    if side not in (None, "left", "right"):
        raise ValueError(f"side {side!r}: choose left or right, the patient's")
    if position in _SUPINE:
        raise ValueError(f"position {position.value}: the patient lies on his back; choose HFP, or a lateral position")
    if limit < 1:
        raise ValueError(f"limit {limit}: ask for at least 1 trajectory")


def _check_range(asked: ProcedurePlan, where: SpineLevel) -> None:
    """Refuse levels at which a procedure is not done."""
    if where.kind == "sacrum":
        return
    order = [*LEVELS, "S1"]
    here = order.index(where.upper)
    if asked.first and here < order.index(asked.first.partition("-")[0]):
        raise ValueError(f"level {where.name}: {asked.title} is planned from {asked.first}{_why(asked)}")
    # The last space above the sacrum is L4-S1 in some people and L6-S1 in others.
    lowest = asked.last.endswith("S1") and where.lower == "S1"
    if asked.last and not lowest and here > order.index(asked.last.partition("-")[0]):
        raise ValueError(f"level {where.name}: {asked.title} is planned down to {asked.last}")


def _why(asked: ProcedurePlan) -> str:
    if asked.name in ("lumbar-puncture", "myelography"):
        return " down: the spinal cord may reach to upper L3"
    return " down"


def _box(spine: Spine, asked: ProcedurePlan, where: SpineLevel) -> Box:
    """Return what has to be looked at for a procedure at a level."""
    if where.kind == "space":
        center = spine.disc(where).world_from_disc[:3, 3]
    elif where.kind == "bone":
        center = spine.vertebra(where.upper).center_mm
    else:
        last = next((joint for name, joint in spine.discs.items() if name.endswith("-S1")), None)
        if last is None:
            raise ValueError("sacrum: its top is not seen in this patient's labels")
        center = last.world_from_disc[:3, 3] + np.array([0.0, 30.0, -30.0])
    side, front, head, feet = asked.around_mm
    return Box(center - np.array([side, front, feet]), center + np.array([side, 300.0, head]))


def _build_of(patient: Patient) -> BodyBuild:
    def number(name: str) -> float | None:
        value = patient.facts.get(name)
        return float(value) if isinstance(value, int | float) else None

    age = None if patient.parameters is None else patient.parameters.age_years
    return BodyBuild(number("bmi"), number("weight_kg"), number("height_cm"), age)


@dataclass(frozen=True, slots=True)
class _Planner:
    case: Case
    reach: Reach
    weights: Weights
    body: BodyBuild

    def best(self, aims: list[Aim], limit: int) -> tuple[Trajectory, ...]:
        """Return the best trajectories of all aims, at least one of each way in first."""
        asked = self.case.plan
        radius, longest = 0.5 * widest_mm(asked.needles), longest_reach_mm(asked.needles)
        for narrow in (False, True):
            why = Hindrances()
            groups = [
                find_ways(self.case.around, aim, radius, longest, self.weights, asked.spare, why, narrow=narrow)
                for aim in aims
            ]
            if any(groups):
                break
        else:
            raise ValueError(f"{asked.title} at {self.case.level.name}: no way in: {why.say()}")
        seen = [[one for c in group if (one := self._seen(c)) is not None] for group in groups]
        if not any(seen):
            raise ValueError(
                f"{asked.title} at {self.case.level.name}: the {self.reach.model.label} reaches no coaxial or"
                f" confirming view of a patient lying {self.reach.position.value}; choose another C-arm or position"
            )
        ranked = [sorted(group, key=lambda one: one[1].total) for group in seen]
        first = sorted((group[0] for group in ranked if group), key=lambda one: one[1].total)
        rest = sorted((one for group in ranked for one in group[1:]), key=lambda one: one[1].total)
        chosen = sorted((first + rest)[:limit], key=lambda one: one[1].total)
        return tuple(self._trajectory(*one) for one in chosen)

    def _seen(self, one: Candidate) -> tuple[Candidate, Score, PlannedView, PlannedView] | None:
        needle = one.target_mm - one.entry_mm
        coaxial = self.reach.view("coaxial", -needle, one.target_mm)
        if coaxial is None:
            return None
        confirm = self.reach.first_of(self._confirming(one), one.target_mm, needle)
        if confirm is None:
            return None
        w = self.weights
        shown = seen_share(needle, self.reach.toward_detector(coaxial)) + confirm[1]
        score = Score(
            length=w.length * one.length_mm / 90.0,
            cone=w.cone * one.off_cone_deg / 15.0,
            bone=w.bone * float(np.exp(-one.bone_mm / 2.0)),
            nerve=w.nerve * float(np.exp(-one.nerve_mm / 3.0)),
            reach=w.reach * (coaxial.penalty + confirm[0].penalty),
            visibility=w.visibility * shown,
        )
        return one, score, coaxial, confirm[0]

    def _confirming(self, one: Candidate) -> list[tuple[str, Float]]:
        """Return the confirming views a procedure asks for, as directions to the detector."""
        axes = one.aim.axes
        found: list[tuple[str, Float]] = []
        for name in self.case.plan.confirm:
            if name == "lateral":
                found += [(name, axes.left), (name, -axes.left)]
            elif name == "contralateral oblique" and one.aim.side:
                found.append((name, axes.out(-47.5, 0.0, one.aim.sign)))
        return found

    def _trajectory(self, one: Candidate, score: Score, coaxial: PlannedView, confirm: PlannedView) -> Trajectory:
        asked = self.case.plan
        needle = choose_needle(asked.needles, one.length_mm)
        if needle is None:
            raise ValueError("no needle")
        depths = canal_depths_mm(self.body) if asked.depth_of_canal else {}
        expected = next(iter(depths.values()), None)
        dura = self._dura_depth(one)
        warnings = [*one.aim.warnings, *self.case.around.notes, *depth_warnings(depths, one.length_mm)]
        radius = 0.5 * needle.outer_mm
        return Trajectory(
            procedure=asked.name, level=self.case.level.name, side=one.aim.side, approach=one.aim.approach,
            bone=one.aim.bone_name, entry_mm=_point(one.entry_mm), target_mm=_point(one.target_mm), needle=needle,
            depth_mm=one.length_mm, coaxial=coaxial, confirm=confirm, score=score,
            clearances_mm=self._clearances(one, radius), safe_zone=self._safe_zone(one, radius),
            expected_depth_mm=expected, depth_formulas_mm=depths, dura_depth_mm=dura,
            sigma_mm=float(np.hypot(self.case.spine.sigma_mm, self.case.around.coarse_mm / np.sqrt(12.0))),
            warnings=tuple(warnings),
        )  # fmt: skip

    def _line(self, one: Candidate, beyond_mm: float) -> tuple[Float, Float]:
        """Return depths (n,) and points (n, 3) from the skin to beyond the target."""
        depths = np.arange(0.0, one.length_mm + beyond_mm, _STEP_MM)
        way = (one.target_mm - one.entry_mm) / one.length_mm
        return depths, one.entry_mm + depths[:, None] * way

    def _clearances(self, one: Candidate, radius: float) -> Mapping[str, float | None]:
        """Return the gap to every structure that is not the target itself."""
        _, points = self._line(one, 0.0)
        gaps: dict[str, float | None] = {}
        for what in _TOLD:
            mask = one.aim.bone if what == "bone" else what
            if what == one.aim.zone or what in one.aim.ignore:
                continue
            gap = self.case.around.gap_mm(mask, points)
            gaps[what] = None if gap is None else gap - radius
        return gaps

    def _dura_depth(self, one: Candidate) -> float | None:
        depths, points = self._line(one, _BEYOND_MM)
        inside = np.flatnonzero(self.case.around.inside("dura", points))
        return float(depths[inside[0]]) if len(inside) else None

    def _safe_zone(self, one: Candidate, radius: float) -> SafeZone:
        around, zone = self.case.around, one.aim.zone
        depths, points = self._line(one, _BEYOND_MM)
        here = int(np.argmin(np.abs(depths - one.length_mm)))
        good = around.inside(zone, points)
        blocked: dict[str, NDArray[np.bool_]] = {}
        for what in ("bone", "cord", "dura", "disc", "vessel", "bowel", "kidney", "lung", "organ", "nerve_root"):
            if what not in one.aim.ignore and what != zone and around.has(what):
                gap = radius + (BONE_GAP_MM if what == one.aim.bone else 0.0)
                blocked[what] = around.distance_mm(what, points) < gap
        free = good & ~np.any(list(blocked.values()), axis=0) if blocked else good
        first = here - int(np.argmin(free[here::-1])) + 1 if not free[: here + 1].all() else 0
        after = free[here:]
        last = here + (int(np.argmin(after)) - 1 if not after.all() else len(after) - 1)
        stops = {what: np.flatnonzero(hit[here:]) for what, hit in blocked.items()}
        nearest = min(((int(hits[0]), what) for what, hits in stops.items() if len(hits)), default=None)
        room = _BEYOND_MM if nearest is None else nearest[0] * _STEP_MM
        return SafeZone(
            float(min(depths[min(first, here)], one.length_mm)), float(max(depths[max(last, here)], one.length_mm)),
            "" if nearest is None else nearest[1], room,
        )  # fmt: skip


def _point(place: Float) -> tuple[float, float, float]:
    x, y, z = (float(part) for part in place)
    return x, y, z
