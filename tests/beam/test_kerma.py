"""The dose meter of one pulse."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluoroscope.beam import Filtration, Technique, pulse_kerma, reference_distance_mm

PULSE = Technique(80.0, 50.0, 10.0, 15.0, Filtration(3.1, 0.0))


def test_output_at_the_reference_point() -> None:
    # 69.5 µGy/mAs at 1 m, 0.5 mAs, 360 mm: 69.5 × 0.5 / 0.36².
    pulse = pulse_kerma(PULSE, reference_distance_mm(510.0), 300.0**2, 1020.0)
    kerma, kap = pulse.air_kerma_mgy, pulse.kap_gy_cm2
    assert kerma == pytest.approx(69.5e-3 * 0.5 / 0.36**2, rel=0.005)
    assert kap == pytest.approx(kerma * 1e-3 * (30.0 * 360.0 / 1020.0) ** 2)
    assert type(kerma) is float
    assert type(kap) is float


@given(distance=st.floats(100.0, 2000.0), factor=st.floats(0.2, 5.0))
def test_inverse_square_and_kap_the_same_in_every_plane(distance: float, factor: float) -> None:
    near = pulse_kerma(PULSE, distance, 9e4, 1000.0)
    far = pulse_kerma(PULSE, distance * factor, 9e4, 1000.0)
    assert far.air_kerma_mgy * factor**2 == pytest.approx(near.air_kerma_mgy)
    assert far.kap_gy_cm2 == pytest.approx(near.kap_gy_cm2)
    # The same field measured in another plane.
    other = pulse_kerma(PULSE, distance, 9e4 * factor**2, 1000.0 * factor)
    assert dataclasses.astuple(other) == pytest.approx(dataclasses.astuple(near))


@given(ma=st.floats(0.1, 500.0), ms=st.floats(0.1, 500.0), parts=st.integers(2, 5))
def test_kerma_is_linear_in_mas_and_pulses_add(ma: float, ms: float, parts: int) -> None:
    whole = dataclasses.replace(PULSE, tube_current_ma=ma, pulse_width_ms=ms)
    part = dataclasses.replace(whole, pulse_width_ms=ms / parts)
    total = pulse_kerma(whole, 360.0, 9e4, 1020.0)
    pieces = [pulse_kerma(part, 360.0, 9e4, 1020.0) for _ in range(parts)]
    assert sum(p.air_kerma_mgy for p in pieces) == pytest.approx(total.air_kerma_mgy)
    assert sum(p.kap_gy_cm2 for p in pieces) == pytest.approx(total.kap_gy_cm2)


def test_a_closed_collimator_gives_no_kap() -> None:
    assert pulse_kerma(PULSE, 360.0, 0.0, 1020.0).kap_gy_cm2 == 0.0


@pytest.mark.parametrize(("reference", "area", "plane"), [(0.0, 1.0, 1.0), (1.0, -1.0, 1.0), (1.0, 1.0, 0.0)])
def test_impossible_places_are_refused(reference: float, area: float, plane: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        pulse_kerma(PULSE, reference, area, plane)


def test_reference_point_behind_the_source_is_refused() -> None:
    with pytest.raises(ValueError, match="150 mm"):
        reference_distance_mm(150.0)
