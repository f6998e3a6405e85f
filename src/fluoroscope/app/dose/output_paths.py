"""Where a command is told to write: looked at before anything is worked out or written."""

from collections.abc import Sequence
from pathlib import Path

__all__ = ["check_outputs"]


def check_outputs(outputs: Sequence[Path | None], inputs: Sequence[Path | None]) -> None:
    """See that files can be written side by side and none over what is read.

    Parameters
    ----------
    outputs
        Files to be written, None where one is not asked for; those there are replaced.
    inputs
        Files that are read, or None.

    Raises
    ------
    ValueError
        Two outputs are one file, one is an input or a folder, or its folder is not there; says which.
    """
    taken = [path.resolve() for path in inputs if path is not None]
    for path in (path for path in outputs if path is not None):
        if path.is_dir():
            raise ValueError(f"{path}: is a folder; name a file in it")
        if not path.absolute().parent.is_dir():
            raise ValueError(f"{path}: its folder does not exist; make it or choose another")
        if path.resolve() in taken:
            raise ValueError(f"{path}: is read or written by this command already; choose another name")
        taken.append(path.resolve())
