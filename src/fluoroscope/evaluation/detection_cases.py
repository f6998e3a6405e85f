"""Pictures to detect needles in, with the truth beside them: patients, views, needles, dose, scatter drawn by seed.

A picture is the projection of a patient (modelled or a real CT) and of the exact shapes of an instrument of the
catalogue, through the detector, at the dose the automatic exposure gives or a share of it. Scatter is a smooth veil
with its own quantum noise. Seeds below 100 are for tuning, from 500 up for reporting.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from fluoroscope.acquisition.frame import Collimation, PixelIntensity, open_pixels
from fluoroscope.beam.technique import Technique
from fluoroscope.detector.expose import Detector
from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import ProjectionGeometry, project_points, projection_geometry
from fluoroscope.guidance.view import attenuation_of
from fluoroscope.patient.instruments.catalogue import CATALOGUE, Instrument
from fluoroscope.patient.instruments.shaft import InPlace, ruler, shapes_of, skin_marker
from fluoroscope.patient.scene import Body, Scene, Shape
from fluoroscope.patient.volume import BasisVolume
from fluoroscope.projector import SceneProjector
from fluoroscope.sources.exposure_control import ExposureControl

__all__ = ["Case", "CaseRoom", "NeedleTruthPx", "case_of", "draw_needles", "expose"]

Float = NDArray[np.float64]
FIELD_MM, SOURCE_TO_DETECTOR_MM, SOURCE_TO_ISOCENTER_MM = 307.2, 1020.0, 600.0
VEIL_PX = 0.06
"""Spread of scatter, share of the picture's side."""
REFERENCE = Technique(75.0, 8.0, 8.0, 15.0)


@dataclass(frozen=True, slots=True)
class NeedleTruthPx:
    """Where an instrument truly is in a picture.

    Attributes
    ----------
    tip_px, hub_px
        (row, column) of the ends of its axis.
    path_px
        (n, 2) axis from hub to tip.
    angle_deg
        Of the last part, from the column direction toward the row direction.
    length_px
        From hub to tip in the picture, as far as the open field shows it.
    tip_inside
        Whether the tip lies in the open field, at least 4 px from its edge.
    mm_per_px
        At the tip's depth.
    name
        Of the catalogue.
    """

    tip_px: tuple[float, float]
    hub_px: tuple[float, float]
    path_px: Float
    angle_deg: float
    length_px: float
    tip_inside: bool
    mm_per_px: float
    name: str


@dataclass(frozen=True, slots=True)
class Case:
    """A picture and what is truly in it.

    Attributes
    ----------
    attenuation, valid
        As a detector takes them.
    needles
        Truth.
    geometry
        The beam.
    what
        View, dose and instruments in words and numbers.
    """

    attenuation: NDArray[np.float32]
    valid: NDArray[np.bool_]
    needles: tuple[NeedleTruthPx, ...]
    geometry: ProjectionGeometry
    what: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Placement:
    """How a needle was asked to lie: instrument, axis from hub to tip, world mm."""

    kind: Instrument
    path_mm: Float
    stylet: bool
    bevel: Float


def draw_needles(rng: np.random.Generator, place: Float, count: int) -> list[Placement]:
    """Return ``count`` needles toward places within 30 mm of ``place``, from the back and the sides.

    Gauges 18 to 27; 20 to 127 mm of shaft before the hub; straight or bent by up to 3 mm in 90 mm.
    """
    names = [name for name, one in CATALOGUE.items() if one.kind == "spinal" and 18 <= _gauge(name) <= 27]
    found = []
    for _ in range(count):
        kind = CATALOGUE[str(rng.choice(names))]
        tip = place + rng.uniform(-1.0, 1.0, 3) * (30.0, 20.0, 45.0)
        side, head = np.deg2rad(rng.uniform(-60.0, 60.0)), np.deg2rad(rng.uniform(-35.0, 35.0))
        # The way from hub to tip: forward (−y) with a tilt to the side and to head or foot.
        along = np.array([np.sin(side) * np.cos(head), -np.cos(side) * np.cos(head), np.sin(head)])
        across = np.cross(along, rng.normal(size=3))
        across /= np.linalg.norm(across)
        share = np.linspace(0.0, 1.0, 41)[:, None]
        bend = rng.choice([0.0, rng.uniform(0.0, 3.0)]) * (kind.length_mm / 90.0) ** 2
        path = tip - along * kind.length_mm * (1.0 - share) + across * bend * (share**2 - share) * 2.0
        found.append(Placement(kind, path, bool(rng.random() < 0.7), across))
    return found


def _gauge(name: str) -> int:
    return int(name.split("-")[-2].rstrip("G"))


class CaseRoom:
    """Draws pictures of one patient; keeps what its projections share.

    Parameters
    ----------
    basis
        Of the patient.
    middle_mm
        What the pictures are taken around, world mm.
    pixels
        Side of the picture.
    """

    def __init__(self, basis: BasisVolume, middle_mm: ArrayLike, pixels: int = 1024) -> None:
        self._bodies = (Body("patient", basis),)
        self._reference = np.asarray(middle_mm, dtype=np.float64)
        self._projector = SceneProjector()
        self._pixels = pixels
        self._low, self._high = _bounds(basis)

    def geometry(self, primary_deg: float, secondary_deg: float, shift_mm: Float) -> ProjectionGeometry:
        """Return a view with its isocentre at the patient's reference moved by ``shift_mm``."""
        x, y, z = (float(part) for part in self._reference + shift_mm)
        pose = CArmPose(
            primary_deg, secondary_deg, SOURCE_TO_ISOCENTER_MM, SOURCE_TO_DETECTOR_MM, isocenter_mm=(x, y, z)
        )
        return projection_geometry(pose, DetectorGrid(self._pixels, self._pixels, FIELD_MM / self._pixels))

    @property
    def middle(self) -> Float:
        """The patient's reference, world mm."""
        return self._reference

    def thickness(self, shapes: Sequence[Shape], geometry: ProjectionGeometry) -> NDArray[np.float32]:
        """Return the line integrals of the patient and of ``shapes``."""
        return self._projector.project(Scene(self._bodies, tuple(shapes)), geometry)

    def extent(self) -> tuple[Float, Float]:
        """Return the corners of the body's box, world mm."""
        return self._low, self._high


def _bounds(basis: BasisVolume) -> tuple[Float, Float]:
    dense = np.argwhere(basis.water[::4, ::4, ::4] > 300)
    low, high = np.percentile(dense, 2, axis=0) * 4.0, np.percentile(dense, 98, axis=0) * 4.0
    matrix = basis.world_from_index
    ends = np.stack([matrix[:3, :3] @ one + matrix[:3, 3] for one in (low, high)])
    return ends.min(axis=0), ends.max(axis=0)


def expose(
    thickness: NDArray[np.float32],
    geometry: ProjectionGeometry,
    *,
    seed: int,
    dose: float = 1.0,
    scatter: float = 0.5,
    kv: float = 80.0,
    collimation: Collimation | None = None,
) -> NDArray[np.uint16]:
    """Return LIN pixels at ``dose`` times what the exposure control gives, with scatter as a share of the primary."""
    detector = Detector(seed=seed)
    technique = replace(REFERENCE, tube_voltage_kv=kv)
    signal = detector.expected_signal(thickness, technique, geometry, collimation)
    control = ExposureControl(detector, geometry.source_to_detector_mm, geometry.grid.pitch_mm)
    factor = float(np.clip(control.target_signal() / (1.0 + scatter) / max(signal, 1e-3), 0.02, 60.0))
    technique = replace(technique, tube_current_ma=technique.tube_current_ma * factor * dose)
    pixels = detector.expose(thickness, technique, geometry, collimation, 0)
    if scatter <= 0.0:
        return pixels
    primary = detector.expected(thickness, technique, geometry, collimation)
    veil = scatter * ndimage.gaussian_filter(primary[::8, ::8], VEIL_PX * len(primary) / 8.0)
    veil = ndimage.zoom(veil, 8, order=1)[: primary.shape[0], : primary.shape[1]]
    # The veil has quantum noise of its own: it is exposed as the water that lets just so much through.
    depths = np.linspace(0.0, 700.0, 1401)
    signals = np.array([detector.water_signal(technique, w, geometry.source_to_detector_mm, geometry.grid.pitch_mm)
                        for w in depths])  # fmt: skip
    water = np.zeros_like(thickness)
    water[0] = np.interp(-np.log(np.maximum(veil, 1e-3)), -np.log(np.maximum(signals, 1e-6)), depths)
    extra = detector.expose(water, technique, geometry, collimation, 1)
    both: NDArray[np.uint16] = np.minimum(pixels.astype(np.uint32) + extra, 65535).astype(np.uint16)
    return both


def case_of(
    room: CaseRoom, seed: int, needles: int | None = None, *, dose: float | None = None, view: str | None = None
) -> Case:
    """Draw one case: a view, instruments, dose, scatter, and what else lies in the field.

    Parameters
    ----------
    room
        The patient.
    seed
        Everything else.
    needles
        How many; drawn from 1 to 3 (mostly 1) when absent.
    dose
        Share of the automatic dose; drawn from 0.25, 0.5 and 1 when absent.
    view
        "ap", "oblique" or "lateral"; drawn when absent.
    """
    rng = np.random.default_rng([seed, 4021])
    view = view or str(rng.choice(["ap", "oblique", "lateral"]))
    primary = {"ap": 0.0, "oblique": 35.0, "lateral": 90.0}[view] * rng.choice([-1.0, 1.0]) + rng.uniform(-8.0, 8.0)
    shift = rng.uniform(-1.0, 1.0, 3) * (25.0, 20.0, 50.0)
    geometry = room.geometry(float(primary), float(rng.uniform(-12.0, 12.0)), shift)
    count = int(rng.choice([1, 1, 1, 2, 3])) if needles is None else needles
    placed = draw_needles(rng, room.middle + shift * (1.0, 1.0, 0.6), count)
    shapes: list[Shape] = [shape for one in placed for shape in shapes_of(
        InPlace(one.kind, one.path_mm, one.bevel, one.stylet))]  # fmt: skip
    if rng.random() < 0.15:
        shapes += _on_the_skin(rng, room, shift)
    dose = float(rng.choice([0.25, 0.5, 1.0])) if dose is None else dose
    scatter, kv = float(rng.uniform(0.2, 1.2)), float(rng.uniform(70.0, 95.0))
    collimation = _collimation(rng, geometry)
    pixels = expose(room.thickness(shapes, geometry), geometry, seed=seed, dose=dose, scatter=scatter, kv=kv,
                    collimation=collimation)  # fmt: skip
    valid = np.zeros(pixels.shape, dtype=np.bool_)
    grid = geometry.grid
    top, bottom, left, right = open_pixels(collimation, grid.rows, grid.columns, grid.pitch_mm)
    valid[top:bottom, left:right] = True
    truth = tuple(_truth(one, geometry, (top, bottom, left, right)) for one in placed)
    what = {
        "view": view, "dose": dose, "scatter": scatter, "kv": kv, "seed": seed,
        "instruments": [one.kind.name for one in placed], "collimated": collimation is not None,
    }  # fmt: skip
    return Case(attenuation_of(pixels, PixelIntensity.LIN), valid, truth, geometry, what)


def _collimation(rng: np.random.Generator, geometry: ProjectionGeometry) -> Collimation | None:
    if rng.random() < 0.6:
        return None
    half = geometry.grid.width_mm / 2.0
    left, right, top, bottom = rng.uniform(0.55, 1.0, 4) * half
    return Collimation(float(left), float(right), float(top), float(bottom))


def _on_the_skin(rng: np.random.Generator, room: CaseRoom, shift: Float) -> list[Shape]:
    """Return a ruler or a ball on the back."""
    _, high = room.extent()
    x, z = room.middle[0] + shift[0] + rng.uniform(-20.0, 20.0), room.middle[2] + shift[2]
    if rng.random() < 0.5:
        return list(skin_marker(np.array([x, high[1], z]), np.array([0.0, 1.0, 0.0])))
    start = np.array([x, high[1], z - 80.0])
    return list(ruler(start, start + np.array([0.0, 0.0, 160.0])))


def _truth(one: Placement, geometry: ProjectionGeometry, field: tuple[int, int, int, int]) -> NeedleTruthPx:
    fine = one.path_mm
    if one.kind.bend_deg:
        from fluoroscope.patient.instruments.shaft import bent_tip

        fine = bent_tip(fine, one.kind.bend_mm, one.kind.bend_deg, -one.bevel)
    px = project_points(geometry, fine)
    top, bottom, left, right = field
    inside = (px[:, 0] >= top) & (px[:, 0] < bottom) & (px[:, 1] >= left) & (px[:, 1] < right)
    steps = np.linalg.norm(np.diff(px, axis=0), axis=1)
    way = px[-1] - px[-4]
    row, column = px[-1]
    tip_in = top + 4 <= row <= bottom - 5 and left + 4 <= column <= right - 5
    depth = float(geometry.pixel_from_world[2, :3] @ fine[-1] + geometry.pixel_from_world[2, 3])
    return NeedleTruthPx(
        (float(row), float(column)), (float(px[0, 0]), float(px[0, 1])), px,
        float(np.degrees(np.arctan2(way[0], way[1]))), float(steps[inside[1:]].sum()), bool(tip_in),
        geometry.grid.pitch_mm * depth / geometry.source_to_detector_mm, one.kind.name,
    )  # fmt: skip
