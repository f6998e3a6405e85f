"""The registry behind a room: asked and told in a thread of its own, so that neither X-ray nor page waits for it."""

import queue
import threading
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fluoroscope.app.dose.told_exposures import TOLD_FOLDER, ToldExposures, ToldWaiting
from fluoroscope.monitor.control import RefusedError
from fluoroscope.records.exam_store import exams_folder
from fluoroscope.records.identity import PatientIdentity
from fluoroscope.records.loading import load_records

if TYPE_CHECKING:  # a room opens two seconds sooner without the database's libraries
    from fluoroscope.app.dose.memory import DoseMemory
    from fluoroscope.registry.keeping import Estimates
    from fluoroscope.registry.own_cases import OwnCases

__all__ = ["RoomHistory"]

AGAIN_AFTER_S = 30.0
"""A registry that did not answer is asked again after so long."""

SHOWN = ("known", "patient_id", "exams", "since", "cumulative", "last", "unknown", "lines")
"""What the page is told of a history, beside ``outside`` and ``trouble``; not every exam by itself."""

SHOWN_OF_LAST = ("date", "procedure", "air_kerma_mgy", "kap_gy_cm2", "fluoroscopy_time_s")


_WORDS = ("body_part", "place", "when")

_NOT_ASKED: Mapping[str, Any] = {
    "known": False, "exams": 0, "since": None,
    "cumulative": dict.fromkeys(
        ("air_kerma_mgy", "kap_gy_cm2", "fluoroscopy_time_s", "effective_msv", "peak_skin_mgy")
    ),
    "last": None, "unknown": [], "lines": [], "outside": [], "trouble": "It has not answered yet.",
}  # fmt: skip


class RoomHistory:
    """Hands on what a `DoseMemory` knows. Safe from several threads; nobody waits for the registry.

    What the patient tells goes to a file first, and from there to the registry as soon as it answers.

    Parameters
    ----------
    memory
        Gives what knows the registry; called once, in the thread, when there is something to ask.
    tell
        Takes (level, text) for the operator.
    again_after_s
        Time after which a registry that did not answer is asked again.
    take_cases
        Takes the room's own exams of a procedure, when they are known or have changed.
    """

    COMMANDS = ("outside_add", "outside_remove")

    def __init__(
        self,
        memory: "Callable[[], DoseMemory]",
        tell: Callable[[str, str], None],
        again_after_s: float = AGAIN_AFTER_S,
        take_cases: "Callable[[str, OwnCases], None] | None" = None,
    ) -> None:
        self._open, self._tell, self._again_after_s = memory, tell, again_after_s
        self._exams = exams_folder()
        self._waiting = ToldExposures(self._exams / TOLD_FOLDER)
        self._take_cases = take_cases
        self._cases_of: tuple[str, bool] | None = None
        self._patient: PatientIdentity | None = None
        self._told: dict[str, Any] | None = None
        self._missed = False
        self._said: set[str] = set()
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="dose history", daemon=True)
        self._thread.start()

    def begin(self, patient: PatientIdentity, exams: Path | None = None) -> None:
        """Show another patient's history, as soon as the registry has told it.

        What he tells waits beside the exams in the folder ``exams``; in the user's when absent.
        """
        self._use_folder(exams_folder() if exams is None else exams)
        self._patient, self._told = patient, None
        self._work.put(lambda: self._ask(patient))

    def keep(self, folder: Path, estimates: "Estimates") -> None:
        """Keep the exam in ``folder``, whose dose report is written; what fails is said and tried again."""
        self._work.put(lambda: self._keep(folder, estimates))

    def keep_waiting(self, exams: Path | None) -> None:
        """Keep what former runs could not hand over; see `begin` for ``exams``."""
        self._use_folder(exams_folder() if exams is None else exams)
        self._work.put(self._keep_what_waits)

    def follow_cases(self, procedure: str, *, simulated: bool) -> None:
        """Hand the room's own exams of another procedure on; "" is none."""
        self._cases_of = (procedure, simulated) if procedure else None
        self._work.put(self._ask_cases)

    def status(self) -> dict[str, Any] | None:
        """Return the part ``history`` of the status; None until the registry was asked, or something was told."""
        patient, told = self._patient, self._told
        waiting = [] if patient is None else [one for one in self._waiting.waiting() if _of(one.patient, patient)]
        if told is None:
            if patient is None or not waiting:
                return None
            told = {"patient_id": patient.patient_id, **_NOT_ASKED}
        gone = {one.uid for one in waiting if one.removed}
        here = [{**one, "waiting": False} for one in told["outside"] if one["id"] not in gone]
        ids = {one["id"] for one in told["outside"]}
        more = [one.row() for one in waiting if one.told is not None and not one.removed and one.uid not in ids]
        shown = {**told, "outside": here + more}
        if told["trouble"] and waiting:
            shown["trouble"] = f"{told['trouble'].rstrip('.')}. Not yet in the registry: {_counted(waiting)}."
        return shown

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

    def outside_add(
        self, *, kind: str, body_part: str = "", place: str = "", when: str = "", confirmed: bool = False, by: str = ""
    ) -> Mapping[str, Any]:
        """Keep what the patient on the table tells of an exposure elsewhere; the registry gets it when it answers."""
        patient = self._on_the_table()
        told = {"kind": kind, "body_part": body_part, "place": place, "when": when, "confirmed": bool(confirmed)}
        # What cannot be kept is refused while the one who types it is there. The exam's writer loads pydicom meanwhile.
        load_records()
        from fluoroscope.app.dose.memory import check_told

        try:
            check_told(told)
            uid = self._waiting.add(patient, told, by)
        except ValueError as fault:
            raise RefusedError(str(fault)) from fault
        except OSError as fault:
            raise RefusedError(f"it cannot be kept ({fault}): note it on paper") from fault
        self._work.put(self._hand_over)
        return {"id": uid}

    def outside_remove(self, *, id: int, by: str = "", why: str = "") -> Mapping[str, Any]:
        """Take an exposure elsewhere of the patient on the table back."""
        patient = self._on_the_table()
        now = self.status()
        if now is None or id not in {one["id"] for one in now["outside"]}:
            raise RefusedError(f"exposure {id} is not among those of the patient on the table")
        try:
            self._waiting.take_back(patient, id, by or "the operator", why or "taken back in the room")
        except OSError as fault:
            raise RefusedError(f"it cannot be kept ({fault}): note it on paper") from fault
        self._work.put(self._hand_over)
        return {}

    def _use_folder(self, exams: Path) -> None:
        folder = exams / TOLD_FOLDER
        if self._waiting.folder != folder:
            self._exams, self._waiting = exams, ToldExposures(folder)

    def _on_the_table(self) -> PatientIdentity:
        if self._patient is None:
            raise RefusedError("no patient is on the table")
        return self._patient

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
        self._ask_cases()

    def _ask_cases(self) -> None:
        wanted = self._cases_of
        if wanted is None or self._take_cases is None:
            return
        procedure, simulated = wanted
        self._take_cases(procedure, self._memory.own_cases(procedure, simulated=simulated))

    def _hand_over(self) -> None:
        if self._waiting.waiting():
            self._kept(*self._handed_over())

    def _handed_over(self) -> list[str]:
        """Hand over what waits; it is forgotten here only when the history that is shown has it."""
        waiting = self._waiting
        lines, done = self._memory.hand_over(waiting)
        self._take()
        for one in done:
            waiting.handed_over(one)
        return lines

    def _keep_what_waits(self) -> None:
        lines = [*self._memory.keep_waiting(self._exams), *self._handed_over()]
        if not lines:
            self._missed = False
            self._said.clear()
        self._kept(*lines)
        self._ask_cases()

    def _keep(self, folder: Path, estimates: "Estimates") -> None:
        self._kept(self._memory.keep_exam(folder, estimates))
        self._ask_cases()

    def _ask_again(self) -> None:
        patient, now = self._patient, self._told
        if patient is None or now is None or not (now["trouble"] or self._missed or self._waiting.waiting()):
            return
        self._ask(patient)
        now = self._told
        if now is not None and not now["trouble"]:
            self._keep_what_waits()

    def _take(self) -> None:
        known = self._memory.status()
        if known is None or self._patient is None or known["patient_id"] != self._patient.patient_id:
            return
        trouble = str(known.get("error") or "")
        shown = {name: known[name] for name in SHOWN}
        last = shown["last"]
        shown["last"] = None if last is None else {name: last.get(name) for name in SHOWN_OF_LAST}
        # What was told here goes by the UID it had while it waited: a row that is shown keeps its id.
        outside = [
            {**one, "id": int(one.get("uid") or one["id"])} | {name: one.get(name) or "" for name in _WORDS}
            for one in known["outside"]
        ]
        self._told = shown | {"outside": outside, "trouble": trouble} | ({"lines": []} if trouble else {})

    def _kept(self, *lines: str) -> None:
        """Say each line once; what is missing is tried again with the next question."""
        for line in lines:
            if line and line not in self._said:
                self._said.add(line)
                self._tell("warning", line)
            self._missed = self._missed or bool(line)
        self._take()


def _counted(waiting: list[ToldWaiting]) -> str:
    """Say how many exposures wait to be added, and how many to be taken back."""
    back = sum(one.removed for one in waiting)
    added = len(waiting) - back
    told = f"{added} exposure{'' if added == 1 else 's'} told here" if added else ""
    return ", ".join(part for part in (told, f"{back} taken back" if back else "") if part)


def _of(one: PatientIdentity, other: PatientIdentity) -> bool:
    return (one.patient_id, one.birth_date) == (other.patient_id, other.birth_date)
