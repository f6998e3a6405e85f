"""A patient as files for other programs: ``patients make`` and ``patients export``."""

import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from fluoroscope import __version__
from fluoroscope.app.setup import RoomSetup, load_patient
from fluoroscope.app.terminal import Progress, loading_bar
from fluoroscope.patient.anatomy.parameters import PatientParameters
from fluoroscope.patient.label_surfaces import bone_names, surface_of_label
from fluoroscope.patient.library import Patient, model_patient
from fluoroscope.patient.patient_folder import SYNTHETIC, seal_folder, write_patient_files
from fluoroscope.patient.stl import write_stl
from fluoroscope.patient.stored import PatientFileError
from fluoroscope.records.ct_series import CTDescription, ct_slices, write_ct_series
from fluoroscope.records.identity import SIMULATED_TEXT, Equipment, ExamIdentity, PatientIdentity
from fluoroscope.records.segmentation import write_segmentation
from fluoroscope.records.uids import derived_uid, new_uid

__all__ = ["KINDS", "export_patient", "make_patient_folder"]

KINDS = ("nifti", "json", "parts", "dicom", "seg", "stl", "spine")
# Dates of a seeded patient cannot be today's: the same seed gives the same files.
_EPOCH = datetime(2026, 1, 1, 8, 0, tzinfo=UTC)
_DAYS = 3650
_WORKING = ".patient-"


def make_patient_folder(
    parameters: PatientParameters,
    pitch_mm: float,
    out: Path,
    *,
    dicom: bool = False,
    stl: bool = False,
    spine: bool = False,
) -> dict[str, Any]:
    """Build a patient and write him into a folder that opens as a patient.

    Parameters
    ----------
    parameters
        Who.
    pitch_mm
        Of the voxels.
    out
        A new or empty folder.
    dicom, stl, spine
        Also the DICOM CT series and segmentation; the surfaces of the bones; the spine in finer voxels.

    Returns
    -------
    dict
        Name, parameters, facts and files, JSON-ready.

    Raises
    ------
    ParameterError
        When nobody can be built like this.
    OSError
        When ``out`` cannot be written or holds something.
    """
    what = {"nifti", "json", "parts"}
    what |= {kind for kind, on in (("dicom", dicom), ("seg", dicom), ("stl", stl), ("spine", spine)) if on}
    with _new_folder(out) as folder, loading_bar() as progress:
        patient = model_patient(parameters, pitch_mm=pitch_mm, progress=lambda f, text: progress(0.6 * f, text))
        _write(patient, folder, frozenset(what), lambda f, text: progress(0.6 + 0.4 * f, text))
    return _summary(patient, out)


def export_patient(setup: RoomSetup, out: Path, what: frozenset[str]) -> dict[str, Any]:
    """Write an existing patient, modelled or a CT, as files.

    Parameters
    ----------
    setup
        Which patient.
    out
        A new or empty folder.
    what
        Of `KINDS`; what a CT has not (labels without a segmentation …) is left out, and said.

    Raises
    ------
    ValueError
        When a kind is none, or nothing of what was asked for exists.
    OSError
        When ``out`` cannot be written or holds something.
    """
    unknown = sorted(what - set(KINDS))
    if unknown or not what:
        raise ValueError(f"--what {','.join(unknown)}: choose of {', '.join(KINDS)}, parted by commas")
    with _new_folder(out) as folder:
        patient = load_patient(setup)
        if patient.labels is None and what <= {"seg", "stl"}:
            raise PatientFileError(f"{patient.record.name}: has no labels, so no seg or stl; give --labels")
        with loading_bar() as progress:
            _write(patient, folder, what, progress)
    return _summary(patient, out)


def _summary(patient: Patient, out: Path) -> dict[str, Any]:
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return {
        "name": patient.record.name,
        "folder": str(out),
        "statement": SYNTHETIC if patient.modelled else "a real CT",
        "facts": dict(patient.facts),
        "files": _counted([path.relative_to(out).as_posix() for path in files]),
        "megabytes": round(sum(path.stat().st_size for path in files) / 2**20, 1),
    }


def _counted(names: list[str]) -> list[str]:
    """Return names, those of a subfolder as one line."""
    lines = [name for name in names if "/" not in name]
    folders = sorted({name.rpartition("/")[0] for name in names if "/" in name})
    lines += [f"{one}/ ({sum(name.rpartition('/')[0] == one for name in names)} files)" for one in folders]
    return lines


def _write(patient: Patient, folder: Path, what: frozenset[str], progress: Progress) -> None:
    manifest = write_patient_files(folder, patient, what, lambda f, text: progress(0.4 * f, text))
    about = _description(patient)
    if "dicom" in what or "seg" in what:
        slices = ct_slices(patient.volume, about)
        if "dicom" in what:
            target = folder / "dicom" / "ct"
            slices = write_ct_series(target, patient.volume, about, lambda f, text: progress(0.4 + 0.2 * f, text))
        if "seg" in what and patient.labels is not None:
            progress(0.6, "writing the DICOM segmentation")
            (folder / "dicom").mkdir(exist_ok=True)
            write_segmentation(folder / "dicom" / "seg.dcm", patient.labels, slices, about)
    if "stl" in what and patient.labels is not None:
        _write_surfaces(folder / "surfaces", patient, lambda f: progress(0.8 + 0.2 * f, "writing the surfaces"))
    seal_folder(folder, manifest)


def _write_surfaces(folder: Path, patient: Patient, report: Any) -> None:
    if patient.labels is None:
        return
    folder.mkdir()
    names = bone_names(patient.labels)
    for number, name in enumerate(names, start=1):
        surface = surface_of_label(patient.labels, name, patient.volume.world_from_index)
        if surface is not None:
            write_stl(folder / f"{name}.stl", surface, name)
        report(number / len(names))


def _description(patient: Patient) -> CTDescription:
    """Return identity and words for DICOM: of a modelled patient derived from his parameters."""
    record, parameters = patient.record, patient.parameters
    if parameters is None:
        identity = PatientIdentity(_plain(record.name), _plain(patient.patient_id or record.name))
        exam = ExamIdentity(
            new_uid(),
            datetime.now(UTC),
            identity,
            Equipment("export", __version__),
            position=record.position,
            description="CT, exported copy",
            therapeutic=False,
        )
        return CTDescription(exam, simulated=False, comments=f"Copy of {record.source}; not for clinical use")
    started = _EPOCH + timedelta(days=parameters.seed % _DAYS)
    exam = ExamIdentity(
        derived_uid("modelled patient", record.name, str(parameters.seed), repr(parameters), _grid(patient)),
        started,
        PatientIdentity(
            f"Simulated^{_plain(record.name)}"[:64],
            patient.patient_id or f"SIM-{record.name}",
            _born(started.date(), parameters.age_years),
            "F" if parameters.sex == "female" else "M",
        ),
        Equipment("modelled patient", __version__),
        position=record.position,
        description="SIMULATED patient",
        therapeutic=False,
    )
    return CTDescription(exam, comments=f"{SIMULATED_TEXT}. Modelled patient, {SYNTHETIC}")


def _grid(patient: Patient) -> str:
    return f"{patient.volume.values.shape} {patient.volume.spacing_mm.round(4).tolist()}"


def _born(on: date, age_years: float) -> date:
    return on - timedelta(days=math.ceil(age_years * 365.25) + 1)


def _plain(text: str) -> str:
    return "".join(" " if ord(letter) < 32 or letter in "\\^=" else letter for letter in text)[:50]


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """Give a folder beside ``out`` that takes its place when all went well."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out}: is there already and not empty; choose another --out")
    parent = out.absolute().parent
    if not parent.is_dir():
        raise FileNotFoundError(f"{parent}: no such folder for --out; make it first")
    try:
        working = Path(tempfile.mkdtemp(prefix=f"{_WORKING}{os.getpid()}-", dir=parent))
    except OSError as fault:
        raise OSError(f"{parent}: cannot be written ({fault.strerror}); choose another --out") from fault
    try:
        working.chmod(0o755)
        yield working
        working.replace(out)
    finally:
        shutil.rmtree(working, ignore_errors=True)
