"""The file that says what was found out about a tracker: where it stands, where the tool's tip lies, how late it is."""

import json
import math
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fluoroscope import NOT_A_MEDICAL_DEVICE
from fluoroscope.geometry.rigid import Matrix, inverse
from fluoroscope.guidance.tracked import TrackerSetup

__all__ = ["TrackerFile", "read_points", "read_tracker_file", "write_tracker_file"]

_LARGEST_BYTES = 1024 * 1024
_LARGEST_LATENCY_S = 2.0


@dataclass(frozen=True, slots=True)
class TrackerFile:
    """What the file holds; what it does not say is None.

    Attributes
    ----------
    tool
        The tool's name as the tracker sends it.
    tip_mm, tip_sigma_mm
        (x, y, z) of the tip in the tool's frame, and its error.
    equipment_from_tracker
        (4, 4), LPS; with ``registration_rms_mm``, what the paired points left.
    latency_s, latency_sigma_s
        How late the tracker's times are.
    volume_mm
        Two corners of the working volume in the tracker's frame.
    """

    tool: str | None = None
    tip_mm: tuple[float, ...] | None = None
    tip_sigma_mm: float | None = None
    equipment_from_tracker: tuple[tuple[float, ...], ...] | None = None
    registration_rms_mm: float | None = None
    latency_s: float | None = None
    latency_sigma_s: float | None = None
    volume_mm: tuple[tuple[float, ...], ...] | None = field(default=None)

    @property
    def setup(self) -> TrackerSetup:
        """What a tracked tool is set up with; what is not said is the identity, the tool's origin, no latency."""
        setup = TrackerSetup()
        if self.equipment_from_tracker is not None:
            setup = replace(setup, equipment_from_tracker=np.array(self.equipment_from_tracker))
        if self.tip_mm is not None:
            setup = replace(setup, tip_mm=np.array(self.tip_mm))
        if self.latency_s is not None:
            setup = replace(setup, latency_s=self.latency_s, latency_sigma_s=self.latency_sigma_s or 0.01)
        if self.volume_mm is not None:
            setup = replace(setup, volume_mm=np.sort(np.array(self.volume_mm), axis=0))
        return setup


def read_tracker_file(path: Path) -> TrackerFile:
    """Return what a tracker file says.

    Raises
    ------
    ValueError
        When it cannot be read or says something impossible: one line with the file, what, and what to do.
    """
    told = _json_of(path)
    if not isinstance(told, dict):
        raise ValueError(f"{path}: no tracker file; make one with fluoroscope igtl pivot and igtl register")
    try:
        return TrackerFile(
            tool=_text(told, "tool"),
            tip_mm=_numbers(told, "tip_mm", (3,)),
            tip_sigma_mm=_number(told, "tip_sigma_mm", 0.0, 100.0),
            equipment_from_tracker=_rigid(told, "equipment_from_tracker"),
            registration_rms_mm=_number(told, "registration_rms_mm", 0.0, 1e4),
            latency_s=_number(told, "latency_s", -_LARGEST_LATENCY_S, _LARGEST_LATENCY_S),
            latency_sigma_s=_number(told, "latency_sigma_s", 0.0, 1.0),
            volume_mm=_numbers(told, "volume_mm", (2, 3)),
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def write_tracker_file(path: Path, content: TrackerFile) -> None:
    """Write a tracker file whole or not at all; what an earlier one says and ``content`` does not, stays."""
    kept: dict[str, Any] = {}
    if path.exists():
        read_tracker_file(path)
        kept = _json_of(path)
    new = {name: getattr(content, name) for name in content.__dataclass_fields__}
    kept |= {name: value for name, value in new.items() if value is not None}
    kept["statement"] = NOT_A_MEDICAL_DEVICE
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(json.dumps(kept, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(beside, path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise OSError(f"{path}: cannot be written ({error.strerror}); choose another --out") from None


def read_points(path: Path) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return (n, 6) of a CSV file with tracker x, y, z and equipment x, y, z, mm, in each row; a heading is left out.

    Raises
    ------
    ValueError
        With the line that is wrong.
    """
    rows: list[list[float]] = []
    for number, line in enumerate(_text_of(path).splitlines(), start=1):
        words = [word.strip() for word in line.replace(";", ",").split(",")]
        if not line.strip() or line.startswith("#"):
            continue
        try:
            values = [float(word) for word in words]
        except ValueError:
            if not rows:
                continue
            raise ValueError(f"{path}: line {number} holds something that is no number: {line[:60]!r}") from None
        if len(values) != 6 or not all(map(math.isfinite, values)):
            raise ValueError(f"{path}: line {number} needs six numbers: tracker x, y, z, equipment x, y, z (mm)")
        rows.append(values)
    return np.array(rows, dtype=np.float64).reshape(-1, 6)


def _text_of(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise ValueError(f"{path}: larger than 1 MB; this is no such file")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ValueError(f"{path}: cannot be read ({reason}); give a file that is there") from None


def _json_of(path: Path) -> Any:
    try:
        return json.loads(_text_of(path))
    except (json.JSONDecodeError, RecursionError):
        raise ValueError(f"{path}: no JSON; make it with fluoroscope igtl pivot and igtl register") from None


def _text(told: dict[str, Any], key: str) -> str | None:
    value = told.get(key)
    if value is not None and not (isinstance(value, str) and 0 < len(value) <= 64):
        raise ValueError(f"{key} must be a name")
    return value


def _number(told: dict[str, Any], key: str, least: float, most: float) -> float | None:
    value = told.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise ValueError(f"{key} must be a number from {least:g} to {most:g}")
    return float(value)


def _numbers(told: dict[str, Any], key: str, shape: tuple[int, ...]) -> Any:
    value = told.get(key)
    if value is None:
        return None
    try:
        array = np.array(value, dtype=np.float64)
    except (ValueError, TypeError):
        array = np.array([])
    if array.shape != shape or not np.all(np.isfinite(array)):
        raise ValueError(f"{key} must be {'×'.join(map(str, shape))} numbers, mm")
    return tuple(tuple(row) for row in array.tolist()) if array.ndim == 2 else tuple(array.tolist())


def _rigid(told: dict[str, Any], key: str) -> Any:
    value = _numbers(told, key, (4, 4))
    if value is None:
        return None
    matrix: Matrix = np.array(value)
    off = np.abs(inverse(matrix) @ matrix - np.eye(4)).max()
    if off > 1e-4 or np.linalg.det(matrix[:3, :3]) < 0.0 or not np.allclose(matrix[3], [0.0, 0.0, 0.0, 1.0]):
        raise ValueError(f"{key} is no rigid transform: its first three columns must be a rotation")
    return value
