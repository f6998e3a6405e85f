"""Files that appear under their name only when they are whole."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["whole_file"]


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that appears under its name only when whole: written beside it, flushed, renamed.

    Raises
    ------
    OSError
        When it cannot be written (folder not writable, disk full); nothing half-written stays behind.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        refused = OSError(f"cannot write {path}: {reason}; free disk space or choose another folder")
        refused.errno = error.errno
        raise refused from error
    finally:
        partial.unlink(missing_ok=True)
