"""Which structure a voxel belongs to: label maps on the CT's grid, and tables of names."""

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.formats import read_label_values
from fluoroscope.patient.stored import PatientFileError, Progress
from fluoroscope.patient.volume import Volume

__all__ = ["LabelMap", "onto_grid", "read_labels", "read_names", "totalsegmentator_names"]


@dataclass(frozen=True, slots=True)
class LabelMap:
    """Structure numbers on a CT's grid.

    Attributes
    ----------
    values
        uint8 or uint16 (n0, n1, n2) on the grid of the CT; 0 is background; read-only.
    names
        Number to name of every structure that has one.
    """

    values: NDArray[np.uint8] | NDArray[np.uint16]
    names: Mapping[int, str]

    def __post_init__(self) -> None:
        if self.values.ndim != 3 or self.values.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"labels are uint8 or uint16 with three axes, got {self.values.dtype} {self.values.shape}")
        self.values.setflags(write=False)
        object.__setattr__(self, "names", MappingProxyType(dict(self.names)))

    def number(self, name: str) -> int | None:
        """Return the number of a structure, or None when no structure has this name."""
        return next((number for number, known in self.names.items() if known == name), None)

    def center_mm(self, name: str, world_from_index: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Return the centroid (3,) of a structure in world mm, or None when no voxel carries it."""
        number = self.number(name)
        if number is None:
            return None
        index = np.argwhere(self.values == number)
        if len(index) == 0:
            return None
        center: NDArray[np.float64] = world_from_index[:3, :3] @ index.mean(axis=0) + world_from_index[:3, 3]
        return center


def read_labels(
    path: str | Path, ct: Volume, *, names: str | Path | None = None, progress: Progress | None = None
) -> LabelMap:
    """Read a label map and lay it onto the grid of a CT.

    Parameters
    ----------
    path
        NIfTI, NRRD or MetaImage with whole numbers.
    ct
        The CT it belongs to; another grid is resampled to it by nearest voxel.
    names
        ``"totalsegmentator"``, or a CSV or JSON file of names. When not given: the table a NIfTI carries in
        its extension, else structures are called ``label_7``.
    progress
        Told the fraction read.

    Raises
    ------
    PatientFileError
        The file cannot be read, or lies outside the CT.
    """
    volume = read_label_values(path, progress=progress)
    if names == "totalsegmentator":
        table = totalsegmentator_names()
    elif names is not None:
        table = read_names(names)
    else:
        table = _embedded_names(Path(path))
    values = onto_grid(volume, ct, str(path))
    present = np.flatnonzero(np.bincount(values.ravel()))
    return LabelMap(values, {int(n): table.get(int(n), f"label_{n}") for n in present if n != 0})


def onto_grid(labels: Volume, ct: Volume, where: str) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return label values on the grid of a CT, nearest voxel, 0 where the labels do not reach.

    Raises
    ------
    PatientFileError
        When the two volumes do not overlap in the world, or no labelled voxel falls into the CT.
    """
    same = labels.values.shape == ct.values.shape and np.allclose(
        labels.world_from_index, ct.world_from_index, atol=1e-2
    )
    values: NDArray[Any] = labels.values
    if not same:
        from scipy import ndimage

        labels_from_ct = np.linalg.inv(labels.world_from_index) @ ct.world_from_index
        values = ndimage.affine_transform(
            values,
            labels_from_ct[:3, :3],
            labels_from_ct[:3, 3],
            output_shape=ct.values.shape,
            order=0,
            mode="constant",
            cval=0,
        )
    if labels.values.any() and not values.any():
        raise PatientFileError(
            f"{where}: the labels lie outside the CT (centres {_place(labels)} and {_place(ct)} mm); give"
            " the labels of"
            " this CT"
        )
    return values


def _place(volume: Volume) -> str:
    return "(" + ", ".join(f"{value:.0f}" for value in volume.center_mm) + ")"


def read_names(path: str | Path) -> dict[int, str]:
    """Read a table of names.

    Parameters
    ----------
    path
        CSV with a header (number in ``id``, ``label``, ``value`` or ``index``; name in ``structure`` or
        ``name``), CSV without one (number, name), or JSON: an object of numbers to names or of names to
        numbers.

    Raises
    ------
    PatientFileError
        The file is missing or holds no such table.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
        table = _names_of_json(text) if file.suffix.lower() == ".json" else _names_of_csv(text)
    except OSError as error:
        raise PatientFileError(f"{file}: table of names cannot be read ({error.strerror}); check the path") from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise PatientFileError(f"{file}: no table of names ({error}); give lines 'number,name'") from error
    if not table:
        raise PatientFileError(f"{file}: holds no names; give lines 'number,name'")
    return table


def _names_of_json(text: str) -> dict[int, str]:
    content = json.loads(text)
    table: dict[int, str] = {}
    for key, value in content.items():
        if isinstance(value, str):
            table[int(key)] = value
        else:
            table[int(value)] = str(key)
    return table


def _names_of_csv(text: str) -> dict[int, str]:
    rows = [row for row in csv.reader(text.splitlines()) if row]
    if not rows:
        return {}
    heads = [cell.strip().lower() for cell in rows[0]]
    number_at = next((heads.index(key) for key in ("id", "label", "value", "index", "number") if key in heads), None)
    name_at = next((heads.index(key) for key in ("structure", "name", "structure_name") if key in heads), None)
    if number_at is None or name_at is None:
        return {int(row[0]): row[1].strip() for row in rows if len(row) > 1}
    short = max(number_at, name_at)
    return {int(row[number_at]): row[name_at].strip() for row in rows[1:] if len(row) > short}


def totalsegmentator_names() -> dict[int, str]:
    """Return the 117 structures of TotalSegmentator's version 2 task "total" (doi:10.1148/ryai.230024)."""
    text = resources.files("fluoroscope.patient").joinpath("data/totalsegmentator_v2.csv").read_text(encoding="utf-8")
    return _names_of_csv(text)


_LABEL = re.compile(r'<Label\s[^>]*?Key="(\d+)"[^>]*>\s*(?:<!\[CDATA\[)?([^<\]]+)', re.ASCII)


def _embedded_names(path: Path) -> dict[int, str]:
    """Return the label table of a NIfTI extension (the GIFTI-like XML that segmentation programs write)."""
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        return {}
    import nibabel

    names: dict[int, str] = {}
    image = nibabel.load(path)
    for extension in getattr(image.header, "extensions", ()):
        content = extension.get_content()
        text = content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)
        names |= {int(number): name.strip() for number, name in _LABEL.findall(text)}
    return names
