"""Shares a compiled loop among the cores by plain threads.

Never by numba's own parallel loops: their pool ("workqueue", where the system has no OpenMP) ends the process when two
threads enter it at once, and a patient may be built while another is under the beam.
"""

import itertools
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numba
import numpy as np

__all__ = ["each", "spread"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Call ``function``, which works in compiled loops without the GIL, with every item; results in their order."""
    with ThreadPoolExecutor(max(1, int(numba.get_num_threads()))) as pool:
        return list(pool.map(function, items))


def spread(kernel: Callable[..., None], count: int, *arguments: Any, least: int = 1) -> None:
    """Call ``kernel(start, stop, *arguments)`` for as many parts of ``count`` as there are cores, and wait.

    Parameters
    ----------
    kernel
        Compiled with ``nogil``; it writes into arrays it is handed.
    count
        How much there is to do.
    arguments
        Handed on.
    least
        Fewest of ``count`` that are worth a thread.
    """
    parts = max(1, min(int(numba.get_num_threads()), count // least))
    if parts == 1:
        kernel(0, count, *arguments)
        return
    first, *others = itertools.pairwise(np.linspace(0, count, parts + 1).astype(int).tolist())
    with ThreadPoolExecutor(parts - 1) as pool:
        running = [pool.submit(kernel, a, b, *arguments) for a, b in others]
        kernel(*first, *arguments)
        for one in running:
            one.result()
