"""An articulation as arrays and plain values, for the cache and for a patient's folder; and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.parts import Articulation, DiscJoint, Landmark, Part
from fluoroscope.patient.volume import BasisVolume

__all__ = ["articulation_from", "joints_to_json", "landmarks_to_json", "parts_of"]


def parts_of(articulation: Articulation) -> tuple[dict[str, NDArray[np.int16]], dict[str, Any]]:
    """Return arrays by "part_<name>_water" and "part_<name>_bone", and everything else as plain values."""
    arrays: dict[str, NDArray[np.int16]] = {}
    parts = []
    for part in articulation.parts:
        arrays[f"part_{part.name}_water"] = part.volume.water
        arrays[f"part_{part.name}_bone"] = part.volume.bone
        matrix = part.volume.world_from_index.tolist()
        parts.append({"name": part.name, "frame": part.frame, "world_from_index": matrix})
    facts = {
        "parts": parts,
        "joints": joints_to_json(articulation),
        "landmarks": landmarks_to_json(articulation),
    }
    return arrays, facts


def joints_to_json(articulation: Articulation) -> list[dict[str, Any]]:
    """Return the disc joints from the head down, as plain values."""
    return [
        {
            "name": joint.name,
            "upper": joint.upper,
            "lower": joint.lower,
            "world_from_disc": np.asarray(joint.world_from_disc).tolist(),
            "width_mm": float(joint.width_mm),
            "depth_mm": float(joint.depth_mm),
            "anterior_mm": float(joint.anterior_mm),
            "posterior_mm": float(joint.posterior_mm),
            "degeneration": float(joint.degeneration),
            "fused": bool(joint.fused),
        }
        for joint in articulation.joints
    ]


def landmarks_to_json(articulation: Articulation) -> dict[str, dict[str, Any]]:
    """Return the landmarks by name: position_mm (LPS), frame, uncertainty_mm."""
    return {
        name: {
            "position_mm": [float(value) for value in landmark.position_mm],
            "frame": landmark.frame,
            "uncertainty_mm": float(landmark.uncertainty_mm),
        }
        for name, landmark in articulation.landmarks.items()
    }


def articulation_from(arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> Articulation:
    """Return the articulation that `parts_of` took apart.

    Raises
    ------
    KeyError, TypeError, ValueError
        Something is missing or of the wrong kind.
    """
    parts = tuple(
        Part(
            part["name"],
            BasisVolume(
                arrays[f"part_{part['name']}_water"],
                arrays[f"part_{part['name']}_bone"],
                np.array(part["world_from_index"], dtype=np.float64),
            ),
            part["frame"],
        )
        for part in facts["parts"]
    )
    joints = tuple(
        DiscJoint(**{**joint, "world_from_disc": np.array(joint["world_from_disc"], dtype=np.float64)})
        for joint in facts["joints"]
    )
    landmarks = {name: _landmark(name, values) for name, values in facts["landmarks"].items()}
    return Articulation(parts, joints, landmarks)


def _landmark(name: str, values: Mapping[str, Any]) -> Landmark:
    x, y, z = (float(value) for value in values["position_mm"])
    return Landmark(name, (x, y, z), str(values["frame"]), float(values["uncertainty_mm"]))
