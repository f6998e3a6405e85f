"""The vertebrae of a CT named on X-ray files: from paths to facts, and the picture with the names."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fluoroscope import NOT_A_MEDICAL_DEVICE
from fluoroscope.app.guidance.xray_files import open_views
from fluoroscope.app.guidance.xray_picture import bone_dark, wrapped, write_side_by_side
from fluoroscope.app.setup import RoomSetup, load_patient
from fluoroscope.app.terminal import Progress
from fluoroscope.guidance.levels import (
    LevelLabels,
    anatomy_warnings,
    label_levels,
    level_at,
    skeleton_of,
    wrong_level,
)
from fluoroscope.guidance.registration import vertebra_models
from fluoroscope.guidance.view import XRayView
from fluoroscope.patient.level_names import LEVELS
from fluoroscope.records.loading import load_records

__all__ = ["LevelsRequest", "NamedLevels", "label_files", "write_names"]

_NAME, _WARNING, _MARK = (120, 200, 255), (255, 120, 90), (255, 210, 80)
_HEIGHT_PX = 768


@dataclass(frozen=True, slots=True)
class LevelsRequest:
    """What the user asked for; words are checked here, before anything is loaded.

    Attributes
    ----------
    ct, labels, names, series
        The patient, as `RoomSetup` takes them.
    images, frame
        X-ray files of a patient who did not move between them, and the frame of each.
    expect
        Level that is thought to lie under ``at``; "" for no check.
    at
        (row, column) in the first image.
    """

    ct: str
    images: tuple[Path, ...]
    frame: int = 0
    expect: str = ""
    at: tuple[float, float] | None = None
    labels: Path | None = None
    names: Path | None = None
    series: str | None = None

    def __post_init__(self) -> None:
        if not self.images:
            raise ValueError("--image: no X-ray given; give one or more XA files")
        if self.expect and self.wanted not in LEVELS:
            raise ValueError(f"--expect {self.expect}: no such level; give one such as L3 or T12")
        if self.expect and self.at is None:
            raise ValueError(f"--expect {self.expect}: say where with --at ROW,COLUMN, a pixel of the first image")

    @property
    def wanted(self) -> str:
        """The expected level as it is written here."""
        return self.expect.strip().removeprefix("vertebrae_").upper()


@dataclass(frozen=True, slots=True)
class NamedLevels:
    """What came out, with what the picture is drawn from."""

    facts: dict[str, Any]
    labels: LevelLabels
    views: tuple[XRayView, ...]
    at: tuple[float, float] | None = None


def label_files(request: LevelsRequest, progress: Progress) -> NamedLevels:
    """Name the vertebrae on X-ray files.

    Raises
    ------
    ValueError
        A file that cannot be read or lacks geometry, a frame that is not there, a mark outside the image, no labels.
    """
    load_records()
    views, position, _ = open_views(request.images, (request.frame,))
    if request.at is not None:
        grid = views[0].geometry.grid
        if not (0 <= request.at[0] < grid.rows and 0 <= request.at[1] < grid.columns):
            place = f"{request.at[0]:g},{request.at[1]:g}"
            raise ValueError(f"--at {place}: outside the image of {grid.rows} x {grid.columns}")
    patient = load_patient(
        RoomSetup(request.ct, request.labels, position.value, names=request.names, series=request.series),
        lambda fraction, text: progress(0.5 * fraction, text),
    )
    if patient.labels is None:
        raise ValueError(
            f"{patient.record.name}: the CT has no labels; give a label map of its vertebrae with --labels"
        )
    progress(0.5, "cutting out the bones")
    models = vertebra_models(patient.volume, patient.labels)
    skeleton = skeleton_of(patient.volume, patient.labels)
    warnings = anatomy_warnings(patient.volume, patient.labels)
    progress(0.7, "looking along the spine")
    found = label_levels(models, views, position=position, skeleton=skeleton, warnings=warnings)
    progress(1.0, "done")
    return NamedLevels(_facts(request, found, views), found, views, request.at)


def _facts(request: LevelsRequest, found: LevelLabels, views: tuple[XRayView, ...]) -> dict[str, Any]:
    warnings = list(found.warnings)
    facts: dict[str, Any] = {
        "success": found.success,
        "reason": found.reason,
        "confidence": round(found.confidence, 3),
        "warnings": warnings,
        "levels": {
            name: [
                {
                    "image": str(path),
                    "center_px": [round(value, 2) for value in one.center_px],
                    "outline_px": np.round(one.outline_px, 1).tolist(),
                }
                for path, one in zip(request.images, shown, strict=True)
            ]
            for name, shown in found.levels.items()
        },
        "equipment_from_ct": {name: pose.tolist() for name, pose in found.equipment_from_ct.items()},
        "time_s": round(found.time_s, 3),
        "evaluations": found.evaluations,
    }
    if request.at is not None:
        facts["level_at"] = level_at(found, request.at, views[0]) if found.success else None
    if request.expect and request.at is not None:
        warning = wrong_level(found, request.wanted, request.at, views[0])
        facts["expected"], facts["wrong_level"] = request.wanted, warning or ""
    return facts


def write_names(path: Path, named: NamedLevels) -> None:
    """Write a PNG of the pictures beside each other, with names and outlines, or with why there are none."""
    write_side_by_side(path, [_panel(named, index) for index in range(len(named.views))])


def _panel(named: NamedLevels, index: int) -> Image.Image:
    view, labels = named.views[index], named.labels
    scale = _HEIGHT_PX / view.attenuation.shape[0]
    picture = Image.fromarray(bone_dark(view)).convert("RGB")
    picture = picture.resize((round(picture.width * scale), _HEIGHT_PX), Image.Resampling.BILINEAR)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(20)
    small = ImageFont.load_default(14)
    for name, shown in labels.levels.items():
        outline = [((column + 0.5) * scale, (row + 0.5) * scale) for row, column in shown[index].outline_px]
        if len(outline) > 2:
            draw.line([*outline, outline[0]], fill=_NAME, width=1)
        row, column = shown[index].center_px
        draw.text(((column + 0.5) * scale, (row + 0.5) * scale), name, fill=_NAME, font=font, anchor="mm",
                  stroke_width=2, stroke_fill=(0, 0, 0))  # fmt: skip
    if index == 0 and named.at is not None:
        row, column = ((value + 0.5) * scale for value in named.at)
        draw.line([(column - 9, row), (column + 9, row)], fill=_MARK, width=2)
        draw.line([(column, row - 9), (column, row + 9)], fill=_MARK, width=2)
    said = [named.facts.get("wrong_level", ""), "" if labels.success else f"not labelled: {labels.reason}"]
    lines = [line for text in [*said, *labels.warnings] if text for line in wrapped(text, picture.width // 8)]
    draw.multiline_text((8, 8), "\n".join(lines), fill=_WARNING, font=small, stroke_width=2, stroke_fill=(0, 0, 0))
    draw.text((8, _HEIGHT_PX - 22), NOT_A_MEDICAL_DEVICE, fill=(240, 240, 240), font=small, stroke_width=2,
              stroke_fill=(0, 0, 0))  # fmt: skip
    return picture
