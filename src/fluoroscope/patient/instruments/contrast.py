"""Contrast medium let out of a needle: where it lies at any time, as a body of iodine the projector adds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.beam.basis import basis_of
from fluoroscope.beam.materials import MATERIALS
from fluoroscope.geometry.rigid import Matrix, apply
from fluoroscope.patient.instruments.compartments import COMPARTMENTS, pattern_of, terrain
from fluoroscope.patient.instruments.spread import arrival, filled_to
from fluoroscope.patient.instruments.tissue_probe import TissueProbe
from fluoroscope.patient.parts import REST
from fluoroscope.patient.scene import Body
from fluoroscope.patient.volume import SCALE, BasisVolume

__all__ = ["Bolus", "Injection", "IodineField", "Way"]

Float = NDArray[np.float64]
INTRATHECAL_MOST_MG = 3060.0
INTRATHECAL_MGI_ML = (180.0, 300.0)
"""Adults, product label of iohexol (``reference/guidance.md`` §5.7)."""
CONCENTRATION_MGI_ML, VOLUME_ML, RATE_ML_S = (0.0, 370.0), (0.05, 50.0), (0.005, 10.0)
_FAST_HZ, _SLOW_HZ = 4.0, 0.5
_SINK_S = 40.0
"""In which heavy medium follows a tilt of the table (unverified)."""
_EDGE_MM = 3.0


@dataclass(frozen=True, slots=True)
class Bolus:
    """So much medium let out evenly from one time on."""

    start_s: float
    volume_ml: float
    concentration_mgi_ml: float
    rate_ml_s: float

    def __post_init__(self) -> None:
        for name, value, (low, high), unit in (
            ("volume", self.volume_ml, VOLUME_ML, "mL"),
            ("concentration", self.concentration_mgi_ml, CONCENTRATION_MGI_ML, "mgI/mL"),
            ("rate", self.rate_ml_s, RATE_ML_S, "mL/s"),
        ):
            if not low <= value <= high:
                raise ValueError(f"injection {name} {value:g} {unit}: choose {low:g} to {high:g} {unit}")
        if not math.isfinite(self.start_s):
            raise ValueError("an injection starts at a finite time")

    @property
    def duration_s(self) -> float:
        """How long it takes."""
        return self.volume_ml / self.rate_ml_s

    def injected_ml(self, time_s: float) -> float:
        """Return the volume that is out at a time."""
        return self.rate_ml_s * min(max(time_s - self.start_s, 0.0), self.duration_s)

    def left_mg(self, time_s: float, washout_s: float) -> float:
        """Return the iodine still there, let out evenly and washed out exponentially."""
        age = max(time_s - self.start_s, 0.0)
        out = min(age, self.duration_s)
        rate_mg_s = self.rate_ml_s * self.concentration_mgi_ml
        return rate_mg_s * washout_s * -math.expm1(-out / washout_s) * math.exp(-(age - out) / washout_s)

    def stopped(self, time_s: float) -> "Bolus | None":
        """Return what is out when the hand stops; None when that is next to nothing."""
        out = self.injected_ml(time_s)
        return replace(self, volume_ml=out) if out >= VOLUME_ML[0] else None


@dataclass(frozen=True, slots=True)
class IodineField:
    """Iodine per volume on a grid at rest.

    Attributes
    ----------
    mgi_ml
        float32 (n0, n1, n2).
    world_from_index
        (4, 4).
    """

    mgi_ml: NDArray[np.float32]
    world_from_index: Float

    @property
    def total_mg(self) -> float:
        """Iodine in all of it."""
        voxel_ml = abs(float(np.linalg.det(self.world_from_index[:3, :3]))) / 1000.0
        return float(self.mgi_ml.sum(dtype=np.float64)) * voxel_ml


@dataclass(frozen=True, slots=True)
class Way:
    """The way of a medium through the tissue, as far as it was asked for.

    Attributes
    ----------
    index
        (n, 3) voxels it can reach.
    order
        (n,) arrival of a front there; equal volumes fill the lowest first.
    room
        (n,) share of each voxel that takes medium, 0 to 1.
    places_mm
        (n, 3) from the opening.
    world_from_index
        (4, 4).
    voxel_ml
        Volume of a voxel.
    """

    index: NDArray[np.int64]
    order: Float
    room: Float
    places_mm: Float
    world_from_index: Float
    voxel_ml: float

    @property
    def capacity_ml(self) -> float:
        """What fits into it."""
        return float(self.room.sum()) * self.voxel_ml


@lru_cache(maxsize=1)
def _per_mgi_ml() -> tuple[float, float]:
    """Return (water, bone) per mm that 1 mgI/mL of iohexol adds to the fluid it displaces."""
    water, bone = basis_of(MATERIALS["iohexol_300"])
    return (water - 1.0) / 300.0, bone / 300.0


class Injection:
    """Contrast medium from one opening, in the place the opening lay in.

    A pure function of time: the same boluses and tilts give the same field.

    Parameters
    ----------
    probe
        The patient's tissue.
    opening_mm
        (3,) where the patient rests.
    frame
        What carries it.
    """

    def __init__(self, probe: TissueProbe, opening_mm: Float, frame: str = REST) -> None:
        at = probe.at_rest(opening_mm)
        self.pattern, self.structure, self.tissue = pattern_of(at), at.structure, at.tissue
        self.kind = COMPARTMENTS[self.pattern]
        self.opening_mm, self.frame = opening_mm, frame
        self.boluses: tuple[Bolus, ...] = ()
        self._pulls: list[tuple[float, Float]] = [(-math.inf, np.zeros(3))]
        self._way: Way | None = None
        self._kept: tuple[tuple[Any, ...], BasisVolume | None, float] | None = None
        self._probe = probe

    # Commands

    def way_for(self, bolus: Bolus) -> Way:
        """Return a way with room for one more bolus; finding one takes a fifth of a second and changes nothing here.

        Raises
        ------
        ValueError
            When there is no room at the opening.
        """
        needed_ml = max(self.kind.mixing, self.kind.mixed) * sum(one.volume_ml for one in (*self.boluses, bolus))
        if self._way is not None and self._way.capacity_ml >= needed_ml:
            return self._way
        found = self._find_way(needed_ml)
        if not len(found.order):
            raise ValueError("contrast medium: there is no room for it where the needle's opening lies")
        return found

    def inject(self, bolus: Bolus, way: Way | None = None) -> None:
        """Let out a bolus; ``way`` is what `way_for` found for it."""
        self._way = self.way_for(bolus) if way is None else way
        self.boluses = (*self.boluses, bolus)
        self._kept = None

    def stop(self, time_s: float) -> None:
        """End the boluses that still flow."""
        ended = [bolus.stopped(time_s) for bolus in self.boluses]
        self.boluses = tuple(bolus for bolus in ended if bolus is not None)
        self._kept = None

    def pull(self, from_s: float, down: Float) -> None:
        """Say from a time on which way is down for the patient, (3,) unit at rest."""
        self._pulls = [(at, way) for at, way in self._pulls if at < from_s] + [(from_s, down)]
        self._kept = None

    # What it is like

    def injected_ml(self, time_s: float) -> float:
        """Return the volume that is out."""
        return sum(bolus.injected_ml(time_s) for bolus in self.boluses)

    def injected_mg(self, time_s: float) -> float:
        """Return the iodine that is out."""
        return sum(bolus.injected_ml(time_s) * bolus.concentration_mgi_ml for bolus in self.boluses)

    def left_mg(self, time_s: float) -> float:
        """Return the iodine not washed out yet."""
        return sum(bolus.left_mg(time_s, self.kind.washout_s) for bolus in self.boluses)

    def field(self, time_s: float) -> IodineField | None:
        """Return the iodine at a time; None before any is there."""
        left = self.left_mg(time_s)
        way = self._way
        if left < 0.05 or way is None:
            return None
        order = way.order
        down = self._down(time_s)
        if self.kind.gravity and down.any():
            order = order - self.kind.gravity * (way.places_mm @ down)
        share = filled_to(order, way.room, _EDGE_MM, self._volume_ml(time_s) / way.voxel_ml)
        inside = share > 1e-3
        total = float(share[inside].sum()) * way.voxel_ml
        index = way.index[inside]
        low = index.min(axis=0)
        values = np.zeros(index.max(axis=0) - low + 1, np.float32)
        values[tuple((index - low).T)] = left / total * share[inside]
        affine = way.world_from_index.copy()
        affine[:3, 3] = apply(way.world_from_index, low)
        return IodineField(values, affine)

    def body(self, name: str, time_s: float, frames: Mapping[str, Matrix] | None = None) -> Body | None:
        """Return what it adds to the X-ray; the same volume object until the next of a few updates a second."""
        at_s = self._updated_s(time_s)
        key = (at_s, self.boluses, len(self._pulls))
        kept = self._kept
        if kept is None or kept[0] != key:
            kept = self._kept = (key, self._volume(at_s), at_s)
        if kept[1] is None:
            return None
        carried = np.eye(4) if not frames else frames.get(self.frame, frames.get(REST, np.eye(4)))
        return Body(name, kept[1], carried)

    def status(self, time_s: float) -> dict[str, Any]:
        """Return pattern, amounts, extent and warnings, JSON-ready."""
        found = self.field(time_s)
        extent = 0.0 if found is None else float(found.mgi_ml.shape[0] * np.linalg.norm(found.world_from_index[:3, 0]))
        return {
            "pattern": self.pattern,
            "structure": self.structure,
            "frame": self.frame,
            "opening_rest_mm": [float(x) for x in self.opening_mm],
            "injected_ml": self.injected_ml(time_s),
            "injected_mgi": self.injected_mg(time_s),
            "present_mgi": self.left_mg(time_s),
            "densest_mgi_ml": 0.0 if found is None else float(found.mgi_ml.max()),
            "extent_head_foot_mm": extent,
            "flowing": any(b.start_s <= time_s < b.start_s + b.duration_s for b in self.boluses),
            "warnings": self.warnings(time_s),
        }

    def warnings(self, time_s: float) -> list[str]:
        """Return what is wrong with it, in words."""
        said = []
        if self.pattern == "intrathecal":
            low, high = INTRATHECAL_MGI_ML
            for strength in sorted({b.concentration_mgi_ml for b in self.boluses if b.start_s <= time_s}):
                if strength and not low <= strength <= high:
                    said.append(f"intrathecal at {strength:g} mgI/mL: the label of iohexol allows {low:g} to {high:g}")
            if (total := self.injected_mg(time_s)) > INTRATHECAL_MOST_MG:
                said.append(f"intrathecal {total:.0f} mg iodine: the label allows {INTRATHECAL_MOST_MG:g} for an adult")
        if self.tissue == "cord":
            said.append("the opening lies in the spinal cord")
        if self.pattern == "intravascular":
            said.append("intravascular: the medium runs off with the blood")
        if self.tissue in ("bowel", "organ", "lung", "fetus"):
            said.append(f"the opening lies in the {self.structure or self.tissue}")
        return said

    # Inner works

    def _find_way(self, needed_ml: float) -> Way:
        """Find the way through the tissue, far enough for so much fluid."""
        ground = terrain(self._probe, self.kind, self.opening_mm)
        spacing = np.linalg.norm(ground.world_from_index[:3, :3], axis=0)
        voxel_ml = float(np.prod(spacing)) / 1000.0
        start = apply(np.linalg.inv(ground.world_from_index).astype(np.float64), self.opening_mm)
        room = ground.room
        if self.kind.flow:
            room = self._downstream(room, ground.world_from_index)
        # Gravity and further boluses fill places a plain front would not reach yet.
        enough = (2.0 * needed_ml + 2.0) / voxel_ml
        if self.kind.gravity > 0.5:
            enough = np.inf
        times = arrival(ground.cost, room, spacing, start, enough)
        index = np.argwhere(np.isfinite(times))
        at = tuple(index.T)
        affine = ground.world_from_index
        return Way(
            index,
            times[at].astype(np.float64),
            room[at].astype(np.float64),
            apply(affine, index) - self.opening_mm,
            affine,
            voxel_ml,
        )

    def _downstream(self, room: NDArray[np.float32], affine: Float) -> NDArray[np.float32]:
        """Close what lies upstream: arteries flow to the foot, veins to the head."""
        to_head = not ("aorta" in self.structure or "artery" in self.structure)
        height = affine[2, 3] + affine[2, 0] * np.arange(room.shape[0]) - self.opening_mm[2]
        ahead = height > -2.0 if to_head else height < 2.0
        return np.where(ahead[:, None, None], room, 0.0).astype(np.float32)

    def _volume_ml(self, time_s: float) -> float:
        """Return the fluid it has mixed with: each bolus on its own clock."""
        kind, total = self.kind, 0.0
        for bolus in self.boluses:
            age = max(time_s - bolus.start_s, 0.0)
            mixed = kind.mixed + (kind.mixing - kind.mixed) * math.exp(-age / kind.mixing_s)
            total += mixed * bolus.injected_ml(time_s)
        return total

    def _down(self, time_s: float) -> Float:
        """Return the way down as the medium has come to feel it: each tilt followed with a delay."""
        first = self.boluses[0].start_s if self.boluses else 0.0
        felt = np.zeros(3)
        ends = [at for at, _ in self._pulls[1:]] + [math.inf]
        for (at, down), end in zip(self._pulls, ends, strict=True):
            begin, until = max(at, first), min(end, time_s)
            if until > begin:
                felt = down + (felt - down) * math.exp(-(until - begin) / _SINK_S)
        return felt

    def _updated_s(self, time_s: float) -> float:
        """Return the last update before a time: a few a second while it flows, fewer when it only mixes."""
        edges = [b.start_s + b.duration_s for b in self.boluses if b.start_s <= time_s]
        edges += [at for at, _ in self._pulls if math.isfinite(at) and at <= time_s]
        quick = bool(edges) and time_s < max(edges) + 3.0 * min(self.kind.washout_s, 4.0)
        rate = _FAST_HZ if quick else _SLOW_HZ
        return math.floor(time_s * rate) / rate

    def _volume(self, time_s: float) -> BasisVolume | None:
        found = self.field(time_s)
        if found is None:
            return None
        water, bone = (np.rint(found.mgi_ml * (share / SCALE)).astype(np.int16) for share in _per_mgi_ml())
        return BasisVolume(np.ascontiguousarray(water), np.ascontiguousarray(bone), found.world_from_index)
