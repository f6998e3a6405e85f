"""Training scenarios: YAML files, packaged ones and the user's own, checked before anything is opened."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from fluoroscope.app.scenario import ScenarioError, Standing, Strict, read_yaml
from fluoroscope.app.setup import RoomSetup
from fluoroscope.evaluation.training_score import RULES, Marking
from fluoroscope.evaluation.training_targets import PROCEDURES
from fluoroscope.patient.folders import data_folder
from fluoroscope.patient.level_names import level_of
from fluoroscope.patient.named import keep_made, parameters_from_json

__all__ = ["Listed", "TrainingScenario", "find_scenario", "own_folder", "scenarios"]


class Limits(Strict):
    """What an attempt may take; over one, it is not passed."""

    seconds: float | None = Field(default=None, gt=0.0, le=36000.0)
    kap_gy_cm2: float | None = Field(default=None, gt=0.0)
    air_kerma_mgy: float | None = Field(default=None, gt=0.0)
    passes: int = Field(default=4, ge=1, le=100)


class Mark(Strict):
    """A change of one rule: the value with full marks, the value with none, the weight."""

    full: float | None = None
    none: float | None = None
    weight: float | None = Field(default=None, ge=0.0)


class TrainingScenario(Strict):
    """One exercise.

    ``patient`` is a name, a file or a folder, or the recipe of a modelled one. ``level`` is an interspace ("L3-L4") or
    its upper vertebra ("L3").
    """

    title: str = Field(min_length=1, max_length=120)
    patient: str | dict[str, Any]
    procedure: str
    level: str
    side: Literal["", "left", "right"] = ""
    goal: str = Field(min_length=1, max_length=600)
    difficulty: Literal["easy", "medium", "hard"] = "medium"
    guidance: bool = True
    position: str = "HFP"
    carm: str = "mobile-flat-panel"
    start: Standing = Standing()
    limits: Limits = Limits()
    pass_mark: float = Field(default=70.0, ge=0.0, le=100.0)
    marks: dict[str, Mark] = Field(default_factory=dict)

    @field_validator("patient")
    @classmethod
    def _recipe(cls, patient: str | dict[str, Any]) -> str | dict[str, Any]:
        if isinstance(patient, dict):
            parameters_from_json(patient)
        elif not patient.strip():
            raise ValueError("name a patient, or give the recipe of one")
        return patient

    @field_validator("procedure")
    @classmethod
    def _known(cls, procedure: str) -> str:
        if procedure not in PROCEDURES:
            raise ValueError(f"{procedure}: it is not scored; choose one of {', '.join(PROCEDURES)}")
        return procedure

    @field_validator("level")
    @classmethod
    def _spine(cls, level: str) -> str:
        upper, _, lower = level.partition("-")
        if level_of(upper) is None or (lower and lower.upper() != "S1" and level_of(lower) is None):
            raise ValueError(f"{level}: name an interspace such as L3-L4 or L5-S1, or its upper vertebra such as L3")
        return level.upper()

    @model_validator(mode="after")
    def _checked(self) -> "TrainingScenario":
        if PROCEDURES[self.procedure].sided and not self.side:
            raise ValueError(f"side: {self.procedure} needs left or right")
        if not PROCEDURES[self.procedure].sided and self.side:
            raise ValueError(f"side: {self.procedure} is done in the midline; leave it out")
        RoomSetup(position=self.position, carm=self.carm)
        self.marking()
        return self

    def marking(self) -> Marking:
        """Return how attempts are marked; raises ValueError when a rule cannot be."""
        limits = self.limits
        marking = Marking(RULES, self.pass_mark, limits.passes, limits.seconds, limits.kap_gy_cm2, limits.air_kerma_mgy)
        return marking.changed({name: one.model_dump(exclude_none=True) for name, one in self.marks.items()})

    def patient_name(self) -> str:
        """Return the name or path by which the patient is opened; a recipe is kept under its name first."""
        if isinstance(self.patient, str):
            return self.patient
        return keep_made(parameters_from_json(self.patient)).name


@dataclass(frozen=True, slots=True)
class Listed:
    """A scenario by its name: that of its file; ``own`` when it lies in the user's folder."""

    name: str
    scenario: TrainingScenario
    own: bool


def own_folder() -> Path:
    """Return where the user's own scenarios lie: ``training`` in the data folder."""
    return data_folder() / "training"


@lru_cache(maxsize=1)
def _packaged() -> Mapping[str, TrainingScenario]:
    folder = resources.files("fluoroscope.app.training").joinpath("data")
    found = {}
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        if entry.name.endswith(".yaml"):
            with resources.as_file(entry) as path:
                found[path.stem] = read_yaml(path, TrainingScenario)
    return found


def _own_files() -> list[Path]:
    folder = own_folder()
    return sorted((*folder.glob("*.yaml"), *folder.glob("*.yml"))) if folder.is_dir() else []


def scenarios() -> tuple[list[Listed], list[str]]:
    """Return every scenario, and a line for each of the user's files that cannot be used; his own take precedence."""
    found = {name: Listed(name, one, own=False) for name, one in _packaged().items()}
    faults = []
    for path in _own_files():
        try:
            found[path.stem] = Listed(path.stem, read_yaml(path, TrainingScenario), own=True)
        except ScenarioError as fault:
            faults.append(" ".join(str(fault).split()))
    return list(found.values()), faults


def find_scenario(name: str) -> Listed:
    """Return a scenario by name, or of a YAML file.

    Raises
    ------
    ScenarioError
        There is none, or its file cannot be used.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return Listed(path.stem, read_yaml(path, TrainingScenario), own=True)
    own = next((one for one in _own_files() if one.stem == name), None)
    if own is not None:
        return Listed(name, read_yaml(own, TrainingScenario), own=True)
    packaged = _packaged()
    if name not in packaged:
        names = ", ".join([*packaged, *(one.stem for one in _own_files())])
        raise ScenarioError(f"scenario {name}: there is none of this name; choose one of {names}, or name a YAML file")
    return Listed(name, packaged[name], own=False)
