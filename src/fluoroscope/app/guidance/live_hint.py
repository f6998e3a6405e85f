"""The one next step of guidance, in words and as what the page may do for it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.guidance.live_error import NeedleError

__all__ = ["LIGHTS", "Situation", "hint"]

Float = NDArray[np.float64]

LIGHTS = {"green": "good", "amber": "fair", "red": "off", "unknown": "unsure"}
"""Words of the page for those of `guidance.live_error`."""
_AT_TARGET_MM = 1.0
_ARROW_DEG = 0.5
_NEAR_DURA_MM, _LEAST_PUSH_MM = 12.0, 2.5


@dataclass(frozen=True, slots=True)
class Situation:
    """What the next step hangs on.

    Attributes
    ----------
    planning, has_plan
        Whether a path is being planned, is chosen.
    stands
        How the C-arm looks at the path where it stands: "coaxial", "confirm", "other".
    fresh
        Whether LIVE shows everything where it is now.
    needle_in, stylet_in, csf
        What the hand knows and sees at the hub.
    needle_seen
        Whether the needle was found in the picture.
    bone_awaited
        Whether the bone has still to be looked for in it.
    error
        Against the plan; None while it is not known.
    miss_px
        (2,) where it would pass the target if pushed on, along the picture's rows and columns; None when not known.
    """

    planning: bool = False
    has_plan: bool = False
    stands: str = "other"
    fresh: bool = False
    needle_in: bool = False
    stylet_in: bool = False
    csf: bool = False
    needle_seen: bool = False
    bone_awaited: bool = False
    error: NeedleError | None = None
    miss_px: Float | None = None


def hint(now: Situation) -> dict[str, str | None] | None:
    """Return {"text", "act"}; None where the room's own next step is the right one."""
    told = _before_needle(now) if not now.needle_in or not now.has_plan else _with_needle(now)
    return None if told is None else {"text": told[0], "act": told[1]}


def _before_needle(now: Situation) -> tuple[str, str | None]:
    if now.planning:
        return "Planning the path", None
    if not now.has_plan:
        return "Plan the path", "plan"
    if now.stands != "coaxial":
        return "Turn to the bull's-eye (B)", "coaxial"
    if not now.fresh:
        return "Hold SPACE for X-ray", "xray"
    return "Needle at the entry (N + ENTER)", "place"


def _with_needle(now: Situation) -> tuple[str, str | None] | None:
    if now.csf:
        return None
    if not now.fresh:
        return "Hold SPACE: where is it now?", "xray"
    if now.bone_awaited:
        return "Wait: finding the bone", None
    error = now.error
    if error is None or not now.needle_seen:
        return (
            ("Not seen here: bull's-eye (B)", "coaxial")
            if now.stands == "confirm"
            else ("Not seen here: lateral (C)", "confirm")
        )
    if error.turn_to_lateral and now.stands != "confirm":
        return "Turn to lateral now (C)", "confirm"
    if error.light == "unknown":
        return ("Second view: lateral (C)", "confirm") if now.stands != "confirm" else ("Second view (B)", "coaxial")
    beyond = error.to_dura_mm if error.to_dura_mm is not None else error.depth_remaining_mm
    if now.stands == "confirm" and min(beyond, error.depth_remaining_mm) <= _AT_TARGET_MM:
        return ("Take the stylet out (Y)", "stylet") if now.stylet_in else ("No fluid yet: 1 mm on", None)
    if error.light in ("amber", "red"):
        return _swing(now), None
    return _push(now, error)


def _push(now: Situation, error: NeedleError) -> tuple[str, str | None]:
    if error.to_dura_mm is None:
        return f"Advance {max(error.depth_remaining_mm, 0.0):.0f} mm (N + PAGE UP)", None
    if now.stands == "confirm":
        ahead = max(error.to_dura_mm, 0.0)
        if ahead > _NEAR_DURA_MM:
            return f"Advance {ahead - 0.5 * _NEAR_DURA_MM:.0f} mm, then look again", None
        return f"Advance {max(ahead, 1.0):.0f} mm to the dura, slowly", None
    ahead = error.to_dura_mm - max(10.0, 2.0 * error.depth_sigma_mm)
    # What is less than the hand can read at the hub is not worth a push.
    return (
        ("Turn to lateral now (C)", "confirm")
        if ahead < _LEAST_PUSH_MM
        else (f"Advance {ahead:.0f} mm, then lateral", None)
    )


def _swing(now: Situation) -> str:
    """Say which arrow brings the needle back: the hub goes to the side on which the tip would miss."""
    if now.miss_px is None:
        return "Line the needle up with the plan"
    down, right = (float(part) for part in now.miss_px)
    largest = max(abs(down), abs(right))
    arrows = [("→" if right > 0.0 else "←")] if abs(right) > 0.4 * largest else []
    arrows += [("↓" if down > 0.0 else "↑")] if abs(down) > 0.4 * largest else []
    turn = now.error.angle_deg if now.error is not None else None
    size = "" if turn is None or turn < _ARROW_DEG else f" {turn:.0f}°"
    return f"Swing the hub {' '.join(arrows)}{size} (N + {' '.join(arrows)})"
