"""Keeping watch over the radiation: kerma, kerma-area product and time of every press and of the exam.

Everything is kept in mGy, Gy·cm² and seconds. Air kerma is at the reference point the source states, without
backscatter; a number nobody knows is None, never 0.
"""

from fluoroscope.dose.ledger import (
    FIVE_MINUTE_SIGNAL_S,
    REFERENCE_POINT_15_CM,
    Calibration,
    DoseStatus,
    EventDose,
    KermaLedger,
)

__all__ = ["FIVE_MINUTE_SIGNAL_S", "REFERENCE_POINT_15_CM", "Calibration", "DoseStatus", "EventDose", "KermaLedger"]
