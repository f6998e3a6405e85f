"""The path of a press that moved, as words in its irradiation event: the template has no items for one.

TID 10003C has end angles for rotational acquisitions and nothing else, CID 10008 the table's end position; neither says
where the beam stopped in between, and one press of the pedal is one event. The event's Comment (121106) can say it all.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["PlaceRecord", "path_of_words", "path_words"]

_MOST = 1000
_HEAD = "Path, share of air kerma at primary/secondary deg"
_TABLE = ", table longitudinal/lateral/height mm, tilt/rotation/cradle deg"
_NUMBER = r"(-?\d{1,6}(?:\.\d{1,6})?)"
_ANGLES = rf"{_NUMBER} at {_NUMBER}/{_NUMBER}"
_THREE = rf", {_NUMBER}/{_NUMBER}/{_NUMBER}"
_ENTRY = re.compile(rf"{_ANGLES}(?:{_THREE}{_THREE})?")
_ROUNDING = 1e-3


@dataclass(frozen=True, slots=True)
class PlaceRecord:
    """Where the beam stood for a part of an event, in the terms of the event's own items.

    Attributes
    ----------
    share
        Of the event's air kerma, 0 to 1.
    primary_deg, secondary_deg
        Positioner angles.
    table
        Longitudinal, lateral and height position, mm; head tilt, horizontal rotation and cradle tilt, deg; None where
        the table's position is not known.
    """

    share: float
    primary_deg: float
    secondary_deg: float
    table: tuple[float, float, float, float, float, float] | None = None


def path_words(places: Sequence[PlaceRecord]) -> str:
    """Return a path in words; "" without a place. The table is said when every place has it."""
    if not places:
        return ""
    tables = all(place.table is not None for place in places)
    return f"{_HEAD}{_TABLE if tables else ''}: " + "; ".join(_entry(place, tables) for place in places)


def _entry(place: PlaceRecord, with_table: bool) -> str:
    words = f"{place.share:.6f} at {_tenths(place.primary_deg)}/{_tenths(place.secondary_deg)}"
    if with_table and place.table is not None:
        numbers = [_tenths(value) for value in place.table]
        words += f", {'/'.join(numbers[:3])}, {'/'.join(numbers[3:])}"
    return words


def _tenths(value: float) -> str:
    return f"{round(value, 1) + 0.0:.1f}"


def path_of_words(text: str) -> tuple[PlaceRecord, ...] | None:
    """Return the path that is in a comment: empty when there is none, None when there is one that is not whole.

    Shares must add up to 1, and angles be such that a C-arm could have them.
    """
    at = text.find(_HEAD)
    if at < 0:
        return ()
    _, colon, entries = text[at:].partition(": ")
    parts = entries.rstrip(". ").split("; ") if colon else []
    if not 2 <= len(parts) <= _MOST:
        return None
    places = []
    for part in parts:
        match = _ENTRY.fullmatch(part)
        if match is None:
            return None
        share, primary, secondary, *six = (None if value is None else float(value) for value in match.groups())
        if share is None or primary is None or secondary is None:
            return None
        if share > 1.0 or share < 0.0 or abs(primary) > 180.0 or abs(secondary) > 90.0:
            return None
        table = [value for value in six if value is not None]
        whole = (table[0], table[1], table[2], table[3], table[4], table[5]) if table else None
        places.append(PlaceRecord(share, primary, secondary, whole))
    if abs(math.fsum(place.share for place in places) - 1.0) > _ROUNDING:
        return None
    return tuple(places)
