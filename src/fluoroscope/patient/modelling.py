"""Building a modelled patient: who is allowed, and which version of the model it was."""

import hashlib
from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable

from fluoroscope.patient.anatomy.built import BuiltPatient
from fluoroscope.patient.anatomy.parameters import ParameterError, PatientParameters
from fluoroscope.patient.stored import Progress

__all__ = ["PITCHES_MM", "build", "model_version"]

PITCHES_MM = (0.8, 3.0)
"""Finest and coarsest voxels a patient is built of."""


def build(parameters: PatientParameters, pitch_mm: float, progress: Progress) -> BuiltPatient:
    """Build a patient.

    Raises
    ------
    ParameterError
        ``pitch_mm`` out of range.
    """
    low, high = PITCHES_MM
    if not low <= pitch_mm <= high:
        raise ParameterError(f"pitch_mm {pitch_mm:g}: choose {low:g} to {high:g}")
    from fluoroscope.patient.anatomy.build import build_patient

    return build_patient(parameters, pitch_mm=pitch_mm, progress=progress)


@lru_cache(maxsize=1)
def model_version() -> str:
    """Return a word that changes with the model's code and tables: the beginning of their sha256."""
    package = resources.files("fluoroscope.patient")
    digest = hashlib.sha256()
    # Motion decides how the soft parts are cut, and which organs ride by themselves.
    files = [file for folder in ("anatomy", "data", "motion") for file in _files(package.joinpath(folder))]
    for file in (*files, package.joinpath("tissues.py")):
        # Line ends may differ where the code was checked out.
        digest.update(file.name.encode() + b"\0" + file.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()[:12]


def _files(folder: Traversable) -> list[Traversable]:
    wanted = [f for f in folder.iterdir() if f.is_file() and f.name.endswith((".py", ".csv", "tissues.toml"))]
    return sorted(wanted, key=lambda file: file.name)
