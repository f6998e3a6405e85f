"""Rows of the scorecard: a virtual operator's lumbar punctures with guidance, those by freehand beside them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fluoroscope.evaluation.operator_hand import Hand, Sight
from fluoroscope.evaluation.operator_patients import operated_patient
from fluoroscope.evaluation.operator_run import Outcome, freehand_puncture, guided_puncture
from fluoroscope.guidance.planning import Trajectory, plan
from fluoroscope.patient.opened import Patient

__all__ = ["Puncture", "operator_rows", "puncture", "summary"]

FIRST_SEED = 500
"""Patients to report on; those below 100 were used to build and tune."""
LEVELS = ("L3-L4", "L4-L5", "L2-L3")
"""Tried in this order: where the first lets no needle through, the next."""


@dataclass(frozen=True, slots=True)
class Puncture:
    """One patient: guided and by freehand; None for both where there was no plan at any level."""

    seed: int
    level: str
    guided: Outcome | None
    freehand: Outcome | None


def puncture(seed: int, hand: Hand | None = None, sight: Sight | None = None) -> Puncture:
    """Plan and do a lumbar puncture on the patient of a seed, with guidance and without."""
    operated = operated_patient(seed)
    level, plans = _planned(operated.patient)
    if not plans:
        return Puncture(seed, "", None, None)
    guided = guided_puncture(operated.probe, plans, np.random.default_rng([seed, 7]), hand=hand, sight=sight)
    freehand = freehand_puncture(operated.probe, plans, np.random.default_rng([seed, 8]), hand=hand)
    return Puncture(seed, level, guided, freehand)


def _planned(patient: Patient) -> tuple[str, tuple[Trajectory, ...]]:
    for level in LEVELS:
        try:
            return level, plan(patient, "lumbar-puncture", level, limit=3)
        except ValueError:
            continue
    return "", ()


def operator_rows(
    score: Callable[..., dict[str, Any]], *, patients: int = 200, progress: Callable[[float], None] | None = None
) -> list[dict[str, Any]]:
    """Return the rows, in two processes.

    Parameters
    ----------
    score
        Makes a row of identity, what, reference, tolerance, value and unit.
    patients
        How many.
    progress
        Told the fraction done.
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    context = multiprocessing.get_context("spawn")
    done = []
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        for one in pool.map(puncture, range(FIRST_SEED, FIRST_SEED + patients), chunksize=2):
            done.append(one)
            if progress is not None:
                progress(len(done) / patients)
    return rows_of(done, score)


def rows_of(done: Iterable[Puncture], score: Callable[..., dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of punctures."""
    told = summary(done)
    guided, free = told["guided"], told["freehand"]
    scope = f"{told['patients']} patients, errors of hand and sight as told in operator_hand"
    beside = "by freehand"
    return [
        score("operator.canal", f"guided lumbar punctures without CSF, {scope};"
              f" {beside} {free['failed_percent']:.1f} %", "truth of the tissue", 2.0, guided["failed_percent"], "%"),
        score("operator.target", f"mean distance of the tip from the planned target (95 % within"
              f" {guided['target_p95_mm']:.1f} mm); {beside} {free['target_mean_mm']:.1f} mm", "truth of the needle",
              3.0, guided["target_mean_mm"], "mm"),
        score("operator.angle", f"mean angle to the planned way (95 % within {guided['angle_p95_deg']:.1f}°);"
              f" {beside} {free['angle_mean_deg']:.1f}°", "truth of the needle", 3.0, guided["angle_mean_deg"], "deg"),
        score("operator.bone", f"bone contacts a puncture, {guided['passes']:.2f} passes and"
              f" {guided['redirections']:.2f} redirections; {beside} {free['bone_contacts']:.2f} contacts,"
              f" {free['passes']:.2f} passes", "at most as many as by freehand", free["bone_contacts"],
              guided["bone_contacts"], "1"),
    ]  # fmt: skip


def summary(done: Iterable[Puncture]) -> dict[str, Any]:
    """Return counts, means and 95th percentiles of both ways, JSON-ready; errors are of those that reached CSF."""
    punctures = list(done)
    told: dict[str, Any] = {
        "patients": len(punctures),
        "without_plan": sum(one.guided is None for one in punctures),
    }
    for way in ("guided", "freehand"):
        outcomes = [found for one in punctures if (found := getattr(one, way)) is not None]
        reached = [one for one in outcomes if one.reached]
        target, angle = (np.array([getattr(one, key) for one in reached] or [np.nan])
                         for key in ("target_error_mm", "angle_error_deg"))  # fmt: skip
        told[way] = {
            "failed_percent": 100.0 * (1.0 - len(reached) / max(len(punctures), 1)),
            "target_mean_mm": float(target.mean()), "target_p95_mm": float(np.percentile(target, 95.0)),
            "angle_mean_deg": float(angle.mean()), "angle_p95_deg": float(np.percentile(angle, 95.0)),
            "target_within_3_percent": 100.0 * float((target <= 3.0).mean()),
            "angle_within_3_percent": 100.0 * float((angle <= 3.0).mean()),
            **{key: float(np.mean([getattr(one, key) for one in outcomes] or [np.nan]))
               for key in ("passes", "redirections", "bone_contacts", "pictures")},
        }  # fmt: skip
    return told
