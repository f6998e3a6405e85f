"""From what the user named to a patient on the table of a C-arm."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fluoroscope.app.terminal import Progress, loading_bar, warn
from fluoroscope.geometry.carm import C_ARMS, CArmModel
from fluoroscope.geometry.table import PatientPosition
from fluoroscope.patient.library import (
    DEFAULT_PATIENT,
    ImportedCT,
    Patient,
    PatientRecord,
    is_fetched,
    open_patient,
    patients,
)
from fluoroscope.patient.named import parameters_to_json, teaching_patients
from fluoroscope.patient.parts import Articulation
from fluoroscope.patient.tissues import load_tissues
from fluoroscope.procedure.catalogue import PROCEDURES
from fluoroscope.records.loading import load_records

__all__ = ["MATRICES", "RoomSetup", "describe_patient", "load_patient", "patient_rows"]

MATRICES = (512, 1024)


@dataclass(frozen=True, slots=True)
class RoomSetup:
    """What the user asked for; every word is checked here, before anything is loaded.

    Attributes
    ----------
    patient
        Name, file or DICOM folder; None for the built-in one.
    labels
        Label map file, or None.
    position
        DICOM patient position.
    carm
        Name of a C-arm model.
    matrix
        Rows and columns of the picture.
    keep_table
        Keep what surrounds the body in the CT.
    series
        Series Instance UID for a folder with several.
    names
        Table of names for the labels (CSV or JSON), or None.
    tissues
        Tissue curves (TOML) in place of the packaged ones, or None.
    dose_rules
        The site's dose rules (TOML or JSON), or None for the packaged ones.
    registry
        Where doses are remembered: file or database URL; None for the user's own.
    procedure
        What is done, by its name in the catalogue; "" when not said.
    """

    patient: str | None = None
    labels: Path | None = None
    position: str = "HFP"
    carm: str = "mobile-flat-panel"
    matrix: int = 1024
    keep_table: bool = False
    series: str | None = None
    names: Path | None = None
    tissues: Path | None = None
    dose_rules: Path | None = None
    registry: str | None = None
    procedure: str = ""

    def __post_init__(self) -> None:
        if self.position.upper() not in PatientPosition.__members__:
            known = ", ".join(PatientPosition.__members__)
            raise ValueError(f"--position {self.position}: no such patient position; choose one of {known}")
        if self.carm not in C_ARMS:
            raise ValueError(f"--carm {self.carm}: no such C-arm; choose one of {', '.join(C_ARMS)}")
        if self.matrix not in MATRICES:
            raise ValueError(f"--matrix {self.matrix}: choose 512 or 1024")
        if self.procedure and self.procedure not in PROCEDURES:
            raise ValueError(f"--procedure {self.procedure}: no such procedure; choose one of {', '.join(PROCEDURES)}")

    @property
    def patient_position(self) -> PatientPosition:
        """How the patient lies."""
        return PatientPosition[self.position.upper()]

    @property
    def carm_model(self) -> CArmModel:
        """The C-arm."""
        return C_ARMS[self.carm]


def load_patient(setup: RoomSetup, progress: Progress | None = None) -> Patient:
    """Open the patient of ``setup``, with a bar on the terminal unless ``progress`` is given."""
    if progress is None:
        if setup.patient is None:
            warn(
                f"no patient named: {DEFAULT_PATIENT}, a modelled one, is used (built once, about 20 s). "
                "Others: fluoroscope patients list"
            )
        with loading_bar() as bar:
            return load_patient(setup, bar)
    return open_patient(
        setup.patient or DEFAULT_PATIENT,
        labels=setup.labels,
        names=setup.names,
        table=None if setup.tissues is None else load_tissues(setup.tissues),
        keep_table=setup.keep_table,
        read_folder=_folder_reader(setup.series),
        read_labels=_read_segmentation,
        series=setup.series,
        progress=progress,
    )


def patient_rows() -> list[dict[str, Any]]:
    """Return the patients that have a name, as JSON-ready rows."""
    return [
        {
            "name": record.name,
            "description": record.description,
            "available": is_fetched(record),
            "source": record.source,
            "licence": record.licence,
            **_kind(record),
        }
        for record in patients()
    ]


def _kind(record: PatientRecord) -> dict[str, Any]:
    """Return what a card says beside the description: group, whether it is synthetic, facts, weeks of a pregnancy."""
    parameters = record.parameters
    if parameters is None:
        return {"group": "scanned", "synthetic": False, "facts": [], "pregnancy_weeks": None, "pregnancy_excluded": ""}
    facts = [f"{parameters.sex}, {parameters.age_years:.0f} y"]
    facts += [] if parameters.bmi is None else [f"BMI {parameters.bmi:g}"]
    facts += [f"{one.kind.replace('_', ' ')} {one.level}".strip() for one in parameters.pathologies]
    taught = next((one for one in teaching_patients() if one.name == record.name), None)
    return {
        "group": "made" if taught is None else "modelled",
        "synthetic": True,
        "facts": facts,
        "pregnancy_weeks": parameters.pregnancy_weeks or None,
        "pregnancy_excluded": "" if taught is None else taught.pregnancy_excluded,
    }


def describe_patient(setup: RoomSetup) -> dict[str, Any]:
    """Load a patient and return what is in it, JSON-ready."""
    patient = load_patient(setup)
    volume, labels = patient.volume, patient.labels
    return {
        "name": patient.record.name,
        "description": patient.record.description,
        "source": patient.record.source,
        "licence": patient.record.licence,
        "patient_id": patient.patient_id,
        "voxels": list(volume.values.shape),
        "spacing_mm": [round(float(spacing), 4) for spacing in volume.spacing_mm],
        "center_mm": [round(float(part), 2) for part in volume.center_mm],
        "reference_mm": [round(float(part), 2) for part in patient.reference_mm],
        "hu_range": [int(volume.values.min()), int(volume.values.max())],
        "megabytes": round((volume.values.nbytes + 2 * patient.basis.water.nbytes) / 2**20, 1),
        "structures": [] if labels is None else [labels.names[n] for n in sorted(labels.names) if n],
        "bone_share": round(float(np.count_nonzero(patient.basis.bone) / patient.basis.bone.size), 4),
        "modelled": patient.modelled,
        "parameters": None if patient.parameters is None else parameters_to_json(patient.parameters),
        "facts": dict(patient.facts),
        **_movement(patient.articulation),
    }


def _movement(articulation: Articulation | None) -> dict[str, Any]:
    if articulation is None:
        return {"parts": [], "joints": [], "landmarks": 0}
    return {
        "parts": [part.name for part in articulation.parts],
        "joints": [joint.name for joint in articulation.joints],
        "landmarks": len(articulation.landmarks),
    }


def _folder_reader(series: str | None) -> Any:
    def read(folder: Path, *, progress: Progress | None = None) -> ImportedCT:
        load_records()  # another exam may be open, and its writer loading pydicom
        from fluoroscope.dicom.ct_series import read_patient_folder

        return read_patient_folder(folder, series=series, progress=progress)

    return read


def _read_segmentation(path: Path, ct: Any) -> Any:
    load_records()
    from fluoroscope.dicom.segmentation import read_segmentation

    return read_segmentation(path, ct)
