"""What the live loop keeps of one press, its settings, and how it words an error."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from fluoroscope.acquisition.frame import Frame
from fluoroscope.imagechain.chain import DisplayWindow
from fluoroscope.live.irradiation import IrradiationBuilder

__all__ = ["LoopSettings", "Run", "sentence"]


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """What rarely changes about a live loop.

    Attributes
    ----------
    ring_pictures
        How many of the last pictures are kept for looking back, at least 1.
    window_of
        Gives the display window a recorded clip brings with it, from the first frame of a run; None lets the
        image chain find it.
    """

    ring_pictures: int = 32
    window_of: Callable[[Frame], DisplayWindow | None] | None = None

    def __post_init__(self) -> None:
        if self.ring_pictures < 1:
            raise ValueError(f"the ring keeps at least 1 picture, got {self.ring_pictures}")


@dataclass(slots=True)
class Run:
    """One press, from pedal down to its irradiation event."""

    uid: str
    number: int
    builder: IrradiationBuilder
    pulses: int = 0
    dropped: int = 0
    released_ns: int | None = None
    over: threading.Event = field(default_factory=threading.Event)


def sentence(error: Exception) -> str:
    """Return one line for the operator."""
    text = " ".join(str(error).split())
    return text if text else type(error).__name__
