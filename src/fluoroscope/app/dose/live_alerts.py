"""The dose alerts of the exam that is open: raised by its running totals, seen by name, both in its journal."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from fluoroscope.acquisition.clock import Clock
from fluoroscope.acquisition.frame import Frame, Provenance
from fluoroscope.dose.alerts import MOST, Alert, AlertWatch, CumulativeDose, LevelRule, Quantity
from fluoroscope.dose.ledger import DoseStatus
from fluoroscope.live.loop import LiveLoop
from fluoroscope.monitor.control import RefusedError

__all__ = ["LiveAlerts", "possible_peak"]


class LiveAlerts:
    """Follows the dose of a room, exam after exam. Safe from several threads.

    It listens to every pulse itself: a level is raised by the pulse that reaches it, however long the press and
    whether or not a page asks for the status. Playing a recording raises nothing.

    Parameters
    ----------
    rules
        The levels.
    loop
        Whose journal takes the notes ``dose alert`` and ``dose alert seen``.
    clock
        Says when.
    peak_skin_mgy
        Gives the peak skin dose of the open exam, mGy; None while nobody knows it. Must return at once.
    """

    def __init__(
        self,
        rules: Sequence[LevelRule],
        loop: LiveLoop,
        clock: Clock,
        peak_skin_mgy: Callable[[], float | None] | None = None,
    ) -> None:
        self._rules, self._loop, self._clock = tuple(rules), loop, clock
        self._peak_skin_mgy = peak_skin_mgy
        self._lock = threading.Lock()
        self._exam = ""
        self._watch = AlertWatch(self._rules)
        self._raised: list[str] = []
        loop.on_exam(self._begin)
        loop.on_pulse(self._pulse)

    def follow(self, exam: str, dose: DoseStatus) -> dict[str, Any]:
        """Take in the totals of an exam (its UID) and return the alerts that are open, JSON-ready."""
        with self._lock:
            if exam != self._exam:
                self._exam, self._watch, self._raised = exam, AlertWatch(self._rules), []
            self._update(dose)
            return self._told()

    def seen(self, *, by: str, up_to: str) -> None:
        """Acknowledge by name every open alert raised up to ``up_to``: a later one was not on the page yet.

        Raises
        ------
        RefusedError
            No such alert is open, or nobody is named.
        """
        at = self._clock.utc_now()
        with self._lock:
            waiting = {alert.name for alert in self._watch.open}
            if up_to not in waiting:
                raise RefusedError(f"the alert {up_to} is not open any more")
            names = [name for name in self._raised[: self._raised.index(up_to) + 1] if name in waiting]
            try:
                seen = [self._watch.acknowledge(name, by, at) for name in names]
            except ValueError as fault:
                raise RefusedError(str(fault), "by") from fault
        for alert in seen:
            self._loop.note("dose alert seen", {"name": alert.name, "by": alert.acknowledged_by, "at": at.isoformat()})

    def _begin(self) -> None:
        with self._lock:
            self._exam, self._watch, self._raised = "", AlertWatch(self._rules), []

    def _pulse(self, frame: Frame) -> None:
        if frame.provenance is Provenance.RECORDED:
            return
        with self._lock:
            self._update(self._loop.snapshot().dose)

    def _update(self, dose: DoseStatus) -> None:
        """Raise what the totals newly reach; the notes are written under the lock, in the order of the levels."""
        peak = None if self._peak_skin_mgy is None else possible_peak(self._peak_skin_mgy())
        totals = CumulativeDose(peak, dose.air_kerma_mgy, dose.kap_gy_cm2, dose.fluoroscopy_time_s)
        new = self._watch.update(totals, None if dose.event is None else dose.event.number)
        self._raised += [alert.name for alert in new]
        for alert in new:
            self._loop.note("dose alert", {"name": alert.name, **_facts(alert)})

    def _told(self) -> dict[str, Any]:
        waiting = self._watch.open
        highest: dict[str, Alert] = {}
        for alert in sorted(waiting, key=lambda one: one.level):
            highest[alert.quantity.value] = alert
        names = {alert.name for alert in waiting}
        following = self._watch.following
        return {
            "count": len(waiting),
            "up_to": next((name for name in reversed(self._raised) if name in names), None),
            "open": [_facts(alert) for alert in highest.values()],
            "next": None
            if following is None
            else {**_facts(following.alert), "value": following.value, "fraction": following.fraction},
        }


def possible_peak(peak_mgy: float | None) -> float | None:
    """Return a peak skin dose; None for one no procedure gives, which must not end an exposure."""
    known = peak_mgy is not None and 0.0 <= peak_mgy <= 1000.0 * MOST[Quantity.PEAK_SKIN_DOSE]
    return peak_mgy if known else None


def _facts(alert: Alert) -> dict[str, Any]:
    return alert.facts | {"words": alert.quantity.words}
