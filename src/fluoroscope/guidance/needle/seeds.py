"""Short straight lines that stand out of a picture: where a needle may be looked for."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.guidance.needle.kernels import MARGIN, best_lines, block_mean, flatten, joined_lines, line_sums

__all__ = ["FlatPicture", "Seed", "find_seeds", "flat_picture"]

F32 = NDArray[np.float32]

WORKING_SIDE = 640
"""Pictures with longer sides are worked on in blocks."""
SURROUNDINGS_PX, SCATTER_PX, LIMIT = 8, 24, 3.0
SHORT_LEVEL = 5
"""Lines of 32 working pixels, and one level up of 64."""
THICK_HALF = 2
"""Half width of thick lines, working pixels; thin ones have one pixel."""
CELL_PX = 16
LEAST_CELLS = 8
"""Fewer do not tell what is usual in a picture."""


@dataclass(frozen=True, slots=True)
class FlatPicture:
    """A picture made smaller and flat, in units of its local scatter.

    Attributes
    ----------
    values
        float32 (rows, columns), 0 where not valid.
    weight
        Share of each pixel that is valid.
    factor
        Pixels of the original to a side of one of these.
    """

    values: F32
    weight: F32
    factor: int


@dataclass(frozen=True, slots=True)
class Seed:
    """A short line: ends (row, column) in working pixels, contrast, how far it stands out, half its width."""

    start: tuple[float, float]
    end: tuple[float, float]
    contrast: float
    z: float
    half: int


def flat_picture(attenuation: F32, valid: NDArray[np.bool_]) -> FlatPicture:
    """Return the picture that lines are looked for in."""
    factor = max(1, -(-max(attenuation.shape) // WORKING_SIDE))
    rows, columns = (side // factor for side in attenuation.shape)
    small, weight = np.empty((rows, columns), np.float32), np.empty((rows, columns), np.float32)
    block_mean(attenuation, valid, factor, small, weight)
    values = np.empty_like(small)
    flatten(small, weight, SURROUNDINGS_PX, SCATTER_PX, LIMIT, values)
    return FlatPicture(values, weight, factor)


def find_seeds(flat: FlatPicture, most: int, least_z: float) -> list[Seed]:
    """Return up to ``most`` lines, the most striking first, none beside another along the same way."""
    found = []
    for transposed in (False, True):
        for mirrored in (False, True):
            found.append(_class_lines(flat, transposed, mirrored))
    lines = np.concatenate(found)
    lines = lines[lines[:, 5] >= least_z]
    lines = lines[np.argsort(-lines[:, 5], kind="stable")]
    return _apart(lines[: 4 * most], most)


def _class_lines(flat: FlatPicture, transposed: bool, mirrored: bool) -> NDArray[np.float64]:
    """Return (n, 7) of a quarter of all directions: ends (r, c, r, c), contrast, z, half width."""
    turned, weight = (flat.values.T, flat.weight.T) if transposed else (flat.values, flat.weight)
    if mirrored:
        turned, weight = turned[:, ::-1], weight[:, ::-1]
    rows, columns = turned.shape
    padded = np.zeros((-(-rows // MARGIN) * MARGIN, columns + MARGIN), np.float32)
    padded[:rows, :columns] = turned
    found = []
    short = line_sums(padded, SHORT_LEVEL)
    for level, sums, thick in (
        (SHORT_LEVEL, short, False),
        (SHORT_LEVEL, short, True),
        (SHORT_LEVEL + 1, joined_lines(short), False),
    ):
        length = 1 << level
        best = np.empty((len(sums), -(-columns // CELL_PX), 3), np.float32)
        best_lines(sums, thick, CELL_PX, best)
        strip, cell = np.nonzero(best[..., 0] > -1e8)
        score, shift, first = best[strip, cell].T.astype(np.float64)
        row = np.minimum(strip * length + length // 2, rows - 1)
        column = np.clip(first + 0.5 * shift, 0, columns - 1).astype(int)
        seen = weight[row, column] > 0.5
        if seen.sum() < LEAST_CELLS:
            continue
        strip, score, shift, first = strip[seen], score[seen], shift[seen], first[seen]
        contrast = score / length
        # What chance and texture give: most cells hold no needle.
        typical = np.median(contrast)
        spread = 1.4826 * np.median(np.abs(contrast - typical)) + 1e-6
        top = strip * float(length)
        ends = np.stack([top, first, top + length - 1.0, first + shift], axis=1)
        extra = np.stack(
            [contrast, (contrast - typical) / spread, np.full(len(contrast), float(THICK_HALF * thick))], axis=1
        )
        found.append(np.concatenate([ends, extra], axis=1))
    if not found:
        return np.empty((0, 7))
    lines = np.concatenate(found)
    if mirrored:
        lines[:, [1, 3]] = columns - 1.0 - lines[:, [1, 3]]
    if transposed:
        lines[:, :4] = lines[:, [1, 0, 3, 2]]
    return lines


def _apart(lines: NDArray[np.float64], most: int) -> list[Seed]:
    kept: list[Seed] = []
    middles, ways = np.empty((0, 2)), np.empty((0, 2))
    for line in lines:
        middle, way = 0.5 * (line[0:2] + line[2:4]), line[2:4] - line[0:2]
        way = way / np.hypot(*way)
        if len(kept):
            off = middle - middles
            across = np.abs(off[:, 0] * ways[:, 1] - off[:, 1] * ways[:, 0])
            same = (np.abs(ways @ way) > 0.985) & (across < 4.0) & (np.abs(off).max(axis=1) < 40.0)
            if same.any():
                continue
        middles, ways = np.vstack([middles, middle]), np.vstack([ways, way])
        kept.append(
            Seed((line[0], line[1]), (line[2], line[3]), float(line[4]), float(line[5]), int(line[6]))
        )  # fmt: skip
        if len(kept) == most:
            break
    return kept
