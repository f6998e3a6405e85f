"""Needles over a run: each keeps its number, its motion is foreseen, it is lost after five pictures without it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fluoroscope.guidance.needle.detection import DetectedNeedle, check_picture, detect_needles

__all__ = ["NeedleTracker"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

LOST_AFTER = 5
NOISE_PX, SHAKE_PX_S2, LONGEST_GAP_S = 0.7, 60.0, 2.0
GATE_SIGMAS, GATE_PX, GATE_DEG = 3.0, 12.0, 15.0
SAME_LINE_PX, LEAP_OF_LENGTH = 6.0, 0.5
"""A needle pushed on between two pulses stays on its line; its tip may leap by this share of what is seen of it."""
FADE = 0.75
"""Factor on the confidence for every picture without the needle."""


@dataclass(slots=True)
class _Track:
    """One instrument: state (row, column, row/s, column/s) and its covariance, what was last seen, misses so far."""

    number: int
    state: F64
    covariance: F64
    last: DetectedNeedle
    time_s: float
    misses: int = 0
    hits: int = 1

    def foresee(self, time_s: float) -> tuple[F64, F64]:
        """Return state and covariance at a time."""
        step = float(np.clip(time_s - self.time_s, 0.0, LONGEST_GAP_S))
        move = np.eye(4)
        move[0, 2] = move[1, 3] = step
        push = np.array([[step**4 / 4, step**3 / 2], [step**3 / 2, step**2]]) * SHAKE_PX_S2**2
        noise = np.zeros((4, 4))
        for axis in (0, 1):
            noise[np.ix_([axis, axis + 2], [axis, axis + 2])] = push
        return move @ self.state, move @ self.covariance @ move.T + noise

    def take(self, seen: DetectedNeedle, time_s: float) -> DetectedNeedle:
        """Update with what was seen, and return it with the filtered tip."""
        measured = _tip_covariance(seen)
        state, covariance = self.foresee(time_s)
        if not _within_gate(np.array(seen.tip_px) - state[:2], covariance[:2, :2] + measured):
            # It was pushed or pulled in one go: what was known of its speed does not hold.
            state, covariance = _at_rest(seen)
        look = np.eye(2, 4)
        gain = covariance @ look.T @ np.linalg.inv(look @ covariance @ look.T + measured)
        self.state = state + gain @ (np.array(seen.tip_px) - state[:2])
        self.covariance = (np.eye(4) - gain @ look) @ covariance
        self.time_s, self.misses, self.hits = time_s, 0, self.hits + 1
        tip = (float(self.state[0]), float(self.state[1]))
        self.last = replace(seen, tip_px=tip, track=self.number)
        return self.last


class NeedleTracker:
    """Follows needles from picture to picture. Quick to make; one for each source, not shared.

    Parameters
    ----------
    pitch_mm
        Of the pixels at the detector, where known.
    least_confidence
        From which on something new gets a number.
    """

    def __init__(self, *, pitch_mm: float | None = None, least_confidence: float = 0.5) -> None:
        self._pitch_mm, self._least = pitch_mm, least_confidence
        self._tracks: list[_Track] = []
        self._next = 1
        self._shape: tuple[int, ...] = ()

    def reset(self) -> None:
        """Forget everything: the C-arm has moved."""
        self._tracks = []

    def update(self, attenuation: F32, valid: NDArray[np.bool_], time_s: float) -> tuple[DetectedNeedle, ...]:
        """Return the needles of a new picture, each with its number; missed ones where they should be, ``seen`` False.

        Parameters
        ----------
        attenuation, valid
            As `detect_needles` takes them.
        time_s
            When it was taken; pictures come in order.

        Raises
        ------
        ValueError
            For arrays of wrong shape or type.
        """
        check_picture(attenuation, valid)
        if attenuation.shape != self._shape:
            self._shape = attenuation.shape
            self.reset()
        found = detect_needles(
            attenuation, valid, pitch_mm=self._pitch_mm, previous=[track.last for track in self._tracks]
        )
        return self._joined(found, time_s)

    def _joined(self, found: Sequence[DetectedNeedle], time_s: float) -> tuple[DetectedNeedle, ...]:
        pairs = []
        for t, track in enumerate(self._tracks):
            state, covariance = track.foresee(time_s)
            for n, seen in enumerate(found):
                distance = _distance(track, seen, state, covariance)
                if distance is not None:
                    pairs.append((distance, t, n))
        told: list[DetectedNeedle] = []
        used_tracks: set[int] = set()
        used: set[int] = set()
        for _, t, n in sorted(pairs):
            if t not in used_tracks and n not in used:
                used_tracks.add(t)
                used.add(n)
                told.append(self._tracks[t].take(found[n], time_s))
        told += self._missed(used_tracks, time_s)
        for n, seen in enumerate(found):
            if n not in used and seen.confidence >= self._least:
                told.append(self._begin(seen, time_s))
        return tuple(sorted(told, key=lambda one: -one.confidence))

    def _missed(self, used: set[int], time_s: float) -> list[DetectedNeedle]:
        told, kept = [], []
        for t, track in enumerate(self._tracks):
            if t not in used:
                track.misses += 1
                if track.misses > LOST_AFTER:
                    continue
                faded = replace(track.last, confidence=track.last.confidence * FADE, seen=False)
                track.last = faded
                told.append(faded)
            kept.append(track)
        self._tracks = kept
        return told

    def _begin(self, seen: DetectedNeedle, time_s: float) -> DetectedNeedle:
        state, covariance = _at_rest(seen)
        track = _Track(self._next, state, covariance, replace(seen, track=self._next), time_s)
        self._next += 1
        self._tracks.append(track)
        return track.last


def _at_rest(seen: DetectedNeedle) -> tuple[F64, F64]:
    """Return the state and covariance of a tip of which nothing was known before."""
    covariance = np.zeros((4, 4))
    covariance[:2, :2] = _tip_covariance(seen)
    covariance[2, 2] = covariance[3, 3] = 40.0**2
    return np.array([*seen.tip_px, 0.0, 0.0]), covariance


def _within_gate(off: F64, spread: F64) -> bool:
    return float(off @ np.linalg.solve(spread, off)) <= GATE_SIGMAS**2 or float(np.hypot(*off)) <= GATE_PX


def _leapt(track: _Track, seen: DetectedNeedle, off: F64) -> bool:
    """Whether a straight needle is seen farther on, or less far, along the line it was on."""
    if seen.angle_deg is None or track.last.angle_deg is None or seen.curved or track.last.curved:
        return False
    angle = np.deg2rad(seen.angle_deg)
    along = abs(float(off @ (np.sin(angle), np.cos(angle))))
    across = abs(float(off @ (np.cos(angle), -np.sin(angle))))
    ends = np.asarray(seen.centreline_px)
    return across <= SAME_LINE_PX and along <= LEAP_OF_LENGTH * float(np.hypot(*(ends[-1] - ends[0])))


def _tip_covariance(seen: DetectedNeedle) -> F64:
    """Return the covariance of a tip: along the shaft as told, across it a fraction of a pixel."""
    angle = np.deg2rad(seen.angle_deg or 0.0)
    along = np.array([np.sin(angle), np.cos(angle)])
    across = np.array([along[1], -along[0]])
    return np.asarray(
        np.outer(along, along) * max(seen.tip_sigma_px, NOISE_PX) ** 2 + np.outer(across, across) * NOISE_PX**2
    )


def _distance(track: _Track, seen: DetectedNeedle, state: F64, covariance: F64) -> float | None:
    """Return how far a detection lies from where a track should be, or None beyond the gate."""
    off = np.array(seen.tip_px) - state[:2]
    spread = covariance[:2, :2] + _tip_covariance(seen)
    squared = float(off @ np.linalg.solve(spread, off))
    if not _within_gate(off, spread) and not _leapt(track, seen, off):
        return None
    if track.last.angle_deg is not None and seen.angle_deg is not None and not (seen.curved or track.last.curved):
        turned = abs((seen.angle_deg - track.last.angle_deg + 180.0) % 360.0 - 180.0)
        if turned > GATE_DEG:
            return None
    return squared
