"""A CT's vertebra registered to X-ray files: from paths to facts, and the overlay as a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fluoroscope.app.guidance.xray_files import open_views
from fluoroscope.app.setup import RoomSetup, load_patient
from fluoroscope.app.terminal import Progress
from fluoroscope.geometry.projection import project_points
from fluoroscope.geometry.rigid import Matrix, apply, inverse, translation
from fluoroscope.geometry.table import PatientPosition, TablePose, patient_from_equipment
from fluoroscope.guidance.registration import Click, Registration, Start, VertebraModel, register, vertebra_models
from fluoroscope.guidance.registration.model import SACRUM
from fluoroscope.guidance.view import XRayView
from fluoroscope.patient.level_names import LEVELS, vertebra_numbers
from fluoroscope.patient.library import Patient
from fluoroscope.records.loading import load_records

__all__ = ["RegisterRequest", "Registered", "register_files"]

_STARTS = ("near", "far", "nothing")
_AROUND = 3
"""Neighbours on either side that help to find a level above those usually looked at."""


@dataclass(frozen=True, slots=True)
class RegisterRequest:
    """What the user asked for; words are checked here, before anything is loaded.

    Attributes
    ----------
    ct
        Name, file or folder of a patient.
    images
        X-ray files, one or more.
    level
        "L3", "sacrum".
    frames
        Frame of each image, or one for all.
    start
        near, far or nothing.
    click
        (row, column) of the level in the first image, or None.
    labels, names, series
        As `RoomSetup` takes them.
    """

    ct: str
    images: tuple[Path, ...]
    level: str
    frames: tuple[int, ...] = (0,)
    start: str = "nothing"
    click: tuple[float, float] | None = None
    labels: Path | None = None
    names: Path | None = None
    series: str | None = None

    def __post_init__(self) -> None:
        if not self.images:
            raise ValueError("--image: no X-ray given; give one or more XA files")
        if self.start not in _STARTS:
            raise ValueError(f"--start {self.start}: choose near, far or nothing")
        if len(self.frames) not in (1, len(self.images)):
            raise ValueError(f"--frame: {len(self.frames)} given for {len(self.images)} images; give one, or one each")
        if self.wanted not in (*LEVELS, SACRUM):
            raise ValueError(f"--level {self.level}: no such level; give one such as L3, T12 or sacrum")

    @property
    def wanted(self) -> str:
        """The level by the name the models have."""
        word = self.level.strip().removeprefix("vertebrae_")
        return SACRUM if word.lower() in (SACRUM, "s1", "s") else word.upper()


@dataclass(frozen=True, slots=True)
class Registered:
    """What came out, with what the overlay is drawn from.

    Attributes
    ----------
    facts
        JSON-ready.
    registration, models, views
        As `register` gave and took them.
    """

    facts: dict[str, Any]
    registration: Registration
    models: dict[str, VertebraModel]
    views: tuple[XRayView, ...]


def register_files(request: RegisterRequest, progress: Progress) -> Registered:
    """Register a level of a CT to X-ray files.

    Raises
    ------
    ValueError
        A file that cannot be read or lacks geometry, a frame or level that is not there, no labels.
    """
    load_records()
    views, position, texts = open_views(request.images, request.frames)
    patient = load_patient(
        RoomSetup(request.ct, request.labels, position.value, names=request.names, series=request.series),
        lambda fraction, text: progress(0.5 * fraction, text),
    )
    progress(0.5, "cutting out the bones")
    models = _models(patient, request.wanted)
    progress(0.6, f"looking for {request.wanted}")
    start: Start | Click = Start(request.start)
    if request.click is not None:
        start = Click(*request.click)
    initial = _lying(models[request.wanted], position)
    found = register(models, views, initial, level=request.wanted, start=start)
    progress(1.0, "done")
    return Registered(_facts(request, found, models, views, texts), found, models, views)


def _models(patient: Patient, level: str) -> dict[str, VertebraModel]:
    """Return the bones to register with; the level and its neighbours when it lies above those usually taken."""
    if patient.labels is None:
        raise ValueError(
            f"{patient.record.name}: the CT has no labels; give a label map of its vertebrae with --labels"
        )
    models = vertebra_models(patient.volume, patient.labels)
    if level not in models and level in (present := list(vertebra_numbers(patient.labels))):
        at = present.index(level)
        models = vertebra_models(patient.volume, patient.labels, present[max(0, at - _AROUND) : at + _AROUND + 1])
    if level not in models:
        raise ValueError(f"--level {level}: not labelled in this CT; it has {', '.join(models)}")
    return models


def _lying(model: VertebraModel, position: PatientPosition) -> Matrix:
    """Return equipment_from_ct of a patient lying straight, the level at the isocentre."""
    return inverse(patient_from_equipment(TablePose(), position)) @ translation(-model.center_mm)


def _facts(
    request: RegisterRequest,
    found: Registration,
    models: dict[str, VertebraModel],
    views: Sequence[XRayView],
    texts: Sequence[str],
) -> dict[str, Any]:
    center = apply(found.equipment_from_ct, models[found.level].center_mm)
    return {
        "level": found.level,
        "equipment_from_ct": [[float(value) for value in row] for row in found.equipment_from_ct],
        "sigma_in_plane_mm": _finite(found.sigma_in_plane_mm),
        "sigma_depth_mm": _finite(found.sigma_depth_mm),
        "success": found.success,
        "reason": found.reason,
        "time_s": round(found.time_s, 3),
        "similarity": round(found.similarity, 4),
        "evaluations": found.evaluations,
        "views": [
            {
                "image": str(path),
                "view": text,
                "similarity": round(similarity, 4),
                "center_px": _pixel(view, center) if found.success else None,
            }
            for path, text, view, similarity in zip(request.images, texts, views, found.view_similarity, strict=True)
        ],
    }


def _finite(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None


def _pixel(view: XRayView, point_mm: Any) -> list[float]:
    return [round(float(value), 2) for value in project_points(view.geometry, point_mm)]
