"""Opens the room: patient, C-arm, live loop, records and the page behind one door."""

import os
import signal
import sys
import threading
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fluoroscope import NOT_A_MEDICAL_DEVICE, __version__
from fluoroscope.acquisition.clock import Clock, SystemClock
from fluoroscope.acquisition.frame import Frame, PixelIntensity
from fluoroscope.app.bedside import Bedside
from fluoroscope.app.clip import ClipSession, clip_status, clip_taken
from fluoroscope.app.console import Console
from fluoroscope.app.dose.room_dose import RoomDose
from fluoroscope.app.dose.rules import DoseRules, read_rules
from fluoroscope.app.guidance.igtl_links import LinkSetup, joined
from fluoroscope.app.patient_cards import PatientCards
from fluoroscope.app.patient_making import make_patient
from fluoroscope.app.recording import ExamRecording, recover_exams
from fluoroscope.app.room import FluoroscopyRoom
from fluoroscope.app.room_parts import NextExam, RoomParts
from fluoroscope.app.room_scene import RoomScene
from fluoroscope.app.setup import RoomSetup, load_patient, patient_rows
from fluoroscope.app.terminal import warn
from fluoroscope.app.training.session import Exercise, TrainingDesk, training_facts
from fluoroscope.app.virtual import exam_details, exam_identity, patient_dicom_id, virtual_carm
from fluoroscope.app.warming import compiled_beside
from fluoroscope.dose.ledger import KermaLedger
from fluoroscope.imagechain.chain import ImageChain
from fluoroscope.live.loop import LiveLoop, LoopSettings
from fluoroscope.monitor.server import MonitorServer, check_door
from fluoroscope.patient.library import Patient
from fluoroscope.records.contents import DoseCalibration
from fluoroscope.records.exam_store import exams_folder
from fluoroscope.records.loading import load_records
from fluoroscope.records.uids import new_uid
from fluoroscope.sources.clip import ClipSource
from fluoroscope.sources.virtual import VirtualCArm

if TYPE_CHECKING:
    from fluoroscope.app.dose.memory import DoseMemory

__all__ = ["Doors", "open_clip_room", "open_room", "serve", "serve_clip", "serve_room"]


@dataclass(frozen=True, slots=True)
class Doors:
    """Where the page is served, and whether a browser is opened on it."""

    host: str = "127.0.0.1"
    port: int = 8042
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    password_file: Path | None = None
    open_browser: bool = True


def serve_room(setup: RoomSetup, doors: Doors, links: LinkSetup | None = None) -> None:
    """Serve the fluoroscopy room until Ctrl-C."""
    serve(lambda: joined(lambda: open_room(setup), links), doors)


def serve_clip(clip: str | Path, doors: Doors, links: LinkSetup | None = None) -> None:
    """Serve a recorded clip, or the live pictures of ``igtl://HOST:PORT``, in the room until Ctrl-C."""

    def open_() -> FluoroscopyRoom:
        if str(clip).startswith("igtl://"):
            from fluoroscope.app.guidance.igtl_room import open_link_room

            return open_link_room(str(clip))
        return open_clip_room(Path(clip))

    serve(lambda: joined(open_, links), doors)


def serve(open_: Callable[[], FluoroscopyRoom], doors: Doors) -> None:
    """Serve the room that ``open_`` opens until Ctrl-C."""
    # A taken port is said before anything is loaded.
    check_door(
        doors.host,
        doors.port,
        tls_certificate=doors.tls_certificate,
        tls_key=doors.tls_key,
        password_file=doors.password_file,
    )
    room = open_()
    try:
        server = MonitorServer(
            room,
            doors.host,
            doors.port,
            tls_certificate=doors.tls_certificate,
            tls_key=doors.tls_key,
            password_file=doors.password_file,
        )
        try:
            server.start()
            warn(f"Fluoroscope {__version__}. {NOT_A_MEDICAL_DEVICE}")
            warn(f"the room is open: {server.url}")
            warn("stop it with Ctrl-C; Enter gives an address for one more window")
            if doors.open_browser:
                webbrowser.open(server.url)
            _wait_for_end(server)
        finally:
            server.stop()
    finally:
        for told in room.close():
            warn(f"warning: {told}")
    warn("closed; what was recorded: fluoroscope exams list")


def _wait_for_end(server: MonitorServer) -> None:
    end = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: end.set())
    if sys.stdin is not None and sys.stdin.isatty():
        threading.Thread(target=_more_windows, args=(server,), name="more windows", daemon=True).start()
    while not end.wait(1.0):
        pass


def _more_windows(server: MonitorServer) -> None:
    """Print an address that opens one more window at every Enter."""
    for _ in sys.stdin:
        warn(f"one more window: {server.new_token()}")


def open_room(
    setup: RoomSetup, exams: Path | None = None, seed: int | None = None, exercise: Exercise | None = None
) -> FluoroscopyRoom:
    """Return the room with a virtual C-arm on the patient of ``setup``, ready for the pedal.

    Parameters
    ----------
    setup
        Patient, position, C-arm, matrix.
    exams
        Folder of exams; the user's data folder when absent.
    seed
        Of the noise; a random one when absent.
    exercise
        What is trained; None in a room for anything.
    """
    for told in recover_exams(exams):
        warn(told)
    with compiled_beside():
        return _opened(setup, exams, seed, exercise)


def _opened(setup: RoomSetup, exams: Path | None, seed: int | None, exercise: Exercise | None) -> FluoroscopyRoom:
    # What may be wrong of rules and registry is said before a patient is loaded.
    rules, memory = read_rules(setup.dose_rules), _memory(setup.registry)
    clock, chain = SystemClock(), ImageChain()
    table = _OnTheTable(setup, load_patient(setup))
    scene, carm, began_ns = _laid_down(table, clock, seed)
    console = Console(carm)
    bedside = Bedside(console, clock)
    bedside.take(scene, began_ns)
    loop = LiveLoop(carm, chain, KermaLedger(calibration=rules.calibration), clock, new_uid)
    dose = RoomDose(rules, loop, clock, console, bedside, memory)
    cards, training = PatientCards(clock), TrainingDesk(bedside, clock.monotonic_ns, exercise)

    def open_exam(following: NextExam) -> ExamRecording:
        chosen, laid = _chosen(table, following), None
        if following.patient is not None:
            laid = _laid_down(chosen, clock, seed)
            laid[1].prepare_beside()
        identity = exam_identity(chosen.setup, chosen.patient, new_uid(), clock.utc_now())
        details = exam_details(chosen.setup, chosen.patient)
        exam = ExamRecording(identity, details, chosen.status(), exams, _calibration(rules))
        exam.skin_result, exam.estimates = dose.skin_result, dose.estimates
        try:
            ledger = KermaLedger(calibration=rules.calibration)
            loop.new_exam(ledger, exam.journal, None if laid is None else laid[1])
        except ValueError:
            exam.discard()
            raise
        # From here on nothing can fail: patient, beam and records change together.
        table.setup, table.patient = chosen.setup, chosen.patient
        if laid is not None:
            console.take(laid[1])
            bedside.take(laid[0], laid[2])
        else:
            console.carm.set_position(table.setup.patient_position)
            bedside.lean()
        exam.begin(loop)
        dose.begin(exam, identity.patient, exam.note)
        training.begin(exam.folder, training_facts(chosen.setup, chosen.patient), exam.say)
        return exam

    loop.start()
    carm.prepare_beside()
    first = open_exam(NextExam())
    if setup.procedure:
        dose.control.set_procedure(name=setup.procedure)
    dose.keep_waiting(exams)
    parts = RoomParts(
        loop, chain, clock, dose, open_exam, cards.rows, console, bedside=bedside, make=make_patient, cards=cards,
        training=training, guidance_allowed=exercise is None or exercise.listed.scenario.guidance,
    )  # fmt: skip
    return FluoroscopyRoom(parts, first)


def _chosen(table: "_OnTheTable", following: NextExam) -> "_OnTheTable":
    """Return who lies on the table in the next exam, and how."""
    if following.patient is not None:
        other = replace(table.setup, patient=following.patient, labels=None, names=None, series=None)
        return _OnTheTable(other, load_patient(other, following.progress))
    if following.position is not None:
        return _OnTheTable(replace(table.setup, position=following.position.value), table.patient)
    return table


def _memory(where: str | None) -> "Callable[[], DoseMemory]":
    """Return what opens the registry; an address somebody gave is checked now, the database's libraries load later."""
    if where is not None or os.environ.get("FLUOROSCOPE_REGISTRY"):
        from fluoroscope.registry import check_where

        check_where(where)

    def opened() -> "DoseMemory":
        load_records()
        from fluoroscope.app.dose.memory import DoseMemory

        return DoseMemory(where)

    return opened


def _calibration(rules: DoseRules) -> DoseCalibration | None:
    factor = rules.calibration.factor
    return None if factor == 1.0 else DoseCalibration(factor, rules.calibration.source)


def _laid_down(table: "_OnTheTable", clock: Clock, seed: int | None) -> tuple[RoomScene, VirtualCArm, int]:
    """Return the patient's scene, a C-arm on it, and when its time began."""
    scene = RoomScene(table.patient, seed=0 if seed is None else seed)
    carm = virtual_carm(table.setup, table.patient, clock, seed, scene)
    return scene, carm, clock.monotonic_ns()


@dataclass(slots=True)
class _OnTheTable:
    """Who lies on the table now."""

    setup: RoomSetup
    patient: Patient

    def status(self) -> dict[str, Any]:
        """Return the patient part of the status."""
        record = self.patient.record
        return {
            "name": record.name,
            "id": patient_dicom_id(self.patient),
            "position": self.setup.patient_position.value,
            "description": record.description,
            "source": record.source,
            **self._kind(),
        }

    def _kind(self) -> dict[str, Any]:
        known = next((row for row in patient_rows() if row["name"] == self.patient.record.name), {})
        weeks = None if self.patient.parameters is None else self.patient.parameters.pregnancy_weeks or None
        return {
            "synthetic": True if self.patient.modelled else known.get("synthetic"),
            "pregnancy_weeks": weeks,
            "pregnancy_excluded": known.get("pregnancy_excluded", ""),
            "facts": known.get("facts", []),
        }


def open_clip_room(path: Path, exams: Path | None = None) -> FluoroscopyRoom:
    """Return the room with a recorded clip in place of a C-arm; the pedal plays it."""
    from fluoroscope.app.guidance.igtl_clip import clip_frame_pose
    from fluoroscope.dicom.xa import read_clip

    clock = SystemClock()
    # Shown as its maker windowed it: the chain's logarithm is for detector signals whose exposure is known.
    clip = replace(read_clip(path), intensity=PixelIntensity.DISP)
    source = ClipSource(clip, clock)
    chain = ImageChain()

    def window_of(_: Frame) -> tuple[float, float]:
        return clip.window_center, clip.window_width

    loop = LiveLoop(source, chain, KermaLedger(), clock, new_uid, settings=LoopSettings(window_of=window_of))

    def open_session(_: NextExam) -> ClipSession:
        loop.new_exam(KermaLedger(), None)
        return ClipSession(clip, path, exams if exams is not None else exams_folder())

    loop.start()
    parts = RoomParts(
        loop,
        chain,
        clock,
        RoomDose(DoseRules(), loop, clock),
        open_session,
        list,
        clip=clip_status(clip),
        taken=lambda frame: clip_taken(clip, source.clip_index(frame)),
        pose_of=clip_frame_pose(clip, source.clip_index),
    )
    return FluoroscopyRoom(parts, open_session(NextExam()))
