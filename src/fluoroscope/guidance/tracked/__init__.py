"""Tracked tools: where an electromagnetic or optical tracker says the needle is, and whether the X-ray agrees.

`poses` aligns clocks and interpolates, `latency` finds how much later a tool is told than it is seen, `pivot` where the
tip lies in the tool, `paired_points` where the tracker stands in the equipment frame, `fusion` makes one tip of both
with the error it has, `tool` is what one tool's stream says now: tracked, stale, lost, out of volume, in disagreement
with the X-ray. Places are mm, times monotonic ns.
"""

from fluoroscope.guidance.tracked.fusion import FusedTip, FusionSettings, TipFusion
from fluoroscope.guidance.tracked.latency import Latency, estimate_latency
from fluoroscope.guidance.tracked.paired_points import PairedRegistration, register_points
from fluoroscope.guidance.tracked.pivot import PivotCalibration, calibrate_pivot
from fluoroscope.guidance.tracked.poses import ClockAlignment, PoseTrack, interpolated
from fluoroscope.guidance.tracked.tool import ToolReading, ToolState, TrackedTool, TrackerSetup

__all__ = [
    "ClockAlignment",
    "FusedTip",
    "FusionSettings",
    "Latency",
    "PairedRegistration",
    "PivotCalibration",
    "PoseTrack",
    "TipFusion",
    "ToolReading",
    "ToolState",
    "TrackedTool",
    "TrackerSetup",
    "calibrate_pivot",
    "estimate_latency",
    "interpolated",
    "register_points",
]
