"""Plans made beside the room: one request at a time, and what is told of the paths found."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fluoroscope.app.guidance.live_path import LivePath
from fluoroscope.app.guidance.live_planning import PlanJob, PlanMade, made_beside, path_of
from fluoroscope.app.guidance.live_slices import PathSlice
from fluoroscope.geometry.carm import CArmModel
from fluoroscope.geometry.table import PatientPosition
from fluoroscope.guidance.planning import PROCEDURES, Trajectory
from fluoroscope.patient.library import Patient

__all__ = ["Chosen", "Plans", "Request"]

_log = logging.getLogger(__name__)

_NEAR_MM = 40.0


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for."""

    procedure: str
    level: str
    side: str = ""

    def status(self) -> dict[str, Any]:
        """Return it for the page."""
        return {
            "procedure": self.procedure,
            "label": PROCEDURES[self.procedure].title,
            "level": self.level,
            "side": self.side or None,
        }


@dataclass(frozen=True, slots=True)
class Chosen:
    """The path that was chosen, with the CT cut along it."""

    index: int
    path: LivePath
    trajectory: Trajectory
    slices: tuple[PathSlice, ...] = field(default=())


class Plans:
    """Holds the request, the paths found and the one chosen. Safe for several threads.

    Parameters
    ----------
    changed
        Called when planning has ended.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._lock = threading.RLock()
        self._round = 0
        self._thread: threading.Thread | None = None
        self.clear()

    def clear(self) -> None:
        """Forget request and paths; what is being planned is not kept."""
        with self._lock:
            self._round += 1
            self.request: Request | None = None
            self.planning: dict[str, Any] | None = None
            self.trouble = ""
            self.made = PlanMade()
            self.rows: Sequence[dict[str, Any]] = []
            self.chosen: Chosen | None = None

    def make(self, patient: Patient, request: Request, carm: CArmModel, position: PatientPosition) -> None:
        """Begin to plan; the best path found is then the one chosen."""
        self.clear()
        job = PlanJob(patient, request.procedure, request.level, request.side, carm, position)
        with self._lock:
            self.request = request
            self.planning = {"text": f"{PROCEDURES[request.procedure].title}, {request.level}", "fraction": None}
            self._thread = threading.Thread(target=self._plan, args=(self._round, job), name="planning", daemon=True)
            self._thread.start()

    def join(self) -> None:
        """Wait for what is being planned."""
        if self._thread is not None:
            self._thread.join()

    def choose(self, index: int) -> None:
        """Choose one of the paths.

        Raises
        ------
        ValueError
            When there is none of this index.
        """
        with self._lock:
            found = self.made.trajectories
            if not found:
                raise ValueError(f"path {index + 1}: none is planned; plan first")
            if not 0 <= index < len(found):
                raise ValueError(f"path {index + 1}: there are only {len(found)}")
            self.chosen = Chosen(index, path_of(found[index]), found[index], self.made.slices[index])

    def _plan(self, turn: int, job: PlanJob) -> None:
        try:
            made = made_beside(job)
            rows = [_row(index, one) for index, one in enumerate(made.trajectories)]
        except Exception as fault:  # noqa: BLE001 - whatever breaks off planning, the page is told and may plan again
            _log.exception("planning broke off")
            made, rows = (
                PlanMade(trouble=f"planning broke off: {' '.join(str(fault).split()) or type(fault).__name__}"),
                [],
            )
        with self._lock:
            if turn != self._round:
                return
            self.made, self.trouble, self.planning = made, made.trouble, None
            self.rows = rows
            if made.trajectories:
                self.choose(0)
        self._changed()


def _row(index: int, one: Trajectory) -> dict[str, Any]:
    side = f", {one.side}" if one.side else ""
    gaps = sorted((gap, name) for name, gap in one.clearances_mm.items() if gap is not None and gap < _NEAR_MM)
    return {
        "index": index,
        "name": f"{one.approach}{side}",
        "needle": one.needle.name,
        "needle_label": one.needle.title,
        "depth_mm": round(one.depth_mm, 1),
        "score": round(one.score.total, 3),
        "clearances": [{"structure": name.replace("_", " "), "mm": round(gap, 1)} for gap, name in gaps[:5]],
        "coaxial_text": one.coaxial.text,
        "notes": list(one.warnings),
    }
