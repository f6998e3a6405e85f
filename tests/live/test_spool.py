"""The raw spool: every pixel back, torn tails tolerated, a full disk keeps what was written."""

import shutil
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluoroscope.acquisition import (
    Collimation,
    Frame,
    IrradiationEvent,
    PixelIntensity,
    Provenance,
    PulseKerma,
)
from fluoroscope.beam.technique import Technique
from fluoroscope.dose import KermaLedger
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.table import TablePose
from fluoroscope.imagechain import ImageChain
from fluoroscope.live import EventRecorder, LiveLoop, LiveState, Policy, Spool, SpoolWriter

WINDOW = (32768.0, 12000.0)


def picture(index: int, rows: int = 12, columns: int = 10) -> Frame:
    rng = np.random.default_rng(index)
    return Frame(
        uid=f"e.{index}",
        event_uid="e",
        index=index,
        acquired_ns=1000 + index * 33,
        pixels=rng.integers(0, 65536, (rows, columns), dtype=np.uint16),
        intensity=PixelIntensity.LIN,
        provenance=Provenance.SIMULATED,
        pitch_mm=0.3,
        pose=CArmPose(float(index), 0.1, 510.0, 1020.0),
        table=TablePose(height_mm=1.0),
        technique=Technique(70.0, 3.0, 8.0, 15.0),
        collimation=Collimation(1.0, 2.0, 3.0, 4.0),
        kerma=PulseKerma(0.1 / 3.0, 0.2),
    )


def write(folder: Path, frames: list[Frame]) -> SpoolWriter:
    writer = SpoolWriter(folder)
    for frame in frames:
        writer.append(frame, WINDOW)
    return writer


def same(one: Frame, other: Frame) -> bool:
    empty = np.zeros((1, 1), np.uint16)
    fields = replace(one, pixels=empty), replace(other, pixels=empty)
    return all(
        getattr(fields[0], name) == getattr(fields[1], name) for name in Frame.__slots__ if name != "pixels"
    ) and np.array_equal(one.pixels, other.pixels)


def test_every_frame_reads_back_equal(tmp_path: Path) -> None:
    frames = [picture(index) for index in range(70)]
    write(tmp_path / "run", frames).close()
    spool = Spool.open(tmp_path / "run")
    assert len(spool) == 70
    assert all(same(one, other) for one, other in zip(spool, frames, strict=True))
    assert same(spool[-1], frames[-1])
    assert [frame.index for frame in spool[10:13]] == [10, 11, 12]
    assert spool.window == WINDOW
    with pytest.raises(IndexError):
        spool[70]
    # What was allocated ahead is given back.
    assert (tmp_path / "run" / "pixels-000.raw").stat().st_size == 70 * 12 * 10 * 2


def test_a_spool_that_is_still_being_written_can_be_read(tmp_path: Path) -> None:
    writer = write(tmp_path / "run", [picture(index) for index in range(5)])
    assert len(Spool.open(tmp_path / "run")) == len(writer) == 5
    writer.append(picture(5), WINDOW)
    assert same(Spool.open(tmp_path / "run")[5], picture(5))
    writer.close()


def test_another_zoom_field_goes_on_in_another_segment(tmp_path: Path) -> None:
    frames = [picture(0), picture(1), picture(2, 6, 6), picture(3)]
    write(tmp_path / "run", frames).close()
    spool = Spool.open(tmp_path / "run")
    assert len(list((tmp_path / "run").glob("pixels-*.raw"))) == 3
    assert all(same(one, other) for one, other in zip(spool, frames, strict=True))


@given(index_cut=st.integers(0, 3000), pixel_cut=st.integers(0, 1200))
@settings(max_examples=40, deadline=None)
def test_a_spool_cut_anywhere_gives_its_whole_frames(
    tmp_path_factory: pytest.TempPathFactory, index_cut: int, pixel_cut: int
) -> None:
    folder = tmp_path_factory.mktemp("spool") / "run"
    frames = [picture(index) for index in range(5)]
    write(folder, frames).close()
    for name, cut in (("index.jsonl", index_cut), ("pixels-000.raw", pixel_cut)):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: min(cut, len(content))])
    spool = Spool.open(folder)
    lines = (folder / "index.jsonl").read_bytes().count(b"\n")
    assert len(spool) == min(lines, min(pixel_cut, 1200) // 240)
    assert all(same(one, other) for one, other in zip(spool, frames, strict=False))


def test_an_empty_spool_and_no_spool(tmp_path: Path) -> None:
    SpoolWriter(tmp_path / "run").close()
    spool = Spool.open(tmp_path / "run")
    assert len(spool) == 0
    with pytest.raises(ValueError, match="holds no frame"):
        _ = spool.window
    with pytest.raises(FileNotFoundError):
        Spool.open(tmp_path / "nothing")
    with pytest.raises(FileExistsError):
        SpoolWriter(tmp_path / "run")


def test_a_spool_without_an_index_or_pixels_is_empty(tmp_path: Path) -> None:
    (tmp_path / "killed").mkdir()
    assert len(Spool.open(tmp_path / "killed")) == 0
    write(tmp_path / "lost", [picture(0)]).close()
    (tmp_path / "lost" / "pixels-000.raw").unlink()
    assert len(Spool.open(tmp_path / "lost")) == 0


def test_a_spool_that_cannot_be_begun_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.open", full)
    with pytest.raises(OSError, match="No space"):
        SpoolWriter(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps a mapped file")
def test_a_held_spool_stays_readable_when_its_folder_goes(tmp_path: Path) -> None:
    frames = [picture(0), picture(1), picture(2, 6, 6)]
    write(tmp_path / "run", frames).close()
    held, other = Spool.open(tmp_path / "run"), Spool.open(tmp_path / "run")
    held.hold()
    shutil.rmtree(tmp_path / "run")
    assert all(same(one, wanted) for one, wanted in zip(held, frames, strict=True))
    with pytest.raises(FileNotFoundError):
        other.hold()


def test_a_disk_that_fills_up_keeps_what_was_written(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    script = """
        import importlib.util, resource, sys
        from pathlib import Path
        spec = importlib.util.spec_from_file_location("pictures", sys.argv[2])
        pictures = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(pictures)
        from fluoroscope.live import SpoolWriter
        writer = SpoolWriter(Path(sys.argv[1]))
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
        try:
            for index in range(100):
                writer.append(pictures.picture(index, 100, 100), pictures.WINDOW)
        except OSError as error:
            print("refused", index)
        writer.close()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "run"), __file__],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "refused 20\n"
    spool = Spool.open(tmp_path / "run")
    assert len(spool) == 20
    assert all(same(frame, picture(frame.index, 100, 100)) for frame in spool)


class Recording:
    """A loop with a recorder."""

    def __init__(self, clock: Any, source: Any, folder: Path) -> None:
        self.recorded: list[tuple[IrradiationEvent, Spool]] = []
        self.done = threading.Event()
        self.clock = clock
        self.loop = LiveLoop(source, ImageChain(), KermaLedger(), clock, lambda: "1.2.3")
        subscription = self.loop.subscribe("recorder", Policy.LOSSLESS, capacity=100)
        self.recorder = EventRecorder(subscription, folder, self._take)
        self.watch = self.loop.subscribe("watch", Policy.LOSSLESS, capacity=100)
        self.loop.start()

    def _take(self, event: IrradiationEvent, spool: Spool) -> None:
        self.recorded.append((event, spool))
        self.done.set()

    def expose(self, pulses: int) -> list[Any]:
        self.loop.press(Technique(70.0, 3.0, 8.0, 10.0))
        taken = [self.watch.get(20.0)]
        for _ in range(pulses - 1):
            self.clock.advance(0.1)
            taken.append(self.watch.get(20.0))
        self.loop.release()
        assert self.loop.wait_for(LiveState.HOLD, timeout_s=20.0)
        assert self.done.wait(20.0)
        return taken


@pytest.mark.req("REQ-DICOM-002")
def test_a_press_is_recorded_whole(tmp_path: Path, clock: Any, plain_source: Any) -> None:
    recording = Recording(clock, plain_source, tmp_path)
    taken = recording.expose(6)
    ((event, spool),) = recording.recorded
    assert event.pulses == len(spool) == 6
    assert all(same(frame, item.shown) for frame, item in zip(spool, taken, strict=True))
    assert spool.folder == tmp_path / "event-0001"
    recording.recorder.close()
    recording.loop.close()


def test_a_recording_the_disk_does_not_take_ends_the_exposure(tmp_path: Path, clock: Any, plain_source: Any) -> None:
    (tmp_path / "event-0001").write_text("in the way")
    recording = Recording(clock, plain_source, tmp_path)
    recording.loop.press(Technique(70.0, 3.0, 8.0, 10.0))
    assert recording.loop.wait_for(LiveState.FAULT, timeout_s=20.0)
    status = recording.loop.snapshot()
    assert status.reason.startswith("recorder: recording to ")
    assert "free some space" in status.reason
    assert len(status.events) == 1
    recording.recorder.close()
    recording.loop.close()
