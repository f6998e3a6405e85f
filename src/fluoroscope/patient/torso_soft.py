"""Soft tissue of the built-in torso: skin, fat, muscle, organs, bowel with gas."""

import itertools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.anatomy.solids import Canvas, Solid, capsule, ellipsoid, offset

__all__ = ["BOWEL_SEED", "paint_soft_tissue"]

BOWEL_SEED = 20
_FAT_HU, _MUSCLE_HU, _LUNG_HU, _GAS_HU = -100.0, 55.0, -830.0, -960.0
_MIDDLE_Y_MM = -22.0
_EXPONENT = 2.5
# Height, half width, half depth of the skin.
_OUTLINE = np.array(
    [
        [-220.0, 178.0, 118.0],
        [-160.0, 180.0, 122.0],
        [-100.0, 168.0, 118.0],
        [-20.0, 156.0, 107.0],
        [60.0, 154.0, 108.0],
        [180.0, 158.0, 112.0],
    ]
)


def paint_soft_tissue(canvas: Canvas, spine_mm: Mapping[str, NDArray[np.float64]]) -> None:
    """Paint everything but bone and discs.

    Parameters
    ----------
    canvas
        Filled with air.
    spine_mm
        Centre of every vertebral body and of S1 by name, LPS mm.
    """
    _paint_trunk(canvas)
    _paint_organs(canvas)
    _paint_bowel(canvas)
    _paint_spinal_muscles(canvas, spine_mm)
    _paint_vessels(canvas, spine_mm)


def _paint_trunk(canvas: Canvas) -> None:
    """Skin, fat, abdominal wall and visceral fat with its strands, plane by plane."""
    planes, rows, columns = canvas.hu.shape
    pitch = canvas.pitch_mm
    x = canvas.origin_mm[0] + pitch * np.arange(columns)
    y = canvas.origin_mm[1] + pitch * np.arange(rows) - _MIDDLE_Y_MM
    strands = _strands(canvas.hu.shape, pitch)
    for plane in range(planes):
        z = canvas.origin_mm[2] + plane * pitch
        half_x, half_y = (float(np.interp(z, _OUTLINE[:, 0], _OUTLINE[:, n])) for n in (1, 2))
        # The furrow over the spinous processes.
        furrow = 9.0 * np.exp(-((x / 22.0) ** 2)) * np.exp(-(((z + 10.0) / 90.0) ** 2))
        slope = np.clip(y[:, np.newaxis] / half_y, 0.0, 1.0)
        radius = (np.abs(x[np.newaxis] / half_x) ** _EXPONENT + np.abs(y[:, np.newaxis] / half_y) ** _EXPONENT) ** (
            1.0 / _EXPONENT
        )
        depth = (1.0 - radius) * min(half_x, half_y) * 1.05 - furrow[np.newaxis] * slope
        value = np.full((rows, columns), -1000.0)
        fat_mm = 17.0 + 5.0 * np.clip(-z / 150.0, 0.0, 1.0)
        for start, hu in ((0.0, 40.0), (2.0, _FAT_HU), (fat_mm, _MUSCLE_HU)):
            value += np.clip((depth - start) / pitch + 0.5, 0.0, 1.0) * (hu - value)
        inside = np.clip((depth - fat_mm - 16.0) / pitch + 0.5, 0.0, 1.0)
        value += inside * (strands[plane] - value)
        canvas.hu[plane] = value


def _strands(shape: tuple[int, ...], pitch_mm: float) -> NDArray[np.float32]:
    """Visceral fat mixed with mesentery and collapsed bowel: smooth noise at about 14 mm, −100 to 40 HU."""
    from scipy import ndimage

    random = np.random.default_rng(BOWEL_SEED)
    coarse = [max(4, int(np.ceil(n * pitch_mm / 14.0)) + 1) for n in shape]
    grid = random.normal(0.0, 1.0, coarse).astype(np.float32)
    zoom = [n / m for n, m in zip(shape, coarse, strict=True)]
    smooth = ndimage.zoom(grid, zoom, order=1, mode="nearest", grid_mode=True)
    mixed: NDArray[np.float32] = np.clip(0.5 + 0.9 * smooth, 0.0, 1.0) * np.float32(140.0) + np.float32(_FAT_HU)
    return mixed


def _one(canvas: Canvas, shape: NDArray[np.float64], hu: float) -> None:
    canvas.paint(Solid(shape[np.newaxis], hu))


def _paint_organs(canvas: Canvas) -> None:
    for s in (-1.0, 1.0):
        _one(canvas, ellipsoid((s * 78.0, 2.0, 185.0), (52.0, 66.0, 62.0 if s > 0 else 52.0)), _LUNG_HU)
    _one(canvas, ellipsoid((-62.0, -32.0, 112.0), (72.0, 68.0, 66.0)), 58.0)
    _one(canvas, ellipsoid((98.0, 14.0, 118.0), (26.0, 36.0, 46.0)), 50.0)
    _one(canvas, ellipsoid((62.0, 16.0, 58.0), (24.0, 20.0, 54.0)), 34.0)
    _one(canvas, ellipsoid((-62.0, 17.0, 42.0), (25.0, 21.0, 54.0)), 34.0)
    _one(canvas, ellipsoid((0.0, -52.0, -175.0), (42.0, 36.0, 36.0)), 12.0)
    _one(canvas, ellipsoid((52.0, -66.0, 104.0), (40.0, 30.0, 36.0)), 35.0)
    _one(canvas, ellipsoid((56.0, -84.0, 112.0), (30.0, 14.0, 22.0)), _GAS_HU)


def _paint_bowel(canvas: Canvas) -> None:
    """Colon as a frame of lumps with gas and stool, small bowel as loops in its middle."""
    random = np.random.default_rng(BOWEL_SEED)
    frame = [(-104.0, -18.0, -92.0), (-108.0, -14.0, -20.0), (-100.0, -24.0, 48.0), (-58.0, -76.0, 34.0)]
    frame += [(0.0, -86.0, 12.0), (58.0, -78.0, 40.0), (104.0, -16.0, 66.0), (110.0, -6.0, 0.0)]
    frame += [(104.0, -10.0, -70.0), (58.0, -34.0, -124.0), (8.0, 22.0, -166.0)]
    path = np.array(frame)
    at = np.linspace(0.0, len(path) - 1.0, 64)
    centers = np.stack([np.interp(at, np.arange(len(path)), path[:, i]) for i in range(3)], axis=1)
    for center in centers:
        radius = random.uniform(13.0, 18.0)
        jitter = random.normal(0.0, 3.0, 3)
        _one(canvas, ellipsoid(center + jitter, (radius, radius, radius)), 25.0)
        if random.random() < 0.55:
            size = radius * random.uniform(0.35, 0.8)
            gas = center + jitter + offset(0.0, -0.35 * radius, 0.0)
            _one(canvas, ellipsoid(gas, (size, size * 0.75, size * random.uniform(0.8, 1.3))), _GAS_HU)
        else:
            _one(canvas, ellipsoid(center + jitter, (radius * 0.7,) * 3), random.uniform(-250.0, 40.0))
    for _ in range(60):
        center = np.array([random.uniform(-75, 75), random.uniform(-84, -34), random.uniform(-125, 20)])
        end = center + random.normal(0.0, 18.0, 3)
        _one(canvas, capsule(center, end, 11.0), 30.0)
        if random.random() < 0.22:
            _one(
                canvas,
                capsule(center + offset(0, -3, 0), (center + end) / 2 + offset(0, -3, 0), 6.0),
                _GAS_HU,
            )


def _paint_spinal_muscles(canvas: Canvas, spine_mm: Mapping[str, NDArray[np.float64]]) -> None:
    order = [name for name in ("T9", "T10", "T11", "T12", "L1", "L2", "L3", "L4", "L5", "S1") if name in spine_mm]
    for s in (-1.0, 1.0):
        back = []
        for upper, lower in itertools.pairwise(order):
            a, b = spine_mm[upper], spine_mm[lower]
            back.append(
                capsule(
                    a + offset(s * 27.0, 42.0, 0.0),
                    b + offset(s * 27.0, 42.0, 0.0),
                    18.0,
                    stretch=(1.35, 1.0, 1.0),
                )
            )
        canvas.paint(Solid(np.array(back), _MUSCLE_HU, joint_mm=3.0))
        l1, l3, l5 = spine_mm["L1"], spine_mm["L3"], spine_mm["L5"]
        psoas = [
            capsule(l1 + offset(s * 28.0, 6.0, 0.0), l3 + offset(s * 40.0, 4.0, 0.0), 8.0, 17.0),
            capsule(l3 + offset(s * 40.0, 4.0, 0.0), l5 + offset(s * 52.0, -2.0, 0.0), 17.0, 22.0),
            capsule(l5 + offset(s * 52.0, -2.0, 0.0), (s * 88.0, -58.0, -215.0), 22.0, 20.0),
        ]
        canvas.paint(Solid(np.array(psoas), _MUSCLE_HU + 5.0, joint_mm=4.0))
        flank = capsule(
            l1 + offset(s * 66.0, 28.0, 0.0), l5 + offset(s * 84.0, 34.0, 10.0), 13.0, stretch=(1.5, 0.8, 1.0)
        )
        _one(canvas, flank, _MUSCLE_HU)
        _one(canvas, ellipsoid((s * 82.0, 44.0, -176.0), (58.0, 30.0, 84.0)), _MUSCLE_HU)
        _one(canvas, ellipsoid((s * 104.0, 8.0, -110.0), (22.0, 48.0, 60.0)), _MUSCLE_HU)


def _paint_vessels(canvas: Canvas, spine_mm: Mapping[str, NDArray[np.float64]]) -> None:
    top, fork = spine_mm["T9"], spine_mm["L4"]
    _one(canvas, capsule(top + offset(10.0, -28.0, 0.0), fork + offset(7.0, -28.0, 0.0), 10.5, 8.5), 45.0)
    _one(canvas, capsule(top + offset(-18.0, -30.0, 0.0), fork + offset(-14.0, -28.0, 0.0), 10.5), 45.0)
    for s in (-1.0, 1.0):
        _one(canvas, capsule(fork + offset(0.0, -28.0, 0.0), (s * 70.0, -70.0, -200.0), 6.5), 45.0)
