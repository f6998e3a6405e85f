"""Exercises carried out: in the room with its page, or without a screen."""

from collections.abc import Iterator
from pathlib import Path

from fluoroscope.app.room import FluoroscopyRoom
from fluoroscope.app.scenario import Standing
from fluoroscope.app.serving import Doors, open_room, serve
from fluoroscope.app.terminal import Progress
from fluoroscope.app.training.exercise import exercise_of, scenario_setup
from fluoroscope.app.training.hand import holds_attempt
from fluoroscope.app.training.hand_script import play_hand, read_hand
from fluoroscope.app.training.headless import HeadlessRoom
from fluoroscope.app.training.scenario import Listed
from fluoroscope.geometry.carm import C_ARMS
from fluoroscope.geometry.pose import CArmPose

__all__ = ["headless_attempt", "run_exercise", "start_commands"]


def run_exercise(listed: Listed, trainee: str, matrix: int, registry: str | None, doors: Doors) -> Iterator[Path]:
    """Serve the room of an exercise until Ctrl-C; yield the folders of its attempts, those with a needle."""
    if trainee:
        from fluoroscope.registry import check_where

        # A place where no score can be kept is said before anybody trains.
        check_where(registry)
    exercise, _ = exercise_of(listed, trainee)
    setup = scenario_setup(listed, matrix)

    def opened() -> FluoroscopyRoom:
        room = open_room(setup, exercise=exercise)
        for name, args in start_commands(listed.scenario.start, listed.scenario.carm):
            room.command(name, args)
        return room

    serve(opened, doors)
    yield from (folder for folder in exercise.attempts if holds_attempt(folder))


def headless_attempt(
    listed: Listed,
    hand: Path,
    trainee: str = "",
    *,
    matrix: int = 1024,
    exams: Path | None = None,
    seed: int = 0,
    breathing: bool = True,
    progress: Progress = lambda *_: None,
) -> Path:
    """Carry out hand commands in the room of a scenario; return the folder of the exam.

    Raises
    ------
    ValueError
        A command cannot be carried out, or no needle and no X-ray came of them; nothing is left behind then.
    """
    steps = read_hand(hand)
    exercise, patient = exercise_of(listed, trainee, progress)
    room = HeadlessRoom(scenario_setup(listed, matrix), patient, exercise, exams=exams, seed=seed, breathing=breathing)
    try:
        for name, args in start_commands(listed.scenario.start, listed.scenario.carm):
            room.command(name, args)
        play_hand(room, steps, progress)
    except BaseException:
        room.discard()
        raise
    folder = room.close()
    if folder is None:
        raise ValueError(f"hand {hand}: neither needle nor X-ray came of it; there is nothing to score")
    return folder


def start_commands(start: Standing, carm: str) -> list[tuple[str, dict[str, float]]]:
    """Return the page's commands that bring C-arm and table where a scenario begins.

    Raises
    ------
    ValueError
        When the C-arm does not reach it.
    """
    told = start.model_dump(exclude_none=True)
    angles = {name: told.pop(name) for name in ("primary_deg", "secondary_deg") if name in told}
    commands: list[tuple[str, dict[str, float]]] = []
    if told:
        commands.append(("move_table", told))
    if angles:
        model = C_ARMS[carm]
        now = model.pose(model.rest)
        pose = CArmPose(
            angles.get("primary_deg", 0.0), angles.get("secondary_deg", 0.0), now.source_to_isocenter_mm,
            now.source_to_detector_mm,
        )  # fmt: skip
        commands.append(("move_joints", dict(model.joints_for(pose, near=dict(model.rest)))))
    return commands
