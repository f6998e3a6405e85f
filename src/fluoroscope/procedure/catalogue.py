"""The spine procedures a room may be set to: their names, region and the field they need."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["PROCEDURES", "Procedure", "procedure_named"]


@dataclass(frozen=True, slots=True)
class Procedure:
    """One kind of procedure.

    Attributes
    ----------
    name
        Key, the same in rules files, journals and the registry.
    label
        For people.
    region
        Of the body, in words.
    needed_field_mm
        Width and height of the field at the isocentre that shows one level with its neighbours' edges, mm: a
        teaching value of ours, not a published one; advice to collimate compares the open field with it.
    """

    name: str
    label: str
    region: str
    needed_field_mm: tuple[float, float] = (100.0, 120.0)

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or self.name != self.name.lower():
            raise ValueError(f"a procedure's name is lower case words joined by _, got {self.name!r}")
        if not all(20.0 <= side <= 500.0 for side in self.needed_field_mm):
            raise ValueError(f"{self.name}: the field needed must be 20 to 500 mm each way, got {self.needed_field_mm}")


_ALL = (
    Procedure("lumbar_epidural", "lumbar epidural injection", "lumbar spine"),
    Procedure("interlaminar_epidural", "interlaminar epidural injection", "lumbar spine"),
    Procedure("transforaminal_epidural", "transforaminal epidural injection", "lumbar spine"),
    Procedure("caudal_epidural", "caudal epidural injection", "sacrum"),
    Procedure("cervical_epidural", "cervical epidural injection", "cervical spine", (90.0, 110.0)),
    Procedure("facet_injection", "facet joint injection", "lumbar spine"),
    Procedure("medial_branch_block", "medial branch block", "lumbar spine"),
    Procedure("radiofrequency_ablation", "radiofrequency ablation of medial branches", "lumbar spine"),
    Procedure("sacroiliac_injection", "sacroiliac joint injection", "sacrum"),
    Procedure("discography", "discography", "lumbar spine"),
    Procedure("lumbar_puncture", "lumbar puncture, myelography", "lumbar spine", (100.0, 150.0)),
    Procedure("vertebroplasty", "vertebroplasty, one level", "thoracic and lumbar spine", (100.0, 130.0)),
    Procedure("kyphoplasty", "kyphoplasty, one level", "thoracic and lumbar spine", (100.0, 130.0)),
    Procedure("pedicle_screws", "pedicle screws", "thoracic and lumbar spine", (120.0, 200.0)),
    Procedure("spinal_cord_stimulator", "spinal cord stimulator leads", "thoracic spine", (100.0, 200.0)),
)

PROCEDURES: Mapping[str, Procedure] = MappingProxyType({one.name: one for one in _ALL})
"""By name, in the order in which they are offered."""


def procedure_named(name: str) -> Procedure:
    """Return the procedure called ``name``; raise ValueError naming those there are."""
    found = PROCEDURES.get(name)
    if found is None:
        raise ValueError(f"no procedure {name!r}; there are {', '.join(PROCEDURES)}")
    return found
