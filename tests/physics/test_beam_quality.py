"""Beam quality against SpekPy and the RQR qualities of IEC 61267."""

import csv
import os
from pathlib import Path

import pytest

from fluoroscope.beam import MATERIALS, Filtration, tube_spectrum

# IEC 61267: quality, kV, first half-value layer mm Al; the filter is the Al that SpekPy needs at 12° with 1 m
# of air.
RQR = {
    "RQR 2": (40.0, 1.42, 2.474),
    "RQR 3": (50.0, 1.78, 2.441),
    "RQR 4": (60.0, 2.19, 2.607),
    "RQR 5": (70.0, 2.58, 2.719),
    "RQR 6": (80.0, 3.01, 2.827),
    "RQR 7": (90.0, 3.48, 2.941),
    "RQR 8": (100.0, 3.97, 3.065),
    "RQR 9": (120.0, 5.00, 3.384),
    "RQR 10": (150.0, 6.57, 3.931),
}


def table(name: str) -> list[dict[str, str]]:
    folder = os.environ.get("FLUOROSCOPE_TEST_DATA", "")
    path = Path(folder) / "spectra" / name
    if not folder or not path.is_file():
        pytest.skip(f"spectra/{name} is not in FLUOROSCOPE_TEST_DATA")
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.req("REQ-BEAM-001")
@pytest.mark.parametrize("quality", RQR)
def test_rqr_half_value_layers(quality: str) -> None:
    kv, hvl_mm, aluminium_mm = RQR[quality]
    beam = tube_spectrum(kv, Filtration(aluminium_mm, 0.0), 12.0).filtered(MATERIALS["air"], 1000.0)
    assert beam.hvl_mm_al() == pytest.approx(hvl_mm, rel=0.01)


@pytest.mark.data
def test_rqr_beams_of_the_shared_table() -> None:
    rows = table("rqr_spekpy.csv")
    assert len(rows) == 9
    for row in rows:
        filtration = Filtration(float(row["al_filtration_solved_mm"]), 0.0)
        beam = tube_spectrum(float(row["kV"]), filtration, 12.0).filtered(MATERIALS["air"], 1000.0)
        assert beam.hvl_mm_al(1) == pytest.approx(float(row["hvl1_spekpy"]), rel=0.01)
        assert beam.hvl_mm_al(2) == pytest.approx(float(row["hvl2_spekpy"]), rel=0.01)
        assert beam.mean_energy_kev() == pytest.approx(float(row["mean_energy_keV"]), rel=0.005)
        kerma = float(row["air_kerma_uGy_per_mAs_at_100cm"])
        assert beam.air_kerma_ugy_per_mas() == pytest.approx(kerma, rel=0.02)


@pytest.mark.req("REQ-BEAM-001")
@pytest.mark.data
def test_144_c_arm_beams() -> None:
    rows = table("carm_hvl_spekpy.csv")
    assert len(rows) == 144
    for row in rows:
        filtration = Filtration(float(row["inherent_mmAl"]), float(row["added_mmCu"]))
        beam = tube_spectrum(float(row["kV"]), filtration, float(row["anode_deg"]))
        assert beam.hvl_mm_al(1) == pytest.approx(float(row["hvl1_mmAl"]), rel=0.01)
        assert beam.hvl_mm_al(2) == pytest.approx(float(row["hvl2_mmAl"]), rel=0.01)
        assert beam.mean_energy_kev() == pytest.approx(float(row["mean_energy_keV"]), rel=0.005)
        kerma = float(row["air_kerma_uGy_per_mAs_at_100cm"])
        assert beam.air_kerma_ugy_per_mas() == pytest.approx(kerma, rel=0.02)


@pytest.mark.parametrize(("copper_mm", "ugy_per_mas"), [(0.0, 69.5), (0.1, 36.6), (0.3, 17.3)])
def test_output_at_80_kv(copper_mm: float, ugy_per_mas: float) -> None:
    beam = tube_spectrum(80.0, Filtration(3.1, copper_mm), 11.0)
    assert beam.air_kerma_ugy_per_mas() == pytest.approx(ugy_per_mas, rel=0.02)


@pytest.mark.parametrize(
    ("kv", "anode_deg", "aluminium_mm", "copper_mm"),
    [
        (40.5, 9.0, 2.5, 0.0),
        (58.7, 11.0, 3.1, 0.1),
        (69.7, 11.0, 3.1, 0.1),
        (70.6, 13.0, 4.0, 0.05),
        (72.4, 11.0, 3.1, 0.17),
        (113.3, 11.0, 3.1, 0.4),
        (124.5, 8.6, 2.5, 0.9),
    ],
)
def test_beams_that_were_not_baked_are_those_of_spekpy(
    kv: float, anode_deg: float, aluminium_mm: float, copper_mm: float
) -> None:
    spekpy = pytest.importorskip("spekpy")
    oracle = spekpy.Spek(kvp=kv, th=anode_deg, dk=0.5, physics="spekpy-v1", mu_data_source="nist")
    oracle.filter("Al", aluminium_mm).filter("Cu", copper_mm)
    beam = tube_spectrum(kv, Filtration(aluminium_mm, copper_mm), anode_deg)
    assert beam.hvl_mm_al(1) == pytest.approx(oracle.get_hvl1(), rel=0.01)
    assert beam.hvl_mm_al(2) == pytest.approx(oracle.get_hvl2(), rel=0.01)
    assert beam.mean_energy_kev() == pytest.approx(oracle.get_emean(), rel=0.002)
    assert beam.air_kerma_ugy_per_mas() == pytest.approx(oracle.get_kerma(), rel=0.01)
