"""A patient who breathes, bends, is pulled, coughs and moves on the table: every frame as a function of time."""

import math
import threading
from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.rigid import Matrix, rotation, translation
from fluoroscope.patient.motion.breath import BreathClock, Cycles, Hold
from fluoroscope.patient.motion.course import Step, piece_at, ramps, stepped, value_of
from fluoroscope.patient.motion.organs import BREATHING, ORGANS, BowelWaves
from fluoroscope.patient.motion.settings import MotionSettings
from fluoroscope.patient.motion.spine import (
    SOFT_SLABS,
    JointAngles,
    body_centers,
    chain_frames,
    joint_ranges,
    soft_frames,
    soft_heights,
    soft_name,
)
from fluoroscope.patient.motion.traction import Creep, Opening, disc_spring, opening, spine_force
from fluoroscope.patient.parts import REST, Articulation
from fluoroscope.patient.scene import Body, Scene, SceneTruth
from fluoroscope.patient.volume import BasisVolume

__all__ = ["LivingPatient"]

_SHIFT_S = 1.5
_LAST = 0.25
"""In flexion the lowest level begins this part of a bend's duration after the highest, and each in between in its turn;
in extension the lowest begins: on cineradiography L4-L5 flexed 6 degrees of trunk motion after L3-L4 and 8 before L5-S1
(Kanayama et al., Spine 1996;21:1416-1422, as quoted in a review; side bending and the amount in time are assumed)."""
_LARGEST_PULL_N = 900.0
_RESTING_MM = 15.0
"""What lies this far below the lowest disc rests."""
_COUGH = ((0.0, 0.7, 0.8), (0.6, 0.35, -0.9), (1.05, 0.3, -0.6))
"""A cough: breath drawn, then two bursts; begin s, length s, height over the diaphragm's way; assumed."""
_COUGH_FLEXION_DEG = 1.5


@dataclass(frozen=True, slots=True)
class _Plan:
    """What was told so far, worked out."""

    bend: list[Step]
    side: list[Step]
    shift: tuple[list[Step], ...]
    coughs: list[float]
    breath: BreathClock
    pull: list[Any]
    creeps: tuple[Creep, ...]


@dataclass(slots=True)
class _Told:
    """Commands so far, each list in order of time."""

    bend: list[Step] = field(default_factory=list)
    side: list[Step] = field(default_factory=list)
    shift: tuple[list[Step], ...] = field(default_factory=lambda: ([], [], [], []))
    coughs: list[float] = field(default_factory=list)
    breath: list[Hold] = field(default_factory=list)
    pull: list[Step] = field(default_factory=list)


class LivingPatient:
    """A patient of rigid parts in motion: `MovingScene` with exact ground truth.

    At any time everything follows from the seed and from what was told up to then: asking twice gives the same, in
    any order. Commands may come from any thread; each holds from its own time on and changes nothing before it.
    Everything moves without a jump.

    Parameters
    ----------
    articulation
        Parts, joints and landmarks.
    settings
        How he moves by himself; of an adult who breathes quietly when absent.
    seed
        Of single breaths, heart beats and bowel waves.

    Raises
    ------
    ValueError
        When a part or landmark rides on a frame nobody moves.
    """

    def __init__(self, articulation: Articulation, settings: MotionSettings | None = None, seed: int = 0) -> None:
        self._articulation = articulation
        self._settings = settings if settings is not None else MotionSettings()
        self._bowel = BowelWaves(self._settings.peristalsis_mm, seed)
        self._joints = articulation.joints
        self._ranges = joint_ranges(self._joints)
        self._springs = tuple(disc_spring(joint) for joint in self._joints)
        self._centers_mm = body_centers(self._joints)
        self._carriers = _carriers(articulation)
        self._pivot_mm = _pivot(articulation)
        varied = self._settings.breathing_variation
        self._breaths = Cycles(self._settings.breathing_period_s, varied, 3, seed, 1)
        self._beats = Cycles(1.0 / self._settings.heart_rate_hz, 0.4 * varied, 2, seed, 2)
        self._told, self._lock = _Told(), threading.RLock()
        self._plan = self._planned()
        self._bodies: dict[str, Body] = {}
        self._frame_of = {part.name: self._known(part.frame) for part in articulation.parts}
        self._marks = _marks(articulation, self._known)

    @property
    def articulation(self) -> Articulation:
        """Parts, joints and landmarks at rest."""
        return self._articulation

    @property
    def bend_limits_deg(self) -> tuple[float, float, float]:
        """Furthest extension (negative), flexion, and bending to either side, of all levels together, deg."""
        flexion = sum(one.flexion_deg for one in self._ranges)
        extension = sum(one.extension_deg for one in self._ranges)
        return -extension, flexion, sum(one.side_deg for one in self._ranges)

    # Commands

    def breathe(self, at_s: float) -> None:
        """Breathe again from this time on."""
        self._tell(lambda told: _insert(told.breath, Hold(at_s, hold=False)))

    def hold_breath(self, at_s: float, *, at_expiration: bool = False) -> None:
        """Hold the breath as it is, or first breathe out to the end of the breath."""
        self._tell(lambda told: _insert(told.breath, Hold(at_s, hold=True, at_expiration=at_expiration)))

    def cough(self, at_s: float) -> None:
        """Cough once: over after 1.4 s."""
        self._tell(lambda told: insort(told.coughs, float(at_s)))

    def shift(self, at_s: float, x_mm: float, y_mm: float, z_mm: float, turn_deg: float = 0.0) -> None:
        """Move the whole patient on the table to so far from where he lay first, within 1.5 s.

        Parameters
        ----------
        at_s
            From when.
        x_mm, y_mm, z_mm
            LPS, each within ±300.
        turn_deg
            About his long axis, toward his left when positive, within ±45.
        """
        values = (x_mm, y_mm, z_mm, turn_deg)
        for name, value, most in zip(("x_mm", "y_mm", "z_mm", "turn_deg"), values, (300.0,) * 3 + (45.0,), strict=True):
            _check(name, value, -most, most)

        def change(told: _Told) -> None:
            for steps, value in zip(told.shift, values, strict=True):
                _insert(steps, Step(at_s, value, _SHIFT_S))

        self._tell(change)

    def bend(self, at_s: float, flexion_deg: float, side_bend_deg: float = 0.0, over_s: float = 3.0) -> None:
        """Bend the spine to these angles between its highest vertebra and the sacrum.

        Parameters
        ----------
        at_s, over_s
            From when, and how long it takes (0.2 s or more).
        flexion_deg
            Forward when positive, within `bend_limits_deg`.
        side_bend_deg
            To the patient's left when positive.
        """
        extension, flexion, side = self.bend_limits_deg
        _check("flexion_deg", flexion_deg, extension, flexion)
        _check("side_bend_deg", side_bend_deg, -side, side)
        _check("over_s", over_s, 0.2, 600.0)

        def change(told: _Told) -> None:
            _insert(told.bend, Step(at_s, flexion_deg, over_s))
            _insert(told.side, Step(at_s, side_bend_deg, over_s))

        self._tell(change)

    def pull(self, at_s: float, force_n: float, over_s: float = 30.0) -> None:
        """Pull at the pelvis: the force goes straight to ``force_n`` (0 to 900) within ``over_s`` (0.2 s or more)."""
        _check("force_n", force_n, 0.0, _LARGEST_PULL_N)
        _check("over_s", over_s, 0.2, 3600.0)
        self._tell(lambda told: _insert(told.pull, Step(at_s, force_n, over_s)))

    # What follows from them

    def frames_at(self, time_s: float) -> dict[str, Matrix]:
        """Return ``world_from_rest`` (4, 4) of every frame; the identity as the patient rests."""
        with self._lock:
            plan = self._plan
            breath, beat = self._inner(plan, time_s)
        angles = self._angles(plan, time_s)
        frames = chain_frames(self._joints, angles, self._openings(plan, time_s))
        frames |= soft_frames(frames, self._centers_mm)
        for name in ORGANS:
            carried = frames[self._carriers[name]]
            moved_mm = self._bowel.shift_mm(name, time_s) + breath * np.asarray(BREATHING.get(name, (0.0, 0.0, 0.0)))
            if name == "aorta":
                moved_mm = moved_mm + np.array([0.0, -beat, 0.0])
            frames[name] = carried @ translation(moved_mm) if moved_mm.any() else carried
        x_mm, y_mm, z_mm, turn_deg = (stepped(steps, time_s) for steps in plan.shift)
        if x_mm or y_mm or z_mm or turn_deg:
            lain = translation((x_mm, y_mm, z_mm)) @ rotation((0.0, 0.0, 1.0), turn_deg, self._pivot_mm)
            frames = {name: lain @ frame for name, frame in frames.items()}
        frames.setdefault("sacrum", frames[REST])
        return frames

    def at(self, time_s: float) -> Scene:
        """Return the scene; a part that has not moved since the last call is the same object."""
        frames = self.frames_at(time_s)
        with self._lock:
            bodies = tuple(
                self._body(part.name, part.volume, frames[self._frame_of[part.name]])
                for part in self._articulation.parts
            )
        return Scene(bodies, truth=SceneTruth(frames, self.landmarks_at(frames), motion=self.status(time_s)))

    def landmarks_at(self, frames: Mapping[str, Matrix]) -> dict[str, tuple[float, float, float]]:
        """Return (x, y, z) LPS mm of every landmark, given `frames_at`."""
        found: dict[str, tuple[float, float, float]] = {}
        for frame, (names, points) in self._marks.items():
            moved = points @ frames[frame][:3, :3].T + frames[frame][:3, 3]
            found.update(zip(names, map(tuple, moved.tolist()), strict=True))
        return {name: found[name] for name in self._articulation.landmarks}

    def status(self, time_s: float) -> dict[str, Any]:
        """Return how the patient moves at a time, JSON-ready.

        ``breathing`` (false while held), ``breath_phase`` (0 to 1, 0 at the end of breathing out), ``breath_mm`` (way
        of the diaphragm), ``coughing``, ``flexion_deg``, ``side_bend_deg``, ``traction_n`` (as pulled),
        ``spine_n`` (after friction), ``discs``: per joint ``anterior_mm``, ``middle_mm``, ``posterior_mm`` of opening.
        """
        with self._lock:
            plan = self._plan
            breath, _ = self._inner(plan, time_s)
            phase = self._breaths.phase(plan.breath.own_s(time_s))
        angles, openings = self._angles(plan, time_s), self._openings(plan, time_s)
        x_mm, y_mm, z_mm, turn_deg = (stepped(steps, time_s) for steps in plan.shift)
        return {
            "breathing": self._settings.breathing_mm > 0.0 and not plan.breath.held(time_s),
            "breath_phase": phase,
            "breath_mm": breath,
            "coughing": _cough(plan.coughs, time_s) != 0.0,
            "flexion_deg": sum(one.flexion_deg for one in angles.values()),
            "side_bend_deg": sum(one.side_deg for one in angles.values()),
            "traction_n": value_of(plan.pull[piece_at(plan.pull, time_s)], time_s),
            "spine_n": plan.creeps[0].at(time_s)[0] if plan.creeps else 0.0,
            "shift": {"x_mm": x_mm, "y_mm": y_mm, "z_mm": z_mm, "turn_deg": turn_deg},
            "discs": {
                name: {
                    "anterior_mm": one.anterior_mm,
                    "middle_mm": one.middle_mm,
                    "posterior_mm": one.posterior_mm,
                }
                for name, one in openings.items()
            },
        }

    # Inner works

    def _tell(self, change: Any) -> None:
        with self._lock:
            change(self._told)
            self._plan = self._planned()

    def _planned(self) -> _Plan:
        told = self._told
        pull = ramps(told.pull)
        force = spine_force(pull, self._settings.friction * self._settings.lower_body_n)
        return _Plan(
            list(told.bend),
            list(told.side),
            tuple(list(steps) for steps in told.shift),
            list(told.coughs),
            BreathClock(self._breaths, told.breath),
            pull,
            tuple(Creep(force, spring.creep_s) for spring in self._springs),
        )

    def _inner(self, plan: _Plan, time_s: float) -> tuple[float, float]:
        """Return the way of the diaphragm and of the aorta, mm; the cycles grow, so under the lock."""
        breath = self._settings.breathing_mm * self._breaths.value(plan.breath.own_s(time_s))
        breath += 10.0 * _cough(plan.coughs, time_s)
        return breath, self._settings.pulse_mm * self._beats.value(time_s)

    def _angles(self, plan: _Plan, time_s: float) -> dict[str, JointAngles]:
        angles = {}
        extension, flexion, side = self.bend_limits_deg
        last = max(1, len(self._joints) - 1)
        jerk_deg = _COUGH_FLEXION_DEG * max(0.0, -_cough(plan.coughs, time_s))
        for number, (joint, allowed) in enumerate(zip(self._joints, self._ranges, strict=True)):
            delay = _LAST * number / last
            bent = stepped(plan.bend, time_s, delay, 1.0 - _LAST, _LAST - delay)
            share = allowed.flexion_deg / flexion if bent >= 0.0 else allowed.extension_deg / -extension
            left = stepped(plan.side, time_s, delay, 1.0 - _LAST) * allowed.side_deg / side
            forward = bent * share + jerk_deg * allowed.flexion_deg / flexion
            angles[joint.name] = JointAngles(forward, left, left * allowed.coupled_axial)
        return angles

    def _openings(self, plan: _Plan, time_s: float) -> dict[str, Opening]:
        return {
            joint.name: opening(spring, *creep.at(time_s), self._settings.pull_angle_deg)
            for joint, spring, creep in zip(self._joints, self._springs, plan.creeps, strict=True)
        }

    def _known(self, frame: str) -> str:
        """Return the frame that moves something which rides on ``frame``."""
        known = {REST, "sacrum", *ORGANS, *_chain_names(self._articulation)}
        known |= {soft_name(name, number) for name in self._centers_mm for number in range(SOFT_SLABS)}
        if frame in known:
            return frame
        # What lies below the lowest joint, and vertebrae without one, lie still.
        if frame == "soft_pelvis" or frame.startswith("vertebrae_"):
            return REST
        raise ValueError(f"nothing moves frame {frame!r}: it is no vertebra, disc or organ of this patient")

    def _body(self, name: str, volume: BasisVolume, frame: Matrix) -> Body:
        known = self._bodies.get(name)
        if known is None or known.world_from_body.tobytes() != frame.tobytes():
            known = self._bodies[name] = Body(name, volume, frame)
        return known


def _insert(steps: list[Any], step: Any) -> None:
    """Put a command behind those of its time and earlier."""
    insort(steps, step, key=lambda one: one.at_s)


def _check(name: str, value: float, low: float, high: float) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        raise ValueError(f"{name} must be {low:.4g} to {high:.4g}, got {value:g}")


def _cough(coughs: list[float], time_s: float) -> float:
    """Return the way of a cough over its height: smooth, zero before and after, negative while it bursts."""
    way = 0.0
    for at_s in coughs:
        for begin_s, length_s, height in _COUGH:
            at = (time_s - at_s - begin_s) / length_s
            if 0.0 < at < 1.0:
                way += height * math.sin(math.pi * at) ** 4
    return way


def _chain_names(articulation: Articulation) -> list[str]:
    names = []
    for joint in articulation.joints:
        names += [joint.upper, joint.lower, f"disc_{joint.name}"]
    return names


def _pivot(articulation: Articulation) -> NDArray[np.float64]:
    """Return the point the patient turns about: the middle of his joints, or of his first part."""
    if articulation.joints:
        centers = [joint.world_from_disc[:3, 3] for joint in articulation.joints]
        middle: NDArray[np.float64] = np.mean(centers, axis=0)
        return middle
    return _center(articulation.parts[0].volume)


def _center(volume: BasisVolume) -> NDArray[np.float64]:
    middle = (np.asarray(volume.water.shape, dtype=np.float64) - 1.0) / 2.0
    center: NDArray[np.float64] = volume.world_from_index[:3, :3] @ middle + volume.world_from_index[:3, 3]
    return center


def _carriers(articulation: Articulation) -> dict[str, str]:
    """Return the slab of soft tissue each organ rides on: the one nearest in height, so that organs bend with it."""
    carriers = dict.fromkeys(ORGANS, REST)
    centers = body_centers(articulation.joints)
    if not centers:
        return carriers
    last = articulation.joints[-1].world_from_disc
    resting = float(last[2, 3]) - _RESTING_MM
    heights = soft_heights([*(float(center[2]) for center in centers.values()), resting])
    names = [soft_name(name, number) for name in centers for number in range(SOFT_SLABS)] + [REST]
    for part in articulation.parts:
        if part.frame in carriers:
            z = float(_center(part.volume)[2])
            carriers[part.frame] = names[int(np.abs(heights - z).argmin())]
    return carriers


def _marks(articulation: Articulation, known: Any) -> dict[str, tuple[list[str], NDArray[np.float64]]]:
    """Return names and resting positions (n, 3) of the landmarks on each frame."""
    grouped: dict[str, tuple[list[str], list[tuple[float, float, float]]]] = {}
    for name, landmark in articulation.landmarks.items():
        names, points = grouped.setdefault(known(landmark.frame), ([], []))
        names.append(name)
        points.append(landmark.position_mm)
    return {frame: (names, np.asarray(points, dtype=np.float64)) for frame, (names, points) in grouped.items()}
