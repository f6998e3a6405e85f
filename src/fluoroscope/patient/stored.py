"""Voxels as a file stores them, and the one way from there to a `Volume`: streamed, reordered, checked."""

import bz2
import gzip
import itertools
import math
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.volume import Volume

__all__ = [
    "MAX_VOXELS",
    "MIN_SLICES",
    "AxisOrder",
    "Encoding",
    "Meaning",
    "PatientFileError",
    "Progress",
    "StoredVoxels",
    "check_grid",
    "load",
    "order_axes",
    "silent",
]

Progress = Callable[[float, str], None]
"""Called with the fraction done (0 to 1) and a few words."""

Encoding = Literal["raw", "gzip", "zlib", "bzip2"]
Meaning = Literal["hu", "values", "labels"]

MIN_SLICES = 10
"""Fewest voxels along any axis that can still be a patient."""

MAX_VOXELS = 640_000_000
"""Most voxels read: 512 × 512 × 2441, 1.3 GB as int16."""

_SPACING_RANGE_MM = (0.02, 20.0)
_SLAB_BYTES = 16 << 20
# No deflate stream expands more than this (zlib's technical notes: 1032:1); bzip2 can reach far more.
_MOST_EXPANSION = {"raw": 1.0, "gzip": 1032.0, "zlib": 1032.0, "bzip2": 50_000.0}


class PatientFileError(ValueError):
    """A patient file cannot be used; the message is one line: what, where, what to do."""


def silent(fraction: float, text: str) -> None:
    """Progress nobody watches."""


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class AxisOrder:
    """How to turn a stored grid so that its axes run S, P, L.

    Attributes
    ----------
    permutation
        Stored axis that becomes axis 0, 1, 2.
    flipped
        Whether that axis is reversed.
    world_from_index
        (4, 4) of the turned grid.
    """

    permutation: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    world_from_index: NDArray[np.float64]

    def shape(self, stored: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return the turned shape of a stored shape."""
        first, second, third = (stored[axis] for axis in self.permutation)
        return first, second, third

    def as_stored(self, turned: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return a view of a turned array that is indexed as the file is."""
        steps = tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flipped)
        return turned[steps].transpose(np.argsort(self.permutation))


@dataclass(frozen=True, slots=True)
class StoredVoxels:
    """Where the voxels of one file lie and what they mean.

    Attributes
    ----------
    path
        File named in messages.
    data_path, offset_bytes, encoding
        File of the voxels, where they begin in it, and how they are packed from there on.
    shape
        Voxels per axis, fastest running axis first.
    dtype
        Stored real type with its byte order.
    world_from_index
        (4, 4): LPS mm of stored index (fastest axis first).
    slope, intercept
        value = slope · stored + intercept.
    """

    path: Path
    data_path: Path
    offset_bytes: int
    encoding: Encoding
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    world_from_index: NDArray[np.float64]
    slope: float = 1.0
    intercept: float = 0.0


def order_axes(world_from_index: NDArray[np.float64], shape: tuple[int, int, int]) -> AxisOrder:
    """Find the order and direction of axes that brings a grid nearest to S, P, L without resampling.

    Parameters
    ----------
    world_from_index
        (4, 4) LPS mm of the stored index.
    shape
        Stored shape.
    """
    axes = world_from_index[:3, :3]
    cosines = axes / np.linalg.norm(axes, axis=0)
    wanted = (2, 1, 0)  # rows of LPS that mean S, P, L
    permutation = max(
        itertools.permutations(range(3)),
        key=lambda p: sum(abs(float(cosines[row, axis])) for row, axis in zip(wanted, p, strict=True)),
    )
    flipped = tuple(bool(cosines[row, axis] < 0.0) for row, axis in zip(wanted, permutation, strict=True))
    stored_from_turned = np.zeros((4, 4))
    stored_from_turned[3, 3] = 1.0
    for turned_axis, (axis, flip) in enumerate(zip(permutation, flipped, strict=True)):
        stored_from_turned[axis, turned_axis] = -1.0 if flip else 1.0
        stored_from_turned[axis, 3] = shape[axis] - 1 if flip else 0
    return AxisOrder(
        (permutation[0], permutation[1], permutation[2]),
        (flipped[0], flipped[1], flipped[2]),
        world_from_index @ stored_from_turned,
    )


def check_grid(
    path: Path, shape: tuple[int, ...], world_from_index: NDArray[np.float64], min_slices: int = MIN_SLICES
) -> tuple[int, int, int]:
    """Return the shape as three axes, or raise when no patient can have this grid.

    Raises
    ------
    PatientFileError
        2-D or 4-D, too few or too many voxels, spacing out of range, sheared axes.
    """
    sizes = tuple(int(n) for n in shape)
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes = sizes[:-1]
    text = "×".join(str(n) for n in sizes)
    if len(sizes) > 3:
        raise PatientFileError(f"{path}: has {len(sizes)} axes ({text}); give one 3-D volume")
    if len(sizes) < 3 or min(sizes) == 1:
        raise PatientFileError(f"{path}: a 2-D image ({text}); give a 3-D CT volume")
    if min(sizes) < 1:
        raise PatientFileError(f"{path}: header says {text} voxels; the file is damaged, export it again")
    if min(sizes) < min_slices:
        raise PatientFileError(
            f"{path}: {text} voxels is too few for a patient; give at least {min_slices} slices along every axis"
        )
    if math.prod(sizes) > MAX_VOXELS:
        raise PatientFileError(
            f"{path}: {text} voxels is above the limit of {MAX_VOXELS / 1e6:.0f} million; crop or resample it"
        )
    _check_axes(path, world_from_index)
    return sizes[0], sizes[1], sizes[2]


def _check_axes(path: Path, world_from_index: NDArray[np.float64]) -> None:
    if world_from_index.shape != (4, 4) or not np.isfinite(world_from_index).all():
        raise PatientFileError(f"{path}: position or axes are not finite numbers; export the file again")
    axes = world_from_index[:3, :3]
    spacing = np.linalg.norm(axes, axis=0)
    low, high = _SPACING_RANGE_MM
    if spacing.min() < low or spacing.max() > high:
        numbers = " × ".join(f"{value:.4g}" for value in spacing)
        raise PatientFileError(
            f"{path}: voxel spacing {numbers} mm, needed are {low:g} to {high:g} mm; correct the spacing in the header"
        )
    cosines = (axes / spacing).T @ (axes / spacing)
    worst = float(np.abs(cosines - np.eye(3)).max())
    if worst > 1e-3:
        tilt = math.degrees(math.asin(min(worst, 1.0)))
        raise PatientFileError(
            f"{path}: voxel axes are {tilt:.1f}° off a right angle (gantry tilt or shear); resample to a straight grid"
        )


def load(stored: StoredVoxels, *, meaning: Meaning = "hu", progress: Progress | None = None) -> Volume:
    """Read a file's voxels slab by slab into a turned, contiguous `Volume`.

    Parameters
    ----------
    stored
        What the header said.
    meaning
        ``"hu"``: int16, rounded and clipped. ``"values"``: int16 when the file stores small integers without
        scaling, else float32, never rounded. ``"labels"``: uint8 or uint16, whole numbers only.
    progress
        Told the fraction read.

    Raises
    ------
    PatientFileError
        Not a usable grid, truncated or damaged data, NaN or infinite voxels.
    """
    report = progress or silent
    shape = check_grid(stored.path, stored.shape, stored.world_from_index, MIN_SLICES if meaning == "hu" else 2)
    if stored.dtype.kind not in "iuf":
        raise PatientFileError(f"{stored.path}: voxels of type {stored.dtype} are not real numbers; export one channel")
    _check_length(stored, shape)
    order = order_axes(stored.world_from_index, shape)
    turned = np.empty(order.shape(shape), dtype=_target_type(stored, meaning))
    view = order.as_stored(turned)
    not_finite = 0
    where: tuple[int, ...] | None = None
    for first, slab in _slabs(stored, shape):
        if slab.dtype.kind == "f":
            bad = ~np.isfinite(slab)
            count = int(bad.sum())
            if count and where is None:
                i, j, k = (int(n) for n in np.argwhere(bad)[0])
                where = (i, j, first + k)
            not_finite += count
            if count:
                continue
        view[:, :, first : first + slab.shape[2]] = _convert(slab, turned.dtype, meaning, stored.path)
        report((first + slab.shape[2]) / shape[2], f"reading {stored.path.name}")
    if where is not None:
        raise PatientFileError(
            f"{stored.path}: {not_finite} voxels are NaN or infinite, the first at index {where}; replace"
            " them with air"
            " (-1000) and save again"
        )
    return Volume(turned, order.world_from_index)


def _target_type(stored: StoredVoxels, meaning: Meaning) -> type[np.generic]:
    plain = stored.slope == 1.0 and stored.intercept == 0.0
    if meaning == "hu":
        return np.int16
    if meaning == "labels":
        return np.uint8 if stored.dtype.itemsize == 1 and stored.dtype.kind == "u" and plain else np.uint16
    return np.int16 if plain and np.can_cast(stored.dtype, np.int16) else np.float32


def _convert(
    slab: NDArray[np.generic], target: np.dtype[np.generic], meaning: Meaning, path: Path
) -> NDArray[np.generic]:
    if target == np.float32 or np.can_cast(slab.dtype, target):
        return slab.astype(target, copy=False)
    limits = np.iinfo(np.dtype(target).str)
    if meaning == "labels":
        low, high = float(slab.min()), float(slab.max())
        whole = slab.dtype.kind != "f" or bool((np.rint(slab) == slab).all())
        if low < limits.min or high > limits.max or not whole:
            raise PatientFileError(
                f"{path}: labels must be whole numbers from 0 to {limits.max}, found {low:g} to {high:g};"
                " give a label map, not a CT"
            )
        return slab.astype(target)
    if slab.dtype.kind == "f":
        slab = np.rint(slab)
    clipped: NDArray[np.generic] = np.clip(slab, limits.min, limits.max).astype(target)
    return clipped


def _check_length(stored: StoredVoxels, shape: tuple[int, int, int]) -> None:
    try:
        size = stored.data_path.stat().st_size
    except OSError as error:
        raise PatientFileError(
            f"{stored.data_path}: voxel file of {stored.path.name} cannot be opened ({error.strerror});"
            " keep both together"
        ) from error
    need = math.prod(shape) * stored.dtype.itemsize
    # A packed NIfTI's offset counts unpacked bytes.
    skipped = stored.offset_bytes if stored.encoding == "raw" else 0
    if (size - skipped) * _MOST_EXPANSION[stored.encoding] < need:
        raise PatientFileError(
            f"{stored.data_path}: truncated, {size} bytes cannot hold {need} bytes of voxels; copy the file again"
        )


def _slabs(stored: StoredVoxels, shape: tuple[int, int, int]) -> Iterator[tuple[int, NDArray[np.generic]]]:
    """Yield (first slice, voxels (n0, n1, slices) in file order), scaled."""
    slice_bytes = shape[0] * shape[1] * stored.dtype.itemsize
    per_slab = max(1, _SLAB_BYTES // slice_bytes)
    scaled = stored.slope != 1.0 or stored.intercept != 0.0
    native = stored.dtype.newbyteorder("=")
    with _open(stored) as stream:
        for first in range(0, shape[2], per_slab):
            count = min(per_slab, shape[2] - first)
            raw = _read_exactly(stream, count * slice_bytes, stored)
            slab = np.frombuffer(raw, dtype=stored.dtype).reshape((shape[0], shape[1], count), order="F")
            slab = slab.astype(native, copy=False)
            if scaled:
                # What overflows is infinite, and an infinite voxel is refused by name.
                with np.errstate(over="ignore"):
                    slab = slab * np.float32(stored.slope) + np.float32(stored.intercept)
            yield first, slab
        if stored.encoding == "gzip":
            _read_some(stream, 1, stored)  # the checksum is only compared at the end


def _read_exactly(stream: _Readable, count: int, stored: StoredVoxels) -> bytearray:
    data = bytearray()
    while len(data) < count:
        part = _read_some(stream, count - len(data), stored)
        if not part:
            raise PatientFileError(
                f"{stored.data_path}: truncated, the voxels end before the header says; copy the file again"
            )
        data += part
    return data


def _read_some(stream: _Readable, count: int, stored: StoredVoxels) -> bytes:
    try:
        return stream.read(count)
    except (EOFError, zlib.error, OSError, ValueError) as error:
        raise PatientFileError(
            f"{stored.data_path}: truncated or damaged {stored.encoding} data ({error}); copy the file again"
        ) from error


@contextmanager
def _open(stored: StoredVoxels) -> Iterator[_Readable]:
    with stored.data_path.open("rb") as file:
        if stored.encoding == "gzip" and stored.offset_bytes and _is_gzip(file):
            # A NIfTI is packed as a whole: its offset counts unpacked bytes.
            with gzip.GzipFile(fileobj=file) as unpacked:
                _read_exactly(unpacked, stored.offset_bytes, stored)
                yield unpacked
            return
        file.seek(stored.offset_bytes)
        if stored.encoding == "raw":
            yield file
        elif stored.encoding == "gzip":
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield unpacked
        elif stored.encoding == "bzip2":
            with bz2.BZ2File(file) as expanded:
                yield expanded
        else:
            yield _Inflate(file)


def _is_gzip(file: IO[bytes]) -> bool:
    magic = file.read(2)
    file.seek(0)
    return magic == b"\x1f\x8b"


class _Inflate:
    """Reads a zlib or gzip stream with never more unpacked than was asked for."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._unpack = zlib.decompressobj(wbits=47)

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` unpacked bytes, none at the end."""
        while not self._unpack.eof:
            packed = self._unpack.unconsumed_tail or self._file.read(1 << 20)
            if not packed:
                return b""
            part = self._unpack.decompress(packed, size)
            if part:
                return part
        return b""
