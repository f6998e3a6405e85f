"""Content items of structured reports, with numbers of a fixed count of decimals."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.valuerep import DSfloat

from fluoroscope.records.writing import code_item

__all__ = [
    "UNITS",
    "code",
    "coded",
    "composite",
    "container",
    "exact",
    "item",
    "known",
    "measured",
    "moment",
    "number",
    "text",
    "uid_reference",
]

UNITS = {
    "none": Code("1", "UCUM", "no units"),
    "{pulse}/s": Code("{pulse}/s", "UCUM", "pulse/s"),
    "{ratio}": Code("{ratio}", "UCUM", "ratio"),
    "%": Code("%", "UCUM", "Percent"),
} | {
    unit: Code(unit, "UCUM", unit)
    for unit in ("Gy.m2", "Gy", "mGy", "mSv", "s", "ms", "kV", "mA", "uA.s", "mm", "cm", "kg", "m2", "deg")
}
"""Units by their UCUM code, those without one by "none"."""
# Decimals that keep a single weak pulse (1 nGy, 0.1 nGy·m²) and still fit 16 characters.
_DECIMALS = {"Gy.m2": 12, "Gy": 10, "s": 6, "ms": 4, "m2": 8, "uA.s": 2}


def exact(value: float, unit: str) -> Decimal:
    """Return ``value`` rounded to the decimals a report keeps of ``unit``."""
    return Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-_DECIMALS.get(unit, 4)))


def known(concept: Code, value: float | None, unit: str) -> list[Dataset]:
    """Return the number as the only item of a list, or none when it is not known."""
    return [] if value is None else [number(concept, value, unit)]


def number(concept: Code, value: float, unit: str, relationship: str = "CONTAINS") -> Dataset:
    """Return NUM, rounded as by `exact`."""
    return measured(concept, exact(value, unit), unit, relationship)


def measured(concept: Code, value: Decimal, unit: str, relationship: str = "CONTAINS") -> Dataset:
    """Return NUM with every digit of ``value``."""
    made = item(relationship, "NUM", concept)
    digits = format(value, "f")
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    value_item = Dataset()
    value_item.NumericValue = DSfloat("0" if digits in ("", "-0") else digits)
    value_item.MeasurementUnitsCodeSequence = [coded(UNITS[unit])]
    made.MeasuredValueSequence = [value_item]
    return made


def item(relationship: str | None, value_type: str, concept: Code | None) -> Dataset:
    """Return a content item without its value."""
    made = Dataset()
    if relationship is not None:
        made.RelationshipType = relationship
    made.ValueType = value_type
    if concept is not None:
        made.ConceptNameCodeSequence = [coded(concept)]
    return made


def coded(concept: Code) -> Dataset:
    """Return one item of a code sequence."""
    return code_item(concept.value, concept.scheme_designator, concept.meaning)


def code(relationship: str, concept: Code, value: Code) -> Dataset:
    """Return CODE."""
    made = item(relationship, "CODE", concept)
    made.ConceptCodeSequence = [coded(value)]
    return made


def text(relationship: str, concept: Code, words: str) -> Dataset:
    """Return TEXT."""
    made = item(relationship, "TEXT", concept)
    made.TextValue = words
    return made


def uid_reference(relationship: str, concept: Code, uid: str) -> Dataset:
    """Return UIDREF."""
    made = item(relationship, "UIDREF", concept)
    made.UID = uid
    return made


def moment(concept: Code, when: datetime) -> Dataset:
    """Return DATETIME in UTC."""
    made = item("CONTAINS", "DATETIME", concept)
    # Without an offset: dcmtk 3.6.7 refuses one; the data set's Timezone Offset From UTC applies.
    made.DateTime = when.astimezone(UTC).strftime("%Y%m%d%H%M%S.%f")
    return made


def composite(
    relationship: str, concept: Code, sop_class_uid: str, sop_instance_uid: str, *, image: bool = False
) -> Dataset:
    """Return COMPOSITE, or IMAGE: a reference to another object."""
    made = item(relationship, "IMAGE" if image else "COMPOSITE", concept)
    reference = Dataset()
    reference.ReferencedSOPClassUID = sop_class_uid
    reference.ReferencedSOPInstanceUID = sop_instance_uid
    made.ReferencedSOPSequence = [reference]
    return made


def container(
    relationship: str | None, concept: Code, children: Sequence[Dataset], *, template: str | None = None
) -> Dataset:
    """Return CONTAINER with its children and, where it is one's root, its template."""
    made = item(relationship, "CONTAINER", concept)
    made.ContinuityOfContent = "SEPARATE"
    if template is not None:
        named = Dataset()
        named.MappingResource = "DCMR"
        named.TemplateIdentifier = template
        made.ContentTemplateSequence = [named]
    if children:
        made.ContentSequence = list(children)
    return made
