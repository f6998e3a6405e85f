"""What the page is told of a recorded clip, in place of a C-arm's console."""

from typing import Any

from fluoroscope.dicom.xa import Clip
from fluoroscope.geometry.positioner import view_text

__all__ = ["clip_status"]


def clip_status(clip: Clip) -> dict[str, Any]:
    """Return the parts of the status that a console would give; what the clip does not say is None."""
    angles = clip.angles[0] if clip.angles else None
    field_mm = None if clip.pitch_mm is None else clip.pitch_mm * clip.columns
    return {
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
        "collimation": None
        if field_mm is None
        else dict.fromkeys(("left_mm", "right_mm", "upper_mm", "lower_mm"), field_mm / 2) | {"field_mm": field_mm},
        "technique": {
            "tube_voltage_kv": clip.tube_voltage_kv,
            "tube_current_ma": None,
            "pulse_width_ms": None,
            "pulse_rate_hz": clip.rate_hz,
            "pulse_rates_hz": [],
            "copper_mm": None,
            "coppers_mm": [],
            "automatic": None,
            "dose_level": None,
            "mode": "fluoroscopy",
        },
        "markers": None,
        "room": None,
    }
