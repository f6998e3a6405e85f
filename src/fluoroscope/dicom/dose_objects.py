"""Dose objects of any vendor: X-Ray Radiation Dose SR (TID 10001 to 10007), older reports, headers of XA images.

Everything is found by code, never by words or by where it stands. What an object leaves out is None; what looks wrong
is kept as it is written and said in a `DoseWarning`.
"""

import math
import re
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

from fluoroscope.dicom.beam_path import PlaceRecord, path_of_words
from fluoroscope.dicom.dose_checks import check_object
from fluoroscope.dicom.dose_headers import IMAGE_TAGS, class_name, object_of_header
from fluoroscope.dicom.dose_records import DoseEventRecord, DoseObject, DoseTotals, Filter, Notes, sum_of
from fluoroscope.dicom.dose_units import OUR_UNIT, to_unit
from fluoroscope.dicom.safe_parsing import read_header
from fluoroscope.dicom.sr_tree import Measurement, SRDocument, SRItem, read_sr
from fluoroscope.patient.stored import PatientFileError

__all__ = ["dose_object", "read_dose_object"]

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
_PHILIPS = "99PHI-IXR-XPER"
_ENHANCED = "1.2.840.10008.5.1.4.1.1.88.76"
_REPORT_CLASSES = frozenset("1.2.840.10008.5.1.4.1.1.88." + end for end in ("22", "33", "34", "35", "67"))
"""SR classes in which X-ray dose reports are written, the general ones by older machines."""
_OTHER_DOSE = {
    "ct": "a CT dose report (CTDI, DLP)", "mammography": "a mammography dose report (glandular dose)",
    "nuclear medicine": "a dose report of nuclear medicine", "patient dose": "a Patient Radiation Dose SR",
    "enhanced dose report": "an Enhanced X-Ray Radiation Dose SR (TID 10040)",
}  # fmt: skip
_CHAMBER_WAY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*cm\s+chamber\s+patient\s+distance\s*", re.IGNORECASE)
_IN_WORDS = re.compile(r"\s*([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)\s*(\D.*)?")


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
    header = read_header(path, IMAGE_TAGS)
    if header is None:
        return None
    if not str(header.get("SOPClassUID", "") or ""):
        raise PatientFileError(f"{path}: a DICOM file that does not say what it is, or is cut short; copy it again")
    return object_of_header(path, header)


def dose_object(document: SRDocument) -> DoseObject:
    """Return what a structured report says of dose; see `DoseObject.kind` for what it may turn out to be."""
    notes = Notes()
    root = document.root
    written = _anywhere(root, "113706")
    events = tuple(_event(item, notes) for item in written)
    accumulated = _anywhere(root, "113702")
    total = _totals(accumulated, notes)
    kind = _kind(document, events, total)
    if kind == "legacy report":
        total = _legacy_totals(root)
        notes.add("legacy", "an older report, not TID 10001: totals only, without events")
    point = _reference_point([*accumulated, *written])
    summed = sum_of(events)
    manufacturer = document.header["Manufacturer"] or _first_text(root, "121014")
    model = document.header["ManufacturerModelName"] or _first_text(root, "121015")
    sop_class = document.header["SOPClassUID"]
    if kind in ("fluoroscopy", "radiography"):
        check_object(kind, events, total, summed, point, notes)
        points = {point, *(one.reference_point for one in events)}
        points.discard("")
        if len(points) > 1:
            notes.add("reference_points", f"air kerma is stated at several points: {', '.join(sorted(points))}")
        if sop_class not in _REPORT_CLASSES:
            notes.add("other_class", f"a dose report under another class: {class_name(sop_class)}")
    elif kind in _OTHER_DOSE:
        notes = Notes()
        notes.add("other_dose", f"{_OTHER_DOSE[kind]}: named, its dose is not read")
    elif kind == "not a dose object":
        notes = Notes()
        notes.add("not_dose", f"{class_name(sop_class)}: no dose object")
    if not (manufacturer and model):
        notes.add("unnamed_device", "maker or model is not said")
    return DoseObject(
        document.path, kind, manufacturer, model, document.header["SOPInstanceUID"],
        document.header["StudyInstanceUID"], document.header["PatientID"], total, summed, point,
        next((one.text for one in root.named("113705")), ""), events, tuple(notes.found.values()),
    )  # fmt: skip


def _kind(document: SRDocument, events: Sequence[DoseEventRecord], total: DoseTotals) -> str:
    root, concept = document.root, document.root.concept
    title = concept.value if concept is not None else ""
    procedure = {one.code.value for one in root.named("121058") if one.code is not None}
    modalities = {one.code.value for one in root.named("113813", "113819") if one.code is not None}
    if title in ("128401",):
        return "patient dose"
    if procedure & _CT or modalities & _CT or title == "113811" or any(root.named("113819")):
        return "ct"
    if title in _NUCLEAR:
        return "nuclear medicine"
    if procedure & _MAMMOGRAPHY:
        return "mammography"
    if title == "113701" or events or procedure & _PROJECTION:
        return "fluoroscopy" if _is_moving(events, total) else "radiography"
    if document.header["SOPClassUID"] == _ENHANCED:
        return "enhanced dose report"
    if _legacy_totals(root) != DoseTotals():
        return "legacy report"
    return "not a dose object"


def _is_moving(events: Sequence[DoseEventRecord], total: DoseTotals) -> bool:
    """Whether it is fluoroscopy, angiography or a C-arm: a machine for both also writes plain radiographs, time 0."""
    if any(one.is_fluoroscopy or one.kind == "rotational" or one.source_to_isocenter_mm is not None for one in events):
        return True
    return bool(total.fluoroscopy_time_s) or (total.fluoroscopy_time_s is not None and not events)


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
    """Add up the planes: each has an accumulated part of its own. The same part twice counts once."""
    parts: list[tuple[str, dict[str, float]]] = []
    for one in accumulated:
        found = {}
        for name, (code, unit) in _TOTALS.items():
            value = _number(one, code, unit, notes)
            if value is not None:
                found[name] = value
        frames = _plain(one, "113731")
        if frames is not None:
            found["frames"] = frames
        part = _plane(one), found
        if found and part in parts:
            notes.add("repeated_totals", "an accumulated part stands there twice: it counts once")
        else:
            parts.append(part)
    planes = [plane for plane, _ in parts]
    if len(parts) > 1:
        named = ", ".join(sorted(set(filter(None, planes))))
        notes.add("planes", f"{len(parts)} planes{f' ({named})' if named else ''}: totals are of all together")
    if len(set(planes)) < len(planes) and any(planes):
        notes.add("repeated_totals", "several accumulated parts of one plane are added up: compare the sum of events")
    return DoseTotals(**{name: math.fsum(part[name] for _, part in parts if name in part) for name in
                         dict.fromkeys(name for _, part in parts for name in part)})  # fmt: skip


def _plane(part: SRItem) -> str:
    return _first_text(part, "113764")


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
    orientation = next(iter(item.named("113743")), None)
    modifier = next((one.text for one in orientation.named("113744")), "") if orientation is not None else ""
    exposure_s = _number(item, "113824", "time", notes)
    if exposure_s is None:
        exposure_s = _number(item, "113735", "time", notes)
    heights = [*item.named("113753")] or _private(item, _PHILIPS, "Table Height Position")
    return DoseEventRecord(
        uid=_first_text(item, "113769"),
        plane=_first_text(item, "113764"),
        kind=_event_kind(next(iter(item.named("113721")), None)),
        started=_first_text(item, "111526"),
        kap_gy_cm2=_number(item, "122130", "kap", notes),
        air_kerma_mgy=_number(item, "113738", "kerma", notes),
        reference_point=_reference_point([item]),
        kvp=_values(item.named("113733"), "voltage", notes),
        tube_current_ma=_values(item.named("113734"), "current", notes),
        exposure_time_s=exposure_s,
        duration_s=_number(item, "113742", "time", notes),
        pulses=_plain(item, "113768"),
        rate_per_s=_number(item, "113791", "rate", notes),
        filters=tuple(_filter(one, notes) for one in item.named("113771")),
        primary_deg=_number(item, "112011", "angle", notes),
        secondary_deg=_number(item, "112012", "angle", notes),
        primary_end_deg=_number(item, "113739", "angle", notes),
        secondary_end_deg=_number(item, "113740", "angle", notes),
        source_to_isocenter_mm=_number(item, "113748", "length", notes),
        source_to_detector_mm=_number(item, "113750", "length", notes),
        source_to_reference_mm=_source_to_reference_mm(item, notes),
        table_longitudinal_mm=_number(item, "113751", "length", notes),
        table_lateral_mm=_number(item, "113752", "length", notes),
        table_height_mm=_values(heights, "length", notes),
        table_tilt_deg=_number(item, "113754", "angle", notes),
        table_rotation_deg=_number(item, "113755", "angle", notes),
        table_cradle_deg=_number(item, "113756", "angle", notes),
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


def _event_kind(item: SRItem | None) -> str:
    """Return the kind by its code, or by its words where it is told in words."""
    if item is None:
        return "unknown"
    value, words = item.code.value if item.code is not None else "", item.text.lower()
    if value in FLUOROSCOPY or "fluoroscop" in words:
        return "fluoroscopy"
    if value in ROTATIONAL or (not value and "rotation" in words):
        return "rotational"
    return "stationary" if value == "113611" or (not value and "stationary" in words) else words or "unknown"


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


def _source_to_reference_mm(item: SRItem, notes: Notes) -> float | None:
    """Return the way from source to reference point; None where it is the way from the chamber to the patient.

    One maker names the point by that way ("26.0 cm Chamber Patient Distance") and writes the same number here.
    """
    value = _number(item, "113737", "length", notes)
    named = _CHAMBER_WAY.fullmatch(_reference_point([item]))
    if value is not None and named is not None and abs(value - 10.0 * float(named[1])) < 1.0:
        notes.add("reference_distance", f"the distance from source to reference point, {value:g} mm, is that from the "
                  "chamber to the patient: left out")  # fmt: skip
        return None
    return value


def _first_text(item: SRItem, code: str) -> str:
    return next((one.text for one in item.named(code) if one.text), "")


def _plain(item: SRItem, code: str) -> float | None:
    """Return a count: a number without a unit."""
    return next((measure.number for one in item.named(code) for measure in one.measurements), None)


def _values(items: Iterable[SRItem], kind: str, notes: Notes) -> tuple[float, ...]:
    """Return every number of some items in our unit; one of an unknown unit is left out, and said."""
    found = []
    for one in items:
        for measure in one.measurements or _in_words(one, notes):
            value = to_unit(kind, measure.number, measure.unit)
            if value is None:
                notes.add("unknown_unit", f"{_about(one)}: {measure.number:g} {measure.unit or 'without a unit'} is no "
                          f"value in {OUR_UNIT[kind]}: left out")  # fmt: skip
            else:
                found.append(value)
    return tuple(found)


def _in_words(item: SRItem, notes: Notes) -> tuple[Measurement, ...]:
    """Return a number told in a text ("0.16 Gy.m2"); of a number that is none nothing, and it is said."""
    if not item.text or item.kind not in ("TEXT", "NUM"):
        return ()
    match = _IN_WORDS.fullmatch(item.text) if item.kind == "TEXT" else None
    if match is None:
        notes.add("unreadable_number", f"{_about(item)}: {item.text[:40]!r} is no number: left out")
        return ()
    return (Measurement(float(match[1]), (match[2] or "").strip()),)


def _about(item: SRItem) -> str:
    return item.concept.meaning or item.concept.value if item.concept is not None else "a value"


def _anywhere(root: SRItem, code: str) -> list[SRItem]:
    """Return the items of a concept that stand where they belong, or below, where a maker put them deeper."""
    found = list(root.named(code))
    waiting = deque(() if found else root.children)
    while waiting:
        item = waiting.popleft()
        if item.concept is not None and item.concept.value == code:
            found.append(item)
        else:
            waiting += [one for one in item.children if one.kind == "CONTAINER"]
    return found


def _number(item: SRItem, code: str, kind: str, notes: Notes) -> float | None:
    return next(iter(_values(item.named(code), kind, notes)), None)


def _private(item: SRItem, scheme: str, meaning: str) -> list[SRItem]:
    """Return a vendor's own items, by words: its codes are numbered anew in every object."""
    wanted = (scheme, meaning)
    return [one for one in item.children if one.concept and (one.concept.scheme, one.concept.meaning) == wanted]
