"""Whether the names of a CT's vertebrae can be believed: counted up from the sacrum and down from the lowest rib."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from fluoroscope.geometry.rigid import apply
from fluoroscope.patient.labels import LabelMap
from fluoroscope.patient.level_names import LEVELS, level_of, sacral_numbers, vertebra_numbers
from fluoroscope.patient.volume import Volume

__all__ = ["anatomy_warnings", "picture_warnings"]

_RIB_REACH_MM = 12.0
"""The head of a rib lies nearer to its vertebra than this; labels are coarse."""


def anatomy_warnings(volume: Volume, labels: LabelMap) -> tuple[str, ...]:
    """Return what speaks against the names of a CT's vertebrae, one line each; empty when nothing does.

    From below, the first vertebra above the sacrum should be L5. From above, the lowest vertebra with a rib should be
    T12. A vertebra more or less between the two is transitional anatomy: a sixth lumbar vertebra, a fifth that joined
    the sacrum, a rib that is missing or one too many. Which it is nobody can tell from these counts alone.

    Parameters
    ----------
    volume, labels
        A CT and its structures.
    """
    numbers = {level: number for level, number in vertebra_numbers(labels).items() if (labels.values == number).any()}
    found = [level for level in LEVELS if level in numbers]
    warnings = []
    sacrum = any((labels.values == number).any() for number in sacral_numbers(labels))
    if not sacrum:
        warnings.append("the CT shows no sacrum: its levels were not counted from below")
    elif found and found[-1] != "L5":
        kind = {"L6": "six lumbar vertebrae", "L4": "four lumbar vertebrae, L5 perhaps joined to the sacrum"}
        what = kind.get(found[-1], "a gap above the sacrum")
        warnings.append(f"transitional anatomy: {found[-1]} lies on the sacrum ({what}); agree on the count first")
    warnings += _rib_warnings(volume, labels, numbers)
    missing = [
        level
        for level in LEVELS[LEVELS.index(found[0]) : LEVELS.index(found[-1])]
        if level not in numbers and level not in ("T13", "L6")
    ] if found else []  # fmt: skip
    if missing:
        warnings.append(f"{', '.join(missing)} missing between {found[0]} and {found[-1]}: the labels leave a gap")
    return tuple(warnings)


def _rib_warnings(volume: Volume, labels: LabelMap, numbers: Mapping[str, int]) -> list[str]:
    """Compare the ribs' own labels with the vertebrae they reach: the nearest to each rib is the one that bears it."""
    counts = np.bincount(labels.values.ravel(), minlength=max(labels.names, default=0) + 1)
    ribs = [number for number, name in labels.names.items() if name.lower().startswith("rib") and counts[number] > 0]
    if not ribs:
        return ["the CT has no labelled ribs: its levels were not counted from above"]
    bones = {level: cKDTree(_points(volume, labels, number)) for level, number in numbers.items()}
    bearing = []
    for rib in ribs:
        points = _points(volume, labels, rib)
        away = {level: float(np.min(tree.query(points)[0])) for level, tree in bones.items()}
        nearest = min(away, key=lambda level: away[level]) if away else ""
        if nearest and away[nearest] < _RIB_REACH_MM:
            bearing.append(nearest)
    lowest = max(bearing, key=LEVELS.index) if bearing else None
    if lowest is None:
        return ["no rib reaches a labelled vertebra: the levels were not counted from above"]
    if lowest.startswith("L"):
        return [f"transitional anatomy: {lowest} bears a rib; agree on the count first"]
    if lowest != "T12" and "T12" in numbers:
        return [f"transitional anatomy: the lowest rib is at {lowest}, T12 has none; agree on the count first"]
    return []


def _points(volume: Volume, labels: LabelMap, number: int) -> NDArray[np.float64]:
    """Return voxel centres (n, 3) of a structure, a few thousand at most, mm."""
    index = np.argwhere(labels.values == number)
    return apply(volume.world_from_index, index[:: max(1, len(index) // 4000)])


def picture_warnings(shown: Iterable[str], ribs_shown: bool) -> tuple[str, ...]:
    """Return a warning when the picture shows neither end to count from.

    Parameters
    ----------
    shown
        Bones named in the picture, "sacrum" among them when it is.
    ribs_shown
        Whether T12 or a vertebra above is in the picture.
    """
    names = list(shown)
    if "sacrum" in names or ribs_shown or any((level_of(name) or "L1").startswith("T") for name in names):
        return ()
    return ("neither sacrum nor T12 is in the picture: the names rest on the CT alone and cannot be counted here",)
