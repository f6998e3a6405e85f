"""What the header of an X-ray image says of its own exposure, where there is no dose report."""

import math
from pathlib import Path
from typing import Any

from fluoroscope.dicom.dose_checks import check_exposure
from fluoroscope.dicom.dose_records import DoseEventRecord, DoseObject, DoseTotals, Notes, sum_of

__all__ = ["IMAGE_TAGS", "class_name", "object_of_header"]

_X_RAY_IMAGES = frozenset(
    "1.2.840.10008.5.1.4.1.1." + end for end in ("12.1", "12.1.1", "12.2", "12.2.1", "12.3", "13.1.1")
)
"""XA, XRF, both enhanced, the retired biplane class, and 3-D runs."""
IMAGE_TAGS = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "PatientID", "Manufacturer", "ManufacturerModelName",
    "KVP", "XRayTubeCurrent", "XRayTubeCurrentInmA", "ExposureTime", "ExposureTimeInms", "RadiationSetting", "CineRate",
    "NumberOfFrames", "PositionerPrimaryAngle", "PositionerSecondaryAngle", "DistanceSourceToDetector",
    "ImageAndFluoroscopyAreaDoseProduct", "IrradiationEventUID", "AcquisitionDateTime", "BodyPartExamined",
    "ProtocolName",
)  # fmt: skip
_SETTINGS = {"SC": "fluoroscopy", "GR": "stationary"}


def object_of_header(path: Path, header: Any) -> DoseObject:
    """Return what the header of an image says: of its own exposure, not of the exam."""
    notes = Notes()
    sop_class = _word(header, "SOPClassUID")
    event = _exposure(header, notes)
    x_ray = sop_class in _X_RAY_IMAGES
    if x_ray:
        notes.add(
            "header_only",
            "an image, not a dose report: its own exposure, not the exam's; KAP as DICOM has it, in dGy·cm², "
            "though some makers write another unit, or a running total",
        )
        check_exposure(event, notes)
    else:
        notes = Notes()
        notes.add("not_dose", f"{class_name(sop_class)}: no dose object")
    events = (event,) if x_ray else ()
    return DoseObject(
        path, "xa header" if x_ray else "not a dose object", _word(header, "Manufacturer"),
        _word(header, "ManufacturerModelName"), _word(header, "SOPInstanceUID"), _word(header, "StudyInstanceUID"),
        _word(header, "PatientID"), DoseTotals(kap_gy_cm2=event.kap_gy_cm2 if x_ray else None), sum_of(events),
        "", "", events, tuple(notes.found.values()),
    )  # fmt: skip


def class_name(uid: str) -> str:
    """Return a SOP class in words."""
    from pydicom.config import IGNORE
    from pydicom.uid import UID

    if not uid:
        return "an object without a class"
    name = UID(uid, validation_mode=IGNORE).name
    return "an object of an unknown class" if name == uid else name


def _word(header: Any, keyword: str) -> str:
    value = header.get(keyword, "")
    return str(value[0] if type(value).__name__ == "MultiValue" and value else value or "")


def _number(header: Any, keyword: str, notes: Notes) -> float | None:
    """Return a number; of several the first, of what is none nothing, and it is said."""
    word = _word(header, keyword).strip()
    if not word:
        return None
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        notes.add("unreadable_number", f"{word[:40]!r} is no number: left out")
        return None
    return number


def _exposure(header: Any, notes: Notes) -> DoseEventRecord:
    def number(*keywords: str) -> float | None:
        return next((one for word in keywords if (one := _number(header, word, notes)) is not None), None)

    kap = number("ImageAndFluoroscopyAreaDoseProduct")
    exposure_ms = number("ExposureTime", "ExposureTimeInms")
    kvp, current = number("KVP"), number("XRayTubeCurrent", "XRayTubeCurrentInmA")
    return DoseEventRecord(
        uid=_word(header, "IrradiationEventUID"), plane="",
        kind=_SETTINGS.get(_word(header, "RadiationSetting").strip().upper(), "unknown"),
        started=_word(header, "AcquisitionDateTime"), kap_gy_cm2=None if kap is None else 0.1 * kap,
        air_kerma_mgy=None, reference_point="",
        kvp=() if kvp is None else (kvp,), tube_current_ma=() if current is None else (current,),
        exposure_time_s=None if exposure_ms is None else 1e-3 * exposure_ms, duration_s=None,
        pulses=number("NumberOfFrames"), rate_per_s=number("CineRate"), filters=(),
        primary_deg=number("PositionerPrimaryAngle"), secondary_deg=number("PositionerSecondaryAngle"),
        primary_end_deg=None, secondary_end_deg=None, source_to_isocenter_mm=None,
        source_to_detector_mm=number("DistanceSourceToDetector"),
        source_to_reference_mm=None, table_longitudinal_mm=None, table_lateral_mm=None, table_height_mm=(),
        table_tilt_deg=None, table_rotation_deg=None, table_cradle_deg=None, field_area_cm2=None,
        field_height_mm=None, field_width_mm=None, target_region=_word(header, "BodyPartExamined"), orientation="",
        orientation_modifier="", table_relationship="", protocol=_word(header, "ProtocolName"),
    )  # fmt: skip
