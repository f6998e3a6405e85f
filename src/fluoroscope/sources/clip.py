"""A recorded run as a source: the pedal plays it at its own frame times, through the live chain."""

import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fluoroscope.acquisition.clock import Clock
from fluoroscope.acquisition.frame import Frame, PixelIntensity, Provenance
from fluoroscope.acquisition.protocols import SourceError, SourceInfo
from fluoroscope.beam.technique import Technique

__all__ = ["ClipSource", "PlayableClip"]


class PlayableClip(Protocol):
    """What a recorded run must offer to be played; `fluoroscope.dicom.xa.Clip` does."""

    @property
    def name(self) -> str:
        """What the run is called, such as its file's name."""
        ...

    @property
    def rows(self) -> int:
        """Rows of a frame."""
        ...

    @property
    def columns(self) -> int:
        """Columns of a frame."""
        ...

    @property
    def frame_times_ms(self) -> Sequence[float]:
        """When each frame was taken, ms from the first; as many as frames."""
        ...

    @property
    def rate_hz(self) -> float:
        """Mean frame rate."""
        ...

    @property
    def intensity(self) -> PixelIntensity:
        """What a pixel means."""
        ...

    @property
    def pitch_mm(self) -> float | None:
        """Pixel pitch at the detector, mm, when known."""
        ...

    @property
    def manufacturer(self) -> str:
        """Of the machine that made it."""
        ...

    @property
    def model(self) -> str:
        """Of the machine that made it."""
        ...

    def frame(self, index: int) -> NDArray[np.uint16]:
        """Return frame ``index`` from 0; raises ValueError when it cannot be decoded."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


@dataclass(frozen=True, slots=True)
class _Exposure:
    """One press of the pedal."""

    event_uid: str
    start_ns: int
    released: threading.Event


class ClipSource:
    """Plays a recorded run; implements `FrameSource` and `Exposable`.

    A press starts at the first frame. Frames come at the clip's own times by the injected clock; a frame that
    is a whole interval late is dropped and counted, never queued. Stored pixel values pass unchanged (an
    8-bit clip gives 0 to 255): no window or rescale is applied here. Technique and dose are not known.

    Parameters
    ----------
    clip
        The run; closed by `close`.
    clock
        Injected time.
    repeat
        Begin again after the last frame; else `frames` ends there.
    """

    def __init__(self, clip: PlayableClip, clock: Clock, repeat: bool = True) -> None:
        self._clip = clip
        self._clock = clock
        self._repeat = repeat
        self._times_ns = [round(t * 1e6) for t in clip.frame_times_ms]
        # After the last frame one mean interval passes before the first comes again.
        self._period_ns = self._times_ns[-1] + round(1e9 / clip.rate_hz)
        self._exposure: _Exposure | None = None
        self._dropped = 0
        self._closed = False

    @property
    def info(self) -> SourceInfo:
        """What the clip is."""
        clip = self._clip
        return SourceInfo(
            name=clip.name,
            manufacturer=clip.manufacturer,
            model=clip.model,
            provenance=Provenance.RECORDED,
            intensity=clip.intensity,
            rows=clip.rows,
            columns=clip.columns,
            nominal_rate_hz=clip.rate_hz,
        )

    @property
    def dropped_pulses(self) -> int:
        """Frames dropped since `frames` was last called."""
        return self._dropped

    def press(self, technique: Technique, event_uid: str) -> None:
        """Play from the first frame; the technique is that of the recording and cannot be set.

        Raises
        ------
        SourceError
            When the source is closed, or playing already.
        """
        if self._closed:
            raise SourceError(f"{self._clip.name}: the clip is closed; open it again")
        if self._exposure is not None and not self._exposure.released.is_set():
            raise SourceError(f"{self._clip.name}: the clip is playing already; release first")
        self._exposure = _Exposure(event_uid, self._clock.monotonic_ns(), threading.Event())

    def release(self) -> None:
        """Stop playing: no frame comes after this returns. May be called from any thread, and twice."""
        exposure = self._exposure
        if exposure is not None:
            exposure.released.set()

    def frames(self) -> Iterator[Frame]:
        """Yield the frames of the press that is now on.

        Raises
        ------
        SourceError
            When a frame cannot be decoded.
        """
        self._dropped = 0
        exposure = self._exposure
        return iter(()) if exposure is None else self._play(exposure)

    def clip_index(self, frame: Frame) -> int | None:
        """Return which of the clip's frames ``frame`` is, from 0; None when it is not of the last press."""
        exposure = self._exposure
        if exposure is None or exposure.event_uid != frame.event_uid:
            return None
        return self._newest_due(frame.acquired_ns - exposure.start_ns) % len(self._times_ns)

    def close(self) -> None:
        """Stop and close the clip. May be called twice."""
        self._closed = True
        self.release()
        self._clip.close()

    def _play(self, exposure: _Exposure) -> Iterator[Frame]:
        count = len(self._times_ns)
        following = 0
        delivered = 0
        while not exposure.released.is_set():
            newest = self._newest_due(self._clock.monotonic_ns() - exposure.start_ns)
            number = max(following, newest)
            if not self._repeat and number >= count:
                self._dropped += count - min(following, count)
                return
            self._dropped += number - following
            # Decoded before its time comes, so that it leaves on time.
            pixels = self._decoded(number % count)
            due_ns = exposure.start_ns + number // count * self._period_ns + self._times_ns[number % count]
            if not self._clock.wait_until(due_ns, exposure.released):
                return
            following = number + 1
            yield Frame(
                uid=f"{exposure.event_uid}/{delivered}",
                event_uid=exposure.event_uid,
                index=delivered,
                acquired_ns=due_ns,
                pixels=pixels,
                intensity=self._clip.intensity,
                provenance=Provenance.RECORDED,
                pitch_mm=self._clip.pitch_mm,
            )
            delivered += 1

    def _newest_due(self, elapsed_ns: int) -> int:
        """Return the number of the newest frame whose time has come (counted through all repeats)."""
        repeats, within_ns = divmod(max(elapsed_ns, 0), self._period_ns)
        return int(repeats) * len(self._times_ns) + bisect_right(self._times_ns, within_ns) - 1

    def _decoded(self, index: int) -> NDArray[np.uint16]:
        try:
            return self._clip.frame(index)
        except (ValueError, OSError) as error:
            raise SourceError(str(error)) from error
