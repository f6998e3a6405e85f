"""Surfaces as binary STL."""

from pathlib import Path

import numpy as np

from fluoroscope.patient.anatomy.built import Surface

__all__ = ["write_stl"]

_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def write_stl(path: Path, surface: Surface, name: str) -> None:
    """Write a surface: LPS mm, normals outward.

    Parameters
    ----------
    path
        Where to.
    surface
        Triangles counter-clockwise from outside.
    name
        Said in the header, which is 80 bytes long.

    Raises
    ------
    OSError
        When it cannot be written.
    """
    corners = surface.vertices_mm[surface.triangles].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    triangles = np.zeros(len(corners), dtype=_TRIANGLE)
    triangles["normal"] = np.divide(normals, lengths, out=np.zeros_like(normals), where=lengths > 0.0)
    triangles["corners"] = corners
    # It must not begin with "solid": readers would take it for text.
    header = f"Fluoroscope {name}, LPS mm, synthetic, not a medical device".encode("ascii", "replace")[:80]
    with path.open("wb") as file:
        file.write(header.ljust(80))
        file.write(np.uint32(len(triangles)).astype("<u4").tobytes())
        file.write(triangles.tobytes())
