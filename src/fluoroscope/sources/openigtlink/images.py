"""Pictures that a peer sends as a source of frames: a frame grabber's, another C-arm program's."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fluoroscope.acquisition.clock import Clock
from fluoroscope.acquisition.frame import Frame, PixelIntensity, Provenance
from fluoroscope.acquisition.protocols import SourceError, SourceInfo
from fluoroscope.beam.technique import Technique
from fluoroscope.sources.openigtlink.client import LinkAddress, LinkClient
from fluoroscope.sources.openigtlink.messages import Image
from fluoroscope.sources.openigtlink.reader import Arrived, Limits

__all__ = ["GivenPicture", "LinkFrameSource", "LinkPictures", "PictureFeed", "gray"]

_SILENT_S = 5.0
"""Without a picture for so long while they are wanted, the source counts as lost."""
_LUMA = np.array([0.299, 0.587, 0.114])
"""ITU-R BT.601."""


@dataclass(frozen=True, slots=True)
class GivenPicture:
    """A picture as it came: its number (from 1, none left out), monotonic time ns, uint16 (rows, columns)."""

    number: int
    received_ns: int
    pixels: NDArray[np.uint16]


class PictureFeed(Protocol):
    """Where a `LinkFrameSource` takes pictures from."""

    name: str

    @property
    def newest(self) -> int:
        """Number of the newest picture that came; 0 before the first."""
        ...

    def after(self, number: int, clock: Clock, released: threading.Event) -> GivenPicture | None:
        """Wait for a picture newer than ``number`` and return the newest; None once ``released`` is set.

        Raises
        ------
        SourceError
            When none comes.
        """
        ...

    def close(self) -> None:
        """Let go of the peer."""
        ...


def gray(pixels: NDArray[np.generic]) -> NDArray[np.uint16]:
    """Return (rows, columns) uint16 of a picture of a peer; colours as their luma.

    Raises
    ------
    ValueError
        For a volume, for numbers below 0 or with fractions.
    """
    if pixels.ndim == 3 and pixels.shape[-1] in (3, 4):
        pixels = np.rint(pixels[..., :3] @ _LUMA).astype(np.uint16)
    if pixels.ndim != 2:
        raise ValueError(f"the peer sends a volume {pixels.shape}; one picture at a time is taken")
    if pixels.dtype.kind == "i" and pixels.size and pixels.min() < 0:
        raise ValueError("the peer's picture has values below 0; send uint8 or uint16")
    if pixels.dtype.kind not in "ui" or (pixels.dtype.itemsize > 2 and pixels.max() > 0xFFFF):
        raise ValueError(f"the peer sends {pixels.dtype}; send uint8 or uint16")
    return pixels.astype(np.uint16)


class LinkPictures:
    """The newest picture of a peer.

    Parameters
    ----------
    address
        The peer's.
    device
        Take this device's pictures only; those of the first that sends when empty.
    """

    def __init__(self, address: LinkAddress, device: str = "") -> None:
        self.name = str(address)
        self._device = device
        self._came = threading.Condition()
        self._newest: GivenPicture | None = None
        self._refused = ""
        self._client = LinkClient(address, self._take, limits=Limits(kinds=frozenset({"IMAGE"})))

    @property
    def newest(self) -> int:
        """Number of the newest picture that came; 0 before the first."""
        with self._came:
            return 0 if self._newest is None else self._newest.number

    @property
    def device(self) -> str:
        """Whose pictures these are; "" before the first."""
        return self._device

    def first(self, timeout_s: float) -> GivenPicture:
        """Return the first picture; raise `SourceError` when none came in ``timeout_s``."""
        with self._came:
            if not self._came.wait_for(lambda: self._newest is not None, timeout_s) or self._newest is None:
                raise SourceError(self._silence(timeout_s))
            return self._newest

    def after(self, number: int, clock: Clock, released: threading.Event) -> GivenPicture | None:
        """Wait for a picture newer than ``number``; see `PictureFeed`."""
        until_ns = clock.monotonic_ns() + round(_SILENT_S * 1e9)
        while not released.is_set():
            with self._came:
                if self._newest is not None and self._newest.number > number:
                    return self._newest
                # Short, as a release does not wake this wait.
                self._came.wait(0.02)
            if clock.monotonic_ns() > until_ns:
                raise SourceError(self._silence(_SILENT_S))
        return None

    def close(self) -> None:
        """Let go of the peer."""
        self._client.close()

    def _silence(self, waited_s: float) -> str:
        why = self._client.reason or self._refused or "it is connected but sends no IMAGE"
        return f"{self.name}: no picture for {waited_s:g} s ({why}); check the peer, then press again"

    def _take(self, arrived: Arrived) -> None:
        content = arrived.content
        if not isinstance(content, Image) or (self._device and arrived.device != self._device):
            return
        try:
            pixels = gray(content.pixels)
        except ValueError as error:
            self._refused = str(error)
            return
        with self._came:
            self._device = arrived.device
            number = 1 if self._newest is None else self._newest.number + 1
            self._newest = GivenPicture(number, arrived.received_ns, pixels)
            self._came.notify_all()


class LinkFrameSource:
    """Frames of a peer's pictures; implements `FrameSource` and `Exposable`.

    The pedal decides which pictures are taken; whether X-ray is on is the peer's affair. Each frame is as old as its
    arrival here. Pictures that came while the last was still worked on are dropped and counted. Where the C-arm stood,
    technique, pitch and dose are not known.

    Parameters
    ----------
    feed
        Where pictures come from.
    clock
        Injected time.
    shape
        Rows and columns of a picture; a run with others is refused.
    rate_hz
        As far as known.
    provenance
        Of the frames; recorded where the peer plays a recording.
    """

    def __init__(
        self,
        feed: PictureFeed,
        clock: Clock,
        shape: tuple[int, int],
        rate_hz: float,
        provenance: Provenance = Provenance.LIVE,
    ) -> None:
        self._feed, self._clock, self._shape, self._rate_hz = feed, clock, shape, rate_hz
        self._provenance = provenance
        self._event_uid = ""
        self._released = threading.Event()
        self._released.set()
        self._from = 0
        self._dropped = 0
        self._closed = False

    @property
    def info(self) -> SourceInfo:
        """What is known of the peer's pictures."""
        return SourceInfo(
            name=f"OpenIGTLink {self._feed.name}",
            manufacturer="",
            model="",
            provenance=self._provenance,
            intensity=PixelIntensity.DISP,
            rows=self._shape[0],
            columns=self._shape[1],
            nominal_rate_hz=self._rate_hz,
        )

    @property
    def dropped_pulses(self) -> int:
        """Pictures dropped since `frames` was last called."""
        return self._dropped

    def press(self, technique: Technique, event_uid: str) -> None:
        """Take the pictures that come from now on; the technique is not used.

        Raises
        ------
        SourceError
            When the source is closed, or taking pictures already.
        """
        if self._closed:
            raise SourceError(f"{self._feed.name}: closed; open it again")
        if not self._released.is_set():
            raise SourceError(f"{self._feed.name}: pictures are taken already; release first")
        self._event_uid, self._from, self._released = event_uid, self._feed.newest, threading.Event()

    def release(self) -> None:
        """Take no more pictures. May be called from any thread, and twice."""
        self._released.set()

    def frames(self) -> Iterator[Frame]:
        """Yield the pictures of the press that is now on.

        Raises
        ------
        SourceError
            When none comes for 5 s, or one of another size.
        """
        self._dropped = 0
        return self._take(self._event_uid, self._from, self._released)

    def close(self) -> None:
        """Let go of the peer. May be called twice."""
        if not self._closed:
            self._closed = True
            self.release()
            self._feed.close()

    def _take(self, event_uid: str, number: int, released: threading.Event) -> Iterator[Frame]:
        delivered = 0
        while not released.is_set():
            given = self._feed.after(number, self._clock, released)
            if given is None or released.is_set():
                return
            if given.pixels.shape != self._shape:
                raise SourceError(
                    f"{self._feed.name}: a picture of {given.pixels.shape} in a run of {self._shape}; open it again"
                )
            self._dropped += given.number - number - 1
            number = given.number
            yield Frame(
                uid=f"{event_uid}/{delivered}",
                event_uid=event_uid,
                index=delivered,
                acquired_ns=given.received_ns,
                pixels=given.pixels,
                intensity=PixelIntensity.DISP,
                provenance=self._provenance,
            )
            delivered += 1
