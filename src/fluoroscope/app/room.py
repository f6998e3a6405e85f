"""The fluoroscopy room behind the page: carries out commands, tells the status, hands on pictures."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from fluoroscope.acquisition.event import IrradiationEvent
from fluoroscope.acquisition.frame import Provenance
from fluoroscope.app.bedside import Bedside
from fluoroscope.app.catheter_hand import CatheterHand
from fluoroscope.app.console import Console, taken_with
from fluoroscope.app.dose.words import dose_status
from fluoroscope.app.exam import Exam, StoredImage
from fluoroscope.app.exam_desk import ExamDesk
from fluoroscope.app.guidance.live_door import GuidanceDoor
from fluoroscope.app.messages import Messages
from fluoroscope.app.needle_hand import NeedleHand
from fluoroscope.app.recipe_form import form_asset
from fluoroscope.app.reference import ReferenceMonitor, ReferencePicture
from fluoroscope.app.room_parts import RoomParts
from fluoroscope.beam.technique import RadiationMode, Technique
from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.projection import ProjectionGeometry, projection_geometry
from fluoroscope.geometry.table import PatientPosition, TablePose, patient_from_equipment
from fluoroscope.live.states import LiveState
from fluoroscope.live.subscription import LivePicture, PictureKind, Policy
from fluoroscope.monitor.control import Asset, MonitorFrame, RefusedError

if TYPE_CHECKING:
    from fluoroscope.app.guidance.igtl_links import RoomLinks

__all__ = ["FluoroscopyRoom"]

PICTURE_WAIT_S = 0.25
CLIP_TECHNIQUE = Technique(70.0, 1.0, 1.0, 1.0)
"""What a recorded clip is pressed with: it is not used, its own technique is the recording's."""


class FluoroscopyRoom:
    """Implements ``monitor.control.RoomControl`` over the live loop, a C-arm or clip, and the records."""

    _links: "RoomLinks | None" = None

    def __init__(self, parts: RoomParts, exam: Exam) -> None:
        self._parts = parts
        self._messages = Messages()
        self._changed = threading.Condition()
        self._frames: dict[str, MonitorFrame] = {}
        self._live: LivePicture | None = None
        self._shown_image: str | None = None
        self._reference = ReferenceMonitor(parts.clock, self._present)
        self._closed = threading.Event()
        self._guidance: GuidanceDoor | None = None
        self._desk = ExamDesk(parts, exam, self._messages, self._clear, self._in_patient)
        parts.loop.on_event(self._event_ended)
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
            "set_patient": self._desk.set_patient,
            "close_exam": self._desk.close_exam,
            **parts.dose.commands,
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
            if console is not None:
                commands |= self._guide(console, parts.bedside)
            self._catheter = CatheterHand(parts.bedside)
            commands |= {name: getattr(self._catheter, name) for name in CatheterHand.COMMANDS}
            commands["set_position"] = self._desk.set_position
        if parts.make is not None:
            commands["make_patient"] = self._desk.make_patient
        if parts.cards is not None:
            commands["draw_cards"] = self._desk.draw_cards
        self._commands = commands

    def join(self, links: "RoomLinks") -> None:
        """Let other programs see this room, and it a tracker; both end with it."""
        parts = self._parts
        simulated = None if parts.clip is None else bool(parts.clip["simulated"])
        more = dict if self._guidance is None else self._guidance.places
        links.join(parts.loop, parts.console, self._messages.tell, more, parts.pose_of, simulated)
        self._links = links

    def _guide(self, console: Console, bedside: Bedside) -> dict[str, Callable[..., Mapping[str, Any] | None]]:
        """Open the door to live guidance and return its commands."""
        parts = self._parts
        self._guidance = GuidanceDoor(
            parts.loop, parts.clock, console, bedside, self._hand,
            allowed=parts.guidance_allowed, changed=self._notify,
        )  # fmt: skip
        return self._guidance.commands

    # The port of the monitor

    def status(self) -> Mapping[str, Any]:
        """Return a JSON-ready snapshot."""
        snapshot = self._parts.loop.snapshot()
        exam, console = self._desk.exam, self._parts.console
        self._messages.take_from(exam)
        self._messages.take(self._parts.dose.take_messages())
        state = snapshot.state.value
        return {
            "state": state,
            "x_ray_on": snapshot.x_ray_on,
            "state_reason": snapshot.reason or self._desk.busy,
            "simulated": snapshot.source.provenance is Provenance.SIMULATED,
            "patients": self._parts.patients(),
            **self._bedside_status(),
            "exam": {"uid": exam.uid, "folder": str(exam.folder), "started": _iso(exam.started)},
            **(console.status() if console is not None else self._parts.clip or {}),
            "chain": {"recursion": self._parts.chain.settings.recursion},
            "dose": dose_status(snapshot.dose, snapshot.source.provenance)
            | self._parts.dose.status(exam.uid, snapshot),
            **self._parts.dose.history(),
            "pulses": {
                "delivered": snapshot.pulses_in_exam,
                "dropped": snapshot.dropped_in_exam,
                "render_ms": snapshot.latency_ms,
            },
            "links": None if self._links is None else self._links.status(),
            "stored": [image.status() for image in exam.images],
            "runs": exam.run_status(),
            "training": None if self._parts.training is None else self._parts.training.status(snapshot.dose),
            "shown": {"live": self._live_taken(), "reference": self._reference.taken},
            "replay": self._reference.status(),
            "messages": self._messages.told(snapshot.reason if state == "FAULT" else ""),
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
        if self._parts.training is not None:
            self._parts.training.done(name, args)
        if self._parts.bedside is not None:
            self._parts.bedside.lean()
        if self._guidance is not None:
            self._guidance.noted(name, args, result or {})
        self._notify()
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
        if self._guidance is not None and name.startswith("guidance"):
            return self._guidance.asset(name)
        if name.startswith("patients/") and name.endswith(".png"):
            cards = self._parts.cards
            picture = None if cards is None else cards.picture(name[len("patients/") : -len(".png")])
            return None if picture is None else Asset(picture, "image/png")
        return self._parts.dose.asset(name)

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
        if self._links is not None:
            self._links.close()
        self._reference.stop()
        self._desk.close()
        loop.wait_for(LiveState.READY, LiveState.HOLD, LiveState.FAULT, timeout_s=5.0)
        self._parts.dose.closing()
        if self._parts.training is not None:
            self._parts.training.end()
        self._desk.exam.close()
        self._messages.take_from(self._desk.exam)
        self._parts.dose.ended(self._desk.exam)
        self._parts.dose.close()
        self._messages.take(self._parts.dose.take_messages())
        self._closed.set()
        if self._guidance is not None:
            self._guidance.close()
        self._subscription.close()
        loop.close()
        with self._changed:
            self._changed.notify_all()
        self._pump.join()
        return self._messages.untold()

    # Commands

    def _pedal(self, *, down: bool, mode: str = "fluoroscopy") -> None:
        loop = self._parts.loop
        if not down:
            loop.release()
            return
        # Radiation that would be in no record is refused.
        if self._desk.busy or self._desk.none_open:
            raise RefusedError(self._desk.busy or self._desk.none_open)
        if loop.state is LiveState.EXPOSING:
            return
        console, radiation = self._parts.console, RadiationMode(mode)
        self._parts.dose.before_press(radiation)
        loop.press(CLIP_TECHNIQUE if console is None else lambda: console.technique(radiation))

    def _stop(self) -> None:
        # X-ray first: a replay may be waiting for the disk.
        self._end_exposure("stop key")
        self._reference.stop()

    def _end_exposure(self, why: str) -> None:
        if self._desk.busy or self._desk.none_open:
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
        stored = self._desk.exam.store_image(picture, self._taken(picture))
        self._shown_image = stored.name
        return {"id": stored.name}

    def _show_stored(self, *, id: str | None = None, step: int = 0) -> Mapping[str, Any]:
        self._desk.refuse_while_busy()
        images = self._desk.exam.images
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
        self._desk.refuse_while_busy()
        number = self._desk.exam.last_run_number if event_number is None else event_number
        if number is None:
            raise RefusedError("no run is recorded yet: hold the pedal first, or wait a moment")
        self._reference.play(self._desk.exam.played_run(number), number)

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
        self._messages.acknowledge(id)

    def _event_ended(self, event: IrradiationEvent) -> None:
        self._desk.exam.log_event(event)

    def _five_minute_reset(self) -> None:
        self._parts.loop.reset_five_minute_signal()

    # Pictures

    def _clear(self) -> None:
        """Empty both monitors: nothing of another exam stays on them."""
        self._reference.clear()
        self._shown_image, self._live = None, None
        at_ns, empty = self._parts.clock.monotonic_ns(), np.zeros((0, 0), dtype=np.uint16)
        self._present(MonitorFrame("live", "stored", empty, at_ns, 0.0, 1.0, None, 0, 0))

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

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _present(self, frame: MonitorFrame) -> None:
        with self._changed:
            self._frames[frame.channel] = frame
            self._changed.notify_all()

    def _taken(self, picture: LivePicture) -> dict[str, Any]:
        of_clip = self._parts.taken
        return taken_with(picture.shown, self._position) if of_clip is None else of_clip(picture.shown)

    def _in_patient(self) -> str:
        return "" if self._parts.bedside is None else self._hand.something_in

    def _bedside_status(self) -> dict[str, Any]:
        patient, bedside = self._desk.exam.patient_status(), self._parts.bedside
        if bedside is None:
            return {"patient": patient}
        told = {
            "patient": patient | {"movement": bedside.movement()},
            "positions": [position.value for position in PatientPosition],
            **bedside.status(),
            **self._hand.status(),
            **self._catheter.status(),
        }
        if self._guidance is not None:
            picture = self._live
            told |= self._guidance.status(None if picture is None else picture.shown)
        return told if self._parts.make is None else told | {"making": self._desk.making}

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
