"""Which dose alerts a file's procedure raised: rows for ``fluoroscope dose alerts``."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from fractions import Fraction
from typing import Any

from fluoroscope.dicom.dose_records import DoseObject, DoseTotals, DoseWarning
from fluoroscope.dicom.dose_warnings import touches
from fluoroscope.dose.alerts import PUBLISHED_LEVELS, AlertWatch, CumulativeDose, LevelRule

__all__ = ["alert_facts", "alert_rows", "watch_of"]

WATCHED = ("fluoroscopy", "radiography", "legacy report", "xa header")
"""Kinds of objects whose levels these are."""

_QUANTITIES = ("air_kerma_mgy", "kap_gy_cm2", "fluoroscopy_time_s")


SkinPeaks = Callable[[DoseObject], Sequence[float]]
"""Gives the peak skin dose after each event, mGy; empty where no map is possible."""


def watch_of(
    one: DoseObject, rules: Sequence[LevelRule] = PUBLISHED_LEVELS, skin_peaks: SkinPeaks | None = None
) -> tuple[AlertWatch, tuple[DoseWarning, ...]]:
    """Return the alerts of an object and what a reader must know of them.

    The events in their order give the sequence, the header's totals its end. No file says the peak skin dose: it is
    mapped by ``skin_peaks``, and without that none is raised for it. A number no procedure gives raises nothing and
    is said instead.
    """
    watch = AlertWatch(rules)
    if one.kind not in WATCHED:
        return watch, (DoseWarning("not_watched", f"{one.kind}: these levels are not for it"),)
    warnings = {warning.code: warning for warning in one.warnings if touches("alerts", warning.code)}
    peaks = () if skin_peaks is None else tuple(skin_peaks(one))
    if skin_peaks is not None and not peaks:
        warnings["no_skin_map"] = DoseWarning("no_skin_map", "no skin map is possible: the peak skin dose is not known")
    elif peaks:
        warnings["skin_estimate"] = DoseWarning("skin_estimate", "the peak skin dose is an estimate by a phantom")
    for totals, at_event in _sequence(one):
        possible: dict[str, float] = {}
        for name in _QUANTITIES:
            value = getattr(totals, name)
            try:
                CumulativeDose(**{name: value}).values()
            except ValueError as fault:
                warnings.setdefault(f"impossible_{name}", DoseWarning(f"impossible_{name}", str(fault)))
            else:
                possible[name] = value
        if at_event is not None and at_event <= len(peaks):
            possible["peak_skin_dose_mgy"] = peaks[at_event - 1]
        watch.update(CumulativeDose(**possible), at_event)
    if not any(getattr(totals, name) is not None for totals, _ in _sequence(one) for name in _QUANTITIES):
        warnings["nothing_known"] = DoseWarning("nothing_known", "no dose is stated: no alert does not mean no dose")
    return watch, tuple(warnings.values())


def _sequence(one: DoseObject) -> Iterator[tuple[DoseTotals, int | None]]:
    """Yield the totals after each event, then those of the header."""
    running: dict[str, Fraction] = {}
    for number, event in enumerate(one.events, start=1):
        time_s = event.duration_s if event.is_fluoroscopy else None
        for name, value in zip(_QUANTITIES, (event.air_kerma_mgy, event.kap_gy_cm2, time_s), strict=True):
            if value is not None and math.isfinite(value):
                # Exact, so that a total is the rounded sum of its events, in linear time.
                running[name] = running.get(name, Fraction()) + Fraction(value)
        yield DoseTotals(**{name: float(value) for name, value in running.items()}), number
    yield one.total, None


def alert_facts(
    one: DoseObject, rules: Sequence[LevelRule] = PUBLISHED_LEVELS, skin_peaks: SkinPeaks | None = None
) -> dict[str, Any]:
    """Return an object's alerts, JSON-ready, in order; ``highest`` by quantity."""
    watch, warnings = watch_of(one, rules, skin_peaks)
    return {
        "path": str(one.path),
        "kind": one.kind,
        "alerts": [alert.facts for alert in watch.alerts],
        "highest": {
            quantity.value: {"level": alert.level, "unit": quantity.unit} for quantity, alert in watch.highest.items()
        },
        "substantial": [quantity.value for quantity in watch.substantial],
        "warnings": [asdict(warning) for warning in warnings],
    }


def alert_rows(
    one: DoseObject, rules: Sequence[LevelRule] = PUBLISHED_LEVELS, skin_peaks: SkinPeaks | None = None
) -> list[tuple[str, str]]:
    """Return an object's alerts for people: where, and which level."""
    watch, warnings = watch_of(one, rules, skin_peaks)
    rows = [
        ("in the total" if alert.at_event is None else f"event {alert.at_event}", alert.text) for alert in watch.alerts
    ]
    return (rows or [("no alert", "no level was reached")]) + [("warning", warning.text) for warning in warnings]
