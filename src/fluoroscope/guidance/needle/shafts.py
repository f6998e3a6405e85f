"""From a seed to a shaft: followed both ways, its centre found between the pixels, and laid straight."""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.guidance.needle.kernels import extend, straighten
from fluoroscope.guidance.needle.seeds import FlatPicture, Seed

__all__ = ["Shaft", "follow", "lay_straight"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

LOOK_PX, STEP_PX, BLIND_STEPS = 24.0, 8.0, 2.0
TURN, BEND_PER_PX = 0.05, 0.006
LEAST_CONTRAST, LEAST_SHARE = 0.16, 0.3
REACH_PX = 24
BEYOND_PX = 48
"""How far past its ends a shaft is laid straight, pixels of the original."""
BLOCK_PX = 16
BENT_PX = 1.2
"""A centreline further than this from a parabola, rms, is a curved tool."""


@dataclass(frozen=True, slots=True)
class Shaft:
    """A line laid straight.

    Attributes
    ----------
    path
        (n, 2) centreline a pixel apart, (row, column), with `BEYOND_PX` past either end where the picture goes on.
    normal
        (n, 2) unit, across.
    across
        (n, 2·REACH_PX + 1) the picture across the path; inside is 1 where valid.
    inside
        As ``across``.
    first, last
        Where the line was seen, indices of ``path``.
    rms_px
        Of the centres about the smooth centreline.
    curved
        Whether no parabola describes it.
    """

    path: F64
    normal: F64
    across: F32
    inside: F32
    first: int
    last: int
    rms_px: float
    curved: bool


def follow(flat: FlatPicture, seed: Seed) -> F64:
    """Return the points (n, 2) of the line through a seed, working pixels, as far as it is seen both ways."""
    start, end = np.array(seed.start), np.array(seed.end)
    way = (end - start) / np.hypot(*(end - start))
    limits = np.array([LOOK_PX, STEP_PX, TURN, BEND_PER_PX, LEAST_CONTRAST, LEAST_SHARE, BLIND_STEPS])
    parts = []
    for begin, go in ((start + 8.0 * way, -way), (end - 8.0 * way, way)):
        points = np.empty((160, 3))
        count = extend(flat.values, flat.weight, begin, go, float(seed.half), seed.contrast, limits, points)
        parts.append(points[:count, :2].copy())
    return np.concatenate([parts[0][::-1], [start + 8.0 * way, end - 8.0 * way], parts[1]])


def lay_straight(attenuation: F32, valid: NDArray[np.bool_], points: F64, factor: int, half: int) -> Shaft | None:
    """Return the shaft along working points, its centreline refined in the picture itself; None when too short."""
    path = _resampled((points + 0.5) * factor - 0.5)
    if len(path) < 12:
        return None
    width = float(factor * (1 + half))
    for _ in range(2):
        normal = _normals(path)
        across, inside = _across(attenuation, valid, path, normal)
        places, shift, weight = _centres(across, inside, width)
        if len(places) < 3:
            return None
        path, rms, curved = _smooth(path, normal, places, shift, weight)
    inner = len(path)
    path, before = _prolonged(path)
    normal = _normals(path)
    across, inside = _across(attenuation, valid, path, normal)
    return Shaft(path, normal, across, inside, before, before + inner - 1, rms, curved)


def _resampled(points: F64) -> F64:
    """Return points a pixel apart along a polyline."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    keep = np.concatenate([[True], np.diff(along) > 1e-6])
    at = np.arange(0.0, along[-1], 1.0)
    return np.stack([np.interp(at, along[keep], points[keep, axis]) for axis in (0, 1)], axis=1)


def _normals(path: F64) -> F64:
    way = np.gradient(path, axis=0)
    if len(path) > 24:
        # The way of a polyline jumps at its corners.
        kernel = np.ones(9) / 9.0
        way = np.stack([np.convolve(np.pad(way[:, k], 4, mode="edge"), kernel, "valid") for k in (0, 1)], axis=1)
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    return np.stack([-way[:, 1], way[:, 0]], axis=1)


def _across(attenuation: F32, valid: NDArray[np.bool_], path: F64, normal: F64) -> tuple[F32, F32]:
    across = np.empty((len(path), 2 * REACH_PX + 1), np.float32)
    inside = np.empty_like(across)
    straighten(attenuation, valid, path, normal, REACH_PX, across, inside)
    return across, inside


def _centres(across: F32, inside: F32, width: float) -> tuple[F64, F64, F64]:
    """Return where along, how far aside, and how sure, the line's centre is in blocks of the laid-out picture."""
    count = max(3, len(across) // BLOCK_PX)
    edges = np.linspace(0, len(across), count + 1).astype(int)
    y = np.arange(-REACH_PX, REACH_PX + 1, dtype=np.float64)
    sigma = max(1.0, 0.45 * width)
    wave = np.exp(-0.5 * (y / sigma) ** 2)
    wave -= np.exp(-0.5 * (y / (2.2 * sigma)) ** 2) / 2.2
    places, shift, weight = [], [], []
    for low, high in itertools.pairwise(edges):
        share = inside[low:high].mean()
        if share < 0.8:
            continue
        profile = across[low:high].mean(axis=0, dtype=np.float64)
        answer = np.convolve(profile, wave, "same")
        near = answer[REACH_PX - 5 : REACH_PX + 6]
        k = int(near.argmax())
        offset = float(k - 5)
        if 0 < k < 10:
            bow = near[k - 1] - 2.0 * near[k] + near[k + 1]
            offset += 0.5 * float(near[k - 1] - near[k + 1]) / bow if bow < 0.0 else 0.0
        places.append(0.5 * (low + high - 1))
        shift.append(offset)
        weight.append(max(float(near[k]), 1e-6))
    return np.array(places), np.array(shift), np.array(weight)


def _smooth(path: F64, normal: F64, places: F64, shift: F64, weight: F64) -> tuple[F64, float, bool]:
    """Return the centreline through the centres, the rms of these about it, and whether it is no parabola."""
    at = places / len(path) * 2.0 - 1.0
    here = np.arange(len(path)) / len(path) * 2.0 - 1.0
    found = path + _fit(at, shift, weight, here, 2)[:, None] * normal
    # The whole line, not only the shift, against a parabola over its chord.
    chord = found[-1] - found[0]
    chord /= np.hypot(*chord)
    off = found - found[0]
    along, aside = off @ chord, off @ np.array([-chord[1], chord[0]])
    straight = np.polynomial.Polynomial.fit(along, aside, 2)
    bent = float(np.sqrt(np.mean((aside - straight(along)) ** 2)))
    if bent <= BENT_PX:
        centre_off = path[places.astype(int)] + shift[:, None] * normal[places.astype(int)] - found[0]
        a, b = centre_off @ chord, centre_off @ np.array([-chord[1], chord[0]])
        span = (a - a.min()) / max(np.ptp(a), 1.0) * 2.0 - 1.0
        even = np.arange(along.min(), along.max())
        scaled = (even - a.min()) / max(np.ptp(a), 1.0) * 2.0 - 1.0
        fitted = _fit(span, b, weight, scaled, 2 if len(a) > 4 else 1)
        rms = float(np.sqrt(np.mean((b - _fit(span, b, weight, span, 2 if len(a) > 4 else 1)) ** 2)))
        line = found[0] + even[:, None] * chord + fitted[:, None] * np.array([-chord[1], chord[0]])
        return line, rms, False
    smooth = np.convolve(np.pad(shift, 1, mode="edge"), (0.25, 0.5, 0.25), "valid")
    found = path + np.interp(here, at, smooth)[:, None] * normal
    return _resampled(_softened(found)), float(np.sqrt(np.mean((shift - smooth) ** 2))), True


def _fit(at: F64, value: F64, weight: F64, where: F64, order: int) -> F64:
    """Return a polynomial fitted by weighted least squares, outliers let go of twice."""
    used = np.ones(len(at), dtype=np.bool_)
    order = min(order, max(1, len(at) - 2))
    for _ in range(3):
        fit = np.polynomial.Legendre.fit(at[used], value[used], order, w=np.sqrt(weight[used]), domain=[-1.0, 1.0])
        off = np.abs(value - fit(at))
        used = off <= max(0.75, 3.0 * float(np.median(off)))
        if used.sum() <= order + 1:
            break
    return np.asarray(fit(where), dtype=np.float64)


def _softened(path: F64) -> F64:
    if len(path) < 30:
        return path
    kernel = np.hanning(21)
    kernel /= kernel.sum()
    soft = np.stack([np.convolve(path[:, k], kernel, "valid") for k in (0, 1)], axis=1)
    return np.concatenate([path[:1], soft, path[-1:]])


def _prolonged(path: F64) -> tuple[F64, int]:
    """Return the path with straight ends of `BEYOND_PX` added, and how many points came before."""
    run = min(24, len(path) - 1)
    first, last = path[0] - path[run], path[-1] - path[-1 - run]
    steps = np.arange(1.0, BEYOND_PX + 1.0)[:, None]
    head = path[0] + steps[::-1] * first / np.hypot(*first)
    tail = path[-1] + steps * last / np.hypot(*last)
    return np.concatenate([head, path, tail]), BEYOND_PX
