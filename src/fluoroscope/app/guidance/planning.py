"""From the words of ``fluoroscope plan`` to planned needles, JSON-ready."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fluoroscope import NOT_A_MEDICAL_DEVICE
from fluoroscope.app.setup import RoomSetup, load_patient
from fluoroscope.guidance.planning import PROCEDURES, BodyBuild, plan, plan_facts
from fluoroscope.guidance.planning.levels import parse_level
from fluoroscope.guidance.planning.procedures import procedure_plan

__all__ = ["PlanRequest", "body_build", "plan_patient", "procedure_facts"]


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What the user asked for; words are checked here, before anything is loaded.

    Attributes
    ----------
    patient, labels, names, series
        As `RoomSetup` takes them.
    procedure, level, side
        As `plan` takes them.
    position, carm
        Names.
    limit
        How many trajectories.
    picture
        PNG to write, or None.
    build
        For the depth formulas; None takes what is known of a modelled patient.
    """

    patient: str | None
    procedure: str
    level: str
    side: str | None = None
    position: str = "HFP"
    carm: str = "mobile-flat-panel"
    labels: Path | None = None
    names: Path | None = None
    series: str | None = None
    limit: int = 5
    picture: Path | None = None
    build: BodyBuild | None = None

    def __post_init__(self) -> None:
        if not self.procedure:
            raise ValueError(f"--procedure: say what is done; choose one of {', '.join(PROCEDURES)}")
        asked = procedure_plan(self.procedure)
        if not self.level:
            raise ValueError("--level: say where; L3-L4 for a space, L3 for a bone, sacrum")
        parse_level(self.level, asked.levels, asked.title)
        if self.side not in (None, "left", "right"):
            raise ValueError(f"--side {self.side}: choose left or right, the patient's")

        if self.picture is not None and self.picture.suffix.lower() != ".png":
            raise ValueError(f"--picture {self.picture}: pictures are written as PNG; give a name that ends in .png")
        if self.picture is not None and not self.picture.absolute().parent.is_dir():
            raise ValueError(f"--picture {self.picture}: there is no such folder; make it first")

    @property
    def setup(self) -> RoomSetup:
        """The patient and the C-arm."""
        return RoomSetup(
            self.patient, self.labels, self.position, self.carm, 1024, series=self.series, names=self.names
        )


_RANGES = {"bmi": (8.0, 80.0), "weight-kg": (2.0, 350.0), "height-cm": (40.0, 230.0), "age": (0.0, 120.0)}


def body_build(
    bmi: float | None, weight_kg: float | None, height_cm: float | None, age_years: float | None
) -> BodyBuild | None:
    """Return what the depth formulas take; None where nothing was said.

    Raises
    ------
    ValueError
        When a value is out of range, or BMI and weight are both given.
    """
    given = dict(zip(_RANGES, (bmi, weight_kg, height_cm, age_years), strict=True))
    for name, value in given.items():
        low, high = _RANGES[name]
        if value is not None and not low <= value <= high:
            raise ValueError(f"--{name} {value:g}: give {low:g} to {high:g}")
    if bmi is not None and weight_kg is not None:
        raise ValueError("--bmi and --weight-kg: give one of the two")
    if all(value is None for value in given.values()):
        return None
    if bmi is not None and height_cm is not None:
        weight_kg = bmi * (height_cm / 100.0) ** 2
    return BodyBuild(bmi, weight_kg, height_cm, age_years)


def plan_patient(request: PlanRequest) -> dict[str, Any]:
    """Open the patient, plan, write the picture if asked for, and return everything JSON-ready."""
    setup = request.setup
    patient = load_patient(setup)
    trajectories = plan(
        patient,
        request.procedure,
        request.level,
        side=request.side,
        position=setup.patient_position,
        carm=setup.carm_model,
        limit=request.limit,
        build=request.build,
    )
    asked = procedure_plan(request.procedure)
    if request.picture is not None:
        from fluoroscope.app.guidance.plan_picture import draw_plan

        title = f"{patient.record.name}: {asked.title} at {trajectories[0].level}, {setup.patient_position.value}"
        draw_plan(patient, trajectories[0], setup.patient_position, title, request.picture)
    return {
        "notice": NOT_A_MEDICAL_DEVICE,
        "patient": patient.record.name,
        "procedure": asked.name,
        "title": asked.title,
        "level": trajectories[0].level,
        "position": setup.patient_position.value,
        "carm": setup.carm,
        "notes": list(asked.notes),
        "trajectories": [plan_facts(one) for one in trajectories],
    }


def procedure_facts() -> dict[str, Any]:
    """Return the procedures and where their numbers come from, JSON-ready."""
    return {
        "notice": NOT_A_MEDICAL_DEVICE,
        "procedures": [
            {
                "name": one.name,
                "title": one.title,
                "level": " or ".join(one.levels),
                "target": one.target,
                "view": one.view,
                "approaches": [
                    {
                        "name": way.name,
                        "sided": way.sided,
                        "lateral_deg": list(way.cone.lateral_deg),
                        "cranial_deg": list(way.cone.cranial_deg),
                    }
                    for way in one.approaches
                ],
                "needles": list(one.needles),
                "confirm": list(one.confirm),
                "instrument": one.instrument or None,
                "notes": list(one.notes),
                "sources": [
                    {"what": number.what, "source": number.source, "verified": number.verified}
                    for number in one.sources
                ],
            }
            for one in PROCEDURES.values()
        ],
    }
