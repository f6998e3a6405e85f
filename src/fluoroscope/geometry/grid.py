"""The detector's pixel grid."""

from dataclasses import dataclass

import numpy as np

__all__ = ["DetectorGrid"]


@dataclass(frozen=True, slots=True)
class DetectorGrid:
    """Square pixels centred on the central ray; index (0, 0) is the centre of the top-left pixel.

    Attributes
    ----------
    rows, columns
        Number of pixels, at least 1.
    pitch_mm
        Pixel pitch at the detector, mm.
    """

    rows: int
    columns: int
    pitch_mm: float

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1:
            raise ValueError(f"a detector needs at least one pixel, got {self.rows} × {self.columns}")
        if not (np.isfinite(self.pitch_mm) and self.pitch_mm > 0.0):
            raise ValueError(f"pixel pitch must be above 0 mm, got {self.pitch_mm}")

    @property
    def height_mm(self) -> float:
        """Height of the active area, mm."""
        return self.rows * self.pitch_mm

    @property
    def width_mm(self) -> float:
        """Width of the active area, mm."""
        return self.columns * self.pitch_mm
