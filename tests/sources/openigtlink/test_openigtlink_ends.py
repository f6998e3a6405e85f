"""Both ends of an OpenIGTLink connection on real sockets: slow, silent, hostile and vanishing peers."""

import contextlib
import itertools
import os
import socket
import struct
import threading
import time

import numpy as np
import pytest

from fluoroscope.sources.openigtlink import (
    Image,
    Limits,
    LinkAddress,
    LinkClient,
    LinkServer,
    LinkState,
    MessageReader,
    Query,
    Transform,
    parse_address,
)
from fluoroscope.sources.openigtlink.messages import encode_message
from fluoroscope.sources.openigtlink.server import ServerSettings

AT_NS = 1_764_223_200_000_000_000
QUIET = ServerSettings(heartbeat_s=1e9)
PICTURE = Image(np.zeros((1024, 1024), np.uint16))
PICTURE_BYTES = 58 + 72 + PICTURE.pixels.nbytes


def until(condition, seconds=30.0):
    """Wait until ``condition()`` is true; the time is only for a test that fails."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        threading.Event().wait(0.005)


@pytest.fixture
def serve():
    """Give a way to start servers that end with the test."""
    with contextlib.ExitStack() as stack:

        def start(settings=QUIET, **rest):
            server = LinkServer(port=0, settings=settings, **rest)
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def connect():
    """Give a way to connect plain sockets that end with the test."""
    with contextlib.ExitStack() as stack:

        def to(server, receive_bytes=None):
            count = len(server.status().peers)
            peer = stack.enter_context(socket.socket())
            if receive_bytes:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            peer.settimeout(30.0)
            peer.connect((server.host, server.port))
            until(lambda: len(server.status().peers) > count)
            return peer

        yield to


def messages(peer, reader=None):
    """Yield what a plain socket gets."""
    reader = reader or MessageReader()
    while data := peer.recv(1 << 18):
        yield from reader.feed(data, time.monotonic_ns())


def numbered(number):
    matrix = np.eye(4)
    matrix[0, 3] = number
    return Transform(matrix)


def number_of(arrived):
    return int(arrived.content.matrix[0, 3])


@pytest.mark.req("REQ-GUI-053")
def test_a_slow_peer_gets_the_newest_picture_and_holds_up_nobody(serve, connect):
    server = serve()
    slow, quick = connect(server, receive_bytes=65536), connect(server)
    quick_gets = messages(quick)
    for number in range(40):
        pixels = np.full((1024, 1024), number, np.uint16)
        server.publish("Live", Image(pixels), AT_NS)
        server.publish("CArm", numbered(number), AT_NS)
        # The quick one takes every message before the next picture is published.
        got = {one.kind: one.content for one in itertools.islice(quick_gets, 2)}
        assert int(got["IMAGE"].pixels[0, 0]) == int(got["TRANSFORM"].matrix[0, 3]) == number
    status = server.status()
    behind, ahead = status.peers
    assert ahead.dropped == 0
    assert ahead.sent == 80
    assert behind.dropped > 60
    assert behind.waiting_bytes <= 2 * PICTURE_BYTES + 200
    assert status.dropped == behind.dropped
    numbers = []
    for arrived in messages(slow):
        if arrived.kind == "IMAGE":
            assert np.all(arrived.content.pixels == arrived.content.pixels[0, 0])
            numbers.append(int(arrived.content.pixels[0, 0]))
            if numbers[-1] == 39:
                break
    assert numbers == sorted(set(numbers))
    assert len(numbers) < 8


@pytest.mark.req("REQ-GUI-053")
def test_poses_go_before_a_picture_that_waits(serve, connect):
    server = serve()
    slow = connect(server, receive_bytes=65536)
    for number in range(12):
        server.publish("Live", PICTURE, AT_NS)
        server.publish("CArm", numbered(number), AT_NS)
    kinds = [one.kind for one in itertools.islice(messages(slow), 4)]
    assert kinds.index("TRANSFORM") < 3


@pytest.mark.req("REQ-GUI-053")
def test_nothing_is_encoded_for_nobody(serve):
    server = serve()
    assert server.publish("much too long a name for a device", PICTURE, AT_NS) == 0


@pytest.mark.req("REQ-GUI-052")
@pytest.mark.parametrize(
    "garbage",
    [
        np.random.default_rng(3).bytes(10**6),
        b"GET / HTTP/1.1\r\n\r\n" * 60000,
        struct.pack(">H12s20sQQQ", 1, b"IMAGE", b"x", 0, 2**50, 0) + bytes(10**6),
        struct.pack(">H12s20sQQQ", 1, b"TRANSFORM", b"x", 0, 48, 1) * 20000,
    ],
    ids=["random", "web browser", "endless picture", "wrong checksums"],
)
def test_a_megabyte_of_garbage_costs_its_sender_the_connection_and_nobody_else(serve, connect, garbage):
    server = serve()
    good, bad = connect(server), connect(server)
    with contextlib.suppress(OSError):
        bad.sendall(garbage)
    until(lambda: len(server.status().peers) == 1)
    assert server.status().last_loss
    server.publish("CArm", numbered(5), AT_NS)
    assert number_of(next(messages(good))) == 5


@pytest.mark.req("REQ-GUI-052")
def test_a_message_in_drops_is_waited_for_only_so_long(serve, connect):
    server = serve(ServerSettings(heartbeat_s=1e9, limits=Limits(message_s=0.1)))
    loris = connect(server)
    message = encode_message(numbered(1), "Needle", AT_NS)
    loris.sendall(message[:30])
    until(lambda: not server.status().peers)
    assert "not whole" in server.status().last_loss


@pytest.mark.req("REQ-GUI-052")
def test_a_peer_that_takes_nothing_is_let_go(serve, connect):
    server = serve(ServerSettings(heartbeat_s=1e9, stall_s=0.1))
    connect(server, receive_bytes=65536)
    for _ in range(12):
        server.publish("Live", PICTURE, AT_NS)
    until(lambda: not server.status().peers)
    assert "took nothing" in server.status().last_loss


@pytest.mark.req("REQ-GUI-052")
def test_a_connection_cut_within_a_message_is_forgotten(serve, connect):
    heard = []
    server = serve(on_message=heard.append)
    for part in (1, 57, 58, 60):
        peer = connect(server)
        peer.sendall(encode_message(numbered(part), "Needle", AT_NS)[:part])
        # Reset, not closed: what a pulled cable or a killed process does at best.
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        until(lambda: not server.status().peers)
    whole = connect(server)
    whole.sendall(encode_message(numbered(7), "Needle", AT_NS))
    until(lambda: heard)
    assert [number_of(one) for one in heard] == [7]


def test_one_peer_too_many_is_turned_away(serve, connect):
    server = serve(ServerSettings(most_peers=2, heartbeat_s=1e9))
    connect(server)
    connect(server)
    with socket.create_connection((server.host, server.port), 30.0) as third:
        assert third.recv(1) == b""
    until(lambda: server.status().turned_away == 1)
    assert len(server.status().peers) == 2


def test_a_silent_server_gives_a_sign_of_life(serve, connect):
    server = serve(ServerSettings(heartbeat_s=0.0))
    arrived = next(messages(connect(server)))
    assert (arrived.kind, arrived.device, arrived.content.code) == ("STATUS", "Fluoroscope", 1)


def test_questions_every_device_is_asked_are_answered(serve, connect):
    server = serve()
    peer = connect(server)
    peer.sendall(encode_message(Query("STT_TDATA"), "", 0) + encode_message(Query("GET_STATUS"), "", 0))
    assert next(messages(peer)).kind == "STATUS"
    peer.sendall(encode_message(Query("GET_CAPABIL"), "", 0))
    head = peer.recv(58, socket.MSG_WAITALL)
    assert head[2:12] == b"CAPABILITY"
    names = peer.recv(36, socket.MSG_WAITALL)
    assert [names[at : at + 12].rstrip(b"\0") for at in (0, 12, 24)] == [b"IMAGE", b"TRANSFORM", b"STATUS"]


def test_a_taken_port_is_said_in_one_line(serve):
    server = serve()
    with pytest.raises(OSError, match=f"{server.port} cannot be listened on") as caught:
        LinkServer(port=server.port)
    assert "\n" not in str(caught.value)


def test_only_loopback_unless_asked(serve):
    assert serve().host == "127.0.0.1"


def test_no_descriptor_is_left_open(serve):
    count = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    if count is None:
        pytest.skip("this system does not tell open descriptors")
    for _ in range(3):
        server = LinkServer(port=0)
        client = LinkClient(LinkAddress(server.host, server.port), lambda _: None)
        assert client.wait_for(LinkState.CONNECTED, 30.0)
        server.close()
        client.close()
    assert len(os.listdir("/proc/self/fd")) == count


# The calling end


@pytest.fixture
def call():
    """Give a way to start clients that end with the test, and what came."""
    with contextlib.ExitStack() as stack:

        def start(port, **rest):
            got = []
            client = LinkClient(LinkAddress("127.0.0.1", port), got.append, **rest)
            stack.callback(client.close)
            return client, got

        yield start


@pytest.mark.req("REQ-GUI-052")
def test_a_lost_peer_is_found_again_where_it_was(call):
    server = LinkServer(port=0, settings=QUIET)
    port = server.port
    client, got = call(port)
    assert client.wait_for(LinkState.CONNECTED, 30.0)
    until(lambda: server.publish("Needle", numbered(1), AT_NS))
    until(lambda: got)
    server.close()
    assert client.wait_for(LinkState.CONNECTING, 30.0)
    assert str(port) in client.reason
    server = LinkServer(port=port, settings=QUIET)
    try:
        assert client.wait_for(LinkState.CONNECTED, 30.0)
        assert client.reason == ""
        until(lambda: server.publish("Needle", numbered(2), AT_NS))
        until(lambda: len(got) == 2)
    finally:
        server.close()
    assert [number_of(one) for one in got] == [1, 2]
    assert client.connections == 2


@pytest.mark.req("REQ-GUI-052")
def test_a_peer_that_sends_garbage_is_left_and_tried_again(call):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30.0)
        client, got = call(listener.getsockname()[1])
        for _ in range(2):
            peer, _ = listener.accept()
            with peer, contextlib.suppress(OSError):
                peer.sendall(np.random.default_rng(1).bytes(10**6))
                peer.recv(1)
        peer, _ = listener.accept()
        with peer:
            peer.sendall(encode_message(numbered(3), "Needle", AT_NS))
            until(lambda: got)
    assert number_of(got[0]) == 3
    assert client.read.taken == 1


def test_a_greeting_goes_out_with_every_connection(call, serve):
    heard = []
    server = serve(on_message=heard.append)
    call(server.port, greeting=numbered(9))
    until(lambda: heard)
    assert number_of(heard[0]) == 9


def test_an_address_nobody_listens_on_is_said_and_can_be_closed(call):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client, _ = call(port)
    until(lambda: "refused" in client.reason.lower())
    client.close()
    client.close()
    assert client.state is LinkState.CLOSED


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost:18945", "localhost", 18945),
        ("10.0.0.2", "10.0.0.2", 18944),
        ("igtl://127.0.0.1:1234", "127.0.0.1", 1234),
        ("igtl://tracker/", "tracker", 18944),
        ("[::1]:18950", "::1", 18950),
        ("::1", "::1", 18944),
    ],
)
def test_addresses(text, host, port):
    assert parse_address(text) == LinkAddress(host, port)
    assert parse_address(str(parse_address(text))) == LinkAddress(host, port)


@pytest.mark.parametrize("text", ["", ":18944", "host:", "host:0", "host:70000", "host:port", "igtl://"])
def test_what_is_no_address_is_refused_in_one_line(text):
    with pytest.raises(ValueError, match="HOST:PORT"):
        parse_address(text)
