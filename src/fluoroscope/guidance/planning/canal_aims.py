"""Targets in the spinal canal: the dural sac, and the epidural space behind it."""

import numpy as np
from numpy.typing import NDArray

from fluoroscope.guidance.planning.aims import Aim, Case
from fluoroscope.guidance.planning.spine import side_sign
from fluoroscope.guidance.planning.surroundings import PITCH_MM, Surroundings

__all__ = ["epidural_aims", "intrathecal_aims", "window_middle"]

Float = NDArray[np.float64]

_HALF_WINDOW_MM, _STEP_MM = 12.0, 2.0
"""Heights of the sac looked through, to either side of the space's middle (half a level is about 17 mm)."""
_STRAND_MM = 1.0
"""A tip keeps this from strands of the cauda equina, where they are labelled."""
_BEHIND_MM = 4
"""How far behind the sac the epidural space is looked for, mm."""
_CANAL_BEHIND_MM = 10.0
"""From a disc's back edge to the middle of the canal: half the canal's depth (guidance.md §6.1)."""


def window_middle(case: Case) -> Float:
    """Return the point (3,) of the canal behind a space: what its interlaminar window opens onto."""
    disc = case.spine.disc(case.level)
    turn = disc.world_from_disc
    point: Float = turn[:3, 3] + (0.5 * disc.depth_mm + _CANAL_BEHIND_MM) * turn[:3, 1]
    return point


def sac_slices(
    around: Surroundings, near_mm: Float, half_mm: float, step_mm: float
) -> list[tuple[Float, float, float]]:
    """Return the sac at heights around a point: middle (3,), y of its back and of its front."""
    sac = around.masks["dura"]
    found = []
    for off in np.arange(-half_mm, half_mm + 1e-6, step_mm):
        z = near_mm[2] + off
        i = round((z - around.first_mm[2]) / PITCH_MM)
        if not 0 <= i < sac.shape[0]:
            continue
        j, k = np.nonzero(sac[i])
        close = np.abs(k * PITCH_MM + around.first_mm[0] - near_mm[0]) < 20.0
        if close.sum() < 12:
            continue
        x = float(k[close].mean()) * PITCH_MM + around.first_mm[0]
        middle = np.abs(k - (x - around.first_mm[0]) / PITCH_MM) <= 1.0
        rows = j[middle & close]
        if len(rows) == 0:
            continue
        front, back = (around.first_mm[1] + (float(row) + edge) * PITCH_MM
                       for row, edge in ((rows.min(), -0.5), (rows.max(), 0.5)))  # fmt: skip
        found.append((np.array([x, 0.5 * (front + back), z]), back, front))
    return found


def intrathecal_aims(case: Case) -> list[Aim]:
    """Return aims at the middle of the dural sac behind a space, free of nerve strands."""
    around, middle = case.around, window_middle(case)
    slices = sac_slices(around, middle, _HALF_WINDOW_MM, _STEP_MM)
    points = []
    for center, back, front in slices:
        for share in (0.55, 0.5, 0.42):
            points.append([center[0], back - share * (back - front), center[2]])
    if not points:
        raise ValueError(f"{case.level.name}: the dural sac does not reach this level, or the labels do not show it")
    places = np.array(points)
    places = places[~around.inside("cord", places) & (around.distance_mm("cord", places) > 2.0)]
    if len(places) == 0:
        raise ValueError(f"{case.level.name}: the spinal cord fills the sac here; choose a lower level")
    if around.has("cauda"):
        free = places[around.distance_mm("cauda", places) > _STRAND_MM]
        places = free if len(free) else places
    return [
        Aim(approach.name, side, places, case.axes(approach.cone_for(case.level.name)),
            approach.cone_for(case.level.name), side_sign(side) if side else 1.0, "dura")
        for approach in case.plan.approaches
        for side in case.sides(approach)
    ]  # fmt: skip


def epidural_aims(case: Case) -> list[Aim]:
    """Return aims at the epidural space behind the sac, between the laminae."""
    around, middle = case.around, window_middle(case)
    slices = sac_slices(around, middle, _HALF_WINDOW_MM, _STEP_MM)
    if not slices:
        raise ValueError(f"{case.level.name}: the dural sac does not reach this level, or the labels do not show it")
    zone = _space_behind(around, slices)
    around.masks["epidural_back"] = zone
    aims = []
    for approach in case.plan.approaches:
        for side in case.sides(approach):
            sign = side_sign(side) if side else 1.0
            points = _epidural_points(around, slices, sign, approach.name == "midline")
            if len(points):
                cone = approach.cone_for(case.level.name)
                aims.append(Aim(approach.name, side, points, case.axes(cone), cone, sign, "epidural_back"))
    if not aims:
        raise ValueError(f"{case.level.name}: no room between the dural sac and the laminae")
    return aims


def _space_behind(around: Surroundings, slices: list[tuple[Float, float, float]]) -> NDArray[np.bool_]:
    """Return what lies up to 4 mm behind the sac and 8 mm beside its middle, and is neither bone nor sac."""
    sac = around.masks["dura"]
    zone = np.zeros_like(sac)
    labelled = around.has("epidural")
    for center, _, _ in slices:
        i = round((center[2] - around.first_mm[2]) / PITCH_MM)
        k = round((center[0] - around.first_mm[0]) / PITCH_MM)
        for row in range(max(0, i - 1), min(sac.shape[0], i + 1)):
            for column in range(max(0, k - 8), min(sac.shape[2], k + 9)):
                inside = np.flatnonzero(sac[row, :, column])
                if len(inside):
                    zone[row, inside[-1] + 1 : inside[-1] + 1 + _BEHIND_MM, column] = True
    zone &= ~sac & ~around.masks["bone"]
    if labelled:
        return zone & around.masks["epidural"]
    note = "the epidural space is not labelled: taken as up to 4 mm behind the dural sac"
    if note not in around.notes:
        around.notes.append(note)
    return zone


def _epidural_points(
    around: Surroundings, slices: list[tuple[Float, float, float]], sign: float, midline: bool
) -> Float:
    """Return the middle of the space behind the sac at every height, in the midline or up to 4 mm beside it."""
    zone, points = around.masks["epidural_back"], []
    for center, _, _ in slices:
        for off in (0.0,) if midline else (0.0, 2.0, 4.0):
            x = center[0] + sign * off
            i = round((center[2] - around.first_mm[2]) / PITCH_MM)
            k = round((x - around.first_mm[0]) / PITCH_MM)
            rows = np.flatnonzero(zone[i, :, k])
            if len(rows):
                points.append([x, around.first_mm[1] + float(rows.mean() + 0.25) * PITCH_MM, center[2]])
    return np.array(points).reshape(-1, 3)
