"""Pulses on a true clock: on the grid, never queued, never after release."""

import threading
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluoroscope.acquisition import PulseTimer, SteppedClock

STARTED = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
RATES_HZ = [1.0, 2.0, 3.75, 7.5, 15.0, 30.0]


def stepped(start_ns: int = 5_000) -> SteppedClock:
    return SteppedClock(STARTED, start_ns)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_pulses_lie_on_the_grid_without_drift(rate_hz: float) -> None:
    clock = stepped()
    timer = PulseTimer(rate_hz, clock)
    ticks = [timer.next(threading.Event()) for _ in range(500)]
    for number, tick in enumerate(ticks):
        assert tick is not None
        assert (tick.number, tick.dropped) == (number, 0)
        assert abs(tick.due_ns - (5_000 + number * 1e9 / rate_hz)) <= 0.5


@given(
    rate_hz=st.sampled_from(RATES_HZ),
    busy_periods=st.lists(st.floats(0.0, 7.0), min_size=1, max_size=40),
)
@pytest.mark.req("REQ-LIVE-001")
def test_late_pulses_are_dropped_and_counted_never_queued(rate_hz: float, busy_periods: list[float]) -> None:
    clock = stepped()
    timer = PulseTimer(rate_hz, clock)
    period_ns = 1e9 / rate_hz
    delivered = dropped = 0
    last_number, last_start_ns = -1, -1
    for busy in busy_periods:
        tick = timer.next(threading.Event())
        assert tick is not None
        start_ns = clock.monotonic_ns()
        delivered += 1
        dropped += tick.dropped
        assert tick.number > last_number
        # Every place of the grid is either delivered or counted as dropped.
        assert tick.number + 1 == delivered + dropped
        # A pulse starts in its own period: never early, never a queue of old ones.
        assert tick.due_ns <= start_ns < tick.due_ns + period_ns + 1
        assert start_ns > last_start_ns
        last_number, last_start_ns = tick.number, start_ns
        clock.advance(round(busy * period_ns))


def test_no_pulse_after_release() -> None:
    timer = PulseTimer(15.0, stepped())
    released = threading.Event()
    assert timer.next(released) is not None
    released.set()
    assert timer.next(released) is None


def test_no_pulse_after_release_even_when_one_is_overdue() -> None:
    clock = stepped()
    timer = PulseTimer(15.0, clock)
    released = threading.Event()
    clock.advance(10**9)
    released.set()
    assert timer.next(released) is None


def test_a_changed_rate_starts_where_the_old_one_would_have_gone_on() -> None:
    clock = stepped(0)
    timer = PulseTimer(10.0, clock, start_ns=250_000_000)
    tick = timer.next(threading.Event())
    assert tick is not None
    assert (tick.number, tick.due_ns, tick.dropped) == (0, 250_000_000, 0)
    assert clock.monotonic_ns() == 250_000_000


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, float("nan")])
def test_a_rate_that_is_not_above_zero_is_refused(rate_hz: float) -> None:
    with pytest.raises(ValueError, match="pulse rate must be above 0"):
        PulseTimer(rate_hz, stepped())


def test_a_stepped_clock_keeps_both_times_together() -> None:
    clock = stepped(0)
    clock.advance(1_500_000_000)
    assert (clock.utc_now() - STARTED).total_seconds() == 1.5
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-1)
    with pytest.raises(ValueError, match="time zone"):
        SteppedClock(datetime(2026, 1, 1))
