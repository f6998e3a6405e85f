"""Options that commands on X-ray pictures share: a pixel in words, the file of an overlay."""

from pathlib import Path

__all__ = ["check_overlay", "pixel_option"]


def pixel_option(flag: str, word: str | None) -> tuple[float, float] | None:
    """Return (row, column) of "ROW,COLUMN", None for none; ``flag`` is named in the ValueError for anything else."""
    if word is None:
        return None
    try:
        row, column = (float(part) for part in word.split(","))
    except ValueError:
        raise ValueError(f"{flag} {word}: give ROW,COLUMN in pixels, such as 250,310") from None
    return row, column


def check_overlay(path: Path | None) -> None:
    """Raise ValueError when the overlay's folder is not there, before any work is done."""
    if path is not None and not path.absolute().parent.is_dir():
        raise ValueError(f"--overlay {path}: its folder does not exist; make it first")
