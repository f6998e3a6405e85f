"""C-arm models: their joints, limits and kinematics, and the three that come with the program."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from fluoroscope.geometry.mounting import CeilingMounted, Mounting, SideStanding, Stance
from fluoroscope.geometry.panel import DetectorPanel, FieldOfView
from fluoroscope.geometry.pose import CArmPose, angles_from_axes, beam_axes

__all__ = ["C_ARMS", "CArmModel", "Joint", "OutOfReachError"]

_TOLERANCE = 1e-6  # degrees or mm: rounding of the inverse is not a reason to refuse


@dataclass(frozen=True, slots=True)
class Joint:
    """One movement of a C-arm.

    Attributes
    ----------
    name, label
        In code, and on the page.
    unit
        "°" or "mm".
    minimum, maximum
        Limits, in the unit.
    step
        One press of a key, in the unit.
    rest
        The value when nothing else is asked.
    """

    name: str
    label: str
    unit: str
    minimum: float
    maximum: float
    step: float
    rest: float = 0.0

    def __post_init__(self) -> None:
        if self.unit not in ("°", "mm"):
            raise ValueError(f"joint {self.name!r}: the unit must be ° or mm, got {self.unit!r}")
        if not self.minimum <= self.rest <= self.maximum:
            raise ValueError(f"joint {self.name!r}: rest {self.rest} is not within {self.minimum} to {self.maximum}")
        if not self.step > 0.0:
            raise ValueError(f"joint {self.name!r}: the step must be above 0, got {self.step}")

    def excess(self, value: float) -> float:
        """Return how far ``value`` lies beyond the limits, 0 within them."""
        return max(self.minimum - value, value - self.maximum, 0.0)

    def turned_into_reach(self, value: float, near: float) -> float:
        """Return ``value`` plus whole turns (angles): nearest to ``near`` in reach, or least beyond it."""
        if self.unit != "°":
            return value
        turns = [value + 360.0 * turn for turn in range(-3, 4)]
        return min(turns, key=lambda turned: (round(self.excess(turned), 6), abs(turned - near)))


class OutOfReachError(ValueError):
    """A joint value beyond the machine's limits.

    Attributes
    ----------
    joint
        The joint asked too much of.
    value
        What was asked, in the joint's unit.
    """

    def __init__(self, model: str, joint: Joint, value: float) -> None:
        self.joint = joint
        self.value = value
        unit = joint.unit if joint.unit == "°" else f" {joint.unit}"
        reach = (
            f"is fixed at {joint.rest:g}{unit}"
            if joint.minimum == joint.maximum
            else f"goes from {joint.minimum:g} to {joint.maximum:g}{unit}"
        )
        super().__init__(
            f"{joint.name} {value:.1f}{unit} is out of reach of {model}, whose {joint.name} {reach}; "
            "choose a value within it"
        )


@dataclass(frozen=True, slots=True)
class CArmModel:
    """An isocentric C-arm with its joints as the machine really nests them.

    Attributes
    ----------
    name, label
        Key of `C_ARMS`, and what a person reads.
    joints
        The first turns the beam mainly around the patient (orbital, rotation), the second toward head and
        feet (tilt, angulation); the rest follow in the order of the console.
    source_to_isocenter_mm, source_to_detector_mm
        Along the central ray; the second at rest when the detector travels (joint ``source_to_detector``).
    detector
        The flat panel.
    mounting
        The nesting of the joints.
    manufacturer
        What records say; every simulated object says so.
    """

    name: str
    label: str
    joints: tuple[Joint, ...]
    source_to_isocenter_mm: float
    source_to_detector_mm: float
    detector: DetectorPanel
    mounting: Mounting
    manufacturer: str = "Fluoroscope (simulated)"

    def __post_init__(self) -> None:
        names = [joint.name for joint in self.joints]
        if len(set(names)) != len(names):
            raise ValueError(f"C-arm {self.name!r}: joint names must differ, got {names}")
        lowest, _ = self.source_to_detector_range_mm
        if not 0.0 < self.source_to_isocenter_mm < lowest:
            raise ValueError(f"C-arm {self.name!r}: the isocentre must lie between source and detector")
        self.pose({})

    @property
    def source_to_detector_range_mm(self) -> tuple[float, float]:
        """Nearest and farthest detector, mm; equal when it does not travel."""
        for joint in self.joints:
            if joint.name == "source_to_detector":
                return joint.minimum, joint.maximum
        return self.source_to_detector_mm, self.source_to_detector_mm

    @property
    def rest(self) -> dict[str, float]:
        """The joints at rest."""
        return {joint.name: joint.rest for joint in self.joints}

    def joint(self, name: str) -> Joint:
        """Return the joint called ``name``; raise ValueError naming those there are."""
        for joint in self.joints:
            if joint.name == name:
                return joint
        known = ", ".join(joint.name for joint in self.joints)
        raise ValueError(f"{self.label} has no joint {name!r}; it has {known}")

    def clamp(self, joints: Mapping[str, float]) -> dict[str, float]:
        """Return ``joints`` with each value brought to its nearest limit; the names given, no others.

        Raises
        ------
        ValueError
            When a name is not a joint's or a value is not finite.
        """
        clamped = {}
        for name, value in joints.items():
            joint = self.joint(name)
            self._require_finite(joint, value)
            clamped[name] = min(max(float(value), joint.minimum), joint.maximum) + 0.0
        return clamped

    def pose(self, joints: Mapping[str, float]) -> CArmPose:
        """Return where source and detector stand, roll included; joints not given are at rest.

        Raises
        ------
        OutOfReachError
            When a value lies beyond its joint's limits.
        ValueError
            When a name is not a joint's or a value is not finite.
        """
        for name, value in joints.items():
            joint = self.joint(name)
            self._require_finite(joint, value)
            if joint.excess(value) > 0.0:
                raise OutOfReachError(self.label, joint, value)
        values = {**self.rest, **joints}
        stance = self.mounting.stance(values)
        primary_deg, secondary_deg, roll_deg = angles_from_axes(stance.axes)
        x, y, z = (float(part) + 0.0 for part in stance.isocenter_mm)
        return CArmPose(
            primary_deg=primary_deg,
            secondary_deg=secondary_deg,
            source_to_isocenter_mm=self.source_to_isocenter_mm,
            source_to_detector_mm=float(values.get("source_to_detector", self.source_to_detector_mm)),
            isocenter_mm=(x, y, z),
            detector_rotation_deg=roll_deg,
        )

    def joints_for(
        self, pose: CArmPose, near: Mapping[str, float] | None = None, match_roll: bool = False
    ) -> dict[str, float]:
        """Return the joint values that reach ``pose``; of several, the nearest to ``near``.

        Parameters
        ----------
        pose
            Beam direction, isocentre and distances are met exactly.
        near
            Present joint values (those not given at rest). Joints that the pose leaves free stay there: the
            outermost turn (wig-wag, swivel), and a joint whose axis lies along the beam.
        match_roll
            Whether to meet ``pose.detector_rotation_deg`` too, by that outermost turn. When False the
            picture's roll is what the nesting makes of it (`pose` of the result says how much): a real C-arm
            has no free roll.

        Raises
        ------
        OutOfReachError
            When no set of joint values within the limits reaches ``pose``; names the joint that is least
            beyond.
        ValueError
            When ``near`` names no joint of this C-arm.
        """
        start = {**self.rest, **self.clamp(near or {})}
        axes = beam_axes(pose)
        turned = np.column_stack([axes.u, -axes.d, -axes.v])
        stance = Stance(turned, np.asarray(pose.isocenter_mm, dtype=np.float64))
        distances = {
            "source_to_isocenter": pose.source_to_isocenter_mm,
            "source_to_detector": pose.source_to_detector_mm,
        }
        best: tuple[float, float, dict[str, float]] | None = None
        for solution in self.mounting.solutions(stance, start, match_roll):
            values = {}
            for name, value in {**solution, **distances}.items():
                values[name] = self._limits(name).turned_into_reach(value, start.get(name, value))
            excess = sum(max(self._limits(name).excess(value) - _TOLERANCE, 0.0) for name, value in values.items())
            travel = sum(abs(value - start.get(name, value)) for name, value in values.items())
            if best is None or (excess, travel) < best[:2]:
                best = excess, travel, values
        if best is None:
            raise RuntimeError(f"mounting of {self.name!r} gave no solution")
        for name, value in best[2].items():
            if self._limits(name).excess(value) > _TOLERANCE:
                raise OutOfReachError(self.label, self._limits(name), value)
        return self.clamp({joint.name: best[2][joint.name] for joint in self.joints})

    def _limits(self, name: str) -> Joint:
        """Return the joint, or a fixed one for what this machine cannot move."""
        fixed = {
            "height": 0.0,
            "source_to_isocenter": self.source_to_isocenter_mm,
            "source_to_detector": self.source_to_detector_mm,
        }
        names = [joint.name for joint in self.joints]
        if name in fixed and name not in names:
            value = fixed[name]
            return Joint(name, name, "mm", value, value, 1.0, rest=value)
        return self.joint(name)

    def _require_finite(self, joint: Joint, value: float) -> None:
        if not np.isfinite(value):
            raise ValueError(f"{self.label}: {joint.name} must be a finite number, got {value}")


def _mobile_joints(orbital_deg: float, wig_wag_deg: float, lateral_mm: float) -> tuple[Joint, ...]:
    return (
        Joint("orbital", "Orbital", "°", -orbital_deg, orbital_deg, 1.0),
        Joint("tilt", "Tilt (angulation)", "°", -180.0, 180.0, 1.0),
        Joint("height", "Height", "mm", -150.0, 270.0, 10.0),
        Joint("lateral", "Lateral (in/out)", "mm", -lateral_mm, lateral_mm, 10.0),
        Joint("longitudinal", "Longitudinal", "mm", -500.0, 500.0, 10.0),
        Joint("wig_wag", "Wig-wag", "°", -wig_wag_deg, wig_wag_deg, 1.0),
    )


_MOBILE_FLAT_PANEL = CArmModel(
    name="mobile-flat-panel",
    label="mobile flat-panel C-arm",
    joints=_mobile_joints(orbital_deg=95.0, wig_wag_deg=10.0, lateral_mm=110.0),
    source_to_isocenter_mm=510.0,
    source_to_detector_mm=1020.0,
    detector=DetectorPanel(
        2048,
        2048,
        0.15,
        (FieldOfView("30 cm", 307.2), FieldOfView("20 cm", 201.6), FieldOfView("15 cm", 153.6)),
    ),
    mounting=SideStanding(column_to_isocenter_mm=1000.0),
)

_MOBILE_LARGE = CArmModel(
    name="mobile-large",
    label="large mobile C-arm",
    joints=_mobile_joints(orbital_deg=100.0, wig_wag_deg=12.0, lateral_mm=100.0),
    source_to_isocenter_mm=550.0,
    source_to_detector_mm=1100.0,
    detector=DetectorPanel(
        2048,
        2048,
        0.15,
        (FieldOfView("30 cm", 307.2), FieldOfView("20 cm", 201.6), FieldOfView("15 cm", 153.6)),
    ),
    mounting=SideStanding(column_to_isocenter_mm=1080.0),
)

_ANGIOGRAPHY_ROOM = CArmModel(
    name="angiography-room",
    label="angiography room",
    joints=(
        Joint("rotation", "Rotation", "°", -185.0, 120.0, 1.0),
        Joint("angulation", "Angulation", "°", -90.0, 90.0, 1.0),
        Joint("lateral", "Lateral", "mm", -300.0, 300.0, 10.0),
        Joint("longitudinal", "Longitudinal", "mm", -800.0, 800.0, 10.0),
        Joint("swivel", "Swivel (L-arm)", "°", -90.0, 90.0, 5.0),
        Joint("source_to_detector", "Source to detector", "mm", 900.0, 1200.0, 10.0, rest=1200.0),
    ),
    source_to_isocenter_mm=750.0,
    source_to_detector_mm=1200.0,
    detector=DetectorPanel(
        2048,
        2048,
        0.2,
        (
            FieldOfView("40 cm", 409.6),
            FieldOfView("30 cm", 307.2),
            FieldOfView("20 cm", 204.8),
            FieldOfView("15 cm", 153.6),
        ),
    ),
    mounting=CeilingMounted(),
)

C_ARMS: Mapping[str, CArmModel] = MappingProxyType(
    {model.name: model for model in (_MOBILE_FLAT_PANEL, _MOBILE_LARGE, _ANGIOGRAPHY_ROOM)}
)
"""The C-arms that come with the program, by name.

Distances are those asked of each class; the limits are round numbers of the class and of no product: mobile
isocentric C-arms reach about 190° to 200° orbitally, tilt by half a turn either way, swing (wig-wag) 10° to
12°, lift about 420 mm and slide about 200 mm; ceiling gantries rotate from about 120° to 185° on the other
side and angulate 90° either way, with the detector travelling 300 mm. The mobile machines' longitudinal
movement is the cart's, on the floor. All are isocentric: the arcs of orbital and tilt meet the central ray in
one point.
"""
