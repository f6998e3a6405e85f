"""A scenario file: C-arm, table, technique, patient, needle and contrast medium over time, for headless runs."""

import math
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from fluoroscope.beam.technique import PULSE_RATES_HZ
from fluoroscope.patient.instruments.catalogue import CATALOGUE, instrument

__all__ = [
    "CatheterStep",
    "Injection",
    "MarkerStep",
    "Needle",
    "NeedleStep",
    "PatientShift",
    "RulerStep",
    "Scenario",
    "ScenarioError",
    "Standing",
    "Step",
    "Strict",
    "read_scenario",
    "read_yaml",
]

Read = TypeVar("Read", bound=BaseModel)


class ScenarioError(ValueError):
    """A scenario file that cannot be used; the message says where and what to do."""


class Strict(BaseModel):
    """A part of a scenario file: what it does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Point = tuple[float, float, float]


class Needle(Strict):
    """A straight steel needle, LPS mm from the patient's point at the isocentre of a table at zero."""

    tip_mm: Point
    entry_mm: Point
    diameter_mm: float = Field(default=0.72, gt=0.0, le=10.0)


class NeedleStep(Strict):
    """What a step says of the needle.

    Without ``type`` in any step: a straight steel rod from ``entry_mm`` to ``tip_mm``. With it: an instrument of the
    catalogue is set on the skin at ``entry_mm``, aimed at ``tip_mm``, and from then on pushed, turned and emptied of
    its stylet; what it meets bends and stops it.
    """

    type: str | None = None
    entry_mm: Point | None = None
    tip_mm: Point | None = None
    diameter_mm: float = Field(default=0.72, gt=0.0, le=10.0)
    advance_mm: float | None = Field(default=None, ge=-300.0, le=300.0)
    rotate_deg: float | None = Field(default=None, ge=-360.0, le=360.0)
    stylet: Literal["in", "out"] | None = None
    remove: bool = False

    @field_validator("type")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        if name is not None:
            instrument(name)
        return name

    @model_validator(mode="after")
    def _complete(self) -> "NeedleStep":
        if (self.entry_mm is None) != (self.tip_mm is None):
            raise ValueError("entry_mm and tip_mm: give both or neither")
        if self.type is not None and self.entry_mm is None:
            raise ValueError("type: give entry_mm and tip_mm (where it is aimed at) too")
        return self

    @property
    def rod(self) -> Needle | None:
        """The straight rod this step names, if it names one."""
        if self.type is not None or self.entry_mm is None or self.tip_mm is None:
            return None
        return Needle(tip_mm=self.tip_mm, entry_mm=self.entry_mm, diameter_mm=self.diameter_mm)


class CatheterStep(Strict):
    """What a step says of a catheter or lead: ``type`` brings it through the needle; then it is pushed or pulled."""

    type: str | None = None
    advance_mm: float | None = Field(default=None, ge=-300.0, le=300.0)
    remove: bool = False

    @field_validator("type")
    @classmethod
    def _flexible(cls, name: str | None) -> str | None:
        if name is not None and not instrument(name).flexible:
            known = ", ".join(one.name for one in CATALOGUE.values() if one.flexible)
            raise ValueError(f"{name} does not go through a needle: choose one of {known}")
        return name


class MarkerStep(Strict):
    """What a step says of the skin marker: taped where the line from ``at_mm`` into the patient enters, moved, removed.

    Points are LPS mm from the patient's point at the isocentre of a table at zero, as those of a needle.
    """

    at_mm: Point | None = None
    toward_mm: Point = (0.0, 0.0, 0.0)
    left_mm: float = Field(default=0.0, ge=-300.0, le=300.0)
    head_mm: float = Field(default=0.0, ge=-300.0, le=300.0)
    remove: bool = False

    @model_validator(mode="after")
    def _way(self) -> "MarkerStep":
        if self.at_mm is not None and self.at_mm == self.toward_mm:
            raise ValueError("at_mm and toward_mm: two points that differ give the line")
        return self


class RulerStep(Strict):
    """What a step says of the radiopaque ruler: laid from one point to another, or taken away."""

    start_mm: Point | None = None
    end_mm: Point | None = None
    remove: bool = False

    @model_validator(mode="after")
    def _ends(self) -> "RulerStep":
        if (self.start_mm is None) != (self.end_mm is None):
            raise ValueError("start_mm and end_mm: give both or neither")
        if self.start_mm is None and not self.remove:
            raise ValueError("give start_mm and end_mm, or remove: true")
        if self.start_mm is not None and self.end_mm is not None:
            length_mm = math.dist(self.start_mm, self.end_mm)
            if not 10.0 <= length_mm <= 1000.0:
                raise ValueError(f"a ruler of {length_mm:g} mm: choose 10 to 1000")
        return self


class Injection(Strict):
    """Contrast medium let out of the needle, or of the catheter when one is in, from the step's time on."""

    volume_ml: float = Field(gt=0.0, le=50.0)
    concentration_mgi_ml: float = Field(default=300.0, gt=0.0, le=400.0)
    rate_ml_s: float = Field(default=0.2, gt=0.0, le=10.0)


class PatientShift(Strict):
    """Where the patient moves himself to on the table: LPS mm, and degrees about his long axis."""

    x_mm: float = Field(default=0.0, ge=-300.0, le=300.0)
    y_mm: float = Field(default=0.0, ge=-300.0, le=300.0)
    z_mm: float = Field(default=0.0, ge=-300.0, le=300.0)
    turn_deg: float = Field(default=0.0, ge=-45.0, le=45.0)


class Standing(Strict):
    """Where C-arm and table stand; what is not named stays as it is."""

    primary_deg: float | None = Field(default=None, ge=-360.0, le=360.0)
    secondary_deg: float | None = Field(default=None, ge=-90.0, le=90.0)
    lateral_mm: float | None = None
    longitudinal_mm: float | None = None
    height_mm: float | None = None
    tilt_deg: float | None = None
    cradle_deg: float | None = None


class Step(Standing):
    """What holds at ``at_s``; angles, table, bending, traction and rod move steadily to the next step naming them."""

    at_s: float = Field(ge=0.0)
    breathing: Literal["breathe", "hold", "hold_expiration", "cough"] | None = None
    flexion_deg: float | None = None
    side_bend_deg: float | None = None
    traction_n: float | None = Field(default=None, ge=0.0, le=900.0)
    shift: PatientShift | None = None
    needle: NeedleStep | None = None
    catheter: CatheterStep | None = None
    inject: Injection | None = None
    marker: MarkerStep | None = None
    ruler: RulerStep | None = None
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


class Scenario(Strict):
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
        self._in_place()
        return self

    def _in_place(self) -> None:
        """Refuse steps that move what no step before put in."""
        needle, catheter, marker = False, False, False
        for step in self.steps:
            told, wire = step.needle, step.catheter
            moved = told is not None and (told.advance_mm or told.rotate_deg or told.stylet or told.remove)
            needle = needle or (told is not None and told.type is not None)
            threaded = wire is not None and wire.type is not None
            if not needle and (moved or step.inject is not None or threaded):
                raise ValueError(
                    f"the step at {step.at_s} s needs an instrument: an earlier step must give needle.type"
                )
            catheter = catheter or threaded
            if wire is not None and not catheter:
                raise ValueError(f"the step at {step.at_s} s needs a catheter: an earlier step must give catheter.type")
            marker = marker or (step.marker is not None and step.marker.at_mm is not None)
            if step.marker is not None and not marker:
                raise ValueError(f"the step at {step.at_s} s needs a marker: an earlier step must give marker.at_mm")

    def number_at(self, name: str, time_s: float, default: float) -> float:
        """Return a number of `Step`, linear between the steps that name it."""
        known = self.named(name)
        if not known:
            return default
        times, values = zip(*known, strict=True)
        return float(np.interp(time_s, times, values))

    def named(self, name: str) -> list[tuple[float, float]]:
        """Return (at_s, value) of every step that names a number."""
        return [(step.at_s, float(getattr(step, name))) for step in self.steps if getattr(step, name) is not None]

    def setting_at(self, name: str, time_s: float) -> object | None:
        """Return a setting of `Step` that holds since the last step naming it; None before the first."""
        held = [getattr(step, name) for step in self.steps if step.at_s <= time_s and getattr(step, name) is not None]
        return held[-1] if held else None

    def needle_at(self, time_s: float) -> Needle | None:
        """Return the steel rod, moved linearly between the steps that name it; None before the first."""
        known = [(step.at_s, step.needle.rod) for step in self.steps if step.needle and step.needle.rod]
        if not known or time_s < known[0][0]:
            return None
        times = [at_s for at_s, _ in known]

        def between(points: list[Point]) -> Point:
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
    return read_yaml(path, Scenario)


def read_yaml(path: Path, kind: type[Read]) -> Read:
    """Read a YAML file as ``kind``; raises `ScenarioError` as `read_scenario`."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as fault:
        raise ScenarioError(f"scenario {path}: no such file; name a YAML file") from fault
    except OSError as fault:
        raise ScenarioError(f"scenario {path} cannot be read ({fault.strerror or fault}); check the file") from fault
    except UnicodeDecodeError as fault:
        raise ScenarioError(f"scenario {path} cannot be read: {fault}") from fault
    except (yaml.YAMLError, RecursionError) as fault:
        raise ScenarioError(f"scenario {path} is not YAML: {fault}") from fault
    try:
        return kind.model_validate(content)
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ScenarioError(f"scenario {path}, at {where}: {first['msg']}") from fault
