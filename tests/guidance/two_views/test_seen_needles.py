"""Needles out of two views: tip, direction, bent shafts, ill-posed views, age and movement."""

import numpy as np
import pytest

from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import ProjectionGeometry, project_points, projection_geometry
from fluoroscope.geometry.rigid import apply, inverse, rotation, translation
from fluoroscope.guidance.two_views import SeenNeedle, SeenView, fuse_views, triangulate_needle

TIP = np.array([5.0, -10.0, 8.0])


def beam(primary_deg: float, secondary_deg: float = 0.0) -> ProjectionGeometry:
    return projection_geometry(CArmPose(primary_deg, secondary_deg, 600.0, 1000.0), DetectorGrid(1024, 1024, 0.3))


def shaft(tip=TIP, direction=(0.1, -1.0, 0.25), length=70.0, bend_mm=0.0, across=(1.0, 0.1, 0.0)):
    way = np.asarray(direction) / np.linalg.norm(direction)
    t = np.linspace(0.0, 1.0, 60)[:, None]
    return tip - (1.0 - t) * length * way + bend_mm * (1.0 - t) ** 2 * np.asarray(across)


def seen(points, geometry, rng=None, sigma=(0.0, 0.0)) -> SeenNeedle:
    path = project_points(geometry, points)
    way = (path[-1] - path[-2]) / np.linalg.norm(path[-1] - path[-2])
    across = np.array([-way[1], way[0]])
    tip = path[-1]
    if rng is not None:
        path = path + (sigma[1] * rng.normal() + 0.2 * rng.normal(size=len(path)))[:, None] * across
        tip = path[-1] + sigma[0] * rng.normal() * way
        path[-1] = tip
    return SeenNeedle((tip[0], tip[1]), path, sigma[0] or 1.0, sigma[1] or 0.5)


@pytest.mark.req("REQ-GUI-043")
@pytest.mark.parametrize(("first", "second"), [(0.0, 90.0), (0.0, 30.0), (-30.0, 25.0), (180.0, 90.0)])
def test_tip_direction_and_length_of_a_straight_needle(first, second):
    geometries = [beam(first), beam(second)]
    points = shaft()
    found = triangulate_needle(*[seen(points, one) for one in geometries], geometries)
    wanted = points[-1] - points[0]
    assert found.tip.accepted
    assert found.direction_accepted, found.reason
    assert np.abs(found.tip.position_mm - TIP).max() < 1e-6
    assert np.degrees(np.arccos(found.direction @ wanted / np.linalg.norm(wanted))) < 0.02
    assert found.length_mm == pytest.approx(70.0, abs=0.7)
    assert np.linalg.norm(found.path_mm[-1] - TIP) < 0.5


@pytest.mark.req("REQ-GUI-043")
def test_the_error_of_the_direction_covers_what_happens():
    rng = np.random.default_rng(5)
    geometries = [beam(0.0), beam(50.0)]
    points = shaft()
    way = (points[-1] - points[0]) / 70.0
    inside, off = 0, []
    for _ in range(300):
        found = triangulate_needle(*[seen(points, one, rng, (1.0, 0.5)) for one in geometries], geometries)
        angle = np.degrees(np.arccos(min(1.0, found.direction @ way)))
        inside += angle <= 2.5 * found.angle_sigma_deg
        off.append(found.tip.position_mm - TIP)
    assert inside / 300 > 0.95
    spread = np.sqrt(np.diag(np.cov(np.array(off).T)) / np.diag(found.tip.covariance_mm2))
    assert spread == pytest.approx(1.0, abs=0.25)


@pytest.mark.req("REQ-GUI-043")
def test_a_needle_in_the_plane_of_the_beams_is_flagged_and_its_hub_helps():
    geometries = [beam(0.0), beam(60.0)]
    points = shaft(direction=(0.1, -1.0, 0.05), tip=np.array([0.0, -10.0, 0.0]))
    needles = [seen(points, one) for one in geometries]
    found = triangulate_needle(*needles, geometries)
    assert found.tip.accepted
    assert not found.direction_accepted
    assert "plane of the two beams" in found.reason
    hubs = [tuple(project_points(one, points[0])) for one in geometries]
    helped = [SeenNeedle(n.tip_px, n.path_px, n.tip_sigma_px, n.line_sigma_px, hub)
              for n, hub in zip(needles, hubs, strict=True)]  # fmt: skip
    better = triangulate_needle(*helped, geometries)
    way = (points[-1] - points[0]) / 70.0
    assert better.direction_accepted
    assert better.direction @ way == pytest.approx(1.0, abs=1e-9)
    assert better.angle_sigma_deg < 1.0


@pytest.mark.req("REQ-GUI-043")
@pytest.mark.parametrize("bend_mm", [4.0, 15.0])
def test_a_bent_needle_is_found_along_its_whole_shaft(bend_mm):
    geometries = [beam(0.0), beam(70.0)]
    points = shaft(bend_mm=bend_mm)
    found = triangulate_needle(*[seen(points, one) for one in geometries], geometries)
    away = [np.linalg.norm(points - one, axis=1).min() for one in found.path_mm]
    assert max(away) < 0.7
    assert np.linalg.norm(found.path_mm[0] - points[0]) < 1.5
    true_way = points[-1] - points[-2]
    assert np.degrees(np.arccos(found.direction @ true_way / np.linalg.norm(true_way))) < 0.6


@pytest.mark.req("REQ-GUI-043")
def test_a_catheter_that_turns_back_in_one_picture_is_followed():
    geometries = [beam(0.0), beam(90.0)]
    t = np.linspace(0.0, np.pi, 150)
    points = np.stack([20.0 * np.sin(2.0 * t), 25.0 * np.cos(t), 40.0 * np.sin(t) - 20.0], axis=1)
    found = triangulate_needle(*[seen(points, one) for one in geometries], geometries)
    away = np.array([np.linalg.norm(points - one, axis=1).min() for one in found.path_mm])
    assert np.median(away) < 0.5
    assert away.max() < 3.0


def view(geometry, points, time_ms, pose=None, **more) -> SeenView:
    return SeenView(time_ms * 1_000_000, geometry, seen(points, geometry), pose, **more)


@pytest.mark.req("REQ-GUI-044")
def test_both_planes_of_a_biplane_are_live():
    ap, lateral = beam(0.0), beam(90.0)
    fused = fuse_views(view(ap, shaft(), 1000), view(lateral, shaft(), 1060), now_ns=1_200_000_000)
    assert fused.live
    assert fused.accepted
    assert fused.shift is None
    assert fused.age_s == pytest.approx(0.2)
    assert fused.needle.tip.position_mm == pytest.approx(TIP)


@pytest.mark.req("REQ-GUI-044")
def test_views_one_after_the_other_need_bone_seen_in_both():
    ap, lateral = beam(0.0), beam(90.0)
    fused = fuse_views(view(ap, shaft(), 0), view(lateral, shaft(), 20_000), now_ns=25_000_000_000)
    assert not fused.accepted
    assert "mark or register bone" in fused.reason
    bone = np.array([0.0, 20.0, -30.0])
    for moved_mm, accepted in ((0.3, True), (2.4, False)):
        marks = [{"L3": tuple(project_points(ap, bone))},
                 {"L3": tuple(project_points(lateral, bone + np.array([0.0, 0.0, moved_mm])))}]  # fmt: skip
        fused = fuse_views(
            view(ap, shaft(), 0, landmarks_px=marks[0]),
            view(lateral, shaft(), 20_000, landmarks_px=marks[1]),
            now_ns=25_000_000_000,
        )
        assert fused.accepted == accepted
        assert fused.shift is not None
        assert fused.shift.shift_mm == pytest.approx(moved_mm, abs=0.05)


@pytest.mark.req("REQ-GUI-044")
def test_a_patient_who_moved_with_his_needle_is_told_and_still_right_in_the_ct():
    ap, lateral = beam(0.0), beam(90.0)
    pose = translation((2.0, 5.0, -400.0)) @ rotation((0, 0, 1), 180.0)
    moved = translation((1.0, -0.5, 4.0)) @ pose
    in_ct = apply(inverse(pose), shaft())
    known = (np.diag([0.04, 9.0, 0.04]), np.diag([9.0, 0.04, 0.04]))
    fused = fuse_views(
        view(ap, apply(pose, in_ct), 0, pose, position_covariance_mm2=known[0]),
        view(lateral, apply(moved, in_ct), 15_000, moved, position_covariance_mm2=known[1]),
        now_ns=16_000_000_000,
        at_ct_mm=apply(inverse(pose), TIP),
    )
    assert not fused.accepted
    assert "the patient moved by 4.0" in fused.reason
    assert fused.needle_in_ct is not None
    assert fused.needle_in_ct.tip.position_mm == pytest.approx(in_ct[-1], abs=1e-6)
    assert fused.needle_in_ct.direction_accepted


@pytest.mark.req("REQ-GUI-044")
def test_an_old_view_is_not_taken_for_now():
    ap, lateral = beam(0.0), beam(90.0)
    fused = fuse_views(view(ap, shaft(), 0), view(lateral, shaft(), 50), now_ns=400_000_000_000)
    assert not fused.accepted
    assert "take it anew" in fused.reason


@pytest.mark.req("REQ-GUI-041")
def test_the_same_view_twice_places_no_needle():
    geometry = beam(30.0)
    rng = np.random.default_rng(0)
    for _ in range(40):
        first, second = (np.cumsum(rng.normal(size=(12, 2)) * 9.0, axis=0) + 500.0 for _ in range(2))
        needles = [SeenNeedle((float(one[-1, 0]), float(one[-1, 1])), one) for one in (first, second)]
        found = triangulate_needle(*needles, (geometry, geometry))
        assert not found.tip.accepted
        assert not found.direction_accepted


@pytest.mark.parametrize("path", [np.zeros((1, 2)), np.zeros((5, 2)), np.full((4, 2), np.nan)])
def test_a_needle_without_a_length_is_refused(path):
    with pytest.raises(ValueError, match="path"):
        SeenNeedle((0.0, 0.0), path)
