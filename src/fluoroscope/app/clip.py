"""What the page is told of a recorded clip, in place of a C-arm's console."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fluoroscope.acquisition.event import IrradiationEvent
from fluoroscope.app.exam import StoredImage
from fluoroscope.app.reference import PlayedRun
from fluoroscope.dicom.xa import Clip
from fluoroscope.geometry.positioner import view_text
from fluoroscope.live.subscription import LivePicture
from fluoroscope.monitor.control import RefusedError
from fluoroscope.records.identity import SIMULATED_TEXT
from fluoroscope.records.png import write_png
from fluoroscope.records.uids import new_uid

__all__ = ["ClipSession", "clip_is_simulated", "clip_status", "clip_taken"]

SAME_VIEW_DEG = 1.0
RECORDED_TEXT = "RECORDED - not for clinical use; not a medical device"
_OPPOSITE = str.maketrans("APLRHF", "PARLFH")


def clip_is_simulated(clip: Clip) -> bool:
    """Whether the file says that a simulator made it: our own runs do, in series description or manufacturer."""
    return any("simulat" in text.lower() for text in (clip.description, clip.manufacturer, clip.model))


def clip_status(clip: Clip) -> dict[str, Any]:
    """Return the parts of the status that a console would give; what the clip does not say is None."""
    angles = clip.angles[0] if clip.angles else None
    return {
        "simulated": clip_is_simulated(clip),
        "carm": {
            "model": " ".join(part for part in (clip.manufacturer, clip.model) if part) or "recorded clip",
            "joints": [],
            "primary_deg": None,
            "secondary_deg": None,
            "roll_deg": None,
            "patient_primary_deg": None if angles is None else angles.primary_deg,
            "patient_secondary_deg": None if angles is None else angles.secondary_deg,
            "view_text": None if angles is None else view_text(angles.primary_deg, angles.secondary_deg),
            "source_to_detector_mm": clip.source_to_detector_mm,
            "source_to_isocenter_mm": clip.source_to_patient_mm,
        },
        "table": None,
        "detector": {
            "rows": clip.rows,
            "columns": clip.columns,
            "pitch_mm": clip.pitch_mm,
            "field_index": 0,
            "fields": [],
        },
        "collimation": None,
        "technique": {
            "tube_voltage_kv": clip.tube_voltage_kv,
            "tube_current_ma": None,
            "pulse_width_ms": None,
            "pulse_rate_hz": _rate_hz(clip),
            "pulse_rates_hz": [],
            "copper_mm": None,
            "coppers_mm": [],
            "automatic": None,
            "dose_level": None,
            "limited_by": None,
            "mode": "fluoroscopy",
        },
        "markers": None,
        "room": None,
    }


def clip_taken(clip: Clip, index: int | None) -> dict[str, Any]:
    """Return with what frame ``index`` of the clip was taken, as far as the file says; see ``console.taken_with``."""
    angles = clip.angles[index] if clip.angles and index is not None else None
    return {
        "label": "" if index is None else f"frame {index + 1} of {clip.frame_count}",
        "markers": _markers(clip, index),
        "view_text": None if angles is None else view_text(angles.primary_deg, angles.secondary_deg),
        "source_to_detector_mm": clip.source_to_detector_mm,
        "source_to_isocenter_mm": clip.source_to_patient_mm,
        "tube_voltage_kv": clip.tube_voltage_kv,
        "tube_current_ma": None,
        "pulse_width_ms": None,
        "pulse_rate_hz": _rate_hz(clip),
    }


def _rate_hz(clip: Clip) -> float | None:
    return clip.rate_hz if clip.rate_known and clip.frame_count > 1 else None


def _markers(clip: Clip, index: int | None) -> dict[str, str] | None:
    """Return the letters at the edges; only where the file's one Patient Orientation holds, else None."""
    if clip.patient_orientation is None or index is None:
        return None
    if clip.angles:
        first, now = clip.angles[0], clip.angles[index]
        turned = max(abs(now.primary_deg - first.primary_deg), abs(now.secondary_deg - first.secondary_deg))
        if turned > SAME_VIEW_DEG:
            return None
    right, bottom = clip.patient_orientation
    return {
        "column_right": right[0],
        "column_left": right[0].translate(_OPPOSITE),
        "top": bottom[0].translate(_OPPOSITE),
        "bottom": bottom[0],
    }


class ClipSession:
    """The exam of a recorded clip: it has its records already, so nothing is recorded and no dose counted.

    Stored images are pictures (PNG), not DICOM objects: what the clip does not say would have to be made up.

    Parameters
    ----------
    clip
        What is played.
    source
        Its path.
    parent
        Where a folder for stored images is made when there is one.
    """

    def __init__(self, clip: Clip, source: Path, parent: Path) -> None:
        self._clip, self._source = clip, source
        self.started = datetime.now(UTC)
        self.uid = new_uid()
        self.folder = parent / f"replay-{self.started:%Y%m%d-%H%M%S}-{source.stem}"
        self._images: list[StoredImage] = []

    @property
    def images(self) -> tuple[StoredImage, ...]:
        """The stored images, in order."""
        return tuple(self._images)

    @property
    def last_run_number(self) -> int | None:
        """None: the clip is played on LIVE."""
        return None

    def patient_status(self) -> dict[str, Any]:
        """Return the patient part of the status, as the clip says it."""
        return {
            "name": self._clip.patient_name or "–",
            "id": self._clip.patient_id or "–",
            "position": self._clip.patient_position or "–",
            "description": self._clip.description,
            "source": str(self._source),
        }

    def run_status(self) -> list[dict[str, Any]]:
        """Return no runs."""
        return []

    def played_run(self, event_number: int) -> PlayedRun:
        """Refuse: the clip is played on LIVE."""
        raise RefusedError(f"run {event_number} is not recorded: hold the pedal to play the clip")

    def log_event(self, event: IrradiationEvent) -> None:
        """Do nothing: playing is no irradiation."""

    def store_image(self, picture: LivePicture, taken: dict[str, Any]) -> StoredImage:
        """Keep a picture as PNG."""
        stored = StoredImage.of(picture, len(self._images) + 1, taken)
        self.folder.mkdir(parents=True, exist_ok=True)
        text = SIMULATED_TEXT if clip_is_simulated(self._clip) else RECORDED_TEXT
        path = self.folder / f"image-{stored.name}.png"
        write_png(path, stored.pixels, *stored.window, text=text, markers=stored.markers)
        self._images.append(stored)
        return stored

    def take_messages(self) -> list[tuple[str, str]]:
        """Return no messages."""
        return []

    def close(self) -> None:
        """Do nothing."""
