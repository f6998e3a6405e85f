"""An image intensifier's pincushion and S distortion, from a picture of a bead grid, and back."""

import numpy as np
import pytest
from scipy import ndimage

from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import projection_geometry
from fluoroscope.guidance.calibration import (
    BeadPhantom,
    CalibrationError,
    Distortion,
    find_beads,
    fit_distortion,
    index_grid,
)
from fluoroscope.guidance.view import XRayView

POSE = CArmPose(0.0, 0.0, 600.0, 1000.0)
SPACING_MM, FACE_MM = 15.0, 385.0
"""Of the grid, and how far in front of the detector beyond the isocentre its plane lies."""


def bent_of(straight):
    """Return where an image intensifier shows what a flat detector would show: truth, not the model's polynomial."""
    small = (np.asarray(straight) - 511.5) / 512.0
    r2 = (small**2).sum(axis=-1)
    swirl = np.deg2rad(2.2) * (1.0 - np.exp(-1.5 * r2))
    factor = 1.0 / (1.0 - 0.045 * r2) - 0.02
    turned = np.stack([np.cos(swirl) * small[..., 0] - np.sin(swirl) * small[..., 1],
                       np.sin(swirl) * small[..., 0] + np.cos(swirl) * small[..., 1]], axis=-1)  # fmt: skip
    return 511.5 + 512.0 * 0.96 * factor[..., None] * turned


def after_similarity(found, wanted):
    """Return distances of points after the best shift, turn and scale, and that scale."""
    z, w = (one[:, 0] + 1j * one[:, 1] for one in (found, wanted))
    table = np.stack([z, np.ones_like(z)], axis=1)
    best, *_ = np.linalg.lstsq(table, w, rcond=None)
    return np.abs(table @ best - w), abs(best[0])


@pytest.fixture(scope="module")
def bent_picture(xray):
    steps = np.arange(-9, 10) * SPACING_MM
    x, z = (one.ravel() for one in np.meshgrid(steps, steps))
    grid = BeadPhantom("grid", np.stack([x, np.full_like(x, -FACE_MM), z], axis=1), np.full(len(x), 3.0))
    geometry = projection_geometry(POSE, xray.grid)
    straight = xray.picture_of(grid, geometry, geometry, plastic_mm=20.0, mas=0.05)
    # Resampled by the numerical inverse of the true distortion.
    place = np.stack(np.meshgrid(np.arange(1024.0), np.arange(1024.0), indexing="ij"), axis=-1)
    source = place.copy()
    for _ in range(12):
        source = source + (place - bent_of(source))
    bent = ndimage.map_coordinates(straight.attenuation, source.transpose(2, 0, 1), order=3, mode="nearest")
    return straight, XRayView(bent.astype(np.float32), geometry, np.ones_like(straight.valid))


@pytest.fixture(scope="module")
def fitted(bent_picture) -> Distortion:
    _, bent = bent_picture
    magnification = 1000.0 / (600.0 + FACE_MM)
    beads = find_beads(bent, [1.5 * magnification / 0.3])
    return fit_distortion(*index_grid(beads), spacing_px=SPACING_MM * magnification / 0.3)


@pytest.mark.req("REQ-GUI-049")
def test_the_distortion_of_the_whole_picture_is_found(fitted):
    assert fitted.beads > 250
    assert fitted.residual_px < 0.3
    assert fitted.largest_px > 10.0
    places = np.random.default_rng(3).uniform(80.0, 940.0, (500, 2))
    # Where the middle and turn of the straight picture are put is free: compare after the best similarity.
    off, scale = after_similarity(fitted.straightened(bent_of(places)), places)
    assert np.sqrt((off**2).mean()) < 0.3
    assert off.max() < 1.2
    assert scale == pytest.approx(1.0, abs=0.002)


@pytest.mark.req("REQ-GUI-049")
def test_bending_undoes_straightening(fitted):
    places = np.random.default_rng(4).uniform(60.0, 960.0, (300, 2))
    assert np.abs(fitted.bent(fitted.straightened(places)) - places).max() < 0.01


@pytest.mark.req("REQ-GUI-049")
def test_a_straightened_picture_has_its_beads_on_straight_lines(bent_picture, fitted):
    _, bent = bent_picture
    picture = fitted.straighten(bent.attenuation)
    again = find_beads(XRayView(picture, bent.geometry, bent.valid), [1.5 * 1000.0 / (600.0 + FACE_MM) / 0.3])
    index, pixels = index_grid(again)
    off, _ = after_similarity(pixels, index)
    # In steps of the grid, 51 px each.
    assert np.sqrt((off**2).mean()) < 0.006
    assert off.max() < 0.025


@pytest.mark.req("REQ-GUI-049")
def test_a_picture_without_a_grid_is_refused(bent_picture):
    straight, _ = bent_picture
    few = find_beads(straight, [5.0])[:30]
    with pytest.raises(CalibrationError, match="are needed"):
        index_grid(few)
    rng = np.random.default_rng(1)
    from fluoroscope.guidance.calibration import Bead

    scattered = [Bead((float(r), float(c)), 5.0, 1.0) for r, c in rng.uniform(0.0, 1000.0, (90, 2))]
    with pytest.raises(CalibrationError, match="grid"):
        fit_distortion(*index_grid(scattered))
