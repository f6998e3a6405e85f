"""X-ray pictures with known truth for 2D/3D registration, made apart from how registration computes.

The picture is of the moving patient: other voxels than the CT that the algorithm gets, every vertebra moved on its own
joint, two materials over a whole spectrum, quantum and electronic noise, the scintillator's blur, scattered radiation.
The algorithm sees a CT at rest, labels and pictures; where each vertebra truly is stays here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fluoroscope.acquisition.frame import Collimation, PixelIntensity, open_pixels
from fluoroscope.beam.technique import Filtration, Technique
from fluoroscope.detector.expose import Detector
from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import ProjectionGeometry, projection_geometry
from fluoroscope.geometry.rigid import apply, inverse, rotation, translation
from fluoroscope.geometry.table import PatientPosition, TablePose, patient_from_equipment
from fluoroscope.guidance.view import XRayView, view_of
from fluoroscope.patient.anatomy.parameters import PatientParameters
from fluoroscope.patient.ct_parts import articulate_ct
from fluoroscope.patient.labels import LabelMap
from fluoroscope.patient.level_names import LEVELS, level_of
from fluoroscope.patient.library import model_patient, open_patient
from fluoroscope.patient.motion import LivingPatient, MotionSettings
from fluoroscope.patient.parts import Articulation
from fluoroscope.patient.scene import Scene, Shape
from fluoroscope.patient.tissues import to_basis
from fluoroscope.patient.volume import Volume
from fluoroscope.projector.scene import SceneProjector

__all__ = [
    "FAR_START", "NEAR_START", "Exposure", "Pictured", "Subject", "equipment_from", "filmed", "modelled_subject",
    "pictured", "poses", "quick_subject", "real_subject", "start_from", "visible_levels",
]  # fmt: skip

Matrix = NDArray[np.float64]
NEAR_START, FAR_START = (5.0, 8.0), (10.0, 15.0)
"""Half-widths of the starts, degrees and mm, each of three turns and three shifts uniform in them."""
_USUAL_UGY = 0.016
"""Air kerma at the detector of one pulse of usual fluoroscopy, as the virtual C-arm's exposure control aims at."""
_SCATTER_MM = 45.0
"""Spread of scattered radiation at the detector (one standard deviation); the real kernel has longer tails."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A patient twice: the CT an algorithm gets, and the moving parts that are X-rayed, in the same coordinates."""

    name: str
    ct: Volume
    labels: LabelMap
    articulation: Articulation

    @property
    def levels(self) -> tuple[str, ...]:
        """Vertebrae that move on their own, from the head down."""
        return tuple(level for level in LEVELS if f"vertebrae_{level}" in {p.frame for p in self.articulation.parts})

    def landmarks_mm(self, level: str) -> NDArray[np.float64]:
        """Return the named points (n, 3) of a vertebra, at rest: body corners, pedicles, tips of processes."""
        marks = self.articulation.landmarks
        return np.array([one.position_mm for name, one in marks.items() if name.startswith(f"{level}/")])

    def center_mm(self, level: str) -> NDArray[np.float64]:
        """Return the middle (3,) of a vertebra's body at rest."""
        marks = self.articulation.landmarks
        name = f"{level}/body_center" if f"{level}/body_center" in marks else f"{level}/center"
        return np.array(marks[name].position_mm)


@dataclass(frozen=True, slots=True)
class Exposure:
    """How a picture is taken.

    Attributes
    ----------
    tube_voltage_kv, dose
        Voltage; detector signal over that of usual fluoroscopy.
    scatter
        Scattered over primary radiation, mean over the picture, behind the grid.
    pixels, pitch_mm
        Rows and columns, and pixel pitch at the detector.
    collimation
        Blades, mm at the detector; None is open.
    shapes
        Instruments and metal, in the equipment frame.
    noise
        Seed.
    """

    tube_voltage_kv: float = 75.0
    dose: float = 1.0
    scatter: float = 0.5
    pixels: int = 1024
    pitch_mm: float = 0.3
    collimation: Collimation | None = None
    shapes: tuple[Shape, ...] = ()
    noise: int = 0


@dataclass(frozen=True, slots=True)
class Pictured:
    """What an algorithm may see (``views``) and what it may not (``truth``: `equipment_from_ct` by level)."""

    views: tuple[XRayView, ...]
    truth: Mapping[str, Matrix]
    position: PatientPosition
    settings: Mapping[str, float] = field(default_factory=dict)


def modelled_subject(seed: int, *, ct_pitch_mm: float = 1.0, picture_pitch_mm: float = 0.8, **asked: object) -> Subject:
    """Return a modelled patient: his CT on one grid, his moving parts on another.

    Parameters
    ----------
    seed
        Below 100 for tuning, from 500 for reporting.
    ct_pitch_mm, picture_pitch_mm
        Voxels of the CT and of what is X-rayed.
    asked
        Other `PatientParameters`, such as ``bmi``.
    """
    parameters = PatientParameters(seed=seed, **asked)  # type: ignore[arg-type]
    ct = model_patient(parameters, pitch_mm=ct_pitch_mm)
    shown = model_patient(parameters, pitch_mm=picture_pitch_mm)
    if ct.labels is None or shown.articulation is None:
        raise ValueError(f"modelled patient {seed} has no labels or no moving parts")
    return Subject(f"modelled {seed}", ct.volume, ct.labels, shown.articulation)


def real_subject(ct: Path, labels: Path, names: str, *, picture_pitch_mm: float = 1.3) -> Subject:
    """Return a real CT: as it is for the algorithm, and on another grid (cubic splines) for the picture.

    Detail that the CT does not show is in neither.

    Parameters
    ----------
    ct, labels, names
        As `open_patient` takes them.
    picture_pitch_mm
        Of the grid that is X-rayed; its centres lie between those of the CT.
    """
    patient = open_patient(ct, labels=labels, names=names)
    if patient.labels is None:
        raise ValueError(f"{ct}: no labels")
    volume, shown = _regridded(patient.volume, patient.labels, picture_pitch_mm, order=3)
    parts = articulate_ct(volume, to_basis(volume, labels=shown), shown)
    return Subject(ct.parent.name, patient.volume, patient.labels, parts)


def quick_subject(seed: int, *, pitch_mm: float = 2.0, ct_pitch_mm: float = 2.6) -> Subject:
    """Return a modelled patient built once, of coarse voxels: his CT is sampled anew on a coarser grid."""
    shown = model_patient(PatientParameters(seed=seed), pitch_mm=pitch_mm, keep=False)
    if shown.labels is None or shown.articulation is None:
        raise ValueError(f"modelled patient {seed} has no labels or no moving parts")
    ct, labels = _regridded(shown.volume, shown.labels, ct_pitch_mm, order=1)
    return Subject(f"modelled {seed}", ct, labels, shown.articulation)


def _regridded(volume: Volume, labels: LabelMap, pitch_mm: float, *, order: Literal[1, 3]) -> tuple[Volume, LabelMap]:
    """Return a CT and its labels on a grid whose centres lie between those of the first."""
    from scipy import ndimage

    steps = pitch_mm / volume.spacing_mm
    shape = tuple(int(n) for n in np.floor((np.array(volume.values.shape) - 1.0) / steps))
    first, turn = 0.31 * steps, np.diag(steps)
    source: NDArray[np.float32] = volume.values.astype(np.float32)
    hu = ndimage.affine_transform(source, turn, first, shape, order=order, mode="nearest")
    values = ndimage.affine_transform(labels.values, turn, first, shape, order=0, mode="nearest").astype(np.uint16)
    matrix = volume.world_from_index @ np.diag([*steps, 1.0])
    matrix[:3, 3] = apply(volume.world_from_index, first)
    hu16 = np.ascontiguousarray(np.rint(np.clip(hu, -1024, 3071)).astype(np.int16))
    return Volume(hu16, matrix), LabelMap(np.ascontiguousarray(values), labels.names)


def poses(rng: np.random.Generator, views: int, *, least_deg: float = 30.0) -> tuple[CArmPose, ...]:
    """Return C-arm poses as a spine procedure takes them; two are at least ``least_deg`` apart."""
    first = CArmPose(rng.uniform(-25.0, 25.0), rng.uniform(-15.0, 15.0), 510.0, 1020.0)
    if views == 1:
        return (first,)
    apart = float(rng.uniform(least_deg, 95.0)) * float(rng.choice([-1.0, 1.0]))
    second = replace(first, primary_deg=first.primary_deg + apart, secondary_deg=float(rng.uniform(-10.0, 10.0)))
    return first, second


def pictured(
    subject: Subject,
    level: str,
    carm: Sequence[CArmPose],
    rng: np.random.Generator,
    *,
    exposure: Exposure | None = None,
    bend: float = 0.6,
    offset_mm: float = 25.0,
    aside_mm: float = 0.0,
    position: PatientPosition = PatientPosition.HFP,
) -> Pictured:
    """X-ray a patient with a vertebra near the isocentre.

    Parameters
    ----------
    subject
        Who.
    level
        The vertebra in the middle.
    carm
        Poses, one view each; the patient does not move between them.
    rng
        Draws the bend, the breath, and where the patient lies.
    exposure
        How; voltage, dose, scatter and noise are drawn when absent.
    bend
        Largest share of what the spine can bend, each way.
    offset_mm
        Largest distance of the vertebra from the isocentre along each axis.
    aside_mm
        How far the isocentre lies to the patient's left of all that: into the flank.
    position
        How the patient lies.
    """
    living = LivingPatient(subject.articulation, MotionSettings(), seed=int(rng.integers(2**31)))
    extension, flexion, side = living.bend_limits_deg
    living.bend(0.0, float(rng.uniform(extension, flexion)) * bend, float(rng.uniform(-side, side)) * bend, 1.0)
    scene = living.at(10.0 + float(rng.uniform(0.0, 4.0)))
    frames = _frames_of(scene)
    table = TablePose(
        tilt_deg=rng.uniform(-3.0, 3.0), cradle_deg=rng.uniform(-3.0, 3.0), yaw_deg=rng.uniform(-3.0, 3.0)
    )
    middle = apply(_frame(frames, level), subject.center_mm(level))
    placed = patient_from_equipment(
        table, position, middle + rng.uniform(-offset_mm, offset_mm, 3) + (aside_mm, 0.0, 0.0)
    )
    taken = exposure or Exposure(rng.uniform(65.0, 85.0), 1.0, rng.uniform(0.3, 0.8), noise=int(rng.integers(2**31)))
    views = tuple(_view(scene, pose, placed, replace(taken, noise=taken.noise + n)) for n, pose in enumerate(carm))
    settings = {"kv": taken.tube_voltage_kv, "dose": taken.dose, "scatter": taken.scatter}
    return Pictured(views, _truth(subject, frames, placed), position, settings)


def filmed(
    subject: Subject, level: str, rng: np.random.Generator, *, frames: int = 30, rate_hz: float = 7.5,
    turn_deg_s: float = 6.0, pixels: int = 512, pitch_mm: float = 0.6,
) -> Iterator[Pictured]:  # fmt: skip
    """Film a patient who breathes and bends his spine while the C-arm turns about him.

    Parameters
    ----------
    subject, level
        Who; the vertebra near the isocentre.
    rng
        Draws the bend, the view and the beam.
    frames, rate_hz
        How many pictures, and how many a second.
    turn_deg_s
        How fast the C-arm turns.
    pixels, pitch_mm
        Of the pictures.
    """
    living = LivingPatient(subject.articulation, MotionSettings(), seed=int(rng.integers(2**31)))
    extension, flexion, side = living.bend_limits_deg
    length_s = frames / rate_hz
    bend = (rng.uniform(0.4, 0.8) * float(rng.choice([extension, flexion])), rng.uniform(-0.5, 0.5) * side)
    living.bend(10.0, float(bend[0]), float(bend[1]), max(length_s, 0.2))
    placed = patient_from_equipment(
        TablePose(), PatientPosition.HFP, subject.center_mm(level) + rng.uniform(-10, 10, 3)
    )
    first = poses(rng, 1)[0]
    taken = Exposure(rng.uniform(65.0, 85.0), 1.0, rng.uniform(0.3, 0.8), pixels, pitch_mm)
    for n in range(frames):
        scene = living.at(10.0 + n / rate_hz)
        pose = replace(first, primary_deg=first.primary_deg + turn_deg_s * n / rate_hz)
        truth = _truth(subject, _frames_of(scene), placed)
        yield Pictured((_view(scene, pose, placed, replace(taken, noise=n)),), truth, PatientPosition.HFP)


def _frames_of(scene: Scene) -> Mapping[str, Matrix]:
    """Return ``world_from_rest`` by frame name; empty for a scene that knows nothing of itself."""
    return scene.truth.frames if scene.truth is not None else {}


def _truth(subject: Subject, frames: Mapping[str, Matrix], placed: Matrix) -> dict[str, Matrix]:
    truth = {one: inverse(placed) @ _frame(frames, one) for one in subject.levels}
    truth["sacrum"] = inverse(placed) @ frames.get("sacrum", np.eye(4))
    return truth


def equipment_from(pictured: Pictured, level: str, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where points (n, 3) of a vertebra at rest truly are, in the equipment frame."""
    return apply(pictured.truth[level], points_mm)


def start_from(
    truth: Matrix, center_mm: NDArray[np.float64], within: tuple[float, float], rng: np.random.Generator
) -> Matrix:
    """Return a start: the truth turned about the vertebra's middle and shifted, uniform ± ``within`` (deg, mm)."""
    degrees, shift_mm = within
    middle = apply(truth, center_mm)
    turned = np.eye(4)
    for axis, angle in zip(np.eye(3), rng.uniform(-degrees, degrees, 3), strict=True):
        turned = rotation(axis, float(angle), middle) @ turned
    return translation(rng.uniform(-shift_mm, shift_mm, 3)) @ turned @ truth


def visible_levels(subject: Subject, pictured: Pictured, *, share: float = 0.9) -> tuple[str, ...]:
    """Return the vertebrae of which at least ``share`` of the landmarks lie within every picture."""
    from fluoroscope.geometry.projection import project_points

    found = []
    for level in subject.levels:
        points = equipment_from(pictured, level, subject.landmarks_mm(level))
        if len(points) and all(_inside(project_points(one.geometry, points), one) >= share for one in pictured.views):
            found.append(level)
    return tuple(found)


def _inside(pixels: NDArray[np.float64], view: XRayView) -> float:
    at = np.rint(pixels).astype(np.int64)
    within = np.all((at >= 0) & (at < view.valid.shape), axis=1)
    at = np.where(within[:, None], at, 0)
    return float((within & view.valid[at[:, 0], at[:, 1]]).mean())


def _frame(frames: Mapping[str, Matrix], level: str) -> Matrix:
    """Return ``world_from_rest`` of a vertebra; one that no joint moves rests."""
    if level_of(level) is None:
        raise ValueError(f"{level}: no vertebra")
    return frames.get(f"vertebrae_{level}", np.eye(4))


def _view(scene: Scene, pose: CArmPose, placed: Matrix, taken: Exposure) -> XRayView:
    """Return one picture in the equipment frame of a scene in the patient's."""
    grid = DetectorGrid(taken.pixels, taken.pixels, taken.pitch_mm)
    seen = projection_geometry(pose, grid, placed)
    shown = replace(scene, shapes=())
    thickness = SceneProjector().project(shown, seen)
    geometry = projection_geometry(pose, grid)
    if taken.shapes:
        thickness = thickness + SceneProjector().project(Scene((), taken.shapes), geometry)
    pixels = _exposed(np.ascontiguousarray(thickness), seen, taken)
    valid = None if taken.collimation is None else _opened(grid, taken.collimation)
    return view_of(pixels, PixelIntensity.LIN, geometry, valid=valid)


def _exposed(thickness: NDArray[np.float32], geometry: ProjectionGeometry, taken: Exposure) -> NDArray[np.uint16]:
    """Return LIN pixels: primary radiation, and scatter as a smooth second exposure with its own quanta."""
    from scipy import ndimage

    detector = Detector(seed=taken.noise)
    once = Technique(taken.tube_voltage_kv, 10.0, 10.0, 15.0, Filtration())
    per_ugy = detector.signal_per_ugy(replace(once, tube_voltage_kv=70.0), geometry.grid.pitch_mm)
    wanted = _USUAL_UGY * per_ugy * taken.dose
    signal = detector.expected_signal(thickness, once, geometry, taken.collimation)
    technique = replace(once, tube_current_ma=max(once.tube_current_ma * wanted / max(signal, 1e-9), 1e-3))
    primary = detector.expose(thickness, technique, geometry, taken.collimation, 0)
    if taken.scatter <= 0.0:
        return primary
    expected = detector.expected(thickness, technique, geometry, taken.collimation).astype(np.float64)
    open_field = np.minimum(expected, 4.0 * wanted)
    veil = ndimage.zoom(open_field, 0.125, order=1)
    veil = ndimage.gaussian_filter(veil, 0.125 * _SCATTER_MM / geometry.grid.pitch_mm, mode="constant")
    veil = ndimage.zoom(veil, np.array(expected.shape) / np.array(veil.shape), order=1) * taken.scatter
    nodes = np.geomspace(max(veil.max(), 1.0), max(1e-3 * veil.max(), 0.5), 48)
    depth, pitch = geometry.source_to_detector_mm, geometry.grid.pitch_mm
    water = np.array([detector.equivalent_water_mm(float(one), technique, depth, pitch) for one in nodes])
    map_mm = np.interp(-np.log(np.maximum(veil, nodes[-1])), -np.log(nodes), water).astype(np.float32)
    behind = np.ascontiguousarray(np.stack([map_mm, np.zeros_like(map_mm)]))
    scattered = detector.expose(behind, technique, geometry, taken.collimation, 1)
    total = np.minimum(primary.astype(np.uint32) + scattered, 65535).astype(np.uint16)
    return np.ascontiguousarray(total)


def _opened(grid: DetectorGrid, blades: Collimation) -> NDArray[np.bool_]:
    """Return the pixels that the blades leave open."""
    r0, r1, c0, c1 = open_pixels(blades, grid.rows, grid.columns, grid.pitch_mm)
    valid = np.zeros((grid.rows, grid.columns), dtype=np.bool_)
    valid[r0:r1, c0:c1] = True
    return valid
