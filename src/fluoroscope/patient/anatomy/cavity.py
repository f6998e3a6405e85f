"""Places in the abdominal cavity, by its own width and depth, so that organs suit thin and heavy patients alike."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.anatomy.body import Trunk
from fluoroscope.patient.anatomy.muscles import Posts

__all__ = ["Cavity", "cavity"]


@dataclass(frozen=True, slots=True)
class Cavity:
    """The inside of the trunk.

    Attributes
    ----------
    z_mm
        (n,) rising heights.
    middle_mm, half_width_mm
        (n,) x of the midline, and from there to the inside of the flank.
    front_mm, spine_mm
        (n,) y of the inside of the front wall and of the front of the vertebral bodies.
    scale
        The patient's size against an adult of 172 cm.
    """

    z_mm: NDArray[np.float64]
    middle_mm: NDArray[np.float64]
    half_width_mm: NDArray[np.float64]
    front_mm: NDArray[np.float64]
    spine_mm: NDArray[np.float64]
    scale: float

    def at(self, across: float, forward: float, z_mm: float) -> NDArray[np.float64]:
        """Return a place: ``across`` −1 (right flank) to 1, ``forward`` 0 (front of the spine) to 1 (wall)."""
        middle, half, front, spine = (
            float(np.interp(z_mm, self.z_mm, table))
            for table in (self.middle_mm, self.half_width_mm, self.front_mm, self.spine_mm)
        )
        return np.array([middle + across * half, spine + forward * (front - spine), z_mm])

    def depth_mm(self, z_mm: float) -> float:
        """Return the distance from the spine to the front wall."""
        return float(np.interp(z_mm, self.z_mm, self.spine_mm - self.front_mm))


def cavity(shape: Trunk, here: Posts) -> Cavity:
    """Measure the cavity of a trunk."""
    inner = shape.radius_mm - shape.fat_mm - shape.wall_mm
    half = 0.5 * (inner[:, 0] + inner[:, 128])
    spine = np.array([here.at(name, 0.0, -18.0, 0.0) for name in (*here.names, "sacrum")])
    order = np.argsort(spine[:, 2])
    spine_y = np.interp(shape.z_mm, spine[order, 2], spine[order, 1])
    # Below the promontory the sacrum falls back and the pelvic cavity opens behind.
    below = np.clip((spine[order[0], 2] - shape.z_mm) / (90.0 * here.scale), 0.0, 1.0)
    spine_y = spine_y + 30.0 * here.scale * below
    front = shape.center_mm[:, 1] - inner[:, 192]
    return Cavity(shape.z_mm, shape.center_mm[:, 0], half, front, spine_y, here.scale)
