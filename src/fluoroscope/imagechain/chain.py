"""The image chain of a run: what is kept from frame to frame."""

import math
from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fluoroscope.acquisition.frame import Frame, PixelIntensity
from fluoroscope.imagechain.kernels import log_filter_display
from fluoroscope.imagechain.stages import (
    DisplayWindow,
    average_display,
    block_means,
    content_moved,
    display_scale,
    exposure,
    field_rectangle,
    linear_window_on_display,
    log_level,
    recorded_window,
    run_window,
    same_view,
)

__all__ = ["ChainSettings", "DisplayWindow", "ImageChain"]


@dataclass(frozen=True, slots=True)
class ChainSettings:
    """What can be set at the image chain.

    Attributes
    ----------
    recursion
        Weight k of the new frame in ``out = k·in + (1 − k)·previous``, 0 < k ≤ 1; 1 is off. Noise falls to
        √(k / (2 − k)): 0.58 at the default.
    hold_frames
        At most so many frames are averaged for the last image hold, 1 to 32.
    level_time_s
        Time constant with which the level follows a moving C-arm, s, above 0.
    """

    recursion: float = 0.5
    hold_frames: int = 8
    level_time_s: float = 0.4

    def __post_init__(self) -> None:
        if not 0.0 < self.recursion <= 1.0:
            raise ValueError(f"recursion must be above 0 and at most 1, got {self.recursion}")
        if not 1 <= self.hold_frames <= 32:
            raise ValueError(f"the last image hold averages 1 to 32 frames, got {self.hold_frames}")
        if not (math.isfinite(self.level_time_s) and self.level_time_s > 0.0):
            raise ValueError(f"level_time_s must be above 0, got {self.level_time_s}")


LOCK_NEPER = 0.02
KV_STEP = 0.5


class ImageChain:
    """Takes the frames of a run, one after the other, to DISP.

    LIN frames are put on a logarithmic scale of transmission, within 16 bit:
    ``DISP = round(32768 + 6000·(ln(LIN / exposure) − level))``.

    Dividing by the exposure of each pulse keeps the grey of unchanged anatomy when the exposure control
    works. The level is the median of the centre of the field. It is **locked** while the C-arm stands: no
    picture is ever windowed by itself. While the C-arm or table moves it follows slowly, and it locks again
    once it has caught up. A change of the tube voltage, which changes all transmissions, moves level and
    filter by the step of the centre. The same view keeps level and window from press to press.

    LOG and DISP frames (recorded clips) pass with their pixels unchanged.

    One thread calls `begin_run`, `process` and `hold`; `configure` and `window` may be called from any.

    Parameters
    ----------
    settings
        May be changed later with `configure`; holds from the next frame on.
    """

    def __init__(self, settings: ChainSettings | None = None) -> None:
        self._settings = settings if settings is not None else ChainSettings()
        self._window: DisplayWindow = (32768.0, 65536.0)
        self._level = 0.0
        self._level_kv: float | None = None
        self._locked = True
        self._state: NDArray[np.float32] = np.zeros((0, 0), dtype=np.float32)
        self._recent: deque[Frame] = deque(maxlen=32)
        self._filtering = False

    @property
    def settings(self) -> ChainSettings:
        """The settings in force."""
        return self._settings

    @property
    def window(self) -> DisplayWindow:
        """Centre and width of the display window of the run, in pixel values; fixed for the run."""
        return self._window

    def configure(self, settings: ChainSettings) -> None:
        """Change the settings, from the next frame on."""
        self._settings = settings

    def reset(self) -> None:
        """Forget the runs before: another patient or another source."""
        self._recent.clear()

    def begin_run(self, first: Frame, window: DisplayWindow | None = None) -> None:
        """Fix level and window for the run that begins with ``first``.

        Parameters
        ----------
        first
            The first frame; it is then given to `process` like all others.
        window
            The window (centre, width) a recorded clip brings with it, in the pixel values of ``first``; else it
            is found from the first frame. That of a LIN clip is brought to the chain's scale.
        """
        before = self._recent[-1] if self._recent else None
        self._recent.clear()
        self._filtering = False
        if first.intensity is not PixelIntensity.LIN:
            self._window = window if window is not None else recorded_window(first)
            return
        known = before is not None and before.intensity is PixelIntensity.LIN
        again = before is not None and known and same_view(before, first)
        if before is None or not again:
            self._take_level(first)
        else:
            self._follow_voltage(before, first)
        brought = None if window is None else linear_window_on_display(window, first, self._level)
        if brought is not None:
            self._window = brought
        elif not again:
            self._window = run_window(first)

    def process(self, frame: Frame) -> Frame:
        """Return the DISP frame of ``frame``, with all else as it came."""
        if frame.intensity is not PixelIntensity.LIN:
            self._recent.append(frame)
            return replace(frame, intensity=PixelIntensity.DISP)
        before = self._recent[-1] if self._recent else None
        still = before is not None and same_view(before, frame)
        shift = 0.0
        if before is not None:
            shift = self._update_level(before, frame, still)
        if self._state.shape != frame.pixels.shape:
            self._state = np.zeros(frame.pixels.shape, dtype=np.float32)
            self._filtering = False
        mixing = self._filtering and still and before is not None and before.collimation == frame.collimation
        display = np.empty(frame.pixels.shape, dtype=np.uint16)
        field = field_rectangle(frame)
        log_filter_display(
            frame.pixels,
            math.log(exposure(frame)),
            self._settings.recursion if mixing else 1.0,
            shift,
            display_scale(self._level),
            field,
            self._state,
            display,
        )
        self._filtering = True
        self._recent.append(frame)
        return replace(frame, pixels=display, intensity=PixelIntensity.DISP)

    def hold(self) -> Frame | None:
        """Return the last image hold: the mean of the last frames of the run; None before the first.

        Only frames of the same view and collimation as the last are averaged, and none from before something
        in the picture moved. Its uid is that of the last frame with ``-hold`` behind, its time 1 ns
        later: it is the newer picture.
        """
        if not self._recent:
            return None
        last = self._recent[-1]
        uid = f"{last.uid}-hold"
        newer_ns = last.acquired_ns + 1
        if last.intensity is not PixelIntensity.LIN:
            return replace(last, uid=uid, acquired_ns=newer_ns, intensity=PixelIntensity.DISP)
        field = field_rectangle(last)
        reference = block_means(last, field)
        frames = [last]
        for frame in list(self._recent)[-2::-1][: self._settings.hold_frames - 1]:
            if not (same_view(frame, last) and frame.collimation == last.collimation and _same_voltage(frame, last)):
                break
            if content_moved(block_means(frame, field), reference):
                break
            frames.append(frame)
        display = average_display(frames, self._level, np.empty(last.pixels.shape, dtype=np.float32), field)
        return replace(last, uid=uid, acquired_ns=newer_ns, pixels=display, intensity=PixelIntensity.DISP)

    def _take_level(self, frame: Frame) -> None:
        self._level = log_level(frame)
        self._level_kv = _voltage(frame)
        self._locked = True

    def _follow_voltage(self, before: Frame, frame: Frame) -> float:
        """Move the level by the step that a new tube voltage made; return the step."""
        voltage = _voltage(frame)
        if voltage is None or self._level_kv is None or abs(voltage - self._level_kv) < KV_STEP:
            return 0.0
        step = log_level(frame) - log_level(before)
        self._level += step
        self._level_kv = voltage
        return step

    def _update_level(self, before: Frame, frame: Frame, still: bool) -> float:
        """Lock, follow or take anew the level; return the step for the old state of the filter."""
        if before.pixels.shape != frame.pixels.shape or before.pitch_mm != frame.pitch_mm:
            self._take_level(frame)
            return 0.0
        if still and self._locked:
            return self._follow_voltage(before, frame)
        measured = log_level(frame)
        elapsed_s = min(max(frame.acquired_ns - before.acquired_ns, 0) / 1e9, 1.0)
        self._level += (1.0 - math.exp(-elapsed_s / self._settings.level_time_s)) * (measured - self._level)
        self._level_kv = _voltage(frame)
        self._locked = still and abs(measured - self._level) < LOCK_NEPER
        return 0.0


def _voltage(frame: Frame) -> float | None:
    return None if frame.technique is None else frame.technique.tube_voltage_kv


def _same_voltage(one: Frame, other: Frame) -> bool:
    first, second = _voltage(one), _voltage(other)
    return first == second or (first is not None and second is not None and abs(first - second) < KV_STEP)
