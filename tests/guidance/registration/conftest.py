"""A small spine of solids: its CT of 1.5 mm voxels for the algorithm, and pictures made from another grid."""

from dataclasses import dataclass

import numpy as np
import pytest

from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import projection_geometry
from fluoroscope.geometry.rigid import apply, inverse, rotation, translation
from fluoroscope.guidance.registration import VertebraModel, vertebra_models
from fluoroscope.guidance.view import XRayView
from fluoroscope.patient.labels import LabelMap
from fluoroscope.patient.volume import Volume
from fluoroscope.projector import project

LEVELS = {"L2": 33.0, "L3": 0.0, "L4": -34.0}
NUMBERS = {"L2": 2, "L3": 3, "L4": 4}


def _solid(x, y, z, kind):
    """Return where one vertebra of its own shape is: body, pedicles, processes."""
    grow = {"L2": 0.92, "L3": 1.0, "L4": 1.07}[kind]
    x, y, z = x / grow, y / grow, z
    waist = 22.0 - 2.5 * np.cos(np.pi * np.clip(z / 13.0, -1, 1) / 2.0)
    body = ((x / waist) ** 2 + ((y + 16.0) / 16.0) ** 2 < 1.0) & (np.abs(z - 0.06 * y) < 13.0)
    pedicle = (((np.abs(x) - 13.0) / 4.5) ** 2 + ((z - 4.0) / 7.0) ** 2 < 1.0) & (y > -6.0) & (y < 16.0)
    lamina = (np.abs(x) < 15.0 - 0.3 * y) & (np.abs(y - 17.0) < 4.0) & (np.abs(z + 3.0) < 10.0)
    spinous = (np.abs(x) < 3.5) & (y > 15.0) & (y < 42.0) & (np.abs(z + 8.0 + 0.1 * y) < 8.0)
    wing = (np.abs(y - 8.0) < 4.0) & (np.abs(x) < 38.0) & (np.abs(z - 3.0 - 0.08 * np.abs(x)) < 4.5)
    return body | ((pedicle | lamina | spinous | wing) & ~((x / 10.0) ** 2 + ((y - 6.0) / 8.0) ** 2 < 1.0))


def spine_on(pitch_mm, shift_mm):
    """Return HU and label numbers of the spine in soft tissue on a grid, LPS mm."""
    half = np.array([66.0, 60.0, 58.0])  # z, y, x
    counts = (2.0 * half / pitch_mm).astype(int)
    world = np.zeros((4, 4))
    world[2, 0] = world[1, 1] = world[0, 2] = pitch_mm
    world[:3, 3] = -half[::-1] + shift_mm
    world[3, 3] = 1.0
    z, y, x = np.meshgrid(
        *(np.arange(n) * pitch_mm + start for n, start in zip(counts, world[[2, 1, 0], 3], strict=True)), indexing="ij"
    )
    hu = np.full(z.shape, 45.0, dtype=np.float32) + np.float32(25.0) * (np.hypot(x - 45.0, y + 20.0) < 12.0)
    labels = np.zeros(z.shape, dtype=np.uint8)
    for level, at in LEVELS.items():
        whole, inner = _solid(x, y, z - at, level), _solid(x * 1.1, y * 1.04, (z - at) * 1.15, level)
        hu[whole] = 750.0
        hu[whole & inner] = 230.0
        labels[whole] = NUMBERS[level]
    return Volume(hu.astype(np.int16), world), labels


@dataclass(frozen=True)
class World:
    """The CT's models, the finer volume pictures are made of, and where the patient lies."""

    models: dict[str, VertebraModel]
    fine: Volume
    truth: np.ndarray

    def view(self, primary_deg, truth=None, *, pixels=192, seed=0, needle=False, beside_mm=0.0):
        """Return a noisy picture with a veil over it."""
        truth = self.truth if truth is None else truth
        pose = CArmPose(primary_deg, 4.0, 620.0, 1000.0)
        grid = DetectorGrid(pixels, pixels, 230.0 / pixels)
        shifted = translation((0.0, 0.0, beside_mm)) @ truth
        thickness = np.squeeze(project(self.fine, projection_geometry(pose, grid, inverse(shifted))))
        primary = np.exp(-thickness)
        seen = primary + 0.4 * primary.mean()
        if needle:
            rows = np.arange(pixels)
            seen[rows, np.clip((0.4 * rows + 0.25 * pixels).astype(int), 0, pixels - 1)] *= 0.4
        rng = np.random.default_rng(seed)
        noisy = rng.poisson(seen * 4e4) / 4e4
        attenuation = -np.log(np.maximum(noisy, 1e-6)).astype(np.float32)
        valid = np.ones(attenuation.shape, dtype=np.bool_)
        return XRayView(attenuation, projection_geometry(pose, grid), valid)

    def off(self, found, truth=None, level="L3"):
        """Return the mean distance of the level's landmarks from where they are, mm."""
        truth = self.truth if truth is None else truth
        marks = self.models[level].landmarks_mm
        return float(np.linalg.norm(apply(found, marks) - apply(truth, marks), axis=1).mean())


def turned(pose, center_ct, degrees, shift):
    """Return a pose turned about a CT point and shifted."""
    center = apply(pose, center_ct)
    turn = rotation((1, 0, 0), degrees[0], center) @ rotation((0, 1, 0), degrees[1], center)
    return translation(shift) @ rotation((0, 0, 1), degrees[2], center) @ turn @ pose


@pytest.fixture(scope="session")
def world():
    ct, labels = spine_on(1.5, 0.0)
    names = {number: f"vertebrae_{level}" for level, number in NUMBERS.items()}
    models = vertebra_models(ct, LabelMap(labels, names))
    fine, _ = spine_on(0.9, 0.31)
    attenuation = np.maximum(fine.values.astype(np.float32) + 1000.0, 0.0) * np.float32(0.0206e-3)
    lying = np.diag([-1.0, -1.0, 1.0, 1.0])
    truth = turned(translation((6.0, -9.0, 5.0)) @ lying, np.zeros(3), (2.0, -1.5, 3.0), (0.0, 0.0, 0.0))
    return World(models, Volume(attenuation, fine.world_from_index.copy()), truth)
