"""Credits, newest first, and the smaller pictures, with time given."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluoroscope.imagechain.window import window_table
from fluoroscope.monitor.control import MonitorFrame
from fluoroscope.monitor.stream import CREDITS, ChannelStream, Picture, Quality, bin_pixels

MS = 1_000_000


def picture(index: int, kind: str = "live", shape: tuple[int, int] = (4, 4)) -> Picture:
    pixels = np.full(shape, index % 65536, np.uint16)
    return Picture(MonitorFrame("live", kind, pixels, index, 100.0, 200.0, 0.3, index, 1))


@given(st.lists(st.sampled_from(["offer", "send", "ack", "ack_last", "ack_wrong"]), max_size=200))
def test_never_more_than_two_unacked_and_always_the_newest(steps):
    stream, offered, sent, owed = ChannelStream(), 0, [], []
    for number, step in enumerate(steps):
        now_ns = number * 10 * MS
        if step == "offer":
            offered += 1
            stream.offer(picture(offered), now_ns)
        elif step == "send":
            due = stream.next(now_ns)
            if due is not None:
                assert due[0].frame.index == offered
                stream.sent(number, now_ns)
                sent.append(due[0].frame.index)
                owed.append(number)
        elif step == "ack" and owed:
            assert stream.acked(owed.pop(0), now_ns)
        elif step == "ack_last" and owed:
            assert stream.acked(owed[-1], now_ns)
            owed.clear()
        elif step == "ack_wrong":
            assert not stream.acked(10**6, now_ns)
        assert stream.unacked == len(owed) <= CREDITS
    assert sent == sorted(set(sent))
    waiting = 1 if offered and (not sent or sent[-1] != offered) else 0
    assert stream.skipped == offered - len(sent) - waiting


def run(stream: ChannelStream, start_s: float, seconds: float, paints: float, takes_ms: int = 10) -> float:
    """Offer 30 pictures a second of which a share is painted, each ``takes_ms`` after it was sent."""
    seq = stream.sent_count
    debt = 0.0
    for n in range(int(seconds * 30)):
        now_ns = int((start_s + n / 30) * 1e9)
        stream.offer(picture(n + 1), now_ns)
        debt += paints
        if debt >= 1.0:
            debt -= 1.0
            assert stream.next(now_ns) is not None
            seq += 1
            stream.sent(seq, now_ns)
            assert stream.acked(seq, now_ns + takes_ms * MS)
    return start_s + seconds


def test_a_slow_page_gets_smaller_pictures_in_order_and_the_better_back():
    stream = ChannelStream()
    assert stream.quality is Quality.FULL
    now_s = run(stream, 10.0, 3.0, 0.4)
    assert stream.quality is Quality.BINNED
    now_s = run(stream, now_s, 3.0, 0.4)
    assert stream.quality is Quality.EIGHT_BIT
    now_s = run(stream, now_s, 8.0, 1.0)
    assert stream.quality is Quality.EIGHT_BIT
    now_s = run(stream, now_s, 8.0, 1.0)
    assert stream.quality is Quality.BINNED
    run(stream, now_s, 14.0, 1.0)
    assert stream.quality is Quality.FULL


def test_a_page_that_drops_a_few_keeps_its_quality():
    stream = ChannelStream()
    run(stream, 1.0, 30.0, 0.8)
    assert stream.quality is Quality.FULL


@pytest.mark.parametrize(
    ("paints", "takes_ms", "ends"),
    [(0.8, 150, Quality.EIGHT_BIT), (1.0, 150, Quality.FULL), (0.8, 50, Quality.FULL)],
)
def test_late_and_dropping_is_too_slow_but_late_alone_is_not(paints, takes_ms, ends):
    stream = ChannelStream()
    run(stream, 1.0, 9.0, paints, takes_ms)
    assert stream.quality is ends


def test_a_try_that_failed_is_not_repeated_soon():
    stream = ChannelStream()
    now_s = run(stream, 10.0, 3.0, 0.4)
    now_s = run(stream, now_s, 14.0, 1.0)
    assert stream.quality is Quality.FULL
    now_s = run(stream, now_s, 4.0, 0.4)
    assert stream.quality is Quality.BINNED
    now_s = run(stream, now_s, 14.0, 1.0)
    assert stream.quality is Quality.BINNED
    run(stream, now_s, 12.0, 1.0)
    assert stream.quality is Quality.FULL


def test_a_held_image_and_a_resting_stream_are_sent_in_full():
    stream = ChannelStream()
    stream.quality = Quality.EIGHT_BIT
    stream.offer(picture(1, "hold"), 0)
    due = stream.next(0)
    assert due is not None
    assert due[1] is Quality.FULL
    stream.sent(1, 0)
    stream.acked(1, 5 * MS)
    assert not stream.refinable(1000 * MS)
    stream.offer(picture(2, "live"), 1000 * MS)
    due = stream.next(1000 * MS)
    assert due is not None
    assert due[1] is Quality.EIGHT_BIT
    stream.sent(2, 1000 * MS)
    assert stream.next(2000 * MS) is None
    stream.acked(2, 1010 * MS)
    assert stream.next(1100 * MS) is None
    due = stream.next(1400 * MS)
    assert due is not None
    assert (due[0].frame.index, due[1]) == (2, Quality.FULL)
    stream.sent(3, 1400 * MS)
    stream.acked(3, 1410 * MS)
    assert stream.next(5000 * MS) is None


def test_percentiles_are_those_of_sent_to_acknowledged():
    stream = ChannelStream()
    for n in range(100):
        stream.offer(picture(n + 1), n * 30 * MS)
        stream.next(n * 30 * MS)
        stream.sent(n, n * 30 * MS)
        stream.acked(n, n * 30 * MS + (n + 1) * MS // 10)
    assert stream.latency_ms(50) == pytest.approx(np.percentile(np.arange(1, 101) / 10, 50))
    assert stream.latency_ms(95) == pytest.approx(np.percentile(np.arange(1, 101) / 10, 95))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_binning_is_the_rounded_mean(rows, columns, seed):
    pixels = np.random.default_rng(seed).integers(0, 65536, (rows, columns), np.uint16)
    pixels[0, 0] = 65535
    got = bin_pixels(pixels)
    even = pixels[: rows // 2 * 2, : columns // 2 * 2].astype(float)
    mean = even.reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3))
    assert got.shape == (rows // 2, columns // 2)
    assert (got == np.floor(mean + 0.5)).all()


def test_smaller_forms_are_made_once_and_windowed_by_the_reference():
    made = Picture(
        MonitorFrame("live", "live", np.arange(64, dtype=np.uint16).reshape(8, 8) * 900, 1, 20000, 30000, 0.3, 0, 1)
    )
    gray = made.pixels(Quality.EIGHT_BIT)
    assert gray is made.pixels(Quality.EIGHT_BIT)
    assert (gray == window_table(20000, 30000)[made.pixels(Quality.BINNED)]).all()
    inverted = made.pixels(Quality.EIGHT_BIT, (20000.0, 30000.0, True))
    assert (inverted == 255 - gray).all()
