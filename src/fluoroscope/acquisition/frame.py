"""One X-ray picture and what is known of it."""

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from fluoroscope.beam.kerma import PulseKerma
from fluoroscope.beam.technique import Technique
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.table import TablePose

__all__ = ["Collimation", "Frame", "PixelIntensity", "Provenance", "PulseKerma", "open_pixels"]

BLADE_SLACK_PX = 1e-6
"""A blade this near to a pixel centre lies on it, whatever the last bit of the division says."""


class PixelIntensity(Enum):
    """What a pixel value means: proportional to detected energy, its logarithm, or ready to be windowed."""

    LIN = "LIN"
    LOG = "LOG"
    DISP = "DISP"


class Provenance(Enum):
    """Where a frame comes from."""

    SIMULATED = "simulated"
    RECORDED = "recorded"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class Collimation:
    """Rectangular collimator edges, mm at the detector from the central ray, each positive outward.

    ``left`` is toward column 0, ``upper`` toward row 0.
    """

    left_mm: float
    right_mm: float
    upper_mm: float
    lower_mm: float

    def __post_init__(self) -> None:
        if self.left_mm + self.right_mm <= 0.0 or self.upper_mm + self.lower_mm <= 0.0:
            raise ValueError("the collimator is closed: opposite edges must leave a field of more than 0 mm")

    @property
    def area_mm2(self) -> float:
        """Field area at the detector, mm²."""
        return (self.left_mm + self.right_mm) * (self.upper_mm + self.lower_mm)


def open_pixels(
    collimation: Collimation | None, rows: int, columns: int, pitch_mm: float | None
) -> tuple[int, int, int, int]:
    """Return (first row, end row, first column, end column) of the pixels the collimator leaves open.

    A pixel is open when its centre is, a centre under the edge of a blade too. The central ray meets the
    middle of the grid. Counted from 0, the ends behind the last; within the picture, and empty (first = end)
    when nothing of it is open.

    Parameters
    ----------
    collimation
        The blades; None is open.
    rows, columns
        Of the picture, 1 or more.
    pitch_mm
        At the detector, mm; all pixels are open when it is not known (None).
    """
    if collimation is None or pitch_mm is None:
        return 0, rows, 0, columns
    top, bottom = _open_span(rows, collimation.upper_mm / pitch_mm, collimation.lower_mm / pitch_mm)
    left, right = _open_span(columns, collimation.left_mm / pitch_mm, collimation.right_mm / pitch_mm)
    return top, bottom, left, right


def _open_span(pixels: int, before_px: float, after_px: float) -> tuple[int, int]:
    middle = (pixels - 1) / 2.0
    first = min(max(math.ceil(middle - before_px - BLADE_SLACK_PX), 0), pixels)
    end = min(max(math.floor(middle + after_px + BLADE_SLACK_PX) + 1, 0), pixels)
    return first, max(first, end)


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture. Ground truth never sits in a Frame (see ``acquisition.truth``).

    Attributes
    ----------
    uid, event_uid
        Of this frame, and of the irradiation event (one pedal press) it belongs to.
    index
        From 0 within the event.
    acquired_ns
        Monotonic time of the pulse, ns.
    pixels
        uint16 (rows, columns), read-only, meaning as `intensity`; larger is brighter (more X-ray) in all
        three.
    intensity
        LIN from a source; the image chain gives DISP.
    pitch_mm
        Pixel pitch at the detector, mm; None when not known (video).
    provenance
        Simulated, recorded or live.
    pose, table, technique, collimation, kerma
        As known to the source, else None.
    """

    uid: str
    event_uid: str
    index: int
    acquired_ns: int
    pixels: NDArray[np.uint16]
    intensity: PixelIntensity
    provenance: Provenance
    pitch_mm: float | None = None
    pose: CArmPose | None = None
    table: TablePose | None = None
    technique: Technique | None = None
    collimation: Collimation | None = None
    kerma: PulseKerma | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2 or self.pixels.dtype != np.uint16:
            got = f"{self.pixels.dtype} {self.pixels.shape}"
            raise ValueError(f"a frame holds uint16 (rows, columns), got {got}")
        self.pixels.setflags(write=False)
