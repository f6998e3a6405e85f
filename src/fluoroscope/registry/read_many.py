"""Reading many files in several processes: a file that ends its reader ends no import."""

import itertools
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from fluoroscope.patient.stored import PatientFileError
from fluoroscope.registry.reading import read_report
from fluoroscope.registry.reports import Report

__all__ = ["Reading", "read_many"]

_WORTH_A_PROCESS = 2000
"""Files below which processes take longer to start (two seconds each) than they save (a millisecond a file)."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of a file: its report, or a line that says why it cannot be read, or neither (nothing of dose)."""

    path: Path
    report: Report | None = None
    fault: str = ""


def read_many(paths: Sequence[Path], batch: int, workers: int | None = None) -> Iterator[list[Reading]]:
    """Yield what was read of ``paths``, ``batch`` at a time, in order."""
    parts = [list(paths[first : first + batch]) for first in range(0, len(paths), batch)]
    count = (os.cpu_count() or 1) if workers is None else workers
    if count < 2 or len(paths) < _WORTH_A_PROCESS:
        yield from map(_read_all, parts)
        return
    waiting = iter(parts)
    while True:
        lost = yield from _in_processes(waiting, count)
        if not lost:
            return
        # A file ended its process. Found one by one, so that only it is left out.
        for part in lost:
            yield [_alone(path) for path in part]


def _in_processes(parts: Iterator[list[Path]], count: int) -> Generator[list[Reading], None, list[list[Path]]]:
    """Yield readings; return the parts that were under way when a process ended."""
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), initializer=_end_with_parent)
    under_way: deque[tuple[list[Path], Future[list[Reading]]]] = deque()
    try:
        # No more under way than the processes need: what is read waits in memory.
        for part in itertools.islice(parts, 2 * count):
            under_way.append((part, pool.submit(_read_all, part)))
        while under_way:
            part, future = under_way[0]
            yield future.result()
            under_way.popleft()
            for following in itertools.islice(parts, 1):
                under_way.append((following, pool.submit(_read_all, following)))
    except BrokenProcessPool:
        return [part for part, _ in under_way]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return []


def _alone(path: Path) -> Reading:
    """Read a file in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_end_with_parent) as pool:
        try:
            return pool.submit(_read, path).result()
        except BrokenProcessPool:
            return Reading(path, fault=f"{path}: reading it ended the reader; it is left out, check the file")


def _end_with_parent() -> None:
    """End when the program that asked is gone: killed, it cannot say so."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()


def _read_all(paths: Sequence[Path]) -> list[Reading]:
    return [_read(path) for path in paths]


def _read(path: Path) -> Reading:
    try:
        return Reading(path, read_report(path))
    except (PatientFileError, ValueError) as fault:
        return Reading(path, fault=" ".join(str(fault).split()))
    except OSError as fault:
        return Reading(path, fault=f"{path}: {fault.strerror or fault}; check the file")
