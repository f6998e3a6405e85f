"""Time, injected so that tests never sleep: monotonic ns for order, UTC for records."""

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

__all__ = ["Clock", "PulseTick", "PulseTimer", "SteppedClock", "SystemClock"]


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


class SteppedClock:
    """A clock that stands still until somebody waits on it, then jumps to what is waited for.

    Headless simulation runs on it: pulses come on the same grid as on the true clock, as fast as they can be
    computed, and the same run gives the same times.

    Parameters
    ----------
    started
        Time of day at ``start_ns``, aware.
    start_ns
        First value of the monotonic time, ns.
    """

    def __init__(self, started: datetime, start_ns: int = 0) -> None:
        if started.tzinfo is None:
            raise ValueError("a clock starts at an aware time of day, got one without a time zone")
        self._started = started.astimezone(UTC)
        self._start_ns = start_ns
        self._now_ns = start_ns
        self._lock = threading.Lock()

    def monotonic_ns(self) -> int:
        """Return monotonic time, ns."""
        with self._lock:
            return self._now_ns

    def utc_now(self) -> datetime:
        """Return the time of day, aware, UTC."""
        elapsed_ns = self.monotonic_ns() - self._start_ns
        return self._started + timedelta(microseconds=elapsed_ns / 1000)

    def advance(self, duration_ns: int) -> None:
        """Let ``duration_ns`` (0 or more) pass: what a slow computation would have taken."""
        if duration_ns < 0:
            raise ValueError(f"time does not run backwards: {duration_ns} ns")
        with self._lock:
            self._now_ns += duration_ns

    def wait_until(self, due_ns: int, wake: threading.Event) -> bool:
        """Jump to ``due_ns`` unless it is past; return False, without a jump, when ``wake`` is set."""
        if wake.is_set():
            return False
        with self._lock:
            self._now_ns = max(self._now_ns, due_ns)
        return True


@dataclass(frozen=True, slots=True)
class PulseTick:
    """A pulse that is due: its place on the grid, its time, and how many were missed before it."""

    number: int
    due_ns: int
    dropped: int


class PulseTimer:
    """Pulses on a true clock: pulse n is due at start + n/rate; late ones are dropped and counted.

    Parameters
    ----------
    pulse_rate_hz
        Above 0.
    clock
        What the pulses are timed by.
    start_ns
        When pulse 0 is due, monotonic ns; now when absent. In the future when the rate changes during an
        exposure.

    Raises
    ------
    ValueError
        When the rate is not above 0.
    """

    def __init__(self, pulse_rate_hz: float, clock: Clock, start_ns: int | None = None) -> None:
        if not pulse_rate_hz > 0.0:
            raise ValueError(f"pulse rate must be above 0, got {pulse_rate_hz}")
        self._period_ns = 1e9 / pulse_rate_hz
        self._clock = clock
        self._start_ns = clock.monotonic_ns() if start_ns is None else start_ns
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
