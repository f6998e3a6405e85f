"""What the page is told of the dose."""

from typing import Any

from fluoroscope.acquisition.frame import Provenance
from fluoroscope.dose.ledger import DoseStatus

__all__ = ["dose_status"]

ACCURACY = "±35 % from 6 mGy/min and 100 mGy"
"""What the display must keep, 21 CFR 1020.32(k)(6)."""

_OF_RADIATION = (
    "air_kerma_rate_mgy_min",
    "air_kerma_mgy",
    "kap_gy_cm2",
    "fluoroscopy_time_s",
    "fluoroscopy_time_min",
    "acquisition_time_s",
    "beam_on_time_s",
    "measured_air_kerma_mgy",
    "measured_kap_gy_cm2",
    "calibration",
)


def dose_status(dose: DoseStatus, provenance: Provenance) -> dict[str, Any]:
    """Return the dose part of the status, JSON-ready; what is not known is None.

    Calibrated, with what was measured, factor and source beside it. The rate is in mGy/min, fluoroscopy time is
    pedal time and is there in minutes and tenths too (21 CFR 1020.32(h)(2), (k)). ``source`` says whether these are
    simulated, live (measured) or recorded.
    """
    event = dose.event
    told: dict[str, Any] = {
        "air_kerma_rate_mgy_min": dose.air_kerma_rate_mgy_min,
        "air_kerma_mgy": dose.air_kerma_mgy,
        "kap_gy_cm2": dose.kap_gy_cm2,
        "fluoroscopy_time_s": dose.fluoroscopy_time_s,
        "fluoroscopy_time_min": round(dose.fluoroscopy_time_s / 60.0, 1),
        "acquisition_time_s": dose.acquisition_time_s,
        "beam_on_time_s": dose.beam_on_time_s,
        "measured_air_kerma_mgy": dose.measured_air_kerma_mgy,
        "measured_kap_gy_cm2": dose.measured_kap_gy_cm2,
        "calibration": {"factor": dose.calibration.factor, "source": dose.calibration.source},
        "accuracy": ACCURACY,
        "reference_point": dose.reference_point,
        "source": provenance.value,
        "five_minute_signal": dose.five_minute_signal,
        "event": {
            "number": 0 if event is None else event.number,
            "pulses": 0 if event is None else event.pulses,
            "air_kerma_mgy": None if event is None else event.air_kerma_mgy,
            "kap_gy_cm2": None if event is None else event.kap_gy_cm2,
            "time_s": None if event is None else event.pedal_time_s,
        },
    }
    if provenance is Provenance.RECORDED:
        # Playing a clip gives no radiation; what it once took is not known here, which is not 0.
        told |= dict.fromkeys(_OF_RADIATION) | {"five_minute_signal": False}
        told["event"] |= dict.fromkeys(("air_kerma_mgy", "kap_gy_cm2"))
    return told
