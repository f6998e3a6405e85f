"""Pictures on their way: credits, the newest always, and smaller pictures for a page that cannot keep up."""

import threading
from collections import deque
from collections.abc import Callable
from enum import Enum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fluoroscope.imagechain.window import apply_window
from fluoroscope.monitor.control import MonitorFrame, RoomControl

__all__ = ["CREDITS", "ChannelPump", "ChannelStream", "Picture", "Quality", "bin_pixels"]

CREDITS = 2
_SECOND_NS = 1_000_000_000
_JUDGE_NS = 2 * _SECOND_NS
_REFINE_NS = 300_000_000
_FIRST_PATIENCE_NS = 10 * _SECOND_NS
_LONGEST_PATIENCE_NS = 160 * _SECOND_NS
_KEEPS_UP, _FALLS_BEHIND = 0.95, 0.6
_LATE_NS = 100_000_000

Window = tuple[float, float, bool]


class Quality(Enum):
    """What a page is sent, from the best down."""

    FULL = "full"
    BINNED = "binned"
    EIGHT_BIT = "8-bit"


_DOWN = {
    Quality.FULL: Quality.BINNED,
    Quality.BINNED: Quality.EIGHT_BIT,
    Quality.EIGHT_BIT: Quality.EIGHT_BIT,
}
_UP = {Quality.EIGHT_BIT: Quality.BINNED, Quality.BINNED: Quality.FULL, Quality.FULL: Quality.FULL}


def bin_pixels(pixels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return 2×2 means, rounded half up; an odd last row or column is left out."""
    rows, columns = pixels.shape[0] // 2 * 2, pixels.shape[1] // 2 * 2
    # Sums of four 16-bit values need 18 bits.
    pairs = pixels[0:rows:2, :columns].astype(np.uint32)
    pairs += pixels[1:rows:2, :columns]
    total = pairs[:, 0::2] + pairs[:, 1::2]
    total += 2
    total >>= 2
    return total.astype(np.uint16)


class Picture:
    """A frame and its smaller forms, each made once however many pages want it."""

    def __init__(self, frame: MonitorFrame) -> None:
        self.frame = frame
        self._full = np.ascontiguousarray(frame.pixels, dtype="<u2")
        self._binned: NDArray[np.uint16] | None = None
        self._gray: dict[Window, NDArray[np.uint8]] = {}

    def pixels(self, quality: Quality, window: Window | None = None) -> NDArray[np.uint16] | NDArray[np.uint8]:
        """Return contiguous pixels; ``window`` (centre, width, invert) is that of EIGHT_BIT."""
        if quality is Quality.FULL or min(self._full.shape) < 2:
            return self._full
        if self._binned is None:
            self._binned = bin_pixels(self._full)
        if quality is Quality.BINNED:
            return self._binned
        chosen = window or self.default_window
        if chosen not in self._gray:
            self._gray[chosen] = apply_window(self._binned, chosen[0], chosen[1], invert=chosen[2])
        return self._gray[chosen]

    @property
    def default_window(self) -> Window:
        """The window of the run, not inverted."""
        return self.frame.window_center, max(self.frame.window_width, 1.0), False


class ChannelStream:
    """What one page still owes for one channel, and what it gets next. Times are given, never read.

    Lives in the server's loop; the figures may be read from any thread (they are copied first).
    """

    def __init__(self) -> None:
        self.quality = Quality.FULL
        self.window: Window | None = None
        self.offered = self.sent_count = self.painted = self.skipped = 0
        self._waiting: Picture | None = None
        self._last: tuple[Picture, Quality] | None = None
        self._unacked: dict[int, int] = {}
        self._latencies_ns: deque[int] = deque(maxlen=120)
        self._recent_ns: deque[int] = deque(maxlen=120)
        self._paints_ns: deque[int] = deque(maxlen=120)
        self._offered_ns = 0
        self._judged = (0, 0, 0)
        self._good_since_ns: int | None = None
        self._patience_ns = _FIRST_PATIENCE_NS
        self._stepped_up_ns = 0

    @property
    def unacked(self) -> int:
        """Pictures sent and not yet painted."""
        return len(self._unacked)

    def offer(self, picture: Picture, now_ns: int) -> None:
        """Take the newest picture; one that still waited is skipped."""
        if now_ns - self._offered_ns > _SECOND_NS:
            self._judged = (now_ns, self.offered, self.painted)
        self.offered += 1
        self.skipped += self._waiting is not None
        self._waiting = picture
        self._offered_ns = now_ns
        self._judge(now_ns)

    def next(self, now_ns: int) -> tuple[Picture, Quality] | None:
        """Return what to send now, if anything and if there is credit."""
        if len(self._unacked) >= CREDITS:
            return None
        if self._waiting is not None:
            picture, self._waiting = self._waiting, None
            # A held image stays to be looked at: it is worth the wait.
            self._last = picture, Quality.FULL if picture.frame.kind == "hold" else self.quality
            return self._last
        if self.refinable(now_ns) and self._last is not None:
            self._last = self._last[0], Quality.FULL
            return self._last
        return None

    def refinable(self, now_ns: int) -> bool:
        """Tell whether the stream rests on a lesser picture that should be sent again in full."""
        rests = self._waiting is None and not self._unacked and now_ns - self._offered_ns > _REFINE_NS
        return rests and self._last is not None and self._last[1] is not Quality.FULL

    def sent(self, seq: int, now_ns: int) -> None:
        """Note that picture ``seq`` went out."""
        self._unacked[seq] = now_ns
        self.sent_count += 1

    def acked(self, seq: int, now_ns: int) -> bool:
        """Give back the credit of ``seq`` and of older pictures; False when it was not owed."""
        if seq not in self._unacked:
            return False
        self._latencies_ns.append(now_ns - self._unacked[seq])
        self._recent_ns.append(now_ns - self._unacked[seq])
        self._paints_ns.append(now_ns)
        # A page that paints only the newest of two has thereby done with the older.
        for older in [s for s in self._unacked if s <= seq]:
            del self._unacked[older]
        self.painted += 1
        return True

    def latency_ms(self, percent: float) -> float | None:
        """Return a percentile of sent-to-painted of the last 120 pictures; None before the first."""
        latencies_ns = tuple(self._latencies_ns)
        return float(np.percentile(latencies_ns, percent)) / 1e6 if latencies_ns else None

    def painted_fps(self, now_ns: int) -> float:
        """Return pictures painted in the last second."""
        return float(sum(now_ns - t <= _SECOND_NS for t in tuple(self._paints_ns)))

    def longest_gap_ms(self) -> float | None:
        """Return the longest time between two paints of the last 120."""
        gaps = [b - a for a, b in pairwise(tuple(self._paints_ns))]
        return max(gaps) / 1e6 if gaps else None

    def _judge(self, now_ns: int) -> None:
        since_ns, offered, painted = self._judged
        offered, painted = self.offered - offered, self.painted - painted
        if now_ns - since_ns < _JUDGE_NS or offered < 10:
            return
        self._judged = (now_ns, self.offered, self.painted)
        # Late alone may be a long line to a page that keeps up; late and dropping is a page that cannot.
        late = bool(self._recent_ns) and float(np.median(self._recent_ns)) > _LATE_NS
        self._recent_ns.clear()
        behind = painted < (_KEEPS_UP if late else _FALLS_BEHIND) * offered
        if behind and self.quality is not Quality.EIGHT_BIT:
            # Better was tried too early: wait twice as long before the next try.
            if now_ns - self._stepped_up_ns < _FIRST_PATIENCE_NS:
                self._patience_ns = min(2 * self._patience_ns, _LONGEST_PATIENCE_NS)
            self.quality, self._good_since_ns = _DOWN[self.quality], None
        elif painted < _KEEPS_UP * offered:
            self._good_since_ns = None
        elif self._good_since_ns is None:
            self._good_since_ns = since_ns
        elif now_ns - self._good_since_ns >= self._patience_ns and self.quality is not Quality.FULL:
            self.quality, self._good_since_ns, self._stepped_up_ns = _UP[self.quality], None, now_ns


class ChannelPump:
    """One thread per channel: waits for the room's newest frame and hands it to all pages."""

    def __init__(
        self,
        room: RoomControl,
        channel: str,
        deliver: Callable[[Picture], None],
        wanted: Callable[[], frozenset[Quality]],
        died: Callable[[], None],
    ) -> None:
        self._room, self._channel, self._deliver, self._wanted = room, channel, deliver, wanted
        self._died = died
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"monitor-{channel}", daemon=True)

    def start(self) -> None:
        """Start waiting for frames."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; it does within a quarter of a second."""
        self._stopped.set()

    def join(self) -> None:
        """Wait for the thread's end."""
        self._thread.join(5.0)

    def _run(self) -> None:
        try:
            self._pass_on()
        finally:
            # Without pictures nobody sees what the X-ray does: a thread that ends unasked ends it too.
            if not self._stopped.is_set():
                self._died()

    def _pass_on(self) -> None:
        after_ns = 0
        while not self._stopped.is_set():
            frame = self._room.latest(self._channel, after_ns, 0.25)
            if frame is None:
                # A room that is closed answers at once: do not spin on it.
                self._stopped.wait(0.005)
                continue
            after_ns = frame.acquired_ns
            picture = Picture(frame)
            for quality in self._wanted():
                picture.pixels(quality)
            self._deliver(picture)
