"""A vertebra followed from picture to picture."""

import time
from collections.abc import Mapping, Sequence

import numpy as np

from fluoroscope.geometry.rigid import apply
from fluoroscope.guidance.registration.judging import Evidence, judge
from fluoroscope.guidance.registration.model import VertebraModel
from fluoroscope.guidance.registration.picture import Picture
from fluoroscope.guidance.registration.refine import image_axes, refine
from fluoroscope.guidance.registration.registering import MIDDLE_MM, POSTURE, Final, compared
from fluoroscope.guidance.registration.result import Registration
from fluoroscope.guidance.registration.spine import Spine
from fluoroscope.guidance.view import XRayView

__all__ = ["VertebraTracker"]


class VertebraTracker:
    """Follows one vertebra through a run, from a registration on.

    Parameters
    ----------
    models, level
        As `register` takes them.
    registration
        Where the vertebra is in the first pictures.
    """

    def __init__(self, models: Mapping[str, VertebraModel], level: str, registration: Registration) -> None:
        self._spine = Spine(models, level)
        self._pose = registration.equipment_from_ct

    def update(self, views: Sequence[XRayView]) -> Registration:
        """Return where the vertebra is in the next pictures; it may have moved by about 1° and 1 mm.

        A registration that fails leaves the place it was last seen at, from which the next picture is tried.
        """
        began = time.perf_counter()
        pictures = [Picture(view) for view in views]
        body = self._spine.body((self._spine.level,), 0)
        others = tuple(level for level in self._spine.around(1) if level != self._spine.level)
        context = ((self._spine.body(others, 1), self._pose),) if others else ()
        comparisons = compared(body, pictures, self._pose, MIDDLE_MM, reach_mm=4.0, context=context)
        axes = image_axes(pictures[0].view.geometry, apply(self._pose, body.center_mm))
        refined = refine(comparisons, self._pose, body.center_mm, axes, iterations=6, tolerance_mm=0.02)
        final = Final(refined, comparisons, np.diag(1.0 / POSTURE**2))
        evidence = Evidence(self._spine, pictures, final, [refined])
        registration = judge(evidence, refined.evaluations, began)
        if registration.success:
            self._pose = registration.equipment_from_ct
        return registration
