"""What the page may ask of the fluoroscopy room, and what it is told: the port that ``app`` implements."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Asset", "MonitorFrame", "RefusedError", "RoomControl"]


class RefusedError(ValueError):
    """A command the room will not carry out; the message is shown on the page: what, where, what to do.

    ``field`` names the argument it is about, "" when it is about no single one.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Asset:
    """Something the page asks for beside the status: a patient's thumbnail, a table of choices, a shape."""

    content: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class MonitorFrame:
    """One picture on its way to the page.

    Attributes
    ----------
    channel
        "live" or "reference".
    kind
        "live" (X-ray on), "hold" (last image hold), "stored" (a stored image or replayed run).
    pixels
        uint16 (rows, columns), DISP; never written to again. (0, 0) clears the monitor (another patient).
    acquired_ns
        Monotonic, the clock of the server process; of kinds hold and stored when it was put on its monitor.
        Must grow with every picture of a channel.
    window_center, window_width
        The default display window of the run, in pixel values.
    pitch_mm
        At the detector; None when not known.
    index, event_number
        Frame within its event, event within the exam.
    label
        Shown with the picture, such as "run 2, 14:03:11"; 24 bytes of UTF-8 are sent.
    """

    channel: str
    kind: str
    pixels: NDArray[np.uint16]
    acquired_ns: int
    window_center: float
    window_width: float
    pitch_mm: float | None
    index: int
    event_number: int
    label: str = ""


class RoomControl(Protocol):
    """The room behind the page. Methods are called from the server's threads and must return within 50 ms."""

    def status(self) -> Mapping[str, Any]:
        """Return a JSON-ready snapshot (keys: see docs/reference/page-protocol.md)."""
        ...

    def command(self, name: str, args: Mapping[str, Any]) -> Mapping[str, Any]:
        """Carry out a command of the operator; raise `RefusedError` with a sentence for the user."""
        ...

    def latest(self, channel: str, after_ns: int, timeout_s: float) -> MonitorFrame | None:
        """Wait up to ``timeout_s`` for a frame of ``channel`` after ``after_ns``; the newest, or None."""
        ...

    def asset(self, name: str) -> Asset | None:
        """Return what the page may fetch under ``/room/<name>``; None when there is nothing of that name."""
        ...

    def operator_lost(self) -> None:
        """End any exposure now: the operator's connection or heartbeat is gone. Must return at once."""
        ...
