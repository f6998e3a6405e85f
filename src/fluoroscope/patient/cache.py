"""Opened patients, kept on disk as they are used: the next start maps them instead of making them."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.folders import cache_folder

__all__ = ["file_key", "lookup", "store"]

_KEPT = 12
_KEPT_BYTES = 8 << 30
"""A modelled patient with all his moving parts takes some 0.5 GB."""


def file_key(*parts: object) -> str:
    """Return a key that changes when a part does; a `Path` counts with the size and time of all its files."""
    content = json.dumps([_stamp(part) for part in parts], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def _stamp(part: object) -> object:
    if not isinstance(part, Path):
        return part
    files = sorted(p for p in part.rglob("*") if p.is_file()) if part.is_dir() else [part]
    stats = [(str(p.resolve()), p.stat()) for p in files]
    return [(name, s.st_size, s.st_mtime_ns) for name, s in stats]


def lookup(key: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]] | None:
    """Return (arrays by name, facts) of a stored patient, arrays memory-mapped read-only, or None."""
    folder = _root() / key
    try:
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        arrays = {
            name: np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False))
            for name in facts["arrays"]
        }
        os.utime(folder)
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None  # missing or damaged: it is made again and replaced
    return arrays, facts["facts"]


def store(key: str, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
    """Write a patient so that it appears whole or not at all, and drop the ones longest unused.

    Raises
    ------
    OSError
        When the cache folder cannot be written.
    """
    root = _root()
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=root))
    try:
        for name, array in arrays.items():
            np.save(temporary / f"{name}.npy", array, allow_pickle=False)
        content = {"arrays": list(arrays), "facts": dict(facts)}
        (temporary / "facts.json").write_text(json.dumps(content), encoding="utf-8")
        shutil.rmtree(root / key, ignore_errors=True)
        with contextlib.suppress(FileExistsError):
            temporary.replace(root / key)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _drop_oldest(root)


def _drop_oldest(root: Path) -> None:
    entries = sorted((p for p in root.iterdir() if not p.name.startswith(".")), key=lambda p: p.stat().st_mtime)
    size = 0
    for number, entry in enumerate(reversed(entries)):
        size += sum(file.stat().st_size for file in entry.iterdir())
        if number and (number >= _KEPT or size > _KEPT_BYTES):
            shutil.rmtree(entry, ignore_errors=True)


def _root() -> Path:
    return cache_folder() / "opened"
