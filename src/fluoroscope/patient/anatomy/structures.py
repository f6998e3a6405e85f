"""The structures of a modelled patient: numbers of TotalSegmentator v2 where it has them, else 130 and up."""

import csv
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

__all__ = ["Structure", "structure", "structures", "tissue_of"]


@dataclass(frozen=True, slots=True)
class Structure:
    """One structure.

    Attributes
    ----------
    label
        Number in the label map, 1 to 255.
    name
        "vertebrae_L3", "nerve_root_left_L4" …
    tissue
        What a needle in it is in: "bone", "disc", "muscle", "fat", "skin", "ligament", "epidural space", "CSF",
        "nerve root", "cord", "vessel", "bowel", "organ", "lung", "cartilage", "facet joint", "metal", "fetus".
    """

    label: int
    name: str
    tissue: str


@lru_cache(maxsize=1)
def structures() -> dict[str, Structure]:
    """Return every structure by name."""
    text = resources.files("fluoroscope.patient").joinpath("data/structures.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return {row["structure"]: Structure(int(row["label"]), row["structure"], row["tissue"]) for row in rows}


def structure(name: str) -> Structure:
    """Return a structure; KeyError when there is none of this name."""
    return structures()[name]


@lru_cache(maxsize=1)
def tissue_of() -> dict[int, str]:
    """Return the tissue of every label number."""
    return {one.label: one.tissue for one in structures().values()}
