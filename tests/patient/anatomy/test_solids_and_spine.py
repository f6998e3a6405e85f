"""Distances of solids, the spine assembled, bones apart, surfaces closed."""

import numpy as np
import pytest

from fluoroscope.evaluation.anatomy_score import clearance_at_bending
from fluoroscope.patient.anatomy.measured import measure_spine
from fluoroscope.patient.anatomy.parameters import PatientParameters
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


def test_distance_changes_no_faster_than_its_bound(spine):
    rng = np.random.default_rng(1)
    solid = vertebra_bone("L4", spine).solids[0]
    points = rng.uniform(*solid.box(), (60000, 3))
    step = 0.02 * rng.normal(size=points.shape)
    before, after = solid.distance(points), solid.distance(points + step)
    near = abs(before) < 8.0
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


def test_measured_dimensions_follow_what_was_drawn(spine):
    measured, drawn = measure_spine(spine)["L2"], spine.vertebrae["L2"]
    for name, within in (("height_anterior_mm", 1.0), ("transverse_span_mm", 1.5), ("upper_depth_mm", 1.5)):
        assert measured[name] == pytest.approx(getattr(drawn, name), abs=within), name


def test_a_surface_is_closed_and_faces_out(spine):
    surface = surface_of(vertebra_bone("L2", spine).solids, 1.2)
    corners = surface.vertices_mm[surface.triangles].astype(np.float64)
    volume = np.einsum("ni,ni->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6.0
    assert 25000.0 < volume < 90000.0
    edges = np.sort(surface.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
