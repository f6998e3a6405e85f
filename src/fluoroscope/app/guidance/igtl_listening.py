"""Listening to an OpenIGTLink peer for a while: what it sends, a tool swung about its tip, a point that is touched."""

import csv
import statistics
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.app.guidance.igtl_files import TrackerFile, read_points, read_tracker_file, write_tracker_file
from fluoroscope.app.terminal import Progress
from fluoroscope.guidance.tracked import PivotCalibration, calibrate_pivot, register_points
from fluoroscope.sources.openigtlink import (
    Arrived,
    Image,
    LinkClient,
    LinkState,
    Query,
    Status,
    Text,
    parse_address,
    poses_of,
)

__all__ = ["listened", "pivoted", "registered", "touched"]

_MOST_DEVICES = 64
_MOST_POSES = 4096
_CONNECT_S = 5.0
_STILL_MM = 1.0


@dataclass(slots=True)
class _Device:
    """What came of one device."""

    count: int = 0
    arrived_ns: list[int] = field(default_factory=list)
    last: Arrived | None = None


class _Ear:
    """Takes what a peer sends for some seconds."""

    def __init__(self, address: str, tool: str | None = None) -> None:
        self.devices: dict[tuple[str, str], _Device] = {}
        self.poses: list[NDArray[np.float64]] = []
        self._tool = tool
        self._lock = threading.Lock()
        self.left_out = 0
        self.client = LinkClient(parse_address(address), self._take, greeting=Query("STT_TDATA"))

    def listen(self, seconds: float, progress: Progress) -> None:
        """Listen; raise ValueError when the peer does not answer."""
        try:
            # What is listened to may have been started at the same time.
            self.client.wait_for(LinkState.CONNECTED, _CONNECT_S)
            began_s = time.monotonic()
            while self.client.connections and (gone_s := time.monotonic() - began_s) < seconds:
                progress(gone_s / seconds, f"listening to {self.client.address}")
                threading.Event().wait(0.1)
        finally:
            reason, answered = self.client.reason, self.client.connections
            self.client.close()
        if not answered:
            raise ValueError(f"{reason}; start the tracker's program, or name another HOST:PORT")

    def _take(self, arrived: Arrived) -> None:
        with self._lock:
            key = (arrived.kind, arrived.device)
            if key not in self.devices and len(self.devices) >= _MOST_DEVICES:
                self.left_out += 1
                return
            device = self.devices.setdefault(key, _Device())
            device.count += 1
            device.arrived_ns = [*device.arrived_ns[-511:], arrived.received_ns]
            device.last = arrived
            if self._tool is not None and len(self.poses) < _MOST_POSES:
                found = dict(poses_of(arrived.device, arrived.content)).get(self._tool)
                if found is not None:
                    self.poses.append(found)

    @property
    def heard(self) -> str:
        """Names of the tools that came, for an error's text."""
        names = {
            name
            for device in self.devices.values()
            if device.last is not None
            for name, _ in poses_of(device.last.device, device.last.content)
        }
        return f"the peer sends {', '.join(sorted(names))}" if names else "the peer sends no tool"


def listened(address: str, seconds: float, progress: Progress) -> dict[str, Any]:
    """Return what a peer sends: devices, types, rates, sizes, the newest pose, and what could not be read.

    Raises
    ------
    ValueError
        When the address is wrong or nobody answers.
    """
    ear = _Ear(address)
    ear.listen(seconds, progress)
    read = ear.client.read
    return {
        "address": str(ear.client.address),
        "seconds": seconds,
        "devices": [_device_facts(kind, name, device) for (kind, name), device in sorted(ear.devices.items())],
        "other_types_skipped": read.skipped,
        "refused": read.refused,
        "last_fault": read.last_fault,
    }


def _device_facts(kind: str, name: str, device: _Device) -> dict[str, Any]:
    steps_s = np.diff(device.arrived_ns) / 1e9
    facts: dict[str, Any] = {
        "device": name,
        "type": kind,
        "messages": device.count,
        "rate_hz": round(1.0 / statistics.fmean(steps_s), 2) if len(steps_s) and steps_s.sum() > 0.0 else None,
    }
    last = device.last
    if last is None:
        return facts
    match last.content:
        case Image(pixels, matrix, space):
            spacing = np.linalg.norm(matrix[:3, :3], axis=0)
            facts |= {"shape": list(pixels.shape), "pixels": str(pixels.dtype), "space": space}
            facts["spacing_mm"] = [round(float(one), 4) for one in spacing]
        case Status(code, subcode, error, words):
            facts |= {"code": code, "subcode": subcode, "error": error, "text": words}
        case Text(text):
            facts["text"] = text[:200]
        case content:
            tools = poses_of(last.device, content)
            if tools:
                facts["poses"] = {tool: None if pose is None else pose.round(4).tolist() for tool, pose in tools}
    return facts | ({"metadata": dict(last.metadata)} if last.metadata else {})


def _poses(address: str, tool: str, seconds: float, progress: Progress) -> NDArray[np.float64]:
    ear = _Ear(address, tool)
    ear.listen(seconds, progress)
    if not ear.poses:
        raise ValueError(f"--tool {tool}: no pose of it came in {seconds:g} s; {ear.heard}")
    return np.array(ear.poses)


def pivoted(address: str, tool: str, seconds: float, out: Path | None, progress: Progress) -> dict[str, Any]:
    """Return where the tip lies in a tool that is swung about it meanwhile; write it to a tracker file.

    Raises
    ------
    ValueError
        When nothing came, or the swing does not tell the tip.
    """
    if out is not None and out.exists():
        read_tracker_file(out)
    found: PivotCalibration = calibrate_pivot(_poses(address, tool, seconds, progress))
    sigma_mm = float(np.linalg.norm(found.sigma_mm))
    if out is not None:
        write_tracker_file(out, TrackerFile(tool=tool, tip_mm=tuple(found.tip_mm.tolist()), tip_sigma_mm=sigma_mm))
    return {
        "tool": tool,
        "tip_mm": found.tip_mm.round(3).tolist(),
        "tip_sigma_mm": round(sigma_mm, 3),
        "rms_mm": round(found.rms_mm, 3),
        "swing_deg": round(found.swing_deg, 1),
        "poses": found.used,
    }


def touched(
    address: str,
    tool: str,
    seconds: float,
    known: Path | None,
    equipment_mm: tuple[float, float, float] | None,
    table: Path | None,
    progress: Progress,
) -> dict[str, Any]:
    """Return where the tip of a tool rests, in the tracker's frame; add it to a table of paired points.

    Raises
    ------
    ValueError
        When nothing came, the tip moved, or the table is wrong.
    """
    if (equipment_mm is None) != (table is None):
        raise ValueError("--equipment and --csv belong together: where the point lies, and the table it goes to")
    if table is not None and table.exists():
        read_points(table)
    setup = (TrackerFile() if known is None else read_tracker_file(known)).setup
    poses = _poses(address, tool, seconds, progress)
    tips = poses[:, :3, :3] @ setup.tip_mm + poses[:, :3, 3]
    middle = np.median(tips, axis=0)
    spread_mm = float(np.sqrt(((tips - tips.mean(axis=0)) ** 2).sum(axis=1).mean()))
    if spread_mm > _STILL_MM:
        raise ValueError(
            f"{tool}: the tip moved by {spread_mm:.1f} mm (RMS); hold it still on the point and begin again"
        )
    if table is not None and equipment_mm is not None:
        with table.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow([*(f"{one:.4f}" for one in middle), *(f"{one:g}" for one in equipment_mm)])
    return {
        "tool": tool,
        "tracker_mm": middle.round(3).tolist(),
        "rms_mm": round(spread_mm, 3),
        "poses": len(poses),
        "equipment_mm": None if equipment_mm is None else list(equipment_mm),
    }


def registered(points: Path, place_mm: tuple[float, float, float], out: Path | None) -> dict[str, Any]:
    """Return where the tracker stands by paired points, and the error expected at a place; write it to a tracker file.

    Raises
    ------
    ValueError
        When the table is wrong or its points do not tell.
    """
    if out is not None and out.exists():
        read_tracker_file(out)
    pairs = read_points(points)
    found = register_points(pairs[:, :3], pairs[:, 3:])
    error_mm = found.error_at_mm(place_mm)
    if out is not None:
        matrix = tuple(tuple(row) for row in found.target_from_source.tolist())
        write_tracker_file(out, TrackerFile(equipment_from_tracker=matrix, registration_rms_mm=error_mm))
    worst = int(np.argmax(found.residuals_mm))
    return {
        "equipment_from_tracker": found.target_from_source.tolist(),
        "points": len(pairs),
        "rms_mm": round(found.rms_mm, 3),
        "residuals_mm": found.residuals_mm.round(3).tolist(),
        "worst_point": worst + 1,
        "place_mm": list(place_mm),
        "expected_error_mm": round(error_mm, 3),
    }
