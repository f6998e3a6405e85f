"""The C-arm's console: what the operator may turn, and what the page is told of it."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from fluoroscope.acquisition.frame import Collimation, Frame
from fluoroscope.beam.technique import PULSE_RATES_HZ, RadiationMode, Technique
from fluoroscope.geometry.carm import OutOfReachError
from fluoroscope.geometry.mounting import SideStanding
from fluoroscope.geometry.pose import CArmPose, beam_axes
from fluoroscope.geometry.positioner import (
    edge_markers,
    patient_axes,
    pose_for_patient_view,
    positioner_angles,
    view_text,
)
from fluoroscope.geometry.table import PatientPosition, TablePose
from fluoroscope.monitor.control import RefusedError
from fluoroscope.sources.exposure_control import DoseLevel
from fluoroscope.sources.virtual import VirtualCArm

__all__ = ["COPPERS_MM", "Console", "taken_with"]

COPPERS_MM = (0.0, 0.1, 0.2, 0.3)
VIEWS_DEG = {"ap": (180.0, 0.0), "lateral": (90.0, -90.0), "oblique": (155.0, -155.0, 25.0, -25.0)}
"""Patient-based primary angles that a view may have, in order of preference when equally near."""
TABLE_LIMITS: Mapping[str, tuple[float, float]] = {
    "lateral_mm": (-150.0, 150.0),
    "longitudinal_mm": (-400.0, 400.0),
    "height_mm": (-150.0, 200.0),
    "tilt_deg": (-20.0, 20.0),
    "cradle_deg": (-20.0, 20.0),
    "yaw_deg": (-20.0, 20.0),
}


class Console:
    """Turns commands of the page into moves of a virtual C-arm, and tells where everything stands."""

    def __init__(self, carm: VirtualCArm) -> None:
        self.carm = carm
        self._pulse_rate_hz = 7.5
        self._mode = RadiationMode.FLUOROSCOPY

    def take(self, carm: VirtualCArm) -> None:
        """Go on with another C-arm: another patient lies on the table."""
        carm.set_pulse_rate(self._pulse_rate_hz)
        self.carm = carm

    # Commands: their names and arguments are those of docs/reference/page-protocol.md

    def move_joints(self, **joints: float) -> None:
        """Move joints to absolute values."""
        self.carm.set_joints(joints)

    def nudge_joints(self, **joints: float) -> None:
        """Move joints by so much, up to their limits."""
        self.carm.nudge_joints(joints)

    def view(self, name: str) -> None:
        """Turn to a named view of the patient, whichever of its directions is nearest in reach."""
        if name not in VIEWS_DEG:
            raise RefusedError(f"no view {name!r}: choose {', '.join(VIEWS_DEG)}")
        wanted = VIEWS_DEG[name]
        present = dict(self.carm.joints)
        reached: list[tuple[float, dict[str, float]]] = []
        for primary_deg in wanted:
            pose = pose_for_patient_view(primary_deg, 0.0, self.carm.table, self.carm.position, self.carm.pose)
            try:
                joints = self.carm.model.joints_for(pose, near=present)
            except OutOfReachError:
                continue
            reached.append((sum(abs(joints[key] - present[key]) for key in joints), joints))
        if not reached:
            raise RefusedError(f"the {name} view is out of reach of this C-arm with the patient lying so")
        self.carm.set_joints(min(reached, key=lambda one: round(one[0], 3))[1])

    def move_table(self, **parts: float) -> None:
        """Move the table to absolute values."""
        for name, value in parts.items():
            low, high = self._table_limits(name)
            if not low <= value <= high:
                raise RefusedError(f"table {name} {value:g} is out of reach: it goes from {low:g} to {high:g}")
        self.carm.set_table(replace(self.carm.table, **parts))

    def nudge_table(self, **parts: float) -> None:
        """Move the table by so much, up to its limits."""
        moved = {}
        for name, delta in parts.items():
            low, high = self._table_limits(name)
            moved[name] = min(max(getattr(self.carm.table, name) + delta, low), high)
        self.carm.set_table(replace(self.carm.table, **moved))

    def set_collimation(self, *, open: bool = False, **edges: float) -> None:
        """Set collimator edges, mm at the detector, or open to the field."""
        if open:
            self.carm.set_collimation(None)
            return
        unknown = set(edges) - {field.name for field in fields(Collimation)}
        if unknown:
            raise RefusedError(f"the collimator has no edge {', '.join(sorted(unknown))}")
        self.carm.set_collimation(replace(self.carm.collimation, **edges))

    def set_field(self, index: int) -> None:
        """Choose a zoom field."""
        self.carm.set_field(index)

    def set_technique(self, **changes: Any) -> None:
        """Change pulse rate, filtration, dose level, or take the technique by hand; words first, then changes."""
        control, present = self.carm.control, self.shown_technique()
        rate_hz = float(changes.pop("pulse_rate_hz", self._pulse_rate_hz))
        copper_mm = float(changes.pop("copper_mm", present.filtration.copper_mm))
        level = str(changes.pop("dose_level", control.dose_level.name)).upper()
        automatic = changes.pop("automatic", None)
        _offered("pulses a second", rate_hz, PULSE_RATES_HZ)
        _offered("mm Cu", copper_mm, COPPERS_MM)
        if level not in DoseLevel.__members__:
            raise RefusedError(f"dose level {level.lower()}: choose low, normal or high")
        unknown = set(changes) - {"tube_voltage_kv", "tube_current_ma", "pulse_width_ms"}
        if unknown:
            raise RefusedError(f"the technique has no setting {', '.join(sorted(unknown))}")
        if automatic is True and changes:
            raise RefusedError("kV, mA and ms are set by the automatic control: switch it off first")
        if automatic is True:
            control.automatic()
        if copper_mm != present.filtration.copper_mm:
            control.set_filtration(replace(present.filtration, copper_mm=copper_mm))
        if rate_hz != self._pulse_rate_hz:
            self.carm.set_pulse_rate(rate_hz)
            self._pulse_rate_hz = rate_hz
        control.dose_level = DoseLevel[level]
        if changes or automatic is False:
            by_hand = {name: float(value) for name, value in changes.items()}
            control.manual(
                replace(
                    self.shown_technique(),
                    tube_voltage_kv=by_hand.get("tube_voltage_kv", present.tube_voltage_kv),
                    tube_current_ma=by_hand.get("tube_current_ma", present.tube_current_ma),
                    pulse_width_ms=by_hand.get("pulse_width_ms", present.pulse_width_ms),
                    mode=RadiationMode.FLUOROSCOPY,
                )
            )

    def shown_technique(self) -> Technique:
        """Return the technique of the present press, or of the next."""
        return self.carm.control.displayed(self._pulse_rate_hz, self._mode)

    def technique(self, mode: RadiationMode) -> Technique:
        """Return the technique for a press in ``mode``."""
        self._mode = mode
        return self.carm.control.technique(self._pulse_rate_hz, mode)

    # What the page is told

    def status(self) -> dict[str, Any]:
        """Return the parts of the status that belong to the C-arm."""
        carm = self.carm
        pose, table, grid = carm.pose, carm.table, carm.grid
        primary, secondary = positioner_angles(pose, table, carm.position)
        joints, collimation = carm.joints, carm.collimation
        axes, isocenter = beam_axes(pose), np.asarray(pose.isocenter_mm)
        behind = pose.source_to_detector_mm - pose.source_to_isocenter_mm
        detector_fields = carm.model.detector.fields
        return {
            "carm": {
                "model": carm.model.label,
                "joints": [
                    {
                        "name": joint.name,
                        "label": joint.label,
                        "unit": joint.unit,
                        "value": joints[joint.name],
                        "min": joint.minimum,
                        "max": joint.maximum,
                        "step": joint.step,
                    }
                    for joint in carm.model.joints
                ],
                "primary_deg": pose.primary_deg,
                "secondary_deg": pose.secondary_deg,
                "roll_deg": pose.detector_rotation_deg,
                "patient_primary_deg": primary,
                "patient_secondary_deg": secondary,
                "view_text": view_text(primary, secondary),
                "source_to_detector_mm": pose.source_to_detector_mm,
                "source_to_isocenter_mm": pose.source_to_isocenter_mm,
            },
            "table": {
                **{field.name: getattr(table, field.name) for field in fields(TablePose)},
                "limits": {name: list(limits) for name, limits in TABLE_LIMITS.items()},
            },
            "detector": {
                "rows": grid.rows,
                "columns": grid.columns,
                "pitch_mm": grid.pitch_mm,
                "field_index": carm.field_index,
                "fields": [{"label": field.label, "size_mm": field.size_mm} for field in detector_fields],
            },
            "collimation": {
                **{field.name: getattr(collimation, field.name) for field in fields(Collimation)},
                "field_mm": grid.width_mm,
            },
            "technique": self._technique_status(),
            "markers": _markers(pose, table, carm.position),
            "room": {
                "source_mm": (isocenter - pose.source_to_isocenter_mm * axes.d).tolist(),
                "detector_center_mm": (isocenter + behind * axes.d).tolist(),
                "u": axes.u.tolist(),
                "v": axes.v.tolist(),
                "isocenter_mm": isocenter.tolist(),
                # A mobile C hangs on its column at the side; that of an angiography room on the head end.
                "c_back": (-axes.u if isinstance(carm.model.mounting, SideStanding) else -axes.v).tolist(),
                "patient_position": carm.position.value,
            },
        }

    def _technique_status(self) -> dict[str, Any]:
        control = self.carm.control
        technique = self.shown_technique()
        return {
            "tube_voltage_kv": technique.tube_voltage_kv,
            "tube_current_ma": technique.tube_current_ma,
            "pulse_width_ms": technique.pulse_width_ms,
            "pulse_rate_hz": self._pulse_rate_hz,
            "pulse_rates_hz": list(PULSE_RATES_HZ),
            "copper_mm": technique.filtration.copper_mm,
            "coppers_mm": list(COPPERS_MM),
            "automatic": not control.locked,
            "dose_level": control.dose_level.name.lower(),
            "limited_by": control.displayed_limit(self._pulse_rate_hz, self._mode),
            "mode": technique.mode.value,
        }

    @staticmethod
    def _table_limits(name: str) -> tuple[float, float]:
        if name not in TABLE_LIMITS:
            raise RefusedError(f"the table has no movement {name!r}: it has {', '.join(TABLE_LIMITS)}")
        return TABLE_LIMITS[name]


def _offered(unit: str, value: float, choices: tuple[float, ...]) -> None:
    if value not in choices:
        raise RefusedError(f"{value:g} {unit}: choose one of {', '.join(f'{choice:g}' for choice in choices)}")


def _markers(pose: CArmPose, table: TablePose, position: PatientPosition) -> dict[str, str]:
    edges = edge_markers(patient_axes(pose, table, position))
    return {
        "column_right": edges.right[0],
        "column_left": edges.left[0],
        "top": edges.top[0],
        "bottom": edges.bottom[0],
    }


def taken_with(frame: Frame, position: PatientPosition | None, label: str = "") -> dict[str, Any]:
    """Return with what a picture was taken, for the monitor that shows it; unknown is None."""
    pose, technique = frame.pose, frame.technique
    shown: dict[str, Any] = {
        "label": label,
        "markers": None,
        "view_text": None,
        "source_to_detector_mm": None if pose is None else pose.source_to_detector_mm,
        "source_to_isocenter_mm": None if pose is None else pose.source_to_isocenter_mm,
        "tube_voltage_kv": None if technique is None else technique.tube_voltage_kv,
        "tube_current_ma": None if technique is None else technique.tube_current_ma,
        "pulse_width_ms": None if technique is None else technique.pulse_width_ms,
        "pulse_rate_hz": None if technique is None else technique.pulse_rate_hz,
    }
    if pose is not None and position is not None:
        table = frame.table or TablePose()
        shown["markers"] = _markers(pose, table, position)
        shown["view_text"] = view_text(*positioner_angles(pose, table, position))
    return shown
