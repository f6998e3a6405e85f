"""Content of a structured report as our own items, and the report that holds them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CodedConcept", "Measurement", "SRDocument", "SRItem"]


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
        The value of a text, date, time, name or UID; the meaning of a code; "".
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
        """Yield the direct children whose concept has one of these code values."""
        for child in self.children:
            if child.concept is not None and child.concept.value in codes:
                yield child


@dataclass(frozen=True, slots=True)
class SRDocument:
    """A structured report: elements of its header by keyword ("" when absent), and its content."""

    path: Path
    header: dict[str, str]
    root: SRItem
