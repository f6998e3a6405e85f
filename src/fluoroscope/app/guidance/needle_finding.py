"""Needles in the frames of a recorded run: facts for ``fluoroscope needle``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fluoroscope.app.guidance.xray_files import MissingGeometryError, clip_pose
from fluoroscope.app.terminal import Progress
from fluoroscope.dicom.xa import Clip
from fluoroscope.guidance.needle import DetectedNeedle, NeedleTracker, open_field
from fluoroscope.guidance.view import attenuation_of

__all__ = ["FrameNeedles", "found_facts", "found_rows", "found_words", "frame_range", "needles_of_clip"]

TOLD_FROM = 0.5
"""Confidence from which a needle is counted as found; less is told in the JSON with its confidence."""


@dataclass(frozen=True, slots=True)
class FrameNeedles:
    """The needles of one frame of a run; ``index`` counts from 0."""

    index: int
    needles: tuple[DetectedNeedle, ...]


def frame_range(words: str | None, count: int) -> range:
    """Return the frames that ``A:B`` names: from A up to, not including, B; either may be left out.

    Raises
    ------
    ValueError
        For anything that names no frame of a run of ``count``.
    """
    if words is None:
        return range(count)
    first, colon, last = words.partition(":")
    try:
        begin = int(first) if first else 0
        end = int(last) if last else count if colon else begin + 1
    except ValueError:
        raise ValueError(f"--frames {words}: write A:B, such as 10:20, or one number") from None
    if not 0 <= begin < end <= count:
        raise ValueError(f"--frames {words}: the run has frames 0 to {count - 1}; write A:B within them")
    return range(begin, end)


def needles_of_clip(clip: Clip, frames: Sequence[int], progress: Progress) -> list[FrameNeedles]:
    """Return the needles of every frame, in order, followed from frame to frame.

    Raises
    ------
    ValueError
        When a frame cannot be decoded.
    """
    tracker = NeedleTracker(pitch_mm=clip.pitch_mm)
    found = []
    for n, index in enumerate(frames):
        progress(n / len(frames), f"frame {index}")
        pixels = clip.frame(index)
        attenuation = attenuation_of(pixels, clip.intensity, clip.bits_stored)
        valid = open_field(pixels, clip.bits_stored)
        told = tracker.update(attenuation, valid, clip.frame_times_ms[index] / 1000.0)
        found.append(FrameNeedles(index, told))
    progress(1.0, "done")
    return found


def iso_mm_per_px(clip: Clip) -> tuple[float | None, str]:
    """Return mm at the isocentre for a pixel; None with the reason where the file does not say."""
    try:
        pose = clip_pose(clip)
    except MissingGeometryError as fault:
        return None, str(fault)
    return (clip.pitch_mm or np.nan) * pose.source_to_isocenter_mm / pose.source_to_detector_mm, ""


def found_facts(clip: Clip, found: Sequence[FrameNeedles]) -> dict[str, Any]:
    """Return what was found, JSON-ready."""
    scale, reason = iso_mm_per_px(clip)
    return {
        "clip": clip.name,
        "rows": clip.rows,
        "columns": clip.columns,
        "mm_per_px_at_isocenter": scale,
        "no_mm_because": reason or None,
        "found": found_words(found),
        "frames": [{"index": one.index, "needles": [_facts(needle, scale) for needle in one.needles]} for one in found],
    }


def _facts(needle: DetectedNeedle, scale: float | None) -> dict[str, Any]:
    line = needle.centreline_px
    step = max(1, (len(line) - 1) // 32)
    points = [*line[:-1:step].tolist(), line[-1].tolist()]
    length = float(np.hypot(*np.diff(line, axis=0).T).sum()) if len(line) > 1 else 0.0
    return {
        "track": needle.track,
        "seen": needle.seen,
        "tip_px": [round(part, 2) for part in needle.tip_px],
        "angle_deg": None if needle.angle_deg is None else round(needle.angle_deg, 2),
        "confidence": round(needle.confidence, 3),
        "tip_sigma_px": round(needle.tip_sigma_px, 2),
        "hub_px": None if needle.hub_px is None else [round(part, 2) for part in needle.hub_px],
        "length_px": round(length, 1),
        "length_mm": None if scale is None else round(length * scale, 1),
        "width_px": round(needle.width_px, 1),
        "curved": needle.curved,
        "note": needle.note,
        "centreline_px": [[round(part, 1) for part in point] for point in points],
    }


def found_words(found: Sequence[FrameNeedles]) -> str:
    """Return one sentence: in how many frames something was seen."""
    count = len(found)
    frames = f"{count} frame" if count == 1 else f"{count} frames"
    sure = [one for one in found if any(n.seen and n.confidence >= TOLD_FROM for n in one.needles)]
    if not sure:
        return f"no needle or wire seen in {frames}"
    tracks = {n.track for one in sure for n in one.needles if n.seen and n.confidence >= TOLD_FROM}
    what = "1 needle or wire" if len(tracks) == 1 else f"{len(tracks)} needles or wires"
    lost = count - len(sure)
    return f"{what} seen in {len(sure)} of {frames}" + (f"; not seen in {lost}" if lost else "")


def found_rows(found: Sequence[FrameNeedles]) -> list[list[str]]:
    """Return rows of a table: one for each needle of each frame; a frame without one says so."""
    rows = []
    for one in found:
        told = [needle for needle in one.needles if needle.confidence >= TOLD_FROM or not needle.seen]
        for needle in told:
            angle = "end-on" if needle.angle_deg is None else f"{needle.angle_deg:.1f}°"
            tip = f"{needle.tip_px[0]:.1f}, {needle.tip_px[1]:.1f}"
            note = needle.note if needle.seen else "not seen here"
            rows.append([str(one.index), str(needle.track), tip, angle, f"{needle.confidence:.2f}", note])
        if not told:
            rows.append([str(one.index), "–", "–", "–", "–", "nothing seen"])
    return rows
