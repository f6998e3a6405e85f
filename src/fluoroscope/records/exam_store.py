"""Exams on disk: a folder each, with a log that is rewritten whole: a crash loses at most the run it hit.

``<data folder>/exams/<UTC date-time>-<short uid>/`` holds ``exam.json`` (whose exam, machine, versions,
events, files), ``run-NNN.dcm``, ``image-NNN.dcm`` with ``image-NNN.png``, and ``dose.dcm``: of the events so far
while the exam is open, complete when it is closed, then with ``patient_dose.dcm`` where a skin map is known.
"""

import hashlib
import shutil
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.folders import data_folder
from fluoroscope.records.coding import Coder, code_frame
from fluoroscope.records.contents import DoseCalibration, DoseEvent, DoseImage, XARun
from fluoroscope.records.identity import ExamIdentity
from fluoroscope.records.png import write_png
from fluoroscope.records.whole_file import whole_file

if TYPE_CHECKING:
    from fluoroscope.records.patient_dose import PatientDose
    from fluoroscope.records.rdsr import DoseReport

__all__ = [
    "DiskRoom",
    "ExamFileError",
    "ExamFolder",
    "ExamRecord",
    "ExamSummary",
    "StoredFile",
    "disk_room",
    "exams_folder",
    "is_open",
    "list_exams",
    "load_exam",
]

_LOG_NAME = "exam.json"
_FORMAT = 1
_NOT_ENDED = b'\n "ended": null'  # as the log is indented: of the exam, not of an event
_LARGEST_LOG_BYTES = 256 * 2**20
_LEAST_FREE_BYTES = 2 * 2**30
_BUDGET_WARNING_SHARE = 0.9


class ExamFileError(ValueError):
    """An exam's folder or log that cannot be read; the message is one line: what, where, what to do."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file of an exam.

    Attributes
    ----------
    kind
        "run", "image", "picture", "dose", "patient dose" or "skin map".
    name
        File name within the exam's folder.
    event_number
        The irradiation event it comes from; 0 for the dose report.
    sop_instance_uid
        Of DICOM files, else "".
    frames
        Of runs and images, else 0.
    """

    kind: str
    name: str
    event_number: int = 0
    sop_instance_uid: str = ""
    frames: int = 0


@dataclass(frozen=True, slots=True)
class ExamRecord:
    """What the log of an exam says.

    Attributes
    ----------
    identity
        Whose exam, on which machine.
    details
        JSON-ready facts of the app's choosing: patient model, C-arm, software versions.
    events, files
        In the order they came.
    ended
        None while the exam is open, and after a crash until it is recovered.
    complete
        False when it was closed by recovery.
    calibration
        Of the KAP meter; None when it is not calibrated.
    notes
        JSON-ready facts that came up while it went on, by subject: screening, budget, alerts, skin dose.
    """

    identity: ExamIdentity
    details: dict[str, Any]
    events: tuple[DoseEvent, ...] = ()
    files: tuple[StoredFile, ...] = ()
    ended: datetime | None = None
    complete: bool = True
    calibration: DoseCalibration | None = None
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExamSummary:
    """One line of the list of exams; ``problem`` says why a folder could not be read, else it is ""."""

    folder: Path
    started: datetime | None
    ended: datetime | None
    patient_name: str
    description: str
    events: int
    runs: int
    images: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class DiskRoom:
    """Room for exams: free on the disk, used by exams, and the budget (None: none set), bytes."""

    free_bytes: int
    used_bytes: int
    budget_bytes: int | None

    @property
    def warning(self) -> str | None:
        """A sentence for the user when room runs short, else None."""
        if self.free_bytes < _LEAST_FREE_BYTES:
            free_gb = self.free_bytes / 1e9
            return f"only {free_gb:.1f} GB free on the disk of the exams; free space or move the data folder"
        if self.budget_bytes is not None and self.used_bytes > _BUDGET_WARNING_SHARE * self.budget_bytes:
            used_gb, budget_gb = self.used_bytes / 1e9, self.budget_bytes / 1e9
            return f"exams use {used_gb:.1f} of {budget_gb:.1f} GB; delete old exams or raise the budget"
        return None


def exams_folder() -> Path:
    """Return where exams lie: ``FLUOROSCOPE_HOME/exams``, or under the platform's user data folder."""
    return data_folder() / "exams"


def disk_room(folder: Path, budget_bytes: int | None = None) -> DiskRoom:
    """Return how much room there is for exams under ``folder`` (which need not exist yet)."""
    standing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    used = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) if folder.is_dir() else 0
    return DiskRoom(shutil.disk_usage(standing).free, used, budget_bytes)


class ExamFolder:
    """The folder of one exam, open for writing. Methods may be called from any thread.

    Every change is logged by writing ``exam.json`` anew beside the old one and renaming it, after the file it
    speaks of is whole on disk.
    """

    def __init__(self, folder: Path, record: ExamRecord) -> None:
        self.folder = folder
        self._record = record
        self._lock = threading.RLock()
        self._reports: DoseReport | None = None

    @classmethod
    def create(cls, parent: Path, identity: ExamIdentity, details: Mapping[str, Any]) -> Self:
        """Make the folder of a new exam under ``parent``.

        Raises
        ------
        OSError
            When it cannot be made; the message says where and what to do.
        """
        short = hashlib.sha256(identity.study_uid.encode()).hexdigest()[:8]
        folder = parent / f"{identity.started.astimezone(UTC):%Y%m%d-%H%M%S}-{short}"
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            reason = error.strerror or str(error)
            raise OSError(f"cannot make {folder}: {reason}; choose a data folder with FLUOROSCOPE_HOME") from error
        made = cls(folder, ExamRecord(identity, dict(details)))
        made._write_log()
        return made

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open an exam's folder again, such as after a crash."""
        return cls(folder, load_exam(folder))

    @property
    def record(self) -> ExamRecord:
        """What is logged so far."""
        return self._record

    @property
    def dose_path(self) -> Path:
        """Where the dose report lies."""
        return self.folder / "dose.dcm"

    @property
    def patient_dose_path(self) -> Path:
        """Where the patient's dose is written."""
        return self.folder / "patient_dose.dcm"

    def run_path(self, event_number: int) -> Path:
        """Where the run of an event is, or will be."""
        return self.folder / f"run-{event_number:03d}.dcm"

    def add_event(self, event: DoseEvent) -> None:
        """Log an irradiation event: from here on a crash cannot lose its dose."""
        with self._lock:
            if self._record.ended is not None:
                raise ValueError(f"{self.folder}: the exam is closed; open a new one first")
            if any(known.event.uid == event.event.uid for known in self._record.events):
                raise ValueError(f"event {event.event.number} is logged already; its dose would count double")
            self._update(events=(*self._record.events, event))

    def save_run(self, frames: Iterable[NDArray[np.uint16]], run: XARun, *, coder: Coder = code_frame) -> Path:
        """Write a run as XA and log it; see `write_xa` for ``coder`` and for what is raised."""
        from fluoroscope.records.xa import write_xa

        path = self.run_path(run.event.number)
        uid = write_xa(path, frames, run, self._record.identity, coder=coder)
        self._add_file(StoredFile("run", path.name, run.event.number, uid, len(run.acquired_ns)))
        return path

    def save_image(
        self,
        pixels: NDArray[np.uint16],
        run: XARun,
        *,
        markers: tuple[str, str] = ("", ""),
        invert: bool = False,
    ) -> tuple[Path, Path]:
        """Write a stored image as XA and as PNG, and log both.

        Parameters
        ----------
        pixels
            uint16 (rows, columns).
        run
            What is known of it, with one time of acquisition; its image number is given here.
        markers, invert
            For the PNG, as in `write_png`.

        Returns
        -------
        tuple
            Paths of the DICOM file and of the PNG.
        """
        from fluoroscope.records.xa import write_xa

        with self._lock:
            number = 1 + sum(1 for f in self._record.files if f.kind == "image")
            stem = f"image-{number:03d}"
            dicom_path, png_path = self.folder / f"{stem}.dcm", self.folder / f"{stem}.png"
            numbered = replace(run, image_number=number)
            identity = self._record.identity
            uid = write_xa(dicom_path, [pixels], numbered, identity)
            self._add_file(StoredFile("image", dicom_path.name, run.event.number, uid, 1))
            write_png(
                png_path, pixels, run.window_center, run.window_width,
                text=identity.statement, markers=markers, invert=invert,
            )  # fmt: skip
            self._add_file(StoredFile("picture", png_path.name, run.event.number))
        return dicom_path, png_path

    def note(self, subject: str, facts: Any) -> None:
        """Log JSON-ready ``facts`` under a subject; what stood there gives way."""
        with self._lock:
            self._update(notes={**self._record.notes, subject: facts})

    def calibrate(self, calibration: DoseCalibration | None) -> None:
        """Log the calibration of the KAP meter; from here on the dose reports say it."""
        with self._lock:
            self._update(calibration=calibration)
            self._reports = None

    def write_dose_so_far(self, at: datetime) -> Path:
        """Write a dose report of the events so far, marked PARTIAL; `close` puts the complete one in its place.

        Parameters
        ----------
        at
            Now, aware: the report's content time.
        """
        from fluoroscope.records.rdsr import ReportState

        with self._lock:
            if self._record.ended is not None:
                raise ValueError(f"{self.folder}: the exam is closed; its dose report is complete")
            events, images = self._record.events, self._images()
            # Written under the lock: a report of fewer events must not replace one of more.
            self._report().write(self.dose_path, events, ended=at, state=ReportState.SO_FAR, images=images)
        return self.dose_path

    def close(self, ended: datetime, *, complete: bool = True) -> Path:
        """Write the dose report and log the end; closing again writes the same report again.

        Parameters
        ----------
        ended
            When the exam ended, aware.
        complete
            False on recovery after a crash.
        """
        from fluoroscope.records.rdsr import ReportState

        with self._lock:
            if self._record.ended is not None:
                ended, complete = self._record.ended, self._record.complete
            events, images = self._record.events, self._images()
            state = ReportState.COMPLETE if complete else ReportState.CUT_SHORT
            uid = self._report().write(self.dose_path, events, ended=ended, state=state, images=images)
            files = tuple(f for f in self._record.files if f.kind != "dose")
            self._update(
                files=(*files, StoredFile("dose", self.dose_path.name, 0, uid)),
                ended=ended,
                complete=complete,
            )
        return self.dose_path

    def add_patient_dose(self, dose: "PatientDose", made: datetime) -> Path:
        """Write what the patient got, estimated from the dose report of this exam, and log it with its map.

        Parameters
        ----------
        dose
            The estimate.
        made
            When it was estimated, aware.

        Raises
        ------
        ValueError
            When the exam is not closed: there is no complete dose report to refer to.
        """
        from fluoroscope.records.patient_dose import map_path, write_patient_dose
        from fluoroscope.records.rdsr import dose_report_series
        from fluoroscope.records.report_subject import ReportSource, subject_of_exam

        with self._lock:
            exam = self._record.identity
            report = next((f.sop_instance_uid for f in self._record.files if f.kind == "dose"), None)
            if report is None:
                raise ValueError(f"{self.folder}: no dose report yet; close the exam first")
            events = tuple(one.event.uid for one in self._record.events)
            source = ReportSource(exam.study_uid, dose_report_series(exam), report, events)
            path = self.patient_dose_path
            written = write_patient_dose(path, subject_of_exam(exam), source, dose, made)
            self._add_file(StoredFile("patient dose", path.name, 0, written.sop_instance_uid))
            if written.map_uid:
                self._add_file(StoredFile("skin map", map_path(path).name, 0, written.map_uid, 1))
        return path

    def _report(self) -> "DoseReport":
        from fluoroscope.records.rdsr import DoseReport

        if self._reports is None:
            self._reports = DoseReport(self._record.identity, self._record.calibration)
        return self._reports

    def _images(self) -> dict[str, list[DoseImage]]:
        """Return the runs and stored images on disk, by the UID of their event."""
        from fluoroscope.records.xa import xa_series

        uids = {one.event.number: one.event.uid for one in self._record.events}
        images: dict[str, list[DoseImage]] = {}
        for file in self._record.files:
            if file.kind in ("run", "image") and file.event_number in uids:
                series = xa_series(self._record.identity.study_uid, file.event_number, still=file.kind == "image")
                images.setdefault(uids[file.event_number], []).append(DoseImage(series, file.sop_instance_uid))
        return images

    def _add_file(self, file: StoredFile) -> None:
        with self._lock:
            others = tuple(f for f in self._record.files if f.name != file.name)
            self._update(files=(*others, file))

    def _update(self, **changes: Any) -> None:
        before = self._record
        self._record = replace(self._record, **changes)
        try:
            self._write_log()
        except OSError:
            self._record = before
            raise

    def _write_log(self) -> None:
        import json

        record = self._record
        log = {
            "format": _FORMAT,
            "statement": record.identity.statement,
            **_adapter().dump_python(record, mode="json"),
        }
        text = json.dumps(log, ensure_ascii=False, indent=1)
        with whole_file(self.folder / _LOG_NAME) as file:
            file.write(text.encode())


def load_exam(folder: Path) -> ExamRecord:
    """Read the log of an exam.

    Raises
    ------
    ExamFileError
        When the folder is no exam, or its log is damaged or of a newer version.
    """
    import json

    path = folder / _LOG_NAME
    if not path.is_file():
        raise ExamFileError(f"{folder}: no exam in it ({_LOG_NAME} is missing); choose another folder")
    if path.stat().st_size > _LARGEST_LOG_BYTES:
        raise ExamFileError(f"{path}: too large for an exam's log; restore it from a backup")
    try:
        log = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ExamFileError(f"{path}: damaged ({error}); restore it from a backup") from error
    version = log.get("format") if isinstance(log, dict) else None
    if version != _FORMAT:
        raise ExamFileError(f"{path}: format {version}, {_FORMAT} is read; use the program that wrote it")
    from pydantic import ValidationError

    try:
        record: ExamRecord = _adapter().validate_python(log)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ExamFileError(f"{path}: {where}: {first['msg']}; restore it from a backup") from error
    return record


def is_open(folder: Path) -> bool:
    """Return whether an exam has no complete dose report: it is open, or was cut short and not recovered.

    Looks for the line of the log that says so, without reading the log: there may be thousands of exams.
    """
    if not (folder / "dose.dcm").is_file():
        return True
    try:
        return _NOT_ENDED in (folder / _LOG_NAME).read_bytes()
    except OSError:
        return True


def list_exams(parent: Path) -> list[ExamSummary]:
    """Return the exams under ``parent``, newest first; a damaged one is listed with its problem."""
    if not parent.is_dir():
        return []
    folders = sorted((f for f in parent.iterdir() if (f / _LOG_NAME).is_file()), reverse=True)
    return [_summary(folder) for folder in folders]


def _summary(folder: Path) -> ExamSummary:
    try:
        record = load_exam(folder)
    except (ExamFileError, OSError) as error:
        return ExamSummary(folder, None, None, "", "", 0, 0, 0, problem=str(error))
    kinds = [f.kind for f in record.files]
    return ExamSummary(
        folder=folder,
        started=record.identity.started,
        ended=record.ended,
        patient_name=record.identity.patient.name,
        description=record.identity.description,
        events=len(record.events),
        runs=kinds.count("run"),
        images=kinds.count("image"),
    )


@cache
def _adapter() -> Any:
    # Imported here: pydantic takes longer to load than an exam to log.
    from pydantic import TypeAdapter

    return TypeAdapter(ExamRecord)
