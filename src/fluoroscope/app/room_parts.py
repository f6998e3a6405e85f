"""What a fluoroscopy room is made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fluoroscope.acquisition.clock import Clock
from fluoroscope.acquisition.frame import Frame
from fluoroscope.app.bedside import Bedside
from fluoroscope.app.console import Console
from fluoroscope.app.dose.room_dose import RoomDose
from fluoroscope.app.exam import Exam
from fluoroscope.app.patient_cards import PatientCards
from fluoroscope.app.terminal import Progress
from fluoroscope.app.training.session import TrainingDesk
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.table import PatientPosition
from fluoroscope.imagechain.chain import ImageChain
from fluoroscope.live.loop import LiveLoop
from fluoroscope.patient.anatomy.parameters import PatientParameters

__all__ = ["NextExam", "RoomParts"]


@dataclass(frozen=True, slots=True)
class NextExam:
    """The exam to open: of another patient by name, lying otherwise; None leaves it as it is."""

    patient: str | None = None
    position: PatientPosition | None = None
    progress: Progress = lambda *_: None


@dataclass(frozen=True, slots=True)
class RoomParts:
    """What a room is made of; see ``app.room.FluoroscopyRoom``.

    Attributes
    ----------
    loop, chain
        The live loop and the image chain it uses.
    clock
        Time.
    console
        Of the virtual C-arm; None when a recorded clip is played.
    clip
        What the status says of the source when there is no console.
    dose
        What follows the dose, forbids, estimates, remembers.
    open_exam
        Begins an exam, wholly or, raising, not at all.
    patients
        Rows of patients that can be chosen; empty for a clip.
    taken
        With what a frame of a clip was taken; a C-arm's frames say it themselves.
    pose_of
        Where the C-arm stood when a frame of a clip was taken; a C-arm's frames say it themselves.
    bedside
        Of the patient on the table of a virtual C-arm; None for a clip.
    make
        Makes a patient and returns the name by which he is opened; None where nobody can be made.
    cards
        Of the patients that can be chosen; None where there is nobody to choose.
    training
        Records what the hand does and knows the exercise; None for a clip.
    """

    loop: LiveLoop
    chain: ImageChain
    clock: Clock
    dose: RoomDose
    open_exam: Callable[[NextExam], Exam]
    patients: Callable[[], list[dict[str, Any]]]
    console: Console | None = None
    clip: Mapping[str, Any] | None = None
    taken: Callable[[Frame], dict[str, Any]] | None = None
    pose_of: Callable[[Frame], CArmPose | None] | None = None
    bedside: Bedside | None = None
    make: Callable[[PatientParameters, Progress], str] | None = None
    cards: PatientCards | None = None
    guidance_allowed: bool = True
    training: TrainingDesk | None = None
