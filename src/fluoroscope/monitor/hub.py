"""The pages that look on: who is the operator, what each is sent, and the room's status for all."""

import asyncio
import contextlib
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import count
from typing import Any

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect

from fluoroscope import __version__
from fluoroscope.monitor.control import RefusedError, RoomControl
from fluoroscope.monitor.desk import CommandDesk
from fluoroscope.monitor.stream import ChannelPump, ChannelStream, Picture, Quality
from fluoroscope.monitor.wire import (
    CHANNELS,
    HEADER_BYTES,
    MESSAGE_BYTES,
    Ack,
    Claim,
    Command,
    Heartbeat,
    Message,
    WindowChoice,
    WireError,
    checked_args,
    pack_header,
    parse_message,
)

__all__ = ["MAX_PAGES", "Hub", "Page"]

MAX_PAGES = 8
_TICK_S, _STATUS_S = 0.1, 0.45
# Messages a second that a page may send, and at once: dragging the C-arm gives about 200.
_RATE, _BURST = 500.0, 1000.0
_MOST_ERRORS = 20

_log = logging.getLogger(__name__)


class Page:
    """One connected page: its streams, and what waits to be sent to it. Lives in the server's loop."""

    def __init__(self, websocket: WebSocket, number: int, session: str) -> None:
        self.websocket, self.number, self.session = websocket, number, session
        self.streams = {channel: ChannelStream() for channel in CHANNELS}
        self.replies: deque[str] = deque()
        self.status: str | None = None
        self.wake = asyncio.Event()
        self.errors = 0
        self.closing = False
        self._seq = 0
        self._buffers = {channel: bytearray() for channel in CHANNELS}
        self._allowed, self._counted_s = _BURST, time.monotonic()

    def tell(self, message: Mapping[str, Any]) -> None:
        """Queue a message that must not be lost."""
        self.replies.append(json.dumps(message))
        self.wake.set()

    def offer(self, picture: Picture) -> None:
        """Queue the newest picture of a channel."""
        self.streams[picture.frame.channel].offer(picture, time.monotonic_ns())
        self.wake.set()

    def floods(self) -> bool:
        """Count a message; True when there are too many."""
        now_s = time.monotonic()
        self._allowed = min(self._allowed + (now_s - self._counted_s) * _RATE, _BURST) - 1.0
        self._counted_s = now_s
        return self._allowed < 0.0

    async def send_all(self) -> None:
        """Send what waits, for as long as the page is connected: words before pictures."""
        while True:
            await self.wake.wait()
            self.wake.clear()
            await self._send_words()
            for stream in self.streams.values():
                due = stream.next(time.monotonic_ns())
                if due is not None:
                    await self._send_picture(stream, *due)
                    await self._send_words()
                    # There may be more; words and the other channel get their turn first.
                    self.wake.set()

    async def _send_words(self) -> None:
        while self.replies:
            await self._send({"type": "websocket.send", "text": self.replies.popleft()})
        if self.status is not None:
            status, self.status = self.status, None
            await self._send({"type": "websocket.send", "text": status})

    async def _send(self, message: dict[str, Any]) -> None:
        # Nothing may follow a close that is on its way.
        if not self.closing:
            await self.websocket.send(message)

    async def _send_picture(self, stream: ChannelStream, picture: Picture, quality: Quality) -> None:
        frame = picture.frame
        window = stream.window or picture.default_window
        pixels = picture.pixels(quality, window)
        binning = 2 if pixels.shape != frame.pixels.shape else 1
        size = HEADER_BYTES + pixels.nbytes
        if len(self._buffers[frame.channel]) != size:
            self._buffers[frame.channel] = bytearray(size)
        # The socket has taken its copy when send_bytes returns: one buffer per channel is enough.
        buffer = self._buffers[frame.channel]
        self._seq = (self._seq + 1) % 2**32
        sent_ns = time.monotonic_ns()
        applied = window[:2] if pixels.itemsize == 1 else picture.default_window[:2]
        pack_header(
            buffer,
            frame,
            seq=self._seq,
            sent_ns=sent_ns,
            shape=(pixels.shape[0], pixels.shape[1]),
            bytes_per_pixel=pixels.itemsize,
            binning=binning,
            window=applied,
        )
        if pixels.size:
            memoryview(buffer)[HEADER_BYTES:] = pixels.reshape(-1).view(np.uint8).data
        stream.sent(self._seq, sent_ns)
        await self._send({"type": "websocket.send", "bytes": buffer})

    def streaming(self, now_ns: int) -> dict[str, Any]:
        """Return how the LIVE stream does, for the status."""
        live = self.streams["live"]
        p50_ms, p95_ms = live.latency_ms(50), live.latency_ms(95)
        return {
            "painted_fps": live.painted_fps(now_ns),
            "p50_ms": None if p50_ms is None else round(p50_ms, 1),
            "p95_ms": None if p95_ms is None else round(p95_ms, 1),
            "skipped": live.skipped,
            "mode": live.quality.value,
        }


class Hub:
    """Joins the room's threads with the pages in the server's loop."""

    def __init__(self, room: RoomControl) -> None:
        self.ready = threading.Event()
        self._room = room
        self._pages: list[Page] = []
        self._operator: Page | None = None
        self._last_operator_session = ""
        self._numbers = count(1)
        self._latest: dict[str, Picture] = {}
        self._wanted: frozenset[Quality] = frozenset()
        self._refresh: asyncio.Event | None = None
        self._desk: CommandDesk | None = None

    # Life

    async def run(self, ready: asyncio.Event, ended: asyncio.Event) -> None:
        """Serve pages until ``ended``; ``ready`` is set once they may come."""
        loop = asyncio.get_running_loop()
        self._refresh = asyncio.Event()
        self._desk = CommandDesk(self._room)

        def deliver(picture: Picture) -> None:
            loop.call_soon_threadsafe(self._deliver, picture)

        pumps = [
            ChannelPump(self._room, channel, deliver, lambda: self._wanted, self._picture_lost) for channel in CHANNELS
        ]
        asker = ThreadPoolExecutor(1, thread_name_prefix="monitor-status")
        telling = asyncio.create_task(self._tell_status(asker))
        for pump in pumps:
            pump.start()
        ready.set()
        self.ready.set()
        try:
            await ended.wait()
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
            for pump in pumps:
                pump.stop()
            await loop.run_in_executor(asker, self._stop_threads, self._desk, pumps)
            asker.shutdown()  # Its last work is done: only its thread is waited for.

    @staticmethod
    def _stop_threads(desk: CommandDesk, pumps: list[ChannelPump]) -> None:
        desk.stop()
        for pump in pumps:
            pump.join()

    def halt(self) -> None:
        """End any exposure and take no further command; may be called from any thread."""
        if self._desk is not None:
            self._desk.halt()

    # Pages

    @property
    def room(self) -> RoomControl:
        """The room behind the pages."""
        return self._room

    @property
    def full(self) -> bool:
        """Whether no further page is let in."""
        return len(self._pages) >= MAX_PAGES

    async def serve(self, websocket: WebSocket, session: str) -> None:
        """Serve an accepted page until it goes."""
        page = Page(websocket, next(self._numbers), session)
        self._enter(page)
        sending = asyncio.create_task(page.send_all())
        receiving = asyncio.create_task(self._receive(page))
        try:
            await asyncio.wait((sending, receiving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._leave(page)
            for task in (sending, receiving):
                task.cancel()
            results = await asyncio.gather(sending, receiving, return_exceptions=True)
        for result in results:
            # A page may go at any moment; anything else is a fault of ours and is shown as such.
            if isinstance(result, Exception) and not isinstance(result, (WebSocketDisconnect, OSError)):
                raise result

    def _enter(self, page: Page) -> None:
        # A page that reloads gets its seat back; another one does not take it unasked.
        if self._operator is None and (not self._pages or page.session == self._last_operator_session):
            self._seat(page)
        self._pages.append(page)
        operator = page is self._operator
        page.tell({"type": "hello", "version": __version__, "operator": operator, "client": page.number})
        for picture in self._latest.values():
            page.offer(picture)
        self._wake_status()

    def _seat(self, page: Page) -> None:
        self._operator, self._last_operator_session = page, page.session

    def _leave(self, page: Page) -> None:
        if page in self._pages:
            self._pages.remove(page)
        if page is self._operator:
            self._operator = None
            if self._desk is not None:
                self._desk.operator_lost()
        self._wake_status()

    async def _turn_out(self, page: Page, code: int, reason: str) -> None:
        # The seat first: closing waits for a page that may not be reading.
        self._leave(page)
        page.closing = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(page.websocket.close(code, reason), 1.0)

    async def _receive(self, page: Page) -> None:
        while True:
            received = await page.websocket.receive()
            if received["type"] == "websocket.disconnect":
                return
            text = received.get("text")
            if text is None:
                return await self._turn_out(page, 1003, "only text messages")
            if len(text) > MESSAGE_BYTES:
                return await self._turn_out(page, 1009, "message too long")
            if page.floods():
                return await self._turn_out(page, 1008, "too many messages")
            try:
                self._handle(page, parse_message(text))
            except WireError as error:
                page.errors += 1
                if page.errors > _MOST_ERRORS:
                    return await self._turn_out(page, 1008, "too many messages not of the protocol")
                page.tell({"type": "error", "error": str(error)})

    def _handle(self, page: Page, message: Message) -> None:
        match message:
            case Ack(seq=seq):
                now_ns = time.monotonic_ns()
                if any(stream.acked(seq, now_ns) for stream in page.streams.values()):
                    page.wake.set()
            case Heartbeat():
                if page is self._operator and self._desk is not None:
                    self._desk.dead_man.beat()
            case Claim():
                if self._operator is None:
                    self._seat(page)
                self._wake_status()
            case WindowChoice():
                stream = page.streams[CHANNELS[message.channel]]
                stream.window = (message.center, message.width, message.invert)
            case Command():
                self._command(page, message)

    def _command(self, page: Page, command: Command) -> None:
        reply = partial(self._reply, page, command)
        try:
            args = checked_args(command)
        except WireError as error:
            page.tell({"type": "reply", "id": command.id, "ok": False, "error": str(error), "result": {}})
            return
        if page is not self._operator or self._desk is None:
            error_text = "you are watching: only the operator moves the room and gives X-ray"
            page.tell({"type": "reply", "id": command.id, "ok": False, "error": error_text, "result": {}})
            return
        loop = asyncio.get_running_loop()
        future = self._desk.submit(command.name, args)
        future.add_done_callback(lambda done: _into(loop, reply, done))

    def _reply(self, page: Page, command: Command, done: Future[Mapping[str, Any]]) -> None:
        failure = None if done.cancelled() else done.exception()
        answer: dict[str, Any] = {"type": "reply", "id": command.id, "ok": False, "error": None, "result": {}}
        if done.cancelled():
            answer["error"] = f"{command.name} refused: the monitor is closing"
        elif isinstance(failure, RefusedError):
            answer["error"] = str(failure)
            answer["result"] = {"field": failure.field} if failure.field else {}
        elif failure is not None:
            _log.error("command %s failed", command.name, exc_info=failure)
            answer["error"] = f"{command.name} failed: X-ray is off; see the program's log"
            if self._desk is not None:
                self._desk.operator_lost()
        else:
            answer |= {"ok": True, "result": dict(done.result())}
        page.tell(answer)
        self._wake_status()

    # Pictures and status

    def _picture_lost(self) -> None:
        _log.error("a stream of pictures ended: X-ray is off")
        if self._desk is not None:
            self._desk.operator_lost()

    def _deliver(self, picture: Picture) -> None:
        self._latest[picture.frame.channel] = picture
        if picture.frame.kind != "live":
            self._wake_status()
        for page in self._pages:
            page.offer(picture)
        self._wanted = frozenset(s.quality for p in self._pages for s in p.streams.values()) - {Quality.FULL}

    def _wake_status(self) -> None:
        if self._refresh is not None:
            self._refresh.set()

    def _snapshot(self) -> tuple[str, bool]:
        status = self._room.status()
        return json.dumps(status, allow_nan=False), status["state"] == "EXPOSING"

    async def _tell_status(self, asker: ThreadPoolExecutor) -> None:
        assert_refresh = self._refresh
        if assert_refresh is None:
            return
        loop = asyncio.get_running_loop()
        before, told_s, failing = ("", False), 0.0, False
        while True:
            try:
                await asyncio.wait_for(assert_refresh.wait(), _TICK_S)
                asked = True
            except TimeoutError:
                asked = False
            assert_refresh.clear()
            now_ns = time.monotonic_ns()
            for page in self._pages:
                if any(stream.refinable(now_ns) for stream in page.streams.values()):
                    page.wake.set()
            done = await asyncio.wait([loop.run_in_executor(asker, self._snapshot)])
            result = next(iter(done[0]))
            failure = result.exception()
            if failure is not None:
                if not failing:
                    _log.error("the room's status cannot be told", exc_info=failure)
                failing = True
                continue
            failing = False
            now, exposing = result.result(), result.result()[1]
            if asked or exposing or now != before or time.monotonic() - told_s >= _STATUS_S:
                before, told_s = now, time.monotonic()
                self._broadcast(now[0])

    def _broadcast(self, shared: str) -> None:
        now_ns = time.monotonic_ns()
        for page in self._pages:
            own = json.dumps(
                {
                    "type": "status",
                    "server_ns": now_ns,
                    "operator": page is self._operator,
                    "operator_present": self._operator is not None,
                    "viewers": sum(p is not self._operator for p in self._pages),
                    "stream": page.streaming(now_ns),
                }
            )
            # The room's part is made into text once for all pages.
            page.status = f"{own[:-1]}, {shared[1:]}" if len(shared) > 2 else own
            page.wake.set()

    def statistics(self) -> dict[str, Any]:
        """Return figures of every page and of the dead-man; may be called from any thread."""
        now_ns = time.monotonic_ns()
        pages = []
        for page in list(self._pages):
            channels = {}
            for name, stream in page.streams.items():
                channels[name] = {
                    "offered": stream.offered,
                    "sent": stream.sent_count,
                    "painted": stream.painted,
                    "skipped": stream.skipped,
                    "unacked": stream.unacked,
                    "mode": stream.quality.value,
                    "painted_fps": stream.painted_fps(now_ns),
                    "longest_gap_ms": stream.longest_gap_ms(),
                    "p50_ms": stream.latency_ms(50),
                    "p95_ms": stream.latency_ms(95),
                }
            pages.append({"client": page.number, "operator": page is self._operator, "channels": channels})
        expired = self._desk.dead_man.expired if self._desk is not None else 0
        return {"pages": pages, "heartbeats_lost": expired}


def _into(loop: asyncio.AbstractEventLoop, reply: Any, done: Future[Mapping[str, Any]]) -> None:
    # The loop may have ended while the command was carried out: then nobody waits for the reply.
    if not loop.is_closed():
        loop.call_soon_threadsafe(reply, done)
