"""The map of the skin: geometry that can be worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from fluoroscope.dose.skin_factors import backscatter, medium, oblique_transmission, table_transmission
from fluoroscope.dose.skin_map import (
    ImplausibleSkinDoseError,
    Lying,
    SkinEvent,
    plausible_limit_mgy,
    skin_bounds,
    skin_map,
)
from fluoroscope.dose.skin_phantoms import PHANTOMS, skin_phantom
from fluoroscope.geometry.table import PatientPosition, TablePose

pytestmark = pytest.mark.req("REQ-SKIN-001")

EVENT = SkinEvent(
    air_kerma_mgy=10.0,
    reference_mm=600.0,
    field_mm=(100.0, 100.0),
    tube_voltage_kv=80.0,
    copper_mm=0.3,
    source_to_isocenter_mm=750.0,
    source_to_detector_mm=1200.0,
    angles_deg=(0.0, 0.0),
    table=TablePose(longitudinal_mm=700.0, height_mm=-150.0),
)


@pytest.fixture(scope="module", params=PHANTOMS)
def phantom(request):
    return skin_phantom(request.param)


def test_the_peak_on_a_plane_is_the_formula():
    found = skin_map(skin_phantom("plane"), Lying(), [EVENT])
    distance = 750.0 - 150.0 + 40.0  # the pad lies on the table
    side = 10.0 * distance / 600.0
    factors = float(backscatter(80.0, EVENT.hvl_mm_al, side)) * medium(80.0, EVENT.hvl_mm_al)
    along = np.hypot(distance, 5.0 * np.sqrt(2.0))  # the nearest cells' centres
    table = float(oblique_transmission(table_transmission(80.0, 0.0, 0.3), distance / along))
    assert found.peak_mgy == pytest.approx(10.0 * (600.0 / along) ** 2 * factors * table, rel=1e-3)
    assert found.peak_position_mm == pytest.approx((0.0, 0.0, -700.0), abs=10.0)


def test_kerma_on_the_skin_falls_with_the_square_of_the_distance():
    lower = replace(EVENT, table=TablePose(longitudinal_mm=700.0, height_mm=-350.0))
    near, far = (skin_map(skin_phantom("plane"), Lying(), [event]).peak_mgy for event in (lower, EVENT))
    # Fields of 7.3 and 10.7 cm: backscatter must be taken out first.
    hvl = EVENT.hvl_mm_al
    scatter = float(backscatter(80.0, hvl, 44.0 / 6.0) / backscatter(80.0, hvl, 64.0 / 6.0))
    assert near / far == pytest.approx((640.0 / 440.0) ** 2 * scatter, rel=2e-4)


def test_all_of_the_kap_meets_a_body_wider_than_the_beam(phantom):
    assert skin_map(phantom, Lying(), [EVENT]).share_of_kap_on_patient == pytest.approx(1.0, abs=0.02)


def test_half_a_beam_beside_the_plane_is_half_the_kap():
    beside = replace(EVENT, table=TablePose(lateral_mm=225.0, longitudinal_mm=700.0, height_mm=-150.0))
    found = skin_map(skin_phantom("plane"), Lying(), [beside])
    assert found.share_of_kap_on_patient == pytest.approx(0.5, abs=0.01)


def test_doses_of_events_add_up_cell_by_cell(phantom):
    events = [EVENT, replace(EVENT, angles_deg=(30.0, 10.0)), replace(EVENT, angles_deg=(-90.0, 0.0))]
    apart = sum(skin_map(phantom, Lying(), [event]).dose_mgy for event in events)
    np.testing.assert_allclose(skin_map(phantom, Lying(), events).dose_mgy, apart, rtol=1e-12)


@pytest.mark.parametrize(("position", "angles", "sign"), [("HFS", 0.0, 1), ("HFP", 180.0, -1), ("FFS", 0.0, 1)])
def test_tube_under_the_table_meets_the_back_of_the_supine_and_the_belly_of_the_prone(position, angles, sign):
    lying = Lying(PatientPosition[position])
    found = skin_map(skin_phantom("adult"), lying, [replace(EVENT, angles_deg=(angles, 0.0))])
    assert sign * found.peak_position_mm[1] > 80.0
    # The field reaches 53 mm from its centre; its part over the deepest body is nearest to the source.
    assert found.peak_position_mm[2] == pytest.approx(-700.0 if position[:2] == "HF" else -1060.0, abs=60.0)


def test_the_left_oblique_enters_on_the_right_and_the_cranial_from_the_feet():
    left, cranial = (
        skin_map(skin_phantom("adult"), Lying(), [replace(EVENT, angles_deg=angles)]).peak_position_mm
        for angles in ((45.0, 0.0), (0.0, 25.0))
    )
    assert left[0] < -40.0
    assert cranial[2] < -710.0


def test_a_lateral_beam_does_not_cross_the_table():
    lateral = replace(EVENT, angles_deg=(90.0, 0.0), table=TablePose(longitudinal_mm=700.0, height_mm=-150.0))
    found = skin_map(skin_phantom("cylinder"), Lying(), [lateral])
    bare = 10.0 * (600.0 / 550.0) ** 2 * float(backscatter(80.0, lateral.hvl_mm_al, 5.5 / 6.0 * 10.0))
    assert found.peak_mgy == pytest.approx(bare * medium(80.0, lateral.hvl_mm_al), rel=0.01)


def test_a_rotation_spreads_the_dose():
    still = skin_map(skin_phantom("cylinder"), Lying(), [EVENT])
    turning = skin_map(skin_phantom("cylinder"), Lying(), [replace(EVENT, end_angles_deg=(90.0, 0.0))])
    assert turning.peak_mgy < 0.6 * still.peak_mgy
    assert (turning.dose_mgy > 0.0).sum() > 2 * (still.dose_mgy > 0.0).sum()


def test_a_beam_that_misses_gives_nothing_and_its_number():
    away = replace(EVENT, table=TablePose(lateral_mm=900.0, longitudinal_mm=700.0, height_mm=-150.0))
    found = skin_map(skin_phantom("adult"), Lying(), [EVENT, away])
    assert found.missed == (1,)
    assert found.share_of_kap_on_patient == pytest.approx(0.5, abs=0.01)
    assert skin_map(skin_phantom("adult"), Lying(), [away]).peak_position_mm is None


def test_skin_nearer_than_a_machine_allows_is_an_error_and_no_number():
    close = replace(EVENT, table=TablePose(longitudinal_mm=700.0, height_mm=-650.0))
    with pytest.raises(ImplausibleSkinDoseError, match="does not fit"):
        skin_map(skin_phantom("plane"), Lying(), [close])


def test_an_event_without_geometry_is_refused():
    with pytest.raises(ValueError, match="table's position"):
        skin_map(skin_phantom("plane"), Lying(), [replace(EVENT, table=None)])


def test_bounds_enclose_the_estimate_and_the_map():
    events = [EVENT, replace(EVENT, angles_deg=(90.0, 0.0))]
    bounds = skin_bounds(events)
    assert bounds.lower_mgy < bounds.estimate_mgy < bounds.upper_mgy == plausible_limit_mgy(events, 300.0)
    assert bounds.lower_mgy < skin_map(skin_phantom("adult"), Lying(), events).peak_mgy < bounds.upper_mgy
    blind = skin_bounds([replace(event, angles_deg=None) for event in events])
    assert blind.estimate_mgy == pytest.approx(2.0 * bounds.estimate_mgy)


@pytest.mark.parametrize(("height", "weight"), [(150.0, 45.0), (176.0, 73.0), (190.0, 140.0)])
def test_the_adult_weighs_what_was_asked_without_arms(height, weight):
    adult = skin_phantom("adult", height, weight)
    volume = (adult.centers[:, 2:] * adult.normals[:, 2:] * adult.areas_mm2[:, None]).sum()
    volume += (adult.centers[:, :2] * adult.normals[:, :2] * adult.areas_mm2[:, None]).sum()
    # The ends are open: the sole's disc is the one that counts in the divergence.
    sole = -adult.centers[-1, 2] * np.pi * np.prod(np.abs(adult.centers[-adult.shape[1] :, :2]).max(axis=0))
    assert (volume + sole) / 3.0 * 1.02e-6 == pytest.approx(0.9 * weight, rel=0.02)
    assert adult.height_mm == pytest.approx(10.0 * height)


def test_normals_point_out_and_areas_add_up():
    cylinder = skin_phantom("cylinder")
    assert (np.einsum("ij,ij->i", cylinder.normals[:, :2], cylinder.centers[:, :2]) > 0.0).all()
    # Ramanujan's perimeter of an ellipse of 200 and 100 mm.
    assert cylinder.areas_mm2.sum() == pytest.approx(968.84 * 1500.0, rel=1e-3)


@pytest.mark.parametrize("wanted", [("ghost", 176.0, 73.0), ("adult", 20.0, 73.0), ("adult", 176.0, 900.0)])
def test_what_is_no_body_is_refused(wanted):
    with pytest.raises(ValueError, match=r"phantom must be|an adult has"):
        skin_phantom(*wanted)
