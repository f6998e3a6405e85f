"""A plain back: skin, fat, ligaments, epidural space, a sac of CSF, a lamina beside the midline, a root, a vessel."""

import numpy as np
import pytest

from fluoroscope.patient.anatomy.structures import structure
from fluoroscope.patient.instruments.tissue_probe import TissueProbe
from fluoroscope.patient.labels import LabelMap
from fluoroscope.patient.volume import Volume

SHAPE, PITCH = (200, 130, 90), 1.0
ORIGIN = np.array([-45.0, -60.0, -100.0])
HU = {"subcutaneous_fat": -100, "skin": 20, "vertebrae_L3": 600, "cerebrospinal_fluid": 8, "epidural_space": -40}


def affine():
    matrix = np.zeros((4, 4))
    matrix[2, 0] = matrix[1, 1] = matrix[0, 2] = PITCH
    matrix[:3, 3] = ORIGIN
    matrix[3, 3] = 1.0
    return matrix


@pytest.fixture(scope="session")
def back():
    """Volume and labels; the back looks to +y, skin at y = 60, sac about y = 0 with 8 mm radius, narrow at z = 50."""
    s, p, lateral = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    z, y, x = s * PITCH + ORIGIN[2], p * PITCH + ORIGIN[1], lateral * PITCH + ORIGIN[0]
    hu, labels = np.full(SHAPE, -1000, np.int16), np.zeros(SHAPE, np.uint8)

    def paint(name, where):
        labels[where] = structure(name).label
        hu[where] = HU.get(name, 55)

    paint("autochthon_left", y <= 60)
    paint("subcutaneous_fat", (y <= 60) & (y > 40))
    paint("skin", (y <= 60) & (y > 58))
    paint("interspinous_ligament", (y <= 40) & (y > 16) & (abs(x) < 5))
    paint("ligamentum_flavum", (y <= 16) & (y > 12) & (abs(x) < 12))
    away = np.hypot(x, y)
    paint("vertebrae_L3", (y <= 20) & (y > 12) & (abs(x) >= 6) & (abs(x) < 20) & (abs(z) < 10))
    paint("epidural_space", away < 13)
    paint("cerebrospinal_fluid", away < np.where(abs(z - 50) < 6, 3.0, 8.0))
    paint("nerve_root_left_L3", (abs(y + 2) < 3) & (abs(z + 0.4 * (x - 12)) < 3) & (x > 12) & (x < 40))
    paint("aorta", np.hypot(x, y + 45) < 8)
    values = Volume(hu, affine())
    numbers = np.unique(labels)
    from fluoroscope.patient.anatomy.structures import structures

    names = {one.label: one.name for one in structures().values() if one.label in numbers}
    return values, LabelMap(labels, names)


@pytest.fixture(scope="session")
def probe(back):
    return TissueProbe(*back)
