"""Raw line integrals of a volume file: the command ``fluoroscope project``."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from fluoroscope.app.terminal import loading_bar
from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import projection_geometry
from fluoroscope.patient.formats import read_values
from fluoroscope.projector import project

__all__ = ["Backend", "project_file"]

MOST_PIXELS = 2**26
Backend = Literal["fast", "reference"]


def project_file(
    path: Path, out: Path, pose: CArmPose, grid: DetectorGrid, *, center_on_volume: bool, backend: Backend
) -> None:
    """Write the line integrals of the voxel values of ``path`` to ``out``: float32 (rows, columns), value·mm.

    Parameters
    ----------
    path
        NIfTI, NRRD or MHA file; its values are taken as they are.
    out
        The .npy file.
    pose, grid
        The C-arm, head-first supine in the volume's LPS coordinates, and the pixels.
    center_on_volume
        Put the isocentre at the volume's centre, index (n − 1)/2, instead of ``pose.isocenter_mm``.
    backend
        "fast" or "reference".

    Raises
    ------
    ValueError
        For a volume or pose that cannot be projected.
    OSError
        When ``out`` cannot be written; nothing half-written is left.
    """
    if grid.rows * grid.columns > MOST_PIXELS:
        raise ValueError(f"--rows {grid.rows} --columns {grid.columns}: at most {MOST_PIXELS} pixels; choose fewer")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"{out.parent}: no such folder for --out; make it first")
    with loading_bar() as progress:
        volume = read_values(path, progress=progress)
    if center_on_volume:
        x, y, z = (float(part) for part in volume.center_mm)
        pose = replace(pose, isocenter_mm=(x, y, z))
    lines = project(volume, projection_geometry(pose, grid), backend=backend, pitch=0.5)[0]
    unfinished = out.with_name(f".{out.name}.part")
    try:
        with unfinished.open("wb") as file:
            np.save(file, lines.astype(np.float32, copy=False))
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)
