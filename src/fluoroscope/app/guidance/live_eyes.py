"""What looks at the live pictures: the needle's tracker and the vertebra's, as the watch uses them."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fluoroscope.app.guidance.live_endon import find_end_on
from fluoroscope.app.guidance.live_path import LivePath
from fluoroscope.app.guidance.live_watch import BoneEye, EndOn, NeedleEye
from fluoroscope.geometry.rigid import Matrix, apply
from fluoroscope.guidance.needle import DetectedNeedle, NeedleTracker
from fluoroscope.guidance.registration import (
    Registration,
    Start,
    VertebraModel,
    VertebraTracker,
    register,
)
from fluoroscope.guidance.registration.refine import image_axes, moved, step_between
from fluoroscope.guidance.two_views import SeenNeedle
from fluoroscope.guidance.view import XRayView

__all__ = ["bone_eye", "needle_eye"]

Float = NDArray[np.float64]

_LEAST_SIGMA_PX, _LINE_SIGMA_PX, _END_ON_SIGMA_PX = 0.7, 0.5, 2.0
_MODEL_NAMES = {"S1": "sacrum"}
_TRIES = 3
"""Failures in a row after which the bone is looked for anew."""
_BEFORE = np.array([1.0, 1.0, 3.0, 6.0, 6.0, 2.0])
"""How far a bone may be from where it was known before a view, 1 σ: turns (deg) and shifts (mm) along columns, rows
and ray. Wide where a picture shows it, narrow where it hardly does: an assumption for a patient who lies quietly."""
_SHARED_ERROR = 2.0
"""The pictures of a view share most of their error: each is taken for so much worse than it says."""


def needle_eye() -> NeedleEye:
    """Return what finds needles."""
    return _Needles()


def bone_eye(models: Mapping[str, VertebraModel], path: LivePath) -> BoneEye | None:
    """Return what finds the bone at a path's level; None where there is no model of it."""
    level = next((_MODEL_NAMES.get(one, one) for one in path.levels if _MODEL_NAMES.get(one, one) in models), None)
    return None if level is None else _Vertebra(models, level)


class _Needles:
    """Follows every needle; a picture from elsewhere begins anew."""

    def __init__(self) -> None:
        self._tracker: NeedleTracker | None = None
        self._beam: Float | None = None

    def look(self, view: XRayView, time_s: float, near: EndOn | None) -> list[tuple[SeenNeedle, float]]:
        beam = view.geometry.pixel_from_world
        if self._tracker is None or self._beam is None or not np.allclose(beam, self._beam):
            self._tracker, self._beam = NeedleTracker(pitch_mm=view.geometry.grid.pitch_mm), beam
        found = self._tracker.update(view.attenuation, view.valid, time_s)
        told = [(way, one.confidence) for one in found if one.seen for way in _both_ways(one)]
        if near is not None:
            told += find_end_on(view, near.at_px, near.radius_px, near.px_per_mm)
        return told


def _both_ways(found: DetectedNeedle) -> list[SeenNeedle]:
    """Return a detection as seen, and turned round where the picture cannot tell tip from hub: the plan can."""
    path = found.centreline_px
    if len(path) < 2 or not np.linalg.norm(path[-1] - path[0]) > 1.0:
        # End on: a spot, with no way of its own.
        tip = np.asarray(found.tip_px)
        return [SeenNeedle(found.tip_px, np.stack([tip - (0.5, 0.0), tip]), _END_ON_SIGMA_PX, _END_ON_SIGMA_PX)]
    sigma = max(found.tip_sigma_px, _LEAST_SIGMA_PX)
    ways = [SeenNeedle(found.tip_px, path, sigma, _LINE_SIGMA_PX, found.hub_px)]
    if found.hub_px is not None:
        ways.append(SeenNeedle(found.hub_px, path[::-1].copy(), sigma, _LINE_SIGMA_PX, found.tip_px))
    return ways


class _Vertebra:
    """Registers the upper vertebra of the path in the first picture of a view, then follows it.

    One view hardly tells how far off a bone is and how it is turned out of the picture: picture after picture it would
    drift there. So each picture corrects what was known before this view, as far as it tells it (a Kalman update);
    the next view, from elsewhere, begins with that.
    """

    def __init__(self, models: Mapping[str, VertebraModel], level: str) -> None:
        self._models, self._level = models, level
        self._tracker: VertebraTracker | None = None
        self._beam: Float | None = None
        self._before: Matrix = np.eye(4)
        self._failed = 0

    def look(self, view: XRayView, start: Matrix) -> tuple[Matrix, bool, str, float, float]:
        beam = view.geometry.pixel_from_world
        same = self._beam is not None and np.allclose(beam, self._beam)
        if not same:
            self._beam, self._before = beam, start
        if self._tracker is None or not same or self._failed >= _TRIES:
            found = register(self._models, [view], self._before, level=self._level, start=Start.NEAR)
            self._failed = 0
        else:
            found = self._tracker.update([view])
        if not found.success:
            self._failed += 1
            return _told(found)
        self._failed = 0
        held = replace(found, equipment_from_ct=self._held(found, view))
        self._tracker = VertebraTracker(self._models, self._level, held)
        return _told(held)

    def _held(self, found: Registration, view: XRayView) -> Matrix:
        """Return what was known before this view, corrected by a picture as far as that tells it."""
        center = self._models[self._level].center_mm
        axes = image_axes(view.geometry, apply(self._before, center))
        units = np.array([np.pi / 180.0] * 3 + [1.0] * 3)
        spread = _SHARED_ERROR**2 * found.covariance * np.outer(units, units)
        known = np.diag(np.square(_BEFORE * units))
        step = step_between(self._before, found.equipment_from_ct, center, axes)
        return moved(self._before, center, axes, known @ np.linalg.solve(known + spread, step))


def _told(found: Registration) -> tuple[Matrix, bool, str, float, float]:
    return found.equipment_from_ct, found.success, found.reason, found.sigma_in_plane_mm, found.sigma_depth_mm
