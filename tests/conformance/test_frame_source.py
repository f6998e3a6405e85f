"""What every source of frames must do: one suite over all of them, on a clock that never sleeps."""

import itertools
import threading

import numpy as np
import pytest

from fluoroscope.acquisition.frame import Frame, Provenance
from fluoroscope.acquisition.protocols import Exposable, FrameSource, SourceInfo
from fluoroscope.beam.technique import Technique

TECHNIQUE = Technique(tube_voltage_kv=70.0, tube_current_ma=3.0, pulse_width_ms=8.0, pulse_rate_hz=10.0)


@pytest.fixture
def exposing(source):
    """Skip sources that cannot be triggered."""
    if not isinstance(source, Exposable):
        pytest.skip("this source is not exposed on command")
    return source


def take(source, count, event="2.25.1"):
    source.press(TECHNIQUE, event)
    frames = list(itertools.islice(source.frames(), count))
    source.release()
    return frames


def test_it_is_a_frame_source_and_says_what_it_is(source):
    assert isinstance(source, FrameSource)
    assert isinstance(source.info, SourceInfo)
    assert source.info.rows >= 1
    assert source.info.columns >= 1
    assert source.info.nominal_rate_hz > 0.0
    assert isinstance(source.info.provenance, Provenance)


def test_frames_are_as_announced(exposing):
    for frame in take(exposing, 3):
        assert isinstance(frame, Frame)
        assert frame.pixels.shape == (exposing.info.rows, exposing.info.columns)
        assert frame.pixels.dtype == np.uint16
        assert not frame.pixels.flags.writeable
        assert frame.intensity is exposing.info.intensity
        assert frame.provenance is exposing.info.provenance


def test_frames_belong_to_their_event_and_are_counted_from_zero(exposing):
    frames = take(exposing, 4, event="2.25.77")
    assert [f.event_uid for f in frames] == ["2.25.77"] * 4
    assert [f.index for f in frames] == [0, 1, 2, 3]
    assert len({f.uid for f in frames}) == 4


def test_times_rise_and_no_frame_comes_before_its_time(exposing, clock):
    exposing.press(TECHNIQUE, "2.25.1")
    last = -1
    for frame in itertools.islice(exposing.frames(), 6):
        assert last < frame.acquired_ns <= clock.monotonic_ns()
        last = frame.acquired_ns
    exposing.release()


def test_frames_come_at_the_nominal_rate(exposing):
    frames = take(exposing, 5)
    steps = np.diff([f.acquired_ns for f in frames])
    np.testing.assert_allclose(steps, 1e9 / TECHNIQUE.pulse_rate_hz, rtol=1e-6)


def test_a_second_press_gives_new_frames(exposing, clock):
    first = take(exposing, 2, "2.25.1")
    clock.advance(5.0)
    second = take(exposing, 2, "2.25.2")
    assert {f.uid for f in first}.isdisjoint(f.uid for f in second)
    assert second[0].index == 0
    assert second[0].acquired_ns > first[-1].acquired_ns


@pytest.mark.req("REQ-LIVE-002")
def test_release_ends_the_frames(exposing):
    exposing.press(TECHNIQUE, "2.25.1")
    frames = exposing.frames()
    next(frames)
    exposing.release()
    assert list(frames) == []


@pytest.mark.req("REQ-LIVE-002")
def test_release_while_waiting_for_the_next_frame_ends_it(exposing, clock):
    exposing.press(TECHNIQUE, "2.25.1")
    frames = exposing.frames()
    next(frames)
    clock.on_wait = lambda due_ns: exposing.release()
    assert list(frames) == []


def test_release_from_another_thread_and_twice(exposing):
    exposing.press(TECHNIQUE, "2.25.1")
    frames = exposing.frames()
    next(frames)
    for _ in range(2):
        thread = threading.Thread(target=exposing.release)
        thread.start()
        thread.join()
    assert list(frames) == []


@pytest.mark.req("REQ-LIVE-001")
def test_late_pulses_are_dropped_and_counted_not_queued(exposing, clock):
    exposing.press(TECHNIQUE, "2.25.1")
    frames = exposing.frames()
    first = next(frames)
    clock.advance(350.0)  # three and a half periods at 10 per second: two pulses are gone
    second = next(frames)
    third = next(frames)
    exposing.release()
    assert second.acquired_ns - first.acquired_ns == pytest.approx(3e8, abs=1e3)
    assert third.acquired_ns - second.acquired_ns == pytest.approx(1e8, abs=1e3)
    assert exposing.dropped_pulses == 2
    assert second.index == 1


def test_dropped_pulses_start_anew_with_every_exposure(exposing, clock):
    exposing.press(TECHNIQUE, "2.25.1")
    frames = exposing.frames()
    next(frames)
    clock.advance(1000.0)
    next(frames)
    exposing.release()
    assert exposing.dropped_pulses > 0
    take(exposing, 2, "2.25.2")
    assert exposing.dropped_pulses == 0


def test_nothing_comes_without_a_press(exposing):
    assert list(exposing.frames()) == []


def test_close_ends_the_frames_and_may_be_called_twice(exposing):
    exposing.press(TECHNIQUE, "2.25.1")
    frames = exposing.frames()
    next(frames)
    exposing.close()
    exposing.close()
    assert list(frames) == []
