"""How long a whole pulse takes: two materials projected, detector, image chain, 16-bit frame ready to send.

The patient is the analytic torso of `analytic_phantom`, 512 × 512 × 400 unless told otherwise. "C-arm moving" turns it
before every pulse over ±40°/±25°; "C-arm still" keeps it, so that the anatomy's line integrals are reused while noise
and filters are fresh. The calls are those of the live loop, one after the other in one thread.
"""

import time
from collections.abc import Mapping, Sequence

from fluoroscope.acquisition.clock import SteppedClock
from fluoroscope.detector.expose import Detector
from fluoroscope.evaluation.analytic_phantom import torso_phantom
from fluoroscope.evaluation.projector_bench import FULL_SHAPE, FULL_SPACING_MM, Row, bench_poses, named, row
from fluoroscope.geometry.carm import C_ARMS
from fluoroscope.geometry.table import PatientPosition
from fluoroscope.imagechain.chain import ImageChain
from fluoroscope.patient.scene import Body, Scene
from fluoroscope.patient.volume import BasisVolume
from fluoroscope.projector import vector_level
from fluoroscope.sources.exposure_control import ExposureControl
from fluoroscope.sources.virtual import CArmSetup, VirtualCArm

__all__ = ["STAGES", "pulse_rows", "timed_pulses"]

STAGES = "projection of two materials, detector, exposure control, image chain, 16-bit frame"


class _Resting:
    def __init__(self, volume: BasisVolume) -> None:
        self._scene = Scene((Body("patient", volume),))

    def at(self, time_s: float) -> Scene:
        return self._scene


def bench_carm(volume: BasisVolume, pixels: int, clock: SteppedClock) -> VirtualCArm:
    """Return a virtual C-arm on ``volume``, whose world origin is at the isocentre."""
    model = C_ARMS["mobile-flat-panel"]
    detector = Detector(seed=1)
    panel = model.detector
    control = ExposureControl(detector, model.source_to_detector_mm, panel.grid(0, matrix_limit=pixels).pitch_mm)
    setup = CArmSetup(position=PatientPosition.HFS)
    return VirtualCArm(_Resting(volume), model, setup, detector, clock, control, pixels)


def pulse_rows(
    shape: tuple[int, int, int] = FULL_SHAPE,
    spacing_mm: tuple[float, float, float] = FULL_SPACING_MM,
    pixels: Sequence[int] = (512, 1024),
    pulses: int = 60,
) -> list[Row]:
    """Return median and spread of the whole pulse, C-arm moving and still, ms."""
    volume = torso_phantom().voxelise_basis(shape, spacing_mm)
    rows = []
    for n in pixels:
        size = f"{named(shape, n)}, {pulses} pulses, {vector_level()}"
        for moving in (True, False):
            times = pulse_times(volume, n, pulses, moving)
            state = "moving" if moving else "still"
            rows.append(row(f"pulse.{state}.{n}", f"whole pulse, C-arm {state}", size, STAGES, times, "ms"))
    return rows


def pulse_times(volume: BasisVolume, pixels: int, pulses: int, moving: bool) -> list[float]:
    """Return the wall time of each pulse, ms; the first five are not counted."""
    from datetime import UTC, datetime

    poses = bench_poses(pulses + 5 if moving else 1)
    joints = [{"orbital": pose.primary_deg, "tilt": pose.secondary_deg} for pose in poses]
    carm = bench_carm(volume, pixels, SteppedClock(datetime(2026, 1, 1, tzinfo=UTC)))
    return timed_pulses(carm, joints if moving else joints * (pulses + 5))


def timed_pulses(carm: VirtualCArm, joints: Sequence[Mapping[str, float]]) -> list[float]:
    """Return the wall time of each pulse at 15 a second, ms: one for each of where the C-arm stands, in turn.

    The first five are not counted.
    """
    carm.prepare()
    chain = ImageChain()
    carm.set_joints(joints[0])
    carm.press(carm.control.technique(15.0), "bench")
    frames = carm.frames()
    times = []
    for number, place in enumerate(joints):
        started = time.perf_counter()
        if number and place != joints[number - 1]:
            carm.set_joints(place)
        frame = next(frames)
        if number == 0:
            chain.begin_run(frame)
        message = chain.process(frame).pixels.tobytes()
        elapsed = 1e3 * (time.perf_counter() - started)
        if number >= 5 and message:
            times.append(elapsed)
    carm.release()
    return times
