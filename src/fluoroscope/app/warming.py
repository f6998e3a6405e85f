"""The very first start: a second process compiles half of the kernels while this one opens the patient.

Compiled kernels are kept on disk by numba, and its compiler runs one thread at a time. So when nothing is compiled yet,
a child process compiles the loops of projector, detector, image chain and skin dose into that cache; here they are
read from it when they are first needed. Whatever becomes of the child, what is then missing is compiled here.
"""

import contextlib
import gc
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fluoroscope import __version__
from fluoroscope.patient.folders import cache_folder

__all__ = ["compiled_beside"]

STAMP_NAME = "compiled"
LONGEST_S = 120.0
_CHILD = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from fluoroscope.app.warming import child; child()"


@contextmanager
def compiled_beside() -> Iterator[None]:
    """Within it, a child compiles kernels if this computer has not compiled them before; it has ended after it."""
    stamp = cache_folder() / STAMP_NAME
    state = _state_of_kernels()
    with contextlib.suppress(OSError):
        if stamp.read_text(encoding="utf-8") == state:
            yield
            return
    helper = _start()
    if helper is None:
        yield
        return
    from fluoroscope.projector.sharing import compiling_elsewhere

    collecting = gc.isenabled()
    # The compiler makes few circles and very many objects: collecting takes a sixth of its time.
    gc.disable()
    try:
        with compiling_elsewhere(lambda: _wait(helper)):
            yield
        _wait(helper)
    finally:
        if collecting:
            gc.enable()
        if helper.poll() is None:
            helper.kill()
        helper.communicate()
    if helper.returncode == 0:
        # A folder that cannot be written costs the next start a child, nothing else.
        with contextlib.suppress(OSError):
            stamp.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            stamp.write_text(state, encoding="utf-8")


def child() -> None:
    """Compile into numba's cache, in the order the first picture needs it; end when the parent does."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    gc.disable()
    from fluoroscope.detector import kernels as detector
    from fluoroscope.dose import skin_kernel as skin
    from fluoroscope.imagechain import kernels as imagechain
    from fluoroscope.projector import integrals as projector

    projector.compile_kernels()
    detector.compile_kernels()
    imagechain.compile_kernels()
    skin.compile_kernels()


def _end_with_parent() -> None:
    # The parent's end of the pipe closes however the parent ends; nothing is ever written to it.
    os.read(0, 1)
    os._exit(1)


def _start() -> "subprocess.Popen[bytes] | None":
    if not sys.executable or getattr(sys, "frozen", False):
        return None
    try:
        return subprocess.Popen(
            [sys.executable, "-c", _CHILD, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except OSError:  # no process to be had: everything is compiled here
        return None


def _wait(helper: "subprocess.Popen[bytes]") -> None:
    try:
        helper.wait(LONGEST_S)
    except subprocess.TimeoutExpired:
        helper.kill()


def _state_of_kernels() -> str:
    """Return what compiled code depends on: compiler, processor, sources, where it is kept."""
    import llvmlite
    import llvmlite.binding
    import numba

    root = Path(__file__).parents[1]
    sources = [
        (path.name, path.stat().st_mtime_ns)
        for room in ("projector", "detector", "imagechain")
        for path in sorted((root / room).glob("*.py"))
    ] + [("skin_kernel.py", (root / "dose" / "skin_kernel.py").stat().st_mtime_ns)]
    parts = [
        __version__,
        sys.version,
        numba.__version__,
        llvmlite.__version__,
        llvmlite.binding.get_host_cpu_name(),
        str(root),
        os.environ.get("NUMBA_CACHE_DIR", ""),
        sources,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
