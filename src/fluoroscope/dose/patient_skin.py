"""The patient's own skin from a CT: cells about the body's axis, so that it can be drawn unrolled and in space.

In every slice the outermost skin is looked for along rays to the body's axis. What skin hides behind other skin seen
from the side (between arm and trunk, between the legs) is not drawn: no beam enters there first. LPS, mm.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fluoroscope.dose.skin_kernel import RELIEF_BINS
from fluoroscope.dose.skin_phantoms import Relief, SkinPhantom, cells_between
from fluoroscope.patient.body_mask import body_mask
from fluoroscope.patient.volume import Volume

__all__ = ["PatientSkin", "patient_skin"]

Array = NDArray[np.float64]

_BODY_HU = -350
"""Between air (−1000) and fat (−100): above it is body."""
_IN_PLANE_MM, _ALONG_MM = 1.6, 4.0
"""The CT is looked at so finely."""
_MOST_CELLS = 30_000
_FINEST_MM, _COARSEST_MM = 4.0, 12.0
_RAY_STEP_MM = 0.8
_SMOOTH_CELLS = 0.7
_EVERY, _AT_ONCE, _NEAR_MM2, _HORIZON_MARGIN = 4, 4096, 400.0, 0.06
"""For the horizon every fourth row and column is looked at, so the sine is taken larger by what lies between."""
_LEAST_CM2 = 20.0
"""A slice with less body than this ends it."""
_CUT_SHARE = 0.02
_BORDER_VOXELS = 2.5


@dataclass(frozen=True, slots=True, eq=False)
class PatientSkin:
    """A patient's skin and what a reader must know of it.

    Attributes
    ----------
    phantom
        Its cells, head first.
    cut_share
        The part of the outlines that lies at the edge of the CT's field of view: there the body goes on unseen.
    """

    phantom: SkinPhantom
    cut_share: float

    @property
    def cut(self) -> bool:
        """Whether a part of the body lies outside the CT's field of view."""
        return self.cut_share > _CUT_SHARE


def patient_skin(volume: Volume, name: str, most_cells: int = _MOST_CELLS) -> PatientSkin:
    """Return the skin of the body in a CT; table and air are left out.

    Parameters
    ----------
    volume
        HU with axes S, P, L.
    name
        Of the patient, for those who read the map.
    most_cells
        The cells are made so large, square and alike on average, that there are no more.

    Raises
    ------
    ValueError
        When there is no body in it.
    """
    thin = _thinned(volume)
    body = body_mask(thin) & np.greater(thin.values, _BODY_HU)
    planes = _planes_of_body(body, thin)
    rough = _outline(body, thin, planes, np.linspace(0.0, 2.0 * np.pi, RELIEF_BINS, endpoint=False))
    axis, radii, edge = rough
    along = planes.z_mm
    around_mm = _perimeters(axis, radii)
    length = float(along[0] - along[-1])
    area = float(around_mm.mean()) * length
    cell = float(np.clip(np.sqrt(area / most_cells), _FINEST_MM, _COARSEST_MM))
    rows = max(1, int(length // cell))
    columns = max(8, int(around_mm.mean() // cell))
    z = np.linspace(along[0], along[-1], rows + 1)
    at_rows = [
        np.array([np.interp(z[::-1], along[::-1], one[::-1])[::-1] for one in table.T]).T for table in (axis, radii)
    ]
    corners = _corners(at_rows[0], at_rows[1], z, columns)
    pitch = float(z[0] - z[1])
    middles = [(table[:-1] + table[1:]) / 2.0 for table in at_rows]
    phantom = cells_between(name, corners, own=True)
    radii_mm, axis_mm = (np.ascontiguousarray(one) for one in reversed(middles))
    relief = Relief(radii_mm, axis_mm, float(z[0]), pitch, _horizon(phantom))
    phantom = replace(phantom, relief=relief)
    return PatientSkin(phantom, float(edge.mean()))


def _horizon(phantom: SkinPhantom) -> Array:
    """Return the sine of how high over each cell other skin stands, rather too large than too small."""
    rows, columns = phantom.shape
    centers = phantom.centers.astype(np.float32)
    others = centers.reshape(rows, columns, 3)[::_EVERY, ::_EVERY].reshape(-1, 3)
    highest = np.empty(len(centers))
    for first in range(0, len(centers), _AT_ONCE):
        chosen = slice(first, first + _AT_ONCE)
        normal = phantom.normals[chosen].astype(np.float32)
        height = normal @ others.T - np.einsum("ij,ij->i", normal, centers[chosen])[:, None]
        squared = (centers[chosen] ** 2).sum(axis=1)[:, None] - 2.0 * centers[chosen] @ others.T
        squared += (others**2).sum(axis=1)
        highest[chosen] = (height / np.sqrt(np.maximum(squared, _NEAR_MM2))).max(axis=1)
    return np.clip(highest, 0.0, None) + _HORIZON_MARGIN


@dataclass(frozen=True, slots=True)
class _Planes:
    """Slices that hold body, head first: their index in the volume and z."""

    index: NDArray[np.int64]
    z_mm: Array


def _thinned(volume: Volume) -> Volume:
    wanted = np.array([_ALONG_MM, _IN_PLANE_MM, _IN_PLANE_MM])
    steps = np.maximum(1, np.floor(wanted / volume.spacing_mm + 0.3).astype(int))
    values = np.ascontiguousarray(volume.values[:: steps[0], :: steps[1], :: steps[2]])
    affine = volume.world_from_index.copy()
    affine[:3, :3] *= steps
    return Volume(values, affine)


def _planes_of_body(body: NDArray[np.bool_], volume: Volume) -> _Planes:
    spacing = volume.spacing_mm
    area_cm2 = body.sum(axis=(1, 2)) * spacing[1] * spacing[2] / 100.0
    filled = np.flatnonzero(area_cm2 > _LEAST_CM2)
    if len(filled) < 2:
        raise ValueError("there is no body in this CT: no skin to map dose on")
    index = np.arange(filled[0], filled[-1] + 1)[::-1]
    z = volume.world_from_index[2, 3] + index * volume.world_from_index[2, 0]
    if z[0] < z[-1]:
        index, z = index[::-1], z[::-1]
    return _Planes(index, z)


def _outline(
    body: NDArray[np.bool_], volume: Volume, planes: _Planes, angles: Array
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return the axis (planes, 2), distances of the skin (planes, angles), and which of it lies at the CT's edge."""
    from scipy import ndimage

    spacing = volume.spacing_mm
    rows, columns = body.shape[1:]
    middles = np.array([ndimage.center_of_mass(body[k]) if body[k].any() else (np.nan, np.nan) for k in planes.index])
    known = np.isfinite(middles[:, 0])
    at = np.arange(len(middles))
    middles = np.stack([np.interp(at, at[known], middles[known, axis]) for axis in (0, 1)], axis=1)
    smooth = max(1.0, 60.0 / float(abs(planes.z_mm[0] - planes.z_mm[1])))
    middles = ndimage.gaussian_filter1d(middles, smooth, axis=0, mode="nearest")
    # From the back (+y) over the patient's left (+x).
    way = np.stack([np.cos(angles) / spacing[1], np.sin(angles) / spacing[2]], axis=1)
    longest = float(np.hypot(rows * spacing[1], columns * spacing[2]))
    steps = np.arange(0.0, longest, _RAY_STEP_MM)
    radii = np.zeros((len(planes.index), len(angles)))
    edge = np.zeros(radii.shape, dtype=bool)
    for number, plane in enumerate(planes.index):
        row = np.rint(middles[number, 0] + way[:, :1] * steps).astype(np.int32)
        column = np.rint(middles[number, 1] + way[:, 1:] * steps).astype(np.int32)
        inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        met = inside & body[plane][np.clip(row, 0, rows - 1), np.clip(column, 0, columns - 1)]
        last = met.shape[1] - 1 - met[:, ::-1].argmax(axis=1)
        hit = met.any(axis=1)
        radii[number] = np.where(hit, (last + 0.5) * _RAY_STEP_MM, 0.0)
        ends = np.arange(len(angles)), last
        edge[number] = hit & _at_border(row[ends], column[ends], (rows, columns))
    return _in_world(middles, volume), _without_gaps(radii), edge


def _at_border(row: NDArray[np.int32], column: NDArray[np.int32], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Whether voxels lie at the border of the picture, or of the circle in it that a scanner reconstructs."""
    rows, columns = shape
    straight = np.minimum.reduce([row, rows - 1 - row, column, columns - 1 - column]) < _BORDER_VOXELS
    if rows != columns:
        return np.asarray(straight)
    out = np.hypot(row - (rows - 1) / 2.0, column - (columns - 1) / 2.0)
    return np.asarray(straight | (np.abs(out - (rows - 1) / 2.0) < _BORDER_VOXELS))


def _in_world(middles: Array, volume: Volume) -> Array:
    matrix = volume.world_from_index
    world: Array = matrix[:2, 3] + middles[:, 1:] * matrix[:2, 2] + middles[:, :1] * matrix[:2, 1]
    return world


def _without_gaps(radii: Array) -> Array:
    """Fill directions without body from beside them, and take the steps of voxels away."""
    from scipy import ndimage

    filled = radii.copy()
    turns = np.arange(radii.shape[1])
    for row in filled:
        hit = row > 0.0
        if hit.any() and not hit.all():
            row[~hit] = np.interp(turns[~hit], turns[hit], row[hit], period=len(turns))
    return ndimage.gaussian_filter(filled, (_SMOOTH_CELLS, 1.5), mode=("nearest", "wrap"))


def _perimeters(axis: Array, radii: Array) -> Array:
    points = _around(axis, radii, np.linspace(0.0, 2.0 * np.pi, radii.shape[1], endpoint=False))
    total: Array = np.linalg.norm(np.roll(points, -1, axis=1) - points, axis=2).sum(axis=1)
    return total


def _around(axis: Array, radii: Array, angles: Array) -> Array:
    return np.stack([axis[:, :1] + radii * np.sin(angles), axis[:, 1:] + radii * np.cos(angles)], axis=-1)


def _corners(axis: Array, radii: Array, z: Array, columns: int) -> Array:
    """Return (rows + 1, columns + 1, 3): columns as wide as each other on the mean outline, the last is the first."""
    bins = radii.shape[1]
    angles = np.linspace(0.0, 2.0 * np.pi, bins + 1)
    closed = np.concatenate([radii, radii[:, :1]], axis=1)
    mean = _around(axis.mean(axis=0, keepdims=True), closed.mean(axis=0, keepdims=True), angles)[0]
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(mean, axis=0), axis=1))])
    chosen = np.interp(np.linspace(0.0, length[-1], columns + 1), length, angles)
    at = np.array([np.interp(chosen, angles, one) for one in closed])
    flat = _around(axis, at, chosen)
    return np.concatenate([flat, np.broadcast_to(z[:, None, None], (*flat.shape[:2], 1))], axis=-1)
