"""Compiles what live guidance needs before a picture asks for it: a compiler at work stops every thread of a room.

Compiled loops are kept on disk, so a child process compiles them the first time, beside the room; here they are then
only read. It looks at a drawn picture with the real detector and the real registration, so that what is compiled is
what is used.
"""

import json
import subprocess
import sys
import threading

import numpy as np

from fluoroscope.app.guidance.live_outline import outline_px
from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import projection_geometry
from fluoroscope.guidance.needle import NeedleTracker
from fluoroscope.guidance.registration import Start, VertebraTracker, register, render, vertebra_models
from fluoroscope.guidance.view import XRayView
from fluoroscope.patient.labels import LabelMap
from fluoroscope.patient.volume import Volume

__all__ = ["GuidanceWarming", "warm"]

LONGEST_S = 900.0
_CHILD = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {room} import warm; warm()"
_SIDE_PX = 128


class GuidanceWarming:
    """Compiles once, in a thread that waits for a child; `wait` returns when guidance may look at pictures."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._begun = False

    def begin(self) -> None:
        """Begin to compile, if that has not begun."""
        with self._lock:
            if self._begun:
                return
            self._begun = True
        threading.Thread(target=self._run, name="guidance warming", daemon=True).start()

    def wait(self, timeout_s: float) -> bool:
        """Wait until all is compiled; return whether it is."""
        return self._done.wait(timeout_s)

    def _run(self) -> None:
        try:
            if sys.executable and not getattr(sys, "frozen", False):
                words = [sys.executable, "-c", _CHILD.format(room=__name__), json.dumps(sys.path)]
                subprocess.run(words, check=False, timeout=LONGEST_S, capture_output=True)
        except (OSError, subprocess.TimeoutExpired):
            pass  # what is missing is compiled here then
        try:
            warm()
        finally:
            self._done.set()


def warm() -> None:
    """Look at a drawn picture twice with all that guidance looks with."""
    volume, labels = _drawn_bones()
    models = vertebra_models(volume, labels)
    level = next(iter(models))
    geometry = projection_geometry(CArmPose(0.0, 0.0, 600.0, 1000.0), DetectorGrid(_SIDE_PX, _SIDE_PX, 1.6))
    picture = sum(render(model, geometry, np.eye(4)) for model in models.values())
    picture = np.asarray(picture, dtype=np.float32) + _noise()
    picture[20:90, 60:62] += 1.0
    view = XRayView(picture, geometry, np.ones(picture.shape, dtype=np.bool_))
    found = register(models, [view], np.eye(4), level=level, start=Start.NEAR)
    VertebraTracker(models, level, found).update([view])
    # Its first use loads large libraries: not while a page waits for its status.
    outline_px(np.argwhere(np.asarray(volume.values[:, :, 10]) > 0).astype(np.float64), 1.0)
    tracker = NeedleTracker(pitch_mm=1.6)
    for time_s in (0.0, 0.1):
        tracker.update(view.attenuation, view.valid, time_s)


def _noise() -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    drawn = np.random.default_rng(1).normal(0.0, 0.02, (_SIDE_PX, _SIDE_PX))
    return drawn.astype(np.float32)


def _drawn_bones() -> tuple[Volume, LabelMap]:
    """Return three blocks of bone one over the other, 2 mm voxels."""
    hu = np.zeros((64, 32, 32), dtype=np.int16)
    labels = np.zeros(hu.shape, dtype=np.uint8)
    for number, first in ((1, 44), (2, 25), (3, 6)):
        block = (slice(first, first + 14), slice(6, 26), slice(4, 28))
        hu[block], labels[block] = 400, number
    hu[30:36, 10:14, 8:12] = 900
    affine = np.zeros((4, 4))
    affine[2, 0] = affine[1, 1] = affine[0, 2] = 2.0
    affine[:3, 3] = (-31.0, -31.0, -63.0)
    affine[3, 3] = 1.0
    return Volume(hu, affine), LabelMap(labels, {1: "vertebrae_L2", 2: "vertebrae_L3", 3: "vertebrae_L4"})
