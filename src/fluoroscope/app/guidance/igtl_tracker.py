"""A tracker's tool in the room: its stream, the same needle in the pictures, and what the operator is told of both."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from fluoroscope.acquisition.clock import Clock
from fluoroscope.app.guidance.live_eyes import needle_eye
from fluoroscope.app.guidance.live_watch import LiveWatch, NeedleFound
from fluoroscope.geometry.rigid import Matrix
from fluoroscope.guidance.tracked import FusionSettings, Latency, ToolReading, ToolState, TrackedTool, TrackerSetup
from fluoroscope.live.loop import LiveLoop
from fluoroscope.sources.openigtlink import POSE_KINDS, Arrived, Limits, LinkAddress, LinkClient, Query, poses_of

__all__ = ["RoomTracker"]

_NEAR_MM = 30.0
"""A needle end further from where the tracker says the tip is, is taken for another thing."""
_LEAST_CONFIDENCE = 0.3
_DISTORTION_MM = 0.7
"""Of a tracker's field over the spine, per axis, beside what the registration leaves."""
_LATENCY_EVERY = 32
"""Pictures with the needle between two looks at the latency."""
_LATENCY_WORTH_S = 0.02
_STATUS_KEYS = ("TransformStatus", "Status", "status")


class RoomTracker:
    """Follows one tool of a tracker and compares it with the needle in the pictures.

    Parameters
    ----------
    address
        Where the tracker's program listens.
    tool
        As it calls the tool.
    setup
        What was found out beforehand.
    registration_mm
        Error of the tracker's place, RMS; None when it was not registered: then nothing is compared or fused.
    clock
        Of the room.
    """

    def __init__(
        self, address: LinkAddress, tool: str, setup: TrackerSetup, registration_mm: float | None, clock: Clock
    ) -> None:
        self._clock, self._tool_name, self._registered = clock, tool, registration_mm is not None
        self._lock = threading.Lock()
        offset_mm = float(np.hypot(_DISTORTION_MM, (registration_mm or 0.0) / np.sqrt(3.0)))
        self._settings = FusionSettings(offset_sigma_mm=offset_mm)
        self._tool = TrackedTool(tool, setup, self._settings)
        self._others: dict[str, None] = {}
        self._sightings = 0
        self._watch: LiveWatch | None = None
        self._tell: Callable[[str, str], None] = lambda level, text: None
        self._last_state: ToolState | None = None
        # Some trackers send only when they are asked to.
        limits = Limits(kinds=POSE_KINDS)
        self._client = LinkClient(address, self._take, greeting=Query("STT_TDATA"), limits=limits)

    def begin(self, loop: LiveLoop, tell: Callable[[str, str], None]) -> None:
        """Compare with the pictures of a loop from now on; ``tell`` takes (level, text) for the operator."""
        self._tell = tell
        if self._registered:
            self._watch = LiveWatch(loop, lambda _: np.eye(4), needle_eye(), None, self._seen, lambda _: None)

    def now(self) -> ToolReading:
        """Return what the tool's stream says now."""
        with self._lock:
            return self._tool.now(self._clock.monotonic_ns())

    def poses(self) -> dict[str, Matrix]:
        """Return what may be sent on: the tip by tracker and X-ray, without a direction of its own."""
        reading = self.now()
        if not self._registered or reading.fused is None:
            return {}
        placed = np.eye(4)
        placed[:3, 3] = reading.fused.place_mm
        return {"FusedTip": placed}

    def status(self) -> dict[str, Any]:
        """Return the tool for the page, JSON-ready; a change of what it is worth is told to the operator."""
        reading = self.now()
        self._tell_change(reading)
        connected = not self._client.reason
        fused = reading.fused
        return {
            "address": str(self._client.address),
            "connected": connected,
            "tool": self._tool_name,
            "registered": self._registered,
            "state": reading.state.value,
            "reason": self._reason(reading),
            "age_ms": None if reading.age_s is None else round(reading.age_s * 1000.0),
            "tip_mm": None if reading.tip_mm is None or not self._registered else _rounded(reading.tip_mm),
            "fused_mm": None if fused is None or not self._registered else _rounded(fused.place_mm),
            "fused_sigma_mm": None if fused is None or not self._registered else round(fused.sigma_mm, 2),
            "difference_mm": None if reading.difference_mm is None else round(reading.difference_mm, 1),
            "alarm": reading.alarm,
        }

    def close(self) -> None:
        """Let tracker and pictures go. May be called twice."""
        if self._watch is not None:
            self._watch.close()
            self._watch.join()
        self._client.close()

    # Inner works

    def _reason(self, reading: ToolReading) -> str:
        if self._client.reason:
            return self._client.reason
        if reading.state is ToolState.NEVER and self._others:
            return f"{self._tool_name} is not among what is sent: {', '.join(self._others)}"
        if reading.state is ToolState.TRACKED and not self._registered:
            return "tracked, but where the tracker stands is not known: fluoroscope igtl register"
        return reading.reason

    def _tell_change(self, reading: ToolReading) -> None:
        """Tell the operator when the tool cannot be believed any more, once for each time."""
        with self._lock:
            before, self._last_state = self._last_state, reading.state
        if before is reading.state:
            return
        if reading.alarm:
            self._tell("stop", reading.reason)
        elif reading.state in (ToolState.LOST, ToolState.OUT_OF_VOLUME) and before is not ToolState.NEVER:
            self._tell("warning", reading.reason)

    def _take(self, arrived: Arrived) -> None:
        said = next((arrived.metadata[key] for key in _STATUS_KEYS if key in arrived.metadata), "")
        for name, pose in poses_of(arrived.device, arrived.content):
            if name == self._tool_name:
                with self._lock:
                    self._tool.take(pose, arrived.sent_ns, arrived.received_ns, said)
            elif len(self._others) < 16:
                self._others[name] = None

    def _seen(self, found: NeedleFound) -> None:
        """Take the end of a found needle that lies nearest to where the tracker says the tip is."""
        with self._lock:
            reading = self._tool.now(self._clock.monotonic_ns())
            if reading.tip_mm is None:
                return
            row, column, depth = found.geometry.pixel_from_world @ np.append(reading.tip_mm, 1.0)
            expected = np.array([row, column]) / depth
            px_per_mm = found.geometry.source_to_detector_mm / (depth * found.geometry.grid.pitch_mm)
            ends = [
                (float(np.linalg.norm(np.asarray(one.tip_px) - expected)), one)
                for one, confidence in found.candidates
                if confidence >= _LEAST_CONFIDENCE
            ]
            if not ends:
                return
            distance, nearest = min(ends, key=lambda end: end[0])
            if distance <= _NEAR_MM * px_per_mm:
                tip = np.asarray(nearest.tip_px, dtype=np.float64)
                self._tool.sight(found.acquired_ns, tip, found.geometry, nearest.tip_sigma_px)
                self._sightings += 1
                if self._sightings % _LATENCY_EVERY == 0:
                    self._take_off(self._tool.latency())

    def _take_off(self, latency: Latency) -> None:
        """Count with the latency that a motion seen by both shows, when it is another than was thought."""
        if not latency.success or abs(latency.seconds) < max(3.0 * latency.sigma_s, _LATENCY_WORTH_S):
            return
        setup = self._tool.setup
        late_s = setup.latency_s + latency.seconds
        setup = replace(setup, latency_s=late_s, latency_sigma_s=max(latency.sigma_s, 0.002))
        self._tool = TrackedTool(self._tool_name, setup, self._settings)
        told = f"{self._tool_name} comes {late_s * 1000.0:.0f} ± {latency.sigma_s * 1000.0:.0f} ms late: taken off now"
        self._tell("info", told)


def _rounded(place: Any) -> list[float]:
    return [round(float(one), 2) for one in place]
