"""Needles, wires and catheters in X-ray pictures: found, tips to a fraction of a pixel, followed over a run."""

from fluoroscope.guidance.needle.detection import DetectedNeedle, detect_needles
from fluoroscope.guidance.needle.field import open_field
from fluoroscope.guidance.needle.tracker import NeedleTracker

__all__ = ["DetectedNeedle", "NeedleTracker", "detect_needles", "open_field"]
