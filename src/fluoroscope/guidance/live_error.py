"""How far the needle is from its plan, which way, and what that asks for: the figures beside the live picture."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["NeedleError", "TissueWarning", "needle_error", "plan_axes"]

Float = NDArray[np.float64]
OFFSET_MM = (2.0, 4.0)
ANGLE_DEG = (2.0, 5.0)
"""Green up to the first, amber up to the second, red beyond (`reference/guidance.md` §5.4)."""
CONFIRM_MM = 10.0
"""Stop and look from the side this far before the dura (`reference/guidance.md` §5.2)."""
WARN_MM: Mapping[str, float] = {
    "cord": 5.0, "nerve root": 3.0, "vessel": 3.0, "bowel": 5.0, "organ": 5.0, "lung": 10.0, "dura": 3.0, "bone": 0.5,
}  # fmt: skip
"""Distance at which nearness to a kind of tissue is told: defaults of ours, to be set by the site."""


@dataclass(frozen=True, slots=True)
class TissueWarning:
    """Something the tip is close to.

    Attributes
    ----------
    structure, kind
        What it is: "root_L4_left", "nerve root".
    distance_mm, sigma_mm
        From the tip, negative inside.
    text
        For the screen.
    """

    structure: str
    kind: str
    distance_mm: float
    sigma_mm: float
    text: str


@dataclass(frozen=True, slots=True)
class NeedleError:
    """A needle against its plan, in the patient's terms. JSON-ready by `status`.

    Attributes
    ----------
    lateral_mm, lateral_sigma_mm
        Across the plan toward the patient's left (toward the front for a plan from the side).
    vertical_mm, vertical_sigma_mm
        Across the plan toward the head.
    offset_mm
        Both together.
    depth_remaining_mm, depth_sigma_mm
        Along the plan to the target; negative beyond it.
    angle_deg, angle_sigma_deg
        Between needle and plan; None when the direction is not known.
    turn_left_deg, turn_head_deg
        Parts of the angle: by how much the tip points too far to the patient's left and head; None likewise.
    miss_mm
        Where the needle would pass the target if pushed on straight; None likewise.
    light
        "green", "amber", "red"; "unknown" when the errors are too large to tell green from red.
    to_dura_mm
        Along the plan to where the dura is predicted; None when no dura lies on the way.
    turn_to_lateral
        Whether to stop and look from the confirming view now.
    lateral_word, vertical_word
        Sides that a positive offset lies on: "left" or "front", and "head".
    warnings
        Nearest first.
    advice
        One line for the screen.
    """

    lateral_mm: float
    lateral_sigma_mm: float
    vertical_mm: float
    vertical_sigma_mm: float
    offset_mm: float
    depth_remaining_mm: float
    depth_sigma_mm: float
    angle_deg: float | None
    angle_sigma_deg: float | None
    turn_left_deg: float | None
    turn_head_deg: float | None
    miss_mm: float | None
    light: str
    to_dura_mm: float | None
    turn_to_lateral: bool
    lateral_word: str
    vertical_word: str
    warnings: tuple[TissueWarning, ...]
    advice: str

    def status(self) -> dict[str, Any]:
        """Return everything by name, JSON-ready."""
        return asdict(self)


def needle_error(
    tip_mm: ArrayLike,
    direction: ArrayLike | None,
    *,
    entry_mm: ArrayLike,
    target_mm: ArrayLike,
    covariance_mm2: ArrayLike,
    angle_sigma_deg: float = 0.0,
    dura_mm: float | None = None,
    dura_sigma_mm: float = 0.0,
    safe_beyond_mm: float = 0.0,
    distances_mm: Mapping[tuple[str, str], float] | None = None,
    confirmed: bool = False,
) -> NeedleError:
    """Compare a needle with its plan. Everything is in the patient's frame (LPS mm of the CT).

    Parameters
    ----------
    tip_mm, direction
        (3,) the tip, and the unit way from hub to tip; None when it is not known.
    entry_mm, target_mm
        (3,) of the plan.
    covariance_mm2
        (3, 3) of the tip.
    angle_sigma_deg
        Error of the direction.
    dura_mm, dura_sigma_mm
        Where along the plan, from its entry, the dura is predicted, and how well.
    safe_beyond_mm
        How far beyond the target the safe zone still reaches.
    distances_mm
        From the tip to structures, by (structure, kind), negative inside; kinds of `WARN_MM` are told.
    confirmed
        The needle has been looked at from the confirming view at this depth: it is not asked for again.

    Raises
    ------
    ValueError
        When entry and target are one point, or something is not finite.
    """
    tip, entry, target = (np.asarray(one, dtype=np.float64) for one in (tip_mm, entry_mm, target_mm))
    spread = np.asarray(covariance_mm2, dtype=np.float64)
    if not (np.isfinite(tip).all() and np.isfinite(spread).all() and spread.shape == (3, 3)):
        raise ValueError("the tip and its covariance (3, 3) must be finite")
    along, left, head, word = plan_axes(entry, target)
    off = tip - entry
    offset = np.array([off @ left, off @ head])
    sigmas = [max(float(axis @ spread @ axis), 0.0) ** 0.5 for axis in (left, head, along)]
    remaining = float((target - tip) @ along)
    way = None if direction is None else np.asarray(direction, dtype=np.float64)
    turned = None if way is None or not np.isfinite(way).all() else _angles(way, along, left, head, remaining, offset)
    angle, turn_left, turn_head, miss = turned or (None, None, None, None)
    light = _light(float(np.linalg.norm(offset)), max(sigmas[:2]), angle, angle_sigma_deg)
    to_dura = None if dura_mm is None else dura_mm - float(off @ along)
    stop_at = max(CONFIRM_MM, 2.0 * float(np.hypot(sigmas[2], dura_sigma_mm)))
    look = bool(to_dura is not None and to_dura <= stop_at and not confirmed)
    warnings = _warnings(distances_mm or {}, spread, remaining, safe_beyond_mm, sigmas[2])
    return NeedleError(
        lateral_mm=float(offset[0]), lateral_sigma_mm=sigmas[0],
        vertical_mm=float(offset[1]), vertical_sigma_mm=sigmas[1], offset_mm=float(np.linalg.norm(offset)),
        depth_remaining_mm=remaining, depth_sigma_mm=sigmas[2],
        angle_deg=angle, angle_sigma_deg=None if turned is None else angle_sigma_deg,
        turn_left_deg=turn_left, turn_head_deg=turn_head, miss_mm=miss, light=light,
        to_dura_mm=to_dura, turn_to_lateral=look, lateral_word=word, vertical_word="head", warnings=warnings,
        advice=_advice(offset, word, remaining, look, light, warnings),
    )  # fmt: skip


def plan_axes(entry_mm: Float, target_mm: Float) -> tuple[Float, Float, Float, str]:
    """Return unit vectors along a plan, across it to the patient's left and to his head, and the first's word.

    A plan that comes from the side has no left of its own: there the first goes to the front.
    """
    length = float(np.linalg.norm(target_mm - entry_mm))
    if not (np.isfinite(length) and length > 0.0):
        raise ValueError("a plan needs an entry and a target apart from each other")
    along = (target_mm - entry_mm) / length
    from_side = abs(along[0]) > 0.8
    first = np.array([0.0, -1.0, 0.0]) if from_side else np.array([1.0, 0.0, 0.0])
    head = np.array([0.0, 0.0, 1.0]) if abs(along[2]) < 0.9 else np.array([0.0, 1.0, 0.0])
    head = head - (head @ along) * along
    head /= np.linalg.norm(head)
    across = np.cross(head, along)
    return along, across if across @ first >= 0.0 else -across, head, "front" if from_side else "left"


def _angles(
    way: Float, along: Float, left: Float, head: Float, remaining_mm: float, offset_mm: Float
) -> tuple[float, float, float, float]:
    """Return angle, its parts to left and head, deg, and the miss at the target, mm."""
    unit = way / np.linalg.norm(way)
    ahead = float(unit @ along)
    angle = float(np.rad2deg(np.arctan2(np.linalg.norm(np.cross(unit, along)), ahead)))
    parts = [float(np.rad2deg(np.arctan2(unit @ axis, ahead))) for axis in (left, head)]
    slopes = np.array([unit @ left, unit @ head]) / max(ahead, 1e-3)
    miss = float(np.linalg.norm(offset_mm + slopes * remaining_mm))
    return angle, parts[0], parts[1], miss


def _light(offset_mm: float, sigma_mm: float, angle_deg: float | None, angle_sigma_deg: float) -> str:
    def one(value: float, sigma: float, bounds: tuple[float, float]) -> int:
        rank = 0 if value <= bounds[0] else 1 if value <= bounds[1] else 2
        # What may as well be red as green is neither.
        return 3 if rank < 2 and value + 2.0 * sigma > bounds[1] and sigma > bounds[0] else rank

    ranks = [one(offset_mm, sigma_mm, OFFSET_MM)]
    if angle_deg is not None:
        ranks.append(one(angle_deg, angle_sigma_deg, ANGLE_DEG))
    if 2 in ranks:
        return "red"
    return "unknown" if 3 in ranks else ("green", "amber")[max(ranks)]


def _warnings(
    distances_mm: Mapping[tuple[str, str], float], spread: Float, remaining_mm: float, beyond_mm: float, along: float
) -> tuple[TissueWarning, ...]:
    sigma = float(np.sqrt(np.linalg.eigvalsh(spread)[-1]))
    found = []
    for (structure, kind), distance in distances_mm.items():
        if kind in WARN_MM and distance <= WARN_MM[kind]:
            name = structure.replace("_", " ")
            text = f"in {name}" if distance <= 0.0 else f"{name}: {distance:.1f} ± {sigma:.1f} mm"
            found.append(TissueWarning(structure, kind, float(distance), sigma, text))
    if -remaining_mm > beyond_mm:
        past = -remaining_mm - beyond_mm
        found.append(TissueWarning("safe zone", "plan", -past, along, f"{past:.1f} mm beyond the safe zone: pull back"))
    return tuple(sorted(found, key=lambda one: one.distance_mm))


def _advice(
    offset_mm: Float, word: str, remaining_mm: float, look: bool, light: str, warnings: tuple[TissueWarning, ...]
) -> str:
    if warnings and warnings[0].distance_mm <= 0.0:
        return f"stop: {warnings[0].text}"
    if look:
        return "stop and turn to lateral"
    if light == "unknown":
        return "the needle's place is not known well enough: take a second view"
    if light == "red" or light == "amber":
        sides = ((word, {"left": "right", "front": "back"}[word]), ("head", "feet"))
        parts = [f"{abs(value):.1f} mm toward the {'patient’s ' if names[0] == 'left' else ''}"
                 f"{names[1] if value > 0.0 else names[0]}" for value, names in zip(offset_mm, sides, strict=True)
                 if abs(value) >= 0.5]  # fmt: skip
        return "bring the tip " + " and ".join(parts) if parts else "line the needle up with the plan"
    return f"go on, {remaining_mm:.0f} mm to the target" if remaining_mm > 0.5 else "at the target"
