"""The debrief of an attempt: what was done, beside an expert run, as data for a page and as one picture."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope import NOT_A_MEDICAL_DEVICE
from fluoroscope.app.setup import RoomSetup, load_patient
from fluoroscope.app.terminal import Progress
from fluoroscope.app.training.expert import EXPERT_TEXT, expert_attempt
from fluoroscope.app.training.reading import Recorded, target_to_json
from fluoroscope.app.training.scoring import ScoredExam, score_exam, score_facts
from fluoroscope.app.training.views import ShownView, shown_views
from fluoroscope.evaluation.training_attempt import Attempt
from fluoroscope.evaluation.training_score import score_attempt
from fluoroscope.patient.library import Patient

__all__ = ["debrief_exam", "debrief_facts", "replay_steps"]


def debrief_exam(folder: Path, path: Path, scenario: str = "", progress: Progress = lambda *_: None) -> dict[str, Any]:
    """Write the picture of a debrief and its data (``.json`` beside it); return the data.

    Raises
    ------
    ValueError
        The exam cannot be scored.
    OSError
        The files cannot be written.
    """
    import json

    from fluoroscope.app.training.debrief_picture import draw_debrief
    from fluoroscope.records.whole_file import whole_file

    progress(0.05, "scoring")
    scored = score_exam(folder, scenario)
    patient = _patient_of(scored.recorded, progress)
    progress(0.6, "the expert's run")
    expert = expert_attempt(patient, scored.attempt.target)
    views = shown_views(scored.recorded, patient)
    facts = debrief_facts(scored, expert, views)
    progress(0.8, "drawing")
    draw_debrief(scored, expert, views, patient, path)
    with whole_file(path.with_suffix(".json")) as file:
        file.write((json.dumps(facts, indent=1, allow_nan=False) + "\n").encode())
    return facts


def debrief_facts(scored: ScoredExam, expert: Attempt, views: Sequence[ShownView]) -> dict[str, Any]:
    """Return all a page needs to replay an attempt, JSON-ready; points LPS mm of the patient at rest."""
    attempt, began_s = scored.attempt, scored.recorded.began_s
    return {
        "statement": f"Debrief of a simulated attempt. {NOT_A_MEDICAL_DEVICE}",
        "score": score_facts(scored),
        "target": target_to_json(attempt.target),
        "steps": replay_steps(scored),
        "touches": [{**asdict(one), "at_s": one.at_s - began_s} for one in attempt.touches],
        "shots": [{**asdict(one), "at_s": one.at_s - began_s} for one in attempt.shots],
        "flows": [asdict(one) for one in attempt.flows],
        "expert": {
            "label": EXPERT_TEXT,
            "line": attempt.target.source,
            "score": score_attempt(expert, scored.listed.scenario.marking()).to_json(),
            "steps": [asdict(one) for one in expert.moments],
            "touches": [asdict(one) for one in expert.touches],
        },
        "views": [one.facts() for one in views],
    }


def replay_steps(scored: ScoredExam) -> list[dict[str, Any]]:
    """Return the needle over time with its error, and what had been exposed by then."""
    attempt, began_s = scored.attempt, scored.recorded.began_s
    steps = []
    for one in attempt.moments:
        before = [shot for shot in attempt.shots if shot.at_s <= one.at_s]
        steps.append(
            {
                **asdict(one),
                "at_s": round(one.at_s - began_s, 3),
                "error_mm": target_error_mm(attempt, one.tip_mm),
                "angle_deg": angle_deg(attempt, one.direction),
                "air_kerma_mgy": sum(shot.air_kerma_mgy for shot in before),
                "kap_gy_cm2": sum(shot.kap_gy_cm2 for shot in before),
                "fluoroscopy_time_s": sum(shot.seconds for shot in before),
            }
        )
    return steps


def target_error_mm(attempt: Attempt, tip_mm: Sequence[float]) -> float:
    """Return how far a tip is from the target zone."""
    zone = attempt.target.zone
    return max(0.0, zone.distance_mm(tip_mm) - zone.tolerance_mm)


def angle_deg(attempt: Attempt, direction: Sequence[float]) -> float:
    """Return the angle of a direction to the expert's line."""
    way: NDArray[np.float64] = np.asarray(direction, dtype=np.float64)
    across = np.linalg.norm(np.cross(way, attempt.target.direction))
    return float(np.degrees(np.arctan2(across, way @ attempt.target.direction)))


def _patient_of(recorded: Recorded, progress: Progress) -> Patient:
    about = recorded.about
    labels = about.get("labels")
    setup = RoomSetup(about["opened"], None if labels is None else Path(labels))
    return load_patient(setup, lambda share, text: progress(0.1 + 0.5 * share, text))
