"""The flat panel: its native pixels, zoom fields and binning, and the grid an exposure is read out with."""

from dataclasses import dataclass

import numpy as np

from fluoroscope.geometry.grid import DetectorGrid

__all__ = ["DetectorPanel", "FieldOfView"]


@dataclass(frozen=True, slots=True)
class FieldOfView:
    """A zoom mode: a square cut from the centre of the panel.

    Attributes
    ----------
    label
        As on the console, such as "20 cm".
    size_mm
        Side of the square at the detector, mm.
    """

    label: str
    size_mm: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.size_mm) and self.size_mm > 0.0):
            raise ValueError(f"field of view {self.label!r} must be above 0 mm, got {self.size_mm}")


@dataclass(frozen=True, slots=True)
class DetectorPanel:
    """A flat panel of square pixels, read whole or as a smaller centred field.

    Attributes
    ----------
    rows, columns
        Native pixels; even, so that every field can be centred on whole pixels.
    pitch_mm
        Native pixel pitch, mm.
    fields
        Zoom modes, the largest first; none larger than the panel.
    """

    rows: int
    columns: int
    pitch_mm: float
    fields: tuple[FieldOfView, ...]

    def __post_init__(self) -> None:
        DetectorGrid(self.rows, self.columns, self.pitch_mm)
        if self.rows % 2 or self.columns % 2:
            raise ValueError(f"a panel needs even rows and columns, got {self.rows} × {self.columns}")
        if not self.fields:
            raise ValueError("a panel needs at least one field of view")
        largest = min(self.rows, self.columns) * self.pitch_mm
        for field in self.fields:
            if not 2.0 * self.pitch_mm <= field.size_mm <= largest + 1e-6:
                raise ValueError(f"field {field.label!r} of {field.size_mm} mm does not fit a panel of {largest} mm")
        sizes = [field.size_mm for field in self.fields]
        if sizes != sorted(sizes, reverse=True):
            raise ValueError("fields of view must be ordered from the largest to the smallest")

    def pixels_per_bin(self, field_index: int = 0, binning: int = 1, matrix_limit: int | None = None) -> int:
        """Return how many native pixels a side of one output pixel spans; arguments as in `grid`."""
        if binning not in (1, 2):
            raise ValueError(f"binning must be 1 or 2, got {binning}")
        if matrix_limit is not None and matrix_limit < 1:
            raise ValueError(f"matrix_limit must be at least 1 pixel, got {matrix_limit}")
        native = self._native_side(field_index)
        if matrix_limit is None:
            return binning
        return max(binning, -(-native // matrix_limit))

    def grid(self, field_index: int = 0, binning: int = 1, matrix_limit: int | None = None) -> DetectorGrid:
        """Return the pixels of one exposure.

        Nothing is interpolated: an output pixel is a square of k × k native pixels, k the smallest whole
        number not below ``binning`` that keeps the side within ``matrix_limit``. The side is then the field's
        native pixels divided by k, rounded down to whole bins centred on the panel. A zoom field therefore
        rarely fills the limit exactly: a 20 cm field at 0.15 mm with limit 1024 is 672 pixels of 0.3 mm, not
        1024 invented ones.

        Parameters
        ----------
        field_index
            Index into ``fields``.
        binning
            1 (native readout) or 2 (2 × 2 binned readout).
        matrix_limit
            Most rows and columns wanted, such as 1024 or 512; None for no limit.

        Raises
        ------
        ValueError
            When there is no such field, or the field would hold no pixel.
        """
        per_bin = self.pixels_per_bin(field_index, binning, matrix_limit)
        side = self._native_side(field_index) // per_bin
        if (side * per_bin) % 2:
            side -= 1
        if side < 1:
            raise ValueError(f"field {self.fields[field_index].label!r} holds no pixel of {per_bin} native pixels")
        return DetectorGrid(side, side, self.pitch_mm * per_bin)

    def _native_side(self, field_index: int) -> int:
        if not 0 <= field_index < len(self.fields):
            raise ValueError(f"no field of view {field_index}: this panel has {len(self.fields)}, counted from 0")
        return min(int(self.fields[field_index].size_mm / self.pitch_mm + 1e-6), self.rows, self.columns)
