"""Our types as JSON, exactly: what is written reads back equal to the last bit."""

import json
import zlib
from dataclasses import asdict
from datetime import datetime
from typing import Any

from fluoroscope.acquisition.event import BeamPlace, IrradiationEvent
from fluoroscope.acquisition.frame import Collimation, PulseKerma
from fluoroscope.beam.technique import Filtration, RadiationMode, Technique
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.table import TablePose

__all__ = [
    "collimation_from_json",
    "decode_line",
    "encode_line",
    "event_from_json",
    "event_to_json",
    "kerma_from_json",
    "optional_json",
    "pose_from_json",
    "table_from_json",
    "technique_from_json",
    "technique_to_json",
]

_CRC_KEY = b',"crc":"'
_CRC_LENGTH = len(_CRC_KEY) + 8 + len(b'"}')

Json = dict[str, Any]


def encode_line(entry: Json) -> bytes:
    """Return one line of JSON that ends with the CRC-32 of what stands before it.

    Raises
    ------
    ValueError
        When a number is not finite: JSON cannot say it.
    """
    body = json.dumps(entry, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()[:-1]
    return b'%b,"crc":"%08x"}\n' % (body, zlib.crc32(body))


def decode_line(line: bytes) -> Json | None:
    """Return the entry of a line without its CRC; None when the line is torn or damaged."""
    body, tail = line[:-_CRC_LENGTH], line[-_CRC_LENGTH:]
    if not body or tail != b'%b%08x"}' % (_CRC_KEY, zlib.crc32(body)):
        return None
    entry: Json = json.loads(body + b"}")
    return entry


def technique_to_json(technique: Technique | None) -> Json | None:
    """Return a technique as JSON."""
    return None if technique is None else {**asdict(technique), "mode": technique.mode.value}


def technique_from_json(data: Json | None) -> Technique | None:
    """Return the technique of `technique_to_json`."""
    if data is None:
        return None
    known = {**data, "filtration": Filtration(**data["filtration"]), "mode": RadiationMode(data["mode"])}
    return Technique(**known)


def optional_json(value: CArmPose | TablePose | Collimation | PulseKerma | None) -> Json | None:
    """Return a flat dataclass as JSON."""
    return None if value is None else asdict(value)


def pose_from_json(data: Json | None) -> CArmPose | None:
    """Return the pose of `optional_json`."""
    if data is None:
        return None
    x, y, z = data["isocenter_mm"]
    return CArmPose(**{**data, "isocenter_mm": (x, y, z)})


def table_from_json(data: Json | None) -> TablePose | None:
    """Return the table of `optional_json`."""
    return None if data is None else TablePose(**data)


def collimation_from_json(data: Json | None) -> Collimation | None:
    """Return the collimation of `optional_json`."""
    return None if data is None else Collimation(**data)


def kerma_from_json(data: Json | None) -> PulseKerma | None:
    """Return the kerma of `optional_json`."""
    return None if data is None else PulseKerma(**data)


def event_to_json(event: IrradiationEvent) -> Json:
    """Return an irradiation event as JSON."""
    return {
        **asdict(event),
        "started": event.started.isoformat(),
        "ended": event.ended.isoformat(),
        "technique": technique_to_json(event.technique),
    }


def event_from_json(data: Json) -> IrradiationEvent:
    """Return the event of `event_to_json`."""
    return IrradiationEvent(
        **{
            **data,
            "started": datetime.fromisoformat(data["started"]),
            "ended": datetime.fromisoformat(data["ended"]),
            "first_pose": pose_from_json(data["first_pose"]),
            "last_pose": pose_from_json(data["last_pose"]),
            "table": table_from_json(data["table"]),
            "technique": technique_from_json(data["technique"]),
            "collimation": collimation_from_json(data["collimation"]),
            "path": tuple(_place_from_json(place) for place in data.get("path", ())),
        }
    )


def _place_from_json(data: Json) -> BeamPlace:
    pose = pose_from_json(data["pose"])
    if pose is None:
        raise ValueError("a place of a press needs its pose")
    return BeamPlace(data["share"], pose, table_from_json(data["table"]))
