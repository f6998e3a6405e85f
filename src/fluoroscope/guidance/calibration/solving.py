"""A beam out of points in space and their pixels: linear start, then least squares of the pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.projection import ProjectionGeometry

__all__ = ["Beam", "BeamFit", "fit_beam", "linear_beam", "pixels_of"]

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Beam:
    """A pinhole with square pixels: ``pixel_from_world = K · axes · [1 | −source]``.

    Attributes
    ----------
    source_mm
        (3,).
    axes
        (3, 3) rows: along growing rows (v), along growing columns (u), to the detector (d).
    focal_px
        Source to detector over pixel pitch.
    principal_px
        (row, column) where the central ray meets the detector.
    """

    source_mm: Float
    axes: Float
    focal_px: float
    principal_px: Float

    @classmethod
    def of(cls, geometry: ProjectionGeometry) -> "Beam":
        """Return the parts of a projection."""
        d = geometry.pixel_from_world[2, :3]
        principal = geometry.pixel_from_world[:2, :3] @ d
        across = geometry.pixel_from_world[:2, :3] - np.outer(principal, d)
        focal = float(np.linalg.norm(across, axis=1).mean())
        return cls(geometry.source_mm.copy(), np.stack([*(across / focal), d]), focal, principal)

    def geometry(self, grid: DetectorGrid) -> ProjectionGeometry:
        """Return it as a projection onto a grid."""
        matrix = np.empty((3, 4))
        inner = np.diag([self.focal_px, self.focal_px, 1.0])
        inner[:2, 2] = self.principal_px
        matrix[:, :3] = inner @ self.axes
        matrix[:, 3] = -matrix[:, :3] @ self.source_mm
        return ProjectionGeometry(matrix, self.source_mm.copy(), self.focal_px * grid.pitch_mm, grid)


@dataclass(frozen=True, slots=True)
class BeamFit:
    """A fitted beam.

    Attributes
    ----------
    beam
        The best.
    covariance
        Of turn (3, radians, about the world's axes), source (3, mm), and where fitted focal length and principal
        point (3, px), for 1 px of error at each pixel's row and column.
    """

    beam: Beam
    covariance: Float


def pixels_of(beam: Beam, points_mm: Float) -> Float:
    """Return (row, column) of points (n, 3)."""
    away = (points_mm - beam.source_mm) @ beam.axes.T
    pixels: Float = beam.focal_px * away[:, :2] / np.maximum(away[:, 2:], 1e-6) + beam.principal_px
    return pixels


def linear_beam(points_mm: Float, pixels: Float) -> Beam | None:
    """Return the beam of 6 or more points by the direct linear transformation; None for points that do not do.

    Points and pixels are first centred and scaled (Hartley). Of the five inner numbers the skew is dropped and the two
    focal lengths are averaged.
    """
    if len(points_mm) < 6:
        return None
    middle, size = points_mm.mean(axis=0), float(np.std(points_mm))
    center, scale = pixels.mean(axis=0), float(np.std(pixels))
    x = np.concatenate([(points_mm - middle) / size, np.ones((len(points_mm), 1))], axis=1)
    u = (pixels - center) / scale
    rows = np.zeros((2 * len(x), 12))
    rows[0::2, 0:4], rows[0::2, 8:12] = x, -u[:, :1] * x
    rows[1::2, 4:8], rows[1::2, 8:12] = x, -u[:, 1:] * x
    _, singular, turned = np.linalg.svd(rows)
    if singular[-2] < 1e-6 * singular[0]:
        return None
    matrix = turned[-1].reshape(3, 4)
    back = np.diag([scale, scale, 1.0])
    back[:2, 2] = center
    world = np.eye(4)
    world[:3, :3] /= size
    world[:3, 3] = -middle / size
    matrix = back @ matrix @ world
    matrix = matrix / np.linalg.norm(matrix[2, :3])
    if float(np.median(matrix[2] @ np.concatenate([points_mm, np.ones((len(x), 1))], axis=1).T)) < 0.0:
        matrix = -matrix
    if np.linalg.det(matrix[:, :3]) <= 0.0:
        return None
    from scipy.linalg import rq

    inner, axes = rq(matrix[:, :3])
    signs = np.sign(np.diag(inner))
    inner, axes = inner * signs, signs[:, None] * axes
    inner = inner / inner[2, 2]
    source = -np.linalg.solve(matrix[:, :3], matrix[:, 3])
    return Beam(source, axes, float(0.5 * (inner[0, 0] + inner[1, 1])), inner[:2, 2].copy())


def fit_beam(points_mm: Float, pixels: Float, start: Beam, *, intrinsics: bool, most: int = 100) -> BeamFit:
    """Return the beam whose pixels lie nearest to those seen (Levenberg-Marquardt).

    Parameters
    ----------
    points_mm, pixels
        (n, 3) and (n, 2), matched.
    start
        Where to begin.
    intrinsics
        Whether distance to the detector and principal point are fitted too; else those of ``start`` stay.
    most
        Steps at most.
    """
    beam, count = start, 9 if intrinsics else 6
    damping, cost = 1e-3, _cost(beam, points_mm, pixels)
    slopes = np.zeros((2 * len(points_mm), count))
    for _ in range(most):
        slopes = _slopes(beam, points_mm, intrinsics=intrinsics)
        away = (pixels - pixels_of(beam, points_mm)).ravel()
        normal, right = slopes.T @ slopes, slopes.T @ away
        for _ in range(8):
            damped = normal + damping * np.diag(np.diag(normal) + 1e-12)
            step = np.asarray(np.linalg.solve(damped, right), dtype=np.float64)
            tried = _stepped(beam, step)
            new = _cost(tried, points_mm, pixels)
            if new <= cost:
                break
            damping *= 10.0
        else:
            break
        done = cost - new <= 1e-12 * max(cost, 1e-12)
        beam, cost, damping = tried, new, max(damping / 10.0, 1e-12)
        if done:
            break
    return BeamFit(beam, np.asarray(np.linalg.pinv(slopes.T @ slopes), dtype=np.float64))


def _cost(beam: Beam, points_mm: Float, pixels: Float) -> float:
    return float(((pixels - pixels_of(beam, points_mm)) ** 2).sum())


def _stepped(beam: Beam, step: Float) -> Beam:
    from scipy.spatial.transform import Rotation

    # The axes turn about the points' world: rows are world vectors, so they turn from the right.
    axes = beam.axes @ Rotation.from_rotvec(step[:3]).as_matrix().T
    focal, principal = beam.focal_px, beam.principal_px
    if len(step) == 9:
        focal, principal = max(focal + step[6], 1.0), principal + step[7:9]
    return Beam(beam.source_mm + step[3:6], axes, float(focal), principal)


def _slopes(beam: Beam, points_mm: Float, *, intrinsics: bool) -> Float:
    """Return (2n, 6 or 9): rows and columns of each point by turn, source, focal length and principal point."""
    away = points_mm - beam.source_mm
    seen = away @ beam.axes.T
    depth = seen[:, 2]
    # Row of pixels by the three camera coordinates.
    by_seen = np.zeros((len(away), 2, 3))
    by_seen[:, 0, 0] = by_seen[:, 1, 1] = beam.focal_px / depth
    by_seen[:, :, 2] = -beam.focal_px * seen[:, :2] / depth[:, None] ** 2
    # Turning the axes by ω moves a point by −ω × away in the camera: the same as + away × ω.
    cross = np.zeros((len(away), 3, 3))
    cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -away[:, 2], away[:, 1], -away[:, 0]
    cross = cross - np.swapaxes(cross, 1, 2)
    by_turn = np.einsum("nij,jk,nkl->nil", by_seen, beam.axes, cross)
    by_source = -np.einsum("nij,jk->nik", by_seen, beam.axes)
    parts = [by_turn, by_source]
    if intrinsics:
        by_inner = np.zeros((len(away), 2, 3))
        by_inner[:, :, 0] = seen[:, :2] / depth[:, None]
        by_inner[:, 0, 1] = by_inner[:, 1, 2] = 1.0
        parts.append(by_inner)
    return np.concatenate(parts, axis=2).reshape(2 * len(away), -1)
