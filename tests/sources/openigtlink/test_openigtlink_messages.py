"""OpenIGTLink messages: there and back, against the specification's own layout, and whatever else may come."""

import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluoroscope.sources.openigtlink import (
    Image,
    Limits,
    MessageReader,
    Position,
    Query,
    Status,
    Text,
    ToolPlace,
    TrackingData,
    Transform,
    WireError,
    encode,
    pack_time,
    poses_of,
    unpack_time,
)
from fluoroscope.sources.openigtlink.messages import encode_message

AT_NS = 1_764_223_200_123_456_789
POLYNOMIAL = 0x42F0E1EBA9EA3693


def slow_crc(data):
    """ECMA-182 bit by bit, as the specification says it."""
    crc = 0
    for byte in data:
        crc ^= byte << 56
        for _ in range(8):
            crc = (crc << 1 ^ (POLYNOMIAL if crc >> 63 else 0)) & 0xFFFFFFFFFFFFFFFF
    return crc


def read(data, limits=None, step=None):
    reader = MessageReader(limits)
    step = step or len(data) or 1
    got = []
    for at in range(0, len(data), step):
        got += reader.feed(data[at : at + step], now_ns=7)
    return got


def header(kind=b"TRANSFORM", body=b"", *, version=1, crc=None, size=None, device=b"Needle"):
    told = slow_crc(body) if crc is None else crc
    packed = struct.pack(">H12s20sQQQ", version, kind, device, 1 << 32, len(body) if size is None else size, told)
    return packed + body


def a_pose(seed):
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    matrix = np.eye(4)
    matrix[:3, :3] = turn * np.sign(np.linalg.det(turn))
    matrix[:3, 3] = rng.normal(0.0, 200.0, 3)
    return np.float32(matrix).astype(float)


def test_a_transform_lies_on_the_wire_as_the_specification_says():
    matrix = a_pose(1)
    message = encode_message(Transform(matrix), "NeedleToTracker", AT_NS)
    version, kind, device, time, size, crc = struct.unpack(">H12s20sQQQ", message[:58])
    assert (version, kind.rstrip(b"\0"), device.rstrip(b"\0"), size) == (1, b"TRANSFORM", b"NeedleToTracker", 48)
    assert crc == slow_crc(message[58:])
    assert time >> 32 == 1_764_223_200
    columns = struct.unpack(">12f", message[58:])
    assert columns == tuple(matrix[:3, :3].T.ravel()) + tuple(matrix[:3, 3])


@given(st.integers(0, 2**32 * 10**9 - 1))
def test_time_comes_back_to_the_nanosecond(utc_ns):
    assert unpack_time(pack_time(utc_ns)) == utc_ns


CONTENTS = [
    Transform(a_pose(2)),
    Position(np.array([1.0, -2.0, 3.5]), np.array([0.0, 0.0, 0.0, 1.0])),
    TrackingData((ToolPlace("Needle", 2, a_pose(3)), ToolPlace("Reference", 1, a_pose(4)))),
    Status(13, -5, "WARMUP", "wärmt auf"),
    Text("größer"),
    Query("GET_STATUS"),
    Image(np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000, a_pose(5), "LPS"),
    Image(np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.eye(4)),
    Image(np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4), np.eye(4)),
]


@pytest.mark.req("REQ-GUI-050")
@pytest.mark.parametrize("content", CONTENTS, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("metadata", [None, {"TransformStatus": "OK", "größe": "ja"}])
@pytest.mark.parametrize("step", [None, 1, 57, 58, 59])
def test_what_is_sent_is_read(content, metadata, step):
    message = encode_message(content, "Needle", AT_NS, metadata)
    first, second = read(message + message, step=step)
    assert (first.device, first.sent_ns, dict(first.metadata)) == ("Needle", AT_NS, metadata or {})
    assert type(second.content) is type(content)
    for name in content.__dataclass_fields__:
        sent, got = getattr(content, name), getattr(second.content, name)
        if name == "tools":
            for one, other in zip(sent, got, strict=True):
                assert (one.name, one.kind) == (other.name, other.kind)
                np.testing.assert_array_equal(one.matrix, other.matrix)
        elif isinstance(sent, np.ndarray):
            if name == "pixels":
                assert sent.dtype == got.dtype
                sent = np.squeeze(sent)
                got = np.squeeze(got)
            np.testing.assert_allclose(got, sent, atol=2e-5 if name == "matrix" else 0.0)
        else:
            assert sent == got


@pytest.mark.parametrize("order", [1, 2])
def test_a_picture_of_either_byte_order_is_the_same(order):
    pixels = np.array([[1, 2, 3], [500, 60000, 7]], dtype=np.uint16)
    numbers = (0.5, 0.0, 0.0, 0.0, 0.25, 0.0, 0.0, 0.0, 1.0, 10.0, 20.0, 30.0)
    head = struct.pack(">HBBBB3H12f6H", 1, 1, 5, order, 1, 3, 2, 1, *numbers, 0, 0, 0, 3, 2, 1)
    (arrived,) = read(header(b"IMAGE", head + pixels.astype(">u2" if order == 1 else "<u2").tobytes()))
    np.testing.assert_array_equal(arrived.content.pixels, pixels)
    assert arrived.content.pixels.dtype.isnative
    # The middle of the picture lies at (10, 20, 30), so the first pixel is 1 column and half a row before it.
    np.testing.assert_allclose(arrived.content.matrix[:3, 3], [9.5, 19.875, 30.0])


@pytest.mark.req("REQ-GUI-052")
def test_a_wrong_checksum_costs_the_message_not_the_next():
    good = encode_message(Transform(a_pose(1)), "Needle", AT_NS)
    for place in range(58, len(good)):
        bad = bytearray(good)
        bad[place] ^= 0x10
        reader = MessageReader()
        got = list(reader.feed(bytes(bad) + good, 0))
        assert len(got) == 1
        assert reader.status.refused == 1
        assert "checksum" in reader.status.last_fault


@pytest.mark.req("REQ-GUI-052")
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost:18944\r\nUser-Agent: curl/8\r\n\r\n", "not OpenIGTLink"),
        (bytes(58), "version 0"),
        (header(version=9), "version 9"),
        (header(b"\xff\xfe"), "type name"),
        (header(device=b"a\x01b"), "device name"),
        (header(b"IMAGE", size=2**40), "at most"),
        (header(b"TRANSFORM", size=2**63), "at most"),
        (header(b"VIDEO", size=2**64 - 1), "at most"),
    ],
)
def test_what_cannot_be_openigtlink_ends_the_connection_at_once(data, said):
    with pytest.raises(WireError, match=said):
        read(data)


@pytest.mark.req("REQ-GUI-052")
@pytest.mark.parametrize(
    ("kind", "body", "version"),
    [
        (b"TRANSFORM", bytes(47), 1),
        (b"TRANSFORM", b"", 1),
        (b"POSITION", bytes(13), 1),
        (b"TDATA", bytes(71), 1),
        (b"QTDATA", bytes(49), 1),
        (b"STATUS", bytes(5), 1),
        (b"STRING", struct.pack(">HH", 3, 60000) + b"short", 1),
        (b"IMAGE", bytes(71), 1),
        (
            b"IMAGE",
            struct.pack(">HBBBB3H12f6H", 1, 1, 5, 2, 1, 60000, 60000, 60000, *[0] * 12, 0, 0, 0, *[60000] * 3),
            1,
        ),
        (b"IMAGE", struct.pack(">HBBBB3H12f6H", 1, 1, 5, 2, 1, 0, 0, 0, *[0] * 12, 0, 0, 0, 0, 0, 0), 1),
        (b"IMAGE", struct.pack(">HBBBB3H12f6H", 1, 1, 9, 2, 1, 1, 1, 1, *[0] * 12, 0, 0, 0, 1, 1, 1) + b"ab", 1),
        (b"IMAGE", struct.pack(">HBBBB3H12f6H", 1, 1, 5, 2, 1, 2, 2, 1, *[0] * 12, 1, 0, 0, 1, 2, 1) + b"abcd", 1),
        (b"TRANSFORM", struct.pack(">HHII", 12, 60000, 2**32 - 1, 0) + bytes(48), 2),
        (b"TRANSFORM", struct.pack(">HHII", 60000, 0, 0, 0) + bytes(48), 2),
        (b"TRANSFORM", bytes(3), 2),
        (b"TRANSFORM", struct.pack(">HHII", 12, 10, 0, 0) + bytes(48) + struct.pack(">HHHI", 1, 9, 3, 99), 2),
        (b"TRANSFORM", struct.pack(">HHII", 12, 4, 0, 0) + bytes(48) + struct.pack(">HH", 9, 9), 2),
    ],
)
def test_content_that_does_not_agree_with_its_length_is_refused(kind, body, version):
    reader = MessageReader()
    good = encode_message(Status(), "Needle", AT_NS)
    got = list(reader.feed(header(kind, body, version=version) + good, 0))
    assert [one.kind for one in got] == ["STATUS"]
    assert reader.status.refused == 1
    assert reader.status.last_fault


@pytest.mark.req("REQ-GUI-052")
def test_messages_that_go_on_being_wrong_end_the_connection():
    bad = header(b"TRANSFORM", bytes(48), crc=1)
    with pytest.raises(WireError, match="3 messages in a row"):
        read(bad * 3, Limits(faults=3))
    good = encode_message(Status(), "Needle", AT_NS)
    assert len(read((bad * 2 + good) * 4, Limits(faults=3))) == 4


@pytest.mark.req("REQ-GUI-052")
def test_other_types_pass_without_being_kept():
    reader = MessageReader()
    good = encode_message(Status(), "Needle", AT_NS)
    got = list(reader.feed(header(b"POLYDATA", size=10**8), 0))
    tracemalloc.start()
    piece = bytes(10**6)
    for _ in range(100):
        got += reader.feed(piece, 0)
        assert reader.held_bytes == 0
    got += reader.feed(good, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [one.kind for one in got] == ["STATUS"]
    assert reader.status.skipped == 1
    assert peak < 4 * 10**6


def test_types_that_are_not_wanted_pass_questions_apart():
    stream = b"".join(encode_message(one, "Needle", AT_NS) for one in CONTENTS)
    kinds = [one.kind for one in read(stream, Limits(kinds=frozenset({"TDATA"})), step=100)]
    assert kinds == ["TDATA", "GET_STATUS"]


@pytest.mark.req("REQ-GUI-052")
def test_a_promise_costs_no_memory_before_it_is_kept():
    tracemalloc.start()
    readers = [MessageReader() for _ in range(8)]
    for reader in readers:
        assert list(reader.feed(header(b"IMAGE", size=64 * 1024 * 1024) + bytes(1000), 0)) == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**6
    assert all(reader.held_bytes == 1000 for reader in readers)


@pytest.mark.req("REQ-GUI-052")
def test_a_message_that_does_not_end_is_noticed():
    reader = MessageReader(Limits(message_s=2.0))
    message = encode_message(Transform(a_pose(1)), "Needle", AT_NS)
    for number, byte in enumerate(message[:40]):
        list(reader.feed(bytes([byte]), number * 10**8))
    assert reader.overdue(int(2.1e9))
    assert not reader.overdue(int(1.9e9))
    assert len(list(reader.feed(message[40:], 5 * 10**9))) == 1
    assert not reader.overdue(10**12)


@pytest.mark.req("REQ-GUI-052")
@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.sampled_from([b"IMAGE", b"TRANSFORM", b"TDATA", b"STRING", b"STATUS", b"QTDATA"]))
def test_random_content_never_raises_anything_else(body, kind):
    for version in (1, 2):
        reader = MessageReader()
        for arrived in reader.feed(header(kind, body, version=version), 0):
            poses_of(arrived.device, arrived.content)
        assert reader.status.taken + reader.status.refused == 1


@pytest.mark.req("REQ-GUI-052")
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_stream_never_raises_anything_else(data):
    stream = bytearray(b"".join(encode_message(one, "Needle", AT_NS, {"a": "b"}) for one in CONTENTS))
    for _ in range(data.draw(st.integers(1, 4))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(stream)))
    reader = MessageReader()
    try:
        for piece in (stream[:cut], stream[cut:]):
            for arrived in reader.feed(bytes(piece), 0):
                poses_of(arrived.device, arrived.content)
    except WireError:
        pass
    assert reader.held_bytes <= len(stream)


def test_a_pose_that_is_none_is_told_as_none():
    stretched, mirrored, absent = a_pose(1), a_pose(1), a_pose(1)
    stretched[0, :3] *= 1.1
    mirrored[:3, 0] *= -1.0
    absent[:3, 3] = np.nan
    far = a_pose(1)
    far[0, 3] = 3e38
    for matrix in (stretched, mirrored, absent, far, np.zeros((4, 4)), np.full((4, 4), 3e38)):
        assert poses_of("Needle", Transform(matrix)) == (("Needle", None),)
    ((name, kept),) = poses_of("Needle", Transform(a_pose(6)))
    assert name == "Needle"
    np.testing.assert_allclose(kept[:3, :3] @ kept[:3, :3].T, np.eye(3), atol=1e-14)
    assert poses_of("Needle", Position(np.zeros(3), np.zeros(4))) == (("Needle", None),)
    assert poses_of("Needle", Text("")) == ()


@pytest.mark.parametrize(("kind", "device"), [("A" * 13, "x"), ("A", "x" * 21), ("A", "ü"), ("A", "a\nb")])
def test_names_that_do_not_fit_are_refused(kind, device):
    with pytest.raises(WireError, match="at most"):
        encode(kind, device, [], utc_ns=0)


def test_pictures_that_cannot_be_sent_are_refused():
    for pixels in (np.zeros((2, 2), np.complex64), np.zeros((2, 2), np.uint64), np.zeros((1, 70000), np.uint8)):
        with pytest.raises(WireError, match="no picture"):
            encode_message(Image(pixels), "x", 0)
