"""What the hand did and where the needle went, as a file of its own beside the exam's journal.

``hand.jsonl`` is ground truth: a side channel that no algorithm reads. It is written as the journal is, a line at a
time: a killed program loses nothing. Lines: ``hand`` (who, where, which scenario), ``command``, ``needle``, ``touch``,
``contrast``, ``end``. Points are LPS mm of the patient at rest.
"""

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fluoroscope.app.room_scene import RoomScene
from fluoroscope.evaluation.training_attempt import Moment, Touch
from fluoroscope.geometry.rigid import Matrix, apply, inverse
from fluoroscope.live.journal import Journal, read_journal
from fluoroscope.patient.instruments.needle import NeedleTruth
from fluoroscope.patient.parts import REST

__all__ = ["HAND_NAME", "AtBedside", "HandRecorder", "NeedleWatch", "holds_attempt"]

HAND_NAME = "hand.jsonl"
NEEDLE = "needle"
_CONTRAST = ("inject", "inject_stop", "needle_remove")


def holds_attempt(folder: Path) -> bool:
    """Whether the exam of a folder is an exercise in which a needle was put in: it is kept without X-ray too."""
    try:
        entries = read_journal(folder / HAND_NAME).entries
    except OSError:
        return False
    return any(one.get("scenario") for one in entries[:1]) and any(one["type"] == "needle" for one in entries)


class NeedleWatch:
    """Turns what is done with the needle of a scene into moments and touches.

    Parameters
    ----------
    scene
        Whose needle called "needle" is watched.
    """

    def __init__(self, scene: RoomScene) -> None:
        self._scene = scene
        self._insertion = 0
        self._events = 0
        self._last: Moment | None = None

    def after(self, name: str, args: Mapping[str, Any], at_s: float) -> tuple[Moment | None, list[Touch], Matrix]:
        """Return the needle after a command, what it met newly, and the ``world_from_rest`` (4, 4) that carries it."""
        act = _act(name, args)
        if not act:
            return None, [], np.eye(4)
        living = self._scene.living
        frames = {} if living is None else living.frames_at(at_s)
        if act == "placed":
            self._insertion, self._events = self._insertion + 1, 0
        needles, _ = self._scene.field.truth(at_s, frames)
        found = next((one for one in needles if one.name == NEEDLE), None)
        if found is None:
            return self._taken(act, at_s), [], np.eye(4)
        carried = np.asarray(frames.get(found.frame, frames.get(REST, np.eye(4))), dtype=np.float64)
        moment = self._moment(found, act, at_s, inverse(carried))
        new = found.events[self._events :]
        self._events = len(found.events)
        self._last = moment
        touches = [Touch(at_s, self._insertion, one.what, one.structure, one.depth_mm, moment.tip_mm) for one in new]
        return moment, touches, carried

    def _moment(self, found: NeedleTruth, act: str, at_s: float, rest_from_world: Matrix) -> Moment:
        def rest(point: Any) -> tuple[float, float, float]:
            x, y, z = (round(float(part), 3) for part in apply(rest_from_world, point))
            return (x, y, z)

        way = rest_from_world[:3, :3] @ np.asarray(found.direction)
        x, y, z = (round(float(part), 6) for part in way)
        return Moment(
            round(at_s, 3), self._insertion, act, round(found.depth_mm, 3), rest(found.entry_mm), rest(found.tip_mm),
            (x, y, z), found.tissue, found.structure, found.opening_tissue, found.returns,
            tuple(rest(point) for point in found.path_mm),
        )  # fmt: skip

    def _taken(self, act: str, at_s: float) -> Moment | None:
        last, self._last = self._last, None
        if last is None:
            return None
        entry = last.entry_mm
        return Moment(round(at_s, 3), last.insertion, "removed", 0.0, entry, entry, last.direction)


def _act(name: str, args: Mapping[str, Any]) -> str:
    """Return the act of a command of the page, "" for one that does nothing with the needle."""
    plain = {
        "needle_place": "placed", "needle_stylet": "stylet", "needle_remove": "removed", "inject": "injected",
    }  # fmt: skip
    if name != "needle_move":
        return plain.get(name, "")
    advance_mm = float(args.get("advance_mm") or 0.0)
    if advance_mm:
        return "pushed" if advance_mm > 0.0 else "pulled"
    return "steered" if args.get("steer_x_deg") or args.get("steer_y_deg") else "rotated"


class AtBedside(Protocol):
    """What the recorder asks of a bedside."""

    @property
    def now_s(self) -> float:
        """The scene's time."""
        ...

    @property
    def scene(self) -> RoomScene:
        """Of the patient on the table."""
        ...


class HandRecorder:
    """Writes what the hand does in one exam after another. Safe from several threads.

    Parameters
    ----------
    bedside
        Of the patient on the table.
    now_ns
        Monotonic time, ns: that of the journal's frames.
    """

    def __init__(self, bedside: AtBedside, now_ns: Callable[[], int]) -> None:
        self._bedside, self._now_ns = bedside, now_ns
        self._lock = threading.Lock()
        self._file: Journal | None = None
        self._say: Callable[[str, str], None] = lambda *_: None
        self._began_s = 0.0

    def begin(self, folder: Path, about: Mapping[str, Any], say: Callable[[str, str], None]) -> None:
        """Go on with the exam of ``folder``; ``about`` is the first line's, ``say`` takes (level, text) of a fault."""
        self.end()
        with self._lock:
            self._say = say
            self._began_s = self._bedside.now_s
            self._watch = NeedleWatch(self._bedside.scene)
            try:
                self._file = Journal(folder / HAND_NAME)
                self._write("hand", {**about, "began_s": round(self._began_s, 3)})
                self._file.sync()
            except OSError as fault:
                self._give_up(fault)

    @property
    def elapsed_s(self) -> float:
        """Time since the exam began."""
        return self._bedside.now_s - self._began_s

    def done(self, name: str, args: Mapping[str, Any]) -> None:
        """Take note of a command that was carried out."""
        with self._lock:
            if self._file is None:
                return
            at_s = self._bedside.now_s
            moment, touches, carried = self._watch.after(name, args, at_s)
            try:
                self._write("command", {"at_s": round(at_s, 3), "name": name, "args": dict(args)})
                if moment is not None:
                    moved = [[round(float(value), 6) for value in row] for row in carried]
                    self._write("needle", {**asdict(moment), "world_from_rest": moved})
                for touch in touches:
                    self._write("touch", asdict(touch))
                if name in _CONTRAST:
                    self._contrast(at_s)
            except (OSError, ValueError) as fault:
                self._give_up(fault)

    def end(self, reason: str = "closed") -> None:
        """Finish the file of the exam; nothing happens when none is open."""
        with self._lock:
            if self._file is None:
                return
            at_s = self._bedside.now_s
            with contextlib.suppress(OSError, ValueError):
                self._contrast(at_s)
                self._write("end", {"at_s": round(at_s, 3), "reason": reason})
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    def _contrast(self, at_s: float) -> None:
        _, places = self._bedside.scene.field.truth(at_s)
        flows = [
            {"pattern": one["pattern"], "structure": one["structure"], "volume_ml": round(one["injected_ml"], 4)}
            for one in places.values()
        ]
        self._write("contrast", {"at_s": round(at_s, 3), "flows": flows})

    def _write(self, kind: str, data: Mapping[str, Any]) -> None:
        if self._file is not None:
            self._file.append(kind, {"at_ns": self._now_ns(), **data})

    def _give_up(self, fault: Exception) -> None:
        """Let the room go on without the record of the hand, and say so."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()
        words = " ".join(str(fault).split())
        self._say("warning", f"what the hand does is not recorded any more ({words}): the attempt cannot be scored")
