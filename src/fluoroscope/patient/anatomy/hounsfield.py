"""The CT numbers of soft tissues, with their published ranges."""

import csv
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

__all__ = ["TissueNumbers", "tissue_numbers"]


@dataclass(frozen=True, slots=True)
class TissueNumbers:
    """CT numbers of one tissue.

    Attributes
    ----------
    name
        "muscle", "liver" …
    mean_hu, sd_hu
        What is painted: mean, and standard deviation of its mottle.
    grain_mm
        Correlation length of the mottle.
    low_hu, high_hu
        Range within which the mean over the built structure must lie.
    source
        Where the range comes from; "unverified" where it was taken from memory.
    """

    name: str
    mean_hu: float
    sd_hu: float
    grain_mm: float
    low_hu: float
    high_hu: float
    source: str


@lru_cache(maxsize=1)
def tissue_numbers() -> dict[str, TissueNumbers]:
    """Return every tissue of ``data/hounsfield.csv`` by name."""
    text = resources.files("fluoroscope.patient").joinpath("data/hounsfield.csv").read_text(encoding="utf-8")
    return {row["tissue"]: _tissue(row) for row in csv.DictReader(text.splitlines())}


def _tissue(row: dict[str, str]) -> TissueNumbers:
    mean, sd, grain, low, high = (float(row[key]) for key in ("mean_hu", "sd_hu", "grain_mm", "low_hu", "high_hu"))
    return TissueNumbers(row["tissue"], mean, sd, grain, low, high, row["source"])
