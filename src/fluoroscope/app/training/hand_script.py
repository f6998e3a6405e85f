"""A list of hand commands for an attempt without a screen: a YAML file, or what an earlier attempt recorded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from fluoroscope.app.scenario import ScenarioError, Strict, read_yaml
from fluoroscope.app.terminal import Progress
from fluoroscope.app.training.headless import COMMANDS, HeadlessRoom
from fluoroscope.app.training.reading import read_recorded
from fluoroscope.monitor.control import RefusedError
from fluoroscope.monitor.wire import Command, WireError, checked_args

__all__ = ["HandStep", "play_hand", "read_hand"]

_OF_THE_SCREEN = (
    "set_chain", "store_image", "show_stored", "replay_run", "to_reference", "acknowledge", "five_minute_reset",
    "draw_cards", "dose_alerts_seen", "guidance", "plan_make", "plan_choose", "plan_clear", "stop",
)  # fmt: skip
"""Recorded commands that do nothing to patient, needle or beam."""


@dataclass(frozen=True, slots=True)
class HandStep:
    """One command of the page, at a time from the beginning of the attempt, s."""

    at_s: float
    command: str
    args: dict[str, Any]


class _Step(Strict):
    at_s: float = Field(ge=0.0, le=36000.0)
    command: str
    args: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _of_the_protocol(self) -> "_Step":
        try:
            checked_args(Command(type="command", id=0, name=self.command, args=self.args))
        except WireError as fault:
            raise ValueError(str(fault)) from fault
        if self.command not in COMMANDS:
            raise ValueError(f"{self.command} is not possible without a screen; there are {', '.join(COMMANDS)}")
        return self


class _Script(Strict):
    commands: tuple[_Step, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _in_order(self) -> "_Script":
        times = [step.at_s for step in self.commands]
        if times != sorted(times):
            raise ValueError("commands must be in order of at_s")
        return self


def read_hand(hand: Path) -> tuple[HandStep, ...]:
    """Return the commands of a YAML file, or of the exam of a folder.

    Raises
    ------
    ScenarioError, AttemptError
        When they cannot be read.
    """
    if hand.is_dir():
        recorded = read_recorded(hand)
        return tuple(
            HandStep(at_s - recorded.began_s, name, args)
            for at_s, name, args in recorded.commands
            if name not in _OF_THE_SCREEN
        )
    return tuple(HandStep(one.at_s, one.command, one.args) for one in read_yaml(hand, _Script).commands)


def play_hand(room: HeadlessRoom, steps: Sequence[HandStep], progress: Progress = lambda *_: None) -> None:
    """Carry out commands at their times.

    Raises
    ------
    ScenarioError
        A command cannot be carried out; says which and when.
    """
    end_s = steps[-1].at_s if steps else 0.0
    for step in steps:
        room.wait(max(0.0, step.at_s - room.now_s))
        try:
            room.command(step.command, step.args)
        except RefusedError as fault:
            raise ScenarioError(f"hand, at {step.at_s:g} s: {step.command}: {fault}") from fault
        progress(min(1.0, step.at_s / end_s) if end_s else 1.0, step.command)
