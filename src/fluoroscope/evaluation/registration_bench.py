"""How long registration, level labelling and tracking take on pictures of 1024² and 512²; the bones are cut before."""

import numpy as np

from fluoroscope.evaluation.projector_bench import Row, row
from fluoroscope.evaluation.registration_cases import quick_subject
from fluoroscope.evaluation.registration_runs import labelled, registered, tracked
from fluoroscope.guidance.levels import skeleton_of
from fluoroscope.guidance.registration import Start, vertebra_models

__all__ = ["registration_speed_rows"]

_STAGES = "picture prepared, search, refinement, judging; models of the bones made before"


def registration_speed_rows(*, count: int = 6) -> list[Row]:
    """Return wall times on one patient of 2 mm voxels: two views near and far, one view, level names, tracking."""
    subject = quick_subject(500)
    models = vertebra_models(subject.ct, subject.labels)
    skeleton = skeleton_of(subject.ct, subject.labels)
    rng = np.random.default_rng(11)
    # The first call compiles.
    list(registered(subject, models, rng, count=1))
    rows = []
    for name, views, start in (("near", 2, Start.NEAR), ("far", 2, Start.FAR), ("single", 1, Start.NEAR)):
        times = [one.time_s for one in registered(subject, models, rng, count=count, views=views, start=start)]
        size = f"{views} of 1024², start {start.value}, {len(times)} registrations"
        rows.append(row(f"registration.{name}", "registration of a vertebra", size, _STAGES, times, "s"))
    times = [one.time_s for one in labelled(subject, models, skeleton, rng, count=count)]
    rows.append(
        row("levels.nothing", "names of all vertebrae from nothing", f"1 of 1024², {count}", _STAGES, times, "s")
    )
    times = [1e3 * one.time_s for one in tracked(subject, models, "L3", rng, frames=20)]
    rows.append(row("tracking.frame", "a vertebra followed", "1 of 512², 19 pictures", _STAGES, times, "ms"))
    return rows
