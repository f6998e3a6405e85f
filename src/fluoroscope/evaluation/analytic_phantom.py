"""A torso of ellipsoids and cylinders whose chords are known exactly, and the CT it would give.

Values add where solids overlap, so a line integral is the sum of (value · chord) over the solids: exact, whatever the
view. Sizes go down to a wire of 0.8 mm diameter, so that voxels, not the projector, limit what a CT of it can show.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.projection import ProjectionGeometry
from fluoroscope.patient.volume import BasisVolume, Volume

__all__ = ["AnalyticPhantom", "Solid", "torso_phantom"]

Float = NDArray[np.float64]
SUBDIVISIONS = 4
"""Points per axis at which a voxel cut by a surface is tested."""


@dataclass(frozen=True, slots=True)
class Solid:
    """An ellipsoid, or an elliptic cylinder with flat ends along its own third axis.

    Attributes
    ----------
    center_mm
        (3,), world.
    axes
        (3, 3) rotation whose columns are the solid's own axes in the world.
    semi_axes_mm
        (3,) radii; the third is a cylinder's half length.
    value
        Added inside, 1000 = water; bone-like solids count as bone in `AnalyticPhantom.voxelise_basis`.
    """

    center_mm: Float
    axes: Float
    semi_axes_mm: Float
    value: float
    cylinder: bool = False
    bone: bool = False

    @property
    def unit_from_world(self) -> Float:
        """(3, 3): world offset from the centre to coordinates in which the solid's radii are 1."""
        matrix: Float = self.axes.T / self.semi_axes_mm[:, None]
        return matrix

    def chords(self, source_mm: Float, rays: Float) -> Float:
        """Return the exact chord in mm of rays (..., 3) from ``source_mm``; rays need no unit length."""
        p = self.unit_from_world @ (source_mm - self.center_mm)
        d = rays @ self.unit_from_world.T
        round_axes = 2 if self.cylinder else 3
        a = np.einsum("...i,...i->...", d[..., :round_axes], d[..., :round_axes])
        b = d[..., :round_axes] @ p[:round_axes]
        c = float(p[:round_axes] @ p[:round_axes]) - 1.0
        a = np.maximum(a, 1e-300)
        root = np.sqrt(np.maximum(b * b - a * c, 0.0))
        near, far = (-b - root) / a, (-b + root) / a
        if self.cylinder:
            along = np.where(d[..., 2] == 0.0, 1e-300, d[..., 2])
            one, two = (-1.0 - p[2]) / along, (1.0 - p[2]) / along
            near, far = np.maximum(near, np.minimum(one, two)), np.minimum(far, np.maximum(one, two))
        near = np.maximum(near, 0.0)
        length: Float = np.maximum(far - near, 0.0) * np.linalg.norm(rays, axis=-1)
        return length


@dataclass(frozen=True, slots=True)
class AnalyticPhantom:
    """Solids, and what they give as chords and as voxels."""

    solids: tuple[Solid, ...]

    def chords(self, geometry: ProjectionGeometry, *, bone: bool | None = None) -> Float:
        """Return exact line integrals, value·mm, (rows, columns); only the bone or the other solids when asked."""
        grid = geometry.grid
        picture = np.zeros((grid.rows, grid.columns))
        direction = geometry.direction_from_pixel
        for solid in self.solids:
            if bone is not None and solid.bone != bone:
                continue
            r0, r1, c0, c1 = shadow(solid, geometry)
            if r0 >= r1 or c0 >= c1:
                continue
            r, c = np.mgrid[r0:r1, c0:c1].astype(np.float64)
            rays = np.stack([r, c, np.ones_like(r)], axis=-1) @ direction.T
            picture[r0:r1, c0:c1] += solid.value * solid.chords(geometry.source_mm, rays)
        return picture

    def voxelise(
        self, shape: tuple[int, int, int] = (400, 512, 512), spacing_mm: tuple[float, float, float] = (1.0, 0.8, 0.8)
    ) -> Volume:
        """Return the CT: int16, axes to the head, back and left, centred on the origin, edges averaged."""
        affine = centered_affine(shape, spacing_mm)
        return Volume(self._fill(self.solids, shape, spacing_mm), affine)

    def voxelise_basis(
        self, shape: tuple[int, int, int] = (400, 512, 512), spacing_mm: tuple[float, float, float] = (1.0, 0.8, 0.8)
    ) -> BasisVolume:
        """Return the same as two materials: the bone solids' values are bone, the rest water."""
        affine = centered_affine(shape, spacing_mm)
        soft = self._fill([s for s in self.solids if not s.bone], shape, spacing_mm)
        bone = self._fill([s for s in self.solids if s.bone], shape, spacing_mm)
        return BasisVolume(np.maximum(soft, 0, out=soft), np.maximum(bone, 0, out=bone), affine)

    def _fill(
        self,
        solids: "tuple[Solid, ...] | list[Solid]",
        shape: tuple[int, int, int],
        spacing: tuple[float, float, float],
    ) -> NDArray[np.int16]:
        total = np.zeros(shape, np.float32)
        for solid in solids:
            add_solid(total, solid, np.asarray(spacing, dtype=np.float64))
        return np.rint(total, out=total).astype(np.int16)


def centered_affine(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> Float:
    """World from index with the volume's centre at the origin; index axes run to z, y, x."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2] = spacing_mm
    affine[:3, 3] = -affine[:3, :3] @ ((np.asarray(shape) - 1.0) / 2.0)
    affine[3, 3] = 1.0
    return affine


def shadow(solid: Solid, geometry: ProjectionGeometry) -> tuple[int, int, int, int]:
    """Rows and columns a solid can fall on: first and one past last."""
    grid = geometry.grid
    half = solid.axes * solid.semi_axes_mm
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) @ half.T + solid.center_mm
    seen = corners @ geometry.pixel_from_world[:, :3].T + geometry.pixel_from_world[:, 3]
    if seen[:, 2].min() <= 0.0:
        return 0, grid.rows, 0, grid.columns
    rows, columns = seen[:, 0] / seen[:, 2], seen[:, 1] / seen[:, 2]
    return (
        max(0, int(np.floor(rows.min()))),
        min(grid.rows, int(np.ceil(rows.max())) + 1),
        max(0, int(np.floor(columns.min()))),
        min(grid.columns, int(np.ceil(columns.max())) + 1),
    )


def add_solid(total: NDArray[np.float32], solid: Solid, spacing: Float) -> None:
    """Add one solid to the voxels (z, y, x): centres well inside count whole, voxels near the surface are divided."""
    middle = (np.asarray(total.shape) - 1.0) / 2.0
    reach = (
        np.linalg.norm(solid.axes * solid.semi_axes_mm, axis=1)
        if not solid.cylinder
        else np.abs(solid.axes * solid.semi_axes_mm).sum(axis=1)
    )
    center = solid.center_mm[::-1] / spacing + middle
    low = np.maximum(np.floor(center - reach[::-1] / spacing - 1.0), 0).astype(int)
    high = np.minimum(np.ceil(center + reach[::-1] / spacing + 2.0), total.shape).astype(int)
    if (low >= high).any():
        return
    matrix = solid.unit_from_world
    margin = 0.5 * float((np.abs(matrix) @ spacing[::-1]).max()) * np.sqrt(3.0)
    y = (np.arange(low[1], high[1]) - middle[1]) * spacing[1] - solid.center_mm[1]
    x = (np.arange(low[2], high[2]) - middle[2]) * spacing[2] - solid.center_mm[0]
    steps = (np.arange(SUBDIVISIONS) + 0.5) / SUBDIVISIONS - 0.5
    fine = np.stack(np.meshgrid(steps * spacing[2], steps * spacing[1], steps * spacing[0]), -1).reshape(-1, 3)
    offsets = (fine @ matrix.T).astype(np.float32)
    for slab in range(low[0], high[0]):
        z = (slab - middle[0]) * spacing[0] - solid.center_mm[2]
        p = [(m[1] * y + m[2] * z).astype(np.float32)[:, None] + (m[0] * x).astype(np.float32)[None, :] for m in matrix]
        size = radius(p[0], p[1], p[2], solid.cylinder)
        plane = total[slab, low[1] : high[1], low[2] : high[2]]
        plane += (size <= 1.0 - margin) * np.float32(solid.value)
        edge = np.nonzero((size > 1.0 - margin) & (size < 1.0 + margin))
        if len(edge[0]):
            q = [part[edge][:, None] + offsets[None, :, n] for n, part in enumerate(p)]
            plane[edge] += (radius(q[0], q[1], q[2], solid.cylinder) <= 1.0).mean(axis=1) * np.float32(solid.value)


def radius(
    x: NDArray[np.float32], y: NDArray[np.float32], z: NDArray[np.float32], cylinder: bool
) -> NDArray[np.float32]:
    """Distance from the centre in units of the surface's."""
    across = x * x + y * y
    size: NDArray[np.float32] = np.maximum(np.sqrt(across), np.abs(z)) if cylinder else np.sqrt(across + z * z)
    return size


def turn(rng: np.random.Generator, most_deg: float) -> Float:
    """Return a rotation by up to ``most_deg`` about a random axis."""
    axis = rng.normal(size=3)
    return rotation_onto(axis / np.linalg.norm(axis), np.deg2rad(rng.uniform(-most_deg, most_deg)))


def rotation_onto(axis: Float, angle: float) -> Float:
    """Rodrigues' rotation, (3, 3)."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    matrix: Float = np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * (cross @ cross)
    return matrix


def torso_phantom(seed: int = 0) -> AnalyticPhantom:
    """Return a torso: 88 solids in a body of 330 × 220 × 380 mm, jittered by ``seed``.

    Body, lungs, heart, liver, kidneys, vessels, eleven vertebrae of six solids, ten ribs, needles and wires down to
    0.8 mm diameter, and beads.
    """
    rng = np.random.default_rng(seed)
    solids: list[Solid] = []

    def put(center: tuple[float, float, float], radii: tuple[float, float, float], value: float,
            *, cylinder: bool = False, bone: bool = False, tilt_deg: float = 8.0) -> None:  # fmt: skip
        at = np.asarray(center) + rng.uniform(-1.0, 1.0, 3)
        solids.append(Solid(at, turn(rng, tilt_deg), np.asarray(radii, dtype=np.float64), value, cylinder, bone))

    put((0, 0, 0), (165, 108, 188), 1000, tilt_deg=1.0)
    put((-72, -8, 62), (50, 62, 78), -640)
    put((70, -8, 62), (46, 60, 76), -640)
    put((20, -35, 45), (24, 30, 36), 40)
    put((-60, -15, -40), (45, 50, 34), 60)
    put((-55, 40, -75), (22, 18, 45), 40)
    put((55, 40, -70), (22, 18, 45), 40)
    put((6, 25, 0), (11, 11, 150), 55, cylinder=True, tilt_deg=3.0)
    for n in range(11):
        z = -155.0 + 31.0 * n
        put((0, 55, z), (21, 15, 11.5), 320, cylinder=True, bone=True)
        put((0, 55, z + 12.5), (20, 14.5, 0.9), 620, cylinder=True, bone=True, tilt_deg=3.0)
        put((-14, 74, z), (4, 9, 6), 520, bone=True)
        put((14, 74, z), (4, 9, 6), 520, bone=True)
        put((0, 92, z - 6), (3, 14, 8), 480, bone=True)
        put((0, 80, z - 4), (26, 4, 5), 420, bone=True)
    for n in range(5):
        for side in (-1.0, 1.0):
            put((side * 88, 20, 130.0 - 24.0 * n), (5.0, 62, 4.0), 560, bone=True, tilt_deg=12.0)
    for n, across in enumerate((0.4, 0.45, 0.6, 0.8)):
        put((30.0 * n - 45.0, 60, -90.0 + 30.0 * n), (across, across, 45), 9000 / (n + 1), cylinder=True, tilt_deg=80.0)
    return AnalyticPhantom(tuple(solids))
