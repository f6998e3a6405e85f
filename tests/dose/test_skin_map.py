"""The map of the skin: geometry that can be worked out by hand."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from fluoroscope.acquisition.frame import Collimation
from fluoroscope.dose.skin_dose import Penumbra, SkinBeam, SkinDose, beam_of_pose
from fluoroscope.dose.skin_factors import BeamQuality, backscatter, medium, oblique_transmission, table_transmission
from fluoroscope.dose.skin_map import (
    ImplausibleSkinDoseError,
    Lying,
    SkinEvent,
    SkinPlace,
    event_beams,
    lay,
    lay_at,
    plausible_limit_mgy,
    skin_bounds,
    skin_map,
)
from fluoroscope.dose.skin_phantoms import PHANTOMS, SkinPhantom, cells_between, skin_phantom
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.positioner import positioner_angles
from fluoroscope.geometry.table import PatientPosition, TablePose, patient_from_equipment

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

FLAT = BeamQuality(80.0, 4.68, 1.0, 1.0, np.array([[0.0] * 4] * 3 + [[1.4] * 4]), 1.4)
"""A quality whose backscatter is the same for every field."""
FLAT.backscatter_spline.setflags(write=False)


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


@pytest.mark.parametrize("position", ["HFS", "HFP", "FFP", "HFDL"])
def test_angles_of_a_patient_on_a_turned_table_are_the_beam_of_the_c_arm(position):
    lies, table = PatientPosition[position], TablePose(15.0, -30.0, 20.0, 12.0, -8.0, 5.0)
    pose = CArmPose(25.0, -10.0, 750.0, 1200.0)
    phantom = skin_phantom("adult")
    placed = lay_at(phantom, lies, np.array([0.0, 0.0, -700.0]))
    quality = EVENT.quality
    from_c_arm, from_report = SkinDose(phantom), SkinDose(phantom)
    blades = Collimation(100.0, 100.0, 100.0, 100.0)  # 100 mm at 600 mm
    matrix = patient_from_equipment(table, lies, (0.0, 0.0, -700.0))
    from_c_arm.add(beam_of_pose(pose, blades, 10.0, 600.0, quality, matrix, placed.tabletop))
    angles = positioner_angles(pose, table, lies)
    event = replace(EVENT, angles_deg=angles, table=table, turns_with_table=True)
    for beam in event_beams(event, placed):
        from_report.add(beam)
    np.testing.assert_allclose(from_report.dose_mgy, from_c_arm.dose_mgy, rtol=1e-9, atol=1e-12)
    assert from_c_arm.peak_mgy > 1.0


def test_a_field_cut_in_two_is_the_whole_exactly():
    phantom = skin_phantom("cylinder")
    placed = lay(phantom, Lying())
    (whole,) = event_beams(replace(EVENT, angles_deg=(33.0, 12.0)), placed)
    low_u, high_u, low_v, high_v = whole.field_mm
    parts = [(low_u, -7.3, low_v, high_v), (7.3, high_u, low_v, high_v)]

    def kerma_on_skin(field):
        # Backscatter hangs on the field's size: the same quality of one field size is given to all.
        skin = SkinDose(phantom)
        flat = replace(whole, field_mm=field, quality=FLAT)
        skin.add(flat)
        return skin.dose_mgy

    np.testing.assert_allclose(
        kerma_on_skin(parts[0]) + kerma_on_skin(parts[1]), kerma_on_skin(whole.field_mm), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("cells", [1, 2, 3, 4])
def test_any_number_of_cells_gets_the_scalar_formula(cells):
    rng = np.random.default_rng(cells)
    centers = np.column_stack([rng.uniform(-20, 20, cells), np.full(cells, -30.0), rng.uniform(-20, 20, cells)])
    normals = np.tile([0.0, 1.0, 0.0], (cells, 1))
    points = np.zeros((cells, 2, 3))
    phantom = SkinPhantom(
        "points", (1, cells), centers, normals, points, np.ones(cells), 1.0, False, np.zeros((2, 2, 3))
    )
    (beam,) = event_beams(EVENT, lay(skin_phantom("plane"), Lying()))
    source = np.array([0.0, 500.0, 0.0])
    beam = replace(beam, source_mm=source, d=np.array([0.0, -1.0, 0.0]), u=np.array([1.0, 0, 0]),
                   v=np.array([0.0, 0, 1.0]), table=None)  # fmt: skip
    skin = SkinDose(phantom)
    skin.add(beam)
    for center, dose in zip(centers, skin.dose_mgy, strict=True):
        side = 10.0 * 530.0 / 600.0
        k_bs = float(backscatter(80.0, EVENT.hvl_mm_al, side))
        k_isq = (600.0 / np.linalg.norm(center - source)) ** 2
        assert dose == pytest.approx(10.0 * k_isq * k_bs * medium(80.0, EVENT.hvl_mm_al), rel=1e-12)


def test_dose_never_falls_when_a_beam_is_added():
    phantom = skin_phantom("adult")
    placed, skin, before = lay(phantom, Lying()), SkinDose(phantom), np.zeros(len(phantom.areas_mm2))
    for primary in range(-180, 180, 24):
        for beam in event_beams(replace(EVENT, angles_deg=(float(primary), 15.0)), placed):
            skin.add(beam)
        now = skin.dose_mgy
        assert (now >= before).all()
        assert skin.peak_mgy == now.max()
        assert now[skin.peak_index] == now.max()
        before = now
    assert skin.beams == 15


def test_edges_of_a_collimator_that_is_off_centre_lie_where_they_are():
    phantom = skin_phantom("plane")
    placed = lay(phantom, Lying())
    (beam,) = event_beams(EVENT, placed)
    skin = SkinDose(phantom)
    skin.add(replace(beam, field_mm=(10.0, 90.0, 20.0, 60.0), table=None))
    hit = phantom.centers[skin.dose_mgy > 0.0]
    scale, half = 640.0 / 600.0, 5.0  # the plane is 640 mm from the source, its cells 10 mm
    # u is the left of a supine patient, v his feet.
    assert hit[:, 0].min() == pytest.approx(-10.0 * scale, abs=2 * half)
    assert hit[:, 0].max() == pytest.approx(90.0 * scale, abs=2 * half)
    assert hit[:, 2].max() == pytest.approx(-700.0 + 20.0 * scale, abs=2 * half)
    assert hit[:, 2].min() == pytest.approx(-700.0 - 60.0 * scale, abs=2 * half)


def test_a_focal_spot_softens_the_edge_and_keeps_the_middle_and_the_share():
    fine = cells_between(
        "fine", np.stack(np.meshgrid(np.arange(-100.0, 100.5), [0.0], np.arange(3.0)), axis=-1)[0].transpose(1, 0, 2),
        two_sided=True,
    )  # fmt: skip
    sharp, soft = SkinDose(fine), SkinDose(fine)
    beam = SkinBeam(
        np.array([0.0, 800.0, 1.0]), np.array([0.0, -1.0, 0.0]), np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0]),
        (30.0, 30.0, 30.0, 30.0), 10.0, 600.0, FLAT,
    )  # fmt: skip
    sharp.add(beam)
    soft.add(replace(beam, penumbra=Penumbra(1.2, 200.0)))
    edge = np.abs(np.abs(fine.centers[:, 0]) - 40.0)
    # 1.2 mm · (800 − 200) / 200 = 3.6 mm of penumbra at the plane.
    changed = np.abs(soft.dose_mgy - sharp.dose_mgy) > 1e-9
    assert edge[changed].max() < 1.8 + 1.0
    assert changed.sum() > 4
    assert soft.peak_mgy == pytest.approx(sharp.peak_mgy, rel=1e-12)
    # What leaves one side comes to the other, but for the inverse square over a millimetre.
    assert soft.dose_mgy.sum() == pytest.approx(sharp.dose_mgy.sum(), rel=1e-3)


@pytest.mark.parametrize(
    "changes",
    [{"air_kerma_mgy": -1.0}, {"reference_mm": 0.0}, {"field_mm": (1.0, -2.0, 1.0, 1.0)}, {"air_kerma_mgy": np.nan}],
)
def test_a_beam_that_cannot_be_is_refused(changes):
    (beam,) = event_beams(EVENT, lay(skin_phantom("plane"), Lying()))
    with pytest.raises(ValueError, match=r"a beam needs|must not cross"):
        replace(beam, **changes)
    with pytest.raises(ValueError, match="focal spot"):
        Penumbra(9.0, 200.0)


def test_ten_thousand_beams_take_no_more_memory_than_one():
    phantom = skin_phantom("cylinder")
    (beam,) = event_beams(EVENT, lay(phantom, Lying()))
    skin = SkinDose(phantom)
    skin.add(beam)
    once = skin.peak_mgy
    tracemalloc.start()
    for _ in range(9_999):
        skin.add(beam)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1_000_000
    assert skin.peak_mgy == pytest.approx(10_000.0 * once, rel=1e-9)


def test_a_rotation_past_180_degrees_goes_the_short_way():
    placed = lay(skin_phantom("cylinder"), Lying())
    past = event_beams(replace(EVENT, angles_deg=(170.0, 0.0), end_angles_deg=(-170.0, 0.0)), placed)
    over = event_beams(replace(EVENT, angles_deg=(-100.0, 0.0), end_angles_deg=(100.0, 0.0)), placed)
    assert len(past) == 8
    assert max(beam.source_mm[1] for beam in past) < 0.0  # the tube stays above the table
    assert len(over) == 68
    assert max(beam.source_mm[1] for beam in over) > 700.0  # through the tube under the table


@pytest.mark.parametrize("name", ["adult", "cylinder", "plane"])
def test_cells_passed_over_in_blocks_are_those_the_beam_does_not_meet(name):
    phantom, rng = skin_phantom(name), np.random.default_rng(11)
    # In another order of the cells other ones make a block: what is added must not hang on it.
    shuffled = rng.permutation(len(phantom.areas_mm2))
    parts = (phantom.centers, phantom.normals, phantom.half_edges)
    mixed = SkinPhantom(name, (1, len(shuffled)), *(one[shuffled] for one in parts), phantom.areas_mm2[shuffled],
                        phantom.height_mm, phantom.two_sided, phantom.corners)  # fmt: skip
    placed = lay(phantom, Lying())
    for _ in range(25):
        angles = (float(rng.uniform(-180, 180)), float(rng.uniform(-40, 40)))
        (beam,) = event_beams(replace(EVENT, angles_deg=angles), placed)
        low_u, low_v = rng.uniform(-60, 60, 2)
        field = (low_u, rng.uniform(5, 90) - low_u, low_v, rng.uniform(5, 90) - low_v)
        beam = replace(beam, field_mm=field, penumbra=Penumbra(1.0, 250.0) if rng.random() < 0.5 else None)
        whole, other = SkinDose(phantom), SkinDose(mixed)
        assert whole.add(beam) == pytest.approx(other.add(beam), abs=1e-12)
        np.testing.assert_allclose(other.dose_mgy, whole.dose_mgy[shuffled], rtol=1e-12, atol=0.0)
        assert other.peak_mgy == pytest.approx(whole.peak_mgy, rel=1e-12)


def test_a_table_that_moved_spreads_the_dose_along_its_way():
    far = replace(EVENT.table, longitudinal_mm=EVENT.table.longitudinal_mm + 200.0)
    phantom, top = skin_phantom("plane"), Lying()
    moved = skin_map(phantom, top, [replace(EVENT, end_table=far)])
    stood = skin_map(phantom, top, [EVENT])
    beams = event_beams(replace(EVENT, end_table=far), lay(phantom, top))
    assert len(beams) == 21
    assert sum(beam.air_kerma_mgy for beam in beams) == pytest.approx(EVENT.air_kerma_mgy)
    assert moved.peak_mgy < 0.65 * stood.peak_mgy
    integral = [found.dose_mgy @ phantom.areas_mm2 for found in (moved, stood)]
    assert integral[0] == pytest.approx(integral[1], rel=0.02)


def test_a_path_is_the_sum_of_its_places():
    phantom, top, table = skin_phantom("adult"), Lying(), EVENT.table
    there = replace(table, longitudinal_mm=table.longitudinal_mm + 60.0)
    path = (SkinPlace(0.25, (0.0, 0.0), table), SkinPlace(0.75, (40.0, 10.0), there))
    found = skin_map(phantom, top, [replace(EVENT, path=path, end_angles_deg=(80.0, 0.0))])
    parts = [
        replace(EVENT, air_kerma_mgy=2.5),
        replace(EVENT, air_kerma_mgy=7.5, angles_deg=(40.0, 10.0), table=there),
    ]
    np.testing.assert_allclose(found.dose_mgy, skin_map(phantom, top, parts).dose_mgy, rtol=1e-12)


def test_a_table_end_that_cannot_be_costs_little():
    absurd = replace(EVENT.table, longitudinal_mm=1e9)
    assert len(event_beams(replace(EVENT, end_table=absurd), lay(skin_phantom("plane"), Lying()))) < 500


def test_bounds_of_an_event_that_turned_have_less_on_one_place_and_the_same_at_most():
    still, turned = skin_bounds([EVENT]), skin_bounds([replace(EVENT, end_angles_deg=(90.0, 0.0))])
    assert turned.lower_mgy < 0.5 * still.lower_mgy
    assert turned.estimate_mgy < 0.5 * still.estimate_mgy
    assert turned.upper_mgy == still.upper_mgy


def test_bounds_are_the_largest_group_of_like_angles():
    angles = [(0.0, 0.0)] * 3 + [(10.0, 0.0)] * 2 + [(24.0, 0.0), (60.0, 0.0)]
    found, one = skin_bounds([replace(EVENT, angles_deg=pair) for pair in angles]), skin_bounds([EVENT])
    # 10° has both neighbours within 15°: 3 + 2 + 1.
    assert found.lower_mgy == pytest.approx(6.0 * one.lower_mgy)
    assert found.estimate_mgy == pytest.approx(6.0 * one.estimate_mgy)
    silent = skin_bounds([replace(EVENT, angles_deg=None)] * 4)
    assert (silent.lower_mgy, silent.estimate_mgy) == pytest.approx((one.lower_mgy, 4.0 * one.estimate_mgy))
