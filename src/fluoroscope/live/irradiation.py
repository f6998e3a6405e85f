"""Builds the irradiation event of one press from its pulses: the same live, simulated and from a journal."""

from datetime import datetime, timedelta

from fluoroscope.acquisition.event import IrradiationEvent
from fluoroscope.acquisition.frame import Collimation, PulseKerma
from fluoroscope.beam.technique import RadiationMode, Technique
from fluoroscope.dose.ledger import KermaLedger
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.table import TablePose
from fluoroscope.live.beam_path import BeamPath

__all__ = ["IrradiationBuilder"]


class IrradiationBuilder:
    """Adds the pulses of one press to a ledger, whose sums are those of the event: one dose, one truth.

    Opens the ledger's event at once; `finish` or `abandon` closes it.

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
    ledger
        Of the exam; one of its own when absent (a recording played again, a press on its own).

    Raises
    ------
    ValueError
        When an event of the ledger is still on.
    """

    def __init__(
        self,
        uid: str,
        number: int,
        started: datetime,
        pressed_ns: int,
        technique: Technique | None,
        ledger: KermaLedger | None = None,
    ) -> None:
        self._uid, self._number, self._started = uid, number, started
        self._technique = technique
        self._ledger = KermaLedger() if ledger is None else ledger
        self._ledger.press(uid, RadiationMode.FLUOROSCOPY if technique is None else technique.mode, pressed_ns)
        self._pulses = 0
        self._with_technique = 0
        self._kv = self._ma = self._ms = 0.0
        self._first_pose: CArmPose | None = None
        self._last_pose: CArmPose | None = None
        self._table: TablePose | None = None
        self._collimation: Collimation | None = None
        self._path = BeamPath()
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
        """Add one pulse; what the source does not know is None.

        Raises
        ------
        ValueError
            When a dose is negative or not finite.
        """
        # Dose first: it was given, whatever becomes of the rest.
        self._ledger.add(kerma, technique, acquired_ns)
        if self._pulses == 0:
            self._first_pose = pose
        self._pulses += 1
        self._last_ns = acquired_ns
        self._last_pose, self._table, self._collimation = pose, table, collimation
        self._path.add(pose, table, 0.0 if kerma is None else kerma.air_kerma_mgy)
        if technique is not None:
            self._technique = technique
            self._with_technique += 1
            self._kv += technique.tube_voltage_kv
            self._ma += technique.tube_current_ma
            self._ms += technique.pulse_width_ms

    def abandon(self, released_ns: int) -> None:
        """Close the ledger's event of a press without a pulse, which is no irradiation."""
        self._ledger.release(released_ns)

    def finish(self, released_ns: int, dropped_pulses: int) -> IrradiationEvent:
        """Close the ledger's event at monotonic ``released_ns`` and return what it gave.

        Raises
        ------
        ValueError
            When no pulse came.
        """
        dose = self._ledger.release(released_ns)
        if dose is None:
            raise ValueError(f"press {self._number} gave no pulse: it is no irradiation event")
        count = self._with_technique
        rate_hz = self._technique.pulse_rate_hz if self._technique is not None else 0.0
        return IrradiationEvent(
            uid=self._uid,
            number=self._number,
            started=self._started,
            ended=self._started + timedelta(seconds=dose.pedal_time_s),
            pulses=self._pulses,
            dropped_pulses=dropped_pulses,
            pulse_rate_hz=rate_hz,
            pedal_time_s=dose.pedal_time_s,
            beam_on_time_s=dose.beam_on_time_s,
            air_kerma_mgy=dose.air_kerma_mgy or 0.0,
            kap_gy_cm2=dose.kap_gy_cm2 or 0.0,
            mean_tube_voltage_kv=self._kv / count if count else None,
            mean_tube_current_ma=self._ma / count if count else None,
            mean_pulse_width_ms=self._ms / count if count else None,
            first_pose=self._first_pose,
            last_pose=self._last_pose,
            table=self._table,
            technique=self._technique,
            collimation=self._collimation,
            path=self._path.places(),
        )
