"""The image chain: what the logarithm, the recursive filter, the level and the hold do to known pictures."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fluoroscope.acquisition import Collimation, Frame, PixelIntensity, Provenance, PulseKerma
from fluoroscope.beam.technique import Filtration, RadiationMode, Technique
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.table import TablePose
from fluoroscope.imagechain import DISPLAY_GAIN, DISPLAY_OFFSET, ChainSettings, ImageChain
from fluoroscope.imagechain.window import apply_window

SHAPE = (96, 128)
PITCH_MM = 0.6
POSE = CArmPose(0.0, 0.0, 510.0, 1020.0)
TECHNIQUE = Technique(70.0, 3.0, 8.0, 15.0)


def lin_frame(pixels: NDArray[np.generic], index: int = 0, mas_factor: float = 1.0, **changes: object) -> Frame:
    frame = Frame(
        uid=f"f{index}",
        event_uid="e",
        index=index,
        acquired_ns=index * 66_666_667,
        pixels=np.clip(np.round(pixels), 0, 65535).astype(np.uint16),
        intensity=PixelIntensity.LIN,
        provenance=Provenance.SIMULATED,
        pitch_mm=PITCH_MM,
        pose=POSE,
        table=TablePose(),
        technique=replace(TECHNIQUE, tube_current_ma=3.0 * mas_factor),
        collimation=None,
        kerma=PulseKerma(0.01 * mas_factor, 0.002 * mas_factor),
    )
    return replace(frame, **changes)  # type: ignore[arg-type]


def anatomy(seed: int = 0) -> NDArray[np.float64]:
    """Transmission times open field: a smooth body with vertical ribs, 600 to 6000."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    ribs = 0.5 * np.sin(columns / 7.0 + seed) + 0.3 * np.cos(rows / 9.0)
    result: NDArray[np.float64] = 2000.0 * np.exp(ribs)
    return result


def noisy(signal: NDArray[np.float64], seed: int, quanta_per_unit: float = 0.05) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return rng.poisson(signal * quanta_per_unit) / quanta_per_unit


def run(chain: ImageChain, frames: list[Frame]) -> list[Frame]:
    chain.begin_run(frames[0])
    return [chain.process(frame) for frame in frames]


def test_display_value_is_the_documented_logarithm() -> None:
    chain = ImageChain(ChainSettings(recursion=1.0))
    signal = anatomy()
    shown = run(chain, [lin_frame(signal)])[0]
    assert shown.intensity is PixelIntensity.DISP
    counts = np.round(signal)
    # Between any two pixels the grey differs by the gain times the log of their ratio, whatever the level is.
    expected = DISPLAY_GAIN * np.log(counts / counts[0, 0])
    difference = shown.pixels.astype(np.float64) - float(shown.pixels[0, 0])
    assert np.abs(difference - expected).max() <= 1.01
    middle = shown.pixels[24:72:8, 32:96]
    assert abs(float(np.median(middle)) - DISPLAY_OFFSET) <= 2.0


def test_more_x_ray_is_never_darker_and_ends_are_clipped_not_wrapped() -> None:
    ramp = np.linspace(0.0, 65535.0, SHAPE[0] * SHAPE[1]).reshape(SHAPE)
    shown = run(ImageChain(), [lin_frame(ramp)])[0].pixels.astype(np.int64).ravel()
    assert (np.diff(shown) >= 0).all()
    assert shown[0] < shown[-1] <= 65535


@given(recursion=st.floats(0.05, 1.0), lengths=st.integers(2, 12))
@settings(deadline=None, max_examples=25)
def test_recursive_filter_is_the_geometric_series(recursion: float, lengths: int) -> None:
    chain = ImageChain(ChainSettings(recursion=recursion))
    pictures = [np.round(anatomy(seed)) for seed in range(lengths)]
    chain.begin_run(lin_frame(pictures[0]))
    outputs = [chain.process(lin_frame(picture, index)) for index, picture in enumerate(pictures)]
    state = np.log(pictures[0])
    for picture in pictures[1:]:
        state = recursion * np.log(picture) + (1.0 - recursion) * state
    level = np.log(pictures[0])[0, 0] - (float(outputs[0].pixels[0, 0]) - DISPLAY_OFFSET) / DISPLAY_GAIN
    expected = DISPLAY_OFFSET + DISPLAY_GAIN * (state - level)
    assert np.abs(outputs[-1].pixels - expected).max() <= 2.5


def test_a_still_picture_does_not_change_in_the_filter() -> None:
    frames = [lin_frame(anatomy(), index) for index in range(5)]
    shown = run(ImageChain(ChainSettings(recursion=0.3)), frames)
    for frame in shown[1:]:
        assert np.abs(frame.pixels.astype(np.int64) - shown[0].pixels).max() <= 1


def test_noise_falls_as_the_filter_says() -> None:
    recursion = 0.4
    chain = ImageChain(ChainSettings(recursion=recursion))
    flat = np.full(SHAPE, 4000.0)
    frames = [lin_frame(noisy(flat, index), index) for index in range(30)]
    shown = run(chain, frames)
    off = run(ImageChain(ChainSettings(recursion=1.0)), frames)
    ratio = np.std(shown[-1].pixels) / np.std(off[-1].pixels)
    assert ratio == pytest.approx(math.sqrt(recursion / (2.0 - recursion)), rel=0.06)


@pytest.mark.parametrize(
    "change",
    [
        {"pose": replace(POSE, primary_deg=1.0)},
        {"table": TablePose(height_mm=2.0)},
        {"pitch_mm": 0.3},
        {"collimation": Collimation(20.0, 20.0, 20.0, 20.0)},
        {"technique": replace(TECHNIQUE, tube_voltage_kv=80.0)},
        {"technique": replace(TECHNIQUE, filtration=Filtration(3.1, 0.3))},
        {"technique": replace(TECHNIQUE, mode=RadiationMode.ACQUISITION)},
    ],
    ids=["c-arm", "table", "field", "collimation", "kV", "filter", "mode"],
)
def test_pictures_of_different_views_are_never_mixed(change: dict[str, object]) -> None:
    chain = ImageChain(ChainSettings(recursion=0.2))
    run(chain, [lin_frame(anatomy(0), index) for index in range(4)])
    signal = np.round(anatomy(3))
    shown = chain.process(lin_frame(signal, 4, **change)).pixels.astype(np.float64)
    inside = np.s_[40:56, 50:78]
    expected = DISPLAY_GAIN * np.log(signal[inside] / signal[48, 64])
    assert np.abs(shown[inside] - shown[48, 64] - expected).max() <= 1.01


@given(factors=st.lists(st.floats(0.4, 2.5), min_size=2, max_size=20))
@settings(deadline=None, max_examples=25)
def test_the_same_anatomy_keeps_its_grey_when_the_exposure_control_works(factors: list[float]) -> None:
    chain = ImageChain(ChainSettings(recursion=1.0))
    frames = [lin_frame(anatomy() * factor, index, factor) for index, factor in enumerate(factors)]
    shown = run(chain, frames)
    for frame in shown[1:]:
        # Only the rounding of LIN to whole counts is left: half a count of 240 is 13 grey values.
        assert np.abs(frame.pixels.astype(np.float64) - shown[0].pixels).max() <= 26.0


def test_a_change_of_voltage_keeps_the_grey_of_the_centre_and_the_filter_going() -> None:
    chain = ImageChain(ChainSettings(recursion=0.3))
    flat = np.full(SHAPE, 4000.0)
    shown = run(chain, [lin_frame(flat, 0)])
    for index in range(1, 20):
        kv = 70.0 + min(index, 10)
        brighter = flat * (1.0 + 0.03 * min(index, 10))
        frame = lin_frame(brighter, index, technique=replace(TECHNIQUE, tube_voltage_kv=kv))
        shown.append(chain.process(frame))
    middles = [float(np.median(frame.pixels)) for frame in shown]
    assert max(middles) - min(middles) <= 4.0


def test_the_lateral_does_not_stay_dark_and_no_step_is_seen_on_the_way() -> None:
    chain = ImageChain()
    shown = run(chain, [lin_frame(anatomy(), 0)])
    darkening = 5.0
    for index in range(1, 60):
        angle = min(index, 30) * 3.0
        factor = darkening ** (-min(index, 30) / 30.0)
        pose = replace(POSE, primary_deg=angle)
        shown.append(chain.process(lin_frame(anatomy() * factor, index, pose=pose)))
    middles = np.array([float(np.median(frame.pixels[24:72, 32:96])) for frame in shown])
    assert abs(middles[-1] - DISPLAY_OFFSET) < 0.05 * DISPLAY_GAIN
    assert np.abs(np.diff(middles)).max() < 0.06 * DISPLAY_GAIN
    # Once it stands and has caught up, the level is locked: the last frames are the same to the grey value.
    assert np.ptp(middles[-10:]) <= 1.0


@pytest.mark.req("REQ-CHAIN-001")
def test_the_window_is_fixed_for_the_run_and_kept_for_the_next_press_on_the_same_view() -> None:
    chain = ImageChain()
    run(chain, [lin_frame(noisy(anatomy(), index), index) for index in range(3)])
    first = chain.window
    chain.process(lin_frame(anatomy() * np.linspace(0.2, 5.0, SHAPE[1]), 3))
    assert chain.window == first
    chain.begin_run(lin_frame(anatomy() * np.linspace(0.2, 5.0, SHAPE[1]), 4))
    assert chain.window == first
    chain.begin_run(lin_frame(anatomy() * np.linspace(0.05, 9.0, SHAPE[1]), 5, pose=replace(POSE, primary_deg=9)))
    assert chain.window != first


def test_a_second_press_on_the_same_view_shows_the_same_greys() -> None:
    chain = ImageChain(ChainSettings(recursion=1.0))
    first = run(chain, [lin_frame(anatomy(), 0)])[0]
    chain.hold()
    with_needle = anatomy()
    with_needle[30:60, 60] *= 0.1
    second = run(chain, [lin_frame(with_needle * 1.7, 0, 1.7)])[0]
    away = np.s_[:, :50]
    assert np.abs(first.pixels[away].astype(np.float64) - second.pixels[away]).max() <= 12.0


def test_outside_the_collimator_is_black_and_inside_is_not() -> None:
    collimation = Collimation(left_mm=12.0, right_mm=24.0, upper_mm=6.0, lower_mm=18.0)
    shown = run(ImageChain(), [lin_frame(anatomy(), collimation=collimation)])[0].pixels
    rows = (np.arange(SHAPE[0]) - (SHAPE[0] - 1) / 2.0) * PITCH_MM
    columns = (np.arange(SHAPE[1]) - (SHAPE[1] - 1) / 2.0) * PITCH_MM
    is_open = ((rows >= -6.0) & (rows <= 18.0))[:, None] & ((columns >= -12.0) & (columns <= 24.0))[None, :]
    assert (shown[~is_open] == 0).all()
    assert (shown[is_open] > 0).all()


def test_hold_is_an_average_with_the_noise_of_one() -> None:
    chain = ImageChain(ChainSettings(recursion=1.0, hold_frames=8))
    flat = np.full(SHAPE, 4000.0)
    shown = run(chain, [lin_frame(noisy(flat, index), index) for index in range(20)])
    held = chain.hold()
    assert held is not None
    assert held.uid == "f19-hold"
    assert held.acquired_ns == shown[-1].acquired_ns + 1
    assert np.std(held.pixels) / np.std(shown[-1].pixels) == pytest.approx(1 / math.sqrt(8), rel=0.08)
    assert abs(np.mean(held.pixels) - np.mean(shown[-1].pixels)) < 0.01 * DISPLAY_GAIN


def test_hold_never_averages_over_a_move_of_the_c_arm() -> None:
    chain = ImageChain(ChainSettings(recursion=1.0))
    frames = [lin_frame(anatomy(0), index) for index in range(6)]
    frames += [lin_frame(anatomy(2), 6, pose=replace(POSE, secondary_deg=2.0))]
    shown = run(chain, frames)
    held = chain.hold()
    assert held is not None
    np.testing.assert_array_equal(held.pixels, shown[-1].pixels)


def test_hold_never_averages_over_a_needle_that_moved() -> None:
    chain = ImageChain(ChainSettings(recursion=1.0, hold_frames=8))
    frames = []
    for index in range(10):
        signal = anatomy()
        # Three pixels wide, moved by two, at 40 quanta a pixel.
        at = 40 if index < 6 else 42
        signal[30:60, at : at + 3] *= 0.5
        frames.append(lin_frame(noisy(signal, index, 0.02), index))
    run(chain, frames)
    held = chain.hold()
    assert held is not None
    # Four frames since the move, not eight: where the needle was is no ghost of it.
    uncovered = np.s_[30:60, 40:42]
    error = held.pixels / DISPLAY_GAIN - np.log(anatomy())
    assert abs(np.mean(error[uncovered]) - np.median(error)) < 0.05


@given(seed=st.integers(0, 10_000))
@settings(deadline=None, max_examples=20)
def test_hold_uses_all_frames_when_only_noise_changes(seed: int) -> None:
    chain = ImageChain(ChainSettings(recursion=1.0, hold_frames=4))
    run(chain, [lin_frame(noisy(anatomy(), 50 * seed + index), index) for index in range(6)])
    held = chain.hold()
    assert held is not None
    noise = held.pixels - (DISPLAY_OFFSET + DISPLAY_GAIN * np.log(anatomy() / np.median(anatomy())))
    one = chain.process(lin_frame(noisy(anatomy(), 50 * seed + 7), 7)).pixels - (
        DISPLAY_OFFSET + DISPLAY_GAIN * np.log(anatomy() / np.median(anatomy()))
    )
    assert np.std(noise) / np.std(one) == pytest.approx(0.5, rel=0.12)


def test_hold_averages_beside_saturated_air() -> None:
    chain = ImageChain(ChainSettings(recursion=1.0, hold_frames=8))
    signal = np.full(SHAPE, 3000.0)
    signal[:, 64:] *= np.exp(np.linspace(0.0, 5.0, 64))
    frames = [lin_frame(noisy(signal, index), index) for index in range(9)]
    shown = run(chain, frames)
    held = chain.hold()
    assert held is not None
    assert np.std(held.pixels[:, :60]) / np.std(shown[-1].pixels[:, :60]) == pytest.approx(8**-0.5, rel=0.08)


def test_hold_before_any_frame_is_nothing() -> None:
    assert ImageChain().hold() is None


@pytest.mark.parametrize("brightest", [255, 1023, 4095, 65535])
def test_a_recorded_clip_keeps_its_pixels_and_its_bits(brightest: int) -> None:
    pixels = np.linspace(0, brightest, SHAPE[0] * SHAPE[1]).astype(np.uint16).reshape(SHAPE)
    recorded = lin_frame(
        pixels, intensity=PixelIntensity.DISP, technique=None, kerma=None, provenance=Provenance.RECORDED
    )
    chain = ImageChain()
    shown = run(chain, [recorded])[0]
    np.testing.assert_array_equal(shown.pixels, pixels)
    assert chain.window == (brightest / 2.0, brightest + 1.0)
    held = chain.hold()
    assert held is not None
    np.testing.assert_array_equal(held.pixels, pixels)


@pytest.mark.parametrize(("center", "width"), [(2000.0, 4000.0), (3000.0, 1500.0), (1200.0, 8000.0)])
def test_the_window_of_a_lin_clip_is_brought_to_the_chains_scale(center: float, width: float) -> None:
    chain, frame = ImageChain(), lin_frame(anatomy(), technique=None, kerma=None)
    chain.begin_run(frame, window=(center, width))
    shown = apply_window(chain.process(frame).pixels, *chain.window).astype(float)
    meant = apply_window(frame.pixels, center, width).astype(float)
    near = np.abs(frame.pixels - center) < 0.25 * min(width, center)
    # Equal in grey and slope at the centre; the logarithm bends away by x²/2 of the distance.
    assert np.abs(shown - meant)[near].max() < 255.0 * center / width * 0.05 + 1.5
    assert np.abs(shown - meant).mean() < 25.0
    again = lin_frame(anatomy(), 1, technique=None, kerma=None)
    before = chain.window
    chain.begin_run(again, window=(center, width))
    assert chain.window == before


def test_a_window_a_logarithm_cannot_show_is_left_out() -> None:
    chain, other = ImageChain(), ImageChain()
    chain.begin_run(lin_frame(anatomy()), window=(0.0, 4096.0))
    other.begin_run(lin_frame(anatomy()))
    assert chain.window == other.window


def test_a_clip_may_bring_its_own_window() -> None:
    chain = ImageChain()
    chain.begin_run(lin_frame(anatomy(), intensity=PixelIntensity.DISP), window=(500.0, 800.0))
    assert chain.window == (500.0, 800.0)


def test_linear_frames_of_which_nothing_is_known_are_shown() -> None:
    bare = [
        lin_frame(anatomy(), index, technique=None, kerma=None, pose=None, table=None, pitch_mm=None)
        for index in range(3)
    ]
    shown = run(ImageChain(), bare)
    assert abs(float(np.median(shown[-1].pixels[24:72:8, 32:96])) - DISPLAY_OFFSET) <= 2.0


@pytest.mark.parametrize("bad", [{"recursion": 0.0}, {"recursion": 1.5}, {"hold_frames": 0}, {"level_time_s": 0.0}])
def test_settings_out_of_range_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"recursion|hold|level_time"):
        ChainSettings(**bad)  # type: ignore[arg-type]
