"""One tracked tool: its stream of poses, whether it may be believed, and whether the X-ray agrees."""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.projection import ProjectionGeometry
from fluoroscope.geometry.rigid import Matrix, apply
from fluoroscope.guidance.tracked.fusion import FusedTip, FusionSettings, TipFusion
from fluoroscope.guidance.tracked.latency import Latency, estimate_latency
from fluoroscope.guidance.tracked.poses import ClockAlignment, PoseTrack

__all__ = ["ToolReading", "ToolState", "TrackedTool", "TrackerSetup"]

Vector = NDArray[np.float64]

STALE_S = 0.25
LOST_S = 1.0
ALARM_MM = 2.0
ALARM_OVER_MM = 1.8
"""An alarm ends only below this, so that it does not flicker."""
_COMPARED = 5
"""The median of so many pictures is compared: one wrong tip raises no alarm."""
_FEWEST_COMPARED = 3
_COMPARED_S = 3.0
"""A needle is found up to a second after its picture on a slow computer; older ones compare what was."""
_PICTURES = 256
_MISSING = ("MISSING", "OUT_OF_VIEW", "OUT_OF_VOLUME", "REQ_TIMEOUT", "INVALID", "PATH_NOT_FOUND")


class ToolState(Enum):
    """What a tracked tool's stream is worth now."""

    NEVER = "never seen"
    TRACKED = "tracked"
    STALE = "stale"
    LOST = "tracker lost"
    OUT_OF_VOLUME = "out of volume"
    DISAGREES = "disagrees with the image"


@dataclass(frozen=True, slots=True)
class TrackerSetup:
    """What was found out about tool and tracker beforehand.

    Attributes
    ----------
    equipment_from_tracker
        Rigid (4, 4).
    tip_mm
        (3,) the tip in the tool's frame, by `calibrate_pivot`.
    latency_s, latency_sigma_s
        How late the tracker's times are, and how well that is known.
    volume_mm
        Corners (2, 3) of the tracker's working volume in its own frame; None when the tracker says it itself.
    """

    equipment_from_tracker: Matrix = field(default_factory=lambda: np.eye(4))
    tip_mm: Vector = field(default_factory=lambda: np.zeros(3))
    latency_s: float = 0.0
    latency_sigma_s: float = 0.01
    volume_mm: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class ToolReading:
    """A tracked tool at one moment.

    Attributes
    ----------
    state, reason
        What its stream is worth, and a sentence for the operator when it is not `TRACKED`.
    age_s
        Of the newest pose, latency counted; None before the first.
    tip_mm
        (3,) in the equipment frame by the tracker alone; None unless tracked or in disagreement.
    fused
        Tip of tracker and pictures; None unless tracked: where they disagree, nobody says which is right.
    difference_mm
        Between tracker and picture across the beam, median of the last pictures, latency taken off; None without
        pictures of the last 3 s. During an alarm that of the last pictures, however old.
    alarm
        Whether they differed by more than 2 mm when they were last compared.
    """

    state: ToolState
    reason: str
    age_s: float | None
    tip_mm: Vector | None
    fused: FusedTip | None
    difference_mm: float | None
    alarm: bool


class TrackedTool:
    """Takes poses and sightings of one tool in any order, and says where its tip is.

    Parameters
    ----------
    name
        As the tracker calls it.
    setup
        What was found out beforehand.
    settings
        Of the fusion.
    """

    def __init__(self, name: str, setup: TrackerSetup | None = None, settings: FusionSettings | None = None) -> None:
        self.name = name
        self.setup = setup if setup is not None else TrackerSetup()
        self.track = PoseTrack()
        self._clock = ClockAlignment()
        self._fusion = TipFusion(settings)
        self._said = ""
        self._inside = True
        self._seen: deque[tuple[int, Vector, ProjectionGeometry]] = deque(maxlen=_PICTURES)
        self._differences: deque[tuple[int, float]] = deque(maxlen=_COMPARED)
        self._waiting: deque[tuple[int, Vector, ProjectionGeometry, float]] = deque(maxlen=_PICTURES)
        self._alarm = False
        self._compared_mm = 0.0

    def take(self, pose: Matrix | None, sent_ns: int, received_ns: int, status: str = "") -> None:
        """Take a message of the tracker.

        Parameters
        ----------
        pose
            Rigid (4, 4), tracker from tool; None when it told none.
        sent_ns
            By the sender's clock, 0 when not said.
        received_ns
            Monotonic.
        status
            What it says of the tool ("OK", "OUT_OF_VOLUME", …; the words of PLUS); "" when nothing.
        """
        said = status.upper().removeprefix("TOOL_")
        self._said = said if said in _MISSING else ""
        if pose is None or self._said:
            self._said = self._said or "INVALID"
            return
        at_ns = self._clock.moment(sent_ns, received_ns) - round(self.setup.latency_s * 1e9)
        volume = self.setup.volume_mm
        place = pose[:3, 3]
        self._inside = volume is None or bool(np.all((place >= volume[0]) & (place <= volume[1])))
        if not self.track.add(at_ns, pose) or not self._inside:
            return
        tip = self._in_equipment(pose)
        self._fusion.told(at_ns, tip, self._noise(at_ns))
        self._compare_waiting()

    def sight(self, at_ns: int, tip_px: Vector, geometry: ProjectionGeometry, sigma_px: float) -> None:
        """Take the tip as it was found in a picture.

        Parameters
        ----------
        at_ns
            When the picture was taken, monotonic.
        tip_px
            (row, column).
        geometry
            Of the picture; its world is the equipment frame.
        sigma_px
            Standard deviation of each coordinate, pixels.
        """
        self._seen.append((at_ns, tip_px, geometry))
        self._waiting.append((at_ns, tip_px, geometry, sigma_px))
        self._compare_waiting()

    def now(self, now_ns: int) -> ToolReading:
        """Return what the tool's stream says at a moment."""
        newest_ns = self.track.newest_ns
        age_s = None if newest_ns is None else (now_ns - newest_ns) / 1e9
        state, reason = self._judge(age_s)
        newest = self.track.newest
        difference = self._compared_mm if state is ToolState.DISAGREES else self._difference(now_ns)
        believed = state in (ToolState.TRACKED, ToolState.DISAGREES)
        return ToolReading(
            state,
            reason,
            age_s,
            self._in_equipment(newest) if believed and newest is not None else None,
            self._fusion.at(now_ns) if state is ToolState.TRACKED else None,
            difference,
            state is ToolState.DISAGREES,
        )

    def latency(self) -> Latency:
        """Return how late the tracker still is against the pictures so far, by the motion both followed."""
        if not self._seen:
            return estimate_latency(np.zeros(0, np.int64), np.zeros((0, 2)), *self._told_px(None))
        geometry = self._seen[-1][2]
        # Pictures of the last view only: between views the same motion looks different.
        same = [one for one in self._seen if np.array_equal(one[2].pixel_from_world, geometry.pixel_from_world)]
        times = np.array([at_ns for at_ns, _, _ in same], dtype=np.int64)
        return estimate_latency(times, np.array([tip for _, tip, _ in same]), *self._told_px(geometry))

    # Inner works

    def _in_equipment(self, pose: Matrix) -> Vector:
        return apply(self.setup.equipment_from_tracker @ pose, self.setup.tip_mm)

    def _told_px(self, geometry: ProjectionGeometry | None) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        times, places = self.track.points(self.setup.tip_mm)
        if geometry is None or not len(times):
            return times, np.zeros((len(times), 2))
        seen = apply(self.setup.equipment_from_tracker, places) @ geometry.pixel_from_world[:, :3].T
        seen = seen + geometry.pixel_from_world[:, 3]
        return times, seen[:, :2] / seen[:, 2:]

    def _noise(self, at_ns: int) -> NDArray[np.float64]:
        """Return the covariance of a told tip: jitter, and a latency that is known to ± σ only."""
        fused = self._fusion.at(at_ns)
        speed = np.zeros(3) if fused is None else fused.velocity_mm_s
        jitter = self._fusion.settings.tool_sigma_mm**2 * np.eye(3)
        return np.asarray(jitter + np.outer(speed, speed) * self.setup.latency_sigma_s**2)

    def _compare_waiting(self) -> None:
        """Compare pictures with the tracker as soon as there is a pose after them."""
        newest_ns = self.track.newest_ns
        while self._waiting and newest_ns is not None and self._waiting[0][0] <= newest_ns:
            at_ns, tip_px, geometry, sigma_px = self._waiting.popleft()
            pose = self.track.at(at_ns)
            if pose is None:
                continue
            told = self._in_equipment(pose)
            self._differences.append((at_ns, _across_mm(told, tip_px, geometry)))
            difference = self._difference(at_ns)
            if difference is not None:
                self._compared_mm = difference
                self._alarm = difference > (ALARM_OVER_MM if self._alarm else ALARM_MM)
            if not self._alarm:
                self._fusion.seen(at_ns, tip_px, geometry, sigma_px)

    def _difference(self, now_ns: int) -> float | None:
        fresh = [one for at_ns, one in self._differences if now_ns - at_ns <= _COMPARED_S * 1e9]
        return float(np.median(fresh)) if len(fresh) >= _FEWEST_COMPARED else None

    def _judge(self, age_s: float | None) -> tuple[ToolState, str]:
        name = self.name
        if age_s is None:
            return ToolState.NEVER, f"{name}: the tracker has not told it yet" + (f" ({self._said})" * bool(self._said))
        if age_s > LOST_S:
            return ToolState.LOST, f"tracker lost: no pose of {name} for {age_s:.1f} s"
        if self._said == "OUT_OF_VOLUME" or not self._inside:
            return ToolState.OUT_OF_VOLUME, f"{name} is out of the tracker's volume"
        if self._said:
            return ToolState.LOST, f"tracker lost: it does not see {name} ({self._said.lower().replace('_', ' ')})"
        if age_s > STALE_S + max(self.setup.latency_s, 0.0):
            return ToolState.STALE, f"{name}: its pose is {age_s * 1000.0:.0f} ms old"
        if self._alarm:
            # It stays until pictures agree again: with X-ray off nothing has become better.
            told = f"tracker and X-ray differ by {self._compared_mm:.1f} mm: check registration and needle"
            told += ", believe neither alone"
            return ToolState.DISAGREES, told
        return ToolState.TRACKED, ""


def _across_mm(place_mm: Vector, tip_px: Vector, geometry: ProjectionGeometry) -> float:
    """Return how far a place lies from the ray of a pixel, mm."""
    ray = geometry.direction_from_pixel @ np.append(tip_px, 1.0)
    ray = ray / np.linalg.norm(ray)
    away = place_mm - geometry.source_mm
    return float(np.linalg.norm(away - (away @ ray) * ray))
