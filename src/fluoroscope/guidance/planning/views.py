"""The C-arm's views of a planned needle: down the barrel, and from the side, within the machine's reach."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.carm import CArmModel, OutOfReachError
from fluoroscope.geometry.pose import CArmPose, angles_of_direction
from fluoroscope.geometry.positioner import patient_axes, pose_for_patient_view, view_text
from fluoroscope.geometry.table import PatientPosition, TablePose, patient_from_equipment

__all__ = ["END_STOP_DEG", "PlannedView", "Reach", "seen_share"]

Float = NDArray[np.float64]

END_STOP_DEG = 5.0
"""Nearer than this to a joint's limit a view costs: there is no room left to correct it (a choice of ours)."""
_TURNING = ("orbital", "tilt", "rotation", "angulation")


@dataclass(frozen=True, slots=True)
class PlannedView:
    """One view of the C-arm, its isocentre on the target.

    Attributes
    ----------
    name
        "coaxial", "lateral", "contralateral oblique" or "antero-posterior".
    primary_deg, secondary_deg
        DICOM positioner angles, patient-based.
    text
        The view in the patient's terms: "patient RIGHT posterior oblique 20°".
    pose
        In the equipment frame, isocentre at its origin.
    joints
        Of the C-arm, by name.
    table
        Shifts that bring the target to the isocentre of the C-arm at rest.
    margin_deg
        To the nearest limit of a turning joint.
    """

    name: str
    primary_deg: float
    secondary_deg: float
    text: str
    pose: CArmPose
    joints: Mapping[str, float]
    table: TablePose
    margin_deg: float

    @property
    def penalty(self) -> float:
        """0 with room to correct, 1 at the end stop."""
        return float(np.clip(1.0 - self.margin_deg / END_STOP_DEG, 0.0, 1.0))


@dataclass(frozen=True, slots=True)
class Reach:
    """What a C-arm reaches with a patient on the table.

    Attributes
    ----------
    model
        The C-arm.
    position
        How the patient lies.
    reference_mm
        (3,) the patient's point at the equipment's origin when the table stands at zero.
    """

    model: CArmModel
    position: PatientPosition
    reference_mm: Float

    def view(self, name: str, toward_detector: Float, target_mm: Float) -> PlannedView | None:
        """Return the view with the detector in a direction (3,) of the patient; None when out of reach."""
        primary, secondary = angles_of_direction(toward_detector / np.linalg.norm(toward_detector))
        rest = TablePose()
        wanted = pose_for_patient_view(primary, secondary, rest, self.position, self.model.pose({}))
        try:
            joints = self.model.joints_for(wanted)
        except OutOfReachError:
            return None
        pose = self.model.pose(joints)
        return PlannedView(
            name, primary, secondary, view_text(primary, secondary), pose, joints,
            self._table(target_mm, np.asarray(pose.isocenter_mm)), self._margin(joints),
        )  # fmt: skip

    def first_of(
        self, choices: Sequence[tuple[str, Float]], target_mm: Float, needle: Float
    ) -> tuple[PlannedView, float] | None:
        """Return the view of several that costs least, and what of the needle's length it hides; None out of reach."""
        best: tuple[float, PlannedView, float] | None = None
        for name, toward in choices:
            view = self.view(name, toward, target_mm)
            if view is None:
                continue
            hidden = 1.0 - seen_share(needle, self.toward_detector(view))
            cost = view.penalty + hidden
            if best is None or cost < best[0] - 1e-9:
                best = cost, view, hidden
        return None if best is None else (best[1], best[2])

    def toward_detector(self, view: PlannedView) -> Float:
        """Return the unit vector (3,) from the isocentre to the detector in patient coordinates."""
        return patient_axes(view.pose, TablePose(), self.position).d

    def _table(self, target_mm: Float, isocenter_mm: Float) -> TablePose:
        turn = patient_from_equipment(TablePose(), self.position)[:3, :3]
        x, y, z = (float(part) for part in isocenter_mm - turn.T @ (target_mm - self.reference_mm))
        return TablePose(lateral_mm=x, longitudinal_mm=z, height_mm=-y)

    def _margin(self, joints: Mapping[str, float]) -> float:
        margins = [180.0]
        for name, value in joints.items():
            joint = self.model.joint(name)
            if name in _TURNING and joint.maximum - joint.minimum < 360.0:
                margins.append(min(value - joint.minimum, joint.maximum - value))
        return min(margins)


def seen_share(needle: Float, toward_detector: Float) -> float:
    """Return the share of a needle's length that lies in the plane of the picture: 0 down the barrel, 1 from the side.

    It is the "in-plane visibility" of the trajectory's score.
    """
    along = float(abs(needle @ toward_detector) / np.linalg.norm(needle) / np.linalg.norm(toward_detector))
    return float(np.sqrt(max(0.0, 1.0 - along * along)))
