"""Which bead is which spot, the phantom lying roughly as its marks say."""

import itertools

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.projection import ProjectionGeometry, project_points
from fluoroscope.guidance.calibration.solving import Beam, fit_beam, pixels_of

__all__ = ["identify", "nearest_pairs"]

Float = NDArray[np.float64]
Index = NDArray[np.int64]
TURNS_DEG = (-16.0, -12.0, -8.0, -4.0, 0.0, 4.0, 8.0, 12.0, 16.0)
SCALES = (0.92, 1.0, 1.08)
BIN_PX = 16.0
BEST = 40
TOLERANCES_PX = (45.0, 25.0, 14.0, 9.0, 7.0)
"""Of assigning, step by step; the last still lets a wrong principal point and distance through."""


def identify(spots: Float, beads_mm: Float, nominal: ProjectionGeometry) -> tuple[Beam, Index]:
    """Return the beam with the phantom's pose fitted, and for each spot its bead, −1 for none.

    Every turn of the phantom up to 16° and change of scale up to 8 % votes for the shift that brings most beads onto
    spots; the best shifts are refined by assigning and fitting in turn.

    Parameters
    ----------
    spots
        (m, 2) (row, column).
    beads_mm
        (n, 3) in the phantom.
    nominal
        The beam as the C-arm tells it, the phantom's frame as world.
    """
    best: tuple[int, float, Beam, Index] | None = None
    enough = min(len(spots), len(beads_mm))
    for turn, scale, shift in _candidates(spots, beads_mm, nominal):
        beam = _moved(Beam.of(nominal), turn, scale, shift)
        beam, assigned, error = _settled(beam, spots, beads_mm)
        count = int((assigned >= 0).sum())
        if best is None or (count, -error) > (best[0], -best[1]):
            best = (count, error, beam, assigned)
            if count >= 0.9 * enough and error < 2.5:
                break
    if best is None:
        return Beam.of(nominal), np.full(len(spots), -1)
    return best[2], best[3]


def nearest_pairs(spots: Float, predicted: Float, within_px: float) -> Index:
    """Return for each spot the bead whose pixel is nearest, both ways and within a distance; −1 for none."""
    if not len(spots) or not len(predicted):
        return np.full(len(spots), -1)
    apart = np.linalg.norm(spots[:, None] - predicted[None], axis=2)
    to_bead, to_spot = apart.argmin(axis=1), apart.argmin(axis=0)
    mutual = (to_spot[to_bead] == np.arange(len(spots))) & (apart.min(axis=1) <= within_px)
    return np.where(mutual, to_bead, -1)


def _candidates(spots: Float, beads_mm: Float, nominal: ProjectionGeometry) -> list[tuple[Float, float, Float]]:
    """Return the likeliest (turn as rotation vector, scale, shift in px), most beads first."""
    from scipy.spatial.transform import Rotation

    votes = []
    middle = project_points(nominal, np.zeros(3))
    for angles in itertools.product(TURNS_DEG, repeat=3):
        vector = np.deg2rad(angles)
        pixels = project_points(nominal, beads_mm @ Rotation.from_rotvec(vector).as_matrix().T)
        for scale in SCALES:
            away = (spots[:, None] - (middle + scale * (pixels - middle))[None]).reshape(-1, 2)
            count, shift = _densest(away)
            votes.append((count, vector, scale, shift))
    votes.sort(key=lambda one: (-one[0], float(np.abs(one[1]).sum())))
    return [(vector, scale, shift) for _, vector, scale, shift in votes[:BEST]]


def _densest(away: Float) -> tuple[int, Float]:
    """Return how many differences fall in the fullest of bins that overlap by half, and their mean."""
    cells = np.floor(away / BIN_PX).astype(np.int64)
    cells -= cells.min(axis=0)
    width = int(cells[:, 1].max()) + 2
    counts = np.bincount(cells[:, 0] * width + cells[:, 1], minlength=(int(cells[:, 0].max()) + 2) * width)
    table = counts.reshape(-1, width)
    blocks = table[:-1, :-1] + table[1:, :-1] + table[:-1, 1:] + table[1:, 1:]
    row, column = np.unravel_index(int(blocks.argmax()), blocks.shape)
    inside = (cells[:, 0] >= row) & (cells[:, 0] <= row + 1) & (cells[:, 1] >= column) & (cells[:, 1] <= column + 1)
    return int(blocks[row, column]), np.asarray(away[inside].mean(axis=0), dtype=np.float64)


def _moved(beam: Beam, turn: Float, scale: float, shift_px: Float) -> Beam:
    """Return the beam as seen by a phantom turned, brought nearer and shifted so that it looks as asked."""
    from scipy.spatial.transform import Rotation

    rotation = Rotation.from_rotvec(turn).as_matrix()
    here = -beam.axes @ beam.source_mm
    nearer = float(here[2]) / scale
    wanted = pixels_of(beam, np.zeros((1, 3)))[0] + shift_px - beam.principal_px
    # A phantom turned by R and moved by t sees the beam turned back and moved back.
    moved = beam.axes.T @ (np.array([*(wanted / beam.focal_px), 1.0]) * nearer - here)
    source = rotation.T @ (beam.source_mm - moved)
    return Beam(source, beam.axes @ rotation, beam.focal_px, beam.principal_px)


def _settled(beam: Beam, spots: Float, beads_mm: Float) -> tuple[Beam, Index, float]:
    assigned = np.full(len(spots), -1)
    error = np.inf
    for within in TOLERANCES_PX:
        assigned = nearest_pairs(spots, pixels_of(beam, beads_mm), within)
        pairs = assigned >= 0
        if int(pairs.sum()) < 5:
            return beam, np.full(len(spots), -1), np.inf
        beam = fit_beam(beads_mm[assigned[pairs]], spots[pairs], beam, intrinsics=False, most=12).beam
        away = pixels_of(beam, beads_mm[assigned[pairs]]) - spots[pairs]
        error = float(np.sqrt((away**2).sum(axis=1).mean()))
    return beam, nearest_pairs(spots, pixels_of(beam, beads_mm), TOLERANCES_PX[-1]), error
