"""What a source of X-ray frames can do. Capability is discovered by which protocol it implements."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from fluoroscope.acquisition.frame import Frame, PixelIntensity, Provenance
from fluoroscope.beam.technique import Technique
from fluoroscope.geometry.pose import CArmPose

__all__ = ["Exposable", "FrameSource", "Positionable", "SourceError", "SourceInfo"]


class SourceError(RuntimeError):
    """A source was lost or refused; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known of a source before its first frame."""

    name: str
    manufacturer: str
    model: str
    provenance: Provenance
    intensity: PixelIntensity
    rows: int
    columns: int
    nominal_rate_hz: float


@runtime_checkable
class FrameSource(Protocol):
    """Every source: virtual C-arm, recorded clip, capture, OpenIGTLink."""

    @property
    def info(self) -> SourceInfo:
        """What the source is."""
        ...

    @property
    def dropped_pulses(self) -> int:
        """Pulses dropped since `frames` was last called."""
        ...

    def frames(self) -> Iterator[Frame]:
        """Yield the frames of the exposure that is now on; ends after `release`, or at the end of a clip."""
        ...

    def close(self) -> None:
        """Let go of the device or file. May be called twice."""
        ...


@runtime_checkable
class Exposable(Protocol):
    """A source that starts and stops on command."""

    def press(self, technique: Technique, event_uid: str) -> None:
        """Start an exposure; a following `frames` yields its pulses."""
        ...

    def release(self) -> None:
        """End the exposure: no pulse starts after this returns. May be called from any thread, and twice."""
        ...


@runtime_checkable
class Positionable(Protocol):
    """A C-arm that may be moved, or whose encoders can be read."""

    @property
    def pose(self) -> CArmPose:
        """The present pose in the equipment frame."""
        ...

    def move_to(self, pose: CArmPose) -> None:
        """Move at once; raise ValueError when the pose is out of reach."""
        ...
