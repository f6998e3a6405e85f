"""Rounds what a model's arithmetic gives, so that processors whose last bits differ write the same bytes.

Linear algebra libraries add in an order of their own on each processor: lengths agree to 1e-12 mm or so.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.patient.parts import Articulation, DiscJoint, Landmark, Part
from fluoroscope.patient.volume import BasisVolume

__all__ = ["settled", "settled_facts"]

MATRIX_DECIMALS, LENGTH_DECIMALS = 9, 6


def settled(articulation: Articulation) -> Articulation:
    """Return the articulation with matrices to nine decimals and lengths to a nanometre."""
    return Articulation(
        tuple(_part(part) for part in articulation.parts),
        tuple(_joint(joint) for joint in articulation.joints),
        {name: _landmark(one) for name, one in articulation.landmarks.items()},
    )


def settled_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """Return facts (JSON-ready, nested) with numbers to six decimals."""
    return {name: _settled(one) for name, one in facts.items()}


def _settled(value: Any) -> Any:
    if isinstance(value, dict):
        return settled_facts(value)
    if isinstance(value, list | tuple):
        return [_settled(one) for one in value]
    return _length(value) if isinstance(value, float) else value


def _matrix(values: NDArray[np.float64]) -> NDArray[np.float64]:
    # Adding 0 turns −0, which is written with its sign, into 0.
    rounded: NDArray[np.float64] = np.round(values, MATRIX_DECIMALS) + 0.0
    return rounded


def _length(value: float) -> float:
    return round(float(value), LENGTH_DECIMALS) + 0.0


def _part(part: Part) -> Part:
    volume = part.volume
    return replace(part, volume=BasisVolume(volume.water, volume.bone, _matrix(volume.world_from_index)))


def _joint(joint: DiscJoint) -> DiscJoint:
    return replace(
        joint,
        world_from_disc=_matrix(joint.world_from_disc),
        width_mm=_length(joint.width_mm),
        depth_mm=_length(joint.depth_mm),
        anterior_mm=_length(joint.anterior_mm),
        posterior_mm=_length(joint.posterior_mm),
        degeneration=_length(joint.degeneration),
    )


def _landmark(one: Landmark) -> Landmark:
    x_mm, y_mm, z_mm = (_length(value) for value in one.position_mm)
    return replace(one, position_mm=(x_mm, y_mm, z_mm), uncertainty_mm=_length(one.uncertainty_mm))
