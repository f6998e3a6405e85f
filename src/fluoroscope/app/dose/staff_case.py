"""Scatter of a case typed by hand: ``fluoroscope dose staff``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fluoroscope.app.dose.staff_dose import STEP_MM, Beam, Protection, staff_dose
from fluoroscope.app.dose.staff_picture import draw_staff_map
from fluoroscope.dose.staff_settings import StaffSettings
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.table import PatientPosition, TablePose

__all__ = ["StaffCase", "staff_case", "write_staff_png"]

_SHIELDS = ("curtain", "ceiling", "glasses")
_PICTURE_STEP_MM = 25.0
_SOURCE_TO_ISOCENTER_MM, _SOURCE_TO_DETECTOR_MM = 510.0, 1020.0


@dataclass(frozen=True, slots=True)
class StaffCase:
    """What was typed: angles, KAP rate and KAP, beam, how the patient lies, height, what protects."""

    primary_deg: float = 0.0
    secondary_deg: float = 0.0
    rate_gy_cm2_min: float = 1.0
    kap_gy_cm2: float | None = None
    tube_voltage_kv: float = 80.0
    copper_mm: float = 0.1
    position: str = "HFP"
    height: str = "trunk"
    height_cm: float | None = None
    shields: Sequence[str] | None = None
    apron: str = "0.35"
    settings: StaffSettings | None = None

    @property
    def pose(self) -> CArmPose:
        """The C-arm: source 510 mm from the isocentre, detector 1020 mm from the source."""
        for name, angle, most in (("primary", self.primary_deg, 180.0), ("secondary", self.secondary_deg, 90.0)):
            if not abs(angle) <= most:
                raise ValueError(f"{name} angle must be within ±{most:g}°, got {angle:g}")
        return CArmPose(self.primary_deg, self.secondary_deg, _SOURCE_TO_ISOCENTER_MM, _SOURCE_TO_DETECTOR_MM)

    @property
    def protection(self) -> Protection:
        """What is worn and what hangs."""
        shields = tuple(self.shields or ())
        for name in shields:
            if name not in _SHIELDS:
                raise ValueError(f"shield must be {', '.join(_SHIELDS)}, got {name}")
        return Protection(self.apron, **{name: name in shields for name in _SHIELDS})


def staff_case(case: StaffCase, step_mm: float = STEP_MM) -> dict[str, Any]:
    """Return the scatter of a case, JSON-ready: rates, and with a KAP its doses under ``usv_so_far``.

    Raises
    ------
    ValueError
        For a word that is not known or a number out of range.
    """
    if case.position not in PatientPosition.__members__:
        raise ValueError(f"position must be {', '.join(PatientPosition.__members__)}, got {case.position}")
    return staff_dose(
        case.pose,
        TablePose(),
        PatientPosition[case.position],
        case.rate_gy_cm2_min,
        Beam(case.tube_voltage_kv, case.copper_mm),
        height=case.height,
        worn=case.protection,
        kap_gy_cm2=case.kap_gy_cm2 or 0.0,
        height_cm=case.height_cm,
        step_mm=step_mm,
        settings=case.settings,
    )


def write_staff_png(case: StaffCase, path: Path) -> None:
    """Write the map of a case as a picture."""
    found = staff_case(case, _PICTURE_STEP_MM)
    title = (
        f"Scatter {found['map']['height_cm']:g} cm above the floor, µSv/h, at {case.rate_gy_cm2_min:g} Gy·cm²/min, "
        f"{case.tube_voltage_kv:g} kV"
    )
    draw_staff_map(found, case.pose, TablePose(), title, path)
