"""Angles and picture edges in the patient's terms: DICOM positioner angles, the view in words, L/R markers.

A wrong side is a hazard: everything here goes through ``patient_from_equipment`` and the beam's vectors,
never through a table of special cases.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.pose import BeamAxes, CArmPose, beam_axes, wrap_deg
from fluoroscope.geometry.table import PatientPosition, TablePose, patient_from_equipment

__all__ = [
    "DisplayOrientation",
    "EdgeMarkers",
    "edge_markers",
    "patient_axes",
    "pose_for_patient_view",
    "positioner_angles",
    "view_text",
]

Vector = NDArray[np.float64]

_POLE = 1e-9  # sine of the angle to the pole below which the primary angle is no longer in the direction itself
_SECOND_LETTER = float(np.sin(np.deg2rad(22.5)))


def _equator_vector(pose: CArmPose) -> Vector:
    """Return where the detector goes when the secondary angle is brought back toward 0 (equipment frame)."""
    p, s = np.deg2rad([pose.primary_deg, pose.secondary_deg])
    toward_larger = np.array([-np.sin(p) * np.sin(s), np.cos(p) * np.sin(s), np.cos(s)])
    return -toward_larger if np.sin(s) >= 0.0 else toward_larger


def _angles_of(direction: Vector, equator: Vector) -> tuple[float, float]:
    """Return (primary_deg, secondary_deg) of a unit vector; at a pole the primary is that of ``equator``."""
    across = float(np.hypot(direction[0], direction[1]))
    secondary_deg = float(np.rad2deg(np.arctan2(direction[2], across)))
    flat = direction if across > _POLE else equator
    return wrap_deg(np.rad2deg(np.arctan2(flat[0], -flat[1]))), secondary_deg


def positioner_angles(pose: CArmPose, table: TablePose, position: PatientPosition) -> tuple[float, float]:
    """Return the DICOM positioner angles (primary_deg, secondary_deg): where the patient has the detector.

    Primary 0 is the detector in front of the patient's chest, +90 at the patient's left (LAO), ±180 behind
    the back, in (−180, 180]; secondary is positive toward the head (cranial), in [−90, 90]. DICOM PS3.3
    C.8.7.5.1.2. At secondary ±90 the primary is the one reached by bringing the C-arm's secondary angle back
    toward 0.
    """
    turned = patient_from_equipment(table, position)[:3, :3]
    return _angles_of(turned @ beam_axes(pose).d, turned @ _equator_vector(pose))


def pose_for_patient_view(
    primary_deg: float, secondary_deg: float, table: TablePose, position: PatientPosition, like: CArmPose
) -> CArmPose:
    """Return ``like`` turned to the wanted patient-based angles: the inverse of `positioner_angles`.

    Isocentre and distances are those of ``like``; roll is 0. A real C-arm's own roll follows from its joints:
    ``CArmModel.joints_for`` and ``CArmModel.pose``.

    Parameters
    ----------
    primary_deg, secondary_deg
        Wanted patient-based angles; any finite primary, secondary in [−90, 90].
    table, position
        As in `positioner_angles`.
    like
        Where the C-arm's isocentre and distances are taken from.

    Raises
    ------
    ValueError
        When the secondary angle is outside ±90° or an angle is not finite.
    """
    if not (np.isfinite(primary_deg) and abs(secondary_deg) <= 90.0):
        raise ValueError(
            f"patient view {primary_deg}° / {secondary_deg}°: "
            "the secondary angle must lie within ±90°, the primary be finite"
        )
    wanted = replace(like, primary_deg=primary_deg, secondary_deg=secondary_deg, detector_rotation_deg=0.0)
    back = patient_from_equipment(table, position)[:3, :3].T
    primary, secondary = _angles_of(back @ beam_axes(wanted).d, back @ _equator_vector(wanted))
    return replace(wanted, primary_deg=primary, secondary_deg=secondary)


def view_text(primary_deg: float, secondary_deg: float) -> str:
    """Return the view in the patient's terms from patient-based angles, in whole degrees.

    Side and face are where the detector is: "patient RIGHT posterior oblique 20°" has the detector 20° from
    behind the back toward the patient's right. A beam that leaves through the chest is "postero-anterior".

    Examples
    --------
    >>> view_text(180.0, 0.0)
    'antero-posterior'
    >>> view_text(-160.0, 5.0)
    'patient RIGHT posterior oblique 20°, cranial 5°'
    """
    primary, secondary = round(wrap_deg(primary_deg)), round(secondary_deg)
    if abs(secondary) == 90:
        return f"axial, detector at the {'head' if secondary > 0 else 'feet'}"
    side = "left" if primary > 0 else "right"
    if primary == 0:
        text = "postero-anterior"
    elif abs(primary) == 180:
        text = "antero-posterior"
    elif abs(primary) == 90:
        text = f"{side} lateral"
    elif abs(primary) < 90:
        text = f"patient {side.upper()} anterior oblique {abs(primary)}°"
    else:
        text = f"patient {side.upper()} posterior oblique {180 - abs(primary)}°"
    if secondary == 0:
        return text
    return f"{text}, {'cranial' if secondary > 0 else 'caudal'} {abs(secondary)}°"


def patient_axes(pose: CArmPose, table: TablePose, position: PatientPosition) -> BeamAxes:
    """Return the picture's axes of ``pose`` in patient coordinates (LPS), unit vectors (3,)."""
    turned = patient_from_equipment(table, position)[:3, :3]
    axes = beam_axes(pose)
    return BeamAxes(d=turned @ axes.d, u=turned @ axes.u, v=turned @ axes.v)


@dataclass(frozen=True, slots=True)
class EdgeMarkers:
    """Letters of the patient's directions at the picture's edges, strongest first: L R A P H F ("LP")."""

    left: str
    right: str
    top: str
    bottom: str

    @property
    def patient_orientation(self) -> tuple[str, str]:
        """DICOM Patient Orientation (0020,0020): the way of growing columns, the way of growing rows."""
        return self.right, self.bottom


def _letters(direction: Vector) -> str:
    named = sorted(zip(np.abs(direction), direction, ("LR", "PA", "HF"), strict=True), key=lambda part: -part[0])
    letters = [pair[0] if value > 0.0 else pair[1] for _, value, pair in named]
    keep = 1 + sum(1 for size, _, _ in named[1:] if size >= _SECOND_LETTER)
    return "".join(letters[:keep])


def edge_markers(axes: BeamAxes) -> EdgeMarkers:
    """Return the letters at the edges of a picture whose axes in patient coordinates are ``axes``.

    The first letter is the axis nearest the edge's direction; others follow when they are at least 22.5° into
    it (DICOM PS3.3 C.7.6.1.1.1 writes oblique directions so). Take ``axes`` from `patient_axes`.
    """
    return EdgeMarkers(left=_letters(-axes.u), right=_letters(axes.u), top=_letters(-axes.v), bottom=_letters(axes.v))


@dataclass(frozen=True, slots=True)
class DisplayOrientation:
    """How a picture is turned for the eye only: first mirrored left to right, then turned clockwise.

    Attributes
    ----------
    quarter_turns
        Clockwise quarter turns, 0 to 3.
    mirrored
        Whether left and right are exchanged before the turn.
    """

    quarter_turns: int = 0
    mirrored: bool = False

    def __post_init__(self) -> None:
        if self.quarter_turns not in (0, 1, 2, 3):
            raise ValueError(f"quarter_turns must be 0, 1, 2 or 3, got {self.quarter_turns}")

    def markers(self, markers: EdgeMarkers) -> EdgeMarkers:
        """Return the letters at the edges of the shown picture."""
        left, top, right, bottom = markers.left, markers.top, markers.right, markers.bottom
        if self.mirrored:
            left, right = right, left
        for _ in range(self.quarter_turns):
            left, top, right, bottom = bottom, left, top, right
        return EdgeMarkers(left=left, right=right, top=top, bottom=bottom)

    def shown(self, pixels: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return ``pixels`` (rows, columns) as they are shown; a view, not a copy."""
        mirrored = pixels[:, ::-1] if self.mirrored else pixels
        return np.rot90(mirrored, k=-self.quarter_turns)

    def shown_pixel(self, row: float, column: float, rows: int, columns: int) -> tuple[float, float]:
        """Return where pixel (row, column) of a (rows, columns) picture is shown, as (row, column)."""
        if self.mirrored:
            column = columns - 1 - column
        for _ in range(self.quarter_turns):
            row, column = column, rows - 1 - row
            rows, columns = columns, rows
        return row, column
