"""Import of a folder: idempotent, resumable after a kill, nothing half kept."""

import multiprocessing
import os
import signal
import subprocess
import sys

import pytest
from sqlalchemy import func, select

from fluoroscope.records.contents import DoseEvent
from fluoroscope.records.rdsr import write_rdsr
from fluoroscope.registry import Registry, RegistryError, importing
from fluoroscope.registry.history import patient_history
from fluoroscope.registry.importing import import_folder
from fluoroscope.registry.people import find_patients
from fluoroscope.registry.read_many import read_many
from fluoroscope.registry.tables import DoseObjectRow, Event, ImportRun


def told(fraction, text):
    assert 0.0 <= fraction <= 1.0


@pytest.fixture
def reports(tmp_path, make_event, make_exam):
    """Give a function that writes ``count`` dose reports into a folder, each of a study of its own."""

    def write(count, name="reports"):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        for number in range(1, count + 1):
            exam = make_exam(study_uid=f"2.25.{7000 + number}")
            event = make_event(1, uid=f"2.25.{9000 + number}")
            write_rdsr(folder / f"{number:03d}.dcm", exam, [DoseEvent(event)], ended=event.ended)
        return folder

    return write


def counted(registry):
    with registry.reading() as session:
        objects = session.scalar(select(func.count()).select_from(DoseObjectRow))
        return objects, session.scalar(select(func.count()).select_from(Event))


@pytest.mark.req("REQ-REG-004")
def test_folder_is_imported_once_however_often_it_is_asked(registry, reports):
    folder = reports(3)
    first = import_folder(registry, folder, told)
    again = import_folder(registry, folder, told)
    assert (first.files, first.new, first.left_out) == (3, 3, [])
    assert (again.new, again.skipped) == (0, 3)
    assert counted(registry) == (3, 3)
    assert patient_history(registry, "P-1").cumulative.air_kerma_mgy == pytest.approx(3 * 0.123456789, abs=1e-6)


@pytest.mark.req("REQ-REG-002")
def test_same_object_on_two_paths_is_kept_once(registry, reports):
    folder = reports(1)
    (folder / "deeper").mkdir()
    (folder / "deeper" / "copy").write_bytes((folder / "001.dcm").read_bytes())
    result = import_folder(registry, folder, told)
    assert (result.new, result.known) == (1, 1)
    assert counted(registry) == (1, 1)


@pytest.mark.req("REQ-REG-005")
def test_bad_file_is_named_and_leaves_nothing_behind(registry, reports):
    folder = reports(2)
    whole = (folder / "001.dcm").read_bytes()
    (folder / "cut.dcm").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.dcm").write_bytes(b"")
    (folder / "notes.txt").write_text("no DICOM")
    os.mkfifo(folder / "pipe")
    result = import_folder(registry, folder, told)
    assert (result.new, result.other) == (2, 1)
    assert [line.split(":")[0].rsplit("/", 1)[1] for line in result.left_out] == ["cut.dcm", "empty.dcm"]
    assert counted(registry) == (2, 2)
    (folder / "cut.dcm").write_bytes(whole)
    mended = import_folder(registry, folder, told)
    assert (mended.new, mended.known, mended.skipped) == (0, 1, 3)


@pytest.mark.req("REQ-REG-005")
def test_only_bad_files_leave_the_registry_untouched(registry, reports):
    folder = reports(1)
    whole = (folder / "001.dcm").read_bytes()
    (folder / "001.dcm").write_bytes(whole[: len(whole) - 100])
    result = import_folder(registry, folder, told)
    assert len(result.left_out) == 1
    assert counted(registry) == (0, 0)
    assert find_patients(registry) == []


def test_folder_that_is_not_there_is_one_line(registry, tmp_path):
    with pytest.raises(RegistryError, match="no such folder"):
        import_folder(registry, tmp_path / "nowhere", told)


@pytest.mark.req("REQ-REG-004")
def test_import_goes_on_where_it_was_cut_short(registry, reports, monkeypatch):
    folder = reports(5)
    monkeypatch.setattr(importing, "BATCH", 2)

    def stop(fraction, text):
        if fraction >= 0.4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_folder(registry, folder, stop)
    assert counted(registry) == (2, 2)
    result = import_folder(registry, folder, told)
    assert (result.skipped, result.new) == (2, 3)
    with registry.reading() as session:
        ended = [one.ended_utc is not None for one in session.scalars(select(ImportRun).order_by(ImportRun.id))]
    assert ended == [False, True]


KILLED = """
import os, signal, sys
from pathlib import Path
from fluoroscope.registry import Registry, importing
from fluoroscope.registry.keeping import keep_all
importing.BATCH = 2
batches = []
def die_in_the_middle(session, reports):
    batches.append(keep_all(session, reports))
    if len(batches) == 2:  # its transaction is open
        os.kill(os.getpid(), signal.SIGKILL)
    return batches[-1]
importing.keep_all = die_in_the_middle
importing.import_folder(Registry(sys.argv[1]), Path(sys.argv[2]), lambda *_: None)
"""


@pytest.mark.req("REQ-REG-004")
def test_killed_import_keeps_whole_batches_and_goes_on(registry_url, reports):
    folder = reports(5)
    killed = subprocess.run([sys.executable, "-c", KILLED, registry_url, str(folder)], check=False)
    assert killed.returncode == -signal.SIGKILL
    with Registry(registry_url) as registry:
        assert counted(registry) == (2, 2)
        assert (import_folder(registry, folder, told).new, counted(registry)) == (3, (5, 5))


def test_readers_in_processes_give_the_same_in_order(reports, tmp_path, monkeypatch):
    from fluoroscope.registry import read_many as module

    folder = reports(6)
    (folder / "bad.dcm").write_bytes(b"")
    paths = sorted(folder.iterdir())
    alone = [one for batch in read_many(paths, 2, workers=1) for one in batch]
    monkeypatch.setattr(module, "_WORTH_A_PROCESS", 1)
    together = [one for batch in read_many(paths, 2, workers=2) for one in batch]
    assert [one.path for one in together] == paths
    assert together == alone


ORPHANED = """
import sys, time
from concurrent.futures import ProcessPoolExecutor
import multiprocessing, os
from fluoroscope.registry.read_many import _end_with_parent
if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_end_with_parent)
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(600)
"""


def test_readers_end_with_the_program_that_asked(tmp_path):
    script = tmp_path / "asks.py"
    script.write_text(ORPHANED)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as asks:
        reader = int(asks.stdout.readline())
        asks.kill()
        asks.wait()
    for _ in range(600):
        if not running(reader):
            return
        multiprocessing.Event().wait(0.05)
    pytest.fail("the reader outlived the program that asked")


def running(process):
    try:
        with open(f"/proc/{process}/stat") as facts:
            return facts.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
