"""Names of vertebrae on X-ray pictures: found from nothing, counted from both ends, checked against a mark."""

from fluoroscope.guidance.levels.counting import anatomy_warnings
from fluoroscope.guidance.levels.labelling import LevelLabels, LevelOnView, label_levels, level_at, wrong_level
from fluoroscope.guidance.levels.skeleton import Skeleton, skeleton_of

__all__ = [
    "LevelLabels",
    "LevelOnView",
    "Skeleton",
    "anatomy_warnings",
    "label_levels",
    "level_at",
    "skeleton_of",
    "wrong_level",
]
