"""Where a shaft ends: its contrast along the way, and the edge of it between the pixels.

The contrast at each point is a least-squares fit of a bell of the shaft's width on a sloping background. It falls to
nothing at the tip: over the length of the bevel or cone, which is known only roughly, so the edge is fitted as a ramp
of unknown length that is expected to be a little under two diameters (bevels and pencil points of the catalogue).
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fluoroscope.guidance.needle.shaft_kernels import contrast_across, foot_chances, resampled, terminal_bend
from fluoroscope.guidance.needle.shafts import BEYOND_PX, REACH_PX, Shaft, Y, laid_out

__all__ = ["Edge", "Profile", "edge_of", "profile_of", "with_bent_end"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
SIGMAS_PX = (0.8, 1.0, 1.25, 1.6, 2.0, 2.6, 3.3, 4.2, 5.3)
RUN_PX = 120
"""How much of the shaft before an end tells its contrast."""
BLUR_PX = 0.75
"""Of the detector, sigma; what is left is the shaft's own width."""
SPREAD_FACTOR = 1.4
"""What bone and unlike tips add to the spread that noise gives; measured on tuning cases."""
DIAMETER_SIGMAS = 3.0
"""The bell nearest to the shadow of a round bar has a sigma of a third of its diameter."""
RAMP_DIAMETERS, RAMP_SPREAD = 1.7, 0.6
RAMPS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
PER_PX = 4
EDGE_PX = 10
"""A tip nearer to the edge of the field than this may as well lie outside."""
CORRELATED_PX = 2.0
"""Neighbouring values of the contrast share their noise over so many pixels."""
BENDS_PER_PX = np.array(
    [0.0, *(sign * bend for bend in (0.0012, 0.0018, 0.0026, 0.0036, 0.005, 0.007, 0.01, 0.015) for sign in (1, -1))]
)
BEND_COST, BEND_COST_OF_NOISE = 2.0, 3.0
"""Points of full contrast that a bent tip must show more than a straight one; the second over contrast to noise."""
LEAST_BEND_CNR = 0.6
_WINDOW = np.exp(-0.5 * (Y / 9.0) ** 2)


@dataclass(frozen=True, slots=True)
class Profile:
    """The contrast along a shaft.

    Attributes
    ----------
    contrast
        (n,) nepers at each point of the path; NaN where not valid.
    lanes, good
        (n, k) the same beside it, the path in the middle, and whether each is valid.
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
    lanes: F64
    good: NDArray[np.bool_]
    noise: float
    sigma_px: float
    level: F64
    lopsided: float

    @property
    def diameter_px(self) -> float:
        """The shaft's width, the detector's blur taken off."""
        return max(1.0, DIAMETER_SIGMAS * float(np.sqrt(max(self.sigma_px**2 - BLUR_PX**2, 0.0))))


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
    step = max(1, (shaft.last - shaft.first) // 128)
    mean = np.median(shaft.across[seen][::step], axis=0).astype(np.float64)
    sigma = _width(mean)
    taps, reach = _taps(sigma)
    lanes = np.empty((len(shaft.path), 2 * (REACH_PX - reach) + 1))
    good = np.empty(lanes.shape, np.bool_)
    contrast_across(shaft.across, shaft.inside, taps, lanes, good)
    middle = lanes.shape[1] // 2
    contrast = np.where(good[:, middle], lanes[:, middle], np.nan)
    aside = [k for k in range(lanes.shape[1]) if abs(k - middle) >= min(reach, middle)]
    beside = lanes[seen][:, aside][good[seen][:, aside]]
    noise = 1.4826 * float(np.median(np.abs(beside - np.median(beside)))) if len(beside) else np.inf
    far = np.abs(Y) > min(3.0 * sigma + 2.0, REACH_PX - 4.0)
    level = shaft.across[:, far].mean(axis=1).astype(np.float64)
    side = shaft.across[seen][:, far].mean(axis=0)
    half = len(side) // 2
    typical = float(np.median(lanes[seen, middle]))
    lopsided = abs(float(side[:half].mean() - side[half:].mean())) / max(typical, 1e-6)
    return Profile(contrast, lanes, good, max(noise, 1e-6), sigma, level, lopsided)


def _width(mean: F64) -> float:
    """Return the bell whose fit on a smooth background leaves least of a mean profile."""
    costs = [
        float(np.sum((_WINDOW * mean - design @ (inverse @ (_WINDOW * mean))) ** 2)) for design, inverse in _fits()
    ]
    return SIGMAS_PX[int(np.argmin(costs))]


@lru_cache(maxsize=1)
def _fits() -> list[tuple[F64, F64]]:
    """Return the weighted design and its inverse for each width: a bell and a cubic background."""
    found = []
    for sigma in SIGMAS_PX:
        u = Y / REACH_PX
        design = _WINDOW[:, None] * np.stack([np.exp(-0.5 * (Y / sigma) ** 2), u**0, u, u**2, u**3], axis=1)
        found.append((design, np.linalg.pinv(design)))
    return found


@lru_cache(maxsize=len(SIGMAS_PX))
def _taps(sigma: float) -> tuple[F64, int]:
    """Return the filter that gives the bell's height on a straight slope, and its reach."""
    reach = min(REACH_PX - 2, int(np.ceil(2.5 * sigma + 4.0)))
    y = np.arange(-reach, reach + 1, dtype=np.float64)
    bell = np.exp(-0.5 * (y / sigma) ** 2)
    design = np.stack([bell, np.ones_like(y), y], axis=1)
    return np.ascontiguousarray(np.linalg.pinv(design)[0]), reach


def with_bent_end(
    attenuation: F32, valid: NDArray[np.bool_], shaft: Shaft, profile: Profile, at_end: bool
) -> Shaft | None:
    """Return the shaft with its last millimetres bent, when the picture shows that clearly; else None."""
    before = _before(profile, shaft, at_end)
    if before < LEAST_BEND_CNR * profile.noise:
        return None
    lanes, good = (profile.lanes, profile.good) if at_end else (profile.lanes[::-1, ::-1], profile.good[::-1, ::-1])
    first, last = _span(shaft, len(lanes), at_end)
    onsets = np.arange(max(first + 20, last - 96), last + 1, 6)
    if not len(onsets):
        return None
    cost = BEND_COST + BEND_COST_OF_NOISE * profile.noise / before
    onset, bend, stop = terminal_bend(
        np.ascontiguousarray(lanes), np.ascontiguousarray(good), before, last, onsets, BENDS_PER_PX, cost
    )
    if bend == 0.0 or stop <= onset + 6 or onset < first + 20:
        return None
    path = shaft.path if at_end else shaft.path[::-1]
    begin = path[onset]
    way = path[onset] - path[max(0, onset - 12)]
    way = way / np.hypot(*way)
    side = np.array([-way[1], way[0]])
    u = np.arange(1.0, stop - onset + 1.0)
    arc = begin + u[:, None] * way + (0.5 * bend * u**2)[:, None] * side
    end_way = way + bend * u[-1] * side
    tail = arc[-1] + np.arange(1.0, BEYOND_PX + 1.0)[:, None] * end_way / np.hypot(*end_way)
    bent = resampled(np.concatenate([path[: onset + 1], arc, tail]))
    if not at_end:
        bent = bent[::-1].copy()
    across, inside = laid_out(attenuation, valid, bent)
    seen = len(bent) - 1 - BEYOND_PX
    if at_end:
        return replace(shaft, path=bent, across=across, inside=inside, last=seen)
    return replace(
        shaft, path=bent, across=across, inside=inside, first=BEYOND_PX, last=len(bent) - len(path) + shaft.last
    )


def _span(shaft: Shaft, count: int, at_end: bool) -> tuple[int, int]:
    """Return the indices between which the shaft was seen, counted toward the end in question."""
    return (shaft.first, shaft.last) if at_end else (count - 1 - shaft.last, count - 1 - shaft.first)


def _before(profile: Profile, shaft: Shaft, at_end: bool) -> float:
    """Return the contrast of the shaft before its end, steadied by that of the whole where it is noise."""
    contrast = profile.contrast if at_end else profile.contrast[::-1]
    first, last = _span(shaft, len(contrast), at_end)
    whole = _finite(contrast[first : last + 1])
    if len(whole) < 8:
        return 0.0
    runs = whole[: len(whole) // 8 * 8].reshape(-1, 8).mean(axis=1)
    # What was followed too far counts for little: the mean of the better half.
    typical = float(np.mean(runs[runs >= np.median(runs)])) - 0.8 * profile.noise * float(np.sqrt(CORRELATED_PX / 8.0))
    if typical <= 0.0:
        return 0.0
    place = first + _cusum_from(contrast, first, last, typical)
    run = _finite(contrast[max(first, place - RUN_PX) : max(first + 6, place - 8)])
    if not len(run):
        return typical
    near = _middle_mean(run)
    spread = profile.noise * float(np.sqrt(CORRELATED_PX / len(run)))
    trust = near**2 / (near**2 + (2.0 * spread) ** 2) if near > 0.0 else 0.0
    return trust * near + (1.0 - trust) * typical


def _cusum_from(contrast: F64, first: int, last: int, before: float) -> int:
    """Return how far after ``first`` the shaft ends, its first half taken for granted."""
    middle = (first + last) // 2
    return middle - first + _cusum(np.nan_to_num(contrast[middle : last + 1], nan=0.0), before)


def _middle_mean(values: F64) -> float:
    """Return the mean without the outer tenths."""
    ordered = np.sort(values)
    cut = len(ordered) // 10
    return float(ordered[cut : len(ordered) - cut].mean())


def edge_of(profile: Profile, shaft: Shaft, at_end: bool) -> Edge:
    """Return the shaft's end at the path's end, or at its beginning."""
    contrast = profile.contrast if at_end else profile.contrast[::-1]
    level = profile.level if at_end else profile.level[::-1]
    count = len(contrast)
    first, last = _span(shaft, count, at_end)
    valid = np.isfinite(contrast)
    before = _before(profile, shaft, at_end)
    inner = np.flatnonzero(valid[first : last + 1])
    broken = np.flatnonzero(~valid[first + inner[-1] :]) if len(inner) else np.array([0])
    stop = first + int(inner[-1]) + (int(broken[0]) if len(broken) else count) if len(inner) else first
    stop = min(stop, count)
    if before <= 0.0 or stop < max(first + 8, (first + last) // 2 + 1):
        return Edge(float(last), 99.0, max(before, 0.0), 0.0, True, float(level[min(last, count - 1)]), 1.0)
    begin = (first + last) // 2
    place = begin + _cusum(np.nan_to_num(contrast[begin:stop], nan=0.0), before)
    leaves = (stop < count and stop - place < EDGE_PX) or place >= count - 3
    at, sigma = _ramp(contrast, begin, stop, place, before, profile)
    tail = _finite(contrast[place + 3 : min(stop, place + 33)])
    behind = float(np.mean(tail) / before) if len(tail) >= 6 else 1.0
    head = _finite(contrast[max(begin, place - 40) : max(begin + 1, place - 3)])
    length = min(len(head), len(tail))
    drop = float(np.mean(head) - np.mean(tail)) if length >= 6 else 0.0
    drop_z = drop / profile.noise * float(np.sqrt(max(length, 1) / 2.0 / CORRELATED_PX))
    around = slice(max(0, place - 20), min(stop, place + 20))
    where = float(np.mean(level[around]))
    index = at if at_end else count - 1 - at
    return Edge(index, sigma, before, drop_z, bool(leaves), where, behind)


def _finite(values: F64) -> F64:
    return values[np.isfinite(values)]


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
    values = contrast[low:high]
    if high - low < 8 or not np.isfinite(values).all():
        return float(place), 99.0
    feet = np.arange(place - reach, place + reach, 1.0 / PER_PX)
    prior = 0.5 * ((np.array(RAMPS) - RAMP_DIAMETERS) / RAMP_SPREAD) ** 2
    mean, spread = foot_chances(
        np.ascontiguousarray(values), float(low), feet, _ramp_tables(profile.sigma_px), PER_PX, before,
        profile.noise**2 * CORRELATED_PX, prior,
    )  # fmt: skip
    return float(mean), float(np.hypot(SPREAD_FACTOR * spread, 0.3))


@lru_cache(maxsize=len(SIGMAS_PX))
def _ramp_tables(sigma: float) -> F64:
    """Return ramps from 0 at their feet to 1, of all lengths, rounded by the blur, at distances before their feet."""
    diameter = max(1.0, DIAMETER_SIGMAS * float(np.sqrt(max(sigma**2 - BLUR_PX**2, 0.0))))
    distance = np.arange(-128 * PER_PX, 128 * PER_PX + 1) / PER_PX
    tables = []
    for ramp in RAMPS:
        x, soft = distance / (ramp * diameter), BLUR_PX / (ramp * diameter)
        # The integral of a logistic step, twice.
        tables.append(soft * (np.logaddexp(0.0, x / soft) - np.logaddexp(0.0, (x - 1.0) / soft)))
    return np.array(tables)
