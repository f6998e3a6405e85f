"""Where on a body a place of skin is, in the patient's own terms."""

from collections.abc import Mapping, Sequence

import numpy as np

from fluoroscope.dose.skin_phantoms import SkinPhantom

__all__ = ["where_on_body"]

_SIDES = (
    "front", "front, left side", "left side", "back, left side",
    "back", "back, right side", "right side", "front, right side",
)  # fmt: skip
_NEAR_MM = 30.0
"""A vertebra's level reaches so far."""
_AROUND_MM = 20.0
"""Skin near the place whose mean direction is taken: one cell may be a fold."""


def where_on_body(phantom: SkinPhantom, cell: int, vertebrae: Mapping[str, Sequence[float]] | None = None) -> str:
    """Return the side of a cell of skin ("front, right side") and, where vertebrae are known, the level ("at L3").

    Parameters
    ----------
    phantom
        Whose skin it is.
    cell
        Number of the cell.
    vertebrae
        (3,) middles of the vertebral bodies by name, LPS mm.
    """
    at = phantom.centers[cell]
    near = np.linalg.norm(phantom.centers - at, axis=1) <= _AROUND_MM
    x, y, _ = phantom.normals[near].sum(axis=0)
    eighth = round(float(np.degrees(np.arctan2(x, -y))) / 45.0) % 8
    side = "one of its faces" if phantom.two_sided else _SIDES[eighth]
    if not vertebrae:
        return side
    heights = {name: float(middle[2]) for name, middle in vertebrae.items()}
    name = min(heights, key=lambda one: abs(heights[one] - at[2]))
    over = float(at[2]) - heights[name]
    word = "at" if abs(over) <= _NEAR_MM else "above" if over > 0.0 else "below"
    return f"{side}, {word} {name}"
