"""The operator's hand: order, stop before all, and the dead-man, with a room that can be held up."""

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from fluoroscope.monitor.control import RefusedError
from fluoroscope.monitor.desk import QUEUED_COMMANDS, CommandDesk, DeadMan


class HeldRoom:
    """A room whose commands take as long as the test wants."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.began = threading.Event()
        self.go_on = threading.Event()
        self.ended = threading.Event()
        self.xray = False
        self.lost = 0

    def command(self, name: str, args: Mapping[str, Any]) -> Mapping[str, Any]:
        if name == "stop" or (name == "pedal" and not args["down"]):
            self.xray = False
        else:
            self.began.set()
            assert self.go_on.wait(10.0)
            if name == "refuse":
                raise RefusedError("no")
            self.xray = name == "pedal" or self.xray
        self.done.append(name)
        return {"name": name}

    def operator_lost(self) -> None:
        self.xray = False
        self.lost += 1
        self.ended.set()


@pytest.fixture
def held():
    return HeldRoom()


@pytest.fixture
def desk(held):
    made = CommandDesk(held)
    yield made
    held.go_on.set()
    made.stop()


def test_commands_are_carried_out_in_order(held, desk):
    held.go_on.set()
    futures = [desk.submit(f"c{n}", {}) for n in range(40)]
    assert [f.result(10)["name"] for f in futures] == held.done == [f"c{n}" for n in range(40)]


def test_stop_does_not_wait_behind_a_slow_command(held, desk):
    slow = desk.submit("slow", {})
    assert held.began.wait(10)
    assert desk.submit("stop", {}).result(10) == {"name": "stop"}
    assert not slow.done()


@pytest.mark.parametrize("ending", [("stop", {}), ("pedal", {"down": False})])
def test_a_press_that_waits_is_void_after_stop(held, desk, ending):
    desk.submit("slow", {})
    assert held.began.wait(10)
    press = desk.submit("pedal", {"down": True})
    desk.submit(*ending).result(10)
    held.go_on.set()
    with pytest.raises(RefusedError, match="released before"):
        press.result(10)
    assert not held.xray


def test_a_press_being_carried_out_ends_with_a_stop_that_overtook_it(held, desk):
    press = desk.submit("pedal", {"down": True})
    assert held.began.wait(10)
    desk.submit("stop", {}).result(10)
    held.go_on.set()
    with pytest.raises(RefusedError, match="released before"):
        press.result(10)
    assert not held.xray
    assert held.lost == 1


def test_what_a_lost_operator_left_in_the_queue_is_not_carried_out(held, desk):
    desk.submit("slow", {})
    assert held.began.wait(10)
    left = [desk.submit("move_table", {}), desk.submit("pedal", {"down": True})]
    desk.operator_lost()
    assert held.ended.wait(10)
    held.go_on.set()
    for future in left:
        with pytest.raises(RefusedError, match="operator is gone"):
            future.result(10)
    assert held.done == ["slow"]


def test_the_queue_is_bounded_and_stop_still_passes(held, desk):
    desk.submit("slow", {})
    assert held.began.wait(10)
    futures = [desk.submit("nudge", {}) for _ in range(QUEUED_COMMANDS + 5)]
    assert sum(f.done() and isinstance(f.exception(), RefusedError) for f in futures) == 5
    assert desk.submit("stop", {}).result(10) == {"name": "stop"}


def test_a_closing_monitor_takes_nothing(held, desk):
    desk.halt()
    with pytest.raises(RefusedError, match="closing"):
        desk.submit("pedal", {"down": True}).result(10)
    assert held.lost == 1


@pytest.mark.req("HAZ-BEAM-001")
def test_the_dead_man_ends_the_xray_even_while_commands_hang(held, desk):
    desk.submit("pedal", {"down": True})
    assert held.began.wait(10)
    assert held.ended.wait(10), "no heartbeat came, yet nothing happened"
    assert held.lost == 1
    held.go_on.set()


def test_the_dead_man_fires_once_per_press_and_not_when_released():
    fired = threading.Semaphore(0)
    dead_man = DeadMan(fired.release, timeout_s=0.05)
    dead_man.beat()
    assert not fired.acquire(timeout=0.2)
    dead_man.arm()
    assert fired.acquire(timeout=10)
    assert not fired.acquire(timeout=0.2)
    dead_man.arm()
    dead_man.disarm()
    assert not fired.acquire(timeout=0.2)
    assert dead_man.expired == 1
    dead_man.stop()


@pytest.mark.req("HAZ-BEAM-001")
def test_the_dead_man_watches_the_next_press_also_when_the_room_failed(caplog):
    fired = threading.Semaphore(0)

    def lost():
        fired.release()
        raise RuntimeError("the journal is closed")

    dead_man = DeadMan(lost, timeout_s=0.05)
    for _ in range(2):
        dead_man.arm()
        assert fired.acquire(timeout=10)
    dead_man.stop()
    assert dead_man.expired == 2
    assert caplog.text.count("the room failed") == 2


def test_heartbeats_keep_the_xray_on():
    fired, ticks = threading.Event(), threading.Event()
    dead_man = DeadMan(fired.set, timeout_s=2.0)
    dead_man.arm()
    for _ in range(30):
        ticks.wait(0.1)
        dead_man.beat()
    assert not fired.is_set()
    assert dead_man.expired == 0
    dead_man.stop()
