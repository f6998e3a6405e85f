"""What counts as metal in a picture: needles, screws and what is opaque, in a modelled patient's picture; bone not."""

import numpy as np
import pytest

from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import projection_geometry
from fluoroscope.geometry.rigid import translation
from fluoroscope.guidance.registration.picture import Picture
from fluoroscope.guidance.view import XRayView
from fluoroscope.patient.anatomy.parameters import PatientParameters
from fluoroscope.patient.library import model_patient
from fluoroscope.patient.volume import Volume
from fluoroscope.projector import project

PIXELS = 512


@pytest.fixture(scope="module")
def bare():
    """A noisy picture of a modelled patient's lumbar spine at 0.4 mm pixels, without metal."""
    patient = model_patient(PatientParameters(seed=1), pitch_mm=2.0, keep=False)
    values = np.maximum(patient.volume.values.astype(np.float32) + 1000.0, 0.0) * np.float32(0.0206e-3)
    body = Volume(values, patient.volume.world_from_index.copy())
    marks = patient.articulation.landmarks
    middle = np.array(next(mark.position_mm for name, mark in marks.items() if name.startswith("L3/")))
    grid = DetectorGrid(PIXELS, PIXELS, 400.0 / PIXELS)
    seen = projection_geometry(CArmPose(0.0, 0.0, 510.0, 1020.0), grid, translation(middle))
    return np.squeeze(project(body, seen))


def noisy(thickness):
    rng = np.random.default_rng(4)
    counts = rng.poisson(np.exp(-thickness) * 3e5) / 3e5
    attenuation = -np.log(np.maximum(counts, 1e-7)).astype(np.float32)
    grid = DetectorGrid(PIXELS, PIXELS, 400.0 / PIXELS)
    geometry = projection_geometry(CArmPose(0.0, 0.0, 510.0, 1020.0), grid)
    return Picture(XRayView(attenuation, geometry, np.ones(attenuation.shape, dtype=np.bool_)))


def distance_mm(picture):
    """Return each pixel's place at the isocentre, mm from the middle: rows and columns."""
    at = (np.arange(PIXELS) - 0.5 * PIXELS) * picture.pixel_mm
    return np.meshgrid(at, at, indexing="ij")


@pytest.mark.req("REQ-GUI-005")
def test_bone_is_no_metal(bare):
    picture = noisy(bare)
    assert bare.std() > 0.2, "a picture of a patient"
    assert picture.metal.mean() < 0.02
    weight = picture.layer(1.6).weight
    assert (weight[4:-4, 4:-4] == 0.0).mean() < 0.04


@pytest.mark.req("REQ-GUI-005")
def test_a_needle_is_masked_and_nothing_else(bare):
    rows, columns = distance_mm(noisy(bare))
    aside = np.abs(0.8 * rows - 0.6 * columns)
    along = 0.6 * rows + 0.8 * columns
    half = 0.36
    needle = 1.2 * 2.0 * np.sqrt(np.maximum(half**2 - aside**2, 0.0)) * (np.abs(along) < 40.0)
    picture = noisy(bare + needle.astype(np.float32))
    assert picture.metal[needle > 0.2].mean() > 0.9
    far = (aside > 3.0) | (np.abs(along) > 44.0)
    assert picture.metal[far].mean() < 0.02
    assert np.abs(picture.bare - noisy(bare).bare)[needle > 0.2].mean() < 0.25


@pytest.mark.req("REQ-GUI-005")
@pytest.mark.parametrize(("half_mm", "opacity"), [(3.0, 0.35), (14.0, 0.35), (30.0, 0.5)])
def test_a_ball_is_masked_to_its_rim(bare, half_mm, opacity):
    rows, columns = distance_mm(noisy(bare))
    chord = 2.0 * np.sqrt(np.maximum(half_mm**2 - rows**2 - columns**2, 0.0))
    picture = noisy(bare + (np.minimum(opacity * chord, 3.0)).astype(np.float32))
    assert picture.metal[chord > 0.5 * half_mm].mean() > 0.95
    assert picture.metal[np.hypot(rows, columns) > half_mm + 6.0].mean() < 0.02
