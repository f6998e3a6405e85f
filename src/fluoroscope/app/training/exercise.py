"""From a scenario to an exercise: patient opened, target placed, the expert's line taken from the plan."""

from fluoroscope.app.setup import RoomSetup, load_patient
from fluoroscope.app.terminal import Progress
from fluoroscope.app.training.scenario import Listed
from fluoroscope.app.training.session import Exercise
from fluoroscope.evaluation.training_attempt import Target
from fluoroscope.evaluation.training_targets import expert_line, target_of
from fluoroscope.guidance.planning import PROCEDURES, plan
from fluoroscope.patient.library import Patient

__all__ = ["exercise_of", "scenario_setup", "scenario_target"]

_PLANNED = {
    "lumbar_puncture": ("lumbar-puncture",),
    "interlaminar_epidural": ("interlaminar-epidural", "interlaminar"),
    "transforaminal_epidural": ("transforaminal-epidural", "transforaminal-subpedicular", "transforaminal"),
    "facet_injection": ("facet-joint", "facet"),
    "medial_branch_block": ("medial-branch", "medial-branch-block"),
    "vertebroplasty": ("vertebroplasty",),
    "discography": ("discography",),
}
"""Names of the catalogue of procedures, and those of planning."""
_AGREE_MM = 12.0
"""A plan that ends further from the target zone is not one of the same thing."""


def scenario_setup(listed: Listed, matrix: int = 1024) -> RoomSetup:
    """Return the room of a scenario; a recipe's patient is kept under its name first."""
    scenario = listed.scenario
    return RoomSetup(
        scenario.patient_name(), position=scenario.position, carm=scenario.carm, matrix=matrix,
        procedure=scenario.procedure,
    )  # fmt: skip


def scenario_target(listed: Listed, patient: Patient) -> Target:
    """Return the target of a scenario in a patient; the expert's line is the best plan's where there is one.

    Raises
    ------
    ValueError
        When there is no such target in this patient.
    """
    scenario = listed.scenario
    target = target_of(patient, scenario.procedure, scenario.level, scenario.side)
    known = next((name for name in _PLANNED[scenario.procedure] if name in PROCEDURES), None)
    if known is None:
        return target
    levels = dict.fromkeys((target.level, target.level.split("-")[0]))
    for level in levels:
        try:
            best = plan(patient, known, level, side=scenario.side or None, limit=1)[0]
        except ValueError:
            continue
        if target.zone.distance_mm(best.target_mm) <= _AGREE_MM:
            source = f"the best plan ({best.approach})" if best.approach else "the best plan"
            return expert_line(target, best.entry_mm, best.target_mm, source, best.needle.name)
    return target


def exercise_of(listed: Listed, trainee: str = "", progress: Progress | None = None) -> tuple[Exercise, Patient]:
    """Open the patient of a scenario and return the exercise with him.

    Raises
    ------
    ValueError
        When patient or target cannot be had.
    """
    patient = load_patient(scenario_setup(listed), progress)
    target = scenario_target(listed, patient)
    return Exercise(listed, target, patient.record.name, trainee), patient
