"""The outline of bones as a picture shows them: their voxels' shadow, and its edge."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.projection import ProjectionGeometry, project_points
from fluoroscope.geometry.rigid import Matrix, apply
from fluoroscope.patient.level_names import sacral_numbers, vertebra_numbers
from fluoroscope.patient.library import Patient

__all__ = ["Silhouettes", "outline_px"]

Float = NDArray[np.float64]

_CELL_MM = 1.0
"""Of the shadow, at the bone; not below 0.7 of a voxel, or it has holes."""
_BLUR_CELLS = 1.0
_TOLERANCE_CELLS = 0.35
_LEAST_POINTS = 12


class Silhouettes:
    """Surfaces of a patient's bones, to be outlined in pictures.

    Parameters
    ----------
    patient
        With labels; without, nothing is outlined.
    levels
        Which bones: "L3", "S1".
    """

    def __init__(self, patient: Patient, levels: Sequence[str]) -> None:
        self._surfaces: list[Float] = []
        self._cell_mm = _CELL_MM
        labels = patient.labels
        if labels is None:
            return
        self._cell_mm = max(_CELL_MM, 0.7 * float(np.max(patient.volume.spacing_mm)))
        known = {level: [number] for level, number in vertebra_numbers(labels).items()}
        known["S1"] = sacral_numbers(labels)
        for level in levels:
            inside = np.isin(labels.values, known.get(level, []))
            if inside.any():
                self._surfaces.append(apply(patient.volume.world_from_index, _surface(inside)))

    def outlines_px(self, geometry: ProjectionGeometry, equipment_from_ct: Matrix) -> list[Float]:
        """Return the closed outlines (n, 2), rows and columns, of each bone before the beam."""
        found: list[Float] = []
        for surface in self._surfaces:
            pixels = project_points(geometry, apply(equipment_from_ct, surface))
            if np.isfinite(pixels).all():
                found += outline_px(pixels, self._cell_px(geometry, apply(equipment_from_ct, surface.mean(axis=0))))
        return found

    def _cell_px(self, geometry: ProjectionGeometry, at_mm: Float) -> float:
        depth = float(geometry.pixel_from_world[2] @ np.append(at_mm, 1.0))
        return self._cell_mm * geometry.source_to_detector_mm / depth / geometry.grid.pitch_mm


def outline_px(pixels: Float, cell_px: float) -> list[Float]:
    """Return the closed outlines (n, 2) of the shadow of points seen at ``pixels`` (n, 2), drawn in such cells."""
    from scipy import ndimage
    from skimage import measure

    corner = pixels.min(axis=0) - 4.0 * cell_px
    cells = np.rint((pixels - corner) / cell_px).astype(np.int64)
    shadow = np.zeros(tuple(cells.max(axis=0) + 5), dtype=np.bool_)
    shadow[cells[:, 0], cells[:, 1]] = True
    shadow = ndimage.binary_fill_holes(ndimage.binary_closing(shadow, iterations=1))
    soft = ndimage.gaussian_filter(shadow.astype(np.float32), _BLUR_CELLS)
    lines = measure.find_contours(soft, 0.5)  # type: ignore[no-untyped-call]
    rough = [line for line in lines if len(line) >= _LEAST_POINTS]
    polygons = [measure.approximate_polygon(line, _TOLERANCE_CELLS) for line in rough]  # type: ignore[no-untyped-call]
    return [corner + cell_px * polygon for polygon in polygons]


def _surface(inside: NDArray[np.bool_]) -> Float:
    """Return the indices (n, 3) of voxels with one beside them that is not inside."""
    from scipy import ndimage

    spots = ndimage.find_objects(inside.astype(np.uint8))[0]
    box = tuple(slice(max(0, one.start - 1), one.stop + 1) for one in spots)
    part = inside[box]
    edge = part & ~ndimage.binary_erosion(part)
    index: Float = np.argwhere(edge).astype(np.float64) + [one.start for one in box]
    return index
