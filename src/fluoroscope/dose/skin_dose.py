"""The dose of skin, one beam after the other: constant memory, the same time for every beam.

Only skin where a beam enters gets dose: what leaves on the other side is a hundredth of it behind 200 mm of body and is
left out, and so is scatter beside the field. Lengths mm, dose and air kerma mGy, all places in the phantom's
coordinates.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.acquisition.frame import Collimation
from fluoroscope.dose.skin_factors import BeamQuality
from fluoroscope.dose.skin_kernel import BLOCK_CELLS, RELIEF_BINS, add_beam
from fluoroscope.dose.skin_phantoms import SkinPhantom
from fluoroscope.geometry.pose import CArmPose, beam_axes
from fluoroscope.geometry.rigid import Matrix

__all__ = ["NO_TABLE", "Penumbra", "SkinBeam", "SkinDose", "SkinMap", "TableTop", "beam_of_pose", "farthest_corner"]

Array = NDArray[np.float64]

_TILE = (4, 8)
_CURVE_MM = 10.0
"""Steps in which the curve that orders the cells runs through space; 1 024 of them are looked at."""


@dataclass(frozen=True, slots=True, eq=False)
class TableTop:
    """A tabletop with its pad as a plate that rays may cross.

    Attributes
    ----------
    head_end_mm
        (3,) middle of the edge at which the body begins.
    up, across, along
        Unit vectors (3,): to the patient, to a side, and to the other end.
    width_mm, length_mm
        Of the plate.
    oblique
        Whether oblique rays go the longer way through it.
    """

    head_end_mm: Array
    up: Array
    across: Array
    along: Array
    width_mm: float
    length_mm: float
    oblique: bool = True

    def packed(self, transmission: float) -> Array:
        """Return (17,) as the kernel takes it."""
        return np.array(
            [
                1.0, *self.head_end_mm, *self.up, *self.across, *self.along,
                self.width_mm / 2.0, self.length_mm, transmission, float(self.oblique),
            ]
        )  # fmt: skip


NO_TABLE = np.zeros(17)
NO_TABLE.setflags(write=False)


@dataclass(frozen=True, slots=True)
class Penumbra:
    """A soft edge: side of a square focal spot, and how far from it the collimator's blades are, mm."""

    focal_spot_mm: float
    source_to_blades_mm: float

    def __post_init__(self) -> None:
        if not (0.0 <= self.focal_spot_mm <= 3.0 and 50.0 <= self.source_to_blades_mm <= 600.0):
            raise ValueError(
                "a focal spot has 0 to 3 mm and blades 50 to 600 mm from it, got "
                f"{self.focal_spot_mm} and {self.source_to_blades_mm} mm"
            )


@dataclass(frozen=True, slots=True, eq=False)
class SkinBeam:
    """One beam that did not move: a pulse, many alike, or a step of a rotation.

    Attributes
    ----------
    source_mm
        (3,) the focal spot.
    d, u, v
        Unit vectors (3,): to the detector, along its columns and rows.
    field_mm
        Edges of the field at ``reference_mm``, from the central ray toward −u, +u, −v and +v.
    air_kerma_mgy
        At ``reference_mm`` from the source, free in air.
    quality
        Of the beam.
    table
        What may lie in its way.
    penumbra
        None for sharp edges.
    """

    source_mm: Array
    d: Array
    u: Array
    v: Array
    field_mm: tuple[float, float, float, float]
    air_kerma_mgy: float
    reference_mm: float
    quality: BeamQuality
    table: TableTop | None = None
    penumbra: Penumbra | None = None

    def __post_init__(self) -> None:
        low_u, high_u, low_v, high_v = self.field_mm
        numbers = (*self.field_mm, *self.source_mm, self.air_kerma_mgy, self.reference_mm)
        if not (np.isfinite(numbers).all() and self.air_kerma_mgy >= 0.0 and self.reference_mm > 0.0):
            raise ValueError(f"a beam needs a place, kerma and distance that are not negative, got {numbers}")
        if low_u + high_u < 0.0 or low_v + high_v < 0.0:
            raise ValueError(f"opposite edges of a field must not cross, got {self.field_mm}")

    @property
    def field_area_mm2(self) -> float:
        """At the reference distance."""
        low_u, high_u, low_v, high_v = self.field_mm
        return (low_u + high_u) * (low_v + high_v)

    def packed(self) -> Array:
        """Return (20,) as the kernel takes it."""
        spot, blades = (0.0, 1.0) if self.penumbra is None else (
            self.penumbra.focal_spot_mm, self.penumbra.source_to_blades_mm
        )  # fmt: skip
        kerma = self.air_kerma_mgy * self.quality.medium
        ends = (kerma, self.reference_mm, spot, blades)
        return np.array([*self.source_mm, *self.d, *self.u, *self.v, *self.field_mm, *ends])


def beam_of_pose(
    pose: CArmPose,
    collimation: Collimation,
    kerma_mgy: float,
    reference_mm: float,
    quality: BeamQuality,
    patient_from_equipment: Matrix,
    table: TableTop | None = None,
) -> SkinBeam:
    """Return the beam of a C-arm that stands at ``pose``, its blades as they are at the detector."""
    axes, turned = beam_axes(pose), patient_from_equipment[:3, :3]
    source = np.asarray(pose.isocenter_mm) - pose.source_to_isocenter_mm * axes.d
    scale = reference_mm / pose.source_to_detector_mm
    edges = (
        collimation.left_mm * scale,
        collimation.right_mm * scale,
        collimation.upper_mm * scale,
        collimation.lower_mm * scale,
    )
    return SkinBeam(
        turned @ source + patient_from_equipment[:3, 3],
        turned @ axes.d,
        turned @ axes.u,
        turned @ axes.v,
        edges,
        kerma_mgy,
        reference_mm,
        quality,
        table,
    )


@dataclass(frozen=True, slots=True, eq=False)
class SkinMap:
    """Dose of every cell (n,), mGy; its peak, where (patient LPS mm; None when nothing was hit), and what was hit.

    ``share_of_kap_on_patient`` is the part of the KAP whose rays meet the body, 0 to 1, the table left out;
    ``missed`` the numbers of the events (from 0) that hit nothing.
    """

    phantom: SkinPhantom
    dose_mgy: Array
    peak_mgy: float
    peak_position_mm: tuple[float, float, float] | None
    share_of_kap_on_patient: float
    missed: tuple[int, ...] = ()

    @property
    def peak_index(self) -> int | None:
        """The cell of the peak; None when nothing was hit."""
        return None if self.peak_position_mm is None else int(self.dose_mgy.argmax())


@dataclass(slots=True)
class _Sums:
    """Of all beams so far, mGy·mm² and mGy."""

    sent: float = 0.0
    met: float = 0.0
    limit_at_1_mm: float = 0.0
    beams: int = 0


class SkinDose:
    """Adds beams to the skin of a phantom. Not for several threads at once.

    Parameters
    ----------
    phantom
        Whose skin it is.
    """

    def __init__(self, phantom: SkinPhantom) -> None:
        self.phantom = phantom
        self._order = _near_together(phantom)
        centers, half_edges = (_read_only(one[self._order]) for one in (phantom.centers, phantom.half_edges))
        reach = farthest_corner(half_edges)
        balls = _balls(centers, reach)
        self._cells = (centers, _read_only(phantom.normals[self._order]), half_edges, reach, balls, phantom.two_sided)
        self._relief = _packed_relief(phantom, self._order)
        self._dose: Array = np.zeros(phantom.areas_mm2.size)
        self._sums = _Sums()
        self._peak, self._place = 0.0, -1

    def add(self, beam: SkinBeam) -> float:
        """Add one beam and return the part of its field that fell on skin, 0 to 1."""
        quality = beam.quality
        table = NO_TABLE if beam.table is None else _read_only(beam.table.packed(quality.table))
        met, largest, place, _ = add_beam(
            self._cells, beam.packed(), quality.backscatter_spline, table, self._relief, self._dose
        )
        area = beam.field_area_mm2
        self._sums.sent += beam.air_kerma_mgy * area
        self._sums.met += beam.air_kerma_mgy * min(met, area)
        self._sums.limit_at_1_mm += (
            beam.air_kerma_mgy * beam.reference_mm**2 * quality.largest_backscatter * quality.medium
        )
        self._sums.beams += 1
        if largest > self._peak:
            self._peak, self._place = largest, int(self._order[place])
        return min(met / area, 1.0) if area > 0.0 else 0.0

    @property
    def beams(self) -> int:
        """How many were added."""
        return self._sums.beams

    @property
    def peak_mgy(self) -> float:
        """The largest dose of any cell, mGy."""
        return self._peak

    @property
    def peak_index(self) -> int | None:
        """Its cell; None when no skin was hit."""
        return None if self._place < 0 else self._place

    @property
    def peak_position_mm(self) -> tuple[float, float, float] | None:
        """The middle of its cell, LPS mm."""
        if self._place < 0:
            return None
        x, y, z = (float(value) for value in self.phantom.centers[self._place])
        return x, y, z

    @property
    def share_on_patient(self) -> float | None:
        """The part of the KAP that fell on the body, 0 to 1; None while there was none."""
        return self._sums.met / self._sums.sent if self._sums.sent > 0.0 else None

    @property
    def dose_mgy(self) -> Array:
        """A copy of every cell's dose (n,), mGy."""
        told = np.empty_like(self._dose)
        told[self._order] = self._dose
        return told

    def plausible_limit_mgy(self, minimum_skin_mm: float) -> float:
        """Return Σ Ka,r · (d_ref / d_min)² · the largest k_bs · k_med: no peak can be above it."""
        return self._sums.limit_at_1_mm / minimum_skin_mm**2

    def map(self, missed: tuple[int, ...] = ()) -> SkinMap:
        """Return how it stands now."""
        dose = _read_only(self.dose_mgy)
        return SkinMap(self.phantom, dose, self._peak, self.peak_position_mm, self.share_on_patient or 0.0, missed)


def farthest_corner(half_edges: Array) -> Array:
    """Return how far a corner of each cell is from its middle at most, (n,), from half edges (n, 2, 3)."""
    return _read_only(np.sqrt(np.einsum("ijk,ijk->ij", half_edges, half_edges)).sum(axis=1))


def _near_together(phantom: SkinPhantom) -> NDArray[np.int64]:
    """Return an order (n,) of the cells in which near ones follow each other.

    Tile by tile where they are a grid, else along a Z-shaped curve through space (Morton 1966).
    """
    centers, (rows, columns) = phantom.centers, phantom.shape
    if rows > 1:
        high, wide = -(-rows // _TILE[0]), -(-columns // _TILE[1])
        numbers = np.full((high * _TILE[0], wide * _TILE[1]), -1)
        numbers[:rows, :columns] = np.arange(rows * columns).reshape(rows, columns)
        tiles = numbers.reshape(high, _TILE[0], wide, _TILE[1]).transpose(0, 2, 1, 3).ravel()
        return tiles[tiles >= 0]
    whole = ((centers - centers.min(axis=0)) / _CURVE_MM).astype(np.int64)
    key = np.zeros(len(centers), dtype=np.int64)
    for bit in range(10):
        for axis in range(3):
            key |= ((whole[:, axis] >> bit) & 1) << (3 * bit + axis)
    return np.argsort(key, kind="stable")


def _balls(centers: Array, reach: Array) -> Array:
    """Return (blocks, 4): middle and radius of a ball around every block of cells."""
    first = np.arange(0, len(centers), BLOCK_CELLS)
    counts = np.diff(np.append(first, len(centers)))
    middles = np.add.reduceat(centers, first, axis=0) / counts[:, None]
    off = centers - np.repeat(middles, counts, axis=0)
    out = np.sqrt(np.einsum("ij,ij->i", off, off)) + reach
    return _read_only(np.column_stack([middles, np.maximum.reduceat(out, first)]))


def _packed_relief(phantom: SkinPhantom, order: NDArray[np.int64]) -> tuple[Array, Array, Array, Array]:
    relief = phantom.relief
    if relief is None:
        none = (np.zeros((0, RELIEF_BINS)), np.zeros((0, 2)), np.zeros(3), np.zeros(0))
        return _read_only(none[0]), _read_only(none[1]), _read_only(none[2]), _read_only(none[3])
    grid = np.array([relief.top_mm, relief.pitch_mm, float(relief.radii_mm.max())])
    return relief.radii_mm, relief.axis_mm, _read_only(grid), _read_only(relief.horizon[order])


def _read_only(array: Array) -> Array:
    array.setflags(write=False)
    return array
