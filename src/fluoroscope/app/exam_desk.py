"""The exam that is open, and how the next one is: of another patient, lying otherwise, of one who is made first."""

import threading
from collections.abc import Callable
from typing import Any

from fluoroscope.app.exam import Exam
from fluoroscope.app.messages import Messages
from fluoroscope.app.recipe_form import read_recipe
from fluoroscope.app.room_parts import NextExam, RoomParts
from fluoroscope.app.terminal import Progress
from fluoroscope.geometry.table import PatientPosition
from fluoroscope.live.states import LiveState
from fluoroscope.monitor.control import RefusedError
from fluoroscope.patient.anatomy.parameters import PatientParameters

__all__ = ["ExamDesk"]


class ExamDesk:
    """Opens and closes exams in threads of their own: commands return within 50 ms.

    Parameters
    ----------
    parts
        Of the room.
    exam
        The first one.
    messages
        What goes wrong is said there.
    clear
        Empties the monitors, when the exam has changed.
    in_patient
        What is in the patient, in a word; "" for nothing.

    Attributes
    ----------
    exam
        The one that is open, or the last one when none is.
    busy
        What is going on, in words for the operator; "" for nothing.
    none_open
        Why no exam is open; "" when one is.
    making
        How far a patient is made: ``text`` and ``fraction``; None while nobody is.
    """

    def __init__(
        self,
        parts: RoomParts,
        exam: Exam,
        messages: Messages,
        clear: Callable[[], None],
        in_patient: Callable[[], str],
    ) -> None:
        self._parts, self.exam, self._messages = parts, exam, messages
        self._clear, self._in_patient = clear, in_patient
        self.busy, self.none_open = "", ""
        self.making: dict[str, Any] | None = None
        self._changing: threading.Thread | None = None
        self._closed = threading.Event()
        self._say_pregnancy()

    def close(self) -> None:
        """Wait for an exam that is being opened; nothing is begun any more."""
        self._closed.set()
        if self._changing is not None:
            self._changing.join()

    def refuse_while_busy(self) -> None:
        """Raise `RefusedError` while an exam is being opened."""
        if self.busy:
            raise RefusedError(self.busy)

    # Commands

    def close_exam(self) -> None:
        """Write the dose report and open a new exam."""
        self._begin_exam(NextExam(), "closing the exam: one moment")

    def set_patient(self, *, name: str) -> None:
        """Open the exam of another patient."""
        rows = {row["name"]: row for row in self._parts.patients()}
        if name not in rows:
            raise RefusedError(f"patient {name} is not among those that can be chosen here")
        if not rows[name]["available"]:
            raise RefusedError(f"patient {name} is not here yet: run  fluoroscope patients fetch {name}")
        self._begin_exam(NextExam(name, progress=self._opening(name)), f"opening {name}: one moment")

    def set_position(self, *, position: str) -> None:
        """Turn the patient, which opens another exam."""
        if position not in PatientPosition.__members__:
            known = ", ".join(PatientPosition.__members__)
            raise RefusedError(f"position {position}: choose one of {known}", "position")
        if instrument := self._in_patient():
            raise RefusedError(f"take the {instrument} out before the patient is turned")
        # Every record says how its patient lies: lying otherwise, he has another exam.
        self._begin_exam(NextExam(position=PatientPosition[position]), "turning the patient: one moment")

    def make_patient(self, **recipe: Any) -> None:
        """Make a patient from a recipe, while the room goes on, and open his exam."""
        parameters = read_recipe(recipe)
        self.refuse_while_busy()
        if self.making is not None:
            raise RefusedError("a patient is being made: wait until he is ready")
        self.making = {"text": "begins", "fraction": 0.0}
        threading.Thread(target=self._made, args=(parameters,), name="making a patient", daemon=True).start()

    def draw_cards(self) -> None:
        """Draw the cards that are missing, while no X-ray is on."""
        cards, loop = self._parts.cards, self._parts.loop

        def may_go_on() -> bool:
            # X-ray has the processor first.
            while not loop.wait_for(LiveState.READY, LiveState.HOLD, LiveState.FAULT, timeout_s=1.0):
                if self._closed.is_set():
                    return False
            return not self._closed.is_set()

        if cards is not None:
            cards.draw(may_go_on)

    # Inner works

    def _opening(self, name: str) -> Progress:
        def told(fraction: float, text: str) -> None:
            self.busy = f"opening {name}: {text} ({fraction:.0%})"

        return told

    def _made(self, parameters: PatientParameters) -> None:
        """Make a patient while the room goes on, then open his exam when no X-ray is on."""

        def progress(fraction: float, text: str) -> None:
            self.making = {"text": text, "fraction": round(fraction, 3)}

        name, loop = "", self._parts.loop
        try:
            if self._parts.make is not None:
                name = self._parts.make(parameters, progress)
            if self._parts.cards is not None:
                self._parts.cards.forget()
            while not loop.wait_for(LiveState.READY, LiveState.HOLD, LiveState.FAULT, timeout_s=1.0):
                if self._closed.is_set():
                    return
            if self._closed.is_set():
                return
            self._begin_exam(NextExam(name), f"opening {name}: one moment")
            if self._changing is not None:
                self._changing.join()
        except RefusedError as refusal:
            self._messages.tell("warning", f"{name} is made and can be chosen; he was not laid on the table: {refusal}")
        except (ValueError, OSError, RuntimeError, MemoryError) as fault:
            self._messages.tell("stop", f"the patient could not be made: {' '.join(str(fault).split())}")
        finally:
            self.making = None

    def _begin_exam(self, following: NextExam, busy: str) -> None:
        """Close the exam and open the next in a thread of its own: commands return within 50 ms."""
        self.refuse_while_busy()
        state = self._parts.loop.state
        if state not in (LiveState.READY, LiveState.HOLD):
            advice = "release the pedal first" if state is LiveState.EXPOSING else "acknowledge the fault first"
            raise RefusedError(advice)
        self.busy = busy
        self._changing = threading.Thread(target=self._change_exam, args=(following,), name="next exam", daemon=True)
        self._changing.start()

    def _change_exam(self, following: NextExam) -> None:
        self.none_open = "no exam is open: close the exam or choose the patient again"
        try:
            before = self.exam
            self._parts.dose.closing()
            if self._parts.training is not None:
                self._parts.training.end()
            before.close()
            self._messages.take_from(before)
            self._parts.dose.ended(before)
            self.exam = self._parts.open_exam(following)
            self.none_open = ""
            self._say_pregnancy()
        except (ValueError, OSError, RuntimeError, MemoryError) as fault:
            self._messages.tell("stop", f"the next exam could not be opened: {' '.join(str(fault).split())}")
        finally:
            self._clear()
            self.busy = ""

    def _say_pregnancy(self) -> None:
        weeks = self.exam.patient_status().get("pregnancy_weeks")
        if weeks:
            self._messages.tell("warning", f"pregnant, week {weeks:g}: X-ray needs a documented reason")
