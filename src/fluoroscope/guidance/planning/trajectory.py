"""A planned needle: where it enters, where it ends, how it is seen, and what is near it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from fluoroscope.guidance.planning.needles import PlannedNeedle
from fluoroscope.guidance.planning.views import PlannedView

__all__ = ["SafeZone", "Score", "Trajectory", "Weights", "plan_facts"]

Point = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights of the score's parts (guidance.md §5.4; defaults are a choice to be tuned)."""

    length: float = 1.0
    cone: float = 1.0
    bone: float = 3.0
    nerve: float = 3.0
    reach: float = 1.0
    visibility: float = 0.5

    def __post_init__(self) -> None:
        parts = (self.length, self.cone, self.bone, self.nerve, self.reach, self.visibility)
        if not all(np.isfinite(part) and part >= 0.0 for part in parts):
            raise ValueError(f"weights of the score must be finite and 0 or more, got {parts}")


@dataclass(frozen=True, slots=True)
class Score:
    """Cost of a trajectory, weighted parts; less is better.

    Attributes
    ----------
    length
        Path length / 90 mm.
    cone
        Angle outside the allowed ways in / 15°.
    bone, nerve
        exp(−distance / 2 mm) and exp(−distance / 3 mm).
    reach
        How near the views are to the C-arm's end stops, 0 to 1 each.
    visibility
        What of the needle is seen down the barrel, and what is not seen in the confirming view.
    """

    length: float
    cone: float
    bone: float
    nerve: float
    reach: float
    visibility: float

    @property
    def total(self) -> float:
        """J, the sum."""
        return self.length + self.cone + self.bone + self.nerve + self.reach + self.visibility


@dataclass(frozen=True, slots=True)
class SafeZone:
    """Depths from the skin along the path between which the tip may stand.

    Attributes
    ----------
    from_mm, to_mm
        First and last depth in the target's zone that spares everything.
    limited_by
        What comes next on the line beyond ``to_mm``: "bone", "disc", "dura" …; "" when nothing within 40 mm.
    beyond_mm
        Room from the target to there.
    """

    from_mm: float
    to_mm: float
    limited_by: str
    beyond_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """A planned needle; places in patient LPS, mm.

    Attributes
    ----------
    procedure, level, side, approach
        Names; side "left" or "right" of the patient, "" in the midline.
    bone
        The vertebra the target is on, where the level's word does not say it (medial branch); else "".
    entry_mm, target_mm
        On the skin, and where the tip is to stand.
    needle
        Of the catalogue.
    depth_mm
        From skin to target along the path.
    coaxial, confirm
        Views: down the barrel, and from the side.
    score
        Cost, less is better.
    clearances_mm
        Smallest gap between the needle's surface and each structure near the path; None where the patient's labels
        have no such structure.
    safe_zone
        How deep the tip may go.
    expected_depth_mm, depth_formulas_mm
        Skin to mid-canal by the first of the formulas that can be reckoned, and by each; None and empty without
        the patient's build or where they do not apply.
    dura_depth_mm
        Depth at which the line enters the dural sac; None when it does not within 40 mm beyond the target.
    sigma_mm
        One standard deviation of where the plan's anatomy is known: of landmarks and voxels.
    warnings
        What to heed.
    """

    procedure: str
    level: str
    side: str
    approach: str
    bone: str
    entry_mm: Point
    target_mm: Point
    needle: PlannedNeedle
    depth_mm: float
    coaxial: PlannedView
    confirm: PlannedView
    score: Score
    clearances_mm: Mapping[str, float | None]
    safe_zone: SafeZone
    expected_depth_mm: float | None
    depth_formulas_mm: Mapping[str, float]
    dura_depth_mm: float | None
    sigma_mm: float
    warnings: tuple[str, ...]

    def __post_init__(self) -> None:
        if not np.isfinite([*self.entry_mm, *self.target_mm]).all() or not self.depth_mm > 0.0:
            raise ValueError(f"a trajectory needs finite places and a depth, got {self.entry_mm} to {self.target_mm}")
        object.__setattr__(self, "clearances_mm", MappingProxyType(dict(self.clearances_mm)))
        object.__setattr__(self, "depth_formulas_mm", MappingProxyType(dict(self.depth_formulas_mm)))

    @property
    def dura_mm(self) -> Point | None:
        """Where the line enters the dural sac, LPS mm; None when it does not."""
        return None if self.dura_depth_mm is None else self.at(self.dura_depth_mm)

    def at(self, depth_mm: float) -> Point:
        """Return the place on the line at a depth from the skin."""
        entry, target = np.array(self.entry_mm), np.array(self.target_mm)
        x, y, z = (float(part) for part in entry + depth_mm / self.depth_mm * (target - entry))
        return x, y, z


def plan_facts(trajectory: Trajectory) -> dict[str, Any]:
    """Return a trajectory JSON-ready: what ``fluoroscope plan --json`` prints and the page draws."""
    one = trajectory
    return {
        "procedure": one.procedure,
        "level": one.level,
        "side": one.side or None,
        "approach": one.approach,
        "bone": one.bone or None,
        "entry_mm": _rounded(one.entry_mm),
        "target_mm": _rounded(one.target_mm),
        "dura_mm": None if one.dura_mm is None else _rounded(one.dura_mm),
        "coaxial": _view_facts(one.coaxial),
        "confirm": _view_facts(one.confirm),
        "depth_mm": round(one.depth_mm, 2),
        "dura_depth_mm": None if one.dura_depth_mm is None else round(one.dura_depth_mm, 2),
        "expected_depth_mm": None if one.expected_depth_mm is None else round(one.expected_depth_mm, 1),
        "depth_formulas_mm": {name: round(depth, 1) for name, depth in one.depth_formulas_mm.items()},
        "needle": {
            "name": one.needle.name,
            "title": one.needle.title,
            "gauge": one.needle.gauge,
            "length_mm": one.needle.length_mm,
            "outer_mm": one.needle.outer_mm,
        },
        "score": round(one.score.total, 4),
        "score_parts": {
            name: round(float(getattr(one.score, name)), 4)
            for name in ("length", "cone", "bone", "nerve", "reach", "visibility")
        },
        "clearances_mm": {name: None if gap is None else round(gap, 2) for name, gap in one.clearances_mm.items()},
        "safe_zone": {
            "from_mm": round(one.safe_zone.from_mm, 2),
            "to_mm": round(one.safe_zone.to_mm, 2),
            "beyond_mm": round(one.safe_zone.beyond_mm, 2),
            "limited_by": one.safe_zone.limited_by,
        },
        "sigma_mm": round(one.sigma_mm, 2),
        "warnings": list(one.warnings),
    }


def _rounded(point: Point) -> list[float]:
    return [round(part, 3) for part in point]


def _view_facts(view: PlannedView) -> dict[str, Any]:
    return {
        "name": view.name,
        "primary_deg": round(view.primary_deg, 3),
        "secondary_deg": round(view.secondary_deg, 3),
        "text": view.text,
        "equipment": {
            "primary_deg": round(view.pose.primary_deg, 3),
            "secondary_deg": round(view.pose.secondary_deg, 3),
            "roll_deg": round(view.pose.detector_rotation_deg, 3),
            "joints": {name: round(value, 3) for name, value in view.joints.items()},
            "table": {
                "lateral_mm": round(view.table.lateral_mm, 2),
                "longitudinal_mm": round(view.table.longitudinal_mm, 2),
                "height_mm": round(view.table.height_mm, 2),
            },
        },
        "margin_deg": round(view.margin_deg, 1),
    }
