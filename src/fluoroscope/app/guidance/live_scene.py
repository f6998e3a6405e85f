"""What guidance knows now: where the bone lies, the needle beside its plan, and what of both is drawn."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.acquisition.frame import Frame
from fluoroscope.app.guidance.live_hint import LIGHTS
from fluoroscope.app.guidance.live_nearby import Nearby
from fluoroscope.app.guidance.live_outline import Silhouettes
from fluoroscope.app.guidance.live_overlay import Laid, needle_status, overlay_status
from fluoroscope.app.guidance.live_path import LivePath, between_deg, view_kind
from fluoroscope.app.guidance.live_tip import HandMoved, TipEstimate
from fluoroscope.app.guidance.live_watch import BoneSeen, EndOn, NeedleFound, frame_geometry
from fluoroscope.geometry.projection import ProjectionGeometry, project_points
from fluoroscope.geometry.rigid import Matrix
from fluoroscope.guidance.live_error import NeedleError, needle_error
from fluoroscope.guidance.two_views import SeenNeedle
from fluoroscope.guidance.two_views.pair import geometry_in
from fluoroscope.patient.instruments.catalogue import CATALOGUE

__all__ = ["LiveScene"]

Vector = NDArray[np.float64]

STALE_S = 3.0
_NEARLY_END_ON_DEG, _LOOK_MM = 20.0, 15.0
_FRESH_S = 1.0
_LOST_AFTER = 5
"""Pictures in a row without the needle after which it is lost."""
_GOOD = 0.6
"""Confidence from which a needle found is good."""
UNLOCKED_SIGMA_MM = 2.0
"""How far quiet breathing and lying down differently move the bone from where planning has it, 1 σ: an assumption."""
NOT_LOCKED = "overlay from planning geometry, not locked"


class LiveScene:
    """Holds what was seen; fed by the watch's threads and by the hand, read by the status."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.may_outline = False
        """Set once what draws outlines is loaded: that takes seconds, and a status may not."""
        self.forget()

    def forget(self) -> None:
        """Another patient, or none: nothing is known."""
        with self._lock:
            self.shifted: Matrix = np.eye(4)
            self._bone: BoneSeen | None = None
            self._bone_tried: BoneSeen | None = None
            self._path: LivePath | None = None
            self._silhouettes: Silhouettes | None = None
            self._middles: Mapping[str, Sequence[float]] = {}
            self._tip: TipEstimate | None = None
            self._outlined: tuple[Any, list[Vector]] = (None, [])
            self.new_needle()

    def aim(
        self, path: LivePath | None, silhouettes: Silhouettes | None, middles_mm: Mapping[str, Sequence[float]]
    ) -> None:
        """Go on with a path, or without one."""
        with self._lock:
            self._path, self._middles = path, middles_mm
            self._silhouettes = silhouettes
            self._tip = None if path is None else TipEstimate(path)
            self._bone_tried = self._bone = None
            self.shifted = np.eye(4)
            self.new_needle()

    def new_needle(self, read_depth_mm: Callable[[], float] | None = None) -> None:
        """Another needle is in, or none: what was known of it is not so any more; the hand may read its depth."""
        with self._lock:
            self._found: NeedleFound | None = None
            self._last_found: NeedleFound | None = None
            self._seen: tuple[SeenNeedle, float] | None = None
            self._confidence = 0.0
            self._missed = 0
            self._confirmed = False
            self._hand: list[HandMoved] = []
            self._read, self._unread = read_depth_mm, read_depth_mm is not None
            self.error: NeedleError | None = None
            self.miss_px: Vector | None = None
            self.tip_mm: Vector | None = None
            self._depth_from = ""
            if self._tip is not None:
                self._tip.forget()

    def hand_moved(self, by: HandMoved) -> None:
        """Take note that the hand pushed or swung the needle."""
        with self._lock:
            self._hand.append(by)
            if by.pushed_mm > 0.0:
                self._confirmed, self._unread = False, True

    def end_on(self, geometry: ProjectionGeometry, planned: Matrix) -> EndOn | None:
        """Return where a beam would show the needle end on; None for a beam that does not look down the path."""
        with self._lock:
            path, tip = self._path, self._tip
            if path is None or tip is None:
                return None
            seen = geometry_in(geometry, planned @ self.shifted)
            if between_deg(path, seen) > _NEARLY_END_ON_DEG:
                return None
            scale = _px_per_mm(seen, path.target_mm)
            return EndOn(project_points(seen, tip.state.tip_mm), _LOOK_MM * scale, scale)

    def sees_needle(self, shown: Frame | None) -> bool:
        """Whether the needle was found in the last picture from where ``shown`` was taken."""
        with self._lock:
            found, geometry = self._found, None if shown is None else frame_geometry(shown)
            if found is None or geometry is None or self._seen is None:
                return False
            return np.array_equal(found.geometry.pixel_from_world, geometry.pixel_from_world)

    def awaits_bone(self, shown: Frame | None) -> bool:
        """Whether the bone has still to be looked for in pictures as new as ``shown``."""
        with self._lock:
            tried = self._bone_tried
            return shown is not None and (tried is None or shown.acquired_ns - tried.acquired_ns > STALE_S * 1e9)

    def take_bone(self, seen: BoneSeen) -> None:
        """Take in where the bone was found, or that it was not."""
        with self._lock:
            self._bone_tried = seen
            if seen.success and self._path is not None:
                self._bone = seen
                self.shifted = seen.shifted

    def take_needle(self, found: NeedleFound, planned: Matrix, needle_in: bool) -> None:
        """Take in the needle of a picture, or that none was found."""
        with self._lock:
            path, tip = self._path, self._tip
            if path is None or tip is None:
                return
            self._found, self._seen = found, None
            if not needle_in:
                return
            placed = planned @ self.shifted
            geometry = geometry_in(found.geometry, placed)
            for by in self._hand:
                tip.moved(by)
            self._hand.clear()
            if self._unread and self._read is not None:
                tip.read_depth(self._read())
                self._unread = False
            sigma = UNLOCKED_SIGMA_MM if self._bone is None else max(self._bone.sigma_mm, 0.1)
            extra = sigma * _px_per_mm(geometry, path.target_mm)
            length_mm = CATALOGUE[path.needle].length_mm
            fitting = sorted(
                (
                    (tip.mismatch(needle, geometry, length_mm, extra) - 4.0 * sure, needle, sure)
                    for needle, sure in found.candidates
                ),
                key=lambda one: one[0],
            )
            if not fitting or not tip.see(fitting[0][1], geometry, length_mm, extra):
                self._missed += 1
                return
            self._missed, self._seen = 0, fitting[0][1:]
            self._last_found, self._confidence = found, self._seen[1]
            if view_kind(path, found.geometry, placed) == "confirm":
                self._confirmed = True
            self._compare(path, tip, geometry)

    def _compare(self, path: LivePath, tip: TipEstimate, geometry: ProjectionGeometry) -> None:
        state = tip.state
        self.tip_mm = state.tip_mm if state.depth_from else None
        self._depth_from = state.depth_from
        self.error = needle_error(
            state.tip_mm, state.direction, entry_mm=path.entry_mm, target_mm=path.target_mm,
            covariance_mm2=state.covariance_mm2, angle_sigma_deg=state.angle_sigma_deg, dura_mm=path.dura_mm,
            dura_sigma_mm=path.dura_sigma_mm, safe_beyond_mm=path.safe_beyond_mm, confirmed=self._confirmed,
        )  # fmt: skip
        ends = state.tip_mm
        if state.direction is not None:
            ahead = max(self.error.depth_remaining_mm, 0.0)
            ends = state.tip_mm + ahead * state.direction
        pixels = project_points(geometry, np.stack([ends, path.target_mm]))
        self.miss_px = pixels[0] - pixels[1]

    # What the page is told

    def status(
        self, path: LivePath, shown: Frame | None, planned: Matrix | None, now_ns: int, moved_ns: int,
        around: Nearby | None,
    ) -> dict[str, Any]:  # fmt: skip
        """Return overlay, error, light, warnings and how well the needle is tracked."""
        with self._lock:
            overlay = None
            geometry = None if shown is None else frame_geometry(shown)
            if shown is not None and planned is not None and geometry is not None:
                overlay = self._overlay(path, shown, geometry, planned, now_ns, moved_ns)
            tracking = self._tracking()
            error = self.error if tracking in ("good", "fair") else None
            found = self._last_found
            return {
                "overlay": {"live": overlay, "reference": None},
                "tracking": tracking,
                "tracking_text": self._lock_text(),
                "error": None if error is None else self._error_status(error),
                "light": None if error is None else LIGHTS[error.light],
                "warnings": self._warnings(error, path, around),
                "age_ms": None if found is None else max(0, round((now_ns - found.acquired_ns) / 1e6)),
            }

    def _overlay(
        self, path: LivePath, shown: Frame, geometry: ProjectionGeometry, planned: Matrix, now_ns: int, moved_ns: int
    ) -> dict[str, Any] | None:  # fmt: skip
        laid = self._laid(shown, planned, now_ns, moved_ns)
        found, needle = self._found, None
        same = found is not None and np.array_equal(found.geometry.pixel_from_world, geometry.pixel_from_world)
        if same and self._seen is not None:
            needle = needle_status(self._seen[0], geometry, self._seen[1])
        outlines = self._outlines(geometry, laid) if laid.opacity > 0.0 else []
        return overlay_status(path, geometry, laid, self._middles, outlines, needle)

    def _laid(self, shown: Frame, planned: Matrix, now_ns: int, moved_ns: int) -> Laid:
        """Return where the CT lies in the picture shown; what moved since fades it, as does a bone not seen anew."""
        moved_s = (now_ns - moved_ns) / 1e9 if moved_ns > shown.acquired_ns else 0.0
        fade = _fading(moved_s)
        bone = self._bone
        if bone is None:
            return Laid(planned, False, NOT_LOCKED, UNLOCKED_SIGMA_MM, fade)
        behind_s = (shown.acquired_ns - bone.acquired_ns) / 1e9
        return Laid(planned @ self.shifted, True, "locked to the bone", bone.sigma_mm, min(fade, _fading(behind_s)))

    def _outlines(self, geometry: ProjectionGeometry, laid: Laid) -> list[Vector]:
        """Return the outlines of the path's bones, drawn anew where they lie otherwise."""
        key = (geometry.pixel_from_world.tobytes(), laid.equipment_from_ct.tobytes())
        if self._outlined[0] != key and self._silhouettes is not None and self.may_outline:
            self._outlined = (key, self._silhouettes.outlines_px(geometry, laid.equipment_from_ct))
        return self._outlined[1]

    def _tracking(self) -> str | None:
        found = self._found
        if found is None:
            return None
        if self._last_found is None:
            return "searching"
        if self._missed >= _LOST_AFTER:
            return "lost"
        return "good" if self._confidence >= _GOOD and self._missed == 0 else "fair"

    def _lock_text(self) -> str:
        tried = self._bone_tried
        if self._bone is not None and tried is not None and not tried.success:
            return f"bone: {tried.reason}"
        if self._bone is not None:
            return f"bone locked ± {2.0 * self._bone.sigma_mm:.1f} mm"
        return NOT_LOCKED if tried is None else f"not locked: {tried.reason}"

    def _error_status(self, error: NeedleError) -> dict[str, Any]:
        to_dura = error.to_dura_mm is not None and error.to_dura_mm > -1.0
        depth = error.to_dura_mm if to_dura else error.depth_remaining_mm
        known = bool(self._depth_from)
        return {
            "lateral_mm": _estimate(error.lateral_mm, error.lateral_sigma_mm),
            "vertical_mm": _estimate(error.vertical_mm, error.vertical_sigma_mm),
            "depth_mm": _estimate(depth, error.depth_sigma_mm) if known else None,
            "angle_deg": _estimate(error.angle_deg, error.angle_sigma_deg),
            "depth_from": self._depth_from,
            "depth_to": "dura" if to_dura else "target",
        }

    def _warnings(self, error: NeedleError | None, path: LivePath, around: Nearby | None) -> list[dict[str, str]]:
        if error is None or self.tip_mm is None or self._tip is None:
            return []
        near = {} if around is None else around.distances_mm(self.tip_mm)
        told = needle_error(
            self.tip_mm, None, entry_mm=path.entry_mm, target_mm=path.target_mm,
            covariance_mm2=self._tip.state.covariance_mm2, safe_beyond_mm=path.safe_beyond_mm, distances_mm=near,
        )  # fmt: skip
        return [{"kind": one.kind, "text": one.text} for one in told.warnings]


def _estimate(value: float | None, sigma: float | None) -> dict[str, float] | None:
    return None if value is None or sigma is None else {"value": round(value, 2), "sigma": round(sigma, 2)}


def _fading(age_s: float) -> float:
    return float(np.clip((STALE_S - age_s) / (STALE_S - _FRESH_S), 0.0, 1.0))


def _px_per_mm(geometry: ProjectionGeometry, at_mm: Vector) -> float:
    depth = float(geometry.pixel_from_world[2] @ np.append(at_mm, 1.0))
    return geometry.source_to_detector_mm / depth / geometry.grid.pitch_mm
