"""Shares a compiled loop among the cores.

The loop's body is compiled alone, as a C function, and one small parallel kernel calls it by its address. Were the body
part of a parallel kernel, numba would optimise and translate it five times on its way through the layers of that
kernel: most of the time a first start takes.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import cfunc, get_num_threads, njit, prange, types
from numpy.typing import NDArray

from fluoroscope.projector.simd import intrinsic

__all__ = [
    "DOOR",
    "WITHIN",
    "SharedLoop",
    "argument",
    "carray",
    "compiling_elsewhere",
    "cores",
    "pointer_to",
    "shared",
    "turn",
]

# A thread that waits for the others sleeps: spinning, it takes their core whenever anything else runs (2.3× slower).
# OpenMP reads it once, when the first parallel kernel of any room starts: all of them start here.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

carray: Any = numba.carray  # type: ignore[attr-defined]
threading_layer: Callable[[], str] = numba.threading_layer  # type: ignore[attr-defined]

WITHIN: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}
"""Options of a function that only kernels call: its doors for Python and C would cost a third of its compile time."""

DOOR: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy", "no_cfunc_wrapper": True}
"""Options of a kernel that Python calls."""


@intrinsic
def call_at(typingctx: Any, address: Any, part: Any, arguments: Any) -> Any:
    """Call the C function ``void (int64 part, int64 arguments)`` at ``address``."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(64), ir.IntType(64)])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), [args[1], args[2]])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), emit


@intrinsic
def pointer_to(typingctx: Any, address: Any, kind: Any) -> Any:
    """Return ``address`` as a pointer to numbers of a numpy type, for `numba.carray`."""
    result = types.CPointer(kind.dtype)  # type: ignore[no-untyped-call]

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(result))

    return result(types.int64, kind), emit


@intrinsic
def argument(typingctx: Any, arguments: Any, number: Any) -> Any:
    """Return argument ``number`` of a shared loop's body: a whole number or an array's address."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        block = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.load(builder.gep(block, [args[1]]))

    return types.int64(types.int64, types.int64), emit


@njit(parallel=True, **DOOR)
def all_parts(address, arguments, parts):  # type: ignore[no-untyped-def]
    """Call the function at ``address`` once for every part."""
    for part in prange(parts):
        call_at(address, np.int64(part), arguments)


_elsewhere: list[Callable[[], None]] = []


@contextmanager
def compiling_elsewhere(wait: Callable[[], None]) -> Iterator[None]:
    """While another process compiles the shared loops into the cache: ``wait`` before compiling one here."""
    _elsewhere.append(wait)
    try:
        yield
    finally:
        _elsewhere.remove(wait)


class SharedLoop:
    """A loop whose parts run on all cores; made by `shared`, compiled (or read from the cache) when first needed.

    Parameters
    ----------
    body
        ``body(part, arguments)`` in numba's Python, with ``part`` from 0; it reads its arguments with `argument`.
    options
        Of the compiler.
    """

    def __init__(self, body: Callable[[int, int], None], options: dict[str, Any]) -> None:
        self._body, self._options = body, options
        self._compiled: Any = None

    @property
    def address(self) -> int:
        """Of the C function."""
        if self._compiled is None:
            for wait in _elsewhere:
                wait()
            kind = types.void(types.int64, types.int64)
            options = {"error_model": "numpy", "no_cpython_wrapper": True, **self._options}
            self._compiled = cfunc(kind, cache=True, **options)(self._body)
        return int(self._compiled.address)

    def compile(self) -> None:
        """Compile it now, or read it from the cache."""
        _ = self.address
        all_parts.compile((types.int64, types.int64, types.int64))

    @property
    def is_compiled(self) -> bool:
        """Whether it is ready to run in this process."""
        return self._compiled is not None

    def run(self, parts: int, *arguments: int | NDArray[Any]) -> None:
        """Run all parts and wait for them; any thread may call it at any time.

        Parameters
        ----------
        parts
            How many.
        arguments
            Whole numbers, and C-contiguous arrays, of which the body gets the address. Nothing checks a bound.
        """
        values = [one.ctypes.data if isinstance(one, np.ndarray) else int(one) for one in arguments]
        block = np.array(values, dtype=np.int64)
        with turn():
            all_parts(self.address, block.ctypes.data, parts)


def shared(**options: Any) -> Callable[[Callable[[int, int], None]], SharedLoop]:
    """Make a `SharedLoop` of the decorated body."""
    return lambda body: SharedLoop(body, options)


def cores() -> int:
    """Return how many threads run the parts."""
    return int(get_num_threads())


_turns = threading.Lock()


@contextmanager
def turn() -> Iterator[None]:
    """Hold this around every parallel kernel.

    numba's own pool of threads ("workqueue", where the system has neither OpenMP nor TBB) ends the process when two
    threads enter it at once: with it, and until the first kernel has shown which pool there is, they take turns.
    """
    if _several_may_enter():
        yield
        return
    with _turns:
        yield


def _several_may_enter() -> bool:
    try:
        return threading_layer() != "workqueue"
    except ValueError:  # none has run yet
        return False
