"""Dose objects of any vendor: X-Ray Radiation Dose SR (TID 10001 to 10007), older reports, headers of XA images.

Everything is found by code, never by words or by where it stands. What an object leaves out is None; what looks wrong
is kept as it is written and said in a `DoseWarning`.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fluoroscope.dicom.beam_path import PlaceRecord, path_of_words
from fluoroscope.dicom.dose_records import DoseEventRecord, DoseObject, DoseTotals, Filter, Notes, check_object, sum_of
from fluoroscope.dicom.safe_parsing import read_header
from fluoroscope.dicom.sr_tree import CodedConcept, SRDocument, SRItem, read_sr

__all__ = ["UNITS", "dose_object", "read_dose_object", "to_unit"]

_KAP_GY_CM2 = {
    "gy.m2": 1e4, "gym2": 1e4, "dgy.cm2": 0.1, "dgycm2": 0.1, "gy.cm2": 1.0, "gycm2": 1.0, "cgy.cm2": 0.01,
    "mgy.cm2": 1e-3, "ugy.m2": 0.01, "ugym2": 0.01, "ugy.cm2": 1e-6, "mgy.m2": 10.0,
}  # fmt: skip
_KERMA_MGY = {"gy": 1e3, "dgy": 100.0, "cgy": 10.0, "mgy": 1.0, "ugy": 1e-3}
_TIME_S = {"s": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0}
_LENGTH_MM = {"mm": 1.0, "cm": 10.0, "m": 1e3}
_AREA_CM2 = {"m2": 1e4, "cm2": 1.0, "mm2": 0.01}
UNITS = {"kap": _KAP_GY_CM2, "kerma": _KERMA_MGY, "time": _TIME_S, "length": _LENGTH_MM, "area": _AREA_CM2}
"""Factors to Gy·cm², mGy, s, mm and cm², by unit in lower case without "^"."""

FLUOROSCOPY = frozenset({"P5-06000", "44491008"})
ROTATIONAL = frozenset({"113613"})
_MAMMOGRAPHY = frozenset({"P5-40010", "71651007"})
_CT = frozenset({"P5-08000", "77477000"})
_PROJECTION = frozenset({"113704"})
_NUCLEAR = frozenset({"113502", "113500"})
_REFERENCE_POINTS = {
    "113860": "15 cm from the isocentre toward the source",
    "113861": "30 cm in front of the image input surface",
    "113862": "1 cm above the tabletop",
    "113863": "30 cm above the tabletop",
    "113864": "15 cm from the table centreline",
    "113865": "entrance exposure at 4.2 cm breast thickness",
}
_COPPER, _ALUMINIUM = frozenset({"C-127F9", "105837005", "66925006"}), frozenset({"C-120F9", "105830007", "12503006"})
_X_RAY_IMAGES = frozenset({"1.2.840.10008.5.1.4.1.1.12.1", "1.2.840.10008.5.1.4.1.1.12.2"})
_IMAGE_TAGS = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "PatientID", "Manufacturer", "ManufacturerModelName",
    "KVP", "XRayTubeCurrent", "ExposureTime", "RadiationMode", "CineRate", "NumberOfFrames", "PositionerPrimaryAngle",
    "PositionerSecondaryAngle", "DistanceSourceToDetector", "ImageAndFluoroscopyAreaDoseProduct",
    "IrradiationEventUID", "AcquisitionDateTime", "BodyPartExamined", "ProtocolName",
)  # fmt: skip
_PHILIPS = "99PHI-IXR-XPER"


def read_dose_object(path: Path) -> DoseObject | None:
    """Read whatever a DICOM file says of dose; None when it is not DICOM.

    A structured report is read whole; of an X-ray image the header only. Anything else is named for what it is.

    Raises
    ------
    PatientFileError
        As `read_sr`.
    """
    document = read_sr(path)
    if document is not None:
        return dose_object(document)
    header = read_header(path, _IMAGE_TAGS)
    return None if header is None else _of_header(path, header)


def to_unit(kind: str, number: float, unit: str) -> float | None:
    """Return a number in our unit of ``kind`` (a key of `UNITS`), or None when the unit is unknown."""
    factor = UNITS[kind].get(unit.replace("^", "").replace("*", ".").replace("·", ".").replace(" ", "").lower())
    return None if factor is None else number * factor


def dose_object(document: SRDocument) -> DoseObject:
    """Return what a structured report says of dose; see `DoseObject.kind` for what it may turn out to be."""
    notes = Notes()
    root = document.root
    events = tuple(_event(item, notes) for item in root.named("113706"))
    accumulated = list(root.named("113702"))
    total = _totals(accumulated, notes)
    kind = _kind(document, events, total)
    if kind == "legacy report":
        total = _legacy_totals(root)
        notes.add("legacy", "an older report, not TID 10001: totals only, without events")
    point = _reference_point([*accumulated, *root.named("113706")])
    summed = sum_of(events)
    manufacturer = document.header["Manufacturer"] or _first_text(root, "121014")
    model = document.header["ManufacturerModelName"] or _first_text(root, "121015")
    if kind in ("fluoroscopy", "radiography"):
        check_object(events, total, summed, point, notes)
    if not (manufacturer and model):
        notes.add("unnamed_device", "maker or model is not said")
    return DoseObject(
        document.path, kind, manufacturer, model, document.header["SOPInstanceUID"],
        document.header["StudyInstanceUID"], document.header["PatientID"], total, summed, point,
        next((one.text for one in root.named("113705")), ""), events, tuple(notes.found.values()),
    )  # fmt: skip


def _of_header(path: Path, header: Any) -> DoseObject:
    """Return what the header of an image says: of its own exposure, not of the exam."""

    def number(keyword: str) -> float | None:
        value = header.get(keyword, None)
        return None if value is None or str(value) == "" else float(value)

    def word(keyword: str) -> str:
        return str(header.get(keyword, "") or "")

    sop_class = word("SOPClassUID")
    x_ray = sop_class in _X_RAY_IMAGES
    kap, exposure_ms = number("ImageAndFluoroscopyAreaDoseProduct"), number("ExposureTime")
    kvp, current, rate = number("KVP"), number("XRayTubeCurrent"), number("CineRate")
    total = DoseTotals(kap_gy_cm2=None if kap is None else 0.1 * kap) if x_ray else DoseTotals()
    event = DoseEventRecord(
        uid=word("IrradiationEventUID"), plane="", kind="fluoroscopy" if word("RadiationMode") else "unknown",
        started=word("AcquisitionDateTime"), kap_gy_cm2=total.kap_gy_cm2, air_kerma_mgy=None, reference_point="",
        kvp=() if kvp is None else (kvp,), tube_current_ma=() if current is None else (current,),
        exposure_time_s=None if exposure_ms is None else 1e-3 * exposure_ms, duration_s=None,
        pulses=number("NumberOfFrames"), rate_per_s=rate, filters=(), primary_deg=number("PositionerPrimaryAngle"),
        secondary_deg=number("PositionerSecondaryAngle"), primary_end_deg=None, secondary_end_deg=None,
        source_to_isocenter_mm=None, source_to_detector_mm=number("DistanceSourceToDetector"),
        source_to_reference_mm=None, table_longitudinal_mm=None, table_lateral_mm=None, table_height_mm=(),
        table_tilt_deg=None, table_rotation_deg=None, table_cradle_deg=None, field_area_cm2=None,
        field_height_mm=None, field_width_mm=None, target_region=word("BodyPartExamined"), orientation="",
        orientation_modifier="", table_relationship="", protocol=word("ProtocolName"),
    )  # fmt: skip
    notes = Notes()
    if x_ray:
        notes.add("header_only", "an image, not a dose report: its own exposure, not the exam's")
    else:
        notes.add("not_dose", f"{_class_name(sop_class)}: no dose object")
    return DoseObject(
        path, "xa header" if x_ray else "not a dose object", word("Manufacturer"), word("ManufacturerModelName"),
        word("SOPInstanceUID"), word("StudyInstanceUID"), word("PatientID"), total, sum_of([event] if x_ray else []),
        "", "", (event,) if x_ray else (), tuple(notes.found.values()),
    )  # fmt: skip


def _class_name(uid: str) -> str:
    from pydicom.uid import UID

    return UID(uid).name if uid else "an object without a class"


def _kind(document: SRDocument, events: Sequence[DoseEventRecord], total: DoseTotals) -> str:
    root, concept = document.root, document.root.concept
    title = concept.value if concept is not None else ""
    procedure = {one.code.value for one in root.named("121058") if one.code is not None}
    modalities = {one.code.value for one in root.named("113813", "113819") if one.code is not None}
    if title in ("128401",):
        return "patient dose"
    if procedure & _CT or modalities & _CT or title == "113811":
        return "ct"
    if title in _NUCLEAR:
        return "nuclear medicine"
    if procedure & _MAMMOGRAPHY:
        return "mammography"
    if title == "113701" or events or procedure & _PROJECTION:
        moving = any(one.is_fluoroscopy or one.kind == "rotational" for one in events)
        isocentric = any(one.source_to_isocenter_mm is not None for one in events)
        return "fluoroscopy" if moving or isocentric or total.fluoroscopy_time_s is not None else "radiography"
    if _legacy_totals(root) != DoseTotals():
        return "legacy report"
    return "not a dose object"


_TOTALS = {
    "kap_gy_cm2": ("113722", "kap"),
    "air_kerma_mgy": ("113725", "kerma"),
    "fluoroscopy_kap_gy_cm2": ("113726", "kap"),
    "fluoroscopy_air_kerma_mgy": ("113728", "kerma"),
    "fluoroscopy_time_s": ("113730", "time"),
    "acquisition_kap_gy_cm2": ("113727", "kap"),
    "acquisition_air_kerma_mgy": ("113729", "kerma"),
    "acquisition_time_s": ("113855", "time"),
}


def _totals(accumulated: Sequence[SRItem], notes: Notes) -> DoseTotals:
    """Add up the planes: each has an accumulated part of its own."""
    found: dict[str, float] = {}
    for part in accumulated:
        for name, (code, unit) in _TOTALS.items():
            value = _number(part, code, unit, notes)
            if value is not None:
                found[name] = found.get(name, 0.0) + value
        frames = _plain(part, "113731")
        if frames is not None:
            found["frames"] = found.get("frames", 0.0) + frames
    if len(accumulated) > 1:
        notes.add("planes", f"{len(accumulated)} planes: totals are of all together")
    return DoseTotals(**found)


def _legacy_totals(root: SRItem) -> DoseTotals:
    """Read a report that has private codes: by its words, the only thing left."""
    found: dict[str, float] = {}
    for item in root.children:
        if item.concept is None or not item.measurements:
            continue
        words, one = item.concept.meaning.lower(), item.measurements[0]
        for name, unit, wanted in (
            ("fluoroscopy_time_s", "time", ("fluoro", "time")),
            ("kap_gy_cm2", "kap", ("dose area product",)),
            ("air_kerma_mgy", "kerma", ("air kerma",)),
        ):
            value = to_unit(unit, one.number, one.unit) if all(word in words for word in wanted) else None
            if value is not None:
                found.setdefault(name, value)
    return DoseTotals(**found)


def _event(item: SRItem, notes: Notes) -> DoseEventRecord:
    kind_code = next((one.code for one in item.named("113721")), None)
    orientation = next(iter(item.named("113743")), None)
    modifier = next((one.text for one in orientation.named("113744")), "") if orientation is not None else ""
    exposure_s = _number(item, "113824", "time", notes)
    if exposure_s is None:
        exposure_s = _number(item, "113735", "time", notes)
    heights = [*item.named("113753")] or _private(item, _PHILIPS, "Table Height Position")
    return DoseEventRecord(
        uid=_first_text(item, "113769"),
        plane=_first_text(item, "113764"),
        kind=_event_kind(kind_code),
        started=_first_text(item, "111526"),
        kap_gy_cm2=_number(item, "122130", "kap", notes),
        air_kerma_mgy=_number(item, "113738", "kerma", notes),
        reference_point=_reference_point([item]),
        kvp=_all_plain(item, "113733"),
        tube_current_ma=_all_plain(item, "113734"),
        exposure_time_s=exposure_s,
        duration_s=_number(item, "113742", "time", notes),
        pulses=_plain(item, "113768"),
        rate_per_s=_plain(item, "113791"),
        filters=tuple(_filter(one, notes) for one in item.named("113771")),
        primary_deg=_plain(item, "112011"),
        secondary_deg=_plain(item, "112012"),
        primary_end_deg=_plain(item, "113739"),
        secondary_end_deg=_plain(item, "113740"),
        source_to_isocenter_mm=_number(item, "113748", "length", notes),
        source_to_detector_mm=_number(item, "113750", "length", notes),
        source_to_reference_mm=_number(item, "113737", "length", notes),
        table_longitudinal_mm=_number(item, "113751", "length", notes),
        table_lateral_mm=_number(item, "113752", "length", notes),
        table_height_mm=_values(heights, "length", notes),
        table_tilt_deg=_plain(item, "113754"),
        table_rotation_deg=_plain(item, "113755"),
        table_cradle_deg=_plain(item, "113756"),
        field_area_cm2=_number(item, "113790", "area", notes),
        field_height_mm=_number(item, "113788", "length", notes),
        field_width_mm=_number(item, "113789", "length", notes),
        target_region=_first_text(item, "123014"),
        orientation=orientation.text if orientation is not None else "",
        orientation_modifier=modifier,
        table_relationship=_first_text(item, "113745"),
        protocol=_first_text(item, "125203"),
        table_longitudinal_end_mm=_number(item, "113759", "length", notes),
        table_lateral_end_mm=_number(item, "113760", "length", notes),
        table_height_end_mm=_number(item, "113761", "length", notes),
        places=_places(item, notes),
    )


def _places(item: SRItem, notes: Notes) -> tuple[PlaceRecord, ...]:
    path = path_of_words(_first_text(item, "121106"))
    if path is None:
        notes.add("path_unreadable", "the comment of an event begins a path of the C-arm that is not whole: left out")
    return path or ()


def _event_kind(code: CodedConcept | None) -> str:
    if code is None:
        return "unknown"
    if code.value in FLUOROSCOPY or "fluoroscopy" in code.meaning.lower():
        return "fluoroscopy"
    if code.value in ROTATIONAL:
        return "rotational"
    return "stationary" if code.value == "113611" else code.meaning.lower() or "unknown"


def _filter(item: SRItem, notes: Notes) -> Filter:
    material = next(iter(item.named("113757")), None)
    name = ""
    if material is not None:
        value = material.code.value if material.code is not None else ""
        words = material.text.lower()
        name = words
        if value in _COPPER or "copper" in words:
            name = "copper"
        elif value in _ALUMINIUM or "alumin" in words:
            name = "aluminium"
    return Filter(
        name,
        _number(item, "113758", "length", notes),
        _number(item, "113773", "length", notes),
        _first_text(item, "113772"),
    )


def _reference_point(items: Iterable[SRItem]) -> str:
    for item in items:
        for one in item.named("113780"):
            if one.code is not None and one.code.value in _REFERENCE_POINTS:
                return _REFERENCE_POINTS[one.code.value]
            if one.text:
                return one.text
    return ""


def _first_text(item: SRItem, code: str) -> str:
    return next((one.text for one in item.named(code) if one.text), "")


def _all_plain(item: SRItem, code: str) -> tuple[float, ...]:
    return tuple(measure.number for one in item.named(code) for measure in one.measurements)


def _plain(item: SRItem, code: str) -> float | None:
    return next(iter(_all_plain(item, code)), None)


def _values(items: Iterable[SRItem], kind: str, notes: Notes) -> tuple[float, ...]:
    """Return every number of some items in our unit; one of an unknown unit is left out, and said."""
    found = []
    for one in items:
        for measure in one.measurements:
            value = to_unit(kind, measure.number, measure.unit)
            if value is None:
                notes.add("unknown_unit", f"unit {measure.unit!r} is not known: what is stated in it is left out")
            else:
                found.append(value)
    return tuple(found)


def _number(item: SRItem, code: str, kind: str, notes: Notes) -> float | None:
    return next(iter(_values(item.named(code), kind, notes)), None)


def _private(item: SRItem, scheme: str, meaning: str) -> list[SRItem]:
    """Return a vendor's own items, by words: its codes are numbered anew in every object."""
    wanted = (scheme, meaning)
    return [one for one in item.children if one.concept and (one.concept.scheme, one.concept.meaning) == wanted]
