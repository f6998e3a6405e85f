"""Beads at known places: what a phantom or fiducial is, the two packaged ones, and reading one's own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BeadPhantom", "PhantomError", "phantom_from", "small_fiducial", "spiral_phantom"]

Float = NDArray[np.float64]
FLAT_MM = 5.0
"""Beads whose smallest spread (1 σ) is below lie in a plane as far as a calibration is concerned."""


class PhantomError(ValueError):
    """A phantom that cannot be used; the message is one line."""


@dataclass(frozen=True, slots=True)
class BeadPhantom:
    """Beads in the phantom's own coordinates.

    Attributes
    ----------
    name
        For people.
    beads_mm
        (n, 3); the origin is the point that is laid on the isocentre, the axes those of the equipment frame when the
        phantom lies as its marks say.
    diameters_mm
        (n,).
    """

    name: str
    beads_mm: Float
    diameters_mm: Float

    def __post_init__(self) -> None:
        beads, wide = self.beads_mm, self.diameters_mm
        if beads.ndim != 2 or beads.shape[1:] != (3,) or wide.shape != (len(beads),):
            raise PhantomError(f"phantom {self.name}: beads must be (n, 3) with a diameter each")
        if not np.isfinite(beads).all() or not (np.isfinite(wide).all() and bool((wide > 0.0).all())):
            raise PhantomError(f"phantom {self.name}: a bead's place or diameter is not a number above 0")
        if len(beads) < 6:
            raise PhantomError(f"phantom {self.name}: {len(beads)} beads are too few; 6 place a view, 12 calibrate one")
        apart = np.linalg.norm(beads[:, None] - beads[None], axis=2) + 1e9 * np.eye(len(beads))
        if float(apart.min()) < float(wide.min()):
            one, other = np.unravel_index(int(apart.argmin()), apart.shape)
            raise PhantomError(f"phantom {self.name}: beads {one + 1} and {other + 1} are in one place")
        beads.setflags(write=False)
        wide.setflags(write=False)

    @property
    def flat(self) -> bool:
        """Whether the beads lie in a plane: then source and detector cannot be told apart."""
        away = self.beads_mm - self.beads_mm.mean(axis=0)
        return bool(np.linalg.svd(away, compute_uv=False)[-1] < FLAT_MM * np.sqrt(len(away)))


def spiral_phantom() -> BeadPhantom:
    """Return the packaged phantom: 18 beads of 3 mm on a spiral of radius 45 mm and four of 5 mm off it."""
    turns = np.linspace(0.0, 1.0, 18)
    around = 2.0 * np.pi * 1.6 * turns
    spiral = np.stack([45.0 * np.cos(around), 45.0 * np.sin(around), 110.0 * turns - 55.0], axis=1)
    # Off every axis of symmetry, so that no turned phantom looks like this one.
    apart = np.array([[12.0, -8.0, -38.0], [-20.0, 14.0, 5.0], [26.0, 22.0, 31.0], [-6.0, -30.0, 47.0]])
    return BeadPhantom("spiral", np.concatenate([spiral, apart]), np.array([3.0] * 18 + [5.0] * 4))


def small_fiducial() -> BeadPhantom:
    """Return the packaged fiducial: nine beads of 2 mm in a cube of 50 mm, to be taped beside the needle."""
    beads = np.array([
        [-25, -25, -25], [25, -25, -20], [-25, 25, -18], [24, 20, -25], [-22, -20, 25], [25, -18, 22], [-18, 25, 25],
        [20, 25, 18], [3, -4, 6],
    ], dtype=np.float64)  # fmt: skip
    return BeadPhantom("small fiducial", beads, np.full(9, 2.0))


def phantom_from(words: Mapping[str, Any], where: str) -> BeadPhantom:
    """Return the phantom a JSON file describes: ``{"name", "beads": [{"x_mm", "y_mm", "z_mm", "diameter_mm"}]}``.

    Raises
    ------
    PhantomError
        Naming ``where`` and the bead that is wrong.
    """
    beads = words.get("beads")
    if not isinstance(beads, list) or not beads:
        raise PhantomError(f'{where}: has no "beads"; write a list of x_mm, y_mm, z_mm and diameter_mm')
    rows = []
    for number, one in enumerate(beads, start=1):
        try:
            rows.append([float(one[key]) for key in ("x_mm", "y_mm", "z_mm", "diameter_mm")])
        except (KeyError, TypeError, ValueError):
            raise PhantomError(
                f"{where}: bead {number} is {one!r}; write x_mm, y_mm, z_mm and diameter_mm as numbers"
            ) from None
    table = np.array(rows)
    name = words.get("name", "phantom")
    return BeadPhantom(str(name), np.ascontiguousarray(table[:, :3]), np.ascontiguousarray(table[:, 3]))
