"""Time, injected so that tests never sleep: monotonic ns for order, UTC for records."""

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "PulseTick", "PulseTimer", "SystemClock"]


class Clock(Protocol):
    """A clock that can be waited on and woken."""

    def monotonic_ns(self) -> int:
        """Return monotonic time, ns."""
        ...

    def utc_now(self) -> datetime:
        """Return the time of day, aware, UTC."""
        ...

    def wait_until(self, due_ns: int, wake: threading.Event) -> bool:
        """Wait for ``due_ns``; return False at once when ``wake`` is set before."""
        ...


class SystemClock:
    """The computer's clock."""

    def monotonic_ns(self) -> int:
        """Return monotonic time, ns."""
        return time.monotonic_ns()

    def utc_now(self) -> datetime:
        """Return the time of day, aware, UTC."""
        return datetime.now(UTC)

    def wait_until(self, due_ns: int, wake: threading.Event) -> bool:
        """Wait for ``due_ns``; return False at once when ``wake`` is set before."""
        remaining_s = (due_ns - time.monotonic_ns()) / 1e9
        return not wake.wait(remaining_s) if remaining_s > 0 else not wake.is_set()


@dataclass(frozen=True, slots=True)
class PulseTick:
    """A pulse that is due: its place on the grid of the clock, its time, and how many were missed before it."""

    number: int
    due_ns: int
    dropped: int


class PulseTimer:
    """Pulses on a true clock: pulse n is due at start + n/rate; late ones are dropped and counted, never queued."""

    def __init__(self, pulse_rate_hz: float, clock: Clock) -> None:
        if not pulse_rate_hz > 0.0:
            raise ValueError(f"pulse rate must be above 0, got {pulse_rate_hz}")
        self._period_ns = 1e9 / pulse_rate_hz
        self._clock = clock
        self._start_ns = clock.monotonic_ns()
        self._next = 0

    def next(self, released: threading.Event) -> PulseTick | None:
        """Wait for the next pulse; None once ``released`` is set."""
        now_ns = self._clock.monotonic_ns()
        # A pulse may start late by less than one period; older ones are gone.
        oldest = int((now_ns - self._start_ns) // self._period_ns)
        number = max(self._next, oldest)
        dropped = number - self._next
        due_ns = self._start_ns + round(number * self._period_ns)
        if not self._clock.wait_until(due_ns, released):
            return None
        self._next = number + 1
        return PulseTick(number, due_ns, dropped)
