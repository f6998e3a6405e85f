"""One pedal press: the irradiation event."""

from dataclasses import dataclass
from datetime import datetime

from fluoroscope.acquisition.frame import Collimation
from fluoroscope.beam.technique import Technique
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.table import TablePose

__all__ = ["BeamPlace", "IrradiationEvent"]


@dataclass(frozen=True, slots=True)
class BeamPlace:
    """Where C-arm and table stood for a part of a press.

    Attributes
    ----------
    share
        Of the press's air kerma, 0 to 1; of its pulses where no kerma is known.
    pose, table
        Where they stood; ``table`` None where the source does not know.
    """

    share: float
    pose: CArmPose
    table: TablePose | None


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
        Poses at the first and last pulse, the others at the last; None where a source does not know.
    path
        Where the pulses were given, in order, when C-arm or table moved; empty when they stood or nobody knows.
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
    path: tuple[BeamPlace, ...] = ()
