"""Headless runs: the command ``fluoroscope simulate``."""

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope import NOT_A_MEDICAL_DEVICE
from fluoroscope.acquisition.clock import SteppedClock
from fluoroscope.acquisition.event import IrradiationEvent
from fluoroscope.acquisition.frame import Frame
from fluoroscope.acquisition.truth import GroundTruth
from fluoroscope.app.dose.map_record import exam_patient_dose, peak_facts
from fluoroscope.app.dose.simulated_skin import simulated_skin
from fluoroscope.app.run_facts import described_run, dose_event
from fluoroscope.app.scenario import Scenario, ScenarioError, Step, read_scenario
from fluoroscope.app.scripted_scene import ScriptedScene
from fluoroscope.app.setup import RoomSetup, load_patient
from fluoroscope.app.terminal import Progress, loading_bar
from fluoroscope.app.virtual import carm_setup, exam_identity, patient_dicom_id, versions, virtual_carm
from fluoroscope.beam.technique import PULSE_RATES_HZ
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.positioner import edge_markers, patient_axes, positioner_angles, view_text
from fluoroscope.geometry.table import TablePose, patient_from_equipment
from fluoroscope.imagechain.chain import ImageChain
from fluoroscope.live.irradiation import IrradiationBuilder
from fluoroscope.patient.library import Patient
from fluoroscope.records.contents import DoseImage
from fluoroscope.records.identity import SIMULATED_TEXT, ExamIdentity
from fluoroscope.records.patient_dose import PatientDose, map_path, write_patient_dose
from fluoroscope.records.png import write_png
from fluoroscope.records.rdsr import dose_report_series, write_rdsr
from fluoroscope.records.report_subject import ReportSource, subject_of_exam
from fluoroscope.records.uids import derived_uid
from fluoroscope.records.xa import write_xa, xa_series
from fluoroscope.sources.exposure_control import DoseLevel
from fluoroscope.sources.virtual import VirtualCArm

__all__ = ["Run", "simulate_run"]

# Records of a seeded run are the same bytes wherever it is made, so its dates cannot be today's.
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
DEFAULT_SECONDS, DEFAULT_RATE_HZ = 2.0, 7.5
WORKING = ".simulate-"


@dataclass(frozen=True, slots=True)
class Run:
    """What to simulate.

    Attributes
    ----------
    primary_deg, secondary_deg
        Equipment angles where no scenario says otherwise.
    seconds, pulse_rate_hz
        Length and rate; None for the scenario's or the default.
    procedure
        Written to the records.
    seed
        Of noise and UIDs, 0 or more.
    scenario
        YAML file, or None.
    breathing
        Whether a patient whose parts are known breathes by himself, and his heart and bowel move.
    """

    primary_deg: float = 0.0
    secondary_deg: float = 0.0
    seconds: float | None = None
    pulse_rate_hz: float | None = None
    procedure: str = "Fluoroscopy of the spine"
    seed: int = 0
    scenario: Path | None = None
    breathing: bool = True

    def __post_init__(self) -> None:
        if self.seconds is not None and not 0.0 < self.seconds <= 3600.0:
            raise ValueError(f"--seconds {self.seconds:g}: choose more than 0 and at most 3600")
        if self.pulse_rate_hz is not None and self.pulse_rate_hz not in PULSE_RATES_HZ:
            rates = ", ".join(f"{rate:g}" for rate in PULSE_RATES_HZ)
            raise ValueError(f"--pulse-rate-hz {self.pulse_rate_hz:g}: choose one of {rates}")
        if self.seed < 0:
            raise ValueError(f"--seed {self.seed}: choose 0 or more")
        for name, angle, most in (("primary", self.primary_deg, 360), ("secondary", self.secondary_deg, 90)):
            if not -most <= angle <= most:
                raise ValueError(f"--{name}-deg {angle:g}: choose -{most} to {most}")


@dataclass(frozen=True, slots=True)
class _Press:
    """One press of the pedal, ready to be written."""

    event: IrradiationEvent
    frames: list[Frame]
    shown: NDArray[np.uint16]
    window: tuple[float, float]
    held: Frame


def simulate_run(setup: RoomSetup, run: Run, out: Path) -> dict[str, Any]:
    """Make moving X-ray and write ``cine.dcm dose.dcm frame.png truth.json summary.json`` into ``out``.

    Beside them ``patient_dose.dcm`` and ``patient_dose_map.dcm`` where the patient's skin is known.

    The same seed gives the same files. Nothing is moved into ``out`` before everything is written.

    Returns
    -------
    dict
        What ``summary.json`` says.

    Raises
    ------
    ValueError
        For a pose out of reach or a setup that cannot be used.
    OSError
        When ``out`` cannot be written.
    """
    scenario = _scenario(run)
    with _whole_folder(out) as folder:
        patient = load_patient(setup)
        identity = exam_identity(setup, patient, derived_uid("study", str(run.seed)), EPOCH, run.procedure)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            presses, truths = _expose(setup, patient, run, scenario, Path(scratch))
            summary = _write(presses, setup, patient, run, identity, folder)
            _write_json(folder / "truth.json", _truth(truths))
            # The pictures are mapped from the scratch folder: let go of them before it is removed.
            del presses
    return summary


def _scenario(run: Run) -> Scenario:
    if run.scenario is None:
        steps = (Step(at_s=0.0, primary_deg=run.primary_deg, secondary_deg=run.secondary_deg),)
        return Scenario(seconds=run.seconds or DEFAULT_SECONDS, steps=steps)
    scenario = read_scenario(run.scenario)
    return scenario if run.seconds is None else scenario.model_copy(update={"seconds": run.seconds})


def _presses(scenario: Scenario) -> list[tuple[float, float]]:
    """Return (begin s, end s) of every time the pedal is down."""
    changes = [(0.0, scenario.setting_at("pedal", 0.0) is not False)]
    changes += [(step.at_s, step.pedal) for step in scenario.steps if step.pedal is not None and step.at_s > 0.0]
    ends = [at_s for at_s, _ in changes[1:]] + [scenario.seconds]
    presses: list[tuple[float, float]] = []
    for (at_s, down), until_s in zip(changes, ends, strict=True):
        end_s = min(until_s, scenario.seconds)
        if down and presses and presses[-1][1] == at_s:
            presses[-1] = (presses[-1][0], end_s)
        elif down and end_s > at_s:
            presses.append((at_s, end_s))
    if not presses:
        raise ScenarioError("the scenario never presses the pedal: nothing would be exposed")
    return presses


def _expose(
    setup: RoomSetup, patient: Patient, run: Run, scenario: Scenario, scratch: Path
) -> tuple[list[_Press], list[GroundTruth]]:
    clock = SteppedClock(EPOCH)
    truths: list[GroundTruth] = []
    scene = ScriptedScene(patient, scenario, breathing=run.breathing, seed=run.seed)
    carm = virtual_carm(setup, patient, clock, run.seed, scene, truths.append)
    # The whole way first: a pose out of reach is said before anything is made.
    for step in scenario.steps:
        _place(carm, run, scenario, step.at_s)
    made = []
    with loading_bar() as progress:
        progress(0.0, "preparing")
        carm.prepare()
        for number, (begin_s, end_s) in enumerate(_presses(scenario), start=1):
            clock.advance(max(0, round(begin_s * 1e9) - clock.monotonic_ns()))
            maker = _PressMaker(carm, clock, run, scenario, scene, progress)
            made.append(maker.expose(number, begin_s, end_s, scratch / f"press-{number}.raw"))
    return made, truths


class _PressMaker:
    """Holds the pedal of a virtual C-arm from one time to another."""

    def __init__(
        self,
        carm: VirtualCArm,
        clock: SteppedClock,
        run: Run,
        scenario: Scenario,
        scene: ScriptedScene,
        progress: Progress,
    ) -> None:
        self._carm, self._clock, self._run = carm, clock, run
        self._scenario, self._scene, self._progress = scenario, scene, progress

    def expose(self, number: int, begin_s: float, end_s: float, scratch: Path) -> _Press:
        """Return the press with its frames, whose pixels lie in ``scratch``."""
        carm, clock = self._carm, self._clock
        uid = derived_uid("event", str(self._run.seed), str(number))
        rate_hz = self._set(begin_s)
        pressed_ns, started = clock.monotonic_ns(), clock.utc_now()
        technique = carm.control.technique(rate_hz)
        carm.press(technique, uid)
        builder = IrradiationBuilder(uid, number, started, pressed_ns, technique)
        chain, grid = ImageChain(), carm.grid
        nothing = np.zeros((1, 1), dtype=np.uint16)
        frames: list[Frame] = []
        # Written, not mapped: a full disk is then an error and not the end of the process.
        with scratch.open("wb") as file:
            for raw in carm.frames():
                if not frames:
                    chain.begin_run(raw)
                builder.add(raw.acquired_ns, raw.technique, raw.kerma, raw.pose, raw.table, raw.collimation)
                display = chain.process(raw)
                file.write(display.pixels.tobytes())
                frames.append(replace(display, pixels=nothing))
                next_s = raw.acquired_ns / 1e9 + 1.0 / rate_hz
                self._progress(min(next_s / self._scenario.seconds, 1.0), "X-ray")
                if next_s > end_s - 1e-9:
                    break
                rate_hz = self._set(next_s)
                carm.set_pulse_rate(rate_hz)
        carm.release()
        held = chain.hold()
        if held is None:
            raise ScenarioError(f"the pedal is down for less than a pulse at {begin_s:g} s: hold it longer")
        event = builder.finish(max(round(end_s * 1e9), frames[-1].acquired_ns), 0)
        shown = np.memmap(scratch, dtype=np.uint16, mode="r", shape=(len(frames), grid.rows, grid.columns))
        return _Press(event, frames, shown, chain.window, held)

    def _set(self, time_s: float) -> float:
        """Bring everything to where it is at ``time_s``; return the pulse rate."""
        _place(self._carm, self._run, self._scenario, time_s)
        self._scene.catch_up(time_s, _down(self._carm))
        level = self._scenario.setting_at("dose_level", time_s)
        if isinstance(level, str):
            self._carm.control.dose_level = DoseLevel[level.upper()]
        rate = self._scenario.setting_at("pulse_rate_hz", time_s)
        return self._run.pulse_rate_hz or (float(rate) if isinstance(rate, int | float) else DEFAULT_RATE_HZ)


def _place(carm: VirtualCArm, run: Run, scenario: Scenario, time_s: float) -> None:
    table = TablePose(
        lateral_mm=scenario.number_at("lateral_mm", time_s, 0.0),
        longitudinal_mm=scenario.number_at("longitudinal_mm", time_s, 0.0),
        height_mm=scenario.number_at("height_mm", time_s, 0.0),
        tilt_deg=scenario.number_at("tilt_deg", time_s, 0.0),
        cradle_deg=scenario.number_at("cradle_deg", time_s, 0.0),
    )
    primary_deg = scenario.number_at("primary_deg", time_s, run.primary_deg)
    secondary_deg = scenario.number_at("secondary_deg", time_s, run.secondary_deg)
    carm.set_table(table)
    carm.move_to(replace(carm.pose, primary_deg=primary_deg, secondary_deg=secondary_deg, isocenter_mm=(0.0, 0.0, 0.0)))


def _down(carm: VirtualCArm) -> NDArray[np.float64]:
    """Return the unit way down to the floor, in patient coordinates."""
    placed = patient_from_equipment(carm.table, carm.position)
    down: NDArray[np.float64] = placed[:3, :3] @ np.array([0.0, 1.0, 0.0])
    return down


def _write(
    presses: list[_Press], setup: RoomSetup, patient: Patient, run: Run, identity: ExamIdentity, folder: Path
) -> dict[str, Any]:
    position = setup.patient_position
    images = {}
    for press in presses:
        about = described_run(press.event, press.frames, press.window, position)
        number = press.event.number
        name = "cine.dcm" if number == 1 else f"cine-{number}.dcm"
        uid = write_xa(folder / name, (np.asarray(frame) for frame in press.shown), about, identity)
        images[press.event.uid] = [DoseImage(xa_series(identity.study_uid, number, still=False), uid)]
    events = [press.event for press in presses]
    last = presses[-1]
    event = last.event
    said = [dose_event(one, position) for one in events]
    report_uid = write_rdsr(folder / "dose.dcm", identity, said, ended=event.ended, images=images)
    patient_dose = _write_patient_dose(presses, setup, patient, identity, report_uid, folder)
    pose, table = event.last_pose, event.table or TablePose()
    if pose is None:
        raise ValueError("the run has no pose: the source did not say where it stood")
    edges = edge_markers(patient_axes(pose, table, position))
    write_png(
        folder / "frame.png",
        last.held.pixels,
        *last.window,
        text=identity.statement,
        markers=(edges.left[0], edges.right[0]),
    )
    summary = _summary(events, pose, setup, patient, run)
    summary["skin_dose"] = None if patient_dose is None else peak_facts(patient_dose)
    _write_json(folder / "summary.json", summary)
    return summary


def _write_patient_dose(
    presses: list[_Press],
    setup: RoomSetup,
    patient: Patient,
    identity: ExamIdentity,
    report_uid: str,
    folder: Path,
) -> PatientDose | None:
    """Write what the patient's skin got; None, and nothing written, where no skin is known."""
    frames = (frame for press in presses for frame in press.frames)
    found = simulated_skin(patient, setup.patient_position, carm_setup(setup, patient).reference_mm, frames)
    if found is None:
        return None
    events = [press.event for press in presses]
    dose = exam_patient_dose(found, events)
    uids = tuple(event.uid for event in events)
    source = ReportSource(identity.study_uid, dose_report_series(identity), report_uid, uids)
    write_patient_dose(folder / "patient_dose.dcm", subject_of_exam(identity), source, dose, events[-1].ended)
    return dose


def _summary(
    events: list[IrradiationEvent], pose: CArmPose, setup: RoomSetup, patient: Patient, run: Run
) -> dict[str, Any]:
    event, position = events[-1], setup.patient_position
    table = event.table or TablePose()
    primary, secondary = positioner_angles(pose, table, position)
    return {
        "statement": SIMULATED_TEXT,
        "presses": len(events),
        "frames": sum(one.pulses for one in events),
        "pulse_rate_hz": event.pulse_rate_hz,
        "air_kerma_mgy": math.fsum(one.air_kerma_mgy for one in events),
        "kap_gy_cm2": math.fsum(one.kap_gy_cm2 for one in events),
        "fluoroscopy_time_s": math.fsum(one.pedal_time_s for one in events),
        "pose": {
            "equipment": {
                "primary_deg": pose.primary_deg,
                "secondary_deg": pose.secondary_deg,
                "roll_deg": pose.detector_rotation_deg,
            },
            "patient": {
                "primary_deg": primary,
                "secondary_deg": secondary,
                "view": view_text(primary, secondary),
            },
            "source_to_isocenter_mm": pose.source_to_isocenter_mm,
            "source_to_detector_mm": pose.source_to_detector_mm,
            "isocenter_mm": list(pose.isocenter_mm),
        },
        "technique": {
            "mean_tube_voltage_kv": event.mean_tube_voltage_kv,
            "mean_tube_current_ma": event.mean_tube_current_ma,
            "mean_pulse_width_ms": event.mean_pulse_width_ms,
        },
        "patient": {
            "name": patient.record.name,
            "id": patient_dicom_id(patient),
            "position": position.value,
            "source": patient.record.source,
            "licence": patient.record.licence,
        },
        "carm": setup.carm,
        "breathing": run.breathing and patient.articulation is not None,
        "procedure": run.procedure,
        "seed": run.seed,
        "versions": versions(),
    }


def _truth(truths: list[GroundTruth]) -> dict[str, Any]:
    return {
        "statement": f"Ground truth of a simulation. {NOT_A_MEDICAL_DEVICE}",
        "conventions": "LPS mm; pixel_from_world maps (x, y, z, 1) to (row·w, column·w, w); "
        "frames: world_from_rest, the identity as the patient rests; landmarks_px: (row, column)",
        "frames": [
            {
                "frame_uid": truth.frame_uid,
                "time_s": truth.time_s,
                "pixel_from_world": truth.geometry.pixel_from_world.tolist(),
                "source_mm": truth.geometry.source_mm.tolist(),
                "primary_deg": truth.pose.primary_deg,
                "secondary_deg": truth.pose.secondary_deg,
                "tube_voltage_kv": truth.technique.tube_voltage_kv,
                "mas_per_pulse": truth.technique.mas_per_pulse,
                "bodies": {name: [list(row) for row in matrix] for name, matrix in truth.body_poses.items()},
                "frames": {name: matrix.tolist() for name, matrix in truth.frames.items()},
                "landmarks_mm": {name: _rounded(point) for name, point in truth.landmarks_mm.items()},
                "landmarks_px": {name: _rounded(point) for name, point in truth.landmarks_px.items()},
                "needles": [_plain(needle) for needle in truth.needles],
                "contrast": _plain(truth.contrast),
                "motion": _plain(truth.motion),
            }
            for truth in truths
        ],
    }


def _rounded(point: tuple[float, ...]) -> list[float | None]:
    """Return a point to a tenth of a micrometre; None where it cannot be seen."""
    return [round(value, 4) if math.isfinite(value) else None for value in point]


def _plain(value: Any) -> Any:
    """Return what JSON can hold of dataclasses, mappings, arrays and numbers that are none."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", encoding="utf-8")


@contextmanager
def _whole_folder(out: Path) -> Iterator[Path]:
    """Give a folder to write in, whose files move into ``out`` only when all went well.

    It lies inside ``out`` when that exists, else beside it, so that moving is renaming. Files of an earlier run in
    ``out`` give way; others stay.
    """
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"{out}: a file stands where --out wants a folder; choose another name")
    parent = out if out.is_dir() else out.absolute().parent
    if not parent.is_dir():
        raise FileNotFoundError(f"{parent}: no such folder for --out; make it first")
    _remove_leftovers(parent)
    try:
        working = Path(tempfile.mkdtemp(prefix=f"{WORKING}{os.getpid()}-", dir=parent))
    except OSError as fault:
        raise OSError(f"{parent}: cannot be written ({fault.strerror}); choose another --out") from fault
    try:
        yield working
        out.mkdir(exist_ok=True)
        patient_dose = out / "patient_dose.dcm"
        for earlier in (*out.glob("cine*.dcm"), patient_dose, map_path(patient_dose)):
            earlier.unlink(missing_ok=True)
        for file in sorted(working.iterdir()):
            os.replace(file, out / file.name)
    finally:
        shutil.rmtree(working, ignore_errors=True)


def _remove_leftovers(parent: Path) -> None:
    """Remove working folders of runs that were killed."""
    for folder in parent.glob(f"{WORKING}*"):
        number = folder.name.removeprefix(WORKING).split("-")[0]
        if number.isdigit() and not _is_running(int(number)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
