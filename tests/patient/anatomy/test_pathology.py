"""What is abnormal shows on the bones, and nothing else changes."""

import numpy as np
import pytest

from fluoroscope.patient.anatomy.implants import pedicle_screw_axis
from fluoroscope.patient.anatomy.parameters import PatientParameters, parse_pathology
from fluoroscope.patient.anatomy.pathology import trabecular_hu
from fluoroscope.patient.anatomy.skeleton import make_skeleton
from fluoroscope.patient.anatomy.solids import Canvas


def _skeleton(*pathologies, **others):
    return make_skeleton(PatientParameters(seed=11, pathologies=tuple(map(parse_pathology, pathologies)), **others))[0]


def _bone(skeleton, name):
    return next(bone for bone in skeleton.bones if bone.name == name)


def _painted(bone, pitch_mm=1.0):
    low, high = bone.solids[0].box()
    shape = tuple(int(n) for n in np.ceil((high - low) / pitch_mm)[::-1])
    canvas = Canvas(np.zeros(shape, np.float32), np.zeros(shape, np.uint8), tuple(low), pitch_mm)
    for solid in bone.solids:
        canvas.paint(solid)
    return canvas


def test_spongiosa_thins_with_age_and_osteoporosis():
    ages = [trabecular_hu(age) for age in (20.0, 40.0, 60.0, 80.0, 95.0)]
    assert ages == sorted(ages, reverse=True)
    assert (ages[0], ages[-1]) == (220.0, 90.0)
    assert trabecular_hu(70.0, 1.0) < 0.5 * trabecular_hu(70.0)


def test_osteoporosis_leaves_a_frame():
    sound, porous = (_bone(_skeleton(*what), "vertebrae_L3").solids[0] for what in ((), ("osteoporosis:1",)))
    assert porous.hu < 0.5 * sound.hu
    assert porous.shell_hu == sound.shell_hu
    assert porous.shell_mm < sound.shell_mm


@pytest.mark.parametrize(("kind", "sign"), [("lytic", -1.0), ("blastic", 1.0)])
def test_a_metastasis_changes_its_own_vertebra_only(kind, sign):
    sound, ill = _skeleton(), _skeleton(f"{kind}:L3:10")
    changed = _painted(_bone(ill, "vertebrae_L3")).hu - _painted(_bone(sound, "vertebrae_L3")).hu
    assert sign * changed.sum() > 1e5
    np.testing.assert_array_equal(_painted(_bone(ill, "vertebrae_L2")).hu, _painted(_bone(sound, "vertebrae_L2")).hu)


def test_osteophytes_widen_the_rim_and_leave_the_disc():
    sound, ill = (_bone(_skeleton(*what), "vertebrae_L3").solids[0] for what in ((), ("osteophytes:L3:10",)))
    frame = np.linalg.inv(sound.world_from_solid)
    points = []
    for solid in (sound, ill):
        low, high = solid.box()
        grid = np.stack(np.meshgrid(*(np.arange(a, b, 1.5) for a, b in zip(low, high, strict=True)), indexing="ij"), -1)
        grid = grid.reshape(-1, 3)
        points.append(grid[solid.distance(grid) < 0.0] @ frame[:3, :3].T + frame[:3, 3])
    assert points[1][:, 1].min() < points[0][:, 1].min() - 3.0
    front = [p[p[:, 1] < 0.0] for p in points]
    assert front[1][:, 2].min() > front[0][:, 2].min() - 2.5


def test_rods_hold_the_discs_they_bridge():
    assert [joint.name for joint in _skeleton("fusion:L4:2").joints if joint.fused] == ["L4_L5", "L5_S1"]


def test_screws_run_inside_their_pedicles_and_rods_span_the_levels():
    sound, fused = _skeleton(), _skeleton("fusion:L4:2")
    for level in ("L1", "L3", "L4", "L5"):
        bone = _bone(sound, f"vertebrae_{level}")
        for side, word in ((1.0, "left"), (-1.0, "right")):
            head, tip, radius = pedicle_screw_axis(bone, side)
            length = np.linalg.norm(tip - head)
            axis = (tip - head) / length
            along = np.array(sound.landmarks[f"{level}/pedicle_{word}"].position_mm) - head
            assert np.linalg.norm(along - (along @ axis) * axis) < 6.0
            pedicle = head + (along @ axis + np.linspace(-4.0, 4.0, 17))[:, np.newaxis] * axis
            assert (bone.solids[0].distance(pedicle) < -radius).all()
            shaft = head + np.linspace(1.0, length, 60)[:, np.newaxis] * axis
            assert (bone.solids[0].distance(shaft) < 0.0).all()
            assert 2.0 <= radius <= 3.25
    for name in ("vertebrae_L4", "vertebrae_L5", "sacrum"):
        metal = [solid for solid in _bone(fused, name).solids if solid.label == 160]
        assert len(metal) == (2 if name == "sacrum" else 4)
        assert all(solid.hu == 3000.0 for solid in metal)


def test_a_fracture_leaves_a_dense_band():
    bone = _bone(_skeleton("fracture:L2:0.4"), "vertebrae_L2")
    assert len(bone.solids) == 2
    low, high = bone.solids[1].box()
    center = 0.5 * (low + high)
    assert bone.solids[0].distance(center)[0] < -2.0
    assert bone.solids[1].hu > bone.solids[0].hu + 100.0
