"""What lies around a level: structures on a grid of 1 mm, the distance to each, and the skin of the back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fluoroscope.geometry.rigid import apply
from fluoroscope.patient.instruments.tissue_probe import AIR_HU, BONE_HU, TissueProbe
from fluoroscope.patient.labels import LabelMap
from fluoroscope.patient.volume import Volume

__all__ = ["FORBIDDEN", "PITCH_MM", "Box", "Surroundings", "look_around"]

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]

PITCH_MM = 1.0
"""Of the grid everything is looked up on; coarser CTs are brought onto it (3 mm voxels stay 3 mm sharp)."""
FAR_MM = 100.0
"""The distance to what is not there."""
FORBIDDEN = ("cord", "vessel", "bowel", "kidney", "lung", "organ")
"""What no needle may go through, beside bone."""
COARSE = ("vessel", "bowel", "kidney", "lung", "organ")
"""Told on a grid of 2 mm: they lie deep, and half as fine is eight times as quick."""
_POOL = 2
_SKIN_RUN_MM = 5.0


@dataclass(frozen=True, slots=True)
class Box:
    """A box of the world, LPS mm: corners (3,)."""

    low_mm: Float
    high_mm: Float


@dataclass
class Surroundings:
    """Structures around a level on a grid along the patient's axes, 1 mm apart.

    Attributes
    ----------
    first_mm
        (3,) world place of index (0, 0, 0).
    masks
        bool (z, y, x) by what: "bone", "nerve_root", "cauda", "cord", "dura", "epidural", "disc", "vessel", "bowel",
        "kidney", "lung", "organ", and what a procedure added ("target_bone" and the like).
    numbers
        Label numbers (z, y, x).
    skin_mm
        (z, x) y of the skin of the back; NaN where the CT ends before it.
    notes
        What was modelled because the labels have no such structure.
    coarse_mm
        Largest voxel pitch of the CT.
    """

    first_mm: Float
    masks: dict[str, Mask]
    numbers: NDArray[np.uint16]
    skin_mm: Float
    coarse_mm: float
    notes: list[str] = field(default_factory=list)
    _distance: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    _trees: dict[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Points along z, y, x."""
        z, y, x = next(iter(self.masks.values())).shape
        return z, y, x

    def index_of(self, points_mm: ArrayLike) -> Float:
        """Return (3, n) grid coordinates z, y, x of points (n, 3)."""
        points = np.atleast_2d(np.asarray(points_mm, dtype=np.float64))
        return ((points - self.first_mm) / PITCH_MM)[:, ::-1].T

    def points_of(self, index: ArrayLike) -> Float:
        """Return world points (n, 3) of grid indices (n, 3) in order z, y, x."""
        return np.asarray(index, dtype=np.float64)[:, ::-1] * PITCH_MM + self.first_mm

    def has(self, what: str) -> bool:
        """Whether any of it lies here."""
        mask = self.masks.get(what)
        return mask is not None and bool(mask.any())

    def inside(self, what: str, points_mm: ArrayLike) -> Mask:
        """Return which points (n, 3) lie in a structure, by the nearest grid point; False outside the grid."""
        mask = self.masks.get(what)
        index = np.rint(self.index_of(points_mm)).astype(np.int64)
        if mask is None:
            return np.zeros(index.shape[1], dtype=np.bool_)
        within = np.all((index >= 0) & (index < np.array(mask.shape)[:, None]), axis=0)
        i, j, k = np.where(within, index, 0)
        found: Mask = within & mask[i, j, k]
        return found

    def distance_mm(self, what: str, points_mm: ArrayLike) -> Float:
        """Return how far points (n, 3) are from the surface of a structure: about −0.5 within it.

        Where there is no such structure, `FAR_MM`. Structures of `COARSE` are told to 2 mm, rather too near.
        """
        from scipy import ndimage

        field_ = self._field(what)
        if field_ is None:
            return np.full(len(np.atleast_2d(np.asarray(points_mm))), FAR_MM)
        index = self.index_of(points_mm)
        if what in COARSE:
            index = (index - 0.5 * (_POOL - 1)) / _POOL
        found: Float = ndimage.map_coordinates(field_, index, order=1, mode="nearest").astype(np.float64)
        return found

    def nearly_mm(self, what: str, points_mm: Float) -> Float:
        """Return about how far points (n, 3) are from a structure: of the nearest grid point, quickly."""
        field_ = self._field(what)
        if field_ is None:
            return np.full(len(points_mm), FAR_MM)
        pool = _POOL if what in COARSE else 1
        index = np.rint((self.index_of(points_mm) - 0.5 * (pool - 1)) / pool).astype(np.int64)
        i, j, k = np.clip(index, 0, np.array(field_.shape)[:, None] - 1)
        found: Float = field_[i, j, k].astype(np.float64)
        return found

    def gap_mm(self, what: str, points_mm: Float) -> float | None:
        """Return the least distance of points (n, 3) to a structure, exactly; None where there is none."""
        from scipy.spatial import cKDTree

        if not self.has(what):
            return None
        if self.inside(what, points_mm).any():
            return -0.5 * PITCH_MM
        if what not in self._trees:
            self._trees[what] = cKDTree(_surface(self.masks[what]) * PITCH_MM, balanced_tree=False, compact_nodes=False)
        near, _ = self._trees[what].query(self.index_of(points_mm).T * PITCH_MM)
        return float(near.min()) - 0.5 * PITCH_MM

    def depth_in_mm(self, what: str, points_mm: ArrayLike) -> Float:
        """Return how deep points (n, 3) lie in a structure, below 0 outside it."""
        from scipy import ndimage

        key = f"in {what}"
        if key not in self._distance:
            mask = self.masks[what]
            deep = ndimage.distance_transform_edt(mask).astype(np.float32) - np.float32(0.5)
            self._distance[key] = deep * np.float32(PITCH_MM)
        return ndimage.map_coordinates(self._distance[key], self.index_of(points_mm), order=1).astype(np.float64)

    def skin_at(self, x_mm: Float, z_mm: Float) -> Float:
        """Return y of the skin of the back over places (n,); NaN outside the CT."""
        k = np.rint((np.asarray(x_mm) - self.first_mm[0]) / PITCH_MM).astype(np.int64)
        i = np.rint((np.asarray(z_mm) - self.first_mm[2]) / PITCH_MM).astype(np.int64)
        rows, columns = self.skin_mm.shape
        within = (i >= 0) & (i < rows) & (k >= 0) & (k < columns)
        return np.where(within, self.skin_mm[np.where(within, i, 0), np.where(within, k, 0)], np.nan)

    def _field(self, what: str) -> NDArray[np.float32] | None:
        """Return the distance to a structure, made when first asked for; None when there is none."""
        from scipy import ndimage

        if what not in self._distance:
            if not self.has(what):
                return None
            pooled = what in COARSE
            pitch = PITCH_MM * (_POOL if pooled else 1)
            mask = _pooled(self.masks[what]) if pooled else self.masks[what]
            away = ndimage.distance_transform_edt(~mask, sampling=pitch)
            self._distance[what] = (away - 0.5 * pitch).astype(np.float32)
        return self._distance[what]


def _pooled(mask: Mask) -> Mask:
    """Return a mask on half as many points along each axis: True where any of eight is."""
    odd = [(0, -size % _POOL) for size in mask.shape]
    full = np.pad(mask, odd, mode="edge")
    z, y, x = (size // _POOL for size in full.shape)
    return np.asarray(full.reshape(z, _POOL, y, _POOL, x, _POOL).any(axis=(1, 3, 5)), dtype=np.bool_)


def _surface(mask: Mask) -> Float:
    """Return indices (n, 3) of the points of a mask that have a neighbour outside it."""
    inner = mask.copy()
    for axis in range(3):
        ahead, behind = [slice(None)] * 3, [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        inner[tuple(behind)] &= mask[tuple(ahead)]
        inner[tuple(ahead)] &= mask[tuple(behind)]
    return np.argwhere(mask & ~inner).astype(np.float64)


def look_around(volume: Volume, labels: LabelMap, probe: TissueProbe, box: Box) -> Surroundings:
    """Return what lies in a box of the world, as far as the CT reaches.

    Parameters
    ----------
    volume, labels
        HU and named structures on one grid.
    probe
        Tells what tissue a label is.
    box
        What is looked at; the skin of the back is looked for behind it, to the end of the CT.
    """
    low, high = _within(volume, box)
    first = np.round(low / PITCH_MM) * PITCH_MM
    shape = tuple(int(n) for n in np.maximum(np.floor((high - first) / PITCH_MM).astype(int) + 1, 1)[::-1])
    grid = _Grid(volume, first, (shape[0], shape[1], shape[2]))
    hu = grid.laid(volume.values, np.float32, 1)
    skin = _skin_of(hu, first, grid.ends_behind)
    if not np.isfinite(skin).any():
        raise ValueError("the CT ends before the skin of the back at this level: a way in cannot be planned")
    # Nothing lies behind the hindmost skin.
    rows = min(shape[1], int(np.nanmax(skin) - first[1]) + 3)
    grid = _Grid(volume, first, (shape[0], rows, shape[2]))
    numbers = grid.laid(labels.values, np.uint16, 0)
    masks = _masks(hu[:, :rows], numbers, grid, labels, probe)
    return Surroundings(first, masks, numbers, skin, float(volume.spacing_mm.max()))


def _within(volume: Volume, box: Box) -> tuple[Float, Float]:
    """Return the box cut to the CT, reaching to the CT's own back end."""
    corners = _corners(volume)
    low, high = np.maximum(box.low_mm, corners.min(axis=0)), np.minimum(box.high_mm, corners.max(axis=0))
    if np.any(high - low < 10.0):
        raise ValueError("the level lies at the edge of the CT or outside it; choose one that the CT shows whole")
    return low, high


def _corners(volume: Volume) -> Float:
    """Return the middles (8, 3) of a volume's corner voxels in the world."""
    ends = (np.indices((2, 2, 2)).reshape(3, 8).T * (np.array(volume.values.shape) - 1)).astype(np.float64)
    return apply(volume.world_from_index, ends)


@dataclass(frozen=True, slots=True)
class _Grid:
    """The way from the 1 mm grid to a volume's voxels."""

    volume: Volume
    first_mm: Float
    shape: tuple[int, int, int]

    @property
    def same(self) -> bool:
        """Whether the volume's own voxels are 1 mm along the patient's axes: then they are cut out as they are."""
        own = np.zeros((3, 3))
        own[2, 0] = own[1, 1] = own[0, 2] = PITCH_MM
        off = (self.first_mm - self.volume.world_from_index[:3, 3]) / PITCH_MM
        return np.allclose(self.volume.world_from_index[:3, :3], own, atol=1e-6) and np.allclose(
            off, np.rint(off), atol=1e-4
        )

    @property
    def ends_behind(self) -> bool:
        """Whether the grid's last plane to the back is the CT's own last."""
        last = self.first_mm[1] + (self.shape[1] - 1) * PITCH_MM
        return bool(last > _corners(self.volume)[:, 1].max() - 2.0 * float(self.volume.spacing_mm.max()))

    def cut(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the volume's own voxels in the grid's box."""
        start = np.rint((self.first_mm - self.volume.world_from_index[:3, 3])[::-1] / PITCH_MM).astype(int)
        return values[tuple(slice(int(s), int(s) + n) for s, n in zip(start, self.shape, strict=True))]

    def laid(self, values: NDArray[Any], dtype: Any, order: Literal[0, 1]) -> NDArray[Any]:
        """Return values on the grid: linear between voxels (order 1), or the nearest voxel's (order 0)."""
        from scipy import ndimage

        if self.same:
            return self.cut(values).astype(dtype)
        index_from_world = np.linalg.inv(self.volume.world_from_index)
        turn = index_from_world[:3, :3][:, ::-1] * PITCH_MM
        shift = index_from_world[:3, :3] @ self.first_mm + index_from_world[:3, 3]
        found: NDArray[Any] = ndimage.affine_transform(
            values, turn, shift, output_shape=self.shape, output=dtype, order=order, mode="nearest"
        )
        return found


def _masks(
    hu: NDArray[np.float32], numbers: NDArray[np.uint16], grid: _Grid, labels: LabelMap, probe: TissueProbe
) -> dict[str, Mask]:
    """Return the structures that matter to a needle, by what they are to it."""
    size = max([*labels.names, int(numbers.max())]) + 1
    kinds = {number: _kind_of(name, probe.tissue_of(number)) for number, name in labels.names.items()}

    def table(*wanted: str) -> Mask:
        chosen = np.zeros(size, dtype=np.bool_)
        chosen[[number for number, kind in kinds.items() if kind in wanted]] = True
        return chosen

    known = np.zeros(size, dtype=np.bool_)
    known[[number for number in labels.names if probe.tissue_of(number) is not None]] = True
    masks = {
        what: table(what)[numbers]
        for what in ("nerve_root", "cauda", "epidural", "disc", "vessel", "bowel", "kidney", "lung", "organ", "facet")
    }
    masks["bone"] = table("bone")[numbers] | (~known[numbers] & (hu > BONE_HU))
    cord = table("cord")[numbers]
    height = grid.first_mm[2] + np.arange(grid.shape[0]) * PITCH_MM
    masks["cord"] = cord & (height >= probe.cord_ends_mm)[:, None, None]
    masks["dura"] = cord | table("csf", "cauda")[numbers]
    return masks


def _kind_of(name: str, tissue: str | None) -> str:
    """Return what a structure is to a needle."""
    if name == "cauda_equina":
        return "cauda"
    if name.startswith("kidney"):
        return "kidney"
    if name == "epidural_veins":
        return "epidural"
    words: Mapping[str, str] = {
        "bone": "bone", "metal": "bone", "nerve root": "nerve_root", "cord": "cord", "CSF": "csf", "vessel": "vessel",
        "bowel": "bowel", "lung": "lung", "organ": "organ", "fetus": "organ", "disc": "disc", "facet joint": "facet",
        "epidural space": "epidural",
    }  # fmt: skip
    return words.get(tissue or "", "soft")


def _skin_of(hu: NDArray[np.float32], first_mm: Float, ends_behind: bool) -> Float:
    """Return y of the hindmost tissue of every column (z, x) that is 5 mm thick; NaN where the CT cuts it off."""
    tissue = hu[:, ::-1, :] > AIR_HU
    run = round(_SKIN_RUN_MM / PITCH_MM)
    thick = tissue.copy()
    for step in range(1, run):
        thick[:, :-step] &= tissue[:, step:]
        thick[:, -step:] = False
    from_behind = thick.argmax(axis=1)
    found = thick.any(axis=1)
    y = first_mm[1] + (hu.shape[1] - 1 - from_behind) * PITCH_MM + 0.5 * PITCH_MM
    cut = (from_behind == 0) & ends_behind
    skin: Float = np.where(found & ~cut, y, np.nan)
    return skin
