"""Spectra: what must hold of any beam. Agreement with SpekPy and standards is in tests/physics."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluoroscope.beam import MATERIALS, Filtration, Spectrum, spectra_provenance, tube_spectrum

VOLTAGES = st.floats(40.0, 125.0)


@given(kv=VOLTAGES)
def test_no_photon_has_more_energy_than_the_tube_gives(kv: float) -> None:
    spectrum = tube_spectrum(kv, Filtration())
    width = spectrum.energies_kev[1] - spectrum.energies_kev[0]
    assert spectrum.photons_per_mm2_mas[spectrum.energies_kev - width / 2.0 >= kv].sum() == 0.0


@given(kv=st.floats(40.0, 149.0), step=st.floats(0.05, 1.0), copper=st.sampled_from([0.0, 0.1, 0.9]))
def test_output_and_hardness_rise_with_voltage(kv: float, step: float, copper: float) -> None:
    lower, higher = (tube_spectrum(v, Filtration(3.1, copper)) for v in (kv, kv + step))
    assert higher.air_kerma_ugy_per_mas() > lower.air_kerma_ugy_per_mas()
    assert higher.mean_energy_kev() > lower.mean_energy_kev()


@given(kv=VOLTAGES, first=st.floats(0.0, 5.0), second=st.floats(0.0, 5.0))
def test_filters_add(kv: float, first: float, second: float) -> None:
    aluminium = MATERIALS["aluminium"]
    bare = tube_spectrum(kv, Filtration(2.5, 0.0))
    twice = bare.filtered(aluminium, first).filtered(aluminium, second)
    once = tube_spectrum(kv, Filtration(2.5 + first + second, 0.0))
    assert twice.photons_per_mm2_mas == pytest.approx(once.photons_per_mm2_mas, rel=1e-9)


@given(kv=VOLTAGES, copper=st.floats(0.0, 0.9))
def test_one_half_value_layer_halves_the_kerma(kv: float, copper: float) -> None:
    beam = tube_spectrum(kv, Filtration(3.1, copper))
    aluminium, kerma = MATERIALS["aluminium"], beam.air_kerma_ugy_per_mas()
    first, second = beam.hvl_mm_al(1), beam.hvl_mm_al(2)
    assert second > first
    assert beam.filtered(aluminium, first).air_kerma_ugy_per_mas() == pytest.approx(kerma / 2.0, rel=1e-8)
    assert beam.filtered(aluminium, first + second).air_kerma_ugy_per_mas() == pytest.approx(kerma / 4.0, rel=1e-8)


def test_inverse_square() -> None:
    beam = tube_spectrum(80.0, Filtration())
    assert beam.air_kerma_ugy_per_mas(500.0) == pytest.approx(4.0 * beam.air_kerma_ugy_per_mas(1000.0))
    assert beam.photons_per_mm2(2.0, 2000.0) == pytest.approx(beam.photons_per_mm2_mas.sum() / 2.0)


def test_kerma_of_one_energy_is_the_published_fluence_to_kerma() -> None:
    # 60 keV: E·μen/ρ = 60 keV × 0.03041 cm²/g = 0.2923 pGy·cm² per photon.
    beam = Spectrum(np.array([60.0]), np.array([1e6]))
    assert beam.air_kerma_ugy_per_mas() == pytest.approx(1e8 * 0.2923e-12 * 1e6, rel=1e-3)


def test_minimum_half_value_layers_of_the_rule_are_met_by_the_default_beam() -> None:
    # 21 CFR 1020.30(m), systems from 2006 on.
    for kv, minimum in ((70, 2.5), (80, 2.9), (90, 3.2), (100, 3.6), (110, 3.9), (120, 4.3)):
        assert tube_spectrum(float(kv), Filtration()).hvl_mm_al() > minimum


def test_the_table_says_how_it_was_made() -> None:
    provenance = spectra_provenance()
    assert provenance["program"].startswith("SpekPy 2.")
    assert provenance["script"] == "scripts/bake_spectra.py"


@pytest.mark.parametrize(
    ("kv", "anode", "says"),
    [(39.9, 11.0, "voltage"), (150.1, 11.0, "voltage"), (80.0, 7.0, "anode"), (80.0, 15.0, "anode")],
)
def test_beams_outside_the_table_are_refused(kv: float, anode: float, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        tube_spectrum(kv, Filtration(), anode)


def test_wrong_spectra_are_refused() -> None:
    with pytest.raises(ValueError, match="ascend"):
        Spectrum(np.array([2.0, 1.0]), np.array([1.0, 1.0]))
    with pytest.raises(ValueError, match="each energy"):
        Spectrum(np.array([1.0]), np.array([1.0, 1.0]))
    with pytest.raises(ValueError, match="not negative"):
        Spectrum(np.array([60.0]), np.array([-1.0]))
    with pytest.raises(ValueError, match="empty beam"):
        Spectrum(np.array([60.0]), np.array([0.0])).hvl_mm_al()
    with pytest.raises(ValueError, match="1 or 2"):
        tube_spectrum(80.0, Filtration()).hvl_mm_al(3)
    with pytest.raises(ValueError, match="thickness"):
        tube_spectrum(80.0, Filtration()).filtered(MATERIALS["water"], -1.0)
    with pytest.raises(ValueError, match="distance"):
        tube_spectrum(80.0, Filtration()).air_kerma_ugy_per_mas(0.0)
