"""The operator's hand on the room: commands in order, stop first, and the dead-man of the pedal."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from fluoroscope.monitor.control import RefusedError, RoomControl

__all__ = ["HEARTBEAT_LOST_S", "CommandDesk", "DeadMan"]

HEARTBEAT_LOST_S = 0.7
QUEUED_COMMANDS = 64

_log = logging.getLogger(__name__)


class DeadMan:
    """Calls ``lost`` when the pedal is held and no heartbeat came for `HEARTBEAT_LOST_S`.

    It has a thread of its own, so that it also works while the server's loop hangs. An error of ``lost`` is
    logged, and the next press is watched all the same.
    """

    def __init__(self, lost: Callable[[], None], timeout_s: float = HEARTBEAT_LOST_S) -> None:
        self._lost, self._timeout_s = lost, timeout_s
        self._changed = threading.Condition()
        self._deadline_s: float | None = None
        self._stopped = False
        self.expired = 0
        self._thread = threading.Thread(target=self._run, name="monitor-dead-man", daemon=True)
        self._thread.start()

    def arm(self) -> None:
        """Expect heartbeats from now: the pedal goes down."""
        with self._changed:
            self._deadline_s = time.monotonic() + self._timeout_s
            self._changed.notify_all()

    def beat(self) -> None:
        """Note a heartbeat; without a held pedal it means nothing."""
        with self._changed:
            if self._deadline_s is not None:
                self._deadline_s = time.monotonic() + self._timeout_s

    def disarm(self) -> None:
        """Expect no more heartbeats: the pedal is up."""
        with self._changed:
            self._deadline_s = None

    def stop(self) -> None:
        """End the thread."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join(5.0)

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._stopped:
                    return
                left_s = None if self._deadline_s is None else self._deadline_s - time.monotonic()
                if left_s is None or left_s > 0.0:
                    self._changed.wait(left_s)
                    continue
                self._deadline_s = None
                self.expired += 1
            try:
                self._lost()
            except Exception:  # noqa: BLE001 - whatever the room does, the next press must be watched
                _log.exception("the room failed while the X-ray was ended")


class CommandDesk:
    """Carries out commands in order in one thread; what ends X-ray has a thread of its own and never queues.

    Ending X-ray (``stop``, pedal up, operator lost) also voids every pedal press that came before it, waiting
    or being carried out, so that a slow command cannot bring the X-ray back on afterwards.
    """

    def __init__(self, room: RoomControl) -> None:
        self._room = room
        self._ordered = ThreadPoolExecutor(1, thread_name_prefix="monitor-commands")
        self._urgent = ThreadPoolExecutor(1, thread_name_prefix="monitor-stop")
        self._lock = threading.Lock()
        self._ends = 0
        self._seats = 0
        self._queued = 0
        self._halted = False
        self.dead_man = DeadMan(self._heartbeat_lost)

    def submit(self, name: str, args: Mapping[str, Any]) -> Future[Mapping[str, Any]]:
        """Carry out a command of the operator; the future gives its result or its `RefusedError`."""
        if self._halted:
            return _refused(name, "the monitor is closing")
        if name == "stop" or (name == "pedal" and not args["down"]):
            self.dead_man.disarm()
            with self._lock:
                self._ends += 1
            return self._urgent.submit(self._room.command, name, args)
        with self._lock:
            if self._queued >= QUEUED_COMMANDS:
                return _refused(name, "the room is busy")
            self._queued += 1
            ends, seats = self._ends, self._seats
        pressing = name == "pedal"
        if pressing:
            self.dead_man.arm()
        return self._ordered.submit(self._carry_out, name, args, ends if pressing else None, seats)

    def operator_lost(self) -> None:
        """End any exposure now, and forget what the operator still had in the queue."""
        if self._halted:
            return
        self.dead_man.disarm()
        self._void()
        self._urgent.submit(self._room.operator_lost)

    def halt(self) -> None:
        """End any exposure, take no further command. May be called twice, from any thread."""
        self._halted = True
        self._void()
        self._room.operator_lost()

    def stop(self) -> None:
        """End any exposure and the threads."""
        self.halt()
        self.dead_man.stop()
        self._ordered.shutdown(cancel_futures=True)
        self._urgent.shutdown(cancel_futures=True)

    def _void(self) -> None:
        with self._lock:
            self._ends += 1
            self._seats += 1

    def _heartbeat_lost(self) -> None:
        _log.warning("no heartbeat for %d ms while the pedal was held: X-ray ended", HEARTBEAT_LOST_S * 1000)
        # Called here, in the dead-man's thread: neither a busy queue nor a hanging loop can delay it.
        with self._lock:
            self._ends += 1
        self._room.operator_lost()

    def _carry_out(self, name: str, args: Mapping[str, Any], ends: int | None, seats: int) -> Mapping[str, Any]:
        with self._lock:
            self._queued -= 1
            if seats != self._seats:
                raise RefusedError(f"{name} refused: its operator is gone")
            if ends is not None and ends != self._ends:
                raise RefusedError("pedal refused: it was released before the X-ray began")
        try:
            result = self._room.command(name, args)
        except RefusedError:
            if ends is not None:
                self.dead_man.disarm()
            raise
        if ends is not None:
            with self._lock:
                ended = ends != self._ends
            if ended:
                self._room.operator_lost()
                raise RefusedError("pedal refused: it was released before the X-ray began")
        return result


def _refused(name: str, reason: str) -> Future[Mapping[str, Any]]:
    refused: Future[Mapping[str, Any]] = Future()
    refused.set_exception(RefusedError(f"{name} refused: {reason}"))
    return refused
