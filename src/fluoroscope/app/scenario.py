"""A scenario file: C-arm, table, technique and needle moved over time, for headless runs."""

from pathlib import Path
from typing import Literal

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from fluoroscope.beam.technique import PULSE_RATES_HZ

__all__ = ["Needle", "Scenario", "ScenarioError", "Step", "read_scenario"]


class ScenarioError(ValueError):
    """A scenario file that cannot be used; the message says where and what to do."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Needle(_Strict):
    """A straight steel needle, LPS mm from the patient's point at the isocentre of a table at zero."""

    tip_mm: tuple[float, float, float]
    entry_mm: tuple[float, float, float]
    diameter_mm: float = Field(default=0.72, gt=0.0, le=10.0)


class Step(_Strict):
    """What holds at ``at_s``; angles, shifts and needle move linearly to the next step that names them."""

    at_s: float = Field(ge=0.0)
    primary_deg: float | None = Field(default=None, ge=-360.0, le=360.0)
    secondary_deg: float | None = Field(default=None, ge=-90.0, le=90.0)
    lateral_mm: float | None = None
    longitudinal_mm: float | None = None
    height_mm: float | None = None
    needle: Needle | None = None
    pedal: bool | None = None
    pulse_rate_hz: float | None = None
    dose_level: Literal["low", "normal", "high"] | None = None

    @field_validator("pulse_rate_hz")
    @classmethod
    def _offered(cls, rate_hz: float | None) -> float | None:
        if rate_hz is not None and rate_hz not in PULSE_RATES_HZ:
            raise ValueError(
                f"{rate_hz:g} pulses a second: choose one of {', '.join(f'{r:g}' for r in PULSE_RATES_HZ)}"
            )
        return rate_hz


class Scenario(_Strict):
    """Steps in order of time; the pedal is down from the start unless a step says otherwise."""

    seconds: float = Field(gt=0.0, le=3600.0)
    steps: tuple[Step, ...] = ()

    @model_validator(mode="after")
    def _in_order(self) -> "Scenario":
        times = [step.at_s for step in self.steps]
        if times != sorted(times):
            raise ValueError("steps must be in order of at_s")
        if times and times[-1] > self.seconds:
            raise ValueError(f"the last step is at {times[-1]} s, after the end at {self.seconds} s")
        return self

    def number_at(self, name: str, time_s: float, default: float) -> float:
        """Return a number of `Step`, linear between the steps that name it."""
        known = [(step.at_s, float(getattr(step, name))) for step in self.steps if getattr(step, name) is not None]
        if not known:
            return default
        times, values = zip(*known, strict=True)
        return float(np.interp(time_s, times, values))

    def setting_at(self, name: str, time_s: float) -> object | None:
        """Return a setting of `Step` that holds since the last step naming it; None before the first."""
        held = [getattr(step, name) for step in self.steps if step.at_s <= time_s and getattr(step, name) is not None]
        return held[-1] if held else None

    def needle_at(self, time_s: float) -> Needle | None:
        """Return the needle, moved linearly between the steps that name it; None before the first."""
        known = [(step.at_s, step.needle) for step in self.steps if step.needle is not None]
        if not known or time_s < known[0][0]:
            return None
        times = [at_s for at_s, _ in known]

        def between(points: list[tuple[float, float, float]]) -> tuple[float, float, float]:
            x, y, z = (float(np.interp(time_s, times, [point[axis] for point in points])) for axis in range(3))
            return (x, y, z)

        return Needle(
            tip_mm=between([needle.tip_mm for _, needle in known]),
            entry_mm=between([needle.entry_mm for _, needle in known]),
            diameter_mm=known[0][1].diameter_mm,
        )


def read_scenario(path: Path) -> Scenario:
    """Read a YAML scenario.

    Raises
    ------
    ScenarioError
        When the file is missing, is not YAML, or says something that cannot be done.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as fault:
        raise ScenarioError(f"scenario {path} cannot be read: {fault}") from fault
    except yaml.YAMLError as fault:
        raise ScenarioError(f"scenario {path} is not YAML: {fault}") from fault
    try:
        return Scenario.model_validate(content)
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ScenarioError(f"scenario {path}, at {where}: {first['msg']}") from fault
