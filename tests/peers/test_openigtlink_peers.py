"""The C++ OpenIGTLink library as the other end: what it sends is read, and it reads what is sent, bit for bit."""

import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from fluoroscope.sources.openigtlink import (
    Image,
    LinkAddress,
    LinkClient,
    LinkServer,
    Position,
    Status,
    Text,
    TrackingData,
    Transform,
)

pytestmark = pytest.mark.peer("openigtlink", "g++")


@pytest.fixture(scope="module")
def peer(peer_program, tmp_path_factory):
    """Compile the peer and give a way to start it."""
    binary = tmp_path_factory.mktemp("openigtlink") / "peer"
    source = Path(__file__).with_name("openigtlink_peer.cxx")
    command = [
        peer_program("g++"),
        "-O1",
        "-o",
        binary,
        source,
        "-I/usr/include/openigtlink",
        "-lOpenIGTLink",
        "-lpthread",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr

    started = []

    def start(*words):
        started.append(subprocess.Popen([binary, *map(str, words)], stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.wait()
        one.stdout.close()


@pytest.fixture
def inbox():
    """Give a place for what arrives: ``inbox.wait(n)`` gives the first ``n`` messages."""

    class Inbox:
        def __init__(self):
            self.got, self.came = [], threading.Condition()

        def take(self, arrived):
            with self.came:
                self.got.append(arrived)
                self.came.notify_all()

        def wait(self, count):
            with self.came:
                assert self.came.wait_for(lambda: len(self.got) >= count, 20.0), f"only {len(self.got)} of {count} came"
                return self.got[:count]

    return Inbox()


def turned(number):
    """The pose the peer sends: a turn about z and a place, as float32 arithmetic gives it."""
    angle = 0.2 * number
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, 3] = [1.5 * number, -2.25, 100.125]
    return matrix


@pytest.mark.req("REQ-GUI-050")
def test_every_kind_of_message_the_library_sends_is_read(peer, inbox):
    server = LinkServer(port=0, on_message=inbox.take)
    try:
        process = peer("send", server.port)
        got = inbox.wait(10)
        assert server.status().peers[0].refused == 0
    finally:
        server.close()
    assert process.wait(10) == 0
    for number, arrived in enumerate(got[:5]):
        assert isinstance(arrived.content, Transform)
        assert (arrived.kind, arrived.device) == ("TRANSFORM", "NeedleToTracker")
        assert arrived.sent_ns == (1700000000 + number) * 10**9 + 250000000
        np.testing.assert_allclose(arrived.content.matrix, turned(number), atol=3e-7)
        assert np.array_equal(arrived.content.matrix[:3, 3], [1.5 * number, -2.25, 100.125])
    position, tracking, quaternions, status, text = (one.content for one in got[5:10])
    assert isinstance(position, Position)
    np.testing.assert_array_equal(position.position_mm, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(position.quaternion, np.float32([0.0, 0.0, 0.6, 0.8]))
    assert isinstance(tracking, TrackingData)
    assert [(tool.name, tool.kind) for tool in tracking.tools] == [("Needle", 2), ("Reference", 2)]
    np.testing.assert_allclose(tracking.tools[1].matrix, turned(3), atol=3e-7)
    assert [(tool.name, tool.kind) for tool in quaternions.tools] == [("Needle", 4)]
    np.testing.assert_array_equal(quaternions.tools[0].matrix[:3, 3], [4.0, 5.0, 6.0])
    # A turn about y whose half angle has sine 0.6.
    np.testing.assert_allclose(quaternions.tools[0].matrix[0, :3], [0.28, 0.0, 0.96], atol=1e-6)
    assert status == Status(13, -7, "WARMUP", "the field generator warms up")
    assert text == Text("hello")


@pytest.mark.req("REQ-GUI-050")
def test_a_picture_the_library_sends_is_read(peer, inbox):
    from fluoroscope.sources.openigtlink.reader import Limits
    from fluoroscope.sources.openigtlink.server import ServerSettings

    server = LinkServer(port=0, on_message=inbox.take, settings=ServerSettings(limits=Limits()))
    try:
        process = peer("send", server.port)
        image = inbox.wait(11)[10]
    finally:
        server.close()
    assert process.wait(10) == 0
    assert isinstance(image.content, Image)
    assert image.content.pixels.dtype == np.uint16
    np.testing.assert_array_equal(image.content.pixels, [[1, 2, 3], [4, 5, 30000]])
    spacing = np.linalg.norm(image.content.matrix[:3, :3], axis=0)
    np.testing.assert_allclose(spacing, [0.5, 0.25, 1.0], rtol=1e-6)
    # On the wire the middle of the picture lies where the library was told, here the middle of the first pixel does.
    middle = image.content.matrix @ [1.0, 0.5, 0.0, 1.0]
    np.testing.assert_allclose(middle[:3], [4.5, -2.25, 100.125], atol=1e-5)


@pytest.mark.req("REQ-GUI-051")
@pytest.mark.parametrize("dtype", [np.uint16, np.uint8])
def test_the_library_reads_pictures_and_poses_bit_for_bit(peer, tmp_path, dtype):
    rng = np.random.default_rng(5)
    pixels = rng.integers(0, np.iinfo(dtype).max, (48, 64), endpoint=True).astype(dtype)
    matrix = turned(2)
    matrix[:3, :3] = matrix[:3, :3] @ np.diag([0.5, 0.5, 1.0])
    at_ns = 1_764_223_200_123_456_789
    server = LinkServer(port=0)
    file = tmp_path / "pixels.raw"
    try:
        process = peer("receive", server.port, 1, file)
        until = time.monotonic() + 20.0
        while not server.has_peers and time.monotonic() < until:
            threading.Event().wait(0.01)
        server.publish("NeedleTipToEquipment", Transform(turned(4)), at_ns)
        server.publish("Fluoroscopy", Image(pixels, matrix), at_ns)
        told = [line.split() for line in process.communicate(timeout=20)[0].splitlines()]
    finally:
        server.close()
    assert process.returncode == 0
    transform = next(words for words in told if words[0] == "TRANSFORM")
    image = next(words for words in told if words[0] == "IMAGE")
    assert transform[1] == "NeedleTipToEquipment"
    assert transform[2:4] == image[2:4]
    assert transform[2] == "1764223200"
    # The library halves its way down to 2⁻³² s and loses some ns; the time on the wire is exact.
    assert int(transform[3]) == pytest.approx(123456789, abs=20)
    sent = np.float32(turned(4)[:3]).ravel()
    assert [float.fromhex(word) for word in transform[4:]] == sent.tolist()
    assert [int(word) for word in image[4:10]] == [64, 48, 1, 5 if dtype == np.uint16 else 3, 2, 1]
    assert np.fromfile(file, dtype).tobytes() == pixels.tobytes()
    np.testing.assert_allclose([float.fromhex(word) for word in image[10:13]], [0.5, 0.5, 1.0], rtol=1e-6)
    read = np.array([float.fromhex(word) for word in image[13:]]).reshape(3, 4)
    np.testing.assert_allclose(read[:, 3], (matrix @ [31.5, 23.5, 0.0, 1.0])[:3], rtol=1e-6)


@pytest.mark.req("REQ-GUI-052")
def test_a_tracker_of_the_library_that_hangs_up_within_a_message_is_found_again(peer, inbox):
    process = peer("serve", 20)
    client = LinkClient(LinkAddress("127.0.0.1", int(process.stdout.readline())), inbox.take)
    try:
        got = inbox.wait(40)
    finally:
        client.close()
    assert process.wait(10) == 0
    assert client.connections >= 2
    assert {one.device for one in got} == {"NeedleToTracker"}
    numbers = [round(one.content.matrix[0, 3] / 1.5) for one in got]
    assert numbers == [*range(20), *range(10, 30)]
