"""The records of one exam, while it goes on: journal, spool, runs, stored images, dose report."""

import contextlib
import itertools
import os
import queue
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np

from fluoroscope.acquisition.event import IrradiationEvent
from fluoroscope.acquisition.frame import Frame
from fluoroscope.app.console import taken_with
from fluoroscope.app.exam import StoredImage
from fluoroscope.app.reference import ReferencePicture
from fluoroscope.app.run_facts import described_run, dose_event, frame_angles, frame_orientation, frame_tables
from fluoroscope.app.training.hand import holds_attempt
from fluoroscope.dicom.xa import read_clip
from fluoroscope.dose.ledger import REFERENCE_POINT_15_CM
from fluoroscope.dose.skin_dose import SkinMap
from fluoroscope.geometry.table import PatientPosition
from fluoroscope.live.journal import Journal, JournalError, journal_in_use, recover_exam
from fluoroscope.live.loop import LiveLoop
from fluoroscope.live.spool import EventRecorder, Spool
from fluoroscope.live.subscription import LivePicture, PictureKind, Policy
from fluoroscope.monitor.control import RefusedError
from fluoroscope.records.coding import CoderProcess
from fluoroscope.records.contents import DoseCalibration, XARun
from fluoroscope.records.exam_store import ExamFolder, disk_room, exams_folder, is_open
from fluoroscope.records.identity import ExamIdentity
from fluoroscope.records.loading import load_records

__all__ = ["ExamRecording", "recover_exams"]

JOURNAL_NAME = "journal.jsonl"
SPOOL_NAME = "spool"
RECORDER_QUEUE = 64
ADVICE = "what was recorded is kept; free some space and start again"


@dataclass(slots=True)
class _Run:
    """A press whose pictures are in the spool, and later in an XA file only.

    ``facts`` are the frames without their pixels, so that what is known of each outlives the spool.
    """

    event: IrradiationEvent
    window: tuple[float, float]
    facts: tuple[Frame, ...]
    spool: Spool | None
    path: Path | None = None


class _PlayedRun:
    """A run to be played again, from the spool or from its XA file."""

    def __init__(self, run: _Run, position: PatientPosition) -> None:
        self._run, self._position = run, position
        first = run.facts[0].acquired_ns
        self._times_s = [(frame.acquired_ns - first) / 1e9 for frame in run.facts]
        self._held, self._clip = _held(run.spool), None
        if not self._held:
            if run.path is None:
                raise RefusedError(f"run {run.event.number} could not be recorded: see the messages")
            self._clip = read_clip(run.path)

    @property
    def times_s(self) -> Sequence[float]:
        """Time of each picture from the first, s."""
        return self._times_s

    def picture(self, index: int) -> ReferencePicture:
        """Return one picture."""
        run, frame = self._run, self._run.facts[index]
        pixels = self._clip.frame(index) if self._clip is not None else self._held[index].pixels
        label = f"run {run.event.number}, {run.event.started.astimezone():%H:%M:%S}"
        taken = taken_with(frame, self._position, label)
        return ReferencePicture(pixels, run.window, frame.pitch_mm, index, run.event.number, label, taken)

    def close(self) -> None:
        """Let go of the XA file."""
        if self._clip is not None:
            self._clip.close()


def _held(spool: Spool | None) -> Sequence[Frame]:
    """Return the frames of a spool, readable also when its XA file takes its place; none when it did already."""
    if spool is None:
        return ()
    try:
        spool.hold()
    except OSError:
        return ()
    return spool


class ExamRecording:
    """Keeps one exam: every pulse spooled while live, encoded as XA on release, the dose report at the end.

    Parameters
    ----------
    identity
        Whose exam, on which machine; simulated.
    details
        JSON-ready facts for the log.
    patient
        The patient part of the page's status.
    parent
        Folder of exams; the user's data folder when absent.
    calibration
        Of the KAP meter; None when it is not calibrated.

    Attributes
    ----------
    skin_result
        Gives the skin map of this exam when it is closed, for its patient dose record; None when there is none.
    estimates
        Gives what `dose_estimates.exam_estimates` gives, likewise.
    """

    def __init__(
        self,
        identity: ExamIdentity,
        details: Mapping[str, Any],
        patient: Mapping[str, Any],
        parent: Path | None = None,
        calibration: DoseCalibration | None = None,
    ) -> None:
        self.skin_result: Callable[[], SkinMap | None] | None = None
        self.estimates: Callable[[], Mapping[str, Any] | None] | None = None
        self._identity, self._patient, self._position = identity, dict(patient), identity.position
        parent = exams_folder() if parent is None else parent
        self._store = ExamFolder.create(parent, identity, details)
        self.folder = self._store.folder
        self.journal = Journal(self.folder / JOURNAL_NAME)
        try:
            if calibration is not None:
                self._store.calibrate(calibration)
            self.journal.exam(self.uid, self.started, REFERENCE_POINT_15_CM, {"patient": self._patient})
            (self.folder / SPOOL_NAME).mkdir()
        except OSError:
            self.discard()
            raise
        self._images: list[StoredImage] = []
        self._runs: dict[int, _Run] = {}
        self._events: dict[int, IrradiationEvent] = {}
        self._messages: list[tuple[str, str]] = []
        self._lock = threading.Lock()
        self._unlogged, self._report_asked, self._report_failed = 0, False, False
        self._recorder: EventRecorder | None = None
        self._work: queue.PriorityQueue[_Work] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._coder = CoderProcess()
        self._writer = threading.Thread(target=self._write, name="exam writer", daemon=True)
        self._writer.start()
        self._closed = False
        warning = disk_room(parent, disk_budget_bytes()).warning
        if warning is not None:
            self.say("warning", warning)

    # What the room asks

    @property
    def uid(self) -> str:
        """Study Instance UID."""
        return self._identity.study_uid

    @property
    def started(self) -> datetime:
        """UTC."""
        return self._identity.started

    @property
    def images(self) -> tuple[StoredImage, ...]:
        """The stored images, in order."""
        with self._lock:
            return tuple(self._images)

    @property
    def last_run_number(self) -> int | None:
        """Event number of the newest run, None before the first."""
        with self._lock:
            return max(self._runs, default=None)

    def patient_status(self) -> dict[str, Any]:
        """Return the patient part of the status."""
        return dict(self._patient)

    def run_status(self) -> list[dict[str, Any]]:
        """Return a line for every run."""
        with self._lock:
            return [
                {
                    "event_number": number,
                    "time": f"{run.event.started.astimezone():%H:%M:%S}",
                    "frames": len(run.facts),
                    "recorded": run.path is not None,
                }
                for number, run in sorted(self._runs.items())
            ]

    def played_run(self, event_number: int) -> _PlayedRun:
        """Return a run to be played again."""
        with self._lock:
            run = self._runs.get(event_number)
        if run is None:
            raise RefusedError(f"run {event_number} is not recorded in this exam")
        return _PlayedRun(run, self._position)

    def begin(self, loop: LiveLoop) -> None:
        """Record what ``loop`` publishes from now on."""
        subscription = loop.subscribe("recording", Policy.LOSSLESS, RECORDER_QUEUE)
        self._recorder = EventRecorder(subscription, self.folder / SPOOL_NAME, self._recorded)

    def discard(self) -> None:
        """Undo an exam that could not begin: nothing was exposed in it."""
        self.journal.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log_event(self, event: IrradiationEvent) -> None:
        """Take the dose of a press into the exam's log, in the writer's thread."""
        with self._lock:
            self._events[event.number] = event
            self._unlogged += 1
        self._do(_Urgency.DOSE, lambda: self._log(event))
        self._ask_for_report()

    def note(self, subject: str, facts: Any) -> None:
        """Keep JSON-ready facts (screening, budget, alerts) in the exam's log, in the writer's thread."""
        self._do(_Urgency.DOSE, lambda: self._store.note(subject, facts))

    def store_image(self, picture: LivePicture, taken: dict[str, Any]) -> StoredImage:
        """Keep a picture: at once in memory, on disk in the writer's thread."""
        if picture.event_number not in self._events:
            raise RefusedError("release the pedal first: an image is stored from the held picture or a finished run")
        with self._lock:
            stored = StoredImage.of(picture, len(self._images) + 1, taken)
            self._images.append(stored)
        self._do(_Urgency.IMAGE, lambda: self._write_image(stored, picture))
        return stored

    def say(self, level: str, text: str) -> None:
        """Leave a message for the page."""
        with self._lock:
            self._messages.append((level, text))

    def take_messages(self) -> list[tuple[str, str]]:
        """Return the messages left since the last call."""
        with self._lock:
            messages, self._messages = self._messages, []
        return messages

    def close(self) -> None:
        """Finish the records and write the dose report. May be called twice.

        What could not be written is said in the messages, stays in journal and spool, and is recovered at the next
        start.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
        try:
            if self._recorder is not None:
                self._recorder.close()
            self._do(_Urgency.END, None)
            self._writer.join()
            self._coder.close()
            if self._kept:
                self._finish()
        finally:
            with contextlib.suppress(OSError):
                self.journal.stop("exam closed")
            self.journal.close()
        _remove_if_empty(self.folder / SPOOL_NAME)
        if not self._kept:
            # Nobody pressed the pedal or took a needle: an empty exam is no record.
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _kept(self) -> bool:
        return bool(self._events) or holds_attempt(self.folder)

    def _finish(self) -> None:
        """Write the dose report, with every press in it or not at all."""
        try:
            logged = {one.event.uid for one in self._store.record.events}
            for event in self._events.values():
                if event.uid not in logged:
                    self._store.add_event(dose_event(event, self._position))
            self._store.close(datetime.now(UTC))
        except (OSError, ValueError) as fault:
            self.say("stop", f"the dose report is not written yet ({_one_line(fault)}): {ADVICE}")
            return
        try:
            self._write_patient_dose()
        except (OSError, ValueError, RuntimeError) as fault:
            self.say("warning", f"the patient's dose is not written ({_one_line(fault)}); the dose report is")

    def _write_patient_dose(self) -> None:
        found = None if self.skin_result is None else self.skin_result()
        if found is None:
            return
        from fluoroscope.app.dose.map_record import exam_patient_dose, peak_facts

        estimates = None if self.estimates is None else self.estimates()
        events = [self._events[number] for number in sorted(self._events)]
        dose = exam_patient_dose(found, events, estimates)
        self._store.add_patient_dose(dose, datetime.now(UTC))
        self._store.note("skin dose", peak_facts(dose))

    # The threads of the recorder and the writer

    def _recorded(self, event: IrradiationEvent, spool: Spool) -> None:
        nothing = np.zeros((1, 1), dtype=np.uint16)
        facts = tuple(replace(frame, pixels=nothing) for frame in spool)
        if not facts:
            return
        run = _Run(event, spool.window, facts, spool)
        with self._lock:
            self._runs[event.number] = run
        self._do(_Urgency.RUN, lambda: self._encode(run))

    def _do(self, urgency: "_Urgency", task: Callable[[], object] | None) -> None:
        self._work.put(_Work(urgency, next(self._numbers), task))

    def _write(self) -> None:
        load_records()
        while (task := self._work.get().task) is not None:
            try:
                task()
            except (OSError, ValueError) as fault:
                self.say("stop", f"a record is not written yet ({_one_line(fault)}): {ADVICE}")

    def _log(self, event: IrradiationEvent) -> None:
        try:
            self._store.add_event(dose_event(event, self._position))
        finally:
            with self._lock:
                self._unlogged -= 1

    def _ask_for_report(self) -> None:
        with self._lock:
            asked, self._report_asked = self._report_asked, True
        if not asked:
            self._do(_Urgency.DOSE, self._write_dose_so_far)

    def _write_dose_so_far(self) -> None:
        """Write the dose report of all presses so far; that it cannot be is said once, the journal has them too."""
        with self._lock:
            self._report_asked = False
        try:
            self._store.write_dose_so_far(datetime.now(UTC))
        except OSError:
            failed, self._report_failed = self._report_failed, True
            if not failed:
                raise
        else:
            self._report_failed = False
            if self._unlogged:  # presses that wait behind this one share the next report
                self._ask_for_report()

    def _encode(self, run: _Run) -> None:
        spool = run.spool
        if spool is None:
            return
        about = described_run(run.event, run.facts, run.window, self._position)
        run.path = self._store.save_run((frame.pixels for frame in spool), about, coder=self._coder)
        run.spool = None
        shutil.rmtree(spool.folder, ignore_errors=True)

    def _write_image(self, stored: StoredImage, picture: LivePicture) -> None:
        held = picture.kind is PictureKind.HOLD
        frame, event = picture.shown, self._events[picture.event_number]
        run = XARun(
            event,
            (frame.acquired_ns,),
            *picture.window,
            pitch_mm=frame.pitch_mm,
            angles=frame_angles([frame], self._position),
            tables=frame_tables([frame]),
            orientation=frame_orientation(frame, self._position),
            derivation="mean of the last frames (last image hold)" if held else "",
        )
        self._store.save_image(stored.pixels, run, markers=stored.markers)


class _Urgency(IntEnum):
    """What the writer does first: dose and its report, what was stored by hand, runs; and then it ends."""

    DOSE = 0
    IMAGE = 1
    RUN = 2
    END = 3


@dataclass(frozen=True, slots=True, order=True)
class _Work:
    urgency: _Urgency
    number: int
    task: Callable[[], object] | None = field(compare=False)


def _remove_if_empty(folder: Path) -> None:
    """Remove a spool folder unless it still holds a run that could not be encoded: that one is recovered later."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def recover_exams(parent: Path | None = None) -> list[str]:
    """Finish the exams whose program was killed: runs from their spools, dose from their journals.

    Returns
    -------
    list of str
        A sentence for every exam that was recovered, or that could not be.
    """
    parent = exams_folder() if parent is None else parent
    if not parent.is_dir():
        return []
    told = []
    for folder in sorted(parent.iterdir()):
        if _is_unfinished(folder) and not journal_in_use(folder / JOURNAL_NAME):
            try:
                told += _recover(folder)
            except (OSError, ValueError) as fault:
                told.append(f"exam {folder.name} could not be recovered: {_one_line(fault)}")
    return told


def _is_unfinished(folder: Path) -> bool:
    if not (folder / JOURNAL_NAME).is_file():
        return False
    return is_open(folder) or any((folder / SPOOL_NAME).glob("event-*"))


def _recover(folder: Path) -> list[str]:
    store = ExamFolder.open(folder)
    for unfinished in folder.glob(".*.partial"):
        unfinished.unlink(missing_ok=True)
    spools = sorted((folder / SPOOL_NAME).glob("event-*"))
    try:
        exam = recover_exam(folder / JOURNAL_NAME)
    except JournalError:
        if spools:
            raise
        exam = None
    if exam is None or (not exam.events and not spools):
        if not store.record.events:
            if holds_attempt(folder):
                store.close(store.record.identity.started, complete=False)
                return [f"exam {folder.name} was cut short before its first press: the record of the hand is kept"]
            # Ended before the first press: nothing was exposed.
            shutil.rmtree(folder, ignore_errors=True)
            return []
        # The journal is lost, the log is not: what it knows is kept.
        store.close(max(one.event.ended for one in store.record.events), complete=False)
        return [f"exam {folder.name} was cut short and its journal is lost: {len(store.record.events)} presses kept"]
    position = store.record.identity.position
    logged = {one.event.uid for one in store.record.events}
    for event in exam.events:
        if event.uid not in logged:
            store.add_event(dose_event(event, position))
    frames = sum(_recover_run(store, spool, exam.events, position) for spool in spools)
    store.close(max((event.ended for event in exam.events), default=exam.started), complete=exam.closed)
    _remove_if_empty(folder / SPOOL_NAME)
    return [
        f"exam {folder.name} was cut short and is recovered: {len(exam.events)} presses, "
        f"{frames} frames saved from the spool"
    ]


def _recover_run(store: ExamFolder, folder: Path, events: Sequence[IrradiationEvent], position: PatientPosition) -> int:
    """Write the run of one spool unless that was done; return its frames. A spool nobody pressed for is kept."""
    spool = Spool.open(folder)
    frames = list(spool)
    if frames:
        event = next((one for one in events if one.uid == frames[0].event_uid), None)
        if event is None:
            return 0
        if store.run_path(event.number).exists():
            frames = []
        else:
            # Either may be torn: the event counts the journal's pulses, the run holds the spool's.
            about = described_run(event, frames, spool.window, position)
            store.save_run((frame.pixels for frame in spool), about)
    shutil.rmtree(folder, ignore_errors=True)
    return len(frames)


def disk_budget_bytes() -> int | None:
    """Return what exams may take, from ``FLUOROSCOPE_DISK_BUDGET_GB`` (50 unless set, 0 for no limit).

    Raises
    ------
    ValueError
        When the variable is not a number.
    """
    text = os.environ.get("FLUOROSCOPE_DISK_BUDGET_GB", "50")
    try:
        budget_gb = float(text)
    except ValueError:
        raise ValueError(f"FLUOROSCOPE_DISK_BUDGET_GB={text}: give a number of GB, 0 for no limit") from None
    return round(budget_gb * 1e9) if budget_gb > 0.0 else None


def _one_line(fault: Exception) -> str:
    return " ".join(str(fault).split())
