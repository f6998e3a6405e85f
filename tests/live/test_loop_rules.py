"""Whatever the operator does, in whatever order, the live loop keeps its rules."""

import itertools
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fluoroscope.beam.technique import RadiationMode, Technique
from fluoroscope.dose import KermaLedger
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.imagechain import ImageChain
from fluoroscope.live import (
    EventEnded,
    Journal,
    LiveLoop,
    LivePicture,
    LiveState,
    PictureKind,
    Policy,
    StateError,
    recover_exam,
)

PATIENCE_S = 20.0
AT_REST = (LiveState.READY, LiveState.HOLD, LiveState.FAULT)


class Operator(RuleBasedStateMachine):
    """Presses, releases, moves, waits, breaks things and mends them."""

    new_clock: Any
    new_source: Any

    @initialize()
    def open(self) -> None:
        self.folder = TemporaryDirectory()
        self.clock = self.new_clock()
        self.source = self.new_source(self.clock)
        self.journal = Journal(Path(self.folder.name) / "journal.jsonl")
        self.journal.exam("1.2.3", self.clock.utc_now(), "15 cm", {})
        self.ledger = KermaLedger("15 cm")
        numbers = itertools.count(1)
        self.loop = LiveLoop(
            self.source, ImageChain(), self.ledger, self.clock, lambda: f"1.2.{next(numbers)}", self.journal
        )
        self.watch = self.loop.subscribe("watch", Policy.LOSSLESS, 100_000)
        self.lazy = self.loop.subscribe("lazy", Policy.LATEST)
        self.loop.start()
        self.pictures: list[LivePicture] = []
        self.events: list[Any] = []
        self.on_since_ns = -1
        self.intervals: dict[str, tuple[int, int]] = {}
        self.pressed_uid = ""

    def exposing(self) -> bool:
        return self.loop.state is LiveState.EXPOSING

    def take(self, wait: bool) -> None:
        """Collect what was published; ``wait`` for at least one."""
        timeout_s = PATIENCE_S if wait else 0.0
        while (item := self.watch.get(timeout_s)) is not None:
            timeout_s = 0.0
            if isinstance(item, EventEnded):
                self.events.append(item.event)
            else:
                self.pictures.append(item)

    def ended(self) -> None:
        """The exposure is over: note when it was on."""
        assert self.loop.wait_for(*AT_REST, timeout_s=PATIENCE_S)
        self.intervals[self.pressed_uid] = (self.on_since_ns, self.clock.monotonic_ns())
        self.take(wait=False)

    @precondition(lambda self: self.loop.state in (LiveState.READY, LiveState.HOLD))
    @rule(rate_hz=st.sampled_from([1.0, 7.5, 30.0]), mode=st.sampled_from(RadiationMode), first=st.booleans())
    def press(self, rate_hz: float, mode: RadiationMode, first: bool) -> None:
        # No foot is down again in the same nanosecond.
        self.clock.advance(0.001)
        self.on_since_ns = self.clock.monotonic_ns()
        self.pressed_uid = self.loop.press(Technique(70.0, 3.0, 8.0, rate_hz, mode=mode))
        if first:
            self.take(wait=True)

    @precondition(lambda self: not self.exposing())
    @rule(seconds=st.floats(0.0, 30.0))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @precondition(lambda self: self.exposing())
    @rule(periods=st.floats(1.0, 4.0))
    def hold_the_pedal(self, periods: float) -> None:
        self.take(wait=False)
        self.clock.advance(periods)
        self.take(wait=True)

    @rule(angle=st.floats(-30.0, 30.0))
    def move(self, angle: float) -> None:
        self.source.pose = CArmPose(angle, 0.0, 510.0, 1020.0)

    @precondition(lambda self: self.exposing())
    @rule()
    def press_again_is_refused(self) -> None:
        with pytest.raises(StateError):
            self.loop.press(Technique(70.0, 3.0, 8.0, 15.0))

    @precondition(lambda self: self.exposing())
    @rule(stop=st.booleans())
    def release(self, stop: bool) -> None:
        (self.loop.stop if stop else self.loop.release)()
        self.ended()

    @precondition(lambda self: self.exposing())
    @rule()
    def fail(self) -> None:
        self.loop.fault("broken; mend it")
        self.ended()
        assert self.loop.state is LiveState.FAULT

    @precondition(lambda self: self.loop.state is LiveState.FAULT)
    @rule()
    def mend(self) -> None:
        with pytest.raises(StateError):
            self.loop.press(Technique(70.0, 3.0, 8.0, 15.0))
        self.loop.acknowledge()
        assert self.loop.state is LiveState.READY

    @rule()
    def reset_the_signal(self) -> None:
        self.loop.reset_five_minute_signal()

    @invariant()
    def pictures_lie_within_their_press(self) -> None:
        for picture in self.pictures:
            frame = picture.shown
            if frame.event_uid in self.intervals:
                pressed_ns, released_ns = self.intervals[frame.event_uid]
                assert pressed_ns <= frame.acquired_ns <= released_ns + 1
        times = [picture.shown.acquired_ns for picture in self.pictures]
        assert times == sorted(set(times))

    @invariant()
    def the_dose_is_the_sum_of_the_pulses(self) -> None:
        if self.exposing():
            return
        self.take(wait=False)
        live = [picture for picture in self.pictures if picture.kind is PictureKind.LIVE]
        for event in self.events:
            kermas = [p.raw.kerma.air_kerma_mgy for p in live if p.raw.event_uid == event.uid]
            assert event.air_kerma_mgy == sum(kermas)
            assert event.pulses == len(kermas)
        status = self.loop.snapshot()
        assert status.events == tuple(self.events)
        assert [event.number for event in self.events] == list(range(1, len(self.events) + 1))
        assert status.dose.pulses == status.pulses_in_exam == len(live)
        assert status.dose.air_kerma_mgy == pytest.approx(sum(p.raw.kerma.air_kerma_mgy for p in live))

    @invariant()
    def the_state_tells_the_truth(self) -> None:
        status = self.loop.snapshot()
        assert (status.reason != "") == (status.state is LiveState.FAULT)
        assert self.source._released.is_set() or status.state is LiveState.EXPOSING

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        now_ns = self.clock.monotonic_ns()
        self.loop.close()
        self.journal.close()
        exam = recover_exam(self.journal.path)
        assert exam.events == self.loop.snapshot().events
        assert exam.dose.air_kerma_mgy == self.ledger.snapshot(now_ns).air_kerma_mgy
        assert exam.dose.kap_gy_cm2 == self.ledger.snapshot(now_ns).kap_gy_cm2
        self.folder.cleanup()


def test_no_order_of_commands_breaks_the_rules(new_clock: Any, new_source: Any) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    operator = type("TestedOperator", (Operator,), {"new_clock": new_clock, "new_source": new_source})
    run_state_machine_as_test(operator, settings=settings(max_examples=30, stateful_step_count=25, deadline=None))
