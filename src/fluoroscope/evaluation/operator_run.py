"""A virtual operator does a lumbar puncture: by what guidance says, or by eye.

The guided one places the needle, looks down on it, corrects, advances; turns to the side where guidance says so,
triangulates, corrects, goes on to the target and takes the stylet out. He sees only guidance's figures, out of pictures
with the errors of `Sight`, and does what they ask with the errors of `Hand`; the needle meets the patient's tissue
(`OperatingField`). The other aims as experts do by freehand.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fluoroscope.evaluation.operator_hand import Hand, Sight, first_way, plan_geometry, tilted
from fluoroscope.geometry.projection import ProjectionGeometry
from fluoroscope.geometry.rigid import inverse
from fluoroscope.geometry.table import PatientPosition, patient_from_equipment
from fluoroscope.guidance.live_error import NeedleError, needle_error, plan_axes
from fluoroscope.guidance.planning import Trajectory
from fluoroscope.guidance.two_views import down_the_needle, triangulate
from fluoroscope.patient.instruments.field import OperatingField
from fluoroscope.patient.instruments.needle import Advance, NeedleTruth
from fluoroscope.patient.instruments.tissue_probe import TissueProbe

__all__ = ["Outcome", "freehand_puncture", "guided_puncture"]

Float = NDArray[np.float64]
MOST_PASSES = 4
"""More are not tried (`reference/guidance.md` §5.1)."""
MOST_REDIRECTIONS = 6
SHALLOW_MM = 14.0
"""A needle is turned anew after pulling it back to here."""
FINE_MM, FINE_DEG = 1.5, 1.5
"""What is not corrected."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a puncture ended, against truth.

    Attributes
    ----------
    reached
        CSF dripped from the hub.
    target_error_mm, angle_error_deg
        Of the tip to the planned target, and of the needle to the planned way.
    passes, redirections, bone_contacts, pictures
        Counted.
    wrong
        Structures touched that no needle should: "nerve root", "vessel", "cord" …
    """

    reached: bool
    target_error_mm: float
    angle_error_deg: float
    passes: int
    redirections: int
    bone_contacts: int
    pictures: int
    wrong: tuple[str, ...] = ()


@dataclass
class _Case:
    """One needle in one patient, and the operator's hands and eyes."""

    probe: TissueProbe
    plans: Sequence[Trajectory]
    hand: Hand
    sight: Sight
    random: np.random.Generator
    position: PatientPosition = PatientPosition.HFP
    passes: int = 0
    redirections: int = 0
    bones: int = 0
    pictures: int = 0
    depth_said_mm: float = 0.0
    confirmed: bool = False
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.field = OperatingField(self.probe)
        self.lasting = self.sight.plan_mm * self.random.normal(size=3)

    # Hands

    def place(self, plan: Trajectory, entry_mm: Float, way: Float, *, shown: bool = True) -> None:
        """Set the needle on the skin; ``shown`` when it is only set anew before it went in."""
        self.field.add(plan.needle.name, entry_mm, way, name="needle")
        self.depth_said_mm = 0.0
        self.passes += 0 if shown and self.passes else 1

    def advance(self, by_mm: float) -> Advance:
        """Push by what was asked, as a hand does."""
        wanted = by_mm * (1.0 + self.hand.advance_share * self.random.normal())
        wanted = max(wanted + self.hand.advance_mm * self.random.normal(), 0.0)
        left, head = self.hand.tremor_deg * self.random.normal(size=2)
        self.field.steer(left, head)
        went = self.field.advance(wanted)
        # He sees the shaft go in: about as far as he meant.
        self.depth_said_mm += by_mm if not went.stopped_by else went.moved_mm
        if went.stopped_by == "bone":
            self.bones += 1
        return went

    def pull_back(self, to_mm: float) -> None:
        depth = self.truth().depth_mm
        if depth > to_mm:
            self.field.withdraw(depth - to_mm)
        self.depth_said_mm = min(self.depth_said_mm, to_mm)

    def steer(self, left_deg: float, head_deg: float) -> None:
        """Turn the tip; the deeper the needle, the more he has to turn the hub for it."""
        free = 1.0 / (1.0 + (self.depth_said_mm / 20.0) ** 2)
        share = free + 0.15 * (1.0 - free)
        asked = np.clip(np.array([left_deg, head_deg]) / share, -18.0, 18.0)
        done = asked * (1.0 + self.hand.steer_share * self.random.normal(size=2))
        done += self.hand.steer_deg * self.random.normal(size=2)
        self.field.steer(float(done[0]), float(done[1]))

    # Eyes

    def truth(self) -> NeedleTruth:
        (found,), _ = self.field.truth(0.0)
        for event in found.events:
            if event.what in ("paraesthesia", "vessel entered", "cord touched", "disc entered", "bowel entered"):
                self.seen.add(event.what)
        return found

    def truth_before_next(self) -> None:
        """Keep what the needle touched before it is taken out."""
        if self.field.names:
            self.truth()

    def look_down(self, plan: Trajectory) -> NeedleError | None:
        """Return the figures out of the coaxial view alone; None when the needle is not found in it."""
        entry, target, way = first_way(plan)
        true = self.beam(plan, "coaxial")
        self.pictures += 1
        truth = self.truth()
        ends = self.sight.ends(np.array(truth.path_mm), true, self.random)
        if ends is None:
            return None
        geometry = self.sight.believed(true, target, self.lasting, self.random)
        at = entry + self.depth_said_mm * way
        ray = geometry.direction_from_pixel @ (*ends[0], 1.0)
        tip = geometry.source_mm + ray * float((at - geometry.source_mm) @ way) / float(ray @ way)
        turned = down_the_needle(tip, ends[1], geometry, plan.needle.length_mm, way, sigma_px=self.sight.point_px)
        across = np.eye(3) - np.outer(way, way)
        spread = across * 0.5**2 + np.outer(way, way) * self.hand.depth_mm**2
        return needle_error(
            tip, None if turned is None else turned[0], entry_mm=entry, target_mm=target, covariance_mm2=spread,
            angle_sigma_deg=0.0 if turned is None else turned[1], dura_mm=plan.dura_depth_mm, confirmed=self.confirmed,
        )  # fmt: skip

    def look_twice(self, plan: Trajectory) -> NeedleError | None:
        """Return the figures out of both views; None when it is not found in one or the rays do not meet."""
        entry, target, way = first_way(plan)
        beams = [self.beam(plan, name) for name in ("coaxial", "confirm")]
        path = np.array(self.truth().path_mm)
        self.pictures += 2
        ends, side = self.sight.ends(path, beams[0], self.random), self.sight.shaft(path, beams[1], self.random)
        if ends is None or side is None:
            return None
        geometries = [self.sight.believed(one, target, self.lasting, self.random) for one in beams]
        spreads = np.array([self.sight.point_px**2 * np.eye(2), side.tip_covariance()])
        tip = triangulate([ends[0], side.tip_px], geometries, spreads, geometry_sigma_mm=self.sight.in_plane_mm)
        if not tip.accepted:
            return None
        turned = down_the_needle(
            tip.position_mm, ends[1], geometries[0], plan.needle.length_mm, way, sigma_px=self.sight.point_px
        )
        self.confirmed = True
        return needle_error(
            tip.position_mm, None if turned is None else turned[0], entry_mm=entry, target_mm=target,
            covariance_mm2=tip.covariance_mm2, angle_sigma_deg=0.0 if turned is None else turned[1],
            dura_mm=plan.dura_depth_mm, confirmed=True,
        )  # fmt: skip

    def again(self, look: str, plan: Trajectory) -> NeedleError | None:
        """Take the picture anew, three times at most."""
        for _ in range(3):
            found = self.look_down(plan) if look == "down" else self.look_twice(plan)
            if found is not None:
                return found
        return None

    def beam(self, plan: Trajectory, name: str) -> ProjectionGeometry:
        """Return a planned view's beam in the patient's coordinates."""
        view = plan.coaxial if name == "coaxial" else plan.confirm
        return plan_geometry(view, inverse(patient_from_equipment(view.table, self.position)))

    def csf(self) -> bool:
        """Take the stylet out and see whether it drips; put it back when it does not."""
        self.field.set_stylet(False)
        drips = self.truth().returns.startswith("CSF")
        if not drips:
            self.field.set_stylet(True)
        return drips

    def outcome(self, plan: Trajectory, reached: bool) -> Outcome:
        _, target, way = first_way(plan)
        truth = self.truth()
        error = float(np.linalg.norm(np.array(truth.tip_mm) - target))
        shaft = np.array(truth.tip_mm) - np.array(truth.entry_mm)
        shaft = shaft / max(float(np.linalg.norm(shaft)), 1e-9)
        angle = float(np.degrees(np.arccos(np.clip(shaft @ way, -1.0, 1.0))))
        return Outcome(reached, error, angle, self.passes, self.redirections, self.bones, self.pictures,
                       tuple(sorted(self.seen)))  # fmt: skip


def guided_puncture(
    probe: TissueProbe,
    plans: Sequence[Trajectory],
    random: np.random.Generator,
    *,
    hand: Hand | None = None,
    sight: Sight | None = None,
) -> Outcome:
    """Do a lumbar puncture by the figures of guidance.

    Parameters
    ----------
    probe
        The patient's tissue.
    plans
        Trajectories, the best first; the next is taken when one does not work.
    random
        Draws every error.
    hand, sight
        How large the errors are.
    """
    case = _Case(probe, plans, hand or Hand(), sight or Sight(), random)
    plan = plans[0]
    for number in range(MOST_PASSES):
        plan = plans[min(number // 2, len(plans) - 1)]
        if _guided_pass(case, plan):
            return case.outcome(plan, True)
    return case.outcome(plan, False)


def _guided_pass(case: _Case, plan: Trajectory) -> bool:
    """Go in once; say whether CSF came."""
    _set_on_skin(case, plan)
    case.confirmed = False
    dura = plan.dura_depth_mm or plan.depth_mm
    bones = 0
    while True:
        error = case.again("twice" if case.confirmed else "down", plan)
        if error is None:
            return False
        remaining = error.depth_remaining_mm
        if error.turn_to_lateral:
            case.confirmed = True
            continue
        if case.confirmed and remaining <= 0.7:
            return _take_the_csf(case, plan)
        if case.confirmed and _far_off(error):
            if case.redirections >= MOST_REDIRECTIONS:
                return False
            _redirect(case, error)
            continue
        _correct(case, error)
        if case.confirmed:
            step = min(5.0, remaining)
        else:
            step = min(8.0 if case.depth_said_mm < 25.0 else 12.0, max(dura - 10.0 - case.depth_said_mm, 1.0))
        went = case.advance(step)
        if went.stopped_by == "bone":
            bones += 1
            if bones > 2 or case.redirections >= MOST_REDIRECTIONS:
                return False
            case.confirmed = True
            seen = case.again("twice", plan)
            if seen is None:
                return False
            _redirect(case, seen)
        elif went.stopped_by:
            return case.csf()


def _set_on_skin(case: _Case, plan: Trajectory) -> None:
    """Put the tip on the planned spot and line the needle up, as often as the figures ask for it, before going in."""
    entry, _, way = first_way(plan)
    spot, aim = entry + case.hand.entry_mm * case.random.normal(size=3), tilted(way, case.hand.aim_deg, case.random)
    case.truth_before_next()
    case.place(plan, spot, aim, shown=False)
    for _ in range(6):
        error = case.again("down", plan)
        if error is None:
            return
        off = error.offset_mm > 2.0
        if off:
            _, left, head, _ = plan_axes(entry, np.array(plan.target_mm))
            spot = spot - error.lateral_mm * left - error.vertical_mm * head
            spot = spot + 0.5 * case.hand.entry_mm * case.random.normal(size=3)
            case.place(plan, spot, np.array(case.truth().direction))
        if error.angle_deg is not None and error.angle_deg > 1.5:
            case.steer(-(error.turn_left_deg or 0.0), -(error.turn_head_deg or 0.0))
        elif not off:
            return


def _wanted(error: NeedleError) -> tuple[float, float]:
    """Return by how much the tip has to turn to the left and head to go to the target."""
    ahead = max(error.depth_remaining_mm, 10.0)
    left = np.degrees(np.arctan2(-error.lateral_mm, ahead)) - (error.turn_left_deg or 0.0)
    head = np.degrees(np.arctan2(-error.vertical_mm, ahead)) - (error.turn_head_deg or 0.0)
    return float(left), float(head)


def _correct(case: _Case, error: NeedleError) -> None:
    """Turn the tip towards the target, when it would miss by more than a hand can do better."""
    left, head = _wanted(error)
    miss = error.miss_mm if error.miss_mm is not None else error.offset_mm
    if miss > FINE_MM or (error.angle_deg is not None and error.angle_deg > FINE_DEG and case.depth_said_mm < 30.0):
        case.steer(left, head)


def _far_off(error: NeedleError) -> bool:
    """Whether turning the tip where it is does not bring it to the target any more."""
    miss = error.miss_mm if error.miss_mm is not None else error.offset_mm
    return bool(miss > 4.0 or error.offset_mm > 4.0 or (error.angle_deg or 0.0) > 4.0)


def _redirect(case: _Case, error: NeedleError) -> None:
    """Pull back to where the needle turns as a whole, turn it to the target, and look down on it again."""
    case.redirections += 1
    depth = case.depth_said_mm
    case.pull_back(SHALLOW_MM)
    back = max(depth - SHALLOW_MM, 0.0)
    # Where the shaft at that depth lies against the plan, by where the tip was and how it was turned.
    slopes = np.tan(np.deg2rad([error.turn_left_deg or 0.0, error.turn_head_deg or 0.0]))
    lateral, vertical = np.array([error.lateral_mm, error.vertical_mm]) - slopes * back
    ahead = error.depth_remaining_mm + back
    left = np.degrees(np.arctan2(-lateral, ahead)) - (error.turn_left_deg or 0.0)
    head = np.degrees(np.arctan2(-vertical, ahead)) - (error.turn_head_deg or 0.0)
    case.steer(float(left), float(head))
    case.confirmed = False


def _take_the_csf(case: _Case, plan: Trajectory) -> bool:
    """Take the stylet out at the target; where nothing drips, go on by millimetres within the safe zone."""
    room = min(plan.safe_zone.to_mm - plan.depth_mm, 6.0)
    for _ in range(1 + int(max(room, 0.0))):
        if case.csf():
            return True
        if case.advance(1.0).stopped_by:
            return case.csf()
    return False


def freehand_puncture(
    probe: TissueProbe, plans: Sequence[Trajectory], random: np.random.Generator, *, hand: Hand | None = None
) -> Outcome:
    """Do the same by eye: aimed as experts do by freehand, felt by the ligament's give, no figures.

    The same best plan is meant; a pass that meets bone or stays dry is followed by the next, aimed a little better.
    """
    case = _Case(probe, plans, hand or Hand(), Sight(), random)
    plan = plans[0]
    _, target, way = first_way(plan)
    for number in range(MOST_PASSES):
        share = case.hand.free_learns**number
        aim = target + share * case.hand.free_aim_mm * random.normal(size=3)
        case.truth_before_next()
        case.place(plan, aim, tilted(way, share * case.hand.free_aim_deg, random), shown=False)
        if _felt_pass(case, plan):
            return case.outcome(plan, True)
    return case.outcome(plan, False)


def _felt_pass(case: _Case, plan: Trajectory) -> bool:
    """Push on until something gives, look for CSF, go on by small steps to where it should have come."""
    felt = 0
    while case.depth_said_mm < plan.depth_mm + 12.0:
        went = case.advance(3.0)
        events = [one.what for one in case.truth().events]
        given = sum(what in ("loss of resistance", "dural puncture") for what in events)
        if given > felt or case.depth_said_mm > plan.depth_mm - 8.0:
            felt = given
            case.pictures += 1
            if case.csf():
                return True
        if went.stopped_by:
            return case.csf()
    return False
