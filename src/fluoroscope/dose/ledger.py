"""The kerma ledger: adds the pulses of an exam, press by press."""

import math
import threading
from collections import deque
from dataclasses import dataclass, replace

from fluoroscope.acquisition.frame import PulseKerma
from fluoroscope.beam.technique import RadiationMode, Technique

__all__ = [
    "FIVE_MINUTE_SIGNAL_S",
    "NOT_CALIBRATED",
    "REFERENCE_POINT_15_CM",
    "Calibration",
    "DoseStatus",
    "EventDose",
    "KermaLedger",
]

FIVE_MINUTE_SIGNAL_S = 300.0
"""Fluoroscopy time after which the operator is told, s (21 CFR 1020.32(h)(2); IEC 60601-2-43)."""

REFERENCE_POINT_15_CM = "15 cm from isocentre toward the source"
"""Patient entrance reference point of an isocentric C-arm (IEC 60601-2-43; DICOM code 113860)."""

RATE_WINDOW_S = 1.0
"""The displayed rate is the mean over the whole pulse periods nearest to this time, s."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the readings of the KAP meter are multiplied by.

    It is applied here, once, when the ledger is read: what is shown, compared with levels, budgets and typical
    values is calibrated. Pulses, events, journal and dose reports keep what the meter said, as DICOM wants it
    (PS3.16 TID 10002: the factor stands beside the values and the reader multiplies), so nothing can be
    multiplied twice and a factor found wrong later spoils no record. Who works out a dose from pulses or events
    multiplies by `factor`.

    Attributes
    ----------
    factor
        True value per reading, of air kerma and KAP alike: 0.5 to 2. The display may be 35 % off
        (21 CFR 1020.32(k)(6)); more than a factor of two is a fault, not a calibration.
    source
        Who measured it and when; "" with factor 1.
    """

    factor: float = 1.0
    source: str = ""

    def __post_init__(self) -> None:
        if not 0.5 <= self.factor <= 2.0:
            raise ValueError(f"a calibration factor lies from 0.5 to 2, not {self.factor}: check the dosemeter")
        if self.factor != 1.0 and not self.source.strip():
            raise ValueError("a calibration factor needs its source: who measured it and when")


NOT_CALIBRATED = Calibration()
"""Readings are taken as they are."""


@dataclass(frozen=True, slots=True)
class EventDose:
    """What one pedal press gave, so far.

    Attributes
    ----------
    uid, number
        Of the press; the number counts from 1 within the exam.
    mode
        Fluoroscopy or acquisition.
    pulses, pulses_without_kerma
        Pulses added, and those among them of which no dose is known.
    air_kerma_mgy, kap_gy_cm2
        Sums over the pulses whose dose is known; None when there are pulses and none is known.
    pedal_time_s
        From press to release, or to now.
    beam_on_time_s
        Sum of the pulse widths.
    """

    uid: str
    number: int
    mode: RadiationMode
    pulses: int
    pulses_without_kerma: int
    air_kerma_mgy: float | None
    kap_gy_cm2: float | None
    pedal_time_s: float
    beam_on_time_s: float


@dataclass(frozen=True, slots=True)
class DoseStatus:
    """The exam's dose at one moment.

    Attributes
    ----------
    reference_point
        Where the air kerma is stated, for printing beside every kerma.
    air_kerma_mgy, kap_gy_cm2
        Of the exam; None when there are pulses and no dose is known.
    air_kerma_rate_mgy_min
        Mean over the whole pulse periods nearest to 1 s; 0 when no X-ray is on, None when not known.
    fluoroscopy_time_s, acquisition_time_s
        Pedal time, press to release, in each mode: what the rules call fluoroscopy or irradiation time.
    beam_on_time_s
        Sum of all pulse widths: shorter, and another thing.
    pulses, pulses_without_kerma
        Of the exam.
    since_signal_reset_s
        Fluoroscopy time since the 5-minute signal was last reset.
    five_minute_signal
        True from 300 s of fluoroscopy until it is reset.
    event
        The press that is on, or the last one; None before the first.
    measured_air_kerma_mgy, measured_kap_gy_cm2
        As `air_kerma_mgy` and `kap_gy_cm2` before calibration: what the meter said.
    calibration
        By which everything else here was multiplied, `event` and rate too.
    """

    reference_point: str
    air_kerma_mgy: float | None
    kap_gy_cm2: float | None
    air_kerma_rate_mgy_min: float | None
    fluoroscopy_time_s: float
    acquisition_time_s: float
    beam_on_time_s: float
    pulses: int
    pulses_without_kerma: int
    since_signal_reset_s: float
    five_minute_signal: bool
    event: EventDose | None
    measured_air_kerma_mgy: float | None = None
    measured_kap_gy_cm2: float | None = None
    calibration: Calibration = NOT_CALIBRATED


class _Press:
    """The running sums of one press."""

    def __init__(self, uid: str, number: int, mode: RadiationMode, pressed_ns: int) -> None:
        self.uid, self.number, self.mode, self.pressed_ns = uid, number, mode, pressed_ns
        self.pulses = self.unknown = 0
        self.air_kerma_mgy = self.kap_gy_cm2 = self.beam_on_time_s = 0.0
        self.last_ns: int | None = None
        self.period_ns = 0.0
        self.recent: deque[tuple[int, float | None]] = deque()

    def pedal_time_s(self, now_ns: int) -> float:
        return max(0, now_ns - self.pressed_ns) / 1e9

    def dose(self, now_ns: int) -> EventDose:
        known = self.unknown < self.pulses or self.pulses == 0
        return EventDose(
            self.uid,
            self.number,
            self.mode,
            self.pulses,
            self.unknown,
            self.air_kerma_mgy if known else None,
            self.kap_gy_cm2 if known else None,
            self.pedal_time_s(now_ns),
            self.beam_on_time_s,
        )


class KermaLedger:
    """Adds what every pulse gave. Safe to read from any thread; one thread writes.

    The sums of the exam are the correctly rounded sums of its events (``math.fsum``), so an exam always
    equals its parts, and adding the same pulses again in the same order gives the same numbers to the last
    bit.

    Parameters
    ----------
    reference_point
        Where the source states its air kerma.
    calibration
        Applied when the ledger is read; `events` and what `release` returns are as measured.
    """

    def __init__(self, reference_point: str = REFERENCE_POINT_15_CM, calibration: Calibration = NOT_CALIBRATED) -> None:
        self._reference_point, self.calibration = reference_point, calibration
        self._lock = threading.Lock()
        self._ended: list[EventDose] = []
        self._press: _Press | None = None
        self._reset_at_s = 0.0

    def press(self, uid: str, mode: RadiationMode, now_ns: int) -> int:
        """Open an event at monotonic ``now_ns`` and return its number, from 1.

        Raises
        ------
        ValueError
            When the event before was not released.
        """
        with self._lock:
            if self._press is not None:
                raise ValueError(f"event {self._press.number} is still on: release it before the next press")
            self._press = _Press(uid, len(self._ended) + 1, mode, now_ns)
            return self._press.number

    def add(self, kerma: PulseKerma | None, technique: Technique | None, acquired_ns: int) -> None:
        """Add one pulse of the event that is on.

        Parameters
        ----------
        kerma
            What the dose meter says; None when the source has none.
        technique
            As exposed; None when not known.
        acquired_ns
            Monotonic time of the pulse, ns.

        Raises
        ------
        ValueError
            When no event is on, or a dose is negative or not finite.
        """
        if kerma is not None and not all(
            math.isfinite(value) and value >= 0.0 for value in (kerma.air_kerma_mgy, kerma.kap_gy_cm2)
        ):
            raise ValueError(f"a pulse cannot give {kerma.air_kerma_mgy} mGy and {kerma.kap_gy_cm2} Gy·cm²")
        with self._lock:
            press = self._press
            if press is None:
                raise ValueError("a pulse without a press: open the event first")
            press.pulses += 1
            if kerma is None:
                press.unknown += 1
            else:
                press.air_kerma_mgy += kerma.air_kerma_mgy
                press.kap_gy_cm2 += kerma.kap_gy_cm2
            if technique is not None:
                press.beam_on_time_s += technique.pulse_width_ms / 1000.0
                press.period_ns = 1e9 / technique.pulse_rate_hz
            press.last_ns = acquired_ns
            press.recent.append((acquired_ns, None if kerma is None else kerma.air_kerma_mgy))
            oldest_ns = acquired_ns - 2 * max(1e9, press.period_ns)
            while press.recent[0][0] < oldest_ns:
                press.recent.popleft()

    def release(self, now_ns: int) -> EventDose | None:
        """Close the event that is on and return what was measured; None, and no event, when no pulse came.

        Raises
        ------
        ValueError
            When no event is on.
        """
        with self._lock:
            if self._press is None:
                raise ValueError("release without a press")
            dose = self._press.dose(now_ns) if self._press.pulses else None
            if dose is not None:
                self._ended.append(dose)
            self._press = None
            return dose

    def reset_five_minute_signal(self, now_ns: int) -> None:
        """Start the 5 minutes again from now."""
        with self._lock:
            self._reset_at_s = self._time_s(RadiationMode.FLUOROSCOPY, now_ns)

    def snapshot(self, now_ns: int) -> DoseStatus:
        """Return the exam's dose at monotonic ``now_ns``."""
        with self._lock:
            running = self._press.dose(now_ns) if self._press is not None else None
            events = [*self._ended, running] if running is not None else self._ended
            fluoroscopy_s = self._time_s(RadiationMode.FLUOROSCOPY, now_ns)
            since_reset_s = max(0.0, fluoroscopy_s - self._reset_at_s)
            kerma = [event.air_kerma_mgy for event in events if event.air_kerma_mgy is not None]
            kap = [event.kap_gy_cm2 for event in events if event.kap_gy_cm2 is not None]
            known, factor = bool(kerma) or not events, self.calibration.factor
            kerma_mgy, kap_gy_cm2 = (math.fsum(kerma), math.fsum(kap)) if known else (None, None)
            rate = 0.0 if self._press is None else _rate(self._press, now_ns)
            return DoseStatus(
                reference_point=self._reference_point,
                air_kerma_mgy=_times(factor, kerma_mgy),
                kap_gy_cm2=_times(factor, kap_gy_cm2),
                air_kerma_rate_mgy_min=_times(factor, rate),
                fluoroscopy_time_s=fluoroscopy_s,
                acquisition_time_s=self._time_s(RadiationMode.ACQUISITION, now_ns),
                beam_on_time_s=math.fsum(event.beam_on_time_s for event in events),
                pulses=sum(event.pulses for event in events),
                pulses_without_kerma=sum(event.pulses_without_kerma for event in events),
                since_signal_reset_s=since_reset_s,
                five_minute_signal=since_reset_s >= FIVE_MINUTE_SIGNAL_S,
                event=_calibrated(events[-1], factor) if events else None,
                measured_air_kerma_mgy=kerma_mgy,
                measured_kap_gy_cm2=kap_gy_cm2,
                calibration=self.calibration,
            )

    @property
    def events(self) -> tuple[EventDose, ...]:
        """The released events as measured, in order."""
        with self._lock:
            return tuple(self._ended)

    def _time_s(self, mode: RadiationMode, now_ns: int) -> float:
        times = [event.pedal_time_s for event in self._ended if event.mode is mode]
        if self._press is not None and self._press.mode is mode:
            times.append(self._press.pedal_time_s(now_ns))
        return math.fsum(times)


def _times(factor: float, value: float | None) -> float | None:
    return None if value is None else factor * value


def _calibrated(event: EventDose, factor: float) -> EventDose:
    return replace(
        event, air_kerma_mgy=_times(factor, event.air_kerma_mgy), kap_gy_cm2=_times(factor, event.kap_gy_cm2)
    )


def _rate(press: _Press, now_ns: int) -> float | None:
    """Return mGy/min over the whole pulse periods nearest to 1 s, at most those since the first pulse."""
    if press.last_ns is None:
        return 0.0
    if press.period_ns <= 0.0:
        return None
    periods = max(1, round(RATE_WINDOW_S * 1e9 / press.period_ns))
    window_ns = periods * press.period_ns
    if now_ns - press.last_ns > window_ns:
        return 0.0
    # Half a period of slack: pulses lie on a grid, their time stamps only nearly.
    begin_ns = press.last_ns - window_ns + press.period_ns / 2.0
    inside = [(at_ns, kerma) for at_ns, kerma in press.recent if at_ns > begin_ns]
    if any(kerma is None for _, kerma in inside):
        return None
    covered_ns = min(window_ns, press.last_ns - press.recent[0][0] + press.period_ns)
    return math.fsum(kerma for _, kerma in inside if kerma is not None) / covered_ns * 60e9
