"""Distances of solids, the spine assembled, bones apart, surfaces closed."""

from dataclasses import replace

import numpy as np
import pytest

from fluoroscope.evaluation.anatomy_score import clearance_at_bending, pairs_not_apart
from fluoroscope.patient.anatomy.measured import measure_spine, measure_vertebra
from fluoroscope.patient.anatomy.morphometry import DISCS, MORPHOMETRY, sample_morphometry
from fluoroscope.patient.anatomy.parameters import PatientParameters, parse_pathology
from fluoroscope.patient.anatomy.solids import Canvas, Solid, bar, capsule
from fluoroscope.patient.anatomy.spine import make_spine, vertebra_bone
from fluoroscope.patient.anatomy.surfaces import LIPSCHITZ, clearance_mm, surface_of


@pytest.fixture(scope="module")
def spine():
    return make_spine(PatientParameters(seed=5, sex="male"))


def test_distance_of_a_ball_is_exact():
    ball = Solid(np.array([capsule((0, 0, 0), (0, 0, 0), 5.0)]), 100.0)
    points = np.array([[0.0, 0.0, 9.0], [3.0, 0.0, 0.0]])
    assert ball.distance(points) == pytest.approx([4.0, -2.0])


@pytest.mark.parametrize("level", ["L1", "L4", "L5"])
def test_distance_changes_no_faster_outside_than_its_bound(spine, level):
    """Two bones meet from outside: the proof that they do not asks nothing of the distance within."""
    rng = np.random.default_rng(1)
    solid = vertebra_bone(level, spine).solids[0]
    points = rng.uniform(*solid.box(), (60000, 3))
    step = 0.02 * rng.normal(size=points.shape)
    before, after = solid.distance(points), solid.distance(points + step)
    near = (before > 0.0) & (before < 8.0)
    assert (abs(after - before) / np.linalg.norm(step, axis=1))[near].max() < LIPSCHITZ


def test_a_turned_canvas_holds_as_much_of_a_bar():
    rod = Solid(np.array([bar((-8, 0, 0), (8, 0, 0), (0, 1, 0), (4, 3))]), 100.0)
    sums = []
    for angle in (0.0, 0.6):
        turn = np.eye(4)
        turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        shape = (40, 60, 60)
        canvas = Canvas(np.zeros(shape, np.float32), np.zeros(shape, np.uint8), (-18, -18, -12), 0.6, turn)
        canvas.paint(rod)
        sums.append(float(canvas.hu.sum()))
    assert sums[1] == pytest.approx(sums[0], rel=0.01)


def test_given_values_are_met():
    parameters = PatientParameters(seed=3, lordosis_deg=48.0, pelvic_incidence_deg=61.0)
    made = make_spine(parameters)
    upper, sacrum = made.frames["vertebrae_L1"][:3, 2], made.frames["sacrum"][:3, 2]
    half_wedge = 0.5 * made.vertebrae["L1"].wedge_deg
    lean = [np.degrees(np.arctan2(axis[1], axis[2])) for axis in (upper, sacrum)]
    assert lean[0] + half_wedge - lean[1] == pytest.approx(48.0, abs=1e-6)
    assert made.facts["pelvic_incidence_deg"] == 61.0


@pytest.mark.parametrize("share", [-1.0, 0.0, 1.0])
def test_vertebrae_stay_apart(spine, share):
    for upper, lower in zip(spine.levels, spine.levels[1:], strict=False):
        assert clearance_at_bending(spine, upper, lower, share) > 0.0


def test_bones_that_meet_are_not_called_apart():
    first, second = (Solid(np.array([capsule((x, 0, 0), (x, 0, 20), 5.0)]), 1.0) for x in (0.0, 9.8))
    assert clearance_mm([first], [second]) == 0.0


@pytest.mark.parametrize("pathology", ["listhesis:L4:2", "facet_arthrosis:L4:1", "disc_degeneration:L5:0.8"])
def test_sick_vertebrae_stay_apart_down_to_the_sacrum(pathology):
    assert pairs_not_apart(PatientParameters(seed=11, sex="male", pathologies=(parse_pathology(pathology),))) == []


@pytest.mark.parametrize("level", ["L1", "L3", "L5"])
def test_measured_dimensions_follow_what_was_drawn(spine, level):
    measured, drawn = measure_spine(spine)[level], spine.vertebrae[level]
    for name, within in (
        ("height_anterior_mm", 1.0),
        ("height_posterior_mm", 1.0),
        ("transverse_span_mm", 2.0),
        ("upper_depth_mm", 1.5),
        ("lower_width_mm", 2.0),
        ("pedicle_width_mm", 1.2),
        ("pedicle_height_mm", 1.2),
        ("pedicle_medial_deg", 6.0),
        ("canal_width_mm", 1.8),
        ("canal_depth_mm", 1.8),
        ("facet_left_deg", 4.0),
        ("facet_right_deg", 4.0),
    ):
        assert measured[name] == pytest.approx(getattr(drawn, name), abs=within), name


def test_a_wider_pedicle_is_measured_wider(spine):
    """Nothing is echoed: the same vertebra, its pedicle's shapes alone made thicker."""
    solid = replace(vertebra_bone("L3", spine).solids[0], world_from_solid=np.eye(4))
    shapes = solid.shapes.copy()
    for row in (1, 7):
        # Two millimetres to the outside: the canal's wall stays where it is.
        shapes[row, 11] += 1.0
        shapes[row, 13] += 1.0
        shapes[row, 1:4] += shapes[row, 7:10] * 1.0
    before, after = measure_vertebra(solid), measure_vertebra(replace(solid, shapes=shapes))
    assert after["pedicle_width_mm"] - before["pedicle_width_mm"] == pytest.approx(2.0, abs=0.5)


def test_heights_keep_their_means_and_sum_to_the_lordosis():
    """Lying flat takes 12 degrees from what the tables sum to: no mean moves by more than 4 %."""
    drawn = [sample_morphometry(PatientParameters(seed=n, sex="male" if n % 2 else "female")) for n in range(400)]
    for n, level in enumerate(("L1", "L2", "L3", "L4", "L5"), start=2):
        for name in ("height_anterior_mm", "height_posterior_mm"):
            mean = np.mean([getattr(one.vertebrae[level], name) for one in drawn])
            assert mean == pytest.approx(MORPHOMETRY[name][0][n], rel=0.04)
        for name in DISCS:
            assert np.mean([getattr(one.discs[level], name) for one in drawn]) == pytest.approx(
                DISCS[name][0][n], rel=0.05
            )
    assert np.mean([one.lordosis_deg for one in drawn]) == pytest.approx(36.8, abs=1.8)


def test_a_surface_is_closed_and_faces_out(spine):
    surface = surface_of(vertebra_bone("L2", spine).solids, 1.2)
    corners = surface.vertices_mm[surface.triangles].astype(np.float64)
    volume = np.einsum("ni,ni->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6.0
    assert 25000.0 < volume < 90000.0
    edges = np.sort(surface.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()


def test_a_surface_misses_nothing_of_a_bone(spine):
    """Blocks far from the surface are not looked into, and none holds a part of the bone."""
    solid = vertebra_bone("L5", spine).solids[0]
    surface = surface_of([solid], 1.0)
    points = surface.vertices_mm.astype(np.float64)
    assert abs(solid.distance(points)).max() < 0.5
    corners = points[surface.triangles]
    volume = np.einsum("ni,ni->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6.0
    low, high = solid.box()
    axes = [np.arange(low[n], high[n], 1.0) for n in range(3)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    assert volume == pytest.approx(float((solid.distance(grid) < 0.0).sum()), rel=0.01)
