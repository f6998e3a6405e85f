"""From pictures to places: points, needles and their errors out of two or more views, and out of one with a plan."""

from fluoroscope.guidance.two_views.needles import SeenNeedle, TriangulatedNeedle, triangulate_needle
from fluoroscope.guidance.two_views.pair import FusedNeedle, SeenView, fuse_views
from fluoroscope.guidance.two_views.points import TriangulatedPoint, triangulate
from fluoroscope.guidance.two_views.shift import PatientShift, landmark_shift, pose_shift
from fluoroscope.guidance.two_views.single import PlannedTip, down_the_needle, single_view_tip

__all__ = [
    "FusedNeedle",
    "PatientShift",
    "PlannedTip",
    "SeenNeedle",
    "SeenView",
    "TriangulatedNeedle",
    "TriangulatedPoint",
    "down_the_needle",
    "fuse_views",
    "landmark_shift",
    "pose_shift",
    "single_view_tip",
    "triangulate",
    "triangulate_needle",
]
