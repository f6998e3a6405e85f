"""The parts of live guidance on their own: views of a path, the needle's estimate, a needle end on, the next step."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluoroscope.app.guidance import live_plans
from fluoroscope.app.guidance.live_endon import find_end_on
from fluoroscope.app.guidance.live_hint import Situation, hint
from fluoroscope.app.guidance.live_path import LivePath, between_deg, coaxial_joints, confirm_joints
from fluoroscope.app.guidance.live_tip import HandMoved, TipEstimate
from fluoroscope.geometry.carm import C_ARMS
from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.projection import project_points, projection_geometry
from fluoroscope.geometry.rigid import inverse
from fluoroscope.geometry.table import PatientPosition, TablePose, patient_from_equipment
from fluoroscope.guidance.live_error import needle_error
from fluoroscope.guidance.two_views import SeenNeedle
from fluoroscope.guidance.two_views.pair import geometry_in
from fluoroscope.guidance.view import XRayView

CARM = C_ARMS["mobile-flat-panel"]
GRID = DetectorGrid(512, 512, 0.58)
PLACED = inverse(patient_from_equipment(TablePose(), PatientPosition.HFP))
"""Prone, the CT's origin at the isocentre."""


def path_to(target, entry):
    return LivePath(np.array(entry, float), np.array(target, float), "spinal-22G-89", ("L3", "L4"), 60.0, 1.0, 5.0)


PATH = path_to((2.0, 25.0, -20.0), (-10.0, 92.0, -32.0))


def beam(path, joints_for):
    joints = joints_for(path, PLACED, CARM, CARM.pose({}), CARM.rest)
    return geometry_in(projection_geometry(CARM.pose(joints), GRID), PLACED)


@settings(deadline=None)
@given(st.floats(-25, 25), st.floats(-35, 35), st.floats(-15, 15), st.floats(-15, 15))
def test_the_bulls_eye_lays_the_ray_through_the_target_along_the_path(x, z, sideways, tilt):
    path = path_to((x, 30.0, z), (x + sideways, 95.0, z + tilt))
    assert between_deg(path, beam(path, coaxial_joints)) < 0.01
    # The confirming view looks straight across, but for the cone.
    assert between_deg(path, beam(path, confirm_joints)) > 78.0


def seen(geometry, tip, direction, length=89.0, sigma=0.7):
    ends = project_points(geometry, np.stack([tip - s * direction for s in np.linspace(length, 0.0, 12)]))
    far = np.linalg.norm(ends[0] - ends[-1])
    path = ends if far > 1.0 else np.stack([ends[-1] - (0.5, 0.0), ends[-1]])
    return SeenNeedle(tuple(ends[-1]), path, sigma, 0.5, tuple(ends[0]))


def test_both_views_together_give_the_needle_with_an_error_that_holds():
    rng = np.random.default_rng(11)
    coaxial, confirm = beam(PATH, coaxial_joints), beam(PATH, confirm_joints)
    pulls = []
    for _ in range(40):
        tip = PATH.at(40.0) + rng.normal(0.0, 2.0, 3)
        direction = PATH.direction + rng.normal(0.0, 0.03, 3)
        direction /= np.linalg.norm(direction)
        estimate = TipEstimate(PATH)
        for geometry in (coaxial, confirm):
            needle = seen(geometry, tip, direction)
            moved = tuple(np.asarray(needle.tip_px) + rng.normal(0.0, 0.6, 2))
            assert estimate.see(replace(needle, tip_px=moved), geometry, 89.0)
        state = estimate.state
        assert state.depth_from == "this view"
        off = state.tip_mm - tip
        assert np.linalg.norm(off) < 1.5
        pulls.append(off @ np.linalg.solve(state.covariance_mm2, off))
        assert state.direction is not None
        assert np.rad2deg(np.arccos(state.direction @ direction)) < 2.0
    # Of three degrees of freedom: the mean is 3 where the covariance is right.
    assert 1.0 < np.mean(pulls) < 5.0


def test_what_the_hand_did_makes_the_depth_unknown_until_it_is_read_or_seen():
    estimate = TipEstimate(PATH)
    confirm = beam(PATH, confirm_joints)
    assert estimate.see(seen(confirm, PATH.at(20.0), PATH.direction), confirm, 89.0)
    assert estimate.state.depth_from == "this view"
    estimate.moved(HandMoved(pushed_mm=15.0))
    assert estimate.state.depth_from == ""
    estimate.read_depth(35.0)
    state = estimate.state
    assert state.depth_from == "read at the hub"
    assert np.linalg.norm(state.tip_mm - PATH.at(35.0)) < 1.0
    assert np.sqrt(PATH.direction @ state.covariance_mm2 @ PATH.direction) == pytest.approx(2.5, rel=0.1)
    assert estimate.see(seen(confirm, PATH.at(37.0), PATH.direction), confirm, 89.0)
    # Toward the tube this view sees nothing of it, and says so.
    off = estimate.state.tip_mm - PATH.at(37.0)
    assert abs(off @ PATH.direction) < 0.5
    assert off @ np.linalg.solve(estimate.state.covariance_mm2, off) < 8.0


def test_another_thing_in_the_picture_is_not_taken_for_the_needle():
    estimate = TipEstimate(PATH)
    coaxial = beam(PATH, coaxial_joints)
    assert not estimate.see(seen(coaxial, PATH.target_mm + np.array([45.0, 0.0, 0.0]), PATH.direction), coaxial, 89.0)


def picture(at=None, streak=0.0, noise=0.03):
    rows, columns = np.mgrid[0:512, 0:512].astype(float)
    values = 2.0 + 0.3 * np.sin(rows / 9.0) + 0.4 * (np.abs(rows - 200) < 4)
    if at is not None:
        along = np.clip(columns - at[1], 0.0, streak)
        away = np.hypot(rows - at[0], columns - at[1] - along)
        values += 1.2 * np.exp(-0.5 * (away / 1.1) ** 2)
    values += np.random.default_rng(5).normal(0.0, noise, values.shape)
    geometry = projection_geometry(CARM.pose({}), GRID)
    return XRayView(values.astype(np.float32), geometry, np.ones(values.shape, dtype=bool))


@pytest.mark.parametrize("streak", [0.0, 12.0])
def test_a_needle_end_on_is_found_to_a_pixel_over_bone_edges(streak):
    found = find_end_on(picture((230.0, 260.0), streak), np.array([236.0, 252.0]), 45.0, 3.1)
    assert found
    ends = np.array([needle.tip_px for needle, _ in found])
    assert np.linalg.norm(ends - (230.0, 260.0), axis=1).min() < 1.2
    if streak:
        assert np.linalg.norm(ends - (230.0, 272.0), axis=1).min() < 1.2
    assert all(sure >= 0.5 for _, sure in found)


def test_no_needle_end_on_is_found_where_there_is_none_or_out_of_the_picture():
    assert find_end_on(picture(), np.array([236.0, 252.0]), 45.0, 3.1) == []
    assert find_end_on(picture((230.0, 260.0)), np.array([900.0, -300.0]), 45.0, 3.1) == []
    assert find_end_on(picture((230.0, 260.0)), np.array([np.nan, 0.0]), 45.0, 3.1) == []


def error_at(along_mm, off=(0.0, 0.0, 0.0), sigma=0.4, confirmed=False):
    return needle_error(
        PATH.at(along_mm) + np.array(off), PATH.direction, entry_mm=PATH.entry_mm, target_mm=PATH.target_mm,
        covariance_mm2=sigma**2 * np.eye(3), angle_sigma_deg=0.3, dura_mm=PATH.dura_mm, dura_sigma_mm=1.0,
        confirmed=confirmed,
    )  # fmt: skip


@pytest.mark.req("REQ-GUI-063")
def test_the_next_step_asks_for_the_side_view_before_the_dura_and_for_the_stylet_at_it():
    there = Situation(has_plan=True, fresh=True, needle_in=True, stylet_in=True, needle_seen=True, stands="coaxial")
    assert hint(replace(there, error=error_at(5.0)))["text"] == "Advance 45 mm, then lateral"
    for along, sigma in ((50.5, 0.4), (45.0, 8.0)):
        assert hint(replace(there, error=error_at(along, sigma=sigma)))["act"] == "confirm"
    side = replace(there, stands="confirm")
    assert "look again" in hint(replace(side, error=error_at(40.0, confirmed=True)))["text"]
    assert hint(replace(side, error=error_at(52.0, confirmed=True)))["text"] == "Advance 8 mm to the dura, slowly"
    assert hint(replace(side, error=error_at(60.5, confirmed=True)))["act"] == "stylet"
    assert hint(replace(side, error=error_at(60.5, confirmed=True), stylet_in=False))["text"] == "No fluid yet: 1 mm on"
    assert hint(replace(side, csf=True)) is None


def test_the_next_step_before_there_is_a_needle():
    assert hint(Situation())["act"] == "plan"
    assert hint(Situation(planning=True)) == {"text": "Planning the path", "act": None}
    assert hint(Situation(has_plan=True))["act"] == "coaxial"
    assert hint(Situation(has_plan=True, stands="coaxial"))["act"] == "xray"
    assert hint(Situation(has_plan=True, stands="coaxial", fresh=True))["act"] == "place"
    assert hint(Situation(has_plan=True, stands="coaxial", needle_in=True))["act"] == "xray"


@pytest.mark.req("HAZ-SIDE-001")
def test_the_hub_is_swung_to_the_side_on_which_the_tip_would_miss():
    there = Situation(has_plan=True, fresh=True, needle_in=True, needle_seen=True, stands="coaxial")
    off = replace(there, error=error_at(10.0, off=(3.0, 0.0, 0.0)), miss_px=np.array([0.5, 9.0]))
    assert "→" in hint(off)["text"]
    assert "↑" not in hint(off)["text"]
    assert "↑" in hint(replace(off, miss_px=np.array([-9.0, 0.0])))["text"]


def test_a_swing_tells_which_end_of_a_needle_seen_end_on_is_its_tip():
    coaxial = beam(PATH, coaxial_joints)
    left, head = np.linalg.qr(np.stack([PATH.direction, [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]).T)[0].T[1:]
    estimate = TipEstimate(PATH)
    estimate.read_depth(0.0)
    assert estimate.see(seen(coaxial, PATH.at(0.0), PATH.direction), coaxial, 89.0)
    swung = 0.07 * left + 0.03 * head
    direction = (PATH.direction + swung) / np.linalg.norm(PATH.direction + swung)
    right_way = seen(coaxial, PATH.at(0.0), direction)
    wrong_way = SeenNeedle(right_way.hub_px, np.asarray(right_way.path_px)[::-1].copy(), 0.7, 0.5, right_way.tip_px)
    estimate.moved(HandMoved(swung_deg=4.4, tip_way_mm=swung))
    assert estimate.mismatch(right_way, coaxial, 89.0) < 9.0
    assert estimate.mismatch(wrong_way, coaxial, 89.0) > estimate.mismatch(right_way, coaxial, 89.0) + 9.0
    assert estimate.see(right_way, coaxial, 89.0)
    assert np.rad2deg(np.arccos(estimate.state.direction @ direction)) < 1.5


def test_planning_that_breaks_off_is_told_and_another_may_be_asked_for(monkeypatch):
    def broken(job):
        raise RuntimeError("no room\non the disk")

    monkeypatch.setattr(live_plans, "made_beside", broken)
    told = []
    plans = live_plans.Plans(lambda: told.append(plans.trouble))
    plans.make(None, live_plans.Request("lumbar-puncture", "L3-L4"), CARM, PatientPosition.HFP)
    plans.join()
    assert told == ["planning broke off: no room on the disk"]
    assert plans.planning is None
    assert plans.chosen is None


def test_no_step_is_told_while_the_bone_is_still_looked_for():
    situation = Situation(has_plan=True, stands="confirm", fresh=True, needle_in=True, needle_seen=True)
    assert hint(replace(situation, bone_awaited=True)) == {"text": "Wait: finding the bone", "act": None}
