"""What is at a point of the patient, at rest or moved: structure, tissue, CT number, and the frame it rides on."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fluoroscope.geometry.rigid import Matrix, apply, inverse
from fluoroscope.patient.anatomy.structures import structures
from fluoroscope.patient.labels import LabelMap
from fluoroscope.patient.parts import REST, Articulation
from fluoroscope.patient.volume import Volume

__all__ = ["SOFT", "Tissue", "TissueProbe"]

Float = NDArray[np.float64]
AIR_HU, FAT_HU, BONE_HU = -300.0, -30.0, 180.0
SOFT = ("skin", "fat", "muscle", "ligament")
_SKIN_MM = 2.0
_BODY_MM = 15.0
"""From a disc's middle to that of the vertebra above, where no second disc tells (half a body and a disc)."""

# TotalSegmentator structures of which `structures.csv` has no like, by how their names begin.
_BY_NAME = (
    ("vertebrae", "bone"), ("rib", "bone"), ("hip", "bone"), ("femur", "bone"), ("humerus", "bone"),
    ("scapula", "bone"), ("clavicula", "bone"), ("sternum", "bone"), ("skull", "bone"), ("sacrum", "bone"),
    ("lung", "lung"), ("trachea", "lung"), ("heart", "organ"), ("atrial", "organ"), ("gluteus", "muscle"),
    ("autochthon", "muscle"), ("iliopsoas", "muscle"), ("aorta", "vessel"), ("iliac", "vessel"), ("portal", "vessel"),
    ("superior_vena", "vessel"), ("inferior_vena", "vessel"), ("pulmonary", "vessel"), ("brachiocephalic", "vessel"),
    ("subclavian", "vessel"), ("common_carotid", "vessel"), ("costal", "cartilage"), ("esophagus", "bowel"),
    ("duodenum", "bowel"), ("small_bowel", "bowel"), ("colon", "bowel"), ("stomach", "bowel"), ("kidney", "organ"),
    ("prostate", "organ"), ("thyroid", "organ"), ("adrenal", "organ"), ("urinary", "organ"), ("brain", "cord"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tissue:
    """What is at a point.

    Attributes
    ----------
    tissue
        As in ``data/structures.csv``: "skin", "CSF", "bone" …; "air" outside.
    structure
        "vertebrae_L3", "" where nothing is labelled and the CT number decided.
    label
        Its number in the label map, 0 for none.
    hu
        CT number.
    """

    tissue: str
    structure: str
    label: int
    hu: float


class TissueProbe:
    """Tells what lies at points of one patient.

    A real CT has no cerebrospinal fluid of its own: TotalSegmentator's ``spinal_cord`` fills the canal, and counts
    as CSF below the middle of L2, where the cord has ended (``reference/guidance.md`` §6.3).

    Parameters
    ----------
    volume
        HU at rest.
    labels
        On the same grid, or None: then CT numbers decide.
    articulation
        For patients who move.

    Attributes
    ----------
    hu, world_from_index
        The volume's values and where they lie.
    names
        Structures by label number.
    cord_ends_mm
        Height below which a structure called cord counts as CSF; minus infinity where CSF is labelled itself.
    """

    def __init__(
        self, volume: Volume, labels: LabelMap | None = None, articulation: Articulation | None = None
    ) -> None:
        self.hu = volume.values
        self._labels = labels.values if labels is not None else None
        self.world_from_index = volume.world_from_index
        self._index_from_world: Float = np.linalg.inv(volume.world_from_index).astype(np.float64)
        self._shape = np.array(volume.values.shape)
        self.names = dict(labels.names) if labels is not None else {}
        self._tissues = {number: _tissue_of(name) for number, name in self.names.items()}
        self.cord_ends_mm = self._end_of_cord() if "cerebrospinal_fluid" not in self.names.values() else -np.inf
        self._centers = _centers(articulation)

    @property
    def labels(self) -> NDArray[np.uint8] | NDArray[np.uint16] | None:
        """The label map's values on the grid of ``world_from_index``; None without labels."""
        return self._labels

    def tissue_of(self, number: int) -> str | None:
        """Return the tissue of a label number; None when the number says nothing."""
        return self._tissues.get(number)

    def numbers(self, *tissues: str) -> NDArray[np.int64]:
        """Return the label numbers of these tissues that this patient has, rising."""
        found = [number for number, tissue in self._tissues.items() if tissue in tissues]
        return np.array(sorted(found), dtype=np.int64)

    def hu_and_labels(self, rest_mm: ArrayLike) -> tuple[Float, NDArray[np.int64]]:
        """Return CT numbers and labels of the voxels nearest to points (n, 3); −1000 and 0 outside the volume."""
        points = np.atleast_2d(np.asarray(rest_mm, dtype=np.float64))
        index = np.rint(apply(self._index_from_world, points)).astype(np.int64)
        inside = np.all((index >= 0) & (index < self._shape), axis=1)
        i, j, k = np.where(inside[:, None], index, 0).T
        hu = np.where(inside, self.hu[i, j, k], -1000.0).astype(np.float64)
        numbers = np.zeros(len(points), np.int64) if self._labels is None else self._labels[i, j, k].astype(np.int64)
        return hu, np.where(inside, numbers, 0)

    def at_rest(self, rest_mm: ArrayLike) -> Tissue:
        """Return what lies at a point (3,) of the resting patient."""
        point = np.asarray(rest_mm, dtype=np.float64)
        (hu,), (number,) = self.hu_and_labels(point)
        return self._told(float(hu), int(number), point)

    def at(self, world_mm: ArrayLike, frames: Mapping[str, Matrix] | None = None) -> Tissue:
        """Return what lies at a point (3,) of the patient moved by ``frames`` (``world_from_rest`` by name)."""
        return self.at_rest(self.rest_of(world_mm, frames))

    def rest_of(self, world_mm: ArrayLike, frames: Mapping[str, Matrix] | None = None) -> Float:
        """Return where a point (3,) of the moved patient lies at rest.

        In a bone it moves with that bone; elsewhere with the two vertebrae it lies between, in proportion, as the
        slabs of soft tissue do.
        """
        point = np.asarray(world_mm, dtype=np.float64)
        if not frames:
            return point
        for name in self._centers:
            frame = frames.get(name)
            if frame is not None:
                back = apply(inverse(frame), point)
                _, (number,) = self.hu_and_labels(back)
                if self.names.get(int(number)) == name:
                    return back
        moved = {
            name: float(apply(frames[name], center)[2]) for name, center in self._centers.items() if name in frames
        }
        shares = _shares(moved, float(point[2]))
        rest = frames.get(REST, np.eye(4))
        return sum(
            (share * apply(inverse(frames.get(name, rest)), point) for name, share in shares.items()), np.zeros(3)
        )

    def frame_of(self, rest_mm: ArrayLike) -> str:
        """Return the frame a point (3,) of the resting patient rides on: its bone's, or the nearest vertebra's."""
        tissue = self.at_rest(rest_mm)
        if tissue.structure in self._centers:
            return tissue.structure
        shares = _shares(
            {name: float(center[2]) for name, center in self._centers.items()}, float(np.asarray(rest_mm)[2])
        )
        return max(shares, key=lambda name: shares[name])

    def skin_on(self, through_mm: ArrayLike, direction: ArrayLike, reach_mm: float = 400.0) -> Float | None:
        """Return where a line first enters the resting patient, (3,); None when it misses him.

        Parameters
        ----------
        through_mm
            A point (3,) of the line.
        direction
            (3,) into the patient.
        reach_mm
            How far to look to both sides of the point.
        """
        point = np.asarray(through_mm, dtype=np.float64)
        along = np.asarray(direction, dtype=np.float64)
        along = along / np.linalg.norm(along)
        step = 0.25
        at = np.arange(-reach_mm, reach_mm, step)
        hu, _ = self.hu_and_labels(point + at[:, None] * along)
        tissue = hu > AIR_HU
        # Five millimetres of tissue in a row: noise and a sheet are no skin.
        run = int(5.0 / step)
        filled = np.convolve(tissue, np.ones(run), mode="valid") >= run
        if not filled.any():
            return None
        entry: Float = point + at[int(filled.argmax())] * along
        return entry

    def _told(self, hu: float, number: int, rest_mm: Float) -> Tissue:
        tissue = self._tissues.get(number)
        name = self.names.get(number, "")
        if tissue == "cord" and rest_mm[2] < self.cord_ends_mm:
            tissue = "CSF"
        if tissue is None:
            tissue = "air" if hu < AIR_HU else "fat" if hu < FAT_HU else "muscle" if hu < BONE_HU else "bone"
            if tissue in ("fat", "muscle") and self._at_surface(rest_mm):
                tissue = "skin"
        return Tissue(tissue, name, number, hu)

    def _at_surface(self, rest_mm: Float) -> bool:
        """Whether air lies on one side of the point, and still 40 mm further: that is outside, not bowel."""
        sides = np.concatenate([np.eye(3), -np.eye(3)])[[1, 0, 2, 3, 4, 5]]
        near, _ = self.hu_and_labels(rest_mm + _SKIN_MM * sides)
        far, _ = self.hu_and_labels(rest_mm + 40.0 * sides)
        return bool(((near < AIR_HU) & (far < AIR_HU))[[0, 1, 3, 4]].any())

    def _end_of_cord(self) -> float:
        for name in ("vertebrae_L2", "vertebrae_L1"):
            number = next((n for n, known in self.names.items() if known == name), None)
            if number is not None and self._labels is not None:
                index = np.argwhere(self._labels[::2, ::2, ::2] == number)
                if len(index):
                    return float(apply(self.world_from_index, 2.0 * index.mean(axis=0))[2])
        return -np.inf


def _tissue_of(name: str) -> str | None:
    known = structures().get(name)
    if known is not None:
        return known.tissue
    return next((tissue for start, tissue in _BY_NAME if name.startswith(start)), None)


def _centers(articulation: Articulation | None) -> dict[str, Float]:
    """Return the middle of every vertebra at rest by its frame's name, and of what lies below as `REST`."""
    if articulation is None or not articulation.joints:
        return {}
    centers: dict[str, Float] = {}
    joints = articulation.joints
    for number, joint in enumerate(joints):
        origin, up = joint.world_from_disc[:3, 3], joint.world_from_disc[:3, 2]
        above = joints[number - 1].world_from_disc[:3, 3] if number else origin + 2.0 * _BODY_MM * up
        centers[joint.upper] = (origin + above) / 2.0
    last = joints[-1].world_from_disc
    centers[REST] = last[:3, 3] - _BODY_MM * last[:3, 2]
    return centers


def _shares(heights_mm: Mapping[str, float], z_mm: float) -> dict[str, float]:
    """Return the frames next to a height and their shares, which add up to 1; `REST` without any."""
    if not heights_mm:
        return {REST: 1.0}
    order = sorted(heights_mm, key=lambda name: heights_mm[name])
    heights = [heights_mm[name] for name in order]
    if z_mm <= heights[0]:
        return {order[0]: 1.0}
    if z_mm >= heights[-1]:
        return {order[-1]: 1.0}
    upper = int(np.searchsorted(heights, z_mm))
    share = (z_mm - heights[upper - 1]) / max(heights[upper] - heights[upper - 1], 1e-9)
    return {order[upper - 1]: 1.0 - share, order[upper]: share}
