"""How discs open under a pull: a standard linear solid per level over a force of straight pieces, in closed form."""

import math
from dataclasses import dataclass

from fluoroscope.patient.motion.course import Ramp, piece_at, value_of
from fluoroscope.patient.parts import DiscJoint

__all__ = ["Creep", "DiscSpring", "Opening", "disc_spring", "opening", "spine_force"]

_LARGEST_MM = 2.0
"""A disc never opens further (guidance §3: the stop)."""
_STIFFNESS_N_MM = 800.0
"""Immediate, of a healthy L3-L4 disc: 0.37 mm at 300 N, within the 0.2 to 0.5 mm assumed in guidance §3."""
_CREEP_SHARE = 1.3
"""Creep in the end over immediate opening: with it the same disc reaches 0.7 mm; unverified."""
_CREEP_S = 420.0
"""Time constant of creep, between the 5 and 10 min of guidance §3."""
_AREA_MM2, _HEIGHT_MM = 1350.0, 8.7
"""Of that L3-L4 disc (guidance §6): stiffness goes with area over height."""


@dataclass(frozen=True, slots=True)
class DiscSpring:
    """A disc along its axis: immediate stiffness, creep stiffness, and creep's time constant."""

    immediate_n_mm: float
    creep_n_mm: float
    creep_s: float


@dataclass(frozen=True, slots=True)
class Opening:
    """How far a disc is open beyond rest, mm."""

    anterior_mm: float
    middle_mm: float
    posterior_mm: float


def disc_spring(joint: DiscJoint) -> DiscSpring:
    """Return the spring of a disc: stiffer when wide, low or degenerated, which also creeps sooner.

    A degenerated disc is taken as up to twice as stiff and with 0.7 of the time constant (unverified); the scale by
    area and height is kept within 0.75 to 1.75, where 300 N opens 0.2 to 0.5 mm at once. A fused one does not open.
    """
    if joint.fused:
        return DiscSpring(math.inf, math.inf, _CREEP_S)
    area_mm2 = math.pi / 4.0 * joint.width_mm * joint.depth_mm
    height_mm = max(2.0, 0.5 * (joint.anterior_mm + joint.posterior_mm))
    scale = area_mm2 / _AREA_MM2 * _HEIGHT_MM / height_mm * (1.0 + joint.degeneration)
    stiffness = _STIFFNESS_N_MM * min(max(scale, 0.75), 1.75)
    return DiscSpring(stiffness, stiffness / _CREEP_SHARE, _CREEP_S * (1.0 - 0.3 * joint.degeneration))


def spine_force(pull: list[Ramp], friction_n: float) -> list[Ramp]:
    """Return what of a pull reaches the spine: friction under the lower body holds against either direction.

    Coulomb friction makes a play of ± ``friction_n``: the force rises late, and falls late when the pull lets go, as
    straight pieces again.
    """
    if friction_n <= 0.0:
        return pull
    felt, force = [Ramp(float("-inf"), 0.0, 0.0)], 0.0
    for number, piece in enumerate(pull):
        if math.isinf(piece.at_s):
            continue
        if piece.rate == 0.0:
            force = min(max(force, piece.start - friction_n), piece.start + friction_n)
            felt.append(Ramp(piece.at_s, force, 0.0))
            continue
        edge = piece.start - math.copysign(friction_n, piece.rate)
        wait_s = max(0.0, (force - edge) / piece.rate)
        end_s = pull[number + 1].at_s - piece.at_s if number + 1 < len(pull) else math.inf
        felt.append(Ramp(piece.at_s, force, 0.0))
        if wait_s < end_s:
            felt.append(Ramp(piece.at_s + wait_s, force, piece.rate))
            force += piece.rate * (end_s - wait_s)
    return felt


class Creep:
    """Response of a standard linear solid to a force history, exact at any time.

    Opening = F/k₀ + q/k₁ with q′ = (F − q)/τ. Over a straight piece F = a + b·s:
    q(s) = a + b(s − τ) + (q₀ − a + bτ)·exp(−s/τ).

    Parameters
    ----------
    force
        Straight pieces.
    creep_s
        τ.
    """

    def __init__(self, force: list[Ramp], creep_s: float) -> None:
        self._force, self._creep_s = force, creep_s
        self._before = [0.0]
        for number in range(1, len(force)):
            self._before.append(self._within(number - 1, force[number].at_s))

    def _within(self, number: int, time_s: float) -> float:
        piece = self._force[number]
        if math.isinf(piece.at_s):
            return 0.0
        s, tau = time_s - piece.at_s, self._creep_s
        away = self._before[number] - piece.start + piece.rate * tau
        return piece.start + piece.rate * (s - tau) + away * math.exp(-s / tau)

    def at(self, time_s: float) -> tuple[float, float]:
        """Return the force and its crept part q, both N."""
        number = piece_at(self._force, time_s)
        return value_of(self._force[number], time_s), self._within(number, time_s)


def opening(spring: DiscSpring, force_n: float, crept_n: float, pull_angle_deg: float) -> Opening:
    """Return how far a disc is open: the linear answer bent softly toward 2 mm, more behind for a flexing pull."""
    linear_mm = force_n / spring.immediate_n_mm + crept_n / spring.creep_n_mm
    tilt = pull_angle_deg / 25.0
    # The stop holds for the posterior rim, which opens up to twice as far as the middle.
    largest_mm = _LARGEST_MM / (1.0 + tilt)
    middle_mm = largest_mm * (1.0 - math.exp(-linear_mm / largest_mm))
    return Opening(middle_mm * (1.0 - tilt), middle_mm, middle_mm * (1.0 + tilt))
