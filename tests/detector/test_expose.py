"""Pixels: dose, noise, blur, saturation, against statistics that are known exactly."""

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from fluoroscope.acquisition.frame import Collimation, open_pixels
from fluoroscope.beam import MATERIALS, Filtration, RadiationMode, Technique, tube_spectrum
from fluoroscope.detector import Detector, DetectorModel, measuring_field
from fluoroscope.detector.expose import blur_taps
from fluoroscope.detector.response import detected_beam
from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import ProjectionGeometry, projection_geometry

PULSE = Technique(75.0, 50.0, 10.0, 15.0)
QUIET = dataclasses.replace(DetectorModel(), electronic_noise_electrons=0.0)
SHARP = dataclasses.replace(QUIET, mtf_half_per_mm=1e4)


def one_lin_per_kev(model: DetectorModel, pitch_mm: float) -> DetectorModel:
    return dataclasses.replace(model, fluoroscopy_gain=pitch_mm**2)


def panel(pixels: int = 256, pitch_mm: float = 0.3) -> ProjectionGeometry:
    return projection_geometry(CArmPose(0.0, 0.0, 510.0, 1020.0), DetectorGrid(pixels, pixels, pitch_mm))


def slab(geometry: ProjectionGeometry, water_mm: float, bone_mm: float = 0.0) -> NDArray[np.float32]:
    thickness = np.empty((2, geometry.grid.rows, geometry.grid.columns), dtype=np.float32)
    thickness[0], thickness[1] = water_mm, bone_mm
    return thickness


def with_quanta(quanta: float, water_mm: float = 200.0, pitch_mm: float = 0.3) -> Technique:
    """Return a technique that leaves ``quanta`` absorbed photons per pixel on the central ray."""
    beam = detected_beam(QUIET, tube_spectrum(75.0, Filtration()), np.array([water_mm]), np.zeros(1))
    mas = quanta / (beam.quanta[0, 0] * pitch_mm**2 * (1000.0 / 1020.0) ** 2)
    return dataclasses.replace(PULSE, tube_current_ma=mas * 100.0)


def moments(water_mm: float = 200.0) -> tuple[float, float]:
    """Return the mean energy of an absorbed photon and its relative variance by direct integration."""
    beam = detected_beam(QUIET, tube_spectrum(75.0, Filtration()), np.array([water_mm]), np.zeros(1))
    return float(beam.energy_kev[0, 0] / beam.quanta[0, 0]), float(beam.spread[0, 0])


def test_mean_signal_follows_from_photons_and_energies() -> None:
    geometry = panel(64)
    technique = with_quanta(100.0)
    expected = Detector(QUIET).expected(slab(geometry, 200.0), technique, geometry)
    assert expected[32, 32] == pytest.approx(100.0 * moments()[0], rel=2e-3)


@pytest.mark.parametrize("quanta", [3.0, 11.0, 13.0, 60.0])
def test_frames_average_to_the_expectation(quanta: float) -> None:
    geometry, technique = panel(256), with_quanta(quanta)
    detector, thickness = Detector(QUIET, 3), slab(panel(256), 200.0)
    frames = np.mean([detector.expose(thickness, technique, geometry, None, n).mean() for n in range(8)])
    expected = detector.expected(thickness, technique, geometry).mean()
    # 8 × 65 536 pixels: the standard error is 1.08/√(quanta·524 288); a quarter LIN of rounding beside it.
    assert frames == pytest.approx(expected, abs=5.0 * 1.08 * expected / np.sqrt(quanta * 524_288) + 0.1)


def test_signal_is_linear_in_mas() -> None:
    geometry, detector = panel(64), Detector(QUIET)
    thickness = slab(geometry, 150.0)
    once = detector.expected(thickness, with_quanta(20.0), geometry)
    thrice = detector.expected(thickness, with_quanta(60.0), geometry)
    assert thrice == pytest.approx(3.0 * once, rel=1e-5)


@pytest.mark.parametrize("quanta", [2.0, 6.0, 11.9, 12.1, 30.0, 120.0])
def test_variance_is_that_of_compound_poisson(quanta: float) -> None:
    geometry = panel(512, 0.05)  # small panel: hardly any fall-off
    technique = with_quanta(quanta, pitch_mm=0.05)
    pixels = (
        Detector(one_lin_per_kev(SHARP, 0.05), 1).expose(slab(geometry, 200.0), technique, geometry).astype(np.float64)
    )
    per_quantum, spread = moments()
    assert pixels.var() == pytest.approx(quanta * per_quantum**2 * (1.0 + spread), rel=0.01)


def test_noise_is_tied_to_dose() -> None:
    geometry, detector = panel(256, 0.1), Detector(one_lin_per_kev(QUIET, 0.1), 4)
    thickness = slab(geometry, 200.0)
    relative = {}
    for quanta in (40.0, 80.0):
        pixels = detector.expose(thickness, with_quanta(quanta, pitch_mm=0.1), geometry).astype(np.float64)
        relative[quanta] = pixels.std() / pixels.mean()
    assert relative[40.0] / relative[80.0] == pytest.approx(np.sqrt(2.0), rel=0.015)


def compound_poisson_cdf(values: NDArray[np.float64], quanta: float) -> NDArray[np.float64]:
    """Distribution of the sum of Poisson many gamma deposits, in units of one mean deposit."""
    _, spread = moments()
    counts = np.arange(1, int(quanta + 12.0 * np.sqrt(quanta) + 12))
    shares = stats.poisson.pmf(counts, quanta)
    sums = stats.gamma.cdf(values[:, None], counts / spread, scale=spread)
    result: NDArray[np.float64] = stats.poisson.pmf(0, quanta) + sums @ shares
    return result


@pytest.mark.parametrize("quanta", [0.3, 1.0, 3.7, 8.0, 11.5, 12.5, 20.0, 60.0])
def test_histogram_is_the_compound_poisson_one(quanta: float) -> None:
    # One row of pixels along the axis of a tiny panel, so that every pixel has the same mean; LIN of 1/50
    # photon.
    geometry = panel(512, 0.01)
    technique = with_quanta(quanta, pitch_mm=0.01)
    pixels = Detector(one_lin_per_kev(SHARP, 0.01), 9).expose(slab(geometry, 200.0), technique, geometry)
    per_quantum, _ = moments()
    edges = np.unique(np.quantile(pixels, np.linspace(0.02, 0.98, 40)).astype(int)) + 0.5
    edges = edges[np.concatenate([[True], np.diff(edges) > 3.0])]
    observed = np.array([(pixels <= edge).mean() for edge in edges])
    expected = compound_poisson_cdf(edges / per_quantum, quanta)
    # 262 144 samples: Kolmogorov's distance stays below 1.95/√n = 0.0038 at 0.1 %; the shape adds little.
    assert np.abs(observed - expected).max() < 0.0045
    if quanta < 2.0:
        assert (pixels == 0).mean() == pytest.approx(np.exp(-quanta), abs=0.004)


def test_fresh_noise_every_frame_and_the_same_again_for_the_same_seed() -> None:
    geometry, thickness = panel(128), slab(panel(128), 200.0)
    technique = with_quanta(40.0)
    first = Detector(seed=7).expose(thickness, technique, geometry, None, 0).astype(np.float64)
    again = Detector(seed=7).expose(thickness, technique, geometry, None, 0)
    second = Detector(seed=7).expose(thickness, technique, geometry, None, 1).astype(np.float64)
    other = Detector(seed=8).expose(thickness, technique, geometry, None, 0).astype(np.float64)
    assert np.array_equal(first, again)
    for fresh in (second, other):
        assert abs(np.corrcoef(first.ravel(), fresh.ravel())[0, 1]) < 0.04


def test_no_frame_is_a_shifted_copy_of_another() -> None:
    geometry, thickness = panel(128), slab(panel(128), 200.0)
    detector, technique = Detector(SHARP, 0), with_quanta(40.0)
    spectra = []
    for frame in range(6):
        pixels = detector.expose(thickness, technique, geometry, None, frame).astype(np.float64)
        spectra.append(np.fft.fft2((pixels - pixels.mean()) / pixels.std()))
    for i in range(6):
        for j in range(i):
            correlation = np.fft.ifft2(spectra[i] * np.conj(spectra[j])).real / 128**2
            assert np.abs(correlation).max() < 6.0 / 128.0


def test_a_frame_does_not_depend_on_the_number_of_threads() -> None:
    import numba

    geometry, thickness = panel(300), slab(panel(300), 200.0)
    detector, technique = Detector(seed=2), with_quanta(15.0)
    many = detector.expose(thickness, technique, geometry)
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        one = detector.expose(thickness, technique, geometry)
    finally:
        numba.set_num_threads(before)
    assert np.array_equal(many, one)


@pytest.mark.parametrize("pitch_mm", [0.15, 0.2, 0.3])
def test_blur_is_the_mtf_of_the_model(pitch_mm: float) -> None:
    taps = blur_taps(QUIET, pitch_mm)
    line = np.concatenate([taps[:0:-1], taps]).astype(np.float64)
    cycles = np.linspace(0.0, 0.5, 26)
    offsets = np.arange(line.size) - line.size // 2
    response = np.cos(2.0 * np.pi * np.outer(cycles, offsets)) @ line
    assert response[0] == pytest.approx(1.0, abs=1e-6)
    error = np.abs(response - QUIET.scintillator_mtf(cycles / pitch_mm))
    # Seven taps cannot follow the slope that the MTF still has at the Nyquist frequency.
    assert error[cycles <= 0.45].max() < 0.015
    assert error.max() < 0.04


def test_mtf_measured_on_an_edge() -> None:
    # A steep step of bone in the expected picture: the line spread is its derivative along the columns.
    geometry, detector = panel(256, 0.2), Detector(one_lin_per_kev(QUIET, 0.2))
    thickness = slab(geometry, 100.0)
    thickness[1, :, 128:] = 20.0
    picture = detector.expected(thickness, PULSE, geometry).astype(np.float64)
    flat = Detector(one_lin_per_kev(SHARP, 0.2)).expected(thickness, PULSE, geometry)
    measured, ideal = (np.abs(np.fft.rfft(np.diff(p[128, 96:160].astype(np.float64)))) for p in (picture, flat))
    frequency = np.fft.rfftfreq(63, 0.2)
    assert measured / ideal == pytest.approx(QUIET.scintillator_mtf(frequency), abs=0.02)


def test_quantum_noise_is_blurred_and_electronic_noise_is_not() -> None:
    geometry = panel(512, 0.2)
    thickness, technique = slab(geometry, 200.0), with_quanta(60.0, pitch_mm=0.2)
    detector = Detector(one_lin_per_kev(DetectorModel(electronic_noise_electrons=2000.0), 0.2), 6)
    power = np.zeros((64, 64))
    for frame in range(4):
        pixels = detector.expose(thickness, technique, geometry, None, frame).astype(np.float64)
        pixels -= detector.expected(thickness, technique, geometry)
        blocks = pixels.reshape(8, 64, 8, 64).transpose(0, 2, 1, 3)
        power += (np.abs(np.fft.fft2(blocks)) ** 2).mean(axis=(0, 1)) / 64.0**2 / 4.0
    per_quantum, spread = moments()
    quantum = detector.expected(thickness, technique, geometry).mean() * per_quantum * (1.0 + spread)
    frequency = np.abs(np.fft.fftfreq(64, 0.2))
    mtf = detector.model.scintillator_mtf(frequency)
    model = quantum * np.outer(mtf, mtf) ** 2 + 100.0**2
    ratio = power[2:, 2:] / model[2:, 2:]
    assert ratio.mean() == pytest.approx(1.0, abs=0.02)
    high = (frequency[2:] > 2.0)[:, None] & (frequency[2:] > 2.0)[None, :]
    assert ratio[high].mean() == pytest.approx(1.0, abs=0.05)


def test_saturation_clips_and_nothing_wraps() -> None:
    geometry = panel(64)
    pixels = Detector(seed=1).expose(slab(geometry, 0.0), PULSE, geometry)
    assert pixels.min() == pixels.max() == 65535
    small = DetectorModel(full_well_electrons=20_000.0, electronic_noise_electrons=0.0)
    assert Detector(small).expose(slab(geometry, 0.0), PULSE, geometry).max() == 1000
    twelve = DetectorModel(bits=12)
    assert Detector(twelve).expose(slab(geometry, 0.0), PULSE, geometry).max() == 4095


def test_acquisition_reads_out_with_its_own_gain() -> None:
    geometry, detector = panel(64), Detector(QUIET)
    thickness = slab(geometry, 200.0)
    acquisition = dataclasses.replace(PULSE, mode=RadiationMode.ACQUISITION)
    ratio = detector.expected(thickness, acquisition, geometry) / detector.expected(thickness, PULSE, geometry)
    assert ratio == pytest.approx(0.125, rel=1e-5)


def test_outside_the_field_there_is_electronic_noise_only() -> None:
    geometry = panel(200)
    field = Collimation(10.0, 20.0, 15.0, 5.0)
    grid = geometry.grid
    r0, r1, c0, c1 = open_pixels(field, grid.rows, grid.columns, grid.pitch_mm)
    assert (c1 - c0, r1 - r0) == (100, 67)
    pixels = Detector(seed=1).expose(slab(geometry, 100.0), with_quanta(500.0), geometry, field)
    dark = np.ones(pixels.shape, dtype=bool)
    dark[max(r0 - 3, 0) : r1 + 3, max(c0 - 3, 0) : c1 + 3] = False
    # Gaussian of 60 LIN clipped at 0: mean σ/√(2π).
    assert pixels[dark].mean() == pytest.approx(60.0 / np.sqrt(2.0 * np.pi), abs=1.0)
    quiet = Detector(QUIET, 1).expose(slab(geometry, 100.0), with_quanta(500.0), geometry, field)
    assert quiet[dark].max() == 0
    assert quiet[r0 + 3 : r1 - 3, c0 + 3 : c1 - 3].min() > 0


def test_oblique_rays_lose_by_distance_and_gain_by_path() -> None:
    geometry = panel(201, 1.5)
    picture = Detector(SHARP).expected(slab(geometry, 0.0), with_quanta(50.0, 0.0), geometry)
    side = 150.0
    cosine = 1020.0 / np.hypot(1020.0, side)
    assert 0.0 < picture[100, 200] / picture[100, 100] / cosine**3 - 1.0 < 0.5 * (1.0 / cosine - 1.0)


def test_a_pixel_value_means_the_same_dose_for_any_pixel_size() -> None:
    fine, coarse = panel(64, 0.15), panel(64, 0.6)
    detector = Detector(QUIET)
    values = [detector.expected(slab(p, 200.0), PULSE, p)[32, 32] for p in (fine, coarse)]
    assert values[0] == pytest.approx(values[1], rel=2e-3)


def test_inverse_square_of_the_panel() -> None:
    thickness = slab(panel(65), 200.0)
    near = panel(65)
    far = projection_geometry(CArmPose(0.0, 0.0, 510.0, 2040.0), DetectorGrid(65, 65, 0.3))
    detector = Detector(QUIET)
    ratio = detector.expected(thickness, PULSE, near)[32, 32] / detector.expected(thickness, PULSE, far)[32, 32]
    assert ratio == pytest.approx(4.0, rel=1e-4)


def test_measuring_field_and_its_forecast() -> None:
    geometry, detector = panel(256), Detector(seed=1)
    technique, thickness = with_quanta(60.0), slab(panel(256), 200.0)
    field = Collimation(20.0, 20.0, 30.0, 30.0)
    r0, r1, c0, c1 = measuring_field(geometry.grid, field)
    assert (r1 - r0, c1 - c0) == (100, 68)
    thickness[0, : r0 - 4] = 0.0  # bright beyond the blur of the measuring field: must not count
    pixels = detector.expose(thickness, technique, geometry, field)
    forecast = detector.expected_signal(thickness, technique, geometry, field)
    assert detector.mean_signal(pixels, geometry.grid, field) == pytest.approx(forecast, rel=0.02)


def test_signal_per_kerma() -> None:
    # About 30 000 photons per mm² and µGy behind a patient (Boone 1998 and IEC 62220-1 RQA5: 30 174).
    technique = dataclasses.replace(PULSE, tube_voltage_kv=70.0)
    per_ugy = Detector(QUIET).signal_per_ugy(technique, 0.3)
    beam = tube_spectrum(70.0, Filtration()).filtered(MATERIALS["water"], 200.0)
    photons = beam.photons_per_mm2_mas.sum() / beam.air_kerma_ugy_per_mas()
    assert photons == pytest.approx(30_000.0, rel=0.05)
    assert 0.7 < per_ugy / (photons * 0.09 * beam.mean_energy_kev()) < 0.85


def test_a_buffer_is_written_in_place_and_wrong_arrays_are_refused() -> None:
    geometry, detector = panel(32), Detector()
    thickness, out = slab(geometry, 100.0), np.empty((32, 32), dtype=np.uint16)
    assert detector.expose(thickness, PULSE, geometry, None, 0, out) is out
    with pytest.raises(ValueError, match="thickness maps must be float32"):
        detector.expose(thickness[:, :16], PULSE, geometry)
    with pytest.raises(ValueError, match="C-contiguous"):
        detector.expose(thickness.transpose(0, 2, 1), PULSE, geometry)
    with pytest.raises(ValueError, match="out must be"):
        detector.expose(thickness, PULSE, geometry, None, 0, np.empty((32, 31), dtype=np.uint16))
    with pytest.raises(ValueError, match="frame number"):
        detector.expose(thickness, PULSE, geometry, None, -1)
    with pytest.raises(ValueError, match="seed"):
        Detector(seed=-1)
    with pytest.raises(ValueError, match="no open pixel"):
        measuring_field(geometry.grid, Collimation(-20.0, 30.0, 10.0, 10.0))
