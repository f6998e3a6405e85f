"""Names of vertebrae on a picture: right from nothing, checked against a mark, and kept back when they are a guess."""

from dataclasses import replace

import numpy as np
import pytest
from skimage.measure import points_in_poly

from fluoroscope.evaluation.registration_cases import Exposure, pictured
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import project_points
from fluoroscope.geometry.rigid import apply, translation
from fluoroscope.guidance.levels import label_levels, level_at, wrong_level

AP = CArmPose(4.0, -6.0, 510.0, 1020.0)
EXPOSURE = Exposure(75.0, 1.0, 0.5, pixels=512, pitch_mm=0.6, noise=3)


def seen_from(subject, level, *poses, exposure=EXPOSURE, seed=5, **how):
    return pictured(subject, level, poses or (AP,), np.random.default_rng(seed), exposure=exposure, bend=0.3, **how)


def pixels(subject, seen, level, view=0):
    return project_points(seen.views[view].geometry, apply(seen.truth[level], subject.center_mm(level)))


@pytest.fixture(scope="module")
def lumbar(subject, bones):
    """Return a picture of L3 in the middle, and what was found on it."""
    seen = seen_from(subject, "L3")
    models, skeleton = bones
    return seen, label_levels(models, seen.views, position=seen.position, skeleton=skeleton)


@pytest.mark.req("REQ-GUI-010")
def test_every_name_lies_on_its_own_vertebra(subject, lumbar):
    seen, found = lumbar
    assert found.success, found.reason
    assert {"L2", "L3", "L4"} <= set(found.levels)
    for name, (shown,) in found.levels.items():
        if name not in subject.levels:
            continue
        nearest = min(subject.levels, key=lambda one: np.linalg.norm(pixels(subject, seen, one) - shown.center_px))
        assert nearest == name
        assert np.linalg.norm(pixels(subject, seen, name) - shown.center_px) < 25.0  # 7.5 mm at the isocentre


@pytest.mark.req("REQ-GUI-010")
def test_an_outline_goes_round_the_body_it_names(lumbar):
    _, found = lumbar
    (shown,) = found.levels["L3"]
    assert points_in_poly([shown.center_px], shown.outline_px).all()
    size = np.ptp(shown.outline_px, axis=0) * 0.3
    assert (size > 25.0).all()
    assert (size < 130.0).all()


@pytest.mark.req("REQ-GUI-012")
def test_a_mark_on_another_vertebra_is_told(subject, lumbar):
    seen, found = lumbar
    on_l4 = tuple(pixels(subject, seen, "L4"))
    assert level_at(found, on_l4, seen.views[0]) == "L4"
    assert wrong_level(found, "L4", on_l4, seen.views[0]) is None
    assert wrong_level(found, "L3", on_l4, seen.views[0]).startswith("wrong level:")
    assert "lies on L4, not on L3" in wrong_level(found, "L3", on_l4, seen.views[0])
    aside = (on_l4[0], on_l4[1] + 160.0)
    assert level_at(found, aside, seen.views[0]) is None
    assert "no vertebra" in wrong_level(found, "L4", aside, seen.views[0])


@pytest.mark.req("REQ-GUI-011")
def test_a_picture_beside_the_spine_gets_no_names(subject, bones):
    narrow = replace(EXPOSURE, pitch_mm=0.2)
    seen = seen_from(subject, "L3", exposure=narrow, aside_mm=85.0, offset_mm=1.0)
    models, skeleton = bones
    found = label_levels(models, seen.views, position=seen.position, skeleton=skeleton)
    assert not found.success
    assert found.reason
    assert not found.levels
    assert not found.equipment_from_ct
    # Silence would be taken for a level that was checked.
    assert "could not be checked" in wrong_level(found, "L3", (100.0, 100.0), seen.views[0])


@pytest.mark.req("REQ-GUI-010")
def test_two_views_name_the_same_vertebrae_in_both(subject, bones):
    seen = seen_from(subject, "L3", AP, CArmPose(80.0, 0.0, 510.0, 1020.0))
    models, skeleton = bones
    found = label_levels(models, seen.views, position=seen.position, skeleton=skeleton)
    assert found.success, found.reason
    for view in (0, 1):
        away = np.linalg.norm(pixels(subject, seen, "L3", view) - found.levels["L3"][view].center_px)
        assert away < 20.0


@pytest.mark.req("REQ-GUI-010")
def test_a_start_a_level_off_is_put_right(subject, bones):
    seen = seen_from(subject, "L3")
    models, skeleton = bones
    begin = translation((0.0, 0.0, 33.0)) @ seen.truth["L3"]
    found = label_levels(models, seen.views, begin, position=seen.position, skeleton=skeleton)
    if found.success:
        assert np.linalg.norm(pixels(subject, seen, "L3") - found.levels["L3"][0].center_px) < 25.0
    else:
        assert not found.levels


def test_nothing_to_label_with_is_refused(lumbar):
    seen, _ = lumbar
    with pytest.raises(ValueError, match="bones of a CT"):
        label_levels({}, seen.views, position=seen.position)
