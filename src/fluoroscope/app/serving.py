"""Opens the room: patient, C-arm, live loop, records and the page behind one door."""

import platform
import signal
import threading
import webbrowser
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fluoroscope import NOT_A_MEDICAL_DEVICE, __version__
from fluoroscope.acquisition.clock import SystemClock
from fluoroscope.acquisition.frame import Frame, Provenance
from fluoroscope.app.clip import clip_status
from fluoroscope.app.console import Console
from fluoroscope.app.recording import ExamRecording, recover_exams
from fluoroscope.app.room import FluoroscopyRoom, RoomParts
from fluoroscope.app.setup import RoomSetup, load_patient, patient_rows
from fluoroscope.app.terminal import warn
from fluoroscope.app.virtual import exam_identity, versions, virtual_carm
from fluoroscope.dose.ledger import KermaLedger
from fluoroscope.imagechain.chain import ImageChain
from fluoroscope.live.loop import LiveLoop, LoopSettings
from fluoroscope.monitor.server import MonitorServer, bind
from fluoroscope.records.identity import Equipment, ExamIdentity, PatientIdentity
from fluoroscope.records.uids import new_uid
from fluoroscope.sources.clip import ClipSource

__all__ = ["Doors", "open_clip_room", "open_room", "serve_clip", "serve_room"]


@dataclass(frozen=True, slots=True)
class Doors:
    """Where the page is served, and whether a browser is opened on it."""

    host: str = "127.0.0.1"
    port: int = 8042
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    password_file: Path | None = None
    open_browser: bool = True


def serve_room(setup: RoomSetup, doors: Doors) -> None:
    """Serve the fluoroscopy room until Ctrl-C."""
    _serve(lambda: open_room(setup), doors)


def serve_clip(path: Path, doors: Doors) -> None:
    """Serve a recorded clip in the room until Ctrl-C."""
    _serve(lambda: open_clip_room(path), doors)


def _serve(open_: Callable[[], FluoroscopyRoom], doors: Doors) -> None:
    # A taken port is said before anything is loaded.
    bind(doors.host, doors.port).close()
    room = open_()
    try:
        server = MonitorServer(
            room, doors.host, doors.port, tls_certificate=doors.tls_certificate, tls_key=doors.tls_key,
            password_file=doors.password_file,
        )  # fmt: skip
        try:
            server.start()
            warn(f"Fluoroscope {__version__}. {NOT_A_MEDICAL_DEVICE}")
            warn(f"the room is open: {server.url}")
            warn("stop it with Ctrl-C")
            if doors.open_browser:
                webbrowser.open(server.url)
            _wait_for_end()
        finally:
            server.stop()
    finally:
        room.close()
    warn("closed; what was recorded: fluoroscope exams list")


def _wait_for_end() -> None:
    end = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: end.set())
    while not end.wait(1.0):
        pass


def open_room(setup: RoomSetup, exams: Path | None = None, seed: int | None = None) -> FluoroscopyRoom:
    """Return the room with a virtual C-arm on the patient of ``setup``, ready for the pedal."""
    for told in recover_exams(exams):
        warn(told)
    clock = SystemClock()
    chain = ImageChain()
    patient = load_patient(setup)
    carm = virtual_carm(setup, patient, clock, seed)
    console = Console(carm)
    loop = LiveLoop(carm, chain, KermaLedger(), clock, new_uid)
    present = {"setup": setup}

    def open_exam(name: str | None) -> ExamRecording:
        if name is not None:
            present["setup"] = replace(present["setup"], patient=name, labels=None, series=None)
            other = virtual_carm(present["setup"], load_patient(present["setup"], lambda *_: None), clock, seed)
            other.prepare()
            console.take(other)
        identity = exam_identity(console.carm, present["setup"])
        exam = ExamRecording(
            identity, _details(console), _patient_status(console), console.carm.position, exams
        )
        loop.new_exam(KermaLedger(), exam.journal, console.carm if name is not None else None)
        _begin(exam, loop)
        return exam

    loop.start()
    exam = open_exam(None)
    loop.on_event(lambda event: room.exam.log_event(event))
    carm.prepare()
    room = FluoroscopyRoom(RoomParts(loop, chain, clock, open_exam, patient_rows, console), exam)
    return room


def open_clip_room(path: Path, exams: Path | None = None) -> FluoroscopyRoom:
    """Return the room with a recorded clip in place of a C-arm; the pedal plays it."""
    from fluoroscope.dicom.xa import read_clip

    clock = SystemClock()
    clip = read_clip(path)
    source = ClipSource(clip, clock)
    chain = ImageChain()

    def window_of(_: Frame) -> tuple[float, float]:
        return clip.window_center, clip.window_width

    loop = LiveLoop(source, chain, KermaLedger(), clock, new_uid, settings=LoopSettings(window_of=window_of))
    about = {"name": clip.patient_name or "–", "id": clip.patient_id or "–", "position": clip.patient_position or "–",
             "description": clip.description, "source": str(path)}  # fmt: skip

    def open_exam(_: str | None) -> ExamRecording:
        identity = ExamIdentity(
            new_uid(), clock.utc_now(), PatientIdentity(clip.patient_name[:64], clip.patient_id[:64]),
            Equipment("replay of a recorded clip", __version__), description=f"Replay of {path.name}"[:64],
            provenance=Provenance.RECORDED,
        )  # fmt: skip
        exam = ExamRecording(identity, {"clip": str(path), "versions": versions()}, about, None, exams)
        loop.new_exam(KermaLedger(), exam.journal)
        _begin(exam, loop)
        return exam

    loop.start()
    exam = open_exam(None)
    loop.on_event(lambda event: room.exam.log_event(event))
    room = FluoroscopyRoom(RoomParts(loop, chain, clock, open_exam, list, None, clip_status(clip)), exam)
    return room
