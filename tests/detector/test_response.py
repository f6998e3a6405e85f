"""The response of the panel: absorption, and the table against direct integration."""

import numpy as np
import pytest

from fluoroscope.beam import MATERIALS, Filtration, Spectrum, linear_attenuation_per_mm, tube_spectrum
from fluoroscope.detector.model import DetectorModel, detected_energy
from fluoroscope.detector.response import (
    BONE_LIMIT_MM,
    WATER_LIMIT_MM,
    DetectedBeam,
    detected_beam,
    response_table,
)

MODEL = DetectorModel()


def at(kev: list[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    response = detected_energy(MODEL, np.array(kev).tobytes())
    return response.absorbed, response.mean_kev, response.square_kev2


def test_absorption_is_that_of_caesium_iodide() -> None:
    # μ_pe/ρ of CsI at 60 keV is 7.92 − 0.40 (scatter) cm²/g (NIST SRD 126 and XCOM): 1 − exp(−0.2 × 7.5).
    assert at([60.0])[0] == pytest.approx(1.0 - np.exp(-0.2 * 7.5), rel=0.01)


def test_nothing_escapes_below_the_k_edges() -> None:
    _, mean, square = at([25.0, 32.0])
    assert mean == pytest.approx([25.0, 32.0])
    assert square * MODEL.optical_swank == pytest.approx(np.square([25.0, 32.0]))


def test_swank_factor_is_that_of_measured_columns() -> None:
    # Zhao, Ristic and Rowlands 2004 (Med. Phys. 31:2594): 0.91 and 0.93 below the K edges; K escape lowers it
    # most just above them (Swank 1973).
    _, mean, square = at([30.0, 40.0, 60.0, 100.0])
    swank = mean**2 / square
    assert 0.91 <= swank[0] <= 0.93
    assert 0.78 < swank[1] < swank[2] < swank[3] < swank[0]


@pytest.mark.parametrize(
    ("kv", "filtration"),
    [
        (40.0, Filtration(2.5, 0.0)),
        (60.0, Filtration(3.1, 0.0)),
        (80.0, Filtration(3.1, 0.1)),
        (125.0, Filtration(3.1, 0.9)),
    ],
)
def test_table_is_within_two_per_mille_of_direct_integration(kv: float, filtration: Filtration) -> None:
    rng = np.random.default_rng(5)
    water = np.sort(rng.uniform(0.0, 450.0, 200))
    bone = np.sort(np.concatenate([rng.uniform(0.0, top, 80) for top in (3.0, 20.0, 150.0, 600.0)]))
    direct = detected_beam(MODEL, tube_spectrum(kv, filtration), water, bone).energy_kev
    looked_up = response_table(MODEL, kv, filtration).energy_kev(water[:, None], bone[None, :])
    assert np.abs(looked_up / direct - 1.0).max() < 2e-3


def test_rays_beyond_the_table_are_read_at_its_end() -> None:
    table = response_table(MODEL, 80.0, Filtration())
    end = table.energy_kev(np.array(WATER_LIMIT_MM), np.array(BONE_LIMIT_MM))
    assert table.energy_kev(np.array(1e4), np.array(1e4)) == pytest.approx(float(end))
    assert 0.0 < end < 1e-9 * table.energy_kev(np.array(0.0), np.array(0.0))


def test_transmission_of_300_mm_of_water_at_one_energy() -> None:
    beam = Spectrum(np.array([60.0]), np.array([1e4]))
    result: DetectedBeam = detected_beam(MODEL, beam, np.array([0.0, 300.0]), np.zeros(1))
    assert result.energy_kev[1, 0] / result.energy_kev[0, 0] == pytest.approx(2.077e-3, rel=0.01)
    assert result.quanta[1, 0] / result.quanta[0, 0] == pytest.approx(2.077e-3, rel=0.01)


def test_the_beam_hardens() -> None:
    table = response_table(MODEL, 80.0, Filtration())
    depth = np.arange(0.0, 400.0, 20.0)
    slope = -np.diff(np.log(table.energy_kev(depth, np.zeros_like(depth)))) / 20.0
    assert (np.diff(slope) < 0.0).all()
    assert slope[0] < linear_attenuation_per_mm(MATERIALS["water"], 30.0)
    assert slope[-1] > linear_attenuation_per_mm(MATERIALS["water"], 80.0)


@pytest.mark.parametrize(
    "wrong",
    [{"pitch_mm": 0.0}, {"optical_swank": 1.1}, {"bits": 17}, {"electronic_noise_electrons": -1.0}],
)
def test_impossible_panels_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DetectorModel(**wrong)  # type: ignore[arg-type]
