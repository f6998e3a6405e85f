"""Frames as JPEG-LS: here, or in a process of our own while X-ray may come.

The coder holds Python's lock for 20 ms a 1024² frame; in the live process that would delay pulses. The second process
runs nothing but the coder: not the user's script, which a pool of `multiprocessing` would run again.
"""

import contextlib
import json
import struct
import subprocess
import sys
from collections.abc import Callable

import numpy as np
from jpeg_ls import CharLS
from numpy.typing import NDArray

__all__ = ["Coder", "CoderProcess", "code_frame"]

Coder = Callable[[NDArray[np.uint16]], bytes]

# A frame comes as rows, columns, pixels; the answer is a length and that many bytes, 0 for a frame it cannot code.
_CHILD = """
import json, struct, sys
sys.path[:] = json.loads(sys.argv[1])
from jpeg_ls import CharLS
come, go = sys.stdin.buffer, sys.stdout.buffer
while len(size := come.read(8)) == 8:
    rows, columns = struct.unpack("<2I", size)
    pixels = come.read(2 * rows * columns)
    if len(pixels) < 2 * rows * columns:
        break
    try:
        coded = bytes(CharLS.encode_buffer(pixels, rows, columns, 1, 16))
    except (RuntimeError, ValueError):
        coded = b""
    go.write(struct.pack("<Q", len(coded)))
    go.write(coded)
    go.flush()
"""


def code_frame(frame: NDArray[np.uint16]) -> bytes:
    """Return ``frame``, uint16 (rows, columns), as JPEG-LS of 16 bit, lossless.

    Raises
    ------
    ValueError
        When the coder refuses it.
    """
    pixels = np.ascontiguousarray(frame, dtype="<u2").tobytes()
    try:
        # encode_array would guess the depth from the largest value: 0 bits for a dark frame.
        return bytes(CharLS.encode_buffer(pixels, *frame.shape, 1, 16))
    except RuntimeError as error:
        raise ValueError(f"a frame cannot be coded as JPEG-LS: {error}") from error


class CoderProcess:
    """Codes as `code_frame` does, in a second process that starts with the first frame and ends with this one.

    When that process cannot start, or dies, frames are coded here: late pulses are a lesser evil than a lost record.
    For one thread at a time.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lost = False

    def __call__(self, frame: NDArray[np.uint16]) -> bytes:
        """Return ``frame`` as JPEG-LS; raises as `code_frame`."""
        coded = b""
        if not self._lost:
            try:
                coded = self._coded_there(frame)
            except (OSError, EOFError):
                self._lost = True
                self.close()
        return coded or code_frame(frame)

    def close(self) -> None:
        """End the process; a later frame starts it again unless it was lost."""
        process, self._process = self._process, None
        if process is None:
            return
        # It ends when nothing more can come. What is left unsent in the pipe of a dead one is no fault.
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            process.communicate(timeout=5.0)
        if process.poll() is None:
            process.kill()
            process.communicate()

    def _coded_there(self, frame: NDArray[np.uint16]) -> bytes:
        if self._process is None:
            self._process = _start()
        there, back = self._process.stdin, self._process.stdout
        if there is None or back is None:
            raise EOFError
        there.write(struct.pack("<2I", *frame.shape))
        there.write(np.ascontiguousarray(frame, dtype="<u2").tobytes())
        there.flush()
        (size,) = struct.unpack("<Q", _exactly(back.read(8), 8))
        return _exactly(back.read(size), size)


def _exactly(answer: bytes, size: int) -> bytes:
    if len(answer) < size:
        raise EOFError
    return answer


def _start() -> "subprocess.Popen[bytes]":
    if not sys.executable or getattr(sys, "frozen", False):
        raise OSError("there is no Python to start")
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD, json.dumps(sys.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
