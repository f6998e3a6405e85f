"""Real CTs made movable by their labels."""

import numpy as np
import pytest

from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import project_points, projection_geometry
from fluoroscope.geometry.rigid import translation
from fluoroscope.patient.ct_parts import articulate_ct
from fluoroscope.patient.formats import read_volume
from fluoroscope.patient.labels import LabelMap, read_labels
from fluoroscope.patient.level_names import level_of, sacral_numbers, vertebra_numbers
from fluoroscope.patient.motion import LivingPatient, MotionSettings
from fluoroscope.patient.tissues import to_basis
from fluoroscope.patient.volume import Volume
from fluoroscope.projector import project


def labelled(*numbers, named=None):
    values = np.zeros((1, 1, max(numbers) + 1), np.uint8)
    values[0, 0, list(numbers)] = numbers
    return LabelMap(values, {n: (named or {}).get(n, f"label_{n}") for n in numbers})


def test_verse_and_totalsegmentator_are_told_apart():
    verse = vertebra_numbers(labelled(19, 20, 21, 22, 23, 24, 26, 28))
    assert verse == {"T12": 19, "T13": 28, "L1": 20, "L2": 21, "L3": 22, "L4": 23, "L5": 24}
    assert sacral_numbers(labelled(19, 20, 26)) == [26]
    total = labelled(25, 26, 27, 29, 31, 32, 50)
    assert vertebra_numbers(total) == {"T12": 32, "L1": 31, "L3": 29, "L5": 27, "C1": 50}
    assert sacral_numbers(total) == [25, 26]
    named = labelled(3, 4, 29, named={3: "L3", 4: "vertebrae_L4", 29: "liver"})
    assert vertebra_numbers(named) == {"L3": 3, "L4": 4}
    assert [level_of(name) for name in ("vertebrae_T12", "vertebra L1", "l5", "L9", "liver", "rib_left_1")] == [
        "T12", "L1", "L5", None, None, None,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def lumbar(data_folder):
    folder = data_folder / "ct" / "lumbar"
    volume = read_volume(folder / "example_ct.nii.gz")
    made = []
    for file in ("example_seg_fast_force_split.nii.gz", "vertebrae_totalseg.nii.gz"):
        labels = read_labels(folder / file, volume, names="totalsegmentator")
        basis = to_basis(volume)
        made.append((volume, basis, labels, articulate_ct(volume, basis, labels)))
    return made


def placed(part, basis):
    index = np.rint(np.linalg.solve(basis.world_from_index, part.volume.world_from_index[:, 3]))[:3].astype(int)
    return tuple(slice(at, at + n) for at, n in zip(index, part.volume.water.shape, strict=True))


@pytest.mark.data
def test_parts_add_up_to_the_ct_exactly(lumbar):
    _, basis, _, articulation = lumbar[0]
    water, bone = np.zeros(basis.water.shape, np.int64), np.zeros(basis.water.shape, np.int64)
    for part in articulation.parts:
        water[placed(part, basis)] += part.volume.water
        bone[placed(part, basis)] += part.volume.bone
    assert np.array_equal(water, basis.water)
    assert np.array_equal(bone, basis.bone)


@pytest.mark.data
def test_whole_vertebrae_move_and_cut_ones_do_not(lumbar):
    names = {part.name for part in lumbar[0][3].parts}
    assert {f"vertebrae_L{n}" for n in range(1, 6)} <= names
    assert not {"vertebrae_T12", "vertebrae_T11", "vertebrae_S1"} & names
    assert [joint.name for joint in lumbar[0][3].joints] == ["L1_L2", "L2_L3", "L3_L4", "L4_L5", "L5_S1"]


@pytest.mark.data
def test_the_hole_looks_like_tissue(lumbar):
    """Where L3 stood the base and slabs hold soft tissue: neither gas nor bone."""
    _, basis, labels, articulation = lumbar[0]
    left_water, left_bone = np.zeros(basis.water.shape), np.zeros(basis.water.shape)
    for part in articulation.parts:
        if part.name == "base" or part.name.startswith("soft_"):
            left_water[placed(part, basis)] += part.volume.water
            left_bone[placed(part, basis)] += part.volume.bone
    hole = labels.values == labels.number("vertebrae_L3")
    assert np.percentile(left_water[hole], 1) > 850.0
    assert np.percentile(left_water[hole], 99) < 1150.0
    # Muscle itself holds some 20 units of the bone basis (two hundredths of cortical bone).
    assert np.abs(left_bone[hole]).mean() < 30.0
    assert basis.bone[hole].mean() > 100.0


@pytest.mark.data
def test_a_moved_vertebra_moves_its_shadow_by_exactly_that(lumbar):
    """The mean of the shadow, weighted by bone, goes where the geometry takes the moved vertebra's centre of mass."""
    part = next(part for part in lumbar[0][3].parts if part.name == "vertebrae_L3")
    index = np.argwhere(part.volume.bone > 0)
    weights = part.volume.bone[part.volume.bone > 0].astype(float)
    middle = np.average(index, axis=0, weights=weights) @ part.volume.world_from_index[:3, :3].T
    middle += part.volume.world_from_index[:3, 3]
    pose = CArmPose(0.0, 0.0, 750.0, 1200.0, isocenter_mm=tuple(middle))
    geometry = projection_geometry(pose, DetectorGrid(400, 400, 0.6))
    moved = translation((6.0, 0.0, -4.0))
    centers = []
    for motion in (np.eye(4), moved):
        shadow = project(part.volume, geometry, world_from_body=motion)[1].astype(float)
        rows, columns = np.indices(shadow.shape)
        centers.append(np.array([(rows * shadow).sum(), (columns * shadow).sum()]) / shadow.sum())
    expected = project_points(geometry, middle + moved[:3, 3]) - project_points(geometry, middle)
    assert np.allclose(centers[1] - centers[0], expected, atol=0.25)


@pytest.mark.data
def test_two_segmentations_give_the_same_landmarks(lumbar):
    fast, clean = lumbar[0][3].landmarks, lumbar[1][3].landmarks
    assert fast.keys() == clean.keys()
    off = np.array([np.subtract(fast[n].position_mm, clean[n].position_mm) for n in fast])
    apart = np.linalg.norm(off, axis=1)
    assert np.median(apart) < 1.5
    assert np.percentile(apart, 95) < 4.0


@pytest.mark.data
def test_bodies_end_at_the_wall_a_body_segmentation_shows(lumbar, data_folder):
    volume, _, labels, articulation = lumbar[1]
    split = read_labels(data_folder / "ct" / "lumbar" / "totalseg_vertebrae_body.nii.gz", volume)
    for level in ("L1", "L2", "L3", "L4", "L5"):
        body = (labels.values == labels.number(f"vertebrae_{level}")) & (split.values == 1)
        if not body.any():
            continue
        world = np.argwhere(body).mean(axis=0) @ volume.world_from_index[:3, :3].T + volume.world_from_index[:3, 3]
        found = np.asarray(articulation.landmarks[f"{level}/center"].position_mm)
        assert np.linalg.norm(found - world) < 6.0, level


@pytest.mark.data
def test_discs_are_lifted_and_go_half_way(lumbar):
    """A disc's part is soft, lies between its vertebrae, and under flexion moves half as far as the one above."""
    articulation = lumbar[1][3]
    discs = {part.name: part for part in articulation.parts if part.name.startswith("disc_")}
    assert set(discs) == {f"disc_{joint.name}" for joint in articulation.joints}
    volume = discs["disc_L3_L4"].volume
    voxel_ml = abs(np.linalg.det(volume.world_from_index[:3, :3])) / 1000.0
    assert 4.0 < np.count_nonzero(volume.water) * voxel_ml < 60.0
    assert np.percentile(np.abs(volume.water), 99) < 150.0
    patient = LivingPatient(articulation, MotionSettings.still())
    patient.bend(0.0, 15.0)
    frames = patient.frames_at(20.0)

    def turned_deg(frame):
        return np.degrees(np.arccos(np.clip((np.trace(frame[:3, :3]) - 1.0) / 2.0, -1.0, 1.0)))

    below, above = turned_deg(frames["vertebrae_L4"]), turned_deg(frames["vertebrae_L3"])
    assert turned_deg(frames["disc_L3_L4"]) == pytest.approx(0.5 * (below + above), rel=0.02)
    assert above - below > 1.0


def test_what_breathes_leaves_lung_behind_and_takes_the_diaphragm_along():
    """A liver under a lung, with a rim between them that no label has."""
    hu = np.full((60, 40, 40), 40, np.int16)
    hu[40:] = -850
    numbers = np.zeros(hu.shape, np.uint8)
    numbers[8:38, 8:32, 8:32] = 1
    numbers[40:] = 2
    affine = np.zeros((4, 4))
    affine[2, 0] = affine[1, 1] = affine[0, 2] = 2.0
    affine[3, 3] = 1.0
    volume = Volume(hu, affine)
    basis = to_basis(volume)
    articulation = articulate_ct(volume, basis, LabelMap(numbers, {1: "liver", 2: "lung_lower_lobe_right"}))
    parts = {part.name: part.volume for part in articulation.parts}
    left = parts["base"].water[:, 20, 20]
    assert (left[35:40] < 450).all()
    assert (left[8:20] > 800).all()
    assert parts["liver"].water.shape[0] * 2.0 >= 40.0
