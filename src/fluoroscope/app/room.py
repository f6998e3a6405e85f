"""The fluoroscopy room behind the page: carries out commands, tells the status, hands on pictures."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from fluoroscope.acquisition.clock import Clock
from fluoroscope.acquisition.frame import Frame, Provenance
from fluoroscope.app.bedside import Bedside
from fluoroscope.app.catheter_hand import CatheterHand
from fluoroscope.app.console import Console, taken_with
from fluoroscope.app.dose_words import dose_status
from fluoroscope.app.exam import Exam, StoredImage
from fluoroscope.app.needle_hand import NeedleHand
from fluoroscope.app.patient_cards import PatientCards
from fluoroscope.app.recipe_form import form_asset, read_recipe
from fluoroscope.app.reference import ReferenceMonitor, ReferencePicture
from fluoroscope.app.terminal import Progress
from fluoroscope.beam.technique import RadiationMode, Technique
from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.projection import ProjectionGeometry, projection_geometry
from fluoroscope.geometry.table import PatientPosition, TablePose, patient_from_equipment
from fluoroscope.imagechain.chain import ImageChain
from fluoroscope.live.loop import LiveLoop
from fluoroscope.live.states import LiveState
from fluoroscope.live.subscription import LivePicture, PictureKind, Policy
from fluoroscope.monitor.control import Asset, MonitorFrame, RefusedError
from fluoroscope.patient.anatomy.parameters import PatientParameters

__all__ = ["FluoroscopyRoom", "NextExam", "RoomParts"]

PICTURE_WAIT_S = 0.25
CLIP_TECHNIQUE = Technique(70.0, 1.0, 1.0, 1.0)
"""What a recorded clip is pressed with: it is not used, its own technique is the recording's."""


@dataclass(frozen=True, slots=True)
class NextExam:
    """The exam to open: of another patient by name, lying otherwise; None leaves it as it is."""

    patient: str | None = None
    position: PatientPosition | None = None
    progress: Progress = lambda *_: None


@dataclass(frozen=True, slots=True)
class RoomParts:
    """What a room is made of; see `FluoroscopyRoom`.

    Attributes
    ----------
    loop, chain
        The live loop and the image chain it uses.
    clock
        Time.
    console
        Of the virtual C-arm; None when a recorded clip is played.
    clip
        What the status says of the source when there is no console.
    open_exam
        Begins an exam, wholly or, raising, not at all.
    patients
        Rows of patients that can be chosen; empty for a clip.
    taken
        With what a frame of a clip was taken; a C-arm's frames say it themselves.
    bedside
        Of the patient on the table of a virtual C-arm; None for a clip.
    make
        Makes a patient and returns the name by which he is opened; None where nobody can be made.
    cards
        Of the patients that can be chosen; None where there is nobody to choose.
    """

    loop: LiveLoop
    chain: ImageChain
    clock: Clock
    open_exam: Callable[[NextExam], Exam]
    patients: Callable[[], list[dict[str, Any]]]
    console: Console | None = None
    clip: Mapping[str, Any] | None = None
    taken: Callable[[Frame], dict[str, Any]] | None = None
    bedside: Bedside | None = None
    make: Callable[[PatientParameters, Progress], str] | None = None
    cards: PatientCards | None = None


class FluoroscopyRoom:
    """Implements ``monitor.control.RoomControl`` over the live loop, a C-arm or clip, and the records."""

    def __init__(self, parts: RoomParts, exam: Exam) -> None:
        self._parts, self._exam = parts, exam
        self._no_exam = ""
        self._changed = threading.Condition()
        self._frames: dict[str, MonitorFrame] = {}
        self._live: LivePicture | None = None
        self._messages: list[dict[str, str]] = []
        self._message_count = 0
        self._busy = ""
        self._changing: threading.Thread | None = None
        self._making: dict[str, Any] | None = None
        self._shown_image: str | None = None
        self._reference = ReferenceMonitor(parts.clock, self._present)
        self._closed = threading.Event()
        parts.loop.on_event(lambda event: self._exam.log_event(event))
        self._subscription = parts.loop.subscribe("monitor", Policy.LATEST)
        self._pump = threading.Thread(target=self._take_pictures, name="monitor pictures", daemon=True)
        self._pump.start()
        commands: dict[str, Callable[..., Mapping[str, Any] | None]] = {
            "pedal": self._pedal,
            "stop": self._stop,
            "set_chain": self._set_chain,
            "store_image": self._store_image,
            "show_stored": self._show_stored,
            "replay_run": self._replay_run,
            "to_reference": self._to_reference,
            "acknowledge": self._acknowledge,
            "five_minute_reset": self._five_minute_reset,
            "set_patient": self._set_patient,
            "close_exam": self._close_exam,
        }
        console = parts.console
        if console is not None:
            for name in (
                "move_joints",
                "nudge_joints",
                "view",
                "move_table",
                "nudge_table",
                "set_collimation",
                "set_technique",
            ):
                commands[name] = getattr(console, name)
            commands["set_field"] = self._set_field
        if parts.bedside is not None:
            parts.bedside.look_through(self._live_geometry)
            self._hand = NeedleHand(parts.bedside)
            commands |= {name: getattr(parts.bedside, name) for name in Bedside.COMMANDS}
            commands |= {name: getattr(self._hand, name) for name in NeedleHand.COMMANDS}
            self._catheter = CatheterHand(parts.bedside)
            commands |= {name: getattr(self._catheter, name) for name in CatheterHand.COMMANDS}
            commands["set_position"] = self._set_position
        if parts.make is not None:
            commands["make_patient"] = self._make_patient
        if parts.cards is not None:
            commands["draw_cards"] = self._draw_cards
        self._commands = commands
        self._say_pregnancy()

    # The port of the monitor

    def status(self) -> Mapping[str, Any]:
        """Return a JSON-ready snapshot."""
        snapshot = self._parts.loop.snapshot()
        exam, console = self._exam, self._parts.console
        state = snapshot.state.value
        return {
            "state": state,
            "x_ray_on": snapshot.x_ray_on,
            "state_reason": snapshot.reason or self._busy,
            "simulated": snapshot.source.provenance is Provenance.SIMULATED,
            "patients": self._parts.patients(),
            **self._bedside_status(),
            "exam": {"uid": exam.uid, "folder": str(exam.folder), "started": _iso(exam.started)},
            **(console.status() if console is not None else self._parts.clip or {}),
            "chain": {"recursion": self._parts.chain.settings.recursion},
            "dose": dose_status(snapshot.dose, snapshot.source.provenance),
            "pulses": {
                "delivered": snapshot.pulses_in_exam,
                "dropped": snapshot.dropped_in_exam,
                "render_ms": snapshot.latency_ms,
            },
            "stored": [image.status() for image in exam.images],
            "runs": exam.run_status(),
            "shown": {"live": self._live_taken(), "reference": self._reference.taken},
            "replay": self._reference.status(),
            "messages": self._all_messages(snapshot.reason if state == "FAULT" else ""),
        }

    def command(self, name: str, args: Mapping[str, Any]) -> Mapping[str, Any]:
        """Carry out a command; raise `RefusedError` with a sentence for the operator."""
        carry_out = self._commands.get(name)
        if carry_out is None:
            raise RefusedError(f"{name} is not possible with {self._parts.loop.snapshot().source.name}")
        try:
            result = carry_out(**args)
        except RefusedError:
            raise
        except (ValueError, OSError, TypeError) as fault:
            raise RefusedError(" ".join(str(fault).split())) from fault
        if self._parts.bedside is not None:
            self._parts.bedside.lean()
        with self._changed:
            self._changed.notify_all()
        return result or {}

    def latest(self, channel: str, after_ns: int, timeout_s: float) -> MonitorFrame | None:
        """Wait for a picture of ``channel`` newer than ``after_ns``."""

        def newer() -> bool:
            frame = self._frames.get(channel)
            return self._closed.is_set() or (frame is not None and frame.acquired_ns > after_ns)

        with self._changed:
            self._changed.wait_for(newer, timeout_s)
            frame = self._frames.get(channel)
            return frame if frame is not None and frame.acquired_ns > after_ns else None

    def asset(self, name: str) -> Asset | None:
        """Return a thumbnail, the form of a patient to be made, or the shape of the one on the table."""
        bedside = self._parts.bedside
        if name == "making.json":
            return None if self._parts.make is None else form_asset()
        if name == "needles.json":
            return None if bedside is None else self._hand.kinds()
        if name == "catheters.json":
            return None if bedside is None else self._catheter.kinds()
        if name == "shape.json":
            return None if bedside is None else bedside.shape()
        if name.startswith("patients/") and name.endswith(".png"):
            cards = self._parts.cards
            picture = None if cards is None else cards.picture(name[len("patients/") : -len(".png")])
            return None if picture is None else Asset(picture, "image/png")
        return None

    def operator_lost(self) -> None:
        """End any exposure: nobody holds the pedal."""
        self._end_exposure("the operator's page was lost")

    def close(self) -> list[str]:
        """End exposure and replay, write the dose report, let go of everything. May be called twice.

        Returns
        -------
        list of str
            What the operator should still be told.
        """
        if self._closed.is_set():
            return []
        loop = self._parts.loop
        loop.release()
        self._reference.stop()
        if self._changing is not None:
            self._changing.join()
        loop.wait_for(LiveState.READY, LiveState.HOLD, LiveState.FAULT, timeout_s=5.0)
        self._exam.close()
        self._keep_messages(self._exam)
        self._closed.set()
        self._subscription.close()
        loop.close()
        with self._changed:
            self._changed.notify_all()
            untold = [message["text"] for message in self._messages if message["level"] == "stop"]
        self._pump.join()
        return untold

    def tell(self, level: str, text: str) -> None:
        """Put a message on the page, to be acknowledged."""
        with self._changed:
            self._message_count += 1
            self._messages.append({"id": f"m{self._message_count}", "level": level, "text": text})

    # Commands

    def _pedal(self, *, down: bool, mode: str = "fluoroscopy") -> None:
        loop = self._parts.loop
        if not down:
            loop.release()
            return
        # Radiation that would be in no record is refused.
        if self._busy or self._no_exam:
            raise RefusedError(self._busy or self._no_exam)
        if loop.state is LiveState.EXPOSING:
            return
        console, radiation = self._parts.console, RadiationMode(mode)
        loop.press(CLIP_TECHNIQUE if console is None else lambda: console.technique(radiation))

    def _stop(self) -> None:
        # X-ray first: a replay may be waiting for the disk.
        self._end_exposure("stop key")
        self._reference.stop()

    def _end_exposure(self, why: str) -> None:
        if self._busy or self._no_exam:
            # Between two exams there is no journal to note it in.
            self._parts.loop.release()
        else:
            self._parts.loop.stop(why)

    def _set_field(self, *, index: int) -> None:
        # A run has one picture size from its first pulse to its last.
        if self._parts.loop.state is LiveState.EXPOSING:
            raise RefusedError("release the pedal to change the zoom field")
        if self._parts.console is not None:
            self._parts.console.set_field(index)

    def _set_chain(self, *, recursion: float) -> None:
        chain = self._parts.chain
        chain.configure(replace(chain.settings, recursion=float(recursion)))

    def _store_image(self) -> Mapping[str, Any]:
        picture = self._live
        if picture is None:
            raise RefusedError("there is no picture to store: take an X-ray first")
        stored = self._exam.store_image(picture, self._taken(picture))
        self._shown_image = stored.name
        return {"id": stored.name}

    def _show_stored(self, *, id: str | None = None, step: int = 0) -> Mapping[str, Any]:
        self._refuse_while_busy()
        images = self._exam.images
        if not images:
            raise RefusedError("no image is stored yet: press K while a picture is shown")
        names = [image.name for image in images]
        if id is None:
            place = names.index(self._shown_image) if self._shown_image in names else len(names) - 1
            id = names[min(max(place + step, 0), len(names) - 1)]
        if id not in names:
            raise RefusedError(f"image {id} is not of this exam")
        self._shown_image = id
        self._reference.put(_picture_of(images[names.index(id)]))
        return {"id": id}

    def _replay_run(self, *, event_number: int | None = None, stop: bool = False) -> None:
        if stop:
            self._reference.stop()
            return
        self._refuse_while_busy()
        number = self._exam.last_run_number if event_number is None else event_number
        if number is None:
            raise RefusedError("no run is recorded yet: hold the pedal first, or wait a moment")
        self._reference.play(self._exam.played_run(number), number)

    def _to_reference(self) -> None:
        picture = self._live
        if picture is None:
            raise RefusedError("there is no held image: take an X-ray first")
        shown = picture.shown
        label = f"run {picture.event_number}"
        self._reference.put(
            ReferencePicture(
                shown.pixels,
                picture.window,
                shown.pitch_mm,
                shown.index,
                picture.event_number,
                label,
                {**self._taken(picture), "label": label},
            )
        )

    def _acknowledge(self, *, id: str) -> None:
        if id == "fault":
            self._parts.loop.acknowledge()
            return
        with self._changed:
            left = [message for message in self._messages if message["id"] != id]
            if len(left) == len(self._messages):
                raise RefusedError(f"message {id} is gone")
            self._messages = left

    def _five_minute_reset(self) -> None:
        self._parts.loop.reset_five_minute_signal()

    def _close_exam(self) -> None:
        self._begin_exam(NextExam(), "closing the exam: one moment")

    def _set_patient(self, *, name: str) -> None:
        rows = {row["name"]: row for row in self._parts.patients()}
        if name not in rows:
            raise RefusedError(f"patient {name} is not among those that can be chosen here")
        if not rows[name]["available"]:
            raise RefusedError(f"patient {name} is not here yet: run  fluoroscope patients fetch {name}")
        self._begin_exam(NextExam(name, progress=self._opening(name)), f"opening {name}: one moment")

    def _opening(self, name: str) -> Progress:
        def told(fraction: float, text: str) -> None:
            self._busy = f"opening {name}: {text} ({fraction:.0%})"

        return told

    def _set_position(self, *, position: str) -> None:
        if position not in PatientPosition.__members__:
            known = ", ".join(PatientPosition.__members__)
            raise RefusedError(f"position {position}: choose one of {known}", "position")
        if self._hand.something_in:
            raise RefusedError(f"take the {self._hand.something_in} out before the patient is turned")
        # Every record says how its patient lies: lying otherwise, he has another exam.
        self._begin_exam(NextExam(position=PatientPosition[position]), "turning the patient: one moment")

    def _make_patient(self, **recipe: Any) -> None:
        parameters = read_recipe(recipe)
        self._refuse_while_busy()
        if self._making is not None:
            raise RefusedError("a patient is being made: wait until he is ready")
        self._making = {"text": "begins", "fraction": 0.0}
        threading.Thread(target=self._made, args=(parameters,), name="making a patient", daemon=True).start()

    def _draw_cards(self) -> None:
        cards, loop = self._parts.cards, self._parts.loop

        def may_go_on() -> bool:
            # X-ray has the processor first.
            while not loop.wait_for(LiveState.READY, LiveState.HOLD, LiveState.FAULT, timeout_s=1.0):
                if self._closed.is_set():
                    return False
            return not self._closed.is_set()

        if cards is not None:
            cards.draw(may_go_on)

    def _made(self, parameters: PatientParameters) -> None:
        """Make a patient while the room goes on, then open his exam when no X-ray is on."""

        def progress(fraction: float, text: str) -> None:
            self._making = {"text": text, "fraction": round(fraction, 3)}

        name, loop = "", self._parts.loop
        try:
            if self._parts.make is not None:
                name = self._parts.make(parameters, progress)
            if self._parts.cards is not None:
                self._parts.cards.forget()
            while not loop.wait_for(LiveState.READY, LiveState.HOLD, LiveState.FAULT, timeout_s=1.0):
                if self._closed.is_set():
                    return
            self._begin_exam(NextExam(name), f"opening {name}: one moment")
            if self._changing is not None:
                self._changing.join()
        except RefusedError as refusal:
            self.tell("warning", f"{name} is made and can be chosen; he was not laid on the table: {refusal}")
        except (ValueError, OSError, RuntimeError, MemoryError) as fault:
            self.tell("stop", f"the patient could not be made: {' '.join(str(fault).split())}")
        finally:
            self._making = None

    def _begin_exam(self, following: NextExam, busy: str) -> None:
        """Close the exam and open the next in a thread of its own: commands return within 50 ms."""
        self._refuse_while_busy()
        state = self._parts.loop.state
        if state not in (LiveState.READY, LiveState.HOLD):
            advice = "release the pedal first" if state is LiveState.EXPOSING else "acknowledge the fault first"
            raise RefusedError(advice)
        self._busy = busy
        self._changing = threading.Thread(target=self._change_exam, args=(following,), name="next exam", daemon=True)
        self._changing.start()

    def _change_exam(self, following: NextExam) -> None:
        self._no_exam = "no exam is open: close the exam or choose the patient again"
        try:
            before = self._exam
            before.close()
            self._keep_messages(before)
            self._exam = self._parts.open_exam(following)
            self._no_exam = ""
            self._say_pregnancy()
        except (ValueError, OSError, RuntimeError, MemoryError) as fault:
            self.tell("stop", f"the next exam could not be opened: {' '.join(str(fault).split())}")
        finally:
            self._reference.clear()
            self._shown_image, self._live = None, None
            at_ns, empty = self._parts.clock.monotonic_ns(), np.zeros((0, 0), dtype=np.uint16)
            self._present(MonitorFrame("live", "stored", empty, at_ns, 0.0, 1.0, None, 0, 0))
            self._busy = ""

    def _say_pregnancy(self) -> None:
        weeks = self._exam.patient_status().get("pregnancy_weeks")
        if weeks:
            self.tell("warning", f"pregnant, week {weeks:g}: X-ray needs a documented reason")

    def _refuse_while_busy(self) -> None:
        if self._busy:
            raise RefusedError(self._busy)

    def _keep_messages(self, exam: Exam) -> None:
        for level, text in exam.take_messages():
            self.tell(level, text)

    # Pictures

    def _take_pictures(self) -> None:
        while not self._closed.is_set():
            picture = self._subscription.get(PICTURE_WAIT_S)
            if not isinstance(picture, LivePicture):
                if self._subscription.closed:
                    return
                continue
            held = picture.kind is PictureKind.HOLD
            shown, (center, width) = picture.shown, picture.window
            self._live = picture
            # A held picture is as old as its release, not as the last pulse it is the mean of.
            at_ns = picture.published_ns if held else shown.acquired_ns
            self._present(
                MonitorFrame(
                    "live",
                    "hold" if held else "live",
                    shown.pixels,
                    at_ns,
                    center,
                    width,
                    shown.pitch_mm,
                    shown.index,
                    picture.event_number,
                )
            )

    def _present(self, frame: MonitorFrame) -> None:
        with self._changed:
            self._frames[frame.channel] = frame
            self._changed.notify_all()

    def _taken(self, picture: LivePicture) -> dict[str, Any]:
        of_clip = self._parts.taken
        return taken_with(picture.shown, self._position) if of_clip is None else of_clip(picture.shown)

    def _bedside_status(self) -> dict[str, Any]:
        patient, bedside = self._exam.patient_status(), self._parts.bedside
        if bedside is None:
            return {"patient": patient}
        told = {
            "patient": patient | {"movement": bedside.movement()},
            "positions": [position.value for position in PatientPosition],
            **bedside.status(),
            **self._hand.status(),
            **self._catheter.status(),
        }
        return told if self._parts.make is None else told | {"making": self._making}

    def _live_geometry(self) -> ProjectionGeometry | None:
        """Return the geometry with which the picture on LIVE was taken; None without one."""
        picture, console = self._live, self._parts.console
        if picture is None or console is None:
            return None
        frame, setup = picture.shown, console.carm.setup
        pose, pitch_mm = frame.pose, frame.pitch_mm
        if pose is None or pitch_mm is None:
            return None
        lying = patient_from_equipment(frame.table or TablePose(), setup.position, setup.reference_mm)
        rows, columns = frame.pixels.shape
        return projection_geometry(pose, DetectorGrid(rows, columns, pitch_mm), lying)

    def _live_taken(self) -> dict[str, Any] | None:
        picture = self._live
        return None if picture is None else self._taken(picture)

    @property
    def _position(self) -> PatientPosition | None:
        console = self._parts.console
        return None if console is None else console.carm.position

    def _all_messages(self, fault: str) -> list[dict[str, str]]:
        self._keep_messages(self._exam)
        with self._changed:
            messages = [dict(message) for message in self._messages]
        if fault:
            messages.insert(0, {"id": "fault", "level": "stop", "text": fault})
        return messages


def _picture_of(image: StoredImage) -> ReferencePicture:
    return ReferencePicture(
        image.pixels,
        image.window,
        image.pitch_mm,
        0,
        image.event_number,
        image.label,
        {**image.taken, "label": image.label},
    )


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
