"""What a virtual operator's hand gets wrong, and what is wrong with the pictures he goes by.

Every number has its source; "unverified" marks a choice of ours. They are meant to be on the bad side of a trained
hand.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.projection import ProjectionGeometry, project_points
from fluoroscope.geometry.rigid import Matrix, rotation, translation
from fluoroscope.guidance.planning import Trajectory
from fluoroscope.guidance.planning.views import PlannedView
from fluoroscope.guidance.two_views import SeenNeedle
from fluoroscope.guidance.two_views.pair import geometry_in

__all__ = ["Hand", "Sight", "plan_geometry", "tilted"]

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Hand:
    """Errors of a hand, 1 σ.

    Attributes
    ----------
    entry_mm
        Setting the tip on a shown spot of the skin, each way (unverified).
    aim_deg
        Lining the needle up with a shown direction, each way (unverified; freehand without guidance is 9.9 ± 4.7°).
    steer_share, steer_deg
        Of an asked correction, and beside it (unverified).
    advance_share, advance_mm
        Of an asked advance, and beside it (unverified).
    depth_mm
        Knowing how deep the needle is without a side view, by what is left of it (unverified).
    tremor_deg
        Of the needle's direction at every advance: physiological tremor, some 0.1 mm at the hub (unverified).
    free_aim_mm, free_aim_deg
        Without guidance, each way, at the target and in direction: means of 7.6 mm and 9.9° of experts by freehand
        (Gao 2022, PMC10544812: mean of a normal error in space is 1.596 σ, in two angles 1.253 σ).
    free_learns
        Share of that error left at each further pass, after what was felt and seen (unverified).
    """

    entry_mm: float = 1.5
    aim_deg: float = 2.5
    steer_share: float = 0.2
    steer_deg: float = 0.7
    advance_share: float = 0.1
    advance_mm: float = 0.5
    depth_mm: float = 4.0
    tremor_deg: float = 0.15
    free_aim_mm: float = 7.6 / 1.596
    free_aim_deg: float = 9.9 / 1.253
    free_learns: float = 0.75


@dataclass(frozen=True, slots=True)
class Sight:
    """Errors of what guidance sees, 1 σ, as measured where said.

    Attributes
    ----------
    tip_px, line_px, point_px
        Of a needle's tip along and across it, and of a hub or tip seen end-on: the goal of needle detection (tip 2 px
        median) taken as σ along.
    missed, wild, wild_px
        Shares of pictures without a detection, and with a wrong tip, and how far that is off.
    in_plane_mm, along_beam_mm, turn_deg
        Of each picture's own registration: the goals of a single view (0.5 mm, depth some mm, 1°).
    plan_mm
        Of the CT against the patient, the same all along (unverified).
    """

    tip_px: float = 2.0
    line_px: float = 0.7
    point_px: float = 1.5
    missed: float = 0.05
    wild: float = 0.01
    wild_px: float = 15.0
    in_plane_mm: float = 0.3
    along_beam_mm: float = 2.5
    turn_deg: float = 0.5
    plan_mm: float = 0.3

    def believed(
        self, true: ProjectionGeometry, target_mm: Float, lasting_mm: Float, random: np.random.Generator
    ) -> ProjectionGeometry:
        """Return the beam in the CT as registration places it, wrong by its errors about the target."""
        beam = true.pixel_from_world[2, :3]
        shift = self.in_plane_mm * random.normal(size=3)
        shift = shift - (shift @ beam) * beam + self.along_beam_mm * random.normal() * beam
        axis = random.normal(size=3)
        # Three turns of turn_deg each make one about a random axis.
        turn = rotation(axis, self.turn_deg * float(np.linalg.norm(random.normal(size=3))), target_mm)
        moved: Matrix = translation(shift + lasting_mm) @ turn
        return geometry_in(true, moved)

    def shaft(self, path_mm: Float, true: ProjectionGeometry, random: np.random.Generator) -> SeenNeedle | None:
        """Return a needle seen from the side; None when it is missed, end-on or out of the field."""
        if random.random() < self.missed:
            return None
        path = project_points(true, path_mm)
        last = [true.grid.rows - 1, true.grid.columns - 1]
        inside = np.asarray(((path >= 0.0) & (path <= last)).all(axis=1), dtype=np.bool_)
        if not inside[-1]:
            return None
        path = path[int(np.flatnonzero(~inside)[-1]) + 1 if (~inside).any() else 0 :]
        chord = path[-1] - path[0]
        length = float(np.linalg.norm(chord))
        if len(path) < 2 or length < 20.0:
            return None
        along = chord / length
        across = np.array([-along[1], along[0]])
        seen = (
            path
            + (self.line_px * (random.normal() + random.normal() * np.linspace(-1.0, 1.0, len(path))))[:, None] * across
        )
        off = self.wild_px if random.random() < self.wild else self.tip_px
        seen[-1] = path[-1] + off * random.normal() * along + self.line_px * random.normal() * across
        return SeenNeedle((float(seen[-1, 0]), float(seen[-1, 1])), seen, self.tip_px, self.line_px)

    def ends(self, path_mm: Float, true: ProjectionGeometry, random: np.random.Generator) -> tuple[Float, Float] | None:
        """Return (row, column) of tip and hub looked down upon; None when missed."""
        if random.random() < self.missed:
            return None
        pixels = project_points(true, path_mm[[-1, 0]]) + self.point_px * random.normal(size=(2, 2))
        return pixels[0], pixels[1]


def plan_geometry(view: PlannedView, equipment_from_patient: Matrix, rows: int = 1024) -> ProjectionGeometry:
    """Return a planned view's beam in the patient's coordinates, 300 mm detector."""
    from fluoroscope.geometry.grid import DetectorGrid
    from fluoroscope.geometry.projection import projection_geometry

    geometry = projection_geometry(view.pose, DetectorGrid(rows, rows, 300.0 / rows))
    return geometry_in(geometry, equipment_from_patient)


def tilted(direction: Float, sigma_deg: float, random: np.random.Generator) -> Float:
    """Return a direction (3,) turned by normal errors about both axes across it."""
    across = np.linalg.svd(direction[None])[2][1:]
    moved: Float = direction + np.tan(np.deg2rad(sigma_deg * random.normal(size=2))) @ across
    return moved / np.linalg.norm(moved)


def first_way(trajectory: Trajectory) -> tuple[Float, Float, Float]:
    """Return entry, target (3,) and unit way of a plan."""
    entry, target = np.array(trajectory.entry_mm), np.array(trajectory.target_mm)
    return entry, target, (target - entry) / np.linalg.norm(target - entry)
