"""Benchmark of the registry: dose reports imported into a new file."""

import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fluoroscope.acquisition.event import IrradiationEvent
from fluoroscope.evaluation.projector_bench import Row, row
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.patient.stored import silent
from fluoroscope.records.contents import DoseEvent
from fluoroscope.records.identity import Equipment, ExamIdentity, PatientIdentity
from fluoroscope.records.rdsr import write_rdsr
from fluoroscope.registry import Registry
from fluoroscope.registry.importing import import_folder

__all__ = ["registry_rows"]

REPORTS = 45
MOST_EVENTS = 9
STARTED = datetime(2026, 11, 26, 8, 0, tzinfo=UTC)


def registry_rows(repeats: int = 3) -> list[Row]:
    """Return how many reports a second are read and kept, by one process, in a new SQLite file each time."""
    rates = []
    with tempfile.TemporaryDirectory() as scratch:
        reports = Path(scratch) / "reports"
        reports.mkdir()
        for number in range(REPORTS):
            _write(reports / f"{number}.dcm", number)
        for repeat in range(repeats + 1):
            with Registry(Path(scratch) / f"{repeat}.sqlite") as registry:
                began = time.perf_counter()
                told = import_folder(registry, reports, silent, workers=1)
                rates.append(told.new / (time.perf_counter() - began))
    size = f"{REPORTS} reports of 1 to {MOST_EVENTS} events"
    stages = "find, read, check, look up, write, sync; one process, SQLite; the first of all left out"
    return [row("registry.import", "dose reports imported into the registry", size, stages, rates[1:], "objects/s")]


def _write(path: Path, number: int) -> None:
    started = STARTED + timedelta(hours=number)
    identity = ExamIdentity(
        f"2.25.{10**6 + number}", started, PatientIdentity("Bench^Mark", f"B-{number // 3}"), Equipment("C-arm", "1")
    )
    events = [DoseEvent(_event(number, press, started)) for press in range(1, 2 + number % MOST_EVENTS)]
    write_rdsr(path, identity, events, ended=started + timedelta(minutes=5))


def _event(number: int, press: int, started: datetime) -> IrradiationEvent:
    began = started + timedelta(seconds=10 * press)
    pose = CArmPose(float(press), 5.0, 750.0, 1200.0)
    return IrradiationEvent(
        f"2.25.{10**9 + 100 * number + press}", press, began, began + timedelta(seconds=2), 15, 0, 7.5, 2.0, 0.12, 0.15,
        0.06, 70.0, 3.0, 8.0, pose, pose, None, None, None,
    )  # fmt: skip
