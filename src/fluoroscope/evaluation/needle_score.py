"""The needle's shadow against an independent one: a triangle mesh of the needle, ray by ray, many rays to a pixel.

The mesh is made here from gauge, length and bevel, and its thickness along a ray is the signed sum of the depths at
which the ray meets its triangles: nothing of the projector's shapes is used.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import ProjectionGeometry, project_points, projection_geometry
from fluoroscope.patient.instruments.catalogue import GAUGES, Instrument, instrument
from fluoroscope.patient.instruments.shaft import InPlace, shapes_of
from fluoroscope.patient.scene import Scene
from fluoroscope.projector import project_scene

__all__ = ["mesh_shadow", "needle_errors", "needle_mesh", "needle_rows"]

Float = NDArray[np.float64]
SIDES, SLICE_MM, SUBSAMPLES = 72, 3.0, 8
FIELD_MM = 307.2
VIEWS = ((0.0, 0.0, (0.3, -0.2, 1.0)), (35.0, -20.0, (-0.5, -1.0, 0.4)), (90.0, 10.0, (0.2, -1.0, -0.1)))
"""Primary and secondary angle, and the needle's direction, in each."""


def needle_mesh(kind: Instrument, tip: Float, along: Float, bevel: Float, diameter_mm: float) -> Float:
    """Return closed triangles (n, 3, 3), outward by the right hand: one round surface of a bevelled needle, mm.

    A prism with as many sides as ``SIDES`` and the area of the circle.

    Parameters
    ----------
    kind
        Length, outer diameter and bevel.
    tip
        End of the axis at the height of the sharp point.
    along, bevel
        Unit: the needle's direction, and the way its bevel looks.
    diameter_mm
        Of this surface.
    """
    tangent = np.tan(np.deg2rad(kind.cut_deg))
    angle = 2.0 * np.pi * np.arange(SIDES) / SIDES
    swell = np.sqrt(2.0 * np.pi / SIDES / np.sin(2.0 * np.pi / SIDES))
    x, y = swell * diameter_mm / 2.0 * np.cos(angle), swell * diameter_mm / 2.0 * np.sin(angle)
    side = np.cross(along, bevel)
    # The sharp point lies opposite to the bevel's face; each line of the surface ends where it meets the face.
    ends = -kind.outer_mm / 2.0 / tangent - x / tangent
    count = int(np.ceil(kind.length_mm / SLICE_MM))
    levels = np.linspace(0.0, 1.0, count + 1)
    height = (1.0 - levels)[:, None] * -kind.length_mm + levels[:, None] * ends
    rings = tip + x[None, :, None] * bevel + y[None, :, None] * side + height[..., None] * along
    after = np.roll(rings, -1, axis=1)
    low, low_after, high, high_after = rings[:-1], after[:-1], rings[1:], after[1:]
    wall = [np.stack([low, low_after, high], 2), np.stack([high, low_after, high_after], 2)]
    hub, point = rings[0].mean(axis=0), rings[-1].mean(axis=0)
    caps = [
        np.stack([np.broadcast_to(hub, rings[0].shape), after[0], rings[0]], 1),
        np.stack([np.broadcast_to(point, rings[-1].shape), rings[-1], after[-1]], 1),
    ]
    return np.concatenate([*(part.reshape(-1, 3, 3) for part in wall), *caps])


def mesh_shadow(triangles: Float, geometry: ProjectionGeometry, sub: int = SUBSAMPLES) -> Float:
    """Return the thickness (rows, columns) of a closed mesh, mm, averaged over sub × sub rays to a pixel."""
    rows, columns = geometry.grid.rows, geometry.grid.columns
    fine = np.zeros((rows * sub, columns * sub))
    corners = (project_points(geometry, triangles) + 0.5) * sub - 0.5
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    level = np.einsum("ij,ij->i", normals, triangles[:, 0] - geometry.source_mm)
    rays = geometry.direction_from_pixel
    for corner, normal, height in zip(corners, normals, level, strict=True):
        low = np.maximum(np.ceil(corner.min(axis=0)).astype(int), 0)
        high = np.minimum(np.floor(corner.max(axis=0)).astype(int) + 1, fine.shape)
        if (high <= low).any():
            continue
        r, c = np.mgrid[low[0] : high[0], low[1] : high[1]].astype(np.float64)
        turns = [
            (two[0] - one[0]) * (c - one[1]) - (two[1] - one[1]) * (r - one[0])
            for one, two in itertools.pairwise([*corner, corner[0]])
        ]
        inside = (np.minimum.reduce(turns) >= 0.0) | (np.maximum.reduce(turns) < 0.0)
        ray = np.stack([(r + 0.5) / sub - 0.5, (c + 0.5) / sub - 0.5, np.ones_like(r)], -1)[inside] @ rays.T
        facing = ray @ normal
        depth = np.sign(facing) * height / facing * np.linalg.norm(ray, axis=1)
        fine[low[0] : high[0], low[1] : high[1]][inside] += depth
    averaged: Float = fine.reshape(rows, sub, columns, sub).mean(axis=(1, 3))
    return averaged


def needle_errors(
    gauge: int, pixels: int, view: tuple[float, float, tuple[float, float, float]]
) -> tuple[float, float]:
    """Return the error of the shadow's integral, %, and the largest shift of its middle across it, px.

    A hollow Quincke needle of 60 mm with an open bore, near the isocentre of a mobile C-arm; the middle of the shadow
    is that of eight pixels' length at a time.
    """
    primary, secondary, way = view
    grid = DetectorGrid(pixels, pixels, FIELD_MM / pixels)
    geometry = projection_geometry(CArmPose(primary, secondary, 510.0, 1020.0), grid)
    kind = replace(instrument(f"spinal-{gauge}G-89"), kind="wire", length_mm=60.0)
    along = np.asarray(way) / np.linalg.norm(way)
    bevel = np.cross(along, (0.37, 0.61, 0.7))
    bevel /= np.linalg.norm(bevel)
    tip = np.array([3.3, -2.1, 4.7]) + 25.0 * along
    placed = InPlace(kind, np.stack([tip - kind.length_mm * along, tip]), bevel, stylet=False)
    ours = project_scene(Scene((), shapes_of(placed)), geometry)[1].astype(np.float64)
    steel = shapes_of(placed)[0].basis[1]
    outer, bore = GAUGES[gauge]
    theirs = mesh_shadow(needle_mesh(kind, tip, along, bevel, outer), geometry)
    theirs -= mesh_shadow(needle_mesh(kind, tip, along, bevel, bore), geometry)
    integral = 100.0 * abs(ours.sum() / steel / theirs.sum() - 1.0)
    return integral, _shift_px(ours / steel, theirs, project_points(geometry, placed.path_mm))


def _shift_px(one: Float, other: Float, ends: Float) -> float:
    """Return the largest distance of the middles of two shadows, across the line between ``ends`` (row, column)."""
    way = ends[1] - ends[0]
    length = float(np.linalg.norm(way))
    way = way / length
    rows, columns = np.nonzero((one > 0.0) | (other > 0.0))
    at = np.stack([rows, columns], 1) - ends[0]
    along, across = at @ way, at @ np.array([-way[1], way[0]])
    bins = np.clip(along / 8.0, 0.0, None).astype(int)
    middles = []
    for picture in (one, other):
        weight = picture[rows, columns]
        total = np.bincount(bins, weight)
        middles.append(np.bincount(bins, weight * across) / np.maximum(total, 1e-12))
    full = np.bincount(bins) > 0.5 * np.median(np.bincount(bins))
    along_shift = abs(float(one[rows, columns] @ along / one.sum() - other[rows, columns] @ along / other.sum()))
    return max(float(np.abs(middles[0] - middles[1])[full].max()), along_shift)


def needle_rows(
    *, gauges: Sequence[int] = (18, 22, 25, 27), sizes: Sequence[int] = (512, 1024), views: int = len(VIEWS)
) -> list[dict[str, Any]]:
    """Return the scorecard's rows: the worst integral and position over gauges, picture sizes and views."""
    errors = [needle_errors(gauge, size, view) for gauge in gauges for size in sizes for view in VIEWS[:views]]
    scope = f"{min(gauges)} to {max(gauges)}G, {', '.join(map(str, sizes))} px, {views} views"
    reference = f"triangle mesh, {SUBSAMPLES}×{SUBSAMPLES} rays a pixel"
    found = []
    for key, what, tolerance, value, unit in (
        ("integral", "largest error of a needle's shadow integral", 1.0, max(one for one, _ in errors), "%"),
        ("position", "largest shift of a needle's shadow", 0.1, max(two for _, two in errors), "px"),
    ):
        found.append(
            {
                "id": f"needle.{key}", "what": f"{what}, {scope}", "reference": reference, "tolerance": tolerance,
                "value": float(value), "unit": unit, "pass": bool(value <= tolerance),
            }
        )  # fmt: skip
    return found
