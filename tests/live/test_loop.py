"""The live loop with a clock that only the test moves."""

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fluoroscope.acquisition import (
    Frame,
    IrradiationEvent,
    PixelIntensity,
    Provenance,
    SourceError,
    SourceInfo,
)
from fluoroscope.beam.technique import RadiationMode, Technique
from fluoroscope.dose import REFERENCE_POINT_15_CM, KermaLedger
from fluoroscope.imagechain import ImageChain
from fluoroscope.live import (
    EventEnded,
    Journal,
    LiveLoop,
    LivePicture,
    LiveState,
    LoopSettings,
    PictureKind,
    Policy,
    StateError,
    Subscription,
    read_journal,
    recover_exam,
)
from fluoroscope.live.states import TRANSITIONS, Trigger

TECHNIQUE = Technique(70.0, 3.0, 8.0, 10.0)
PERIOD_S = 0.1
PATIENCE_S = 20.0


class Bench:
    """A running loop with everything around it."""

    def __init__(self, clock: Any, source: Any, journal: Journal | None = None, **settings: Any) -> None:
        self.clock, self.source = clock, source
        self.ledger = KermaLedger()
        numbers = itertools.count(1)
        self.loop = LiveLoop(
            source,
            ImageChain(),
            self.ledger,
            clock,
            lambda: f"1.2.3.{next(numbers)}",
            journal,
            LoopSettings(**settings),
        )
        self.watch = self.loop.subscribe("watch", Policy.LOSSLESS, capacity=10_000)
        self.loop.start()

    def picture(self) -> LivePicture:
        item = self.watch.get(PATIENCE_S)
        assert isinstance(item, LivePicture), item
        return item

    def expose(self, pulses: int, technique: Technique = TECHNIQUE) -> list[LivePicture]:
        """Press, let ``pulses`` pulses come, release; return what was published."""
        self.loop.press(technique)
        live = [self.picture()]
        for _ in range(pulses - 1):
            self.clock.advance(1.0 / technique.pulse_rate_hz)
            live.append(self.picture())
        self.loop.release()
        return [*live, *self.rest()]

    def rest(self) -> list[LivePicture]:
        """Everything up to the end of the event."""
        pictures = []
        while not isinstance(item := self.watch.get(PATIENCE_S), EventEnded):
            assert item is not None
            pictures.append(item)
        assert self.loop.wait_for(LiveState.READY, LiveState.HOLD, LiveState.FAULT, timeout_s=PATIENCE_S)
        return pictures


@pytest.fixture
def bench(clock: Any, plain_source: Any) -> Iterator[Bench]:
    made = Bench(clock, plain_source)
    yield made
    made.loop.close()


def test_press_release_gives_pulses_a_hold_and_an_event(bench: Bench) -> None:
    heard: list[IrradiationEvent] = []
    bench.loop.on_event(heard.append)
    pictures = bench.expose(5)
    assert [picture.kind for picture in pictures] == [PictureKind.LIVE] * 5 + [PictureKind.HOLD]
    assert all(picture.shown.intensity is PixelIntensity.DISP for picture in pictures)
    assert bench.loop.state is LiveState.HOLD
    times = [picture.shown.acquired_ns for picture in pictures]
    assert times == sorted(set(times))
    assert [picture.published_ns for picture in pictures] == sorted({p.published_ns for p in pictures})
    (event,) = bench.loop.snapshot().events
    assert event.pulses == 5
    assert event.pedal_time_s == pytest.approx(4 * PERIOD_S)
    assert event.beam_on_time_s == pytest.approx(5 * 0.008)
    assert event.air_kerma_mgy == sum(0.0123 + index * 1e-5 for index in range(5))
    assert bench.ledger.snapshot(0).air_kerma_mgy == event.air_kerma_mgy
    assert (event.ended - event.started).total_seconds() == pytest.approx(event.pedal_time_s)
    assert event.mean_tube_voltage_kv == 70.0
    bench.loop.close()
    assert heard == [event]


@pytest.mark.req("REQ-LIVE-002")
def test_no_pulse_starts_after_release(bench: Bench) -> None:
    pictures = bench.expose(3)
    released_ns = bench.clock.monotonic_ns()
    bench.clock.advance(10.0)
    assert bench.watch.get(0.05) is None
    assert all(picture.shown.acquired_ns <= released_ns + 1 for picture in pictures)
    assert bench.loop.snapshot().pulses == 3


@pytest.mark.req("REQ-LIVE-001")
def test_a_slow_source_drops_pulses_and_counts_them(bench: Bench) -> None:
    bench.source.block()
    bench.loop.press(TECHNIQUE)
    assert bench.source.blocked.wait(PATIENCE_S)
    bench.clock.advance(3.5 * PERIOD_S)
    bench.source.unblock()
    bench.picture()
    bench.picture()
    bench.loop.release()
    bench.rest()
    status = bench.loop.snapshot()
    assert (status.pulses, status.dropped_pulses) == (2, 2)
    assert status.events[0].dropped_pulses == 2


def test_the_age_of_the_newest_picture_grows_when_nothing_comes(bench: Bench) -> None:
    bench.loop.press(TECHNIQUE)
    bench.picture()
    bench.source.block()
    bench.clock.advance(2.0)
    age_s = bench.loop.snapshot().newest_age_s
    assert age_s == pytest.approx(2.0)
    bench.source.unblock()
    bench.loop.release()
    bench.rest()


def test_pressing_again_right_after_release_works(bench: Bench) -> None:
    bench.loop.press(TECHNIQUE)
    bench.picture()
    bench.loop.release()
    bench.loop.press(TECHNIQUE)
    assert bench.picture().kind is PictureKind.HOLD
    assert isinstance(bench.watch.get(PATIENCE_S), EventEnded)
    assert bench.picture().kind is PictureKind.LIVE
    bench.loop.release()
    bench.rest()
    assert [event.number for event in bench.loop.snapshot().events] == [1, 2]


def test_release_and_stop_do_nothing_when_nothing_is_on(bench: Bench) -> None:
    bench.loop.release()
    bench.loop.stop()
    assert bench.loop.state is LiveState.READY


def test_x_ray_is_off_in_the_status_while_the_last_picture_is_still_made(bench: Bench) -> None:
    bench.source.block()
    bench.loop.press(TECHNIQUE)
    assert bench.source.blocked.wait(PATIENCE_S)
    assert bench.loop.snapshot().x_ray_on
    bench.loop.release()
    status = bench.loop.snapshot()
    assert (status.state, status.x_ray_on) == (LiveState.EXPOSING, False)
    bench.source.unblock()
    assert [picture.kind for picture in bench.rest()] == [PictureKind.LIVE, PictureKind.HOLD]


def test_what_the_table_does_not_hold_is_refused(bench: Bench) -> None:
    with pytest.raises(StateError, match="acknowledge is not possible in READY"):
        bench.loop.acknowledge()
    with pytest.raises(StateError, match="start is not possible in READY"):
        bench.loop.start()
    bench.loop.press(TECHNIQUE)
    bench.picture()
    assert bench.loop.snapshot().x_ray_on
    with pytest.raises(StateError, match="press is not possible in EXPOSING: release the pedal first"):
        bench.loop.press(TECHNIQUE)
    with pytest.raises(StateError, match="clear is not possible in EXPOSING"):
        bench.loop.new_exam(KermaLedger(), None)
    bench.loop.release()
    bench.rest()


def test_every_state_of_the_table_can_be_left_and_reached() -> None:
    for state in LiveState:
        assert any(start is state and end is not state for (start, _), end in TRANSITIONS.items())
        assert any(end is state and start is not state for (start, _), end in TRANSITIONS.items())
    assert (LiveState.EXPOSING, Trigger.CLOSE) not in TRANSITIONS
    assert (LiveState.FAULT, Trigger.PRESS) not in TRANSITIONS


def test_a_lost_source_is_a_fault_that_keeps_the_dose(bench: Bench) -> None:
    bench.loop.press(TECHNIQUE)
    bench.picture()
    bench.source.lose("capture card: no signal; check the cable")
    bench.clock.advance(PERIOD_S)
    assert bench.loop.wait_for(LiveState.FAULT, timeout_s=PATIENCE_S)
    status = bench.loop.snapshot()
    assert status.reason == "capture card: no signal; check the cable"
    assert (len(status.events), status.pulses) == (1, 1)
    assert status.dose.air_kerma_mgy == 0.0123
    with pytest.raises(StateError, match="press is not possible in FAULT: acknowledge the fault first"):
        bench.loop.press(TECHNIQUE)
    bench.source.lose(None)
    bench.loop.acknowledge()
    assert bench.loop.snapshot().reason == ""
    bench.rest()
    bench.expose(2)
    assert bench.loop.state is LiveState.HOLD


def test_a_source_lost_before_the_press_is_a_fault(bench: Bench) -> None:
    bench.source.lose("gone")
    with pytest.raises(SourceError, match="gone"):
        bench.loop.press(TECHNIQUE)
    assert bench.loop.state is LiveState.FAULT
    assert bench.loop.snapshot().events == ()


def test_a_lossless_subscriber_that_cannot_keep_up_is_a_fault(bench: Bench) -> None:
    slow = bench.loop.subscribe("recorder", Policy.LOSSLESS, capacity=3)
    bench.loop.press(TECHNIQUE)
    for _ in range(3):
        bench.picture()
        assert bench.loop.state is LiveState.EXPOSING
        bench.clock.advance(PERIOD_S)
    assert bench.loop.wait_for(LiveState.FAULT, timeout_s=PATIENCE_S)
    bench.rest()
    status = bench.loop.snapshot()
    assert status.reason.startswith("recorder cannot keep up")
    assert status.events[0].pulses == 4
    taken = [slow.get(0.0) for _ in range(4)]
    assert [isinstance(item, LivePicture) for item in taken] == [True, True, True, False]
    assert isinstance(taken[3], EventEnded)


def test_a_latest_subscriber_sees_the_newest_and_counts_what_it_missed(bench: Bench) -> None:
    slow = bench.loop.subscribe("monitor", Policy.LATEST)
    pictures = bench.expose(6)
    item = slow.get(0.0)
    assert item is not None
    assert item is pictures[-1]
    assert slow.skipped == 6
    assert slow.get(0.0) is None
    assert bench.loop.state is LiveState.HOLD


def test_a_subscriber_that_fails_ends_the_exposure_with_its_sentence(bench: Bench) -> None:
    recorder = bench.loop.subscribe("recorder", Policy.LOSSLESS)
    bench.loop.press(TECHNIQUE)
    bench.picture()
    recorder.fail("the disk is full; free some space")
    assert bench.loop.wait_for(LiveState.FAULT, timeout_s=PATIENCE_S)
    bench.rest()
    assert bench.loop.snapshot().reason == "recorder: the disk is full; free some space"
    assert len(bench.loop.snapshot().events) == 1


def test_a_closed_subscription_gets_nothing_more(bench: Bench) -> None:
    other = bench.loop.subscribe("other", Policy.LOSSLESS, capacity=1)
    other.close()
    bench.expose(3)
    assert other.get(0.0) is None
    assert [status.name for status in bench.loop.snapshot().subscribers] == ["watch"]


def test_the_ring_keeps_the_last_pictures(clock: Any, plain_source: Any) -> None:
    bench = Bench(clock, plain_source, ring_pictures=3)
    pictures = bench.expose(5)
    assert list(bench.loop.pictures()) == pictures[-3:]
    bench.loop.close()


def test_a_new_exam_begins_at_nothing(bench: Bench, new_source: Callable[..., Any]) -> None:
    bench.expose(3)
    other, ledger = new_source(bench.clock), KermaLedger()
    bench.loop.new_exam(ledger, None, other)
    status = bench.loop.snapshot()
    assert status.state is LiveState.READY
    assert (status.events, status.pulses_in_exam, status.dose.air_kerma_mgy) == ((), 0, 0.0)
    assert bench.source.closed == 1
    bench.expose(2)
    assert bench.loop.snapshot().events[0].number == 1
    assert ledger.snapshot(0).pulses == 2


def test_a_recorded_clip_plays_to_its_end_and_gives_no_dose(clock: Any) -> None:
    bench = Bench(clock, RecordedPictures())
    bench.loop.press(TECHNIQUE)
    pictures = bench.rest()
    assert [picture.kind for picture in pictures] == [PictureKind.LIVE] * 4 + [PictureKind.HOLD]
    np.testing.assert_array_equal(pictures[2].shown.pixels, np.full((4, 4), 2))
    assert bench.loop.state is LiveState.HOLD
    assert bench.ledger.snapshot(0).pulses == 0
    assert bench.loop.snapshot().events[0].air_kerma_mgy == 0.0
    bench.loop.close()


class RecordedPictures:
    """A clip of four pictures; it cannot be triggered."""

    info = SourceInfo("clip", "", "", Provenance.RECORDED, PixelIntensity.DISP, 4, 4, 15.0)
    dropped_pulses = 0

    def frames(self) -> Iterator[Frame]:
        for index in range(4):
            pixels = np.full((4, 4), index, dtype=np.uint16)
            yield Frame(f"c.{index}", "c", index, index, pixels, PixelIntensity.DISP, Provenance.RECORDED)

    def close(self) -> None:
        pass


def test_an_error_nobody_foresaw_ends_the_exposure_and_is_told(
    clock: Any, plain_source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    aloud = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda _: aloud.set())
    bench = Bench(clock, plain_source)

    def wrong(frame: Frame) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(bench.loop._chain, "process", wrong)
    bench.loop.press(TECHNIQUE)
    assert bench.loop.wait_for(LiveState.FAULT, timeout_s=PATIENCE_S)
    assert aloud.wait(PATIENCE_S)
    assert "internal error" in bench.loop.snapshot().reason
    # The dose of the pulse that was given is not lost.
    assert bench.loop.snapshot().events[0].air_kerma_mgy == 0.0123
    assert_dead(bench)


@pytest.mark.parametrize("broken", ["hold", "listener"])
def test_an_error_after_the_last_pulse_ends_the_loop_for_good(
    clock: Any, plain_source: Any, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    aloud = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda _: aloud.set())
    bench = Bench(clock, plain_source)

    def wrong(*_: Any) -> None:
        raise ZeroDivisionError

    if broken == "hold":
        monkeypatch.setattr(bench.loop._chain, "hold", wrong)
    else:
        bench.loop.on_event(wrong)
    bench.loop.press(TECHNIQUE)
    bench.picture()
    bench.loop.release()
    assert aloud.wait(PATIENCE_S)
    assert len(bench.loop.snapshot().events) == 1
    assert_dead(bench)


def assert_dead(bench: Bench) -> None:
    """The thread died: nothing more is possible, no X-ray is on, and closing does not hang."""
    assert bench.loop.wait_for(LiveState.FAULT, timeout_s=PATIENCE_S)
    with pytest.raises(StateError, match="restart the program"):
        bench.loop.acknowledge()
    with pytest.raises(StateError, match="restart the program"):
        bench.loop.press(TECHNIQUE)
    status = bench.loop.snapshot()
    assert (status.state, status.x_ray_on) == (LiveState.FAULT, False)
    assert "restart the program" in status.reason
    assert bench.source._released.is_set()
    bench.loop.close()


def test_a_press_while_the_loop_closes_is_refused(clock: Any, plain_source: Any) -> None:
    bench = Bench(clock, plain_source)
    refused: list[StateError] = []
    release, press = plain_source.release, plain_source.press

    def released() -> None:
        # The pedal comes down again at the worst moment: the loop has released and is about to end.
        release()
        plain_source.release = release
        again = threading.Thread(target=press_again)
        again.start()
        pressing.append(again)

    def press_again() -> None:
        try:
            bench.loop.press(TECHNIQUE)
        except StateError as error:
            refused.append(error)

    pressing: list[threading.Thread] = []
    bench.loop.press(TECHNIQUE)
    bench.picture()
    plain_source.release = released
    closing = threading.Thread(target=bench.loop.close, daemon=True)
    closing.start()
    closing.join(PATIENCE_S)
    assert not closing.is_alive(), "closing hangs"
    pressing[0].join(PATIENCE_S)
    assert len(refused) == 1
    assert plain_source.press == press
    assert plain_source._released.is_set()


def test_a_press_that_began_before_closing_is_taken_back(clock: Any, plain_source: Any) -> None:
    bench = Bench(clock, plain_source)
    press = plain_source.press

    def closing_meanwhile(technique: Technique, uid: str) -> None:
        press(technique, uid)
        with bench.loop._changed:
            bench.loop._closing = True

    plain_source.press = closing_meanwhile
    with pytest.raises(StateError, match="the loop was closed"):
        bench.loop.press(TECHNIQUE)
    assert plain_source._released.is_set()
    bench.loop.close()
    assert bench.loop.state is LiveState.IDLE


def test_a_closed_journal_stops_nothing_and_is_a_fault_only_when_a_line_is_due(
    clock: Any, plain_source: Any, tmp_path: Path
) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    bench = Bench(clock, plain_source, journal)
    bench.loop.press(TECHNIQUE)
    bench.picture()
    journal.close()
    bench.loop.stop("the page was lost")
    assert plain_source._released.is_set()
    bench.rest()
    # The event could not be written: that is told.
    assert bench.loop.state is LiveState.FAULT
    assert "is closed" in bench.loop.snapshot().reason
    assert bench.loop.snapshot().events[0].pulses == 1
    bench.loop.acknowledge()
    bench.loop.stop("again")
    assert bench.loop.state is LiveState.READY
    bench.loop.close()


def test_a_refused_press_leaves_a_journal_that_can_be_recovered(clock: Any, plain_source: Any, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.exam("1.2.3", clock.utc_now(), REFERENCE_POINT_15_CM, {})
    bench = Bench(clock, plain_source, journal)
    plain_source.lose("gone")
    with pytest.raises(SourceError):
        bench.loop.press(TECHNIQUE)
    plain_source.lose(None)
    bench.loop.acknowledge()
    bench.expose(2)
    status = bench.loop.snapshot()
    bench.loop.close()
    journal.close()
    exam = recover_exam(journal.path)
    assert exam.events == status.events
    assert exam.dose.air_kerma_mgy == status.dose.air_kerma_mgy


@pytest.mark.parametrize("lost", [["press"], ["irradiation"], ["press", "irradiation"]])
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.req("HAZ-RECORD-001")
def test_damaged_lines_of_a_press_lose_neither_its_dose_nor_the_next(
    clock: Any, plain_source: Any, tmp_path: Path, lost: list[str], number: int
) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.exam("1.2.3", clock.utc_now(), REFERENCE_POINT_15_CM, {})
    bench = Bench(clock, plain_source, journal)
    for pulses in (3, 4, 5):
        bench.expose(pulses)
        clock.advance(1.0)
    status = bench.loop.snapshot()
    bench.loop.close()
    journal.stop("closed")
    journal.close()
    lines = journal.path.read_bytes().split(b"\n")
    for kind in lost:
        places = [place for place, line in enumerate(lines) if f'"type":"{kind}"'.encode() in line]
        lines[places[number - 1]] = lines[places[number - 1]].replace(b'"type"', b'"tipe"')
    journal.path.write_bytes(b"\n".join(lines))
    exam = recover_exam(journal.path)
    assert exam.damaged_lines == len(lost)
    for told, event in zip(exam.events, status.events, strict=True):
        assert (told.uid, told.number, told.pulses) == (event.uid, event.number, event.pulses)
        assert (told.air_kerma_mgy, told.kap_gy_cm2) == (event.air_kerma_mgy, event.kap_gy_cm2)
        assert abs((told.started - event.started).total_seconds()) < PERIOD_S
    assert exam.dose.air_kerma_mgy == status.dose.air_kerma_mgy
    assert exam.closed


def test_the_journal_tells_the_exam_exactly(tmp_path: Path, clock: Any, plain_source: Any) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.exam("1.2.3", clock.utc_now(), REFERENCE_POINT_15_CM, {"patient": "none"})
    bench = Bench(clock, plain_source, journal)
    bench.expose(7)
    bench.loop.reset_five_minute_signal()
    bench.expose(3, Technique(80.0, 40.0, 6.0, 4.0, mode=RadiationMode.ACQUISITION))
    bench.loop.stop("the end")
    status = bench.loop.snapshot()
    bench.loop.close()
    journal.stop("closed")
    journal.close()
    exam = recover_exam(tmp_path / "journal.jsonl")
    assert exam.events == status.events
    assert exam.dose == bench.ledger.snapshot(status.now_ns)
    assert (exam.closed, exam.interrupted_event_uid, exam.frames) == (True, None, 10)
    assert [entry["n"] for entry in read_journal(journal.path).entries] == list(range(18))


def test_a_journal_the_disk_does_not_take_is_a_fault(clock: Any, plain_source: Any, tmp_path: Path) -> None:
    journal = FullJournal(tmp_path / "journal.jsonl")
    bench = Bench(clock, plain_source, journal)
    bench.expose(2)
    journal.full = True
    with pytest.raises(OSError, match="No space left"):
        bench.loop.press(TECHNIQUE)
    assert bench.loop.state is LiveState.FAULT
    journal.full = False
    bench.loop.acknowledge()
    bench.loop.press(TECHNIQUE)
    bench.picture()
    journal.full = True
    bench.clock.advance(PERIOD_S)
    assert bench.loop.wait_for(LiveState.FAULT, timeout_s=PATIENCE_S)
    assert "the journal could not be written" in bench.loop.snapshot().reason
    bench.rest()
    assert bench.loop.snapshot().events[-1].pulses == 2
    bench.loop.close()
    journal.close()
    assert read_journal(journal.path).damaged_lines == 0


class FullJournal(Journal):
    """A journal whose disk can be filled."""

    full = False

    def append(self, kind: str, data: Any) -> None:
        if self.full:
            raise OSError(28, "No space left on device", str(self.path))
        super().append(kind, data)


def test_closing_during_an_exposure_ends_it_first(clock: Any, plain_source: Any) -> None:
    bench = Bench(clock, plain_source)
    bench.loop.press(TECHNIQUE)
    bench.picture()
    bench.loop.close()
    bench.loop.close()
    assert bench.loop.state is LiveState.IDLE
    assert len(bench.loop.snapshot().events) == 1
    with pytest.raises(StateError, match="the loop was closed"):
        bench.loop.press(TECHNIQUE)
    subscription: Subscription = bench.watch
    assert subscription.closed


def test_a_technique_may_be_given_by_an_exposure_control(bench: Bench) -> None:
    bench.loop.press(lambda: TECHNIQUE)
    assert bench.picture().shown.technique == TECHNIQUE
    bench.loop.release()
    bench.rest()
