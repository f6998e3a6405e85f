"""The search for a way in: every place on the skin against every target, refused or scored (guidance.md §5.4)."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fluoroscope.guidance.planning.aims import Aim
from fluoroscope.guidance.planning.surroundings import FORBIDDEN, Surroundings
from fluoroscope.guidance.planning.trajectory import Weights

__all__ = ["BONE_GAP_MM", "Candidate", "Hindrances", "find_ways"]

Float = NDArray[np.float64]

BONE_GAP_MM = 0.5
"""A path nearer than this, beside the needle's radius, to bone or anything to be spared is refused."""
WALL_GAP_MM = 0.3
"""What is left of a pedicle's wall beside a needle that goes through it, at least."""
_CORTEX_MM = 7.0
_SKIN_STEP_MM, _FINE_STEP_MM, _FINE_REACH_MM = 4.0, 1.0, 3.0
_NARROW_STEP_MM, _NARROW_TARGETS = 2.0, 24
"""Skin and targets looked at where the first look finds no way in."""
_SHORTEST_MM = 8.0
_TARGETS = 12
"""Places of a target zone looked at; near the best ones again as many."""
_AT_ONCE = 3000
"""Paths looked at in one go."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A path that nothing forbids.

    Attributes
    ----------
    aim
        What it is for.
    entry_mm, target_mm
        (3,).
    length_mm, off_cone_deg
        Of the path, and how far outside the cone it comes in.
    bone_mm, nerve_mm
        From its axis to the nearest bone and nerve root.
    cost
        The parts of the score that do not depend on the C-arm.
    """

    aim: Aim
    entry_mm: Float
    target_mm: Float
    length_mm: float
    off_cone_deg: float
    bone_mm: float
    nerve_mm: float
    cost: float


@dataclass
class Hindrances:
    """Why paths were refused, to say it when none is left."""

    counts: Counter[str] = field(default_factory=Counter)
    shortest_mm: float = np.inf

    def say(self) -> str:
        """Return the reasons in words, the commonest first."""
        words = {
            "length": f"too deep for the longest needle (from {self.shortest_mm:.0f} mm)",
        }
        told = [words.get(what, f"through {what.replace('_', ' ')}") for what, _ in self.counts.most_common(3)]
        return ", ".join(told) or "no place on the skin lies on an allowed way in"


def find_ways(
    around: Surroundings, aim: Aim, radius_mm: float, longest_mm: float, weights: Weights, spare: tuple[str, ...],
    why: Hindrances, *, narrow: bool = False,
) -> list[Candidate]:  # fmt: skip
    """Return paths to the targets of an aim, the best of each neighbourhood, best first.

    Parameters
    ----------
    around
        The patient about the level.
    aim
        Targets and ways in.
    radius_mm, longest_mm
        Of the needle, and the longest path it can go.
    weights
        Of the score.
    spare
        Structures beside bone and `FORBIDDEN` not to be touched.
    why
        Counts what was refused.
    narrow
        Look closer: for ways in that a first look misses.
    """
    entries = _skin_entries(around, _NARROW_STEP_MM if narrow else _SKIN_STEP_MM)
    rule = _Rule(around, aim, radius_mm, longest_mm, weights, spare, why)
    found = rule.judge(*_pairs(entries, _spread(aim.points_mm, _NARROW_TARGETS if narrow else _TARGETS)))
    best: list[Candidate] = []
    for candidate in sorted(found, key=lambda one: one.cost):
        if len(best) >= 6:
            break
        if all(np.linalg.norm(candidate.entry_mm - other.entry_mm) > 6.0 for other in best):
            best.append(candidate)
    refined = [rule.better(candidate) for candidate in best]
    return sorted(refined, key=lambda one: one.cost)


def _skin_entries(around: Surroundings, step_mm: float) -> Float:
    rows, columns = around.skin_mm.shape
    step = round(step_mm)
    i, k = (part.ravel() for part in np.meshgrid(np.arange(0, rows, step), np.arange(0, columns, step), indexing="ij"))
    skin = around.skin_mm[i, k]
    points = np.stack([around.first_mm[0] + k, skin, around.first_mm[2] + i], axis=1)
    return points[np.isfinite(skin)]


def _spread(points: Float, count: int) -> Float:
    """Return so many of the places (n, 3), spread out: the one nearest the middle, then ever the furthest off."""
    if len(points) <= count:
        return points
    first = int(np.argmin(np.linalg.norm(points - np.median(points, axis=0), axis=1)))
    chosen = [first]
    away = np.linalg.norm(points - points[first], axis=1)
    for _ in range(count - 1):
        chosen.append(int(np.argmax(away)))
        away = np.minimum(away, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return points[chosen]


def _pairs(entries: Float, targets: Float) -> tuple[Float, Float]:
    return np.repeat(entries, len(targets), axis=0), np.tile(targets, (len(entries), 1))


@dataclass(frozen=True, slots=True)
class _Rule:
    around: Surroundings
    aim: Aim
    radius_mm: float
    longest_mm: float
    weights: Weights
    spare: tuple[str, ...]
    why: Hindrances

    def judge(self, entries: Float, targets: Float) -> list[Candidate]:
        """Return the pairs that nothing forbids, with their costs."""
        off = off_cone_deg(self.aim, entries, targets)
        length = np.linalg.norm(entries - targets, axis=1)
        keep = (off <= self.aim.cone.slack_deg) & (length >= _SHORTEST_MM)
        if keep.any():
            self.why.shortest_mm = min(self.why.shortest_mm, float(length[keep].min()))
        long = keep & (length > self.longest_mm)
        self.why.counts["length"] += int(long.sum())
        chosen = np.flatnonzero(keep & ~long)
        found: list[Candidate] = []
        for start in range(0, len(chosen), _AT_ONCE):
            part = chosen[start : start + _AT_ONCE]
            found += self._open(entries[part], targets[part], length[part], off[part])
        return found

    def better(self, candidate: Candidate) -> Candidate:
        """Return the best of the neighbourhood on a finer skin grid."""
        steps = np.arange(-_FINE_REACH_MM, _FINE_REACH_MM + 1e-6, _FINE_STEP_MM)
        x, z = (part.ravel() for part in np.meshgrid(steps, steps))
        at_x, at_z = candidate.entry_mm[0] + x, candidate.entry_mm[2] + z
        skin = self.around.skin_at(at_x, at_z)
        entries = np.stack([at_x, skin, at_z], axis=1)[np.isfinite(skin)]
        near = self.aim.points_mm[np.linalg.norm(self.aim.points_mm - candidate.target_mm, axis=1) < 4.0]
        found = self.judge(*_pairs(entries, _spread(near, _TARGETS)))
        return min([candidate, *found], key=lambda one: one.cost)

    def _open(self, entries: Float, targets: Float, length: Float, off: Float) -> list[Candidate]:
        left = np.arange(len(entries))
        least: dict[str, Float] = {}
        banned = tuple(dict.fromkeys((*FORBIDDEN, *self.spare)))
        for what in (self.aim.bone, *(one for one in banned if one not in self.aim.ignore)):
            gap = self.radius_mm + BONE_GAP_MM
            near = path_distance(self.around, what, entries[left], targets[left], gap)
            fine = near >= gap
            self.why.counts["bone" if what == self.aim.bone else what] += int((~fine).sum())
            left = left[fine]
            least = {name: values[fine] for name, values in least.items()} | {what: near[fine]}
            if len(left) == 0:
                return []
        if self.aim.through:
            kept = self._through_bone(entries[left], targets[left])
            self.why.counts["the pedicle's wall"] += int((~kept).sum())
            left = left[kept]
            least = {name: values[kept] for name, values in least.items()}
            if len(left) == 0:
                return []
        nerve = path_distance(self.around, "nerve_root", entries[left], targets[left], 0.0)
        bone = least[self.aim.bone]
        w = self.weights
        cost = w.length * length[left] / 90.0 + w.cone * off[left] / 15.0
        cost = cost + w.bone * np.exp(-bone / 2.0) + w.nerve * np.exp(-nerve / 3.0)
        order = np.argsort(cost)[:400]
        return [
            Candidate(self.aim, entries[left[n]], targets[left[n]], float(length[left[n]]), float(off[left[n]]),
                      float(bone[n]), float(nerve[n]), float(cost[n]))
            for n in order
        ]  # fmt: skip

    def _through_bone(self, entries: Float, targets: Float) -> NDArray[np.bool_]:
        """Return which paths stay inside the bone they go through, from a little behind where they enter it."""
        around, through = self.around, self.aim.through
        steps = int(np.ceil(float(np.linalg.norm(entries - targets, axis=1).max()))) + 1
        shares = np.linspace(0.0, 1.0, steps)
        points = entries[:, None, :] + shares[None, :, None] * (targets - entries)[:, None, :]
        deep = around.depth_in_mm(through, points.reshape(-1, 3)).reshape(len(entries), steps)
        length = np.linalg.norm(entries - targets, axis=1)
        entered = np.argmax(deep > 0.0, axis=1)
        # The outermost bone is the arch's cortex, which the needle starts in; behind it the wall must hold.
        skip = np.ceil(_CORTEX_MM / length * (steps - 1)).astype(int)
        inner = np.arange(steps)[None, :] >= (entered + skip)[:, None]
        held: NDArray[np.bool_] = np.all(~inner | (deep >= self.radius_mm + WALL_GAP_MM), axis=1)
        return held & (deep > 0.0).any(axis=1)


def off_cone_deg(aim: Aim, entries: Float, targets: Float) -> Float:
    """Return how far outside an aim's cone ways from entries to targets (n, 3) come in, degrees."""
    out = entries - targets
    out = out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)
    missing = []
    for angle, (low, high) in zip(
        aim.axes.angles_deg(out, aim.sign), (aim.cone.lateral_deg, aim.cone.cranial_deg), strict=True
    ):
        missing.append(np.maximum(np.maximum(low - angle, angle - high), 0.0))
    found: Float = np.hypot(*missing)
    return found


def path_distance(around: Surroundings, what: str, entries: Float, targets: Float, enough_mm: float) -> Float:
    """Return the least distance (n,) to a structure along straight paths, looked at every millimetre.

    Paths that come clearly nearer than ``enough_mm`` at every fourth millimetre are not looked at further.
    """
    longest = float(np.linalg.norm(entries - targets, axis=1).max())
    steps = max(8, int(np.ceil(longest)))
    least = _least(around.nearly_mm, what, entries, targets, np.linspace(0.0, 1.0, steps // 4 + 1))
    # Half a voxel's diagonal: the nearest point of the grid is no further from the path.
    open_ = np.flatnonzero(least >= enough_mm - 0.9)
    if len(open_):
        shares = np.linspace(0.0, 1.0, steps + 1)
        least[open_] = _least(around.distance_mm, what, entries[open_], targets[open_], shares)
    return least


def _least(
    look: Callable[[str, Float], Float], what: str, entries: Float, targets: Float, shares: Float
) -> Float:  # fmt: skip
    points = entries[:, None, :] + shares[None, :, None] * (targets - entries)[:, None, :]
    least: Float = look(what, points.reshape(-1, 3)).reshape(len(entries), -1).min(axis=1)
    return least
