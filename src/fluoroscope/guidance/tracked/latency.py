"""How much later a tool is told than it is seen: from a motion that both the tracker and the X-ray followed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Latency", "estimate_latency"]

Signal = NDArray[np.float64]

_STEP_S = 0.005
_SMOOTH_S = 0.04
_FEWEST = 20
_LEAST_CORRELATION = 0.8
_LARGEST_SIGMA_S = 0.02


@dataclass(frozen=True, slots=True)
class Latency:
    """By how much the tracker's times are late against the pictures'.

    Attributes
    ----------
    seconds
        A pose told for time t was so at t − seconds; negative when the pictures are the later ones.
    sigma_s
        Standard error, from the noise of both and the speed of the motion.
    correlation
        Of the two motions at this shift, −1 to 1.
    success, reason
        Whether it may be used; a sentence when not.
    """

    seconds: float
    sigma_s: float
    correlation: float
    success: bool
    reason: str = ""


def estimate_latency(
    seen_ns: NDArray[np.int64],
    seen: Signal,
    told_ns: NDArray[np.int64],
    told: Signal,
    longest_s: float = 0.5,
) -> Latency:
    """Return the latency that makes two recordings of one motion agree best: the peak of their cross-correlation.

    Both are taken about their means, so a constant offset (a registration that is off) does not matter. The peak is
    found in steps of 5 ms and refined by the parabola through its neighbours.

    Parameters
    ----------
    seen_ns, seen
        (n,) times and (n, k) places of the tip in pictures: mm or pixels, any k from 1.
    told_ns, told
        (m,) times, rising, and (m, k) places of the tip by the tracker, in the same k coordinates (such as projected
        onto the picture).
    longest_s
        Latencies to ± this are tried.
    """
    if len(seen_ns) < _FEWEST or len(told_ns) < _FEWEST:
        return _none(f"too few places to compare: {len(seen_ns)} seen, {len(told_ns)} told, {_FEWEST} are needed")
    shifts = np.arange(-longest_s, longest_s + 0.5 * _STEP_S, _STEP_S)
    first_ns = int(told_ns[0])
    at_s, told_s = (seen_ns - first_ns) / 1e9, (told_ns - first_ns) / 1e9
    # Only pictures that are covered at every shift, so that all shifts compare the same ones.
    covered = (at_s - longest_s >= 0.0) & (at_s + longest_s <= told_s[-1])
    if np.count_nonzero(covered) < _FEWEST:
        return _none(f"tracker and pictures overlap too little: {np.count_nonzero(covered)} pictures are covered")
    at_s, wanted = at_s[covered], seen[covered] - seen[covered].mean(axis=0)
    motion = _Motion.of(told_s, told)
    found = np.array([_correlation(wanted, motion.at(at_s + shift)) for shift in shifts])
    best = int(np.argmax(found))
    if best in (0, len(shifts) - 1):
        return _none(f"the motions agree best at the end of what was tried, {shifts[best]:+.2f} s", found[best])
    seconds = float(shifts[best] + _STEP_S * _peak(found[best - 1 : best + 2]))
    sigma_s = _sigma_s(at_s + seconds, motion, wanted)
    if found[best] < _LEAST_CORRELATION:
        return _none("the tracker and the pictures do not follow the same motion", found[best], seconds, sigma_s)
    if sigma_s > _LARGEST_SIGMA_S:
        return _none("the needle moved too little to tell the latency", found[best], seconds, sigma_s)
    return Latency(seconds, sigma_s, float(found[best]), True)


def _none(reason: str, correlation: float = 0.0, seconds: float = 0.0, sigma_s: float = np.inf) -> Latency:
    return Latency(seconds, sigma_s, float(correlation), False, reason)


@dataclass(frozen=True, slots=True)
class _Motion:
    """What the tracker told, smoothed: its steps every 5 ms, and the noise that was taken out.

    Between two poses linear interpolation would halve the noise and so draw the peak there: its ripple of half a pose
    interval is larger than what is looked for.
    """

    grid_s: Signal
    places: Signal
    noise: float
    rate_hz: float

    @classmethod
    def of(cls, told_s: Signal, told: Signal) -> "_Motion":
        grid_s = np.arange(0.0, told_s[-1] + _STEP_S, _STEP_S)
        reach = round(4.0 * _SMOOTH_S / _STEP_S)
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * _STEP_S / _SMOOTH_S) ** 2)
        plain = _interpolated(grid_s, told_s, told)
        padded = np.pad(plain, ((reach, reach), (0, 0)), mode="edge")
        places = np.stack([np.convolve(one, kernel / kernel.sum(), mode="valid") for one in padded.T], axis=1)
        left = told - _interpolated(told_s, grid_s, places)
        return cls(grid_s, places, float((left**2).mean()), len(told_s) / max(float(told_s[-1]), _STEP_S))

    def at(self, at_s: Signal) -> Signal:
        return _interpolated(at_s, self.grid_s, self.places)


def _interpolated(at_s: Signal, known_s: Signal, known: Signal) -> Signal:
    return np.stack([np.interp(at_s, known_s, known[:, axis]) for axis in range(known.shape[1])], axis=1)


def _correlation(wanted: Signal, moved: Signal) -> float:
    moved = moved - moved.mean(axis=0)
    size = float(np.linalg.norm(wanted) * np.linalg.norm(moved))
    return float((wanted * moved).sum()) / size if size > 0.0 else 0.0


def _peak(three: Signal) -> float:
    """Return where the parabola through three values at −1, 0, 1 is highest."""
    before, here, after = three
    bend = before - 2.0 * here + after
    return 0.0 if bend >= 0.0 else float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5))


def _sigma_s(at_s: Signal, motion: _Motion, wanted: Signal) -> float:
    """Return the standard error of a shift in time: noise of both over the root of the summed squared speeds."""
    here = motion.at(at_s)
    here = here - here.mean(axis=0)
    speed = (motion.at(at_s + _STEP_S) - motion.at(at_s - _STEP_S)) / (2.0 * _STEP_S)
    # A motion of another size (magnification) is no noise.
    scale = float((wanted * here).sum() / max(float((here**2).sum()), 1e-12))
    seen_noise = float(((wanted - scale * here) ** 2).mean())
    # The tracker's noise is averaged over as many poses as lie between two pictures.
    pictures_hz = len(at_s) / max(float(at_s[-1] - at_s[0]), _STEP_S)
    told_noise = scale**2 * motion.noise * pictures_hz / motion.rate_hz
    energy = scale**2 * float((speed**2).sum())
    return float(np.sqrt((seen_noise + told_noise) / energy)) if energy > 0.0 else np.inf
