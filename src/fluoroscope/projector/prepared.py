"""A volume made ready for the fast kernel: whole numbers, one copy per dominant axis, empty space marked."""

import threading
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.threads import spread
from fluoroscope.patient.volume import SCALE, BasisVolume, Volume
from fluoroscope.projector import kernels_copy
from fluoroscope.projector import kernels_plan as plan

__all__ = ["PreparedVolume", "prepare"]

PAD = 32
MAX_CHUNKS = 61
WORTH_A_THREAD = 1 << 19
"""Voxels."""
LARGEST, LARGEST_SIGNED = 32767, 16383
AXIS_ORDER = ((0, 1, 2), (1, 0, 2), (2, 0, 1))
"""(slice, row, column) axes of the copy for each dominant axis."""


@dataclass(slots=True)
class AxisCopy:
    """The channels laid out slice by slice along one axis, zero-padded; addresses of it go to the kernels."""

    buffers: list[NDArray[np.int16]]
    occupancy: list[NDArray[np.int64]]
    boxes: NDArray[np.int32]

    @property
    def nbytes(self) -> int:
        """Memory held, bytes."""
        arrays: list[NDArray[Any]] = [*self.buffers, *self.occupancy, self.boxes]
        return sum(array.nbytes for array in arrays)


@dataclass(slots=True)
class PreparedVolume:
    """What `prepare` returns; make it with that, not by hand.

    Copies are made when a view first needs their axis. Nothing about it changes what `project` gives, so it may be
    shared between threads.

    Attributes
    ----------
    source
        The volume it was made of.
    channels
        The source's arrays, each (n0, n1, n2): one for a `Volume`, water and bone for a `BasisVolume`.
    gains
        Whole numbers per unit of each channel's array. A value is rounded to 1/gain of that unit.
    units
        Value per unit of each channel's array: `SCALE` for a `BasisVolume`, else 1; 0 where the channel is all zero,
        and the kernels leave it out.
    first, shape
        The box kept, in voxel indices: everything outside it is zero.
    middle_mm
        (4,) middle of the source's grid in its own coordinates, mm, and 1.
    voxel_mm
        The shortest side of a voxel, mm.
    """

    source: Volume | BasisVolume = field(repr=False)
    channels: tuple[NDArray[np.generic], ...] = field(repr=False)
    gains: tuple[float, ...]
    units: tuple[float, ...]
    first: tuple[int, int, int]
    shape: tuple[int, int, int]
    air_skip: bool
    copies: list[AxisCopy | None] = field(default_factory=lambda: [None, None, None], repr=False)
    table: NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, plan.BODY_FIELDS), np.int64), repr=False)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    middle_mm: NDArray[np.float64] = field(init=False, repr=False)
    voxel_mm: float = field(init=False)

    def __post_init__(self) -> None:
        """Work out where the middle lies and how large a voxel is."""
        affine = self.source.world_from_index
        middle = np.append((np.asarray(self.channels[0].shape) - 1.0) / 2.0, 1.0)
        self.middle_mm = affine @ middle
        self.voxel_mm = float(np.sqrt((affine[:3, :3] ** 2).sum(axis=0).min()))

    @property
    def world_from_index(self) -> NDArray[np.float64]:
        """(4, 4), as the source's."""
        return self.source.world_from_index

    @property
    def memory_bytes(self) -> int:
        """Memory of the copies made so far, bytes; the source is not counted."""
        return sum(copy.nbytes for copy in self.copies if copy is not None)

    @property
    def quantisation(self) -> tuple[float, ...]:
        """Largest rounding error of a voxel, per channel, in the unit of the line integral per mm."""
        return tuple(
            0.0 if float(gain).is_integer() and channel.dtype.kind in "iu" else 0.5 * unit / gain
            for gain, unit, channel in zip(self.gains, self.units, self.channels, strict=True)
        )

    def ready(self, axes: tuple[int, ...] = (0, 1, 2)) -> None:
        """Make the copies for these dominant axes now (0: steep cranial views, 1: AP, 2: lateral)."""
        for axis in axes:
            with self.lock:
                if self.copies[axis] is None and min(self.shape) > 0:
                    self.copies[axis] = make_copy(self, axis)

    def describe(self) -> None:
        """Enter the copies' shapes in the table; their addresses follow when they are made."""
        for axis, order in enumerate(AXIS_ORDER):
            k, r, i = (self.shape[n] for n in order)
            row = self.table[axis]
            row[plan.B_K], row[plan.B_R], row[plan.B_I] = k, r, i
            row[plan.B_ROW_STRIDE] = (i + 2 * PAD - 1) // PAD * PAD
            row[plan.B_SLICE_STRIDE] = row[plan.B_ROW_STRIDE] * (r + 1)
            row[plan.B_CHUNK] = max(5, int(np.ceil(np.log2(max(i, 1) / MAX_CHUNKS))))
            row[plan.B_GROUPS] = (r + 7) // 8
            row[plan.B_CROP_K], row[plan.B_CROP_R], row[plan.B_CROP_I] = (self.first[n] for n in order)


def prepare(volume: Volume | BasisVolume, *, air_skip: bool = True) -> PreparedVolume:
    """Make ``volume`` ready for the fast kernel.

    Parameters
    ----------
    volume
        Any real values. The kernel works on 16-bit whole numbers: a channel of int16 that is never negative, or stays
        within ±16383, is kept exactly; anything else is rounded to its largest magnitude / 16383 (/ 32767 if never
        negative), one step for the whole channel. `PreparedVolume.quantisation` says what the rounding can be.
    air_skip
        Leave out what is exactly zero. The result is the same; False is for measuring what it saves.

    Raises
    ------
    ValueError
        When a voxel is not a finite number.
    """
    if isinstance(volume, BasisVolume):
        arrays: tuple[NDArray[np.generic], ...] = (volume.water, volume.bone)
        unit = SCALE
    else:
        arrays, unit = (as_kernel_type(volume.values),), 1.0
    shape = arrays[0].shape
    low, high = np.array(shape), np.full(3, -1)
    gains, units = [], []
    for array in arrays:
        ranges, boxes = np.empty((shape[0], 3)), np.empty((shape[0], 4), np.int64)
        spread(partial(kernels_copy.survey, array), shape[0], ranges, boxes, least=_least(shape[1] * shape[2]))
        if ranges[:, 2].any():
            slab = int(np.flatnonzero(ranges[:, 2])[0])
            raise ValueError(
                f"the volume holds a value that is not a finite number in slice {slab}: repair the CT first"
            )
        least, greatest = float(ranges[:, 0].min()), float(ranges[:, 1].max())
        gains.append(gain_for(array, least, greatest))
        units.append(unit if least or greatest else 0.0)
        filled = np.flatnonzero(boxes[:, 1] >= 0)
        if len(filled):
            inside = boxes[filled]
            low = np.minimum(low, [filled[0], inside[:, 0].min(), inside[:, 2].min()])
            high = np.maximum(high, [filled[-1], inside[:, 1].max(), inside[:, 3].max()])
    if not air_skip:
        low, high = np.zeros(3, np.int64), np.array(shape) - 1
    first = (int(low[0]), int(low[1]), int(low[2]))
    size = np.maximum(high - low + 1, 0)
    kept = (int(size[0]), int(size[1]), int(size[2]))
    prepared = PreparedVolume(volume, arrays, tuple(gains), tuple(units), first, kept, air_skip)
    prepared.describe()
    return prepared


def _least(voxels: int) -> int:
    """Return how many slices of so many voxels are worth a thread: to start one takes as long as a small bone."""
    return max(1, WORTH_A_THREAD // max(voxels, 1))


def as_kernel_type(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return ``values`` as int16 where that holds every number of their type, else float32 or float64."""
    if values.dtype in (np.int16, np.float32, np.float64):
        return np.ascontiguousarray(values)
    if np.can_cast(values.dtype, np.int16):
        return np.ascontiguousarray(values, dtype=np.int16)
    if values.dtype.kind not in "iufb":
        raise ValueError(f"voxel values must be real numbers, got {values.dtype}")
    return np.ascontiguousarray(values, dtype=np.float64)


def gain_for(array: NDArray[np.generic], least: float, greatest: float) -> float:
    """Return the whole-number scale of a channel: an integer where the values are integers and fit."""
    room = LARGEST if least >= 0.0 else LARGEST_SIGNED
    size = max(abs(least), abs(greatest))
    if size == 0.0:
        return 1.0
    gain = room / size
    return float(np.floor(gain)) if array.dtype.kind in "iu" and gain >= 1.0 else gain


def make_copy(prepared: PreparedVolume, axis: int) -> AxisCopy:
    """Lay the channels out along ``axis`` and enter the addresses in the volume's table."""
    row = prepared.table[axis]
    order = AXIS_ORDER[axis]
    k, r, i = (prepared.shape[n] for n in order)
    row_stride, slice_stride = int(row[plan.B_ROW_STRIDE]), int(row[plan.B_SLICE_STRIDE])
    box = tuple(slice(a, a + n) for a, n in zip(prepared.first, prepared.shape, strict=True))
    copy = AxisCopy([], [], np.empty((k, 4), np.int32))
    copy.boxes[:] = (i, -1, r, -1)
    for channel, gain in zip(prepared.channels, prepared.gains, strict=True):
        front = row_stride + 2 * PAD
        buffer = np.zeros(front + k * slice_stride + row_stride + 4 * PAD, np.int16)
        planes = buffer[front : front + k * slice_stride].reshape(k, r + 1, row_stride)
        bits = np.zeros((k, int(row[plan.B_GROUPS])), np.int64)
        values = channel[box].transpose(order)
        marks = (axis == 2, planes, int(row[plan.B_CHUNK]), not prepared.air_skip, bits, copy.boxes)
        spread(partial(kernels_copy.lay_out, values), k, np.float64(gain), *marks, least=_least(r * i))
        copy.buffers.append(buffer)
        copy.occupancy.append(bits)
    row[plan.B_OCC0] = copy.occupancy[0].ctypes.data
    row[plan.B_OCC1] = copy.occupancy[-1].ctypes.data
    row[plan.B_BOXES] = copy.boxes.ctypes.data
    front_bytes = 2 * (row_stride + 2 * PAD)
    row[plan.B_DATA1] = copy.buffers[-1].ctypes.data + front_bytes
    row[plan.B_DATA0] = copy.buffers[0].ctypes.data + front_bytes
    return copy
