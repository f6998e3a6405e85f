"""The figures the project publishes about its projector, on a reduced CT: accuracy, and speed against itk-rtk."""

import numpy as np
import pytest

from fluoroscope.evaluation import motion_bench
from fluoroscope.evaluation import projector_bench as bench
from fluoroscope.evaluation.analytic_phantom import AnalyticPhantom, Solid, torso_phantom
from fluoroscope.patient.anatomy.parameters import PatientParameters
from fluoroscope.patient.library import model_patient
from fluoroscope.patient.motion import LivingPatient
from fluoroscope.projector import prepare, project

SHAPE, SPACING_MM = (100, 128, 128), (4.0, 3.2, 3.2)
HALF_SHAPE, HALF_SPACING_MM = (200, 256, 256), (2.0, 1.6, 1.6)


def by_id(rows):
    for row in rows:
        assert set(row) == {"id", "what", "size", "stages", "value", "unit", "spread"}
        assert row["spread"][0] <= row["value"] <= row["spread"][1]
    return {row["id"]: row["value"] for row in rows}


@pytest.mark.req("REQ-PROJ-001")
def test_accuracy_against_exact_chords():
    values = by_id(bench.accuracy_rows(HALF_SHAPE, HALF_SPACING_MM, 128, 3))
    assert values["projector.rmse_ratio"] <= 1.02
    assert values["projector.rmse_fast"] < 1.0
    assert values["projector.agreement"] <= 0.05


def test_speed_rows_name_every_case():
    values = by_id(bench.speed_rows(SHAPE, SPACING_MM, (64,), 3))
    assert len(values) == 4
    assert min(values.values()) > 0.0


@pytest.mark.peer("itk-rtk")
def test_same_pictures_as_itk_rtk_and_much_faster():
    values = by_id(bench.peer_rows(HALF_SHAPE, HALF_SPACING_MM, (256,), 3, 5))
    assert values["projector.itk_rtk.difference.256"] < 0.1
    assert values["projector.itk_rtk.ratio.air_skipped.256"] > 5.0


def test_reported_poses_are_not_the_tuning_poses():
    reported, tuning = bench.bench_poses(5), bench.bench_poses(5, bench.TUNING_SEED)
    assert reported == bench.bench_poses(5)
    assert not set(reported) & set(tuning)


def test_phantom_chords_and_voxels_agree():
    """The picture of the voxels approaches the exact chords, and the voxels hold the solids' exact volume."""
    phantom = torso_phantom()
    assert len(phantom.solids) > 80
    volume = phantom.voxelise(SHAPE, SPACING_MM)
    assert volume.values.min() >= 0
    total = 0.0
    for solid in phantom.solids:
        size = float(np.prod(solid.semi_axes_mm)) * np.pi * (2.0 if solid.cylinder else 4.0 / 3.0)
        total += solid.value * size
    assert volume.values.sum(dtype=np.float64) * np.prod(SPACING_MM) == pytest.approx(total, rel=2e-3)
    basis = phantom.voxelise_basis(SHAPE, SPACING_MM)
    assert np.abs(basis.water.astype(int) + basis.bone - volume.values).max() <= 1


def test_chords_of_single_solids():
    geometry = bench.view(bench.CArmPose(0.0, 0.0, 600.0, 1020.0), 3)
    middle = np.zeros(3)
    ball = Solid(middle, np.eye(3), np.full(3, 30.0), 2.0)
    rod = Solid(middle, np.eye(3), np.array([10.0, 20.0, 50.0]), 1.0, cylinder=True, bone=True)
    phantom = AnalyticPhantom((ball, rod))
    assert phantom.chords(geometry)[1, 1] == pytest.approx(2.0 * 60.0 + 40.0)
    assert phantom.chords(geometry, bone=True)[1, 1] == pytest.approx(40.0)
    assert phantom.chords(geometry, bone=False)[1, 1] == pytest.approx(120.0)


def test_seed_moves_the_solids():
    one, two = torso_phantom(1), torso_phantom(2)
    geometry = bench.view(bench.bench_poses(1)[0], 16)
    assert not np.allclose(one.chords(geometry), two.chords(geometry))
    picture = project(prepare(one.voxelise(SHAPE, SPACING_MM)), geometry)[0]
    assert np.abs(picture - one.chords(geometry)).max() < np.abs(picture - two.chords(geometry)).max()


def test_a_living_patient_is_timed_in_all_four_states(monkeypatch):
    parameters = PatientParameters(seed=3)
    coarse = model_patient(parameters, pitch_mm=3.0, keep=False)
    monkeypatch.setattr(motion_bench, "open_patient", lambda name: coarse)
    drawn = []
    plain = LivingPatient.at
    monkeypatch.setattr(LivingPatient, "at", lambda self, at_s: drawn.append(plain(self, at_s)) or drawn[-1])
    values = by_id(motion_bench.motion_rows(pixels=(128,), pulses=6))
    states = ("traction.moving", "traction.still", "breathing.moving", "breathing.still")
    assert list(values) == [f"motion.{state}.128" for state in states]
    assert min(values.values()) > 0.0
    pulled, breathing = drawn[5], drawn[-1]
    # Under traction nearly all moves; the breath alone leaves the spine where it is.
    assert moved_parts(drawn[4], pulled) > 2 * moved_parts(drawn[-2], breathing) > 0


def moved_parts(before, after):
    return sum(one is not other for one, other in zip(before.bodies, after.bodies, strict=True))
