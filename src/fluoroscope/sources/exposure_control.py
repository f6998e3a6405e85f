"""Automatic exposure control of the virtual C-arm: keeps the detector's signal while the view changes.

The control knows one number of the patient: the thickness of water that would give the signal it measured.
One curve turns thickness into tube voltage and pulse width (thicker: higher voltage, longer pulses, as in
AAPM Report 125), and the mAs follow from the signal wanted. Because each measurement is judged with the
technique it was made with, the loop cannot wind up and does not oscillate. No clock in it: it is driven pulse
by pulse.
"""

from copy import copy
from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from fluoroscope.acquisition.frame import Collimation
from fluoroscope.beam.technique import Filtration, RadiationMode, Technique
from fluoroscope.detector.expose import Detector
from fluoroscope.dose.limits import (
    C_ARM_POINT_FROM_DETECTOR_MM,
    PUBLISHED_LIMITS,
    air_kerma_rate_mgy_min,
    entrance_point,
    refused_rate,
)
from fluoroscope.geometry.grid import DetectorGrid

__all__ = ["AutomaticCurve", "BeamChange", "DoseLevel", "ExposureControl", "GeneratorLimits", "entrance_rate_mgy_min"]


class DoseLevel(Enum):
    """Detector dose per pulse relative to the normal level."""

    LOW = 0.5
    NORMAL = 1.0
    HIGH = 2.0


@dataclass(frozen=True, slots=True)
class AutomaticCurve:
    """Tube voltage and pulse width over water-equivalent thickness, linear between the points.

    Attributes
    ----------
    water_mm
        Ascending thicknesses, mm.
    tube_voltage_kv, pulse_width_ms
        At those thicknesses.
    voltage_step_kv
        Voltages are rounded to multiples of this, so that few beams have to be prepared.
    filtration
        Of all points. 0.3 mm of copper keeps 40 cm of water under the entrance limit at 15 pulses a second.
    """

    water_mm: tuple[float, ...] = (50.0, 100.0, 150.0, 200.0, 250.0, 300.0, 400.0)
    tube_voltage_kv: tuple[float, ...] = (52.0, 60.0, 66.0, 74.0, 84.0, 96.0, 120.0)
    pulse_width_ms: tuple[float, ...] = (4.0, 4.0, 5.0, 6.0, 8.0, 10.0, 16.0)
    voltage_step_kv: float = 2.0
    filtration: Filtration = field(default_factory=lambda: Filtration(3.1, 0.3))

    def __post_init__(self) -> None:
        if not len(self.water_mm) == len(self.tube_voltage_kv) == len(self.pulse_width_ms) >= 2:
            raise ValueError("an automatic curve needs a voltage and a pulse width for each of 2 or more thicknesses")
        if not (np.diff(self.water_mm) > 0.0).all():
            raise ValueError("the thicknesses of an automatic curve must ascend")

    def at(self, water_mm: float) -> tuple[float, float]:
        """Return (kV, pulse width ms) for a thickness; the end points beyond the curve."""
        kv = float(np.interp(water_mm, self.water_mm, self.tube_voltage_kv))
        width = float(np.interp(water_mm, self.water_mm, self.pulse_width_ms))
        return round(kv / self.voltage_step_kv) * self.voltage_step_kv, width


@dataclass(frozen=True, slots=True)
class GeneratorLimits:
    """What generator and tube can do in pulsed fluoroscopy; the defaults are a mobile C-arm of 15 kW."""

    lowest_kv: float = 40.0
    highest_kv: float = 120.0
    lowest_ma: float = 1.0
    highest_ma: float = 120.0
    lowest_ms: float = 2.0
    highest_ms: float = 20.0
    power_kw: float = 15.0

    def highest_ma_at(self, kv: float) -> float:
        """Return the most current at ``kv``."""
        return min(self.highest_ma, 1000.0 * self.power_kw / kv)

    def longest_ms_at(self, pulse_rate_hz: float) -> float:
        """Return the longest pulse at a rate: it ends before the next begins."""
        return min(self.highest_ms, 1000.0 / pulse_rate_hz)

    def check(self, technique: Technique) -> None:
        """Raise ValueError, with what is possible, when the generator cannot give ``technique``."""
        kv, rate_hz = technique.tube_voltage_kv, technique.pulse_rate_hz
        for value, low, high, unit, where in (
            (kv, self.lowest_kv, self.highest_kv, "kV", ""),
            (technique.tube_current_ma, self.lowest_ma, self.highest_ma_at(kv), "mA", f" at {kv:g} kV"),
            (technique.pulse_width_ms, self.lowest_ms, self.longest_ms_at(rate_hz), "ms", f" at {rate_hz:g} a second"),
        ):
            # The automatic control goes to these limits, by division: the last bit is not the operator's.
            if not low * (1.0 - 1e-9) <= value <= high * (1.0 + 1e-9):
                raise ValueError(f"the generator cannot give {value:.4g} {unit}: {low:.4g} to {high:.4g}{where}")


def entrance_rate_mgy_min(technique: Technique, source_to_detector_mm: float) -> float:
    """Return the air kerma rate where the rule measures it on a C-arm, free in air, mGy/min."""
    return air_kerma_rate_mgy_min(technique, entrance_point(source_to_detector_mm).source_distance_mm)


@dataclass(frozen=True, slots=True)
class BeamChange:
    """What would be another; None stays.

    Attributes
    ----------
    copper_mm, dose_level, source_to_detector_mm
        As set.
    water_mm
        The patient as the control would see it, in another measuring field.
    """

    copper_mm: float | None = None
    dose_level: DoseLevel | None = None
    source_to_detector_mm: float | None = None
    water_mm: float | None = None


class ExposureControl:
    """Chooses the technique of each pulse.

    Parameters
    ----------
    detector
        The panel whose signal is kept.
    source_to_detector_mm, pitch_mm
        Geometry of the picture; change it with `set_geometry`.
    curve, limits
        The automatic curve and what the generator can do.
    target_kerma_ngy
        Air kerma at the detector's entrance per pulse at the normal dose level in fluoroscopy, nGy. C-arm
        panels work at 10 to 40 at 15 pulses a second; 16 is what 40 cm of water leaves within the entrance
        limit.
    """

    ACQUISITION_FACTOR = 8.0
    """Dose of an acquisition pulse relative to a fluoroscopy pulse."""
    DAMPING = 0.7
    """Share of the measured difference taken up per pulse."""
    DEAD_BAND_MM = 1.5
    """Smaller differences of thickness, about 3 % of signal, change nothing: no flicker."""

    def __init__(
        self,
        detector: Detector,
        source_to_detector_mm: float,
        pitch_mm: float,
        curve: AutomaticCurve | None = None,
        limits: GeneratorLimits | None = None,
        target_kerma_ngy: float = 16.0,
    ) -> None:
        self._detector = detector
        self._curve = AutomaticCurve() if curve is None else curve
        self._limits = GeneratorLimits() if limits is None else limits
        self._target_kerma_ngy = target_kerma_ngy
        self._water_mm = 200.0
        self._fixed: Technique | None = None
        self._limited_by: str | None = None
        self._entrance_limit_mgy_min = PUBLISHED_LIMITS.normal_mgy_min
        self.dose_level = DoseLevel.NORMAL
        self.set_geometry(source_to_detector_mm, pitch_mm)

    def set_geometry(self, source_to_detector_mm: float, pitch_mm: float) -> None:
        """Take note of another source-to-detector distance or pixel pitch (zoom field).

        Raises
        ------
        ValueError
            When it cannot be, or a technique set by hand would give too much there; nothing has then changed.
        """
        if not source_to_detector_mm > C_ARM_POINT_FROM_DETECTOR_MM:
            raise ValueError(f"the detector must be more than 300 mm from the source, got {source_to_detector_mm}")
        if not pitch_mm > 0.0:
            raise ValueError(f"pixel pitch must be above 0 mm, got {pitch_mm}")
        if self._fixed is not None:
            self._refuse_too_much(self._fixed, source_to_detector_mm)
        self._source_to_detector_mm = source_to_detector_mm
        self._pitch_mm = pitch_mm

    @property
    def entrance_limit_mgy_min(self) -> float:
        """Most air kerma rate of fluoroscopy where the rule measures it; recording is exempt."""
        return self._entrance_limit_mgy_min

    def set_entrance_limit(self, limit_mgy_min: float) -> None:
        """Keep fluoroscopy below another rate from the next pulse on (a site's own, or the high-level control).

        Raises
        ------
        ValueError
            When it is not above 0, or a technique set by hand gives more; nothing has then changed.
        """
        if not limit_mgy_min > 0.0:
            raise ValueError(f"a rate limit is above 0 mGy/min, not {limit_mgy_min}")
        if self._fixed is not None:
            told = refused_rate(self._fixed, entrance_point(self._source_to_detector_mm), limit_mgy_min)
            if told is not None:
                raise ValueError(told)
        self._entrance_limit_mgy_min = limit_mgy_min

    def set_filtration(self, filtration: Filtration) -> None:
        """Put other filters into the beam, from the next pulse on; under automatic control the mAs follow.

        Raises
        ------
        ValueError
            When a technique set by hand would give too much behind them; nothing has then changed.
        """
        if self._fixed is not None:
            fixed = replace(self._fixed, filtration=filtration)
            self._refuse_too_much(fixed, self._source_to_detector_mm)
            self._fixed = fixed
        self._curve = replace(self._curve, filtration=filtration)

    def check_rate(self, pulse_rate_hz: float, mode: RadiationMode = RadiationMode.FLUOROSCOPY) -> None:
        """Raise ValueError when a technique set by hand cannot be given so often; changes nothing."""
        if self._fixed is not None:
            self._check(replace(self._fixed, pulse_rate_hz=pulse_rate_hz, mode=mode))

    def set_pulse_rate(self, pulse_rate_hz: float, mode: RadiationMode = RadiationMode.FLUOROSCOPY) -> None:
        """Take note of the pulse rate, by which a technique set by hand is judged when the beam changes.

        Raises
        ------
        ValueError
            As `check_rate`; nothing has then changed.
        """
        self.check_rate(pulse_rate_hz, mode)
        if self._fixed is not None:
            self._fixed = replace(self._fixed, pulse_rate_hz=pulse_rate_hz)

    @property
    def water_mm(self) -> float:
        """The patient as the control sees it: equivalent water, mm."""
        return self._water_mm

    @property
    def limited_by(self) -> str | None:
        """What kept the last automatic pulse from the wanted signal, in words; None when nothing did."""
        return self._limited_by

    @property
    def locked(self) -> bool:
        """True while the technique is set by hand: measurements change nothing."""
        return self._fixed is not None

    def target_signal(self, mode: RadiationMode = RadiationMode.FLUOROSCOPY) -> float:
        """Return the mean LIN wanted in the measuring field at the present dose level and geometry."""
        reference = Technique(70.0, 10.0, 10.0, 15.0, self._curve.filtration, mode)
        kerma_ugy = self._target_kerma_ngy / 1000.0 * self.dose_level.value
        if mode is RadiationMode.ACQUISITION:
            kerma_ugy *= self.ACQUISITION_FACTOR
        return self._detector.signal_per_ugy(reference, self._pitch_mm) * kerma_ugy

    def technique(self, pulse_rate_hz: float, mode: RadiationMode = RadiationMode.FLUOROSCOPY) -> Technique:
        """Return the technique of the next pulse.

        Raises
        ------
        ValueError
            When one set by hand cannot be given at this rate in this mode.
        """
        self.check_rate(pulse_rate_hz, mode)
        chosen, self._limited_by = self._chosen(pulse_rate_hz, mode)
        return chosen

    def displayed(self, pulse_rate_hz: float, mode: RadiationMode = RadiationMode.FLUOROSCOPY) -> Technique:
        """Return what `technique` would choose, for showing: changes nothing, and refuses nothing."""
        return self._chosen(pulse_rate_hz, mode)[0]

    def displayed_limit(self, pulse_rate_hz: float, mode: RadiationMode = RadiationMode.FLUOROSCOPY) -> str | None:
        """Return what keeps `displayed` from the wanted signal, in words; None when nothing does."""
        return self._chosen(pulse_rate_hz, mode)[1]

    def forecast(self, pulse_rate_hz: float, change: BeamChange) -> tuple[Technique, str | None]:
        """Return the fluoroscopy technique after a change of the beam, and what limits it; changes nothing."""
        changed: dict[str, object] = {}
        if change.copper_mm is not None:
            filtration = replace(self._curve.filtration, copper_mm=change.copper_mm)
            changed["_curve"] = replace(self._curve, filtration=filtration)
            changed["_fixed"] = None if self._fixed is None else replace(self._fixed, filtration=filtration)
        for name, value in (
            ("_water_mm", change.water_mm),
            ("_source_to_detector_mm", change.source_to_detector_mm),
            ("dose_level", change.dose_level),
        ):
            if value is not None:
                changed[name] = value
        other = copy(self)
        vars(other).update(changed)
        return other.displayed(pulse_rate_hz), other.displayed_limit(pulse_rate_hz)

    def water_behind(
        self, pixels: NDArray[np.uint16], grid: DetectorGrid, field: Collimation, technique: Technique
    ) -> float:
        """Return the water that a LIN picture of ``technique`` shows in the measuring field of another field, mm."""
        return self._equivalent(self._detector.mean_signal(pixels, grid, field), technique)

    def prime(self, expected_signal: float, technique: Technique) -> None:
        """Start from a forecast of the mean LIN of ``technique``, so that the first picture is not black."""
        if not self.locked:
            self._water_mm = self._equivalent(expected_signal, technique)

    def observe(self, mean_signal: float, technique: Technique) -> None:
        """Learn from a pulse: the mean LIN of the measuring field, and the technique it was made with."""
        if self.locked:
            return
        difference = self._equivalent(mean_signal, technique) - self._water_mm
        if abs(difference) > self.DEAD_BAND_MM:
            self._water_mm += self.DAMPING * difference

    def manual(self, technique: Technique) -> None:
        """Use this technique until `automatic`; only its pulse rate and mode will change.

        Raises
        ------
        ValueError
            When the generator cannot give it, or its entrance air kerma rate is above what fluoroscopy may give.
        """
        self._check(technique)
        self._fixed = technique
        self._limited_by = None

    def automatic(self) -> None:
        """Go back to automatic control."""
        self._fixed = None

    def prepare(self) -> None:
        """Prepare the detector for every voltage of the curve, so that no live pulse waits for it."""
        step = self._curve.voltage_step_kv
        lowest = max(self._limits.lowest_kv, min(self._curve.tube_voltage_kv))
        for kv in np.arange(lowest, self._limits.highest_kv + step / 2.0, step):
            self._detector.prepare(Technique(float(kv), 1.0, 1.0, 15.0, self._curve.filtration))

    def _equivalent(self, signal: float, technique: Technique) -> float:
        water = self._detector.equivalent_water_mm(signal, technique, self._source_to_detector_mm, self._pitch_mm)
        # Beyond twice the thickest patient there is nothing to learn: lead in the beam, or closed shutters.
        return min(water, 500.0)

    def _check(self, technique: Technique) -> None:
        self._limits.check(technique)
        self._refuse_too_much(technique, self._source_to_detector_mm)

    def _refuse_too_much(self, technique: Technique, source_to_detector_mm: float) -> None:
        told = refused_rate(technique, entrance_point(source_to_detector_mm), self._entrance_limit_mgy_min)
        if told is not None:
            raise ValueError(told)

    def _chosen(self, pulse_rate_hz: float, mode: RadiationMode) -> tuple[Technique, str | None]:
        """Return the technique and what keeps it from the wanted signal."""
        if self._fixed is not None:
            return replace(self._fixed, pulse_rate_hz=pulse_rate_hz, mode=mode), None
        return self._automatic(pulse_rate_hz, mode)

    def _automatic(self, pulse_rate_hz: float, mode: RadiationMode) -> tuple[Technique, str | None]:
        """Solve for mAs at the curve's voltage; leave the curve only where generator or rule force it."""
        kv, width_ms = self._curve.at(self._water_mm)
        step, limits = self._curve.voltage_step_kv, self._limits
        while True:
            unit = Technique(kv, 1000.0, 1.0, pulse_rate_hz, self._curve.filtration, mode)  # 1 mAs
            mas = self._target_mas(unit)
            most, by = self._most_mas(unit, limits)
            if mas > most and kv + step <= limits.highest_kv:
                kv += step
                continue
            least = limits.lowest_ma * limits.lowest_ms / 1000.0
            if mas < least and kv - step >= limits.lowest_kv:
                kv -= step
                continue
            break
        limited_by = by if mas > most else None
        if mas < least:
            limited_by = "the lowest pulse of the generator"
        return self._split(unit, min(max(mas, least), most), width_ms), limited_by

    def _target_mas(self, unit: Technique) -> float:
        per_mas = self._detector.water_signal(unit, self._water_mm, self._source_to_detector_mm, self._pitch_mm)
        return self.target_signal(unit.mode) / per_mas

    def _most_mas(self, unit: Technique, limits: GeneratorLimits) -> tuple[float, str]:
        """Return the most mAs per pulse at a voltage and what sets it."""
        generator = limits.highest_ma_at(unit.tube_voltage_kv) * limits.longest_ms_at(unit.pulse_rate_hz) / 1000.0
        if unit.mode is not RadiationMode.FLUOROSCOPY:
            return generator, "the generator's power"
        rule = self._entrance_limit_mgy_min / entrance_rate_mgy_min(unit, self._source_to_detector_mm)
        if rule < generator:
            return rule, f"the entrance limit of {self._entrance_limit_mgy_min:.0f} mGy/min"
        return generator, "the generator's power"

    def _split(self, unit: Technique, mas: float, width_ms: float) -> Technique:
        """Divide mAs into current and time: the curve's width while the current allows."""
        limits = self._limits
        highest = limits.highest_ma_at(unit.tube_voltage_kv)
        shortest, longest = 1000.0 * mas / highest, 1000.0 * mas / limits.lowest_ma
        most_ms = limits.longest_ms_at(unit.pulse_rate_hz)
        width = float(np.clip(np.clip(width_ms, shortest, longest), limits.lowest_ms, most_ms))
        return replace(unit, tube_current_ma=1000.0 * mas / width, pulse_width_ms=width)
