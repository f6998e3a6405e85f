"""Registration from every start, with noise and a veil; what cannot be registered is said."""

import numpy as np
import pytest

from fluoroscope.geometry.projection import project_points
from fluoroscope.geometry.rigid import apply, rotation, translation
from fluoroscope.guidance.registration import Click, Start, VertebraTracker, register
from fluoroscope.guidance.view import XRayView

LYING = np.diag([-1.0, -1.0, 1.0, 1.0])


def start_of(world, degrees, shift):
    center = apply(world.truth, world.models["L3"].center_mm)
    turn = rotation((1.0, 0.4, -0.3), degrees, center)
    return translation(shift) @ turn @ world.truth


@pytest.mark.req("REQ-GUI-002")
def test_two_views_from_near(world):
    views = [world.view(0.0, seed=1), world.view(80.0, seed=2)]
    found = register(world.models, views, start_of(world, 6.0, (6.0, -5.0, 7.0)), level="L3")
    assert found.success, found.reason
    assert world.off(found.equipment_from_ct) < 0.6
    assert found.level == "L3"
    assert found.reason == ""
    assert found.evaluations > 10
    assert found.covariance.shape == (6, 6)
    assert (np.linalg.eigvalsh(found.covariance) > 0.0).all()


@pytest.mark.req("REQ-GUI-003")
@pytest.mark.parametrize("start", [Start.FAR, Start.NOTHING])
def test_the_right_level_from_a_rough_start(world, start):
    views = [world.view(0.0, seed=3), world.view(80.0, seed=4)]
    initial = start_of(world, 9.0, (12.0, -10.0, 14.0)) if start is Start.FAR else LYING
    found = register(world.models, views, initial, level="L3", start=start)
    assert world.off(found.equipment_from_ct) < 1.0


@pytest.mark.req("REQ-GUI-003")
def test_a_click_is_a_start(world):
    view = world.view(0.0, seed=5)
    row, column = project_points(view.geometry, apply(world.truth, world.models["L3"].center_mm))
    found = register(world.models, [view], LYING, level="L3", start=Click(row + 4.0, column - 3.0))
    off = apply(found.equipment_from_ct, world.models["L3"].landmarks_mm)
    there = apply(world.truth, world.models["L3"].landmarks_mm)
    px = np.linalg.norm(project_points(view.geometry, off) - project_points(view.geometry, there), axis=1).mean()
    assert px * 230.0 / 192 * 0.62 < 1.0


@pytest.mark.req("REQ-GUI-004")
def test_one_view_says_that_it_does_not_see_depth(world):
    view = world.view(0.0, seed=6)
    one = register(world.models, [view], start_of(world, 3.0, (3.0, -3.0, 3.0)), level="L3")
    two = register(world.models, [view, world.view(85.0, seed=7)], start_of(world, 3.0, (3.0, -3.0, 3.0)), level="L3")
    assert one.sigma_depth_mm > 3.0 * one.sigma_in_plane_mm
    assert two.sigma_depth_mm < 0.7 * one.sigma_depth_mm
    center = world.models["L3"].center_mm
    off = apply(one.equipment_from_ct, center) - apply(world.truth, center)
    ray = apply(world.truth, center) - view.geometry.source_mm
    ray /= np.linalg.norm(ray)
    assert abs(off @ ray) < 4.0 * one.sigma_depth_mm
    assert np.linalg.norm(off - (off @ ray) * ray) < 0.7


@pytest.mark.req("REQ-GUI-005")
def test_a_needle_across_the_bone_does_not_move_it(world):
    views = [world.view(0.0, seed=8, needle=True), world.view(80.0, seed=9, needle=True)]
    found = register(world.models, views, start_of(world, 4.0, (4.0, 4.0, -4.0)), level="L3")
    assert world.off(found.equipment_from_ct) < 0.8


@pytest.mark.req("REQ-GUI-006")
def test_a_picture_without_bone_is_no_success(world):
    view = world.view(0.0, seed=10)
    rng = np.random.default_rng(3)
    smooth = np.outer(np.linspace(0.0, 1.0, 192), np.linspace(1.0, 2.0, 192)) + rng.normal(0.0, 0.02, (192, 192))
    empty = XRayView(smooth.astype(np.float32), view.geometry, view.valid.copy())
    found = register(world.models, [empty], world.truth, level="L3", start=Start.NEAR)
    assert not found.success
    assert "L3" in found.reason
    assert "\n" not in found.reason


@pytest.mark.req("REQ-GUI-006")
def test_a_vertebra_outside_the_field_is_no_success(world):
    away = translation((0.0, 0.0, 95.0)) @ world.truth
    found = register(world.models, [world.view(0.0, away, seed=11)], away, level="L3")
    assert not found.success
    assert found.reason


@pytest.mark.req("REQ-GUI-006")
def test_views_of_a_patient_who_moved_between_are_no_success(world):
    moved = translation((0.0, 0.0, 9.0)) @ world.truth
    views = [world.view(0.0, seed=12), world.view(80.0, moved, seed=13)]
    found = register(world.models, views, start_of(world, 1.0, (0.0, 0.0, 0.0)), level="L3")
    assert not found.success


@pytest.mark.req("REQ-GUI-007")
def test_a_moving_vertebra_is_followed(world):
    views = [world.view(0.0, seed=14), world.view(80.0, seed=15)]
    found = register(world.models, views, start_of(world, 1.0, (1.0, 0.0, 1.0)), level="L3")
    tracker = VertebraTracker(world.models, "L3", found)
    truth = world.truth
    for step in range(4):
        truth = translation((0.4, -0.3, 0.7)) @ truth
        found = tracker.update([world.view(0.0, truth, seed=20 + step), world.view(80.0, truth, seed=30 + step)])
        assert found.success, found.reason
    assert world.off(found.equipment_from_ct, truth) < 0.8


@pytest.mark.req("REQ-GUI-008")
def test_what_cannot_be_asked_is_refused(world):
    view = world.view(0.0)
    with pytest.raises(ValueError, match="no such level"):
        register(world.models, [view], world.truth, level="C2")
    with pytest.raises(ValueError, match="no X-ray picture"):
        register(world.models, [], world.truth, level="L3")
    with pytest.raises(ValueError, match="rigid"):
        register(world.models, [view], 2.0 * world.truth, level="L3")
    with pytest.raises(ValueError, match="outside the picture"):
        register(world.models, [view], world.truth, level="L3", start=Click(500.0, 3.0))
    with pytest.raises(ValueError, match="names view 2"):
        register(world.models, [view], world.truth, level="L3", start=Click(5.0, 3.0, view=2))


@pytest.mark.req("REQ-GUI-006")
def test_a_patient_said_to_lie_otherwise_than_he_does_is_no_success(world):
    views = [world.view(0.0, seed=21), world.view(80.0, seed=22)]
    found = register(world.models, views, start_of(world, 40.0, (0.0, 0.0, 0.0)), level="L3")
    assert not found.success
    assert found.reason
    supine = register(world.models, views, np.eye(4), level="L3", start=Start.NOTHING)
    assert not supine.success
