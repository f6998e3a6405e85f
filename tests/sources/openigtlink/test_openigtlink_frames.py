"""Pictures of a peer as frames, over a real connection; what every source does is in tests/conformance."""

import contextlib
import itertools
import threading

import numpy as np
import pytest

from fluoroscope.acquisition.clock import SystemClock
from fluoroscope.acquisition.frame import PixelIntensity, Provenance
from fluoroscope.acquisition.protocols import SourceError
from fluoroscope.beam.technique import Technique
from fluoroscope.sources.openigtlink import Image, LinkAddress, LinkFrameSource, LinkServer
from fluoroscope.sources.openigtlink.images import GivenPicture, LinkPictures, gray

TECHNIQUE = Technique(70.0, 1.0, 1.0, 1.0)


@pytest.fixture
def grabber():
    """Give (server, pictures) connected to each other."""
    with contextlib.closing(LinkServer(port=0)) as server:
        with contextlib.closing(LinkPictures(LinkAddress(server.host, server.port), "Video")) as pictures:
            yield server, pictures


def send(server, pictures, value, device="Video", shape=(6, 8), dtype=np.uint8):
    """Publish until it came: a peer that has just connected may miss the first."""
    before = pictures.newest
    for _ in range(2000):
        if server.publish(device, Image(np.full(shape, value, dtype)), 0):
            break
        threading.Event().wait(0.005)
    return before


@pytest.mark.req("REQ-GUI-054")
def test_pictures_of_a_peer_are_frames_of_a_live_source(grabber):
    server, pictures = grabber
    send(server, pictures, 1)
    first = pictures.first(30.0)
    source = LinkFrameSource(pictures, SystemClock(), first.pixels.shape, 30.0)
    assert source.info.provenance is Provenance.LIVE
    source.press(TECHNIQUE, "2.25.1")
    frames = source.frames()
    got = []
    for value in (10, 11, 12):
        send(server, pictures, value)
        got.append(next(frames))
    source.release()
    assert list(frames) == []
    assert [int(frame.pixels[0, 0]) for frame in got] == [10, 11, 12]
    assert [frame.index for frame in got] == [0, 1, 2]
    assert got[0].pixels.dtype == np.uint16
    assert got[0].intensity is PixelIntensity.DISP
    assert got[0].acquired_ns < got[1].acquired_ns
    assert source.dropped_pulses == 0


def test_another_device_of_the_peer_is_not_shown(grabber):
    server, pictures = grabber
    send(server, pictures, 1)
    pictures.first(30.0)
    send(server, pictures, 2, device="Ultrasound")
    send(server, pictures, 3)
    clock = SystemClock()
    assert int(pictures.after(1, clock, threading.Event()).pixels[0, 0]) == 3
    assert pictures.newest == 2


def test_a_run_with_pictures_of_another_size_ends_with_a_reason(grabber):
    server, pictures = grabber
    source = LinkFrameSource(pictures, SystemClock(), (100, 100), 30.0)
    source.press(TECHNIQUE, "2.25.1")
    send(server, pictures, 2)
    with pytest.raises(SourceError, match="open it again"):
        next(source.frames())


def test_a_peer_that_is_not_there_is_said():
    with contextlib.closing(LinkServer(port=0)) as server:
        address = LinkAddress(server.host, server.port)
    with contextlib.closing(LinkPictures(address)) as pictures, pytest.raises(SourceError, match=f"{address.port}: no"):
        pictures.first(0.05)


class Feed:
    """Pictures of a list; then silence."""

    name = "feed"

    def __init__(self, numbers):
        self.numbers = list(numbers)
        self.newest = 0

    def after(self, number, clock, released):
        if not self.numbers:
            raise SourceError("feed: no picture")
        self.newest = self.numbers.pop(0)
        return GivenPicture(self.newest, self.newest, np.zeros((2, 2), np.uint16))

    def close(self):
        self.numbers.clear()


def test_pictures_that_came_meanwhile_are_counted_as_dropped():
    source = LinkFrameSource(Feed([1, 2, 6, 7]), SystemClock(), (2, 2), 30.0)
    source.press(TECHNIQUE, "2.25.1")
    assert [frame.acquired_ns for frame in itertools.islice(source.frames(), 4)] == [1, 2, 6, 7]
    assert source.dropped_pulses == 3


def test_a_press_while_pressed_or_closed_is_refused():
    source = LinkFrameSource(Feed([1]), SystemClock(), (2, 2), 30.0)
    source.press(TECHNIQUE, "2.25.1")
    with pytest.raises(SourceError, match="release first"):
        source.press(TECHNIQUE, "2.25.2")
    source.close()
    with pytest.raises(SourceError, match="open it again"):
        source.press(TECHNIQUE, "2.25.3")


def test_grey_values_are_kept_and_colours_weighed():
    np.testing.assert_array_equal(gray(np.array([[0, 65535]], np.uint16)), [[0, 65535]])
    np.testing.assert_array_equal(gray(np.array([[3, 200]], np.int16)), [[3, 200]])
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    np.testing.assert_array_equal(gray(colours), [[76, 150, 29, 255]])


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((2, 2, 2), np.uint8),
        np.array([[-1]], np.int16),
        np.zeros((2, 2), np.float32),
        np.array([[70000]], np.int32),
    ],
)
def test_pictures_that_are_none_are_refused(pixels):
    with pytest.raises(ValueError, match="the peer"):
        gray(pixels)
