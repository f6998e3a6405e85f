"""Where the needle is beside its plan, picture after picture: what each view sees of it, and what none has seen yet.

Five numbers in the plan's own axes: the tip across (to the patient's left, to his head) and along, and both slopes of
the needle. Each picture corrects what it can see of them (an extended Kalman filter); what the hand does between
pictures makes them less certain. So a bull's-eye view tells the sides and a lateral view the depth, and both together
the needle, with its covariance.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fluoroscope.app.guidance.live_path import LivePath
from fluoroscope.geometry.projection import ProjectionGeometry, project_points
from fluoroscope.guidance.live_error import plan_axes
from fluoroscope.guidance.two_views import SeenNeedle

__all__ = ["HandMoved", "TipEstimate", "TipState"]

Float = NDArray[np.float64]

_START_ACROSS_MM, _START_ALONG_MM, _START_SLOPE = 6.0, 60.0, 0.12
"""What is thought of a needle that was just set at the plan's entry: 1 σ."""
_SWUNG_MM, _SWUNG_SLOPE = 1.5, 0.05
_SWUNG_LEAST_MM, _SWUNG_LEAST_SLOPE = 0.3, 0.01
_PUSHED_MM, _PUSHED_PER_MM, _PUSHED_SLOPE = 0.2, 0.03, 0.006
READ_SIGMA_MM = 2.5
"""The hand reads the depth by how much of the shaft stands out of the skin, to about 5 mm."""
_SEEN_DEPTH_SIGMA_MM = 2.0
_ROUNDS = 4
_GATE = 25.0
"""Squared normalised distance beyond which a detection is taken for another thing than this needle."""


@dataclass(frozen=True, slots=True)
class HandMoved:
    """What the hand did to the needle between two pictures.

    Attributes
    ----------
    pushed_mm
        How far, in or out.
    swung_deg
        By how much.
    tip_way_mm
        (3,) where the tip goes when the hub swings so, for each mm beyond the skin, in the CT's coordinates; None
        where that is not known.
    """

    pushed_mm: float = 0.0
    swung_deg: float = 0.0
    tip_way_mm: Float | None = None

    def __bool__(self) -> bool:
        return self.pushed_mm > 0.0 or self.swung_deg > 0.0


@dataclass(frozen=True, slots=True)
class TipState:
    """The needle as it is known now, in the CT's coordinates.

    Attributes
    ----------
    tip_mm, covariance_mm2
        (3,) and (3, 3).
    direction, angle_sigma_deg
        (3,) unit, hub to tip, and its error; None while no view has shown it.
    depth_from
        "this view", "read at the hub", or "" while the depth is not known.
    """

    tip_mm: Float
    covariance_mm2: Float
    direction: Float | None
    angle_sigma_deg: float
    depth_from: str


class TipEstimate:
    """The needle beside its plan.

    Parameters
    ----------
    path
        The plan.
    """

    def __init__(self, path: LivePath) -> None:
        self._path = path
        along, left, head, _ = plan_axes(path.entry_mm, path.target_mm)
        self._axes = np.stack([left, head, along])
        self.forget()

    def forget(self) -> None:
        """Begin anew: another needle."""
        self._x = np.zeros(5)
        self._p = np.diag(np.square([_START_ACROSS_MM] * 2 + [_START_ALONG_MM] + [_START_SLOPE] * 2))
        self._depth_from = ""
        self._slopes_seen = np.zeros(2, dtype=np.bool_)

    def moved(self, by: HandMoved) -> None:
        """Take into account what the hand did: the sides stay nearly known, the depth does not."""
        noise = np.zeros(4)
        if by.pushed_mm > 0.0:
            across = _PUSHED_MM + _PUSHED_PER_MM * by.pushed_mm
            noise += np.square([across, across, _PUSHED_SLOPE, _PUSHED_SLOPE])
        if by.swung_deg > 0.0:
            noise += self._swing(by)
        self._p[[0, 1, 3, 4], [0, 1, 3, 4]] += noise
        if by.pushed_mm > 0.0:
            # The depth is seen or read anew; nothing of what it went with the sides is kept.
            self._p[2, :] = self._p[:, 2] = 0.0
            self._p[2, 2] = _START_ALONG_MM**2
            self._depth_from = ""

    def _swing(self, by: HandMoved) -> Float:
        """Turn the needle about the skin as the hub was swung; return the variances of sides and slopes."""
        if by.tip_way_mm is None:
            return np.square([_SWUNG_MM, _SWUNG_MM, _SWUNG_SLOPE, _SWUNG_SLOPE])
        # Tissue holds the deep part back and the shaft bends: between none and all of the swing reaches the tip.
        turned = 0.5 * (self._axes[:2] @ by.tip_way_mm)
        deep = max(float(self._x[2]), 0.0)
        self._x[:2] += deep * turned
        self._x[3:] += turned
        size = float(np.linalg.norm(turned))
        across, slope = np.hypot(_SWUNG_LEAST_MM, size * deep), np.hypot(_SWUNG_LEAST_SLOPE, size)
        return np.square([across, across, slope, slope])

    def read_depth(self, depth_mm: float) -> None:
        """Take in the depth as the hand reads it at the hub."""
        before = self._p[2, 2]
        self._correct(lambda x: x[2:3], np.array([depth_mm]), np.array([[READ_SIGMA_MM**2]]))
        if before > READ_SIGMA_MM**2:
            self._depth_from = "read at the hub"

    def mismatch(
        self, needle: SeenNeedle, geometry: ProjectionGeometry, length_mm: float, extra_px: float = 0.0
    ) -> float:
        """Return how badly a needle of a picture fits what is known of this one: a squared, normalised distance.

        Of a needle seen end on the hub counts too: which of its ends is which is told by nothing else.
        """
        away, slope, spread = self._beside(needle, geometry, extra_px)
        if needle.hub_px is not None and self._end_on(geometry):
            hub = partial(self._hub_px, geometry, length_mm)
            away = np.concatenate([away, np.asarray(needle.hub_px) - hub(self._x)])
            slope = np.concatenate([slope, self._numeric(hub)])
            spread = np.kron(np.diag([0.0, 1.0]), _hub_spread(needle)) + np.kron(np.diag([1.0, 0.0]), spread)
        return _squared(away, slope @ self._p @ slope.T + spread)

    def see(self, needle: SeenNeedle, geometry: ProjectionGeometry, length_mm: float, extra_px: float = 0.0) -> bool:
        """Take in a needle as a picture shows it; False when it is too far off to be this needle.

        Parameters
        ----------
        needle
            As seen.
        geometry
            The beam in the CT's coordinates.
        length_mm
            Of the whole needle, hub to tip.
        extra_px
            Error of where the CT lies in the picture, 1 σ.
        """
        away, slope, spread = self._beside(needle, geometry, extra_px)
        if _squared(away, slope @ self._p @ slope.T + spread) > _GATE:
            return False
        self._correct(lambda x: project_points(geometry, self._tip(x)), np.asarray(needle.tip_px), spread)
        self._see_slopes(needle, geometry, length_mm)
        if self._p[2, 2] < _SEEN_DEPTH_SIGMA_MM**2:
            self._depth_from = "this view"
        return True

    @property
    def state(self) -> TipState:
        """The needle as it is known now."""
        direction = self._direction(self._x) if self._slopes_seen.all() else None
        covariance = self._axes.T @ self._p[:3, :3] @ self._axes
        angle = float(np.rad2deg(np.sqrt(np.linalg.eigvalsh(self._p[3:, 3:])[-1])))
        return TipState(self._tip(self._x), covariance, direction, angle, self._depth_from)

    # Inner works

    def _tip(self, x: Float) -> Float:
        tip: Float = self._path.entry_mm + x[:3] @ self._axes
        return tip

    def _direction(self, x: Float) -> Float:
        way = self._axes[2] + x[3] * self._axes[0] + x[4] * self._axes[1]
        unit: Float = way / np.linalg.norm(way)
        return unit

    def _hub_px(self, geometry: ProjectionGeometry, length_mm: float, x: Float) -> Float:
        return project_points(geometry, self._tip(x) - length_mm * self._direction(x))

    def _end_on(self, geometry: ProjectionGeometry) -> bool:
        tip = self._tip(self._x)
        seen = project_points(geometry, tip - 10.0 * self._axes[2]) - project_points(geometry, tip)
        return float(np.linalg.norm(seen)) * geometry.grid.pitch_mm < 4.0

    def _beside(self, needle: SeenNeedle, geometry: ProjectionGeometry, extra_px: float) -> tuple[Float, Float, Float]:
        """Return how far a tip is seen from where it should be, px, that place's slope by the state, and its spread."""
        slope = self._numeric(lambda x: project_points(geometry, self._tip(x)))
        away = np.asarray(needle.tip_px) - project_points(geometry, self._tip(self._x))
        return away, slope, needle.tip_covariance() + extra_px**2 * np.eye(2)

    def _see_slopes(self, needle: SeenNeedle, geometry: ProjectionGeometry, length_mm: float) -> None:
        """Correct the slopes by how the shaft runs in the picture."""
        way = needle.tangent()
        if self._end_on(geometry):
            # From hub to tip over the known length: how far the shaft is from end on.
            if needle.hub_px is None:
                return
            self._correct(partial(self._hub_px, geometry, length_mm), np.asarray(needle.hub_px), _hub_spread(needle))
            self._slopes_seen[:] = True
            return

        def turn(x: Float) -> Float:
            at = self._tip(x)
            on = project_points(geometry, at) - project_points(geometry, at - 10.0 * self._direction(x))
            return np.array([np.arctan2(on[0], on[1])])

        measured = np.array([np.arctan2(way[0][0], way[0][1])])
        self._correct(turn, measured, np.array([[max(way[1], 0.003) ** 2]]), turn=True)
        shown = np.abs(self._numeric(turn)[0, 3:])
        self._slopes_seen |= shown > 0.5 * shown.max()

    def _numeric(self, of: Callable[[Float], Float]) -> Float:
        """Return the slope (n, 5) of a function of the state."""
        at = of(self._x)
        steps = np.array([0.05, 0.05, 0.05, 1e-3, 1e-3])
        slope = np.empty((len(at), 5))
        for i, step in enumerate(steps):
            beside = self._x.copy()
            beside[i] += step
            change = of(beside) - at
            slope[:, i] = change / step
        return slope

    def _correct(self, of: Callable[[Float], Float], measured: Float, spread: Float, *, turn: bool = False) -> None:
        """Take in a measurement of a function of the state; an angle where ``turn``, so that a whole turn is none."""
        began, before = self._x, self._p
        for _ in range(_ROUNDS):
            # Nearly linear: each round takes the slope where the last one ended, the measurement counts once.
            slope = self._numeric(of)
            away = measured - of(self._x)
            if turn:
                away = (away + np.pi) % (2.0 * np.pi) - np.pi
            innovation = slope @ before @ slope.T + spread
            gain = np.linalg.solve(innovation, slope @ before).T
            self._x = began + gain @ (away + slope @ (self._x - began))
        left = np.eye(5) - gain @ slope
        # Joseph's form stays symmetric and positive.
        self._p = left @ before @ left.T + gain @ spread @ gain.T


def _hub_spread(needle: SeenNeedle) -> Float:
    return (2.0 * needle.tip_sigma_px**2 + 4.0) * np.eye(2)


def _squared(away: Float, spread: Float) -> float:
    return float(away @ np.linalg.solve(spread, away))
