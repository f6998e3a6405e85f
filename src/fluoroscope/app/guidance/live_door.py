"""The door to live guidance: what it needs is loaded when it is first asked for; a room without it starts at once."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.acquisition.clock import Clock
from fluoroscope.acquisition.frame import Frame
from fluoroscope.app.bedside import Bedside
from fluoroscope.app.console import Console
from fluoroscope.app.needle_hand import NeedleHand
from fluoroscope.geometry.rigid import Matrix
from fluoroscope.live.loop import LiveLoop
from fluoroscope.monitor.control import Asset, RefusedError

if TYPE_CHECKING:
    from fluoroscope.app.guidance.live_guidance import LiveGuidance

__all__ = ["NOTHING", "NOT_ALLOWED", "GuidanceDoor"]

NOT_ALLOWED = "this exercise is without guidance: nothing is planned or shown"
NOTHING: Mapping[str, Any] = {
    "on": False,
    "planning": None,
    "trouble": "",
    "request": None,
    "plans": [],
    "chosen": None,
    "overlay": {"live": None, "reference": None},
    "tracking": None,
    "tracking_text": "",
    "error": None,
    "light": None,
    "hint": None,
    "warnings": [],
    "age_ms": None,
    "reached": None,
}
"""The part ``guidance`` of the status while nothing is planned."""


class GuidanceDoor:
    """Hands the page's commands on to live guidance, or refuses them in an exercise without it.

    Parameters
    ----------
    loop, clock, console, bedside, hand
        As `live_guidance.LiveGuidance` takes them.
    allowed
        False withholds plan and overlay: training without guidance.
    changed
        Called when something changed by itself.
    """

    COMMANDS = ("plan_make", "plan_choose", "plan_clear", "plan_view", "guidance")

    def __init__(
        self,
        loop: LiveLoop,
        clock: Clock,
        console: Console,
        bedside: Bedside,
        hand: NeedleHand,
        *,
        allowed: bool = True,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._of = loop, clock, console, bedside, hand
        self._allowed, self._changed = allowed, changed
        self.live: LiveGuidance | None = None
        hand.follow_plan(self.plan_place)

    @property
    def commands(self) -> dict[str, Callable[..., Mapping[str, Any] | None]]:
        """The commands by name."""
        return {name: getattr(self, name) for name in self.COMMANDS}

    def allow(self, allowed: bool) -> None:
        """Withhold guidance, or give it back: an exercise says which."""
        self._allowed = allowed
        if not allowed and self.live is not None:
            self.live.end()
        self._changed()

    def close(self) -> None:
        """Look at no more pictures; wait for a plan being made."""
        if self.live is not None:
            self.live.close()

    # Commands: their names and arguments are those of docs/reference/page-protocol.md

    def plan_make(self, *, procedure: str, level: str, side: str = "") -> None:
        """Plan a path, beside the room."""
        self._opened().plan_make(procedure=procedure, level=level, side=side)

    def plan_choose(self, *, index: int) -> None:
        """Choose one of the paths found."""
        self._opened().plan_choose(index=index)

    def plan_clear(self) -> None:
        """Forget the plan."""
        if self.live is not None:
            self.live.plan_clear()

    def plan_view(self, *, view: str) -> None:
        """Turn the C-arm down the barrel of the path, or across it."""
        self._opened().plan_view(view=view)

    def guidance(self, *, on: bool) -> None:
        """Show guidance, or not."""
        if on or self.live is not None:
            self._opened().guidance(on=on)

    def plan_place(self) -> tuple[str, NDArray[np.float64], NDArray[np.float64]]:
        """Return needle type, entry and direction of the chosen path (LPS), where the bone lies now."""
        return self._opened().plan_place()

    def noted(self, name: str, args: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """Take note of a command that was carried out."""
        if self.live is not None:
            self.live.noted(name, args, result)

    # What the page is told, and others

    def places(self) -> dict[str, Matrix]:
        """Return what other programs may be told; see `live_guidance.LiveGuidance.places`."""
        return {} if self.live is None else self.live.places()

    def asset(self, name: str) -> Asset | None:
        """Return ``guidance.json``, or a cut of the CT along the chosen path; None for what there is not."""
        if not self._allowed:
            return None
        if name == "guidance.json":
            return self._opened().choices()
        return None if self.live is None else self.live.slice(name.removeprefix("guidance/"))

    def status(self, shown: Frame | None) -> dict[str, Any]:
        """Return the part ``guidance`` of the status; ``shown`` is the frame on LIVE."""
        told = NOTHING if not self._allowed or self.live is None else self.live.status(shown)
        return {"guidance": {**told, "allowed": self._allowed}}

    def _opened(self) -> "LiveGuidance":
        if not self._allowed:
            raise RefusedError(NOT_ALLOWED)
        if self.live is None:
            from fluoroscope.app.guidance.live_guidance import LiveGuidance

            self.live = LiveGuidance(*self._of, changed=self._changed)
        return self.live
