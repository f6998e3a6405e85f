"""What the page is told of the dose."""

from typing import Any

from fluoroscope.acquisition.frame import Provenance
from fluoroscope.dose.ledger import DoseStatus

__all__ = ["dose_status"]

_OF_RADIATION = (
    "air_kerma_rate_mgy_min",
    "air_kerma_mgy",
    "kap_gy_cm2",
    "fluoroscopy_time_s",
    "acquisition_time_s",
)


def dose_status(dose: DoseStatus, provenance: Provenance) -> dict[str, Any]:
    """Return the dose part of the status, JSON-ready; what is not known is None."""
    event = dose.event
    told: dict[str, Any] = {
        "air_kerma_rate_mgy_min": dose.air_kerma_rate_mgy_min,
        "air_kerma_mgy": dose.air_kerma_mgy,
        "kap_gy_cm2": dose.kap_gy_cm2,
        "fluoroscopy_time_s": dose.fluoroscopy_time_s,
        "acquisition_time_s": dose.acquisition_time_s,
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
