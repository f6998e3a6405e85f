"""A patient as a folder of files other programs read, with a manifest that tells damage; and back."""

import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.formats import read_label_values, read_volume
from fluoroscope.patient.named import parameters_to_json
from fluoroscope.patient.nifti_writing import write_nifti
from fluoroscope.patient.opened import Patient
from fluoroscope.patient.stored import PatientFileError, Progress, silent
from fluoroscope.patient.stored_parts import landmarks_to_json, parts_of
from fluoroscope.patient.volume import Volume

__all__ = ["MANIFEST", "is_patient_folder", "read_patient_folder", "seal_folder", "write_json", "write_patient_files"]

MANIFEST = "patient.json"
_FORMAT, _VERSION = "fluoroscope patient", 1
SYNTHETIC = "synthetic: not compared with real paired X-ray"
_CONVENTIONS = "LPS mm; world_from_index in the order of the volume's axes S, P, L; NIfTI files are RAS"
_SAME_MODEL = 0.85
"""Share of the vertebrae's voxels that are the same vertebra in the fine spine: 0.96 at 1 mm of the same model."""
_WORKERS = 2
_LEVEL = 1


def write_json(path: Path, value: Any) -> None:
    """Write plain values, the same text for equal values."""
    path.write_text(json.dumps(value, indent=1, allow_nan=False, sort_keys=True) + "\n", encoding="utf-8")


def write_patient_files(
    folder: Path, patient: Patient, what: frozenset[str], progress: Progress | None = None
) -> dict[str, Any]:
    """Write NIfTI, JSON and parts into an empty folder.

    Parameters
    ----------
    folder
        Exists.
    patient
        Modelled or a CT.
    what
        Of "nifti" (``volume.nii.gz``, ``labels.nii.gz`` and ``labels.json``), "json" (``landmarks.json``), "parts"
        (``parts/*.npy.gz``: with "nifti" what the folder is opened from) and "spine" (``volume_spine.nii.gz`` and
        ``labels_spine.nii.gz``: T12 to the sacrum of a modelled patient in finer voxels).
    progress
        Told the fraction done.

    Returns
    -------
    dict
        The manifest without its hashes, for `seal_folder`.

    Raises
    ------
    PatientFileError
        When there is no fine spine: of a CT, or of a folder that another version of the model wrote.
    OSError
        When a file cannot be written.
    """
    report = progress or silent
    manifest = _manifest(patient)
    modelled = patient.modelled
    note = f"Fluoroscope, {SYNTHETIC}" if modelled else "Fluoroscope, exported CT"
    if "nifti" in what:
        report(0.0, "writing the volume")
        write_nifti(folder / "volume.nii.gz", patient.volume, note)
        if patient.labels is not None:
            report(0.3, "writing the labels")
            place = patient.volume.world_from_index
            write_nifti(folder / "labels.nii.gz", Volume(patient.labels.values, place), note)
            write_json(folder / "labels.json", {str(n): name for n, name in sorted(patient.labels.names.items())})
    if "spine" in what:
        manifest["spine"] = _write_spine(folder, patient, note, lambda f, text: report(0.35 + 0.2 * f, text))
    articulation = patient.articulation
    if articulation is not None:
        if "json" in what:
            write_json(folder / "landmarks.json", landmarks_to_json(articulation))
        if "parts" in what:
            arrays, facts = parts_of(articulation)
            manifest["articulation"] = facts
            _write_arrays(folder / "parts", arrays, lambda done: report(0.4 + 0.6 * done, "writing the moving parts"))
    return manifest


def _write_spine(folder: Path, patient: Patient, note: str, report: Progress) -> dict[str, Any]:
    """Write the fine spine, and return what the manifest says of it."""
    parameters = patient.record.parameters
    if parameters is None:
        raise PatientFileError(f"{patient.record.name}: a CT has no finer voxels than its own; leave spine out")
    from fluoroscope.patient.spine_volume import SPINE_PITCH_MM, agreement, build_spine

    fine = build_spine(parameters, progress=lambda f, text: report(0.7 * f, text))
    if patient.labels is not None and agreement(fine, patient.volume, patient.labels) < _SAME_MODEL:
        raise PatientFileError(
            f"{patient.record.name}: was made by another version of the model, whose spine is not known; make it again"
        )
    report(0.7, "writing the fine spine")
    place = fine.volume.world_from_index
    write_nifti(folder / "volume_spine.nii.gz", fine.volume, note)
    write_nifti(folder / "labels_spine.nii.gz", Volume(fine.labels.values, place), note)
    return {
        "volume": "volume_spine.nii.gz",
        "labels": "labels_spine.nii.gz",
        "pitch_mm": SPINE_PITCH_MM,
        "shape": list(fine.volume.values.shape),
        "world_from_index": place.tolist(),
    }


def _manifest(patient: Patient) -> dict[str, Any]:
    from fluoroscope import NOT_A_MEDICAL_DEVICE, __version__

    record = patient.record
    return {
        "format": _FORMAT,
        "format_version": _VERSION,
        "fluoroscope": __version__,
        "statement": f"{SYNTHETIC if patient.modelled else 'a real CT'}. {NOT_A_MEDICAL_DEVICE}",
        "name": record.name,
        "description": record.description,
        "source": record.source,
        "licence": record.licence,
        "patient_id": patient.patient_id,
        "parameters": None if record.parameters is None else parameters_to_json(record.parameters),
        "facts": dict(patient.facts),
        "conventions": _CONVENTIONS,
        "shape": list(patient.volume.values.shape),
        "world_from_index": patient.volume.world_from_index.tolist(),
        "reference_mm": patient.reference_mm.tolist(),
    }


def _write_arrays(folder: Path, arrays: Mapping[str, NDArray[Any]], report: Any) -> None:
    folder.mkdir()

    def write(name: str) -> None:
        with (folder / f"{name}.npy.gz").open("wb") as file, gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packed:
            np.lib.format.write_array(packed, np.ascontiguousarray(arrays[name]), (1, 0), allow_pickle=False)

    with ThreadPoolExecutor(_WORKERS) as pool:
        for number, _ in enumerate(pool.map(write, arrays), start=1):
            report(number / len(arrays))


def seal_folder(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest with the sha256 of every file that is in the folder now.

    Raises
    ------
    OSError
        When a file cannot be read or the manifest not be written.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    hashes = {path.relative_to(folder).as_posix(): _sha256(path) for path in files}
    write_json(folder / MANIFEST, {**manifest, "sha256": hashes})


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_patient_folder(folder: Path) -> bool:
    """Return whether a folder has a manifest of ours."""
    return (folder / MANIFEST).is_file()


def read_patient_folder(
    folder: Path, progress: Progress | None = None
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read a folder that `seal_folder` finished.

    Returns
    -------
    arrays
        "hu", "labels" when there are any, and the parts' arrays.
    manifest
        With ``names`` of the labels, number to name.

    Raises
    ------
    PatientFileError
        A file is missing, changed or damaged, or the manifest is none.
    """
    report = progress or silent
    manifest = _read_manifest(folder)
    _check_files(folder, manifest, lambda done: report(0.3 * done, "checking the files"))
    try:
        arrays: dict[str, NDArray[Any]] = {"hu": read_volume(folder / "volume.nii.gz").values}
        manifest["names"] = {}
        if (folder / "labels.nii.gz").is_file():
            arrays["labels"] = read_label_values(folder / "labels.nii.gz").values
            manifest["names"] = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
        for number, part in enumerate(names := _part_arrays(manifest)):
            with gzip.open(folder / "parts" / f"{part}.npy.gz") as packed:
                arrays[part] = np.lib.format.read_array(io.BytesIO(packed.read()), allow_pickle=False)
            report(0.4 + 0.6 * (number + 1) / len(names), "reading the moving parts")
    except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error) as error:
        if isinstance(error, PatientFileError):
            raise
        raise PatientFileError(
            f"{folder}: damaged patient folder ({_short(error)}); make or export it again"
        ) from error
    if list(arrays["hu"].shape) != manifest["shape"]:
        raise PatientFileError(f"{folder}: volume.nii.gz does not fit {MANIFEST}; make or export it again")
    return arrays, manifest


def _part_arrays(manifest: Mapping[str, Any]) -> list[str]:
    parts = manifest.get("articulation", {}).get("parts", ())
    return [f"part_{part['name']}_{basis}" for part in parts for basis in ("water", "bone")]


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PatientFileError(f"{path}: cannot be read ({_short(error)}); make or export the patient again") from error
    known = isinstance(manifest, dict) and manifest.get("format") == _FORMAT
    needed = ("sha256", "shape", "world_from_index", "reference_mm", "name", "description", "source", "licence")
    if not known or any(key not in manifest for key in needed) or not isinstance(manifest["sha256"], dict):
        raise PatientFileError(f"{path}: is no manifest of a patient; make or export the patient again")
    if manifest.get("format_version") != _VERSION:
        raise PatientFileError(
            f"{path}: format {manifest.get('format_version')}, this program reads {_VERSION}; make the patient again"
        )
    if "volume.nii.gz" not in manifest["sha256"]:
        raise PatientFileError(f"{folder}: holds no volume.nii.gz; export the patient with --what nifti,parts,json")
    return dict(manifest)


def _check_files(folder: Path, manifest: Mapping[str, Any], report: Any) -> None:
    hashes = manifest["sha256"]
    needed = [name for name in hashes if not name.startswith(("dicom/", "surfaces/"))]
    for number, name in enumerate(needed, start=1):
        # A manifest is no reason to read elsewhere.
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise PatientFileError(f"{folder / MANIFEST}: names {name!r}, outside the folder; make the patient again")
        path = folder / name
        if not path.is_file():
            raise PatientFileError(f"{path}: missing; make or export the patient again")
        if _sha256(path) != hashes[name]:
            raise PatientFileError(f"{path}: changed or damaged since it was written; make or export the patient again")
        report(number / len(needed))


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:140] or type(error).__name__
