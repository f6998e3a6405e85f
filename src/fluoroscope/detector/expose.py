"""From thickness maps to pixels.

Order of the stages, which is the order of nature; scatter, when it is modelled, adds to the energy after
stage 1:

1. mean absorbed energy per pixel: spectrum behind water and bone, photons per mAs, inverse square and
obliquity, pixel
   area, collimator;
2. quantum noise: Poisson number of absorbed photons, each leaving a random energy (compound Poisson);
3. light spread in the scintillator: blurs what is already noisy, so quantum noise follows the MTF;
4. charge: full well;
5. electronic noise, white;
6. digital gain, offset already subtracted, clipped at 0 and full scale, rounded: LIN.
"""

from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from fluoroscope.acquisition.frame import Collimation, open_pixels
from fluoroscope.beam.materials import MATERIALS
from fluoroscope.beam.spectrum import DEFAULT_ANODE_DEG, tube_spectrum
from fluoroscope.beam.technique import Technique
from fluoroscope.detector import kernels
from fluoroscope.detector.model import DetectorModel
from fluoroscope.detector.response import (
    BONE_CELLS,
    BONE_LIMIT_MM,
    CELL_FLOATS,
    WATER_CELLS,
    WATER_LIMIT_MM,
    response_table,
)
from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.projection import ProjectionGeometry

__all__ = ["Detector", "blur_taps", "measuring_field"]


class Detector:
    """A flat panel that gives a fresh, reproducible picture for every frame number.

    Parameters
    ----------
    model
        The panel.
    seed
        Of the noise, 0 or more; same seed and frame number, same noise.
    anode_deg
        Anode angle of the tube.
    """

    def __init__(self, model: DetectorModel | None = None, seed: int = 0, anode_deg: float = DEFAULT_ANODE_DEG) -> None:
        if seed < 0:
            raise ValueError(f"the seed must be 0 or more, got {seed}")
        self.model = DetectorModel() if model is None else model
        self.seed = seed
        self.anode_deg = anode_deg

    def expose(
        self,
        thickness_mm: NDArray[np.float32],
        technique: Technique,
        geometry: ProjectionGeometry,
        collimation: Collimation | None = None,
        frame_number: int = 0,
        out: NDArray[np.uint16] | None = None,
    ) -> NDArray[np.uint16]:
        """Return one picture, LIN.

        Parameters
        ----------
        thickness_mm
            float32 (2, rows, columns): mm of water and of cortical bone along the ray of each pixel; negative
            is read as 0.
        technique
            The pulse.
        geometry
            The pixels and their distance from the source.
        collimation
            Field; the whole panel when absent. Pixels whose centre is outside hold electronic noise only.
        frame_number
            Counts frames, 0 or more: another number gives other noise.
        out
            uint16 (rows, columns), C-contiguous, to be written; a new one when absent.

        Raises
        ------
        ValueError
            For arrays of a wrong shape or type, or a technique outside the spectra.
        """
        grid = geometry.grid
        self._check(thickness_mm, grid)
        if frame_number < 0:
            raise ValueError(f"the frame number must be 0 or more, got {frame_number}")
        if out is None:
            out = np.empty((grid.rows, grid.columns), dtype=np.uint16)
        elif out.shape != (grid.rows, grid.columns) or out.dtype != np.uint16 or not out.flags.c_contiguous:
            raise ValueError(f"out must be C-contiguous uint16 ({grid.rows}, {grid.columns})")
        cells, whole, real = self._parameters(technique, geometry, collimation)
        keys = _keys(self.seed, frame_number)
        kernels.expose(thickness_mm, cells, _places(grid), _random_tables(), whole, real, keys, out)
        return out

    def expected(
        self,
        thickness_mm: NDArray[np.float32],
        technique: Technique,
        geometry: ProjectionGeometry,
        collimation: Collimation | None = None,
    ) -> NDArray[np.float32]:
        """Return the picture without noise and saturation, float32 (rows, columns), in LIN units."""
        grid = geometry.grid
        self._check(thickness_mm, grid)
        cells, whole, real = self._parameters(technique, geometry, collimation)
        y2, x2 = _places(grid)
        out = np.empty((grid.rows, grid.columns), dtype=np.float32)
        kernels.expect(thickness_mm, cells, y2, x2, whole, real, out)
        return out

    def expected_signal(
        self,
        thickness_mm: NDArray[np.float32],
        technique: Technique,
        geometry: ProjectionGeometry,
        collimation: Collimation | None = None,
    ) -> float:
        """Return what `mean_signal` will be, without noise and blur: for the start of a pulse train."""
        grid = geometry.grid
        self._check(thickness_mm, grid)
        sample = thickness_mm[(slice(None), *_samples(grid, collimation))].astype(np.float64)
        table = response_table(self.model, technique.tube_voltage_kv, technique.filtration, self.anode_deg)
        kev = table.energy_kev(sample[0], sample[1]) * self._exposure(
            technique, geometry.source_to_detector_mm, grid.pitch_mm
        )
        lin = np.minimum(kev * self.model.lin_per_kev(technique.mode, grid.pitch_mm), self.model.full_scale)
        return _without_direct_beam(lin)

    def mean_signal(
        self, lin_pixels: NDArray[np.uint16], grid: DetectorGrid, collimation: Collimation | None = None
    ) -> float:
        """Return the mean LIN of the measuring field of the exposure control.

        The field is the middle half of the open pixels each way.         Pixels above three times the median
        are left out: the direct beam beside a body, which would darken the rest.
        """
        return _without_direct_beam(lin_pixels[_samples(grid, collimation)])

    def water_signal(
        self, technique: Technique, water_mm: float, source_to_detector_mm: float, pitch_mm: float
    ) -> float:
        """Return the mean LIN on the central ray behind ``water_mm`` of water, without saturation."""
        table = response_table(self.model, technique.tube_voltage_kv, technique.filtration, self.anode_deg)
        kev = table.energy_kev(np.asarray(water_mm, dtype=np.float64), np.zeros(()))
        exposure = self._exposure(technique, source_to_detector_mm, pitch_mm)
        return float(kev) * exposure * self.model.lin_per_kev(technique.mode, pitch_mm)

    def equivalent_water_mm(
        self, signal: float, technique: Technique, source_to_detector_mm: float, pitch_mm: float
    ) -> float:
        """Return the water on the central ray that leaves a mean LIN of ``signal``: `water_signal` inverted.

        Brighter than no water gives 0, darker than the table's end `WATER_LIMIT_MM`.
        """
        table = response_table(self.model, technique.tube_voltage_kv, technique.filtration, self.anode_deg)
        gain = self._exposure(technique, source_to_detector_mm, pitch_mm) * self.model.lin_per_kev(
            technique.mode, pitch_mm
        )
        nodes = np.log(table.cells[:, 0, 0].astype(np.float64) * gain)
        depths = np.arange(WATER_CELLS) * (WATER_LIMIT_MM / WATER_CELLS)
        if not signal > 0.0:
            return WATER_LIMIT_MM
        return float(np.interp(-np.log(signal), -nodes, depths, right=WATER_LIMIT_MM))

    def signal_per_ugy(self, technique: Technique, pitch_mm: float, water_mm: float = 200.0) -> float:
        """Return LIN per µGy of air kerma at the detector's entrance behind ``water_mm``, without scatter."""
        beam = tube_spectrum(technique.tube_voltage_kv, technique.filtration, self.anode_deg)
        kerma_ugy = beam.filtered(MATERIALS["water"], water_mm).air_kerma_ugy_per_mas() * technique.mas_per_pulse
        return self.water_signal(technique, water_mm, 1000.0, pitch_mm) / kerma_ugy

    def prepare(self, technique: Technique) -> None:
        """Build what ``technique`` needs, so that its first pulse is not late."""
        response_table(self.model, technique.tube_voltage_kv, technique.filtration, self.anode_deg)
        _random_tables()

    @staticmethod
    def _exposure(technique: Technique, source_to_detector_mm: float, pitch_mm: float) -> float:
        """Return mAs times pixel area, brought from 1000 mm to the detector."""
        return technique.mas_per_pulse * pitch_mm**2 * (1000.0 / source_to_detector_mm) ** 2

    def _parameters(
        self, technique: Technique, geometry: ProjectionGeometry, collimation: Collimation | None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
        """Pack what the kernels need: cells of the response, whole numbers, real numbers."""
        grid, depth, model = geometry.grid, geometry.source_to_detector_mm, self.model
        response = response_table(model, technique.tube_voltage_kv, technique.filtration, self.anode_deg)
        field = open_pixels(collimation, grid.rows, grid.columns, grid.pitch_mm)
        whole = np.array([*field, WATER_CELLS, BONE_CELLS], dtype=np.int64)
        real = np.array(
            [
                WATER_CELLS / WATER_LIMIT_MM,
                BONE_CELLS**2 / BONE_LIMIT_MM,
                self._exposure(technique, depth, grid.pitch_mm),
                depth**2,
                response.obliquity,
                *blur_taps(model, grid.pitch_mm),
                model.full_well_electrons / model.electrons_per_kev,
                model.electronic_noise_kev,
                model.lin_per_kev(technique.mode, grid.pitch_mm),
                model.full_scale,
            ],
            dtype=np.float32,
        )
        return response.cells.reshape(-1, CELL_FLOATS), whole, real

    @staticmethod
    def _check(thickness_mm: NDArray[np.float32], grid: DetectorGrid) -> None:
        if thickness_mm.shape != (2, grid.rows, grid.columns) or thickness_mm.dtype != np.float32:
            raise ValueError(
                f"thickness maps must be float32 (2, {grid.rows}, {grid.columns}), got {thickness_mm.dtype} "
                f"{thickness_mm.shape}"
            )
        if not thickness_mm.flags.c_contiguous:
            raise ValueError("thickness maps must be C-contiguous")


def measuring_field(grid: DetectorGrid, collimation: Collimation | None) -> tuple[int, int, int, int]:
    """Return the middle half, each way, of the open pixels; at least one pixel."""
    r0, r1, c0, c1 = open_pixels(collimation, grid.rows, grid.columns, grid.pitch_mm)
    if r1 <= r0 or c1 <= c0:
        raise ValueError("the collimator leaves no open pixel on the detector; open it")
    rows, columns = (r1 - r0) // 4, (c1 - c0) // 4
    return r0 + rows, max(r1 - rows, r0 + rows + 1), c0 + columns, max(c1 - columns, c0 + columns + 1)


def _samples(grid: DetectorGrid, collimation: Collimation | None) -> tuple[slice, slice]:
    """Return slices over the measuring field, thinned to about 128 × 128 pixels."""
    r0, r1, c0, c1 = measuring_field(grid, collimation)
    return slice(r0, r1, max(1, (r1 - r0) // 128)), slice(c0, c1, max(1, (c1 - c0) // 128))


def _without_direct_beam(lin: NDArray[np.uint16] | NDArray[np.float64]) -> float:
    limit = 3.0 * float(np.median(lin))
    return float(lin[lin <= limit].mean()) if limit > 0.0 else float(lin.mean())


@lru_cache(maxsize=32)
def blur_taps(model: DetectorModel, pitch_mm: float) -> tuple[np.float32, ...]:
    """Return the one-sided taps of a symmetric blur that has the scintillator's MTF up to Nyquist.

    Least squares over the frequencies the grid can carry, with response 1 at frequency 0. The spread is
    applied along rows and along columns.
    """
    cycles = np.linspace(0.0, 0.5, 129)
    goal = model.scintillator_mtf(cycles / pitch_mm)
    order = np.arange(1, kernels.HALF_TAPS + 1)
    waves = 2.0 * (np.cos(2.0 * np.pi * np.outer(cycles, order)) - 1.0)
    side = np.linalg.lstsq(waves, goal - 1.0, rcond=None)[0]
    return tuple(np.float32(tap) for tap in (1.0 - 2.0 * side.sum(), *side))


@lru_cache(maxsize=32)
def _places(grid: DetectorGrid) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the squares of the distances of rows and columns from the central ray, mm²."""
    rows, columns = (
        (((np.arange(n) - (n - 1) / 2.0) * grid.pitch_mm) ** 2).astype(np.float32) for n in (grid.rows, grid.columns)
    )
    return rows, columns


@cache
def _random_tables() -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    return kernels.poisson_tables()


def _keys(seed: int, frame_number: int) -> NDArray[np.uint32]:
    """Return two keys of a frame: SplitMix64 (Steele et al. 2014, doi:10.1145/2660193.2660195)."""
    mask = (1 << 64) - 1

    def mixed(value: int) -> int:
        value = (value + 0x9E3779B97F4A7C15) & mask
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
        return value ^ (value >> 31)

    key = mixed(mixed(seed) ^ frame_number)
    return np.array([key & 0xFFFFFFFF, key >> 32], dtype=np.uint32)
