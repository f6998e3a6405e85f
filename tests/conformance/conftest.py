"""The sources that must all behave alike, and the clock they run on.

To add a source: write ``make(clock, folder)`` that returns it ready to press, and list it in `SOURCES`.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fluoroscope.acquisition.frame import PixelIntensity


def _load(name: str) -> Any:
    """Load a plain module that lies beside this file (tests are no package)."""
    spec = importlib.util.spec_from_file_location(f"conformance_{name}", Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ManualClock = _load("manual_clock").ManualClock


@dataclass
class MemoryClip:
    """A run held in memory, for sources that play one."""

    name: str = "memory"
    rows: int = 24
    columns: int = 32
    frame_times_ms: tuple = tuple(100.0 * i for i in range(5))
    rate_hz: float = 10.0
    intensity: PixelIntensity = PixelIntensity.DISP
    pitch_mm: float | None = 0.3
    manufacturer: str = "Maker"
    model: str = "Model"
    closed: bool = False

    def frame(self, index):
        return np.full((self.rows, self.columns), 100 + index, dtype=np.uint16)

    def close(self):
        self.closed = True


def make_clip(clock, folder):
    from fluoroscope.sources.clip import ClipSource

    return ClipSource(MemoryClip(), clock)


def make_virtual(clock, folder):
    from fluoroscope.detector import Detector
    from fluoroscope.geometry import C_ARMS
    from fluoroscope.patient.scene import Body, Scene
    from fluoroscope.patient.volume import BasisVolume
    from fluoroscope.sources.virtual import CArmSetup, VirtualCArm

    affine = np.diag([10.0, 10.0, 10.0, 1.0])
    affine[:3, 3] = -75.0
    water = np.full((16, 16, 16), 1000, dtype=np.int16)
    scene = Scene((Body("block of water", BasisVolume(water, np.zeros_like(water), affine)),))

    class Still:
        def at(self, time_s):
            return scene

    model = C_ARMS["mobile-flat-panel"]
    return VirtualCArm(Still(), model, CArmSetup(), Detector(seed=1), clock, matrix_limit=32)


def make_openigtlink(clock, folder):
    from fluoroscope.acquisition.clock import PulseTimer
    from fluoroscope.sources.openigtlink.images import GivenPicture, LinkFrameSource

    class Grabber:
        """A peer that sends 10 pictures a second once somebody wants them."""

        name = "grabber:18944"
        newest = 0
        timer = None

        def after(self, number, clock, released):
            if number == self.newest or self.timer is None:
                self.timer = self.timer or PulseTimer(10.0, clock)
                tick = self.timer.next(released)
                if tick is None:
                    return None
                self.newest += 1 + tick.dropped
                self.due_ns = tick.due_ns
            return GivenPicture(self.newest, self.due_ns, np.full((24, 32), 100 + self.newest, dtype=np.uint16))

        def close(self):
            pass

    return LinkFrameSource(Grabber(), clock, (24, 32), 10.0)


SOURCES: dict[str, Callable] = {"clip": make_clip, "openigtlink": make_openigtlink, "virtual": make_virtual}


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture(params=sorted(SOURCES))
def source(request, clock, tmp_path):
    made = SOURCES[request.param](clock, tmp_path)
    yield made
    made.close()
