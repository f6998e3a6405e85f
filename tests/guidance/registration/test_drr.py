"""The DRR of a crop against the projector, its derivatives against differences, and the models themselves."""

import numpy as np
import pytest

from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import projection_geometry
from fluoroscope.geometry.rigid import apply, inverse
from fluoroscope.guidance.registration import render, vertebra_models
from fluoroscope.guidance.registration.model import merged
from fluoroscope.guidance.registration.refine import moved, step_between
from fluoroscope.guidance.registration.rendering import Body, add_drr, box_of, drr_with_slopes
from fluoroscope.patient.labels import LabelMap
from fluoroscope.patient.volume import Volume
from fluoroscope.projector import project

GEOMETRY = projection_geometry(CArmPose(25.0, 8.0, 620.0, 1000.0), DetectorGrid(96, 80, 2.2))


@pytest.mark.req("REQ-GUI-001")
def test_a_drr_is_the_projectors_line_integral(world):
    model = world.models["L3"]
    drr = render(model, GEOMETRY, world.truth)
    volume = Volume(model.values.copy(), model.world_from_index.copy())
    geometry = projection_geometry(CArmPose(25.0, 8.0, 620.0, 1000.0), DetectorGrid(96, 80, 2.2), inverse(world.truth))
    reference = np.squeeze(project(volume, geometry, backend="reference"))
    assert np.abs(drr - reference).max() < 0.02 * reference.max()


@pytest.mark.req("REQ-GUI-001")
def test_a_drr_is_added_to_a_picture_and_refuses_another_size(world):
    out = np.ones((96, 80), dtype=np.float32)
    render(world.models["L3"], GEOMETRY, world.truth, out)
    assert np.allclose(out - 1.0, render(world.models["L3"], GEOMETRY, world.truth), atol=1e-5)
    with pytest.raises(ValueError, match="float32"):
        render(world.models["L3"], GEOMETRY, world.truth, np.zeros((5, 5), dtype=np.float32))


@pytest.mark.req("REQ-GUI-001")
@pytest.mark.parametrize("parameter", range(6))
def test_slopes_are_the_differences(world, parameter):
    body = Body.of(world.models["L3"])
    box = box_of(body, GEOMETRY, world.truth, 4)
    slopes = np.zeros((7, box.rows, box.columns), dtype=np.float32)
    axes = np.eye(3)
    drr_with_slopes(body, GEOMETRY, world.truth, axes, box, slopes)
    size = 0.005 if parameter < 3 else 0.3
    both = []
    for sign in (1.0, -1.0):
        step = np.zeros(6)
        step[parameter] = sign * size
        image = np.zeros((box.rows, box.columns), dtype=np.float32)
        add_drr(body, GEOMETRY, moved(world.truth, body.center_mm, axes, step), box, image)
        both.append(image)
    difference = (both[0] - both[1]) / (2.0 * size)
    # Trilinear samples a voxel apart: differences of the marched sum scatter about its exact derivative.
    along = float((slopes[parameter + 1] * difference).sum() / (difference**2).sum())
    assert 0.85 < along < 1.15
    assert np.corrcoef(slopes[parameter + 1].ravel(), difference.ravel())[0, 1] > 0.9


def test_merged_bones_project_as_their_sum(world):
    whole = render(merged(world.models, ["L2", "L3", "L4"], "L3"), GEOMETRY, world.truth)
    one_by_one = sum(render(model, GEOMETRY, world.truth) for model in world.models.values())
    assert np.abs(whole - one_by_one).max() < 0.02 * whole.max()


def test_a_step_and_the_step_between_are_inverse(world):
    center, axes = world.models["L3"].center_mm, np.eye(3)
    step = np.array([0.02, -0.01, 0.03, 1.0, -2.0, 0.5])
    after = moved(world.truth, center, axes, step)
    assert np.allclose(step_between(world.truth, after, center, axes), step, atol=1e-4)


@pytest.mark.req("REQ-GUI-001")
def test_models_are_of_what_is_labelled(world):
    assert list(world.models) == ["L2", "L3", "L4"]
    for model in world.models.values():
        assert len(model.landmarks_mm) >= 12
        index = apply(np.linalg.inv(model.world_from_index), model.center_mm)
        assert (index > 0).all()
        assert (index < np.array(model.values.shape)).all()


def test_a_level_without_label_is_refused_by_name():
    labels = np.zeros((8, 8, 8), dtype=np.uint8)
    volume = Volume(np.zeros((8, 8, 8), dtype=np.int16), np.eye(4))
    with pytest.raises(ValueError, match="no labelled vertebra"):
        vertebra_models(volume, LabelMap(labels, {}))
    with pytest.raises(ValueError, match="L9: not labelled"):
        vertebra_models(volume, LabelMap(labels, {}), ["L9"])
