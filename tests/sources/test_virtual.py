"""The virtual C-arm on a clock that jumps: pulses, moves, dose, truth, the same again."""

import itertools
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluoroscope.acquisition import (
    Collimation,
    Exposable,
    Frame,
    FrameSource,
    PixelIntensity,
    Positionable,
    Provenance,
    SourceError,
    SteppedClock,
)
from fluoroscope.acquisition.truth import GroundTruth
from fluoroscope.beam.kerma import reference_distance_mm
from fluoroscope.beam.spectrum import tube_spectrum
from fluoroscope.beam.technique import RadiationMode, Technique
from fluoroscope.detector import Detector
from fluoroscope.geometry import C_ARMS, OutOfReachError, PatientPosition, TablePose, project_points
from fluoroscope.patient.scene import Body, Cylinder, Scene, Sphere
from fluoroscope.patient.volume import BasisVolume
from fluoroscope.projector.scene import SceneProjector
from fluoroscope.sources.virtual import CArmSetup, VirtualCArm, beam_setup, kerma_of, render_pulse

MODEL = C_ARMS["mobile-flat-panel"]
TECHNIQUE = Technique(70.0, 3.0, 8.0, 15.0)
MATRIX = 64
LEAD_BALL_MM = (20.0, -10.0, 30.0)


def block() -> BasisVolume:
    """200 mm of water with a bone column in it, 10 mm voxels, centred on the origin."""
    water = np.full((24, 20, 24), 1000, dtype=np.int16)
    bone = np.zeros_like(water)
    bone[:, 8:12, 10:14] = 400
    affine = np.zeros((4, 4))
    affine[0, 2] = affine[1, 1] = affine[2, 0] = 10.0
    affine[:3, 3] = (-115.0, -95.0, -115.0)
    affine[3, 3] = 1.0
    return BasisVolume(water, bone, affine)


PATIENT = Body("patient", block())


class Still:
    """Nothing moves."""

    def __init__(self, *shapes: Cylinder | Sphere) -> None:
        self.scene = Scene((PATIENT,), shapes)

    def at(self, time_s: float) -> Scene:
        return self.scene


class Falling:
    """A body that sinks by 10 mm a second."""

    def at(self, time_s: float) -> Scene:
        moved = np.eye(4)
        moved[2, 3] = -10.0 * time_s
        return Scene((replace(PATIENT, world_from_body=moved),))


def stepped() -> SteppedClock:
    return SteppedClock(datetime(2026, 11, 22, tzinfo=UTC))


def carm(scene: Any = None, seed: int = 1, told: list[GroundTruth] | None = None, **setup: Any) -> VirtualCArm:
    return VirtualCArm(
        Still() if scene is None else scene, MODEL, CArmSetup(**setup), Detector(seed=seed), stepped(),
        matrix_limit=MATRIX, on_truth=None if told is None else told.append,
    )  # fmt: skip


def expose(source: VirtualCArm, count: int, technique: Technique = TECHNIQUE, uid: str = "1.2.3") -> list[Frame]:
    source.press(technique, uid)
    frames = list(itertools.islice(source.frames(), count))
    source.release()
    return frames


def test_it_is_all_a_c_arm_is() -> None:
    source = carm()
    assert isinstance(source, FrameSource)
    assert isinstance(source, Exposable)
    assert isinstance(source, Positionable)
    assert source.info.provenance is Provenance.SIMULATED
    assert "simulated" in source.info.manufacturer.lower()


def test_a_frame_says_how_it_was_made() -> None:
    source = carm()
    source.set_table(TablePose(height_mm=5.0))
    source.set_joints({"orbital": 20.0})
    frame = expose(source, 1)[0]
    assert (frame.uid, frame.event_uid, frame.index) == ("1.2.3.0", "1.2.3", 0)
    assert frame.intensity is PixelIntensity.LIN
    assert frame.pose == source.pose == MODEL.pose({"orbital": 20.0})
    assert frame.table == TablePose(height_mm=5.0)
    assert frame.pitch_mm == source.grid.pitch_mm
    assert frame.pixels.shape == (source.info.rows, source.info.columns)
    assert frame.technique is not None
    assert (frame.technique.pulse_rate_hz, frame.technique.mode) == (15.0, RadiationMode.FLUOROSCOPY)


def test_the_same_run_again_gives_the_same_pixels_and_another_seed_other_noise() -> None:
    one, same, other = (expose(carm(seed=seed), 3) for seed in (7, 7, 8))
    for first, second, third in zip(one, same, other, strict=True):
        np.testing.assert_array_equal(first.pixels, second.pixels)
        assert first.technique == second.technique
        assert not np.array_equal(first.pixels, third.pixels)


@pytest.mark.req("REQ-DET-001")
def test_noise_is_fresh_in_every_frame_and_every_press() -> None:
    source = carm()
    frames = [*expose(source, 4), *expose(source, 4, uid="1.2.4")]
    settled = [frame for frame in frames if frame.technique == frames[-1].technique]
    assert len(settled) >= 3
    for one, other in itertools.combinations(settled, 2):
        assert not np.array_equal(one.pixels, other.pixels)


def test_the_air_kerma_is_that_of_the_tube_15_cm_from_the_isocentre() -> None:
    frame = expose(carm(), 1)[0]
    assert frame.technique is not None
    assert frame.kerma is not None
    beam = tube_spectrum(frame.technique.tube_voltage_kv, frame.technique.filtration)
    at_1_m_mgy = beam.air_kerma_ugy_per_mas(1000.0) * frame.technique.mas_per_pulse / 1000.0
    assert frame.kerma.air_kerma_mgy == pytest.approx(at_1_m_mgy * (1000.0 / (510.0 - 150.0)) ** 2, rel=1e-9)


def test_kap_over_kerma_is_the_field_at_the_reference_point() -> None:
    source = carm()
    source.set_collimation(Collimation(50.0, 30.0, 20.0, 40.0))
    frame = expose(source, 1)[0]
    assert frame.kerma is not None
    field_cm2 = 80.0 * 60.0 / 100.0 * (reference_distance_mm(510.0) / 1020.0) ** 2
    assert frame.kerma.kap_gy_cm2 / (frame.kerma.air_kerma_mgy / 1000.0) == pytest.approx(field_cm2, rel=1e-9)


def test_collimating_lowers_kap_and_not_the_kerma_of_a_technique() -> None:
    wide = beam_setup(MODEL, CArmSetup(), MATRIX)
    narrow = beam_setup(MODEL, CArmSetup(collimation=Collimation(30.0, 30.0, 30.0, 30.0)), MATRIX)
    assert kerma_of(TECHNIQUE, narrow).kap_gy_cm2 < kerma_of(TECHNIQUE, wide).kap_gy_cm2
    assert kerma_of(TECHNIQUE, narrow).air_kerma_mgy == kerma_of(TECHNIQUE, wide).air_kerma_mgy


@given(
    edges=st.tuples(*[st.floats(5.0, 400.0)] * 4),
    fields=st.lists(st.integers(0, len(MODEL.detector.fields) - 1), min_size=1, max_size=5),
)
@settings(deadline=None, max_examples=30)
def test_the_collimator_is_never_wider_than_the_zoom_field(
    edges: tuple[float, float, float, float], fields: list[int]
) -> None:
    source = carm()
    source.set_collimation(Collimation(*edges))
    for field_index in fields:
        source.set_field(field_index)
        half_mm = source.grid.width_mm / 2.0
        now = source.collimation
        assert max(now.left_mm, now.right_mm, now.upper_mm, now.lower_mm) <= half_mm
        assert now.area_mm2 > 0.0


def test_zooming_past_a_field_at_the_edge_opens_the_collimator() -> None:
    source = carm()
    source.set_collimation(Collimation(-120.0, 150.0, 20.0, 20.0))
    source.set_field(2)
    assert source.collimation.left_mm == source.grid.width_mm / 2.0


def test_a_marker_is_where_the_truth_projects_it() -> None:
    ball = Sphere(LEAD_BALL_MM, 6.0, (0.0, 20.0))
    told: list[GroundTruth] = []
    source = carm(Still(ball), told=told, position=PatientPosition.HFP)
    source.set_joints({"orbital": 25.0, "tilt": -10.0})
    frame = expose(source, 1)[0]
    (truth,) = told
    row, column = project_points(truth.geometry, LEAD_BALL_MM)
    plain = expose(carm(position=PatientPosition.HFP, joints={"orbital": 25.0, "tilt": -10.0}), 1)[0]
    missing = plain.pixels.astype(np.float64) - frame.pixels * (plain.pixels.mean() / frame.pixels.mean())
    missing[missing < 0.4 * missing.max()] = 0.0
    rows, columns = np.mgrid[: missing.shape[0], : missing.shape[1]]
    found = (rows * missing).sum() / missing.sum(), (columns * missing).sum() / missing.sum()
    assert found == pytest.approx((row, column), abs=1.0)


def test_truth_is_told_for_every_frame() -> None:
    told: list[GroundTruth] = []
    source = carm(Falling(), told=told)
    frames = expose(source, 4)
    assert [truth.frame_uid for truth in told] == [frame.uid for frame in frames]
    assert [truth.time_s for truth in told] == pytest.approx([index / 15.0 for index in range(4)], abs=1e-6)
    assert told[3].body_poses["patient"][2][3] == pytest.approx(-10.0 * 3 / 15.0, abs=1e-6)


@pytest.mark.req("REQ-AEC-001")
def test_the_lateral_does_not_go_dark() -> None:
    source = carm()
    half = slice(MATRIX // 4, 3 * MATRIX // 4)
    first = expose(source, 10)[-1]
    source.set_joints({"orbital": 90.0})
    turned = expose(source, 15, uid="1.2.4")
    assert first.technique is not None
    assert turned[-1].technique is not None
    ratio = turned[-1].pixels[half, half].mean() / first.pixels[half, half].mean()
    assert ratio == pytest.approx(1.0, abs=0.15)
    # The first picture of a new view is not black either.
    assert turned[0].pixels[half, half].mean() == pytest.approx(turned[-1].pixels[half, half].mean(), rel=0.3)


def test_moves_during_exposure_are_seen_from_the_next_pulse() -> None:
    source = carm()
    source.press(TECHNIQUE, "1.2.3")
    frames = source.frames()
    angles = []
    for step in range(4):
        source.set_joints({"orbital": 5.0 * step})
        frame = next(frames)
        assert frame.pose is not None
        angles.append(frame.pose.primary_deg)
    source.release()
    assert list(frames) == []
    assert angles == [MODEL.pose({"orbital": 5.0 * step}).primary_deg for step in range(4)]


def test_out_of_reach_is_refused_and_nothing_moves() -> None:
    source = carm()
    before = source.setup
    with pytest.raises(OutOfReachError, match="orbital"):
        source.set_joints({"tilt": 3.0, "orbital": 170.0})
    with pytest.raises(ValueError, match="no joint"):
        source.set_joints({"antenna": 1.0})
    with pytest.raises(ValueError, match="field of view"):
        source.set_field(9)
    with pytest.raises(ValueError, match="open"):
        source.set_collimation(Collimation(-140.0, 140.01, 20.0, 20.0))
    assert source.setup == before


@given(deltas=st.lists(st.floats(-120.0, 120.0), max_size=8))
@settings(deadline=None, max_examples=30)
def test_nudging_stops_at_the_limits(deltas: list[float]) -> None:
    source = carm()
    joint = MODEL.joint("orbital")
    expected = joint.rest
    for delta in deltas:
        source.nudge_joints({"orbital": delta})
        expected = min(max(expected + delta, joint.minimum), joint.maximum)
        assert source.joints["orbital"] == pytest.approx(expected)


def test_move_to_reaches_a_pose() -> None:
    source = carm()
    pose = MODEL.pose({"orbital": 33.0, "tilt": 7.0, "height": 20.0})
    source.move_to(pose)
    assert source.pose.primary_deg == pytest.approx(pose.primary_deg, abs=1e-6)
    assert source.pose.secondary_deg == pytest.approx(pose.secondary_deg, abs=1e-6)
    with pytest.raises(OutOfReachError):
        source.move_to(replace(pose, source_to_detector_mm=2000.0))


def test_the_rate_may_change_during_exposure() -> None:
    source = carm()
    source.press(TECHNIQUE, "1.2.3")
    frames = source.frames()
    times = [next(frames).acquired_ns for _ in range(3)]
    source.set_pulse_rate(30.0)
    # The pulse after the next is the first at the new distance: one is already due.
    times += [next(frames).acquired_ns for _ in range(3)]
    source.release()
    steps = np.diff(times) / 1e9
    assert steps[:2] == pytest.approx([1 / 15.0] * 2, rel=1e-6)
    assert steps[-2:] == pytest.approx([1 / 30.0] * 2, rel=1e-6)
    assert source.dropped_pulses == 0


def test_a_rate_too_fast_for_a_manual_technique_is_refused_also_without_x_ray() -> None:
    source = carm()
    chosen = Technique(80.0, 100.0, 10.0, 7.5)
    source.control.manual(chosen)
    with pytest.raises(ValueError, match="above the 88"):
        source.set_pulse_rate(30.0)
    source.press(chosen, "1.2.3")
    frames = source.frames()
    next(frames)
    with pytest.raises(ValueError, match="above the 88"):
        source.set_pulse_rate(30.0)
    source.release()
    assert list(frames) == []
    assert source.control.technique(7.5) == chosen


def test_one_press_at_a_time_and_none_after_close() -> None:
    source = carm()
    source.press(TECHNIQUE, "1.2.3")
    with pytest.raises(ValueError, match="an exposure is on"):
        source.press(TECHNIQUE, "1.2.4")
    source.close()
    source.close()
    assert list(source.frames()) == []
    with pytest.raises(SourceError, match="closed"):
        source.press(TECHNIQUE, "1.2.5")


def test_one_setup_per_pulse_while_another_thread_moves() -> None:
    told: list[GroundTruth] = []
    source = carm(told=told)
    stop = threading.Event()

    def shake() -> None:
        for step in itertools.count():
            # A breath between moves: without it this thread keeps the lock and the interpreter for itself.
            if stop.wait(0.0005):
                return
            source.set_joints({"orbital": float(step % 80), "tilt": float(step % 80)})

    thread = threading.Thread(target=shake)
    thread.start()
    try:
        frames = expose(source, 20)
    finally:
        stop.set()
        thread.join()
    steps = [MODEL.pose({"orbital": float(step), "tilt": float(step)}) for step in range(80)]
    for frame, truth in zip(frames, told, strict=True):
        assert (truth.frame_uid, truth.pose) == (frame.uid, frame.pose)
        assert frame.pose in [*steps, MODEL.pose({})]


@pytest.mark.parametrize("prepare", [VirtualCArm.prepare, VirtualCArm.prepare_view, VirtualCArm.prepare_beside])
def test_preparing_gives_no_x_ray_and_changes_no_picture(prepare: Callable[[VirtualCArm], None]) -> None:
    told: list[GroundTruth] = []
    plain, prepared = carm(), carm(told=told)
    prepare(prepared)
    assert told == []
    for one, other in zip(expose(plain, 3), expose(prepared, 3), strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)


@pytest.mark.req("REQ-START-002")
def test_other_views_are_prepared_beside_and_not_after_closing() -> None:
    before, source = set(threading.enumerate()), carm()
    source.prepare_beside()
    source.close()
    assert set(threading.enumerate()) <= before


def test_render_pulse_is_a_function_of_its_arguments() -> None:
    beam = beam_setup(MODEL, CArmSetup(), MATRIX)
    used = SceneProjector()
    used.project(Still(Sphere(LEAD_BALL_MM, 6.0, (0.0, 20.0))).scene, beam.geometry)
    pictures = [
        render_pulse(projector, Detector(seed=3), Still().scene, beam, TECHNIQUE, 5)
        for projector in (SceneProjector(), used)
    ]
    difference = pictures[0].astype(np.float64) - pictures[1]
    assert np.abs(difference).max() <= 1.0


def test_a_setup_with_a_reference_that_is_no_point_is_refused() -> None:
    with pytest.raises(ValueError, match="three finite numbers"):
        CArmSetup(reference_mm=(0.0, float("nan"), 0.0))
