"""Looks at the live pictures beside the loop: for the needle whenever it has time, for the bone now and then.

Two threads, each with a LATEST subscription: a picture that comes while one is being looked at is skipped, and the
loop never waits. Each result carries the time and the beam of the picture it is of.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fluoroscope.acquisition.frame import Frame, open_pixels
from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.projection import ProjectionGeometry, projection_geometry
from fluoroscope.geometry.rigid import Matrix, inverse
from fluoroscope.guidance.two_views import SeenNeedle
from fluoroscope.guidance.view import XRayView, view_of
from fluoroscope.live.loop import LiveLoop
from fluoroscope.live.subscription import LivePicture, Policy, Subscription

__all__ = ["BoneEye", "BoneSeen", "EndOn", "LiveWatch", "NeedleEye", "NeedleFound", "frame_geometry"]

_log = logging.getLogger(__name__)

_WAIT_S = 0.25
_BONE_EVERY_S = 0.3
"""The bone moves slowly; the pictures have the processor first."""


@dataclass(frozen=True, slots=True)
class NeedleFound:
    """The needles of a picture.

    Attributes
    ----------
    acquired_ns, geometry
        Of the picture; the beam in the equipment frame.
    frame
        The picture itself.
    candidates
        What was found and how sure that is, 0 to 1, the surest first; the plan tells which is its needle.
    """

    acquired_ns: int
    geometry: ProjectionGeometry
    frame: Frame
    candidates: tuple[tuple[SeenNeedle, float], ...]


@dataclass(frozen=True, slots=True)
class BoneSeen:
    """Where the bone of the path's level was found.

    Attributes
    ----------
    acquired_ns
        Of the picture.
    shifted
        (4, 4) from where planning and the table say the CT lies to where it does, both in CT coordinates:
        ``equipment_from_ct = planned @ shifted``.
    success, reason
        Whether it may be used, and why not.
    sigma_mm, depth_sigma_mm
        Errors across and along the beam, 1 σ.
    """

    acquired_ns: int
    shifted: Matrix
    success: bool
    reason: str
    sigma_mm: float
    depth_sigma_mm: float


@dataclass(frozen=True, slots=True)
class EndOn:
    """Where a picture would show the needle end on: (row, column), within how far, and the picture's scale there."""

    at_px: NDArray[np.float64]
    radius_px: float
    px_per_mm: float


class NeedleEye(Protocol):
    """Finds needles in one picture after the other."""

    def look(self, view: XRayView, time_s: float, near: EndOn | None) -> list[tuple[SeenNeedle, float]]:
        """Return what looks like a needle in a picture of this time, and how sure that is, 0 to 1.

        ``near`` is where one is expected end on; None where none would be.
        """
        ...


class BoneEye(Protocol):
    """Finds the bone in one picture after the other."""

    def look(self, view: XRayView, start: Matrix) -> tuple[Matrix, bool, str, float, float]:
        """Return ``equipment_from_ct``, success, reason, and both errors, mm, beginning at ``start``."""
        ...


class LiveWatch:
    """Follows needle and bone in the pictures of a loop until it is closed.

    Parameters
    ----------
    loop
        Whose pictures.
    planned
        Where planning and the table say the CT lies when a frame was made: ``equipment_from_ct`` (4, 4).
    needle_eye, bone_eye
        What looks; None looks not.
    on_needle, on_bone
        Told of each result, in the thread that looked.
    ready
        Waits so many seconds at most until looking may begin, and says whether it may.
    end_on
        Where a beam would show the needle end on.
    """

    def __init__(
        self,
        loop: LiveLoop,
        planned: Callable[[Frame], Matrix],
        needle_eye: NeedleEye | None,
        bone_eye: BoneEye | None,
        on_needle: Callable[[NeedleFound], None],
        on_bone: Callable[[BoneSeen], None],
        ready: Callable[[float], bool] = lambda _: True,
        end_on: Callable[[ProjectionGeometry, Matrix], EndOn | None] = lambda *_: None,
    ) -> None:
        self._loop, self._planned = loop, planned
        self._on_needle, self._on_bone, self._ready = on_needle, on_bone, ready
        self._end_on = end_on
        self._ended = threading.Event()
        self._last_shift: Matrix | None = None
        self._threads: list[threading.Thread] = []
        self._subscriptions: list[Subscription] = []
        if needle_eye is not None:
            self._begin("guidance needle", lambda frame: self._look_for_needle(needle_eye, frame), 0.0)
        if bone_eye is not None:
            self._begin("guidance bone", lambda frame: self._look_for_bone(bone_eye, frame), _BONE_EVERY_S)

    def close(self) -> None:
        """Look no more; what is being looked at is still told. May be called twice."""
        self._ended.set()
        for subscription in self._subscriptions:
            subscription.close()

    def join(self) -> None:
        """Wait for the end, after `close`."""
        for thread in self._threads:
            thread.join()

    def _begin(self, name: str, look: Callable[[Frame], None], every_s: float) -> None:
        subscription = self._loop.subscribe(name, Policy.LATEST)
        thread = threading.Thread(target=self._follow, args=(subscription, look, every_s), name=name, daemon=True)
        self._subscriptions.append(subscription)
        self._threads.append(thread)
        thread.start()

    def _follow(self, subscription: Subscription, look: Callable[[Frame], None], every_s: float) -> None:
        seen = ""
        while not self._ready(_WAIT_S):
            if self._ended.is_set():
                return
        # The picture that is on LIVE already is looked at too.
        waiting = self._last_live()
        while not self._ended.is_set():
            frame = waiting if waiting is not None else _frame_of(subscription.get(_WAIT_S)) or self._held(seen)
            waiting = None
            if frame is None or frame.uid == seen:
                continue
            seen = frame.uid
            if frame.pose is not None and frame.pitch_mm is not None:
                look(frame)
            if every_s and self._ended.wait(every_s):
                return

    def _held(self, seen: str) -> Frame | None:
        """Return the last pulse of a run whose hold has replaced it in the queue; None when it was looked at."""
        frame = self._last_live()
        return None if frame is None or frame.uid == seen else frame

    def _last_live(self) -> Frame | None:
        pictures = self._loop.pictures()
        return next((one.raw for one in reversed(pictures) if one.raw is not None), None)

    def _look_for_needle(self, eye: NeedleEye, frame: Frame) -> None:
        view = _view(frame)
        try:
            found = eye.look(view, frame.acquired_ns / 1e9, self._end_on(view.geometry, self._planned(frame)))
        except Exception:  # noqa: BLE001 - whatever a picture does, the next must be looked at
            # A picture that cannot be looked at is one without a needle: the next may do, and the page says lost.
            _log.exception("the needle could not be looked for in a picture")
            found = []
        self._on_needle(NeedleFound(frame.acquired_ns, view.geometry, frame, tuple(found)))

    def _look_for_bone(self, eye: BoneEye, frame: Frame) -> None:
        view, planned = _view(frame), self._planned(frame)
        start = planned if self._last_shift is None else planned @ self._last_shift
        try:
            found, success, reason, sigma, depth_sigma = eye.look(view, start)
        except Exception:  # noqa: BLE001 - whatever a picture does, the next must be looked at
            _log.exception("the bone could not be looked for in a picture")
            found, success, reason, sigma, depth_sigma = start, False, "the bone could not be looked for", 0.0, 0.0
        shifted = inverse(planned) @ found
        if success:
            self._last_shift = shifted
        self._on_bone(BoneSeen(frame.acquired_ns, shifted, success, reason, sigma, depth_sigma))


def frame_geometry(frame: Frame) -> ProjectionGeometry | None:
    """Return the beam of a frame in the equipment frame; None where it does not say."""
    if frame.pose is None or frame.pitch_mm is None:
        return None
    return projection_geometry(frame.pose, DetectorGrid(frame.pixels.shape[0], frame.pixels.shape[1], frame.pitch_mm))


def _frame_of(item: object) -> Frame | None:
    return item.raw if isinstance(item, LivePicture) else None


def _view(frame: Frame) -> XRayView:
    geometry = frame_geometry(frame)
    if geometry is None:
        raise ValueError("a frame without pose and pitch is no view")
    rows, columns = frame.pixels.shape
    top, bottom, left, right = open_pixels(frame.collimation, rows, columns, frame.pitch_mm)
    valid = np.zeros((rows, columns), dtype=np.bool_)
    valid[top:bottom, left:right] = True
    return view_of(frame.pixels, frame.intensity, geometry, valid=valid)
