"""What the numbers of a table in a dose report mean, machine by machine, and how well that is known.

DICOM leaves a table's zero to the maker ("an arbitrary chosen reference", PS3.16, 113751 to 113753): without it no
place on the skin can be worked out from a report, however many digits it has.
"""

import math
import tomllib
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

__all__ = ["TABLE_KEYS", "Evidence", "TableFileError", "TableFrame", "read_table_frame", "table_frame"]

_LARGEST_MM = 5000.0


class Evidence(Enum):
    """How well a table's zero is known."""

    OWN = "own"
    COMPARED = "compared"
    SITE = "site"
    UNKNOWN = "unknown"


class TableFileError(ValueError):
    """A file of a site's table that cannot be used; the message names the file and what to do."""


@dataclass(frozen=True, slots=True)
class TableFrame:
    """Where a table is when its report says 0, and which way it counts.

    Attributes
    ----------
    evidence, source
        How well it is known, and from whom.
    head_end_mm, middle_mm, tabletop_mm
        At 0, from the isocentre: the tabletop's head end toward the head end of the room (+z), its middle toward the
        left of a head-first supine patient (+x), its upper side upward.
    along
        The number that moves the table along the patient: "lateral" (DICOM's definition) or "longitudinal".
    along_sign, across_sign, height_sign
        +1 where it counts as DICOM says: along toward the head, across toward the left (LAO) of a head-first supine
        patient, height downward; −1 where it counts the other way.
    turns_with_table
        Whether the C-arm's angles are the patient's on a turned table too.
    filters_include_tube
        Whether the filters it names include the tube's own aluminium.
    """

    evidence: Evidence
    source: str
    head_end_mm: float = 0.0
    middle_mm: float = 0.0
    tabletop_mm: float = 0.0
    along: str = "lateral"
    along_sign: int = 1
    across_sign: int = 1
    height_sign: int = 1
    turns_with_table: bool = False
    filters_include_tube: bool = False

    @property
    def known(self) -> bool:
        """Whether a map can be made with it."""
        return self.evidence is not Evidence.UNKNOWN


_OWN = TableFrame(
    Evidence.OWN,
    "this program's own report: the reference point of the patient is at the isocentre when the table stands at zero",
    turns_with_table=True,
    filters_include_tube=True,
)
_ARTIS = TableFrame(
    Evidence.COMPARED,
    "head end and upper side of the tabletop at the isocentre at zero, as PySkinDose found in one room; the peak of a "
    "published zee report is within 2 % of its Monte Carlo value",
)
_SILENT = {
    "philips": "Philips (Allura, Azurion): table and beam are counted from places that differ from room to room; one "
    "room's offsets published with PySkinDose are not those of another",
    "ge": "GE (Innova, Discovery IGS, OEC): no published zero of the table",
    "canon": "Canon and Toshiba (Infinix, Alphenix, Ultimax): no published zero of the table",
    "siemens": "Siemens other than Artis: no published zero of the table",
    "": "no published zero of the table of this machine",
}
_MAKERS = {
    "philips": ("philips",),
    "ge": ("ge ", "ge medical", "gems", "general electric", "oec"),
    "canon": ("canon", "toshiba"),
    "siemens": ("siemens",),
}


def table_frame(manufacturer: str, model: str) -> TableFrame:
    """Return what is known of the table of a machine named in a report."""
    maker, name = manufacturer.casefold(), f"{manufacturer} {model}".casefold()
    if maker.startswith("fluoroscope"):
        return _OWN
    if "siemens" in name and "artis" in name:
        return _ARTIS
    which = next((key for key, words in _MAKERS.items() if any(f"{maker} ".startswith(word) for word in words)), "")
    return TableFrame(Evidence.UNKNOWN, _SILENT[which])


TABLE_KEYS = (
    "source", "head_end_mm", "middle_mm", "tabletop_mm", "along", "along_sign", "across_sign", "height_sign",
)  # fmt: skip
"""What a site's file may say; ``source`` and ``head_end_mm``, ``middle_mm``, ``tabletop_mm`` it must say."""


def read_table_frame(path: Path) -> TableFrame:
    """Read where a site's table is when its report says 0, from a TOML file.

    Raises
    ------
    TableFileError
        When it cannot be read, lacks a number or has one out of range; names the file and the key.
    """
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as fault:
        raise TableFileError(f"{path}: no such file; name a TOML file with {_listed()}") from fault
    except OSError as fault:
        raise TableFileError(f"{path}: cannot be read ({fault.strerror or fault}); check the file") from fault
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        raise TableFileError(
            f"{path}: no table file that can be read ({fault}); it is TOML with {_listed()}"
        ) from fault
    unknown = sorted(set(said) - set(TABLE_KEYS))
    if unknown:
        raise TableFileError(f"{path}: {', '.join(unknown)} is not known; it says {_listed()}")
    source = said.get("source")
    if not isinstance(source, str) or not source.strip():
        raise TableFileError(f"{path}: source is missing: say who measured it, and when")
    values: dict[str, Any] = {name: _length(path, said, name) for name in ("head_end_mm", "middle_mm", "tabletop_mm")}
    for name in ("along_sign", "across_sign", "height_sign"):
        values[name] = said.get(name, 1)
        if values[name] not in (1, -1) or isinstance(values[name], bool):
            raise TableFileError(f"{path}: {name} must be 1 (as DICOM counts) or -1, got {values[name]!r}")
    values["along"] = said.get("along", "lateral")
    if values["along"] not in ("lateral", "longitudinal"):
        raise TableFileError(f'{path}: along must be "lateral" (as DICOM defines it) or "longitudinal"')
    return TableFrame(Evidence.SITE, source.strip(), **values)


def _length(path: Path, said: dict[str, Any], name: str) -> float:
    value = said.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TableFileError(f"{path}: {name} is missing or no number: mm from the isocentre when the report says 0")
    if not (math.isfinite(value) and abs(value) <= _LARGEST_MM):
        raise TableFileError(f"{path}: {name} must be within ±{_LARGEST_MM:g} mm, got {value}")
    return float(value)


def _listed() -> str:
    return ", ".join(TABLE_KEYS)
