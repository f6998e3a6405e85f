"""Bodies whose skin dose falls on: a plane, an elliptic cylinder, adult and child drawn to height and weight.

Patient coordinates (LPS), mm; the origin is the top of the head in the middle of the body, so that z runs from 0 to
minus the height.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["PHANTOMS", "SIZES", "USUAL", "Relief", "SkinPhantom", "cells_between", "skin_phantom"]

Array = NDArray[np.float64]

PHANTOMS = ("plane", "cylinder", "adult", "child")
SIZES = {"adult": (100.0, 230.0, 15.0, 300.0), "child": (45.0, 170.0, 2.0, 100.0)}
"""Of bodies drawn to size: least and most height cm, least and most weight kg."""
USUAL = {"adult": (176.0, 73.0), "child": (110.0, 19.0)}
"""Their height cm and weight kg where nobody says: a man of ICRP 89, a child of five years."""
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

_CHIN, _CROTCH = 0.13, 0.50
"""Parts of the adult's height down to chin and crotch."""
# Height cm; part of it down to the chin (a head is a quarter of a newborn, a fifth at 2, a sixth at 6, a seventh at 12
# years, the anatomist's canon) and to the crotch (crown to pubis over pubis to heel 1.7 at birth, 1.5, 1.2 and 1.0 at
# 1, 5 and 7 years, as paediatrics teaches); heights of those ages after WHO's medians, all in round figures.
_CHILD = np.array(
    [
        [50.0, 0.25, 0.63],
        [75.0, 0.22, 0.60],
        [87.0, 0.20, 0.585],
        [110.0, 0.173, 0.545],
        [116.0, 0.167, 0.525],
        [122.0, 0.162, 0.50],
        [150.0, 0.143, 0.50],
        [176.0, _CHIN, _CROTCH],
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
    horizon
        (cells,) sine of the angle over the skin of a cell above which no other skin stands.
    """

    radii_mm: Array
    axis_mm: Array
    top_mm: float
    pitch_mm: float
    horizon: Array

    def __post_init__(self) -> None:
        self.horizon.setflags(write=False)
        self.radii_mm.setflags(write=False)
        self.axis_mm.setflags(write=False)


def skin_phantom(
    name: str, height_cm: float | None = None, weight_kg: float | None = None, cell_mm: float = _CELL_MM
) -> SkinPhantom:
    """Return a phantom; height and weight (within `SIZES`) shape adult and child only; `USUAL` when absent.

    Cells have sides of about ``cell_mm``, 1 to 50.

    Raises
    ------
    ValueError
        For another name, height, weight or size of cells.
    """
    if not 1.0 <= cell_mm <= 50.0:
        raise ValueError(f"cells of skin have sides of 1 to 50 mm, got {cell_mm}")
    if name == "plane":
        width, length = _PLANE_MM
        across = np.linspace(-width / 2.0, width / 2.0, round(width / cell_mm) + 1)
        along = np.linspace(0.0, -length, round(length / cell_mm) + 1)
        x, z = np.meshgrid(across, along)
        return cells_between(name, np.stack([x, np.zeros_like(x), z], axis=-1), two_sided=True)
    if name == "cylinder":
        half_width, half_depth, length = _CYLINDER_MM
        ends = np.array([0.0, length])
        return _lofted(name, ends, np.full(2, half_width), np.full(2, half_depth), cell_mm)
    if name not in SIZES:
        raise ValueError(f"phantom must be {', '.join(PHANTOMS)}, got {name}")
    usual_cm, usual_kg = USUAL[name]
    height_cm = usual_cm if height_cm is None else height_cm
    weight_kg = usual_kg if weight_kg is None else weight_kg
    least_cm, most_cm, least_kg, most_kg = SIZES[name]
    if not (least_cm <= height_cm <= most_cm and least_kg <= weight_kg <= most_kg):
        article = "an" if name == "adult" else "a"
        raise ValueError(
            f"{article} {name} has {least_cm:g} to {most_cm:g} cm and {least_kg:g} to {most_kg:g} kg, "
            f"got {height_cm} cm and {weight_kg} kg"
        )
    return _drawn(name, height_cm, weight_kg, cell_mm)


def _drawn(name: str, height_cm: float, weight_kg: float, cell_mm: float) -> SkinPhantom:
    """Return an adult or child of a height and weight."""
    body = _ADULT if name == "adult" else _grown_to(height_cm)
    down = body[:, 0] * height_cm * 10.0
    fine = np.linspace(0.0, down[-1], 400)
    half_width, half_depth = (np.interp(fine, down, body[:, column]) for column in (1, 2))
    # A child's head is as large as it is; what he weighs tells of the rest.
    rest = fine >= (_head_end(height_cm) if name == "child" else 0.0)
    slices = np.pi * half_width * half_depth
    head = float(np.trapezoid(np.where(rest, 0.0, slices), fine))
    wanted = max(weight_kg * _SHARE_WITHOUT_ARMS / _DENSITY_KG_PER_MM3 - head, 0.2 * head)
    scale = float(np.sqrt(wanted / np.trapezoid(np.where(rest, slices, 0.0), fine)))
    below = down >= (_head_end(height_cm) if name == "child" else 0.0)
    scales = np.where(below, scale, 1.0)
    return _lofted(name, down, body[:, 1] * scales, body[:, 2] * scales, cell_mm)


def _head_end(height_cm: float) -> float:
    """Return how far below the top of a child's head the neck begins, mm."""
    return float(np.interp(height_cm, _CHILD[:, 0], _CHILD[:, 1])) * height_cm * 10.0


def _grown_to(height_cm: float) -> Array:
    """Return the adult's sections with a child's proportions: a longer head and trunk, shorter legs."""
    chin, crotch = (float(np.interp(height_cm, _CHILD[:, 0], _CHILD[:, column])) for column in (1, 2))
    body = _ADULT.copy()
    body[:, 0] = np.interp(_ADULT[:, 0], [0.0, _CHIN, _CROTCH, 1.0], [0.0, chin, crotch, 1.0])
    head = chin * height_cm / (_CHIN * 176.0)
    above = _ADULT[:, 0] < _CHIN
    body[above, 1:] *= head
    body[~above, 1:] *= height_cm / 176.0
    return body


def _lofted(name: str, down: Array, half_width: Array, half_depth: Array, cell_mm: float) -> SkinPhantom:
    """Ellipses between heights ``down`` below the top, joined by straight lines."""
    z = np.linspace(0.0, down[-1], round(down[-1] / cell_mm) + 1)
    a, b = np.interp(z, down, half_width)[:, None], np.interp(z, down, half_depth)[:, None]
    around = np.linspace(0.0, 2.0 * np.pi, round(2.0 * np.pi * half_width.max() / cell_mm) + 1)
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
