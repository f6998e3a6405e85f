"""The registry behind a room: asked and told in a thread of its own, so that neither X-ray nor page waits for it."""

import queue
import threading
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fluoroscope.monitor.control import RefusedError
from fluoroscope.records.identity import PatientIdentity

if TYPE_CHECKING:  # a room opens two seconds sooner without the database's libraries
    from fluoroscope.app.dose_memory import DoseMemory
    from fluoroscope.registry.keeping import Estimates

__all__ = ["RoomHistory"]

AGAIN_AFTER_S = 30.0
"""A registry that did not answer is asked again after so long."""

SHOWN = ("known", "patient_id", "exams", "since", "cumulative", "last", "unknown", "lines")
"""What the page is told of a history, beside ``outside`` and ``trouble``; not every exam by itself."""

SHOWN_OF_LAST = ("date", "procedure", "air_kerma_mgy", "kap_gy_cm2", "fluoroscopy_time_s")


class RoomHistory:
    """Hands on what a `DoseMemory` knows. Safe from several threads; only the commands wait for the registry.

    Parameters
    ----------
    memory
        Gives what knows the registry; called once, in the thread, when there is something to ask.
    tell
        Takes (level, text) for the operator.
    again_after_s
        Time after which a registry that did not answer is asked again.
    """

    COMMANDS = ("outside_add", "outside_remove")

    def __init__(
        self, memory: "Callable[[], DoseMemory]", tell: Callable[[str, str], None], again_after_s: float = AGAIN_AFTER_S
    ) -> None:
        self._open, self._tell, self._again_after_s = memory, tell, again_after_s
        self._patient: PatientIdentity | None = None
        self._told: dict[str, Any] | None = None
        self._missed = ""
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="dose history", daemon=True)
        self._thread.start()

    def begin(self, patient: PatientIdentity) -> None:
        """Show another patient's history, as soon as the registry has told it."""
        self._patient, self._told = patient, None
        self._work.put(lambda: self._ask(patient))

    def keep(self, folder: Path, estimates: "Estimates") -> None:
        """Keep the exam in ``folder``, whose dose report is written; what fails is said and tried again."""
        self._work.put(lambda: self._kept(self._memory.keep_exam(folder, estimates)))

    def keep_waiting(self, parent: Path | None) -> None:
        """Keep what former runs could not hand over."""
        self._work.put(lambda: self._kept(*self._memory.keep_waiting(parent)))

    def status(self) -> dict[str, Any] | None:
        """Return the part ``history`` of the status; None until the registry was asked."""
        return self._told

    def close(self) -> None:
        """Hand over what is left and let go of the registry."""
        self._work.put(None)
        self._thread.join()
        if "_memory" in vars(self):
            self._memory.close()

    @cached_property
    def _memory(self) -> "DoseMemory":
        return self._open()

    # Commands of the page

    def outside_add(self, **told: Any) -> Mapping[str, Any]:
        """Keep what the patient tells of an exposure elsewhere."""
        return self._changed(lambda: self._memory.outside_add(**told))

    def outside_remove(self, **chosen: Any) -> Mapping[str, Any]:
        """Take an exposure elsewhere back."""
        return self._changed(lambda: self._memory.outside_remove(**chosen))

    def _changed(self, change: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        now = self._told
        if now is None or now["trouble"]:
            raise RefusedError("the registry does not answer: note it on paper and add it when it does")
        result = change()
        self._take()
        return result

    # The thread

    def _run(self) -> None:
        while True:
            try:
                task = self._work.get(timeout=self._again_after_s)
            except queue.Empty:
                self._ask_again()
                continue
            if task is None:
                return
            task()

    def _ask(self, patient: PatientIdentity) -> None:
        if patient is not self._patient:
            return
        self._memory.begin(patient)
        self._take()

    def _ask_again(self) -> None:
        patient, now = self._patient, self._told
        if patient is None or now is None or not (now["trouble"] or self._missed):
            return
        self._ask(patient)
        now = self._told
        if now is not None and not now["trouble"]:
            self._missed = ""
            self._kept(*self._memory.keep_waiting())

    def _take(self) -> None:
        known = self._memory.status()
        if known is None or self._patient is None or known["patient_id"] != self._patient.patient_id:
            return
        trouble = str(known.get("error") or "")
        shown = {name: known[name] for name in SHOWN}
        last = shown["last"]
        shown["last"] = None if last is None else {name: last.get(name) for name in SHOWN_OF_LAST}
        self._told = shown | {"outside": known["outside"], "trouble": trouble}
        if trouble:
            self._told["lines"] = []

    def _kept(self, *lines: str) -> None:
        """Say each line once; what is missing is tried again with the next question."""
        for line in lines:
            if line and line != self._missed:
                self._missed = line
                self._tell("warning", line)
        self._take()
