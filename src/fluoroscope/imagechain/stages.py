"""The stages of the image chain as pure functions, in the order a picture passes them."""

import math

import numpy as np
from numpy.typing import NDArray

from fluoroscope.acquisition.frame import Frame, open_pixels
from fluoroscope.imagechain.kernels import LOG_TABLE, block_sums, log_filter_display

__all__ = [
    "DISPLAY_GAIN",
    "DISPLAY_OFFSET",
    "DisplayWindow",
    "FieldRectangle",
    "average_display",
    "center_sample",
    "content_moved",
    "exposure",
    "field_rectangle",
    "linear_window_on_display",
    "log_level",
    "recorded_window",
    "run_window",
    "same_view",
]

DISPLAY_OFFSET = 32768.0
"""Grey value of the level of the run: the median of the centre of the field."""

DISPLAY_GAIN = 6000.0
"""Grey values per neper (a factor e of detected energy): 5.46 neper to each side of the level fit."""

KV_TOLERANCE = 5.0
"""Pictures further apart in tube voltage than this, kV, are never mixed."""

NARROWEST_NEPER, WIDEST_NEPER, WINDOW_STEP_NEPER = 1.5, 4.0, 0.25

BLOCK_PX = 4
TILE_BLOCKS = 4
TILE_PX = BLOCK_PX * TILE_BLOCKS
MOTION_LIMIT = 3.6
MANY_BLOCKS = 4096

DisplayWindow = tuple[float, float]
FieldRectangle = tuple[int, int, int, int]


def field_rectangle(frame: Frame) -> FieldRectangle:
    """Return (first row, end row, first column, end column) of the pixels the collimator leaves open."""
    rows, columns = frame.pixels.shape
    return open_pixels(frame.collimation, rows, columns, frame.pitch_mm)


def exposure(frame: Frame) -> float:
    """Return what the pulse gave, above 0: air kerma, mGy; its mAs where no kerma is known; else 1.

    Dividing a LIN picture by it leaves the transmission of the patient: the same anatomy has the same value
    however the exposure control sets the current.
    """
    if frame.kerma is not None and frame.kerma.air_kerma_mgy > 0.0:
        return frame.kerma.air_kerma_mgy
    if frame.technique is not None:
        return frame.technique.mas_per_pulse
    return 1.0


def exposure_basis(frame: Frame) -> str:
    """Return what `exposure` takes: "kerma", "mas" or "none"; values of different bases never compare."""
    if frame.kerma is not None and frame.kerma.air_kerma_mgy > 0.0:
        return "kerma"
    return "none" if frame.technique is None else "mas"


def center_sample(frame: Frame) -> NDArray[np.uint16]:
    """Return every eighth row of the middle half of the open field, flat; one pixel when that is empty."""
    top, bottom, left, right = field_rectangle(frame)
    height, width = bottom - top, right - left
    rows = slice(top + height // 4, bottom - height // 4, 8)
    sample = frame.pixels[rows, left + width // 4 : right - width // 4]
    if sample.size == 0:
        row, column = frame.pixels.shape[0] // 2, frame.pixels.shape[1] // 2
        sample = frame.pixels[row : row + 1, column : column + 1]
    return sample.ravel()


def log_level(frame: Frame) -> float:
    """Return the level of a LIN frame: ln of the median of its centre over the exposure, neper."""
    middle = float(np.median(center_sample(frame)))
    return math.log(max(middle, 0.5)) - math.log(exposure(frame))


def run_window(frame: Frame) -> DisplayWindow:
    """Return the display window (centre, width) of a run from its first LIN frame.

    For a level at `DISPLAY_OFFSET`. As wide as the middle 96 % of the centre of the field and a tenth more,
    in steps of a quarter neper so that the same view gives the same window, from 1.5 to 4 neper; centred
    within half a neper of the level.
    """
    logs = LOG_TABLE[center_sample(frame)]
    low, middle, high = np.percentile(logs, (2.0, 50.0, 98.0))
    steps = math.ceil(1.1 * float(high - low) / WINDOW_STEP_NEPER)
    width = min(max(steps * WINDOW_STEP_NEPER, NARROWEST_NEPER), WIDEST_NEPER)
    shift = float((low + high) / 2.0 - middle)
    shift = min(max(round(shift / WINDOW_STEP_NEPER) * WINDOW_STEP_NEPER, -0.5), 0.5)
    return (DISPLAY_OFFSET + DISPLAY_GAIN * shift, DISPLAY_GAIN * width)


def linear_window_on_display(window: DisplayWindow, frame: Frame, level: float) -> DisplayWindow | None:
    """Return the DISP window that shows a LIN frame most like ``window``, in its LIN values, would; None if none.

    The grey and the contrast at the window's centre c stay: there the width w is a slope of c / w greys per
    neper. Away from it the logarithm shows dark parts darker and bright parts less bright. A window around 0 or
    less has no place on a logarithm.
    """
    center, width = window
    if not center > 0.0:
        return None
    neper = math.log(center / exposure(frame)) - level
    return (DISPLAY_OFFSET + DISPLAY_GAIN * neper, max(DISPLAY_GAIN * width / center, 1.0))


def recorded_window(frame: Frame) -> DisplayWindow:
    """Return the window of a recorded LOG or DISP frame: all of 8, 10, 12 or 16 bit, whichever holds it."""
    brightest = int(frame.pixels.max())
    bits = next(bits for bits in (8, 10, 12, 16) if brightest < 2**bits)
    return ((2**bits - 1) / 2.0, float(2**bits))


def same_view(one: Frame, other: Frame) -> bool:
    """Whether two frames show the same place: pose, table, pixels, mode, filter and, within 5 kV, beam."""
    if one.pixels.shape != other.pixels.shape or one.pitch_mm != other.pitch_mm:
        return False
    if one.pose != other.pose or one.table != other.table or exposure_basis(one) != exposure_basis(other):
        return False
    if one.technique is None or other.technique is None:
        return one.technique is other.technique
    return (
        one.technique.filtration == other.technique.filtration
        and one.technique.mode is other.technique.mode
        and abs(one.technique.tube_voltage_kv - other.technique.tube_voltage_kv) <= KV_TOLERANCE
    )


def block_means(frame: Frame, field: FieldRectangle) -> NDArray[np.float32]:
    """Return means of ``LIN / exposure`` over the whole blocks of 4 × 4 pixels inside the field."""
    top, bottom, left, right = field
    # Whole tiles of 16 pixels, so that `content_moved` can gather the blocks of a tile.
    rows, columns = (bottom - top) // TILE_PX, (right - left) // TILE_PX
    means = np.empty((rows * TILE_BLOCKS, columns * TILE_BLOCKS), dtype=np.float32)
    block_sums(frame.pixels, top, left, means)
    means /= np.float32(BLOCK_PX**2 * exposure(frame))
    return means


def content_moved(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether something moved between two pictures of the same view, from their `block_means`.

    Squared relative differences of blocks times their brightness, which quantum noise makes alike in all,
    over what noise gives (told from the quieter half of the blocks in each quarter of the brightness, and
    not less than half of that in the next darker quarter: saturated pixels have no noise) are averaged over
    tiles of 4 × 4 blocks. Noise alone gives χ²₁₆ / 16 per tile, which passes `MOTION_LIMIT` about once in
    two million tiles.
    """
    if one.size < 16 * TILE_BLOCKS**2:
        return False
    brightness = np.maximum(one + other, np.float32(1e-12))
    difference = (one - other) / brightness
    # Statistics from a part of the blocks: this runs between release and hold.
    part = (slice(None, None, 3), slice(None, None, 3)) if one.size > MANY_BLOCKS else (slice(None),) * 2
    difference -= np.median(difference[part])
    quantum = difference * difference * brightness
    edges = np.percentile(brightness[part], (25.0, 50.0, 75.0)).astype(np.float32)
    quarter = sum((brightness > edge).astype(np.intp) for edge in edges)
    noise = np.zeros(4, dtype=np.float32)
    for q in range(4):
        inside = quantum[part][quarter[part] == q]
        noise[q] = np.median(inside) if inside.size else 0.0
        noise[q] = max(noise[q], 0.5 * noise[q - 1] if q else 0.0)
    # The median of χ² of one degree of freedom is 0.455.
    relative = quantum / (noise / np.float32(0.455) + np.float32(1e-12))[quarter]
    rows, columns = one.shape[0] // TILE_BLOCKS, one.shape[1] // TILE_BLOCKS
    tiles = relative.reshape(rows, TILE_BLOCKS, columns, TILE_BLOCKS).mean(axis=(1, 3))
    return bool(tiles.max() > MOTION_LIMIT)


def average_display(
    frames: list[Frame], level: float, state: NDArray[np.float32], field: FieldRectangle
) -> NDArray[np.uint16]:
    """Return the DISP picture of the mean log of ``frames`` at ``level``; ``state`` is written over."""
    display = np.empty(frames[0].pixels.shape, dtype=np.uint16)
    scale = display_scale(level)
    for count, frame in enumerate(frames, start=1):
        log_filter_display(
            frame.pixels,
            math.log(exposure(frame)),
            1.0 / count,
            0.0,
            scale,
            field,
            state,
            display,
        )
    return display


def display_scale(level: float) -> NDArray[np.float32]:
    """Return (offset, gain) that puts ``level``, neper, at `DISPLAY_OFFSET`."""
    return np.array([DISPLAY_OFFSET - DISPLAY_GAIN * level, DISPLAY_GAIN], dtype=np.float32)
