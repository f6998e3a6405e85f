"""Cubic splines through tables of published numbers."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["CubicSpline"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class CubicSpline:
    """A piecewise cubic with continuous second derivative, ends "not a knot".

    Its two first and two last pieces are one cubic each (de Boor 2001, A Practical Guide to Splines, ch. IV). The same
    as SciPy's, whose import takes half a second of every start.

    Attributes
    ----------
    nodes
        (n,), ascending.
    coefficients
        (4, n − 1): of each piece in powers 3 to 0 of the distance from its first node.
    """

    nodes: Array
    coefficients: Array

    @classmethod
    def through(cls, nodes: ArrayLike, values: ArrayLike) -> Self:
        """Return the spline through ``values`` (n,) at ``nodes`` (n,), four or more.

        Raises
        ------
        ValueError
            When there are fewer, or the nodes do not ascend.
        """
        x, y = np.array(nodes, dtype=np.float64), np.asarray(values, dtype=np.float64)
        if x.ndim != 1 or x.size < 4 or y.shape != x.shape or not (np.diff(x) > 0.0).all():
            raise ValueError("a spline needs four or more ascending nodes and one value for each")
        width = np.diff(x)
        rise = np.diff(y) / width
        slope = _slopes(width, rise)
        bend = (slope[:-1] + slope[1:] - 2.0 * rise) / width
        coefficients = np.array([bend / width, (rise - slope[:-1]) / width - bend, slope[:-1], y[:-1]])
        for array in (x, coefficients):
            array.setflags(write=False)
        return cls(x, coefficients)

    def __call__(self, at: ArrayLike) -> Array:
        """Return the values at any places, of the same shape; beyond the ends the last cubics go on."""
        places = np.asarray(at, dtype=np.float64)
        piece = np.clip(np.searchsorted(self.nodes, places, side="right") - 1, 0, self.nodes.size - 2)
        along = places - self.nodes[piece]
        third, second, first, value = self.coefficients[:, piece]
        result: Array = np.asarray(((third * along + second) * along + first) * along + value)
        return result


def _slopes(width: Array, rise: Array) -> Array:
    """Return the first derivative at every node: continuous curvature within, one cubic across the second node."""
    n = width.size + 1
    matrix, right = np.zeros((n, n)), np.empty(n)
    inner = np.arange(1, n - 1)
    matrix[inner, inner - 1] = width[1:]
    matrix[inner, inner] = 2.0 * (width[:-1] + width[1:])
    matrix[inner, inner + 1] = width[:-1]
    right[inner] = 3.0 * (width[1:] * rise[:-1] + width[:-1] * rise[1:])
    for row, (one, two) in ((0, (0, 1)), (n - 1, (n - 3, n - 2))):
        a, b = width[one] ** 2, width[two] ** 2
        matrix[row, one : one + 3] = b, b - a, -a
        right[row] = 2.0 * (b * rise[one] - a * rise[two])
    return np.asarray(np.linalg.solve(matrix, right), dtype=np.float64)
