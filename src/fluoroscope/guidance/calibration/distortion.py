"""How an image intensifier bends the picture, from a flat grid of beads on its face, and the picture straightened.

The curved input screen spreads the edges (pincushion), the earth's field and the room's turn the middle against the
edge (S). Both are smooth: a polynomial of fifth order in row and column tells them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fluoroscope.guidance.calibration.beads import Bead
from fluoroscope.guidance.calibration.beam import CalibrationError

__all__ = ["Distortion", "fit_distortion", "index_grid"]

Float = NDArray[np.float64]
ORDER = 5
FEWEST = 60
"""A polynomial of fifth order has 21 numbers per direction: thrice as many beads hold it."""


@dataclass(frozen=True, slots=True)
class Distortion:
    """A bent picture and the straight one.

    Attributes
    ----------
    center_px, scale_px
        (row, column) and length by which pixels are made small numbers.
    straight_from_bent, bent_from_straight
        (21, 2) coefficients of the powers of (row, column).
    residual_px
        RMS of the beads after straightening.
    largest_px
        Farthest a bead was moved.
    beads
        Used.
    """

    center_px: Float
    scale_px: float
    straight_from_bent: Float
    bent_from_straight: Float
    residual_px: float
    largest_px: float
    beads: int

    def straightened(self, pixels: ArrayLike) -> Float:
        """Return where pixels (..., 2) of the bent picture belong in the straight one."""
        return self._mapped(pixels, self.straight_from_bent)

    def bent(self, pixels: ArrayLike) -> Float:
        """Return where pixels (..., 2) of the straight picture lie in the bent one: the exact inverse."""
        wanted = np.asarray(pixels, dtype=np.float64)
        found = self._mapped(wanted, self.bent_from_straight)
        # Two polynomials are not each other's inverse: what is left is taken off twice.
        for _ in range(3):
            found = found + (wanted - self._mapped(found, self.straight_from_bent))
        return found

    def straighten(self, picture: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return a picture (rows, columns) straightened, by cubic interpolation; what was not seen is its edge."""
        from scipy import ndimage

        rows, columns = picture.shape
        place = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), axis=-1).astype(np.float64)
        at = self.bent(place.reshape(-1, 2)).T.reshape(2, rows, columns)
        straight = ndimage.map_coordinates(picture.astype(np.float32), at, order=3, mode="nearest")
        return np.asarray(straight, dtype=np.float32)

    def _mapped(self, pixels: ArrayLike, coefficients: Float) -> Float:
        given = np.asarray(pixels, dtype=np.float64)
        small = (given - self.center_px) / self.scale_px
        moved: Float = given + (_powers(small.reshape(-1, 2)) @ coefficients).reshape(given.shape)
        return moved


def index_grid(beads: Sequence[Bead]) -> tuple[Float, Float]:
    """Return grid indices (n, 2) and pixels (n, 2) of beads on a square grid, from the middle outward.

    Neighbours are looked for where the last step leads, so that a bent grid is followed to its edge.

    Raises
    ------
    CalibrationError
        When there is no grid.
    """
    pixels = np.array([one.pixel for one in beads]).reshape(-1, 2)
    if len(pixels) < FEWEST:
        raise CalibrationError(f"only {len(pixels)} beads of the grid are seen, {FEWEST} are needed: use a finer grid")
    first = int(np.linalg.norm(pixels - np.median(pixels, axis=0), axis=1).argmin())
    apart = pixels - pixels[first]
    near = np.argsort(np.linalg.norm(apart, axis=1))[1:9]
    steps = apart[near]
    # Of the eight neighbours the one most along the rows and the one square to it and of the same length.
    by_row = steps[int((np.abs(steps[:, 1]) + 0.5 * np.linalg.norm(steps, axis=1)).argmin())]
    by_row = by_row if by_row[0] > 0.0 else -by_row
    wanted = np.array([-by_row[1], by_row[0]])
    by_column = steps[int(np.linalg.norm(steps - wanted, axis=1).argmin())]
    if float(np.linalg.norm(by_column - wanted)) > 0.3 * float(np.linalg.norm(wanted)):
        raise CalibrationError(
            "the beads do not stand in a square grid: calibrate with the grid on the detector's face"
        )
    placed = {(0, 0): first}
    local = {(0, 0): (by_row, by_column)}
    queue, taken = [(0, 0)], {first}
    while queue:
        here = queue.pop(0)
        at, ways = pixels[placed[here]], local[here]
        for axis, sign in ((0, 1), (0, -1), (1, 1), (1, -1)):
            there = (here[0] + sign * (axis == 0), here[1] + sign * (axis == 1))
            if there in placed:
                continue
            away = np.linalg.norm(pixels - (at + sign * ways[axis]), axis=1)
            nearest = int(away.argmin())
            if nearest in taken or float(away[nearest]) > 0.3 * float(np.linalg.norm(ways[axis])):
                continue
            placed[there] = nearest
            taken.add(nearest)
            step = sign * (pixels[nearest] - at)
            local[there] = (step, ways[1]) if axis == 0 else (ways[0], step)
            queue.append(there)
    return np.array(list(placed), dtype=np.float64), pixels[list(placed.values())]


def fit_distortion(index: Float, pixels: Float, *, spacing_px: float | None = None, order: int = ORDER) -> Distortion:
    """Return the distortion of a grid of beads.

    Parameters
    ----------
    index, pixels
        (n, 2) each, of `index_grid`.
    spacing_px
        Of the straight grid (spacing on the detector's face over pixel pitch); None takes that of the middle of the
        picture, where it is bent least.
    order
        Of the polynomial.

    Raises
    ------
    CalibrationError
        With too few beads.
    """
    if len(index) < FEWEST:
        raise CalibrationError(f"only {len(index)} beads stand in a grid, {FEWEST} are needed")
    center, scale = pixels.mean(axis=0), float(np.abs(pixels - pixels.mean(axis=0)).max())
    straight = _straight_grid(index, pixels, center, spacing_px)
    forth = _fitted((pixels - center) / scale, straight - pixels, order)
    back = _fitted((straight - center) / scale, pixels - straight, order)
    found = Distortion(
        center, scale, forth, back, 0.0, float(np.linalg.norm(straight - pixels, axis=1).max()), len(index)
    )
    left = np.linalg.norm(found.straightened(pixels) - straight, axis=1)
    residual = float(np.sqrt((left**2).mean()))
    return Distortion(center, scale, forth, back, residual, found.largest_px, len(index))


def _straight_grid(index: Float, pixels: Float, center: Float, spacing_px: float | None) -> Float:
    """Return where the beads stand in the straight picture: the grid turned and shifted as its middle lies."""
    reach = np.linalg.norm(pixels - center, axis=1)
    middle = reach <= 0.35 * float(reach.max())
    if int(middle.sum()) < 6:
        middle = reach <= float(np.sort(reach)[min(8, len(reach) - 1)])
    # A similarity of complex numbers: pixel = a · index + b.
    z = index[middle, 0] + 1j * index[middle, 1]
    w = pixels[middle, 0] + 1j * pixels[middle, 1]
    table = np.stack([z, np.ones_like(z)], axis=1)
    (a, b), *_ = np.linalg.lstsq(table, w, rcond=None)
    if spacing_px is not None:
        turned = a / abs(a) * spacing_px
        b = b + (a - turned) * z.mean()
        a = turned
    placed = a * (index[:, 0] + 1j * index[:, 1]) + b
    return np.stack([placed.real, placed.imag], axis=1)


def _powers(small: Float, order: int = ORDER) -> Float:
    x, y = small.T
    return np.stack([x**i * y**j for i in range(order + 1) for j in range(order + 1 - i)], axis=1)


def _fitted(small: Float, moved: Float, order: int) -> Float:
    """Return (21, 2) coefficients; those of orders above ``order`` are 0."""
    powers = _powers(small)
    used = [
        n for n, (i, j) in enumerate((i, j) for i in range(ORDER + 1) for j in range(ORDER + 1 - i)) if i + j <= order
    ]
    coefficients = np.zeros((powers.shape[1], 2))
    coefficients[used], *_ = np.linalg.lstsq(powers[:, used], moved, rcond=None)
    return coefficients
