"""Which warnings of a dose object touch what is worked out from it: the one place that knows their codes by use."""

from typing import Final, Literal

__all__ = ["Use", "touches"]

Use = Literal["alerts", "estimate"]

_OF_ANY_DOSE: Final = (
    "sum_air_kerma_mgy", "sum_kap_gy_cm2", "partial_air_kerma_mgy", "partial_kap_gy_cm2", "implausible",
    "implausible_total", "repeated_event", "repeated_totals", "unknown_unit", "unreadable_number", "no_events",
    "legacy", "header_only", "other_dose", "same_object", "shared_events", "same_study",
)  # fmt: skip
"""A dose is missing, doubtful, or may count twice."""
_FOR: Final[dict[Use, frozenset[str]]] = {
    "alerts": frozenset(
        {*_OF_ANY_DOSE, "sum_fluoroscopy_time_s", "partial_fluoroscopy_time_s", "implausible_time",
         "no_fluoroscopy_time", "no_event_type", "no_totals", "kerma_rounded", "planes", "reference_points", "order"}
    ),
    "estimate": frozenset(
        {*_OF_ANY_DOSE, "implausible_kvp", "implausible_angle", "no_angles", "no_kvp", "kerma_rounded",
         "reference_points"}
    ),
}  # fmt: skip


def touches(use: Use, code: str) -> bool:
    """Whether a reader of the alerts or of the estimates of an object must know of a warning of this code."""
    return code in _FOR[use]
