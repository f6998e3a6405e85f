"""Modelled patients that have a name: the packaged ones for teaching, and those the user had made."""

import hashlib
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from fluoroscope.patient.anatomy.parameters import ParameterError, Pathology, PatientParameters, parse_pathology
from fluoroscope.patient.folders import data_folder

__all__ = [
    "MADE_SOURCE",
    "NamedPatient",
    "keep_made",
    "made_patients",
    "name_of",
    "parameters_from_json",
    "parameters_to_json",
    "teaching_patients",
]

_OF_THE_RECORD = ("description", "pitch_mm", "pregnancy_excluded")
MADE_SOURCE = "modelled by this program; synthetic: not compared with real paired X-ray"


@dataclass(frozen=True, slots=True)
class NamedPatient:
    """A name, a line for people, all the model needs, the size of his voxels, and how pregnancy was excluded."""

    name: str
    description: str
    parameters: PatientParameters
    pitch_mm: float = 1.0
    pregnancy_excluded: str = ""

    @classmethod
    def of(cls, parameters: PatientParameters) -> "NamedPatient":
        """Return the name and description that parameters have of themselves."""
        return cls(name_of(parameters), _description(parameters), parameters)


def parameters_to_json(parameters: PatientParameters) -> dict[str, Any]:
    """Return parameters as plain values; pathologies as "kind:level:amount"."""
    values = asdict(parameters)
    values["pathologies"] = [_words(one) for one in parameters.pathologies]
    return values


def _words(one: Pathology) -> str:
    return ":".join(part for part in (one.kind, one.level, f"{one.amount:g}") if part)


def parameters_from_json(values: Mapping[str, Any]) -> PatientParameters:
    """Return the parameters that `parameters_to_json` wrote, checked again.

    Raises
    ------
    ParameterError
        A name that is none, a value of the wrong type or out of range.
    """
    known = {field.name for field in fields(PatientParameters)}
    for name in values:
        if name not in known:
            raise ParameterError(f"{name}: no such parameter; choose one of {', '.join(sorted(known))}")
    given = dict(values)
    try:
        given["pathologies"] = tuple(parse_pathology(str(text)) for text in values.get("pathologies", ()))
        return PatientParameters(**given)
    except TypeError as error:
        raise ParameterError(f"a parameter has the wrong type ({error}); numbers are written without quotes") from error


@lru_cache(maxsize=1)
def teaching_patients() -> tuple[NamedPatient, ...]:
    """Return the packaged patients, the one of a start without a name first."""
    text = resources.files("fluoroscope.patient").joinpath("data/named_patients.toml").read_text(encoding="utf-8")
    return tuple(_named(name, entry) for name, entry in tomllib.loads(text).items())


def _named(name: str, entry: Mapping[str, Any]) -> NamedPatient:
    values = {key: value for key, value in entry.items() if key not in _OF_THE_RECORD}
    pitch_mm = float(entry.get("pitch_mm", 1.0))
    excluded = str(entry.get("pregnancy_excluded", ""))
    return NamedPatient(name, str(entry["description"]), parameters_from_json(values), pitch_mm, excluded)


def name_of(parameters: PatientParameters) -> str:
    """Return the name of a made patient: the same for the same parameters."""
    content = json.dumps(parameters_to_json(parameters), sort_keys=True)
    digest = hashlib.sha256(content.encode()).hexdigest()[:4]
    return f"{parameters.sex}-{parameters.age_years:.0f}-seed{parameters.seed}-{digest}"


def keep_made(parameters: PatientParameters) -> NamedPatient:
    """Keep the recipe of a patient in the user's data folder, so that it has a name from now on.

    Raises
    ------
    OSError
        When the folder cannot be written.
    """
    made = NamedPatient.of(parameters)
    folder = _made_folder()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    content = {"description": made.description, **parameters_to_json(parameters)}
    partial = folder / f".{made.name}.{os.getpid()}.partial"
    try:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        partial.replace(folder / f"{made.name}.json")
    finally:
        partial.unlink(missing_ok=True)
    return made


def _description(parameters: PatientParameters) -> str:
    words = [f"{parameters.sex} of {parameters.age_years:.0f}"]
    if parameters.bmi is not None:
        words.append(f"BMI {parameters.bmi:g}")
    if parameters.scoliosis_cobb_deg:
        words.append(f"scoliosis {parameters.scoliosis_cobb_deg:g}° at {parameters.scoliosis_apex}")
    if parameters.lumbar_vertebrae != 5:
        words.append(f"{parameters.lumbar_vertebrae} lumbar vertebrae")
    if parameters.pregnancy_weeks:
        words.append(f"pregnant, {parameters.pregnancy_weeks:g} weeks")
    words += [f"{one.kind.replace('_', ' ')} {one.level}".strip() for one in parameters.pathologies]
    return ", ".join(words)


def made_patients() -> tuple[NamedPatient, ...]:
    """Return the patients the user had made, by name; a recipe that cannot be read is left out."""
    made = []
    for path in sorted(_made_folder().glob("*.json")):
        try:
            made.append(_named(path.stem, json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return tuple(made)


def _made_folder() -> Path:
    return data_folder() / "made"
