"""Scattered radiation around the table: what a person beside the patient gets per kerma-area product.

H = S(angle, tube voltage) · KAP · (1 m / distance)² · transmission of what stands between. Everything lies in the
equipment frame, mm; doses µSv.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fluoroscope.geometry.pose import CArmPose, beam_axes

__all__ = ["ScatterField", "Shield", "scatter_field", "scatter_usv_per_gy_cm2"]

Array = NDArray[np.float64]

SCATTER_SOURCE = "fit to the scatter fractions of Simpkin and Dixon 1998 (NCRP Report 147), Williams 1996 [K]"
_ANGLE_FIT = (-1.042e-7, 3.265e-5, -2.751e-3, 8.371e-2, 1.578)
"""µGy per Gy·cm² at 1 m over degrees⁴ … degrees⁰, at 85 kV."""
_VOLTAGE_FIT = (0.031, 2.5)
"""Largest scatter grows with 0.031 · kV + 2.5 (Williams 1996) [K]."""
_FIT_KV = 85.0
SCATTER_PERCENT = 50.0
"""How far a place may be off (k = 2): size of the patient, field, where exactly somebody stands; a setting."""

ENTRANCE_TO_ORIGIN_MM = 50.0
"""Scatter that gets out comes from about this depth behind the skin of entry."""
HALF_PATIENT_MM = 110.0
NEAREST_MM = 300.0
"""Nearer to the scattering volume than this, it is no point any more."""


@dataclass(frozen=True, slots=True)
class Shield:
    """A flat rectangle that lets part of the scatter through: corner and two edges, (3,) mm.

    ``transmission`` 0 to 1; ``source`` where it comes from.
    """

    name: str
    corner_mm: tuple[float, float, float]
    edge_u_mm: tuple[float, float, float]
    edge_v_mm: tuple[float, float, float]
    transmission: float
    source: str

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


@dataclass(frozen=True, slots=True)
class ScatterField:
    """Where scatter comes from: origin (3,) mm, the beam's direction (3,), tube voltage."""

    origin_mm: tuple[float, float, float]
    toward: tuple[float, float, float]
    tube_voltage_kv: float

    def __post_init__(self) -> None:
        if not 40.0 <= self.tube_voltage_kv <= 150.0:
            raise ValueError(f"tube voltage must be 40 to 150 kV, got {self.tube_voltage_kv}")


def scatter_field(pose: CArmPose, tube_voltage_kv: float, half_patient_mm: float = HALF_PATIENT_MM) -> ScatterField:
    """Return the field of a pose: scatter comes from behind the skin of entry, not from the isocentre.

    Parameters
    ----------
    half_patient_mm
        From the isocentre to the skin along the beam.
    """
    toward = beam_axes(pose).d
    back = max(half_patient_mm - ENTRANCE_TO_ORIGIN_MM, 0.0)
    origin = np.array(pose.isocenter_mm) - back * toward
    return ScatterField(
        (float(origin[0]), float(origin[1]), float(origin[2])),
        (float(toward[0]), float(toward[1]), float(toward[2])),
        tube_voltage_kv,
    )


def scatter_usv_per_gy_cm2(field: ScatterField, points_mm: ArrayLike, shields: Sequence[Shield] = ()) -> Array:
    """Return the dose at points (n, 3) for each Gy·cm², µSv; one µGy of air kerma counts as one µSv."""
    points = np.atleast_2d(np.asarray(points_mm, dtype=np.float64))
    origin = np.array(field.origin_mm)
    way = points - origin
    distance = np.maximum(np.linalg.norm(way, axis=1), NEAREST_MM)
    cosine = way @ np.array(field.toward) / np.maximum(np.linalg.norm(way, axis=1), 1e-9)
    angle = np.rad2deg(np.arccos(np.clip(cosine, -1.0, 1.0)))
    dose: Array = np.polyval(_ANGLE_FIT, angle) * _voltage_factor(field.tube_voltage_kv) * (1000.0 / distance) ** 2
    for shield in shields:
        dose = dose * np.where(shield.between(origin, points), shield.transmission, 1.0)
    return dose


def _voltage_factor(tube_voltage_kv: float) -> float:
    return float(np.polyval(_VOLTAGE_FIT, tube_voltage_kv) / np.polyval(_VOLTAGE_FIT, _FIT_KV))
