"""Exams scored, and their scores kept: what ``fluoroscope training score`` and ``results`` say."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fluoroscope import NOT_A_MEDICAL_DEVICE, __version__
from fluoroscope.app.setup import RoomSetup, load_patient
from fluoroscope.app.training.exercise import scenario_target
from fluoroscope.app.training.reading import Recorded, attempt_of, read_recorded
from fluoroscope.app.training.scenario import Listed, TrainingScenario, find_scenario
from fluoroscope.evaluation.training_attempt import Attempt
from fluoroscope.evaluation.training_score import Score, score_attempt
from fluoroscope.live.journal import read_journal

__all__ = ["ScoredExam", "keep_score", "score_exam", "score_facts"]


class ScoredExam:
    """An exam with the attempt in it, the scenario it is scored by, and the score."""

    def __init__(self, recorded: Recorded, listed: Listed, attempt: Attempt) -> None:
        self.recorded, self.listed, self.attempt = recorded, listed, attempt
        self.score: Score = score_attempt(attempt, listed.scenario.marking())

    @property
    def trainee(self) -> str:
        """Code that the record says, "" for none."""
        return str(self.recorded.about.get("trainee") or "")


def score_exam(folder: Path, scenario: str = "") -> ScoredExam:
    """Score the exam of a folder by the scenario it was recorded with, or by another.

    Raises
    ------
    ValueError
        There is no attempt, no scenario, or the patient is not the scenario's.
    """
    recorded = read_recorded(folder)
    told = recorded.about.get("scenario")
    if not scenario or (told and told.get("name") == scenario):
        attempt = attempt_of(recorded)
        values = {name: value for name, value in dict(told or {}).items() if name != "name"}
        # As it was then: a file changed since does not change what was asked.
        return ScoredExam(recorded, Listed(str((told or {})["name"]), TrainingScenario(**values), own=False), attempt)
    listed = find_scenario(scenario)
    about = recorded.about
    setup = RoomSetup(about["opened"], None if about.get("labels") is None else Path(about["labels"]))
    asked = listed.scenario.patient_name()
    if asked not in (about["patient"], about["opened"]):
        raise ValueError(f"exam {recorded.exam}: its patient is {about['patient']}, that of the scenario is {asked}; "
                         "choose a scenario of the same patient")  # fmt: skip
    return ScoredExam(recorded, listed, attempt_of(recorded, scenario_target(listed, load_patient(setup))))


def score_facts(scored: ScoredExam) -> dict[str, Any]:
    """Return a score, JSON-ready."""
    target, scenario = scored.attempt.target, scored.listed.scenario
    return {
        "statement": f"Scored against the truth of a simulation. {NOT_A_MEDICAL_DEVICE}",
        "exam": scored.recorded.exam,
        "scenario": scored.listed.name,
        "title": scenario.title,
        "trainee": scored.trainee,
        "patient": scored.recorded.about["patient"],
        "procedure": target.procedure,
        "level": target.level,
        "side": target.side,
        "guidance_allowed": scenario.guidance,
        "expert": target.source,
        "pass_mark": scenario.pass_mark,
        **scored.score.to_json(),
    }


def keep_score(scored: ScoredExam, trainee: str, registry: str | None, who: str = "") -> str:
    """Keep a score under a trainee's code; return "new", "known" or "scored again"."""
    from fluoroscope.registry import Registry
    from fluoroscope.registry.training import ScoredAttempt, keep_attempt

    facts = score_facts(scored)
    score = {name: facts[name] for name in ("reasons", "criteria", "facts", "expert", "pass_mark")}
    target = scored.attempt.target
    kept = ScoredAttempt(
        facts["exam"], facts["scenario"], target.procedure, target.level, target.side, facts["patient"],
        facts["guidance_allowed"], _attempted(scored.recorded), scored.attempt.complete, scored.score.total,
        scored.score.success, scored.score.passed, score, __version__,
    )  # fmt: skip
    with Registry(registry) as opened:
        return keep_attempt(opened, trainee, kept, who=who)


def _attempted(recorded: Recorded) -> datetime:
    """Return when the exam began, UTC without a zone, as the registry keeps it."""
    started = datetime.fromisoformat(read_journal(recorded.folder / "journal.jsonl").entries[0]["started"])
    return started.astimezone(UTC).replace(tzinfo=None)
