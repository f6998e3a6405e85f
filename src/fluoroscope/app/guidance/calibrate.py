"""Pictures of a bead phantom to what the C-arm really is: from paths to facts."""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fluoroscope.app.guidance.xray_files import clip_pose, clip_view
from fluoroscope.app.terminal import Progress
from fluoroscope.dicom.xa import read_clip
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.rigid import Matrix, turn_deg
from fluoroscope.guidance.calibration import (
    BeadPhantom,
    CalibratedBeam,
    CalibrationError,
    Distortion,
    calibrate_beam,
    find_beads,
    fit_distortion,
    index_grid,
    phantom_from,
    pose_from_fiducial,
    small_fiducial,
    spiral_phantom,
)
from fluoroscope.guidance.calibration.anatomy import pose_difference
from fluoroscope.guidance.calibration.phantom import PhantomError
from fluoroscope.guidance.view import XRayView
from fluoroscope.records.loading import load_records

__all__ = ["CalibrateRequest", "calibrate_files", "phantom_words", "read_phantom"]

PACKAGED = {"spiral": spiral_phantom, "small-fiducial": small_fiducial}


@dataclass(frozen=True, slots=True)
class CalibrateRequest:
    """What the user asked for.

    Attributes
    ----------
    images
        X-ray files of the phantom, which lay still between them.
    phantom
        A JSON file, or "spiral" or "small-fiducial".
    frame
        Of each file.
    fiducial
        Find the pose alone.
    grid
        Picture of a flat bead grid on the detector's face, to take an image intensifier's distortion off first.
    grid_spacing_mm, grid_bead_mm
        Of the grid: between beads, and their diameter.
    """

    images: tuple[Path, ...]
    phantom: str = "spiral"
    frame: int = 0
    fiducial: bool = False
    grid: Path | None = None
    grid_spacing_mm: float = 15.0
    grid_bead_mm: float = 3.0

    def __post_init__(self) -> None:
        if not self.images:
            raise ValueError("no image given; give XA files of the phantom")
        if self.frame < 0:
            raise ValueError(f"--frame {self.frame}: frames count from 0")
        for name, value in (("--grid-spacing-mm", self.grid_spacing_mm), ("--grid-bead-mm", self.grid_bead_mm)):
            if not (math.isfinite(value) and value > 0.0):
                raise ValueError(f"{name} {value:g}: give mm above 0")


def calibrate_files(request: CalibrateRequest, progress: Progress) -> dict[str, Any]:
    """Return the facts of every picture, and how they stand to each other; JSON-ready.

    Raises
    ------
    ValueError
        One line, naming the file.
    """
    phantom = read_phantom(request.phantom)
    load_records()
    progress(0.05, "reading the grid")
    distortion = None if request.grid is None else _distortion(request)
    found: list[tuple[CArmPose, XRayView, CalibratedBeam]] = []
    facts = []
    for number, path in enumerate(request.images):
        progress(0.1 + 0.9 * number / len(request.images), path.name)
        pose, view = _view(path, request.frame, distortion)
        try:
            beam = (pose_from_fiducial if request.fiducial else calibrate_beam)(view, phantom)
        except CalibrationError as fault:
            raise ValueError(f"{path}: {fault}") from None
        found.append((pose, view, beam))
        facts.append(_facts(path, pose, beam))
    progress(1.0, "done")
    return {
        "phantom": phantom.name,
        "images": facts,
        "isocenter_mm": _rounded(_meeting_point([beam for _, _, beam in found])) if len(found) > 1 else None,
        "to_first": [_to_first(found[0], one) for one in found[1:]],
        "distortion": None if distortion is None else _distortion_facts(distortion),
    }


def read_phantom(word: str) -> BeadPhantom:
    """Return a packaged phantom by name, or the one of a JSON file; ValueError with one line."""
    if word in PACKAGED:
        return PACKAGED[word]()
    path = Path(word)
    if not path.is_file():
        raise PhantomError(
            f"--phantom {word}: no such file, nor one of {', '.join(PACKAGED)}; give a JSON file of beads"
        )
    try:
        words = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as fault:
        raise PhantomError(f"--phantom {word}: cannot be read as JSON ({fault}); see the how-to for its form") from None
    if not isinstance(words, dict):
        raise PhantomError(f'--phantom {word}: is no JSON object; write {{"name": …, "beads": [ … ]}}')
    return phantom_from(words, word)


def phantom_words(phantom: BeadPhantom) -> dict[str, Any]:
    """Return a phantom as its JSON file says it."""
    beads = [
        {"x_mm": round(float(x), 4), "y_mm": round(float(y), 4), "z_mm": round(float(z), 4), "diameter_mm": float(wide)}
        for (x, y, z), wide in zip(phantom.beads_mm, phantom.diameters_mm, strict=True)
    ]
    return {"name": phantom.name, "beads": beads}


def _view(path: Path, frame: int, distortion: Distortion | None) -> tuple[CArmPose, XRayView]:
    with read_clip(path) as clip:
        if frame >= clip.frame_count:
            raise ValueError(f"{path}: has {clip.frame_count} frames; --frame {frame} is not among them")
        pose, view = clip_pose(clip, frame), clip_view(clip, frame)
    if distortion is not None:
        view = replace(view, attenuation=distortion.straighten(view.attenuation))
    return pose, view


def _distortion(request: CalibrateRequest) -> Distortion:
    path = request.grid
    if path is None:
        raise ValueError("no grid")
    _, view = _view(path, request.frame, None)
    pitch = view.geometry.grid.pitch_mm
    # The grid lies on the detector's face: no magnification.
    try:
        beads = find_beads(view, [0.5 * request.grid_bead_mm / pitch])
        return fit_distortion(*index_grid(beads), spacing_px=request.grid_spacing_mm / pitch)
    except CalibrationError as fault:
        raise ValueError(f"{path}: {fault}") from None


def _facts(path: Path, pose: CArmPose, beam: CalibratedBeam) -> dict[str, Any]:
    sigma = {name: None if value is None else _rounded(value, 4) for name, value in beam.sigma.items()}
    return {
        "image": str(path),
        "good": beam.good,
        "rms_px": round(beam.rms_px, 4),
        "beads_found": beam.beads_found,
        "beads_used": beam.beads_used,
        "pose": _pose_words(beam.pose),
        "tags": _pose_words(pose),
        "off_tags": {name: round(value, 4) for name, value in beam.against(pose).items()},
        "principal_px": _rounded(beam.principal_px),
        "detector_offset_mm": _rounded(beam.detector_offset_mm),
        "source_mm": _rounded(beam.geometry.source_mm),
        "pixel_from_phantom": beam.geometry.pixel_from_world.tolist(),
        "sigma": sigma,
    }


def _pose_words(pose: CArmPose) -> dict[str, Any]:
    return {
        "primary_deg": round(pose.primary_deg, 4),
        "secondary_deg": round(pose.secondary_deg, 4),
        "detector_rotation_deg": round(pose.detector_rotation_deg, 4),
        "source_to_isocenter_mm": round(pose.source_to_isocenter_mm, 3),
        "source_to_detector_mm": round(pose.source_to_detector_mm, 3),
        "isocenter_mm": _rounded(pose.isocenter_mm),
    }


def _to_first(
    first: tuple[CArmPose, XRayView, CalibratedBeam], other: tuple[CArmPose, XRayView, CalibratedBeam]
) -> dict[str, Any]:
    """Return by how much a picture stands otherwise to the first than their tags say."""
    moved: Matrix = pose_difference((first[1].geometry, other[1].geometry), (first[2].geometry, other[2].geometry))
    turn = turn_deg(moved)
    return {"turn_deg": round(turn, 4), "shift_mm": round(float(np.linalg.norm(moved[:3, 3])), 3),
            "equipment_from_tags": moved.tolist()}  # fmt: skip


def _meeting_point(beams: list[CalibratedBeam]) -> Any:
    """Return the point nearest to all central rays: the isocentre in the phantom's frame."""
    axes = np.array([one.geometry.pixel_from_world[2, :3] for one in beams])
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    sources = np.array([one.geometry.source_mm for one in beams])
    # Pulled weakly to the phantom's origin along what no ray tells.
    normal = across.sum(axis=0) + 1e-6 * np.eye(3)
    return np.linalg.solve(normal, np.einsum("vij,vj->i", across, sources))


def _distortion_facts(distortion: Distortion) -> dict[str, Any]:
    return {
        "beads": distortion.beads,
        "residual_px": round(distortion.residual_px, 4),
        "largest_px": round(distortion.largest_px, 3),
        "center_px": _rounded(distortion.center_px),
        "scale_px": round(distortion.scale_px, 3),
        "straight_from_bent": distortion.straight_from_bent.tolist(),
        "bent_from_straight": distortion.bent_from_straight.tolist(),
    }


def _rounded(values: Any, digits: int = 3) -> Any:
    if isinstance(values, int | float):
        return round(float(values), digits)
    return [round(float(value), digits) for value in values]
