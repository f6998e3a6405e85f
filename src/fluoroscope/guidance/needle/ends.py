"""Where a shaft ends: its contrast along the way, and the edge of it between the pixels.

The contrast at each point is a least-squares fit of a bell of the shaft's width on a sloping background. It falls to
nothing at the tip: over the length of the bevel or cone, which is known only roughly, so the edge is fitted as a ramp
of unknown length that is expected to be about two diameters (bevels and pencil points of the catalogue).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.guidance.needle.shafts import REACH_PX, Shaft

__all__ = ["Edge", "Profile", "edge_of", "profile_of"]

F64 = NDArray[np.float64]
SIGMAS_PX = (0.8, 1.0, 1.25, 1.6, 2.0, 2.6, 3.3, 4.2, 5.3)
RUN_PX = 120
"""How much of the shaft before an end tells its contrast."""
BLUR_PX = 0.75
"""Of the detector, sigma; what is left is the shaft's own width."""
RAMP_DIAMETERS = 2.0


@dataclass(frozen=True, slots=True)
class Profile:
    """The contrast along a shaft.

    Attributes
    ----------
    contrast
        (n,) nepers at each point of the path; NaN where not valid.
    noise
        Standard deviation of one value, from the same filter beside the shaft.
    sigma_px
        Of the bell.
    level
        (n,) mean of the picture beside the shaft, nepers.
    lopsided
        Step between the two sides over the contrast, mean along the shaft.
    """

    contrast: F64
    noise: float
    sigma_px: float
    level: F64
    lopsided: float

    @property
    def diameter_px(self) -> float:
        """The shaft's width, the detector's blur taken off."""
        # A round bar's chord has a standard deviation of a quarter of its diameter.
        return max(1.0, 4.0 * float(np.sqrt(max(self.sigma_px**2 - BLUR_PX**2, 0.0))))


@dataclass(frozen=True, slots=True)
class Edge:
    """One end of a shaft.

    Attributes
    ----------
    at
        Index along the path where the contrast has fallen to nothing.
    sigma_px
        Standard deviation of it.
    before
        Contrast of the shaft before its end, nepers.
    drop_z
        How far the contrast before and behind differ, standard deviations.
    leaves
        Whether the shaft runs out of the valid field here.
    level
        Of the background around the end, nepers.
    behind
        Contrast left behind the edge, share of that before.
    """

    at: float
    sigma_px: float
    before: float
    drop_z: float
    leaves: bool
    level: float
    behind: float


def profile_of(shaft: Shaft) -> Profile:
    """Return the contrast along a shaft."""
    seen = slice(shaft.first, shaft.last + 1)
    mean = np.median(shaft.across[seen], axis=0).astype(np.float64)
    best, chosen = -np.inf, SIGMAS_PX[0]
    for sigma in SIGMAS_PX:
        taps, reach = _taps(sigma)
        middle = mean[REACH_PX - reach : REACH_PX + reach + 1]
        amplitude = float(taps @ middle)
        # Explained sum of squares over the same pixels for every width.
        wave = _bell(sigma)
        residual = mean - amplitude * wave
        line = np.polynomial.Polynomial.fit(_Y, residual, 3, w=_WINDOW)
        left = float(np.sum(_WINDOW * (residual - line(_Y)) ** 2))
        if -left > best:
            best, chosen = -left, sigma
    taps, reach = _taps(chosen)
    across = shaft.across.astype(np.float64)
    window = np.lib.stride_tricks.sliding_window_view(across, 2 * reach + 1, axis=1) @ taps
    middle = window.shape[1] // 2
    inside = shaft.inside[:, REACH_PX - reach : REACH_PX + reach + 1].min(axis=1) > 0.5
    contrast = np.where(inside, window[:, middle], np.nan)
    lanes = [k for k in range(window.shape[1]) if abs(k - middle) >= min(reach, middle)]
    whole = shaft.inside.min(axis=1) > 0.5
    aside = window[whole][:, lanes]
    noise = 1.4826 * float(np.median(np.abs(aside - np.median(aside, axis=0)))) if whole.any() else np.inf
    far = np.abs(_Y) > 3.0 * chosen + 2.0
    if not far.any():
        far = np.abs(_Y) > REACH_PX - 4
    level = across[:, far].mean(axis=1)
    left, right = across[seen][:, far & (_Y < 0)].mean(), across[seen][:, far & (_Y > 0)].mean()
    typical = float(np.nanmedian(contrast[seen])) if inside[seen].any() else 0.0
    lopsided = abs(float(left - right)) / max(typical, 1e-6)
    return Profile(contrast, max(noise, 1e-6), chosen, level, lopsided)


_Y = np.arange(-REACH_PX, REACH_PX + 1, dtype=np.float64)
_WINDOW = np.exp(-0.5 * (_Y / 9.0) ** 2)


def _bell(sigma: float) -> F64:
    return np.asarray(np.exp(-0.5 * (_Y / sigma) ** 2))


def _taps(sigma: float) -> tuple[F64, int]:
    """Return the filter that gives the bell's height on a straight slope, and its reach."""
    reach = min(REACH_PX - 2, int(np.ceil(2.5 * sigma + 4.0)))
    y = np.arange(-reach, reach + 1, dtype=np.float64)
    bell = np.exp(-0.5 * (y / sigma) ** 2)
    design = np.stack([bell, np.ones_like(y), y], axis=1)
    return np.linalg.pinv(design)[0], reach


def edge_of(profile: Profile, shaft: Shaft, at_end: bool) -> Edge:
    """Return the shaft's end at the path's end, or at its beginning."""
    contrast = profile.contrast if at_end else profile.contrast[::-1]
    level = profile.level if at_end else profile.level[::-1]
    count = len(contrast)
    last = shaft.last if at_end else count - 1 - shaft.first
    first = shaft.first if at_end else count - 1 - shaft.last
    valid = np.isfinite(contrast)
    run = slice(max(first, last - RUN_PX), max(first + 6, last - 8))
    before = float(np.median(contrast[run][valid[run]])) if valid[run].any() else 0.0
    stop = int(np.flatnonzero(valid)[-1]) + 1 if valid.any() else 0
    if before <= 0.0 or stop < first + 8:
        return Edge(float(last), 99.0, max(before, 0.0), 0.0, True, 0.0, 1.0)
    begin = max(first, last - RUN_PX)
    used = np.nan_to_num(contrast[begin:stop], nan=0.0)
    step = _cusum(used, before)
    place = begin + step
    leaves = (stop < count and stop - place < 6) or place >= count - 3
    at, sigma = _ramp(contrast, begin, stop, place, before, profile)
    tail = _finite(contrast[place + 3 : min(stop, place + 33)])
    behind = float(np.mean(tail) / before) if len(tail) >= 6 else 1.0
    head = _finite(contrast[max(begin, place - 40) : max(begin + 1, place - 3)])
    length = min(len(head), len(tail))
    drop = float(np.mean(head) - np.mean(tail)) if length >= 6 else 0.0
    drop_z = drop / profile.noise * float(np.sqrt(max(length, 1) / 2.0 / CORRELATED_PX))
    around = slice(max(0, place - 20), min(count, place + 20))
    where = float(np.mean(level[around]))
    index = at if at_end else count - 1 - at
    return Edge(index, sigma, before, drop_z, bool(leaves), where, behind)


def _finite(values: F64) -> F64:
    return values[np.isfinite(values)]


CORRELATED_PX = 2.0
"""Neighbouring values of the contrast share their noise over so many pixels."""


def _cusum(values: F64, before: float) -> int:
    """Return after how many values the contrast most likely ends."""
    # Bone beside a shaft must not outweigh the rest: each value counts at most as one with the full contrast.
    gain = np.clip(values / before - 0.5, -1.0, 0.75)
    total = np.concatenate([[0.0], np.cumsum(gain)])
    return int(total.argmax())


def _ramp(contrast: F64, begin: int, stop: int, place: int, before: float, profile: Profile) -> tuple[float, float]:
    """Return the foot of the ramp that fits best around ``place``, and its standard deviation."""
    diameter = profile.diameter_px
    reach = int(12 + 3.0 * diameter)
    low, high = max(begin, place - reach - 12), min(stop, place + reach)
    s = np.arange(low, high, dtype=np.float64)
    values = contrast[low:high]
    good = np.isfinite(values)
    if good.sum() < 8:
        return float(place), 99.0
    s, values = s[good], values[good]
    sigma2 = profile.noise**2 * CORRELATED_PX
    feet = np.arange(place - reach, place + reach, 0.25)
    lengths = np.array([0.5, 1.0, 1.5, 2.0, 2.5, 3.0]) * diameter
    cost = np.empty((len(lengths), len(feet)))
    for n, length in enumerate(lengths):
        model = before * _blurred((feet[:, None] - s) / length, BLUR_PX / length)
        cost[n] = ((values - model) ** 2).sum(axis=1) / sigma2 / 2.0
        cost[n] += 0.5 * ((length / diameter - RAMP_DIAMETERS) / 0.6) ** 2
    chance = np.exp(-(cost - cost.min()))
    foot = chance.sum(axis=0)
    foot /= foot.sum()
    mean = float(foot @ feet)
    return mean, float(np.sqrt(foot @ (feet - mean) ** 2 + 0.05))


def _blurred(x: F64, blur: float) -> F64:
    """Return a ramp from 0 at x = 0 to 1 at x = 1, its corners rounded by about ``blur``."""
    soft = max(blur, 1e-3)

    def foot(t: F64) -> F64:
        # The integral of a logistic step.
        return np.asarray(soft * np.logaddexp(0.0, t / soft))

    return foot(x) - foot(x - 1.0)
