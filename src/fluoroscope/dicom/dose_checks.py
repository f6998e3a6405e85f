"""What a reader of a dose object would otherwise trip over, each as a named warning."""

from collections.abc import Sequence
from typing import Final

from fluoroscope.dicom.dose_records import ROUNDED_MGY, DoseEventRecord, DoseTotals, Notes, once

__all__ = ["check_exposure", "check_object"]

LARGEST_MGY: Final = 1e5
LARGEST_GY_CM2: Final = 1e5
LARGEST_S: Final = 86_400.0
FIELD_CM2: Final = (0.5, 5000.0)
"""Smallest and largest field at the reference point that a machine could have, cm²: KAP over air kerma."""
VOLTAGE_KV: Final = (10.0, 200.0)
ANGLE_DEG: Final = (180.0, 90.0)
"""Largest primary and secondary angle (PS3.3 C.8.7.5)."""
SUM_TOLERANCE: Final = 0.005
"""Header totals that differ by more than this part from the sum of events are flagged."""
LONGER: Final = 5.0
"""A press that lasts this many times its pulses over their rate is written in another unit than it says."""
_TOTALS: Final = (
    ("air_kerma_mgy", "air kerma", "mGy", "air_kerma_mgy"),
    ("kap_gy_cm2", "KAP", "Gy·cm²", "kap_gy_cm2"),
    ("fluoroscopy_time_s", "fluoroscopy time", "s", "duration_s"),
)


def check_object(
    kind: str,
    events: Sequence[DoseEventRecord],
    total: DoseTotals,
    summed: DoseTotals,
    point: str,
    notes: Notes,
) -> None:
    """Warn of all that looks wrong or is missing in a report of fluoroscopy or radiography."""
    _check_sums(events, total, summed, notes)
    _check_missing(kind, events, total, point, notes)
    if any(len(one.kvp) > 1 for one in events):
        notes.add("kvp_list", "tube voltage listed for every pulse: zeros left out, the mean is used")
    _check_numbers(events, total, notes)
    _check_identity(events, notes)


def check_exposure(event: DoseEventRecord, notes: Notes) -> None:
    """Warn of numbers that cannot be in the header of an image."""
    if _implausible(event.kap_gy_cm2, event.air_kerma_mgy) or not _voltage_may_be(event):
        notes.add("implausible", "dose negative or absurdly high, or a tube voltage that no tube has")


def _check_sums(events: Sequence[DoseEventRecord], total: DoseTotals, summed: DoseTotals, notes: Notes) -> None:
    for name, words, unit, of_event in _TOTALS:
        said, added = getattr(total, name), getattr(summed, name)
        if said is not None and added is not None and abs(said - added) > SUM_TOLERANCE * max(abs(said), abs(added)):
            notes.add(f"sum_{name}", f"header {words} {said:.6g} {unit}, events add up to {added:.6g}: both are shown")
        asked = [one for one in events if one.is_fluoroscopy or name != "fluoroscopy_time_s"]
        silent = sum(getattr(one, of_event) is None for one in asked)
        if added is not None and silent:
            notes.add(f"partial_{name}", f"{silent} of {len(asked)} events do not say their {words}: the sum is of the "
                      "others")  # fmt: skip
    live = sum(one.is_fluoroscopy for one in events)
    if total.fluoroscopy_time_s == 0.0 and live and summed.fluoroscopy_time_s is None:
        notes.add("no_fluoroscopy_time", f"header fluoroscopy time 0 s, but {live} events are fluoroscopy")
    rounded = [one for one in events if one.air_kerma_mgy == 0.0 and one.kap_gy_cm2]
    if rounded:
        notes.add("kerma_rounded", f"{len(rounded)} of {len(events)} events have air kerma 0 but KAP: rounded away")


def _check_missing(kind: str, events: Sequence[DoseEventRecord], total: DoseTotals, point: str, notes: Notes) -> None:
    if not events:
        notes.add("no_events", "no irradiation events: totals only")
    if total == DoseTotals():
        notes.add("no_totals", "no accumulated totals: sums of the events only")
    if not point or point.lower() == "unknown":
        notes.add("no_reference_point", "it is not said where the air kerma is stated")
    if kind == "fluoroscopy" and events:
        if not any(one.table_longitudinal_mm is not None and one.table_height_mm for one in events):
            notes.add("no_table", "no table position: no skin map, only bounds of the skin dose")
        if all(one.primary_deg is None for one in events):
            notes.add("no_angles", "no angles of the C-arm")
    without = sum(not any(one.kvp) for one in events)
    if without:
        notes.add("no_kvp", f"{without} events without tube voltage")
    unknown = sum(one.kind == "unknown" for one in events)
    if unknown:
        notes.add("no_event_type", f"{unknown} events do not say whether they are fluoroscopy or acquisition")


def _check_numbers(events: Sequence[DoseEventRecord], total: DoseTotals, notes: Notes) -> None:
    absurd = [number for number, one in enumerate(events, start=1) if _implausible(one.kap_gy_cm2, one.air_kerma_mgy)]
    if absurd:
        notes.add(
            "implausible", f"events {_listed(absurd)}: dose negative, over 100 Gy, or KAP and kerma that fit no field"
        )
    seconds = total.fluoroscopy_time_s
    if _implausible(total.kap_gy_cm2, total.air_kerma_mgy) or not (seconds is None or 0.0 <= seconds <= LARGEST_S):
        notes.add(
            "implausible_total",
            "totals of the header: negative, over 100 Gy, 100 000 Gy·cm² or 24 h, or KAP and kerma that fit no field",
        )
    volts = [number for number, one in enumerate(events, start=1) if not _voltage_may_be(one)]
    if volts:
        notes.add("implausible_kvp", f"events {_listed(volts)}: a tube voltage outside 10 to 200 kV")
    turned = [number for number, one in enumerate(events, start=1) if not _angles_may_be(one)]
    if turned:
        notes.add("implausible_angle", f"events {_listed(turned)}: angles outside DICOM's ±180° and ±90°")
    slow = [number for number, one in enumerate(events, start=1) if not _time_may_be(one)]
    if slow:
        notes.add("implausible_time", f"events {_listed(slow)}: a duration that is negative, over 24 h or "
                  f"{LONGER:g} times that of their pulses; another unit than stated is likely")  # fmt: skip


def _angles_may_be(event: DoseEventRecord) -> bool:
    primary, secondary = event.primary_deg or 0.0, event.secondary_deg or 0.0
    return abs(primary) <= ANGLE_DEG[0] and abs(secondary) <= ANGLE_DEG[1]


def _check_identity(events: Sequence[DoseEventRecord], notes: Notes) -> None:
    uids = [one.uid for one in events if one.uid]
    if len(set(uids)) < len(uids):
        same = len(events) - len(once(events))
        notes.add("repeated_event", f"{len(uids) - len(set(uids))} events have the UID of another; {same} are the same "
                  "in all and count once in the sums")  # fmt: skip
    if len(uids) < len(events):
        notes.add("event_without_uid", f"{len(events) - len(uids)} events have no UID")
    times = [one.started for one in events if one.started]
    if times != sorted(times):
        notes.add("order", "events are not in the order of their times: numbered as they stand")


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:5])) + (" …" if len(numbers) > 5 else "")


def _implausible(kap_gy_cm2: float | None, kerma_mgy: float | None) -> bool:
    """Whether a dose cannot be: negative, absurdly high, or of a field that is none (KAP over kerma)."""
    if not 0.0 <= (kap_gy_cm2 or 0.0) <= LARGEST_GY_CM2 or not 0.0 <= (kerma_mgy or 0.0) <= LARGEST_MGY:
        return True
    if not kap_gy_cm2 or not kerma_mgy or kerma_mgy < ROUNDED_MGY:
        return False
    low, high = FIELD_CM2
    return not low <= 1e3 * kap_gy_cm2 / kerma_mgy <= high


def _voltage_may_be(event: DoseEventRecord) -> bool:
    return all(value == 0.0 or VOLTAGE_KV[0] <= value <= VOLTAGE_KV[1] for value in event.kvp)


def _time_may_be(event: DoseEventRecord) -> bool:
    if event.duration_s is None:
        return True
    if not 0.0 <= event.duration_s <= LARGEST_S:
        return False
    if not event.pulses or not event.rate_per_s or event.pulses < 0.0 or event.rate_per_s < 0.0:
        return True
    # A single pulse says nothing of time.
    return event.duration_s <= LONGER * (event.pulses + 1.0) / event.rate_per_s
