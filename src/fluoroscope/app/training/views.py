"""The X-ray pictures of an attempt to draw a needle on: one from the front or back, one from the side."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fluoroscope.app.training.reading import Recorded
from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.positioner import pose_for_patient_view, positioner_angles, view_text
from fluoroscope.geometry.projection import ProjectionGeometry, project_points, projection_geometry
from fluoroscope.geometry.rigid import apply
from fluoroscope.geometry.table import PatientPosition, TablePose, patient_from_equipment
from fluoroscope.live.encoding import pose_from_json, table_from_json
from fluoroscope.live.journal import read_journal
from fluoroscope.patient.library import Patient
from fluoroscope.patient.scene import Body, Scene
from fluoroscope.projector import project_scene

__all__ = ["ShownView", "carried_to", "shown_views"]

_LATERAL_FROM_DEG = 45.0
_COMPUTED_PX, _COMPUTED_MM = 512, 0.6
_WATER_PER_MM, _BONE_PER_MM = 0.0206, 0.0604
"""Linear attenuation of water and cortical bone at 60 keV (NIST)."""


@dataclass(frozen=True, slots=True)
class ShownView:
    """One picture of an attempt.

    Attributes
    ----------
    name
        "AP" or "lateral": from the front or back, or from the side.
    text
        The view in words.
    geometry
        In patient coordinates.
    at_s
        When it was taken, the scene's time.
    event_number, frame
        The run and the picture in it; ``event_number`` 0 where no X-ray was taken so.
    pixels
        8 bits, as it was shown; None where there is none.
    """

    name: str
    text: str
    geometry: ProjectionGeometry
    at_s: float
    event_number: int = 0
    frame: int = 0
    pixels: NDArray[np.uint8] | None = None

    def project(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Return (row, column) (n, 2) of points (n, 3)."""
        return project_points(self.geometry, np.atleast_2d(np.asarray(points_mm, dtype=np.float64)))

    def facts(self) -> dict[str, Any]:
        """Return it without its picture, JSON-ready."""
        grid = self.geometry.grid
        return {
            "name": self.name,
            "text": self.text,
            "at_s": self.at_s,
            "run": self.event_number or None,
            "frame": self.frame if self.event_number else None,
            "pixel_from_world": self.geometry.pixel_from_world.tolist(),
            "rows": grid.rows,
            "columns": grid.columns,
        }


def shown_views(recorded: Recorded, patient: Patient) -> tuple[ShownView, ...]:
    """Return the last X-ray from the front or back and the last from the side; computed ones where none was taken."""
    found: dict[str, tuple[dict[str, Any], ShownView]] = {}
    for line in recorded.frames:
        view = _view(recorded, line)
        if view is not None:
            found[view.name] = (line, view)
    numbers = _event_numbers(recorded)
    shown = []
    for name in ("AP", "lateral"):
        if name in found:
            line, view = found[name]
            shown.append(_with_picture(recorded, view, numbers.get(line["event_uid"], 0), int(line["index"])))
        else:
            shown.append(_computed(recorded, patient, name))
    return tuple(shown)


def _computed(recorded: Recorded, patient: Patient, name: str) -> ShownView:
    """Return what an X-ray of the resting patient would show without needle, noise and scatter; nobody was exposed."""
    position = PatientPosition(recorded.about["position"])
    like = CArmPose(0.0, 0.0, 600.0, 1000.0)
    pose = pose_for_patient_view(180.0 if name == "AP" else 90.0, 0.0, TablePose(), position, like)
    lying = patient_from_equipment(TablePose(), position, recorded.about["reference_mm"])
    geometry = projection_geometry(pose, DetectorGrid(_COMPUTED_PX, _COMPUTED_PX, _COMPUTED_MM), lying)
    water, bone = project_scene(Scene((Body("patient", patient.basis),)), geometry)
    through = np.exp(-(_WATER_PER_MM * water + _BONE_PER_MM * bone))
    log = np.log(np.maximum(through, 1e-9))
    low, high = np.percentile(log, (2.0, 98.0))
    grey = np.clip((log - low) / max(high - low, 1e-6), 0.0, 1.0)
    text = "computed, not exposed: " + view_text(*positioner_angles(pose, TablePose(), position))
    return ShownView(name, text, geometry, recorded.began_s, pixels=(255.0 * grey).astype(np.uint8))


def _view(recorded: Recorded, line: dict[str, Any]) -> ShownView | None:
    pose, table = pose_from_json(line["pose"]), table_from_json(line["table"]) or TablePose()
    if pose is None or not line["pitch_mm"]:
        return None
    position = PatientPosition(recorded.about["position"])
    lying = patient_from_equipment(table, position, recorded.about["reference_mm"])
    grid = DetectorGrid(line["rows"], line["columns"], line["pitch_mm"])
    geometry = projection_geometry(pose, grid, lying)
    primary, secondary = positioner_angles(pose, table, position)
    turned = abs((primary + 90.0) % 180.0 - 90.0)
    name = "lateral" if turned >= _LATERAL_FROM_DEG else "AP"
    return ShownView(name, view_text(primary, secondary), geometry, line["at_s"])


def _event_numbers(recorded: Recorded) -> dict[str, int]:
    entries = read_journal(recorded.folder / "journal.jsonl").entries
    return {one["event_uid"]: one["number"] for one in entries if one["type"] == "press"}


def _with_picture(recorded: Recorded, view: ShownView, number: int, index: int) -> ShownView:
    """Return a view with its picture from the run on disk; without one where the run is not there."""
    from fluoroscope.dicom.errors import DicomFileError
    from fluoroscope.dicom.xa import read_clip
    from fluoroscope.records.loading import load_records

    path = recorded.folder / f"run-{number:03d}.dcm"
    if not path.is_file():
        return view
    load_records()
    try:
        clip = read_clip(path)
    except (DicomFileError, OSError):
        return view
    try:
        frame = min(index, clip.frame_count - 1)
        low = clip.window_center - 0.5 * clip.window_width
        grey = np.clip((clip.frame(frame).astype(np.float64) - low) / clip.window_width, 0.0, 1.0)
        return replace(view, event_number=number, frame=frame, pixels=(255.0 * grey).astype(np.uint8))
    finally:
        clip.close()


def carried_to(recorded: Recorded, at_s: float, points_mm: ArrayLike) -> NDArray[np.float64]:
    """Return points at rest where they lay at a time: with what carried the needle last before it."""
    points = np.atleast_2d(np.asarray(points_mm, dtype=np.float64))
    before = [matrix for moment, matrix in zip(recorded.moments, recorded.carried, strict=True) if moment.at_s <= at_s]
    return apply(before[-1], points) if before else points
