"""Content of a structured report as our own items, and the report that holds them."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CodedConcept", "Measurement", "SRDocument", "SRItem", "finite_numbers"]


@dataclass(frozen=True, slots=True)
class CodedConcept:
    """A code with its scheme and words; any may be empty in the field."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """A number as written, and the code of its unit ("" when absent)."""

    number: float
    unit: str


def _is_private(scheme: str) -> bool:
    """Whether a scheme is a vendor's own (PS3.16 8): the same code means another thing there. 99SDM was SNOMED."""
    return scheme.startswith("99") and scheme != "99SDM"


@dataclass(frozen=True, slots=True)
class SRItem:
    """A content item.

    Attributes
    ----------
    concept
        What it is about; None where nothing says so.
    kind
        Value type: "NUM", "CODE", "TEXT", "UIDREF", "DATETIME", "CONTAINER" …
    text
        The value of a text, date, time, name or UID; the meaning of a code; of a NUM what is written there and is no
        finite number; "".
    code
        The value of a code.
    measurements
        The finite values of a NUM: none where the item has no value, several where a vendor lists pulses.
    children
        In their order.
    """

    concept: CodedConcept | None
    kind: str
    text: str
    code: CodedConcept | None
    measurements: tuple[Measurement, ...]
    children: "tuple[SRItem, ...]"

    def named(self, *codes: str) -> "Iterator[SRItem]":
        """Yield the direct children whose concept has one of these code values, in no vendor's own scheme."""
        for child in self.children:
            if child.concept is not None and child.concept.value in codes and not _is_private(child.concept.scheme):
                yield child


@dataclass(frozen=True, slots=True)
class SRDocument:
    """A structured report: elements of its header by keyword ("" when absent), and its content."""

    path: Path
    header: dict[str, str]
    root: SRItem


def finite_numbers(words: Iterable[str]) -> tuple[list[float], str]:
    """Return the finite numbers among decimal strings, and what else is written there ("" when nothing is).

    One string that is no number ("0,16", "10.5/ 15") must not cost the rest of the report.
    """
    numbers, odd = [], []
    for word in words:
        if not word.strip(" \0"):
            continue
        try:
            number = float(word) if word.isascii() and "_" not in word else math.nan
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            numbers.append(number)
        else:
            odd.append(word.strip(" \0")[:64])
    return numbers, "; ".join(odd)
