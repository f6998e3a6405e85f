"""A patient who moves, in the real room: breath, hold, cough and bend are seen on X-ray and told."""

import time
from pathlib import Path

import numpy as np
import pytest

from fluoroscope.app.serving import open_room
from fluoroscope.app.setup import RoomSetup
from fluoroscope.monitor.control import RefusedError
from fluoroscope.patient.labels import LabelMap
from fluoroscope.patient.library import Patient, PatientRecord
from fluoroscope.patient.parts import Articulation, DiscJoint, Landmark, Part
from fluoroscope.patient.patient_folder import seal_folder, write_patient_files
from fluoroscope.patient.tissues import to_basis
from fluoroscope.patient.volume import BasisVolume, Volume

LEVELS = ("L2", "L3", "L4")


def part_of(hu, affine, where, name, frame):
    alone = np.full(hu.shape, -1000, np.int16)
    alone[where] = hu[where]
    lies_in = np.full(hu.shape, -1000, np.int16)
    lies_in[where] = 20
    whole, below = (to_basis(Volume(values, affine)) for values in (alone, lies_in))
    return Part(name, BasisVolume(whole.water - below.water, whole.bone - below.bone, affine), frame)


@pytest.fixture(scope="module")
def moving(tmp_path_factory) -> Path:
    """A folder as `patients make` writes: a water cylinder, three vertebrae with discs, and a liver."""
    z, y, x = np.meshgrid(np.arange(48), np.arange(48), np.arange(48), indexing="ij")
    affine = np.array([[0.0, 0.0, 4.0, -94.0], [0.0, 4.0, 0.0, -94.0], [4.0, 0.0, 0.0, -94.0], [0.0, 0.0, 0.0, 1.0]])
    water = np.full((48, 48, 48), -1000, np.int16)
    water[(y - 23.5) ** 2 + (x - 23.5) ** 2 < 18**2] = 20
    hu, labels = water.copy(), np.zeros(water.shape, np.uint8)
    parts = [Part("base", to_basis(Volume(water, affine)))]
    joints, landmarks = [], {}
    for number, level in enumerate(LEVELS):
        middle = 32 - 9 * number
        where = (abs(x - 23.5) < 5) & (abs(y - 28) < 5) & (abs(z - middle) < 4)
        hu[where], labels[where] = 500, number + 1
        height = 4.0 * middle - 94.0
        name = f"vertebrae_{level}"
        parts.append(part_of(hu, affine, where, name, name))
        landmarks |= {
            f"{level}/{end}": Landmark(f"{level}/{end}", (0.0, 18.0, height + up), name)
            for end, up in (("superior_endplate_center", 14.0), ("inferior_endplate_center", -14.0))
        }
        disc = np.eye(4)
        disc[:3, 3] = (0.0, 18.0, height - 18.0)
        below = LEVELS[number + 1] if number + 1 < len(LEVELS) else ""
        lower = f"vertebrae_{below}" if below else "sacrum"
        joints.append(DiscJoint(f"{level}_{below or 'S1'}", name, lower, disc, 45.0, 34.0, 9.0, 7.0))
    liver = (abs(x - 12) < 5) & (abs(y - 20) < 6) & (abs(z - 30) < 6)
    hu[liver], labels[liver] = 300, 9
    parts.append(part_of(hu, affine, liver, "liver", "liver"))
    names = {number + 1: f"vertebrae_{level}" for number, level in enumerate(LEVELS)} | {9: "liver"}
    record = PatientRecord("blocks", "a patient of blocks", "made by a test", "Apache-2.0")
    volume = Volume(hu, affine)
    articulation = Articulation(tuple(parts), tuple(joints), landmarks)
    label_map = LabelMap(labels, names)
    patient = Patient(record, "B1", volume, to_basis(volume), label_map, np.array([0.0, 18.0, 0.0]), articulation)
    folder = tmp_path_factory.mktemp("patients") / "blocks"
    folder.mkdir()
    seal_folder(folder, write_patient_files(folder, patient, frozenset({"nifti", "json", "parts"})))
    return folder


@pytest.fixture
def room(moving, exams):
    opened = open_room(RoomSetup(str(moving), matrix=512), exams, seed=3)
    opened.command("set_technique", {"pulse_rate_hz": 15.0})
    yield opened
    opened.close()


def pulses(room, seconds):
    """Return the pulses of some seconds, as means of blocks in which the noise is small."""
    seen, told_ns, until = [], time.monotonic_ns(), time.monotonic() + seconds
    while time.monotonic() < until:
        frame = room.latest("live", told_ns, 10.0)
        told_ns = frame.acquired_ns
        seen.append(frame.pixels.astype(float).reshape(32, 16, 32, 16).mean(axis=(1, 3)))
    return np.array(seen)


def change(seen):
    """Return how much the block that changes most changes."""
    return float(np.ptp(seen, axis=0).max())


def test_the_liver_goes_with_the_breath_and_stands_while_it_is_held(room, wait_for):
    room.command("pedal", {"down": True})
    assert wait_for(lambda: room.status()["pulses"]["delivered"] >= 15)
    breathing = change(pulses(room, 6.0))
    room.command("breathing", {"mode": "hold"})
    assert room.status()["patient"]["movement"]["breathing"] == "hold"
    assert wait_for(lambda: room.status()["patient"]["movement"]["held_s"] > 1.0)
    held = change(pulses(room, 6.0))
    assert breathing > 3.0 * held
    room.command("breathing", {"mode": "breathe"})
    movement = room.status()["patient"]["movement"]
    assert (movement["breathing"], movement["held_s"]) == ("breathe", None)
    assert change(pulses(room, 6.0)) > 3.0 * held
    room.command("pedal", {"down": False})


def test_a_cough_is_told_while_it_lasts(room, wait_for):
    room.command("breathing", {"mode": "cough"})
    assert wait_for(lambda: room.status()["patient"]["movement"]["coughing"], 3.0)
    assert wait_for(lambda: not room.status()["patient"]["movement"]["coughing"], 5.0)


def test_bending_is_told_and_keeps_to_its_limits(room, wait_for):
    low, high = room.status()["patient"]["movement"]["limits"]["flexion_deg"]
    assert low < 0.0 < high
    room.command("bend", {"flexion_deg": 6.0})
    room.command("bend", {"side_bend_deg": 3.0})
    movement = lambda: room.status()["patient"]["movement"]  # noqa: E731
    assert wait_for(lambda: movement()["flexion_deg"] == pytest.approx(6.0, abs=0.1), 10.0)
    assert wait_for(lambda: movement()["side_bend_deg"] == pytest.approx(3.0, abs=0.1), 10.0)
    with pytest.raises(RefusedError, match="flexion_deg"):
        room.command("bend", {"flexion_deg": high + 1.0})


def test_the_room_view_is_told_the_vertebrae(room):
    import json

    shape = json.loads(room.asset("shape.json").content)
    assert [one["name"] for one in shape["spine"]] == list(LEVELS)
    heights = [one["position_mm"][2] for one in shape["spine"]]
    assert heights == sorted(heights, reverse=True)


@pytest.mark.req("HAZ-CLINIC-001")
def test_with_nothing_named_a_modelled_adult_lies_prone_and_breathes(tmp_path, wait_for):
    room = open_room(RoomSetup(matrix=512), tmp_path / "exams", seed=3)
    try:
        status = room.status()
        patient = status["patient"]
        assert (patient["position"], patient["synthetic"], patient["pregnancy_weeks"]) == ("HFP", True, None)
        assert patient["movement"]["breathing"] == "breathe"
        assert None not in patient["movement"]["limits"].values()
        room.command("screening_answer", {"answer": "no", "by": "Test"})
        room.command("pedal", {"down": True})
        assert wait_for(lambda: room.status()["pulses"]["delivered"] >= 15)
        breathing = np.ptp(pulses(room, 6.0), axis=0)
        room.command("breathing", {"mode": "hold"})
        assert wait_for(lambda: room.status()["patient"]["movement"]["held_s"] > 1.0)
        # Heart and bowel go on while the breath is held: somewhere it must be the breath alone that moved.
        assert (breathing / np.ptp(pulses(room, 6.0), axis=0)).max() > 3.0
        room.command("pedal", {"down": False})
        rows = {row["name"]: row for row in room.status()["patients"]}
        assert all(row["synthetic"] for row in rows.values() if row["group"] == "modelled")
        assert any(row["pregnancy_weeks"] for row in rows.values())
    finally:
        room.close()
