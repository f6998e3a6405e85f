"""Factors of the skin dose against published values."""

import csv

import numpy as np
import pytest

from fluoroscope.dose.skin_factors import (
    BACKSCATTER_SIDES_CM,
    backscatter,
    backscatter_at_sides,
    half_value_layer_mm_al,
    inverse_square,
    medium,
    oblique_transmission,
    table_transmission,
)


@pytest.mark.parametrize(
    ("kv", "hvl", "side", "table"), [(80, 3.12, 10, 1.330), (80, 6.47, 20, 1.550), (80, 7.88, 35, 1.639)]
)
def test_backscatter_is_within_half_a_percent_of_the_published_table(kv, hvl, side, table):
    # Benmakhlouf 2011, PMB 56:7179.
    assert float(backscatter(kv, hvl, side)) == pytest.approx(table, rel=0.005)


def test_backscatter_of_448_vectors(data_folder):
    rows = list(csv.DictReader((data_folder / "rdsr" / "kbs_vectors.csv").read_text().splitlines()))
    assert len(rows) == 448
    ours = [float(backscatter(float(row["kVp"]), float(row["HVL_mmAl"]), float(row["field_side_cm"]))) for row in rows]
    np.testing.assert_allclose(ours, [float(row["k_bs"]) for row in rows], rtol=0.0, atol=1e-4)


def test_backscatter_takes_the_ends_outside_its_fields_and_passes_through_its_sides():
    at_sides = backscatter_at_sides(80.0, 3.15)
    np.testing.assert_allclose(backscatter(80.0, 3.15, BACKSCATTER_SIDES_CM), at_sides, rtol=1e-12)
    assert list(backscatter(80.0, 3.15, [1.0, 60.0])) == pytest.approx([at_sides[0], at_sides[-1]])


@pytest.mark.parametrize("cells", [1, 2, 3, 4])
def test_inverse_square_is_the_scalar_formula_for_any_number_of_cells(cells):
    distances = np.linspace(400.0, 900.0, cells)
    assert list(inverse_square(600.0, distances)) == [(600.0 / one) ** 2 for one in distances]


def test_distances_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="above 0 mm"):
        inverse_square(600.0, [0.0])


def test_medium_at_80_kv():
    # Benmakhlouf 2011: 1.021 without copper, 1.042 behind 0.9 mm; the fit misses at most 0.005.
    assert medium(80.0, 3.12) == pytest.approx(1.021, abs=0.005)
    assert medium(80.0, 8.69) == pytest.approx(1.042, abs=0.005)


def test_table_is_as_measured_and_thicker_for_oblique_rays():
    assert table_transmission(80.0, 0.0, 0.3) == pytest.approx(0.7319)
    assert table_transmission(70.0, 0.0, 0.0) == pytest.approx((0.6192 + 0.6547) / 2.0)
    assert table_transmission(80.0, 0.0, 0.0) < table_transmission(80.0, 2.0, 0.0) < table_transmission(80.0, 0.0, 0.1)
    assert float(oblique_transmission(0.7, 0.5)) == pytest.approx(0.49)


@pytest.mark.parametrize(("copper", "hvl"), [(0.0, 3.15), (0.1, 4.68), (0.3, 6.46), (0.9, 8.64)])
def test_half_value_layer_of_c_arm_beams_at_80_kv(copper, hvl):
    # SpekPy 2.5.4, 3.1 mm Al, 11 degrees.
    assert half_value_layer_mm_al(80.0, 3.1, copper) == pytest.approx(hvl, rel=0.02)
