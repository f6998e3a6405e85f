"""Pictures of coarse voxels on fewer pixels: a shadow smooth over many pixels need not be computed at each of them."""

import math

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.projection import ProjectionGeometry
from fluoroscope.geometry.rigid import Matrix
from fluoroscope.projector.prepared import PreparedVolume
from fluoroscope.projector.sharing import argument, carray, cores, pointer_to, shared
from fluoroscope.projector.simd import fetch_add

__all__ = ["coarse_geometry", "enlarge_into", "halvings"]

MARGIN = 3
"""Coarse pixels beyond each edge: what the interpolation at the outermost fine pixels reaches."""
HALVE_FROM_PX = 3.2
"""Pixels a voxel's shadow must cover before the detector is halved; twice that for the second halving.

Measured on the parts of a real CT: 0.015 % of the picture's rms where a voxel covers 17 pixels, 0.07 % with every
voxel at the limit."""
MOST_HALVINGS = 2
TAPS = np.array([77.0, -693.0, 6930.0, 2310.0, -495.0, 63.0], np.float32) / np.float32(8192.0)
"""Lagrange's weights a quarter pixel behind the third of six pixels."""
LINE_ROWS = 8


def halvings(volume: PreparedVolume, world_from_body: Matrix, geometry: ProjectionGeometry) -> int:
    """Return how often the detector may be halved for a body, 0 to 2, by the shadow of a voxel in its middle."""
    depth_mm = float(geometry.pixel_from_world[2] @ (world_from_body @ volume.middle_mm))
    if depth_mm <= 0.0:
        return 0
    shadow_px = volume.voxel_mm * geometry.source_to_detector_mm / depth_mm / geometry.grid.pitch_mm
    return min(max(math.floor(math.log2(shadow_px / HALVE_FROM_PX)) + 1, 0), MOST_HALVINGS)


def coarse_geometry(geometry: ProjectionGeometry) -> ProjectionGeometry:
    """Return the same beam on pixels twice as wide, `MARGIN` of them beyond each edge.

    Coarse pixel ``MARGIN + i`` covers the fine pixels 2i and 2i+1: its centre lies at 2i + 1/2.
    """
    matrix = geometry.pixel_from_world.copy()
    matrix[:2] = 0.5 * matrix[:2] + (MARGIN - 0.25) * matrix[2]
    rows, columns = ((n + 1) // 2 + 2 * MARGIN for n in (geometry.grid.rows, geometry.grid.columns))
    grid = DetectorGrid(rows, columns, 2.0 * geometry.grid.pitch_mm)
    return ProjectionGeometry(matrix, geometry.source_mm, geometry.source_to_detector_mm, grid)


@shared(fastmath={"contract"})
def enlarge_rows(_worker, arguments):  # type: ignore[no-untyped-def]
    """Write the sum of one fine picture and the coarse one, interpolated; rows go to whichever worker is free."""
    channels, rows, columns = argument(arguments, 2), argument(arguments, 3), argument(arguments, 4)
    coarse_rows, coarse_columns = (rows + 1) // 2 + 2 * MARGIN, (columns + 1) // 2 + 2 * MARGIN
    coarse = carray(pointer_to(argument(arguments, 0), np.float32), (channels, coarse_rows, coarse_columns))
    fine = carray(pointer_to(argument(arguments, 1), np.float32), (channels, rows, columns))
    taps = carray(pointer_to(argument(arguments, 5), np.float32), (6,))
    counter, beneath = argument(arguments, 6), argument(arguments, 7)
    onto = carray(pointer_to(beneath, np.float32), (channels, rows, columns))
    t0, t1, t2, t3, t4, t5 = taps[0], taps[1], taps[2], taps[3], taps[4], taps[5]
    line = np.empty(coarse_columns, np.float32)
    bands = (rows + LINE_ROWS - 1) // LINE_ROWS
    band = fetch_add(counter)
    while band < bands:
        for row in range(band * LINE_ROWS, min(band * LINE_ROWS + LINE_ROWS, rows)):
            # Fine 2i lies a quarter before coarse i, fine 2i+1 a quarter behind it: mirrored weights.
            top = row // 2 + MARGIN - 3 + row % 2
            odd = row % 2 == 1
            a, b, c = (t0, t1, t2) if odd else (t5, t4, t3)
            d, e, f = (t3, t4, t5) if odd else (t2, t1, t0)
            for channel in range(channels):
                if beneath == 0:
                    fine[channel, row] = np.float32(0.0)
                else:
                    fine[channel, row] = onto[channel, row]
                for n in range(coarse_columns):
                    line[n] = (
                        a * coarse[channel, top, n]
                        + b * coarse[channel, top + 1, n]
                        + c * coarse[channel, top + 2, n]
                        + d * coarse[channel, top + 3, n]
                        + e * coarse[channel, top + 4, n]
                        + f * coarse[channel, top + 5, n]
                    )
                for n in range(columns // 2):
                    fine[channel, row, 2 * n] += (
                        t5 * line[n] + t4 * line[n + 1] + t3 * line[n + 2]
                        + t2 * line[n + 3] + t1 * line[n + 4] + t0 * line[n + 5]
                    )  # fmt: skip
                    fine[channel, row, 2 * n + 1] += (
                        t0 * line[n + 1] + t1 * line[n + 2] + t2 * line[n + 3]
                        + t3 * line[n + 4] + t4 * line[n + 5] + t5 * line[n + 6]
                    )  # fmt: skip
                if columns % 2 == 1:
                    n = columns // 2
                    fine[channel, row, 2 * n] += (
                        t5 * line[n] + t4 * line[n + 1] + t3 * line[n + 2]
                        + t2 * line[n + 3] + t1 * line[n + 4] + t0 * line[n + 5]
                    )  # fmt: skip
        band = fetch_add(counter)


def enlarge_into(coarse: NDArray[np.float32], fine: NDArray[np.float32], onto: NDArray[np.float32] | None) -> None:
    """Write a coarse picture (channels, rows/2 + 6, columns/2 + 6), enlarged, to the fine one.

    Lagrange's polynomial through six coarse pixels each way: exact for polynomials to the fifth degree.

    Parameters
    ----------
    coarse, fine
        float32 (channels, rows, columns), C-contiguous.
    onto
        Added to it; as ``fine``, which it may be. Nothing when None.
    """
    channels, rows, columns = fine.shape
    counter = np.zeros(1, np.int64)
    beneath = 0 if onto is None else onto
    enlarge_rows.run(cores(), coarse, fine, channels, rows, columns, TAPS, counter, beneath)
