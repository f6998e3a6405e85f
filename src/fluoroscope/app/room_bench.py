"""Benchmarks of the whole room: first picture after the start, recording, and the stream to a browser.

The stream: a stored run played at 30 pictures a second into headless Chromium.

Needs playwright and Chromium, which users do not: without them these rows are left out. The browser draws with software
GL on the same cores as the server, so the figures are a floor. Latency runs from the server sending a picture to its
acknowledgement after it was painted.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fluoroscope.acquisition.clock import SystemClock
from fluoroscope.acquisition.frame import PixelIntensity
from fluoroscope.app.clip import ClipSession, clip_status
from fluoroscope.app.dose.room_dose import RoomDose
from fluoroscope.app.dose.rules import DoseRules
from fluoroscope.app.room import FluoroscopyRoom
from fluoroscope.app.room_parts import NextExam, RoomParts
from fluoroscope.app.serving import open_room
from fluoroscope.app.setup import RoomSetup
from fluoroscope.dose.ledger import KermaLedger
from fluoroscope.evaluation.projector_bench import Row, row
from fluoroscope.imagechain.chain import ImageChain
from fluoroscope.live.loop import LiveLoop, LoopSettings
from fluoroscope.monitor.server import MonitorServer
from fluoroscope.patient.folders import cache_folder
from fluoroscope.records.uids import new_uid
from fluoroscope.sources.clip import ClipSource

__all__ = ["first_frame_rows", "recording_rows", "stream_rows"]

RATE_HZ = 30.0
CHROMIUM = "chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)


_FIRST_FRAME = """
import time, sys
from pathlib import Path
from fluoroscope.app.serving import open_room
from fluoroscope.app.setup import RoomSetup
room = open_room(RoomSetup(), Path(sys.argv[1]))
room.command("pedal", {"down": True})
frame = room.latest("live", -1, 30.0)
assert frame is not None
print(time.time())
room.command("pedal", {"down": False})
room.close()
"""


def first_frame_rows(*, cold: bool) -> list[Row]:
    """Return the time from starting Python to the first live picture of the built-in patient, s.

    Warm: patient and compiled kernels are in their caches. Cold: both caches are new and empty.
    """
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        # An installed package has its bytecode; this process may have been told to write none.
        kept = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(cache_folder() / "bytecode")}
        first_frame_s(Path(scratch), kept)  # fills the caches
        warm = [first_frame_s(Path(scratch), kept) for _ in range(2)]
        what = "from starting Python to the first live picture"
        size, stages = "modelled patient → 1024²", "open the room, pedal down, first pulse through the chain"
        rows.append(row("first_frame.warm", f"{what}, caches filled", size, stages, warm, "s"))
        if cold:
            empty = kept | {
                "NUMBA_CACHE_DIR": str(Path(scratch) / "numba"),
                "FLUOROSCOPE_HOME": str(Path(scratch) / "home"),
                "XDG_CACHE_HOME": str(Path(scratch) / "cache"),
            }
            times = [first_frame_s(Path(scratch), empty)]
            rows.append(row("first_frame.cold", f"{what}, caches empty", size, stages, times, "s"))
    return rows


def first_frame_s(exams: Path, environment: dict[str, str]) -> float:
    """Open the room in a new process and return how long its first picture took, s."""
    started = time.time()
    result = subprocess.run(
        [sys.executable, "-c", _FIRST_FRAME, str(exams / "exams")],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if result.returncode:
        raise RuntimeError(f"the room did not open: {result.stderr.strip().splitlines()[-1:]}")
    return float(result.stdout.split()[-1]) - started


class _DrawnRun:
    """A run of noisy stripes that drift, in memory: what a decoded clip would give, at no cost."""

    def __init__(self, pixels: int, frames: int = 30) -> None:
        rng = np.random.default_rng(1)
        stripes = 32768 + 8000 * np.sin(np.arange(pixels) / pixels * 40.0)
        noise = rng.normal(0.0, 1500.0, (pixels, pixels))
        self._frames = [
            np.clip(np.roll(stripes, 7 * n) + np.roll(noise, 31 * n, axis=1), 0, 65535).astype(np.uint16)
            for n in range(frames)
        ]
        self.name = "drawn run"
        self.rows = self.columns = pixels
        self.frame_times_ms: Sequence[float] = [1000.0 * n / RATE_HZ for n in range(frames)]
        self.rate_hz = RATE_HZ
        self.intensity = PixelIntensity.DISP
        self.pitch_mm: float | None = 307.2 / pixels
        self.manufacturer = "Fluoroscope"
        self.model = "bench"
        self.patient_name = self.patient_id = self.patient_position = self.description = ""
        self.angles: tuple[Any, ...] = ()
        self.tube_voltage_kv = self.source_to_detector_mm = self.source_to_patient_mm = None
        self.rate_known, self.frame_count = True, frames

    def frame(self, index: int) -> NDArray[np.uint16]:
        return self._frames[index]

    def close(self) -> None:
        pass


def stream_rows(pixels: Sequence[int] = (512, 1024), seconds: float = 8.0) -> list[Row]:
    """Return latency and rate of the stream, of a stored run and of live rendering; none without a browser."""
    path = shutil.which(CHROMIUM)
    if path is None or importlib.util.find_spec("playwright") is None:
        return []
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for n in pixels:
            rows += _streamed(_clip_room(n, Path(scratch)), path, n, seconds, "stored run")
        for n in pixels:
            room = open_room(RoomSetup(matrix=n), Path(scratch))
            room.command("set_technique", {"pulse_rate_hz": RATE_HZ})
            rows += _streamed(room, path, n, seconds, "live rendering")
    return rows


def _clip_room(pixels: int, exams: Path) -> FluoroscopyRoom:
    clock, chain = SystemClock(), ImageChain()
    run = _DrawnRun(pixels)
    source = ClipSource(run, clock)
    loop = LiveLoop(
        source, chain, KermaLedger(), clock, new_uid, settings=LoopSettings(window_of=lambda _: (32768.0, 30000.0))
    )

    def open_session(_: NextExam) -> ClipSession:
        loop.new_exam(KermaLedger(), None)
        return ClipSession(cast("Any", run), Path("bench"), exams)

    loop.start()
    dose = RoomDose(DoseRules(), loop, clock)
    parts = RoomParts(loop, chain, clock, dose, open_session, list, None, clip_status(cast("Any", run)))
    return FluoroscopyRoom(parts, open_session(NextExam()))


def _streamed(room: FluoroscopyRoom, chromium: str, pixels: int, seconds: float, what: str) -> list[Row]:
    from playwright.sync_api import sync_playwright

    server = MonitorServer(room, port=0)
    server.start()
    try:
        with sync_playwright() as tool:
            browser = tool.chromium.launch(executable_path=chromium, args=list(FLAGS))
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.goto(server.url)
            page.get_by_text("READY").first.wait_for(timeout=30_000)
            page.keyboard.down("Space")
            time.sleep(seconds)
            live = server.statistics()["pages"][0]["channels"]["live"]
            page.keyboard.up("Space")
            browser.close()
    finally:
        server.stop()
        room.close()
    key = "stored" if what == "stored run" else "live"
    size = f"{pixels}², {RATE_HZ:g} p/s, {seconds:g} s, {live['mode']}"
    stages = "server, loopback WebSocket, Chromium, software GL"
    p50, p95 = live["p50_ms"], live["p95_ms"]
    common = {"size": size, "stages": stages}
    return [
        {
            "id": f"stream.{key}.p95.{pixels}",
            "what": f"sent to painted, 95th percentile, {what}",
            **common,
            "value": p95,
            "unit": "ms",
            "spread": [p50, p95],
        },
        {
            "id": f"stream.{key}.fps.{pixels}",
            "what": f"pictures painted a second, {what}",
            **common,
            "value": live["painted_fps"],
            "unit": "1/s",
            "spread": None,
        },
    ]


def recording_rows(pixels: Sequence[int] = (512, 1024), seconds: float = 4.0) -> list[Row]:
    """Return the share of the pulses given in a live 30 p/s run that are in the stored XA."""
    from fluoroscope.dicom.xa import read_clip

    rows = []
    for n in pixels:
        with tempfile.TemporaryDirectory() as scratch:
            room = open_room(RoomSetup(matrix=n), Path(scratch))
            room.command("set_technique", {"pulse_rate_hz": RATE_HZ})
            room.command("pedal", {"down": True})
            time.sleep(seconds)
            room.command("pedal", {"down": False})
            room.close()
            status = room.status()
            clip = read_clip(next(Path(scratch).glob("*/run-001.dcm")))
            delivered, dropped = status["pulses"]["delivered"], status["pulses"]["dropped"]
            rows.append(
                {
                    "id": f"recording.{n}",
                    "what": "pulses in the stored run over pulses given, counted",
                    "size": f"{n}², 30 p/s, {seconds:g} s",
                    "stages": f"live, spooled, JPEG-LS on release; {dropped} pulses late and not given",
                    "value": clip.frame_count / delivered,
                    "unit": "1",
                    "spread": None,
                }
            )
    return rows
