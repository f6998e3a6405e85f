"""Scattered radiation around the table: what a person beside the patient gets per kerma-area product.

H = S(direction, beam) · KAP · (1 m / distance)² · transmission of what stands between. S comes from our own Monte Carlo
of a stylised adult (scripts/patient_monte_carlo.py), so the patient's own shadow is in it: head and feet get little.
Everything lies in the equipment frame, mm; doses are ambient dose equivalent H*(10), µSv.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fluoroscope.dose.organ_dose import monte_carlo
from fluoroscope.geometry.pose import CArmPose, beam_axes
from fluoroscope.geometry.table import PatientPosition, TablePose, patient_from_equipment

__all__ = ["SCATTER_PERCENT", "SCATTER_SOURCE", "ScatterField", "Shield", "scatter_field", "scatter_usv_per_gy_cm2"]

Array = NDArray[np.float64]

SCATTER_SOURCE = "own Monte Carlo of a stylised adult, H*(10) by ICRP 74; an estimate"
SCATTER_PERCENT = 60.0
"""How far a place may be off (k = 2): the KAP meter, size of the patient, field, where exactly somebody stands."""

ORIGIN_DEPTH_MM = 50.0
"""Scatter that gets out comes from about this depth behind the skin of entry; the tables are about that point."""
_TRUNK_MM = (170.0, 100.0)
_SPINE_BEHIND_MM = 20.0
"""Half axes of the trunk, and how far the isocentre (the spine) lies behind its middle."""
NEAREST_MM = 300.0
"""Nearer to the scattering volume than this, it is no point any more: the dose does not grow further."""


@dataclass(frozen=True, slots=True)
class Shield:
    """A flat rectangle that lets part of the scatter through: corner and two edges, (3,) mm.

    ``transmission`` 0 to 1.
    """

    name: str
    corner_mm: tuple[float, float, float]
    edge_u_mm: tuple[float, float, float]
    edge_v_mm: tuple[float, float, float]
    transmission: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.transmission <= 1.0:
            raise ValueError(f"{self.name}: transmission must be 0 to 1, got {self.transmission}")

    def between(self, origin_mm: Array, points_mm: Array) -> NDArray[np.bool_]:
        """Whether it stands between an origin (3,) and each of points (n, 3)."""
        u, v = np.array(self.edge_u_mm), np.array(self.edge_v_mm)
        normal = np.cross(u, v)
        way = points_mm - origin_mm
        along = way @ normal
        crossing = np.abs(along) > 1e-9
        part = np.where(crossing, (np.array(self.corner_mm) - origin_mm) @ normal, 0.0)
        part = part / np.where(crossing, along, 1.0)
        at = origin_mm + part[:, np.newaxis] * way - np.array(self.corner_mm)
        inside = np.ones(len(points_mm), dtype=bool)
        for edge in (u, v):
            share = at @ edge / (edge @ edge)
            inside &= (share >= 0.0) & (share <= 1.0)
        result: NDArray[np.bool_] = crossing & inside & (part > 0.0) & (part < 1.0)
        return result


@dataclass(frozen=True, slots=True, eq=False)
class ScatterField:
    """Where scatter comes from, and how much goes where.

    Attributes
    ----------
    origin_mm
        (3,) equipment frame.
    patient_from_equipment
        (3, 3) turn.
    primary_deg, secondary_deg
        Patient-based direction of the beam.
    table
        (8, polar, around) µSv per Gy·cm² at 1 m of this beam quality, for eight directions of the beam.
    """

    origin_mm: Array
    patient_from_equipment: Array
    primary_deg: float
    secondary_deg: float
    table: Array


def scatter_field(
    pose: CArmPose,
    table: TablePose,
    position: PatientPosition,
    tube_voltage_kv: float,
    copper_mm: float = 0.1,
) -> ScatterField:
    """Return the scatter of a pose about a patient whose spine lies at the isocentre.

    Parameters
    ----------
    tube_voltage_kv, copper_mm
        Of the beam; straight lines between 60 and 120 kV and 0 and 0.9 mm, the ends outside.

    Raises
    ------
    ValueError
        For a voltage outside 40 to 150 kV or copper that is negative.
    """
    if not (40.0 <= tube_voltage_kv <= 150.0 and copper_mm >= 0.0):
        raise ValueError(f"a beam of 40 to 150 kV and 0 mm Cu or more, got {tube_voltage_kv} kV, {copper_mm} mm")
    turned = patient_from_equipment(table, position)[:3, :3]
    toward = beam_axes(pose).d
    d = turned @ toward
    back = max(_skin_mm(d) - ORIGIN_DEPTH_MM, 0.0)
    return ScatterField(
        np.array(pose.isocenter_mm) - back * toward,
        turned,
        float(np.rad2deg(np.arctan2(d[0], -d[1]))),
        float(np.rad2deg(np.arcsin(np.clip(d[2], -1.0, 1.0)))),
        _of_beam(tube_voltage_kv, copper_mm),
    )


def scatter_usv_per_gy_cm2(field: ScatterField, points_mm: ArrayLike, shields: Sequence[Shield] = ()) -> Array:
    """Return the dose at points (n, 3) for each Gy·cm², µSv."""
    points = np.atleast_2d(np.asarray(points_mm, dtype=np.float64))
    way = points - field.origin_mm
    length = np.linalg.norm(way, axis=1)
    toward = way / np.maximum(length, 1e-9)[:, np.newaxis] @ field.patient_from_equipment.T
    dose: Array = _strength(field, toward) * (1000.0 / np.maximum(length, NEAREST_MM)) ** 2
    for shield in shields:
        dose = dose * np.where(shield.between(field.origin_mm, points), shield.transmission, 1.0)
    return dose


def _strength(field: ScatterField, toward: Array) -> Array:
    """Return µSv per Gy·cm² at 1 m along unit vectors (n, 3) of the patient.

    The tables are for beams across the patient: a cranial or caudal beam turns its scatter with it. Between two
    tables each is turned to the beam's direction, and the two are mixed.
    """
    p, s = np.deg2rad([field.primary_deg, -field.secondary_deg])
    u = np.array([np.cos(p), np.sin(p), 0.0])
    # Rodrigues' turn about u that brings the beam back across the patient.
    flat = toward * np.cos(s) + np.cross(u, toward) * np.sin(-s) + np.outer(toward @ u, u) * (1.0 - np.cos(s))
    step = 45.0
    first = int(np.floor(field.primary_deg / step))
    share = field.primary_deg / step - first
    azimuth = np.rad2deg(np.arctan2(flat[:, 1], flat[:, 0]))
    angles = monte_carlo()["angles_deg"]
    total = np.zeros(len(toward))
    for number, weight in ((first, 1.0 - share), (first + 1, share)):
        index = int(np.argmin(np.abs((angles - number * step + 180.0) % 360.0 - 180.0)))
        total += weight * _look_up(field.table[index], flat[:, 2], azimuth - field.primary_deg + number * step)
    return total


def _look_up(table: Array, polar: Array, azimuth_deg: Array) -> Array:
    """Interpolate (rows of equal cos, columns around) between the middles of its cells."""
    rows, columns = table.shape
    row = np.clip((polar + 1.0) / 2.0 * rows - 0.5, 0.0, rows - 1.0)
    column = azimuth_deg / 360.0 * columns - 0.5
    low, left = np.minimum(row.astype(int), rows - 2), np.floor(column).astype(int)
    up, right = row - low, column - left
    values = [table[low + a, (left + b) % columns] for a in (0, 1) for b in (0, 1)]
    weights = [(1.0 - up) * (1.0 - right), (1.0 - up) * right, up * (1.0 - right), up * right]
    result: Array = sum(value * weight for value, weight in zip(values, weights, strict=True)) + np.zeros(len(polar))
    return result


def _of_beam(tube_voltage_kv: float, copper_mm: float) -> Array:
    """Mix the baked tables (8, voltages, coppers, polar, around) for a beam."""
    tables = monte_carlo()
    values = tables["usv_per_gy_cm2"]
    for at, grid in ((tube_voltage_kv, tables["voltages_kv"]), (copper_mm, tables["coppers_mm"])):
        place = float(np.interp(at, grid, np.arange(len(grid))))
        low = min(int(place), len(grid) - 2)
        # The first axis is gone once the voltage is chosen.
        pair = [values.take(low + step, axis=1) for step in (0, 1)]
        values = pair[0] * (1.0 - (place - low)) + pair[1] * (place - low)
    result: Array = np.asarray(values, dtype=np.float64)
    return result


def _skin_mm(d: Array) -> float:
    """Return how far the skin of entry is from the spine, against the beam's direction (3,) in the patient."""
    across = np.array([d[0] / _TRUNK_MM[0], d[1] / _TRUNK_MM[1]])
    middle = np.array([0.0, _SPINE_BEHIND_MM / _TRUNK_MM[1]])
    a, b, c = float(across @ across), float(-2.0 * middle @ across), float(middle @ middle - 1.0)
    if a < 1e-6:
        return _TRUNK_MM[0]
    return min((-b + float(np.sqrt(b * b - 4.0 * a * c))) / (2.0 * a), 2.0 * _TRUNK_MM[0])
