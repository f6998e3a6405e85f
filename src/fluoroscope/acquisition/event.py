"""One pedal press: the irradiation event."""

from dataclasses import dataclass
from datetime import datetime

from fluoroscope.acquisition.frame import Collimation
from fluoroscope.beam.technique import Technique
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.table import TablePose

__all__ = ["IrradiationEvent"]


@dataclass(frozen=True, slots=True)
class IrradiationEvent:
    """What one pedal press gave.

    Attributes
    ----------
    uid
        Irradiation Event UID, the same in the XA object and the dose report.
    number
        From 1 within the exam.
    started, ended
        UTC, aware.
    pulses, dropped_pulses
        Delivered, and skipped because the one before was late.
    pulse_rate_hz
        As set.
    pedal_time_s, beam_on_time_s
        From press to release; pulses times pulse width.
    air_kerma_mgy, kap_gy_cm2
        Sum over the pulses: at the reference point without backscatter, and kerma-area product.
    mean_tube_voltage_kv, mean_tube_current_ma, mean_pulse_width_ms
        Mean over the pulses.
    first_pose, last_pose, table, technique, collimation
        At the first and last pulse; None where a source does not know.
    """

    uid: str
    number: int
    started: datetime
    ended: datetime
    pulses: int
    dropped_pulses: int
    pulse_rate_hz: float
    pedal_time_s: float
    beam_on_time_s: float
    air_kerma_mgy: float
    kap_gy_cm2: float
    mean_tube_voltage_kv: float | None
    mean_tube_current_ma: float | None
    mean_pulse_width_ms: float | None
    first_pose: CArmPose | None
    last_pose: CArmPose | None
    table: TablePose | None
    technique: Technique | None
    collimation: Collimation | None
