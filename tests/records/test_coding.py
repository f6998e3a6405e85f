"""Frames coded in a process of our own: the same bytes, and never a lost record."""

import contextlib
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from fluoroscope.records.coding import CoderProcess, code_frame


@pytest.fixture
def frames():
    random = np.random.default_rng(5)
    smooth = np.add.outer(np.arange(200), np.arange(300)).astype(np.uint16)
    return [smooth, random.integers(0, 65536, (64, 80)).astype(np.uint16), np.zeros((32, 40), np.uint16), smooth[::2]]


def test_the_process_codes_as_this_one_does(frames):
    with contextlib.closing(CoderProcess()) as coder:
        assert [coder(frame) for frame in frames] == [code_frame(frame) for frame in frames]
        assert coder._process is not None
        child = coder._process
    assert child.returncode == 0


def test_a_process_that_dies_loses_no_frame(frames):
    with contextlib.closing(CoderProcess()) as coder:
        first = coder(frames[0])
        os.kill(coder._process.pid, signal.SIGKILL)
        rest = [coder(frame) for frame in frames[1:]]
    assert [first, *rest] == [code_frame(frame) for frame in frames]


@pytest.mark.parametrize("executable", ["", "/nowhere/python"])
def test_without_a_process_frames_are_coded_here(frames, monkeypatch, executable):
    monkeypatch.setattr(sys, "executable", executable)
    with contextlib.closing(CoderProcess()) as coder:
        assert coder(frames[0]) == code_frame(frames[0])


def test_a_frame_the_coder_refuses_is_said_and_the_next_is_coded(frames):
    with contextlib.closing(CoderProcess()) as coder:
        with pytest.raises(ValueError, match="JPEG-LS"):
            coder(np.ones((2, 2), np.uint16))
        assert coder(frames[1]) == code_frame(frames[1])


def test_a_plain_script_without_a_guard_is_not_run_again(tmp_path):
    script = tmp_path / "plain.py"
    script.write_text(
        "import numpy as np\n"
        "from fluoroscope.records.coding import CoderProcess\n"
        "print('started')\n"
        "coder = CoderProcess()\n"
        "print(len(coder(np.zeros((64, 64), np.uint16))) > 0, coder._process is not None)\n"
        "coder.close()\n",
        encoding="utf-8",
    )
    told = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.split() == ["started", "True", "True"]
    assert not told.stderr
