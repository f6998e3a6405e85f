"""A clock that only the test moves, and a source that gives one plain picture per pulse of that clock."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from fluoroscope.acquisition import (
    Clock,
    Frame,
    PixelIntensity,
    Provenance,
    PulseKerma,
    PulseTimer,
    SourceError,
    SourceInfo,
)
from fluoroscope.beam.technique import Technique
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.table import TablePose

STARTED = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


class ManualClock:
    """Stands still until the test moves it; who waits on it sleeps until its time or until woken."""

    def __init__(self) -> None:
        self._now_ns = 1_000_000_000
        self._moved = threading.Condition()

    def monotonic_ns(self) -> int:
        with self._moved:
            return self._now_ns

    def utc_now(self) -> datetime:
        return STARTED + timedelta(microseconds=(self.monotonic_ns() - 1_000_000_000) / 1000)

    def advance(self, seconds: float) -> None:
        with self._moved:
            self._now_ns += round(seconds * 1e9)
            self._moved.notify_all()

    def wait_until(self, due_ns: int, wake: threading.Event) -> bool:
        with self._moved:
            while not wake.is_set():
                if self._now_ns >= due_ns:
                    return True
                # The wake event cannot notify this condition: look again now and then.
                self._moved.wait(0.001)
            return False


class PlainSource:
    """One flat picture per pulse. Exposable; `lose` makes the next pulse fail."""

    def __init__(self, clock: Clock, provenance: Provenance = Provenance.SIMULATED, size: int = 8) -> None:
        self._clock = clock
        self._released = threading.Event()
        self._released.set()
        self._technique: Technique | None = None
        self._event_uid = ""
        self._lost: str | None = None
        self._gate = threading.Event()
        self._gate.set()
        self.blocked = threading.Event()
        self.size = size
        self.pose = CArmPose(0.0, 0.0, 510.0, 1020.0)
        self.dropped_pulses = 0
        self.closed = 0
        self.info = SourceInfo(
            "plain", "Fluoroscope (simulated)", "test", provenance, PixelIntensity.LIN, size, size, 15.0
        )

    def press(self, technique: Technique, event_uid: str) -> None:
        if self._lost is not None:
            raise SourceError(self._lost)
        self._technique, self._event_uid = technique, event_uid
        self._released.clear()

    def release(self) -> None:
        self._released.set()

    def lose(self, reason: str | None) -> None:
        self._lost = reason

    def block(self) -> None:
        """Keep the next picture from being finished until `unblock`."""
        self.blocked.clear()
        self._gate.clear()

    def unblock(self) -> None:
        self._gate.set()

    def frames(self) -> Iterator[Frame]:
        assert self._technique is not None
        self.dropped_pulses = 0
        timer = PulseTimer(self._technique.pulse_rate_hz, self._clock)
        while (tick := timer.next(self._released)) is not None:
            self.dropped_pulses += tick.dropped
            if not self._gate.is_set():
                self.blocked.set()
                self._gate.wait(30.0)
            if self._lost is not None:
                raise SourceError(self._lost)
            index = tick.number
            yield Frame(
                uid=f"{self._event_uid}.{index}",
                event_uid=self._event_uid,
                index=index,
                acquired_ns=tick.due_ns,
                pixels=np.full((self.size, self.size), 100 + index % 1000, dtype=np.uint16),
                intensity=PixelIntensity.LIN,
                provenance=self.info.provenance,
                pitch_mm=0.6,
                pose=self.pose,
                table=TablePose(),
                technique=self._technique,
                kerma=PulseKerma(0.0123 + index * 1e-5, 0.0045 + index * 1e-6),
            )

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def plain_source(clock: ManualClock) -> PlainSource:
    return PlainSource(clock)


@pytest.fixture
def new_clock() -> Callable[[], ManualClock]:
    return ManualClock


@pytest.fixture
def new_source() -> Callable[..., PlainSource]:
    return PlainSource
