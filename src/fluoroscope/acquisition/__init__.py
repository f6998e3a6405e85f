"""What an X-ray source gives: frames, irradiation events, pulses on a true clock, and protocols of sources.

Nothing here knows how a frame is made. A source says what it can do by which protocol it implements: every
one is a `FrameSource`, one that may be triggered is `Exposable`, one that may be moved is `Positionable`.
Ground truth of simulated frames is in ``acquisition.truth``, which is guarded and not re-exported.
"""

from fluoroscope.acquisition.clock import Clock, PulseTick, PulseTimer, SteppedClock, SystemClock
from fluoroscope.acquisition.event import IrradiationEvent
from fluoroscope.acquisition.frame import Collimation, Frame, PixelIntensity, Provenance, PulseKerma, open_pixels
from fluoroscope.acquisition.protocols import Exposable, FrameSource, Positionable, SourceError, SourceInfo

__all__ = [
    "Clock",
    "Collimation",
    "Exposable",
    "Frame",
    "FrameSource",
    "IrradiationEvent",
    "PixelIntensity",
    "Positionable",
    "Provenance",
    "PulseKerma",
    "PulseTick",
    "PulseTimer",
    "SourceError",
    "SourceInfo",
    "SteppedClock",
    "SystemClock",
    "open_pixels",
]
