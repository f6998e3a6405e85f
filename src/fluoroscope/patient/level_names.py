"""Which labels are vertebrae: TotalSegmentator's and VerSe's sets by name, and by number when no name is given."""

import re

from fluoroscope.patient.labels import LabelMap, totalsegmentator_names

__all__ = ["LEVELS", "level_of", "sacral_numbers", "vertebra_numbers"]

LEVELS = (*(f"C{n}" for n in range(1, 8)), *(f"T{n}" for n in range(1, 14)), *(f"L{n}" for n in range(1, 7)))
"""From the head down."""

_NAME = re.compile(r"^(?:vertebrae?[_ ]?)?([CTL]\d{1,2})$", re.IGNORECASE)
_VERSE = {n: f"C{n}" for n in range(1, 8)} | {n: f"T{n - 7}" for n in range(8, 20)}
_VERSE |= {n: f"L{n - 19}" for n in range(20, 26)} | {28: "T13"}
"""Sekuboyina et al. 2021, doi:10.1016/j.media.2021.102166: 20 to 25 are L1 to L6, 28 is T13."""
_VERSE_SACRUM = 26


def level_of(name: str) -> str | None:
    """Return "L3" of "vertebrae_L3", "vertebra L3" or "L3"; None for what is no vertebra."""
    found = _NAME.match(name.strip())
    level = found.group(1).upper() if found else None
    return level if level in LEVELS else None


def vertebra_numbers(labels: LabelMap) -> dict[str, int]:
    """Return the label number of every vertebra by level, from the head down.

    Names decide. Where no label has a name of its own, numbers up to 28 with some of 8 to 25 are VerSe's, others
    TotalSegmentator's.
    """
    named = {level: number for number, name in labels.names.items() if (level := level_of(name)) is not None}
    if not named and all(name == f"label_{number}" for number, name in labels.names.items()):
        named = {level: number for number, level in _unnamed(labels).items() if number in labels.names}
    return {level: named[level] for level in LEVELS if level in named}


def _unnamed(labels: LabelMap) -> dict[int, str]:
    if labels.names and max(labels.names) <= max(_VERSE) and any(8 <= number <= 25 for number in labels.names):
        return _VERSE
    return {number: level for number, name in totalsegmentator_names().items() if (level := level_of(name))}


def sacral_numbers(labels: LabelMap) -> list[int]:
    """Return the numbers of sacrum and S1."""
    names = {"sacrum", "vertebrae_s1", "s1"}
    found = [number for number, name in labels.names.items() if name.strip().lower() in names]
    if not found and all(name == f"label_{number}" for number, name in labels.names.items()):
        wanted = [_VERSE_SACRUM] if _unnamed(labels) is _VERSE else [25, 26]
        found = [number for number in wanted if number in labels.names]
    return found
