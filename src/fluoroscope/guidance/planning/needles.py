"""Which needle of the catalogue a plan takes: the kinds a procedure is done with, the shortest that reaches."""

from collections.abc import Sequence
from dataclasses import dataclass

from fluoroscope.patient.instruments.catalogue import CATALOGUE, GAUGES, Instrument

__all__ = ["RESERVE_MM", "PlannedNeedle", "choose_needle", "longest_reach_mm"]

RESERVE_MM = 10.0
"""What of a needle stays outside: a path longer than the needle less this is refused."""


@dataclass(frozen=True, slots=True)
class PlannedNeedle:
    """A needle of the catalogue.

    Attributes
    ----------
    name, title
        Of the catalogue, and in words.
    gauge
        By its outer diameter; 0 where it has none.
    length_mm, outer_mm
        From hub to tip, and diameter.
    preferred
        Whether it is of the kind first asked for.
    """

    name: str
    title: str
    gauge: int
    length_mm: float
    outer_mm: float
    preferred: bool = True


def choose_needle(names: Sequence[str], depth_mm: float) -> PlannedNeedle | None:
    """Return the first of the needles named that is long enough; None when none is.

    Parameters
    ----------
    names
        Names of the catalogue in order of preference; ``"spinal-22G"`` stands for all its lengths, shortest first.
    depth_mm
        Path from skin to target.
    """
    for place, name in enumerate(names):
        for kind in _lengths(name):
            if depth_mm <= kind.length_mm - RESERVE_MM:
                return PlannedNeedle(
                    kind.name, kind.title, _gauge(kind), kind.length_mm, kind.outer_mm, preferred=place == 0
                )
    return None


def longest_reach_mm(names: Sequence[str]) -> float:
    """Return the longest path that any of the needles named can go."""
    return max(kind.length_mm for name in names for kind in _lengths(name)) - RESERVE_MM


def widest_mm(names: Sequence[str]) -> float:
    """Return the diameter of the first kind named: what a path is made wide enough for."""
    return _lengths(names[0])[0].outer_mm


def _lengths(name: str) -> list[Instrument]:
    if name in CATALOGUE:
        return [CATALOGUE[name]]
    stem = f"{name}-"
    found = [kind for known, kind in CATALOGUE.items() if known.startswith(stem) and known[len(stem) :].isdigit()]
    if not found:
        raise KeyError(name)
    return sorted(found, key=lambda kind: kind.length_mm)


def _gauge(kind: Instrument) -> int:
    return next((gauge for gauge, (outer, _) in GAUGES.items() if abs(outer - kind.outer_mm) < 1e-9), 0)
