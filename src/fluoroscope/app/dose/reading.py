"""What dose objects say: rows for ``fluoroscope dose read``."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from fluoroscope.dicom.dose_objects import read_dose_object
from fluoroscope.dicom.dose_records import DoseEventRecord, DoseObject, DoseTotals, DoseWarning
from fluoroscope.patient.stored import PatientFileError, Progress, silent

__all__ = ["dose_csv", "dose_facts", "dose_rows", "read_dose_objects"]

_SHORT = ("air_kerma_mgy", "kap_gy_cm2", "fluoroscopy_time_s")


def read_dose_objects(paths: Sequence[Path], progress: Progress = silent) -> tuple[list[DoseObject], list[str]]:
    """Read files, and of folders every DICOM file within; return the objects and a line for each damaged one.

    Raises
    ------
    PatientFileError
        A file that was named cannot be read or is not DICOM, or nothing was found.
    """
    objects, faults = [], []
    files = [(path, True) for path in paths if not path.is_dir()]
    for folder in (path for path in paths if path.is_dir()):
        files += [(path, False) for path in sorted(folder.rglob("*")) if path.is_file()]
    for number, (path, named) in enumerate(files):
        progress(number / len(files), "reading")
        try:
            found = read_dose_object(path)
            if found is None and named:
                raise PatientFileError(f"{path}: not a DICOM file; give dose reports (RDSR) or X-ray images")
        except PatientFileError as fault:
            if named:
                raise
            faults.append(str(fault))
            continue
        if found is not None:
            objects.append(found)
    if not objects and not faults:
        raise PatientFileError(f"{', '.join(map(str, paths))}: no DICOM file found; give dose reports or their folder")
    return _compared(objects), faults


def _compared(objects: Sequence[DoseObject]) -> list[DoseObject]:
    """Warn of what stands in several of the files: added up, it would count twice."""
    told: dict[str, Path] = {}
    studies: dict[str, Path] = {}
    found = []
    for one in objects:
        more = []
        before = told.get(one.sop_instance_uid)
        if before is not None:
            more.append(DoseWarning("same_object", f"the same object as {before}: count it once"))
        elif first := next((told[event.uid] for event in one.events if event.uid in told), None):
            shared = sum(event.uid in told for event in one.events)
            more.append(DoseWarning("shared_events", f"{shared} events stand in {first} too: do not add the two up"))
        elif one.total != DoseTotals() and one.kind != "xa header" and (first := studies.get(one.study_uid)):
            more.append(DoseWarning("same_study", f"of the same study as {first}: totals may be cumulative"))
        found.append(replace(one, warnings=(*one.warnings, *more)) if more else one)
        for uid in filter(None, (one.sop_instance_uid, *(event.uid for event in one.events))):
            told.setdefault(uid, one.path)
        if one.study_uid and one.total != DoseTotals() and one.kind != "xa header":
            studies.setdefault(one.study_uid, one.path)
    return found


def dose_facts(one: DoseObject) -> dict[str, Any]:
    """Return an object JSON-ready: null where it is silent."""
    return {
        "path": str(one.path),
        "kind": one.kind,
        "manufacturer": one.manufacturer or None,
        "model": one.model or None,
        "sop_instance_uid": one.sop_instance_uid or None,
        "study_uid": one.study_uid or None,
        "scope": one.scope or None,
        "events": len(one.events),
        "total": {name: getattr(one.total, name) for name in _SHORT},
        "sum": {name: getattr(one.summed, name) for name in _SHORT},
        "total_by_mode": _more(one.total),
        "sum_by_mode": _more(one.summed),
        "reference_point": one.reference_point or None,
        "warnings": [asdict(warning) for warning in one.warnings],
        "irradiation_events": [_event(event) for event in one.events],
    }


def dose_rows(one: DoseObject) -> list[tuple[str, str]]:
    """Return an object for people: header and sum beside each other, then every warning."""
    point = one.reference_point or "a point that is not said"
    rows = [("what it is", one.kind), ("machine", f"{one.manufacturer} {one.model}".strip() or "not said")]
    for name, words, unit in (
        ("air_kerma_mgy", f"air kerma at {point}", "mGy"),
        ("kap_gy_cm2", "KAP", "Gy·cm²"),
        ("fluoroscopy_time_s", "fluoroscopy time", "s"),
    ):
        said, added = getattr(one.total, name), getattr(one.summed, name)
        if said is not None or added is not None:
            rows.append((words, f"{_figure(said, unit)} in the header, {_figure(added, unit)} summed over events"))
    rows.append(("events", str(len(one.events))))
    return rows + [("warning", warning.text) for warning in one.warnings]


def _figure(value: float | None, unit: str) -> str:
    return "nothing" if value is None else f"{value:.6g} {unit}"


def dose_csv(objects: Sequence[DoseObject]) -> str:
    """Return a table of all events, one a row, headed by the names of the fields with their units."""
    text = io.StringIO()
    names = ["path", "kind_of_object", "number", *DoseEventRecord.__dataclass_fields__]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for one in objects:
        for number, event in enumerate(one.events, start=1):
            cells = {name: _cell(value) for name, value in asdict(event).items()}
            writer.writerow({"path": str(one.path), "kind_of_object": one.kind, "number": number} | cells)
    return text.getvalue()


def _more(totals: DoseTotals) -> dict[str, float | None]:
    return {name: value for name, value in asdict(totals).items() if name not in _SHORT}


def _event(event: DoseEventRecord) -> dict[str, Any]:
    facts = asdict(event)
    return {name: (value if value != "" else None) for name, value in facts.items()}


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        # A spreadsheet would take it for a formula.
        return f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
    return "; ".join(map(_part, value)) if isinstance(value, list | tuple) else value


def _part(one: Any) -> str:
    """Return one of several in a cell: a filter, a place of the beam, or a number."""
    if not isinstance(one, dict):
        return f"{one:g}"
    if "share" in one:
        return f"{one['share']:g} at {one['primary_deg']:g}/{one['secondary_deg']:g} deg"
    return f"{one['material']} {one['minimum_mm']}-{one['maximum_mm']} mm"
