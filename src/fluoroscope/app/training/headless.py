"""An attempt without a screen: the page's commands carried out on stepped time, with the records a room leaves."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from fluoroscope.acquisition.clock import SteppedClock
from fluoroscope.acquisition.frame import Frame
from fluoroscope.app.bedside import Bedside
from fluoroscope.app.catheter_hand import CatheterHand
from fluoroscope.app.console import Console
from fluoroscope.app.needle_hand import NeedleHand
from fluoroscope.app.room_scene import RoomScene
from fluoroscope.app.run_facts import described_run, dose_event
from fluoroscope.app.setup import RoomSetup
from fluoroscope.app.training.hand import holds_attempt
from fluoroscope.app.training.session import Exercise, TrainingDesk, training_facts
from fluoroscope.app.virtual import exam_details, exam_identity, virtual_carm
from fluoroscope.beam.technique import RadiationMode
from fluoroscope.dose.ledger import REFERENCE_POINT_15_CM, KermaLedger
from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.projection import ProjectionGeometry, projection_geometry
from fluoroscope.geometry.table import TablePose, patient_from_equipment
from fluoroscope.imagechain.chain import ImageChain
from fluoroscope.live.irradiation import IrradiationBuilder
from fluoroscope.live.journal import Journal
from fluoroscope.monitor.control import RefusedError
from fluoroscope.patient.library import Patient
from fluoroscope.patient.motion import MotionSettings
from fluoroscope.records.exam_store import ExamFolder, exams_folder
from fluoroscope.records.uids import new_uid

__all__ = ["COMMANDS", "HeadlessRoom"]

_CONSOLE = (
    "move_joints", "nudge_joints", "view", "move_table", "nudge_table", "set_collimation", "set_technique",
)  # fmt: skip


@dataclass(slots=True)
class _Press:
    """The press that is on."""

    builder: IrradiationBuilder
    pulses: Iterator[Frame]
    next_ns: int
    frames: list[Frame]
    scratch: Path


COMMANDS = (*_CONSOLE, *Bedside.COMMANDS, *NeedleHand.COMMANDS, *CatheterHand.COMMANDS, "set_field", "pedal")
"""Commands of the page that can be carried out without one."""


class HeadlessRoom:
    """A virtual C-arm, a patient and a hand on time that stands still between commands.

    Parameters
    ----------
    setup, patient
        Who lies how under which machine.
    exercise
        What is trained; None to record only.
    exams
        Folder of exams; the user's when absent.
    seed
        Of noise and breaths.
    breathing
        Whether the patient breathes by himself.
    """

    def __init__(
        self,
        setup: RoomSetup,
        patient: Patient,
        exercise: Exercise | None = None,
        *,
        exams: Path | None = None,
        seed: int = 0,
        breathing: bool = True,
    ) -> None:
        self._position = setup.patient_position
        self._clock = SteppedClock(datetime.now(UTC))
        scene = RoomScene(patient, MotionSettings() if breathing else MotionSettings.still(), seed)
        self._carm = virtual_carm(setup, patient, self._clock, seed, scene)
        console = Console(self._carm)
        self._console, self.bedside = console, Bedside(console, self._clock)
        self.bedside.take(scene, self._clock.monotonic_ns())
        self.bedside.look_through(self._seen)
        self._hand, self._catheter = NeedleHand(self.bedside), CatheterHand(self.bedside)
        identity = exam_identity(setup, patient, new_uid(), self._clock.utc_now(), "Training")
        self._store = ExamFolder.create(exams or exams_folder(), identity, exam_details(setup, patient))
        self.folder = self._store.folder
        self._journal = Journal(self.folder / "journal.jsonl")
        self._journal.exam(identity.study_uid, identity.started, REFERENCE_POINT_15_CM, {"headless": True})
        self._ledger = KermaLedger()
        self._training = TrainingDesk(self.bedside, self._clock.monotonic_ns, exercise)
        self._training.begin(self.folder, training_facts(setup, patient), lambda *_: None)
        self._press: _Press | None = None
        self._last: Frame | None = None
        self._number = 0
        self._scratch = Path(tempfile.mkdtemp(prefix=".pulses-", dir=self.folder))
        self._commands: dict[str, Callable[..., Mapping[str, Any] | None]] = {
            **{name: getattr(console, name) for name in _CONSOLE},
            **{name: getattr(self.bedside, name) for name in Bedside.COMMANDS},
            **{name: getattr(self._hand, name) for name in NeedleHand.COMMANDS},
            **{name: getattr(self._catheter, name) for name in CatheterHand.COMMANDS},
            "set_field": self._set_field,
            "pedal": self._pedal,
        }

    @property
    def now_s(self) -> float:
        """Time since the exam began."""
        return self.bedside.now_s

    @property
    def picture(self) -> Frame | None:
        """The newest pulse as it is shown; None before the first."""
        return self._last

    def status(self) -> dict[str, Any]:
        """Return needle, contrast medium, C-arm, as the page is told them."""
        return {**self._console.status(), **self.bedside.status(), **self._hand.status()}

    def command(self, name: str, args: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """Carry out a command of the page now; raises `RefusedError` for one that cannot be."""
        carry_out = self._commands.get(name)
        if carry_out is None:
            raise RefusedError(f"{name} is not possible without a screen; there are {', '.join(COMMANDS)}")
        given = dict(args or {})
        try:
            result = carry_out(**given)
        except RefusedError:
            raise
        except (ValueError, TypeError) as fault:
            raise RefusedError(" ".join(str(fault).split())) from fault
        self._training.done(name, given)
        self.bedside.lean()
        return result or {}

    def wait(self, seconds: float) -> None:
        """Let time pass; pulses come while the pedal is down."""
        if seconds < 0.0:
            raise ValueError(f"time does not run backwards: {seconds:g} s")
        until_ns = self._clock.monotonic_ns() + round(1e9 * seconds)
        self._expose(until_ns)
        self._clock.advance(max(0, until_ns - self._clock.monotonic_ns()))

    def x_ray(self, seconds: float = 0.0, mode: str = "fluoroscopy") -> Frame:
        """Hold the pedal for some time, at least for one pulse; return the last picture."""
        self.command("pedal", {"down": True, "mode": mode})
        self.wait(seconds)
        self.command("pedal", {"down": False})
        if self._last is None:
            raise RefusedError("no pulse was given")
        return self._last

    def close(self, *, complete: bool = True) -> Path | None:
        """Finish the records; return the folder, None when there was nothing to keep."""
        if self._press is not None:
            self._pedal(down=False)
        self._training.end()
        self._carm.close()
        self._journal.stop("exam closed")
        self._journal.close()
        shutil.rmtree(self._scratch, ignore_errors=True)
        if not self._store.record.events and not holds_attempt(self.folder):
            shutil.rmtree(self.folder, ignore_errors=True)
            return None
        self._store.close(self._clock.utc_now(), complete=complete)
        return self.folder

    def discard(self) -> None:
        """Undo an exam that came to nothing."""
        self._training.end()
        self._carm.close()
        self._journal.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # Inner works

    def _set_field(self, *, index: int) -> None:
        if self._press is not None:
            raise RefusedError("release the pedal to change the zoom field")
        self._console.set_field(index)

    def _pedal(self, *, down: bool, mode: str = "fluoroscopy") -> None:
        if down and self._press is None:
            self._begin(RadiationMode(mode))
        elif not down and self._press is not None:
            self._finish(self._press)

    def _begin(self, mode: RadiationMode) -> None:
        self._number += 1
        uid, now_ns = new_uid(), self._clock.monotonic_ns()
        technique = self._console.technique(mode)
        started = self._clock.utc_now()
        self._journal.press(uid, self._number, started, now_ns, technique, self._carm.info)
        self._carm.press(technique, uid)
        builder = IrradiationBuilder(uid, self._number, started, now_ns, technique, self._ledger)
        scratch = self._scratch / f"{self._number}.raw"
        self._chain = ImageChain()
        self._press = _Press(builder, self._carm.frames(), now_ns, [], scratch)
        self._expose(now_ns)

    def _expose(self, until_ns: int) -> None:
        """Let the pulses come that are due up to a time."""
        press = self._press
        while press is not None and press.next_ns <= until_ns:
            raw = next(press.pulses)
            if not press.frames:
                self._chain.begin_run(raw)
            self._journal.frame(raw, 0)
            press.builder.add(raw.acquired_ns, raw.technique, raw.kerma, raw.pose, raw.table, raw.collimation)
            shown = self._last = self._chain.process(raw)
            with press.scratch.open("ab") as file:
                file.write(shown.pixels.tobytes())
            press.frames.append(replace(shown, pixels=np.zeros((1, 1), dtype=np.uint16)))
            rate_hz = raw.technique.pulse_rate_hz if raw.technique is not None else 7.5
            press.next_ns = raw.acquired_ns + round(1e9 / rate_hz)

    def _finish(self, press: _Press) -> None:
        self._press = None
        self._carm.release()
        event = press.builder.finish(max(self._clock.monotonic_ns(), press.frames[-1].acquired_ns), 0)
        self._journal.irradiation(event, event.uid, self._clock.monotonic_ns())
        self._store.add_event(dose_event(event, self._position))
        grid, window = self._carm.grid, self._chain.window
        pixels = np.memmap(press.scratch, dtype=np.uint16, mode="r", shape=(len(press.frames), grid.rows, grid.columns))
        about = described_run(event, press.frames, window, self._position)
        self._store.save_run((np.asarray(one) for one in pixels), about)
        del pixels
        press.scratch.unlink()

    def _seen(self) -> ProjectionGeometry | None:
        frame = self._last
        if frame is None or frame.pose is None or frame.pitch_mm is None:
            return None
        lying = patient_from_equipment(frame.table or TablePose(), self._position, self._carm.setup.reference_mm)
        rows, columns = frame.pixels.shape
        return projection_geometry(frame.pose, DetectorGrid(rows, columns, frame.pitch_mm), lying)
