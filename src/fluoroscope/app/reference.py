"""The REFERENCE monitor: stored images, the held image, and runs played again at their own rate."""

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fluoroscope.acquisition.clock import Clock
from fluoroscope.monitor.control import MonitorFrame, RefusedError

__all__ = ["PlayedRun", "ReferenceMonitor", "ReferencePicture"]


@dataclass(frozen=True, slots=True)
class ReferencePicture:
    """A picture to look at again, and what it was taken with (JSON-ready, for the page)."""

    pixels: NDArray[np.uint16]
    window: tuple[float, float]
    pitch_mm: float | None
    index: int
    event_number: int
    label: str
    taken: dict[str, Any]


class PlayedRun(Protocol):
    """A recorded run: pictures made when asked for, and the time of each from the first, s."""

    @property
    def times_s(self) -> Sequence[float]:
        """Time of each picture from the first, s, rising."""
        ...

    def picture(self, index: int) -> ReferencePicture:
        """Return one picture."""
        ...

    def close(self) -> None:
        """Let go of its file."""
        ...


class ReferenceMonitor:
    """Holds the newest picture of the REFERENCE channel; a thread plays runs.

    Parameters
    ----------
    clock
        Paces replays and stamps pictures with the time they are shown.
    show
        Told of each new picture.
    """

    def __init__(self, clock: Clock, show: Callable[[MonitorFrame], None]) -> None:
        self._clock, self._show = clock, show
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._replay: dict[str, Any] = {"playing": False, "clip": None, "frame": 0, "frames": 0}
        self._taken: dict[str, Any] | None = None

    def status(self) -> dict[str, Any]:
        """Return the replay part of the status."""
        with self._lock:
            return dict(self._replay)

    @property
    def taken(self) -> dict[str, Any] | None:
        """With what the picture now shown was taken."""
        with self._lock:
            return self._taken

    def put(self, picture: ReferencePicture) -> None:
        """Show a still picture; a replay ends."""
        self.stop()
        self._present(picture)

    def clear(self) -> None:
        """Show nothing."""
        self.stop()
        with self._lock:
            self._taken = None
        empty = np.zeros((0, 0), dtype=np.uint16)
        self._show(MonitorFrame("reference", "stored", empty, self._clock.monotonic_ns(), 0.0, 1.0, None, 0, 0))

    def play(self, run: PlayedRun, event_number: int) -> None:
        """Play a run once, at its own times; the last picture stays."""
        self.stop()
        if not run.times_s:
            raise RefusedError(f"run {event_number} has no pictures")
        with self._lock:
            self._stop = threading.Event()
            self._replay = {"playing": True, "clip": event_number, "frame": 0, "frames": len(run.times_s)}
            stop = self._stop
        self._thread = threading.Thread(target=self._play, args=(run, stop), name="replay", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End a replay; the picture shown stays."""
        with self._lock:
            self._stop.set()
            self._replay["playing"] = False
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _play(self, run: PlayedRun, stop: threading.Event) -> None:
        with contextlib.closing(run):
            self._play_pictures(run, stop)

    def _play_pictures(self, run: PlayedRun, stop: threading.Event) -> None:
        begin_ns = self._clock.monotonic_ns()
        times = list(run.times_s)
        index = 0
        while index < len(times):
            due_ns = begin_ns + round(times[index] * 1e9)
            # A slow computer skips pictures rather than playing the run slower than it was.
            late_s = (self._clock.monotonic_ns() - begin_ns) / 1e9
            while index + 1 < len(times) and times[index + 1] <= late_s:
                index += 1
            if not self._clock.wait_until(due_ns, stop):
                return
            self._present(run.picture(index))
            with self._lock:
                self._replay["frame"] = index
            index += 1
        with self._lock:
            if self._stop is stop:
                self._replay["playing"] = False

    def _present(self, picture: ReferencePicture) -> None:
        with self._lock:
            self._taken = picture.taken
        center, width = picture.window
        self._show(
            MonitorFrame(
                "reference",
                "stored",
                picture.pixels,
                self._clock.monotonic_ns(),
                center,
                width,
                picture.pitch_mm,
                picture.index,
                picture.event_number,
                picture.label,
            )
        )
