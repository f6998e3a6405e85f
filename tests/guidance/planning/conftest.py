"""A patient of boards: two square vertebrae, a dural sac, and behind it a wall of bone with one window."""

from dataclasses import dataclass

import numpy as np
import pytest

from fluoroscope.patient.anatomy.structures import structure
from fluoroscope.patient.labels import LabelMap
from fluoroscope.patient.opened import Patient, PatientRecord
from fluoroscope.patient.parts import Articulation, DiscJoint, Landmark
from fluoroscope.patient.volume import BasisVolume, Volume

FIRST = np.array([-90.0, -40.0, -80.0])
SHAPE = (161, 141, 181)
SKIN_Y = 80.5
"""The last tissue lies at y = 80, so that the skin is half a voxel behind it."""
SAC_Y, SAC_RADIUS = 26.0, 7.0
WALL = (40.0, 46.0)
HU = {"vertebrae_L3": 600, "vertebrae_L4": 600, "cerebrospinal_fluid": 8, "autochthon_left": 50, "sacrum": 600}


@dataclass(frozen=True)
class Window:
    """A hole in the wall: middle and half width, mm."""

    x: float = 0.0
    z: float = 0.0
    half_x: float = 5.0
    half_z: float = 5.0


def affine():
    matrix = np.zeros((4, 4))
    matrix[2, 0] = matrix[1, 1] = matrix[0, 2] = matrix[3, 3] = 1.0
    matrix[:3, 3] = FIRST
    return matrix


def landmarks():
    marks = {}

    def mark(name, x, y, z, frame):
        marks[name] = Landmark(name, (x, y, z), frame)

    for level, middle in (("L3", 17.0), ("L4", -17.0)):
        frame = f"vertebrae_{level}"
        for plate, off in (("superior", 12.0), ("inferior", -12.0)):
            for rim, (x, y) in {
                "anterior": (0, -17), "posterior": (0, 17), "left": (22, 0), "right": (-22, 0)
            }.items():  # fmt: skip
                mark(f"{level}/{plate}_endplate_{rim}", float(x), float(y), middle + off, frame)
        mark(f"{level}/pedicle_left", 18.0, 21.0, middle + 2.0, frame)
        mark(f"{level}/pedicle_right", -18.0, 21.0, middle + 2.0, frame)
        mark(f"{level}/spinous_tip", 0.0, 60.0, middle, frame)
    return marks


def board_patient(window=None, *, depth_of_skin=SKIN_Y, vessel_at=None):
    z, y, x = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    x, y, z = x + FIRST[0], y + FIRST[1], z + FIRST[2]
    hu, labels = np.full(SHAPE, -1000, np.int16), np.zeros(SHAPE, np.uint8)

    def paint(name, where):
        labels[where] = structure(name).label
        hu[where] = HU.get(name, 45)

    paint("autochthon_left", y < depth_of_skin)
    for level, middle in (("L3", 17.0), ("L4", -17.0)):
        paint(f"vertebrae_{level}", (abs(x) <= 22) & (abs(y) <= 17) & (abs(z - middle) <= 12))
    paint("cerebrospinal_fluid", np.hypot(x, y - SAC_Y) <= SAC_RADIUS)
    wall = (y >= WALL[0]) & (y <= WALL[1])
    if window is not None:
        wall &= ~((abs(x - window.x) <= window.half_x) & (abs(z - window.z) <= window.half_z))
    paint("vertebrae_L3", wall & (z > 0))
    paint("vertebrae_L4", wall & (z <= 0))
    if vessel_at is not None:
        paint("aorta", np.hypot(x - vessel_at[0], y - vessel_at[1]) <= 4.0)
    names = {int(n): name for n, name in _names(labels)}
    disc = np.eye(4)
    joint = DiscJoint("L3_L4", "vertebrae_L3", "vertebrae_L4", disc, 44.0, 34.0, 10.0, 10.0)
    zeros = np.zeros(SHAPE, np.int16)
    return Patient(
        PatientRecord("boards", "a test", "made here", "Apache-2.0"), "", Volume(hu, affine()),
        BasisVolume(zeros, zeros.copy(), affine()), LabelMap(labels, names), np.zeros(3),
        Articulation((), (joint,), landmarks()), {"bmi": 25.0, "weight_kg": 70.0, "height_cm": 170.0},
    )  # fmt: skip


def _names(labels):
    wanted = ("autochthon_left", "vertebrae_L3", "vertebrae_L4", "cerebrospinal_fluid", "aorta")
    return [(structure(name).label, name) for name in wanted if (labels == structure(name).label).any()]


@pytest.fixture(scope="session")
def boards():
    """Make a patient of boards with a window."""
    return board_patient


@pytest.fixture(scope="session")
def window():
    """The window's class."""
    return Window


@pytest.fixture(scope="session")
def open_boards():
    """A patient whose window lies behind the sac's middle."""
    return board_patient(Window(half_x=8.0, half_z=8.0))
