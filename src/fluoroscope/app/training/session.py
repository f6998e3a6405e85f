"""The exercise of a room: who trains what, and the records of the hand in each of its exams."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fluoroscope.app.setup import RoomSetup
from fluoroscope.app.training.hand import AtBedside, HandRecorder
from fluoroscope.app.training.reading import target_to_json
from fluoroscope.app.training.scenario import Listed
from fluoroscope.dose.ledger import DoseStatus
from fluoroscope.evaluation.training_attempt import Target
from fluoroscope.patient.library import Patient

__all__ = ["Exercise", "TrainingDesk", "training_facts"]

Say = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Exercise:
    """A scenario with its target in the patient.

    Attributes
    ----------
    listed, target, patient
        Scenario, what is to be reached, and the patient's name.
    trainee
        Code of who is trained, "" when nobody said.
    attempts
        Folders of the exams in which it was done, in order; grows.
    """

    listed: Listed
    target: Target
    patient: str
    trainee: str = ""
    attempts: list[Path] = field(default_factory=list, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Return what the record of an attempt says of it."""
        scenario = self.listed.scenario
        return {
            "scenario": {"name": self.listed.name, **scenario.model_dump(mode="json")},
            "target": target_to_json(self.target),
            "trainee": self.trainee,
        }


def training_facts(setup: RoomSetup, patient: Patient) -> dict[str, Any]:
    """Return what the record of the hand says of patient and machine."""
    return {
        "patient": patient.record.name,
        "opened": setup.patient or patient.record.name,
        "labels": None if setup.labels is None else str(setup.labels),
        "reference_mm": [float(part) for part in patient.reference_mm],
        "position": setup.patient_position.value,
        "carm": setup.carm,
    }


class TrainingDesk:
    """Records what the hand does in every exam of a room, and says how the exercise stands.

    Parameters
    ----------
    bedside
        Of the patient on the table.
    now_ns
        Monotonic time, ns.
    exercise
        None in a room that is not for training: the hand is recorded all the same and may be scored later.
    """

    def __init__(self, bedside: AtBedside, now_ns: Callable[[], int], exercise: Exercise | None = None) -> None:
        self._hand = HandRecorder(bedside, now_ns)
        self._exercise = exercise
        self._on = False
        self._say: Say = lambda *_: None
        self._said: set[str] = set()

    @property
    def exercise(self) -> Exercise | None:
        """The exercise, while its patient is on the table."""
        return self._exercise if self._on else None

    @property
    def guidance_allowed(self) -> bool:
        """Whether the trainee may be guided; always where nobody trains."""
        exercise = self.exercise
        return exercise is None or exercise.listed.scenario.guidance

    def begin(self, folder: Path, facts: Mapping[str, Any], say: Say) -> None:
        """Go on with an exam; ``facts`` tells its ``patient``, ``reference_mm``, ``position``, ``carm``."""
        exercise = self._exercise
        self._on = exercise is not None and exercise.patient == facts["patient"]
        told = exercise.to_json() if exercise is not None and self._on else {"scenario": None, "target": None}
        self._hand.begin(folder, {**facts, **told}, say)
        self._say = say
        self._said.clear()
        if exercise is not None and self._on:
            exercise.attempts.append(folder)
            say("info", f"training: {exercise.listed.scenario.title}. {exercise.listed.scenario.goal}")

    def done(self, name: str, args: Mapping[str, Any]) -> None:
        """Take note of a command that was carried out."""
        self._hand.done(name, args)

    def end(self) -> None:
        """Finish the record of the exam that is closed."""
        self._hand.end()

    def status(self, dose: DoseStatus | None = None) -> dict[str, Any] | None:
        """Return the part ``training`` of the status; None where nobody trains. Limits that are passed are said."""
        exercise = self.exercise
        if exercise is None:
            return None
        scenario = exercise.listed.scenario
        limits, elapsed_s = scenario.limits, self._hand.elapsed_s
        kap = None if dose is None else dose.kap_gy_cm2
        kerma = None if dose is None else dose.air_kerma_mgy
        self._warn("time", elapsed_s, limits.seconds, "s")
        self._warn("kerma-area product", kap, limits.kap_gy_cm2, "Gy·cm²")
        self._warn("air kerma", kerma, limits.air_kerma_mgy, "mGy")
        return {
            "scenario": exercise.listed.name,
            "title": scenario.title,
            "goal": scenario.goal,
            "procedure": scenario.procedure,
            "level": exercise.target.level,
            "side": exercise.target.side,
            "trainee": exercise.trainee,
            "guidance_allowed": scenario.guidance,
            "elapsed_s": round(elapsed_s, 1),
            "limits": limits.model_dump(),
        }

    def _warn(self, what: str, value: float | None, limit: float | None, unit: str) -> None:
        if value is None or limit is None or value <= limit or what in self._said:
            return
        self._said.add(what)
        self._say("warning", f"training: the limit of {what} ({limit:g} {unit}) is passed; the attempt is not passed")
