"""The whole server over real sockets: roles, the pedal's dead-man, credits, bad pages, start and stop."""

import contextlib
import gc
import json
import socket
import threading
import time
import tracemalloc
from dataclasses import replace

import httpx
import numpy as np
import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from fluoroscope.imagechain.window import window_table
from fluoroscope.monitor.control import MonitorFrame
from fluoroscope.monitor.hub import MAX_PAGES
from fluoroscope.monitor.server import MonitorServer, MonitorSetupError, check_door


def press(page, rate_hz: float = 30) -> None:
    assert page.command("set_technique", pulse_rate_hz=rate_hz)["ok"]
    assert page.command("pedal", down=True)["ok"]


def show(room, number: int, channel: str = "live", kind: str = "live") -> MonitorFrame:
    pixels = np.full((64, 32), number % 65536, np.uint16)
    frame = MonitorFrame(channel, kind, pixels, number, 1000.0, 2000.0, 0.5, number, 3, f"n {number}")
    room.show(frame)
    return frame


def settles(condition) -> bool:
    pause, end_s = threading.Event(), time.monotonic() + 10.0
    while not condition() and time.monotonic() < end_s:
        pause.wait(0.002)
    return condition()


# Roles


def test_the_first_page_operates_and_the_others_watch(room, enter):
    first, second = enter(), enter()
    assert first.hello["operator"] is True
    assert second.hello["operator"] is False
    assert second.hello["client"] != first.hello["client"]
    refused = second.command("pedal", down=True)
    assert refused["ok"] is False
    assert "operator" in refused["error"]
    second.send({"type": "claim"})
    second.command("stop")
    assert not room.exposing
    assert room.commands == []
    press(first)
    first.until(lambda: first.status["viewers"] == 1 and first.status["state"] == "EXPOSING")
    second.until(lambda: second.status["operator"] is False and second.pictures)


def test_a_free_seat_can_be_claimed_but_does_not_fall_to_a_newcomer(enter):
    first, second = enter(), enter()
    first.close()
    second.until(lambda: second.status["operator_present"] is False)
    third = enter()
    assert third.hello["operator"] is False
    second.send({"type": "claim"})
    second.until(lambda: second.status["operator"])
    third.send({"type": "claim"})
    third.until(lambda: third.status["operator_present"])
    assert third.command("pedal", down=True)["ok"] is False
    assert second.command("view", name="lateral")["ok"] is True


def test_a_reload_keeps_the_seat(enter):
    first, second = enter(), enter()
    cookie = first.cookie
    first.close()
    second.until(lambda: second.status["operator_present"] is False)
    assert enter(cookie).hello["operator"] is True


# Commands


def test_commands_are_answered_and_refusals_are_told(enter):
    page = enter()
    assert page.command("move_joints", orbital=30, angulation=-10) == {
        "type": "reply", "id": 1, "ok": True, "error": None, "result": {},
    }  # fmt: skip
    page.until(lambda: page.status["carm"]["primary_deg"] == 30)
    far = page.command("move_joints", orbital=300)
    assert (far["ok"], "out of reach" in far["error"]) == (False, True)
    assert page.command("move_joints", elbow=3)["ok"] is False
    assert "unknown command" in page.command("fly")["error"]
    assert "down" in page.command("pedal", down="yes")["error"]
    press(page)
    page.until(lambda: page.pictures)
    assert page.command("pedal", down=False)["ok"]
    page.until(lambda: page.status["state"] == "HOLD" and page.pictures[-1].kind == 1)
    stored = page.command("store_image")["result"]["id"]
    assert page.command("show_stored", id=stored)["ok"]
    page.until(lambda: page.pictures[-1].channel == 1)
    assert page.pictures[-1].kind == 2


def test_a_command_that_breaks_ends_the_xray_and_the_server_lives(room, enter, caplog):
    page = enter()
    press(page)
    room._do_store_image = lambda: 1 / 0
    broken = page.command("store_image")
    assert broken["ok"] is False
    assert "log" in broken["error"]
    page.until(lambda: page.status["state"] == "HOLD")
    assert "ZeroDivisionError" in caplog.text
    assert page.command("view", name="ap")["ok"] is True


def test_a_refusal_names_the_field_it_is_about(enter):
    page = enter()
    reply = page.command("make_patient", bmi=99)
    assert (reply["ok"], reply["result"]) == (False, {"field": "bmi"})
    assert "12 to 60" in reply["error"]
    assert page.command("needle_move", advance_mm=1)["result"] == {}


def test_what_the_room_tells_beside_the_status_needs_the_session(server, enter):
    cookie = enter().cookie
    address = f"{server.address}room/patients/drawn-spine.png"
    assert httpx.get(address).status_code == 403
    answer = httpx.get(address, headers={"Cookie": cookie})
    assert answer.headers["content-type"] == "image/png"
    assert answer.content.startswith(b"\x89PNG")
    again = httpx.get(address, headers={"Cookie": cookie, "If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304
    for path in ("room/patients/nobody.png", "room/", "room/%2e%2e/secret", "room/nothing"):
        assert httpx.get(f"{server.address}{path}", headers={"Cookie": cookie}).status_code == 404


def test_a_new_patient_clears_both_monitors(enter):
    page = enter()
    press(page)
    page.until(lambda: page.pictures)
    page.command("pedal", down=False)
    page.until(lambda: page.status["state"] == "HOLD")
    assert page.command("set_patient", name="drawn-spine")["ok"]
    page.until(lambda: {p.channel for p in page.pictures if p.pixels.size == 0} == {0, 1})


# The dead-man


@pytest.mark.req("HAZ-BEAM-001")
def test_a_lost_connection_ends_the_xray(room, server, enter):
    page = enter()
    press(page)
    assert room.wait_for(lambda: room.exposing)
    page.socket.socket.shutdown(socket.SHUT_RDWR)
    assert room.wait_for(lambda: not room.exposing)
    assert room.lost_count == 1
    # At once, not when the heartbeat was missed.
    assert server.statistics()["heartbeats_lost"] == 0


@pytest.mark.req("HAZ-BEAM-001")
def test_a_lost_heartbeat_ends_the_xray(room, server, enter):
    page = enter()
    pressed_s = time.monotonic()
    press(page)
    page.until(lambda: page.status["state"] == "HOLD")
    assert time.monotonic() - pressed_s >= 0.7
    assert server.statistics()["heartbeats_lost"] == 1
    # The page is still there and may press again.
    assert page.command("pedal", down=True)["ok"]


@pytest.mark.req("HAZ-BEAM-001")
def test_heartbeats_hold_the_xray_and_only_the_operators_count(room, enter):
    page, viewer = enter(), enter()
    press(page, 30)
    page.until(lambda: page.status["state"] == "EXPOSING")
    for _ in range(8):
        beaten_s = time.monotonic()
        page.send({"type": "heartbeat"})
        page.until(lambda beaten_s=beaten_s: time.monotonic() - beaten_s > 0.2)
    assert room.exposing
    assert room.lost_count == 0
    while room.exposing:
        viewer.send({"type": "heartbeat"})
        viewer.take()
    assert room.lost_count == 1


@pytest.mark.req("HAZ-BEAM-001")
def test_stop_ends_the_xray(room, enter):
    page = enter()
    press(page)
    assert room.wait_for(lambda: room.exposing)
    assert page.command("stop")["ok"]
    assert room.wait_for(lambda: not room.exposing)


# Pictures


def test_never_more_than_two_unacknowledged_and_then_the_newest(room, server, enter):
    page = enter()
    page.acking = False

    def live_stream() -> dict:
        return server.statistics()["pages"][0]["channels"]["live"]

    for number in range(1, 21):
        last = show(room, number)
        assert settles(lambda number=number: live_stream()["offered"] == number)
        if number <= 2:
            page.until(lambda number=number: len(page.pictures) == number)
    assert live_stream()["skipped"] == 17
    # The reference channel has credits of its own: what came for LIVE before it would be seen.
    show(room, 7, "reference", "stored")
    page.until(lambda: any(p.channel == 1 for p in page.pictures))
    live = [p for p in page.pictures if p.channel == 0]
    assert [p.index for p in live] == [1, 2]
    page.send({"type": "ack", "seq": live[0].seq})
    page.until(lambda: sum(p.channel == 0 for p in page.pictures) == 3)
    newest = page.pictures[-1]
    assert newest.index == last.index
    assert (newest.pixels == last.pixels).all()
    assert live_stream()["unacked"] == 2


def test_a_picture_arrives_as_it_was_made(room, enter):
    page = enter()
    made = np.random.default_rng(1).integers(0, 65536, (37, 61), np.uint16)
    frame = MonitorFrame("live", "hold", made.T, 10, 1234.5, 4321.0, 0.25, 9, 4, "last image hold")
    room.show(frame)
    page.until(lambda: page.pictures)
    got = page.pictures[0]
    assert (got.pixels == made.T).all()
    assert (got.acquired_ns, got.index, got.event_number, got.label) == (10, 9, 4, "last image hold")
    assert (got.window, got.pitch_mm, got.bytes_per_pixel, got.binning) == ((1234.5, 4321.0), 0.25, 2, 1)
    assert got.acquired_ns < got.sent_ns <= got.received_ns


def test_a_newcomer_sees_the_present_picture(room, enter):
    first = enter()
    show(room, 5)
    first.until(lambda: first.pictures)
    late = enter()
    late.until(lambda: late.pictures)
    assert late.pictures[0].index == 5


def test_a_page_that_is_too_slow_gets_smaller_pictures_windowed_as_it_asked(room, server, enter):
    page = enter()
    page.send({"type": "window", "channel": 0, "center": 500.0, "width": 700.0, "invert": True})
    made = (np.arange(64 * 64, dtype=np.uint16) % 1500).reshape(64, 64)
    base = MonitorFrame("live", "live", made, 1, 1000.0, 2000.0, 0.5, 0, 1)
    page.acking = False
    number, owed, begun_s = 0, [], time.monotonic()
    while not any(p.bytes_per_pixel == 1 for p in page.pictures):
        assert time.monotonic() - begun_s < 60
        number += 1
        room.show(replace(base, acquired_ns=number, index=number))
        # Paints one of four.
        if number % 4 == 0 and page.pictures:
            page.send({"type": "ack", "seq": page.pictures[-1].seq})
        seen = server.statistics()["pages"][0]["channels"]["live"]["offered"]
        room.wait_for(lambda seen=seen: server.statistics()["pages"][0]["channels"]["live"]["offered"] != seen, 0.02)
        while True:
            try:
                page.take(0.0)
            except TimeoutError:
                break
    assert owed == []
    kinds = [(p.binning, p.bytes_per_pixel) for p in page.pictures]
    assert [k for i, k in enumerate(kinds) if i == 0 or k != kinds[i - 1]][:3] == [(1, 2), (2, 2), (2, 1)]
    small = next(p for p in page.pictures if p.bytes_per_pixel == 1)
    mean = np.floor(made.reshape(32, 2, 32, 2).mean(axis=(1, 3)) + 0.5).astype(int)
    assert (small.pixels == window_table(500, 700, invert=True)[mean]).all()
    assert (small.window, small.pitch_mm) == ((500.0, 700.0), 1.0)
    # The X-ray rests: the last picture comes again, whole.
    page.acking = True
    page.send({"type": "ack", "seq": page.pictures[-1].seq})
    page.until(lambda: page.pictures[-1].binning == 1)
    assert page.pictures[-1].index == number
    assert (page.pictures[-1].pixels == made).all()


def test_status_comes_at_least_twice_a_second_and_faster_while_exposing(enter):
    page = enter()
    times = []
    for _ in range(4):
        told = page.status["server_ns"]
        page.until(lambda told=told: page.status["server_ns"] != told)
        times.append((page.status["server_ns"] - told) / 1e9)
    # The bound is the protocol's, with the slack of a busy machine.
    assert min(times) < 0.6
    press(page)
    page.until(lambda: page.status["state"] == "EXPOSING" and page.status["stream"]["painted_fps"] > 0)
    assert page.status["stream"]["mode"] == "full"
    assert page.status["stream"]["p95_ms"] >= page.status["stream"]["p50_ms"] > 0


# Bad pages


def closed_code(page) -> int:
    with pytest.raises(ConnectionClosed) as closed:
        page.until(lambda: False)
    return closed.value.rcvd.code


def test_what_is_not_of_the_protocol_is_told_and_in_the_end_closes(room, enter):
    page, watcher = enter(), enter()
    for text in ("", "{", "[1]", '{"type":"ack","seq":"x"}', "[" * 20000):
        page.send(text)
    page.until(lambda: len(page.errors) == 5)
    assert page.command("view", name="ap")["ok"]
    with contextlib.suppress(ConnectionClosed):  # It may be turned out before it has said all.
        for _ in range(30):
            page.send("nonsense")
    assert closed_code(page) == 1008
    watcher.until(lambda: watcher.status["operator_present"] is False)


@pytest.mark.parametrize(("message", "code"), [(b"\0" * 10, 1003), ("x" * 70000, 1009), ("x" * 2_000_000, 1009)])
def test_binary_and_oversized_messages_close_the_socket(enter, message, code):
    page = enter()
    with contextlib.suppress(ConnectionClosed):  # The door may be shut before a long message is through.
        page.send(message)
    with pytest.raises(ConnectionClosed) as closed:
        page.until(lambda: False)
    # Who still writes when the door shuts may be reset before the reason reaches it.
    told = closed.value.rcvd
    assert told.code == code if told is not None else len(message) > 70_000


@pytest.mark.req("HAZ-BEAM-001")
def test_a_flood_is_turned_out_and_its_xray_ended_while_others_go_on(room, enter):
    flooder, watcher = enter(), enter()
    press(flooder)
    watcher.until(lambda: watcher.pictures)

    def flood() -> None:
        for number in range(20000):
            try:
                flooder.send({"type": "command", "id": number, "name": "nudge_joints", "args": {"orbital": 0.1}})
            except ConnectionClosed:
                return

    flooding = threading.Thread(target=flood)
    flooding.start()
    assert room.wait_for(lambda: not room.exposing)
    flooding.join(20)
    assert not flooding.is_alive()
    assert closed_code(flooder) == 1008
    watcher.until(lambda: watcher.status["state"] == "HOLD" and not watcher.status["operator_present"])


def test_a_flood_of_a_viewer_does_not_touch_the_xray(room, enter):
    page, flooder = enter(), enter()
    press(page)
    page.until(lambda: len(page.pictures) > 2)

    def flood() -> None:
        for number in range(10**6):
            flooder.send({"type": "ack", "seq": number})

    with pytest.raises(ConnectionClosed):
        flood()
    page.send({"type": "heartbeat"})
    seen = len(page.pictures)
    page.until(lambda: len(page.pictures) > seen + 5)
    assert room.exposing
    assert room.status()["pulses"]["dropped"] < room.status()["pulses"]["delivered"]


def test_a_page_that_does_not_read_delays_nobody(room, server, enter, phantom):
    page, deaf = enter(), enter()
    deaf.socket.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    press(page)
    for _ in range(5):
        page.send({"type": "heartbeat"})
        seen = len(page.pictures)
        page.until(lambda seen=seen: len(page.pictures) > seen + 8)
    told = {p["client"]: p["channels"]["live"] for p in server.statistics()["pages"]}
    assert told[deaf.hello["client"]]["sent"] <= 2
    assert told[page.hello["client"]]["skipped"] <= told[page.hello["client"]]["sent"] // 4


def test_too_many_pages_are_refused(enter):
    for _ in range(MAX_PAGES):
        enter()
    with pytest.raises(InvalidStatus) as refused:
        enter()
    assert refused.value.response.status_code == 503


# Start and stop


@pytest.mark.req("REQ-WEB-001")
def test_only_loopback_listens(server):
    mine = [c for c in psutil.Process().net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert [c.laddr.ip for c in mine if c.laddr.port == server.port] == ["127.0.0.1"]
    assert all(c.laddr.ip in ("127.0.0.1", "::1") for c in mine)


def test_a_port_in_use_is_one_line_before_anything_starts(room, server):
    threads = threading.active_count()
    with pytest.raises(MonitorSetupError) as refused:
        MonitorServer(room, port=server.port)
    with pytest.raises(MonitorSetupError, match=str(server.port)):
        check_door("127.0.0.1", server.port)
    assert str(server.port) in str(refused.value)
    assert "--port" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert threading.active_count() == threads


def test_stop_ends_the_xray_and_frees_port_threads_and_sockets(room, phantom, enter, server):
    page, watcher = enter(), enter()
    press(page)
    watcher.until(lambda: watcher.pictures)
    port = server.port
    server.stop()
    assert not any(t.name.startswith("monitor-") for t in threading.enumerate())
    assert room.wait_for(lambda: not room.exposing)
    server.stop()
    with pytest.raises(MonitorSetupError, match="make a new one"):
        server.start()
    again = MonitorServer(room, port=port)
    again.start()
    assert httpx.get(again.url).status_code == 303
    again.stop()


def test_a_server_never_started_gives_its_port_back(room):
    first = MonitorServer(room, port=0)
    first.stop()
    MonitorServer(room, port=first.port).stop()


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this computer has no IPv6 loopback")
def test_ipv6_loopback_serves(room):
    server = MonitorServer(room, "::1", 0)
    server.start()
    try:
        assert server.url.startswith("http://[::1]:")
        assert httpx.get(server.url).status_code == 303
    finally:
        server.stop()


def test_memory_does_not_grow_with_frames(room, enter):
    page = enter()
    made = np.zeros((512, 512), np.uint16)
    base = MonitorFrame("live", "live", made, 1, 1000.0, 2000.0, 0.5, 0, 1)

    def stream(first: int, count: int) -> None:
        for number in range(first, first + count):
            room.show(replace(base, pixels=made.copy(), acquired_ns=number, index=number))
            page.until(lambda number=number: page.pictures and page.pictures[-1].index == number)
            del page.pictures[:-1]

    stream(1, 60)
    gc.collect()
    tracemalloc.start()
    try:
        stream(1000, 60)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        stream(2000, 300)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    # 300 frames are 150 MiB; a frame or two may be on their way at either moment.
    assert grown < 3 * made.nbytes


def test_statistics_are_plain_numbers(server, enter):
    page = enter()
    press(page)
    page.until(lambda: len(page.pictures) > 3)
    told = json.loads(json.dumps(server.statistics()))
    live = told["pages"][0]["channels"]["live"]
    assert live["sent"] >= live["painted"] >= 3
    assert live["p95_ms"] >= live["p50_ms"] > 0
