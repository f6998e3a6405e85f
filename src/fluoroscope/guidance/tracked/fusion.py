"""One tip out of two witnesses: the tracker in three dimensions, the X-ray more exactly but across its beam only.

State: place, velocity, and the tracker's own offset there (distortion of its field and a registration that is off),
which neither averages away nor is seen by the tracker. Without that offset in the state, forty poses a second would
make an error of 1 mm look like one of 0.03 mm.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.projection import ProjectionGeometry

__all__ = ["FusedTip", "FusionSettings", "TipFusion"]

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_PLACE, _SPEED, _OFFSET = slice(0, 3), slice(3, 6), slice(6, 9)
_LONGEST_STEP_S = 5.0
"""After a silence this long nothing is known of where the tip was."""
_UNKNOWN_MM2 = 1e6
_SURPRISE = 16.0
"""Squared distance in standard deviations (4²) beyond which a picture is left out as a wrong find …"""
_MOST_SURPRISES = 4
"""… unless so many in a row were left out before it: then it is the tracker that has moved."""


@dataclass(frozen=True, slots=True)
class FusionSettings:
    """What is believed of both witnesses.

    Attributes
    ----------
    tool_sigma_mm
        Jitter of the tracked tip per axis (Aurora 0.14 mm at the sensor, more at the tip).
    offset_sigma_mm
        Standard deviation per axis of the tracker's offset: distortion and registration.
    offset_s
        Time over which the offset changes wholly.
    acceleration_mm_s2
        How abruptly a hand moves the needle, root of the power density times 1 s.
    speed_sigma_mm_s
        Of a needle nothing is known of.
    keep_s
        How late a measurement may come.
    """

    tool_sigma_mm: float = 0.25
    offset_sigma_mm: float = 1.0
    offset_s: float = 30.0
    acceleration_mm_s2: float = 20.0
    speed_sigma_mm_s: float = 20.0
    keep_s: float = 1.0


@dataclass(frozen=True, slots=True)
class FusedTip:
    """Where the tip is by both.

    Attributes
    ----------
    at_ns
        The moment.
    place_mm, covariance_mm2
        (3,) and (3, 3), equipment frame.
    velocity_mm_s
        (3,).
    offset_mm, offset_covariance_mm2
        (3,) and (3, 3): the tracker's error as it is estimated, tracker minus true.
    seen_age_s
        Since the tip was last seen in a picture; None when it never was: then only the tracker speaks.
    """

    at_ns: int
    place_mm: Vector
    covariance_mm2: Matrix
    velocity_mm_s: Vector
    offset_mm: Vector
    offset_covariance_mm2: Matrix
    seen_age_s: float | None

    @property
    def sigma_mm(self) -> float:
        """Largest standard deviation of the place in any direction, mm."""
        return float(np.sqrt(np.linalg.eigvalsh(self.covariance_mm2)[-1]))


@dataclass(frozen=True, slots=True)
class _State:
    at_ns: int
    mean: Vector
    covariance: Matrix
    seen_ns: int | None
    surprises: int = 0


_Update = Callable[[_State], _State]


class TipFusion:
    """A Kalman filter over tip, speed and tracker offset, that takes measurements in any order within a second.

    Parameters
    ----------
    settings
        What is believed of both witnesses.
    """

    def __init__(self, settings: FusionSettings | None = None) -> None:
        self.settings = settings if settings is not None else FusionSettings()
        self._times: list[int] = []
        self._updates: list[_Update] = []
        self._states: list[_State] = []

    def reset(self) -> None:
        """Forget all: another needle, or another registration."""
        self._times.clear()
        self._updates.clear()
        self._states.clear()

    def told(self, at_ns: int, tip_mm: Vector, covariance_mm2: Matrix | None = None) -> None:
        """Take the tip as the tracker gives it, in the equipment frame, latency taken off.

        Parameters
        ----------
        at_ns
            When it was so.
        tip_mm
            (3,).
        covariance_mm2
            (3, 3) of its noise, offset apart; the settings' jitter when absent. A latency known to ± σ adds
            v vᵀ σ² of the speed v here.
        """
        noise = np.eye(3) * self.settings.tool_sigma_mm**2 if covariance_mm2 is None else covariance_mm2
        self._insert(at_ns, lambda state: self._updated_by_tool(state, tip_mm, noise))

    def seen(self, at_ns: int, tip_px: Vector, geometry: ProjectionGeometry, sigma_px: float) -> None:
        """Take the tip as a picture shows it.

        Parameters
        ----------
        at_ns
            When the picture was taken.
        tip_px
            (row, column).
        geometry
            Of the picture; its world is the equipment frame.
        sigma_px
            Standard deviation of each coordinate, pixels.
        """
        noise = np.eye(2) * sigma_px**2
        self._insert(at_ns, lambda state: _updated_by_picture(state, tip_px, geometry, noise, at_ns))

    def at(self, now_ns: int) -> FusedTip | None:
        """Return where the tip is at a moment; None before both place and depth are known, or after a long silence."""
        index = bisect_right(self._times, now_ns) - 1
        if index < 0:
            return None
        state = self._states[index]
        if now_ns - state.at_ns > _LONGEST_STEP_S * 1e9 or not _placed(state):
            return None
        state = self._predicted(state, now_ns)
        seen = None if state.seen_ns is None else (now_ns - state.seen_ns) / 1e9
        return FusedTip(
            now_ns,
            state.mean[_PLACE].copy(),
            state.covariance[_PLACE, _PLACE].copy(),
            state.mean[_SPEED].copy(),
            state.mean[_OFFSET].copy(),
            state.covariance[_OFFSET, _OFFSET].copy(),
            seen,
        )

    def _insert(self, at_ns: int, update: _Update) -> None:
        """Put a measurement where it belongs and go through all that follow again."""
        index = bisect_right(self._times, at_ns)
        if index == 0 and self._times and self._times[-1] - at_ns > self.settings.keep_s * 1e9:
            return
        self._times.insert(index, at_ns)
        self._updates.insert(index, update)
        del self._states[index:]
        for at, again in zip(self._times[index:], self._updates[index:], strict=True):
            state = self._predicted(self._states[-1], at) if self._states else self._unknown(at)
            self._states.append(again(state))
        # One older than what is kept stays, as the state everything later begins from.
        oldest = bisect_right(self._times, self._times[-1] - round(self.settings.keep_s * 1e9)) - 1
        if oldest > 0:
            del self._times[:oldest], self._updates[:oldest], self._states[:oldest]

    def _unknown(self, at_ns: int) -> _State:
        """Return a state that knows only what the settings believe; its place is anywhere in the room."""
        spread = np.repeat([0.0, self.settings.speed_sigma_mm_s**2, self.settings.offset_sigma_mm**2], 3)
        spread[_PLACE] = _UNKNOWN_MM2
        return _State(at_ns, np.zeros(9), np.diag(spread), None)

    def _predicted(self, state: _State, at_ns: int) -> _State:
        """Return the state a time later: the place goes on, speed and offset forget."""
        step_s = (at_ns - state.at_ns) / 1e9
        if step_s > _LONGEST_STEP_S:
            return replace(self._unknown(at_ns), seen_ns=state.seen_ns)
        if step_s <= 0.0:
            return replace(state, at_ns=max(at_ns, state.at_ns))
        settings = self.settings
        kept = np.exp(-step_s / settings.offset_s)
        move = np.eye(9)
        move[_PLACE, _SPEED] = step_s * np.eye(3)
        move[_OFFSET, _OFFSET] = kept * np.eye(3)
        power = settings.acceleration_mm_s2**2
        noise = np.zeros((9, 9))
        noise[_PLACE, _PLACE] = power * step_s**3 / 3.0 * np.eye(3)
        noise[_PLACE, _SPEED] = noise[_SPEED, _PLACE] = power * step_s**2 / 2.0 * np.eye(3)
        noise[_SPEED, _SPEED] = power * step_s * np.eye(3)
        noise[_OFFSET, _OFFSET] = settings.offset_sigma_mm**2 * (1.0 - kept**2) * np.eye(3)
        return replace(state, at_ns=at_ns, mean=move @ state.mean, covariance=move @ state.covariance @ move.T + noise)

    def _updated_by_tool(self, state: _State, tip_mm: Vector, noise: Matrix) -> _State:
        sees = np.zeros((3, 9))
        sees[:, _PLACE] = sees[:, _OFFSET] = np.eye(3)
        return _updated(state, tip_mm - sees @ state.mean, sees, noise)


def _updated_by_picture(
    state: _State, tip_px: Vector, geometry: ProjectionGeometry, noise: Matrix, at_ns: int
) -> _State:
    row, column, depth = geometry.pixel_from_world @ np.append(state.mean[_PLACE], 1.0)
    if depth <= 1.0 or not _placed(state):
        # A ray alone is no place: the tracker has the first word.
        return state
    slopes = np.zeros((2, 9))
    expected = np.array([row, column]) / depth
    slopes[:, _PLACE] = (
        geometry.pixel_from_world[:2, :3] - expected[:, None] * geometry.pixel_from_world[2, :3]
    ) / depth
    surprise = tip_px - expected
    believed = slopes @ state.covariance @ slopes.T + noise
    if surprise @ np.linalg.solve(believed, surprise) > _SURPRISE and state.surprises < _MOST_SURPRISES:
        return replace(state, surprises=state.surprises + 1)
    return replace(_updated(state, surprise, slopes, noise), seen_ns=at_ns, surprises=0)


def _placed(state: _State) -> bool:
    """Whether the tracker has told a place since nothing was known."""
    return bool(np.trace(state.covariance[_PLACE, _PLACE]) < _UNKNOWN_MM2)


def _updated(state: _State, surprise: Vector, slopes: Matrix, noise: Matrix) -> _State:
    """Return the state after a measurement, the covariance in Joseph's form, which stays symmetric and positive."""
    expected = slopes @ state.covariance @ slopes.T + noise
    gain = np.linalg.solve(expected, slopes @ state.covariance).T
    left = np.eye(9) - gain @ slopes
    covariance = left @ state.covariance @ left.T + gain @ noise @ gain.T
    return replace(state, mean=state.mean + gain @ surprise, covariance=0.5 * (covariance + covariance.T))
