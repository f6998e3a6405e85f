"""The picture of a plan: CT slices that hold the needle, and the X-ray views it is made under."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fluoroscope import NOT_A_MEDICAL_DEVICE
from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.positioner import edge_markers, patient_axes
from fluoroscope.geometry.projection import ProjectionGeometry, project_points, projection_geometry
from fluoroscope.geometry.table import PatientPosition, TablePose, patient_from_equipment
from fluoroscope.guidance.planning import Trajectory
from fluoroscope.guidance.planning.naming import named_labels
from fluoroscope.guidance.planning.views import PlannedView
from fluoroscope.patient.instruments.tissue_probe import TissueProbe
from fluoroscope.patient.opened import Patient
from fluoroscope.projector import project
from fluoroscope.records.whole_file import whole_file

__all__ = ["draw_plan"]

Float = NDArray[np.float64]
Colour = tuple[int, int, int]

PANEL_PX, HALF_MM, _GAP, _TOP, _LEGEND = 440, 75.0, 12, 58, 64
_BACKGROUND, _INK, _FAINT = (16, 18, 22), (230, 233, 238), (130, 136, 146)
_PATH, _TARGET, _DURA = (255, 214, 90), (255, 80, 80), (90, 200, 255)
_WINDOW = (-160.0, 340.0)
_TISSUES: dict[str, tuple[str, Colour]] = {
    "CSF": ("dural sac", (90, 200, 255)),
    "cord": ("dural sac", (90, 200, 255)),
    "nerve root": ("nerve", (245, 230, 80)),
    "vessel": ("vessel", (235, 70, 70)),
    "bowel": ("bowel", (200, 150, 90)),
    "organ": ("organ", (110, 200, 120)),
    "lung": ("lung", (150, 150, 220)),
    "disc": ("disc", (190, 120, 220)),
}
"""Word and colour of the outlines by tissue."""
_WATER_PER_MM, _BONE_PER_MM = 0.0205, 0.060
"""Attenuation per mm of water and bone at about 65 keV, for the look of the views."""
_AIR_NEPERS = 1.0
"""Less is air and the body's edge: not what the window is set by."""


@dataclass(frozen=True, slots=True)
class _Plane:
    """A slice that holds the needle: its middle, and the ways of growing columns and rows, unit (3,)."""

    title: str
    center_mm: Float
    columns: Float
    rows: Float
    edges: tuple[str, str, str, str]

    def points(self) -> Float:
        """Return the places (PANEL_PX², 3) of the pixels."""
        off = (np.arange(PANEL_PX) + 0.5) / PANEL_PX * 2.0 * HALF_MM - HALF_MM
        v, u = np.meshgrid(off, off, indexing="ij")
        places: Float = self.center_mm + u.reshape(-1, 1) * self.columns + v.reshape(-1, 1) * self.rows
        return places

    def pixel(self, point: Float) -> tuple[float, float]:
        """Return (x, y) in the panel."""
        off = point - self.center_mm
        scale = PANEL_PX / (2.0 * HALF_MM)
        return float((off @ self.columns + HALF_MM) * scale), float((off @ self.rows + HALF_MM) * scale)


def draw_plan(patient: Patient, plan: Trajectory, position: PatientPosition, title: str, path: Path) -> None:
    """Write a PNG of a plan: two slices through the needle, the coaxial and the confirming view, simulated.

    Parameters
    ----------
    patient
        As planned on.
    plan
        The trajectory.
    position
        How the patient lies.
    title
        A line above.
    path
        The file appears there only when it is whole.
    """
    width, height = 2 * PANEL_PX + 3 * _GAP, _TOP + 2 * (PANEL_PX + 30) + _LEGEND
    image = Image.new("RGB", (width, height), _BACKGROUND)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=15)
    draw.text((_GAP, 10), title, fill=_INK, font=font)
    draw.text((_GAP, 32), _words(plan), fill=_INK, font=ImageFont.load_default(size=13))
    probe = TissueProbe(patient.volume, None if patient.labels is None else named_labels(patient.labels))
    slices = [_slice(probe, plane, plan) for plane in _planes(plan)]
    views = [_view(patient, plan, view, position) for view in (plan.coaxial, plan.confirm)]
    for number, (panel, words) in enumerate([*slices, *views]):
        x, y = _GAP + (number % 2) * (PANEL_PX + _GAP), _TOP + (number // 2) * (PANEL_PX + 30)
        image.paste(panel, (x, y))
        draw.text((x, y + PANEL_PX + 6), words, fill=_INK, font=ImageFont.load_default(size=13))
    _legend(draw, height - _LEGEND + 8)
    with whole_file(path) as file:
        image.save(file, "PNG")


def _words(plan: Trajectory) -> str:
    way = " ".join(word for word in (plan.approach, plan.side) if word)
    gaps = {name: gap for name, gap in plan.clearances_mm.items() if gap is not None}
    near = min(gaps, key=lambda name: gaps[name], default="")
    nearest = f", nearest {near.replace('_', ' ')} {gaps[near]:.1f} mm" if near else ""
    return (
        f"{way}: {plan.needle.title}, {plan.depth_mm:.0f} mm from skin to target{nearest}, score {plan.score.total:.2f}"
    )


def _planes(plan: Trajectory) -> list[_Plane]:
    """Return the slices: across the patient and along him, each turned so that the whole needle lies in it."""
    entry, target = np.array(plan.entry_mm), np.array(plan.target_mm)
    out = (entry - target) / plan.depth_mm
    middle = target + min(0.5 * plan.depth_mm, 0.6 * HALF_MM) * out
    left, head = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0])
    back = out - (out @ left) * left
    behind = out - (out @ head) * head
    return [
        _Plane("across, along the needle", middle, left, back / np.linalg.norm(back), ("R", "L", "A", "P")),
        _Plane("lengthwise, along the needle", middle, behind / np.linalg.norm(behind), -head, ("A", "P", "H", "F")),
    ]


def _slice(probe: TissueProbe, plane: _Plane, plan: Trajectory) -> tuple[Image.Image, str]:
    """Return a CT slice with outlines, path and target, and its words."""
    hu, numbers = probe.hu_and_labels(plane.points())
    low, high = _WINDOW
    gray = np.clip((hu - low) / (high - low), 0.0, 1.0).reshape(PANEL_PX, PANEL_PX)
    rgb = np.repeat((gray * 215.0)[:, :, None], 3, axis=2)
    numbers = numbers.reshape(PANEL_PX, PANEL_PX)
    for tissue, (_, colour) in _TISSUES.items():
        mask = np.isin(numbers, probe.numbers(tissue))
        rgb[_outline(mask)] = colour
    panel = Image.fromarray(rgb.astype(np.uint8))
    draw = ImageDraw.Draw(panel)
    _needle(draw, [plane.pixel(np.array(point)) for point in _stations(plan)], plan)
    _edges(draw, plane.edges)
    return panel, plane.title


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    edge = np.zeros_like(mask)
    edge[:-1] |= mask[:-1] != mask[1:]
    edge[:, :-1] |= mask[:, :-1] != mask[:, 1:]
    return edge


def _stations(plan: Trajectory) -> list[tuple[float, float, float]]:
    """Return hub, entry, target and, where the line enters it, the dura."""
    hub = plan.at(-(plan.needle.length_mm - plan.depth_mm))
    points = [hub, plan.entry_mm, plan.target_mm]
    return points if plan.dura_mm is None else [*points, plan.dura_mm]


def _needle(draw: ImageDraw.ImageDraw, stations: list[tuple[float, float]], plan: Trajectory) -> None:
    hub, entry, target = stations[:3]
    draw.line((hub, entry), fill=(150, 130, 70), width=2)
    draw.line((entry, target), fill=_PATH, width=2)
    x, y = target
    draw.ellipse((x - 7, y - 7, x + 7, y + 7), outline=_TARGET, width=2)
    draw.ellipse((entry[0] - 4, entry[1] - 4, entry[0] + 4, entry[1] + 4), outline=_PATH, width=2)
    if len(stations) > 3:
        x, y = stations[3]
        draw.line((x - 6, y - 6, x + 6, y + 6), fill=_DURA, width=2)
        draw.line((x - 6, y + 6, x + 6, y - 6), fill=_DURA, width=2)


def _edges(draw: ImageDraw.ImageDraw, letters: tuple[str, str, str, str]) -> None:
    font, middle = ImageFont.load_default(size=16), PANEL_PX / 2
    places = ((8, middle, "lm"), (PANEL_PX - 8, middle, "rm"), (middle, 6, "mt"), (middle, PANEL_PX - 6, "mb"))
    for letter, (x, y, anchor) in zip(letters, places, strict=True):
        draw.text((x, y), letter, fill=_INK, font=font, anchor=anchor, stroke_width=2, stroke_fill=_BACKGROUND)
    x = PANEL_PX - 12 - PANEL_PX * 20.0 / (2.0 * HALF_MM)
    draw.line((x, PANEL_PX - 14, PANEL_PX - 12, PANEL_PX - 14), fill=_INK, width=2)
    draw.text((x, PANEL_PX - 18), "20 mm", fill=_INK, font=ImageFont.load_default(size=12), anchor="lb")


def _view(patient: Patient, plan: Trajectory, view: PlannedView, position: PatientPosition) -> tuple[Image.Image, str]:
    """Return a simulated X-ray of a view with the plan drawn on it, and its words."""
    geometry = _geometry(patient, view, position)
    water, bone = project(patient.basis, geometry)
    nepers = _WATER_PER_MM * water + _BONE_PER_MM * bone
    body = nepers[nepers > _AIR_NEPERS]
    low, high = np.percentile(body, (3.0, 99.5)) if len(body) else (0.0, 1.0)
    gray = 235.0 * (1.0 - np.clip((nepers - low) / max(high - low, 1e-6), 0.0, 1.0))
    panel = Image.fromarray(np.repeat(gray[:, :, None], 3, axis=2).astype(np.uint8))
    draw = ImageDraw.Draw(panel)
    pixels = project_points(geometry, np.array(_stations(plan)))
    _needle(draw, [(float(column), float(row)) for row, column in pixels], plan)
    marks = edge_markers(patient_axes(view.pose, TablePose(), position))
    _edges(draw, (marks.left, marks.right, marks.top, marks.bottom))
    return panel, f"{view.name} view (simulated): {view.text}"


def _geometry(patient: Patient, view: PlannedView, position: PatientPosition) -> ProjectionGeometry:
    """Return the beam of a view onto a panel as wide as the slices at the isocentre."""
    magnification = view.pose.source_to_detector_mm / view.pose.source_to_isocenter_mm
    grid = DetectorGrid(PANEL_PX, PANEL_PX, 2.0 * HALF_MM * magnification / PANEL_PX)
    return projection_geometry(view.pose, grid, patient_from_equipment(view.table, position, patient.reference_mm))


def _legend(draw: ImageDraw.ImageDraw, y: float) -> None:
    font, x = ImageFont.load_default(size=13), float(_GAP)
    words = dict(_TISSUES.values())
    for word, colour in {"needle": _PATH, "target": _TARGET, "x: dura on the line": _DURA, **words}.items():
        draw.text((x, y), word, fill=colour, font=font)
        x += draw.textlength(word, font=font) + 16.0
    draw.text((_GAP, y + 26), NOT_A_MEDICAL_DEVICE, fill=_FAINT, font=font)
