"""One pulse of the virtual C-arm as a function: how the room stands, where the beam goes, picture, dose."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from fluoroscope.acquisition.frame import Collimation
from fluoroscope.beam.kerma import PulseKerma, pulse_kerma, reference_distance_mm
from fluoroscope.beam.technique import Technique
from fluoroscope.detector.expose import Detector, measuring_field
from fluoroscope.geometry.carm import CArmModel
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import ProjectionGeometry, projection_geometry
from fluoroscope.geometry.table import PatientPosition, TablePose, patient_from_equipment
from fluoroscope.patient.scene import Scene
from fluoroscope.projector.scene import SceneProjector

__all__ = ["BeamSetup", "CArmSetup", "beam_setup", "blades_meet_field", "kerma_of", "render_pulse"]


@dataclass(frozen=True, slots=True)
class CArmSetup:
    """How everything in the room stands. A pulse is made of one setup, whatever is moved meanwhile.

    Attributes
    ----------
    joints
        Joint values by name; those not given are at rest.
    table
        The table.
    position
        How the patient lies.
    reference_mm
        (3,) the patient's point, LPS mm, at the equipment origin when the table stands at zero.
    field_index
        Zoom field of the detector.
    collimation
        Blades as asked for, mm at the detector; None is open. Never wider than the zoom field.
    """

    joints: Mapping[str, float] = field(default_factory=dict)
    table: TablePose = field(default_factory=TablePose)
    position: PatientPosition = PatientPosition.HFP
    reference_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    field_index: int = 0
    collimation: Collimation | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "joints", MappingProxyType(dict(self.joints)))
        if len(self.reference_mm) != 3 or not all(np.isfinite(self.reference_mm)):
            raise ValueError(f"reference_mm must be three finite numbers (LPS, mm), got {self.reference_mm}")


@dataclass(frozen=True, slots=True)
class BeamSetup:
    """Where the beam goes: what follows from a `CArmSetup` and a machine.

    Attributes
    ----------
    pose
        In the equipment frame.
    geometry
        In patient coordinates.
    collimation
        The field as it is, within the zoom field.
    """

    pose: CArmPose
    geometry: ProjectionGeometry
    collimation: Collimation


def beam_setup(model: CArmModel, setup: CArmSetup, matrix_limit: int) -> BeamSetup:
    """Return where the beam goes.

    Parameters
    ----------
    model
        The machine.
    setup
        How everything stands.
    matrix_limit
        Most rows and columns of the picture, such as 1024 or 512.

    Raises
    ------
    ValueError
        When a joint is out of reach, there is no such field, or the collimator leaves nothing of it.
    """
    pose = model.pose(setup.joints)
    grid = model.detector.grid(setup.field_index, matrix_limit=matrix_limit)
    turned = patient_from_equipment(setup.table, setup.position, setup.reference_mm)
    half_width, half_height = grid.width_mm / 2.0, grid.height_mm / 2.0
    asked = setup.collimation
    if asked is None:
        asked = Collimation(half_width, half_width, half_height, half_height)
    within = Collimation(
        min(asked.left_mm, half_width),
        min(asked.right_mm, half_width),
        min(asked.upper_mm, half_height),
        min(asked.lower_mm, half_height),
    )
    # At least one open pixel to measure.
    measuring_field(grid, within)
    return BeamSetup(pose, projection_geometry(pose, grid, turned), within)


def blades_meet_field(blades: Collimation, half_width_mm: float, half_height_mm: float) -> bool:
    """Whether the blades leave anything of the zoom field."""
    width = min(blades.left_mm, half_width_mm) + min(blades.right_mm, half_width_mm)
    height = min(blades.upper_mm, half_height_mm) + min(blades.lower_mm, half_height_mm)
    return width > 0.0 and height > 0.0


def render_pulse(
    projector: SceneProjector,
    detector: Detector,
    scene: Scene,
    beam: BeamSetup,
    technique: Technique,
    frame_number: int,
    thickness_mm: NDArray[np.float32] | None = None,
) -> NDArray[np.uint16]:
    """Return the LIN picture of one pulse: the same arguments give the same picture.

    Parameters
    ----------
    projector
        Only a cache of what rests.
    detector
        Brings the seed of the noise.
    scene
        At the moment of the pulse, in patient coordinates.
    beam, technique
        Where the beam goes and what it is.
    frame_number
        Chooses the noise, 0 or more: another number for every pulse.
    thickness_mm
        float32 (2, rows, columns) to work in; a new array when absent.

    Returns
    -------
    uint16 (rows, columns), a new array.
    """
    projected = projector.project(scene, beam.geometry, out=thickness_mm)
    return detector.expose(projected, technique, beam.geometry, beam.collimation, frame_number)


def kerma_of(technique: Technique, beam: BeamSetup) -> PulseKerma:
    """Return air kerma 15 cm from the isocentre toward the source, and KAP of the open field."""
    return pulse_kerma(
        technique,
        reference_distance_mm(beam.pose.source_to_isocenter_mm),
        beam.collimation.area_mm2,
        beam.pose.source_to_detector_mm,
    )
