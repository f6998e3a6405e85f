"""Where the pulses of one press were given: a short list of places, however long the press."""

import math
from dataclasses import dataclass

from fluoroscope.acquisition.event import BeamPlace
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.table import TablePose

__all__ = ["MOST_PLACES", "BeamPath"]

MOST_PLACES = 128
"""Of one press: neighbours are put together before there are more."""
_TURN_DEG, _SHIFT_MM = 1.0, 5.0
"""A pulse further than this from where the last place began opens another; on the skin both are about as far."""


@dataclass(slots=True)
class _Place:
    begun: tuple[CArmPose, TablePose | None]
    longest: tuple[CArmPose, TablePose | None]
    longest_pulses: int = 0
    pulses: int = 0
    kerma_mgy: float = 0.0


class BeamPath:
    """Collects the places of a press pulse by pulse, in bounded memory.

    A place stands for all its pulses with the pose most of them in a row had, so that where the C-arm stopped is
    exact. A press with more than `MOST_PLACES` doubles the distance that makes a place.
    """

    def __init__(self) -> None:
        self._places: list[_Place] = []
        self._row: tuple[CArmPose, TablePose | None] | None = None
        self._in_row = 0
        self._wider = 1.0
        self._known = True

    def add(self, pose: CArmPose | None, table: TablePose | None, kerma_mgy: float) -> None:
        """Add one pulse; one without a pose makes the path unknown."""
        if pose is None or not self._known:
            self._known, self._places = False, []
            return
        stood = (pose, table)
        self._in_row = self._in_row + 1 if stood == self._row else 1
        self._row = stood
        if not self._places or self._apart(self._places[-1].begun, stood) > self._wider:
            self._places.append(_Place(stood, stood))
            self._in_row = 1
        place = self._places[-1]
        place.pulses += 1
        place.kerma_mgy += kerma_mgy
        if self._in_row > place.longest_pulses:
            place.longest, place.longest_pulses = stood, self._in_row
        if len(self._places) > MOST_PLACES:
            self._thin()

    def places(self) -> tuple[BeamPlace, ...]:
        """Return the places in order; empty for a press that stood in one or of which a pose is missing."""
        if len(self._places) < 2:
            return ()
        kerma, pulses = sum(p.kerma_mgy for p in self._places), sum(p.pulses for p in self._places)
        return tuple(
            BeamPlace(place.kerma_mgy / kerma if kerma > 0.0 else place.pulses / pulses, *place.longest)
            for place in self._places
        )

    def _thin(self) -> None:
        """Put neighbours together that are within twice the distance."""
        self._wider *= 2.0
        kept = self._places[:1]
        for place in self._places[1:]:
            last = kept[-1]
            if self._apart(last.begun, place.begun) > self._wider:
                kept.append(place)
                continue
            last.pulses += place.pulses
            last.kerma_mgy += place.kerma_mgy
            if place.longest_pulses > last.longest_pulses:
                last.longest, last.longest_pulses = place.longest, place.longest_pulses
        self._places = kept

    @staticmethod
    def _apart(one: tuple[CArmPose, TablePose | None], other: tuple[CArmPose, TablePose | None]) -> float:
        """Return how far two are apart; above 1 they are different places."""
        (pose, table), (now, top) = one, other
        turns = [now.primary_deg - pose.primary_deg, now.secondary_deg - pose.secondary_deg]
        shifts = [b - a for a, b in zip(pose.isocenter_mm, now.isocenter_mm, strict=True)]
        if table is not None and top is not None:
            turns += [top.tilt_deg - table.tilt_deg, top.cradle_deg - table.cradle_deg, top.yaw_deg - table.yaw_deg]
            shifts += [
                top.lateral_mm - table.lateral_mm,
                top.longitudinal_mm - table.longitudinal_mm,
                top.height_mm - table.height_mm,
            ]
        turned = max(abs(math.remainder(turn, 360.0)) for turn in turns)
        return max(turned / _TURN_DEG, math.hypot(*shifts) / _SHIFT_MM)
