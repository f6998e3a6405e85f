"""The journal of an exam: an append-only file of JSON lines that survives the program.

Every line ends with a CRC of itself and goes to the operating system before the next pulse: a killed program
loses nothing. The disk is told to keep it (fsync) at every event boundary and twice a second, so a power cut
loses at most half a second. A torn last line is left out when reading.
"""

import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from fluoroscope.acquisition.event import IrradiationEvent
from fluoroscope.acquisition.frame import Frame
from fluoroscope.acquisition.protocols import SourceInfo
from fluoroscope.beam.technique import Technique
from fluoroscope.dose.ledger import Calibration, DoseStatus, KermaLedger
from fluoroscope.live.encoding import (
    Json,
    collimation_from_json,
    decode_line,
    encode_line,
    event_from_json,
    event_to_json,
    kerma_from_json,
    optional_json,
    pose_from_json,
    table_from_json,
    technique_from_json,
    technique_to_json,
)
from fluoroscope.live.irradiation import IrradiationBuilder

__all__ = [
    "Journal",
    "JournalError",
    "JournalReading",
    "RecoveredExam",
    "journal_in_use",
    "read_journal",
    "recover_exam",
]

SYNC_INTERVAL_S = 0.5


class JournalError(ValueError):
    """A file is not the journal of an exam: empty, or its first line is missing or damaged."""


class Journal:
    """Writes the journal of one exam. Safe from several threads.

    Parameters
    ----------
    path
        A new file.

    Raises
    ------
    FileExistsError
        When the file exists: a journal is never written over.
    OSError
        When the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        _lock_file(self._file)
        self._lock = threading.Lock()
        self._length = 0
        self._sequence = 0
        self._closed = False
        self._failure: OSError | None = None
        self._dirty = threading.Event()
        self._ended = threading.Event()
        self._syncer = threading.Thread(target=self._sync_now_and_then, name="journal sync", daemon=True)
        self._syncer.start()

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def closed(self) -> bool:
        """Whether it takes no more lines."""
        with self._lock:
            return self._closed

    def exam(self, uid: str, started: datetime, reference_point: str, about: Mapping[str, Any]) -> None:
        """Write the first line; ``about`` holds what JSON can say of patient, source and versions."""
        self.append(
            "exam",
            {"uid": uid, "started": started.isoformat(), "reference_point": reference_point, **about},
        )
        self.sync()

    def press(
        self,
        uid: str,
        number: int,
        started: datetime,
        pressed_ns: int,
        technique: Technique,
        source: SourceInfo,
    ) -> None:
        """Write that the pedal went down."""
        self.append(
            "press",
            {
                "event_uid": uid,
                "number": number,
                "started": started.isoformat(),
                "pressed_ns": pressed_ns,
                "technique": technique_to_json(technique),
                "source": source.name,
                "provenance": source.provenance.value,
            },
        )

    def frame(self, frame: Frame, dropped_pulses: int) -> None:
        """Write one frame without its pixels, and how many pulses of the event were dropped before it."""
        self.append(
            "frame",
            {
                "uid": frame.uid,
                "event_uid": frame.event_uid,
                "index": frame.index,
                "acquired_ns": frame.acquired_ns,
                "rows": frame.pixels.shape[0],
                "columns": frame.pixels.shape[1],
                "pitch_mm": frame.pitch_mm,
                "dropped": dropped_pulses,
                "technique": technique_to_json(frame.technique),
                "kerma": optional_json(frame.kerma),
                "pose": optional_json(frame.pose),
                "table": optional_json(frame.table),
                "collimation": optional_json(frame.collimation),
            },
        )

    def irradiation(self, event: IrradiationEvent | None, event_uid: str, released_ns: int) -> None:
        """Write that the pedal went up and what the press gave (None: no pulse)."""
        self.append(
            "irradiation",
            {
                "event_uid": event_uid,
                "released_ns": released_ns,
                "event": None if event is None else event_to_json(event),
            },
        )

    def note(self, text: str, data: Mapping[str, Any] | None = None) -> None:
        """Write a remark: a stored image, a fault, an acknowledged signal."""
        self.append("note", {"text": text, **(data or {})})

    def stop(self, reason: str) -> None:
        """Write the last line: the exam was closed; on the disk when this returns."""
        self.append("stop", {"reason": reason})
        self.sync()

    def append(self, kind: str, data: Mapping[str, Any]) -> None:
        """Write one line of ``kind``.

        Raises
        ------
        OSError
            When the line could not be written whole (it is taken back), or when an earlier sync failed.
        ValueError
            When the journal is closed, or ``data`` holds what JSON cannot say.
        """
        with self._lock:
            if self._closed:
                raise ValueError(f"journal {self._path} is closed: open a new exam")
            if self._failure is not None:
                # Told once: the next line may find the disk mended.
                failure, self._failure = self._failure, None
                raise failure
            line = encode_line({"n": self._sequence, "type": kind, **data})
            try:
                written = os.write(self._file, line)
            except OSError as error:
                raise OSError(error.errno, f"journal: {os.strerror(error.errno or 0)}", str(self._path)) from error
            if written != len(line):
                os.ftruncate(self._file, self._length)
                raise OSError(f"journal {self._path}: the disk took only part of a line; free some space")
            self._length += written
            self._sequence += 1
        self._dirty.set()

    def sync(self) -> None:
        """Wait until all lines are on the disk."""
        with self._lock:
            if not self._closed:
                self._dirty.clear()
                os.fsync(self._file)

    def close(self) -> None:
        """Sync and close. May be called twice."""
        self.sync()
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._ended.set()
        self._dirty.set()
        self._syncer.join()
        os.close(self._file)

    def _sync_now_and_then(self) -> None:
        while True:
            self._dirty.wait()
            if self._ended.wait(SYNC_INTERVAL_S):
                return
            self._dirty.clear()
            try:
                # Outside the lock: a slow disk must not hold up a pulse.
                os.fsync(self._file)
            except OSError as error:
                with self._lock:
                    self._failure = error


def _lock_file(descriptor: int) -> bool:
    """Take the file's lock, which the system gives back when the program ends; False when another has it."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def journal_in_use(path: Path) -> bool:
    """Whether a running program writes this journal: it must not be recovered yet. Always False on Windows.

    Raises
    ------
    OSError
        When the file cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return not _lock_file(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class JournalReading:
    """What a journal holds.

    Attributes
    ----------
    entries
        The whole lines, in order; each with ``n``, ``type`` and what belongs to it.
    torn_bytes
        Length of a last line that was not finished; 0 when the file ends cleanly.
    damaged_lines
        Lines before the last whose CRC is wrong: the disk's fault, not a crash's.
    """

    entries: tuple[Json, ...]
    torn_bytes: int
    damaged_lines: int


def read_journal(path: Path) -> JournalReading:
    """Read a journal, also one whose program was killed.

    Raises
    ------
    OSError
        When the file cannot be read.
    """
    content = path.read_bytes()
    *lines, tail = content.split(b"\n")
    entries, damaged = [], 0
    torn = len(tail)
    for number, line in enumerate(lines):
        entry = decode_line(line)
        if entry is not None:
            entries.append(entry)
        elif number == len(lines) - 1 and not tail:
            torn = len(line) + 1
        else:
            damaged += 1
    return JournalReading(tuple(entries), torn, damaged)


@dataclass(frozen=True, slots=True)
class RecoveredExam:
    """An exam as its journal tells it.

    Attributes
    ----------
    uid, started, about
        From the first line; ``about`` is the whole line.
    events
        The irradiation events in order; one whose end is missing ends with its last known pulse.
    interrupted_event_uid
        The event that was on when the program ended; None when all were released.
    frames
        How many frames are written.
    dose
        The exam's dose, replayed pulse by pulse; calibrated as its journal says, the events are as measured.
    closed
        Whether the exam was closed by the operator.
    torn_bytes, damaged_lines
        As in `JournalReading`.
    """

    uid: str
    started: datetime
    about: Json
    events: tuple[IrradiationEvent, ...]
    interrupted_event_uid: str | None
    frames: int
    dose: DoseStatus
    closed: bool
    torn_bytes: int
    damaged_lines: int


@dataclass(slots=True)
class _Replay:
    """The state of replaying a journal through a ledger; ``started`` is UTC at ``started_ns``, when known."""

    ledger: KermaLedger
    started: datetime
    started_ns: int | None = None
    events: list[IrradiationEvent] = field(default_factory=list)
    builder: IrradiationBuilder | None = None
    event_uid: str = ""
    frames_uid: str | None = None
    counted: bool = True
    dropped: int = 0
    frames: int = 0
    last_ns: int = 0

    def press(self, entry: Json) -> None:
        self.end()
        # A replayed recording makes no new radiation.
        self.counted = entry["provenance"] != "recorded"
        self.started, self.started_ns = datetime.fromisoformat(entry["started"]), entry["pressed_ns"]
        technique = technique_from_json(entry["technique"])
        self._begin(entry["event_uid"], entry["number"], self.started, entry["pressed_ns"], technique)

    def _press_lost(self, frame: Json) -> None:
        """Begin a press whose own line was damaged from its first frame: its dose and pictures count."""
        self.end()
        pressed_ns = frame["acquired_ns"]
        since_ns = 0 if self.started_ns is None else pressed_ns - self.started_ns
        started = self.started + timedelta(microseconds=since_ns / 1000)
        number = self.events[-1].number + 1 if self.events else 1
        self._begin(frame["event_uid"], number, started, pressed_ns, technique_from_json(frame["technique"]))

    def _begin(self, uid: str, number: int, started: datetime, pressed_ns: int, technique: Technique | None) -> None:
        self.event_uid, self.frames_uid = uid, None
        self.dropped, self.last_ns = 0, pressed_ns
        ledger = self.ledger if self.counted else None
        self.builder = IrradiationBuilder(uid, number, started, pressed_ns, technique, ledger)

    def frame(self, entry: Json) -> None:
        if self.builder is None or self.frames_uid not in (None, entry["event_uid"]):
            self._press_lost(entry)
        if self.builder is None:
            return
        self.frames_uid = entry["event_uid"]
        self.frames += 1
        self.dropped = entry["dropped"]
        self.last_ns = entry["acquired_ns"]
        self.builder.add(
            entry["acquired_ns"],
            technique_from_json(entry["technique"]),
            kerma_from_json(entry["kerma"]),
            pose_from_json(entry["pose"]),
            table_from_json(entry["table"]),
            collimation_from_json(entry["collimation"]),
        )

    def release(self, released_ns: int, event: IrradiationEvent | None) -> None:
        """End the press that is on; ``event`` is what the program wrote of it, else it is built again."""
        builder, self.builder = self.builder, None
        self.last_ns = released_ns
        if builder is not None and builder.pulses:
            rebuilt = builder.finish(released_ns, self.dropped)
            event = rebuilt if event is None else event
        elif builder is not None:
            builder.abandon(released_ns)
        if event is not None:
            self.events.append(event)

    def end(self) -> None:
        """End a press whose end is not told with its last known pulse."""
        if self.builder is not None:
            self.release(self.builder.last_known_ns, None)


def recover_exam(path: Path) -> RecoveredExam:
    """Return the exam of a journal: its events and its dose, exactly as they were when the program ended.

    Raises
    ------
    JournalError
        When the file is not the journal of an exam.
    OSError
        When it cannot be read.
    """
    reading = read_journal(path)
    if not reading.entries or reading.entries[0]["type"] != "exam":
        what = "its first line is missing or damaged" if path.stat().st_size else "it is empty"
        raise JournalError(f"{path} is not the journal of an exam: {what}")
    first = reading.entries[0]
    replay = _Replay(KermaLedger(first["reference_point"]), datetime.fromisoformat(first["started"]))
    closed = False
    for entry in reading.entries[1:]:
        kind = entry["type"]
        if kind == "press":
            replay.press(entry)
        elif kind == "frame":
            replay.frame(entry)
        elif kind == "irradiation":
            event = None if entry["event"] is None else event_from_json(entry["event"])
            replay.release(entry["released_ns"], event)
        elif kind == "five_minute_reset":
            replay.ledger.reset_five_minute_signal(entry["at_ns"])
        elif kind == "note" and isinstance(entry.get("calibration"), dict):
            told = entry["calibration"]
            replay.ledger.calibration = Calibration(float(told["factor"]), str(told["source"]))
        elif kind == "stop":
            closed = True
    interrupted = replay.event_uid if replay.builder is not None else None
    replay.end()
    return RecoveredExam(
        uid=first["uid"],
        started=datetime.fromisoformat(first["started"]),
        about=first,
        events=tuple(replay.events),
        interrupted_event_uid=interrupted,
        frames=replay.frames,
        dose=replay.ledger.snapshot(replay.last_ns),
        closed=closed,
        torn_bytes=reading.torn_bytes,
        damaged_lines=reading.damaged_lines,
    )
