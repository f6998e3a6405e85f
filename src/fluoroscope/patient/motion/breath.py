"""Breathing as a function of time: breaths that differ a little, joined without a jump, that can be held."""

import math
from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

__all__ = ["BreathClock", "Cycles", "Hold"]

_RAMP_S = 0.4
"""Within this a breath hold comes to rest or breathing starts again."""


class Cycles:
    """Endless cycles of slightly different length and height; the same for the same seed, whatever is asked first.

    A cycle of length T and height A goes A·sin²ⁿ(πt/T): at rest with no speed at both ends, longest near rest (Lujan et
    al. 1999, doi:10.1118/1.598577, with n = 3 for breathing). So the wrap is smooth.

    Parameters
    ----------
    period_s, variation
        Mean length; half-width of the relative spread of length and height.
    power
        n, at least 1.
    seed, stream
        Of the spread.
    """

    def __init__(self, period_s: float, variation: float, power: int, seed: int, stream: int) -> None:
        self._period_s, self._variation, self._power = period_s, variation, power
        self._draw = np.random.Generator(np.random.PCG64([seed, stream]))
        self._starts = [0.0]
        self._heights: list[float] = []

    def _reach(self, time_s: float) -> int:
        while self._starts[-1] <= time_s:
            length, height = 1.0 + self._variation * self._draw.uniform(-1.0, 1.0, 2)
            self._starts.append(self._starts[-1] + self._period_s * float(length))
            self._heights.append(float(height))
        return bisect_right(self._starts, time_s) - 1

    def phase(self, time_s: float) -> float:
        """Return how far the present cycle is, 0 to 1."""
        cycle = self._reach(max(time_s, 0.0))
        return (max(time_s, 0.0) - self._starts[cycle]) / (self._starts[cycle + 1] - self._starts[cycle])

    def value(self, time_s: float) -> float:
        """Return the height at a time (0 at rest, about 1 at the top); times before 0 are at rest."""
        cycle = self._reach(max(time_s, 0.0))
        sine = math.sin(math.pi * self.phase(time_s))
        return self._heights[cycle] * float(sine ** (2 * self._power))

    def end_of(self, time_s: float) -> float:
        """Return when the cycle of a time ends: the next moment of rest."""
        return self._starts[self._reach(max(time_s, 0.0)) + 1]


@dataclass(frozen=True, slots=True)
class Hold:
    """A command to the breath.

    Attributes
    ----------
    at_s
        When.
    hold
        Hold it, or breathe.
    at_expiration
        Breathe out first: rest at the end of the breath.
    """

    at_s: float
    hold: bool
    at_expiration: bool = False


class BreathClock:
    """The breath's own time: it stands while the breath is held, and starts and stops smoothly.

    Parameters
    ----------
    cycles
        The breaths, in the breath's own time.
    commands
        In order of time.
    """

    def __init__(self, cycles: Cycles, commands: list[Hold]) -> None:
        # Pieces (from, own time, rate, change of rate) in order.
        self._pieces: list[tuple[float, float, float, float]] = [(float("-inf"), 0.0, 1.0, 0.0)]
        for command in commands:
            self._add(cycles, command)

    def _state(self, time_s: float) -> tuple[float, float]:
        at = bisect_right([piece[0] for piece in self._pieces], time_s) - 1
        start_s, own_s, rate, change = self._pieces[at]
        if math.isinf(start_s):
            return time_s, 1.0
        passed = time_s - start_s
        return own_s + rate * passed + 0.5 * change * passed * passed, rate + change * passed

    def _add(self, cycles: Cycles, command: Hold) -> None:
        own_s, rate = self._state(command.at_s)
        self._pieces = [piece for piece in self._pieces if piece[0] < command.at_s]
        if command.hold and command.at_expiration and rate > 0.0:
            # At the end of a breath nothing moves, so the clock may stop there at once.
            self._ramp(command.at_s, own_s, rate, 1.0)
            start_s, there_s, _, _ = self._pieces[-1]
            rest_s = cycles.end_of(there_s)
            self._pieces.append((start_s + rest_s - there_s, rest_s, 0.0, 0.0))
        else:
            self._ramp(command.at_s, own_s, rate, 0.0 if command.hold else 1.0)

    def _ramp(self, at_s: float, own_s: float, rate: float, wanted: float) -> None:
        change = (wanted - rate) / _RAMP_S
        self._pieces.append((at_s, own_s, rate, change))
        self._pieces.append((at_s + _RAMP_S, own_s + 0.5 * (rate + wanted) * _RAMP_S, wanted, 0.0))

    def own_s(self, time_s: float) -> float:
        """Return the breath's own time."""
        return self._state(time_s)[0]

    def held(self, time_s: float) -> bool:
        """Whether the breath stands."""
        return self._state(time_s)[1] == 0.0
