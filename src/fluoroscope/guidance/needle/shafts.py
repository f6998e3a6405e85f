"""From a seed to a shaft: followed both ways, its centre found between the pixels, and laid straight."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.guidance.needle.kernels import extend, straighten
from fluoroscope.guidance.needle.seeds import FlatPicture, Seed
from fluoroscope.guidance.needle.shaft_kernels import block_centres, fit_parabola, normals, resampled

__all__ = ["BEYOND_PX", "REACH_PX", "STEP_PX", "Shaft", "follow", "laid_out", "lay_straight", "relaid"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

LOOK_PX, FAR_LOOK_PX, STEP_PX, BLIND_STEPS = 24.0, 40.0, 8.0, 2.0
FAINT = 0.8
"""Contrast, in units of the local scatter, below which a line is looked for further ahead."""
TURN, BEND_PER_PX = 0.03, 0.006
LEAST_CONTRAST, LEAST_SHARE = 0.16, 0.3
REACH_PX = 24
BEYOND_PX = 48
"""How far past its ends a shaft is laid straight, pixels of the original."""
BLOCK_PX, FAINT_BLOCK_PX = 16, 32
NEAR_PX = 6
WAY_PX = 5
"""How far to either side the way of a path is taken from."""
BENT_PX = 1.2
"""A centreline further than this from a parabola, rms, may be a curved tool."""
Y = np.arange(-REACH_PX, REACH_PX + 1, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Shaft:
    """A line laid straight.

    Attributes
    ----------
    path
        (n, 2) centreline a pixel apart, (row, column), with `BEYOND_PX` past either end where the picture goes on.
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
    across: F32
    inside: F32
    first: int
    last: int
    rms_px: float
    curved: bool


def follow(flat: FlatPicture, seed: Seed) -> F64:
    """Return the line through a seed as far as it is seen both ways, (n, 3): row, column, working pixels; contrast."""
    start, end = np.array(seed.start), np.array(seed.end)
    way = (end - start) / np.hypot(*(end - start))
    look = FAR_LOOK_PX if seed.contrast < FAINT else LOOK_PX
    limits = np.array([look, STEP_PX, TURN, BEND_PER_PX, LEAST_CONTRAST, LEAST_SHARE, BLIND_STEPS])
    parts = []
    for begin, go in ((start + 8.0 * way, -way), (end - 8.0 * way, way)):
        points = np.empty((160, 3))
        count = extend(flat.values, flat.weight, begin, go, float(seed.half), seed.contrast, limits, points)
        parts.append(points[:count].copy())
    middle = np.array([[*(start + 8.0 * way), seed.contrast], [*(end - 8.0 * way), seed.contrast]])
    return np.concatenate([parts[0][::-1], middle, parts[1]])


def lay_straight(attenuation: F32, valid: NDArray[np.bool_], points: F64, factor: int, seed: Seed) -> Shaft | None:
    """Return the shaft along working points, its centreline refined in the picture itself; None when too short."""
    return relaid(attenuation, valid, resampled((points + 0.5) * factor - 0.5), factor, seed)


def relaid(attenuation: F32, valid: NDArray[np.bool_], path: F64, factor: int, seed: Seed) -> Shaft | None:
    """Return the shaft along a path in the picture's own pixels, refined; None when too short."""
    if len(path) < 12:
        return None
    sigma = max(1.0, 0.45 * factor * (1 + seed.half))
    block = FAINT_BLOCK_PX if seed.contrast < FAINT else BLOCK_PX
    rough = _parabola(path)
    # A line that comes back to where it began has no chord to speak of.
    parabola = None if len(rough) < 12 else _refined(attenuation, valid, rough, sigma, block, False)
    if parabola is not None and parabola[2] <= BENT_PX and _misfit(path, rough) <= BENT_PX * factor:
        path, _, rms = parabola
        curved = False
    else:
        bent = _refined(attenuation, valid, path, sigma, block, True)
        if bent is None:
            return None
        # The parabola stands unless the bent line shows clearly more.
        curved = parabola is None or bent[1] > 1.25 * parabola[1]
        path, _, rms = bent if curved or parabola is None else parabola
    inner = len(path)
    path = _prolonged(path)
    across, inside = laid_out(attenuation, valid, path)
    return Shaft(path, across, inside, BEYOND_PX, BEYOND_PX + inner - 1, rms, curved)


def laid_out(attenuation: F32, valid: NDArray[np.bool_], path: F64) -> tuple[F32, F32]:
    """Return what lies across a path, (n, 2·REACH_PX + 1), and 1 where that is valid."""
    across = np.empty((len(path), 2 * REACH_PX + 1), np.float32)
    inside = np.empty_like(across)
    straighten(attenuation, valid, path, normals(path, WAY_PX), REACH_PX, across, inside)
    return across, inside


def _wave(sigma: float) -> F64:
    """Return a filter across: a bell less a wider one."""
    wave = np.exp(-0.5 * (Y / sigma) ** 2) - np.exp(-0.5 * (Y / (2.2 * sigma)) ** 2) / 2.2
    reach = min(REACH_PX, int(6.0 * sigma) + 1)
    cut = wave[REACH_PX - reach : REACH_PX + reach + 1]
    return np.asarray((cut - cut.mean()) / np.abs(cut).sum())


def _refined(
    attenuation: F32, valid: NDArray[np.bool_], path: F64, sigma: float, block: int, bent: bool
) -> tuple[F64, float, float] | None:
    """Return the centreline along a path, how much it stands out, and the rms of its centres about it."""
    wave = _wave(sigma)
    strength, rms = 0.0, 0.0
    for _ in range(2):
        across, inside = laid_out(attenuation, valid, path)
        found = np.empty((len(path) // block + 2, 3))
        count = block_centres(across, inside, wave, block, NEAR_PX, found)
        if count < 3:
            return None
        places, shift, weight = found[:count].T
        strength = float(np.median(weight))
        normal = normals(path, WAY_PX)
        if bent:
            smooth = np.convolve(np.pad(shift, 1, mode="edge"), (0.25, 0.5, 0.25), "valid")
            rms = float(np.sqrt(np.mean((shift - smooth) ** 2)))
            aside = np.interp(np.arange(len(path)), places, smooth)
            path = resampled(_softened(path + aside[:, None] * normal))
        else:
            order = 2 if count >= 5 else 1
            scale = 2.0 / len(path)
            fit = fit_parabola(places * scale - 1.0, shift, weight, order)
            here = np.arange(len(path)) * scale - 1.0
            aside = fit[0] + fit[1] * here + fit[2] * here**2
            at = places * scale - 1.0
            rms = float(np.sqrt(np.mean((shift - fit[0] - fit[1] * at - fit[2] * at**2) ** 2)))
            path = resampled(path + aside[:, None] * normal)
        if len(path) < 12:
            return None
    return path, strength, rms


def _chord(path: F64) -> tuple[F64, F64, F64, F64]:
    """Return the chord's direction and its normal, and the points along and aside of it."""
    chord = path[-1] - path[0]
    chord = chord / max(float(np.hypot(*chord)), 1e-9)
    side = np.array([-chord[1], chord[0]])
    off = path - path[0]
    return chord, side, off @ chord, off @ side


def _parabola(path: F64) -> F64:
    """Return the parabola over its chord that lies nearest to a path, a pixel apart."""
    chord, side, along, aside = _chord(path)
    scale = 2.0 / max(float(np.ptp(along)), 1.0)
    fit = fit_parabola((along - along.min()) * scale - 1.0, aside, np.ones(len(path)), 2)
    even = np.arange(along.min(), along.max() + 1e-6)
    here = (even - along.min()) * scale - 1.0
    bow = fit[0] + fit[1] * here + fit[2] * here**2
    return np.asarray(path[0] + even[:, None] * chord + bow[:, None] * side)


def _misfit(path: F64, parabola: F64) -> float:
    """Return the rms distance of a path from its parabola."""
    _, _, along, aside = _chord(path)
    chord, side, _, _ = _chord(path)
    off = parabola - path[0]
    near = np.interp(along, off @ chord, off @ side)
    return float(np.sqrt(np.mean((aside - near) ** 2)))


def _softened(path: F64) -> F64:
    if len(path) < 30:
        return path
    kernel = np.hanning(21)
    kernel /= kernel.sum()
    soft = np.stack([np.convolve(path[:, k], kernel, "valid") for k in (0, 1)], axis=1)
    return np.concatenate([path[:1], soft, path[-1:]])


def _prolonged(path: F64) -> F64:
    """Return the path with straight ends of `BEYOND_PX` added."""
    run = min(24, len(path) - 1)
    first, last = path[0] - path[run], path[-1] - path[-1 - run]
    steps = np.arange(1.0, BEYOND_PX + 1.0)[:, None]
    head = path[0] + steps[::-1] * first / np.hypot(*first)
    tail = path[-1] + steps * last / np.hypot(*last)
    return np.concatenate([head, path, tail])
