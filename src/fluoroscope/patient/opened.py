"""What a patient is before and after opening, and what readers of files hand over."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.table import PatientPosition
from fluoroscope.patient.anatomy.parameters import PatientParameters
from fluoroscope.patient.fetch import Package
from fluoroscope.patient.labels import LabelMap
from fluoroscope.patient.parts import Articulation
from fluoroscope.patient.stored import Progress
from fluoroscope.patient.volume import BasisVolume, Volume

__all__ = ["FolderReader", "ImportedCT", "LabelReader", "Patient", "PatientRecord"]


@dataclass(frozen=True, slots=True)
class PatientRecord:
    """What is known about a patient before opening it.

    Attributes
    ----------
    name, description
        Short name for the command line, one line for people.
    source, licence
        Where it comes from and on what terms.
    reference_mm
        Point put at the isocentre, LPS mm; None when it is found on opening.
    position
        How the patient lies for a procedure unless told otherwise.
    package
        Where it is fetched from; None when nothing has to be fetched.
    parameters
        Of a modelled patient, built when first opened; else None.
    pitch_mm
        Of a modelled patient's voxels.
    """

    name: str
    description: str
    source: str
    licence: str
    reference_mm: tuple[float, float, float] | None = None
    position: PatientPosition = PatientPosition.HFP
    package: Package | None = None
    parameters: PatientParameters | None = None
    pitch_mm: float = 1.0


@dataclass(frozen=True, slots=True)
class ImportedCT:
    """What a reader of DICOM folders hands over.

    Attributes
    ----------
    volume
        int16 HU.
    name, patient_id, description
        As the objects say; may be empty.
    position
        How the patient lay in the scanner, None when not said.
    """

    volume: Volume
    name: str = ""
    patient_id: str = ""
    description: str = ""
    position: PatientPosition | None = None


class FolderReader(Protocol):
    """Reads a DICOM folder; ``dicom.ct_series.read_patient_folder`` is one."""

    def __call__(self, folder: Path, *, progress: Progress | None = None) -> ImportedCT:
        """Return the CT in the folder."""
        ...


LabelReader = Callable[[Path, Volume], LabelMap]
"""Reads labels onto a CT's grid."""


@dataclass(frozen=True, slots=True)
class Patient:
    """A patient ready for the beam.

    Attributes
    ----------
    record
        Name, source, licence, how the patient lies.
    patient_id
        Identifier, empty when unknown.
    volume
        int16 HU, table removed unless kept.
    basis
        The same as water and bone.
    labels
        Structures on the same grid, or None.
    reference_mm
        (3,) LPS mm to put at the isocentre.
    articulation
        How the patient can move; None for one who cannot (a CT without labels).
    facts
        What is known of a modelled patient's build, JSON-ready; empty for a CT.
    """

    record: PatientRecord
    patient_id: str
    volume: Volume
    basis: BasisVolume
    labels: LabelMap | None
    reference_mm: NDArray[np.float64]
    articulation: Articulation | None = None
    facts: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.reference_mm.shape != (3,) or not np.isfinite(self.reference_mm).all():
            raise ValueError(f"reference_mm must be three finite numbers, got {self.reference_mm}")
        self.reference_mm.setflags(write=False)
        object.__setattr__(self, "facts", MappingProxyType(dict(self.facts)))

    @property
    def parameters(self) -> PatientParameters | None:
        """What a modelled patient was asked to be; None for a CT."""
        return self.record.parameters

    @property
    def modelled(self) -> bool:
        """Whether the patient is modelled and not a CT."""
        return self.record.parameters is not None
