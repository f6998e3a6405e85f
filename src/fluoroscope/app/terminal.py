"""What the command line prints: one JSON object, a table, a progress bar, a warning."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

__all__ = ["Progress", "loading_bar", "print_json", "print_table", "warn"]

Progress = Callable[[float, str], None]


def print_json(value: Any) -> None:
    """Print one JSON object on stdout."""
    sys.stdout.write(json.dumps(value, indent=1, allow_nan=False, default=str) + "\n")


def warn(line: str) -> None:
    """Print one line on stderr."""
    sys.stderr.write(_printable(line) + "\n")


def _printable(words: str) -> str:
    """Return words, some from foreign files, without what moves a cursor or cannot be encoded."""
    return "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in words)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on stdout."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Plain text: words of a foreign file are no markup.
    table = Table(*columns, title=Text(_printable(title), "table.title"), title_justify="left")
    # An id or a path that is cut cannot be used.
    for column in table.columns:
        column.overflow = "fold"
    for row in rows:
        table.add_row(*(Text(_printable(cell)) for cell in row))
    Console().print(table)


@contextmanager
def loading_bar() -> Iterator[Progress]:
    """Show progress on stderr when that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda fraction, text: bar.update(task, completed=fraction, description=text)
