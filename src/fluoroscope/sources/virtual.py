"""The virtual C-arm: a scene, a machine and a detector behind the same protocols as a real one."""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fluoroscope.acquisition.clock import Clock, PulseTimer
from fluoroscope.acquisition.frame import Collimation, Frame, PixelIntensity, Provenance
from fluoroscope.acquisition.protocols import SourceError, SourceInfo
from fluoroscope.acquisition.truth import GroundTruth
from fluoroscope.beam.technique import RadiationMode, Technique
from fluoroscope.detector.expose import Detector
from fluoroscope.geometry.carm import CArmModel
from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import project_points
from fluoroscope.geometry.table import PatientPosition, TablePose
from fluoroscope.patient.scene import MovingScene, Scene, SceneTruth
from fluoroscope.projector.scene import SceneProjector
from fluoroscope.sources.exposure_control import ExposureControl
from fluoroscope.sources.pulse import (
    BeamSetup,
    CArmSetup,
    beam_setup,
    blades_meet_field,
    kerma_of,
    render_pulse,
)

__all__ = ["BeamSetup", "CArmSetup", "VirtualCArm", "beam_setup", "kerma_of", "render_pulse"]


class _Exposure:
    """One press."""

    def __init__(self, event_uid: str, technique: Technique) -> None:
        self.event_uid = event_uid
        self.technique = technique
        self.released = threading.Event()


@dataclass(frozen=True, slots=True)
class _Pulse:
    """One pulse: everything as it stood when it was due."""

    event_uid: str
    index: int
    due_ns: int
    number: int
    setup: CArmSetup
    beam: BeamSetup
    asked: Technique


class VirtualCArm:
    """A C-arm that exists only here: `FrameSource`, `Exposable` and `Positionable`.

    Everything may be moved from any thread at any time, during exposure too; a pulse sees one consistent
    setup. A move out of reach raises ValueError and moves nothing. The scene's time runs on whether X-ray is
    on or not.

    Parameters
    ----------
    scene
        The patient and what moves in him.
    model
        The machine.
    setup
        How everything stands at the beginning.
    detector
        Panel and seed of the noise.
    clock
        Times the pulses; a `SteppedClock` makes them as fast as they can be computed.
    control
        Chooses voltage, current and width of each pulse, automatically or by hand; pulse rate and mode are
        those of the press. A new automatic one when absent.
    matrix_limit
        Most rows and columns of a picture, such as 512 or 1024.
    on_truth
        Called with the ground truth of every frame, before the frame is given out.
    """

    def __init__(
        self,
        scene: MovingScene,
        model: CArmModel,
        setup: CArmSetup,
        detector: Detector,
        clock: Clock,
        control: ExposureControl | None = None,
        matrix_limit: int = 1024,
        on_truth: Callable[[GroundTruth], None] | None = None,
    ) -> None:
        self._scene, self._model, self._detector = scene, model, detector
        self._clock = clock
        self._matrix_limit, self._on_truth = matrix_limit, on_truth
        self._began_ns = clock.monotonic_ns()
        self._lock = threading.Lock()
        self._rendering = threading.Lock()
        self._setup = setup
        self._beam = beam_setup(model, setup, matrix_limit)
        grid, distance_mm = self._beam.geometry.grid, self._beam.pose.source_to_detector_mm
        self._control = control if control is not None else ExposureControl(detector, distance_mm, grid.pitch_mm)
        self._control.set_geometry(distance_mm, grid.pitch_mm)
        self._seen: BeamSetup | None = None
        self._projector = SceneProjector()
        self._thickness = np.empty((2, 0, 0), dtype=np.float32)
        self._exposure: _Exposure | None = None
        self._dropped = 0
        self._frame_number = 0
        self._closed = False
        self._preparing: threading.Thread | None = None

    # FrameSource, Exposable

    @property
    def info(self) -> SourceInfo:
        """What the source is; rows and columns of the present zoom field."""
        grid = self.beam.geometry.grid
        return SourceInfo(
            name="virtual C-arm",
            manufacturer=self._model.manufacturer,
            model=self._model.label,
            provenance=Provenance.SIMULATED,
            intensity=PixelIntensity.LIN,
            rows=grid.rows,
            columns=grid.columns,
            nominal_rate_hz=15.0,
        )

    @property
    def dropped_pulses(self) -> int:
        """Pulses dropped since `frames` was last called."""
        with self._lock:
            return self._dropped

    def press(self, technique: Technique, event_uid: str) -> None:
        """Start an exposure.

        Raises
        ------
        ValueError
            When one is on.
        SourceError
            When the C-arm was closed.
        """
        with self._lock:
            if self._closed:
                raise SourceError("the virtual C-arm was closed: open a new exam")
            if self._exposure is not None and not self._exposure.released.is_set():
                raise ValueError("an exposure is on: release it first")
            self._exposure = _Exposure(event_uid, technique)

    def release(self) -> None:
        """End the exposure: no pulse starts after this returns."""
        with self._lock:
            if self._exposure is not None:
                self._exposure.released.set()

    def set_pulse_rate(self, pulse_rate_hz: float) -> None:
        """Change the pulse rate, of the exposure that is on from the next pulse.

        Raises
        ------
        ValueError
            When a technique set by hand cannot be given so often; nothing has then changed.
        """
        with self._lock:
            exposure = self._exposure
            on = exposure is not None and not exposure.released.is_set()
            mode = exposure.technique.mode if exposure is not None and on else RadiationMode.FLUOROSCOPY
            self._control.set_pulse_rate(pulse_rate_hz, mode)
            if exposure is not None and on:
                exposure.technique = replace(exposure.technique, pulse_rate_hz=pulse_rate_hz)

    def frames(self) -> Iterator[Frame]:
        """Yield the pulses of the exposure that is on, until it is released."""
        with self._lock:
            exposure = self._exposure
            self._dropped = 0
        if exposure is not None:
            yield from self._pulses(exposure)

    def close(self) -> None:
        """End any exposure; no further one starts."""
        self.release()
        with self._lock:
            self._closed = True
        if self._preparing is not None:
            self._preparing.join()

    # Positionable and all that moves

    @property
    def setup(self) -> CArmSetup:
        """How everything stands."""
        with self._lock:
            return self._setup

    @property
    def beam(self) -> BeamSetup:
        """Where the beam goes."""
        with self._lock:
            return self._beam

    @property
    def model(self) -> CArmModel:
        """The machine."""
        return self._model

    @property
    def control(self) -> ExposureControl:
        """What chooses the technique."""
        return self._control

    @property
    def pose(self) -> CArmPose:
        """The present pose in the equipment frame."""
        return self.beam.pose

    @property
    def joints(self) -> dict[str, float]:
        """All joints by name."""
        return {**self._model.rest, **self.setup.joints}

    @property
    def table(self) -> TablePose:
        """The table."""
        return self.setup.table

    @property
    def position(self) -> PatientPosition:
        """How the patient lies."""
        return self.setup.position

    @property
    def field_index(self) -> int:
        """The zoom field."""
        return self.setup.field_index

    @property
    def grid(self) -> DetectorGrid:
        """The pixels of the present zoom field."""
        return self.beam.geometry.grid

    @property
    def collimation(self) -> Collimation:
        """The field as it is, within the zoom field."""
        return self.beam.collimation

    def move_to(self, pose: CArmPose) -> None:
        """Move at once to the joints that reach ``pose``; its roll is what the machine makes of it."""
        self._change(lambda now: replace(now, joints=self._model.joints_for(pose, near=now.joints)))

    def set_joints(self, joints: Mapping[str, float]) -> None:
        """Move the joints named to these values; raise ValueError when one is out of reach."""
        self._change(lambda now: replace(now, joints={**now.joints, **joints}))

    def nudge_joints(self, deltas: Mapping[str, float]) -> None:
        """Move the joints named by these amounts, as far as their limits."""

        def nudged(now: CArmSetup) -> CArmSetup:
            values = {**self._model.rest, **now.joints}
            wanted = {name: values[self._model.joint(name).name] + delta for name, delta in deltas.items()}
            return replace(now, joints={**now.joints, **self._model.clamp(wanted)})

        self._change(nudged)

    def set_table(self, table: TablePose) -> None:
        """Move the table, with the patient on it."""
        self._change(lambda now: replace(now, table=table))

    def set_position(self, position: PatientPosition, reference_mm: tuple[float, float, float] | None = None) -> None:
        """Turn the patient on the table; ``reference_mm`` is the point at the equipment origin."""
        self._change(
            lambda now: replace(
                now,
                position=position,
                reference_mm=now.reference_mm if reference_mm is None else reference_mm,
            )
        )

    def set_field(self, field_index: int) -> None:
        """Choose the zoom field; a wider collimator follows, and opens when nothing of it is left."""

        def zoomed(now: CArmSetup) -> CArmSetup:
            grid = self._model.detector.grid(field_index, matrix_limit=self._matrix_limit)
            blades = now.collimation
            if blades is not None and not blades_meet_field(blades, grid.width_mm / 2.0, grid.height_mm / 2.0):
                blades = None
            return replace(now, field_index=field_index, collimation=blades)

        self._change(zoomed)

    def set_collimation(self, collimation: Collimation | None) -> None:
        """Set the blades, mm at the detector; None opens them."""
        self._change(lambda now: replace(now, collimation=collimation))

    # Inner works

    def prepare(self) -> None:
        """Compile, copy and tabulate what pulses need. Gives no X-ray."""
        self.prepare_view()
        self._prepare_others()

    def prepare_beside(self) -> None:
        """Prepare what the first pulse from here needs, and go on with the rest in a thread, which `close` ends."""
        self.prepare_view()
        self._preparing = threading.Thread(target=self._prepare_others, name="other views", daemon=True)
        self._preparing.start()

    def _prepare_others(self) -> None:
        """Copy and tabulate for every other view and voltage; a pulse that needs one before makes it itself."""
        self._control.prepare()
        with self._rendering:
            volumes = self._projector.volumes(self._scene.at(self._scene_time_s(self._clock.monotonic_ns())))
        for volume in volumes:
            if self._closed:
                return
            volume.ready()

    def prepare_view(self) -> None:
        """Compile, copy and tabulate what the first pulse from here needs. Gives no X-ray."""
        beam = self.beam
        with self._rendering:
            scene = self._scene.at(self._scene_time_s(self._clock.monotonic_ns()))
            work = self._work(beam)
            technique = self._control.displayed(15.0)
            render_pulse(self._projector, self._detector, scene, beam, technique, 0, work)

    def _pulses(self, exposure: _Exposure) -> Iterator[Frame]:
        rate_hz = exposure.technique.pulse_rate_hz
        timer = PulseTimer(rate_hz, self._clock)
        index = 0
        while (tick := timer.next(exposure.released)) is not None:
            with self._lock:
                self._dropped += tick.dropped
                self._frame_number += 1
                pulse = _Pulse(
                    exposure.event_uid,
                    index,
                    tick.due_ns,
                    self._frame_number,
                    self._setup,
                    self._beam,
                    exposure.technique,
                )
            yield self._make(pulse)
            index += 1
            with self._lock:
                changed_hz = exposure.technique.pulse_rate_hz
            if changed_hz != rate_hz:
                rate_hz = changed_hz
                timer = PulseTimer(rate_hz, self._clock, start_ns=tick.due_ns + round(1e9 / rate_hz))

    def _make(self, pulse: _Pulse) -> Frame:
        beam, asked = pulse.beam, pulse.asked
        grid = beam.geometry.grid
        time_s = self._scene_time_s(pulse.due_ns)
        with self._rendering:
            scene = self._scene.at(time_s)
            work = self._work(beam)
            if pulse.index == 0 and self._seen is not beam:
                self._projector.project(scene, beam.geometry, out=work)
                self._prime(beam, work, asked.pulse_rate_hz, asked.mode)
            technique = self._control.technique(asked.pulse_rate_hz, asked.mode)
            pixels = render_pulse(self._projector, self._detector, scene, beam, technique, pulse.number, work)
        self._control.observe(self._detector.mean_signal(pixels, grid, beam.collimation), technique)
        self._seen = beam
        uid = f"{pulse.event_uid}.{pulse.index}"
        self._tell(uid, time_s, beam, technique, scene)
        return Frame(
            uid=uid,
            event_uid=pulse.event_uid,
            index=pulse.index,
            acquired_ns=pulse.due_ns,
            pixels=pixels,
            intensity=PixelIntensity.LIN,
            provenance=Provenance.SIMULATED,
            pitch_mm=grid.pitch_mm,
            pose=beam.pose,
            table=pulse.setup.table,
            technique=technique,
            collimation=beam.collimation,
            kerma=kerma_of(technique, beam),
        )

    def _prime(self, beam: BeamSetup, thickness_mm: NDArray[np.float32], rate_hz: float, mode: RadiationMode) -> None:
        """Tell the control what to expect of a view it has not seen, as a generator forecasts too."""
        technique = self._control.displayed(rate_hz, mode)
        expected = self._detector.expected_signal(thickness_mm, technique, beam.geometry, beam.collimation)
        self._control.prime(expected, technique)

    def _tell(self, uid: str, time_s: float, beam: BeamSetup, technique: Technique, scene: Scene) -> None:
        if self._on_truth is None:
            return
        poses = {
            body.name: tuple(tuple(float(x) for x in row) for row in body.world_from_body) for body in scene.bodies
        }
        known = scene.truth if scene.truth is not None else SceneTruth()
        names = list(known.landmarks_mm)
        points = np.array([known.landmarks_mm[name] for name in names], dtype=np.float64).reshape(-1, 3)
        seen = project_points(beam.geometry, points)
        pixels = {name: (float(row), float(column)) for name, (row, column) in zip(names, seen, strict=True)}
        self._on_truth(
            GroundTruth(
                uid, time_s, beam.geometry, beam.pose, technique, poses, known.frames, known.landmarks_mm, pixels,
                known.needles, known.contrast, known.motion,
            )
        )  # fmt: skip

    def _change(self, changed: Callable[[CArmSetup], CArmSetup]) -> None:
        with self._lock:
            setup = changed(self._setup)
            # The beam first: what is out of reach is refused before anything has moved.
            beam = beam_setup(self._model, setup, self._matrix_limit)
            self._control.set_geometry(beam.pose.source_to_detector_mm, beam.geometry.grid.pitch_mm)
            self._setup, self._beam = setup, beam

    def _scene_time_s(self, at_ns: int) -> float:
        return max(0, at_ns - self._began_ns) / 1e9

    def _work(self, beam: BeamSetup) -> NDArray[np.float32]:
        shape = (2, beam.geometry.grid.rows, beam.geometry.grid.columns)
        if self._thickness.shape != shape:
            self._thickness = np.empty(shape, dtype=np.float32)
        return self._thickness
