"""The first start's second process: used once, never left behind, and nothing depends on it."""

import gc
import os
import subprocess
import sys

import pytest

from fluoroscope.app import warming

# Children that stand for the compiling one where only its end matters.
ENDS_WELL = "pass"
FAILS = "raise SystemExit(3)"
HANGS = "import time; time.sleep(600)"


@pytest.fixture
def children(monkeypatch, tmp_path):
    monkeypatch.setenv("FLUOROSCOPE_HOME", str(tmp_path / "home"))
    started = []
    start = warming._start

    def noted():
        started.append(start())
        return started[-1]

    monkeypatch.setattr(warming, "_start", noted)
    return started


def test_a_second_start_needs_no_child(children, monkeypatch):
    monkeypatch.setattr(warming, "_CHILD", ENDS_WELL)
    for _ in range(2):
        with warming.compiled_beside():
            pass
    assert [child.returncode for child in children] == [0]


def test_another_compiler_needs_a_child_again(children, monkeypatch):
    monkeypatch.setattr(warming, "_CHILD", ENDS_WELL)
    for version in ("1", "2", "2"):
        monkeypatch.setattr("numba.__version__", version)
        with warming.compiled_beside():
            pass
    assert len(children) == 2


def test_a_child_that_fails_changes_nothing_and_is_tried_again(children, monkeypatch):
    monkeypatch.setattr(warming, "_CHILD", FAILS)
    for _ in range(2):
        with warming.compiled_beside():
            pass
    assert [child.returncode for child in children] == [3, 3]


def test_an_error_inside_ends_the_child(children, monkeypatch):
    monkeypatch.setattr(warming, "_CHILD", HANGS)
    with pytest.raises(OSError, match="no such patient"), warming.compiled_beside():
        raise OSError("no such patient")
    assert children[0].returncode is not None
    assert children[0].stdin.closed
    assert gc.isenabled()


def test_a_child_that_hangs_is_given_up(children, monkeypatch):
    monkeypatch.setattr(warming, "_CHILD", HANGS)
    monkeypatch.setattr(warming, "LONGEST_S", 0.1)
    with warming.compiled_beside():
        pass
    assert children[0].returncode not in (None, 0)


def test_a_folder_that_cannot_be_written_is_no_fault(children, monkeypatch, tmp_path):
    (tmp_path / "home").write_text("a file in the way", encoding="utf-8")
    monkeypatch.setattr(warming, "_CHILD", ENDS_WELL)
    for _ in range(2):
        with warming.compiled_beside():
            pass
    assert len(children) == 2


def test_without_a_python_to_start_everything_is_compiled_here(monkeypatch, tmp_path):
    monkeypatch.setenv("FLUOROSCOPE_HOME", str(tmp_path))
    for executable in ("", str(tmp_path / "missing")):
        monkeypatch.setattr(sys, "executable", executable)
        with warming.compiled_beside():
            pass


def test_the_child_ends_with_its_parent():
    code = (
        "import threading, time; from fluoroscope.app import warming;"
        "threading.Thread(target=warming._end_with_parent, daemon=True).start(); time.sleep(600)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    child.stdin.close()
    assert child.wait(60) == 1


def test_the_child_compiles_what_the_first_picture_needs(tmp_path):
    """A process with the child's cache compiles none of the shared loops again."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "numba"), "FLUOROSCOPE_HOME": str(tmp_path / "home")}
    again = (
        "from fluoroscope.app import warming; from fluoroscope.projector import sharing;"
        "import sys; sys.stdin = None;"
        "from fluoroscope.detector import kernels as d; from fluoroscope.projector.integrals import kernels;"
        "from fluoroscope.projector.simd import vector_level;"
        "loops = [*kernels(vector_level()), d._expose_tile]; [loop.compile() for loop in loops];"
        "assert all(loop._compiled.cache_hits == 1 for loop in loops);"
        "from fluoroscope.imagechain import kernels as i; i.compile_kernels();"
        "assert i._filter_band._compiled.cache_hits == 1"
    )
    with subprocess.Popen(
        [sys.executable, "-c", "from fluoroscope.app.warming import child; child()"],
        stdin=subprocess.PIPE,
        env=environment,
    ) as first:
        assert first.wait(300) == 0
    subprocess.run([sys.executable, "-c", again], env=environment, check=True, timeout=300)
