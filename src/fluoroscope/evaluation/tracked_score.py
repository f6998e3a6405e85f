"""Tracked tools against truth: the fused tip, its covariance, latency and the alarm.

Truth is made otherwise than the filter believes: the tracker's field is bent by a smooth function of place and its
registration is turned, not a random walk; finds in pictures have heavy tails; the hand moves in sines.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import ProjectionGeometry, project_points, projection_geometry
from fluoroscope.geometry.rigid import apply, inverse, rotation, translation
from fluoroscope.guidance.tracked import TipFusion, TrackedTool, TrackerSetup, estimate_latency

__all__ = ["AP", "LATERAL", "BentField", "FusedRun", "MovingHand", "fused_run", "tracked_rows"]

Row = dict[str, Any]
Points = NDArray[np.float64]

_GRID = DetectorGrid(1024, 1024, 0.3)
AP = projection_geometry(CArmPose(0.0, 0.0, 750.0, 1200.0), _GRID)
LATERAL = projection_geometry(CArmPose(90.0, 0.0, 750.0, 1200.0), _GRID)
_TOLD_S, _SEEN_S, _FOUND_S = 0.025, 1.0 / 15.0, 0.08
"""A pose every 25 ms; a picture every 67 ms, whose needle is found 80 ms after its pulse."""
_JITTER_MM, _TIP_PX = 0.2, 1.2
_CHI2_95 = 7.815
_FIRST_SEED = 500


class MovingHand:
    """The way of a needle's tip: pushed in, pulled and swung by a hand."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.waves = [
            (rng.normal(0.0, 2.5, 3), 2.0 * np.pi * rng.uniform(0.1, 0.7), rng.uniform(0.0, 6.3)) for _ in range(4)
        ]
        self._from_mm, self._way_mm_s = rng.uniform(-25.0, 25.0, 3), rng.normal(0.0, 1.5, 3)

    def at(self, at_s: float | Points) -> Points:
        """Return (…, 3) the tip in the equipment frame, mm."""
        times = np.asarray(at_s, dtype=np.float64)[..., None]
        swings = sum(size * np.sin(pace * times + begin) for size, pace, begin in self.waves)
        return np.asarray(self._from_mm + self._way_mm_s * times + swings, dtype=np.float64)


class BentField:
    """What is wrong with a tracker: a smooth distortion of 0.6 mm, a registration off by 0.5 mm per axis and 0.4°."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._bends = [
            (rng.normal(0.0, 0.35, 3), rng.normal(0.0, 1.0 / 60.0, 3), rng.uniform(0.0, 6.3)) for _ in range(3)
        ]
        self._moved = translation(rng.normal(0.0, 0.5, 3)) @ rotation(rng.normal(size=3), rng.normal(0.0, 0.4))

    def told(self, place: Points) -> Points:
        """Return (3,) where the tracker says a place is."""
        bent = place + sum(size * np.cos(float(place @ way) + begin) for size, way, begin in self._bends)
        return apply(self._moved, bent)


@dataclass(frozen=True, slots=True)
class FusedRun:
    """The end of a run: error of the fused tip (3,), its covariance, error of the tracker alone (3,), mm."""

    error_mm: Points
    covariance_mm2: Points
    tracker_error_mm: Points

    @property
    def inside(self) -> bool:
        """Whether the truth lies in the 95 % ellipsoid."""
        return bool(self.error_mm @ np.linalg.solve(self.covariance_mm2, self.error_mm) < _CHI2_95)


def fused_run(views: Sequence[ProjectionGeometry], seed: int, seconds: float = 4.0) -> FusedRun:
    """Let tracker and pictures of ``views``, by turns, follow a hand for so long; return how right the tip is then."""
    rng = np.random.default_rng(seed)
    hand, field, fusion = MovingHand(rng), BentField(rng), TipFusion()
    events: list[tuple[float, ProjectionGeometry | None]] = [(at_s, None) for at_s in np.arange(0.0, seconds, _TOLD_S)]
    if views:
        seen_s = np.arange(0.3, seconds, _SEEN_S)
        events += [(at_s, views[number % len(views)]) for number, at_s in enumerate(seen_s)]
    told = np.zeros(3)
    for at_s, view in sorted(events, key=lambda one: one[0] + (_FOUND_S if one[1] is not None else 0.0)):
        at_ns, place = round(at_s * 1e9), hand.at(at_s)
        if view is None:
            told = field.told(place) + rng.normal(0.0, _JITTER_MM, 3)
            fusion.told(at_ns, told)
        else:
            # Student's t with 5 degrees of freedom, brought to the standard deviation.
            noise = _TIP_PX * rng.standard_t(5, 2) / np.sqrt(5.0 / 3.0)
            fusion.seen(at_ns, project_points(view, place) + noise, view, _TIP_PX)
    end_s = seconds - _TOLD_S
    found = fusion.at(round(end_s * 1e9))
    if found is None:
        raise ValueError("the filter told no tip at the end of a run")
    truth = hand.at(end_s)
    return FusedRun(found.place_mm - truth, found.covariance_mm2, told - truth)


def tracked_rows(score: Callable[..., Row], *, full: bool) -> list[Row]:
    """Return the rows of tracked tools; seeds from 500.

    Parameters
    ----------
    score
        Makes a row of (id, what, reference, tolerance, value, unit).
    full
        120 runs of everything, else 15.
    """
    runs = 120 if full else 15
    rows = []
    for key, views, words, median_mm in (
        ("biplane", (AP, LATERAL), "two views 90° apart by turns", 0.35),
        ("one_view", (AP,), "one view", 0.75),
    ):
        made = [fused_run(views, _FIRST_SEED + number) for number in range(runs)]
        error_mm = float(np.median([np.linalg.norm(one.error_mm) for one in made]))
        alone_mm = float(np.median([np.linalg.norm(one.tracker_error_mm) for one in made]))
        inside = float(np.mean([one.inside for one in made]))
        what = f"tracked tip fused with pictures, {words}"
        reference = f"truth; the tracker alone is off by {alone_mm:.2f} mm"
        rows.append(score(f"tracked.{key}", f"{what}: median error", reference, median_mm, error_mm, "mm"))
        missing = max(0.0, 0.95 - inside)
        rows.append(score(f"tracked.{key}.ellipsoid", f"{what}: short of 95 % inside", "truth", 0.05, missing, "1"))
    rows.append(_latency(score, runs))
    rows += _alarm(score, runs)
    return rows


def _latency(score: Callable[..., Row], runs: int) -> Row:
    """Return how far the estimated latency is from the true one in the median."""
    wrong_ms = []
    for number in range(runs):
        rng = np.random.default_rng(_FIRST_SEED + number)
        hand, late_s = MovingHand(rng), float(rng.uniform(0.0, 0.2))
        told_s, seen_s = np.arange(0.0, 8.0, _TOLD_S), np.arange(0.6, 7.0, _SEEN_S)
        told = project_points(AP, hand.at(told_s - late_s) + rng.normal(0.0, _JITTER_MM, (len(told_s), 3)))
        seen = project_points(AP, hand.at(seen_s)) + rng.normal(0.0, _TIP_PX, (len(seen_s), 2))
        found = estimate_latency((seen_s * 1e9).astype(np.int64), seen, (told_s * 1e9).astype(np.int64), told)
        wrong_ms.append(1000.0 * abs(found.seconds - late_s) if found.success else np.inf)
    what = "latency of a tracker by the needle's motion in 6 s, median error"
    reference = f"truth, 0 to 200 ms; the worst is off by {max(wrong_ms):.0f} ms"
    return score("tracked.latency", what, reference, 3.0, float(np.median(wrong_ms)), "ms")


def _alarm(score: Callable[..., Row], runs: int) -> list[Row]:
    """Return the shares of trackers off by 3 mm without an alarm, and of those off by 1 mm with one."""
    shares = [float(np.mean([_alarms(_FIRST_SEED + n, off_mm) for n in range(runs)])) for off_mm in (3.0, 1.0)]
    what = "alarm of a tracker that is off across the beam"
    return [
        score("tracked.alarm.missed", f"{what} by 3 mm: missed", "limit 2 mm", 0.0, 1.0 - shares[0], "1"),
        score("tracked.alarm.false", f"{what} by 1 mm: raised", "limit 2 mm", 0.0, shares[1], "1"),
    ]


def _alarms(seed: int, off_mm: float) -> bool:
    rng = np.random.default_rng(seed)
    hand, angle = MovingHand(rng), rng.uniform(0.0, 2.0 * np.pi)
    off = off_mm * np.array([np.cos(angle), 0.0, np.sin(angle)])
    equipment_from_tracker = translation((100.0, 50.0, -20.0)) @ rotation((1.0, 1.0, 0.0), 70.0)
    tool = TrackedTool("needle", TrackerSetup(equipment_from_tracker))
    for step in range(60):
        at_s = step * _TOLD_S
        tip = hand.at(at_s) + off + rng.normal(0.0, _JITTER_MM, 3)
        tool.take(inverse(equipment_from_tracker) @ translation(tip), 0, round(at_s * 1e9))
        if step % 3 == 2:
            seen = project_points(AP, hand.at(at_s)) + rng.normal(0.0, _TIP_PX, 2)
            tool.sight(round(at_s * 1e9), seen, AP, _TIP_PX)
    return tool.now(round(60 * _TOLD_S * 1e9)).alarm
