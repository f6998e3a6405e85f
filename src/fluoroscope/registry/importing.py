"""Import of a folder: every file read once, kept in small batches, taken up again where it was cut short."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import delete, insert, select

from fluoroscope.registry.keeping import Kept, keep_all, refuse_to_keep
from fluoroscope.registry.opening import Registry, RegistryError, utc_now
from fluoroscope.registry.read_many import Reading, read_many
from fluoroscope.registry.reading import read_report
from fluoroscope.registry.tables import ImportedFile, ImportRun

__all__ = ["BATCH", "Imported", "check_folder", "import_folder"]

BATCH = 64
"""Files a transaction: another program waits no longer than these take to keep."""
_LOOKED_UP = 500
_READ_AGAIN = frozenset({"damaged", "refused"})

Progress = Callable[[float, str], None]


@dataclass(slots=True)
class Imported:
    """How an import went: numbers of files, and a line for each that was left out.

    Attributes
    ----------
    files
        Found in the folder.
    skipped
        Looked at in an earlier import and unchanged.
    new, known
        Objects kept now; objects that were in the registry before, under whichever path.
    other
        Files that are not DICOM or say nothing of dose.
    left_out
        Damaged, refused or contradicting files, each in one line.
    """

    files: int = 0
    skipped: int = 0
    new: int = 0
    known: int = 0
    other: int = 0
    left_out: list[str] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Files that are through."""
        return self.skipped + self.new + self.known + self.other + len(self.left_out)


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    size: int
    changed_ns: int


def check_folder(folder: Path) -> None:
    """Refuse what an import can take nothing of: a folder without files, one file that cannot be used.

    Raises
    ------
    RegistryError, PatientFileError
        Names it; nothing was made or kept.
    """
    if not folder.exists():
        raise RegistryError(f"{folder}: no such folder; give the folder of the dose reports")
    if folder.is_file() and read_report(folder) is None:
        raise RegistryError(f"{folder}: no dose object; give dose reports (RDSR), X-ray images or their folder")
    if next(_files(folder.absolute()), None) is None:
        raise RegistryError(f"{folder}: no file in it; give the folder of the dose reports")


def import_folder(registry: Registry, folder: Path, progress: Progress, workers: int | None = None) -> Imported:
    """Keep every dose object of a folder and the folders in it.

    It may be killed at any time: what was kept stays, and the same command goes on from there. Objects that are in the
    registry already are not kept again. A file that cannot be read stops nothing and leaves nothing behind.

    Parameters
    ----------
    folder
        Or a single file.
    progress
        Told the part done and a few words.
    workers
        Processes that read; as many as there are processors when absent.

    Raises
    ------
    RegistryError
        The folder cannot be read, or the registry can no longer be written to; what was kept before stays.
    """
    if not folder.exists():
        raise RegistryError(f"{folder}: no such folder; give the folder of the dose reports")
    files = list(_files(folder.absolute()))
    told = Imported(len(files))
    waiting = _not_yet_read(registry, files, told)
    with registry.writing() as session:
        run = ImportRun(folder=_text(folder.absolute()), started_utc=utc_now(), ended_utc=None)
        session.add(run)
        session.flush()
        number = run.id
    by_path = {one.path: one for one in waiting}
    for batch in read_many([one.path for one in waiting], BATCH, workers):
        _keep_batch(registry, number, [(by_path[one.path], one) for one in batch], told)
        share = told.done / max(told.files, 1)
        progress(share, f"{told.done} of {told.files} files, {told.new} new, {len(told.left_out)} left out")
    with registry.writing() as session:
        session.get_one(ImportRun, number).ended_utc = utc_now()
    return told


def _files(folder: Path) -> Iterator[_File]:
    """Yield the regular files of a folder in order; links are not followed out of it, pipes and devices left alone."""
    if folder.is_file():
        yield from _looked_at([folder])
        return

    def refuse(fault: OSError) -> None:
        if fault.filename == str(folder):
            raise RegistryError(f"{folder}: {fault.strerror}; check the folder's rights") from fault

    for place, folders, names in os.walk(folder, onerror=refuse):
        folders.sort()
        yield from _looked_at(Path(place, name) for name in sorted(names))


def _looked_at(paths: Iterable[Path]) -> Iterator[_File]:
    for path in paths:
        try:
            if path.is_file():
                facts = path.stat()
                yield _File(path, facts.st_size, facts.st_mtime_ns)
        except OSError:
            yield _File(path, -1, -1)  # reading it says what is wrong


def _not_yet_read(registry: Registry, files: Sequence[_File], told: Imported) -> list[_File]:
    """Return the files that are to be read: new ones, changed ones, and those that were damaged."""
    waiting = []
    with registry.reading() as session:
        for first in range(0, len(files), _LOOKED_UP):
            part = files[first : first + _LOOKED_UP]
            query = select(ImportedFile).where(ImportedFile.path.in_([_text(one.path) for one in part]))
            known = {one.path: one for one in session.scalars(query)}
            for one in part:
                before = known.get(_text(one.path))
                same = before is not None and (before.size, before.changed_ns) == (one.size, one.changed_ns)
                if before is None or not same or before.outcome in _READ_AGAIN:
                    waiting.append(one)
                elif before.outcome == "differs":
                    told.left_out.append(f"{one.path}: {before.text}")
                else:
                    told.skipped += 1
    return waiting


def _keep_batch(registry: Registry, number: int, batch: Sequence[tuple[_File, Reading]], told: Imported) -> None:
    """Keep what was read of some files, and that they were read, in one transaction."""
    try:
        kept = _written(registry, number, batch)
    except refuse_to_keep:
        # One of them is refused by the database: each in a transaction of its own, and only that one stays out.
        kept = []
        for file, reading in batch:
            try:
                kept += _written(registry, number, [(file, reading)])
            except refuse_to_keep as fault:
                kept.append(Kept("refused", " ".join(str(fault.orig).split())[:200]))
    for (file, _), one in zip(batch, kept, strict=True):
        if one.outcome == "new":
            told.new += 1
        elif one.outcome == "known":
            told.known += 1
        elif one.outcome == "other":
            told.other += 1
        else:
            text = one.text if one.text.startswith(str(file.path)) else f"{file.path}: {one.text}"
            told.left_out.append(text)


def _written(registry: Registry, number: int, batch: Sequence[tuple[_File, Reading]]) -> list[Kept]:
    with registry.writing() as session:
        added = iter(keep_all(session, [reading.report for _, reading in batch if reading.report is not None]))
        kept = [
            next(added) if one.report is not None else Kept("damaged", one.fault) if one.fault else Kept("other")
            for _, one in batch
        ]
        paths = [_text(file.path) for file, _ in batch]
        session.execute(delete(ImportedFile).where(ImportedFile.path.in_(paths)))
        session.connection().execute(
            insert(ImportedFile),
            [
                {
                    "path": path, "size": file.size, "changed_ns": file.changed_ns, "outcome": one.outcome,
                    "text": one.text, "object_row": one.object_row, "import_row": number,
                }
                for path, (file, _), one in zip(paths, batch, kept, strict=True)
            ],
        )  # fmt: skip
    return kept


def _text(path: Path) -> str:
    """Return a path as the database holds it: names that are not UTF-8 stay different from one another."""
    return str(path).encode(errors="surrogateescape").decode(errors="backslashreplace").replace("\0", "")
