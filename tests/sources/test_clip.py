"""What only a recorded clip does; what every source does is in tests/conformance."""

import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest

from fluoroscope.acquisition.event import IrradiationEvent
from fluoroscope.acquisition.frame import PixelIntensity, Provenance
from fluoroscope.acquisition.protocols import SourceError
from fluoroscope.beam.technique import Technique
from fluoroscope.dicom.xa import read_clip
from fluoroscope.imagechain import ImageChain
from fluoroscope.imagechain.window import apply_window
from fluoroscope.sources.clip import ClipSource

TECHNIQUE = Technique(70.0, 3.0, 8.0, 15.0)


def _conformance():
    path = Path(__file__).parents[1] / "conformance" / "manual_clock.py"
    spec = importlib.util.spec_from_file_location("clip_manual_clock", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def clock():
    return _conformance().ManualClock()


class Uneven:
    """Five frames at uneven times, as a C-arm with dropped pulses leaves them."""

    name, rows, columns, manufacturer, model = "uneven", 8, 8, "Maker", "Model"
    frame_times_ms = (0.0, 100.0, 200.0, 500.0, 600.0)
    rate_hz = 1000.0 * 4 / 600.0
    intensity, pitch_mm = PixelIntensity.LIN, None
    broken = False

    def frame(self, index):
        if self.broken:
            raise ValueError("uneven: frame 1 cannot be decoded; get the file again")
        return np.full((8, 8), index, np.uint16)

    def close(self):
        pass


def times_ms(frames):
    return [(f.acquired_ns - frames[0].acquired_ns) / 1e6 for f in frames]


def test_frames_come_at_the_clips_own_times(clock):
    source = ClipSource(Uneven(), clock)
    source.press(TECHNIQUE, "2.25.1")
    frames = list(itertools.islice(source.frames(), 7))
    source.release()
    assert times_ms(frames) == pytest.approx([0, 100, 200, 500, 600, 750, 850])
    assert [int(f.pixels[0, 0]) for f in frames] == [0, 1, 2, 3, 4, 0, 1]
    assert {f.provenance for f in frames} == {Provenance.RECORDED}
    assert {f.intensity for f in frames} == {PixelIntensity.LIN}


def test_without_repeat_it_ends_after_the_last_frame(clock):
    source = ClipSource(Uneven(), clock, repeat=False)
    source.press(TECHNIQUE, "2.25.1")
    assert len(list(source.frames())) == 5
    assert source.dropped_pulses == 0


def test_late_frames_of_an_uneven_clip_are_counted(clock):
    source = ClipSource(Uneven(), clock)
    source.press(TECHNIQUE, "2.25.1")
    frames = source.frames()
    next(frames)
    clock.advance(550.0)
    # At 550 ms the frame of 500 ms is the newest due: those of 100 and 200 ms are gone.
    assert int(next(frames).pixels[0, 0]) == 3
    assert source.dropped_pulses == 2
    clock.advance(10_000.0)
    next(frames)
    source.release()
    assert source.dropped_pulses > 60


def test_a_clip_that_ends_while_late_counts_what_was_lost(clock):
    source = ClipSource(Uneven(), clock, repeat=False)
    source.press(TECHNIQUE, "2.25.1")
    frames = source.frames()
    next(frames)
    clock.advance(10_000.0)
    assert list(frames) == []
    assert source.dropped_pulses == 4


def test_a_frame_that_cannot_be_decoded_is_a_lost_source(clock):
    clip = Uneven()
    clip.broken = True
    source = ClipSource(clip, clock)
    source.press(TECHNIQUE, "2.25.1")
    with pytest.raises(SourceError, match="frame 1 cannot be decoded; get the file again"):
        next(source.frames())


def test_pressing_twice_or_after_closing_is_refused(clock):
    source = ClipSource(Uneven(), clock)
    source.press(TECHNIQUE, "2.25.1")
    with pytest.raises(SourceError, match="playing already"):
        source.press(TECHNIQUE, "2.25.2")
    source.close()
    with pytest.raises(SourceError, match="closed"):
        source.press(TECHNIQUE, "2.25.3")


@pytest.mark.data
def test_a_real_angiogram_plays_at_its_rate(data_folder, clock):
    source = ClipSource(read_clip(data_folder / "xa" / "xa_96frames_512.dcm"), clock)
    assert source.info.nominal_rate_hz == pytest.approx(1000.0 / 33.0)
    source.press(TECHNIQUE, "2.25.1")
    frames = list(itertools.islice(source.frames(), 100))
    source.close()
    assert np.diff(times_ms(frames)) == pytest.approx(33.0)
    np.testing.assert_array_equal(frames[96].pixels, frames[0].pixels)
    assert frames[0].pixels.dtype == np.uint16
    # 8-bit values pass as they are: nothing is rescaled on the way.
    assert 100 < max(int(f.pixels.max()) for f in frames) <= 255


@pytest.mark.data
def test_a_real_single_frame_plays_as_a_still(data_folder, clock):
    source = ClipSource(read_clip(data_folder / "xa" / "rf_kwire.dcm"), clock)
    source.press(TECHNIQUE, "2.25.1")
    frames = list(itertools.islice(source.frames(), 3))
    source.close()
    assert np.diff(times_ms(frames)) == pytest.approx(1000.0 / 15.0, abs=1e-3)


def test_a_lin_clip_with_its_own_window_is_shown_in_mid_grey(tmp_path, clock, make_event, make_exam):
    from fluoroscope.records.xa import XARun, write_xa

    rows, columns = np.mgrid[:64, :64]
    body = 900.0 * np.exp(0.4 * np.sin(columns / 7.0) + 0.3 * np.cos(rows / 5.0))
    pixels = np.random.default_rng(0).poisson(np.broadcast_to(body, (4, 64, 64))).astype(np.uint16)
    run = XARun(
        make_event(pulses=4, pulse_rate_hz=10.0),
        tuple(range(0, 400_000_000, 100_000_000)),
        900.0,
        1800.0,
        0.3,
        intensity=PixelIntensity.LIN,
    )
    write_xa(tmp_path / "run.dcm", pixels, run, make_exam())
    clip, chain = read_clip(tmp_path / "run.dcm"), ImageChain()
    source = ClipSource(clip, clock)
    source.press(TECHNIQUE, "2.25.1")
    frames = list(itertools.islice(source.frames(), 4))
    source.close()
    chain.begin_run(frames[0], (clip.window_center, clip.window_width))
    for frame in frames:
        shown = apply_window(chain.process(frame).pixels, *chain.window)
        meant = apply_window(frame.pixels, clip.window_center, clip.window_width)
        assert np.median(shown) == pytest.approx(127.5, abs=25)
        assert np.median(shown) == pytest.approx(np.median(meant), abs=8)
        assert np.corrcoef(shown.ravel(), meant.ravel())[0, 1] > 0.97


def test_what_we_record_we_replay(tmp_path, clock, make_event, make_exam):
    from fluoroscope.records.xa import XARun, write_xa

    pixels = np.random.default_rng(0).integers(0, 65536, (5, 32, 32), dtype=np.uint16)
    times = tuple(round(t * 1e6) for t in Uneven.frame_times_ms)
    event: IrradiationEvent = make_event(pulses=5, pulse_rate_hz=10.0)
    write_xa(tmp_path / "run.dcm", pixels, XARun(event, times, 1.0, 2.0, 0.3), make_exam())
    source = ClipSource(read_clip(tmp_path / "run.dcm"), clock)
    source.press(TECHNIQUE, "2.25.1")
    frames = list(itertools.islice(source.frames(), 5))
    source.close()
    assert times_ms(frames) == pytest.approx(Uneven.frame_times_ms)
    np.testing.assert_array_equal(np.stack([f.pixels for f in frames]), pixels)
    assert frames[0].pitch_mm == 0.3
