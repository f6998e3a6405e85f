"""Whether the bones beside the target fit too: in another patient's pictures one may fit, its neighbours do not."""

from collections.abc import Sequence

import numpy as np

from fluoroscope.geometry.rigid import Matrix, apply
from fluoroscope.guidance.registration.comparison import Comparison
from fluoroscope.guidance.registration.picture import Picture
from fluoroscope.guidance.registration.refine import image_axes, refine, step_between
from fluoroscope.guidance.registration.spine import Spine

__all__ = ["neighbours_misfit"]

_PIXEL_MM = 1.6
_LEAST_SEEN = 0.6


def neighbours_misfit(spine: Spine, pictures: Sequence[Picture], pose: Matrix) -> tuple[float, int]:
    """Return how badly the target's neighbours fit where the target's pose puts them, and how many DRRs it took.

    Each bone of the target and its two neighbours is moved alone to where it fits best. What it gains in likeness
    times how far it goes in the first image (mm) is its misfit; the worst counts. A spine bent since the CT gains
    little or goes little: its discs keep their heights; another patient's vertebrae have other sizes and distances.
    """
    worst, count = 0.0, 0
    for level in spine.around(1):
        body = spine.alone(level)
        comparisons = [Comparison(picture.layer(_PIXEL_MM), body, pose, reach_mm=6.0) for picture in pictures]
        if min(one.seen for one in comparisons) < _LEAST_SEEN:
            continue
        before = float(np.mean([one.value(pose) for one in comparisons]))
        axes = image_axes(pictures[0].view.geometry, apply(pose, body.center_mm))
        found = refine(comparisons, pose, body.center_mm, axes, iterations=8)
        step = step_between(pose, found.pose, body.center_mm, axes)
        worst = max(worst, (found.value - before) * float(np.hypot(step[3], step[4])))
        count += found.evaluations + len(comparisons)
    return worst, count
