"""How true and how fast the projector is, against exact chords and against itk-rtk, in one process.

The poses reported here come from `REPORTED_SEED`; tuning used `TUNING_SEED` and no others. The C-arm moves before
every frame, so nothing of one frame helps the next. Times are wall time of whole calls of `project` into a given
array. ``spread`` is the 5th and 95th percentile.
"""

import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.evaluation.analytic_phantom import AnalyticPhantom, torso_phantom
from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose, beam_axes
from fluoroscope.geometry.projection import ProjectionGeometry, projection_geometry
from fluoroscope.patient.volume import BasisVolume, Volume
from fluoroscope.projector import PreparedVolume, prepare, project, vector_level

__all__ = ["Row", "accuracy_rows", "bench_poses", "peer_rows", "rtk_projector", "speed_rows"]

Row = dict[str, Any]
REPORTED_SEED, TUNING_SEED = 20261122, 7
FIELD_MM = 307.2
FULL_SHAPE, FULL_SPACING_MM = (400, 512, 512), (1.0, 0.8, 0.8)


def bench_poses(count: int, seed: int = REPORTED_SEED) -> list[CArmPose]:
    """Return views of LAO/RAO ±40°, CRA/CAU ±25°, source to isocentre 510–800 mm, source to detector 1020 mm."""
    rng = np.random.default_rng(seed)
    return [
        CArmPose(rng.uniform(-40.0, 40.0), rng.uniform(-25.0, 25.0), rng.uniform(510.0, 800.0), 1020.0)
        for _ in range(count)
    ]


def view(pose: CArmPose, pixels: int) -> ProjectionGeometry:
    """Return the cone beam of a pose onto a square field of 307 mm."""
    return projection_geometry(pose, DetectorGrid(pixels, pixels, FIELD_MM / pixels))


def named(size: Sequence[int], pixels: int) -> str:
    """Name a volume and a picture."""
    return f"{size[2]}×{size[1]}×{size[0]} → {pixels}²"


def row(identity: str, what: str, size: str, stages: str, values: Sequence[float], unit: str) -> Row:
    """Return one line of the report: median and spread of ``values``."""
    return {
        "id": identity,
        "what": what,
        "size": size,
        "stages": stages,
        "value": float(np.median(values)),
        "unit": unit,
        "spread": [float(np.percentile(values, 5)), float(np.percentile(values, 95))],
    }


def accuracy_rows(
    shape: tuple[int, int, int] = FULL_SHAPE,
    spacing_mm: tuple[float, float, float] = FULL_SPACING_MM,
    pixels: int = 256,
    count: int = 4,
    phantom: AnalyticPhantom | None = None,
) -> list[Row]:
    """Return the error against exact chords of both backends, their ratio and their difference.

    Errors are RMSE over the RMS of the exact picture, of one CT voxelised from `torso_phantom`; each value is the
    median over ``count`` reported poses.
    """
    body = phantom if phantom is not None else torso_phantom()
    volume = body.voxelise(shape, spacing_mm)
    ready = prepare(volume)
    fast_errors, reference_errors, differences = [], [], []
    for pose in bench_poses(count):
        geometry = view(pose, pixels)
        exact = body.chords(geometry)
        scale = float(np.sqrt(np.mean(exact**2)))
        fast = project(ready, geometry)[0].astype(np.float64)
        slow = project(volume, geometry, backend="reference")[0].astype(np.float64)
        fast_errors.append(100.0 * rms(fast - exact) / scale)
        reference_errors.append(100.0 * rms(slow - exact) / scale)
        differences.append(100.0 * rms(fast - slow) / rms(slow))
    size, stage = named(shape, pixels), "line integrals"
    ratios = [f / r for f, r in zip(fast_errors, reference_errors, strict=True)]
    return [
        row("projector.rmse_fast", "RMSE of the fast backend against exact chords", size, stage, fast_errors, "%"),
        row(
            "projector.rmse_reference", "RMSE of the reference against exact chords", size, stage, reference_errors, "%"
        ),
        row("projector.rmse_ratio", "the first over the second", size, stage, ratios, "1"),
        row("projector.agreement", "RMS difference of fast and reference backend", size, stage, differences, "%"),
    ]


def speed_rows(
    shape: tuple[int, int, int] = FULL_SHAPE,
    spacing_mm: tuple[float, float, float] = FULL_SPACING_MM,
    pixels: Sequence[int] = (512, 1024),
    frames: int = 40,
    level: str | None = None,
    phantom: AnalyticPhantom | None = None,
) -> list[Row]:
    """Return wall times with one and two materials, with and without skipping air."""
    body = phantom if phantom is not None else torso_phantom()
    name = vector_level(level)
    rows: list[Row] = []
    volumes: tuple[tuple[str, Volume | BasisVolume], ...] = (
        ("one", body.voxelise(shape, spacing_mm)),
        ("two", body.voxelise_basis(shape, spacing_mm)),
    )
    for materials, volume in volumes:
        for air_skip in (True, False):
            ready = prepare(volume, air_skip=air_skip)
            for n in pixels:
                times = frame_times(ready, n, frames, level)
                air = "air_skipped" if air_skip else "air_kept"
                what = f"projection, {materials} material{'s' if materials == 'two' else ''}, {air.replace('_', ' ')}"
                rows.append(
                    row(
                        f"projector.{materials}.{air}.{n}",
                        what,
                        named(shape, n),
                        f"line integrals, {name}",
                        times,
                        "ms",
                    )
                )
    return rows


def frame_times(ready: PreparedVolume, pixels: int, frames: int, level: str | None = None) -> list[float]:
    """Return the wall time of each frame, ms, the C-arm moving before each; the first of all is not counted."""
    geometries = [view(pose, pixels) for pose in bench_poses(frames)]
    out = project(ready, geometries[0], level=level)
    times = []
    for geometry in geometries:
        started = time.perf_counter()
        project(ready, geometry, level=level, out=out)
        times.append(1e3 * (time.perf_counter() - started))
    return times


def peer_rows(
    shape: tuple[int, int, int] = FULL_SHAPE,
    spacing_mm: tuple[float, float, float] = FULL_SPACING_MM,
    pixels: Sequence[int] = (512, 1024),
    frames: int = 5,
    ours_per_frame: int = 5,
    phantom: AnalyticPhantom | None = None,
) -> list[Row]:
    """Return how much faster the projector is than itk-rtk's Joseph filter, and how far the pictures differ.

    Same volume, poses, detector and process; for every pose itk-rtk runs once and the projector ``ours_per_frame``
    times right after, with and without skipping air, each call on another detector so that no frame repeats. A ratio
    is that pose's time of itk-rtk over the median of ours.
    """
    body = phantom if phantom is not None else torso_phantom()
    volume = body.voxelise(shape, spacing_mm)
    peer = rtk_projector(volume)
    ready = {"air_skipped": prepare(volume), "air_kept": prepare(volume, air_skip=False)}
    rows: list[Row] = []
    for n in pixels:
        peer_times, differences = [], []
        ratios: dict[str, list[float]] = {name: [] for name in ready}
        for number, pose in enumerate(bench_poses(frames)):
            theirs, seconds = peer(pose, n)
            peer_times.append(1e3 * seconds)
            turned = [view(p, n) for p in [pose, *bench_poses(ours_per_frame, REPORTED_SEED + 1 + number)]]
            for name, prepared in ready.items():
                out = project(prepared, turned[0])
                times = []
                for geometry in turned:
                    started = time.perf_counter()
                    project(prepared, geometry, out=out)
                    times.append(time.perf_counter() - started)
                ratios[name].append(seconds / float(np.median(times)))
            ours = project(ready["air_skipped"], turned[0])[0]
            differences.append(100.0 * rms(ours - theirs) / rms(theirs))
        size, stage = named(shape, n), f"line integrals, {vector_level()}"
        rows.append(row(f"projector.itk_rtk.{n}", "itk-rtk Joseph", size, "line integrals", peer_times, "ms"))
        rows.append(
            row(f"projector.itk_rtk.difference.{n}", "RMS difference from itk-rtk", size, stage, differences, "%")
        )
        for name, values in ratios.items():
            what = f"times faster than itk-rtk, {name.replace('_', ' ')}"
            rows.append(row(f"projector.itk_rtk.ratio.{name}.{n}", what, size, stage, values, "×"))
    return rows


def rtk_projector(volume: Volume) -> Callable[[CArmPose, int], tuple[NDArray[np.float32], float]]:
    """Return ``f(pose, pixels) → (picture, seconds)`` of itk-rtk's Joseph filter; only the filter is timed.

    ``volume``'s index axes must run to z, y and x of the world.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import itk
        from itk import RTK

        image_type = itk.Image[itk.F, 3]
        image = itk.image_from_array(volume.values.astype(np.float32))
    image.SetSpacing([float(mm) for mm in volume.spacing_mm[::-1]])
    image.SetOrigin([float(mm) for mm in volume.world_from_index[:3, 3]])

    def picture(pose: CArmPose, pixels: int) -> tuple[NDArray[np.float32], float]:
        # SWIG's classes warn when first used; with warnings as errors they crash the interpreter instead.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return filtered(pose, pixels)

    def filtered(pose: CArmPose, pixels: int) -> tuple[NDArray[np.float32], float]:
        geometry = view(pose, pixels)
        axes = beam_axes(pose)
        middle = geometry.source_mm + pose.source_to_detector_mm * axes.d
        point, vector = itk.Point[itk.D, 3], itk.Vector[itk.D, 3]
        circle = RTK.ThreeDCircularProjectionGeometry.New()
        circle.AddProjection(
            point(geometry.source_mm.tolist()), point(middle.tolist()), vector(axes.u.tolist()), vector(axes.v.tolist())
        )
        pitch = geometry.grid.pitch_mm
        blank = RTK.ConstantImageSource[image_type].New()
        blank.SetOrigin([-(pixels - 1) / 2.0 * pitch] * 2 + [0.0])
        blank.SetSpacing([pitch, pitch, 1.0])
        blank.SetSize([pixels, pixels, 1])
        blank.SetConstant(0.0)
        blank.Update()
        joseph = RTK.JosephForwardProjectionImageFilter[image_type, image_type].New()
        joseph.SetInput(0, blank.GetOutput())
        joseph.SetInput(1, image)
        joseph.SetGeometry(circle)
        started = time.perf_counter()
        joseph.Update()
        seconds = time.perf_counter() - started
        result: NDArray[np.float32] = itk.array_from_image(joseph.GetOutput())[0]
        return result, seconds

    return picture


def rms(values: NDArray[Any]) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
