"""Bodies whose skin dose falls on: a plane, an elliptic cylinder, and an adult drawn to height and weight.

Patient coordinates (LPS), mm; the origin is the top of the head in the middle of the body, so that z runs from 0 to
minus the height.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["PHANTOMS", "Relief", "SkinPhantom", "cells_between", "skin_phantom"]

Array = NDArray[np.float64]

PHANTOMS = ("plane", "cylinder", "adult")
_CELL_MM = 10.0
_PLANE_MM = (450.0, 1750.0)
_CYLINDER_MM = (200.0, 100.0, 1500.0)  # half width, half depth, length
_DENSITY_KG_PER_MM3 = 1.02e-6
_SHARE_WITHOUT_ARMS = 0.9
# Part of the height from the top of the head, half width, half depth in mm at 1.76 m: an ordinary adult in round
# figures, both legs as one section, no arms; the widths are then scaled to the weight.
_ADULT = np.array(
    [
        [0.00, 30.0, 35.0],
        [0.03, 70.0, 90.0],
        [0.09, 75.0, 95.0],
        [0.13, 60.0, 65.0],
        [0.17, 60.0, 65.0],
        [0.20, 150.0, 90.0],
        [0.28, 160.0, 115.0],
        [0.38, 145.0, 110.0],
        [0.47, 170.0, 115.0],
        [0.53, 175.0, 110.0],
        [0.72, 115.0, 65.0],
        [0.80, 105.0, 60.0],
        [0.96, 75.0, 45.0],
        [1.00, 85.0, 60.0],
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class SkinPhantom:
    """Cells of skin.

    Attributes
    ----------
    name
        Of `PHANTOMS`.
    shape
        (rows, columns) of the unrolled skin, head first; columns start at the back, pass the patient's left, the
        front and the right.
    centers, normals
        (n, 3) LPS mm, and unit vectors out of the body.
    half_edges
        (n, 2, 3) from the centre to the middle of two sides, mm.
    areas_mm2
        (n,).
    height_mm
        Length along z.
    two_sided
        Whether cells have no inside: dose reaches both faces of the plane.
    corners
        (rows + 1, columns + 1, 3) LPS mm.
    relief
        Of a body that can hide its own skin, else None.
    own
        Whether it is the patient's own skin.
    """

    name: str
    shape: tuple[int, int]
    centers: Array
    normals: Array
    half_edges: Array
    areas_mm2: Array
    height_mm: float
    two_sided: bool
    corners: Array
    relief: "Relief | None" = None
    own: bool = False

    def __post_init__(self) -> None:
        for array in (self.centers, self.normals, self.half_edges, self.areas_mm2, self.corners):
            array.setflags(write=False)


@dataclass(frozen=True, slots=True, eq=False)
class Relief:
    """A body as the distance of its outermost skin from an axis along it: which skin stands before which.

    Attributes
    ----------
    radii_mm
        (rows, `skin_kernel.RELIEF_BINS`), from the back over the patient's left.
    axis_mm
        (rows, 2) x and y.
    top_mm, pitch_mm
        z of the upper edge of the first row, and the height of a row.
    """

    radii_mm: Array
    axis_mm: Array
    top_mm: float
    pitch_mm: float

    def __post_init__(self) -> None:
        self.radii_mm.setflags(write=False)
        self.axis_mm.setflags(write=False)


def skin_phantom(name: str, height_cm: float = 176.0, weight_kg: float = 73.0) -> SkinPhantom:
    """Return a phantom; height (100 to 230 cm) and weight (15 to 300 kg) shape the adult only.

    Raises
    ------
    ValueError
        For another name, height or weight.
    """
    if name == "plane":
        width, length = _PLANE_MM
        across, along = np.linspace(-width / 2.0, width / 2.0, 46), np.linspace(0.0, -length, 176)
        x, z = np.meshgrid(across, along)
        return cells_between(name, np.stack([x, np.zeros_like(x), z], axis=-1), two_sided=True)
    if name == "cylinder":
        half_width, half_depth, length = _CYLINDER_MM
        ends = np.array([0.0, length])
        return _lofted(name, ends, np.full(2, half_width), np.full(2, half_depth))
    if name != "adult":
        raise ValueError(f"phantom must be {', '.join(PHANTOMS)}, got {name}")
    if not (100.0 <= height_cm <= 230.0 and 15.0 <= weight_kg <= 300.0):
        raise ValueError(f"an adult has 100 to 230 cm and 15 to 300 kg, got {height_cm} cm and {weight_kg} kg")
    down = _ADULT[:, 0] * height_cm * 10.0
    fine = np.linspace(0.0, down[-1], 400)
    half_width, half_depth = (np.interp(fine, down, _ADULT[:, column]) for column in (1, 2))
    volume = np.trapezoid(np.pi * half_width * half_depth, fine)
    scale = np.sqrt(weight_kg * _SHARE_WITHOUT_ARMS / _DENSITY_KG_PER_MM3 / volume)
    return _lofted(name, down, _ADULT[:, 1] * scale, _ADULT[:, 2] * scale)


def _lofted(name: str, down: Array, half_width: Array, half_depth: Array) -> SkinPhantom:
    """Ellipses between heights ``down`` below the top, joined by straight lines."""
    z = np.linspace(0.0, down[-1], round(down[-1] / _CELL_MM) + 1)
    a, b = np.interp(z, down, half_width)[:, None], np.interp(z, down, half_depth)[:, None]
    around = np.linspace(0.0, 2.0 * np.pi, round(2.0 * np.pi * half_width.max() / _CELL_MM) + 1)
    corners = np.stack(
        [a * np.sin(around), b * np.cos(around), np.broadcast_to(-z[:, None], (z.size, around.size))], axis=-1
    )
    return cells_between(name, corners)


def cells_between(
    name: str, corners: Array, *, two_sided: bool = False, relief: Relief | None = None, own: bool = False
) -> SkinPhantom:
    """Cells between ``corners`` (rows + 1, columns + 1, 3), ordered so that the normals point out."""
    upper, lower, left, right = (
        (corners[:-1, :-1] + corners[:-1, 1:]) / 2.0,
        (corners[1:, :-1] + corners[1:, 1:]) / 2.0,
        (corners[:-1, :-1] + corners[1:, :-1]) / 2.0,
        (corners[:-1, 1:] + corners[1:, 1:]) / 2.0,
    )
    half_edges = np.stack([(right - left) / 2.0, (lower - upper) / 2.0], axis=-2).reshape(-1, 2, 3)
    across = 4.0 * np.cross(half_edges[:, 0], half_edges[:, 1])
    areas = np.maximum(np.linalg.norm(across, axis=1), 1e-9)
    return SkinPhantom(
        name,
        (corners.shape[0] - 1, corners.shape[1] - 1),
        ((upper + lower) / 2.0).reshape(-1, 3),
        across / areas[:, None],
        half_edges,
        areas,
        float(np.ptp(corners[..., 2])),
        two_sided,
        corners,
        relief,
        own,
    )
