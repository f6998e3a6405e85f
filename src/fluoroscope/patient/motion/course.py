"""Values that go from one target to the next: smooth steps that may overlap, and straight ramps."""

from bisect import bisect_right
from dataclasses import dataclass

__all__ = ["Ramp", "Step", "ramps", "smooth_step", "stepped"]


def smooth_step(at: float) -> float:
    """Return the minimum-jerk way from 0 to 1 while ``at`` goes from 0 to 1 (Flash and Hogan 1985).

    Velocity and acceleration are zero at both ends (doi:10.1523/JNEUROSCI.05-07-01688.1985).
    """
    t = min(max(at, 0.0), 1.0)
    return t * t * t * (10.0 + t * (6.0 * t - 15.0))


@dataclass(frozen=True, slots=True)
class Step:
    """A target to be reached: from ``at_s`` on, within ``over_s``."""

    at_s: float
    target: float
    over_s: float


def stepped(
    steps: list[Step], time_s: float, delay: float = 0.0, share: float = 1.0, falling_delay: float | None = None
) -> float:
    """Return the value at a time of a course that begins at 0, steps in order of their times.

    Every step adds its own smooth difference, so that a new target during a movement gives no jump in value, speed or
    acceleration.

    Parameters
    ----------
    steps
        In order of time.
    time_s
        When.
    delay, share
        Part of each step's duration waited, and used for going: 0.2 and 0.8 start late and end with the others.
    falling_delay
        Part waited by steps to a lower value; as ``delay`` when absent.
    """
    value, reached = 0.0, 0.0
    for step in steps:
        if step.at_s >= time_s:
            break
        duration_s = max(step.over_s * share, 1e-9)
        wait = delay if falling_delay is None or step.target >= reached else falling_delay
        at = (time_s - step.at_s - step.over_s * wait) / duration_s
        value += (step.target - reached) * smooth_step(at)
        reached = step.target
    return value


@dataclass(frozen=True, slots=True)
class Ramp:
    """A straight piece: from ``at_s`` on, ``start`` and growing by ``rate`` per second."""

    at_s: float
    start: float
    rate: float


def ramps(steps: list[Step]) -> list[Ramp]:
    """Return the straight pieces through these targets, from 0 at no time; a new target cuts the ramp before it."""
    pieces = [Ramp(float("-inf"), 0.0, 0.0)]
    for step in steps:
        while pieces[-1].at_s > step.at_s:
            pieces.pop()
        here = value_of(pieces[-1], step.at_s)
        if step.over_s > 0.0:
            pieces.append(Ramp(step.at_s, here, (step.target - here) / step.over_s))
        pieces.append(Ramp(step.at_s + step.over_s, step.target, 0.0))
    return pieces


def value_of(piece: Ramp, time_s: float) -> float:
    """Return the value of a piece at a time."""
    return piece.start if piece.rate == 0.0 else piece.start + piece.rate * (time_s - piece.at_s)


def piece_at(pieces: list[Ramp], time_s: float) -> int:
    """Return the number of the piece that holds at a time."""
    return bisect_right([piece.at_s for piece in pieces], time_s) - 1
