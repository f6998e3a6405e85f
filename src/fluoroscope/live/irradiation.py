"""Builds the irradiation event of one press from its pulses: the same live and from a journal."""

from datetime import datetime, timedelta

from fluoroscope.acquisition.event import IrradiationEvent
from fluoroscope.acquisition.frame import Collimation, PulseKerma
from fluoroscope.beam.technique import Technique
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.table import TablePose

__all__ = ["IrradiationBuilder"]


class IrradiationBuilder:
    """Adds the pulses of one press.

    Parameters
    ----------
    uid, number
        Of the event.
    started
        UTC, aware, at ``pressed_ns``.
    pressed_ns
        Monotonic time of the press, ns.
    technique
        As set at the press; the one of the last pulse takes its place.
    """

    def __init__(self, uid: str, number: int, started: datetime, pressed_ns: int, technique: Technique | None) -> None:
        self._uid, self._number, self._started, self._pressed_ns = uid, number, started, pressed_ns
        self._technique = technique
        self._pulses = 0
        self._with_technique = 0
        self._air_kerma_mgy = self._kap_gy_cm2 = 0.0
        self._kv = self._ma = self._ms = 0.0
        self._first_pose: CArmPose | None = None
        self._last_pose: CArmPose | None = None
        self._table: TablePose | None = None
        self._collimation: Collimation | None = None
        self._last_ns = pressed_ns

    @property
    def pulses(self) -> int:
        """Pulses added."""
        return self._pulses

    @property
    def last_known_ns(self) -> int:
        """End of the last pulse, or the press: the latest time at which X-ray is known to have been on."""
        width_ms = self._technique.pulse_width_ms if self._pulses and self._technique is not None else 0.0
        return self._last_ns + round(width_ms * 1e6)

    def add(
        self,
        acquired_ns: int,
        technique: Technique | None,
        kerma: PulseKerma | None,
        pose: CArmPose | None,
        table: TablePose | None,
        collimation: Collimation | None,
    ) -> None:
        """Add one pulse; what the source does not know is None."""
        if self._pulses == 0:
            self._first_pose = pose
        self._pulses += 1
        self._last_ns = acquired_ns
        self._last_pose, self._table, self._collimation = pose, table, collimation
        if technique is not None:
            self._technique = technique
            self._with_technique += 1
            self._kv += technique.tube_voltage_kv
            self._ma += technique.tube_current_ma
            self._ms += technique.pulse_width_ms
        if kerma is not None:
            self._air_kerma_mgy += kerma.air_kerma_mgy
            self._kap_gy_cm2 += kerma.kap_gy_cm2

    def finish(self, released_ns: int, dropped_pulses: int) -> IrradiationEvent:
        """Return the event that ended at monotonic ``released_ns``."""
        pedal_ns = max(0, released_ns - self._pressed_ns)
        count = self._with_technique
        rate_hz = self._technique.pulse_rate_hz if self._technique is not None else 0.0
        return IrradiationEvent(
            uid=self._uid,
            number=self._number,
            started=self._started,
            ended=self._started + timedelta(microseconds=pedal_ns / 1000),
            pulses=self._pulses,
            dropped_pulses=dropped_pulses,
            pulse_rate_hz=rate_hz,
            pedal_time_s=pedal_ns / 1e9,
            beam_on_time_s=self._ms / 1000.0,
            air_kerma_mgy=self._air_kerma_mgy,
            kap_gy_cm2=self._kap_gy_cm2,
            mean_tube_voltage_kv=self._kv / count if count else None,
            mean_tube_current_ma=self._ma / count if count else None,
            mean_pulse_width_ms=self._ms / count if count else None,
            first_pose=self._first_pose,
            last_pose=self._last_pose,
            table=self._table,
            technique=self._technique,
            collimation=self._collimation,
        )
