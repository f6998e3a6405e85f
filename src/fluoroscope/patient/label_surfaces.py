"""Closed surfaces of labelled structures."""

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.anatomy.built import Surface
from fluoroscope.patient.labels import LabelMap

__all__ = ["BONES", "bone_names", "surface_of_label"]

BONES = ("vertebrae_", "sacrum", "coccyx", "hip_", "femur_", "rib_")
"""Beginnings of the names of bones."""
_SMOOTHING_VOXELS = 0.6
"""Takes the steps of voxels away and moves a flat surface by nothing."""


def bone_names(labels: LabelMap) -> list[str]:
    """Return the names of the labelled bones, by number."""
    return [name for _, name in sorted(labels.names.items()) if name.startswith(BONES)]


def surface_of_label(labels: LabelMap, name: str, world_from_index: NDArray[np.float64]) -> Surface | None:
    """Return the surface of a structure: where its smoothed mask crosses one half.

    Parameters
    ----------
    labels
        Structure numbers.
    name
        Of the structure.
    world_from_index
        (4, 4) of the labels' grid.

    Returns
    -------
    Surface or None
        In LPS mm, triangles counter-clockwise from outside; None where fewer than 8 voxels carry the name.
    """
    from scipy import ndimage
    from skimage import measure

    number = labels.number(name)
    if number is None:
        return None
    boxes = ndimage.find_objects(labels.values if labels.values.dtype == np.uint8 else labels.values.astype(np.int32))
    box = boxes[number - 1] if number <= len(boxes) else None
    if box is None:
        return None
    mask = np.pad(labels.values[box] == number, 3).astype(np.float32)
    smooth = ndimage.gaussian_filter(mask, _SMOOTHING_VOXELS)
    if mask.sum() < 8 or smooth.max() <= 0.5:
        return None
    corners, triangles, _, _ = measure.marching_cubes(smooth, 0.5)  # type: ignore[no-untyped-call]
    index = corners + np.array([part.start - 3 for part in box])
    world = index @ world_from_index[:3, :3].T + world_from_index[:3, 3]
    triangles = triangles.astype(np.int32)
    # Outward: the volume enclosed is positive.
    a, b, c = (world[triangles[:, corner]] for corner in range(3))
    if float(np.einsum("ij,ij->i", a - world.mean(axis=0), np.cross(b - a, c - a)).sum()) < 0.0:
        triangles = triangles[:, ::-1]
    return Surface(world.astype(np.float32), np.ascontiguousarray(triangles))
