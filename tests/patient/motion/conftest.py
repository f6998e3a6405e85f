"""A small patient of blocks: five lumbar vertebrae, discs, slabs and organs, quick to make."""

import numpy as np
import pytest

from fluoroscope.patient.parts import Articulation, DiscJoint, Landmark, Part
from fluoroscope.patient.volume import BasisVolume

LEVELS = ("T12", "L1", "L2", "L3", "L4", "L5")
PITCH_MM = 36.0


def block(center_mm, value=500, shape=(6, 6, 6), spacing_mm=4.0):
    affine = np.zeros((4, 4))
    affine[2, 0] = affine[1, 1] = affine[0, 2] = spacing_mm
    affine[:3, 3] = np.asarray(center_mm) - affine[:3, :3] @ ((np.asarray(shape) - 1.0) / 2.0)
    affine[3, 3] = 1.0
    return BasisVolume(np.full(shape, value, np.int16), np.full(shape, value // 2, np.int16), affine)


def height_of(level):
    return PITCH_MM * (LEVELS.index("L3") - LEVELS.index(level))


def make_articulation(organs=("liver", "kidney_left", "colon", "abdominal_wall", "aorta"), degeneration=0.0):
    parts = [Part("base", block((0.0, 0.0, -150.0)))]
    joints, landmarks = [], {}
    for number, level in enumerate(LEVELS):
        name = f"vertebrae_{level}"
        z = height_of(level)
        parts.append(Part(name, block((0.0, 0.0, z)), name))
        parts.append(Part(f"soft_{level}", block((0.0, 20.0, z), 100), f"soft_{level}"))
        below = LEVELS[number + 1] if level != "L5" else "S1"
        disc = np.eye(4)
        disc[:3, 3] = (0.0, 0.0, z - PITCH_MM / 2.0)
        joint = DiscJoint(
            f"{level}_{below}", name, f"vertebrae_{below}" if below != "S1" else "sacrum", disc,
            45.0, 34.0, 10.0, 7.0, degeneration,
        )  # fmt: skip
        joints.append(joint)
        landmarks[f"{level}/center"] = Landmark(f"{level}/center", (0.0, 0.0, z), name)
    landmarks["sacrum/promontory"] = Landmark("sacrum/promontory", (0.0, -17.0, -120.0))
    parts += [Part(organ, block((60.0, -20.0, 10.0 * n), -50), organ) for n, organ in enumerate(organs)]
    return Articulation(tuple(parts), tuple(joints), landmarks)


@pytest.fixture(name="make_articulation")
def _make_articulation():
    """Give `make_articulation`."""
    return make_articulation


@pytest.fixture
def articulation():
    """Give the patient of blocks."""
    return make_articulation()
