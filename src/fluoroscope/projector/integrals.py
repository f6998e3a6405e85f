"""Line integrals of voxel volumes onto a detector."""

import threading
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.projection import ProjectionGeometry
from fluoroscope.geometry.rigid import Matrix
from fluoroscope.patient.volume import BasisVolume, Volume
from fluoroscope.projector import kernels_plan as plan
from fluoroscope.projector.prepared import PreparedVolume, prepare
from fluoroscope.projector.reference import march_volume
from fluoroscope.projector.sharing import SharedLoop, cores
from fluoroscope.projector.simd import Level, vector_level

__all__ = ["Backend", "ProjectionRefusedError", "project"]

Backend = Literal["fast", "reference"]
PITCH = 0.75
MARCH_STEP_VOXEL = 0.5
"""Step of the general march the fast backend falls back on, voxels."""


class ProjectionRefusedError(ValueError):
    """A projection that cannot be computed rightly."""


class Workspace(threading.local):
    """Memory the kernels fill between one call and the next, one set per thread."""

    def __init__(self) -> None:
        self.image = np.zeros(0, np.float32)
        self.touched = np.zeros(0, np.uint8)
        self.whole = np.zeros((6, plan.JOB_WHOLE), np.int64)
        self.real = np.zeros((6, plan.JOB_REAL))

    def room(self, bodies: int) -> None:
        """Make the job tables large enough."""
        if len(self.whole) < 6 * bodies:
            self.whole = np.zeros((6 * bodies, plan.JOB_WHOLE), np.int64)
            self.real = np.zeros((6 * bodies, plan.JOB_REAL))


WORKSPACE = Workspace()


def kernels(level: Level) -> tuple[SharedLoop, SharedLoop]:
    """Return the two loops of a vector level: slopes and warp."""
    if level == "avx512":
        from fluoroscope.projector import kernels_avx512

        return kernels_avx512.slopes_avx512, kernels_avx512.warp_avx512
    if level == "avx2":
        from fluoroscope.projector import kernels_avx2

        return kernels_avx2.slopes_avx2, kernels_avx2.warp_avx2
    from fluoroscope.projector import kernels_plain

    return kernels_plain.slopes_plain, kernels_plain.warp_plain


def compile_kernels() -> None:
    """Compile the loops that this processor's vector level runs, or read them from the cache."""
    for loop in kernels(vector_level()):
        loop.compile()


def project(
    volume: PreparedVolume | Volume | BasisVolume,
    geometry: ProjectionGeometry,
    *,
    world_from_body: Matrix | None = None,
    backend: Backend = "fast",
    pitch: float = PITCH,
    level: str | None = None,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Return the line integrals of a volume along the ray to every pixel centre.

    The field between voxel centres is trilinear. Voxels outside the grid are zero, so the field falls to zero over the
    one voxel beyond the outermost centres; a ray down an axis adds up to (sum of values) · spacing. Both backends
    share this definition. The integral runs from the source to the detector plane.

    The fast backend sums slices along each ray's dominant axis (Joseph 1982, doi:10.1109/TMI.1982.4307572) in a
    shear-warp order. Where the source or the detector lies within filled voxels it marches along every ray instead,
    in steps of half a voxel, about a hundred times slower.

    Parameters
    ----------
    volume
        A `Volume` or `BasisVolume`; prepare it once (`prepare`) to project it many times.
    geometry
        The cone beam.
    world_from_body
        Rigid (4, 4) motion of the volume; none when absent.
    backend
        ``"fast"``, or ``"reference"``: double-precision march in steps of a quarter voxel.
    pitch
        Pitch of the grid of slopes at the farthest slice, voxels, 0.1 to 0.9; smaller is slower and a little truer.
    level
        Vector level of the fast backend; the processor's best when absent.
    out
        float32 (channels, rows, columns) to write into; a new array when absent.

    Returns
    -------
    float32 (channels, rows, columns): value·mm of a `Volume` (one channel); mm of water and mm of bone of a
    `BasisVolume` (two channels).

    Raises
    ------
    ProjectionRefusedError
        When the geometry is degenerate or ``pitch`` out of range.
    """
    prepared = volume if isinstance(volume, PreparedVolume) else None
    source = prepared.source if prepared is not None else volume
    channels = 2 if isinstance(source, BasisVolume) else 1
    picture = output(out, channels, geometry)
    check(geometry, pitch)
    if backend == "reference":
        march_into(source, rigid([motion(world_from_body)])[0], geometry, None, picture, fresh=True)
        return picture
    if backend != "fast":
        raise ProjectionRefusedError(f"unknown projector backend {backend!r}: choose 'fast' or 'reference'")
    ready = prepared if prepared is not None else prepare(volume)  # type: ignore[arg-type]
    project_bodies([ready], [motion(world_from_body)], geometry, picture, pitch=pitch, level=level)
    return picture


def project_bodies(
    bodies: Sequence[PreparedVolume],
    motions: Sequence[Matrix],
    geometry: ProjectionGeometry,
    out: NDArray[np.float32],
    *,
    fresh: bool = True,
    pitch: float = PITCH,
    level: str | None = None,
) -> None:
    """Write (``fresh``) or add the sum of bodies, each moved, to ``out`` (channels, rows, columns); all in one pass."""
    moved = rigid(motions)
    space, channels = WORKSPACE, out.shape[0]
    count = len(bodies)
    space.room(count)
    affines, scales = np.empty((count, 4, 4)), np.ones((count, 2))
    tables = np.empty((count, 3, plan.BODY_FIELDS), np.int64)
    for n, body in enumerate(bodies):
        np.matmul(moved[n], body.world_from_index, out=affines[n])
        scales[n, :channels] = [u / (g * 1024.0) for u, g in zip(body.units, body.gains, strict=True)]
        tables[n] = body.table
    status = np.zeros(count, np.int64)
    size = np.array([geometry.grid.rows, geometry.grid.columns], np.int64)
    far_mm, matrix = float(geometry.source_to_detector_mm), geometry.pixel_from_world.copy()

    def planned() -> tuple[int, int, int]:
        jobs, tiles, floats = plan.make_jobs(
            matrix, far_mm, size, float(pitch), affines, scales, tables, space.whole, space.real, status
        )
        return int(jobs), int(tiles), int(floats)

    jobs, tiles, floats = planned()
    if ((status != plan.FITS) & (status < plan.NEEDS_MARCH)).any():
        for n, body in enumerate(bodies):
            if 0 < status[n] < plan.NEEDS_MARCH:
                body.ready(tuple(axis for axis in range(3) if status[n] >> axis & 1))
                tables[n] = body.table
        jobs, tiles, floats = planned()
    run_jobs(space, jobs, tiles, floats, out, fresh=fresh, level=vector_level(level))
    for n, body in enumerate(bodies):
        if status[n] >= plan.NEEDS_MARCH:
            march_into(body.source, moved[n], geometry, MARCH_STEP_VOXEL, out, fresh=False)


def run_jobs(
    space: Workspace, jobs: int, tiles: int, floats: int, out: NDArray[np.float32], *, fresh: bool, level: Level
) -> None:
    """Run the planned jobs: slope images first, then the warp onto the detector."""
    if jobs == 0:
        if fresh:
            out[:] = 0.0
        return
    channels = out.shape[0]
    if space.image.size < channels * floats:
        space.image = np.zeros(channels * floats + channels * floats // 4, np.float32)
    counters = np.zeros(32, np.int64)
    width = int(space.whole[:jobs, plan.J_STRIDE].max())
    blocks = width // plan.BLOCK
    if space.touched.size < tiles * blocks:
        space.touched = np.zeros(tiles * blocks, np.uint8)
    workers = cores()
    slopes, warp = kernels(level)
    whole, real, image, touched = space.whole, space.real, space.image, space.touched
    slopes.run(workers, whole, real, jobs, tiles, channels, floats, image, image.size, width, counters, touched)
    # The second counter lies on a cache line of its own.
    rows, columns = out.shape[1:]
    warp.run(
        workers, whole, real, jobs, channels, floats, image, image.size, out, rows, columns, fresh, counters[16:],
        touched, tiles, blocks,
    )  # fmt: skip


def march_into(
    source: Volume | BasisVolume | PreparedVolume,
    world_from_body: Matrix,
    geometry: ProjectionGeometry,
    step_voxel: float | None,
    out: NDArray[np.float32],
    *,
    fresh: bool,
) -> None:
    """Write or add a volume's line integrals by marching along every ray."""
    if isinstance(source, PreparedVolume):
        source = source.source
    basis = isinstance(source, BasisVolume)
    prepared_channels = (source.water, source.bone) if isinstance(source, BasisVolume) else (source.values,)
    affine = world_from_body @ source.world_from_index
    for channel, values in enumerate(prepared_channels):
        if step_voxel is None:
            picture = march_volume(values, affine, geometry)
        else:
            picture = march_volume(values, affine, geometry, step_voxel)
        if basis:
            from fluoroscope.patient.volume import SCALE

            picture *= SCALE
        if fresh:
            out[channel] = picture
        else:
            out[channel] += picture.astype(np.float32)


def motion(world_from_body: Matrix | None) -> Matrix:
    """Return the rigid motion, or none."""
    return np.eye(4) if world_from_body is None else world_from_body


def rigid(motions: Sequence[Matrix]) -> NDArray[np.float64]:
    """Return the motions (n, 4, 4); refuse what is not a finite rotation and shift."""
    if any(one.shape != (4, 4) for one in motions):
        raise ProjectionRefusedError("world_from_body must be a finite rigid (4, 4) matrix")
    stacked = np.array(motions, dtype=np.float64).reshape(-1, 4, 4)
    turned = stacked[:, :3, :3]
    off = turned @ turned.transpose(0, 2, 1) - np.eye(3)
    if not np.isfinite(stacked).all() or (off.size and np.abs(off).max() > 1e-6):
        raise ProjectionRefusedError("world_from_body must be a finite rigid (4, 4) matrix")
    return stacked


def check(geometry: ProjectionGeometry, pitch: float) -> None:
    """Refuse a geometry without rays and a pitch the kernel does not hold for."""
    if not 0.1 <= pitch <= 0.9:
        raise ProjectionRefusedError(f"the pitch of the slope grid must lie between 0.1 and 0.9 voxel, got {pitch}")
    matrix = geometry.pixel_from_world
    if not (np.isfinite(matrix).all() and geometry.source_to_detector_mm > 0.0):
        raise ProjectionRefusedError("the projection geometry must be finite with a detector in front of the source")
    if abs(np.linalg.det(matrix[:, :3])) < 1e-9:
        raise ProjectionRefusedError("the projection matrix has no inverse: the detector is seen edge-on")


def output(out: NDArray[np.float32] | None, channels: int, geometry: ProjectionGeometry) -> NDArray[np.float32]:
    """Return ``out`` when it fits, or a new array."""
    shape = (channels, geometry.grid.rows, geometry.grid.columns)
    if out is None:
        return np.empty(shape, np.float32)
    if out.shape != shape or out.dtype != np.float32 or not out.flags.c_contiguous:
        raise ValueError(f"out must be a C-contiguous float32 array of shape {shape}, got {out.dtype} {out.shape}")
    return out
