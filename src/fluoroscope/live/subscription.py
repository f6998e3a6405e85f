"""How the pictures of the live loop reach those who want them: every one, or always the newest."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from fluoroscope.acquisition.event import IrradiationEvent
from fluoroscope.acquisition.frame import Frame

__all__ = ["EventEnded", "LivePicture", "PictureKind", "Policy", "Subscription", "SubscriptionStatus"]


class PictureKind(Enum):
    """A picture made with X-ray on, or the last image hold."""

    LIVE = "live"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class LivePicture:
    """A frame that went through the image chain.

    Attributes
    ----------
    kind
        Live or hold.
    shown
        The DISP frame.
    raw
        The frame as the source gave it; None for a hold, which is an average.
    window
        Centre and width of the display window of the run, pixel values.
    event_number
        The press it belongs to, from 1 within the exam.
    published_ns
        Monotonic time at which it was ready, ns; grows from picture to picture.
    """

    kind: PictureKind
    shown: Frame
    raw: Frame | None
    window: tuple[float, float]
    event_number: int
    published_ns: int


@dataclass(frozen=True, slots=True)
class EventEnded:
    """Comes after the last picture of a press, to LOSSLESS subscribers only."""

    event: IrradiationEvent


class Policy(Enum):
    """What happens to a picture that a subscriber has no time for."""

    LOSSLESS = "lossless"
    LATEST = "latest"


@dataclass(frozen=True, slots=True)
class SubscriptionStatus:
    """How a subscriber keeps up."""

    name: str
    policy: Policy
    queued: int
    skipped: int


class Subscription:
    """One subscriber's end. Made by `LiveLoop.subscribe`; `get` from any one thread.

    Parameters
    ----------
    name
        Shown in the status and in the reason of a fault.
    policy
        LOSSLESS: every picture is queued, and a full queue is a fault that ends the exposure. LATEST: a
        picture not yet taken is replaced by the next and counted in `skipped`.
    capacity
        Length of the queue of a LOSSLESS subscriber, pictures.
    on_failure, on_close
        Called with a sentence when the subscriber cannot go on; called when it closes.
    """

    def __init__(
        self,
        name: str,
        policy: Policy,
        capacity: int,
        on_failure: Callable[[str], None],
        on_close: Callable[["Subscription"], None],
    ) -> None:
        if capacity < 1:
            raise ValueError(f"a queue holds at least 1 picture, got {capacity}")
        self.name = name
        self.policy = policy
        self._capacity = capacity
        self._on_failure = on_failure
        self._on_close = on_close
        self._queue: deque[LivePicture | EventEnded] = deque()
        self._ready = threading.Condition()
        self._skipped = 0
        self._closed = False

    @property
    def skipped(self) -> int:
        """Pictures never seen: replaced by a newer one, or refused by a full queue."""
        with self._ready:
            return self._skipped

    @property
    def closed(self) -> bool:
        """Whether nothing more will come once the queue is empty."""
        with self._ready:
            return self._closed

    def status(self) -> SubscriptionStatus:
        """Return how this subscriber keeps up."""
        with self._ready:
            return SubscriptionStatus(self.name, self.policy, len(self._queue), self._skipped)

    def get(self, timeout_s: float) -> LivePicture | EventEnded | None:
        """Return the next item, waiting at most ``timeout_s``; None when none came or all is over."""
        with self._ready:
            self._ready.wait_for(lambda: self._queue or self._closed, timeout_s)
            return self._queue.popleft() if self._queue else None

    def offer(self, item: LivePicture | EventEnded) -> bool:
        """Queue an item (the loop's side); False when a LOSSLESS queue is full and the item is lost."""
        with self._ready:
            if self._closed or (self.policy is Policy.LATEST and isinstance(item, EventEnded)):
                return True
            if self.policy is Policy.LATEST and self._queue:
                self._queue.clear()
                self._skipped += 1
            # The end of an event is always told, so that what was recorded is closed.
            if len(self._queue) >= self._capacity and isinstance(item, LivePicture):
                self._skipped += 1
                return False
            self._queue.append(item)
            self._ready.notify_all()
            return True

    def fail(self, reason: str) -> None:
        """Say that this subscriber cannot go on: the loop ends the exposure and goes to FAULT."""
        self._on_failure(reason)

    def close(self) -> None:
        """Take no more pictures; those queued can still be taken. May be called twice."""
        self.end()
        self._on_close(self)

    def end(self) -> None:
        """Mark the end (the loop's side)."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()
