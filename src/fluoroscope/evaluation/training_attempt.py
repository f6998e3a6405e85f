"""An attempt at a procedure as it is judged: where the needle should go and went, what it touched, what was exposed.

Points are LPS mm of the patient at rest: what breathes carries target and needle alike.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Attempt", "Flow", "Moment", "Place", "Point", "Shot", "Target", "Touch", "Zone"]

Point = tuple[float, float, float]
_NO_TURN = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True, slots=True)
class Zone:
    """Where the tip has to be: a box, or near any of some points.

    Attributes
    ----------
    center_mm
        Middle of the box.
    half_mm
        Half its sides along ``axes``; zeros for a point.
    axes
        Its unit axes, one a row.
    points_mm
        Points of a structure such as a joint; in place of the box when there are some.
    tolerance_mm
        Distance from box or points that still counts as within.
    tissues
        What the tip or the opening must lie in besides; empty for anything.
    """

    center_mm: Point
    half_mm: Point = (0.0, 0.0, 0.0)
    axes: tuple[Point, Point, Point] = _NO_TURN
    points_mm: tuple[Point, ...] = ()
    tolerance_mm: float = 0.0
    tissues: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        turn = np.asarray(self.axes, dtype=np.float64)
        if turn.shape != (3, 3) or not np.allclose(turn @ turn.T, np.eye(3), atol=1e-6):
            raise ValueError("the axes of a zone are three unit vectors at right angles")
        if min(self.half_mm) < 0.0 or self.tolerance_mm < 0.0:
            raise ValueError("the sides and the tolerance of a zone are 0 mm or more")

    def distance_mm(self, point_mm: ArrayLike) -> float:
        """Return how far a point (3,) is outside box or points, tolerance not taken off; 0 within."""
        point = np.asarray(point_mm, dtype=np.float64)
        if self.points_mm:
            known = np.asarray(self.points_mm, dtype=np.float64)
            return float(np.linalg.norm(known - point, axis=1).min())
        inside = np.asarray(self.axes) @ (point - np.asarray(self.center_mm))
        return float(np.linalg.norm(np.maximum(np.abs(inside) - np.asarray(self.half_mm), 0.0)))


@dataclass(frozen=True, slots=True)
class Place:
    """Where the same procedure would go elsewhere in this patient: "L4-L5", or "L4-L5 left"."""

    name: str
    center_mm: Point


@dataclass(frozen=True, slots=True)
class Target:
    """What an attempt is meant to reach.

    Attributes
    ----------
    procedure, level, side
        As asked for; ``side`` "" for the midline.
    zone
        Where the tip has to be.
    entry_mm, aim_mm
        Line of the expert's needle, from the skin to its end.
    source
        Where that line comes from, in words.
    needle
        Of the catalogue, what the expert takes.
    patterns
        Of contrast medium, any of which is right; empty when none is asked for.
    unwanted_patterns
        Any of which is wrong.
    returns
        What must drip from the hub: "CSF"; "" when nothing must.
    unwanted
        Needle events that count as a wrong structure touched.
    spared
        Structures whose touch does not count all the same.
    bone_is_goal
        Whether touching bone within ``BONE_GOAL_MM`` of the zone is part of the technique.
    places
        The right place and where else a needle could have gone by mistake.
    """

    procedure: str
    level: str
    side: str
    zone: Zone
    entry_mm: Point
    aim_mm: Point
    source: str
    needle: str = ""
    patterns: tuple[str, ...] = ()
    unwanted_patterns: tuple[str, ...] = ()
    returns: str = ""
    unwanted: tuple[str, ...] = ()
    spared: tuple[str, ...] = ()
    bone_is_goal: bool = False
    places: tuple[Place, ...] = ()

    @property
    def place(self) -> str:
        """Level and side in words."""
        return f"{self.level} {self.side}".strip()

    @property
    def direction(self) -> NDArray[np.float64]:
        """Unit (3,) along the expert's needle."""
        way = np.asarray(self.aim_mm, dtype=np.float64) - np.asarray(self.entry_mm)
        along: NDArray[np.float64] = way / np.linalg.norm(way)
        return along

    def nearest_place(self, point_mm: ArrayLike) -> str:
        """Return the name of the place nearest to a point (3,); that of the target when no others are known."""
        point = np.asarray(point_mm, dtype=np.float64)
        if not self.places:
            return self.place
        return min(self.places, key=lambda one: float(np.linalg.norm(np.asarray(one.center_mm) - point))).name


@dataclass(frozen=True, slots=True)
class Moment:
    """The needle after something was done with it.

    Attributes
    ----------
    at_s
        Time of the scene.
    insertion
        Number of the needle, from 1: each that is set on the skin is a new one.
    act
        "placed", "pushed", "pulled", "steered", "rotated", "stylet", "injected" or "removed".
    depth_mm
        Path from skin to tip.
    entry_mm, tip_mm, direction
        As the patient rests; unit direction of the tip.
    tissue, structure, opening_tissue
        What the tip, and its opening, is in.
    returns
        What drips from the hub.
    path_mm
        From hub to tip.
    """

    at_s: float
    insertion: int
    act: str
    depth_mm: float
    entry_mm: Point
    tip_mm: Point
    direction: Point
    tissue: str = ""
    structure: str = ""
    opening_tissue: str = ""
    returns: str = ""
    path_mm: tuple[Point, ...] = ()


@dataclass(frozen=True, slots=True)
class Touch:
    """Something the needle met, as `NeedleEvent` names it, and where."""

    at_s: float
    insertion: int
    what: str
    structure: str
    depth_mm: float
    tip_mm: Point


@dataclass(frozen=True, slots=True)
class Shot:
    """One press of the pedal; ``field_share`` is the irradiated part of the largest field, weighted by kerma."""

    at_s: float
    seconds: float
    pulses: int
    air_kerma_mgy: float
    kap_gy_cm2: float
    field_share: float


@dataclass(frozen=True, slots=True)
class Flow:
    """Contrast medium that went to one place: its pattern, the structure there, and how much."""

    pattern: str
    structure: str
    volume_ml: float


@dataclass(frozen=True, slots=True)
class Attempt:
    """All that is judged.

    Attributes
    ----------
    target
        What was to be reached.
    moments, touches, shots, flows
        In order of time.
    seconds
        From the beginning to the end of the attempt.
    complete
        Whether it was ended, and not cut short by a crash.
    """

    target: Target
    moments: tuple[Moment, ...]
    touches: tuple[Touch, ...] = ()
    shots: tuple[Shot, ...] = ()
    flows: tuple[Flow, ...] = ()
    seconds: float = 0.0
    complete: bool = True

    @property
    def judged(self) -> Moment | None:
        """The moment whose needle is judged; None when none was put in.

        The last injection; else the last time that what must drip did; else the last push, which taking the needle
        out again does not undo.
        """
        pushed = [one for one in self.moments if one.act in ("placed", "pushed", "steered", "stylet", "rotated")]
        injected = [one for one in self.moments if one.act == "injected"]
        if injected:
            return injected[-1]
        wanted = self.target.returns
        dripped = [one for one in pushed if wanted and wanted in one.returns]
        if dripped:
            return dripped[-1]
        advanced = [one for one in self.moments if one.act == "pushed"]
        return advanced[-1] if advanced else (pushed[-1] if pushed else None)
